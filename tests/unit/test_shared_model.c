/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared state types in several lanes against a plain model of them all. Lanes take turns, a burst each, so
 * the model knows what each operation must give; then lanes that are threads replay what was recorded, and
 * end in the same region, byte for byte. And buckets against whole numbers of billionths.
 */
#include "nflib/shared/shared.h"
#include "tests/help/nf.h"
#include "tests/help/race.h"
#include "tests/help/test.h"

#define LANES   4u
#define KEYS    600u
#define ENTRIES 300u /* of the map */
#define SHARDS  4u
#define NUMBERS 500u /* of the pool */

struct nf_under_test {
    struct nf_shared_word *word;
    struct nf_shared_map *map;
    struct nf_shared_pool *pool;
    struct nf_merged *merged;
    uint64_t mix; /* of all that was read */
};

/* NULL: what was recorded is replayed, by threads. */
struct model {
    uint64_t word, merged;
    bool there[KEYS];
    uint64_t value[KEYS];
    uint32_t owner[NUMBERS]; /* lane + 1; 0: nobody's */
    uint32_t held;
    uint64_t operations, full, exhausted; /* that found the map's shard, or the pool, so */
};
static struct model *model;

static uint64_t arena(const void *config)
{
    return nf_shared_pool_lane_bytes(NUMBERS) + nf_merged_lane_bytes();
}

static uint64_t shared(const void *config, unsigned lanes)
{
    return nf_shared_word_bytes() + nf_shared_map_bytes(ENTRIES, 4, 8, SHARDS) +
           nf_shared_pool_bytes(NUMBERS) + nf_merged_bytes();
}

static bool make(struct nf *nf)
{
    struct nf_under_test *t = nf->state;

    t->word = nf_shared_word_make(nf);
    t->map = nf_shared_map_make(nf, ENTRIES, 4, 8, SHARDS);
    t->pool = nf_shared_pool_make(nf, NUMBERS);
    t->merged = nf_merged_make(nf);
    return t->word && t->map && t->pool && t->merged;
}

static void mix(const struct nf *nf, uint64_t value)
{
    struct nf_under_test *t = nf->state;

    *NF_EDIT(nf, &t->mix) = (t->mix ^ value) * 0x9e3779b97f4a7c15u + 1;
}

static void word_step(const struct nf *nf, uint64_t draw)
{
    const struct nf_under_test *t = nf->state;
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
    const struct nf_under_test *t = nf->state;
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
    const struct nf_under_test *t = nf->state;
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
    const struct nf_under_test *t = nf->state;
    uint64_t sum;

    if (draw >> 32 & 3) {
        nf_merged_add(nf, t->merged, draw >> 40);
        if (model)
            model->merged += draw >> 40;
        return;
    }
    sum = nf_merged_read(nf, t->merged);
    mix(nf, sum);
    if (model) /* lanes take turns, so all that others have added is published */
        assert_true(sum == model->merged);
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t draw = nf_random(nf);

        (draw % 4 == 0   ? word_step
         : draw % 4 == 1 ? map_step
         : draw % 4 == 2 ? pool_step
                         : merged_step)(nf, draw);
        if (model)
            model->operations++;
    }
}

static const struct nf_module module = {
    .name = "under_test",
    .summary = "all shared state types",
    .state_size = sizeof(struct nf_under_test),
    .arena = arena,
    .shared = shared,
    .make = make,
    .process = process,
};

/* The whole content. */
static void compare_all(const struct help_race *r)
{
    const struct nf *nf = nf_chain_nf(r->chains[0], 1);
    const struct nf_under_test *t = nf->state;
    uint32_t entries = 0, there = 0;

    struct ft_fault fault = {""};

    for (unsigned l = 0; l < r->config.lanes; l++)
        if (nf_chain_check(r->chains[l], NULL, NULL, &fault))
            fail_msg("%s", fault.text);
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
    struct help_race r = {
        .config = {.name = "model",
                   .lanes = (uint16_t)lanes,
                   .count = 1,
                   .nfs = {{&module, NULL}},
                   .shared_size = 1},
        .bursts = operations / (lanes * NF_BURST_MAX) + 1,
        .packets = NF_BURST_MAX,
        .step = 1000,
        .seed = seed,
        .audit = audit,
    };
    uint64_t live;

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
