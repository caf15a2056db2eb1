/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says in the log what the link alone counts: that somebody speaks to it who does not prove to be the peer,
 * as a peer with another key does. Owned and called by the main thread.
 */
#ifndef NODE_BASE_STRANGERS_H
#define NODE_BASE_STRANGERS_H

#include "ftcore/base/event_log.h"

#include <stdint.h>

/* By `count` of them since the start, each time that there are more than *said; the log makes one line a
 * minute of the same words. `ask`: what a person is to look at first. */
static inline void nd_strangers_say(uint64_t *said, uint64_t count, const char *peer, const char *ask)
{
    if (count == *said)
        return;
    *said = count;
    ft_log_event(FT_LEVEL_WARNING, FT_SAYS_SEAL, "connections did not prove that they are %s's%s%s", peer,
                 ask[0] ? ": " : "", ask);
}

#endif
