/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last ND_RECENT lines that the event writer has taken, for `understudy watch`. The writer adds them, any
 * other thread reads copies. A reader that is slow finds the oldest gone, and is told how many.
 */
#ifndef NODE_BASE_EVENT_RECENT_H
#define NODE_BASE_EVENT_RECENT_H

#include "ftcore/base/event_log.h"

#define ND_RECENT 256u

struct nd_recent_line {
    struct ft_event_line line;
    uint64_t more; /* lines like it that were left out before it */
};

void nd_recent_add(const struct ft_event_line *line, uint64_t more);

/* How many lines have been added since the process began. */
uint64_t nd_recent_count(void);

/* Copies line number `*next` and those after it, `max` at most, moves `*next` behind them, and adds to
 * `*lost` those that are gone. Numbers begin at 0. How many were copied. */
unsigned nd_recent_read(uint64_t *next, uint64_t *lost, struct nd_recent_line *out, unsigned max);

#endif
