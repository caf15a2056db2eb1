/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list: entries in lists, linked both ways. Owns the one object it allocates in the NF's arena; the NF's lane
 * writes and reads it. Heads lie where the user wants them, and are the user's.
 *
 *     struct nf_lists      line 0: shape, constant; line 1: counts, the list of free entries
 *     entries              stride bytes each: links, value
 *
 * A link is an entry + 1; 0: none. The first entry's `before` is the last one, so that a head is one link and
 * both ends are reached at once; the last one's `next` is 0. An entry in no list has two zeros. One that was
 * given back has the next such one in `next`, and FREE in `before`. Entries are taken last given back first,
 * then those never taken: the order depends on the operations alone. Those never taken are not linked up, so
 * that a large number of them costs no memory.
 */
#include "nflib/module/content.h"
#include "nflib/module/module.h"
#include "nflib/state/state.h"

struct link {
    uint32_t next, before;
};

#define FREE UINT32_MAX

struct nf_lists {
    uint32_t capacity, stride;
    _Alignas(FT_LINE) uint32_t count; /* taken */
    uint32_t touched;                 /* entries from here on were never taken */
    uint32_t free;                    /* a link */
};
_Static_assert(sizeof(struct nf_lists) == 2 * FT_LINE, "entries follow at a line's start");

static uint32_t stride_of(uint32_t value_size)
{
    return (uint32_t)sizeof(struct link) + ((value_size + 7) & ~7u);
}

static const struct link *link_at(const struct nf_lists *lists, uint32_t entry)
{
    return (const struct link *)(const void *)((const uint8_t *)(lists + 1) +
                                               (uint64_t)entry * lists->stride);
}

uint64_t nf_lists_bytes(uint32_t capacity, uint32_t value_size)
{
    uint64_t bytes = sizeof(struct nf_lists) + (uint64_t)capacity * stride_of(value_size);

    return (bytes + FT_LINE - 1) & ~(uint64_t)(FT_LINE - 1);
}

/* ---- checking what came from a peer -------------------------------------------------------------- */

/* Those that were taken and are not: by their number the list ends. */
static int check_lists(struct nf_check *c, const void *object)
{
    const struct nf_lists *lists = object;
    uint32_t at = lists->free;

    if (lists->touched > lists->capacity || lists->count > lists->touched)
        return nf_check_failed(c, "%u entries are taken and %u were, expected at most %u", lists->count,
                               lists->touched, lists->capacity);
    for (uint32_t left = lists->touched - lists->count; left; left--) {
        nf_check_step(c);
        if (!at || at > lists->touched || link_at(lists, at - 1)->before != FREE)
            return nf_check_failed(c, "the list of free entries leads to %u, expected a free one of %u", at,
                                   lists->touched);
        at = link_at(lists, at - 1)->next;
    }
    return at ? nf_check_failed(c, "the list of free entries does not end after %u",
                                lists->touched - lists->count)
              : 0;
}

uint64_t *nf_lists_seen(struct nf_check *c, unsigned which, const struct nf_lists *lists)
{
    uint64_t *seen = nf_check_memory(c, which, (lists->capacity / 64 + 1ull) * sizeof(*seen));

    for (uint32_t at = lists->free; seen && at; at = link_at(lists, at - 1)->next)
        seen[(at - 1) / 64] |= 1ull << (at - 1) % 64;
    return seen;
}

/* Of numbers of one's own: those that are not among the n of the list are in none. */
static int check_others(struct nf_check *c, const struct nf_lists *lists, uint32_t n)
{
    uint32_t linked = 0;

    for (uint32_t entry = 0; entry < lists->capacity; entry++) {
        nf_check_step(c);
        linked += link_at(lists, entry)->before != 0;
    }
    return linked == n ? (int)n
                       : nf_check_failed(c, "%u entries are linked, expected the %u of the list", linked, n);
}

int nf_list_check(struct nf_check *c, const struct nf_lists *lists, const struct nf_list *list, uint32_t most,
                  uint64_t *seen)
{
    uint32_t end = seen ? lists->touched : lists->capacity, at = list->first, before = 0, n = 0;

    for (; at; at = link_at(lists, at - 1)->next) {
        nf_check_step(c);
        if (n++ == most)
            return nf_check_failed(c, "a list has more entries than %u", most);
        if (at > end || (before && link_at(lists, at - 1)->before != before))
            return nf_check_failed(c, "a list has %u behind %u, expected an entry that comes there", at,
                                   before);
        if (seen && seen[(at - 1) / 64] >> (at - 1) % 64 & 1)
            return nf_check_failed(c, "entry %u is in two lists, expected one", at - 1);
        if (seen)
            seen[(at - 1) / 64] |= 1ull << (at - 1) % 64;
        before = at;
    }
    if (n && link_at(lists, list->first - 1)->before != before)
        return nf_check_failed(c, "a list of %u entries does not end with %u", n, before);
    return seen ? (int)n : check_others(c, lists, n);
}

struct nf_lists *nf_lists_make(struct nf *nf, uint32_t capacity, uint32_t value_size)
{
    struct nf_lists *lists;

    FT_CHECK(capacity > 0 && capacity <= INT32_MAX && value_size <= 1u << 20,
             "lists of %u entries of %u bytes", capacity, value_size);
    lists = ft_arena_alloc(nf->arena, nf_lists_bytes(capacity, value_size));
    if (!lists)
        return NULL;
    lists = NF_EDIT(nf, lists);
    lists->capacity = capacity;
    lists->stride = stride_of(value_size);
    nf_constant(nf, lists, offsetof(struct nf_lists, count));
    nf_object(nf, lists, "lists", check_lists);
    return lists;
}

/* ---- entries ------------------------------------------------------------------------------------- */

uint32_t nf_lists_take(const struct nf *nf, struct nf_lists *lists)
{
    uint32_t entry = lists->free - 1;

    if (lists->count == lists->capacity)
        return NF_NONE;
    nf_edit(nf, &lists->count, sizeof(*lists) - offsetof(struct nf_lists, count));
    if (lists->free) {
        lists->free = link_at(lists, entry)->next;
    } else {
        entry = lists->touched++;
    }
    *NF_EDIT(nf, link_at(lists, entry)) = (struct link){0, 0};
    lists->count++;
    return entry;
}

void nf_lists_take_all(const struct nf *nf, struct nf_lists *lists)
{
    nf_edit(nf, &lists->count, sizeof(*lists) - offsetof(struct nf_lists, count));
    lists->count = lists->touched = lists->capacity;
}

void nf_lists_give(const struct nf *nf, struct nf_lists *lists, uint32_t entry)
{
    FT_CHECK(entry < lists->touched && !link_at(lists, entry)->before,
             "entry %u of %u is given back, expected a taken one in no list", entry, lists->touched);
    nf_edit(nf, &lists->count, sizeof(*lists) - offsetof(struct nf_lists, count));
    *NF_EDIT(nf, link_at(lists, entry)) = (struct link){lists->free, FREE};
    lists->free = entry + 1;
    lists->count--;
}

const void *nf_lists_value(const struct nf_lists *lists, uint32_t entry)
{
    return link_at(lists, entry) + 1;
}

uint32_t nf_lists_count(const struct nf_lists *lists)
{
    return lists->count;
}

/* ---- lists --------------------------------------------------------------------------------------- */

void nf_list_insert(const struct nf *nf, struct nf_lists *lists, struct nf_list *list, uint32_t entry,
                    uint32_t next)
{
    uint32_t at = next + 1; /* NF_NONE + 1: none */
    uint32_t before = at            ? link_at(lists, next)->before
                      : list->first ? link_at(lists, list->first - 1)->before
                                    : 0;

    FT_CHECK(entry < lists->capacity && !link_at(lists, entry)->before,
             "entry %u of %u is in a list, or free, expected one in none", entry, lists->capacity);
    *NF_EDIT(nf, link_at(lists, entry)) = (struct link){at, before ? before : entry + 1};
    if (at != list->first)
        NF_EDIT(nf, link_at(lists, before - 1))->next = entry + 1;
    if (at || list->first)
        NF_EDIT(nf, link_at(lists, at ? next : list->first - 1))->before = entry + 1;
    if (at == list->first)
        list->first = entry + 1;
}

void nf_list_remove(const struct nf *nf, struct nf_lists *lists, struct nf_list *list, uint32_t entry)
{
    struct link *link = NF_EDIT(nf, link_at(lists, entry)), was = *link;

    FT_CHECK(was.before && was.before != FREE, "entry %u of %u is in no list", entry, lists->capacity);
    *link = (struct link){0, 0};
    if (list->first == entry + 1)
        list->first = was.next;
    else
        NF_EDIT(nf, link_at(lists, was.before - 1))->next = was.next;
    if (list->first)
        NF_EDIT(nf, link_at(lists, (was.next ? was.next : list->first) - 1))->before = was.before;
}

bool nf_list_has(const struct nf_lists *lists, uint32_t entry)
{
    return link_at(lists, entry)->before && link_at(lists, entry)->before != FREE;
}

uint32_t nf_list_next(const struct nf_lists *lists, uint32_t entry)
{
    return link_at(lists, entry)->next - 1;
}

void nf_table_add_lists(const struct nf *nf, const char *name, const struct nf_lists *lists)
{
    nf_table_add(
        nf, (struct nf_table){.name = name, .count = &lists->count, .parts = 1, .limit = lists->capacity});
}
