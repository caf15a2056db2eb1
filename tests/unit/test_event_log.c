/* SPDX-License-Identifier: Apache-2.0 */
/* The event log's queue alone, with a writer that only counts, and with threads that race to add lines. */
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"
#include "understudy/base/event_writer.c"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 4u
#define EACH    20000u

static _Atomic unsigned woken, flushed;

static void wake(void)
{
    atomic_fetch_add(&woken, 1);
}

static void flush(void)
{
    atomic_fetch_add(&flushed, 1);
}

static uint64_t wall(void)
{
    return 1234567;
}

static const struct ft_event_writer counting = {.wall = wall, .wake = wake, .flush = flush};

static int attach(void **state)
{
    ft_event_log_attach(&counting);
    atomic_store(&woken, 0);
    atomic_store(&flushed, 0);
    return 0;
}

static int detach(void **state)
{
    while (ft_event_log_first())
        ft_event_log_release(true);
    ft_event_log_attach(NULL);
    return 0;
}

static void take(const char *expected)
{
    const struct ft_event_line *line = ft_event_log_first();

    assert_non_null(line);
    assert_string_equal(line->text, expected);
    ft_event_log_release(true);
}

TEST_WITH(lines_come_out_as_they_went_in, attach, detach)
{
    assert_null(ft_event_log_first());
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "%s %d", "one", 1);
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "two");
    assert_int_equal(atomic_load(&woken), 2);
    assert_int_equal(ft_event_log_pending(), 2);
    take("one 1");
    take("two");
    assert_null(ft_event_log_first());
    assert_int_equal(ft_event_log_pending(), 0);
}

TEST_WITH(a_line_has_its_level_its_event_its_fields_and_the_time, attach, detach)
{
    const struct ft_log_field fields[] = {{"port", .text = "in\nside"}, {"view", .number = 7}, {0}};
    const struct ft_event_line *line;

    ft_log_fields(FT_LEVEL_WARNING, FT_SAYS_PORT, fields, "a\nb\x1b[2J\x7f");
    line = ft_event_log_first();
    assert_non_null(line);
    assert_int_equal(line->level, 4); /* as syslog has it */
    assert_string_equal(ft_event_name(line->event), "port");
    assert_string_equal(line->text, "a?b?[2J?"); /* nothing that ends the line or moves a cursor */
    assert_int_equal(line->fields, 2);
    assert_string_equal(line->field[0].name, "port");
    assert_true(line->field[0].is_text);
    assert_string_equal(line->field[0].text, "in?side");
    assert_string_equal(line->field[1].name, "view");
    assert_false(line->field[1].is_text);
    assert_int_equal(line->field[1].number, 7);
    assert_int_equal(line->time, 1234567);
    ft_event_log_release(true);
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "the slot before is not seen again");
    ft_event_log_release(true);
}

TEST_WITH(of_more_fields_than_fit_the_first_are_kept, attach, detach)
{
    struct ft_log_field fields[FT_EVENT_FIELDS + 2] = {{0}};
    char names[FT_EVENT_FIELDS + 1][4];

    for (unsigned i = 0; i <= FT_EVENT_FIELDS; i++) {
        snprintf(names[i], sizeof(names[i]), "f%u", i);
        fields[i] = (struct ft_log_field){names[i], .number = i};
    }
    ft_log_fields(FT_LEVEL_INFO, FT_SAYS_STATE, fields, "many");
    assert_int_equal(ft_event_log_first()->fields, FT_EVENT_FIELDS);
    assert_int_equal(ft_event_log_first()->field[FT_EVENT_FIELDS - 1].number, FT_EVENT_FIELDS - 1);
    ft_event_log_release(true);
}

TEST_WITH(a_line_that_finds_the_queue_full_is_dropped_and_counted, attach, detach)
{
    uint64_t before = ft_event_log_lost();

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < FT_EVENT_LINES + 7; i++)
            ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "line %u", i);
        assert_int_equal(ft_event_log_lost() - before, 7 * (round + 1));
        assert_int_equal(ft_event_log_pending(), FT_EVENT_LINES);
        assert_int_equal(atomic_load(&woken), FT_EVENT_LINES * (round + 1));
        for (unsigned i = 0; i < FT_EVENT_LINES; i++)
            take(help_print("line %u", i));
        assert_null(ft_event_log_first());
    }
}

TEST_WITH(the_line_that_is_being_written_keeps_its_place, attach, detach)
{
    const struct ft_event_line *line;
    uint64_t before = ft_event_log_lost();

    for (unsigned i = 0; i < FT_EVENT_LINES; i++)
        ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "line %u", i);
    line = ft_event_log_first();
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "one too many");
    assert_string_equal(line->text, "line 0");
    assert_int_equal(ft_event_log_lost() - before, 1);
    ft_event_log_release(true);
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "fits");
    assert_int_equal(ft_event_log_lost() - before, 1);
    take("line 1");
}

TEST_WITH(a_line_that_cannot_be_written_counts_as_lost, attach, detach)
{
    uint64_t before = ft_event_log_lost();

    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "into nothing");
    ft_event_log_release(false);
    assert_int_equal(ft_event_log_lost() - before, 1);
    assert_int_equal(ft_event_log_pending(), 0);
}

TEST_WITH(a_line_that_is_too_long_is_cut, attach, detach)
{
    char text[2 * FT_EVENT_LINE], expected[FT_EVENT_LINE];

    memset(text, 'x', sizeof(text));
    for (size_t len = FT_EVENT_LINE - 4; len < FT_EVENT_LINE + 2; len++) {
        size_t whole = len < FT_EVENT_LINE - 1 ? len : FT_EVENT_LINE - 1; /* room for a NUL */

        memset(expected, 'x', sizeof(expected));
        expected[whole] = '\0';
        ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "%.*s", (int)len, text);
        take(expected);
    }
}

TEST_WITH(without_a_writer_a_line_goes_to_stderr_at_once, attach, detach)
{
    char said[64] = "";
    int ends[2], saved = dup(STDERR_FILENO);

    assert_int_equal(pipe(ends), 0);
    ft_event_log_attach(NULL);
    dup2(ends[1], STDERR_FILENO);
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "plain %d", 7);
    dup2(saved, STDERR_FILENO);
    close(ends[1]);
    close(saved);
    assert_int_equal(read(ends[0], said, sizeof(said) - 1), 20);
    close(ends[0]);
    assert_string_equal(said, "understudy: plain 7\n");
    assert_int_equal(ft_event_log_pending(), 0);
}

/* ---- the end of a process ------------------------------------------------------------------------ */

static void tell_stderr(void)
{
    const struct ft_event_line *line;

    while ((line = ft_event_log_first())) {
        fprintf(stderr, "flushed %s %s: %s\n", ft_level_name(line->level), ft_event_name(line->event),
                line->text);
        ft_event_log_release(true);
    }
}

static void break_an_invariant(void *arg)
{
    static const struct ft_event_writer telling = {.wall = wall, .wake = wake, .flush = tell_stderr};

    ft_event_log_attach(&telling);
    FT_CHECK(1 + 1 == 3, "%d", 42);
}

TEST_WITH(an_abort_flushes_its_line_first, attach, detach)
{
    assert_dies(break_an_invariant, NULL, "broken invariant: 1 + 1 == 3: 42\n");
    assert_dies(break_an_invariant, NULL, "flushed error abort: ");
}

/* ---- threads that race --------------------------------------------------------------------------- */

static _Atomic unsigned ended;

static void *add_lines(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < EACH; i++)
        ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "thread %u line %u of %u", thread, i, EACH);
    atomic_fetch_add(&ended, 1);
    return NULL;
}

TEST_WITH(of_lines_that_race_each_is_whole_or_counted, attach, detach)
{
    pthread_t threads[THREADS];
    unsigned next[THREADS] = {0}, taken = 0;
    uint64_t before = ft_event_log_lost();
    bool last = false;

    atomic_store(&ended, 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_lines, (void *)i), 0);
    while (!last) {
        const struct ft_event_line *line;

        last = atomic_load(&ended) == THREADS;
        while ((line = ft_event_log_first())) {
            unsigned thread, number;

            assert_int_equal(sscanf(line->text, "thread %u line %u of", &thread, &number), 2);
            assert_true(thread < THREADS);
            assert_string_equal(line->text, help_print("thread %u line %u of %u", thread, number, EACH));
            assert_true(number >= next[thread]); /* its own lines stay in order */
            next[thread] = number + 1;
            taken++;
            ft_event_log_release(true);
        }
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(taken + (ft_event_log_lost() - before), THREADS * EACH);
    assert_int_equal(atomic_load(&woken), taken);
    assert_int_equal(ft_event_log_pending(), 0);
}

/* A line of the event log as text, as JSON, and as the journal reads it; JSON is parsed again by jansson. */

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
    return HELP_OWNED(read, json_decref);
}

TEST(a_wall_clock_time_is_written_by_rfc_3339)
{
    char text[ND_WALL_TEXT];

    assert_string_equal(nd_wall_text(text, WALL), "2026-11-23T07:48:25.123Z");
    assert_string_equal(nd_wall_text(text, 0), "1970-01-01T00:00:00.000Z");
    assert_string_equal(nd_wall_text(text, 951782400000000000u), "2000-02-29T00:00:00.000Z");
    assert_string_equal(nd_wall_text(text, 1709251199999999999u), "2024-02-29T23:59:59.999Z");
}

TEST(levels_have_the_numbers_of_syslog_and_names)
{
    assert_int_equal(FT_LEVEL_ERROR, 3);
    assert_int_equal(FT_LEVEL_INFO, 6);
    assert_string_equal(ft_level_name(FT_LEVEL_ERROR), "error");
    assert_string_equal(ft_level_name(FT_LEVEL_WARNING), "warning");
    assert_string_equal(ft_level_name(FT_LEVEL_NOTICE), "notice");
    assert_string_equal(ft_level_name(FT_LEVEL_INFO), "info");
}

TEST(a_line_of_text_has_time_level_event_node_and_message)
{
    const struct ft_event_line line = fill(NULL, "SOLO, view %u: silence", 2);
    char text[ND_EVENT_TEXT], again[ND_EVENT_TEXT];
    json_t *o = through_text(&line, "b", 17);
    size_t len = make_text_line(text, &line, "b", 0);

    assert_int_equal(len, strlen(text));
    assert_string_equal(text, "2026-11-23T07:48:25.123Z warning takeover     b: SOLO, view 2: silence\n");
    make_text_line(text, &line, "b", 17);
    assert_non_null(strstr(text, "silence (17 more times)\n"));
    nd_event_text_of(again, o); /* watch prints the same */
    assert_string_equal(again, text);
}

TEST(a_line_as_json_has_the_same_and_its_fields)
{
    const struct ft_log_field fields[] = {{"state", .text = "SOLO"}, {"view", .number = 2}, {0}};
    const struct ft_event_line line = fill(fields, "SOLO");
    json_t *o = through_text(&line, "b", 3);
    const json_t *f = json_object_get(o, "fields");

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
}

/* As a peer, a file or a frame might make it: quotes, braces, line ends, what is no UTF-8, and too long. */
static const char *const hostile[] = {
    "\",\"level\":\"info", "\\",  "}\n{\"time\":0}\r", "\xff\xfe", "\xc3", "caf\xc3\xa9",
    "\x01\x02\x1b[2J",     "%s%n"};

TEST(hostile_text_breaks_no_line)
{
    char text[ND_EVENT_TEXT], datagram[JOURNAL_MAX];

    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        const struct ft_log_field fields[] = {{"reason", .text = hostile[i]}, {0}};
        const struct ft_event_line line = fill(fields, "%s", hostile[i]);
        json_t *o = through_text(&line, hostile[i], 0);
        size_t len = make_text_line(text, &line, "b", 0), lines = 0;

        assert_int_equal(json_object_size(o), 6);
        assert_string_equal(text_at(o, "level"), "warning");
        assert_non_null(text_at(o, "message"));
        assert_int_equal(json_object_size(json_object_get(o, "fields")), 1);
        assert_ptr_equal(strchr(text, '\n'), text + len - 1);
        len = make_journal_line(datagram, &line, "b", 0);
        for (size_t c = 0; c < len; c++)
            lines += datagram[c] == '\n';
        assert_int_equal(lines, 6); /* a field a line */
    }
}

TEST(what_is_utf_8_stays_as_it_is)
{
    const struct ft_event_line line = fill(NULL, "caf\xc3\xa9");
    json_t *o = through_text(&line, "b", 0);

    assert_string_equal(text_at(o, "message"), "caf\xc3\xa9");
}

TEST(the_longest_line_fits_everywhere)
{
    char longest[2 * FT_EVENT_LINE], text[ND_EVENT_TEXT], datagram[JOURNAL_MAX];
    struct ft_log_field fields[FT_EVENT_FIELDS + 1] = {{0}};

    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (unsigned i = 0; i < FT_EVENT_FIELDS; i++)
        fields[i] = (struct ft_log_field){"reason", .text = longest};

    const struct ft_event_line line = fill(fields, "%s", longest);
    size_t len = make_text_line(text, &line, longest, UINT64_MAX);

    assert_in_range(len, FT_EVENT_LINE, ND_EVENT_TEXT - 1);
    assert_int_equal(text[len - 1], '\n');
    len = make_journal_line(datagram, &line, "b", UINT64_MAX);
    assert_in_range(len, FT_EVENT_LINE + FT_EVENT_FIELDS * (FT_EVENT_VALUE - 1), JOURNAL_MAX - 1);
    assert_int_equal(datagram[len - 1], '\n');
}

TEST(the_journal_gets_priority_and_fields)
{
    const struct ft_log_field fields[] = {{"state", .text = "SOLO"}, {"view", .number = 2}, {0}};
    const struct ft_event_line line = fill(fields, "SOLO: a=b");
    char datagram[JOURNAL_MAX];
    size_t len = make_journal_line(datagram, &line, "b", 3);

    datagram[len] = '\0';
    assert_string_equal(datagram, "PRIORITY=4\nSYSLOG_IDENTIFIER=understudy\n"
                                  "MESSAGE=SOLO: a=b (3 more times)\nUNDERSTUDY_EVENT=takeover\n"
                                  "UNDERSTUDY_NODE=b\nUNDERSTUDY_STATE=SOLO\nUNDERSTUDY_VIEW=2\n"
                                  "UNDERSTUDY_REPEATED=3\n");
}

/* Lines that come again and again, and the memory of the last lines. */

#define SECOND 1000000000ull
#define START  (1000 * SECOND)

static struct repeats repeats;

static int forget(void **state)
{
    memset(&repeats, 0, sizeof(repeats));
    return 0;
}

static bool take_lines(const char *text, enum ft_event_name event, uint64_t now)
{
    struct ft_event_line line = {.time = now, .level = FT_LEVEL_INFO, .event = event};

    snprintf(line.text, sizeof(line.text), "%s", text);
    return take_repeat(&repeats, &line, now);
}

/* What is due: so many times, of that message; 0: nothing. */
static uint64_t due(uint64_t now, const char *text)
{
    uint64_t missed = 0;
    const struct ft_event_line *line = find_due(&repeats, now, &missed);

    if (!line)
        return 0;
    assert_string_equal(line->text, text);
    return missed;
}

TEST_WITH(a_line_comes_once_and_then_once_a_minute_with_the_count, forget, NULL)
{
    assert_true(take_lines("refused", FT_SAYS_STATE, START));
    assert_int_equal(next_due(&repeats), UINT64_MAX); /* nobody has to wake up */
    for (unsigned i = 1; i <= 17; i++)
        assert_false(take_lines("refused", FT_SAYS_STATE, START + i * SECOND));
    assert_int_equal(next_due(&repeats), START + 60 * SECOND);
    assert_int_equal(due(START + 60 * SECOND - 1, "refused"), 0);
    assert_int_equal(due(START + 60 * SECOND, "refused"), 17);
    assert_int_equal(due(START + 60 * SECOND, "refused"), 0);
    assert_false(take_lines("refused", FT_SAYS_STATE, START + 61 * SECOND));
    assert_int_equal(due(START + 119 * SECOND, "refused"), 0);
    assert_int_equal(due(START + 120 * SECOND, "refused"), 1);
}

TEST_WITH(a_notice_is_always_news, forget, NULL)
{
    struct ft_event_line line = {.time = START, .level = FT_LEVEL_NOTICE, .event = FT_SAYS_SEAL};
    uint64_t missed;

    for (unsigned i = 0; i < 3; i++) {
        assert_null(find_before(&repeats, &line, &missed));
        assert_true(take_repeat(&repeats, &line, START + i * SECOND));
    }
    assert_int_equal(next_due(&repeats), UINT64_MAX);
}

TEST_WITH(after_a_minute_of_silence_it_is_news_again, forget, NULL)
{
    assert_true(take_lines("refused", FT_SAYS_STATE, START));
    assert_true(take_lines("refused", FT_SAYS_STATE, START + 60 * SECOND));
    assert_false(take_lines("refused", FT_SAYS_STATE, START + 61 * SECOND));
}

TEST_WITH(lines_of_other_events_are_not_the_same, forget, NULL)
{
    assert_true(take_lines("refused", FT_SAYS_STATE, START));
    assert_true(take_lines("refused", FT_SAYS_SEAL, START));
    assert_false(take_lines("refused", FT_SAYS_STATE, START));
    assert_false(take_lines("refused", FT_SAYS_SEAL, START));
}

TEST_WITH(what_holds_again_after_another_line_is_written, forget, NULL)
{
    for (unsigned i = 0; i < 3; i++) {
        assert_true(take_lines("not protected", FT_SAYS_PORT, START + i));
        assert_true(take_lines("whole again", FT_SAYS_PORT, START + i));
        assert_true(take_lines("PROTECTED", FT_SAYS_STATE, START + i)); /* all five tell the node's state */
        assert_true(take_lines("SOLO", FT_SAYS_STANDBY_LOST, START + i));
        assert_true(take_lines("FENCED", FT_SAYS_FENCED, START + i));
        assert_true(take_lines("the peer differs", FT_SAYS_REFUSED, START + i));
        assert_true(take_lines("SOLO", FT_SAYS_TAKEOVER, START + i));
    }
}

TEST_WITH(what_was_counted_is_told_before_another_line_of_the_event, forget, NULL)
{
    struct ft_event_line same = {.event = FT_SAYS_PORT, .text = "no carrier"},
                         other = {.event = FT_SAYS_PORT, .text = "whole again"},
                         elsewhere = {.event = FT_SAYS_SEAL, .text = "whole again"};
    const struct ft_event_line *line;
    uint64_t missed = 0;

    assert_true(take_lines("no carrier", FT_SAYS_PORT, START));
    assert_null(find_before(&repeats, &other, &missed)); /* nothing was counted */
    assert_false(take_lines("no carrier", FT_SAYS_PORT, START + 1));
    assert_false(take_lines("no carrier", FT_SAYS_PORT, START + 2));
    assert_null(find_before(&repeats, &same, &missed));
    assert_null(find_before(&repeats, &elsewhere, &missed));
    line = find_before(&repeats, &other, &missed);
    assert_non_null(line);
    assert_string_equal(line->text, "no carrier");
    assert_int_equal(line->time, START + 2);
    assert_int_equal(missed, 2);
    assert_null(find_before(&repeats, &other, &missed));
    assert_int_equal(next_due(&repeats), UINT64_MAX);
    assert_true(take_lines("whole again", FT_SAYS_PORT, START + 3));
}

TEST_WITH(counted_lines_are_told_in_the_order_of_their_times, forget, NULL)
{
    assert_true(take_lines("state", FT_SAYS_STATE, START));
    assert_true(take_lines("port", FT_SAYS_PORT, START));
    assert_true(take_lines("seal", FT_SAYS_SEAL, START));
    assert_false(take_lines("port", FT_SAYS_PORT, START + 1));
    assert_false(take_lines("seal", FT_SAYS_SEAL, START + 2));
    assert_false(take_lines("state", FT_SAYS_STATE, START + 3));
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
        add_recent(&line, i);
    }
}

TEST(a_reader_gets_each_line_once_and_a_slow_one_a_count_of_what_is_gone)
{
    static struct nd_recent_line out[ND_RECENT];
    uint64_t next = 0, lost = 0;

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
