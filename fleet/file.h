/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet's file: which servers there are, which shards, and what the pair file of a shard is made of. Read
 * by fl_file_read, never changed afterwards but for the names that fl_file_member notes. Written by an
 * operator; the same on every server.
 *
 * The pair file of a shard is the file's `pair`, with `arbiter` and `nodes` of the fleet's own added. In its
 * texts $(NAME) stands for what the shard's `with` gives NAME, and for what every shard has: $(shard),
 * $(dir), the directory of the fleet's file, and in the section of a node $(server), $(node) and $(host).
 * Elsewhere $(server) and $(node) are those of the agent that makes the pair file.
 */
#ifndef FLEET_FILE_H
#define FLEET_FILE_H

#include "fleet/plan.h"
#include "ftcore/base/error.h"
#include "understudy/arbiter/arbiter.h"
#include "understudy/config/yaml.h"

#include <stdbool.h>
#include <stdint.h>

#define FL_NAME_MAX 32u /* bytes of a name, with its NUL; of a node, which is SHARD-SERVER, as well */

#define FL_NODES_MAX    190u /* of a server: the reports of so many fit into its key (ND_VALUE_MAX) */
#define FL_UNLISTED_MAX 64u  /* servers that keys name, and the file does not; and shards */
#define FL_BRINGS_MAX   16u  /* such shards that one server alone reports */

struct fl_server_entry {
    char name[FL_NAME_MAX], zone[FL_NAME_MAX]; /* zone "": the server is a zone of its own */
    char host[16];                 /* the address at which nodes of other servers reach its nodes */
    uint32_t nodes;                /* that it runs at most */
    double cores, mpps, memory_mb; /* that its nodes may take; 0: not limited by that */
    char metrics_host[16];         /* where its agent serves Prometheus, if there is a port */
    uint16_t metrics_port;         /* 0: nowhere */
    uint32_t brought;              /* fl_file_brought: names that no server had reported before */
};

struct fl_shard_entry {
    char name[FL_NAME_MAX];
    uint16_t port;  /* of its nodes' replication, on each server's host */
    uint32_t on[2]; /* the servers that its first view is begun on, index; FL_NONE: the planner chooses */
    const struct nd_yaml *with; /* NULL: none */
    const struct nd_yaml *at;   /* where it stands in the file */
};

struct fl_file {
    char name[FL_NAME_MAX];
    const char *path; /* as fl_file_read was given it */
    char
        state[128]; /* directory of the agent: pair files, shards' keys as last read, and nodes' view files */
    char run[64];   /* directory of the nodes' control sockets */
    char user[33];  /* of the system, owns the directories of view files; "": their maker does */
    struct nd_etcd_config etcd;     /* where the fleet's keys are, and the shards' arbiter */
    struct fl_server_entry *server; /* by name, and so are the shards. Behind them: fl_file_member */
    uint32_t servers;
    struct fl_shard_entry *shard; /* behind them: fl_file_stray */
    uint32_t shards;
    uint32_t heals;       /* re-pairs, and the resyncs that follow, at once in the fleet */
    uint32_t hold_down_s; /* since a shard's last change, before an order for balance */
    const struct nd_yaml *pair, *node, *arbiter; /* sections, as they stand */
    const struct nd_yaml *shard_etcd; /* what nodes have in place of the arbiter's keys; NULL: nothing */
    uint32_t self;                    /* the server whose agent has read it; FL_NONE: somebody else has */
    const char *dir;                  /* of the file, from the root: what $(dir) stands for */
    struct nd_arena *arena;
};

/* On failure nothing is allocated, and the fault is "FILE:LINE: what, what was expected". FT_ENOENT,
 * FT_EPERM, FT_EMALFORMED, FT_EIO, FT_ENOMEM. */
int fl_file_read(struct fl_file **out, const char *path, struct ft_fault *fault);
void fl_file_free(struct fl_file *file); /* NULL is fine */

/* Who asks etcd: $(server) in the arbiter's user and password_file is `name`, of a server, or of nobody's.
 * FT_EINVAL: that is too long. */
int fl_file_speak_as(struct fl_file *file, const char *name, struct ft_fault *fault);
#define FL_OPERATOR "operator" /* who gives commands */
/* The user of etcd that nodes of `shard` have; or, FL_NONE, that the agent of `server`, or FL_OPERATOR, has;
 * "": none. FT_EINVAL, FT_EMALFORMED: there is no such name. */
int fl_file_user(const struct fl_file *file, uint32_t shard, const char *server, char out[ND_ETCD_NAME_MAX],
                 struct ft_fault *fault);

/* By name: its index; FL_NONE: there is none. */
uint32_t fl_file_server(const struct fl_file *file, const char *name);
uint32_t fl_file_shard(const struct fl_file *file, const char *name);

/* Of a member of a shard: that of fl_file_server, or, of a server that the file does not have any more, one
 * from file->servers on, the same as long as the file is read. Only the name is known of such a server.
 * FL_NONE: it is no name, or the one after FL_UNLISTED_MAX others. By one thread at a time. */
uint32_t fl_file_member(const struct fl_file *file, const char *name);
/* Of a shard that runs and that the file does not have any more: its place from file->shards on, the same as
 * long as the file is read, or, if it has it, that of fl_file_shard. Only the name is known. FL_NONE: nodes
 * cannot be called so, or the one after FL_UNLISTED_MAX others. By one thread at a time. */
uint32_t fl_file_stray(const struct fl_file *file, const char *name);
/* The same, where `server` alone reports it, by its index: FL_NONE as well for the name after FL_BRINGS_MAX
 * that were not known. Else a server that lies takes all places with shards that do not exist. */
uint32_t fl_file_brought(const struct fl_file *file, const char *name, uint32_t server);
/* How many shards are known, with those. */
uint32_t fl_file_all_shards(const struct fl_file *file);
/* How many servers are known: those of the file, and those that fl_file_member has noted behind them. */
uint32_t fl_file_all(const struct fl_file *file);

/* A node's name, "SHARD-SERVER", into `out`, which is returned. */
const char *fl_node_name(char out[FL_NAME_MAX], const struct fl_file *file, uint32_t shard, uint32_t server);
/* The server whose node of `shard` has that name, as of fl_file_member. */
uint32_t fl_node_server(const struct fl_file *file, uint32_t shard, const char *node);
/* Path of a node's control socket. Returns `out`. */
#define FL_PATH_MAX 256u
const char *fl_node_socket(char out[FL_PATH_MAX], const struct fl_file *file, uint32_t shard,
                           uint32_t server);

/*
 * The text of the pair file of `shard` for nodes on `count` servers, 2 to ND_NODES; the first two are those
 * of the shard's first view, primary first. *text is allocated, for free(). FT_EMALFORMED: it names a $(NAME)
 * that the shard does not have, or is too long; FT_ENOMEM.
 */
#define FL_PAIR_MAX (4u << 20) /* bytes of it, with its NUL */
int fl_file_render(const struct fl_file *file, uint32_t shard, const uint32_t server[], unsigned count,
                   char **text, struct ft_fault *fault);

#endif
