/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shards that run, or of which something is left, and that the fleet's file does not have any more: strays.
 * Nothing ends them by itself, since a line that was lost from a file would end a shard that carries traffic:
 * a person does, by the wish wishes/remove/SHARD. The leader tells the agents by their copies of the shard's
 * key; each stops its node and removes what it has here (local.h). Once no server tells of the shard the
 * leader deletes its keys, and the wish at last. No state of its own.
 */
#ifndef FLEET_STRAY_H
#define FLEET_STRAY_H

#include "fleet/picture.h"

#define FL_STRAY_ENDS "{\"remove\":true}" /* the copy that says so */

/* Has the file know those of which this server was told once (fl_file_stray). */
void fl_stray_find(const struct fl_file *file);

/* Of a stray whose node `node` of `server` has ended, as the nodes' user, whose all of this is: the arbiter's
 * key, deleted by what the node's pair file below `state` says of it, then what is in the node's directory.
 * 0, or why it is to be tried again. Waits for etcd as long as that. */
#define FL_STRAY_END_MS 5000
int fl_stray_end(const char *state, const char *node, const char *server, struct ft_fault *fault);

/* What the leader is to write, behind what is in *copies: what agents are told of strays that are to end;
 * and of one that has, its keys, which go. A wish for a shard that the file has is taken away. `all`: agents
 * that were told so, and are not to any more, are looked for as well. FT_ENOMEM. */
int fl_stray_follow(struct fl_copies *copies, const struct fl_picture *picture, const struct nd_keys *keys,
                    bool all, struct ft_fault *fault);

/* Does `server` tell of it? Its node's state, or "" of files alone; NULL: it does not. */
const char *fl_stray_on(const struct fl_picture *picture, uint32_t shard, uint32_t server);
/* Is there anything of it, a server that tells of it or its key? */
bool fl_stray_is(const struct fl_picture *picture, const struct nd_keys *keys, uint32_t shard);

#endif
