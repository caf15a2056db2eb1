/* SPDX-License-Identifier: Apache-2.0 */
/* See members.h. */
#include "ftcore/record/members.h"

#include <stdio.h>

bool ft_is_name(const char *text, size_t size)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return len && len < size && !text[len] && text[0] != '-';
}

bool ft_members_fit(const struct ft_members *members)
{
    return ft_is_name(members->name[0], FT_NAME_MAX) && ft_is_name(members->name[1], FT_NAME_MAX) &&
           strcmp(members->name[0], members->name[1]) < 0;
}

const char *ft_shard_text(char out[FT_SHARD_TEXT], const struct ft_members *members)
{
    snprintf(out, FT_SHARD_TEXT, "%016lx%016lx", members->shard[0], members->shard[1]);
    return out;
}

bool ft_shard_read(struct ft_members *out, const char *text)
{
    char again[FT_SHARD_TEXT];

    return sscanf(text, "%16lx%16lx", &out->shard[0], &out->shard[1]) == 2 && ft_has_shard(out) &&
           strncmp(text, ft_shard_text(again, out), FT_SHARD_TEXT - 1) == 0;
}
