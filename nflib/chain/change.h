/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain that takes the place of another while packets wait: which NFs stay, what may be another than
 * before, and how their state goes on in the new chain's memory. NFs that stay keep all of their state, new
 * ones begin with none, and what was taken out is dropped; the same is so of interfaces and their neighbours.
 * Numbers of bursts, packets, accesses and outputs, the random generators and chain time go on.
 */
#ifndef NFLIB_CHAIN_CHANGE_H
#define NFLIB_CHAIN_CHANGE_H

#include "nflib/chain/chain.h"

/* What becomes of the NFs. The configurations stay the caller's. */
struct nf_chain_change {
    const struct nf_chain_config *from, *to;
    uint16_t was[FT_NFS_MAX]; /* by place in the new chain, from 1: the place in the old one; 0: it is new */
};

/* FT_EINVAL: another number of lanes, or packets that would be dealt to them by something else, or a wire
 * that would have interfaces, or the other way round. */
int nf_chain_same_lanes(const struct nf_chain_config *from, const struct nf_chain_config *to,
                        struct ft_fault *fault);
/*
 * FT_EINVAL, with a line that names the NF and the parameter: this cannot be done while a pair runs. NFs that
 * stay keep their order and, but for the parameters that their modules call live, their settings; NFs that
 * translate addresses stay; lanes and what packets are dealt to them by stay. Interfaces, routes, next hops
 * and neighbours may be others.
 */
int nf_chain_change_plan(struct nf_chain_change *change, const struct nf_chain_config *from,
                         const struct nf_chain_config *to, struct ft_fault *fault);

/* The same addresses, routes, next hops and neighbours, or none. */
bool nf_chain_same_l3(const struct nf_l3_config *from, const struct nf_l3_config *to);

/* All lanes of a node at once. Given: up to `empty`. Made: the rest. */
struct nf_chain_switch {
    const struct nf_chain_change *change;
    struct ft_region *region;      /* of the lanes; it is the new chain's when all is done */
    struct ft_region_config how;   /* as for nf_chain_region */
    struct nf_chain *const *chain; /* [lanes] they stay as they are, and are not to be run any more */
    uint64_t seed;                 /* of what is made anew */
    bool empty;                    /* nothing is carried: there is no state yet */
    struct nf_chain **next;        /* [lanes] */
    struct ft_region *old;         /* what was before: the caller's to close */
};
/* While no lane runs, and nobody copies or watches the region. FT_EFULL: more entries than there is room for;
 * FT_EBUSY: an NF that stays is bypassed; FT_EINVAL: an NF's memory is laid out in another way; as
 * ft_region_open, and nf_chain_check of the state that was carried: all is then as it was, and `next` and
 * `old` are NULL. */
int nf_chain_switch(struct nf_chain_switch *s, struct ft_fault *fault);

#endif
