/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the configuration reader: what is known while a file is read. Each part reads its own
 * top-level keys, in the order chain, network, nodes. Not for others: they include
 * understudy/config/config.h.
 */
#ifndef NODE_CONFIG_PARTS_H
#define NODE_CONFIG_PARTS_H

#include "ftcore/base/trust.h"
#include "understudy/config/config.h"
#include "understudy/config/schema.h"

/* The top-level keys as they stand in the file; NULL: absent. */
struct nd_sections {
    const struct nd_yaml *chain, *protect, *redis, *timing, *link, *record, *interfaces, *routes,
        *routes_file, *next_hops, *neighbours, *nodes, *keepers, *drill, *failback, *arbiter, *push;
    char prefer[32];
    uint32_t hold_down_s;
    uint32_t log; /* into text, json */
};

struct nd_reading {
    struct nd_config *config; /* being filled */
    struct nd_arena *arena;
    const struct nd_yaml *root;
    struct nd_sections at;
    /* [chain.count] The NF's address that the chain answers for, or NULL; where each NF stands. */
    const struct nf_param *own[FT_NFS_MAX - 1];
    const struct nd_yaml *nf_at[FT_NFS_MAX - 1];
    struct nf_l3_config *l3; /* being filled, in the arena; the chain's when the file has interfaces */
    bool spare_ports;        /* nodes may have ports that no interface names */
    bool quiet;              /* ND_CONFIG_QUIET */
    bool disbelieved;        /* a file that others may write to is the reason why it failed */
    struct ft_trust *trust;  /* in the arena: of a chain file that is referred to, and of NFs' files */
    struct ft_fault *fault;
};

/* Each: 0 or a negative ft_error with the fault filled. */
int nd_read_chain(struct nd_reading *r);       /* chain; protect and redis of a chain file referred to */
int nd_read_network(struct nd_reading *r);     /* interfaces, routes, next_hops; needs the chain */
int nd_read_routes_file(struct nd_reading *r); /* the file that routes_file names; needs the network */
void nd_routed_free(struct nf_routed *routed); /* NULL is nothing to free */
int nd_read_nodes(struct nd_reading *r);       /* nodes, drill; needs the network */
int nd_read_keeper(struct nd_reading *r);      /* keepers; needs the nodes, and how they are protected */
int nd_read_sockets(struct nd_reading *r);     /* of the nodes, who they are and where; needs nothing */

struct nd_hop;
/* The interface on whose link `hop` is, for a neighbour: not the chain itself. Or an error: `what` is the
 * word for it. */
int nd_port_of(struct nd_reading *r, const struct nd_yaml *at, const char *what, const struct nd_hop *hop);

/* The devices of a node, or of a keeper: `kind` is the word for it. */
int nd_read_ports(struct nd_reading *r, const char *kind, struct nd_node *node, const struct nd_yaml *ports);
int nd_read_inputs_devices(struct nd_reading *r, const struct nd_yaml *list, struct nd_node *node);

#endif
