/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire form of messages: what each type carries, encode and decode. Written and read by the replicator
 * thread of either node, through the link.
 *
 * A connection carries frames, one after the other, nothing between them:
 *
 *     u32 length     of the content, 1 to FT_MESSAGE_MAX, little-endian like the next
 *     u32 checksum   low half of XXH3-64, no seed, of the content; 0: none
 *     content        one msgpack array, nothing behind it
 *
 * A length out of range is refused as soon as it is seen, so a reader never waits for more than one frame's
 * bytes. TCP's own checksum misses one error in 65536; this one is there for those. It is written where the
 * link is insecure, and verified wherever it is not 0: on a sealed link the seal's tag is the check of the
 * same bytes, and the field is 0.
 *
 * The array begins with six numbers, the head: version, type, view, sent, echo, state. Version is first and
 * is looked at before anything else, the array's length included: another version may have another head. Then
 * come the fields of the type, in the order of ft_shapes. A field is
 *
 *     number     unsigned, shortest form when written, any unsigned form when read
 *     name,text  str without control characters; shorter than its array in struct ft_message
 *     vector     array of one number per lane: exactly as many as the hello agreed on
 *     identity   bin: text, so without NUL
 *     bulk       two elements, a number and a bin: ftcore/record/bulk.c
 *
 * What is out of range is refused where it stands, with its offset in the frame. Vectors are not compared
 * with each other, nor numbers with earlier messages: that takes knowledge of the protocol's state, and is
 * the core's.
 */
#include "ftcore/record/shape.h"

#include "ftcore/base/check.h"

#include <string.h>
#define XXH_INLINE_ALL /* for this machine's vectors: the library's own is for any */
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian in memory too");
_Static_assert(FT_BULK_MAX + FT_SMALL_MAX <= FT_MESSAGE_MAX, "any message fits a frame");

#define AT(member)         offsetof(struct ft_message, member)
#define WIDE(member)       sizeof(((struct ft_message *)0)->member)
#define N(member, lo, hi)  #member, FT_K_NUMBER, AT(member), WIDE(member), lo, hi
#define ANY(member)        N(member, 0, UINT64_MAX)
#define MORE(member)       #member, FT_K_RISING, AT(member), WIDE(member), 1, UINT32_MAX
#define STRING(member, lo) #member, FT_K_TEXT, AT(member), WIDE(member), lo, WIDE(member) - 1
#define PER_LANE(member)   #member, FT_K_VECTOR, AT(member), WIDE(member), 0, UINT64_MAX
#define PLAIN(name, kind)  name, kind, 0, 0, 0, 0

const struct ft_field ft_head_fields[FT_HEAD_FIELDS] = {
    {N(view, 0, INT64_MAX)},
    {ANY(sent)},
    {ANY(echo)},
    {N(state, FT_JOINING, FT_FENCED)},
};

const struct ft_shape ft_shapes[FT_MSG_TYPES] = {
    [FT_MSG_HELLO] =
        {
            "HELLO",
            {
                {ANY(incarnation)},
                {ANY(secret[0])},
                {ANY(secret[1])},
                {STRING(name, 1)},
                {N(role, 0, 1)},
                {N(strict, 0, 1)},
                {N(warm, 0, 1)},
                {N(lanes, 1, FT_LANES_MAX)},
                {N(lease_ms, 1, UINT32_MAX)},
                {MORE(detect_ms)},
                {MORE(promote_within_ms)},
                {MORE(solo_after_ms)},
                {PLAIN("identity", FT_K_IDENTITY)},
            },
        },
    [FT_MSG_HEARTBEAT] = {"HEARTBEAT", {{0}}},
    [FT_MSG_SNAPSHOT_BEGIN] = {"SNAPSHOT_BEGIN", {{PER_LANE(burst)}, {PER_LANE(access)}}},
    [FT_MSG_SNAPSHOT] = {"SNAPSHOT", {{PLAIN("bulk", FT_K_BULK)}}},
    [FT_MSG_SNAPSHOT_END] = {"SNAPSHOT_END", {{0}}},
    [FT_MSG_LOG] = {"LOG", {{PLAIN("bulk", FT_K_BULK)}}},
    [FT_MSG_ACK] = {"ACK", {{PER_LANE(burst)}, {PER_LANE(replayed)}, {PER_LANE(taken)}}},
    [FT_MSG_HOLDING] = {"HOLDING", {{PER_LANE(burst)}}},
    [FT_MSG_STEER] = {"STEER", {{ANY(number)}}},
    [FT_MSG_STEERED] = {"STEERED", {{ANY(number)}}},
    [FT_MSG_HANDOVER] = {"HANDOVER", {{PER_LANE(burst)}}},
    [FT_MSG_ASK] = {"ASK", {{0}}},
    [FT_MSG_ABANDON] = {"ABANDON", {{STRING(text, 0)}}},
    [FT_MSG_ABANDONED] = {"ABANDONED", {{0}}},
    [FT_MSG_REFUSE] = {"REFUSE", {{STRING(text, 0)}}},
    [FT_MSG_VERDICT] =
        {
            "VERDICT",
            {
                {"lane", FT_K_LANE, AT(lane), WIDE(lane), 0, FT_LANES_MAX - 1},
                {"burst", FT_K_NUMBER, AT(burst), sizeof(uint64_t), 0, UINT64_MAX},
                {ANY(number)},
                {ANY(number2)},
            },
        },
    [FT_MSG_DRILL] = {"DRILL", {{STRING(text, 0)}}},
    [FT_MSG_DELTA] = {"DELTA", {{PLAIN("bulk", FT_K_BULK)}}},
};

unsigned ft_shape_fields(const struct ft_shape *s)
{
    unsigned n = 0;

    while (n < FT_FIELDS_MAX && s->fields[n].name)
        n++;
    return n;
}

/* Length of the content's array. */
static unsigned elements_of(const struct ft_shape *s)
{
    unsigned fields = ft_shape_fields(s), n = 2 + FT_HEAD_FIELDS + fields;

    for (unsigned i = 0; i < fields; i++)
        n += s->fields[i].kind == FT_K_BULK;
    return n;
}

void ft_field_range(const struct ft_field *f, unsigned lanes, uint64_t last, uint64_t *lo, uint64_t *hi)
{
    *lo = f->kind == FT_K_RISING && last >= f->min ? last + 1 : f->min;
    *hi = f->kind == FT_K_LANE && lanes ? lanes - 1 : f->max;
}

const char *ft_state_name(enum ft_state state)
{
    static const char *const names[] = {"?",    "JOINING",   "SYNCING",  "READY",
                                        "SOLO", "PROTECTED", "DEGRADED", "FENCED"};

    return state >= FT_JOINING && state <= FT_FENCED ? names[state] : names[0];
}

/* Encode. */

/* What the other side would refuse is a broken invariant here. */
static void put_number(msgpack_packer *pk, const struct ft_field *f, const uint8_t *m, unsigned lanes,
                       uint64_t *last)
{
    uint64_t v = 0, lo, hi;

    memcpy(&v, m + f->at, f->width);
    ft_field_range(f, lanes, *last, &lo, &hi);
    FT_CHECK(v >= lo && v <= hi, "%s is %lu, expected %lu to %lu", f->name, v, lo, hi);
    msgpack_pack_uint64(pk, v);
    *last = v;
}

/* Texts may quote files and the peer, so they are cleaned rather than trusted. */
static void put_text(msgpack_packer *pk, const struct ft_field *f, const uint8_t *m)
{
    char clean[FT_REASON_MAX];
    const char *text = (const char *)m + f->at;
    size_t len = strnlen(text, f->width - 1u);

    FT_CHECK(len >= f->min, "%s is empty", f->name);
    for (size_t i = 0; i < len; i++)
        clean[i] = (uint8_t)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, clean, len);
}

static void put_vector(msgpack_packer *pk, const struct ft_field *f, const uint8_t *m, unsigned lanes)
{
    uint64_t v[FT_LANES_MAX];

    FT_CHECK(lanes >= 1 && lanes <= FT_LANES_MAX, "%s of %u lanes", f->name, lanes);
    memcpy(v, m + f->at, sizeof(v));
    msgpack_pack_array(pk, lanes);
    for (unsigned i = 0; i < lanes; i++)
        msgpack_pack_uint64(pk, v[i]);
}

static void put_field(msgpack_packer *pk, struct ft_out *out, const struct ft_field *f,
                      const struct ft_message *m, unsigned lanes, struct ft_compressor *compressor,
                      uint64_t *last)
{
    const uint8_t *bytes = (const uint8_t *)m;

    switch (f->kind) {
    case FT_K_TEXT:
        put_text(pk, f, bytes);
        break;
    case FT_K_VECTOR:
        put_vector(pk, f, bytes, lanes);
        break;
    case FT_K_IDENTITY:
        FT_CHECK(m->identity_len == m->bulk_len && m->bulk_len <= FT_IDENTITY_MAX, "identity of %u, %u bytes",
                 m->identity_len, m->bulk_len);
        msgpack_pack_bin(pk, m->bulk_len);
        ft_out_write(out, (const char *)m->bulk, m->bulk_len);
        break;
    case FT_K_BULK:
        FT_CHECK(m->bulk_len <= FT_BULK_MAX, "bulk of %u bytes", m->bulk_len);
        ft_bulk_write(out, m, compressor);
        break;
    default:
        put_number(pk, f, bytes, lanes, last);
    }
}

long ft_message_encode(const struct ft_message *m, unsigned lanes, struct ft_compressor *compressor,
                       bool summed, uint8_t *out, size_t cap)
{
    msgpack_packer pk;
    uint64_t last = 0;

    FT_CHECK(m->type && m->type < FT_MSG_TYPES, "type %u", m->type);
    if (cap < FT_FRAME_HEAD)
        return FT_EFULL;
    const struct ft_shape *s = &ft_shapes[m->type];
    struct ft_out to = {out + FT_FRAME_HEAD, out + cap, false};
    msgpack_packer_init(&pk, &to, ft_out_write);
    msgpack_pack_array(&pk, elements_of(s));
    msgpack_pack_uint64(&pk, FT_STREAM_VERSION);
    msgpack_pack_uint64(&pk, m->type);
    for (unsigned i = 0; i < FT_HEAD_FIELDS; i++)
        put_field(&pk, &to, &ft_head_fields[i], m, lanes, compressor, &last);
    for (unsigned i = 0; i < ft_shape_fields(s); i++)
        put_field(&pk, &to, &s->fields[i], m, lanes, compressor, &last);
    if (to.full)
        return FT_EFULL;
    uint32_t len = (uint32_t)(to.at - out - FT_FRAME_HEAD);
    uint32_t sum = summed ? (uint32_t)XXH3_64bits(out + FT_FRAME_HEAD, len) : 0;
    memcpy(out, &len, sizeof(len));
    memcpy(out + 4, &sum, sizeof(sum));
    return to.at - out;
}

size_t ft_message_ahead(const struct ft_message *m, unsigned lanes)
{
    uint8_t frame[FT_SMALL_MAX];
    struct ft_message empty = *m;

    empty.bulk_len = 0;
    return (size_t)ft_message_encode(&empty, lanes, NULL, false, frame, sizeof(frame));
}

/* Decode. */

static int get_ranged(struct ft_reader *in, const struct ft_field *f, uint8_t *m, unsigned lanes,
                      uint64_t *last)
{
    const uint8_t *start = in->at;
    uint64_t v, lo, hi;

    int rc = ft_read_number(in, f->name, &v);
    if (rc)
        return rc;
    ft_field_range(f, lanes, *last, &lo, &hi);
    if (v < lo || v > hi)
        return FT_READ_REFUSE(in, start, "%s is %lu, expected %lu to %lu", f->name, v, lo, hi);
    memcpy(m + f->at, &v, f->width);
    *last = v;
    return 0;
}

static int get_text(struct ft_reader *in, const struct ft_field *f, uint8_t *m)
{
    const uint8_t *text;
    uint32_t len;

    int rc = ft_read_bytes(in, f->name, &ft_str_form, f->min, f->max, &text, &len);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] == 0x7f)
            return FT_READ_REFUSE(in, text + i, "%s has byte %02x, expected no control character", f->name,
                                  text[i]);
    /* It ends in logs and in status, whose readers want UTF-8: what may not be that is cleaned. */
    for (uint32_t i = 0; i < len; i++)
        m[f->at + i] = text[i] < 0x80 ? text[i] : '?';
    return 0;
}

static int get_vector(struct ft_reader *in, const struct ft_field *f, uint8_t *m, unsigned lanes)
{
    const uint8_t *start = in->at;
    uint64_t n, v[FT_LANES_MAX] = {0};

    int rc = ft_read_length(in, f->name, &ft_array_form, &n);
    if (rc)
        return rc;
    if (lanes ? n != lanes : n < 1 || n > FT_LANES_MAX)
        return FT_READ_REFUSE(in, start, "%s has %lu numbers, expected %u", f->name, n,
                              lanes ? lanes : FT_LANES_MAX);
    for (unsigned i = 0; i < n; i++)
        if ((rc = ft_read_number(in, f->name, &v[i])))
            return rc;
    memcpy(m + f->at, v, sizeof(v));
    return 0;
}

static int get_identity(struct ft_reader *in, const struct ft_field *f, struct ft_message *m)
{
    int rc = ft_read_bytes(in, f->name, &ft_bin_form, 0, FT_IDENTITY_MAX, &m->bulk, &m->bulk_len);
    if (rc)
        return rc;
    const uint8_t *nul = m->bulk_len ? memchr(m->bulk, 0, m->bulk_len) : NULL;
    if (nul)
        return FT_READ_REFUSE(in, nul, "%s has byte 00, expected text", f->name);
    m->identity_len = m->bulk_len;
    return 0;
}

static int get_field(struct ft_reader *in, const struct ft_field *f, struct ft_message *m, unsigned lanes,
                     uint8_t *bulk, uint64_t *last)
{
    switch (f->kind) {
    case FT_K_TEXT:
        return get_text(in, f, (uint8_t *)m);
    case FT_K_VECTOR:
        return get_vector(in, f, (uint8_t *)m, lanes);
    case FT_K_IDENTITY:
        return get_identity(in, f, m);
    case FT_K_BULK:
        return ft_bulk_read(in, m, bulk);
    default:
        return get_ranged(in, f, (uint8_t *)m, lanes, last);
    }
}

/* The array's length, version and type: what says how to read the rest. */
static int get_shape(struct ft_reader *in, const struct ft_shape **s, struct ft_message *m)
{
    const uint8_t *start = in->at, *at;
    uint64_t n, v;

    int rc = ft_read_length(in, "content", &ft_array_form, &n);
    if (rc)
        return rc;
    at = in->at;
    if ((rc = ft_read_number(in, "version", &v)))
        return rc;
    if (v != FT_STREAM_VERSION)
        return ft_fail(in->fault, FT_EVERSION, "offset %td: version is %lu, expected %u", at - in->frame, v,
                       FT_STREAM_VERSION);
    at = in->at;
    if ((rc = ft_read_number(in, "type", &v)))
        return rc;
    if (v < 1 || v >= FT_MSG_TYPES)
        return FT_READ_REFUSE(in, at, "type is %lu, expected 1 to %d", v, FT_MSG_TYPES - 1);
    m->type = (uint8_t)v;
    *s = &ft_shapes[v];
    in->type = (*s)->name;
    if (n != elements_of(*s))
        return FT_READ_REFUSE(in, start, "is an array of %lu, expected %u", n, elements_of(*s));
    return 0;
}

static int get_content(struct ft_reader *in, unsigned lanes, struct ft_message *m, uint8_t *bulk)
{
    const struct ft_shape *s = &ft_shapes[0];
    uint64_t last = 0;

    int rc = get_shape(in, &s, m);
    for (unsigned i = 0; !rc && i < FT_HEAD_FIELDS; i++)
        rc = get_field(in, &ft_head_fields[i], m, lanes, bulk, &last);
    for (unsigned i = 0; !rc && i < ft_shape_fields(s); i++)
        rc = get_field(in, &s->fields[i], m, lanes, bulk, &last);
    if (!rc && in->at != in->end)
        return FT_READ_REFUSE(in, in->at, "goes on for %td bytes, expected its end", in->end - in->at);
    return rc;
}

long ft_message_decode(const uint8_t *in, size_t len, unsigned lanes, struct ft_message *m, uint8_t *bulk,
                       struct ft_fault *fault)
{
    uint32_t size, sum;

    FT_CHECK(lanes <= FT_LANES_MAX, "%u lanes", lanes);
    *m = (struct ft_message){0};
    if (len < sizeof(size))
        return 0;
    memcpy(&size, in, sizeof(size));
    if (size < 1 || size > FT_MESSAGE_MAX)
        return ft_fail(fault, FT_EMALFORMED, "offset 0: frame of %u bytes, expected 1 to %u", size,
                       FT_MESSAGE_MAX);
    if (len - sizeof(size) < sizeof(sum) + size)
        return 0;
    memcpy(&sum, in + sizeof(size), sizeof(sum));
    uint32_t own = sum ? (uint32_t)XXH3_64bits(in + FT_FRAME_HEAD, size) : 0;
    if (sum != own)
        return ft_fail(fault, FT_ECHECKSUM, "offset 4: checksum is %08x, expected %08x", sum, own);
    struct ft_reader from = {in,    in + FT_FRAME_HEAD, in + FT_FRAME_HEAD + size,
                             fault, "message",          FT_EMALFORMED};
    int rc = get_content(&from, lanes, m, bulk);
    if (!rc)
        return (long)FT_FRAME_HEAD + size;
    *m = (struct ft_message){0};
    return rc;
}
