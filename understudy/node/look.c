/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See look.h. A request goes to the peer as it came, without its "peer"; the answer comes back as
 * {"peer": NAME, "age_ms": N, "answer": …}, where the age is at most that.
 */
#include "understudy/node/look.h"
#include "ftcore/base/clock.h"
#include "understudy/config/peer.h"
#include "understudy/node/running.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MS 4000u /* a lane of the peer's may take two seconds for a page, and is reported by then */

/* Why the peer cannot be asked; NULL: it can. */
static json_t *refuse(const struct nd_running *r, const struct nd_exchange *x, const struct rp_status *s)
{
    const struct nd_link *link = &r->config->link;

    if (nd_commands[x->command].role != ND_LOOKS)
        return nd_refuse("invalid", "peer: true with %s, expected a command that looks",
                         nd_commands[x->command].name);
    if (!link->key[0] && !link->certificate[0])
        return nd_refuse("invalid", "link.insecure: true: the peer is asked over a sealed link alone");
    if (!s->core.peer.known && !nd_peer_node(r->config, r->self))
        return nd_refuse("busy", "node %s has no peer", r->config->node[r->self].name);
    if (!s->core.peer.known)
        return nd_refuse("busy", "node %s is not connected", nd_peer_name(r->config, r->self));
    if (!nd_confirm_speaks(s))
        return nd_refuse_version(s, "a question to the peer");
    return NULL;
}

/* False: another question is with the peer, and this one waits. */
static bool ask(struct nd_running *r, struct nd_exchange *x)
{
    struct nd_looking *l = &r->looking;
    json_t *question;
    char *text;
    bool asked;

    if (l->of || !rp_look_forget(r->replicator))
        return false;
    question = json_copy((json_t *)(uintptr_t)x->request);
    json_object_del(question, "peer");
    text = json_dumps(question, JSON_COMPACT);
    l->id++;
    asked = text && rp_look(r->replicator, l->id, text, strlen(text));
    free(text);
    json_decref(question);
    if (!asked)
        return nd_refused(x, "too large", "no room for the question");
    l->of = x;
    l->asked = ft_now();
    x->begun = true; /* it goes on to its end, and then another's may be asked */
    return false;
}

static json_t *wrap(const struct rp_status *s, uint64_t asked, char *text, size_t len)
{
    nd_answer_printable(text, len);
    json_t *answer = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(answer)) {
        json_decref(answer);
        return nd_refuse("malformed", "node %s answers with what is no JSON object", s->core.peer.name);
    }
    return json_pack("{s:s,s:I,s:o}", "peer", s->core.peer.name, "age_ms",
                     (json_int_t)((ft_now() - asked) / FT_MS), "answer", answer);
}

bool nd_look_answer(struct nd_running *r, struct nd_exchange *x)
{
    struct nd_looking *l = &r->looking;
    struct rp_status s;
    json_t *refusal;
    size_t len;
    char *text;

    rp_status(r->replicator, &s);
    if (l->of != x) {
        refusal = refuse(r, x, &s);
        return refusal ? nd_answered(x, refusal) : ask(r, x);
    }
    if (rp_look_answered(r->replicator, &text, &len)) {
        l->of = NULL;
        nd_answered(x, wrap(&s, l->asked, text, len));
        free(text);
        return true;
    }
    if (s.core.peer.known && ft_now() - l->asked < LOOK_MS * FT_MS)
        return false;
    if (!rp_look_forget(r->replicator))
        return false;
    l->of = NULL;
    return nd_refused(x, "busy", "node %s does not answer", nd_peer_name(r->config, r->self));
}

_Static_assert(ND_ANSWER_MAX <= RP_ANSWER_MAX, "an answer to a client goes over the link as well");

/* ---- the peer's question ------------------------------------------------------------------------- */

/* What is refused without being asked; NULL: it is in *x. */
static json_t *read_question(const char *text, size_t len, struct nd_exchange *x)
{
    json_t *request = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(request, "cmd"));

    for (int i = 0; name && i < ND_COMMANDS; i++)
        if (nd_commands[i].role == ND_LOOKS && strcmp(name, nd_commands[i].name) == 0 &&
            !json_object_get(request, "peer")) {
            *x = (struct nd_exchange){
                .request = request, .command = (enum nd_command)i, .client = {.pid = -1}, .looks = true};
            return NULL;
        }
    json_decref(request);
    return nd_refuse("no permission", "a peer may ask for what looks, and for nothing else");
}

static void send_answer(struct nd_running *r, json_t *answer)
{
    size_t len;
    char *text = nd_answer_text(answer, &len);

    rp_looked_answer(r->replicator, text, len);
}

void nd_look_turn(struct nd_running *r, nd_answer_fn *answer)
{
    struct nd_exchange *x = &r->looking.theirs;
    const char *text;
    json_t *refusal;
    size_t len;

    if (!x->request && (text = rp_looked(r->replicator, &len)) != NULL &&
        (refusal = read_question(text, len, x)) != NULL)
        send_answer(r, refusal);
    if (!x->request || !answer(r, x))
        return;
    send_answer(r, x->answer);
    json_decref((json_t *)(uintptr_t)x->request);
    *x = (struct nd_exchange){.request = NULL};
}
