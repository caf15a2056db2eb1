/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the sessions of packets, before the NFs get them: first, for the whole burst, what writes nothing
 * (hash, prefetch); then side by side the rest. Owns what is known of the burst's packets, in memory of the
 * process, until the next burst; nflib/session/burst.c and NFs read it. At its end: how a packet that was
 * recorded by its session is made again.
 */
#include "nflib/session/index.h"
#include "ftcore/base/cpu.h"
#include "ftcore/base/plant.h"
#include "nflib/state/watch.h"

#include <string.h>

/* ---- one packet --------------------------------------------------------------------------------- */

/* From the side that is not the connection's originator; `reply`: it has the session's second key. */
static inline bool comes_back(const struct nf_session *s, bool reply)
{
    return reply ^ ((s->key[1].own[0] & NF_SESSION_TURNED) != 0);
}

/* What a packet of TCP does to its session's state. Flags that no TCP sends change nothing. */
static void follow_tcp(struct nf_sessions_lane *lane, struct nf_packet *p, struct nf_session *s, uint64_t now)
{
    struct nf_session_look *look = &lane->look[p - lane->packets];
    uint8_t was = s->key[0].own[0], class;

    look->tcp_changed = false;
    if (nf_tcp_is_over(was) && nf_tcp_is_request(p->tcp_flags)) {
        p->flow |= NF_FLOW_AGAIN; /* perhaps from the other side; see begin_again */
        lane->noted = true;
        return;
    }
    if (ft_likely(!nf_tcp_is_impossible(p->tcp_flags)))
        s->key[0].own[0] = nf_tcp_next(was, p->tcp_flags, comes_back(s, p->flow & NF_FLOW_REPLY));
    look->tcp_was = was;
    look->tcp_changed = s->key[0].own[0] != was;
    class = nf_timeout_class(NF_PROTO_TCP, s->key[0].own[0]);
    if (ft_likely(class == s->key[0].own[1]))
        return;
    nf_session_reclass(&lane->nfs[0], lane->burst.table, s, class, now);
}

void nf_session_disbelieve(const struct nf *nf, const struct nf_packet *p)
{
    struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    struct nf_session_look *look = &lane->look[p - lane->packets];
    struct nf_session *s;
    uint8_t class;

    if (!p->session || p->proto != NF_PROTO_TCP || p->flow & NF_FLOW_SETTLED ||
        (p->flags & (NF_P_L4 | NF_P_LATER)) != NF_P_L4 || nf_session_flags(p->session) & NF_SESSION_NEW ||
        !look->tcp_changed)
        return;
    look->tcp_changed = false;
    s = ft_edit_in_line(lane->nfs[0].region, p->session, sizeof(*s));
    s->key[0].own[0] = look->tcp_was;
    class = nf_timeout_class(NF_PROTO_TCP, look->tcp_was);
    if (class != s->key[0].own[1])
        nf_session_reclass(&lane->nfs[0], lane->burst.table, s, class, lane->now);
}

/* A packet that nf_assures. */
static __attribute__((noinline)) void assure(struct nf_sessions_lane *lane, struct nf_session *s,
                                             uint64_t now)
{
    s->key[0].own[0]++;
    nf_session_reclass(&lane->nfs[0], lane->burst.table, s,
                       nf_timeout_class(s->key[0].proto, s->key[0].own[0]), now);
}

/* One more packet of a session: its time, and TCP's state or how far it is assured. */
static void touch_session(struct nf_sessions_lane *lane, struct nf_packet *p, const struct nf_session *found,
                          uint64_t now)
{
    struct nf_session *s = ft_edit_in_line(lane->nfs[0].region, found, sizeof(*found));

    s->seen = now;
    if (p->proto == NF_PROTO_TCP && (p->flags & (NF_P_L4 | NF_P_LATER)) == NF_P_L4)
        follow_tcp(lane, p, s, now);
    else if (!nf_proto_is_of_icmp(p->proto) && p->proto != NF_PROTO_TCP &&
             nf_assures(s->key[0].own[0], p->flow & NF_FLOW_REPLY))
        assure(lane, s, now);
}

static void look_at_key(struct nf_sessions_lane *lane, struct nf_packet *p, uint64_t now)
{
    const struct nf_session_look *look = &lane->look[p - lane->packets];
    const struct nf_addresses *addresses = look->key.ipv6 ? &lane->addresses[p - lane->packets] : NULL;
    uint32_t which;
    const struct nf_session *s =
        nf_session_find(lane->burst.table, &look->key, addresses, look->hash, &which);

    NF_WATCH(found, lane->burst.table, s ? &s->key[0] : &look->key,
             s ? nf_session_number(lane->burst.table, s) : NF_NONE);
    if (!s)
        return;
    p->session = s;
    p->flow |= which ? NF_FLOW_REPLY : 0;
    touch_session(lane, p, s, now);
}

/* Not so of ICMP but echo: what is in the place of an identifier is none. */
static bool quoted_has_ends(const struct nf_packet *p, const struct nf_inner *in)
{
    uint8_t type = p->data[in->l4];

    return in->proto == NF_PROTO_ICMP     ? nf_icmp_is_echo(type)
           : in->proto == NF_PROTO_ICMPV6 ? nf_icmpv6_is_echo(type)
                                          : true;
}

/* An error goes to the source of the packet that it quotes (RFC 792; RFC 4443, 3.1). To anybody else it is
 * about no flow: whoever knows the ends of one could reach every host with it. */
static bool goes_to_sender(const struct nf_packet *p, const struct nf_inner *quoted)
{
    return quoted->addresses ? memcmp(nf_packet_ipv6_addresses(p) + 16, quoted->addresses, 16) == 0
                             : p->daddr == quoted->saddr;
}

/* The one that an ICMP error quotes has left on the side that the error comes from: looked up is an answer to
 * it. */
static void look_at_quoted(struct nf_sessions_lane *lane, const struct nf_packet *p,
                           struct nf_session_look *look)
{
    const struct nf_sessions *t = lane->burst.table;
    struct nf_addresses addresses;
    struct nf_inner in;
    struct nf_tuple key;
    uint32_t which;

    nf_packet_inner(p, &in);
    if (!quoted_has_ends(p, &in) || !goes_to_sender(p, &in))
        return;
    key = (struct nf_tuple){.saddr = in.daddr,
                            .daddr = in.saddr,
                            .sport = in.dport,
                            .dport = in.sport,
                            .proto = in.proto,
                            .side = p->side & 1,
                            .ipv6 = in.addresses != NULL};
    if (in.addresses) {
        memcpy(addresses.source, in.addresses + 16, 16);
        memcpy(addresses.destination, in.addresses, 16);
        nf_session_hash_addresses(t, &addresses, &key);
    }
    look->quoted =
        nf_session_find(t, &key, in.addresses ? &addresses : NULL, nf_session_hash(t, &key), &which);
    look->quoted_reply = look->quoted && which;
}

/* ---- fragments --------------------------------------------------------------------------------- */

static struct nf_datagram datagram_of(const struct nf_packet *p)
{
    struct nf_datagram d = {
        .saddr = p->saddr, .daddr = p->daddr, .id = p->frag_id, .proto = p->proto, .side = p->side};

    if (p->flags & NF_P_IPV6_READ) {
        d.side |= 2;
        d.id_ipv6 = nf_get32(p->data + p->l4 - 4); /* of the fragment header, which is the last one */
        memcpy(&d.addresses, nf_packet_ipv6_addresses(p), sizeof(d.addresses));
    }
    return d;
}

const struct nf_session *nf_session_of_rest(const struct nf_sessions_lane *lane,
                                            const struct nf_packet *first, bool *reply)
{
    const struct nf_session *quoted = nf_session_quoted(&lane->nfs[0], first, reply);

    if (quoted)
        return quoted;
    *reply = first->flow & NF_FLOW_REPLY;
    return first->session;
}

/* The first one is in this burst. */
static void follow_first(struct nf_sessions_lane *lane, struct nf_packet *p, const struct nf_packet *first,
                         uint64_t now)
{
    bool reply;

    p->session = nf_session_of_rest(lane, first, &reply);
    p->flow |= reply ? NF_FLOW_REPLY : 0;
    if (p->session && p->session != first->session) /* it is not displaced in this burst */
        touch_session(lane, p, p->session, now);
}

/* Of a datagram's fragments in this burst, the last first one before packets[i]. */
static const struct nf_packet *first_before(const struct nf_sessions_lane *lane,
                                            struct nf_packet *const packets[], uint32_t i)
{
    const struct nf_datagram *datagram = &lane->datagram[packets[i] - lane->packets];

    while (i-- > 0)
        if (nf_session_is_first(packets[i]) &&
            memcmp(&lane->datagram[packets[i] - lane->packets], datagram, sizeof(*datagram)) == 0)
            return packets[i];
    return NULL;
}

/* True: the first one has passed, and its session is the packet's. One that has ended since is no one's. */
static bool look_at_noted(struct nf_sessions_lane *lane, struct nf_packet *p, uint64_t now)
{
    const struct nf_sessions *t = lane->burst.table;
    const struct nf_datagram *datagram = &lane->datagram[p - lane->packets];
    uint32_t slot = t->fragments ? nf_map_find(t->fragments, datagram) : NF_NONE;
    const struct nf_noted *noted;
    const struct nf_session *s;

    if (slot == NF_NONE)
        return false;
    noted = nf_map_value(t->fragments, slot);
    s = noted->record == NF_NONE ? NULL : nf_session_at(t, noted->record);
    if (s && (!nf_session_is_used(t, noted->record) || s->serial != noted->serial))
        return false;
    p->flow |= NF_FLOW_LATER;
    if (!s)
        return false;
    p->session = s;
    p->flow |= noted->reply ? NF_FLOW_REPLY : 0;
    touch_session(lane, p, s, now);
    return true;
}

/* ---- a side's packets -------------------------------------------------------------------------- */

/* Writes the key as two words, and prefetches its bucket. */
static inline void begin_look(const struct nf_sessions *t, const struct nf_packet *p,
                              struct nf_session_look *look)
{
    const uint8_t *fields = (const uint8_t *)p;
    uint64_t words[2] = {nf_get64(fields + offsetof(struct nf_packet, saddr)),
                         nf_get32(fields + offsetof(struct nf_packet, sport)) | (uint64_t)p->proto << 32 |
                             (uint64_t)p->side << 40};

    memcpy(&look->key, words, sizeof(words));
    look->hash = nf_key_hash(words, sizeof(words), t->seed);
    look->bucket = nf_session_bucket_at(t, nf_key_bucket(look->hash, t->buckets));
    ft_prefetch_line(look->bucket);
}

/* The same for those of IPv6, with their addresses; apart, so that IPv4 does not pay. */
static void begin_look_ipv6(struct nf_sessions_lane *lane, const struct nf_packet *p)
{
    const struct nf_sessions *t = lane->burst.table;
    struct nf_session_look *look = &lane->look[p - lane->packets];
    struct nf_addresses *addresses = &lane->addresses[p - lane->packets];

    memcpy(addresses, nf_packet_ipv6_addresses(p), sizeof(*addresses));
    look->key = (struct nf_tuple){
        .sport = p->sport, .dport = p->dport, .proto = p->proto, .side = p->side & 1, .ipv6 = 1};
    nf_session_hash_addresses(t, addresses, &look->key);
    nf_session_mark_error(p, &look->key);
    look->hash = nf_session_hash(t, &look->key);
    look->bucket = nf_session_bucket_at(t, nf_key_bucket(look->hash, t->buckets));
    ft_prefetch_line(look->bucket);
}

static __attribute__((noinline)) void begin_looks_ipv6(struct nf_sessions_lane *lane,
                                                       struct nf_packet *const packets[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!(packets[i]->flags & NF_P_IPV6_READ))
            continue;
        packets[i]->flow = NF_FLOW_KEYED;
        begin_look_ipv6(lane, packets[i]);
    }
}

/* The record that the key's tag leads to is its session nearly always: it is prefetched, all of its lines,
 * since NFs touch most of them. */
static inline void guess_record(const struct nf_sessions *t, struct nf_session_look *look)
{
    uint32_t hits = ft_match_tags(look->bucket->tag, nf_key_tag(look->hash)), ref;
    const uint8_t *record;

    look->guess = NULL;
    look->tcp_changed = false; /* of an earlier burst's packet */
    if (ft_unlikely(!hits))
        return;
    ref = look->bucket->ref[__builtin_ctz(hits) / 2];
    look->guess = nf_session_at(t, ref >> 1);
    look->ref = ref;
    record = (const uint8_t *)look->guess;
    ft_prefetch_line(record);
    for (uint32_t at = FT_LINE; ft_unlikely(at < t->stride); at += FT_LINE)
        ft_prefetch_line(record + at);
}

_Static_assert(NF_FLOW_REPLY == 1, "which of a session's keys it is that a packet has");

/* A packet whose guess was right. */
static inline void look_at_guess(struct nf_sessions_lane *lane, struct nf_packet *p,
                                 const struct nf_session_look *look, uint64_t now)
{
    struct nf_session *s = ft_edit_in_line(lane->nfs[0].region, look->guess, sizeof(*s));
    uint8_t flow = (uint8_t)(NF_FLOW_KEYED | (look->ref & 1));

    NF_WATCH(found, lane->burst.table, &s->key[0], nf_session_number(lane->burst.table, s));
    p->session = s;
    s->seen = now;
    if (p->proto == NF_PROTO_UDP) {
        p->flow = flow | NF_FLOW_SETTLED;
        if (ft_unlikely(nf_assures(s->key[0].own[0], look->ref & 1)))
            assure(lane, s, now);
        return;
    }
    if (p->proto == NF_PROTO_TCP &&
        nf_tcp_stays(s->key[0].own[0], p->tcp_flags, comes_back(s, look->ref & 1))) {
        p->flow = flow | NF_FLOW_SETTLED;
        return;
    }
    p->flow = flow;
    if (p->proto == NF_PROTO_TCP)
        follow_tcp(lane, p, s, now);
}

/* Any packet with a key. */
static void look_at_any(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t i,
                        uint64_t now)
{
    struct nf_packet *p = packets[i];
    struct nf_session_look *look = &lane->look[p - lane->packets];

    if (p->flags & (NF_P_FRAGMENT | NF_P_ICMP_ERROR)) {
        lane->noted = true;
        lane->datagram[p - lane->packets] = datagram_of(p);
        look->first = p->flags & NF_P_LATER ? first_before(lane, packets, i) : NULL;
        look->quoted = NULL;
        if (p->flags & NF_P_ICMP_ERROR) {
            look_at_quoted(lane, p, look);
            nf_session_mark_error(p, &look->key);
            look->hash = nf_session_hash(lane->burst.table, &look->key);
        }
        if (look->first) {
            follow_first(lane, p, look->first, now);
            return;
        }
        if (p->flags & NF_P_LATER && look_at_noted(lane, p, now))
            return;
    }
    look_at_key(lane, p, now);
}

/* Each of the steps on its own: together they need more registers than there are. */
static __attribute__((noinline)) void begin_looks(struct nf_sessions_lane *lane,
                                                  struct nf_packet *const packets[], uint32_t n)
{
    const struct nf_sessions *t = lane->burst.table;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];

        if (ft_unlikely((p->flags & (NF_P_IPV4 | NF_P_BAD)) != NF_P_IPV4))
            continue;
        p->flow = NF_FLOW_KEYED;
        begin_look(t, p, &lane->look[p - lane->packets]);
    }
}

static __attribute__((noinline)) void guess_records(struct nf_sessions_lane *lane,
                                                    struct nf_packet *const packets[], uint32_t n)
{
    const struct nf_sessions *t = lane->burst.table;

    for (uint32_t i = 0; i < n; i++)
        if (ft_likely(packets[i]->flow))
            guess_record(t, &lane->look[packets[i] - lane->packets]);
}

/* The same of a burst with packets whose sessions are known; their lines are asked for as those of others. */
static __attribute__((noinline)) void prepare_restored(struct nf_sessions_lane *lane,
                                                       struct nf_packet *const packets[], uint32_t n)
{
    const struct nf_sessions *t = lane->burst.table;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        struct nf_session_look *look = &lane->look[p - lane->packets];

        if (p->session) /* as nf_session_restore found it */
            continue;
        begin_looks(lane, &packets[i], 1);
        if (t->addresses_at)
            begin_looks_ipv6(lane, &packets[i], 1);
        if (p->flow)
            guess_record(t, look);
    }
}

/* Cache misses first: the buckets of all, then the records, are under way before the first one is needed. */
void nf_sessions_prepare(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                         bool restored)
{
    lane->changed = false;
    if (ft_unlikely(restored)) {
        prepare_restored(lane, packets, n);
    } else {
        begin_looks(lane, packets, n);
        if (lane->burst.table->addresses_at)
            begin_looks_ipv6(lane, packets, n);
        guess_records(lane, packets, n);
    }
}

/* Packets of the other side have begun sessions since, or ended some. */
static __attribute__((noinline, cold)) void prepare_again(struct nf_sessions_lane *lane,
                                                          struct nf_packet *const packets[], uint32_t n)
{
    if (FT_PLANTED("told-ended")) { /* what was restored stays what it was when the burst began */
        prepare_restored(lane, packets, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        if (packets[i]->session) { /* restored: its key was never hashed */
            packets[i]->session = NULL;
            packets[i]->flow = NF_FLOW_KEYED;
            begin_look(lane->burst.table, packets[i], &lane->look[packets[i] - lane->packets]);
        }
    guess_records(lane, packets, n);
}

void nf_sessions_look_up(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                         uint64_t now)
{
    lane->burst.fresh = 0;
    lane->noted = false;
    lane->now = now;
    lane->vain = 0;
    if (ft_unlikely(lane->changed))
        prepare_again(lane, packets, n);
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        const struct nf_session_look *look = &lane->look[p - lane->packets];

        if (ft_unlikely(!p->flow))
            continue;
        if (ft_likely((p->flags & (NF_P_FRAGMENT | NF_P_ICMP_ERROR | NF_P_L4 | NF_P_IPV6)) == NF_P_L4 &&
                      look->guess && nf_session_same(&look->guess->key[look->ref & 1], &look->key)))
            look_at_guess(lane, p, look, now);
        else
            look_at_any(lane, packets, i, now);
    }
}

/* ---- a packet identified by its session --------------------------------------------------------- */

#define ETHERNET 14u
#define IPV4     20u
#define TCP      20u
#define UDP      8u

/* An input that names this key of the session's, of a frame of that length on that side. */
static bool may_tell(const struct nf_sessions *t, const struct nf_session_input *in,
                     const struct nf_packet *p)
{
    const struct nf_session *s = nf_session_at(t, in->key >> 1);
    const struct nf_tuple *key = &s->key[in->key & 1];
    uint32_t least = IPV4 + (key->proto == NF_PROTO_TCP ? TCP : UDP);

    return !key->ipv6 && nf_proto_is_ported(key->proto) && key->side == (p->side & 1) &&
           !(nf_session_flags(s) & (NF_SESSION_NEW | (in->key & 1 ? NF_SESSION_ONE_KEY : 0))) &&
           in->ip_bytes >= least && in->ip_bytes + ETHERNET <= p->len;
}

void nf_session_expect(const struct nf_sessions_lane *lane, const struct nf_session_input *in)
{
    const struct nf_sessions *t = lane->burst.table;
    const uint8_t *record = (const uint8_t *)nf_session_at(t, in->key >> 1);

    if (in->key >> 1 < t->capacity)
        for (uint32_t at = 0; at < t->stride; at += FT_LINE)
            ft_prefetch_line(record + at);
}

/* The checksum of a header of IPv4 as `heads` has it, of what is put in: its bytes would have to be stored
 * before they could be loaded as words. */
static uint16_t restored_sum(const struct nf_session_input *in, const struct nf_tuple *key)
{
    uint64_t sum = 0x45u + ((uint32_t)in->tos << 8) + __builtin_bswap16(in->ip_bytes) + 0x40u + 64u +
                   ((uint32_t)key->proto << 8) + (uint64_t)key->saddr + key->daddr;

    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

/* Frames of TCP and of UDP before anything is put in. */
static const uint8_t heads[2][NF_RESTORED_BYTES] = {
    {[12] = 0x08, [14] = 0x45, [20] = 0x40, [22] = 64, NF_PROTO_TCP, [46] = TCP / 4 << 4},
    {[12] = 0x08, [14] = 0x45, [20] = 0x40, [22] = 64, NF_PROTO_UDP}};

/* What a packet of the session has, coming in with this key. */
static inline void take_ends(struct nf_packet *p, const struct nf_tuple *key, uint8_t tcp_flags)
{
    p->flags = NF_P_IPV4 | NF_P_L4;
    p->proto = key->proto;
    p->tcp_flags = tcp_flags;
    p->saddr = key->saddr;
    p->daddr = key->daddr;
    p->sport = key->sport;
    p->dport = key->dport;
}

bool nf_session_ends(const struct nf_sessions_lane *lane, const struct nf_session_input *in,
                     struct nf_packet *p)
{
    const struct nf_sessions *t = lane->burst.table;

    if (!nf_session_is_used(t, in->key >> 1) || !may_tell(t, in, p))
        return false;
    take_ends(p, &nf_session_at(t, in->key >> 1)->key[in->key & 1], in->tcp_flags);
    return true;
}

bool nf_session_restore(struct nf_sessions_lane *lane, const struct nf_session_input *in, struct nf_packet *p,
                        uint8_t frame[NF_RESTORED_BYTES])
{
    const struct nf_sessions *t = lane->burst.table;
    struct nf_session_look *look = &lane->look[p - lane->packets];
    uint8_t *ip = frame + ETHERNET, *l4 = ip + IPV4;
    const struct nf_session *s;
    const struct nf_tuple *key;
    uint64_t words[2];
    bool udp;

    if (!nf_session_is_used(t, in->key >> 1) || !may_tell(t, in, p))
        return false;
    s = nf_session_at(t, in->key >> 1);
    key = &s->key[FT_PLANTED("told-first-key") ? 0 : in->key & 1];
    udp = key->proto == NF_PROTO_UDP;
    memcpy(frame, heads[udp], NF_RESTORED_BYTES);
    ip[1] = in->tos;
    nf_put16(ip + 2, __builtin_bswap16(in->ip_bytes));
    nf_put32(ip + 12, key->saddr);
    nf_put32(ip + 16, key->daddr);
    nf_put16(ip + 10, restored_sum(in, key));
    nf_put16(l4, key->sport);
    nf_put16(l4 + 2, key->dport);
    if (udp)
        nf_put16(l4 + 4, __builtin_bswap16((uint16_t)(in->ip_bytes - IPV4)));
    else
        l4[13] = in->tcp_flags;
    p->data = frame;
    p->l3 = ETHERNET;
    p->l4 = ETHERNET + IPV4;
    p->have = p->payload = (uint16_t)(p->l4 + (udp ? UDP : TCP));
    p->l4_len = (uint16_t)(in->ip_bytes - IPV4);
    p->bad = NF_BAD_NONE;
    take_ends(p, key, udp ? 0 : in->tcp_flags);
    p->session = look->guess = s;
    p->flow = (uint8_t)(NF_FLOW_KEYED | (in->key & 1));
    look->ref = in->key;
    memcpy(words, key, sizeof(words));
    words[1] &= UINT64_MAX >> 16; /* without own[] */
    memcpy(&look->key, words, sizeof(words));
    look->tcp_changed = false;
    return true;
}

/* For what an earlier packet of the burst has begun meanwhile, or the first fragment of its datagram. */
void nf_session_again(const struct nf *nf, struct nf_packet *p)
{
    struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const struct nf_packet *first;

    if (!(p->flow & NF_FLOW_KEYED))
        return;
    first = p->flags & NF_P_LATER ? lane->look[p - lane->packets].first : NULL;
    if (first) {
        if (!first->drop)
            follow_first(lane, p, first, lane->now);
        return;
    }
    look_at_key(lane, p, lane->now);
    if (!p->session && (p->session = nf_session_crossed(nf, p)) != NULL) {
        p->flow |= NF_FLOW_REPLY;
        touch_session(lane, p, p->session, lane->now);
    }
}
