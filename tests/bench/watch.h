/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the chain and the state types tell who keeps their state somewhere else as well, in one lane, to
 * compare with such systems (tests/bench/redis.h). The files of nflib that report are compiled a second time
 * with this in front of them; in the product their calls are nothing. The watcher sets nf_watch before a
 * chain is made; nflib calls.
 */
#ifndef TESTS_BENCH_WATCH_H
#define TESTS_BENCH_WATCH_H

#define NF_WATCH(call, ...)                                                                                  \
    do {                                                                                                     \
        if (nf_watch)                                                                                        \
            nf_watch->call(__VA_ARGS__);                                                                     \
    } while (0)

#include "nflib/module/module.h"
#include "nflib/state/state.h"

enum nf_watch_kind {
    NF_WATCH_MAP,  /* its entries are reported */
    NF_WATCH_POOL, /* uint32_t numbers, all free when it is made, in order: taking and giving is reported */
    NF_WATCH_WORD, /* a uint64_t, which the region's watch reports */
    NF_WATCH_DERIVED, /* nothing: it can be made anew from the rest */
};

/* A table whose entries are reported, as whoever watches looks at it: a map, and the chain's sessions.
 * `table`: its start. Slots are numbers, NF_NONE: none. */
struct nf_watch_table {
    uint32_t (*key_size)(const void *table), (*value_size)(const void *table); /* bytes */
    const void *(*key)(const void *table, uint32_t slot), *(*value)(const void *table, uint32_t slot);
    uint32_t (*slot_of)(const void *table, const void *p); /* whose entry holds `p` */
    uint32_t (*peek)(const void *table, const void *key);  /* a look-up that is not reported */
    uint32_t (*next)(const void *table, uint32_t slot);    /* the first one in use >= slot */
};

struct nf_chain_config;

struct nf_watch {
    /* A chain is about to be made, in place of the last one. `error` FT_EINVAL: none that can be watched. */
    void (*making)(const struct nf_chain_config *config, int *error, struct ft_fault *fault);
    /* While a chain is made: an object of `bytes` bytes. */
    void (*made)(const struct nf *nf, enum nf_watch_kind kind, const void *object, uint64_t bytes);
    /* The same, of the sessions, which lie in the lane's own arena. */
    void (*table)(const void *table, uint64_t bytes);
    void (*found)(const void *table, const void *key, uint32_t slot); /* a lookup and its result */
    void (*changed)(const void *table, const void *key);              /* added, or about to be removed */
    void (*read)(const uint64_t *word);
    void (*taken)(const uint32_t *pool, uint32_t number); /* NF_NONE: the pool is empty */
    void (*given)(const uint32_t *pool, uint32_t number);
    void (*whole)(struct ft_region *region); /* the chain is made, with the state that it begins with */
    void (*burst)(uint64_t burst);           /* all of this burst is told */
};

/* NULL: nobody watches. */
extern const struct nf_watch *nf_watch;

/* Of maps, and of sessions. */
extern const struct nf_watch_table nf_map_as_table, nf_sessions_as_table;

#endif
