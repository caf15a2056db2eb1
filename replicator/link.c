/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link: the connection to the peer, what waits to be written to it and what was read from it, and the
 * guardians' datagrams. Used by the replicator's thread alone.
 *
 * A connection ends in this order: data read to the end, its frames handed out, the loss told once, and only
 * then the next connection begins, so what the two said is never mixed. Of two the newest wins, as soon as it
 * has said a whole hello and echoed ours: the peer makes a second one only when it knows nothing of the
 * first. Whoever else is on the peer's host (a port scan, a health check, a recording of an old hello) must
 * not end a connection that lives, since that would look like our death.
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
 * stops there does the same. One that says what the peer would not say counts as unproven.
 *
 * The connection has two buffers. Both are straight, twice as large as what they may hold, and a frame is
 * always in one piece. What was read moves to the front when at least four times as much has been taken, so
 * that few bytes move and the buffer is as good as always in the cache; what is to be written, when there is
 * no room behind it.
 *
 * The stream and the sockets lie in files of their own: the simulation puts others in their place.
 */
#define _GNU_SOURCE /* ppoll */
#include "replicator/link.h"

#include "ftcore/base/check.h"
#include "ftcore/base/plant.h"
#include "replicator/socket.h"
#include "replicator/visitor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Bytes of the two buffers. The simulation has smaller ones, and so below, in some seeds: they run full. */
#ifndef IN_CAP
#define IN_CAP (2u * (FT_MESSAGE_MAX + FT_FRAME_HEAD))
#endif
#ifndef OUT_CAP
#define OUT_CAP (2u * RP_LINK_OUT)
#endif
#ifndef READ_BUDGET
#define READ_BUDGET (1u << 20) /* bytes per poll */
#endif
/* Between looks at the sockets that hardly ever speak, unless a wait saw something. */
#define LOOK_NS 200000u
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
#ifndef NOTICES_MAX    /* the simulation has fewer in some seeds */
#define NOTICES_MAX 64 /* datagrams per call */
#endif

/* What was read, and not handed out. */
struct rp_input {
    uint8_t *bytes, *bulk; /* as read; decompressed bulk of the message handed out last */
    size_t at, end;        /* bytes[at, end) wait */
};

/* Encoded messages that wait to be written. */
struct rp_output {
    uint8_t *bytes;
    size_t at, end; /* what waits is bytes[at, end) */
    bool stalled;   /* the kernel took less than was offered last */
    int broken;     /* errno of a write that failed: nothing more is written; 0: none */
};

struct rp_attempt {
    uint64_t retry_ns; /* the first wait; an attempt without an answer is given up after eight times that */
    struct rp_stream *stream; /* NULL: none is under way */
    bool connected;           /* its socket is; its handshake is not over */
    bool made;                /* the last one has become a connection */
    bool visit;               /* to a node that is not the peer: it does not count for `wait` */
    uint64_t begun;           /* the last one, ns */
    uint64_t wait;            /* from its beginning to the next one, ns; 0: what was before did not fail */
};

/* Connections that were accepted and have not begun. */
#define RP_HANDSHAKES 16u /* at a time */

struct rp_handshake {
    struct rp_stream *stream; /* NULL: the place is free */
    uint64_t came;            /* when it was accepted, ns */
    uint64_t said;            /* plain: `sent` of its hello; 0: it has said none yet */
    uint64_t greeted;         /* plain: `sent` of our hello there; 0: none yet */
};

struct rp_handshakes {
    struct rp_handshake place[RP_HANDSHAKES];
    uint64_t random; /* which place is given away when all are taken; any number to begin with */
};

struct rp_other {
    struct rp_node node;
    struct sockaddr_in at;
};

struct rp_link {
    struct sockaddr_in local, peer; /* peer: its sin_port 0: whichever of `other` comes */
    bool listens, visits;
    char name[FT_NAME_MAX], peer_name[FT_NAME_MAX];
    struct rp_other other[RP_NODES]; /* all that may be the peer, it among them */
    unsigned others, turn;           /* turn: which is visited next */
    bool calls; /* the peer has just become it, and may not know: this side connects, whatever the order */
    uint64_t visited; /* when one was tried last, ns */
    struct rp_visitor visitor;
    struct rp_seal *seal;      /* NULL: connections are plain */
    char device[IF_NAMESIZE];  /* that the sockets are bound to; "": none */
    int listener, datagrams;   /* listener -1: we connect */
    struct rp_stream *stream;  /* the connection, NULL: none */
    struct rp_attempt attempt; /* to connect */
    struct rp_handshakes handshakes;
    struct rp_stream *next;    /* begins when the end of the one before was told */
    uint64_t next_greeted;     /* as `greeted`, of `next` */
    uint64_t greeted;          /* `sent` of our hello on the connection, said before it began; 0: none */
    bool malformed;            /* what comes is read and thrown away */
    bool fresh, malformed_new; /* not yet told by poll, by lost */
    enum rp_lost lost;         /* not yet told by lost; fd is -1 then */
    bool listener_ready, datagrams_ready; /* the listener, the datagram socket may have something */
    uint64_t accepted, looked;            /* when one was accepted, and the listener looked at, last, ns */
    bool is_looked_at;                    /* the listener, by rp_link_rest, since then */
    struct ft_fault fault;
    struct rp_input in;
    struct rp_output out;
    struct rp_link_stats stats;
};

/* ---- what was read ------------------------------------------------------------------------------ */

/* Bytes that may be written at `end`. 0 when a message has to be handed out first (there is a whole one
 * then). */
static size_t input_room(struct rp_input *in)
{
    if (in->at == in->end)
        in->at = in->end = 0;
    if (in->at >= IN_CAP / 2 || in->at / 4 >= in->end - in->at) {
        memmove(in->bytes, in->bytes + in->at, in->end - in->at);
        in->end -= in->at;
        in->at = 0;
    }
    return IN_CAP - in->end;
}

/* True when input_next has something to say: a whole frame, or one that can be refused already. */
static bool input_whole(const struct rp_input *in)
{
    size_t have = in->end - in->at;
    uint32_t size;

    if (have < sizeof(size))
        return false;
    memcpy(&size, in->bytes + in->at, sizeof(size));
    return size < 1 || size > FT_MESSAGE_MAX || have >= FT_FRAME_HEAD + size;
}

/* 1: a message; 0: none is whole; or an error of ft_message_decode, and nothing waits any more. */
static int input_next(struct rp_input *in, unsigned lanes, struct ft_message *m, struct ft_fault *fault)
{
    long used = ft_message_decode(in->bytes + in->at, in->end - in->at, lanes, m, in->bulk, fault);

    if (used > 0)
        in->at += (size_t)used;
    if (used < 0)
        in->at = in->end = 0;
    return used > 0 ? 1 : (int)used;
}

/* ---- the side that connects --------------------------------------------------------------------- */

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

/* The peer's, where this side connects to it; of a node that visits, now and then each one's in turn: the
 * peer's, too, which may not know yet that it is one. NULL: nobody's now. */
static const struct rp_other *choose_target(struct rp_link *link, struct rp_other *peer, uint64_t now)
{
    *peer = (struct rp_other){.at = link->peer};
    memcpy(peer->node.name, link->peer_name, sizeof(peer->node.name));
    if (link->visits && now - link->visited >= VISIT_NS) {
        link->visited = now;
        return &link->other[link->turn++ % link->others];
    }
    return link->peer.sin_port && (!link->listens || link->calls) ? peer : NULL;
}

static void begin_attempt(struct rp_link *link, uint64_t now)
{
    struct rp_attempt *a = &link->attempt;
    struct rp_other peer;
    const struct rp_other *to = choose_target(link, &peer, now);
    int fd = to ? rp_connect(&link->local, &to->at, link->device) : -1;

    if (!to)
        return;
    a->begun = now;
    a->connected = false;
    a->visit = to != &peer;
    a->stream = fd < 0 ? NULL : rp_stream_open(link->seal, fd, false, to->node.name);
    if (!a->stream && !a->visit)
        back_off(a);
}

/* Goes on with the link's attempt, or begins one when it is time. True: `stream` is a connection, for the
 * caller to take. Not called while a connection stands. */
static bool go_on_with_attempt(struct rp_link *link, uint64_t now)
{
    struct rp_attempt *a = &link->attempt;
    int done = a->stream ? advance_attempt(link, a) : 0;

    a->made |= done > 0;
    if (done > 0)
        return true;
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
        begin_attempt(link, now);
    return false;
}

/* ---- the side that listens ---------------------------------------------------------------------- */

static void close_handshake(struct rp_handshake *h)
{
    rp_stream_close(h->stream, false);
    *h = (struct rp_handshake){.stream = NULL};
}

static void handshakes_close(struct rp_handshakes *all)
{
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        close_handshake(&all->place[i]);
}

/* Connections that have not shown yet who they are. */
static void close_unproven(struct rp_link *link)
{
    rp_stream_close(link->attempt.stream, false);
    link->attempt.stream = NULL;
    handshakes_close(&link->handshakes);
}

static bool handshakes_any(const struct rp_handshakes *all)
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

/* Accepts one that waits. When all places are taken one of them is given away. */
static void accept_handshake(struct rp_link *link, uint64_t now)
{
    uint64_t *refused = link->stats.refused;
    struct in_addr from[RP_NODES + 1];
    const char *name = link->peer_name;
    unsigned n = 0, who;

    if (link->peer.sin_port)
        from[n++] = link->peer.sin_addr;
    for (unsigned i = 0; i < link->others; i++)
        from[n++] = link->other[i].at.sin_addr;
    int fd = rp_accept(link->listener, from, n, &who, &refused[-FT_EPERM]);
    bool visits = link->peer.sin_port && who > 0;

    if (fd >= 0 && (visits || !link->peer.sin_port))
        name = link->other[who - (link->peer.sin_port != 0)].node.name;
    struct rp_stream *stream = fd < 0 ? NULL : rp_stream_open(link->seal, fd, true, name);
    struct rp_handshake *h = stream && !visits ? find_place(&link->handshakes, now) : NULL;

    if (stream && visits)
        rp_visitor_take(&link->visitor, stream, now);
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

/*
 * Goes on with what they have to show, and closes and counts those that are wrong or too slow. Returns one
 * that may begin, or NULL: its handshake is over; of plain ones, beside a connection that lives, it has said
 * a whole hello and echoed ours, else it is the newest. What it said stays unread.
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
    return close_older(all, proven);
}

/* One that has said a hello and has not had ours, or NULL. */
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

/* ---- the connection ----------------------------------------------------------------------------- */

static void clear_connection(struct rp_link *link)
{
    link->in.at = link->in.end = 0;
    link->out = (struct rp_output){.bytes = link->out.bytes};
    link->malformed = link->malformed_new = false;
    link->lost = RP_LOST_NONE;
}

/* Takes the stream from where it was. An attempt beside it ends: nobody would go on with it. */
static void begin_connection(struct rp_link *link, struct rp_stream **stream, uint64_t greeted)
{
    clear_connection(link);
    link->greeted = greeted;
    link->stream = *stream;
    *stream = NULL;
    rp_stream_close(link->attempt.stream, false);
    link->attempt.stream = NULL;
    link->fresh = true;
    link->calls = false;
    link->stats.connects++;
}

static void end_connection(struct rp_link *link, enum rp_lost why, const char *text)
{
    rp_stream_close(link->stream, false);
    link->stream = NULL;
    link->out.at = link->out.end = 0;
    link->lost = why; /* `fresh` stays: what it said before it ended is said on a connection that was told */
    ft_fail(&link->fault, FT_EIO, "%s", text);
}

/*
 * A reset by the peer's kernel says that its process is dead. Where the link is sealed it says nothing, for
 * anybody on the way can make one: the death notice tells, or silence. EPIPE: an earlier reset was already
 * reported to somebody.
 */
static void end_by_errno(struct rp_link *link, int error)
{
    bool reset = (error == ECONNRESET || error == EPIPE) &&
                 (!rp_stream_sealed(link->stream) || FT_PLANTED("believe-resets"));
    const char *why = error == EPROTO ? rp_stream_why(link->stream) : strerror(error);
    char text[128];

    link->stats.refused[-FT_ECHECKSUM] += error == EPROTO;
    snprintf(text, sizeof(text), "%s", why);
    end_connection(link, reset ? RP_LOST_RESET : RP_LOST_ERROR, text);
}

/* On a sealed link this counts whatever became of what we wrote. */
static bool peer_has_said_close(const struct rp_link *link)
{
    return rp_stream_sealed(link->stream) && rp_stream_peer_closed(link->stream);
}

static void end_by_close(struct rp_link *link)
{
    if (rp_stream_peer_closed(link->stream) || FT_PLANTED("believe-ends"))
        end_connection(link, RP_LOST_EOF, "the peer closed the connection");
    else
        end_connection(link, RP_LOST_ERROR, "the connection ended, and the peer did not say so");
}

void rp_link_drop(struct rp_link *link)
{
    rp_stream_close(link->stream, true);
    link->stream = NULL;
    link->fresh = false;
    clear_connection(link);
}

bool rp_link_up(const struct rp_link *link)
{
    return link->stream != NULL;
}

/*
 * Reads until nothing is there, the connection ends, the buffer or the budget is used up. Unless `all`, it
 * stops as well where the kernel gave less than was asked for: that was all, and who wants to be certain
 * looks again anyway, since time has passed.
 */
static void read_some(struct rp_link *link, size_t budget, bool all)
{
    size_t room;

    while (link->stream && budget && (room = input_room(&link->in))) {
        bool more;
        ssize_t n =
            rp_stream_read(link->stream, link->in.bytes + link->in.end, room < budget ? room : budget, &more);

        if (n > 0) {
            link->stats.bytes_in += (size_t)n;
            link->in.end += link->malformed ? 0 : (size_t)n;
            budget -= (size_t)n;
            if (!more && !all)
                return;
        } else if (n == 0 && (!link->out.broken || peer_has_said_close(link))) {
            end_by_close(link);
        } else if (n == 0 || (errno == EAGAIN && link->out.broken)) {
            end_by_errno(link, link->out.broken);
        } else if (errno == EAGAIN) {
            return;
        } else {
            end_by_errno(link, errno);
        }
    }
}

/* One that has proved itself ends the connection that lives, once that has been read to its end, as far as
 * there is room for what nobody has taken. */
static void take_handshakes(struct rp_link *link, uint64_t now)
{
    struct rp_handshake *h;

    if (link->listener_ready && now - link->accepted >= LOOK_NS) {
        accept_handshake(link, now);
        link->accepted = now;
        link->listener_ready = false;
    }
    if (link->next) /* until the end of the connection before it was told */
        return;
    h = look_at_handshakes(link, now);
    if (!h)
        return;
    link->next = h->stream;
    link->next_greeted = h->greeted;
    *h = (struct rp_handshake){.stream = NULL};
    read_some(link, IN_CAP, true);
    if (link->stream)
        end_connection(link, RP_LOST_ERROR, "the peer made a new connection");
}

bool rp_link_visitor(struct rp_link *link, struct ft_message *m)
{
    return rp_visitor_hello(&link->visitor, m, link->in.bulk, link->stats.refused);
}

void rp_link_answer(struct rp_link *link, const struct ft_message *m)
{
    rp_visitor_answer(&link->visitor, m);
}

void rp_link_visit(struct rp_link *link, bool on)
{
    link->visits = on && link->others > 0;
}

static struct rp_other *find_other(struct rp_link *link, const char *name)
{
    for (unsigned i = 0; i < link->others; i++)
        if (strcmp(link->other[i].node.name, name) == 0)
            return &link->other[i];
    return NULL;
}

const struct rp_node *rp_link_node(struct rp_link *link, const char *name)
{
    const struct rp_other *o = find_other(link, name);

    return o ? &o->node : NULL;
}

int rp_link_add(struct rp_link *link, const struct rp_node *node, struct ft_fault *fault)
{
    struct rp_other *o = find_other(link, node->name);
    struct sockaddr_in at;
    int error = rp_address(&at, node->host, node->port, fault);

    if (error)
        return error;
    if (!o && link->others < RP_NODES)
        o = &link->other[link->others++];
    else if (!o) /* in the last one's place, that came last as well, unless it is the peer */
        o = &link->other[RP_NODES - 1 - (strcmp(link->other[RP_NODES - 1].node.name, link->peer_name) == 0)];
    o->node = *node;
    o->at = at;
    if (strcmp(link->peer_name, node->name) == 0 && memcmp(&link->peer, &at, sizeof(at)) != 0) {
        close_unproven(link);
        link->peer = at;
    }
    return 0;
}

int rp_link_aim(struct rp_link *link, const char *name)
{
    const struct rp_other *o = find_other(link, name);

    link->stats.unproven = 0;
    if (strcmp(link->peer_name, name) == 0)
        return 0;
    if (!o && name[0])
        return FT_ENOENT;
    close_unproven(link);
    rp_stream_close(link->next, false);
    link->next = NULL;
    snprintf(link->peer_name, sizeof(link->peer_name), "%s", name);
    link->peer = o ? o->at : (struct sockaddr_in){.sin_family = AF_INET};
    link->listens = !o || strcmp(link->name, name) < 0;
    link->calls = o && !link->stream;
    link->attempt = (struct rp_attempt){.retry_ns = link->attempt.retry_ns}; /* and no wait of another's */
    return 0;
}

/* The listener is looked at first: an accept makes a socket before it finds that nobody is there. Who has
 * slept knows of it already. Not so of the datagrams: a crash notice that came since is to be read with the
 * end of the connection that comes behind it. */
static void poll_listener(struct rp_link *link, uint64_t now)
{
    struct pollfd p = {link->listener, POLLIN, 0};
    bool looked_at = link->is_looked_at;

    link->is_looked_at = false;
    if (now - link->looked < LOOK_NS)
        return;
    link->looked = now;
    link->datagrams_ready = true;
    if (!looked_at && link->listener >= 0 && poll(&p, 1, 0) > 0)
        link->listener_ready = true;
}

bool rp_link_poll(struct rp_link *link, uint64_t now_ns)
{
    poll_listener(link, now_ns);
    if (link->listener_ready || handshakes_any(&link->handshakes))
        take_handshakes(link, now_ns);
    if (link->visitor.stream)
        rp_visitor_read(&link->visitor, now_ns, link->stats.refused);
    read_some(link, READ_BUDGET, false);
    if (!link->stream && link->lost == RP_LOST_NONE) {
        if (link->next)
            begin_connection(link, &link->next, link->next_greeted);
        else if ((!link->listens || link->calls || link->visits || link->attempt.stream) &&
                 go_on_with_attempt(link, now_ns))
            begin_connection(link, &link->attempt.stream, 0);
        read_some(link, READ_BUDGET, false);
    }
    bool fresh = link->fresh;
    link->fresh = false;
    return fresh;
}

enum rp_lost rp_link_lost(struct rp_link *link, struct ft_fault *fault)
{
    if (input_whole(&link->in))
        return RP_LOST_NONE;
    bool malformed = link->malformed_new && link->stream;
    enum rp_lost why = malformed ? RP_LOST_MALFORMED : link->lost;

    if (why != RP_LOST_NONE && fault)
        *fault = link->fault;
    if (malformed)
        link->malformed_new = false;
    else if (why != RP_LOST_NONE)
        clear_connection(link);
    return why;
}

int rp_link_next(struct rp_link *link, unsigned lanes, struct ft_message *m, struct ft_fault *fault)
{
    struct ft_fault why = {""};
    int rc = link->malformed ? 0 : input_next(&link->in, lanes, m, &why);

    link->stats.frames_in += rc > 0;
    if (rc >= 0)
        return rc;
    link->stats.refused[-rc]++;
    link->malformed = link->malformed_new = true;
    if (link->stream)
        link->fault = why;
    if (fault)
        *fault = why;
    return rc;
}

/* ---- notices of guardians ----------------------------------------------------------------------- */

int rp_link_death_notice(struct rp_link *link, const struct ft_datagram_key *peer,
                         struct ft_crash_notice *crash)
{
    for (int i = 0; link->datagrams_ready && i < NOTICES_MAX; i++) {
        uint8_t bytes[FT_CRASH_BYTES + 1];
        struct ft_datagram said = {0};
        struct ft_crash_notice died;
        struct sockaddr_in from;
        socklen_t len = sizeof(from);

        ssize_t n = recvfrom(link->datagrams, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &len);
        if (n < 0) {
            link->datagrams_ready = false;
            return 0;
        }
        if (!peer)
            continue;
        bool own = from.sin_addr.s_addr == link->peer.sin_addr.s_addr;

        if (own && ft_crash_notice_decode(bytes, (size_t)n, peer, &died) == 0) {
            /* Of what it died is the last that it says; anybody may send an earlier notice again. */
            if (died.signal || (!crash->signal && died.packet > crash->packet))
                *crash = died;
            continue;
        }
        int rc = own ? ft_datagram_decode(bytes, (size_t)n, peer, &said) : FT_EPERM;
        if (rc == 0 && said.kind == FT_DEATH_NOTICE)
            return 1;
        link->stats.refused[rc ? -rc : -FT_EMALFORMED]++;
    }
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* What may wait when `bulk` is added; the rest is for heads. */
static size_t output_limit(bool bulk)
{
    return bulk ? RP_LINK_OUT - RP_LINK_RESERVE : RP_LINK_OUT;
}

/* Bytes of bulk that a message may have now. */
static size_t output_room(const struct rp_output *out)
{
    size_t used = out->end - out->at + ft_message_bound(&(struct ft_message){0});

    if (used >= output_limit(true))
        return 0;
    return output_limit(true) - used < FT_BULK_MAX ? output_limit(true) - used : FT_BULK_MAX;
}

/* At the end, for so many bytes. */
static void make_room(struct rp_output *out, size_t bytes)
{
    if (OUT_CAP - out->end >= bytes)
        return;
    memmove(out->bytes, out->bytes + out->at, out->end - out->at);
    out->end -= out->at;
    out->at = 0;
}

/* Writes what the stream takes; NULL: no connection, and nothing waits any more. Returns the bytes
 * written. */
static size_t output_write(struct rp_output *out, struct rp_stream *stream)
{
    size_t written = 0;

    out->stalled = false;
    while (stream && !out->broken && out->at < out->end) {
        ssize_t n = rp_stream_write(stream, out->bytes + out->at, out->end - out->at);

        if (n >= 0) {
            out->at += (size_t)n;
            written += (size_t)n;
        } else if (errno == EAGAIN) {
            out->stalled = true;
            return written;
        } else {
            out->broken = errno;
        }
    }
    out->at = out->end = 0; /* all of it is written, or of no use: a closed connection has none */
    out->stalled = stream && !out->broken && !rp_stream_flush(stream);
    return written;
}

size_t rp_link_room(const struct rp_link *link)
{
    return !link->stream ? 0 : output_room(&link->out);
}

uint8_t *rp_link_place(struct rp_link *link, const struct ft_message *m, unsigned lanes)
{
    struct rp_output *out = &link->out;

    make_room(out, ft_message_bound(m) + output_room(out));
    return out->bytes + out->end + ft_message_ahead(m, lanes);
}

int rp_link_send(struct rp_link *link, const struct ft_message *m, unsigned lanes,
                 struct ft_compressor *compressor)
{
    struct rp_output *out = &link->out;
    size_t bound = ft_message_bound(m);
    bool bulk = m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA || m->type == FT_MSG_SNAPSHOT ||
                m->type == FT_MSG_PUSH;

    if (!link->stream)
        return FT_ENOENT;
    bool summed = !rp_stream_sealed(link->stream);

    if (out->end - out->at + bound > output_limit(bulk))
        return FT_EFULL;
    make_room(out, bound);
    long len = ft_message_encode(m, lanes, compressor, summed, out->bytes + out->end, bound);

    FT_CHECK(len > 0, "a message of type %u needs more than %zu bytes", m->type, bound);
    out->end += (size_t)len;
    return 0;
}

void rp_link_flush(struct rp_link *link)
{
    link->stats.bytes_out += output_write(&link->out, link->stream);
}

bool rp_link_stalled(const struct rp_link *link)
{
    return link->out.stalled;
}

bool rp_link_times(const struct rp_link *link, struct rp_link_times *out)
{
    return link->stream && rp_times(rp_stream_fd(link->stream), &out->busy_us, &out->full_us);
}

void rp_link_wait(struct rp_link *link, uint64_t timeout_ns)
{
    rp_link_rest(link, timeout_ns, -1, false);
}

void rp_link_rest(struct rp_link *link, uint64_t timeout_ns, int bell, bool answers_wait)
{
    /* Whole frames have been taken, or the next turn takes them: there is room for more. */
    short wanted = answers_wait ? POLLRDHUP : POLLIN;
    struct pollfd p[5 + RP_HANDSHAKES] = {
        {rp_stream_fd(link->stream),
         (short)(wanted | (link->out.at < link->out.end || link->out.stalled ? POLLOUT : 0)), 0},
        {rp_stream_fd(link->attempt.stream), link->attempt.connected ? POLLIN : POLLOUT, 0},
        {link->listener, POLLIN, 0},
        {link->datagrams, POLLIN, 0},
        {bell, POLLIN, 0},
    };
    nfds_t n = handshakes_any(&link->handshakes) ? sizeof(p) / sizeof(p[0]) : 5;
    struct timespec t;
    uint64_t rings;

    if (link->lost != RP_LOST_NONE || link->out.broken || (!link->stream && link->next) ||
        rp_stream_pending(link->stream))
        return;
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        p[5 + i] = (struct pollfd){rp_stream_fd(link->handshakes.place[i].stream), POLLIN, 0};
    if (!link->stream && (!link->listens || link->calls || link->visits) &&
        timeout_ns > link->attempt.retry_ns)
        timeout_ns = link->attempt.retry_ns;
    t = (struct timespec){(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
    if (ppoll(p, n, &t, NULL) < 0)
        return;
    link->listener_ready |= p[2].revents != 0;
    link->datagrams_ready |= p[3].revents != 0;
    link->is_looked_at = true;
    if (p[4].revents)
        (void)!read(bell, &rings, sizeof(rings));
}

const struct rp_link_stats *rp_link_stats(const struct rp_link *link)
{
    return &link->stats;
}

/* ---- opened and closed -------------------------------------------------------------------------- */

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void rp_link_close(struct rp_link *link)
{
    if (!link)
        return;
    close_one(&link->listener);
    close_one(&link->datagrams);
    rp_stream_close(link->stream, true);
    rp_stream_close(link->next, false);
    rp_visitor_end(&link->visitor);
    close_unproven(link);
    rp_seal_close(link->seal);
    free(link->in.bytes);
    free(link->in.bulk);
    free(link->out.bytes);
    free(link);
}

static int open_sockets(struct rp_link *link, const struct rp_link_config *config, struct ft_fault *fault)
{
    int rc;

    if ((rc = rp_seal_open(&link->seal, &config->seal, fault)))
        return rc;
    if ((rc = rp_address(&link->local, config->local_host, config->local_port, fault)) ||
        (config->peer_host && (rc = rp_address(&link->peer, config->peer_host, config->peer_port, fault))))
        return rc;
    for (unsigned i = 0; i < config->nodes; i++)
        if ((rc = rp_link_add(link, &config->node[i], fault)))
            return rc;
    rp_device(&link->local, link->device);
    if ((link->datagrams = rp_datagrams(&link->local, link->device, fault)) < 0)
        return link->datagrams;
    if ((link->listens || link->others > 0) &&
        (link->listener = rp_listen(&link->local, link->device, fault)) < 0)
        return link->listener;
    return 0;
}

int rp_link_open(struct rp_link **out, const struct rp_link_config *config, struct ft_fault *fault)
{
    struct rp_link *link = calloc(1, sizeof(*link));
    int rc;

    *out = NULL;
    if (!link)
        return ft_fail(fault, FT_ENOMEM, "no memory for the link");
    link->listens = config->listens || !config->peer_host;
    snprintf(link->name, sizeof(link->name), "%s", config->name);
    snprintf(link->peer_name, sizeof(link->peer_name), "%s",
             config->seal.peer_name ? config->seal.peer_name : "");
    link->attempt.retry_ns = config->retry_ms * 1000000ull;
    link->listener = link->datagrams = -1;
    link->in.bytes = malloc(IN_CAP);
    link->in.bulk = malloc(FT_BULK_MAX);
    link->out.bytes = malloc(OUT_CAP);
    if (!link->in.bytes || !link->in.bulk || !link->out.bytes)
        rc = ft_fail(fault, FT_ENOMEM, "no memory for the link's buffers");
    else
        rc = open_sockets(link, config, fault);
    if (rc) {
        rp_link_close(link);
        return rc;
    }
    *out = link;
    return 0;
}

/* A handshake under way is by what sealed the link before: it is begun again, and a stream that has ended its
 * own needs the seal no more. */
void rp_link_reseal(struct rp_link *link, struct rp_seal *seal)
{
    close_unproven(link);
    rp_visitor_end(&link->visitor);
    rp_seal_close(link->seal);
    link->stats.unproven = 0;
    link->seal = seal;
}
