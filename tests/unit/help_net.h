/* SPDX-License-Identifier: Apache-2.0 */
/* For tests with real sockets: a port, two links that are connected, and an end to waiting. */
#ifndef TESTS_UNIT_HELP_NET_H
#define TESTS_UNIT_HELP_NET_H

#include "replicator/link.h"

#include <stdint.h>

/* A TCP port that nobody has on `host`, an IPv4 address of this machine, at this moment. */
uint16_t help_free_port(const char *host);

/* Opens a link on each of two addresses of this machine, and waits until they are connected; "a" listens. The
 * ports are those that the links got. */
void help_links(struct rp_link *link[2], const char *const host[2], uint16_t port[2]);

/* Fails the test, by what was waited for, when the monotonic clock, ns, is beyond `end`. */
void help_not_beyond(uint64_t end, const char *what);

#endif
