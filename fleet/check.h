/* SPDX-License-Identifier: Apache-2.0 */
/* What a fleet's file has to be beyond what its own reader sees: read as its nodes will read it. */
#ifndef FLEET_CHECK_H
#define FLEET_CHECK_H

#include "fleet/file.h"

#include <stdio.h>

/*
 * Reads the pair file of each shard, with the nodes of all servers that it may come to, and looks for what
 * two shards share and may not: an address of their interfaces, or one that their NFs answer for; a MAC;
 * where a server's nodes give their metrics. The first fault in one line, with position. FT_EMALFORMED, and
 * what nd_config_read returns. Lines on `notes` report what is no fault of the file: of each kind of file
 * that it names the first one that is not here (the check may run on another machine), and a port that nodes
 * of two shards would have on one server.
 */
int fl_check(const struct fl_file *file, FILE *notes, struct ft_fault *fault);

#endif
