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
 */
#define _GNU_SOURCE /* ppoll */
#include "replicator/link.h"

#include "ftcore/base/plant.h"
#include "replicator/connection.h"

#include <errno.h>
#include <stdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* The simulation has smaller ones in some seeds, here and in other files: then they run full. */
#ifndef READ_BUDGET
#define READ_BUDGET (1u << 20) /* bytes per poll */
#endif
/* Between looks at the sockets that hardly ever speak, unless a wait saw something. */
#define LOOK_NS 200000u

/* ---- the connection's life ---- */

static void clear_connection(struct rp_link *link)
{
    link->in.at = link->in.end = 0;
    link->out = (struct rp_output){.bytes = link->out.bytes};
    link->malformed = link->malformed_new = false;
    link->lost = RP_LOST_NONE;
}

/* Takes the stream from where it was. */
static void begin_connection(struct rp_link *link, struct rp_stream **stream, uint64_t greeted)
{
    clear_connection(link);
    link->greeted = greeted;
    link->stream = *stream;
    *stream = NULL;
    link->fresh = true;
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

/* ---- reading ---- */

/*
 * Reads until nothing is there, the connection ends, the buffer or the budget is used up. Unless `all`, it
 * stops as well where the kernel gave less than was asked for: that was all, and who wants to be certain
 * looks again anyway, since time has passed.
 */
static void read_some(struct rp_link *link, size_t budget, bool all)
{
    size_t room;

    while (link->stream && budget && (room = rp_input_room(&link->in))) {
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

bool rp_link_needs_hello(struct rp_link *link, uint64_t *sent)
{
    const struct rp_handshake *h = link->stream ? rp_handshakes_without_hello(&link->handshakes) : NULL;

    *sent = h ? h->said : 0;
    return h != NULL;
}

void rp_link_greet(struct rp_link *link, const struct ft_message *m)
{
    rp_handshake_greet(rp_handshakes_without_hello(&link->handshakes), m);
}

uint64_t rp_link_greeted(const struct rp_link *link)
{
    return link->greeted;
}

/* One that has proved itself ends the connection that lives, once that has been read to its end, as far as
 * there is room for what nobody has taken. */
static void take_handshakes(struct rp_link *link, uint64_t now)
{
    struct rp_handshake *h;

    if (link->listener_ready && now - link->accepted >= LOOK_NS) {
        rp_handshakes_accept(&link->handshakes, link->seal, link->listener, &link->peer, now,
                             link->stats.refused);
        link->accepted = now;
        link->listener_ready = false;
    }
    if (link->next) /* until the end of the connection before it was told */
        return;
    h = rp_handshakes_look(&link->handshakes, link->stream, now, link->in.bulk, link->stats.refused);
    if (!h)
        return;
    link->next = h->stream;
    link->next_greeted = h->greeted;
    *h = (struct rp_handshake){.stream = NULL};
    read_some(link, IN_CAP, true);
    if (link->stream)
        end_connection(link, RP_LOST_ERROR, "the peer made a new connection");
}

/* The listener is looked at first: an accept makes a socket before it finds that nobody is there. */
static void poll_listener(struct rp_link *link, uint64_t now)
{
    struct pollfd p = {link->listener, POLLIN, 0};

    if (now - link->looked < LOOK_NS)
        return;
    link->looked = now;
    link->datagrams_ready = true;
    if (link->listens && poll(&p, 1, 0) > 0)
        link->listener_ready = true;
}

bool rp_link_poll(struct rp_link *link, uint64_t now_ns)
{
    poll_listener(link, now_ns);
    if (link->listener_ready || rp_handshakes_any(&link->handshakes))
        take_handshakes(link, now_ns);
    read_some(link, READ_BUDGET, false);
    if (!link->stream && link->lost == RP_LOST_NONE) {
        if (link->next)
            begin_connection(link, &link->next, link->next_greeted);
        else if (!link->listens && rp_attempt_go_on(link, now_ns))
            begin_connection(link, &link->attempt.stream, 0);
        read_some(link, READ_BUDGET, false);
    }
    bool fresh = link->fresh;
    link->fresh = false;
    return fresh;
}

enum rp_lost rp_link_lost(struct rp_link *link, struct ft_fault *fault)
{
    if (rp_input_whole(&link->in))
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
    int rc = link->malformed ? 0 : rp_input_next(&link->in, lanes, m, &why);

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

int rp_link_death_notice(struct rp_link *link, const struct ft_datagram_key *peer,
                         struct ft_crash_notice *crash)
{
    return link->datagrams_ready ? rp_notice_take(link->datagrams, &link->peer, peer, &link->datagrams_ready,
                                                  crash, link->stats.refused)
                                 : 0;
}

/* ---- writing ---- */

size_t rp_link_room(const struct rp_link *link)
{
    return !link->stream ? 0 : rp_output_room(&link->out);
}

uint8_t *rp_link_place(struct rp_link *link, const struct ft_message *m, unsigned lanes)
{
    return rp_output_place(&link->out, m, lanes);
}

int rp_link_send(struct rp_link *link, const struct ft_message *m, unsigned lanes,
                 struct ft_compressor *compressor)
{
    return !link->stream ? FT_ENOENT
                         : rp_output_add(&link->out, m, lanes, compressor, rp_stream_sealed(link->stream));
}

void rp_link_flush(struct rp_link *link)
{
    link->stats.bytes_out += rp_output_write(&link->out, link->stream);
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
    /* Whole frames have been taken, so there is room for more. */
    struct pollfd p[4 + RP_HANDSHAKES] = {
        {rp_stream_fd(link->stream),
         (short)(POLLIN | (link->out.at < link->out.end || link->out.stalled ? POLLOUT : 0)), 0},
        {rp_stream_fd(link->attempt.stream), link->attempt.connected ? POLLIN : POLLOUT, 0},
        {link->listener, POLLIN, 0},
        {link->datagrams, POLLIN, 0},
    };
    struct timespec t;

    if (link->lost != RP_LOST_NONE || link->out.broken || (!link->stream && link->next) ||
        rp_stream_pending(link->stream))
        return;
    for (unsigned i = 0; i < RP_HANDSHAKES; i++)
        p[4 + i] = (struct pollfd){rp_stream_fd(link->handshakes.place[i].stream), POLLIN, 0};
    if (!link->stream && !link->listens && timeout_ns > link->attempt.retry_ns)
        timeout_ns = link->attempt.retry_ns;
    t = (struct timespec){(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
    if (ppoll(p, sizeof(p) / sizeof(p[0]), &t, NULL) > 0) {
        link->listener_ready |= p[2].revents != 0;
        link->datagrams_ready |= p[3].revents != 0;
    }
}

const struct rp_link_stats *rp_link_stats(const struct rp_link *link)
{
    return &link->stats;
}
