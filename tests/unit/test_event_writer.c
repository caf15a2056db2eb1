/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that writes the event log, with a pipe as stderr that is read, full, or has no reader. Each test
 * runs in a child, which has a stderr and a thread of its own. A child that waits where it must not is ended
 * by its alarm, and the test fails.
 */
#include "tests/help/program.h"
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"
#include "understudy/base/event_writer.h"
#include "tests/help/test.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define STUCK_S 60 /* until a child counts as waiting for ever */
#define MANY    1000u

static const struct nd_event_writer_config plain = {.node = "a"};

/* What is not so ends the child with the line's number. */
#define CHILD_CHECK(cond)                                                                                    \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            _exit(__LINE__ % 200 + 1);                                                                       \
    } while (0)

static void in_child(void (*act)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(STUCK_S);
        signal(SIGPIPE, SIG_IGN);
        act();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("the child ended with status 0x%x", (unsigned)status);
}

/* A test that a child of its own runs. */
#define IN_CHILD(name)                                                                                       \
    static void name##_there(void);                                                                          \
    TEST(name)                                                                                               \
    {                                                                                                        \
        in_child(name##_there);                                                                              \
    }                                                                                                        \
    static void name##_there(void)

/* A pipe in place of stderr; the end to read from. */
static int pipe_stderr(void)
{
    int ends[2];

    CHILD_CHECK(pipe(ends) == 0);
    CHILD_CHECK(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    close(ends[1]);
    return ends[0];
}

/* Full to the last byte; how many that is. */
static size_t fill_stderr(void)
{
    static const char page[4096];
    size_t bytes = 0, size = sizeof(page);
    int flags = fcntl(STDERR_FILENO, F_GETFL);

    fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
    while (size > 0) {
        ssize_t n = write(STDERR_FILENO, page, size);

        bytes += n > 0 ? (size_t)n : 0;
        size = n > 0 ? size : size / 2;
    }
    fcntl(STDERR_FILENO, F_SETFL, flags);
    return bytes;
}

/* Reads the next `bytes`. */
static void read_whole(int from, char *to, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = read(from, to, bytes);

        CHILD_CHECK(n > 0);
        to += n;
        bytes -= (size_t)n;
    }
}

/* The message of the next line, with its line end. */
static void read_line(int from, char *to, size_t cap)
{
    size_t at = 0;
    char *message;

    do {
        CHILD_CHECK(at + 1 < cap);
        read_whole(from, to + at, 1);
    } while (to[at++] != '\n');
    to[at] = '\0';
    message = strstr(to, " a: ");
    if (message)
        memmove(to, message + 4, strlen(message + 4) + 1);
}

/* ---- a stderr that is read ------------------------------------------------------------------------ */

IN_CHILD(what_is_queued_at_the_end_is_written)
{
    char line[FT_EVENT_LINE], expected[FT_EVENT_LINE];
    int from = pipe_stderr();

    for (int again = 0; again < 2; again++) {
        CHILD_CHECK(nd_event_writer_start(&plain, NULL) == 0);
        for (unsigned i = 0; i < 100; i++)
            ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "line %u", i);
        nd_event_writer_stop();
        CHILD_CHECK(ft_event_log_pending() == 0 && ft_event_log_lost() == 0);
        for (unsigned i = 0; i < 100; i++) {
            snprintf(expected, sizeof(expected), "line %u\n", i);
            read_line(from, line, sizeof(line));
            CHILD_CHECK(strcmp(line, expected) == 0);
        }
    }
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "directly"); /* nobody writes for us any more */
    read_line(from, line, sizeof(line));
    CHILD_CHECK(strcmp(line, "understudy: directly\n") == 0);
}

IN_CHILD(a_line_is_written_when_it_comes)
{
    char line[FT_EVENT_LINE], expected[FT_EVENT_LINE], name[] = "a";
    const struct nd_event_writer_config config = {.node = name};
    int from = pipe_stderr();

    CHILD_CHECK(nd_event_writer_start(&config, NULL) == 0);
    name[0] = 'x'; /* the configuration goes before the writer does */
    for (unsigned i = 0; i < 100; i++) {
        ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "now %u", i);
        read_line(from, line, sizeof(line)); /* waits until it is written */
        snprintf(expected, sizeof(expected), "now %u\n", i);
        CHILD_CHECK(strcmp(line, expected) == 0);
    }
    nd_event_writer_stop();
}

IN_CHILD(with_json_each_line_is_an_object_and_repeated_ones_are_counted)
{
    const struct nd_event_writer_config config = {.node = "a", .json = true};
    char line[4 * FT_EVENT_LINE];
    json_t *o;
    int from = pipe_stderr();

    CHILD_CHECK(nd_event_writer_start(&config, NULL) == 0);
    for (unsigned i = 0; i < 5; i++)
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_SEAL, "\"\n}");
    nd_event_writer_stop();
    for (unsigned i = 0; i < 2; i++) { /* the first; and, at the end, how many there were */
        read_line(from, line, sizeof(line));
        o = json_loads(line, 0, NULL);
        CHILD_CHECK(o);
        CHILD_CHECK(strcmp(json_string_value(json_object_get(o, "message")), "\"?}") == 0);
        CHILD_CHECK(strcmp(json_string_value(json_object_get(o, "event")), "seal") == 0);
        CHILD_CHECK(json_integer_value(json_object_get(json_object_get(o, "fields"), "repeated")) ==
                    (i == 0 ? 0 : 4));
        json_decref(o);
    }
    CHILD_CHECK(ft_event_log_lost() == 0);
}

/* ---- a stderr that is the journal's ------------------------------------------------------------- */

/* `right`: JOURNAL_STREAM names this stderr, else another. Whether a datagram came. */
static bool write_to_journal(bool right, char datagram[], size_t cap)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const struct nd_event_writer_config config = {.node = "a", .journal = at.sun_path};
    char stream[64], name[] = "/tmp/journal.XXXXXX";
    int from = pipe_stderr(), fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct stat is;
    ssize_t n;

    CHILD_CHECK(mkdtemp(name));
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/socket", name);
    CHILD_CHECK(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && fstat(STDERR_FILENO, &is) == 0);
    snprintf(stream, sizeof(stream), "%lu:%lu", is.st_dev, is.st_ino + !right);
    setenv("JOURNAL_STREAM", stream, 1);
    CHILD_CHECK(nd_event_writer_start(&config, NULL) == 0);
    ft_log_event(FT_LEVEL_WARNING, FT_SAYS_PORT, "no link");
    nd_event_writer_stop();
    unlink(at.sun_path);
    rmdir(name);
    n = recv(fd, datagram, cap - 1, MSG_DONTWAIT);
    datagram[n > 0 ? n : 0] = '\0';
    fcntl(from, F_SETFL, O_NONBLOCK);
    CHILD_CHECK((read(from, stream, sizeof(stream)) > 0) == (n < 0)); /* in one place, and not in both */
    return n > 0;
}

IN_CHILD(a_stderr_that_is_the_journals_gets_priorities_and_fields)
{
    char datagram[4096];

    CHILD_CHECK(write_to_journal(true, datagram, sizeof(datagram)));
    CHILD_CHECK(strncmp(datagram, "PRIORITY=4\n", 11) == 0);
    CHILD_CHECK(strstr(datagram, "\nMESSAGE=no link\nUNDERSTUDY_EVENT=port\nUNDERSTUDY_NODE=a\n"));
    CHILD_CHECK(!write_to_journal(false, datagram, sizeof(datagram)));
}

/* ---- one that nobody reads ------------------------------------------------------------------------ */

IN_CHILD(a_full_pipe_stops_nobody_and_what_is_lost_is_told_when_there_is_room)
{
    char line[FT_EVENT_LINE], expected[FT_EVENT_LINE];
    int from = pipe_stderr();
    size_t bytes = fill_stderr();
    char *there = malloc(bytes);

    CHILD_CHECK(there && nd_event_writer_start(&plain, NULL) == 0);
    for (unsigned i = 0; i < MANY; i++)
        ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "line %u", i);
    CHILD_CHECK(ft_event_log_pending() == FT_EVENT_LINES);
    CHILD_CHECK(ft_event_log_lost() == MANY - FT_EVENT_LINES);
    read_whole(from, there, bytes);
    for (unsigned i = 0; i < FT_EVENT_LINES; i++) {
        snprintf(expected, sizeof(expected), "line %u\n", i);
        read_line(from, line, sizeof(line));
        CHILD_CHECK(strcmp(line, expected) == 0);
    }
    read_line(from, line, sizeof(line));
    snprintf(expected, sizeof(expected), "%u lines ", MANY - FT_EVENT_LINES);
    CHILD_CHECK(strstr(line, expected) && strstr(line, "lost"));
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "and then");
    read_line(from, line, sizeof(line));
    CHILD_CHECK(strcmp(line, "and then\n") == 0); /* told once */
    CHILD_CHECK(ft_event_log_lost() == MANY - FT_EVENT_LINES);
    nd_event_writer_stop();
    free(there);
}

IN_CHILD(a_full_pipe_does_not_keep_a_process_from_ending)
{
    pipe_stderr();
    fill_stderr();
    CHILD_CHECK(nd_event_writer_start(&plain, NULL) == 0);
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "never read");
    nd_event_writer_stop();
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "nor this");
    CHILD_CHECK(ft_event_log_pending() == 2);
}

static void abort_before_a_full_pipe(void *arg)
{
    alarm(STUCK_S);
    pipe_stderr();
    fill_stderr();
    CHILD_CHECK(nd_event_writer_start(&plain, NULL) == 0);
    FT_CHECK(false, "nobody hears it");
}

TEST(a_full_pipe_does_not_keep_a_broken_process_from_aborting)
{
    assert_dies(abort_before_a_full_pipe, NULL, NULL);
}

static void abort_with_a_reader(void *arg)
{
    CHILD_CHECK(nd_event_writer_start(&plain, NULL) == 0);
    FT_CHECK(false, "number %d", 17);
}

TEST(an_abort_is_written_when_it_can_be)
{
    assert_dies(abort_with_a_reader, NULL, "broken invariant: false: number 17\n");
}

/* ---- one without a reader -------------------------------------------------------------------------- */

IN_CHILD(lines_for_which_there_is_no_reader_any_more_are_counted)
{
    close(pipe_stderr());
    CHILD_CHECK(nd_event_writer_start(&plain, NULL) == 0);
    for (unsigned i = 0; i < 5; i++)
        ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "line %u", i);
    for (unsigned i = 0; i < 5; i++)
        ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "again"); /* the first, and one that counts the others */
    nd_event_writer_stop();
    CHILD_CHECK(ft_event_log_lost() == 10 && ft_event_log_pending() == 0);
}

/* What another process that shares our stderr may do to it. */
IN_CHILD(a_stderr_that_does_not_block_loses_nothing)
{
    char line[FT_EVENT_LINE];
    int from = pipe_stderr();
    size_t bytes = fill_stderr();
    char *there = malloc(bytes);

    fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
    CHILD_CHECK(there && nd_event_writer_start(&plain, NULL) == 0);
    ft_log_event(FT_LEVEL_INFO, FT_SAYS_STATE, "waits");
    usleep(20000); /* the writer has tried by now, most likely */
    read_whole(from, there, bytes);
    read_line(from, line, sizeof(line));
    CHILD_CHECK(strcmp(line, "waits\n") == 0);
    nd_event_writer_stop();
    CHILD_CHECK(ft_event_log_lost() == 0);
    free(there);
}
