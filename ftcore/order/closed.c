/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed set: which of the bursts the standby holds are recoverable. Owned by the receiver's thread.
 *
 * What a burst needs of another lane is kept as what the whole prefix up to it needs: one access number per
 * lane, never smaller than in the burst before. So a burst takes the same room however many dependencies it
 * had, and where to cut a lane is found by halving.
 *
 * A lane's delta is one more item of its queue. It needs that every lane's prefix has the delta of the same
 * cut, so a prefix has, beside its last access, the number of its last cut; no lane's may be smaller than any
 * other's.
 *
 * The set only ever grows while bursts are added (the union of two closed sets is closed), so what was once
 * inside is forgotten, and only how far it reached is kept.
 */
#include "ftcore/order/closed.h"
#include "ftcore/base/plant.h"

#include <stdlib.h>
#include <string.h>

/* Where a prefix of a lane ends. */
struct end {
    uint64_t burst, access;
    uint64_t cut, cut_burst; /* its last delta, and the burst that it ends at; 0 and the snapshot's: none */
};

struct lane {
    struct end inside;
    uint32_t first;   /* slot of the oldest item not inside */
    uint32_t count;   /* items held but not inside */
    struct end *ends; /* [pending] of the prefix up to and with the item */
    uint64_t *needs;  /* [pending][lanes] access that must be inside for that prefix to be */
};

struct ft_closed {
    unsigned lanes;
    uint32_t pending;
    struct lane lane[FT_LANES_MAX];
};

struct ft_closed *ft_closed_new(unsigned lanes, uint32_t pending)
{
    struct ft_closed *set = calloc(1, sizeof(*set));

    FT_CHECK(lanes > 0 && lanes <= FT_LANES_MAX && pending > 0, "%u lanes, %u pending", lanes, pending);
    if (!set)
        return NULL;
    set->lanes = lanes;
    set->pending = pending;
    for (unsigned i = 0; i < lanes; i++) {
        struct lane *lane = &set->lane[i];

        lane->ends = calloc(pending, sizeof(*lane->ends));
        lane->needs = calloc(pending, lanes * sizeof(*lane->needs));
        if (!lane->ends || !lane->needs) {
            ft_closed_free(set);
            return NULL;
        }
    }
    return set;
}

void ft_closed_free(struct ft_closed *set)
{
    if (!set)
        return;
    for (unsigned i = 0; i < set->lanes; i++) {
        free(set->lane[i].ends);
        free(set->lane[i].needs);
    }
    free(set);
}

void ft_closed_reset(struct ft_closed *set, const uint64_t burst[], const uint64_t access[])
{
    for (unsigned i = 0; i < set->lanes; i++) {
        struct lane *lane = &set->lane[i];

        lane->inside = (struct end){.burst = burst[i], .access = access[i], .cut_burst = burst[i]};
        lane->first = lane->count = 0;
    }
}

void ft_closed_advance(struct ft_closed *set, unsigned lane, uint64_t burst, uint64_t access)
{
    struct lane *l = &set->lane[lane];

    l->inside.burst = burst;
    l->inside.access = access;
    l->first = l->count = 0;
}

/* Slot of the lane's n-th held item, from 0. */
static uint32_t slot_of(const struct ft_closed *set, const struct lane *lane, uint32_t n)
{
    uint64_t at = (uint64_t)lane->first + n;

    return (uint32_t)(at < set->pending ? at : at - set->pending);
}

/* Where the lane ends when its first n held items are taken in. */
static const struct end *end_of(const struct ft_closed *set, const struct lane *lane, uint32_t n)
{
    return n ? &lane->ends[slot_of(set, lane, n - 1)] : &lane->inside;
}

static const struct end *end_held(const struct ft_closed *set, const struct lane *lane)
{
    return end_of(set, lane, lane->count);
}

/* 0, or why the record cannot be added: all that can be wrong is looked at before anything changes. */
static int check_record(const struct ft_closed *set, const struct ft_record *r)
{
    if (r->lane >= set->lanes)
        return FT_EMALFORMED;
    const struct ft_dependency *dependency = ft_record_dependencies(r);
    const struct lane *lane = &set->lane[r->lane];
    const struct end *end = end_held(set, lane);

    if (r->burst != end->burst + 1)
        return FT_EORDER;
    /* A gap in the access numbers would be bridged silently: dependencies to what is missing would count as
     * met. */
    if (r->accesses && r->access != end->access + 1)
        return FT_EORDER;
    for (unsigned i = 0; i < r->dependencies; i++)
        if (dependency[i].lane >= set->lanes || dependency[i].lane == r->lane)
            return FT_EMALFORMED;
    return lane->count < set->pending ? 0 : FT_EFULL;
}

/* One more item, which ends at `end` and needs what is before it; returns its needs. */
static uint64_t *append_item(struct ft_closed *set, struct lane *lane, const struct end *end)
{
    uint32_t at = slot_of(set, lane, lane->count);
    uint64_t *need = &lane->needs[(size_t)at * set->lanes];

    memset(need, 0, set->lanes * sizeof(*need));
    if (lane->count)
        memcpy(need, &lane->needs[(size_t)slot_of(set, lane, lane->count - 1) * set->lanes],
               set->lanes * sizeof(*need));
    lane->ends[at] = *end;
    lane->count++;
    return need;
}

int ft_closed_add(struct ft_closed *set, const struct ft_record *record)
{
    int error = check_record(set, record);

    if (error)
        return error;
    const struct ft_dependency *dependency = ft_record_dependencies(record);
    struct lane *lane = &set->lane[record->lane];
    struct end end = *end_held(set, lane);

    end.burst++;
    end.access += record->accesses;
    uint64_t *need = append_item(set, lane, &end);
    for (unsigned i = 0; i < record->dependencies; i++)
        if (dependency[i].access > need[dependency[i].lane])
            need[dependency[i].lane] = dependency[i].access;
    return 0;
}

int ft_closed_fits(const struct ft_closed *set, const struct ft_chunk *chunk)
{
    if (chunk->lane >= set->lanes)
        return FT_EMALFORMED;
    const struct end *end = end_held(set, &set->lane[chunk->lane]);
    /* Only a delta segment, before which no record is held since the last delta, tells more than is held;
     * behind the first chunk of an incremental checkpoint more may have come. */
    bool incremental = chunk->flags & FT_CHUNK_INCREMENTAL, later = incremental && chunk->number > 0;
    bool records = incremental || end->burst != end->cut_burst;
    bool less = chunk->burst < end->burst || chunk->access < end->access;
    bool more = chunk->burst > end->burst || chunk->access > end->access;

    if (chunk->cut != end->cut + 1 || chunk->from != end->cut_burst || (less && !later) || (more && records))
        return FT_EORDER;
    return 0;
}

int ft_closed_add_delta(struct ft_closed *set, const struct ft_chunk *last)
{
    int error = ft_closed_fits(set, last);

    if (error)
        return error;
    struct lane *lane = &set->lane[last->lane];

    if (lane->count == set->pending)
        return FT_EFULL;
    const struct end *before = end_held(set, lane);

    append_item(set, lane,
                &(struct end){.burst = last->burst > before->burst ? last->burst : before->burst,
                              .access = last->access > before->access ? last->access : before->access,
                              .cut = last->cut,
                              .cut_burst = last->burst});
    return 0;
}

uint64_t ft_closed_cut(const struct ft_closed *set, uint64_t burst[])
{
    for (unsigned i = 0; i < set->lanes; i++)
        burst[i] = set->lane[i].inside.cut_burst;
    return set->lane[0].inside.cut;
}

/* What all lanes have together: the access each has come to, and the cut that every one has passed. */
struct reached {
    uint64_t access[FT_LANES_MAX], cut;
};

static void note_reached(const struct ft_closed *set, const uint32_t count[], struct reached *all)
{
    all->cut = UINT64_MAX;
    for (unsigned i = 0; i < set->lanes; i++) {
        const struct end *end = end_of(set, &set->lane[i], count[i]);

        all->access[i] = end->access;
        all->cut = end->cut < all->cut ? end->cut : all->cut;
    }
}

static bool needs_are_met(const struct ft_closed *set, const struct lane *lane, uint32_t n,
                          const struct reached *all)
{
    uint32_t at = slot_of(set, lane, n - 1);
    const uint64_t *need = &lane->needs[(size_t)at * set->lanes];

    if (lane->ends[at].cut > all->cut && !FT_PLANTED("half-delta"))
        return false;
    if (FT_PLANTED("outside-closed"))
        return true;
    for (unsigned i = 0; i < set->lanes && !FT_PLANTED("open-set"); i++)
        if (need[i] > all->access[i])
            return false;
    return true;
}

/* The longest prefix of at most n held items whose needs are met. */
static uint32_t find_prefix(const struct ft_closed *set, const struct lane *lane, uint32_t n,
                            const struct reached *all)
{
    uint32_t low = 0;

    if (n == 0 || needs_are_met(set, lane, n, all))
        return n;
    for (n--; low < n;) {
        uint32_t middle = n - (n - low) / 2;

        if (needs_are_met(set, lane, middle, all))
            low = middle;
        else
            n = middle - 1;
    }
    return low;
}

bool ft_closed_compute(struct ft_closed *set, uint64_t burst[])
{
    uint32_t count[FT_LANES_MAX];
    struct reached all;
    bool moved = false;

    for (unsigned i = 0; i < set->lanes; i++)
        count[i] = set->lane[i].count;
    note_reached(set, count, &all);
    /* A round that shortens no lane ends it; each that does takes at least one item away, so it does end. */
    for (bool again = true; again;) {
        again = false;
        for (unsigned i = 0; i < set->lanes; i++) {
            uint32_t n = find_prefix(set, &set->lane[i], count[i], &all);

            if (n == count[i])
                continue;
            count[i] = n;
            note_reached(set, count, &all);
            again = true;
        }
    }
    for (unsigned i = 0; i < set->lanes; i++) {
        struct lane *lane = &set->lane[i];

        lane->inside = *end_of(set, lane, count[i]);
        lane->first = slot_of(set, lane, count[i]);
        lane->count -= count[i];
        burst[i] = lane->inside.burst;
        moved |= count[i] > 0;
    }
    return moved;
}
