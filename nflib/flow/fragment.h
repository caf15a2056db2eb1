/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fragments: the first one carries the ports, so an NF judges it and notes here what became of it; the later
 * ones of the same datagram are looked up and treated alike. Entries go after 30 s. Fragments that
 * overtake their first one are unknown: no packet is delayed.
 *
 * The NF's own wheel carries the timers, as the numbers base … base+capacity-1.
 */
#ifndef NFLIB_FLOW_FRAGMENT_H
#define NFLIB_FLOW_FRAGMENT_H

#include "nflib/module/module.h"
#include "nflib/state/state.h"

#define NF_FRAGMENT_LIFE (30 * NF_SECOND)

struct nf_fragments;

uint64_t nf_fragments_bytes(uint32_t capacity);
struct nf_fragments *nf_fragments_make(struct nf *nf, uint32_t capacity, struct nf_wheel *wheel,
                                       uint32_t base);

/* Notes `word` for the later fragments of the datagram that `p` begins, replacing what an earlier datagram of
 * the same key left; before the packet is rewritten. False: full. */
bool nf_fragments_note(const struct nf *nf, struct nf_fragments *fragments, const struct nf_packet *p,
                       uint32_t word, uint64_t now);
/* True and the word noted, or false when the first fragment has not been seen. */
bool nf_fragments_find(const struct nf_fragments *fragments, const struct nf_packet *p, uint32_t *word);

/* Timer `number` of the wheel, base <= number, came due. */
void nf_fragments_due(const struct nf *nf, struct nf_fragments *fragments, uint32_t number);
/* Forgets all. */
void nf_fragments_clear(const struct nf *nf, struct nf_fragments *fragments);

#endif
