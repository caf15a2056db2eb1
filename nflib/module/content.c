/* SPDX-License-Identifier: Apache-2.0 */
/* Constants and objects of a lane, as the lane noted them; see content.h. */
#include "nflib/module/content.h"
#include "nflib/module/env.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more of `size` bytes. */
static bool grow_list(void **list, uint32_t count, uint32_t *room, size_t size)
{
    uint32_t more = *room ? 2 * *room : 32;
    void *bigger;

    if (count < *room)
        return true;
    bigger = realloc(*list, more * size);
    if (!bigger)
        return false;
    *list = bigger;
    *room = more;
    return true;
}

uint32_t nf_content_from(const struct nf_content *content, const uint8_t *at)
{
    uint32_t low = 0, high = content->kepts;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (content->kept[middle].at + content->kept[middle].n <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void nf_constant(const struct nf *nf, const void *p, size_t n)
{
    struct nf_content *content = nf->env->content;
    uint8_t *bytes = malloc(n);
    uint32_t at;

    FT_CHECK(n > 0 && n <= UINT32_MAX, "a constant of %zu bytes", n);
    if (!bytes ||
        !grow_list((void **)&content->kept, content->kepts, &content->kepts_room, sizeof(*content->kept))) {
        free(bytes);
        content->failed = true;
        return;
    }
    memcpy(bytes, p, n);
    at = nf_content_from(content, p);
    memmove(content->kept + at + 1, content->kept + at, (content->kepts - at) * sizeof(*content->kept));
    content->kept[at] = (struct nf_kept){.at = p, .bytes = bytes, .n = (uint32_t)n, .nf = nf->index};
    content->kepts++;
}

void nf_object(const struct nf *nf, const void *object, const char *kind,
               int (*check)(struct nf_check *c, const void *object))
{
    struct nf_content *content = nf->env->content;

    if (!grow_list((void **)&content->objects, content->count, &content->room, sizeof(*content->objects))) {
        content->failed = true;
        return;
    }
    content->objects[content->count++] =
        (struct nf_object){.at = object, .kind = kind, .check = check, .nf = nf->index};
}

void nf_content_free(struct nf_content *content)
{
    for (uint32_t i = 0; i < content->kepts; i++)
        free(content->kept[i].bytes);
    free(content->kept);
    free(content->objects);
    memset(content, 0, sizeof(*content));
}

/* "lane 0 nat: map at line 12: ": lines of its arena, from 0. */
int nf_check_failed(struct nf_check *c, const char *fmt, ...)
{
    const struct ft_region *region = c->nf->region;
    uint64_t offset = (uint64_t)((const uint8_t *)c->object - region->base);
    const struct ft_arena *arena = c->object ? ft_region_arena_at(region, offset) : NULL;
    char what[200], where[80] = "";
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    if (arena)
        snprintf(where, sizeof(where), ": %s at line %lu%s", c->kind,
                 (offset - arena->offset) >> FT_LINE_SHIFT, arena->lane == FT_LANES_MAX ? " shared" : "");
    return ft_fail(c->fault, FT_EMALFORMED, "state: lane %u %s%s: %s", c->nf->lane,
                   region->nf_name[c->nf->index], where, what);
}

void *nf_check_memory(struct nf_check *c, unsigned which, uint64_t bytes)
{
    free(c->memory[which]);
    c->memory[which] = calloc(1, bytes);
    if (!c->memory[which])
        ft_fail(c->fault, FT_ENOMEM, "state: no memory to check a %s, %lu bytes", c->kind, bytes);
    return c->memory[which];
}

void nf_check_end(struct nf_check *c)
{
    free(c->memory[0]);
    free(c->memory[1]);
    c->memory[0] = c->memory[1] = NULL;
}
