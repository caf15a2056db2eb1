/* SPDX-License-Identifier: Apache-2.0 */
/* State that came from a peer: an NF's heap of every age passes the chain's check, and damage to what it
 * knows of itself is refused, in a line that says so. Damage of all kinds: test_heap.c. */
#include "nflib/module/heap.h"
#include "tests/help/content.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static struct help_nf h;

static uint64_t heap_bytes(const void *config)
{
    (void)config;
    return 64u << 10;
}

static const struct nf_module with_heap = {.name = "with_heap", .heap = heap_bytes};

static void a_heap_is_checked(void **unused)
{
    struct ft_heap *heap;
    void *p[30];

    (void)unused;
    help_nf_open(&h, ft_heap_bytes(64u << 10), 5);
    content_of(&h);
    h.nf->module = &with_heap;
    assert_true(nf_heap_make(h.nf));
    heap = h.nf->heap;
    content_passes();
    for (unsigned i = 0; i < 30; i++)
        p[i] = ft_heap_alloc(heap, 1 + i * 10);
    content_passes();
    for (unsigned i = 0; i < 30; i += 2)
        ft_heap_free(heap, p[i]);
    content_passes();
    DAMAGED(&heap->pages, heap->pages + 1, "constant");
    DAMAGED(&heap->next, heap->pages + 1, "more pages are in use than there are");
    DAMAGED(&heap->next, heap->next - 1, "heap");
    DAMAGED(&heap->bytes, heap->bytes + 16, "it has given out another number of bytes than it says");
    DAMAGED(&heap->blocks, heap->blocks - 1, "it has given out another number");
    DAMAGED(&heap->hint[FT_HEAP_CLASSES], heap->pages, "a hint");
    help_nf_close(&h);
}

/* What there would be of pages that nobody has had: all zeros. */
static void pages_beyond_those_in_use_are_nobodys(void **unused)
{
    struct ft_heap *heap;
    struct ft_heap_part known, all;
    uint32_t next;
    void *p[4];

    (void)unused;
    help_nf_open(&h, ft_heap_bytes(64u << 10), 5);
    content_of(&h);
    h.nf->module = &with_heap;
    assert_true(nf_heap_make(h.nf));
    heap = h.nf->heap;
    for (unsigned i = 0; i < 4; i++)
        p[i] = ft_heap_alloc(heap, 2 * FT_HEAP_PAGE);
    next = heap->next;
    assert_int_equal(next, 8); /* 16 entries of 40 bytes are ten lines, 8 are five */
    known = ft_heap_part(heap, h.region, 0);
    heap->next = heap->pages;
    all = ft_heap_part(heap, h.region, 0);
    heap->next = next;
    assert_int_equal(all.to - known.to, 320);
    content_passes();
    for (uint64_t at = known.to; at < all.to; at++)
        DAMAGED(&h.region->base[at], 22, "a page is in use behind the last one");
    assert_true(ft_heap_holds(heap, p[3], 2 * FT_HEAP_PAGE));
    heap->next = next - 1; /* its second page is none */
    assert_false(ft_heap_holds(heap, p[3], 1));
    assert_true(ft_heap_holds(heap, p[2], 1));
    heap->next = next - 2;
    assert_false(ft_heap_holds(heap, p[3], 1));
    heap->next = next;
    help_nf_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heap_is_checked),
        cmocka_unit_test(pages_beyond_those_in_use_are_nobodys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
