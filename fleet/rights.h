/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what with a fleet's keys in etcd. */
#ifndef FLEET_RIGHTS_H
#define FLEET_RIGHTS_H

#include "fleet/file.h"

#include <stdio.h>

/*
 * Prints, for a shell, the etcdctl commands that make a user and a role of his name for each agent, for the
 * nodes of each shard, and for who gives commands; and before them those that make their passwords and the
 * keys of the shards' links, where there are none, in the directory in which the shell is. FT_EMALFORMED: the
 * file has not one user for each of them.
 */
int fl_rights_print(const struct fl_file *file, FILE *out, struct ft_fault *fault);

/* Prints a line for each thing that more can touch than has to, as far as the file shows. Returns how many.
 */
unsigned fl_rights_judge(const struct fl_file *file, FILE *out);

#endif
