/* SPDX-License-Identifier: Apache-2.0 */
/*
 * portscan: finds hosts that scan, by the Threshold Random Walk (Jung, Paxson, Berger, Balakrishnan: Fast
 * Portscan Detection Using Sequential Hypothesis Testing, IEEE S&P 2004). The first connection of a host on
 * the watched side to each destination has an outcome: it is answered by SYN-ACK, or by a reset or not at
 * all. Each outcome multiplies the likelihood ratio of the host; at the upper threshold it is a scanner, at
 * the lower one it is not, and its walk begins anew, so that who has behaved may still be found later.
 *
 * The ratio is kept as its logarithm to base 2 in units of 2^-24, an integer: no sum depends on a machine's
 * floating point.
 *
 * A full table: a host with a single outcome makes room for another, and so does its contact. So forged
 * sources, of which each is seen once, displace each other and nobody else. Where none of those that are
 * looked at has a single one, the host makes room that is likeliest to be no scanner. A scanner stays.
 *
 * State, of this instance alone, since all packets of a host come to one lane: hosts, and contacts (a host
 * and a destination), each with a timer.
 */
#include "nflib/nf.h"

#include <arpa/inet.h>
#include <string.h>

#define TICK        (NF_SECOND / 10)
#define DUE         32u
#define LOOK        16u       /* slots of a full table that are looked at for one that makes room */
#define PS_UNIT     (1 << 24) /* of a walk: 1.0 */
#define PS_FARTHEST (1 << 30) /* no walk gets there: a likelihood is at least a thousandth */

enum ps_action { PS_ALERT, PS_DROP };
enum ps_destinations { PS_ADDRESSES, PS_PORTS };

struct ps_config {
    uint32_t watch, destinations, action;
    uint32_t theta0, theta1, alpha, beta; /* per mille */
    uint32_t answer, remember, hold;      /* seconds */
    uint32_t max_hosts, max_contacts;
    int32_t success, failure, scanner, benign; /* read by check, from those: steps and thresholds */
};

/* By struct nf_addr. */
struct ps_host {
    uint64_t seen;    /* chain time of the last outcome */
    uint64_t scanner; /* since then it is one; 0: it is none */
    int32_t walk;
    uint32_t successes, failures; /* since it is known */
};

struct ps_pair {
    uint8_t source[16], destination[16]; /* struct nf_addr */
    uint16_t port, zero;                 /* port: of the destination, where ports are distinguished */
};
struct ps_contact {
    uint16_t sport, dport; /* of the first connection, network order */
    uint32_t seq;          /* of what is behind its SYN */
    uint32_t pending;      /* 1: it has no outcome yet */
};

struct ps {
    struct nf_map *hosts, *contacts;
    struct nf_wheel *hosts_end, *contacts_end; /* by the maps' slots */
    uint32_t scanners;                         /* hosts that are */
    uint32_t action;                           /* may be set, so it is state */
    uint32_t hosts_hand, contacts_hand;        /* slots that were looked at last for one that makes room */
};

#define PS_COUNTERS(X)                                                                                       \
    X(PS_CONTACTS, "contacts") /* first connections of a host to a destination */                            \
    X(PS_SUCCESSES, "successes")                                                                             \
    X(PS_REFUSED, "refused")             /* failures: answered by a reset */                                 \
    X(PS_UNANSWERED, "unanswered")       /* failures: not answered in time */                                \
    X(PS_SCANNERS, "scanners")           /* hosts found to be one */                                         \
    X(PS_BENIGN, "benign")               /* walks that ended at the other threshold */                       \
    X(PS_RELEASED, "released")           /* scanners that are none any more: `hold`, or an operator */       \
    X(PS_DROPPED, "dropped")             /* dropped: packets of scanners */                                  \
    X(PS_HIDDEN, "hidden")               /* dropped: what does not show whether it is a SYN */               \
    X(PS_CHECKSUM, "checksum")           /* SYNs and answers with a wrong checksum, which are none */        \
    X(PS_DISPLACED, "displaced")         /* hosts and contacts that have made room */                        \
    X(PS_HOSTS_FULL, "hosts_full")       /* outcomes of hosts that found no room */                          \
    X(PS_CONTACTS_FULL, "contacts_full") /* connections to destinations that found no room; they pass */
enum ps_counter { PS_COUNTERS(NF_COUNTER) };

static const char *const action_names[] = {"alert", "drop", NULL};
static const char *const destination_names[] = {"addresses", "ports", NULL};
static const char *const watch_names[] = {"outside", "inside", NULL}; /* as enum nf_sides */
static const char *const ps_counters[] = {PS_COUNTERS(NF_COUNTER_NAME) NULL};

static const struct ps_host *ps_host_at(const struct ps *ps, uint32_t slot)
{
    return nf_map_value(ps->hosts, slot);
}

static const struct ps_contact *ps_contact_at(const struct ps *ps, uint32_t slot)
{
    return nf_map_value(ps->contacts, slot);
}

/* ---- what is believed of a packet --------------------------------------------------------------------- */

/*
 * The flags of TCP are not to be seen, or a fragment may change them behind their first reader: a header in
 * pieces, or that another fragment lies over (RFC 1858, RFC 3128); one behind headers that are not read.
 */
static bool ps_hides_flags(const struct nf_packet *p)
{
    const uint8_t *ip = p->data + p->l3;

    if (p->flags & NF_P_IPV6 && nf_ipv6_is_extension(p->proto))
        return true;
    if (p->proto != NF_PROTO_TCP || !(p->flags & NF_P_FRAGMENT))
        return false;
    if (!(p->flags & NF_P_LATER))
        return !(p->flags & NF_P_L4);
    return p->flags & NF_P_IPV4 ? (ntohs(nf_get16(ip + 6)) & 0x1fff) == 1
                                : ntohs(nf_get16(p->data + p->l4 - 6)) >> 3 == 1;
}

/* As far as headers show: a checksum covers all of a datagram. */
static bool ps_is_right(const struct nf *nf, const struct nf_packet *p)
{
    bool whole = !(p->flags & NF_P_FRAGMENT) && p->payload == p->l4 + p->l4_len;

    if (!whole || nf_packet_checksum_right(p))
        return true;
    nf_count(nf, PS_CHECKSUM, 1);
    return false;
}

/* ---- making ---- */

static uint64_t ps_arena(const void *c)
{
    const struct ps_config *config = c;

    return nf_map_bytes(config->max_hosts, sizeof(struct nf_addr), sizeof(struct ps_host)) +
           nf_map_bytes(config->max_contacts, sizeof(struct ps_pair), sizeof(struct ps_contact)) +
           nf_wheel_bytes(config->max_hosts) + nf_wheel_bytes(config->max_contacts);
}

static bool ps_make(struct nf *nf)
{
    const struct ps_config *config = nf->config;
    struct ps *ps = nf->state;

    ps->hosts = nf_map_make(nf, config->max_hosts, sizeof(struct nf_addr), sizeof(struct ps_host));
    ps->contacts = nf_map_make(nf, config->max_contacts, sizeof(struct ps_pair), sizeof(struct ps_contact));
    ps->hosts_end = nf_wheel_make(nf, config->max_hosts, TICK);
    ps->contacts_end = nf_wheel_make(nf, config->max_contacts, TICK);
    ps->action = config->action;
    nf_constant(nf, ps, offsetof(struct ps, scanners));
    if (!ps->hosts || !ps->contacts || !ps->hosts_end || !ps->contacts_end)
        return false;
    nf_table_add_map(nf, "hosts", ps->hosts);
    nf_table_add_map(nf, "contacts", ps->contacts);
    return true;
}

static enum nf_scope ps_scope(const void *config)
{
    return ((const struct ps_config *)config)->watch == NF_SIDES_OUTSIDE ? NF_OF_OUTSIDE : NF_OF_INSIDE;
}

/* ---- full tables ---- */

static bool host_makes_room(const struct ps *ps, uint32_t slot)
{
    const struct ps_host *host = ps_host_at(ps, slot);

    return !host->scanner && host->successes + host->failures <= 1;
}

/* One that may still be answered does not. */
static bool contact_makes_room(const struct ps *ps, uint32_t slot)
{
    const struct ps_pair *pair = nf_map_key(ps->contacts, slot);
    uint32_t host = nf_map_find(ps->hosts, pair->source);

    return !ps_contact_at(ps, slot)->pending && (host == NF_NONE || host_makes_room(ps, host));
}

static void forget_host(const struct nf *nf, uint32_t slot)
{
    struct ps *ps = nf->state;

    if (ps_host_at(ps, slot)->scanner) {
        *NF_EDIT_WORD(nf, &ps->scanners) -= 1;
        nf_count(nf, PS_RELEASED, 1);
    }
    nf_wheel_cancel(nf, ps->hosts_end, slot);
    nf_map_remove(nf, ps->hosts, slot);
}

static void forget_contact(const struct nf *nf, uint32_t slot)
{
    struct ps *ps = nf->state;

    nf_wheel_cancel(nf, ps->contacts_end, slot);
    nf_map_remove(nf, ps->contacts, slot);
}

/* Slots have their turn one after the other, from a hand on. */
static uint32_t slot_behind(const struct nf_map *map, uint32_t slot)
{
    return slot + 1 < nf_map_capacity(map) ? slot + 1 : 0;
}

static void make_room_of_contacts(const struct nf *nf)
{
    struct ps *ps = nf->state;
    uint32_t slot = ps->contacts_hand;

    for (unsigned i = 0; i < LOOK; i++) {
        slot = slot_behind(ps->contacts, slot);
        if (nf_map_has(ps->contacts, slot) && contact_makes_room(ps, slot)) {
            forget_contact(nf, slot);
            nf_count(nf, PS_DISPLACED, 1);
            break;
        }
    }
    *NF_EDIT_WORD(nf, &ps->contacts_hand) = slot;
}

/* Of two hosts: the one that is likelier not to scan, or has been silent for longer. */
static bool goes_before(const struct ps_host *a, const struct ps_host *b)
{
    return a->walk != b->walk ? a->walk < b->walk : a->seen < b->seen;
}

static void make_room_of_hosts(const struct nf *nf)
{
    struct ps *ps = nf->state;
    uint32_t slot = ps->hosts_hand, found = NF_NONE;

    for (unsigned i = 0; i < LOOK; i++) {
        slot = slot_behind(ps->hosts, slot);
        if (!nf_map_has(ps->hosts, slot) || ps_host_at(ps, slot)->scanner)
            continue;
        if (host_makes_room(ps, slot)) {
            found = slot;
            break;
        }
        if (found == NF_NONE || goes_before(ps_host_at(ps, slot), ps_host_at(ps, found)))
            found = slot;
    }
    *NF_EDIT_WORD(nf, &ps->hosts_hand) = slot;
    if (found == NF_NONE)
        return;
    forget_host(nf, found);
    nf_count(nf, PS_DISPLACED, 1);
}

/* ---- hosts ---- */

static uint32_t host_of(const struct nf *nf, const uint8_t address[16])
{
    struct ps *ps = nf->state;
    uint32_t slot = nf_map_find(ps->hosts, address);

    if (slot == NF_NONE && (slot = nf_map_add(nf, ps->hosts, address)) == NF_NONE) {
        make_room_of_hosts(nf);
        slot = nf_map_add(nf, ps->hosts, address);
    }
    if (slot == NF_NONE)
        nf_count(nf, PS_HOSTS_FULL, 1);
    return slot;
}

/* One step of a host's walk. What is known of a scanner is known: the rest of its outcomes is not looked at.
 */
static void take_step(const struct nf *nf, const uint8_t address[16], bool success, uint64_t now)
{
    const struct ps_config *config = nf->config;
    struct ps *ps = nf->state;
    uint32_t slot = host_of(nf, address);

    if (slot == NF_NONE || ps_host_at(ps, slot)->scanner)
        return;
    struct ps_host *host = NF_EDIT_VALUE(nf, struct nf_addr, ps_host_at(ps, slot));
    host->seen = now;
    host->successes += success;
    host->failures += !success;
    host->walk += success ? config->success : config->failure;
    if (host->walk >= config->scanner) {
        host->scanner = now;
        *NF_EDIT_WORD(nf, &ps->scanners) += 1;
        nf_count(nf, PS_SCANNERS, 1);
    } else if (host->walk <= config->benign) {
        host->walk = 0;
        nf_count(nf, PS_BENIGN, 1);
    }
    nf_wheel_set(nf, ps->hosts_end, slot,
                 now + (host->scanner ? config->hold : config->remember) * NF_SECOND);
}

/* ---- contacts ---- */

static void end_contact(const struct nf *nf, uint32_t slot, enum ps_counter how, uint64_t now)
{
    const struct ps_config *config = nf->config;
    struct ps *ps = nf->state;
    const struct ps_pair *pair = nf_map_key(ps->contacts, slot);

    NF_EDIT(nf, ps_contact_at(ps, slot))->pending = 0;
    nf_wheel_set(nf, ps->contacts_end, slot, now + config->remember * NF_SECOND);
    nf_count(nf, how, 1);
    take_step(nf, pair->source, how == PS_SUCCESSES, now);
}

static void begin_contact(const struct nf *nf, const struct ps_pair *pair, const struct nf_packet *p,
                          uint64_t now)
{
    const struct ps_config *config = nf->config;
    struct ps *ps = nf->state;
    uint32_t slot = nf_map_find(ps->contacts, pair);

    if (slot != NF_NONE) {
        const struct ps_contact *contact = ps_contact_at(ps, slot);

        /* A SYN with another number asks anew in the first connection. */
        if (contact->pending && contact->sport == p->sport && contact->dport == p->dport)
            NF_EDIT(nf, contact)->seq = nf_packet_seq(p) + 1;
        return;
    }
    slot = nf_map_add(nf, ps->contacts, pair);
    if (slot == NF_NONE) {
        make_room_of_contacts(nf);
        slot = nf_map_add(nf, ps->contacts, pair);
    }
    if (slot == NF_NONE) {
        nf_count(nf, PS_CONTACTS_FULL, 1);
        return;
    }
    *NF_EDIT(nf, ps_contact_at(ps, slot)) =
        (struct ps_contact){.sport = p->sport, .dport = p->dport, .seq = nf_packet_seq(p) + 1, .pending = 1};
    nf_wheel_set(nf, ps->contacts_end, slot, now + config->answer * NF_SECOND);
    nf_count(nf, PS_CONTACTS, 1);
}

/* ---- packets ---- */

/* `answer`: the packet's source is the contact's destination. */
static struct ps_pair pair_of(const struct nf *nf, const struct nf_packet *p, bool answer)
{
    bool ipv6 = p->flags & NF_P_IPV6,
         ports = ((const struct ps_config *)nf->config)->destinations == PS_PORTS;
    struct nf_addr from = nf_packet_from(p, ipv6), to = nf_packet_to(p, ipv6);
    struct ps_pair pair = {.port = !ports ? 0 : answer ? p->sport : p->dport};

    memcpy(pair.source, answer ? &to : &from, sizeof(pair.source));
    memcpy(pair.destination, answer ? &from : &to, sizeof(pair.destination));
    return pair;
}

static bool is_scanner(const struct ps *ps, const struct nf_packet *p)
{
    struct nf_addr source = nf_packet_from(p, p->flags & NF_P_IPV6);
    uint32_t slot = nf_map_find(ps->hosts, &source);

    return slot != NF_NONE && ps_host_at(ps, slot)->scanner;
}

/* Of a flow that the other side began, as far as the chain keeps flows: whoever forges a host's source could
 * else have the answers dropped that others want from it. */
static bool is_wanted(const struct nf_packet *p)
{
    return p->session && p->flow & NF_FLOW_REPLY;
}

/* From the watched side. */
static void look_at_host(const struct nf *nf, struct nf_packet *p, bool tcp, uint64_t now)
{
    const struct ps *ps = nf->state;

    if (ps->scanners && is_scanner(ps, p)) {
        if (ps->action == PS_DROP && !is_wanted(p))
            nf_drop(nf, p, PS_DROPPED);
    } else if (ps_hides_flags(p)) {
        nf_drop(nf, p, PS_HIDDEN);
    } else if (tcp && nf_tcp_is_request(p->tcp_flags) && ps_is_right(nf, p)) {
        struct ps_pair pair = pair_of(nf, p, false);

        begin_contact(nf, &pair, p, now);
    }
}

/* It acknowledges the contact's SYN, as the host itself wants it (RFC 9293, 3.10.7.3). */
static bool is_answer(const struct ps_contact *contact, const struct nf_packet *p)
{
    return contact->pending && contact->sport == p->dport && contact->dport == p->sport &&
           p->tcp_flags & NF_TCP_ACK && nf_packet_ack(p) == contact->seq;
}

/* From the other side: what decides a contact is a SYN-ACK or a reset that answers the first connection's
 * SYN, whole and without data, so that its checksum decides whether the host takes it. */
static void look_at_answer(const struct nf *nf, const struct nf_packet *p, uint64_t now)
{
    const struct ps *ps = nf->state;
    struct ps_pair pair = pair_of(nf, p, true);
    uint32_t slot = nf_map_find(ps->contacts, &pair);

    if (slot != NF_NONE && is_answer(ps_contact_at(ps, slot), p) && !(p->flags & NF_P_FRAGMENT) &&
        p->payload == p->l4 + p->l4_len && ps_is_right(nf, p))
        end_contact(nf, slot, p->tcp_flags & NF_TCP_RST ? PS_REFUSED : PS_SUCCESSES, now);
}

static void ps_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct ps_config *config = nf->config;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        bool tcp = p->proto == NF_PROTO_TCP && (p->flags & (NF_P_L4 | NF_P_LATER)) == NF_P_L4;

        if (!(p->flags & (NF_P_IPV4 | NF_P_IPV6_READ)))
            continue;
        if (nf_sides_has(config->watch, p)) {
            look_at_host(nf, p, tcp, now);
        } else if (tcp && p->tcp_flags & (NF_TCP_SYN | NF_TCP_RST) && !nf_tcp_is_request(p->tcp_flags) &&
                   !nf_tcp_is_impossible(p->tcp_flags)) {
            look_at_answer(nf, p, now);
        }
    }
}

static void ps_timers(struct nf *nf, uint64_t now)
{
    struct ps *ps = nf->state;
    uint32_t due[DUE], n = nf_wheel_due(nf, ps->contacts_end, now, due, DUE);

    for (uint32_t i = 0; i < n; i++) {
        if (ps_contact_at(ps, due[i])->pending)
            end_contact(nf, due[i], PS_UNANSWERED, now);
        else
            nf_map_remove(nf, ps->contacts, due[i]);
    }
    n = nf_wheel_due(nf, ps->hosts_end, now, due, DUE);
    for (uint32_t i = 0; i < n; i++)
        forget_host(nf, due[i]);
}

/* ---- configuration ---- */

/* Logarithm to base 2 of a / b in UNITs, by squaring: 1 <= a, b < 2^16. */
static int32_t log_of(uint32_t a, uint32_t b)
{
    uint64_t x = ((uint64_t)a << 31) / b; /* 1.0 is 2^31 */
    int32_t log = 0;

    for (; x >= 2ull << 31; x >>= 1)
        log += PS_UNIT;
    for (; x < 1ull << 31; x <<= 1)
        log -= PS_UNIT;
    for (int32_t bit = PS_UNIT / 2; bit; bit /= 2) {
        x = x * x >> 31;
        if (x >= 2ull << 31) {
            x >>= 1;
            log += bit;
        }
    }
    return log;
}

static int ps_check(void *c, struct ft_fault *fault)
{
    struct ps_config *config = c;

    if (config->theta1 >= config->theta0)
        return ft_fail(fault, FT_EINVAL, "theta1 is %u, expected less than theta0, which is %u",
                       config->theta1, config->theta0);
    if (config->alpha >= config->beta)
        return ft_fail(fault, FT_EINVAL, "alpha is %u, expected less than beta, which is %u", config->alpha,
                       config->beta);
    if (config->answer > config->remember)
        return ft_fail(fault, FT_EINVAL, "answer is %u, expected at most remember, which is %u",
                       config->answer, config->remember);
    config->success = log_of(config->theta1, config->theta0);
    config->failure = log_of(1000 - config->theta1, 1000 - config->theta0);
    config->scanner = log_of(config->beta, config->alpha);
    config->benign = log_of(1000 - config->beta, 1000 - config->alpha);
    return 0;
}

static bool ps_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
{
    const struct ps_config *from = was->config, *to = nf->config;
    struct ps *ps = nf->state;

    if (!was->same) {
        ft_fail(fault, FT_EINVAL, "portscan: its hosts would lie in memory in another way");
        return false;
    }
    if (to->action != from->action) /* else what an operator has set stays */
        ps->action = to->action;
    return true;
}

/* ---- for operators ---- */

static void show_host(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    const struct ps *ps = nf->state;
    const struct ps_host *host = ps_host_at(ps, slot);
    char text[NF_ADDR_TEXT];

    nf_row(out);
    nf_row_text(out, "host", "%s", nf_addr_text(nf_map_key(ps->hosts, slot), text));
    nf_row_text(out, "state", "%s", host->scanner ? "scanner" : "undecided");
    nf_row_u64(out, "successes", host->successes);
    nf_row_u64(out, "failures", host->failures);
    nf_row_text(out, "log2_ratio", "%.2f", (double)host->walk / PS_UNIT);
    nf_row_u64(out, "last_ns", host->seen);
}

static bool ps_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    return nf_show_slots(nf, ((const struct ps *)nf->state)->hosts, 0, out, cursor, show_host);
}

static int ps_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct ps *ps = nf->state;
    bool drop = strcmp(value, "drop") == 0;

    (void)now;
    if (strcmp(key, "action") != 0)
        return ft_fail(fault, FT_ENOENT, "%s: no such setting, expected action", key);
    if (!drop && strcmp(value, "alert") != 0)
        return ft_fail(fault, FT_EINVAL, "action=%s: expected alert or drop", value);
    *NF_EDIT(nf, &ps->action) = drop ? PS_DROP : PS_ALERT;
    return FT_OK;
}

/* Hosts alone: a destination that a host has been to stays no first one. */
static int ps_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct ps *ps = nf->state;
    struct nf_addr address;
    uint32_t slot;

    (void)now;
    if (!key) {
        for (slot = 0; (slot = nf_map_next(ps->hosts, slot)) != NF_NONE; slot++)
            forget_host(nf, slot);
        return FT_OK;
    }
    if (!nf_addr_parse(key, &address))
        return ft_fail(fault, FT_EINVAL, "%s: expected the address of a host", key);
    slot = nf_map_find(ps->hosts, &address);
    if (slot == NF_NONE)
        return ft_fail(fault, FT_ENOENT, "%s: no such host", key);
    forget_host(nf, slot);
    return FT_OK;
}

static int ps_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct ps *ps = nf->state;
    uint32_t scanners = 0;

    for (uint32_t slot = 0; slot < nf_map_capacity(ps->hosts); slot++) {
        bool has = nf_map_has(ps->hosts, slot);
        int32_t walk = has ? ps_host_at(ps, slot)->walk : 0;

        nf_check_step(c);
        if (has != nf_wheel_has(ps->hosts_end, slot))
            return nf_check_failed(c, "host %u and its timer are not both there, expected both or none",
                                   slot);
        if (walk < -PS_FARTHEST || walk > PS_FARTHEST)
            return nf_check_failed(c, "host %u has walked to %d, expected at most %d either way", slot, walk,
                                   PS_FARTHEST);
        scanners += has && ps_host_at(ps, slot)->scanner;
    }
    for (uint32_t slot = 0; slot < nf_map_capacity(ps->contacts); slot++) {
        nf_check_step(c);
        if (nf_map_has(ps->contacts, slot) != nf_wheel_has(ps->contacts_end, slot))
            return nf_check_failed(c, "contact %u and its timer are not both there, expected both or none",
                                   slot);
    }
    if (ps->hosts_hand >= nf_map_capacity(ps->hosts) || ps->contacts_hand >= nf_map_capacity(ps->contacts))
        return nf_check_failed(
            c, "the places at which room is looked for are %u and %u, expected below %u and %u",
            ps->hosts_hand, ps->contacts_hand, nf_map_capacity(ps->hosts), nf_map_capacity(ps->contacts));
    if (ps->scanners != scanners || ps->action > PS_DROP)
        return nf_check_failed(c, "%u hosts are scanners and the action is %u, expected %u and at most %u",
                               ps->scanners, ps->action, scanners, PS_DROP);
    return 0;
}

/* ---- the module ---- */

static const struct nf_param ps_params[] = {
    NF_ONE_OF(struct ps_config, watch, watch_names, "outside", "the side whose hosts are looked at"),
    NF_ONE_OF(
        struct ps_config, destinations, destination_names, "addresses",
        "what a host's first connection is told by: addresses find who tries many hosts, ports also who "
        "tries many ports of one"),
    NF_ONE_OF(struct ps_config, action, action_names, "alert", "what becomes of a scanner's packets",
              .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct ps_config, theta0, NF_U32, 1, 999, "800",
              "per mille of first connections that succeed, of a host that does not scan"),
    NF_NUMBER(struct ps_config, theta1, NF_U32, 1, 999, "200", "the same of a host that scans"),
    NF_NUMBER(struct ps_config, alpha, NF_U32, 1, 999, "10",
              "per mille of hosts that do not scan which may be taken for scanners"),
    NF_NUMBER(struct ps_config, beta, NF_U32, 1, 999, "990", "per mille of scanners that are to be found"),
    NF_NUMBER(struct ps_config, answer, NF_SECONDS, 1, 3600, "10",
              "seconds until a connection that is not answered has failed", .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct ps_config, remember, NF_SECONDS, 1, NF_TIMEOUT_MAX, "3600",
              "seconds for which a destination is known to a host, and a host without outcomes",
              .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct ps_config, hold, NF_SECONDS, 1, NF_TIMEOUT_MAX, "3600",
              "seconds for which a scanner is one", .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct ps_config, max_hosts, NF_U32, 1, 1u << 22, "65536", "hosts with outcomes at most"),
    NF_NUMBER(struct ps_config, max_contacts, NF_U32, 1, 1u << 23, "262144",
              "pairs of a host and a destination at most"),
    {0},
};

static const struct nf_module ps_module = {
    .name = "portscan",
    .version = 2,
    .summary = "finds hosts that scan by how their first connections end",
    .reads = NF_READS_HEADERS,
    .scope = ps_scope,
    .params = ps_params,
    .config_size = sizeof(struct ps_config),
    .counters = ps_counters,
    .check = ps_check,
    .state_size = sizeof(struct ps),
    .arena = ps_arena,
    .make = ps_make,
    .process = ps_process,
    .timers = ps_timers,
    .show = ps_show,
    .set = ps_set,
    .clear = ps_clear,
    .check_state = ps_check_state,
    .carry = ps_carry,
};
NF_MODULE(ps_module)
