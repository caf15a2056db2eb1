/* SPDX-License-Identifier: Apache-2.0 */
/* dpi on frames made here: flows are known, dropped and not looked into, with kills between any two. */
#include "tests/nf/dpi_chain.h"
#include "tests/help/frame.h"

static bool send_text(struct nft *t, bool reply, uint16_t port, const char *text, uint16_t len)
{
    uint8_t frame[NFT_FRAME_MAX];
    struct nft_spec spec = HELP_PACKET(6, NFT_IP(10, 0, 0, 1), 40000, NFT_IP(192, 0, 2, 1), port,
                                       .tcp = NFT_ACK | NFT_PSH, .payload = len);
    uint32_t n;

    if (reply) {
        spec.src = NFT_IP(192, 0, 2, 1);
        spec.dst = NFT_IP(10, 0, 0, 1);
        spec.sport = port;
        spec.dport = 40000;
    }
    n = nft_frame(&spec, frame);
    memcpy(frame + 14 + 20 + 20, text, len);
    nft_readdress(frame, n, spec.src, spec.sport, spec.dst, spec.dport); /* sums */
    return nft_raw(t, reply ? NF_OUTSIDE : NF_INSIDE, frame, n);
}

#define SAYS(t, reply, port, text) send_text(t, reply, port, text, sizeof(text) - 1)

TEST(a_flow_is_known_behind_a_kill)
{
    struct nft *t = open_chain("heap_mb: 1");

    SAYS(t, true, 2222, "SSH-2.0-OpenSSH_9.2\r\n"); /* on another port than its own */
    NFT_SHOWS(t, "dpi", "\"stage\":\"looking\"");
    nft_kill(t);
    SAYS(t, false, 2222, "SSH-2.0-OpenSSH_9.0\r\n");
    NFT_SHOWS(t, "dpi", "\"protocol\":\"SSH\"");
    nft_kill(t);
    nft_wait(t, 400); /* it is forgotten, and its memory is given back */
    NFT_SHOWS(t, "dpi", "\"heap_bytes\":0,");
    NFT_EQUAL(t, nft_counter(t, "dpi", "flows_known"), 1);
    assert_int_equal(nft_close(t), 0);
}

static const char handshake[] = "\x13"
                                "BitTorrent protocol\0\0\0\0\0\0\0\0abcdefghijklmnopqrst01234567890123456789";

TEST(flows_of_a_protocol_are_dropped)
{
    struct nft *t = open_chain("heap_mb: 1, block: \"Tor, BitTorrent\"");

    NFT_TRUE(t, SAYS(t, false, 80, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"));
    NFT_TRUE(t, !SAYS(t, false, 7000, handshake));
    nft_kill(t);
    NFT_TRUE(t, !SAYS(t, true, 7000, "anything"));
    NFT_TRUE(t, SAYS(t, true, 80, "HTTP/1.1 200 OK\r\n\r\n"));
    NFT_EQUAL(t, nft_counter(t, "dpi", "blocked"), 2);
    assert_int_equal(nft_close(t), 0);
}

/* nDPI knows a flow by its end, of which it has seen another flow: its cache outlives two nodes, the second
 * of which has not seen that flow. */
TEST(a_cache_is_known_behind_kills)
{
    struct nft *t = open_chain("heap_mb: 2, packets: 2");

    SAYS(t, false, 7000, handshake);
    nft_kill(t);
    nft_kill(t);
    nft_wait(t, 400);
    for (unsigned i = 0; i < 2; i++)
        SAYS(t, false, 7000, "nothing that anybody knows");
    NFT_SHOWS(t, "dpi", "{\"protocol\":\"BitTorrent\",\"flows\":2,");
    assert_int_equal(nft_close(t), 0);
}

/* A heap that is full: flows are not looked into, and those that are go on. */
TEST(a_full_heap_is_counted)
{
    struct nft *t = open_chain("heap_mb: 1");
    struct nft_spec udp = HELP_PACKET(17, NFT_IP(10, 0, 0, 1), 0, NFT_IP(192, 0, 2, 1), 9, .payload = 30);

    for (unsigned i = 0; i < 1500; i++) {
        udp.src = NFT_IP(10, 0, 0, 1 + i % 200);
        udp.sport = (uint16_t)(1000 + i);
        NFT_TRUE(t, nft_send(t, NF_INSIDE, &udp, NULL));
        if (i % 500 == 0)
            nft_kill(t);
    }
    NFT_TRUE(t, nft_counter(t, "dpi", "heap_full") > 100);
    NFT_EQUAL(t, nft_counter(t, "dpi", "flows"), 1500);
    nft_kill(t);
    nft_wait(t, 400);
    NFT_SHOWS(t, "dpi", "\"heap_bytes\":0,");
    assert_int_equal(nft_close(t), 0);
}

/* Where something is blocked, what finds no room does not pass: neither in the heap, nor in the table. */
TEST(who_fills_a_table_gets_nothing_past)
{
    static const char *const settings[] = {"heap_mb: 1, block: Tor", "heap_mb: 1, block: Tor", "heap_mb: 1"};
    struct nft_spec udp = HELP_PACKET(17, NFT_IP(10, 0, 0, 1), 0, NFT_IP(192, 0, 2, 1), 9, .payload = 30);

    for (unsigned k = 0; k < 3; k++) {
        struct nft *t = open_chain_of(k ? 100 : 4096, settings[k]);
        unsigned flows = k ? 220 : 1500, passed = 0, full;

        for (unsigned i = 0; i < flows; i++) {
            udp.src = NFT_IP(10, 0, 0, 1 + i % 200);
            udp.sport = (uint16_t)(1000 + i);
            passed += nft_send(t, NF_INSIDE, &udp, NULL);
            if (i == 150)
                nft_kill(t);
        }
        full = (unsigned)nft_counter(t, "dpi", k ? "flows_full" : "heap_full");
        NFT_TRUE(t, full > 100);
        NFT_EQUAL(t, passed, k == 2 ? flows : flows - full);
        udp.src = NFT_IP(10, 0, 0, 1), udp.sport = 1000; /* what was there goes on */
        NFT_TRUE(t, nft_send(t, NF_INSIDE, &udp, NULL));
        assert_int_equal(nft_close(t), 0);
    }
}

/* SYNs that nobody answers, of as many sources as there are, do not keep others from being looked into, nor
 * from passing; what is blocked is dropped meanwhile. */
TEST(a_flood_of_syns_keeps_nobody_out)
{
    struct nft *t = open_chain("heap_mb: 1, block: BitTorrent");
    struct nft_spec syn = {.dst = NFT_IP(192, 0, 2, 1), .dport = 80, .proto = 6, .tcp = NFT_SYN};

    for (unsigned i = 0; i < 1500; i++) {
        syn.src = NFT_IP(10, 1, 0, 0) + i;
        syn.sport = (uint16_t)(1000 + i);
        NFT_TRUE(t, nft_send(t, NF_INSIDE, &syn, NULL));
        nft_wait(t, 0.001);
        if (i % 500 == 0)
            nft_kill(t);
    }
    NFT_EQUAL(t, nft_counter(t, "dpi", "heap_full"), 0);
    NFT_TRUE(t, SAYS(t, true, 2222, "SSH-2.0-OpenSSH_9.2\r\n"));
    NFT_TRUE(t, SAYS(t, false, 2222, "SSH-2.0-OpenSSH_9.0\r\n"));
    NFT_SHOWS(t, "dpi", "\"protocol\":\"SSH\"");
    NFT_TRUE(t, !SAYS(t, false, 7000, handshake));
    NFT_EQUAL(t, nft_counter(t, "dpi", "blocked"), 1);
    assert_int_equal(nft_close(t), 0);
}

/* One host has as many answered flows as it can: those of others are looked into, and pass. */
TEST(one_host_does_not_fill_the_table)
{
    struct nft *t = open_chain_of(400, "heap_mb: 4, block: Tor");
    struct nft_spec udp = {.dst = NFT_IP(192, 0, 2, 1), .dport = 9, .proto = 17, .payload = 30};

    for (unsigned i = 0; i < 450; i++) {
        struct nft_spec back = {.src = udp.dst, .sport = 9, .proto = 17, .payload = 30};

        udp.src = back.dst = i < 400 ? NFT_IP(10, 0, 0, 1) : NFT_IP(10, 0, 0, 2);
        udp.sport = back.dport = (uint16_t)(1000 + i);
        NFT_TRUE(t, nft_send(t, NF_INSIDE, &udp, NULL));
        NFT_TRUE(t, nft_send(t, NF_OUTSIDE, &back, NULL));
        nft_wait(t, 0.001);
    }
    NFT_EQUAL(t, nft_counter(t, "dpi", "flows_full") + nft_counter(t, "dpi", "host_full"), 0);
    assert_int_equal(nft_close(t), 0);
}
