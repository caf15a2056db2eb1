/* SPDX-License-Identifier: Apache-2.0 */
/* What the chunks of the liar share: chance, numbers at their bounds, bytes put in place of others. */
#ifndef TESTS_SIM_LIAR_H
#define TESTS_SIM_LIAR_H

#include "tests/sim/sim.h"

static inline uint64_t sim_lie_draw(uint64_t below)
{
    return sim_draw(&sim.lies, below);
}

uint64_t sim_lie_number(uint64_t was); /* another one: near it, or at a bound that some field has */
/* Puts `size` bytes in place of `old` bytes at `at`; nothing if that needs more than `cap`. Returns the new
 * length. */
size_t sim_lie_replace(uint8_t *in, size_t len, size_t cap, size_t at, size_t old, const uint8_t *with,
                       size_t size);

#endif
