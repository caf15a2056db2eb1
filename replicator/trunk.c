/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trunk: see trunk.h. What a trunk of two ways writes is segments: a head of 24 bytes and up to 64 KiB of
 * the stream, whose position the head contains. Numbers are little-endian.
 *
 *     0  kind: 1 data (without content: a probe), 2 a connection joins its session, 3 it begins it,
 *        4 the session that it was to join is not known here
 *     1  bits: ways by which this side hears nothing, while it hears the other way
 *     4  bytes of content, u32
 *     8  data: position of the content; else the session. u64
 *    16  data: position up to which the peer's bytes are here, u64
 *
 * A position counts bytes of one direction from the beginning of the session. On one connection a segment
 * begins where the one before ended, or at what the peer has reported to have, so it never lies beyond what
 * the peer has. Each connection is sealed by itself, with keys of its own handshake, so a segment that is
 * sent again is sealed anew. A node that closes announces it (close_notify) on each way that has taken all
 * that the node sent.
 */
#include "replicator/trunk.h"

#include "ftcore/base/plant.h"
#include "replicator/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD    RP_SEGMENT_HEAD
#define SEGMENT (64u << 10)  /* bytes at most, the head among them */
#define LARGE   9000u        /* bytes of content: more than any frame between the nodes */
#define TRY_NS  100000000ull /* between two probes of that size, on the way that carries nothing */
#define DISCARD 4096u
#define CLOSED  10u /* heartbeats of silence after which a way is closed */

enum kind { DATA = 1, JOINS, BEGINS, UNKNOWN };

struct head {
    uint8_t kind, doubts;
    uint32_t len;
    uint64_t at, has;
};

struct way {
    struct rp_stream *stream; /* NULL: it does not stand */
    bool stalled;             /* its socket took less than there was, at the last flush */
    int broken;               /* errno of a write that failed; 0: none */
    uint64_t next;            /* position of what of the stream is written there next */
    uint64_t heard, trusted;  /* when something came last, and when it was last not doubted, ns */
    uint64_t said, tried;     /* when a segment, and a large one, was begun last */
    struct rp_hearing in;     /* the head of the segment that comes */
    struct head head;         /* once that is whole: what is left of the segment */
    uint8_t *out;             /* [SEGMENT] out[out_at, out_end) waits for the stream */
    size_t out_at, out_end;
};

struct rp_trunk {
    bool connects, peer_closed;
    bool met;         /* the peer has spoken in this session */
    unsigned plain;   /* of a plain one: the way that it came by */
    uint64_t session; /* 0: it is plain, and has the first of `way` alone */
    uint64_t now, heartbeat;
    struct way way[RP_WAYS];
    unsigned carries, first; /* first: which is read first this time */
    uint8_t *kept;           /* [room] bytes `acked` to `said` of the stream, each at its position % room */
    size_t room;
    uint64_t acked, said;         /* positions: the peer has all below; what was taken */
    uint64_t has, told;           /* the peer's bytes below are here; and what was reported of that last */
    uint8_t doubts, peers_doubts; /* bits of ways, as heads have them */
    int error;                    /* of the way that was lost last, errno; 0: it ended */
    char why[96];
    struct rp_ways_stats *stats;
    bool has_secret;
    struct rp_secret secret; /* of the connection that it began with */
};

/* ---- heads --------------------------------------------------------------------------------------- */

static void put(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << 8 * i;
    return value;
}

static void put_head(uint8_t to[HEAD], struct head h)
{
    memset(to, 0, HEAD);
    to[0] = h.kind;
    to[1] = h.doubts;
    put(to + 4, h.len, 4);
    put(to + 8, h.at, 8);
    put(to + 16, h.has, 8);
}

static struct head get_head(const uint8_t from[HEAD])
{
    return (struct head){.kind = from[0],
                         .doubts = from[1],
                         .len = (uint32_t)get(from + 4, 4),
                         .at = get(from + 8, 8),
                         .has = get(from + 16, 8)};
}

bool rp_joining_say(struct rp_stream *stream, struct rp_joining own)
{
    uint8_t bytes[HEAD];

    put_head(bytes, (struct head){.kind = own.begins ? BEGINS : JOINS, .at = own.session});
    return rp_stream_write(stream, bytes, HEAD) == HEAD;
}

void rp_joining_refuse(struct rp_stream *stream)
{
    uint8_t bytes[HEAD];

    put_head(bytes, (struct head){.kind = UNKNOWN});
    (void)!rp_stream_write(stream, bytes, HEAD);
    rp_stream_close(stream, false);
}

int rp_joining_receive(struct rp_stream *stream, struct rp_hearing *in, struct rp_joining *peers)
{
    bool more;

    while (in->have < HEAD) {
        ssize_t n = rp_stream_read(stream, in->bytes + in->have, HEAD - in->have, &more);

        if (n <= 0)
            return n < 0 && errno == EAGAIN ? 0 : -1;
        in->have += (size_t)n;
    }
    struct head h = get_head(in->bytes);

    *peers = (struct rp_joining){.session = h.at, .begins = h.kind == BEGINS};
    return (h.kind == JOINS || h.kind == BEGINS) && h.at && !h.len ? 1 : -1;
}

/* ---- opened and closed ---------------------------------------------------------------------------- */

static void note_standing(struct rp_trunk *t, unsigned way, bool stands)
{
    struct rp_way_stats *s = &t->stats->way[way];

    s->stands = stands;
    s->silent = false;
    s->since = t->now;
}

static void carry_by(struct rp_trunk *t, unsigned i)
{
    t->carries = i;
    if (FT_PLANTED("way-late") && t->way[i].next < t->said)
        t->way[i].next++;
    for (unsigned way = 0; way < RP_WAYS; way++)
        t->stats->way[way].carries = way == (t->session ? i : t->plain);
}

struct rp_trunk *rp_trunk_plain(struct rp_stream *stream, unsigned way, struct rp_ways_stats *stats,
                                uint64_t now)
{
    struct rp_trunk *t = calloc(1, sizeof(*t));

    if (!t) {
        rp_stream_close(stream, false);
        return NULL;
    }
    *t = (struct rp_trunk){.plain = way, .now = now, .way[0].stream = stream, .stats = stats};
    t->has_secret = rp_stream_secret(stream, &t->secret);
    note_standing(t, way, true);
    carry_by(t, 0);
    return t;
}

struct rp_trunk *rp_trunk_open(uint64_t session, bool connects, uint64_t heartbeat_ns,
                               struct rp_ways_stats *stats, uint64_t now)
{
    struct rp_trunk *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    *t = (struct rp_trunk){.connects = connects,
                           .session = session,
                           .now = now,
                           .heartbeat = heartbeat_ns,
                           .room = RP_LINK_OUT / 2,
                           .stats = stats};
    t->kept = malloc(t->room);
    for (unsigned i = 0; i < RP_WAYS; i++)
        t->way[i].out = malloc(SEGMENT);
    if (t->kept && t->way[0].out && t->way[1].out)
        return t;
    rp_trunk_close(t, false);
    return NULL;
}

/* Its connection is closed, and what was under way there; what comes by it next is what the peer has not. */
static void empty_way(struct rp_trunk *t, unsigned i)
{
    struct way *w = &t->way[i];

    rp_stream_close(w->stream, false);
    *w = (struct way){.out = w->out, .next = t->acked};
    t->doubts = t->peers_doubts = 0; /* of two, one is left */
    note_standing(t, i, false);
}

/* By its end, errno `error` or 0. */
static void lose_way(struct rp_trunk *t, unsigned i, int error)
{
    struct way *other = &t->way[!i];

    t->error = error;
    t->peer_closed |= rp_stream_peer_closed(t->way[i].stream);
    if (error == EPROTO) {
        const char *why = rp_stream_why(t->way[i].stream);

        snprintf(t->why, sizeof(t->why), "%s", why[0] ? why : "a segment does not fit those before");
    }
    empty_way(t, i);
    if (t->peer_closed) /* it closes both */
        return;
    t->stats->way[i].losses++;
    if (FT_PLANTED("way-is-death") && other->stream)
        empty_way(t, !i);
    if (t->carries != i || !other->stream)
        return;
    t->stats->switches++;
    carry_by(t, !i);
}

void rp_trunk_attach(struct rp_trunk *t, struct rp_stream *stream, unsigned way)
{
    struct way *w = &t->way[way];

    if (!t->has_secret)
        t->has_secret = rp_stream_secret(stream, &t->secret);
    if (w->stream)
        lose_way(t, way, ECONNRESET);
    *w = (struct way){.stream = stream, .out = w->out, .next = t->acked};
    w->heard = w->trusted = t->now;
    note_standing(t, way, true);
    if (!t->way[t->carries].stream || !t->way[!way].stream)
        carry_by(t, way);
}

bool rp_trunk_secret(const struct rp_trunk *t, struct rp_secret *secret)
{
    *secret = t->secret;
    return t->has_secret;
}

static bool flush_way(struct rp_trunk *t, unsigned i);

void rp_trunk_close(struct rp_trunk *t, bool close_notify)
{
    if (!t)
        return;
    for (unsigned i = 0; i < RP_WAYS; i++) {
        struct way *w = &t->way[i];
        bool all = true;

        if (!w->stream)
            continue;
        if (t->session && close_notify) { /* each way is to bring all that the peer may not have */
            t->carries = i;
            flush_way(t, i);
            all = w->out_at == w->out_end && w->next == t->said;
        }
        rp_stream_close(w->stream, close_notify && all);
        note_standing(t, t->session ? i : t->plain, false);
    }
    for (unsigned i = 0; i < RP_WAYS; i++) {
        t->stats->way[i].carries = false;
        free(t->way[i].out);
    }
    free(t->kept);
    free(t);
}

/* ---- what others see ------------------------------------------------------------------------------ */

bool rp_trunk_connects(const struct rp_trunk *t)
{
    return t && t->connects;
}

/* Not before the peer has spoken: what joins is to come there behind what has begun. */
bool rp_trunk_lacks(const struct rp_trunk *t, unsigned way)
{
    return rp_trunk_connects(t) && t->met && !t->way[way].stream;
}

uint64_t rp_trunk_session(const struct rp_trunk *t)
{
    return t->session;
}

bool rp_trunk_stalled(const struct rp_trunk *t, unsigned i)
{
    return t && (!t->session || t->way[i].stalled);
}

int rp_trunk_fd(const struct rp_trunk *t, unsigned i)
{
    return t ? rp_stream_fd(t->way[i].stream) : -1;
}

int rp_trunk_carrier(const struct rp_trunk *t)
{
    return rp_trunk_fd(t, t->carries);
}

uint64_t rp_trunk_due(const struct rp_trunk *t)
{
    return t && t->session ? t->heartbeat / 2 : UINT64_MAX;
}

void rp_trunk_time(struct rp_trunk *t, uint64_t now)
{
    t->now = now;
}

bool rp_trunk_sealed(const struct rp_trunk *t)
{
    return t->session || rp_stream_sealed(t->way[0].stream);
}

bool rp_trunk_peer_closed(const struct rp_trunk *t)
{
    return t->session ? t->peer_closed : rp_stream_peer_closed(t->way[0].stream);
}

bool rp_trunk_pending(const struct rp_trunk *t)
{
    return t && (rp_stream_pending(t->way[0].stream) || rp_stream_pending(t->way[1].stream));
}

const char *rp_trunk_why(const struct rp_trunk *t)
{
    return t->session ? t->why : rp_stream_why(t->way[0].stream);
}

/* ---- reading -------------------------------------------------------------------------------------- */

/* A whole head. False: it does not fit what was sent before. */
static bool take_head(struct rp_trunk *t, struct way *w)
{
    struct head *h = &w->head;

    *h = get_head(w->in.bytes);
    w->in.have = 0;
    if (h->kind != DATA || h->len > SEGMENT - HEAD || (h->len && h->at > t->has) || h->has > t->said)
        return false;
    t->met = true;
    t->peers_doubts = h->doubts;
    t->acked = h->has > t->acked ? h->has : t->acked;
    for (unsigned i = 0; i < RP_WAYS; i++)
        t->way[i].next = t->way[i].next > t->acked ? t->way[i].next : t->acked;
    return true;
}

/* Bytes of the segment that is under way which are here already. */
static size_t known(const struct rp_trunk *t, const struct head *h)
{
    uint64_t here = t->has - h->at;

    if (FT_PLANTED("way-repeats") && here && here < h->len)
        here--;
    return here < h->len ? (size_t)here : h->len;
}

/* Bytes of the stream that have come by this way, or 0: there are none now. A way that has ended is lost. */
static ssize_t read_way(struct rp_trunk *t, unsigned i, uint8_t *to, size_t size)
{
    struct way *w = &t->way[i];
    struct head *h = &w->head;
    uint8_t discarded[DISCARD];
    bool more;

    while (w->stream) {
        size_t skips = h->len ? known(t, h) : 0, most = skips ? skips : h->len;
        ssize_t n;

        if (h->len == 0)
            n = rp_stream_read(w->stream, w->in.bytes + w->in.have, HEAD - w->in.have, &more);
        else if (skips)
            n = rp_stream_read(w->stream, discarded, most < DISCARD ? most : DISCARD, &more);
        else
            n = rp_stream_read(w->stream, to, most < size ? most : size, &more);
        if (n < 0 && errno == EAGAIN && !w->broken)
            return 0;
        if (n <= 0) {
            lose_way(t, i, n < 0 && errno != EAGAIN ? errno : w->broken);
            return 0;
        }
        w->heard = t->now;
        if (h->len == 0) {
            w->in.have += (size_t)n;
            if (w->in.have < HEAD || take_head(t, w))
                continue;
            if (h->kind == UNKNOWN) /* what is left of the session is of no use */
                empty_way(t, !i);
            lose_way(t, i, h->kind == UNKNOWN ? ECONNRESET : EPROTO);
            return 0;
        }
        h->len -= (uint32_t)n;
        h->at += (uint64_t)n;
        if (skips)
            continue;
        t->has += (uint64_t)n;
        return n;
    }
    return 0;
}

/* All that came is read, so a silence is none of this thread's. The way that carries is left when it alone is
 * doubted, by either side; and one that stays so is closed. */
static void judge_ways(struct rp_trunk *t)
{
    bool both = t->way[0].stream && t->way[1].stream;
    uint8_t doubts = 0, doubted;

    for (unsigned i = 0; i < RP_WAYS && both; i++)
        doubts |= (uint8_t)((t->way[!i].heard >= t->way[i].heard + t->heartbeat) << i);
    for (unsigned i = 0; i < RP_WAYS && doubts & ~t->doubts; i++)
        t->way[i].said = 0; /* the doubt is reported at once */
    t->doubts = doubts;
    doubted = both ? doubts | t->peers_doubts : 0;
    for (unsigned i = 0; i < RP_WAYS; i++) {
        bool alone = (doubted & 3u) == 1u << i;

        t->stats->way[i].silent = doubted >> i & 1;
        if (alone && t->carries == i) {
            t->stats->switches++;
            carry_by(t, !i);
        }
        if (!alone)
            t->way[i].trusted = t->now;
        else if (t->now >= t->way[i].trusted + CLOSED * t->heartbeat)
            lose_way(t, i, ETIMEDOUT);
    }
}

ssize_t rp_trunk_read(struct rp_trunk *t, void *to, size_t size, bool *more)
{
    ssize_t n = 0;

    if (!t->session)
        return rp_stream_read(t->way[0].stream, to, size, more);
    for (unsigned i = 0; i < RP_WAYS && n == 0; i++)
        n = read_way(t, t->first = !t->first, to, size);
    *more = n > 0;
    if (n > 0)
        return n;
    judge_ways(t);
    if (t->peer_closed)
        return 0;
    errno = t->way[0].stream || t->way[1].stream ? EAGAIN : t->error;
    return errno ? -1 : 0;
}

/* ---- writing -------------------------------------------------------------------------------------- */

/* True: nothing waits there, so a segment may begin. */
static bool write_out(struct way *w)
{
    while (!w->broken && w->out_at < w->out_end) {
        ssize_t n = rp_stream_write(w->stream, w->out + w->out_at, w->out_end - w->out_at);

        if (n >= 0)
            w->out_at += (size_t)n;
        else if (errno == EAGAIN)
            return false;
        else
            w->broken = errno;
    }
    return !w->broken;
}

/* Of bytes that the peer has had, others may have come in their place: it takes none of them. */
static void begin_segment(struct rp_trunk *t, struct way *w, uint64_t at, size_t len)
{
    size_t from = (size_t)(at % t->room), first = t->room - from < len ? t->room - from : len;

    put_head(w->out,
             (struct head){.kind = DATA, .doubts = t->doubts, .len = (uint32_t)len, .at = at, .has = t->has});
    memcpy(w->out + HEAD, t->kept + from, first);
    memcpy(w->out + HEAD + first, t->kept, len - first);
    w->out_at = 0;
    w->out_end = HEAD + len;
    w->said = t->now;
    t->told = t->has;
}

static void begin_data(struct rp_trunk *t, struct way *w)
{
    size_t left = (size_t)(t->said - w->next), len = left < SEGMENT - HEAD ? left : SEGMENT - HEAD;

    begin_segment(t, w, w->next, len);
    w->next += len;
}

/* Now and then the idle way is to show that large packets pass: it brings again what the peer has. */
static void begin_probe(struct rp_trunk *t, unsigned i)
{
    struct way *w = &t->way[i];
    bool tries = i != t->carries && t->now >= w->tried + TRY_NS;
    size_t len = !tries ? 0 : t->acked < LARGE ? (size_t)t->acked : LARGE;

    w->tried = tries ? t->now : w->tried;
    begin_segment(t, w, t->acked - len, len);
}

static bool is_probe_due(const struct rp_trunk *t, unsigned i)
{
    return t->now >= t->way[i].said + t->heartbeat / 2 ||
           (i == t->carries && t->has - t->told >= t->room / 16);
}

/* True: nothing waits there. */
static bool flush_way(struct rp_trunk *t, unsigned i)
{
    struct way *w = &t->way[i];
    bool all;

    while ((all = write_out(w)) && i == t->carries && w->next < t->said)
        begin_data(t, w);
    if (all && is_probe_due(t, i)) {
        begin_probe(t, i);
        all = write_out(w);
    }
    return all && rp_stream_flush(w->stream);
}

bool rp_trunk_flush(struct rp_trunk *t)
{
    if (!t->session)
        return rp_stream_flush(t->way[0].stream);
    for (unsigned i = 0; i < RP_WAYS; i++)
        t->way[i].stalled = t->way[i].stream && !flush_way(t, i);
    return !t->way[t->carries].stalled;
}

ssize_t rp_trunk_write(struct rp_trunk *t, const void *from, size_t size)
{
    size_t left, at, first;

    if (!t->session)
        return rp_stream_write(t->way[0].stream, from, size);
    left = t->room - (size_t)(t->said - t->acked);
    if (left == 0) {
        rp_trunk_flush(t); /* and probes: the peer is to hear the other way when one takes nothing */
        errno = EAGAIN;
        return -1;
    }
    size = size < left ? size : left;
    at = (size_t)(t->said % t->room);
    first = t->room - at < size ? t->room - at : size;
    memcpy(t->kept + at, from, first);
    memcpy(t->kept, (const uint8_t *)from + first, size - first);
    t->said += size;
    return (ssize_t)size;
}
