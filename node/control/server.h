/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control sockets: one JSON object a line in, one out. PATH (mode 0660) answers every command, PATH.look
 * (mode 0666) those that look (command.h). Served by the node's main thread between other things; no client
 * makes it wait.
 */
#ifndef NODE_CONTROL_SERVER_H
#define NODE_CONTROL_SERVER_H

#include "ftcore/base/error.h"
#include "node/control/connection.h"

#define ND_PLACES 16 /* connections of each socket */

struct nd_server;

/* FT_EBUSY: a node already listens there. A socket file that nobody listens on is replaced. */
int nd_server_open(struct nd_server **out, const char *path, struct ft_fault *fault);
void nd_server_close(struct nd_server *server); /* removes the socket files */

/* Waits at most timeout_ms and 20 ms for clients, less while a request is at work, and takes a turn. */
void nd_server_serve(struct nd_server *server, int timeout_ms, nd_answer_fn *answer, void *arg);

/* Takes in who has come, and serves each client one step, without waiting; at the socket that looks every 20
 * ms. `now`: ns, any clock that does not go back. */
void nd_server_turn(struct nd_server *server, uint64_t now, nd_answer_fn *answer, void *arg);

#endif
