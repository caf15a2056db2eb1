/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies of form (liar.c): an element of a message, a record or a chunk of a delta becomes another number,
 * another type, longer, shorter, or is missing; with right checksums around it.
 */
#include "tests/sim/liar.h"

#include <string.h>
#include <xxhash.h>

#define SUM_BYTES 9u /* of a record or chunk: cf and eight bytes */
#define RUN_HEAD  16u

static uint64_t big_endian(const uint8_t *in, unsigned bytes)
{
    uint64_t v = 0;

    while (bytes--)
        v = v << 8 | *in++;
    return v;
}

/* An element: where its content begins, and its length with what stands before it. 0: none that we write. */
static size_t element(const uint8_t *in, size_t left, size_t *head)
{
    uint8_t b = left ? *in : 0;
    unsigned wide =
        1u << ((b - (b >= 0xd9 ? 0xd9u : 0xc4u)) & 31u); /* bytes of length, where there are any */
    size_t len;

    *head = 1;
    if (!left)
        return 0;
    if (b < 0x80)
        return 1;
    if (b >= 0xcc && b <= 0xcf) {
        len = 1 + ((size_t)1 << (b - 0xcc));
    } else if ((b & 0xe0) == 0xa0) {
        len = 1 + (b & 0x1fu);
    } else if ((b >= 0xc4 && b <= 0xc6) || (b >= 0xd9 && b <= 0xdb)) {
        if (left < 1 + wide)
            return 0;
        *head = 1 + wide;
        len = *head + big_endian(in + 1, wide);
    } else if ((b & 0xf0) == 0x90 || b == 0xdc) { /* a vector: numbers */
        unsigned n = b == 0xdc ? (unsigned)big_endian(in + 1, 2) : b & 0x0fu;
        size_t inner;

        len = *head = b == 0xdc ? 3 : 1;
        for (unsigned i = 0; i < n && len < left; i++)
            len += element(in + len, left - len, &inner);
    } else {
        return 0;
    }
    return len <= left ? len : 0;
}

static size_t put_number(uint8_t *out, uint64_t v, bool shortest)
{
    if (shortest && v < 0x80) {
        *out = (uint8_t)v;
        return 1;
    }
    *out = 0xcf;
    for (unsigned i = 0; i < 8; i++)
        out[1 + i] = (uint8_t)(v >> (56 - 8 * i));
    return 9;
}

uint64_t sim_lie_number(uint64_t was)
{
    static const uint64_t known[] = {0,          1,
                                     2,          3,
                                     7,          8,
                                     15,         16,
                                     17,         63,
                                     255,        256,
                                     0xffff,     0x10000,
                                     UINT32_MAX, 1ull << 61,
                                     INT64_MAX,  (1ull << 61) + 1,
                                     UINT64_MAX, UINT64_MAX - 1};

    switch (sim_lie_draw(4)) {
    case 0:
        return was + 1 + sim_lie_draw(3);
    case 1:
        return was - 1 - sim_lie_draw(3);
    default:
        return known[sim_lie_draw(sizeof(known) / sizeof(known[0]))];
    }
}

static uint64_t value_of(const uint8_t *in)
{
    return *in < 0x80 ? *in : *in >= 0xcc && *in <= 0xcf ? big_endian(in + 1, 1u << (*in - 0xcc)) : 0;
}

size_t sim_lie_replace(uint8_t *in, size_t len, size_t cap, size_t at, size_t old, const uint8_t *with,
                       size_t size)
{
    if (len - old + size > cap)
        return len;
    memmove(in + at + size, in + at + old, len - at - old);
    memcpy(in + at, with, size);
    return len - old + size;
}

/* Nowhere, too many lines or none, or of an unknown kind. Never lines that exist: a snapshot that puts good
 * lines in the wrong place is another chain's memory, which nobody can tell. */
void sim_lie_run(uint8_t head[])
{
    static const uint8_t at[] = {4, 5, 6, 7, 10, 11, 12, 13, 14, 15};

    if (sim_lie_draw(4))
        head[at[sim_lie_draw(sizeof(at))]] |= (uint8_t)(2u << sim_lie_draw(6));
    else
        memset(head + 8, 0, 4);
}

/* What indices, counts and lists would least like. */
void sim_lie_lines(uint8_t lines[], uint32_t len)
{
    for (uint64_t n = 1 + sim_lie_draw(3); n; n--) {
        uint8_t *at = lines + sim_lie_draw(len / 4) * 4;
        uint32_t value = 0;

        memcpy(&value, at, sizeof(value));
        switch (sim_lie_draw(4)) {
        case 0:
            value ^= 1u << sim_lie_draw(32);
            break;
        case 1:
            value = UINT32_MAX - (uint32_t)sim_lie_draw(2);
            break;
        case 2:
            value += (uint32_t)sim_lie_draw(5) - 2;
            break;
        default:
            value = (uint32_t)sim_lie_draw(64);
        }
        memcpy(at, &value, sizeof(value));
    }
}

/* A byte of its content, not within what the region's lines contain: often of the first or the last numbers,
 * which say how the rest is to be read. Sometimes a number that does not end. */
static void change_byte(uint8_t *in, size_t len, uint64_t lines)
{
    static const uint8_t bytes[] = {0x00, 0x0a, 0x1f, 0x20, 0x7f, 0x80, 0x01, 0x02, 0x11, 0xff};
    size_t at = (size_t)sim_lie_draw(len), near = len < 12 ? len : 12;

    if (sim_lie_draw(2) && len > lines)
        at = lines + (size_t)sim_lie_draw(len - lines < 8 ? len - lines : 8);
    else if (sim_lie_draw(3) == 0)
        at = len - 1 - (size_t)sim_lie_draw(near);

    if (lines >= RUN_HEAD && at < lines) {
        sim_lie_run(in);
        return;
    }
    if (sim_lie_draw(6) == 0)
        memset(in + at, 0xff,
               len - at < 3 ? len - at : 3 + (size_t)sim_lie_draw(len - at < 12 ? len - at - 2 : 10));
    else
        in[at] = sim_lie_draw(3) ? bytes[sim_lie_draw(sizeof(bytes))]
                                 : (uint8_t)(in[at] ^ (1u << sim_lie_draw(8)));
}

/* A varint at the bounds that lengths, numbers of outputs and accesses have, in place of what is there.
 */
static void change_varint(uint8_t *in, size_t len)
{
    static const uint64_t known[] = {0,          1,         9202,       9203,           9204,
                                     9216,       9217,      UINT16_MAX, UINT16_MAX + 1, UINT32_MAX - 14,
                                     UINT32_MAX, 1ull << 40};
    uint64_t v = known[sim_lie_draw(sizeof(known) / sizeof(known[0]))]
                     << (sim_lie_draw(2) ? 4 : sim_lie_draw(2)) |
                 sim_lie_draw(16);

    for (size_t i = 0; i < len; i++, v >>= 7) {
        in[i] = (uint8_t)((v & 0x7f) | (v >> 7 ? 0x80 : 0));
        if (v < 0x80)
            return;
    }
}

/* The length in front of an element's content, `head` bytes with the type, becomes another by `by`. */
static void lengthen(uint8_t *in, size_t head, long by)
{
    long was = (long)big_endian(in + 1, (unsigned)head - 1) + by;

    for (size_t i = head - 1; i > 0; i--, was >>= 8)
        in[i] = (uint8_t)was;
}

static bool is_number(uint8_t first)
{
    return first < 0x80 || (first >= 0xcc && first <= 0xcf);
}

/* What begins a bool, an array, a map, text, a float and others. */
static const uint8_t types[] = {0xc0, 0xc2, 0x93, 0x80, 0xc1, 0xd0, 0xa1, 0xc4, 0xcb, 0xff, 0xdc, 0xdd};

/* The array says that it has more elements than are there, or fewer, or none. */
static void miscount(uint8_t *in)
{
    if (in[0] == 0xdc)
        in[2] = sim_lie_draw(4) ? (uint8_t)(in[2] + (sim_lie_draw(2) ? 1 : -1)) : 0;
    else
        in[0] = sim_lie_draw(4) ? (uint8_t)(0x90 | ((in[0] + (sim_lie_draw(2) ? 1 : -1)) & 0x0f)) : 0x90;
}

/* The content of the element at `at`, `size` bytes of which `head` stand before it, ends early. */
static size_t shorten(uint8_t *in, size_t len, size_t cap, size_t at, size_t size, size_t head,
                      uint64_t lines)
{
    size_t rest = size - head, cut = 1 + (size_t)sim_lie_draw(rest < 8 ? rest : 8);

    if (sim_lie_draw(2) && rest > lines) /* soon after its lines */
        cut = rest - lines - (size_t)sim_lie_draw(rest - lines < 12 ? rest - lines : 12);
    lengthen(in + at, head, -(long)cut);
    return sim_lie_replace(in, len, cap, at + size - cut, cut, types, 0);
}

/* The length that the element at `at` says is another; or it is longer. */
static size_t misjudge_length(uint8_t *in, size_t len, size_t cap, size_t at, size_t size, size_t head)
{
    if (head > 1 && sim_lie_draw(2) && len + 2 <= cap) {
        lengthen(in + at, head, 2);
        return sim_lie_replace(in, len, cap, at + size, 0, types, 2);
    }
    if (head > 1)
        in[at + head - 1] = (uint8_t)(in[at + head - 1] + (sim_lie_draw(2) ? 1 : -1));
    else if (in[at] >= 0x90 && in[at] < 0xc0)
        in[at] ^= 1;
    return len;
}

/* `in` is an array with one element that follows `len` when `checksummed`. `lines`: bytes of its body that
 * are runs. Returns the new length, at most `cap`. */
static size_t alter(uint8_t *in, size_t len, size_t cap, bool checksummed, uint64_t lines)
{
    size_t at = in[0] == 0xdc ? 3 : 1, head = 0, size = 0;
    unsigned count = in[0] == 0xdc ? (unsigned)big_endian(in + 1, 2) : in[0] & 0x0fu;
    unsigned chosen = (unsigned)sim_lie_draw(count - checksummed), of = 0;
    uint8_t text[16];

    if (sim_lie_draw(2)) /* the last one is where the most is */
        chosen = count - checksummed - 1;
    for (; of <= chosen; of++) {
        at += size;
        if ((size = element(in + at, len - at, &head)) == 0)
            return len;
    }
    switch (sim_lie_draw(10)) {
    case 0: /* another type */
        in[at] = types[sim_lie_draw(sizeof(types))];
        return len;
    case 1: /* the input ends in the midst of it, or before it */
        return at + (sim_lie_draw(2) ? size / 2 : 0);
    case 2:
        miscount(in);
        return len;
    case 3: /* something behind it */
        return sim_lie_replace(in, len, cap, len, 0, types, 1 + (size_t)sim_lie_draw(3));
    case 4: /* no array */
        in[0] = types[sim_lie_draw(sizeof(types))];
        return len;
    case 5: /* the same number in its longest form */
        if (is_number(in[at]))
            return sim_lie_replace(in, len, cap, at, size, text, put_number(text, value_of(in + at), false));
        break;
    case 6:
        if (head > 1 && size > head)
            return shorten(in, len, cap, at, size, head, lines);
        break;
    case 7:
        return misjudge_length(in, len, cap, at, size, head);
    default:
        break;
    }
    if (is_number(in[at]))
        return sim_lie_replace(in, len, cap, at, size, text,
                               put_number(text, sim_lie_number(value_of(in + at)), sim_lie_draw(2)));
    if (size > head)
        change_byte(in + at + head, size - head, lines);
    return len;
}

long sim_lie_frame(uint8_t *out, long len, size_t cap)
{
    uint32_t size, sum;

    if (len <= (long)FT_FRAME_HEAD)
        return len;
    size = (uint32_t)alter(out + FT_FRAME_HEAD, (size_t)len - FT_FRAME_HEAD, cap - FT_FRAME_HEAD, false,
                           UINT64_MAX);
    sum = (uint32_t)XXH3_64bits(out + FT_FRAME_HEAD, size) + (sim_lie_draw(16) == 0);
    len = (long)(size + FT_FRAME_HEAD);
    if (sim_lie_draw(20) == 0)
        size = sim_lie_draw(2) ? 0 : FT_MESSAGE_MAX + 1;
    memcpy(out, &size, sizeof(size));
    memcpy(out + 4, &sum, sizeof(sum));
    return len;
}

/* The last element before the checksum, whose bytes say the most, gets some that say something else. */
static void change_body(uint8_t *in, size_t len, uint64_t lines)
{
    size_t at = in[0] == 0xdc ? 3 : 1, head = 0, size;
    unsigned count = in[0] == 0xdc ? (unsigned)big_endian(in + 1, 2) : in[0] & 0x0fu;

    for (unsigned i = 0; i + 2 < count; i++)
        at += element(in + at, len - at, &head);
    size = element(in + at, len - at, &head);
    if (size <= head)
        return;
    if (sim_lie_draw(2) && size - head > lines)
        change_varint(in + at + head + lines, size - head - lines);
    else
        change_byte(in + at + head, size - head, lines);
}

/* A record, or a chunk with `lines` bytes of runs. */
long sim_lie_checksummed(uint8_t *out, long len, size_t cap, uint32_t lines)
{
    size_t size;
    uint64_t sum;

    if (len <= (long)SUM_BYTES || cap <= SUM_BYTES)
        return len;
    size = (size_t)len - SUM_BYTES;
    if (sim_lie_draw(2))
        change_body(out, size, lines);
    else
        size = alter(out, size, cap - SUM_BYTES, true, lines);
    sum = XXH3_64bits(out, size) + (sim_lie_draw(16) == 0);
    len = (long)(size + put_number(out + size, sum, sim_lie_draw(16) == 0));
    return len;
}
