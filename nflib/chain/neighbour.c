/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the neighbour tables. Written by the lane's L3: from ARP or neighbour discovery, from packets that
 * want a next hop, from timers. Read for every packet that leaves; its `used` time moves at most every five
 * seconds, so that a packet on its way changes no line.
 */
#include "nflib/chain/neighbour.h"
#include "nflib/net/icmp.h"

#include <string.h>

#define ASK_EVERY     (1 * NF_SECOND)
#define REFRESH_AFTER (20 * NF_SECOND)
#define FORGET_AFTER  (180 * NF_SECOND)
#define GIVE_UP_AFTER (3 * NF_SECOND) /* on an address that never answered */
#define FAILED_AFTER  (3 * NF_SECOND) /* from the first request on; three go out in that time */
#define USED_EVERY    (5 * NF_SECOND)
#define PROBES        3u /* requests to a known MAC, when another one is claimed */
#define PROBE_EVERY   (NF_SECOND / 5)
#define ASKS_A_ROUND  32u /* leaves room for what NFs make */
#define ROUND_EVERY   (NF_SECOND / 10)
#define USED_MAX      (NF_NEIGHBOURS_MAX * 3 / 4) /* beyond it used entries give way, and not new ones */
#define WANTED_EVERY  (NF_SECOND / NF_NEIGHBOURS_MAX)
#define WANTED_AHEAD  (WANTED_EVERY * (NF_NEIGHBOURS_MAX / 4))
#define STAYING_MAX   (2 * NF_ROUTES_MAX + NF_NEXT_HOPS_MAX + NF_FIXED_MAX) /* next hops and the file's */
_Static_assert(NF_NEIGHBOURS_MAX - USED_MAX > STAYING_MAX, "in a full table some entry may give way");

static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nobody[6];

static uint32_t addr_bytes(bool ipv6)
{
    return ipv6 ? 16 : 4;
}

uint64_t nf_neighbours_bytes(bool ipv6)
{
    return nf_map_bytes(NF_NEIGHBOURS_MAX, addr_bytes(ipv6), sizeof(struct nf_neighbour)) +
           nf_lists_bytes(NF_NEIGHBOURS_MAX, 0) + sizeof(struct nf_neighbour_order) + 4096;
}

int nf_neighbours_make(struct nf_neighbours *table, struct nf *nf, const struct nf_l3_config *config,
                       bool ipv6)
{
    table->nf = nf;
    table->config = config;
    table->ipv6 = ipv6;
    table->map = nf_map_make(nf, NF_NEIGHBOURS_MAX, addr_bytes(ipv6), sizeof(struct nf_neighbour));
    table->lists = nf_lists_make(nf, NF_NEIGHBOURS_MAX, 0);
    table->order = ft_arena_alloc(nf->arena, sizeof(*table->order));
    if (!table->map || !table->lists || !table->order)
        return FT_EFULL;
    nf_lists_take_all(nf, table->lists);
    nf_table_add_map(nf, ipv6 ? "neighbours_ipv6" : "neighbours", table->map);
    return FT_OK;
}

static const struct nf_neighbour *neighbour_at(const struct nf_neighbours *table, uint32_t slot)
{
    return nf_map_value(table->map, slot);
}

/* ---- keys --------------------------------------------------------------------------------------- */

/* A link-local address is a host's on each link: in its key the link takes the place of a byte that is zero.
 */
#define LINK_AT 2

static const void *key_of(const struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port,
                          struct nf_addr *key)
{
    if (!table->ipv6)
        return &addr->word[3];
    if (!nf_ipv6_link_local(addr->byte))
        return addr;
    *key = *addr;
    key->byte[LINK_AT] = (uint8_t)(port + 1);
    return key;
}

struct nf_addr nf_neighbours_addr(const struct nf_neighbours *table, uint32_t slot)
{
    const void *key = nf_map_key(table->map, slot);
    struct nf_addr addr;

    if (!table->ipv6)
        return nf_addr_of_ipv4(*(const uint32_t *)key);
    addr = nf_addr_of_ipv6(key);
    if (nf_ipv6_link_local(addr.byte))
        addr.byte[LINK_AT] = 0;
    return addr;
}

static uint32_t find_slot(const struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port)
{
    struct nf_addr key;

    return nf_map_find(table->map, key_of(table, addr, port, &key));
}

/* ---- who gives way ------------------------------------------------------------------------------- */

static void unlist(const struct nf_neighbours *table, uint32_t slot)
{
    struct nf_neighbour_order *order = NF_EDIT(table->nf, table->order);
    struct nf_neighbour *entry = NF_EDIT(table->nf, neighbour_at(table, slot));
    bool used = entry->flags & NF_NEIGHBOUR_USED;

    nf_list_remove(table->nf, table->lists, used ? &order->used : &order->unused, slot);
    order->used_count -= used;
    entry->flags &= (uint8_t)~NF_NEIGHBOUR_USED;
}

/* At the end of a list; it is in none. */
static void list(const struct nf_neighbours *table, uint32_t slot, bool used)
{
    struct nf_neighbour_order *order = NF_EDIT(table->nf, table->order);
    struct nf_neighbour *entry = NF_EDIT(table->nf, neighbour_at(table, slot));

    nf_list_insert(table->nf, table->lists, used ? &order->used : &order->unused, slot, NF_NONE);
    order->used_count += used;
    entry->flags |= used ? NF_NEIGHBOUR_USED : 0;
}

/* Next hops and what the file names are in no list. */
static void relist(const struct nf_neighbours *table, uint32_t slot, bool used)
{
    if (!nf_list_has(table->lists, slot))
        return;
    unlist(table, slot);
    list(table, slot, used);
}

static void remove_entry(const struct nf_neighbours *table, uint32_t slot)
{
    if (nf_list_has(table->lists, slot))
        unlist(table, slot);
    nf_map_remove(table->nf, table->map, slot);
}

/* False: too many have given way to addresses that packets want. */
static bool may_give_way(const struct nf_neighbours *table, uint64_t now)
{
    uint64_t paid = (table->order->wants_paid > now ? table->order->wants_paid : now) + WANTED_EVERY;

    if (paid > now + WANTED_AHEAD)
        return false;
    NF_EDIT(table->nf, table->order)->wants_paid = paid;
    return true;
}

/* `wanted`: by a packet, and nobody has announced that it is there. NF_NONE: no entry may give way. */
static uint32_t add_entry(const struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port,
                          bool wanted, uint64_t now)
{
    const struct nf_neighbour_order *order = table->order;
    struct nf_addr key;
    uint32_t slot;

    if (nf_map_count(table->map) == NF_NEIGHBOURS_MAX) {
        nf_count(table->nf, NF_L3_NEIGHBOURS_FULL, 1);
        if (wanted && !may_give_way(table, now))
            return NF_NONE;
        remove_entry(table, nf_list_first(order->used_count > USED_MAX ? &order->used : &order->unused));
    }
    slot = nf_map_add(table->nf, table->map, key_of(table, addr, port, &key));
    NF_EDIT(table->nf, neighbour_at(table, slot))->port = port;
    list(table, slot, false);
    return slot;
}

/* ---- those that stay ------------------------------------------------------------------------------ */

static struct nf_neighbour *add_staying(const struct nf_neighbours *table, const struct nf_addr *addr,
                                        uint8_t port)
{
    uint32_t slot = find_slot(table, addr, port);

    if (slot == NF_NONE)
        slot = add_entry(table, addr, port, false, 0);
    if (nf_list_has(table->lists, slot))
        unlist(table, slot);
    return NF_EDIT(table->nf, neighbour_at(table, slot));
}

void nf_neighbours_add_hop(struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port)
{
    struct nf_neighbour *entry = add_staying(table, addr, port);

    entry->port = port;
    entry->flags |= NF_NEIGHBOUR_HOP;
}

void nf_neighbours_add_fixed(struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port,
                             const uint8_t mac[6])
{
    struct nf_neighbour *entry = add_staying(table, addr, port);

    entry->port = port;
    entry->flags |= NF_NEIGHBOUR_FIXED | NF_NEIGHBOUR_KNOWN;
    memcpy(entry->mac, mac, 6);
}

const struct nf_neighbour *nf_neighbours_find(const struct nf_neighbours *table, const struct nf_addr *addr,
                                              uint8_t port)
{
    uint32_t slot = find_slot(table, addr, port);
    if (slot == NF_NONE)
        return NULL;
    const struct nf_neighbour *entry = neighbour_at(table, slot);
    return entry->flags & NF_NEIGHBOUR_KNOWN && entry->port == port ? entry : NULL;
}

static bool has_failed(const struct nf_neighbour *entry, uint64_t now)
{
    return !(entry->flags & NF_NEIGHBOUR_KNOWN) && entry->used && now - entry->used >= FAILED_AFTER;
}

bool nf_neighbours_is_unreachable(const struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port,
                                  uint64_t now)
{
    uint32_t slot = find_slot(table, addr, port);
    return slot != NF_NONE && neighbour_at(table, slot)->port == port &&
           has_failed(neighbour_at(table, slot), now);
}

void nf_neighbours_keep_packets(const struct nf_neighbours *table, uint64_t now)
{
    if (*table->failing < now + GIVE_UP_AFTER - ASK_EVERY)
        *NF_EDIT(table->nf, table->failing) = now + GIVE_UP_AFTER;
}

bool nf_neighbours_is_hop(const struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port)
{
    uint32_t slot = find_slot(table, addr, port);
    return slot != NF_NONE && neighbour_at(table, slot)->flags & NF_NEIGHBOUR_HOP;
}

static uint64_t refresh_at(const struct nf_neighbour *entry)
{
    return (entry->confirmed > entry->asked ? entry->confirmed : entry->asked) + REFRESH_AFTER;
}

void nf_neighbours_use(const struct nf_neighbours *table, const struct nf_addr *addr,
                       const struct nf_neighbour *entry, uint64_t now, bool forwarded)
{
    bool listed = entry->flags & NF_NEIGHBOUR_USED || !forwarded;

    if ((now - entry->used < USED_EVERY && listed) || entry->flags & (NF_NEIGHBOUR_HOP | NF_NEIGHBOUR_FIXED))
        return;
    NF_EDIT(table->nf, entry)->used = now;
    if (forwarded)
        relist(table, find_slot(table, addr, entry->port), true);
    nf_wake(table->nf, refresh_at(entry));
}

void nf_arp_frame(uint8_t out[NF_ARP_LEN], uint16_t operation, const uint8_t to[6], const uint8_t mac[6],
                  uint32_t addr, const uint8_t target_mac[6], uint32_t target)
{
    static const uint8_t head[9] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0};
    memcpy(out, to, 6);
    memcpy(out + 6, mac, 6);
    memcpy(out + 12, head, sizeof(head));
    out[21] = (uint8_t)operation;
    memcpy(out + 22, mac, 6);
    memcpy(out + 28, &addr, 4);
    memcpy(out + 32, target_mac, 6);
    memcpy(out + 38, &target, 4);
}

/* The question goes to the station with this MAC, or, NULL, to all who may hold the address, from this link's
 * address of the same scope. */
static int emit_request(const struct nf_neighbours *table, uint32_t slot, const uint8_t *mac)
{
    uint8_t index = neighbour_at(table, slot)->port, frame[NF_ND_LEN], to[16];
    const struct nf_interface *port = &table->config->port[index];
    struct nf_addr addr = nf_neighbours_addr(table, slot);

    if (!table->ipv6) {
        nf_arp_frame(frame, 1, mac ? mac : everybody, port->mac, nf_addr_ipv4(&port->net[NF_IP4].addr),
                     nobody, nf_addr_ipv4(&addr));
        return nf_emit(table->nf, index, frame, NF_ARP_LEN);
    }
    nf_nd_solicited_node(addr.byte, to);
    nf_nd_write(&(struct nf_nd){.type = NF_ND_SOLICITATION,
                                .target = addr.byte,
                                .mac = port->mac,
                                .from = nf_ipv6_link_local(addr.byte) ? port->local.byte
                                                                      : port->net[NF_IP6].addr.byte,
                                .to = mac ? addr.byte : to},
                mac, frame);
    return nf_emit(table->nf, index, frame, NF_ND_LEN);
}

/* False: the burst has no room for the request; it is due again at once. */
static bool send_request(const struct nf_neighbours *table, uint32_t slot, uint64_t now)
{
    const struct nf_neighbour *entry = neighbour_at(table, slot);
    if (emit_request(table, slot, NULL) < 0)
        return false;
    struct nf_neighbour *edit = NF_EDIT(table->nf, entry);
    edit->asked = now;
    if (!(edit->flags & NF_NEIGHBOUR_KNOWN) && !edit->used)
        edit->used = now;
    edit->flags |= NF_NEIGHBOUR_ASKED;
    nf_count(table->nf, table->ipv6 ? NF_L3_ND_ASKED : NF_L3_ARP_ASKED, 1);
    return true;
}

void nf_neighbours_want(struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port, uint64_t now)
{
    uint32_t slot = find_slot(table, addr, port);
    if (slot == NF_NONE)
        slot = add_entry(table, addr, port, true, now);
    if (slot == NF_NONE)
        return;
    const struct nf_neighbour *entry = neighbour_at(table, slot);
    if (entry->flags & NF_NEIGHBOUR_FIXED) /* the file has it on another link */
        return;
    if (entry->port != port) { /* it moved to another link */
        struct nf_neighbour *edit = NF_EDIT(table->nf, entry);
        edit->port = port;
        edit->flags &= (uint8_t) ~(NF_NEIGHBOUR_KNOWN | NF_NEIGHBOUR_CONTESTED);
        edit->used = 0;
        relist(table, slot, false);
    }
    if (has_failed(entry, now))
        nf_neighbours_keep_packets(table, now);
    if (!(entry->flags & NF_NEIGHBOUR_ASKED) || now - entry->asked >= ASK_EVERY)
        send_request(table, slot, now);
    nf_wake(table->nf, now + ASK_EVERY);
}

/* ---- another MAC -------------------------------------------------------------------------------- */

/* When a contest goes on: the next request, or what comes of them. UINT64_MAX: there is none. */
static uint64_t probe_at(const struct nf_neighbour *entry)
{
    if (!(entry->flags & NF_NEIGHBOUR_CONTESTED))
        return UINT64_MAX;
    return !entry->probed ? 0 : entry->probed + (entry->probes ? PROBE_EVERY : ASK_EVERY);
}

/* False: the burst has no room for the request; it is due again at once. */
static bool contest(const struct nf_neighbours *table, uint32_t slot, uint64_t now)
{
    const struct nf_neighbour *entry = neighbour_at(table, slot);
    struct nf_neighbour *edit;

    if (entry->probes < PROBES && emit_request(table, slot, entry->mac) < 0)
        return false;
    edit = NF_EDIT(table->nf, entry);
    if (entry->probes < PROBES) {
        edit->probed = now;
        edit->probes++;
        nf_count(table->nf, table->ipv6 ? NF_L3_ND_ASKED : NF_L3_ARP_ASKED, 1);
        return true;
    }
    memcpy(edit->mac, entry->rival, 6);
    edit->confirmed = now;
    edit->flags &= (uint8_t)~NF_NEIGHBOUR_CONTESTED;
    nf_count(table->nf, NF_L3_MOVED, 1);
    return true;
}

void nf_claim_note(const struct nf *nf, const struct nf_claim_words *words, const struct nf_addr *addr,
                   const uint8_t mac[6], uint8_t port, uint64_t now)
{
    struct nf_claim claim = {.at = now, .addr = *addr, .port = port};
    uint64_t value[sizeof(claim) / sizeof(uint64_t)];

    memcpy(claim.mac, mac, 6);
    memcpy(value, &claim, sizeof(value));
    nf_note_write(NF_EDIT(nf, words)->word, value, sizeof(value) / sizeof(value[0]));
}

static void note_rival(const struct nf_neighbours *table, uint32_t slot, const uint8_t mac[6], uint64_t now)
{
    const struct nf_neighbour *entry = neighbour_at(table, slot);
    struct nf_addr addr = nf_neighbours_addr(table, slot);
    struct nf_neighbour *edit;

    nf_claim_note(table->nf, table->claimed, &addr, mac, entry->port, now);
    nf_count(table->nf, NF_L3_CONTESTED, 1);
    if (entry->flags & NF_NEIGHBOUR_FIXED)
        return;
    edit = NF_EDIT(table->nf, entry);
    memcpy(edit->rival, mac, 6);
    if (!(entry->flags & NF_NEIGHBOUR_CONTESTED)) {
        edit->probes = 0;
        edit->flags |= NF_NEIGHBOUR_CONTESTED;
        if (probe_at(entry) <= now)
            contest(table, slot, now);
    }
    nf_wake(table->nf, probe_at(entry));
}

void nf_neighbours_learn(struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port,
                         const uint8_t mac[6], bool add, uint64_t now)
{
    uint32_t slot = find_slot(table, addr, port);
    if (slot == NF_NONE && add)
        slot = add_entry(table, addr, port, false, now);
    if (slot == NF_NONE || neighbour_at(table, slot)->port != port)
        return;
    const struct nf_neighbour *entry = neighbour_at(table, slot);
    if (entry->flags & NF_NEIGHBOUR_KNOWN && memcmp(entry->mac, mac, 6) != 0) {
        note_rival(table, slot, mac, now);
        return;
    }
    struct nf_neighbour *edit = NF_EDIT(table->nf, entry);
    memcpy(edit->mac, mac, 6);
    if (!(edit->flags & NF_NEIGHBOUR_KNOWN)) {
        edit->used = 0;
        relist(table, slot, false); /* as one that has just come */
    }
    edit->confirmed = now;
    edit->flags |= NF_NEIGHBOUR_KNOWN;
    edit->flags &= (uint8_t)~NF_NEIGHBOUR_CONTESTED;
    nf_wake(table->nf, entry->flags & NF_NEIGHBOUR_HOP ? refresh_at(entry) : now + FORGET_AFTER);
}

/* When the entry is to be asked for; UINT64_MAX: not unless somebody uses it. */
static uint64_t ask_at(const struct nf_neighbour *entry)
{
    bool hop = entry->flags & NF_NEIGHBOUR_HOP;
    if (entry->flags & NF_NEIGHBOUR_FIXED)
        return UINT64_MAX;
    if (entry->flags & NF_NEIGHBOUR_KNOWN)
        return hop || entry->used + REFRESH_AFTER > refresh_at(entry) ? refresh_at(entry) : UINT64_MAX;
    if (!hop && entry->asked + ASK_EVERY >= entry->used + FAILED_AFTER)
        return UINT64_MAX;
    return entry->flags & NF_NEIGHBOUR_ASKED ? entry->asked + ASK_EVERY : 0;
}

/* When it is unreachable from; UINT64_MAX: it is known, or that is over. */
static uint64_t fails_at(const struct nf_neighbour *entry, uint64_t now)
{
    bool waits = !(entry->flags & NF_NEIGHBOUR_KNOWN) && entry->used && !has_failed(entry, now);
    return waits ? entry->used + FAILED_AFTER : UINT64_MAX;
}

static uint64_t forget_at(const struct nf_neighbour *entry)
{
    if (entry->flags & NF_NEIGHBOUR_FIXED)
        return UINT64_MAX;
    if (entry->flags & NF_NEIGHBOUR_KNOWN)
        return entry->confirmed + FORGET_AFTER;
    return entry->flags & NF_NEIGHBOUR_HOP ? UINT64_MAX : entry->asked + GIVE_UP_AFTER;
}

/* Forgets what is too old. A next hop stays, unknown. True: the slot is free now. */
static bool forget_old(struct nf_neighbours *table, uint32_t slot, uint64_t now)
{
    const struct nf_neighbour *entry = neighbour_at(table, slot);
    if (forget_at(entry) > now)
        return false;
    if (entry->flags & NF_NEIGHBOUR_HOP) {
        struct nf_neighbour *edit = NF_EDIT(table->nf, entry);
        edit->flags &= (uint8_t) ~(NF_NEIGHBOUR_KNOWN | NF_NEIGHBOUR_CONTESTED);
        edit->used = 0;
        return false;
    }
    remove_entry(table, slot);
    return true;
}

void nf_neighbours_timers(struct nf_neighbours *table, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    uint32_t asks = 0;
    for (uint32_t s = nf_map_next(table->map, 0); s != NF_NONE; s = nf_map_next(table->map, s + 1)) {
        if (forget_old(table, s, now))
            continue;
        const struct nf_neighbour *entry = neighbour_at(table, s);
        if (has_failed(entry, now))
            nf_neighbours_keep_packets(table, now);
        if (ask_at(entry) <= now && asks < ASKS_A_ROUND && send_request(table, s, now))
            asks++;
        if (probe_at(entry) <= now && asks < ASKS_A_ROUND && contest(table, s, now))
            asks++;
        uint64_t due = ask_at(entry) < forget_at(entry) ? ask_at(entry) : forget_at(entry);
        due = fails_at(entry, now) < due ? fails_at(entry, now) : due;
        due = probe_at(entry) < due ? probe_at(entry) : due;
        next = due < next ? due : next;
    }
    if (next != UINT64_MAX)
        nf_wake(table->nf, next > now + ROUND_EVERY ? next : now + ROUND_EVERY);
}

/* ---- another chain's ------------------------------------------------------------------------------- */

static bool is_on_link(const struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port)
{
    const struct nf_net *net = &table->config->port[port].net[table->ipv6];

    return net->bits && ((table->ipv6 && nf_ipv6_link_local(addr->byte)) || nf_net_has(net, addr));
}

/* An entry of `from`. Its place in the lists is behind those that were carried before. */
static void carry_entry(struct nf_neighbours *to, const struct nf_neighbours *from, uint32_t slot,
                        const uint8_t ports[NF_PORTS_MAX])
{
    const struct nf_neighbour *was = neighbour_at(from, slot);
    const uint8_t staying = NF_NEIGHBOUR_HOP | NF_NEIGHBOUR_FIXED;
    struct nf_addr addr = nf_neighbours_addr(from, slot);
    uint8_t port = was->port < NF_PORTS_MAX ? ports[was->port] : NF_PORTS_MAX;
    struct nf_neighbour *is;
    uint32_t now;

    if (port == NF_PORTS_MAX || was->flags & NF_NEIGHBOUR_FIXED || !is_on_link(to, &addr, port))
        return;
    now = find_slot(to, &addr, port);
    if (now == NF_NONE)
        now = add_entry(to, &addr, port, false, 0);
    is = NF_EDIT(to->nf, neighbour_at(to, now));
    if (is->flags & NF_NEIGHBOUR_FIXED || is->port != port)
        return;
    *is = *was;
    is->port = port;
    is->flags = (uint8_t)(was->flags & ~(staying | NF_NEIGHBOUR_USED));
    if (!nf_list_has(to->lists, now))
        is->flags |= NF_NEIGHBOUR_HOP;
    else
        relist(to, now, was->flags & NF_NEIGHBOUR_USED);
}

void nf_neighbours_carry(struct nf_neighbours *to, const struct nf_neighbours *from,
                         const uint8_t port[NF_PORTS_MAX])
{
    const struct nf_list *lists[] = {&from->order->unused, &from->order->used};

    for (uint32_t s = nf_map_next(from->map, 0); s != NF_NONE; s = nf_map_next(from->map, s + 1))
        if (!nf_list_has(from->lists, s))
            carry_entry(to, from, s, port);
    for (unsigned l = 0; l < 2; l++)
        for (uint32_t s = nf_list_first(lists[l]); s != NF_NONE; s = nf_list_next(from->lists, s))
            carry_entry(to, from, s, port);
    NF_EDIT(to->nf, to->order)->wants_paid = from->order->wants_paid;
}

static int check_fixed(const struct nf_neighbours *table, const struct nf_fixed *fixed, unsigned number,
                       struct nf_check *c)
{
    bool here = nf_addr_is_ipv6(&fixed->addr) == table->ipv6;
    uint32_t slot = here ? find_slot(table, &fixed->addr, fixed->port) : NF_NONE;
    const struct nf_neighbour *entry = slot != NF_NONE ? neighbour_at(table, slot) : NULL;

    if (!here || (entry && entry->flags & NF_NEIGHBOUR_FIXED && entry->flags & NF_NEIGHBOUR_KNOWN &&
                  entry->port == fixed->port && memcmp(entry->mac, fixed->mac, 6) == 0))
        return 0;
    return nf_check_failed(c, "neighbour %u of the file is not there as the file has it", number);
}

/* All but next hops and the file's are in one of the lists, by their flag. */
static int check_order(const struct nf_neighbours *table, struct nf_check *c, uint32_t wanted)
{
    const struct nf_neighbour_order *order = table->order;
    uint64_t *seen = nf_lists_seen(c, 0, table->lists);
    int n[2];

    if (!seen)
        return FT_ENOMEM;
    for (unsigned used = 0; used < 2; used++) {
        const struct nf_list *from = used ? &order->used : &order->unused;

        n[used] = nf_list_check(c, table->lists, from, NF_NEIGHBOURS_MAX, seen);
        if (n[used] < 0)
            return n[used];
        for (uint32_t s = nf_list_first(from); s != NF_NONE; s = nf_list_next(table->lists, s))
            if (!nf_map_has(table->map, s) ||
                neighbour_at(table, s)->flags & (NF_NEIGHBOUR_HOP | NF_NEIGHBOUR_FIXED) ||
                !(neighbour_at(table, s)->flags & NF_NEIGHBOUR_USED) != !used)
                return nf_check_failed(c, "neighbour %u is in list %u, expected one that gives way", s, used);
    }
    if ((uint32_t)n[1] != order->used_count || (uint32_t)(n[0] + n[1]) != wanted)
        return nf_check_failed(c, "%d and %d neighbours are in lists, expected %u together and %u used", n[0],
                               n[1], wanted, order->used_count);
    return 0;
}

int nf_neighbours_check(const struct nf_neighbours *table, struct nf_check *c)
{
    uint32_t listed = 0;
    int error;

    for (uint32_t s = nf_map_next(table->map, 0); s != NF_NONE; s = nf_map_next(table->map, s + 1)) {
        const struct nf_neighbour *entry = neighbour_at(table, s);

        if (entry->port >= table->config->ports)
            return nf_check_failed(c, "neighbour %u is on port %u, expected one below %u", s, entry->port,
                                   table->config->ports);
        if (entry->probes > PROBES)
            return nf_check_failed(c, "neighbour %u was probed %u times, expected at most %u", s,
                                   entry->probes, PROBES);
        listed += !(entry->flags & (NF_NEIGHBOUR_HOP | NF_NEIGHBOUR_FIXED));
    }
    if (nf_map_count(table->map) - listed > STAYING_MAX)
        return nf_check_failed(c, "%u neighbours never give way, expected at most %u",
                               nf_map_count(table->map) - listed, STAYING_MAX);
    error = check_order(table, c, listed);
    for (unsigned i = 0; i < table->config->fixed_count && !error; i++)
        error = check_fixed(table, &table->config->fixed[i], i + 1, c);
    return error;
}
