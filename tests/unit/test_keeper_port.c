/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of an input keeper, each by itself: what it does with what nobody should say to it. */
#include "understudy/keeper/port.h"
#include "tests/help/test.h"

#define PORTS 2u
#define MS    1000000u

static void say_nothing(void *ctx, unsigned keeper, const struct kp_message *m) {}

static const uint8_t *bytes_of(void *ctx, void *owner)
{
    return owner;
}

static void drop_nothing(void *ctx, void *owner) {}

static struct kp_port port;

static void close_port(void *opened)
{
    kp_port_close(opened);
}

/* Of so many keepers, 0 of one; what it says goes to `send`. It is closed behind the test. */
static void open_port(unsigned keepers, void (*send)(void *, unsigned, const struct kp_message *))
{
    port = (struct kp_port){
        .ports = PORTS, .keepers = keepers, .send = send, .bytes = bytes_of, .drop = drop_nothing};
    assert_int_equal(kp_port_open(&port, 10), 0);
    HELP_OWNED(&port, close_port);
    kp_port_begin(&port, 1, &(struct kp_progress){.burst = 0, .seq = 1}, 0);
    port.open = keepers;
}

/* The lane looks up what it knows of a port by the number that the keeper says. */
TEST(a_frame_of_a_port_that_the_chain_lacks_is_refused)
{
    static uint8_t frame[64];
    struct kp_message m = {.kind = KP_INPUT,
                           .from = 7,
                           .to = 10,
                           .view = 1,
                           .burst = 1,
                           .seq = 1,
                           .count = 1,
                           .len = 64,
                           .have = 64,
                           .frame = frame};

    open_port(0, say_nothing);
    for (unsigned number = PORTS; number < 256; number++) {
        m.port = (uint8_t)number;
        m.kind = KP_INPUT;
        assert_int_equal(kp_port_take(&port, 0, &m, frame, MS), KP_DONE);
        m.kind = KP_OWN;
        assert_int_equal(kp_port_take(&port, 0, &m, frame, MS), KP_DONE);
    }
    assert_int_equal(port.refused, 2 * (256 - PORTS));
    assert_null(kp_port_give(&port));
    m.port = PORTS - 1;
    m.serial = 1;
    assert_int_equal(kp_port_take(&port, 0, &m, frame, MS), KP_OWNS);
    m.kind = KP_INPUT;
    assert_int_equal(kp_port_take(&port, 0, &m, frame, MS), KP_KEPT);
    assert_non_null(kp_port_give(&port));
}

/* Who listens on the network and sends it again later does not make a dead keeper live. */
TEST(a_message_that_comes_again_is_no_sign_of_life)
{
    struct kp_message m = {.kind = KP_ASK, .from = 7, .to = 10, .view = 1};

    open_port(0, say_nothing);
    for (m.serial = 1; m.serial <= 3; m.serial++)
        kp_port_take(&port, 0, &m, NULL, m.serial * MS);
    assert_int_equal(port.peer[0].heard, 3 * MS);
    for (m.serial = 1; m.serial <= 3; m.serial++)
        kp_port_take(&port, 0, &m, NULL, 900 * MS);
    m.to = 9; /* to a process before this one */
    kp_port_take(&port, 0, &m, NULL, 900 * MS);
    assert_int_equal(port.peer[0].heard, 3 * MS);
    m = (struct kp_message){
        .kind = KP_ASK, .from = 8, .to = 10, .view = 1, .serial = 1}; /* its next process */
    kp_port_take(&port, 0, &m, NULL, 1000 * MS);
    assert_int_equal(port.peer[0].heard, 1000 * MS);
}

/* Of two keepers the active one dies; who has its last question sends that again and again. */
TEST(a_question_that_comes_again_keeps_no_word)
{
    struct kp_message of[2];
    unsigned active;

    open_port(2, say_nothing);
    for (unsigned k = 0; k < 2; k++)
        of[k] = (struct kp_message){
            .kind = KP_ASK, .from = 7 + k, .to = 10, .view = 1, .seq = 7 + k, .flags = KP_WANTS};
    for (uint64_t ms = 5; ms <= 200; ms += 5)
        for (unsigned k = 0; k < 2; k++) {
            of[k].serial++;
            of[k].time = ms * MS;
            of[k].flags = KP_WANTS | (port.giver.holder == (int)k ? KP_RUNS : 0);
            kp_port_take(&port, k, &of[k], NULL, ms * MS);
        }
    assert_true(port.giver.holder >= 0);
    active = (unsigned)port.giver.holder;
    for (uint64_t ms = 205; ms <= 1000; ms += 5) {
        of[!active].serial++;
        of[!active].time = ms * MS;
        kp_port_take(&port, active, &of[active], NULL, ms * MS);
        kp_port_take(&port, !active, &of[!active], NULL, ms * MS);
    }
    assert_int_equal(port.giver.holder, !active);
}

/* A stranger sends what he has heard again: a claim would leave at his rate, and a heartbeat be passed on. */
TEST(a_frame_of_ones_own_that_comes_again_is_nobodys)
{
    static uint8_t frame[64];
    struct kp_message m = {
        .kind = KP_OWN, .from = 7, .to = 10, .serial = 5, .len = 64, .have = 64, .frame = frame};
    struct kp_front_config config = {
        .inputs = 64, .bursts = 2, .frame_max = 64, .nodes = 2, .incarnation = 10};
    static struct kp_front front;

    open_port(0, say_nothing);
    assert_int_equal(kp_port_take(&port, 0, &m, frame, MS), KP_OWNS);
    assert_int_equal(kp_port_take(&port, 0, &m, frame, MS), KP_DONE);
    m.serial = 4;
    assert_int_equal(kp_port_take(&port, 0, &m, frame, MS), KP_DONE);
    m.from = 8; /* of its next process */
    assert_int_equal(kp_port_take(&port, 0, &m, frame, MS), KP_OWNS);
    assert_int_equal(kp_front_open(&front, &config), 0);
    assert_true(kp_front_take(&front, 0, &m, MS));
    assert_false(kp_front_take(&front, 0, &m, MS));
    m.serial = 5;
    assert_true(kp_front_take(&front, 0, &m, MS));
    kp_front_close(&front);
}

/* The lane aborts where chain time goes back, and a standby refuses a time that no record may have. */
TEST(a_burst_at_a_time_that_is_over_is_not_given)
{
    struct kp_message m = {.kind = KP_INPUT, .from = 7, .to = 10, .view = 1, .burst = 1, .seq = 1};
    const uint64_t times[] = {0, 999, UINT64_MAX / 2 + 1, UINT64_MAX, 1000, 1000, 1001, 1000};
    const bool given[] = {false, false, false, false, true, true, true, false};

    open_port(0, say_nothing);
    kp_port_begin(&port, 1, &(struct kp_progress){.burst = 0, .seq = 1, .time = 1000}, 0);
    for (unsigned i = 0; i < sizeof(given); i++) {
        m.time = times[i];
        m.serial++;
        kp_port_take(&port, 0, &m, NULL, MS);
        assert_int_equal(kp_port_give(&port) != NULL, given[i]);
        m.burst += given[i];
    }
    assert_int_equal(port.refused, 5);
}

static struct kp_message said;

static void note_said(void *ctx, unsigned keeper, const struct kp_message *m)
{
    said = *m;
}

/* Its clock was put back: by the answer to the process before it takes a later incarnation. */
TEST(a_keeper_of_an_earlier_incarnation_is_answered)
{
    struct kp_message m = {.kind = KP_ASK, .from = 32, .view = 1, .to = 10, .serial = 1};

    open_port(0, note_said);
    kp_port_take(&port, 0, &m, NULL, MS);
    kp_port_report(&port, &(struct kp_progress){.seq = 1});
    said = (struct kp_message){.kind = 0};
    kp_port_report(&port, &(struct kp_progress){.seq = 1});
    assert_int_equal(said.kind, 0); /* nobody has asked */
    m.from = 16;
    m.to = 0;
    kp_port_take(&port, 0, &m, NULL, MS);
    kp_port_report(&port, &(struct kp_progress){.seq = 1});
    assert_int_equal(said.kind, KP_STATE);
    assert_int_equal(said.to, 32);
}

/* ---- of two keepers ------------------------------------------------------------------------------ */

static struct kp_message question(unsigned k, uint64_t ms, uint64_t burst, uint8_t flags)
{
    return (struct kp_message){.kind = KP_ASK,
                               .from = 7 + k,
                               .to = 10,
                               .view = 1,
                               .serial = ms,
                               .seq = 7 + k,
                               .time = ms * MS,
                               .burst = burst,
                               .flags = flags};
}

static void ask(unsigned k, uint64_t ms, uint64_t burst, uint8_t flags)
{
    struct kp_message m = question(k, ms, burst, flags);

    kp_port_take(&port, k, &m, NULL, ms * MS);
}

/* Nobody has the word yet, and 0 is nobody's view. */
TEST(who_waits_is_not_taken_for_the_active_one)
{
    open_port(2, note_said);
    ask(port.active, 1, 0, KP_WANTS);
    assert_true(port.giver.holder < 0);
    assert_int_equal(port.keeper, 0);
    assert_int_equal(port.moved, 0);
}

/* What had not left by the first one may have left by the second, when the first is asked again. */
TEST(the_number_of_who_left_is_for_the_next_one_alone)
{
    static uint8_t frame[64];
    struct kp_output out = {.owner = frame, .len = 64, .have = 64};
    uint64_t ms = 0, first, view;
    struct kp_message m;

    open_port(2, note_said);
    while (!port.keeper && ++ms < 500)
        for (unsigned k = 0; k < 2; k++)
            ask(k, ms, port.giver.holder == (int)k ? port.giver.view : 0,
                KP_WANTS | (port.giver.holder == (int)k ? KP_RUNS : 0));
    assert_true(port.keeper != 0);
    for (out.number = 1; out.number <= 9; out.number++)
        assert_true(kp_port_hand(&port, &out));
    first = port.active;
    view = port.fed_view;
    m = question(port.active, ++ms, view, KP_RETURNS); /* four have left by it, and no other will */
    m.number = 4;
    kp_port_take(&port, port.active, &m, NULL, ms * MS);
    assert_true(port.parted);
    for (unsigned i = 0; i < 2; i++) { /* the other one, and once its word is over the first again */
        unsigned k = i == 0 ? !first : first;

        for (unsigned n = 0; n < 500 && !(port.keeper == 7 + k && port.active == k); n++)
            ask(k, ++ms, port.giver.holder == (int)k ? port.giver.view : 0,
                KP_WANTS | (port.giver.holder == (int)k ? KP_RUNS : 0));
        assert_int_equal(port.keeper, 7 + k);
        kp_port_report(&port, &(struct kp_progress){.seq = 1});
        assert_int_equal(said.kind, KP_STATE);
        assert_int_equal(said.begins, i == 0 ? 4 : 9);
    }
}

/* Recorded of one keeper and sent from the other one's address, or recorded to one node and sent to another.
 */
TEST(a_datagram_is_known_by_who_says_it_to_whom)
{
    const uint64_t wall = 1764000000123456789u;
    struct kp_message m = {.from = kp_incarnation(wall, KP_NODES + 1), .to = kp_incarnation(wall + 999, 3)};

    assert_true(kp_is_between(&m, KP_NODES + 1, 3));
    assert_false(kp_is_between(&m, KP_NODES, 3));
    assert_false(kp_is_between(&m, KP_NODES + 1, 2));
    m.from += KP_PLACES;
    m.to += 5 * KP_PLACES;
    assert_true(kp_is_between(&m, KP_NODES + 1, 3)); /* of later incarnations as well */
    m.to = 0;
    assert_true(kp_is_between(&m, KP_NODES + 1, 2)); /* to whom is not known yet */
}
