/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared state types in several lanes. Against a plain model of them all lanes take turns, a burst each, so
 * the model knows what each operation must give; then lanes that are threads replay what was recorded, and
 * end in the same region, byte for byte. The same where they are threads in the first place, whatever order
 * they get. An NF draws from its lane's generator what it does; all it reads of shared objects goes into its
 * own state, so a read that comes out otherwise is seen in the digest. And buckets against whole numbers of
 * billionths.
 */
#include "nflib/shared/shared.h"
#include "tests/help/nf.h"
#include "tests/help/race.h"
#include "tests/help/test.h"

#define LANES   4u
#define KEYS    600u
#define ENTRIES 300u /* of the map */
#define SHARDS  4u
#define NUMBERS 500u /* of the pool, where no other number is said */
#define HELD    100u

struct toy {
    struct nf_shared_word *word;
    struct nf_shared_map *map;
    struct nf_shared_pool *pool;
    struct nf_merged *merged;
    uint64_t mix;  /* of all that was read */
    uint64_t seen; /* merged count at the last read: it only grows */
    uint32_t count;
    uint32_t held[HELD]; /* only_pool: numbers, the oldest first */
};

struct toy_config {
    uint32_t numbers; /* of the pool */
    bool planted;     /* merged sums are made wrong: they need not grow */
    bool only_pool;
    uint32_t take_in; /* only_pool: a packet takes a number once in so many */
    uint32_t keep;    /* and gives the oldest back when it has so many; 0: takes it for good */
};

/* NULL: lanes run as threads, or what was recorded is replayed. */
struct model {
    uint64_t word, merged;
    bool there[KEYS];
    uint64_t value[KEYS];
    uint32_t owner[NUMBERS]; /* lane + 1; 0: nobody's */
    uint32_t held;
    uint64_t operations, full, exhausted; /* that found the map's shard, or the pool, so */
};
static struct model *model;

static uint64_t toy_arena(const void *config)
{
    const struct toy_config *c = config;

    return nf_shared_pool_lane_bytes(c->numbers) + nf_merged_lane_bytes();
}

static uint64_t toy_shared(const void *config, unsigned lanes)
{
    const struct toy_config *c = config;

    return nf_shared_word_bytes() + nf_shared_map_bytes(ENTRIES, 4, 8, SHARDS) +
           nf_shared_pool_bytes(c->numbers) + nf_merged_bytes();
}

static bool toy_make(struct nf *nf)
{
    const struct toy_config *c = nf->config;
    struct toy *t = nf->state;

    t->word = nf_shared_word_make(nf);
    t->map = nf_shared_map_make(nf, ENTRIES, 4, 8, SHARDS);
    t->pool = nf_shared_pool_make(nf, c->numbers);
    t->merged = nf_merged_make(nf);
    return t->word && t->map && t->pool && t->merged;
}

static void mix(const struct nf *nf, uint64_t value)
{
    struct toy *t = nf->state;

    *NF_EDIT(nf, &t->mix) = (t->mix ^ value) * 0x9e3779b97f4a7c15u + 1;
}

static void word_step(const struct nf *nf, uint64_t draw)
{
    const struct toy *t = nf->state;
    uint64_t n = draw >> 32 & 1 ? draw >> 33 : 0;
    uint64_t got = n ? nf_shared_word_add(nf, t->word, n) : nf_shared_word_get(nf, t->word);

    mix(nf, got);
    if (!model)
        return;
    model->word += n;
    assert_true(got == model->word);
}

static void note_entry(uint32_t key, bool there, uint64_t value)
{
    if (!model)
        return;
    model->there[key] = there;
    model->value[key] = value;
}

/* Adds the key, changes its value or removes it, with what was there compared before. */
static void map_step(const struct nf *nf, uint64_t draw)
{
    const struct toy *t = nf->state;
    uint32_t key = (uint32_t)(draw >> 32) % KEYS, shard = nf_shared_map_shard(t->map, &key);
    struct nf_map *part = nf_shared_map_enter(nf, t->map, shard);
    uint32_t slot = nf_map_find(part, &key);
    bool was = slot != NF_NONE;
    uint64_t value = was ? *(const uint64_t *)nf_map_value(part, slot) : 0;

    mix(nf, slot ^ value);
    if (model && (was != model->there[key] || (was && value != model->value[key])))
        fail_msg("key %u: lane %u finds %d, %lu", key, nf->lane, was, value);
    if (was && draw >> 20 & 3) {
        note_entry(key, true, *NF_EDIT(nf, (const uint64_t *)nf_map_value(part, slot)) = value + 1);
    } else if (was) {
        nf_map_remove(nf, part, slot);
        note_entry(key, false, 0);
    } else if (nf_map_add(nf, part, &key) != NF_NONE) {
        note_entry(key, true, 0);
    } else {
        FT_CHECK(nf_map_count(part) == nf_map_capacity(part), "a shard with room takes no entry");
        if (model)
            model->full++;
    }
    nf_shared_map_leave(nf, t->map, shard);
}

static void pool_step(const struct nf *nf, uint64_t draw)
{
    const struct toy *t = nf->state;
    uint32_t number = (uint32_t)(draw >> 32) % NUMBERS;

    if (nf_shared_pool_has(t->pool, number)) {
        FT_CHECK(nf_shared_pool_owner(t->pool, number) == nf->lane, "number %u is another lane's", number);
        if (model)
            assert_int_equal(model->owner[number], nf->lane + 1);
        nf_shared_pool_give(nf, t->pool, number);
        if (model) {
            model->owner[number] = 0;
            model->held--;
        }
        return;
    }
    number = nf_shared_pool_take(nf, t->pool);
    mix(nf, number);
    if (!model)
        return;
    if (number == NF_NONE) {
        model->exhausted++;
        return;
    }
    assert_true(number < NUMBERS && !model->owner[number]);
    model->owner[number] = nf->lane + 1;
    model->held++;
}

static void merged_step(const struct nf *nf, uint64_t draw)
{
    const struct toy_config *c = nf->config;
    struct toy *t = nf->state;
    uint64_t sum;

    if (draw >> 32 & 3) {
        nf_merged_add(nf, t->merged, draw >> 40);
        if (model)
            model->merged += draw >> 40;
        return;
    }
    sum = nf_merged_read(nf, t->merged);
    FT_CHECK(c->planted || sum >= t->seen, "a count went back from %lu to %lu", t->seen, sum);
    *NF_EDIT(nf, &t->seen) = sum;
    mix(nf, sum);
    if (model) /* lanes take turns, so all that others have added is published */
        assert_true(sum == model->merged);
}

static void take(const struct nf *nf, struct toy *t)
{
    uint32_t number = nf_shared_pool_take(nf, t->pool);
    mix(nf, number);
    if (number == NF_NONE)
        return;
    FT_CHECK(nf_shared_pool_owner(t->pool, number) == nf->lane, "number %u is not ours", number);
    *NF_EDIT(nf, &t->held[t->count]) = number;
    (*NF_EDIT(nf, &t->count))++;
}

static void give_first(const struct nf *nf, struct toy *t)
{
    uint32_t number = t->held[0];
    (*NF_EDIT(nf, &t->count))--;
    uint32_t *held = nf_edit(nf, t->held, sizeof(t->held));
    memmove(held, held + 1, t->count * sizeof(held[0]));
    nf_shared_pool_give(nf, t->pool, number);
}

static void toy_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct toy_config *c = nf->config;
    struct toy *t = nf->state;

    for (uint32_t i = 0; i < n; i++) {
        uint64_t draw = nf_random(nf);

        if (!c->only_pool) {
            (draw % 4 == 0   ? word_step
             : draw % 4 == 1 ? map_step
             : draw % 4 == 2 ? pool_step
                             : merged_step)(nf, draw);
            if (model)
                model->operations++;
            else
                help_race_pause();
        } else if (draw % c->take_in == 0) {
            if (c->keep && t->count == c->keep)
                give_first(nf, t);
            take(nf, t);
            if (c->keep == 0)
                *NF_EDIT(nf, &t->count) = 0;
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

/* ---- in turn, beside the model ---- */

/* The whole content. */
static void compare_all(const struct help_race *r)
{
    const struct nf *nf = nf_chain_nf(r->chains[0], 1);
    const struct toy *t = nf->state;
    uint32_t entries = 0, there = 0;

    for (unsigned l = 0; l < r->config.lanes; l++)
        help_done(nf_chain_check(r->chains[l], NULL, NULL, &help_fault));
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        const struct nf_map *part = nf_shared_map_part(t->map, shard);

        for (uint32_t slot = 0; (slot = nf_map_next(part, slot)) != NF_NONE; slot++, entries++) {
            uint32_t key = *(const uint32_t *)nf_map_key(part, slot);

            assert_true(model->there[key]);
            assert_true(*(const uint64_t *)nf_map_value(part, slot) == model->value[key]);
        }
    }
    for (uint32_t key = 0; key < KEYS; key++)
        there += model->there[key];
    assert_int_equal(entries, there);
    for (uint32_t number = 0; number < NUMBERS; number++)
        if (model->owner[number])
            assert_int_equal(nf_shared_pool_owner(t->pool, number), model->owner[number] - 1);
    assert_true(nf_shared_word_peek(t->word) == model->word);
    assert_true(nf_merged_peek(nf, t->merged) == model->merged);
}

static void lanes_agree(unsigned lanes, uint32_t operations, bool audit, uint64_t seed)
{
    struct model m = {.word = 0};
    struct toy_config config = {.numbers = NUMBERS};
    struct help_race r = race_of(lanes, &config, operations / (lanes * NF_BURST_MAX) + 1, NF_BURST_MAX);
    uint64_t live;

    r.seed = seed;
    r.audit = audit;
    help_race_open(&r);
    model = &m;
    help_race_in_turn(&r);
    compare_all(&r);
    model = NULL;
    live = ft_region_digest(r.region);
    assert_true(m.operations >= operations && m.full > operations / 200);
    assert_true(m.exhausted == 0 || m.held > NUMBERS / 2);
    assert_true(help_race_replay(&r, seed) == live);
    help_race_close(&r);
}

TEST(lanes_agree_with_the_model)
{
    uint64_t seed = help_model_seed();

    lanes_agree(LANES, HELP_MODEL_STEPS / 2, false, seed);
    lanes_agree(3, HELP_MODEL_STEPS / 4, false, seed + 1);
    lanes_agree(2, HELP_MODEL_STEPS / 8, false, seed + 2);
    lanes_agree(1, HELP_MODEL_STEPS / 8, false, seed + 3);
}

TEST(lanes_agree_under_audit)
{
    lanes_agree(LANES, 20000, true, help_model_seed());
}

/* ---- as threads ---- */

static void race(unsigned lanes, unsigned rounds, bool audit, uint32_t bursts)
{
    struct toy_config config = {.numbers = NUMBERS};
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
           "that only come, %.2f with a new flow in each packet\n",
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
    struct toy_config config = {.numbers = NUMBERS, .planted = true};
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
    struct toy_config config = {.numbers = NUMBERS};
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

/* ---- buckets ---- */

#define BILLION 1000000000ull

/* What is in it, in billionths of a token. */
static unsigned __int128 fill_model(unsigned __int128 level, const struct nf_rate *rate, uint64_t passed)
{
    if (level / BILLION > rate->burst)
        level = (unsigned __int128)rate->burst * BILLION + level % BILLION;
    level += (unsigned __int128)passed * rate->rate;
    return passed && level / BILLION >= rate->burst ? (unsigned __int128)rate->burst * BILLION : level;
}

TEST(buckets_agree_with_the_model)
{
    uint64_t sequence = help_model_seed(), now = 0;
    struct nf_rate rate = {.rate = 1000, .burst = 100};
    unsigned __int128 level = 100 * BILLION;
    struct nf_bucket bucket;

    nf_bucket_full(&bucket, &rate, now);
    for (uint32_t i = 0; i < HELP_MODEL_STEPS; i++) {
        uint64_t passed = help_below(&sequence, 3) ? ft_draw(&sequence) % (1ull << i % 40) : 0, taken;

        if (i % 1000 == 999)
            rate = (struct nf_rate){ft_draw(&sequence) % (1ull << i % 41),
                                    1 + ft_draw(&sequence) % (1ull << i % 43)};
        now += passed;
        level = fill_model(level, &rate, passed);
        taken = nf_bucket_fill(&bucket, &rate, now);
        assert_true(taken == (uint64_t)(level / BILLION));
        assert_true(nf_bucket_fill(&bucket, &rate, now - now / 3) == taken); /* a lane that is behind */
        taken = taken ? ft_draw(&sequence) % (taken + 1) : 0;
        bucket.level -= taken;
        level -= (unsigned __int128)taken * BILLION;
    }
}
