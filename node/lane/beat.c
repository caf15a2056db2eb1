/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeat frames: written and read by lanes. */
#include "node/lane/beat.h"

#include <endian.h>
#include <string.h>

static const uint8_t everybody[6] = {0x07, 0x75, 0x73, 0x62, 0x65, 0x61};
static const uint8_t magic[4] = {'U', 'S', 'B', 'T'};

void nd_beat_write(uint8_t frame[ND_BEAT_LEN], const uint8_t own[6], uint32_t half, uint64_t view)
{
    uint16_t type = htobe16(ND_BEAT_TYPE);

    memset(frame, 0, ND_BEAT_LEN);
    memcpy(frame, everybody, 6);
    memcpy(frame + 6, own, 6);
    memcpy(frame + 12, &type, 2);
    memcpy(frame + 14, magic, 4);
    half = htobe32(half);
    view = htobe64(view);
    memcpy(frame + 18, &half, 4);
    memcpy(frame + 22, &view, 8);
}

bool nd_beat_read(const uint8_t *frame, uint32_t len, uint32_t *half, uint64_t *view)
{
    if (len < 30 || frame[12] != ND_BEAT_TYPE >> 8 || frame[13] != (ND_BEAT_TYPE & 0xff) ||
        memcmp(frame + 14, magic, 4))
        return false;
    memcpy(half, frame + 18, 4);
    memcpy(view, frame + 22, 8);
    *half = be32toh(*half);
    *view = be64toh(*view);
    return true;
}
