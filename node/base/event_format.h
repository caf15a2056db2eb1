/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a line of the event log (ftcore/base/event_log.h) is written: as text, as a JSON object, or as a
 * datagram to the journal. Pure functions; the event writer and `understudy watch` use them.
 */
#ifndef NODE_BASE_EVENT_FORMAT_H
#define NODE_BASE_EVENT_FORMAT_H

#include "ftcore/base/event_log.h"

#include <jansson.h>
#include <stddef.h>

#define ND_WALL_TEXT     32
#define ND_EVENT_TEXT    1024u /* bytes of a line as text */
#define ND_EVENT_JOURNAL 4096u /* bytes of a datagram */

/* `wall`: ns since 1970. RFC 3339 with milliseconds, UTC: "2026-11-22T07:48:25.123Z". Returns `out`. */
const char *nd_wall_text(char out[ND_WALL_TEXT], uint64_t wall);

/*
 * {"time", "level", "event", "node", "message", "fields": {…}}, a new reference; NULL: no memory. `more`: how
 * many lines like this one were left out before it, told as the field "repeated"; 0: none. What is no UTF-8
 * becomes '?'.
 */
json_t *nd_event_json(const struct ft_event_line *line, const char *node, uint64_t more);

/* "TIME LEVEL EVENT NODE: MESSAGE\n", with how many more there were; without memory of its own. Bytes. */
size_t nd_event_text(char out[ND_EVENT_TEXT], const struct ft_event_line *line, const char *node,
                     uint64_t more);
/* The same of an object as nd_event_json makes. */
size_t nd_event_text_of(char out[ND_EVENT_TEXT], const json_t *event);

/* In the journal's native protocol, one line a field: PRIORITY, SYSLOG_IDENTIFIER, MESSAGE, UNDERSTUDY_EVENT,
 * UNDERSTUDY_NODE, and UNDERSTUDY_ with each field's name in capitals. Bytes. */
size_t nd_event_journal(char out[ND_EVENT_JOURNAL], const struct ft_event_line *line, const char *node,
                        uint64_t more);

#endif
