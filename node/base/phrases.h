/* SPDX-License-Identifier: Apache-2.0 */
/* A text for people that is made of phrases, one behind the other. No state. */
#ifndef NODE_BASE_PHRASES_H
#define NODE_BASE_PHRASES_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Adds a phrase to the text in out[0..cap), behind "; " when there is one already. What does not fit is cut.
 */
__attribute__((format(printf, 3, 4))) static inline void nd_phrases_add(char *out, size_t cap,
                                                                        const char *format, ...)
{
    size_t at = strlen(out);
    va_list args;

    if (at && at + 2 < cap) {
        memcpy(out + at, "; ", 3);
        at += 2;
    }
    va_start(args, format);
    vsnprintf(out + at, cap - at, format, args);
    va_end(args);
}

#endif
