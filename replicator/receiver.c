/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LOG messages → closed set → the lanes' replay rings. Every record is checked by its decoder before anything
 * of it is kept. Lanes may replay up to the closed set, whose end this publishes; the core acknowledges the
 * same.
 *
 * Capacity: the primary never has more than pending_bytes of a lane outstanding, and the ring holds that and
 * one largest record; a peer that sends more breaks the protocol.
 */
#include "replicator/parts.h"

#include <stdlib.h>
#include <string.h>

int rp_receiver_init(struct rp_replicator *rp)
{
    rp->receiver.closed = ft_closed_new(rp->lanes, RP_PENDING);
    rp->receiver.scratch = aligned_alloc(64, FT_RECORD_MAX);
    return rp->receiver.closed && rp->receiver.scratch ? 0 : FT_ENOMEM;
}

void rp_receiver_free(struct rp_replicator *rp)
{
    ft_closed_free(rp->receiver.closed);
    free(rp->receiver.scratch);
}

void rp_receiver_reset(struct rp_replicator *rp, const struct ft_message *begin)
{
    static const uint64_t none[FT_LANES_MAX];
    const uint64_t *burst = begin ? begin->burst : none;

    ft_closed_reset(rp->receiver.closed, burst, begin ? begin->access : none);
    memcpy(rp->receiver.held, burst, sizeof(rp->receiver.held));
    for (unsigned l = 0; l < rp->lanes; l++)
        atomic_store_explicit(&rp_lane(rp, l)->closed_to, burst[l], memory_order_release);
    /* Lanes stand. What they had published in another life must satisfy nobody in this one. */
    for (unsigned l = 0; rp->config.published && l < rp->lanes; l++)
        atomic_store_explicit(&rp->config.published[l].access, begin ? begin->access[l] : 0,
                              memory_order_release);
}

static int store(struct rp_replicator *rp, const struct ft_record *r, struct ft_fault *fault)
{
    if (r->lane >= rp->lanes)
        return ft_fail(fault, FT_EMALFORMED, "log: a record of lane %u, there are %u", r->lane, rp->lanes);
    int error = ft_closed_add(rp->receiver.closed, r);

    if (error)
        return ft_fail(fault, error, "log: burst %llu of lane %u: %s", (unsigned long long)r->burst, r->lane,
                       ft_error_name(error));
    void *room = ft_ring_reserve(&rp_lane(rp, r->lane)->replay, r->size);

    if (!room)
        return ft_fail(fault, FT_EFULL, "log: more records than this node said it could keep");
    memcpy(room, r, r->size);
    ft_ring_publish(&rp_lane(rp, r->lane)->replay, r->size);
    rp->shown.records_stored++;
    return 0;
}

/*
 * Lets lanes replay what is closed. Not while they want to stand still together: then closed_to stays as it
 * is in all of them, a closed set that every lane can reach.
 */
void rp_receiver_publish(struct rp_replicator *rp)
{
    struct ft_lane *first = rp_lane(rp, 0);
    uint64_t still = atomic_load_explicit(&first->still, memory_order_acquire);

    atomic_store_explicit(&first->still_seen, still, memory_order_release);
    for (unsigned l = 0; !still && l < rp->lanes; l++)
        atomic_store_explicit(&rp_lane(rp, l)->closed_to, rp->receiver.held[l], memory_order_release);
}

int rp_receiver_take(struct rp_replicator *rp, const struct ft_message *m, struct ft_fault *fault)
{
    uint32_t at = 0;

    while (at < m->bulk_len) {
        long n = ft_record_decode(m->bulk + at, m->bulk_len - at, rp->receiver.scratch, FT_RECORD_MAX, fault);

        if (n < 0)
            return (int)n;
        int error = store(rp, rp->receiver.scratch, fault);

        if (error)
            return error;
        at += (uint32_t)n;
    }
    ft_closed_compute(rp->receiver.closed, rp->receiver.held);
    rp_receiver_publish(rp);
    return 0;
}
