/* SPDX-License-Identifier: Apache-2.0 */
/* A line of the event log as text, as JSON, and as the journal reads it; JSON is parsed again by jansson. */
#include "node/base/event_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define WALL 1795420105123456789u /* 2026-11-23T07:48:25.123456789Z, by date(1) */

static struct ft_event_line fill(const struct ft_log_field *fields, const char *fmt, ...)
{
    struct ft_event_line line;
    va_list ap;

    va_start(ap, fmt);
    ft_event_line_fill(&line, WALL, FT_LEVEL_WARNING, FT_SAYS_TAKEOVER, fields, fmt, ap);
    va_end(ap);
    return line;
}

static const char *text_at(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* As it would be written, and read by somebody else. */
static json_t *through_text(const struct ft_event_line *line, const char *node, uint64_t more)
{
    json_t *made = nd_event_json(line, node, more), *read;
    char *text = json_dumps(made, JSON_COMPACT);

    assert_non_null(text);
    assert_null(strchr(text, '\n'));
    read = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(read);
    free(text);
    json_decref(made);
    return read;
}

static void a_wall_clock_time_is_written_by_rfc_3339(void **state)
{
    char text[ND_WALL_TEXT];

    (void)state;
    assert_string_equal(nd_wall_text(text, WALL), "2026-11-23T07:48:25.123Z");
    assert_string_equal(nd_wall_text(text, 0), "1970-01-01T00:00:00.000Z");
    assert_string_equal(nd_wall_text(text, 951782400000000000u), "2000-02-29T00:00:00.000Z");
    assert_string_equal(nd_wall_text(text, 1709251199999999999u), "2024-02-29T23:59:59.999Z");
}

static void levels_have_the_numbers_of_syslog_and_names(void **state)
{
    (void)state;
    assert_int_equal(FT_LEVEL_ERROR, 3);
    assert_int_equal(FT_LEVEL_INFO, 6);
    assert_string_equal(ft_level_name(FT_LEVEL_ERROR), "error");
    assert_string_equal(ft_level_name(FT_LEVEL_WARNING), "warning");
    assert_string_equal(ft_level_name(FT_LEVEL_NOTICE), "notice");
    assert_string_equal(ft_level_name(FT_LEVEL_INFO), "info");
}

static void a_line_of_text_has_time_level_event_node_and_message(void **state)
{
    const struct ft_event_line line = fill(NULL, "SOLO, view %u: silence", 2);
    char text[ND_EVENT_TEXT], again[ND_EVENT_TEXT];
    json_t *o = through_text(&line, "b", 17);
    size_t len = nd_event_text(text, &line, "b", 0);

    (void)state;
    assert_int_equal(len, strlen(text));
    assert_string_equal(text, "2026-11-23T07:48:25.123Z warning takeover     b: SOLO, view 2: silence\n");
    nd_event_text(text, &line, "b", 17);
    assert_non_null(strstr(text, "silence (17 more times)\n"));
    nd_event_text_of(again, o); /* watch prints the same */
    assert_string_equal(again, text);
    json_decref(o);
}

static void a_line_as_json_has_the_same_and_its_fields(void **state)
{
    const struct ft_log_field fields[] = {{"state", .text = "SOLO"}, {"view", .number = 2}, {0}};
    const struct ft_event_line line = fill(fields, "SOLO");
    json_t *o = through_text(&line, "b", 3);
    const json_t *f = json_object_get(o, "fields");

    (void)state;
    assert_int_equal(json_object_size(o), 6);
    assert_string_equal(text_at(o, "time"), "2026-11-23T07:48:25.123Z");
    assert_string_equal(text_at(o, "level"), "warning");
    assert_string_equal(text_at(o, "event"), "takeover");
    assert_string_equal(text_at(o, "node"), "b");
    assert_string_equal(text_at(o, "message"), "SOLO");
    assert_int_equal(json_object_size(f), 3);
    assert_string_equal(text_at(f, "state"), "SOLO");
    assert_int_equal(json_integer_value(json_object_get(f, "view")), 2);
    assert_int_equal(json_integer_value(json_object_get(f, "repeated")), 3);
    json_decref(o);
}

/* As a peer, a file or a frame might make it: quotes, braces, line ends, what is no UTF-8, and too long. */
static const char *const hostile[] = {
    "\",\"level\":\"info", "\\",  "}\n{\"time\":0}\r", "\xff\xfe", "\xc3", "caf\xc3\xa9",
    "\x01\x02\x1b[2J",     "%s%n"};

static void hostile_text_breaks_no_line(void **state)
{
    char text[ND_EVENT_TEXT], datagram[ND_EVENT_JOURNAL];

    (void)state;
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        const struct ft_log_field fields[] = {{"reason", .text = hostile[i]}, {0}};
        const struct ft_event_line line = fill(fields, "%s", hostile[i]);
        json_t *o = through_text(&line, hostile[i], 0);
        size_t len = nd_event_text(text, &line, "b", 0), lines = 0;

        assert_int_equal(json_object_size(o), 6);
        assert_string_equal(text_at(o, "level"), "warning");
        assert_non_null(text_at(o, "message"));
        assert_int_equal(json_object_size(json_object_get(o, "fields")), 1);
        json_decref(o);
        assert_ptr_equal(strchr(text, '\n'), text + len - 1);
        len = nd_event_journal(datagram, &line, "b", 0);
        for (size_t c = 0; c < len; c++)
            lines += datagram[c] == '\n';
        assert_int_equal(lines, 6); /* a field a line */
    }
}

static void what_is_utf_8_stays_as_it_is(void **state)
{
    const struct ft_event_line line = fill(NULL, "caf\xc3\xa9");
    json_t *o = through_text(&line, "b", 0);

    (void)state;
    assert_string_equal(text_at(o, "message"), "caf\xc3\xa9");
    json_decref(o);
}

static void the_longest_line_fits_everywhere(void **state)
{
    char longest[2 * FT_EVENT_LINE], text[ND_EVENT_TEXT], datagram[ND_EVENT_JOURNAL];
    struct ft_log_field fields[FT_EVENT_FIELDS + 1] = {{0}};

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (unsigned i = 0; i < FT_EVENT_FIELDS; i++)
        fields[i] = (struct ft_log_field){"reason", .text = longest};

    const struct ft_event_line line = fill(fields, "%s", longest);
    size_t len = nd_event_text(text, &line, longest, UINT64_MAX);

    assert_in_range(len, FT_EVENT_LINE, ND_EVENT_TEXT - 1);
    assert_int_equal(text[len - 1], '\n');
    len = nd_event_journal(datagram, &line, "b", UINT64_MAX);
    assert_in_range(len, FT_EVENT_LINE + FT_EVENT_FIELDS * (FT_EVENT_VALUE - 1), ND_EVENT_JOURNAL - 1);
    assert_int_equal(datagram[len - 1], '\n');
}

static void the_journal_gets_priority_and_fields(void **state)
{
    const struct ft_log_field fields[] = {{"state", .text = "SOLO"}, {"view", .number = 2}, {0}};
    const struct ft_event_line line = fill(fields, "SOLO: a=b");
    char datagram[ND_EVENT_JOURNAL];
    size_t len = nd_event_journal(datagram, &line, "b", 3);

    (void)state;
    datagram[len] = '\0';
    assert_string_equal(datagram, "PRIORITY=4\nSYSLOG_IDENTIFIER=understudy\n"
                                  "MESSAGE=SOLO: a=b (3 more times)\nUNDERSTUDY_EVENT=takeover\n"
                                  "UNDERSTUDY_NODE=b\nUNDERSTUDY_STATE=SOLO\nUNDERSTUDY_VIEW=2\n"
                                  "UNDERSTUDY_REPEATED=3\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wall_clock_time_is_written_by_rfc_3339),
        cmocka_unit_test(levels_have_the_numbers_of_syslog_and_names),
        cmocka_unit_test(a_line_of_text_has_time_level_event_node_and_message),
        cmocka_unit_test(a_line_as_json_has_the_same_and_its_fields),
        cmocka_unit_test(hostile_text_breaks_no_line),
        cmocka_unit_test(what_is_utf_8_stays_as_it_is),
        cmocka_unit_test(the_longest_line_fits_everywhere),
        cmocka_unit_test(the_journal_gets_priority_and_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
