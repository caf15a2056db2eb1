/* SPDX-License-Identifier: Apache-2.0 */
/* Which packet of a burst a value is an address of. Also in a signal handler. No state. */
#ifndef NODE_CRASH_FIND_H
#define NODE_CRASH_FIND_H

#include "nflib/net/packet.h"

#include <stdint.h>

/* Bits: the packets that `value` points to, its struct or its frame; 0: none. */
uint32_t nd_crash_find(const struct nf_packet *packets, uint32_t n, uint64_t value);
/* The packet where its struct begins at `value`. */
uint32_t nd_crash_find_struct(const struct nf_packet *packets, uint32_t n, uint64_t value);
/* The packet to whose place in an NF's list `value` points, unless that is the list's first: those of who
 * goes through a list. `stack`: where the chain's own frames begin, in which it has its lists. */
uint32_t nd_crash_find_in_list(const struct nf_packet *packets, uint32_t n, uint64_t stack, uint64_t value);
/* Those of all words of a stack from `from` up to `until`. */
uint32_t nd_crash_find_on_stack(const struct nf_packet *packets, uint32_t n, uint64_t from, uint64_t until);

#endif
