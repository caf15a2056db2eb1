/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lane a packet of the NAT's belongs to, asked by the threads that deal packets out: they read what is
 * constant, and who has a port, which can be read without a section. No state of its own.
 */
#include "nflib/chain/chain.h"
#include "nfs/nat/nat_table.h"

/* With a port for each end inside, that end's flows are one lane's. Of what has no ports both ways have the
 * remote address in common, and no other. */
enum nf_scope nat_scope(const void *config)
{
    const struct nat_config *nat = config;
    bool portless = nat->unsupported == NAT_BY_ADDRESS;

    if (nat->mapping)
        return portless || nat->hairpin ? NF_OF_CHAIN : NF_OF_INSIDE;
    return portless ? NF_OF_OUTSIDE : NF_OF_FLOW;
}

/* The ends that the flow's packets have as they come in on this side: an error is about what went the other
 * way. False: they have no ports. */
static bool read_ends(const struct nf_packet *p, struct nf_inner *ends)
{
    struct nf_inner in;

    *ends = (struct nf_inner){
        .saddr = p->saddr, .daddr = p->daddr, .sport = p->sport, .dport = p->dport, .proto = p->proto};
    if (p->flags & NF_P_ICMP_ERROR) {
        nf_packet_inner(p, &in);
        *ends = (struct nf_inner){
            .saddr = in.daddr, .daddr = in.saddr, .sport = in.dport, .dport = in.sport, .proto = in.proto};
        return true;
    }
    return nf_packet_has_ends(p);
}

/* What goes to a forwarded end, or comes from there: by the chain's scope, with the host's own address both
 * ways. */
static bool is_forwarded(const struct nf *nf, const struct nf_inner *ends, bool in, unsigned *lane)
{
    const struct nat_config *config = nf->config;
    const struct nat_forward *f = NULL;
    struct nf_packet p = {.flags = NF_P_IPV4 | NF_P_L4,
                          .side = in ? NF_OUTSIDE : NF_INSIDE,
                          .proto = ends->proto,
                          .saddr = ends->saddr,
                          .daddr = ends->daddr,
                          .sport = ends->sport,
                          .dport = ends->dport};

    if (in)
        f = nat_forward_at(config, ends->proto, ends->daddr, ends->dport);
    else if (!nat_is_outside(nf, ends->daddr))
        f = nat_forward_to(config, ends->proto, ends->saddr, ends->sport);
    if (!f)
        return false;
    if (in) {
        p.daddr = f->to;
        p.dport = f->to_port;
    }
    *lane = nf_lane_of(&p, nf->env->scope, nf->lanes);
    return true;
}

/*
 * What comes back belongs to the lane that gave out the port, also from inside (a hairpin's answers); what
 * goes out has no owner yet, so it goes by the chain's scope, as does what has no ports. Later fragments have
 * no port to know the owner by.
 */
bool nat_owner(const struct nf *nf, const struct nf_packet *p, unsigned *lane)
{
    const struct nat_config *config = nf->config;
    const struct nat_ports_config ports = nat_ports_of(config);
    const struct nat *nat = nf->state;
    struct nf_inner ends;

    if ((p->flags & (NF_P_BAD | NF_P_IPV4 | NF_P_LATER)) != NF_P_IPV4 || !read_ends(p, &ends))
        return false;
    if (config->forwards && is_forwarded(nf, &ends, p->side == NF_OUTSIDE, lane))
        return true;
    if (!nf_proto_has_ports(ends.proto) ||
        (p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REQUEST))
        return false;
    return nat_ports_owner(&ports, &nat->ports, ends.proto, ends.daddr, ends.dport, lane);
}
