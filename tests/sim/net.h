/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the simulated network share: sockets and connections (net.c), their streams of bytes
 * (stream.c), the guardians' datagrams (notice.c). */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "tests/sim/sim.h"

#include <sys/types.h>

#define SEGMENTS 4096u

struct sim_stream { /* towards one end */
    unsigned way;
    uint8_t *bytes;
    size_t room, head, tail;
    struct {
        uint64_t at;
        size_t end;
    } segment[SEGMENTS]; /* bytes up to `end` arrive at `at` */
    uint32_t first, last;
    uint64_t newest;
    uint64_t fin_at, error_at; /* SIM_NEVER */
    int error;
};

struct sim_conn {
    bool used;
    bool open[2]; /* whose end still has a socket */
    bool broken;  /* it timed out, and kernels say no more of it */
    unsigned node[2], way;
    struct sim_stream to[2];
};

struct sim_sock {
    enum { FREE, LISTENER, DATAGRAMS, CONNECTING, STREAM } kind;
    unsigned node, way, end, peer;
    struct sim_conn *conn;
    uint64_t at;    /* CONNECTING: answered then */
    uint64_t since; /* it takes nothing; 0: it does */
};

struct sim_sock *sim_sock_of(int fd);
bool sim_sock_there(int fd); /* false: it was of a process that is dead */

/* ---- stream.c ---- */
uint64_t sim_net_delay(void);                    /* of the next bytes, ns */
bool sim_net_blocked(unsigned to, unsigned way); /* nothing arrives at that node by that way now */
size_t sim_send_room(void);                      /* bytes that may be under way */
size_t sim_stream_arrived(struct sim_stream *s, unsigned node); /* bytes that `node` can read */
bool sim_stream_ended(const struct sim_stream *s, unsigned node);
void sim_stream_put(struct sim_stream *s, const uint8_t *bytes, size_t n);
/* What has not arrived by `at` never will: often half a frame. */
void sim_stream_cut(struct sim_stream *s, uint64_t at);

/* ---- seal.c ---- */
void sim_seal_begin(void);

/* ---- notice.c ---- */
void sim_notices_begin(void);
void sim_notices_gone(unsigned node);
int sim_notice_there(unsigned node); /* which one can be read; -1: none */

#endif
