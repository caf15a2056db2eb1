/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats on data ports: any frame of 14 bytes and more may come where one is looked for. */
#include "node/lane/beat.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const struct ft_sender peer = {0x12345678, {5, 6}};

static void run(const uint8_t *data, size_t size)
{
    uint8_t *in, back[ND_BEAT_LEN];
    struct ft_datagram beat;

    if (size < ND_BEAT_HEAD)
        return;
    in = fuzz_copy(data, size);
    if (nd_beat_read(in, (uint32_t)size, &peer, &beat) == 0) {
        nd_beat_write(back, in + 6, &peer, beat.view, beat.counter);
        FUZZ_MUST(size >= ND_BEAT_LEN && memcmp(in + 12, back + 12, ND_BEAT_LEN - 12) == 0,
                  "what it says is written otherwise");
    }
    free(in);
}

static void seeds(void)
{
    static const uint8_t own[6] = {2, 0, 0, 0, 0, 7};
    uint8_t frame[ND_BEAT_LEN];

    nd_beat_write(frame, own, &peer, 77, 1);
    fuzz_seed("beat", frame, sizeof(frame));
    fuzz_seed("cut", frame, 20);
}

FUZZ_TARGET(beat, "heartbeats on data ports", 128)
