/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two nodes of a view, and the shard that they are of: what has one state, whichever nodes have it
 * (docs/decisions.md, "Members belong to the view"). Which names are allowed, and how a shard is written, for
 * people and in files.
 */
#ifndef FTCORE_RECORD_MEMBERS_H
#define FTCORE_RECORD_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FT_NAME_MAX   32u
#define FT_SHARD_TEXT 33u /* bytes of a shard's text, with its terminator */

struct ft_members {
    uint64_t shard[2];         /* random, made once; both 0: it has no name yet */
    char name[2][FT_NAME_MAX]; /* "": not known */
};

static inline bool ft_has_shard(const struct ft_members *members)
{
    return members->shard[0] || members->shard[1];
}

/* False too where neither has a name. */
static inline bool ft_same_shard(const struct ft_members *a, const struct ft_members *b)
{
    return ft_has_shard(a) && memcmp(a->shard, b->shard, sizeof(a->shard)) == 0;
}

static inline bool ft_same_members(const struct ft_members *a, const struct ft_members *b)
{
    return strncmp(a->name[0], b->name[0], FT_NAME_MAX) == 0 &&
           strncmp(a->name[1], b->name[1], FT_NAME_MAX) == 0;
}

/* Both have a name, and it is not one. */
static inline bool ft_other_shard(const struct ft_members *a, const struct ft_members *b)
{
    return ft_has_shard(a) && ft_has_shard(b) && !ft_same_shard(a, b);
}

static inline bool ft_members_have(const struct ft_members *members, const char *name)
{
    return strncmp(members->name[0], name, FT_NAME_MAX) == 0 ||
           strncmp(members->name[1], name, FT_NAME_MAX) == 0;
}

/* What may be a name: letters, digits, '-' and '_', the first one no '-', in `size` bytes with the
 * terminator; of a node FT_NAME_MAX. */
bool ft_is_name(const char *text, size_t size);

/* Names of two nodes, in their order. */
bool ft_members_fit(const struct ft_members *members);

/* 32 hex digits. Returns `out`. */
const char *ft_shard_text(char out[FT_SHARD_TEXT], const struct ft_members *members);
/* The shard that the text begins with. False: it begins with none. */
bool ft_shard_read(struct ft_members *out, const char *text);

#endif
