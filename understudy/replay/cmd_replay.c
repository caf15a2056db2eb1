/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy replay: a capture through a pair, with kills, and the verdict. The tool plays the input keeper:
 * it cuts and stamps bursts at the same places in every run. Interfaces of the file are not used: the chain
 * is a wire between two ports.
 */
#include "understudy/config/schema.h"
#include "understudy/config/options.h"
#include "understudy/replay/replay.h"
#include "understudy/base/process.h"
#include "nflib/chain/chain.h"
#include "understudy/pair/child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options --------------------------------------------------------------------------------- */

#define AT(field) offsetof(struct nd_replay_options, field)

static int read_kill(void *options, char *value)
{
    struct nd_replay_options *o = options;
    struct nd_kill kill = {.primary = strncmp(value, "primary@", 8) == 0};
    unsigned i;

    if ((!kill.primary && strncmp(value, "standby@", 8) != 0) || !nd_options_number(value + 8, &kill.at) ||
        kill.at == 0)
        return nd_usage("replay", "--kill %.40s, expected primary@PACKET or standby@PACKET, counted from 1",
                        value);
    if (o->kill_count == ND_KILLS_MAX)
        return nd_usage("replay", "more than %u kills, expected no more", ND_KILLS_MAX);
    for (i = o->kill_count++; i > 0 && o->kills[i - 1].at > kill.at; i--)
        o->kills[i] = o->kills[i - 1];
    o->kills[i] = kill;
    return 0;
}

static int read_inside(void *options, char *value)
{
    struct nf_networks *inside = &((struct nd_replay_options *)options)->inside;
    char entry[64];

    for (const char *at = value;; at++) {
        size_t len = strcspn(at, ",");

        snprintf(entry, sizeof(entry), "%.*s", (int)len, at);
        if (len >= sizeof(entry) || inside->ipv4.count + inside->count == NF_PREFIXES_MAX ||
            !nd_parse_network(entry, inside))
            return nd_usage("replay",
                            "--inside %.80s: '%s', expected at most %u networks A.B.C.D/N or of IPv6, "
                            "without host bits, with commas between them",
                            value, entry, NF_PREFIXES_MAX);
        at += len;
        if (!*at)
            return 0;
    }
}

static int read_log(void *options, char *value)
{
    struct nd_replay_options *o = options;
    unsigned n = 0;

    while (o->common.paths[n])
        n++;
    if (n == ND_LOGS_MAX)
        return nd_usage("replay", "--log %.40s, expected %u of them at most", value, ND_LOGS_MAX);
    o->common.paths[n] = value;
    return 0;
}

static int read_moment(const char *name, struct nd_moment *out, const char *value)
{
    return nd_moment_read(out, value)
               ? 0
               : nd_usage("replay",
                          "--%s %.40s, expected LANE:SEQ, a time as 2026-11-22T07:48:25.123Z, or "
                          "SECONDS.NANOSECONDS of chain time",
                          name, value);
}

static int read_at(void *options, char *value)
{
    return read_moment("at", &((struct nd_replay_options *)options)->common.at, value);
}

static int read_until(void *options, char *value)
{
    return read_moment("until", &((struct nd_replay_options *)options)->common.until, value);
}

static int read_flow(void *options, char *value)
{
    if (nd_log_flow_read(&((struct nd_replay_options *)options)->common.flow, value))
        return 0;
    return nd_usage("replay", "--flow %.60s, expected ADDRESS[:PORT], or two with a comma between", value);
}

#define CAPTURE_ROWS 8u /* the first rows: what has a meaning with a capture alone */

static const struct nd_option rows[] = {
    {"kill", 0, ND_OPTION_OTHER, .read = read_kill, .again = true, .value = "primary@K|standby@K",
     .help = "kill this node when the primary has taken packet K"},
    {"mode", 0, ND_OPTION_CHOICE, AT(mode), .choices = nd_modes, .value = "log|delta|auto|off",
     .help = "in place of the file's"},
    {"lanes", 0, ND_OPTION_U32, AT(lanes), 1, FT_LANES_MAX, .value = "N", .help = "in place of the file's"},
    {"standby", 0, ND_OPTION_CHOICE, AT(standby), .choices = nd_standbys, .value = "hot|warm",
     .help = "in place of the file's"},
    {"seed", 0, ND_OPTION_U64, AT(seed), .preset = "1", .value = "N",
     .help = "of the NFs' random numbers and of the kills' moments"},
    {"no-input-keeper", 0, ND_OPTION_FLAG, AT(no_input_keeper),
     .help = "nothing in front of the pair keeps inputs"},
    {"fast", 0, ND_OPTION_FLAG, AT(fast), .help = "without the audit of what NFs write and read"},
    {"inside", 0, ND_OPTION_OTHER, .read = read_inside, .value = "NETWORK,...",
     .help = "in place of nat's `inside`: which side packets come from"},
    ND_OPTION_FILE_ROW(AT(common.config), "chain"),
    {"write", 'w', ND_OPTION_TEXT, AT(common.output), .value = "OUT.pcap",
     .help = "write what left the chain"},
    {"log", 0, ND_OPTION_OTHER, .read = read_log, .again = true, .value = "DIR",
     .help = "in place of a capture: execute what recorders kept there"},
    {"at", 0, ND_OPTION_OTHER, .read = read_at, .value = "LANE:SEQ|TIME",
     .help = "with --log: the state at this moment; with --until the moment at which -w, --inputs and --diff "
             "begin"},
    {"until", 0, ND_OPTION_OTHER, .read = read_until, .value = "LANE:SEQ|TIME",
     .help = "with --log: stop there"},
    {"show", 0, ND_OPTION_TEXT, AT(common.show), .value = "NF",
     .help = "what `show NF` says at the end; with --log: at the moment"},
    {"diff", 0, ND_OPTION_FLAG, AT(common.diff),
     .help = "with --at and --until: rows of the NFs and counters that differ between the two"},
    {"inputs", 0, ND_OPTION_TEXT, AT(common.inputs), .value = "IN.pcap",
     .help = "with --log: write what came in, as -w writes what left"},
    {"flow", 0, ND_OPTION_OTHER, .read = read_flow, .value = "END[,END]",
     .help = "with --log: each packet of ADDRESS[:PORT], or between two, with NF, verdict and reason"},
    {"drops", 0, ND_OPTION_FLAG, AT(common.drops),
     .help = "with --log: each packet that was dropped; with --flow, of it"},
    {"crash", 0, ND_OPTION_TEXT, AT(common.crash), .value = "DIR",
     .help = "in place of a capture: execute again what `incidents` has in DIR, and compare"},
    {"gdb", 0, ND_OPTION_FLAG, AT(common.gdb),
     .help = "with --crash, or --log and --at LANE:SEQ: under gdb, stopped before the packet"},
    ND_OPTION_JSON_ROW(AT(common.json)),
    {.name = NULL},
};

const struct nd_syntax nd_replay_syntax = {"replay", rows, "[IN.pcap]", 0, 1};

/* What only a capture needs has no sense with a log, and the other way round. */
static int check_log(const struct nd_replay_options *o, const struct nd_arguments *rest)
{
    if (!o->common.paths[0] && (o->common.at.kind || o->common.until.kind || o->common.inputs ||
                                o->common.diff || o->common.flow.count || o->common.drops))
        return nd_usage(
            "replay",
            "--at, --until, --inputs, --diff, --flow or --drops without --log, expected a log with them");
    if (o->common.gdb && !o->common.crash && o->common.at.kind != ND_MOMENT_INPUT)
        return nd_usage("replay", "--gdb, expected --crash, or --log and --at LANE:SEQ with it");
    if (o->common.crash && (o->common.at.kind || o->common.until.kind || o->common.show || o->common.inputs ||
                            o->common.diff || o->common.output || o->common.flow.count || o->common.drops))
        return nd_usage("replay", "--at, --until, --show, --inputs, --diff, --flow, --drops or -w with "
                                  "--crash, expected --log at most");
    if (!o->common.paths[0] && !o->common.crash)
        return 0;
    if (o->common.diff && !(o->common.at.kind && o->common.until.kind))
        return nd_usage("replay", "--diff, expected --at and --until with it");
    if (o->common.at.kind && o->common.at.kind == o->common.until.kind &&
        o->common.at.lane == o->common.until.lane &&
        (o->common.at.seq > o->common.until.seq || o->common.at.time > o->common.until.time))
        return nd_usage("replay", "--at %s is behind --until %s, expected it before", o->common.at.text,
                        o->common.until.text);
    if (rest->argc)
        return nd_usage("replay", "a capture and --%s, expected one of them",
                        o->common.crash ? "crash" : "log");
    if (rest->given & ((1u << CAPTURE_ROWS) - 1))
        return nd_usage("replay",
                        "--kill, --mode, --lanes, --standby, --seed, --no-input-keeper, --fast or --inside "
                        "with --%s, expected a capture with them",
                        o->common.crash ? "crash" : "log");
    return 0;
}

/* What is written over while it is read is lost. */
static bool same_file(const char *one, const char *other)
{
    struct stat a, b;

    return stat(one, &a) == 0 && stat(other, &b) == 0 && S_ISREG(a.st_mode) && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* A recording, a chain or its rules are not captures, and a capture that is read is not written. */
static bool is_writable(const char *path)
{
    static const char *const heads[] = {"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1",
                                        "\xa1\xb2\x3c\x4d", "\x0a\x0d\x0d\x0a"};

    return nd_options_replaceable(path, heads, sizeof(heads) / sizeof(heads[0]), 4);
}

/* 0, or ND_USAGE with one line on stderr. */
static int read_options(struct nd_replay_options *o, int argc, char **argv)
{
    struct nd_arguments rest;
    int error;

    *o = (struct nd_replay_options){.input = NULL};
    error = nd_syntax_read(&nd_replay_syntax, o, argc, argv, &rest);
    if (error)
        return error;
    if ((o->common.output && !is_writable(o->common.output)) ||
        (o->common.inputs && !is_writable(o->common.inputs)))
        return nd_usage("replay", "%.40s, expected a capture to replace, or a name that is free",
                        o->common.output && !is_writable(o->common.output) ? o->common.output
                                                                           : o->common.inputs);
    error = check_log(o, &rest);
    if (error || o->common.paths[0] || o->common.crash)
        return error;
    if (rest.argc == 0)
        return nd_usage("replay", "no capture, expected IN.pcap");
    o->input = rest.argv[0];
    if (o->common.output && same_file(o->input, o->common.output))
        return nd_usage("replay", "-w %.40s, expected another file than the capture", o->common.output);
    return 0;
}

/* ---- dealing out ----------------------------------------------------------------------------- */

/*
 * Which lane each packet of the capture goes to, as a node's ports deal them (nf_chain_lane): an answer to a
 * NAT to the lane that gave out the port, which is known once that lane has run. So where an NF owns packets
 * the capture passes the chain once beforehand, all lanes in one thread of a process of its own, burst by
 * burst; what comes of the packets there is nobody's. Used by the tool before any node starts.
 */

#define WATCH_EACH 1024u /* bursts */
#define PATIENCE_S 60u   /* until lanes in which nothing moves are ended, and hashes decide the rest */

/* Filled in before the fork as far as `lane`; all else is the child's own. */
static struct {
    const struct nd_replay *replay;
    struct nd_tape_lanes lanes;
    uint8_t *lane; /* [tape.count], in shared memory */
    struct ft_region *region;
    struct nf_chain *chain[FT_LANES_MAX];
    struct ft_published published[FT_LANES_MAX];
    struct nf_datagrams datagrams;
    uint8_t *frames; /* NF_BURST_MAX of a burst's */
} d;

static int make_chains(struct ft_fault *fault)
{
    const struct nf_chain_config *chain = &d.replay->config->chain;
    const struct ft_region_config how = {.name = "understudy deal"};
    int error = nf_chain_region(&d.region, chain, &how, fault);

    d.frames = malloc(nd_tape_frames_bytes(&d.replay->tape));
    if (!error && !d.frames)
        error = ft_fail(fault, FT_ENOMEM, "no memory for a burst");
    for (unsigned l = 0; l < d.lanes.count && !error; l++) {
        error = nf_chain_make(&d.chain[l], chain, d.region, l, d.replay->options->seed, fault);
        if (!error)
            nf_chain_share(d.chain[l], d.published);
    }
    return error;
}

/* As they would be received: before the burst's packets have run, one after the other. */
static void deal_and_run(uint64_t burst)
{
    const struct nd_tape *tape = &d.replay->tape;
    const struct nd_tape_burst *b = &tape->bursts[burst - 1];
    struct nf_packet all[NF_BURST_MAX], packets[FT_LANES_MAX][NF_BURST_MAX];
    uint32_t n[FT_LANES_MAX] = {0};

    nd_tape_packets(tape, b, d.frames, all);
    for (uint32_t i = 0; i < b->n; i++) {
        unsigned lane = nf_chain_lane(d.chain[0], &all[i], d.lanes.scope, d.lanes.count, &d.datagrams);

        d.lane[b->first + i] = (uint8_t)lane;
        all[i].parsed = 0;
        packets[lane][n[lane]++] = all[i];
    }
    for (unsigned l = 0; l < d.lanes.count; l++)
        nf_chain_run(d.chain[l], burst, b->time, packets[l], n[l]);
}

static int deal_all(void *unused, void *result, struct ft_fault *fault)
{
    int error = make_chains(fault);

    (void)unused;
    (void)result;
    for (uint64_t burst = 1; burst <= d.replay->tape.burst_count && !error; burst++) {
        if (burst % WATCH_EACH == 1)
            nd_patience(PATIENCE_S);
        deal_and_run(burst);
    }
    return error;
}

static int deal_tape(struct nd_replay *r, struct nd_tape_lanes lanes, struct ft_fault *fault)
{
    const struct nf_chain_config *chain = &r->config->chain;
    struct ft_fault ended;
    bool owns = false;
    uint8_t nothing;
    int error;

    for (unsigned i = 0; i < chain->count; i++)
        owns |= chain->nfs[i].module->owner != NULL;
    if (!owns || !r->tape.count)
        return nd_tape_deal(&r->tape, lanes, NULL, r->dealt, fault);
    r->in_turn = true;
    d.replay = r;
    d.lanes = lanes;
    d.lane = nd_shared_memory(r->tape.count);
    if (!d.lane)
        return ft_fail(fault, FT_ENOMEM, "no memory for the lanes of %lu packets", r->tape.count);
    memset(d.lane, ND_TAPE_HASH, r->tape.count);
    /* A chain that ends its process ends it in the run as well, which reports it; hashes decide the rest. */
    error = nd_child_run(deal_all, NULL, &nothing, sizeof(nothing), "dealing packets out to lanes", &ended);
    if (error && error != FT_EIO)
        *fault = ended;
    else
        error = nd_tape_deal(&r->tape, lanes, d.lane, r->dealt, fault);
    munmap(d.lane, r->tape.count);
    return error;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* What the options ask for, against the file and the capture. A kill beyond it is reported, and is no error:
 * a run over many captures gives all of them the same kills. */
static int check_kills(struct nd_replay *r)
{
    const struct nd_replay_options *o = r->options;

    if (o->kill_count && !r->config->protect.pair)
        return nd_usage("replay",
                        "--kill with mode off: there is nobody to go on, expected log, delta or auto");
    for (unsigned i = 0; i < o->kill_count; i++)
        if (o->kills[i].at > r->tape.count) {
            fprintf(stderr, "--kill %s@%lu: left out, the capture has %lu packets\n",
                    o->kills[i].primary ? "primary" : "standby", o->kills[i].at, r->tape.count);
            r->kills_beyond++;
        }
    return 0;
}

/* Each lane has a tape and a keeper; the file is one, in the order in which outputs leave. */
static int open_lanes(struct nd_replay *r, struct ft_fault *fault)
{
    const struct nd_replay_options *o = r->options;
    struct nd_tape_lanes lanes = {.count = r->config->chain.lanes};
    int error = nf_chain_scope(&r->config->chain, lanes.count, &lanes.scope, fault);

    r->lanes = lanes.count;
    r->tapes = r->lanes > 1 ? r->dealt : &r->tape;
    if (!error && r->lanes > 1)
        error = deal_tape(r, lanes, fault);
    if (!error && o->common.output)
        error = nd_capture_open(&r->written, o->common.output, fault);
    for (unsigned l = 0; l < r->lanes && !error; l++)
        error = nd_keeper_open(&r->keeper[l], &r->tapes[l], !o->no_input_keeper, &r->counts,
                               o->common.output ? &r->written : NULL, fault);
    return error;
}

/* 0, or an exit code with its line printed. */
static int read_inputs(struct nd_replay *r)
{
    const struct nd_replay_options *o = r->options;
    struct ft_fault fault = {""};
    int error = nd_replay_config(&r->config, o, 0, &fault);

    if (error == FT_EINVAL)
        return nd_usage("replay", "%s", fault.text);
    if (!error)
        error = nd_tape_read(&r->tape, o->input, &r->config->chain,
                             o->inside.ipv4.count + o->inside.count ? &o->inside : NULL, &fault);
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    if (r->tape.doubled && !(o->inside.ipv4.count + o->inside.count))
        fprintf(
            stderr,
            "understudy replay: warning: of %lu flows that were captured both ways %lu have both directions "
            "from one side, since nat's `inside` has both ends, expected --inside with the networks that "
            "are\n",
            r->tape.flows, r->tape.doubled);
    if (o->common.show && !nd_nf_config(&r->config->chain, o->common.show))
        return nd_usage("replay", "--show %.40s: no NF of this chain, expected one", o->common.show);
    error = check_kills(r);
    if (error)
        return error;
    error = open_lanes(r, &fault);
    if (error)
        fprintf(stderr, "understudy replay: %s\n", fault.text);
    return nd_exit_of_file(error);
}

static int run_and_judge(struct nd_replay *r)
{
    struct ft_fault fault = {""};
    int error = nd_replay_run(r, &fault);

    if (r->broken) /* what did not leave is not lost: nobody was there to send it */
        r->counts.listed = ND_KEEPER_LISTED;
    if (!error)
        error = nd_capture_finish(&r->written, &fault);
    if (!error)
        error = nd_reference_run(&r->reference, r, &fault);
    nd_nodes_close(r);
    if (error) {
        fprintf(stderr, "understudy replay: %s\n", fault.text);
        return error == FT_EPERM ? ND_NO_PERMISSION : error == FT_EFULL ? ND_DATA : ND_SOFTWARE;
    }
    r->counts.lost += r->reference.missing;
    r->counts.altered += r->reference.altered;
    return nd_replay_report(r);
}

int nd_cmd_replay(int argc, char **argv)
{
    struct nd_replay_options options;
    static struct nd_replay r;
    struct ft_fault fault;
    int code = read_options(&options, argc, argv);

    if (!code && nd_privilege_check_files(&fault) != 0) {
        fprintf(stderr, "understudy replay: %s\n", fault.text);
        code = ND_NO_PERMISSION;
    }
    if (code)
        return code;
    if (options.common.gdb)
        return nd_replay_gdb(&options.common, argc, argv);
    if (options.common.paths[0] || options.common.crash)
        return options.common.crash ? nd_replay_crash(&options.common) : nd_replay_log(&options.common);
    r.options = &options;
    code = read_inputs(&r);
    if (!code)
        code = run_and_judge(&r);
    for (unsigned l = 0; l < FT_LANES_MAX; l++) {
        nd_keeper_close(&r.keeper[l]);
        nd_tape_free(&r.dealt[l]);
    }
    nd_capture_close(&r.written);
    nd_tape_free(&r.tape);
    json_decref(r.rows);
    nd_config_free(r.config);
    return code;
}
