/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's sessions against the plain model of the fuzz target (tests/fuzz/fuzz_sessions.c): random bursts
 * of both families from both sides, fragments, pauses and commands from a fixed seed, until tables are full
 * and every corner has been reached.
 */
#include "ftcore/base/draw.h"
#include "tests/fuzz/sessions_model.h"
#include "tests/help/test.h"

#define INPUTS  100u
#define PACKETS 10000u /* of an input */

static uint64_t draws;

/* Nobody wants the target's seeds here. */
void fuzz_seed(const char *name, const void *bytes, size_t len) {}

static uint8_t below(uint32_t n)
{
    return (uint8_t)(ft_draw(&draws) % n);
}

/* Of UDP alone, in some inputs; few are refused. Or the one before again, as its datagram's next fragment. */
static void draw_packet(struct fuzz_output *out, bool udp)
{
    static uint8_t packet[3];

    if (below(4)) {
        packet[0] = below(256) & (udp ? 0x9f : 0xff);
        packet[1] = below(256) & (below(8) ? (uint8_t) ~(SM_REFUSE_1 | SM_REFUSE_2) : 0xff);
        packet[2] = below(256);
    } else {
        packet[2] |= 1;
    }
    fuzz_put(out, packet, sizeof(packet));
}

/* What the target makes of a first byte: so many packets, a pause, or a command. Where pauses are short,
 * tables fill. */
static void draw_operation(struct fuzz_output *out, bool busy, bool udp)
{
    uint32_t what = below(200), n = below(4) ? 1 : 1 + below(6);

    if (what < 196) {
        fuzz_put_u8(out, (uint8_t)(n - 1));
        while (n--)
            draw_packet(out, udp);
    } else if (what < 199) {
        fuzz_put_u8(out, (uint8_t)(0xa0 + below(busy ? 2 : 64)));
    } else {
        fuzz_put_u8(out, 0xe0);
        fuzz_put_u8(out, below(16) ? (uint8_t)(2 | below(64) << 2) : below(32));
    }
}

TEST(sessions_are_what_a_plain_model_says)
{
    static struct fuzz_output out;
    uint64_t ended[NF_SESSION_WHYS] = {0}, turns = 0, conflicts = 0, laters = 0;

    sm_flows = SM_FLOWS;
    sm_few = SM_FLOWS / 3;
    draws = 5;
    for (uint32_t i = 0; i < INPUTS; i++) {
        out.len = 0;
        while (out.len + 32 < 3 * PACKETS)
            draw_operation(&out, i % 2, i % 4 > 1);
        fuzz_find("sessions")->run(out.bytes, out.len);
        for (unsigned why = 0; why < NF_SESSION_WHYS; why++)
            ended[why] += sm.ended[1][why];
        turns += sm.turns;
        conflicts += sm.conflicts;
        laters += sm.laters;
    }
    printf("# %lu idle, %lu refused, %lu displaced, %lu of those in turn, %lu cleared, %lu conflicts, %lu "
           "later\n",
           ended[NF_SESSION_IDLE], ended[NF_SESSION_REFUSED], ended[NF_SESSION_DISPLACED], turns,
           ended[NF_SESSION_CLEARED], conflicts, laters);
    assert_true(ended[NF_SESSION_IDLE] > 1000 && ended[NF_SESSION_REFUSED] > 1000 &&
                ended[NF_SESSION_DISPLACED] > 1000 && turns > 500 && ended[NF_SESSION_CLEARED] > 100 &&
                conflicts > 1000 && laters > 1000);
}
