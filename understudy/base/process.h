/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process before the system. What it may do beside its own work: a node takes on its user and the few
 * capabilities that opening ports and sockets needs before it opens anything, and gives those up, in all its
 * threads, before the first packet; no program that it starts gets more. How its threads stand beside other
 * work. Which files were installed with its program. Of one process; nothing is kept here.
 */
#ifndef NODE_BASE_PROCESS_H
#define NODE_BASE_PROCESS_H

#include "ftcore/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct nd_privilege {
    const char *user; /* of the system; "": stays who it is */
    bool physical;    /* a port is a device of the machine, whose driver needs more to be opened */
    bool xdp;         /* a port is of the af_xdp driver, which loads a program into the kernel */
    bool core;        /* the process may leave a core file and be traced */
};

/*
 * The first thing that a node does: descriptors above 2 that it was started with are closed, none of which it
 * has a use for, and of its environment only what it or DPDK reads is kept, with PATH, HOME and LANG. FT_EIO.
 */
int nd_privilege_drop_inherited(struct ft_fault *fault);

/* Open files that a process with a node, or with what plays one, may need: 16 lanes, and all places for
 * connections, DPDK's telemetry among them. */
#define ND_OPEN_FILES 190u

/* May have ND_OPEN_FILES open files; asks for them where only the soft limit is lower. FT_EPERM. */
int nd_privilege_check_files(struct ft_fault *fault);

/*
 * Before there are threads and before anything is opened: becomes the user, with its groups; keeps of its
 * capabilities those that opening needs; no more for it and its children, ever; no core file unless
 * permitted. FT_EINVAL: no such user. FT_EPERM: only root can become another one. FT_EIO.
 */
int nd_privilege_limit(const struct nd_privilege *privilege, struct ft_fault *fault);

/* All threads give up all capabilities; waits until each has. FT_EIO: one did not within 5 s. */
int nd_privilege_drop(struct ft_fault *fault);

/*
 * All threads, and what they start: system calls that no running node makes fail with EPERM from now on:
 * another program in its place, looks into other processes, mounts, namespaces, modules, keys of the kernel.
 * FT_EIO.
 */
int nd_privilege_refuse_calls(struct ft_fault *fault);

/*
 * In a process that was forked beside the node's, for what the node leaves to it: it gets a session and a
 * name of its own, is out of reach of what ends the node's group, and keeps nothing open but fd[0 .. n),
 * which become 3 and up, and stderr if it `speaks`. False: there are no descriptors.
 */
bool nd_process_detach(const char *name, bool speaks, int fd[], int n);

/* The calling thread alone. 0 or FT_EIO. */
int nd_privilege_drop_thread(void);

/*
 * Each processor that the calling thread may run on is isolated: by isolcpus, or by a cpuset's isolated
 * partition. So nothing but what was put there runs there.
 */
bool nd_processors_own(void);

/* The calling thread goes before ordinary work: nice -10. For lanes, and for the thread that answers, which
 * lanes would leave no time on few cores. False: the system does not permit it. */
bool nd_priority_raise(void);
/* The calling thread goes before all of these: SCHED_FIFO 10. For the replicator, whose heartbeats and
 * acknowledgements must not wait behind packet work; it sleeps after each turn. False: not permitted. */
bool nd_priority_realtime(void);

/* That a node could write there: to the directory, or to the nearest above it that is there. The refusal has
 * its whole path, whatever the file calls it. `state`: what the disk refuses, be it read-only, keeps no node
 * from its start where the directory is there. *there: it is. FT_EINVAL, FT_EPERM,
 * FT_EIO. */
int nd_directory_judge(const char *path, bool state, bool *there, struct ft_fault *fault);

#define ND_MODULES "lib/understudy"          /* modules that a file names without a directory */
#define ND_CHAINS  "share/understudy/chains" /* chain files */

/* The path of the file `name` of `directory` (ND_MODULES or ND_CHAINS), into out[cap], bytes; false: there is
 * none. */
bool nd_installed(const char *directory, const char *name, char *out, size_t cap);

#endif
