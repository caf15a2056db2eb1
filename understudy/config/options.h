/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command lines of all subcommands, and their exit codes. A table has a row for each option of a
 * subcommand; parsing, refusals and the usage text follow from it. Every refusal is one line on stderr.
 */
#ifndef NODE_CONFIG_OPTIONS_H
#define NODE_CONFIG_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of all commands (docs/reference.md). */
enum nd_exit {
    ND_DONE = 0,
    ND_NOT_EQUAL = 1, /* also: drill failed, degraded, syncing */
    ND_UNPROTECTED = 2,
    ND_USAGE = 64,
    ND_DATA = 65,
    ND_NO_ANSWER = 69,
    ND_SOFTWARE = 70,
    ND_NO_PERMISSION = 77,
};

enum nd_option_kind {
    ND_OPTION_FLAG,   /* bool: whether the option is there; it takes no value */
    ND_OPTION_JSON,   /* bool: "json" is the only value */
    ND_OPTION_TEXT,   /* const char *, borrowed from argv; NULL: not given */
    ND_OPTION_FILE,   /* the same; a needed one that is not given is what UNDERSTUDY_CONFIG names, or its
                         preset, or ND_PAIR_FILE */
    ND_OPTION_U32,    /* uint32_t, min … max; the first of `choices`, if there are any, stands for 0 */
    ND_OPTION_U64,    /* uint64_t, min … max, at most 19 digits */
    ND_OPTION_REAL,   /* double, min … max */
    ND_OPTION_CHOICE, /* int, index into `choices`; -1: not given */
    ND_OPTION_OTHER,  /* what `read` makes of the value */
};

#define ND_OPTION_ROWS 32u /* of a table, at most */

/* Where a command looks that gets no -c: what this variable names, else the file that the service uses. */
#define ND_FILE_VARIABLE "UNDERSTUDY_CONFIG"
#define ND_PAIR_FILE     "/etc/understudy/pair.yaml"

struct nd_option {
    const char *name; /* without "--"; NULL ends a table */
    char letter;      /* 0: none */
    enum nd_option_kind kind;
    size_t offset;                           /* of the field in the subcommand's options */
    double min, max;                         /* max 0: there is no bound */
    const char *preset;                      /* what holds without the option, as it is written; NULL: zero */
    const char *const *choices;              /* NULL-terminated */
    int (*read)(void *options, char *value); /* 0, or ND_USAGE with its line printed */
    bool again;                              /* the option may come more than once */
    const char *needed; /* what is missing without the option, for the refusal; NULL: it may be absent */
    bool alone;         /* where this option is given none other is needed */
    const char *value;  /* what the usage text calls the value; NULL with ND_OPTION_FLAG */
    const char *help;
};

struct nd_syntax {
    const char *command; /* NULL ends a list of them */
    const struct nd_option *options;
    const char *arguments; /* what is not an option, for the usage text and refusals; "": nothing */
    int min, max;          /* how many there are of them */
};

/* What a command line had beside the values of its options. */
struct nd_arguments {
    uint32_t given; /* bit i: row i of the table */
    int argc;       /* arguments that are not options, in order */
    char **argv;
};

/*
 * Reads argv (argv[0] is the subcommand's name) into `options`, which must be zeroed; presets come first. 0,
 * or ND_USAGE for an option that is unknown, lacks its value, comes twice or has a value that its row does
 * not allow, for a needed one that is absent, and for too few or too many arguments; ND_DATA or
 * ND_NO_PERMISSION for a file that is there in place of -c and cannot be read.
 */
int nd_syntax_read(const struct nd_syntax *syntax, void *options, int argc, char **argv,
                   struct nd_arguments *rest);
/* On stdout: "[-c FILE] [--pairs N] IN.pcap", the summary on a line, then a line for each option. */
void nd_syntax_print(const struct nd_syntax *syntax, const char *summary);
/* The first of these lines alone, into out[cap]; longer than `width`: "[OPTION]... IN.pcap", which may be
 * longer as well. */
void nd_syntax_usage(const struct nd_syntax *syntax, char *out, size_t cap, size_t width);

/* Rows that are the same in each table that has them. */
#define ND_OPTION_FILE_ROW(field, missing)                                                                   \
    {                                                                                                        \
        "config", 'c', ND_OPTION_FILE, field, .needed = missing, .value = "FILE",                            \
                                              .help = "chain or pair file"                                   \
    }
#define ND_OPTION_NODE_ROW(field)                                                                            \
    {                                                                                                        \
        "node", 'n', ND_OPTION_TEXT, field, .value = "NAME", .help = "one of the pair's nodes"               \
    }
#define ND_OPTION_JSON_ROW(field)                                                                            \
    {                                                                                                        \
        "output", 'o', ND_OPTION_JSON, field, .value = "json", .help = "one JSON object on stdout"           \
    }

struct nd_options {
    const char *file, *node, *lost, *event; /* NULL: not given; borrowed from argv */
    bool json, tries, host, dry, past;
    uint32_t confirm; /* s; 0: not given */
    uint64_t view;    /* 0: not given */
    int argc;         /* what is not an option, in order */
    char **argv;
};

/* The subcommands that have no other options than these, each with its rows. */
extern const struct nd_syntax nd_common_syntaxes[];
/* That of argv[0], which is one of them, read as by nd_syntax_read. */
const struct nd_syntax *nd_common_syntax(const char *command);
int nd_options_read(struct nd_options *options, int argc, char **argv);

/* A whole decimal number of at most 19 digits into *out; false: the text is something else. */
bool nd_options_number(const char *text, uint64_t *out);

/* One line on stderr with a hint where help is; returns ND_USAGE. */
int nd_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The exit code for a node that could not be asked (FT_ENOENT: nobody listens), or a call that failed. */
int nd_exit_of(int error);
/* The same for a file that could not be read: nd_config_read. */
int nd_exit_of_file(int error);
/* That of a node or keeper that cannot start, and of who judges whether it could: 69 for an address that
 * somebody else has, or that this host does not have, yet or still; 70 where the system fails; no memory is
 * 65, for the file asks for more than this machine has. */
int nd_exit_of_start(int error);

/* "understudy COMMAND: TEXT" on stderr. */
void nd_complain(const char *command, const char *text);
/* One JSON object and a line end on stdout: 0 or ND_SOFTWARE. */
int nd_print_json(const json_t *object);

/* Whether a command may write its results to `path`, so that a slip of the hand costs no file of other use:
 * nothing is there, or no regular file, or one that is empty or begins with one of `heads` (each of `len`
 * bytes). */
bool nd_options_replaceable(const char *path, const char *const heads[], unsigned count, size_t len);

/*
 * The subcommands. Each gets argv with its own name first, prints its result on stdout, one line on stderr
 * when it fails, and returns the exit code (enum nd_exit).
 */
/* The --help of the subcommands that have options of their own. */
extern const struct nd_syntax nd_drill_syntax, nd_replay_syntax, nd_bench_syntax, nd_trace_syntax,
    nd_nfs_syntax, nd_show_syntax, nd_new_nf_syntax;

int nd_cmd_run(int argc, char **argv);
/* Runs the keeper of the file, or that of -n, until a signal ends it. */
int nd_keeper_run(const struct nd_options *options);
/* Asks it, and prints its status. */
int nd_keeper_status(const struct nd_options *options);
int nd_cmd_drill(int argc, char **argv);
int nd_cmd_check(int argc, char **argv);
int nd_cmd_key(int argc, char **argv);
int nd_cmd_replay(int argc, char **argv);
int nd_cmd_bench(int argc, char **argv);
int nd_cmd_status(int argc, char **argv);
int nd_cmd_watch(int argc, char **argv);
/* verify, promote, drain, resync, failback, apply, rollback, confirm, history, push, set, clear, pin, hold,
 * unpin: the word is the request */
int nd_cmd_act(int argc, char **argv);
int nd_cmd_show(int argc, char **argv);
int nd_cmd_top(int argc, char **argv);
int nd_cmd_trace(int argc, char **argv);
int nd_cmd_incidents(int argc, char **argv);
int nd_cmd_new_nf(int argc, char **argv);
int nd_cmd_nfs(int argc, char **argv);
int nd_cmd_version(int argc, char **argv);

#endif
