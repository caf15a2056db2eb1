/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the file to the parts: what a configuration means for the memory between a lane and the replicator,
 * and for the replicator and its core. One place for all that make nodes: run, the tools' members, the
 * simulation. The region follows from the chain alone: nf_chain_region. Owns nothing.
 */
#ifndef NODE_CONFIG_SETUP_H
#define NODE_CONFIG_SETUP_H

#include "understudy/config/config.h"
#include "replicator/replicator.h"

/* Makes what a lane shares with the replicator. `log_bytes`: of its log ring. `pending_bytes`: as the file
 * sets it; the replay ring has room for the credit that nd_setup_replicator makes of it, and for what does
 * not count as sent yet. `stores`: checkpoints may come, and need a ring as large. FT_ENOMEM. */
int nd_setup_rings(struct ft_lane_shared *lane, uint64_t log_bytes, uint64_t pending_bytes, bool stores,
                   struct ft_fault *fault);
/* And for what comes by the lane's port to its peer's. */
int nd_setup_direct(struct ft_lane_shared *lane, uint64_t pending_bytes, struct ft_fault *fault);

/* Writes the settings of the file into `out`: rules and times of the core, the identity, the credit, the
 * speed of a resync. The rest stays as it is, for it is of one node: name, role, incarnation, link, memory,
 * calls. `timing`: the file's, or a tool's. `identity` is borrowed as long as the replicator lives. */
void nd_setup_replicator(struct rp_config *out, const struct nd_config *config,
                         const struct nd_timing *timing, char identity[FT_IDENTITY_MAX]);

/* Who the nodes are and where they are reached: this one, its peer at first, and, with an arbiter, all that
 * may become its peer. And the members of view 0. */
void nd_setup_link(struct rp_config *out, const struct nd_config *config, unsigned self);

/* What seals the link of this node, as the file names it: read and judged. The keys are for the caller to
 * forget. May wait for a disk. FT_EINVAL, FT_EPERM, FT_EIO, FT_ENOMEM. */
int nd_setup_seal(struct rp_seal_config *seal, struct rp_keys *keys, const struct nd_config *config,
                  unsigned self, struct ft_fault *fault);
/* All that nd_setup_seal and its user would refuse, as well what is in the files; nothing stays open. */
int nd_setup_judge_seal(const struct nd_config *config, unsigned self, struct ft_fault *fault);

/* The first of the node's devices, ports and link_port, that nd_interface_judge refuses, by its name. Where
 * the node has inputs its keeper has the ports. FT_EINVAL. */
int nd_setup_judge_devices(const struct nd_config *config, const struct nd_node *node,
                           struct ft_fault *fault);

#endif
