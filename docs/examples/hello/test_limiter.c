/* SPDX-License-Identifier: Apache-2.0 */
/* Tests limiter with a standby beside it. Each nft_kill ends the primary, and the standby goes on. */
#include "nftest/nftest.h"

int main(void)
{
    struct nft *t = nft_open("chain.yaml"); /* 5 packets of a source in 60 seconds */
    struct nft_spec udp = {.src = NFT_IP(10, 0, 0, 1), .dst = NFT_IP(192, 0, 2, 1), .dport = 53, .proto = 17};

    for (unsigned i = 0; i < 5; i++) {
        NFT_TRUE(t, nft_send(t, NF_INSIDE, &udp, NULL));
        nft_kill(t);
    }
    NFT_TRUE(t, !nft_send(t, NF_INSIDE, &udp, NULL));
    NFT_EQUAL(t, nft_counter(t, "limiter", "limited"), 1);
    NFT_EQUAL(t, nft_command(t, "set limiter packets=6"), 0);
    nft_kill(t); /* what an operator has set is state */
    NFT_TRUE(t, nft_send(t, NF_INSIDE, &udp, NULL));
    nft_wait(t, 60); /* until the window has ended */
    NFT_SHOWS(t, "limiter", "\"sources\":0,");
    NFT_TRUE(t, nft_send(t, NF_INSIDE, &udp, NULL));
    return nft_close(t);
}
