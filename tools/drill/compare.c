/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a drill: are the states of both nodes equal? Asks the primary's `verify`, which can refuse: then
 * nothing was compared, which is not the same as a difference. See tools/drill/drill.h.
 */
#include "tools/drill/drill.h"
#include "node/base/clock.h"
#include "tools/pair/child.h"

#include <stdio.h>

#define VERIFY_MS 12000 /* longer than the node itself waits for the standby's digest */
#define AGAIN_MS  100

/* How often both nodes have found a difference so far; `last`, which may be NULL: where. */
static uint64_t count_differences(struct nd_drill *d, char *last, size_t cap)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < ND_NODES; i++) {
        json_t *answer = nd_drill_ask(d, i, "status", ND_ASK_MS, NULL, NULL);
        const json_t *diverged = json_object_get(answer, "diverged");
        count += nd_drill_number(diverged, "count");
        if (last != NULL && json_is_object(diverged))
            snprintf(last, cap, "%s", nd_text(diverged, "last", "no more is known"));
        json_decref(answer);
    }
    return count;
}

/* True when the node has compared. */
static bool ask_verify(struct nd_drill *d, unsigned primary, struct nd_drill_run *r)
{
    struct ft_fault fault = {""};
    json_t *answer = nd_drill_ask(d, primary, "verify", VERIFY_MS, NULL, &fault);
    const json_t *equal = json_object_get(answer, "equal"), *error = json_object_get(answer, "error");
    bool compared = json_is_boolean(equal);
    if (compared)
        r->digests = json_is_true(equal) ? ND_DIGESTS_EQUAL : ND_DIGESTS_DIFFERENT;
    else
        snprintf(r->not_compared, sizeof r->not_compared, "verify: %.180s",
                 answer == NULL  ? fault.text
                 : error != NULL ? nd_text(error, "text", "refused")
                                 : "an answer without \"equal\"");
    for (unsigned i = 0; compared && i < ND_NODES; i++)
        snprintf(r->digest[i], sizeof r->digest[i], "%s",
                 nd_text(json_object_get(answer, "digests"), d->config->node[i].name, ""));
    json_decref(answer);
    return compared;
}

void nd_drill_not_compared(struct nd_drill_run *r, const char *why)
{
    r->digests = ND_DIGESTS_NOT_COMPARED;
    if (why != r->not_compared)
        snprintf(r->not_compared, sizeof r->not_compared, "%.199s", why);
    nd_drill_failed(r, "the states were not compared: %s", r->not_compared);
}

void nd_drill_compare(struct nd_drill *d, unsigned primary, struct nd_drill_run *r)
{
    uint64_t end = nd_now() + d->wait_ms * ND_MS, before = count_differences(d, NULL, 0);
    char last[200] = "";
    bool first = ask_verify(d, primary, r), compared = first;
    if (!compared)
        nd_drill_say(d, "%s; asked again", r->not_compared);
    while (!compared && nd_now() < end) {
        nd_sleep(AGAIN_MS * ND_MS);
        compared = ask_verify(d, primary, r);
    }
    /* A difference ends the pair, perhaps before verify is told; after the resync the states are equal. */
    if (!first && r->digests != ND_DIGESTS_DIFFERENT && count_differences(d, last, sizeof last) > before) {
        r->digests = ND_DIGESTS_DIFFERENT;
        nd_drill_failed(r, "the states differed before a resync: %s", last);
    } else if (!compared) {
        nd_drill_not_compared(r, r->not_compared);
    } else if (r->digests == ND_DIGESTS_DIFFERENT && r->digest[0][0] && r->digest[1][0]) {
        nd_drill_failed(r, "the digests of the two regions differ: %s %s, %s %s", d->config->node[0].name,
                        r->digest[0], d->config->node[1].name, r->digest[1]);
    } else if (r->digests == ND_DIGESTS_DIFFERENT) {
        nd_drill_failed(r, "verify says that the two regions differ, and names no digests");
    }
    if (r->digests != ND_DIGESTS_NOT_COMPARED)
        r->not_compared[0] = 0;
}
