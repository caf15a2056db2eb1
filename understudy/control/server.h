/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control sockets: one JSON object a line in, one out. PATH (mode 0660) answers every command, PATH.look
 * (mode 0666) those that look; PATH.operate, where a group is named for it (mode 0660, of that group), those
 * that look and those that operate. Served by the node's main thread between other things; no client
 * makes it wait.
 */
#ifndef NODE_CONTROL_SERVER_H
#define NODE_CONTROL_SERVER_H

#include "ftcore/base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

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
    ND_CMD_ROLLBACK,
    ND_CMD_CONFIRM,
    ND_CMD_HISTORY,
    ND_CMD_PUSH,
    ND_COMMANDS,
};

/* What a command takes of who gives it; and up to what a socket gives. */
enum nd_may {
    ND_LOOKS,    /* it changes nothing and holds up no packet for long */
    ND_OPERATES, /* it moves the role, or holds up packets: neither the state of NFs nor a configuration */
    ND_ACTS,     /* all else */
    ND_ROLES
};

extern const struct nd_command_row {
    const char *name;
    enum nd_may role;
} nd_commands[ND_COMMANDS];

#define ND_SOCKET_PATH 108 /* bytes, as in sockaddr_un */

/* The path of the socket of that role, beside `control`, which is that of ND_ACTS. False: it is too long for
 * a socket. */
bool nd_socket_path(char out[ND_SOCKET_PATH], const char *control, enum nd_may role);

/* Who gives a command, by the kernel's word when the connection was made. */
struct nd_client {
    uid_t user;
    pid_t pid; /* 0: the node itself */
};

/* {"error": {"code", "text"}}, a new reference; the text is cut at 299 bytes. NULL: no memory. */
json_t *nd_refuse(const char *code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define ND_PLACES      16            /* connections of each socket */
#define ND_REQUEST_MAX 4096u         /* bytes of a request, with its line end */
#define ND_ANSWER_MAX  (512u << 10)  /* bytes of an answer, with its line end */
#define ND_CLIENT_NS   5000000000ull /* to send a whole request; to take a whole answer */

/* Takes `answer`. Its text on one line, without a line end, for the caller to free; for one that is too
 * large, a refusal. NULL: there is no answer, or no memory. */
char *nd_answer_text(json_t *answer, size_t *len);
/* Of a text of JSON: what a terminal would obey, and all that is not ASCII, becomes '?'. An attacker who has
 * taken a node over sends any text, and people of the other node read it. */
void nd_answer_printable(char *json, size_t len);

/* A request that is answered in steps. */
struct nd_exchange {
    const json_t *request; /* an object; borrowed */
    enum nd_command command;
    struct nd_client client;
    bool looks;     /* it came by the socket that looks */
    bool begun;     /* set by who answers: the exchange goes on to its end, though its client has gone */
    json_t *answer; /* set by who answers, a new reference; NULL: the connection is closed */
};

/* For a step: the exchange has this answer (a new reference). True. */
static inline bool nd_answered(struct nd_exchange *exchange, json_t *answer)
{
    exchange->answer = answer;
    return true;
}

/* The same of what nd_refuse makes of a code and words. */
#define nd_refused(exchange, ...) nd_answered((exchange), nd_refuse(__VA_ARGS__))

/* The next step: true when the exchange has its answer; false: not yet, the call comes again soon. */
typedef bool nd_answer_fn(void *arg, struct nd_exchange *exchange);

struct nd_server;

/* `operators`: the group of the socket that operates, of which this process is a member; "": there is none.
 * FT_EBUSY: a node already listens there. FT_EINVAL: no such group. A socket file that nobody listens on is
 * replaced. */
int nd_server_open(struct nd_server **out, const char *path, const char *operators, struct ft_fault *fault);
/* What nd_server_open refuses before it opens anything: FT_EINVAL, FT_EPERM (this process may not give the
 * socket to the group). */
int nd_server_judge(const char *path, const char *operators, struct ft_fault *fault);
void nd_server_close(struct nd_server *server); /* removes the socket files */

/* Waits at most timeout_ms and 20 ms for clients, less while a request is at work. Takes in who has come, and
 * serves each client one step; at the socket that looks every 20 ms. */
void nd_server_serve(struct nd_server *server, int timeout_ms, nd_answer_fn *answer, void *arg);

#endif
