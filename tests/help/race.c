/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes that race, and their record; see race.h. */
#include "tests/help/race.h"

#include "ftcore/region/audit.h"
#include "tests/help/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define FRAME 60u

struct runner {
    struct help_race *race;
    unsigned lane;
    uint64_t contention;
    bool replay;
    _Atomic unsigned *ready;
};

static _Thread_local uint64_t schedule_state;

void help_race_pause(void)
{
    schedule_state ^= schedule_state << 13;
    schedule_state ^= schedule_state >> 7;
    schedule_state ^= schedule_state << 17;
    if (schedule_state % 5 == 0)
        sched_yield();
}

static void make_chains(struct help_race *r)
{
    struct ft_fault fault = {""};

    memset(r->published, 0, sizeof(r->published));
    for (unsigned l = 0; l < r->config.lanes; l++) {
        if (nf_chain_make(&r->chains[l], &r->config, r->region, l, r->seed, &fault))
            fail_msg("%s", fault.text);
        nf_chain_share(r->chains[l], r->published);
    }
}

static void free_chains(struct help_race *r)
{
    for (unsigned l = 0; l < r->config.lanes; l++)
        nf_chain_free(r->chains[l]);
}

static void make_again(struct help_race *r)
{
    free_chains(r);
    ft_audit_suspend(r->region);
    ft_region_wipe(r->region);
    make_chains(r);
    ft_audit_resume(r->region);
}

static void forget(struct help_race *r)
{
    for (unsigned l = 0; l < r->config.lanes; l++)
        for (uint32_t b = 0; b < r->bursts; b++) {
            free(r->record[l][b].dependency);
            free(r->record[l][b].value);
            r->record[l][b] = (struct help_burst){.access = 0};
        }
}

void help_race_open(struct help_race *r)
{
    const struct ft_region_config how = {.name = "test", .shared_size = FT_ARENA_MIN, .audit = r->audit};
    struct ft_fault fault = {""};

    if (nf_chain_region(&r->region, &r->config, &how, &fault))
        fail_msg("%s", fault.text);
    make_chains(r);
    for (unsigned l = 0; l < r->config.lanes; l++) {
        r->record[l] = calloc(r->bursts, sizeof(struct help_burst));
        assert_non_null(r->record[l]);
    }
}

void help_race_close(struct help_race *r)
{
    forget(r);
    for (unsigned l = 0; l < r->config.lanes; l++)
        free(r->record[l]);
    free_chains(r);
    ft_region_close(r->region);
}

static void note(struct help_race *r, unsigned lane, struct help_burst *b, uint64_t access)
{
    const struct ft_sections *s = nf_chain_sections(r->chains[lane]);
    const void *block;

    b->access = access;
    b->accesses = (uint32_t)(s->next - access);
    b->dependencies = s->count;
    b->dependency = malloc((s->count + 1) * sizeof(struct ft_dependency));
    memcpy(b->dependency, s->dependencies, s->count * sizeof(struct ft_dependency));
    b->values = nf_determinants_noted(nf_chain_determinants(r->chains[lane]), &block);
    b->value = malloc(b->values + 1);
    memcpy(b->value, block, b->values);
}

static void check(bool right, const char *what, unsigned lane, uint32_t burst)
{
    FT_CHECK(right, "lane %u burst %u: %s", lane, burst, what);
}

/* What the lane does to replay a record: chain, access and dependencies, values, and that all was used. */
static void one_burst(struct runner *me, uint32_t number)
{
    struct help_race *r = me->race;
    struct nf_chain *chain = r->chains[me->lane];
    struct help_burst *b = &r->record[me->lane][number];
    const struct nf_lane_state *state = nf_chain_state(chain);
    struct nf_packet packets[NF_BURST_MAX];
    uint8_t frames[NF_BURST_MAX][FRAME] = {{0}};
    uint64_t access = state->access;

    for (uint32_t i = 0; i < r->packets; i++)
        packets[i] = (struct nf_packet){.data = frames[i], .len = FRAME, .have = FRAME};
    if (r->fill)
        r->fill(me->lane, number, packets, r->packets, r->ctx);
    if (me->replay) {
        nf_chain_follow(chain, b->dependency, b->dependencies);
        if (b->values)
            check(nf_determinants_supply(nf_chain_determinants(chain), b->value, b->values) == 0, "values",
                  me->lane, number);
        check(access == b->access, "access", me->lane, number);
    }
    nf_chain_run(chain, state->burst + 1, (number + 1) * r->step, packets, r->packets);
    ft_audit_check(r->region, me->lane);
    if (!me->replay) {
        note(r, me->lane, b, access);
        return;
    }
    check(ft_sections_used(nf_chain_sections(chain), b->access, b->accesses), "dependencies left", me->lane,
          number);
    check(nf_determinants_used(nf_chain_determinants(chain)), "values left", me->lane, number);
}

static void *run(void *arg)
{
    struct runner *me = arg;

    /* A lane waits for another one's access by yielding. Beside processes of the same weight each such wait
     * is as long as their time slices. Without the right to a greater weight the test takes longer. */
    setpriority(PRIO_PROCESS, 0, -10);
    schedule_state = me->contention;
    atomic_fetch_sub(me->ready, 1);
    while (atomic_load(me->ready))
        sched_yield();
    for (uint32_t b = 0; b < me->race->bursts; b++) {
        help_race_pause();
        one_burst(me, b);
    }
    return NULL;
}

static uint64_t run_all(struct help_race *r, uint64_t contention, bool replay)
{
    struct runner runners[HELP_LANES];
    pthread_t threads[HELP_LANES];
    _Atomic unsigned ready = r->config.lanes;

    make_again(r);
    for (unsigned l = 0; l < r->config.lanes; l++) {
        runners[l] = (struct runner){r, l, contention * 31 + l + 1, replay, &ready};
        assert_int_equal(pthread_create(&threads[l], NULL, run, &runners[l]), 0);
    }
    for (unsigned l = 0; l < r->config.lanes; l++)
        pthread_join(threads[l], NULL);
    return ft_region_digest(r->region);
}

uint64_t help_race_live(struct help_race *r, uint64_t contention)
{
    forget(r);
    uint64_t digest = run_all(r, contention, false);

    for (unsigned l = 0; l < r->config.lanes; l++)
        for (uint32_t b = 0; b < r->bursts; b++)
            r->dependencies += r->record[l][b].dependencies;
    return digest;
}

uint64_t help_race_replay(struct help_race *r, uint64_t contention)
{
    return run_all(r, contention, true);
}

void help_race_in_turn(struct help_race *r)
{
    forget(r);
    make_again(r);
    for (uint32_t b = 0; b < r->bursts; b++)
        for (unsigned l = 0; l < r->config.lanes; l++) {
            struct runner runner = {.race = r, .lane = l};

            one_burst(&runner, b);
            r->dependencies += r->record[l][b].dependencies;
        }
}
