/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-redis access: how long one access to state takes, in the region and in Redis. Owns what it measures
 * on: a chain of one NF that does nothing, with two maps and a number; a connection and a server.
 */
#include "tests/bench/access.h"
#include "understudy/bench/bench.h"
#include "understudy/config/options.h"
#include "ftcore/base/draw.h"
#include "nflib/chain/chain.h"
#include "nflib/shared/shared.h"
#include "ftcore/base/clock.h"
#include "tests/bench/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define GROUP  64u /* accesses between two readings of the clock; commands in a batch */
#define LOADED 2048u
#define SHARDS 16u
#define LANES  2u /* or a section would take no lock */

struct key {
    uint64_t number, zero;
};
struct value {
    uint64_t word[3];
};

struct times {
    const char *where, *access; /* "map", "read" */
    double mean, p50, p99;      /* ns */
};

#define ACCESSES 13u

/* Of a map, a map and a number that two lanes share, sections included: of the mean of 64 in a row. Of Redis,
 * GET, SET and INCRBY: sync each to its answer, async of the mean of 64 in one batch. */
struct access_times {
    struct times times[ACCESSES];
    unsigned count;
    char settings[240]; /* of the server and the connection, for people */
};

struct bench {
    struct access_times *out;
    uint32_t entries, samples;
    uint64_t draw;   /* of the generator */
    double *taken;   /* [samples] ns */
    uint64_t unused; /* what was read, so that it is read */
};

static void draw_keys(struct bench *b, struct key keys[], uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        keys[k] = (struct key){.number = ft_draw(&b->draw) % b->entries};
}

static void add_times(struct bench *b, const char *where, const char *access)
{
    struct times t = {.where = where,
                      .access = access,
                      .p50 = nd_quantile(b->taken, b->samples, 0.5),
                      .p99 = nd_quantile(b->taken, b->samples, 0.99)};

    for (uint32_t i = 0; i < b->samples; i++)
        t.mean += b->taken[i] / b->samples;
    b->out->times[b->out->count++] = t;
}

/* ---- the region -------------------------------------------------------------------------------- */

struct state {
    struct nf_map *map;
    struct nf_shared_map *shared;
    struct nf_shared_word *word;
};

static uint64_t bare_arena(const void *config)
{
    return nf_map_bytes(*(const uint32_t *)config, sizeof(struct key), sizeof(struct value));
}

static uint64_t bare_shared(const void *config, unsigned lanes)
{
    (void)lanes;
    return nf_shared_map_bytes(*(const uint32_t *)config * 2, sizeof(struct key), sizeof(struct value),
                               SHARDS) +
           nf_shared_word_bytes();
}

static bool bare_make(struct nf *nf)
{
    uint32_t entries = *(const uint32_t *)nf->config;
    struct state *s = nf->state;

    s->map = nf_map_make(nf, entries, sizeof(struct key), sizeof(struct value));
    s->shared = nf_shared_map_make(nf, entries * 2, sizeof(struct key), sizeof(struct value), SHARDS);
    s->word = nf_shared_word_make(nf);
    return s->map && s->shared && s->word;
}

static void bare_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    (void)nf;
    (void)packets;
    (void)n;
    (void)now;
}

static const struct nf_module bare = {.name = "bare",
                                      .summary = "maps and a number",
                                      .config_size = sizeof(uint32_t),
                                      .state_size = sizeof(struct state),
                                      .arena = bare_arena,
                                      .shared = bare_shared,
                                      .make = bare_make,
                                      .process = bare_process};

enum access { READ_MAP, WRITE_MAP, READ_SHARED, WRITE_SHARED, READ_WORD, ADD_WORD };

/* Returns what was read. */
static inline __attribute__((always_inline)) uint64_t access_state(const struct nf *nf, enum access access,
                                                                   const struct key *key)
{
    const struct state *s = nf->state;
    uint64_t number = 0;

    switch (access) {
    case READ_MAP:
        return ((const struct value *)nf_map_value(s->map, nf_map_find(s->map, key)))->word[0];
    case WRITE_MAP:
        return NF_EDIT(nf, (const struct value *)nf_map_value(s->map, nf_map_find(s->map, key)))->word[0]++;
    case READ_SHARED:
        nf_shared_map_get(nf, s->shared, key, &number, sizeof(number));
        return number;
    case WRITE_SHARED:
        return nf_shared_map_add(nf, s->shared, key, 1);
    case READ_WORD:
        return nf_shared_word_get(nf, s->word);
    case ADD_WORD:
        return nf_shared_word_add(nf, s->word, 1);
    }
    return 0;
}

static inline __attribute__((always_inline)) void time_local(struct bench *b, const struct nf *nf,
                                                             enum access access, const char *where,
                                                             const char *how)
{
    struct key keys[GROUP];

    for (uint32_t i = 0; i < b->samples; i++) {
        draw_keys(b, keys, GROUP);
        uint64_t from = ft_now();
        for (uint32_t k = 0; k < GROUP; k++)
            b->unused += access_state(nf, access, &keys[k]);
        b->taken[i] = (double)(ft_now() - from) / GROUP;
    }
    add_times(b, where, how);
}

static void fill_maps(const struct bench *b, const struct nf *nf)
{
    const struct state *s = nf->state;

    for (uint64_t i = 0; i < b->entries; i++) {
        struct key key = {.number = i};

        FT_CHECK(nf_map_add(nf, s->map, &key) != NF_NONE, "the map is full");
        struct nf_map *part = nf_shared_map_part(s->shared, nf_shared_map_shard(s->shared, &key));

        FT_CHECK(nf_map_add(nf, part, &key) != NF_NONE, "the shared map is full");
    }
}

static int measure_local(struct bench *b, struct ft_fault *fault)
{
    struct nf_chain_config chain = {
        .name = "access", .lanes = LANES, .count = 1, .nfs = {{.module = &bare, .config = &b->entries}}};
    static const struct ft_region_config how = {.name = "access"};
    struct ft_region *region = NULL;
    struct nf_chain *made = NULL;
    int error;

    error = nf_chain_region(&region, &chain, &how, fault);
    if (error == FT_OK)
        error = nf_chain_make(&made, &chain, region, 0, 1, fault);
    if (error == FT_OK) {
        const struct nf *nf = nf_chain_nf(made, 1);

        fill_maps(b, nf);
        time_local(b, nf, READ_MAP, "map", "read");
        time_local(b, nf, WRITE_MAP, "map", "write");
        time_local(b, nf, READ_SHARED, "shared map", "read");
        time_local(b, nf, WRITE_SHARED, "shared map", "write");
        time_local(b, nf, READ_WORD, "shared number", "read");
        time_local(b, nf, ADD_WORD, "shared number", "add");
        b->out->times[b->out->count] = b->out->times[0];
        b->out->times[b->out->count++].where = "redis, cached";
    }
    nf_chain_free(made);
    ft_region_close(region);
    return error;
}

/* ---- Redis ------------------------------------------------------------------------------------- */

static const struct value zeros;

static void put_set(struct nd_wire *w, const struct key *key)
{
    const struct nd_wire_arg args[] = {ND_WIRE_TEXT("SET"), {key, sizeof(*key)}, {&zeros, sizeof(zeros)}};

    nd_wire_command(w, args, 3, ND_WANT_STATUS, 0);
}

static void put_get(struct nd_wire *w, const struct key *key)
{
    const struct nd_wire_arg args[] = {ND_WIRE_TEXT("GET"), {key, sizeof(*key)}};

    nd_wire_command(w, args, 2, ND_WANT_BYTES, XXH3_64bits(&zeros, sizeof(zeros)));
}

static void put_add(struct nd_wire *w, const struct key *key)
{
    char name[32];
    uint32_t len = (uint32_t)snprintf(name, sizeof(name), "n%" PRIu64, key->number);
    const struct nd_wire_arg args[] = {ND_WIRE_TEXT("INCRBY"), {name, len}, ND_WIRE_TEXT("1")};

    nd_wire_command(w, args, 3, ND_WANT_NUMBER, 0);
}

static void write_and_await(struct nd_wire *w)
{
    nd_wire_write(w);
    nd_wire_await(w, w->issued);
}

/* `batch` commands in one write, 1 … GROUP, to the last answer; a command's part of that. */
static void time_remote(struct bench *b, struct nd_wire *w, uint32_t batch,
                        void (*put)(struct nd_wire *w, const struct key *key), const char *how)
{
    for (uint32_t i = 0; i < b->samples && !nd_wire_lost(w); i++) {
        struct key keys[GROUP];

        draw_keys(b, keys, batch);
        uint64_t from = ft_now();
        for (uint32_t k = 0; k < batch; k++)
            put(w, &keys[k]);
        write_and_await(w);
        b->taken[i] = (double)(ft_now() - from) / batch;
    }
    add_times(b, batch == 1 ? "redis, sync" : "redis, async", how);
}

static int measure_remote(struct bench *b, struct ft_fault *fault)
{
    struct nd_redis_server server;
    struct nd_wire wire;
    int error = nd_redis_server_start(&server, fault);

    if (error < 0)
        return error;
    error = nd_wire_open(&wire, server.port, fault);
    if (error == FT_OK) {
        for (uint64_t i = 0; i < b->entries; i++) {
            put_set(&wire, &(struct key){.number = i});
            if (wire.unsent == LOADED)
                write_and_await(&wire);
        }
        write_and_await(&wire);
        for (uint32_t batch = 1; batch <= GROUP; batch += GROUP - 1) {
            time_remote(b, &wire, batch, put_get, "read");
            time_remote(b, &wire, batch, put_set, "write");
            time_remote(b, &wire, batch, put_add, "add");
        }
        snprintf(b->out->settings, sizeof(b->out->settings),
                 "%s; TCP on the loopback, no delay, one connection", server.settings);
        if (nd_wire_lost(&wire))
            error = ft_fail(fault, FT_EIO, "%s", wire.why);
    }
    nd_wire_close(&wire);
    nd_redis_server_stop(&server);
    return error;
}

/*
 * `entries` keys of 16 bytes with values of 24, in random order, `samples` times each; Redis is a server of
 * our own. No region may be open in this process, no backend attached. FT_ENOMEM; FT_ENOENT, FT_EIO: no
 * server.
 */
static int measure_accesses(struct access_times *out, uint32_t entries, uint32_t samples,
                            struct ft_fault *fault)
{
    struct bench b = {.out = out, .entries = entries, .samples = samples};
    int error;

    b.taken = calloc(samples, sizeof(*b.taken));
    if (!b.taken)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u samples", samples);
    error = measure_local(&b, fault);
    if (error == FT_OK)
        error = measure_remote(&b, fault);
    free(b.taken);
    return error;
}

/* ---- the command ------------------------------------------------------------------------------- */

#define SAMPLES 2000u /* of each kind of access, a second of --seconds */

#define OF(field) offsetof(struct times, field)

static const struct nd_column columns[] = {
    ND_TEXT_COLUMN(NULL, "state", OF(where), 0), ND_TEXT_COLUMN("access", "access", OF(access), -6),
    ND_REAL("mean", "mean_ns", OF(mean), 10, 1), ND_REAL("p50", "p50_ns", OF(p50), 10, 1),
    ND_REAL("p99", "p99_ns", OF(p99), 10, 1),    {.title = NULL},
};

struct options {
    uint64_t entries;
    double seconds;
    bool json;
};

static const struct nd_option rows[] = {
    {"flows", 0, ND_OPTION_U64, offsetof(struct options, entries), 2, 1u << 20, "100000", .value = "N",
     .help = "entries"},
    {"seconds", 0, ND_OPTION_REAL, offsetof(struct options, seconds), 0.05, 600, "1", .value = "S",
     .help = "of each measurement"},
    ND_OPTION_JSON_ROW(offsetof(struct options, json)),
    {.name = NULL},
};

static const struct nd_syntax syntax = {"access", rows, "", 0, 0};

int nd_bench_access(int argc, char **argv)
{
    static struct access_times a;
    struct options o = {0};
    struct nd_sheet sheet = {.wide = 14};
    struct nd_arguments rest;
    struct ft_fault fault = {""};
    json_t *list;
    int code = nd_syntax_read(&syntax, &o, argc, argv, &rest);

    if (code)
        return code;
    sheet.out = o.json ? stderr : stdout;
    if (measure_accesses(&a, (uint32_t)o.entries, (uint32_t)(SAMPLES * o.seconds) + 1, &fault) != 0) {
        fprintf(stderr, "bench-redis: %s\n", fault.text);
        return ND_SOFTWARE;
    }
    nd_sheet_begin(&sheet, columns, "state");
    for (unsigned i = 0; i < a.count; i++)
        nd_sheet_row(&sheet, columns, a.times[i].where, &a.times[i]);
    fprintf(sheet.out,
            "times in ns, %lu entries; keys of 16 bytes, values of 24, in random order; local and async: of "
            "the mean of 64, async in one batch; shared:\nof two lanes, section and lock included; what is "
            "cached is read here, and written as without a cache\n%s\n",
            o.entries, a.settings);
    if (!o.json)
        return ND_DONE;
    list = json_array();
    for (unsigned i = 0; i < a.count; i++)
        json_array_append_new(list, nd_columns_object(columns, &a.times[i]));
    return nd_bench_print_list(
        json_pack("{s:I, s:s}", "entries", (json_int_t)o.entries, "settings", a.settings), "access", list);
}
