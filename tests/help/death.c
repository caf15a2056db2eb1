/* SPDX-License-Identifier: Apache-2.0 */
/* Owns nothing; a child and a pipe for the time of a call. Used by tests only. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/death.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void child(int out, void (*act)(void *), void *arg)
{
    struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    dup2(out, STDERR_FILENO);
    act(arg);
    _exit(0);
}

void assert_dies_by(int number, void (*act)(void *), void *arg, const char *text)
{
    char said[16384];
    size_t length = 0;
    ssize_t got;
    int ends[2], status;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(ends[1], act, arg);
    close(ends[1]);
    while (length < sizeof(said) - 1 && (got = read(ends[0], said + length, sizeof(said) - 1 - length)) > 0)
        length += (size_t)got;
    said[length] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (text && !strstr(said, text))
        fail_msg("expected \"%s\" on stderr, got \"%s\"", text, said);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != number)
        fail_msg("expected death by signal %d, got status 0x%x and \"%s\"", number, (unsigned)status, said);
}

void assert_dies(void (*act)(void *), void *arg, const char *text)
{
    assert_dies_by(SIGABRT, act, arg, text);
}
