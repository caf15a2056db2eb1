/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a table of sessions that came from a peer is one that the lane could have made. Its shape is
 * constant and has been compared, wheel and fragments have been checked as such. Here are counts, the list of
 * free records, the records, that each has its keys in the index and a timer, once. What fragments point to
 * is looked at in fragments.c. Reads only.
 */
#include "nflib/session/index.h"

#include "nflib/net/packet.h"

#include <stdio.h>

/* As in nflib/state/map.c: buckets that a reference lies behind its home, at most. */
#define WAY_MAX 64u

/* What the check finds out on its way. */
struct found {
    uint64_t *seen;   /* bit of each reference that has a place */
    uint32_t *passed; /* [buckets] */
    uint32_t keys;    /* that records have */
    uint32_t in_use[FT_NFS_MAX];
    uint32_t in_order[NF_SESSION_ORDERS + 1];
};

static int check_counts(struct nf_check *c, const struct nf_sessions *t)
{
    uint64_t used = 0;

    if (t->touched > t->capacity || t->count > t->touched || t->free > t->touched)
        return nf_check_failed(c, "%u records were used, %u are, %u is free, expected at most %u", t->touched,
                               t->count, t->free, t->capacity);
    for (uint64_t w = 0; w < ((uint64_t)t->capacity + 63) / 64; w++) {
        uint64_t bits = nf_sessions_used(t)[w], first = w * 64;

        nf_check_step(c);
        if (first + 64 > t->touched && bits >> (t->touched > first ? t->touched - first : 0))
            return nf_check_failed(c, "a session behind the %u ever used is used", t->touched);
        used += (uint64_t)__builtin_popcountll(bits);
    }
    if (used != t->count)
        return nf_check_failed(c, "%lu sessions are used, expected %u, the count", used, t->count);
    for (uint32_t i = 0; i < FT_NFS_MAX; i++)
        for (unsigned class = 0; class < NF_TIMEOUT_COUNT; class ++)
            if (t->timeouts[i][class] > NF_TIMEOUT_MAX)
                return nf_check_failed(c, "timeout %u of NF %u is %u seconds, expected at most %u", class, i,
                                       t->timeouts[i][class], NF_TIMEOUT_MAX);
    for (uint32_t i = 0; i < FT_NFS_MAX; i++)
        if (t->walks[i].what & ~(uint32_t)NF_SESSION_CHANGES || (t->walks[i].what && !t->slot_at[i]))
            return nf_check_failed(
                c,
                "change %u of sessions of NF %u is under way, expected none or 1 to 7 of an NF in sessions",
                t->walks[i].what, i);
    return 0;
}

static int check_free(struct nf_check *c, const struct nf_sessions *t)
{
    uint32_t next = t->free;

    for (uint32_t left = t->touched - t->count; left; left--) {
        nf_check_step(c);
        if (next == 0 || next > t->touched || nf_session_is_used(t, next - 1))
            return nf_check_failed(c, "record %u is in the list of free ones, expected one that is free",
                                   next - 1);
        next = nf_get32((const uint8_t *)nf_session_at(t, next - 1));
    }
    return next ? nf_check_failed(c, "the list of free records does not end") : 0;
}

/* A key of IPv6 is what its addresses give. */
static bool has_addresses(const struct nf_sessions *t, uint32_t record, unsigned which)
{
    const struct nf_tuple *key = &nf_session_at(t, record)->key[which];
    struct nf_tuple given = *key;

    if (!key->ipv6)
        return true;
    if (!t->addresses_at)
        return false;
    nf_session_hash_addresses(t, &nf_session_addresses(t, record)->key[which], &given);
    return nf_session_same(key, &given);
}

static bool same_key(const struct nf_sessions *t, uint32_t a, uint32_t b)
{
    const struct nf_tuple *key = &nf_session_at(t, a >> 1)->key[a & 1];

    return nf_session_same(key, &nf_session_at(t, b >> 1)->key[b & 1]) &&
           (!key->ipv6 ||
            memcmp(&nf_session_addresses(t, a >> 1)->key[a & 1], &nf_session_addresses(t, b >> 1)->key[b & 1],
                   sizeof(struct nf_addresses)) == 0);
}

/* Of one protocol, or of one family each where an NF of the chain changes that. */
static bool are_a_pair(const struct nf_sessions *t, const struct nf_session *s)
{
    const struct nf_tuple *four = &s->key[s->key[0].ipv6], *six = &s->key[!s->key[0].ipv6];

    if (s->key[0].ipv6 == s->key[1].ipv6 || !t->family)
        return s->key[0].proto == s->key[1].proto;
    return four->proto == NF_PROTO_ICMP ? six->proto == NF_PROTO_ICMPV6 : six->proto == four->proto;
}

static uint8_t states_of(uint8_t proto)
{
    return proto == NF_PROTO_TCP ? NF_TCP_STATES : nf_proto_is_of_icmp(proto) ? 1 : NF_ASSURED + 1;
}

static int check_record(struct nf_check *c, const struct nf_sessions *t, uint32_t record, struct found *found)
{
    const struct nf_session *s = nf_session_at(t, record);
    uint8_t flags = nf_session_flags(s);

    if (s->seen > c->time)
        return nf_check_failed(c, "session %u was seen at %lu, expected %lu, the chain's time, at most",
                               record, s->seen, c->time);
    if (nf_session_tcp(s) >= states_of(s->key[0].proto) ||
        nf_session_class(s) != nf_timeout_class(s->key[0].proto, nf_session_tcp(s)) ||
        flags & ~NF_SESSION_FLAGS || flags & NF_SESSION_NEW || !are_a_pair(t, s))
        return nf_check_failed(
            c, "session %u has protocols %u and %u, state %u, timeout %u, flags %u, which none has", record,
            s->key[0].proto, s->key[1].proto, nf_session_tcp(s), nf_session_class(s), flags);
    if (s->key[0].zero || s->key[1].zero || (s->key[0].ipv6 != s->key[1].ipv6 && !t->family) ||
        !has_addresses(t, record, 0) || !has_addresses(t, record, 1))
        return nf_check_failed(c, "session %u has a key that is not of its family or its addresses", record);
    if ((flags & NF_SESSION_ONE_KEY) && !same_key(t, record << 1, record << 1 | 1))
        return nf_check_failed(c, "session %u has two keys, expected one", record);
    for (uint32_t left = s->members; left; left &= left - 1) {
        uint32_t nf = (uint32_t)__builtin_ctz(left);

        if (!t->slot_at[nf])
            return nf_check_failed(c, "NF %u is in session %u, expected one with a slot", nf, record);
        found->in_use[nf]++;
    }
    if (!nf_wheel_has(t->wheel, record))
        return nf_check_failed(c, "session %u has no timer", record);
    found->keys += flags & NF_SESSION_ONE_KEY ? 1 : 2;
    found->in_order[nf_session_order(s)]++;
    return 0;
}

static int check_records(struct nf_check *c, const struct nf_sessions *t, struct found *found)
{
    int error;

    for (uint32_t record = 0; record < t->capacity; record++) {
        nf_check_step(c);
        if (!nf_session_is_used(t, record)) {
            if (nf_wheel_has(t->wheel, record))
                return nf_check_failed(c, "session %u has a timer and is none", record);
        } else if ((error = check_record(c, t, record, found)) != 0) {
            return error;
        }
    }
    for (uint32_t i = 0; i < FT_NFS_MAX; i++)
        if (t->in_use[i] != found->in_use[i] || (t->slot_at[i] && t->in_use[i] > t->max_flows[i]))
            return nf_check_failed(c, "NF %u is in %u sessions, expected %u", i, t->in_use[i],
                                   found->in_use[i]);
    return 0;
}

/* The record of a list's link, whose 0 is none, as text. */
static const char *link_text(char out[12], uint32_t link)
{
    snprintf(out, 12, "%u", link - 1);
    return link ? out : "none";
}

static const char *const order_names[NF_SESSION_ORDERS] = {"transitory", "assured"};

/* All that are of an order, once each, in a list that is the same in both directions. */
static int check_order(struct nf_check *c, const struct nf_sessions *t, uint32_t order, uint32_t count)
{
    uint32_t before = 0, at = t->order[order].oldest;
    char a[12], b[12];

    for (uint32_t left = count; left; left--) {
        nf_check_step(c);
        if (!at || !nf_session_is_used(t, at - 1) || nf_session_order(nf_session_at(t, at - 1)) != order ||
            nf_session_link(t, at - 1)->older != before)
            return nf_check_failed(c, "session %s comes behind %s, expected a %s one that does",
                                   link_text(a, at), link_text(b, before), order_names[order]);
        before = at;
        at = nf_session_link(t, at - 1)->younger;
    }
    if (at || t->order[order].youngest != before)
        return nf_check_failed(c, "session %s is the youngest %s one, expected %s, with none behind it",
                               link_text(a, t->order[order].youngest), order_names[order],
                               link_text(b, before));
    return 0;
}

static int check_orders(struct nf_check *c, const struct nf_sessions *t, const struct found *found)
{
    int error = 0;

    for (uint32_t order = 0; order < NF_SESSION_ORDERS && !error; order++)
        error = check_order(c, t, order, found->in_order[order]);
    if (!error && t->hand &&
        (!nf_session_is_used(t, t->hand - 1) ||
         nf_session_order(nf_session_at(t, t->hand - 1)) != NF_SESSION_ASSURED))
        return nf_check_failed(c, "session %u is the next to be looked at, expected an assured one",
                               t->hand - 1);
    return error;
}

/* The reference at place i of bucket b lies where its key leads to, and no other of the same key before it.
 */
static int check_place(struct nf_check *c, const struct nf_sessions *t, uint32_t b, uint32_t i,
                       struct found *found)
{
    const struct nf_session_bucket *bucket = nf_session_bucket_at(t, b);
    uint32_t ref = bucket->ref[i], steps = 0;
    const struct nf_tuple *key;
    uint64_t hash;

    if (!nf_session_is_used(t, ref >> 1) ||
        (ref & 1 && nf_session_flags(nf_session_at(t, ref >> 1)) & NF_SESSION_ONE_KEY))
        return nf_check_failed(c, "bucket %u names key %u of session %u, expected one that is there", b,
                               ref & 1, ref >> 1);
    if (found->seen[ref / 64] >> ref % 64 & 1)
        return nf_check_failed(c, "key %u of session %u has two places", ref & 1, ref >> 1);
    found->seen[ref / 64] |= 1ull << ref % 64;
    key = &nf_session_at(t, ref >> 1)->key[ref & 1];
    hash = nf_session_hash(t, key);
    if (bucket->tag[i] != nf_key_tag(hash))
        return nf_check_failed(c, "key %u of session %u has another tag than it gives", ref & 1, ref >> 1);
    for (uint32_t at = nf_key_bucket(hash, t->buckets);; at = at + 1 < t->buckets ? at + 1 : 0) {
        const struct nf_session_bucket *way = nf_session_bucket_at(t, at);

        for (uint32_t j = 0; j < (at == b ? i : NF_SESSION_PLACES); j++)
            if (way->tag[j] == bucket->tag[i] && nf_session_is_used(t, way->ref[j] >> 1) &&
                same_key(t, way->ref[j], ref))
                return nf_check_failed(c, "sessions %u and %u have the same key", way->ref[j] >> 1, ref >> 1);
        if (at == b)
            return 0;
        if (++steps > WAY_MAX)
            return nf_check_failed(c, "key %u of session %u lies too far from where it leads to", ref & 1,
                                   ref >> 1);
        found->passed[at]++;
    }
}

static int check_index(struct nf_check *c, const struct nf_sessions *t, struct found *found)
{
    uint32_t places = 0;
    int error;

    for (uint32_t b = 0; b < t->buckets; b++)
        for (uint32_t i = 0; i < NF_SESSION_PLACES; i++) {
            if (!nf_session_bucket_at(t, b)->tag[i])
                continue;
            nf_check_step(c);
            places++;
            if ((error = check_place(c, t, b, i, found)) != 0)
                return error;
        }
    if (places != found->keys)
        return nf_check_failed(c, "%u keys have places, expected %u", places, found->keys);
    for (uint32_t b = 0; b < t->buckets; b++)
        if (nf_session_bucket_at(t, b)->passed != found->passed[b])
            return nf_check_failed(c, "bucket %u was passed by %u keys, expected %u", b,
                                   nf_session_bucket_at(t, b)->passed, found->passed[b]);
    return 0;
}

int nf_sessions_check(struct nf_check *c, const void *object)
{
    const struct nf_sessions *t = object;
    struct found found = {.seen = nf_check_memory(c, 0, (2ull * t->capacity + 63) / 64 * sizeof(*found.seen)),
                          .passed = nf_check_memory(c, 1, t->buckets * sizeof(*found.passed))};
    int error;

    if (!found.seen || !found.passed)
        return FT_ENOMEM;
    if ((error = check_counts(c, t)) || (error = check_free(c, t)) || (error = check_records(c, t, &found)) ||
        (error = check_orders(c, t, &found)) || (error = check_index(c, t, &found)))
        return error;
    error = nf_fragments_check(c, t);
    return error ? error : nf_session_hosts_check(c, t);
}
