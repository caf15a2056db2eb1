/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each piece of protection costs a lane: the same lanes and packets with one piece more switched on,
 * processor time a packet, without threads. Each measurement is a process of its own (a process has one
 * region); rounds of all pieces follow each other, and differences are taken within a round, so slow changes
 * of the machine cancel. What threads add, a replicator and a standby that acknowledges, is the comparison's
 * to say.
 */
#define _GNU_SOURCE /* affinity */
#include "tools/bench/alone.h"
#include "node/control/client.h"
#include "tools/pair/child.h"
#include "tools/pair/columns.h"
#include "tools/pair/quantile.h"

#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#define CHUNK 65536u /* packets between two looks at the clock */

struct measured {
    double ns; /* of processor time, a packet */
    double dependencies;
};

/* A measurement, for the process that makes it. */
struct measurement {
    struct measured *to; /* shared memory */
    const struct nd_config *config;
    struct nd_load *load;
    const struct nd_bench_piece *piece;
    const struct nd_bench_options *options;
};

static double processor_ns(void)
{
    struct timespec t = {0, 0};

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* In a process of its own. */
static int measure(void *arg, struct ft_fault *fault)
{
    const struct measurement *m = arg;
    struct nd_bench_alone *alone;
    uint64_t packets = 0, dependencies, records;
    double from, used;
    cpu_set_t cores;
    int rest, error;

    if (nd_bench_cores(1, &cores, &rest))
        sched_setaffinity(0, sizeof(cores), &cores);
    error = nd_bench_alone_open(&alone, m->config, m->load, m->piece, m->options->wish.seed, fault);
    if (error)
        return error;
    nd_bench_counted(alone, CHUNK);
    from = processor_ns();
    do {
        packets += nd_bench_counted(alone, CHUNK);
        used = processor_ns() - from;
    } while (used < m->options->seconds * 1e9);
    nd_bench_alone_dependencies(alone, &dependencies, &records);
    m->to->ns = used / (double)packets;
    m->to->dependencies = records ? (double)dependencies / (double)records : 0;
    return 0;
}

static unsigned index_of(const char *name)
{
    return (unsigned)(nd_bench_piece(name) - nd_bench_pieces_all);
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

static void sum_up(struct summary *s, const struct measured *m, unsigned rounds, unsigned piece)
{
    double ns[ND_BENCH_PAIRS], added[ND_BENCH_PAIRS];
    const char *over = nd_bench_pieces_all[piece].over;

    for (unsigned r = 0; r < rounds; r++) {
        ns[r] = m[r * ND_BENCH_PIECES + piece].ns;
        added[r] = over ? ns[r] - m[r * ND_BENCH_PIECES + index_of(over)].ns : 0;
    }
    s->ns = nd_quantile(ns, rounds, 0.5);
    s->added = nd_quantile(added, rounds, 0.5);
    s->spread = (nd_quantile(added, rounds, 0.75) - nd_quantile(added, rounds, 0.25)) / 2;
    s->dependencies = m[piece].dependencies;
}

static int print_json(const struct summary sums[], const struct nd_config *config)
{
    json_t *list = json_array();

    for (unsigned p = 0; p < ND_BENCH_PIECES; p++) {
        const struct nd_bench_piece *piece = &nd_bench_pieces_all[p];
        json_t *one = json_pack("{s:s, s:s, s:s, s:s?}", "piece", piece->name, "chain", config->chain.name,
                                "what", piece->what, "over", piece->over);

        nd_columns_json(one, columns, &sums[p]);
        if (!piece->over)
            json_object_set_new(one, "added_ns", json_null());
        json_array_append_new(list, one);
    }
    return nd_bench_print_list(NULL, "pieces", list);
}

static void print(FILE *out, const struct summary sums[])
{
    nd_columns_titles(out, columns, "piece", 12);
    for (unsigned p = 0; p < ND_BENCH_PIECES; p++) {
        const struct nd_bench_piece *piece = &nd_bench_pieces_all[p];

        fprintf(out, "%-12s", piece->name);
        nd_columns_cells(out, columns, &sums[p]);
        fprintf(out, "  %s%s%s\n", piece->what, piece->over ? "; over " : "", piece->over ? piece->over : "");
    }
    fprintf(out,
            "processor time of a lane without threads, medians of rounds; added: to the piece it is over\n");
}

int nd_bench_pieces(const struct nd_config *config, struct nd_load *load, const struct nd_bench_options *o)
{
    size_t count = (size_t)o->pairs * ND_BENCH_PIECES;
    struct summary sums[ND_BENCH_PIECES];
    struct ft_fault fault = {""};
    struct measured *m = nd_shared_memory(count * sizeof(*m));
    int error = m ? 0 : ft_fail(&fault, FT_ENOMEM, "no memory");

    for (size_t i = 0; i < count && !error; i++) {
        const struct nd_bench_piece *piece = &nd_bench_pieces_all[i % ND_BENCH_PIECES];
        struct measurement one = {&m[i], config, load, piece, o};

        error = nd_child_run(measure, &one, piece->name, &fault);
    }
    if (error) {
        fprintf(stderr, "understudy bench: %s\n", fault.text);
        return ND_SOFTWARE;
    }
    for (unsigned p = 0; p < ND_BENCH_PIECES; p++)
        sum_up(&sums[p], m, o->pairs, p);
    munmap(m, count * sizeof(*m));
    print(o->json ? stderr : stdout, sums);
    return o->json ? print_json(sums, config) : ND_DONE;
}
