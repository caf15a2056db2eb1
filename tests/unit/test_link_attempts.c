/* SPDX-License-Identifier: Apache-2.0 */
/* How often the side that connects tries, and what an attempt that stops counts as (link.h). Sockets are
 * real, the time that the link is told is not: a second of it passes at once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS 1000000ull

static uint64_t now; /* as b is told */

static const struct rp_keys key = {1, {{1, 2, 3}}};

static void open_side(struct rp_link **link, bool a, bool sealed)
{
    struct rp_link_config c = link_config(a);

    c.seal.keys = sealed ? &key : NULL;
    link_open(link, &c);
}

/* A millisecond of b's life, in which it is told of every end. */
static void pass_ms(void)
{
    now += MS;
    rp_link_poll(link_b, now);
    rp_link_lost(link_b, &link_why);
}

/* How many connections b makes in `ms` to one who closes each at once. */
static unsigned count_attempts(int listener, unsigned ms)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ms; i++) {
        int fd;

        pass_ms();
        while ((fd = accept(listener, NULL, NULL)) >= 0) {
            count++;
            close(fd);
        }
    }
    return count;
}

static int listen_as_a(void)
{
    int fd = plain_listen();

    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Retried after 20 ms, twice as long each time: at 0, 20, 60 … 1260 ms, then each second. */
static void attempts_that_fail_get_rarer(void **state)
{
    (void)state;
    int listener = listen_as_a();

    open_side(&link_b, false, true);
    assert_in_range(count_attempts(listener, 1300), 6, 8);
    assert_in_range(count_attempts(listener, 10000), 9, 11);
    assert_int_equal(rp_link_stats(link_b)->connects, 0);
    close(listener);
}

/* Its seal is not wanted here, so each is a connection before it is closed. */
static void connections_that_end_at_once_get_rarer(void **state)
{
    (void)state;
    int listener = listen_as_a();

    open_side(&link_b, false, false);
    assert_in_range(count_attempts(listener, 1300), 6, 8);
    assert_in_range(count_attempts(listener, 10000), 9, 11);
    assert_in_range(rp_link_stats(link_b)->connects, 14, 19);
    close(listener);
}

static void a_peer_that_is_back_is_found_within_a_second(void **state)
{
    (void)state;
    open_side(&link_b, false, true);
    for (unsigned i = 0; i < 5000; i++)
        pass_ms(); /* refused each time */
    int listener = listen_as_a(), fd;
    uint64_t began = now;

    while ((fd = accept(listener, NULL, NULL)) < 0)
        pass_ms();
    assert_true(now - began <= 1000 * MS);
    close(fd);
    close(listener);
}

static void a_connection_that_stood_is_made_again_at_once(void **state)
{
    (void)state;
    open_side(&link_a, true, true);
    open_side(&link_b, false, true);
    for (unsigned round = 1; round <= 3; round++) {
        UNTIL((rp_link_up(link_a) && rp_link_up(link_b)) ||
              (link_poll_one(link_a), rp_link_poll(link_b, now), false));
        assert_int_equal(rp_link_stats(link_b)->connects, round);
        now += 1000 * MS;
        rp_link_drop(link_a);
        UNTIL(!rp_link_up(link_b) || (rp_link_poll(link_b, now), false));
        rp_link_lost(link_b, &link_why); /* and no time passes */
    }
    /* What failed before it counts no more. */
    UNTIL((rp_link_up(link_a) && rp_link_up(link_b)) ||
          (link_poll_one(link_a), rp_link_poll(link_b, now), false));
    now += 1000 * MS;
    rp_link_close(link_a);
    link_a = NULL;
    UNTIL(!rp_link_up(link_b) || (rp_link_poll(link_b, now), false));
    rp_link_lost(link_b, &link_why);
    int listener = listen_as_a();

    assert_in_range(count_attempts(listener, 1300), 6, 8);
    close(listener);
}

static int begin(void **state)
{
    now = 0;
    return link_setup(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, link_teardown)

/* A peer that stops in the middle of its handshake, or dies there, has the key all the same. */
static void who_stops_in_his_handshake_is_not_called_a_stranger(void **state)
{
    (void)state;
    open_side(&link_a, true, true);
    open_side(&link_b, false, true);
    pass_ms(); /* connects, and says the first word of its handshake */
    pass_ms();
    UNTIL(rp_link_stats(link_a)->refused[-FT_ETRUNC] >= 1 || (link_poll_one(link_a), false));
    rp_link_close(link_b);
    link_b = NULL;
    int gone = plain_connect(B);
    link_poll_one(link_a);
    close(gone);
    UNTIL(rp_link_stats(link_a)->refused[-FT_ETRUNC] >= 2 || (link_poll_one(link_a), false));
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_EPERM], 0);
    assert_int_equal(rp_link_stats(link_a)->connects, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(attempts_that_fail_get_rarer),
        TEST(connections_that_end_at_once_get_rarer),
        TEST(a_peer_that_is_back_is_found_within_a_second),
        TEST(a_connection_that_stood_is_made_again_at_once),
        TEST(who_stops_in_his_handshake_is_not_called_a_stranger),
    };

    return cmocka_run_group_tests_name("link_attempts", tests, NULL, NULL);
}
