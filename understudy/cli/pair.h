/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running pair as a subcommand sees it: the configuration, what each node reports of itself, and which
 * node to ask. Made and used within one subcommand.
 *
 * A file may have more than two nodes. The pair are the first two of `config` here, whatever their order in
 * the file: who the members of the latest view are, by what the nodes report, once they were asked.
 */
#ifndef CLI_PAIR_H
#define CLI_PAIR_H

#include "understudy/config/config.h"
#include "understudy/config/choose.h"
#include "understudy/control/client.h"

#include <signal.h>
#include <stdio.h>

#define ND_STATUS_MS 2000  /* a status is quick, or the node is not well */
#define ND_ACTION_MS 60000 /* a drain or a resync may take its time */

struct nd_pair {
    struct nd_config *config;
    struct nd_options options;
    int only;                 /* index of the node that -n names, or -1 */
    json_t *status[ND_NODES]; /* owned; NULL: no answer, and `why` has the reason */
    struct ft_fault why[ND_NODES];
    int error[ND_NODES]; /* the same as a code; 0: it has answered */
    bool elsewhere;      /* of a command that only looks: a node without a socket here is asked through the
                            other one */
};

/* Reads options and configuration. 0, or an exit code with the line printed; then nothing is to be closed. */
int nd_pair_open(struct nd_pair *pair, int argc, char **argv);
/* The same for options that are in pair->options already; `only` is -1. `command`: its name, for refusals. */
int nd_pair_begin(struct nd_pair *pair, const char *command);
void nd_pair_close(struct nd_pair *pair);

/* As nd_ask, of node `i` (understudy/cli/ask.c). An answer that came through another node has "asked_through"
 * and "age_ms". */
int nd_pair_ask(const struct nd_pair *pair, unsigned i, const json_t *request, int timeout_ms,
                json_t **answer, struct ft_fault *fault);

/* Asks all nodes (or the one of -n) for their status, replacing what was known, and puts the pair first. */
void nd_pair_ask_status(struct nd_pair *pair);

/* The node in `role` ("primary"), by what they reported; of two, that of the higher view. -1: none. */
int nd_pair_in_role(const struct nd_pair *pair, const char *role);
/* The node that counts: that of -n, else the primary; -1: there is none. */
int nd_pair_judged(const struct nd_pair *pair);

/*
 * Sends `request`, whose reference it takes over, to the node of -n, else to the one in `role`, else to the
 * one of this host, which may refuse. 0 and *answer (new), or an exit code with a line on stderr: nobody in
 * that role, no answer, or the node's own refusal.
 */
int nd_pair_request(struct nd_pair *pair, const char *role, json_t *request, int timeout_ms, json_t **answer);

/* The exit code that status has for what is known (docs/reference.md). */
int nd_pair_exit(const struct nd_pair *pair);

/* The verdict, and in further lines what is wrong. */
void nd_pair_print_verdict(const struct nd_pair *pair, FILE *out);

/* Status for people; begins with the verdict. */
void nd_pair_print(const struct nd_pair *pair, FILE *out);

/* A member as text, or `otherwise`. Borrowed. */
static inline const char *nd_text(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : otherwise;
}

/* A member as a whole number, as a number, as a boolean; 0 and false: there is none. */
static inline json_int_t nd_integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static inline double nd_number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static inline bool nd_is_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

/* For commands that go on until they are ended: SIGINT and SIGTERM set it, and a reader that is gone is an
 * error of stdout. */
extern volatile sig_atomic_t nd_stopped;
void nd_catch_signals(void);

#endif
