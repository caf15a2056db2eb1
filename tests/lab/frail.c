/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frail: an NF for tests that cannot be replayed. Its state comes of all bytes of each packet, as that of a
 * library would that was made for whole packets, but it declares headers, so the log does not carry the rest.
 * Built by mode.t, with its flag and, to see what the flag is for, without (-DFRAIL_REPLAYABLE).
 */
#include "nflib/nf.h"

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const uint64_t *state = nf->state;
    uint64_t sum = *state;

    (void)now;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t at = 0; at < packets[i]->have; at++)
            sum = sum * 31 + packets[i]->data[at];
    *NF_EDIT(nf, state) = sum;
}

static const struct nf_param params[] = {{0}};

static const struct nf_module frail = {
    .name = "frail",
    .summary = "for tests: cannot be replayed",
    .reads = NF_READS_HEADERS,
#ifndef FRAIL_REPLAYABLE
    .unreplayable = true,
#endif
    .params = params,
    .state_size = sizeof(uint64_t),
    .process = process,
};
NF_MODULE(frail)
