/* SPDX-License-Identifier: Apache-2.0 */
/* The patterns of ips: automata that are read from a subset of Perl's regular expressions. Read-only once
 * they are read. */
#ifndef NFS_IPS_PCRE_H
#define NFS_IPS_PCRE_H

#include <stdbool.h>
#include <stdint.h>

/* Of up to 64 positions; see pcre.c. A state is a bit for each position that a stream is at. */
struct ips_pcre {
    uint64_t has[256];     /* by byte: positions that have it */
    uint64_t follow[64];   /* by position: those that may come next; while it is read */
    uint64_t next[8][256]; /* the same of all in a byte of a state: of byte k, by its value */
    uint64_t first, last;
    bool anchored; /* begins where the content before it ends, not somewhere behind */
};

/* NULL, or what was expected: it is no pattern, or not of the subset. `text` is cut up. */
const char *ips_pcre_read(struct ips_pcre *pcre, char *text);

/* -1: it is none. */
static inline int ips_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

#endif
