/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of a burst behind its NFs: those that it has begun are confirmed by the first packet that has
 * passed, or end, as where two want one and the same key. And what NFs ask of a packet's session. look_up.c
 * owns what is known of the packets.
 */
#include "nflib/session/index.h"

#include <string.h>

/* The key with which answers to a packet would come in, if it left as it is now. *addresses: of IPv6, theirs.
 */
static struct nf_tuple answers_to(const struct nf_sessions_lane *lane, const struct nf_packet *p,
                                  struct nf_addresses *addresses)
{
    uint8_t side = lane->out_side ? lane->out_side(lane->out_arg, p) : !p->side;
    struct nf_tuple key = {
        .saddr = p->daddr, .daddr = p->saddr, .proto = p->proto, .side = side & 1, .ipv6 = 0};

    if (!(p->flags & NF_P_LATER)) {
        key.sport = p->dport;
        key.dport = p->sport;
    }
    if (p->flags & NF_P_IPV6_READ) {
        const uint8_t *ends = nf_packet_ipv6_addresses(p);

        memcpy(addresses->source, ends + 16, 16);
        memcpy(addresses->destination, ends, 16);
        key.ipv6 = 1;
        nf_session_hash_addresses(lane->burst.table, addresses, &key);
    }
    nf_session_mark_error(p, &key);
    return key;
}

/* ---- first packets of one flow, from both its ends in one burst --------------------------------- */

/* `p` is what answers to `q` come in with, if it leaves as it is now. */
static bool is_answer(const struct nf_sessions_lane *lane, const struct nf_packet *p,
                      const struct nf_packet *q)
{
    const struct nf_tuple *key = &lane->look[p - lane->packets].key;
    struct nf_addresses addresses;
    struct nf_tuple answers;

    if (key->proto != q->proto || key->dport != q->sport)
        return false;
    answers = answers_to(lane, q, &addresses);
    return nf_session_same(key, &answers) &&
           (!key->ipv6 || memcmp(&lane->addresses[p - lane->packets], &addresses, sizeof(addresses)) == 0);
}

/*
 * Answers are found by the key with which the first packet leaves, and that is not known before it has. But
 * as soon as no NF that translates is still to come, it will leave as it is.
 */
const struct nf_session *nf_session_crossed(const struct nf *nf, const struct nf_packet *p)
{
    const struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const uint32_t *ahead = lane->burst.before[nf->index][!p->side];

    if (!lane->out_side || ahead[0] | ahead[1])
        return NULL;
    for (uint32_t i = 0; i < lane->burst.fresh; i++)
        if (!lane->beginner[i]->drop && is_answer(lane, p, lane->beginner[i]))
            return lane->beginner[i]->session;
    return NULL;
}

/* ---- fragments --------------------------------------------------------------------------------- */

static void note_fragment(struct nf_sessions_lane *lane, const struct nf_packet *p, uint64_t now)
{
    const struct nf_sessions *t = lane->burst.table;
    bool reply;
    const struct nf_session *s = nf_session_of_rest(lane, p, &reply);
    struct nf_noted noted = {
        .record = s ? nf_session_number(t, s) : NF_NONE, .serial = s ? s->serial : 0, .reply = reply};

    if (!nf_fragments_note(&lane->nfs[0], t, &lane->datagram[p - lane->packets], noted, now))
        return;
    for (uint32_t i = 1; i <= t->nfs; i++)
        if (lane->nfs[i].module->fragments_full && (!s || nf_session_has(&lane->nfs[i], s)))
            nf_count(&lane->nfs[i], lane->nfs[i].module->fragments_full - 1u, 1);
}

/* ---- behind the NFs ----------------------------------------------------------------------------- */

/* Drops a packet whose answers would be another session's, in the name of the first NF in its session that
 * counts conflicts (module->conflict), or of none. */
static void refuse_packet(struct nf_sessions_lane *lane, struct nf_packet *p)
{
    (*NF_EDIT(&lane->nfs[0], &lane->burst.table->conflicts))++;
    p->drop = NF_SESSIONS_CONFLICT;
    p->drop_nf = NF_DROP_SESSIONS;
    for (uint32_t left = p->session->members; left; left &= left - 1) {
        const struct nf *nf = &lane->nfs[__builtin_ctz(left)];

        if (nf->module->conflict) {
            nf_drop(nf, p, nf->module->conflict - 1u);
            return;
        }
    }
}

/* Ends `s`, which was begun in this burst and is not confirmed: its packets turned out to be answers to a
 * session that has been confirmed first. They are dropped. */
static void give_way(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                     const struct nf_session *s, uint64_t now)
{
    uint32_t record = nf_session_number(lane->burst.table, s), i = 0;

    for (uint32_t k = 0; k < n; k++)
        if (packets[k]->session == s && !packets[k]->drop)
            refuse_packet(lane, packets[k]);
    while (lane->begun[i] != record)
        i++;
    lane->begun[i] = lane->begun[--lane->burst.fresh];
    lane->beginner[i] = lane->beginner[lane->burst.fresh];
    nf_session_finish(&lane->nfs[0], record, NF_SESSION_REFUSED, now);
}

/* Nobody answers it by its tuple: an ICMP error, or a fragment by itself. Many may leave with one and the
 * same. */
static bool has_no_answers(const struct nf_packet *p)
{
    if (p->flags & NF_P_IPV6_READ)
        return !nf_packet_has_ends_ipv6(p);
    return !nf_packet_has_ends(p) && nf_proto_has_ports(p->proto);
}

/* For the log of flows. */
static __attribute__((noinline)) void log_begin(const struct nf_sessions_lane *lane,
                                                const struct nf_session *s, uint64_t now)
{
    for (uint32_t left = s->members; left; left &= left - 1) {
        const struct nf *member = &lane->nfs[__builtin_ctz(left)];

        if (member->module->session_tell && !nf_is_bypassed(member->env->state, member->index))
            member->module->session_tell(member, s, false, NF_SESSION_IDLE, now);
    }
}

/* The first packet of a session that has passed: its answers' key is what it left with. False: that is
 * another session's. One of this burst, of which no packet has passed yet, gives way. */
static bool confirm_session(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                            const struct nf_packet *p, uint64_t now)
{
    const struct nf *nf = &lane->nfs[0];
    const struct nf_sessions *t = lane->burst.table;
    uint32_t record = nf_session_number(t, p->session), which;
    struct nf_addresses addresses;
    struct nf_tuple key = answers_to(lane, p, &addresses);
    struct nf_session *s;
    const struct nf_session *other =
        nf_session_find(t, &key, key.ipv6 ? &addresses : NULL, nf_session_hash(t, &key), &which);

    if (other && other != p->session) {
        if (has_no_answers(p)) {
            other = p->session;
            key = other->key[0];
            key.own[1] = 0;
            if (key.ipv6)
                addresses = nf_session_addresses(t, record)->key[0];
        } else if (nf_session_flags(other) & NF_SESSION_NEW) {
            give_way(lane, packets, n, other, now);
            other = NULL;
        } else {
            return false;
        }
    }
    if (key.ipv6)
        *NF_EDIT(nf, &nf_session_addresses(t, record)->key[1]) = addresses;
    s = ft_edit_in_line(nf->region, p->session, sizeof(*s));
    s->key[1] = key;
    s->key[1].own[0] = other ? NF_SESSION_ONE_KEY : 0;
    if (!other)
        nf_session_enter(nf, t, record << 1 | 1, &key);
    nf_wheel_set(nf, t->wheel, record, now + (s->members ? nf_session_timeout(t, s) : 0));
    nf_session_put_in_order(nf, t, record);
    if (nf_session_is_listed(s))
        nf_session_host_list(nf, t, record);
    if (ft_unlikely(nf->env->log != NULL))
        log_begin(lane, s, now);
    return true;
}

/* A connection on the ports of one that is over has been asked for, and the packet has passed. One that is
 * dropped changes nothing: the next one asks again, and every NF may judge it. */
static void begin_again(struct nf_sessions_lane *lane, const struct nf_packet *p, uint64_t now)
{
    const struct nf *nf = &lane->nfs[0];
    const struct nf_sessions *t = lane->burst.table;
    struct nf_session *s = ft_edit_in_line(nf->region, p->session, sizeof(*s));
    uint8_t turned = p->flow & NF_FLOW_REPLY ? NF_SESSION_TURNED : 0;

    nf_session_take_from_order(nf, t, nf_session_number(t, s)); /* no more one of the oldest */
    nf_session_put_in_order(nf, t, nf_session_number(t, s));
    if (nf_session_is_listed(s)) {
        nf_session_host_unlist(nf, t, nf_session_number(t, s));
        nf_session_host_list(nf, t, nf_session_number(t, s));
    }
    s->key[0].own[0] = NF_TCP_SYN_SENT;
    s->key[1].own[0] = (uint8_t)((s->key[1].own[0] & ~NF_SESSION_TURNED) | turned);
    nf_session_reclass(nf, t, s, nf_timeout_class(NF_PROTO_TCP, NF_TCP_SYN_SENT), now);
}

/* New, and this packet may be its first one: a later fragment does not show what its session's answers
 * are. */
static bool may_confirm(const struct nf_sessions_lane *lane, const struct nf_packet *p)
{
    return p->session && nf_session_flags(p->session) & NF_SESSION_NEW &&
           nf_session_same(&p->session->key[0], &lane->look[p - lane->packets].key);
}

/* No packet of it has passed. */
static void refuse_session(struct nf_sessions_lane *lane, uint32_t fresh, uint64_t now)
{
    uint32_t packet = (uint32_t)(lane->beginner[fresh] - lane->packets) + 1;

    atomic_store_explicit(lane->ends, packet, memory_order_relaxed);
    nf_session_finish(&lane->nfs[0], lane->begun[fresh], NF_SESSION_REFUSED, now);
    atomic_store_explicit(lane->ends, 0, memory_order_relaxed);
}

/* In the order of packets, so that the first that has passed confirms. */
bool nf_sessions_confirm(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                         uint64_t now)
{
    const struct nf_sessions *t = lane->burst.table;

    if (ft_likely(!lane->noted && !lane->burst.fresh))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];

        if (p->drop)
            continue;
        if (ft_unlikely(lane->burst.fresh && may_confirm(lane, p)) &&
            !confirm_session(lane, packets, n, p, now)) {
            refuse_packet(lane, p);
            continue;
        }
        if (ft_unlikely(p->flow & NF_FLOW_AGAIN))
            begin_again(lane, p, now);
        if (ft_unlikely(nf_session_is_first(p)) && t->fragments)
            note_fragment(lane, p, now);
    }
    for (uint32_t i = 0; i < lane->burst.fresh; i++)
        if (nf_session_flags(nf_session_at(t, lane->begun[i])) & NF_SESSION_NEW)
            refuse_session(lane, i, now);
    lane->burst.fresh = 0;
    return true;
}

void nf_session_asks_again(const struct nf *nf, struct nf_packet *p)
{
    p->flow = (uint8_t)((p->flow & ~NF_FLOW_SETTLED) | NF_FLOW_AGAIN);
    nf_sessions_lane(nf)->noted = true;
}

void nf_session_stays_open(const struct nf *nf, const struct nf_session *s, uint64_t now)
{
    const struct nf *first = &nf_sessions_lane(nf)->nfs[0];
    struct nf_session *edit = ft_edit_in_line(nf->region, s, sizeof(*s));

    edit->key[0].own[0] = NF_TCP_ESTABLISHED;
    nf_session_reclass(first, nf->env->sessions->table, edit,
                       nf_timeout_class(NF_PROTO_TCP, NF_TCP_ESTABLISHED), now);
}

/* ---- for NFs: of a packet without a key, `look` is what was there before ------------------------- */

bool nf_session_later(const struct nf *nf, const struct nf_packet *p)
{
    const struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    bool later = p->flags & NF_P_LATER && p->flow & NF_FLOW_KEYED;
    const struct nf_packet *first = later ? lane->look[p - lane->packets].first : NULL;

    return first ? !first->drop : p->flow & NF_FLOW_LATER;
}

const struct nf_session *nf_session_quoted(const struct nf *nf, const struct nf_packet *p, bool *reply)
{
    const struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const struct nf_session_look *look = &lane->look[p - lane->packets];
    bool quotes = p->flags & NF_P_ICMP_ERROR && p->flow & NF_FLOW_KEYED;
    const struct nf_session *s = quotes ? look->quoted : NULL;

    /* It may have been displaced since it was looked up, and another one begun in its place. */
    if (s && (!nf_session_is_used(lane->burst.table, nf_session_number(lane->burst.table, s)) ||
              nf_session_flags(s) & NF_SESSION_NEW))
        s = NULL;
    *reply = s && look->quoted_reply;
    return s;
}

bool nf_session_known(const struct nf *nf, const struct nf_tuple *tuple)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t which;

    return nf_session_find(t, tuple, NULL, nf_session_hash(t, tuple), &which);
}

bool nf_session_known_ipv6(const struct nf *nf, const struct nf_tuple *tuple,
                           const struct nf_addresses *addresses)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    struct nf_tuple key = *tuple;
    uint32_t which;

    key.ipv6 = 1;
    nf_session_hash_addresses(t, addresses, &key);
    return nf_session_find(t, &key, addresses, nf_session_hash(t, &key), &which);
}

/* The ends that NFs before this one have changed are as packets leave the chain. Of a session of both
 * families all is of one of them. */
void nf_session_view_changed(const struct nf *nf, const struct nf_session *s, struct nf_tuple *out)
{
    const uint32_t *before = nf->env->sessions->before[nf->index][s->key[0].side];

    if (ft_unlikely(s->key[0].ipv6 != s->key[1].ipv6)) {
        if (before[0] & nf->env->sessions->family)
            *out = (struct nf_tuple){.saddr = s->key[1].daddr,
                                     .daddr = s->key[1].saddr,
                                     .sport = s->key[1].dport,
                                     .dport = s->key[1].sport,
                                     .proto = s->key[1].proto,
                                     .side = s->key[0].side,
                                     .ipv6 = s->key[1].ipv6};
        return;
    }
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

void nf_session_view_ipv6(const struct nf *nf, const struct nf_session *s, struct nf_addresses *out)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    const uint32_t *before = nf->env->sessions->before[nf->index][s->key[0].side];
    const struct nf_session_addresses *addresses = nf_session_addresses(t, nf_session_number(t, s));
    uint32_t in = s->members | nf->env->sessions->stateless;

    if (s->key[0].ipv6 != s->key[1].ipv6) /* those that see it as of IPv4 do not ask */
        in &= s->key[1].ipv6 ? nf->env->sessions->family : 0;
    memcpy(out->source, in & before[0] ? addresses->key[1].destination : addresses->key[0].source, 16);
    memcpy(out->destination, in & before[1] ? addresses->key[1].source : addresses->key[0].destination, 16);
}

void nf_session_key_ipv6(const struct nf *nf, const struct nf_session *s, unsigned which,
                         struct nf_addresses *out)
{
    const struct nf_sessions *t = nf->env->sessions->table;

    *out = nf_session_addresses(t, nf_session_number(t, s))->key[which];
}
