/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner of a fleet, rule by rule: small fleets, of which anybody can say what is to be done. Servers
 * are s0, s1 and so on, in zones as each test says; shards n0, n1 and so on.
 */
#include "fleet/plan.h"
#include "tests/help/plan.h"
#include "tests/help/test.h"

#include <math.h>

#define FULL     "no server has room for its standby"
#define SETTLING "its nodes have not settled who serves"

/* ---- creation ---- */

TEST_WITH(a_shard_is_created_in_two_zones, NULL, help_plan_forget)
{
    begin(4, 1, 2);
    expect_plan(0, "create, primary on s0, standby on s1: it has no node yet");
    begin(4, 1, 1);
    expect_plan(0, "create, primary on s0, standby on s1: it has no node yet");
    begin(4, 1, 2);
    fleet.server[2].zone = 1; /* s0 alone in its zone */
    fleet.server[0].drained = true;
    expect_plan(0, "create, primary on s1, standby on s2: it has no node yet");
    begin(4, 1, 2);
    fleet.shard[0].pin = 3;
    expect_plan(0, "create, primary on s3, standby on s0: it has no node yet");
}

TEST_WITH(a_plan_creates_so_many_shards_and_no_more, NULL, help_plan_forget)
{
    begin(4, 502, 2);
    expect_orders(500);
    expect(500, "created after 500 others");
    help_fleet_apply(&fleet, plan);
    expect_orders(2);
    assert_int_equal(plan->step[500].kind, FL_CREATE);
}

TEST_WITH(nothing_is_created_that_may_be_somewhere, NULL, help_plan_forget)
{
    begin(4, 1, 2);
    fleet.server[3].lease = false;
    expect_plan(0, "not created while s3 is absent: it may have a state of that shard");
    fleet.server[3].drained = true;
    expect_plan(0, "not created while s3 is absent: it may have a state of that shard");
    fleet.server[3].unlisted = true; /* the file does not have it any more */
    expect_plan(0, "create, primary on s0, standby on s1: it has no node yet");
    fleet.server[3].lease = true;
    fleet.shard[0].unreadable = true;
    expect_plan(0, "not created: its key shards/n0 is there, and cannot be read");
    fleet.shard[0].unreadable = false;
    fleet.shard[0].found = 2;
    expect_plan(0, "not created: s2 may have a node of that shard, or a view that it kept");
}

/* ---- who is dead, and healing ---- */

/* n0 is on s0 and s1; each row is what both nodes say, and whether s1 has its lease. */
TEST_WITH(a_server_is_dead_when_its_lease_is_gone_and_the_other_member_is_alone, NULL, help_plan_forget)
{
    static const struct {
        enum fl_says primary, standby;
        bool lease;
        const char *expected;
    } rows[] = {
        {FL_SAYS_SOLO, FL_SAYS_NOTHING, false, "re-pair with s3: s1 is dead, the other member is alone"},
        {FL_SAYS_SOLO, FL_SAYS_READY, false, "re-pair with s3: s1 is dead, the other member is alone"},
        {FL_SAYS_PROTECTED, FL_SAYS_NOTHING, false, ""},
        {FL_SAYS_DEGRADED, FL_SAYS_NOTHING, false, SETTLING},
        {FL_SAYS_SOLO, FL_SAYS_NOTHING, true,
         "the primary is alone: the node on s1 is silent, though that server lives"},
        {FL_SAYS_SOLO, FL_SAYS_SYNCING, true, "its standby on s1 is given the state"},
        {FL_SAYS_SOLO, FL_SAYS_JOINING, true, "its standby on s1 is given the state"},
        {FL_SAYS_SOLO, FL_SAYS_SOLO, true, SETTLING},
        {FL_SAYS_PROTECTED, FL_SAYS_READY, true, ""},
        {FL_SAYS_JOINING, FL_SAYS_NOTHING, false,
         "no node says that it serves, or could take over: left as it is, a person looks"},
        {FL_SAYS_NOTHING, FL_SAYS_NOTHING, true, "both nodes are silent: left as it is, a person looks"},
        {FL_SAYS_NOTHING, FL_SAYS_NOTHING, false, "both nodes are silent: left as it is, a person looks"},
        {FL_SAYS_NOTHING, FL_SAYS_READY, true, SETTLING},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin_at(4, 2, "0-1");
        fleet.shard[0].view = 5;
        says(0, rows[i].primary, rows[i].standby);
        fleet.server[1].lease = rows[i].lease;
        fleet.server[1].gone = rows[i].lease ? 0 : 990;
        expect_plan(0, rows[i].expected);
        assert_int_equal(plan->orders, !strncmp(rows[i].expected, "re-pair", 7));
    }
}

TEST_WITH(an_agent_that_is_gone_carries_nothing_out, NULL, help_plan_forget)
{
    begin_at(4, 2, "0-1");
    fleet.server[0].lease = false; /* its node serves on */
    fleet.server[0].gone = 990;
    expect_plan(0, "no agent speaks for s0: nothing is ordered until one does");
    assert_false(plan->step[0].unprotected);
    fleet.server[0].drained = true;
    expect_plan(0, "no agent speaks for s0: nothing is ordered until one does");
    /* Nor is a shard handed over to where nobody looks. */
    begin_at(4, 2, "0-1");
    fleet.server[0].drained = true;
    fleet.server[1].lease = false;
    fleet.server[1].gone = 990;
    expect_plan(0, "no agent speaks for s1: nothing is ordered until one does");
}

TEST_WITH(a_shard_that_is_silent_stops_no_other, NULL, help_plan_forget)
{
    begin_at(9, 3, "0-1, 0-2");
    help_fleet_kill(&fleet, 0);
    help_fleet_kill(&fleet, 1);
    expect_plan(0, "both nodes are silent: left as it is, a person looks");
    expect(1, "re-pair with s3: s0 is dead, the other member is alone");
    assert_int_equal(plan->waits[FL_BOTH_SILENT], 1);
    assert_int_equal(plan->unprotected, 2);
}

TEST_WITH(more_than_a_third_at_once_and_it_stops, NULL, help_plan_forget)
{
    static const struct {
        uint32_t servers, gone;
        uint64_t apart; /* seconds from one to the next */
        bool stops;
    } rows[] = {
        {2, 1, 0, false},   {3, 1, 0, false},   {4, 1, 0, false},
        {4, 2, 0, true},    {4, 2, 100, false}, {6, 2, 0, false},
        {6, 3, 1, true},    {6, 3, 3, false},   {9, 4, 100, false},
        {9, 4, 0, true},    {9, 3, 1, false},   {9, 4, 1, true} /* 3 of the 8 that were left */,
        {30, 10, 0, false}, {30, 11, 0, true},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin(rows[i].servers, 1, rows[i].servers);
        help_fleet_set(&fleet, 0, rows[i].servers - 1, 0);
        fleet.shard[0].says[0] = FL_SAYS_SOLO;
        for (uint32_t k = 0; k < rows[i].gone; k++) {
            fleet.server[k].lease = false;
            fleet.server[k].gone = 400 + k * rows[i].apart;
        }
        make_plan();
        if (plan->stopped != rows[i].stops)
            fail_msg("%u of %u, %lu s apart: %s", rows[i].gone, rows[i].servers, (unsigned long)rows[i].apart,
                     plan->stopped ? "stopped" : "went on");
        assert_int_equal(plan->orders, !rows[i].stops && rows[i].servers > 2);
        if (rows[i].stops)
            assert_int_equal(plan->step[0].wait, FL_LEASES_GONE);
    }
    /* People know of one of them: it is drained. */
    begin_at(6, 6, "5-0");
    for (uint32_t k = 0; k < 3; k++)
        help_fleet_kill(&fleet, k);
    expect_plan(0, "3 of 6 servers went at once: nothing is ordered until they are back, or drained");
    fleet.server[1].drained = true;
    fleet.server[2].drained = true;
    expect_plan(0, "re-pair with s3: s0 is dead, the other member is alone");
}

/* The primary of a shard is alone, since it has given its standby up. */
static void slow_down(uint32_t shard, enum fl_says standby)
{
    says(shard, FL_SAYS_SOLO, standby);
    fleet.shard[shard].slow = "it acknowledges late";
}

TEST_WITH(a_slow_standby_goes_to_another_server, NULL, help_plan_forget)
{
    static const enum fl_says standby[] = {FL_SAYS_JOINING, FL_SAYS_SYNCING, FL_SAYS_READY};

    for (size_t i = 0; i < 3; i++) {
        begin_at(4, 2, "0-1");
        slow_down(0, standby[i]);
        expect_plan(0, "re-pair with s3: its standby on s1 is slow: it acknowledges late");
        assert_true(plan->step[0].unprotected);
    }
    order(0, FL_REPAIR, FL_SLOW, 3);
    expect_plan(0, "re-pair with s3 is under way (slow)");
    /* It has shown that it keeps up before the other one was there. */
    says(0, FL_SAYS_PROTECTED, FL_SAYS_READY);
    fleet.shard[0].slow = NULL;
    expect_plan(0, "withdraw the order to s3: it is not needed any more, or cannot be done");
    /* With strict it is kept, and people are told. */
    begin_at(4, 2, "0-1");
    fleet.shard[0].slow = "it acknowledges late";
    expect_plan(0, "its standby on s1 is slow: it acknowledges late");
    assert_int_equal(plan->orders, 0);
}

/* Whose server is slow nobody knows: the standby's, or the primary's. */
TEST_WITH(no_two_are_moved_at_once_for_one_slow_servers_sake, NULL, help_plan_forget)
{
    static const struct {
        uint32_t a[2], b[2]; /* of two shards: primary, standby */
        bool both;
    } rows[] = {{{0, 2}, {1, 2}, false}, {{0, 2}, {0, 3}, false}, {{0, 2}, {1, 3}, true}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin(6, 2, 2);
        fleet.fleet.settings.resyncs = 4;
        help_fleet_set(&fleet, 0, rows[i].a[0], rows[i].a[1]);
        help_fleet_set(&fleet, 1, rows[i].b[0], rows[i].b[1]);
        slow_down(0, FL_SAYS_SYNCING);
        slow_down(1, FL_SAYS_SYNCING);
        expect_orders(rows[i].both ? 2 : 1);
        assert_int_equal(plan->step[1].wait, rows[i].both ? FL_ORDERED : FL_IS_SLOW);
        /* The first one is there: the other waits for twenty seconds. */
        fleet.shard[0].left.server = rows[i].a[1];
        fleet.shard[0].left.when = fleet.fleet.now - 19;
        help_fleet_set(&fleet, 0, rows[i].a[0], 5);
        fleet.shard[0].slow = NULL;
        expect_orders(rows[i].both);
        fleet.shard[0].left.when--;
        expect_orders(1);
    }
}

/* Where the next one is slow as well, its own server is not the cause. */
TEST_WITH(a_shard_is_not_moved_again_and_again_because_it_is_slow, NULL, help_plan_forget)
{
    begin_at(4, 2, "0-3");
    slow_down(0, FL_SAYS_SYNCING);
    fleet.fleet.now = 2000;
    fleet.shard[0].left = (struct fl_left){.server = 1, .when = 1401};
    expect_plan(0, "its standby on s3 is slow: it acknowledges late");
    fleet.shard[0].left.when--;
    expect_plan(0, "re-pair with s1: its standby on s3 is slow: it acknowledges late");
    fleet.shard[0].left = (struct fl_left){.server = 3, .when = 1980}; /* withdrawn: it is still there */
    expect_plan(0, "re-pair with s1: its standby on s3 is slow: it acknowledges late");
}

/* Alone for longer than anybody's patience, it is still one at a time, and to none that is slow as well. */
TEST_WITH(nobody_goes_to_where_a_standby_is_slow, NULL, help_plan_forget)
{
    begin_at(4, 4, "0-1, 2-3");
    slow_down(0, FL_SAYS_SYNCING);
    slow_down(1, FL_SAYS_SYNCING);
    make_plan();
    assert_int_equal(plan->step[0].to[0], 2);
    assert_int_equal(plan->step[1].to[0], 0);
    begin_at(4, 4, "0-2, 1-2");
    slow_down(0, FL_SAYS_JOINING);
    slow_down(1, FL_SAYS_JOINING);
    fleet.shard[0].alone = fleet.shard[1].alone = 1;
    expect_orders(1);
}

/* A server that all of its slow standbys have left is not taken for a quick one. */
TEST_WITH(nobody_goes_to_where_one_was_slow_a_while_ago, NULL, help_plan_forget)
{
    begin_at(4, 4, "0-1, 2-1");
    slow_down(0, FL_SAYS_SYNCING);
    fleet.fleet.now = 2000;
    fleet.shard[1].left = (struct fl_left){.server = 3, .when = 1401};
    make_plan();
    assert_int_equal(plan->step[0].to[0], 2);
    fleet.shard[1].left.when = 1400;
    make_plan();
    assert_int_equal(plan->step[0].to[0], 3);
    /* Its order was withdrawn, and the standby there has shown that it keeps up. */
    fleet.shard[1].left.when = 1401;
    help_fleet_set(&fleet, 1, 2, 3);
    fleet.server[2].drained = true;
    make_plan();
    assert_int_equal(plan->step[0].to[0], 3);
}

static void keep_busy(uint32_t shard, uint32_t primary, uint32_t standby)
{
    fleet.shard[shard].busy[0] = primary;
    fleet.shard[shard].busy[1] = standby;
}

TEST_WITH(a_slow_primary_hands_over, NULL, help_plan_forget)
{
    static const struct {
        uint32_t primary, standby;
        bool ordered;
    } rows[] = {{91, 59, true},    {91, 0, true}, {90, 50, false}, {97, 60, false},
                {100, 100, false}, {0, 0, false}, {50, 100, false}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin_at(4, 2, "0-1");
        keep_busy(0, rows[i].primary, rows[i].standby);
        expect_orders(rows[i].ordered);
    }
    keep_busy(0, 97, 50);
    expect_plan(0, "hand over to s1: its primary on s0 is slow: its lanes are busy for 97 % of the time, "
                   "its standby's for 50 %");
    assert_false(plan->step[0].unprotected);
    order(0, FL_HANDOVER, FL_SLOW, 1);
    expect_plan(0, "hand over to s1 is under way (slow)");
}

TEST_WITH(a_slow_primary_stays_where_nobody_could_do_better, NULL, help_plan_forget)
{
    for (int i = 0; i < 10; i++) {
        begin_at(4, 2, "0-1, 2-1");
        keep_busy(0, 97, 50);
        switch (i) {
        case 0: /* the standby's time is not known */
            fleet.shard[0].busy[1] = FL_NONE;
            break;
        case 1: /* the primary waits for it */
            fleet.shard[0].slow = "it acknowledges late";
            break;
        case 2:
            fleet.shard[0].pin = 2;
            break;
        case 3:
            fleet.server[1].drained = true;
            break;
        case 4:
            fleet.shard[0].counter[1] = 1;
            break;
        case 5:
            fleet.shard[0].failed = (struct fl_failed){.count = 1, .to = 1, .when = fleet.fleet.now};
            break;
        case 6:
            says(0, FL_SAYS_SOLO, FL_SAYS_SYNCING);
            break;
        case 7: /* another shard's standby is slow there */
            slow_down(1, FL_SAYS_SYNCING);
            break;
        case 8:
            fleet.shard[0].busy[0] = FL_NONE;
            break;
        case 9: /* its server has no room for what a primary takes */
            fleet.server[1].capacity.of[FL_PROCESSOR] = 2;
            fleet.shard[0].measured[0] = fleet.shard[0].measured[1] = true;
            fleet.shard[0].load[0].of[FL_PROCESSOR] = 3;
            fleet.shard[0].load[1].of[FL_PROCESSOR] = 1;
            break;
        }
        make_plan();
        if (plan->step[0].kind == FL_HANDOVER)
            fail_msg("row %d: %s", i, fl_plan_explain(plan, &fleet.fleet, 0, (char[FL_WHY_MAX]){0}));
    }
}

/* Which of the first shards hand over because their primaries are slow: "0", "1 2". */
static const char *who_hands_over(uint32_t shards)
{
    static char who[32];
    size_t at = 0;

    make_plan();
    who[0] = '\0';
    for (uint32_t i = 0; i < shards; i++)
        if (plan->step[i].kind == FL_HANDOVER && plan->step[i].cause == FL_SLOW)
            at += (size_t)snprintf(who + at, sizeof(who) - at, at ? " %u" : "%u", i);
    return who;
}

/* One shard less may be enough for its server; a shard that no server is quick enough for stays. */
TEST_WITH(slow_primaries_hand_over_one_at_a_time, NULL, help_plan_forget)
{
    begin_at(6, 6, "0-1, 0-2, 3-1");
    fleet.fleet.now = 2000;
    for (uint32_t i = 0; i < 3; i++)
        keep_busy(i, 97, 50);
    assert_string_equal(who_hands_over(3), "0");
    /* The first one is there: the others wait for twenty seconds. */
    help_fleet_set(&fleet, 0, 1, 0);
    keep_busy(0, 97, 50);
    fleet.shard[0].left = (struct fl_left){.server = 0, .when = 1981};
    assert_string_equal(who_hands_over(3), "");
    fleet.shard[0].left.when = 1980;
    assert_string_equal(who_hands_over(3), "1 2");
    fleet.shard[0].left.when = 1401;
    assert_string_equal(who_hands_over(3), "1 2");
    fleet.shard[0].left.when = 1400;
    assert_string_equal(who_hands_over(3), "0");
}

/* People want both of its servers empty, or its own: there is one order for it, theirs. */
TEST_WITH(a_drain_goes_before_a_slow_primary, NULL, help_plan_forget)
{
    begin_at(4, 4, "0-1");
    keep_busy(0, 97, 50);
    fleet.server[0].drained = true;
    expect_plan(0, "hand over to s1: s0 is drained");
    expect_orders(1);
}

/* Its own server is the emptier one, but there it was slow. */
TEST_WITH(balance_does_not_hand_back_what_was_slow, NULL, help_plan_forget)
{
    for (int was_slow = 0; was_slow < 2; was_slow++) {
        begin_at(2, 1, "0-1, 0-1, 0-1");
        fleet.fleet.now = 2000;
        fleet.server[0].capacity.of[FL_PROCESSOR] = fleet.server[1].capacity.of[FL_PROCESSOR] = 20;
        for (uint32_t i = 0; i < 3; i++) {
            fleet.shard[i].measured[0] = fleet.shard[i].measured[1] = true;
            fleet.shard[i].load[0].of[FL_PROCESSOR] = 3;
            fleet.shard[i].load[1].of[FL_PROCESSOR] = 1;
            if (was_slow)
                fleet.shard[i].left = (struct fl_left){.server = 1, .when = 1900};
        }
        make_plan();
        assert_int_equal(plan->orders, !was_slow);
        assert_true(was_slow || plan->step[0].cause == FL_BALANCE);
    }
}

TEST_WITH(who_has_waited_longest_is_healed_first, NULL, help_plan_forget)
{
    begin(20, 4, 20);
    fleet.fleet.settings.heals = 3;
    for (uint32_t i = 0; i < 4; i++) {
        help_fleet_set(&fleet, i, i, 10 + i);
        fleet.fleet.now = 1000 - (i == 3 ? 500 : i * 100);
        help_fleet_kill(&fleet, 10 + i);
    }
    fleet.fleet.now = 1000;
    expect_orders(3);
    assert_int_equal(plan->order[0], 3);
    assert_int_equal(plan->order[1], 2);
    assert_int_equal(plan->order[2], 1);
    expect(0, "3 re-pairs and resyncs are under way, as many as may be");
}

/* s3 is new, and nodes do not come up there: one shard tries that, and not one after the other. */
TEST_WITH(a_server_where_a_standby_does_not_come_up_gets_none_for_balance, NULL, help_plan_forget)
{
    static const enum fl_says rows[] = {FL_SAYS_READY, FL_SAYS_NOTHING, FL_SAYS_JOINING, FL_SAYS_FENCED};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t there = 0, heals = 0;

        begin(4, 10, 4);
        limit_nodes(100);
        for (uint32_t k = 1; k < 10; k++)
            help_fleet_set(&fleet, k, k % 3, (k + 1) % 3);
        help_fleet_set(&fleet, 0, 0, 3);
        says(0, i ? FL_SAYS_SOLO : FL_SAYS_PROTECTED, rows[i]);
        make_plan();
        for (uint32_t k = 0; k < plan->orders; k++)
            there += plan->step[plan->order[k]].to[0] == 3;
        assert_int_equal(there != 0, i == 0);
        /* Who has nobody else goes there all the same. */
        help_fleet_kill(&fleet, 1);
        fleet.server[0].drained = fleet.server[2].drained = true;
        make_plan();
        for (uint32_t k = 0; k < plan->orders; k++)
            heals += plan->step[plan->order[k]].to[0] == 3;
        assert_true(heals != 0);
    }
}

/* A standby whose server lives, and that does not come up: it is given up after 120 s, if it is not being
 * given the state, and if no node is to be started anew. One that moved a while ago may still come up, if it
 * says anything. */
TEST_WITH(a_standby_that_does_not_come_up_is_given_up, NULL, help_plan_forget)
{
    static const struct {
        enum fl_says standby;
        uint64_t alone, moved; /* seconds ago; alone 0: it is not said */
        bool old, elsewhere;
    } rows[] = {{FL_SAYS_NOTHING, 120, 500, false, true},  {FL_SAYS_JOINING, 120, 500, false, true},
                {FL_SAYS_FENCED, 120, 500, false, true},   {FL_SAYS_JOINING, 119, 500, false, false},
                {FL_SAYS_JOINING, 0, 500, false, false},   {FL_SAYS_SYNCING, 500, 500, false, false},
                {FL_SAYS_NOTHING, 500, 500, true, false},  {FL_SAYS_JOINING, 120, 119, false, false},
                {FL_SAYS_JOINING, 120, 120, false, true},  {FL_SAYS_NOTHING, 120, 119, false, true},
                {FL_SAYS_SYNCING, 599, 900, false, false}, {FL_SAYS_SYNCING, 600, 900, false, true}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin_at(3, 3, "0-1");
        fleet.shard[0].moved = fleet.fleet.now - rows[i].moved;
        says(0, FL_SAYS_SOLO, rows[i].standby);
        fleet.shard[0].alone = rows[i].alone ? fleet.fleet.now - rows[i].alone : 0;
        fleet.shard[0].old[0] = rows[i].old;
        expect_orders(rows[i].elsewhere);
        if (!rows[i].elsewhere)
            continue;
        expect(0, "re-pair with s2: its standby on s1 does not come up, the other member is alone");
        fleet.shard[0].order =
            (struct fl_order){.kind = FL_REPAIR, .cause = FL_HEAL, .to = 2, .since = fleet.fleet.now};
        make_plan();
        assert_int_equal(plan->step[0].wait, FL_UNDER_WAY);
        /* It has come up after all. */
        says(0, FL_SAYS_PROTECTED, FL_SAYS_READY);
        make_plan();
        assert_int_equal(plan->step[0].kind, FL_WITHDRAW);
    }
}

/* Who led before had another clock: its times count from when this leader began. */
TEST_WITH(times_of_another_leader_count_from_when_this_one_began, NULL, help_plan_forget)
{
    begin_at(3, 3, "0-1");
    says(0, FL_SAYS_SOLO, FL_SAYS_NOTHING);
    fleet.shard[0].alone = fleet.fleet.now - 500;
    fleet.fleet.began = fleet.fleet.now - 119;
    expect_plan(0, "the primary is alone: the node on s1 is silent, though that server lives");
    fleet.fleet.began--;
    expect_plan(0, "re-pair with s2: its standby on s1 does not come up, the other member is alone");
    /* An order under way is not late by it. */
    fleet.shard[0].order =
        (struct fl_order){.kind = FL_REPAIR, .cause = FL_HEAL, .to = 2, .since = fleet.fleet.now - 500};
    fleet.shard[0].alone = fleet.fleet.now - 120;
    fleet.fleet.began = fleet.fleet.now - 119;
    make_plan();
    assert_int_equal(plan->step[0].cause, FL_NEEDLESS); /* nor is the standby given up */
    help_fleet_kill(&fleet, 1);
    make_plan();
    assert_int_equal(plan->step[0].wait, FL_UNDER_WAY);
    fleet.fleet.began--;
    make_plan();
    assert_int_equal(plan->step[0].cause, FL_FAILED);
}

/* ---- where there is room ---- */

TEST_WITH(a_zone_counts_only_where_it_has_room, NULL, help_plan_forget)
{
    begin_at(4, 2, "0-1");
    help_fleet_kill(&fleet, 1);
    expect_plan(0, "re-pair with s3: s1 is dead, the other member is alone");
    fleet.server[3].drained = true;
    expect_plan(0, "re-pair with s2: s1 is dead, the other member is alone");
    fleet.server[3].drained = false;
    fleet.server[3].capacity.of[FL_NODES] = 0.5;
    fleet.server[2].capacity.of[FL_NODES] = 10;
    expect_plan(0, "re-pair with s2: s1 is dead, the other member is alone");
}

TEST_WITH(two_servers_heal_nothing, NULL, help_plan_forget)
{
    begin_at(2, 2, "0-1");
    help_fleet_kill(&fleet, 1);
    expect_plan(0, FULL);
    assert_int_equal(plan->orders, 0);
    help_fleet_return(&fleet, 1);
    expect_plan(0, "");
}

/* s2 has a core free now. Were s3 to die, it would serve n1 and n2, and have none. */
TEST_WITH(room_is_what_is_left_when_any_other_server_dies, NULL, help_plan_forget)
{
    begin_at(4, 4, "0-1, 3-2, 3-2");
    limit_processor(10);
    help_fleet_load(&fleet, 0, 2, 2);
    help_fleet_load(&fleet, 1, 4.5, 1);
    help_fleet_load(&fleet, 2, 4.5, 1);
    fleet.server[1].drained = fleet.server[3].drained = true; /* so that s2 is the only one */
    make_plan();
    assert_int_equal(plan->view[2].worst * 100, 90);
    assert_int_equal(plan->view[2].full * 100, 20);
    assert_int_equal(plan->view[2].worst_when, 3);
    expect(0, FULL);
    help_fleet_load(&fleet, 0, 2, 1);
    expect_plan(0, "re-pair with s2: s1 is drained");
    /* If its own primary's server dies, it serves n0, but n1 and n2 remain standbys: 1 + 1 + 8. */
    help_fleet_load(&fleet, 0, 8, 1);
    expect_plan(0, "re-pair with s2: s1 is drained");
    help_fleet_load(&fleet, 0, 8.1, 1);
    expect_plan(0, FULL);
    /* A shard that is alone goes where there is room now: 1 and 1 are there. */
    help_fleet_kill(&fleet, 1);
    expect_plan(0, "re-pair with s2: s1 is dead, the other member is alone");
    help_fleet_load(&fleet, 0, 8.1, 8);
    expect_plan(0, "re-pair with s2: s1 is dead, the other member is alone");
    help_fleet_load(&fleet, 0, 8.1, 8.1);
    expect_plan(0, FULL);
}

TEST_WITH(of_servers_with_room_the_least_full_one_is_taken, NULL, help_plan_forget)
{
    begin(5, 4, 5);
    limit_processor(10);
    limit_nodes(100);
    help_fleet_set(&fleet, 0, 0, 1);
    help_fleet_load(&fleet, 0, 1, 1);
    help_fleet_set(&fleet, 1, 2, 3);
    help_fleet_load(&fleet, 1, 3, 1);
    help_fleet_set(&fleet, 2, 4, 0);
    help_fleet_load(&fleet, 2, 2.5, 1);
    help_fleet_kill(&fleet, 1);
    /* In the worst case s2 has 3, s3 has 3, s4 has 2.5. */
    expect_plan(0, "re-pair with s4: s1 is dead, the other member is alone");
    fleet.server[4].capacity.of[FL_PROCESSOR] = 5; /* half of what it was: 2.5 is as much as 5 */
    expect_plan(0, "re-pair with s2: s1 is dead, the other member is alone");
    fleet.server[4].capacity.of[FL_PROCESSOR] = 0; /* not limited by it: 2 nodes of 100 */
    expect_plan(0, "re-pair with s4: s1 is dead, the other member is alone");
}

TEST_WITH(what_is_not_measured_counts_as_a_node, NULL, help_plan_forget)
{
    begin(4, 3, 4);
    limit_processor(10);
    help_fleet_set(&fleet, 0, 0, 1);
    help_fleet_set(&fleet, 1, 2, 0);
    help_fleet_kill(&fleet, 1);
    expect_plan(0, "re-pair with s3: s1 is dead, the other member is alone"); /* it has no node, s2 one */
    assert_true(plan->view[2].full == 1.0 / 1024);
    /* A load that is none is not measured either. */
    help_fleet_load(&fleet, 1, NAN, 1);
    fleet.shard[1].measured[1] = false;
    make_plan();
    assert_true(plan->view[2].full == 1.0 / 1024);
    help_fleet_load(&fleet, 1, -1, 1);
    fleet.shard[1].measured[1] = false;
    make_plan();
    assert_true(plan->view[2].full == 1.0 / 1024);
    /* Of a shard with one load the other one is taken for as much. */
    fleet.shard[1].measured[1] = true;
    fleet.shard[1].load[1].of[FL_PROCESSOR] = 3;
    make_plan();
    assert_true(plan->view[2].full == 0.3 && plan->view[0].full == 0.3);
}

TEST_WITH(of_equals_the_one_with_fewest_shards_in_common, NULL, help_plan_forget)
{
    begin(4, 4, 1);
    help_fleet_set(&fleet, 0, 0, 3);
    help_fleet_set(&fleet, 1, 1, 0);
    help_fleet_set(&fleet, 2, 2, 3);
    help_fleet_kill(&fleet, 3);
    /* s1 and s2 have a node each. s1 has n1 in common with s0. */
    expect_plan(0, "re-pair with s2: s3 is dead, the other member is alone");
}

/* ---- limits, and orders under way ---- */

TEST_WITH(a_server_resyncs_one_shard_at_a_time, NULL, help_plan_forget)
{
    begin_at(6, 6, "0-1, 0-1, 2-1");
    help_fleet_kill(&fleet, 1);
    expect_plan(0, "re-pair with s3: s1 is dead, the other member is alone");
    expect(1, "waits until s0 has resynced another shard"); /* out of s0 */
    expect(2, "re-pair with s4: s1 is dead, the other member is alone");
    fleet.fleet.settings.resyncs = 2;
    expect_orders(3);
    /* Into the only one that is left. */
    fleet.fleet.settings.resyncs = 1;
    for (uint32_t i = 0; i < 6; i++)
        fleet.server[i].drained = i != 3;
    expect_plan(0, "re-pair with s3: s1 is dead, the other member is alone");
    expect(2, "waits until s3 has resynced another shard");
    /* A resync that an order began counts like the order. */
    help_fleet_set(&fleet, 0, 0, 3);
    says(0, FL_SAYS_SOLO, FL_SAYS_SYNCING);
    expect_plan(2, "waits until s3 has resynced another shard");
}

/* n0's standby on s1 says for ever that it is given the state. For two minutes others wait for it, and no
 * longer: n1, whose standby is dead, has the same primary. */
TEST_WITH(a_resync_that_does_not_end_holds_nobody_back, NULL, help_plan_forget)
{
    static const uint64_t alone[] = {119, 120};

    for (size_t i = 0; i < 2; i++) {
        begin_at(5, 5, "0-1, 0-2");
        help_fleet_kill(&fleet, 2);
        says(0, FL_SAYS_SOLO, FL_SAYS_SYNCING);
        fleet.shard[0].moved = fleet.fleet.now - 500;
        fleet.shard[0].alone = fleet.fleet.now - alone[i];
        expect_plan(0, "its standby on s1 is given the state");
        expect(1, i ? "re-pair with s3: s2 is dead, the other member is alone"
                    : "waits until s0 has resynced another shard");
    }
}

/* Who says PROTECTED is contradicted by the word of its standby's own node. */
TEST_WITH(a_shard_is_protected_while_no_word_of_its_standby_says_otherwise, NULL, help_plan_forget)
{
    static const struct {
        enum fl_says standby;
        bool is;
    } rows[] = {{FL_SAYS_READY, true},     {FL_SAYS_NOTHING, true},   {FL_SAYS_JOINING, false},
                {FL_SAYS_SYNCING, false},  {FL_SAYS_FENCED, false},   {FL_SAYS_SOLO, false},
                {FL_SAYS_DEGRADED, false}, {FL_SAYS_PROTECTED, false}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin_at(3, 3, "0-1");
        fleet.shard[0].says[1] = rows[i].standby;
        expect_plan(0, rows[i].is ? "" : SETTLING);
        assert_int_equal(plan->step[0].unprotected, !rows[i].is);
        assert_int_equal(plan->orders, 0);
    }
}

/* n0 and n1 are alone. s3 has room for a death of any other; s4 fits both now, and would be above its
 * capacity if s5 died. */
TEST_WITH(who_is_alone_does_not_wait_for_the_server_with_most_room, NULL, help_plan_forget)
{
    begin_at(6, 6, "0-1, 2-1, 5-4, 5-3");
    limit_processor(10);
    for (uint32_t i = 0; i < 2; i++)
        help_fleet_load(&fleet, i, 2, 2);
    help_fleet_load(&fleet, 2, 9, 1);
    help_fleet_load(&fleet, 3, 1, 1);
    help_fleet_kill(&fleet, 1);
    fleet.server[0].drained = fleet.server[2].drained = fleet.server[5].drained = true;
    expect_plan(0, "re-pair with s3: s1 is dead, the other member is alone");
    expect(1, "re-pair with s4: s1 is dead, the other member is alone");
    /* There is no room on s4 now: then it waits. */
    help_fleet_load(&fleet, 2, 9, 9);
    expect_plan(1, "waits until s3 has resynced another shard");
}

TEST_WITH(an_order_stands_until_its_cause_or_its_target_is_gone, NULL, help_plan_forget)
{
    begin_at(6, 6, "0-1");
    help_fleet_kill(&fleet, 1);
    order(0, FL_REPAIR, FL_HEAL, 4);
    expect_plan(0, "re-pair with s4 is under way (heal)");
    assert_int_equal(plan->orders, 0);
    /* The target dies: another one takes its place, in the same view. */
    fleet.fleet.now = 1200;
    order(0, FL_REPAIR, FL_HEAL, 4);
    help_fleet_kill(&fleet, 4);
    expect_plan(0, "re-pair with s2: s1 is dead, the other member is alone");
    /* There is no other. */
    fleet.server[2].drained = fleet.server[3].drained = fleet.server[5].drained = true;
    make_plan();
    assert_int_equal(plan->step[0].kind, FL_WITHDRAW);
    assert_int_equal(plan->step[0].cause, FL_NEEDLESS);
    assert_int_equal(plan->step[0].wait, FL_NO_ROOM);
    /* The dead server is back, and its node is given the state. */
    help_fleet_return(&fleet, 1);
    help_fleet_return(&fleet, 4);
    says(0, FL_SAYS_SOLO, FL_SAYS_SYNCING);
    expect_plan(0, "withdraw the order to s4: it is not needed any more, or cannot be done");
    /* It is a standby again. */
    says(0, FL_SAYS_PROTECTED, FL_SAYS_READY);
    expect_plan(0, "withdraw the order to s4: it is not needed any more, or cannot be done");
    /* People do not want it any more. */
    order(0, FL_HANDOVER, FL_DRAIN, 1);
    make_plan();
    assert_int_equal(plan->step[0].kind, FL_WITHDRAW);
    fleet.server[0].drained = true;
    expect_plan(0, "hand over to s1 is under way (drain)");
    fleet.server[0].drained = false;
    order(0, FL_REPAIR, FL_PIN, 4);
    fleet.shard[0].pin = 4;
    expect_plan(0, "re-pair with s4 is under way (pin)");
    fleet.shard[0].pin = FL_NONE;
    make_plan();
    assert_int_equal(plan->step[0].kind, FL_WITHDRAW);
}

/* It is the emptiest, since nothing comes up there, and each shard would wait two minutes for it. */
TEST_WITH(a_server_on_which_an_order_failed_is_the_last_choice, NULL, help_plan_forget)
{
    begin_at(4, 4, "1-0, 0-2");
    fleet.shard[0].failed.count = 1;
    fleet.shard[0].failed.to = 3;
    fleet.shard[0].failed.when = fleet.fleet.now - 9;
    help_fleet_kill(&fleet, 2);
    expect_plan(1, "re-pair with s1: s2 is dead, the other member is alone");
    fleet.server[1].drained = true;
    expect_plan(1, "re-pair with s3: s2 is dead, the other member is alone");
    fleet.server[1].drained = false;
    fleet.shard[0].failed.when--;
    expect_plan(1, "re-pair with s3: s2 is dead, the other member is alone");
}

TEST_WITH(a_move_that_failed_is_tried_later_and_elsewhere, NULL, help_plan_forget)
{
    static const struct {
        uint32_t failures;
        uint64_t wait;
    } rows[] = {{1, 10}, {2, 20}, {3, 40}, {6, 320}, {7, 600}, {8, 600}, {4000000000, 600}};

    begin_at(6, 6, "0-1");
    help_fleet_kill(&fleet, 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fleet.shard[0].failed.count = rows[i].failures;
        fleet.shard[0].failed.to = 2;
        fleet.shard[0].failed.when = fleet.fleet.now - rows[i].wait + 1;
        expect_plan(0, "its last order failed, to s2: it is tried again later");
        fleet.shard[0].failed.when--;
        expect_plan(0, "re-pair with s3: s1 is dead, the other member is alone");
    }
    /* Nowhere else: there again. */
    fleet.server[3].drained = fleet.server[4].drained = fleet.server[5].drained = true;
    expect_plan(0, "re-pair with s2: s1 is dead, the other member is alone");
    /* The order that failed is withdrawn. */
    order(0, FL_REPAIR, FL_HEAL, 2);
    fleet.shard[0].failed.count = 1;
    fleet.shard[0].failed.when = fleet.fleet.now;
    expect_plan(0, "withdraw the order to s2: it failed, or was not carried out in time");
    /* So is one that nobody carries out. */
    fleet.shard[0].failed.count = 0;
    fleet.fleet.now += 118;
    expect_plan(0, "re-pair with s2 is under way (heal)");
    fleet.fleet.now++;
    expect_plan(0, "withdraw the order to s2: it failed, or was not carried out in time");
    assert_int_equal(plan->orders, 1);
}

/* ---- what waits ---- */

TEST_WITH(both_members_in_one_zone_are_parted_once_there_is_room, NULL, help_plan_forget)
{
    begin_at(4, 2, "0-2, 1-0");
    expect_plan(0, "re-pair with s3: both members are in one zone");
    expect(1, "");
    /* Not while another one is to be healed. */
    help_fleet_set(&fleet, 1, 1, 0);
    says(1, FL_SAYS_SOLO, FL_SAYS_SYNCING);
    expect_plan(0, "");
    /* That one is left to people: nobody waits for it. */
    fleet.shard[1].says[0] = fleet.shard[1].says[1] = FL_SAYS_NOTHING;
    expect_plan(0, "re-pair with s3: both members are in one zone");
    fleet.shard[0].moved = fleet.fleet.now - 59;
    expect_plan(0, "");
}

TEST_WITH(a_server_that_another_death_would_overfill_gives_a_standby_away, NULL, help_plan_forget)
{
    begin_at(4, 4, "0-1, 0-1, 1-2");
    limit_processor(10);
    help_fleet_load(&fleet, 0, 3, 0.5);
    help_fleet_load(&fleet, 1, 4, 0.5);
    help_fleet_load(&fleet, 2, 4, 1);
    make_plan(); /* s1, if s0 dies: 4 + 3 + 4 */
    assert_int_equal(plan->overfull, 1);
    expect(1, "re-pair with s3: s1 would be above its capacity if s0 died");
    assert_int_equal(plan->orders, 1);
    help_fleet_apply(&fleet, plan);
    fleet.fleet.now += 100;
    make_plan();
    assert_int_equal(plan->overfull, 0);
}

/* Six servers with two primaries each, whose standbys are on the next server. */
static void make_ring(void)
{
    begin(6, 12, 6);
    limit_processor(10);
    for (uint32_t i = 0; i < 12; i++) {
        help_fleet_set(&fleet, i, i % 6, (i + 1) % 6);
        help_fleet_load(&fleet, i, 1, 0.2);
    }
}

TEST_WITH(balance_hands_over_the_shard_that_evens_most, NULL, help_plan_forget)
{
    make_ring();
    expect_orders(0);
    /* s0 has 1.15 of the mean: too little to begin. */
    help_fleet_load(&fleet, 0, 1.4, 0.2);
    expect_orders(0);
    assert_false(plan->balancing);
    /* Twice the mean. s1 has 2.4, so much as others; with n0 or n6 it would have more than the mean. */
    begin(6, 12, 6);
    limit_processor(10);
    for (uint32_t i = 0; i < 12; i++) {
        help_fleet_set(&fleet, i, i < 6 ? i : 0, i < 6 ? (i + 1) % 6 : i % 6 ? i % 6 : 5);
        help_fleet_load(&fleet, i, 1, 0.2);
    }
    make_plan();
    assert_true(plan->balancing);
    assert_int_equal(plan->step[plan->order[0]].kind, FL_HANDOVER);
    assert_int_equal(plan->step[plan->order[0]].cause, FL_BALANCE);
    for (int i = 0; i < 10 && plan->orders; i++) {
        help_fleet_apply(&fleet, plan);
        fleet.fleet.now += 61;
        fleet.fleet.balancing = plan->balancing;
        make_plan();
    }
    assert_int_equal(plan->orders, 0);
    for (uint32_t i = 0; i < 6; i++)
        assert_true(plan->view[i].full <= 0.24 * 1.1); /* the mean is 12 times 1.2 by 6 times 10 */
}

TEST_WITH(balance_waits_for_healing_and_for_the_hold_down, NULL, help_plan_forget)
{
    begin(4, 4, 4);
    limit_processor(10);
    for (uint32_t i = 0; i < 4; i++) {
        help_fleet_set(&fleet, i, 0, 1 + i % 3);
        help_fleet_load(&fleet, i, 1, 0);
    }
    make_plan();
    assert_int_equal(plan->step[0].kind, FL_HANDOVER);
    for (uint32_t i = 0; i < 4; i++)
        fleet.shard[i].moved = 941;
    expect_orders(0);
    fleet.fleet.now++;
    make_plan();
    assert_true(plan->orders > 0);
    /* n3 resyncs. */
    says(3, FL_SAYS_SOLO, FL_SAYS_SYNCING);
    expect_orders(0);
    /* A pinned primary stays. */
    says(3, FL_SAYS_PROTECTED, FL_SAYS_READY);
    for (uint32_t i = 0; i < 4; i++)
        fleet.shard[i].pin = 0;
    expect_orders(0);
}

TEST_WITH(a_new_server_gets_its_share_of_nodes, NULL, help_plan_forget)
{
    uint32_t moves = 0;

    begin(4, 30, 4);
    for (uint32_t i = 0; i < 30; i++)
        help_fleet_set(&fleet, i, i % 3, (i + 1 + i / 15) % 3);
    make_plan();
    for (int i = 0; i < 100 && plan->orders; i++) {
        moves += plan->orders;
        assert_int_equal(plan->orders, 1); /* one resync at a time into s3 */
        help_fleet_apply(&fleet, plan);
        fleet.fleet.now += 61;
        fleet.fleet.balancing = plan->balancing;
        make_plan();
    }
    /* 20 each, the mean is 15: down to 16 each, and no further. */
    assert_int_equal(moves, 12);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(plan->view[i].nodes, 16);
}

/* ---- verdicts, refusals, words ---- */

TEST_WITH(the_worst_pair_of_servers_is_told, NULL, help_plan_forget)
{
    begin_at(4, 4, "0-1, 3-2, 2-3, 1-2");
    make_plan();
    assert_int_equal(plan->both.a, 2);
    assert_int_equal(plan->both.b, 3);
    assert_int_equal(plan->both.shards, 2);
    assert_int_equal(plan->both.pairs, 3);
    /* A shard that has one member left is lost with one server: it is not counted here. */
    help_fleet_kill(&fleet, 0);
    make_plan();
    assert_int_equal(plan->both.pairs, 2);
}

static void refuse(const char *expected)
{
    struct ft_fault fault = {.text = ""};
    struct fl_plan *none = NULL;

    assert_int_equal(fl_plan_make(&none, &fleet.fleet, &fault), FT_EINVAL);
    assert_string_equal(fault.text, expected);
}

TEST_WITH(what_names_no_server_is_refused, NULL, help_plan_forget)
{
    begin_at(2, 1, "0-0");
    refuse("shard n0: its members are not two servers");
    help_fleet_set(&fleet, 0, 0, 2);
    refuse("shard n0: its members are not two servers");
    help_fleet_set(&fleet, 0, 0, 1);
    fleet.shard[0].primary = 2;
    refuse("shard n0: its primary is none of its members");
    fleet.shard[0].primary = 0;
    fleet.shard[0].pin = 2;
    refuse("shard n0: a pin or a failed order names no server");
    fleet.shard[0].pin = FL_NONE;
    order(0, FL_REPAIR, FL_HEAL, 2);
    refuse("shard n0: its order names no server");
    order(0, FL_CREATE, FL_NEW, 1);
    refuse("shard n0: its order is no re-pair, handover or restart");
    order(0, FL_LEAVE, FL_NO_CAUSE, 0);
    fleet.server[1].capacity.of[FL_MEMORY] = -1;
    refuse("server s1: a capacity is -1, expected 0 or more");
    fleet.server[1].capacity.of[FL_MEMORY] = 0;
    fleet.fleet.settings.resyncs = 0;
    refuse("a fleet's settings: resyncs is 0, expected 1 or more");
    fleet.fleet.settings.resyncs = 1;
    fleet.fleet.settings.gain = NAN;
    refuse("a fleet's settings: gain is nan, expected between 0 and 1");
}

TEST_WITH(an_empty_fleet_has_a_plan, NULL, help_plan_forget)
{
    begin(1, 1, 1);
    expect_plan(0, FULL);
    fleet.fleet.shards = 0;
    expect_orders(0);
    fleet.fleet.servers = 0;
    expect_orders(0);
}

TEST_WITH(words_are_read_as_they_are_written, NULL, help_plan_forget)
{
    assert_string_equal(fl_kind_name(FL_REPAIR), "re-pair");
    assert_string_equal(fl_kind_name(FL_HANDOVER), "hand over");
    for (int i = 0; i <= FL_WITHDRAW; i++)
        assert_int_equal(fl_kind_of(fl_kind_name((enum fl_kind)i)), i);
    for (int i = 0; i <= FL_NEEDLESS; i++)
        assert_int_equal(fl_cause_of(fl_cause_name((enum fl_cause)i)), i);
    for (int i = 0; i <= FL_UNREADABLE; i++)
        assert_string_not_equal(fl_wait_name((enum fl_wait)i), "unknown");
    assert_int_equal(fl_cause_of("mischief"), FL_NO_CAUSE);
    assert_int_equal(fl_kind_of("mischief"), FL_LEAVE);
}
