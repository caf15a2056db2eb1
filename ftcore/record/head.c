/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes the msgpack array that a record or a chunk of a delta is on the wire. */
#include "ftcore/record/head.h"

#include "ftcore/base/check.h"

#include <msgpack/pack.h>
#define XXH_INLINE_ALL /* for this machine's vectors: the library's own is for any */
#include <xxhash.h>

static bool is_in(const struct ft_element *e, uint64_t version)
{
    return e->since <= version;
}

/* Length of the array in that version. */
static unsigned count_of(const struct ft_layout *layout, uint64_t version)
{
    unsigned count = 0;

    for (unsigned i = 0; i < layout->count; i++)
        count += is_in(&layout->elements[i], version);
    return count;
}

/* Where the element after `index` others begins: these are numbers, or reading would have stopped. */
static size_t element_offset(const uint8_t *in, unsigned index)
{
    size_t at = in[0] == 0xdc ? 3 : in[0] == 0xdd ? 5 : 1;

    for (; index; index--)
        at += in[at] < 0x80 ? 1 : 1 + ((size_t)1 << (in[at] & 3)); /* cc, cd, ce, cf: 1, 2, 4, 8 bytes */
    return at;
}

size_t ft_head_offset(const struct ft_layout *layout, const uint8_t *in, size_t at)
{
    struct ft_reader r = {in, in + element_offset(in, 0), in + element_offset(in, 1), NULL, "", FT_ETRUNC};
    uint64_t version = 0;
    unsigned before = 1;

    (void)ft_read_number(&r, "version", &version);
    for (unsigned i = 1; i < layout->count - 2 && layout->elements[i].at != at; i++)
        before += is_in(&layout->elements[i], version);
    return element_offset(in, before);
}

int ft_head_ranges(const struct ft_layout *layout, const uint64_t n[], size_t *at, struct ft_fault *why)
{
    const struct ft_element *e = layout->elements;

    for (unsigned i = 0; i < layout->count - 2; i++, e++)
        if (is_in(e, n[0]) && (n[i] < e->min || n[i] > e->max)) {
            *at = e->at;
            return ft_fail(why, FT_EMALFORMED, "%s is %lu, expected %lu to %lu", e->name, n[i], e->min,
                           e->max);
        }
    return 0;
}

/* The checksum, always nine bytes, or it would not be known where the bytes that it covers end. */
static int check_sum(struct ft_reader *r)
{
    const uint8_t *at = r->at;
    uint64_t sum, hash;

    if (at < r->end && *at != 0xcf)
        return FT_READ_REFUSE(r, at, "has a short checksum, expected %s", "cf and 8 bytes");
    int rc = ft_read_number(r, "checksum", &sum);
    if (rc || sum == 0)
        return rc;
    hash = XXH3_64bits(r->frame, (size_t)(at - r->frame));
    return sum == hash ? 0
                       : ft_fail(r->fault, FT_ECHECKSUM, "offset %td: checksum is %016lx, expected %016lx",
                                 at - r->frame, sum, hash);
}

/* Version, numbers and body. Of another version nothing is looked at, not even how many elements it has. */
static int read_elements(struct ft_reader *r, const struct ft_layout *layout, struct ft_head *h)
{
    uint64_t count;
    uint32_t len;

    int rc = ft_read_length(r, "content", &ft_array_form, &count);
    if (!rc && count)
        rc = ft_read_number(r, "version", &h->number[0]);
    if (rc)
        return rc;
    if (count && !FT_FORMAT_KNOWN(h->number[0]))
        return ft_fail(r->fault, FT_EVERSION, "offset %zu: version is %lu, expected %u to %u",
                       element_offset(r->frame, 0), h->number[0], FT_FORMAT_OLDEST, FT_FORMAT_NEWEST);
    if (count != count_of(layout, count ? h->number[0] : FT_FORMAT_NEWEST))
        return FT_READ_REFUSE(r, r->frame, "is an array of %lu, expected %u", count,
                              count_of(layout, count ? h->number[0] : FT_FORMAT_NEWEST));
    for (unsigned i = 1; i < layout->count - 2; i++) {
        h->number[i] = 0;
        if (is_in(&layout->elements[i], h->number[0]) &&
            (rc = ft_read_number(r, layout->elements[i].name, &h->number[i])))
            return rc;
    }
    rc = ft_read_bytes(r, "body", &ft_bin_form, 0, UINT32_MAX, &h->body, &len);
    h->body_len = len;
    return rc;
}

long ft_head_read(struct ft_head *h, const struct ft_layout *layout, const uint8_t *in, size_t len,
                  struct ft_fault *fault)
{
    struct ft_reader r = {in, in, in + len, fault, "entry", FT_ETRUNC};
    struct ft_fault why;
    size_t at;

    FT_CHECK(layout->count <= FT_ELEMENTS_MAX, "an array of %u", layout->count);
    int rc = read_elements(&r, layout, h);
    if (!rc)
        rc = check_sum(&r);
    if (rc)
        return rc;
    if (ft_head_ranges(layout, h->number, &at, &why))
        return ft_fail_at(fault, FT_EMALFORMED, ft_head_offset(layout, in, at), &why);
    return r.at - in;
}

long ft_head_peek(struct ft_head *h, const struct ft_layout *layout, const uint8_t *in, size_t len,
                  struct ft_fault *fault)
{
    struct ft_reader r = {in, in, in + len, fault, "entry", FT_ETRUNC};
    int rc = read_elements(&r, layout, h);

    if (!rc && (size_t)(r.end - r.at) < FT_CHECKSUM_LEN)
        rc = ft_fail(fault, FT_ETRUNC, "offset %td: ends within the checksum", r.at - in);
    return rc ? rc : r.at - in + (long)FT_CHECKSUM_LEN;
}

void ft_head_write(struct ft_out *to, const struct ft_layout *layout, const uint64_t n[], size_t body_len)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, to, ft_out_write);
    msgpack_pack_array(&pk, count_of(layout, n[0]));
    for (unsigned i = 0; i < layout->count - 2; i++)
        if (is_in(&layout->elements[i], n[0]))
            msgpack_pack_uint64(&pk, n[i]);
    msgpack_pack_bin(&pk, body_len);
}

long ft_head_finish(struct ft_out *to, bool summed, const uint8_t *start)
{
    uint8_t sum[FT_CHECKSUM_LEN] = {0xcf};

    if (to->full)
        return FT_EFULL;
    uint64_t hash = summed ? __builtin_bswap64(XXH3_64bits(start, (size_t)(to->at - start))) : 0;
    memcpy(sum + 1, &hash, sizeof(hash));
    ft_out_write(to, (const char *)sum, sizeof(sum));
    return to->full ? FT_EFULL : to->at - start;
}

size_t ft_head_bound(const struct ft_layout *layout)
{
    return 3 + (layout->count - 2) * 9u + 5 + FT_CHECKSUM_LEN;
}

int ft_fail_at(struct ft_fault *fault, int error, size_t offset, const struct ft_fault *why)
{
    return ft_fail(fault, error, "offset %zu: %s", offset, why->text);
}
