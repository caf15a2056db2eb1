/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where msgpack-c's compressor writes in ftcore: a bounded buffer of the caller's. Used by the encoders of
 * records and messages, each with one of its own; once something did not fit, nothing more is written.
 */
#ifndef FTCORE_BASE_OUT_H
#define FTCORE_BASE_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ft_out {
    uint8_t *at, *end;
    bool full;
};

/* A msgpack_packer_write. */
static inline int ft_out_write(void *data, const char *bytes, size_t len)
{
    struct ft_out *out = data;

    if (out->full || len > (size_t)(out->end - out->at)) {
        out->full = true;
        return -1;
    }
    if (len)
        memcpy(out->at, bytes, len);
    out->at += len;
    return 0;
}

#endif
