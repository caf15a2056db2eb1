/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control sockets: one JSON object a line in, one out. PATH (mode 0660) answers every command, PATH.look
 * (mode 0666) those that look. Served by the node's main thread between other things; no client
 * makes it wait.
 */
#ifndef NODE_CONTROL_SERVER_H
#define NODE_CONTROL_SERVER_H

#include "ftcore/base/error.h"

#include <jansson.h>
#include <stdbool.h>

enum nd_command {
    ND_CMD_STATUS,
    ND_CMD_WATCH,
    ND_CMD_SHOW,
    ND_CMD_VERIFY,
    ND_CMD_SET,
    ND_CMD_CLEAR,
    ND_CMD_PROMOTE,
    ND_CMD_DRAIN,
    ND_CMD_FAILBACK,
    ND_CMD_PIN,
    ND_CMD_HOLD,
    ND_CMD_UNPIN,
    ND_CMD_RESYNC,
    ND_CMD_REPAIR,
    ND_CMD_DRILL,
    ND_CMD_TRACE,
    ND_CMD_APPLY,
    ND_CMD_PUSH,
    ND_COMMANDS,
};

extern const struct nd_command_row {
    const char *name;
    bool acts; /* false: the command looks, it changes nothing and holds up no packet for long */
} nd_commands[ND_COMMANDS];

#define ND_LOOK_SUFFIX ".look"
#define ND_LOOK_PATH   108 /* bytes, as in sockaddr_un */

/* The path of the socket that looks, beside the one that acts. False: it is too long for a socket. */
bool nd_look_path(char out[ND_LOOK_PATH], const char *control);

/* {"error": {"code", "text"}}, a new reference; the text is cut at 299 bytes. NULL: no memory. */
json_t *nd_refuse(const char *code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define ND_PLACES      16            /* connections of each socket */
#define ND_REQUEST_MAX 4096u         /* bytes of a request, with its line end */
#define ND_ANSWER_MAX  (512u << 10)  /* bytes of an answer, with its line end */
#define ND_CLIENT_NS   5000000000ull /* to say a whole request; to take a whole answer */

/* A request that is answered in steps. */
struct nd_exchange {
    const json_t *request; /* an object; borrowed */
    enum nd_command command;
    bool looks;     /* it came by the socket that looks */
    bool begun;     /* set by who answers: the exchange goes on to its end, though its client has gone */
    json_t *answer; /* set by who answers, a new reference; NULL: the connection is closed */
};

/* The next step: true when the exchange has its answer; false: not yet, the call comes again soon. */
typedef bool nd_answer_fn(void *arg, struct nd_exchange *exchange);

struct nd_server;

/* FT_EBUSY: a node already listens there. A socket file that nobody listens on is replaced. */
int nd_server_open(struct nd_server **out, const char *path, struct ft_fault *fault);
void nd_server_close(struct nd_server *server); /* removes the socket files */

/* Waits at most timeout_ms and 20 ms for clients, less while a request is at work. Takes in who has come, and
 * serves each client one step; at the socket that looks every 20 ms. */
void nd_server_serve(struct nd_server *server, int timeout_ms, nd_answer_fn *answer, void *arg);

#endif
