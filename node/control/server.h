/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: one JSON object a line in, one out. Served by the node's main thread between other
 * things; a client that says nothing, or too much, is closed.
 */
#ifndef NODE_CONTROL_SERVER_H
#define NODE_CONTROL_SERVER_H

#include "ftcore/base/error.h"

#include <jansson.h>

struct nd_server;

/* FT_EBUSY: a node already listens there. A socket file that nobody listens on is replaced. */
int nd_server_open(struct nd_server **out, const char *path, struct ft_fault *fault);
void nd_server_close(struct nd_server *server); /* removes the socket file */

/* Waits at most timeout_ms and answers what came: `answer` gets the request (borrowed) and returns a new
 * reference. */
void nd_server_serve(struct nd_server *server, int timeout_ms,
                     json_t *(*answer)(void *arg, const json_t *request), void *arg);

#endif
