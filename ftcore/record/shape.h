/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the message. What each type carries: its fields in the order of the wire, where they lie in
 * struct ft_message, and what they may be. Constant; encode and decode both walk it.
 */
#ifndef FTCORE_RECORD_SHAPE_H
#define FTCORE_RECORD_SHAPE_H

#include "ftcore/record/body.h"
#include "ftcore/record/message.h"

#include <msgpack/pack.h>

enum ft_kind {
    FT_K_NUMBER, /* `width` bytes in the struct; min to max */
    FT_K_RISING, /* and more than the number before it */
    FT_K_LANE,   /* and below the lanes there are */
    FT_K_TEXT,   /* char[width]; min to max bytes */
    FT_K_VECTOR,
    FT_K_IDENTITY,
    FT_K_BULK,
};

struct ft_field {
    const char *name;
    enum ft_kind kind;
    uint16_t at, width;
    uint64_t min, max;
    unsigned since; /* the version of the format that began it; 0: the first */
};

#define FT_FIELDS_MAX 24u

struct ft_shape {
    const char *name;
    struct ft_field fields[FT_FIELDS_MAX]; /* up to one without a name */
    unsigned since;                        /* as of a field */
};

/* The fields of the head behind version and type. */
#define FT_HEAD_FIELDS 4u
extern const struct ft_field ft_head_fields[FT_HEAD_FIELDS];
extern const struct ft_shape ft_shapes[FT_MSG_TYPES]; /* [0] is empty */

unsigned ft_shape_fields(const struct ft_shape *s);
/* What a number may be; `last` is the number before it, `lanes` 0 when not yet agreed. */
void ft_field_range(const struct ft_field *f, unsigned lanes, uint64_t last, uint64_t *lo, uint64_t *hi);

#endif
