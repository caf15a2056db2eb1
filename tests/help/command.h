/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of subcommands: one is run in a process of its own, and what it says is kept. */
#ifndef TESTS_HELP_COMMAND_H
#define TESTS_HELP_COMMAND_H

#include <stdbool.h>

#define HELP_SAID 4096u

/* argv ends with NULL. `nobody`: as a user without rights, if the test has root's. The exit code, or the
 * signal that ended it as a negative number, SIGALRM after 20 s; said: on stdout and stderr. */
int help_command(int (*run)(int argc, char **argv), const char *const argv[], bool nobody,
                 char said[HELP_SAID]);

#endif
