/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mirror of all keys below a prefix of etcd, kept up to date in memory by a thread of its own
 * ("us-mirror"); and one key of the mirror's user, which is there for as long as its lease lasts, kept by
 * another thread
 * ("us-lease"), so that nothing that is read or watched is waited for. The mirror owns both threads and their
 * connections; its user looks at the keys under a lock.
 *
 * What is mirrored is one revision of the store, not older than a beat and a request (store.h) while the
 * mirror is connected; once it is silent the keys stay as they were, and before it is connected again all are
 * read. A revision is seen whole. A value that etcd refuses for longer than the lease's time ends the lease:
 * the value that stands is not true any more. Bounds are those of keys.h and store.h: beyond them the mirror
 * is silent and reports why.
 */
#ifndef NODE_ETCD_MIRROR_H
#define NODE_ETCD_MIRROR_H

#include "ftcore/base/error.h"
#include "understudy/etcd/etcd.h"
#include "understudy/etcd/keys.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ND_MIRROR_GAP_NS 3000000000ull /* more than a beat and a request: its process was stopped */

struct nd_mirror;

struct nd_mirror_config {
    const struct nd_etcd_config *etcd; /* borrowed until the mirror is stopped */
    const char *prefix;                /* as "understudy/fleet/"; not empty */
    const char *name;                  /* by which etcd's servers are shared out; NULL: the first one */
    const char *key;                   /* the user's own; NULL: none, and there is no lease */
    uint32_t ttl_s;                    /* of the lease, from 1 s on; etcd may make it longer */
};

/* Times are ns of the local monotonic clock. A copy. */
struct nd_mirror_status {
    bool whole;                   /* the keys were read, once at least */
    uint64_t connected_since;     /* a watch stands behind what was read for it, and no answer of it was
                                     ND_MIRROR_GAP_NS behind the one before; 0: the mirror is silent */
    uint64_t silent_since;        /* when it was answered last, or was started; 0: it is connected */
    uint64_t answered;            /* when a server answered last; 0: never */
    int64_t revision;             /* the newest of the keys, or in which all were read */
    uint64_t passed;              /* keys that are passed over: of those read last, and of puts since */
    uint64_t reads, failures;     /* of all keys; of watches, and of questions to all servers */
    char server[ND_ETCD_URL_MAX]; /* that answered last */
    char why[256];                /* the mirror is silent; "" */

    int64_t lease;         /* under which the user's key was put; 0: it is not there */
    uint64_t lease_until;  /* the lease lasts until then at least; it may be past. 0: there is none */
    uint64_t unsaid_since; /* for how long a value that was given waits to be the key's; 0: none waits */
    uint64_t leases;       /* that were granted: more than one means that one was lost */
    char lease_why[256];   /* the lease's thread was not answered the last time; "" */
};

/* Copies prefix and key. FT_ENOMEM; FT_EINVAL: one of them has more bytes than a key. */
int nd_mirror_start(struct nd_mirror **out, const struct nd_mirror_config *config, struct ft_fault *fault);
/* `leaves`: the lease is revoked, for which it waits as for a request, so that the key is gone at once; else
 * both stay until the lease's time is over. NULL: nothing. */
void nd_mirror_stop(struct nd_mirror *m, bool leaves);

/* ---- by any thread ---- */

/* The value of the user's key from now on, in place of the one before. The lease begins with the first. Does
 * not wait. FT_EINVAL: longer than ND_VALUE_MAX; FT_ENOMEM. */
int nd_mirror_say(struct nd_mirror *m, const void *value, size_t len, struct ft_fault *fault);

/* Grows whenever keys have changed, the mirror is connected or silent, or the lease begins or is lost. */
uint64_t nd_mirror_serial(const struct nd_mirror *m);
/* An eventfd that is readable when the serial number has grown since it was read. The mirror's. */
int nd_mirror_fd(const struct nd_mirror *m);

/* The keys, until nd_mirror_unlock: meanwhile the mirror hears nothing, and the lease is kept. */
const struct nd_keys *nd_mirror_lock(struct nd_mirror *m);
void nd_mirror_unlock(struct nd_mirror *m);

void nd_mirror_status(struct nd_mirror *m, struct nd_mirror_status *out);

#endif
