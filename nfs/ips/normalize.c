/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ips changes in packets of TCP so that their receiver reads what ips has read, and what it makes of
 * resets that do not end a connection. Owns nothing.
 */
#include "nfs/ips/parts.h"
#include "nflib/net/bytes.h"

#define TTL_MIN 64u

static void put_word(uint8_t *at, uint16_t value, uint8_t *sum)
{
    nf_put16(sum, nf_checksum_adjust16(nf_get16(sum), nf_get16(at), value));
    nf_put16(at, value);
}

/* Many receivers take the byte that is pointed at out of the stream (RFC 6093, 3). */
void ips_clear_urgent(struct ips_look *look)
{
    struct nf_packet *p = look->p;
    uint8_t *tcp = p->data + p->l4, head[2] = {tcp[12], tcp[13] & (uint8_t)~NF_TCP_URG};

    if (!(p->tcp_flags & NF_TCP_URG))
        return;
    put_word(tcp + 12, nf_get16(head), tcp + 16);
    put_word(tcp + 18, 0, tcp + 16);
    p->tcp_flags = head[1];
    look->sums[IPS_URGENT]++;
}

/* The reset has ended what ips reads, so it is to end the connection as well, however far its receiver is.
 * Once for a connection: a packet in a routing loop comes to its end. */
void ips_raise_ttl(struct nf_packet *p)
{
    uint8_t *ip = p->data + p->l3, head[2] = {TTL_MIN, ip[9]};

    if (p->flags & NF_P_IPV6)
        ip[7] = ip[7] < TTL_MIN ? TTL_MIN : ip[7];
    else if (ip[8] < TTL_MIN)
        put_word(ip + 8, nf_get16(head), ip + 10);
}

/* A reset or an end that was dropped, or a reset that its receiver does not believe: the connection is not
 * over, and what is known of it is not forgotten soon. Of one that was never open it is. */
void ips_keep_open(const struct ips_look *look)
{
    const struct nf_session *s = nf_session_mine(look->nf, look->p);
    const struct ips_flow *flow = s ? nf_session_slot(look->nf, s) : NULL;
    bool open;

    if (!flow || !nf_tcp_is_over(nf_session_tcp(s)))
        return;
    open = flow->stream[0].flags & flow->stream[1].flags & NF_STREAM_ANSWERED ||
           (flow->stream[0].flags | flow->stream[1].flags) & NF_STREAM_MIDDLE;
    if (flow->flags & IPS_FLOW_BLOCKED || (open && !nf_stream_is_over(flow->stream)))
        nf_session_stays_open(look->nf, s, look->now);
}
