/* SPDX-License-Identifier: Apache-2.0 */
/* Lies of deltas and records (liar.c): well-formed in themselves, and not what follows from those before. */
#include "tests/sim/liar.h"

#include "ftcore/record/delta.h"

#include <string.h>

/* A delta of several chunks is rare here, since little changes between two cuts. So a liar makes one that
 * never ends: what comes next of the lane is told as another chunk of it, and one thing in it is of another
 * delta. */
static struct {
    bool open;
    struct ft_chunk head;
    struct ft_chunk_output output;
} sent[SIM_NODES][SIM_LANES];

void sim_lies_begin(void)
{
    memset(sent, 0, sizeof(sent));
}

/* An output that nobody has a byte of. */
static void put_output(struct ft_chunk *p, uint64_t number, uint64_t burst)
{
    struct ft_chunk_output *o = (void *)ft_chunk_held(p);

    *o = (struct ft_chunk_output){.number = number, .burst = burst, .seq = p->seq, .len = 60};
    p->held = 1;
    p->bytes = sizeof(*o);
    p->size = ft_chunk_size(p->lines, p->bytes);
}

bool sim_lie_goes_on(unsigned lane)
{
    return sim.plan.liar && !sim.faults_over && sim_running && sim_running->node < 2 &&
           sim_running->number == SIM_REPLICATOR && sent[sim_running->node][lane].open;
}

/* A snapshot begins: what it follows is told of nothing any more. */
void sim_lies_forget(unsigned node)
{
    memset(sent[node], 0, sizeof(sent[node]));
}

/* True: it is refused. */
static bool other_delta(struct ft_chunk *p)
{
    switch (sim_lie_draw(10)) {
    case 0:
        p->cut++;
        break;
    case 1:
        p->burst++;
        p->from++;
        break;
    case 2:
        p->burst++;
        break;
    case 3:
        p->seq++;
        break;
    case 4:
        p->access++;
        break;
    case 5:
        p->outputs++;
        break;
    case 6:
        p->number += 1 + (uint32_t)sim_lie_draw(3);
        break;
    default:
        return false;
    }
    return true;
}

const struct ft_chunk *sim_lie_chunk(const struct ft_chunk *was)
{
    static union {
        struct ft_chunk chunk;
        uint8_t room[FT_RECORD_MAX];
    } lie;
    struct ft_chunk *p = &lie.chunk;
    unsigned lane = was->lane, node = sim_running->node;
    bool refused = false, goes_on = sent[node][lane].open && sim_lie_draw(8),
         outputs = was->outputs > 1 && was->burst > was->from + 1;

    memcpy(p, was, sizeof(*p));
    /* What we say is not spread, and only there lines may come in any order: the encoder would not have it.
     */
    p->lines = sim_lie_draw(2) && !(was->flags & FT_CHUNK_INCREMENTAL) ? was->lines : 0;
    memcpy(ft_chunk_lines(p), ft_chunk_lines(was), p->lines);
    p->kind = FT_ENTRY_CHUNK;
    p->flags = 0;
    p->digest = p->slice = 0;
    p->held = p->bytes = 0;
    p->size = ft_chunk_size(p->lines, 0);
    if (goes_on) {
        const struct ft_chunk *head = &sent[node][lane].head;
        const struct ft_chunk_output *o = &sent[node][lane].output;

        p->cut = head->cut;
        p->from = head->from;
        p->burst = head->burst;
        p->seq = head->seq;
        p->access = head->access;
        p->outputs = head->outputs;
        p->number = head->number + 1;
        refused = other_delta(p);
        if (o->number && o->burst > p->from + 1) /* once more; or a later one of an earlier burst */
            put_output(p, o->number + (o->number < p->outputs && sim_lie_draw(2)),
                       o->burst - sim_lie_draw(2));
    } else if (outputs && sim_lie_draw(2)) {
        put_output(p, p->outputs - 1, p->burst);
    }
    sent[node][lane].open = !refused;
    sent[node][lane].head = *p;
    sent[node][lane].output = p->held ? *(const struct ft_chunk_output *)(const void *)ft_chunk_held(p)
                                      : (struct ft_chunk_output){0};
    return p;
}

/* Another order between lanes, which may be a cycle, or name an access or a lane that will never be; or
 * values that are none. */
const struct ft_record *sim_lie_record(const struct ft_record *was)
{
    static union {
        struct ft_record record;
        uint8_t room[2 * FT_RECORD_MAX];
    } lie;
    struct ft_record *r = &lie.record;
    struct ft_dependency *dependency;

    memcpy(r, was, was->size);
    dependency = (void *)((uint8_t *)r + ft_record_dependencies_at(r));
    if (r->determinants == 0 && (sim_lie_draw(4) == 0 || r->accesses == 0 || sim.plan.lanes == 1)) {
        uint8_t *values = (uint8_t *)r + ft_record_determinants_at(r);

        r->determinants = 3 + (uint32_t)sim_lie_draw(4);
        memset(values, sim_lie_draw(2) ? 0xff : 0, 8);
    } else if (r->accesses && sim.plan.lanes > 1) {
        unsigned i = r->dependencies ? (unsigned)sim_lie_draw(r->dependencies) : 0;

        if (!r->dependencies) {
            if (r->determinants)
                return was;
            r->dependencies = 1;
            *dependency =
                (struct ft_dependency){.own = r->access + sim_lie_draw(r->accesses), .access = r->access};
            dependency->lane = (uint16_t)((r->lane + 1) % sim.plan.lanes);
        }
        if (sim_lie_draw(6) == 0)
            dependency[i].lane = (uint16_t)(r->lane == FT_LANES_MAX - 1 ? 0 : FT_LANES_MAX - 1);
        else
            dependency[i].access +=
                sim_lie_draw(8) +
                (sim_lie_draw(4) ? 0 : 1000); /* a weaker order would be no order: replay takes no locks */
    }
    r->size = (uint32_t)ft_record_size(r);
    return r;
}
