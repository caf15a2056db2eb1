/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet from outside: its agent, and the subcommand by which people see and steer it. */
#ifndef FLEET_FLEET_H
#define FLEET_FLEET_H

#include "understudy/config/options.h"
#include "fleet/file.h"

/* Runs the agent of `server`, an index of the file's, until SIGTERM or SIGINT ends it, in a process that has
 * no rights: `steward` (steward.h), which becomes its own, has them. Its nodes go on without it. FT_EIO,
 * FT_EBUSY (another agent of this server runs), FT_ENOMEM, and what nd_metrics_open and nd_etcd_open return:
 * it could not begin. */
int fl_agent_run(const struct fl_file *file, uint32_t server, int steward, struct ft_fault *fault);

/* `understudy fleet VERB`: see docs/fleet.md. */
extern const struct nd_syntax fl_fleet_syntax;
int fl_cmd_fleet(int argc, char **argv);

#endif
