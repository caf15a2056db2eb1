/* SPDX-License-Identifier: Apache-2.0 */
/* Executes recorded bursts again: a region, a snapshot, and lanes that replay, file by file. */
#include "tools/replay/log.h"
#include "tools/replay/shown.h"
#include "ftcore/record/message.h"
#include "ftcore/record/runs.h"
#include "nflib/chain/chain.h"
#include "node/control/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_BYTES (4u << 20)

/* ---- making ------------------------------------------------------------------------------------ */

static const struct lg_recording *first_of(const struct nd_log *log)
{
    return log->files.list[0];
}

/* Where two identities differ, and some of the line before it. */
static int refuse_chain(const struct lg_recording *r, const char *ours, uint32_t len, struct ft_fault *fault)
{
    const char *theirs = r->identity;
    char line[2][52] = {"", ""}; /* what each has there */
    uint32_t at = 0, from = 0;

    for (; at < len && at < r->head.identity && ours[at] == theirs[at]; at++)
        if (ours[at] == '\n')
            from = at + 1;
    from = at > from + 24 ? at - 24 : from;
    snprintf(line[0], sizeof(line[0]) - 1, "%.*s", (int)(r->head.identity - from), theirs + from);
    snprintf(line[1], sizeof(line[1]) - 1, "%.*s", (int)(len - from), ours + from);
    return ft_fail(fault, FT_EMALFORMED,
                   "%.90s:offset %u: chain with '%.*s', expected '%.*s' of the configuration", r->file,
                   LG_PREFACE, (int)strcspn(line[0], "\n"), line[0], (int)strcspn(line[1], "\n"), line[1]);
}

static int check_chain(const struct nd_log *log, struct ft_fault *fault)
{
    static char identity[FT_IDENTITY_MAX];
    const struct lg_recording *r = first_of(log);
    uint32_t len = nf_chain_identity(&log->config->chain, identity, sizeof(identity));

    if (len != r->head.identity || memcmp(identity, r->identity, len) != 0)
        return refuse_chain(r, identity, len, fault);
    if (r->head.lanes != log->config->chain.lanes)
        return ft_fail(fault, FT_EMALFORMED, "%.120s:offset %u: %u lanes, expected %u of the configuration",
                       r->file, LG_PREFACE, r->head.lanes, log->config->chain.lanes);
    return 0;
}

static int prepare_lane(struct nd_log *log, unsigned index, struct ft_fault *fault)
{
    struct nd_log_lane *l = &log->of_lane[index];

    l->log = log;
    l->lane = &log->node.lane[index];
    l->record = aligned_alloc(64, FT_RECORD_MAX);
    if (!l->record || ft_lane_init(&log->words[index], 4096, RING_BYTES) != 0)
        return ft_fail(fault, FT_ENOMEM, "no memory for lane %u", index);
    atomic_store(&log->words[index].orders.order, ft_order_make(FT_LANE_REPLAY, 1));
    return 0;
}

static int make_lanes(struct nd_log *log, struct ft_fault *fault)
{
    const struct nf_l3_config *l3 = log->config->chain.l3;
    const struct lg_recording *r = first_of(log);
    const struct ft_region *region;
    int error = 0;

    log->io = (struct nd_io){.ports = l3 ? l3->ports : 2, .buffers = 1024};
    log->lanes = log->config->chain.lanes;
    log->node = (struct nd_lanes){
        .config = log->config, .io = &log->io, .words = log->words, .setup.seed = 1, .doing = FT_LANE_REPLAY};
    for (unsigned l = 0; l < log->lanes && !error; l++)
        error = prepare_lane(log, l, fault);
    if (!error)
        error = nd_lanes_open(&log->node, "understudy replay", false, fault);
    log->node.group.waits_without_limit = true;
    region = log->node.region;
    if (!error && (ft_region_used(region) != r->head.region_used || region->size != r->head.region_size))
        error = ft_fail(fault, FT_EMALFORMED,
                        "%.120s:offset %u: region of %lu bytes, %lu of them used, expected %lu and %lu as "
                        "this program has",
                        r->file, LG_PREFACE, r->head.region_size, r->head.region_used, region->size,
                        ft_region_used(region));
    return error;
}

/* ---- snapshots ------------------------------------------------------------------------------------- */

/* Writes the snapshot into the region, or holds it against what was replayed. False: a line differs. */
static int take_snapshot(struct nd_log *log, const struct lg_recording *r, bool compare,
                         struct ft_fault *fault)
{
    struct ft_region *region = log->node.region;
    struct lg_frame f;
    uint64_t at = 0;

    while (lg_recording_next(r, &at, &f)) {
        struct ft_line_run run;
        uint32_t in = 0;

        while (f.type == LG_LINES &&
               ft_line_run_next(f.content, f.len, &in, region->size / FT_LINE, &run) > 0) {
            const struct ft_arena *arena = ft_region_arena_at(region, run.line * FT_LINE);
            uint64_t len = (uint64_t)run.count * FT_LINE;

            if (!arena || run.line * FT_LINE + len > arena->offset + arena->used)
                return ft_fail(fault, FT_EMALFORMED, "%.120s: lines %lu+%u, expected lines in use", r->file,
                               run.line, run.count);
            if (!compare && run.zero)
                memset(region->base + run.line * FT_LINE, 0, len);
            else if (!compare)
                memcpy(region->base + run.line * FT_LINE, run.bytes, len);
            for (uint64_t i = 0; compare && i < len; i++) {
                uint8_t got = region->base[run.line * FT_LINE + i], expected = run.zero ? 0 : run.bytes[i];

                if (got == expected)
                    continue;
                unsigned lane = arena->lane < log->lanes ? arena->lane : 0;

                fprintf(stderr,
                        "understudy: replay diverged: lane %u burst %lu seq %lu: snapshot of %s, %s at %lu: "
                        "expected %02x, got %02x\n",
                        lane, r->at[lane].burst, r->at[lane].seq, r->file,
                        arena->nf < region->nfs ? region->nf_name[arena->nf] : "shared",
                        run.line * FT_LINE + i - arena->offset, expected, got);
                log->diverged = true;
                return 0;
            }
        }
    }
    log->snapshots += compare;
    return 0;
}

static int apply_snapshot(struct nd_log *log, struct ft_fault *fault)
{
    const struct lg_recording *first = first_of(log);
    struct ft_fault why = {""};
    int error = take_snapshot(log, first, false, fault), unsound;

    for (unsigned l = 0; l < log->lanes && !error; l++) {
        const struct nf_lane_state *state = nf_chain_state(log->node.lane[l].chain);
        const struct lg_position *at = &first->at[l];

        if (state->burst != at->burst || state->seq != at->seq || state->access != at->access)
            error =
                ft_fail(fault, FT_EMALFORMED, "%.120s: snapshot of burst %lu of lane %u, expected burst %lu",
                        first->file, state->burst, l, at->burst);
        atomic_store(&log->node.group.published[l].access, state->access - 1);
    }
    unsound = error ? 0 : nd_group_check(&log->node.group, NULL, NULL, &why);
    return unsound ? ft_fail(fault, unsound, "%.90s: snapshot: %.150s", first->file, why.text) : error;
}

/* ---- execution --------------------------------------------------------------------------------- */

static int run_lanes(struct nd_log *log, struct ft_fault *fault)
{
    unsigned started = 1;
    int error = 0;

    for (unsigned l = 0; l < log->lanes; l++)
        log->of_lane[l].index = &log->index.lane[l];
    for (; started < log->lanes && !error; started++)
        if (pthread_create(&log->of_lane[started].thread, NULL, nd_log_run, &log->of_lane[started]) != 0) {
            error = ft_fail(fault, FT_ENOMEM, "no thread for lane %u", started--);
            nd_lane_abort_replay(&log->node.lane[0]);
        }
    nd_log_run(&log->of_lane[0]);
    for (unsigned l = 1; l < started; l++)
        pthread_join(log->of_lane[l].thread, NULL);
    log->diverged = nd_lane_replay_aborted(&log->node.lane[0]);
    return error;
}

/* Where the file's lanes are when all of it that can be executed has been. */
static void end_of(const struct nd_log *log, struct lg_position end[])
{
    for (unsigned l = 0; l < log->lanes; l++) {
        const struct nd_index_lane *lane = &log->index.lane[l];

        end[l] = (struct lg_position){.seq = nd_index_seq(&log->index, l),
                                      .time = lane->upto ? lane->burst[lane->upto - 1].time
                                                         : log->index.file->at[l].time};
    }
}

/* Executes what `upto` says, and no more of it. */
static int run_part(struct nd_log *log, struct ft_fault *fault)
{
    nd_index_settle(&log->index);
    int error = run_lanes(log, fault);

    for (unsigned l = 0; l < log->lanes; l++)
        log->index.lane[l].done = log->index.lane[l].upto;
    return error;
}

/* The earlier moment is here: up to it, and what is kept of it. */
static int run_to_begin(struct nd_log *log, struct ft_fault *fault)
{
    uint32_t whole[FT_LANES_MAX] = {0};
    int error;

    for (unsigned l = 0; l < log->lanes; l++)
        whole[l] = log->index.lane[l].upto;
    nd_moment_settle(log->from, &log->index);
    error = run_part(log, fault);
    for (unsigned l = 0; l < log->lanes; l++)
        log->index.lane[l].upto = whole[l];
    log->begun = true;
    if (!error && log->options->diff)
        error = nd_log_state(log, &log->before, fault);
    return error;
}

/* An exit code in *code when nothing was executed for it. */
static int run_file(struct nd_log *log, unsigned file, int *code, struct ft_fault *fault)
{
    const struct lg_recording *r = log->files.list[file];
    const struct lg_recording *next = file + 1 < log->files.count ? log->files.list[file + 1] : NULL;
    int error = file > 0 && r->snapshot_whole ? take_snapshot(log, r, true, fault) : 0;
    struct lg_position end[FT_LANES_MAX];

    if (error || log->diverged)
        return error;
    error = nd_index_make(&log->index, r, fault);
    if (error)
        return error;
    if (next && !nd_index_until_position(&log->index, next->at))
        error = ft_fail(fault, FT_EMALFORMED,
                        "%.100s: its bursts wait for some that are not there, before %.100s", r->file,
                        next->file);
    end_of(log, end);
    log->stopped = log->to && nd_moment_is_before(log->to, r, end);
    if (log->to && !log->stopped && !next)
        *code = nd_usage("replay", "%s: the log ends before what this waits for", log->to->text);
    if (!error && !*code && !log->begun && nd_moment_is_before(log->from, r, end))
        error = run_to_begin(log, fault);
    if (!error && !*code && !log->diverged) {
        if (log->stopped)
            nd_moment_settle(log->to, &log->index);
        error = run_part(log, fault);
    }
    nd_index_free(&log->index);
    return error;
}

/* From the first snapshot on. */
static int execute_files(struct nd_log *log, int *code, struct ft_fault *fault)
{
    int error = apply_snapshot(log, fault);

    for (unsigned i = 0; !error && !*code && i < log->files.count && !log->stopped && !log->diverged; i++)
        error = run_file(log, i, code, fault);
    return error;
}

static int run_files(struct nd_log *log, int *code, struct ft_fault *fault)
{
    int error = execute_files(log, code, fault);

    if (!error && !*code && !log->begun)
        *code = nd_usage("replay", "--at %s is behind --until %s", log->from->text, log->to->text);
    return error;
}

/* ---- the command ------------------------------------------------------------------------------- */

/* Lanes for log->files, if they are of this chain. */
static int prepare_chain(struct nd_log *log, struct ft_fault *fault)
{
    log->config->protect.standby = ND_STANDBY_HOT; /* a warm one would leave records alone */
    (void)nd_config_decide(&log->config->protect, &log->config->chain, NULL);
    return check_chain(log, fault);
}

int nd_log_run_crash(struct nd_log *log, struct ft_fault *fault)
{
    const struct lg_recording *last = log->files.list[log->files.count - 1];
    int error = prepare_chain(log, fault), code = 0;

    log->begun = true;
    if (!error)
        error = make_lanes(log, fault);
    for (unsigned l = 0; !error && l < log->lanes; l++)
        nf_chain_mark(log->node.lane[l].chain, &log->page->lane[l].mark);
    if (!error)
        error = execute_files(log, &code, fault);
    if (!error && log->diverged)
        error = ft_fail(fault, FT_EDIVERGED, "%.120s: it is not executed to its end", last->file);
    if (!error)
        nd_log_run_begun(&log->of_lane[log->crash_lane], &last->begun[log->crash_lane]);
    return error;
}

/* The files that lead to the moments. An exit code in *code when none do. */
static int choose_files(struct nd_log *log, int *code, struct ft_fault *fault)
{
    const struct nd_replay_options *o = log->options;
    int error = nd_log_files_open(&log->files, o->log, fault);

    log->to = o->until.kind ? &o->until : o->at.kind ? &o->at : NULL;
    log->from = o->until.kind && o->at.kind ? &o->at : NULL;
    log->begun = !log->from;
    if (!error)
        error = nd_log_files_choose(&log->files, log->from, log->to, fault);
    if (!error && log->files.count == 0 && !log->to)
        error =
            ft_fail(fault, FT_EMALFORMED, "%.120s: no whole snapshot, expected one to begin from", o->log[0]);
    else if (!error && log->files.count == 0)
        *code = nd_log_refuse_moments(&log->files, log->from, log->to);
    return error;
}

static int open_log(struct nd_log *log, int *code, struct ft_fault *fault)
{
    int error = nd_config_read(&log->config, log->options->config, 0, fault);

    if (!error)
        error = choose_files(log, code, fault);
    if (error || *code)
        return error;
    error = prepare_chain(log, fault);
    if (!error && log->options->show && !nd_nf_config(&log->config->chain, log->options->show))
        error = ft_fail(fault, FT_EINVAL, "--show %.40s: no NF of this chain", log->options->show);
    if (!error)
        error = make_lanes(log, fault);
    return error;
}

int nd_log_exit_of(int error)
{
    return error == FT_ENOMEM ? ND_SOFTWARE : error == FT_EDIVERGED ? ND_NOT_EQUAL : nd_exit_of_file(error);
}

int nd_replay_log(const struct nd_replay_options *options)
{
    static struct nd_log log;
    struct ft_fault fault = {""};
    int error, code = ND_DONE;

    log.options = options;
    error = open_log(&log, &code, &fault);
    if (!error && !code)
        error = run_files(&log, &code, &fault);
    if (!error && !code)
        error = nd_log_look(&log, &fault);
    if (!error && !code)
        error = nd_log_dump(&log, &fault);
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        code = nd_log_exit_of(error);
    } else if (!code) {
        code = nd_log_print(&log);
        code = code ? code : log.diverged ? ND_NOT_EQUAL : ND_DONE;
    }
    nd_log_files_close(&log.files); /* all other memory goes with the process */
    nd_config_free(log.config);
    return code;
}
