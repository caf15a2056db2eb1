/* SPDX-License-Identifier: Apache-2.0 */
/* The event log's queue alone, with a writer that only counts, and with threads that race to add lines. */
#include "tests/help/death.h"
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    (void)state;
    ft_event_log_attach(&counting);
    atomic_store(&woken, 0);
    atomic_store(&flushed, 0);
    return 0;
}

static int detach(void **state)
{
    (void)state;
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

static void lines_come_out_as_they_went_in(void **state)
{
    (void)state;
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

static void a_line_has_its_level_its_event_its_fields_and_the_time(void **state)
{
    const struct ft_log_field fields[] = {{"port", .text = "in\nside"}, {"view", .number = 7}, {0}};
    const struct ft_event_line *line;

    (void)state;
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

static void of_more_fields_than_fit_the_first_are_kept(void **state)
{
    struct ft_log_field fields[FT_EVENT_FIELDS + 2] = {{0}};
    char names[FT_EVENT_FIELDS + 1][4];

    (void)state;
    for (unsigned i = 0; i <= FT_EVENT_FIELDS; i++) {
        snprintf(names[i], sizeof(names[i]), "f%u", i);
        fields[i] = (struct ft_log_field){names[i], .number = i};
    }
    ft_log_fields(FT_LEVEL_INFO, FT_SAYS_STATE, fields, "many");
    assert_int_equal(ft_event_log_first()->fields, FT_EVENT_FIELDS);
    assert_int_equal(ft_event_log_first()->field[FT_EVENT_FIELDS - 1].number, FT_EVENT_FIELDS - 1);
    ft_event_log_release(true);
}

static void a_line_that_finds_the_queue_full_is_dropped_and_counted(void **state)
{
    char expected[32];
    uint64_t before = ft_event_log_lost();

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < FT_EVENT_LINES + 7; i++)
            ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "line %u", i);
        assert_int_equal(ft_event_log_lost() - before, 7 * (round + 1));
        assert_int_equal(ft_event_log_pending(), FT_EVENT_LINES);
        assert_int_equal(atomic_load(&woken), FT_EVENT_LINES * (round + 1));
        for (unsigned i = 0; i < FT_EVENT_LINES; i++) {
            snprintf(expected, sizeof(expected), "line %u", i);
            take(expected);
        }
        assert_null(ft_event_log_first());
    }
}

static void the_line_that_is_being_written_keeps_its_place(void **state)
{
    const struct ft_event_line *line;
    uint64_t before = ft_event_log_lost();

    (void)state;
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

static void a_line_that_cannot_be_written_counts_as_lost(void **state)
{
    uint64_t before = ft_event_log_lost();

    (void)state;
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "into nothing");
    ft_event_log_release(false);
    assert_int_equal(ft_event_log_lost() - before, 1);
    assert_int_equal(ft_event_log_pending(), 0);
}

static void a_line_that_is_too_long_is_cut(void **state)
{
    char text[2 * FT_EVENT_LINE], expected[FT_EVENT_LINE];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t len = FT_EVENT_LINE - 4; len < FT_EVENT_LINE + 2; len++) {
        size_t whole = len < FT_EVENT_LINE - 1 ? len : FT_EVENT_LINE - 1; /* room for a NUL */

        memset(expected, 'x', sizeof(expected));
        expected[whole] = '\0';
        ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "%.*s", (int)len, text);
        take(expected);
    }
}

static void without_a_writer_a_line_goes_to_stderr_at_once(void **state)
{
    char said[64] = "";
    int ends[2], saved = dup(STDERR_FILENO);

    (void)state;
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

    (void)arg;
    ft_event_log_attach(&telling);
    FT_CHECK(1 + 1 == 3, "%d", 42);
}

static void an_abort_flushes_its_line_first(void **state)
{
    (void)state;
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

static void of_lines_that_race_each_is_whole_or_counted(void **state)
{
    pthread_t threads[THREADS];
    unsigned next[THREADS] = {0}, taken = 0;
    uint64_t before = ft_event_log_lost();
    bool last = false;

    (void)state;
    atomic_store(&ended, 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_lines, (void *)i), 0);
    while (!last) {
        const struct ft_event_line *line;

        last = atomic_load(&ended) == THREADS;
        while ((line = ft_event_log_first())) {
            char expected[FT_EVENT_LINE];
            unsigned thread, number;

            assert_int_equal(sscanf(line->text, "thread %u line %u of", &thread, &number), 2);
            assert_true(thread < THREADS);
            snprintf(expected, sizeof(expected), "thread %u line %u of %u", thread, number, EACH);
            assert_string_equal(line->text, expected);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_come_out_as_they_went_in, attach, detach),
        cmocka_unit_test_setup_teardown(a_line_has_its_level_its_event_its_fields_and_the_time, attach,
                                        detach),
        cmocka_unit_test_setup_teardown(of_more_fields_than_fit_the_first_are_kept, attach, detach),
        cmocka_unit_test_setup_teardown(a_line_that_finds_the_queue_full_is_dropped_and_counted, attach,
                                        detach),
        cmocka_unit_test_setup_teardown(the_line_that_is_being_written_keeps_its_place, attach, detach),
        cmocka_unit_test_setup_teardown(a_line_that_cannot_be_written_counts_as_lost, attach, detach),
        cmocka_unit_test_setup_teardown(a_line_that_is_too_long_is_cut, attach, detach),
        cmocka_unit_test_setup_teardown(without_a_writer_a_line_goes_to_stderr_at_once, attach, detach),
        cmocka_unit_test_setup_teardown(an_abort_flushes_its_line_first, attach, detach),
        cmocka_unit_test_setup_teardown(of_lines_that_race_each_is_whole_or_counted, attach, detach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
