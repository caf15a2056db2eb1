/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running node: what `understudy run` puts together and owns. Each subsystem has a struct of its own; the
 * answers to the control sockets look at all of them.
 */
#ifndef NODE_RUNNING_H
#define NODE_RUNNING_H

#include "nflib/chain/trace.h"
#include "understudy/arbiter/arbiter.h"
#include "understudy/base/notify.h"
#include "understudy/change/change.h"
#include "understudy/watch/counts.h"
#include "understudy/crash/crash.h"
#include "understudy/watch/differences.h"
#include "understudy/export/exporter.h"
#include "understudy/node/look.h"
#include "lane/lane.h"
#include "understudy/metrics/metrics.h"
#include "understudy/watch/port_watch.h"
#include "understudy/ports/ports.h"
#include "understudy/ports/wire.h"
#include "understudy/crash/quarantine.h"
#include "understudy/crash/guardian.h"
#include "understudy/watch/standing.h"
#include "replicator/replicator.h"

/*
 * Requests at work, one of each kind at a time. A lane is asked for the first kind first.
 */
enum nd_working {
    ND_ACTING,
    ND_SHOWING,
    ND_LOOKING,   /* shows by the socket that looks */
    ND_TRACING,   /* one at a time, for up to a minute; another is refused */
    ND_REPAIRING, /* a re-pair whose view has begun: it only waits for its standby, and no command waits for
                     it */
    ND_WORKING
};

/* A request of the control sockets that is answered in steps: what the next step has to know. */
struct nd_work {
    const struct nd_exchange *of;  /* NULL: none, and all is zero */
    bool begun;                    /* the first step has been taken */
    bool under_way;                /* drain, failback: the handover has begun; re-pair: it was asked for */
    bool wants_lanes;              /* show, set, clear: a lane is asked, or will be */
    bool asked, late;              /* the question is with a lane; the lane has taken it, and takes long */
    unsigned lane;                 /* set, clear: those below it have answered */
    unsigned changed;              /* set, clear: how many of those have changed */
    uint64_t since, until;         /* ns: when the last thing was asked for, and how long it is waited for */
    uint64_t resyncs;              /* verify: how many there had been */
    uint64_t digest[FT_LANES_MAX]; /* verify: the number of each lane's digest */
    uint64_t repairs;              /* re-pair: requests taken before it */
    bool only_waits;               /* re-pair: its view has begun */
};

/* answers.c: what the control sockets are at. */
struct nd_answers {
    struct nd_work work[ND_WORKING];
    struct nd_question question; /* to lanes */
    struct nf_trace trace;
    struct nd_trace_filter *trace_filter; /* of the trace begun last, allocated; NULL: none */
    struct nd_exchange own; /* what the node asks of itself; request NULL: nothing, else owned */
};

/* All is the main thread's, unless its comment states otherwise. */
struct nd_running {
    struct nd_config *config;
    unsigned self;                       /* index of this node in the file */
    struct rp_keys keys;                 /* of the link, when the file names a key file */
    struct ft_datagram_key datagram_key; /* random: this process, to its peer */
    struct ft_region *region;
    struct nd_ports ports;
    struct nd_wire_port wire;      /* of the link, its lane's; not open: none */
    struct nd_crash *crash;        /* what outlives this process */
    struct ft_lane_shared *shared; /* [lanes], in it */
    struct nd_lane *lanes;
    struct nd_group group;
    struct nd_exporter *exporter; /* NULL: nothing is exported */
    struct lg_recorder *recorder; /* NULL: nothing is recorded */
    struct rp_replicator *replicator;
    struct nd_guardian *guardian;
    struct nd_server *server;
    struct nd_metrics *metrics; /* NULL: the file has none */
    struct nd_arbiter *arbiter; /* NULL: the file has none */
    struct rp_arbiter asks;     /* of it: what the replicator calls */
    struct nd_notify notify;    /* the supervisor */
    struct nd_answers answers;
    struct nd_looking looking;
    struct nd_counts counts;
    struct nd_port_watch port_watch;
    struct nd_standing standing;
    struct nd_changing changing;
    struct nd_peer_crashes peer_crashes;
    struct nd_differences differences;
    struct nd_way_said {
        uint64_t losses;  /* at the last look */
        bool fails, lost; /* at the last look; as last logged */
    } ways_said[RP_WAYS];
    uint64_t ways_looked; /* when, ns */
    struct nd_link_port_said {
        uint64_t looked, losses, refused; /* at the last look */
        uint64_t silent_at;               /* when it was found silent last, ns */
        enum rp_port_state state;         /* as the log has it; OFF: nothing */
        uint64_t refused_at;              /* when frames were refused at two looks last, ns */
        bool refuses;                     /* at the last look */
    } link_port_said;
    uint64_t strangers_said; /* on the link, as last logged */
    char view_file[256];
    _Atomic uint64_t view;
    _Atomic unsigned begun;  /* threads that have what they need of the system, and wait for `go` */
    _Atomic bool go;         /* no thread has a capability any more: they may look at packets and the peer */
    _Atomic bool lanes_stop; /* it ends now: lanes work until then, whatever keeps this thread busy */
    _Atomic bool realtime;   /* the replicator got its priority; written by its thread */
};

/* answers.c: the next step of an answer (nd_answer_fn). `status` is answered at once. Each other command has
 * its time (docs/reference.md), whatever lanes and replicator do. */
bool nd_answer(void *running, struct nd_exchange *exchange);

/* In each turn: a change that waited for a confirm in vain is taken back, as if an operator had done so. */
void nd_answer_due(struct nd_running *r, const struct rp_status *s);

/* trace.c: a step of it. */
bool nd_answer_trace(struct nd_running *r, struct nd_exchange *x, struct nd_work *w);

/* status.c: a new reference. */
json_t *nd_answer_status(struct nd_running *r);
/* In how many lanes the NF of that index is bypassed. */
unsigned nd_lanes_without(const struct nd_running *r, unsigned nf);

#endif
