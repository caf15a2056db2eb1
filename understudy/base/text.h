/* SPDX-License-Identifier: Apache-2.0 */
/* Words for people: texts of others, texts of phrases, and a line of the log that several files write. No
 * state. */
#ifndef NODE_BASE_TEXT_H
#define NODE_BASE_TEXT_H

#include "ftcore/base/event_log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* out[0..size): at most size - 1 characters of `text`, '?' in place of each that is not. Returns out. */
static inline const char *nd_printable(const char *text, char *out, size_t size)
{
    size_t n = 0;

    for (; n + 1 < size && text[n]; n++)
        out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    out[n] = '\0';
    return out;
}

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

/* Logs strangers, of which there were `count` since the start, each time that there are more than *said; the
 * log makes one line a minute of the same words. `ask`: what a person is to look at first. */
static inline void nd_strangers_say(uint64_t *said, uint64_t count, const char *peer, const char *ask)
{
    if (count == *said)
        return;
    *said = count;
    ft_log_event(FT_LEVEL_WARNING, FT_SAYS_SEAL, "connections did not prove that they are %s's%s%s", peer,
                 ask[0] ? ": " : "", ask);
}

#endif
