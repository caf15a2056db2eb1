/* SPDX-License-Identifier: Apache-2.0 */
/* See sessions_model.h. */
#include "tests/fuzz/sessions_model.h"
#include "tests/help/frame.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define LIFE 5u /* seconds, of both NFs at the beginning */

struct sm sm;
uint32_t sm_flows = 12, sm_few = 6;

void sm_begin(void)
{
    memset(&sm, 0, sizeof(sm));
    for (unsigned nf = 1; nf <= SM_NFS; nf++)
        for (unsigned class = 0; class < NF_TIMEOUT_COUNT; class ++)
            sm.timeouts[nf][class] = LIFE;
}

struct sm_key sm_key_of(const struct nf_packet *p)
{
    struct sm_key key = {.saddr = p->saddr,
                         .daddr = p->daddr,
                         .sport = p->sport,
                         .dport = p->dport,
                         .proto = p->proto,
                         .side = p->side,
                         .ipv6 = p->flags & NF_P_IPV6,
                         .error = p->flags & NF_P_ICMP_ERROR};

    if (key.ipv6) {
        memcpy(&key.saddr, p->data + p->l3 + 20, 4);
        memcpy(&key.daddr, p->data + p->l3 + 36, 4);
    }
    return key;
}

/* The network 10.0.0.0/8 is inside. */
uint8_t sm_out_side(const void *arg, const struct nf_packet *p)
{
    (void)arg;
    return ntohl(sm_key_of(p).daddr) >> 24 == 10 ? NF_INSIDE : NF_OUTSIDE;
}

static struct sm_key turn(struct sm_key k, uint8_t side)
{
    return (struct sm_key){k.daddr, k.saddr, k.dport, k.sport, k.proto, side, k.ipv6, k.error};
}

static bool same(const struct sm_key *a, const struct sm_key *b)
{
    return a->saddr == b->saddr && a->daddr == b->daddr && a->sport == b->sport && a->dport == b->dport &&
           a->proto == b->proto && a->side == b->side && a->ipv6 == b->ipv6 && a->error == b->error;
}

static struct sm_session *find(const struct sm_key *key, bool *reply)
{
    for (unsigned i = 0; i < SM_FLOWS; i++) {
        struct sm_session *s = &sm.list[i];

        for (unsigned which = 0; s->live && which < 1u + s->two_keys; which++)
            if (same(&s->key[which], key)) {
                *reply = which;
                return s;
            }
    }
    return NULL;
}

/* The first that was assured after the moment; NULL: none. */
static struct sm_session *assured_after(uint64_t moment)
{
    struct sm_session *next = NULL;

    for (struct sm_session *s = sm.list; s < sm.list + SM_FLOWS; s++)
        if (s->live && s->assured > moment && (!next || s->assured < next->assured))
            next = s;
    return next;
}

/* Of a session that has begun, when its state may have changed. */
static void follow(struct sm_session *s)
{
    uint8_t proto = s->key[0].proto;
    bool open = proto == NF_PROTO_TCP && nf_tcp_is_open(s->tcp),
         assured = proto == NF_PROTO_UDP && s->tcp == 2;

    s->transitory = s->fresh || open || assured ? 0 : s->transitory ? s->transitory : ++sm.moments;
    s->assured = s->fresh || !assured ? 0 : s->assured ? s->assured : ++sm.moments;
}

static void take_in(struct sm_packet *p, struct sm_session *s, bool reply)
{
    p->session = s;
    p->reply = reply;
    s->seen = sm.now;
    if (p->real->proto == NF_PROTO_UDP)
        s->tcp = s->tcp == 0 && reply ? 1 : s->tcp == 1 && !reply ? 2 : s->tcp;
    else if (p->real->proto != NF_PROTO_TCP)
        return;
    else if (nf_tcp_is_over(s->tcp) && nf_tcp_is_request(p->real->tcp_flags))
        p->again = true;
    else if (!nf_tcp_is_impossible(p->real->tcp_flags))
        s->tcp = nf_tcp_next(s->tcp, p->real->tcp_flags, reply != s->turned);
    follow(s);
}

/* Where the datagram of a fragment is noted; `key`: without ports. NULL: nowhere. */
static struct sm_datagram *datagram_of(const struct sm_packet *p, struct sm_key *key)
{
    *key = p->key;
    key->sport = key->dport = 0;
    for (struct sm_datagram *d = sm.datagrams; d < sm.datagrams + SM_DATAGRAMS; d++)
        if (d->until > sm.now && d->id == p->id && same(&d->key, key))
            return d;
    return NULL;
}

void sm_look(struct sm_packet *p)
{
    bool reply;
    struct sm_key key;
    struct sm_datagram *d = p->real->flags & NF_P_LATER ? datagram_of(p, &key) : NULL;
    struct sm_session *s;

    if (d && d->session->live && d->session->serial == d->serial) {
        p->later = true;
        sm.laters++;
        take_in(p, d->session, d->reply);
    } else if ((s = find(&p->key, &reply)) != NULL) {
        take_in(p, s, reply);
    }
}

/* The first fragment of a datagram has passed. */
static void note(const struct sm_packet *p)
{
    struct sm_key key;
    struct sm_datagram *d = datagram_of(p, &key);

    for (unsigned i = 0; !d; i++)
        d = sm.datagrams[i].until > sm.now ? NULL : &sm.datagrams[i];
    *d = (struct sm_datagram){.key = key,
                              .id = p->id,
                              .serial = p->session->serial,
                              .session = p->session,
                              .reply = p->reply,
                              .until = sm.now + 30 * NF_SECOND};
}

/* A session begun in this burst, to whose first packet, as it is now, this one is an answer. An NF that still
 * comes, and translates, could change that. Errors answer nobody. */
static void look_for_turned(struct sm_packet *p, unsigned nf)
{
    if (p->key.error || (nf == 2 && p->key.side == NF_OUTSIDE))
        return;
    for (unsigned i = 0; !p->session && i < SM_FLOWS; i++) {
        struct sm_session *s = &sm.list[i];
        struct sm_key answer;

        if (!s->live || !s->fresh || s->beginner->dropped)
            continue;
        answer = turn(sm_key_of(s->beginner->real), sm_out_side(NULL, s->beginner->real));
        if (same(&answer, &p->key))
            take_in(p, s, true);
    }
}

struct sm_session *sm_of(struct sm_packet *p, unsigned nf)
{
    if (!p->session && sm.fresh)
        sm_look(p);
    if (!p->session && sm.fresh)
        look_for_turned(p, nf);
    return p->session;
}

static void end(struct sm_session *s, enum nf_session_why why)
{
    for (unsigned nf = 1; nf <= SM_NFS; nf++)
        if (s->members >> nf & 1) {
            sm.ended[nf][why]++;
            sm.in_use[nf]--;
        }
    sm.live--;
    sm.fresh -= s->fresh;
    s->live = s->fresh = false;
    s->transitory = 0;
    if (sm.hand == s)
        sm.hand = assured_after(s->assured);
    s->assured = 0;
}

/* Of 16 in turn the one that has been idle longest; NULL: all have a packet in this burst. */
static struct sm_session *idle_longest(bool own, unsigned nf)
{
    struct sm_session *first = sm.hand ? sm.hand : assured_after(0), *s = first, *found = NULL;
    unsigned left = 16;

    for (unsigned looks = 0; s && left && looks < 33; looks++) {
        if (s->seen != sm.now && (!own || s->members >> nf & 1)) {
            found = !found || s->seen < found->seen ? s : found;
            left--;
        }
        s = assured_after(s->assured);
        s = s ? s : assured_after(0);
        if (s == first)
            break;
    }
    if (found) {
        sm.hand = assured_after(found->assured);
        sm.turns++;
    }
    return found;
}

/* In a full table the one goes that has been transitory longest, and has no packet in this burst; or else one
 * that is assured. */
static bool make_room(const struct sm_session *joined, unsigned nf)
{
    bool own = sm.in_use[nf] == (nf == 1 ? sm_flows : sm_few);
    struct sm_session *oldest = NULL;

    if (!own && (joined || sm.live < sm_flows))
        return true;
    for (uint64_t after = 0, looks = 0; looks < 33; looks++) {
        oldest = NULL;
        for (struct sm_session *s = sm.list; s < sm.list + SM_FLOWS; s++)
            if (s->live && s->transitory > after && (!oldest || s->transitory < oldest->transitory))
                oldest = s;
        if (!oldest || (oldest->seen != sm.now && (!own || oldest->members >> nf & 1)))
            break;
        after = oldest->transitory;
        oldest = NULL;
    }
    if (!oldest)
        oldest = idle_longest(own, nf);
    if (oldest)
        end(oldest, NF_SESSION_DISPLACED);
    return oldest;
}

struct sm_session *sm_join(struct sm_packet *p, unsigned nf)
{
    struct sm_session *s = sm_of(p, nf);

    if (!make_room(s, nf))
        return NULL;
    for (unsigned i = 0; !s && i < SM_FLOWS; i++)
        if (!sm.list[i].live) {
            s = p->session = &sm.list[i];
            *s = (struct sm_session){.live = true, .fresh = true, .seen = sm.now, .beginner = p};
            s->serial = ++sm.serial;
            s->key[0] = p->key;
            s->tcp = p->real->proto == NF_PROTO_TCP ? nf_tcp_first(p->real->tcp_flags) : (uint8_t)NF_TCP_NONE;
            sm.live++;
            sm.fresh++;
        }
    if (!s)
        return NULL;
    s->members |= 1u << nf;
    s->packets[nf] = 0;
    s->number = nf == 1 ? 0 : s->number;
    sm.in_use[nf]++;
    return s;
}

void sm_leave(struct sm_session *s, unsigned nf)
{
    s->members &= ~(1u << nf);
    sm.in_use[nf]--;
}

/* False: the answers are another session's, which stays. */
static bool confirm(struct sm_packet packets[], uint32_t n, const struct sm_packet *p)
{
    struct sm_session *s = p->session, *other;
    struct sm_key answer = turn(sm_key_of(p->real), sm_out_side(NULL, p->real));
    bool reply;

    other = find(&answer, &reply);
    if (other && other != s && !answer.error) {
        if (!other->fresh)
            return false;
        for (uint32_t i = 0; i < n; i++)
            if (packets[i].session == other) {
                packets[i].dropped = true;
                sm.conflicts++;
            }
        end(other, NF_SESSION_REFUSED);
        other = NULL;
    }
    s->fresh = false;
    sm.fresh--;
    follow(s);
    s->two_keys = !other;
    s->key[1] = answer;
    return true;
}

void sm_settle(struct sm_packet packets[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct sm_packet *p = &packets[i];

        if (p->dropped || !p->session)
            continue;
        if (p->session->fresh && same(&p->key, &p->session->key[0]) && !confirm(packets, n, p)) {
            p->dropped = true;
            sm.conflicts++;
            continue;
        } else if (p->again) {
            p->session->tcp = NF_TCP_SYN_SENT;
            p->session->turned = p->reply;
            p->session->transitory = 0;
            follow(p->session);
        }
        if ((p->real->flags & (NF_P_FRAGMENT | NF_P_LATER)) == NF_P_FRAGMENT)
            note(p);
    }
    for (unsigned i = 0; i < SM_FLOWS; i++)
        if (sm.list[i].live && sm.list[i].fresh)
            end(&sm.list[i], NF_SESSION_REFUSED);
}

void sm_clear(unsigned nf, bool whole)
{
    for (unsigned i = 0; i < SM_FLOWS; i++) {
        struct sm_session *s = &sm.list[i];

        if (!s->live || !(s->members >> nf & 1))
            continue;
        if (whole || s->members == 1u << nf) {
            end(s, NF_SESSION_CLEARED);
        } else {
            sm.ended[nf][NF_SESSION_CLEARED]++;
            sm_leave(s, nf);
        }
    }
}

void sm_expire(void)
{
    for (unsigned i = 0; i < SM_FLOWS; i++) {
        struct sm_session *s = &sm.list[i];
        uint8_t class = nf_timeout_class(s->key[0].proto, s->tcp);
        uint64_t longest = 0;

        class = class >= NF_TIMEOUT_COUNT ? NF_TIMEOUT_UDP : class; /* below 30 s here */

        if (!s->live)
            continue;
        for (unsigned nf = 1; nf <= SM_NFS; nf++)
            if (s->members >> nf & 1 && sm.timeouts[nf][class] > longest)
                longest = sm.timeouts[nf][class];
        if (!s->members || s->seen + longest * NF_SECOND <= sm.now)
            end(s, NF_SESSION_IDLE);
    }
}

/* ---- what comes ---- */

/* Of IPv6, with the same addresses, ports and payload. */
static uint32_t make_ipv6(const struct nft_spec *s, uint8_t *frame)
{
    char from[46], to[46];
    const struct six six = SIX(s->proto, from, s->sport, to, s->dport, .tcp = s->tcp, .fragment = s->fragment,
                               .id = s->ip_id, .payload = s->payload);

    snprintf(from, sizeof(from), "2001:db8::%x:%x", s->src >> 16, s->src & 0xffff);
    snprintf(to, sizeof(to), "2001:db8::%x:%x", s->dst >> 16, s->dst & 0xffff);
    return six_frame(&six, frame);
}

uint32_t sm_make_frame(struct fuzz_input *in, bool alone, uint8_t *frame, uint8_t *side, uint8_t *say)
{
    uint8_t what = fuzz_u8(in), more, quoted[NFT_FRAME_MAX];
    struct nft_spec s = {.payload = 9, .type = 8};
    uint32_t host = NFT_IP(10, 0, 0, 1) + (what >> 1 & 3), other = NFT_IP(10, 0, 0, 1) + (what >> 3 & 3);
    uint32_t remote = NFT_IP(198, 51, 100, 1) + (what >> 3 & 1);
    uint16_t a, b;

    *side = what & 1 ? NF_OUTSIDE : NF_INSIDE;
    *say = fuzz_u8(in);
    a = *say & 1;
    b = *say >> 1 & 1;
    more = fuzz_u8(in);
    s.proto = (uint8_t[]){17, 6, 1, 1}[what >> 5 & 3];
    s.tcp = more & (uint8_t)~0x40;
    s.src = *side == NF_INSIDE ? host : remote;
    s.dst = *side == NF_INSIDE ? (what >> 7 ? other : remote) : host;
    s.sport = s.proto == 1 ? b : a;
    s.dport = b;
    if (*say & SM_NUMBER && (*side == NF_OUTSIDE || (what >> 7 && other == host))) {
        s.dst = SM_SITE;
        s.dport = (uint16_t)(1024 + (*say & SM_NUMBER));
        s.sport = s.proto == 1 ? s.dport : b;
    }
    if ((what >> 5 & 3) == 3) {
        struct nft_spec inner = {.src = s.dst, .dst = s.src, .sport = b, .dport = a, .proto = 17};

        nft_frame(&inner, quoted);
        s.payload = 0;
        s.type = s.code = 3;
        s.inner = quoted + 14;
        s.inner_len = 28;
    }
    if (s.proto == 17 && alone && more & 0x80) {
        s.fragment = more & 1 ? 100 : NFT_MORE;
        s.payload = more & 1 ? 9 : 16;
        s.ip_id = more >> 1 & 7;
    }
    return s.proto != 1 && more & 0x40 ? make_ipv6(&s, frame) : nft_frame(&s, frame);
}
