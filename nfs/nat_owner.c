/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lane a packet of the NAT's belongs to, asked by the threads that deal packets out: they read what is
 * constant, and who has a port, which can be read without a section. No state of its own.
 */
#include "nfs/nat_table.h"

/* With a port for each end inside, that end's flows are one lane's. */
enum nf_scope nat_scope(const void *config)
{
    const struct nat_config *nat = config;

    return nat->mapping ? NF_OF_INSIDE : NF_OF_FLOW;
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

static unsigned lane_of(const struct nf *nf, uint32_t remote, uint16_t port)
{
    return (ntohl(remote) ^ ntohl(remote) >> 16 ^ ntohs(port)) % nf->lanes;
}

/* What goes to a forwarded end, or comes from there: by its other end, so that both ways have one lane. */
static bool is_forwarded(const struct nf *nf, const struct nf_inner *ends, bool in, unsigned *lane)
{
    const struct nat_config *config = nf->config;

    if (in ? ends->daddr != config->outside || !nat_forward_at(config, ends->proto, ends->dport)
           : ends->daddr == config->outside || !nat_forward_to(config, ends->proto, ends->saddr, ends->sport))
        return false;
    *lane = in ? lane_of(nf, ends->saddr, ends->sport) : lane_of(nf, ends->daddr, ends->dport);
    return true;
}

/*
 * What comes back belongs to the lane that gave out the port, also from inside (a hairpin's answers); what
 * goes out has no owner yet, so it goes where its hash says. What has no ports goes by its other end. Later
 * fragments have no port to know the owner by.
 */
bool nat_owner(const struct nf *nf, const struct nf_packet *p, unsigned *lane)
{
    const struct nat_config *config = nf->config;
    const struct nat *nat = nf->state;
    bool in = p->side == NF_OUTSIDE;
    struct nf_inner ends;

    if (p->flags & NF_P_BAD || !(p->flags & NF_P_IPV4))
        return false;
    if (nat_by_address(config, p->proto)) {
        *lane = lane_of(nf, in ? p->saddr : p->daddr, 0);
        return true;
    }
    if (p->flags & NF_P_LATER || !read_ends(p, &ends))
        return false;
    if (config->forwards && is_forwarded(nf, &ends, in, lane))
        return true;
    if (ends.daddr != config->outside || !nf_proto_has_ports(ends.proto) ||
        (p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REQUEST))
        return false;
    *lane = nf_shared_pool_owner(nat->pool[nat_proto(ends.proto)], ntohs(ends.dport) - config->ports.first);
    return *lane != NF_NONE;
}
