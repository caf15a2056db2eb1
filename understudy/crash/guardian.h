/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guardian: a small process, forked before the node does anything else, that sends the peer a death
 * notice (datagrams, some at once, then spaced over 20 ms) the moment the node's lanes can send nothing any
 * more, and ends. It also ends, silently, when the node exits in order. It has no capability, and the system
 * calls that it needs, no others. One of two keepers has one as well: its peer is the primary, its only lane
 * the keeper's thread.
 */
#ifndef NODE_CRASH_GUARDIAN_H
#define NODE_CRASH_GUARDIAN_H

#include "ftcore/base/error.h"
#include "ftcore/record/datagram.h"
#include "understudy/crash/page.h"

#include <stdint.h>
#include <sys/types.h>

struct nd_guardian;

#define ND_GUARDIAN_WAYS 2u /* by which notices go: one, or both at once */

/* Before threads, sockets and DPDK; aimed at nobody yet. Hosts are numeric IPv4. second_host NULL: there is
 * one way, whose address this host has; of two it may have one later. The notice is made here: the guardian
 * has no key. `self` NULL: it is made by nd_guardian_notice. What the handler of a fatal signal leaves in
 * `page` for the peer goes with it; NULL: nobody leaves any. */
int nd_guardian_start(struct nd_guardian **out, unsigned lanes, const char *local_host,
                      const char *second_host, const struct ft_datagram_key *self,
                      const struct nd_crash_page *page, struct ft_fault *fault);
/* From now on the peer is there by that way (below ND_GUARDIAN_WAYS), NULL: nowhere; by any thread.
 * FT_EINVAL. */
int nd_guardian_aim(struct nd_guardian *g, unsigned way, const char *peer_host, uint16_t peer_port,
                    struct ft_fault *fault);
/* What it sends from now on, at most ND_NOTICE_MAX bytes. */
#define ND_NOTICE_MAX 160u
void nd_guardian_notice(struct nd_guardian *g, const void *bytes, size_t len);
/* Called once by each lane's thread, which keeps its mutex until the process ends. The guardian sends nothing
 * before all lanes did. */
void nd_guardian_hold(struct nd_guardian *g, unsigned lane);
/* Orderly end, without a notice: the peer sees the sockets' end, after the lanes have stopped. NULL: nothing.
 */
void nd_guardian_stop(struct nd_guardian *g);
/* A datagram to the peer from the node itself, from where the guardian's come; it may be lost. */
void nd_guardian_say(const struct nd_guardian *g, const void *bytes, size_t len);
/* Whether it lives: its process, or 0 when it has died, whose end this call takes: nobody sends a notice. */
pid_t nd_guardian_look(struct nd_guardian *g);

#endif
