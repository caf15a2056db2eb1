/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of nflib/chain share among themselves; see chain.h. */
#ifndef NFLIB_CHAIN_PARTS_H
#define NFLIB_CHAIN_PARTS_H

#include "nflib/chain/chain.h"

/* Counters that the module has names for. */
uint32_t nf_chain_counters(const struct nf_module *module);
/* Opens the coming burst for a command. One was opened already: a broken invariant. */
void nf_chain_open(struct nf_chain *chain);

#endif
