/* SPDX-License-Identifier: Apache-2.0 */
/* What the system says of a replicator's processor, by the seed: in place of replicator/processor.c. */
#include "replicator/processor.h"
#include "tests/sim/sim.h"

/* Others want it in every other stretch, or never. */
int64_t rp_processor_waited(uint64_t now, uint64_t slept)
{
    const uint64_t stretch = 32 * SIM_MS;
    uint64_t into = sim.now % (2 * stretch);

    (void)now;
    (void)slept;
    return sim.seed % 3 == 2 ? (int64_t)(sim.now / 2 / stretch * stretch + (into < stretch ? into : stretch))
                             : 0;
}

bool rp_processor_yields(void)
{
    return true;
}
