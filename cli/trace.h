/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace as a pcapng file (draft-ietf-opsawg-pcapng): one section, an interface for each data port. A packet
 * is there as it came in, with a comment that says what each NF did and what became of it, and behind that as
 * the chain let it out, if it did. For wireshark, tshark and whatever else reads such files.
 */
#ifndef CLI_TRACE_H
#define CLI_TRACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Writes the answer to "trace" of the node with this name. False: the answer lacks something, or has a frame
 * that is none. Errors of `out` stay with it. */
bool nd_pcapng_write(FILE *out, const char *node, const json_t *answer);

#endif
