/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has no ports, GRE, ESP, SCTP, IP in IP and the like, translated by its address alone: one host inside
 * for each outside address, remote address and protocol, the first one (`unsupported: by_address`). Its state
 * is the session.
 */
#include "nfs/nat/nat_table.h"

#define PROTO_DCCP     33u
#define PROTO_AH       51u
#define PROTO_UDP_LITE 136u

/* Not those whose checksums have the addresses in them. */
bool nat_by_address(const struct nat_config *config, uint8_t proto)
{
    return config->unsupported == NAT_BY_ADDRESS && !nf_proto_has_ports(proto) && proto != PROTO_DCCP &&
           proto != PROTO_AH && proto != PROTO_UDP_LITE;
}

static bool translate_inward(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    struct nf_tuple ends;

    if (!s || !(p->flow & NF_FLOW_REPLY)) {
        nf_drop(nf, p, NAT_NO_MAPPING);
        return false;
    }
    nf_session_view(nf, s, &ends);
    NF_SESSION_EDIT(nf, s, struct nat_flow)->packets++;
    nf_packet_set_daddr(p, ends.saddr);
    return true;
}

bool nat_address_packet(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_config *config = nf->config;
    const struct nf_session *s = nf_session_mine(nf, p);

    if (p->side == NF_OUTSIDE)
        return translate_inward(nf, p, s);
    if (!nf_prefixes_has(&config->inside, p->saddr) || nat_is_outside(nf, p->daddr)) {
        nf_drop(nf, p, nat_is_outside(nf, p->daddr) ? NAT_HAIRPIN : NAT_NOT_INSIDE);
        return false;
    }
    if (!s && p->session && !(nf_session_flags(p->session) & NF_SESSION_NEW)) {
        nf_count(nf, NAT_NOT_OURS, 1); /* of a flow that began without the NAT */
        return false;
    }
    if (!s) {
        if (!nat_has_room(nf, p))
            return false;
        s = nf_session_join(nf, p, now);
        FT_CHECK(s, "nat: no slot with %u of %u mappings", nf_sessions_count(nf), nf_sessions_max(nf));
        NF_SESSION_EDIT(nf, s, struct nat_flow)->place =
            nat_outside_of(&config->outside, &p->saddr, sizeof(p->saddr)) & 7;
        nf_count(nf, NAT_CREATED, 1);
    }
    NF_SESSION_EDIT(nf, s, struct nat_flow)->packets++;
    nf_packet_set_saddr(p, nat_outside(nf, nat_flow_of(nf, s)));
    return true;
}
