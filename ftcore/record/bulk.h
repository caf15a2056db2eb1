/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bulk of a message on the wire, compressed where that pays. Private to the message: written by
 * ft_message_encode, read by ft_message_decode.
 */
#ifndef FTCORE_RECORD_BULK_H
#define FTCORE_RECORD_BULK_H

#include "ftcore/base/out.h"
#include "ftcore/record/message.h"
#include "ftcore/record/reader.h"

#include <msgpack/pack.h>

/* Writes the bulk's two elements to `out`, where `pk` writes too. `compressor` NULL: not compressed. */
void ft_bulk_write(msgpack_packer *pk, struct ft_out *out, const struct ft_message *m,
                   struct ft_packer *compressor);

/* Reads them into m->bulk, which then points into the input or, of a compressed one, to `bulk` (FT_BULK_MAX
 * bytes). 0 or FT_EMALFORMED. */
int ft_bulk_read(struct ft_reader *in, struct ft_message *m, uint8_t *bulk);

#endif
