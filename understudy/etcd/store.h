/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of etcd by a handle (etcd.h), and waits for it: all keys below a prefix, transactions,
 * leases, and a watch. No state of its own. Each answer is checked whole before any of it counts, and counts
 * only from the handle's cluster.
 *
 * Bounds: of keys and values as in keys.h; ND_STORE_PAGE keys an answer; ND_STORE_HELD bytes of a watch that
 * are not taken yet; ND_STORE_TXN compares and as many changes in a transaction. A key that is longer or no
 * text (UTF-8 without a NUL) is passed over and counted. One that is not below the prefix is no answer:
 * FT_EMALFORMED, and the fault names it. A longer value is left out, and its entry is marked.
 *
 * Errors, beside those that a function names: FT_EBUSY: given up; FT_EIO: no server answered, or all refused;
 * FT_EMALFORMED: an answer cannot be read; FT_ENOMEM; of the password's file those of nd_etcd_post.
 */
#ifndef NODE_ETCD_STORE_H
#define NODE_ETCD_STORE_H

#include "ftcore/base/error.h"
#include "understudy/etcd/etcd.h"
#include "understudy/etcd/keys.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ND_STORE_PAGE    128u        /* keys of an answer */
#define ND_STORE_REPLY   (12u << 20) /* bytes of an answer: the limit with which a handle is opened */
#define ND_STORE_HELD    (16u << 20)
#define ND_STORE_TXN     64u
#define ND_STORE_BEAT_NS 1000000000ull /* between two looks at the server of a watch */

/* ---- keys ---- */

/* All keys below `prefix`, which is not empty, in *keys, which is cleared first, and the revision of which
 * they are. FT_EFULL: more than a table has. After an error *keys is empty. */
int nd_store_read(struct nd_etcd *e, const char *prefix, struct nd_keys *keys, int64_t *revision,
                  struct ft_fault *fault);

/* Puts a key, whatever there was. `lease`: 0: none. `len`: ND_VALUE_MAX at most. It may be put twice. */
int nd_store_put(struct nd_etcd *e, const char *key, const void *value, size_t len, int64_t lease,
                 struct ft_fault *fault);

/* ---- transactions ---- */

struct nd_compare {
    const char *key;
    enum nd_compared { ND_CREATED, ND_CHANGED } of; /* the revision of the key's first put, of its last */
    int64_t revision;                               /* 0: there is no such key */
};

struct nd_change {
    const char *key;
    const void *value; /* NULL: the key is deleted */
    size_t len;        /* ND_VALUE_MAX at most */
    int64_t lease;     /* of a put; 0: none */
};

/*
 * If all compares hold: makes all changes, in one revision, and sets *done; else *done is false, and nothing
 * was changed. *revision, which may be NULL: the store's. It is sent once: where it fails (less than 0)
 * behind the connection it may have been made or not, and who needs to know reads the keys. FT_EINVAL: more
 * compares or changes than ND_STORE_TXN, no change, two changes of one key, or a key or value that is too
 * long.
 */
int nd_store_txn(struct nd_etcd *e, const struct nd_compare *compares, size_t compare_count,
                 const struct nd_change *changes, size_t change_count, bool *done, int64_t *revision,
                 struct ft_fault *fault);

/* ---- leases ---- */

struct nd_lease {
    int64_t id;
    int64_t ttl_s; /* as the server granted it: it may be more than was asked for */
    uint64_t
        until; /* it lasts until then at least, ns of the local monotonic clock: from before the request */
};

int nd_store_grant(struct nd_etcd *e, int64_t ttl_s, struct nd_lease *out, struct ft_fault *fault);
/* Of lease->id; its other fields are set anew. FT_ENOENT: there is no such lease any more. */
int nd_store_keep(struct nd_etcd *e, struct nd_lease *lease, struct ft_fault *fault);
/* It goes, with the keys that were put with it. */
int nd_store_revoke(struct nd_etcd *e, int64_t id, struct ft_fault *fault);

/* ---- a watch ---- */

struct nd_event {
    bool deleted;           /* then `entry` has the key and the revision of the deletion (`changed`) alone */
    struct nd_entry *entry; /* the watch's, and freed by it; who takes it over sets NULL */
};

struct nd_watch {
    const char *prefix;
    int64_t next; /* the first revision that is of interest; behind the last event that was taken */
    /* Events in the order of their revisions, all of a revision in one call, whose keys are below the prefix;
     * or, `count` 0, the server has answered: the watch stands. By the watch's thread. Not 0: the watch ends
     * with it. */
    int (*take)(void *arg, struct nd_event *events, size_t count, struct ft_fault *fault);
    void *arg;
    _Atomic uint64_t passed; /* puts of keys that were passed over */
};

/*
 * Watches at the server that answered last, until the watch breaks; w->next is where to go on. Every
 * ND_STORE_BEAT_NS that server is asked for the cluster's revision: one that hangs, or is cut off from the
 * others, is found by that, within a beat and a request. Never 0: what `take` returned; FT_ENOENT: revision
 * w->next was compacted, or the store has gone back behind it (restored from a backup); FT_EFULL: more than
 * ND_STORE_HELD at once; FT_EMALFORMED. After all of them read all again: a store that was restored may be at
 * revision w->next, and be another one.
 */
int nd_store_watch(struct nd_etcd *e, struct nd_watch *w, struct ft_fault *fault);

#endif
