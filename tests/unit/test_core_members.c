/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, called directly (tests/help/tale.h): members of a view, re-pairs, and the arbiter. */
#include "tests/help/tale.h"

static const struct ft_members ours = {{7, 8}, {"left", "right"}}, others = {{7, 8}, {"right", "third"}},
                               with_third = {{7, 8}, {"left", "third"}},
                               nameless = {{0, 0}, {"left", "right"}};

/* A pair with an arbiter that has served in view 3. */
static void begin(unsigned role)
{
    tale_begin(role, 3, false);
    t.config.members = ours;
    t.config.arbiter = t.config.keeps_views = true;
    t.hello.members = ours;
    tale_begin_anew();
}

static void answered(enum ft_answer answer, uint64_t view, const struct ft_members *members)
{
    const struct ft_decision kept = {.any = true, .era = {view, 0}, .winner = "x", .members = *members};
    EVENT(.kind = FT_EV_ANSWER, .era = t.core.arbiter.asked.era, .answer = answer, .decision = &kept);
}

static void is_stored(uint64_t view)
{
    EVENT(.kind = FT_EV_STORED, .view = view);
}

static void take_in(const char *name, const char *lost)
{
    EVENT(.kind = FT_EV_REQUEST, .request = FT_REQUEST_REPAIR, .text = name, .lost = lost);
}

/* SOLO in view 4, with a standby that has nothing. */
static void reach_solo(void)
{
    begin(0);
    connects();
    hello_from(FT_JOINING, 3);
    assert_int_equal(did(FT_ACT_ASK)->question.era.view, 4); /* two empty members ask */
    assert_string_equal(did(FT_ACT_ASK)->question.members.name[1], "right");
    answered(FT_ANSWER_WON, 4, &ours);
    assert_int_equal(did(FT_ACT_STORE)->view, 4);
    is_stored(4);
    is(FT_SOLO);
}

TEST(two_empty_members_wait_for_the_arbiter)
{
    begin(0);
    connects();
    hello_from(FT_JOINING, 3);
    did(FT_ACT_ASK);
    for (unsigned i = 0; i < 50; i++) {
        waits(10);
        hears_view(FT_JOINING, 3);
        is(FT_JOINING);
    }
    answered(FT_ANSWER_LOST, 9, &others); /* since they are members no more, both of them */
    is(FT_JOINING);
    assert_false(t.core.member);
    assert_int_equal(did(FT_ACT_VIEW)->view, 9);
    did(FT_ACT_CLOSE);
}

/* PROTECTED in view 1, with a file that has a spare. */
static void begin_strict(void)
{
    reach_protected(true);
    t.core.config.spares = t.core.config.keeps_views = true;
    t.core.members = t.hello.members = ours;
}

/* A pair with an arbiter, of a shard without a name. */
static void begin_nameless(uint64_t view)
{
    tale_begin(0, view, false);
    t.config.members = t.hello.members = nameless;
    t.config.arbiter = t.config.keeps_views = true;
    memcpy(t.config.new_shard, ours.shard, sizeof(ours.shard));
    tale_begin_anew();
    for (unsigned i = 0; i < 300 && !t.core.arbiter.asking; i++)
        waits(10);
}

/* Their files have a view and no name: it is of no shard that the arbiter knows, however late it is. */
TEST(a_later_view_of_no_shard_is_none_of_the_one_that_is_kept)
{
    const struct ft_members kept_members = {{7, 8}, {"third", "with"}};
    const struct ft_decision kept = {.any = true, .era = {4, 0}, .winner = "third", .members = kept_members};

    begin_nameless(50);
    assert_true(t.core.arbiter.asked.look); /* it meets nobody */
    answered(FT_ANSWER_SILENT, 0, &nameless);
    connects();
    hello_from(FT_JOINING, 50);
    for (unsigned i = 0; i < 300 && t.core.arbiter.asked.era.view != 51; i++) {
        waits(10);
        hears_view(FT_JOINING, 50);
    }
    assert_int_equal(t.core.arbiter.asked.era.view, 51);
    assert_false(ft_decides_anew(&kept, &t.core.arbiter.asked));
    assert_int_equal(ft_decided(&kept, &t.core.arbiter.asked, "left", false), FT_ANSWER_LOST);
    answered(FT_ANSWER_LOST, 4, &kept_members);
    is(FT_JOINING);
    assert_false(t.core.member);
    assert_int_equal(t.core.view, 4);
    assert_int_equal(t.core.stored, 0);
}

/* The arbiter knows members of an earlier shard by it, however late their view is. */
TEST(a_node_that_begins_alone_names_its_shard)
{
    const struct ft_question back = {.era = {50, 1}, .members = {{9, 9}, {"left", "right"}}};
    struct ft_decision kept = {.any = false};

    begin_nameless(0);
    kept = ft_decision_of(&kept, &did(FT_ACT_ASK)->question, "left");
    assert_memory_equal(&kept.members, &ours, sizeof(ours));
    answered(FT_ANSWER_WON, 0, &kept.members);
    assert_memory_equal(did(FT_ACT_STORE)->members.shard, ours.shard, sizeof(ours.shard));
    is_stored(1);
    is(FT_SOLO);
    assert_false(ft_decides_anew(&kept, &back));
    assert_int_equal(ft_decided(&kept, &back, "right", false), FT_ANSWER_LOST);
}

/* A person let it begin, since who began alone is lost for good; it never met that node, so it has no name.
 */
TEST(a_node_that_was_promoted_empty_learns_its_shards_name_when_it_asks)
{
    begin_nameless(0);
    t.core.arbiter.asking = false;
    EVENT(.kind = FT_EV_REQUEST, .request = FT_REQUEST_PROMOTE);
    waits(10);
    is_stored(1);
    is(FT_SOLO);
    take_in("third", NULL);
    assert_true(did(FT_ACT_ASK)->question.new_shard);
    answered(FT_ANSWER_LOST, 1, &ours);
    assert_memory_equal(did(FT_ACT_STORE)->members.shard, ours.shard, sizeof(ours.shard));
    assert_int_equal(did(FT_ACT_STORE)->view, t.core.view);
    assert_false(did(FT_ACT_ASK)->question.new_shard); /* it asks again, by the name */
    assert_memory_equal(did(FT_ACT_ASK)->question.members.shard, ours.shard, sizeof(ours.shard));
    answered(FT_ANSWER_LOST, 1, &ours); /* once */
    assert_int_equal(t.core.repair.step, FT_REPAIR_NONE);
}

/* The shard was deleted and made again with other nodes, and these two are back with their old files. */
TEST(the_arbiter_of_another_shard_lets_nobody_begin)
{
    const struct ft_members made_again = {{9, 9}, {"third", "with"}};

    begin(0);
    connects();
    hello_from(FT_JOINING, 3);
    assert_false(did(FT_ACT_ASK)->question.new_shard);
    answered(FT_ANSWER_LOST, 9, &made_again);
    is(FT_JOINING);
    because("the arbiter keeps shard");
    assert_true(t.core.member); /* of a shard that nobody has ended as far as it knows */
    assert_int_equal(t.core.view, 3);
    did_not(FT_ACT_STORE);
    did_not(FT_ACT_VIEW);
    for (unsigned i = 1; i < 100; i++) { /* it asks again after a while, and says nothing new of it */
        waits(10);
        hears_view(FT_JOINING, 3);
        is(FT_JOINING);
        because("the arbiter keeps shard");
        assert_int_equal(t.core.arbiter.asking, i >= 20);
    }
}

/* One that was protected holds, and does not go on alone; a standby gives up its right, and keeps what it
 * has. */
TEST(the_arbiter_of_another_shard_lets_nobody_go_on)
{
    const struct ft_members made_again = {{9, 9}, {"left", "right"}};

    for (unsigned standby = 0; standby < 2; standby++) {
        if (standby)
            reach_ready(false);
        else
            reach_protected(false);
        t.core.config.arbiter = true;
        t.core.members = ours;
        for (unsigned i = 0; i < 100 && !t.core.arbiter.asking; i++)
            waits(10);
        assert_true(t.core.arbiter.asking);
        answered(FT_ANSWER_LOST, 9, &made_again);
        because("the arbiter keeps shard");
        for (unsigned i = 0; i < 100; i++) {
            is(standby ? FT_JOINING : FT_DEGRADED);
            assert_int_equal(t.core.view, 1);
            waits(10);
        }
        assert_int_equal(t.core.kept, standby);
        assert_int_equal(t.core.arbiter.lost, !standby);
    }
}

TEST(another_shards_node_is_refused_before_its_view_is_believed)
{
    begin(1);
    t.hello.members.shard[1] = 9;
    connects();
    hello_from(FT_SOLO, 50);
    said(FT_MSG_REFUSE);
    because("shard");
    assert_int_equal(t.core.view, 3);
    assert_false(t.core.peer.known);
}

TEST(a_primary_gets_another_standby)
{
    reach_solo();
    take_in("third", NULL);
    assert_int_equal(did(FT_ACT_ASK)->question.era.view, 5);
    assert_int_equal(did(FT_ACT_ASK)->question.era.number, 0);
    assert_memory_equal(&did(FT_ACT_ASK)->question.members, &with_third, sizeof(with_third));
    hears(FT_MSG_HEARTBEAT, FT_JOINING);
    did_not(FT_ACT_CUT); /* no era begins before there is an answer */
    answered(FT_ANSWER_SILENT, 0, &ours);
    is(FT_SOLO);
    answered(FT_ANSWER_WON, 5, &with_third);
    assert_int_equal(did(FT_ACT_STORE)->view, 5);
    assert_memory_equal(&did(FT_ACT_STORE)->members, &with_third, sizeof(with_third));
    assert_int_equal(t.core.view, 4); /* not before it is on the disk */
    did_not(FT_ACT_VIEW);
    is_stored(5);
    assert_int_equal(did(FT_ACT_VIEW)->view, 5);
    assert_string_equal(did(FT_ACT_AIM)->name, "third");
    did(FT_ACT_CLOSE);
    is(FT_SOLO);
    assert_int_equal(t.core.peer.incarnation, 0); /* no notice of the old one's death counts */
}

TEST(a_view_that_the_arbiter_refuses_does_not_begin)
{
    reach_solo();
    take_in("third", NULL);
    answered(FT_ANSWER_LOST, 9, &others);
    is(FT_SOLO);
    assert_int_equal(t.core.view, 4);
    assert_int_equal(t.core.repair.step, FT_REPAIR_NONE);
    assert_non_null(strstr(t.core.repair.outcome, "view 9"));
}

TEST(a_node_that_is_no_member_says_so)
{
    begin(0);
    t.config.members = others;
    tale_begin_anew();
    assert_false(t.core.member);
    happens(FT_EV_CONNECTED);
    assert_int_equal(said(FT_MSG_HELLO)->view, 0);
    assert_true(said(FT_MSG_HELLO)->joins);
    assert_string_equal(said(FT_MSG_HELLO)->members.name[0], "");
}

/* A word of view 9 counts by who says it: one of its members; and not an old hello of one. */
TEST(who_hears_of_a_later_view_is_removed)
{
    reach_solo();
    loses(FT_LOST_ERROR);
    connects();
    strcpy(t.hello.name, "third");
    t.hello.members = others;
    hello_of_old(FT_SOLO, 9);
    is(FT_SOLO);
    hello_from(FT_SOLO, 9);
    is(FT_JOINING);
    gate_is(FT_GATE_SHUT);
    assert_false(t.core.member);
    assert_int_equal(t.core.view, 9);
}

/* A spare that waits is one thing, a node that was removed and has not learnt it another. */
TEST(who_was_removed_and_says_that_it_is_a_member_is_told_from_a_spare)
{
    struct ft_message hello = {.type = FT_MSG_HELLO, .state = FT_JOINING, .name = "third", .joins = 1};

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
TEST(another_node_that_differs_keeps_it_from_nothing)
{
    begin(0);
    connects();
    snprintf(t.hello.name, sizeof(t.hello.name), "third");
    memset(&t.hello.members, 0, sizeof(t.hello.members));
    t.hello.joins = 1;
    t.hello.lanes++;
    hello_from(FT_JOINING, 0);
    said(FT_MSG_REFUSE);
    did(FT_ACT_CLOSE);
    assert_false(t.core.refused);
    assert_string_equal(t.core.differs, "");
    assert_non_null(strstr(did(FT_ACT_STATE)->send.text, "node third differs: lanes"));
    connects();
    snprintf(t.hello.name, sizeof(t.hello.name), "right");
    t.hello.members = ours;
    t.hello.joins = 0;
    hello_from(FT_JOINING, 3);
    because("the peer differs: lanes");
    assert_true(t.core.refused);
}

/* And a blank node believes no view but one that a primary offers that is alone. */
TEST(a_blank_node_believes_an_offer_alone)
{
    struct ft_message offer = {
        .type = FT_MSG_SNAPSHOT_BEGIN, .state = FT_DEGRADED, .view = 6, .members = ours};
    struct ft_event event = {.kind = FT_EV_MESSAGE, .message = &offer};

    begin(0);
    t.config.view = 0;
    tale_begin_anew();
    connects();
    hello_from(FT_DEGRADED, 6);
    hears_view(FT_DEGRADED, 6);
    assert_int_equal(t.core.view, 0);
    offer.sent = t.peer_now + 5000;
    offer.echo = t.sent;
    event_happens(&event);
    assert_int_equal(t.core.view, 0);
    offer.state = FT_SOLO;
    offer.sent++;
    event_happens(&event);
    is(FT_SYNCING);
    assert_int_equal(did(FT_ACT_VIEW)->view, 6);
}

static void view_2_begins_with(const char *name)
{
    assert_int_equal(did(FT_ACT_STORE)->view, 2);
    assert_int_equal(t.core.view, 1);
    did_not(FT_ACT_VIEW);
    is_stored(2);
    assert_int_equal(did(FT_ACT_VIEW)->view, 2);
    assert_true(ft_members_have(&did(FT_ACT_VIEW)->members, name));
    assert_string_equal(did(FT_ACT_AIM)->name, name);
    is(FT_DEGRADED);
    because("strict: holding");
    did_not(FT_ACT_GATE); /* it is shut */
    assert_int_equal(t.core.peer.incarnation, 0);
}

static void repair_refused(const char *text)
{
    did_not(FT_ACT_STORE);
    assert_int_equal(t.core.repair.step, FT_REPAIR_NONE);
    if (!strstr(t.core.repair.outcome, text))
        fail_msg("got '%s', expected '%s'", t.core.repair.outcome, text);
}

/* It may have taken over, and have another standby of its own by now. */
TEST(time_does_not_release_a_strict_standby)
{
    begin_strict();
    take_in("third", NULL);
    said(FT_MSG_ABANDON);
    for (unsigned i = 0; i < 20; i++)
        waits(100);
    is(FT_DEGRADED);
    repair_refused("--lost");
    take_in("third", NULL);
    repair_refused("--lost");
    take_in("third", "right");
    view_2_begins_with("third");
}

TEST(only_the_other_member_can_be_lost_and_not_while_it_answers)
{
    begin_strict();
    take_in("third", "right");
    repair_refused("answers, and is not lost");
    loses(FT_LOST_ERROR);
    take_in("third", "third");
    repair_refused("not the standby");
    t.core.config.spares = false;
    t.core.members.shard[0] = t.core.members.shard[1] = 0;
    take_in("third", "right");
    repair_refused("no spare");
    t.core.config.spares = true;
    take_in("third", "right");
    view_2_begins_with("third");
}

/* Its machine may have been lost with its disk after it took over: a person knows. */
TEST(a_blank_standby_of_a_strict_pair_waits_for_a_person)
{
    begin_strict();
    loses(FT_LOST_ERROR);
    t.hello.joins = 1;
    t.hello.incarnation++;
    connects();
    hello_from(FT_JOINING, 0);
    did(FT_ACT_CLOSE);
    is(FT_DEGRADED);
    because("right comes without a view file");
    assert_false(t.core.peer.known);
    take_in("right", "right");
    view_2_begins_with("right");
    connects();
    hello_from(FT_JOINING, 0);
    assert_true(t.core.peer.known);
    did(FT_ACT_CUT);
}

TEST(a_strict_primary_asks_its_standby_to_give_up)
{
    begin_strict();
    take_in("third", NULL);
    said(FT_MSG_ABANDON);
    gate_is(FT_GATE_SHUT);
    did_not(FT_ACT_STORE);
    hears(FT_MSG_ABANDONED, FT_JOINING);
    view_2_begins_with("third");
}

/* One of two empty members may have been lost with its disk after it took over. */
TEST(an_empty_strict_node_does_not_begin_beside_a_blank_one)
{
    tale_begin(0, 3, true);
    t.config.members = ours;
    t.config.spares = true;
    tale_begin_anew();
    t.hello.members = ours;
    t.hello.joins = 1;
    connects();
    hello_from(FT_JOINING, 0);
    for (unsigned i = 0; i < 50; i++) {
        waits(10);
        hears_view(FT_JOINING, 0);
        is(FT_JOINING);
    }
    because("waits for promote");
    EVENT(.kind = FT_EV_REQUEST, .request = FT_REQUEST_PROMOTE);
    is(FT_DEGRADED);
    assert_int_equal(t.core.view, 5); /* the other one may have served in view 4 */
}
