/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of etcd with their values, in memory, in the order of their bytes. Whoever has a table fills it and
 * owns its entries; no locks. Keys are texts without a NUL, values any bytes.
 */
#ifndef NODE_ETCD_KEYS_H
#define NODE_ETCD_KEYS_H

#include "ftcore/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ND_KEY_MAX   256u         /* bytes of a key, with its NUL */
#define ND_VALUE_MAX 65536u       /* bytes of a value */
#define ND_KEYS_MAX  100000u      /* of a table */
#define ND_KEYS_SIZE (256u << 20) /* bytes of all keys and values of a table */

struct nd_entry {
    int64_t created, changed; /* revisions, from 1 on */
    int64_t lease;            /* 0: none */
    bool cut;                 /* its value was longer than ND_VALUE_MAX, and is empty here */
    size_t len;               /* of the value */
    const char *key, *value;  /* of this very entry; a NUL is behind the value */
};

struct nd_keys {
    struct nd_entry **at; /* [0..count), by key */
    size_t count, cap, size;
    uint64_t passed; /* keys that were read and passed over: too long, or no text */
};

/* A copy of both; revisions and lease are 0. nd_entry_free frees it. `len`: ND_VALUE_MAX at most. NULL: no
 * memory. */
struct nd_entry *nd_entry_make(const char *key, const void *value, size_t len);
void nd_entry_free(struct nd_entry *entry); /* NULL: nothing */

/* Room for `more` entries whose keys and values have `size` bytes, whatever is removed before. FT_EFULL,
 * FT_ENOMEM: nothing was changed. */
int nd_keys_reserve(struct nd_keys *keys, size_t more, size_t size, struct ft_fault *fault);
/* For which there is room. In place of the one of the same key. The table owns it then. */
void nd_keys_put(struct nd_keys *keys, struct nd_entry *entry);
/* False: there is no such key. */
bool nd_keys_remove(struct nd_keys *keys, const char *key);
/* Until the table is changed. NULL: there is no such key. */
const struct nd_entry *nd_keys_find(const struct nd_keys *keys, const char *key);
/* The place of the first key that is not before `key`; keys->count: there is none. What begins with a prefix
 * stands from nd_keys_from(prefix) on. */
size_t nd_keys_from(const struct nd_keys *keys, const char *key);
/* It is empty then, and may be filled again. */
void nd_keys_clear(struct nd_keys *keys);

#endif
