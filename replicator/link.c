/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link: the connection to the peer, what waits to be written to it and what was read from it, and the
 * guardians' datagrams. Used by the replicator's thread alone.
 *
 * Both buffers are straight, twice as large as what they may hold, and moved to the front only when half of
 * them is behind: a byte is moved at most once, and a frame is always in one piece.
 *
 * A connection ends in this order: data read to the end, its frames handed out, the loss told once, and only
 * then the next connection begins. So what the old connection said is never mixed with the new one's, also
 * when the peer's new process connects before its old one's end was seen. Then the newest connection wins, as
 * soon as it has said a whole hello and echoed ours: the peer makes a second one only when it knows nothing
 * of the first, says hello at once, and answers one. Whoever else is on the peer's host (a port scan, a
 * health check, a recording of an old hello) must not end a connection that lives, since that would look like
 * our death.
 */
#define _GNU_SOURCE /* ppoll */
#include "replicator/link.h"

#include "ftcore/base/check.h"
#include "replicator/socket.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Turns of `retry` for an attempt without an answer; the kernel would next ask again after 1 s, 2 s … */
#define GIVE_UP 8u
/* The simulation has smaller ones in some seeds, here and in other files: then they run full. */
#ifndef IN_CAP
#define IN_CAP (2u * (FT_MESSAGE_MAX + FT_FRAME_HEAD))
#endif
#ifndef OUT_CAP
#define OUT_CAP (2u * RP_LINK_OUT)
#endif
#ifndef READ_BUDGET
#define READ_BUDGET (1u << 20) /* bytes per poll */
#endif
#ifndef WORDS_MAX
#define WORDS_MAX 64 /* datagrams per call */
#endif
#define HELLO_MAX (FT_FRAME_HEAD + FT_IDENTITY_MAX + 1024u)
#define PEEK_MAX  (HELLO_MAX + 4096u) /* and the beats behind it */
#define HELLO_NS  1000000000ull       /* for a hello and its proof, while another connection lives */
/* Between looks at the sockets that hardly ever speak, unless a wait saw something. */
#define LOOK_NS 200000u

struct rp_link {
    struct sockaddr_in local, peer;
    bool listens;
    uint64_t retry_ns;
    int listener, datagrams; /* listener -1: we connect */
    int fd;                  /* the connection, -1: none */
    int trying;              /* an attempt to connect, -1: none */
    int next;                /* accepted, begins when the end of the one before was told; -1: none */
    uint64_t next_at;        /* when it came */
    uint64_t next_said;      /* `sent` of its hello, 0: not yet */
    uint64_t next_greeted;   /* … and of ours there */
    uint64_t greeted;        /* of ours on the connection, said before it began */
    uint64_t tried_at;
    bool tried;
    bool fresh;           /* not yet told by poll */
    bool malformed;       /* what comes is read and thrown away */
    bool malformed_new;   /* not yet told by lost */
    enum rp_lost lost;    /* not yet told by lost; fd is -1 then */
    bool stalled;         /* the kernel took less than was offered */
    int broken;           /* errno of a write; reading goes on to the end first */
    bool knocked, spoken; /* the listener, the datagram socket may have something */
    uint64_t looked;
    struct ft_fault fault;
    uint8_t *in, *out, *bulk;
    size_t in_at, in_end, out_at, out_end;
    struct rp_link_stats stats;
};

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
    close_one(&link->fd);
    close_one(&link->trying);
    close_one(&link->next);
    free(link->in);
    free(link->out);
    free(link->bulk);
    free(link);
}

static int open_sockets(struct rp_link *link, const struct rp_link_config *config, struct ft_fault *fault)
{
    int rc;

    if ((rc = rp_address(&link->local, config->local_host, config->local_port, fault)) ||
        (rc = rp_address(&link->peer, config->peer_host, config->peer_port, fault)))
        return rc;
    if ((link->datagrams = rp_datagrams(&link->local, fault)) < 0)
        return link->datagrams;
    if (link->listens && (link->listener = rp_listen(&link->local, fault)) < 0)
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
    link->listens = config->listens;
    link->retry_ns = config->retry_ms * 1000000ull;
    link->listener = link->datagrams = link->fd = link->trying = link->next = -1;
    link->in = malloc(IN_CAP);
    link->out = malloc(OUT_CAP);
    link->bulk = malloc(FT_BULK_MAX);
    if (!link->in || !link->out || !link->bulk)
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

/* ---- the connection's life ---- */

static void forget(struct rp_link *link)
{
    link->in_at = link->in_end = link->out_at = link->out_end = 0;
    link->malformed = link->malformed_new = false;
    link->lost = RP_LOST_NONE;
    link->broken = 0;
    link->stalled = false;
}

static void begin(struct rp_link *link, int *fd)
{
    forget(link);
    link->greeted = fd == &link->next ? link->next_greeted : 0;
    link->fd = *fd;
    *fd = -1;
    link->fresh = true;
    link->stats.connects++;
}

static void end(struct rp_link *link, enum rp_lost why, const char *text)
{
    close_one(&link->fd);
    link->out_at = link->out_end = 0;
    link->lost = why; /* `fresh` stays: what it said before it ended is said on a connection that was told */
    ft_fail(&link->fault, FT_EIO, "%s", text);
}

static void end_by_errno(struct rp_link *link, int error)
{
    /* EPIPE: an earlier reset was already reported to somebody. */
    end(link, error == ECONNRESET || error == EPIPE ? RP_LOST_RESET : RP_LOST_ERROR, strerror(error));
}

void rp_link_drop(struct rp_link *link)
{
    close_one(&link->fd);
    link->fresh = false;
    forget(link);
}

bool rp_link_up(const struct rp_link *link)
{
    return link->fd >= 0;
}

/* ---- reading ---- */

/* Room behind what was read; 0 when the caller must take a frame first (there is a whole one then). */
static size_t in_room(struct rp_link *link)
{
    if (link->in_at == link->in_end)
        link->in_at = link->in_end = 0;
    if (link->in_at >= IN_CAP / 2) {
        memmove(link->in, link->in + link->in_at, link->in_end - link->in_at);
        link->in_end -= link->in_at;
        link->in_at = 0;
    }
    return IN_CAP - link->in_end;
}

/*
 * Reads until nothing is there, the connection ends, the buffer or the budget is used up. Unless `all`, it
 * stops as well where the kernel gave less than was asked for: that was all, and who wants to be certain
 * looks again anyway, since time has passed.
 */
static void read_some(struct rp_link *link, size_t budget, bool all)
{
    size_t room;

    while (link->fd >= 0 && budget && (room = in_room(link))) {
        size_t most = room < budget ? room : budget;
        ssize_t n = recv(link->fd, link->in + link->in_end, most, 0);

        if (n > 0) {
            link->stats.bytes_in += (size_t)n;
            link->in_end += link->malformed ? 0 : (size_t)n;
            budget -= (size_t)n;
            if ((size_t)n < most && !all)
                return;
        } else if (n == 0 && !link->broken) {
            end(link, RP_LOST_EOF, "the peer closed the connection");
        } else if (n == 0 || (errno == EAGAIN && link->broken)) {
            end_by_errno(link, link->broken);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            end_by_errno(link, errno);
        }
    }
}

/*
 * What the next connection has said: a hello, and behind it something that echoes ours. 1: both; 0: not yet;
 * or what is wrong with it.
 */
static long next_says(struct rp_link *link, const uint8_t *said, size_t len)
{
    struct ft_message m;
    long n = ft_message_decode(said, len, 0, &m, link->bulk, NULL);

    if (n <= 0)
        return n;
    if (m.type != FT_MSG_HELLO)
        return FT_EMALFORMED;
    link->next_said = m.sent;
    for (size_t at = (size_t)n; link->next_greeted; at += (size_t)n) {
        if ((n = ft_message_decode(said + at, len - at, 0, &m, link->bulk, NULL)) <= 0)
            return n;
        if (m.echo == link->next_greeted)
            return 1;
    }
    return 0;
}

/* Looks at it, and leaves it there. */
static bool next_is_proven(struct rp_link *link, uint64_t now)
{
    uint8_t said[PEEK_MAX];
    ssize_t n = recv(link->next, said, sizeof(said), MSG_PEEK);
    long rc = n > 0 ? next_says(link, said, (size_t)n) : 0;

    if (rc > 0)
        return true;
    bool wait = rc == 0 && (n > 0 ? (size_t)n < sizeof(said) : n < 0 && errno == EAGAIN);

    if (!wait || now - link->next_at > HELLO_NS) {
        link->stats.refused[rc < 0 ? -rc : -FT_EMALFORMED]++;
        close_one(&link->next);
    }
    return false;
}

bool rp_link_asks(const struct rp_link *link, uint64_t *sent)
{
    *sent = link->next_said;
    return link->fd >= 0 && link->next >= 0 && link->next_said && !link->next_greeted;
}

void rp_link_greet(struct rp_link *link, const struct ft_message *m)
{
    uint8_t frame[HELLO_MAX];
    long len = ft_message_encode(m, 0, NULL, frame, sizeof(frame));

    FT_CHECK(len > 0, "a hello needs more than %zu bytes", sizeof(frame));
    /* Nothing was written there before, so it fits; else the connection is of no use. */
    if (send(link->next, frame, (size_t)len, MSG_NOSIGNAL) == len)
        link->next_greeted = m->sent;
    else
        close_one(&link->next);
}

uint64_t rp_link_greeted(const struct rp_link *link)
{
    return link->greeted;
}

static void accept_newest(struct rp_link *link, uint64_t now)
{
    int fd = rp_accept(link->listener, &link->peer, &link->stats.refused[-FT_EPERM]);

    for (; fd >= 0; fd = rp_accept(link->listener, &link->peer, &link->stats.refused[-FT_EPERM])) {
        close_one(&link->next);
        link->next = fd;
        link->next_at = now;
        link->next_said = link->next_greeted = 0;
    }
    if (link->next < 0 || link->fd < 0 || !next_is_proven(link, now))
        return;
    read_some(link, IN_CAP, true);
    if (link->fd >= 0)
        end(link, RP_LOST_ERROR, "the peer made a new connection");
}

static void try_to_connect(struct rp_link *link, uint64_t now)
{
    int done = link->trying >= 0 ? rp_connected(link->trying) : -1;

    if (done > 0) {
        begin(link, &link->trying);
        return;
    }
    if (done == 0 && now - link->tried_at < GIVE_UP * link->retry_ns)
        return;
    close_one(&link->trying);
    if (link->tried && now - link->tried_at < link->retry_ns)
        return;
    link->tried = true;
    link->tried_at = now;
    link->trying = rp_connect(&link->local, &link->peer);
}

/* The listener is looked at first: an accept makes a socket before it finds that nobody is there. */
static void look_around(struct rp_link *link, uint64_t now)
{
    struct pollfd p = {link->listener, POLLIN, 0};

    if (now - link->looked < LOOK_NS)
        return;
    link->looked = now;
    link->spoken = true;
    if (link->listens && poll(&p, 1, 0) > 0)
        link->knocked = true;
}

bool rp_link_poll(struct rp_link *link, uint64_t now_ns)
{
    look_around(link, now_ns);
    if (link->listens && (link->knocked || link->next >= 0)) {
        link->knocked = false;
        accept_newest(link, now_ns);
    }
    read_some(link, READ_BUDGET, false);
    if (link->fd < 0 && link->lost == RP_LOST_NONE) {
        if (link->next >= 0)
            begin(link, &link->next);
        else if (!link->listens)
            try_to_connect(link, now_ns);
        read_some(link, READ_BUDGET, false);
    }
    bool fresh = link->fresh;
    link->fresh = false;
    return fresh;
}

/* True when next has something to say: a whole frame, or one that can be refused already. */
static bool has_frame(const struct rp_link *link)
{
    size_t have = link->in_end - link->in_at;
    uint32_t size;

    if (have < sizeof(size))
        return false;
    memcpy(&size, link->in + link->in_at, sizeof(size));
    return size < 1 || size > FT_MESSAGE_MAX || have >= FT_FRAME_HEAD + size;
}

enum rp_lost rp_link_lost(struct rp_link *link, struct ft_fault *fault)
{
    if (has_frame(link))
        return RP_LOST_NONE;
    bool malformed = link->malformed_new && link->fd >= 0;
    enum rp_lost why = malformed ? RP_LOST_MALFORMED : link->lost;

    if (why != RP_LOST_NONE && fault)
        *fault = link->fault;
    if (malformed)
        link->malformed_new = false;
    else if (why != RP_LOST_NONE)
        forget(link);
    return why;
}

int rp_link_next(struct rp_link *link, unsigned lanes, struct ft_message *m, struct ft_fault *fault)
{
    struct ft_fault why = {""};

    if (link->malformed)
        return 0;
    long used =
        ft_message_decode(link->in + link->in_at, link->in_end - link->in_at, lanes, m, link->bulk, &why);
    if (used > 0) {
        link->in_at += (size_t)used;
        link->stats.frames_in++;
        return 1;
    }
    if (used == 0)
        return 0;
    link->stats.refused[-used]++;
    link->malformed = link->malformed_new = true;
    link->in_at = link->in_end = 0;
    if (link->fd >= 0)
        link->fault = why;
    if (fault)
        *fault = why;
    return (int)used;
}

int rp_link_death_notice(struct rp_link *link, struct ft_death_notice *word)
{
    if (!link->spoken)
        return 0;
    for (int i = 0; i < WORDS_MAX; i++) {
        uint8_t bytes[FT_DEATH_NOTICE_BYTES + 1];
        struct sockaddr_in from;
        socklen_t len = sizeof(from);

        ssize_t n = recvfrom(link->datagrams, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &len);
        if (n < 0) {
            link->spoken = false;
            return 0;
        }
        int rc = from.sin_addr.s_addr == link->peer.sin_addr.s_addr
                     ? ft_death_notice_decode(bytes, (size_t)n, word)
                     : FT_EPERM;
        if (rc == 0)
            return 1;
        link->stats.refused[-rc]++;
    }
    return 0;
}

/* ---- writing ---- */

/* What may wait when `bulk` is added; the rest is for heads. */
static size_t out_limit(bool bulk)
{
    return bulk ? RP_LINK_OUT - RP_LINK_RESERVE : RP_LINK_OUT;
}

size_t rp_link_room(const struct rp_link *link)
{
    size_t used = link->out_end - link->out_at + ft_message_bound(&(struct ft_message){0});

    if (link->fd < 0 || used >= out_limit(true))
        return 0;
    return out_limit(true) - used < FT_BULK_MAX ? out_limit(true) - used : FT_BULK_MAX;
}

int rp_link_send(struct rp_link *link, const struct ft_message *m, unsigned lanes,
                 struct ft_packer *compressor)
{
    size_t bound = ft_message_bound(m);
    bool bulk = m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA || m->type == FT_MSG_SNAPSHOT;

    if (link->fd < 0)
        return FT_ENOENT;
    if (link->out_end - link->out_at + bound > out_limit(bulk))
        return FT_EFULL;
    if (OUT_CAP - link->out_end < bound) {
        memmove(link->out, link->out + link->out_at, link->out_end - link->out_at);
        link->out_end -= link->out_at;
        link->out_at = 0;
    }
    long len = ft_message_encode(m, lanes, compressor, link->out + link->out_end, bound);
    FT_CHECK(len > 0, "a message of type %u needs more than %zu bytes", m->type, bound);
    link->out_end += (size_t)len;
    link->stats.frames_out++;
    return 0;
}

void rp_link_flush(struct rp_link *link)
{
    link->stalled = false;
    while (link->fd >= 0 && !link->broken && link->out_at < link->out_end) {
        ssize_t n = send(link->fd, link->out + link->out_at, link->out_end - link->out_at, MSG_NOSIGNAL);

        if (n >= 0) {
            link->out_at += (size_t)n;
            link->stats.bytes_out += (size_t)n;
        } else if (errno == EAGAIN) {
            link->stalled = true;
            return;
        } else if (errno != EINTR) {
            link->broken = errno;
        }
    }
    link->out_at = link->out_end = 0; /* all of it is written, or of no use: a closed connection has none */
}

bool rp_link_stalled(const struct rp_link *link)
{
    return link->stalled;
}

bool rp_link_times(const struct rp_link *link, struct rp_link_times *out)
{
    return link->fd >= 0 && rp_times(link->fd, &out->busy_us, &out->full_us);
}

void rp_link_wait(struct rp_link *link, uint64_t timeout_ns)
{
    /* Whole frames have been taken, so there is room for more. */
    struct pollfd p[] = {
        {link->fd, (short)(POLLIN | (link->out_at < link->out_end ? POLLOUT : 0)), 0},
        {link->trying, POLLOUT, 0},
        {link->listener, POLLIN, 0},
        {link->datagrams, POLLIN, 0},
    };

    if (link->lost != RP_LOST_NONE || link->broken || (link->fd < 0 && link->next >= 0))
        return;
    if (link->fd < 0 && !link->listens && timeout_ns > link->retry_ns)
        timeout_ns = link->retry_ns;
    struct timespec t = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
    if (ppoll(p, sizeof(p) / sizeof(p[0]), &t, NULL) > 0) {
        link->knocked |= p[2].revents != 0;
        link->spoken |= p[3].revents != 0;
    }
}

const struct rp_link_stats *rp_link_stats(const struct rp_link *link)
{
    return &link->stats;
}
