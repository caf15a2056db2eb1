/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What DPDK and its drivers say. While a port or the environment is opened it is kept in memory, and the one
 * line that tells why it failed is part of the node's own message. Afterwards, from whatever thread, it goes
 * to the event log (ftcore/base/event_log.h), a line each, and no more to syslog, which may block.
 */
#ifndef NODE_PORTS_DPDK_LOG_H
#define NODE_PORTS_DPDK_LOG_H

#include <stddef.h>
#include <stdio.h>

struct nd_dpdk_log {
    FILE *file; /* NULL: there is no memory for it, and nothing is kept */
    int out, err;
};

/* Before other threads: stdout and stderr are kept, too. */
void nd_dpdk_log_begin(struct nd_dpdk_log *log);
/* The first line that says what is wrong, or else the last line, into out[0..cap). */
void nd_dpdk_log_end(struct nd_dpdk_log *log, char *out, size_t cap);

#endif
