/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list against a model of arrays: in each list its entries in order, and those that are free in the order in
 * which they came back. What a peer may send, and misuse. Where things lie is known here as the head of
 * list.c states it.
 */
#include "nflib/state/state.h"
#include "tests/help/nf.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#define LISTS       7u
#define ENTRIES_MAX 300u
#define VALUE_MAX   64u

/* Of the last list: entries that are taken and in none. */
static struct {
    uint32_t capacity, value_size, taken, freed, fresh;
    uint32_t in[LISTS + 1][ENTRIES_MAX], count[LISTS + 1];
    uint32_t free[ENTRIES_MAX];
    uint8_t value[ENTRIES_MAX][VALUE_MAX];
} model;

static struct help_nf h;
static struct nf_lists *lists;
static struct nf_list head[LISTS];

static void open_lists(uint32_t capacity, uint32_t value_size, uint64_t seed)
{
    help_nf_open(&h, nf_lists_bytes(capacity, value_size), seed);
    content_of(&h);
    lists = nf_lists_make(h.nf, capacity, value_size);
    assert_non_null(lists);
    memset(head, 0, sizeof(head));
    memset(&model, 0, sizeof(model));
    model.capacity = capacity;
    model.value_size = value_size;
}

static void model_insert(uint32_t list, uint32_t at, uint32_t entry)
{
    memmove(&model.in[list][at + 1], &model.in[list][at],
            (model.count[list] - at) * sizeof(model.in[list][0]));
    model.in[list][at] = entry;
    model.count[list]++;
}

static uint32_t model_remove(uint32_t list, uint32_t at)
{
    uint32_t entry = model.in[list][at];

    memmove(&model.in[list][at], &model.in[list][at + 1],
            (--model.count[list] - at) * sizeof(model.in[list][0]));
    return entry;
}

static void take(uint64_t *sequence)
{
    uint32_t entry = nf_lists_take(h.nf, lists);

    if (model.taken == model.capacity) {
        assert_int_equal(entry, NF_NONE);
        return;
    }
    assert_int_equal(entry, model.freed ? model.free[--model.freed] : model.fresh++);
    assert_memory_equal(nf_lists_value(lists, entry), model.value[entry], model.value_size);
    for (uint32_t i = 0; i < model.value_size; i++)
        model.value[entry][i] = (uint8_t)ft_draw(sequence);
    memcpy(nf_edit(h.nf, nf_lists_value(lists, entry), model.value_size), model.value[entry],
           model.value_size);
    model.taken++;
    model_insert(LISTS, model.count[LISTS], entry);
}

static void give(uint64_t *sequence)
{
    uint32_t entry = model_remove(LISTS, help_below(sequence, model.count[LISTS]));

    nf_lists_give(h.nf, lists, entry);
    model.free[model.freed++] = entry;
    model.taken--;
}

/* At an end as often as in the middle. */
static uint32_t draw_place(uint32_t places, uint64_t *sequence)
{
    uint32_t kind = help_below(sequence, 4);

    return kind == 0 ? 0 : kind == 1 ? places - 1 : help_below(sequence, places);
}

static void insert(uint32_t list, uint64_t *sequence)
{
    uint32_t entry = model_remove(LISTS, help_below(sequence, model.count[LISTS]));
    uint32_t at = draw_place(model.count[list] + 1, sequence);

    nf_list_insert(h.nf, lists, &head[list], entry, at < model.count[list] ? model.in[list][at] : NF_NONE);
    model_insert(list, at, entry);
}

static void drop(uint32_t list, uint64_t *sequence)
{
    uint32_t entry = model_remove(list, draw_place(model.count[list], sequence));

    nf_list_remove(h.nf, lists, &head[list], entry);
    model_insert(LISTS, model.count[LISTS], entry);
}

static void compare_list(uint32_t list)
{
    uint32_t entry = nf_list_first(&head[list]);

    for (uint32_t i = 0; i < model.count[list]; i++) {
        assert_int_equal(entry, model.in[list][i]);
        assert_memory_equal(nf_lists_value(lists, entry), model.value[entry], model.value_size);
        entry = nf_list_next(lists, entry);
    }
    assert_int_equal(entry, NF_NONE);
    assert_int_equal(nf_list_first(&head[list]) == NF_NONE, model.count[list] == 0);
}

static void compare_all(void)
{
    assert_int_equal(nf_lists_count(lists), model.taken);
    for (uint32_t i = 0; i < LISTS; i++)
        compare_list(i);
}

static void step(uint32_t filling, uint64_t *sequence)
{
    uint32_t list = help_below(sequence, LISTS), kind = help_below(sequence, 100);

    if (help_below(sequence, 2)) {
        if (kind < filling)
            take(sequence);
        else if (model.count[LISTS])
            give(sequence);
    } else if (kind < filling && model.count[LISTS]) {
        insert(list, sequence);
    } else if (model.count[list]) {
        drop(list, sequence);
    }
    compare_list(list);
}

static void churn(uint32_t capacity, uint32_t value_size, uint32_t steps, uint64_t seed)
{
    uint64_t sequence = seed;

    open_lists(capacity, value_size, seed);
    for (uint32_t i = 0; i < steps; i++) {
        step(i / (20 * capacity) % 3 == 2 ? 30 : 60, &sequence);
        help_model_audit(&h, i);
        if (i % 1024 == 0) {
            compare_all();
            content_passes();
        }
    }
    compare_all();
    help_nf_audit(&h);
}

TEST(lists_agree_with_the_model)
{
    uint64_t seed = help_model_seed();

    churn(ENTRIES_MAX, 12, HELP_MODEL_STEPS / 2, seed);
    churn(20, 0, HELP_MODEL_STEPS / 4, seed + 1);
    churn(1, 3, HELP_MODEL_STEPS / 8, seed + 2);
    churn(64, 64, HELP_MODEL_STEPS / 8, seed + 3);
}

/* ---- what came from a peer ---- */

struct entry {
    uint32_t next, before, value[2];
};
struct whole {
    uint32_t capacity, stride, unused[14];
    uint32_t count, touched, free, unused_too[13];
    struct entry entry[];
};
static struct whole *whole;

/* Ten were taken, 7, 8 and 9 came back; 0 to 3 are in a list, 4 to 6 in another. */
static void open_damaged(void)
{
    open_lists(20, 8, 1);
    whole = (struct whole *)(void *)lists;
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(nf_lists_take(h.nf, lists), i);
    for (uint32_t i = 7; i < 10; i++)
        nf_lists_give(h.nf, lists, i);
    for (uint32_t i = 0; i < 7; i++)
        nf_list_insert(h.nf, lists, &head[i / 4], i, NF_NONE);
    assert_int_equal(whole->stride, sizeof(struct entry));
    assert_int_equal(whole->entry[3].before, 2 + 1);
    content_passes();
}

TEST(entries_that_came_from_a_peer_are_looked_at)
{
    open_damaged();
    DAMAGED(&whole->capacity, 1000, "constant at line ");
    DAMAGED(&whole->stride, 1u << 30, "constant at line ");
    DAMAGED(&whole->touched, 21, "lists at line ");
    DAMAGED(&whole->touched, 21, "7 entries are taken and 21 were, expected at most 20");
    DAMAGED(&whole->count, 11, "11 entries are taken and 10 were");
    DAMAGED(&whole->count, 8, "does not end after 2");
    DAMAGED(&whole->count, 6, "leads to 0, expected a free one of 10");
    DAMAGED(&whole->touched, 9, "leads to 10, expected a free one of 9");
    DAMAGED(&whole->free, UINT32_MAX, "leads to 4294967295");
    DAMAGED(&whole->free, 1, "leads to 1, expected a free one");
    DAMAGED(&whole->entry[8].next, 10, "does not end after 3"); /* in a circle */
    DAMAGED(&whole->entry[7].before, 0, "leads to 8, expected a free one");
}

/* As a module's check_state does; `n`: how many both have. */
static int check_heads(struct ft_fault *fault, int n)
{
    struct nf_check c = {.nf = h.nf, .fault = fault, .kind = "lists"};
    uint64_t *seen = nf_lists_seen(&c, 0, lists);
    int first = nf_list_check(&c, lists, &head[0], 4, seen);
    int second = first < 0 ? first : nf_list_check(&c, lists, &head[1], 4, seen);

    nf_check_end(&c);
    if (second >= 0)
        assert_int_equal(first + second, n);
    return second;
}

static void planted(uint32_t *p, uint32_t value, const char *text)
{
    struct ft_fault fault = {""};
    uint32_t was = *p;

    *p = value;
    if (check_heads(&fault, 7) != FT_EMALFORMED || !strstr(fault.text, text))
        fail_msg("expected \"%s\", got \"%s\"", text, fault.text);
    *p = was;
}

TEST(lists_that_came_from_a_peer_are_looked_at)
{
    open_damaged();
    ft_audit_suspend(h.region);
    assert_int_equal(check_heads(&help_fault, 7), 3);
    planted(&head[0].first, 2, "does not end with 4");
    planted(&head[1].first, 1, "entry 0 is in two lists");
    planted(&head[1].first, 8, "entry 7 is in two lists"); /* a free one */
    planted(&head[1].first, 11, "has 11 behind 0");        /* one that was never taken */
    planted(&head[1].first, UINT32_MAX, "has 4294967295 behind 0");
    planted(&whole->entry[4].next, 7, "has 7 behind 5");
    planted(&whole->entry[4].next, 2, "has 2 behind 5"); /* into the other list */
    planted(&whole->entry[5].before, 2, "has 6 behind 5");
    planted(&whole->entry[6].next, 5, "entry 4 is in two lists"); /* in a circle */
    planted(&whole->entry[4].before, 6, "does not end with 7");
    head[0].first = 0;
    assert_int_equal(check_heads(&help_fault, 3), 3);
    ft_audit_resume(h.region);
}

/* A list of numbers that were not taken is looked at without marks; it has as many as there may be. */
TEST(a_list_of_own_numbers_is_looked_at)
{
    struct nf_check c;

    open_lists(20, 8, 1);
    c = (struct nf_check){.nf = h.nf, .fault = &help_fault, .kind = "lists"};
    nf_list_insert(h.nf, lists, &head[0], 19, NF_NONE);
    nf_list_insert(h.nf, lists, &head[0], 3, 19);
    assert_int_equal(nf_list_check(&c, lists, &head[1], 0, NULL), FT_EMALFORMED);
    assert_non_null(strstr(help_fault.text, "2 entries are linked, expected the 0 of the list"));
    assert_int_equal(nf_list_check(&c, lists, &head[0], 2, NULL), 2);
    ((uint32_t *)(uintptr_t)nf_lists_value(lists, 7))[-1] = 5; /* whoever inserts it next would abort */
    assert_int_equal(nf_list_check(&c, lists, &head[0], 2, NULL), FT_EMALFORMED);
    assert_non_null(strstr(help_fault.text, "3 entries are linked, expected the 2 of the list"));
    ((uint32_t *)(uintptr_t)nf_lists_value(lists, 7))[-1] = 0;
    assert_int_equal(nf_list_check(&c, lists, &head[0], 1, NULL), FT_EMALFORMED);
    assert_non_null(strstr(help_fault.text, "a list has more entries than 1"));
    head[0].first = 21;
    assert_int_equal(nf_list_check(&c, lists, &head[0], 2, NULL), FT_EMALFORMED);
    ((uint32_t *)(uintptr_t)nf_lists_value(lists, 0))[-1] = 5; /* nobody has taken it: no harm */
    nf_list_insert(h.nf, lists, &head[1], nf_lists_take(h.nf, lists), NF_NONE);
}

/* ---- misuse ---- */

static void insert_twice(void *arg)
{
    nf_list_insert(h.nf, lists, &head[1], 2, NF_NONE);
}
static void insert_free(void *arg)
{
    nf_list_insert(h.nf, lists, &head[1], 8, NF_NONE);
}
static void insert_beyond(void *arg)
{
    nf_list_insert(h.nf, lists, &head[1], 20, NF_NONE);
}
static void remove_free(void *arg)
{
    nf_list_remove(h.nf, lists, &head[0], 8);
}
static void give_linked(void *arg)
{
    nf_lists_give(h.nf, lists, 2);
}
static void give_twice(void *arg)
{
    nf_lists_give(h.nf, lists, 8);
}

TEST(misuse_aborts)
{
    uint64_t used;

    open_damaged();
    assert_dies(insert_twice, NULL, "entry 2 of 20 is in a list, or free");
    assert_dies(insert_free, NULL, "entry 8 of 20 is in a list, or free");
    assert_dies(insert_beyond, NULL, "entry 20 of 20 is in a list, or free");
    assert_dies(remove_free, NULL, "entry 8 of 20 is in no list");
    assert_dies(give_linked, NULL, "entry 2 of 10 is given back");
    assert_dies(give_twice, NULL, "entry 8 of 10 is given back");
    help_nf_open(&h, 1 << 16, 1);
    assert_null(nf_lists_make(h.nf, 100000, 8));
    used = h.nf->arena->used;
    assert_non_null(nf_lists_make(h.nf, 1000, 13));
    assert_int_equal(h.nf->arena->used - used, nf_lists_bytes(1000, 13));
    assert_int_equal(nf_lists_bytes(1000, 13), 128 + 1000 * 24);
}
