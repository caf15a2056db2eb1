/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums over a node's lanes, for status and log: counters of NFs, what passed them, tables that can be full,
 * takeovers. The main thread's, which alone reads the list of tables; what is counted lies in the region.
 */
#ifndef NODE_WATCH_COUNTS_H
#define NODE_WATCH_COUNTS_H

#include "understudy/config/config.h"
#include "lane/lane.h"
#include "understudy/metrics/metrics.h"
#include "replicator/replicator.h"

/* Takeovers and planned handovers to this node since its start, by how long they took. */
struct nd_takeovers {
    uint64_t view; /* of the last one that is counted */
    struct ft_histogram took;
};

/* A table of a lane, or of all, and what was logged of it. */
struct nd_table {
    struct nf_table table;
    char name[48]; /* "nat.flows"; "sessions" of no NF */
    uint16_t lane;
    uint8_t told; /* percent at which it was last logged; 0: it has room */
};

/* What was last logged of neighbours for which another MAC was claimed. Times in ns. */
struct nd_neighbours_said {
    uint64_t contested, moved, last; /* counts of frames and neighbours; 0: nothing yet */
    uint64_t due;                    /* 0: there is nothing to log */
};

/* The same of own addresses that other hosts have. */
struct nd_conflicts_said {
    uint64_t frames, last;
};

/* And of hosts at their limit of flows. */
struct nd_hosts_said {
    uint64_t hosts, last;
};

/* And of events that found no room in the log of flows. */
struct nd_log_said {
    uint64_t lost, before; /* so many by the last look, and before this loss began */
    uint64_t at;           /* when the last one was, ns */
    bool loses;
};

struct nd_counts {
    const struct nd_config *config;
    const struct nd_lane *lanes;
    const struct ft_lane_shared *shared;
    bool paused; /* lanes may exchange the region: its layout and what lies in it are not to be read */
    const struct nf_module *counted[FT_NFS_MAX];        /* by place in the chain; NULL: counts nothing */
    const uint64_t *counters[FT_LANES_MAX][FT_NFS_MAX]; /* in the region: lanes add to them */
    struct nd_table *tables;                            /* [table_count]; a table's lanes stand together */
    unsigned table_count;
    struct nd_takeovers takeovers;
    struct nd_neighbours_said neighbours_said;
    struct nd_conflicts_said conflicts_said;
    struct nd_hosts_said hosts_said;
    struct nd_log_said log_said;
};

/* Before lanes begin, with the first three members set, and when they have changed their chain: where its
 * counters and tables are, and they are counted again. `tables` is the caller's to free. FT_ENOMEM. */
int nd_counts_find(struct nd_counts *c, struct ft_fault *fault);

/*
 * In each turn of the main thread. Logs, once each: a table that is 80 % and 100 % full, and that has room
 * again, by the primary alone; neighbours when a contest is over; own addresses that others claim; and hosts
 * that have begun as many flows as they may.
 */
void nd_counts_turn(struct nd_counts *c, const struct rp_status *s);

/* For status and show, by name: of one NF or, with NULL, of all. Nothing while they are paused. */
json_t *nd_counters_status(const struct nd_counts *c, const char *nf);
json_t *nd_tables_status(const struct nd_counts *c, const char *nf);
json_t *nd_timeouts_status(const struct nd_counts *c,
                           const char *nf);           /* seconds by key, as `set` left them */
json_t *nd_passing_status(const struct nd_counts *c); /* by NF and lane: packets, and drops of them */

#endif
