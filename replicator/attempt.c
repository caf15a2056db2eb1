/* SPDX-License-Identifier: Apache-2.0 */
/* The side that connects: one attempt after the other, until the peer has proved itself. Owned by the link.
 */
#include "replicator/connection.h"

/* Turns of `retry` for an attempt without an answer; the kernel would next ask again after 1 s, then 2 s */
#define GIVE_UP 8u

/* 1: the attempt has become a connection, whose peer has proved itself; 0: not yet; -1: it has failed. */
static int look_at(struct rp_attempt *a, uint64_t refused[])
{
    int done = a->connected ? 1 : rp_connected(rp_stream_fd(a->stream));

    a->connected = done > 0;
    if (done > 0 && (done = rp_stream_handshake(a->stream)) < 0)
        refused[-FT_EPERM]++;
    return done;
}

bool rp_attempt_go_on(struct rp_attempt *a, struct rp_seal *seal, const struct sockaddr_in *local,
                      const struct sockaddr_in *peer, uint64_t now, uint64_t refused[])
{
    int done = a->stream ? look_at(a, refused) : -1, fd;

    if (done > 0)
        return true;
    if (done == 0 && now - a->begun < GIVE_UP * a->retry_ns)
        return false;
    rp_stream_close(a->stream, false);
    a->stream = NULL;
    if (a->any && now - a->begun < a->retry_ns)
        return false;
    a->any = true;
    a->begun = now;
    a->connected = false;
    fd = rp_connect(local, peer);
    a->stream = fd < 0 ? NULL : rp_stream_open(seal, fd, false);
    return false;
}
