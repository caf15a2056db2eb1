/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat: source NAT to an outside address, or a few of them (RFC 4787, 5382, 5508, 7857). One mapping per flow:
 * (protocol, inside end, remote end) to an outside port, or ICMP identifier, from a pool of its address and
 * protocol that lanes share; or one for each end inside, as the file sets. The way back is the flow's
 * session, which knows the remote end, too. IPv6 passes as it is: it is no business of a NAT of IPv4. Whether
 * a flow is translated is decided at its first packet. Hosts inside are reached from outside at the ports
 * that `forward` names. How a session begins is in nat_sessions.c. What has no ports is translated by its
 * address alone, where the file asks for it.
 */
#include "nflib/chain/chain.h"
#include "nflib/net/icmp.h"
#include "nfs/nat/nat_sessions.h"
#include "nfs/nat/side.h"

#include <string.h>

static const char *const nat_counters[] = {NAT_COUNTERS(NF_COUNTER_NAME) NULL};
static const char *const nat_unsupported[] = {"drop", "pass", "by_address", NULL};
static const char *const nat_dependence[] = {"address_and_port_dependent", "endpoint_independent", NULL};

/* ---- the instance, and the end of a session ------------------------------------------------------ */

static uint64_t nat_arena(const void *config)
{
    struct nat_ports_config ports = nat_ports_of(config, NULL);

    return nat_ports_bytes(&ports);
}

static uint64_t nat_shared(const void *config, unsigned lanes)
{
    struct nat_ports_config ports = nat_ports_of(config, NULL);

    (void)lanes;
    return nat_ports_shared(&ports);
}

static bool nat_make(struct nf *nf)
{
    struct nat_ports_config ports = nat_ports_of(nf->config, nf->state);
    struct nat *nat = nf->state;
    bool whole = nat_ports_make(nf, &ports, &nat->ports);

    NF_CONSTANT(nf, nat);
    return whole;
}

static void nat_flows(const void *config, struct nf_flows_config *flows)
{
    const struct nat_config *nat = config;

    const struct nat_ports_config ports = nat_ports_of(config, NULL);

    *flows = nat->flows;
    nat_ports_limit(&ports, flows);
    if (nat->unsupported == NAT_BY_ADDRESS)
        flows->timeouts[NF_TIMEOUT_OTHER] = flows->timeouts[NF_TIMEOUT_UDP];
}

uint8_t nat_side_of(const void *config, const struct nf_packet *p, bool by_networks)
{
    const struct nat_config *nat = config;

    if (!(p->flags & NF_P_IPV4))
        return NAT_NO_SIDE;
    if (by_networks && nf_prefixes_has(&nat->inside, p->saddr))
        return NF_INSIDE;
    return (by_networks && nf_prefixes_has(&nat->inside, p->daddr)) ||
                   nat_outside_has(&nat->outside, p->daddr)
               ? NF_OUTSIDE
               : NAT_NO_SIDE;
}

/* For the log of flows: the translation, as its first packet came and as it left. */
static void nat_log(const struct nf *nf, const struct nf_session *s, bool ends_now, enum nf_session_why why,
                    uint64_t now)
{
    const struct nat_ends own = nat_ends_of(nf, s);
    struct nat_forward turned;
    bool in = nat_is_forwarded(s), turns = nat_hairpin_of(nf, s, &turned);
    struct nf_tuple ends;

    nf_session_view(nf, s, &ends);
    struct nf_log_event event = {
        .kind = ends_now ? NF_LOG_END : NF_LOG_BEGIN,
        .proto = ends.proto,
        .why = (uint8_t)why,
        .time = now,
        .sport = ends.sport,
        .dport = ends.proto == NF_PROTO_ICMP ? 0 : ends.dport,
        .to_source = in ? ends.saddr : own.outside,
        .to_sport = in ? ends.sport : own.outside_port,
        .to_destination = in      ? own.inside
                          : turns ? turned.to
                                  : ends.daddr,
        .to_dport = in      ? own.inside_port
                    : turns ? turned.to_port
                            : ends.dport,
    };

    if (ends.proto == NF_PROTO_ICMP)
        event.to_dport = 0;
    memcpy(event.source, &ends.saddr, sizeof(ends.saddr));
    memcpy(event.destination, &ends.daddr, sizeof(ends.daddr));
    nf_log_add(nf, &event, now);
}

static void nat_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config, nf->state);
    const struct nat_flow *flow = nat_flow_of(nf, s);

    (void)why;
    (void)now;
    if (flow->way == NAT_WAY_TURNED) /* the other end's, too */
        nat_ports_give(nf, &ports, s->key[0].proto, nat_ports_number(&ports, nat_turned_port(nf, s)));
    if (nf_proto_has_ports(nf_session_proto(nf, s)) && (!nat_is_forwarded(s) || flow->way == NAT_WAY_OPENED))
        nat_ports_give(nf, &ports, nf_session_proto(nf, s), nat_ports_number(&ports, nat_port_of(flow)));
}

/* ---- packets, and what they are to this NF --------------------------------------------------------- */

/* What a packet is to this NF. */
enum nat_kind {
    NAT_K_ARP,
    NAT_K_IPV6,
    NAT_K_BAD,
    NAT_K_OTHER,
    NAT_K_PORTLESS,
    NAT_K_LATER,
    NAT_K_ERROR,
    NAT_K_FLOW
};

/* Of what is not translated: `by_address` drops the rest. */
static inline uint32_t nat_policy(const struct nat_config *config)
{
    return config->unsupported == NF_POLICY_PASS ? NF_POLICY_PASS : NF_POLICY_DROP;
}

static inline enum nat_kind nat_kind(const struct nf_packet *p)
{
    if (p->flags & NF_P_BAD)
        return NAT_K_BAD;
    if (!(p->flags & NF_P_IPV4))
        return p->flags & NF_P_ARP ? NAT_K_ARP : p->flags & NF_P_IPV6 ? NAT_K_IPV6 : NAT_K_OTHER;
    if (!nf_proto_has_ports(p->proto))
        return NAT_K_PORTLESS;
    if (p->flags & NF_P_LATER)
        return NAT_K_LATER;
    if (p->flags & NF_P_ICMP_ERROR)
        return NAT_K_ERROR;
    if (!(p->flags & NF_P_L4))
        return NAT_K_BAD;
    return nf_packet_has_ends(p) ? NAT_K_FLOW : NAT_K_OTHER;
}

/* A host's of `inside` that is on its way out: it would leave with the address that nobody outside may see.
 */
static bool nat_would_leak(const struct nat_config *config, const struct nf_packet *p)
{
    return p->flags & NF_P_IPV4 && p->side == NF_INSIDE && nf_prefixes_has(&config->inside, p->saddr);
}

static bool nat_is_echo_request(const struct nf_packet *p, enum nat_kind kind)
{
    return kind == NAT_K_FLOW && p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REQUEST;
}

/* The packet goes from one network inside to another, by the chain's routes; `inside` may hold networks that
 * lie upstream. */
static bool nat_stays_inside(const struct nf *nf, const struct nf_packet *p)
{
    return p->side == NF_INSIDE && p->flags & NF_P_IPV4 && !nat_is_outside(nf, p->daddr) &&
           nf_out_side(nf, p) == NF_INSIDE;
}

/* ---- what has no ports ------------------------------------------------------------------------- */

/*
 * GRE, ESP, SCTP, IP in IP and the like, translated by their address alone: one host inside for each outside
 * address, remote address and protocol, the first one (`unsupported: by_address`). Its state is the session.
 */
#define PROTO_DCCP     33u
#define PROTO_AH       51u
#define PROTO_UDP_LITE 136u

/* A protocol without ports, of which the address alone is translated: none whose checksum has the addresses
 * in it. */
static bool nat_by_address(const struct nat_config *config, uint8_t proto)
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

static bool nat_address_packet(const struct nf *nf, struct nf_packet *p, uint64_t now)
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

/* ---- ICMP errors --------------------------------------------------------------------------------- */

/*
 * RFC 5508, 4.2: an error comes with the addresses of the packet that it is about, as that one left, and is
 * translated back together with what it quotes.
 */

/* Both ends are inside. `reply`: it is about a packet of the host that began. */
static void translate_error_hairpin(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
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
    return nat_has_port(nf, in.proto, p->daddr, in.sport) ? NAT_WRONG_REMOTE : NAT_NO_MAPPING;
}

/* Would an error from inside, about a flow that is not the NAT's or about no flow (`about` is NULL), leave
 * with the address of a host of `inside`? Not where it answers a packet from outside (`reply`) that an NF
 * behind this one has translated, since that NF gives such errors an address of its own. */
static bool error_would_leak(const struct nf *nf, const struct nf_packet *p, const struct nf_session *about,
                             bool reply)
{
    uint32_t behind = nf->env->sessions->before[nf->index][NF_OUTSIDE][1];

    return nat_would_leak(nf->config, p) && (!about || !reply || !(about->members & behind));
}

static void nat_error(const struct nf *nf, struct nf_packet *p)
{
    bool reply, inside = p->side == NF_INSIDE;
    const struct nf_session *about = nf_session_quoted(nf, p, &reply);
    const struct nf_session *s = about && nf_session_has(nf, about) ? about : NULL;
    struct nat_forward f;
    struct nat_ends ends;

    if (!s && inside && !error_would_leak(nf, p, about, reply)) {
        if (about) /* it passes, as the packets of that flow do */
            nf_count(nf, NAT_NOT_OURS, 1);
        else
            nf_drop_or_pass(nf, p, nat_policy(nf->config), NAT_NOT_INSIDE);
        return;
    }
    if (s && nat_hairpin_of(nf, s, &f)) {
        translate_error_hairpin(nf, p, s, &f, reply);
    } else if (s && inside && reply == nat_is_forwarded(s)) {
        ends = nat_ends_of(nf, s); /* about a packet that came in: the inner destination is the NAT's */
        nf_packet_set_inner_dst(p, ends.outside, ends.outside_port);
        nf_packet_set_saddr(p, ends.outside);
    } else if (s && !inside && reply != nat_is_forwarded(s)) {
        ends = nat_ends_of(nf, s);
        nf_packet_set_inner_src(p, ends.inside, ends.inside_port);
        nf_packet_set_daddr(p, ends.inside);
    } else {
        nf_drop(nf, p, reason_of(nf, p));
        return;
    }
    nf_count(nf, NAT_ERRORS, 1);
}

/* ---- packets ----------------------------------------------------------------------------------- */

/* A packet of a session that began from outside. True: translated. */
static bool nat_forwarded(const struct nf *nf, struct nf_packet *p, const struct nf_session *s, bool later)
{
    struct nat_ends ends = nat_ends_of(nf, s);

    if (later && !nf_session_later(nf, p)) {
        nf_drop(nf, p, NAT_FRAGMENT_UNKNOWN);
        return false;
    }
    if (later && p->side == NF_OUTSIDE)
        nf_packet_set_daddr(p, ends.inside);
    else if (later)
        nf_packet_set_saddr(p, ends.outside);
    else if (p->side == NF_OUTSIDE)
        nf_packet_set_destination(p, ends.inside, ends.inside_port);
    else
        nf_packet_set_source(p, ends.outside, ends.outside_port);
    return true;
}

/* True: translated, to be counted by the caller, once a burst. So nat_inward and nat_one. */
static bool nat_outward(const struct nf *nf, struct nf_packet *p, enum nat_kind kind, uint64_t now)
{
    const struct nat_config *config = nf->config;
    const struct nf_session *s;

    if (kind == NAT_K_ERROR) {
        nat_error(nf, p);
        return false;
    }
    if (!nf_prefixes_has(&config->inside, p->saddr)) {
        nf_drop_or_pass(nf, p, nat_policy(config), NAT_NOT_INSIDE);
        return false;
    }
    if (nat_is_outside(nf, p->daddr)) {
        if (!nat_is_echo_request(p, kind))
            return nat_hairpin(nf, p, kind == NAT_K_LATER, now);
        nf_count(nf, NAT_OWN_ECHO, 1);
        return false;
    }
    s = nf_session_mine(nf, p);
    if (s && nat_is_forwarded(s) && p->flow & NF_FLOW_REPLY) {
        NF_SESSION_EDIT(nf, s, struct nat_flow)->packets++;
        return nat_forwarded(nf, p, s, kind == NAT_K_LATER);
    }
    if (!s && p->session && !(nf_session_flags(p->session) & NF_SESSION_NEW) &&
        (kind != NAT_K_LATER || nf_session_later(nf, p))) {
        nf_count(nf, NAT_NOT_OURS, 1); /* of a flow that began without the NAT */
        return false;
    }
    if (kind == NAT_K_LATER) {
        if (!s || !nf_session_later(nf, p)) {
            nf_drop(nf, p, NAT_FRAGMENT_UNKNOWN);
            return false;
        }
    } else {
        if (s)
            NF_SESSION_EDIT(nf, s, struct nat_flow)->packets++;
        else if (!(s = nat_create(nf, p, now)))
            return false;
        nf_packet_set_source(p, nat_outside(nf, nat_flow_of(nf, s)), nat_flow_of(nf, s)->port);
        return true;
    }
    nf_packet_set_saddr(p, nat_outside(nf, nat_flow_of(nf, s)));
    return true;
}

static bool nat_inward(const struct nf *nf, struct nf_packet *p, enum nat_kind kind, uint64_t now)
{
    const struct nf_session *s;
    struct nf_tuple ends;

    if (kind == NAT_K_ERROR) {
        nat_error(nf, p);
        return false;
    }
    if (nat_is_echo_request(p, kind)) {
        nf_count(nf, NAT_OWN_ECHO, 1);
        return false;
    }
    s = nf_session_mine(nf, p);
    if (s && nat_is_forwarded(s)) {
        NF_SESSION_EDIT(nf, s, struct nat_flow)->packets++;
        return nat_forwarded(nf, p, s, kind == NAT_K_LATER);
    }
    if (!s && kind == NAT_K_FLOW && nat_begin(nf, p, now, &s))
        return s && nat_forwarded(nf, p, s, false);
    if (kind == NAT_K_LATER && (!s || !nf_session_later(nf, p))) {
        nf_drop(nf, p, NAT_FRAGMENT_UNKNOWN);
        return false;
    }
    if (!s || !(p->flow & NF_FLOW_REPLY)) {
        nf_drop(nf, p, nat_has_port(nf, p->proto, p->daddr, p->dport) ? NAT_WRONG_REMOTE : NAT_NO_MAPPING);
        return false;
    }
    nf_session_view(nf, s, &ends);
    if (kind == NAT_K_LATER) {
        nf_packet_set_daddr(p, ends.saddr);
        return true;
    }
    NF_SESSION_EDIT(nf, s, struct nat_flow)->packets++;
    nf_packet_set_destination(p, ends.saddr, ends.sport);
    return true;
}

/* A mapping begins with a packet from inside: with what follows it there is nothing left to decide. False: it
 * began in another way, or the packet comes from elsewhere. */
static inline __attribute__((always_inline)) bool nat_settled(const struct nf *nf, struct nf_packet *p,
                                                              const struct nf_session *s)
{
    struct nat_flow *flow;
    struct nf_tuple ends;

    if (ft_unlikely((p->side == NF_OUTSIDE) != (p->flow & NF_FLOW_REPLY) || nat_flow_of(nf, s)->way))
        return false;
    flow = NF_SESSION_EDIT(nf, s, struct nat_flow);
    flow->packets++;
    if (p->side == NF_INSIDE) {
        nf_packet_set_source(p, nat_outside(nf, flow), (uint16_t)flow->port);
    } else {
        nf_session_view(nf, s, &ends);
        nf_packet_set_destination(p, ends.saddr, ends.sport);
    }
    return true;
}

/* From outside to a host inside by its own address, and an answer to a flow that goes out translated: whoever
 * sends it has seen what is not for him, or has another way back. It belongs to no flow that could pass. */
static bool nat_is_aside(const struct nf *nf, const struct nf_packet *p, enum nat_kind kind)
{
    const struct nat_config *config = nf->config;
    const struct nf_tuple asked = {.saddr = p->daddr,
                                   .daddr = p->saddr,
                                   .sport = p->dport,
                                   .dport = p->sport,
                                   .proto = p->proto,
                                   .side = NF_INSIDE};

    if (kind != NAT_K_FLOW || !nf_prefixes_has(&config->inside, p->daddr))
        return false;
    return (!p->session || nf_session_flags(p->session) & NF_SESSION_NEW) && nf_session_known(nf, &asked);
}

static bool nat_one(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_config *config = nf->config;
    enum nat_kind kind = nat_kind(p);
    if (kind == NAT_K_ARP)
        return false;
    if (kind == NAT_K_IPV6) {
        nf_count(nf, NAT_IPV6, 1);
        return false;
    }
    if (kind == NAT_K_BAD) {
        nf_drop(nf, p, NAT_MALFORMED);
        return false;
    }
    if (!nf_session_mine(nf, p) && nat_stays_inside(nf, p)) {
        nf_count(nf, NAT_NOT_OURS, 1);
    } else if (p->side == NF_OUTSIDE && (p->flags & NF_P_IPV4) && !nat_is_outside(nf, p->daddr)) {
        if (nat_is_aside(nf, p, kind))
            nf_drop(nf, p, NAT_TO_INSIDE);
        else
            nf_count(nf, NAT_NOT_OURS, 1);
    } else if (kind == NAT_K_PORTLESS && nat_by_address(config, p->proto))
        return nat_address_packet(nf, p, now);
    else if (kind == NAT_K_OTHER || kind == NAT_K_PORTLESS)
        nf_drop_or_pass(nf, p, nat_would_leak(config, p) ? NF_POLICY_DROP : nat_policy(config),
                        NAT_UNSUPPORTED);
    else if (p->side == NF_INSIDE)
        return nat_outward(nf, p, kind, now);
    else
        return nat_inward(nf, p, kind, now);
    return false;
}

static void nat_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    uint32_t translated = 0, others = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        const struct nf_session *s = nf_session_settled(nf, p);

        if (ft_likely(s) && nat_settled(nf, p, s))
            translated++;
        else if (p->flow & NF_FLOW_SETTLED && p->side == NF_OUTSIDE && !nat_is_outside(nf, p->daddr))
            others++;
        else
            translated += nat_one(nf, p, now);
    }
    if (others)
        nf_count(nf, NAT_NOT_OURS, others);
    if (translated) /* all of one side */
        nf_count(nf, packets[0]->side == NF_INSIDE ? NAT_OUTWARD : NAT_INWARD, translated);
}

/* ---- whose lane ---------------------------------------------------------------------------------- */

/*
 * Which lane a packet belongs to is asked by the threads that deal packets out: they read what is constant,
 * and who has a port, which can be read without a section.
 */

/* With a port for each end inside, that end's flows are one lane's. Of what has no ports both ways have the
 * remote address in common, and no other. */
static enum nf_scope nat_scope(const void *config)
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
static bool nat_owner(const struct nf *nf, const struct nf_packet *p, unsigned *lane)
{
    const struct nat_config *config = nf->config;
    const struct nat_ports_config ports = nat_ports_of(config, nf->state);
    struct nf_inner ends;

    if ((p->flags & (NF_P_BAD | NF_P_IPV4 | NF_P_LATER)) != NF_P_IPV4 || !read_ends(p, &ends))
        return false;
    if (config->forwards && is_forwarded(nf, &ends, p->side == NF_OUTSIDE, lane))
        return true;
    if (!nf_proto_has_ports(ends.proto) ||
        (p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REQUEST))
        return false;
    return nat_ports_owner(&ports, ends.proto, ends.daddr, ends.dport, lane);
}

/* ---- what came from a peer --------------------------------------------------------------------- */

/* One session: its port, of which sessions[] counts one more, or the entry by which it began. */
static int check_session(const struct nf *nf, struct nf_check *c, const struct nf_session *s, uint32_t at,
                         uint32_t sessions[])
{
    const struct nat_config *config = nf->config;
    const struct nat_flow *flow = nat_flow_of(nf, s);
    const struct nat_ports_config ports = nat_ports_of(config, nf->state);
    bool opened = flow->way == NAT_WAY_OPENED;
    uint8_t proto = nf_session_proto(nf, s);

    if (flow->way == NAT_WAY_TURNED) {
        if (!config->hairpin || !config->mapping || nat_is_forwarded(s) ||
            (proto != NF_PROTO_TCP && proto != NF_PROTO_UDP))
            return nf_check_failed(c, "session %u is a hairpin, expected one that `hairpin` lets", at);
        if (nat_ports_check_port(c, &ports, at, proto, nat_turned_port(nf, s), sessions))
            return FT_EMALFORMED;
    } else if (opened ? !config->filtering || !nat_is_forwarded(s)
                      : flow->way > (nat_is_forwarded(s) ? 0 : config->forwards))
        return nf_check_failed(c, "session %u began in way %u, expected one below %u", at,
                               (unsigned)flow->way, config->forwards + 1);
    if (nat_is_forwarded(s) && !opened)
        return flow->port < config->forwards
                   ? 0
                   : nf_check_failed(c, "session %u is of forward %u, expected one below %u", at,
                                     (unsigned)flow->port, config->forwards);
    if (nf_proto_has_ports(proto))
        return nat_ports_check_port(c, &ports, at, proto, nat_port_of(flow), sessions);
    if (flow->port || flow->way || flow->place >= config->outside.count)
        return nf_check_failed(c, "session %u has protocol %u and port %u, expected no port", at, proto,
                               ntohs((uint16_t)flow->port));
    return 0;
}

/* Each mapping has a port of its own, and this lane has taken those ports and no others. */
static int nat_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config, nf->state);

    return nat_ports_check(nf, c, &ports, check_session);
}

static bool has_port(const struct nf *nf, const struct nf_session *s, const struct nat_key *key)
{
    struct nat_ends ends = nat_ends_of(nf, s);

    return nf_session_proto(nf, s) == key->proto && ends.outside_port == key->port &&
           (!key->addr || ends.outside == key->addr);
}

static int nat_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    return nat_ports_clear(nf, key, now, fault, has_port);
}

/* ---- making, showing, changing ----------------------------------------------------------------- */

static void nat_show_flow(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    const struct nat_flow *flow = nat_flow_of(nf, s);
    struct nat_ends own = nat_ends_of(nf, s);
    struct nf_tuple ends;
    nf_session_view(nf, s, &ends);
    bool forwarded = nat_is_forwarded(s);
    uint32_t remote = forwarded ? ends.saddr : ends.daddr;
    uint16_t port = forwarded ? ends.sport : ends.proto == NF_PROTO_ICMP ? 0 : ends.dport;
    nf_row(out);
    nf_row_proto(out, ends.proto);
    nf_row_end(out, "inside", own.inside, own.inside_port);
    nf_row_ipv4(out, "outside", own.outside);
    nf_row_u64(out, "outside_port", ntohs(own.outside_port));
    nf_row_end(out, "remote", remote, port);
    nf_row_text(out, "state", "%s",
                ends.proto == NF_PROTO_TCP ? nf_tcp_state_name(nf_session_tcp(s))
                : forwarded                ? "forwarded"
                                           : "mapped");
    nf_row_u64(out, "packets", flow->packets);
    nf_row_u64(out, "last_ns", s->seen);
}

static bool nat_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    return nf_sessions_show(nf, 0, out, cursor, nat_show_flow);
}

static int nat_check(void *config, struct ft_fault *fault)
{
    struct nat_config *c = config;
    int error = nat_outside_check(&c->outside, fault);

    if (error)
        return error;
    if (c->inside.count == 0)
        return ft_fail(fault, FT_EINVAL, "inside is an empty list, expected at least one network");
    if (c->filtering && !c->mapping)
        return ft_fail(fault, FT_EINVAL, "filtering is endpoint_independent, expected mapping to be so, too");
    return nat_forwards_read(c, fault);
}

static bool nat_take_ports(const void *config, unsigned i, struct nf_ports *out)
{
    const struct nat_config *c = config;
    const struct nat_forward *f = c->list + i - c->outside.count;
    bool pool = i < c->outside.count;

    if (i >= c->outside.count + c->forwards)
        return false;
    *out = pool ? (struct nf_ports){.addr = c->outside.list[i],
                                    .first = (uint16_t)c->ports.first,
                                    .last = (uint16_t)c->ports.last,
                                    .protos = NF_PORTS_TCP | NF_PORTS_UDP,
                                    .begins = c->filtering != 0,
                                    .given = true}
                : (struct nf_ports){.addr = f->outside,
                                    .first = ntohs(f->port),
                                    .last = ntohs(f->port),
                                    .protos = f->proto == NF_PROTO_TCP ? NF_PORTS_TCP : NF_PORTS_UDP,
                                    .begins = true};
    return true;
}

static const struct nf_param nat_params[] = {
    NF_PARAM(struct nat_config, inside, NF_PREFIXES, "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16",
             "sources that are translated"),
    NF_PARAM(struct nat_config, outside, NF_HOSTS, NULL, "the addresses they get, each host one of them",
             .marks = NF_PARAM_OWN),
    NF_NUMBER(struct nat_config, ports, NF_RANGE, 1, 65535, "1024-65535",
              "outside ports and ICMP identifiers"),
    NF_YES_NO(struct nat_config, preserve_ports, "false", "a host keeps its own port, where that is free",
              .marks = NF_PARAM_ADDED),
    NF_MAX_FLOWS_PARAM(struct nat_config, flows, "mappings at most"),
    NF_MAX_FLOWS_PER_HOST_PARAM(struct nat_config, flows),
    NF_MAX_FRAGMENTS_PARAM(struct nat_config, flows),
    NF_TCP_UDP_PARAMS(struct nat_config, flows),
    NF_ICMP_PARAM(struct nat_config, flows),
    NF_ONE_OF(struct nat_config, unsupported, nat_unsupported, "drop",
              "what is done with what cannot be translated", .marks = NF_PARAM_LIVE),
    NF_PARAM(struct nat_config, forward, NF_STRING, "", "ports at which hosts inside are reached",
             .marks = NF_PARAM_ADDED),
    NF_YES_NO(struct nat_config, hairpin, "false",
              "hosts inside reach ports of `forward`, and mapped ones, too", .marks = NF_PARAM_ADDED),
    NF_PARAM(struct nat_config, mapping, NF_CHOICE, "address_and_port_dependent",
             "a port for each flow, or for each end inside", .choices = nat_dependence,
             .marks = NF_PARAM_ADDED),
    NF_PARAM(struct nat_config, filtering, NF_CHOICE, "address_and_port_dependent",
             "who may send to a mapped port: whom its host sent to, or all", .choices = nat_dependence,
             .marks = NF_PARAM_ADDED),
    {0},
};

static const struct nf_module nat_module = {
    .name = "nat",
    .version = 3,
    .summary = "source NAT of TCP, UDP and ICMP to an address, or a few",
    .reads = NF_READS_FLOW,
    .params = nat_params,
    .config_size = sizeof(struct nat_config),
    .state_size = sizeof(struct nat),
    .check = nat_check,
    .counters = nat_counters,
    .arena = nat_arena,
    .shared = nat_shared,
    .make = nat_make,
    .process = nat_process,
    .show = nat_show,
    .set = nf_sessions_set,
    .clear = nat_clear,
    .scope = nat_scope,
    .owner = nat_owner,
    .check_state = nat_check_state,
    .session_size = sizeof(struct nat_flow),
    .translates = NF_INSIDE_END,
    .fragments_full = NAT_FRAGMENTS_FULL + 1,
    .conflict = NAT_CONFLICT + 1,
    .flows = nat_flows,
    .session_tell = nat_log,
    .session_end = nat_session_end,
    .expired = NAT_EXPIRED + 1,
    .displaced = NAT_DISPLACED + 1,
    .ports = nat_take_ports,
};
NF_MODULE(nat_module)
