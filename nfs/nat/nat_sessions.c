/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How sessions of the NAT begin, and what their ends are: from inside with a mapping; from outside at a port
 * that `forward` names, or that an end inside has (`mapping` and `filtering: endpoint_independent`; RFC 4787,
 * REQ-8); and from inside at either (`hairpin`; REQ-9). Static mappings are configuration, and none of the
 * pools' ports; a session that began by one has its place in the list.
 */
#include "nflib/net/icmp.h"
#include "nfs/nat/nat_sessions.h"

#include <stdio.h>
#include <string.h>

/* ---- mappings ---- */

struct nat_ends nat_ends_of(const struct nf *nf, const struct nf_session *s)
{
    const struct nat_config *config = nf->config;
    const struct nat_flow *flow = nat_flow_of(nf, s);
    const struct nat_forward *f;
    struct nf_tuple ends;

    if (flow->way == NAT_WAY_OPENED) {
        const struct nat_ports_config ports = nat_ports_of(config, nf->state);
        const struct nat_inside_end *end =
            nat_ports_end(&ports, nf_session_proto(nf, s), nat_ports_number(&ports, nat_port_of(flow)));

        return (struct nat_ends){end->addr, nat_outside(nf, flow), end->rest.port, (uint16_t)flow->port};
    }
    if (nat_is_forwarded(s)) {
        FT_CHECK(flow->port < config->forwards, "nat: forward %u of %u", (unsigned)flow->port,
                 config->forwards);
        f = &config->list[flow->port];
        return (struct nat_ends){f->to, f->outside, f->to_port, f->port};
    }
    nf_session_view(nf, s, &ends);
    return (struct nat_ends){ends.saddr, nat_outside(nf, flow), ends.sport, (uint16_t)flow->port};
}

/* A session that began outside has a port of its own where its end inside has it for it, and its host such of
 * all addresses. */
static enum nf_session_frees frees_port(const struct nf *nf, const struct nf_session *s, const void *wanted)
{
    const struct nat_ports_wanted *w = wanted;
    const struct nat_flow *flow = nat_flow_of(nf, s);
    uint8_t proto = nf_session_proto(nf, s);
    enum nf_session_frees frees;

    if (!nf_proto_has_ports(proto) || (nat_is_forwarded(s) && flow->way != NAT_WAY_OPENED))
        return NF_FREES_NONE;
    frees = nat_ports_frees(w, proto, nat_ports_number(w->config, nat_port_of(flow)));
    return nat_is_forwarded(s) && frees == NF_HOST_FREES_NONE ? NF_FREES_NONE : frees;
}

const struct nf_session *nat_create(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config, nf->state);
    const struct nat_inside_end end = {.addr = p->saddr, .rest = {.port = p->sport, .proto = p->proto}};
    const struct nat_ports_wanted wanted = {&ports, &end};

    /* Only a request opens a mapping: a reset or an echo reply answers something that was never let in. */
    if ((p->proto == NF_PROTO_TCP && (p->tcp_flags & NF_TCP_RST)) ||
        (p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REPLY)) {
        nf_drop(nf, p, NAT_NO_MAPPING);
        return NULL;
    }
    if (!nat_has_room(nf, p))
        return NULL;
    uint32_t number = nat_ports_take(nf, p, &wanted, frees_port, now);
    if (number == NF_NONE) {
        nf_drop(nf, p, NAT_PORTS_EXHAUSTED);
        return NULL;
    }
    const struct nf_session *s = nf_session_join(nf, p, now);
    FT_CHECK(s, "nat: no slot with %u of %u mappings", nf_sessions_count(nf), nf_sessions_max(nf));
    struct nat_port port = nat_ports_port(&ports, number);
    *NF_SESSION_EDIT(nf, s, struct nat_flow) =
        (struct nat_flow){.packets = 1, .place = port.place & 7, .port = port.port};
    nf_count(nf, NAT_CREATED, 1);
    return s;
}

/* ---- ports that ends inside have ---- */

static bool may_open(const struct nf *nf, const struct nf_packet *p)
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

/* A session for its first packet, which is counted; or the packet dropped and NULL. So begin_forward. */
static const struct nf_session *open_port(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config, nf->state);
    struct nat_port port = {nat_outside_place(ports.outside, p->daddr), p->dport};
    uint32_t number = nat_ports_number(&ports, port);
    const struct nf_session *s;

    /* First, since the session that a new one displaces may have been the mapping's last. */
    nat_ports_share(nf, &ports, p->proto, number);
    s = leaves_room(nf) && nf_session_room(nf, p) ? nf_session_join(nf, p, now) : NULL;
    if (!s) {
        nat_ports_give(nf, &ports, p->proto, number);
        nf_drop(nf, p, nf_session_host_full(nf, p) ? NAT_HOST_FULL : NAT_TABLE_FULL);
        return NULL;
    }
    *NF_SESSION_EDIT(nf, s, struct nat_flow) =
        (struct nat_flow){.packets = 1, .place = port.place & 7, .way = NAT_WAY_OPENED, .port = port.port};
    nf_count(nf, NAT_FORWARDED, 1);
    return s;
}

/* ---- hairpins ---- */

/* Not where an NF in front of this one has translated the destination: the session's key has to contain
 * it. */
static bool nat_may_turn(const struct nf *nf, const struct nf_packet *p)
{
    const struct nat_config *config = nf->config;
    bool begins = p->proto == NF_PROTO_UDP || (p->proto == NF_PROTO_TCP && nf_tcp_is_request(p->tcp_flags));

    return config->hairpin && config->mapping && begins && nat_has_port(nf, p->proto, p->daddr, p->dport);
}

static const struct nf_session *nat_turn(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_ports_config ports = nat_ports_of(nf->config, nf->state);
    uint32_t number =
        nat_ports_number(&ports, (struct nat_port){nat_outside_place(ports.outside, p->daddr), p->dport});
    const struct nf_session *s;

    /* First, since the session that a new one displaces may have been the mapping's last. */
    nat_ports_share(nf, &ports, p->proto, number);
    s = nat_create(nf, p, now);
    if (!s || s->key[0].daddr != p->daddr || s->key[0].dport != p->dport) {
        nat_ports_give(nf, &ports, p->proto, number);
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
    const struct nat_ports_config ports = nat_ports_of(config, nf->state);
    unsigned way = nat_flow_of(nf, s)->way;
    const struct nat_inside_end *end;

    if (!way || way == NAT_WAY_OPENED)
        return false;
    if (way != NAT_WAY_TURNED) {
        *f = config->list[way - 1];
        return true;
    }
    end = nat_ports_end(&ports, s->key[0].proto, nat_ports_number(&ports, nat_turned_port(nf, s)));
    *f = (struct nat_forward){.outside = s->key[0].daddr,
                              .port = s->key[0].dport,
                              .to = end->addr,
                              .to_port = end->rest.port,
                              .proto = s->key[0].proto};
    return true;
}

/* ---- `forward`: reading it ---- */

/* "tcp/443=10.0.0.5:8443" for the first outside address, or "tcp/203.0.113.2:443=10.0.0.5:8443". */
static bool read_forward(const char *text, struct nat_forward *f)
{
    char proto[4] = "", outside[INET_ADDRSTRLEN] = "", addr[INET_ADDRSTRLEN] = "", end = 0;
    unsigned port, to;

    if (sscanf(text, "%3[a-z]/%5u=%15[0-9.]:%5u%c", proto, &port, addr, &to, &end) != 4 &&
        (sscanf(text, "%3[a-z]/%15[0-9.]:%5u=%15[0-9.]:%5u%c", proto, outside, &port, addr, &to, &end) != 5 ||
         inet_pton(AF_INET, outside, &f->outside) != 1))
        return false;
    if (!port || !to || port > 65535 || to > 65535 || inet_pton(AF_INET, addr, &f->to) != 1 ||
        nf_addr_martian(f->to) || nf_addr_many(f->to))
        return false;
    f->proto = strcmp(proto, "tcp") == 0 ? NF_PROTO_TCP : strcmp(proto, "udp") == 0 ? NF_PROTO_UDP : 0;
    f->port = htons((uint16_t)port);
    f->to_port = htons((uint16_t)to);
    return f->proto;
}

static int add_forward(struct nat_config *config, const char *text, struct ft_fault *fault)
{
    struct nat_forward *f = &config->list[config->forwards];

    if (config->forwards == NAT_FORWARDS_MAX)
        return ft_fail(fault, FT_EINVAL, "forward has more than %u entries", NAT_FORWARDS_MAX);
    f->outside = config->outside.list[0];
    if (!read_forward(text, f))
        return ft_fail(fault, FT_EINVAL, "forward: %.60s, expected tcp or udp/PORT=A.B.C.D:PORT", text);
    if (!nat_outside_has(&config->outside, f->outside))
        return ft_fail(fault, FT_EINVAL, "forward: %.60s: its address is none of `outside`", text);
    if (ntohs(f->port) >= config->ports.first && ntohs(f->port) <= config->ports.last)
        return ft_fail(fault, FT_EINVAL,
                       "forward: %.60s: port %u is one of `ports`, expected one outside %u-%u", text,
                       ntohs(f->port), config->ports.first, config->ports.last);
    if (!nf_prefixes_has(&config->inside, f->to))
        return ft_fail(fault, FT_EINVAL, "forward: %.60s: its host is in no network of `inside`", text);
    if (nat_forward_at(config, f->proto, f->outside, f->port))
        return ft_fail(fault, FT_EINVAL, "forward: %.60s: a second entry of one port, expected one", text);
    config->forwards++;
    return 0;
}

int nat_forwards_read(struct nat_config *config, struct ft_fault *fault)
{
    int error = 0;

    config->forwards = 0;
    for (const char *at = config->forward ? config->forward : ""; *at && !error;) {
        size_t len = strcspn(at, ", ");
        char text[80];

        snprintf(text, sizeof(text), "%.*s", (int)(len < sizeof(text) ? len : sizeof(text) - 1), at);
        error = add_forward(config, text, fault);
        at += len;
        at += strspn(at, ", ");
    }
    return error;
}

/* ---- finding what `forward` has ---- */

const struct nat_forward *nat_forward_at(const struct nat_config *config, uint8_t proto, uint32_t addr,
                                         uint16_t port)
{
    for (uint32_t i = 0; i < config->forwards; i++)
        if (config->list[i].proto == proto && config->list[i].outside == addr && config->list[i].port == port)
            return &config->list[i];
    return NULL;
}

const struct nat_forward *nat_forward_to(const struct nat_config *config, uint8_t proto, uint32_t addr,
                                         uint16_t port)
{
    for (uint32_t i = 0; i < config->forwards; i++)
        if (config->list[i].proto == proto && config->list[i].to == addr && config->list[i].to_port == port)
            return &config->list[i];
    return NULL;
}

/* ---- sessions by `forward` ---- */

static const struct nf_session *begin_forward(const struct nf *nf, struct nf_packet *p,
                                              const struct nat_forward *forward, uint64_t now)
{
    const struct nat_config *config = nf->config;
    const struct nf_session *s;

    if (p->proto == NF_PROTO_TCP && p->tcp_flags & NF_TCP_RST) {
        nf_drop(nf, p, NAT_NO_MAPPING);
        return NULL;
    }
    if (!nat_has_room(nf, p))
        return NULL;
    s = nf_session_join(nf, p, now);
    FT_CHECK(s, "nat: no slot with %u of %u mappings", nf_sessions_count(nf), nf_sessions_max(nf));
    *NF_SESSION_EDIT(nf, s, struct nat_flow) =
        (struct nat_flow){.packets = 1, .port = (uint64_t)(forward - config->list) & 0xffff};
    nf_count(nf, NAT_FORWARDED, 1);
    return s;
}

bool nat_begin(const struct nf *nf, struct nf_packet *p, uint64_t now, const struct nf_session **s)
{
    const struct nat_forward *forward = nat_forward_at(nf->config, p->proto, p->daddr, p->dport);

    if (!forward && !may_open(nf, p))
        return false;
    *s = forward ? begin_forward(nf, p, forward, now) : open_port(nf, p, now);
    return true;
}

/* ---- hairpins: from inside to a forwarded or a mapped port, and back by the NAT (RFC 4787, REQ-9) ---- */

static void turn_round(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                       const struct nat_forward *f, bool later)
{
    struct nat_ends ends = nat_ends_of(nf, s);
    bool reply = p->flow & NF_FLOW_REPLY;
    uint32_t from = reply ? f->outside : ends.outside;

    if (later) {
        nf_packet_set_saddr(p, from);
        nf_packet_set_daddr(p, reply ? ends.inside : f->to);
    } else {
        nf_packet_set_source(p, from, reply ? f->port : ends.outside_port);
        nf_packet_set_destination(p, reply ? ends.inside : f->to, reply ? ends.inside_port : f->to_port);
    }
}

/* A session for its first packet, or the packet dropped and NULL. */
static const struct nf_session *begin_hairpin(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_config *config = nf->config;
    const struct nat_forward *f = config->hairpin && nf_packet_has_ends(p)
                                      ? nat_forward_at(config, p->proto, p->daddr, p->dport)
                                      : NULL;
    const struct nf_session *s;

    bool begins = !p->session || nf_session_flags(p->session) & NF_SESSION_NEW;

    if (!f && begins && nf_packet_has_ends(p) && nat_may_turn(nf, p))
        return nat_turn(nf, p, now);
    if (!f || !begins) {
        nf_drop(nf, p, NAT_HAIRPIN);
        return NULL;
    }
    s = nat_create(nf, p, now);
    if (!s)
        return NULL;
    NF_SESSION_EDIT(nf, s, struct nat_flow)->way = (uint64_t)(f - config->list + 1) & 0xff;
    nf_count(nf, NAT_FORWARDED, 1);
    return s;
}

bool nat_hairpin(const struct nf *nf, struct nf_packet *p, bool later, uint64_t now)
{
    const struct nf_session *s = nf_session_mine(nf, p);
    struct nat_forward f;

    if (s && later && !nf_session_later(nf, p)) {
        nf_drop(nf, p, NAT_FRAGMENT_UNKNOWN);
        return false;
    }
    if (s && nat_hairpin_of(nf, s, &f))
        NF_SESSION_EDIT(nf, s, struct nat_flow)->packets++;
    else if (s)
        nf_drop(nf, p, NAT_HAIRPIN);
    else
        s = begin_hairpin(nf, p, now);
    if (!s || p->drop || !nat_hairpin_of(nf, s, &f))
        return false;
    turn_round(nf, p, s, &f, later);
    return true;
}
