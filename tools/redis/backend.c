/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports to a store what NFs do to their state; see backend.h. Owns the list of the chain's objects and what
 * the burst has touched; both are of the process, not of the region, and made anew with the chain. Written
 * by whoever makes the chain, then by the lane.
 *
 * Edits come from the region's watch, before the change: what was written is read when the burst ends. A word
 * is the exception, since each of its changes is reported: an edit reports the change before it.
 *
 * Keys: "NF.NUMBER:" and the map's key; the same alone for a pool or a word; "NF.raw:" and the number of the
 * line in the NF's arena, "raw:" in the shared one, as four bytes.
 */
#include "tools/redis/backend.h"

#include "ftcore/base/check.h"
#include "nflib/chain/chain.h"
#include "nflib/state/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define LINES          UINT32_MAX /* in place of an object: lines of an arena */
#define PREFIX         16u
#define KEY_ROOM       4096u /* as nflib/state/map.c takes them */
#define TOUCHED_CHAINS 4096u
#define ROOM_FIRST     1024u
#define KEYS_FIRST     (32u << 10)

/*
 * What a burst has touched: entries of maps, by object and key, and lines, each once, in the order of first
 * touch; emptied at each burst's end. It grows when a burst touches more than any before, which only timers
 * of many flows do.
 */
enum { READ = 1, WRITTEN = 2 };

struct touch {
    uint32_t hash, next; /* index + 1 in its chain; 0: the last */
    uint32_t object;
    uint32_t key_at, key_len; /* in `keys` */
    uint32_t flags;
};

struct touched {
    struct touch *list; /* [room] */
    uint32_t count, room;
    uint32_t chains[TOUCHED_CHAINS]; /* by hash: index + 1 in `list`; 0: empty */
    uint8_t *keys;
    uint32_t keys_len, keys_room;
};

/* What the chain made; or an arena, for what lies in no object: `kind` says nothing then. */
struct object {
    uintptr_t at, end;
    enum nf_watch_kind kind;
    const struct nf_watch_table *as; /* NF_WATCH_MAP */
    uint32_t prefix_len;
    char prefix[PREFIX];
};

struct nd_backend {
    struct nd_store store;
    struct ft_region *region; /* NULL until the chain is made */
    struct object *objects;   /* sorted by address once it is */
    uint32_t count, room;
    uint32_t numbers[FT_NFS_MAX]; /* objects reported so far, by NF */
    struct object arenas[FT_NFS_MAX + 1];
    uint32_t arena_count;
    struct touched touched;
    const struct object *word; /* whose last change is not reported yet */
    uint64_t word_was;
    uintptr_t lines[64]; /* touched last, by the low bits of their number: most edits are of these again */
    uint8_t key[PREFIX + KEY_ROOM];
};

static struct nd_backend *backend; /* NULL: the process has none */

/* ---- what a burst has touched -------------------------------------------------------------------- */

static void free_touched(struct touched *t)
{
    free(t->list);
    free(t->keys);
}

/* A process that has no memory for this has none for anything. */
static uint32_t keep_key(struct touched *t, const void *key, uint32_t key_len)
{
    uint32_t at = t->keys_len;

    while (t->keys_room - at < key_len) {
        t->keys_room = t->keys_room ? 2 * t->keys_room : KEYS_FIRST;
        t->keys = realloc(t->keys, t->keys_room);
        FT_CHECK(t->keys, "no memory for keys touched in a burst");
    }
    memcpy(t->keys + at, key, key_len);
    t->keys_len += key_len;
    return at;
}

static uint32_t *flags_of(struct touched *t, uint32_t object, const void *key, uint32_t key_len)
{
    uint32_t hash = (uint32_t)XXH3_64bits_withSeed(key, key_len, object);
    uint32_t *chain = &t->chains[hash % TOUCHED_CHAINS];

    for (uint32_t i = *chain; i; i = t->list[i - 1].next) {
        struct touch *touch = &t->list[i - 1];

        if (touch->hash == hash && touch->object == object && touch->key_len == key_len &&
            memcmp(t->keys + touch->key_at, key, key_len) == 0)
            return &touch->flags;
    }
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : ROOM_FIRST;
        t->list = realloc(t->list, t->room * sizeof(*t->list));
        FT_CHECK(t->list, "no memory for %u entries touched in a burst", t->room);
    }
    t->list[t->count] = (struct touch){.hash = hash,
                                       .next = *chain,
                                       .object = object,
                                       .key_at = keep_key(t, key, key_len),
                                       .key_len = key_len};
    *chain = ++t->count;
    return &t->list[t->count - 1].flags;
}

static const void *touched_key(const struct touched *t, const struct touch *touch)
{
    return t->keys + touch->key_at;
}

static void clear_touched(struct touched *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        t->chains[t->list[i].hash % TOUCHED_CHAINS] = 0;
    t->count = t->keys_len = 0;
}

/* ---- keys -------------------------------------------------------------------------------------- */

/* Of a map's entry its key; of a line of an arena its number. */
static uint32_t name_entry(struct nd_backend *b, const struct object *object, const void *key, uint32_t len)
{
    memcpy(b->key, object->prefix, object->prefix_len);
    memcpy(b->key + object->prefix_len, key, len);
    return object->prefix_len + len;
}

/* ---- objects ----------------------------------------------------------------------------------- */

/* The object that holds `p`; NULL: none. */
static const struct object *object_at(const struct nd_backend *b, uintptr_t p)
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

static const struct object *object_of(const struct nd_backend *b, const void *start, enum nf_watch_kind kind)
{
    const struct object *object = b->region ? object_at(b, (uintptr_t)start) : NULL;

    return object && object->kind == kind && object->at == (uintptr_t)start ? object : NULL;
}

/* ---- what NFs do ------------------------------------------------------------------------------- */

static const void *start_of(const struct object *object)
{
    return (const void *)object->at; // NOLINT(performance-no-int-to-ptr): of the region
}

static void read_entry(struct nd_backend *b, const struct object *object, const void *key, uint32_t slot)
{
    const void *table = start_of(object);
    uint32_t len = name_entry(b, object, key, object->as->key_size(table));

    b->store.get(b->store.ctx, b->key, len, slot == NF_NONE ? NULL : object->as->value(table, slot),
                 slot == NF_NONE ? 0 : object->as->value_size(table));
}

/* An entry is looked at, or about to change: the first time in a burst it is read. */
static void touch_entry(struct nd_backend *b, const struct object *object, const void *key, uint32_t slot,
                        uint32_t flag)
{
    uint32_t *flags =
        flags_of(&b->touched, (uint32_t)(object - b->objects), key, object->as->key_size(start_of(object)));
    bool first = !*flags;

    *flags |= flag;
    if (first && !b->store.cache)
        read_entry(b, object, key, slot);
}

static void report_lookup(const void *table, const void *key, uint32_t slot)
{
    struct nd_backend *b = backend;
    const struct object *object = b->store.cache ? NULL : object_of(b, table, NF_WATCH_MAP);

    if (object)
        touch_entry(b, object, key, slot, READ);
}

static void report_change(const void *table, const void *key)
{
    struct nd_backend *b = backend;
    const struct object *object = object_of(b, table, NF_WATCH_MAP);

    if (object)
        *flags_of(&b->touched, (uint32_t)(object - b->objects), key, object->as->key_size(table)) |= WRITTEN;
}

/* One operation on the set of a pool's free numbers. */
static void report_pool(const uint32_t *pool, uint32_t number,
                        void (*operation)(void *ctx, const void *key, uint32_t key_len, uint32_t number))
{
    struct nd_backend *b = backend;
    const struct object *object = object_of(b, pool, NF_WATCH_POOL);

    if (object)
        operation(b->store.ctx, object->prefix, object->prefix_len, number);
}

static void report_taken(const uint32_t *pool, uint32_t number)
{
    report_pool(pool, number, backend->store.take);
}

static void report_given(const uint32_t *pool, uint32_t number)
{
    report_pool(pool, number, backend->store.give);
}

/* ---- words ------------------------------------------------------------------------------------- */

static const uint64_t *word_at(const struct object *object)
{
    return (const uint64_t *)object->at; // NOLINT(performance-no-int-to-ptr): an address of the region
}

static uint32_t write_decimal(char text[24], uint64_t n)
{
    return (uint32_t)snprintf(text, 24, "%" PRId64, (int64_t)n);
}

static void read_word(struct nd_backend *b, const struct object *object, uint64_t value)
{
    char text[24];

    b->store.get(b->store.ctx, object->prefix, object->prefix_len, text, write_decimal(text, value));
}

/* The last edit of a word has been made by now. */
static void report_word(struct nd_backend *b)
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
        b->store.set(b->store.ctx, object->prefix, object->prefix_len, text, write_decimal(text, value));
}

static void touch_word(struct nd_backend *b, const struct object *object)
{
    report_word(b);
    b->word = object;
    b->word_was = *word_at(object);
    if (!b->store.offload && !b->store.cache)
        read_word(b, object, b->word_was);
}

static void report_read(const uint64_t *word)
{
    struct nd_backend *b = backend;
    const struct object *object = b->store.cache ? NULL : object_of(b, word, NF_WATCH_WORD);

    if (!object)
        return;
    report_word(b);
    read_word(b, object, *word);
}

/* ---- lines ------------------------------------------------------------------------------------- */

static const struct object *arena_at(const struct nd_backend *b, uintptr_t p)
{
    for (uint32_t i = 0; i < b->arena_count; i++)
        if (p >= b->arenas[i].at && p < b->arenas[i].end)
            return &b->arenas[i];
    return NULL;
}

static void touch_lines(struct nd_backend *b, uintptr_t p, size_t n)
{
    uintptr_t first = p & ~(uintptr_t)(FT_LINE - 1);

    for (uintptr_t line = first; line < p + n; line += FT_LINE) {
        uintptr_t *last = &b->lines[line >> FT_LINE_SHIFT & 63];

        if (*last == line || !arena_at(b, line))
            continue;
        *flags_of(&b->touched, LINES, &line, sizeof(line)) = WRITTEN;
        *last = line;
    }
}

/* ---- the region's watch ------------------------------------------------------------------------ */

/* Most edits are of lines touched before in the burst: statistics. */
static bool touched_line(const struct nd_backend *b, uintptr_t p, size_t n)
{
    uintptr_t line = p & ~(uintptr_t)(FT_LINE - 1);

    return b->lines[line >> FT_LINE_SHIFT & 63] == line && p + n <= line + FT_LINE;
}

static void watch_edit(void *arg, const void *p, size_t n)
{
    struct nd_backend *b = arg;
    const struct object *object;
    uint32_t slot;

    if (touched_line(b, (uintptr_t)p, n))
        return;
    object = object_at(b, (uintptr_t)p);
    if (!object) {
        touch_lines(b, (uintptr_t)p, n);
        return;
    }
    switch (object->kind) {
    case NF_WATCH_MAP: /* the table itself reports adding and removing */
        slot = object->as->slot_of(start_of(object), p);
        if (slot != NF_NONE)
            touch_entry(b, object, object->as->key(start_of(object), slot), slot, WRITTEN);
        break;
    case NF_WATCH_WORD:
        touch_word(b, object);
        break;
    case NF_WATCH_POOL:
    case NF_WATCH_DERIVED:
        break;
    }
}

/* ---- the burst's end --------------------------------------------------------------------------- */

static void write_entry(struct nd_backend *b, const struct object *object, const void *key)
{
    const void *table = start_of(object);
    uint32_t slot = object->as->peek(table, key),
             len = name_entry(b, object, key, object->as->key_size(table));

    if (slot == NF_NONE)
        b->store.del(b->store.ctx, b->key, len);
    else
        b->store.set(b->store.ctx, b->key, len, object->as->value(table, slot),
                     object->as->value_size(table));
}

static void write_line(struct nd_backend *b, uintptr_t line)
{
    const struct object *arena = arena_at(b, line);
    uint32_t number = (uint32_t)((line - arena->at) >> FT_LINE_SHIFT);
    uint32_t len = name_entry(b, arena, &number, sizeof(number));

    b->store.set(b->store.ctx, b->key, len, (const void *)line, // NOLINT(performance-no-int-to-ptr)
                 FT_LINE);
}

static void end_burst(uint64_t burst)
{
    struct nd_backend *b = backend;
    uintptr_t line;

    if (!b->region)
        return;
    report_word(b);
    for (uint32_t i = 0; i < b->touched.count; i++) {
        const struct touch *touch = &b->touched.list[i];
        const void *key = touched_key(&b->touched, touch);

        if (!(touch->flags & WRITTEN))
            continue;
        if (touch->object == LINES) {
            memcpy(&line, key, sizeof(line));
            write_line(b, line);
            b->lines[line >> FT_LINE_SHIFT & 63] = 0;
        } else {
            write_entry(b, &b->objects[touch->object], key);
        }
    }
    clear_touched(&b->touched);
    b->store.burst(b->store.ctx, burst);
}

/* ---- while a chain is made --------------------------------------------------------------------- */

static struct object *add_object(struct nd_backend *b, enum nf_watch_kind kind, const void *start,
                                 uint64_t bytes)
{
    struct object *object;

    if (b->count == b->room) {
        b->room = b->room ? 2 * b->room : 32;
        b->objects = realloc(b->objects, b->room * sizeof(*b->objects));
        FT_CHECK(b->objects, "no memory for %u objects", b->room);
    }
    object = &b->objects[b->count++];
    *object = (struct object){.at = (uintptr_t)start, .end = (uintptr_t)start + bytes, .kind = kind};
    return object;
}

/* The sessions of the lane. */
static void enter_table(const void *start, uint64_t bytes, const struct nf_watch_table *as)
{
    struct object *object = add_object(backend, NF_WATCH_MAP, start, bytes);

    object->as = as;
    object->prefix_len = (uint32_t)snprintf(object->prefix, sizeof(object->prefix), "0.0:");
}

static void enter_object(const struct nf *nf, enum nf_watch_kind kind, const void *start, uint64_t bytes)
{
    struct nd_backend *b = backend;
    struct object *object;

    if (nf->index == 0) /* the lane's own: neighbours, and the sessions' timers and fragments */
        return;
    object = add_object(b, kind, start, bytes);
    object->as = kind == NF_WATCH_MAP ? &nf_map_as_table : NULL;
    if (kind != NF_WATCH_DERIVED)
        object->prefix_len = (uint32_t)snprintf(object->prefix, sizeof(object->prefix), "%u.%u:", nf->index,
                                                b->numbers[nf->index]++);
}

static void forget_chain(void)
{
    struct nd_backend *b = backend;

    if (b->region)
        ft_region_watch(b->region, NULL, NULL);
    b->region = NULL;
    b->count = b->arena_count = 0;
    b->word = NULL;
    memset(b->numbers, 0, sizeof(b->numbers));
    memset(b->lines, 0, sizeof(b->lines));
    clear_touched(&b->touched);
}

static int begin_chain(const struct nf_chain_config *config, struct ft_fault *fault)
{
    for (unsigned i = 0; i < config->count; i++)
        if (config->nfs[i].module->heap)
            return ft_fail(fault, FT_EINVAL,
                           "chain %s: %s has a heap, of which a state backend hears nothing", config->name,
                           config->nfs[i].module->name);
    if (config->lanes > 1)
        return ft_fail(fault, FT_EINVAL, "chain %s: %u lanes, a state backend serves one", config->name,
                       config->lanes);
    forget_chain();
    return FT_OK;
}

static void load_object(struct nd_backend *b, const struct object *object)
{
    const void *start = (const void *)object->at; // NOLINT(performance-no-int-to-ptr): of the region
    char text[24];

    switch (object->kind) {
    case NF_WATCH_MAP:
        for (uint32_t slot = 0; (slot = object->as->next(start, slot)) != NF_NONE; slot++)
            write_entry(b, object, object->as->key(start, slot));
        break;
    case NF_WATCH_POOL:
        for (const uint32_t *n = start; n < (const uint32_t *)object->end; n++)
            b->store.give(b->store.ctx, object->prefix, object->prefix_len, *n);
        break;
    case NF_WATCH_WORD:
        b->store.set(b->store.ctx, object->prefix, object->prefix_len, text,
                     write_decimal(text, *word_at(object)));
        break;
    case NF_WATCH_DERIVED:
        break;
    }
}

/* A line that is all zeros is as good as none. */
static void load_lines(struct nd_backend *b, const struct object *arena)
{
    static const uint8_t zeros[FT_LINE];

    for (uintptr_t line = arena->at; line < arena->end; line += FT_LINE) {
        const struct object *object = object_at(b, line);

        if (object)
            line = ((object->end + FT_LINE - 1) & ~(uintptr_t)(FT_LINE - 1)) - FT_LINE;
        else if (memcmp((const void *)line, zeros, FT_LINE) != 0) // NOLINT(performance-no-int-to-ptr)
            write_line(b, line);
    }
}

static void enter_arena(struct nd_backend *b, const struct ft_arena *arena)
{
    uintptr_t at = (uintptr_t)arena->region->base + arena->offset;
    struct object *entry = &b->arenas[b->arena_count++];

    *entry = (struct object){.at = at, .end = at + arena->used};
    entry->prefix_len = arena->nf == FT_NFS_MAX
                            ? (uint32_t)snprintf(entry->prefix, sizeof(entry->prefix), "raw:")
                            : (uint32_t)snprintf(entry->prefix, sizeof(entry->prefix), "%u.raw:", arena->nf);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = ((const struct object *)a)->at, y = ((const struct object *)b)->at;

    return (x > y) - (x < y);
}

static void load_chain(struct ft_region *region)
{
    struct nd_backend *b = backend;

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
    ft_region_watch(region, watch_edit, b);
}

static const struct nf_watch watcher = {
    .making = begin_chain,
    .made = enter_object,
    .table = enter_table,
    .found = report_lookup,
    .changed = report_change,
    .read = report_read,
    .taken = report_taken,
    .given = report_given,
    .whole = load_chain,
    .burst = end_burst,
};

int nd_backend_attach(struct nd_backend **out, const struct nd_store *store)
{
    struct nd_backend *b;

    *out = NULL;
    if (backend)
        return FT_EBUSY;
    b = calloc(1, sizeof(*b));
    if (!b)
        return FT_ENOMEM;
    b->store = *store;
    *out = backend = b;
    nf_watch = &watcher;
    return FT_OK;
}

void nd_backend_detach(struct nd_backend *b)
{
    if (!b)
        return;
    forget_chain();
    backend = NULL;
    nf_watch = NULL;
    free_touched(&b->touched);
    free(b->objects);
    free(b);
}
