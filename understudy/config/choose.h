/* SPDX-License-Identifier: Apache-2.0 */
/* Which node, or keeper, of a file a command line means: that of -n, else the one of this host. */
#ifndef NODE_CONFIG_CHOOSE_H
#define NODE_CONFIG_CHOOSE_H

#include "understudy/config/config.h"
#include "understudy/config/options.h"

#define ND_CHOICE_TEXT 1024u

/* "a, b or c": the nodes of the file, where `name` is none of them; and what it is where it is a keeper's.
 * Returns `out`. */
const char *nd_node_names(const struct nd_config *config, const char *name, char out[ND_CHOICE_TEXT]);

/* The node whose replication address is this host's, where no other one's is; -1: none is, or more than one.
 */
int nd_local_node(const struct nd_config *config);

/* The node of -n, else that one; -1: there is none, which `out` is the refusal for; `what`: what the node is
 * wanted for, "try: ". */
int nd_choose_node(const struct nd_config *config, const struct nd_options *options, const char *what,
                   char out[ND_CHOICE_TEXT]);

/* Reads the file, quietly for a question to the keeper, and finds the keeper of -n, or the only one: *place.
 * 0, or an exit code with its line; then nothing is to be freed. */
int nd_choose_keeper(struct nd_config **config, unsigned *place, const struct nd_options *options);

#endif
