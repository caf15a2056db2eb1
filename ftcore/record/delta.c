/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire form of a chunk of a delta: encode and decode. Written by the replicator that drains the rings,
 * read by the standby's receiver.
 *
 * One part is one msgpack array of 17 elements, `dc 00 11` first. Numbers are unsigned: in msgpack's shortest
 * form when written, in any unsigned form when read.
 *
 *      0  version    1. First, so that a reader of another version stops before it misreads the rest.
 *      1  lane       0 to 15 (below FT_LANES_MAX).
 *      2  flags      FT_CHUNK_INCREMENTAL; FT_CHUNK_LAST, and FT_REC_DIGEST only beside it. FT_REC_DELTA,
 * which says in a ring that this is no record, is not written. 3  cut        1 to 2^64-1. 4  from       the
 * lane's last burst at the base cut. 5  bursts     that the delta stands for: burst - from. from + bursts
 * must not wrap. 6  seq        next sequence number at the end cut. 7  access     accesses the lane had made
 * at the end cut. 8  released   outputs released when the chunk was made. 9  outputs    outputs ever made at
 * the end cut. 10  digest     any with FT_REC_DIGEST, else 0. 11  number     of the chunk in its delta, 0 to
 * 2^32-1. 12  lines      bytes of runs, 0 to 96 Ki (FT_CHUNK_LINES). 13  held       outputs that follow, 0 to
 * 819. 14  bytes      that these need in memory, heads included, 0 to 32 Ki (FT_CHUNK_OUTPUTS). 15  body bin,
 * see below. 16  checksum   XXH3-64 of all before it, `cf` and eight bytes, as in a record.
 *
 * The body is three parts without padding, and nothing after them. Varints and zigzag are those of a record.
 *
 *     lines    Runs as in memory and as in a base: u64 first line | u32 count | u32 flags, then the lines
 *              unless flag 1 says that they are zero. Lines rise: no run begins before the end of the last.
 *     heads    Each output is
 *                  varint (len - 14) * 16 + step + made * 2 + other * 4 + port * 8
 *                  with step:  varint number - next number, varint burst - last burst,
 *                              and unless made: varint zigzag(sequence number - next sequence number)
 *                  with other: varint have
 *                  with port:  byte port
 *              Without step, number and sequence number are the next ones and the burst is that of the output
 * before. An NF made it: its sequence number is 0, and the next sequence number stays. Without other, as much
 * of it follows as of the one before: all, or nothing or its first so many bytes. Before the first output:
 *              number released, burst from, seq 0, nothing follows, port 0.
 *              An output whose packet the standby can make itself costs two to four bytes.
 *     bytes    What is had of the outputs, one after the other.
 *
 * Nothing is compressed here; the message layer does that.
 */
#include "ftcore/record/delta.h"

#include "ftcore/record/body.h"
#include "ftcore/base/check.h"
#include "ftcore/record/head.h"
#include "ftcore/record/message.h"

#include <msgpack/pack.h>

#define CHUNK_VERSION 1u
#define FLAGS_WIRE    (FT_CHUNK_LAST | FT_REC_DIGEST | FT_CHUNK_INCREMENTAL)
#define HELD_MAX      (FT_CHUNK_OUTPUTS / sizeof(struct ft_chunk_output))
#define OUTPUT_BOUND  36u /* 3 len and flags, 10 number, 10 burst, 10 sequence number, 2 have, port */
#define HEAD_BOUND    (3u + 15u * 9u + 5u)

_Static_assert(sizeof(struct ft_chunk) % 8 == 0 && sizeof(struct ft_chunk_output) % 8 == 0,
               "what follows lies at multiples of 8");
_Static_assert(offsetof(struct ft_chunk, lane) == offsetof(struct ft_record, lane) &&
                   offsetof(struct ft_chunk, flags) == offsetof(struct ft_record, flags),
               "chunks and records share their first eight bytes");
_Static_assert(sizeof(struct ft_chunk) + FT_CHUNK_LINES + FT_CHUNK_OUTPUTS <= FT_CHUNK_MAX &&
                   FT_CHUNK_MAX <= FT_RECORD_MAX,
               "counts within their ranges cannot make a chunk that is too large");
_Static_assert(HELD_MAX == 819, "what the essay says");

enum {
    F_VERSION,
    F_LANE,
    F_FLAGS,
    F_CUT,
    F_FROM,
    F_BURSTS,
    F_SEQ,
    F_ACCESS,
    F_RELEASED,
    F_OUTPUTS,
    F_DIGEST,
    F_NUMBER,
    F_LINES,
    F_HELD,
    F_BYTES,
    F_BODY,
    F_CHECKSUM,
    FIELDS
};

static const struct ft_field fields[FIELDS] = {
    [F_VERSION] = {"version", 0, CHUNK_VERSION, CHUNK_VERSION},
    [F_LANE] = {"lane", 0, 0, FT_LANES_MAX - 1},
    [F_FLAGS] = {"flags", 0, 0, FLAGS_WIRE},
    [F_CUT] = {"cut", 0, 1, UINT64_MAX},
    [F_FROM] = {"from", 0, 0, UINT64_MAX},
    [F_BURSTS] = {"bursts", 0, 0, UINT64_MAX},
    [F_SEQ] = {"seq", 0, 0, UINT64_MAX},
    [F_ACCESS] = {"access", 0, 0, UINT64_MAX},
    [F_RELEASED] = {"released", 0, 0, UINT64_MAX},
    [F_OUTPUTS] = {"outputs", 0, 0, UINT64_MAX},
    [F_DIGEST] = {"digest", 0, 0, UINT64_MAX},
    [F_NUMBER] = {"number", 0, 0, UINT32_MAX},
    [F_LINES] = {"lines", 0, 0, FT_CHUNK_LINES},
    [F_HELD] = {"held", 0, 0, HELD_MAX},
    [F_BYTES] = {"bytes", 0, 0, FT_CHUNK_OUTPUTS},
    [F_BODY] = {"body", 0, 0, 0},
    [F_CHECKSUM] = {"checksum", 0, 0, UINT64_MAX},
};
static const struct ft_layout layout = {fields, FIELDS, CHUNK_VERSION};

_Static_assert(FIELDS <= FT_LAYOUT_MAX, "a head has room for them");

/* ---- rules, for both directions ---- */

static int rule_head(const uint64_t n[], unsigned *field, struct ft_fault *why)
{
    if (ft_rule_ranges(&layout, n, field, why))
        return FT_EMALFORMED;
    *field = F_FLAGS;
    if (n[F_FLAGS] & ~(uint64_t)FLAGS_WIRE || (n[F_FLAGS] & FT_REC_DIGEST && !(n[F_FLAGS] & FT_CHUNK_LAST)))
        return ft_fail(why, FT_EMALFORMED, "flags is %llu, expected 0, %u or %u, and %u or not",
                       (unsigned long long)n[F_FLAGS], FT_CHUNK_LAST, FT_CHUNK_LAST | FT_REC_DIGEST,
                       FT_CHUNK_INCREMENTAL);
    *field = F_BURSTS;
    if (n[F_FROM] + n[F_BURSTS] < n[F_FROM])
        return ft_fail(why, FT_EMALFORMED, "bursts wraps, expected room for it after from");
    *field = F_DIGEST;
    if (!(n[F_FLAGS] & FT_REC_DIGEST) && n[F_DIGEST])
        return ft_fail(why, FT_EMALFORMED, "digest without its flag, expected 0");
    return 0;
}

static int rule_lines(const struct ft_chunk *p, uint64_t lines, uint32_t *at, struct ft_fault *why)
{
    struct ft_line_run run;
    uint64_t end = 0;
    int got;

    for (*at = 0;;) {
        uint32_t next = *at;

        if ((got = ft_run_next(ft_chunk_lines(p), p->lines, &next, lines, &run)) == 0)
            return 0;
        if (got < 0)
            return ft_fail(why, FT_EMALFORMED, "a run is cut short, or lies outside the region");
        if (run.line < end)
            return ft_fail(why, FT_EMALFORMED, "a run begins at line %llu, expected %llu or later",
                           (unsigned long long)run.line, (unsigned long long)end);
        end = run.line + run.count;
        *at = next;
    }
}

/* What an output is written relative to; both directions move it alike. */
struct output_base {
    uint64_t number, burst,
        seq;      /* number and sequence number: of the output before, made ones do not count */
    uint32_t cut; /* bytes had at most; FT_FRAME_MAX: all */
    uint8_t port;
};

static struct output_base first_output(const struct ft_chunk *p)
{
    return (struct output_base){.number = p->released, .burst = p->from};
}

static uint32_t usual_have(const struct output_base *base, uint32_t len)
{
    return len < base->cut ? len : base->cut;
}

static void next_output(struct output_base *base, const struct ft_chunk_output *o)
{
    base->number = o->number;
    base->burst = o->burst;
    base->seq = o->seq ? o->seq : base->seq;
    base->port = o->port;
    if (o->have != usual_have(base, o->len))
        base->cut = o->have < o->len ? o->have : FT_FRAME_MAX;
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
        return ft_fail(why, FT_EMALFORMED, "output %u is number %llu, expected more than %llu, at most %llu",
                       index, (unsigned long long)o->number, (unsigned long long)last[0],
                       (unsigned long long)p->outputs);
    if (o->burst <= p->from || o->burst > p->burst || o->burst < last[1])
        return ft_fail(
            why, FT_EMALFORMED, "output %u is of burst %llu, expected one after %llu, at most %llu", index,
            (unsigned long long)o->burst, (unsigned long long)(last[1] > p->from ? last[1] - 1 : p->from),
            (unsigned long long)p->burst);
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

static uint8_t *put_output(uint8_t *to, const struct output_base *base, const struct ft_chunk_output *o)
{
    bool made = o->seq == 0, other = o->have != usual_have(base, o->len), port = o->port != base->port;
    bool step =
        o->number != base->number + 1 || o->burst != base->burst || (!made && o->seq != base->seq + 1);

    to = ft_put_varint(to, (uint64_t)(o->len - FT_FRAME_MIN) << 4 | step | (unsigned)made << 1 |
                               (unsigned)other << 2 | (unsigned)port << 3);
    if (step) {
        to = ft_put_varint(to, o->number - base->number - 1);
        to = ft_put_varint(to, o->burst - base->burst);
        if (!made)
            to = ft_put_varint(to, ft_zigzag(o->seq - base->seq - 1));
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
    struct output_base base = first_output(p);
    uint64_t last[2] = {0};
    struct ft_fault why;
    uint32_t at = 0;

    *have = 0;
    for (unsigned i = 0; i < p->held; i++) {
        const struct ft_chunk_output *o = output_at(p, at);

        FT_CHECK(!rule_output(p, o, i, last, &why), "%s", why.text);
        to = put_output(to, &base, o);
        next_output(&base, o);
        *have += o->have;
        at += (uint32_t)(sizeof(*o) + FT_ALIGN8(o->have));
    }
    FT_CHECK(at == p->bytes, "outputs take %u bytes, the chunk says %u", at, p->bytes);
    return to;
}

static void check_chunk(const struct ft_chunk *p, uint64_t n[])
{
    const uint64_t head[FIELDS - 2] = {
        CHUNK_VERSION, p->lane,   p->flags & ~(uint64_t)FT_REC_DELTA,
        p->cut,        p->from,   p->burst - p->from,
        p->seq,        p->access, p->released,
        p->outputs,    p->digest, p->number,
        p->lines,      p->held,   p->bytes,
    };
    struct ft_fault why = {""};
    unsigned field;
    uint32_t at;

    FT_CHECK(p->flags & FT_REC_DELTA, "a record is no chunk of a delta");
    FT_CHECK(p->burst >= p->from, "a chunk from burst %llu to %llu", (unsigned long long)p->from,
             (unsigned long long)p->burst);
    FT_CHECK(!rule_head(head, &field, &why), "%s", why.text);
    FT_CHECK(p->size == ft_chunk_size(p->lines, p->bytes), "a chunk of %u bytes that says %u",
             ft_chunk_size(p->lines, p->bytes), p->size);
    FT_CHECK(!rule_lines(p, UINT64_MAX, &at, &why), "%s", why.text);
    memcpy(n, head, sizeof(head));
}

size_t ft_chunk_bound(const struct ft_chunk *p)
{
    return HEAD_BOUND + p->lines + p->held * OUTPUT_BOUND + p->bytes + FT_CHECKSUM_LEN;
}

long ft_chunk_encode(const struct ft_chunk *p, uint8_t *out, size_t cap)
{
    uint8_t heads[HELD_MAX * OUTPUT_BOUND];
    struct ft_out to = {out, out + cap, false};
    uint64_t n[FIELDS - 2];
    msgpack_packer pk;
    size_t have;
    uint32_t at = 0;

    check_chunk(p, n);
    size_t heads_len = (size_t)(put_outputs(heads, p, &have) - heads);
    msgpack_packer_init(&pk, &to, ft_out_write);
    msgpack_pack_array(&pk, FIELDS);
    for (unsigned i = 0; i < F_BODY; i++)
        msgpack_pack_uint64(&pk, n[i]);
    msgpack_pack_bin(&pk, p->lines + heads_len + have);
    ft_out_write(&to, (const char *)ft_chunk_lines(p), p->lines);
    ft_out_write(&to, (const char *)heads, heads_len);
    for (unsigned i = 0; i < p->held; i++) {
        const struct ft_chunk_output *o = output_at(p, at);

        ft_out_write(&to, (const char *)(o + 1), o->have);
        at += (uint32_t)(sizeof(*o) + FT_ALIGN8(o->have));
    }
    return ft_head_seal(&to, out);
}

/* ---- decode ---- */

static void set_head(struct ft_chunk *p, const uint64_t n[])
{
    *p = (struct ft_chunk){
        .size = ft_chunk_size((uint32_t)n[F_LINES], (uint32_t)n[F_BYTES]),
        .lane = (uint16_t)n[F_LANE],
        .flags = (uint16_t)(n[F_FLAGS] | FT_REC_DELTA),
        .cut = n[F_CUT],
        .from = n[F_FROM],
        .burst = n[F_FROM] + n[F_BURSTS],
        .seq = n[F_SEQ],
        .access = n[F_ACCESS],
        .released = n[F_RELEASED],
        .outputs = n[F_OUTPUTS],
        .digest = n[F_DIGEST],
        .number = (uint32_t)n[F_NUMBER],
        .lines = (uint32_t)n[F_LINES],
        .held = (uint32_t)n[F_HELD],
        .bytes = (uint32_t)n[F_BYTES],
    };
}

static bool get_steps(struct ft_body *b, const struct output_base *base, bool made, struct ft_chunk_output *o)
{
    uint64_t number, burst, seq = 0;

    if (!ft_get_varint(b, &number) || !ft_get_varint(b, &burst) || (!made && !ft_get_varint(b, &seq)))
        return false;
    o->number = base->number + 1 + number;
    o->burst = base->burst + burst;
    o->seq = base->seq + 1 + ft_unzigzag(seq);
    return true;
}

static bool get_output(struct ft_body *b, const struct output_base *base, struct ft_chunk_output *o)
{
    uint64_t v, have;

    if (!ft_get_varint(b, &v) || v >> 4 > FT_FRAME_MAX)
        return false;
    bool made = v & 2;

    *o = (struct ft_chunk_output){.number = base->number + 1,
                                  .burst = base->burst,
                                  .seq = base->seq + 1,
                                  .len = (uint32_t)(v >> 4) + FT_FRAME_MIN,
                                  .port = base->port};
    if (v & 1 && !get_steps(b, base, made, o))
        return false;
    if (made)
        o->seq = 0;
    o->have = usual_have(base, o->len);
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
    struct output_base base = first_output(p);
    struct ft_body next = *b;
    uint64_t last[2] = {0};
    uint32_t at = 0;

    for (unsigned i = 0; i < p->held; i++) {
        struct ft_chunk_output o;

        if (!get_output(&next, &base, &o))
            return ft_body_ends(why, "an output");
        if (rule_output(p, &o, i, last, why))
            return FT_EMALFORMED;
        size_t size = sizeof(o) + FT_ALIGN8(o.have);
        if (p->bytes - at < size)
            return ft_fail(why, FT_EMALFORMED, "output %u needs %zu bytes, %u are left of bytes", i, size,
                           p->bytes - at);
        memcpy(ft_chunk_held(p) + at, &o, sizeof(o));
        next_output(&base, &o);
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
    if (b->at < b->end)
        return ft_fail(why, FT_EMALFORMED, "%td bytes more, expected the body's end", b->end - b->at);
    return 0;
}

long ft_chunk_decode(const uint8_t *in, size_t len, uint64_t lines, struct ft_chunk *chunk, size_t cap,
                     struct ft_fault *fault)
{
    struct ft_fault why;
    struct ft_head head;
    struct ft_chunk p;
    unsigned field;

    long used = ft_head_read(&head, &layout, in, len, fault);
    if (used < 0)
        return used;
    if (rule_head(head.number, &field, &why))
        return ft_fail_at(fault, FT_EMALFORMED, ft_head_offset(in, field), &why);
    set_head(&p, head.number);
    if (p.size > cap)
        return ft_fail(fault, FT_EFULL, "offset 0: part of %u bytes, expected at most %zu", p.size, cap);
    *chunk = p;
    struct ft_body body = {head.body, head.body + head.body_len};
    if (get_body(&body, chunk, lines, &why))
        return ft_fail_at(fault, FT_EMALFORMED, (size_t)(body.at - in), &why);
    return used;
}
