/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State that came from a peer: a map of every age passes the chain's check; damage of each kind is refused,
 * and the line says of what and in which object. So for the numbers of a lane. Where things lie is known here
 * as the head of map.c states it.
 */
#include "ftcore/region/audit.h"
#include "tests/help/content.h"
#include "tests/help/map.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static struct help_nf h;

/* ---- map ---------------------------------------------------------------------------------------- */

#define CAPACITY 100u

struct bucket {
    uint16_t tag[8];
    uint32_t slot[8];
    uint32_t passed, unused[3];
};
struct map {
    uint64_t seed, used_at, entries_at;
    uint32_t capacity, buckets, key_size, value_size, value_at, stride, unused[4];
    uint32_t count, fresh, free, unused_too[13];
    struct bucket bucket[];
};

static struct map *map;

/* 60 entries came and 20 of them went. */
static void open_map(void)
{
    struct nf_map *made;

    help_nf_open(&h, nf_map_bytes(CAPACITY, 4, 4), 5);
    content_of(&h);
    made = nf_map_make(h.nf, CAPACITY, 4, 4);
    map = (struct map *)(void *)made;
    content_passes();
    for (uint32_t key = 0; key < 60; key++)
        nf_map_add(h.nf, made, &key);
    for (uint32_t key = 0; key < 60; key += 3)
        nf_map_remove(h.nf, made, nf_map_find(made, &key));
    assert_int_equal(map->capacity, CAPACITY);
    assert_int_equal(map->count, 40);
    assert_int_equal(map->fresh, 60);
    content_passes();
}

static uint32_t *entry(uint32_t slot)
{
    return (uint32_t *)(void *)((uint8_t *)map + map->entries_at + slot * map->stride);
}

/* The first place of a bucket that is taken, from bucket *b on. */
static unsigned taken(uint32_t *b)
{
    for (; *b < map->buckets; (*b)++)
        for (unsigned i = 0; i < 8; i++)
            if (map->bucket[*b].tag[i])
                return i;
    fail_msg("no bucket has an entry");
    return 0;
}

static void the_shape_of_a_map_is_the_one_that_this_node_made(void **unused)
{
    (void)unused;
    open_map();
    DAMAGED(&map->used_at, UINT64_MAX - 4096, "constant at line ");
    DAMAGED(&map->entries_at, map->entries_at + FT_REGION_MAX, "constant");
    DAMAGED(&map->capacity, UINT32_MAX, "constant");
    DAMAGED(&map->buckets, 0, "constant");
    DAMAGED(&map->key_size, 5, "constant");
    DAMAGED(&map->value_size, 8, "constant");
    DAMAGED(&map->value_at, 1u << 31, "constant");
    DAMAGED(&map->stride, 1u << 31, "byte 36 is 0, expected 8 as this node made it");
    help_nf_close(&h);
}

static void counts_of_a_map_agree(void **unused)
{
    uint64_t *used;

    (void)unused;
    open_map();
    used = (uint64_t *)(void *)((uint8_t *)map + map->used_at);
    DAMAGED(&map->count, 41, "map at line ");
    DAMAGED(&map->count, 41, "40 slots are used, expected 41");
    DAMAGED(&map->count, 101, "expected at most the 60 slots ever used");
    DAMAGED(&map->fresh, 101, "expected at most 100");
    DAMAGED(&map->fresh, UINT32_MAX, "expected at most 100");
    DAMAGED(&map->fresh, 59, "a slot behind the 59 ever used is used");
    DAMAGED(&map->fresh, 61, "the list of free slots ends 1 slots early");
    DAMAGED(&used[0], used[0] & (used[0] - 1), "39 slots are used, expected 40");
    DAMAGED(&used[1], 1ull << 35, "a slot behind");
    DAMAGED(&used[1], 1ull << 63, "a slot behind");
    help_nf_close(&h);
}

static void the_list_of_free_slots_ends(void **unused)
{
    uint32_t last;

    (void)unused;
    open_map();
    last = map->free - 1; /* the last one freed: key 57, slot 57 */
    assert_int_equal(last, 57);
    assert_int_equal(*entry(57), 54 + 1);
    DAMAGED(&map->free, 0, "ends 20 slots early");
    DAMAGED(&map->free, 61, "expected at most the 60");
    DAMAGED(&map->free, UINT32_MAX, "expected at most the 60");
    DAMAGED(&map->free, 2, "slot 1 is in the list of free ones");
    DAMAGED(entry(57), 58, "does not end after 20"); /* in a circle */
    DAMAGED(entry(57), UINT32_MAX, "slot 4294967294 is in the list");
    DAMAGED(entry(0), 58, "does not end after 20"); /* the first one freed ends the list */
    help_nf_close(&h);
}

static void every_entry_has_its_one_place(void **unused)
{
    uint32_t b = 0, far, other;
    unsigned i;

    (void)unused;
    open_map();
    i = taken(&b);
    far = b + 1;
    other = map->bucket[far].slot[taken(&far)];
    DAMAGED(&map->bucket[b].slot[i], UINT32_MAX, "names slot 4294967295, expected one of the 40 used");
    DAMAGED(&map->bucket[b].slot[i], CAPACITY, "names slot 100");
    DAMAGED(&map->bucket[b].slot[i], 57, "names slot 57, expected one of the 40 used");
    DAMAGED(&map->bucket[b].slot[i], other, "which has a place already");
    DAMAGED(&map->bucket[b].tag[i], 0, "39 places are taken in buckets, expected 40");
    DAMAGED(&map->bucket[b].tag[i], (uint16_t)(map->bucket[b].tag[i] ^ 0x100), "has another tag");
    DAMAGED(&map->bucket[b].passed, 1, "was passed by 1 entries, expected 0");
    DAMAGED(&map->seed, map->seed + 1, "slot"); /* another node's seed: nothing is where it belongs */
    help_nf_close(&h);
}

static void no_key_is_there_twice(void **unused)
{
    uint32_t b = 0, slot, key;
    unsigned i;

    (void)unused;
    open_map();
    i = taken(&b);
    slot = map->bucket[b].slot[i];
    key = *entry(slot);
    /* Another key of the same tag and home, found by trying, is none of the 60. */
    ft_audit_suspend(h.region);
    for (uint32_t free = 0; free < 8; free++) {
        uint32_t second = slot == 1 ? 2 : 1; /* a used one, which goes where `slot` lies */
        struct bucket was;
        uint32_t at = 0;

        if (map->bucket[b].tag[free])
            continue;
        for (at = 0; at < map->buckets; at++)
            for (unsigned j = 0; j < 8; j++)
                if (map->bucket[at].tag[j] && map->bucket[at].slot[j] == second)
                    map->bucket[at].tag[j] = 0;
        was = map->bucket[b];
        map->bucket[b].tag[free] = was.tag[i];
        map->bucket[b].slot[free] = second;
        *entry(second) = key;
        content_is_refused("have the same key");
        break;
    }
    ft_audit_resume(h.region);
    help_nf_close(&h);
}

static void an_entry_lies_not_far_from_home(void **unused)
{
    struct nf_map *made;
    uint32_t from = 0, to;
    unsigned i;

    (void)unused;
    help_nf_open(&h, nf_map_bytes(2000, 4, 4), 5);
    content_of(&h);
    made = nf_map_make(h.nf, 2000, 4, 4);
    map = (struct map *)(void *)made;
    for (uint32_t key = 0; key < 10; key++)
        nf_map_add(h.nf, made, &key);
    content_passes();
    i = taken(&from);
    to = (from + 65) % map->buckets;
    /* An entry that has moved 65 buckets on, and each bucket on its way counts it. */
    ft_audit_suspend(h.region);
    map->bucket[to].tag[7] = map->bucket[from].tag[i];
    map->bucket[to].slot[7] = map->bucket[from].slot[i];
    map->bucket[from].tag[i] = 0;
    for (uint32_t b = from; b != to; b = (b + 1) % map->buckets)
        map->bucket[b].passed++;
    content_is_refused("too far from where its key leads to");
    ft_audit_resume(h.region);
    help_nf_close(&h);
}

/* Full and empty tables, and all between: the chain takes what it has made itself. */
static void maps_of_every_age_pass(void **unused)
{
    static const uint32_t capacities[] = {1, 3, 64, 100, 1000};

    (void)unused;
    for (unsigned n = 0; n < sizeof(capacities) / sizeof(capacities[0]); n++) {
        uint32_t capacity = capacities[n], full = 0;
        uint64_t sequence = n + 1;
        struct nf_map *made;

        help_nf_open(&h, nf_map_bytes(capacity, 13, 20), n);
        content_of(&h);
        made = nf_map_make(h.nf, capacity, 13, 20);
        map_model_begin(capacity, 13, 20, 3 * capacity, &sequence);
        for (uint32_t i = 0; i < 60 * capacity && i < 20000; i++) {
            map_model_step(&h, made, i / (6 * capacity) % 3 == 2 ? 0 : 90, &sequence);
            full += nf_map_count(made) == capacity;
            if (i % (capacity / 4 + 1) == 0)
                content_passes();
        }
        content_passes();
        assert_true(full > 0);
        help_nf_close(&h);
    }
}

/* ---- the lane's own ------------------------------------------------------------------------------ */

static void numbers_of_a_lane_are_ones_that_a_lane_can_have(void **unused)
{
    struct nf_lane_state *state;
    struct ft_fault fault;

    (void)unused;
    open_map();
    state = (struct nf_lane_state *)(uintptr_t)nf_chain_state(h.chain);
    ft_audit_suspend(h.region);
    state->time = UINT64_MAX;
    assert_int_equal(nf_chain_check(h.chain, NULL, NULL, &fault), FT_EMALFORMED);
    assert_non_null(strstr(fault.text, "state: lane 0 lane: seq 1, access 1, time 18446744073709551615"));
    state->time = 0;
    state->access = 0;
    assert_int_equal(nf_chain_check(h.chain, NULL, NULL, &fault), FT_EMALFORMED);
    ft_audit_resume(h.region);
    help_nf_close(&h);
}

static void count(void *pulses)
{
    (*(unsigned *)pulses)++;
}

/* A heartbeat is due every few milliseconds; a step takes less than 100 ns. */
static void a_long_check_is_interrupted_again_and_again(void **unused)
{
    struct ft_fault fault = {""};
    unsigned pulses = 0;

    (void)unused;
    help_nf_open(&h, nf_wheel_bytes(200000), 5);
    nf_wheel_make(h.nf, 200000, 1000);
    assert_int_equal(nf_chain_check(h.chain, count, &pulses, &fault), 0);
    assert_in_range(pulses, 200000 / 20000, 200000 / 1000);
    help_nf_close(&h);
}

/* What a delta may write: anything but another value of a constant. */
static void a_delta_keeps_the_constants(void **unused)
{
    uint8_t lines[3 * FT_LINE];
    struct ft_fault fault = {""};
    uint64_t at;

    (void)unused;
    open_map();
    at = (uint64_t)((uint8_t *)map - h.region->base);
    memcpy(lines, map, sizeof(lines));
    assert_int_equal(nf_chain_keeps(h.chain, at, sizeof(lines), lines, &fault), 0);
    lines[0] ^= 1; /* the seed is the primary's */
    lines[64] ^= 1;
    lines[130] ^= 1;
    assert_int_equal(nf_chain_keeps(h.chain, at, sizeof(lines), lines, &fault), 0);
    assert_int_equal(nf_chain_keeps(h.chain, at + FT_LINE, 2 * FT_LINE, NULL, &fault), 0);
    lines[offsetof(struct map, stride) + 3] = 1;
    assert_int_equal(nf_chain_keeps(h.chain, at, sizeof(lines), lines, &fault), FT_EMALFORMED);
    assert_non_null(strstr(fault.text, "state: lane 0 bare: constant at line"));
    assert_non_null(strstr(fault.text, "a delta changes byte 39 from 0"));
    assert_int_equal(nf_chain_keeps(h.chain, at, FT_LINE, NULL, &fault), FT_EMALFORMED);
    /* From before, over it, and to behind. */
    assert_int_equal(nf_chain_keeps(h.chain, at - 2 * FT_LINE, 6 * FT_LINE, NULL, &fault), FT_EMALFORMED);
    assert_int_equal(nf_chain_keeps(h.chain, at - 2 * FT_LINE, 2 * FT_LINE, NULL, &fault), 0);
    help_nf_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shape_of_a_map_is_the_one_that_this_node_made),
        cmocka_unit_test(counts_of_a_map_agree),
        cmocka_unit_test(the_list_of_free_slots_ends),
        cmocka_unit_test(every_entry_has_its_one_place),
        cmocka_unit_test(no_key_is_there_twice),
        cmocka_unit_test(an_entry_lies_not_far_from_home),
        cmocka_unit_test(maps_of_every_age_pass),
        cmocka_unit_test(numbers_of_a_lane_are_ones_that_a_lane_can_have),
        cmocka_unit_test(a_long_check_is_interrupted_again_and_again),
        cmocka_unit_test(a_delta_keeps_the_constants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
