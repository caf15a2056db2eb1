/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner of a fleet, and what people want of it: drained servers, pins, moves, nodes that are started
 * anew. Servers are s0, s1 and so on, in zones as each test says; shards n0, n1 and so on.
 */
#include "tests/help/plan.h"
#include "tests/help/test.h"

#define FULL "no server has room for its standby"

/* ---- what people want ---- */

TEST_WITH(a_drained_server_is_emptied, NULL, help_plan_forget)
{
    begin_at(4, 2, "0-1, 1-0");
    fleet.server[0].drained = true;
    expect_plan(0, "hand over to s1: s0 is drained");
    expect(1, "re-pair with s2: s0 is drained");
    /* Both are drained: the standby goes first. */
    fleet.server[1].drained = true;
    expect_plan(0, "re-pair with s3: s1 is drained");
    /* The other member is dead: there is nobody to hand over to, so it is healed. */
    begin_at(4, 2, "0-1");
    fleet.server[0].drained = true;
    help_fleet_kill(&fleet, 1);
    expect_plan(0, "re-pair with s3: s1 is dead, the other member is alone");
    help_fleet_apply(&fleet, plan);
    expect_plan(0, "hand over to s3: s0 is drained");
    help_fleet_apply(&fleet, plan);
    expect_plan(
        0, "re-pair with s2: s0 is drained"); /* s3 is the primary's, s1 is dead: its zone has no other */
    help_fleet_apply(&fleet, plan);
    expect_plan(0, "");
    /* A drained standby that is silent is not waited for. */
    begin_at(4, 2, "0-1");
    says(0, FL_SAYS_SOLO, FL_SAYS_NOTHING);
    fleet.server[1].drained = true;
    expect_plan(0, "re-pair with s3: s1 is drained");
}

TEST_WITH(a_server_that_the_file_has_no_more_gets_nothing_and_is_emptied, NULL, help_plan_forget)
{
    begin_at(4, 4, "0-1, 2-3");
    fleet.server[1].unlisted = true;
    expect_plan(0, "re-pair with s2: s1 is not in the fleet's file any more");
    fleet.server[1].unlisted = false;
    fleet.server[0].unlisted = true;
    expect_plan(0, "hand over to s1: s0 is not in the fleet's file any more");
    fleet.server[0].drained = true; /* nor does a third of the leases count with it */
    fleet.server[1].unlisted = true;
    help_fleet_kill(&fleet, 3);
    expect_plan(0, "re-pair with s2: s1 is not in the fleet's file any more");
    expect(1, FULL); /* s3 is dead, and neither s0 nor s1 takes anything */
}

TEST_WITH(a_drained_server_waits_where_nobody_has_room, NULL, help_plan_forget)
{
    begin_at(2, 2, "0-1");
    fleet.server[0].drained = true;
    expect_plan(0, "hand over to s1: s0 is drained");
    help_fleet_apply(&fleet, plan);
    expect_plan(0, FULL);
    assert_int_equal(plan->orders, 0);
    /* Who cannot carry the primary is not handed it; somebody else becomes its standby. */
    begin_at(3, 3, "0-1");
    help_fleet_load(&fleet, 0, 5, 1);
    limit_processor(4);
    fleet.server[2].capacity.of[FL_PROCESSOR] = 6;
    fleet.server[0].drained = true;
    expect_plan(0, "re-pair with s2: s0 is drained");
}

TEST_WITH(a_pin_says_where_the_primary_is, NULL, help_plan_forget)
{
    begin_at(5, 5, "0-1");
    fleet.shard[0].pin = 1;
    expect_plan(0, "hand over to s1: its primary is pinned to s1");
    fleet.shard[0].pin = 4;
    expect_plan(0, "re-pair with s4: its primary is pinned to s4");
    help_fleet_apply(&fleet, plan);
    expect_plan(0, "hand over to s4: its primary is pinned to s4");
    help_fleet_apply(&fleet, plan);
    expect_plan(0, "");
    /* Drained: it waits, and the server is emptied. */
    fleet.server[4].drained = true;
    expect_plan(0, "hand over to s0: s4 is drained");
    assert_true(plan->step[0].pin_waits);
    /* Dead. */
    begin_at(5, 5, "0-1");
    fleet.shard[0].pin = 4;
    help_fleet_kill(&fleet, 4);
    expect_plan(0, "its pin waits: s4 is dead, drained or full");
    /* Full. */
    help_fleet_return(&fleet, 4);
    fleet.server[4].capacity.of[FL_NODES] = 0.5;
    expect_plan(0, "its pin waits: s4 is dead, drained or full");
    /* A shard that is healed goes there at once. */
    fleet.server[4].capacity.of[FL_NODES] = 10;
    help_fleet_kill(&fleet, 1);
    expect_plan(0, "re-pair with s4: s1 is dead, the other member is alone");
    fleet.server[4].drained = true;
    expect_plan(0, "re-pair with s2: s1 is dead, the other member is alone");
}

/* Its node would hand the role back, and be handed it again, for ever. */
TEST_WITH(nothing_is_handed_over_to_a_node_that_would_hand_it_back, NULL, help_plan_forget)
{
    static const char unfit[] = "not handed over to s1: what its node there tracks fails";

    begin_at(4, 4, "0-1");
    fleet.shard[0].pin = 1;
    fleet.shard[0].counter[1] = 10;
    expect_plan(0, unfit);
    assert_int_equal(plan->step[0].wait, FL_UNFIT);
    fleet.shard[0].counter[0] = 10; /* by both nodes' word there is no difference */
    expect_plan(0, "hand over to s1: its primary is pinned to s1");
    order(0, FL_HANDOVER, FL_PIN, 1);
    expect_plan(0, "hand over to s1 is under way (pin)");
    fleet.shard[0].counter[1] = 1000;
    expect_plan(0, "withdraw the order to s1: it is not needed any more, or cannot be done");
    help_fleet_apply(&fleet, plan);
    expect_plan(0, unfit);
    fleet.shard[0].pin = 2; /* elsewhere by another standby */
    expect_plan(0, "re-pair with s2: its primary is pinned to s2");
    fleet.shard[0].pin = FL_NONE;
    expect_plan(0, "");
    fleet.server[0].drained = true;
    expect_plan(0, unfit);
    fleet.server[0].drained = false;
    fleet.shard[0].old[0] = true;
    expect_plan(0, unfit);
    fleet.shard[0].old[0] = false;
    fleet.server[1].drained = true; /* the standby may go */
    expect_plan(0, "re-pair with s2: s1 is drained");
}

/* A server that is twice as full as the other one hands over what it can. */
TEST_WITH(balance_goes_by_fit_standbys, NULL, help_plan_forget)
{
    begin_at(2, 2, "0-1, 0-1");
    help_fleet_load(&fleet, 0, 4, 0.5);
    help_fleet_load(&fleet, 1, 3, 0.5);
    limit_processor(100);
    expect_plan(1, "hand over to s1: s0 is fuller than the mean by more than 10 %");
    fleet.shard[1].counter[1] = 10;
    expect_orders(0);
}

TEST_WITH(a_move_goes_by_its_steps_wherever_it_was_left, NULL, help_plan_forget)
{
    begin_at(5, 5, "0-1");
    fleet.shard[0].pin = 4;
    fleet.shard[0].moves = true;
    expect_plan(0, "re-pair with s4: it is to be moved to s4");
    assert_int_equal(plan->step[0].cause, FL_MOVE);
    order(0, FL_REPAIR, FL_MOVE, 4);
    expect_plan(0, "re-pair with s4 is under way (move)");
    /* Nobody knows of the first step but the nodes. */
    help_fleet_apply(&fleet, plan);
    help_fleet_set(&fleet, 0, 0, 4);
    expect_plan(0, "hand over to s4: it is to be moved to s4");
    order(0, FL_HANDOVER, FL_MOVE, 4);
    expect_plan(0, "hand over to s4 is under way (move)");
    help_fleet_set(&fleet, 0, 4, 0);
    expect_plan(0, "");
    /* To its standby it is one step; a takeover may have done it. */
    fleet.shard[0].pin = 0;
    expect_plan(0, "hand over to s0: it is to be moved to s0");
    help_fleet_kill(&fleet, 4);
    expect_plan(0, "re-pair with s1: s4 is dead, the other member is alone");
    /* It is healed to where it is moved. */
    fleet.shard[0].pin = 3;
    expect_plan(0, "re-pair with s3: s4 is dead, the other member is alone");
    help_fleet_set(&fleet, 0, 0, 1);
    fleet.server[3].drained = true;
    expect_plan(0, "its move waits: s3 is dead, drained or full");
    fleet.server[3].drained = false;
    /* Another move takes the place of one under way; so does none. */
    order(0, FL_REPAIR, FL_MOVE, 2);
    expect_plan(0, "re-pair with s3: it is to be moved to s3");
    fleet.shard[0].pin = FL_NONE;
    fleet.shard[0].moves = false;
    expect_plan(0, "withdraw the order to s2: it is not needed any more, or cannot be done");
}

#define ANEW(server) "the nodes of " server " are to be started anew"

TEST_WITH(old_nodes_are_started_anew_one_server_after_the_other, NULL, help_plan_forget)
{
    begin_at(4, 4, "1-2, 2-1, 3-1");
    for (int i = 0; i < 3; i++)
        fleet.shard[i].old[0] = fleet.shard[i].old[1] = true;
    expect_plan(0, "hand over to s2: " ANEW("s1"));
    expect(1, "restart its standby on s1: " ANEW("s1"));
    expect(2, ""); /* s1 resyncs one shard at a time */
    /* Not while any shard is unprotected: a node did not come back. */
    help_fleet_apply(&fleet, plan);
    says(1, FL_SAYS_SOLO, FL_SAYS_NOTHING);
    expect_orders(0);
    expect(1, "the primary is alone: the node on s1 is silent, though that server lives");
    /* Nor while a primary is silent, and its standby about to take over. */
    says(1, FL_SAYS_NOTHING, FL_SAYS_READY);
    expect_orders(0);
    help_fleet_set(&fleet, 1, 2, 1);
    /* An order stands until the node is another one. */
    order(0, FL_RESTART, FL_UPGRADE, 1);
    expect_plan(0, "restart its standby on s1 is under way (upgrade)");
    expect(2, "");
    fleet.shard[0].old[1] = false;
    fleet.shard[0].says[1] = FL_SAYS_NOTHING; /* its primary has not said yet that it is alone */
    make_plan();
    assert_int_equal(plan->step[0].kind, FL_WITHDRAW);
    assert_int_equal(plan->step[0].cause, FL_NEEDLESS);
    expect(0, "withdraw the order to s1: its standby was started anew, or is not to be any more");
    expect(2, "");
    fleet.shard[0].says[1] = FL_SAYS_READY;
    expect_plan(2, "restart its standby on s1: " ANEW("s1"));
    /* s1 is done: s2, where the primaries are. */
    fleet.shard[0].order.kind = FL_LEAVE;
    fleet.shard[2].old[1] = false;
    expect_plan(0, "hand over to s1: " ANEW("s2"));
    expect(1, "hand over to s1: " ANEW("s2"));
    expect(2, "");
    /* Too many leases went, or one is drained: what heals and empties comes first. */
    fleet.server[1].drained = true;
    expect_plan(0, "re-pair with s0: s1 is drained");
}

TEST_WITH(all_are_started_anew_and_never_both_of_a_shard, NULL, help_plan_forget)
{
    begin(4, 6, 2);
    for (uint32_t i = 0; i < 6; i++) {
        help_fleet_set(&fleet, i, i % 4, (i + 1) % 4);
        fleet.shard[i].old[0] = fleet.shard[i].old[1] = true;
    }
    fleet.shard[3].pin = 3; /* it goes away for its restart, and comes back */
    uint32_t old = 6;

    for (int round = 0; old; round++) {
        fleet.fleet.now += 1000;
        make_plan();
        assert_true(plan->orders && round < 30);
        /* None is moved for balance meanwhile. */
        for (uint32_t i = 0; i < plan->orders; i++)
            assert_true(plan->step[plan->order[i]].cause == FL_UPGRADE || plan->order[i] == 3);
        help_fleet_apply(&fleet, plan);
        old = 0;
        for (uint32_t i = 0; i < 6; i++)
            old += fleet.shard[i].old[0] || fleet.shard[i].old[1];
    }
    make_plan();
    help_fleet_apply(&fleet, plan);
    assert_int_equal(help_fleet_primary(&fleet.shard[3]), 3);
}
