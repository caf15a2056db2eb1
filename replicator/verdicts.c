/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdicts on digests: those of a standby's lanes go to the primary, which notes them for status and for who
 * asked. A verdict on one digest names the burst that it came with; one on a round of slices names none.
 */
#include "replicator/parts.h"

#include <string.h>

/* False: there is no room for it now. */
static bool send_verdict(struct rp_replicator *rp, unsigned lane, uint64_t burst, uint64_t expected,
                         uint64_t got)
{
    struct ft_message m;

    ft_core_head(&rp->core, FT_MSG_VERDICT, rp->now, &m);
    m.lane = (uint16_t)lane;
    m.burst[0] = burst;
    m.number = expected;
    m.number2 = got;
    return rp_link_send(rp->link, &m, rp->lanes, NULL) != FT_EFULL;
}

void rp_send_verdicts(struct rp_replicator *rp)
{
    if (!rp->core.peer.known)
        return;
    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane *lane = rp_lane(rp, l);
        uint64_t burst = FT_REPORT_GET(lane, digest_burst), round = FT_REPORT_GET(lane, round_ns), slices;

        if (burst == rp->digest_sent[l] ||
            send_verdict(rp, l, burst, FT_REPORT_GET(lane, expected), FT_REPORT_GET(lane, got)))
            rp->digest_sent[l] = burst;
        slices = FT_REPORT_GET(lane, round_slices);
        if (round == rp->round_sent[l] || !round || send_verdict(rp, l, 0, slices, slices))
            rp->round_sent[l] = round;
    }
}

void rp_take_verdict(struct rp_replicator *rp, const struct ft_message *m)
{
    struct rp_verdicts *v = &rp->verdicts;

    if (rp->core.resync)
        return; /* on a state that the standby is to give up, or has given up since */
    if (m->burst[0] == 0) {
        v->round_at[m->lane] = rp->now;
        v->slices_equal += m->number;
        return;
    }
    v->last[m->lane] = (struct rp_verdict){m->burst[0], m->number, m->number2};
    v->different += m->number != m->number2;
}

void rp_forget_rounds(struct rp_replicator *rp)
{
    memset(rp->verdicts.round_at, 0, sizeof(rp->verdicts.round_at));
}

bool rp_verdict_find(const struct rp_verdicts *verdicts, unsigned lanes, const uint64_t bursts[],
                     struct rp_verdict *out)
{
    const struct rp_verdict *v, *last = verdicts->last;
    bool all = true;

    *out = last[0];
    for (v = last; v < last + lanes; v++) {
        if (v->burst != bursts[v - last]) {
            all = false;
            continue;
        }
        if (v->expected != v->got) {
            *out = *v;
            return true;
        }
        if (all && v->expected != last[0].expected)
            out->got = v->got; /* lanes that say two things of one digest */
    }
    return all;
}
