/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed set: which of the bursts the standby holds are recoverable; see closed.h.
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
 *
 * A lane's items are a ring: who adds writes items and `held`, who computes reads them up to there and writes
 * `taken`. What is computed of items that are a moment old is a closed set as well, only a smaller one.
 */
#include "ftcore/order/closed.h"
#include "ftcore/base/cpu.h"
#include "ftcore/base/plant.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Where a prefix of a lane ends. */
struct end {
    uint64_t burst, access;
    uint64_t cut, cut_burst; /* its last delta, and the burst that it ends at; 0 and the snapshot's: none */
};

struct lane {
    /* Who adds. */
    _Alignas(64) struct end last; /* where what is held ends */
    _Atomic uint64_t held;        /* items ever added */
    uint64_t from;                /* items before this one are inside for another reason */
    /* Who computes. */
    _Alignas(64) struct end inside;
    _Atomic uint64_t taken;         /* items ever inside */
    _Atomic uint64_t burst, access; /* of `inside`, for all */
    /* Item n lies in slot n & mask. */
    struct end *ends; /* [slot] of the prefix up to and with the item */
    uint64_t *needs;  /* [slot][lanes] access that must be inside for that prefix to be */
};

struct ft_closed {
    unsigned lanes;
    uint32_t pending;
    uint64_t mask; /* slots, a power of two, less one */
    atomic_flag claimed;
    bool shut; /* by who has claimed it */
    struct lane lane[FT_LANES_MAX];
};

struct ft_closed *ft_closed_new(unsigned lanes, uint32_t pending)
{
    struct ft_closed *set = aligned_alloc(64, sizeof(*set));

    FT_CHECK(lanes > 0 && lanes <= FT_LANES_MAX && pending > 0, "%u lanes, %u pending", lanes, pending);
    if (!set)
        return NULL;
    memset(set, 0, sizeof(*set));
    atomic_flag_clear(&set->claimed);
    set->lanes = lanes;
    set->pending = pending;
    while (set->mask + 1 < pending)
        set->mask = 2 * set->mask + 1;
    for (unsigned i = 0; i < lanes; i++) {
        struct lane *lane = &set->lane[i];

        lane->ends = calloc(set->mask + 1, sizeof(*lane->ends));
        lane->needs = calloc(set->mask + 1, lanes * sizeof(*lane->needs));
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

bool ft_closed_claim(struct ft_closed *set)
{
    return !atomic_flag_test_and_set_explicit(&set->claimed, memory_order_acquire);
}

void ft_closed_release(struct ft_closed *set)
{
    atomic_flag_clear_explicit(&set->claimed, memory_order_release);
}

void ft_closed_shut(struct ft_closed *set)
{
    while (!ft_closed_claim(set))
        ft_pause();
    set->shut = true;
    ft_closed_release(set);
}

uint64_t ft_closed_burst(const struct ft_closed *set, unsigned lane)
{
    return atomic_load_explicit(&set->lane[lane].burst, memory_order_acquire);
}

uint64_t ft_closed_access(const struct ft_closed *set, unsigned lane)
{
    return atomic_load_explicit(&set->lane[lane].access, memory_order_acquire);
}

static void publish_inside(struct lane *lane)
{
    atomic_store_explicit(&lane->access, lane->inside.access, memory_order_release);
    atomic_store_explicit(&lane->burst, lane->inside.burst, memory_order_release);
}

void ft_closed_reset(struct ft_closed *set, const uint64_t burst[], const uint64_t access[])
{
    set->shut = false;
    for (unsigned i = 0; i < set->lanes; i++) {
        struct lane *lane = &set->lane[i];
        uint64_t held = atomic_load_explicit(&lane->held, memory_order_relaxed);

        lane->last = lane->inside =
            (struct end){.burst = burst[i], .access = access[i], .cut_burst = burst[i]};
        lane->from = held;
        atomic_store_explicit(&lane->taken, held, memory_order_relaxed);
        publish_inside(lane);
    }
}

void ft_closed_advance(struct ft_closed *set, unsigned lane, uint64_t burst, uint64_t access)
{
    struct lane *l = &set->lane[lane];

    l->last.burst = burst;
    l->last.access = access;
    l->from = atomic_load_explicit(&l->held, memory_order_relaxed);
}

static uint64_t *needs_of(const struct ft_closed *set, const struct lane *lane, uint64_t item)
{
    return &lane->needs[(item & set->mask) * set->lanes];
}

static bool is_full(const struct ft_closed *set, const struct lane *lane)
{
    return atomic_load_explicit(&lane->held, memory_order_relaxed) -
               atomic_load_explicit(&lane->taken, memory_order_acquire) ==
           set->pending;
}

/* 0, or why the record cannot be added: all that can be wrong is looked at before anything changes. */
static int check_record(const struct ft_closed *set, const struct ft_record *r)
{
    if (r->lane >= set->lanes)
        return FT_EMALFORMED;
    const struct ft_dependency *dependency = ft_record_dependencies(r);
    const struct lane *lane = &set->lane[r->lane];
    const struct end *end = &lane->last;

    if (r->burst != end->burst + 1)
        return FT_EORDER;
    /* A gap in the access numbers would be bridged silently: dependencies to what is missing would count as
     * met. */
    if (r->accesses && r->access != end->access + 1)
        return FT_EORDER;
    for (unsigned i = 0; i < r->dependencies; i++)
        if (dependency[i].lane >= set->lanes || dependency[i].lane == r->lane)
            return FT_EMALFORMED;
    return is_full(set, lane) ? FT_EFULL : 0;
}

/* One more item, which ends at `end` and needs what is before it, and that. */
static void append_item(struct ft_closed *set, struct lane *lane, const struct end *end,
                        const struct ft_dependency *dependency, unsigned dependencies)
{
    uint64_t held = atomic_load_explicit(&lane->held, memory_order_relaxed);
    uint64_t *need = needs_of(set, lane, held);

    if (held > lane->from)
        memmove(need, needs_of(set, lane, held - 1), set->lanes * sizeof(*need));
    else
        memset(need, 0, set->lanes * sizeof(*need));
    for (unsigned i = 0; i < dependencies; i++)
        if (dependency[i].access > need[dependency[i].lane])
            need[dependency[i].lane] = dependency[i].access;
    lane->ends[held & set->mask] = lane->last = *end;
    atomic_store_explicit(&lane->held, held + 1, memory_order_release);
}

int ft_closed_add(struct ft_closed *set, const struct ft_record *record)
{
    int error = check_record(set, record);

    if (error)
        return error;
    struct lane *lane = &set->lane[record->lane];
    struct end end = lane->last;

    end.burst++;
    end.access += record->accesses;
    append_item(set, lane, &end, ft_record_dependencies(record), record->dependencies);
    return 0;
}

int ft_closed_fits(const struct ft_closed *set, const struct ft_chunk *chunk)
{
    if (chunk->lane >= set->lanes)
        return FT_EMALFORMED;
    const struct end *end = &set->lane[chunk->lane].last;
    /* Only a delta segment, before which no record is held since the last delta, may cover more bursts than
     * are held; behind the first chunk of an incremental checkpoint more may have come. */
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

    if (is_full(set, lane))
        return FT_EFULL;
    const struct end *before = &lane->last;
    const struct end end = {.burst = last->burst > before->burst ? last->burst : before->burst,
                            .access = last->access > before->access ? last->access : before->access,
                            .cut = last->cut,
                            .cut_burst = last->burst};

    append_item(set, lane, &end, NULL, 0);
    return 0;
}

uint64_t ft_closed_cut(const struct ft_closed *set, uint64_t burst[])
{
    for (unsigned i = 0; i < set->lanes; i++)
        burst[i] = set->lane[i].inside.cut_burst;
    return set->lane[0].inside.cut;
}

/* What a computation works on: of each lane, how much is held and known, and how much is left of that. */
struct attempt {
    const struct ft_known *known;  /* [lanes], or NULL */
    uint64_t taken[FT_LANES_MAX];  /* items before this one are inside */
    uint32_t count[FT_LANES_MAX];  /* items behind it that may be */
    uint64_t access[FT_LANES_MAX]; /* with them, the last access of each */
    uint64_t cut;                  /* and the last cut that all have passed */
};

/* Where the lane ends when `n` of its held items are inside. */
static const struct end *end_of(const struct ft_closed *set, const struct attempt *a, unsigned lane,
                                uint32_t n)
{
    const struct lane *l = &set->lane[lane];

    return n ? &l->ends[(a->taken[lane] + n - 1) & set->mask] : &l->inside;
}

static void note_reached(const struct ft_closed *set, struct attempt *a)
{
    a->cut = UINT64_MAX;
    for (unsigned i = 0; i < set->lanes; i++) {
        const struct end *end = end_of(set, a, i, a->count[i]);

        a->access[i] = a->known && a->known[i].access > end->access ? a->known[i].access : end->access;
        a->cut = end->cut < a->cut ? end->cut : a->cut;
    }
}

static bool needs_are_met(const struct ft_closed *set, const struct attempt *a, unsigned lane, uint32_t n)
{
    const struct end *end = end_of(set, a, lane, n);
    const uint64_t *need = needs_of(set, &set->lane[lane], a->taken[lane] + n - 1);

    if (end->cut > a->cut && !FT_PLANTED("half-delta"))
        return false;
    if (FT_PLANTED("outside-closed") || (a->known && end->burst <= a->known[lane].burst))
        return true;
    for (unsigned i = 0; i < set->lanes && !FT_PLANTED("open-set"); i++)
        if (need[i] > a->access[i])
            return false;
    return true;
}

/* The longest prefix of the items that may be inside whose needs are met. */
static uint32_t find_prefix(const struct ft_closed *set, const struct attempt *a, unsigned lane)
{
    uint32_t low = 0, n = a->count[lane];

    if (n == 0 || needs_are_met(set, a, lane, n))
        return n;
    for (n--; low < n;) {
        uint32_t middle = n - (n - low) / 2;

        if (needs_are_met(set, a, lane, middle))
            low = middle;
        else
            n = middle - 1;
    }
    return low;
}

/* The lane's inside is what the computation found, and what is known; it does not go back. */
static bool take_inside(struct ft_closed *set, const struct attempt *a, unsigned lane)
{
    struct lane *l = &set->lane[lane];
    struct ft_known least = {.burst = l->inside.burst, .access = l->inside.access};
    bool moved = a->count[lane] > 0;

    l->inside = *end_of(set, a, lane, a->count[lane]);
    if (a->known && a->known[lane].burst > least.burst)
        least.burst = a->known[lane].burst;
    if (a->known && a->known[lane].access > least.access)
        least.access = a->known[lane].access;
    if (least.burst > l->inside.burst) {
        l->inside.burst = least.burst;
        moved = true;
    }
    if (least.access > l->inside.access)
        l->inside.access = least.access;
    atomic_store_explicit(&l->taken, a->taken[lane] + a->count[lane], memory_order_release);
    if (moved)
        publish_inside(l);
    return moved;
}

bool ft_closed_compute(struct ft_closed *set, const struct ft_known known[])
{
    struct attempt a = {.known = known};
    bool moved = false;

    if (set->shut)
        return false;
    for (unsigned i = 0; i < set->lanes; i++) {
        a.taken[i] = atomic_load_explicit(&set->lane[i].taken, memory_order_relaxed);
        a.count[i] = (uint32_t)(atomic_load_explicit(&set->lane[i].held, memory_order_acquire) - a.taken[i]);
    }
    note_reached(set, &a);
    /* A round that shortens no lane ends it; each that does takes at least one item away, so it does end. */
    for (bool again = true; again;) {
        again = false;
        for (unsigned i = 0; i < set->lanes; i++) {
            uint32_t n = find_prefix(set, &a, i);

            if (n == a.count[i])
                continue;
            a.count[i] = n;
            note_reached(set, &a);
            again = true;
        }
    }
    for (unsigned i = 0; i < set->lanes; i++)
        moved |= take_inside(set, &a, i);
    return moved;
}
