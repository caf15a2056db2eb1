/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane's side of its NFs: what nf_random, nf_wake, nf_emit and shared state work on. The lane's own state
 * lies in arena (lane, 0) of the region; the rest is of the process. Made by the chain, one for each lane.
 */
#ifndef NFLIB_MODULE_ENV_H
#define NFLIB_MODULE_ENV_H

#include "nflib/module/content.h"
#include "nflib/module/determinants.h"
#include "nflib/module/module.h"
#include "nflib/module/tables.h"

#define NF_EMIT_MAX  64u   /* packets made by NFs in a burst */
#define NF_EMIT_LEN  1514u /* bytes of such a packet at most */
#define NF_EMIT_SLOT 1536u

/* The lane's own state. Read by anybody at a cut. */
struct nf_lane_state {
    uint64_t burst;            /* last burst executed */
    uint64_t seq;              /* next sequence number, from 1 */
    uint64_t time;             /* chain time of the last burst, ns */
    uint64_t access;           /* next access number */
    uint64_t outputs;          /* outputs ever made */
    uint64_t random[3];        /* of nf_random: a key of two words, and how many numbers were drawn */
    uint64_t wake[FT_NFS_MAX]; /* chain time at which an NF's timers run; UINT64_MAX: not at all */
    uint64_t unmade;           /* packets NFs wanted to make when the burst had no room for more */
    uint64_t bypassed; /* bits: NFs that packets and timers pass by, and that no end of a session is told */
};

/* Whether packets pass by the NF (index in the chain). */
static inline bool nf_is_bypassed(const struct nf_lane_state *state, unsigned index)
{
    return ft_unlikely(state->bypassed >> index & 1);
}

struct nf_l3;
struct nf_env {
    const struct nf_lane_state *state;
    uint32_t emitted;             /* packets made in this burst so far */
    struct nf_packet *packets;    /* [NF_EMIT_MAX] */
    struct ft_sections *sections; /* the lane's order with others; shared state types enter through it */
    struct nf_determinants *determinants; /* of the burst */
    struct nf_content *content;           /* what the lane's state must be; grows while the chain is made */
    struct nf_merged *merged;             /* the lane's merged counts, a chain through all NFs */
    struct nf_sessions_burst *sessions;   /* of the chain; NULL: no NF keeps flows in sessions */
    struct nf_tables tables;
    /* Of the chain's L3, for nf_complain; NULL: it has none. */
    void (*complain)(struct nf_l3 *l3, const struct nf_packet *p, uint8_t type, uint8_t code, uint16_t mtu,
                     uint64_t now);
    struct nf_l3 *l3;
    enum nf_scope scope; /* by which the chain's packets are dealt to lanes */
    uint8_t *frames;     /* NF_EMIT_MAX buffers of NF_EMIT_SLOT bytes */
};

#endif
