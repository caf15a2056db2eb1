/* SPDX-License-Identifier: Apache-2.0 */
/* What a burst has touched; see touched.h. */
#include "nflib/backend/touched.h"

#include "ftcore/base/check.h"
#include "ftcore/base/error.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define ROOM_FIRST 1024u
#define KEYS_FIRST (32u << 10)

void nf_touched_free(struct nf_touched *t)
{
    free(t->list);
    free(t->keys);
}

/* A process that has no memory for this has none for anything. */
static uint32_t keep_key(struct nf_touched *t, const void *key, uint32_t key_len)
{
    uint32_t at = t->keys_len;

    while (t->keys_room - at < key_len) {
        t->keys_room = t->keys_room ? 2 * t->keys_room : KEYS_FIRST;
        t->keys = realloc(t->keys, t->keys_room);
        FT_CHECK(t->keys, "no memory for keys touched in a burst");
    }
    memcpy(t->keys + at, key, key_len);
    t->keys_len += key_len;
    return at;
}

uint32_t *nf_touched_at(struct nf_touched *t, uint32_t object, const void *key, uint32_t key_len)
{
    uint32_t hash = (uint32_t)XXH3_64bits_withSeed(key, key_len, object);
    uint32_t *chain = &t->chains[hash % NF_TOUCHED_CHAINS];

    for (uint32_t i = *chain; i; i = t->list[i - 1].next) {
        struct nf_touch *touch = &t->list[i - 1];

        if (touch->hash == hash && touch->object == object && touch->key_len == key_len &&
            memcmp(t->keys + touch->key_at, key, key_len) == 0)
            return &touch->flags;
    }
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : ROOM_FIRST;
        t->list = realloc(t->list, t->room * sizeof(*t->list));
        FT_CHECK(t->list, "no memory for %u entries touched in a burst", t->room);
    }
    t->list[t->count] = (struct nf_touch){.hash = hash,
                                          .next = *chain,
                                          .object = object,
                                          .key_at = keep_key(t, key, key_len),
                                          .key_len = key_len};
    *chain = ++t->count;
    return &t->list[t->count - 1].flags;
}

const void *nf_touched_key(const struct nf_touched *t, const struct nf_touch *touch)
{
    return t->keys + touch->key_at;
}

void nf_touched_clear(struct nf_touched *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        t->chains[t->list[i].hash % NF_TOUCHED_CHAINS] = 0;
    t->count = t->keys_len = 0;
}
