/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule for lines of the event log that come again and again: a line with the message of the last line of
 * its event is written when it comes first, and then once a minute with how often it has come meanwhile.
 * After another line of its event it is news: the last line that is written is what holds. A notice is always
 * news: something became better, or somebody asked for it. Owned by the event writer, which tells the time.
 */
#ifndef NODE_BASE_EVENT_REPEAT_H
#define NODE_BASE_EVENT_REPEAT_H

#include "ftcore/base/event_log.h"

#define ND_REPEAT_NS 60000000000ull

struct nd_repeats {
    struct nd_repeat_row {
        bool used;
        uint64_t written; /* ns */
        uint64_t missed;  /* lines like it since then that were not written */
        struct ft_event_line last;
    } row[FT_EVENT_NAMES_END]; /* by event; all that tell the node's state are in the row of FT_SAYS_STATE */
};

/* What has to be written before `line`, which is another of its event: the last line that was counted,
 * *missed of them. NULL: none. To be called before nd_repeats_take; the line returned is there until then. */
const struct ft_event_line *nd_repeats_before(struct nd_repeats *repeats, const struct ft_event_line *line,
                                              uint64_t *missed);

/* `now`: ns, of a clock that does not go back. False: the line is counted, and not to be written now. */
bool nd_repeats_take(struct nd_repeats *repeats, const struct ft_event_line *line, uint64_t now);

/* A line whose minute is over and that has come again meanwhile, *missed times; the last of them. Of several
 * the one that came first. NULL: none. To be called until it is NULL. */
const struct ft_event_line *nd_repeats_due(struct nd_repeats *repeats, uint64_t now, uint64_t *missed);

/* When nd_repeats_due is wanted next, ns; UINT64_MAX: nothing is counted. */
uint64_t nd_repeats_next(const struct nd_repeats *repeats);

#endif
