/* SPDX-License-Identifier: Apache-2.0 */
/* An index of rules that finds no memory is not there at all, wherever in its making that is. */
#include <stdbool.h>
#include <stdlib.h>

static long left, live; /* allocations that succeed; blocks that are there */

static void *counted(void *p, bool is_new)
{
    live += p && is_new;
    return p;
}
static void *cleared(size_t n, size_t size)
{
    return left-- > 0 ? counted(calloc(n, size), true) : NULL;
}
static void *resized(void *old, size_t size)
{
    return left-- > 0 ? counted(realloc(old, size), !old) : NULL;
}
static void released(void *p)
{
    live -= p != NULL;
    free(p);
}
#define malloc(size)     cleared(1, size)
#define calloc(n, size)  cleared(n, size)
#define realloc(p, size) resized(p, size)
#define free(p)          released(p)
#include "nflib/net/classifier.c"
#undef malloc
#undef calloc
#undef realloc
#undef free
#include "tests/help/test.h"

/* Rule i: ports from i on, and an address of each family. */
static unsigned spans(const void *arg, uint32_t rule, enum nf_field field, struct nf_span out[])
{
    bool port = field == NF_FIELD_SPORT, addr = field == NF_FIELD_FROM4 || field == NF_FIELD_FROM6;

    (void)arg;
    out[0] = nf_span_all(field);
    out[0].first = port || addr ? rule : 0;
    return 1;
}

TEST(without_memory_there_is_no_index)
{
    const struct nf_classifier_rules rules = {.count = 300, .spans = spans};
    struct nf_packet p = {.flags = NF_P_IPV4, .sport = htobe16(299), .saddr = htobe32(77)};
    struct nf_classifier *c;
    int error = FT_ENOMEM;

    for (long allocations = 0; error; allocations++) {
        left = allocations;
        error = nf_classifier_make(&c, &rules, &help_fault);
        if (!error)
            continue;
        assert_int_equal(error, FT_ENOMEM);
        assert_string_equal(help_fault.text, "no memory for the index of 300 rules");
        assert_null(c);
        assert_int_equal(live, 0);
        assert_in_range(allocations, 0, 1000);
    }
    assert_int_equal(nf_classify(c, &p), 0);
    p.sport = p.saddr = 0;
    assert_int_equal(nf_classify(c, &p), 0);
    nf_classifier_free(c);
    assert_int_equal(live, 0);
}
