/* SPDX-License-Identifier: Apache-2.0 */
/* A peer with another key is told of in the log, and not only counted. */
#include "ftcore/base/event_log.h"
#include "understudy/base/text.h"
#include "tests/help/test.h"

static uint64_t no_time(void)
{
    return 0;
}

static void nothing(void) {}

/* The line that so many of them since the start make; "": none. */
static const char *said(uint64_t count, const char *ask)
{
    static char text[FT_EVENT_LINE];
    static uint64_t last;
    const struct ft_event_line *line;

    nd_strangers_say(&last, count, "beta", ask);
    line = ft_event_log_first();
    text[0] = '\0';
    if (!line)
        return text;
    assert_int_equal(line->level, FT_LEVEL_WARNING);
    assert_int_equal(line->event, FT_SAYS_SEAL);
    snprintf(text, sizeof(text), "%s", line->text);
    ft_event_log_release(true);
    return text;
}

TEST(strangers_are_told_of_when_there_are_more)
{
    static const struct ft_event_writer writer = {.wall = no_time, .wake = nothing, .flush = nothing};

    ft_event_log_attach(&writer);
    assert_string_equal(said(0, "one key?"), "");
    assert_string_equal(said(2, "one key?"), "connections did not prove that they are beta's: one key?");
    assert_string_equal(said(2, "one key?"), "");
    assert_string_equal(said(3, ""), "connections did not prove that they are beta's");
    ft_event_log_attach(NULL);
}
