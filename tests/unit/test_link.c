/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link over real sockets on the loopback: "a" listens on 127.0.0.1, "b" connects from 127.0.0.2, both in
 * this process. Where one side must misbehave it is a plain socket.
 */
#define _GNU_SOURCE
#include "replicator/link.h"
#include "tests/unit/help_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define A      "127.0.0.1"
#define B      "127.0.0.2"
#define LIMIT  5000000000ull /* of any waiting */
#define REPEAT (1u << 20)

static uint16_t port_a, port_b;
static struct rp_link *a, *b;
static struct ft_fault why;

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in address(const char *host, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};

    inet_pton(AF_INET, host, &at.sin_addr);
    return at;
}

static void open_a(void)
{
    struct rp_link_config c = {A, B, port_a, port_b, true, 20};

    if (rp_link_open(&a, &c, &why))
        fail_msg("%s", why.text);
}

static void open_b(void)
{
    struct rp_link_config c = {B, A, port_b, port_a, false, 20};

    if (rp_link_open(&b, &c, &why))
        fail_msg("%s", why.text);
}

static int setup(void **state)
{
    (void)state;
    port_a = help_free_port(A);
    port_b = help_free_port(B);
    a = b = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rp_link_close(a);
    rp_link_close(b);
    return 0;
}

#define UNTIL(cond) for (uint64_t end_ = now() + LIMIT; !(cond); help_not_beyond(end_, #cond))

static bool poll_one(struct rp_link *l)
{
    rp_link_wait(l, 1000000);
    rp_link_flush(l);
    return rp_link_poll(l, now());
}

static void connect_both(void)
{
    bool fresh_a = false, fresh_b = false;

    open_a();
    open_b();
    UNTIL((fresh_a |= poll_one(a), fresh_b |= poll_one(b), fresh_a && fresh_b));
    assert_true(rp_link_up(a) && rp_link_up(b));
    assert_false(rp_link_poll(a, now()) || rp_link_poll(b, now())); /* told once */
}

static struct ft_message beat(uint64_t sent)
{
    return (struct ft_message){.type = FT_MSG_BEAT, .state = FT_READY, .sent = sent};
}

static void send_beat(struct rp_link *l, uint64_t sent)
{
    struct ft_message m = beat(sent);

    assert_int_equal(rp_link_send(l, &m, 1, NULL), 0);
    rp_link_flush(l);
}

/* The next message, whatever time it takes to come. */
static struct ft_message take(struct rp_link *l)
{
    struct ft_message m;
    int rc;

    UNTIL((rc = rp_link_next(l, 1, &m, &why)) || (poll_one(l), false));
    if (rc < 0)
        fail_msg("%s", why.text);
    return m;
}

static enum rp_lost wait_lost(struct rp_link *l)
{
    enum rp_lost lost;

    UNTIL((lost = rp_link_lost(l, &why)) != RP_LOST_NONE || (poll_one(l), false));
    return lost;
}

/* ---- plain sockets in place of one side ---- */

static int plain_listen(void)
{
    struct sockaddr_in at = address(A, port_a);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static int plain_connect(const char *from)
{
    struct sockaddr_in local = address(from, 0), to = address(A, port_a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static int plain_accept(int listener)
{
    int fd;

    fcntl(listener, F_SETFL, O_NONBLOCK);
    UNTIL((fd = accept(listener, NULL, NULL)) >= 0 || (poll_one(b), false));
    UNTIL(rp_link_up(b) || (poll_one(b), false));
    return fd;
}

static void plain_send(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static void plain_beat(int fd, uint64_t sent)
{
    struct ft_message m = beat(sent);
    uint8_t out[2000];
    long len = ft_message_encode(&m, 1, NULL, out, sizeof(out));

    plain_send(fd, out, (size_t)len);
}

static void plain_hello(int fd)
{
    struct ft_message m = {.type = FT_MSG_HELLO,
                           .sent = 900,
                           .state = FT_JOINING,
                           .name = "b",
                           .lanes = 1,
                           .lease_ms = 1,
                           .detect_ms = 2,
                           .promote_within_ms = 3,
                           .solo_after_ms = 4};
    uint8_t out[2048];

    long len = ft_message_encode(&m, 1, NULL, out, sizeof(out));
    plain_send(fd, out, (size_t)len);
}

static void plain_answer(int fd, uint64_t sent, uint64_t echo)
{
    struct ft_message m = beat(sent);
    uint8_t out[2000];

    m.echo = echo;
    plain_send(fd, out, (size_t)ft_message_encode(&m, 1, NULL, out, sizeof(out)));
}

/* The hello we ask a second connection with. */
static void greet(struct rp_link *l, uint64_t sent)
{
    static const char identity[] = "chain x\n";
    struct ft_message m = {.type = FT_MSG_HELLO,
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

static void plain_reset(int fd)
{
    struct linger hard = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd);
}

/* True when the other side closed. */
static bool plain_closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* ---- tests ---- */

static void hellos_are_exchanged(void **state)
{
    struct ft_message m = {.type = FT_MSG_HELLO, .state = FT_JOINING, .incarnation = 11, .lanes = 2}, got;

    (void)state;
    connect_both();
    m.lease_ms = 1, m.detect_ms = 2, m.promote_within_ms = 3, m.solo_after_ms = 4;
    m.bulk = (const uint8_t *)"nat";
    m.bulk_len = m.identity_len = 3;
    strcpy(m.name, "north");
    assert_int_equal(rp_link_send(a, &m, 0, NULL), 0);
    strcpy(m.name, "south");
    assert_int_equal(rp_link_send(b, &m, 0, NULL), 0);
    rp_link_flush(a);
    rp_link_flush(b);
    got = take(a);
    assert_string_equal(got.name, "south");
    got = take(b);
    assert_string_equal(got.name, "north");
    assert_memory_equal(got.bulk, "nat", 3);
    const struct rp_link_stats *sa = rp_link_stats(a), *sb = rp_link_stats(b);
    assert_true(sa->connects == 1 && sa->frames_in == 1 && sa->frames_out == 1);
    assert_true(sa->bytes_out == sb->bytes_in && sa->bytes_in == sb->bytes_out && sa->bytes_in > 30);
    assert_int_equal(rp_link_lost(a, &why), RP_LOST_NONE);
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

    while ((rc = rp_link_next(f->to, 1, &m, &why)) == 1) {
        if (m.type != FT_MSG_LOG)
            continue;
        assert_int_equal(m.view, f->got);
        assert_int_equal(m.bulk_len, bulk_size(f->got));
        assert_memory_equal(m.bulk, pattern + f->got % 256, m.bulk_len);
        f->got++;
    }
    if (rc < 0)
        fail_msg("%s", why.text);
}

static void bulk_flows_both_ways_with_back_pressure(void **state)
{
    struct ft_message m = beat(1), bulk = {.type = FT_MSG_LOG, .state = FT_SOLO, .bulk = pattern};
    uint64_t total = 300, stalls = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * i >> 5 ^ i);
    connect_both();
    struct flow ab = {a, b, 0, 0}, ba = {b, a, 0, 0};
    /* Nobody reads: the buffers fill, bulk is refused, beats are not. */
    for (unsigned idle = 0; idle < 100;) {
        rp_link_flush(a);
        idle = flow_send(&ab) ? idle + 1 : 0;
    }
    bulk.bulk_len = FT_BULK_MAX;
    assert_int_equal(rp_link_send(a, &bulk, 1, NULL), FT_EFULL);
    bulk.bulk_len = (uint32_t)rp_link_room(a) + 1;
    assert_int_equal(rp_link_send(a, &bulk, 1, NULL), FT_EFULL);
    bulk.type = FT_MSG_SNAPSHOT;
    for (bulk.bulk_len = 1; rp_link_send(a, &bulk, 1, NULL) == 0;)
        continue;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(rp_link_send(a, &m, 1, NULL), 0);
    unsigned beats = 0;
    while (rp_link_send(a, &m, 1, NULL) == 0)
        beats++;
    assert_true(beats > 1000 && beats < RP_LINK_RESERVE);
    UNTIL(ab.got == total && ba.got == total)
    {
        for (struct flow *f = &ab; f; f = f == &ab ? &ba : NULL) {
            while (f->sent < total && flow_send(f) == 0)
                continue;
            stalls += f->sent < total;
            rp_link_flush(f->from);
            rp_link_poll(f->to, now());
            flow_take(f);
        }
    }
    assert_true(stalls > 2);
    assert_int_equal(rp_link_lost(a, NULL), RP_LOST_NONE);
    assert_int_equal(rp_link_room(a), FT_BULK_MAX);
}

static void one_poll_reads_a_bounded_amount(void **state)
{
    (void)state;
    connect_both();
    struct flow f = {a, b, 0, 0};
    /* The kernel's window opens as it sees us read. */
    UNTIL(f.got >= 300)
    {
        for (unsigned i = 0; i < 200; i++) {
            flow_send(&f);
            rp_link_flush(a);
        }
        uint64_t had = rp_link_stats(b)->bytes_in;
        rp_link_poll(b, now());
        assert_true(rp_link_stats(b)->bytes_in - had <= 1u << 20);
        flow_take(&f);
    }
}

static void end_of_file_comes_after_the_last_frame(void **state)
{
    (void)state;
    connect_both();
    send_beat(a, 1);
    send_beat(a, 2);
    send_beat(a, 3);
    rp_link_drop(a);
    assert_false(rp_link_up(a));
    assert_int_equal(rp_link_lost(a, NULL), RP_LOST_NONE); /* own doing */
    UNTIL(!rp_link_up(b) || (poll_one(b), false));
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(rp_link_lost(b, &why), RP_LOST_NONE);
        assert_int_equal(take(b).sent, i);
    }
    assert_int_equal(rp_link_lost(b, &why), RP_LOST_EOF);
    assert_string_equal(why.text, "the peer closed the connection");
    assert_int_equal(rp_link_lost(b, &why), RP_LOST_NONE); /* told once */
    struct ft_message m = beat(1);
    assert_int_equal(rp_link_send(b, &m, 1, NULL), FT_ENOENT);
    assert_int_equal(rp_link_room(b), 0);
}

static void part_of_a_frame_is_not_a_message(void **state)
{
    struct ft_message m;

    (void)state;
    int listener = plain_listen();
    open_b();
    int fd = plain_accept(listener);
    plain_beat(fd, 5);
    plain_send(fd, "\x20\0\0\0hal", 7);
    close(fd);
    assert_int_equal(take(b).sent, 5);
    assert_int_equal(wait_lost(b), RP_LOST_EOF);
    assert_int_equal(rp_link_next(b, 1, &m, NULL), 0);
    /* The next connection does not see what was left. */
    fd = plain_accept(listener);
    plain_beat(fd, 6);
    assert_int_equal(take(b).sent, 6);
    close(fd);
    close(listener);
}

static void reset_is_told_from_end_of_file(void **state)
{
    (void)state;
    int listener = plain_listen();
    open_b();
    int fd = plain_accept(listener);
    plain_beat(fd, 9);
    assert_int_equal(take(b).sent, 9);
    plain_reset(fd);
    assert_int_equal(wait_lost(b), RP_LOST_RESET);
    /* Also when it is a write that meets it; what came before is still read. */
    fd = plain_accept(listener);
    plain_beat(fd, 10);
    plain_reset(fd);
    send_beat(b, 1);
    send_beat(b, 2);
    assert_int_equal(take(b).sent, 10);
    assert_int_equal(wait_lost(b), RP_LOST_RESET);
    close(listener);
}

static int judge_bytes(int fd, const void *bytes, size_t len)
{
    struct ft_message m;
    int rc;

    plain_send(fd, bytes, len);
    UNTIL((rc = rp_link_next(a, 1, &m, &why)) || (poll_one(a), false));
    return rc;
}

static void malformed_bytes_are_named_and_counted(void **state)
{
    uint8_t other[8 + 7] = {7, 0, 0, 0, 0, 0, 0, 0, 0x96, 2, 2, 0, 0, 0, 3};
    struct ft_message m;
    uint32_t sum = (uint32_t)XXH3_64bits(other + 8, 7);

    (void)state;
    memcpy(other + 4, &sum, 4);
    open_a();
    int fd = plain_connect(B);
    UNTIL(rp_link_up(a) || (poll_one(a), false));
    plain_beat(fd, 4);
    assert_int_equal(take(a).sent, 4);
    assert_int_equal(judge_bytes(fd, "GET / HTTP/1.1\r\n\r\n", 18), FT_EMALFORMED);
    assert_non_null(strstr(why.text, "offset 0: frame of 542393671 bytes"));
    assert_true(rp_link_up(a));
    assert_int_equal(rp_link_lost(a, &why), RP_LOST_MALFORMED);
    assert_non_null(strstr(why.text, "offset 0: frame of 542393671 bytes"));
    assert_int_equal(rp_link_lost(a, &why), RP_LOST_NONE);
    /* Nothing from here can be believed; our own messages still leave. */
    plain_beat(fd, 5);
    for (unsigned i = 0; i < 10; i++)
        poll_one(a);
    assert_int_equal(rp_link_next(a, 1, &m, NULL), 0);
    assert_int_equal(rp_link_stats(a)->refused[-FT_EMALFORMED], 1);
    send_beat(a, 1);
    uint8_t c[4];
    assert_int_equal(recv(fd, c, 4, 0), 4);
    rp_link_drop(a);
    UNTIL(plain_closed(fd) || recv(fd, c, 1, MSG_DONTWAIT) == 7);
    close(fd);

    fd = plain_connect(B);
    UNTIL(rp_link_up(a) || (poll_one(a), false));
    assert_int_equal(judge_bytes(fd, "\5\0\0\0zzzz12345", 13), FT_ECHECKSUM);
    rp_link_drop(a);
    close(fd);
    fd = plain_connect(B);
    UNTIL(rp_link_up(a) || (poll_one(a), false));
    assert_int_equal(judge_bytes(fd, other, sizeof(other)), FT_EVERSION);
    plain_beat(fd, 6);
    close(fd);
    UNTIL(!rp_link_up(a) || (poll_one(a), false));
    assert_int_equal(rp_link_lost(a, &why), RP_LOST_EOF);
    assert_int_equal(rp_link_stats(a)->refused[-FT_ECHECKSUM], 1);
    assert_int_equal(rp_link_stats(a)->refused[-FT_EVERSION], 1);
}

static void noise_is_survived(void **state)
{
    uint64_t x = 12345;
    struct ft_message m;

    (void)state;
    open_a();
    for (unsigned round = 0; round < 200; round++) {
        uint8_t noise[300];
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (uint8_t)((x = x * 6364136223846793005ull + 1442695040888963407ull) >> 33);
        noise[1] &= round & 1 ? 0 : 0xff, noise[2] = 0, noise[3] = 0;
        int fd = plain_connect(B);
        plain_send(fd, noise, 1 + x % 299);
        if (round & 2)
            plain_reset(fd);
        else
            close(fd);
        enum rp_lost lost;
        UNTIL((rp_link_next(a, 1, &m, NULL), lost = rp_link_lost(a, &why)) == RP_LOST_EOF ||
              lost == RP_LOST_RESET || (poll_one(a), false));
    }
    assert_int_equal(rp_link_stats(a)->frames_in, 0);
    assert_true(rp_link_stats(a)->refused[-FT_ECHECKSUM] > 20);
}

static void strangers_are_refused(void **state)
{
    (void)state;
    open_a();
    int fd = plain_connect("127.0.0.3");
    UNTIL(plain_closed(fd) || (poll_one(a), false));
    assert_false(rp_link_up(a));
    assert_int_equal(rp_link_stats(a)->refused[-FT_EPERM], 1);
    close(fd);
    /* Nor do they disturb a connection that is there. */
    fd = plain_connect(B);
    UNTIL(rp_link_up(a) || (poll_one(a), false));
    int other = plain_connect("127.0.0.3");
    UNTIL(plain_closed(other) || (poll_one(a), false));
    plain_beat(fd, 3);
    assert_int_equal(take(a).sent, 3);
    assert_int_equal(rp_link_stats(a)->refused[-FT_EPERM], 2);
    assert_int_equal(rp_link_stats(a)->connects, 1);
    close(fd);
    close(other);
}

static void addresses_that_cannot_be_had(void **state)
{
    struct rp_link_config c = {A, B, port_a, port_b, true, 20};
    struct rp_link *l = (struct rp_link *)&c;
    char expected[100];

    (void)state;
    open_a();
    assert_int_equal(rp_link_open(&l, &c, &why), FT_EBUSY);
    assert_null(l);
    snprintf(expected, sizeof(expected), "replication address 127.0.0.1:%u is taken", port_a);
    assert_string_equal(why.text, expected);
    rp_link_close(a);
    a = NULL;
    int listener = plain_listen(); /* only the TCP port is taken */
    assert_int_equal(rp_link_open(&l, &c, &why), FT_EBUSY);
    assert_string_equal(why.text, expected);
    close(listener);
    c.local_host = "192.0.2.1";
    assert_int_equal(rp_link_open(&l, &c, &why), FT_ENOENT);
    assert_string_equal(why.text, "replication address 192.0.2.1 is not one of this host");
    c.local_host = "localhost";
    assert_int_equal(rp_link_open(&l, &c, &why), FT_EINVAL);
    assert_string_equal(why.text, "replication address localhost, expected a numeric IPv4 address");
    c.local_host = A, c.peer_host = "1.2.3";
    assert_int_equal(rp_link_open(&l, &c, NULL), FT_EINVAL);
    open_a(); /* nothing was left open */
}

static void a_broken_connection_is_made_again(void **state)
{
    (void)state;
    connect_both();
    rp_link_close(a); /* with our side closing first, the port stays in TIME_WAIT */
    a = NULL;
    assert_int_equal(wait_lost(b), RP_LOST_EOF);
    for (unsigned i = 0; i < 50; i++) /* refused meanwhile */
        assert_false(poll_one(b));
    open_a();
    bool fresh = false;
    uint64_t began = now();
    UNTIL((fresh |= poll_one(b), poll_one(a), fresh && rp_link_up(a)));
    assert_true(now() - began < 1000000000);
    send_beat(b, 77);
    assert_int_equal(take(a).sent, 77);
    assert_int_equal(rp_link_stats(b)->connects, 2);
}

static void the_newest_connection_wins(void **state)
{
    (void)state;
    open_a();
    int first = plain_connect(B);
    plain_beat(first, 1);
    UNTIL(rp_link_up(a) || (poll_one(a), false));
    plain_beat(first, 2);
    int second = plain_connect(B), third = plain_connect(B);
    uint64_t said = 0;

    assert_false(rp_link_asks(a, &said));
    plain_hello(third);
    plain_beat(third, 3); /* of old: it answers nothing */
    UNTIL(rp_link_asks(a, &said) || (poll_one(a), false));
    assert_int_equal(said, 900);
    greet(a, 5000);
    assert_false(rp_link_asks(a, &said)); /* once */
    for (unsigned i = 0; i < 20; i++)
        poll_one(a);
    assert_true(rp_link_up(a));
    assert_int_equal(rp_link_stats(a)->connects, 1);
    plain_answer(third, 4, 5000);
    UNTIL(!rp_link_up(a) || (poll_one(a), false));
    assert_int_equal(rp_link_lost(a, NULL), RP_LOST_NONE);
    assert_false(poll_one(a)); /* not before the old one's end was told */
    assert_int_equal(take(a).sent, 1);
    assert_int_equal(take(a).sent, 2);
    assert_int_equal(rp_link_lost(a, &why), RP_LOST_ERROR);
    assert_string_equal(why.text, "the peer made a new connection");
    assert_true(poll_one(a));
    assert_int_equal(rp_link_greeted(a), 5000);
    assert_int_equal(take(a).type, FT_MSG_HELLO);
    assert_int_equal(take(a).sent, 3);
    assert_int_equal(take(a).echo, 5000);
    UNTIL(plain_closed(first) && plain_closed(second));
    assert_int_equal(rp_link_stats(a)->connects, 2);
    /* When the old one's end is there already, that is what is told. */
    char hello[2048];

    assert_true(recv(third, hello, sizeof(hello), 0) > 0); /* what is left unread would make it a reset */
    close(third);
    int fourth = plain_connect(B);
    assert_int_equal(wait_lost(a), RP_LOST_EOF);
    UNTIL(rp_link_up(a) || (poll_one(a), false));
    assert_int_equal(rp_link_greeted(a), 0);
    plain_reset(fourth);
    int fifth = plain_connect(B);
    assert_int_equal(wait_lost(a), RP_LOST_RESET);
    close(first), close(second), close(fifth);
}

/* Whoever says no hello does not end a connection that lives, whatever else it says, or nothing. */
static void no_hello_no_connection(void **state)
{
    static const uint8_t noise[20000] = {0x10, 0, 0, 0, 1};

    (void)state;
    open_a();
    int first = plain_connect(B);
    plain_beat(first, 1);
    UNTIL(rp_link_up(a) || (poll_one(a), false));
    assert_int_equal(take(a).sent, 1);
    int beats = plain_connect(B);
    plain_beat(beats, 2);
    UNTIL(plain_closed(beats) || (poll_one(a), false));
    int noisy = plain_connect(B);
    plain_send(noisy, noise, sizeof(noise));
    UNTIL(plain_closed(noisy) || (poll_one(a), false));
    int gone = plain_connect(B);
    close(gone);
    int old = plain_connect(B); /* a recording */
    uint64_t said;
    plain_hello(old);
    plain_beat(old, 901);
    UNTIL(rp_link_asks(a, &said) || (poll_one(a), false));
    greet(a, 5000);
    plain_answer(old, 902, 4999);
    plain_answer(old, 903, 5001);
    for (unsigned i = 0; i < 300; i++)
        poll_one(a);
    assert_true(rp_link_up(a));
    int silent = plain_connect(B);
    UNTIL(plain_closed(silent) || (poll_one(a), false)); /* in its own time */
    plain_beat(first, 3);
    assert_int_equal(take(a).sent, 3);
    assert_int_equal(rp_link_stats(a)->connects, 1);
    assert_in_range(rp_link_stats(a)->refused[-FT_EMALFORMED] + rp_link_stats(a)->refused[-FT_ECHECKSUM], 3,
                    4);
    close(first), close(beats), close(noisy), close(old), close(silent);
}

static void the_death_notice(void **state)
{
    struct sockaddr_in to = address(A, port_a), from = address(B, 0), stranger = address("127.0.0.3", 0);
    struct ft_death_notice word = {0xabcdef, 5}, got = {0, 0};
    uint8_t bytes[FT_DEATH_NOTICE_BYTES + 1];

    (void)state;
    open_a();
    int peer = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(peer, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(bind(other, (struct sockaddr *)&stranger, sizeof(stranger)), 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(connect(other, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(rp_link_death_notice(a, &got), 0);
    ft_death_notice_encode(&word, bytes);
    send(other, bytes, FT_DEATH_NOTICE_BYTES, 0);
    send(peer, bytes, FT_DEATH_NOTICE_BYTES - 1, 0);
    send(peer, bytes, FT_DEATH_NOTICE_BYTES + 1, 0);
    send(peer, bytes, 0, 0);
    bytes[20] ^= 1;
    send(peer, bytes, FT_DEATH_NOTICE_BYTES, 0);
    rp_link_wait(a, LIMIT);
    assert_int_equal(rp_link_death_notice(a, &got), 0);
    assert_int_equal(rp_link_stats(a)->refused[-FT_EPERM], 1);
    assert_int_equal(rp_link_stats(a)->refused[-FT_EMALFORMED], 3);
    assert_int_equal(rp_link_stats(a)->refused[-FT_ECHECKSUM], 1);
    ft_death_notice_encode(&word, bytes);
    send(peer, bytes, FT_DEATH_NOTICE_BYTES, 0);
    rp_link_wait(a, LIMIT);
    assert_int_equal(rp_link_death_notice(a, &got), 1);
    assert_true(got.incarnation == 0xabcdef && got.view == 5);
    assert_int_equal(rp_link_death_notice(a, &got), 0);
    close(peer), close(other);
}

static void waiting_ends_when_something_comes(void **state)
{
    (void)state;
    connect_both();
    uint64_t began = now();
    rp_link_wait(b, 10000000);
    assert_true(now() - began >= 10000000);
    send_beat(a, 1);
    began = now();
    rp_link_wait(b, LIMIT);
    assert_true(now() - began < LIMIT);
    assert_int_equal(take(b).sent, 1);
    rp_link_drop(a);
    rp_link_wait(b, LIMIT);
    rp_link_poll(b, now());
    rp_link_wait(b, LIMIT); /* there is an end to be told */
    assert_int_equal(rp_link_lost(b, NULL), RP_LOST_EOF);
    assert_true(now() - began < LIMIT);
}

static void nothing_is_inherited(void **state)
{
    (void)state;
    connect_both();
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hellos_are_exchanged),
        TEST(bulk_flows_both_ways_with_back_pressure),
        TEST(one_poll_reads_a_bounded_amount),
        TEST(end_of_file_comes_after_the_last_frame),
        TEST(part_of_a_frame_is_not_a_message),
        TEST(reset_is_told_from_end_of_file),
        TEST(malformed_bytes_are_named_and_counted),
        TEST(noise_is_survived),
        TEST(strangers_are_refused),
        TEST(addresses_that_cannot_be_had),
        TEST(a_broken_connection_is_made_again),
        TEST(the_newest_connection_wins),
        TEST(no_hello_no_connection),
        TEST(the_death_notice),
        TEST(waiting_ends_when_something_comes),
        TEST(nothing_is_inherited),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
