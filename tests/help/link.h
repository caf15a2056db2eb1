/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the link over real sockets on the loopback: "a" listens on 127.0.0.1, "b" connects from
 * 127.0.0.2, both in this process. Where one side must misbehave it is a plain socket. A failed assertion
 * ends the test that calls.
 */
#ifndef TESTS_HELP_LINK_H
#define TESTS_HELP_LINK_H

#include "replicator/link.h"
#include "tests/help/program.h"

#include <netinet/in.h>

#define A          "127.0.0.1"
#define B          "127.0.0.2"
#define LINK_LIMIT 5000000000ull /* ns, of a single wait */

extern uint16_t link_port_a, link_port_b;
extern struct rp_link *link_a, *link_b; /* NULL: not open; closed after each test */
extern struct ft_fault link_why;        /* of the last call that failed */

/* Of a cmocka test: free ports before, both links closed after. */
int link_setup(void **state);
int link_teardown(void **state);

struct sockaddr_in link_address(const char *host, uint16_t port);
/* How a (b) is opened, beside what seals the link. */
struct rp_link_config link_config(bool a);
void link_open(struct rp_link **link, const struct rp_link_config *config);
void link_open_a(void);
void link_open_b(void);
bool link_poll_one(struct rp_link *l); /* a millisecond of its life; true: it has a new connection */

struct ft_message link_heartbeat(uint64_t sent);
void link_send_heartbeat(struct rp_link *l, uint64_t sent);
struct ft_message link_take(struct rp_link *l); /* the next message, whatever time it takes to come */
enum rp_lost link_wait_lost(struct rp_link *l);

/* Plain sockets in place of one side; the caller closes them. */
int plain_listen(void); /* as a */
int plain_connect(const char *from);
void plain_send(int fd, const void *bytes, size_t len);
void plain_hello(int fd);
void plain_reset(int fd);  /* closes it by a reset */
bool plain_closed(int fd); /* the other side has closed */

#endif
