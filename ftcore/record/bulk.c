/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire form of a bulk: write and read, compression included.
 *
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
#include "ftcore/record/shape.h"

#include "ftcore/base/check.h"

#include <lz4.h>
#include <string.h>

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

void ft_bulk_write(struct ft_out *out, const struct ft_message *m, struct ft_compressor *p)
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

int ft_bulk_read(struct ft_reader *in, struct ft_message *m, uint8_t *bulk)
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
