/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed set: which of the bursts the standby holds are recoverable. Owned by the receiver's thread,
 * which adds bursts as records arrive and computes once per batch; nobody else reads or writes it.
 *
 * A prefix of a lane contains all bursts before its end, so what a burst needs of another lane is kept as
 * what the whole prefix up to it needs: one access number per lane, never smaller than in the burst before.
 * So a burst takes the same room however many edges it had, and where to cut a lane is found by halving.
 *
 * The set only ever grows while bursts are added (the union of two closed sets is closed), so what was once
 * inside need not be looked at again: it is forgotten, and only how far it reached is kept.
 */
#include "ftcore/closed.h"
#include "ftcore/plant.h"

#include <stdlib.h>
#include <string.h>

struct lane {
    uint64_t burst;  /* last burst inside */
    uint64_t access; /* last access of the bursts inside */
    uint32_t first;  /* slot of the oldest burst not inside */
    uint32_t count;  /* bursts held but not inside */
    uint64_t *ends;  /* [pending] last access up to and in the burst */
    uint64_t *needs; /* [pending][lanes] access that must be inside for the prefix ending here to be */
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

        lane->burst = burst[i];
        lane->access = access[i];
        lane->first = lane->count = 0;
    }
}

/* Slot of the lane's n-th held burst, from 0. */
static uint32_t slot(const struct ft_closed *set, const struct lane *lane, uint32_t n)
{
    uint64_t at = (uint64_t)lane->first + n;

    return (uint32_t)(at < set->pending ? at : at - set->pending);
}

/* Last access of the lane when its first n held bursts are taken in. */
static uint64_t reach(const struct ft_closed *set, const struct lane *lane, uint32_t n)
{
    return n ? lane->ends[slot(set, lane, n - 1)] : lane->access;
}

static const struct ft_edge *record_edges(const struct ft_record *r)
{
    return (const void *)((const uint8_t *)r + ft_record_edges_at(r));
}

/* All that can be wrong is looked at before anything changes. */
static int refuse(const struct ft_closed *set, const struct ft_record *r)
{
    if (r->lane >= set->lanes)
        return FT_EMALFORMED;
    const struct ft_edge *edge = record_edges(r);
    const struct lane *lane = &set->lane[r->lane];

    if (r->burst != lane->burst + lane->count + 1)
        return FT_EORDER;
    /* A gap in the access numbers would be bridged silently: edges to what is missing would count as met. */
    if (r->accesses && r->access != reach(set, lane, lane->count) + 1)
        return FT_EORDER;
    for (unsigned i = 0; i < r->edges; i++)
        if (edge[i].lane >= set->lanes || edge[i].lane == r->lane)
            return FT_EMALFORMED;
    return lane->count < set->pending ? 0 : FT_EFULL;
}

int ft_closed_add(struct ft_closed *set, const struct ft_record *record)
{
    int error = refuse(set, record);

    if (error)
        return error;
    const struct ft_edge *edge = record_edges(record);
    struct lane *lane = &set->lane[record->lane];
    uint32_t at = slot(set, lane, lane->count);
    uint64_t *need = &lane->needs[(size_t)at * set->lanes];

    if (lane->count)
        memcpy(need, &lane->needs[(size_t)slot(set, lane, lane->count - 1) * set->lanes],
               set->lanes * sizeof(*need));
    else
        memset(need, 0, set->lanes * sizeof(*need));
    for (unsigned i = 0; i < record->edges; i++)
        if (edge[i].access > need[edge[i].lane])
            need[edge[i].lane] = edge[i].access;
    lane->ends[at] = reach(set, lane, lane->count) + record->accesses;
    lane->count++;
    return 0;
}

static bool met(const struct ft_closed *set, const struct lane *lane, uint32_t n, const uint64_t have[])
{
    const uint64_t *need = &lane->needs[(size_t)slot(set, lane, n - 1) * set->lanes];

    for (unsigned i = 0; i < set->lanes && !FT_PLANTED("open-set"); i++)
        if (need[i] > have[i])
            return false;
    return true;
}

/* The longest prefix of at most n held bursts whose needs are met. */
static uint32_t cut(const struct ft_closed *set, const struct lane *lane, uint32_t n, const uint64_t have[])
{
    uint32_t low = 0;

    if (n == 0 || met(set, lane, n, have))
        return n;
    for (n--; low < n;) {
        uint32_t middle = n - (n - low) / 2;

        if (met(set, lane, middle, have))
            low = middle;
        else
            n = middle - 1;
    }
    return low;
}

bool ft_closed_compute(struct ft_closed *set, uint64_t burst[])
{
    uint64_t have[FT_LANES_MAX];
    uint32_t count[FT_LANES_MAX];
    bool moved = false;

    for (unsigned i = 0; i < set->lanes; i++) {
        count[i] = set->lane[i].count;
        have[i] = reach(set, &set->lane[i], count[i]);
    }
    /* A round without a cut ends it; each cut takes at least one burst away, so it does end. */
    for (bool again = true; again;) {
        again = false;
        for (unsigned i = 0; i < set->lanes; i++) {
            uint32_t n = cut(set, &set->lane[i], count[i], have);

            if (n == count[i])
                continue;
            count[i] = n;
            have[i] = reach(set, &set->lane[i], n);
            again = true;
        }
    }
    for (unsigned i = 0; i < set->lanes; i++) {
        struct lane *lane = &set->lane[i];

        lane->burst += count[i];
        lane->access = have[i];
        lane->first = slot(set, lane, count[i]);
        lane->count -= count[i];
        burst[i] = lane->burst;
        moved |= count[i] > 0;
    }
    return moved;
}
