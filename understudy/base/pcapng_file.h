/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a pcapng file (draft-ietf-opsawg-pcapng): one section, an interface for each data port, packets with
 * comments. For wireshark, tshark and whatever else reads such files. Errors of `out` stay with it; false: no
 * memory.
 */
#ifndef NODE_BASE_PCAPNG_FILE_H
#define NODE_BASE_PCAPNG_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct nd_pcapng_packet {
    unsigned port; /* number of the interface, in the order in which they were written */
    bool out;      /* it went out by it; else it came in */
    uint64_t time; /* wall clock, ns since 1970 */
    const void *bytes;
    uint32_t have, wire; /* bytes that are there, and that the frame had */
    const char *comment; /* NULL: none */
};

/* First, with the names of all ports; then packets. */
bool nd_pcapng_begin(FILE *out, const char *node, const char *const ports[], unsigned n);
bool nd_pcapng_packet(FILE *out, const struct nd_pcapng_packet *p);

#endif
