/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule for lines of the event log that come again and again: the same event with the same message is
 * written when it comes first, and then once a minute with how often it has come meanwhile. Owned by the
 * event writer, which tells the time.
 */
#ifndef NODE_BASE_EVENT_REPEAT_H
#define NODE_BASE_EVENT_REPEAT_H

#include "ftcore/base/event_log.h"

#define ND_REPEAT_NS   60000000000ull
#define ND_REPEAT_ROWS 32u /* different lines that are remembered; all others are written */

struct nd_repeats {
    struct nd_repeat_row {
        bool used;
        uint64_t written; /* ns */
        uint64_t missed;  /* lines like it since then that were not written */
        struct ft_event_line last;
    } row[ND_REPEAT_ROWS];
};

/* `now`: ns, of a clock that does not go back. False: the line is counted, and not to be written now. */
bool nd_repeats_take(struct nd_repeats *repeats, const struct ft_event_line *line, uint64_t now);

/* A line whose minute is over and that has come again meanwhile, *missed times; the last of them. NULL: none.
 * To be called until it is NULL. */
const struct ft_event_line *nd_repeats_due(struct nd_repeats *repeats, uint64_t now, uint64_t *missed);

/* When nd_repeats_due is wanted next, ns; UINT64_MAX: nothing is counted. */
uint64_t nd_repeats_next(const struct nd_repeats *repeats);

#endif
