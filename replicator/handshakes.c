/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that were accepted and have not begun: which of them is the peer. Owned by the link. A sealed
 * one has to end its handshake; a plain one, beside a connection that lives, has to answer our hello (link.c
 * says why). Places and time are bounded, and so is how often one is accepted. When the places are full any
 * of them is given away: strangers who come in numbers take the peer's now and then, and not each time that
 * it tries.
 *
 * A connection that ends, waits too long, or loses its place before it has proved itself counts as truncated:
 * a peer that stops there does the same. One that says what the peer would not say counts as unproven.
 */
#include "replicator/connection.h"

#include "ftcore/base/check.h"

#include <errno.h>
#include <sys/socket.h>

#define HELLO_MAX (FT_FRAME_HEAD + FT_IDENTITY_MAX + 1024u)
#define PEEK_MAX  (HELLO_MAX + 4096u) /* and the heartbeats behind it */
#define PROOF_NS  1000000000ull       /* from accept to proof */

static void close_handshake(struct rp_handshake *h)
{
    rp_stream_close(h->stream, false);
    *h = (struct rp_handshake){.stream = NULL};
}

void rp_handshakes_close(struct rp_handshakes *all)
{
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        close_handshake(&all->place[i]);
}

bool rp_handshakes_any(const struct rp_handshakes *all)
{
    bool any = false;

    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        any |= all->place[i].stream != NULL;
    return any;
}

/* A free place, or any: nobody can tell whose he takes, and the peer tries again. */
static struct rp_handshake *find_place(struct rp_handshakes *all, uint64_t now)
{
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        if (!all->place[i].stream)
            return &all->place[i];
    all->random = (all->random ^ now) * 6364136223846793005u + 1442695040888963407u;
    return &all->place[(all->random >> 33) % RP_HANDSHAKES];
}

void rp_handshakes_accept(struct rp_handshakes *all, struct rp_seal *seal, int listener,
                          const struct sockaddr_in *peer, uint64_t now, uint64_t refused[])
{
    int fd = rp_accept(listener, peer, &refused[-FT_EPERM]);
    struct rp_stream *stream = fd < 0 ? NULL : rp_stream_open(seal, fd, true);
    struct rp_handshake *h = stream ? find_place(all, now) : NULL;

    if (!h)
        return;
    refused[-FT_ETRUNC] += h->stream != NULL;
    close_handshake(h);
    *h = (struct rp_handshake){.stream = stream, .came = now};
}

/* A hello, and behind it something that echoes ours. 1: both; 0: not yet; or what is wrong with them. */
static long read_proof(struct rp_handshake *h, const uint8_t *said, size_t len, uint8_t *bulk)
{
    struct ft_message m;
    long used = ft_message_decode(said, len, 0, &m, bulk, NULL);

    if (used <= 0)
        return used;
    if (m.type != FT_MSG_HELLO)
        return FT_EMALFORMED;
    h->said = m.sent;
    for (size_t at = (size_t)used; h->greeted; at += (size_t)used) {
        if ((used = ft_message_decode(said + at, len - at, 0, &m, bulk, NULL)) <= 0)
            return used;
        if (m.echo == h->greeted)
            return 1;
    }
    return 0;
}

/* 1: it has answered our hello; 0: not yet; or what is wrong. */
static long check_plain_proof(struct rp_handshake *h, uint8_t *bulk)
{
    uint8_t said[PEEK_MAX];
    ssize_t len = recv(rp_stream_fd(h->stream), said, sizeof(said), MSG_PEEK);
    long rc = len > 0 ? read_proof(h, said, (size_t)len, bulk) : 0;
    bool wait = len > 0 ? (size_t)len < sizeof(said) : len < 0 && (errno == EAGAIN || errno == EINTR);

    return rc == 0 && !wait ? FT_EMALFORMED : rc;
}

static long check_proof(struct rp_handshake *h, uint8_t *bulk)
{
    if (!rp_stream_sealed(h->stream))
        return check_plain_proof(h, bulk);
    int rc = rp_stream_handshake(h->stream);

    return rc == RP_STREAM_REFUSED ? FT_EPERM : rc < 0 ? FT_ETRUNC : rc;
}

static struct rp_handshake *find_newest(struct rp_handshakes *all)
{
    struct rp_handshake *last = NULL;

    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        if (all->place[i].stream && (!last || all->place[i].came > last->came))
            last = &all->place[i];
    return last;
}

/* Closes those that came before `h`: the peer has begun anew since. Returns h. */
static struct rp_handshake *close_older(struct rp_handshakes *all, struct rp_handshake *h)
{
    for (unsigned i = 0; h && i < RP_HANDSHAKES; i++)
        if (all->place[i].stream && all->place[i].came < h->came)
            close_handshake(&all->place[i]);
    return h;
}

struct rp_handshake *rp_handshakes_look(struct rp_handshakes *all, bool alive, uint64_t now, uint8_t *bulk,
                                        uint64_t refused[])
{
    struct rp_handshake *last = find_newest(all), *proven = NULL;

    if (last && !alive && !rp_stream_sealed(last->stream))
        return last;
    for (unsigned i = 0; i < RP_HANDSHAKES; i++) {
        struct rp_handshake *h = &all->place[i];
        long rc = h->stream ? check_proof(h, bulk) : 0;

        if (rc > 0 && (!proven || h->came > proven->came))
            proven = h;
        if (h->stream && rc <= 0 && (rc < 0 || now - h->came > PROOF_NS)) {
            refused[rc < 0 ? -rc : -FT_ETRUNC]++;
            close_handshake(h);
        }
    }
    return close_older(all, proven);
}

struct rp_handshake *rp_handshakes_without_hello(struct rp_handshakes *all)
{
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        if (all->place[i].stream && all->place[i].said && !all->place[i].greeted)
            return &all->place[i];
    return NULL;
}

void rp_handshake_greet(struct rp_handshake *h, const struct ft_message *m)
{
    uint8_t frame[HELLO_MAX];
    long len = ft_message_encode(m, 0, NULL, true, frame, sizeof(frame));

    FT_CHECK(len > 0, "a hello needs more than %zu bytes", sizeof(frame));
    /* Nothing was written there before, so it fits; else the connection is of no use. */
    if (rp_stream_write(h->stream, frame, (size_t)len) == len)
        h->greeted = m->sent;
    else
        close_handshake(h);
}
