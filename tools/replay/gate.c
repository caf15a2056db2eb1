/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves, once and in order, and what it came from; see replay/gate.h. */
#define _GNU_SOURCE
#include "tools/replay/gate.h"
#include "tools/pair/grow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

int nd_gate_open(struct nd_gate *gate, const struct nd_tape *tape, bool keeps, struct nd_gate_counts *counts,
                 struct nd_capture_file *written, struct ft_fault *fault)
{
    *gate = (struct nd_gate){.tape = tape, .keeps = keeps, .counts = counts, .written = written};
    /* Address space, not memory: most chains make no packets of their own. */
    gate->numbers = tape->count + tape->burst_count * NF_EMIT_MAX + 1;
    gate->left = mmap(NULL, gate->numbers * sizeof(*gate->left), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (gate->left == MAP_FAILED)
        gate->left = NULL;
    gate->source = calloc(tape->burst_count + 2, sizeof(*gate->source));
    gate->seq = calloc(tape->burst_count + 2, sizeof(*gate->seq));
    if (!gate->left || !gate->source || !gate->seq)
        return ft_fail(fault, FT_ENOMEM, "no memory for what leaves the chain");
    gate->seq[1] = 1;
    return 0;
}

void nd_gate_close(struct nd_gate *gate)
{
    if (gate->left)
        munmap(gate->left, gate->numbers * sizeof(*gate->left));
    free(gate->source);
    free(gate->seq);
    free(gate->ledger.bytes);
    free(gate->ledger.at);
    memset(gate, 0, sizeof(*gate));
}

/* ---- the file ---------------------------------------------------------------------------------- */

/* Stamped as the input it came from; an NF's own packet with the time of its burst. */
static void write_packet(struct nd_gate *gate, const struct nd_slot_output *out)
{
    const struct nd_tape_burst *b = NULL;
    uint64_t stamp = 0, index;
    uint32_t have = out->len;

    if (out->burst >= 1 && out->burst <= gate->known)
        b = &gate->tape->bursts[gate->source[out->burst] - 1];
    if (b)
        stamp = b->time;
    if (b && out->seq) {
        index = b->first + (out->seq - gate->seq[out->burst]);
        if (index < gate->tape->count) {
            stamp = gate->tape->inputs[index].stamp;
            if (gate->tape->inputs[index].have < have)
                have = gate->tape->inputs[index].have;
        }
    }
    nd_capture_put(gate->written, stamp, out + 1, have, out->len);
}

/* ---- outputs ----------------------------------------------------------------------------------- */

uint64_t nd_gate_digest(const void *frame, uint32_t len, uint64_t port)
{
    uint64_t digest = XXH3_64bits_withSeed(frame, len, port);

    return digest ? digest : 1;
}

/* True when it is to leave. */
static bool admit_output(struct nd_gate *gate, const struct nd_slot_output *out)
{
    uint64_t digest = nd_gate_digest(out + 1, out->len, out->port), *left;

    if (out->number == 0 || out->number >= gate->numbers) {
        gate->counts->altered++;
        return true;
    }
    left = &gate->left[out->number];
    if (*left) {
        gate->counts->altered += *left != digest;
        if (gate->keeps)
            gate->counts->suppressed++;
        else
            gate->counts->duplicated++;
        return !gate->keeps;
    }
    *left = digest;
    if (out->number < gate->highest)
        gate->counts->reordered++;
    else
        gate->highest = out->number;
    return true;
}

static uint64_t drain_outputs(struct nd_gate *gate, struct ft_ring *ring)
{
    const struct nd_slot_output *out;
    uint64_t there, n = 0;

    while (n < 4096 && (out = ft_ring_peek(ring, &there))) {
        if (admit_output(gate, out)) {
            gate->counts->released++;
            if (out->burst > gate->last_burst)
                gate->last_burst = out->burst;
            if (gate->written)
                write_packet(gate, out);
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

const struct ft_record *nd_gate_record(const struct nd_gate *gate, uint64_t burst)
{
    return (const void *)(gate->ledger.bytes + gate->ledger.at[burst - 1]);
}

uint64_t nd_gate_drain(struct nd_gate *gate, struct nd_slot_lane *lane)
{
    return drain_outputs(gate, &lane->out) +
           (lane->records.data ? drain_records(&gate->ledger, &lane->records) : 0);
}

/* ---- bursts ------------------------------------------------------------------------------------ */

void nd_gate_know(struct nd_gate *gate, uint64_t burst)
{
    for (; gate->known < burst; gate->known++) {
        uint64_t b = gate->known + 1;

        gate->source[b] = b + gate->shift;
        gate->seq[b + 1] = gate->seq[b] + gate->tape->bursts[gate->source[b] - 1].n;
    }
}

void nd_gate_tell(struct nd_gate *gate, const char *fmt, ...)
{
    va_list ap;

    if (gate->counts->told++ >= ND_GATE_TOLD)
        return;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
}

static void count_lost(struct nd_gate *gate, uint64_t burst)
{
    const struct nd_tape_burst *b = &gate->tape->bursts[gate->source[burst] - 1];

    for (uint32_t i = 0; i < b->n; i++) {
        gate->counts->lost++;
        nd_gate_tell(gate, "lost: packet %lu (seq %lu): taken by the primary, not recovered\n",
                     gate->tape->inputs[b->first + i].number + 1, gate->seq[burst] + i);
    }
}

void nd_gate_takeover(struct nd_gate *gate, uint64_t survived, uint64_t taken)
{
    if (gate->last_burst > survived) {
        fprintf(stderr,
                "understudy replay: an output of burst %lu left, the successor knows bursts up to %lu\n",
                gate->last_burst, survived);
        gate->counts->early++;
    }
    nd_gate_know(gate, taken);
    for (uint64_t b = survived + 1; !gate->keeps && b <= taken; b++)
        count_lost(gate, b);
    if (survived < gate->known)
        gate->known = survived;
    if (!gate->keeps && taken > survived)
        gate->shift += taken - survived;
    if (gate->last_burst > survived)
        gate->last_burst = survived;
    while (gate->ledger.count > survived)
        gate->ledger.used = gate->ledger.at[--gate->ledger.count];
}
