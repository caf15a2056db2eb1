/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cursor over msgpack in memory: the three forms a message is made of. Nothing is allocated, nothing is
 * read beyond `end`, and the first thing that is wrong is named with its offset. Private to the message.
 */
#ifndef FTCORE_RECORD_READER_H
#define FTCORE_RECORD_READER_H

#include "ftcore/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct ft_reader {
    const uint8_t *frame, *at, *end; /* offsets count from `frame` */
    struct ft_fault *fault;
    const char *type; /* what is read, for texts */
};

/* FT_EMALFORMED with "offset N: TYPE …". */
#define FT_READ_REFUSE(in, where, fmt, ...)                                                                  \
    ft_fail((in)->fault, FT_EMALFORMED, "offset %td: %s " fmt, (where) - (in)->frame, (in)->type, __VA_ARGS__)

/*
 * What stands in front of an array, a string or bytes: its length is in the type byte itself (of `fix`, with
 * `mask`), or in 1, 2 or 4 bytes behind types first, first + 1, first + 2. Arrays have no one-byte form.
 */
struct ft_form {
    const char *text;
    uint8_t fix, mask, first, bytes;
};
extern const struct ft_form ft_array_form, ft_str_form, ft_bin_form;

/* All return 0 or FT_EMALFORMED, and then reading is over. `name` is for texts. */
int ft_read_number(struct ft_reader *in, const char *name, uint64_t *v);
int ft_read_length(struct ft_reader *in, const char *name, const struct ft_form *form, uint64_t *len);
/* A string or bytes of min to max. */
int ft_read_bytes(struct ft_reader *in, const char *name, const struct ft_form *form, uint64_t min,
                  uint64_t max, const uint8_t **bytes, uint32_t *len);

#endif
