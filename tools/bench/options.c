/* SPDX-License-Identifier: Apache-2.0 */
/* The options of bench. They are no other subcommand's, so they are not in options.c. */
#include "tools/bench/bench.h"
#include "node/control/options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND "bench"

enum {
    LONG_COMPARE = 256,
    LONG_CAPTURE,
    LONG_FLOWS,
    LONG_ZIPF,
    LONG_FRAME,
    LONG_NEW_FLOWS,
    LONG_PAIRS,
    LONG_SECONDS,
    LONG_NO_LATENCY,
    LONG_SAVE,
    LONG_SEED,
    LONG_COUNT,
    LONG_ENCODE,
    LONG_LANES,
    LONG_TAKEOVERS,
    LONG_TAKEOVER_LOAD,
    LONG_REALTIME,
    LONG_LAG,
    LONG_ACCESS,
    LONG_PIECES,
    LONG_PIECE,
};

static const struct option longs[] = {
    {"config", required_argument, NULL, 'c'},
    {"output", required_argument, NULL, 'o'},
    {"compare", required_argument, NULL, LONG_COMPARE},
    {"capture", required_argument, NULL, LONG_CAPTURE},
    {"flows", required_argument, NULL, LONG_FLOWS},
    {"zipf", required_argument, NULL, LONG_ZIPF},
    {"frame", required_argument, NULL, LONG_FRAME},
    {"new-flows", required_argument, NULL, LONG_NEW_FLOWS},
    {"pairs", required_argument, NULL, LONG_PAIRS},
    {"seconds", required_argument, NULL, LONG_SECONDS},
    {"no-latency", no_argument, NULL, LONG_NO_LATENCY},
    {"save", required_argument, NULL, LONG_SAVE},
    {"seed", required_argument, NULL, LONG_SEED},
    {"count", required_argument, NULL, LONG_COUNT},
    {"encode", no_argument, NULL, LONG_ENCODE},
    {"lanes", required_argument, NULL, LONG_LANES},
    {"takeovers", required_argument, NULL, LONG_TAKEOVERS},
    {"takeover-load", required_argument, NULL, LONG_TAKEOVER_LOAD},
    {"realtime", no_argument, NULL, LONG_REALTIME},
    {"lag", required_argument, NULL, LONG_LAG},
    {"access", no_argument, NULL, LONG_ACCESS},
    {"pieces", no_argument, NULL, LONG_PIECES},
    {"piece", required_argument, NULL, LONG_PIECE},
    {NULL, 0, NULL, 0},
};

/* A whole decimal number from least to most, and nothing else. */
static int whole(uint64_t *out, const char *option, const char *text, uint64_t least, uint64_t most)
{
    if (!nd_options_number(text, out) || *out < least || *out > most)
        return nd_usage(COMMAND, "--%s %.40s, expected a number from %lu to %lu", option, text, least, most);
    return 0;
}

static int real(double *out, const char *option, const char *text, double least, double most)
{
    char *end;

    *out = strtod(text, &end);
    if (*text < '0' || *text > '9' || *end || !(*out >= least && *out <= most))
        return nd_usage(COMMAND, "--%s %.40s, expected a number from %g to %g", option, text, least, most);
    return 0;
}

static int take_frame(struct nd_bench_options *o, const char *value)
{
    uint64_t n = 0;
    int error = strcmp(value, "imix") == 0 ? 0 : whole(&n, "frame", value, 64, 1500);

    o->wish.frame = (uint32_t)n;
    return error;
}

static int take_small(unsigned *out, const char *option, const char *value, uint64_t least, uint64_t most)
{
    uint64_t n = 0;
    int error = whole(&n, option, value, least, most);

    *out = (unsigned)n;
    return error;
}

static int take_number(struct nd_bench_options *o, int c, const char *value)
{

    switch (c) {
    case LONG_FLOWS:
        return whole(&o->wish.flows, "flows", value, 2, 16u << 20);
    case LONG_ZIPF:
        return real(&o->wish.zipf, "zipf", value, 0, 10);
    case LONG_NEW_FLOWS:
        return whole(&o->wish.new_flows, "new-flows", value, 1, 100000000);
    case LONG_PAIRS:
        return take_small(&o->pairs, "pairs", value, 1, ND_BENCH_PAIRS);
    case LONG_LANES:
        return take_small(&o->lanes, "lanes", value, 1, FT_LANES_MAX);
    case LONG_TAKEOVERS:
        return take_small(&o->takeovers, "takeovers", value, 0, ND_BENCH_KILLS);
    case LONG_TAKEOVER_LOAD:
        return take_small(&o->takeover_load, "takeover-load", value, 1, 100);
    case LONG_LAG:
        return take_small(&o->lag, "lag", value, 0, ND_BENCH_LAG);
    case LONG_SECONDS:
        return real(&o->seconds, "seconds", value, 0.05, 600);
    case LONG_COUNT:
        return whole(&o->count, "count", value, 1, 1000000000);
    default:
        return whole(&o->wish.seed, "seed", value, 0, UINT64_MAX);
    }
}

static int take(void *to, int c, char *value)
{
    struct nd_bench_options *o = to;

    switch (c) {
    case 'c':
        o->config = value;
        return 0;
    case 'o':
        o->json = true;
        return strcmp(value, "json") == 0 ? 0 : nd_usage(COMMAND, "-o %.40s, expected -o json", value);
    case LONG_COMPARE:
        o->compare = value;
        return 0;
    case LONG_CAPTURE:
        o->capture = value;
        return 0;
    case LONG_SAVE:
        o->save = value;
        return 0;
    case LONG_FRAME:
        return take_frame(o, value);
    case LONG_NO_LATENCY:
        o->no_latency = true;
        return 0;
    case LONG_REALTIME:
        o->realtime = true;
        return 0;
    case LONG_ENCODE:
        o->encode = true;
        return 0;
    case LONG_ACCESS:
        o->access = true;
        return 0;
    case LONG_PIECES:
        o->pieces = true;
        return 0;
    case LONG_PIECE:
        o->piece = value;
        return 0;
    default:
        return take_number(o, c, value);
    }
}

int nd_bench_options_read(struct nd_bench_options *o, int argc, char **argv)
{
    int error;

    *o = (struct nd_bench_options){.compare = "off,log",
                                   .wish = {.flows = 100000, .frame = 64, .seed = 1},
                                   .pairs = 5,
                                   .seconds = 1,
                                   .takeover_load = 50};
    error = nd_options_each(COMMAND, argc, argv, ":c:o:", longs, 0, take, o);
    if (error)
        return error;
    if (argc != optind)
        return nd_usage(COMMAND, "unexpected argument \"%.40s\", expected none", argv[optind]);
    if (o->encode && !o->count)
        return nd_usage(COMMAND, "--encode without --count, expected both");
    if (o->piece && !o->count)
        return nd_usage(COMMAND, "--piece without --count, expected both");
    if (o->access + o->pieces + (o->count > 0) > 1)
        return nd_usage(COMMAND, "more than one of --access, --pieces and --count, expected one");
    return 0;
}
