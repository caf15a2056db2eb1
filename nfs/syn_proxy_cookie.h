/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SYN cookies (Bernstein; RFC 4987, 3.6): the sequence number of a SYN-ACK from which, when its ACK comes,
 * all is known again that would else have been kept. 29 bits are a keyed hash (SipHash-2-4, Aumasson and
 * Bernstein) of the connection and the client's sequence number, 3 bits say which MSS the client wanted.
 *
 * The secrets are state: drawn from the lane's generator, and drawn anew as chain time goes on. So the
 * standby has them, and takes the ACK of a cookie that its predecessor gave.
 */
#ifndef NFS_SYN_PROXY_COOKIE_H
#define NFS_SYN_PROXY_COOKIE_H

#include "nflib/nf.h"

/* A cookie is good for that long at least, and for less than three times that: its secret is the newer one
 * for less than twice that, however long no handshake comes, and then the older one for as long as this. */
#define SP_COOKIE_LIFE (64 * NF_SECOND)

/* Two secrets: that of new cookies, and the one before. */
struct sp_secrets {
    uint64_t key[2][2];
    uint64_t drawn; /* chain time */
};

/* A connection, as the client's packets have it; ports in network order, `isn` in host order. */
struct sp_syn {
    const uint8_t *addresses; /* source and destination, as in the header */
    uint32_t size;            /* of both together: 8, 32 */
    uint16_t sport, dport;
    uint32_t isn; /* of the client's SYN */
};

/* Draws the secrets that have become too old. */
void sp_secrets_renew(const struct nf *nf, const struct sp_secrets *secrets, uint64_t now);
/* `mss`: as the client's SYN says it. */
uint32_t sp_cookie_make(const struct sp_secrets *secrets, const struct sp_syn *syn, uint16_t mss);
/* The greatest MSS that is known not to be more than what the client said; 0: this is no cookie of ours. */
uint16_t sp_cookie_read(const struct sp_secrets *secrets, const struct sp_syn *syn, uint32_t cookie);

uint64_t sp_siphash(const uint64_t key[2], const void *data, uint32_t n);

#endif
