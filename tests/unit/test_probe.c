/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prober against an echo server that loses, repeats, changes and delays exactly what this file says; in a
 * network namespace of the test's own.
 */
#define _GNU_SOURCE
#include "tests/help/test.h"
#include "tests/help/program.h"
#include "understudy/drill/probe.c"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define PORT 7107

static int own_network(void)
{
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (unshare(CLONE_NEWNET) < 0)
        return -1;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), bad = ioctl(s, SIOCSIFFLAGS, &r);
    close(s);
    return bad;
}

/* The datagram's number as the server counts: it sees each once and in order, on lo. */
static void answer(int s, unsigned number, uint8_t *bytes, size_t length, const struct sockaddr_in *to)
{
    unsigned times = 1;
    static uint8_t late[2048];
    if (number >= 100 && number < 110)
        return; /* 10 lost */
    if (number == 50)
        times = 3; /* 2 duplicated */
    if (number == 60)
        bytes[40] ^= 1; /* 1 contradicted */
    if (number == 70) {
        memcpy(late, bytes, length); /* 1 reordered: it goes after the next */
        return;
    }
    if (number == 250)
        help_sleep_ms(200); /* silence; then the socket's queue is answered */
    for (unsigned i = 0; i < times; i++)
        sendto(s, bytes, length, 0, (const struct sockaddr *)to, sizeof *to);
    if (number == 71)
        sendto(s, late, length, 0, (const struct sockaddr *)to, sizeof *to);
}

/* Returns when it is bound. */
static pid_t start_server(void)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child != 0) {
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        close(ready[1]);
        return child;
    }
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(0x7f000001)};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 4 << 20;
    /* What comes while it is silent, or has no processor, waits there: none is lost but those that it loses.
     */
    if (setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0 ||
        bind(s, (struct sockaddr *)&at, sizeof at) < 0)
        _exit(1);
    (void)!write(ready[1], "r", 1);
    for (unsigned number = 0;; number++) {
        uint8_t bytes[2048];
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(s, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
        if (n == 64)
            answer(s, number, bytes, (size_t)n, &from);
    }
}

/* Counts losses, and sees that each was sent later than the one before. */
static void note_loss(void *ctx, uint64_t sent_ns, uint64_t answered_ns)
{
    uint64_t *last = ctx; /* when, and how many */
    assert_true(sent_ns > last[0]);
    last[0] = sent_ns;
    assert_true(answered_ns == 0 || answered_ns >= sent_ns);
    last[1] += answered_ns == 0;
}

static void note_arrival(void *ctx, uint64_t at_ns)
{
    uint64_t *last = ctx; /* when, how many, and the longest time between two */
    assert_true(at_ns >= last[0]);
    if (last[0] != 0 && at_ns - last[0] > last[2])
        last[2] = at_ns - last[0];
    last[0] = at_ns;
    last[1]++;
}

TEST(the_prober_counts_what_the_server_did)
{
    struct nd_probe_options o = {.address = "127.0.0.1", .port = PORT, .interval_us = 1000, .seconds = 30};
    struct nd_prober *p;
    struct nd_probe_figures f;
    pid_t server = start_server();
    uint64_t begin = ft_now(); /* number 100 leaves 100 ms later at the soonest */
    assert_int_equal(nd_probe_start(&p, &o, &help_fault), FT_OK);
    do /* what the server does it does by number, not by time: its silence is over with the answer to 251 */
        help_sleep_ms(50);
    while (nd_probe_figures(p, 0, ft_now(), &f), f.sent < 500 || f.received < 300);
    uint64_t end = ft_now();
    stop_probe(p, 2000);
    nd_probe_figures(p, 0, ft_now(), &f);
    assert_true(f.sent <= (ft_now() - begin) / 1000000 + 2);
    assert_int_equal(f.lost, 10);
    assert_int_equal(f.received, f.sent - 10);
    assert_int_equal(f.duplicated, 2);
    assert_int_equal(f.contradicted, 1);
    assert_int_equal(f.reordered, 1);
    assert_int_equal(f.refused, 0);
    uint64_t losses[2] = {0, 0};
    nd_probe_sends(p, 0, ft_now(), note_loss, losses);
    assert_int_equal(losses[1], 10);
    memset(losses, 0, sizeof losses);
    nd_probe_sends(p, begin, begin + 90000000u, note_loss, losses); /* number 100 is not yet sent */
    assert_int_equal(losses[1], 0);
    uint64_t arrivals[3] = {0}, at;
    nd_probe_arrivals(p, -1, 0, ft_now(), note_arrival, arrivals);
    nd_probe_figures(p, 0, arrivals[0], &f);
    assert_int_equal(arrivals[1], f.received + f.duplicated);
    assert_int_equal(nd_probe_silence(p, -1, 0, arrivals[0], &at), arrivals[2]);
    assert_true(at > 0 && at + arrivals[2] <= arrivals[0]);
    assert_float_equal(f.silence_ms, (double)arrivals[2] / 1e6, 0.001);
    nd_probe_figures(p, begin, end, &f);
    assert_true(f.silence_ms >= 199);
    nd_probe_figures(p, begin, at - 1, &f); /* before it begins; a server without a processor is silent too */
    assert_true(f.silence_ms < (double)arrivals[2] / 1e6);
    nd_probe_free(p);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

TEST(the_prober_keeps_flows_busy)
{
    struct nd_probe_options o = {.to = "",
                                 .address = "127.0.0.1",
                                 .port = PORT + 1,
                                 .interval_us = 2000,
                                 .flows = 5,
                                 .flow_interval_us = 5000,
                                 .seconds = 30};
    struct nd_prober *p;
    struct nd_probe_figures f;
    assert_int_equal(nd_probe_start(&p, &o, &help_fault), FT_OK);
    do
        help_sleep_ms(50);
    while (nd_probe_figures(p, 0, ft_now(), &f), f.sent < 100 || f.flow_silence_ms == 0);
    stop_probe(p, 2000);
    nd_probe_figures(p, 0, ft_now(), &f);
    assert_int_equal(f.received, f.sent);
    assert_int_equal(f.contradicted, 0);
    assert_int_equal(f.flows, 5);
    assert_int_equal(f.flows_broken, 0);
    assert_true(f.flow_silence_ms >= 4); /* they speak every 5 ms */
    assert_true(f.flow_worst_ms >= f.flow_silence_ms);
    nd_probe_free(p);
}

TEST(the_prober_says_why_it_cannot_begin)
{
    struct nd_probe_options good = {
        .to = "", .address = "127.0.0.1", .port = 7109, .interval_us = 1000, .seconds = 1};
    struct nd_probe_options o = good;
    struct nd_prober *p;
    o.from = "no-such-space";
    assert_int_equal(nd_probe_start(&p, &o, &help_fault), FT_EIO);
    assert_non_null(strstr(help_fault.text, "no-such-space"));
    o = good;
    o.address = "10.9.8.7"; /* of nobody here */
    assert_int_equal(nd_probe_start(&p, &o, &help_fault), FT_EIO);
    assert_non_null(strstr(help_fault.text, "10.9.8.7"));
    o = good;
    o.interval_us = 5;
    assert_int_equal(nd_probe_start(&p, &o, &help_fault), FT_EINVAL);
    o = good;
    o.to = NULL; /* nobody listens: refused, not silently lost */
    assert_int_equal(nd_probe_start(&p, &o, &help_fault), FT_OK);
    struct nd_probe_figures f;
    UNTIL((nd_probe_figures(p, 0, ft_now(), &f), f.refused > 0)) help_sleep_ms(5);
    stop_probe(p, 50);
    nd_probe_figures(p, 0, ft_now(), &f);
    assert_int_equal(f.received, 0);
    assert_true(f.refused > 0);
    nd_probe_free(p);
}

int main(void)
{
    if (own_network() < 0) {
        printf("1..0 # SKIP no permission for a network namespace\n");
        return 0;
    }
    return help_tests_run();
}
