/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which session gives way to a new one in a full table, or at the limit of its host.
 *
 * Transitory sessions, connections of TCP that are being opened or are over, ICMP, and what else is not
 * assured, lie in a list in the order in which they became so: the oldest goes first. Those that are assured
 * lie in another one: where no transitory one goes, some are looked at in turn, from a hand on, and of those
 * the one goes that has been idle longest. table.c states where the links of both lists lie.
 *
 * Hosts: who began how many of the table's sessions, by the source of a session's first packet; and networks,
 * the /64s of hosts of IPv6, since one machine has as many addresses there as it likes: no network has more
 * than seven eighths of the table. Owns a map of hosts and networks, the host of each record, for each host a
 * list of its sessions that may be displaced, oldest first, and lists of hosts by how many those are, by
 * powers of two. These find the host that has most, at once. There only where an NF of the chain limits flows
 * of a host. The lane writes and reads all of it.
 *
 * Displaced may be what is confirmed and no open connection of TCP.
 */
#include "nflib/session/table.h"

#include <string.h>

/* Of the table's sessions: what is left is for those that are of no such network. */
static uint32_t network_limit(const struct nf_sessions *t)
{
    return t->capacity - t->capacity / 8;
}

_Static_assert(2 * NF_SESSION_GREEDY_PART < NF_SESSION_VICTIMS,
               "more hosts of a rank cannot have half as much each");

/* ---- one host ---------------------------------------------------------------------------------- */

/* Of IPv4 the rest is zeros, which no host of IPv6 has. */
struct address {
    uint8_t bytes[16];
};

static struct address address_of(const struct nf_tuple *key, const struct nf_addresses *addresses)
{
    struct address address = {{0}};

    if (key->ipv6)
        memcpy(address.bytes, addresses->source, 16);
    else
        memcpy(address.bytes, &key->saddr, sizeof(key->saddr));
    return address;
}

/* The slot, NF_NONE: it has no flow. One packet asks several times in a row. */
static uint32_t find_host(struct nf_sessions_lane *lane, const struct nf_sessions *t,
                          const struct address *address)
{
    uint32_t bytes = t->addresses_at ? 16 : 4, slot = lane->host;

    if (nf_map_has(t->hosts, slot) && memcmp(nf_map_key(t->hosts, slot), address, bytes) == 0)
        return slot;
    slot = nf_map_find(t->hosts, address);
    lane->host = slot == NF_NONE ? lane->host : slot;
    return slot;
}

static const struct nf_session_host *host_at(const struct nf_sessions *t, uint32_t slot)
{
    return nf_map_value(t->hosts, slot);
}

static struct nf_session_host *edit_host(const struct nf *nf, const struct nf_sessions *t, uint32_t slot)
{
    return NF_EDIT(nf, host_at(t, slot));
}

static const struct nf_session_network *network_at(const struct nf_sessions *t, uint32_t slot)
{
    return nf_map_value(t->networks, slot);
}

static struct nf_session_network *edit_network(const struct nf *nf, const struct nf_sessions *t,
                                               uint32_t slot)
{
    return NF_EDIT(nf, network_at(t, slot));
}

static struct address address_of_session(const struct nf_sessions *t, const struct nf_session *s)
{
    return address_of(&s->key[0],
                      s->key[0].ipv6 ? &nf_session_addresses(t, nf_session_number(t, s))->key[0] : NULL);
}

/* Slot of the /64 of the host that began it; NF_NONE: it is of IPv4. There is a limit of hosts. */
static uint32_t network_of(const struct nf_sessions *t, const struct nf_session *s)
{
    return s->key[0].ipv6
               ? nf_map_find(t->networks, &nf_session_addresses(t, nf_session_number(t, s))->key[0].source)
               : NF_NONE;
}

void nf_session_host_begin(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    const struct nf_session *s = nf_session_at(t, record);
    struct address address;
    uint32_t slot, network;

    if (!t->hosts)
        return;
    address = address_of_session(t, s);
    slot = find_host(nf_sessions_lane(nf), t, &address);
    if (slot == NF_NONE)
        slot = nf_map_add(nf, t->hosts, &address);
    FT_CHECK(slot != NF_NONE, "more hosts than sessions: %u", t->capacity);
    edit_host(nf, t, slot)->flows++;
    *NF_EDIT(nf, nf_session_host_of(t, record)) = slot;
    if (!s->key[0].ipv6)
        return;
    network = network_of(t, s);
    if (network == NF_NONE)
        network = nf_map_add(nf, t->networks, &address);
    FT_CHECK(network != NF_NONE, "more networks than sessions: %u", t->capacity);
    edit_network(nf, t, network)->flows++;
}

void nf_session_host_end(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    struct nf_session_network *network;
    struct nf_session_host *host;
    uint32_t slot, at;

    if (!t->hosts)
        return;
    slot = *nf_session_host_of(t, record);
    host = edit_host(nf, t, slot);
    if (--host->flows < host->noted / 2)
        host->noted = 0;
    if (!host->flows)
        nf_map_remove(nf, t->hosts, slot);
    at = network_of(t, nf_session_at(t, record));
    if (at == NF_NONE)
        return;
    network = edit_network(nf, t, at);
    if (--network->flows < network->noted / 2)
        network->noted = 0;
    if (!network->flows)
        nf_map_remove(nf, t->networks, at);
}

/* ---- what may be displaced ----------------------------------------------------------------------- */

static void put_in_rank(const struct nf *nf, const struct nf_sessions *t, uint32_t slot, uint32_t was)
{
    uint32_t from = nf_session_rank(was), to = nf_session_rank(host_at(t, slot)->listed);

    if (from == to)
        return;
    if (from)
        nf_list_remove(nf, t->ranks, NF_EDIT(nf, &t->by_rank[from]), slot);
    if (to)
        nf_list_insert(nf, t->ranks, NF_EDIT(nf, &t->by_rank[to]), slot, NF_NONE);
}

void nf_session_host_list(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    struct nf_session_host *host;
    uint32_t slot;

    if (!t->hosts)
        return;
    slot = *nf_session_host_of(t, record);
    host = edit_host(nf, t, slot);
    nf_list_insert(nf, t->of_hosts, &host->list, record, NF_NONE);
    host->listed++;
    put_in_rank(nf, t, slot, host->listed - 1);
}

void nf_session_host_unlist(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    struct nf_session_host *host;
    uint32_t slot;

    if (!t->hosts)
        return;
    slot = *nf_session_host_of(t, record);
    host = edit_host(nf, t, slot);
    nf_list_remove(nf, t->of_hosts, &host->list, record);
    host->listed--;
    put_in_rank(nf, t, slot, host->listed + 1);
}

/* ---- in order ------------------------------------------------------------------------------------ */

void nf_session_put_in_order(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    uint32_t order = nf_session_order(nf_session_at(t, record));
    struct nf_session_order *ends;

    if (order == NF_SESSION_ORDERS)
        return;
    ends = NF_EDIT(nf, &t->order[order]);
    *NF_EDIT(nf, nf_session_link(t, record)) = (struct nf_session_link){.older = ends->youngest};
    if (ends->youngest)
        NF_EDIT(nf, nf_session_link(t, ends->youngest - 1))->younger = record + 1;
    else
        ends->oldest = record + 1;
    ends->youngest = record + 1;
}

static void take_from(const struct nf *nf, const struct nf_sessions *t, uint32_t order, uint32_t record)
{
    struct nf_session_link link = *nf_session_link(t, record);
    struct nf_session_order *ends = NF_EDIT(nf, &t->order[order]);

    if (link.older)
        NF_EDIT(nf, nf_session_link(t, link.older - 1))->younger = link.younger;
    else
        ends->oldest = link.younger;
    if (link.younger)
        NF_EDIT(nf, nf_session_link(t, link.younger - 1))->older = link.older;
    else
        ends->youngest = link.older;
    if (t->hand == record + 1)
        *NF_EDIT(nf, &t->hand) = link.younger;
}

void nf_session_take_from_order(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    uint32_t order = nf_session_order(nf_session_at(t, record));

    if (order != NF_SESSION_ORDERS)
        take_from(nf, t, order, record);
}

void nf_session_pass_on(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    if (nf_session_order(nf_session_at(t, record)) == NF_SESSION_ASSURED)
        *NF_EDIT(nf, &t->hand) = nf_session_link(t, record)->younger;
}

/* From one class to another of the same order it keeps its place. */
void nf_session_reclass(const struct nf *nf, const struct nf_sessions *t, struct nf_session *s, uint8_t class,
                        uint64_t now)
{
    uint32_t record = nf_session_number(t, s);
    uint32_t was = nf_session_order(s);
    bool was_listed = nf_session_is_listed(s);

    s->key[0].own[1] = class;
    if (nf_session_flags(s) & NF_SESSION_NEW)
        return;
    nf_wheel_set(nf, t->wheel, record, now + nf_session_timeout(t, s));
    if (was != nf_session_order(s)) {
        if (was != NF_SESSION_ORDERS)
            take_from(nf, t, was, record);
        nf_session_put_in_order(nf, t, record);
    }
    if (was_listed && !nf_session_is_listed(s))
        nf_session_host_unlist(nf, t, record);
    else if (!was_listed && nf_session_is_listed(s))
        nf_session_host_list(nf, t, record);
}

/* ---- limits ------------------------------------------------------------------------------------ */

/* Who has as many as he may. */
struct full {
    uint32_t slot; /* of the host, or of its network; NF_NONE: there is room */
    uint32_t limit;
    bool network;
};

/* For the log; see struct nf_host_full. */
static void note_full(const struct nf *nf, const struct nf_sessions *t, struct full who)
{
    const struct nf *own = &nf_sessions_lane(nf)->nfs[0];
    uint64_t value[NF_NOTE_WORDS(struct nf_host_full) - 1];
    struct nf_host_full full = {.at = nf_sessions_lane(nf)->now, .limit = who.limit, .nf = nf->index};
    const uint8_t *key = nf_map_key(who.network ? t->networks : t->hosts, who.slot);

    if (who.network)
        edit_network(own, t, who.slot)->noted = network_at(t, who.slot)->flows;
    else
        edit_host(own, t, who.slot)->noted = host_at(t, who.slot)->flows;
    memcpy(value, &t->full[1], sizeof(value));
    full.hosts = value[offsetof(struct nf_host_full, hosts) / sizeof(uint64_t)] + 1;
    memcpy(full.addr, key, who.network ? 8 : t->addresses_at ? 16 : 4);
    full.network = who.network;
    for (unsigned i = 4; i < 16; i++)
        full.ipv6 |= full.addr[i] != 0;
    full.ipv6 |= who.network;
    memcpy(value, &full, sizeof(value));
    nf_note_write(nf_edit(own, t->full, sizeof(t->full)), value, sizeof(value) / sizeof(value[0]));
}

bool nf_session_last_full(const struct nf *nf, struct nf_host_full *out)
{
    const struct nf_sessions *t = nf->env->sessions ? nf->env->sessions->table : NULL;
    uint64_t value[sizeof(*out) / sizeof(uint64_t)];

    if (!t || !t->hosts || !nf_note_read(t->full, value, sizeof(value) / sizeof(value[0])))
        return false;
    memcpy(out, value, sizeof(*out));
    return true;
}

/* Of who sent the packet. A session that has begun counts already. */
static struct full full_of(const struct nf *nf, const struct nf_packet *p)
{
    struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t limit = t->max_flows_per_host[nf->index], own = p->session ? 1 : 0, slot, network = NF_NONE;
    struct address address = {{0}};

    if (!limit && !p->session)
        limit = t->host_limit[p->side & 1];
    if (!t->hosts || !limit || !(p->flow & NF_FLOW_KEYED))
        return (struct full){.slot = NF_NONE};
    if (p->session) {
        slot = *nf_session_host_of(t, nf_session_number(t, p->session));
    } else {
        address = address_of(&lane->look[p - lane->packets].key, &lane->addresses[p - lane->packets]);
        slot = find_host(lane, t, &address);
    }
    if (slot != NF_NONE && host_at(t, slot)->flows - own >= limit)
        return (struct full){slot, limit, false};
    if (p->session)
        network = network_of(t, p->session);
    else if (lane->look[p - lane->packets].key.ipv6)
        network = nf_map_find(t->networks, &address);
    if (network != NF_NONE && network_at(t, network)->flows - own >= network_limit(t))
        return (struct full){network, network_limit(t), true};
    return (struct full){.slot = NF_NONE};
}

/* The same, noted for the log. */
static struct full full_host(const struct nf *nf, const struct nf_packet *p)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    struct full who = full_of(nf, p);

    if (ft_unlikely(who.slot != NF_NONE) &&
        !(who.network ? network_at(t, who.slot)->noted : host_at(t, who.slot)->noted))
        note_full(nf, t, who);
    return who;
}

bool nf_session_host_full(const struct nf *nf, const struct nf_packet *p)
{
    return full_host(nf, p).slot != NF_NONE;
}

/* ---- who gives way -------------------------------------------------------------------------------- */

#define NEED_LOOKS (16 * NF_SESSION_VICTIMS) /* since not every session frees what is wanted */

/* Which sessions may give way to a new one. */
struct choice {
    bool own;                           /* of those alone that the NF is in */
    const struct nf_session_need *need; /* of those alone that free what it wants; NULL: any */
    uint32_t network;                   /* of those alone of which it is the network; 0: any */
    uint32_t most;                      /* a host with more than that many in its list is greedy */
    uint32_t looks;                     /* at hosts of a rank, and at sessions that do not go */
};

/* NF_FREES: it may go. A packet of this burst may point to a session that was seen now. */
static enum nf_session_frees chosen(const struct nf *nf, const struct nf_session *s,
                                    const struct choice *choice)
{
    if (s->seen == nf_sessions_lane(nf)->now || (choice->own && !nf_session_has(nf, s)) ||
        (choice->network && network_of(nf->env->sessions->table, s) + 1 != choice->network))
        return NF_FREES_NONE;
    return choice->need ? choice->need->frees(nf, s, choice->need->arg) : NF_FREES;
}

/* *looks: at sessions that do not go; of one host NF_SESSION_VICTIMS at most, so that one with many others of
 * its own does not stand before the next. */
static uint32_t oldest_of(const struct nf *nf, uint32_t slot, const struct choice *choice, uint32_t *looks)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t left = NF_SESSION_VICTIMS;

    for (uint32_t at = nf_list_first(&host_at(t, slot)->list); at != NF_NONE && *looks && left--;
         at = nf_list_next(t->of_hosts, at)) {
        enum nf_session_frees frees = chosen(nf, nf_session_at(t, at), choice);

        if (frees == NF_FREES)
            return at;
        --*looks;
        if (frees == NF_HOST_FREES_NONE)
            break;
    }
    return NF_NONE;
}

/* Of the host of a rank that has most, if it is greedy. */
static uint32_t of_rank(const struct nf *nf, uint32_t rank, const struct choice *choice, uint32_t *looks)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t at = nf_list_first(&t->by_rank[rank]), most = choice->most, found = NF_NONE;

    for (unsigned hosts = 0; at != NF_NONE && hosts < choice->looks && *looks;
         hosts++, at = nf_list_next(t->ranks, at)) {
        uint32_t listed = host_at(t, at)->listed, oldest;

        if (listed <= most ||
            (choice->network && memcmp(nf_map_key(t->hosts, at), nf_map_key(t->networks, choice->network - 1),
                                       sizeof(uint64_t)) != 0) ||
            (oldest = oldest_of(nf, at, choice, looks)) == NF_NONE)
            continue;
        most = listed;
        found = oldest;
    }
    return found;
}

/* Whoever has more than a sixteenth of the table is of a rank with 32 hosts at most: all of it is looked at.
 */
static uint32_t of_greedy(const struct nf *nf, const struct choice *choice)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t looks = choice->looks, found = NF_NONE;

    if (!t->hosts)
        return NF_NONE;
    for (uint32_t rank = nf_session_rank(t->capacity) + 1, least = nf_session_rank(choice->most + 1);
         found == NF_NONE && looks && rank-- > least;)
        found = of_rank(nf, rank, choice, &looks);
    return found;
}

/* Of NF_SESSION_IN_TURN that may go, the one that has been idle longest. */
static uint32_t of_assured(const struct nf *nf, const struct choice *choice)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t oldest = t->order[NF_SESSION_ASSURED].oldest, first = t->hand ? t->hand : oldest, at = first;
    uint32_t found = NF_NONE, left = NF_SESSION_IN_TURN;

    for (uint32_t looks = 0; at && left && looks < choice->looks; looks++) {
        if (chosen(nf, nf_session_at(t, at - 1), choice) == NF_FREES) {
            if (found == NF_NONE || nf_session_at(t, at - 1)->seen < nf_session_at(t, found)->seen)
                found = at - 1;
            left--;
        }
        at = nf_session_link(t, at - 1)->younger;
        at = at ? at : oldest;
        if (at == first)
            break;
    }
    return found;
}

/* The oldest: of a greedy host's, or else of all that are transitory; or else an assured one. */
static uint32_t of_all(const struct nf *nf, const struct choice *choice)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t greedys = of_greedy(nf, choice), at = t->order[NF_SESSION_TRANSITORY].oldest;

    if (greedys != NF_NONE)
        return greedys;
    for (uint32_t looks = 0; at && looks < choice->looks; looks++) {
        if (chosen(nf, nf_session_at(t, at - 1), choice) == NF_FREES)
            return at - 1;
        at = nf_session_link(t, at - 1)->younger;
    }
    return of_assured(nf, choice);
}

/* Of the host that sent `p`, or of its network, whichever has as many as it may. */
static uint32_t of_host(const struct nf *nf, const struct full *who, struct choice *choice)
{
    uint32_t looks = choice->looks;

    if (!who->network)
        return oldest_of(nf, who->slot, choice, &looks);
    choice->network = who->slot + 1;
    choice->most = 0; /* of whoever has most there, greedy or not */
    return of_all(nf, choice);
}

uint32_t nf_session_displaceable(const struct nf *nf, const struct nf_packet *p,
                                 const struct nf_session_need *need)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t limit = need && need->limit < t->capacity ? need->limit : t->capacity;
    struct choice choice = {.own = need || t->in_use[nf->index] >= t->max_flows[nf->index],
                            .need = need,
                            .most = limit / NF_SESSION_GREEDY_PART,
                            .looks = need ? NEED_LOOKS : NF_SESSION_VICTIMS};
    struct full who = full_host(nf, p);

    return who.slot != NF_NONE ? of_host(nf, &who, &choice) : of_all(nf, &choice);
}

/* ---- checking what came from a peer -------------------------------------------------------------- */

/* The address that a host is known by is that of its sessions. */
static bool is_host_of(const struct nf_sessions *t, uint32_t slot, uint32_t record)
{
    struct address address = address_of_session(t, nf_session_at(t, record));

    return nf_map_has(t->hosts, slot) &&
           memcmp(nf_map_key(t->hosts, slot), &address, t->addresses_at ? 16 : 4) == 0;
}

static int check_hosts_of_records(struct nf_check *c, const struct nf_sessions *t, uint32_t flows[],
                                  uint32_t of_network[])
{
    for (uint32_t record = 0; record < t->capacity; record++) {
        bool used = nf_session_is_used(t, record);
        uint32_t slot = *nf_session_host_of(t, record);

        nf_check_step(c);
        if (used && !is_host_of(t, slot, record))
            return nf_check_failed(c, "session %u is of host %u, expected the one that began it", record,
                                   slot);
        if (nf_list_has(t->of_hosts, record) != (used && nf_session_is_listed(nf_session_at(t, record))))
            return nf_check_failed(
                c, "session %u is in a host's list and may not be displaced, or the reverse", record);
        if (used)
            flows[slot]++;
        if (used && nf_session_at(t, record)->key[0].ipv6) {
            uint32_t network = network_of(t, nf_session_at(t, record));

            if (network == NF_NONE)
                return nf_check_failed(c, "session %u is of a network that is not there", record);
            of_network[network]++;
        }
    }
    return 0;
}

/* All of a host's list are its own. Returns how many, or an error. */
static int check_list(struct nf_check *c, const struct nf_sessions *t, uint32_t slot, uint64_t *seen)
{
    const struct nf_session_host *host = host_at(t, slot);
    int n = nf_list_check(c, t->of_hosts, &host->list, host->listed, seen);

    if (n < 0)
        return n;
    if ((uint32_t)n != host->listed)
        return nf_check_failed(c, "host %u has %d flows in its list, expected %u", slot, n, host->listed);
    for (uint32_t at = nf_list_first(&host->list); at != NF_NONE; at = nf_list_next(t->of_hosts, at))
        if (*nf_session_host_of(t, at) != slot)
            return nf_check_failed(c, "host %u has session %u in its list, which is another's", slot, at);
    return n;
}

static int check_ranks(struct nf_check *c, const struct nf_sessions *t)
{
    uint64_t *seen = nf_lists_seen(c, 1, t->ranks);
    uint32_t ranked = 0, wanted = 0;

    if (!seen)
        return FT_ENOMEM;
    for (uint32_t rank = 0; rank < NF_SESSION_RANKS; rank++) {
        int n = nf_list_check(c, t->ranks, &t->by_rank[rank], t->capacity, seen);

        if (n < 0)
            return n;
        for (uint32_t at = nf_list_first(&t->by_rank[rank]); at != NF_NONE; at = nf_list_next(t->ranks, at))
            if (!rank || !nf_map_has(t->hosts, at) || nf_session_rank(host_at(t, at)->listed) != rank)
                return nf_check_failed(c, "host %u is among those of rank %u, expected one that is", at,
                                       rank);
        ranked += (uint32_t)n;
    }
    for (uint32_t slot = 0; slot < t->capacity; slot++) {
        bool is = nf_map_has(t->hosts, slot) && host_at(t, slot)->listed;

        nf_check_step(c);
        if (nf_list_has(t->ranks, slot) != is)
            return nf_check_failed(c, "host %u has a rank and no flow to displace, or the reverse", slot);
        wanted += is;
    }
    return ranked == wanted
               ? 0
               : nf_check_failed(c, "%u hosts are in lists by rank, expected %u", ranked, wanted);
}

int nf_session_hosts_check(struct nf_check *c, const struct nf_sessions *t)
{
    struct nf_host_full full;
    uint32_t *flows;
    uint64_t *seen;
    int error;

    if (!t->hosts)
        return 0;
    memcpy(&full, &t->full[1], sizeof(full));
    if (t->full[0] & 1 || full.at > c->time || full.nf > t->nfs || full.ipv6 > 1 || full.network > full.ipv6)
        return nf_check_failed(c, "the host noted as full is of NF %u, or of a time that is not yet",
                               full.nf);
    flows = nf_check_memory(c, 0, 2ull * t->capacity * sizeof(*flows));
    seen = flows ? nf_lists_seen(c, 1, t->of_hosts) : NULL;
    if (!seen)
        return FT_ENOMEM;
    if ((error = check_hosts_of_records(c, t, flows, flows + t->capacity)))
        return error;
    for (uint32_t slot = 0; t->networks && (slot = nf_map_next(t->networks, slot)) != NF_NONE; slot++) {
        nf_check_step(c);
        if (!network_at(t, slot)->flows || network_at(t, slot)->flows != flows[t->capacity + slot])
            return nf_check_failed(c, "network %u has %u flows, expected %u", slot,
                                   network_at(t, slot)->flows, flows[t->capacity + slot]);
    }
    for (uint32_t slot = 0; (slot = nf_map_next(t->hosts, slot)) != NF_NONE; slot++) {
        nf_check_step(c);
        if (!host_at(t, slot)->flows || host_at(t, slot)->flows != flows[slot])
            return nf_check_failed(c, "host %u has %u flows, expected %u", slot, host_at(t, slot)->flows,
                                   flows[slot]);
        if ((error = check_list(c, t, slot, seen)) < 0)
            return error;
    }
    return check_ranks(c, t);
}
