/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of bytes of one TCP connection between the nodes: sealed by TLS 1.3, or plain where the file
 * says that the link is insecure. Owned by the link, used by the replicator's thread alone; nothing here
 * waits.
 *
 * Sealed by the pair's key: TLS 1.3 with an external pre-shared key and an ephemeral exchange (RFC 8446,
 * psk_dhe_ke). By certificates: each side's is signed by the file's authority, and names its node. Either way
 * nothing that a stranger sends is read as a message: a handshake that does not end is all he can have.
 */
#ifndef REPLICATOR_STREAM_H
#define REPLICATOR_STREAM_H

#include "replicator/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What seals the link; all NULL: nothing does. */
struct rp_seal_config {
    const struct rp_keys *keys;
    const char *certificate, *private_key, *authority; /* PEM files, when there are no keys */
    const char *peer_name;                             /* that the peer's certificate has */
};

/* What the streams of a link have in common. */
struct rp_seal;
/* `out` NULL: plain. FT_EINVAL and FT_ENOENT with a line that names the file. */
int rp_seal_open(struct rp_seal **out, const struct rp_seal_config *config, struct ft_fault *fault);
void rp_seal_close(struct rp_seal *seal);
/* Handshakes from now on use these keys; connections that stand are not touched. */
void rp_seal_keys(struct rp_seal *seal, const struct rp_keys *keys);

struct rp_stream;
/* Takes the socket `fd`, which is closed with the stream, or at once when there is no memory (NULL then). */
struct rp_stream *rp_stream_open(struct rp_seal *seal, int fd, bool accepted);
int rp_stream_fd(const struct rp_stream *stream);
/* 1: the peer has proved itself (plain: nothing to prove); 0: not yet; -1: refused, rp_stream_why says why.
 */
int rp_stream_handshake(struct rp_stream *stream);
bool rp_stream_sealed(const struct rp_stream *stream);
/*
 * As recv and send: the bytes moved, 0 at the end, or -1 with errno (EAGAIN; EPROTO for what the key does not
 * fit). *more: there may be more without waiting.
 */
ssize_t rp_stream_read(struct rp_stream *stream, void *to, size_t size, bool *more);
ssize_t rp_stream_write(struct rp_stream *stream, const void *from, size_t size);
/* After an end: the peer's process itself said that it closes. Of a plain stream its kernel is believed. */
bool rp_stream_farewell(const struct rp_stream *stream);
/* Bytes wait here that the socket does not show. */
bool rp_stream_pending(const struct rp_stream *stream);
const char *rp_stream_why(const struct rp_stream *stream);
/* `farewell`: says that the end is meant. Does nothing for NULL. */
void rp_stream_close(struct rp_stream *stream, bool farewell);

#endif
