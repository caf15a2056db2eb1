/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy replay: a capture through a pair, with kills, and the verdict. The tool plays the gate: it cuts
 * and stamps bursts at the same places in every run. Interfaces of the file are not used: the chain is a wire
 * between two ports.
 */
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

/* What the options ask for, in place of the file's. 0, or an exit code with its line printed. */
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
    if (!o->no_gate) /* a gate drops what has left already, and loses nothing */
        config->protect.tail = ND_TAIL_EMIT;
    if (o->mode >= 0)
        config->protect.asked = (uint32_t)o->mode;
    return nd_config_decide(&config->protect, &config->chain, &fault)
               ? nd_usage("replay", "--mode %s, %s", nd_modes[config->protect.asked], fault.text)
               : 0;
}

/* Each lane has a tape and a gate; the file is one, in the order in which outputs leave. */
static int open_lanes(struct nd_replay *r, struct ft_fault *fault)
{
    const struct nd_replay_options *o = r->options;
    int error = 0;

    r->lanes = r->config->chain.lanes;
    r->tapes = r->lanes > 1 ? calloc(r->lanes, sizeof(*r->tapes)) : &r->tape;
    if (!r->tapes)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u lanes", r->lanes);
    if (r->lanes > 1)
        error = nd_tape_deal(&r->tape, r->lanes, r->tapes, fault);
    if (!error && o->output)
        error = nd_capture_open(&r->written, o->output, fault);
    for (unsigned l = 0; l < r->lanes && !error; l++)
        error = nd_gate_open(&r->gate[l], &r->tapes[l], !o->no_gate, o->output ? &r->written : NULL, fault);
    return error;
}

static void close_lanes(struct nd_replay *r)
{
    for (unsigned l = 0; l < FT_LANES_MAX; l++) {
        nd_gate_close(&r->gate[l]);
        nd_ledger_free(&r->ledger[l]);
    }
    nd_capture_close(&r->written);
    for (unsigned l = 0; r->lanes > 1 && r->tapes && l < r->lanes; l++)
        nd_tape_free(&r->tapes[l]);
    if (r->lanes > 1)
        free(r->tapes);
    nd_tape_free(&r->tape);
}

/* What all gates counted together. */
static struct nd_gate sum_gates(const struct nd_replay *r)
{
    struct nd_gate sum = {.keeps = r->gate[0].keeps};

    for (unsigned l = 0; l < r->lanes; l++) {
        const struct nd_gate *g = &r->gate[l];

        sum.released += g->released;
        sum.duplicated += g->duplicated;
        sum.reordered += g->reordered;
        sum.altered += g->altered;
        sum.suppressed += g->suppressed;
        sum.early += g->early;
        sum.lost_inputs += g->lost_inputs;
        sum.told += g->told;
    }
    return sum;
}

/* 0, or an exit code with its line printed. */
static int read_inputs(struct nd_replay *r)
{
    const struct nd_replay_options *o = r->options;
    struct ft_fault fault = {""};
    int error = nd_config_read(&r->config, o->config, false, &fault);

    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    if (r->config->state != ND_STATE_LOCAL) {
        fprintf(stderr, "%s: chain state is redis, replay takes local only\n", o->config);
        return ND_DATA;
    }
    error = adapt_config(r->config, o);
    if (error)
        return error;
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

static uint64_t count_lost(const struct nd_replay *r)
{
    return sum_gates(r).lost_inputs + r->reference.missing;
}

static uint64_t count_altered(const struct nd_replay *r)
{
    return sum_gates(r).altered + r->reference.altered;
}

static bool is_equivalent(const struct nd_replay *r)
{
    const struct nd_gate sum = sum_gates(r), *g = &sum;
    bool may_lose = !g->keeps && r->failovers > 0;

    return !r->broken && r->primary_digest == r->reference.digest &&
           (!r->standby_rested || r->standby_digest == r->reference.digest) && count_altered(r) == 0 &&
           g->reordered == 0 && g->early == 0 && r->divergences == 0 && r->refused == 0 &&
           r->reference.diverged == 0 && (may_lose || (count_lost(r) == 0 && g->duplicated == 0));
}

/* What a column of the table cannot say. */
static void print_reasons(const struct nd_replay *r)
{
    if (sum_gates(r).told > ND_GATE_TOLD)
        fprintf(stderr, "lost: … %lu in all\n", count_lost(r));
    if (r->reference.diverged)
        fprintf(stderr, "understudy replay: the surviving log could not be executed again\n");
    if (r->divergences)
        fprintf(stderr, "understudy replay: a standby's replay diverged %lu times\n", r->divergences);
    if (r->refused)
        fprintf(stderr, "understudy replay: what one node said the other refused %lu times, last: %s\n",
                r->refused, r->refusal);
    if (!r->broken && r->primary_digest != r->reference.digest)
        fprintf(stderr, "understudy replay: digest of the primary: expected %016lx, got %016lx\n",
                r->reference.digest, r->primary_digest);
    if (r->standby_rested && r->standby_digest != r->reference.digest)
        fprintf(stderr, "understudy replay: digest of the standby: expected %016lx, got %016lx\n",
                r->reference.digest, r->standby_digest);
}

static int print_json(const struct nd_replay *r)
{
    const struct nd_gate sum = sum_gates(r), *g = &sum;
    char reference[24], run[24];
    json_t *o;
    int code;

    snprintf(reference, sizeof(reference), "%016lx", r->reference.digest);
    snprintf(run, sizeof(run), "%016lx", r->primary_digest);
    o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:b}", "input",
                  (json_int_t)r->tape.count, "released", (json_int_t)g->released, "lost",
                  (json_int_t)count_lost(r), "duplicated", (json_int_t)g->duplicated, "reordered",
                  (json_int_t)g->reordered, "altered", (json_int_t)count_altered(r), "suppressed",
                  (json_int_t)g->suppressed, "failovers", (json_int_t)r->failovers, "dependencies",
                  (json_int_t)r->reference.dependencies, "log_bytes", (json_int_t)r->log_bytes, "delta_bytes",
                  (json_int_t)r->delta_bytes, "reference_digest", reference, "run_digest", run, "equivalent",
                  is_equivalent(r));
    if (o && r->speed.measured) {
        json_object_set_new(o, "live_ns", json_real(r->speed.live_ns));
        json_object_set_new(o, "replay_ns", json_real(r->speed.replay_ns));
        json_object_set_new(o, "replay_ratio", json_real(r->speed.ratio));
        json_object_set_new(o, "replay_ratios", json_pack("[f,f]", r->speed.least, r->speed.most));
    }
    code = o ? nd_print_json(o) : ND_SOFTWARE;
    json_decref(o);
    return code;
}

static uint64_t all_bursts(const struct nd_replay *r)
{
    uint64_t n = 0;

    for (unsigned l = 0; l < r->lanes; l++)
        n += r->tapes[l].burst_count;
    return n;
}

static void print_text(const struct nd_replay *r, FILE *out)
{
    const struct nd_gate sum = sum_gates(r), *g = &sum;
    double seconds = (double)(r->ended - r->began) / 1e9;

    fprintf(out, "%s: %s\n", r->options->input, is_equivalent(r) ? "EQUIVALENT" : "NOT EQUIVALENT");
    fprintf(out, "  %-18s %10lu in %lu bursts\n", "input", r->tape.count, all_bursts(r));
    fprintf(out, "  %-18s %10lu of %lu made\n", "released", g->released, r->reference.outputs);
    fprintf(out, "  %-18s %10lu\n", "lost", count_lost(r));
    fprintf(out, "  %-18s %10lu\n", "duplicated", g->duplicated);
    fprintf(out, "  %-18s %10lu\n", "reordered", g->reordered);
    fprintf(out, "  %-18s %10lu\n", "altered", count_altered(r));
    fprintf(out, "  %-18s %10lu\n", "suppressed", g->suppressed);
    fprintf(out, "  %-18s %10lu\n", "failovers", r->failovers);
    if (r->lanes > 1)
        fprintf(out, "  %-18s %10lu, %.1f a thousand packets\n", "dependencies", r->reference.dependencies,
                r->tape.count ? (double)r->reference.dependencies * 1000 / (double)r->tape.count : 0);
    fprintf(out, "  %-18s %10lu\n", "log bytes", r->log_bytes);
    fprintf(out, "  %-18s %10lu in %lu deltas\n", "delta bytes", r->delta_bytes, r->deltas);
    fprintf(out, "  %-18s %s\n", "digest", r->primary_digest == r->reference.digest ? "equal" : "different");
    fprintf(out, "  %-18s %10.3f s, %.2f Mpps\n", "took", seconds,
            seconds > 0 ? (double)r->tape.count / seconds / 1e6 : 0);
    if (r->speed.measured)
        fprintf(out, "  %-18s %10.2f times live (%.2f to %.2f): %.0f ns a packet live, %.0f in replay\n",
                "replay speed", r->speed.ratio, r->speed.least, r->speed.most, r->speed.live_ns,
                r->speed.replay_ns);
}

static int run_and_judge(struct nd_replay *r)
{
    struct ft_fault fault = {""};
    int error = nd_replay_run(r, &fault), code = ND_DONE;

    if (!error)
        error = nd_capture_finish(&r->written, &fault);
    if (!error)
        error = nd_reference_run(&r->reference, r->gate, r->lanes > 1 ? r->ledger : NULL, r->config,
                                 r->options->seed, &fault);
    if (!error && r->options->speed)
        error = nd_speed_measure(&r->speed, &r->tape, r->config, r->options->seed, &fault);
    if (error) {
        fprintf(stderr, "understudy replay: %s\n", fault.text);
        return error == FT_EPERM ? ND_NO_PERMISSION : ND_SOFTWARE;
    }
    print_reasons(r);
    print_text(r, r->options->json ? stderr : stdout);
    if (r->options->json)
        code = print_json(r);
    return code ? code : is_equivalent(r) ? ND_DONE : ND_NOT_EQUAL;
}

int nd_cmd_replay(int argc, char **argv)
{
    struct nd_replay_options options;
    static struct nd_replay r;
    int code = nd_replay_options_read(&options, argc, argv);

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
