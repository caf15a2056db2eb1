/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets: the arithmetic alone, no state. Whole numbers, with what is left of the last token kept, so
 * the sum of tokens does not depend on how time is cut into bursts. Lanes' bursts have times of their own:
 * one that is behind another finds the bucket filled up already.
 */
#include "nflib/shared/shared.h"

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
