/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two files of a drill share: tools/drill/drill.c acts, tools/drill/watch.c asks and waits. Nobody
 * else includes this.
 */
#ifndef TOOLS_DRILL_PARTS_H
#define TOOLS_DRILL_PARTS_H

#include "node/control/client.h"
#include "tools/drill/watch.h"

#define ND_ASK_MS 500 /* a status answer */

/* The first thing that went wrong is the one that is told. */
void nd_drill_failed(struct nd_drill_run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void nd_drill_say(struct nd_drill *drill, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void nd_drill_sleep(long us);
double nd_drill_ms(uint64_t from_ns, uint64_t to_ns); /* -1 when either is unknown (0) */

/* The answer (a new reference) or NULL, then `fault` says why; *error, which may be NULL, is always set. */
json_t *nd_drill_ask(struct nd_drill *drill, unsigned node, const char *command, int timeout_ms, int *error,
                     struct ft_fault *fault);
const char *nd_drill_text(const json_t *object, const char *key); /* "" when it is not there */
uint64_t nd_drill_number(const json_t *object, const char *key);  /* 0 when it is not there */

#endif
