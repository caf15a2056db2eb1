/* SPDX-License-Identifier: Apache-2.0 */
/* The process's one watcher of state types; see watch.h. Written before a chain is made, read by lanes. */
#include "nflib/state/watch.h"

const struct nf_watch *nf_watch;
