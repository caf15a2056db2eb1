/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of the last lines; see event_recent.h. The lock is held for the copy of a line, and never by a
 * lane. */
#include "node/base/event_recent.h"

#include <pthread.h>

static struct {
    pthread_mutex_t lock;
    uint64_t count;
    struct nd_recent_line ring[ND_RECENT];
} recent = {.lock = PTHREAD_MUTEX_INITIALIZER};

void nd_recent_add(const struct ft_event_line *line, uint64_t more)
{
    pthread_mutex_lock(&recent.lock);
    recent.ring[recent.count % ND_RECENT] = (struct nd_recent_line){.line = *line, .more = more};
    recent.count++;
    pthread_mutex_unlock(&recent.lock);
}

uint64_t nd_recent_count(void)
{
    uint64_t count;

    pthread_mutex_lock(&recent.lock);
    count = recent.count;
    pthread_mutex_unlock(&recent.lock);
    return count;
}

static bool copy_next(uint64_t *next, uint64_t *lost, struct nd_recent_line *out)
{
    uint64_t first;
    bool there;

    pthread_mutex_lock(&recent.lock);
    first = recent.count > ND_RECENT ? recent.count - ND_RECENT : 0;
    if (*next < first) {
        *lost += first - *next;
        *next = first;
    }
    there = *next < recent.count;
    if (there)
        *out = recent.ring[(*next)++ % ND_RECENT];
    pthread_mutex_unlock(&recent.lock);
    return there;
}

unsigned nd_recent_read(uint64_t *next, uint64_t *lost, struct nd_recent_line *out, unsigned max)
{
    unsigned n = 0;

    while (n < max && copy_next(next, lost, &out[n]))
        n++;
    return n;
}
