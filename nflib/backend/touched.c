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
#define SPREAD     4u /* places for each entry */

int nf_touched_init(struct nf_touched *t)
{
    *t = (struct nf_touched){.room = ROOM_FIRST, .keys_room = KEYS_FIRST};
    t->list = calloc(t->room, sizeof(*t->list));
    t->places = calloc((size_t)t->room * SPREAD, sizeof(*t->places));
    t->keys = malloc(t->keys_room);
    return t->list && t->places && t->keys ? FT_OK : FT_ENOMEM;
}

void nf_touched_free(struct nf_touched *t)
{
    free(t->list);
    free(t->places);
    free(t->keys);
}

static uint32_t *place_of(const struct nf_touched *t, uint32_t object, const void *key, uint32_t key_len,
                          uint32_t hash)
{
    uint32_t mask = t->room * SPREAD - 1, at = hash & mask;

    for (; t->places[at]; at = (at + 1) & mask) {
        const struct nf_touch *touch = &t->list[t->places[at] - 1];

        if (touch->hash == hash && touch->object == object && touch->key_len == key_len &&
            memcmp(t->keys + touch->key_at, key, key_len) == 0)
            break;
    }
    return &t->places[at];
}

/* Room is a power of two. A process that has no memory for this has none for anything. */
static void grow(struct nf_touched *t)
{
    uint32_t room = 2 * t->room;
    struct nf_touch *list = realloc(t->list, room * sizeof(*list));
    uint32_t *places = calloc((size_t)room * SPREAD, sizeof(*places));

    FT_CHECK(list && places, "no memory for %u entries touched in a burst", room);
    free(t->places);
    t->list = list;
    t->places = places;
    t->room = room;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct nf_touch *touch = &t->list[i];

        *place_of(t, touch->object, t->keys + touch->key_at, touch->key_len, touch->hash) = i + 1;
    }
}

static uint32_t keep_key(struct nf_touched *t, const void *key, uint32_t key_len)
{
    uint32_t at = t->keys_len;

    while (t->keys_room - at < key_len) {
        t->keys_room *= 2;
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
    uint32_t *place = place_of(t, object, key, key_len, hash);

    if (*place)
        return &t->list[*place - 1].flags;
    if (t->count == t->room) {
        grow(t);
        place = place_of(t, object, key, key_len, hash);
    }
    t->list[t->count] = (struct nf_touch){
        .hash = hash, .object = object, .key_at = keep_key(t, key, key_len), .key_len = key_len};
    *place = ++t->count;
    return &t->list[t->count - 1].flags;
}

const void *nf_touched_key(const struct nf_touched *t, const struct nf_touch *touch)
{
    return t->keys + touch->key_at;
}

void nf_touched_clear(struct nf_touched *t)
{
    uint32_t mask = t->room * SPREAD - 1;

    /* A few places among many: only those that are taken. Probing ended at an empty one, so all of a run of
     * neighbours go. */
    if (t->count > t->room / 4) {
        memset(t->places, 0, (size_t)t->room * SPREAD * sizeof(*t->places));
    } else {
        for (uint32_t i = 0; i < t->count; i++)
            for (uint32_t at = t->list[i].hash & mask; t->places[at]; at = (at + 1) & mask)
                t->places[at] = 0;
    }
    t->count = 0;
    t->keys_len = 0;
}
