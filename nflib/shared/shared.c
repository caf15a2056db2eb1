/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared objects: their directory, words, maps, merged counts, pools, and the arithmetic of token buckets.
 * The directory lies first in the shared arena and locates each NF's objects, in the order it makes them.
 * Written while chains are made, one lane after the other; read then alone. Whichever lane comes first
 * creates, so nodes agree as long as they make their lanes in one order.
 */
#include "nflib/shared/shared.h"
#include "ftcore/base/cpu.h"
#include "ftcore/order/section.h"
#include "ftcore/region/audit.h"
#include "nflib/module/content.h"
#include "nflib/module/env.h"
#include "nflib/state/watch.h"

enum nf_shared_kind {
    NF_SHARED_WORD = 1,
    NF_SHARED_MAP,
    NF_SHARED_POOL,
    NF_SHARED_MERGED,
};

#define DIRECTORY 0x4465726168734655ull

struct entry {
    uint32_t line; /* where it begins, in lines of the arena; 0: not made */
    uint32_t kind;
};

struct directory {
    uint64_t magic;
    uint64_t unused[7];
    struct entry entries[FT_NFS_MAX][NF_SHARED_MAX];
};

/* Objects begin at a line's start. */
#define SHARED_SLACK (NF_SHARED_MAX * 4u * FT_LINE)

uint64_t nf_shared_bytes(const struct nf_module *module, const void *config, unsigned lanes)
{
    return module->shared ? module->shared(config, lanes) + SHARED_SLACK : 0;
}

uint64_t nf_shared_directory_bytes(void)
{
    return sizeof(struct directory) + FT_LINE;
}

static struct directory *directory_of(struct nf *nf)
{
    struct ft_arena *arena = ft_region_shared(nf->region);
    struct directory *directory = (struct directory *)(void *)(nf->region->base + arena->offset);

    if (arena->used) {
        FT_CHECK(directory->magic == DIRECTORY, "the shared arena begins with something else");
        return directory;
    }
    directory = ft_arena_alloc(arena, sizeof(*directory));
    if (directory)
        *NF_EDIT(nf, &directory->magic) = DIRECTORY;
    return directory;
}

/* The NF's next shared object: `size` zeroed bytes of the shared arena, or the ones that another lane's make
 * got. NULL: full. */
static void *make_object(struct nf *nf, uint32_t kind, uint64_t size, bool *created)
{
    struct ft_arena *arena = ft_region_shared(nf->region);
    struct directory *directory = directory_of(nf);
    uint8_t *start = nf->region->base + arena->offset, *object;
    struct entry *entry;

    if (!directory)
        return NULL;
    FT_CHECK(nf->shared < NF_SHARED_MAX, "nf %u: more than %u shared objects", nf->index, NF_SHARED_MAX);
    entry = &directory->entries[nf->index][nf->shared++];
    *created = !entry->line;
    if (entry->line) {
        FT_CHECK(entry->kind == kind, "nf %u: lanes make different shared objects", nf->index);
        return start + ((uint64_t)entry->line << FT_LINE_SHIFT);
    }
    object = ft_arena_alloc(arena, size);
    if (!object)
        return NULL;
    /* A word is reported by itself: of it, only what keeps order among lanes can be made anew. */
    NF_WATCH(made, nf, NF_WATCH_DERIVED, object, kind == NF_SHARED_WORD ? sizeof(struct ft_shared) : size);
    *NF_EDIT(nf, entry) =
        (struct entry){.line = (uint32_t)((uint64_t)(object - start) >> FT_LINE_SHIFT), .kind = kind};
    return object;
}

/* The access is one that the lane has had, or 0. Every lane's own state lies first in its first arena (struct
 * nf_lane_state). */
static bool access_was(const struct nf *nf, unsigned lane, uint64_t access)
{
    const struct ft_arena *arena = ft_region_arena(nf->region, lane, 0);
    const struct nf_lane_state *state = (const void *)(nf->region->base + arena->offset);

    return access < state->access;
}

/* For nf_object: the head is unlocked, and the access that it names is one that its lane has had. */
static int check_head(struct nf_check *c, const void *object)
{
    const struct ft_shared *head = object;

    if (head->lock)
        return nf_check_failed(c, "it is locked, expected no lane in it");
    if (head->last > c->nf->lanes || (!head->last && head->access) ||
        !access_was(c->nf, head->last ? head->last - 1 : 0, head->access))
        return nf_check_failed(c, "access %lu of lane %ld was the last, expected one that was", head->access,
                               (long)head->last - 1);
    return 0;
}

uint32_t nf_shared_left(const struct nf *nf)
{
    uint64_t used = nf->env->sections->next - nf->env->state->access;

    if (nf->lanes == 1) /* nobody to have a dependency to */
        return FT_DEPENDENCIES_MAX;
    return used < FT_DEPENDENCIES_MAX ? FT_DEPENDENCIES_MAX - (uint32_t)used : 0;
}

/* ---- words ------------------------------------------------------------------------------------- */

/* One number, its section before it. Written by every lane, inside the section. */
struct nf_shared_word {
    struct ft_shared head;
    _Alignas(FT_LINE) uint64_t value;
};

uint64_t nf_shared_word_bytes(void)
{
    return sizeof(struct nf_shared_word);
}

struct nf_shared_word *nf_shared_word_make(struct nf *nf)
{
    struct nf_shared_word *word;
    bool created;

    word = make_object(nf, NF_SHARED_WORD, sizeof(*word), &created);
    if (!word || !created)
        return word;
    nf_object(nf, &word->head, "word", check_head);
    NF_WATCH(made, nf, NF_WATCH_WORD, &word->value, FT_LINE);
    return word;
}

uint64_t nf_shared_word_get(const struct nf *nf, struct nf_shared_word *word)
{
    uint64_t value;

    ft_section_enter(nf->env->sections, &word->head);
    value = word->value;
    NF_WATCH(read, &word->value);
    ft_section_leave(nf->env->sections, &word->head);
    return value;
}

uint64_t nf_shared_word_add(const struct nf *nf, struct nf_shared_word *word, uint64_t n)
{
    struct ft_sections *sections = nf->env->sections;
    uint64_t sum;

    ft_section_enter(sections, &word->head);
    sum = *NF_EDIT_WORD(nf, &word->value) += n;
    ft_section_leave(sections, &word->head);
    return sum;
}

uint64_t nf_shared_word_peek(const struct nf_shared_word *word)
{
    ft_audit_peeked(word);
    return __atomic_load_n(&word->value, __ATOMIC_RELAXED);
}

/* ---- maps ---------------------------------------------------------------------------------------------- */

/*
 * A shared map: maps (nflib/state/map.c) in the shared arena, one a shard, each behind a section of its own.
 * Written by every lane, inside the shard's section.
 *
 * The shard comes from bits of the hash that neither the bucket nor the tag is made of, so a shard's keys are
 * spread over all its buckets.
 */

struct shard {
    struct ft_shared head;
    _Alignas(FT_LINE) struct nf_map *map; /* constant */
};

struct nf_shared_map {
    uint32_t shards;
    _Alignas(FT_LINE) struct shard shard[];
};

static uint32_t part_of(uint32_t capacity, uint32_t shards)
{
    uint32_t part = (capacity + shards - 1) / shards;

    return shards == 1 ? capacity : part + part / 8 + 8;
}

uint64_t nf_shared_map_bytes(uint32_t capacity, uint32_t key_size, uint32_t value_size, uint32_t shards)
{
    return sizeof(struct nf_shared_map) +
           shards * (sizeof(struct shard) + FT_LINE +
                     nf_map_bytes(part_of(capacity, shards), key_size, value_size));
}

struct nf_shared_map *nf_shared_map_make(struct nf *nf, uint32_t capacity, uint32_t key_size,
                                         uint32_t value_size, uint32_t shards)
{
    struct nf home = *nf; /* as if the shared arena were its own */
    struct nf_shared_map *map;
    bool created;

    FT_CHECK(shards > 0 && shards <= 4096, "a map of %u shards", shards);
    map = make_object(nf, NF_SHARED_MAP, sizeof(*map) + shards * sizeof(struct shard), &created);
    if (!map || !created)
        return map;
    map = nf_edit(nf, map, sizeof(*map) + shards * sizeof(struct shard));
    map->shards = shards;
    NF_CONSTANT(nf, &map->shards);
    home.arena = ft_region_shared(nf->region);
    for (uint32_t i = 0; i < shards; i++) {
        map->shard[i].map = nf_map_make(&home, part_of(capacity, shards), key_size, value_size);
        if (!map->shard[i].map)
            return NULL;
        NF_CONSTANT(nf, &map->shard[i].map);
        nf_object(nf, &map->shard[i].head, "shard", check_head);
    }
    return map;
}

uint32_t nf_shared_map_shards(const struct nf_shared_map *map)
{
    return map->shards;
}

uint32_t nf_shared_map_shard(const struct nf_shared_map *map, const void *key)
{
    if (map->shards == 1)
        return 0;
    return (uint32_t)((nf_map_hash(map->shard[0].map, key) >> 32 & 0xffff) * map->shards >> 16);
}

struct nf_map *nf_shared_map_enter(const struct nf *nf, struct nf_shared_map *map, uint32_t shard)
{
    FT_CHECK(shard < map->shards, "shard %u of %u", shard, map->shards);
    ft_section_enter(nf->env->sections, &map->shard[shard].head);
    return map->shard[shard].map;
}

void nf_shared_map_leave(const struct nf *nf, struct nf_shared_map *map, uint32_t shard)
{
    ft_section_leave(nf->env->sections, &map->shard[shard].head);
}

bool nf_shared_map_get(const struct nf *nf, struct nf_shared_map *map, const void *key, void *value,
                       size_t size)
{
    uint32_t shard = nf_shared_map_shard(map, key);
    const struct nf_map *part = nf_shared_map_enter(nf, map, shard);
    uint32_t slot = nf_map_find(part, key);

    if (slot != NF_NONE)
        memcpy(value, nf_map_value(part, slot), size);
    nf_shared_map_leave(nf, map, shard);
    return slot != NF_NONE;
}

uint64_t nf_shared_map_add(const struct nf *nf, struct nf_shared_map *map, const void *key, uint64_t n)
{
    uint32_t shard = nf_shared_map_shard(map, key);
    struct nf_map *part = nf_shared_map_enter(nf, map, shard);
    uint32_t slot = nf_map_find(part, key);
    uint64_t sum = 0;

    if (slot == NF_NONE)
        slot = nf_map_add(nf, part, key);
    if (slot != NF_NONE)
        sum = *NF_EDIT_WORD(nf, (const uint64_t *)nf_map_value(part, slot)) += n;
    nf_shared_map_leave(nf, map, shard);
    return sum;
}

/* ---- a wheel over a shared map ---- */

#define DUE 256u /* entries that come due in one burst at most; the rest in the next */

/* Parts are of one size. */
static uint32_t part_size(const struct nf_shared_map *map)
{
    return nf_map_capacity(map->shard[0].map);
}

uint32_t nf_shared_map_numbers(const struct nf_shared_map *map)
{
    return map->shards * part_size(map);
}

uint32_t nf_shared_map_number(const struct nf_shared_map *map, uint32_t shard, uint32_t slot)
{
    return shard * part_size(map) + slot;
}

uint32_t nf_shared_map_shard_of(const struct nf_shared_map *map, uint32_t number, uint32_t *slot)
{
    *slot = number % part_size(map);
    return number / part_size(map);
}

uint64_t nf_shared_map_wheel_bytes(uint32_t capacity, uint32_t shards)
{
    uint32_t part = (capacity + shards - 1) / shards;

    return nf_wheel_bytes(shards *
                          (part + part / 8 + 8)); /* also of one shard, which has no more than that */
}

struct nf_wheel *nf_shared_map_wheel_make(struct nf *nf, const struct nf_shared_map *map, uint64_t tick)
{
    return nf_wheel_make(nf, nf_shared_map_numbers(map), tick);
}

void nf_shared_map_due(const struct nf *nf, struct nf_shared_map *map, struct nf_wheel *wheel, uint64_t now,
                       uint64_t (*until)(const struct nf *nf, const void *value, uint64_t now))
{
    uint32_t due[DUE], n, slot;

    if (nf_shared_left(nf) < DUE + NF_SHARED_RESERVE) {
        nf_wake(nf, now);
        return;
    }
    n = nf_wheel_due(nf, wheel, now, due, DUE);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t shard = nf_shared_map_shard_of(map, due[i], &slot);
        struct nf_map *part = nf_shared_map_enter(nf, map, shard);
        uint64_t end = nf_map_has(part, slot) ? until(nf, nf_map_value(part, slot), now) : 0;

        if (end > now)
            nf_wheel_set(nf, wheel, due[i], end);
        else if (nf_map_has(part, slot))
            nf_map_remove(nf, part, slot);
        nf_shared_map_leave(nf, map, shard);
    }
}

struct nf_map *nf_shared_map_part(const struct nf_shared_map *map, uint32_t shard)
{
    ft_audit_peeked(&map->shard[shard]);
    return map->shard[shard].map;
}

/* Parts are made one behind the other, all of one size. */
void nf_table_add_shared_map(const struct nf *nf, const char *name, const struct nf_shared_map *map)
{
    const struct nf_map *first = map->shard[0].map, *second = map->shard[map->shards > 1].map;
    const struct nf_map *last = map->shard[map->shards - 1].map;
    struct nf_table table = nf_table_of_map(name, first);
    uint64_t stride = (uint64_t)((const uint8_t *)second - (const uint8_t *)first);

    FT_CHECK((const uint8_t *)last - (const uint8_t *)first == (int64_t)((map->shards - 1) * stride),
             "%s: parts of a map lie apart", name);
    table.parts = map->shards;
    table.stride = stride;
    table.limit *= map->shards;
    table.shared = true;
    nf_table_add(nf, table);
}

/* ---- merged counts ------------------------------------------------------------------------------------- */

/*
 * A lane's own count lies in its arena. What it published lies in a line of the shared arena
 * that it alone writes, with the number of the access under which it did.
 *
 * Why a read may be recorded and not ordered: the numbers it adds up are of bursts that had ended, each under
 * an access that was left before. The dependencies to those accesses keep the reader's burst from being
 * stable without theirs; the sum itself comes from the record. The publisher marks first and writes its line
 * then, so whoever sees a line may depend on its access; a sequence number, odd while the line is being
 * written, makes count and access one.
 */

struct line {
    _Alignas(FT_LINE) _Atomic uint64_t sequence;
    _Atomic uint64_t count, access;
};

struct nf_merged {
    uint64_t count;     /* the lane's own */
    uint64_t published; /* of it */
    uint64_t burst;     /* in which others' were read last */
    uint64_t others;    /* and what that gave */
    struct line *lines; /* [lanes]; constant, like what follows */
    struct nf_merged *next;
};

uint64_t nf_merged_lane_bytes(void)
{
    return FT_LINE;
}

uint64_t nf_merged_bytes(void)
{
    return FT_LANES_MAX * sizeof(struct line);
}

/* What the lane has published, and its line of it. Each lane looks at its own. */
static int check_merged(struct nf_check *c, const void *object)
{
    const struct nf_merged *merged = object;
    const struct line *line = &merged->lines[c->nf->lane];

    if (merged->published != merged->count || line->count != merged->count)
        return nf_check_failed(c, "it counts %lu, and %lu was published, %lu to others, expected the same",
                               merged->count, merged->published, line->count);
    if (line->sequence & 1)
        return nf_check_failed(c, "its line is being written, expected no lane at it");
    if (!access_was(c->nf, c->nf->lane, line->access))
        return nf_check_failed(c, "it was published under access %lu, expected one that was", line->access);
    return 0;
}

struct nf_merged *nf_merged_make(struct nf *nf)
{
    struct nf_merged *merged;
    struct line *lines;
    bool created;

    lines = make_object(nf, NF_SHARED_MERGED, nf->lanes * sizeof(*lines), &created);
    merged = lines ? ft_arena_alloc(nf->arena, sizeof(*merged)) : NULL;
    if (!merged)
        return NULL;
    merged = NF_EDIT(nf, merged);
    merged->lines = lines;
    merged->next = nf->env->merged;
    nf->env->merged = merged;
    nf_constant(nf, &merged->lines, sizeof(merged->lines) + sizeof(merged->next));
    nf_object(nf, merged, "merged count", check_merged);
    return merged;
}

void nf_merged_add(const struct nf *nf, struct nf_merged *merged, uint64_t n)
{
    *NF_EDIT_WORD(nf, &merged->count) += n;
}

static void publish_count(struct ft_region *region, struct nf_merged *merged, unsigned lane, uint64_t access)
{
    ft_audit_enter(region, lane); /* the line is this lane's own: it needs no section */
    struct line *line = ft_edit(region, &merged->lines[lane], sizeof(*line));
    uint64_t sequence = atomic_load_explicit(&line->sequence, memory_order_relaxed);

    atomic_store_explicit(&line->sequence, sequence + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&line->count, merged->count, memory_order_relaxed);
    atomic_store_explicit(&line->access, access, memory_order_relaxed);
    atomic_store_explicit(&line->sequence, sequence + 2, memory_order_release);
    ft_audit_leave(region, lane);
    *(uint64_t *)ft_edit(region, &merged->published, sizeof(uint64_t)) = merged->count;
}

void nf_merged_publish(struct nf_env *env)
{
    struct ft_sections *sections = env->sections;
    uint64_t access = 0;

    for (struct nf_merged *m = env->merged; m; m = m->next) {
        if (m->count == m->published)
            continue;
        if (!access)
            access = ft_section_mark(sections);
        publish_count(sections->region, m, sections->lane, access);
    }
}

static uint64_t read_line(const struct line *line, uint64_t *access)
{
    uint64_t before, after, count;

    do {
        before = atomic_load_explicit(&line->sequence, memory_order_acquire);
        count = atomic_load_explicit(&line->count, memory_order_relaxed);
        *access = atomic_load_explicit(&line->access, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&line->sequence, memory_order_relaxed);
        if (before != after || before & 1)
            ft_pause();
    } while (before != after || before & 1);
    return count;
}

static uint64_t read_others(const struct nf *nf, const struct nf_merged *merged)
{
    struct ft_sections *sections = nf->env->sections;
    uint64_t sum = 0;

    for (unsigned lane = 0; lane < nf->lanes; lane++) {
        uint64_t access = 0;

        if (lane == nf->lane)
            continue;
        if (!sections->replaying) /* in replay the record has the sum: the lines may have other values */
            sum += read_line(&merged->lines[lane], &access);
        ft_section_depend(sections, lane, access);
    }
    nf_determinant(nf, &sum, sizeof(sum));
    return sum;
}

uint64_t nf_merged_read(const struct nf *nf, struct nf_merged *merged)
{
    uint64_t burst = nf->env->state->burst + 1;

    if (nf->lanes == 1)
        return merged->count;
    if (merged->burst != burst) {
        *NF_EDIT(nf, &merged->others) = read_others(nf, merged);
        *NF_EDIT(nf, &merged->burst) = burst;
    }
    return merged->count + merged->others;
}

uint64_t nf_merged_peek(const struct nf *nf, const struct nf_merged *merged)
{
    uint64_t sum = merged->count, access;

    ft_audit_peeked(merged->lines);
    for (unsigned lane = 0; lane < nf->lanes; lane++)
        if (lane != nf->lane)
            sum += read_line(&merged->lines[lane], &access);
    return sum;
}

/* ---- pools --------------------------------------------------------------------------------------------- */

/*
 * The free numbers that no lane has (a ring in the shared arena, behind a section), the lane
 * that has each of the others, and in each lane's own arena a cache, a ring as well.
 *
 * A number is drawn at random by the lane's generator, so that an observer of some cannot predict the next
 * one. The ring is in the order in which numbers were given back: of those that are free the quarter that was
 * given back last rests, and one of the others is drawn; what lies first takes its place in the ring. So any
 * number is found at once, also the last one.
 *
 * The cache has numbers that were drawn already, `batch` at most, and behind them those that the lane has
 * given back, fewer than `batch`, which go to the shared part when as many are drawn anew. So lanes depend on
 * each other once for `batch` numbers taken or given: with 256, some four dependencies in a thousand packets
 * if every packet takes a number.
 */

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

uint64_t nf_shared_pool_lane_bytes(uint32_t count)
{
    return sizeof(struct nf_shared_pool) + bitmap_words(count) * sizeof(uint64_t) + 2 * FT_LINE;
}

static uint32_t batch_of(uint32_t count, unsigned lanes)
{
    uint32_t batch = count / (lanes * CACHE_PART);

    return lanes == 1 ? 0 : batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : batch;
}

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
    int error = check_head(c, object);

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

    core = make_object(nf, NF_SHARED_POOL, sizeof(*core), &created);
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

uint64_t nf_shared_pool_places_bytes(uint32_t count)
{
    return (uint64_t)count * sizeof(uint32_t) + FT_LINE;
}

struct nf_shared_pool *nf_shared_pool_make_places(struct nf *nf, uint32_t count)
{
    return make_pool(nf, count, true);
}

/* ---- pools: the shared part, inside its section -------------------------------------------------------- */

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

/* ---- pools: the cache ---------------------------------------------------------------------------------- */

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

uint32_t nf_shared_pool_take(const struct nf *nf, struct nf_shared_pool *pool)
{
    struct core *core = pool->core;
    uint32_t number;

    if (!core->batch) {
        ft_section_enter(nf->env->sections, &core->head);
        number = draw_shared(nf, core);
        ft_section_leave(nf->env->sections, &core->head);
    } else {
        if (!pool->drawn && pool->skip &&
            !pool->cached) /* many that ask in vain would each be a change of hands */
            (*NF_EDIT(nf, &pool->skip))--;
        else if (!pool->drawn && !exchange(nf, pool))
            *NF_EDIT(nf, &pool->skip) = core->batch;
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

/* ---- token buckets ----------------------------------------------------------------------------- */

void nf_bucket_full(struct nf_bucket *bucket, const struct nf_rate *rate, uint64_t now)
{
    *bucket = (struct nf_bucket){.level = rate->burst, .at = now};
}

/*
 * The arithmetic alone, no state. Whole numbers, with what is left of the last token kept,
 * so the sum of tokens does not depend on how time is cut into bursts. Lanes' bursts have times of their
 * own: one that is behind another finds the bucket filled up already.
 */

uint64_t nf_bucket_fill(struct nf_bucket *bucket, const struct nf_rate *rate, uint64_t now)
{
    if (bucket->level > rate->burst) /* the rate was changed */
        bucket->level = rate->burst;
    if (now > bucket->at) {
        unsigned __int128 tokens = (unsigned __int128)(now - bucket->at) * rate->rate + bucket->rest;
        bool full = tokens / NF_SECOND >= rate->burst - bucket->level;

        bucket->level = full ? rate->burst : bucket->level + (uint64_t)(tokens / NF_SECOND);
        bucket->rest = full ? 0 : (uint64_t)(tokens % NF_SECOND);
        bucket->at = now;
    }
    return bucket->level;
}
