/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of one server: their pair files, their units, their reports and their orders. Its user, the
 * agent, passes it the contents of the shards' keys, and takes from it what the server's key is to hold.
 *
 * It alone has nodes started and stopped: understudy@SHARD-SERVER. It asks the steward (steward.h) for what
 * needs root's rights, and does not wait. The last contents of a shard's key lie in a file, so that the same
 * nodes are started after a reboot without etcd. An order is carried out by the shard's primary alone, and
 * only in the view that it was given for; so it may be repeated.
 *
 * A node is stopped that its shard's key does not name any more and that is no member of its shard's view, or
 * of one that is earlier than the key's: the nodes' own word goes before the key. So is one that was started,
 * does not answer, and has no view file.
 */
#ifndef FLEET_LOCAL_H
#define FLEET_LOCAL_H

#include "fleet/entry.h"

struct fl_local;

/* `file` is borrowed until fl_local_close; `steward`, of fl_steward_start, is its own from now on. Reads the
 * last contents of the shards' keys. FT_EBUSY: another agent of this server runs; FT_EIO: the steward is not
 * ready, as where the directory `state` of the file cannot be made; FT_ENOMEM. */
int fl_local_open(struct fl_local **out, const struct fl_file *file, uint32_t server, int steward,
                  struct ft_fault *fault);
void fl_local_close(struct fl_local *local); /* stops no node */
/* False: the steward has ended, and nothing can be done any more. */
bool fl_local_stands(const struct fl_local *local);

/* The contents of the key of `shard`. NULL: there is none, or none that can be read: it stops no node, and no
 * earlier order is carried out. An order to re-pair is carried out once a node of the shard is reported on
 * the new server: the present standby is not given up sooner. */
void fl_local_place(struct fl_local *local, uint32_t shard, const struct fl_placement *placement);

/* Nothing of a shard that the file does not have (fl_file_stray) is to be left here: its node is stopped, its
 * key of the arbiter deleted, as the node's user, and then its files. `removes`: false: no more of it. */
void fl_local_remove(struct fl_local *local, uint32_t shard, bool removes);

/*
 * One turn: asks the nodes, starts and stops them, carries orders out. Waits for nobody but for a node's
 * answer to a question, FL_ASK_MS at most each; behind three that did not come, nodes that did not answer
 * when they were asked last wait for the next turn; and at its end, where a stray is removed, for etcd, which
 * is to delete its key, FL_STRAY_END_MS at most (stray.h): it does so for one of them. Until `fresh` what was
 * passed to it is what the keys hold; from then on nodes are started and nothing more, since an order may
 * have been withdrawn. Times are monotonic, ns.
 */
#define FL_ASK_MS 300
void fl_local_turn(struct fl_local *local, uint64_t fresh, uint64_t now);

/* What it knows then; borrowed until the next turn. */
const struct fl_server_said *fl_local_said(const struct fl_local *local);
/* Times that a node gave a reason not to carry out an order. */
uint64_t fl_local_refused(const struct fl_local *local);

#endif
