/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of the event log are written, and which are counted; see event_repeat.h. */
#include "node/base/event_repeat.h"

#include <string.h>

static bool is_over(const struct nd_repeat_row *row, uint64_t now)
{
    return now - row->written >= ND_REPEAT_NS;
}

static bool is_same(const struct nd_repeat_row *row, const struct ft_event_line *line)
{
    return row->used && row->last.event == line->event && strcmp(row->last.text, line->text) == 0;
}

/* The row of the line; else the one that has been still for the longest; NULL: all are counting. */
static struct nd_repeat_row *find_row(struct nd_repeats *repeats, const struct ft_event_line *line)
{
    struct nd_repeat_row *room = NULL;

    for (struct nd_repeat_row *row = repeats->row; row < repeats->row + ND_REPEAT_ROWS; row++) {
        if (is_same(row, line))
            return row;
        if (!row->missed && (!room || row->written < room->written))
            room = row;
    }
    return room;
}

bool nd_repeats_take(struct nd_repeats *repeats, const struct ft_event_line *line, uint64_t now)
{
    struct nd_repeat_row *row = find_row(repeats, line);
    bool counts = row && is_same(row, line) && (row->missed || !is_over(row, now));

    if (!row)
        return true;
    row->last = *line;
    if (counts) {
        row->missed++;
        return false;
    }
    row->used = true;
    row->written = now;
    row->missed = 0;
    return true;
}

const struct ft_event_line *nd_repeats_due(struct nd_repeats *repeats, uint64_t now, uint64_t *missed)
{
    for (struct nd_repeat_row *row = repeats->row; row < repeats->row + ND_REPEAT_ROWS; row++) {
        if (!row->missed || !is_over(row, now))
            continue;
        *missed = row->missed;
        row->missed = 0;
        row->written = now;
        return &row->last;
    }
    return NULL;
}

uint64_t nd_repeats_next(const struct nd_repeats *repeats)
{
    uint64_t next = UINT64_MAX;

    for (const struct nd_repeat_row *row = repeats->row; row < repeats->row + ND_REPEAT_ROWS; row++)
        if (row->missed && row->written + ND_REPEAT_NS < next)
            next = row->written + ND_REPEAT_NS;
    return next;
}
