/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list: an order over numbers, each in it or not. Owns one object in the NF's arena; the NF's lane writes and
 * reads it.
 *
 *     struct nf_list | node of the ends | node of number 0 | node of number 1 | …
 *
 * A ring through the node of the ends, so that no end needs a case of its own. A link is the node's place
 * + 1; 0 in a number's node: not in the list. So zeroed memory is an empty list but for the ends.
 */
#include "nflib/module/module.h"
#include "nflib/state/state.h"

#define ENDS 1u /* link to the node of the ends */

struct node {
    uint32_t next, prev;
};

struct nf_list {
    uint32_t count;
    uint32_t unused;
    struct node nodes[];
};

static inline const struct node *node_at(const struct nf_list *list, uint32_t link)
{
    return &list->nodes[link - 1];
}

static inline uint32_t link_of(uint32_t number)
{
    return number + 2;
}

/* The number behind a link. */
static inline uint32_t number_of(uint32_t link)
{
    return link == ENDS ? NF_NONE : link - 2;
}

uint64_t nf_list_bytes(uint32_t count)
{
    uint64_t bytes = sizeof(struct nf_list) + ((uint64_t)count + 1) * sizeof(struct node);

    return (bytes + FT_LINE - 1) & ~(uint64_t)(FT_LINE - 1);
}

struct nf_list *nf_list_make(struct nf *nf, uint32_t count)
{
    struct nf_list *list;

    FT_CHECK(count <= NF_NONE - 3, "a list of %u numbers", count);
    list = ft_arena_alloc(nf->arena, nf_list_bytes(count));
    if (!list)
        return NULL;
    *NF_EDIT(nf, &list->count) = count;
    *NF_EDIT(nf, &list->nodes[0]) = (struct node){.next = ENDS, .prev = ENDS};
    return list;
}

static void unlink_node(const struct nf *nf, const struct nf_list *list, const struct node *node)
{
    *NF_EDIT(nf, &node_at(list, node->prev)->next) = node->next;
    *NF_EDIT(nf, &node_at(list, node->next)->prev) = node->prev;
}

void nf_list_push(const struct nf *nf, struct nf_list *list, uint32_t number)
{
    uint32_t link = link_of(number), last = list->nodes[0].prev;
    const struct node *node = node_at(list, link);

    FT_CHECK(number < list->count, "number %u in a list of %u", number, list->count);
    if (last == link)
        return;
    if (node->next)
        unlink_node(nf, list, node);
    *NF_EDIT(nf, node) = (struct node){.next = ENDS, .prev = last};
    *NF_EDIT(nf, &node_at(list, last)->next) = link;
    *NF_EDIT(nf, &list->nodes[0].prev) = link;
}

void nf_list_remove(const struct nf *nf, struct nf_list *list, uint32_t number)
{
    const struct node *node = node_at(list, link_of(number));

    FT_CHECK(number < list->count, "number %u in a list of %u", number, list->count);
    if (!node->next)
        return;
    unlink_node(nf, list, node);
    *NF_EDIT(nf, node) = (struct node){0};
}

uint32_t nf_list_first(const struct nf_list *list)
{
    return number_of(list->nodes[0].next);
}

uint32_t nf_list_after(const struct nf_list *list, uint32_t number)
{
    FT_CHECK(nf_list_has(list, number), "number %u is not in the list", number);
    return number_of(node_at(list, link_of(number))->next);
}

bool nf_list_has(const struct nf_list *list, uint32_t number)
{
    return number < list->count && node_at(list, link_of(number))->next;
}
