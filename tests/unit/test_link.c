/* SPDX-License-Identifier: Apache-2.0 */
/* Two links that behave (link.h): messages, bulk under back pressure, how a connection ends and begins
 * again. */
#define _GNU_SOURCE
#include "tests/help/link.h"
#include "tests/help/test.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define REPEAT (1u << 20)

/* Opens both, until they are up and have said so. */
static void link_connect_both(void)
{
    bool fresh_a = false, fresh_b = false;

    link_open_a();
    link_open_b();
    UNTIL((fresh_a |= link_poll_one(link_a), fresh_b |= link_poll_one(link_b), fresh_a && fresh_b));
    assert_true(rp_link_up(link_a) && rp_link_up(link_b));
    assert_false(rp_link_poll(link_a, ft_now()) || rp_link_poll(link_b, ft_now())); /* told once */
}

TEST_WITH(hellos_are_exchanged, link_setup, link_teardown)
{
    struct ft_message m = {.type = FT_MSG_HELLO, .state = FT_JOINING, .incarnation = 11, .lanes = 2}, got;

    link_connect_both();
    m.newest = FT_FORMAT_NEWEST, m.oldest = FT_FORMAT_OLDEST;
    m.lease_ms = 1, m.detect_ms = 2, m.promote_within_ms = 3, m.solo_after_ms = 4;
    m.bulk = (const uint8_t *)"nat";
    m.bulk_len = m.identity_len = 3;
    strcpy(m.name, "north");
    assert_int_equal(rp_link_send(link_a, &m, 0, NULL), 0);
    strcpy(m.name, "south");
    assert_int_equal(rp_link_send(link_b, &m, 0, NULL), 0);
    rp_link_flush(link_a);
    rp_link_flush(link_b);
    got = link_take(link_a);
    assert_string_equal(got.name, "south");
    got = link_take(link_b);
    assert_string_equal(got.name, "north");
    assert_memory_equal(got.bulk, "nat", 3);
    const struct rp_link_stats *sa = rp_link_stats(link_a), *sb = rp_link_stats(link_b);
    assert_true(sa->connects == 1 && sa->frames_in == 1);
    assert_true(sa->bytes_out == sb->bytes_in && sa->bytes_in == sb->bytes_out && sa->bytes_in > 30);
    assert_int_equal(rp_link_lost(link_a, &link_why), RP_LOST_NONE);
}

/* One direction of a long transfer: bulk number n is of a size and content that follow from n. */
struct flow {
    struct rp_link *from, *to;
    uint64_t sent, got;
};

static uint8_t pattern[REPEAT + 256];

static uint32_t bulk_size(uint64_t n)
{
    return (uint32_t)(n % 7 == 6 ? REPEAT : 1 + n * 7919 % 200000);
}

static int flow_send(struct flow *f)
{
    struct ft_message m = {.type = FT_MSG_LOG, .state = FT_SOLO, .number = 0, .view = f->sent};

    m.bulk = pattern + f->sent % 256;
    m.bulk_len = bulk_size(f->sent);
    if (rp_link_room(f->from) < m.bulk_len)
        return FT_EFULL;
    assert_int_equal(rp_link_send(f->from, &m, 1, NULL), 0);
    f->sent++;
    return 0;
}

static void flow_take(struct flow *f)
{
    struct ft_message m;
    int rc;

    while ((rc = rp_link_next(f->to, 1, &m, &link_why)) == 1) {
        if (m.type != FT_MSG_LOG)
            continue;
        assert_int_equal(m.view, f->got);
        assert_int_equal(m.bulk_len, bulk_size(f->got));
        assert_memory_equal(m.bulk, pattern + f->got % 256, m.bulk_len);
        f->got++;
    }
    if (rc < 0)
        fail_msg("%s", link_why.text);
}

TEST_WITH(bulk_flows_both_ways_with_back_pressure, link_setup, link_teardown)
{
    struct ft_message m = link_heartbeat(1), bulk = {.type = FT_MSG_LOG, .state = FT_SOLO, .bulk = pattern};
    uint64_t total = 300, stalls = 0;

    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * i >> 5 ^ i);
    link_connect_both();
    struct flow ab = {link_a, link_b, 0, 0}, ba = {link_b, link_a, 0, 0};
    /* Nobody reads: the buffers fill, bulk is refused, heartbeats are not. */
    for (unsigned idle = 0; idle < 100;) {
        rp_link_flush(link_a);
        idle = flow_send(&ab) ? idle + 1 : 0;
    }
    bulk.bulk_len = FT_BULK_MAX;
    assert_int_equal(rp_link_send(link_a, &bulk, 1, NULL), FT_EFULL);
    bulk.bulk_len = (uint32_t)rp_link_room(link_a) + 1;
    assert_int_equal(rp_link_send(link_a, &bulk, 1, NULL), FT_EFULL);
    bulk.type = FT_MSG_SNAPSHOT;
    for (bulk.bulk_len = 1; rp_link_send(link_a, &bulk, 1, NULL) == 0;)
        continue;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(rp_link_send(link_a, &m, 1, NULL), 0);
    unsigned heartbeats = 0;
    while (rp_link_send(link_a, &m, 1, NULL) == 0)
        heartbeats++;
    assert_true(heartbeats > 1000 && heartbeats < RP_LINK_RESERVE);
    UNTIL(ab.got == total && ba.got == total)
    {
        for (struct flow *f = &ab; f; f = f == &ab ? &ba : NULL) {
            while (f->sent < total && flow_send(f) == 0)
                continue;
            stalls += f->sent < total;
            rp_link_flush(f->from);
            rp_link_poll(f->to, ft_now());
            flow_take(f);
        }
    }
    assert_true(stalls > 2);
    assert_int_equal(rp_link_lost(link_a, NULL), RP_LOST_NONE);
    assert_int_equal(rp_link_room(link_a), FT_BULK_MAX);
}

TEST_WITH(one_poll_reads_a_bounded_amount, link_setup, link_teardown)
{
    link_connect_both();
    struct flow f = {link_a, link_b, 0, 0};
    /* The kernel's window opens as it sees us read. */
    UNTIL(f.got >= 300)
    {
        for (unsigned i = 0; i < 200; i++) {
            flow_send(&f);
            rp_link_flush(link_a);
        }
        uint64_t had = rp_link_stats(link_b)->bytes_in;
        rp_link_poll(link_b, ft_now());
        assert_true(rp_link_stats(link_b)->bytes_in - had <= 1u << 20);
        flow_take(&f);
    }
}

TEST_WITH(end_of_file_comes_after_the_last_frame, link_setup, link_teardown)
{
    link_connect_both();
    link_send_heartbeat(link_a, 1);
    link_send_heartbeat(link_a, 2);
    link_send_heartbeat(link_a, 3);
    rp_link_drop(link_a);
    assert_false(rp_link_up(link_a));
    assert_int_equal(rp_link_lost(link_a, NULL), RP_LOST_NONE); /* own doing */
    UNTIL(!rp_link_up(link_b) || (link_poll_one(link_b), false));
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(rp_link_lost(link_b, &link_why), RP_LOST_NONE);
        assert_int_equal(link_take(link_b).sent, i);
    }
    assert_int_equal(rp_link_lost(link_b, &link_why), RP_LOST_EOF);
    assert_string_equal(link_why.text, "the peer closed the connection");
    assert_int_equal(rp_link_lost(link_b, &link_why), RP_LOST_NONE); /* told once */
    struct ft_message m = link_heartbeat(1);
    assert_int_equal(rp_link_send(link_b, &m, 1, NULL), FT_ENOENT);
    assert_int_equal(rp_link_room(link_b), 0);
}

TEST_WITH(addresses_that_cannot_be_had_are_named, link_setup, link_teardown)
{
    struct rp_link_config c = link_config(true);
    struct rp_link *l = (struct rp_link *)&c;

    link_open_a();
    assert_int_equal(rp_link_open(&l, &c, &link_why), FT_EBUSY);
    assert_null(l);
    const char *expected = help_print("replication address 127.0.0.1:%u is taken", link_port_a);
    assert_string_equal(link_why.text, expected);
    rp_link_close(link_a);
    link_a = NULL;
    int listener = plain_listen(); /* only the TCP port is taken */
    assert_int_equal(rp_link_open(&l, &c, &link_why), FT_EBUSY);
    assert_string_equal(link_why.text, expected);
    close(listener);
    c.local_host = "192.0.2.1";
    assert_int_equal(rp_link_open(&l, &c, &link_why), FT_ENOENT);
    assert_string_equal(link_why.text, "replication address 192.0.2.1 is not one of this host");
    c.local_host = "localhost";
    assert_int_equal(rp_link_open(&l, &c, &link_why), FT_EINVAL);
    assert_string_equal(link_why.text, "replication address localhost, expected a numeric IPv4 address");
    c.local_host = A, c.peer_host = "1.2.3";
    assert_int_equal(rp_link_open(&l, &c, NULL), FT_EINVAL);
    link_open_a(); /* nothing was left open */
}

TEST_WITH(a_broken_connection_is_made_again, link_setup, link_teardown)
{
    link_connect_both();
    rp_link_close(link_a); /* with our side closing first, the port stays in TIME_WAIT */
    link_a = NULL;
    assert_int_equal(link_wait_lost(link_b), RP_LOST_EOF);
    for (unsigned i = 0; i < 50; i++) /* refused meanwhile */
        assert_false(link_poll_one(link_b));
    link_open_a();
    bool fresh = false;
    uint64_t began = ft_now();
    UNTIL((fresh |= link_poll_one(link_b), link_poll_one(link_a), fresh && rp_link_up(link_a)));
    assert_true(ft_now() - began < LINK_LIMIT);
    link_send_heartbeat(link_b, 77);
    assert_int_equal(link_take(link_a).sent, 77);
    assert_int_equal(rp_link_stats(link_b)->connects, 2);
}

TEST_WITH(waiting_ends_when_something_comes, link_setup, link_teardown)
{
    link_connect_both();
    uint64_t began = ft_now();
    rp_link_wait(link_b, 10000000);
    assert_true(ft_now() - began >= 10000000);
    link_send_heartbeat(link_a, 1);
    began = ft_now();
    rp_link_wait(link_b, LINK_LIMIT);
    assert_true(ft_now() - began < LINK_LIMIT);
    assert_int_equal(link_take(link_b).sent, 1);
    rp_link_drop(link_a);
    rp_link_wait(link_b, LINK_LIMIT);
    rp_link_poll(link_b, ft_now());
    rp_link_wait(link_b, LINK_LIMIT); /* there is an end to be told */
    assert_int_equal(rp_link_lost(link_b, NULL), RP_LOST_EOF);
    assert_true(ft_now() - began < LINK_LIMIT);
}

TEST_WITH(who_waits_for_the_end_is_not_woken_by_a_message, link_setup, link_teardown)
{
    link_connect_both();
    link_send_heartbeat(link_a, 1);
    UNTIL((link_poll_one(link_a), rp_link_room(link_a) && rp_link_stats(link_a)->bytes_out));
    uint64_t began = ft_now();
    rp_link_rest(link_b, 10000000, -1, true);
    assert_true(ft_now() - began >= 10000000);
    assert_int_equal(link_take(link_b).sent, 1);
    link_send_heartbeat(link_a, 2); /* before its end: both are there */
    rp_link_flush(link_a);
    rp_link_drop(link_a);
    began = ft_now();
    rp_link_rest(link_b, LINK_LIMIT, -1, true);
    assert_true(ft_now() - began < LINK_LIMIT);
    assert_int_equal(link_take(link_b).sent, 2);
    UNTIL((rp_link_poll(link_b, ft_now()), rp_link_lost(link_b, NULL) == RP_LOST_EOF));
}

TEST_WITH(no_socket_is_inherited_by_a_child, link_setup, link_teardown)
{
    link_connect_both();
    for (int fd = 3; fd < 64; fd++) {
        struct sockaddr_in at;
        socklen_t len = sizeof(at);

        if (getsockname(fd, (struct sockaddr *)&at, &len))
            continue;
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        int on = 0, type = 0;
        len = sizeof(type);
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
        struct sockaddr_in other;
        len = sizeof(other);
        if (type != SOCK_STREAM || getpeername(fd, (struct sockaddr *)&other, &len))
            continue;
        len = sizeof(on);
        getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len);
        assert_int_equal(on, 1);
    }
}

/* Of a message that waits to be written by `l`. */
static uint32_t checksum_written(struct rp_link *l)
{
    struct ft_message m = link_heartbeat(1);
    const uint8_t *frame = rp_link_place(l, &m, 1) - ft_message_ahead(&m, 1);
    uint32_t sum;

    assert_int_equal(rp_link_send(l, &m, 1, NULL), 0);
    memcpy(&sum, frame + 4, sizeof(sum));
    return sum;
}

TEST_WITH(messages_have_a_checksum_where_no_seal_checks_them, link_setup, link_teardown)
{
    static const struct rp_keys key = {1, {{1, 2, 3}}};
    struct rp_link_config a = link_config(true), b = link_config(false);

    link_connect_both();
    assert_int_not_equal(checksum_written(link_a), 0);
    assert_int_not_equal(checksum_written(link_b), 0);
    link_teardown(state);
    a.seal.keys = b.seal.keys = &key;
    link_open(&link_a, &a);
    link_open(&link_b, &b);
    UNTIL((link_poll_one(link_a), link_poll_one(link_b), rp_link_up(link_a) && rp_link_up(link_b)));
    assert_int_equal(checksum_written(link_a), 0);
    assert_int_equal(checksum_written(link_b), 0);
}

/* How often the side that connects tries, and what an attempt that stops counts as (link.h). Sockets are
 * real, the time that the link is told is not: a second of it passes at once. */

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

static int begin(void **state)
{
    now = 0;
    return link_setup(state);
}

#define ATTEMPT(name) TEST_WITH(name, begin, link_teardown)

/* Retried after 20 ms, twice as long each time: at 0, 20, 60 … 1260 ms, then each second. */
ATTEMPT(attempts_that_fail_get_rarer)
{
    int listener = listen_as_a();

    open_side(&link_b, false, true);
    assert_in_range(count_attempts(listener, 1300), 6, 8);
    assert_in_range(count_attempts(listener, 10000), 9, 11);
    assert_int_equal(rp_link_stats(link_b)->connects, 0);
    close(listener);
}

/* Its seal is not wanted here, so each is a connection before it is closed. */
ATTEMPT(connections_that_end_at_once_get_rarer)
{
    int listener = listen_as_a();

    open_side(&link_b, false, false);
    assert_in_range(count_attempts(listener, 1300), 6, 8);
    assert_in_range(count_attempts(listener, 10000), 9, 11);
    assert_in_range(rp_link_stats(link_b)->connects, 14, 19);
    close(listener);
}

ATTEMPT(a_peer_that_is_back_is_found_within_a_second)
{
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

ATTEMPT(a_connection_that_stood_is_made_again_at_once)
{
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

/* A peer that stops in the middle of its handshake, or dies there, has the key all the same. */
ATTEMPT(who_stops_in_his_handshake_is_not_called_a_stranger)
{
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
