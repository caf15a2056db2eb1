/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that choose at random: numbers of a sequence of the test's own, which a seed begins. */
#ifndef TESTS_HELP_DRAW_H
#define TESTS_HELP_DRAW_H

#include "ftcore/base/draw.h"

static inline uint64_t help_draw(uint64_t *sequence)
{
    return ft_draw(sequence);
}

/* A number below n. */
static inline uint32_t help_below(uint64_t *sequence, uint32_t n)
{
    return (uint32_t)(ft_draw(sequence) % n);
}

#endif
