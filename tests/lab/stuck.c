/* SPDX-License-Identifier: Apache-2.0 */
/* stuck: an NF for tests whose `make` does not come to an end. Built by hung.t as a module from outside the
 * tree. */
#include "nflib/nf.h"

static bool stuck_make(struct nf *nf)
{
    volatile const struct nf *at = nf;

    while (at)
        ;
    return true;
}

static void stuck_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    (void)nf, (void)packets, (void)n, (void)now;
}

static const struct nf_param stuck_params[] = {{0}};

static const struct nf_module stuck = {
    .name = "stuck",
    .summary = "for tests: it is never made",
    .reads = NF_READS_HEADERS,
    .params = stuck_params,
    .make = stuck_make,
    .process = stuck_process,
};
NF_MODULE(stuck)
