/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core, called directly: what the two cores of tests/transcripts cannot tell, or not so exactly.
 * One core, and a peer played by the test: what the core hears, what it says, what becomes of it. Timing, ms:
 * heartbeat 10, lease 20, detect 50, promote within 100, solo after 200, resync deadline 2000, start alone
 * 300, drain 500.
 */
#include "ftcore/protocol/core.h"
#include "tests/help/message.h"
#include "tests/help/test.h"

#define IDENTITY "chain edge\nnat 203.0.113.1\n"

static struct {
    struct ft_core core;
    struct ft_core_config config;
    struct ft_actions did;   /* of the last step */
    uint64_t now, peer_now;  /* clocks of the two, ns */
    struct ft_message hello; /* the peer's, to be bent by the test */
    uint64_t closed, replayed;
    uint64_t sent; /* `sent` of the node's newest message */
} t;

/* The tale begins anew, with what the test has changed in its config. */
static void tale_begin_anew(void)
{
    ft_core_init(&t.core, &t.config, t.now, &t.did);
}

/* A node with the file's role and the view of its view file. The clock begins at 0. */
static void tale_begin(unsigned role, uint64_t view, bool strict)
{
    memset(&t, 0, sizeof(t));
    t.config = (struct ft_core_config){.lanes = 1,
                                       .role = (uint8_t)role,
                                       .strict = strict,
                                       .incarnation = 100 + role,
                                       .view = view,
                                       .identity = IDENTITY,
                                       .identity_len = sizeof(IDENTITY) - 1};
    t.config.heartbeat_ms = 10, t.config.lease_ms = 20, t.config.detect_ms = 50;
    t.config.promote_within_ms = 100, t.config.solo_after_ms = 200, t.config.resync_deadline_ms = 2000;
    t.config.start_alone_ms = 300, t.config.drain_ms = 500;
    strcpy(t.config.name, role ? "right" : "left");
    struct ft_core_config peer = t.config;

    strcpy(peer.name, role ? "left" : "right");
    peer.role = !role, peer.incarnation = 200;
    t.hello.type = FT_MSG_HELLO;
    message_hello(&t.hello, &peer);
    t.peer_now = 5000 * FT_MS;
    tale_begin_anew();
}

static void event_happens(struct ft_event *event)
{
    event->now = t.now;
    event->came = event->came ? event->came : t.now;
    ft_step(&t.core, event, &t.did);
    for (uint32_t i = 0; i < t.did.count; i++)
        if (t.did.list[i].kind == FT_ACT_SEND)
            t.sent = t.did.list[i].send.sent;
}

#define EVENT(...) event_happens(&(struct ft_event){__VA_ARGS__})

static void happens(enum ft_event_kind kind)
{
    EVENT(.kind = kind, .text = "replay differs at burst 7", .closed = {t.closed}, .replayed = {t.replayed});
}

static void reaches(enum ft_event_kind kind, uint64_t closed)
{
    t.closed = t.replayed = closed;
    happens(kind);
}

static void loses(enum ft_lost how)
{
    EVENT(.kind = FT_EV_LOST, .how = how);
}

static void heartbeats(uint64_t view)
{
    EVENT(.kind = FT_EV_PORT_HEARTBEAT, .view = view);
}

static void hear(struct ft_message m)
{
    m.sent = t.peer_now += 1000;
    EVENT(.kind = FT_EV_MESSAGE, .message = &m);
}

static void hears_at(enum ft_message_type type, enum ft_state state, uint64_t burst, uint64_t echo)
{
    hear((struct ft_message){.type = type,
                             .state = state,
                             .view = t.core.view,
                             .echo = echo,
                             .burst = {burst},
                             .replayed = {burst}});
}

/* A message of the peer in our view that echoes our newest one. */
static void hears(enum ft_message_type type, enum ft_state state)
{
    hears_at(type, state, 0, t.sent);
}

static void hears_view(enum ft_state state, uint64_t view)
{
    hear((struct ft_message){.type = FT_MSG_HEARTBEAT, .state = state, .view = view, .echo = t.sent});
}

/* The peer's hello, after it has had ours; `hello_of_old` echoes nothing. */
static void hello_from(enum ft_state state, uint64_t view)
{
    struct ft_message m = t.hello;

    m.state = state, m.view = view, m.echo = t.sent;
    hear(m);
}

static void hello_of_old(enum ft_state state, uint64_t view)
{
    struct ft_message m = t.hello;

    m.state = state, m.view = view, m.sent = 77;
    EVENT(.kind = FT_EV_MESSAGE, .message = &m);
}

static void hears_of_old(void)
{
    hear((struct ft_message){.type = FT_MSG_HEARTBEAT, .state = FT_PROTECTED, .view = 1});
}

static void sleeps(unsigned ms)
{
    t.now += ms * FT_MS;
}

/* Ends with the step in which the state changed, if that comes first: what it did can then be looked at. */
static void waits(unsigned ms)
{
    enum ft_state before = t.core.state;
    uint64_t until = t.now + ms * FT_MS;

    while (t.now < until && t.core.state == before) {
        sleeps(1);
        happens(FT_EV_TIME);
    }
}

/* ---- what came of the last step ------------------------------------------------------------------------ */

static void is(enum ft_state state)
{
    if (t.core.state != state)
        fail_msg("state %d (%s), expected %d", t.core.state, t.core.why, state);
}

static void because(const char *text)
{
    if (!strstr(t.core.why, text))
        fail_msg("why is '%s', expected '%s'", t.core.why, text);
}

static const struct ft_action *find(enum ft_action_kind kind, unsigned message)
{
    for (uint32_t i = t.did.count; i-- > 0;)
        if (t.did.list[i].kind == kind && (!message || t.did.list[i].send.type == message))
            return &t.did.list[i];
    return NULL;
}

static const struct ft_action *did(enum ft_action_kind kind)
{
    const struct ft_action *action = find(kind, 0);

    if (!action)
        fail_msg("action %d was not done (%s)", kind, t.core.why);
    return action;
}

static void did_not(enum ft_action_kind kind)
{
    if (find(kind, 0))
        fail_msg("action %d was done (%s)", kind, t.core.why);
}

static const struct ft_message *said(enum ft_message_type type)
{
    const struct ft_action *action = find(FT_ACT_SEND, type);

    if (!action)
        fail_msg("message %d was not sent (%s)", type, t.core.why);
    return &action->send;
}

static void gate_is(enum ft_gate gate)
{
    assert_int_equal(did(FT_ACT_GATE)->gate, gate);
}

static void connects(void)
{
    happens(FT_EV_CONNECTED);
    said(FT_MSG_HELLO);
}

/* A primary of view 1, PROTECTED: all up to burst 10 is stable. */
static void reach_protected(bool strict)
{
    tale_begin(0, 0, strict);
    connects();
    hello_from(FT_JOINING, 0);
    is(strict ? FT_DEGRADED : FT_SOLO);
    reaches(FT_EV_CUT, 5);
    hears(FT_MSG_HEARTBEAT, FT_SYNCING);
    happens(FT_EV_SNAPSHOT_SENT);
    reaches(FT_EV_LANES, 8);
    hears_at(FT_MSG_ACK, FT_SYNCING, 8, t.sent);
    is(FT_DEGRADED);
    assert_int_equal(did(FT_ACT_GATE)->lease_until, 0);
    reaches(FT_EV_GUARDED, 10);
    hears_at(FT_MSG_ACK, FT_READY, 10, t.sent);
    is(FT_PROTECTED);
}

/* A standby of view 1, READY: it holds, and has replayed, all up to burst 10. */
static void reach_ready(bool strict)
{
    enum ft_state primary = strict ? FT_DEGRADED : FT_SOLO;

    tale_begin(1, 0, strict);
    connects();
    hello_from(FT_JOINING, 0);
    hears_view(primary, 1);
    hears_at(FT_MSG_SNAPSHOT_BEGIN, primary, 5, t.sent);
    hears(FT_MSG_SNAPSHOT_END, primary);
    hears_at(FT_MSG_HOLDING, FT_DEGRADED, 10, t.sent);
    is(FT_SYNCING);
    reaches(FT_EV_LANES, 10);
    is(FT_READY);
    hears(FT_MSG_HEARTBEAT, FT_PROTECTED);
}

/* ---- meeting, and what is said of it --------------------------------------------------------------- */

/* A hello goes ahead of what is read of the connection before; the peer decides by that hello, and so must
 * we. */
TEST(who_was_heard_as_another_waits_to_be_heard)
{
    struct ft_event event = {.kind = FT_EV_CONNECTED};
    struct ft_message m;

    tale_begin(0, 1, false);
    connects();
    hello_from(FT_SOLO, 1);
    ft_core_hello(&t.core, t.now, &m); /* to its next process, that we are JOINING in view 1 */
    event.greeted = m.sent;
    hears_view(FT_SOLO, 3);
    loses(FT_LOST_EOF);
    assert_int_equal(t.core.view, 3);
    event_happens(&event);
    t.hello.incarnation = 201;
    hello_of_old(FT_JOINING, 3);
    hears_at(FT_MSG_HEARTBEAT, FT_JOINING, 0, m.sent); /* in view 3 it reigns over one in view 1 */
    is(FT_JOINING);
    hears_view(FT_JOINING, 3);
    is(FT_SOLO);
}

/* It serves on for the reason that it had, and says besides whom it refuses, and why. */
TEST(a_primary_says_in_what_its_standby_differs)
{
    reach_protected(false);
    loses(FT_LOST_EOF);
    is(FT_SOLO);
    connects();
    t.hello.lanes = 2;
    hello_from(FT_JOINING, 1);
    is(FT_SOLO);
    because("standby right lost: the peer closed the connection");
    assert_string_equal(t.core.differs, "lanes: left 1, right 2");
    assert_int_equal(did(FT_ACT_STATE)->event, FT_SAYS_REFUSED);
    assert_int_equal(did(FT_ACT_STATE)->send.state, FT_SOLO);
    assert_string_equal(did(FT_ACT_STATE)->send.text, "the peer differs: lanes: left 1, right 2");
    loses(FT_LOST_EOF);
    assert_string_equal(t.core.differs, "lanes: left 1, right 2"); /* as it was heard last */
    connects();
    t.hello.lanes = 1;
    hello_from(FT_JOINING, 1);
    assert_string_equal(t.core.differs, "");
}

/* ---- a standby, and its primary -------------------------------------------------------------------- */

/* What was replayed is told soon: a primary that waits for the standby to catch up has nothing to say that
 * could be answered. */
TEST(what_was_replayed_is_told_soon)
{
    reach_ready(false);
    t.closed = 12;
    happens(FT_EV_LANES);
    assert_int_equal(said(FT_MSG_ACK)->burst[0], 12);
    t.replayed = 11;
    happens(FT_EV_LANES);
    assert_int_equal(t.did.count, 0);
    t.now += 250000;
    happens(FT_EV_TIME);
    assert_int_equal(said(FT_MSG_ACK)->replayed[0], 11);
    t.replayed = 12;
    happens(FT_EV_LANES);
    assert_int_equal(t.did.count, 0);
    t.now += 250000;
    happens(FT_EV_LANES);
    assert_int_equal(said(FT_MSG_ACK)->replayed[0], 12);
    t.now += 250000;
    happens(FT_EV_TIME); /* all is told */
    assert_int_equal(t.did.count, 0);
}

/* A chunk of a delta, or a burst that waits for one of another lane: the primary may wait to hear that it
 * came. */
TEST(what_came_and_closed_nothing_is_answered_as_well)
{
    reach_ready(false);
    hears(FT_MSG_LOG, FT_PROTECTED);
    did_not(FT_ACT_SEND);
    reaches(FT_EV_LANES, 10);
    assert_int_equal(said(FT_MSG_ACK)->echo, t.peer_now);
    happens(FT_EV_LANES);
    did_not(FT_ACT_SEND);
}

TEST(a_snapshot_ends_once)
{
    reach_ready(false);
    hears(FT_MSG_SNAPSHOT_END, FT_PROTECTED);
    did_not(FT_ACT_ORDER);
}

TEST(what_lanes_reached_counts_before_the_event_that_tells_of_it)
{
    struct ft_event event = {.kind = FT_EV_LOST, .how = FT_LOST_EOF, .reached = true, .closed = {12}};

    reach_ready(false);
    event_happens(&event);
    assert_int_equal(did(FT_ACT_ORDER)->vector[0], 12); /* burst 10 was told before */
}

/* Its clock ran ahead, and nothing arrives. The standby may have its right still, and would take a connection
 * that is closed for our end. */
TEST(a_primary_whose_clock_ran_ahead_tells_its_standby_before_it_closes)
{
    reach_protected(false);
    sleeps(900);
    for (unsigned i = 0; i < 60 && !t.core.abandoning; i++) {
        waits(1);
        did_not(FT_ACT_CLOSE);
    }
    is(FT_DEGRADED);
    because("abandoning the connection: nothing arrives");
    hears(FT_MSG_ABANDONED, FT_JOINING);
    is(FT_SOLO);
}

/* A partition held HANDOVER back until the right had ended; what came behind it brought the right again. */
TEST(a_handover_that_came_late_is_taken)
{
    reach_ready(false);
    uint64_t before = t.sent;

    hears(FT_MSG_STEER, FT_PROTECTED);
    reaches(FT_EV_LANES, 12);
    sleeps(150);
    hears_at(FT_MSG_HEARTBEAT, FT_PROTECTED, 0, before);
    hears_at(FT_MSG_HANDOVER, FT_FENCED, 12, before);
    is(FT_READY);
    hears(FT_MSG_HEARTBEAT, FT_FENCED);
    waits(1);
    is(FT_SOLO);
    because("planned");
}

/* What the ports still held was executed, and no turn of the lanes told of it. */
TEST(who_goes_on_after_a_handover_has_what_was_drained)
{
    reach_protected(false);
    EVENT(.kind = FT_EV_REQUEST, .request = FT_REQUEST_HANDOVER);
    hears(FT_MSG_STEERED, FT_READY);
    reaches(FT_EV_DRAINED, 12);
    hears(FT_MSG_HEARTBEAT, FT_JOINING); /* it gave up */
    is(FT_SOLO);
    assert_int_equal(did(FT_ACT_ORDER)->vector[0], 12);
}

/* It was read after 45 ms of silence, and came 5 ms after the last word. */
TEST(what_is_read_late_puts_silence_off_by_when_it_came)
{
    uint64_t came;

    reach_ready(false);
    came = t.now + 5 * FT_MS;
    waits(45);
    EVENT(.kind = FT_EV_PORT_HEARTBEAT, .view = 1, .came = came);
    waits(9);
    is(FT_READY);
    waits(2);
    is(FT_SOLO);
    because("silence");
}

/* ---- members of a view ----------------------------------------------------------------------------- */

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
    assert_int_equal(ft_decided(&kept, &t.core.arbiter.asked, "left"), FT_ANSWER_LOST);
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
    assert_false(ft_decides_anew(&kept, &back));
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

/* ---- how long a silence makes a standby suspect its primary ---------------------------------------- */

/* A READY standby that measures what counts once it has listened for a second. The peer's lease is 20 ms. */
static void reach_listening(void)
{
    reach_ready(false);
    t.core.config.listen_ms = 1000;
}

static void primary_speaks(unsigned times, unsigned every_ms)
{
    for (unsigned i = 0; i < times; i++) {
        waits(every_ms);
        hears(FT_MSG_HEARTBEAT, FT_PROTECTED);
        is(FT_READY);
    }
}

static void suspects_after(unsigned ms)
{
    waits(ms - 1);
    is(FT_READY);
    waits(1);
    is(FT_SOLO);
    because("silence");
}

TEST(three_times_the_longest_silence)
{
    reach_listening();
    primary_speaks(1, 15);
    primary_speaks(200, 5);
    suspects_after(45);
}

TEST(both_that_end_at_once_are_judged_by_the_measure)
{
    reach_listening();
    for (unsigned i = 0; i < 240; i++) { /* the ports, and a millisecond later the link */
        waits(5);
        heartbeats(1);
        primary_speaks(1, 1);
    }
    waits(5);
    heartbeats(1); /* a last one, on its way when the primary died */
    suspects_after(40);
}

/* A standby that gets its processor every 8 ms takes over all the same. */
TEST(gaps_delay_to_detect_ms_at_most)
{
    reach_listening();
    primary_speaks(200, 5);
    for (unsigned i = 0; i < 6; i++) {
        sleeps(8);
        happens(FT_EV_TIME);
        is(FT_READY);
    }
    suspects_after(2);
}

static void reach_takeover(void)
{
    reach_listening();
    primary_speaks(200, 5);
    suspects_after(40);
    assert_int_equal(t.core.silence.false_takeovers, 0);
}

TEST(a_primary_that_speaks_again_soon_had_not_failed)
{
    reach_takeover();
    waits(9);
    hears_of_old();
    assert_int_equal(t.core.silence.false_takeovers, 1);
    waits(2);
    hears_of_old();
    assert_int_equal(t.core.silence.false_takeovers, 1);
    assert_int_equal(t.core.silence.longest, 49 * FT_MS);

    reach_takeover();
    waits(9);
    heartbeats(1);
    assert_int_equal(t.core.silence.false_takeovers, 1);
}

TEST(one_that_speaks_again_late_had_failed)
{
    reach_takeover();
    waits(20);
    hears_of_old();
    assert_int_equal(t.core.silence.false_takeovers, 0);
    assert_int_equal(t.core.silence.longest, 5 * FT_MS);
}

/* Nor does one that came in the very moment of the takeover. */
TEST(a_word_that_was_read_late_makes_no_takeover_false)
{
    for (unsigned late = 0; late < 2; late++) {
        reach_takeover();
        uint64_t came = t.now - late * 5 * FT_MS;

        waits(1);
        EVENT(.kind = FT_EV_PORT_HEARTBEAT, .view = 1, .came = came);
        assert_int_equal(t.core.silence.false_takeovers, 0);
    }
}

TEST(its_stalls_are_forgotten_after_ten_minutes)
{
    reach_listening();
    t.core.config.detect_most_ms = 80;
    primary_speaks(200, 5);
    sleeps(62);
    for (unsigned minute = 0; minute < 11; minute++)
        primary_speaks(60 * 200, 5);
    assert_int_equal(ft_core_detects(&t.core), 40 * FT_MS);
}

TEST(a_false_takeover_doubles_what_silence_has_to_be)
{
    reach_listening();
    t.core.config.detect_most_ms = 80;
    primary_speaks(200, 5);
    suspects_after(40);
    assert_int_equal(ft_core_doubled(&t.core), 0);
    waits(39); /* sooner than the most */
    hears_of_old();
    assert_int_equal(t.core.silence.false_takeovers, 1);
    assert_int_equal(ft_core_doubled(&t.core), 1);
    t.core.config.detect_most_ms = 5000; /* see more of it */
    memset(t.core.silence.of, 0, sizeof(t.core.silence.of));
    t.core.silence.longest = 0;
    assert_int_equal(ft_core_detects(&t.core), 100 * FT_MS);
    waits(3599 * 1000);
    assert_int_equal(ft_core_doubled(&t.core), 1);
    waits(1000);
    assert_int_equal(ft_core_doubled(&t.core), 0);
    assert_int_equal(ft_core_detects(&t.core), 50 * FT_MS);
}

/* It had failed, whatever it says now. */
TEST(a_primary_that_slept_for_long_was_taken_over_from_rightly)
{
    reach_protected(false);
    t.core.config.listen_ms = 1000;
    t.core.config.detect_most_ms = 80;
    sleeps(90);
    hears_view(FT_READY, t.core.view);
    hears_view(FT_SOLO, t.core.view + 1);
    is(FT_JOINING);
    assert_int_equal(t.core.fenced.count, 1);
    assert_int_equal(ft_core_doubled(&t.core), 0);
}
