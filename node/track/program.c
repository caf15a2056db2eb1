/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that the runner starts: each in a session of its own, with no file but its input, since all others
 * are closed on exec, without a capability. Owned by the runner's one thread. */
#include "node/track/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void become_program(const char *path, const char *node, int input)
{
    char name[64];
    char *const args[] = {(char *)(uintptr_t)path, NULL};
    char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", name,
                                 NULL};
    sigset_t none;

    snprintf(name, sizeof(name), "UNDERSTUDY_NODE=%s", node);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (input >= 0)
        dup2(input, 0);
    if (chdir("/") == 0)
        execve(path, args, environment);
    _exit(127);
}

int nd_program_start(struct nd_program *program, const char *path, const char *node, int input, uint64_t now)
{
    if (access(path, X_OK) != 0)
        return errno;
    program->pid = fork();
    if (program->pid == 0)
        become_program(path, node, input);
    if (program->pid < 0) {
        program->pid = 0;
        return errno;
    }
    program->began = now;
    program->killed = false;
    return 0;
}

bool nd_program_ended(struct nd_program *program, int *status)
{
    if (!program->pid || waitpid(program->pid, status, WNOHANG) != program->pid)
        return false;
    kill(-program->pid, SIGKILL); /* what it left behind in its group */
    program->pid = 0;
    return true;
}

void nd_program_kill(struct nd_program *program)
{
    if (program->pid && !program->killed) {
        kill(-program->pid, SIGKILL);
        kill(program->pid, SIGKILL); /* it may not have its group yet */
        program->killed = true;
    }
}
