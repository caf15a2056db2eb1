/* SPDX-License-Identifier: Apache-2.0 */
/* Lines that come again and again, and the memory of the last lines. */
#include "node/base/event_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define SECOND 1000000000ull
#define START  (1000 * SECOND)

static struct nd_repeats repeats;

static int forget(void **state)
{
    (void)state;
    memset(&repeats, 0, sizeof(repeats));
    return 0;
}

static bool take(const char *text, enum ft_event_name event, uint64_t now)
{
    struct ft_event_line line = {.time = now, .level = FT_LEVEL_INFO, .event = event};

    snprintf(line.text, sizeof(line.text), "%s", text);
    return nd_repeats_take(&repeats, &line, now);
}

/* What is due: so many times, of that message; 0: nothing. */
static uint64_t due(uint64_t now, const char *text)
{
    uint64_t missed = 0;
    const struct ft_event_line *line = nd_repeats_due(&repeats, now, &missed);

    if (!line)
        return 0;
    assert_string_equal(line->text, text);
    return missed;
}

static void a_line_comes_once_and_then_once_a_minute_with_the_count(void **state)
{
    (void)state;
    assert_true(take("refused", FT_SAYS_STATE, START));
    assert_int_equal(nd_repeats_next(&repeats), UINT64_MAX); /* nobody has to wake up */
    for (unsigned i = 1; i <= 17; i++)
        assert_false(take("refused", FT_SAYS_STATE, START + i * SECOND));
    assert_int_equal(nd_repeats_next(&repeats), START + 60 * SECOND);
    assert_int_equal(due(START + 60 * SECOND - 1, "refused"), 0);
    assert_int_equal(due(START + 60 * SECOND, "refused"), 17);
    assert_int_equal(due(START + 60 * SECOND, "refused"), 0);
    assert_false(take("refused", FT_SAYS_STATE, START + 61 * SECOND));
    assert_int_equal(due(START + 119 * SECOND, "refused"), 0);
    assert_int_equal(due(START + 120 * SECOND, "refused"), 1);
}

static void a_notice_is_always_news(void **state)
{
    struct ft_event_line line = {.time = START, .level = FT_LEVEL_NOTICE, .event = FT_SAYS_SEAL};
    uint64_t missed;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_null(nd_repeats_before(&repeats, &line, &missed));
        assert_true(nd_repeats_take(&repeats, &line, START + i * SECOND));
    }
    assert_int_equal(nd_repeats_next(&repeats), UINT64_MAX);
}

static void after_a_minute_of_silence_it_is_news_again(void **state)
{
    (void)state;
    assert_true(take("refused", FT_SAYS_STATE, START));
    assert_true(take("refused", FT_SAYS_STATE, START + 60 * SECOND));
    assert_false(take("refused", FT_SAYS_STATE, START + 61 * SECOND));
}

static void lines_of_other_events_are_not_the_same(void **state)
{
    (void)state;
    assert_true(take("refused", FT_SAYS_STATE, START));
    assert_true(take("refused", FT_SAYS_SEAL, START));
    assert_false(take("refused", FT_SAYS_STATE, START));
    assert_false(take("refused", FT_SAYS_SEAL, START));
}

static void what_holds_again_after_another_line_is_written(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(take("not protected", FT_SAYS_PORT, START + i));
        assert_true(take("whole again", FT_SAYS_PORT, START + i));
        assert_true(take("PROTECTED", FT_SAYS_STATE, START + i)); /* all four tell the node's state */
        assert_true(take("SOLO", FT_SAYS_STANDBY_LOST, START + i));
        assert_true(take("FENCED", FT_SAYS_FENCED, START + i));
        assert_true(take("SOLO", FT_SAYS_TAKEOVER, START + i));
    }
}

static void what_was_counted_is_told_before_another_line_of_the_event(void **state)
{
    struct ft_event_line same = {.event = FT_SAYS_PORT, .text = "no carrier"},
                         other = {.event = FT_SAYS_PORT, .text = "whole again"},
                         elsewhere = {.event = FT_SAYS_SEAL, .text = "whole again"};
    const struct ft_event_line *line;
    uint64_t missed = 0;

    (void)state;
    assert_true(take("no carrier", FT_SAYS_PORT, START));
    assert_null(nd_repeats_before(&repeats, &other, &missed)); /* nothing was counted */
    assert_false(take("no carrier", FT_SAYS_PORT, START + 1));
    assert_false(take("no carrier", FT_SAYS_PORT, START + 2));
    assert_null(nd_repeats_before(&repeats, &same, &missed));
    assert_null(nd_repeats_before(&repeats, &elsewhere, &missed));
    line = nd_repeats_before(&repeats, &other, &missed);
    assert_non_null(line);
    assert_string_equal(line->text, "no carrier");
    assert_int_equal(line->time, START + 2);
    assert_int_equal(missed, 2);
    assert_null(nd_repeats_before(&repeats, &other, &missed));
    assert_int_equal(nd_repeats_next(&repeats), UINT64_MAX);
    assert_true(take("whole again", FT_SAYS_PORT, START + 3));
}

static void counted_lines_are_told_in_the_order_of_their_times(void **state)
{
    (void)state;
    assert_true(take("state", FT_SAYS_STATE, START));
    assert_true(take("port", FT_SAYS_PORT, START));
    assert_true(take("seal", FT_SAYS_SEAL, START));
    assert_false(take("port", FT_SAYS_PORT, START + 1));
    assert_false(take("seal", FT_SAYS_SEAL, START + 2));
    assert_false(take("state", FT_SAYS_STATE, START + 3));
    assert_int_equal(due(START + 60 * SECOND, "port"), 1);
    assert_int_equal(due(START + 60 * SECOND, "seal"), 1);
    assert_int_equal(due(START + 60 * SECOND, "state"), 1);
    assert_int_equal(due(START + 60 * SECOND, ""), 0);
}

/* ---- the last lines ------------------------------------------------------------------------------ */

static void add(unsigned from, unsigned count)
{
    struct ft_event_line line = {.level = FT_LEVEL_INFO};

    for (unsigned i = from; i < from + count; i++) {
        snprintf(line.text, sizeof(line.text), "line %u", i);
        nd_recent_add(&line, i);
    }
}

static void a_reader_gets_each_line_once_and_a_slow_one_a_count_of_what_is_gone(void **state)
{
    static struct nd_recent_line out[ND_RECENT];
    uint64_t next = 0, lost = 0;

    (void)state;
    assert_int_equal(nd_recent_read(&next, &lost, out, ND_RECENT), 0);
    add(0, 3);
    assert_int_equal(nd_recent_read(&next, &lost, out, 2), 2);
    assert_string_equal(out[1].line.text, "line 1");
    assert_int_equal(nd_recent_read(&next, &lost, out, ND_RECENT), 1);
    assert_string_equal(out[0].line.text, "line 2");
    assert_int_equal(out[0].more, 2);
    assert_int_equal(lost, 0);
    add(3, ND_RECENT + 7); /* it has been away */
    assert_int_equal(nd_recent_count(), ND_RECENT + 10);
    assert_int_equal(nd_recent_read(&next, &lost, out, ND_RECENT), ND_RECENT);
    assert_int_equal(lost, 7);
    assert_string_equal(out[0].line.text, "line 10");
    assert_int_equal(next, ND_RECENT + 10);
    assert_int_equal(nd_recent_read(&next, &lost, out, ND_RECENT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_comes_once_and_then_once_a_minute_with_the_count, forget),
        cmocka_unit_test_setup(a_notice_is_always_news, forget),
        cmocka_unit_test_setup(after_a_minute_of_silence_it_is_news_again, forget),
        cmocka_unit_test_setup(lines_of_other_events_are_not_the_same, forget),
        cmocka_unit_test_setup(what_holds_again_after_another_line_is_written, forget),
        cmocka_unit_test_setup(what_was_counted_is_told_before_another_line_of_the_event, forget),
        cmocka_unit_test_setup(counted_lines_are_told_in_the_order_of_their_times, forget),
        cmocka_unit_test(a_reader_gets_each_line_once_and_a_slow_one_a_count_of_what_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
