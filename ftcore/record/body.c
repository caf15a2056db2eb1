/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies, see body.h: reads msgpack from front to back out of memory, allocating nothing, with the offset of
 * what is wrong. Used by the decoders of messages, records and chunks.
 */
#include "ftcore/record/body.h"

/* `error`: FT_EMALFORMED, or in->ended where more bytes might make it right. */
static int wrong_form(const struct ft_reader *in, int error, const char *name, const char *expected)
{
    ptrdiff_t at = in->at - in->frame;

    if (in->at == in->end)
        return ft_fail(in->fault, in->ended, "offset %td: %s ends, expected %s as %s", at, in->type, name,
                       expected);
    return ft_fail(in->fault, error, "offset %td: %s %s begins with byte %02x and %td follow, expected %s",
                   at, in->type, name, *in->at, in->end - in->at - 1, expected);
}

/* Big-endian number of 1, 2, 4 or 8 bytes behind a msgpack type byte; false: the input ends. */
static bool get_behind(const struct ft_reader *in, unsigned bytes, uint64_t *v)
{
    if ((size_t)(in->end - in->at) < 1u + bytes)
        return false;
    *v = 0;
    for (unsigned i = 1; i <= bytes; i++)
        *v = *v << 8 | in->at[i];
    return true;
}

int ft_read_number_any(struct ft_reader *in, const char *name, uint64_t *v)
{
    if (in->at < in->end && *in->at < 0x80) {
        *v = *in->at++;
        return 0;
    }
    if (in->at == in->end || *in->at < 0xcc || *in->at > 0xcf)
        return wrong_form(in, FT_EMALFORMED, name, "an unsigned number");
    unsigned bytes = 1u << (*in->at - 0xcc);
    if (!get_behind(in, bytes, v))
        return wrong_form(in, in->ended, name, "an unsigned number");
    in->at += 1 + bytes;
    return 0;
}

const struct ft_form ft_array_form = {"an array", 0x90, 0x0f, 0xdc, 2};
const struct ft_form ft_str_form = {"a string", 0xa0, 0x1f, 0xd9, 1};
const struct ft_form ft_bin_form = {"bytes", 0, 0, 0xc4, 1};

int ft_read_length(struct ft_reader *in, const char *name, const struct ft_form *form, uint64_t *len)
{
    if (in->at == in->end)
        return wrong_form(in, in->ended, name, form->text);
    uint8_t byte = *in->at;
    if (form->mask && (byte & ~form->mask) == form->fix) {
        *len = byte & form->mask;
        in->at++;
        return 0;
    }
    unsigned bytes = byte < form->first ? 8 /* not a length byte, refused in the next line */
                                        : (unsigned)form->bytes << (byte - form->first) % 8;
    if (byte - form->first > 2 || bytes > 4)
        return wrong_form(in, FT_EMALFORMED, name, form->text);
    if (!get_behind(in, bytes, len))
        return wrong_form(in, in->ended, name, form->text);
    in->at += 1 + bytes;
    return 0;
}

int ft_read_bytes(struct ft_reader *in, const char *name, const struct ft_form *form, uint64_t min,
                  uint64_t max, const uint8_t **bytes, uint32_t *len)
{
    const uint8_t *start = in->at;
    uint64_t n;

    int rc = ft_read_length(in, name, form, &n);
    if (rc)
        return rc;
    if (n < min || n > max)
        return FT_READ_REFUSE(in, start, "%s has %lu bytes, expected %lu to %lu", name, n, min, max);
    if ((uint64_t)(in->end - in->at) < n)
        return ft_fail(in->fault, in->ended, "offset %td: %s %s has %td bytes, expected %lu",
                       start - in->frame, in->type, name, in->end - in->at, n);
    *bytes = in->at;
    *len = (uint32_t)n;
    in->at += n;
    return 0;
}
