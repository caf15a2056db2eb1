/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NAT's part in ICMP errors (RFC 5508, 4.2): an error comes with the addresses of the packet that it is
 * about, as that one left, and is translated back together with what it quotes. No state of its own.
 */
#include "nfs/nat/nat_table.h"

/* From inside, about a packet that came in: the inner destination is the NAT's to translate. */
static void translate_outward(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    struct nat_ends ends = nat_ends_of(nf, s);

    nf_packet_set_inner_dst(p, ends.outside, ends.outside_port);
    nf_packet_set_saddr(p, ends.outside);
}

static void translate_inward(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    struct nat_ends ends = nat_ends_of(nf, s);

    nf_packet_set_inner_src(p, ends.inside, ends.inside_port);
    nf_packet_set_daddr(p, ends.inside);
}

/* Both ends are inside. `reply`: it is about a packet of the host that began. */
static void translate_hairpin(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                              const struct nat_forward *f, bool reply)
{
    struct nat_ends ends = nat_ends_of(nf, s);

    if (reply) {
        nf_packet_set_inner_src(p, ends.inside, ends.inside_port);
        nf_packet_set_inner_dst(p, f->outside, f->port);
        nf_packet_set_daddr(p, ends.inside);
    } else {
        nf_packet_set_inner_src(p, f->to, f->to_port);
        nf_packet_set_inner_dst(p, ends.outside, ends.outside_port);
        nf_packet_set_daddr(p, f->to);
    }
    nf_packet_set_saddr(p, reply ? f->outside : ends.outside);
}

/* The reason to drop an error that is about nothing known. */
static enum nat_counter reason_of(const struct nf *nf, const struct nf_packet *p)
{
    struct nf_inner in;

    if (p->side == NF_INSIDE)
        return NAT_NO_MAPPING;
    nf_packet_inner(p, &in);
    return nat_has_port(nf, in.proto, in.saddr, in.sport) ? NAT_WRONG_REMOTE : NAT_NO_MAPPING;
}

void nat_error(const struct nf *nf, struct nf_packet *p)
{
    bool reply, inside = p->side == NF_INSIDE;
    const struct nf_session *s = nf_session_quoted(nf, p, &reply);
    struct nat_forward f;

    if (s && !nf_session_has(nf, s))
        s = NULL;
    if (s && nat_hairpin_of(nf, s, &f)) {
        translate_hairpin(nf, p, s, &f, reply);
    } else if (s && inside && reply == nat_is_forwarded(s)) {
        translate_outward(nf, p, s);
    } else if (s && !inside && reply != nat_is_forwarded(s)) {
        translate_inward(nf, p, s);
    } else {
        nf_drop(nf, p, reason_of(nf, p));
        return;
    }
    nf_count(nf, NAT_ERRORS, 1);
}
