/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory between keeper and node, and its two ends: a node's ports, and what has left, once and in order,
 * and what it came from. See replay/keeper.h.
 *
 * At the node's end bursts come from the tape as far as the keeper has fed it, outputs go into a ring that
 * the keeper empties. The ring is bounded; when it is full outputs stay held, the hold fills, and the lane
 * takes no more bursts.
 */
#define _GNU_SOURCE
#include "understudy/replay/keeper.h"
#include "ftcore/base/check.h"
#include "understudy/pair/child.h"
#include "understudy/pair/tape.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#define OUT_BYTES    (4u << 20)
#define RECORD_BYTES (1u << 20)
#define YIELDS       32u
#define BUFFERS      65536u /* of all lanes; half of them the holds may have */
/* What a record in its short form takes of its ring at most. */
#define RECORD_MAX                                                                                           \
    (sizeof(struct ft_record) + FT_DEPENDENCIES_MAX * sizeof(struct ft_dependency) + FT_DETERMINANTS_MAX + 8)

/* ==== the node's end ================================================================================= */

/* ---- the memory between ------------------------------------------------------------------------ */

struct nd_slot *nd_slot_new(unsigned lanes)
{
    struct nd_slot *slot = nd_shared_memory(sizeof(*slot));

    for (unsigned l = 0; l < lanes && slot; l++)
        if (ft_ring_init(&slot->lanes[l].out, OUT_BYTES) != 0 ||
            (lanes > 1 && ft_ring_init(&slot->lanes[l].records, RECORD_BYTES) != 0)) {
            nd_slot_free(slot, lanes);
            return NULL;
        }
    return slot;
}

void nd_slot_free(struct nd_slot *slot, unsigned lanes)
{
    if (!slot)
        return;
    for (unsigned l = 0; l < lanes; l++) {
        ft_ring_free(&slot->lanes[l].out);
        if (slot->lanes[l].records.data)
            ft_ring_free(&slot->lanes[l].records);
    }
    munmap(slot, sizeof(*slot));
}

/* ---- what lanes call --------------------------------------------------------------------------- */

struct buffer {
    uint32_t len;
    uint32_t lane; /* whose it is */
    uint8_t frame[];
};

static struct buffer *take_buffer(struct nd_slot_io *io, unsigned lane, uint32_t len)
{
    struct buffer *b;

    if (io->lane[lane].frees == 0 || len > io->frame_max)
        return NULL;
    b = io->lane[lane].free[--io->lane[lane].frees];
    b->len = len;
    b->lane = lane;
    return b;
}

static void drop_buffer(void *ctx, void *owner)
{
    struct nd_slot_io *io = ctx;
    unsigned lane = ((struct buffer *)owner)->lane;

    io->lane[lane].free[io->lane[lane].frees++] = owner;
}

/*
 * Real lanes read one clock. So a lane begins a burst when every lane has executed all of earlier chain time:
 * otherwise one that runs ahead would show the others, in state that they share, a time that is not theirs
 * yet. In turn, a lane also waits for those before it to execute the same burst; they need not have come back
 * for the next, since between the two they may wait for this lane (lane/group.c).
 */
static bool has_come(const struct nd_slot_io *io, unsigned lane, uint64_t burst)
{
    for (unsigned l = 0; l < io->lanes; l++) {
        const struct nd_slot_lane *other = &io->slot->lanes[l];
        uint64_t next = atomic_load_explicit(&other->asked, memory_order_acquire);

        if (next == 0 || next + other->shift < burst)
            return false;
        if (io->in_turn && l < lane && next + other->shift == burst &&
            atomic_load_explicit(&other->run, memory_order_acquire) + other->shift < burst)
            return false;
    }
    return true;
}

/* The others are about to, most often, and may want this processor. */
static bool wait_for_time(const struct nd_slot_io *io, unsigned lane, uint64_t burst)
{
    for (unsigned i = 0; i < YIELDS; i++) {
        if (has_come(io, lane, burst))
            return true;
        sched_yield();
    }
    return false;
}

static bool read_burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                       uint64_t *time)
{
    struct nd_slot_io *io = ctx;
    struct nd_slot_lane *from = &io->slot->lanes[lane];
    const struct nd_tape *tape = &io->tapes[lane];
    const struct nd_tape_burst *b;

    atomic_store_explicit(&from->asked, last + 1, memory_order_release);
    if (last >= atomic_load_explicit(&from->fed, memory_order_acquire) ||
        !wait_for_time(io, lane, last + 1 + from->shift))
        return false;
    b = &tape->bursts[last + from->shift];
    if (io->lane[lane].frees < b->n)
        return false;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct nd_tape_input *in = &tape->inputs[b->first + i];
        struct buffer *to = take_buffer(io, lane, in->wire);

        nd_tape_frame(tape, b->first + i, to->frame);
        frames[i] = (struct nd_frame){
            .data = to->frame, .len = in->wire, .port = in->side == NF_OUTSIDE, .owner = to};
    }
    *n = b->n;
    *time = b->time;
    atomic_store_explicit(&from->taken, last + 1, memory_order_release);
    return true;
}

static uint32_t transmit_frames(void *ctx, unsigned lane, unsigned port, const struct ft_held held[],
                                uint32_t n)
{
    struct nd_slot_io *io = ctx;
    struct ft_ring *ring = &io->slot->lanes[lane].out;
    uint32_t sent = 0;

    for (; sent < n; sent++) {
        struct buffer *b = held[sent].packet;
        uint32_t size = (uint32_t)sizeof(struct nd_slot_output) + ((b->len + 7u) & ~7u);
        struct nd_slot_output *out;

        if (held[sent].number == 0) { /* the node's own frame: no output of the chain */
            drop_buffer(io, b);
            continue;
        }
        out = ft_ring_reserve(ring, size);
        if (!out)
            break;
        *out = (struct nd_slot_output){.size = size,
                                       .len = b->len,
                                       .number = held[sent].number,
                                       .seq = held[sent].seq,
                                       .burst = held[sent].burst,
                                       .port = port};
        memcpy(out + 1, b->frame, b->len);
        ft_ring_publish(ring, size);
        drop_buffer(io, b);
    }
    return sent;
}

static void *make_buffer(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    struct buffer *b = take_buffer(ctx, lane, len);

    if (b)
        memcpy(b->frame, frame, len);
    return b;
}

static uint8_t *frame_of(void *owner)
{
    return ((struct buffer *)owner)->frame;
}

/* With an input keeper none is ever lost, so sequence numbers count the tape's packets. */
static bool read_input(void *ctx, unsigned lane, uint64_t seq, uint8_t *frame, uint32_t *len, uint8_t *port)
{
    const struct nd_tape *tape = &((struct nd_slot_io *)ctx)->tapes[lane];

    if (seq == 0 || seq > tape->count)
        return false;
    nd_tape_frame(tape, seq - 1, frame);
    *len = tape->inputs[seq - 1].wire;
    *port = tape->inputs[seq - 1].side == NF_OUTSIDE;
    return true;
}

static void *make_rest(void *ctx, unsigned lane, uint64_t seq, const void *head, uint32_t have, uint32_t len)
{
    uint8_t input[FT_FRAME_MAX], port;
    struct buffer *b;
    uint32_t wire;

    if (!read_input(ctx, lane, seq, input, &wire, &port) || !(b = take_buffer(ctx, lane, len)))
        return NULL;
    memcpy(b->frame, head, have);
    if (kp_complete(b->frame, have, len, input, wire))
        return b;
    drop_buffer(ctx, b);
    return NULL;
}

static bool has_record_room(void *ctx, unsigned lane)
{
    return ft_ring_room(&((struct nd_slot_io *)ctx)->slot->lanes[lane].records) >= RECORD_MAX;
}

/* The input keeper has the inputs, so a record goes there without them. */
static void put_record(void *ctx, unsigned lane, const struct ft_record *record)
{
    struct nd_slot_io *io = ctx;
    struct ft_ring *ring = &io->slot->lanes[lane].records;
    struct ft_record brief = *record, *out;

    brief.flags |= FT_REC_BY_SEQ;
    brief.bytes = 0;
    brief.size = (uint32_t)ft_record_size(&brief);
    out = ft_ring_reserve(ring, brief.size);
    FT_CHECK(out, "burst %lu was run without room for its record", record->burst);
    *out = brief;
    memcpy((uint8_t *)out + ft_record_dependencies_at(out),
           (const uint8_t *)record + ft_record_dependencies_at(record),
           record->dependencies * sizeof(struct ft_dependency));
    memcpy((uint8_t *)out + ft_record_determinants_at(out),
           (const uint8_t *)record + ft_record_determinants_at(record), FT_ALIGN8(record->determinants));
    ft_ring_publish(ring, brief.size);
    atomic_store_explicit(&io->slot->lanes[lane].run, record->burst, memory_order_release);
}

/* ---- making ------------------------------------------------------------------------------------ */

int nd_slot_io_open(struct nd_slot_io *io, struct nd_slot *slot, const struct nd_tape tapes[], unsigned lanes,
                    bool keeps, struct ft_fault *fault)
{
    uint32_t size, each = BUFFERS / lanes;
    uint8_t *pool;

    *io = (struct nd_slot_io){.slot = slot, .tapes = tapes, .lanes = lanes};
    io->frame_max = (tapes->longest > NF_EMIT_SLOT ? tapes->longest : NF_EMIT_SLOT) + NF_HEADROOM;
    size = ((uint32_t)sizeof(struct buffer) + io->frame_max + 63u) & ~63u;
    pool = mmap(NULL, (size_t)size * BUFFERS, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (unsigned l = 0; l < lanes; l++) {
        io->lane[l].free = malloc(each * sizeof(*io->lane[l].free));
        if (pool == MAP_FAILED || !io->lane[l].free)
            return ft_fail(fault, FT_ENOMEM, "no memory for %u packet buffers", BUFFERS);
        for (uint32_t i = each; i-- > 0;)
            io->lane[l].free[io->lane[l].frees++] = pool + ((size_t)l * each + i) * size;
    }
    io->io = (struct nd_io){.ctx = io,
                            .ports = ND_SLOT_PORTS,
                            .side = {NF_INSIDE, NF_OUTSIDE},
                            .buffers = each,
                            .send = transmit_frames,
                            .make = make_buffer,
                            .data = frame_of,
                            .drop = drop_buffer,
                            .burst = read_burst,
                            .rest = keeps ? make_rest : NULL,
                            .input = keeps ? read_input : NULL,
                            .frame_max = (io->frame_max + 63u) & ~63u,
                            .room = lanes > 1 ? has_record_room : NULL,
                            .record = lanes > 1 ? put_record : NULL};
    return 0;
}

/* ==== the keeper ======================================================================================= */

int nd_keeper_open(struct nd_keeper *keeper, const struct nd_tape *tape, bool keeps,
                   struct nd_keeper_counts *counts, struct nd_capture_file *written, struct ft_fault *fault)
{
    *keeper = (struct nd_keeper){.tape = tape, .keeps = keeps, .counts = counts, .written = written};
    /* Address space, not memory: most chains make no packets of their own. */
    keeper->numbers = tape->count + tape->burst_count * NF_EMIT_MAX + 1;
    keeper->left = mmap(NULL, keeper->numbers * sizeof(*keeper->left), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (keeper->left == MAP_FAILED)
        keeper->left = NULL;
    keeper->source = calloc(tape->burst_count + 2, sizeof(*keeper->source));
    keeper->seq = calloc(tape->burst_count + 2, sizeof(*keeper->seq));
    if (!keeper->left || !keeper->source || !keeper->seq)
        return ft_fail(fault, FT_ENOMEM, "no memory for what leaves the chain");
    keeper->seq[1] = 1;
    return 0;
}

void nd_keeper_close(struct nd_keeper *keeper)
{
    if (keeper->left)
        munmap(keeper->left, keeper->numbers * sizeof(*keeper->left));
    free(keeper->source);
    free(keeper->seq);
    free(keeper->ledger.bytes);
    free(keeper->ledger.at);
    memset(keeper, 0, sizeof(*keeper));
}

/* ---- the file ---------------------------------------------------------------------------------- */

/* Stamped as the input it came from; an NF's own packet with the time of its burst. */
static void write_packet(struct nd_keeper *keeper, const struct nd_slot_output *out)
{
    const struct nd_tape_burst *b = NULL;
    uint64_t stamp = 0, index;
    uint32_t have = out->len;

    if (out->burst >= 1 && out->burst <= keeper->known)
        b = &keeper->tape->bursts[keeper->source[out->burst] - 1];
    if (b)
        stamp = b->time;
    if (b && out->seq) {
        index = b->first + (out->seq - keeper->seq[out->burst]);
        if (index < keeper->tape->count) {
            const struct nd_tape_input *in = &keeper->tape->inputs[index];

            stamp = in->stamp;
            have -=
                in->wire - in->have < have ? in->wire - in->have : have; /* what is not there is the end */
        }
    }
    nd_capture_put(keeper->written, stamp, out + 1, have, out->len);
}

const struct ft_record *nd_keeper_record(const struct nd_keeper *keeper, uint64_t burst)
{
    return (const void *)(keeper->ledger.bytes + keeper->ledger.at[burst - 1]);
}

/* ---- outputs ----------------------------------------------------------------------------------- */

uint64_t nd_keeper_digest(const void *frame, uint32_t len, uint64_t port)
{
    uint64_t digest = XXH3_64bits_withSeed(frame, len, port);

    return digest ? digest : 1;
}

/* True when it is to leave. */
static bool admit_output(struct nd_keeper *keeper, const struct nd_slot_output *out)
{
    uint64_t digest = nd_keeper_digest(out + 1, out->len, out->port), *left;

    if (out->number == 0 || out->number >= keeper->numbers) {
        keeper->counts->altered++;
        return true;
    }
    left = &keeper->left[out->number];
    /* A node's ring loses nothing, so none is on its way that comes before this one. */
    if (kp_outputs_judge(&keeper->outputs, out->number, keeper->outputs.left) == KP_LEAVES) {
        kp_outputs_leave(&keeper->outputs, out->number);
        *left = digest;
        return true;
    }
    if (!*left) {
        keeper->counts->reordered++;
        *left = digest;
        return true;
    }
    keeper->counts->altered += *left != digest;
    if (keeper->keeps)
        keeper->counts->suppressed++;
    else
        keeper->counts->duplicated++;
    return !keeper->keeps;
}

static uint64_t drain_outputs(struct nd_keeper *keeper, struct ft_ring *ring)
{
    const struct nd_slot_output *out;
    uint64_t there, n = 0;

    while (n < 4096 && (out = ft_ring_peek(ring, &there))) {
        if (admit_output(keeper, out)) {
            keeper->counts->released++;
            if (out->burst > keeper->last_burst)
                keeper->last_burst = out->burst;
            if (keeper->written)
                write_packet(keeper, out);
        }
        ft_ring_advance(ring, out->size);
        if (++n % 64 == 0)
            ft_ring_consume(ring);
    }
    ft_ring_consume(ring);
    return n;
}

/* ---- records ----------------------------------------------------------------------------------- */

static uint64_t drain_records(struct nd_ledger *ledger, struct ft_ring *ring)
{
    const struct ft_record *r;
    uint64_t there, n = 0;

    for (; (r = ft_ring_peek(ring, &there)); n++) {
        ledger->broken |=
            r->burst != ledger->count + 1 ||
            !nd_grow((void **)&ledger->at, &ledger->room, r->burst, sizeof(*ledger->at), 4096) ||
            !nd_grow((void **)&ledger->bytes, &ledger->byte_room, ledger->used + r->size, 1, 1u << 20);
        if (!ledger->broken) {
            ledger->at[ledger->count++] = ledger->used;
            memcpy(ledger->bytes + ledger->used, r, r->size);
            ledger->used += r->size;
        }
        ft_ring_advance(ring, r->size);
        ft_ring_consume(ring);
    }
    return n;
}

uint64_t nd_keeper_drain(struct nd_keeper *keeper, struct nd_slot_lane *lane)
{
    return drain_outputs(keeper, &lane->out) +
           (lane->records.data ? drain_records(&keeper->ledger, &lane->records) : 0);
}

/* ---- bursts ------------------------------------------------------------------------------------ */

void nd_keeper_know(struct nd_keeper *keeper, uint64_t burst)
{
    for (; keeper->known < burst; keeper->known++) {
        uint64_t b = keeper->known + 1;

        keeper->source[b] = b + keeper->shift;
        keeper->seq[b + 1] = keeper->seq[b] + keeper->tape->bursts[keeper->source[b] - 1].n;
    }
}

void nd_keeper_log(struct nd_keeper *keeper, const char *fmt, ...)
{
    va_list ap;

    if (keeper->counts->listed++ >= ND_KEEPER_LISTED)
        return;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
}

static void count_lost(struct nd_keeper *keeper, uint64_t burst)
{
    const struct nd_tape_burst *b = &keeper->tape->bursts[keeper->source[burst] - 1];

    for (uint32_t i = 0; i < b->n; i++) {
        keeper->counts->lost++;
        nd_keeper_log(keeper, "lost: packet %lu (seq %lu): taken by the primary, not recovered\n",
                      keeper->tape->inputs[b->first + i].number + 1, keeper->seq[burst] + i);
    }
}

void nd_keeper_takeover(struct nd_keeper *keeper, uint64_t survived, uint64_t taken)
{
    if (keeper->last_burst > survived) {
        fprintf(stderr,
                "understudy replay: an output of burst %lu left, the successor knows bursts up to %lu\n",
                keeper->last_burst, survived);
        keeper->counts->early++;
    }
    nd_keeper_know(keeper, taken);
    for (uint64_t b = survived + 1; !keeper->keeps && b <= taken; b++)
        count_lost(keeper, b);
    if (survived < keeper->known)
        keeper->known = survived;
    if (!keeper->keeps && taken > survived)
        keeper->shift += taken - survived;
    if (keeper->last_burst > survived)
        keeper->last_burst = survived;
    while (keeper->ledger.count > survived)
        keeper->ledger.used = keeper->ledger.at[--keeper->ledger.count];
}
