/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for the seal of the link (replicator/stream.h), in sealed seeds: TLS draws random numbers and
 * takes too much time. It is no cipher. It promises what the link relies on: a handshake that nobody ends who
 * has no key, in which neither side's part can be said again; records whose tag fits one connection,
 * direction and place; an end that is the peer's word only when the peer has said it. In other seeds the
 * product's own stream is called, plain.
 */
#include "tests/sim/net.h"

#include "replicator/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define KEY     0x70616972206b6579ull
#define RECORD  4096u /* bytes of content at most */
#define ROOM    (64u << 10)
#define GREETED 16u

ssize_t sim_recv(int fd, void *to, size_t size, int flags);
ssize_t sim_send(int fd, const void *from, size_t size, int flags);
int sim_close(int fd);

/* Lies in front of each record's content. */
struct head {
    uint32_t len;          /* of the content */
    uint32_t close_notify; /* 1: the last record */
    uint64_t tag;
};

struct sealed {
    int fd;
    bool accepted, greeted, open, close_notify;
    bool two_ways; /* offered, and then agreed on: the nonce's last bit says it */
    int error;     /* the socket's last errno; 0: none */
    uint64_t nonce, key;
    uint64_t said, heard; /* records */
    size_t in_end, in_given;
    size_t out_at, out_end;
    uint8_t in[ROOM], out[ROOM];
};

static uint64_t nonces; /* drawn in this seed */

void sim_seal_begin(void)
{
    nonces = 0;
}

/* The product's streams are made of what it alone knows; these take their place whole. */
static struct sealed *of(const struct rp_stream *stream)
{
    return (struct sealed *)(void *)(uintptr_t)stream;
}

static uint64_t mix(uint64_t key, uint64_t a, uint64_t b)
{
    const uint64_t all[] = {a, b};

    return XXH3_64bits_withSeed(all, sizeof(all), key);
}

static uint64_t tag_of(const struct sealed *s, const struct head *h, const void *content, bool from_accepted,
                       uint64_t number)
{
    return mix(mix(s->key, number << 1 | from_accepted, (uint64_t)h->len << 1 | h->close_notify), 0,
               XXH3_64bits(content, h->len));
}

/* ---- the socket -------------------------------------------------------------------------------- */

static bool flush(struct sealed *s)
{
    if (!sim_sock_there(s->fd)) /* a process that has died says nothing: its sockets are gone */
        s->error = EPIPE;
    while (s->out_at < s->out_end && !s->error) {
        ssize_t n = sim_send(s->fd, s->out + s->out_at, s->out_end - s->out_at, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            s->error = errno;
        else
            s->out_at += (size_t)n;
    }
    if (!s->error)
        s->out_at = s->out_end = 0;
    return !s->error;
}

/* Reads what there is room for. As recv. */
static ssize_t fill(struct sealed *s)
{
    ssize_t n;

    if (s->in_end == ROOM)
        return 1;
    do
        n = sim_recv(s->fd, s->in + s->in_end, ROOM - s->in_end, 0);
    while (n < 0 && errno == EINTR);
    s->in_end += n > 0 ? (size_t)n : 0;
    return n;
}

static void drop(struct sealed *s, size_t n)
{
    s->in_end -= n;
    memmove(s->in, s->in + n, s->in_end);
    s->in_given = 0;
}

/* ---- handshake: nonce and proof of each side; who connects begins, and proves himself by a second one
 * -------- */

static void greet(struct sealed *s, uint64_t proof)
{
    memcpy(s->out + s->out_end, &s->nonce, 8);
    memcpy(s->out + s->out_end + 8, &proof, 8);
    s->out_end += GREETED;
    flush(s);
}

static uint64_t proof_of(const struct sealed *s, bool of_accepted)
{
    return mix(s->key, of_accepted, GREETED);
}

/* 1: open; 0: not yet; -1: not the peer. */
static int hear_greeting(struct sealed *s)
{
    uint64_t said[2];

    memcpy(said, s->in, sizeof(said));
    drop(s, sizeof(said));
    s->two_ways &= said[0] & 1;
    if (!s->greeted || !s->accepted) /* the peer's nonce is news */
        s->key = s->accepted ? mix(KEY, said[0], s->nonce) : mix(KEY, s->nonce, said[0]);
    if (s->accepted && !s->greeted) {
        s->greeted = true;
        greet(s, proof_of(s, true));
        return 0;
    }
    if (said[1] != proof_of(s, !s->accepted))
        return -1;
    if (!s->accepted)
        greet(s, proof_of(s, false));
    s->open = true;
    return 1;
}

static int shake_hands(struct sealed *s)
{
    ssize_t n = 1;
    int done = 0;

    if (!s->accepted && !s->greeted)
        greet(s, 0);
    s->greeted |= !s->accepted;
    flush(s);
    while (!s->open && n > 0 && done == 0) {
        n = s->in_end < GREETED ? fill(s) : 1;
        if (s->in_end >= GREETED)
            done = hear_greeting(s);
    }
    if (s->open)
        return 1;
    return done < 0 || n == 0 || s->error || (n < 0 && errno != EAGAIN) ? -1 : 0;
}

/* ---- records ----------------------------------------------------------------------------------- */

static bool whole(const struct sealed *s)
{
    struct head h;

    memcpy(&h, s->in, sizeof(h));
    return s->in_end >= sizeof(h) && (h.len > RECORD || s->in_end >= sizeof(h) + h.len);
}

static ssize_t give(struct sealed *s, void *to, size_t size)
{
    struct head h;
    size_t n;

    memcpy(&h, s->in, sizeof(h));
    if (s->in_given == 0 && (h.len > RECORD || h.close_notify > 1 ||
                             h.tag != tag_of(s, &h, s->in + sizeof(h), !s->accepted, s->heard))) {
        errno = EPROTO;
        return -1;
    }
    if (h.close_notify) {
        s->close_notify = true;
        return 0;
    }
    n = h.len - s->in_given < size ? h.len - s->in_given : size;
    memcpy(to, s->in + sizeof(h) + s->in_given, n);
    s->in_given += n;
    if (s->in_given == h.len) {
        drop(s, sizeof(h) + h.len);
        s->heard++;
    }
    return (ssize_t)n;
}

static void put(struct sealed *s, const void *content, size_t len, bool close_notify)
{
    struct head h = {.len = (uint32_t)len, .close_notify = close_notify};

    h.tag = tag_of(s, &h, content, s->accepted, s->said++);
    memcpy(s->out + s->out_end, &h, sizeof(h));
    memcpy(s->out + s->out_end + sizeof(h), content, len);
    s->out_end += sizeof(h) + len;
}

/* ---- what the link calls: the linker leads its calls here ------------------------------------------ */

#define WRAP(type, name, ...)                                                                                \
    type __real_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__)

WRAP(struct rp_stream *, rp_stream_open, struct rp_seal *seal, int fd, bool accepted, const char *name,
     bool two_ways)
{
    struct sealed *s;

    if (!sim.plan.sealed)
        return __real_rp_stream_open(seal, fd, accepted, name, two_ways);
    s = calloc(1, sizeof(*s));
    s->fd = fd;
    s->accepted = accepted;
    s->two_ways = two_ways;
    s->nonce = (mix(sim.seed, ++nonces, 0) & ~1ull) | two_ways;
    return (struct rp_stream *)(void *)s;
}

WRAP(int, rp_stream_fd, const struct rp_stream *stream)
{
    return !sim.plan.sealed ? __real_rp_stream_fd(stream) : stream ? of(stream)->fd : -1;
}

WRAP(int, rp_stream_handshake, struct rp_stream *stream)
{
    return sim.plan.sealed ? shake_hands(of(stream)) : __real_rp_stream_handshake(stream);
}

WRAP(bool, rp_stream_two_ways, const struct rp_stream *stream)
{
    return sim.plan.sealed ? of(stream)->two_ways : __real_rp_stream_two_ways(stream);
}

WRAP(bool, rp_stream_secret, const struct rp_stream *stream, struct rp_secret *secret)
{
    const struct sealed *s = of(stream);
    uint64_t words[RP_SECRET_BYTES / 8];

    if (!sim.plan.sealed)
        return __real_rp_stream_secret(stream, secret);
    if (!s->open)
        return false;
    for (unsigned i = 0; i < RP_SECRET_BYTES / 8; i++)
        words[i] = mix(s->key, i, RP_SECRET_BYTES);
    memcpy(secret->bytes, words, sizeof(words));
    secret->accepted = s->accepted;
    return true;
}

WRAP(bool, rp_stream_sealed, const struct rp_stream *stream)
{
    return sim.plan.sealed || __real_rp_stream_sealed(stream);
}

WRAP(ssize_t, rp_stream_read, struct rp_stream *stream, void *to, size_t size, bool *more)
{
    struct sealed *s = of(stream);
    ssize_t n = 1;

    if (!sim.plan.sealed)
        return __real_rp_stream_read(stream, to, size, more);
    if (!whole(s) && !s->close_notify)
        n = fill(s);
    if (n > 0 && !whole(s)) {
        errno = EAGAIN;
        n = -1;
    } else if (n > 0) {
        n = give(s, to, size);
    }
    *more = n > 0;
    return s->close_notify ? 0 : n;
}

WRAP(ssize_t, rp_stream_write, struct rp_stream *stream, const void *from, size_t size)
{
    struct sealed *s = of(stream);
    size_t all = 0;

    if (!sim.plan.sealed)
        return __real_rp_stream_write(stream, from, size);
    flush(s);
    while (!s->error && all < size && ROOM - s->out_end >= 2 * (sizeof(struct head) + RECORD)) {
        size_t n = size - all < RECORD ? size - all : RECORD;

        put(s, (const uint8_t *)from + all, n, false);
        all += n;
    }
    if (all)
        flush(s);
    errno = s->error ? s->error : EAGAIN;
    return all ? (ssize_t)all : -1;
}

WRAP(bool, rp_stream_flush, struct rp_stream *stream)
{
    return sim.plan.sealed ? flush(of(stream)) : __real_rp_stream_flush(stream);
}

WRAP(bool, rp_stream_peer_closed, const struct rp_stream *stream)
{
    return sim.plan.sealed ? of(stream)->close_notify : __real_rp_stream_peer_closed(stream);
}

WRAP(bool, rp_stream_pending, const struct rp_stream *stream)
{
    return sim.plan.sealed ? stream && whole(of(stream)) : __real_rp_stream_pending(stream);
}

WRAP(const char *, rp_stream_why, const struct rp_stream *stream)
{
    return sim.plan.sealed ? "a record's tag differs" : __real_rp_stream_why(stream);
}

/* A process that has died says nothing: its sockets are gone. */
WRAP(void, rp_stream_close, struct rp_stream *stream, bool close_notify)
{
    struct sealed *s = of(stream);

    if (!sim.plan.sealed) {
        __real_rp_stream_close(stream, close_notify);
        return;
    }
    if (!s)
        return;
    if (sim_sock_there(s->fd)) {
        if (s->open && close_notify && !s->error && ROOM - s->out_end >= sizeof(struct head)) {
            put(s, "", 0, true);
            flush(s);
        }
        sim_close(s->fd);
    }
    free(s);
}
