/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key's way through the index: hash, bucket, tag. Inline, for the look-up of a burst; see table.c for how
 * the index lies in memory; and how a packet is identified by what the look-up found, for the lane that
 * captures it. Private to these and to tests.
 */
#ifndef NFLIB_SESSION_INDEX_H
#define NFLIB_SESSION_INDEX_H

#include "ftcore/base/cpu.h"
#include "nflib/session/table.h"
#include "nflib/state/key.h"

/* Of the key without own[], its last two bytes. */
static inline uint64_t nf_session_hash(const struct nf_sessions *t, const struct nf_tuple *key)
{
    uint64_t words[2] = {nf_get64((const uint8_t *)key),
                         nf_get64((const uint8_t *)key + 8) & 0xffffffffffffu};

    return nf_key_hash(words, sizeof(words), t->seed);
}

/* Sets saddr and daddr of a key of IPv6, which are a hash of the packet's addresses. */
static inline void nf_session_hash_addresses(const struct nf_sessions *t,
                                             const struct nf_addresses *addresses, struct nf_tuple *key)
{
    uint64_t hash = nf_key_hash(addresses, sizeof(*addresses), t->seed);

    key->saddr = (uint32_t)hash;
    key->daddr = (uint32_t)(hash >> 32);
}

/* Without own[], as all here. For IPv6 the addresses have to be compared as well: two may have one hash. */
static inline bool nf_session_same(const struct nf_tuple *a, const struct nf_tuple *b)
{
    uint64_t low = nf_get64((const uint8_t *)a) ^ nf_get64((const uint8_t *)b);
    uint64_t high = nf_get64((const uint8_t *)a + 8) ^ nf_get64((const uint8_t *)b + 8);

    return !(low | high << 16);
}

/* Sets the ports of the key of a packet that nobody answers, an ICMP error or ICMPv6 that is no echo, to two
 * that differ. In the key of an echo both are its identifier, so the two are never the same. */
static inline void nf_session_mark_error(const struct nf_packet *p, struct nf_tuple *key)
{
    if (p->flags & NF_P_ICMP_ERROR ||
        (p->proto == NF_PROTO_ICMPV6 && (p->flags & (NF_P_IPV6_READ | NF_P_LATER)) == NF_P_IPV6_READ &&
         !nf_packet_has_ends_ipv6(p))) {
        key->sport = 0;
        key->dport = NF_SESSION_ERROR;
    }
}

static inline uint32_t nf_session_bucket_after(const struct nf_sessions *t, uint32_t b)
{
    return b + 1 < t->buckets ? b + 1 : 0;
}

/*
 * Between nf_sessions_prepare and the first NF: packet i of the burst as an input of 8 bytes. Key NF_NONE: it
 * has to be recorded by its headers, since its session is not there, or L3 or an NF could see in it what
 * nf_session_restore does not make: tags, options, a fragment, a group's MAC address, a time to live of 1.
 */
static inline struct nf_session_input nf_session_input_of(const struct nf_sessions_lane *lane,
                                                          const struct nf_packet *p, uint32_t i)
{
    const struct nf_session_look *look = &lane->look[i];
    const uint8_t *ethernet = p->data, *ip = ethernet + 14;

    if (p->flags != (NF_P_IPV4 | NF_P_L4) || !nf_proto_is_ported(p->proto) || !p->flow || !look->guess ||
        !nf_session_same(&look->guess->key[look->ref & 1], &look->key) || (ethernet[0] | ethernet[6]) & 1 ||
        ip[8] <= 1)
        return (struct nf_session_input){.key = NF_NONE};
    return (struct nf_session_input){
        .key = look->ref, .ip_bytes = (uint16_t)(p->l4_len + 20), .tcp_flags = p->tcp_flags, .tos = ip[1]};
}

#endif
