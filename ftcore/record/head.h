/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The msgpack array that a log record or a chunk of a delta is on the wire: version, numbers, body, checksum.
 * As read: numbers not yet checked against their ranges. Private to the two; written by ft_head_read, read by
 * their decoders. Sealing, the last step of encoding, is here too.
 */
#ifndef FTCORE_RECORD_HEAD_H
#define FTCORE_RECORD_HEAD_H

#include "ftcore/base/out.h"
#include "ftcore/record/rules.h"

#define FT_CHECKSUM_LEN 9u

struct ft_head {
    const struct ft_layout *layout;
    uint64_t number[FT_LAYOUT_MAX]; /* but the body's */
    const uint8_t *body;            /* in the input */
    size_t body_len;
    unsigned seen; /* elements read */
    uint32_t size; /* of the array; 0 before it */
    int error;
    struct ft_fault why; /* with error */
};

/*
 * Reads one array from in[0..len) without looking into the body, and verifies version and checksum. Returns
 * its length; FT_ETRUNC, FT_EMALFORMED, FT_EVERSION, FT_ECHECKSUM.
 */
long ft_head_read(struct ft_head *head, const struct ft_layout *layout, const uint8_t *in, size_t len,
                  struct ft_fault *fault);

/* Where element `index` begins, all before it having been read. For messages. */
size_t ft_head_offset(const uint8_t *in, unsigned index);

/* Appends the checksum of what `to` holds from `start` on. Returns the length of all, or FT_EFULL. */
long ft_head_seal(struct ft_out *to, const uint8_t *start);

#endif
