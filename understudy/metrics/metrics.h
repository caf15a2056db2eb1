/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who serves what Prometheus reads of a node, or of an agent: http://ADDRESS:PORT/metrics. A thread of its
 * own serves HTTP and sees nothing of either: it asks, and the main thread makes the page out of its status
 * (page.h), of a node's as it answers the control sockets. So a page and `status` cannot differ in meaning,
 * and whatever clients do costs no more than one status in a turn of the main thread.
 */
#ifndef NODE_METRICS_METRICS_H
#define NODE_METRICS_METRICS_H

#include "ftcore/base/error.h"
#include "understudy/metrics/page.h"

#include <stdbool.h>
#include <stdint.h>

struct nd_metrics;

/* Listens at host (numeric IPv4) and port, 0: nowhere, and starts the thread. FT_EBUSY: the port is taken.
 * FT_ENOENT: not an address of this host. FT_EPERM, FT_EIO, FT_ENOMEM. After an error nothing is left open.
 */
int nd_metrics_open(struct nd_metrics **out, const char *host, uint16_t port, struct ft_fault *fault);
/* Ends the thread and all connections; waits for neither clients nor the main thread. NULL is permitted. */
void nd_metrics_close(struct nd_metrics *m);

/* For the main thread: true while somebody waits for a page; false for NULL. */
bool nd_metrics_asked(const struct nd_metrics *m);
/* Makes the page that a client waits for of a status; without memory for it the client gets a 503. To be
 * called only when nd_metrics_asked. */
void nd_metrics_answer(struct nd_metrics *m, const struct nd_page *of, const json_t *status);

#endif
