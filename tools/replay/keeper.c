/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves, once and in order, and what it came from; see replay/keeper.h. */
#define _GNU_SOURCE
#include "tools/replay/keeper.h"
#include "tools/pair/tape.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

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
    if (*left) {
        keeper->counts->altered += *left != digest;
        if (keeper->keeps)
            keeper->counts->suppressed++;
        else
            keeper->counts->duplicated++;
        return !keeper->keeps;
    }
    *left = digest;
    if (out->number < keeper->highest)
        keeper->counts->reordered++;
    else
        keeper->highest = out->number;
    return true;
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

const struct ft_record *nd_keeper_record(const struct nd_keeper *keeper, uint64_t burst)
{
    return (const void *)(keeper->ledger.bytes + keeper->ledger.at[burst - 1]);
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

void nd_keeper_tell(struct nd_keeper *keeper, const char *fmt, ...)
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
        nd_keeper_tell(keeper, "lost: packet %lu (seq %lu): taken by the primary, not recovered\n",
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
