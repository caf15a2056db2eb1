/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of state types: a region with a chain of one NF that makes nothing by itself; damage that is
 * planted in a chain's state, and what the check says of it; and a model of the map. One at a time of each. A
 * failed assertion ends the test that calls.
 */
#ifndef TESTS_HELP_NF_H
#define TESTS_HELP_NF_H

#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "tests/help/program.h"

struct help_nf {
    struct ft_region *region;
    struct nf_chain *chain;
    struct nf *nf;
};

/* `process` of an NF that does nothing. */
void help_nf_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now);

/* The NF's `timers` goes here, when it is set. */
extern void (*help_nf_timers)(struct nf *nf, uint64_t now);

/* Opens a region with audit on and makes the chain, in place of the one before. `arena`: bytes the NF may
 * allocate. Fails the test. */
void help_nf_open(struct help_nf *h, uint64_t arena, uint64_t seed);
/* The same without audit, which looks at each stay in a section. */
void help_nf_open_fast(struct help_nf *h, uint64_t arena, uint64_t seed);
/* Aborts when anything was changed without an edit since the last call. */
void help_nf_audit(const struct help_nf *h);

/* Of a model test: operations that it does, and the seed of its sequence, which the environment's MODEL_SEED
 * replaces. */
#define HELP_MODEL_STEPS 1000000u
uint64_t help_model_seed(void);
/* Behind operation i: audits the first ones each by itself, which takes long, and then many together. */
static inline void help_model_audit(const struct help_nf *h, uint32_t i)
{
    if (i < 5000 || i % 256 == 0)
        help_nf_audit(h);
}

/* An object that is made when the chain is made already: as `make` would have. */
#define HELP_NF_MAKE(h, object)                                                                              \
    ({                                                                                                       \
        ft_audit_suspend((h)->region);                                                                       \
        __typeof__(object) help_nf_made = (object);                                                          \
        ft_audit_resume((h)->region);                                                                        \
        help_nf_made;                                                                                        \
    })

/* ---- damage ---- */

/* The chain that is looked at: one NF, `lanes` lanes. */
struct help_content {
    struct ft_region *region;
    unsigned lanes;
    struct nf_chain *chain[FT_LANES_MAX];
};
extern struct help_content help_content;

/* What help_nf_open has made is looked at from now on, or another chain of one lane. */
void content_of(const struct help_nf *h);
void content_of_chain(struct ft_region *region, struct nf_chain *chain);
/* The check has nothing to say, of any lane. */
void content_passes(void);
/* It says something that begins with "state: lane " and contains `text`. */
void content_is_refused(const char *text);
/* The n bytes at `p` are others for the time of a check, which refuses them; before and behind it passes. */
void content_damaged(void *p, const void *bytes, size_t n, const char *text);
#define DAMAGED(p, value, text)                                                                              \
    do {                                                                                                     \
        __typeof__(*(p)) bad_ = (value);                                                                     \
        content_damaged((p), &bad_, sizeof(bad_), (text));                                                   \
    } while (0)

/* ---- the map ---- */

#define MODEL_KEYS_MAX  4096u
#define MODEL_SLOTS_MAX 2048u
#define MODEL_KEY_MAX   64u
#define MODEL_VALUE_MAX 128u

/* The plain truth: key number k is in slot_of[k] (NF_NONE: not there); free slots last freed first. */
struct map_model {
    uint32_t keys, capacity, key_size, value_size, count, fresh, freed;
    uint32_t slot_of[MODEL_KEYS_MAX];
    uint32_t key_in[MODEL_SLOTS_MAX]; /* NF_NONE: free */
    uint32_t free[MODEL_SLOTS_MAX];
    uint8_t key[MODEL_KEYS_MAX][MODEL_KEY_MAX];
    uint8_t value[MODEL_SLOTS_MAX][MODEL_VALUE_MAX];
};

extern struct map_model map_model;

/* Keys that differ, in their low bytes mostly; a universe of one-byte keys has 256. */
void map_model_begin(uint32_t capacity, uint32_t key_size, uint32_t value_size, uint32_t keys,
                     uint64_t *sequence);
void map_model_compare(const struct nf_map *map);
void map_model_add(const struct help_nf *h, struct nf_map *map, uint32_t k);
void map_model_drop(const struct help_nf *h, struct nf_map *map, uint32_t slot);

/* One random operation on both: `filling` of 100 times an entry is added. */
void map_model_step(const struct help_nf *h, struct nf_map *map, uint32_t filling, uint64_t *sequence);

#endif
