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
#include "tools/pair/child.h"
#include "node/control/client.h"
#include "node/control/pair.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536u /* packets between two looks at the clock */

struct measured {
    bool done;
    double ns; /* of processor time, a packet */
    double dependencies;
    struct ft_fault fault;
};

static double processor_ns(void)
{
    struct timespec t = {0, 0};

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(struct measured *m, const struct nd_config *config, struct nd_load *load,
                    const struct nd_bench_piece *piece, const struct nd_bench_options *o)
{
    struct nd_bench_alone *alone;
    uint64_t packets = 0, dependencies, records;
    double from, used;

    if (nd_bench_alone_open(&alone, config, load, piece, o->wish.seed, &m->fault) != 0)
        return;
    nd_bench_counted(alone, CHUNK);
    from = processor_ns();
    do {
        packets += nd_bench_counted(alone, CHUNK);
        used = processor_ns() - from;
    } while (used < o->seconds * 1e9);
    nd_bench_alone_dependencies(alone, &dependencies, &records);
    m->ns = used / (double)packets;
    m->dependencies = records ? (double)dependencies / (double)records : 0;
    m->done = true;
}

static int measure_apart(struct measured *m, const struct nd_config *config, struct nd_load *load,
                         const struct nd_bench_piece *piece, const struct nd_bench_options *o,
                         struct ft_fault *fault)
{
    cpu_set_t cores;
    int status = 0, rest;
    pid_t child;

    *m = (struct measured){.done = false};
    fflush(NULL);
    child = nd_child();
    if (child < 0)
        return ft_fail(fault, FT_ENOMEM, "no process: %s", strerror(errno));
    if (child == 0) {
        if (nd_bench_cores(1, &cores, &rest))
            sched_setaffinity(0, sizeof(cores), &cores);
        measure(m, config, load, piece, o);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (m->done)
        return 0;
    return ft_fail(fault, FT_EIO, "%s: %.180s", piece->name,
                   m->fault.text[0]      ? m->fault.text
                   : WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                         : "ended");
}

static unsigned index_of(const char *name)
{
    return (unsigned)(nd_bench_piece(name) - nd_bench_pieces_all);
}

struct summary {
    double ns, added, spread, dependencies; /* added: to the piece it is over */
};

static void sum_up(struct summary *s, const struct measured *m, unsigned rounds, unsigned piece)
{
    double ns[ND_BENCH_PAIRS], added[ND_BENCH_PAIRS];
    const char *over = nd_bench_pieces_all[piece].over;

    for (unsigned r = 0; r < rounds; r++) {
        ns[r] = m[r * ND_BENCH_PIECES + piece].ns;
        added[r] = over ? ns[r] - m[r * ND_BENCH_PIECES + index_of(over)].ns : 0;
    }
    s->ns = nd_bench_quantile(ns, rounds, 0.5);
    s->added = nd_bench_quantile(added, rounds, 0.5);
    s->spread = (nd_bench_quantile(added, rounds, 0.75) - nd_bench_quantile(added, rounds, 0.25)) / 2;
    s->dependencies = m[piece].dependencies;
}

static int print_json(const struct summary sums[], const struct nd_config *config)
{
    json_t *list = json_array(), *all;
    char machine[256];
    int code;

    nd_bench_machine(machine, sizeof(machine));
    for (unsigned p = 0; p < ND_BENCH_PIECES; p++) {
        const struct nd_bench_piece *piece = &nd_bench_pieces_all[p];

        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s?, s:f, s:o, s:f, s:f}", "piece", piece->name, "chain",
                            config->chain.name, "what", piece->what, "over", piece->over, "ns", sums[p].ns,
                            "added_ns", piece->over ? json_real(sums[p].added) : json_null(), "spread_ns",
                            sums[p].spread, "dependencies_per_record", sums[p].dependencies));
    }
    all = json_pack("{s:s, s:o}", "machine", machine, "pieces", list);
    code = all ? nd_print_json(all) : ND_SOFTWARE;
    json_decref(all);
    return code;
}

static void print(FILE *out, const struct summary sums[])
{
    fprintf(out, "%-10s %8s %8s %8s %9s  %s\n", "piece", "ns/pkt", "added", "spread", "dependencies/rec",
            "what");
    for (unsigned p = 0; p < ND_BENCH_PIECES; p++) {
        const struct nd_bench_piece *piece = &nd_bench_pieces_all[p];

        fprintf(out, "%-10s %8.1f %8.1f %8.1f %9.2f  %s%s%s\n", piece->name, sums[p].ns, sums[p].added,
                sums[p].spread, sums[p].dependencies, piece->what, piece->over ? "; over " : "",
                piece->over ? piece->over : "");
    }
    fprintf(out,
            "processor time of a lane without threads, medians of rounds; added: to the piece it is over\n");
}

int nd_bench_pieces(const struct nd_config *config, struct nd_load *load, const struct nd_bench_options *o)
{
    size_t count = (size_t)o->pairs * ND_BENCH_PIECES;
    struct summary sums[ND_BENCH_PIECES];
    struct ft_fault fault = {""};
    struct measured *m =
        mmap(NULL, count * sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int error = m == MAP_FAILED ? ft_fail(&fault, FT_ENOMEM, "no memory") : 0;

    for (size_t i = 0; i < count && !error; i++)
        error = measure_apart(&m[i], config, load, &nd_bench_pieces_all[i % ND_BENCH_PIECES], o, &fault);
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
