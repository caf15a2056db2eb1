/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What seals the connections of a link, and the stream of bytes of one of them.
 *
 * A seal is by keys: TLS 1.3 with an external pre-shared key and an ephemeral exchange (RFC 8446,
 * psk_dhe_ke). Or by certificates: each side's is signed by the file's authority, and names its node.
 *
 * The stream of bytes of one TCP connection between the nodes: sealed by TLS 1.3, or plain where the link is
 * insecure by the file. Owned by the link, used by the replicator's thread alone; nothing here waits. Nothing
 * that a stranger sends on a sealed stream is read as a message: a handshake that does not end is all he can
 * have.
 */
#ifndef REPLICATOR_STREAM_H
#define REPLICATOR_STREAM_H

#include "replicator/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* All NULL: nothing seals the link. */
struct rp_seal_config {
    const struct rp_keys *keys;
    const char *certificate, *private_key, *authority; /* PEM files, when there are no keys */
    const char *peer_name;                             /* that the peer's certificate has */
};

struct rp_seal;
/* *out NULL: nothing is sealed. FT_ENOMEM; FT_EINVAL with a line that names the file. */
int rp_seal_open(struct rp_seal **out, const struct rp_seal_config *config, struct ft_fault *fault);
void rp_seal_close(struct rp_seal *seal);

struct rp_stream;
/* Takes the socket `fd`, which is closed with the stream, or at once when there is no memory (NULL then).
 * `name`: that the certificate at the other end has; "": the seal's. `two_ways`: the handshake offers that
 * the connection is one of two ways (trunk.h); by ALPN, so a peer that knows nothing of it does not answer
 * it. */
struct rp_stream *rp_stream_open(struct rp_seal *seal, int fd, bool accepted, const char *name,
                                 bool two_ways);
/* After the handshake: both sides have offered it. */
bool rp_stream_two_ways(const struct rp_stream *stream);
int rp_stream_fd(const struct rp_stream *stream);
/* 1: the peer has proved itself (plain: nothing to prove); 0: not yet; RP_STREAM_REFUSED: its proof is not
 * valid here, or ours is not valid there; RP_STREAM_ENDED: the connection ended first, as it does when the
 * peer dies. rp_stream_why returns more. */
#define RP_STREAM_REFUSED (-1)
#define RP_STREAM_ENDED   (-2)
int rp_stream_handshake(struct rp_stream *stream);
bool rp_stream_sealed(const struct rp_stream *stream);
/* A secret that both ends of this connection share, and nobody else (RFC 8446, 7.5). False: it is not sealed,
 * or not proven yet. */
#define RP_SECRET_BYTES 32u
struct rp_secret {
    uint8_t bytes[RP_SECRET_BYTES];
    bool accepted; /* this end accepted the connection; at the other end this is false */
};
bool rp_stream_secret(const struct rp_stream *stream, struct rp_secret *secret);
/*
 * As recv and send: the bytes moved, 0 at the end, or -1 with errno (EAGAIN; EPROTO for what the key does not
 * fit). *more: there may be more without waiting.
 */
ssize_t rp_stream_read(struct rp_stream *stream, void *to, size_t size, bool *more);
ssize_t rp_stream_write(struct rp_stream *stream, const void *from, size_t size);
/* What was written is on its way to the socket at the latest now. False: the socket takes no more, or it is
 * broken. */
bool rp_stream_flush(struct rp_stream *stream);
/* After an end: the peer's process itself announced the close. Of a plain stream its kernel is believed. */
bool rp_stream_peer_closed(const struct rp_stream *stream);
/* Bytes wait here that the socket does not show. */
bool rp_stream_pending(const struct rp_stream *stream);
const char *rp_stream_why(const struct rp_stream *stream);
/* `close_notify`: announces that the end is meant. Does nothing for NULL. */
void rp_stream_close(struct rp_stream *stream, bool close_notify);

#endif
