/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node reports to the supervisor that started it, by systemd's protocol (sd_notify(3)): a datagram to
 * the socket that $NOTIFY_SOCKET names. It is sent or not, and never waits: a supervisor that takes nothing
 * cannot delay the node, so libsystemd, which waits, is not used. The socket is opened before the node gives
 * up its privileges, and sending needs none. Used by the main thread alone.
 */
#ifndef NODE_BASE_NOTIFY_H
#define NODE_BASE_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ND_NOTIFY_THREADS 17u /* 16 lanes and the replicator */

struct nd_notify {
    int fd; /* -1: no supervisor asked for reports */
    struct sockaddr_un to;
    socklen_t to_len;
    uint64_t watchdog_ns; /* without WATCHDOG=1 for so long the supervisor ends the node; 0: never */
    uint64_t fed;         /* when WATCHDOG was last sent, monotonic ns; 0: never */
    uint64_t seen[ND_NOTIFY_THREADS]; /* each thread's turn then */
    char status[256];                 /* as last sent */
};

/* By $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID, which programs that the node starts do not inherit. */
void nd_notify_open(struct nd_notify *n);
/* STOPPING=1, and closes. */
void nd_notify_close(struct nd_notify *n);
/* Sends READY=1 and STATUS=text if the text has changed. What the socket has no room for is sent by a later
 * call. */
void nd_notify_status(struct nd_notify *n, const char *text);
/*
 * WATCHDOG=1, three times in the watchdog's time, if each of the threads has begun another turn since the
 * last one. turn[i]: when thread i began its last turn, by any clock that never falls; 0: it has begun none.
 */
void nd_notify_watchdog(struct nd_notify *n, uint64_t now, const uint64_t turn[], unsigned threads);

#endif
