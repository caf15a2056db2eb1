/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NAT's outside ports, one for each flow, or with `mapping: endpoint_independent` one for each end inside
 * (RFC 4787, REQ-1), which all flows of that end share. Owns that table: an end to its port, and back.
 */
#include "nfs/nat_table.h"

#include <string.h>

/* The end inside that has a port, and sessions that use it. */
struct end {
    uint32_t addr;
    uint16_t port;
    uint8_t proto, zero;
};
struct mapping {
    uint32_t number, sessions;
};

static uint32_t ports_of(const struct nat_config *config)
{
    return config->ports.last - config->ports.first + 1;
}

uint64_t nat_mappings_bytes(const struct nat_config *config)
{
    uint64_t ports = (uint64_t)NAT_PROTOS * ports_of(config);

    if (!config->mapping)
        return 0;
    return nf_map_bytes((uint32_t)ports, sizeof(struct end), sizeof(struct mapping)) +
           ports * sizeof(uint32_t) + FT_LINE;
}

bool nat_mappings_make(struct nf *nf, struct nat *nat)
{
    const struct nat_config *config = nf->config;
    uint32_t ports = NAT_PROTOS * ports_of(config);

    if (!config->mapping)
        return true;
    nat->mappings = nf_map_make(nf, ports, sizeof(struct end), sizeof(struct mapping));
    nat->slots = ft_arena_alloc(nf->arena, ports * sizeof(*nat->slots));
    return nat->mappings && nat->slots;
}

static const uint32_t *slot_at(const struct nf *nf, uint8_t proto, uint32_t number)
{
    const struct nat *nat = nf->state;

    return &nat->slots[nat_proto(proto) * ports_of(nf->config) + number];
}

static struct mapping *edit_mapping(const struct nf *nf, uint32_t slot)
{
    const struct nat *nat = nf->state;

    return nf_edit(nf, nf_map_value(nat->mappings, slot), sizeof(struct mapping));
}

/* ---- taking and giving ---- */

uint32_t nat_take_port(const struct nf *nf, const struct nf_packet *p)
{
    const struct nat *nat = nf->state;
    struct end end = {.addr = p->saddr, .port = p->sport, .proto = p->proto};
    uint32_t slot = nat->mappings ? nf_map_find(nat->mappings, &end) : NF_NONE;
    uint32_t number;

    if (slot != NF_NONE) {
        struct mapping *mapping = edit_mapping(nf, slot);

        mapping->sessions++;
        return mapping->number;
    }
    number = nf_shared_pool_take(nf, nat->pool[nat_proto(p->proto)]);
    if (number == NF_NONE || !nat->mappings)
        return number;
    slot = nf_map_add(nf, nat->mappings, &end);
    FT_CHECK(slot != NF_NONE, "nat: more mappings than ports");
    *edit_mapping(nf, slot) = (struct mapping){.number = number, .sessions = 1};
    *NF_EDIT(nf, slot_at(nf, p->proto, number)) = slot;
    return number;
}

void nat_give_port(const struct nf *nf, uint8_t proto, uint32_t number)
{
    const struct nat *nat = nf->state;

    if (nat->mappings) {
        uint32_t slot = *slot_at(nf, proto, number);

        if (--edit_mapping(nf, slot)->sessions)
            return;
        nf_map_remove(nf, nat->mappings, slot);
    }
    nf_shared_pool_give(nf, nat->pool[nat_proto(proto)], number);
}

/* ---- from outside ---- */

bool nat_may_open(const struct nf *nf, const struct nf_packet *p)
{
    const struct nat_config *config = nf->config;
    bool begins =
        p->proto == NF_PROTO_UDP ||
        (p->proto == NF_PROTO_TCP && (p->tcp_flags & (NF_TCP_SYN | NF_TCP_ACK | NF_TCP_RST)) == NF_TCP_SYN);

    return config->filtering && begins && nat_has_port(nf, p->proto, p->dport);
}

/* What outside begins takes the first half of max_flows at most: a flood leaves hosts inside the other one.
 */
static bool leaves_room(const struct nf *nf)
{
    return nf_sessions_count(nf) < (nf_sessions_max(nf) + 1) / 2;
}

const struct nf_session *nat_open(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nat_config *config = nf->config;
    uint32_t number = ntohs(p->dport) - config->ports.first;
    const struct nf_session *s;

    /* First, since the session that a new one displaces may have been the mapping's last. */
    edit_mapping(nf, *slot_at(nf, p->proto, number))->sessions++;
    s = leaves_room(nf) && nf_session_room(nf, p) ? nf_session_join(nf, p, now) : NULL;
    if (!s) {
        nat_give_port(nf, p->proto, number);
        nf_drop(nf, p, NAT_TABLE_FULL);
        return NULL;
    }
    *NF_SESSION_EDIT(nf, s, struct nat_flow) =
        (struct nat_flow){.packets = 1, .way = NAT_WAY_OPENED, .port = p->dport};
    nf_count(nf, NAT_FORWARDED, 1);
    return s;
}

struct nat_ends nat_opened_ends(const struct nf *nf, const struct nf_session *s)
{
    const struct nat_config *config = nf->config;
    const struct nat *nat = nf->state;
    uint16_t port = (uint16_t)nat_flow_of(nf, s)->port;
    const struct end *end =
        nf_map_key(nat->mappings, *slot_at(nf, s->key[0].proto, ntohs(port) - config->ports.first));

    return (struct nat_ends){end->addr, end->port, port};
}

/* ---- checking what came from a peer ---- */

/* One mapping: its port leads to it, and it is as many sessions' as there are. */
static int check_mapping(const struct nf *nf, struct nf_check *c, uint32_t slot, const uint32_t sessions[])
{
    const struct nat_config *config = nf->config;
    const struct nat *nat = nf->state;
    const struct end *end = nf_map_key(nat->mappings, slot);
    const struct mapping *mapping = nf_map_value(nat->mappings, slot);

    nf_check_step(c);
    if (!nf_proto_has_ports(end->proto) || end->zero || mapping->number >= ports_of(config) ||
        *slot_at(nf, end->proto, mapping->number) != slot)
        return nf_check_failed(c,
                               "mapping %u has protocol %u and port %u of %u, expected one that leads to it",
                               slot, end->proto, mapping->number, ports_of(config));
    if (!mapping->sessions ||
        mapping->sessions != sessions[nat_proto(end->proto) * ports_of(config) + mapping->number])
        return nf_check_failed(c, "mapping %u is of %u sessions, expected as many as have its port", slot,
                               mapping->sessions);
    return 0;
}

static bool leads_to(const struct nat *nat, uint32_t slot, uint32_t pool, uint32_t number)
{
    const struct mapping *mapping;

    if (!nf_map_has(nat->mappings, slot))
        return false;
    mapping = nf_map_value(nat->mappings, slot);
    return mapping->number == number &&
           nat_proto(((const struct end *)nf_map_key(nat->mappings, slot))->proto) == pool;
}

int nat_mappings_check(const struct nf *nf, struct nf_check *c, const uint32_t sessions[])
{
    const struct nat *nat = nf->state;
    uint32_t ports = ports_of(nf->config);
    int error = 0;

    for (uint32_t slot = 0; !error && (slot = nf_map_next(nat->mappings, slot)) != NF_NONE; slot++)
        error = check_mapping(nf, c, slot, sessions);
    for (uint32_t i = 0; !error && i < NAT_PROTOS * ports; i++) {
        nf_check_step(c);
        if (!sessions[i])
            continue;
        if (!leads_to(nat, nat->slots[i], i / ports, i % ports))
            error =
                nf_check_failed(c, "port %u of pool %u has sessions and no mapping", i % ports, i / ports);
    }
    return error;
}
