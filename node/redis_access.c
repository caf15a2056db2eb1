/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long one access to state takes, in the region and in Redis. Owns what it measures on: a chain of one NF
 * that does nothing, with one map; a connection and a server.
 */
#include "node/redis.h"
#include "ftcore/draw.h"

#include "nflib/chain.h"
#include "node/clock.h"
#include "node/redis_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP  64u /* local accesses between two readings of the clock */
#define LOADED 2048u

struct key {
    uint64_t number, zero;
};
struct value {
    uint64_t word[3];
};

struct bench {
    uint32_t entries, samples;
    uint64_t draw;   /* of the generator */
    double *taken;   /* [samples] ns */
    uint64_t unused; /* what was read, so that it is read */
};

static struct key draw_key(struct bench *b)
{
    FT_CHECK(b->entries > 0, "no entries to draw from");
    return (struct key){.number = ft_draw(&b->draw) % b->entries};
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct nd_redis_times summary(struct bench *b)
{
    struct nd_redis_times t = {0};

    for (uint32_t i = 0; i < b->samples; i++)
        t.mean += b->taken[i] / b->samples;
    qsort(b->taken, b->samples, sizeof(*b->taken), by_time);
    t.p50 = b->taken[b->samples / 2];
    t.p99 = b->taken[(uint64_t)b->samples * 99 / 100];
    return t;
}

/* ---- the region -------------------------------------------------------------------------------- */

static uint64_t bare_arena(const void *config)
{
    return nf_map_bytes(*(const uint32_t *)config, sizeof(struct key), sizeof(struct value));
}

static int bare_make(struct nf *nf, struct ft_fault *fault)
{
    nf->state = nf_map_make(nf, *(const uint32_t *)nf->config, sizeof(struct key), sizeof(struct value));
    return nf->state ? FT_OK : ft_fail(fault, FT_EFULL, "arena full");
}

static void bare_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    (void)nf;
    (void)packets;
    (void)n;
    (void)now;
}

static const struct nf_module bare = {.name = "bare",
                                      .summary = "a map",
                                      .config_size = sizeof(uint32_t),
                                      .arena = bare_arena,
                                      .make = bare_make,
                                      .process = bare_process};

static struct nd_redis_times time_local(struct bench *b, const struct nf *nf, bool write)
{
    struct nf_map *map = nf->state;
    struct key keys[GROUP];

    for (uint32_t i = 0; i < b->samples; i++) {
        for (uint32_t k = 0; k < GROUP; k++)
            keys[k] = draw_key(b);
        uint64_t from = nd_now();
        for (uint32_t k = 0; k < GROUP; k++) {
            const struct value *value = nf_map_value(map, nf_map_find(map, &keys[k]));

            if (write)
                NF_EDIT(nf, value)->word[0]++;
            else
                b->unused += value->word[0];
        }
        b->taken[i] = (double)(nd_now() - from) / GROUP;
    }
    return summary(b);
}

static void fill_map(const struct bench *b, const struct nf *nf)
{
    for (uint64_t i = 0; i < b->entries; i++)
        FT_CHECK(nf_map_add(nf, nf->state, &(struct key){.number = i}) != NF_NONE, "the map is full");
}

static int measure_local(struct nd_redis_access *out, struct bench *b, struct ft_fault *fault)
{
    uint32_t capacity = b->entries;
    struct nf_chain_config chain = {.name = "access", .lanes = 1, .count = 1, .nfs = {{&bare, &capacity}}};
    static const struct ft_region_config how = {.name = "access", .shared_size = 1 << 20};
    struct ft_region *region = NULL;
    struct nf_chain *made = NULL;
    int error;

    error = nf_chain_region(&region, &chain, &how, fault);
    if (error == FT_OK)
        error = nf_chain_make(&made, &chain, region, 0, 1, fault);
    if (error == FT_OK) {
        const struct nf *nf = nf_chain_nf(made, 1);

        fill_map(b, nf);
        out->local_read = time_local(b, nf, false);
        out->local_write = time_local(b, nf, true);
    }
    nf_chain_free(made);
    if (region)
        ft_region_close(region);
    return error;
}

/* ---- Redis ------------------------------------------------------------------------------------- */

static const struct value zeros;

static void put_set(struct nd_wire *w, const struct key *key)
{
    nd_wire_begin(w, 3, sizeof(*key) + sizeof(zeros) + 3);
    nd_wire_arg(w, "SET", 3);
    nd_wire_arg(w, key, sizeof(*key));
    nd_wire_arg(w, &zeros, sizeof(zeros));
    nd_wire_end(w, ND_WANT_STATUS, 0);
}

static void put_get(struct nd_wire *w, const struct key *key)
{
    nd_wire_begin(w, 2, sizeof(*key) + 3);
    nd_wire_arg(w, "GET", 3);
    nd_wire_arg(w, key, sizeof(*key));
    nd_wire_end(w, ND_WANT_BYTES, nd_wire_hash(&zeros, sizeof(zeros)));
}

static void put_add(struct nd_wire *w, const struct key *key)
{
    char name[32];
    int len = snprintf(name, sizeof(name), "n%" PRIu64, key->number);

    nd_wire_begin(w, 3, (size_t)len + 8);
    nd_wire_arg(w, "INCRBY", 6);
    nd_wire_arg(w, name, (uint32_t)len);
    nd_wire_arg(w, "1", 1);
    nd_wire_end(w, ND_WANT_NUMBER, 0);
}

static void finish(struct nd_wire *w)
{
    nd_wire_write(w);
    nd_wire_await(w, w->told);
}

static struct nd_redis_times time_remote(struct bench *b, struct nd_wire *w,
                                         void (*put)(struct nd_wire *w, const struct key *key))
{
    for (uint32_t i = 0; i < b->samples && !atomic_load(&w->lost); i++) {
        struct key key = draw_key(b);
        uint64_t from = nd_now();

        put(w, &key);
        finish(w);
        b->taken[i] = (double)(nd_now() - from);
    }
    return summary(b);
}

static int measure_remote(struct nd_redis_access *out, struct bench *b, struct ft_fault *fault)
{
    struct nd_redis_server server;
    struct nd_wire wire;
    int error = nd_redis_server_start(&server, fault);

    if (error < 0)
        return error;
    error = nd_wire_open(&wire, "127.0.0.1", server.port, fault);
    if (error == FT_OK) {
        for (uint64_t i = 0; i < b->entries; i++) {
            put_set(&wire, &(struct key){.number = i});
            if (wire.unsent == LOADED)
                finish(&wire);
        }
        finish(&wire);
        out->remote_read = time_remote(b, &wire, put_get);
        out->remote_write = time_remote(b, &wire, put_set);
        out->remote_add = time_remote(b, &wire, put_add);
        if (atomic_load(&wire.lost))
            error = ft_fail(fault, FT_EIO, "%s", wire.why);
    }
    nd_wire_close(&wire);
    nd_redis_server_stop(&server);
    return error;
}

int nd_redis_access(struct nd_redis_access *out, uint32_t entries, uint32_t samples, struct ft_fault *fault)
{
    struct bench b = {.entries = entries, .samples = samples};
    int error;

    memset(out, 0, sizeof(*out));
    if (entries == 0 || samples == 0)
        return ft_fail(fault, FT_EINVAL, "%u entries, %u samples, expected some of each", entries, samples);
    b.taken = calloc(samples, sizeof(*b.taken));
    if (!b.taken)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u samples", samples);
    error = measure_local(out, &b, fault);
    if (error == FT_OK)
        error = measure_remote(out, &b, fault);
    free(b.taken);
    return error;
}
