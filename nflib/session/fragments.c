/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams of which a first fragment has passed: to which session their later ones belong. Owns the map of
 * them and the list in which they lie in the order of arrival, by the map's slots; in a full map the oldest
 * gives way, so that nobody's fragments keep out those of others. The lane writes and reads both; timers
 * behind those of records (table.h) end a datagram after 30 s.
 */
#include "nflib/session/table.h"

#define LIFE (30 * NF_SECOND)

void nf_fragments_remove(const struct nf *nf, const struct nf_sessions *t, uint32_t slot)
{
    nf_wheel_cancel(nf, t->wheel, t->capacity + slot);
    nf_list_remove(nf, t->by_arrival, NF_EDIT(nf, &t->arrived), slot);
    nf_map_remove(nf, t->fragments, slot);
}

bool nf_fragments_note(const struct nf *nf, const struct nf_sessions *t, const struct nf_datagram *datagram,
                       struct nf_noted noted, uint64_t now)
{
    uint32_t slot = nf_map_find(t->fragments, datagram);
    bool full = slot == NF_NONE && nf_map_count(t->fragments) == nf_map_capacity(t->fragments);

    if (full)
        nf_fragments_remove(nf, t, nf_list_first(&t->arrived));
    if (slot == NF_NONE)
        slot = nf_map_add(nf, t->fragments, datagram);
    else
        nf_list_remove(nf, t->by_arrival, NF_EDIT(nf, &t->arrived), slot);
    nf_list_insert(nf, t->by_arrival, NF_EDIT(nf, &t->arrived), slot, NF_NONE);
    *NF_EDIT(nf, (const struct nf_noted *)nf_map_value(t->fragments, slot)) = noted;
    nf_wheel_set(nf, t->wheel, t->capacity + slot, now + LIFE);
    return full;
}

/* ---- checking what came from a peer -------------------------------------------------------------- */

static int check_noted(struct nf_check *c, const struct nf_sessions *t, uint32_t slot)
{
    const struct nf_noted *noted = nf_map_value(t->fragments, slot);
    bool used = nf_map_has(t->fragments, slot);

    if (used != nf_wheel_has(t->wheel, t->capacity + slot))
        return nf_check_failed(c, "fragment %u %s", slot, used ? "has no timer" : "has a timer and is none");
    if (used != nf_list_has(t->by_arrival, slot))
        return nf_check_failed(c, "fragment %u %s", slot,
                               used ? "is not in the list of arrival"
                                    : "is in the list of arrival and is none");
    if (used && ((noted->record != NF_NONE && noted->record >= t->capacity) || noted->reply > 1))
        return nf_check_failed(c, "fragment %u belongs to session %u, reply %u, expected one below %u", slot,
                               noted->record, noted->reply, t->capacity);
    return 0;
}

int nf_fragments_check(struct nf_check *c, const struct nf_sessions *t)
{
    int error;

    if (!t->fragments)
        return 0;
    for (uint32_t slot = 0; slot < nf_map_capacity(t->fragments); slot++) {
        nf_check_step(c);
        if ((error = check_noted(c, t, slot)) != 0)
            return error;
    }
    error = nf_list_check(c, t->by_arrival, &t->arrived, nf_map_count(t->fragments), NULL);
    return error < 0 ? error : 0;
}
