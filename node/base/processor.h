/* SPDX-License-Identifier: Apache-2.0 */
/* Processors that the kernel keeps free of other work. Owns nothing. */
#ifndef NODE_BASE_PROCESSOR_H
#define NODE_BASE_PROCESSOR_H

#include <stdbool.h>
#include <stddef.h>

#define ND_PROCESSORS_MAX 1024u /* those beyond are never taken for isolated */

/* Adds those of a list as the kernel writes it ("2-5,7\n") to set[]. False: it is no such list. */
bool nd_processors_parse(const char *list, bool set[ND_PROCESSORS_MAX]);

/*
 * Each processor that the calling thread may run on is isolated: by isolcpus, or by a cpuset's isolated
 * partition. So nothing but what was put there runs there.
 */
bool nd_processors_own(void);

#endif
