/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the event log as text, JSON and datagrams; see event_format.h. */
#include "node/base/event_format.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *nd_wall_text(char out[ND_WALL_TEXT], uint64_t wall)
{
    time_t seconds = (time_t)(wall / 1000000000u);
    struct tm t;
    char second[24];

    gmtime_r(&seconds, &t);
    strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out, ND_WALL_TEXT, "%s.%03uZ", second, (unsigned)(wall / 1000000u % 1000u));
    return out;
}

/* A text may have been cut inside a character, and a peer or a file may have said anything. */
static json_t *make_text(const char *text)
{
    char plain[FT_EVENT_LINE];
    json_t *o = json_string(text);

    if (o)
        return o;
    snprintf(plain, sizeof(plain), "%s", text);
    for (char *c = plain; *c; c++)
        if (*c & 0x80)
            *c = '?';
    return json_string(plain);
}

json_t *nd_event_json(const struct ft_event_line *line, const char *node, uint64_t more)
{
    char time[ND_WALL_TEXT];
    json_t *fields = json_object();

    for (unsigned i = 0; i < line->fields; i++) {
        const struct ft_event_field *f = &line->field[i];

        json_object_set_new(fields, f->name,
                            f->is_text ? make_text(f->text) : json_integer((json_int_t)f->number));
    }
    if (more)
        json_object_set_new(fields, "repeated", json_integer((json_int_t)more));
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "time", nd_wall_text(time, line->time), "level",
                     ft_level_name(line->level), "event", ft_event_name(line->event), "node", make_text(node),
                     "message", make_text(line->text), "fields", fields);
}

static const char *text_of(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));

    return text ? text : "-";
}

static size_t make_line(char out[ND_EVENT_TEXT], const char *time, const char *level, const char *event,
                        const char *node, const char *message, uint64_t more)
{
    char times[40] = "";

    if (more)
        snprintf(times, sizeof(times), " (%lu more times)", more);
    return (size_t)snprintf(out, ND_EVENT_TEXT, "%.40s %-7.10s %-12.20s %.60s: %.700s%s\n", time, level,
                            event, node, message, times);
}

size_t nd_event_text(char out[ND_EVENT_TEXT], const struct ft_event_line *line, const char *node,
                     uint64_t more)
{
    char time[ND_WALL_TEXT];

    return make_line(out, nd_wall_text(time, line->time), ft_level_name(line->level),
                     ft_event_name(line->event), node, line->text, more);
}

size_t nd_event_text_of(char out[ND_EVENT_TEXT], const json_t *event)
{
    const json_t *more = json_object_get(json_object_get(event, "fields"), "repeated");

    return make_line(out, text_of(event, "time"), text_of(event, "level"), text_of(event, "event"),
                     text_of(event, "node"), text_of(event, "message"), (uint64_t)json_integer_value(more));
}

/* ---- the journal ------------------------------------------------------------------------------- */

/* No value has a line end (event_log.h), so each fits on a line. */
static size_t add_value(char *out, size_t at, const char *prefix, const char *name, const char *value)
{
    size_t room = ND_EVENT_JOURNAL - at;
    int n = snprintf(out + at, room, "%s%s=%s\n", prefix, name, value);

    if (n < 0 || (size_t)n >= room)
        return at; /* does not fit: left out whole */
    for (size_t i = at + strlen(prefix); out[i] != '='; i++)
        out[i] = (char)toupper((unsigned char)out[i]);
    return at + (size_t)n;
}

static size_t add_count(char *out, size_t at, const char *prefix, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lu", value);
    return add_value(out, at, prefix, name, text);
}

size_t nd_event_journal(char out[ND_EVENT_JOURNAL], const struct ft_event_line *line, const char *node,
                        uint64_t more)
{
    static const char ours[] = "UNDERSTUDY_";
    char message[FT_EVENT_LINE + 40];
    size_t at = 0;

    snprintf(message, sizeof(message), "%s", line->text);
    if (more)
        snprintf(message, sizeof(message), "%s (%lu more times)", line->text, more);
    at = add_count(out, at, "", "PRIORITY", line->level);
    at = add_value(out, at, "", "SYSLOG_IDENTIFIER", "understudy");
    at = add_value(out, at, "", "MESSAGE", message);
    at = add_value(out, at, ours, "EVENT", ft_event_name(line->event));
    at = add_value(out, at, ours, "NODE", node);
    for (unsigned i = 0; i < line->fields; i++) {
        const struct ft_event_field *f = &line->field[i];

        at = f->is_text ? add_value(out, at, ours, f->name, f->text)
                        : add_count(out, at, ours, f->name, f->number);
    }
    return more ? add_count(out, at, ours, "REPEATED", more) : at;
}
