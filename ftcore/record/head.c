/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes the msgpack array that a record or a chunk of a delta is on the wire. For reading,
 * msgpack's own loop is instantiated with callbacks that put numbers straight into `struct ft_head` and
 * refuse everything else, first of all containers within the array: no zone, no allocation, no recursion,
 * whatever the bytes are.
 */
#include "ftcore/record/head.h"

#include "ftcore/base/check.h"

#include <msgpack/pack.h>
#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>
#define XXH_INLINE_ALL /* for this machine's vectors: the library's own is for any */
#include <xxhash.h>

static unsigned body_at(const struct ft_head *h)
{
    return h->layout->count - 2;
}

static int head_refuse(struct ft_head *h, const char *what)
{
    if (h->size == 0)
        h->error = ft_fail(&h->why, FT_EMALFORMED, "%s, expected an array of %u", what, h->layout->count);
    else
        h->error =
            ft_fail(&h->why, FT_EMALFORMED, "%s, expected %s as %s", what, h->layout->elements[h->seen].name,
                    h->seen == body_at(h) ? "bin" : "an unsigned number");
    return -1;
}

static int head_number(struct ft_head *h, uint64_t n)
{
    if (h->size == 0 || h->seen == body_at(h))
        return head_refuse(h, "a number");
    /* The size says nothing before the version is known. */
    if (h->seen == 0 && n != h->layout->version) {
        h->error = ft_fail(&h->why, FT_EVERSION, "version is %lu, expected %u", n, h->layout->version);
        return -1;
    }
    if (h->seen == 0 && h->size != h->layout->count) {
        h->error = ft_fail(&h->why, FT_EMALFORMED, "array of %u, expected %u", h->size, h->layout->count);
        return -1;
    }
    h->number[h->seen++] = n;
    return 0;
}

static int head_array(struct ft_head *h, uint32_t size)
{
    if (h->size || !size)
        return head_refuse(h, size ? "an array" : "an empty array");
    h->size = size;
    return 0;
}

static int head_bin(struct ft_head *h, const char *bytes, uint32_t len)
{
    if (h->seen != body_at(h))
        return head_refuse(h, "bin");
    h->body = (const uint8_t *)bytes;
    h->body_len = len;
    h->seen++;
    return 0;
}

/* The callbacks, by the names the loop calls them. An element's object is not used. */
#define UNUSED __attribute__((unused))
#define READ(name, result, ...)                                                                              \
    static int read##name(struct ft_head **h, ##__VA_ARGS__, int *o)                                         \
    {                                                                                                        \
        *o = 0;                                                                                              \
        return result;                                                                                       \
    }
#define BYTES const char *base UNUSED, const char *bytes UNUSED, uint32_t n UNUSED

READ(_uint8, head_number(*h, n), uint8_t n)
READ(_uint16, head_number(*h, n), uint16_t n)
READ(_uint32, head_number(*h, n), uint32_t n)
READ(_uint64, head_number(*h, n), uint64_t n)
READ(_int8, head_refuse(*h, "a signed number"), int8_t n UNUSED)
READ(_int16, head_refuse(*h, "a signed number"), int16_t n UNUSED)
READ(_int32, head_refuse(*h, "a signed number"), int32_t n UNUSED)
READ(_int64, head_refuse(*h, "a signed number"), int64_t n UNUSED)
READ(_float, head_refuse(*h, "a float"), float n UNUSED)
READ(_double, head_refuse(*h, "a float"), double n UNUSED)
READ(_map, head_refuse(*h, "a map"), uint32_t n UNUSED)
READ(_nil, head_refuse(*h, "nil"))
READ(_true, head_refuse(*h, "true"))
READ(_false, head_refuse(*h, "false"))
READ(_str, head_refuse(*h, "a string"), BYTES)
READ(_ext, head_refuse(*h, "an extension"), BYTES)
READ(_array, head_array(*h, n), uint32_t n)
READ(_bin, head_bin(*h, bytes, n), BYTES)

static int read_root(struct ft_head **h UNUSED)
{
    return 0;
}

static int read_array_item(struct ft_head **h UNUSED, int *array UNUSED, int item UNUSED)
{
    return 0;
}

static int read_map_item(struct ft_head **h, int *map UNUSED, int key UNUSED, int value UNUSED)
{
    return head_refuse(*h, "a map");
}

#define msgpack_unpack_struct(name)    struct unpack##name
#define msgpack_unpack_func(ret, name) static UNUSED ret unpack##name
#define msgpack_unpack_callback(name)  read##name
#define msgpack_unpack_object          int
#define msgpack_unpack_user            struct ft_head *
#include <msgpack/unpack_template.h>

/* Where element `index` begins: those before it are numbers, or reading would have stopped. */
static size_t element_offset(const uint8_t *in, unsigned index)
{
    size_t at = in[0] == 0xdc ? 3 : in[0] == 0xdd ? 5 : 1;

    for (; index; index--)
        at += in[at] < 0x80 ? 1 : 1 + ((size_t)1 << (in[at] & 3)); /* cc, cd, ce, cf: 1, 2, 4, 8 bytes */
    return at;
}

size_t ft_head_offset(const struct ft_layout *layout, const uint8_t *in, size_t at)
{
    unsigned index = 1;

    while (index < layout->count - 2 && layout->elements[index].at != at)
        index++;
    return element_offset(in, index);
}

int ft_fail_at(struct ft_fault *fault, int error, size_t offset, const struct ft_fault *why)
{
    return ft_fail(fault, error, "offset %zu: %s", offset, why->text);
}

int ft_head_ranges(const struct ft_layout *layout, const uint64_t n[], size_t *at, struct ft_fault *why)
{
    const struct ft_element *e = layout->elements;

    for (unsigned i = 0; i < layout->count - 2; i++, e++)
        if (n[i] < e->min || n[i] > e->max) {
            *at = e->at;
            return ft_fail(why, FT_EMALFORMED, "%s is %lu, expected %lu to %lu", e->name, n[i], e->min,
                           e->max);
        }
    return 0;
}

/* What remains once the array is read: its end, its checksum, the ranges. */
static long head_verify(struct ft_head *h, const uint8_t *in, size_t end, struct ft_fault *fault)
{
    /* Nine bytes, or it would not be known where the checksummed part ends. An empty body has no address. */
    size_t sum_at = end - FT_CHECKSUM_LEN;
    if (h->body_len == 0)
        h->body = in + sum_at;
    if (h->body + h->body_len != in + sum_at || in[sum_at] != 0xcf)
        return ft_fail(fault, FT_EMALFORMED, "offset %zu: short checksum, expected cf and 8 bytes",
                       (size_t)(h->body + h->body_len - in));
    uint64_t hash = XXH3_64bits(in, sum_at);
    if (hash != h->number[h->layout->count - 1])
        return ft_fail(fault, FT_ECHECKSUM, "offset %zu: checksum is %016lx, expected %016lx", sum_at,
                       h->number[h->layout->count - 1], hash);
    struct ft_fault why;
    size_t at;

    if (ft_head_ranges(h->layout, h->number, &at, &why))
        return ft_fail_at(fault, FT_EMALFORMED, ft_head_offset(h->layout, in, at), &why);
    return (long)end;
}

long ft_head_read(struct ft_head *h, const struct ft_layout *layout, const uint8_t *in, size_t len,
                  struct ft_fault *fault)
{
    struct unpack_context ctx;
    size_t end = 0;

    FT_CHECK(layout->count <= FT_ELEMENTS_MAX, "an array of %u", layout->count);
    h->layout = layout;
    h->seen = h->size = 0;
    h->error = 0;
    ctx.user = h;
    unpack_init(&ctx);
    int got = unpack_execute(&ctx, (const char *)in, len, &end);
    if (got == 0)
        return ft_fail(fault, FT_ETRUNC, "offset %zu: input ends, expected %s", len,
                       layout->elements[h->seen].name);
    if (got < 0 && !h->error)
        return ft_fail(fault, FT_EMALFORMED, "offset %zu: byte %02x, expected msgpack", end, in[end]);
    if (got < 0)
        return ft_fail_at(fault, h->error, h->size ? element_offset(in, h->seen) : 0, &h->why);
    return head_verify(h, in, end, fault);
}

size_t ft_head_bound(const struct ft_layout *layout)
{
    return 3 + (layout->count - 2) * 9u + 5 + FT_CHECKSUM_LEN;
}

void ft_head_write(struct ft_out *to, const struct ft_layout *layout, const uint64_t n[], size_t body_len)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, to, ft_out_write);
    msgpack_pack_array(&pk, layout->count);
    for (unsigned i = 0; i < layout->count - 2; i++)
        msgpack_pack_uint64(&pk, n[i]);
    msgpack_pack_bin(&pk, body_len);
}

long ft_head_seal(struct ft_out *to, const uint8_t *start)
{
    uint8_t sum[FT_CHECKSUM_LEN] = {0xcf};

    if (to->full)
        return FT_EFULL;
    uint64_t hash = __builtin_bswap64(XXH3_64bits(start, (size_t)(to->at - start)));
    memcpy(sum + 1, &hash, sizeof(hash));
    ft_out_write(to, (const char *)sum, sizeof(sum));
    return to->full ? FT_EFULL : to->at - start;
}
