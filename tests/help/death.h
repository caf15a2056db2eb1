/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of broken invariants: what is expected to abort does so in a child. */
#ifndef TESTS_HELP_DEATH_H
#define TESTS_HELP_DEATH_H

/* Fails the test unless act(arg), run in a forked child, dies by SIGABRT having printed `text` on stderr. */
void assert_dies(void (*act)(void *), void *arg, const char *text);

/* The same, for any signal; text may be NULL. */
void assert_dies_by(int number, void (*act)(void *), void *arg, const char *text);

#endif
