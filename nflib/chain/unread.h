/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an NF that declares NF_READS_FLOW does not read of a whole packet of TCP or UDP over IPv4:
 * identification, time to live, TCP's numbers, window, urgent pointer and options. Where a replay has whole
 * frames, in `replay` with its input keeper and in the authors' harness, these have other values while the
 * chain runs, as they have in a replay of what is recorded by sessions: an NF that reads one all the same
 * reaches another state, which is found. Behind the chain they are put back, so that what leaves is what the
 * primary sends.
 */
#ifndef NFLIB_CHAIN_UNREAD_H
#define NFLIB_CHAIN_UNREAD_H

#include "nflib/net/packet.h"

struct nf_unread {
    bool hidden;
    uint8_t ttl;
    uint16_t id, options; /* bytes of those */
    uint8_t
        tcp[12]; /* behind the ports: sequence numbers, offset and flags, window; then the urgent pointer */
    uint8_t urgent[2], option[40];
};

/* The packet is parsed here, and is to be parsed again. *kept: what nf_unread_show puts back. */
void nf_unread_hide(struct nf_packet *p, struct nf_unread *kept);
/* Behind nf_chain_run, of a packet that is not dropped. */
void nf_unread_show(struct nf_packet *p, const struct nf_unread *kept);

#endif
