/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a delta would carry of a lane's outputs, in bytes. The policy compares it with what the log takes, and
 * a delta must not grow larger than the standby has room for; so it is asked for every burst, and found out
 * once, where capture looks at each packet anyway. Only a burst of which a packet was dropped is looked at
 * again.
 */
#include "node/lane.h"
#include "nflib/chain.h"

#define HEADERS 192u /* bytes of a frame that capture takes at most where no NF reads payload */

uint32_t nd_lane_weight(const struct nd_lane *lane, const struct nf_packet *p)
{
    uint32_t headers;

    if (lane->config->protect.tail == ND_TAIL_SUPPRESS)
        return 0;
    if (lane->whole_capture)
        return p->len;
    headers = nf_packet_header_bytes(p);
    return headers == p->len || lane->io->complete ? headers : 0;
}

/* Packet by packet, of those that pass. */
static uint64_t weigh_passed(const struct nd_lane *lane)
{
    /* Where kinds are compared; else at most this much, for what the standby has room for. */
    bool exact = lane->config->protect.mode == ND_MODE_AUTO;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < lane->n; i++) {
        const struct nf_packet *p = &lane->packets[i];
        uint32_t have = exact                 ? nd_lane_weight(lane, p)
                        : lane->whole_capture ? p->len
                                              : (p->len < HEADERS ? p->len : HEADERS);

        if (!p->drop && p->out_port < lane->io->ports)
            sum += nd_output_bytes(have);
    }
    return sum;
}

void nd_lane_weigh(struct nd_lane *lane, uint32_t passed, uint32_t made_bytes)
{
    uint64_t sum = 0;

    if (lane->config->protect.tail != ND_TAIL_SUPPRESS)
        sum = made_bytes + (lane->weighs && passed == lane->n ? lane->burst_weight : weigh_passed(lane));
    lane->tally.out_bytes += sum;
    lane->weighed += sum;
}
