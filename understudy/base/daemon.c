/* SPDX-License-Identifier: Apache-2.0 */
/* See daemon.h. */
#include "understudy/base/daemon.h"

#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define TAKEN_MS 2000

_Atomic bool nd_daemon_ends, nd_daemon_reads;

static void note(int number)
{
    atomic_store(number == SIGHUP ? &nd_daemon_reads : &nd_daemon_ends, true);
}

void nd_daemon_begin(bool reads)
{
    const struct sigaction end = {.sa_handler = note}, again = {.sa_handler = note, .sa_flags = SA_RESTART};

    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    if (reads)
        sigaction(SIGHUP, &again, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
}

int nd_daemon_open(int (*open)(void *arg, struct ft_fault *fault), void *arg, struct ft_fault *fault)
{
    int error = open(arg, fault);

    for (int i = 0; error == FT_EBUSY && i < TAKEN_MS / 10 && !atomic_load(&nd_daemon_ends); i++) {
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        error = open(arg, fault);
    }
    return error;
}
