/* SPDX-License-Identifier: Apache-2.0 */
/* See child.h. */
#include "tools/pair/child.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

pid_t nd_child(void)
{
    pid_t parent = getpid(), child = fork();

    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it ended before it was asked for */
        _exit(0);
    return 0;
}
