/* SPDX-License-Identifier: Apache-2.0 */
/* What a change of the chain would do, NF by NF and interface by interface, for who asks before it is done.
 * The main thread's. */
#ifndef NODE_CHANGE_PLAN_H
#define NODE_CHANGE_PLAN_H

#include "nflib/chain/change.h"
#include "understudy/watch/counts.h"

#include <jansson.h>

/*
 * {"nfs": [{"nf", "does": "stays" | "changes" | "begins" | "goes", "state": "kept" | "empty" | "dropped",
 * "settings": [{"name", "before", "after"}]}], "interfaces": [{"what", "does": "begins" | "changes" | "goes",
 * "before", "after"}], "waits_ms": [LEAST, MOST]}, a new reference; NULL: no memory.
 * `plan` was judged. `region`: bytes of the state, which is moved while packets wait.
 */
json_t *nd_plan_json(const struct nf_chain_change *plan, const struct nd_counts *counts, uint64_t region);

#endif
