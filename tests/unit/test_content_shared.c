/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared state that came from a peer: words, maps, pools and merged counts of two lanes pass the chain's
 * check at every age; damage of each kind is refused, and the line says what. Where things lie is known here
 * as nflib/shared and struct ft_shared state it.
 */
#include "ftcore/region/audit.h"
#include "nflib/shared/shared.h"
#include "tests/help/nf.h"
#include "tests/help/test.h"

#define LANES   2u
#define NUMBERS 200u /* of the pool: batches of 6 */

static struct ft_published published[LANES];
static struct {
    struct nf *nf;
    struct nf_shared_word *word;
    struct nf_shared_map *map;
    struct nf_shared_pool *pool;
    struct nf_merged *merged;
} lane[LANES];

static uint64_t arena(const void *config)
{
    return nf_shared_pool_lane_bytes(NUMBERS) + nf_merged_lane_bytes();
}

static uint64_t shared(const void *config, unsigned lanes)
{
    return 1 << 20;
}

static const struct nf_module module = {.name = "bare",
                                        .summary = "an NF for tests",
                                        .arena = arena,
                                        .shared = shared,
                                        .process = help_nf_process};

static uint64_t at; /* of the lane whose burst it is, what it does in it */
static void (*act)(unsigned l);

static void timers(struct nf *nf, uint64_t now)
{
    if (act)
        act(nf->lane);
    nf_wake(nf, now + 1);
}

static void open_lanes(void)
{
    static struct nf_module with_timers;
    static struct nf_chain_config config;
    static const struct ft_region_config how = {.name = "test"};
    struct help_content *h = &help_content;

    with_timers = module;
    with_timers.timers = timers;
    config =
        (struct nf_chain_config){.name = "test", .lanes = LANES, .count = 1, .nfs = {{&with_timers, NULL}}};
    h->lanes = LANES;
    help_done(nf_chain_region(&h->region, &config, &how, &help_fault));
    for (unsigned l = 0; l < LANES; l++) {
        help_done(nf_chain_make(&h->chain[l], &config, h->region, l, 9, &help_fault));
        nf_chain_share(h->chain[l], published);
        lane[l].nf = nf_chain_nf(h->chain[l], 1);
        lane[l].word = nf_shared_word_make(lane[l].nf);
        lane[l].map = nf_shared_map_make(lane[l].nf, 40, 4, 8, 3);
        lane[l].pool = nf_shared_pool_make(lane[l].nf, NUMBERS);
        lane[l].merged = nf_merged_make(lane[l].nf);
        nf_wake(lane[l].nf, 0);
    }
    at = 0;
    content_passes();
}

static int close_lanes(void **state)
{
    for (unsigned l = 0; l < LANES; l++)
        nf_chain_free(help_content.chain[l]);
    ft_region_close(help_content.region);
    return 0;
}

#define LANES_TEST(name) TEST_WITH(name, NULL, close_lanes)

static void in_a_burst(unsigned l, void (*what)(unsigned l))
{
    act = what;
    nf_chain_run(help_content.chain[l], nf_chain_state(help_content.chain[l])->burst + 1, ++at, NULL, 0);
}

static void use_all(unsigned l)
{
    uint32_t key = l;
    uint32_t shard = nf_shared_map_shard(lane[l].map, &key);
    struct nf_map *part = nf_shared_map_enter(lane[l].nf, lane[l].map, shard);

    if (nf_map_find(part, &key) == NF_NONE)
        nf_map_add(lane[l].nf, part, &key);
    nf_shared_map_leave(lane[l].nf, lane[l].map, shard);
    nf_shared_word_add(lane[l].nf, lane[l].word, 1);
    nf_shared_pool_take(lane[l].nf, lane[l].pool);
    nf_merged_add(lane[l].nf, lane[l].merged, 3);
}

/* Each lane was in everything, lane 1 last. */
static void open_used(void)
{
    open_lanes();
    in_a_burst(0, use_all);
    in_a_burst(1, use_all);
    content_passes();
}

/* ---- heads ---- */

struct head {
    uint32_t lock, last;
    uint64_t access;
};

LANES_TEST(heads_are_unlocked_and_name_an_access_that_was)
{
    struct head *word = (struct head *)(void *)lane[0].word, *pool;

    open_used();
    word = (struct head *)(void *)lane[0].word;
    pool = *(struct head **)(void *)lane[0].pool;
    assert_int_equal(word->last, 2);
    DAMAGED(&word->lock, 1, "shared: it is locked");
    DAMAGED(&word->last, 3, "word at line ");
    DAMAGED(&word->last, UINT32_MAX, "of lane 4294967294 was the last");
    DAMAGED(&word->last, 0, "of lane -1 was the last");
    DAMAGED(&word->access, 1u << 20, "access 1048576 of lane 1 was the last, expected one that was");
    DAMAGED(&pool->lock, 77, "pool at line ");
}

LANES_TEST(shards_are_where_this_node_has_made_them)
{
    uint32_t *shards;
    struct head *shard;
    uint64_t *part;

    open_used();
    shards = (uint32_t *)(void *)lane[0].map;
    shard = (struct head *)(void *)((uint8_t *)lane[0].map + FT_LINE);
    part = (uint64_t *)(void *)((uint8_t *)shard + FT_LINE);
    assert_int_equal(*shards, 3);
    assert_ptr_equal((void *)(uintptr_t)*part, nf_shared_map_part(lane[0].map, 0));
    DAMAGED(shards, 4096, "constant at line ");
    DAMAGED(part, *part + 64, "constant at line ");
    DAMAGED(part, 0x7fff00000000, "constant at line ");
    DAMAGED(&shard->lock, 1, "shard at line ");
}

/* ---- pool ---- */

struct core {
    struct head head;
    uint64_t unused[6];
    uint32_t *ring;
    uint8_t *owner;
    uint32_t *place;
    uint32_t count, batch, unused_too[8];
    uint32_t first, free, given;
};
struct part {
    struct core *core;
    uint64_t *out, unused[6];
    uint32_t first, cached, drawn, skip, unused_too[12];
    uint32_t ring[512];
};

/* The first number from `from` on that a lane has, or nobody. */
static uint32_t number_of(const struct core *core, unsigned owner, uint32_t from)
{
    while (core->owner[from] != owner)
        from++;
    return from;
}

__attribute__((format(printf, 1, 0))) static const char *text(const char *format, uint32_t number)
{
    static char text[128];

    snprintf(text, sizeof(text), format, number);
    return text;
}

LANES_TEST(the_shared_part_of_a_pool_has_each_number_once)
{
    struct core *core;
    uint32_t of_one, free, seventh;

    open_used();
    core = ((struct part *)(void *)lane[0].pool)->core;
    assert_int_equal(core->count, NUMBERS);
    assert_int_equal(core->batch, 6);
    assert_int_equal(core->free, NUMBERS - 12);
    assert_int_equal(core->first, 12);
    for (of_one = number_of(core, 1, 0); !nf_shared_pool_has(lane[0].pool, of_one);)
        of_one = number_of(core, 1, of_one + 1); /* taken */
    free = core->ring[20];
    seventh = core->ring[21];
    DAMAGED(&core->ring, core->ring + 1, "constant");
    DAMAGED(&core->owner, core->owner - 8, "constant");
    DAMAGED(&core->count, UINT32_MAX, "constant");
    DAMAGED(&core->batch, 600, "constant");
    DAMAGED(&core->first, NUMBERS,
            "188 numbers from place 200 on are free, 0 given back, expected at most 200");
    DAMAGED(&core->free, NUMBERS + 1, "expected at most 200");
    DAMAGED(&core->given, NUMBERS + 1, "201 given back, expected at most 200");
    DAMAGED(&core->free, 5, "188 numbers are nobody's, expected 5");
    DAMAGED(&core->first, 5, "place ");
    DAMAGED(&core->owner[of_one], 3, text("number %u is lane 2's, expected one below 2", of_one));
    DAMAGED(&core->owner[of_one], 0, "189 numbers are nobody's, expected 188");
    DAMAGED(&core->owner[of_one], 2, text("number %u is taken, expected it to be the lane's", of_one));
    DAMAGED(&core->ring[20], NUMBERS, "place 20 has number 200");
    DAMAGED(&core->ring[20], UINT32_MAX, "place 20 has number 4294967295");
    DAMAGED(&core->ring[21], free, text("place 21 has number %u, expected one that is free, once", free));
    DAMAGED(&core->ring[20], seventh, text("place 21 has number %u", seventh));
    DAMAGED(&core->ring[20], of_one, text("place 20 has number %u", of_one));
}

LANES_TEST(a_lanes_part_of_a_pool_has_its_own_numbers)
{
    uint32_t taken = 0, cached, others;
    struct part *part;

    open_used();
    part = (struct part *)(void *)lane[1].pool;
    assert_int_equal(part->cached, 5);
    assert_int_equal(part->drawn, 5);
    assert_int_equal(part->first, 1);
    while (!nf_shared_pool_has(lane[1].pool, taken))
        taken++;
    cached = part->ring[3];
    others = number_of(part->core, 1, 0);
    DAMAGED(&part->core, part->core + 1, "constant");
    DAMAGED(&part->out, part->out + 1, "constant");
    DAMAGED(&part->first, 512, "from place 512 on");
    DAMAGED(&part->cached, 13,
            "13 numbers are cached from place 1 on, 5 drawn, 0 takes to skip, expected at most 12, 511, 6");
    DAMAGED(&part->cached, UINT32_MAX, "4294967295 numbers are cached");
    DAMAGED(&part->drawn, 6, "6 drawn");
    DAMAGED(&part->skip, UINT32_MAX, "takes to skip");
    DAMAGED(&part->ring[2], UINT32_MAX, "the cache has number 4294967295");
    DAMAGED(&part->ring[2], taken, text("the cache has number %u, expected one of the lane's, once", taken));
    DAMAGED(&part->ring[2], cached, text("the cache has number %u", cached));
    DAMAGED(&part->ring[2], others, text("the cache has number %u", others));
    DAMAGED(&part->out[taken / 64], 0, "5 numbers are taken or cached, expected 6");
    DAMAGED(&part->out[cached / 64], part->out[cached / 64] | 1ull << cached % 64,
            text("the cache has number %u", cached));
    DAMAGED(&part->out[others / 64], part->out[others / 64] | 1ull << others % 64,
            text("number %u is taken, expected it to be the lane's", others));
    DAMAGED(&part->out[3], 1ull << 8, "a number is taken that is none of the 200");
}

/* ---- merged ---- */

LANES_TEST(a_merged_count_is_published_as_it_is)
{
    uint64_t *merged, *line;

    open_used();
    merged = (uint64_t *)(void *)lane[1].merged; /* count, published, burst, others, lines, next */
    line = (uint64_t *)(uintptr_t)merged[4] + 8; /* of lane 1: sequence, count, access */
    assert_int_equal(merged[0], 3);
    assert_int_equal(line[0], 2);
    assert_int_equal(line[1], 3);
    DAMAGED(&merged[0], 4, "merged count at line ");
    DAMAGED(&merged[1], 4, "it counts 3, and 4 was published, 3 to others");
    DAMAGED(&merged[4], merged[4] + 8, "constant");
    DAMAGED(&merged[5], 8, "constant");
    DAMAGED(&line[0], 3, "its line is being written");
    DAMAGED(&line[1], 5, "3 was published, 5 to others");
    DAMAGED(&line[2], 1u << 20, "it was published under access 1048576");
}

/* ---- ages ---- */

static uint64_t sequence;

static void do_anything(unsigned l)
{
    for (uint32_t n = help_below(&sequence, 12); n; n--) {
        uint32_t number = help_below(&sequence, NUMBERS), key = help_below(&sequence, 60), shard;
        struct nf_map *part;

        switch (help_below(&sequence, 6)) {
        case 0:
        case 1:
            nf_shared_pool_take(lane[l].nf, lane[l].pool);
            break;
        case 2:
            if (nf_shared_pool_has(lane[l].pool, number))
                nf_shared_pool_give(lane[l].nf, lane[l].pool, number);
            break;
        case 3:
            shard = nf_shared_map_shard(lane[l].map, &key);
            part = nf_shared_map_enter(lane[l].nf, lane[l].map, shard);
            if (nf_map_find(part, &key) == NF_NONE)
                nf_map_add(lane[l].nf, part, &key);
            else
                nf_map_remove(lane[l].nf, part, nf_map_find(part, &key));
            nf_shared_map_leave(lane[l].nf, lane[l].map, shard);
            break;
        case 4:
            nf_merged_add(lane[l].nf, lane[l].merged, key);
            nf_shared_word_add(lane[l].nf, lane[l].word, 1);
            break;
        default:
            nf_merged_read(lane[l].nf, lane[l].merged);
        }
    }
}

static void give_all(unsigned l)
{
    for (uint32_t number = 0; number < NUMBERS; number++)
        if (nf_shared_pool_has(lane[l].pool, number))
            nf_shared_pool_give(lane[l].nf, lane[l].pool, number);
}

LANES_TEST(shared_state_of_every_age_passes)
{
    open_lanes();
    sequence = 4;
    for (unsigned i = 0; i < 6000; i++) {
        in_a_burst(help_below(&sequence, LANES), i % 1500 == 1499 ? give_all : do_anything);
        content_passes();
    }
}
