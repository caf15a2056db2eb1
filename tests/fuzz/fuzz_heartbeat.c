/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats on data ports: any frame of 14 bytes and more, of the heartbeats' Ethertype, may come. */
#include "lane/frames.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const struct ft_datagram_key peer = {0x12345678, {5, 6}};

static void run(const uint8_t *data, size_t size)
{
    uint8_t *in, back[ND_HEARTBEAT_LEN];
    struct ft_datagram heartbeat;

    if (size < ND_HEARTBEAT_HEAD)
        return;
    in = fuzz_copy(data, size);
    if (nd_heartbeat_read(in, (uint32_t)size, &peer, &heartbeat) == 0) {
        nd_heartbeat_write(back, in, in + 6, &peer, &heartbeat);
        FUZZ_MUST(size >= ND_HEARTBEAT_LEN && memcmp(in + ND_HEARTBEAT_HEAD, back + ND_HEARTBEAT_HEAD,
                                                     ND_HEARTBEAT_LEN - ND_HEARTBEAT_HEAD) == 0,
                  "what it says is written otherwise");
    }
    free(in);
}

static void seeds(void)
{
    static const uint8_t own[6] = {2, 0, 0, 0, 0, 7};
    static const struct ft_datagram heartbeat = {.kind = FT_HEARTBEAT,
                                                 .view = 77,
                                                 .sent = 1,
                                                 .port = 1,
                                                 .mtu = 1500,
                                                 .fault = {FT_PORT_WHOLE, FT_PORT_UNHEARD}};
    uint8_t frame[ND_HEARTBEAT_LEN];

    nd_heartbeat_write(frame, NULL, own, &peer, &heartbeat);
    fuzz_seed("heartbeat", frame, sizeof(frame));
    fuzz_seed("cut", frame, 20);
}

FUZZ_TARGET(heartbeat, "heartbeats on data ports", 128)
