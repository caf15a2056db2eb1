/* SPDX-License-Identifier: Apache-2.0 */
/* A table of keys and values: an array of pointers to entries, sorted. See keys.h. */
#include "understudy/etcd/keys.h"
#include "ftcore/base/check.h"

#include <stdlib.h>
#include <string.h>

struct nd_entry *nd_entry_make(const char *key, const void *value, size_t len)
{
    size_t key_len = strlen(key) + 1;

    FT_CHECK(key_len <= ND_KEY_MAX && len <= ND_VALUE_MAX, "an entry of %zu and %zu bytes", key_len, len);
    struct nd_entry *entry = calloc(1, sizeof(*entry) + key_len + len + 1);
    char *text = (char *)(entry + 1);

    if (!entry)
        return NULL;
    memcpy(text, key, key_len);
    if (len)
        memcpy(text + key_len, value, len);
    entry->key = text;
    entry->value = text + key_len;
    entry->len = len;
    return entry;
}

void nd_entry_free(struct nd_entry *entry)
{
    free(entry);
}

static size_t size_of(const struct nd_entry *entry)
{
    return strlen(entry->key) + entry->len;
}

int nd_keys_reserve(struct nd_keys *keys, size_t more, size_t size, struct ft_fault *fault)
{
    size_t cap = 2 * (keys->count + more);
    struct nd_entry **at;

    if (more > ND_KEYS_MAX - keys->count)
        return ft_fail(fault, FT_EFULL, "%zu keys, expected at most %u", keys->count + more, ND_KEYS_MAX);
    if (size > ND_KEYS_SIZE - keys->size)
        return ft_fail(fault, FT_EFULL, "%zu bytes of keys and values, expected at most %u",
                       keys->size + size, ND_KEYS_SIZE);
    if (more <= keys->cap - keys->count)
        return 0;
    at = realloc(keys->at, cap * sizeof(*at));
    if (!at)
        return ft_fail(fault, FT_ENOMEM, "no memory for %zu keys", keys->count + more);
    keys->at = at;
    keys->cap = cap;
    return 0;
}

size_t nd_keys_from(const struct nd_keys *keys, const char *key)
{
    size_t low = 0, high = keys->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(keys->at[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct nd_keys *keys, size_t at, const char *key)
{
    return at < keys->count && strcmp(keys->at[at]->key, key) == 0;
}

const struct nd_entry *nd_keys_find(const struct nd_keys *keys, const char *key)
{
    size_t at = nd_keys_from(keys, key);

    return is_at(keys, at, key) ? keys->at[at] : NULL;
}

void nd_keys_put(struct nd_keys *keys, struct nd_entry *entry)
{
    size_t at = nd_keys_from(keys, entry->key);

    if (is_at(keys, at, entry->key)) {
        keys->size -= size_of(keys->at[at]);
        nd_entry_free(keys->at[at]);
    } else {
        FT_CHECK(keys->count < keys->cap, "no room for %s", entry->key);
        memmove(keys->at + at + 1, keys->at + at, (keys->count - at) * sizeof(*keys->at));
        keys->count++;
    }
    keys->at[at] = entry;
    keys->size += size_of(entry);
}

bool nd_keys_remove(struct nd_keys *keys, const char *key)
{
    size_t at = nd_keys_from(keys, key);

    if (!is_at(keys, at, key))
        return false;
    keys->size -= size_of(keys->at[at]);
    nd_entry_free(keys->at[at]);
    keys->count--;
    memmove(keys->at + at, keys->at + at + 1, (keys->count - at) * sizeof(*keys->at));
    return true;
}

void nd_keys_clear(struct nd_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        nd_entry_free(keys->at[i]);
    free(keys->at);
    *keys = (struct nd_keys){.at = NULL};
}
