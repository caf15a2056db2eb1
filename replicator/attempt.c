/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The side that connects: one attempt after the other, until the peer has proved itself. Owned by the link.
 *
 * A connection that is lost is made again at once. Where that fails, and where connections end as soon as
 * they are made, each attempt waits twice as long as the one before, up to RETRY_MOST_NS: a node that its
 * peer refuses does not keep both busy with handshakes.
 */
#include "replicator/connection.h"

/* Turns of `retry` for an attempt without an answer; the kernel would next ask again after 1 s, then 2 s */
#define GIVE_UP 8u
/* The longest wait; and a connection that lasted for less than this counts as one that failed. */
#ifndef RETRY_MOST_NS /* the simulation's is shorter, as its times are */
#define RETRY_MOST_NS 1000000000ull
#endif

/* 1: the attempt has become a connection, whose peer has proved itself; 0: not yet; less: it has failed. */
static int advance_attempt(struct rp_attempt *a, uint64_t refused[])
{
    int done = a->connected ? 1 : rp_connected(rp_stream_fd(a->stream));

    a->connected = done > 0;
    if (done > 0 && (done = rp_stream_handshake(a->stream)) == RP_STREAM_REFUSED)
        refused[-FT_EPERM]++;
    return done;
}

static void back_off(struct rp_attempt *a)
{
    uint64_t twice = a->wait ? 2 * a->wait : a->retry_ns;

    a->wait = twice < RETRY_MOST_NS ? twice : RETRY_MOST_NS;
}

static void begin_attempt(struct rp_link *link, uint64_t now)
{
    struct rp_attempt *a = &link->attempt;
    int fd = rp_connect(&link->local, &link->peer, link->device);

    a->begun = now;
    a->connected = false;
    a->stream = fd < 0 ? NULL : rp_stream_open(link->seal, fd, false);
    if (!a->stream)
        back_off(a);
}

bool rp_attempt_go_on(struct rp_link *link, uint64_t now)
{
    struct rp_attempt *a = &link->attempt;
    int done = a->stream ? advance_attempt(a, link->stats.refused) : 0;

    a->made |= done > 0;
    if (done > 0)
        return true;
    if (a->stream && done == 0 && now - a->begun < GIVE_UP * a->retry_ns)
        return false;
    if (a->made && now - a->begun >= RETRY_MOST_NS)
        a->wait = 0;
    else if (a->made || done < 0)
        back_off(a);
    a->made = false;
    rp_stream_close(a->stream, false);
    a->stream = NULL;
    if (now - a->begun >= a->wait)
        begin_attempt(link, now);
    return false;
}
