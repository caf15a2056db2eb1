/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy replay: a capture through a pair, with kills, and the verdict. The tool plays the input keeper:
 * it cuts and stamps bursts at the same places in every run. Interfaces of the file are not used: the chain
 * is a wire between two ports.
 */
#include "node/base/privilege.h"
#include "node/control/options.h"
#include "node/control/pair.h"
#include "tools/replay/crash.h"
#include "tools/replay/shown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the options ask for, against the file and the capture. A kill beyond it is told, and is no error: who
 * runs many captures gives all of them the same kills. */
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

int nd_replay_config(struct nd_config **out, const struct nd_replay_options *o, unsigned how,
                     struct ft_fault *fault)
{
    struct ft_fault why;
    struct nd_config *config;
    int error = nd_config_read(out, o->config, how, fault);

    if (error)
        return error;
    config = *out;
    if (config->state != ND_STATE_LOCAL)
        return ft_fail(fault, FT_EMALFORMED, "%.150s: chain state is redis, replay takes local only",
                       o->config);
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
    config->protect.audit = !o->fast;
    if (o->mode >= 0)
        config->protect.asked = (uint32_t)o->mode;
    if (nd_config_decide(&config->protect, &config->chain, &why) == 0)
        return 0;
    return ft_fail(fault, FT_EINVAL, "--mode %s, %.200s", nd_modes[config->protect.asked], why.text);
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
        error = nd_replay_deal(r, lanes, fault);
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
    if (o->show && !nd_nf_config(&r->config->chain, o->show))
        return nd_usage("replay", "--show %.40s: no NF of this chain, expected one", o->show);
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

/* The reference, and what it shows: nothing if the chain ended its process. */
static int run_reference(struct nd_replay *r, struct ft_fault *fault)
{
    int error = 0;

    if (r->options->show && !(r->shown = tmpfile()))
        return ft_fail(fault, FT_EIO, "no file for what '%.40s' shows", r->options->show);
    error = nd_reference_run(&r->reference, r, fault);
    if (r->shown) {
        rewind(r->shown);
        r->rows = json_loadf(r->shown, 0, NULL);
        fclose(r->shown);
        r->shown = NULL;
    }
    if (!r->rows)
        r->rows = json_array();
    return error ? error : nd_reference_trace(&r->reference, r, fault);
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
        error = run_reference(r, &fault);
    nd_nodes_close(r);
    if (!error && r->options->speed)
        error = nd_speed_measure(&r->speed, &r->tape, r->config, r->options->seed, &fault);
    if (error) {
        fprintf(stderr, "understudy replay: %s\n", fault.text);
        return error == FT_EPERM ? ND_NO_PERMISSION : ND_SOFTWARE;
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
    int code = nd_replay_options_read(&options, argc, argv);

    if (!code && nd_privilege_check_files(&fault) != 0) {
        fprintf(stderr, "understudy replay: %s\n", fault.text);
        code = ND_NO_PERMISSION;
    }
    if (code)
        return code;
    if (options.gdb)
        return nd_replay_gdb(&options, argc, argv);
    if (options.log[0] || options.crash)
        return options.crash ? nd_replay_crash(&options) : nd_replay_log(&options);
    r.options = &options;
    code = read_inputs(&r);
    if (!code)
        code = run_and_judge(&r);
    close_lanes(&r);
    json_decref(r.rows);
    nd_config_free(r.config);
    return code;
}
