/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared objects: their directory, words, and the arithmetic of token buckets. The directory lies first in
 * the shared arena and says for each NF where its objects are, in the order it makes them. Written while
 * chains are made, one lane after the other; read then alone. Whichever lane comes first creates, so nodes
 * agree as long as they make their lanes in one order.
 */
#include "nflib/shared/shared.h"
#include "ftcore/order/section.h"
#include "ftcore/region/audit.h"
#include "nflib/module/content.h"
#include "nflib/module/env.h"
#include "nflib/state/watch.h"

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

/* ---- token buckets ----------------------------------------------------------------------------- */

/*
 * Token buckets: the arithmetic alone, no state. Whole numbers, with what is left of the last token kept,
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
