/* SPDX-License-Identifier: Apache-2.0 */
/* A small fleet, and what is said of its shards. See plan.h. */
#include "tests/help/plan.h"
#include "tests/help/test.h"

struct help_fleet fleet;
struct fl_plan *plan;

int help_plan_forget(void **state)
{
    fl_plan_free(plan);
    plan = NULL;
    help_fleet_free(&fleet);
    fleet = (struct help_fleet){0};
    return 0;
}

void begin(uint32_t servers, uint32_t shards, uint32_t zones)
{
    help_plan_forget(NULL);
    help_fleet_make(&fleet, servers, shards, zones);
}

void begin_at(uint32_t servers, uint32_t zones, const char *members)
{
    uint32_t shards = 1, primary, standby;

    for (const char *at = members; (at = strchr(at, ',')); at++)
        shards++;
    begin(servers, shards, zones);
    for (uint32_t i = 0; i < shards; i++) {
        assert_int_equal(sscanf(members, "%u-%u", &primary, &standby), 2);
        help_fleet_set(&fleet, i, primary, standby);
        members += strcspn(members, ",") + 1;
    }
}

void says(uint32_t shard, enum fl_says first, enum fl_says second)
{
    fleet.shard[shard].says[0] = first;
    fleet.shard[shard].says[1] = second;
}

void make_plan(void)
{
    struct ft_fault fault = {.text = ""};

    fl_plan_free(plan);
    plan = NULL;
    if (fl_plan_make(&plan, &fleet.fleet, &fault))
        fail_msg("%s", fault.text);
}

void expect_orders(uint32_t orders)
{
    make_plan();
    assert_int_equal(plan->orders, orders);
}

void expect(uint32_t shard, const char *sentence)
{
    char why[FL_WHY_MAX];

    assert_string_equal(fl_plan_explain(plan, &fleet.fleet, shard, why), sentence);
}

void expect_plan(uint32_t shard, const char *sentence)
{
    make_plan();
    expect(shard, sentence);
}

void limit_nodes(double nodes)
{
    for (uint32_t i = 0; i < fleet.fleet.servers; i++)
        fleet.server[i].capacity.of[FL_NODES] = nodes;
}

void limit_processor(double cores)
{
    for (uint32_t i = 0; i < fleet.fleet.servers; i++)
        fleet.server[i].capacity.of[FL_PROCESSOR] = cores;
}

void order(uint32_t shard, enum fl_kind kind, enum fl_cause cause, uint32_t to)
{
    fleet.shard[shard].order.kind = kind;
    fleet.shard[shard].order.cause = cause;
    fleet.shard[shard].order.to = to;
    fleet.shard[shard].order.since = fleet.fleet.now - 1;
}
