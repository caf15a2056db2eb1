/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the control socket: answers for a server, and what its clients say and hear. */
#ifndef TESTS_HELP_SERVER_H
#define TESTS_HELP_SERVER_H

#include "understudy/control/server.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define BIG             500000 /* bytes of a big answer: more than a socket takes at once */
#define SERVER_LIMIT_MS 20000  /* of a client's waiting */

/* What a request begins with; then "n": ANYTHING, "big", "huge", "whence", "none", "waits" or "later". */
#define ASK "{\"cmd\":\"status\","

/* Of the socket. */
extern char server_path[64];

/* Steps of requests that server_answer took. */
extern _Atomic unsigned server_answers;

/* Steps: {"n": N} gives N back; "big" BIG bytes; "huge" twice as many; "whence" the socket; "none" nothing at
 * all. "waits" and "later" are answered when server_is_later, and "later" has begun meanwhile. */
extern _Atomic bool server_is_later;
bool server_answer(void *arg, struct nd_exchange *exchange);

/* False when the other side closed. The second one: a text. */
bool server_say(int fd, const void *bytes, size_t len);
bool server_ask(int fd, const char *text);

/* A line without its end; its length, or -1 when the server closed. */
ssize_t server_read_line(int fd, char *line, size_t cap);

/* The next line is this one. */
void server_hears(int fd, const char *expected);

#endif
