/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of one NF, damage in its state, and a model of the map; see nf.h. */
#include "tests/help/test.h"
#include "tests/help/nf.h"

struct config {
    uint64_t arena;
};

void (*help_nf_timers)(struct nf *nf, uint64_t now);

static uint64_t arena(const void *config)
{
    return ((const struct config *)config)->arena;
}

static void timers(struct nf *nf, uint64_t now)
{
    if (help_nf_timers)
        help_nf_timers(nf, now);
}

void help_nf_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now) {}

static const struct nf_module module = {
    .name = "bare",
    .summary = "an NF for tests of state types",
    .config_size = sizeof(struct config),
    .arena = arena,
    .process = help_nf_process,
    .timers = timers,
};

static void open_chain(struct help_nf *h, uint64_t bytes, uint64_t seed, bool audit)
{
    static struct config config;
    static struct nf_chain_config chain;
    static struct help_nf before;
    const struct ft_region_config how = {.name = "test", .shared_size = 4 << 20, .audit = audit};
    struct ft_fault fault = {""};

    if (before.region) {
        nf_chain_free(before.chain);
        ft_region_close(before.region);
    }
    config = (struct config){.arena = bytes};
    chain = (struct nf_chain_config){.name = "test", .lanes = 1, .count = 1, .nfs = {{&module, &config}}};
    if (nf_chain_region(&h->region, &chain, &how, &fault) ||
        nf_chain_make(&h->chain, &chain, h->region, 0, seed, &fault))
        fail_msg("%s", fault.text);
    h->nf = nf_chain_nf(h->chain, 1);
    before = *h;
    help_nf_timers = NULL;
}

void help_nf_open(struct help_nf *h, uint64_t bytes, uint64_t seed)
{
    open_chain(h, bytes, seed, true);
}

void help_nf_open_fast(struct help_nf *h, uint64_t bytes, uint64_t seed)
{
    open_chain(h, bytes, seed, false);
}

void help_nf_audit(const struct help_nf *h)
{
    ft_audit_check(h->region, 0);
}

uint64_t help_model_seed(void)
{
    const char *text = getenv("MODEL_SEED");

    return text ? strtoull(text, NULL, 10) : 1;
}

/* ---- damage in a chain's state ------------------------------------------------------------------- */

struct help_content help_content;

void content_of(const struct help_nf *h)
{
    content_of_chain(h->region, h->chain);
}

void content_of_chain(struct ft_region *region, struct nf_chain *chain)
{
    help_content = (struct help_content){.region = region, .lanes = 1, .chain = {chain}};
}

static int check(struct ft_fault *fault)
{
    int error = 0;

    for (unsigned l = 0; l < help_content.lanes && !error; l++)
        error = nf_chain_check(help_content.chain[l], NULL, NULL, fault);
    return error;
}

void content_passes(void)
{
    struct ft_fault fault = {""};

    if (check(&fault))
        fail_msg("%s", fault.text);
}

void content_is_refused(const char *text)
{
    struct ft_fault fault = {""};

    if (check(&fault) != FT_EMALFORMED || strncmp(fault.text, "state: lane ", 12) != 0 ||
        !strstr(fault.text, text))
        fail_msg("expected \"%s\", got \"%s\"", text, fault.text);
}

void content_damaged(void *p, const void *bytes, size_t n, const char *text)
{
    uint8_t was[64];

    assert_true(n <= sizeof(was));
    ft_audit_suspend(help_content.region);
    memcpy(was, p, n);
    assert_memory_not_equal(was, bytes, n);
    memcpy(p, bytes, n);
    content_is_refused(text);
    memcpy(p, was, n);
    content_passes();
    ft_audit_resume(help_content.region);
}

/* ---- a model of the map -------------------------------------------------------------------------- */

struct map_model map_model;

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
