/* SPDX-License-Identifier: Apache-2.0 */
/* A process that ends with the one that made it, whatever ends that one: for nodes that a tool runs. */
#ifndef TOOLS_PAIR_CHILD_H
#define TOOLS_PAIR_CHILD_H

#include <sys/types.h>

/* As fork(). Called by a thread that lives as long as the child is to. */
pid_t nd_child(void);

#endif
