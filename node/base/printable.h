/* SPDX-License-Identifier: Apache-2.0 */
/* Text of somebody else's that goes to a terminal or into a line: printable ASCII alone. No state. */
#ifndef NODE_BASE_PRINTABLE_H
#define NODE_BASE_PRINTABLE_H

#include <stddef.h>

/* out[0..size): at most size - 1 characters of `text`, '?' in place of each that is not. Returns out. */
static inline const char *nd_printable(const char *text, char *out, size_t size)
{
    size_t n = 0;

    for (; n + 1 < size && text[n]; n++)
        out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    out[n] = '\0';
    return out;
}

#endif
