/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of one lane: the chain "forward" in a region, and two ports without a network. Frames that the
 * test has arrive at port 0 wait in a queue until the lane takes them; of what leaves, its number is kept.
 * One lane at a time.
 */
#ifndef TESTS_HELP_LANE_H
#define TESTS_HELP_LANE_H

#include "lane/lane.h"
#include "nftest/frames.h"

#define LANE_BUFFERS 512u /* so the hold has 256 places, and 128 frames may wait */
#define LANE_FRAMES  (2u * LANE_BUFFERS)

struct lane_frame {
    uint8_t data[NFT_FRAME_MAX];
    uint32_t number, len;
};

struct lane_world {
    struct lane_frame pool[LANE_FRAMES];
    struct lane_frame *free[LANE_FRAMES], *queue[LANE_FRAMES];
    unsigned frees, first, last;             /* first, last: of the queue */
    uint32_t came, left[LANE_FRAMES], lefts; /* how many came; numbers of what left, in order */
    struct ft_region *region;
    struct nd_lane lane;
    struct nd_group group;
    struct ft_lane_shared shared;
    struct nd_question question;
    struct nd_config *config;
    _Atomic uint64_t view;
    _Atomic bool stop;
};
extern struct lane_world lane_world;
extern const struct nd_io lane_ports;

/* Of a cmocka test: a lane that is live, with lane_ports. It may release, but nothing is stable. */
int lane_setup(void **state);
int lane_teardown(void **state);
/* The same setup with other ports. */
void lane_open(const struct nd_io *io);

/* A frame of zeros, of LEN bytes, arrives; its number is how many came before. */
struct lane_frame *lane_arrives(uint32_t len);
/* The numbers of all that left until now. */
void lane_left(const uint32_t *numbers, unsigned n);
/* All that came have left, in the order of their numbers. */
void lane_all_left(unsigned n);

#endif
