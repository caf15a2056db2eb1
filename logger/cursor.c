/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the inputs and determinants of a record that has been checked (ftcore/record/record.h). */
#include "logger/cursor.h"

#include <string.h>

void lg_cursor_begin(struct lg_cursor *cursor, const struct ft_record *record)
{
    *cursor = (struct lg_cursor){.record = record};
}

const struct ft_input *lg_cursor_input(struct lg_cursor *cursor, uint8_t **bytes)
{
    const struct ft_record *r = cursor->record;
    const struct ft_input *in;

    if (r->flags & FT_REC_BY_SEQ || cursor->input == r->inputs)
        return NULL;
    in = ft_record_inputs(r) + cursor->input++;
    *bytes = (uint8_t *)(uintptr_t)r + ft_record_bytes_at(r) + cursor->byte;
    cursor->byte += in->taken;
    return in;
}

const void *lg_cursor_determinant(struct lg_cursor *cursor, uint32_t *len)
{
    const struct ft_record *r = cursor->record;
    const uint8_t *at = (const uint8_t *)r + ft_record_determinants_at(r) + cursor->value;

    if (cursor->value == r->determinants)
        return NULL;
    memcpy(len, at, sizeof(*len));
    cursor->value += (uint32_t)sizeof(*len) + *len;
    return at + sizeof(*len);
}

bool lg_cursor_done(const struct lg_cursor *cursor)
{
    const struct ft_record *r = cursor->record;

    return (r->flags & FT_REC_BY_SEQ || cursor->input == r->inputs) && cursor->value == r->determinants;
}
