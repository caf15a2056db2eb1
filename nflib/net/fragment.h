/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fragments: the first one carries the ports, so an NF judges it and notes here what became of it; the later
 * ones of the same datagram are looked up and treated alike. Entries go after 30 s. Fragments that
 * overtake their first one are unknown: nothing is kept back.
 *
 * The NF's own wheel carries the timers, as the numbers base … base+capacity-1.
 */
#ifndef NFLIB_NET_FRAGMENT_H
#define NFLIB_NET_FRAGMENT_H

#include "nflib/nf.h"

#define NF_FRAGMENT_LIFE (30 * NF_SECOND)

struct nf_fragments;

uint64_t nf_fragments_bytes(uint32_t capacity);
struct nf_fragments *nf_fragments_make(struct nf *nf, uint32_t capacity, struct nf_wheel *wheel,
                                       uint32_t base);

/*
 * What a datagram's fragments have in common as they arrived: take it from the packet before its addresses
 * are rewritten. 12 bytes, no padding.
 */
struct nf_fragment_key {
    uint32_t saddr, daddr;
    uint16_t id;
    uint8_t proto;
    uint8_t side;
};
struct nf_fragment_key nf_fragment_key(const struct nf_packet *p);

/* Notes `word` for later fragments, replacing what an earlier datagram of the same key left. False: full. */
bool nf_fragments_note(const struct nf *nf, struct nf_fragments *fragments, const struct nf_fragment_key *key,
                       uint32_t word, uint64_t now);
/* True and the word noted, or false when the first fragment has not been seen. */
bool nf_fragments_find(const struct nf_fragments *fragments, const struct nf_packet *p, uint32_t *word);

/* Timer `number` of the wheel, base <= number, came due. */
void nf_fragments_due(const struct nf *nf, struct nf_fragments *fragments, uint32_t number);
/* Forgets all. */
void nf_fragments_clear(const struct nf *nf, struct nf_fragments *fragments);

#endif
