/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the configuration reader: what is known while a file is read. Each part reads its own
 * top-level keys, in the order chain, network, nodes. Not for others: they include node/config/config.h.
 */
#ifndef NODE_CONFIG_PARTS_H
#define NODE_CONFIG_PARTS_H

#include "ftcore/base/trust.h"
#include "node/config/config.h"
#include "node/config/schema.h"

/* The top-level keys as they stand in the file; NULL: absent. */
struct nd_sections {
    const struct nd_yaml *chain, *protect, *redis, *timing, *link, *record, *interfaces, *routes, *next_hops,
        *neighbours, *nodes, *drill, *failback, *arbiter, *push;
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
    bool quiet;            /* ND_CONFIG_QUIET */
    struct ft_trust trust; /* of a chain file that is referred to */
    struct ft_fault *fault;
};

/* A path in the file, seen from where that lies, into out[0..cap); `what` names it in the refusal. */
int nd_read_path(struct nd_reading *r, const struct nd_yaml *at, const char *what, const char *path,
                 char *out, size_t cap);

/* Each: 0 or a negative ft_error with the fault filled. */
int nd_read_chain(struct nd_reading *r);   /* chain; protect and redis of a chain file referred to */
int nd_read_network(struct nd_reading *r); /* interfaces, routes, next_hops; needs the chain */
int nd_read_nodes(struct nd_reading *r);   /* nodes, drill; needs the network */
/* network_vlan.c: the port and the tags of an interface whose names are read, beside the interfaces that are
 * there; `vlan` as it stands in the file, NULL: absent; `tpid` counts where the interface has that key. */
enum nd_tpid { ND_TPID_8021Q, ND_TPID_8021AD };
int nd_read_vlan(struct nd_reading *r, const struct nd_yaml *at, const struct nd_yaml *vlan, uint32_t tpid,
                 struct nf_interface *port);
/* network_ipv6.c: parts of the network whose texts are of IPv6. */
bool nd_is_ipv6(const struct nd_yaml *at); /* a text with a colon; NULL: no */
int nd_read_interface6(struct nd_reading *r, const struct nd_yaml *at, struct nf_interface *port,
                       const struct nd_prefix6 *address);
int nd_read_extra6(struct nd_reading *r, const struct nd_yaml *at, struct nf_interface *port);
int nd_read_route6(struct nd_reading *r, const struct nd_yaml *at);
int nd_read_next_hop6(struct nd_reading *r, const struct nd_yaml *at);
int nd_read_fixed6(struct nd_reading *r, const struct nd_yaml *at);
/* network.c: an entry of neighbours, as it was read, on this interface. */
int nd_add_fixed(struct nd_reading *r, const struct nd_yaml *at, struct nf_fixed *fixed, int port);
/* track.c: the lists of node `node` in the order of the file; NULL: absent. Then what is between the two. */
int nd_read_tracks(struct nd_reading *r, struct nd_node *node, const struct nd_yaml *tracks);
int nd_read_hooks(struct nd_reading *r, struct nd_node *node, const struct nd_yaml *hooks);
int nd_read_authority(struct nd_reading *r); /* prefer, failback, hold_down_s; needs the nodes */
int nd_read_arbiter(struct nd_reading *r);   /* arbiter; needs the nodes, and what is protected */
int nd_read_link(struct nd_reading *r);      /* link */
int nd_check_link(struct nd_reading *r);     /* a pair says what seals its link; needs everything else */

#endif
