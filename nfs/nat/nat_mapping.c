/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of the NAT that begin from outside, at a port that an end inside has (`mapping` and `filtering:
 * endpoint_independent`; RFC 4787, REQ-8), or from inside there (`hairpin`; REQ-9). No state of its own: the
 * ports are in nat_ports.c.
 */
#include "nfs/nat/nat_table.h"

bool nat_may_open(const struct nf *nf, const struct nf_packet *p)
{
    const struct nat_config *config = nf->config;
    bool begins =
        p->proto == NF_PROTO_UDP ||
        (p->proto == NF_PROTO_TCP && (p->tcp_flags & (NF_TCP_SYN | NF_TCP_ACK | NF_TCP_RST)) == NF_TCP_SYN);

    return config->filtering && begins && nat_has_port(nf, p->proto, p->daddr, p->dport);
}

/* What outside begins takes the first half of max_flows at most: a flood leaves hosts inside the other one.
 */
static bool leaves_room(const struct nf *nf)
{
    return nf_sessions_count(nf) < (nf_sessions_max(nf) + 1) / 2;
}

const struct nf_session *nat_open(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config);
    const struct nat *nat = nf->state;
    struct nat_port port = {nat_outside_place(ports.outside, p->daddr), p->dport};
    uint32_t number = nat_ports_number(&ports, port);
    const struct nf_session *s;

    /* First, since the session that a new one displaces may have been the mapping's last. */
    nat_ports_share(nf, &ports, &nat->ports, p->proto, number);
    s = leaves_room(nf) && nf_session_room(nf, p) ? nf_session_join(nf, p, now) : NULL;
    if (!s) {
        nat_ports_give(nf, &ports, &nat->ports, p->proto, number);
        nf_drop(nf, p, nf_session_host_full(nf, p) ? NAT_HOST_FULL : NAT_TABLE_FULL);
        return NULL;
    }
    *NF_SESSION_EDIT(nf, s, struct nat_flow) =
        (struct nat_flow){.packets = 1, .place = port.place & 7, .way = NAT_WAY_OPENED, .port = port.port};
    nf_count(nf, NAT_FORWARDED, 1);
    return s;
}

/* ---- hairpins ---- */

/* Not where an NF in front of this one has translated the destination: the session's key has to say it. */
bool nat_may_turn(const struct nf *nf, const struct nf_packet *p)
{
    const struct nat_config *config = nf->config;
    bool begins = p->proto == NF_PROTO_UDP || (p->proto == NF_PROTO_TCP && nf_tcp_is_request(p->tcp_flags));

    return config->hairpin && config->mapping && begins && nat_has_port(nf, p->proto, p->daddr, p->dport);
}

const struct nf_session *nat_turn(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config);
    const struct nat *nat = nf->state;
    uint32_t number =
        nat_ports_number(&ports, (struct nat_port){nat_outside_place(ports.outside, p->daddr), p->dport});
    const struct nf_session *s;

    /* First, since the session that a new one displaces may have been the mapping's last. */
    nat_ports_share(nf, &ports, &nat->ports, p->proto, number);
    s = nat_create(nf, p, now);
    if (!s || s->key[0].daddr != p->daddr || s->key[0].dport != p->dport) {
        nat_ports_give(nf, &ports, &nat->ports, p->proto, number);
        if (s)
            nf_drop(nf, p, NAT_HAIRPIN);
        return NULL;
    }
    NF_SESSION_EDIT(nf, s, struct nat_flow)->way = NAT_WAY_TURNED;
    nf_count(nf, NAT_FORWARDED, 1);
    return s;
}

bool nat_hairpin_of(const struct nf *nf, const struct nf_session *s, struct nat_forward *f)
{
    const struct nat_config *config = nf->config;
    const struct nat_ports_config ports = nat_ports_of(config);
    const struct nat *nat = nf->state;
    unsigned way = nat_flow_of(nf, s)->way;
    const struct nat_inside_end *end;

    if (!way || way == NAT_WAY_OPENED)
        return false;
    if (way != NAT_WAY_TURNED) {
        *f = config->list[way - 1];
        return true;
    }
    end =
        nat_ports_end(&ports, &nat->ports, s->key[0].proto, nat_ports_number(&ports, nat_turned_port(nf, s)));
    *f = (struct nat_forward){.outside = s->key[0].daddr,
                              .port = s->key[0].dport,
                              .to = end->addr,
                              .to_port = end->rest.port,
                              .proto = s->key[0].proto};
    return true;
}
