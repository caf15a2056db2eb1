/* SPDX-License-Identifier: Apache-2.0 */
/* A heap of events, the first one on top. See agenda.h. */
#include "tests/fleet/agenda.h"

#include "ftcore/base/check.h"

#include <stdlib.h>

static struct event *heap;
static uint32_t events, most;
static uint64_t sequence;

static bool sooner(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void agenda_add(const struct event *event)
{
    struct event one = *event;
    uint32_t at = events++;

    one.order = sequence++;
    if (events > most) {
        most = most ? most * 2 : 1024;
        heap = realloc(heap, most * sizeof(one));
        FT_CHECK(heap, "no memory for %u events", most);
    }
    for (; at && sooner(&one, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = one;
}

bool agenda_next(struct event *out, uint64_t now)
{
    uint32_t at = 0;

    if (!events || heap[0].at > now)
        return false;
    *out = heap[0];
    struct event last = heap[--events];

    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < events && sooner(&heap[child + 1], &heap[child]))
            child++;
        if (child >= events || !sooner(&heap[child], &last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return true;
}
