/* SPDX-License-Identifier: Apache-2.0 */
/* What is to happen in a simulated day, by time; of one time in the order in which it was added. One agenda,
 * for one thread. */
#ifndef TESTS_FLEET_AGENDA_H
#define TESTS_FLEET_AGENDA_H

#include <stdbool.h>
#include <stdint.h>

struct event {
    uint64_t at, order; /* order: the agenda's own */
    int what;
    uint32_t whom, which;
    uint64_t view;
};

void agenda_add(const struct event *event);
/* Takes the first one that is due. False: none is. */
bool agenda_next(struct event *out, uint64_t now);

#endif
