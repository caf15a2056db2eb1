/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a configuration, and what is in a file that it is made of: read once, from the disk, or from
 * a set of a peer's files that is looked at before it is written anywhere. For files of node/config.
 */
#ifndef NODE_CONFIG_CONTENT_H
#define NODE_CONFIG_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nd_files;
struct nf_file;

/* Memory that lives and dies together: everything a configuration owns. What was handed out stays where it
 * is until the whole arena is freed. Zeroed, aligned for anything. NULL: no memory. */
struct nd_arena *nd_arena_new(void);
void nd_arena_free(struct nd_arena *arena); /* NULL is fine */
void *nd_arena_alloc(struct nd_arena *arena, size_t size);
/* A terminated copy of `len` bytes, or of printf's result. */
char *nd_arena_text(struct nd_arena *arena, const char *text, size_t len);
char *nd_arena_format(struct nd_arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The set, seen from the directory of the pair file `pair`, which is read from the disk. */
struct nd_overlay {
    const struct nd_files *files;
    const char *pair;
};

/* Of at most `max` bytes, in `arena`, out of the set `over`. NULL, or why not, in words. */
const char *nd_content_read(struct nf_file *out, struct nd_arena *arena, const char *path,
                            const struct nd_overlay *over, uint32_t max);
/* The same of a file of the disk that is open already; closes it. */
const char *nd_content_read_open(struct nf_file *out, struct nd_arena *arena, const char *path, int fd,
                                 uint32_t max);
/* `path` stands in the set `over`, if anywhere. */
bool nd_content_is_over(const struct nd_overlay *over, const char *path);
/* NULL: a file is there, or in the set, and can be read; it is not. Or why not. */
const char *nd_content_find(const char *path, const struct nd_overlay *over);

#endif
