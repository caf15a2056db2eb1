/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may go wrong where a lane records packets by their sessions (capture_sessions in lane/turn.c), as
 * planted bugs (ftcore/base/plant.h). In the product the calls, which lane/parts.h has, leave no code.
 *
 *   told-neighbour  what was looked up for the packet before it is taken for the packet's own
 *   told-reused     a flow goes on to be identified by the number that its session had first, though
 *                   that one has ended and the number is another session's
 *   told-other-key  the other one of the session's two keys
 *   told-fragment   a datagram's first fragment is taken for a whole packet
 *   told-tagged     a packet with two VLAN tags is taken for one without
 *   told-marked     the DSCP is what NFs have made of it, not what came in
 *
 * "told-ended" and "told-first-key", which are the standby's mistakes, are in nflib/session/look_up.c.
 */
#include "lane/parts.h"
#include "ftcore/base/plant.h"
#include "nflib/chain/chain.h"
#include "nflib/session/index.h"

#include <stddef.h>

#define ND_PLANTED_FLOWS 4096u /* of which the number is remembered */

/* Flows of all lanes that the thread runs, by hash and seed, which is another one in each life of a node. */
static uint32_t number_of_flow(const struct nd_lane *lane, uint64_t hash, uint32_t key)
{
    static _Thread_local struct {
        uint64_t flow, burst;
        uint32_t key;
    } noted[ND_PLANTED_FLOWS];
    uint64_t flow = hash ^ lane->setup.seed, burst = nf_chain_state(lane->chain)->burst;
    uint32_t at = (uint32_t)(flow >> 20) % ND_PLANTED_FLOWS;

    if (noted[at].flow != flow || noted[at].burst > burst) { /* it is new, or of the same seed's run before */
        noted[at].flow = flow;
        noted[at].burst = burst;
        noted[at].key = key;
    }
    return noted[at].key;
}

/* What the record has of packet `p`, the burst's `i`, where it should have `identity`. */
struct nf_session_input nd_planted_input(const struct nd_lane *lane, const struct nf_sessions_lane *found,
                                         const struct nf_packet *p, uint32_t i,
                                         struct nf_session_input identity)
{
    struct nf_packet other = *p;

    if (!found)
        return identity;
    if (FT_PLANTED("told-neighbour") && identity.key != NF_NONE && i)
        return nf_session_input_of(found, p, i - 1);
    if (FT_PLANTED("told-reused") && identity.key != NF_NONE)
        identity.key = number_of_flow(lane, found->look[i].hash, identity.key);
    if (FT_PLANTED("told-other-key") && identity.key != NF_NONE)
        identity.key ^= 1;
    if (FT_PLANTED("told-fragment") && p->flags & NF_P_FRAGMENT) {
        other.flags &= (uint16_t)~NF_P_FRAGMENT;
        return nf_session_input_of(found, &other, i);
    }
    if (FT_PLANTED("told-tagged") && p->flags & NF_P_VLAN && p->l3 == 14 + 8) {
        other.flags &= (uint16_t)~NF_P_VLAN;
        other.data += 8; /* so that the IP header is where it is without tags */
        return nf_session_input_of(found, &other, i);
    }
    return identity;
}

/* When the chain has run: into the record that was captured before. */
void nd_planted_marks(const struct nd_lane *lane)
{
    struct lg_cursor cursor = {.record = lane->capture.record};
    const struct nf_packet *p = lane->burst.packets;
    const struct ft_input *in;
    uint8_t *bytes;

    for (; FT_PLANTED("told-marked") && (in = lg_cursor_input(&cursor, &bytes)); p++)
        if (in->flags & FT_IN_SESSION)
            bytes[offsetof(struct nf_session_input, tos)] = p->data[p->l3 + 1];
}
