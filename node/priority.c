/* SPDX-License-Identifier: Apache-2.0 */
/* The priority of a node's threads; see priority.h. */
#include "node/priority.h"

#include <sys/resource.h>

#define RAISED -10

bool nd_priority_raise(void)
{
    return setpriority(PRIO_PROCESS, 0, RAISED) == 0; /* Linux: of this thread alone */
}
