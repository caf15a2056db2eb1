/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slow: an NF for tests that does nothing, and takes its time where a packet was captured by its headers
 * alone: in replay. So a standby falls behind a primary that does not. Built by budget.t.
 */
#include "nflib/nf.h"

#define TURNS 20000u /* some microseconds */

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    (void)nf;
    (void)now;
    for (uint32_t i = 0; i < n; i++)
        for (volatile uint32_t turn = 0; packets[i]->have < packets[i]->len && turn < TURNS;)
            turn = turn + 1;
}

static const struct nf_param params[] = {{0}};

static const struct nf_module slow = {
    .name = "slow",
    .summary = "for tests: slow in replay",
    .reads = NF_READS_HEADERS,
    .params = params,
    .process = process,
};
NF_MODULE(slow)
