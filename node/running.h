/* SPDX-License-Identifier: Apache-2.0 */
/* A running node: what `understudy run` puts together, and what the control socket's answers look at. */
#ifndef NODE_RUNNING_H
#define NODE_RUNNING_H

#include "node/arbiter/arbiter.h"
#include "node/base/notify.h"
#include "nflib/chain/trace.h"
#include "node/config/files_thread.h"
#include "node/crash/crash.h"
#include "lane/lane.h"
#include "node/crash/guardian.h"
#include "node/ports/ports.h"
#include "node/control/server.h"
#include "node/metrics/metrics.h"
#include "node/track/health.h"
#include "node/standing.h"
#include "replicator/replicator.h"

/*
 * Requests at work, one of each kind at a time: what the next step has to know. A lane is asked for the first
 * kind first.
 */
enum nd_working {
    ND_ACTING,
    ND_SHOWING,
    ND_LOOKING, /* shows by the socket that looks */
    ND_TRACING, /* one at a time, for up to a minute; another is refused */
    ND_WORKING
};
struct nd_work {
    const struct nd_exchange *of;  /* NULL: none, and all is zero */
    bool begun;                    /* the first step has been taken */
    bool under_way;                /* drain, failback: the handover has begun */
    bool wants_lanes;              /* show, set, clear: a lane is asked, or will be */
    bool asked, late;              /* the question is with a lane; the lane has taken it, and takes long */
    unsigned lane;                 /* set, clear: those below it have answered */
    unsigned changed;              /* set, clear: how many of those have changed */
    uint64_t since, until;         /* ns: when the last thing was asked for, and how long it is waited for */
    uint64_t resyncs;              /* verify: how many there had been */
    uint64_t digest[FT_LANES_MAX]; /* verify: the number of each lane's digest */
};

/* What became of the bytes of the difference that was found last. */
enum nd_saving { ND_UNSAVED, ND_SAVING, ND_SAVED };

/* Takeovers and planned handovers to this node since its start, by how long they took. */
struct nd_takeovers {
    uint64_t view; /* of the last one that is counted */
    uint64_t count;
    double sum_s;
    uint64_t buckets[ND_TAKEOVER_BUCKETS]; /* by nd_takeover_bounds; each takeover is in one, or in none */
};

/* A table of a lane, or of all, and what the log has said of it; see tables.c. */
struct nd_table {
    struct nf_table table;
    char name[48]; /* "nat.flows"; "sessions" of no NF */
    uint16_t lane;
    uint8_t told; /* percent at which the log told of it last; 0: it has room */
};

/* How data ports are, and what was said of it. */
struct nd_port_watch {
    struct nd_health health;
    uint64_t turn, awake; /* ns: the last turn; since when there was no turn that came late */
    uint64_t look_at;     /* ns: when interfaces are looked at next */
    uint64_t count_at;    /* and their counters */
    uint64_t changed;     /* ns: since when `faults` is what it is */
    char faults[ND_HEALTH_TEXT], logged[ND_HEALTH_TEXT]; /* in words, "": none; now, and as the log has it */
    struct {
        int index;          /* of the interface, when the node began */
        uint64_t sent;      /* frames that it had sent then */
        uint64_t tx_lost;   /* taken since and not sent */
        uint64_t rx_missed; /* that came and found no room */
    } frames[NF_PORTS_MAX];
};

/* What the log has said of how soon a silent primary is suspected; see detection.c. */
struct nd_detection {
    uint64_t said, said_at; /* ns: how soon, and when it was said; 0: not yet */
    uint64_t false_takeovers, doubled_at;
};

/* change.c: what becomes of the chain while the node runs. The main thread's; see lane/group.h. */
struct nd_change;
struct nd_changing {
    struct nd_change *past;   /* those that are over, linked */
    struct nd_change *change; /* made ready, or under way; NULL: none is */
    bool staged;              /* its files are laid aside, to be installed when it is done */
    struct nd_files_thread *files;
    bool wished;             /* `wish` is to be given to that thread when it is free */
    enum nd_files_work wish; /* INSTALL or DROP */
    bool replies;            /* the peer hears when that is done */
    bool was_read;           /* `read` is the outcome of nd_change_read */
    struct nd_files_job read;
    uint64_t until; /* ns: when one that is not begun is given up */
    uint64_t count; /* changes done since the start */
    char told[320]; /* what became of the last one, or how far it is; "": there was none */
    unsigned step;  /* of apply and push */
    bool alone;
    uint64_t resyncs;
};

/* What the log has last told of neighbours for which another MAC was said. Times in ns. */
struct nd_neighbours_said {
    uint64_t contested, moved, last; /* counts of frames and neighbours; 0: nothing yet */
    uint64_t due;                    /* 0: there is nothing to tell */
};

struct nd_running {
    struct nd_config *config;
    unsigned self;                       /* index of this node in the file */
    struct rp_keys keys;                 /* of the link, when the file names a key file */
    struct ft_datagram_key datagram_key; /* random: this process, to its peer */
    struct ft_region *region;
    struct nd_ports ports;
    struct nd_crash *crash; /* what outlives this process */
    struct ft_lane *words;  /* [lanes], in it */
    struct nd_lane *lanes;
    struct nd_group group;
    struct nd_redis *redis;       /* the chain's state; NULL: local */
    struct lg_recorder *recorder; /* NULL: nothing is recorded */
    struct nd_question question;
    struct nd_remedy remedy; /* quarantine.c's; by the replicator's thread */
    struct nf_trace trace;
    struct nd_trace_filter *trace_filter; /* of the trace begun last; answer_trace.c's; NULL: none */
    struct nd_work work[ND_WORKING];
    struct rp_replicator *replicator;
    struct nd_guardian *guardian;
    struct nd_server *server;
    struct nd_metrics *metrics;                         /* NULL: the file has none */
    struct nd_arbiter *arbiter;                         /* NULL: the file has none */
    struct rp_arbiter asks;                             /* of it: what the replicator calls */
    struct nd_notify notify;                            /* the supervisor; the main thread's */
    const struct nf_module *counted[FT_NFS_MAX];        /* by place in the chain; NULL: counts nothing */
    const uint64_t *counters[FT_LANES_MAX][FT_NFS_MAX]; /* in the region: lanes add to them */
    struct nd_table *tables;                            /* [table_count]; a table's lanes stand together */
    unsigned table_count;
    struct nd_takeovers takeovers;   /* the main thread's */
    struct nd_port_watch port_watch; /* the main thread's */
    struct nd_detection detection;   /* the main thread's */
    struct nd_changing changing;
    struct nd_ports_told ports_told;
    struct nd_standing standing; /* the main thread's */
    struct {                     /* quarantine.c; the main thread's */
        bool on;                 /* the log has that it is */
        bool dropped;            /* and that it has dropped a frame */
    } quarantine;
    uint64_t strangers_said; /* on the link, as the log has last told of them; the main thread's */
    struct nd_neighbours_said neighbours_said; /* the main thread's */
    char view_file[256];
    struct { /* differences.c; all but `saving` is the main thread's */
        char file[256];
        char last[FT_SLICE_TEXT + 64]; /* what differed last; "": nothing has */
        _Atomic enum nd_saving saving;
        bool missed;                       /* what differed last is not in the file, nor will be */
        uint64_t seen_lanes[FT_LANES_MAX]; /* standby: slices_different of each lane, as looked at last */
        uint64_t seen_verdicts;            /* primary: verdicts.different, as looked at last */
        uint64_t expected[FT_LANES_MAX];   /* primary: digest of each lane's last verdict looked at */
    } difference;
    _Atomic uint64_t view;
    _Atomic bool stop;       /* somebody wants the node to end */
    _Atomic bool reload;     /* somebody wants files to be read again */
    _Atomic unsigned begun;  /* threads that have what they need of the system, and wait for `go` */
    _Atomic bool go;         /* no thread has a capability any more: they may look at packets and the peer */
    _Atomic bool lanes_stop; /* it ends now: lanes work until then, whatever keeps this thread busy */
    _Atomic bool realtime;   /* the replicator got its priority; written by its thread */
};

/*
 * running.c: everything that can fail fails here, before the first packet, with one line. `config` and `self`
 * are set; waits a bounded while, until `stop`, for what a killed process still holds. On failure close it
 * all the same.
 */
int nd_running_open(struct nd_running *r, struct ft_fault *fault);
/* What seals the link of this node, read and judged as for a start. FT_EINVAL, FT_EPERM, FT_EIO, FT_ENOMEM.
 */
int nd_running_try_seal(const struct nd_config *config, unsigned self, struct ft_fault *fault);
/*
 * Forgets which cluster the arbiter is. Reads anew what seals the link, the key file or the certificates, for
 * connections that are made from now on. The one that stands stays. Says in one line what came of it; what
 * cannot be read leaves everything as it was. For the control thread, which may wait for a disk.
 */
void nd_running_reload(struct nd_running *r);
/* What stands of it, in order; the configuration too. Its threads have ended. */
void nd_running_close(struct nd_running *r);

/* answers.c: the next step of an answer (nd_answer_fn). `status` is answered at once. Each other command has
 * its time (docs/reference.md), whatever lanes and replicator do. */
bool nd_answer(void *running, struct nd_exchange *exchange);

/* For a step: the exchange has this answer (a new reference). True. */
static inline bool nd_answered(struct nd_exchange *exchange, json_t *answer)
{
    exchange->answer = answer;
    return true;
}

/* answer_lanes.c: steps of show, and of set and clear. */
bool nd_answer_show(struct nd_running *r, struct nd_exchange *exchange, struct nd_work *work);
bool nd_answer_change(struct nd_running *r, struct nd_exchange *exchange, struct nd_work *work);

/* answer_trace.c: a step of trace. */
bool nd_answer_trace(struct nd_running *r, struct nd_exchange *exchange, struct nd_work *work);

/* answer_authority.c: a step of pin, hold and unpin; adds to the status. */
bool nd_answer_maintenance(struct nd_running *r, struct nd_exchange *exchange, struct nd_work *work);
void nd_authority_status(struct nd_running *r, const struct rp_status *s, json_t *status);

/* differences.c: has what differs from the peer's state saved, if anything new does. Waits for nothing. */
void nd_differences_save(struct nd_running *r);

/* answer_counters.c; before lanes begin; in each turn of the main thread; for nd_answer_status. */
void nd_counters_find(struct nd_running *r);
void nd_neighbours_turn(struct nd_running *r, const struct rp_status *s);
void nd_takeovers_count(struct nd_running *r, const struct rp_status *s);
void nd_metrics_turn(struct nd_running *r);
json_t *nd_counters_status(const struct nd_running *r, const char *nf); /* NULL: of all NFs */
json_t *nd_passing_status(const struct nd_running *r); /* by NF and lane: packets, and drops of them */
json_t *nd_takeovers_status(const struct nd_running *r);

/*
 * tables.c. Before lanes begin: FT_ENOMEM. In each turn of the main thread: the log tells, once each, of a
 * table that is 80 % and 100 % full, and that has room again; by the primary alone. For status and show: by
 * name, those of one NF or, with NULL, all.
 */
int nd_tables_find(struct nd_running *r, struct ft_fault *fault);
void nd_tables_turn(struct nd_running *r, const struct rp_status *s);
json_t *nd_tables_status(const struct nd_running *r, const char *nf);
/* An NF's timeouts: seconds by key, as `set` left them. */
json_t *nd_timeouts_status(const struct nd_running *r, const char *nf);
/* port_watch.c; before lanes begin; in each turn of the main thread. */
void nd_port_watch_begin(struct nd_running *r);
void nd_port_watch_turn(struct nd_running *r, const struct rp_status *s);
/* answer_ports.c: adds to the status. */
void nd_ports_status(const struct nd_running *r, json_t *status);

/* detection.c: in each turn of the main thread; for status, null where this node is no READY standby. */
void nd_detection_turn(struct nd_running *r, const struct rp_status *s);
json_t *nd_detection_status(const struct ft_core *c);
/* How often the least silence is doubled and for how long yet, and the longest wait for a processor. */
json_t *nd_damping_status(const struct ft_core *core);
/* answer_apply.c: steps of apply and push. */
bool nd_answer_apply(struct nd_running *r, struct nd_exchange *exchange, struct nd_work *work);
bool nd_answer_push(struct nd_running *r, struct nd_exchange *exchange, struct nd_work *work);

/*
 * change.c. nd_change_make: by `next`, which it takes, judged; `state`: this node's lanes have one that is to
 * go on. nd_change_offer: lanes and replicator may see it. nd_change_give_up: false, since a lane is at it,
 * or it is done. nd_change_tell: to the log and to status. nd_change_hash: of the chain that runs. Each turn
 * of the main thread: files that the peer sends, and a change that has been carried out.
 */
int nd_change_make(struct nd_running *r, struct nd_config *next, bool state, struct nd_change **out,
                   struct ft_fault *fault);
void nd_change_free(struct nd_change *c);
void nd_change_offer(struct nd_running *r, struct nd_change *c);
bool nd_change_give_up(struct nd_running *r);
void nd_change_tell(struct nd_running *r, enum ft_level level, const char *text);
uint64_t nd_change_hash(const struct nd_running *r, const struct rp_status *s);
void nd_changes_turn(struct nd_running *r, const struct rp_status *s);
void nd_changes_close(struct nd_running *r);
/*
 * change_files.c. nd_change_read: this node's files, into changing.read; false: the disk has not done what it
 * was asked for before. nd_change_wish: what was laid aside is to be installed, or to go. In each turn: what
 * the thread has done, and what the peer sends.
 */
bool nd_change_read(struct nd_running *r);
void nd_change_wish(struct nd_running *r, enum nd_files_work wish);
void nd_change_files_turn(struct nd_running *r, const struct rp_status *s);
/* The region may be exchanged by a lane at any time: its layout and what lies in it are not to be read. */
static inline bool nd_is_changing(const struct nd_running *r)
{
    return r->changing.change != NULL;
}

/* answer_status.c */
json_t *nd_answer_status(struct nd_running *r, const json_t *request);
enum nd_over { ND_SUM, ND_FIRST, ND_LAST }; /* FIRST: the smallest that is not 0 */
/* Of all lanes' values of the atomic uint64_t at this offset of struct ft_lane. */
uint64_t nd_over_lanes(const struct nd_running *r, size_t at, enum nd_over over);

/* answer_past.c: adds takeover, fenced and standby_lost to the status `o`. */
void nd_past_status(json_t *o, const struct nd_running *r, const struct rp_status *s);

/* answer_arbiter.c: adds arbiter to the status `o`; null when there is none. */
void nd_arbiter_answer_status(json_t *o, const struct nd_running *r, const struct rp_status *s, uint64_t now);

/* quarantine.c. By the replicator's thread: what its peer died of. In each turn of the main thread: the log
 * tells when the first frame is dropped, and when a quarantine ends. */
void nd_quarantine_hear(void *running, const struct ft_crash_notice *notice, bool primary);
void nd_quarantine_turn(struct nd_running *r, const struct rp_status *s);
json_t *nd_bypassed_status(const struct nd_running *r);   /* names of NFs that packets pass by */
json_t *nd_quarantine_status(const struct nd_running *r); /* null: there is none */

/* telemetry.c: DPDK's telemetry gets the node's commands, before DPDK starts; in each turn of the main
 * thread. */
void nd_telemetry_register(void);
void nd_telemetry_turn(struct nd_running *r);

/* answer_watch.c */
json_t *nd_answer_watch(struct nd_running *r, const json_t *request);

#endif
