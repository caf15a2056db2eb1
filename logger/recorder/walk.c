/* SPDX-License-Identifier: Apache-2.0 */
/* An open recording: its frames in turn, and whether another goes on from it. See recording.h. */
#include "logger/recorder/recording.h"

bool lg_recording_next(const struct lg_recording *r, uint64_t *at, struct lg_frame *f)
{
    if (*at == 0)
        *at = LG_PREFACE;
    if (*at >= r->whole)
        return false;
    memcpy(&f->len, r->data + *at, sizeof(f->len));
    memcpy(&f->type, r->data + *at + 4, sizeof(f->type));
    f->content = r->data + *at + LG_FRAME_HEAD;
    *at += LG_FRAME_HEAD + f->len;
    return true;
}

bool lg_recording_follows(const struct lg_recording *before, const struct lg_recording *next)
{
    bool began = false; /* chain time tells one life from another, once there is any */

    if (before->head.lanes != next->head.lanes)
        return false;
    for (unsigned l = 0; l < next->head.lanes; l++) {
        const struct lg_position *at = &next->at[l], *end = &before->end[l];

        if (end->burst != at->burst || end->seq != at->seq || end->time != at->time ||
            end->access != at->access)
            return false;
        began |= at->time != 0;
    }
    return before->head.serial < next->head.serial &&
           (before->head.view == next->head.view || (began && before->head.view < next->head.view)) &&
           strncmp(before->head.node, next->head.node, LG_NODE_MAX) == 0 &&
           before->head.identity == next->head.identity &&
           memcmp(before->identity, next->identity, next->head.identity) == 0;
}
