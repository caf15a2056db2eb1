/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of a burst: packets are looked up before the NFs get them, and what began is settled behind them.
 * Owns what is known of the burst's packets, in memory of the process, until the next side's packets.
 */
#include "nflib/session/table.h"
#include "nflib/state/watch.h"

#include <string.h>

#define FRAGMENT_LIFE (30 * NF_SECOND)

static struct nf_tuple tuple_of(const struct nf_packet *p)
{
    return (struct nf_tuple){p->saddr, p->daddr, p->sport, p->dport, p->proto, p->side, {0}};
}

/* Of answers to it, where they come in. */
static struct nf_tuple turn_tuple(const struct nf_tuple *t, uint8_t side)
{
    return (struct nf_tuple){t->daddr, t->saddr, t->dport, t->sport, t->proto, side, {0}};
}

/* Of ICMP errors, in whose direction there are no answers: no echo's identifier is 0 and this. */
static void mark_error(const struct nf_packet *p, struct nf_tuple *key)
{
    if (p->flags & NF_P_ICMP_ERROR) {
        key->sport = 0;
        key->dport = NF_SESSION_ERROR;
    }
}

/* ---- looking up -------------------------------------------------------------------------------- */

/* One more packet of a session: its time, and TCP's state. Flags that no TCP sends change nothing. */
static void touch_session(struct nf_sessions_lane *lane, struct nf_packet *p, const struct nf_session *found,
                          uint64_t now)
{
    const struct nf *nf = &lane->nfs[0];
    struct nf_session *s = ft_edit_in_line(nf->region, found, sizeof(*found));
    uint8_t was = s->key[0].own[0], class;
    bool reply = p->flow & NF_FLOW_REPLY;

    s->seen = now;
    if (p->proto != NF_PROTO_TCP || (p->flags & (NF_P_L4 | NF_P_LATER)) != NF_P_L4)
        return;
    if (nf_tcp_is_over(was) && nf_tcp_is_request(p->tcp_flags)) {
        p->flow |= NF_FLOW_AGAIN; /* perhaps from the other side; see begin_again */
        return;
    }
    reply ^= (s->key[1].own[0] & NF_SESSION_TURNED) != 0;
    if (ft_likely(!nf_tcp_is_impossible(p->tcp_flags)))
        s->key[0].own[0] = nf_tcp_next(was, p->tcp_flags, reply);
    class = nf_timeout_class(NF_PROTO_TCP, s->key[0].own[0]);
    if (ft_likely(class == s->key[0].own[1]))
        return;
    s->key[0].own[1] = class;
    if (!(s->key[1].own[0] & NF_SESSION_NEW))
        nf_wheel_set(nf, lane->burst.table->wheel, nf_session_number(lane->burst.table, s),
                     now + nf_session_timeout(lane->burst.table, s));
}

static void look_at_key(struct nf_sessions_lane *lane, struct nf_packet *p, uint64_t now)
{
    const struct nf_session_look *look = &lane->look[p - lane->packets];
    uint32_t which;
    const struct nf_session *s = nf_session_find(lane->burst.table, &look->key, look->hash, &which);

    NF_WATCH(found, lane->burst.table, s ? &s->key[0] : &look->key,
             s ? nf_session_number(lane->burst.table, s) : NF_NONE);
    if (!s)
        return;
    p->session = s;
    p->flow |= which ? NF_FLOW_REPLY : 0;
    touch_session(lane, p, s, now);
}

/* The one that an ICMP error quotes has left on the side that the error comes from: looked up is an answer to
 * it. */
static void look_at_quoted(struct nf_sessions_lane *lane, const struct nf_packet *p,
                           struct nf_session_look *look)
{
    const struct nf_sessions *t = lane->burst.table;
    struct nf_inner in;
    struct nf_tuple key;
    uint32_t which;

    nf_packet_inner(p, &in);
    key = (struct nf_tuple){in.daddr, in.saddr, in.dport, in.sport, in.proto, p->side, {0}};
    look->quoted = nf_session_find(t, &key, nf_session_hash(t, &key), &which);
    look->quoted_reply = look->quoted && which;
}

/* ---- fragments --------------------------------------------------------------------------------- */

static struct nf_datagram datagram_of(const struct nf_packet *p)
{
    return (struct nf_datagram){p->saddr, p->daddr, p->frag_id, p->proto, p->side};
}

static bool is_first(const struct nf_packet *p)
{
    return (p->flags & (NF_P_IPV4 | NF_P_BAD | NF_P_FRAGMENT | NF_P_LATER)) == (NF_P_IPV4 | NF_P_FRAGMENT);
}

/* Of a datagram's fragments in this burst, the last first one before packets[i]. */
static const struct nf_packet *first_before(const struct nf_sessions_lane *lane,
                                            struct nf_packet *const packets[], uint32_t i)
{
    const struct nf_datagram *datagram = &lane->look[packets[i] - lane->packets].datagram;

    while (i-- > 0)
        if (is_first(packets[i]) &&
            memcmp(&lane->look[packets[i] - lane->packets].datagram, datagram, sizeof(*datagram)) == 0)
            return packets[i];
    return NULL;
}

/* True: the first one has passed, and its session is the packet's. One that has ended since is no one's. */
static bool look_at_noted(struct nf_sessions_lane *lane, struct nf_packet *p, uint64_t now)
{
    const struct nf_sessions *t = lane->burst.table;
    const struct nf_datagram *datagram = &lane->look[p - lane->packets].datagram;
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

/* For what an earlier packet of the burst has begun meanwhile, or the first fragment of its datagram. */
void nf_session_again(const struct nf *nf, struct nf_packet *p)
{
    struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const struct nf_packet *first = lane->look[p - lane->packets].first;

    if (!(p->flow & NF_FLOW_KEYED))
        return;
    if (p->flags & NF_P_LATER && first) {
        p->session = first->drop ? NULL : first->session;
        p->flow |= first->flow & NF_FLOW_REPLY;
        return;
    }
    look_at_key(lane, p, lane->now);
    if (!p->session && (p->session = nf_session_crossed(nf, p)) != NULL) {
        p->flow |= NF_FLOW_REPLY;
        touch_session(lane, p, p->session, lane->now);
    }
}

static void note_fragment(struct nf_sessions_lane *lane, const struct nf_packet *p, uint64_t now)
{
    const struct nf *nf = &lane->nfs[0];
    const struct nf_sessions *t = lane->burst.table;
    const struct nf_datagram *datagram = &lane->look[p - lane->packets].datagram;
    const struct nf_session *s = p->session;
    uint32_t slot = nf_map_find(t->fragments, datagram);

    if (slot == NF_NONE)
        slot = nf_map_add(nf, t->fragments, datagram);
    if (slot == NF_NONE) {
        for (uint32_t i = 1; i <= t->nfs; i++)
            if (lane->nfs[i].module->fragments_full && (!s || nf_session_has(&lane->nfs[i], s)))
                nf_count(&lane->nfs[i], lane->nfs[i].module->fragments_full - 1u, 1);
        return;
    }
    *NF_EDIT(nf, (const struct nf_noted *)nf_map_value(t->fragments, slot)) =
        (struct nf_noted){.record = s ? nf_session_number(t, s) : NF_NONE,
                          .serial = s ? s->serial : 0,
                          .reply = (p->flow & NF_FLOW_REPLY) != 0};
    nf_wheel_set(nf, t->wheel, t->capacity + slot, now + FRAGMENT_LIFE);
}

/* ---- a side's packets -------------------------------------------------------------------------- */

/* Cache misses first: the buckets of all, then the records, are under way before the first one is needed. */
void nf_sessions_look_up(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                         uint64_t now)
{
    const struct nf_sessions *t = lane->burst.table;

    lane->burst.fresh = 0;
    lane->now = now;
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        struct nf_session_look *look = &lane->look[p - lane->packets];

        look->first = NULL;
        look->quoted = NULL;
        if ((p->flags & (NF_P_IPV4 | NF_P_BAD)) != NF_P_IPV4)
            continue;
        p->flow = NF_FLOW_KEYED;
        look->key = tuple_of(p);
        look->hash = nf_session_hash(t, &look->key);
        nf_session_prefetch(t, look->hash);
    }
    for (uint32_t i = 0; i < n; i++)
        if (packets[i]->flow)
            nf_session_prefetch_record(t, lane->look[packets[i] - lane->packets].hash);
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        struct nf_session_look *look = &lane->look[p - lane->packets];

        if (!p->flow)
            continue;
        if (ft_unlikely(p->flags & (NF_P_FRAGMENT | NF_P_ICMP_ERROR))) {
            look->datagram = datagram_of(p);
            look->first = p->flags & NF_P_LATER ? first_before(lane, packets, i) : NULL;
            if (p->flags & NF_P_ICMP_ERROR) {
                look_at_quoted(lane, p, look);
                mark_error(p, &look->key);
                look->hash = nf_session_hash(t, &look->key);
            }
            if (look->first) {
                p->session = look->first->session;
                p->flow |= look->first->flow & NF_FLOW_REPLY;
                continue;
            }
            if (p->flags & NF_P_LATER && look_at_noted(lane, p, now))
                continue;
        }
        look_at_key(lane, p, now);
    }
}

/* Nobody answers it by its tuple: an ICMP error, or a fragment by itself. Many may leave with one and the
 * same. */
static bool has_no_answers(const struct nf_packet *p)
{
    return !nf_packet_has_ends(p) && nf_proto_has_ports(p->proto);
}

/* The first packet of a session that has passed: its answers' key is what it left with. False: that is
 * another session's. One of this burst, of which no packet has passed yet, gives way. */
static bool confirm_session(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                            const struct nf_packet *p, uint64_t now)
{
    const struct nf *nf = &lane->nfs[0];
    const struct nf_sessions *t = lane->burst.table;
    uint32_t record = nf_session_number(t, p->session), which;
    uint8_t side = lane->out_side ? lane->out_side(lane->out_arg, p) : !p->side;
    struct nf_tuple left = tuple_of(p), key;
    struct nf_session *s;
    const struct nf_session *other;

    if (p->flags & NF_P_LATER)
        left.sport = left.dport = 0;
    key = turn_tuple(&left, side);
    mark_error(p, &key);
    other = nf_session_find(t, &key, nf_session_hash(t, &key), &which);
    if (other && other != p->session) {
        if (has_no_answers(p)) {
            other = p->session;
            key = other->key[0];
            key.own[1] = 0;
        } else if (nf_session_flags(other) & NF_SESSION_NEW) {
            nf_session_give_way(lane, packets, n, other, now);
            other = NULL;
        } else {
            return false;
        }
    }
    s = ft_edit_in_line(nf->region, p->session, sizeof(*s));
    s->key[1] = key;
    s->key[1].own[0] = other ? NF_SESSION_ONE_KEY : 0;
    if (!other)
        nf_session_enter(nf, t, record << 1 | 1, &key);
    nf_wheel_set(nf, t->wheel, record, now + (s->members ? nf_session_timeout(t, s) : 0));
    return true;
}

/* A connection on the ports of one that is over has been asked for, and the packet has passed. One that is
 * dropped changes nothing: the next one asks again, and every NF may judge it. */
static void begin_again(struct nf_sessions_lane *lane, const struct nf_packet *p)
{
    struct nf_session *s = ft_edit_in_line(lane->nfs[0].region, p->session, sizeof(*s));
    uint8_t turned = p->flow & NF_FLOW_REPLY ? NF_SESSION_TURNED : 0;

    s->key[0].own[0] = NF_TCP_SYN_SENT; /* its timeout is that of the states that are over */
    s->key[1].own[0] = (uint8_t)((s->key[1].own[0] & ~NF_SESSION_TURNED) | turned);
}

/* New, and this packet may be its first one: a later fragment does not say what its session's answers are. */
static bool may_confirm(const struct nf_sessions_lane *lane, const struct nf_packet *p)
{
    return p->session && nf_session_flags(p->session) & NF_SESSION_NEW &&
           nf_session_same(&p->session->key[0], &lane->look[p - lane->packets].key);
}

/* In the order of packets, so that the first that has passed confirms. */
void nf_sessions_settle(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                        uint64_t now)
{
    const struct nf_sessions *t = lane->burst.table;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];

        if (p->drop)
            continue;
        if (ft_unlikely(lane->burst.fresh && may_confirm(lane, p)) &&
            !confirm_session(lane, packets, n, p, now)) {
            nf_session_refuse(lane, p);
            continue;
        }
        if (ft_unlikely(p->flow & NF_FLOW_AGAIN))
            begin_again(lane, p);
        if (ft_unlikely(is_first(p)) && t->fragments)
            note_fragment(lane, p, now);
    }
    for (uint32_t i = 0; i < lane->burst.fresh; i++)
        if (nf_session_flags(nf_session_at(t, lane->begun[i])) & NF_SESSION_NEW)
            nf_session_finish(&lane->nfs[0], lane->begun[i], NF_SESSION_REFUSED, now);
    lane->burst.fresh = 0;
}

/* ---- for NFs ----------------------------------------------------------------------------------- */

bool nf_session_later(const struct nf *nf, const struct nf_packet *p)
{
    const struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const struct nf_packet *first = lane->look[p - lane->packets].first;

    return first ? !first->drop : p->flow & NF_FLOW_LATER;
}

const struct nf_session *nf_session_quoted(const struct nf *nf, const struct nf_packet *p, bool *reply)
{
    const struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const struct nf_session_look *look = &lane->look[p - lane->packets];

    *reply = look->quoted_reply;
    return look->quoted;
}

bool nf_session_known(const struct nf *nf, const struct nf_tuple *tuple)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t which;

    return nf_session_find(t, tuple, nf_session_hash(t, tuple), &which);
}

void nf_session_view(const struct nf *nf, const struct nf_session *s, struct nf_tuple *out)
{
    const struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const uint32_t *before = lane->before[nf->index][s->key[0].side];

    *out = s->key[0];
    out->own[0] = out->own[1] = 0;
    if (s->members & before[0]) {
        out->saddr = s->key[1].daddr;
        out->sport = s->key[1].dport;
        if (out->proto == NF_PROTO_ICMP)
            out->dport = out->sport; /* an identifier is both */
    }
    if (s->members & before[1]) {
        out->daddr = s->key[1].saddr;
        out->dport = s->key[1].sport;
    }
}
