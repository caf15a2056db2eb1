/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a model of map. Owns the array. */
#include "tests/help/map.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

struct model map_model;

void map_model_begin(uint32_t capacity, uint32_t key_size, uint32_t value_size, uint32_t keys,
                     uint64_t *sequence)
{
    memset(&map_model, 0, sizeof(map_model));
    map_model.keys = keys;
    map_model.capacity = capacity;
    map_model.key_size = key_size;
    map_model.value_size = value_size;
    memset(map_model.slot_of, 0xff, sizeof(map_model.slot_of));
    memset(map_model.key_in, 0xff, sizeof(map_model.key_in));
    for (uint32_t k = 0; k < keys; k++) {
        for (uint32_t i = 0; i < key_size; i++)
            map_model.key[k][i] = key_size > 8 ? (uint8_t)(ft_draw(sequence) & 3) : 0;
        memcpy(map_model.key[k] + (key_size > 4 ? key_size - 2 : 0), &k, key_size > 1 ? 2 : 1);
    }
}

void map_model_compare(const struct nf_map *map)
{
    uint32_t slot = 0;

    assert_int_equal(nf_map_count(map), map_model.count);
    for (uint32_t k = 0; k < map_model.keys; k++)
        assert_int_equal(nf_map_find(map, map_model.key[k]), map_model.slot_of[k]);
    for (uint32_t s = 0; s < map_model.capacity; s++) {
        if (map_model.key_in[s] == NF_NONE)
            continue;
        slot = nf_map_next(map, slot);
        assert_int_equal(slot, s);
        assert_memory_equal(nf_map_key(map, s), map_model.key[map_model.key_in[s]], map_model.key_size);
        assert_memory_equal(nf_map_value(map, s), map_model.value[s], map_model.value_size);
        slot++;
    }
    assert_int_equal(nf_map_next(map, slot), NF_NONE);
}

void map_model_add(const struct help_nf *h, struct nf_map *map, uint32_t k)
{
    uint32_t slot = nf_map_add(h->nf, map, map_model.key[k]);

    if (map_model.count == map_model.capacity) {
        assert_int_equal(slot, NF_NONE);
        return;
    }
    assert_int_equal(slot, map_model.freed ? map_model.free[--map_model.freed] : map_model.fresh++);
    map_model.count++;
    map_model.slot_of[k] = slot;
    map_model.key_in[slot] = k;
    memset(map_model.value[slot], 0, MODEL_VALUE_MAX);
    assert_memory_equal(nf_map_value(map, slot), map_model.value[slot], map_model.value_size);
}

void map_model_drop(const struct help_nf *h, struct nf_map *map, uint32_t slot)
{
    nf_map_remove(h->nf, map, slot);
    map_model.slot_of[map_model.key_in[slot]] = NF_NONE;
    map_model.key_in[slot] = NF_NONE;
    map_model.free[map_model.freed++] = slot;
    map_model.count--;
}

static void change(const struct help_nf *h, struct nf_map *map, uint32_t slot, uint64_t *sequence)
{
    for (uint32_t i = 0; i < map_model.value_size; i++)
        map_model.value[slot][i] = (uint8_t)ft_draw(sequence);
    memcpy(nf_edit(h->nf, nf_map_value(map, slot), map_model.value_size), map_model.value[slot],
           map_model.value_size);
}

void map_model_step(const struct help_nf *h, struct nf_map *map, uint32_t filling, uint64_t *sequence)
{
    uint32_t k = help_below(sequence, map_model.keys), slot = map_model.slot_of[k];

    assert_int_equal(nf_map_find(map, map_model.key[k]), slot);
    if (slot == NF_NONE)
        map_model_add(h, map, k);
    else if (help_below(sequence, 100) < filling)
        change(h, map, slot, sequence);
    else
        map_model_drop(h, map, slot);
    assert_int_equal(nf_map_find(map, map_model.key[k]), map_model.slot_of[k]);
}
