/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of the event log are written, and which are counted; see event_repeat.h. */
#include "node/base/event_repeat.h"

#include <string.h>

/* The row of the line's event. Four events tell the node's state, and each of them ends what another told. */
static struct nd_repeat_row *find_row(struct nd_repeats *repeats, const struct ft_event_line *line)
{
    switch (line->event) {
    case FT_SAYS_TAKEOVER:
    case FT_SAYS_STANDBY_LOST:
    case FT_SAYS_FENCED:
        return &repeats->row[FT_SAYS_STATE];
    default:
        return &repeats->row[line->event];
    }
}

static bool is_over(const struct nd_repeat_row *row, uint64_t now)
{
    return now - row->written >= ND_REPEAT_NS;
}

static bool is_same(const struct nd_repeat_row *row, const struct ft_event_line *line)
{
    return line->level != FT_LEVEL_NOTICE && row->used && row->last.event == line->event &&
           strcmp(row->last.text, line->text) == 0;
}

bool nd_repeats_take(struct nd_repeats *repeats, const struct ft_event_line *line, uint64_t now)
{
    struct nd_repeat_row *row = find_row(repeats, line);
    bool counts = is_same(row, line) && (row->missed || !is_over(row, now));

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

const struct ft_event_line *nd_repeats_before(struct nd_repeats *repeats, const struct ft_event_line *line,
                                              uint64_t *missed)
{
    struct nd_repeat_row *row = find_row(repeats, line);

    if (!row->missed || is_same(row, line))
        return NULL;
    *missed = row->missed;
    row->missed = 0;
    return &row->last;
}

const struct ft_event_line *nd_repeats_due(struct nd_repeats *repeats, uint64_t now, uint64_t *missed)
{
    struct nd_repeat_row *due = NULL;

    for (struct nd_repeat_row *row = repeats->row; row < repeats->row + FT_EVENT_NAMES_END; row++)
        if (row->missed && is_over(row, now) && (!due || row->last.time < due->last.time))
            due = row;
    if (!due)
        return NULL;
    *missed = due->missed;
    due->missed = 0;
    due->written = now;
    return &due->last;
}

uint64_t nd_repeats_next(const struct nd_repeats *repeats)
{
    uint64_t next = UINT64_MAX;

    for (const struct nd_repeat_row *row = repeats->row; row < repeats->row + FT_EVENT_NAMES_END; row++)
        if (row->missed && row->written + ND_REPEAT_NS < next)
            next = row->written + ND_REPEAT_NS;
    return next;
}
