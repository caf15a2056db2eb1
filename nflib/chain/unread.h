/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an NF that declares NF_READS_FLOW does not read of a whole packet of TCP or UDP over IPv4:
 * identification, flags and time to live; how long the header of TCP or the message of UDP is; TCP's numbers,
 * window, urgent pointer and options; payload. Where a replay has whole
 * frames, in `replay` with its input keeper and in the authors' harness, these have other values while the
 * chain runs, as they have in a replay of what is recorded by sessions: an NF that reads one all the same
 * reaches another state, which is found. Behind the chain they are put back, so that what leaves is what the
 * primary sends. Which of them it reads, both find by executing packets again with one at a time hidden.
 */
#ifndef NFLIB_CHAIN_UNREAD_H
#define NFLIB_CHAIN_UNREAD_H

#include "nflib/net/packet.h"

/* Fields, with their names in what people read. */
#define NF_UNREAD_FIELDS(FIELD)                                                                              \
    FIELD(NF_UNREAD_ID, "the identification of IPv4")                                                        \
    FIELD(NF_UNREAD_FLAGS, "the flags of IPv4")                                                              \
    FIELD(NF_UNREAD_TTL, "the time to live of IPv4")                                                         \
    FIELD(NF_UNREAD_HEADER, "the length that TCP or UDP says")                                               \
    FIELD(NF_UNREAD_SEQ, "the sequence number of TCP")                                                       \
    FIELD(NF_UNREAD_ACK, "the acknowledgement number of TCP")                                                \
    FIELD(NF_UNREAD_WINDOW, "the window of TCP")                                                             \
    FIELD(NF_UNREAD_URGENT, "the urgent pointer of TCP")                                                     \
    FIELD(NF_UNREAD_OPTIONS, "the options of TCP")                                                           \
    FIELD(NF_UNREAD_PAYLOAD, "payload")
#define NF_UNREAD_ENUM(field, name) field,
enum nf_unread_field { NF_UNREAD_FIELDS(NF_UNREAD_ENUM) NF_UNREAD_COUNT };
#define NF_UNREAD_ALL ((1u << NF_UNREAD_COUNT) - 1)

struct nf_unread {
    uint32_t hidden; /* bits: enum nf_unread_field */
    uint32_t have;   /* the packet's */
    uint32_t behind; /* of `bytes`, what follows the header without options */
    uint16_t id;
    uint8_t ttl;
    uint8_t header[20], bytes[128];
};

/* `fields`: bits, of which those are hidden that the packet has. It is parsed here, and is to be parsed
 * again. *kept: what nf_unread_show puts back. */
void nf_unread_hide(struct nf_packet *p, uint32_t fields, struct nf_unread *kept);
/* Behind nf_chain_run, of a packet that is not dropped. */
void nf_unread_show(struct nf_packet *p, const struct nf_unread *kept);

/* "the window of TCP and the options of TCP", of these bits, in `out`. */
void nf_unread_names(uint32_t fields, char out[], size_t size);

#endif
