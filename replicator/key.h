/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair's keys: secrets that both nodes have and nobody else. The key file has one key a line, 64
 * hexadecimal digits; lines that begin with # are comments. It is read by the node's main thread when the
 * node starts; the link's seal uses the keys in handshakes.
 *
 * A second line makes a change of keys possible while the pair runs: a node accepts either key, and who
 * connects tries one after the other.
 */
#ifndef REPLICATOR_KEY_H
#define REPLICATOR_KEY_H

#include "ftcore/base/error.h"

#include <stdint.h>

#define RP_KEY_BYTES 32u
#define RP_KEYS_MAX  2u

struct rp_keys {
    unsigned count; /* 1 … RP_KEYS_MAX */
    uint8_t key[RP_KEYS_MAX][RP_KEY_BYTES];
};

/*
 * Reads the file. It must be a regular file of this user or of root that nobody else may read. FT_ENOENT,
 * FT_EPERM (owner, mode), FT_EMALFORMED with a fault "FILE:LINE: what, what was expected".
 */
int rp_keys_read(struct rp_keys *out, const char *path, struct ft_fault *fault);

/* A file with a secret: one of this user or of root that nobody else may read. 0, or as rp_keys_read. */
int rp_key_check(const char *path, struct ft_fault *fault);

/* Makes the file with one random key, mode 0600. FT_EBUSY when there is one already, FT_EPERM, FT_EIO. */
int rp_key_make(const char *path, struct ft_fault *fault);

#endif
