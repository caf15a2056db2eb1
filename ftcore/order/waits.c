/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for whom; see waits.h. */
#include "ftcore/order/waits.h"

#include <string.h>

/* Of the word: above, the number of the wait; below, for whom. */
#define WHOM   8
#define NOBODY 0u
#define ALL    0xffu /* else a lane, plus 1 */

static void publish_wait(struct ft_published *own, unsigned whom)
{
    uint64_t number = (atomic_load_explicit(&own->wait, memory_order_relaxed) >> WHOM) + 1;

    atomic_store_explicit(&own->wait, number << WHOM | whom, memory_order_release);
}

void ft_wait_for(struct ft_published *own, unsigned other, uint64_t access)
{
    /* Release: who reads this finds the wait before it to be over. */
    atomic_store_explicit(&own->needs, access, memory_order_release);
    publish_wait(own, other + 1);
}

void ft_wait_for_all(struct ft_published *own)
{
    publish_wait(own, ALL);
}

void ft_wait_over(struct ft_published *own)
{
    publish_wait(own, NOBODY);
}

struct path {
    uint64_t seen[FT_LANES_MAX + 1]; /* words, in order */
    unsigned lane[FT_LANES_MAX + 1];
    unsigned count;
};

/* Goes from `self` to whom it waits for, and on. False: somebody does not wait. */
static bool follow_waits(const struct ft_published published[], unsigned lanes, unsigned self,
                         struct path *path)
{
    unsigned lane = self;

    for (path->count = 0; path->count <= lanes; path->count++) {
        uint64_t word = atomic_load_explicit(&published[lane].wait, memory_order_acquire);
        unsigned whom = word & 0xff;

        path->lane[path->count] = lane;
        path->seen[path->count] = word;
        if (whom == ALL) {
            path->count++;
            return true;
        }
        if (whom == NOBODY || whom > lanes ||
            atomic_load_explicit(&published[whom - 1].access, memory_order_acquire) >=
                atomic_load_explicit(&published[lane].needs, memory_order_acquire))
            return false;
        /* What it needs may be of a later wait; then it has said meanwhile that this one is over. */
        if (atomic_load_explicit(&published[lane].wait, memory_order_acquire) != word)
            return false;
        lane = whom - 1;
    }
    return true; /* more steps than lanes: a circle */
}

/* In a circle, and no lane before it is. */
static bool is_lowest(const struct path *path, unsigned lanes)
{
    unsigned again = 0;

    if (path->count <= lanes) /* it ends at one that waits for all */
        return true;
    for (unsigned i = 1; i < path->count; i++) {
        if (path->lane[i] == path->lane[0])
            again = i;
        if (!again && path->lane[i] < path->lane[0])
            return false;
    }
    return again != 0;
}

bool ft_waits_in_vain(const struct ft_published published[], unsigned lanes, unsigned self, unsigned via[],
                      unsigned *count)
{
    struct path first, second;

    if (!follow_waits(published, lanes, self, &first) || !follow_waits(published, lanes, self, &second) ||
        first.count != second.count || memcmp(first.seen, second.seen, first.count * sizeof(first.seen[0])))
        return false;
    if (!is_lowest(&second, lanes))
        return false;
    *count = second.count;
    for (unsigned i = 1; i < *count; i++) /* a circle ends where it began */
        if (second.lane[i] == self)
            *count = i + 1;
    memcpy(via, second.lane, *count * sizeof(via[0]));
    return true;
}
