/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State that came from a peer: a map of every age passes the chain's check; damage of each kind is refused,
 * and the line says of what and in which object. So for the numbers of a lane. Where things lie is known here
 * as the head of map.c states it.
 */
#include "ftcore/region/audit.h"
#include "nflib/module/heap.h"
#include "tests/help/nf.h"
#include "tests/help/test.h"

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

TEST(the_shape_of_a_map_is_the_one_that_this_node_made)
{
    open_map();
    DAMAGED(&map->used_at, UINT64_MAX - 4096, "constant at line ");
    DAMAGED(&map->entries_at, map->entries_at + FT_REGION_MAX, "constant");
    DAMAGED(&map->capacity, UINT32_MAX, "constant");
    DAMAGED(&map->buckets, 0, "constant");
    DAMAGED(&map->key_size, 5, "constant");
    DAMAGED(&map->value_size, 8, "constant");
    DAMAGED(&map->value_at, 1u << 31, "constant");
    DAMAGED(&map->stride, 1u << 31, "byte 36 is 0, expected 8 as this node made it");
}

TEST(counts_of_a_map_agree)
{
    uint64_t *used;

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
}

TEST(the_list_of_free_slots_ends)
{
    uint32_t last;

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
}

TEST(every_entry_has_its_one_place)
{
    uint32_t b = 0, far, other;
    unsigned i;

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
}

TEST(no_key_is_there_twice)
{
    uint32_t b = 0, slot, key;
    unsigned i;

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
}

TEST(an_entry_lies_not_far_from_home)
{
    struct nf_map *made;
    uint32_t from = 0, to;
    unsigned i;

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
}

/* Full and empty tables, and all between: the chain takes what it has made itself. */
TEST(maps_of_every_age_pass)
{
    static const uint32_t capacities[] = {1, 3, 64, 100, 1000};

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
    }
}

/* ---- the lane's own ------------------------------------------------------------------------------ */

TEST(numbers_of_a_lane_are_ones_that_a_lane_can_have)
{
    struct nf_lane_state *lane;

    open_map();
    lane = (struct nf_lane_state *)(uintptr_t)nf_chain_state(h.chain);
    ft_audit_suspend(h.region);
    lane->time = UINT64_MAX;
    assert_int_equal(nf_chain_check(h.chain, NULL, NULL, &help_fault), FT_EMALFORMED);
    assert_non_null(
        strstr(help_fault.text, "state: lane 0 lane: seq 1, access 1, time 18446744073709551615"));
    lane->time = 0;
    lane->access = 0;
    assert_int_equal(nf_chain_check(h.chain, NULL, NULL, &help_fault), FT_EMALFORMED);
    ft_audit_resume(h.region);
}

static void count(void *pulses)
{
    (*(unsigned *)pulses)++;
}

/* A heartbeat is due every few milliseconds; a step takes less than 100 ns. */
TEST(a_long_check_is_interrupted_again_and_again)
{
    unsigned pulses = 0;

    help_nf_open(&h, nf_wheel_bytes(200000), 5);
    nf_wheel_make(h.nf, 200000, 1000);
    assert_int_equal(nf_chain_check(h.chain, count, &pulses, &help_fault), 0);
    assert_in_range(pulses, 200000 / 20000, 200000 / 1000);
}

/* What a delta may write: anything but another value of a constant. */
TEST(a_delta_keeps_the_constants)
{
    uint8_t lines[3 * FT_LINE];
    uint64_t at;

    open_map();
    at = (uint64_t)((uint8_t *)map - h.region->base);
    memcpy(lines, map, sizeof(lines));
    assert_int_equal(nf_chain_keeps(h.chain, at, sizeof(lines), lines, &help_fault), 0);
    lines[0] ^= 1; /* the seed is the primary's */
    lines[64] ^= 1;
    lines[130] ^= 1;
    assert_int_equal(nf_chain_keeps(h.chain, at, sizeof(lines), lines, &help_fault), 0);
    assert_int_equal(nf_chain_keeps(h.chain, at + FT_LINE, 2 * FT_LINE, NULL, &help_fault), 0);
    lines[offsetof(struct map, stride) + 3] = 1;
    assert_int_equal(nf_chain_keeps(h.chain, at, sizeof(lines), lines, &help_fault), FT_EMALFORMED);
    assert_non_null(strstr(help_fault.text, "state: lane 0 bare: constant at line"));
    assert_non_null(strstr(help_fault.text, "a delta changes byte 39 from 0"));
    assert_int_equal(nf_chain_keeps(h.chain, at, FT_LINE, NULL, &help_fault), FT_EMALFORMED);
    /* From before, over it, and to behind. */
    assert_int_equal(nf_chain_keeps(h.chain, at - 2 * FT_LINE, 6 * FT_LINE, NULL, &help_fault),
                     FT_EMALFORMED);
    assert_int_equal(nf_chain_keeps(h.chain, at - 2 * FT_LINE, 2 * FT_LINE, NULL, &help_fault), 0);
}

/* State that came from a peer: an NF's heap of every age passes the chain's check, and damage to what it
 * knows of itself is refused, in a line that says so. Damage of all kinds: test_heap.c. */

static uint64_t heap_bytes(const void *config)
{
    return 64u << 10;
}

static const struct nf_module with_heap = {.name = "with_heap", .heap = heap_bytes};

static struct ft_heap *open_heap(void)
{
    help_nf_open(&h, ft_heap_bytes(64u << 10), 5);
    content_of(&h);
    h.nf->module = &with_heap;
    assert_true(nf_heap_make(h.nf));
    return h.nf->heap;
}

TEST(a_heap_is_checked)
{
    struct ft_heap *heap = open_heap();
    void *p[30];

    content_passes();
    for (unsigned i = 0; i < 30; i++)
        p[i] = ft_heap_alloc(heap, 1 + i * 10);
    content_passes();
    for (unsigned i = 0; i < 30; i += 2)
        ft_heap_free(heap, p[i]);
    content_passes();
    DAMAGED(&heap->pages, heap->pages + 1, "constant");
    DAMAGED(&heap->next, heap->pages + 1, "more pages are in use than there are");
    DAMAGED(&heap->next, heap->next - 1, "heap");
    DAMAGED(&heap->bytes, heap->bytes + 16, "it has given out another number of bytes than it says");
    DAMAGED(&heap->blocks, heap->blocks - 1, "it has given out another number");
    DAMAGED(&heap->hint[FT_HEAP_CLASSES], heap->pages, "a hint");
}

/* What there would be of pages that nobody has had: all zeros. */
TEST(pages_beyond_those_in_use_are_nobodys)
{
    struct ft_heap *heap = open_heap();
    struct ft_heap_part known, all;
    uint32_t next;
    void *p[4];

    for (unsigned i = 0; i < 4; i++)
        p[i] = ft_heap_alloc(heap, 2 * FT_HEAP_PAGE);
    next = heap->next;
    assert_int_equal(next, 8); /* 16 entries of 40 bytes are ten lines, 8 are five */
    known = ft_heap_part(heap, h.region, 0);
    heap->next = heap->pages;
    all = ft_heap_part(heap, h.region, 0);
    heap->next = next;
    assert_int_equal(all.to - known.to, 320);
    content_passes();
    for (uint64_t at = known.to; at < all.to; at++)
        DAMAGED(&h.region->base[at], 22, "a page is in use behind the last one");
    assert_true(ft_heap_holds(heap, p[3], 2 * FT_HEAP_PAGE));
    heap->next = next - 1; /* its second page is none */
    assert_false(ft_heap_holds(heap, p[3], 1));
    assert_true(ft_heap_holds(heap, p[2], 1));
    heap->next = next - 2;
    assert_false(ft_heap_holds(heap, p[3], 1));
    heap->next = next;
}

/*
 * A wheel that came from a peer: one of every age passes the chain's check; damage of each kind is refused,
 * and the line says what. Where things lie is known here as the head of wheel.c states it.
 */

#define TIMERS 50u
#define SLOTS  256u
#define FIRST  (1 + 8 * SLOTS) /* node of number 0 */

struct node {
    uint64_t due;
    uint32_t next, prev;
};

struct wheel {
    uint64_t tick, current;
    uint32_t count, spreading, unused[10];
    uint64_t occupied[8][4];
    struct node node[];
};

static struct wheel *wheel;
static struct nf_wheel *timers;

static void run_to(uint64_t now)
{
    nf_chain_run(h.chain, nf_chain_state(h.chain)->burst + 1, now, NULL, 0);
}

static void take_due(struct nf *nf, uint64_t now)
{
    uint32_t due[4];

    nf_wheel_due(nf, timers, now, due, 4);
}

static void open_wheel(uint32_t count)
{
    help_nf_open(&h, nf_wheel_bytes(count), 5);
    content_of(&h);
    timers = nf_wheel_make(h.nf, count, 1000);
    wheel = (struct wheel *)(void *)timers;
    help_nf_timers = take_due;
    content_passes();
}

/* At tick 1000: timers 0 and 1 in 5 ticks, 2 in 2000, and 3 in 200,000. */
static void set_four(void)
{
    open_wheel(TIMERS);
    nf_wheel_set(h.nf, timers, 9, 1000 * 1000);
    run_to(1000 * 1000);
    assert_int_equal(wheel->current, 1000);
    nf_wheel_set(h.nf, timers, 0, 1005 * 1000);
    nf_wheel_set(h.nf, timers, 1, 1005 * 1000);
    nf_wheel_set(h.nf, timers, 2, 3000 * 1000);
    nf_wheel_set(h.nf, timers, 3, 201000 * 1000);
    content_passes();
}

TEST(rings_of_a_wheel_end)
{
    struct node *zero, *one, *head;

    set_four();
    zero = &wheel->node[FIRST];
    one = &wheel->node[FIRST + 1];
    head = &wheel->node[1 + 1005 % SLOTS];
    assert_int_equal(head->next, FIRST);
    assert_int_equal(zero->next, FIRST + 1);
    DAMAGED(&wheel->tick, 0, "constant");
    DAMAGED(&wheel->count, UINT32_MAX, "constant");
    DAMAGED(&zero->next, UINT32_MAX, "wheel at line ");
    DAMAGED(&zero->next, UINT32_MAX, "leads to 4294967295, expected a timer or itself");
    DAMAGED(&zero->next, FIRST + TIMERS, "expected a timer or itself");
    DAMAGED(&zero->next, 7, "expected a timer or itself"); /* another slot */
    DAMAGED(&zero->next, FIRST, "the ring is not the same in both directions");
    DAMAGED(&zero->next, 0, "expected a timer or itself");
    DAMAGED(&one->prev, UINT32_MAX, "in both directions");
    DAMAGED(&head->next, FIRST + 1, "in both directions");
    DAMAGED(&head->next, FIRST + 2, "in both directions");
    DAMAGED(&wheel->node[FIRST + 20].next, FIRST + 20, "5 timers are set, expected 4, as lie in slots");
}

TEST(timers_lie_where_their_tick_belongs)
{
    struct node *zero, *two;

    set_four();
    zero = &wheel->node[FIRST];
    two = &wheel->node[FIRST + 2];
    DAMAGED(&zero->due, 1006,
            "timer 0 of tick 1006 is at level 0, slot 237, which is not its place at tick 1000");
    DAMAGED(&zero->due, 1005 + SLOTS, "is not its place");
    DAMAGED(&two->due, 3000 + SLOTS, "timer 2 of tick 3256 is at level 1, slot 11");
    DAMAGED(&two->due, UINT64_MAX, "is not its place");
    DAMAGED(&wheel->current, 1001, "tick 1001 has come, expected at most 1000");
    DAMAGED(&wheel->current, 3 * SLOTS - 1, "is not its place");
    DAMAGED(&wheel->occupied[0][0], 1, "level 0, slot 0 is marked as taken and is not");
    DAMAGED(&wheel->occupied[7][3], 1ull << 63, "level 7, slot 255 is marked as taken and is not");
    DAMAGED(&wheel->occupied[0][3], 0, "slot 237 is marked as empty and is not");
    DAMAGED(&wheel->spreading, 8, "level 8 is being spread");
    DAMAGED(&wheel->spreading, UINT32_MAX, "is being spread");
}

/* A slot with more timers than one call moves is half spread; then some are cancelled, and others set. */
TEST(a_wheel_that_is_half_spread_passes)
{
    unsigned half = 0;

    open_wheel(5000);
    for (uint32_t n = 0; n < 4000; n++)
        nf_wheel_set(h.nf, timers, n, (70000 + n % 200) * 1000ull);
    for (uint64_t now = 60000; now < 71000 && half < 3; now += 100) {
        run_to(now * 1000);
        content_passes();
        if (wheel->spreading == 0)
            continue;
        half++;
        nf_wheel_set(h.nf, timers, 4500 + half, (now + 3) * 1000);
        nf_wheel_set(h.nf, timers, 4600 + half, (now + 300) * 1000);
        nf_wheel_cancel(h.nf, timers, half);
        content_passes();
        if (half == 2) {
            for (uint32_t n = 0; n < 4000; n++)
                nf_wheel_cancel(h.nf, timers, n);
            content_passes();
        }
    }
    assert_true(half >= 2);
}

TEST(wheels_of_every_age_pass)
{
    uint64_t sequence = 3, now = 0;

    open_wheel(300);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t number = help_below(&sequence, 300);

        if (help_below(&sequence, 4))
            nf_wheel_set(h.nf, timers, number,
                         now + (ft_draw(&sequence) >> help_below(&sequence, 60)) % (now + 1));
        else
            nf_wheel_cancel(h.nf, timers, number);
        if (i % 8 == 0)
            run_to(now += 1ull << help_below(&sequence, 34));
        if (i % 16 == 0)
            content_passes();
    }
}
