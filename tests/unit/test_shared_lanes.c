/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared state types in several lanes that are threads: whatever order they get, replay of the record ends in
 * the same region, byte for byte. An NF draws from its lane's generator what it does; all it reads of shared
 * objects goes into its own state, so a read that comes out otherwise is seen in the digest.
 */
#include "nflib/shared/shared.h"
#include "tests/help/race.h"
#include "tests/help/test.h"

#define HELD 100u

struct toy {
    struct nf_shared_word *word;
    struct nf_shared_map *map;
    struct nf_shared_pool *pool;
    struct nf_merged *merged, *rare;
    uint64_t mix;  /* of all that was read */
    uint64_t seen; /* merged count at the last read: it only grows */
    uint32_t count;
    uint32_t held[HELD];
};

struct toy_config {
    uint32_t numbers; /* of the pool */
    bool planted;     /* merged sums are made wrong: they need not grow */
    bool only_pool;
    uint32_t take_in; /* only_pool: a packet takes a number once in so many */
    uint32_t keep;    /* and gives the oldest back when it has so many */
};

static uint64_t toy_arena(const void *config)
{
    const struct toy_config *c = config;
    return nf_shared_pool_lane_bytes(c->numbers) + 2 * nf_merged_lane_bytes();
}

static uint64_t toy_shared(const void *config, unsigned lanes)
{
    const struct toy_config *c = config;
    return nf_shared_word_bytes() + nf_shared_map_bytes(40, 4, 16, 4) + nf_shared_pool_bytes(c->numbers) +
           2 * nf_merged_bytes();
}

static bool toy_make(struct nf *nf)
{
    const struct toy_config *c = nf->config;
    struct toy *toy = nf->state;
    toy->word = nf_shared_word_make(nf);
    toy->map = nf_shared_map_make(nf, 40, 4, 16, 4);
    toy->pool = nf_shared_pool_make(nf, c->numbers);
    toy->merged = nf_merged_make(nf);
    toy->rare = nf_merged_make(nf);
    return toy->word && toy->map && toy->pool && toy->merged && toy->rare;
}

static void mix(const struct nf *nf, uint64_t value)
{
    struct toy *toy = nf->state;
    *NF_EDIT(nf, &toy->mix) = (toy->mix ^ value) * 0x9e3779b97f4a7c15u + 1;
}

static void take(const struct nf *nf, struct toy *toy)
{
    uint32_t number = nf_shared_pool_take(nf, toy->pool);
    mix(nf, number);
    if (number == NF_NONE)
        return;
    FT_CHECK(nf_shared_pool_owner(toy->pool, number) == nf->lane, "number %u is not ours", number);
    *NF_EDIT(nf, &toy->held[toy->count]) = number;
    (*NF_EDIT(nf, &toy->count))++;
}

static void give_first(const struct nf *nf, struct toy *toy)
{
    uint32_t number = toy->held[0];
    (*NF_EDIT(nf, &toy->count))--;
    uint32_t *held = nf_edit(nf, toy->held, sizeof(toy->held));
    memmove(held, held + 1, toy->count * sizeof(held[0]));
    nf_shared_pool_give(nf, toy->pool, number);
}

static void map_step(const struct nf *nf, struct toy *toy, uint64_t draw)
{
    uint32_t key = (uint32_t)(draw >> 8) % 60, shard = nf_shared_map_shard(toy->map, &key);
    struct nf_map *part = nf_shared_map_enter(nf, toy->map, shard);
    uint32_t slot = nf_map_find(part, &key);

    mix(nf, slot);
    if (slot != NF_NONE)
        mix(nf, *(const uint64_t *)nf_map_value(part, slot));
    if (slot != NF_NONE && draw >> 32 & 1)
        nf_map_remove(nf, part, slot);
    else if (slot != NF_NONE || (slot = nf_map_add(nf, part, &key)) != NF_NONE)
        *NF_EDIT(nf, (const uint64_t *)nf_map_value(part, slot)) += draw >> 40;
    nf_shared_map_leave(nf, toy->map, shard);
}

static void merged_step(const struct nf *nf, struct toy *toy, uint64_t draw)
{
    if (draw & 1 << 8) {
        nf_merged_add(nf, draw & 1 << 9 ? toy->merged : toy->rare, draw >> 60);
        return;
    }
    const struct toy_config *c = nf->config;
    uint64_t now = nf_merged_read(nf, toy->merged);
    FT_CHECK(c->planted || now >= toy->seen, "a count went back from %lu to %lu", toy->seen, now);
    *NF_EDIT(nf, &toy->seen) = now;
    mix(nf, now);
}

static void step(const struct nf *nf, uint64_t draw)
{
    struct toy *toy = nf->state;
    switch (draw % 5) {
    case 0:
        mix(nf, nf_shared_word_add(nf, toy->word, draw >> 50));
        break;
    case 1:
        mix(nf, nf_shared_word_get(nf, toy->word));
        break;
    case 2:
        map_step(nf, toy, draw);
        break;
    case 3:
        if (toy->count < HELD && draw >> 63)
            take(nf, toy);
        else if (toy->count)
            give_first(nf, toy);
        break;
    default:
        merged_step(nf, toy, draw);
    }
    help_race_pause();
}

static void toy_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct toy_config *c = nf->config;
    struct toy *toy = nf->state;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t draw = nf_random(nf);
        if (!c->only_pool) {
            step(nf, draw);
        } else if (draw % c->take_in == 0) {
            if (c->keep && toy->count == c->keep)
                give_first(nf, toy);
            take(nf, toy);
            if (c->keep == 0) /* a number for good */
                *NF_EDIT(nf, &toy->count) = 0;
        }
    }
}

static const struct nf_module module = {
    .name = "toy",
    .summary = "all shared state types",
    .config_size = sizeof(struct toy_config),
    .state_size = sizeof(struct toy),
    .arena = toy_arena,
    .shared = toy_shared,
    .make = toy_make,
    .process = toy_process,
};

static struct help_race race_of(unsigned lanes, struct toy_config *config, uint32_t bursts, uint32_t packets)
{
    return (struct help_race){
        .config = {.name = "race",
                   .lanes = (uint16_t)lanes,
                   .count = 1,
                   .nfs = {{&module, config}},
                   .shared_size = 1},
        .bursts = bursts,
        .packets = packets,
        .step = 1000,
        .seed = 5,
    };
}

static void race(unsigned lanes, unsigned rounds, bool audit, uint32_t bursts)
{
    struct toy_config config = {.numbers = 200};
    struct help_race r = race_of(lanes, &config, bursts, 12);
    unsigned different = 0;
    uint64_t last = 0;

    r.audit = audit;
    help_race_open(&r);
    for (unsigned round = 1; round <= rounds; round++) {
        r.seed = round;
        uint64_t live = help_race_live(&r, round), again;

        again = help_race_replay(&r, round + 1000);
        if (again != live)
            fail_msg("lanes %u, seed %u: replay ends in another state", lanes, round);
        different += live != last;
        last = live;
    }
    assert_int_equal(different, rounds);
    printf("# %u lanes: %lu dependencies in %lu packets\n", lanes, r.dependencies,
           (uint64_t)rounds * lanes * bursts * r.packets);
    assert_true(r.dependencies > rounds * 10);
    help_race_close(&r);
}

TEST(two_lanes_replay_to_the_same_state)
{
    race(2, 34, false, 40);
}
TEST(three_lanes_replay_to_the_same_state)
{
    race(3, 30, false, 40);
}
TEST(four_lanes_replay_to_the_same_state)
{
    race(4, 30, false, 40);
}
TEST(lanes_replay_to_the_same_state_under_audit)
{
    race(3, 6, true, 30);
}

/* Dependencies per thousand packets, lanes taking turns a burst each: the most a change of hands can happen.
 */
static double pool_dependencies(uint32_t take_in, uint32_t keep, uint32_t bursts)
{
    struct toy_config config = {.numbers = 64512, .only_pool = true, .take_in = take_in, .keep = keep};
    struct help_race r = race_of(4, &config, bursts, 32);

    help_race_open(&r);
    help_race_in_turn(&r);
    help_race_close(&r);
    return 1000.0 * (double)r.dependencies / (4.0 * bursts * 32);
}

TEST(lanes_meet_seldom_at_a_pool)
{
    double flows = pool_dependencies(10, 100, 2000), growth = pool_dependencies(10, 0, 2000),
           flood = pool_dependencies(1, 0, 480);

    printf("# dependencies per 1000 packets, 4 lanes: %.2f with flows of 10 packets that come and go, %.2f "
           "that only "
           "come, %.2f with a new flow in each packet\n",
           flows, growth, flood);
    assert_true(flows < 0.5 && growth < 0.5 && flood < 5);
    assert_true(growth > 0 && flood > 3);
}

/* A lane that finds nothing asks seldom, and finds what another gave back. */
TEST(an_empty_pool_is_left_alone)
{
    struct toy_config config = {.numbers = 640};
    struct help_race r = race_of(2, &config, 1, 0);
    uint32_t had[640], n = 0, tries = 0;

    help_race_open(&r);
    struct nf *one = nf_chain_nf(r.chains[0], 1), *two = nf_chain_nf(r.chains[1], 1);
    struct nf_shared_pool *ones = ((struct toy *)one->state)->pool, *twos = ((struct toy *)two->state)->pool;

    while (n < 640 && (had[n] = nf_shared_pool_take(one, ones)) != NF_NONE)
        n++;
    assert_int_equal(n, 640);
    for (unsigned i = 0; i < 210; i++) { /* batches of 20: one look in 21 */
        assert_int_equal(nf_shared_pool_take(two, twos), NF_NONE);
        assert_int_equal(nf_shared_pool_take(one, ones), NF_NONE);
    }
    assert_true(nf_chain_sections(r.chains[1])->count <= 11);
    while (n)
        nf_shared_pool_give(one, ones, had[--n]);
    while (nf_shared_pool_take(two, twos) == NF_NONE)
        assert_true(++tries <= 20);
    while (nf_shared_pool_take(two, twos) != NF_NONE)
        n++;
    assert_true(n + 1 >= 640 - 640 / 8);
    help_race_close(&r);
}

/* Planted: a merged sum that comes back otherwise, in each burst that read one. */
TEST(another_sum_is_seen)
{
    struct toy_config config = {.numbers = 200, .planted = true};
    struct help_race r = race_of(2, &config, 40, 12);
    unsigned seen = 0, planted = 0;

    help_race_open(&r);
    uint64_t live = help_race_live(&r, 1);
    for (uint32_t b = 0; b < r.bursts; b++) {
        struct help_burst *burst = &r.record[1][b];

        if (!burst->values)
            continue;
        burst->value[3] ^= 1;
        planted++;
        seen += help_race_replay(&r, b + 1) != live;
        burst->value[3] ^= 1;
    }
    assert_true(planted > 5);
    assert_int_equal(seen, planted);
    assert_true(help_race_replay(&r, 99) == live);
    help_race_close(&r);
}

/* What a reader of a merged count depends on: the access under which the other lane published. */
TEST(a_read_depends_on_the_burst_read)
{
    struct toy_config config = {.numbers = 200};
    struct help_race r = race_of(3, &config, 1, 0);
    struct nf_packet none;
    const void *block;
    uint64_t sum;

    help_race_open(&r);
    struct nf *writer = nf_chain_nf(r.chains[2], 1), *reader = nf_chain_nf(r.chains[0], 1);
    struct ft_sections *order = nf_chain_sections(r.chains[0]);

    for (uint64_t b = 1; b <= 3; b++) {
        nf_merged_add(writer, ((struct toy *)writer->state)->merged, 5);
        nf_chain_run(r.chains[2], b, 10 * b, &none, 0);
        assert_int_equal(nf_chain_state(r.chains[2])->access, b + 1); /* one access a burst */
    }
    nf_chain_run(r.chains[2], 4, 40, &none, 0);
    assert_int_equal(nf_chain_state(r.chains[2])->access, 4);          /* nothing new, nothing published */
    nf_merged_add(writer, ((struct toy *)writer->state)->merged, 100); /* of a burst that goes on */
    ft_sections_begin(order, 1);
    nf_determinants_begin(nf_chain_determinants(r.chains[0]), false);
    for (unsigned i = 0; i < 3; i++) {
        nf_merged_add(reader, ((struct toy *)reader->state)->merged, 1);
        assert_int_equal(nf_merged_read(reader, ((struct toy *)reader->state)->merged), 15 + i + 1);
    }
    assert_int_equal(order->count, 1); /* lane 1 has published nothing; reads after the first cost nothing */
    assert_int_equal(order->dependencies[0].lane, 2);
    assert_int_equal(order->dependencies[0].access, 3);
    assert_int_equal(nf_determinants_noted(nf_chain_determinants(r.chains[0]), &block), 1 + 2 + 8);
    memcpy(&sum, (const uint8_t *)block + 3, sizeof(sum));
    assert_int_equal(sum, 15);
    assert_int_equal(nf_merged_peek(reader, ((struct toy *)reader->state)->merged), 18);
    help_race_close(&r);
}
