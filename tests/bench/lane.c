/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-lane: lanes without threads and without a replicator: receive, capture, chain, hold, release, in the
 * caller's thread, with as much of protection switched on as is asked for. All of it is the node's own code.
 * Time moves by a microsecond a turn, the loop itself moves the stable watermark, and the log ring is emptied
 * without being read, but for what encodes.
 *
 * bench-lane count: prints the number of packets; nothing varies from run to run, for an instruction counter
 * (scripts/instructions). bench-lane pieces: what each piece of protection costs a lane: processor time a
 * packet, with one piece more switched on. Each measurement is a process of its own (a process has one
 * region); rounds of all pieces follow each other, and differences are taken within a round, so slow changes
 * of the machine cancel.
 */
#define _GNU_SOURCE
#include "understudy/bench/bench.h"
#include "ftcore/base/clock.h"
#include "understudy/config/options.h"
#include "lane/lane.h"
#include "understudy/pair/child.h"

#include <stdlib.h>
#include <string.h>

#define BEHIND    8u /* bursts between the last executed and the last stable one */
#define TURN_NS   1000u
#define LOG_BYTES (4ull << 20)
#define CHUNK     65536u /* packets between two looks at the clock */

/* What is switched on; by name. */
static const struct piece {
    const char *name, *what;
    const char *over; /* the piece that it is more than by what it adds; NULL: none */
    bool holds;       /* outputs wait for a watermark some bursts behind */
    bool logs;        /* each burst has a record */
    bool by_seq;      /* the records have no inputs: a gate has them */
    bool encodes;     /* records are encoded as the sender does it */
    bool fed;         /* whole bursts, stamped, as from an input keeper; without its socket */
    bool marks;       /* the standby is warm: edits mark lines, for checkpoints. None is made here */
    unsigned lanes;   /* in turn, a burst each */
} pieces[] = {
    {"off", "the chain; outputs leave at once", NULL, .lanes = 1},
    {"hold", "outputs wait for a watermark, 8 bursts behind", "off", .holds = true, .lanes = 1},
    {"seq", "a record of each burst: number, clock, time; a gate has the inputs", "hold", .holds = true,
     .logs = true, .by_seq = true, .lanes = 1},
    {"inputs", "the record has the inputs, by their sessions where the chain reads flows alone", "seq",
     .holds = true, .logs = true, .lanes = 1},
    {"encode", "the sender's encoding of records, with its checksum", "inputs", .holds = true, .logs = true,
     .encodes = true, .lanes = 1},
    {"keeper", "an input keeper feeds the lane; what its socket costs is not in it", "inputs", .holds = true,
     .logs = true, .fed = true, .lanes = 1},
    {"marks", "a warm standby's: edits mark lines for the next checkpoint, which is not made", "inputs",
     .holds = true, .logs = true, .marks = true, .lanes = 1},
    {"two-lanes", "two lanes in turn, a burst each, nothing recorded", NULL, .lanes = 2},
    {"two-hold", "the same, outputs wait", "two-lanes", .holds = true, .lanes = 2},
    {"dependencies", "the same, recorded: inputs, and the order in what lanes share", "two-hold",
     .holds = true, .logs = true, .lanes = 2},
};
#define PIECES (sizeof(pieces) / sizeof(pieces[0]))

struct traffic {
    struct nd_config *config;
    struct nd_load load;
};

/* A process can have one. */
static struct alone {
    const struct piece *piece;
    struct nd_bench_slot *slot;
    struct nd_bench_io io;
    struct nd_lanes lanes;
    struct nd_config config;
    uint32_t (*receive)(void *ctx, unsigned lane, unsigned device, struct nd_frame frames[], uint32_t max);
    uint8_t *wire;                  /* NULL: records are not encoded */
    uint64_t dependencies, records; /* in records, since the flows were opened */
} alone;

static const struct piece *find_piece(const char *name)
{
    for (unsigned i = 0; i < PIECES; i++)
        if (strcmp(pieces[i].name, name) == 0)
            return &pieces[i];
    return NULL;
}

static uint32_t receive_nothing(void *ctx, unsigned lane, unsigned device, struct nd_frame frames[],
                                uint32_t max)
{
    (void)ctx, (void)lane, (void)device, (void)frames, (void)max;
    return 0;
}

/* What the ports have, from one after the other. */
static bool give_burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                       uint64_t *time)
{
    *n = 0;
    for (unsigned i = 0; i < ND_LOAD_SIDES && *n < NF_BURST_MAX; i++)
        *n += alone.receive(ctx, lane, (unsigned)(last + i) % ND_LOAD_SIDES, frames + *n, NF_BURST_MAX - *n);
    *time = nf_chain_state(alone.lanes.lane[lane].chain)->time + TURN_NS;
    return *n > 0;
}

static uint32_t hear_progress(void *ctx, unsigned lane, struct nd_progress *progress)
{
    (void)ctx, (void)lane, (void)progress;
    return 0;
}

/* Nobody takes over here. */
static void *no_rest(void *ctx, unsigned lane, uint64_t seq, const void *head, uint32_t have, uint32_t len)
{
    (void)ctx, (void)lane, (void)seq, (void)head, (void)have, (void)len;
    return NULL;
}

/* No record is replayed here, so nobody asks for inputs. */
static bool no_input(void *ctx, unsigned lane, uint64_t seq, uint8_t *frame, uint32_t *len, uint8_t *port)
{
    (void)ctx, (void)lane, (void)seq, (void)frame, (void)len, (void)port;
    return false;
}

static void drain_log(struct alone *a, unsigned lane)
{
    struct ft_ring *ring = &a->slot->shared[lane].log;
    const struct ft_record *r;
    uint64_t there;

    while ((r = ft_ring_peek(ring, &there))) {
        a->dependencies += r->dependencies;
        a->records++;
        if (a->wire && ft_record_encode(r, FT_FORMAT_NEWEST, false, a->wire, FT_RECORD_MAX * 2) < 0)
            abort();
        ft_ring_advance(ring, r->size);
    }
    ft_ring_consume(ring);
}

/* Each lane in its turn; `behind` bursts between the last executed and the last stable one. */
static inline void turn_lanes(struct alone *a, uint64_t behind)
{
    const struct piece *piece = a->piece;

    for (unsigned l = 0; l < piece->lanes; l++) {
        struct ft_lane_shared *shared = &a->slot->shared[l];
        uint64_t closed = atomic_load_explicit(&shared->report.executed, memory_order_relaxed);

        a->lanes.lane[l].now += TURN_NS;
        if (piece->holds)
            atomic_store_explicit(&shared->orders.stable, closed > behind ? closed - behind : 0,
                                  memory_order_release);
        if (piece->logs)
            drain_log(a, l);
        nd_lane_live(&a->lanes.lane[l]);
    }
}

static uint64_t count_released(const struct alone *a)
{
    uint64_t n = 0;

    for (unsigned l = 0; l < a->piece->lanes; l++)
        n += atomic_load_explicit(&a->slot->lane[l].released, memory_order_relaxed);
    return n;
}

/* Until so many packets more have left, and to the end of the burst: how many it were. A name of its own,
 * never inlined: what an instruction counter looks at. */
uint64_t nd_bench_counted(struct alone *a, uint64_t packets);
__attribute__((noinline)) uint64_t nd_bench_counted(struct alone *a, uint64_t packets)
{
    uint64_t before = count_released(a);

    while (count_released(a) - before < packets)
        turn_lanes(a, BEHIND);
    return count_released(a) - before;
}

static int make_lanes(struct alone *a, struct nd_load *load, uint64_t seed, struct ft_fault *fault)
{
    struct ft_lane_shared *shared = a->slot->shared;
    int error = nd_bench_io_open(&a->io, a->slot, load, fault);

    if (a->piece->by_seq) {
        a->io.io.input = no_input;
        a->io.io.frame_max = ND_LOAD_LINE;
    }
    if (a->piece->fed) {
        a->receive = a->io.io.receive;
        a->io.io.receive = receive_nothing;
        a->io.io.burst = give_burst;
        a->io.io.tell = hear_progress;
        a->io.io.rest = no_rest;
    }
    for (unsigned l = 0; l < a->piece->lanes && !error; l++) {
        if (ft_lane_init(&shared[l], LOG_BYTES, LOG_BYTES) != 0)
            error = ft_fail(fault, FT_ENOMEM, "no memory for rings");
        atomic_store(&shared[l].orders.lease_until, FT_ALL);
        atomic_store(&shared[l].orders.stable, a->piece->holds ? 0 : FT_ALL);
        atomic_store(&shared[l].orders.logging, a->piece->logs);
        atomic_store(&shared[l].orders.peer_version, FT_FORMAT_NEWEST);
    }
    a->lanes = (struct nd_lanes){
        .config = &a->config, .io = &a->io.io, .shared = shared, .setup.seed = seed, .doing = FT_LANE_LIVE};
    if (!error)
        error = nd_lanes_open(&a->lanes, "bench-lane", false, fault);
    if (!error && a->piece->logs) /* as a snapshot does: the stream begins, with the log */
        nd_stream_begin(&a->lanes.group);
    atomic_store(&a->slot->rate, ND_RATE_FULL);
    return error;
}

/* `load` is dealt out to the piece's lanes; all flows are open when this returns. */
static int open_alone(struct traffic *t, const struct piece *piece, struct ft_fault *fault)
{
    struct nd_bench_protection protection;
    struct alone *a = &alone;
    int error = nd_load_deal(&t->load, &t->config->chain, piece->lanes, fault);

    a->piece = piece;
    a->slot = nd_shared_memory(sizeof(*a->slot));
    a->wire = piece->encodes ? malloc(FT_RECORD_MAX * 2) : NULL;
    if (!error && (!a->slot || (piece->encodes && !a->wire)))
        error = ft_fail(fault, FT_ENOMEM, "no memory");
    if (error)
        return error;
    (void)nd_bench_protection(&protection,
                              !piece->logs   ? "off"
                              : piece->marks ? "log:warm"
                                             : "log",
                              t->config, NULL);
    nd_bench_adapt(&a->config, t->config, &protection, piece->lanes);
    a->config.protect.checkpoint_ms = UINT32_MAX; /* no checkpoint is due by time */
    a->config.protect.pending_mb = UINT32_MAX;    /* no checkpoint is due because the log has grown */
    error = make_lanes(a, &t->load, t->load.wish.seed, fault);
    while (!error && !nd_bench_has_opened(a->slot, &t->load))
        turn_lanes(a, 0);
    a->dependencies = a->records = 0;
    return error;
}

/* ---- the command ------------------------------------------------------------------------------- */

struct options {
    const char *config, *compare, *piece; /* piece NULL: as `compare` says */
    struct nd_load_wish wish;
    uint64_t count; /* packets */
    unsigned rounds;
    double seconds;
    bool json;
};

/* What --compare names, in words of pieces. NULL: none. */
static const struct piece *piece_of(const struct nd_config *config, const char *compare,
                                    struct ft_fault *fault)
{
    struct nd_bench_protection protection;
    const struct nd_protect *p = &protection.protect;

    if (nd_bench_protection(&protection, compare, config, fault) != 0)
        return NULL;
    if (nd_bench_is_off(&protection))
        return find_piece("off");
    if (p->records && !protection.unreduced)
        return find_piece(p->stores ? "marks" : "inputs");
    ft_fail(fault, FT_EINVAL, "--compare %.40s, expected off, log or log:warm", compare);
    return NULL;
}

static int count_packets(struct traffic *t, const struct options *o)
{
    struct ft_fault fault = {""};
    const struct piece *piece = o->piece ? find_piece(o->piece) : piece_of(t->config, o->compare, &fault);
    int error;

    if (!piece && o->piece)
        return nd_usage("count",
                        "--piece %.40s, expected off, hold, seq, inputs, encode, keeper, marks, two-lanes, "
                        "two-hold or dependencies",
                        o->piece);
    if (!piece)
        return nd_usage("count", "%s", fault.text);
    error = open_alone(t, piece, &fault);
    if (error) {
        fprintf(stderr, "bench-lane: %s\n", fault.text);
        return error == FT_EINVAL ? ND_USAGE : ND_SOFTWARE;
    }
    printf("%lu\n", nd_bench_counted(&alone, o->count));
    return ND_DONE;
}

struct measured {
    double ns; /* of processor time, a packet */
    double dependencies;
};

/* A measurement, for the process that makes it. */
struct measurement {
    struct traffic *traffic;
    const struct piece *piece;
    double seconds;
};

/* In a process of its own. */
static int measure_piece(void *arg, void *result, struct ft_fault *fault)
{
    const struct measurement *m = arg;
    struct measured *to = result;
    uint64_t packets = 0, from, used;
    cpu_set_t cores;
    int rest, error;

    if (nd_bench_cores(1, &cores, &rest))
        sched_setaffinity(0, sizeof(cores), &cores);
    error = open_alone(m->traffic, m->piece, fault);
    if (error)
        return error;
    nd_bench_counted(&alone, CHUNK);
    from = nd_cpu_time(CLOCK_THREAD_CPUTIME_ID);
    do {
        packets += nd_bench_counted(&alone, CHUNK);
        used = nd_cpu_time(CLOCK_THREAD_CPUTIME_ID) - from;
    } while ((double)used < m->seconds * 1e9);
    to->ns = (double)used / (double)packets;
    to->dependencies = alone.records ? (double)alone.dependencies / (double)alone.records : 0;
    return 0;
}

struct summary {
    double ns, added, spread, dependencies; /* added: to the piece it is over */
};

static const struct nd_column columns[] = {
    ND_REAL("ns/pkt", "ns", offsetof(struct summary, ns), 8, 1),
    ND_REAL("added", "added_ns", offsetof(struct summary, added), 8, 1),
    ND_REAL("spread", "spread_ns", offsetof(struct summary, spread), 8, 1),
    ND_REAL("dependencies/rec", "dependencies_per_record", offsetof(struct summary, dependencies), 16, 2),
    {.title = NULL},
};

static struct summary sum_up(struct measured m[][PIECES], unsigned rounds, const struct piece *piece)
{
    double ns[ND_BENCH_PAIRS], added[ND_BENCH_PAIRS];
    unsigned at = (unsigned)(piece - pieces);

    for (unsigned r = 0; r < rounds; r++) {
        ns[r] = m[r][at].ns;
        added[r] = piece->over ? ns[r] - m[r][find_piece(piece->over) - pieces].ns : 0;
    }
    return (struct summary){.ns = nd_quantile(ns, rounds, 0.5),
                            .added = nd_quantile(added, rounds, 0.5),
                            .spread =
                                (nd_quantile(added, rounds, 0.75) - nd_quantile(added, rounds, 0.25)) / 2,
                            .dependencies = m[0][at].dependencies};
}

static int measure_pieces(struct traffic *t, const struct options *o)
{
    static struct measured m[ND_BENCH_PAIRS][PIECES];
    const struct nd_sheet sheet = {.out = o->json ? stderr : stdout, .wide = 12};
    json_t *list;
    struct ft_fault fault = {""};
    int error = 0;

    for (unsigned i = 0; i < o->rounds * PIECES && !error; i++) {
        const struct piece *piece = &pieces[i % PIECES];
        struct measurement one = {t, piece, o->seconds};

        error = nd_child_run(measure_piece, &one, &m[i / PIECES][i % PIECES], sizeof(m[0][0]), piece->name,
                             &fault);
    }
    if (error) {
        fprintf(stderr, "bench-lane: %s\n", fault.text);
        return ND_SOFTWARE;
    }
    list = json_array();
    nd_sheet_begin(&sheet, columns, "piece");
    for (const struct piece *p = pieces; p < pieces + PIECES; p++) {
        struct summary s = sum_up(m, o->rounds, p);
        json_t *one = json_pack("{s:s, s:s, s:s, s:s?}", "piece", p->name, "chain", t->config->chain.name,
                                "what", p->what, "over", p->over);

        fprintf(sheet.out, "%-12s", p->name);
        nd_columns_cells(sheet.out, columns, &s);
        fprintf(sheet.out, "  %s%s%s\n", p->what, p->over ? "; over " : "", p->over ? p->over : "");
        nd_columns_json(one, columns, &s);
        if (!p->over)
            json_object_set_new(one, "added_ns", json_null());
        json_array_append_new(list, one);
    }
    fprintf(sheet.out,
            "processor time of a lane without threads, medians of rounds; added: to the piece it is over\n");
    return o->json ? nd_bench_print_list(NULL, "pieces", list) : ND_DONE;
}

#define AT(field) offsetof(struct options, field)

static const struct nd_option rows[] = {
    ND_OPTION_FILE_ROW(AT(config), "-c FILE"),
    {"flows", 0, ND_OPTION_U64, AT(wish.flows), 2, 16u << 20, "100000", .value = "N", .help = "how many"},
    {"frame", 0, ND_OPTION_U32, AT(wish.frame), 64, 1500, "64", .value = "N", .help = "bytes of a frame"},
    {"seed", 0, ND_OPTION_U64, AT(wish.seed), .preset = "1", .value = "N", .help = "of the traffic"},
    {"new-share", 0, ND_OPTION_U32, AT(wish.new_share), 1, 100, .value = "PCT",
     .help = "percent of all packets that are of new flows"},
    {"new-kind", 0, ND_OPTION_CHOICE, AT(wish.new_kind), .choices = nd_new_kinds, .value = "syn|tcp|udp",
     .help = "of which a new flow has a SYN, six packets from SYN to FIN, or a datagram"},
    {"compare", 0, ND_OPTION_TEXT, AT(compare), .preset = "log", .value = "NAME",
     .help = "count: with this protection: off, log or log:warm"},
    {"piece", 0, ND_OPTION_TEXT, AT(piece), .value = "NAME", .help = "count: with this piece of protection"},
    {"count", 0, ND_OPTION_U64, AT(count), 1, 1000000000, "100000", .value = "N", .help = "count: packets"},
    {"pairs", 0, ND_OPTION_U32, AT(rounds), 1, ND_BENCH_PAIRS, "5", .value = "N", .help = "pieces: rounds"},
    {"seconds", 0, ND_OPTION_REAL, AT(seconds), 0.05, 600, "1", .value = "S",
     .help = "pieces: of each measurement"},
    ND_OPTION_JSON_ROW(AT(json)),
    {.name = NULL},
};

int main(int argc, char **argv)
{
    static struct traffic t;
    bool count = argc > 1 && strcmp(argv[1], "count") == 0,
         whole = argc > 1 && strcmp(argv[1], "pieces") == 0;
    const struct nd_syntax syntax = {count ? "count" : "pieces", rows, "", 0, 0};
    struct options o = {.config = NULL};
    struct nd_arguments rest;
    struct ft_fault fault = {""};
    int code, error;

    if (!count && !whole)
        return nd_usage(NULL, "bench-lane: expected count or pieces, and its options");
    code = nd_syntax_read(&syntax, &o, argc - 1, argv + 1, &rest);
    if (code)
        return code;
    error = nd_config_read(&t.config, o.config, 0, &fault);
    if (!error)
        error = nd_load_make(&t.load, NULL, &o.wish, &t.config->chain, &fault);
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    code = count ? count_packets(&t, &o) : measure_pieces(&t, &o);
    nd_load_free(&t.load);
    nd_config_free(t.config);
    return code;
}
