/* SPDX-License-Identifier: Apache-2.0 */
/* forward: everything passes, unchanged, and is counted in both numbers. */
#include "tests/help/chain.h"
#include "tests/help/test.h"

static struct help_chain h;

CHAIN_TEST(packets_and_bytes_are_counted)
{
    uint8_t frame[64] = {[12] = 0x88, [13] = 0x47}, before[64];
    struct nft_spec spec = HELP_PACKET(17, NFT_IP(10, 0, 0, 1), 1, NFT_IP(10, 0, 0, 2), 2, .payload = 100);
    help_chain_open(&h, "    - forward: { read: true }\n", NULL, 1);
    memcpy(before, frame, sizeof(frame));
    assert_false(help_chain_send(&h, NF_INSIDE, frame, sizeof(frame)).drop);
    assert_memory_equal(frame, before, sizeof(frame));
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &spec, NULL));
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
    help_chain_has(&h, "forward",
                   "{\"lane\":0,\"packets\":3,\"bytes\":348,\"shared\":3,\"merged\":3,\"last_shared\":3,"
                   "\"last_merged\":3}");
}

CHAIN_TEST(shared_and_merged_counts_can_be_switched_off)
{
    struct nft_spec spec = {.src = 1, .dst = 2, .proto = 17, .payload = 100};
    help_chain_open(&h, "    - forward: { shared: false, merged: false }\n", NULL, 1);
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
    help_chain_has(&h, "forward", "\"packets\":1,\"bytes\":142,\"shared\":0,\"merged\":0,");
}

/* The last merged number has its line to itself when nothing else is noted: audit sees a write that is not
 * marked. */
CHAIN_TEST(a_forwarder_that_reads_sees_the_payload)
{
    struct nft_spec spec = {.src = 1, .dst = 2, .proto = 17, .payload = 100};
    help_chain_open(&h, "    - forward: { shared: false, read: true }\n", NULL, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
    help_chain_has(&h, "forward", "\"shared\":0,\"merged\":3,\"last_shared\":0,\"last_merged\":3}");
}

CHAIN_TEST(captures_replay_to_the_same_state)
{
    help_captures_or_skip();
    help_chain_open_file(&h, "nfs/chains/forward.yaml", 3);
    help_chain_same(&h, "mixed.pcap", false);
    help_chain_same(&h, "badpackets.pcap", false);
    help_chain_same(&h, "ip_fragmented_garbage.pcap", false);
}
