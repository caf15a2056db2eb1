/* SPDX-License-Identifier: Apache-2.0 */
/* Who gives a command at the control sockets, and the event that each command is which acts. The main
 * thread's. */
#ifndef NODE_CONTROL_COMMANDS_H
#define NODE_CONTROL_COMMANDS_H

#include "understudy/control/server.h"

#define ND_BY_MAX 40u /* bytes of a user's name, with its final NUL */

/* The names of this system's users, from /etc/passwd: at a start, and when files are read again. May wait for
 * the disk, as no command does. */
void nd_users_read(void);

/* The name of its user, "uid N" where there is none, "" of the node itself. Returns `out`. */
const char *nd_client_name(const struct nd_client *client, char out[ND_BY_MAX]);

/* A command that acts has its answer: one line of the log. */
void nd_command_say(const struct nd_exchange *x);

#endif
