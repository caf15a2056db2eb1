/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a log record on the wire, as read: numbers not yet checked against their ranges. Private to the
 * record; written by ft_head_read, read by decode.
 */
#ifndef FTCORE_HEAD_H
#define FTCORE_HEAD_H

#include "ftcore/rules.h"

#define FT_CHECKSUM_LEN 9u

struct ft_head {
    uint64_t number[FT_FIELDS]; /* but FT_F_BODY */
    const uint8_t *body;        /* in the input */
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
long ft_head_read(struct ft_head *head, const uint8_t *in, size_t len, struct ft_fault *fault);

/* Where element `index` begins, all before it having been read. For messages. */
size_t ft_head_offset(const uint8_t *in, unsigned index);

#endif
