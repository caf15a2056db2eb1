/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells both ends of what ips has rejected: of TCP by a reset to each, of UDP by an ICMP error to the sender.
 * Ends are told under the addresses by which they know each other, also where another NF translates: those of
 * the session's keys. Owns nothing.
 */
#include "nfs/ips/parts.h"
#include "nflib/net/icmp.h"

#include <arpa/inet.h>
#include <string.h>

#define PORT_UNREACHABLE      3u /* codes of unreachable */
#define PORT_UNREACHABLE_IPV6 4u
#define HEAD_MAX              (14u + 8) /* Ethernet, with two tags */
#define RESET_MAX             (HEAD_MAX + 40 + 20)

/* A reset to the end that has `key`: of packets that come in from it. */
struct reset {
    const struct nf_tuple *key;
    struct nf_addresses addresses; /* of IPv6, of the same packets */
    uint32_t seq, ack;
    uint8_t flags;
};

/* The IP header and TCP's, from the end that packets with the key go to. Its length. */
static uint32_t write_reset(const struct reset *r, uint8_t *ip)
{
    uint32_t n = r->key->ipv6 ? 40 : 20;
    uint8_t *tcp = ip + n;

    memset(ip, 0, n + 20);
    nf_put16(tcp, r->key->dport);
    nf_put16(tcp + 2, r->key->sport);
    nf_put32(tcp + 4, htonl(r->seq));
    nf_put32(tcp + 8, htonl(r->ack));
    tcp[12] = 5 << 4;
    tcp[13] = r->flags;
    if (r->key->ipv6) {
        ip[0] = 6 << 4;
        ip[5] = 20;
        ip[6] = NF_PROTO_TCP;
        ip[7] = 64;
        memcpy(ip + 8, r->addresses.destination, 16);
        memcpy(ip + 24, r->addresses.source, 16);
        nf_put16(tcp + 16, nf_ipv6_checksum(ip + 8, NF_PROTO_TCP, tcp, 20));
        return n + 20;
    }
    ip[0] = 0x45;
    ip[3] = 40;
    ip[6] = 0x40; /* never fragmented */
    ip[8] = 64;
    ip[9] = NF_PROTO_TCP;
    nf_put32(ip + 12, r->key->daddr);
    nf_put32(ip + 16, r->key->saddr);
    nf_put16(ip + 10, nf_checksum(ip, 20));
    nf_put16(tcp + 16, nf_ipv4_checksum(ip + 12, NF_PROTO_TCP, tcp, 20));
    return n + 20;
}

/* `frame` has room for the packet's head, and the IP packet behind it. The chain's L3, if there is one, puts
 * MAC addresses and port in. */
static void emit(const struct ips_look *look, uint8_t *frame, uint32_t len, bool back)
{
    const struct nf_packet *p = look->p;

    memcpy(frame, p->data, p->l3);
    nf_put16(frame + p->l3 - 2,
             htons(frame[p->l3] >> 4 == 6 ? 0x86dd : 0x0800)); /* it may not be the packet's */
    if (back)
        nf_packet_macs_back(p, frame);
    nf_emit(look->nf, back ? p->in_port : p->in_port ^ 1, frame, p->l3 + len);
}

static void reset_end(const struct ips_look *look, bool back, uint32_t seq, uint32_t ack)
{
    const struct nf_session *s = look->session;
    unsigned which = look->reply == back; /* the first packet's sender has key 0 */
    struct reset r = {.key = &s->key[which], .seq = seq, .ack = ack};
    uint8_t frame[RESET_MAX];

    r.flags = NF_TCP_RST | (back ? NF_TCP_ACK : 0);
    if (r.key->ipv6)
        nf_session_key_ipv6(look->nf, s, which, &r.addresses);
    emit(look, frame, write_reset(&r, frame + look->p->l3), back);
}

static void reject_segment(const struct ips_look *look)
{
    const struct nf_packet *p = look->p;
    const uint8_t *tcp = p->data + p->l4;
    uint32_t len;

    nf_packet_payload(p, &len);
    reset_end(look, true, ntohl(nf_get32(tcp + 8)), ntohl(nf_get32(tcp + 4)) + len);
    if (!(nf_session_flags(look->session) & NF_SESSION_NEW)) /* the other end's key is known */
        reset_end(look, false, look->next, 0);
}

/* Not where an NF in front of this one has translated the packet: its sender would not know it. */
static void reject_datagram(const struct ips_look *look)
{
    const struct nf_packet *p = look->p;
    const struct nf_tuple *key = &look->session->key[look->reply];
    uint8_t error[NF_ICMPV6_ERROR_MAX], frame[8 + NF_ICMPV6_ERROR_MAX];
    struct nf_addresses addresses;
    uint32_t len = 0;

    if (key->sport != p->sport || key->dport != p->dport)
        return;
    if (p->flags & NF_P_IPV6) {
        const uint8_t *ends = nf_packet_ipv6_addresses(p);

        nf_session_key_ipv6(look->nf, look->session, look->reply, &addresses);
        if (memcmp(&addresses, ends, sizeof(addresses)) == 0 && nf_icmpv6_may_complain(p))
            len = nf_icmpv6_error(p, NF_ICMPV6_UNREACHABLE, PORT_UNREACHABLE_IPV6, 0, ends + 16, error);
    } else if (key->saddr == p->saddr && key->daddr == p->daddr && nf_icmp_may_complain(p)) {
        len = nf_icmp_error(p, NF_ICMP_UNREACHABLE, PORT_UNREACHABLE, 0, p->daddr, error);
    }
    if (!len)
        return;
    memcpy(frame + p->l3, error + 14, len - 14);
    emit(look, frame, len - 14, true);
}

void ips_reject(const struct ips_look *look)
{
    if (look->p->l3 > HEAD_MAX)
        return;
    if (look->p->proto == NF_PROTO_TCP)
        reject_segment(look);
    else
        reject_datagram(look);
}
