/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command beside a clock, and tells how long the machine stood still meanwhile.
 *
 *   witness FILE COMMAND…
 *
 * Sleeps 10 ms at a time while COMMAND runs. The longest that it overslept is written to FILE, in
 * milliseconds: for so long this machine gave no processor to a process that does nothing but wait for one.
 * Exits as COMMAND did; a signal that ends this program is passed on to COMMAND first.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t child;

static void pass_on(int number)
{
    kill(child, number);
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    const struct timespec nap = {.tv_nsec = 10000000};
    int64_t longest = 0;
    int status;
    FILE *out;

    if (argc < 3)
        return 64;
    child = fork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    signal(SIGTERM, pass_on);
    signal(SIGINT, pass_on);
    while (child > 0 && waitpid(child, &status, WNOHANG) == 0) {
        int64_t before = now_ms(), overslept;

        nanosleep(&nap, NULL);
        overslept = now_ms() - before - nap.tv_nsec / 1000000;
        longest = overslept > longest ? overslept : longest;
    }
    out = fopen(argv[1], "w");
    if (child < 0 || !out || fprintf(out, "%lld\n", (long long)longest) < 0 || fclose(out) != 0) {
        perror(argv[1]);
        return 71;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
