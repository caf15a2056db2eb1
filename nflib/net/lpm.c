/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of networks by their first three bytes, with groups of 256 entries for each byte behind them; see
 * lpm.h. (Gupta, Lin, McKeown: Routing lookups in hardware at memory access speeds, INFOCOM 1998.) Owns its
 * memory, of the process. Networks come from the largest to the smallest, so one writes over what it lies in.
 */
#include "nflib/net/lpm.h"
#include "ftcore/base/check.h"

#include <stdlib.h>
#include <sys/mman.h>

#define TOP_BITS     24u
#define TOP_BYTES    (sizeof(uint32_t) << TOP_BITS)
#define GROUPS_BYTES ((uint64_t)NF_LPM_GROUPS_MAX * 1024)

/* Zeros, of which only what is used is memory, by large pages where there are. NULL: none. */
static void *reserve(uint64_t bytes)
{
    const int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, how, -1, 0); /* lint: config-time */

    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

int nf_lpm_make(struct nf_lpm **out, struct ft_fault *fault)
{
    struct nf_lpm *t = calloc(1, sizeof(*t)); /* lint: config-time */

    *out = NULL;
    if (t) {
        t->top = reserve(TOP_BYTES);
        t->group = reserve(GROUPS_BYTES);
    }
    if (!t || !t->top || !t->group) {
        nf_lpm_free(t);
        return ft_fail(fault, FT_ENOMEM, "no memory for a table of networks");
    }
    *out = t;
    return FT_OK;
}

void nf_lpm_free(struct nf_lpm *t)
{
    if (t && t->top)
        munmap(t->top, TOP_BYTES);
    if (t && t->group)
        munmap(t->group, GROUPS_BYTES);
    free(t); /* lint: config-time */
}

void nf_lpm_find_all(const struct nf_lpm *t, const uint8_t *const addr[], uint32_t n, uint32_t out[])
{
    const uint32_t *entry[NF_LPM_ALL_MAX];
    uint8_t of[NF_LPM_ALL_MAX]; /* whose entry it is */
    uint32_t left = n;

    for (uint32_t i = 0; i < n; i++) {
        of[i] = (uint8_t)i;
        entry[i] = nf_lpm_top(t, addr[i]);
        __builtin_prefetch(entry[i]);
    }
    for (unsigned at = 3; left; at++) {
        uint32_t more = 0;

        for (uint32_t k = 0; k < left; k++) {
            uint32_t found = *entry[k];
            uint8_t i = of[k];

            out[i] = found ? found : t->whole;
            if (found & NF_LPM_GROUP) {
                of[more] = i;
                entry[more] = &t->group[found & ~NF_LPM_GROUP][addr[i][at]];
                __builtin_prefetch(entry[more++]);
            }
        }
        left = more;
    }
}

uint64_t nf_lpm_bytes(const struct nf_lpm *t)
{
    return TOP_BYTES + (uint64_t)t->groups * sizeof(*t->group);
}

/* Its 256 entries have the value. */
static int add_group(struct nf_lpm *t, uint32_t value, struct ft_fault *fault)
{
    if (t->groups == NF_LPM_GROUPS_MAX)
        return ft_fail(fault, FT_EFULL, "networks of more than %u bits lie in more than %u others", TOP_BITS,
                       NF_LPM_GROUPS_MAX);
    for (unsigned i = 0; i < 256; i++)
        t->group[t->groups][i] = value;
    t->groups++;
    return FT_OK;
}

#define TOP UINT32_MAX /* in place of a group */

static uint32_t *entries(const struct nf_lpm *t, uint32_t group)
{
    return group == TOP ? t->top : t->group[group];
}

int nf_lpm_add(struct nf_lpm *t, const uint8_t *addr, unsigned bits, uint32_t value, struct ft_fault *fault)
{
    uint32_t group = TOP, first = (uint32_t)(nf_lpm_top(t, addr) - t->top), n, *entry;
    unsigned end = TOP_BITS; /* of the bits that the entries are for */

    FT_CHECK(value && value < NF_LPM_GROUP, "a network's value is %u", value);
    if (bits == 0) {
        t->whole = value;
        return FT_OK;
    }
    for (; bits > end; end += 8) {
        uint32_t inside = entries(t, group)[first];

        if (!(inside & NF_LPM_GROUP)) {
            int error = add_group(t, inside, fault);

            if (error)
                return error;
            inside = NF_LPM_GROUP | (t->groups - 1);
            entries(t, group)[first] = inside;
        }
        group = inside & ~NF_LPM_GROUP;
        first = addr[end / 8];
    }
    n = 1u << (end - bits);
    entry = entries(t, group) + (first & ~(n - 1));
    for (uint32_t i = 0; i < n; i++) {
        FT_CHECK(!(entry[i] & NF_LPM_GROUP), "a network of %u bits behind a smaller one", bits);
        entry[i] = value;
    }
    return FT_OK;
}
