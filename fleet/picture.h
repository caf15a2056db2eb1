/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture of a fleet that the planner plans by, made of the fleet's keys; and what the leader writes of
 * its plan. Both are pure: the leader, and `understudy fleet` on any server, make the same of the same keys.
 *
 * Where a shard's key and its nodes differ, the nodes are right: members and view are those of the latest
 * view that a member of it tells of, and an order of an earlier view is over. Servers that members name and
 * the file does not have any more come behind those of the file.
 */
#ifndef FLEET_PICTURE_H
#define FLEET_PICTURE_H

#include "fleet/entry.h"
#include "node/etcd/keys.h"

struct fl_picture {
    const struct fl_file *file;
    struct fl_fleet fleet; /* of the arrays below, in the file's order, which is by name */
    struct fl_server *server;
    struct fl_shard *shard;
    struct fl_server_said *said;      /* of each server */
    const struct fl_node_said **node; /* of each shard: its nodes, by their servers; NULL: none */
    struct fl_placement *placement;   /* of each shard: as its key has it; all zero: it has none */
    int64_t *revision;                /* of that key's last change; 0: there is none */
    int64_t *move;                    /* of a person's wish to move it: likewise */
    struct {
        json_t *nodes;        /* those that are old: a shard's name, and the incarnation; NULL: none is */
        int64_t revision;     /* of the wish that says so */
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
/* A state as the status of a node has it; "silent" of FL_SAYS_NOTHING. */
const char *fl_says_name(enum fl_says says);

/*
 * gone[server]: since when its lease is not held, in s; 0: it is, or nobody knows of a time when it was.
 * NULL: as the leader says in the key `gone`. `now`: wall clock, s, as all times of the picture. Settings are
 * the file's, where it has them, and else the usual ones; `balancing` is false. FT_ENOMEM.
 */
int fl_picture_make(struct fl_picture *out, const struct fl_file *file, const struct nd_keys *keys,
                    const uint64_t gone[], uint64_t now, struct ft_fault *fault);
void fl_picture_free(struct fl_picture *picture);

/* Into gone[], of each server of the file, what the key `gone` says of those whose lease is not held, and of
 * which nothing is known: it is 0. */
void fl_gone_read(const struct fl_file *file, const struct nd_keys *keys, uint64_t gone[]);

/* What the leader's key `gone` is to hold: since when the leases of servers are not held. Of as many as there
 * is room for, which are more than stop a plan. For free(); NULL: no memory. */
char *fl_picture_gone(const struct fl_picture *picture);

/* The move of the shard is over: its primary is there, or it names no server. Its key is to go then. */
bool fl_picture_moved(const struct fl_picture *picture, uint32_t shard);

/* What a wish to start the server's nodes anew says: which processes its nodes are now. For free(); NULL:
 * no memory. */
char *fl_picture_upgrade(const struct fl_picture *picture, uint32_t server);

/* That wish is over: each node says something, and none is one that it names. Its key is to go then. */
bool fl_picture_upgraded(const struct fl_picture *picture, uint32_t server);

/* What the shard's key is to hold, by the nodes' word and the plan's step. False: it is as it is. */
bool fl_picture_next(const struct fl_picture *picture, const struct fl_plan *plan, uint32_t shard,
                     struct fl_placement *out);

#endif
