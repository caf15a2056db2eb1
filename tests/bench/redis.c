/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redis as a state backend; see redis.h. Owns the connection and the server; the list of the chain's objects
 * and what the burst has touched, which are of the process, not of the region, and made anew with the chain.
 * Written by whoever makes the chain, then by the lane.
 *
 * Edits come from the region's watch, before the change: what was written is read when the burst ends. A word
 * is the exception, since each of its changes is reported: an edit reports the change before it.
 *
 * Keys: "NF.NUMBER:" and the map's key; the same alone for a pool or a word; "NF.raw:" and the number of the
 * line in the NF's arena, "raw:" in the shared one, as four bytes.
 */
#include "tests/bench/redis.h"
#include "ftcore/base/check.h"
#include "nflib/chain/chain.h"
#include "nflib/state/state.h"
#include "understudy/config/config.h"
#include "understudy/config/schema.h"
#include "tests/bench/watch.h"
#include "tests/bench/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define LOAD_BATCH     2048u /* for the state that a chain begins with: no part of what is measured */
#define ASKED_IDLE     4u /* more than in a turn with a burst: two ports, one of them twice, and its outputs */
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

struct nd_redis {
    struct nd_redis_options options;
    struct nd_redis_server server;
    struct nd_wire wire;
    bool loading;         /* a new chain's state, for whose answers nobody waits */
    uint64_t awaited;     /* last command whose answer packets wait for */
    uint64_t ended;       /* last burst whose commands are all gathered */
    uint64_t confirmed;   /* last burst whose outputs may leave */
    uint64_t asked_after; /* the last burst that had ended when the lane asked for frames, or to send */
    uint32_t asked;       /* times it has asked since, without another burst */

    /* What is reported: made anew with each chain. */
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

static struct nd_redis *watching; /* the process's state backend; NULL: it has none */

/* ---- the section `redis` of a chain file or a pair file, which nobody but the bench reads ----------- */

static const char *const modes[] = {"sync", "async", NULL};

#define AT(member) offsetof(struct nd_redis_options, member)
static const struct nf_param parameters[] = {
    {"mode", NF_CHOICE, AT(mode), 0, 0, "sync", modes, "whether packets wait for writes", false},
    {"cache", NF_BOOL, AT(cache), 0, 0, "false", NULL, "reads are local", false},
    {"batch", NF_U32, AT(batch), 1, ND_REDIS_BATCH_MAX, "32", NULL, "commands in one write", false},
    {"offload", NF_BOOL, AT(offload), 0, 0, "true", NULL, "counters by INCRBY", false},
    {0},
};
#undef AT

int nd_redis_read(struct nd_redis_options *out, const struct nd_config *config, struct ft_fault *fault)
{
    const struct nd_yaml none = {.kind = ND_YAML_MAP};

    memset(out, 0, sizeof(*out));
    return nd_schema_read(config->arena, config->redis ? config->redis : &none, "redis", parameters, out,
                          fault);
}

/* ---- when ---------------------------------------------------------------------------------------- */

/* Writes, and waits for the answers up to `upto`. All bursts that have ended are told in what is written. */
static void flush_commands(struct nd_redis *r, uint64_t upto)
{
    nd_wire_write(&r->wire);
    nd_wire_await(&r->wire, upto);
    if (!nd_wire_lost(&r->wire))
        r->confirmed = r->ended;
}

static void confirm_burst(struct nd_redis *r, uint64_t burst)
{
    r->ended = burst;
    if (nd_wire_lost(&r->wire))
        return;
    if (r->awaited <= r->wire.answered)
        r->confirmed = burst;
    else if (!r->options.across)
        flush_commands(r, r->awaited);
}

/* Writes what waits and takes all answers: when there is nothing else to do, and before the end. */
static void settle_commands(struct nd_redis *r)
{
    if (!nd_wire_lost(&r->wire))
        flush_commands(r, r->wire.issued);
}

/* ---- what ---------------------------------------------------------------------------------------- */

/* Of one argument, a key, and what `more` has, unless that is NULL. `read`: packets wait for its answer
 * whatever the mode. */
static void send_command(struct nd_redis *r, bool read, struct nd_wire_arg verb, struct nd_wire_arg key,
                         struct nd_wire_arg more, enum nd_want want, uint64_t value)
{
    const struct nd_wire_arg args[] = {verb, key, more};

    if (nd_wire_lost(&r->wire))
        return;
    nd_wire_command(&r->wire, args, 1 + !!key.data + !!more.data, want, value);
    *(read ? &r->wire.counts.reads : &r->wire.counts.writes) += 1;
    if (read || r->options.mode == ND_REDIS_SYNC)
        r->awaited = r->wire.issued;
    if (r->wire.unsent >= (r->loading ? LOAD_BATCH : r->options.batch))
        flush_commands(r, r->loading ? 0 : r->awaited);
}

static const struct nd_wire_arg nothing;

static struct nd_wire_arg format_number(char text[24], int64_t n)
{
    return (struct nd_wire_arg){text, (uint32_t)snprintf(text, 24, "%" PRId64, n)};
}

static void get_value(struct nd_redis *r, struct nd_wire_arg key, struct nd_wire_arg expected)
{
    send_command(r, true, ND_WIRE_TEXT("GET"), key, nothing, expected.data ? ND_WANT_BYTES : ND_WANT_NIL,
                 expected.data ? XXH3_64bits(expected.data, expected.len) : 0);
}

static void set_value(struct nd_redis *r, struct nd_wire_arg key, struct nd_wire_arg value)
{
    send_command(r, false, ND_WIRE_TEXT("SET"), key, value, ND_WANT_STATUS, 0);
}

/* ---- what a burst has touched -------------------------------------------------------------------- */

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

static void clear_touched(struct touched *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        t->chains[t->list[i].hash % TOUCHED_CHAINS] = 0;
    t->count = t->keys_len = 0;
}

/* ---- objects ----------------------------------------------------------------------------------- */

/* The object that holds `p`; NULL: none. */
static const struct object *object_at(const struct nd_redis *r, uintptr_t p)
{
    uint32_t low = 0, high = r->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (r->objects[middle].end <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->count && r->objects[low].at <= p ? &r->objects[low] : NULL;
}

static const struct object *object_of(const struct nd_redis *r, const void *start, enum nf_watch_kind kind)
{
    const struct object *object = r->region ? object_at(r, (uintptr_t)start) : NULL;

    return object && object->kind == kind && object->at == (uintptr_t)start ? object : NULL;
}

static const void *start_of(const struct object *object)
{
    return (const void *)object->at; // NOLINT(performance-no-int-to-ptr): of the region
}

/* What a pool or a word is called. */
static struct nd_wire_arg name_of(const struct object *object)
{
    return (struct nd_wire_arg){object->prefix, object->prefix_len};
}

/* Of a map's entry its key; of a line of an arena its number. */
static struct nd_wire_arg name_entry(struct nd_redis *r, const struct object *object, const void *key,
                                     uint32_t len)
{
    memcpy(r->key, object->prefix, object->prefix_len);
    memcpy(r->key + object->prefix_len, key, len);
    return (struct nd_wire_arg){r->key, object->prefix_len + len};
}

/* A map's value, as it is in the region; nothing: it has none. */
static struct nd_wire_arg value_of(const struct object *object, uint32_t slot)
{
    const void *table = start_of(object);

    return slot == NF_NONE
               ? nothing
               : (struct nd_wire_arg){object->as->value(table, slot), object->as->value_size(table)};
}

/* ---- what NFs do ------------------------------------------------------------------------------- */

/* An entry is looked at, or about to change: the first time in a burst it is read. */
static void touch_entry(struct nd_redis *r, const struct object *object, const void *key, uint32_t slot,
                        uint32_t flag)
{
    uint32_t len = object->as->key_size(start_of(object)),
             *flags = flags_of(&r->touched, (uint32_t)(object - r->objects), key, len);
    bool first = !*flags;

    *flags |= flag;
    if (first && !r->options.cache)
        get_value(r, name_entry(r, object, key, len), value_of(object, slot));
}

static void report_lookup(const void *table, const void *key, uint32_t slot)
{
    struct nd_redis *r = watching;
    const struct object *object = r->options.cache ? NULL : object_of(r, table, NF_WATCH_MAP);

    if (object)
        touch_entry(r, object, key, slot, READ);
}

static void report_change(const void *table, const void *key)
{
    struct nd_redis *r = watching;
    const struct object *object = object_of(r, table, NF_WATCH_MAP);

    if (object)
        *flags_of(&r->touched, (uint32_t)(object - r->objects), key, object->as->key_size(table)) |= WRITTEN;
}

/* The chain draws the number: the set of free ones loses it, or is asked whether it is empty. With a cache
 * that is known here: then it is a write like any other. */
static void report_taken(const uint32_t *pool, uint32_t number)
{
    struct nd_redis *r = watching;
    const struct object *object = object_of(r, pool, NF_WATCH_POOL);
    bool none = number == NF_NONE;
    char text[24];

    if (object)
        send_command(r, !r->options.cache, none ? ND_WIRE_TEXT("SCARD") : ND_WIRE_TEXT("SREM"),
                     name_of(object), none ? nothing : format_number(text, number), ND_WANT_THIS_NUMBER,
                     !none);
}

static void give_number(struct nd_redis *r, const struct object *object, uint32_t number)
{
    char text[24];

    send_command(r, false, ND_WIRE_TEXT("SADD"), name_of(object), format_number(text, number), ND_WANT_NUMBER,
                 0);
}

static void report_given(const uint32_t *pool, uint32_t number)
{
    const struct object *object = object_of(watching, pool, NF_WATCH_POOL);

    if (object)
        give_number(watching, object, number);
}

/* ---- words ------------------------------------------------------------------------------------- */

static uint64_t word_of(const struct object *object)
{
    return *(const uint64_t *)start_of(object);
}

/* The last edit of a word has been made by now. */
static void report_word(struct nd_redis *r)
{
    const struct object *object = r->word;
    uint64_t value = object ? word_of(object) : 0;
    char text[24];

    r->word = NULL;
    if (!object || value == r->word_was)
        return;
    if (r->options.offload)
        send_command(r, false, ND_WIRE_TEXT("INCRBY"), name_of(object),
                     format_number(text, (int64_t)(value - r->word_was)), ND_WANT_THIS_NUMBER, value);
    else
        set_value(r, name_of(object), format_number(text, (int64_t)value));
}

static void read_word(struct nd_redis *r, const struct object *object)
{
    char text[24];

    get_value(r, name_of(object), format_number(text, (int64_t)word_of(object)));
}

static void report_read(const uint64_t *word)
{
    struct nd_redis *r = watching;
    const struct object *object = r->options.cache ? NULL : object_of(r, word, NF_WATCH_WORD);

    if (!object)
        return;
    report_word(r);
    read_word(r, object);
}

/* ---- lines ------------------------------------------------------------------------------------- */

static const struct object *arena_at(const struct nd_redis *r, uintptr_t p)
{
    for (uint32_t i = 0; i < r->arena_count; i++)
        if (p >= r->arenas[i].at && p < r->arenas[i].end)
            return &r->arenas[i];
    return NULL;
}

static void touch_lines(struct nd_redis *r, uintptr_t p, size_t n)
{
    uintptr_t first = p & ~(uintptr_t)(FT_LINE - 1);

    for (uintptr_t line = first; line < p + n; line += FT_LINE) {
        uintptr_t *last = &r->lines[line >> FT_LINE_SHIFT & 63];

        if (*last == line || !arena_at(r, line))
            continue;
        *flags_of(&r->touched, LINES, &line, sizeof(line)) = WRITTEN;
        *last = line;
    }
}

/* ---- the region's watch ------------------------------------------------------------------------ */

/* Most edits are of lines touched before in the burst: statistics. */
static bool touched_line(const struct nd_redis *r, uintptr_t p, size_t n)
{
    uintptr_t line = p & ~(uintptr_t)(FT_LINE - 1);

    return r->lines[line >> FT_LINE_SHIFT & 63] == line && p + n <= line + FT_LINE;
}

static void watch_edit(void *arg, const void *p, size_t n)
{
    struct nd_redis *r = arg;
    const struct object *object;
    uint32_t slot;

    if (touched_line(r, (uintptr_t)p, n))
        return;
    object = object_at(r, (uintptr_t)p);
    if (!object) {
        touch_lines(r, (uintptr_t)p, n);
        return;
    }
    switch (object->kind) {
    case NF_WATCH_MAP: /* the table itself reports adding and removing */
        slot = object->as->slot_of(start_of(object), p);
        if (slot != NF_NONE)
            touch_entry(r, object, object->as->key(start_of(object), slot), slot, WRITTEN);
        break;
    case NF_WATCH_WORD:
        report_word(r);
        r->word = object;
        r->word_was = word_of(object);
        if (!r->options.offload && !r->options.cache)
            read_word(r, object);
        break;
    case NF_WATCH_POOL:
    case NF_WATCH_DERIVED:
        break;
    }
}

/* ---- the burst's end --------------------------------------------------------------------------- */

static void write_entry(struct nd_redis *r, const struct object *object, const void *key)
{
    const void *table = start_of(object);
    uint32_t slot = object->as->peek(table, key);
    struct nd_wire_arg name = name_entry(r, object, key, object->as->key_size(table));

    if (slot == NF_NONE)
        send_command(r, false, ND_WIRE_TEXT("DEL"), name, nothing, ND_WANT_NUMBER, 0);
    else
        set_value(r, name, value_of(object, slot));
}

static void write_line(struct nd_redis *r, uintptr_t line)
{
    const struct object *arena = arena_at(r, line);
    uint32_t number = (uint32_t)((line - arena->at) >> FT_LINE_SHIFT);
    const void *bytes = (const void *)line; // NOLINT(performance-no-int-to-ptr)

    set_value(r, name_entry(r, arena, &number, sizeof(number)), (struct nd_wire_arg){bytes, FT_LINE});
}

static void end_burst(uint64_t burst)
{
    struct nd_redis *r = watching;
    uintptr_t line;

    if (!r->region)
        return;
    report_word(r);
    for (uint32_t i = 0; i < r->touched.count; i++) {
        const struct touch *touch = &r->touched.list[i];
        const void *key = r->touched.keys + touch->key_at;

        if (!(touch->flags & WRITTEN))
            continue;
        if (touch->object == LINES) {
            memcpy(&line, key, sizeof(line));
            write_line(r, line);
            r->lines[line >> FT_LINE_SHIFT & 63] = 0;
        } else {
            write_entry(r, &r->objects[touch->object], key);
        }
    }
    clear_touched(&r->touched);
    confirm_burst(r, burst);
}

/* ---- while a chain is made --------------------------------------------------------------------- */

static struct object *add_object(struct nd_redis *r, enum nf_watch_kind kind, const void *start,
                                 uint64_t bytes)
{
    struct object *object;

    if (r->count == r->room) {
        r->room = r->room ? 2 * r->room : 32;
        r->objects = realloc(r->objects, r->room * sizeof(*r->objects));
        FT_CHECK(r->objects, "no memory for %u objects", r->room);
    }
    object = &r->objects[r->count++];
    *object = (struct object){.at = (uintptr_t)start, .end = (uintptr_t)start + bytes, .kind = kind};
    return object;
}

/* The sessions of the lane. */
static void enter_table(const void *start, uint64_t bytes)
{
    struct object *object = add_object(watching, NF_WATCH_MAP, start, bytes);

    object->as = &nf_sessions_as_table;
    object->prefix_len = (uint32_t)snprintf(object->prefix, sizeof(object->prefix), "0.0:");
}

static void enter_object(const struct nf *nf, enum nf_watch_kind kind, const void *start, uint64_t bytes)
{
    struct nd_redis *r = watching;
    struct object *object;

    if (nf->index == 0) /* the lane's own: neighbours, and the sessions' timers and fragments */
        return;
    object = add_object(r, kind, start, bytes);
    object->as = kind == NF_WATCH_MAP ? &nf_map_as_table : NULL;
    if (kind != NF_WATCH_DERIVED)
        object->prefix_len = (uint32_t)snprintf(object->prefix, sizeof(object->prefix), "%u.%u:", nf->index,
                                                r->numbers[nf->index]++);
}

static void forget_chain(void)
{
    struct nd_redis *r = watching;

    if (r->region)
        ft_region_watch(r->region, NULL, NULL);
    r->region = NULL;
    r->count = r->arena_count = 0;
    r->word = NULL;
    memset(r->numbers, 0, sizeof(r->numbers));
    memset(r->lines, 0, sizeof(r->lines));
    clear_touched(&r->touched);
}

static void begin_chain(const struct nf_chain_config *config, int *error, struct ft_fault *fault)
{
    for (unsigned i = 0; i < config->count && !*error; i++)
        if (config->nfs[i].module->heap)
            *error =
                ft_fail(fault, FT_EINVAL, "chain %s: %s has a heap, of which a state backend hears nothing",
                        config->name, config->nfs[i].module->name);
    if (!*error && config->lanes > 1)
        *error = ft_fail(fault, FT_EINVAL, "chain %s: %u lanes, a state backend serves one", config->name,
                         config->lanes);
    if (!*error)
        forget_chain();
}

static void load_object(struct nd_redis *r, const struct object *object)
{
    const void *start = start_of(object);
    char text[24];

    switch (object->kind) {
    case NF_WATCH_MAP:
        for (uint32_t slot = 0; (slot = object->as->next(start, slot)) != NF_NONE; slot++)
            write_entry(r, object, object->as->key(start, slot));
        break;
    case NF_WATCH_POOL:
        for (const uint32_t *n = start; n < (const uint32_t *)object->end; n++)
            give_number(r, object, *n);
        break;
    case NF_WATCH_WORD:
        set_value(r, name_of(object), format_number(text, (int64_t)word_of(object)));
        break;
    case NF_WATCH_DERIVED:
        break;
    }
}

/* A line that is all zeros is as good as none. */
static void load_lines(struct nd_redis *r, const struct object *arena)
{
    static const uint8_t zeros[FT_LINE];

    for (uintptr_t line = arena->at; line < arena->end; line += FT_LINE) {
        const struct object *object = object_at(r, line);

        if (object)
            line = ((object->end + FT_LINE - 1) & ~(uintptr_t)(FT_LINE - 1)) - FT_LINE;
        else if (memcmp((const void *)line, zeros, FT_LINE) != 0) // NOLINT(performance-no-int-to-ptr)
            write_line(r, line);
    }
}

static void enter_arena(struct nd_redis *r, const struct ft_arena *arena)
{
    uintptr_t at = (uintptr_t)arena->region->base + arena->offset;
    struct object *entry = &r->arenas[r->arena_count++];

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
    struct nd_redis *r = watching;

    qsort(r->objects, r->count, sizeof(*r->objects), by_address);
    for (unsigned nf = 1; nf < region->nfs; nf++) /* the lane's own is not reported */
        enter_arena(r, ft_region_arena(region, 0, nf));
    enter_arena(r, ft_region_shared(region));
    r->region = region;
    settle_commands(r);
    r->loading = !nd_wire_lost(&r->wire);
    send_command(r, false, ND_WIRE_TEXT("FLUSHDB"), nothing, nothing, ND_WANT_STATUS, 0);
    for (uint32_t i = 0; i < r->count; i++)
        load_object(r, &r->objects[i]);
    for (uint32_t i = 0; i < r->arena_count; i++)
        load_lines(r, &r->arenas[i]);
    settle_commands(r);
    r->loading = false;
    r->ended = r->confirmed = 0;
    r->wire.counts = (struct nd_wire_counts){0};
    ft_region_watch(region, watch_edit, r);
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

/* ---- opening --------------------------------------------------------------------------------------- */

static void describe_server(struct nd_redis *r, char settings[ND_REDIS_SETTINGS])
{
    const struct nd_redis_options *o = &r->options;
    redisReply *info = redisCommand(r->wire.context, "INFO server");
    const char *at = info && info->type == REDIS_REPLY_STRING ? strstr(info->str, "redis_version:") : NULL;
    const char *version = at ? at + 14 : "?";

    snprintf(settings, ND_REDIS_SETTINGS,
             "%s, cache %s, batch %u%s, counters by %s; Redis %.*s at %s by TCP, no delay, keep-alive, one "
             "connection, hiredis %d.%d.%d; %s",
             o->mode == ND_REDIS_SYNC ? "sync" : "async", o->cache ? "on" : "off", o->batch,
             o->across ? " across bursts" : "",
             o->offload ? "INCRBY"
             : o->cache ? "SET"
                        : "GET and SET",
             (int)strcspn(version, "\r\n"), version, r->wire.name, HIREDIS_MAJOR, HIREDIS_MINOR,
             HIREDIS_PATCH, r->server.settings);
    freeReplyObject(info);
}

/* Waits for outstanding answers (bounded) and ends the server. Also of a client that was not set up whole. */
static void close_client(struct nd_redis *r)
{
    if (watching == r) {
        settle_commands(r);
        forget_chain();
        watching = NULL;
        nf_watch = NULL;
    }
    free(r->touched.list);
    free(r->touched.keys);
    free(r->objects);
    nd_wire_close(&r->wire);
    nd_redis_server_stop(&r->server);
    free(r);
}

int nd_redis_open(struct nd_redis **out, const struct nd_redis_options *options,
                  char settings[ND_REDIS_SETTINGS], struct ft_fault *fault)
{
    struct nd_redis *r;
    int error;

    *out = NULL;
    if (options->batch < 1 || options->batch > ND_REDIS_BATCH_MAX)
        return ft_fail(fault, FT_EINVAL, "redis batch is %u, expected a number from 1 to %u", options->batch,
                       ND_REDIS_BATCH_MAX);
    if (watching)
        return ft_fail(fault, FT_EBUSY, "the process has a state backend");
    r = calloc(1, sizeof(*r));
    if (!r)
        return ft_fail(fault, FT_ENOMEM, "no memory for redis");
    r->options = *options;
    error = nd_redis_server_start(&r->server, fault);
    if (error == FT_OK)
        error = nd_wire_open(&r->wire, r->server.port, fault);
    if (error < 0) {
        close_client(r);
        return error;
    }
    describe_server(r, settings);
    nf_watch = &watcher;
    *out = watching = r;
    return FT_OK;
}

/* ---- asking ---------------------------------------------------------------------------------------- */

const char *nd_redis_lost(const struct nd_redis *r)
{
    return nd_wire_lost(&r->wire) ? r->wire.why : NULL;
}

void nd_redis_asked(struct nd_redis *r)
{
    r->asked = r->asked_after == r->ended ? r->asked + 1 : 0;
    r->asked_after = r->ended;
    if (r->asked >= ASKED_IDLE)
        settle_commands(r);
}

uint32_t nd_redis_may_leave(struct nd_redis *r, const struct ft_held held[], uint32_t n)
{
    uint32_t may = 0;

    while (may < n && held[may].burst <= r->confirmed)
        may++;
    if (!may)
        nd_redis_asked(r);
    return may;
}
