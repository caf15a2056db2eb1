/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy replay: a capture through a pair, with kills, and the verdict. The tool plays the input keeper:
 * it cuts and stamps bursts at the same places in every run. Interfaces of the file are not used: the chain
 * is a wire between two ports.
 */
#include "node/base/privilege.h"
#include "node/control/options.h"
#include "node/control/pair.h"
#include "tools/replay/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the options ask for, against the file and the capture. */
static int check_kills(const struct nd_replay *r)
{
    const struct nd_replay_options *o = r->options;

    if (o->kill_count && !r->config->protect.pair)
        return nd_usage("replay",
                        "--kill with mode off: there is nobody to go on, expected log, delta or auto");
    for (unsigned i = 0; i < o->kill_count; i++)
        if (o->kills[i].at > r->tape.count)
            return nd_usage("replay", "--kill %s@%lu: the capture has %lu packets",
                            o->kills[i].primary ? "primary" : "standby", o->kills[i].at, r->tape.count);
    return 0;
}

/* What the options ask for, in place of the file's. 0, or ND_USAGE with its line printed. */
static int adapt_config(struct nd_config *config, const struct nd_replay_options *o)
{
    struct ft_fault fault;

    config->chain.l3 = NULL;
    if (o->lanes)
        config->chain.lanes = (uint16_t)o->lanes;
    if (o->standby >= 0)
        config->protect.standby = (uint32_t)o->standby;
    /* What a link would carry is to be told, and the loopback is never the limit. */
    if (config->protect.compress == ND_COMPRESS_AUTO)
        config->protect.compress = ND_COMPRESS_ALWAYS;
    if (!o->no_input_keeper) /* a keeper drops what has left already, and loses nothing */
        config->protect.tail = ND_TAIL_EMIT;
    if (o->mode >= 0)
        config->protect.asked = (uint32_t)o->mode;
    return nd_config_decide(&config->protect, &config->chain, &fault)
               ? nd_usage("replay", "--mode %s, %s", nd_modes[config->protect.asked], fault.text)
               : 0;
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
        error = nd_tape_deal(&r->tape, lanes, r->dealt, fault);
    if (!error && o->output)
        error = nd_capture_open(&r->written, o->output, fault);
    for (unsigned l = 0; l < r->lanes && !error; l++)
        error = nd_keeper_open(&r->keeper[l], &r->tapes[l], !o->no_input_keeper, &r->counts,
                               o->output ? &r->written : NULL, fault);
    return error;
}

static void close_lanes(struct nd_replay *r)
{
    for (unsigned l = 0; l < FT_LANES_MAX; l++) {
        nd_keeper_close(&r->keeper[l]);
        nd_tape_free(&r->dealt[l]);
    }
    nd_capture_close(&r->written);
    nd_tape_free(&r->tape);
}

/* 0, or an exit code with its line printed. */
static int read_inputs(struct nd_replay *r)
{
    const struct nd_replay_options *o = r->options;
    struct ft_fault fault = {""};
    int error = nd_config_read(&r->config, o->config, false, &fault);

    if (!error && r->config->state != ND_STATE_LOCAL)
        error = ft_fail(&fault, FT_EMALFORMED, "%.150s: chain state is redis, replay takes local only",
                        o->config);
    if (!error && adapt_config(r->config, o))
        return ND_USAGE;
    if (!error)
        error = nd_tape_read(&r->tape, o->input, &r->config->chain, &fault);
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    if (r->tape.passed_over)
        fprintf(stderr, "%s: %lu frames of no bytes, under 14 or over %u bytes were left out\n", o->input,
                r->tape.passed_over, FT_FRAME_MAX);
    error = check_kills(r);
    if (!error && o->speed && r->config->chain.lanes > 1)
        error = nd_usage("replay", "--speed with %u lanes, expected one", r->config->chain.lanes);
    if (error)
        return error;
    error = open_lanes(r, &fault);
    if (error)
        fprintf(stderr, "understudy replay: %s\n", fault.text);
    return !error ? 0 : error == FT_EIO ? ND_DATA : ND_SOFTWARE;
}

static bool is_equivalent(const struct nd_replay *r)
{
    const struct nd_keeper_counts *c = &r->counts;
    bool may_lose = r->options->no_input_keeper && r->failovers > 0;

    return !r->broken && r->primary_digest == r->reference.digest &&
           (!r->standby_rested || r->standby_digest == r->reference.digest) && c->altered == 0 &&
           c->reordered == 0 && c->early == 0 && r->divergences == 0 && r->refused == 0 &&
           r->reference.diverged == 0 && (may_lose || (c->lost == 0 && c->duplicated == 0));
}

static void report_digest(const struct nd_replay *r, const char *node, uint64_t digest)
{
    if (digest != r->reference.digest)
        fprintf(stderr, "understudy replay: digest of the %s: expected %016lx, got %016lx\n", node,
                r->reference.digest, digest);
}

/* What the figures cannot say. */
static void print_reasons(const struct nd_replay *r)
{
    if (r->reference.listed > ND_KEEPER_LISTED)
        fprintf(stderr, "lost: … %lu in all\n", r->counts.lost);
    if (r->reference.diverged)
        fprintf(stderr, "understudy replay: the surviving log could not be executed again\n");
    if (r->divergences)
        fprintf(stderr, "understudy replay: a standby's replay diverged %lu times\n", r->divergences);
    if (r->refused)
        fprintf(stderr, "understudy replay: what one node said the other refused %lu times, last: %s\n",
                r->refused, r->refusal);
    if (!r->broken)
        report_digest(r, "primary", r->primary_digest);
    if (r->standby_rested)
        report_digest(r, "standby", r->standby_digest);
}

static void set_digest(json_t *o, const char *key, uint64_t digest)
{
    char text[24];

    snprintf(text, sizeof(text), "%016lx", digest);
    json_object_set_new(o, key, json_string(text));
}

static int print_json(const struct nd_replay *r, json_t *o)
{
    set_digest(o, "reference_digest", r->reference.digest);
    set_digest(o, "run_digest", r->primary_digest);
    json_object_set_new(o, "equivalent", json_boolean(is_equivalent(r)));
    if (r->speed.measured) {
        json_object_set_new(o, "live_ns", json_real(r->speed.live_ns));
        json_object_set_new(o, "replay_ns", json_real(r->speed.replay_ns));
        json_object_set_new(o, "replay_ratio", json_real(r->speed.ratio));
        json_object_set_new(o, "replay_ratios", json_pack("[f,f]", r->speed.least, r->speed.most));
    }
    return nd_print_json(o);
}

static uint64_t all_bursts(const struct nd_replay *r)
{
    uint64_t n = 0;

    for (unsigned l = 0; l < r->lanes; l++)
        n += r->tapes[l].burst_count;
    return n;
}

/* The figures, for people and into an object at once. */
static void print_figures(const struct nd_replay *r, FILE *out, json_t *o)
{
    const struct nd_keeper_counts *c = &r->counts;
    char bursts[48], made[48], often[48], deltas[48];
    double seconds = (double)(r->ended - r->began) / 1e9, packets = (double)r->tape.count;
    const struct {
        const char *key, *title; /* title NULL: not for people */
        uint64_t value;
        const char *more; /* behind it, for people */
    } figures[] = {
        {"input", "input", r->tape.count, bursts},
        {"released", "released", c->released, made},
        {"lost", "lost", c->lost, ""},
        {"duplicated", "duplicated", c->duplicated, ""},
        {"reordered", "reordered", c->reordered, ""},
        {"altered", "altered", c->altered, ""},
        {"suppressed", "suppressed", c->suppressed, ""},
        {"failovers", "failovers", r->failovers, ""},
        {"dependencies", r->lanes > 1 ? "dependencies" : NULL, r->reference.dependencies, often},
        {"log_bytes", "log bytes", r->log_bytes, ""},
        {"delta_bytes", "delta bytes", r->delta_bytes, deltas},
    };

    snprintf(bursts, sizeof(bursts), " in %lu bursts", all_bursts(r));
    snprintf(made, sizeof(made), " of %lu made", r->reference.outputs);
    snprintf(often, sizeof(often), ", %.1f a thousand packets",
             packets > 0 ? (double)r->reference.dependencies * 1000 / packets : 0);
    snprintf(deltas, sizeof(deltas), " in %lu deltas", r->deltas);
    fprintf(out, "%s: %s\n", r->options->input, is_equivalent(r) ? "EQUIVALENT" : "NOT EQUIVALENT");
    for (unsigned i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        json_object_set_new(o, figures[i].key, json_integer((json_int_t)figures[i].value));
        if (figures[i].title)
            fprintf(out, "  %-18s %10lu%s\n", figures[i].title, figures[i].value, figures[i].more);
    }
    fprintf(out, "  %-18s %s\n", "digest", r->primary_digest == r->reference.digest ? "equal" : "different");
    fprintf(out, "  %-18s %10.3f s, %.2f Mpps\n", "took", seconds, seconds > 0 ? packets / seconds / 1e6 : 0);
    if (r->speed.measured)
        fprintf(out, "  %-18s %10.2f times live (%.2f to %.2f): %.0f ns a packet live, %.0f in replay\n",
                "replay speed", r->speed.ratio, r->speed.least, r->speed.most, r->speed.live_ns,
                r->speed.replay_ns);
}

static int run_and_judge(struct nd_replay *r)
{
    struct ft_fault fault = {""};
    int error = nd_replay_run(r, &fault), code = ND_DONE;
    json_t *o;

    if (!error)
        error = nd_capture_finish(&r->written, &fault);
    if (!error)
        error = nd_reference_run(&r->reference, r->keeper, r->config, r->options->seed, &fault);
    if (!error && r->options->speed)
        error = nd_speed_measure(&r->speed, &r->tape, r->config, r->options->seed, &fault);
    if (error) {
        fprintf(stderr, "understudy replay: %s\n", fault.text);
        return error == FT_EPERM ? ND_NO_PERMISSION : ND_SOFTWARE;
    }
    r->counts.lost += r->reference.missing;
    r->counts.altered += r->reference.altered;
    print_reasons(r);
    o = json_object();
    print_figures(r, r->options->json ? stderr : stdout, o);
    if (r->options->json)
        code = print_json(r, o);
    json_decref(o);
    return code ? code : is_equivalent(r) ? ND_DONE : ND_NOT_EQUAL;
}

int nd_cmd_replay(int argc, char **argv)
{
    struct nd_replay_options options;
    static struct nd_replay r;
    struct ft_fault fault;
    int code = nd_replay_options_read(&options, argc, argv);

    if (!code && nd_privilege_check_files(&fault) != 0) {
        fprintf(stderr, "understudy replay: %s\n", fault.text);
        code = ND_NO_PERMISSION;
    }
    if (code || options.log)
        return code ? code : nd_replay_log(&options);
    r.options = &options;
    code = read_inputs(&r);
    if (!code)
        code = run_and_judge(&r);
    close_lanes(&r);
    nd_config_free(r.config);
    return code;
}
