/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that wait in front of a lane; see lane/waiting.h. */
#include "node/lane/waiting.h"

#include <stdlib.h>

int nd_waiting_make(struct nd_waiting *waiting, uint32_t buffers)
{
    *waiting = (struct nd_waiting){.room = buffers / 4};
    waiting->frames = calloc(waiting->room + 1, sizeof(*waiting->frames));
    waiting->ports = calloc(waiting->room + 1, sizeof(*waiting->ports));
    if (waiting->frames && waiting->ports)
        return 0;
    nd_waiting_free(waiting);
    return FT_ENOMEM;
}

void nd_waiting_free(struct nd_waiting *waiting)
{
    free(waiting->frames);
    free(waiting->ports);
    *waiting = (struct nd_waiting){.room = 0};
}

bool nd_waiting_put(struct nd_waiting *waiting, const struct nd_frame *frame, unsigned port)
{
    uint32_t at;

    if (waiting->count == waiting->room)
        return false;
    at = (waiting->first + waiting->count++) % waiting->room;
    waiting->frames[at] = *frame;
    waiting->ports[at] = (uint8_t)port;
    return true;
}

bool nd_waiting_take(struct nd_waiting *waiting, struct nd_frame *frame, unsigned *port)
{
    if (waiting->count == 0)
        return false;
    *frame = waiting->frames[waiting->first];
    *port = waiting->ports[waiting->first];
    waiting->first = (waiting->first + 1) % waiting->room;
    waiting->count--;
    return true;
}
