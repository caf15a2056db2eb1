/* SPDX-License-Identifier: Apache-2.0 */
/* A list of allocations, freed together; see arena.h. */
#include "node/config/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
    max_align_t data[];
};

struct nd_arena {
    struct block *blocks;
};

struct nd_arena *nd_arena_new(void)
{
    return calloc(1, sizeof(struct nd_arena));
}

void nd_arena_free(struct nd_arena *arena)
{
    while (arena && arena->blocks) {
        struct block *block = arena->blocks;

        arena->blocks = block->next;
        free(block);
    }
    free(arena);
}

void *nd_arena_alloc(struct nd_arena *arena, size_t size)
{
    struct block *block = calloc(1, sizeof(*block) + size);

    if (!block)
        return NULL;
    block->next = arena->blocks;
    arena->blocks = block;
    return block->data;
}

char *nd_arena_text(struct nd_arena *arena, const char *text, size_t len)
{
    return nd_arena_format(arena, "%.*s", (int)len, text);
}

char *nd_arena_format(struct nd_arena *arena, const char *fmt, ...)
{
    va_list ap;
    char *text;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    text = len < 0 ? NULL : nd_arena_alloc(arena, (size_t)len + 1);
    if (text) {
        va_start(ap, fmt);
        vsnprintf(text, (size_t)len + 1, fmt, ap);
        va_end(ap);
    }
    return text;
}
