/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of "status" are sums: the counters of NFs, and the takeovers since the start. And the page of metrics,
 * which is made of "status". What the log says of neighbours is such a sum, too. All of it is the main
 * thread's.
 */
#include "node/running.h"
#include "ftcore/base/event_log.h"
#include "node/base/clock.h"

#include <string.h>

#define CONTEST_NS 2000000000ull  /* what is said of a neighbour has been decided on by then */
#define QUIET_NS   30000000000ull /* between two lines of neighbours */

/* Where the counters are, before a lane has begun: a chain that is made anew has them at the same place. */
void nd_counters_find(struct nd_running *r)
{
    for (unsigned l = 0; l < r->config->chain.lanes; l++)
        for (unsigned i = 0; i <= r->config->chain.count; i++)
            r->counters[l][i] = nf_chain_any(r->lanes[l].chain, i)->counters;
    for (unsigned i = 0; i <= r->config->chain.count; i++)
        r->counted[i] = nf_chain_any(r->lanes[0].chain, i)->module;
}

/* A lane may be adding to it. */
static uint64_t load_counter(const struct nd_running *r, unsigned nf, unsigned counter)
{
    uint64_t sum = 0;

    for (unsigned l = 0; l < r->config->chain.lanes; l++)
        sum += __atomic_load_n(&r->counters[l][nf][counter], __ATOMIC_RELAXED);
    return sum;
}

json_t *nd_counters_status(const struct nd_running *r, const char *nf)
{
    json_t *o = json_object();

    for (unsigned i = 0; i <= r->config->chain.count && !nd_is_changing(r); i++) {
        const struct nf_module *module = r->counted[i];
        json_t *of_nf;

        if (!module || !module->counters || (nf && strcmp(module->name, nf) != 0))
            continue;
        of_nf = json_object();
        for (unsigned c = 0; module->counters[c]; c++)
            json_object_set_new(of_nf, module->counters[c], json_integer((json_int_t)load_counter(r, i, c)));
        json_object_set_new(o, module->name, of_nf);
    }
    return o;
}

/* When a contest is over, and then not again for a while. A standby's counters are its peer's. */
void nd_neighbours_turn(struct nd_running *r, const struct rp_status *s)
{
    struct nd_neighbours_said *said = &r->neighbours_said;
    uint64_t now = nd_now(), contested, moved;

    if (!r->config->chain.l3 || nd_is_changing(r))
        return;
    contested = load_counter(r, 0, NF_L3_CONTESTED);
    moved = load_counter(r, 0, NF_L3_MOVED);
    if (!ft_core_primary(&s->core) || contested < said->contested || moved < said->moved) {
        *said = (struct nd_neighbours_said){.contested = contested, .moved = moved};
        return;
    }
    if (contested == said->contested && moved == said->moved)
        return;
    if (!said->due)
        said->due = now - said->last < QUIET_NS ? said->last + QUIET_NS : now + CONTEST_NS;
    if (now < said->due)
        return;
    ft_log_event(FT_LEVEL_WARNING, FT_SAYS_NEIGHBOUR,
                 "%lu frames named another MAC for a known neighbour; %lu neighbours did not answer at their "
                 "own, and moved "
                 "(show l3)",
                 contested - said->contested, moved - said->moved);
    *said = (struct nd_neighbours_said){.contested = contested, .moved = moved, .last = now};
}

json_t *nd_passing_status(const struct nd_running *r)
{
    json_t *o = json_object();

    for (unsigned i = 1; i <= r->config->chain.count && !nd_is_changing(r); i++) {
        json_t *packets, *dropped;

        if (!r->counted[i])
            continue;
        packets = json_array();
        dropped = json_array();
        for (unsigned l = 0; l < r->config->chain.lanes; l++) {
            struct nf_tally tally = nf_tally_read(&r->lanes[l].tally[i]);

            json_array_append_new(packets, json_integer((json_int_t)tally.packets));
            json_array_append_new(dropped, json_integer((json_int_t)tally.dropped));
        }
        json_object_set_new(o, r->counted[i]->name,
                            json_pack("{s:o,s:o}", "packets", packets, "dropped", dropped));
    }
    return o;
}

/* ---- takeovers --------------------------------------------------------------------------------- */

/* When the last lane had replayed what it held; 0: one has not since `decided`. */
static uint64_t replay_done(const struct nd_running *r, uint64_t decided)
{
    uint64_t last = 0;

    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        uint64_t done = atomic_load_explicit(&r->words[l].count.replay_done_ns, memory_order_relaxed);

        if (done < decided)
            return 0;
        last = done > last ? done : last;
    }
    return last;
}

void nd_takeovers_count(struct nd_running *r, const struct rp_status *s)
{
    struct nd_takeovers *t = &r->takeovers;
    uint64_t done = s->core.takeover.view == t->view ? 0 : replay_done(r, s->core.takeover.decided);
    double took = (double)(done - s->core.takeover.decided) / 1e9;
    unsigned bucket = 0;

    if (!done)
        return;
    while (bucket < ND_TAKEOVER_BUCKETS && took > nd_takeover_bounds[bucket])
        bucket++;
    if (bucket < ND_TAKEOVER_BUCKETS)
        t->buckets[bucket]++;
    t->count++;
    t->sum_s += took;
    t->view = s->core.takeover.view;
}

json_t *nd_takeovers_status(const struct nd_running *r)
{
    json_t *buckets = json_array();

    for (unsigned i = 0; i < ND_TAKEOVER_BUCKETS; i++)
        json_array_append_new(buckets, json_integer((json_int_t)r->takeovers.buckets[i]));
    return json_pack("{s:I,s:f,s:o}", "count", (json_int_t)r->takeovers.count, "sum_s", r->takeovers.sum_s,
                     "buckets", buckets);
}

void nd_metrics_turn(struct nd_running *r)
{
    json_t *status;
    char *page;
    size_t size = 0;

    if (!nd_metrics_asked(r->metrics))
        return;
    status = nd_answer_status(r, NULL);
    page = nd_metrics_page(status, &size);
    json_decref(status);
    nd_metrics_answer(r->metrics, page, size);
}
