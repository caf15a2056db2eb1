/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of map: an array that holds for every key of a small universe whether and where it is. One at a
 * time.
 */
#ifndef TESTS_HELP_MAP_H
#define TESTS_HELP_MAP_H

#include "tests/help/nf.h"

#define MODEL_KEYS_MAX  4096u
#define MODEL_SLOTS_MAX 2048u
#define MODEL_KEY_MAX   64u
#define MODEL_VALUE_MAX 128u

/* The plain truth: key number k is in slot_of[k] (NF_NONE: not there); free slots last freed first. */
struct model {
    uint32_t keys, capacity, key_size, value_size, count, fresh, freed;
    uint32_t slot_of[MODEL_KEYS_MAX];
    uint32_t key_in[MODEL_SLOTS_MAX]; /* NF_NONE: free */
    uint32_t free[MODEL_SLOTS_MAX];
    uint8_t key[MODEL_KEYS_MAX][MODEL_KEY_MAX];
    uint8_t value[MODEL_SLOTS_MAX][MODEL_VALUE_MAX];
};

extern struct model map_model;

/* Keys that differ, in their low bytes mostly; a universe of one-byte keys has 256. */
void map_model_begin(uint32_t capacity, uint32_t key_size, uint32_t value_size, uint32_t keys,
                     uint64_t *sequence);
void map_model_compare(const struct nf_map *map);
void map_model_add(const struct help_nf *h, struct nf_map *map, uint32_t k);
void map_model_drop(const struct help_nf *h, struct nf_map *map, uint32_t slot);

/* One random operation on both: `filling` of 100 times an entry is added. */
void map_model_step(const struct help_nf *h, struct nf_map *map, uint32_t filling, uint64_t *sequence);

#endif
