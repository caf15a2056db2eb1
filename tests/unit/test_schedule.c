/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the replicator compresses, over a real connection on the loopback ("a" listens, "b" connects, both in
 * this process), when it holds a message and when it stays awake. Time as the replicator sees it is given.
 */
#include "replicator/parts.h"
#include "tests/unit/help_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define A     "127.0.0.1"
#define B     "127.0.0.2"
#define LIMIT 10000000000ull /* of any waiting */
#define SLOW  (1u << 20)     /* bytes a second */
#define S     1000000000ull

static uint16_t port_a, port_b;
static struct rp_link *a, *b;
static struct rp_replicator rp;
static struct ft_fault why;
static uint8_t content[64 << 10];

#define UNTIL(cond) for (uint64_t end_ = rp_monotonic() + LIMIT; !(cond); help_not_beyond(end_, #cond))

static int setup(void **state)
{
    static const char *const hosts[2] = {A, B};
    struct rp_link *links[2];
    uint16_t ports[2];

    (void)state;
    help_links(links, hosts, ports);
    a = links[0];
    b = links[1];
    port_a = ports[0];
    port_b = ports[1];
    memset(&rp, 0, sizeof(rp));
    rp.link = a;
    rp.lanes = 1;
    rp.now = S;
    rp.core.state = FT_PROTECTED;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rp_link_close(a);
    rp_link_close(b);
    return 0;
}

/* Of a's end of the connection, which the link keeps to itself. */
static void limit_rate(uint32_t bytes)
{
    struct sockaddr_in here, there;
    unsigned found = 0;

    for (int fd = 3; fd < 256; fd++) {
        socklen_t len = sizeof(here), len2 = sizeof(there);

        if (getsockname(fd, (struct sockaddr *)&here, &len) == 0 && ntohs(here.sin_port) == port_a &&
            getpeername(fd, (struct sockaddr *)&there, &len2) == 0)
            found += setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &bytes, sizeof(bytes)) == 0;
    }
    assert_int_equal(found, 1);
}

static void offer(void)
{
    struct ft_message m = {
        .type = FT_MSG_LOG, .state = FT_PROTECTED, .bulk = content, .bulk_len = sizeof(content)};

    if (rp_link_room(a) >= m.bulk_len)
        assert_int_equal(rp_link_send(a, &m, 1, NULL), 0);
    rp_link_flush(a);
}

static void take_all(void)
{
    struct ft_message m;

    rp_link_poll(b, rp_monotonic());
    while (rp_link_next(b, 1, &m, &why) > 0)
        ;
}

/* The system counts real time; so does this. */
static bool compresses_after(uint64_t ns)
{
    struct timespec t = {0, (long)ns};

    nanosleep(&t, NULL);
    rp.now += ns;
    return rp_schedule_compresses(&rp);
}

static void told_to(void **state)
{
    (void)state;
    rp.config.compress = RP_COMPRESS_ALWAYS;
    assert_true(rp_schedule_compresses(&rp));
    rp.config.compress = RP_COMPRESS_NEVER;
    UNTIL(rp_link_stalled(a)) offer(); /* whatever the link does */
    for (unsigned i = 0; i < 10; i++)
        assert_false(compresses_after(4000000));
}

static void what_drains_is_not_compressed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        offer();
        UNTIL(!rp_link_stalled(a))
        {
            take_all();
            rp_link_flush(a);
        }
        take_all();
        rp.now += 3000000;
        assert_false(rp_schedule_compresses(&rp));
    }
    limit_rate(8 * SLOW); /* bytes are under way all the time, and all that is offered is taken */
    for (unsigned i = 0; i < 30; i++) {
        offer();
        assert_false(rp_link_stalled(a));
        assert_false(compresses_after(10000000));
        take_all();
    }
    assert_int_equal(rp.schedule.compressing.count, 0);
}

/* Then its processor is the limit, or ours, and never the link. */
static void a_peer_that_does_not_read(void **state)
{
    struct rp_link_times t = {0, 0};

    (void)state;
    UNTIL(rp_link_stalled(a) && t.full_us) /* the system has seen it, too */
    {
        offer();
        assert_true(rp_link_times(a, &t));
    }
    for (unsigned i = 0; i < 50; i++) {
        offer();
        assert_false(compresses_after(4000000));
    }
    assert_true(rp.schedule.stalled != 0);
}

static void stall_by_the_link(void)
{
    limit_rate(SLOW);
    UNTIL(rp.schedule.compressing.yes)
    {
        offer();
        take_all();
        compresses_after(1000000);
    }
}

static void recover(void)
{
    limit_rate(UINT32_MAX);
    UNTIL(!rp_link_stalled(a))
    {
        take_all();
        rp_link_flush(a);
    }
}

/* A yes stands for a second after it was found last; found again within it, for two. */
static void a_slow_link(void **state)
{
    (void)state;
    stall_by_the_link();
    assert_int_equal(rp.schedule.compressing.count, 1);
    recover();
    rp.now = rp.schedule.compressing.seen + S - 1;
    assert_true(rp_schedule_compresses(&rp));
    rp.now++;
    assert_false(rp_schedule_compresses(&rp));
    stall_by_the_link();
    assert_int_equal(rp.schedule.compressing.count, 2);
    recover();
    rp.now = rp.schedule.compressing.seen + 2 * S - 1;
    assert_true(rp_schedule_compresses(&rp));
    rp.now++;
    assert_false(rp_schedule_compresses(&rp));
    rp.now += 3 * S;
    stall_by_the_link(); /* long after: a second again */
    recover();
    rp.now = rp.schedule.compressing.seen + S;
    assert_false(rp_schedule_compresses(&rp));
}

static void a_small_message_waits_until_the_peer_has_received_the_last(void **state)
{
    (void)state;
    rp.schedule.sent = rp.now - 10000;
    rp.core.peer.echoed = rp.schedule.sent - 1;
    assert_true(rp_schedule_holds(&rp, 100));
    assert_false(rp_schedule_holds(&rp, 128 << 10)); /* a message of full size */
    rp.core.hand = FT_HAND_DRAIN;
    assert_false(rp_schedule_holds(&rp, 100));
    rp.core.hand = FT_HAND_NONE;
    rp.core.state = FT_DEGRADED;
    assert_false(rp_schedule_holds(&rp, 100)); /* outputs are waiting for the standby to be ready */
    rp.core.state = FT_PROTECTED;
    rp.now += 189999;
    assert_true(rp_schedule_holds(&rp, 100));
    rp.now++;
    assert_false(rp_schedule_holds(&rp, 100)); /* 200 us after the last one */
    rp.now -= 20000;
    assert_true(rp_schedule_holds(&rp, 100));
    rp.core.peer.echoed++;
    assert_false(rp_schedule_holds(&rp, 100));
}

/* Lane 1's burst 9 waits for one of another lane: it is received, and closed later. */
static void what_is_received_and_not_closed_holds_nothing_back(void **state)
{
    (void)state;
    rp.lanes = 2;
    rp.schedule.sent = rp.now - 10000;
    rp.sender.burst[1] = 9;
    rp.core.peer_closed[1] = 8;
    rp.core.peer.echoed = rp.schedule.sent;
    assert_false(rp_schedule_holds(&rp, 100));
    rp.core.peer_closed[1] = 9; /* closed as well, by what was sent before: the last message has not come */
    rp.core.peer.echoed--;
    assert_true(rp_schedule_holds(&rp, 100));
}

static void it_stays_awake_while_entries_come_densely(void **state)
{
    (void)state;
    rp_schedule_begin(&rp); /* without real-time priority */
    rp_schedule_moved(&rp);
    assert_false(rp_schedule_awake(&rp)); /* the first for long */
    rp.now += 200000;
    rp_schedule_moved(&rp);
    assert_false(rp_schedule_awake(&rp)); /* they are sparse */
    rp.now += 199999;
    rp_schedule_moved(&rp);
    assert_true(rp_schedule_awake(&rp));
    rp.now += 199999;
    assert_true(rp_schedule_awake(&rp));
    rp.schedule.yields = false; /* nobody else would run */
    assert_false(rp_schedule_awake(&rp));
    rp.schedule.yields = true;
    rp.now++;
    assert_false(rp_schedule_awake(&rp)); /* 200 us after the last entry */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(told_to),
        TEST(what_drains_is_not_compressed),
        TEST(a_peer_that_does_not_read),
        TEST(a_slow_link),
        TEST(a_small_message_waits_until_the_peer_has_received_the_last),
        TEST(what_is_received_and_not_closed_holds_nothing_back),
        TEST(it_stays_awake_while_entries_come_densely),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
