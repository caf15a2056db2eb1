/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What NFs do to their state, told to a store; see backend.h. Owns the list of the chain's objects and what
 * the burst has touched; both are of the process, not of the region, and made anew with the chain.
 *
 * Edits come from the region's watch, before the change: so what is written is looked at when the burst ends.
 * A word is the exception, since each of its changes is told: an edit tells the change before it.
 *
 * Keys: "NF.NUMBER:" and the map's key; the same alone for a pool or a word; "NF.raw:" and the number of the
 * line in the NF's arena, "raw:" in the shared one, as four bytes.
 */
#include "nflib/backend.h"

#include "nflib/touched.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_MAX 16u
#define KEY_MAX    4096u      /* as nflib/map.c takes them */
#define LINES      UINT32_MAX /* in place of an object: lines of an arena */

struct object {
    uintptr_t at, end;
    enum nf_backend_kind kind;
    uint32_t prefix_len;
    char prefix[PREFIX_MAX];
};

/* An arena of the region, for what lies in no object. */
struct space {
    uintptr_t at, end;
    bool told; /* the lane's own is not */
    uint32_t prefix_len;
    char prefix[PREFIX_MAX];
};

struct nf_backend {
    struct nf_store store;
    struct ft_region *region; /* NULL until the chain is made */
    struct object *objects;   /* sorted by address once it is */
    uint32_t count, room;
    uint32_t numbers[FT_NFS_MAX]; /* objects told so far, by NF */
    struct space spaces[FT_NFS_MAX + 1];
    uint32_t space_count;
    struct nf_touched touched;
    const struct object *word; /* whose last change is not told yet */
    uint64_t word_was;
    uintptr_t lines[64]; /* touched last, by the low bits of their number: most edits are of these again */
    uint8_t key[PREFIX_MAX + KEY_MAX];
};

struct nf_backend *nf_backend;

/* ---- keys -------------------------------------------------------------------------------------- */

static uint32_t name_entry(struct nf_backend *b, const struct object *object, const void *key, uint32_t len)
{
    memcpy(b->key, object->prefix, object->prefix_len);
    memcpy(b->key + object->prefix_len, key, len);
    return object->prefix_len + len;
}

static uint32_t name_line(struct nf_backend *b, const struct space *space, uint32_t line)
{
    memcpy(b->key, space->prefix, space->prefix_len);
    memcpy(b->key + space->prefix_len, &line, sizeof(line));
    return space->prefix_len + (uint32_t)sizeof(line);
}

/* ---- objects ----------------------------------------------------------------------------------- */

/* The object that holds `p`; NULL: none. */
static const struct object *object_at(const struct nf_backend *b, uintptr_t p)
{
    uint32_t low = 0, high = b->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (b->objects[middle].end <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return low < b->count && b->objects[low].at <= p ? &b->objects[low] : NULL;
}

static const struct object *object_of(const struct nf_backend *b, const void *start,
                                      enum nf_backend_kind kind)
{
    const struct object *object = b->region ? object_at(b, (uintptr_t)start) : NULL;

    return object && object->kind == kind && object->at == (uintptr_t)start ? object : NULL;
}

void nf_backend_enter(const struct nf *nf, enum nf_backend_kind kind, const void *start, uint64_t bytes)
{
    struct nf_backend *b = nf_backend;
    struct object *object;

    if (nf->index == 0) /* the node's own: neighbours */
        return;
    if (b->count == b->room) {
        b->room = b->room ? 2 * b->room : 32;
        b->objects = realloc(b->objects, b->room * sizeof(*b->objects));
        FT_CHECK(b->objects, "no memory for %u objects", b->room);
    }
    object = &b->objects[b->count++];
    *object = (struct object){.at = (uintptr_t)start, .end = (uintptr_t)start + bytes, .kind = kind};
    if (kind != NF_BACKEND_DERIVED)
        object->prefix_len = (uint32_t)snprintf(object->prefix, sizeof(object->prefix), "%u.%u:", nf->index,
                                                b->numbers[nf->index]++);
}

void nf_backend_forget(void)
{
    struct nf_backend *b = nf_backend;

    if (!b)
        return;
    if (b->region)
        ft_region_watch(b->region, NULL, NULL);
    b->region = NULL;
    b->count = b->space_count = 0;
    b->word = NULL;
    memset(b->numbers, 0, sizeof(b->numbers));
    memset(b->lines, 0, sizeof(b->lines));
    nf_touched_clear(&b->touched);
}

/* ---- what NFs do ------------------------------------------------------------------------------- */

static void read_entry(struct nf_backend *b, const struct object *object, const struct nf_map *map,
                       const void *key, uint32_t slot)
{
    uint32_t len = name_entry(b, object, key, nf_map_key_size(map));

    b->store.get(b->store.ctx, b->key, len, slot == NF_NONE ? NULL : nf_map_value(map, slot),
                 slot == NF_NONE ? 0 : nf_map_value_size(map));
}

/* An entry is looked at, or about to change: the first time in a burst it is read. */
static void touch_entry(struct nf_backend *b, const struct object *object, const struct nf_map *map,
                        const void *key, uint32_t slot, uint32_t flag)
{
    uint32_t *flags = nf_touched_at(&b->touched, (uint32_t)(object - b->objects), key, nf_map_key_size(map));
    bool first = !*flags;

    *flags |= flag;
    if (first && !b->store.cache)
        read_entry(b, object, map, key, slot);
}

void nf_backend_found(const struct nf_map *map, const void *key, uint32_t slot)
{
    struct nf_backend *b = nf_backend;
    const struct object *object = b->store.cache ? NULL : object_of(b, map, NF_BACKEND_MAP);

    if (object)
        touch_entry(b, object, map, key, slot, NF_TOUCHED_READ);
}

void nf_backend_changed(const struct nf_map *map, const void *key)
{
    struct nf_backend *b = nf_backend;
    const struct object *object = object_of(b, map, NF_BACKEND_MAP);

    if (object)
        *nf_touched_at(&b->touched, (uint32_t)(object - b->objects), key, nf_map_key_size(map)) |=
            NF_TOUCHED_WRITTEN;
}

void nf_backend_taken(const struct nf_pool *pool, uint32_t number)
{
    struct nf_backend *b = nf_backend;
    const struct object *object = object_of(b, pool, NF_BACKEND_POOL);

    if (object)
        b->store.take(b->store.ctx, object->prefix, object->prefix_len, number);
}

void nf_backend_picked(const struct nf_pool *pool, uint32_t number)
{
    struct nf_backend *b = nf_backend;
    const struct object *object = object_of(b, pool, NF_BACKEND_POOL);

    if (object)
        b->store.pick(b->store.ctx, object->prefix, object->prefix_len, number);
}

void nf_backend_given(const struct nf_pool *pool, uint32_t number)
{
    struct nf_backend *b = nf_backend;
    const struct object *object = object_of(b, pool, NF_BACKEND_POOL);

    if (object)
        b->store.give(b->store.ctx, object->prefix, object->prefix_len, number);
}

/* ---- words ------------------------------------------------------------------------------------- */

static const uint64_t *word_at(const struct object *object)
{
    return (const uint64_t *)object->at; // NOLINT(performance-no-int-to-ptr): an address of the region
}

static uint32_t decimal(char text[24], uint64_t n)
{
    return (uint32_t)snprintf(text, 24, "%" PRId64, (int64_t)n);
}

static void read_word(struct nf_backend *b, const struct object *object, uint64_t value)
{
    char text[24];

    b->store.get(b->store.ctx, object->prefix, object->prefix_len, text, decimal(text, value));
}

/* The last edit of a word has been made by now. */
static void tell_word(struct nf_backend *b)
{
    const struct object *object = b->word;
    uint64_t value = object ? *word_at(object) : 0;
    char text[24];

    b->word = NULL;
    if (!object || value == b->word_was)
        return;
    if (b->store.offload)
        b->store.add(b->store.ctx, object->prefix, object->prefix_len, (int64_t)(value - b->word_was), value);
    else
        b->store.set(b->store.ctx, object->prefix, object->prefix_len, text, decimal(text, value));
}

static void touch_word(struct nf_backend *b, const struct object *object)
{
    tell_word(b);
    b->word = object;
    b->word_was = *word_at(object);
    if (!b->store.offload && !b->store.cache)
        read_word(b, object, b->word_was);
}

void nf_backend_read(const uint64_t *word)
{
    struct nf_backend *b = nf_backend;
    const struct object *object = b->store.cache ? NULL : object_of(b, word, NF_BACKEND_WORD);

    if (!object)
        return;
    tell_word(b);
    read_word(b, object, *word);
}

/* ---- lines ------------------------------------------------------------------------------------- */

static const struct space *space_at(const struct nf_backend *b, uintptr_t p)
{
    for (uint32_t i = 0; i < b->space_count; i++)
        if (p >= b->spaces[i].at && p < b->spaces[i].end)
            return &b->spaces[i];
    return NULL;
}

static void touch_lines(struct nf_backend *b, uintptr_t p, size_t n)
{
    uintptr_t first = p & ~(uintptr_t)(FT_LINE - 1);

    for (uintptr_t line = first; line < p + n; line += FT_LINE) {
        uintptr_t *last = &b->lines[line >> FT_LINE_SHIFT & 63];
        const struct space *space;

        if (*last == line)
            continue;
        space = space_at(b, line);
        if (!space || !space->told)
            continue;
        *nf_touched_at(&b->touched, LINES, &line, sizeof(line)) = NF_TOUCHED_WRITTEN;
        *last = line;
    }
}

/* ---- the region's watch ------------------------------------------------------------------------ */

static void watch(void *arg, const void *p, size_t n)
{
    struct nf_backend *b = arg;
    const struct object *object = object_at(b, (uintptr_t)p);
    const struct nf_map *map;
    uint32_t slot;

    if (!object) {
        touch_lines(b, (uintptr_t)p, n);
        return;
    }
    switch (object->kind) {
    case NF_BACKEND_MAP:                         /* adding and removing are told by the map itself */
        map = (const struct nf_map *)object->at; // NOLINT(performance-no-int-to-ptr): of the region
        slot = nf_map_slot_of(map, p);
        if (slot != NF_NONE)
            touch_entry(b, object, map, nf_map_key(map, slot), slot, NF_TOUCHED_WRITTEN);
        break;
    case NF_BACKEND_WORD:
        touch_word(b, object);
        break;
    case NF_BACKEND_POOL:
    case NF_BACKEND_DERIVED:
        break;
    }
}

/* ---- the burst's end --------------------------------------------------------------------------- */

static void write_entry(struct nf_backend *b, const struct object *object, const void *key)
{
    const struct nf_map *map = (const struct nf_map *)object->at; // NOLINT(performance-no-int-to-ptr)
    uint32_t slot = nf_map_peek(map, key), len = name_entry(b, object, key, nf_map_key_size(map));

    if (slot == NF_NONE)
        b->store.del(b->store.ctx, b->key, len);
    else
        b->store.set(b->store.ctx, b->key, len, nf_map_value(map, slot), nf_map_value_size(map));
}

static void write_line(struct nf_backend *b, uintptr_t line)
{
    const struct space *space = space_at(b, line);
    uint32_t len = name_line(b, space, (uint32_t)((line - space->at) >> FT_LINE_SHIFT));

    b->store.set(b->store.ctx, b->key, len, (const void *)line, // NOLINT(performance-no-int-to-ptr)
                 FT_LINE);
}

void nf_backend_burst(uint64_t burst)
{
    struct nf_backend *b = nf_backend;
    uintptr_t line;

    if (!b->region)
        return;
    tell_word(b);
    for (uint32_t i = 0; i < b->touched.count; i++) {
        const struct nf_touch *touch = &b->touched.list[i];
        const void *key = nf_touched_key(&b->touched, touch);

        if (!(touch->flags & NF_TOUCHED_WRITTEN))
            continue;
        if (touch->object == LINES) {
            memcpy(&line, key, sizeof(line));
            write_line(b, line);
            b->lines[line >> FT_LINE_SHIFT & 63] = 0;
        } else {
            write_entry(b, &b->objects[touch->object], key);
        }
    }
    nf_touched_clear(&b->touched);
    b->store.burst(b->store.ctx, burst);
}

/* ---- the beginning ----------------------------------------------------------------------------- */

static void load_object(struct nf_backend *b, const struct object *object)
{
    const void *start = (const void *)object->at; // NOLINT(performance-no-int-to-ptr): of the region
    const struct nf_list *list;
    char text[24];

    switch (object->kind) {
    case NF_BACKEND_MAP:
        for (uint32_t slot = 0; (slot = nf_map_next(start, slot)) != NF_NONE; slot++)
            write_entry(b, object, nf_map_key(start, slot));
        break;
    case NF_BACKEND_POOL:
        list = nf_pool_list(start);
        for (uint32_t n = nf_list_first(list); n != NF_NONE; n = nf_list_after(list, n))
            b->store.give(b->store.ctx, object->prefix, object->prefix_len, n);
        break;
    case NF_BACKEND_WORD:
        b->store.set(b->store.ctx, object->prefix, object->prefix_len, text, decimal(text, *word_at(object)));
        break;
    case NF_BACKEND_DERIVED:
        break;
    }
}

/* A line that is all zeros is as good as none. */
static void load_lines(struct nf_backend *b, const struct space *space)
{
    static const uint8_t zeros[FT_LINE];

    for (uintptr_t line = space->at; line < space->end; line += FT_LINE) {
        const struct object *object = object_at(b, line);

        if (object)
            line = ((object->end + FT_LINE - 1) & ~(uintptr_t)(FT_LINE - 1)) - FT_LINE;
        else if (memcmp((const void *)line, zeros, FT_LINE) != 0) // NOLINT(performance-no-int-to-ptr)
            write_line(b, line);
    }
}

static void enter_space(struct nf_backend *b, const struct ft_arena *arena)
{
    uintptr_t at = (uintptr_t)arena->region->base + arena->offset;
    struct space *space = &b->spaces[b->space_count++];

    *space = (struct space){.at = at, .end = at + arena->used, .told = arena->nf != 0};
    space->prefix_len = arena->nf == FT_NFS_MAX
                            ? (uint32_t)snprintf(space->prefix, sizeof(space->prefix), "raw:")
                            : (uint32_t)snprintf(space->prefix, sizeof(space->prefix), "%u.raw:", arena->nf);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = ((const struct object *)a)->at, y = ((const struct object *)b)->at;

    return (x > y) - (x < y);
}

void nf_backend_start(struct ft_region *region)
{
    struct nf_backend *b = nf_backend;

    qsort(b->objects, b->count, sizeof(*b->objects), by_address);
    for (unsigned nf = 0; nf < region->nfs; nf++)
        enter_space(b, ft_region_arena(region, 0, nf));
    enter_space(b, ft_region_shared(region));
    b->region = region;
    b->store.clear(b->store.ctx);
    for (uint32_t i = 0; i < b->count; i++)
        load_object(b, &b->objects[i]);
    for (uint32_t i = 0; i < b->space_count; i++)
        if (b->spaces[i].told)
            load_lines(b, &b->spaces[i]);
    b->store.loaded(b->store.ctx);
    ft_region_watch(region, watch, b);
}

int nf_backend_attach(struct nf_backend **out, const struct nf_store *store)
{
    struct nf_backend *b;

    *out = NULL;
    if (nf_backend)
        return FT_EBUSY;
    b = calloc(1, sizeof(*b));
    if (!b)
        return FT_ENOMEM;
    b->store = *store;
    if (nf_touched_init(&b->touched) != FT_OK) {
        nf_touched_free(&b->touched);
        free(b);
        return FT_ENOMEM;
    }
    *out = nf_backend = b;
    return FT_OK;
}

void nf_backend_detach(struct nf_backend *b)
{
    if (!b)
        return;
    nf_backend_forget();
    nf_backend = NULL;
    nf_touched_free(&b->touched);
    free(b->objects);
    free(b);
}
