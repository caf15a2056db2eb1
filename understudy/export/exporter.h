/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that exports the log of flows of a node's lanes: to a collector of IPFIX over TCP or UDP, or as
 * lines of JSON to a file. It takes events from the lanes' queues (lane/export.h),
 * which have those of stable bursts only, and sends none while the primary's lease does not run.
 *
 * An event is exported, and its place in the queue free, when the collector's kernel has acknowledged it
 * (TCP), the network has it (UDP), or the local kernel has it (a file). Where that does not come about,
 * events wait in the queue, behind that in the log, and are lost where the log is full: nobody waits for the
 * exporter.
 */
#ifndef NODE_EXPORT_EXPORTER_H
#define NODE_EXPORT_EXPORTER_H

#include "ftcore/queue/lane.h"
#include "lane/export.h"
#include "understudy/config/config.h"

struct nd_exporter;

/* Of all lanes; any thread may ask. */
struct nd_export_counts {
    bool open;         /* it has somebody, or something, to export to */
    uint64_t events;   /* sent; of a connection that broke, some of them again */
    uint64_t failures; /* times that it could not be opened, or broke */
};

/* Makes the queues and the thread. `shared`: [lanes], outlives it. FT_ENOMEM, FT_EIO. */
int nd_exporter_start(struct nd_exporter **out, const struct nd_export_to *to, struct ft_lane_shared *shared,
                      unsigned lanes, struct ft_fault *fault);
struct nd_export_queue *nd_exporter_queue(struct nd_exporter *x, unsigned lane);
void nd_exporter_counts(const struct nd_exporter *x, struct nd_export_counts *out);
/* Lanes have ended. Waits a second at most: a disk may be frozen. NULL is permitted. */
void nd_exporter_stop(struct nd_exporter *x);

#endif
