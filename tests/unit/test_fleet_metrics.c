/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent tells Prometheus: of a fleet that is painted here, with a shard of each kind. Lines of the
 * page are held against what the picture says, and against docs/reference.md where it says what is left out.
 */
#include "fleet/metrics.h"
#include "tests/help/test.h"

enum { FINE, SERVED, TAKES_OVER, GONE, GONE_TOO, FRESH, UNREAD, SHARDS };
#define NOW_S 1000u
#define S     1000000000ull

static struct fl_server_entry entry[3] = {{.name = "a", .nodes = 4, .cores = 2, .memory_mb = 1000},
                                          {.name = "b", .nodes = 4},
                                          {.name = "c", .nodes = 4}};
static struct fl_file file = {.name = "f", .server = entry, .servers = 3, .shards = SHARDS};
/* The fourth is not of the file. */
static struct fl_server server[4] = {{.lease = true}, {.lease = true}, {.lease = false}, {.lease = true}};
static struct fl_shard shard[SHARDS] = {
    [FINE] = {.known = true,
              .primary = 0,
              .says = {FL_SAYS_PROTECTED, FL_SAYS_READY},
              .order = {FL_HANDOVER, FL_BALANCE, 1, NOW_S - 3}},
    [SERVED] = {.known = true,
                .primary = 1,
                .says = {FL_SAYS_NOTHING, FL_SAYS_SOLO},
                .order = {FL_REPAIR, FL_HEAL, 1, NOW_S - 7}},
    [TAKES_OVER] = {.known = true, .primary = FL_NONE, .says = {FL_SAYS_NOTHING, FL_SAYS_JOINING}},
    [GONE] = {.known = true, .primary = 0},
    [GONE_TOO] = {.known = true, .primary = 1},
    [FRESH] = {.known = false, .primary = FL_NONE},
    [UNREAD] = {.known = false, .unreadable = true, .primary = FL_NONE},
};
static struct fl_step step[SHARDS];
static struct fl_plan plan = {.step = step, .overfull = 2, .stopped = true};
static struct fl_picture picture = {
    .file = &file, .fleet = {.server = server, .servers = 4, .shard = shard, .shards = SHARDS, .now = NOW_S}};
static struct fl_node_said node[2] = {
    {.measured = true, .load = {{[FL_PROCESSOR] = 0.5, [FL_PACKETS] = 3e5, [FL_MEMORY] = 150}}},
    {.measured = false, .load = {{[FL_PROCESSOR] = 9, [FL_MEMORY] = 9000}}}};
static const struct fl_server_said said = {.node = node, .nodes = 2};
static struct fl_tally t;

static char *page_of(bool leads, uint64_t now)
{
    json_t *status = fl_tally_status(&t, &entry[0], &said, true, leads, now);
    size_t size;
    char *page = nd_page_make(&fl_agent_page, status, &size);

    json_decref(status);
    assert_non_null(page);
    return page;
}

static void check(uint64_t now, const char *line, bool there)
{
    char *page = page_of(t.planned != 0, now), wanted[128];

    snprintf(wanted, sizeof(wanted), "\n%s%s", line, there ? "\n" : "");
    if ((strstr(page, wanted) != NULL) != there)
        fail_msg("%s: %s, of %s", line, there ? "is not there" : "is there", page);
    free(page);
}

static int begin(void **state)
{
    for (int i = 0; i < SHARDS; i++)
        step[i] = (struct fl_step){.unprotected = i != FINE};
    return fl_tally_make(&t, SHARDS, &help_fault);
}

static int end(void **state)
{
    fl_tally_free(&t);
    return 0;
}

#define TALLY_TEST(name) TEST_WITH(name, begin, end)

TALLY_TEST(test_leader)
{
    static const char *const lines[] = {"understudy_fleet_leads 1",
                                        "understudy_fleet_stopped 1",
                                        "understudy_fleet_overfull_servers 2",
                                        "understudy_fleet_servers{lease=\"held\"} 2",
                                        "understudy_fleet_servers{lease=\"gone\"} 1",
                                        "understudy_fleet_shards{state=\"protected\"} 1",
                                        "understudy_fleet_shards{state=\"alone\"} 1",
                                        "understudy_fleet_shards{state=\"nobody-serves\"} 1",
                                        "understudy_fleet_shards{state=\"both-silent\"} 2",
                                        "understudy_fleet_shards{state=\"new\"} 2",
                                        "understudy_fleet_orders_under_way 2",
                                        "understudy_fleet_oldest_order_seconds 7",
                                        "understudy_fleet_plan_age_seconds 4"};
    fl_tally_plan(&t, &picture, &plan, 50 * S);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        check(54 * S, lines[i], true);
}

/* Since a leader saw it, and as long as it leads: who leads next begins anew. */
TALLY_TEST(test_unprotected)
{
    fl_tally_plan(&t, &picture, &plan, 50 * S);
    check(50 * S, "understudy_fleet_unprotected_seconds 0", true);
    fl_tally_plan(&t, &picture, &plan, 60 * S);
    check(60 * S, "understudy_fleet_unprotected_seconds 10", true);
    for (int i = 0; i < SHARDS; i++)
        step[i].unprotected = false;
    step[GONE].unprotected = true;
    fl_tally_plan(&t, &picture, &plan, 70 * S);
    check(70 * S, "understudy_fleet_unprotected_seconds 20", true);
    step[GONE].unprotected = false;
    fl_tally_plan(&t, &picture, &plan, 80 * S);
    check(80 * S, "understudy_fleet_unprotected_seconds 0", true);
    step[GONE].unprotected = true;
    fl_tally_plan(&t, &picture, &plan, 90 * S);
    fl_tally_plan(&t, &picture, &plan, 95 * S);
    check(95 * S, "understudy_fleet_unprotected_seconds 5", true);
    fl_tally_end(&t, SHARDS);
    fl_tally_plan(&t, &picture, &plan, 100 * S);
    check(100 * S, "understudy_fleet_unprotected_seconds 0", true);
}

TALLY_TEST(test_who_does_not_lead_says_nothing_of_the_fleet)
{
    check(5 * S, "understudy_fleet_leads 0", true);
    check(5 * S, "understudy_fleet_shards{", false);
    fl_tally_plan(&t, &picture, &plan, 50 * S);
    fl_tally_end(&t, SHARDS);
    check(51 * S, "understudy_fleet_shards{", false);
    check(51 * S, "understudy_fleet_stopped ", false);
    check(51 * S, "understudy_fleet_plan_age_seconds ", false);
}

/* Of what the file limits; a load that was not measured is none. */
TALLY_TEST(test_server)
{
    check(5 * S, "understudy_fleet_etcd_answers 1", true);
    check(5 * S, "understudy_fleet_capacity_used_ratio{measure=\"nodes\"} 0.5", true);
    check(5 * S, "understudy_fleet_capacity_used_ratio{measure=\"cores\"} 0.25", true);
    check(5 * S, "understudy_fleet_capacity_used_ratio{measure=\"memory_mb\"} 0.15", true);
    check(5 * S, "understudy_fleet_capacity_used_ratio{measure=\"mpps\"}", false);
}

TALLY_TEST(test_orders)
{
    static const struct fl_step steps[] = {{.kind = FL_CREATE},
                                           {.kind = FL_REPAIR},
                                           {.kind = FL_HANDOVER},
                                           {.kind = FL_RESTART},
                                           {.kind = FL_WITHDRAW, .cause = FL_NEEDLESS},
                                           {.kind = FL_WITHDRAW, .cause = FL_FAILED},
                                           {.kind = FL_LEAVE}};
    check(S, "understudy_fleet_orders_total{outcome=\"failed\"} 0", true);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        fl_tally_written(&t, &steps[i]);
    t.refused = 2;
    check(S, "understudy_fleet_orders_total{outcome=\"given\"} 3", true);
    check(S, "understudy_fleet_orders_total{outcome=\"failed\"} 1", true);
    check(S, "understudy_fleet_orders_total{outcome=\"refused\"} 2", true);
}

/* Its mirror may never come to an end, as by a key that cannot be read: the alert goes by the age. */
TALLY_TEST(test_who_leads_and_never_plans)
{
    t.planned = 50 * S; /* it began to lead */
    check(120 * S, "understudy_fleet_leads 1", true);
    check(120 * S, "understudy_fleet_plan_age_seconds 70", true);
    check(120 * S, "understudy_fleet_orders_under_way", false);
}
