/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the control socket: a server in a thread with answers of its own, and clients of it. */
#ifndef TESTS_HELP_SERVER_H
#define TESTS_HELP_SERVER_H

#include "node/control/server.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, server_setup, server_teardown)
#define BIG            500000 /* bytes of a big answer: more than a socket takes at once */

/* What a request begins with; then "n": ANYTHING, "big", "huge", "whence", "none", "waits" or "later". */
#define ASK "{\"cmd\":\"status\","

/* Of the socket. */
extern char server_path[64];

/* Turns of the server's thread; steps of requests that its answerer took. */
extern _Atomic unsigned server_turns, server_answers;

/* Steps: {"n": N} gives N back; "big" BIG bytes; "huge" twice as many; "whence" the socket; "none" nothing at
 * all. "waits" and "later" are answered when server_is_later, and "later" has begun meanwhile. */
extern _Atomic bool server_is_later;
bool server_answer(void *arg, struct nd_exchange *exchange);

int server_setup(void **state);
int server_teardown(void **state);

/* A connection; reading and writing end after LIMIT_MS. */
int server_dial(void);

/* False when the other side closed. */
bool server_say(int fd, const void *bytes, size_t len);

/* The same for a text. */
bool server_ask(int fd, const char *text);

/* A line without its end; its length, or -1 when the server closed. */
ssize_t server_read_line(int fd, char *line, size_t cap);

/* The next line is this one. */
void server_answers_with(int fd, const char *expected);

/* The server has closed the connection; so does this. */
void server_has_closed(int fd);

/* A well-behaved client is served. */
void server_still_serves(void);

#endif
