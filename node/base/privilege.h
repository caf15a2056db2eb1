/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process may do beside its own work. A node takes on its user and the few capabilities that opening
 * ports and sockets needs before it opens anything, and gives those up, in all its threads, before the first
 * packet. No program that it starts gets more. Of one process; nothing is kept here.
 */
#ifndef NODE_BASE_PRIVILEGE_H
#define NODE_BASE_PRIVILEGE_H

#include "ftcore/base/error.h"

#include <stdbool.h>

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
#define ND_OPEN_FILES 172u

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

/* The calling thread alone. 0 or FT_EIO. */
int nd_privilege_drop_thread(void);

#endif
