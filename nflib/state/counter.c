/* SPDX-License-Identifier: Apache-2.0 */
/* counter: one number with a line of its own, so that counting marks nothing else as changed. Written by the
 * NF's lane, read by it and, at a cut, by show. */
#include "nflib/state/watch.h"

struct nf_counter {
    _Alignas(FT_LINE) uint64_t value;
};

uint64_t nf_counter_bytes(void)
{
    return sizeof(struct nf_counter);
}

struct nf_counter *nf_counter_make(struct nf *nf)
{
    struct nf_counter *counter = ft_arena_alloc(nf->arena, sizeof(struct nf_counter));

    if (counter)
        NF_WATCH(made, nf, NF_WATCH_WORD, counter, sizeof(*counter));
    return counter;
}

void nf_counter_add(const struct nf *nf, struct nf_counter *counter, uint64_t n)
{
    *NF_EDIT(nf, &counter->value) += n;
}

uint64_t nf_counter_get(const struct nf_counter *counter)
{
    return counter->value;
}
