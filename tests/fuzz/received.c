/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model of the receiver: start from all that is held, take items away until nothing changes. Owns the
 * items.
 */
#include "tests/help/record.h"
#include "tests/fuzz/received.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

struct rp_replicator *received_rp;
struct ft_lane_shared *received_lanes;
struct received_held received_held[RECEIVED_LANES][RECEIVED_ITEMS];
unsigned received_count[RECEIVED_LANES];
struct ft_message received_begin;

struct received_delta received_delta[RECEIVED_LANES];

/* Every entry of a replay ring, of which there may be more than items. */
struct received_entry {
    bool chunk;
    uint64_t number; /* of the burst, or of the chunk */
};

static struct received_entry received_entries[RECEIVED_LANES][4 * RECEIVED_ITEMS];
unsigned received_entry_count[RECEIVED_LANES];

struct received_held received_end(unsigned lane, unsigned n)
{
    return n ? received_held[lane][n - 1]
             : (struct received_held){.burst = received_begin.burst[lane],
                                      .access = received_begin.access[lane],
                                      .cut_burst = received_begin.burst[lane]};
}

uint64_t received_access(unsigned lane, unsigned n)
{
    return received_end(lane, n).access;
}

/* The cut that all lanes have passed. */
static uint64_t cut_all_have_passed(const unsigned n[])
{
    uint64_t cut = UINT64_MAX;

    for (unsigned l = 0; l < received_rp->lanes; l++)
        cut = received_end(l, n[l]).cut < cut ? received_end(l, n[l]).cut : cut;
    return cut;
}

/* The simple way. */
static void closed_set(unsigned n[])
{
    bool again = true;

    for (unsigned l = 0; l < received_rp->lanes; l++)
        n[l] = received_count[l];
    while (again) {
        again = false;
        for (unsigned l = 0; l < received_rp->lanes; l++)
            for (unsigned b = 0; b < n[l]; b++) {
                if (received_held[l][b].cut > cut_all_have_passed(n)) {
                    n[l] = b;
                    again = true;
                    break;
                }
                for (unsigned e = 0; e < received_held[l][b].dependencies; e++) {
                    const struct ft_dependency *dependency = &received_held[l][b].dependency[e];

                    if (received_access(dependency->lane, n[dependency->lane]) >= dependency->access)
                        continue;
                    n[l] = b;
                    again = true;
                    break;
                }
            }
    }
}

void received_compare(void)
{
    unsigned n[RECEIVED_LANES];

    closed_set(n);
    for (unsigned l = 0; l < received_rp->lanes; l++) {
        uint64_t to = atomic_load(&received_lanes[l].orders.closed_to);

        struct received_held end = received_end(l, n[l]);

        FUZZ_MUST(to == end.burst, "lane %u may replay to %lu, expected %lu", l, to, end.burst);
        FUZZ_MUST(atomic_load(&received_lanes[l].orders.cut_to) == cut_all_have_passed(n),
                  "lane %u may apply cut %lu, expected %lu", l, atomic_load(&received_lanes[l].orders.cut_to),
                  cut_all_have_passed(n));
        FUZZ_MUST(atomic_load(&received_lanes[l].orders.covered) == end.cut_burst,
                  "lane %u is covered to %lu, expected %lu", l,
                  atomic_load(&received_lanes[l].orders.covered), end.cut_burst);
    }
}

void received_compare_rings(void)
{
    struct ft_fault fault;

    for (unsigned l = 0; l < received_rp->lanes; l++) {
        const struct ft_record *r;
        uint64_t there;
        unsigned at = 0;

        while ((r = ft_ring_peek(&received_lanes[l].replay, &there))) {
            uint64_t number = ft_entry_kind(r) == FT_ENTRY_CHUNK ? ft_chunk_of(r)->number : r->burst;

            FUZZ_MUST(there >= r->size, "an entry is cut short");
            FUZZ_MUST(ft_entry_kind(r) == FT_ENTRY_CHUNK || record_check(r, r->size, &fault) == 0,
                      "a bad record was kept");
            FUZZ_MUST(at < received_entry_count[l] && r->lane == l &&
                          (ft_entry_kind(r) == FT_ENTRY_CHUNK) == received_entries[l][at].chunk &&
                          number == received_entries[l][at].number,
                      "number %lu of lane %u in the ring of lane %u", number, r->lane, l);
            at++;
            ft_ring_advance(&received_lanes[l].replay, r->size);
        }
        FUZZ_MUST(at == received_entry_count[l], "lane %u: the ring has %u entries, expected %u", l, at,
                  received_entry_count[l]);
        ft_ring_consume(&received_lanes[l].replay);
    }
}

bool received_record_fits(const struct ft_record *r, const struct ft_dependency dependencies[])
{
    if (r->lane >= received_rp->lanes ||
        r->burst != received_end(r->lane, received_count[r->lane]).burst + 1 || received_delta[r->lane].open)
        return false;
    if (r->accesses && r->access != received_access(r->lane, received_count[r->lane]) + 1)
        return false;
    for (unsigned i = 0; i < r->dependencies; i++)
        if (dependencies[i].lane >= received_rp->lanes)
            return false;
    return true;
}

void received_note_record(const struct ft_record *r, const struct ft_dependency dependencies[])
{
    struct received_held *h = &received_held[r->lane][received_count[r->lane]];

    *h = received_end(r->lane, received_count[r->lane]);
    h->burst++;
    h->access += r->accesses;
    h->dependencies = r->dependencies;
    memcpy(h->dependency, dependencies, r->dependencies * sizeof(dependencies[0]));
    received_count[r->lane]++;
    received_entries[r->lane][received_entry_count[r->lane]].chunk = false;
    received_entries[r->lane][received_entry_count[r->lane]++].number = r->burst;
}

/* Lines are in order within a delta, those of the shared arena, which is the last, first. */
static uint64_t rank(uint64_t line)
{
    uint64_t first = received_rp->lanes * RECEIVED_STRIDE;

    return line >= first ? line - first : line + RECEIVED_LINES;
}

bool received_chunk_fits(const struct ft_chunk *p, const uint64_t runs[2], const struct ft_chunk_output *o)
{
    if (p->lane >= received_rp->lanes)
        return false;
    const struct ft_chunk *h = &received_delta[p->lane].head;
    struct received_held end = received_end(p->lane, received_count[p->lane]);
    bool open = received_delta[p->lane].open;
    uint64_t next = open && received_delta[p->lane].line ? rank(received_delta[p->lane].line - 1) + 1 : 0;

    if (p->number != (open ? h->number + 1 : 0))
        return false;
    if (open && (p->cut != h->cut || p->from != h->from || p->burst != h->burst || p->seq != h->seq ||
                 p->access != h->access || p->outputs != h->outputs))
        return false;
    /* A delta segment, before which no record is held, or a checkpoint. */
    if (!open && (p->cut != end.cut + 1 || p->from != end.cut_burst ||
                  !((end.burst == end.cut_burst && p->access >= end.access) ||
                    (p->burst == end.burst && p->access == end.access))))
        return false;
    for (unsigned i = 0; i < 2 && runs[i]; i++) {
        uint64_t at = runs[i] - 1, owner = at / RECEIVED_STRIDE;

        if (at % RECEIVED_STRIDE >= RECEIVED_USED || rank(at) < next ||
            (owner != p->lane && !(p->lane == 0 && owner == received_rp->lanes)))
            return false;
        next = rank(at) + 1;
    }
    return !p->held || !open ||
           (o->number > received_delta[p->lane].output && o->burst >= received_delta[p->lane].burst);
}

void received_note_chunk(const struct ft_chunk *p, const uint64_t runs[2], const struct ft_chunk_output *o)
{
    unsigned l = p->lane;
    struct received_held *h = &received_held[l][received_count[l]];

    received_entries[l][received_entry_count[l]].chunk = true;
    received_entries[l][received_entry_count[l]++].number = p->number;
    if (!received_delta[l].open)
        received_delta[l].line = received_delta[l].output = received_delta[l].burst = 0;
    for (unsigned i = 0; i < 2 && runs[i]; i++)
        received_delta[l].line = runs[i];
    if (p->held) {
        received_delta[l].output = o->number;
        received_delta[l].burst = o->burst;
    }
    received_delta[l].head = *p;
    received_delta[l].open = !(p->flags & FT_CHUNK_LAST);
    if (received_delta[l].open)
        return;
    *h = received_end(l, received_count[l]);
    h->burst = h->cut_burst = p->burst;
    h->access = p->access;
    h->cut = p->cut;
    h->dependencies = 0;
    received_count[l]++;
}
