/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of what each burst edited, by NF, as nodes executed it under the audit. In memory that all
 * processes of a run share: written by the lanes of the nodes, read by the reference. A later execution of a
 * burst replaces an earlier one.
 */
#ifndef TOOLS_REPLAY_SUMS_H
#define TOOLS_REPLAY_SUMS_H

#include "ftcore/base/error.h"
#include "ftcore/region/audit.h"

struct nd_sums {
    uint64_t *at; /* NULL: there are none */
    uint64_t bursts;
    unsigned lanes, words; /* words: of one burst: the lane's own, the NFs', what lanes share */
};

/* Of a chain of so many NFs. FT_ENOMEM: they would take more than half of the machine's memory. */
int nd_sums_open(struct nd_sums *sums, uint64_t bursts, unsigned lanes, unsigned nfs, struct ft_fault *fault);

/* `of`: as ft_audit_watch has them. `replayed`: by a standby that replayed the burst, not who ran it live. */
void nd_sums_note(const struct nd_sums *sums, bool replayed, unsigned lane, uint64_t burst,
                  const uint64_t of[FT_AUDIT_SUMS]);
/* Whether who executed the burst edited something else than `of` says; *nf: the first NF in the chain, else
 * FT_NFS_MAX (what lanes share) or 0 (the lane's own), which follow from the NFs. False: nobody executed it.
 */
bool nd_sums_differ(const struct nd_sums *sums, bool replayed, unsigned lane, uint64_t burst,
                    const uint64_t of[FT_AUDIT_SUMS], uint16_t *nf);

#endif
