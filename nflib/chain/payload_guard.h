/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit of NFs that do not declare NF_READS_PAYLOAD (and can be replayed): while such an NF runs, each
 * packet's data is a copy of its headers that ends where a forbidden page begins, and its lengths stay. An NF
 * that reads or writes payload all the same is stopped at that very byte, with its name and the packet's
 * sequence number. Live that would go unseen: the payload is there. A standby has captured headers alone, and
 * would reach another state.
 *
 * Owned by a lane's chain, only in a region with audit. What is captured beyond the headers (a small frame is
 * captured whole) is the NF's to read.
 */
#ifndef NFLIB_CHAIN_PAYLOAD_GUARD_H
#define NFLIB_CHAIN_PAYLOAD_GUARD_H

#include "nflib/nf.h"

struct nf_payload_guard;

/* *out is NULL, and 0 is returned, where the region has no audit. FT_ENOMEM. */
int nf_payload_guard_make(struct nf_payload_guard **out, const struct ft_region *region);
void nf_payload_guard_free(struct nf_payload_guard *guard); /* may be NULL */

/*
 * Around nf->module->process, with the packets given to it, parsed: packets[0 … n), of which list[i] is that
 * of sequence number first + (list[i] - packets). An NF that declares payload gets the frames
 * themselves.
 */
void nf_payload_guard_begin(struct nf_payload_guard *guard, const struct nf *nf,
                            struct nf_packet *const list[], uint32_t n, const struct nf_packet packets[],
                            uint64_t first);
void nf_payload_guard_end(struct nf_payload_guard *guard);

#endif
