/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What any test program may need: an abort that is expected, an end to waiting, a golden file, files
 * and a place for them, a free port, numbers by chance, and state in Redis.
 */
#ifndef TESTS_HELP_PROGRAM_H
#define TESTS_HELP_PROGRAM_H

#include "ftcore/base/draw.h"
#include "ftcore/base/clock.h"

#include <stdbool.h>
#include <stddef.h>

/* Fails the test unless act(arg), run in a forked child, dies by SIGABRT having printed `text` on stderr. */
void assert_dies(void (*act)(void *), void *arg, const char *text);
/* The same, for any signal; text may be NULL. */
void assert_dies_by(int number, void (*act)(void *), void *arg, const char *text);

/* Until `cond`, which is looked at again behind each run of the statement that follows; after 30 s the test
 * has failed. */
#define UNTIL(cond) for (uint64_t end_ = ft_now() + 30000000000ull; !(cond); help_not_beyond(end_, #cond))
void help_not_beyond(uint64_t end, const char *what);
/* The same, looked at each millisecond. */
#define AWAIT(cond) UNTIL(cond) help_sleep_ms(1)
void help_sleep_ms(unsigned ms);

/* Fails the test unless the golden file has these bytes and no others. GOLDEN=rewrite in the environment
 * gives them to a file of a version that is not `released`. */
void help_golden(const char *path, const void *bytes, size_t len, bool released);

/* A TCP port that nobody has on `host`, an IPv4 address of this machine, at this moment. */
uint16_t help_free_port(const char *host);

/* A file with this text, in the place of what was there; and the text of one, as long as the test runs, or
 * NULL where there is no such file. */
void help_write(const char *path, const char *text);
const char *help_text(const char *path);

/* Runs a command of the shell, which is to succeed. */
void help_run(const char *command);

/* A new directory, which goes behind the test with all that is in it then. */
const char *help_directory(void);

/* A region, which is closed behind the test, or for the next one: all of them lie at one address. The test
 * fails where it cannot be had. */
struct ft_region_config;
struct ft_region *help_region(const struct ft_region_config *config);

/* A number below n, of a sequence of the test's own, which a seed begins. */
static inline uint32_t help_below(uint64_t *sequence, uint32_t n)
{
    return (uint32_t)(ft_draw(sequence) % n);
}

#endif
