/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the pools of ports outside, and which end inside has which; see nat_ports.h. */
#include "nfs/nat/nat_ports.h"

#include <string.h>

#define CLEARED 1024u /* flows of a port that one command ends at most, in one burst */

/* Sessions that use an end's number. */
struct mapping {
    uint32_t number, sessions;
};

static struct nat_end rest_of(const struct nat_ports_config *config, const void *end)
{
    struct nat_end rest;

    memcpy(&rest, (const uint8_t *)end + config->end_bytes - sizeof(rest), sizeof(rest));
    return rest;
}

uint64_t nat_ports_bytes(const struct nat_ports_config *config)
{
    uint64_t ports = (uint64_t)NAT_PROTOS * nat_ports_count(config);
    uint64_t pools = NAT_PROTOS * nf_shared_pool_lane_bytes(nat_ports_count(config));

    if (!config->by_end)
        return pools;
    return pools + nf_map_bytes((uint32_t)ports, config->end_bytes, sizeof(struct mapping)) +
           ports * sizeof(uint32_t) + FT_LINE;
}

uint64_t nat_ports_shared(const struct nat_ports_config *config)
{
    return NAT_PROTOS * nf_shared_pool_bytes(nat_ports_count(config));
}

bool nat_ports_make(struct nf *nf, const struct nat_ports_config *config, struct nat_ports *ports)
{
    static const char *const names[NAT_PROTOS] = {"tcp_ports", "udp_ports", "icmp_identifiers"};
    uint32_t count = nat_ports_count(config);
    bool whole = true;

    for (unsigned i = 0; i < NAT_PROTOS; i++) {
        ports->pool[i] = nf_shared_pool_make(nf, count);
        whole = whole && ports->pool[i];
        if (ports->pool[i])
            nf_table_add_pool(nf, names[i], ports->pool[i]);
    }
    if (!config->by_end)
        return whole;
    ports->mappings = nf_map_make(nf, NAT_PROTOS * count, config->end_bytes, sizeof(struct mapping));
    ports->slots = ft_arena_alloc(nf->arena, NAT_PROTOS * count * sizeof(*ports->slots));
    return whole && ports->mappings && ports->slots;
}

static const uint32_t *slot_at(const struct nat_ports_config *config, const struct nat_ports *ports,
                               uint8_t proto, uint32_t number)
{
    return &ports->slots[nat_proto(proto) * nat_ports_count(config) + number];
}

static struct mapping *edit_mapping(const struct nf *nf, const struct nat_ports *ports, uint32_t slot)
{
    return nf_edit(nf, nf_map_value(ports->mappings, slot), sizeof(struct mapping));
}

/* ---- taking and giving ---- */

uint32_t nat_ports_take(const struct nf *nf, const struct nat_ports_config *config,
                        const struct nat_ports *ports, const void *end)
{
    uint8_t proto = rest_of(config, end).proto;
    uint32_t slot = ports->mappings ? nf_map_find(ports->mappings, end) : NF_NONE;
    uint32_t number;

    if (slot != NF_NONE) {
        struct mapping *mapping = edit_mapping(nf, ports, slot);

        mapping->sessions++;
        return mapping->number;
    }
    number = nf_shared_pool_take(nf, ports->pool[nat_proto(proto)]);
    if (number == NF_NONE || !ports->mappings)
        return number;
    slot = nf_map_add(nf, ports->mappings, end);
    FT_CHECK(slot != NF_NONE, "%s: more mappings than ports", nf->module->name);
    *edit_mapping(nf, ports, slot) = (struct mapping){.number = number, .sessions = 1};
    *NF_EDIT(nf, slot_at(config, ports, proto, number)) = slot;
    return number;
}

void nat_ports_share(const struct nf *nf, const struct nat_ports_config *config,
                     const struct nat_ports *ports, uint8_t proto, uint32_t number)
{
    edit_mapping(nf, ports, *slot_at(config, ports, proto, number))->sessions++;
}

void nat_ports_give(const struct nf *nf, const struct nat_ports_config *config, const struct nat_ports *ports,
                    uint8_t proto, uint32_t number)
{
    if (ports->mappings) {
        uint32_t slot = *slot_at(config, ports, proto, number);

        if (--edit_mapping(nf, ports, slot)->sessions)
            return;
        nf_map_remove(nf, ports->mappings, slot);
    }
    nf_shared_pool_give(nf, ports->pool[nat_proto(proto)], number);
}

const void *nat_ports_end(const struct nat_ports_config *config, const struct nat_ports *ports, uint8_t proto,
                          uint32_t number)
{
    return nf_map_key(ports->mappings, *slot_at(config, ports, proto, number));
}

/* ---- for operators ---- */

/* False: it is no protocol with a port. */
static bool read_key(const char *key, uint8_t *proto, uint16_t *port)
{
    char name[8];
    uint32_t number;
    const char *slash = strchr(key, '/');

    if (!slash || (size_t)(slash - key) >= sizeof(name) || !nf_number_parse(slash + 1, 0, 65535, &number))
        return false;
    memcpy(name, key, (size_t)(slash - key));
    name[slash - key] = 0;
    *proto = (uint8_t)nf_proto_parse(name);
    *port = htons((uint16_t)number);
    return nf_proto_parse(name) >= 0;
}

int nat_ports_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault,
                    bool (*has)(const struct nf *nf, const struct nf_session *s, uint8_t proto,
                                uint16_t port))
{
    const struct nf_session *s;
    uint32_t ended = 0;
    uint16_t port;
    uint8_t proto;

    if (!key) {
        nf_sessions_clear(nf, true, now);
        return FT_OK;
    }
    for (uint32_t at = 0;
         read_key(key, &proto, &port) && ended < CLEARED &&
         nf_shared_left(nf) >= NF_SHARED_RESERVE + FT_NFS_MAX && (s = nf_sessions_next(nf, &at));
         at++)
        if (has(nf, s, proto, port)) {
            nf_session_end(nf, s, now);
            ended++;
        }
    return ended ? FT_OK
                 : ft_fail(fault, FT_ENOENT, "%s: no such mapping, expected tcp, udp or icmp/PORT", key);
}

/* ---- checking what came from a peer ---- */

int nat_ports_check_port(struct nf_check *c, const struct nat_ports_config *config, uint32_t at,
                         uint8_t proto, uint16_t port, uint32_t sessions[])
{
    uint32_t n = ntohs(port);

    if (n >= config->first && n <= config->last &&
        (!sessions[nat_proto(proto) * nat_ports_count(config) + n - config->first]++ || config->by_end))
        return 0;
    return nf_check_failed(c, "session %u has protocol %u and port %u, expected a port of its own", at, proto,
                           n);
}

/* One mapping: its port leads to it, and it is as many sessions' as there are. */
static int check_mapping(struct nf_check *c, const struct nat_ports_config *config,
                         const struct nat_ports *ports, uint32_t slot, const uint32_t sessions[])
{
    const struct mapping *mapping = nf_map_value(ports->mappings, slot);
    struct nat_end end = rest_of(config, nf_map_key(ports->mappings, slot));
    uint32_t count = nat_ports_count(config);

    nf_check_step(c);
    if (!(nf_proto_has_ports(end.proto) || nf_proto_has_ports_ipv6(end.proto)) || end.zero ||
        mapping->number >= count || *slot_at(config, ports, end.proto, mapping->number) != slot)
        return nf_check_failed(c,
                               "mapping %u has protocol %u and port %u of %u, expected one that leads to it",
                               slot, end.proto, mapping->number, count);
    if (!mapping->sessions || mapping->sessions != sessions[nat_proto(end.proto) * count + mapping->number])
        return nf_check_failed(c, "mapping %u is of %u sessions, expected as many as have its port", slot,
                               mapping->sessions);
    return 0;
}

static bool leads_to(const struct nat_ports_config *config, const struct nat_ports *ports, uint32_t slot,
                     uint32_t pool, uint32_t number)
{
    const struct mapping *mapping;

    if (!nf_map_has(ports->mappings, slot))
        return false;
    mapping = nf_map_value(ports->mappings, slot);
    return mapping->number == number &&
           nat_proto(rest_of(config, nf_map_key(ports->mappings, slot)).proto) == pool;
}

static int check_mappings(struct nf_check *c, const struct nat_ports_config *config,
                          const struct nat_ports *ports, const uint32_t sessions[])
{
    uint32_t count = nat_ports_count(config);
    int error = 0;

    for (uint32_t slot = 0; !error && (slot = nf_map_next(ports->mappings, slot)) != NF_NONE; slot++)
        error = check_mapping(c, config, ports, slot, sessions);
    for (uint32_t i = 0; !error && i < NAT_PROTOS * count; i++) {
        nf_check_step(c);
        if (sessions[i] && !leads_to(config, ports, ports->slots[i], i / count, i % count))
            error =
                nf_check_failed(c, "port %u of pool %u has sessions and no mapping", i % count, i / count);
    }
    return error;
}

int nat_ports_check(const struct nf *nf, struct nf_check *c, const struct nat_ports_config *config,
                    const struct nat_ports *ports,
                    int (*check)(const struct nf *nf, struct nf_check *c, const struct nf_session *s,
                                 uint32_t at, uint32_t sessions[]))
{
    uint32_t count = nat_ports_count(config);
    uint32_t *sessions = nf_check_memory(c, 0, sizeof(*sessions) * NAT_PROTOS * count);
    const struct nf_session *s;
    int error = 0;

    if (!sessions)
        return FT_ENOMEM;
    for (uint32_t at = 0; !error && (s = nf_sessions_next(nf, &at)); at++) {
        nf_check_step(c);
        error = check(nf, c, s, at, sessions);
    }
    for (uint32_t i = 0; !error && i < NAT_PROTOS * count; i++) {
        nf_check_step(c);
        if (!sessions[i] == nf_shared_pool_has(ports->pool[i / count], i % count))
            error = nf_check_failed(c, "port %u of pool %u is taken and no mapping's, or the other way round",
                                    i % count, i / count);
    }
    return error || !ports->mappings ? error : check_mappings(c, config, ports, sessions);
}
