/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks in a list; see arena.h. Each allocation above half a block gets a block of its own. */
#include "node/config/arena.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)16 << 10)

struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char data[];
};

struct nd_arena {
    struct block *blocks; /* the first is the one being filled */
};

struct nd_arena *nd_arena_new(void)
{
    return calloc(1, sizeof(struct nd_arena));
}

void nd_arena_free(struct nd_arena *arena)
{
    if (!arena)
        return;
    while (arena->blocks) {
        struct block *next = arena->blocks->next;

        free(arena->blocks);
        arena->blocks = next;
    }
    free(arena);
}

/* `own`: for one allocation; the block being filled stays the first. */
static struct block *block_add(struct nd_arena *arena, size_t size, bool own)
{
    struct block *block = calloc(1, sizeof(*block) + size);

    if (!block)
        return NULL;
    block->size = size;
    if (arena->blocks && own) {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    } else {
        block->next = arena->blocks;
        arena->blocks = block;
    }
    return block;
}

void *nd_arena_alloc(struct nd_arena *arena, size_t size)
{
    struct block *block = arena->blocks;
    void *p;

    if (size > (size_t)1 << 30)
        return NULL;
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (size > BLOCK / 2)
        block = block_add(arena, size, true);
    else if (!block || block->size - block->used < size)
        block = block_add(arena, BLOCK, false);
    if (!block)
        return NULL;
    p = block->data + block->used;
    block->used += size;
    return p;
}

char *nd_arena_text(struct nd_arena *arena, const char *text, size_t len)
{
    char *copy = nd_arena_alloc(arena, len + 1);

    if (copy)
        memcpy(copy, text, len);
    return copy;
}

char *nd_arena_format(struct nd_arena *arena, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        return NULL;
    text = nd_arena_alloc(arena, (size_t)len + 1);
    if (text) {
        va_start(ap, fmt);
        vsnprintf(text, (size_t)len + 1, fmt, ap);
        va_end(ap);
    }
    return text;
}
