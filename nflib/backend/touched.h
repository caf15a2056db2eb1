/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a burst has touched of the state that a backend reports (nflib/backend/backend.h): entries of maps,
 * by object and key, and lines, each once, in the order of first touch. Owned by the backend; emptied at each
 * burst's end. It grows when a burst touches more than any before, which only timers of many flows do.
 */
#ifndef NFLIB_BACKEND_TOUCHED_H
#define NFLIB_BACKEND_TOUCHED_H

#include <stdbool.h>
#include <stdint.h>

enum { NF_TOUCHED_READ = 1, NF_TOUCHED_WRITTEN = 2 };

#define NF_TOUCHED_CHAINS 4096u

struct nf_touch {
    uint32_t hash, next; /* index + 1 in its chain; 0: the last */
    uint32_t object;
    uint32_t key_at, key_len; /* in `keys` */
    uint32_t flags;
};

struct nf_touched {
    struct nf_touch *list; /* [room] */
    uint32_t count, room;
    uint32_t chains[NF_TOUCHED_CHAINS]; /* by hash: index + 1 in `list`; 0: empty */
    uint8_t *keys;
    uint32_t keys_len, keys_room;
};

void nf_touched_free(struct nf_touched *touched);

/* The flags of (object, key), 0 when it is touched for the first time; for the caller to change at once. */
uint32_t *nf_touched_at(struct nf_touched *touched, uint32_t object, const void *key, uint32_t key_len);
const void *nf_touched_key(const struct nf_touched *touched, const struct nf_touch *touch);
void nf_touched_clear(struct nf_touched *touched);

#endif
