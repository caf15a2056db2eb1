/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node can be asked by its control sockets. One table says of each command whether it acts or looks.
 * The socket CONTROL answers every command, the socket CONTROL.look those that look.
 */
#ifndef NODE_CONTROL_COMMAND_H
#define NODE_CONTROL_COMMAND_H

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

/* The command of this name, or -1. */
int nd_command_find(const char *name);

#define ND_LOOK_SUFFIX ".look"
#define ND_LOOK_PATH   108 /* bytes, as in sockaddr_un */

/* The path of the socket that looks, beside the one that acts. False: it is too long for a socket. */
bool nd_look_path(char out[ND_LOOK_PATH], const char *control);

/* {"error": {"code", "text"}}, a new reference; the text is cut at 299 bytes. NULL: no memory. */
json_t *nd_refuse(const char *code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
