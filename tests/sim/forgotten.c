/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node comes back in an older view than the last of its life: it died before the writer had put that one on
 * the disk (docs/guarantees.md, "Views and the disk"). What is promised then: somebody else knows the view,
 * or holds no state that is older; or, of a primary alone that is not strict, what left in that view is
 * contradicted. Never after a handover. A view that the writer has said to be on the disk is never forgotten.
 */
#include "tests/sim/sim.h"

#include <stdio.h>

void sim_saw_return(struct sim_node *n, uint64_t view)
{
    const struct sim_node *other = sim_peer(n) ? sim_peer(n) : n;
    uint64_t lived = n->lived, said = n->stored, known = view, peer = 0, left_there = 0;
    bool holds = other->alive && (other->history || other->follows);
    uint64_t epoch = other->history ? other->history->epoch : other->follows ? other->follows->epoch : 0;

    n->lived = n->stored = view;
    if (sim.plan.liar || view >= lived || n->blank) {
        n->blank = false;
        return;
    }
    if (view < said)
        sim_fail("%s comes back in view %lu, and view %lu was said to be on its disk", n->name, view, said);
    if (other->alive ? (peer = sim_core(other)->view)
                     : sscanf(other->view_file, "understudy view %lu", &peer) == 1)
        known = peer > known ? peer : known;
    if (known >= lived)
        return;
    holds &= view <= peer; /* else it is fenced by what the file has */
    sim.count.forgotten++;
    sim_tell(n->index, "has forgotten view %lu, and the newest that anybody knows is %lu", lived, known);
    if (sim.reign > known) {
        sim.reign = known;
        sim.reigns_node = other->alive && ft_core_primary(sim_core(other)) ? other->index : n->index;
    }
    for (struct sim_history *h = sim.histories; h && holds; h = h->next)
        h->forgotten |= h->epoch == epoch && h->view > known;
    for (struct sim_left *left = sim.left; left && holds; left = left->next)
        if (left->view > known && left->history->epoch == epoch && !left->apart) {
            left->apart = true;
            left_there++;
        }
    if (left_there && sim.plan.strict)
        sim_fail("G3: %s has released %lu outputs in view %lu, which nobody knows, though the pair is strict",
                 n->name, left_there, lived);
    else if (left_there && n->by_handover)
        sim_fail("G3: %s has released %lu outputs after a handover, in view %lu, which nobody knows", n->name,
                 left_there, lived);
}
