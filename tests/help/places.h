/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the control sockets without a thread: a server that takes turns when the test says, by a clock
 * of the test's own, and clients that never wait. Strangers are of another user than the node and root; there
 * are none where the test is not root.
 */
#ifndef TESTS_HELP_PLACES_H
#define TESTS_HELP_PLACES_H

#include "tests/help/server.h"

#define WITH_PLACES(f) cmocka_unit_test_setup_teardown(f, places_setup, places_teardown)
#define MS             1000000ull
#define LIMIT          (5000 * MS) /* for a whole request, and for taking a whole answer */

extern struct nd_server *places_server;
extern uint64_t places_now; /* ns */
extern char places_look[80];

int places_setup(void **state);
int places_teardown(void **state);

/* Enough turns to take in all who have come. */
void places_turn(void);

/* A connection, or -1. */
int places_dial(const char *path, bool stranger);
int places_stranger(void);  /* to the socket that acts */
int places_node_user(void); /* the same, of the node's own user */

/* Strangers may open the socket that acts from now on, as members of its group may. Skips without root. */
void places_let_strangers_in(void);

/* The server has not closed it. */
bool places_open(int fd);

/* One line is there, and it is this one. */
void places_hears(int fd, const char *expected);

/* A request is answered. */
void places_served(int fd);

#endif
