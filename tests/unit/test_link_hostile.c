/* SPDX-License-Identifier: Apache-2.0 */
/* One link, and a plain socket that sends it what must not be, or is not whom it says (link.h). */
#define _GNU_SOURCE
#include "tests/help/test.h"
#include "tests/help/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <xxhash.h>

/* The connection that b makes, when it is up. */
static int plain_accept(int listener)
{
    int fd;

    fcntl(listener, F_SETFL, O_NONBLOCK);
    UNTIL((fd = accept(listener, NULL, NULL)) >= 0 || (link_poll_one(link_b), false));
    UNTIL(rp_link_up(link_b) || (link_poll_one(link_b), false));
    return fd;
}

static void plain_heartbeat(int fd, uint64_t sent)
{
    struct ft_message m = link_heartbeat(sent);
    uint8_t out[2000];
    long len = ft_message_encode(&m, 1, NULL, true, out, sizeof(out));

    plain_send(fd, out, (size_t)len);
}

static void plain_answer(int fd, uint64_t sent, uint64_t echo)
{
    struct ft_message m = link_heartbeat(sent);
    uint8_t out[2000];

    m.echo = echo;
    plain_send(fd, out, (size_t)ft_message_encode(&m, 1, NULL, true, out, sizeof(out)));
}

/* The hello that a second connection is asked with. */
static void link_greet(struct rp_link *l, uint64_t sent)
{
    static const char identity[] = "chain x\n";
    struct ft_message m = {.type = FT_MSG_HELLO,
                           .newest = FT_FORMAT_NEWEST,
                           .oldest = FT_FORMAT_OLDEST,
                           .sent = sent,
                           .state = FT_READY,
                           .name = "a",
                           .lanes = 1,
                           .lease_ms = 1,
                           .detect_ms = 2,
                           .promote_within_ms = 3,
                           .solo_after_ms = 4,
                           .identity_len = sizeof(identity) - 1,
                           .bulk = (const uint8_t *)identity,
                           .bulk_len = sizeof(identity) - 1};

    rp_link_greet(l, &m);
}

TEST_WITH(part_of_a_frame_is_not_a_message, link_setup, link_teardown)
{
    struct ft_message m;

    int listener = plain_listen();
    link_open_b();
    int fd = plain_accept(listener);
    plain_heartbeat(fd, 5);
    plain_send(fd, "\x20\0\0\0hal", 7);
    close(fd);
    assert_int_equal(link_take(link_b).sent, 5);
    assert_int_equal(link_wait_lost(link_b), RP_LOST_EOF);
    assert_int_equal(rp_link_next(link_b, 1, &m, NULL), 0);
    /* The next connection does not see what was left. */
    fd = plain_accept(listener);
    plain_heartbeat(fd, 6);
    assert_int_equal(link_take(link_b).sent, 6);
    close(fd);
    close(listener);
}

TEST_WITH(reset_is_told_from_end_of_file, link_setup, link_teardown)
{
    int listener = plain_listen();
    link_open_b();
    int fd = plain_accept(listener);
    plain_heartbeat(fd, 9);
    assert_int_equal(link_take(link_b).sent, 9);
    plain_reset(fd);
    assert_int_equal(link_wait_lost(link_b), RP_LOST_RESET);
    /* Also when it is a write that meets it; what came before is still read. */
    fd = plain_accept(listener);
    plain_heartbeat(fd, 10);
    plain_reset(fd);
    link_send_heartbeat(link_b, 1);
    link_send_heartbeat(link_b, 2);
    assert_int_equal(link_take(link_b).sent, 10);
    assert_int_equal(link_wait_lost(link_b), RP_LOST_RESET);
    close(listener);
}

static int judge_bytes(int fd, const void *bytes, size_t len)
{
    struct ft_message m;
    int rc;

    plain_send(fd, bytes, len);
    UNTIL((rc = rp_link_next(link_a, 1, &m, &link_why)) || (link_poll_one(link_a), false));
    return rc;
}

TEST_WITH(malformed_bytes_are_named_and_counted, link_setup, link_teardown)
{
    uint8_t other[8 + 7] = {7, 0, 0, 0, 0, 0, 0, 0, 0x96, 9, 2, 0, 0, 0, 3};
    struct ft_message m;
    uint32_t sum = (uint32_t)XXH3_64bits(other + 8, 7);

    memcpy(other + 4, &sum, 4);
    link_open_a();
    int fd = plain_connect(B);
    UNTIL(rp_link_up(link_a) || (link_poll_one(link_a), false));
    plain_heartbeat(fd, 4);
    assert_int_equal(link_take(link_a).sent, 4);
    assert_int_equal(judge_bytes(fd, "GET / HTTP/1.1\r\n\r\n", 18), FT_EMALFORMED);
    assert_non_null(strstr(link_why.text, "offset 0: frame of 542393671 bytes"));
    assert_true(rp_link_up(link_a));
    assert_int_equal(rp_link_lost(link_a, &link_why), RP_LOST_MALFORMED);
    assert_non_null(strstr(link_why.text, "offset 0: frame of 542393671 bytes"));
    assert_int_equal(rp_link_lost(link_a, &link_why), RP_LOST_NONE);
    /* Nothing from here can be believed; our own messages still leave. */
    plain_heartbeat(fd, 5);
    for (unsigned i = 0; i < 10; i++)
        link_poll_one(link_a);
    assert_int_equal(rp_link_next(link_a, 1, &m, NULL), 0);
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_EMALFORMED], 1);
    link_send_heartbeat(link_a, 1);
    uint8_t c[4];
    assert_int_equal(recv(fd, c, 4, 0), 4);
    rp_link_drop(link_a);
    UNTIL(plain_closed(fd) || recv(fd, c, 1, MSG_DONTWAIT) == 7);
    close(fd);

    fd = plain_connect(B);
    UNTIL(rp_link_up(link_a) || (link_poll_one(link_a), false));
    assert_int_equal(judge_bytes(fd, "\5\0\0\0zzzz12345", 13), FT_ECHECKSUM);
    rp_link_drop(link_a);
    close(fd);
    fd = plain_connect(B);
    UNTIL(rp_link_up(link_a) || (link_poll_one(link_a), false));
    assert_int_equal(judge_bytes(fd, other, sizeof(other)), FT_EVERSION);
    plain_heartbeat(fd, 6);
    close(fd);
    UNTIL(!rp_link_up(link_a) || (link_poll_one(link_a), false));
    assert_int_equal(rp_link_lost(link_a, &link_why), RP_LOST_EOF);
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_ECHECKSUM], 1);
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_EVERSION], 1);
}

TEST_WITH(a_connection_from_another_host_is_refused, link_setup, link_teardown)
{
    link_open_a();
    int fd = plain_connect("127.0.0.3");
    UNTIL(plain_closed(fd) || (link_poll_one(link_a), false));
    assert_false(rp_link_up(link_a));
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_EPERM], 1);
    close(fd);
    /* Nor do they disturb a connection that is there. */
    fd = plain_connect(B);
    UNTIL(rp_link_up(link_a) || (link_poll_one(link_a), false));
    int other = plain_connect("127.0.0.3");
    UNTIL(plain_closed(other) || (link_poll_one(link_a), false));
    plain_heartbeat(fd, 3);
    assert_int_equal(link_take(link_a).sent, 3);
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_EPERM], 2);
    assert_int_equal(rp_link_stats(link_a)->connects, 1);
    close(fd);
    close(other);
}

TEST_WITH(the_newest_connection_wins_once_it_has_answered, link_setup, link_teardown)
{
    link_open_a();
    int first = plain_connect(B);
    plain_heartbeat(first, 1);
    UNTIL(rp_link_up(link_a) || (link_poll_one(link_a), false));
    plain_heartbeat(first, 2);
    int second = plain_connect(B), third = plain_connect(B);
    uint64_t said = 0;

    assert_false(rp_link_needs_hello(link_a, &said));
    plain_hello(third);
    plain_heartbeat(third, 3); /* of old: it answers nothing */
    UNTIL(rp_link_needs_hello(link_a, &said) || (link_poll_one(link_a), false));
    assert_int_equal(said, 900);
    link_greet(link_a, 5000);
    assert_false(rp_link_needs_hello(link_a, &said)); /* once */
    for (unsigned i = 0; i < 20; i++)
        link_poll_one(link_a);
    assert_true(rp_link_up(link_a));
    assert_int_equal(rp_link_stats(link_a)->connects, 1);
    plain_answer(third, 4, 5000);
    UNTIL(!rp_link_up(link_a) || (link_poll_one(link_a), false));
    assert_int_equal(rp_link_lost(link_a, NULL), RP_LOST_NONE);
    assert_false(link_poll_one(link_a)); /* not before the old one's end was told */
    assert_int_equal(link_take(link_a).sent, 1);
    assert_int_equal(link_take(link_a).sent, 2);
    assert_int_equal(rp_link_lost(link_a, &link_why), RP_LOST_ERROR);
    assert_string_equal(link_why.text, "the peer made a new connection");
    assert_true(link_poll_one(link_a));
    assert_int_equal(rp_link_greeted(link_a), 5000);
    assert_int_equal(link_take(link_a).type, FT_MSG_HELLO);
    assert_int_equal(link_take(link_a).sent, 3);
    assert_int_equal(link_take(link_a).echo, 5000);
    UNTIL(plain_closed(first));
    UNTIL(plain_closed(second) || (link_poll_one(link_a), false)); /* it has shown nothing in its time */
    assert_int_equal(rp_link_stats(link_a)->connects, 2);
    /* When the old one's end is there already, that is what is told. */
    char hello[2048];

    assert_true(recv(third, hello, sizeof(hello), 0) > 0); /* what is left unread would make it a reset */
    close(third);
    int fourth = plain_connect(B);
    assert_int_equal(link_wait_lost(link_a), RP_LOST_EOF);
    UNTIL(rp_link_up(link_a) || (link_poll_one(link_a), false));
    assert_int_equal(rp_link_greeted(link_a), 0);
    plain_reset(fourth);
    int fifth = plain_connect(B);
    assert_int_equal(link_wait_lost(link_a), RP_LOST_RESET);
    close(first), close(second), close(fifth);
}

/* Whoever says no hello does not end a connection that lives, whatever else it says, or nothing. */
TEST_WITH(who_says_no_hello_ends_no_connection, link_setup, link_teardown)
{
    static const uint8_t noise[20000] = {0x10, 0, 0, 0, 1};

    link_open_a();
    int first = plain_connect(B);
    plain_heartbeat(first, 1);
    UNTIL(rp_link_up(link_a) || (link_poll_one(link_a), false));
    assert_int_equal(link_take(link_a).sent, 1);
    int heartbeats = plain_connect(B);
    plain_heartbeat(heartbeats, 2);
    UNTIL(plain_closed(heartbeats) || (link_poll_one(link_a), false));
    int noisy = plain_connect(B);
    plain_send(noisy, noise, sizeof(noise));
    UNTIL(plain_closed(noisy) || (link_poll_one(link_a), false));
    int gone = plain_connect(B);
    close(gone);
    int old = plain_connect(B); /* a recording */
    uint64_t said;
    plain_hello(old);
    plain_heartbeat(old, 901);
    UNTIL(rp_link_needs_hello(link_a, &said) || (link_poll_one(link_a), false));
    link_greet(link_a, 5000);
    plain_answer(old, 902, 4999);
    plain_answer(old, 903, 5001);
    for (unsigned i = 0; i < 300; i++)
        link_poll_one(link_a);
    assert_true(rp_link_up(link_a));
    int silent = plain_connect(B);
    UNTIL(plain_closed(silent) || (link_poll_one(link_a), false)); /* in its own time */
    plain_heartbeat(first, 3);
    assert_int_equal(link_take(link_a).sent, 3);
    assert_int_equal(rp_link_stats(link_a)->connects, 1);
    assert_int_equal(
        rp_link_stats(link_a)->refused[-FT_EMALFORMED] + rp_link_stats(link_a)->refused[-FT_ECHECKSUM], 3);
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_ETRUNC], 2);
    close(first), close(heartbeats), close(noisy), close(old), close(silent);
}

TEST_WITH(only_a_whole_death_notice_of_the_peer_is_heard, link_setup, link_teardown)
{
    struct sockaddr_in to = link_address(A, link_port_a), from = link_address(B, 0),
                       stranger = link_address("127.0.0.3", 0);
    const struct ft_datagram_key dead = {0xabcdef, {1, 2}};
    const struct ft_datagram notice = {.kind = FT_DEATH_NOTICE}, heartbeat = {.kind = FT_HEARTBEAT};
    const struct ft_crash_notice told = {.signal = 11, .nf = "nat"};
    struct ft_crash_notice crash = {.signal = 0};
    uint8_t bytes[FT_CRASH_BYTES];
    size_t len;

    link_open_a();
    int peer = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(peer, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(bind(other, (struct sockaddr *)&stranger, sizeof(stranger)), 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(connect(other, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(rp_link_death_notice(link_a, &dead, &crash), 0);
    ft_datagram_encode(&notice, &dead, bytes);
    send(other, bytes, FT_DATAGRAM_BYTES, 0);
    send(peer, bytes, FT_DATAGRAM_BYTES - 1, 0);
    send(peer, bytes, FT_DATAGRAM_BYTES + 1, 0);
    send(peer, bytes, 0, 0);
    bytes[20] ^= 1;
    send(peer, bytes, FT_DATAGRAM_BYTES, 0);
    ft_datagram_encode(&heartbeat, &dead, bytes); /* overheard on a data port */
    send(peer, bytes, FT_DATAGRAM_BYTES, 0);
    rp_link_wait(link_a, LINK_LIMIT);
    assert_int_equal(rp_link_death_notice(link_a, &dead, &crash), 0);
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_EPERM], 2);
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_EMALFORMED], 4);
    len = ft_crash_notice_encode(&told, &dead, bytes);
    send(other, bytes, len, 0); /* from elsewhere */
    rp_link_wait(link_a, LINK_LIMIT);
    assert_int_equal(rp_link_death_notice(link_a, &dead, &crash), 0);
    assert_int_equal(crash.signal, 0);
    send(peer, bytes, len, 0);
    ft_datagram_encode(&notice, &dead, bytes);
    send(peer, bytes, FT_DATAGRAM_BYTES, 0);
    rp_link_wait(link_a, LINK_LIMIT);
    assert_int_equal(rp_link_death_notice(link_a, &dead, &crash), 1);
    assert_memory_equal(&crash, &told,
                        sizeof(told)); /* what it died of is known when it is known to be dead */
    assert_int_equal(rp_link_death_notice(link_a, &dead, &crash), 0);
    send(peer, bytes, FT_DATAGRAM_BYTES, 0);
    rp_link_wait(link_a, LINK_LIMIT);
    assert_int_equal(rp_link_death_notice(link_a, NULL, &crash), 0); /* nobody's is expected */
    close(peer), close(other);
}

/* What a primary that lives drops: an earlier notice, sent again by anybody in the same moment, takes nothing
 * of the later one away. */
TEST_WITH(of_several_notices_the_latest_is_heard, link_setup, link_teardown)
{
    struct sockaddr_in to = link_address(A, link_port_a), from = link_address(B, 0);
    const struct ft_datagram_key alive = {0xabcdef, {1, 2}};
    struct ft_crash_notice crash = {.signal = 0};

    link_open_a();
    int peer = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(peer, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&to, sizeof(to)), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct ft_crash_notice notice = {.lane = FT_CRASH_NO_LANE, .packet = i == 1 ? 3 : 1};
        uint8_t bytes[FT_CRASH_BYTES];

        send(peer, bytes, ft_crash_notice_encode(&notice, &alive, bytes), 0);
    }
    rp_link_wait(link_a, LINK_LIMIT);
    assert_int_equal(rp_link_death_notice(link_a, &alive, &crash), 0);
    assert_int_equal(crash.packet, 3);
    close(peer);
}

/* OpenSSL would read a hello of 128 KiB, and take its time for each of its records. No time passes here. */
TEST_WITH(who_says_much_before_he_has_proved_himself_is_refused, link_setup, link_teardown)
{
    static const struct rp_keys key = {1, {{1, 2, 3}}};
    uint8_t hello[9 + 4000] = {22, 3, 1, 15, 164, 1, 0, 15, 160}; /* the beginning of one of 4,000 bytes */
    struct rp_link_config c = link_config(true);

    c.seal.keys = &key;
    link_open(&link_a, &c);
    int fd = plain_connect(B);
    plain_send(fd, hello, 2000);
    for (unsigned i = 0; i < 20; i++)
        link_poll_one(link_a);
    assert_false(plain_closed(fd));
    plain_send(fd, hello + 2000, 100);
    UNTIL(plain_closed(fd) || (link_poll_one(link_a), false));
    assert_int_equal(rp_link_stats(link_a)->refused[-FT_EPERM], 1);
    close(fd);
}

/* Whoever else is on the host could make the peer's answers to him end our connection. */
TEST_WITH(the_port_that_the_link_connects_from_is_nobody_elses, link_setup, link_teardown)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    int on = 1, other = socket(AF_INET, SOCK_STREAM, 0);

    int listener = plain_listen();
    link_open_b();
    int fd = plain_accept(listener);
    assert_int_equal(getpeername(fd, (struct sockaddr *)&from, &len), 0);
    assert_int_equal(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(other, (struct sockaddr *)&from, len), -1);
    assert_int_equal(errno, EADDRINUSE);
    close(fd), close(other), close(listener);
}
