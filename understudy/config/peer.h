/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this node's peer is: one of the file's nodes, or one that an operator named (re-pair). Written by the
 * replicator's thread, read by any. Until the replicator has set it, the peer of two nodes is the other one.
 */
#ifndef NODE_CONFIG_PEER_H
#define NODE_CONFIG_PEER_H

#include "understudy/config/config.h"

/* "": nobody in particular. Names that were set stay where they are as long as the process. */
void nd_peer_set(const char *name);
/* "?": nobody in particular. */
const char *nd_peer_name(const struct nd_config *config, unsigned self);
/* NULL: the file has no such node, or the peer is nobody in particular. */
const struct nd_node *nd_peer_node(const struct nd_config *config, unsigned self);

#endif
