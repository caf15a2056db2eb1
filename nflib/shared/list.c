/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared list: items of one size, first in, first out; a ring. Written by every lane, inside the section.
 *
 *     struct nf_shared_list   line 0: section; line 1: shape, constant; line 2: the ring's first item and its
 *                             length
 *     items                   `stride` bytes each
 */
#include "ftcore/order/section.h"
#include "nflib/module/env.h"
#include "nflib/shared/shared.h"

#include <string.h>

struct nf_shared_list {
    struct ft_shared head;
    _Alignas(FT_LINE) uint32_t capacity;
    uint32_t size, stride;
    _Alignas(FT_LINE) uint32_t first;
    uint32_t count;
};
_Static_assert(sizeof(struct nf_shared_list) == 3 * FT_LINE, "items follow at a line's start");

static uint32_t stride_of(uint32_t size)
{
    return (size + 7) & ~7u;
}

static inline const uint8_t *item_at(const struct nf_shared_list *list, uint32_t i)
{
    uint32_t at = list->first + i;

    if (at >= list->capacity)
        at -= list->capacity;
    return (const uint8_t *)(list + 1) + (uint64_t)at * list->stride;
}

uint64_t nf_shared_list_bytes(uint32_t capacity, uint32_t size)
{
    return sizeof(struct nf_shared_list) + (uint64_t)capacity * stride_of(size) + FT_LINE;
}

struct nf_shared_list *nf_shared_list_make(struct nf *nf, uint32_t capacity, uint32_t size)
{
    struct nf_shared_list *list;
    struct nf home;
    bool created;

    FT_CHECK(capacity > 0 && capacity < NF_NONE / 2 && size > 0 && size <= 4096,
             "a list of %u items of %u bytes", capacity, size);
    list = nf_shared_object(nf, NF_SHARED_LIST, nf_shared_list_bytes(capacity, size), &home, &created);
    if (!list || !created)
        return list;
    list = NF_EDIT(nf, list);
    list->capacity = capacity;
    list->size = size;
    list->stride = stride_of(size);
    return list;
}

int nf_shared_list_push(const struct nf *nf, struct nf_shared_list *list, const void *item)
{
    int error = FT_EFULL;

    ft_section_enter(nf->env->sections, &list->head);
    if (list->count < list->capacity) {
        memcpy(nf_edit(nf, item_at(list, list->count), list->size), item, list->size);
        (*NF_EDIT(nf, &list->count))++;
        error = FT_OK;
    }
    ft_section_leave(nf->env->sections, &list->head);
    return error;
}

int nf_shared_list_pop(const struct nf *nf, struct nf_shared_list *list, void *item)
{
    int error = FT_ENOENT;

    ft_section_enter(nf->env->sections, &list->head);
    if (list->count) {
        memcpy(item, item_at(list, 0), list->size);
        *NF_EDIT(nf, &list->first) = list->first + 1 < list->capacity ? list->first + 1 : 0;
        (*NF_EDIT(nf, &list->count))--;
        error = FT_OK;
    }
    ft_section_leave(nf->env->sections, &list->head);
    return error;
}

uint32_t nf_shared_list_peek(const struct nf_shared_list *list)
{
    return __atomic_load_n(&list->count, __ATOMIC_RELAXED);
}
