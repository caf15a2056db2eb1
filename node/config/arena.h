/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that lives and dies together: everything a configuration owns. Written by the reader of the
 * configuration only; what was handed out stays where it is until the whole arena is freed.
 */
#ifndef NODE_CONFIG_ARENA_H
#define NODE_CONFIG_ARENA_H

#include <stddef.h>

struct nd_arena;

struct nd_arena *nd_arena_new(void);        /* NULL: no memory */
void nd_arena_free(struct nd_arena *arena); /* NULL is fine */

/* Zeroed, aligned for anything. NULL: no memory. */
void *nd_arena_alloc(struct nd_arena *arena, size_t size);
/* A terminated copy of `len` bytes, or of printf's result. NULL: no memory. */
char *nd_arena_text(struct nd_arena *arena, const char *text, size_t len);
char *nd_arena_format(struct nd_arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
