/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports to a store what NFs do to their state; see backend.h. Owns the list of the chain's objects and what
 * the burst has touched; both are of the process, not of the region, and made anew with the chain.
 *
 * Edits come from the region's watch, before the change: what was written is read when the burst ends. A word
 * is the exception, since each of its changes is reported: an edit reports the change before it.
 *
 * Keys: "NF.NUMBER:" and the map's key; the same alone for a pool or a word; "NF.raw:" and the number of the
 * line in the NF's arena, "raw:" in the shared one, as four bytes.
 */
#include "nflib/backend/parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINES UINT32_MAX /* in place of an object: lines of an arena */

/* ---- keys -------------------------------------------------------------------------------------- */

/* Of a map's entry its key; of a line of an arena its number. */
static uint32_t name_entry(struct nf_backend *b, const struct nf_backend_object *object, const void *key,
                           uint32_t len)
{
    memcpy(b->key, object->prefix, object->prefix_len);
    memcpy(b->key + object->prefix_len, key, len);
    return object->prefix_len + len;
}

/* ---- objects ----------------------------------------------------------------------------------- */

/* The object that holds `p`; NULL: none. */
const struct nf_backend_object *nf_backend_object_at(const struct nf_backend *b, uintptr_t p)
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

static const struct nf_backend_object *object_of(const struct nf_backend *b, const void *start,
                                                 enum nf_watch_kind kind)
{
    const struct nf_backend_object *object = b->region ? nf_backend_object_at(b, (uintptr_t)start) : NULL;

    return object && object->kind == kind && object->at == (uintptr_t)start ? object : NULL;
}

/* ---- what NFs do ------------------------------------------------------------------------------- */

static const void *start_of(const struct nf_backend_object *object)
{
    return (const void *)object->at; // NOLINT(performance-no-int-to-ptr): of the region
}

static void read_entry(struct nf_backend *b, const struct nf_backend_object *object, const void *key,
                       uint32_t slot)
{
    const void *table = start_of(object);
    uint32_t len = name_entry(b, object, key, object->as->key_size(table));

    b->store.get(b->store.ctx, b->key, len, slot == NF_NONE ? NULL : object->as->value(table, slot),
                 slot == NF_NONE ? 0 : object->as->value_size(table));
}

/* An entry is looked at, or about to change: the first time in a burst it is read. */
static void touch_entry(struct nf_backend *b, const struct nf_backend_object *object, const void *key,
                        uint32_t slot, uint32_t flag)
{
    uint32_t *flags = nf_touched_at(&b->touched, (uint32_t)(object - b->objects), key,
                                    object->as->key_size(start_of(object)));
    bool first = !*flags;

    *flags |= flag;
    if (first && !b->store.cache)
        read_entry(b, object, key, slot);
}

static void report_lookup(const void *table, const void *key, uint32_t slot)
{
    struct nf_backend *b = nf_backend;
    const struct nf_backend_object *object = b->store.cache ? NULL : object_of(b, table, NF_WATCH_MAP);

    if (object)
        touch_entry(b, object, key, slot, NF_TOUCHED_READ);
}

static void report_change(const void *table, const void *key)
{
    struct nf_backend *b = nf_backend;
    const struct nf_backend_object *object = object_of(b, table, NF_WATCH_MAP);

    if (object)
        *nf_touched_at(&b->touched, (uint32_t)(object - b->objects), key, object->as->key_size(table)) |=
            NF_TOUCHED_WRITTEN;
}

/* One operation on the set of a pool's free numbers. */
static void report_pool(const uint32_t *pool, uint32_t number,
                        void (*operation)(void *ctx, const void *key, uint32_t key_len, uint32_t number))
{
    struct nf_backend *b = nf_backend;
    const struct nf_backend_object *object = object_of(b, pool, NF_WATCH_POOL);

    if (object)
        operation(b->store.ctx, object->prefix, object->prefix_len, number);
}

static void report_taken(const uint32_t *pool, uint32_t number)
{
    report_pool(pool, number, nf_backend->store.take);
}

static void report_given(const uint32_t *pool, uint32_t number)
{
    report_pool(pool, number, nf_backend->store.give);
}

/* ---- words ------------------------------------------------------------------------------------- */

const uint64_t *nf_backend_word(const struct nf_backend_object *object)
{
    return (const uint64_t *)object->at; // NOLINT(performance-no-int-to-ptr): an address of the region
}

uint32_t nf_backend_decimal(char text[24], uint64_t n)
{
    return (uint32_t)snprintf(text, 24, "%" PRId64, (int64_t)n);
}

static void read_word(struct nf_backend *b, const struct nf_backend_object *object, uint64_t value)
{
    char text[24];

    b->store.get(b->store.ctx, object->prefix, object->prefix_len, text, nf_backend_decimal(text, value));
}

/* The last edit of a word has been made by now. */
static void report_word(struct nf_backend *b)
{
    const struct nf_backend_object *object = b->word;
    uint64_t value = object ? *nf_backend_word(object) : 0;
    char text[24];

    b->word = NULL;
    if (!object || value == b->word_was)
        return;
    if (b->store.offload)
        b->store.add(b->store.ctx, object->prefix, object->prefix_len, (int64_t)(value - b->word_was), value);
    else
        b->store.set(b->store.ctx, object->prefix, object->prefix_len, text, nf_backend_decimal(text, value));
}

static void touch_word(struct nf_backend *b, const struct nf_backend_object *object)
{
    report_word(b);
    b->word = object;
    b->word_was = *nf_backend_word(object);
    if (!b->store.offload && !b->store.cache)
        read_word(b, object, b->word_was);
}

static void report_read(const uint64_t *word)
{
    struct nf_backend *b = nf_backend;
    const struct nf_backend_object *object = b->store.cache ? NULL : object_of(b, word, NF_WATCH_WORD);

    if (!object)
        return;
    report_word(b);
    read_word(b, object, *word);
}

const struct nf_watch nf_backend_watcher = {
    .made = nf_backend_enter,
    .table = nf_backend_enter_table,
    .found = report_lookup,
    .changed = report_change,
    .read = report_read,
    .taken = report_taken,
    .given = report_given,
};

/* ---- lines ------------------------------------------------------------------------------------- */

static const struct nf_backend_object *arena_at(const struct nf_backend *b, uintptr_t p)
{
    for (uint32_t i = 0; i < b->arena_count; i++)
        if (p >= b->arenas[i].at && p < b->arenas[i].end)
            return &b->arenas[i];
    return NULL;
}

static void touch_lines(struct nf_backend *b, uintptr_t p, size_t n)
{
    uintptr_t first = p & ~(uintptr_t)(FT_LINE - 1);

    for (uintptr_t line = first; line < p + n; line += FT_LINE) {
        uintptr_t *last = &b->lines[line >> FT_LINE_SHIFT & 63];

        if (*last == line || !arena_at(b, line))
            continue;
        *nf_touched_at(&b->touched, LINES, &line, sizeof(line)) = NF_TOUCHED_WRITTEN;
        *last = line;
    }
}

/* ---- the region's watch ------------------------------------------------------------------------ */

/* Most edits are of lines touched before in the burst: statistics. */
static bool touched_line(const struct nf_backend *b, uintptr_t p, size_t n)
{
    uintptr_t line = p & ~(uintptr_t)(FT_LINE - 1);

    return b->lines[line >> FT_LINE_SHIFT & 63] == line && p + n <= line + FT_LINE;
}

void nf_backend_watch(void *arg, const void *p, size_t n)
{
    struct nf_backend *b = arg;
    const struct nf_backend_object *object;
    uint32_t slot;

    if (touched_line(b, (uintptr_t)p, n))
        return;
    object = nf_backend_object_at(b, (uintptr_t)p);
    if (!object) {
        touch_lines(b, (uintptr_t)p, n);
        return;
    }
    switch (object->kind) {
    case NF_WATCH_MAP: /* the table itself reports adding and removing */
        slot = object->as->slot_of(start_of(object), p);
        if (slot != NF_NONE)
            touch_entry(b, object, object->as->key(start_of(object), slot), slot, NF_TOUCHED_WRITTEN);
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

void nf_backend_write_entry(struct nf_backend *b, const struct nf_backend_object *object, const void *key)
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

void nf_backend_write_line(struct nf_backend *b, uintptr_t line)
{
    const struct nf_backend_object *arena = arena_at(b, line);
    uint32_t number = (uint32_t)((line - arena->at) >> FT_LINE_SHIFT);
    uint32_t len = name_entry(b, arena, &number, sizeof(number));

    b->store.set(b->store.ctx, b->key, len, (const void *)line, // NOLINT(performance-no-int-to-ptr)
                 FT_LINE);
}

void nf_backend_burst(uint64_t burst)
{
    struct nf_backend *b = nf_backend;
    uintptr_t line;

    if (!b->region)
        return;
    report_word(b);
    for (uint32_t i = 0; i < b->touched.count; i++) {
        const struct nf_touch *touch = &b->touched.list[i];
        const void *key = nf_touched_key(&b->touched, touch);

        if (!(touch->flags & NF_TOUCHED_WRITTEN))
            continue;
        if (touch->object == LINES) {
            memcpy(&line, key, sizeof(line));
            nf_backend_write_line(b, line);
            b->lines[line >> FT_LINE_SHIFT & 63] = 0;
        } else {
            nf_backend_write_entry(b, &b->objects[touch->object], key);
        }
    }
    nf_touched_clear(&b->touched);
    b->store.burst(b->store.ctx, burst);
}
