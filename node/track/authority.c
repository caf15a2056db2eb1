/* SPDX-License-Identifier: Apache-2.0 */
/* The rule by which the role moves; see authority.h. No state. */
#include "node/track/authority.h"

#include <stddef.h>

static bool is_over(uint64_t since, uint64_t time, uint64_t now)
{
    return since == 0 || now - since >= time;
}

/* What would move the role if it could: the counters first. */
static enum nd_move find_reason(const struct nd_authority *a)
{
    if (a->held || a->pinned == ND_WANTED_OWN || !a->told)
        return ND_STAY;
    if (a->own != a->other)
        return a->own > a->other ? ND_MOVE_COUNTER : ND_STAY;
    if (a->pinned == ND_WANTED_OTHER)
        return ND_MOVE_PIN;
    return a->preferred == ND_WANTED_OTHER && a->returns ? ND_MOVE_RETURN : ND_STAY;
}

/* Why nothing moves; NULL: nothing wants to. */
static const char *explain_stay(const struct nd_authority *a)
{
    if (a->told && a->own > a->other && a->held)
        return "an operator holds the role where it is";
    if (a->told && a->own > a->other && a->pinned == ND_WANTED_OWN)
        return "an operator has pinned the role to this node";
    if (a->told && a->own < a->other && a->pinned == ND_WANTED_OTHER)
        return "the node that it is pinned to has the higher counter";
    if (a->told && a->own == a->other && a->preferred == ND_WANTED_OTHER && a->pinned == ND_WANTED_ANY &&
        !a->held && !a->returns)
        return "the other node is preferred: understudy failback";
    return NULL;
}

enum nd_move nd_authority_decide(const struct nd_authority *a, const char **why)
{
    static const char *const reasons[] = {[ND_MOVE_COUNTER] = "its counter is lower",
                                          [ND_MOVE_PIN] = "an operator has pinned the role to it",
                                          [ND_MOVE_RETURN] = "it is preferred, and the pair is well"};
    enum nd_move move = find_reason(a);

    *why = move ? reasons[move] : explain_stay(a);
    if (!move)
        return ND_STAY;
    if (!a->serves)
        *why = "the standby is not READY";
    else if (!a->whole)
        *why = "the standby could not carry traffic";
    else if (!is_over(a->moved, a->hold_down_ns, a->now))
        *why = "the role has moved within hold_down_s";
    else if (!is_over(a->tried, ND_RETRY_NS, a->now))
        *why = "the last handover did not happen";
    else if (move == ND_MOVE_COUNTER && (!a->higher_since || !is_over(a->higher_since, a->settle_ns, a->now)))
        *why = "the counters have differed for a moment only";
    else if (move != ND_MOVE_COUNTER && (!a->equal_since || !is_over(a->equal_since, ND_SETTLE_NS, a->now)))
        *why = "the counters have been equal for a moment only";
    else if (move == ND_MOVE_RETURN && !is_over(a->equal_since, a->return_after_ns, a->now))
        *why = "the time of failback is not over";
    else
        return move;
    return ND_STAY;
}

bool nd_tracked_note(struct nd_tracked *t, bool good)
{
    if (good != t->failed) {
        t->streak = 0;
        return false;
    }
    if (++t->streak < (t->failed ? t->rise : t->fall))
        return false;
    t->streak = 0;
    t->failed = !t->failed;
    return true;
}
