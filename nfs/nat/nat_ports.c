/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the pools of ports outside, and which end inside has which; see nat_ports.h. */
#include "nflib/net/icmp.h"
#include "nfs/nat/nat_ports.h"

#include <stdio.h>
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

/* ---- addresses ---- */

int nat_outside_check(const struct nf_hosts *outside, struct ft_fault *fault)
{
    char text[INET_ADDRSTRLEN];

    for (uint32_t i = 0; i < outside->count; i++) {
        uint32_t addr = outside->list[i];

        inet_ntop(AF_INET, &addr, text, sizeof(text));
        if (nf_addr_martian(addr) || nf_addr_many(addr))
            return ft_fail(fault, FT_EINVAL,
                           "outside: %s is no host's address, expected an address of this chain", text);
        if (nat_outside_place(outside, addr) != i)
            return ft_fail(fault, FT_EINVAL, "outside: %s is there twice, expected each address once", text);
    }
    return FT_OK;
}

/* Multiplied by the golden ratio (Knuth, 6.4): addresses in a row are spread evenly. */
uint32_t nat_outside_of(const struct nf_hosts *outside, const void *addr, uint32_t bytes)
{
    uint32_t hash = 0, word;

    for (uint32_t i = 0; i < bytes; i += sizeof(word)) {
        memcpy(&word, (const uint8_t *)addr + i, sizeof(word));
        hash = (hash ^ ntohl(word)) * 2654435769u;
    }
    return (uint32_t)((uint64_t)hash * outside->count >> 32);
}

/* ---- making ---- */

uint64_t nat_ports_bytes(const struct nat_ports_config *config)
{
    uint64_t ports = (uint64_t)NAT_PROTOS * nat_ports_all(config), hosts = config->outside->count;
    uint64_t pools = hosts * NAT_PROTOS * (nf_shared_pool_lane_bytes(nat_ports_count(config)));

    if (hosts > 1)
        pools += hosts * sizeof(((struct nat_ports *)0)->pool) + FT_LINE;
    if (!config->by_end)
        return pools;
    return pools + nf_map_bytes((uint32_t)ports, config->end_bytes, sizeof(struct mapping)) +
           ports * sizeof(uint32_t) + FT_LINE;
}

uint64_t nat_ports_shared(const struct nat_ports_config *config)
{
    uint32_t count = nat_ports_count(config);
    uint64_t places = config->preserve ? nf_shared_pool_places_bytes(count) : 0;

    return (uint64_t)config->outside->count * NAT_PROTOS * (nf_shared_pool_bytes(count) + places);
}

static bool make_pools(struct nf *nf, const struct nat_ports_config *config, uint32_t place,
                       struct nf_shared_pool *pool[])
{
    static const char *const names[NAT_PROTOS] = {"tcp_ports", "udp_ports", "icmp_identifiers"};

    for (unsigned i = 0; i < NAT_PROTOS; i++) {
        struct nf_table table;

        pool[i] = (config->preserve ? nf_shared_pool_make_places
                                    : nf_shared_pool_make)(nf, nat_ports_count(config));
        if (!pool[i])
            return false;
        table = nf_table_of_pool(names[i], pool[i]);
        table.host = config->outside->count > 1 ? config->outside->list[place] : 0;
        nf_table_add(nf, table);
    }
    return true;
}

bool nat_ports_make(struct nf *nf, const struct nat_ports_config *config, struct nat_ports *ports)
{
    uint32_t hosts = config->outside->count, all = NAT_PROTOS * nat_ports_all(config);
    bool whole = make_pools(nf, config, 0, ports->pool);

    if (hosts > 1)
        ports->further = ft_arena_alloc(nf->arena, (hosts - 1) * sizeof(*ports->further));
    whole = whole && (hosts == 1 || ports->further);
    for (uint32_t i = 1; whole && i < hosts; i++)
        whole = make_pools(nf, config, i, ports->further[i - 1]);
    if (whole && hosts > 1)
        nf_constant(nf, ports->further, (hosts - 1) * sizeof(*ports->further));
    if (!config->by_end)
        return whole;
    ports->mappings = nf_map_make(nf, all, config->end_bytes, sizeof(struct mapping));
    ports->slots = ft_arena_alloc(nf->arena, all * sizeof(*ports->slots));
    return whole && ports->mappings && ports->slots;
}

static const uint32_t *slot_at(const struct nat_ports_config *config, uint8_t proto, uint32_t number)
{
    return &config->ports->slots[nat_proto(proto) * nat_ports_all(config) + number];
}

static struct mapping *edit_mapping(const struct nf *nf, const struct nat_ports_config *config, uint32_t slot)
{
    return nf_edit(nf, nf_map_value(config->ports->mappings, slot), sizeof(struct mapping));
}

/* ---- taking and giving ---- */

/* The port of the end itself, where it may be and is free; any other one. */
static uint32_t take_port(const struct nf *nf, const struct nat_ports_config *config,
                          struct nf_shared_pool *pool, uint32_t port)
{
    if (config->preserve && port >= config->first && port <= config->last &&
        nf_shared_pool_take_this(nf, pool, port - config->first))
        return port - config->first;
    return nf_shared_pool_take(nf, pool);
}

static uint32_t place_of(const struct nat_ports_config *config, const void *end)
{
    return nat_outside_of(config->outside, end, config->end_bytes - sizeof(struct nat_end));
}

static uint32_t take_number(const struct nf *nf, const struct nat_ports_config *config, const void *end)
{
    struct nat_end rest = rest_of(config, end);
    uint8_t proto = rest.proto;
    uint32_t slot = config->ports->mappings ? nf_map_find(config->ports->mappings, end) : NF_NONE;
    uint32_t place, number;

    if (slot != NF_NONE) {
        struct mapping *mapping = edit_mapping(nf, config, slot);

        mapping->sessions++;
        return mapping->number;
    }
    place = place_of(config, end);
    number = take_port(nf, config, nat_ports_pool(config->ports, nat_proto(proto), place), ntohs(rest.port));
    if (number == NF_NONE)
        return number;
    number += place * nat_ports_count(config);
    if (!config->ports->mappings)
        return number;
    slot = nf_map_add(nf, config->ports->mappings, end);
    FT_CHECK(slot != NF_NONE, "%s: more mappings than ports", nf->module->name);
    *edit_mapping(nf, config, slot) = (struct mapping){.number = number, .sessions = 1};
    *NF_EDIT(nf, slot_at(config, proto, number)) = slot;
    return number;
}

enum nf_session_frees nat_ports_frees(const struct nat_ports_wanted *wanted, uint8_t proto, uint32_t number)
{
    const struct nat_ports_config *config = wanted->config;

    if (number / nat_ports_count(config) != place_of(config, wanted->end))
        return NF_HOST_FREES_NONE;
    if (nat_proto(proto) != nat_proto(rest_of(config, wanted->end).proto))
        return NF_FREES_NONE;
    if (config->ports->mappings) {
        const struct mapping *mapping =
            nf_map_value(config->ports->mappings, *slot_at(config, proto, number));

        if (mapping->sessions != 1)
            return NF_FREES_NONE;
    }
    return NF_FREES;
}

uint32_t nat_ports_take(const struct nf *nf, const struct nf_packet *p, const struct nat_ports_wanted *wanted,
                        enum nf_session_frees (*frees)(const struct nf *nf, const struct nf_session *s,
                                                       const void *wanted),
                        uint64_t now)
{
    struct nf_session_need need = {.kind = place_of(wanted->config, wanted->end) * NAT_PROTOS +
                                           nat_proto(rest_of(wanted->config, wanted->end).proto),
                                   .limit = nat_ports_count(wanted->config) / nf->lanes,
                                   .frees = frees,
                                   .arg = wanted};
    uint32_t number = take_number(nf, wanted->config, wanted->end);

    if (number == NF_NONE && nf_session_displace(nf, p, &need, now))
        number = take_number(nf, wanted->config, wanted->end);
    return number;
}

void nat_ports_share(const struct nf *nf, const struct nat_ports_config *config, uint8_t proto,
                     uint32_t number)
{
    edit_mapping(nf, config, *slot_at(config, proto, number))->sessions++;
}

void nat_ports_give(const struct nf *nf, const struct nat_ports_config *config, uint8_t proto,
                    uint32_t number)
{
    if (config->ports->mappings) {
        uint32_t slot = *slot_at(config, proto, number);

        if (--edit_mapping(nf, config, slot)->sessions)
            return;
        nf_map_remove(nf, config->ports->mappings, slot);
    }
    nf_shared_pool_give(nf, nat_ports_pool(config->ports, nat_proto(proto), number / nat_ports_count(config)),
                        number % nat_ports_count(config));
}

const void *nat_ports_end(const struct nat_ports_config *config, uint8_t proto, uint32_t number)
{
    return nf_map_key(config->ports->mappings, *slot_at(config, proto, number));
}

/* ---- for operators ---- */

/* False: it is no protocol with a port. */
static bool read_key(const char *text, struct nat_key *key)
{
    char proto[8] = "", addr[INET_ADDRSTRLEN] = "", end = 0;
    unsigned port;

    key->addr = 0;
    if (sscanf(text, "%7[a-z0-9]/%5u%c", proto, &port, &end) != 2 &&
        (sscanf(text, "%7[a-z0-9]/%15[0-9.]:%5u%c", proto, addr, &port, &end) != 3 ||
         inet_pton(AF_INET, addr, &key->addr) != 1))
        return false;
    key->proto = (uint8_t)nf_proto_parse(proto);
    key->port = htons((uint16_t)port);
    return port <= 65535 && nf_proto_parse(proto) >= 0;
}

int nat_ports_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault,
                    bool (*has)(const struct nf *nf, const struct nf_session *s, const struct nat_key *key))
{
    const struct nf_session *s;
    struct nat_key port;
    uint32_t ended = 0;
    bool read;

    if (!key) {
        nf_sessions_clear(nf, true, now);
        return FT_OK;
    }
    read = read_key(key, &port);
    for (uint32_t at = 0; read && ended < CLEARED && nf_shared_left(nf) >= NF_SHARED_RESERVE + FT_NFS_MAX &&
                          (s = nf_sessions_next(nf, &at));
         at++)
        if (has(nf, s, &port)) {
            nf_session_end(nf, s, now);
            ended++;
        }
    return ended ? FT_OK
                 : ft_fail(fault, FT_ENOENT,
                           "%s: no such mapping, expected tcp, udp or icmp/PORT, or /ADDRESS:PORT", key);
}

/* ---- checking what came from a peer ---- */

int nat_ports_check_port(struct nf_check *c, const struct nat_ports_config *config, uint32_t at,
                         uint8_t proto, struct nat_port port, uint32_t sessions[])
{
    uint32_t n = ntohs(port.port);

    if (port.place < config->outside->count && n >= config->first && n <= config->last &&
        (!sessions[nat_proto(proto) * nat_ports_all(config) + nat_ports_number(config, port)]++ ||
         config->by_end))
        return 0;
    return nf_check_failed(c,
                           "session %u has protocol %u and port %u of address %u, expected a port of its own",
                           at, proto, n, port.place);
}

/* One mapping: its port leads to it, and it is as many sessions' as there are. */
static int check_mapping(struct nf_check *c, const struct nat_ports_config *config, uint32_t slot,
                         const uint32_t sessions[])
{
    const struct mapping *mapping = nf_map_value(config->ports->mappings, slot);
    struct nat_end end = rest_of(config, nf_map_key(config->ports->mappings, slot));
    uint32_t count = nat_ports_all(config);

    nf_check_step(c);
    if (!(nf_proto_has_ports(end.proto) || nf_proto_has_ports_ipv6(end.proto)) || end.zero ||
        mapping->number >= count || *slot_at(config, end.proto, mapping->number) != slot)
        return nf_check_failed(c,
                               "mapping %u has protocol %u and port %u of %u, expected one that leads to it",
                               slot, end.proto, mapping->number, count);
    if (!mapping->sessions || mapping->sessions != sessions[nat_proto(end.proto) * count + mapping->number])
        return nf_check_failed(c, "mapping %u is of %u sessions, expected as many as have its port", slot,
                               mapping->sessions);
    return 0;
}

static bool leads_to(const struct nat_ports_config *config, uint32_t slot, uint32_t pool, uint32_t number)
{
    const struct mapping *mapping;

    if (!nf_map_has(config->ports->mappings, slot))
        return false;
    mapping = nf_map_value(config->ports->mappings, slot);
    return mapping->number == number &&
           nat_proto(rest_of(config, nf_map_key(config->ports->mappings, slot)).proto) == pool;
}

static int check_mappings(struct nf_check *c, const struct nat_ports_config *config,
                          const uint32_t sessions[])
{
    uint32_t count = nat_ports_all(config);
    int error = 0;

    for (uint32_t slot = 0; !error && (slot = nf_map_next(config->ports->mappings, slot)) != NF_NONE; slot++)
        error = check_mapping(c, config, slot, sessions);
    for (uint32_t i = 0; !error && i < NAT_PROTOS * count; i++) {
        nf_check_step(c);
        if (sessions[i] && !leads_to(config, config->ports->slots[i], i / count, i % count))
            error =
                nf_check_failed(c, "port %u of pool %u has sessions and no mapping", i % count, i / count);
    }
    return error;
}

int nat_ports_check(const struct nf *nf, struct nf_check *c, const struct nat_ports_config *config,
                    int (*check)(const struct nf *nf, struct nf_check *c, const struct nf_session *s,
                                 uint32_t at, uint32_t sessions[]))
{
    uint32_t ports = nat_ports_count(config), count = nat_ports_all(config);
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
        uint32_t place = i % count / ports, number = i % count % ports;

        nf_check_step(c);
        if (!sessions[i] == nf_shared_pool_has(nat_ports_pool(config->ports, i / count, place), number))
            error = nf_check_failed(c, "port %u of pool %u is taken and no mapping's, or the other way round",
                                    i % count, i / count);
    }
    return error || !config->ports->mappings ? error : check_mappings(c, config, sessions);
}
