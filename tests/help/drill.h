/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of drills: a drill, a run of it, and a pair of which the first node, "a", can be asked. */
#ifndef TESTS_HELP_DRILL_H
#define TESTS_HELP_DRILL_H

#include "tools/drill/drill.h"

/* Node "a": it says `line` and hangs up. A request to verify gets the next of `verdicts`, the last one for
 * ever; NULL: `line`. */
struct drill_node {
    char path[64];
    int fd;
    const char *line;
    const char *const *verdicts;
    unsigned asked; /* to verify */
};

extern struct drill_node drill_node;
extern struct nd_config drill_config;
extern struct nd_drill drill_under_test;
extern struct nd_drill_run drill_run;

/* Of a group of tests. */
int drill_node_start(void **state);
int drill_node_stop(void **state);

/* A run whose victim was replaced at 5 s, by view 4. */
void drill_begin(const char *line);

#endif
