/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes as tools have them. And a member of a pair that a tool forked: a real node (region, lanes,
 * replicator, link over the loopback) in a process of its own, with the tool's memory for ports. Put together
 * by the replay tool's nodes and by the bench's; owned by that process, which ends with it.
 */
#ifndef TOOLS_PAIR_MEMBER_H
#define TOOLS_PAIR_MEMBER_H

#include "nflib/chain/mark.h"
#include "lane/lane.h"
#include "understudy/config/config.h"
#include "replicator/replicator.h"

#include <pthread.h>
#include <sys/types.h>

/*
 * The lanes of a process, and the region that they work on: of a member, or without threads and replicator of
 * a tool that turns them itself. A process has one region. Memory that belongs to them stays for its life.
 */
struct nd_lanes {
    /* Given. */
    const struct nd_config *config;
    const struct nd_io *io;
    struct ft_lane_shared *shared;          /* [lanes], with rings */
    struct nd_lane_setup setup;             /* without question, view and stop, which are here */
    struct nf_mark *marks;                  /* [lanes]; NULL: nobody looks */
    enum ft_order doing;                    /* of a lane that turns by itself */
    const struct nd_link_port *const *wire; /* [lanes] ports to the other's lanes; NULL: none */

    struct ft_region *region;
    struct nd_lane lane[FT_LANES_MAX];
    struct nd_group group;
    struct nd_question question;
    _Atomic uint64_t view;
    _Atomic bool stop;
};

int nd_lanes_open(struct nd_lanes *lanes, const char *region_name, bool audit, struct ft_fault *fault);

enum nd_member_wish {
    ND_MEMBER_WORK,
    ND_MEMBER_REST, /* lanes stop, the region's digest is taken */
    ND_MEMBER_END,
};

/* What the tool wants of a member and what the member reports of itself, in memory that both map. */
struct nd_member_status {
    _Atomic int wish;            /* enum nd_member_wish; written by the tool, all else by the member */
    _Atomic int state;           /* enum ft_state */
    _Atomic bool failed, rested; /* it has failed with `fault`; it has come to rest */
    _Atomic uint64_t digest;     /* of the region, with `rested` */
    char why[FT_REASON_MAX];     /* why the state is what it is; for people only: may be read half written */
    struct ft_fault fault;
    struct nf_mark mark[FT_LANES_MAX]; /* what its lanes are at */
};

/* A place on the loopback for the two members of a run: an address of its own, a port for each, a directory
 * for their view files. Made and removed by the tool's process. */
struct nd_loopback {
    char directory[64], host[16];
    uint16_t port[ND_PAIR];
    struct rp_keys keys; /* of the members' link; count 0: it is not sealed */
};

struct nd_member_config {
    const struct nd_config *config;
    const struct nd_io *io;
    struct ft_lane_shared *shared; /* [lanes], zeroed; memory that the tool reads */
    const struct nd_loopback *place;
    unsigned number; /* 0: "a", which listens and begins as primary; 1: "b", the standby */
    const struct nd_link_port *const *wire; /* [lanes] its lanes' ports to the other's; NULL: none */
    const char *region_name;                /* of the memory */
    struct nd_timing timing;
    uint64_t seed;
    struct ft_datagram_key datagram_key; /* unique in the run */
    uint64_t replayed_bytes;             /* for outputs of replay, a lane; 0: the usual */
    bool guardian;                       /* start one: before any thread */
    bool realtime; /* lanes go before ordinary work, where permitted. The replicator's thread is the
                      caller's */
    struct nd_member_status *status;
    /* As struct rp_config has it, with the member; NULL: ignored. */
    void (*crashed)(void *member, const struct ft_crash_notice *notice, bool primary);
};

struct nd_member {
    const struct nd_member_config *config;
    struct nd_lanes lanes;
    struct nd_guardian *guardian; /* NULL: there is none */
    struct nd_member_lane {
        const struct nd_member *member;
        struct nd_lane *lane;
    } of[FT_LANES_MAX]; /* what each thread is given */
    pthread_t threads[FT_LANES_MAX];
    struct rp_replicator *replicator;
};

/* What a member is to its peer, core and link: for a replicator, or for what stands in for one. All of `out`
 * is set; `identity` stays borrowed. */
void nd_member_network(struct rp_config *out, const struct nd_member_config *c,
                       char identity[FT_IDENTITY_MAX]);

/* `c` stays borrowed. What failed stays as it is: the process ends. */
int nd_member_open(struct nd_member *m, const struct nd_member_config *c, struct ft_fault *fault);
/* The lanes' threads, on `cores` where that is not NULL. The replicator's thread is the caller's. */
int nd_member_start(struct nd_member *m, const cpu_set_t *cores, struct ft_fault *fault);
/* Calls `turn` again and again until the tool wants the end or `turn` fails; comes to rest in between when
 * the tool wants that: without a death notice, lanes ended. */
int nd_member_serve(struct nd_member *m, int (*turn)(void *arg, struct ft_fault *fault), void *arg,
                    struct ft_fault *fault);

/* In the tool's process: runs a member in a process of its own, to which signals to the group mean nothing.
 * When `run` returns an error, the member's status has its line. FT_ENOMEM; then *pid is 0. */
int nd_member_fork(pid_t *pid, struct nd_member_status *status, int (*run)(void *arg, struct ft_fault *fault),
                   void *arg, struct ft_fault *fault);
#define ND_MEMBER_AT 96u
/* ", lane 0 in NF nat", or "": none of its lanes is in a call of an NF. Of a process that has ended: where it
 * was. */
const char *nd_member_at(const struct nd_member_status *status, const struct nf_chain_config *chain,
                         char out[ND_MEMBER_AT]);
/*
 * Whether the member in process *pid still runs, member `number`, `shared` its lane 0. Where it has ended,
 * *pid becomes 0: FT_EIO with its own line, or FT_EDIVERGED when it ended without one, with the burst and
 * the NF it was at.
 */
int nd_member_check(pid_t *pid, unsigned number, const struct nd_member_status *status,
                    const struct nf_chain_config *chain, const struct ft_lane_shared *shared,
                    struct ft_fault *fault);

/* FT_EIO. Close it in any case. */
int nd_loopback_open(struct nd_loopback *place, bool sealed, struct ft_fault *fault);
void nd_loopback_close(struct nd_loopback *place);

#endif
