/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log rings → LOG messages. Reads the lanes' rings; what it may send is bounded by the link's room and by the
 * standby's credit: bytes of records sent and not yet replayed there stay below pending_bytes. When either is
 * used up the records stay in the ring, the ring fills, and the lane stops receiving.
 */
#include "replicator/parts.h"

#include <stdlib.h>
#include <string.h>

int rp_sender_init(struct rp_replicator *rp)
{
    rp->sender.bulk = malloc(FT_BULK_MAX);
    rp->sender.clocks = calloc(rp->lanes, sizeof(*rp->sender.clocks));
    return rp->sender.bulk && rp->sender.clocks ? 0 : FT_ENOMEM;
}

void rp_sender_free(struct rp_replicator *rp)
{
    free(rp->sender.bulk);
    free(rp->sender.clocks);
}

static bool has_credit(struct rp_replicator *rp, unsigned lane, const struct ft_record *r)
{
    return rp->sender.sent[lane] + r->size <= rp->core.peer_taken[lane] + rp->config.pending_bytes;
}

static void note_sent(struct rp_replicator *rp, const struct ft_record *r)
{
    struct rp_sender *s = &rp->sender;

    s->sent[r->lane] += r->size;
    s->clock[r->lane] = r->clock + r->inputs;
    s->clocks[r->lane][r->burst % RP_CLOCKS] = s->clock[r->lane];
    rp->shown.records_sent++;
    rp->shown.log_bytes_raw += r->size;
}

/* Encodes what one lane's ring holds behind bulk[0..len). Returns the new length. */
static uint32_t gather(struct rp_replicator *rp, unsigned l, uint32_t len, uint32_t most)
{
    struct ft_lane *lane = rp_lane(rp, l);
    uint64_t there;
    const struct ft_record *r;

    while ((r = ft_ring_peek(&lane->log, &there))) {
        if (rp->sender.on && r->burst > rp->sender.from[l]) {
            if (len >= most || len + ft_record_bound(r) > FT_BULK_MAX)
                break;
            if (!has_credit(rp, l, r)) {
                rp->shown.credit_waits++;
                break;
            }
            long n = ft_record_encode(r, rp->sender.bulk + len, FT_BULK_MAX - len);

            FT_CHECK(n > 0, "lane %u's record of burst %llu cannot be encoded: %s", l,
                     (unsigned long long)r->burst, ft_error_name((int)n));
            len += (uint32_t)n;
            note_sent(rp, r);
        }
        /* Nobody wants it: there is no standby, or its base has it already. */
        ft_ring_advance(&lane->log, r->size);
    }
    return len;
}

bool rp_sender_turn(struct rp_replicator *rp)
{
    size_t room = rp_link_room(rp->link);
    uint32_t most = room < RP_BATCH ? (uint32_t)room : RP_BATCH, len = 0;
    struct ft_message m;

    if (rp->sender.on && room < FT_RECORD_MAX)
        return false;
    /* A busy lane that comes first each time would leave nothing to the others. */
    rp->sender.first = (rp->sender.first + 1) % rp->lanes;
    for (unsigned i = 0; i < rp->lanes; i++)
        len = gather(rp, (rp->sender.first + i) % rp->lanes, len, most);
    if (len) {
        ft_core_head(&rp->core, FT_MSG_LOG, rp->now, &m);
        m.bulk = rp->sender.bulk;
        m.bulk_len = len;
        int error = rp_link_send(rp->link, &m, rp->lanes, &rp->sender.packer);

        FT_CHECK(error == 0, "the link has no room for %u bytes though it said so", len);
        rp->shown.log_bytes_wire += len;
    }
    for (unsigned l = 0; l < rp->lanes; l++)
        ft_ring_consume(&rp_lane(rp, l)->log);
    return len > 0;
}

uint64_t rp_sender_lag(const struct rp_replicator *rp)
{
    uint64_t lag = 0;

    if (!rp->sender.on)
        return 0;
    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t replayed = rp->sender.clocks[l][rp->core.peer_replayed[l] % RP_CLOCKS];

        if (replayed && rp->sender.clock[l] > replayed)
            lag += rp->sender.clock[l] - replayed;
    }
    return lag;
}
