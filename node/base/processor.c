/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of isolated processors; see processor.h. */
#define _GNU_SOURCE /* sched_getaffinity, CPU_ISSET */
#include "node/base/processor.h"

#include <sched.h>
#include <sys/resource.h>
#include <stdio.h>
#include <stdlib.h>

#define LIST_BYTES 4096

/* The first is of isolcpus, the second (Linux 6.7) of cpusets, where version 2 is mounted at its place. */
static const char *const lists[] = {"/sys/devices/system/cpu/isolated",
                                    "/sys/fs/cgroup/cpuset.cpus.isolated"};

bool nd_processors_parse(const char *list, bool set[ND_PROCESSORS_MAX])
{
    while (*list && *list != '\n') {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;

        if (end == list || *list < '0' || *list > '9')
            return false;
        if (*end == '-') {
            list = end + 1;
            last = strtoul(list, &end, 10);
            if (end == list || *list < '0' || *list > '9')
                return false;
        }
        if (last < first || (*end && *end != ',' && *end != '\n'))
            return false;
        for (unsigned long cpu = first; cpu <= last && cpu < ND_PROCESSORS_MAX; cpu++)
            set[cpu] = true;
        list = end + (*end == ',');
    }
    return true;
}

static void read_list(const char *path, bool set[ND_PROCESSORS_MAX])
{
    char text[LIST_BYTES];
    FILE *file = fopen(path, "re");

    if (!file)
        return;
    if (fgets(text, sizeof(text), file))
        (void)nd_processors_parse(text, set);
    (void)fclose(file);
}

bool nd_processors_own(void)
{
    bool isolated[ND_PROCESSORS_MAX] = {false};
    cpu_set_t mine;

    if (sched_getaffinity(0, sizeof(mine), &mine) != 0) /* more processors than the set has */
        return false;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        read_list(lists[i], isolated);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &mine) && (cpu >= ND_PROCESSORS_MAX || !isolated[cpu]))
            return false;
    return true;
}

/* Linux: both are of the calling thread alone. */
bool nd_priority_raise(void)
{
    return setpriority(PRIO_PROCESS, 0, -10) == 0;
}

bool nd_priority_realtime(void)
{
    return sched_setscheduler(0, SCHED_FIFO, &(const struct sched_param){.sched_priority = 10}) == 0;
}
