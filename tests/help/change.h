/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of NFs: a chain that is changed while it runs, as `apply` does it. */
#ifndef TESTS_HELP_CHANGE_H
#define TESTS_HELP_CHANGE_H

#include "tests/help/chain.h"

/* `nfs` and `rules` as for help_chain_open; `rules` NULL: as before. 0, or how it is refused. */
int help_change(struct help_chain *h, const char *nfs, const char *rules, struct ft_fault *fault);

#endif
