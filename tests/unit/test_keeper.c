/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each end of a keeper by itself: what shares a datagram, which bursts are given, whom a keeper believes and
 * asks, what is sent again and what may have left. Both ends together, with nodes and keepers that die and a
 * network that loses, are the simulation's (tests/sim/keeper.c, make sim KIND=keeper).
 */
#include "tests/help/test.h"

#define UNDERSTUDY_PLANT
#include "understudy/keeper/front.c"

#include "understudy/keeper/port.h"

#include <sys/wait.h>

#define NODES 2u
#define FRAME 200u

/* The first one: this process has not asked its environment yet. */
static void the_planted_bug_is_found(void **state);
TEST_LIST(planted_bug_first, "the_planted_bug_is_found", the_planted_bug_is_found, NULL, NULL, NULL)

static const uint8_t *bytes_of(void *ctx, void *owner)
{
    return owner;
}

static void say_nothing(void *ctx, unsigned keeper, const struct kp_message *m) {}

static void count_drop(void *ctx, void *owner)
{
    ++*(unsigned *)ctx;
}

/* Messages that share a datagram come out as they went in, as many as fit; no other kind, view or process is
 * among them. Cut short or altered, it is refused. */
TEST(messages_share_a_datagram)
{
    static uint8_t key[32] = {7}, datagram[KP_HEAD_BYTES + 2048], copy[sizeof(datagram)], frames[20][100];
    struct kp_keys keys = {.count = 0};
    struct kp_message m = {.kind = KP_INPUT,
                           .from = 5,
                           .to = 9,
                           .serial = 3,
                           .view = 2,
                           .len = 100,
                           .have = 100,
                           .burst = 8,
                           .count = 20,
                           .seq = 40,
                           .time = 77,
                           .number = 6};
    struct kp_message other, got;
    size_t len = 0, room = 1600;
    unsigned n = 0, out = 1;

    kp_keys_add(&keys, key, sizeof(key));
    for (; n < 20; n++) {
        memset(frames[n], (int)n + 1, sizeof(frames[n]));
        m.frame = frames[n];
        m.index = (uint8_t)n;
        m.port = n % 2;
        if (n == 0)
            len = kp_begin(&m, datagram);
        else if (!kp_add(&m, datagram, &len, room))
            break;
        m.seq++;
    }
    assert_int_equal(n, 1 + (room - KP_HEAD_BYTES - 100) / (KP_PART_BYTES + 100)); /* as many as fit */
    room = sizeof(datagram);
    other = m;
    other.view++;
    assert_false(kp_add(&other, datagram, &len, room));
    other = m;
    other.to++;
    assert_false(kp_add(&other, datagram, &len, room));
    other = m;
    other.kind = KP_OUTPUT;
    assert_false(kp_add(&other, datagram, &len, room));
    other = (struct kp_message){.kind = KP_ASK, .from = 5, .to = 9, .view = 2};
    assert_false(kp_add(&other, datagram, &len, room));
    kp_sign(datagram, len, &keys);

    memcpy(copy, datagram, len);
    assert_int_equal(kp_decode(copy, len, &keys, &got), 0);
    assert_int_equal(got.have, 100);
    do {
        assert_int_equal(got.index, out - 1);
        assert_int_equal(got.port, (out - 1) % 2);
        assert_true(got.from == 5 && got.to == 9 && got.view == 2 && got.burst == 8 && got.time == 77);
        assert_true(got.number == 6 && got.seq == 39 + out && got.count == 20 && got.len == 100);
        assert_memory_equal(got.frame, frames[out - 1], 100);
    } while (kp_next(&got) && ++out);
    assert_int_equal(out, n);
    for (size_t cut = KP_HEAD_BYTES; cut < len; cut++) { /* signed by who has the key, and malformed */
        memcpy(copy, datagram, cut);
        kp_sign(copy, cut, &keys);
        if (kp_decode(copy, cut, &keys, &got) != 0)
            continue;
        for (out = 1; kp_next(&got); out++)
            assert_true(got.frame + got.have <= copy + cut);
        assert_true(out < n);
    }
    memcpy(copy, datagram, len);
    copy[len - 1] ^= 1;
    assert_int_equal(kp_decode(copy, len, &keys, &got), FT_EPERM);
}

/* A burst is given under the numbers that the lane goes on with, or not at all. */
TEST(a_burst_of_other_numbers_is_not_given)
{
    const struct kp_progress at = {.burst = 7, .seq = 40, .time = 1000};
    struct kp_message m = {.kind = KP_INPUT,
                           .from = 5,
                           .to = 9,
                           .view = 3,
                           .len = 60,
                           .have = 60,
                           .burst = 8,
                           .count = 2,
                           .seq = 41,
                           .time = 1100};
    unsigned drops = 0;
    struct kp_port port = {
        .ctx = &drops, .ports = 2, .send = say_nothing, .bytes = bytes_of, .drop = count_drop};
    const struct kp_slot *slot;
    char frame[2];

    assert_int_equal(kp_port_open(&port, 9), 0);
    kp_port_begin(&port, 3, &at, 0);
    assert_int_equal(kp_port_take(&port, 0, &m, &frame[0], 0), KP_KEPT); /* it begins at 41 */
    m.index = 1;
    assert_int_equal(kp_port_take(&port, 0, &m, &frame[1], 0), KP_DONE); /* at 40 */
    assert_int_equal(port.refused, 1);
    m.seq = 42;
    m.time++;
    assert_int_equal(kp_port_take(&port, 0, &m, &frame[1], 0), KP_DONE); /* another time */
    assert_int_equal(port.refused, 2);
    m.time--;
    assert_int_equal(kp_port_take(&port, 0, &m, &frame[1], 0), KP_KEPT);
    assert_null(kp_port_give(&port));
    assert_true(port.refused == 3 && drops == 2 && port.missing == 8);
    for (m.index = 0; m.index < 2; m.index++) { /* it comes again, and rightly */
        m.seq = 40 + m.index;
        assert_int_equal(kp_port_take(&port, 0, &m, &frame[m.index], 0), KP_KEPT);
    }
    assert_true((slot = kp_port_give(&port)) && slot->seq == 40);
    assert_int_equal(port.seq, 42);
    kp_port_close(&port);
}

/* ---- one end at a time ----------------------------------------------------------------------- */

static unsigned asked[NODES], fed[NODES]; /* what the keeper sent */

static void count_said(void *ctx, unsigned node, const struct kp_message *m)
{
    asked[node] += m->kind == KP_ASK;
    fed[node] += m->kind == KP_INPUT;
}

static bool leave_nowhere(void *ctx, unsigned port, const uint8_t *frame, uint32_t len)
{
    return true;
}

#define KEEPER 77u /* its incarnation */
#define MS     1000000u

static struct kp_front front;

static void close_front(void *opened)
{
    kp_front_close(opened);
}

/* It is closed behind the test. */
static void open_alone(void)
{
    const struct kp_front_config config = {.inputs = 2048,
                                           .bursts = 1024,
                                           .frame_max = FRAME,
                                           .nodes = NODES,
                                           .incarnation = KEEPER,
                                           .send = count_said,
                                           .leave = leave_nowhere};

    assert_int_equal(kp_front_open(&front, &config), 0);
    HELP_OWNED(&front, close_front);
    memset(asked, 0, sizeof(asked));
    memset(fed, 0, sizeof(fed));
}

/* A node's process says that it is primary in `view`, behind burst `burst` without inputs; its `right`. */
static uint8_t right = KP_MAY;
static void says_primary(unsigned node, uint64_t process, uint64_t view, uint64_t burst, uint64_t now)
{
    static uint64_t serial;

    kp_front_take(&front, node,
                  &(struct kp_message){.kind = KP_STATE,
                                       .from = process,
                                       .to = front.config.incarnation,
                                       .serial = ++serial,
                                       .view = view,
                                       .flags = right,
                                       .burst = burst,
                                       .seq = 1,
                                       .missing = burst + 1},
                  now);
}

/* Bursts that nobody answers are sent again and again; a process that begins in the primary's place is
 * asked all the same, and does not speak before. */
TEST(a_node_that_is_fed_is_asked_as_well)
{
    open_alone();
    says_primary(0, 10, 1, 0, MS);
    for (unsigned i = 0; i < 300; i++)
        kp_front_cut(&front, MS);
    for (uint64_t now = MS; now < 101 * MS; now += MS / 2)
        kp_front_turn(&front, now);
    assert_true(fed[0] > 400);
    assert_true(asked[0] >= 19 && asked[0] <= 21 && asked[1] >= 19 && asked[1] <= 21);
}

/* Each ms until then node 0 says that it is primary in view 1. */
static void hears_view_1(uint64_t *now, uint64_t until)
{
    for (; *now < until; *now += MS) {
        kp_front_turn(&front, *now);
        says_primary(0, 20, 1, 0, *now);
    }
}

/* Nodes have forgotten view 2, or its machine is lost; not before the one of view 1 has the right to release.
 */
TEST(a_lower_view_is_believed_after_a_long_silence)
{
    uint64_t now = MS;

    open_alone();
    says_primary(1, 10, 2, 0, now);
    hears_view_1(&now, 990 * MS);
    says_primary(1, 10, 2, 0, now); /* there it is */
    hears_view_1(&now, 1980 * MS);
    assert_int_equal(front.primary, 1);
    right = 0;
    hears_view_1(&now, 3000 * MS);
    assert_int_equal(front.primary, 1);
    right = KP_MAY;
    hears_view_1(&now, 3002 * MS);
    assert_true(front.primary == 0 && front.view == 1);
}

/* A keeper that slept itself has asked nobody meanwhile. */
TEST(its_own_sleep_is_nobodys_silence)
{
    open_alone();
    says_primary(1, 10, 2, 0, MS);
    kp_front_turn(&front, 2 * MS);
    kp_front_turn(&front, 5000ull * MS);
    says_primary(0, 20, 1, 0, 5000ull * MS);
    assert_int_equal(front.primary, 1);
}

/* Both nodes were empty, and the view that one of them had not stored begins once more. */
TEST(the_next_process_begins_the_same_view_anew)
{
    open_alone();
    says_primary(1, 10, 2, 40, MS);
    assert_int_equal(front.next, 41);
    says_primary(1, 11, 2, 0, 2 * MS);
    assert_true(front.next == 1 && front.count.begun == 2);
    says_primary(0, 20, 2, 0, 3 * MS); /* no other node can have that view */
    assert_int_equal(front.primary, 1);
}

static struct kp_port *reached; /* a node's end that hears what the keeper says to node 0; NULL: none does */

static void say_to_reached(void *ctx, unsigned node, const struct kp_message *m)
{
    static uint8_t buffer;

    if (node == 0 && reached)
        kp_port_take(reached, 0, m, &buffer, 0);
}

static void cut_one(uint64_t now)
{
    uint8_t frame[60];

    memset(frame, (int)now, sizeof(frame));
    kp_front_add(&front, 0, frame, sizeof(frame));
    kp_front_cut(&front, now);
    kp_front_turn(&front, now);
}

/* A node that was primary before, and is again, has bursts of the numbers that are over. */
TEST(numbers_that_begin_anew_are_not_mixed_with_those_before)
{
    const struct kp_progress at = {.burst = 0, .seq = 1};
    unsigned drops = 0;
    struct kp_port port = {
        .ctx = &drops, .ports = 2, .send = say_nothing, .bytes = bytes_of, .drop = count_drop};
    const struct kp_slot *slot;

    open_alone();
    front.config.send = say_to_reached;
    assert_int_equal(kp_port_open(&port, 10), 0);
    kp_port_begin(&port, 1, &at, 0);
    says_primary(0, 10, 1, 0, 10 * MS);
    reached = &port;
    for (uint64_t now = 11; now < 13; now++)
        cut_one(now * MS);
    assert_int_equal(port.missing, 3);
    reached = NULL;
    says_primary(1, 20, 2, 70, 20 * MS); /* another state, which is lost soon */
    assert_int_equal(front.count.begun, 2);
    for (uint64_t now = 30 * MS; now < 2000ull * MS; now += MS)
        kp_front_turn(&front, now);
    says_primary(0, 10, 1, 0, 2000ull * MS);
    assert_int_equal(front.count.begun, 3);
    reached = &port;
    for (uint64_t now = 2000; now < 2002; now++)
        cut_one(now * MS);
    for (uint64_t now = 2000; now < 2002; now++)
        assert_true((slot = kp_port_give(&port)) && slot->time == now * MS);
    kp_port_close(&port);
}

static uint64_t numbers[8]; /* of outputs that a node sent, in their views */
static unsigned sents;

static void note_sent(void *ctx, unsigned keeper, const struct kp_message *m)
{
    if (m->kind == KP_OUTPUT)
        numbers[sents++ % 8] = m->number + 100 * m->view;
}

static void drop_nothing(void *ctx, void *owner)
{
    ++*(unsigned *)ctx;
}

/* Another node becomes a member, or a handover is taken back: a view begins in the midst of a reign. */
TEST(a_lane_that_goes_on_in_another_view_sends_again_what_has_not_left)
{
    static uint8_t frame[FRAME];
    unsigned drops = 0;
    struct kp_port port = {
        .ctx = &drops, .ports = 2, .send = note_sent, .bytes = bytes_of, .drop = drop_nothing};
    struct kp_message ask = {
        .kind = KP_ASK, .flags = KP_AGAIN, .from = KEEPER, .to = 10, .serial = 1, .view = 1};
    struct kp_progress at = {.burst = 4, .seq = 9, .outputs = 6};

    sents = 0;
    assert_int_equal(kp_port_open(&port, 10), 0);
    kp_port_begin(&port, 1, &at, 0);
    kp_port_take(&port, 0, &ask, NULL, 0);
    for (uint64_t n = 5; n <= 6; n++)
        assert_true(kp_port_hand(
            &port, &(struct kp_output){.number = n, .burst = 4, .owner = frame, .len = 60, .have = 60}));
    kp_port_begin(&port, 2, &at, 0);
    assert_int_equal(drops, 0);
    ask.view = ask.serial = 2;
    ask.number = 5;
    kp_port_take(&port, 0, &ask, NULL, 0);
    assert_true(drops == 1 && sents == 3 && numbers[2] == 206);
    at.burst = 3; /* another state */
    kp_port_begin(&port, 3, &at, 0);
    assert_int_equal(drops, 2);
    kp_port_close(&port);
}

/* Of two: a successor gives its word on to a keeper, unsure whether the other one was active since. What may
 * have left by that one, outputs up to 6, does not leave by this one. */
static bool what_may_have_left_is_skipped(void)
{
    struct kp_message word = {
        .kind = KP_WORD, .from = 10, .view = 1, .before = 1, .time = MS, .flags = KP_YOURS};
    struct kp_message state = {.kind = KP_STATE, .view = 1, .seq = 1, .missing = 1};
    bool skipped;

    open_alone();
    front.config.keepers = KP_KEEPERS;
    for (state.from = 10; state.from <= 11; state.from++, state.view++) {
        state.serial = 1;
        state.to = front.config.incarnation;
        kp_front_take(&front, (unsigned)state.view - 1, &state, MS);
        word.from = state.from;
        word.view = state.view;
        word.to = state.to;
        kp_front_take(&front, (unsigned)state.view - 1, &word, MS);
        state.serial++;
        state.to = front.config.incarnation;
        kp_front_take(&front, (unsigned)state.view - 1, &state, MS);
        word.flags |= KP_UNSURE;
        state.begins = 6;
    }
    skipped = front.count.begun == 1 && front.follows && front.outputs.left == 6;
    return skipped;
}

TEST(what_may_have_left_by_another_keeper_leaves_by_none)
{
    assert_true(what_may_have_left_is_skipped());
}

/* In a process of its own, whose environment is asked once. The keeper's other bugs are the simulation's. */
static void the_planted_bug_is_found(void **state)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        setenv("UNDERSTUDY_PLANT", "sure-for-nothing", 1);
        _exit(what_may_have_left_is_skipped());
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
