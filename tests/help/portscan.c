/* SPDX-License-Identifier: Apache-2.0 */
/* Packets for tests of portscan; see portscan.h. */
#include "tests/help/portscan.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

struct help_chain help_portscan;

void help_portscan_open(const char *nfs)
{
    help_chain_open(&help_portscan, nfs, NULL, 3);
    help_chain_idle(&help_portscan, 100 * HELP_SECOND);
}

uint64_t help_portscan_counter(const char *name)
{
    return help_chain_counter(&help_portscan, "portscan", name);
}

bool help_portscan_tcp(uint8_t side, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport,
                       uint8_t flags)
{
    struct nft_spec s = {.src = src,
                         .dst = dst,
                         .sport = sport,
                         .dport = dport,
                         .proto = 6,
                         .tcp = flags,
                         .seq = 1000,
                         .ack = 1001};

    return help_chain_spec(&help_portscan, side, &s, NULL);
}

bool help_portscan_syn(uint32_t src, uint32_t dst)
{
    return help_portscan_tcp(NF_OUTSIDE, src, 4000, dst, 80, NFT_SYN);
}

bool help_portscan_answer(uint32_t src, uint32_t dst, uint8_t flags)
{
    return help_portscan_tcp(NF_INSIDE, dst, 80, src, 4000, flags | NFT_ACK);
}

void help_portscan_outcomes(uint64_t contacts, uint64_t successes, uint64_t refused, uint64_t unanswered)
{
    assert_int_equal(help_portscan_counter("contacts"), contacts);
    assert_int_equal(help_portscan_counter("successes"), successes);
    assert_int_equal(help_portscan_counter("refused"), refused);
    assert_int_equal(help_portscan_counter("unanswered"), unanswered);
}
