/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a drill: are the states of both nodes equal? Asks the primary's `verify`, which can refuse: then
 * nothing was compared, which is not the same as a difference. See tools/drill/drill.h.
 */
#include "tools/drill/drill.h"
#include "node/base/clock.h"
#include "tools/pair/child.h"

#include <stdio.h>
#include <string.h>

#define VERIFY_MS 12000 /* longer than the node itself waits for the standby's digest */
#define AGAIN_MS  100

/* How often each node has found a difference so far. */
struct counts {
    uint64_t of[ND_NODES];
    bool known[ND_NODES]; /* it answered */
    char last[200];       /* where the last one was, if there was any */
};

static void count_differences(struct nd_drill *d, struct counts *c)
{
    memset(c, 0, sizeof *c);
    for (unsigned i = 0; i < ND_NODES; i++) {
        json_t *answer = nd_drill_ask(d, i, "status", ND_ASK_MS, NULL, NULL);
        const json_t *diverged = json_object_get(answer, "diverged");
        c->known[i] = answer != NULL;
        c->of[i] = nd_drill_number(diverged, "count");
        if (json_is_object(diverged))
            snprintf(c->last, sizeof c->last, "%s", nd_text(diverged, "last", "no more is known"));
        json_decref(answer);
    }
}

static bool has_found_more(const struct counts *before, const struct counts *after)
{
    bool more = false;
    for (unsigned i = 0; i < ND_NODES; i++)
        more |= before->known[i] && after->known[i] && after->of[i] > before->of[i];
    return more;
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
    uint64_t end = nd_now() + d->wait_ms * ND_MS;
    struct counts before, after = {.of = {0}};
    count_differences(d, &before);
    bool first = ask_verify(d, primary, r), compared = first;
    if (!compared)
        nd_drill_say(d, "%s; asked again", r->not_compared);
    while (!compared && nd_now() < end) {
        nd_sleep(AGAIN_MS * ND_MS);
        compared = ask_verify(d, primary, r);
    }
    /* A difference ends the pair, perhaps before verify is told; after the resync the states are equal. */
    if (!first)
        count_differences(d, &after);
    if (r->digests != ND_DIGESTS_DIFFERENT && has_found_more(&before, &after)) {
        r->digests = ND_DIGESTS_DIFFERENT;
        nd_drill_failed(r, "the states differed before a resync: %s", after.last);
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
