/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `show NF` would say of a chain that the replay tool has run: the rows of its lanes, as JSON and for
 * people. Reads chains in which nothing runs any more; used by the tool's main thread and the reference's.
 */
#ifndef TOOLS_PAIR_SHOWN_H
#define TOOLS_PAIR_SHOWN_H

#include "nflib/chain/chain.h"

#include <jansson.h>
#include <stdio.h>

/* All rows of the NF in one lane's chain, appended to `rows`, with the lane if there are several. FT_ENOMEM;
 * FT_EMALFORMED: what it shows is no JSON. */
int nd_shown_add(json_t *rows, const struct nf_chain *chain, const char *name, unsigned lane, unsigned lanes,
                 struct ft_fault *fault);
/* The NF's name and its rows, for people. */
void nd_shown_print(const json_t *rows, const char *name, FILE *out);
/* One row as "name=value name=value", behind `before`. */
void nd_shown_print_one(json_t *row, const char *before, FILE *out);

#endif
