/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shards that run, or of which something is left, and that the fleet's file does not have any more: strays.
 * Nothing ends them by itself, since a line that was lost from a file would end a shard that carries traffic:
 * a person does, by the wish wishes/remove/SHARD. The leader passes the order to the agents by their copies
 * of the shard's key; each stops its node and removes what it has here (local.h). Once no server reports the
 * shard the leader deletes its keys, and the wish at last. No state of its own.
 */
#ifndef FLEET_STRAY_H
#define FLEET_STRAY_H

#include "fleet/picture.h"

#define FL_STRAY_ENDS "{\"remove\":true}" /* the copy with that order */

/* Adds to the file the strays that this server once had orders for (fl_file_stray). */
void fl_stray_find(const struct fl_file *file);

/* Removes, as the nodes' user, who owns all of it, what is left of a stray whose node `node` of `server` has
 * ended: the arbiter's key, which the node's pair file below `state` names, then what is in the node's
 * directory. 0, or why it is to be tried again. Waits for etcd as long as that. */
#define FL_STRAY_END_MS 5000
int fl_stray_end(const char *state, const char *node, const char *server, struct ft_fault *fault);

/* Adds to *copies what the leader is to write: orders to agents for strays that are to end; and the deletion
 * of all keys of one that has ended. A wish for a shard that the file has is taken away. `all`: agents that
 * have such an order, and are to have it no more, are looked for as well. FT_ENOMEM. */
int fl_stray_follow(struct fl_copies *copies, const struct fl_picture *picture, const struct nd_keys *keys,
                    bool all, struct ft_fault *fault);

/* Does `server` report the shard? Its node's state, or "" of files alone; NULL: it does not. */
const char *fl_stray_on(const struct fl_picture *picture, uint32_t shard, uint32_t server);
/* Is there anything of the shard, a server that reports it or its key? */
bool fl_stray_is(const struct fl_picture *picture, const struct nd_keys *keys, uint32_t shard);

#endif
