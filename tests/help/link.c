/* SPDX-License-Identifier: Apache-2.0 */
/* Two links on the loopback, and plain sockets in place of one. See link.h. */
#define _GNU_SOURCE
#include "tests/help/test.h"
#include "tests/help/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

uint16_t link_port_a, link_port_b;
struct rp_link *link_a, *link_b;
struct ft_fault link_why;

struct sockaddr_in link_address(const char *host, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};

    inet_pton(AF_INET, host, &at.sin_addr);
    return at;
}

struct rp_link_config link_config(bool a)
{
    return (struct rp_link_config){.local_host = a ? A : B,
                                   .peer_host = a ? B : A,
                                   .local_port = a ? link_port_a : link_port_b,
                                   .peer_port = a ? link_port_b : link_port_a,
                                   .listens = a,
                                   .retry_ms = 20};
}

void link_open(struct rp_link **link, const struct rp_link_config *config)
{
    if (rp_link_open(link, config, &link_why))
        fail_msg("%s", link_why.text);
}

void link_open_a(void)
{
    struct rp_link_config c = link_config(true);

    link_open(&link_a, &c);
}

void link_open_b(void)
{
    struct rp_link_config c = link_config(false);

    link_open(&link_b, &c);
}

int link_setup(void **state)
{
    link_port_a = help_free_port(A);
    link_port_b = help_free_port(B);
    link_a = link_b = NULL;
    return 0;
}

int link_teardown(void **state)
{
    rp_link_close(link_a);
    rp_link_close(link_b);
    return 0;
}

bool link_poll_one(struct rp_link *l)
{
    rp_link_wait(l, 1000000);
    rp_link_flush(l);
    return rp_link_poll(l, ft_now());
}

struct ft_message link_heartbeat(uint64_t sent)
{
    return (struct ft_message){.type = FT_MSG_HEARTBEAT, .state = FT_READY, .sent = sent};
}

void link_send_heartbeat(struct rp_link *l, uint64_t sent)
{
    struct ft_message m = link_heartbeat(sent);

    assert_int_equal(rp_link_send(l, &m, 1, NULL), 0);
    rp_link_flush(l);
}

struct ft_message link_take(struct rp_link *l)
{
    struct ft_message m;
    int rc;

    UNTIL((rc = rp_link_next(l, 1, &m, &link_why)) || (link_poll_one(l), false));
    if (rc < 0)
        fail_msg("%s", link_why.text);
    return m;
}

enum rp_lost link_wait_lost(struct rp_link *l)
{
    enum rp_lost lost;

    UNTIL((lost = rp_link_lost(l, &link_why)) != RP_LOST_NONE || (link_poll_one(l), false));
    return lost;
}

/* ---- plain sockets in place of one side ---- */

int plain_listen(void)
{
    struct sockaddr_in at = link_address(A, link_port_a);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

int plain_connect(const char *from)
{
    struct sockaddr_in local = link_address(from, 0), to = link_address(A, link_port_a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

void plain_send(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

void plain_hello(int fd)
{
    struct ft_message m = {.type = FT_MSG_HELLO,
                           .newest = FT_FORMAT_NEWEST,
                           .oldest = FT_FORMAT_OLDEST,
                           .sent = 900,
                           .state = FT_JOINING,
                           .name = "b",
                           .lanes = 1,
                           .lease_ms = 1,
                           .detect_ms = 2,
                           .promote_within_ms = 3,
                           .solo_after_ms = 4};
    uint8_t out[2048];

    long len = ft_message_encode(&m, 1, NULL, true, out, sizeof(out));
    plain_send(fd, out, (size_t)len);
}

void plain_reset(int fd)
{
    struct linger hard = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd);
}

bool plain_closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}
