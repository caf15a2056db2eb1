/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prober as a program of its own, for the lab and the demo:
 *
 *   probe serve ADDRESS PORT
 *   probe run ADDRESS PORT --seconds N [--interval-us N] [--flows N] [--flow-interval-us N]
 *       [--from SPACE] [--to SPACE] [-o json]
 *   probe bytes SEED COUNT                COUNT bytes that follow from SEED, to stdout
 *
 * `run` ends after N seconds or on SIGTERM or SIGINT, and then tells what it saw; on SIGUSR1 it tells what it
 * has seen so far, and goes on. With --to it serves, too.
 */
#include "understudy/drill/probe.c"

#include <getopt.h>
#include <jansson.h>

#define GAP_LEAST_NS      3000000u /* shorter silences are not listed */
#define FLOW_GAP_LEAST_NS 12000000u

static volatile sig_atomic_t ended, asked;

static void on_end(int signal_number)
{
    (void)signal_number;
    ended = 1;
}

static void on_ask(int signal_number)
{
    (void)signal_number;
    asked = 1;
}

static int usage(void)
{
    fputs("usage: probe serve ADDRESS PORT\n"
          "       probe run ADDRESS PORT --seconds N [--interval-us N] [--flows N] [--flow-interval-us N]\n"
          "           [--from SPACE] [--to SPACE] [-o json]\n"
          "       probe bytes SEED COUNT\n",
          stderr);
    return 64;
}

/* Silences of at least so long, in order. */
struct gaps {
    json_t *list;
    uint64_t least_ns, last;
};

static void add_gap(void *ctx, uint64_t ns)
{
    struct gaps *g = ctx;
    if (g->last != 0 && ns > g->last && ns - g->last >= g->least_ns)
        json_array_append_new(g->list, json_pack("{s:I,s:f}", "at_ns", (json_int_t)g->last, "ms",
                                                 (double)(ns - g->last) / 1e6));
    g->last = ns;
}

static json_t *gaps_of(const struct nd_prober *p, int flow, uint64_t least_ns)
{
    struct gaps gaps = {.list = json_array(), .least_ns = least_ns};
    nd_probe_arrivals(p, flow, 0, UINT64_MAX, add_gap, &gaps);
    return gaps.list;
}

static void add_loss(void *ctx, uint64_t sent_ns, uint64_t answered_ns)
{
    if (answered_ns == 0)
        json_array_append_new(ctx, json_integer((json_int_t)sent_ns));
}

static int report(const struct nd_prober *p, uint64_t begin, uint64_t end, bool json)
{
    struct nd_probe_figures f;
    nd_probe_figures(p, begin, end, &f);
    if (!json) {
        printf(
            "sent %lu, received %lu, lost %lu, duplicated %lu, reordered %lu, contradicted %lu, refused %lu; "
            "longest silence %.1f ms; worst lateness of the prober %.1f ms\n",
            f.sent, f.received, f.lost, f.duplicated, f.reordered, f.contradicted, f.refused, f.silence_ms,
            f.late_ms);
        if (f.flows)
            printf("%lu TCP flows, %lu broken; longest silence of the median flow %.1f ms, of the worst %.1f "
                   "ms\n",
                   f.flows, f.flows_broken, f.flow_silence_ms, f.flow_worst_ms);
        return 0;
    }
    json_t *flow_gaps = json_array(), *losses = json_array();
    nd_probe_sends(p, begin, end, add_loss, losses);
    for (uint32_t i = 0; i < f.flows; i++)
        json_array_append_new(flow_gaps, gaps_of(p, (int)i, FLOW_GAP_LEAST_NS));
    json_t *o = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:i,s:i,s:f,s:f,s:I,s:I,s:o,s:o,s:o}", "sent",
        (json_int_t)f.sent, "received", (json_int_t)f.received, "lost", (json_int_t)f.lost, "duplicated",
        (json_int_t)f.duplicated, "reordered", (json_int_t)f.reordered, "contradicted",
        (json_int_t)f.contradicted, "refused", (json_int_t)f.refused, "silence_ms", f.silence_ms, "late_ms",
        f.late_ms, "flows", (int)f.flows, "flows_broken", (int)f.flows_broken, "flow_silence_ms",
        f.flow_silence_ms, "flow_worst_ms", f.flow_worst_ms, "begin_ns", (json_int_t)begin, "end_ns",
        (json_int_t)end, "gaps", gaps_of(p, -1, GAP_LEAST_NS), "flow_gaps", flow_gaps, "lost_at_ns", losses);
    int bad = json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
    return bad ? 70 : 0;
}

static int run(int argc, char **argv)
{
    static const struct option longs[] = {{"seconds", 1, NULL, 's'},
                                          {"interval-us", 1, NULL, 'i'},
                                          {"flow-interval-us", 1, NULL, 'm'},
                                          {"flows", 1, NULL, 'n'},
                                          {"from", 1, NULL, 'f'},
                                          {"to", 1, NULL, 't'},
                                          {"output", 1, NULL, 'o'},
                                          {NULL, 0, NULL, 0}};
    struct nd_probe_options o = {.address = argv[2],
                                 .port = (uint16_t)atoi(argv[3]),
                                 .interval_us = 1000,
                                 .flow_interval_us = 5000,
                                 .seconds = 10};
    bool json = false;
    int c;
    optind = 4;
    while ((c = getopt_long(argc, argv, "o:", longs, NULL)) != -1)
        switch (c) {
        case 's':
            o.seconds = (uint32_t)atoi(optarg);
            break;
        case 'i':
            o.interval_us = (uint32_t)atoi(optarg);
            break;
        case 'm':
            o.flow_interval_us = (uint32_t)atoi(optarg);
            break;
        case 'n':
            o.flows = (uint32_t)atoi(optarg);
            break;
        case 'f':
            o.from = optarg;
            break;
        case 't':
            o.to = optarg;
            break;
        case 'o':
            json = strcmp(optarg, "json") == 0;
            break;
        default:
            return usage();
        }
    struct ft_fault fault;
    struct nd_prober *p;
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    signal(SIGUSR1, on_ask);
    if (nd_probe_start(&p, &o, &fault) < 0) {
        fprintf(stderr, "probe: %s\n", fault.text);
        return 1;
    }
    uint64_t begin = ft_now();
    while (!ended && ft_now() - begin < (uint64_t)o.seconds * 1000000000u) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        if (asked) {
            asked = 0;
            report(p, begin, ft_now(), json);
            fflush(stdout);
        }
    }
    uint64_t end = ft_now() - 1000000u;
    nd_probe_await_answers(p, end);
    stop_probe(p, 0);
    int exit_code = report(p, begin, end, json);
    nd_probe_free(p);
    return exit_code;
}

/* Serves UDP and TCP echo in this process and returns only on failure. */
static void serve(const char *address, uint16_t port, struct ft_fault *fault)
{
    int sockets[2] = {-1, -1};
    if (listen_at(address, port, sockets, fault) == FT_OK)
        echo_flows(sockets);
}

static int bytes(uint64_t seed, uint64_t count)
{
    uint64_t block[1024], x = seed * 0x9e3779b97f4a7c15u + 1;
    while (count > 0) {
        for (unsigned i = 0; i < 1024; i++) { /* xorshift64* */
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            block[i] = x * 0x2545f4914f6cdd1du;
        }
        size_t n = count < sizeof block ? (size_t)count : sizeof block;
        if (fwrite(block, 1, n, stdout) != n)
            return 1;
        count -= n;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct ft_fault fault;
    if (argc == 4 && strcmp(argv[1], "bytes") == 0)
        return bytes(strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0));
    if (argc == 4 && strcmp(argv[1], "serve") == 0) {
        serve(argv[2], (uint16_t)atoi(argv[3]), &fault);
        fprintf(stderr, "probe: %s\n", fault.text);
        return 1;
    }
    if (argc >= 4 && strcmp(argv[1], "run") == 0)
        return run(argc, argv);
    return usage();
}
