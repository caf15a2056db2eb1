/* SPDX-License-Identifier: Apache-2.0 */
/* See command.h. */
#include "tests/help/command.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static _Noreturn void run_there(int (*run)(int argc, char **argv), const char *const argv[], bool nobody,
                                int out)
{
    int argc = 0, code;

    while (argv[argc])
        argc++;
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    alarm(20);
    if (nobody && geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        _exit(99);
    code = run(argc, (char **)(uintptr_t)argv);
    fflush(NULL);
    _exit(code);
}

int help_command(int (*run)(int argc, char **argv), const char *const argv[], bool nobody,
                 char said[HELP_SAID])
{
    FILE *both = tmpfile();
    pid_t child;
    int status;

    assert_non_null(both);
    fflush(NULL);
    child = fork();
    if (child == 0)
        run_there(run, argv, nobody, fileno(both));
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    rewind(both);
    said[fread(said, 1, HELP_SAID - 1, both)] = '\0';
    fclose(both);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
