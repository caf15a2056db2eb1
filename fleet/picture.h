/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture of a fleet that the planner plans by, made of the fleet's keys; and what the leader writes of
 * its plan. Both are pure: the leader, and `understudy fleet` on any server, make the same of the same keys.
 *
 * Where a shard's key and its nodes differ, the nodes are right; but no server is believed about another
 * one's node. Members and view are those of the latest view reported by a member of the key's view, or by a
 * node that such a member names; while the other member is live in the key's view, only once the arbiter has
 * decided for as late a one. Where no member of the key's view serves in it, or could, and where there is no
 * key, they are what two servers report that name each other, or one that names the members that the shard's
 * arbiter names; beside a key one of both serves, or could; without a key the only server that reports the
 * shard is believed as well. An order of another view is over. Servers that members name and the file does
 * not have any more come behind those of the file.
 */
#ifndef FLEET_PICTURE_H
#define FLEET_PICTURE_H

#include "fleet/entry.h"
#include "understudy/etcd/keys.h"

struct fl_picture {
    const struct fl_file *file;
    struct fl_fleet fleet; /* of the arrays below, in the file's order, which is by name */
    struct fl_server *server;
    struct fl_shard *shard;
    struct fl_server_said *said;    /* of each server */
    struct fl_node_said **node;     /* of each shard: its nodes, by their servers; NULL: none */
    struct fl_placement *placement; /* of each shard: as its key has it; all zero: it has none */
    int64_t *revision;              /* of that key's last change; 0: there is none */
    int64_t *move;                  /* of a person's wish to move it: likewise */
    struct {
        json_t *nodes;        /* those that are old: a shard's name, and the incarnation; NULL: none is */
        int64_t revision;     /* of the wish that names them */
    } * upgrade;              /* of each server */
    char leader[FL_NAME_MAX]; /* "": nobody leads */
    uint32_t unreadable;      /* keys whose value is none */
    char why[256];            /* of the last of them */
};

/* "understudy/FLEET/" with `kind` and `name` behind it. Returns `out`. */
#define FL_KEY_MAX 128u
const char *fl_key(char out[FL_KEY_MAX], const struct fl_file *file, const char *kind, const char *name);
/* What stands at that key, borrowed from `keys`; NULL: nothing does. */
const struct nd_entry *fl_key_find(const struct nd_keys *keys, const struct fl_file *file, const char *kind,
                                   const char *name);
/* The name of the next key below understudy/FLEET/KIND, from *at on, at first 0; NULL: there is no more. */
const char *fl_key_next(const struct fl_file *file, const struct nd_keys *keys, const char *kind, size_t *at);
/* Does that key name a leader? It is of a server of the file, and has a lease: else nobody leads. NULL: there
 * is no such key. */
bool fl_leads(const struct fl_file *file, const struct nd_entry *leader);
/* The key of a copy: agents/SERVER/SHARD. Returns `out`. */
const char *fl_copy_key(char out[FL_KEY_MAX], const struct fl_file *file, uint32_t server, uint32_t shard);
/* A state as the status of a node has it; "silent" of FL_SAYS_NOTHING. */
const char *fl_says_name(enum fl_says says);

/*
 * gone[server]: since when its lease is not held, in s; 0: it is, or nobody knows of a time when it was.
 * NULL: by the leader's key `leader/gone`. `now`: wall clock, s, as all times of the picture. Settings are
 * the file's, where it has them, and else the usual ones; `balancing` is false. FT_ENOMEM.
 */
int fl_picture_make(struct fl_picture *out, const struct fl_file *file, const struct nd_keys *keys,
                    const uint64_t gone[], uint64_t now, struct ft_fault *fault);
void fl_picture_free(struct fl_picture *picture);

/*
 * What an agent that begins to lead knows of leases, into gone[] of each server of the file: since when its
 * lease is not held, 0 where it is. `last`: what the leader before published last in the key `leader/gone`;
 * NULL: no such leader is known, and nothing of leases. A lease that is gone, and that the leader before did
 * not report as gone, went with that leader's: `now`.
 */
void fl_gone_read(const struct fl_file *file, const struct nd_keys *keys, const char *last, uint64_t now,
                  uint64_t gone[]);

/* What the leader's key `leader/gone` is to hold: since when the leases of servers are not held, 0 where
 * nobody knows of a time when one was. Of as many as there is room for, which are more than stop a plan. For
 * free(); NULL: no memory. */
char *fl_picture_gone(const struct fl_picture *picture);

/* Servers whose agents get a copy of a shard's key: those of its members and of its order, as the key is and
 * as it is to be, and those that report a node of it. Returns how many of out[FL_COPIES_MOST]. */
#define FL_COPIES_MOST 8u
uint32_t fl_picture_copies_to(const struct fl_picture *picture, uint32_t shard,
                              const struct fl_placement *placement, uint32_t out[FL_COPIES_MOST]);

/*
 * Each agent reads its own copies of the shards' keys, agents/SERVER/SHARD, and no other key of a shard.
 * These are the copies that are not what they are to be. copied[shard]: the revision of the shard's key of
 * which all of them are known to be; 0: it is not known; set to the present one. `all`: the copies of servers
 * that are to get the shard's key no more are looked at as well: they are kept up to date until such a server
 * has no node of it, and then are to go.
 */
struct fl_copies {
    struct fl_copy {
        char key[FL_KEY_MAX];
        char *value;      /* NULL: it is to go */
        int64_t revision; /* of its last change; 0: it is not there */
    } * at;
    size_t count, cap;
};
/* FT_ENOMEM. fl_copies_free frees what is there, after an error as well. */
int fl_copies_find(struct fl_copies *out, const struct fl_picture *picture, const struct nd_keys *keys,
                   int64_t copied[], bool all, struct ft_fault *fault);
void fl_copies_free(struct fl_copies *copies);
/* One more. `had`: what stands there; NULL: nothing. `value`: NULL: it is to go. FT_ENOMEM. */
int fl_copies_add(struct fl_copies *copies, const char *key, const struct nd_entry *had, const char *value,
                  struct ft_fault *fault);

/* The move of the shard is over: its primary is there, or it names no server. Its key is to go then. */
bool fl_picture_moved(const struct fl_picture *picture, uint32_t shard);

/* What a wish to start the server's nodes anew holds: which processes its nodes are now. For free(); NULL: no
 * memory. */
char *fl_picture_upgrade(const struct fl_picture *picture, uint32_t server);

/* That wish is over: each node reports, and none is a process that the wish names. Its key is to go then. */
bool fl_picture_upgraded(const struct fl_picture *picture, uint32_t server);

/* What the shard's key is to hold, by the nodes' word and the plan's step. False: it is as it is. */
bool fl_picture_next(const struct fl_picture *picture, const struct fl_plan *plan, uint32_t shard,
                     struct fl_placement *out);

#endif
