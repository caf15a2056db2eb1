/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asking side of the control socket: one JSON object a line, one JSON object back. Used by every
 * subcommand but run and keeper, and by the agent of a fleet.
 */
#ifndef NODE_CONTROL_CLIENT_H
#define NODE_CONTROL_CLIENT_H

#include "ftcore/base/error.h"

#include <jansson.h>
#include <sys/types.h>

/* Who made the socket that answered, by the kernel's word and at that time. */
struct nd_listener {
    pid_t pid; /* 0: a process that cannot be seen from here */
    uid_t user;
};

/*
 * Sends `request` (borrowed) to the node listening at `path` and waits at most `timeout_ms` for the answer (a
 * new reference); *listener, unless NULL, is the process that answered. A user who may not open `path` is
 * answered by the socket that looks (understudy/control/server.h). FT_ENOENT: nobody listens, FT_EPERM,
 * FT_EIO: no answer in time, FT_EMALFORMED.
 */
int nd_ask(const char *path, const json_t *request, int timeout_ms, json_t **answer,
           struct nd_listener *listener, struct ft_fault *fault);

/* From now on an answer of more than so many MiB is FT_EMALFORMED; before that, of more than 64. For a
 * process that asks nodes which it does not trust: JSON takes up to fifty times the memory of its text. */
void nd_ask_limit(unsigned mib);

#endif
