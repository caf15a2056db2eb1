/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy bench: what protection costs while nothing fails. Interfaces of the file are not used: the chain
 * is a wire between two ports, as in the replay tool. Here are the options and the pairs of runs.
 */
#include "understudy/base/process.h"
#include "understudy/config/options.h"
#include "understudy/bench/bench.h"
#include "understudy/pair/child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHAIN_DEFAULT "balanced.yaml" /* installed; else that of the tree, in whose root bench then runs */

/* ---- options ------------------------------------------------------------------------------------ */

#define AT(field) offsetof(struct nd_bench_options, field)

static const char *const imix[] = {"imix", NULL};
const char *const nd_new_kinds[] = {"syn", "tcp", "udp", NULL}; /* enum nd_new */

static const struct nd_option rows[] = {
    ND_OPTION_FILE_ROW(AT(config), NULL),
    {"compare", 0, ND_OPTION_TEXT, AT(compare), .preset = "off,log", .value = "LIST",
     .help = "the protections to compare"},
    {"capture", 0, ND_OPTION_TEXT, AT(capture), .value = "FILE",
     .help = "traffic: this capture, again and again"},
    {"flows", 0, ND_OPTION_U64, AT(wish.flows), 2, 16u << 20, "100000", .value = "N",
     .help = "synthetic traffic: how many flows"},
    {"zipf", 0, ND_OPTION_REAL, AT(wish.zipf), 0, 10, "0", .value = "S",
     .help = "skew of the flows' shares; 0: all alike"},
    {"frame", 0, ND_OPTION_U32, AT(wish.frame), 64, 1500, "64", imix, .value = "N|imix",
     .help = "bytes of a frame"},
    {"new-flows", 0, ND_OPTION_U64, AT(wish.new_flows), 1, 100000000, .value = "N",
     .help = "new flows a second, beside the others"},
    {"new-share", 0, ND_OPTION_U32, AT(wish.new_share), 1, 100, .value = "PCT",
     .help = "percent of all packets that are of new flows"},
    {"new-kind", 0, ND_OPTION_CHOICE, AT(wish.new_kind), .choices = nd_new_kinds, .value = "syn|tcp|udp",
     .help = "of which a new flow has a SYN, six packets from SYN to FIN, or a datagram"},
    {"pairs", 0, ND_OPTION_U32, AT(pairs), 1, ND_BENCH_PAIRS, "5", .value = "N",
     .help = "runs of each protection, each beside one of off"},
    {"seconds", 0, ND_OPTION_REAL, AT(seconds), 0.05, 600, "1", .value = "S", .help = "of each measurement"},
    {"lanes", 0, ND_OPTION_U32, AT(lanes), 1, FT_LANES_MAX, .value = "N", .help = "in place of the file's"},
    {"takeovers", 0, ND_OPTION_U32, AT(takeovers), 0, ND_BENCH_KILLS, "0", .value = "N",
     .help = "further runs that end with a kill"},
    {"takeover-load", 0, ND_OPTION_U32, AT(takeover_load), 1, 100, "50", .value = "PCT",
     .help = "percent of saturation at which primaries are killed"},
    {"insecure", 0, ND_OPTION_FLAG, AT(insecure),
     .help = "no key seals the pair's link, as with insecure: true"},
    {"two-servers", 0, ND_OPTION_FLAG, AT(two_servers),
     .help = "primary and standby one after the other, each with both cores"},
    {"realtime", 0, ND_OPTION_FLAG, AT(realtime), .help = "threads with the priorities of a node in service"},
    {"lag", 0, ND_OPTION_U32, AT(lag), 0, ND_BENCH_LAG, "0", .value = "S",
     .help = "seconds for which the standby's lag is sampled"},
    {"no-latency", 0, ND_OPTION_FLAG, AT(no_latency), .help = "leave out the runs that measure latency"},
    {"save", 0, ND_OPTION_TEXT, AT(save), .value = "FILE", .help = "write the tables to this file too"},
    {"report", 0, ND_OPTION_TEXT, AT(report), .value = "FILE",
     .help = "write a page with drawings and the tables to this file, HTML"},
    {"seed", 0, ND_OPTION_U64, AT(wish.seed), .preset = "1", .value = "N", .help = "of the traffic"},
    ND_OPTION_JSON_ROW(AT(json)),
    {.name = NULL},
};

const struct nd_syntax nd_bench_syntax = {"bench", rows, "", 0, 0};

static int read_options(struct nd_bench_options *o, int argc, char **argv)
{
    struct nd_arguments rest;
    int error;

    *o = (struct nd_bench_options){.config = NULL};
    error = nd_syntax_read(&nd_bench_syntax, o, argc, argv, &rest);
    if (error)
        return error;
    if (o->two_servers && (o->takeovers || o->lag))
        return nd_usage("bench",
                        "--two-servers with --takeovers or --lag, expected it without: nobody takes over");
    if (o->wish.new_flows && o->wish.new_share)
        return nd_usage("bench", "--new-flows with --new-share, expected one of them");
    if (o->wish.new_kind != ND_NEW_MIXED && !o->wish.new_share)
        return nd_usage("bench", "--new-kind without --new-share, expected both");
    return 0;
}

/* ---- what is compared --------------------------------------------------------------------------- */

/* Rows for what --compare names. `off` is part of every pair, so its row is filled from theirs. */
static int read_list(struct nd_bench *b)
{
    char list[512], *rest = list, *name;
    struct ft_fault fault;

    if (strlen(b->options.compare) >= sizeof(list))
        return nd_usage("bench", "--compare of %zu bytes, expected fewer than %zu",
                        strlen(b->options.compare), sizeof(list));
    snprintf(list, sizeof(list), "%s", b->options.compare);
    while ((name = strsep(&rest, ","))) {
        struct nd_bench_row *row = &b->rows[b->count];
        int error;

        if (b->count == ND_BENCH_KINDS)
            return nd_usage("bench", "--compare with more than %u names, expected fewer", ND_BENCH_KINDS);
        error = nd_bench_protection(&row->protection, name, b->config, &fault);
        if (error && !row->protection.name[0])
            return nd_usage("bench", "%s", fault.text);
        if (!error && row->protection.peer && b->load.lanes.count > 1)
            error = ft_fail(&fault, FT_EINVAL, "state elsewhere is of one lane, there are %u",
                            b->load.lanes.count);
        if (!error && b->options.two_servers && !nd_bench_is_off(&row->protection) &&
            (!row->protection.protect.pair || row->protection.protect.stores ||
             row->protection.protect.deltas))
            error = ft_fail(&fault, FT_EINVAL, "--two-servers is for a standby that replays the log");
        if (error) /* this build does not do it: the others run all the same */
            snprintf(row->refused, sizeof(row->refused), "%.199s", fault.text);
        b->count++;
    }
    return 0;
}

static int read_inputs(struct nd_bench *b)
{
    const struct nd_bench_options *o = &b->options;
    struct ft_fault fault = {""};
    char installed[1024];
    const char *usual = nd_installed(ND_CHAINS, CHAIN_DEFAULT, installed, sizeof(installed))
                            ? installed
                            : "nfs/chains/" CHAIN_DEFAULT;
    int error = nd_config_read(&b->config, o->config ? o->config : usual, 0, &fault);

    if (!error)
        error = nd_load_make(&b->load, o->capture, &o->wish, &b->config->chain, &fault);
    if (!error && o->two_servers && (o->lanes ? o->lanes : b->config->chain.lanes) > 1)
        error = ft_fail(&fault, FT_EINVAL, "--two-servers with %u lanes, expected one: there are two cores",
                        o->lanes ? o->lanes : b->config->chain.lanes);
    if (!error)
        error =
            nd_load_deal(&b->load, &b->config->chain, o->lanes ? o->lanes : b->config->chain.lanes, &fault);
    if (error)
        fprintf(stderr, "%s\n", fault.text);
    return error ? nd_exit_of_file(error) : 0;
}

/* `off` beside others: its figures are those of their pairs. Alone it is run against itself: the noise. */
static void fill_off(struct nd_bench *b)
{
    const struct nd_bench_row *from = NULL;

    for (unsigned i = 0; i < b->count; i++)
        if (!nd_bench_is_off(&b->rows[i].protection) && b->rows[i].pairs)
            from = &b->rows[i];
    for (unsigned i = 0; i < b->count && from; i++) {
        struct nd_bench_row *row = &b->rows[i];

        if (!nd_bench_is_off(&row->protection))
            continue;
        row->pairs = from->pairs;
        memcpy(row->off, from->off, sizeof(row->off));
        memcpy(row->with, from->off, sizeof(row->with));
    }
}

/* ---- pairs of runs ------------------------------------------------------------------------------ */

/*
 * Runs of a protection, each beside one of `off` a moment before: what slows the machine for seconds slows
 * both, and their ratio is compared, not the figures of different minutes.
 */
static int run_one(struct nd_bench_row *row, struct nd_bench_result *out, const struct nd_bench_plan *plan,
                   struct ft_fault *fault)
{
    int error = nd_bench_run(out, plan, fault);

    if (!error && out->takeover_ms >= 0) {
        row->replayed_ms[row->takeovers] = out->replayed_ms;
        row->takeover_ms[row->takeovers++] = out->takeover_ms;
    }
    return error;
}

/* After the pairs: latencies at what the protection reached, of `off` as well; runs of nothing but a kill;
 * one that is watched. */
static int run_further(struct nd_bench_row *row, struct nd_bench_plan *off, struct nd_bench_plan *with,
                       struct ft_fault *fault)
{
    const struct nd_bench_options *o = with->options;
    struct nd_bench_result result;
    int error = 0;

    with->kill = !o->two_servers;
    with->server = o->two_servers && !nd_bench_is_off(&row->protection) ? ND_BENCH_PRIMARY : ND_BENCH_BOTH;
    with->saturation = off->saturation =
        nd_bench_median(row->with, row->pairs, offsetof(struct nd_bench_result, mpps));
    if (!o->no_latency && !nd_bench_is_off(&row->protection)) {
        with->late = off->late = true;
        error = nd_bench_run(&row->off_late, off, fault);
        if (!error)
            error = run_one(row, &row->with_late, with, fault);
        row->late = !error;
    }
    if (!with->config->protect.pair)
        return error;
    with->saturate = with->late = false;
    for (unsigned i = 0; i < o->takeovers && !error; i++)
        error = run_one(row, &result, with, fault);
    if (error || !o->lag)
        return error;
    row->lag.seconds = o->lag;
    with->lag = &row->lag;
    with->kill = false; /* at the end the standby's state must be the primary's */
    return run_one(row, &result, with, fault);
}

static int run_pairs(const struct nd_bench *b, struct nd_bench_row *row, struct ft_fault *fault)
{
    struct nd_bench_protection none;
    struct nd_config off, with;
    struct nd_bench_plan without = {.config = &off,
                                    .load = &b->load,
                                    .options = &b->options,
                                    .saturate = true},
                         plan = without;
    int error = 0;

    (void)nd_bench_protection(&none, "off", b->config, NULL);
    nd_bench_adapt(&off, b->config, &none, b->load.lanes.count);
    nd_bench_adapt(&with, b->config, &row->protection, b->load.lanes.count);
    plan.config = &with;
    plan.port = row->protection.port;
    plan.peer = row->protection.peer;
    for (unsigned i = 0; i < b->options.pairs && !error; i++) {
        plan.kill = i > 0; /* the first one compares states */
        error = nd_bench_run(&row->off[i], &without, fault);
        if (!error)
            error = b->options.two_servers && !nd_bench_is_off(&row->protection)
                        ? nd_bench_servers_run(row, i, &plan, fault)
                        : run_one(row, &row->with[i], &plan, fault);
        row->pairs += !error;
        if (!error && row->with[i].settings[0])
            memcpy(row->protection.settings, row->with[i].settings, sizeof(row->protection.settings));
        if (isatty(STDERR_FILENO)) /* for people who wait */
            fputc('.', stderr);
    }
    return error ? error : run_further(row, &without, &plan, fault);
}

static int run_all(struct nd_bench *b)
{
    bool others = false;
    struct ft_fault fault = {""};

    nd_catch_ends();
    nd_bench_floor(&b->floor);
    for (unsigned i = 0; i < b->count; i++)
        others |= !nd_bench_is_off(&b->rows[i].protection) && !b->rows[i].refused[0];
    for (unsigned i = 0; i < b->count; i++) {
        struct nd_bench_row *row = &b->rows[i];
        int error;

        if (row->refused[0] || (others && nd_bench_is_off(&row->protection)))
            continue;
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "%s ", row->protection.name);
        error = run_pairs(b, row, &fault);
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\n");
        if (error) {
            fprintf(stderr, "understudy bench: %s: %s\n", row->protection.name, fault.text);
            return error == FT_EPERM        ? ND_NO_PERMISSION
                   : error == FT_EDIVERGED  ? ND_NOT_EQUAL
                   : error == FT_EMALFORMED ? ND_DATA
                                            : ND_SOFTWARE;
        }
    }
    fill_off(b);
    return 0;
}

int nd_cmd_bench(int argc, char **argv)
{
    static struct nd_bench b;
    struct ft_fault fault;
    int code = read_options(&b.options, argc, argv);

    if (!code && nd_privilege_check_files(&fault) != 0) {
        fprintf(stderr, "understudy bench: %s\n", fault.text);
        code = ND_NO_PERMISSION;
    }
    if (!code)
        code = nd_bench_check_save(&b);
    if (!code)
        code = nd_report_open(&b.report, "bench", b.options.report);
    if (code)
        return code;
    b.rows = calloc(ND_BENCH_KINDS, sizeof(*b.rows));
    code = b.rows ? read_inputs(&b) : ND_SOFTWARE;
    if (!code)
        code = read_list(&b);
    if (!code && !(code = run_all(&b)))
        code = nd_bench_report(&b);
    nd_report_drop(&b.report);
    nd_load_free(&b.load);
    nd_config_free(b.config);
    free(b.rows);
    return code;
}
