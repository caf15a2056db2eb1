/* SPDX-License-Identifier: Apache-2.0 */
/* The options of all subcommands, read in one place so that they mean the same everywhere. */
#ifndef NODE_CONTROL_OPTIONS_H
#define NODE_CONTROL_OPTIONS_H

#include "node/control/client.h"

#include <stdbool.h>
#include <stdint.h>

/* Which options a subcommand takes; those marked are needed. */
enum nd_option {
    ND_OPT_FILE = 1,       /* -c FILE, --config, needed */
    ND_OPT_NODE = 2,       /* -n NAME, --node */
    ND_OPT_JSON = 4,       /* -o json, --output */
    ND_OPT_REPEAT = 8,     /* --repeat N, 1 … 100000 */
    ND_OPT_NEED_NODE = 16, /* with ND_OPT_NODE: needed */
};

struct nd_options {
    const char *file, *node; /* NULL: not given; borrowed from argv */
    bool json;
    uint32_t repeat; /* 1 unless given */
    int argc;        /* what is not an option, in order */
    char **argv;
};

/*
 * Reads argv (argv[0] is the subcommand's name), of which `takes` says what is allowed, with min … max
 * further arguments, called `names` in messages. 0, or ND_USAGE with one line on stderr.
 */
int nd_options_read(struct nd_options *options, int argc, char **argv, unsigned takes, int min, int max,
                    const char *names);

struct option;
/*
 * For a subcommand with options of its own: each is handed to `give`, with its value or NULL, until that
 * returns another thing than 0. What is no option is then from argv[optind] on. 0, what `give` said, or
 * ND_USAGE with one line on stderr for an option that is not among `shorts` (which begins with ':') and
 * `longs` (of which there are fewer than 64, and which have the short ones), lacks its value, or comes twice,
 * but for `again`, which may.
 */
int nd_options_each(const char *command, int argc, char **argv, const char *shorts,
                    const struct option *longs, int again, int (*give)(void *to, int option, char *value),
                    void *to);

/* A whole decimal number of at most 19 digits into *out; false: the text is something else. */
bool nd_options_number(const char *text, uint64_t *out);

/* One line on stderr with a hint where help is; returns ND_USAGE. */
int nd_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The exit code for a node that could not be asked (FT_ENOENT: nobody listens), or a call that failed. */
int nd_exit_of(int error);
/* The same for a file that could not be read: nd_config_read. */
int nd_exit_of_file(int error);

/*
 * Whether a command may write its results to `path`: nothing is there, or no regular file, or one that is
 * empty or begins with one of `heads` (each of `len` bytes), that is, results. So a slip of the hand costs no
 * file of other use.
 */
bool nd_options_replaceable(const char *path, const char *const heads[], unsigned count, size_t len);

#endif
