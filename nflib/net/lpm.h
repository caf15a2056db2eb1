/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of many networks is the smallest that an address is in, in as many steps as the network has bytes
 * behind its first three: of IPv4 one or two. Made off the lanes by whoever reads a configuration, which owns
 * it; from then on nobody writes it, and all lanes read it.
 */
#ifndef NFLIB_NET_LPM_H
#define NFLIB_NET_LPM_H

#include "ftcore/base/error.h"

#include <stdint.h>

#define NF_LPM_GROUP      (1u << 31) /* an entry: the place of a group; else a value */
#define NF_LPM_ALL_MAX    32u        /* addresses */
#define NF_LPM_GROUPS_MAX (1u << 19) /* of 1 KiB */

struct nf_lpm {
    uint32_t whole; /* the value of all addresses; 0: none */
    uint32_t *top;  /* [1 << 24] by the first three bytes */
    uint32_t (*group)[256];
    uint32_t groups;
};

/* FT_ENOMEM. */
int nf_lpm_make(struct nf_lpm **out, struct ft_fault *fault);
void nf_lpm_free(struct nf_lpm *t); /* NULL is nothing to free */
/* Adds a network, `bits` of an address as in a packet, with a value from 1 to NF_LPM_GROUP - 1, over what is
 * there. None is added behind a smaller one. FT_EFULL: NF_LPM_GROUPS_MAX. */
int nf_lpm_add(struct nf_lpm *t, const uint8_t *addr, unsigned bits, uint32_t value, struct ft_fault *fault);
uint64_t nf_lpm_bytes(const struct nf_lpm *t); /* at most; of the top only what is used is memory */

static inline const uint32_t *nf_lpm_top(const struct nf_lpm *t, const uint8_t *addr)
{
    return &t->top[(uint32_t)addr[0] << 16 | (uint32_t)addr[1] << 8 | addr[2]];
}

/* The value of the smallest network that the address is in; 0: of none. */
static inline uint32_t nf_lpm_find(const struct nf_lpm *t, const uint8_t *addr)
{
    uint32_t entry = *nf_lpm_top(t, addr);

    for (unsigned at = 3; entry & NF_LPM_GROUP; at++)
        entry = t->group[entry & ~NF_LPM_GROUP][addr[at]];
    return entry ? entry : t->whole;
}
/* The same of many, NF_LPM_ALL_MAX at most: a step of all of them at a time, each fetched ahead, since a
 * large table is in no cache. */
void nf_lpm_find_all(const struct nf_lpm *t, const uint8_t *const addr[], uint32_t n, uint32_t out[]);

#endif
