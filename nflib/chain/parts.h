/* SPDX-License-Identifier: Apache-2.0 */
/* A chain instance, for those who make it (make.c) and who run it (chain.c). */
#ifndef NFLIB_CHAIN_PARTS_H
#define NFLIB_CHAIN_PARTS_H

#include "nflib/chain/chain.h"
#include "nflib/chain/mark.h"
#include "nflib/chain/trace.h"
#include "nflib/session/table.h"

#define NF_HEADROOM_FRAME (NF_HEADROOM + NF_FRAME_MAX)

struct nf_payload_guard;

struct nf_chain {
    const struct nf_chain_config *config;
    struct ft_region *region;
    const struct nf_lane_state *state;
    struct nf_l3 *l3;
    struct nf_payload_guard *guard; /* with audit */
    struct nf_tracing tracing;      /* of the coming burst */
    struct nf_mark *mark;           /* never NULL: its own, until it is given another */
    struct nf_mark own_mark;
    struct nf nfs[FT_NFS_MAX]; /* 0: L3 */
    uint32_t count;
    bool open;   /* a command began the coming burst */
    bool follow; /* the coming burst is replayed */
    /* The burst between nf_chain_look and nf_chain_pass. */
    struct {
        uint64_t number, now;
        uint32_t n;
        uint32_t count[2];                           /* by enum nf_side: those that pass the NFs */
        struct nf_packet *side[2][NF_BURST_MAX + 1]; /* and room for one more */
        bool prepared[2];                            /* their keys are hashed (nf_sessions_prepare) */
    } burst;
    /* Of the coming burst, which is replayed; NULL: all inputs are frames. */
    const struct nf_session_input *session_input;
    bool names_none; /* one of them named no session */
    uint32_t aside;  /* of the coming burst, bits: packets that no NF gets */
    bool unsummed;   /* an NF takes IPv4 with wrong header checksums, and there is no L3, which would not */
    struct ft_sections sections;
    struct ft_published alone[FT_LANES_MAX];
    struct nf_determinants determinants;
    struct nf_env env;
    struct nf_content content;
    struct nf_sessions_lane sessions;
    /* [NF_BURST_MAX][NF_HEADROOM_FRAME], for packets of IPv4 from outside; NULL: none may grow. */
    uint8_t *headroom;
    struct nf_packet made[NF_EMIT_MAX];
    struct nf_emitted list[NF_EMIT_MAX];
    uint32_t listed;
    struct nf_tally *tally, own_tally[FT_NFS_MAX];
    /* For change.c: what each NF has of the shared arena; of lane 0, which makes it. */
    struct nf_chain_share {
        uint64_t from, to;
    } shared[FT_NFS_MAX];
    /* For nf_chain_reset: bytes of each NF's own arena once it was made, and a copy of them and of what it
     * has of the shared arena, behind them; copy NULL: none is kept. */
    struct nf_chain_made {
        uint64_t used;
        const uint8_t *copy, *shared_copy;
    } as_made[FT_NFS_MAX];
    uint8_t frames[NF_EMIT_MAX * NF_EMIT_SLOT];
    /* Headers of packets that were identified by their sessions. */
    uint8_t restored[NF_BURST_MAX][NF_RESTORED_BYTES];
};

/* make.c: the state of an NF begins anew from what was kept of it when it had been made. */
int nf_chain_reset(struct nf_chain *chain, struct nf *nf, uint64_t now, struct ft_fault *fault);

#endif
