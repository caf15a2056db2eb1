/* SPDX-License-Identifier: Apache-2.0 */
/* A question to one of the pair's nodes: at its control socket, where that is here, else through the other
 * node, which asks it over the link. See understudy/cli/pair.h. */
#include "understudy/cli/pair.h"

#include <string.h>

/* `through` is this server's, and asks its peer, if that is node `i`. `fault` is as it was where that one's
 * socket is not here either. */
static int ask_through(const struct nd_pair *pair, unsigned i, unsigned through, const json_t *request,
                       int timeout_ms, json_t **answer, struct ft_fault *fault)
{
    json_t *question = json_copy((json_t *)(uintptr_t)request), *whole = NULL, *inner;
    const char *name = pair->config->node[i].name, *by = pair->config->node[through].name;
    struct ft_fault why = {""};
    int error;

    json_object_set_new(question, "peer", json_true());
    error = nd_ask(pair->config->node[through].control, question, timeout_ms, &whole, NULL, &why);
    json_decref(question);
    inner = json_object_get(whole, "answer");
    if (inner && strcmp(nd_text(whole, "peer", ""), name) == 0) {
        *answer = json_incref(inner);
        json_object_set_new(*answer, "asked_through", json_string(by));
        json_object_set(*answer, "age_ms", json_object_get(whole, "age_ms"));
    } else if (error != FT_ENOENT) {
        ft_fail(fault, FT_ENOENT, "no node listens here; node %s: %.120s", by,
                error   ? why.text
                : inner ? "its peer is another node"
                        : nd_text(json_object_get(whole, "error"), "text", "no answer"));
        error = FT_ENOENT;
    }
    json_decref(whole);
    return error;
}

int nd_pair_ask(const struct nd_pair *pair, unsigned i, const json_t *request, int timeout_ms,
                json_t **answer, struct ft_fault *fault)
{
    int error = nd_ask(pair->config->node[i].control, request, timeout_ms, answer, NULL, fault);

    for (unsigned k = 0; error == FT_ENOENT && pair->elsewhere && k < pair->config->nodes; k++)
        if (k != i)
            error = ask_through(pair, i, k, request, timeout_ms, answer, fault);
    return error;
}
