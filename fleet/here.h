/* SPDX-License-Identifier: Apache-2.0 */
/* What a fleet's file names on this machine: keys, certificates and passwords of this server's agent and
 * nodes. */
#ifndef FLEET_HERE_H
#define FLEET_HERE_H

#include "fleet/file.h"

#include <stdio.h>

/* The first server of the file whose host this machine has; FL_NONE: it is none. */
uint32_t fl_here(const struct fl_file *file);

/*
 * Of a server: what its agent, as `agent` of the system ("": as who asks), and the nodes of each shard, as
 * the file's user, read here, judged by the functions that read it: what seals the links, and what etcd is
 * asked with; the ports of those nodes; whether the agent may operate them, and the address of its metrics.
 * Of another machine: what commands given there ask etcd with. A line on `notes` for each kind of what is
 * wrong, and the exit code of the first; 0.
 */
int fl_here_judge(const struct fl_file *file, const char *agent, FILE *notes);

#endif
