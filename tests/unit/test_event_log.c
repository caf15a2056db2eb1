/* SPDX-License-Identifier: Apache-2.0 */
/* The event log's queue alone, with a writer that only counts, and with threads that race to add lines. */
#include "tests/unit/help_death.h"
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

static const struct ft_event_writer counting = {.wake = wake, .flush = flush};

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
    const char *line = ft_event_log_first();

    assert_non_null(line);
    assert_string_equal(line, expected);
    ft_event_log_release(true);
}

static void lines_come_out_as_they_went_in_each_with_an_end(void **state)
{
    (void)state;
    assert_null(ft_event_log_first());
    ft_log_event("%s %d", "one", 1);
    ft_log_event("two");
    assert_int_equal(atomic_load(&woken), 2);
    assert_int_equal(ft_event_log_pending(), 2);
    take("one 1\n");
    take("two\n");
    assert_null(ft_event_log_first());
    assert_int_equal(ft_event_log_pending(), 0);
}

static void a_line_that_finds_the_queue_full_is_dropped_and_counted(void **state)
{
    char expected[32];
    uint64_t before = ft_event_log_lost();

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < FT_EVENT_LINES + 7; i++)
            ft_log_event("line %u", i);
        assert_int_equal(ft_event_log_lost() - before, 7 * (round + 1));
        assert_int_equal(ft_event_log_pending(), FT_EVENT_LINES);
        assert_int_equal(atomic_load(&woken), FT_EVENT_LINES * (round + 1));
        for (unsigned i = 0; i < FT_EVENT_LINES; i++) {
            snprintf(expected, sizeof(expected), "line %u\n", i);
            take(expected);
        }
        assert_null(ft_event_log_first());
    }
}

static void the_line_that_is_being_written_keeps_its_place(void **state)
{
    const char *line;
    uint64_t before = ft_event_log_lost();

    (void)state;
    for (unsigned i = 0; i < FT_EVENT_LINES; i++)
        ft_log_event("line %u", i);
    line = ft_event_log_first();
    ft_log_event("one too many");
    assert_string_equal(line, "line 0\n");
    assert_int_equal(ft_event_log_lost() - before, 1);
    ft_event_log_release(true);
    ft_log_event("fits");
    assert_int_equal(ft_event_log_lost() - before, 1);
    take("line 1\n");
}

static void a_line_that_cannot_be_written_counts_as_lost(void **state)
{
    uint64_t before = ft_event_log_lost();

    (void)state;
    ft_log_event("into nothing");
    ft_event_log_release(false);
    assert_int_equal(ft_event_log_lost() - before, 1);
    assert_int_equal(ft_event_log_pending(), 0);
}

static void a_line_that_is_too_long_is_cut_and_has_its_end(void **state)
{
    char text[2 * FT_EVENT_LINE], expected[FT_EVENT_LINE];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t len = FT_EVENT_LINE - 4; len < FT_EVENT_LINE + 2; len++) {
        size_t whole = len < FT_EVENT_LINE - 2 ? len : FT_EVENT_LINE - 2; /* room for its end and a NUL */

        memset(expected, 'x', sizeof(expected));
        expected[whole] = '\n';
        expected[whole + 1] = '\0';
        ft_log_event("%.*s", (int)len, text);
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
    ft_log_event("plain %d", 7);
    dup2(saved, STDERR_FILENO);
    close(ends[1]);
    close(saved);
    assert_int_equal(read(ends[0], said, sizeof(said) - 1), 8);
    close(ends[0]);
    assert_string_equal(said, "plain 7\n");
    assert_int_equal(ft_event_log_pending(), 0);
}

/* ---- the end of a process ------------------------------------------------------------------------ */

static void tell_stderr(void)
{
    const char *line;

    while ((line = ft_event_log_first())) {
        fprintf(stderr, "flushed: %s", line);
        ft_event_log_release(true);
    }
}

static void break_an_invariant(void *arg)
{
    static const struct ft_event_writer telling = {.wake = wake, .flush = tell_stderr};

    (void)arg;
    ft_event_log_attach(&telling);
    FT_CHECK(1 + 1 == 3, "%d", 42);
}

static void an_abort_flushes_its_line_first(void **state)
{
    (void)state;
    assert_dies(break_an_invariant, NULL, "broken invariant: 1 + 1 == 3: 42\n");
    assert_dies(break_an_invariant, NULL, "flushed: understudy: ");
}

/* ---- threads that race --------------------------------------------------------------------------- */

static _Atomic unsigned ended;

static void *add_lines(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < EACH; i++)
        ft_log_event("thread %u line %u of %u", thread, i, EACH);
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
        const char *line;

        last = atomic_load(&ended) == THREADS;
        while ((line = ft_event_log_first())) {
            char expected[FT_EVENT_LINE];
            unsigned thread, number;

            assert_int_equal(sscanf(line, "thread %u line %u of", &thread, &number), 2);
            assert_true(thread < THREADS);
            snprintf(expected, sizeof(expected), "thread %u line %u of %u\n", thread, number, EACH);
            assert_string_equal(line, expected);
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
        cmocka_unit_test_setup_teardown(lines_come_out_as_they_went_in_each_with_an_end, attach, detach),
        cmocka_unit_test_setup_teardown(a_line_that_finds_the_queue_full_is_dropped_and_counted, attach,
                                        detach),
        cmocka_unit_test_setup_teardown(the_line_that_is_being_written_keeps_its_place, attach, detach),
        cmocka_unit_test_setup_teardown(a_line_that_cannot_be_written_counts_as_lost, attach, detach),
        cmocka_unit_test_setup_teardown(a_line_that_is_too_long_is_cut_and_has_its_end, attach, detach),
        cmocka_unit_test_setup_teardown(without_a_writer_a_line_goes_to_stderr_at_once, attach, detach),
        cmocka_unit_test_setup_teardown(an_abort_flushes_its_line_first, attach, detach),
        cmocka_unit_test_setup_teardown(of_lines_that_race_each_is_whole_or_counted, attach, detach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
