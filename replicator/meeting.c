/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the link's connections come to be: the attempts of the side that connects, and the handshakes of those
 * that come to the side that listens, on each way. Of the link, on the replicator's thread.
 *
 * The side that connects makes one attempt after the other, until the peer has proved itself. A connection
 * that is lost is made again at once. Where that fails, and where connections end as soon as they are made,
 * each attempt waits twice as long as the one before, up to RETRY_MOST_NS: a node that its peer refuses does
 * not keep both busy with handshakes.
 *
 * The side that listens finds out which of the connections that it accepted is the peer. A sealed one has to
 * end its handshake; a plain one, beside a connection that lives, has to answer our hello. Places and time
 * are bounded, and so is how often one is accepted. When the places are full any of them is given away:
 * strangers who come in numbers take the peer's now and then, and not each time that it tries. A connection
 * that ends, waits too long, or loses its place before it has proved itself counts as truncated: a peer that
 * stops there does the same. One that sends what the peer would not send counts as unproven.
 *
 * Where both nodes have two addresses, their handshakes agree that a connection is a way of a trunk
 * (trunk.h). Then the side that connects states to which session the connection belongs. Its first connection
 * begins a session; a connection that joins one not known here, since one of the two nodes has begun anew, is
 * refused (kind 4 in trunk.c).
 */
#include "replicator/link_parts.h"

#include "ftcore/base/check.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Turns of `retry` for an attempt without an answer; the kernel would next ask again after 1 s, then 2 s */
#define GIVE_UP 8u
/* The longest wait; and a connection that lasted for less than this counts as one that failed. */
#ifndef RETRY_MOST_NS /* the simulation's is shorter, as its times are */
#define RETRY_MOST_NS 1000000000ull
#endif
#define PEEK_MAX (RP_HELLO_MAX + 4096u) /* and the heartbeats behind it */
#ifndef VISIT_NS
#define VISIT_NS 200000000ull /* between two visits */
#endif

/* ---- the side that connects --------------------------------------------------------------------- */

/* This node and the one whose second address that is have two ways: they are offered. */
static bool has_two_ways(const struct rp_link *link, const struct sockaddr_in *second)
{
    return link->places == RP_WAYS && second->sin_port;
}

/* 1: the attempt has become a connection, whose peer has proved itself; 0: not yet; less: it has failed. */
static int advance_attempt(struct rp_link *link, struct rp_attempt *a)
{
    int done = a->connected ? 1 : rp_connected(rp_stream_fd(a->stream));

    a->connected = done > 0;
    if (done > 0 && (done = rp_stream_handshake(a->stream)) == RP_STREAM_REFUSED) {
        link->stats.refused[-FT_EPERM]++;
        link->stats.unproven += !a->visit;
    }
    return done;
}

static void back_off(struct rp_attempt *a)
{
    uint64_t twice = a->wait ? 2 * a->wait : a->retry_ns;

    a->wait = twice < RETRY_MOST_NS ? twice : RETRY_MOST_NS;
}

/* Each node's on each of its ways, now and then one. */
static const struct rp_other *choose_visit(struct rp_link *link, unsigned way, uint64_t now)
{
    const struct rp_other *to = &link->other[link->turn % link->others];

    if (now - link->visited < VISIT_NS || link->turn / link->others % link->places != way)
        return NULL;
    link->visited = now;
    link->turn++;
    return to->at[way].sin_port ? to : NULL;
}

/* The peer's, where this side connects to it; of a node that visits, now and then each one's in turn: the
 * peer's, too, which may not know yet that it is one. NULL: nobody's now. */
static const struct rp_other *choose_target(struct rp_link *link, unsigned way, struct rp_other *peer,
                                            uint64_t now)
{
    const struct rp_other *visited = link->visits && !link->stream ? choose_visit(link, way, now) : NULL;

    *peer = (struct rp_other){.node.port = 0};
    memcpy(peer->node.name, link->peer_name, sizeof(peer->node.name));
    for (unsigned i = 0; i < RP_WAYS; i++)
        peer->at[i] = link->place[i].peer;
    if (visited)
        return visited;
    return peer->at[way].sin_port && (!link->listens || link->calls || link->stream) ? peer : NULL;
}

static void begin_attempt(struct rp_link *link, unsigned way, uint64_t now)
{
    const struct rp_place *p = &link->place[way];
    struct rp_attempt *a = &link->place[way].attempt;
    struct rp_other peer;
    const struct rp_other *to = choose_target(link, way, &peer, now);
    int fd = to ? rp_connect(&p->local, &to->at[way], p->device) : -1;

    if (!to)
        return;
    a->begun = now;
    a->connected = false;
    a->visit = to != &peer;
    a->stream =
        fd < 0 ? NULL : rp_stream_open(link->seal, fd, false, to->node.name, has_two_ways(link, &to->at[1]));
    if (!a->stream && !a->visit)
        back_off(a);
}

void rp_attempts_close(struct rp_link *link)
{
    for (unsigned way = 0; way < RP_WAYS; way++) {
        rp_stream_close(link->place[way].attempt.stream, false);
        link->place[way].attempt.stream = NULL;
    }
}

bool rp_attempt_go_on(struct rp_link *link, unsigned way, uint64_t now, struct rp_next *next)
{
    struct rp_attempt *a = &link->place[way].attempt;
    int done = a->stream ? advance_attempt(link, a) : 0;

    a->made |= done > 0;
    if (done > 0) {
        *next = (struct rp_next){.stream = a->stream, .way = way};
        a->stream = NULL;
        return true;
    }
    if (a->stream && done == 0 && now - a->begun < GIVE_UP * a->retry_ns)
        return false;
    if (a->visit)
        a->visit = false;
    else if (a->made && now - a->begun >= RETRY_MOST_NS)
        a->wait = 0;
    else if (a->made || done < 0)
        back_off(a);
    a->made = false;
    rp_stream_close(a->stream, false);
    a->stream = NULL;
    if (now - a->begun >= a->wait)
        begin_attempt(link, way, now);
    return false;
}

/* ---- the side that listens ---------------------------------------------------------------------- */

static void close_handshake(struct rp_handshake *h)
{
    rp_stream_close(h->stream, false);
    *h = (struct rp_handshake){.stream = NULL};
}

void rp_close_unproven(struct rp_link *link)
{
    rp_attempts_close(link);
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        close_handshake(&link->handshakes.place[i]);
}

bool rp_handshakes_any(const struct rp_handshakes *all)
{
    bool any = false;

    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        any |= all->place[i].stream != NULL;
    return any;
}

/* A free place, or any: a stranger cannot choose whose place it takes, and the peer tries again. */
static struct rp_handshake *find_place(struct rp_handshakes *all, uint64_t now)
{
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        if (!all->place[i].stream)
            return &all->place[i];
    all->random = (all->random ^ now) * 6364136223846793005u + 1442695040888963407u;
    return &all->place[(all->random >> 33) % RP_HANDSHAKES];
}

/* Who may come by that way: the peer first, then all others, whose `other` it is. Returns how many. */
static unsigned list_callers(const struct rp_link *link, unsigned way, struct in_addr from[],
                             const struct rp_other *whom[])
{
    unsigned n = 0;

    if (link->place[way].peer.sin_port) {
        whom[n] = NULL;
        from[n++] = link->place[way].peer.sin_addr;
    }
    for (unsigned i = 0; i < link->others; i++)
        if (link->other[i].at[way].sin_port) {
            whom[n] = &link->other[i];
            from[n++] = link->other[i].at[way].sin_addr;
        }
    return n;
}

/* Accepts one that waits. When all places are taken one of them is given away. */
static void accept_handshake(struct rp_link *link, unsigned way, uint64_t now)
{
    uint64_t *refused = link->stats.refused;
    struct in_addr from[RP_NODES + 1];
    const struct rp_other *whom[RP_NODES + 1];
    unsigned n = list_callers(link, way, from, whom), who;
    bool aimed = link->place[0].peer.sin_port;
    int fd = rp_accept(link->place[way].listener, from, n, &who, &refused[-FT_EPERM]);
    const struct rp_other *other = fd < 0 ? NULL : whom[who];
    bool visits = aimed && other;
    /* A visitor is heard on one connection alone. */
    bool two = !visits && has_two_ways(link, other ? &other->at[1] : &link->place[1].peer);
    struct rp_stream *stream =
        fd < 0 ? NULL : rp_stream_open(link->seal, fd, true, other ? other->node.name : link->peer_name, two);
    struct rp_handshake *h = stream && !visits ? find_place(&link->handshakes, now) : NULL;

    if (stream && visits)
        rp_visitor_take(&link->visitor, stream, now);
    if (!h)
        return;
    refused[-FT_ETRUNC] += h->stream != NULL;
    close_handshake(h);
    *h = (struct rp_handshake){.stream = stream, .way = way, .came = now};
}

void rp_handshakes_accept(struct rp_link *link, uint64_t now)
{
    for (unsigned way = 0; way < link->places; way++) {
        struct rp_place *p = &link->place[way];

        if (!p->listener_ready || now - p->accepted < LOOK_NS)
            continue;
        accept_handshake(link, way, now);
        p->accepted = now;
        p->listener_ready = false;
    }
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

    if (rc > 0 && rp_stream_two_ways(h->stream))
        rc = (rc = rp_joining_receive(h->stream, &h->hearing, &h->peers)) < 0 ? RP_STREAM_ENDED : rc;
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

/*
 * Goes on with what they have to show, and closes and counts those that are wrong or too slow. Returns one
 * that may begin, or NULL: its handshake is over; of plain ones, beside a connection that lives, a whole
 * hello and an echo of ours have come by it, else it is the newest. What came by it stays unread.
 */
static struct rp_handshake *look_at_handshakes(struct rp_link *link, uint64_t now)
{
    struct rp_handshakes *all = &link->handshakes;
    struct rp_handshake *last = find_newest(all), *proven = NULL;

    if (last && !link->stream && !rp_stream_sealed(last->stream))
        return last;
    for (unsigned i = 0; i < RP_HANDSHAKES; i++) {
        struct rp_handshake *h = &all->place[i];
        long rc = h->stream ? check_proof(h, link->in.bulk) : 0;

        if (rc > 0 && (!proven || h->came > proven->came))
            proven = h;
        if (h->stream && rc <= 0 && (rc < 0 || now - h->came > RP_PROOF_NS)) {
            link->stats.refused[rc < 0 ? -rc : -FT_ETRUNC]++;
            link->stats.unproven += rc == FT_EPERM;
            close_handshake(h);
        }
    }
    return proven;
}

/* Closes those that came before `h`: the peer has begun anew since, with that way or with all. */
static void close_older(struct rp_handshakes *all, const struct rp_handshake *h, bool every_way)
{
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        if (all->place[i].stream && all->place[i].came < h->came &&
            (every_way || all->place[i].way == h->way))
            close_handshake(&all->place[i]);
}

bool rp_handshakes_look(struct rp_link *link, uint64_t now, struct rp_next *next)
{
    struct rp_handshake *h = look_at_handshakes(link, now);

    if (!h)
        return false;
    bool two = rp_stream_two_ways(h->stream), begins = !two || h->peers.begins;

    close_older(&link->handshakes, h, begins);
    if (begins)
        *next = (struct rp_next){.stream = h->stream,
                                 .way = h->way,
                                 .greeted = h->greeted,
                                 .accepted = true,
                                 .session = h->peers.session};
    else if (link->stream && rp_trunk_session(link->stream) == h->peers.session)
        rp_trunk_attach(link->stream, h->stream, h->way);
    else
        rp_joining_refuse(h->stream);
    *h = (struct rp_handshake){.stream = NULL};
    return begins;
}

/* One that has sent a hello and has not got ours, or NULL. */
static struct rp_handshake *find_without_hello(struct rp_handshakes *all)
{
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        if (all->place[i].stream && all->place[i].said && !all->place[i].greeted)
            return &all->place[i];
    return NULL;
}

bool rp_link_needs_hello(struct rp_link *link, uint64_t *sent)
{
    const struct rp_handshake *h = link->stream ? find_without_hello(&link->handshakes) : NULL;

    *sent = h ? h->said : 0;
    return h != NULL;
}

void rp_link_greet(struct rp_link *link, const struct ft_message *m)
{
    struct rp_handshake *h = find_without_hello(&link->handshakes);
    uint8_t frame[RP_HELLO_MAX];
    long len = ft_message_encode(m, 0, NULL, true, frame, sizeof(frame));

    FT_CHECK(len > 0, "a hello needs more than %zu bytes", sizeof(frame));
    /* Nothing was written there before, so it fits; else the connection is of no use. */
    if (rp_stream_write(h->stream, frame, (size_t)len) == len)
        h->greeted = m->sent;
    else
        close_handshake(h);
}

uint64_t rp_link_greeted(const struct rp_link *link)
{
    return link->greeted;
}
