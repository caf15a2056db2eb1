/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an input keeper lets leave of one lane's outputs: each number once, in order, whichever node sends it
 * and how often. Owned and used by whoever plays the keeper: `understudy keeper` (front.h) and `understudy
 * replay`. Outputs of a lane are numbered from 1 without gaps by its chain, so a successor's have the numbers
 * of its predecessor's.
 */
#ifndef KEEPER_OUTPUTS_H
#define KEEPER_OUTPUTS_H

#include <stdbool.h>
#include <stdint.h>

struct kp_outputs {
    uint64_t left;     /* the last number that has left, or whose turn is over */
    uint64_t released; /* outputs that left */
    uint64_t repeated; /* that had left already, and were dropped */
    uint64_t lost;     /* that nobody could send any more when a later one left */
};

enum kp_verdict {
    KP_LEAVES,
    KP_HAS_LEFT,
    KP_TOO_EARLY /* one before it is on its way, and comes again */
};

/* Of output `number`, before which its sender has sent number `before` (0: none). */
static inline enum kp_verdict kp_outputs_judge(const struct kp_outputs *outputs, uint64_t number,
                                               uint64_t before)
{
    return number <= outputs->left ? KP_HAS_LEFT : before > outputs->left ? KP_TOO_EARLY : KP_LEAVES;
}

/* It leaves: for KP_LEAVES alone. Those that were skipped are counted as lost. */
static inline void kp_outputs_leave(struct kp_outputs *outputs, uint64_t number)
{
    outputs->lost += number - outputs->left - 1;
    outputs->left = number;
    outputs->released++;
}

/* Those up to `number` may have left by another keeper, and do not leave by this one any more. */
static inline void kp_outputs_skip(struct kp_outputs *outputs, uint64_t number)
{
    if (number <= outputs->left)
        return;
    outputs->lost += number - outputs->left;
    outputs->left = number;
}

/* Fills in what the sender did not have of an output: bytes [have, len) of `frame` are the end of the input
 * that it came from, whose headers may have had another length. False: that input is too short. */
bool kp_complete(uint8_t *frame, uint32_t have, uint32_t len, const uint8_t *input, uint32_t input_len);

#endif
