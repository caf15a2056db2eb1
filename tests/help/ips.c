/* SPDX-License-Identifier: Apache-2.0 */
/* Packets for tests of ips; see ips.h. */
#include "tests/help/ips.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

struct help_chain help_ips;

void help_ips_open(const char *nfs, const char *rules)
{
    help_chain_open(&help_ips, nfs, rules, 1);
    help_ips.now = HELP_SECOND;
}

uint64_t help_ips_counter(const char *name)
{
    return help_chain_counter(&help_ips, "ips", name);
}

bool help_ips_send(uint8_t side, const struct help_segment *s)
{
    uint8_t frame[NFT_FRAME_MAX];

    return !help_chain_send(&help_ips, side, frame, help_segment_frame(s, frame)).drop;
}

/* From the client inside, or from the server. True: it passed. */
bool help_ips_tcp(uint8_t side, uint8_t flags, uint32_t seq, uint32_t ack, const char *payload)
{
    const struct help_segment s = {.from = side == NF_INSIDE ? 1 : 2,
                                   .to = side == NF_INSIDE ? 2 : 1,
                                   .sport = side == NF_INSIDE ? 4000 : 80,
                                   .dport = side == NF_INSIDE ? 80 : 4000,
                                   .proto = 6,
                                   .flags = flags,
                                   .seq = seq,
                                   .ack = ack,
                                   .payload = payload,
                                   .len = (uint32_t)strlen(payload)};

    return help_ips_send(side, &s);
}
bool help_ips_udp(uint8_t side, const char *payload)
{
    const struct help_segment s = {.from = side == NF_INSIDE ? 1 : 2,
                                   .to = side == NF_INSIDE ? 2 : 1,
                                   .sport = side == NF_INSIDE ? 4000 : 53,
                                   .dport = side == NF_INSIDE ? 53 : 4000,
                                   .proto = 17,
                                   .payload = payload,
                                   .len = (uint32_t)strlen(payload)};

    return help_ips_send(side, &s);
}
bool help_ips_client(uint32_t seq, const char *payload)
{
    return help_ips_tcp(NF_INSIDE, NFT_ACK, seq, 501, payload);
}

/* Client's bytes begin at 101, server's at 501. */
void help_ips_begin(void)
{
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 100, 0, ""));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 500, 101, ""));
    assert_true(help_ips_client(101, ""));
}
