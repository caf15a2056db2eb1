/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core, told as stories: who is a member of a view, and how a primary gets another standby.
 * Facts from docs/guarantees.md, "Members of a view", and docs/decisions.md. The node is "left", its peer
 * "right", and a third one "third".
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/core.h"

#include <stdio.h>
#include <string.h>

static struct tale t;

static const struct ft_members ours = {{7, 8}, {"left", "right"}}, others = {{7, 8}, {"right", "third"}},
                               with_third = {{7, 8}, {"left", "third"}};

/* A pair with an arbiter that has served in view 3. */
static void begin(unsigned role)
{
    tale_begin(&t, role, 3, false);
    t.config.members = ours;
    t.config.arbiter = t.config.keeps_views = true;
    t.hello.members = ours;
    tale_begin_anew(&t);
}

static void answered(enum ft_answer answer, uint64_t view, const struct ft_members *members)
{
    const struct ft_decision kept = {.any = true, .era = {view, 0}, .winner = "x", .members = *members};
    struct ft_event event = {
        .kind = FT_EV_ANSWER, .era = t.core.arbiter.asked.era, .answer = answer, .decision = &kept};

    event_happens(&t, &event);
}

static void is_stored(uint64_t view)
{
    struct ft_event event = {.kind = FT_EV_STORED, .view = view};

    event_happens(&t, &event);
}

static void take_for(const char *name, const char *lost)
{
    struct ft_event event = {.kind = FT_EV_REQUEST, .request = FT_REQUEST_REPAIR, .text = name, .lost = lost};

    event_happens(&t, &event);
}

static void take(const char *name)
{
    take_for(name, NULL);
}

/* SOLO in view 4, with a standby that has nothing. */
static void reach_solo(void)
{
    begin(0);
    connects(&t);
    hello_from(&t, FT_JOINING, 3);
    assert_int_equal(did(&t, FT_ACT_ASK)->question.era.view, 4); /* two empty members ask */
    assert_string_equal(did(&t, FT_ACT_ASK)->question.members.name[1], "right");
    answered(FT_ANSWER_WON, 4, &ours);
    assert_int_equal(did(&t, FT_ACT_STORE)->view, 4);
    is_stored(4);
    is(&t, FT_SOLO);
}

static void two_empty_members_wait_for_the_arbiter(void **unused)
{
    (void)unused;
    begin(0);
    connects(&t);
    hello_from(&t, FT_JOINING, 3);
    did(&t, FT_ACT_ASK);
    for (unsigned i = 0; i < 50; i++) {
        waits(&t, 10);
        hears_view(&t, FT_JOINING, 3);
        is(&t, FT_JOINING);
    }
    answered(FT_ANSWER_LOST, 9, &others); /* since they are members no more, both of them */
    is(&t, FT_JOINING);
    assert_false(t.core.member);
    assert_int_equal(did(&t, FT_ACT_VIEW)->view, 9);
    did(&t, FT_ACT_CLOSE);
}

/* The other one won era 7 of view 3, took over, and was lost with its disk: nobody knows of view 4. */
static void an_empty_view_is_none_that_may_have_begun(void **unused)
{
    const struct ft_decision kept = {.any = true, .era = {3, 7}, .winner = "right", .members = ours};

    (void)unused;
    begin(0);
    connects(&t);
    hello_from(&t, FT_JOINING, 3);
    assert_int_equal(did(&t, FT_ACT_ASK)->question.era.view, 4);
    assert_true(did(&t, FT_ACT_ASK)->question.empty);
    assert_false(ft_decides_anew(&kept, &did(&t, FT_ACT_ASK)->question));
    event_happens(&t, &(struct ft_event){.kind = FT_EV_ANSWER,
                                         .era = t.core.arbiter.asked.era,
                                         .answer = FT_ANSWER_LOST,
                                         .decision = &kept});
    is(&t, FT_JOINING);
    assert_int_equal(did(&t, FT_ACT_VIEW)->view, 4);
    assert_true(t.core.member);
    connects(&t);
    hello_from(&t, FT_JOINING, 4);
    for (unsigned i = 0; i < 200 && !t.core.arbiter.asking; i++) {
        waits(&t, 10);
        hears_view(&t, FT_JOINING, 4);
    }
    assert_true(t.core.arbiter.asking);
    assert_int_equal(t.core.arbiter.asked.era.view, 5);
    assert_true(ft_decides_anew(&kept, &t.core.arbiter.asked));
}

/* PROTECTED in view 1, with a file that has a spare. */
static void begin_strict(void)
{
    reach_protected(&t, true);
    t.core.config.spares = t.core.config.keeps_views = true;
    t.core.members = t.hello.members = ours;
}

/* Their files have a view and no name: it is of no shard that the arbiter knows, however late it is. */
static void a_later_view_of_no_shard_is_none_of_the_one_that_is_kept(void **unused)
{
    const struct ft_members nameless = {{0, 0}, {"left", "right"}},
                            kept_members = {{7, 8}, {"third", "with"}};
    const struct ft_decision kept = {.any = true, .era = {4, 0}, .winner = "third", .members = kept_members};

    (void)unused;
    tale_begin(&t, 0, 50, false);
    t.config.members = nameless;
    t.config.arbiter = t.config.keeps_views = true;
    t.hello.members = nameless;
    tale_begin_anew(&t);
    for (unsigned i = 0; i < 300 && !t.core.arbiter.asking; i++)
        waits(&t, 10);
    assert_true(t.core.arbiter.asked.look); /* it meets nobody */
    answered(FT_ANSWER_SILENT, 0, &nameless);
    connects(&t);
    hello_from(&t, FT_JOINING, 50);
    for (unsigned i = 0; i < 300 && t.core.arbiter.asked.era.view != 51; i++) {
        waits(&t, 10);
        hears_view(&t, FT_JOINING, 50);
    }
    assert_int_equal(t.core.arbiter.asked.era.view, 51);
    assert_false(ft_decides_anew(&kept, &t.core.arbiter.asked));
    assert_int_equal(ft_decided(&kept, &t.core.arbiter.asked, "left"), FT_ANSWER_LOST);
    answered(FT_ANSWER_LOST, 4, &kept_members);
    is(&t, FT_JOINING);
    assert_false(t.core.member);
    assert_int_equal(t.core.view, 4);
    assert_int_equal(t.core.stored, 0);
}

/* It holds the only state, and knows no name of its shard: another shard's node is not believed. */
static void a_state_of_no_named_shard_is_not_given_up_to_another_shards_node(void **unused)
{
    (void)unused;
    begin_strict();
    memset(t.core.members.shard, 0, sizeof(t.core.members.shard));
    loses(&t, FT_LOST_ERROR);
    waits(&t, 1000);
    is(&t, FT_DEGRADED);
    connects(&t);
    snprintf(t.hello.name, sizeof(t.hello.name), "third");
    t.hello.members = with_third;
    hello_from(&t, FT_JOINING, 9);
    is(&t, FT_DEGRADED);
    did(&t, FT_ACT_CLOSE);
    did_not(&t, FT_ACT_VIEW);
    assert_int_equal(t.core.view, 1);
}

/* The shard was deleted and made again with other nodes, and these two are back with their old files. */
static void the_arbiter_of_another_shard_lets_nobody_begin(void **unused)
{
    const struct ft_members made_again = {{9, 9}, {"third", "with"}};

    (void)unused;
    begin(0);
    connects(&t);
    hello_from(&t, FT_JOINING, 3);
    assert_false(did(&t, FT_ACT_ASK)->question.new_shard);
    answered(FT_ANSWER_LOST, 9, &made_again);
    is(&t, FT_JOINING);
    because(&t, "the arbiter keeps shard");
    assert_true(t.core.member); /* of a shard that nobody has ended as far as it knows */
    assert_int_equal(t.core.view, 3);
    did_not(&t, FT_ACT_STORE);
    did_not(&t, FT_ACT_VIEW);
    for (unsigned i = 0; i < 100; i++) {
        waits(&t, 10);
        hears_view(&t, FT_JOINING, 3);
        is(&t, FT_JOINING);
    }
}

static void another_shards_node_is_refused_before_its_view_is_believed(void **unused)
{
    (void)unused;
    begin(1);
    t.hello.members.shard[1] = 9;
    connects(&t);
    hello_from(&t, FT_SOLO, 50);
    said(&t, FT_MSG_REFUSE);
    because(&t, "shard");
    assert_int_equal(t.core.view, 3);
    assert_false(t.core.peer.known);
}

static void a_primary_gets_another_standby(void **unused)
{
    (void)unused;
    reach_solo();
    take("third");
    assert_int_equal(did(&t, FT_ACT_ASK)->question.era.view, 5);
    assert_int_equal(did(&t, FT_ACT_ASK)->question.era.number, 0);
    assert_memory_equal(&did(&t, FT_ACT_ASK)->question.members, &with_third, sizeof(with_third));
    hears(&t, FT_MSG_HEARTBEAT, FT_JOINING);
    did_not(&t, FT_ACT_CUT); /* no era begins before there is an answer */
    answered(FT_ANSWER_SILENT, 0, &ours);
    is(&t, FT_SOLO);
    answered(FT_ANSWER_WON, 5, &with_third);
    assert_int_equal(did(&t, FT_ACT_STORE)->view, 5);
    assert_memory_equal(&did(&t, FT_ACT_STORE)->members, &with_third, sizeof(with_third));
    assert_int_equal(t.core.view, 4); /* not before it is on the disk */
    did_not(&t, FT_ACT_VIEW);
    is_stored(5);
    assert_int_equal(did(&t, FT_ACT_VIEW)->view, 5);
    assert_string_equal(did(&t, FT_ACT_AIM)->name, "third");
    did(&t, FT_ACT_CLOSE);
    is(&t, FT_SOLO);
    assert_int_equal(t.core.peer.incarnation, 0); /* no notice of the old one's death counts */
}

static void a_view_that_the_arbiter_refuses_does_not_begin(void **unused)
{
    (void)unused;
    reach_solo();
    take("third");
    answered(FT_ANSWER_LOST, 9, &others);
    is(&t, FT_SOLO);
    assert_int_equal(t.core.view, 4);
    assert_int_equal(t.core.repair.step, FT_REPAIR_NONE);
    assert_non_null(strstr(t.core.repair.outcome, "view 9"));
}

static void a_node_that_is_no_member_says_so(void **unused)
{
    (void)unused;
    begin(0);
    t.config.members = others;
    tale_begin_anew(&t);
    assert_false(t.core.member);
    happens(&t, FT_EV_CONNECTED);
    assert_int_equal(said(&t, FT_MSG_HELLO)->view, 0);
    assert_true(said(&t, FT_MSG_HELLO)->joins);
    assert_string_equal(said(&t, FT_MSG_HELLO)->members.name[0], "");
}

/* A word of view 9 counts by who says it: one of its members; and not an old hello of one. */
static void who_hears_of_a_later_view_is_removed(void **unused)
{
    (void)unused;
    reach_solo();
    loses(&t, FT_LOST_ERROR);
    connects(&t);
    strcpy(t.hello.name, "third");
    t.hello.members = others;
    hello_of_old(&t, FT_SOLO, 9);
    is(&t, FT_SOLO);
    hello_from(&t, FT_SOLO, 9);
    is(&t, FT_JOINING);
    gate_is(&t, FT_GATE_SHUT);
    assert_false(t.core.member);
    assert_int_equal(t.core.view, 9);
}

static void who_joins_is_not_believed_about_views(void **unused)
{
    (void)unused;
    reach_solo();
    loses(&t, FT_LOST_ERROR);
    connects(&t);
    strcpy(t.hello.name, "third");
    memset(t.hello.members.name, 0, sizeof(t.hello.members.name));
    t.hello.joins = 1;
    hello_from(&t, FT_JOINING, 9);
    is(&t, FT_SOLO);
    assert_int_equal(t.core.view, 4);
    did(&t, FT_ACT_CLOSE); /* it is not the peer */
}

/* A spare that waits is one thing, a node that was removed and has not learnt it another. */
static void who_was_removed_and_says_that_it_is_a_member_is_told_from_a_spare(void **unused)
{
    struct ft_message hello = {.type = FT_MSG_HELLO, .state = FT_JOINING, .name = "third", .joins = 1};

    (void)unused;
    reach_solo();
    ft_core_visited(&t.core, t.now, &hello, &t.did);
    assert_int_equal(t.core.visitor.count, 1);
    assert_int_equal(t.core.former.count, 0);
    hello.joins = 0; /* its file has a view of which it is a member */
    hello.state = FT_DEGRADED;
    hello.view = 2;
    hello.members = others;
    ft_core_visited(&t.core, t.now, &hello, &t.did);
    assert_int_equal(t.core.visitor.count, 2);
    assert_int_equal(t.core.former.count, 1);
    assert_string_equal(t.core.former.name, "third");
    assert_int_equal(t.core.former.state, FT_DEGRADED);
    assert_int_equal(t.core.former.view, 2);
}

/* Neither its state nor its word to people changes by a node that is not its peer. */
static void another_node_that_differs_keeps_it_from_nothing(void **unused)
{
    (void)unused;
    begin(0);
    connects(&t);
    snprintf(t.hello.name, sizeof(t.hello.name), "third");
    memset(&t.hello.members, 0, sizeof(t.hello.members));
    t.hello.joins = 1;
    t.hello.lanes++;
    hello_from(&t, FT_JOINING, 0);
    said(&t, FT_MSG_REFUSE);
    did(&t, FT_ACT_CLOSE);
    assert_false(t.core.refused);
    assert_string_equal(t.core.differs, "");
    assert_non_null(strstr(did(&t, FT_ACT_STATE)->send.text, "node third differs: lanes"));
    connects(&t);
    snprintf(t.hello.name, sizeof(t.hello.name), "right");
    t.hello.members = ours;
    t.hello.joins = 0;
    hello_from(&t, FT_JOINING, 3);
    because(&t, "the peer differs: lanes");
    assert_true(t.core.refused);
}

/* A spare has no word on who is a member. */
static void a_spare_takes_no_member_for_a_removed_node(void **unused)
{
    struct ft_message hello = {.type = FT_MSG_HELLO, .state = FT_DEGRADED, .view = 9, .name = "right"};

    (void)unused;
    begin(0);
    t.config.members = others;
    tale_begin_anew(&t);
    hello.members = others;
    ft_core_visited(&t.core, t.now, &hello, &t.did);
    assert_int_equal(t.core.visitor.count, 1);
    assert_int_equal(t.core.former.count, 0);
}

/* Its machine may have been lost with its disk after it took over. */
static void a_blank_peer_is_no_answer_to_a_primary_that_waits(void **unused)
{
    (void)unused;
    reach_protected(&t, false);
    t.core.config.arbiter = true;
    loses(&t, FT_LOST_ERROR);
    is(&t, FT_DEGRADED);
    connects(&t);
    t.hello.joins = 1;
    t.hello.incarnation++;
    hello_from(&t, FT_JOINING, 0);
    is(&t, FT_DEGRADED);
    did(&t, FT_ACT_CLOSE);
    assert_false(t.core.peer.known);
}

/* And a blank node believes no view but one that a primary offers that is alone. */
static void a_blank_node_believes_an_offer_alone(void **unused)
{
    struct ft_message offer = {
        .type = FT_MSG_SNAPSHOT_BEGIN, .state = FT_DEGRADED, .view = 6, .members = ours};
    struct ft_event event = {.kind = FT_EV_MESSAGE, .message = &offer};

    (void)unused;
    begin(0);
    t.config.view = 0;
    tale_begin_anew(&t);
    connects(&t);
    hello_from(&t, FT_DEGRADED, 6);
    hears_view(&t, FT_DEGRADED, 6);
    assert_int_equal(t.core.view, 0);
    offer.sent = t.peer_now + 5000;
    offer.echo = t.sent;
    event_happens(&t, &event);
    assert_int_equal(t.core.view, 0);
    offer.state = FT_SOLO;
    offer.sent++;
    event_happens(&t, &event);
    is(&t, FT_SYNCING);
    assert_int_equal(did(&t, FT_ACT_VIEW)->view, 6);
}

/* ---- strict, without an arbiter ------------------------------------------------------------------- */

static void view_2_begins_with(const char *name)
{
    assert_int_equal(did(&t, FT_ACT_STORE)->view, 2);
    assert_int_equal(t.core.view, 1);
    did_not(&t, FT_ACT_VIEW);
    is_stored(2);
    assert_int_equal(did(&t, FT_ACT_VIEW)->view, 2);
    assert_true(ft_members_have(&did(&t, FT_ACT_VIEW)->members, name));
    assert_string_equal(did(&t, FT_ACT_AIM)->name, name);
    is(&t, FT_DEGRADED);
    because(&t, "strict: holding");
    did_not(&t, FT_ACT_GATE); /* it is shut */
    assert_int_equal(t.core.peer.incarnation, 0);
}

static void refused(const char *text)
{
    did_not(&t, FT_ACT_STORE);
    assert_int_equal(t.core.repair.step, FT_REPAIR_NONE);
    if (!strstr(t.core.repair.outcome, text))
        fail_msg("got '%s', expected '%s'", t.core.repair.outcome, text);
}

static void a_strict_primary_asks_its_standby_to_give_up(void **unused)
{
    (void)unused;
    begin_strict();
    take("third");
    said(&t, FT_MSG_ABANDON);
    gate_is(&t, FT_GATE_SHUT);
    did_not(&t, FT_ACT_STORE);
    hears(&t, FT_MSG_ABANDONED, FT_JOINING);
    view_2_begins_with("third");
}

/* It may have taken over, and have another standby of its own by now. */
static void time_does_not_release_a_strict_standby(void **unused)
{
    (void)unused;
    begin_strict();
    take("third");
    said(&t, FT_MSG_ABANDON);
    for (unsigned i = 0; i < 20; i++)
        waits(&t, 100);
    is(&t, FT_DEGRADED);
    refused("--lost");
    take("third");
    refused("--lost");
    take_for("third", "right");
    view_2_begins_with("third");
}

static void only_the_other_member_can_be_lost_and_not_while_it_answers(void **unused)
{
    (void)unused;
    begin_strict();
    take_for("third", "right");
    refused("answers, and is not lost");
    loses(&t, FT_LOST_ERROR);
    take_for("third", "third");
    refused("not the standby");
    t.core.config.spares = false;
    t.core.members.shard[0] = t.core.members.shard[1] = 0;
    take_for("third", "right");
    refused("no spare");
    t.core.config.spares = true;
    take_for("third", "right");
    view_2_begins_with("third");
}

/* Its machine may have been lost with its disk after it took over: a person knows. */
static void a_blank_standby_of_a_strict_pair_waits_for_a_person(void **unused)
{
    (void)unused;
    begin_strict();
    loses(&t, FT_LOST_ERROR);
    t.hello.joins = 1;
    t.hello.incarnation++;
    connects(&t);
    hello_from(&t, FT_JOINING, 0);
    did(&t, FT_ACT_CLOSE);
    is(&t, FT_DEGRADED);
    because(&t, "right comes without a view file");
    assert_false(t.core.peer.known);
    take_for("right", "right");
    view_2_begins_with("right");
    connects(&t);
    hello_from(&t, FT_JOINING, 0);
    assert_true(t.core.peer.known);
    did(&t, FT_ACT_CUT);
}

/* The other way round it is certain: its primary cannot go on without it. */
static void who_took_over_takes_another_standby_at_once(void **unused)
{
    (void)unused;
    reach_ready(&t, true);
    t.core.config.spares = true;
    t.core.members = ours;
    loses(&t, FT_LOST_EOF);
    is(&t, FT_DEGRADED);
    assert_int_equal(t.core.view, 2);
    take("third");
    assert_int_equal(did(&t, FT_ACT_STORE)->view, 3);
}

/* Its right had ended: its primary may have gone on with another one. */
static void a_state_that_was_kept_takes_nobody_without_a_word(void **unused)
{
    (void)unused;
    reach_ready(&t, true);
    t.core.config.spares = true;
    t.core.members = ours;
    loses(&t, FT_LOST_ERROR);
    for (unsigned i = 0; i < 200; i++) { /* a data port says that the primary lives */
        t.now += 5 * FT_MS;
        heartbeats(&t, 1);
        ticks(&t);
    }
    is(&t, FT_JOINING);
    request(&t, FT_REQUEST_PROMOTE);
    is(&t, FT_DEGRADED);
    take("third");
    refused("--lost");
}

/* One of two empty members may have been lost with its disk after it took over. */
static void an_empty_strict_node_does_not_begin_beside_a_blank_one(void **unused)
{
    (void)unused;
    tale_begin(&t, 0, 3, true);
    t.config.members = ours;
    t.config.spares = true;
    tale_begin_anew(&t);
    t.hello.members = ours;
    t.hello.joins = 1;
    connects(&t);
    hello_from(&t, FT_JOINING, 0);
    for (unsigned i = 0; i < 50; i++) {
        waits(&t, 10);
        hears_view(&t, FT_JOINING, 0);
        is(&t, FT_JOINING);
    }
    because(&t, "waits for promote");
    request(&t, FT_REQUEST_PROMOTE);
    is(&t, FT_DEGRADED);
    assert_int_equal(t.core.view, 5); /* the other one may have served in view 4 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_empty_members_wait_for_the_arbiter),
        cmocka_unit_test(an_empty_view_is_none_that_may_have_begun),
        cmocka_unit_test(a_later_view_of_no_shard_is_none_of_the_one_that_is_kept),
        cmocka_unit_test(a_state_of_no_named_shard_is_not_given_up_to_another_shards_node),
        cmocka_unit_test(the_arbiter_of_another_shard_lets_nobody_begin),
        cmocka_unit_test(another_shards_node_is_refused_before_its_view_is_believed),
        cmocka_unit_test(a_primary_gets_another_standby),
        cmocka_unit_test(a_view_that_the_arbiter_refuses_does_not_begin),
        cmocka_unit_test(a_node_that_is_no_member_says_so),
        cmocka_unit_test(who_hears_of_a_later_view_is_removed),
        cmocka_unit_test(who_joins_is_not_believed_about_views),
        cmocka_unit_test(who_was_removed_and_says_that_it_is_a_member_is_told_from_a_spare),
        cmocka_unit_test(another_node_that_differs_keeps_it_from_nothing),
        cmocka_unit_test(a_spare_takes_no_member_for_a_removed_node),
        cmocka_unit_test(a_blank_peer_is_no_answer_to_a_primary_that_waits),
        cmocka_unit_test(a_blank_node_believes_an_offer_alone),
        cmocka_unit_test(a_strict_primary_asks_its_standby_to_give_up),
        cmocka_unit_test(time_does_not_release_a_strict_standby),
        cmocka_unit_test(only_the_other_member_can_be_lost_and_not_while_it_answers),
        cmocka_unit_test(a_blank_standby_of_a_strict_pair_waits_for_a_person),
        cmocka_unit_test(who_took_over_takes_another_standby_at_once),
        cmocka_unit_test(a_state_that_was_kept_takes_nobody_without_a_word),
        cmocka_unit_test(an_empty_strict_node_does_not_begin_beside_a_blank_one),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_members", tests, NULL, NULL);
}
