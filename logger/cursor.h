/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a record as replay needs it: its inputs one by one, then its determinants in order. What the
 * chain consumes must be exactly what was recorded; lg_cursor_done says whether it was.
 */
#ifndef LOGGER_CURSOR_H
#define LOGGER_CURSOR_H

#include "ftcore/record/record.h"

#include <stdbool.h>

struct lg_cursor {
    const struct ft_record *record;
    uint32_t input, byte, value;
};

void lg_cursor_begin(struct lg_cursor *cursor, const struct ft_record *record);
/* Next input and its captured bytes (in the record itself: replay may work on them in place). NULL: no more.
 */
const struct ft_input *lg_cursor_input(struct lg_cursor *cursor, uint8_t **bytes);
/* Next determinant; NULL: no more. */
const void *lg_cursor_determinant(struct lg_cursor *cursor, uint32_t *len);
bool lg_cursor_done(const struct lg_cursor *cursor);

#endif
