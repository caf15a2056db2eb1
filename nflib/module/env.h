/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane's side of its NFs: what nf_random, nf_wake, nf_emit and shared state work on. The lane's own state
 * lies in arena (lane, 0) of the region; the rest is of the process. Made by the chain, one for each lane.
 */
#ifndef NFLIB_MODULE_ENV_H
#define NFLIB_MODULE_ENV_H

#include "nflib/module/content.h"
#include "nflib/module/module.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- notes --------------------------------------------------------------------------------------------- */

/* A note: a few words in the region that its lane writes and another thread may read at the same moment,
 * behind a sequence word that is odd while they are written. Readers never wait. */

/* The words of a note of `type`, which is of whole words without padding. */
#define NF_NOTE_WORDS(type) (1 + sizeof(type) / sizeof(uint64_t))
#define NF_NOTE_READINGS    64u /* of a note that is being written, at most */

/* The lane, with `note` open for writing. `value`: n words. */
static inline void nf_note_write(uint64_t *note, const uint64_t *value, unsigned n)
{
    uint64_t sequence = note[0];

    __atomic_store_n(&note[0], sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (unsigned i = 0; i < n; i++)
        __atomic_store_n(&note[1 + i], value[i], __ATOMIC_RELAXED);
    __atomic_store_n(&note[0], sequence + 2, __ATOMIC_RELEASE);
}

/* Any thread. False: it was being written at each reading, and `value` means nothing. */
static inline bool nf_note_read(const uint64_t *note, uint64_t *value, unsigned n)
{
    for (unsigned reading = 0; reading < NF_NOTE_READINGS; reading++) {
        uint64_t sequence = __atomic_load_n(&note[0], __ATOMIC_ACQUIRE);

        for (unsigned i = 0; i < n; i++)
            value[i] = __atomic_load_n(&note[1 + i], __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(sequence & 1) && __atomic_load_n(&note[0], __ATOMIC_RELAXED) == sequence)
            return true;
    }
    return false;
}

/* ---- the lane ---- */

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
    uint64_t bypassed;         /* bits: NFs that get no packets, no timers, and no end of a session */
};

/* By index in the chain. */
static inline bool nf_is_bypassed(const struct nf_lane_state *state, unsigned index)
{
    return ft_unlikely(state->bypassed >> index & 1);
}

/* How far the export of the lane's log of flows has come (nflib/flow/log.h), and the wall clock less chain
 * time, ns. Of this process; they become state as determinants. */
struct nf_log_told {
    uint64_t exported;
    int64_t wall;
};

struct nf_l3;
struct nf_env {
    const struct nf_lane_state *state;
    struct nf_packet *inputs;     /* of the burst, or of the one before */
    uint32_t emitted;             /* packets made in this burst so far */
    struct nf_packet *packets;    /* [NF_EMIT_MAX] */
    struct ft_sections *sections; /* the lane's order with others; shared state types enter through it */
    struct nf_determinants *determinants; /* of the burst */
    struct nf_content *content;           /* what the lane's state must be; grows while the chain is made */
    struct nf_merged *merged;             /* the lane's merged counts, a chain through all NFs */
    struct nf_sessions_burst *sessions;   /* of the chain; NULL: no NF keeps flows in sessions */
    struct nf_tables tables;
    const struct nf *log;        /* flow_log's instance; NULL: the chain has none, and nobody makes events */
    struct nf_log_told log_told; /* by who exports; zeros: nobody does */
    uint64_t runs;               /* number of the burst whose timers and packets run, or ran last */
    /* Of the chain's L3, for nf_out_side and nf_complain; NULL: it has none. */
    uint8_t (*out_side)(const struct nf_l3 *l3, const struct nf_packet *p);
    void (*complain)(struct nf_l3 *l3, const struct nf_packet *p, uint8_t type, uint8_t code, uint16_t mtu,
                     uint64_t now);
    struct nf_l3 *l3;
    enum nf_scope scope; /* by which the chain's packets are dealt to lanes */
    uint8_t *frames;     /* NF_EMIT_MAX buffers of NF_EMIT_SLOT bytes */
};

/*
 * Determinants that NF code read in a burst: noted live, given back in replay in the same order. All of a
 * burst's are one value of its record, a block that begins with a zero byte, which no operator's command has.
 *
 *     0 | u16 size, bytes | u16 size, bytes | …        sizes in the machine's order
 *
 * Owned by the chain, written by nf_determinant and by whoever replays, read by whoever records.
 */

#define NF_DETERMINANTS_MAX 16384u /* bytes of a block */

struct nf_determinants {
    uint32_t len, at;
    bool replaying;
    bool wrong; /* replay asked for other values than were noted */
    uint8_t block[NF_DETERMINANTS_MAX];
};

static inline void nf_determinants_begin(struct nf_determinants *values, bool replaying)
{
    values->len = values->at = 0;
    values->replaying = replaying;
    values->wrong = false;
}
/* Live, after the chain ran: what is to be recorded. Length, or 0: nothing. */
static inline uint32_t nf_determinants_noted(const struct nf_determinants *values, const void **block)
{
    *block = values->block;
    return values->replaying ? 0 : values->len;
}
/* Whether a value of a record is such a block; otherwise it is a command. */
static inline bool nf_determinants_is(const void *value, uint32_t len)
{
    return len > 0 && *(const uint8_t *)value == 0;
}
/* Replay, before the chain runs. FT_EMALFORMED: sizes that do not fit, or a second block. */
int nf_determinants_supply(struct nf_determinants *values, const void *block, uint32_t len);
/* Replay, afterwards: all of them were read, as what they were noted, and none else. */
static inline bool nf_determinants_used(const struct nf_determinants *values)
{
    return !values->wrong && values->at == values->len;
}

#endif
