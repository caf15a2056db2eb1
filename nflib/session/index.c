/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table's index, which leads to records by either key, and its list of free records; see table.c for how
 * they lie. Owns nothing of its own.
 */
#include "nflib/session/index.h"

#include <string.h>

/* ---- keys -------------------------------------------------------------------------------------- */

const struct nf_session *nf_session_find(const struct nf_sessions *t, const struct nf_tuple *key,
                                         const struct nf_addresses *addresses, uint64_t hash, uint32_t *which)
{
    const uint32_t home = nf_key_bucket(hash, t->buckets);
    uint32_t b = home;

    do {
        const struct nf_session_bucket *bucket = nf_session_bucket_at(t, b);

        for (uint32_t hits = ft_match_tags(bucket->tag, nf_key_tag(hash)); hits; hits &= hits - 1) {
            uint32_t ref = bucket->ref[__builtin_ctz(hits) / 2];
            const struct nf_session *s = nf_session_at(t, ref >> 1);

            if (ft_likely(nf_session_same(&s->key[ref & 1], key)) &&
                (!addresses || memcmp(&nf_session_addresses(t, ref >> 1)->key[ref & 1], addresses,
                                      sizeof(*addresses)) == 0)) {
                *which = ref & 1;
                return s;
            }
        }
        if (ft_likely(!bucket->passed))
            return NULL;
        b = nf_session_bucket_after(t, b);
    } while (b != home);
    return NULL;
}

/* There is room: a bucket has 8 places, and 5 are filled at most on average. */
void nf_session_enter(const struct nf *nf, const struct nf_sessions *t, uint32_t ref,
                      const struct nf_tuple *key)
{
    uint64_t hash = nf_session_hash(t, key);
    uint32_t b = nf_key_bucket(hash, t->buckets), empty, i;

    nf_sessions_lane(nf)->changed = true;
    while (!(empty = ft_match_tags(nf_session_bucket_at(t, b)->tag, 0))) {
        (*NF_EDIT(nf, &nf_session_bucket_at(t, b)->passed))++;
        b = nf_session_bucket_after(t, b);
    }
    i = (uint32_t)__builtin_ctz(empty) / 2;
    *NF_EDIT(nf, &nf_session_bucket_at(t, b)->tag[i]) = nf_key_tag(hash);
    *NF_EDIT(nf, &nf_session_bucket_at(t, b)->ref[i]) = ref;
}

void nf_session_forget(const struct nf *nf, const struct nf_sessions *t, uint32_t ref,
                       const struct nf_tuple *key)
{
    uint64_t hash = nf_session_hash(t, key);
    uint32_t home = nf_key_bucket(hash, t->buckets), b = home;

    nf_sessions_lane(nf)->changed = true;
    do {
        const struct nf_session_bucket *bucket = nf_session_bucket_at(t, b);

        for (uint32_t hits = ft_match_tags(bucket->tag, nf_key_tag(hash)); hits; hits &= hits - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(hits) / 2;

            if (bucket->ref[i] != ref)
                continue;
            *NF_EDIT(nf, &bucket->tag[i]) = 0;
            return;
        }
        (*NF_EDIT(nf, &bucket->passed))--;
        b = nf_session_bucket_after(t, b);
    } while (b != home);
    FT_CHECK(false, "key %u of session %u is in no bucket", ref & 1, ref >> 1);
}

/* ---- records ----------------------------------------------------------------------------------- */

uint32_t nf_session_take(const struct nf *nf, const struct nf_sessions *t)
{
    uint32_t record = t->free - 1;

    if (t->count == t->capacity)
        return NF_NONE;
    if (t->free)
        *NF_EDIT(nf, &t->free) = nf_get32((const uint8_t *)nf_session_at(t, record));
    else
        record = (*NF_EDIT(nf, &t->touched))++;
    (*NF_EDIT(nf, &t->count))++;
    return record;
}

void nf_session_use(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    *NF_EDIT(nf, &nf_sessions_used(t)[record / 64]) |= 1ull << record % 64;
}

void nf_session_give(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    FT_CHECK(nf_session_is_used(t, record), "session %u of %u is not used", record, t->capacity);
    *NF_EDIT(nf, &nf_sessions_used(t)[record / 64]) &= ~(1ull << record % 64);
    memcpy(nf_edit(nf, nf_session_at(t, record), sizeof(uint32_t)), &t->free, sizeof(uint32_t));
    *NF_EDIT(nf, &t->free) = record + 1;
    (*NF_EDIT(nf, &t->count))--;
}

uint32_t nf_session_next(const struct nf_sessions *t, uint32_t record)
{
    const uint64_t *words = nf_sessions_used(t);

    while (record < t->capacity) {
        uint64_t word = words[record / 64] >> record % 64;

        if (word)
            return record + (uint32_t)__builtin_ctzll(word);
        record = (record / 64 + 1) * 64;
    }
    return NF_NONE;
}

/* The longest that an NF in it wants. Of UDP without an answer no longer than NF_UDP_UNANSWERED. */
uint64_t nf_session_timeout(const struct nf_sessions *t, const struct nf_session *s)
{
    uint32_t longest = 0, class = nf_session_class(s);
    bool unanswered = class == NF_TIMEOUT_UDP_UNANSWERED;
    uint32_t setting = nf_timeout_setting((uint8_t) class);

    for (uint32_t left = s->members; left; left &= left - 1) {
        uint32_t seconds = t->timeouts[__builtin_ctz(left)][setting];

        longest = seconds > longest ? seconds : longest;
    }
    return (unanswered && longest > NF_UDP_UNANSWERED ? NF_UDP_UNANSWERED : longest) * NF_SECOND;
}
