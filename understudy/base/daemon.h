/* SPDX-License-Identifier: Apache-2.0 */
/* A process that goes on until it is told to end: a node, a keeper, a fleet's agent. */
#ifndef NODE_BASE_DAEMON_H
#define NODE_BASE_DAEMON_H

#include "ftcore/base/error.h"

#include <stdbool.h>

extern _Atomic bool nd_daemon_ends;  /* by SIGTERM or SIGINT */
extern _Atomic bool nd_daemon_reads; /* by SIGHUP: keys are to be read again. Who does so clears it */

/* Catches these, SIGHUP if `reads`, and ignores what others may send. */
void nd_daemon_begin(bool reads);
/* A killed process holds its sockets until its memory is gone; its successor may be back before that. While
 * `open` returns FT_EBUSY it is called again, for 2 s at most, or until the process ends. */
int nd_daemon_open(int (*open)(void *arg, struct ft_fault *fault), void *arg, struct ft_fault *fault);

#endif
