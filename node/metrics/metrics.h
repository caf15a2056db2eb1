/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Prometheus reads of a node: http://ADDRESS:PORT/metrics. A thread of its own serves HTTP
 * and sees nothing of the node: it asks, and the main thread makes the page out of the answer to "status",
 * as it answers the control sockets. So a page and `status` cannot differ in meaning, and whatever
 * clients do costs the node no more than one status in a turn of the main thread.
 */
#ifndef NODE_METRICS_METRICS_H
#define NODE_METRICS_METRICS_H

#include "ftcore/base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Upper bounds of a histogram's buckets, in seconds; what is longer counts in no bucket. */
#define ND_TAKEOVER_BUCKETS 10u
extern const double nd_takeover_bounds[ND_TAKEOVER_BUCKETS];

struct nd_metrics;

/* Listens at host (numeric IPv4) and port, and starts the thread. FT_EBUSY: the port is taken. FT_ENOENT: not
 * an address of this host. FT_EPERM, FT_EIO, FT_ENOMEM. After an error nothing is left open. */
int nd_metrics_open(struct nd_metrics **out, const char *host, uint16_t port, struct ft_fault *fault);
/* Ends the thread and all connections; waits for neither clients nor the main thread. NULL is permitted. */
void nd_metrics_close(struct nd_metrics *m);

/* For the main thread: true while somebody waits for a page; false for NULL. */
bool nd_metrics_asked(const struct nd_metrics *m);
/* Makes the page that is waited for of a status, in Prometheus' text format 0.0.4; without memory for it the
 * client is told 503. To be called only when nd_metrics_asked. */
void nd_metrics_answer(struct nd_metrics *m, const json_t *status);

#endif
