/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared pool: the free numbers that no lane has (a ring in the shared arena, behind a section), the lane
 * that has each of the others, and in each lane's own arena a cache, a ring as well.
 *
 * A number is drawn at random by the lane's generator, so that who has seen some cannot say the next one. The
 * ring is in the order in which numbers were given back: of those that are free the quarter that was given
 * back last rests, and one of the others is drawn; what lies first takes its place in the ring. So any number
 * is found at once, also the last one.
 *
 * The cache has numbers that were drawn already, `batch` at most, and behind them those that the lane has
 * given back, fewer than `batch`, which go to the shared part when as many are drawn anew. So lanes depend on
 * each other once for `batch` numbers taken or given: with 256, some four dependencies in a thousand packets
 * if every packet takes a number.
 */
#include "ftcore/order/section.h"
#include "nflib/module/content.h"
#include "nflib/module/env.h"
#include "nflib/module/module.h"
#include "nflib/shared/shared.h"
#include "nflib/state/watch.h"

#define BATCH_MAX  256u
#define CACHE_PART 16u /* a batch is at most this part of what a lane would get by equal division */
#define CACHE_ROOM (2 * BATCH_MAX)
#define REST_PART  4u /* of the free numbers, this part rests at most */

/* In the shared arena. */
struct core {
    struct ft_shared head;
    _Alignas(FT_LINE) uint32_t *ring; /* [count]; constant, like what follows */
    uint8_t *owner;                   /* [count]: lane + 1, 0: nobody's */
    uint32_t *place; /* [count]: of a free number, in the ring; NULL: none asks for its own */
    uint32_t count;
    uint32_t batch;                   /* 0: no caches */
    _Alignas(FT_LINE) uint32_t first; /* place in the ring of the number that has been free longest */
    uint32_t free;
    uint32_t given; /* how many of the last ones in the ring were given back, or more than there are */
};

/* In the lane's. */
struct nf_shared_pool {
    struct core *core;
    uint64_t *out; /* [count] bits: taken, by this lane */
    _Alignas(FT_LINE) uint32_t first;
    uint32_t cached;
    uint32_t drawn; /* of the cached ones; the others, behind them, were given back */
    uint32_t skip;  /* takes that fail without a look at the shared part, which was found empty */
    _Alignas(FT_LINE) uint32_t ring[CACHE_ROOM];
};

static uint64_t bitmap_words(uint32_t count)
{
    return ((uint64_t)count + 63) / 64;
}

uint64_t nf_shared_pool_bytes(uint32_t count)
{
    return sizeof(struct core) + (uint64_t)count * (sizeof(uint32_t) + 1) + 3 * FT_LINE;
}

uint64_t nf_shared_pool_places_bytes(uint32_t count)
{
    return (uint64_t)count * sizeof(uint32_t) + FT_LINE;
}

uint64_t nf_shared_pool_lane_bytes(uint32_t count)
{
    return sizeof(struct nf_shared_pool) + bitmap_words(count) * sizeof(uint64_t) + 2 * FT_LINE;
}

static uint32_t batch_of(uint32_t count, unsigned lanes)
{
    uint32_t batch = count / (lanes * CACHE_PART);

    return lanes == 1 ? 0 : batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : batch;
}

/* ---- checking one that came from a peer ---- */

/* What is free lies in the ring, each number once, and nobody has it. */
static int check_free(struct nf_check *c, const struct core *core, uint64_t seen[])
{
    uint32_t at = core->first;

    for (uint32_t n = 0; n < core->free; n++, at = at + 1 < core->count ? at + 1 : 0) {
        uint32_t number = core->ring[at];

        nf_check_step(c);
        if (number >= core->count || core->owner[number] || seen[number / 64] >> number % 64 & 1)
            return nf_check_failed(c, "place %u has number %u, expected one that is free, once", at, number);
        if (core->place && core->place[number] != at)
            return nf_check_failed(c, "number %u is at place %u, expected %u", number, core->place[number],
                                   at);
        seen[number / 64] |= 1ull << number % 64;
    }
    return 0;
}

/* The shared part: all that is not free is some lane's. */
static int check_core(struct nf_check *c, const void *object)
{
    const struct core *core = object;
    uint32_t nobodys = 0;
    uint64_t *seen;
    int error = nf_head_check(c, object);

    if (error)
        return error;
    if (core->free > core->count || core->first >= core->count || core->given > core->count)
        return nf_check_failed(c, "%u numbers from place %u on are free, %u given back, expected at most %u",
                               core->free, core->first, core->given, core->count);
    for (uint32_t number = 0; number < core->count; number++) {
        nf_check_step(c);
        nobodys += core->owner[number] == 0;
        if (core->owner[number] > c->nf->lanes)
            return nf_check_failed(c, "number %u is lane %u's, expected one below %u", number,
                                   core->owner[number] - 1u, c->nf->lanes);
    }
    if (nobodys != core->free)
        return nf_check_failed(c, "%u numbers are nobody's, expected %u, as are free", nobodys, core->free);
    seen = nf_check_memory(c, 0, bitmap_words(core->count) * sizeof(*seen));
    return seen ? check_free(c, core, seen) : FT_ENOMEM;
}

/* A lane's part: its numbers are taken, or lie in its cache, each once. */
static int check_lane(struct nf_check *c, const struct nf_shared_pool *pool, uint64_t cached[])
{
    const struct core *core = pool->core;
    uint32_t have = 0, own = 0;

    for (uint32_t i = 0; i < pool->cached; i++) {
        uint32_t number = pool->ring[(pool->first + i) % CACHE_ROOM];

        if (number >= core->count || core->owner[number] != c->nf->lane + 1u ||
            nf_shared_pool_has(pool, number) || cached[number / 64] >> number % 64 & 1)
            return nf_check_failed(c, "the cache has number %u, expected one of the lane's, once", number);
        cached[number / 64] |= 1ull << number % 64;
    }
    for (uint32_t number = 0; number < core->count; number++) {
        nf_check_step(c);
        own += core->owner[number] == c->nf->lane + 1u;
        have += nf_shared_pool_has(pool, number) || (cached[number / 64] >> number % 64 & 1);
        if (nf_shared_pool_has(pool, number) && core->owner[number] != c->nf->lane + 1u)
            return nf_check_failed(c, "number %u is taken, expected it to be the lane's", number);
    }
    if (have != own)
        return nf_check_failed(c, "%u numbers are taken or cached, expected %u, the lane's", have, own);
    return 0;
}

static int check_pool(struct nf_check *c, const void *object)
{
    const struct nf_shared_pool *pool = object;
    uint64_t *cached;

    if (pool->first >= CACHE_ROOM || pool->cached > 2 * pool->core->batch || pool->drawn > pool->cached ||
        pool->drawn > pool->core->batch || pool->cached - pool->drawn > pool->core->batch ||
        pool->skip > pool->core->batch)
        return nf_check_failed(
            c,
            "%u numbers are cached from place %u on, %u drawn, %u takes to skip, expected at most %u, %u, %u",
            pool->cached, pool->first, pool->drawn, pool->skip, 2 * pool->core->batch, CACHE_ROOM - 1,
            pool->core->batch);
    if (pool->core->count % 64 && pool->out[pool->core->count / 64] >> pool->core->count % 64)
        return nf_check_failed(c, "a number is taken that is none of the %u", pool->core->count);
    cached = nf_check_memory(c, 0, bitmap_words(pool->core->count) * sizeof(*cached));
    return cached ? check_lane(c, pool, cached) : FT_ENOMEM;
}

static struct core *make_core(struct nf *nf, uint32_t count, bool places)
{
    struct ft_arena *arena = ft_region_shared(nf->region);
    struct core *core;
    bool created;

    core = nf_shared_object(nf, NF_SHARED_POOL, sizeof(*core), &created);
    if (!core || !created)
        return core;
    core = NF_EDIT(nf, core);
    core->ring = ft_arena_alloc(arena, count * sizeof(*core->ring));
    core->owner = ft_arena_alloc(arena, count);
    core->place = places ? ft_arena_alloc(arena, count * sizeof(*core->place)) : NULL;
    if (!core->ring || !core->owner || (places && !core->place))
        return NULL;
    if (places)
        core->place = nf_edit(nf, core->place, count * sizeof(*core->place));
    for (uint32_t number = 0; places && number < count; number++)
        core->place[number] = number;
    core->ring = nf_edit(nf, core->ring, count * sizeof(*core->ring));
    for (uint32_t number = 0; number < count; number++)
        core->ring[number] = number;
    core->count = core->free = count;
    core->batch = batch_of(count, nf->lanes);
    nf_constant(nf, &core->ring, offsetof(struct core, first) - offsetof(struct core, ring));
    nf_object(nf, core, "pool", check_core);
    NF_WATCH(made, nf, NF_WATCH_POOL, core->ring, count * sizeof(*core->ring));
    NF_WATCH(made, nf, NF_WATCH_DERIVED, core->owner, count);
    if (places)
        NF_WATCH(made, nf, NF_WATCH_DERIVED, core->place, count * sizeof(*core->place));
    return core;
}

static struct nf_shared_pool *make_pool(struct nf *nf, uint32_t count, bool places)
{
    struct core *core = make_core(nf, count, places);
    struct nf_shared_pool *pool = core ? ft_arena_alloc(nf->arena, sizeof(*pool)) : NULL;

    if (!pool)
        return NULL;
    pool = NF_EDIT(nf, pool);
    pool->core = core;
    pool->out = ft_arena_alloc(nf->arena, bitmap_words(count) * sizeof(uint64_t));
    if (!pool->out)
        return NULL;
    nf_constant(nf, pool, offsetof(struct nf_shared_pool, out) + sizeof(pool->out));
    nf_object(nf, pool, "pool", check_pool);
    NF_WATCH(made, nf, NF_WATCH_DERIVED, pool, sizeof(*pool));
    NF_WATCH(made, nf, NF_WATCH_DERIVED, pool->out, bitmap_words(count) * sizeof(uint64_t));
    return pool;
}

struct nf_shared_pool *nf_shared_pool_make(struct nf *nf, uint32_t count)
{
    return make_pool(nf, count, false);
}

struct nf_shared_pool *nf_shared_pool_make_places(struct nf *nf, uint32_t count)
{
    return make_pool(nf, count, true);
}

/* ---- the shared part, inside its section ---- */

static uint32_t place_after(const struct core *core, uint32_t places)
{
    uint32_t left = core->count - core->first; /* places to the end of the ring */

    return places < left ? core->first + places : places - left;
}

/* Of those that are free, how many may be drawn: the first ones in the ring. */
static uint32_t drawable(const struct core *core)
{
    uint32_t most = core->free / REST_PART;

    return core->free - (core->given < most ? core->given : most);
}

/* What lies at place `at` is the lane's now, and what lies first takes that place. */
static uint32_t take_at(const struct nf *nf, struct core *core, uint32_t at)
{
    uint32_t number = core->ring[at], first = core->ring[core->first];

    NF_WATCH(taken, core->ring, number);
    *NF_EDIT(nf, &core->ring[at]) = first;
    if (core->place)
        *NF_EDIT(nf, &core->place[first]) = at;
    *NF_EDIT(nf, &core->first) = core->first + 1 < core->count ? core->first + 1 : 0;
    (*NF_EDIT(nf, &core->free))--;
    /* By the byte and atomically: dispatchers look without a section. */
    __atomic_store_n(NF_EDIT(nf, &core->owner[number]), (uint8_t)(nf->lane + 1), __ATOMIC_RELAXED);
    return number;
}

static uint32_t draw_shared(const struct nf *nf, struct core *core)
{
    if (!core->free) {
        NF_WATCH(taken, core->ring, NF_NONE);
        return NF_NONE;
    }
    return take_at(nf, core, place_after(core, (uint32_t)((nf_random(nf) >> 32) * drawable(core) >> 32)));
}

/* False: it is not free, or rests. */
static bool take_this(const struct nf *nf, struct core *core, uint32_t number)
{
    uint32_t at = core->place[number];

    if (core->owner[number] || (at + core->count - core->first) % core->count >= drawable(core))
        return false;
    take_at(nf, core, at);
    return true;
}

static void give_shared(const struct nf *nf, struct core *core, uint32_t number)
{
    FT_CHECK(core->free < core->count, "number %u is given back to a pool that has all", number);
    __atomic_store_n(NF_EDIT(nf, &core->owner[number]), 0, __ATOMIC_RELAXED);
    *NF_EDIT(nf, &core->ring[place_after(core, core->free)]) = number;
    if (core->place)
        *NF_EDIT(nf, &core->place[number]) = place_after(core, core->free);
    (*NF_EDIT(nf, &core->free))++;
    if (core->given < core->count)
        (*NF_EDIT(nf, &core->given))++;
    NF_WATCH(given, core->ring, number);
}

/* ---- the cache ---- */

static void cache_number(const struct nf *nf, struct nf_shared_pool *pool, uint32_t number)
{
    uint32_t at = (pool->first + pool->cached) % CACHE_ROOM;

    *NF_EDIT(nf, &pool->ring[at]) = number;
    (*NF_EDIT(nf, &pool->cached))++;
}

static uint32_t uncache_drawn(const struct nf *nf, struct nf_shared_pool *pool)
{
    uint32_t number = pool->ring[pool->first];

    *NF_EDIT(nf, &pool->first) = (pool->first + 1) % CACHE_ROOM;
    (*NF_EDIT(nf, &pool->cached))--;
    (*NF_EDIT(nf, &pool->drawn))--;
    return number;
}

/* What the lane has given back goes to the shared part, and as many are drawn as make a batch. False: there
 * are not as many. */
static bool exchange(const struct nf *nf, struct nf_shared_pool *pool)
{
    struct core *core = pool->core;
    uint32_t number = 0;

    ft_section_enter(nf->env->sections, &core->head);
    for (uint32_t i = pool->drawn; i < pool->cached; i++)
        give_shared(nf, core, pool->ring[(pool->first + i) % CACHE_ROOM]);
    *NF_EDIT(nf, &pool->cached) = pool->drawn;
    while (pool->cached < core->batch && (number = draw_shared(nf, core)) != NF_NONE)
        cache_number(nf, pool, number);
    *NF_EDIT(nf, &pool->drawn) = pool->cached;
    ft_section_leave(nf->env->sections, &core->head);
    return number != NF_NONE;
}

/* None is drawn. Many that ask in vain would each be a change of hands. */
static void refill_cache(const struct nf *nf, struct nf_shared_pool *pool)
{
    if (pool->skip && !pool->cached)
        (*NF_EDIT(nf, &pool->skip))--;
    else if (!exchange(nf, pool))
        *NF_EDIT(nf, &pool->skip) = pool->core->batch;
}

static uint32_t take_alone(const struct nf *nf, struct core *core)
{
    uint32_t number;

    ft_section_enter(nf->env->sections, &core->head);
    number = draw_shared(nf, core);
    ft_section_leave(nf->env->sections, &core->head);
    return number;
}

uint32_t nf_shared_pool_take(const struct nf *nf, struct nf_shared_pool *pool)
{
    uint32_t number;

    if (!pool->core->batch) {
        number = take_alone(nf, pool->core);
    } else {
        if (!pool->drawn)
            refill_cache(nf, pool);
        number = pool->drawn ? uncache_drawn(nf, pool) : NF_NONE;
    }
    if (number != NF_NONE)
        *NF_EDIT(nf, &pool->out[number / 64]) |= 1ull << number % 64;
    return number;
}

bool nf_shared_pool_take_this(const struct nf *nf, struct nf_shared_pool *pool, uint32_t number)
{
    bool taken;

    FT_CHECK(pool->core->place && number < pool->core->count, "number %u of a pool of %u without places",
             number, pool->core->count);
    ft_section_enter(nf->env->sections, &pool->core->head);
    taken = take_this(nf, pool->core, number);
    ft_section_leave(nf->env->sections, &pool->core->head);
    if (taken)
        *NF_EDIT(nf, &pool->out[number / 64]) |= 1ull << number % 64;
    return taken;
}

void nf_shared_pool_give(const struct nf *nf, struct nf_shared_pool *pool, uint32_t number)
{
    struct core *core = pool->core;

    FT_CHECK(number < core->count && pool->out[number / 64] >> number % 64 & 1,
             "lane %u gives back number %u, which it has not", nf->lane, number);
    *NF_EDIT(nf, &pool->out[number / 64]) &= ~(1ull << number % 64);
    if (core->batch) {
        cache_number(nf, pool, number);
        if (pool->cached - pool->drawn == core->batch)
            exchange(nf, pool);
        return;
    }
    ft_section_enter(nf->env->sections, &core->head);
    give_shared(nf, core, number);
    ft_section_leave(nf->env->sections, &core->head);
}

bool nf_shared_pool_has(const struct nf_shared_pool *pool, uint32_t number)
{
    return pool->out[number / 64] >> number % 64 & 1;
}

uint32_t nf_shared_pool_owner(const struct nf_shared_pool *pool, uint32_t number)
{
    if (number >= pool->core->count)
        return NF_NONE;
    return __atomic_load_n(&pool->core->owner[number], __ATOMIC_RELAXED) - 1u;
}

struct nf_table nf_table_of_pool(const char *name, const struct nf_shared_pool *pool)
{
    return (struct nf_table){.name = name,
                             .count = &pool->core->free,
                             .parts = 1,
                             .limit = pool->core->count,
                             .free = true,
                             .shared = true};
}
