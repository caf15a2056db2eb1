/* SPDX-License-Identifier: Apache-2.0 */
/* The options of bench: its table for node/control/options.h, and which options exclude or need each other.
 */
#include "node/control/commands.h"
#include "node/control/options.h"
#include "tools/bench/bench.h"

#define AT(field) offsetof(struct nd_bench_options, field)

static const char *const imix[] = {"imix", NULL};

static const struct nd_option rows[] = {
    ND_OPTION_FILE_ROW(AT(config), NULL),
    {"compare", 0, ND_OPTION_TEXT, AT(compare), .preset = "off,log", .value = "LIST",
     .help = "the protections to compare"},
    {"capture", 0, ND_OPTION_TEXT, AT(capture), .value = "FILE",
     .help = "traffic: this capture, in a circle"},
    {"flows", 0, ND_OPTION_U64, AT(wish.flows), 2, 16u << 20, "100000", .value = "N",
     .help = "synthetic traffic: how many flows"},
    {"zipf", 0, ND_OPTION_REAL, AT(wish.zipf), 0, 10, "0", .value = "S",
     .help = "skew of the flows' shares; 0: all alike"},
    {"frame", 0, ND_OPTION_U32, AT(wish.frame), 64, 1500, "64", imix, .value = "N|imix",
     .help = "bytes of a frame"},
    {"new-flows", 0, ND_OPTION_U64, AT(wish.new_flows), 1, 100000000, .value = "N",
     .help = "new flows a second, beside the others"},
    {"pairs", 0, ND_OPTION_U32, AT(pairs), 1, ND_BENCH_PAIRS, "5", .value = "N",
     .help = "runs of each protection, each beside one of off"},
    {"seconds", 0, ND_OPTION_REAL, AT(seconds), 0.05, 600, "1", .value = "S", .help = "of each measurement"},
    {"lanes", 0, ND_OPTION_U32, AT(lanes), 1, FT_LANES_MAX, .value = "N", .help = "in place of the file's"},
    {"takeovers", 0, ND_OPTION_U32, AT(takeovers), 0, ND_BENCH_KILLS, "0", .value = "N",
     .help = "further runs that end with a kill"},
    {"takeover-load", 0, ND_OPTION_U32, AT(takeover_load), 1, 100, "50", .value = "PCT",
     .help = "percent of saturation at which primaries are killed"},
    {"realtime", 0, ND_OPTION_FLAG, AT(realtime), .help = "threads with the priorities of a node in service"},
    {"lag", 0, ND_OPTION_U32, AT(lag), 0, ND_BENCH_LAG, "0", .value = "S",
     .help = "seconds for which the standby's lag is sampled"},
    {"no-latency", 0, ND_OPTION_FLAG, AT(no_latency), .help = "leave out the runs that measure latency"},
    {"access", 0, ND_OPTION_FLAG, AT(access), .help = "only time accesses to state, here and in Redis"},
    {"pieces", 0, ND_OPTION_FLAG, AT(pieces),
     .help = "only measure what each piece of protection costs a lane"},
    {"count", 0, ND_OPTION_U64, AT(count), 1, 1000000000, .value = "N",
     .help = "only run N packets in one thread, for an instruction counter"},
    {"encode", 0, ND_OPTION_FLAG, AT(encode), .help = "with --count: encode the records as the sender does"},
    {"piece", 0, ND_OPTION_TEXT, AT(piece), .value = "NAME",
     .help = "with --count: this piece of protection"},
    {"save", 0, ND_OPTION_TEXT, AT(save), .value = "FILE", .help = "write the tables to this file too"},
    {"seed", 0, ND_OPTION_U64, AT(wish.seed), .preset = "1", .value = "N", .help = "of the traffic"},
    ND_OPTION_JSON_ROW(AT(json)),
    {.name = NULL},
};

const struct nd_syntax nd_bench_syntax = {"bench", rows, "", 0, 0};

int nd_bench_options_read(struct nd_bench_options *o, int argc, char **argv)
{
    struct nd_arguments rest;
    int error;

    *o = (struct nd_bench_options){.config = NULL};
    error = nd_syntax_read(&nd_bench_syntax, o, argc, argv, &rest);
    if (error)
        return error;
    if (o->encode && !o->count)
        return nd_usage("bench", "--encode without --count, expected both");
    if (o->piece && !o->count)
        return nd_usage("bench", "--piece without --count, expected both");
    if (o->access + o->pieces + (o->count > 0) > 1)
        return nd_usage("bench", "more than one of --access, --pieces and --count, expected one");
    return 0;
}
