/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench: what protection costs while nothing fails, and how soon a successor releases when something
 * does. Options and pairs of runs (understudy/bench/cmd_bench.c), what is compared and how it is set
 * (understudy/bench/setup.c), one run of nodes, and two servers one after the other (understudy/bench/run.c),
 * what stands in for one of those (understudy/bench/servers.c), the traffic and ports
 * (understudy/bench/io.c), what the runs came to (understudy/bench/figures.c), the machine
 * (understudy/bench/floor.c).
 */
#ifndef TOOLS_BENCH_BENCH_H
#define TOOLS_BENCH_BENCH_H

#include "understudy/bench/io.h"
#include "understudy/pair/report.h"

#define ND_BENCH_KINDS 16u   /* protections in one comparison, at most */
#define ND_BENCH_PAIRS 99u   /* pairs of runs for each, at most */
#define ND_BENCH_LOADS 4u    /* of latency: 25, 50, 75, 90 % of saturation */
#define ND_BENCH_KILLS 1000u /* takeovers that are timed, at most */
#define ND_BENCH_LAG   600u  /* seconds for which the lag is watched, at most */

extern const unsigned nd_bench_loads[ND_BENCH_LOADS]; /* percent */

/* ---- understudy/bench/setup.c: what is compared, and how it is set ---- */

struct nd_bench_protection {
    char name[24];                    /* "log:warm" */
    struct nd_protect protect;        /* the file's, changed as the name says */
    bool unreduced;                   /* the access log is not reduced: every access is in the record */
    bool port;                        /* lanes speak to each other by memory that they share */
    const void *peer;                 /* state elsewhere as well, see nd_bench_peer: one node, nobody takes
                                         over; NULL: none */
    char settings[ND_BENCH_SETTINGS]; /* for people; of a peer, as it was set when it ran */
};

/* Who keeps the chain's state elsewhere as well, to compare: a program of the tests brings it. */
struct nd_bench_peer {
    /* What it is, if `name` is one of its; FT_ENOENT: it is not. */
    int (*named)(struct nd_bench_protection *out, const char *name, const struct nd_config *config,
                 struct ft_fault *fault);
    /* In the node's process, before its chain is made; and when its ports are there. */
    int (*open)(const void *peer, char settings[ND_BENCH_SETTINGS], struct ft_fault *fault);
    void (*take_ports)(struct nd_io *io);
    const char *(*lost)(void); /* NULL, or why it is of no use any more */
};
extern const struct nd_bench_peer *nd_bench_peer; /* NULL: there is none */

/*
 * The file's settings, changed as the name says: "log", "delta:warm", "redis-sync-cache:64" …. FT_EINVAL with
 * a line: unknown, out->name is ""; or nothing this build does, such as a log that cannot be replayed (see
 * nd_config_decide). The pieces make such a log all the same, and replay nothing.
 */
int nd_bench_protection(struct nd_bench_protection *out, const char *name, const struct nd_config *config,
                        struct ft_fault *fault);
/* The one that all are held against. */
static inline bool nd_bench_is_off(const struct nd_bench_protection *p)
{
    return !p->protect.pair && !p->peer;
}
/* A copy of `config` that protects so, in so many lanes. Everything it points to stays the other's. */
void nd_bench_adapt(struct nd_config *out, const struct nd_config *config,
                    const struct nd_bench_protection *protection, unsigned lanes);

/* The rings of a node's lane get their memory. */
void nd_bench_populate(struct ft_lane_shared *shared, bool standby);

/* The times the bench gives its nodes: a loaded machine must raise no false alarm, and a death is reported by
 * the guardian. */
extern const struct nd_timing nd_bench_timing;

/* Cores of the primary's lanes, one each as far as there are so many (returned), and of the rest. 0: there is
 * only one, nothing is pinned. */
unsigned nd_bench_cores(unsigned lanes, cpu_set_t *of_lanes, int *rest);

struct nd_bench_options {
    const char *config, *capture, *save; /* capture NULL: synthetic; save NULL: nowhere */
    const char *report;                  /* a page; NULL: none */
    const char *compare;                 /* "off,log" */
    struct nd_load_wish wish;
    unsigned pairs;         /* 1 … ND_BENCH_PAIRS */
    double seconds;         /* of each measurement, 0.05 … 600 */
    unsigned lanes;         /* 0: as the file sets */
    unsigned takeovers;     /* further runs that end with a kill, 0 … ND_BENCH_KILLS */
    unsigned takeover_load; /* percent of saturation at which primaries are killed, 1 … 100 */
    unsigned lag;           /* seconds, 0 … ND_BENCH_LAG; 0: the lag is not watched */
    bool json, no_latency;
    bool realtime;    /* priorities as of a node whose file asks for them */
    bool insecure;    /* the link of the pair is not sealed */
    bool two_servers; /* each server has both cores, one after the other */
};

/* ---- understudy/bench/run.c ---- */

/* The nodes' threads; the lanes of a node count together. Of node n: 2 * n, 2 * n + 1. */
enum { ND_BENCH_LANE, ND_BENCH_REPLICATOR, ND_BENCH_SB_LANE, ND_BENCH_SB_REPLICATOR, ND_BENCH_THREADS };

/* How a thread spent its time, of a core, 0 … 1. */
struct nd_bench_thread {
    double cpu; /* processor time */
    double useful, empty, asleep;
    double longs;   /* turns longer than a millisecond, a second */
    double longest; /* turn, ms, since its thread began */
};

/* At a load in open loop. Lag: sent and not known to be replayed, the most that was sampled, and as the load
 * ended. */
struct nd_bench_latency {
    double mpps;           /* offered */
    double p50, p99, most; /* us */
    double bursts;         /* of the primary's lanes, a second, without empty ones */
    double packets;        /* in one of them */
    double records;        /* sent, a second */
    uint64_t lag_packets, lag_end_packets;
    double lag_mb, lag_end_mb; /* in memory form */
    struct nd_bench_thread thread[ND_BENCH_THREADS];
};

/* What one run of a protection came to. */
struct nd_bench_result {
    /* Figures of which the table shows the median; all are double, up to `dropped`. */
    double lane_ns;  /* of processor time that the lane used for a packet, waiting by spinning included */
    double mpps, ns; /* a packet on the lane, at saturation */
    double wire_bytes, records; /* a packet; a second. Of the link, heartbeats and all */
    struct nd_bench_thread thread[ND_BENCH_THREADS];
    double dropped; /* share of what came */
    double region_mb, resident_mb, standby_resident_mb;
    uint64_t lag[2]; /* most packets that the standby was behind, as sampled, in each half of the time */
    uint64_t waits;  /* turns in which a lane could not receive: hold or log ring full */
    uint64_t credit_waits; /* times the sender waited for the standby's credit */
    double takeover_ms;    /* kill to the first released packet; negative: none */
    double replayed_ms;    /* kill to the end of the successor's replay */
    bool realtime;         /* the primary's replicator got its priority */
    struct nd_bench_latency latency[ND_BENCH_LOADS];
    char settings[ND_BENCH_SETTINGS]; /* of a peer: the settings that it reported; "": no peer */
};

/* The lag at saturation, at one moment. Bursts and, in log segments, records are the same number. */
struct nd_bench_sample {
    double second, mpps;                 /* since the watch began; released since the sample before */
    uint64_t unacknowledged, unreplayed; /* bursts: executed and not stable; stable and not replayed */
    uint64_t unsent_bytes;               /* records in the log rings */
    uint64_t unreplayed_bytes;           /* sent, and not known to be replayed, in memory form */
    uint64_t packets;                    /* recorded and not known to be replayed */
    uint64_t held;                       /* outputs that wait */
    uint64_t waits, credit_waits;        /* since the sample before; as in the result */
    double resident_mb, standby_resident_mb;
};

struct nd_bench_lag {
    unsigned seconds, count; /* wanted; samples that are there */
    struct nd_bench_sample sample[ND_BENCH_LAG];
};

/* Of two servers on one machine, the one that is there: what stands in for the other is in
 * understudy/bench/servers.c.
 */
enum nd_bench_server { ND_BENCH_BOTH, ND_BENCH_PRIMARY, ND_BENCH_STANDBY };
struct nd_bench_tape;

struct nd_bench_plan {
    const struct nd_config *config; /* adapted */
    const struct nd_load *load;
    bool port;                              /* lanes speak to each other by memory that they share */
    const void *peer;                       /* where the state is as well; NULL: in the region alone */
    const struct nd_bench_options *options; /* seconds, takeover_load, realtime, seed */
    bool saturate;                          /* measure saturation */
    double saturation; /* Mpps that the latency's loads are of, and kills where it is not measured; 0: no
                          latency */
    bool late;         /* measure latencies */
    bool kill;         /* kill the primary at the end, while packets arrive */
    enum nd_bench_server server;
    struct nd_bench_tape *tape; /* of a primary: to be written, NULL: none; of a standby: played */
    struct nd_bench_lag *lag;   /* NULL: not watched */
};

/* FT_EIO …: nodes that do not start or end by themselves, a sink that found a gap; FT_EMALFORMED: a chain
 * that lets nothing pass. Nothing is left running. */
int nd_bench_run(struct nd_bench_result *out, const struct nd_bench_plan *plan, struct ft_fault *fault);

/* ---- the nodes of a run, in the bench's own process ---- */

/* Since when a lane has executed no burst with packets. */
struct nd_bench_quiet {
    uint64_t executed, unfed, since; /* such bursts; times it had asked its ports by then; ns */
};

struct nd_bench_nodes {
    const struct nd_bench_plan *plan;
    struct nd_loopback place;
    struct nd_bench_slot *slot[ND_PAIR];
    pid_t pid[ND_PAIR]; /* 0: none */
    unsigned lanes;
    bool alone;
    uint64_t from; /* packets that had left when the measurement began */
    struct nd_bench_quiet quiet[FT_LANES_MAX];
    uint64_t at; /* ns: has_shown waits for what nodes show after it */
};

/* ---- understudy/bench/servers.c: what stands in for one of two servers ---- */

#define ND_TAPE_SNAPSHOT (128u << 20) /* bytes of a snapshot's lines, encoded */
#define ND_TAPE_LOG      (512u << 20) /* bytes of records, encoded */

/* The stream of a primary from a snapshot on, in memory that the bench shares with its processes. Written by
 * the peer; the bench closes it; read by the feeder of a later run. */
struct nd_bench_tape {
    uint64_t burst, access; /* where the snapshot was cut */
    uint32_t snapshots;     /* messages: each four bytes of length and its bulk */
    uint64_t snapshot_bytes, log_bytes;
    _Atomic bool closed;       /* nothing is added any more: it is full, or the bench wants no more */
    uint64_t records, packets; /* in the log */
    uint64_t last;             /* burst of the last record */
    uint8_t snapshot[ND_TAPE_SNAPSHOT];
    uint8_t log[ND_TAPE_LOG]; /* records, one after the other */
};

/* What a standby was fed with, and what it replayed of it. */
struct nd_bench_stream {
    uint64_t packets, records, bytes, replayed;
};

/* Starts what stands in for node n of the run. FT_ENOMEM. */
int nd_bench_start_half(struct nd_bench_nodes *all, unsigned n, struct ft_fault *fault);

/* ---- understudy/bench/cmd_bench.c ---- */

struct nd_bench_row {
    struct nd_bench_protection protection;
    unsigned pairs;
    struct nd_bench_result off[ND_BENCH_PAIRS], with[ND_BENCH_PAIRS];
    struct nd_bench_result primary[ND_BENCH_PAIRS], standby[ND_BENCH_PAIRS]; /* each with both cores */
    struct nd_bench_stream stream;                                           /* of the last pair */
    struct nd_bench_result off_late, with_late;                              /* the runs with latencies */
    bool late;
    unsigned takeovers;
    double takeover_ms[ND_BENCH_PAIRS + 1 + ND_BENCH_KILLS];
    double replayed_ms[ND_BENCH_PAIRS + 1 + ND_BENCH_KILLS];
    struct nd_bench_lag lag; /* count 0: not watched */
    char refused[200];       /* "": it ran */
};

/* ---- understudy/bench/run.c ---- */

/* Two servers: primary, then standby, each alone, as pair `i` of the row; row->with[i] is what both reach. */
int nd_bench_servers_run(struct nd_bench_row *row, unsigned i, const struct nd_bench_plan *plan,
                         struct ft_fault *fault);

/* ---- understudy/bench/floor.c: the machine's own part of a message's time ---- */

/* 0: there is one core, or it could not be measured. */
struct nd_bench_floor {
    double spinning_us, blocking_us; /* TCP on the loopback, there and back */
    double line_ns;                  /* a cache line, one way */
};

void nd_bench_floor(struct nd_bench_floor *out);

/* ---- understudy/bench/figures.c ---- */

/* A comparison: what is asked for, and what came of it. */
struct nd_bench {
    struct nd_bench_options options;
    struct nd_bench_floor floor;
    struct nd_config *config;
    struct nd_load load;
    struct nd_bench_row *rows;
    unsigned count;
    struct nd_report report; /* with options.report */
};

/* The median of one field over the runs. */
double nd_bench_median(const struct nd_bench_result runs[], unsigned count, size_t offset);
/* The tables, for people; into the file of --save; the figures as JSON; both as a report: as the options ask
 * for. An exit code, with a line printed where something cannot be written. */
int nd_bench_report(struct nd_bench *b);
/* Before minutes are spent on what cannot be kept: an exit code, with its line, where --save cannot be. */
int nd_bench_check_save(const struct nd_bench *b);
/* Prints {"machine": …} with `list` (a reference that is taken) under `key`, beside what `all` (the same, or
 * NULL) has. 0 or ND_SOFTWARE. */
int nd_bench_print_list(json_t *all, const char *key, json_t *list);

#endif
