/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration is made of, see content.h: its memory, and the content of its files. */
#include "node/config/content.h"
#include "node/config/files.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- memory -------------------------------------------------------------------------------------- */

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

/* ---- files --------------------------------------------------------------------------------------- */

static const char *const no_memory = "no memory";

/* What may be there and is no file: not even opened, since that alone does something to a device. */
static const char *refuse_odd(const char *path)
{
    struct stat is;

    if (stat(path, &is) != 0 || access(path, R_OK) != 0)
        return strerror(errno);
    return S_ISREG(is.st_mode) ? NULL : "not a regular file";
}

static const char *keep(struct nf_file *out, struct nd_arena *arena, const char *path, const void *bytes,
                        uint32_t len)
{
    char *copy = nd_arena_alloc(arena, len + 1u), *name = nd_arena_text(arena, path, strlen(path));

    if (!copy || !name)
        return no_memory;
    if (len)
        memcpy(copy, bytes, len);
    *out = (struct nf_file){name, copy, len};
    return NULL;
}

/* What is read beyond the size that the file had is seen, too: a file that grows is read as far as it is. */
const char *nd_content_read_open(struct nf_file *out, struct nd_arena *arena, const char *path, int fd,
                                 uint32_t max)
{
    uint32_t len = 0, cap = 4096;
    char *bytes = malloc(cap), *more;
    const char *why = NULL;
    ssize_t n = -1;

    while (bytes && len <= max && (n = read(fd, bytes + len, cap - len)) > 0) {
        len += (uint32_t)n;
        if (len < cap)
            continue;
        more = realloc(bytes, cap *= 2);
        if (!more)
            free(bytes);
        bytes = more;
    }
    if (!bytes)
        why = no_memory;
    else if (len > max)
        why = strerror(EFBIG);
    else if (n < 0)
        why = strerror(errno);
    close(fd);
    if (!why)
        why = keep(out, arena, path, bytes, len);
    free(bytes);
    return why;
}

static const struct nd_file *find_in(const struct nd_overlay *over, const char *path)
{
    const char *name = nd_files_name(over->pair, path);

    for (uint32_t i = 0; i < over->files->count; i++)
        if (strcmp(over->files->list[i].path, name) == 0)
            return &over->files->list[i];
    return NULL;
}

bool nd_content_is_over(const struct nd_overlay *over, const char *path)
{
    return over && strcmp(path, over->pair) != 0;
}

const char *nd_content_read(struct nf_file *out, struct nd_arena *arena, const char *path,
                            const struct nd_overlay *over, uint32_t max)
{
    const struct nd_file *file = find_in(over, path);

    if (!file)
        return "not among the files that came";
    return file->len > max ? strerror(EFBIG) : keep(out, arena, path, file->bytes, file->len);
}

const char *nd_content_find(const char *path, const struct nd_overlay *over)
{
    return nd_content_is_over(over, path) && find_in(over, path) ? NULL : refuse_odd(path);
}
