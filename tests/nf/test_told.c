/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets told by their sessions: what a frame must not be told by, and what an input must not name. That
 * what is told gives the same state and outputs as the frames did is judged by the simulation (make sim
 * KIND=told).
 */
#include "tests/help/chain.h"

#include "nflib/session/index.h"
#include "tests/help/test.h"

#define FRAME 192u

struct input {
    struct nf_session_input told;
    uint32_t len, have;
    uint8_t side;
    uint8_t frame[FRAME];
};

static struct help_chain h;

static struct nf_session_input told_now(const struct nf_packet *p, uint32_t i)
{
    const struct nf_sessions_lane *found = nf_chain_prepared(h.chain);

    return found ? nf_session_input_of(found, p, i) : (struct nf_session_input){.key = NF_NONE};
}

/* ---- what is not told ------------------------------------------------------------------------------ */

static struct input base; /* of a connection that is there */

static void begin(void)
{
    uint8_t bytes[NFT_FRAME_MAX];
    struct nft_spec spec = HELP_PACKET(NF_PROTO_TCP, NFT_IP(10, 1, 0, 2), 1024, NFT_IP(198, 51, 100, 1), 80,
                                       .tcp = NFT_SYN, .payload = 20);

    help_chain_open(&h, "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, max_flows: 60 }\n", NULL,
                    7);
    base = (struct input){.side = NF_INSIDE};
    base.len = base.have = nft_frame(&spec, bytes);
    memcpy(base.frame, bytes, base.len);
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
}

static struct nf_session_input tell(const struct input *in)
{
    static uint8_t frame[FRAME];
    struct nf_packet p = {.data = frame, .len = in->len, .have = in->have, .side = in->side};
    struct nf_session_input told;

    memcpy(frame, in->frame, FRAME);
    p.in_port = in->side;
    nf_chain_look(h.chain, ++h.burst, h.now, &p, 1);
    told = told_now(&p, 0);
    nf_chain_pass(h.chain);
    return told;
}

CHAIN_TEST(what_an_nf_could_see_is_recorded_whole)
{
    static const struct {
        const char *name;
        uint8_t at, flipped; /* bits of that byte */
        bool sealed;         /* with the right checksum of IPv4 */
        uint8_t side;
        uint32_t cut; /* bytes that are left; 0: all */
    } rows[] = {{"no hops are left", 22, 64 ^ 1, true, NF_INSIDE, 0},
                {"from a group", 6, 1, false, NF_INSIDE, 0},
                {"to a group", 0, 1, false, NF_INSIDE, 0},
                {"another port", 35, 1, false, NF_INSIDE, 0},
                {"the other side", 0, 0, false, NF_OUTSIDE, 0},
                {"a fragment", 20, 0x20, true, NF_INSIDE, 0},
                {"a wrong checksum", 24, 1, false, NF_INSIDE, 0},
                {"cut off", 0, 0, false, NF_INSIDE, 50}};
    struct nf_session_input told;

    begin();
    told = tell(&base);
    assert_int_equal(told.ip_bytes, 60);
    assert_int_equal(told.tcp_flags, NFT_SYN);
    assert_int_not_equal(told.key, NF_NONE);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct input in = base;

        in.side = rows[i].side;
        in.len = in.have = rows[i].cut ? rows[i].cut : base.len;
        in.frame[rows[i].at] ^= rows[i].flipped;
        if (rows[i].sealed)
            nft_ip_checksum(in.frame, in.len);
        if (tell(&in).key != NF_NONE)
            fail_msg("%s: it is told", rows[i].name);
    }
    assert_int_not_equal(tell(&base).key, NF_NONE);
}

/* ---- what an input must not name ------------------------------------------------------------------- */

static bool follows(struct nf_session_input told, uint8_t side, uint32_t len)
{
    struct nf_packet p = {.len = len, .in_port = side, .side = side};

    nf_chain_restore_from(h.chain, &told);
    nf_chain_run(h.chain, ++h.burst, h.now, &p, 1);
    return nf_chain_restored(h.chain);
}

CHAIN_TEST(an_input_names_a_session_that_is_there)
{
    struct nf_session_input told, bad;

    begin();
    told = tell(&base);
    assert_true(follows(told, NF_INSIDE, base.len));
    bad = told, bad.key ^= 1; /* answers come from outside */
    assert_false(follows(bad, NF_INSIDE, base.len));
    assert_true(follows(bad, NF_OUTSIDE, base.len));
    assert_false(follows(told, NF_OUTSIDE, base.len));
    bad = told, bad.key += 2; /* nobody's */
    assert_false(follows(bad, NF_INSIDE, base.len));
    bad.key = UINT32_MAX - 1; /* beyond the table */
    assert_false(follows(bad, NF_INSIDE, base.len));
    bad = told, bad.ip_bytes = 39; /* less than its headers */
    assert_false(follows(bad, NF_INSIDE, base.len));
    bad.ip_bytes = (uint16_t)(base.len - 13); /* more than the frame */
    assert_false(follows(bad, NF_INSIDE, base.len));
    bad.ip_bytes = (uint16_t)(base.len - 14);
    assert_true(follows(bad, NF_INSIDE, base.len));
    assert_false(follows(told, NF_INSIDE, 14));
    help_chain_wait_tenths(&h, 10 * 3600 * 3); /* it is over */
    assert_false(follows(told, NF_INSIDE, base.len));
}
