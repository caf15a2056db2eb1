/* SPDX-License-Identifier: Apache-2.0 */
/* One lane of replay --log: through the very replay a standby does; it checks, and says what differs. And the
 * outputs of all of them as one capture. */
#include "tools/replay/log.h"
#include "nflib/chain/chain.h"
#include "node/crash/handler.h"
#include "tools/pair/grow.h"
#include "tools/replay/capture.h"
#include "tools/replay/stop.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* ---- execution --------------------------------------------------------------------------------- */

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

/* What came in, before NFs change it where it lies. */
static void note_inputs(struct nd_log_lane *l, struct nd_log_input in[])
{
    const struct ft_record *r = l->record;
    struct lg_cursor cursor = {.record = r};
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
                                      .have = i->taken,
                                      .in_port = i->port,
                                      .side = i->flags & FT_IN_OUTSIDE};
        if (l->log->options->inputs && l->log->begun)
            keep_frame(l, &l->came, r->time, bytes, i->taken, i->wire);
        nf_packet_parse(&in[n].in);
        in[n++].in.data = NULL;
    }
}

/* Of the lane that the last moment names, what comes behind its input in the same burst is not shown. */
static bool is_shown(const struct nd_log_lane *l, uint64_t seq)
{
    const struct nd_moment *to = l->log->to;

    return !to || to->kind != ND_MOMENT_INPUT || l->lane->index != to->lane || seq <= to->seq;
}

/* A debugger stops here (replay/stop.h) when the burst of l->record has the input of --at. */
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

static void note_outputs(struct nd_log_lane *l, struct nd_log_input in[])
{
    const struct ft_record *r = l->record;
    const struct nf_emitted *made;
    uint32_t count = nf_chain_emitted(l->lane->chain, &made);

    for (uint32_t i = 0; i < r->inputs; i++) {
        const struct nf_packet *p = &l->lane->burst.packets[i];

        in[i].out = *p;
        in[i].out.data = NULL;
        if (p->drop || p->out_port >= l->log->io.ports)
            l->dropped++;
        else
            keep_output(l, r->time, p->data, p->have, p->len);
        if (is_shown(l, in[i].seq))
            l->last[l->inputs++ % ND_LOG_LAST] = in[i];
    }
    for (uint32_t i = 0; i < count; i++)
        keep_output(l, r->time, made[i].frame, made[i].len, made[i].len);
}

/* Lanes compare one of the whole region when all have come to it; to those that a forged recording crossed
 * they never come together. */
static bool was_compared(const struct nd_log_lane *l)
{
    return l->lane->group->lanes == 1 || !(l->record->flags & FT_REC_DIGEST) ||
           l->lane->stop_point.compared == l->record->burst;
}

static bool execute_burst(struct nd_log_lane *l, const struct nd_index_burst *b)
{
    struct ft_ring *ring = &l->lane->words->replay;
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
    l->digests += b->comparable && was_compared(l);
    return true;
}

void *nd_log_run(void *log_lane)
{
    struct nd_log_lane *l = log_lane;

    if (l->log->page)
        nd_crash_thread((int)l->lane->index);
    for (uint32_t i = l->index->done; i < l->index->upto; i++)
        if (!execute_burst(l, &l->index->burst[i]))
            break;
    return NULL;
}

void nd_log_run_begun(struct nd_log_lane *l, const struct lg_frame *f)
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

int nd_log_dump(struct nd_log *log, struct ft_fault *fault)
{
    const struct nd_replay_options *o = log->options;
    int error = o->output ? dump_frames(log, false, o->output, fault) : 0;

    return error || !o->inputs ? error : dump_frames(log, true, o->inputs, fault);
}
