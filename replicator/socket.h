/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets as the link needs them: IPv4, non-blocking, closed on exec, without delay. No state; called by the
 * link alone. A file of its own because the simulation has another one in its place (tests/sim/net.c).
 */
#ifndef REPLICATOR_SOCKET_H
#define REPLICATOR_SOCKET_H

#include "ftcore/base/error.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* `host` numeric IPv4: 0 or FT_EINVAL. */
int rp_address(struct sockaddr_in *out, const char *host, uint16_t port, struct ft_fault *fault);
/* The interface that has this address; "": none has it, or the loopback has. What is bound to a device below
 * takes nothing that arrives on another one. */
void rp_device(const struct sockaddr_in *at, char device[IF_NAMESIZE]);
/* A descriptor, or FT_EBUSY (taken), FT_ENOENT (not of this host), FT_EPERM, FT_EIO. */
int rp_listen(const struct sockaddr_in *at, const char *device, struct ft_fault *fault);
int rp_datagrams(const struct sockaddr_in *at, const char *device, struct ft_fault *fault);

/* The next connection waiting that comes from one of `from`[0..n): *who, the first that fits; others are
 * closed and counted. -1: none. */
int rp_accept(int listener, const struct in_addr from[], unsigned n, unsigned *who, uint64_t *strangers);
/* Begins to connect from `local`'s address, any port. -1: not now. */
int rp_connect(const struct sockaddr_in *local, const struct sockaddr_in *peer, const char *device);
/* 1 connected, 0 not yet, -1 failed. */
int rp_connected(int fd);
/* Of a connection, ever, us: bytes were under way, and of that because the peer did not read. False: the
 * system does not report it. */
bool rp_times(int fd, uint64_t *busy_us, uint64_t *full_us);

#endif
