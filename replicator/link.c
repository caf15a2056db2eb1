/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link: the connection to the peer, what waits to be written to it and what was read from it, and the
 * guardians' datagrams. Used by the replicator's thread alone.
 *
 * A connection ends in this order: data read to the end, its frames handed out, the loss reported once, and
 * only then the next connection begins, so messages of the two are never mixed. Of two the newest wins, as
 * soon as a whole hello and an echo of ours have come by it: the peer makes a second one only when it knows
 * nothing of the first. Anything else on the peer's host (a port scan, a health check, a recording of an old
 * hello) must not end a connection that lives, since that would look like our death.
 *
 * The connection has two buffers. Both are straight, twice as large as what they may hold, and a frame is
 * always in one piece. What was read moves to the front when at least four times as much has been taken, so
 * that few bytes move and the buffer is as good as always in the cache; what is to be written, when there is
 * no room behind it.
 *
 * How connections come to be is in meeting.c, and what one is over two ways in trunk.c. The streams and the
 * sockets lie in files of their own: the simulation puts others in their place.
 */
#define _GNU_SOURCE /* ppoll */
#include "replicator/link_parts.h"

#include "ftcore/base/check.h"
#include "ftcore/base/plant.h"

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
#ifndef NOTICES_MAX    /* the simulation has fewer in some seeds */
#define NOTICES_MAX 64 /* datagrams per call */
#endif
#define REOPEN_NS 1000000000u

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

/* True when input_next has something to return: a whole frame, or one that can be refused already. */
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

/* ---- the connection ----------------------------------------------------------------------------- */

static void clear_connection(struct rp_link *link)
{
    link->in.at = link->in.end = 0;
    link->out = (struct rp_output){.bytes = link->out.bytes};
    link->malformed = link->malformed_new = false;
    link->lost = RP_LOST_NONE;
}

/* A trunk of what is to begin; NULL: no memory, or it is of no use. */
static struct rp_trunk *make_trunk(struct rp_link *link, struct rp_next *next)
{
    uint64_t session = next->accepted ? next->session : (link->session += 2);
    struct rp_trunk *t;

    if (!rp_stream_two_ways(next->stream))
        return rp_trunk_plain(next->stream, next->way, &link->stats.ways, link->now);
    t = rp_trunk_open(session, !next->accepted, link->heartbeat_ns, &link->stats.ways, link->now);
    if (!t || (!next->accepted && !rp_joining_say(next->stream, (struct rp_joining){session, true}))) {
        rp_stream_close(next->stream, false);
        rp_trunk_close(t, false);
        return NULL;
    }
    rp_trunk_attach(t, next->stream, next->way);
    return t;
}

/* Takes the stream from where it was. */
static void begin_connection(struct rp_link *link, struct rp_next *next)
{
    link->stream = make_trunk(link, next);
    next->stream = NULL;
    if (!link->stream)
        return;
    clear_connection(link);
    link->greeted = next->greeted;
    link->fresh = true;
    link->calls = false;
    link->stats.connects++;
    if (!rp_trunk_connects(link->stream) || link->visits) /* nobody would go on with what is under way */
        rp_attempts_close(link);
}

static void end_connection(struct rp_link *link, enum rp_lost why, const char *text)
{
    rp_trunk_close(link->stream, false);
    link->stream = NULL;
    rp_attempts_close(link);
    link->out.at = link->out.end = 0;
    link->lost = why; /* `fresh` stays: frames read before the end need a connection that was reported */
    ft_fail(&link->fault, FT_EIO, "%s", text);
}

/*
 * A reset by the peer's kernel means that its process is dead. On a sealed link it proves nothing, for
 * anybody on the way can make one: the death notice proves it, or silence does. EPIPE: an earlier reset was
 * already reported to somebody.
 */
static void end_by_errno(struct rp_link *link, int error)
{
    bool reset = (error == ECONNRESET || error == EPIPE) &&
                 (!rp_trunk_sealed(link->stream) || FT_PLANTED("believe-resets"));
    const char *why = error == EPROTO ? rp_trunk_why(link->stream) : strerror(error);
    char text[128];

    link->stats.refused[-FT_ECHECKSUM] += error == EPROTO;
    snprintf(text, sizeof(text), "%s", why);
    end_connection(link, reset ? RP_LOST_RESET : RP_LOST_ERROR, text);
}

/* On a sealed link this counts whatever became of what we wrote. */
static bool peer_has_said_close(const struct rp_link *link)
{
    return rp_trunk_sealed(link->stream) && rp_trunk_peer_closed(link->stream);
}

static void end_by_close(struct rp_link *link)
{
    if (rp_trunk_peer_closed(link->stream) || FT_PLANTED("believe-ends"))
        end_connection(link, RP_LOST_EOF, "the peer closed the connection");
    else
        end_connection(link, RP_LOST_ERROR, "the connection ended, and the peer did not say so");
}

void rp_link_drop(struct rp_link *link)
{
    rp_trunk_close(link->stream, true);
    link->stream = NULL;
    rp_attempts_close(link);
    link->fresh = false;
    clear_connection(link);
}

bool rp_link_secret(const struct rp_link *link, struct rp_secret *secret)
{
    return link->stream && rp_trunk_secret(link->stream, secret);
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
            rp_trunk_read(link->stream, link->in.bytes + link->in.end, room < budget ? room : budget, &more);

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
    rp_handshakes_accept(link, now);
    /* None is taken until the end of the connection before it was reported. */
    if (link->next.stream || !rp_handshakes_look(link, now, &link->next))
        return;
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

static bool is_peer(const struct rp_link *link, const struct sockaddr_in at[RP_WAYS])
{
    return memcmp(&link->place[0].peer, &at[0], sizeof(at[0])) == 0 &&
           memcmp(&link->place[1].peer, &at[1], sizeof(at[1])) == 0;
}

static void aim_places(struct rp_link *link, const struct sockaddr_in at[RP_WAYS])
{
    for (unsigned i = 0; i < RP_WAYS; i++) {
        link->place[i].peer = at[i];
        link->stats.ways.way[i].is_there = i < link->places && at[i].sin_port;
    }
}

int rp_link_add(struct rp_link *link, const struct rp_node *node, struct ft_fault *fault)
{
    struct rp_other *o = find_other(link, node->name);
    struct sockaddr_in at[RP_WAYS] = {{.sin_port = 0}};
    int error = rp_address(&at[0], node->host, node->port, fault);

    if (!error && node->second_port)
        error = rp_address(&at[1], node->second_host, node->second_port, fault);
    if (error)
        return error;
    if (!o && link->others < RP_NODES)
        o = &link->other[link->others++];
    else if (!o) /* in the last one's place, that came last as well, unless it is the peer */
        o = &link->other[RP_NODES - 1 - (strcmp(link->other[RP_NODES - 1].node.name, link->peer_name) == 0)];
    o->node = *node;
    memcpy(o->at, at, sizeof(at));
    if (strcmp(link->peer_name, node->name) == 0 && !is_peer(link, at)) {
        rp_close_unproven(link);
        aim_places(link, at);
    }
    return 0;
}

int rp_link_aim(struct rp_link *link, const char *name)
{
    static const struct sockaddr_in nobody[RP_WAYS] = {{.sin_family = AF_INET}};
    const struct rp_other *o = find_other(link, name);

    link->stats.unproven = 0;
    if (strcmp(link->peer_name, name) == 0)
        return 0;
    if (!o && name[0])
        return FT_ENOENT;
    rp_close_unproven(link);
    rp_stream_close(link->next.stream, false);
    link->next.stream = NULL;
    snprintf(link->peer_name, sizeof(link->peer_name), "%s", name);
    aim_places(link, o ? o->at : nobody);
    link->listens = !o || strcmp(link->name, name) < 0;
    link->calls = o && !link->stream;
    for (unsigned i = 0; i < RP_WAYS; i++) /* and no wait of another's */
        link->place[i].attempt = (struct rp_attempt){.retry_ns = link->place[i].attempt.retry_ns};
    return 0;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Sockets of one of this node's addresses. */
static int open_place(struct rp_link *link, struct rp_place *p, struct ft_fault *fault)
{
    rp_device(&p->local, p->device);
    if ((p->datagrams = rp_datagrams(&p->local, p->device, fault)) < 0)
        return p->datagrams;
    if ((link->listens || link->others > 0) && (p->listener = rp_listen(&p->local, p->device, fault)) < 0)
        return p->listener;
    return 0;
}

static void close_place(struct rp_place *p)
{
    close_one(&p->listener);
    close_one(&p->datagrams);
}

/* Of two ways one is enough: an address that this host does not have yet is looked for again. */
static int open_places(struct rp_link *link, struct ft_fault *fault)
{
    unsigned open = 0;
    int rc = 0;

    for (unsigned i = 0; i < link->places; i++) {
        int error = open_place(link, &link->place[i], fault);

        if (error && error != FT_ENOENT)
            return error;
        if (error)
            close_place(&link->place[i]);
        rc = error ? error : rc;
        open += error == 0;
    }
    return open ? 0 : rc;
}

/* Its cable was out when this node began, perhaps, and the system gives it an address only now. */
static void reopen_places(struct rp_link *link, uint64_t now)
{
    struct ft_fault fault;

    if (now - link->reopened < REOPEN_NS)
        return;
    link->reopened = now;
    for (unsigned i = 0; i < link->places; i++)
        if (link->place[i].datagrams < 0 && open_place(link, &link->place[i], &fault))
            close_place(&link->place[i]);
}

/* The listener is looked at first: an accept makes a socket before it finds that nobody is there. Who has
 * slept knows of it already. Not so of the datagrams: a crash notice that came since is to be read with the
 * end of the connection that comes behind it. */
static void poll_listeners(struct rp_link *link, uint64_t now)
{
    bool looked_at = link->is_looked_at;

    link->is_looked_at = false;
    if (now - link->looked < LOOK_NS)
        return;
    link->looked = now;
    link->datagrams_ready = true;
    for (unsigned i = 0; i < link->places && !looked_at; i++) {
        struct pollfd p = {link->place[i].listener, POLLIN, 0};

        if (p.fd >= 0 && poll(&p, 1, 0) > 0)
            link->place[i].listener_ready = true;
    }
}

static bool any_listener_ready(const struct rp_link *link)
{
    return link->place[0].listener_ready || link->place[1].listener_ready;
}

/* This side makes connections while none stands. */
static bool connects(const struct rp_link *link)
{
    return !link->listens || link->calls || link->visits || link->place[0].attempt.stream ||
           link->place[1].attempt.stream;
}

/* A connection, when one has come to be. */
static void meet_peer(struct rp_link *link, uint64_t now)
{
    for (unsigned i = 0; i < link->places && !link->next.stream && connects(link); i++)
        rp_attempt_go_on(link, i, now, &link->next);
    if (link->next.stream)
        begin_connection(link, &link->next);
}

/* The ways that do not stand, by the side that connects. */
static void mend_ways(struct rp_link *link, uint64_t now)
{
    const struct rp_joining joins = {.session = rp_trunk_session(link->stream)};
    struct rp_next next;

    for (unsigned i = 0; i < link->places; i++)
        if (rp_trunk_lacks(link->stream, i) && rp_attempt_go_on(link, i, now, &next)) {
            if (rp_stream_two_ways(next.stream) && rp_joining_say(next.stream, joins))
                rp_trunk_attach(link->stream, next.stream, i);
            else
                rp_stream_close(next.stream, false);
        }
}

bool rp_link_poll(struct rp_link *link, uint64_t now_ns)
{
    link->now = now_ns;
    reopen_places(link, now_ns);
    poll_listeners(link, now_ns);
    if (link->stream)
        rp_trunk_time(link->stream, now_ns);
    if (any_listener_ready(link) || rp_handshakes_any(&link->handshakes))
        take_handshakes(link, now_ns);
    if (link->visitor.stream)
        rp_visitor_read(&link->visitor, now_ns, link->stats.refused);
    read_some(link, READ_BUDGET, false);
    if (rp_trunk_connects(link->stream))
        mend_ways(link, now_ns);
    if (!link->stream && link->lost == RP_LOST_NONE) {
        meet_peer(link, now_ns);
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

/* The same of those that have come by one way. */
static int take_notices(struct rp_link *link, const struct rp_place *p, const struct ft_datagram_key *peer,
                        struct ft_crash_notice *crash)
{
    for (int i = 0; p->datagrams >= 0 && i < NOTICES_MAX; i++) {
        uint8_t bytes[FT_CRASH_BYTES + 1];
        struct ft_datagram said = {0};
        struct ft_crash_notice died;
        struct sockaddr_in from;
        socklen_t len = sizeof(from);

        ssize_t n = recvfrom(p->datagrams, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &len);
        if (n < 0)
            return 0;
        if (!peer)
            continue;
        bool own = from.sin_addr.s_addr == p->peer.sin_addr.s_addr;

        if (own && ft_crash_notice_decode(bytes, (size_t)n, peer, &died) == 0) {
            /* The cause of death comes last; anybody may send an earlier notice again. */
            if (died.signal || (!crash->signal && died.packet > crash->packet))
                *crash = died;
            continue;
        }
        int rc = own ? ft_datagram_decode(bytes, (size_t)n, peer, &said) : FT_EPERM;
        if (rc == 0 && said.kind == FT_DEATH_NOTICE)
            return 1;
        link->stats.refused[rc ? -rc : -FT_EMALFORMED]++;
    }
    return p->datagrams < 0 ? 0 : -1;
}

int rp_link_death_notice(struct rp_link *link, const struct ft_datagram_key *peer,
                         struct ft_crash_notice *crash)
{
    int came = 0;

    if (!link->datagrams_ready)
        return 0;
    link->datagrams_ready = false;
    for (unsigned i = 0; i < link->places && came <= 0; i++) {
        came = take_notices(link, &link->place[i], peer, crash);
        link->datagrams_ready |= came != 0; /* there may be more */
    }
    return came > 0;
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
static size_t output_write(struct rp_output *out, struct rp_trunk *stream)
{
    size_t written = 0;

    out->stalled = false;
    while (stream && !out->broken && out->at < out->end) {
        ssize_t n = rp_trunk_write(stream, out->bytes + out->at, out->end - out->at);

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
    out->stalled = stream && !out->broken && !rp_trunk_flush(stream);
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
    bool summed = !rp_trunk_sealed(link->stream);

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
    return link->stream && rp_times(rp_trunk_carrier(link->stream), &out->busy_us, &out->full_us);
}

void rp_link_wait(struct rp_link *link, uint64_t timeout_ns)
{
    rp_link_rest(link, timeout_ns, -1, false);
}

void rp_link_rest(struct rp_link *link, uint64_t timeout_ns, int bell, bool answers_wait)
{
    enum { BELL = 4 * RP_WAYS, OTHERS }; /* before it four of each way: see below */
    /* Whole frames have been taken, or the next turn takes them: there is room for more. */
    bool writes = link->out.at < link->out.end || link->out.stalled;
    short reads = answers_wait ? POLLRDHUP : POLLIN;
    struct pollfd p[OTHERS + RP_HANDSHAKES] = {[BELL] = {bell, POLLIN, 0}};
    nfds_t n = rp_handshakes_any(&link->handshakes) ? sizeof(p) / sizeof(p[0]) : OTHERS;
    struct timespec t;
    uint64_t rings;

    if (link->lost != RP_LOST_NONE || link->out.broken || (!link->stream && link->next.stream) ||
        rp_trunk_pending(link->stream))
        return;
    for (unsigned i = 0; i < RP_WAYS; i++) {
        const struct rp_place *place = &link->place[i];

        short wanted = (short)(reads | (writes && rp_trunk_stalled(link->stream, i) ? POLLOUT : 0));

        p[4 * i] = (struct pollfd){rp_trunk_fd(link->stream, i), wanted, 0};
        p[4 * i + 1] = (struct pollfd){rp_stream_fd(place->attempt.stream),
                                       place->attempt.connected ? POLLIN : POLLOUT, 0};
        p[4 * i + 2] = (struct pollfd){place->listener, POLLIN, 0};
        p[4 * i + 3] = (struct pollfd){place->datagrams, POLLIN, 0};
    }
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        p[OTHERS + i] = (struct pollfd){rp_stream_fd(link->handshakes.place[i].stream), POLLIN, 0};
    if (!link->stream && (!link->listens || link->calls || link->visits) &&
        timeout_ns > link->place[0].attempt.retry_ns)
        timeout_ns = link->place[0].attempt.retry_ns;
    if (timeout_ns > rp_trunk_due(link->stream))
        timeout_ns = rp_trunk_due(link->stream);
    t = (struct timespec){(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
    if (ppoll(p, n, &t, NULL) < 0)
        return;
    for (unsigned i = 0; i < RP_WAYS; i++) {
        link->place[i].listener_ready |= p[4 * i + 2].revents != 0;
        link->datagrams_ready |= p[4 * i + 3].revents != 0;
    }
    link->is_looked_at = true;
    if (p[BELL].revents)
        (void)!read(bell, &rings, sizeof(rings));
}

const struct rp_link_stats *rp_link_stats(const struct rp_link *link)
{
    return &link->stats;
}

/* ---- opened and closed -------------------------------------------------------------------------- */

void rp_link_close(struct rp_link *link)
{
    if (!link)
        return;
    for (unsigned i = 0; i < RP_WAYS; i++)
        close_place(&link->place[i]);
    rp_trunk_close(link->stream, true);
    rp_stream_close(link->next.stream, false);
    rp_visitor_end(&link->visitor);
    rp_close_unproven(link);
    rp_seal_close(link->seal);
    free(link->in.bytes);
    free(link->in.bulk);
    free(link->out.bytes);
    free(link);
}

static int find_addresses(struct rp_link *link, const struct rp_link_config *config, struct ft_fault *fault)
{
    struct sockaddr_in peer[RP_WAYS] = {{.sin_family = AF_INET}};
    int rc = rp_address(&link->place[0].local, config->local_host, config->local_port, fault);

    link->places = config->second.local_port ? RP_WAYS : 1;
    if (!rc && link->places == RP_WAYS)
        rc = rp_address(&link->place[1].local, config->second.local_host, config->second.local_port, fault);
    if (!rc && config->peer_host)
        rc = rp_address(&peer[0], config->peer_host, config->peer_port, fault);
    if (!rc && config->peer_host && config->second.peer_port)
        rc = rp_address(&peer[1], config->second.peer_host, config->second.peer_port, fault);
    if (!rc)
        aim_places(link, peer);
    return rc;
}

static int open_sockets(struct rp_link *link, const struct rp_link_config *config, struct ft_fault *fault)
{
    int rc;

    if ((rc = rp_seal_open(&link->seal, &config->seal, fault)) || (rc = find_addresses(link, config, fault)))
        return rc;
    for (unsigned i = 0; i < config->nodes; i++)
        if ((rc = rp_link_add(link, &config->node[i], fault)))
            return rc;
    return open_places(link, fault);
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
    link->heartbeat_ns = (config->heartbeat_ms ? config->heartbeat_ms : 2) * 1000000ull;
    link->session = config->session | 1;
    for (unsigned i = 0; i < RP_WAYS; i++) {
        link->place[i].attempt.retry_ns = config->retry_ms * 1000000ull;
        link->place[i].listener = link->place[i].datagrams = -1;
    }
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
    rp_close_unproven(link);
    rp_visitor_end(&link->visitor);
    rp_seal_close(link->seal);
    link->stats.unproven = 0;
    link->seal = seal;
}
