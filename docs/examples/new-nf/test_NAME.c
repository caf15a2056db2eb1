/* SPDX-License-Identifier: Apache-2.0 */
/* What @NAME@ does, with a standby beside it, and through deaths of the primary. */
#include "nftest/nftest.h"

int main(void)
{
    struct nft *t = nft_open("test.yaml"); /* limit: 3 */
    struct nft_spec one = {.src = NFT_IP(10, 0, 0, 1), .dst = NFT_IP(192, 0, 2, 1), .sport = 1000, .dport = 53, .proto = 17};
    struct nft_spec other = one;

    other.src = NFT_IP(10, 0, 0, 2);
    nft_capture(t, "test.pcap"); /* what is sent, for replay */
    for (unsigned i = 0; i < 3; i++) {
        NFT_TRUE(t, nft_send(t, NF_INSIDE, &one, NULL));
        nft_kill(t); /* a successor has counted as well */
    }
    NFT_TRUE(t, !nft_send(t, NF_INSIDE, &one, NULL));
    NFT_TRUE(t, nft_send(t, NF_INSIDE, &other, NULL));
    NFT_EQUAL(t, nft_counter(t, "@NAME@", "passed"), 4);
    NFT_EQUAL(t, nft_counter(t, "@NAME@", "over_limit"), 1);
    NFT_SHOWS(t, "@NAME@", "{\"source\":\"10.0.0.2\",\"packets\":1}");
    for (unsigned i = 0; i < 100; i++, other.src++)
        nft_send(t, NF_INSIDE, &other, NULL);
    return nft_close(t);
}
