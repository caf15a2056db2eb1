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
 * come the fields of the type, in the order of ft_shapes, without those that are newer than the version.
 *
 * HELLO and REFUSE have version 0 and are read by every program, whatever it speaks: their head and the
 * fields below them never change. Later versions append fields, which a program that does not know them
 * passes over; of a hello, the sender's newest version states which it has. Where the two programs have no
 * version in common, the hello is read up to the node's name. A field is
 *
 *     number     unsigned, shortest form when written, any unsigned form when read
 *     name,text  str without control characters; shorter than its array in struct ft_message
 *     vector     array of one number per lane: exactly as many as the hello agreed on
 *     identity   bin: text, so without NUL
 *     bulk       two elements, a number and a bin: see below
 *
 * What is out of range is refused where it stands, with its offset in the frame. Vectors are not compared
 * with each other, nor numbers with earlier messages: that takes knowledge of the protocol's state, and is
 * the core's.
 */
#include "ftcore/record/shape.h"

#include "ftcore/base/check.h"

#include <lz4.h>
#include <string.h>
#define XXH_INLINE_ALL /* for this machine's vectors: the library's own is for any */
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian in memory too");
_Static_assert(FT_BULK_MAX + FT_SMALL_MAX <= FT_MESSAGE_MAX, "any message fits a frame");

/* ---- the bulk, compressed where that pays ---------------------------------------------------------- */

/*
 * A bulk is two elements of the message's array. A number: 0, and the bin is the bulk; else this is the
 * bulk's size, more than the bin's, and the bin is one LZ4 block (no frame, no dictionary); of a bulk of more
 * than 64 KiB a block for each 64 KiB and for the rest, each behind its length, a u32. Then the bin.
 *
 * The bin's length always has four bytes, `c6` before them, shortest form or not, and so has the size of a
 * compressed bulk, behind `ce`: blocks are made in place in the output, and so are records, before their
 * length is known.
 *
 * Blocks have 64 KiB because up to that size LZ4 finds repetitions by a table of twice the slots, and by four
 * bytes in place of five: lines of a hundred thousand flows shrink to a third, in larger blocks to a half.
 *
 * Whether LZ4 pays depends on the traffic, and is measured: a bulk that did not shrink below 85 % is sent as
 * it is, and so are the next 63; then one is tried again. A bulk under 64 bytes is neither compressed nor
 * measured.
 */

#define LEAST 64u         /* bytes of a bulk that is compressed */
#define SKIP  63u         /* bulks of the same size that are not tried after one that did not shrink */
#define AHEAD 10u         /* bytes before the blocks */
#define BLOCK (64u << 10) /* bytes of bulk in a block */

/* Writes the blocks of a bulk. Returns their bytes, 0: more than `cap`. */
static uint32_t compress_blocks(const uint8_t *bulk, uint32_t size, uint8_t *out, size_t cap)
{
    size_t head = size > BLOCK ? sizeof(uint32_t) : 0, at = 0;

    for (uint32_t n; size; bulk += n, size -= n) {
        n = size < BLOCK ? size : BLOCK;
        if (cap - at <= head)
            return 0;
        int len =
            LZ4_compress_default((const char *)bulk, (char *)out + at + head, (int)n, (int)(cap - at - head));
        if (len <= 0)
            return 0;
        memcpy(out + at, &len, head);
        at += head + (size_t)len;
    }
    return (uint32_t)at;
}

/* Compresses to where the blocks belong. False: it does not pay, and nothing is written. */
static bool put_compressed(struct ft_out *out, const struct ft_message *m)
{
    size_t most = (uint64_t)m->bulk_len * 85 / 100;
    uint8_t ahead[AHEAD] = {0xce, [5] = 0xc6};

    if (out->full || (size_t)(out->end - out->at) < AHEAD + most)
        return false;
    uint32_t len = compress_blocks(m->bulk, m->bulk_len, out->at + AHEAD, most);

    if (!len)
        return false;
    uint32_t size = __builtin_bswap32(m->bulk_len), block = __builtin_bswap32(len);
    memcpy(ahead + 1, &size, sizeof(size));
    memcpy(ahead + 6, &block, sizeof(block));
    ft_out_write(out, (const char *)ahead, sizeof(ahead));
    out->at += len;
    return true;
}

/* What lies where it belongs already is not copied (ft_message_ahead). */
static void put_raw(struct ft_out *out, const struct ft_message *m)
{
    uint8_t ahead[] = {0, 0xc6, 0, 0, 0, 0};
    uint32_t len = __builtin_bswap32(m->bulk_len);

    memcpy(ahead + 2, &len, sizeof(len));
    ft_out_write(out, (const char *)ahead, sizeof(ahead));
    if (!out->full && out->at == m->bulk && m->bulk_len <= (size_t)(out->end - out->at))
        out->at += m->bulk_len;
    else
        ft_out_write(out, (const char *)m->bulk, m->bulk_len);
}

/* Writes the bulk's two elements to `out`; bytes that lie where they belong are not copied. `compressor`
 * NULL: not compressed. */
static void write_bulk(struct ft_out *out, const struct ft_message *m, struct ft_compressor *p)
{
    uint8_t *before = out->at;
    bool kept = false;

    if (p && m->bulk_len >= LEAST && p->skip >= m->bulk_len) {
        p->skip -= m->bulk_len;
    } else if (p && m->bulk_len >= LEAST) {
        kept = put_compressed(out, m);
        p->skip = kept ? 0 : SKIP * (uint64_t)m->bulk_len;
    }
    if (!kept)
        put_raw(out, m);
    if (p) {
        p->raw += m->bulk_len;
        p->compressed += kept ? (size_t)(out->at - before) - AHEAD : m->bulk_len;
    }
}

static int decompress_blocks(struct ft_reader *in, const uint8_t *at, uint32_t len, uint8_t *bulk,
                             uint32_t size)
{
    const uint8_t *end = at + len;
    bool many = size > BLOCK;

    for (uint32_t n; size; bulk += n, size -= n, at += len) {
        n = size < BLOCK ? size : BLOCK;
        if (many && end - at < (ptrdiff_t)sizeof(len))
            return FT_READ_REFUSE(in, at, "blocks end, expected %u bytes more of bulk", size);
        if (many)
            memcpy(&len, at, sizeof(len)), at += sizeof(len);
        if (len > end - at)
            return FT_READ_REFUSE(in, at, "block of %u bytes, expected at most %td", len, end - at);
        int got = LZ4_decompress_safe((const char *)at, (char *)bulk, (int)len, (int)n);
        if (got != (int)n)
            return FT_READ_REFUSE(in, at, "block gives %d bytes, expected %u", got, n);
    }
    return at == end ? 0 : FT_READ_REFUSE(in, at, "%td bytes behind the blocks", end - at);
}

/* Reads them into m->bulk, which then points into the input or, of a compressed one, to `bulk` (FT_BULK_MAX
 * bytes). 0 or FT_EMALFORMED. */
static int read_bulk(struct ft_reader *in, struct ft_message *m, uint8_t *bulk)
{
    const uint8_t *start = in->at, *block;
    uint64_t size;
    uint32_t len;

    int rc = ft_read_number(in, "size of bulk", &size);
    if (rc)
        return rc;
    if (size > FT_BULK_MAX)
        return FT_READ_REFUSE(in, start, "size of bulk is %lu, expected at most %u", size, FT_BULK_MAX);
    if ((rc = ft_read_bytes(in, "bulk", &ft_bin_form, 0, size ? size - 1 : FT_BULK_MAX, &block, &len)))
        return rc;
    m->bulk = block;
    m->bulk_len = len;
    if (!size)
        return 0;
    FT_CHECK(bulk, "no buffer for bulk");
    if ((rc = decompress_blocks(in, block, len, bulk, (uint32_t)size)))
        return rc;
    m->bulk = bulk;
    m->bulk_len = (uint32_t)size;
    return 0;
}

/* ---- the message ---------------------------------------------------------------------------------- */

/* Fields of a hello that every program reads: newest, oldest, program, name. */
#define HELLO_HEAD 4u

/* Length of the content's array in that version. */
static unsigned elements_of(const struct ft_shape *s, unsigned version)
{
    unsigned fields = ft_shape_fields(s), n = 2 + FT_HEAD_FIELDS;

    for (unsigned i = 0; i < fields; i++)
        if (s->fields[i].since <= version)
            n += s->fields[i].kind == FT_K_BULK ? 2 : 1;
    return n;
}

/* It is read by every program: HELLO_HEAD fields of a hello, and all of a refusal. */
static bool has_no_version(unsigned type)
{
    return type == FT_MSG_HELLO || type == FT_MSG_REFUSE;
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
        write_bulk(out, m, compressor);
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
    bool none = has_no_version(m->type);
    unsigned version = m->version ? m->version : FT_FORMAT_NEWEST;

    if (m->type == FT_MSG_HELLO && FT_FORMAT_KNOWN(m->newest)) /* it has the fields of its sender's newest */
        version = m->newest;

    FT_CHECK(FT_FORMAT_KNOWN(version) && s->since <= version, "type %u in version %u", m->type, version);
    struct ft_out to = {out + FT_FRAME_HEAD, out + cap, false};
    msgpack_packer_init(&pk, &to, ft_out_write);
    msgpack_pack_array(&pk, elements_of(s, version));
    msgpack_pack_uint64(&pk, none ? FT_FORMAT_NONE : version);
    msgpack_pack_uint64(&pk, m->type);
    for (unsigned i = 0; i < FT_HEAD_FIELDS; i++)
        put_field(&pk, &to, &ft_head_fields[i], m, lanes, compressor, &last);
    for (unsigned i = 0; i < ft_shape_fields(s); i++)
        if (s->fields[i].since <= version)
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
        return read_bulk(in, m, bulk);
    default:
        return get_ranged(in, f, (uint8_t *)m, lanes, last);
    }
}

/* The array's length, version and type, which determine how to read the rest. *count is the length. */
static int get_shape(struct ft_reader *in, const struct ft_shape **s, struct ft_message *m, uint64_t *count)
{
    const uint8_t *at;
    uint64_t v;

    int rc = ft_read_length(in, "content", &ft_array_form, count);
    if (rc)
        return rc;
    at = in->at;
    if ((rc = ft_read_number(in, "version", &v)))
        return rc;
    if (v != FT_FORMAT_NONE && !FT_FORMAT_KNOWN(v))
        return ft_fail(in->fault, FT_EVERSION, "offset %td: version is %lu, expected %u to %u",
                       at - in->frame, v, FT_FORMAT_OLDEST, FT_FORMAT_NEWEST);
    m->version = (uint16_t)v;
    at = in->at;
    if ((rc = ft_read_number(in, "type", &v)))
        return rc;
    if (v < 1 || v >= FT_MSG_TYPES || (m->version && ft_shapes[v].since > m->version))
        return FT_READ_REFUSE(in, at, "type is %lu, expected 1 to %d", v, FT_MSG_TYPES - 1);
    if (has_no_version(v) != (m->version == FT_FORMAT_NONE))
        return FT_READ_REFUSE(in, at, "type is %lu in version %u", v, m->version);
    m->type = (uint8_t)v;
    *s = &ft_shapes[v];
    in->type = (*s)->name;
    return 0;
}

/* Of what has no version there may be more elements than are known. */
static int check_count(struct ft_reader *in, const struct ft_shape *s, uint64_t count, unsigned version,
                       bool more)
{
    unsigned expected = elements_of(s, version);

    if (more ? count >= expected : count == expected)
        return 0;
    return FT_READ_REFUSE(in, in->frame + FT_FRAME_HEAD, "is an array of %lu, expected %u", count, expected);
}

/* A hello up to the node's name; then its version is known: *version, 0 if there is none in common. */
static int get_hello_head(struct ft_reader *in, const struct ft_shape *s, struct ft_message *m,
                          unsigned *version, bool *later)
{
    uint64_t last = 0;
    int rc = 0;

    for (unsigned i = 0; !rc && i < HELLO_HEAD; i++)
        rc = get_field(in, &s->fields[i], m, 0, NULL, &last);
    if (!rc && m->oldest > m->newest)
        return FT_READ_REFUSE(in, in->at, "speaks versions %u to %u", m->oldest, m->newest);
    *version = ft_format_common(FT_FORMAT_NEWEST, FT_FORMAT_OLDEST, m->newest, m->oldest);
    *later = m->newest > FT_FORMAT_NEWEST;
    return rc;
}

static int get_content(struct ft_reader *in, unsigned lanes, struct ft_message *m, uint8_t *bulk)
{
    const struct ft_shape *s = &ft_shapes[0];
    uint64_t last = 0, count;
    unsigned i, version;
    bool more;

    int rc = get_shape(in, &s, m, &count);
    more = m->type == FT_MSG_REFUSE;
    version = m->version ? m->version : FT_FORMAT_OLDEST;
    if (!rc && m->type != FT_MSG_HELLO)
        rc = check_count(in, s, count, version, more);
    for (i = 0; !rc && i < FT_HEAD_FIELDS; i++)
        rc = get_field(in, &ft_head_fields[i], m, lanes, bulk, &last);
    i = 0;
    if (!rc && m->type == FT_MSG_HELLO) {
        i = HELLO_HEAD;
        rc = get_hello_head(in, s, m, &version, &more);
        if (!rc && version == 0)
            return 0;
        if (!rc)
            rc = check_count(in, s, count, version, more);
    }
    for (; !rc && i < ft_shape_fields(s); i++)
        if (s->fields[i].since <= version)
            rc = get_field(in, &s->fields[i], m, lanes, bulk, &last);
    if (!rc && !more && in->at != in->end)
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
