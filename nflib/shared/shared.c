/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared objects: their directory, words, maps, merged counts, and the arithmetic of token buckets. The
 * directory lies first in the shared arena and says for each NF where its objects are, in the order it makes
 * them. Written while chains are made, one lane after the other; read then alone. Whichever lane comes first
 * creates, so nodes agree as long as they make their lanes in one order. Pools are in pool.c.
 */
#include "nflib/shared/shared.h"
#include "ftcore/order/section.h"
#include "ftcore/region/audit.h"
#include "nflib/module/content.h"
#include "nflib/module/env.h"
#include "nflib/state/watch.h"

#include <immintrin.h>

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

void *nf_shared_object(struct nf *nf, uint32_t kind, uint64_t size, bool *created)
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

/* Every lane's own state lies first in its first arena (struct nf_lane_state). */
bool nf_access_was(const struct nf *nf, unsigned lane, uint64_t access)
{
    const struct ft_arena *arena = ft_region_arena(nf->region, lane, 0);
    const struct nf_lane_state *state = (const void *)(nf->region->base + arena->offset);

    return access < state->access;
}

int nf_head_check(struct nf_check *c, const void *object)
{
    const struct ft_shared *head = object;

    if (head->lock)
        return nf_check_failed(c, "it is locked, expected no lane in it");
    if (head->last > c->nf->lanes || (!head->last && head->access) ||
        !nf_access_was(c->nf, head->last ? head->last - 1 : 0, head->access))
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

    word = nf_shared_object(nf, NF_SHARED_WORD, sizeof(*word), &created);
    if (!word || !created)
        return word;
    nf_object(nf, &word->head, "word", nf_head_check);
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

/* ---- maps -----------------------------------------------------------------------------------------------
 */

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
    map = nf_shared_object(nf, NF_SHARED_MAP, sizeof(*map) + shards * sizeof(struct shard), &created);
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
        nf_object(nf, &map->shard[i].head, "shard", nf_head_check);
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

/* ---- merged counts --------------------------------------------------------------------------------------
 */

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

uint64_t nf_merged_bytes(void)
{
    return FT_LANES_MAX * sizeof(struct line);
}

uint64_t nf_merged_lane_bytes(void)
{
    return FT_LINE;
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
    if (!nf_access_was(c->nf, c->nf->lane, line->access))
        return nf_check_failed(c, "it was published under access %lu, expected one that was", line->access);
    return 0;
}

struct nf_merged *nf_merged_make(struct nf *nf)
{
    struct nf_merged *merged;
    struct line *lines;
    bool created;

    lines = nf_shared_object(nf, NF_SHARED_MERGED, nf->lanes * sizeof(*lines), &created);
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
            _mm_pause();
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

/* ---- token buckets ----------------------------------------------------------------------------- */

/*
 * The arithmetic alone, no state. Whole numbers, with what is left of the last token kept,
 * so the sum of tokens does not depend on how time is cut into bursts. Lanes' bursts have times of their
 * own: one that is behind another finds the bucket filled up already.
 */

void nf_bucket_full(struct nf_bucket *bucket, const struct nf_rate *rate, uint64_t now)
{
    *bucket = (struct nf_bucket){.level = rate->burst, .at = now};
}

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
