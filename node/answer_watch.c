/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer to "watch": the lines of the event log since the one that the client has seen. Nothing is kept
 * for a client and nothing waits for it: it says where it is ("next", of the process "of"), and is told how
 * many lines it has missed.
 */
#include "node/running.h"
#include "node/base/event_format.h"
#include "node/base/event_recent.h"

#define EVENTS 64u /* of an answer, at most */

json_t *nd_answer_watch(struct nd_running *r, const json_t *request)
{
    static struct nd_recent_line lines[EVENTS]; /* the main thread's */
    const json_t *asked = json_object_get(request, "next");
    json_int_t self = (json_int_t)(r->datagram_key.incarnation >> 32);
    uint64_t next = (uint64_t)json_integer_value(asked), lost = 0;
    json_t *events = json_array();
    unsigned n = 0;

    if (!asked) /* it begins: with what comes from now on */
        next = nd_recent_count();
    else if (json_integer_value(json_object_get(request, "of")) != self)
        next = 0; /* it has seen another process: all of this one is new to it */
    if (json_integer_value(asked) < 0 || next > nd_recent_count()) {
        json_decref(events);
        return nd_refuse("invalid", "next: expected a number that a watch has answered");
    }
    n = nd_recent_read(&next, &lost, lines, EVENTS);
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(events,
                              nd_event_json(&lines[i].line, r->config->node[r->self].name, lines[i].more));
    return json_pack("{s:I,s:I,s:I,s:o}", "of", self, "next", (json_int_t)next, "lost", (json_int_t)lost,
                     "events", events);
}
