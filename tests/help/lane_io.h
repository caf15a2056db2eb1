/* SPDX-License-Identifier: Apache-2.0 */
/* Ports for a lane without a network: the first gives bursts of three frames of zeros while it is to, and
 * what is sent is freed. */
#ifndef TESTS_HELP_LANE_IO_H
#define TESTS_HELP_LANE_IO_H

#include "lane/lane.h"

extern const struct nd_io lane_io;
extern _Atomic bool lane_io_feeds;

#endif
