/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executes recorded bursts again: a region, a snapshot, and lanes that go through the very replay a standby
 * does, file by file. It checks, and reports what differs; what came in and what left is kept for captures.
 */
#include "understudy/recording/recording.h"
#include "understudy/config/config.h"
#include "ftcore/record/message.h"
#include "ftcore/record/delta.h"
#include "nflib/chain/chain.h"
#include "nflib/chain/taken.h"
#include "understudy/pair/tape.h"
#include "understudy/config/options.h"
#include "understudy/crash/handler.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_BYTES (4u << 20)

/* ---- where a debugger stops ---------------------------------------------------------------------- */

/* `used`: no code of this program reads or calls them. */
__attribute__((used)) uintptr_t nd_stop_entry;
__attribute__((used)) const struct nf_packet *nd_stop_packet;

__attribute__((noinline, used)) void nd_stop_here(void)
{
    __asm__ volatile("" ::: "memory");
}

void nd_stop_before(uintptr_t entry, const struct nf_packet *packet)
{
    nd_stop_entry = entry;
    nd_stop_packet = packet;
    nd_stop_here();
}

__attribute__((noinline, used)) const void *nd_stop_slot(struct nf_packet *const list[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == nd_stop_packet)
            return &list[i];
    return NULL;
}

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
    if (!l->record || ft_lane_init(&log->shared[index], 4096, RING_BYTES) != 0)
        return ft_fail(fault, FT_ENOMEM, "no memory for lane %u", index);
    atomic_store(&log->shared[index].orders.order, ft_order_make(FT_LANE_REPLAY, 1));
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
    log->node = (struct nd_lanes){.config = log->config,
                                  .io = &log->io,
                                  .shared = log->shared,
                                  .setup.seed = 1,
                                  .doing = FT_LANE_REPLAY};
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

/* ---- one lane -------------------------------------------------------------------------------- */

static void keep_frame(const struct nd_log_lane *l, struct nd_log_frames *o, uint64_t time,
                       const uint8_t *frame, uint32_t have, uint32_t len)
{
    uint64_t wall = nd_moment_wall(l->log->index.file, time);

    if (o->lost)
        return;
    o->lost = !nd_grow((void **)&o->list, &o->room, o->count + 1, sizeof(*o->list), 4096) ||
              !nd_grow((void **)&o->bytes, &o->byte_room, o->used + have, 1, 1u << 20);
    if (o->lost)
        return;
    o->list[o->count++] =
        (struct nd_log_frame){.time = wall ? wall : time, .at = o->used, .have = have, .len = len};
    memcpy(o->bytes + o->used, frame, have);
    o->used += have;
}

static void keep_output(struct nd_log_lane *l, uint64_t time, const uint8_t *frame, uint32_t have,
                        uint32_t len)
{
    l->outputs++;
    if (l->log->options->output && l->log->begun)
        keep_frame(l, &l->left, time, frame, have, len);
}

static void note_ends(const struct nf_packet *p, struct nd_log_ends *ends)
{
    bool ipv6 = p->flags & NF_P_IPV6_READ;

    if (p->flags & (NF_P_IPV4 | NF_P_IPV6_READ))
        *ends = (struct nd_log_ends){nf_packet_from(p, ipv6), nf_packet_to(p, ipv6)};
}

/* What came in, before NFs change it where it lies. Of an input that its session identifies there are no
 * bytes. */
static void note_inputs(struct nd_log_lane *l, struct nd_log_input in[])
{
    const struct ft_record *r = l->record;
    struct lg_cursor cursor = {.record = r};
    struct nf_session_input by;
    const struct ft_input *i;
    uint8_t *bytes;
    uint32_t n = 0;

    while ((i = lg_cursor_input(&cursor, &bytes))) {
        in[n] = (struct nd_log_input){.lane = r->lane,
                                      .seq = r->seq + n,
                                      .time = r->time,
                                      .wall = nd_moment_wall(l->log->index.file, r->time)};
        in[n].in = (struct nf_packet){.data = bytes,
                                      .len = i->wire,
                                      .have = i->flags & FT_IN_SESSION ? 0 : i->taken,
                                      .in_port = i->port,
                                      .side = i->flags & FT_IN_OUTSIDE};
        if (l->log->options->inputs && l->log->begun)
            keep_frame(l, &l->came, r->time, bytes, in[n].in.have, i->wire);
        nf_packet_parse(&in[n].in);
        if (i->flags & FT_IN_SESSION) {
            memcpy(&by, bytes, sizeof(by));
            nf_chain_ends(l->lane->chain, &by, &in[n].in);
        }
        note_ends(&in[n].in, &in[n].came);
        in[n++].in.data = NULL;
    }
}

/* Of the lane that the last moment names, what comes behind its input in the same burst is not shown. */
static bool is_shown(const struct nd_log_lane *l, uint64_t seq)
{
    const struct nd_moment *to = l->log->to;

    return !to || to->kind != ND_MOMENT_INPUT || l->lane->index != to->lane || seq <= to->seq;
}

/* A debugger stops here (recording.h) when the burst of l->record has the input of --at. */
static void stop_before(const struct nd_log_lane *l, const struct nd_log_input in[])
{
    const struct nd_moment *at = &l->log->options->at;
    const struct nf_chain_config *chain = &l->log->config->chain;
    const struct ft_record *r = l->record;
    uint64_t i = at->seq - r->seq;

    if (at->kind == ND_MOMENT_INPUT && r->lane == at->lane && r->seq <= at->seq && i < r->inputs)
        nd_stop_before(
            (uintptr_t)chain->nfs[in[i].in.side == NF_INSIDE ? 0 : chain->count - 1].module->process,
            &l->lane->burst.packets[i]);
}

static bool has_end(const struct nf_packet *p, const struct nd_log_ends *ends, const struct nf_addr *addr,
                    uint16_t port)
{
    return (nf_addr_same(&ends->from, addr) && (!port || p->sport == port)) ||
           (nf_addr_same(&ends->to, addr) && (!port || p->dport == port));
}

static bool has_ends(const struct nd_log_flow *flow, const struct nf_packet *p,
                     const struct nd_log_ends *ends)
{
    for (uint32_t i = 0; i < flow->count; i++)
        if (!has_end(p, ends, &flow->addr[i], flow->port[i]))
            return false;
    return true;
}

/* What --flow and --drops ask for. True: it is kept. */
static bool match_input(struct nd_log_lane *l, const struct nd_log_input *in)
{
    const struct nd_log_options *o = l->log->options;
    struct nd_log_told *told = &l->told;

    if ((!o->drops && !o->flow.count) || !l->log->begun || !is_shown(l, in->seq) ||
        (o->drops && (!in->out.drop || nf_l3_takes_in(in->out.drop, in->out.drop_nf))) ||
        !(has_ends(&o->flow, &in->in, &in->came) || has_ends(&o->flow, &in->out, &in->left)))
        return false;
    if (told->count < ND_LOG_TOLD &&
        nd_grow((void **)&told->list, &told->room, told->count + 1, sizeof(*told->list), 256))
        told->list[told->count++] = *in;
    else
        told->more++;
    return told->more == 0;
}

static void note_outputs(struct nd_log_lane *l, struct nd_log_input in[])
{
    const struct ft_record *r = l->record;
    const struct nf_emitted *made;
    uint32_t count = nf_chain_emitted(l->lane->chain, &made);
    bool told = false;

    for (uint32_t i = 0; i < r->inputs; i++) {
        const struct nf_packet *p = &l->lane->burst.packets[i];

        in[i].out = *p;
        note_ends(p, &in[i].left);
        in[i].out.data = NULL;
        /* As the NF that dropped it does. */
        const struct nf *nf = p->drop && p->drop != NF_SET_ASIDE && p->drop_nf != NF_DROP_SESSIONS
                                  ? nf_chain_any(l->lane->chain, p->drop_nf)
                                  : NULL;

        if (!nf || !nf->module || !nf->module->why || !nf->module->why(nf, p, in[i].why, NF_TRACE_WHY))
            in[i].why[0] = '\0';
        if (nf_l3_takes_in(p->drop, p->drop_nf))
            l->taken++;
        else if (p->drop || p->out_port >= l->log->io.ports)
            l->dropped++;
        else
            keep_output(l, r->time, p->data, p->have, p->len);
        told |= match_input(l, &in[i]);
        if (is_shown(l, in[i].seq))
            l->last[l->inputs++ % ND_LOG_LAST] = in[i];
    }
    for (uint32_t i = 0; i < count; i++)
        keep_output(l, r->time, made[i].frame, made[i].len, made[i].len);
    if (told && l->log->options->flow.count && l->log->options->show)
        l->told.list[l->told.count - 1].changes = nd_log_changes(l);
}

static bool execute_burst(struct nd_log_lane *l, const struct nd_index_burst *b)
{
    struct ft_ring *ring = &l->lane->shared->replay;
    struct nd_log_input in[FT_BURST_MAX] = {{.lane = 0}};
    struct ft_fault fault;
    void *room;

    FT_CHECK(ft_record_decode(b->content, b->len, l->record, FT_RECORD_MAX, &fault) > 0,
             "a record that was read before: %s", fault.text);
    /* Not all lanes execute their bursts of this digest; that of a slice of its own a lane compares alone. */
    if (!b->comparable && l->record->flags & FT_REC_DIGEST) {
        l->record->flags &= (uint16_t)~FT_REC_DIGESTS;
        l->record->digest = l->record->slice = 0;
    }
    room = ft_ring_reserve(ring, l->record->size);
    FT_CHECK(room, "an empty ring has no room for %u bytes", l->record->size);
    memcpy(room, l->record, l->record->size);
    ft_ring_publish(ring, l->record->size);
    note_inputs(l, in);
    stop_before(l, in);
    while (!nd_lane_replay(l->lane,
                           l->record->burst)) { /* it may have to wait for other lanes at a stop point */
        if (nd_lane_replay_aborted(l->lane))
            return false;
        sched_yield();
    }
    note_outputs(l, in);
    l->bursts++;
    l->digests += b->comparable && (l->lane->group->lanes == 1 || !(l->record->flags & FT_REC_DIGEST) ||
                                    l->lane->stop_point.compared == l->record->burst);
    return true;
}

/* Executes the lane's bursts of the present file, up to its `upto`. A thread's main function. */
static void *run_lane(void *log_lane)
{
    struct nd_log_lane *l = log_lane;

    if (l->log->page)
        nd_crash_thread((int)l->lane->index);
    for (uint32_t i = l->index->done; i < l->index->upto; i++)
        if (!execute_burst(l, &l->index->burst[i]))
            break;
    return NULL;
}

/* The lane's burst that had begun when the node ended, if there is one: live, since how it went on nobody
 * knows. By the thread that has joined the others. */
static void run_begun(struct nd_log_lane *l, const struct lg_frame *f)
{
    struct nd_lane *lane = l->lane;
    const struct ft_record *r = l->record;
    struct lg_cursor cursor = {.record = r};
    struct ft_fault fault;
    const void *value;
    uint32_t n, len, commands = 0;

    if (!f->content)
        return;
    FT_CHECK(ft_record_decode(f->content, f->len, l->record, FT_RECORD_MAX, &fault) > 0,
             "a record that was read before: %s", fault.text);
    n = nd_lane_load_inputs(lane, &cursor);
    nd_crash_thread((int)lane->index);
    nd_stop_before(l->log->crash_entry,
                   l->log->crash_packet ? &lane->burst.packets[l->log->crash_packet - 1] : NULL);
    while ((value = lg_cursor_determinant(&cursor, &len)))
        if (!nf_determinants_is(value, len) && commands++ == 0) /* no lane records two */
            nf_chain_command(lane->chain, value, len, r->time, &fault);
    nf_chain_run(lane->chain, r->burst, r->time, lane->burst.packets, n);
}

/* ---- captures ---------------------------------------------------------------------------------- */

static const struct nd_log_frames *frames_of(const struct nd_log *log, unsigned lane, bool came)
{
    return came ? &log->of_lane[lane].came : &log->of_lane[lane].left;
}

/* The lane whose next frame is the earliest; `lanes`: none has any. */
static unsigned find_earliest(const struct nd_log *log, bool came, const uint64_t next[])
{
    unsigned first = log->lanes;
    uint64_t time = 0;

    for (unsigned l = 0; l < log->lanes; l++) {
        const struct nd_log_frames *o = frames_of(log, l, came);

        if (next[l] < o->count && (first == log->lanes || o->list[next[l]].time < time)) {
            first = l;
            time = o->list[next[l]].time;
        }
    }
    return first;
}

/* What -w and --inputs ask for: frames as a capture, by time, those of one time by lane. */
static int dump_frames(const struct nd_log *log, bool came, const char *name, struct ft_fault *fault)
{
    uint64_t next[FT_LANES_MAX] = {0};
    struct nd_capture_file out;
    int error = nd_capture_open(&out, name, fault);
    unsigned l;

    for (l = 0; !error && l < log->lanes; l++)
        if (frames_of(log, l, came)->lost)
            error = ft_fail(fault, FT_ENOMEM, "%.200s: no memory to keep its packets", name);
    while (!error && (l = find_earliest(log, came, next)) < log->lanes) {
        const struct nd_log_frames *o = frames_of(log, l, came);
        const struct nd_log_frame *f = &o->list[next[l]++];

        nd_capture_put(&out, f->time, o->bytes + f->at, f->have, f->len);
    }
    if (!error)
        error = nd_capture_finish(&out, fault);
    nd_capture_close(&out);
    return error;
}

/* ---- all lanes, file by file ------------------------------------------------------------------ */

static int run_lanes(struct nd_log *log, struct ft_fault *fault)
{
    unsigned started = 1;
    int error = 0;

    for (unsigned l = 0; l < log->lanes; l++)
        log->of_lane[l].index = &log->index.lane[l];
    for (; started < log->lanes && !error; started++)
        if (pthread_create(&log->of_lane[started].thread, NULL, run_lane, &log->of_lane[started]) != 0) {
            error = ft_fail(fault, FT_ENOMEM, "no thread for lane %u", started--);
            nd_lane_abort_replay(&log->node.lane[0]);
        }
    run_lane(&log->of_lane[0]);
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

/* Executes up to `upto`, and no more of it. */
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
    nd_log_note_rows(log);
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

    if (!error)
        nd_log_note_rows(log);
    for (unsigned i = 0; !error && !*code && i < log->files.count && !log->stopped && !log->diverged; i++)
        error = run_file(log, i, code, fault);
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
        run_begun(&log->of_lane[log->crash_lane], &last->begun[log->crash_lane]);
    return error;
}

/* The files that lead to the moments. An exit code in *code when none do. */
static int choose_files(struct nd_log *log, int *code, struct ft_fault *fault)
{
    const struct nd_log_options *o = log->options;
    int error = nd_log_files_open(&log->files, o->paths, fault);

    log->to = o->until.kind ? &o->until : o->at.kind ? &o->at : NULL;
    log->from = o->until.kind && o->at.kind ? &o->at : NULL;
    log->begun = !log->from;
    if (!error)
        error = nd_log_files_choose(&log->files, log->from, log->to, fault);
    if (!error && log->files.count == 0 && !log->to)
        error = ft_fail(fault, FT_EMALFORMED, "%.120s: no whole snapshot, expected one to begin from",
                        o->paths[0]);
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

int nd_replay_log(const struct nd_log_options *options)
{
    static struct nd_log log;
    struct ft_fault fault = {""};
    int error, code = ND_DONE;

    log.options = options;
    error = open_log(&log, &code, &fault);
    if (!error && !code)
        error = execute_files(&log, &code, &fault);
    if (!error && !code && !log.begun)
        code = nd_usage("replay", "--at %s is behind --until %s", log.from->text, log.to->text);
    if (!error && !code)
        error = nd_log_look(&log, &fault);
    if (!error && !code && options->output)
        error = dump_frames(&log, false, options->output, &fault);
    if (!error && !code && options->inputs)
        error = dump_frames(&log, true, options->inputs, &fault);
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

int nd_log_exit_of(int error)
{
    return error == FT_ENOMEM ? ND_SOFTWARE : error == FT_EDIVERGED ? ND_NOT_EQUAL : nd_exit_of_file(error);
}
