/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer in several lanes: an answer is dealt to the lane of its client, whoever it comes from. */
#include "node/config/config.h"
#include "tests/help/chain.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#define VIP           NFT_IP(203, 0, 113, 10)
#define CLIENT        NFT_IP(198, 51, 100, 7)
#define B(n)          NFT_IP(10, 1, 0, n)
#define BALANCE(more) "    - load_balancer: { vip: 203.0.113.10, port: 80" more " }\n"
#define THREE         ", backends: \"10.1.0.1, 10.1.0.2 10.1.0.3:8080\""

static struct help_chain h;

static unsigned lane_of(enum nf_scope scope, uint8_t side, uint32_t src, uint16_t sport, uint32_t dst,
                        uint16_t dport)
{
    struct nft_spec spec = {
        .src = src, .dst = dst, .sport = sport, .dport = dport, .proto = 17, .payload = 20};
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len = nft_frame(&spec, frame);
    struct nf_packet p = {.data = frame, .len = len, .have = len, .side = side};

    nf_packet_parse(&p);
    return nf_lane_of(&p, scope, 8);
}

/* Whichever backend it is that answers. */
static void answers_come_to_the_lane_of_their_client(void)
{
    struct ft_fault fault;
    enum nf_scope scope;
    unsigned lanes = 0;

    help_chain_open(&h, BALANCE(THREE), NULL, 1);
    assert_int_equal(nf_chain_scope(&h.config->chain, 8, &scope, &fault), 0);
    for (uint32_t i = 1; i < 200; i++) {
        unsigned lane = lane_of(scope, NF_OUTSIDE, CLIENT + i * 977, (uint16_t)(2000 + i), VIP, 80);

        lanes |= 1u << lane;
        for (unsigned b = 1; b <= 3; b++)
            assert_int_equal(
                lane_of(scope, NF_INSIDE, B(b), b == 3 ? 8080 : 80, CLIENT + i * 977, (uint16_t)(2000 + i)),
                lane);
    }
    assert_int_equal(lanes, 0xff);
    help_chain_close(&h);
    help_chain_open(&h, BALANCE(THREE ", clients: both"), NULL, 1);
    assert_true(nf_chain_scope(&h.config->chain, 2, &scope, &fault) < 0);
    assert_int_equal(nf_chain_scope(&h.config->chain, 1, &scope, &fault), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(answers_come_to_the_lane_of_their_client),
    };

    return cmocka_run_group_tests_name("load_balancer_lanes", tests, NULL, NULL);
}
