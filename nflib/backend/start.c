/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state backend while a chain is made: what objects there are, and the state it begins with, which the
 * store gets whole. Written by whoever makes the chain.
 */
#include "nflib/backend/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nf_backend *nf_backend;

static struct nf_backend_object *add_object(struct nf_backend *b, enum nf_watch_kind kind, const void *start,
                                            uint64_t bytes)
{
    struct nf_backend_object *object;

    if (b->count == b->room) {
        b->room = b->room ? 2 * b->room : 32;
        b->objects = realloc(b->objects, b->room * sizeof(*b->objects));
        FT_CHECK(b->objects, "no memory for %u objects", b->room);
    }
    object = &b->objects[b->count++];
    *object =
        (struct nf_backend_object){.at = (uintptr_t)start, .end = (uintptr_t)start + bytes, .kind = kind};
    return object;
}

/* The sessions of the lane. */
void nf_backend_enter_table(const void *start, uint64_t bytes, const struct nf_watch_table *as)
{
    struct nf_backend_object *object = add_object(nf_backend, NF_WATCH_MAP, start, bytes);

    object->as = as;
    object->prefix_len = (uint32_t)snprintf(object->prefix, sizeof(object->prefix), "0.0:");
}

void nf_backend_enter(const struct nf *nf, enum nf_watch_kind kind, const void *start, uint64_t bytes)
{
    struct nf_backend *b = nf_backend;
    struct nf_backend_object *object;

    if (nf->index == 0) /* the lane's own: neighbours, and the sessions' timers and fragments */
        return;
    object = add_object(b, kind, start, bytes);
    object->as = kind == NF_WATCH_MAP ? &nf_map_as_table : NULL;
    if (kind != NF_WATCH_DERIVED)
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
    b->count = b->arena_count = 0;
    b->word = NULL;
    memset(b->numbers, 0, sizeof(b->numbers));
    memset(b->lines, 0, sizeof(b->lines));
    nf_touched_clear(&b->touched);
}

static void load_object(struct nf_backend *b, const struct nf_backend_object *object)
{
    const void *start = (const void *)object->at; // NOLINT(performance-no-int-to-ptr): of the region
    char text[24];

    switch (object->kind) {
    case NF_WATCH_MAP:
        for (uint32_t slot = 0; (slot = object->as->next(start, slot)) != NF_NONE; slot++)
            nf_backend_write_entry(b, object, object->as->key(start, slot));
        break;
    case NF_WATCH_POOL:
        for (const uint32_t *n = start; n < (const uint32_t *)object->end; n++)
            b->store.give(b->store.ctx, object->prefix, object->prefix_len, *n);
        break;
    case NF_WATCH_WORD:
        b->store.set(b->store.ctx, object->prefix, object->prefix_len, text,
                     nf_backend_decimal(text, *nf_backend_word(object)));
        break;
    case NF_WATCH_DERIVED:
        break;
    }
}

/* A line that is all zeros is as good as none. */
static void load_lines(struct nf_backend *b, const struct nf_backend_object *arena)
{
    static const uint8_t zeros[FT_LINE];

    for (uintptr_t line = arena->at; line < arena->end; line += FT_LINE) {
        const struct nf_backend_object *object = nf_backend_object_at(b, line);

        if (object)
            line = ((object->end + FT_LINE - 1) & ~(uintptr_t)(FT_LINE - 1)) - FT_LINE;
        else if (memcmp((const void *)line, zeros, FT_LINE) != 0) // NOLINT(performance-no-int-to-ptr)
            nf_backend_write_line(b, line);
    }
}

static void enter_arena(struct nf_backend *b, const struct ft_arena *arena)
{
    uintptr_t at = (uintptr_t)arena->region->base + arena->offset;
    struct nf_backend_object *entry = &b->arenas[b->arena_count++];

    *entry = (struct nf_backend_object){.at = at, .end = at + arena->used};
    entry->prefix_len = arena->nf == FT_NFS_MAX
                            ? (uint32_t)snprintf(entry->prefix, sizeof(entry->prefix), "raw:")
                            : (uint32_t)snprintf(entry->prefix, sizeof(entry->prefix), "%u.raw:", arena->nf);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = ((const struct nf_backend_object *)a)->at, y = ((const struct nf_backend_object *)b)->at;

    return (x > y) - (x < y);
}

void nf_backend_start(struct ft_region *region)
{
    struct nf_backend *b = nf_backend;

    qsort(b->objects, b->count, sizeof(*b->objects), by_address);
    for (unsigned nf = 1; nf < region->nfs; nf++) /* the lane's own is not reported */
        enter_arena(b, ft_region_arena(region, 0, nf));
    enter_arena(b, ft_region_shared(region));
    b->region = region;
    b->store.clear(b->store.ctx);
    for (uint32_t i = 0; i < b->count; i++)
        load_object(b, &b->objects[i]);
    for (uint32_t i = 0; i < b->arena_count; i++)
        load_lines(b, &b->arenas[i]);
    b->store.loaded(b->store.ctx);
    ft_region_watch(region, nf_backend_watch, b);
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
    *out = nf_backend = b;
    nf_watch = &nf_backend_watcher;
    return FT_OK;
}

void nf_backend_detach(struct nf_backend *b)
{
    if (!b)
        return;
    nf_backend_forget();
    nf_backend = NULL;
    nf_watch = NULL;
    nf_touched_free(&b->touched);
    free(b->objects);
    free(b);
}
