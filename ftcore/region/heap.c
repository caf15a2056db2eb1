/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A heap; see heap.h. It begins at a page: the header; bitmaps, of pages that are taken, and for each size of
 * pages that have a free block; an entry for each page; then the pages.
 */
#include "ftcore/region/heap.h"

#include <string.h>

#define CLASSES FT_HEAP_CLASSES
#define PAGE    FT_HEAP_PAGE
#define NOBODYS CLASSES /* index of the bitmap of pages that are taken */

/* What a page is, beside one of blocks of a size (its index). */
enum { FREE = CLASSES, LARGE, CONTINUED };

static const uint16_t sizes[CLASSES] = {16,  32,  48,  64,  80,  96,  112, 128,  160,  192, 224,
                                        256, 320, 384, 448, 512, 640, 816, 1024, 1360, 2048};

struct entry {
    uint64_t used[4]; /* its blocks, a bit each */
    uint8_t class, zero;
    uint16_t count; /* blocks that are given out */
    uint32_t pages; /* LARGE: of the block */
};

static uint64_t words_of(uint64_t pages)
{
    return (pages + 63) / 64;
}

static uint64_t entries_at(uint64_t pages)
{
    uint64_t end = sizeof(struct ft_heap) + (CLASSES + 1) * words_of(pages) * sizeof(uint64_t);

    return (end + FT_LINE - 1) / FT_LINE * FT_LINE;
}

static uint64_t pages_at(uint64_t pages)
{
    return (entries_at(pages) + pages * sizeof(struct entry) + PAGE - 1) / PAGE * PAGE;
}

static uint64_t *bitmap(const struct ft_heap *heap, unsigned which)
{
    return (uint64_t *)(uintptr_t)((const uint8_t *)heap + sizeof(*heap)) + which * words_of(heap->pages);
}

static struct entry *entry_at(const struct ft_heap *heap, uint32_t page)
{
    return (struct entry *)(uintptr_t)((const uint8_t *)heap + entries_at(heap->pages)) + page;
}

static uint8_t *page_at(const struct ft_heap *heap, uint32_t page)
{
    return (uint8_t *)(uintptr_t)heap + pages_at(heap->pages) + (uint64_t)page * PAGE;
}

static uint32_t blocks_of(unsigned class)
{
    return PAGE / sizes[class];
}

static bool has_bit(const uint64_t *words, uint32_t bit)
{
    return words[bit / 64] >> bit % 64 & 1;
}

uint64_t ft_heap_bytes(uint64_t bytes)
{
    /* A page for where the arena's next line is. */
    return PAGE + pages_at((bytes + PAGE - 1) / PAGE) + (bytes + PAGE - 1) / PAGE * PAGE;
}

struct ft_heap *ft_heap_make(struct ft_arena *arena, uint64_t bytes)
{
    uint64_t pages = (bytes + PAGE - 1) / PAGE;
    uint8_t *p =
        pages && pages <= FT_HEAP_PAGES && !arena->heap ? ft_arena_alloc(arena, ft_heap_bytes(bytes)) : NULL;
    struct ft_heap *heap;

    if (!p)
        return NULL;
    heap = (struct ft_heap *)(((uintptr_t)p + PAGE - 1) / PAGE * PAGE);
    heap->pages = (uint32_t)pages;
    for (uint32_t page = (uint32_t)pages; page % 64; page++) /* there are none of these */
        bitmap(heap, NOBODYS)[page / 64] |= 1ull << page % 64;
    arena->heap = heap;
    return heap;
}

/* ---- pages --------------------------------------------------------------------------------------- */

static void take_pages(struct ft_heap *heap, uint32_t page, uint32_t count, unsigned class)
{
    uint64_t *taken = bitmap(heap, NOBODYS);

    for (uint32_t i = page; i < page + count; i++) {
        taken[i / 64] |= 1ull << i % 64;
        *entry_at(heap, i) = (struct entry){.class = i == page ? (uint8_t) class : CONTINUED};
    }
    if (page + count > heap->next)
        heap->next = page + count;
}

static void give_pages(struct ft_heap *heap, uint32_t page, uint32_t count)
{
    uint64_t *taken = bitmap(heap, NOBODYS);

    for (uint32_t i = page; i < page + count; i++) {
        taken[i / 64] &= ~(1ull << i % 64);
        *entry_at(heap, i) = (struct entry){.class = FREE};
    }
    if (page / 64 < heap->hint[NOBODYS])
        heap->hint[NOBODYS] = page / 64;
}

/* The first page of `count` that nobody has, one behind the other; heap->pages: there are none. */
static uint32_t find_pages(struct ft_heap *heap, uint32_t count)
{
    const uint64_t *taken = bitmap(heap, NOBODYS);
    uint32_t words = (uint32_t)words_of(heap->pages), run = 0;

    while (heap->hint[NOBODYS] < words && taken[heap->hint[NOBODYS]] == UINT64_MAX)
        heap->hint[NOBODYS]++;
    for (uint32_t page = heap->hint[NOBODYS] * 64; page < heap->pages; page++) {
        if (run == 0 && page % 64 == 0 && taken[page / 64] == UINT64_MAX) {
            page += 63;
            continue;
        }
        run = has_bit(taken, page) ? 0 : run + 1;
        if (run == count)
            return page + 1 - count;
    }
    return heap->pages;
}

/* ---- blocks -------------------------------------------------------------------------------------- */

/* A page with a free block of this size. */
static uint32_t find_partial(struct ft_heap *heap, unsigned class)
{
    const uint64_t *partial = bitmap(heap, class);
    uint32_t words = (uint32_t)words_of(heap->pages), *hint = &heap->hint[class];

    while (*hint < words && !partial[*hint])
        ++*hint;
    return *hint < words ? *hint * 64 + (uint32_t)__builtin_ctzll(partial[*hint]) : heap->pages;
}

static void note_partial(struct ft_heap *heap, unsigned class, uint32_t page, bool partial)
{
    uint64_t *word = &bitmap(heap, class)[page / 64];

    *word = partial ? *word | 1ull << page % 64 : *word & ~(1ull << page % 64);
    if (partial && page / 64 < heap->hint[class])
        heap->hint[class] = page / 64;
}

static void *alloc_small(struct ft_heap *heap, unsigned class)
{
    uint32_t page = find_partial(heap, class), word = 0, bit;
    struct entry *e;

    if (page == heap->pages) {
        page = find_pages(heap, 1);
        if (page == heap->pages)
            return NULL;
        take_pages(heap, page, 1, class);
        note_partial(heap, class, page, true);
    }
    e = entry_at(heap, page);
    while (e->used[word] == UINT64_MAX)
        word++;
    bit = word * 64 + (uint32_t)__builtin_ctzll(~e->used[word]);
    e->used[word] |= 1ull << bit % 64;
    if (++e->count == blocks_of(class))
        note_partial(heap, class, page, false);
    heap->bytes += sizes[class];
    return page_at(heap, page) + bit * sizes[class];
}

static void *alloc_large(struct ft_heap *heap, uint64_t size)
{
    uint32_t count = (uint32_t)((size + PAGE - 1) / PAGE), page = find_pages(heap, count);

    if (page == heap->pages)
        return NULL;
    take_pages(heap, page, count, LARGE);
    entry_at(heap, page)->pages = count;
    heap->bytes += (uint64_t)count * PAGE;
    return page_at(heap, page);
}

void *ft_heap_alloc(struct ft_heap *heap, uint64_t size)
{
    void *p = NULL;

    if (size <= sizes[CLASSES - 1]) {
        unsigned class = 0;

        while (sizes[class] < size)
            class ++;
        p = alloc_small(heap, class);
    } else if (size <= (uint64_t)heap->pages * PAGE) {
        p = alloc_large(heap, size);
    }
    if (p)
        heap->blocks++;
    else
        heap->refused++;
    return p;
}

/* An address among its pages. */
static bool has_address(const struct ft_heap *heap, const void *p)
{
    return (uint64_t)((uintptr_t)p - (uintptr_t)page_at(heap, 0)) < (uint64_t)heap->pages * PAGE;
}

/* The page of a block that is in use, and its number there; heap->pages: none begins at `p`. */
static uint32_t find_block(const struct ft_heap *heap, const void *p, uint32_t *block)
{
    uint64_t at = (uint64_t)((uintptr_t)p - (uintptr_t)page_at(heap, 0));
    uint32_t page = (uint32_t)(at / PAGE);
    const struct entry *e;

    if (!has_address(heap, p) || page >= heap->next)
        return heap->pages;
    e = entry_at(heap, page);
    *block = 0;
    if (e->class >= CLASSES)
        return e->class == LARGE && at % PAGE == 0 && e->pages <= heap->next - page ? page : heap->pages;
    *block = (uint32_t)(at % PAGE / sizes[e->class]);
    return *block < blocks_of(e->class) && at % PAGE % sizes[e->class] == 0 && has_bit(e->used, *block)
               ? page
               : heap->pages;
}

static uint32_t find_own(const struct ft_heap *heap, const void *p, uint32_t *block)
{
    uint32_t page = find_block(heap, p, block);

    FT_CHECK(page < heap->pages, "%p is given back to a heap, and is no block of it that is in use", p);
    return page;
}

static uint64_t size_of(const struct entry *e)
{
    return e->class == LARGE ? (uint64_t)e->pages * PAGE : sizes[e->class];
}

bool ft_heap_holds(const struct ft_heap *heap, const void *p, uint64_t size)
{
    uint32_t block, page = find_block(heap, p, &block);

    return page < heap->pages && size_of(entry_at(heap, page)) >= size;
}

uint64_t ft_heap_size_of(const struct ft_heap *heap, const void *p)
{
    uint32_t block;

    return size_of(entry_at(heap, find_own(heap, p, &block)));
}

void ft_heap_free(struct ft_heap *heap, void *p)
{
    uint32_t block, page = find_own(heap, p, &block);
    struct entry *e = entry_at(heap, page);
    unsigned class = e->class;

    heap->blocks--;
    if (class == LARGE) {
        heap->bytes -= (uint64_t)e->pages * PAGE;
        give_pages(heap, page, e->pages);
        return;
    }
    heap->bytes -= sizes[class];
    e->used[block / 64] &= ~(1ull << block % 64);
    note_partial(heap, class, page, --e->count > 0);
    if (e->count == 0)
        give_pages(heap, page, 1);
}

/* ---- what a peer wrote --------------------------------------------------------------------------- */

static const char *check_blocks(const struct ft_heap *heap, uint32_t page, const struct entry *e)
{
    uint32_t most = blocks_of(e->class), count = 0;

    for (unsigned word = 0; word < 4; word++) {
        uint32_t here = most > word * 64 ? most - word * 64 : 0;

        if (here < 64 && e->used[word] >> here)
            return "a page has more blocks than it has room for";
        count += (uint32_t)__builtin_popcountll(e->used[word]);
    }
    if (count == 0 || count != e->count)
        return "a page's blocks are not as many as it says";
    return has_bit(bitmap(heap, e->class), page) == (count < most) ? NULL
                                                                   : "a page with room is not known as one";
}

/* A large block has all of its pages, and nobody else has one. */
static const char *check_large(const struct ft_heap *heap, uint32_t page, uint32_t *pages)
{
    const struct entry *e = entry_at(heap, page);

    if (e->pages == 0 || e->pages > heap->next - page)
        return "a block goes on behind the last page";
    for (uint32_t i = 1; i < e->pages; i++)
        if (entry_at(heap, page + i)->class != CONTINUED)
            return "a page is two blocks'";
    *pages = e->pages;
    return NULL;
}

/* What begins at `page`: how many pages it has; adds it up. */
static const char *check_entry(const struct ft_heap *heap, uint32_t page, uint32_t *pages,
                               struct ft_heap *sum)
{
    const struct entry *e = entry_at(heap, page);
    static const struct entry none;
    const char *wrong;

    *pages = 1;
    if (page >= heap->next)
        return memcmp(e, &none, sizeof(none)) == 0 ? NULL : "a page is in use behind the last one";
    if (e->class > LARGE || has_bit(bitmap(heap, NOBODYS), page) != (e->class != FREE))
        return "a page is taken and nobody's";
    if (e->class == FREE)
        return NULL;
    wrong = e->class == LARGE ? check_large(heap, page, pages) : check_blocks(heap, page, e);
    sum->bytes += e->class == LARGE ? (uint64_t)*pages * PAGE : (uint64_t)e->count * sizes[e->class];
    sum->blocks += e->class == LARGE ? 1 : e->count;
    for (uint32_t i = 1; i < *pages && !wrong; i++)
        wrong = has_bit(bitmap(heap, NOBODYS), page + i) ? NULL : "a page of a block is free";
    return wrong;
}

/* Bits of pages that are of no such size, or behind the last, and hints that hide some. */
static const char *check_bitmap(const struct ft_heap *heap, unsigned which)
{
    const uint64_t *words = bitmap(heap, which);
    uint32_t count = (uint32_t)words_of(heap->pages);

    if (heap->hint[which] > count)
        return "a hint is behind the last page";
    for (uint32_t page = 0; page < count * 64; page++) {
        bool bit = has_bit(words, page), last = page >= heap->pages;

        if (which == NOBODYS ? bit != last && page >= heap->next
                             : bit && (last || page >= heap->next || entry_at(heap, page)->class != which))
            return "a page is known as what it is not";
        if (page / 64 < heap->hint[which] && bit != (which == NOBODYS))
            return "a hint hides a page";
    }
    return NULL;
}

const char *ft_heap_check(const struct ft_heap *heap, void (*step)(void *arg), void *arg)
{
    struct ft_heap sum = {0};
    const char *wrong = heap->next <= heap->pages ? NULL : "more pages are in use than there are";

    for (uint32_t page = 0, pages; page < heap->pages && !wrong; page += pages) {
        wrong = check_entry(heap, page, &pages, &sum);
        if (step)
            step(arg);
    }
    for (unsigned which = 0; which <= NOBODYS && !wrong; which++)
        wrong = check_bitmap(heap, which);
    if (!wrong && (sum.bytes != heap->bytes || sum.blocks != heap->blocks))
        wrong = "it has given out another number of bytes than it says";
    return wrong;
}

/* ---- for others ---------------------------------------------------------------------------------- */

static uint64_t offset_of(const void *p, const struct ft_region *region)
{
    return (uint64_t)((const uint8_t *)p - region->base);
}

struct ft_heap_part ft_heap_part(const struct ft_heap *heap, const struct ft_region *region, unsigned which)
{
    uint32_t next = heap->next <= heap->pages ? heap->next : heap->pages;
    uint64_t end;

    if (which == 1)
        return (struct ft_heap_part){offset_of(page_at(heap, 0), region),
                                     offset_of(page_at(heap, next), region)};
    end = offset_of(entry_at(heap, next), region);
    return (struct ft_heap_part){offset_of(heap, region), (end + FT_LINE - 1) / FT_LINE * FT_LINE};
}

uint64_t ft_heap_end(const struct ft_heap *heap, const struct ft_region *region)
{
    return offset_of(page_at(heap, heap->pages), region);
}
