/* SPDX-License-Identifier: Apache-2.0 */
/* understudy top: the status once a second until q. Without a terminal, one frame. */
#include "node/control/commands.h"
#include "node/control/pair.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void note_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

static void print_frame(struct nd_pair *pair, bool terminal)
{
    nd_pair_ask_status(pair);
    if (terminal)
        printf("\033[H\033[J");
    nd_pair_print(pair, stdout);
    if (terminal)
        printf("\nq to quit\n");
    fflush(stdout);
}

/* A second passes, or a key is pressed: true for q or the end of input. */
static bool quit_pressed(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char key;

    if (poll(&in, 1, 1000) <= 0)
        return stopped;
    return stopped || read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
}

static void watch_pair(struct nd_pair *pair)
{
    struct sigaction action = {.sa_handler = note_signal};
    struct termios before, raw;
    bool keys = tcgetattr(STDIN_FILENO, &before) == 0;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    do
        print_frame(pair, true);
    while (!quit_pressed());
    if (keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

int nd_cmd_top(int argc, char **argv)
{
    struct nd_pair pair;
    int code = nd_pair_open(&pair, argc, argv, ND_OPT_FILE | ND_OPT_NODE, 0, 0, "");

    if (code)
        return code;
    if (isatty(STDOUT_FILENO) && isatty(STDIN_FILENO)) {
        watch_pair(&pair);
    } else {
        print_frame(&pair, false);
        code = nd_pair_exit(&pair);
    }
    nd_pair_close(&pair);
    return code;
}
