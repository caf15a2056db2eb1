/* SPDX-License-Identifier: Apache-2.0 */
/* For tests with real sockets: a port, and an end to waiting. */
#ifndef TESTS_HELP_NET_H
#define TESTS_HELP_NET_H

#include <stdint.h>

/* A TCP port that nobody has on `host`, an IPv4 address of this machine, at this moment. */
uint16_t help_free_port(const char *host);

/* Fails the test, by what was waited for, when the monotonic clock, ns, is beyond `end`. */
void help_not_beyond(uint64_t end, const char *what);

#endif
