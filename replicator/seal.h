/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What seals the connections of a link: the pair's keys, or certificates. Owned by the link; used by its
 * streams, on the replicator's thread.
 *
 * By keys: TLS 1.3 with an external pre-shared key and an ephemeral exchange (RFC 8446, psk_dhe_ke). By
 * certificates: each side's is signed by the file's authority, and names its node.
 */
#ifndef REPLICATOR_SEAL_H
#define REPLICATOR_SEAL_H

#include "replicator/key.h"

#include <stdbool.h>

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

struct ssl_st;
/* OpenSSL's side of a new connection, without a way to the socket. NULL: no memory. */
struct ssl_st *rp_seal_begin(struct rp_seal *seal, bool accepts);
/* After a handshake: it was the key that the two sides share, or a certificate that was checked. */
bool rp_seal_holds(struct ssl_st *tls);

#endif
