/* SPDX-License-Identifier: Apache-2.0 */
/* See strangers.h. */
#include "node/base/strangers.h"

#include "ftcore/base/event_log.h"

void nd_strangers_say(uint64_t *said, uint64_t count, const char *peer, const char *ask)
{
    if (count == *said)
        return;
    *said = count;
    ft_log_event(FT_LEVEL_WARNING, FT_SAYS_SEAL, "connections did not prove that they are %s's%s%s", peer,
                 ask[0] ? ": " : "", ask);
}
