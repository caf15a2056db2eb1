/* SPDX-License-Identifier: Apache-2.0 */
/* What the system says about the processor under the calling thread. */
#ifndef REPLICATOR_PROCESSOR_H
#define REPLICATOR_PROCESSOR_H

#include <stdbool.h>
#include <stdint.h>

/* A descriptor for the calling thread; -1: the system does not say. */
int rp_processor_open(void);
void rp_processor_close(int fd);
/* Time ever, ns, that this thread could have run and another one ran. False: the system does not say. */
bool rp_processor_waited(int fd, uint64_t *ns);

#endif
