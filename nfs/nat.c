/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat: source NAT to one outside address (RFC 4787, 5382, 5508, 7857). One mapping per flow: (protocol,
 * inside end, remote end) to an outside port, or ICMP identifier, from a pool per protocol that lanes share.
 * The way back is a direct index by outside port, then a check of the remote end: filtering is address- and
 * port-dependent.
 */
#include "nflib/net/icmp.h"
#include "nfs/nat_table.h"

static const char *const nat_counters[] = {NAT_COUNTERS(NF_COUNTER_NAME) NULL};

/* What a packet is to this NF. */
enum nat_kind { NAT_K_ARP, NAT_K_BAD, NAT_K_OTHER, NAT_K_LATER, NAT_K_ERROR, NAT_K_FLOW };

struct nat_look {
    enum nat_kind kind;
    struct nat_key key; /* NAT_K_FLOW from inside */
    uint64_t hash;
};

static enum nat_kind nat_kind(const struct nf_packet *p)
{
    if (p->flags & NF_P_BAD)
        return NAT_K_BAD;
    if (!(p->flags & NF_P_IPV4))
        return p->flags & NF_P_ARP ? NAT_K_ARP : NAT_K_OTHER;
    if (!nf_proto_has_ports(p->proto))
        return NAT_K_OTHER;
    if (p->flags & NF_P_LATER)
        return NAT_K_LATER;
    if (p->flags & NF_P_ICMP_ERROR)
        return NAT_K_ERROR;
    if (!(p->flags & NF_P_L4))
        return NAT_K_BAD;
    return nf_packet_has_ends(p) ? NAT_K_FLOW : NAT_K_OTHER;
}

static bool nat_is_echo_request(const struct nf_packet *p, enum nat_kind kind)
{
    return kind == NAT_K_FLOW && p->proto == NF_PROTO_ICMP && p->icmp_type == NF_ICMP_ECHO_REQUEST;
}

/* ---- packets ----------------------------------------------------------------------------------- */

/* An error from inside about a packet that came in: the inner destination is ours to translate (RFC
 * 5508, 4.2). */
static void nat_error_outward(const struct nf *nf, struct nf_packet *p)
{
    const struct nat_config *config = nf->config;
    const struct nat *nat = nf->state;
    struct nf_inner in;
    nf_packet_inner(p, &in);
    struct nat_key key = nat_key(in.proto, in.daddr, in.dport, in.saddr, in.sport);
    uint32_t slot = nf_map_find(nat->flows.map, &key);
    if (slot == NF_NONE) {
        nf_drop(nf, p, NAT_NO_MAPPING);
        return;
    }
    nf_packet_set_inner_dst(p, config->outside, nat_flow_of(nat, slot)->port);
    nf_packet_set_saddr(p, config->outside);
    nf_count(nf, NAT_ERRORS, 1);
}

static void nat_error_inward(const struct nf *nf, struct nf_packet *p)
{
    const struct nat_config *config = nf->config;
    const struct nat *nat = nf->state;
    struct nf_inner in;
    nf_packet_inner(p, &in);
    bool ours = nf_proto_has_ports(in.proto) && in.saddr == config->outside;
    uint32_t slot = ours ? nat_by_port(nf, in.proto, in.sport) : NF_NONE;
    if (slot == NF_NONE) {
        nf_drop(nf, p, NAT_NO_MAPPING);
        return;
    }
    const struct nat_key *key = nat_key_of(nat, slot);
    if (key->remote != in.daddr || (in.proto != NF_PROTO_ICMP && key->rport != in.dport)) {
        nf_drop(nf, p, NAT_WRONG_REMOTE);
        return;
    }
    nf_packet_set_inner_src(p, key->inside, key->iport);
    nf_packet_set_daddr(p, key->inside);
    nf_count(nf, NAT_ERRORS, 1);
}

/* True: translated, to be counted by the caller, once a burst. So nat_inward and nat_one. */
static bool nat_outward(const struct nf *nf, struct nf_packet *p, const struct nat_look *look, uint64_t now)
{
    const struct nat_config *config = nf->config;
    struct nat *nat = nf->state;
    uint32_t word;

    if (look->kind == NAT_K_ERROR) {
        nat_error_outward(nf, p);
        return false;
    }
    if (!nf_prefixes_has(&config->inside, p->saddr)) {
        nf_drop_or_pass(nf, p, config->unsupported, NAT_NOT_INSIDE);
        return false;
    }
    if (p->daddr == config->outside) {
        if (nat_is_echo_request(p, look->kind))
            nf_count(nf, NAT_OWN_ECHO, 1);
        else
            nf_drop(nf, p, NAT_HAIRPIN);
        return false;
    }
    if (look->kind == NAT_K_LATER) {
        if (!nf_fragments_find(&nat->flows, p, &word)) {
            nf_drop(nf, p, NAT_FRAGMENT_UNKNOWN);
            return false;
        }
    } else {
        uint32_t slot = nf_map_find_hashed(nat->flows.map, &look->key, look->hash);
        if (slot != NF_NONE)
            nat_touch(nf, p, slot, now);
        else if ((slot = nat_create(nf, p, &look->key, now)) == NF_NONE)
            return false;
        nf_flows_note(nf, &nat->flows, p, config->outside, now, NAT_FRAGMENTS_FULL);
        nf_packet_set_sport(p, nat_flow_of(nat, slot)->port);
    }
    nf_packet_set_saddr(p, config->outside);
    return true;
}

static bool nat_inward(const struct nf *nf, struct nf_packet *p, const struct nat_look *look, uint64_t now)
{
    const struct nat *nat = nf->state;
    uint32_t addr;

    if (look->kind == NAT_K_ERROR) {
        nat_error_inward(nf, p);
        return false;
    }
    if (nat_is_echo_request(p, look->kind)) {
        nf_count(nf, NAT_OWN_ECHO, 1);
        return false;
    }
    if (look->kind == NAT_K_LATER) {
        if (!nf_fragments_find(&nat->flows, p, &addr)) {
            nf_drop(nf, p, NAT_FRAGMENT_UNKNOWN);
            return false;
        }
    } else {
        uint32_t slot = nat_by_port(nf, p->proto, p->dport);
        if (slot == NF_NONE) {
            nf_drop(nf, p, NAT_NO_MAPPING);
            return false;
        }
        const struct nat_key *key = nat_key_of(nat, slot);
        if (key->remote != p->saddr || (p->proto != NF_PROTO_ICMP && key->rport != p->sport)) {
            nf_drop(nf, p, NAT_WRONG_REMOTE);
            return false;
        }
        addr = key->inside;
        nat_touch(nf, p, slot, now);
        nf_flows_note(nf, &nat->flows, p, addr, now, NAT_FRAGMENTS_FULL);
        nf_packet_set_dport(p, key->iport);
    }
    nf_packet_set_daddr(p, addr);
    return true;
}

/*
 * What comes back belongs to the lane that gave out the port; what goes out has no owner yet, so it goes
 * where its hash says. Later fragments have no port to know the owner by.
 */
static bool nat_owner(const struct nf *nf, const struct nf_packet *p, unsigned *lane)
{
    const struct nat_config *config = nf->config;
    const struct nat *nat = nf->state;
    enum nat_kind kind = nat_kind(p);
    uint8_t proto = p->proto;
    uint16_t port = p->dport;

    if (p->side != NF_OUTSIDE || (kind != NAT_K_FLOW && kind != NAT_K_ERROR) || p->daddr != config->outside ||
        nat_is_echo_request(p, kind))
        return false;
    if (kind == NAT_K_ERROR) {
        struct nf_inner in;
        nf_packet_inner(p, &in);
        proto = in.proto;
        port = in.sport;
    }
    uint32_t number = ntohs(port) - config->ports.first; /* below `first`: more than there are */
    uint32_t owner = nf_shared_pool_owner(nat->pool[nat_proto(proto)], number);
    *lane = owner;
    return owner != NF_NONE;
}

static bool nat_one(const struct nf *nf, struct nf_packet *p, const struct nat_look *look, uint64_t now)
{
    const struct nat_config *config = nf->config;
    if (look->kind == NAT_K_ARP)
        return false;
    if (look->kind == NAT_K_BAD) {
        nf_drop(nf, p, NAT_MALFORMED);
        return false;
    }
    if (p->side == NF_OUTSIDE && (p->flags & NF_P_IPV4) && p->daddr != config->outside)
        nf_count(nf, NAT_NOT_OURS, 1);
    else if (look->kind == NAT_K_OTHER)
        nf_drop_or_pass(nf, p, config->unsupported, NAT_UNSUPPORTED);
    else if (p->side == NF_INSIDE)
        return nat_outward(nf, p, look, now);
    else
        return nat_inward(nf, p, look, now);
    return false;
}

/* Cache misses first: buckets or indices of the whole burst, then entries, are under way before the first one
 * is needed. */
static void nat_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct nat_config *config = nf->config;
    const struct nat *nat = nf->state;
    struct nat_look look[NF_BURST_MAX];
    uint32_t translated = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct nf_packet *p = packets[i];
        look[i].kind = nat_kind(p);
        if (look[i].kind != NAT_K_FLOW)
            continue;
        if (p->side == NF_INSIDE) {
            look[i].key = nat_key(p->proto, p->saddr, p->sport, p->daddr, p->dport);
            look[i].hash = nf_map_hash(nat->flows.map, &look[i].key);
            nf_map_prefetch(nat->flows.map, look[i].hash);
        } else if (ntohs(p->dport) >= config->ports.first && ntohs(p->dport) <= config->ports.last)
            __builtin_prefetch(&nat->index[nat_proto(p->proto)][ntohs(p->dport) - config->ports.first]);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (look[i].kind != NAT_K_FLOW)
            continue;
        if (packets[i]->side == NF_INSIDE) {
            nf_map_prefetch_entry(nat->flows.map, look[i].hash);
        } else {
            uint32_t slot = nat_by_port(nf, packets[i]->proto, packets[i]->dport);
            if (slot != NF_NONE)
                __builtin_prefetch(nat_key_of(nat, slot));
        }
    }
    for (uint32_t i = 0; i < n; i++)
        translated += nat_one(nf, packets[i], &look[i], now);
    if (translated) /* all of one side */
        nf_count(nf, packets[0]->side == NF_INSIDE ? NAT_OUTWARD : NAT_INWARD, translated);
}

/* ---- making, showing, changing ----------------------------------------------------------------- */

static void nat_show_flow(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    const struct nat_key *key = nat_key_of(nf->state, slot);
    const struct nat_flow *flow = nat_flow_of(nf->state, slot);
    bool tcp = key->proto == NF_PROTO_TCP;
    nf_row(out);
    nf_row_proto(out, key->proto);
    nf_row_end(out, "inside", key->inside, key->iport);
    nf_row_u64(out, "outside_port", ntohs(flow->port));
    nf_row_end(out, "remote", key->remote, key->rport);
    nf_row_text(out, "state", "%s", tcp ? nf_tcp_state_name(flow->flow.tcp) : "mapped");
    nf_row_u64(out, "packets", flow->packets);
    nf_row_u64(out, "last_ns", flow->flow.seen);
}

static bool nat_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct nat *nat = nf->state;
    return nf_show_slots(nf, nat->flows.map, 0, out, cursor, nat_show_flow);
}

static int nat_check(void *config, struct ft_fault *fault)
{
    const struct nat_config *c = config;
    if (c->inside.count == 0)
        return ft_fail(fault, FT_EINVAL, "inside is an empty list, expected at least one network");
    if (nf_addr_martian(c->outside) || nf_addr_many(c->outside))
        return ft_fail(fault, FT_EINVAL, "outside is no host's address, expected an address of this chain");
    return FT_OK;
}

static const struct nf_param nat_params[] = {
    NF_PARAM(struct nat_config, inside, NF_PREFIXES, "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16",
             "sources that are translated"),
    NF_PARAM(struct nat_config, outside, NF_IPV4, NULL, "the address they get", .own = true),
    NF_NUMBER(struct nat_config, ports, NF_RANGE, 1, 65535, "1024-65535",
              "outside ports and ICMP identifiers"),
    NF_MAX_FLOWS_PARAM(struct nat_config, flows, "mappings at most"),
    NF_MAX_FRAGMENTS_PARAM(struct nat_config, flows),
    NF_TCP_UDP_PARAMS(struct nat_config, flows),
    NF_ICMP_PARAM(struct nat_config, flows),
    NF_ONE_OF(struct nat_config, unsupported, nf_policy_names, "drop",
              "what is done with what cannot be translated"),
    {0},
};

static const struct nf_module nat_module = {
    .name = "nat",
    .summary = "source NAT of TCP, UDP and ICMP to one address",
    .reads = NF_READS_HEADERS,
    .params = nat_params,
    .config_size = sizeof(struct nat_config),
    .state_size = sizeof(struct nat),
    .check = nat_check,
    .counters = nat_counters,
    .arena = nat_arena,
    .shared = nat_shared,
    .make = nat_make,
    .process = nat_process,
    .timers = nat_timers,
    .show = nat_show,
    .set = nat_set,
    .clear = nat_clear,
    .owner = nat_owner,
    .check_state = nat_check_state,
};
NF_MODULE(nat_module)
