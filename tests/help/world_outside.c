/* SPDX-License-Identifier: Apache-2.0 */
/* What is outside of the two cores: outputs that leave, and the arbiter. See world.h. */
#include "tests/help/world.h"

#include <string.h>

/* An arbiter that keeps one decision. Each way takes a millisecond, and so does the rule. */
void world_ask_arbiter(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    struct ft_event event = {.kind = FT_EV_ANSWER, .era = n->asks, .answer = FT_ANSWER_SILENT};

    if (!n->asked_at || w->now < n->asked_at + 3 * FT_MS)
        return;
    n->asked_at = w->now;
    if (!w->arbiter_down && !w->arbiter_cut[i]) {
        n->asked_at = 0;
        if (ft_decides_anew(&w->decision, &n->asks)) {
            w->decision = (struct ft_decision){.any = true, .era = n->asks};
            memcpy(w->decision.winner, n->config.name, sizeof(w->decision.winner));
        }
        event.answer = ft_decided(&w->decision, &n->asks, n->config.name);
    }
    world_step(w, i, &event);
}

void world_release(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    uint64_t to = n->executed;

    if (n->gate == FT_GATE_GUARDED)
        to = w->now + n->clock >= n->lease_until ? 0 : n->stable < to ? n->stable : to;
    if (!n->serving || n->gate == FT_GATE_SHUT || n->order == FT_LANE_FENCED || to <= n->released)
        return;
    n->released = to;
    world_note(w, i, "releases the outputs up to burst %lu", to);
}
