/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns both ends of the chain: what is taken in and what leaves, by the configured addresses and routes, with
 * ARP, neighbour discovery and the ICMP errors that are sent. State in arena (lane, 0): counters, the
 * neighbour table, when each interface may send its next ICMP error, whether neighbours fail, and who claimed
 * own addresses. The routes here are the configuration's, sorted, or a table that it has; they are no state.
 * Of a burst the packets are kept as they came in, for errors about them.
 */
#include "nflib/chain/l3_parts.h"

#include "nflib/net/packet.h"
#include "nflib/net/icmp.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define ANY_PORT 0xffu

/* Bytes of an IP packet. */
static inline uint32_t ip_length(const struct nf_packet *p)
{
    return (uint32_t)(p->l4 - p->l3) + p->l4_len;
}

/* Both ends of an IP packet. */
struct ends {
    struct nf_addr from, to;
};

static inline struct ends ends_of(const struct nf_packet *p, bool ipv6)
{
    return (struct ends){nf_packet_from(p, ipv6), nf_packet_to(p, ipv6)};
}

/* Of two addresses of the family. */
static inline bool same_addr(const struct nf_addr *a, const struct nf_addr *b, bool ipv6)
{
    return ipv6 ? nf_addr_same(a, b) : a->word[3] == b->word[3];
}

/* The route to an address of the family; NULL: there is none. */
static inline const struct nf_l3_route *find_route(const struct nf_l3 *l3, const struct nf_addr *addr,
                                                   bool ipv6)
{
    const struct nf_l3_family *f = &l3->family[ipv6];

    if (f->table) {
        uint32_t found = nf_lpm_find(f->table, addr->byte + (ipv6 ? 0 : NF_IPV4_BITS / 8));

        return found ? &f->by[found] : NULL;
    }
    for (const struct nf_l3_route *r = f->route; r < f->route + f->routes; r++)
        if (ipv6 ? (((addr->half[0] ^ r->addr.half[0]) & r->mask.half[0]) |
                    ((addr->half[1] ^ r->addr.half[1]) & r->mask.half[1])) == 0
                 : ((addr->word[3] ^ r->addr.word[3]) & r->mask.word[3]) == 0)
            return r;
    return NULL;
}

/* `port`: of the chain, or ANY_PORT. */
static inline bool is_own(const struct nf_l3 *l3, const struct nf_addr *addr, bool ipv6, uint8_t port)
{
    const struct nf_l3_family *f = &l3->family[ipv6];

    for (const struct nf_l3_own *own = f->own; own < f->own + f->owns; own++)
        if (same_addr(&own->addr, addr, ipv6) && (port == ANY_PORT || own->port == port))
            return true;
    return false;
}

/* In the network of the port's link. */
static inline bool is_on_link(const struct nf_interface *port, const struct nf_addr *addr, bool ipv6)
{
    return (ipv6 && nf_ipv6_link_local(addr->byte)) ||
           (port->net[ipv6].bits && nf_net_has(&port->net[ipv6], addr));
}

/* ---- ports that several interfaces share ---- */

bool nf_l3_is_trunk(const struct nf_l3_config *config, unsigned device)
{
    for (unsigned i = 0; i < config->ports; i++)
        if (config->port[i].device == device && config->port[i].vlan.outer)
            return true;
    return false;
}

unsigned nf_l3_device_mtu(const struct nf_l3_config *config, unsigned device)
{
    unsigned most = 0;

    for (unsigned i = 0; i < config->ports; i++) {
        const struct nf_vlan *tags = &config->port[i].vlan;
        bool counted = nf_vlan_bytes(tags) == NF_VLAN_TAG && tags->tpid == NF_TPID_8021Q;
        unsigned mtu = config->port[i].mtu + (counted ? 0 : nf_vlan_bytes(tags));

        if (config->port[i].device == device && mtu > most)
            most = mtu;
    }
    return most;
}

unsigned nf_l3_interface_of(const struct nf_l3_config *config, unsigned device, const uint8_t *frame,
                            uint32_t len, uint32_t *bytes)
{
    struct nf_vlan tags;

    if (!nf_vlan_read(frame, len, &tags, bytes))
        return NF_PORTS_MAX;
    for (unsigned i = 0; i < config->ports; i++) {
        const struct nf_interface *port = &config->port[i];

        if (port->device == device && port->vlan.outer == tags.outer && port->vlan.inner == tags.inner)
            return i;
    }
    return NF_PORTS_MAX;
}

/* ---- ICMP errors ---- */

#define ADDRESS_UNREACHABLE 3u /* of ICMPv6 */

static bool may_send(struct nf_l3 *l3, enum nf_l3_allowance from, uint8_t port, uint64_t now)
{
    const uint64_t *until = &l3->times->errors_paid[from][port];
    uint64_t paid = nf_icmp_pay(*until, now);

    if (!paid) {
        nf_count(l3->nf, NF_L3_ICMP_LIMITED, 1);
        return false;
    }
    *NF_EDIT(l3->nf, until) = paid;
    return true;
}

/*
 * An ICMP error about `p` to its sender, with a type and code of its family, out of the port it came in on.
 * `mtu` is reported where the packet is too big, else 0. None is sent where RFC 1122 or RFC 4443 forbids it,
 * to an own address, from a port without one, or beyond that port's allowance in the lane: 100 a second, at
 * most 50 at once, and as many that report an MTU.
 */
static void send_error(struct nf_l3 *l3, const struct nf_packet *p, uint8_t type, uint8_t code, uint16_t mtu,
                       uint64_t now)
{
    bool ipv6 = p->flags & NF_P_IPV6;
    const struct nf_net *net = &l3->config->port[p->in_port].net[ipv6];
    struct nf_addr to = nf_packet_from(p, ipv6);
    uint8_t frame[NF_ICMPV6_ERROR_MAX > NF_ICMP_ERROR_MAX ? NF_ICMPV6_ERROR_MAX : NF_ICMP_ERROR_MAX];
    uint32_t len;

    if (!net->bits || is_own(l3, &to, ipv6, ANY_PORT) ||
        !(ipv6 ? nf_icmpv6_may_complain(p) : nf_icmp_may_complain(p)) ||
        !may_send(l3, mtu ? NF_L3_MTUS : NF_L3_ERRORS, p->in_port, now))
        return;
    len = ipv6 ? nf_icmpv6_error(p, type, code, mtu, net->addr.byte, frame)
               : nf_icmp_error(p, type, code, mtu, nf_addr_ipv4(&net->addr), frame);
    if (nf_emit(l3->nf, p->in_port, frame, len) == FT_OK)
        nf_count(l3->nf, NF_L3_ICMP_SENT, 1);
}

/* As it came in, for an error about it: what an NF translates its sender would not know. */
static void keep_packet(struct nf_l3 *l3, const struct nf_packet *p)
{
    uint32_t place = (uint32_t)(p - l3->packets); /* those that are set aside have places too */
    struct nf_l3_kept *kept = &l3->kept[place];
    uint32_t have = p->have < NF_L3_KEPT ? p->have : NF_L3_KEPT;

    kept->packet = *p;
    kept->packet.data = kept->bytes;
    kept->packet.have = have;
    memcpy(kept->bytes, p->data, have);
    l3->keeps |= 1u << place;
}

/* NULL: it was not kept. */
static const struct nf_packet *find_kept(const struct nf_l3 *l3, const struct nf_packet *p)
{
    bool ours =
        l3->keeps && p >= l3->packets && p < l3->packets + NF_BURST_MAX && l3->keeps >> (p - l3->packets) & 1;

    return ours ? &l3->kept[p - l3->packets].packet : NULL;
}

/* Of the burst all are kept where one may be unreachable. */
static void keep_packets(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    l3->packets = packets[0];
    l3->keeps = 0;
    for (uint32_t i = 0; i < n && now < l3->times->failing; i++)
        keep_packet(l3, packets[i]);
}

/* An error about a packet of the burst, or one that was made, whose next hop is unreachable, or that has no
 * route, as it came in. */
static void send_unreachable(struct nf_l3 *l3, const struct nf_packet *p, bool route, uint64_t now)
{
    const struct nf_packet *kept = find_kept(l3, p), *was = kept ? kept : p;
    if (was->flags & NF_P_IPV6)
        send_error(l3, was, NF_ICMPV6_UNREACHABLE, route ? ADDRESS_UNREACHABLE : 0, 0, now);
    else
        send_error(l3, was, NF_ICMP_UNREACHABLE, route ? NF_ICMP_HOST_UNREACHABLE : 0, 0, now);
}

static void send_expired(struct nf_l3 *l3, const struct nf_packet *p, uint64_t now)
{
    if (p)
        send_error(l3, p, p->flags & NF_P_IPV6 ? NF_ICMPV6_TIME_EXCEEDED : NF_ICMP_TIME_EXCEEDED, 0, 0, now);
}

/* The port that the packet's route leads to; ANY_PORT: none, or an own address, or back where it came
 * in. */
static uint8_t port_beyond(const struct nf_l3 *l3, const struct nf_packet *p)
{
    bool ipv6 = p->flags & NF_P_IPV6;
    struct nf_addr to = nf_packet_to(p, ipv6);
    const struct nf_l3_route *route = find_route(l3, &to, ipv6);
    uint8_t port = route && !is_own(l3, &to, ipv6, ANY_PORT) ? route->port : ANY_PORT;

    return port == p->in_port ? ANY_PORT : port;
}

/*
 * Drops an IP packet that is larger than the MTU of the port it will leave by, and reports the MTU to its
 * sender (RFC 1191, RFC 8201), also where the packet might be fragmented: the chain fragments nothing, since
 * a standby has the headers alone, and hosts cut such packets themselves once they know the MTU. What an NF
 * is about to translate, as its route leads nowhere else, can leave by any port of the other side. Of IPv6 no
 * MTU below 1280 counts, which such a port without IPv6 may have: no host would go down to it (RFC 8201, 4).
 * False: it is not larger.
 */
static bool drop_too_big(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    uint32_t length = ip_length(p);
    uint16_t mtu = l3->least_mtu[!p->side];
    uint8_t port;
    if (length + l3->growth <= mtu && length <= l3->least_mtu[p->side])
        return false;
    port = port_beyond(l3, p);
    if (port != ANY_PORT)
        mtu = l3->config->port[port].mtu;
    else if (p->side == NF_OUTSIDE && p->flags & NF_P_IPV4)
        mtu -= l3->growth;
    if (p->flags & NF_P_IPV6 && mtu < NF_MTU_LEAST_IPV6)
        mtu = NF_MTU_LEAST_IPV6;
    if (length <= mtu)
        return false;
    if (p->flags & NF_P_IPV6)
        send_error(l3, p, NF_ICMPV6_TOO_BIG, 0, mtu, now);
    else
        send_error(l3, p, NF_ICMP_UNREACHABLE, NF_ICMP_TOO_BIG, mtu, now);
    nf_drop(l3->nf, p, NF_L3_TOO_BIG);
    return true;
}

/* Bytes of the IP packet by its header; 0: it has none that can be read. */
static uint32_t length_said(const struct nf_packet *p)
{
    if (p->bad == NF_BAD_LENGTH)
        return ntohs(nf_get16(p->data + p->l3 + 2));
    if ((p->flags & (NF_P_IPV6 | NF_P_IPV6_READ)) != NF_P_IPV6 || p->l3 + 40u > p->have)
        return 0;
    return 40u + ntohs(nf_get16(p->data + p->l3 + 4));
}

/*
 * A packet of which the port gave less than its IP header claims: larger than the port's buffers, if the
 * header is right. `*whole` is then the packet as it was on the wire, with the bytes that are there. False:
 * malformed.
 */
static bool is_cut_off(const struct nf_packet *p, struct nf_packet *whole)
{
    uint32_t length = length_said(p);
    if (!length)
        return false;
    *whole = *p;
    whole->len = p->l3 + length;
    if (whole->len <= p->len)
        return false;
    nf_packet_parse(whole);
    return whole->flags & (NF_P_IPV4 | NF_P_IPV6_READ);
}

/* ---- what `show l3` prints: the neighbours, those of IPv4 first ---- */

static void show_mac(struct nf_show *out, const char *name, const uint8_t m[6])
{
    nf_row_text(out, name, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void show_entry(const struct nf *nf, struct nf_show *out, bool ipv6, uint32_t slot)
{
    const struct nf_l3 *l3 = nf->state;
    const struct nf_neighbours *table = &l3->family[ipv6].neighbours;
    const struct nf_neighbour *entry = nf_map_value(table->map, slot);
    bool known = entry->flags & NF_NEIGHBOUR_KNOWN;
    struct nf_addr addr = nf_neighbours_addr(table, slot);
    char text[NF_ADDR_TEXT];

    nf_row(out);
    nf_row_text(out, "addr", "%s", nf_addr_text(&addr, text));
    nf_row_text(out, "state", "%s",
                entry->flags & NF_NEIGHBOUR_FIXED       ? "fixed"
                : entry->flags & NF_NEIGHBOUR_CONTESTED ? "contested"
                : known                                 ? "known"
                                                        : "asked");
    if (known)
        show_mac(out, "mac", entry->mac);
    if (entry->flags & NF_NEIGHBOUR_CONTESTED)
        show_mac(out, "rival", entry->rival);
    nf_row_text(out, "port", "%s", l3->config->port[entry->port].name);
    if (entry->confirmed)
        nf_row_u64(out, "confirmed_ns", entry->confirmed);
}

static void show_ipv4(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    show_entry(nf, out, false, slot);
}

static void show_ipv6(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    show_entry(nf, out, true, slot);
}

static bool show_neighbours(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct nf_l3 *l3 = nf->state;
    const struct nf_map *ipv6 = l3->family[NF_IP6].neighbours.map;

    if (*cursor < NF_NEIGHBOURS_MAX) {
        if (nf_show_slots(nf, l3->family[NF_IP4].neighbours.map, 0, out, cursor, show_ipv4))
            return true;
        *cursor = NF_NEIGHBOURS_MAX;
    }
    return ipv6 && nf_show_slots(nf, ipv6, NF_NEIGHBOURS_MAX, out, cursor, show_ipv6);
}

/* ---- the module ---- */

static const char *const counter_names[] = {NF_L3_COUNTER_LIST(NF_COUNTER_NAME) NULL};

static void run_timers(struct nf *nf, uint64_t now)
{
    struct nf_l3 *l3 = nf->state;

    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++)
        if (l3->family[ipv6].neighbours.map)
            nf_neighbours_timers(&l3->family[ipv6].neighbours, now);
    nf_l3_defence_timers(l3, now);
}

static int check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nf_l3 *l3 = nf->state;
    int error = nf_l3_defence_check(l3, c);

    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES && !error; ipv6++)
        if (l3->family[ipv6].neighbours.map)
            error = nf_neighbours_check(&l3->family[ipv6].neighbours, c);
    return error;
}

static const struct nf_module l3_module = {
    .name = "l3",
    .summary = "addresses, routes and neighbours of the chain",
    .counters = counter_names,
    .timers = run_timers,
    .show = show_neighbours,
    .check_state = check_state,
};

/* ---- making ---- */

static bool has_ipv6(const struct nf_l3_config *config)
{
    for (unsigned i = 0; i < config->ports; i++)
        if (config->port[i].net[NF_IP6].bits)
            return true;
    return false;
}

uint64_t nf_l3_bytes(const struct nf_l3_config *config)
{
    return sizeof(struct nf_l3_times) + NF_L3_COUNTERS * sizeof(uint64_t) + nf_neighbours_bytes(false) +
           (has_ipv6(config) ? nf_neighbours_bytes(true) : 0) + 4096;
}

static int make_family(struct nf_l3 *l3, bool ipv6, struct ft_fault *fault)
{
    const struct nf_l3_config *config = l3->config;
    struct nf_l3_family *f = &l3->family[ipv6];

    f->neighbours.failing = &l3->times->failing;
    f->neighbours.claimed = &l3->times->claimed[NF_L3_NEIGHBOUR_CLAIMED];
    nf_l3_read_family(f, config, ipv6);
    if (nf_neighbours_make(&f->neighbours, l3->nf, config, ipv6))
        return ft_fail(fault, FT_EFULL, "l3: the lane's arena is too small");
    for (unsigned i = 0; i < f->routes; i++)
        if (!f->route[i].on_link)
            nf_neighbours_add_hop(&f->neighbours, &f->route[i].via, f->route[i].port);
    for (unsigned i = 0; config->routed && i < config->routed->hops[ipv6]; i++)
        nf_neighbours_add_hop(&f->neighbours, &config->routed->hop[ipv6][i].addr,
                              config->routed->hop[ipv6][i].port);
    for (unsigned i = 0; i < config->next_hops[ipv6]; i++)
        nf_neighbours_add_hop(&f->neighbours, &config->next_hop[ipv6][i].addr,
                              config->next_hop[ipv6][i].port);
    for (unsigned i = 0; i < config->fixed_count; i++)
        if (nf_addr_is_ipv6(&config->fixed[i].addr) == ipv6)
            nf_neighbours_add_fixed(&f->neighbours, &config->fixed[i].addr, config->fixed[i].port,
                                    config->fixed[i].mac);
    return FT_OK;
}

static int check_config(const struct nf_l3_config *config, struct ft_fault *fault)
{
    bool fits = config->ports >= 1 && config->ports <= NF_PORTS_MAX && config->fixed_count <= NF_FIXED_MAX;

    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++)
        fits &= config->routes[ipv6] <= NF_ROUTES_MAX && config->next_hops[ipv6] <= NF_NEXT_HOPS_MAX;
    if (!fits)
        return ft_fail(fault, FT_EINVAL, "l3: too many ports, routes or next hops, or no port");
    for (unsigned i = 0; i < config->fixed_count; i++)
        if (config->fixed[i].port >= config->ports)
            return ft_fail(fault, FT_EINVAL, "l3: neighbour %u: no port %u", i + 1, config->fixed[i].port);
    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++) {
        for (unsigned i = 0; i < config->ports; i++)
            if (config->port[i].extras[ipv6] > NF_EXTRAS_MAX)
                return ft_fail(fault, FT_EINVAL, "l3: port %u: more than %u further addresses", i,
                               NF_EXTRAS_MAX);
        for (unsigned i = 0; i < config->routes[ipv6]; i++)
            if (config->route[ipv6][i].port >= config->ports)
                return ft_fail(fault, FT_EINVAL, "l3: route %u: no port %u", i + 1,
                               config->route[ipv6][i].port);
        for (unsigned i = 0; i < config->next_hops[ipv6]; i++)
            if (config->next_hop[ipv6][i].port >= config->ports)
                return ft_fail(fault, FT_EINVAL, "l3: next hop %u: no port %u", i + 1,
                               config->next_hop[ipv6][i].port);
    }
    return FT_OK;
}

int nf_l3_make(struct nf_l3 **out, struct nf *nf, const struct nf_l3_config *config, bool grows,
               struct ft_fault *fault)
{
    *out = NULL;
    int error = check_config(config, fault);
    if (error)
        return error;
    struct nf_l3 *l3 = calloc(1, sizeof(*l3));
    if (!l3)
        return ft_fail(fault, FT_ENOMEM, "l3: no memory");
    nf->module = &l3_module;
    nf->config = config;
    nf->state = l3;
    nf->counters = ft_arena_alloc(nf->arena, NF_L3_COUNTERS * sizeof(uint64_t));
    l3->nf = nf;
    l3->config = config;
    l3->growth = grows ? 40 - 20 : 0; /* the headers of IPv6 and of IPv4 */
    l3->times = ft_arena_alloc(nf->arena, sizeof(*l3->times));
    l3->least_mtu[NF_INSIDE] = l3->least_mtu[NF_OUTSIDE] = UINT16_MAX;
    for (unsigned i = 0; i < config->ports; i++) {
        uint16_t *least = &l3->least_mtu[config->port[i].side];

        *least = config->port[i].mtu < *least ? config->port[i].mtu : *least;
    }
    if (!nf->counters || !l3->times)
        error = ft_fail(fault, FT_EFULL, "l3: the lane's arena is too small");
    for (unsigned ipv6 = 0; ipv6 <= has_ipv6(config) && !error; ipv6++)
        error = make_family(l3, ipv6, fault);
    if (error) {
        free(l3);
        return error;
    }
    nf->env->out_side = nf_l3_side;
    nf->env->complain = send_error;
    nf->env->l3 = l3;
    nf_wake(nf, 0); /* ask for the next hops in the first burst */
    *out = l3;
    return FT_OK;
}

/* ---- another chain's ---- */

bool nf_l3_match(const struct nf_l3_config *from, const struct nf_l3_config *to, uint8_t out[NF_PORTS_MAX])
{
    bool moved = false;

    for (unsigned was = 0; was < NF_PORTS_MAX; was++) {
        const struct nf_interface *a = &from->port[was];

        out[was] = NF_PORTS_MAX;
        for (unsigned is = 0; is < to->ports && was < from->ports; is++) {
            const struct nf_interface *b = &to->port[is];

            if (strcmp(a->port, b->port) == 0 && a->vlan.outer == b->vlan.outer &&
                a->vlan.inner == b->vlan.inner && a->side == b->side)
                out[was] = (uint8_t)is;
        }
        moved |= was < from->ports && out[was] != was;
    }
    return moved;
}

static void carry_claim(struct nf_l3 *to, const struct nf_claim_words *words, enum nf_claimed which,
                        const uint8_t port[NF_PORTS_MAX])
{
    struct nf_claim claim;

    memcpy(&claim, &words->word[1], sizeof(claim));
    if (claim.at && claim.port < NF_PORTS_MAX && port[claim.port] != NF_PORTS_MAX)
        nf_claim_note(to->nf, &to->times->claimed[which], &claim.addr, claim.mac, port[claim.port], claim.at);
}

void nf_l3_carry(struct nf_l3 *to, const struct nf_l3 *from, int64_t moved)
{
    const struct nf_was w = {.moved = moved};
    const struct nf_l3_times *before = nf_was_at(&w, from->times);
    struct nf_l3_times *times = NF_EDIT(to->nf, to->times);
    uint8_t port[NF_PORTS_MAX];

    nf_l3_match(from->config, to->config, port);
    memcpy(to->nf->counters, nf_was_at(&w, from->nf->counters), NF_L3_COUNTERS * sizeof(uint64_t));
    times->failing = before->failing;
    for (unsigned i = 0; i < from->config->ports; i++)
        for (unsigned a = 0; a < NF_L3_ALLOWANCES && port[i] != NF_PORTS_MAX; a++)
            times->errors_paid[a][port[i]] = before->errors_paid[a][i];
    for (unsigned k = 0; k < NF_L3_CLAIMED_KINDS; k++)
        carry_claim(to, &before->claimed[k], (enum nf_claimed)k, port);
    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++) {
        struct nf_neighbours was = from->family[ipv6].neighbours;

        if (!was.map || !to->family[ipv6].neighbours.map)
            continue;
        was.map = (struct nf_map *)(uintptr_t)nf_was_at(&w, was.map);
        was.lists = (struct nf_lists *)(uintptr_t)nf_was_at(&w, was.lists);
        was.order = nf_was_at(&w, was.order);
        nf_neighbours_carry(&to->family[ipv6].neighbours, &was, port);
    }
}

/* ---- neighbour discovery ---- */

/* Routers and prefixes are not advertised: hosts are given their routes. */

#define HOP_LIMIT_AT 7u

/* Who asks without an address of his own wants to use this one (RFC 4862, 5.4): everybody hears that it is
 * taken. He does not use it yet, so that is no conflict. */
static void answer_solicitation(struct nf_l3 *l3, const struct nf_packet *p, const struct nf_nd *asked,
                                bool probe)
{
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
    const struct nf_interface *port = &l3->config->port[p->in_port];
    uint8_t frame[NF_ND_LEN];
    struct nf_nd answer = {.type = NF_ND_ADVERTISEMENT,
                           .flags = NF_ND_ROUTER | NF_ND_OVERRIDE | (probe ? 0 : NF_ND_SOLICITED),
                           .target = asked->target,
                           .mac = port->mac,
                           .from = asked->target,
                           .to = probe ? all_nodes : asked->from};

    nf_nd_write(&answer, probe ? NULL : p->data + 6, frame);
    if (nf_emit(l3->nf, p->in_port, frame, sizeof(frame)) == FT_OK)
        nf_count(l3->nf, NF_L3_ND_ANSWERED, 1);
}

/* The neighbour as it is known; NULL: it is not. */
static const struct nf_neighbour *find_known(const struct nf_l3 *l3, const uint8_t addr[16], uint8_t port)
{
    struct nf_addr a = nf_addr_of_ipv6(addr);

    return nf_neighbours_find(&l3->family[NF_IP6].neighbours, &a, port);
}

static bool is_own_ipv6(const struct nf_l3 *l3, const uint8_t addr[16], uint8_t port)
{
    struct nf_addr a = nf_addr_of_ipv6(addr);

    return is_own(l3, &a, true, port);
}

/* Of advertisements to everybody only a configured next hop's of itself is believed. Without the override
 * flag an advertisement does not contradict what is known (RFC 4861, 7.2.5): a sender that shares the address
 * with others, or answers for its holder, leaves it out. */
static bool is_believed(const struct nf_l3 *l3, const struct nf_nd *nd, uint8_t port)
{
    const struct nf_neighbour *known = find_known(l3, nd->target, port);
    struct nf_addr target = nf_addr_of_ipv6(nd->target);

    return (nf_ipv6_many(nd->to) ? nf_neighbours_is_hop(&l3->family[NF_IP6].neighbours, &target, port)
                                 : is_own_ipv6(l3, nd->to, port)) &&
           (nd->flags & NF_ND_OVERRIDE || !known || memcmp(known->mac, nd->mac, 6) == 0);
}

/* A neighbour that was asked at its MAC need not repeat it in its answer (RFC 4861, 7.2.4): it is the frame's
 * sender, and confirms what is known. NULL: the answer has no MAC, or another host's. */
static const uint8_t *find_mac(const struct nf_l3 *l3, const struct nf_packet *p, const struct nf_nd *nd)
{
    const struct nf_neighbour *known;

    if (nd->mac || nd->type != NF_ND_ADVERTISEMENT)
        return nd->mac;
    known = find_known(l3, nd->target, p->in_port);
    return known && memcmp(known->mac, p->data + 6, 6) == 0 ? known->mac : NULL;
}

/* A frame that nf_nd_read has read. As with ARP, senders are heard when they speak to us: they answer, or
 * they ask, and their next packet will want an answer. */
static void receive_nd(struct nf_l3 *l3, struct nf_packet *p, struct nf_nd *nd, uint64_t now)
{
    const struct nf_interface *port = &l3->config->port[p->in_port];
    bool asks = nd->type == NF_ND_SOLICITATION, ours = is_own_ipv6(l3, nd->target, p->in_port);
    struct nf_addr who = nf_addr_of_ipv6(asks ? nd->from : nd->target);
    bool probe = asks && nf_ipv6_martian(nd->from); /* who asks whether he may have it claims nothing yet */

    nd->mac = find_mac(l3, p, nd);
    nf_drop(l3->nf, p, NF_L3_ND);
    if (is_own(l3, &who, true, p->in_port))
        nf_l3_note_conflict(l3, &who, p->in_port, nd->mac ? nd->mac : p->data + 6, now);
    else if (nd->mac && !(nd->mac[0] & 1) && !nf_ipv6_martian(who.byte) &&
             (asks ? ours : is_believed(l3, nd, p->in_port)))
        nf_neighbours_learn(&l3->family[NF_IP6].neighbours, &who, p->in_port, nd->mac,
                            asks && is_on_link(port, &who, true), now);
    if (asks && ours && !is_own_ipv6(l3, nd->from, ANY_PORT))
        answer_solicitation(l3, p, nd, probe);
}

/* Made by L3 itself, for a link: it has its addresses, and leaves as it is. */
static bool is_own_nd(const struct nf_packet *p)
{
    return p->flags & NF_P_EMITTED && p->proto == NF_PROTO_ICMPV6 && p->flags & NF_P_L4 &&
           (p->icmp_type == NF_ND_SOLICITATION || p->icmp_type == NF_ND_ADVERTISEMENT) &&
           p->data[p->l3 + HOP_LIMIT_AT] == 255;
}

/* ---- in ---- */

/*
 * Senders are heard when they speak to us: they answer, or they ask, and their next packet will want an
 * answer. Of announcements to everybody only a configured next hop's of itself is: a gateway that failed
 * over. Against what is known nobody is believed at once (neighbour.h).
 */
static void receive_arp(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    const uint8_t *arp = p->data + p->l3, *mac = arp + 8;
    const struct nf_interface *port = &l3->config->port[p->in_port];
    struct nf_neighbours *neighbours = &l3->family[NF_IP4].neighbours;
    struct nf_addr sender = nf_addr_of_ipv4(nf_get32(arp + 14)), target = nf_addr_of_ipv4(nf_get32(arp + 24));

    nf_drop(l3->nf, p, NF_L3_ARP);
    if (is_own(l3, &sender, false, ANY_PORT)) {
        nf_l3_note_conflict(l3, &sender, p->in_port, mac, now);
        return;
    }
    bool for_us = is_own(l3, &target, false, p->in_port);
    bool announced = nf_addr_same(&sender, &target) && nf_neighbours_is_hop(neighbours, &sender, p->in_port);
    if ((for_us || announced) && nf_addr_is_host(&sender) && !(mac[0] & 1))
        nf_neighbours_learn(neighbours, &sender, p->in_port, mac, is_on_link(port, &sender, false), now);
    if (!for_us || arp[6] != 0 || arp[7] != 1)
        return;
    uint8_t frame[NF_ARP_LEN];
    nf_arp_frame(frame, 2, mac, port->mac, nf_addr_ipv4(&target), mac, nf_addr_ipv4(&sender));
    if (nf_emit(l3->nf, p->in_port, frame, sizeof(frame)) == FT_OK)
        nf_count(l3->nf, NF_L3_ARP_ANSWERED, 1);
}

static inline __attribute__((always_inline)) bool is_many(const struct nf_addr *addr, bool ipv6)
{
    return ipv6 ? nf_ipv6_many(addr->byte) : nf_addr_many(nf_addr_ipv4(addr));
}
static inline __attribute__((always_inline)) bool is_martian(const struct nf_addr *addr, bool ipv6)
{
    return ipv6 ? nf_ipv6_martian(addr->byte) : nf_addr_martian(nf_addr_ipv4(addr));
}

/* No router forwards it: a link-local address is another host's on every link. */
static inline __attribute__((always_inline)) bool is_of_link(const struct ends *ends, bool ipv6)
{
    return ipv6 && (nf_ipv6_link_local(ends->from.byte) || nf_ipv6_link_local(ends->to.byte));
}

/* Why an IP packet is taken in neither to be routed nor for an own address; NF_L3_COUNTERS: it is. */
static inline __attribute__((always_inline)) enum nf_l3_counter refuse_ip(const struct nf_packet *p,
                                                                          const struct ends *ends, bool ipv6)
{
    if (p->data[0] & 1 || is_many(&ends->to, ipv6))
        return NF_L3_BROADCAST;
    if (ipv6 && nf_is_nd(p)) /* of no use to hosts behind this one */
        return NF_L3_ND;
    if (is_martian(&ends->from, ipv6) || is_martian(&ends->to, ipv6) || is_many(&ends->from, ipv6))
        return NF_L3_MARTIAN;
    return NF_L3_COUNTERS;
}

/* An echo request becomes its reply; anything else to an own address ends. */
static bool answer_echo(struct nf_l3 *l3, struct nf_packet *p, bool ipv6)
{
    struct nf_addr from = nf_packet_from(p, ipv6);

    if (!is_own(l3, &from, ipv6, ANY_PORT) && (ipv6 ? nf_icmpv6_turn_round(p) : nf_icmp_turn_round(p))) {
        nf_count(l3->nf, NF_L3_ECHO_ANSWERED, 1);
        return true;
    }
    nf_drop(l3->nf, p, NF_L3_LOCAL);
    return false;
}

static inline __attribute__((always_inline)) uint32_t ttl_at(const struct nf_packet *p, bool ipv6)
{
    return p->l3 + (ipv6 ? 7u : 8u);
}

/* A packet that may not go further: where it is for an own address, it has come to its end, or an NF will
 * translate it, and forward_packet sends the ICMP error. */
static __attribute__((noinline)) void receive_last(struct nf_l3 *l3, struct nf_packet *p,
                                                   const struct nf_addr *to, bool ipv6, uint64_t now)
{
    if (is_own(l3, to, ipv6, ANY_PORT)) {
        keep_packet(l3, p);
        drop_too_big(l3, p, now);
    } else {
        send_expired(l3, p, now);
        nf_drop(l3->nf, p, NF_L3_TTL);
    }
}

/* A whole packet of the family, for this station or, by its MAC, for many. */
static inline __attribute__((always_inline)) void receive_ip(struct nf_l3 *l3, struct nf_packet *p, bool ipv6,
                                                             uint64_t now)
{
    const struct ends ends = ends_of(p, ipv6);
    enum nf_l3_counter why = refuse_ip(p, &ends, ipv6);

    if (why != NF_L3_COUNTERS) {
        nf_drop(l3->nf, p, why);
    } else if ((p->side == NF_INSIDE || (ipv6 && nf_ipv6_link_local(ends.to.byte))) &&
               is_own(l3, &ends.to, ipv6, p->in_port)) {
        p->flags |= NF_P_LOCAL; /* nf_l3_out answers it: until the burst is captured no frame is changed */
    } else if (is_of_link(&ends, ipv6)) {
        nf_drop(l3->nf, p, NF_L3_MARTIAN);
    } else if (ft_unlikely(p->data[ttl_at(p, ipv6)] <= 1)) {
        receive_last(l3, p, &ends.to, ipv6, now);
    } else {
        drop_too_big(l3, p, now);
    }
}

/* A malformed packet, or one that the port cut off, which is answered as any that is too big. */
static void receive_malformed(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    struct nf_packet whole;
    bool ipv6 = p->flags & NF_P_IPV6;

    if (is_cut_off(p, &whole)) {
        struct ends ends = ends_of(&whole, ipv6);

        if (refuse_ip(&whole, &ends, ipv6) == NF_L3_COUNTERS && !is_of_link(&ends, ipv6) &&
            drop_too_big(l3, &whole, now)) {
            p->drop = whole.drop;
            p->drop_nf = whole.drop_nf;
            return;
        }
    }
    nf_drop(l3->nf, p, NF_L3_MALFORMED);
}

static void receive_ipv6(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    struct nf_nd nd;

    if (!l3->config->port[p->in_port].net[NF_IP6].bits)
        nf_drop(l3->nf, p, NF_L3_PROTOCOL);
    else if (!(p->flags & NF_P_IPV6_READ))
        receive_malformed(l3, p, now);
    else if (nf_nd_read(p, &nd))
        receive_nd(l3, p, &nd, now);
    else
        receive_ip(l3, p, true, now);
}

static void receive_packet(struct nf_l3 *l3, struct nf_packet *p, uint64_t now)
{
    if (p->have < 14)
        nf_drop(l3->nf, p, NF_L3_MALFORMED);
    else if (p->flags & NF_P_VLAN)
        nf_drop(l3->nf, p, NF_L3_VLAN);
    else if (p->in_port >= l3->config->ports ||
             (!(p->data[0] & 1) && memcmp(p->data, l3->config->port[p->in_port].mac, 6) != 0))
        nf_drop(l3->nf, p, NF_L3_OTHER_MAC);
    else if (ft_likely(p->flags & NF_P_IPV4))
        receive_ip(l3, p, false, now);
    else if (p->flags & NF_P_IPV6)
        receive_ipv6(l3, p, now);
    else if (p->flags & NF_P_ARP)
        receive_arp(l3, p, now);
    else if (p->flags & NF_P_BAD)
        receive_malformed(l3, p, now);
    else
        nf_drop(l3->nf, p, NF_L3_PROTOCOL);
}

void nf_l3_in(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    keep_packets(l3, packets, n, now);
    for (uint32_t i = 0; i < n; i++)
        receive_packet(l3, packets[i], now);
}

/* ---- out ---- */

/* The last next hop found: packets in a row mostly share it. */
struct hop {
    struct nf_addr addr;
    uint8_t port;
    const struct nf_neighbour *entry; /* NULL: none */
};

uint8_t nf_l3_side(const struct nf_l3 *l3, const struct nf_packet *p)
{
    bool ipv6 = p->flags & NF_P_IPV6_READ;
    struct nf_addr to = nf_packet_to(p, ipv6);
    const struct nf_l3_route *route = find_route(l3, &to, ipv6);

    return route ? l3->config->port[route->port].side : !p->side;
}

static inline __attribute__((always_inline)) bool find_hop(struct nf_l3 *l3, struct hop *hop,
                                                           const struct nf_addr *addr, uint8_t port,
                                                           bool ipv6, uint64_t now)
{
    struct nf_neighbours *neighbours = &l3->family[ipv6].neighbours;

    if (!hop->entry || !same_addr(&hop->addr, addr, ipv6) || hop->port != port) {
        hop->addr = *addr;
        hop->port = port;
        hop->entry = nf_neighbours_find(neighbours, addr, port);
    }
    if (!hop->entry)
        nf_neighbours_want(neighbours, addr, port, now);
    return hop->entry;
}

static inline __attribute__((always_inline)) void forward_packet(struct nf_l3 *l3, struct nf_packet *p,
                                                                 const struct nf_l3_route *known,
                                                                 struct hop *hop, const struct nf_addr *to,
                                                                 bool ipv6, uint64_t now)
{
    bool local = p->flags & (NF_P_EMITTED | NF_P_LOCAL);
    struct nf_l3_route link = {.port = p->in_port, .on_link = true};
    const struct nf_l3_route *route = ipv6 && nf_ipv6_link_local(to->byte) ? &link
                                      : known                              ? known
                                                                           : find_route(l3, to, ipv6);

    if (!local && p->data[ttl_at(p, ipv6)] <= 1) {
        send_expired(l3, find_kept(l3, p), now);
        nf_drop(l3->nf, p, NF_L3_TTL);
    } else if (!route) {
        send_unreachable(l3, p, false, now);
        nf_neighbours_keep_packets(&l3->family[ipv6].neighbours, now); /* of those behind this one */
        nf_drop(l3->nf, p, NF_L3_NO_ROUTE);
    } else if (is_many(to, ipv6) ||
               (!ipv6 && route->on_link && nf_net_is_edge(&l3->config->port[route->port].net[NF_IP4], to))) {
        nf_drop(l3->nf, p, NF_L3_BROADCAST);
    } else if (ip_length(p) >
               l3->config->port[route->port].mtu) { /* sent there by an NF: its sender would not know it */
        nf_drop(l3->nf, p, NF_L3_TOO_BIG);
    } else if (!find_hop(l3, hop, route->on_link ? to : &route->via, route->port, ipv6, now)) {
        if (nf_neighbours_is_unreachable(&l3->family[ipv6].neighbours, &hop->addr, hop->port, now))
            send_unreachable(l3, p, true, now);
        nf_drop(l3->nf, p, NF_L3_NO_NEIGHBOUR);
    } else {
        memcpy(p->data, hop->entry->mac, 6);
        memcpy(p->data + 6, l3->config->port[route->port].mac, 6);
        p->out_port = route->port;
        nf_neighbours_use(&l3->family[ipv6].neighbours, &hop->addr, hop->entry, now, !local);
        if (!local && ipv6)
            p->data[ttl_at(p, ipv6)]--;
        else if (!local)
            nf_packet_dec_ttl(p);
    }
}

/* `known`: the route, NULL: it is looked for. So forward_packet. */
static inline __attribute__((always_inline)) void send_packet(struct nf_l3 *l3, struct nf_packet *p,
                                                              const struct nf_l3_route *known,
                                                              struct hop *hop, bool ipv6, uint64_t now)
{
    struct nf_addr to = nf_packet_to(p, ipv6);

    if (is_own(l3, &to, ipv6, ANY_PORT)) {
        if (!answer_echo(l3, p, ipv6))
            return;
        to = nf_packet_to(p, ipv6);
        known = NULL;
    }
    forward_packet(l3, p, known, hop, &to, ipv6, now);
}

void nf_l3_out(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    struct hop hop[NF_FAMILIES] = {{.entry = NULL}, {.entry = NULL}};
    const struct nf_l3_route *found[NF_LPM_ALL_MAX], *known = NULL;
    bool by_table = l3->config->routed;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        bool ipv6 = p->flags & NF_P_IPV6_READ && l3->family[NF_IP6].neighbours.map;

        if (ft_unlikely(by_table)) {
            if (i % NF_LPM_ALL_MAX == 0)
                nf_l3_find_ahead(l3, packets + i, n - i, found);
            known = found[i % NF_LPM_ALL_MAX];
        }
        if (p->flags & NF_P_EMITTED && (p->flags & NF_P_ARP || (ipv6 && is_own_nd(p))))
            continue;
        if (ft_likely(p->flags & NF_P_IPV4))
            send_packet(l3, p, known, &hop[NF_IP4], false, now);
        else if (ipv6)
            send_packet(l3, p, known, &hop[NF_IP6], true, now);
        else
            nf_drop(l3->nf, p, NF_L3_PROTOCOL);
    }
}
