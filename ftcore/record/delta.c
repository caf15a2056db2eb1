/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire form of a chunk of a delta: encode and decode. Written by the replicator that drains the rings,
 * read by the standby's receiver.
 *
 * One chunk is one msgpack array, as a log record is (ftcore/record/record.c): version, the numbers of
 * FT_CHUNK_NUMBERS in the order and with the ranges of that table, body, checksum. FT_REC_DIGEST is only
 * beside FT_CHUNK_LAST, the digest is 0 without it, FT_REC_SLICE is only beside
 * both, the slice is 0 without it, and from + bursts must not wrap.
 *
 * The body is three parts without padding, and nothing after them. Varints and zigzag are those of a record.
 *
 *     lines    Runs as in memory and as in a snapshot: u64 first line | u32 count | u32 flags, then the lines
 *              unless flag 1 states that they are zero. Lines rise: no run begins before the end of the last.
 *     heads    Each output is
 *                  varint (len - 14) * 16 + flags, then what the flags mark as explicit, in this order:
 *
 *                  flag 1   number, burst and seq are explicit: varint number - next number,
 *                           varint burst - last burst, and unless flag 2: varint zigzag(seq - next seq)
 *                  flag 2   an NF made it: its seq is 0, and the next seq stays
 *                  flag 4   its captured length is explicit: varint have
 *                  flag 8   its port is explicit: byte port
 *
 *              Without flag 1, number and seq are the next ones and the burst is that of the output before.
 *              Without flag 4, as much of it follows as of the one before: all, or nothing, or its first so
 *              many bytes.
 *              Before the first output: number released, burst from, seq 0, nothing follows, port 0.
 *              An output whose packet the standby can make itself costs two to four bytes.
 *     bytes    What is had of the outputs, one after the other.
 *
 * Nothing is compressed here; the message layer does that.
 */
#include "ftcore/record/delta.h"
#include "ftcore/base/check.h"
#include "ftcore/base/error.h"
#include "ftcore/record/body.h"
#include "ftcore/record/head.h"
#include "ftcore/region/region.h"

#include <string.h>

#define OUTPUT_BOUND 36u /* 3 len and flags, 10 number, 10 burst, 10 sequence number, 2 have, port */

FT_HEAD_CODEC(struct ft_chunk, FT_CHUNK_NUMBERS);

_Static_assert(sizeof(struct ft_chunk_output) % 8 == 0, "what follows lies at a multiple of 8");
_Static_assert(offsetof(struct ft_chunk, lane) == offsetof(struct ft_record, lane) &&
                   offsetof(struct ft_chunk, kind) == offsetof(struct ft_record, kind) &&
                   offsetof(struct ft_chunk, flags) == offsetof(struct ft_record, flags),
               "chunks and records begin with the same eight bytes");
_Static_assert(sizeof(struct ft_chunk) + FT_CHUNK_LINES + FT_CHUNK_OUTPUTS <= FT_CHUNK_MAX &&
                   FT_CHUNK_MAX <= FT_RECORD_MAX,
               "counts within their ranges cannot make a chunk that is too large");
_Static_assert(FT_CHUNK_HELD == FT_CHUNK_OUTPUTS / sizeof(struct ft_chunk_output), "as many as fit");

/* ---- rules, for both directions ---- */

/* Checks a chunk's numbers as they stand on the wire, where `burst` is relative to `from`. *at is the offset
 * of the member at fault. */
static int rule_numbers(const struct ft_chunk *p, size_t *at, struct ft_fault *why)
{
    *at = offsetof(struct ft_chunk, flags);
    if (p->flags & ~FT_CHUNK_FLAGS || (p->flags & FT_REC_DIGEST && !(p->flags & FT_CHUNK_LAST)) ||
        (p->flags & FT_REC_DIGESTS) == FT_REC_SLICE)
        return ft_fail(why, FT_EMALFORMED, "flags is %u, expected 0, %u, %u or %u, and %u or not", p->flags,
                       FT_CHUNK_LAST, FT_CHUNK_LAST | FT_REC_DIGEST, FT_CHUNK_LAST | FT_REC_DIGESTS,
                       FT_CHUNK_INCREMENTAL);
    *at = offsetof(struct ft_chunk, burst);
    if (p->from + p->burst < p->from)
        return ft_fail(why, FT_EMALFORMED, "bursts wraps, expected room for it after from");
    *at = offsetof(struct ft_chunk, digest);
    if (!(p->flags & FT_REC_DIGEST) && p->digest)
        return ft_fail(why, FT_EMALFORMED, "digest without its flag, expected 0");
    *at = offsetof(struct ft_chunk, slice);
    if (!(p->flags & FT_REC_SLICE) && p->slice)
        return ft_fail(why, FT_EMALFORMED, "slice without its flag, expected 0");
    return 0;
}

static int rule_lines(const struct ft_chunk *p, uint64_t lines, uint32_t *at, struct ft_fault *why)
{
    struct ft_line_run run;
    uint64_t end = 0;
    int got;

    for (*at = 0;;) {
        uint32_t next = *at;

        if ((got = ft_line_run_next(ft_chunk_lines(p), p->lines, &next, lines, &run)) == 0)
            return 0;
        if (got < 0)
            return ft_fail(why, FT_EMALFORMED, "a run is cut short, or lies outside the region");
        if (run.line < end)
            return ft_fail(why, FT_EMALFORMED, "a run begins at line %lu, expected %lu or later", run.line,
                           end);
        end = run.line + run.count;
        *at = next;
    }
}

/* What an output is written relative to; both directions move it alike. */
struct output_origin {
    uint64_t number, burst;
    uint64_t seq; /* of the output before that no NF made */
    uint32_t cut; /* captured length of the last output that was cut short; FT_FRAME_MAX: the whole frame */
    uint8_t port;
};

static struct output_origin first_output(const struct ft_chunk *p)
{
    return (struct output_origin){.number = p->released, .burst = p->from};
}

static uint32_t usual_have(const struct output_origin *origin, uint32_t len)
{
    return len < origin->cut ? len : origin->cut;
}

static void next_output(struct output_origin *origin, const struct ft_chunk_output *o)
{
    origin->number = o->number;
    origin->burst = o->burst;
    origin->seq = o->seq ? o->seq : origin->seq;
    origin->port = o->port;
    if (o->have != usual_have(origin, o->len))
        origin->cut = o->have < o->len ? o->have : FT_FRAME_MAX;
}

static int rule_output(const struct ft_chunk *p, const struct ft_chunk_output *o, unsigned index,
                       uint64_t last[2], struct ft_fault *why)
{
    if (o->len < FT_FRAME_MIN || o->len > FT_FRAME_MAX)
        return ft_fail(why, FT_EMALFORMED, "output %u is %u bytes, expected %u to %u", index, o->len,
                       FT_FRAME_MIN, FT_FRAME_MAX);
    if (o->have > o->len)
        return ft_fail(why, FT_EMALFORMED, "output %u has %u bytes, expected at most its %u", index, o->have,
                       o->len);
    if (o->number <= last[0] || o->number > p->outputs)
        return ft_fail(why, FT_EMALFORMED, "output %u is number %lu, expected more than %lu, at most %lu",
                       index, o->number, last[0], p->outputs);
    if (o->burst <= p->from || o->burst > p->burst || o->burst < last[1])
        return ft_fail(why, FT_EMALFORMED, "output %u is of burst %lu, expected one after %lu, at most %lu",
                       index, o->burst, (last[1] > p->from ? last[1] - 1 : p->from), p->burst);
    last[0] = o->number;
    last[1] = o->burst;
    return 0;
}

/* ---- encode ---- */

/* Room for it and its bytes; the writer aborts where the reader would refuse. */
static const struct ft_chunk_output *output_at(const struct ft_chunk *p, uint32_t at)
{
    const struct ft_chunk_output *o = (const void *)(ft_chunk_held(p) + at);

    FT_CHECK(p->bytes - at >= sizeof(*o) && o->have <= o->len && o->len <= FT_FRAME_MAX &&
                 p->bytes - at - sizeof(*o) >= FT_ALIGN8(o->have),
             "outputs at %u of %u bytes go beyond them", at, p->bytes);
    return o;
}

static uint8_t *put_output(uint8_t *to, const struct output_origin *origin, const struct ft_chunk_output *o)
{
    bool made = o->seq == 0, other = o->have != usual_have(origin, o->len), port = o->port != origin->port;
    bool step =
        o->number != origin->number + 1 || o->burst != origin->burst || (!made && o->seq != origin->seq + 1);

    to = ft_put_varint(to, (uint64_t)(o->len - FT_FRAME_MIN) << 4 | step | (unsigned)made << 1 |
                               (unsigned)other << 2 | (unsigned)port << 3);
    if (step) {
        to = ft_put_varint(to, o->number - origin->number - 1);
        to = ft_put_varint(to, o->burst - origin->burst);
        if (!made)
            to = ft_put_varint(to, ft_zigzag(o->seq - origin->seq - 1));
    }
    if (other)
        to = ft_put_varint(to, o->have);
    if (port)
        *to++ = o->port;
    return to;
}

/* Heads to `to`; returns their end, and in `*have` the bytes that follow all of them. */
static uint8_t *put_outputs(uint8_t *to, const struct ft_chunk *p, size_t *have)
{
    struct output_origin origin = first_output(p);
    uint64_t last[2] = {0};
    struct ft_fault why;
    uint32_t at = 0;

    *have = 0;
    for (unsigned i = 0; i < p->held; i++) {
        const struct ft_chunk_output *o = output_at(p, at);

        FT_CHECK(!rule_output(p, o, i, last, &why), "%s", why.text);
        to = put_output(to, &origin, o);
        next_output(&origin, o);
        *have += o->have;
        at += (uint32_t)(sizeof(*o) + FT_ALIGN8(o->have));
    }
    FT_CHECK(at == p->bytes, "outputs take %u bytes, the chunk says %u", at, p->bytes);
    return to;
}

/* Aborts where the reader would refuse. Writes the numbers as the wire has them. */
static void check_chunk(const struct ft_chunk *p, unsigned version, uint64_t n[FT_ELEMENTS_MAX])
{
    struct ft_chunk numbers = *p;
    struct ft_fault why = {""};
    size_t member;
    uint32_t at;

    FT_CHECK(p->kind == FT_ENTRY_CHUNK, "a record is no chunk of a delta");
    FT_CHECK(p->burst >= p->from, "a chunk from burst %lu to %lu", p->from, p->burst);
    numbers.burst -= p->from;
    FT_CHECK(FT_FORMAT_KNOWN(version), "a chunk in version %u", version);
    get_numbers(&numbers, version, n);
    FT_CHECK(!ft_head_ranges(&layout, n, &member, &why) && !rule_numbers(&numbers, &member, &why), "%s",
             why.text);
    FT_CHECK(p->size == ft_chunk_size(p->lines, p->bytes), "a chunk of %u bytes that says %u",
             ft_chunk_size(p->lines, p->bytes), p->size);
    FT_CHECK(!rule_lines(p, UINT64_MAX, &at, &why), "%s", why.text);
}

size_t ft_chunk_bound(const struct ft_chunk *p)
{
    return ft_head_bound(&layout) + p->lines + p->held * OUTPUT_BOUND + p->bytes;
}

long ft_chunk_encode(const struct ft_chunk *p, unsigned version, bool summed, uint8_t *out, size_t cap)
{
    uint8_t heads[FT_CHUNK_HELD * OUTPUT_BOUND];
    struct ft_out to = {out, out + cap, false};
    uint64_t n[FT_ELEMENTS_MAX];
    size_t have;
    uint32_t at = 0;

    check_chunk(p, version, n);
    size_t heads_len = (size_t)(put_outputs(heads, p, &have) - heads);
    ft_head_write(&to, &layout, n, p->lines + heads_len + have);
    ft_out_write(&to, (const char *)ft_chunk_lines(p), p->lines);
    ft_out_write(&to, (const char *)heads, heads_len);
    for (unsigned i = 0; i < p->held; i++) {
        const struct ft_chunk_output *o = output_at(p, at);

        ft_out_write(&to, (const char *)(o + 1), o->have);
        at += (uint32_t)(sizeof(*o) + FT_ALIGN8(o->have));
    }
    return ft_head_finish(&to, summed, out);
}

/* ---- decode ---- */

static bool get_steps(struct ft_body *b, const struct output_origin *origin, bool made,
                      struct ft_chunk_output *o)
{
    uint64_t number, burst, seq = 0;

    if (!ft_get_varint(b, &number) || !ft_get_varint(b, &burst) || (!made && !ft_get_varint(b, &seq)))
        return false;
    o->number = origin->number + 1 + number;
    o->burst = origin->burst + burst;
    o->seq = origin->seq + 1 + ft_unzigzag(seq);
    return true;
}

static bool get_output(struct ft_body *b, const struct output_origin *origin, struct ft_chunk_output *o)
{
    uint64_t v, have;

    if (!ft_get_varint(b, &v) || v >> 4 > FT_FRAME_MAX)
        return false;
    bool made = v & 2;

    *o = (struct ft_chunk_output){.number = origin->number + 1,
                                  .burst = origin->burst,
                                  .seq = origin->seq + 1,
                                  .len = (uint32_t)(v >> 4) + FT_FRAME_MIN,
                                  .port = origin->port};
    if (v & 1 && !get_steps(b, origin, made, o))
        return false;
    if (made)
        o->seq = 0;
    o->have = usual_have(origin, o->len);
    if (v & 4) {
        if (!ft_get_varint(b, &have) || have > FT_FRAME_MAX)
            return false;
        o->have = (uint32_t)have;
    }
    if (v & 8) {
        if (b->at == b->end)
            return false;
        o->port = *b->at++;
    }
    return true;
}

/* Heads, each where it belongs with a gap for its bytes, which come behind all of them. */
static int get_heads(struct ft_body *b, const struct ft_chunk *p, struct ft_fault *why)
{
    struct output_origin origin = first_output(p);
    struct ft_body next = *b;
    uint64_t last[2] = {0};
    uint32_t at = 0;

    for (unsigned i = 0; i < p->held; i++) {
        struct ft_chunk_output o;

        if (!get_output(&next, &origin, &o))
            return ft_body_ends(why, "an output");
        if (rule_output(p, &o, i, last, why))
            return FT_EMALFORMED;
        size_t size = sizeof(o) + FT_ALIGN8(o.have);
        if (p->bytes - at < size)
            return ft_fail(why, FT_EMALFORMED, "output %u needs %zu bytes, %u are left of bytes", i, size,
                           p->bytes - at);
        memcpy(ft_chunk_held(p) + at, &o, sizeof(o));
        next_output(&origin, &o);
        at += (uint32_t)size;
        b->at = next.at;
    }
    if (at != p->bytes)
        return ft_fail(why, FT_EMALFORMED, "outputs take %u bytes, expected %u as the head says", at,
                       p->bytes);
    return 0;
}

static int get_body(struct ft_body *b, struct ft_chunk *p, uint64_t lines, struct ft_fault *why)
{
    const uint8_t *start = b->at;
    uint32_t at;

    if (ft_get_bytes(b, ft_chunk_lines(p), p->lines, why))
        return FT_EMALFORMED;
    if (rule_lines(p, lines, &at, why)) {
        b->at = start + at;
        return FT_EMALFORMED;
    }
    if (get_heads(b, p, why))
        return FT_EMALFORMED;
    at = 0;
    for (unsigned i = 0; i < p->held; i++) {
        struct ft_chunk_output *o = (void *)(ft_chunk_held(p) + at);

        if (ft_get_bytes(b, o + 1, o->have, why))
            return FT_EMALFORMED;
        at += (uint32_t)(sizeof(*o) + FT_ALIGN8(o->have));
    }
    return ft_body_done(b, why);
}

long ft_chunk_decode(const uint8_t *in, size_t len, uint64_t lines, struct ft_chunk *chunk, size_t cap,
                     struct ft_fault *fault)
{
    struct ft_fault why;
    struct ft_head head;
    struct ft_chunk p;
    size_t at;

    long used = ft_head_read(&head, &layout, in, len, fault);
    if (used < 0)
        return used;
    set_numbers(&p, head.number);
    if (rule_numbers(&p, &at, &why))
        return ft_fail_at(fault, FT_EMALFORMED, ft_head_offset(&layout, in, at), &why);
    p.kind = FT_ENTRY_CHUNK;
    p.burst += p.from;
    p.size = ft_chunk_size(p.lines, p.bytes);
    if (p.size > cap)
        return ft_fail(fault, FT_EFULL, "offset 0: part of %u bytes, expected at most %zu", p.size, cap);
    *chunk = p;
    struct ft_body body = {head.body, head.body + head.body_len};
    if (get_body(&body, chunk, lines, &why))
        return ft_fail_at(fault, FT_EMALFORMED, (size_t)(body.at - in), &why);
    return used;
}

/* ---- runs of lines ------------------------------------------------------------------------------ */

#define RUN_ZERO 1u

struct ft_line_run ft_line_run_at(const uint8_t *memory, uint64_t line, uint64_t most)
{
    const uint8_t *at = memory + (line << FT_LINE_SHIFT);
    struct ft_line_run run = {.line = line, .count = 1, .zero = ft_line_is_zero(at)};

    while (run.count < most && ft_line_is_zero(at + (size_t)run.count * FT_LINE) == run.zero)
        run.count++;
    run.bytes = run.zero ? NULL : at;
    return run;
}

/* A run's head; where its bytes go, or NULL: no room for both. */
static uint8_t *put_run(uint8_t *out, uint32_t *len, uint32_t cap, uint64_t line, uint32_t count,
                        uint32_t flags)
{
    uint64_t bytes = flags & RUN_ZERO ? 0 : (uint64_t)count * FT_LINE;

    FT_CHECK(count && *len <= cap, "run of %u lines at %u of %u", count, *len, cap);
    if (cap - *len < FT_LINE_RUN_HEAD + bytes)
        return NULL;
    out += *len;
    memcpy(out, &line, 8);
    memcpy(out + 8, &count, 4);
    memcpy(out + 12, &flags, 4);
    *len += FT_LINE_RUN_HEAD + (uint32_t)bytes;
    return out + FT_LINE_RUN_HEAD;
}

uint8_t *ft_line_run_room(uint8_t *out, uint32_t *len, uint32_t cap, uint64_t line, uint32_t count)
{
    return put_run(out, len, cap, line, count, 0);
}

bool ft_line_run_append(uint8_t *out, uint32_t *len, uint32_t cap, const struct ft_line_run *run)
{
    uint8_t *room = put_run(out, len, cap, run->line, run->count, run->zero ? RUN_ZERO : 0);

    if (room && !run->zero)
        memcpy(room, run->bytes, (size_t)run->count * FT_LINE);
    return room;
}

int ft_line_run_next(const uint8_t *in, uint32_t len, uint32_t *at, uint64_t lines, struct ft_line_run *run)
{
    uint32_t flags;

    if (*at == len)
        return 0;
    if (*at > len || len - *at < FT_LINE_RUN_HEAD)
        return FT_EMALFORMED;
    in += *at;
    memcpy(&run->line, in, 8);
    memcpy(&run->count, in + 8, 4);
    memcpy(&flags, in + 12, 4);
    run->zero = flags == RUN_ZERO;
    run->bytes = run->zero ? NULL : in + FT_LINE_RUN_HEAD;
    if (flags > RUN_ZERO || run->count == 0 || run->count > lines || run->line > lines - run->count)
        return FT_EMALFORMED;
    uint64_t bytes = run->zero ? 0 : (uint64_t)run->count * FT_LINE;
    if (len - *at - FT_LINE_RUN_HEAD < bytes)
        return FT_EMALFORMED;
    *at += FT_LINE_RUN_HEAD + (uint32_t)bytes;
    return 1;
}
