/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets: the arithmetic, and one bucket for all lanes. Whole numbers alone, with what is left of the
 * last token kept, so the sum of tokens does not depend on how time is cut into bursts. Lanes' bursts have
 * times of their own: one that is behind another finds the bucket filled up already.
 */
#include "ftcore/order/section.h"
#include "nflib/module/env.h"
#include "nflib/shared/shared.h"

struct nf_shared_bucket {
    struct ft_shared head;
    _Alignas(FT_LINE) struct nf_bucket bucket;
    struct nf_rate rate;
};

void nf_bucket_full(struct nf_bucket *bucket, const struct nf_rate *rate, uint64_t now)
{
    *bucket = (struct nf_bucket){.level = rate->burst, .at = now};
}

uint64_t nf_bucket_fill(struct nf_bucket *bucket, const struct nf_rate *rate, uint64_t now)
{
    if (bucket->level > rate->burst) /* the rate was changed */
        bucket->level = rate->burst;
    if (now > bucket->at) {
        unsigned __int128 tokens = (unsigned __int128)(now - bucket->at) * rate->rate + bucket->rest;
        bool full = tokens / NF_SECOND >= rate->burst - bucket->level;

        bucket->level = full ? rate->burst : bucket->level + (uint64_t)(tokens / NF_SECOND);
        bucket->rest = full ? 0 : (uint64_t)(tokens % NF_SECOND);
        bucket->at = now;
    }
    return bucket->level;
}

bool nf_bucket_take(struct nf_bucket *bucket, const struct nf_rate *rate, uint64_t n, uint64_t now)
{
    if (nf_bucket_fill(bucket, rate, now) < n)
        return false;
    bucket->level -= n;
    return true;
}

uint64_t nf_shared_bucket_bytes(void)
{
    return sizeof(struct nf_shared_bucket);
}

struct nf_shared_bucket *nf_shared_bucket_make(struct nf *nf, const struct nf_rate *rate)
{
    struct nf_shared_bucket *b;
    struct nf home;
    bool created;

    b = nf_shared_object(nf, NF_SHARED_BUCKET, sizeof(*b), &home, &created);
    if (!b || !created)
        return b;
    b = NF_EDIT(nf, b);
    b->rate = *rate;
    nf_bucket_full(&b->bucket, rate, 0);
    return b;
}

bool nf_shared_bucket_take(const struct nf *nf, struct nf_shared_bucket *b, uint64_t n, uint64_t now)
{
    bool taken;

    ft_section_enter(nf->env->sections, &b->head);
    taken = nf_bucket_take(NF_EDIT(nf, &b->bucket), &b->rate, n, now);
    ft_section_leave(nf->env->sections, &b->head);
    return taken;
}

/* What came until `now` came at the old rate. */
void nf_shared_bucket_set(const struct nf *nf, struct nf_shared_bucket *b, const struct nf_rate *rate,
                          uint64_t now)
{
    ft_section_enter(nf->env->sections, &b->head);
    nf_bucket_fill(NF_EDIT(nf, &b->bucket), &b->rate, now);
    *NF_EDIT(nf, &b->rate) = *rate;
    ft_section_leave(nf->env->sections, &b->head);
}
