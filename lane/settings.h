/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lane gets as values and tables, so that it need not know who fills them in: how its chain is
 * protected, what frames it is not to let pass. Made before the lane, by the node or a tool; read by lanes.
 */
#ifndef LANE_SETTINGS_H
#define LANE_SETTINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum nd_capture { ND_CAPTURE_AUTO, ND_CAPTURE_HEADERS, ND_CAPTURE_FULL };
enum nd_tail { ND_TAIL_EMIT, ND_TAIL_SUPPRESS };

/* How the chain is protected. Only understudy/config looks at what the file or a tool's option asks for
 * (`asked`, `standby`): nd_config_decide makes of it the facts below, which everybody else reads. */
struct nd_protect {
    uint32_t asked;   /* enum nd_mode (understudy/config/config.h) */
    uint32_t standby; /* enum nd_standby */
    bool pair;        /* there is a stream to a peer: of records or of deltas */
    bool records;     /* the stream consists of log records */
    bool deltas;      /* the stream consists of deltas */
    bool stores;      /* warm: a standby stores records until it takes over; hot: it replays them at once */
    const char *mode; /* what is done, for people: "off", "log" or "delta" */
    const char *decided_by;      /* the NF for which auto is delta, owned by its module; "": there is none */
    uint32_t capture, tail;      /* the enums above */
    uint32_t compress;           /* enum nd_compress: what the link carries */
    uint32_t recovery_budget_ms; /* 1 … 10000 */
    uint32_t slow_percent; /* of a second that a standby may keep its primary waiting, 0 … 99; 0: any */
    uint32_t slow_ms;      /* that an output may wait for it before that counts, 1 … 10000 */
    uint32_t gather_us;    /* that a burst which is not full may wait for more, 0 … 1000 */
    uint32_t commit_interval_us; /* between cuts in mode delta, 10 … 1000000 */
    uint32_t checkpoint_ms;      /* between deltas to a warm standby, 1 … 60000 */
    uint32_t verify_every_s;     /* in which the pair compares all state once, 0 … 86400; 0: never */
    bool strict;                 /* never release without a standby */
    bool audit;                  /* region audit: for tests, slow */
    uint32_t log_mb;             /* per-lane ring between lane and replicator, 1 … 1024 */
    uint32_t pending_asked;      /* 1 … 4096; 0: by `standby` */
    uint32_t pending_mb;         /* per-lane records the standby keeps for replay */
    uint32_t quarantine_s;       /* frames that the peer crashed on are dropped, 0 … 86400; 0: never */
    uint32_t quarantine_max;     /* of them, 1 … 1000000 */
    uint32_t hold_asked;         /* 128 … 1048576; 0: the file has no such key */
    uint32_t hold_packets;       /* per-lane outputs held, as far as there are buffers for them */
};

/* Frames that no NF gets: the node before this one crashed on them (understudy/crash/quarantine.h). */
enum nd_verdict { ND_PASSES, ND_DROPS, ND_JUDGES /* it is the one suspect that passes in its burst */ };
struct nd_suspect {
    const void *frame;
    uint32_t taken, wire; /* bytes that capture takes of it, and that it has */
    uint8_t port;
    unsigned lane;
    uint64_t burst, seq; /* that it is to be in; seq 0: what is dropped gets none */
};
struct nd_suspects {
    const _Atomic uint32_t *count; /* 0: every frame passes, and nobody is asked; NULL: there is no quarantine
                                      and none can begin */
    void *of;
    /* may_judge: by the gate a standby is there now, which the main thread learns of a turn later; and no
     * suspect passes in the burst yet. JUDGES: `clear` is called with `*bits` once it has passed. */
    enum nd_verdict (*look)(void *of, const struct nd_suspect *s, bool may_judge, uint64_t *bits);
    void (*clear)(void *of, uint64_t bits);
};

#endif
