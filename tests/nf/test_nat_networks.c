/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A router with two networks inside: what one sends to the other goes by no outside address, whatever its
 * protocol; to everybody else it is translated as ever.
 *
 *     10.1.0.0/24 ── [0, inside]  chain [1, outside] 203.0.113.2 ── 203.0.113.254
 *     10.2.0.0/24 ── [2, inside]
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define OFFICE  NFT_IP(10, 1, 0, 5)
#define GUEST   NFT_IP(10, 2, 0, 7)
#define REMOTE  NFT_IP(198, 51, 100, 7)
#define OUTSIDE NFT_IP(203, 0, 113, 1)
#define GATE    NFT_IP(203, 0, 113, 254)

enum { AT_OFFICE, AT_OUTSIDE, AT_GUESTS };

static struct help_chain h;

/* On that interface; true: it has left, by `*left`. */
static bool arrives(unsigned at, uint8_t *frame, uint32_t len, unsigned *left)
{
    struct nf_packet p = {.data = frame,
                          .len = len,
                          .have = len,
                          .in_port = (uint8_t)at,
                          .side = at == AT_OUTSIDE ? NF_OUTSIDE : NF_INSIDE};

    help_chain_run(&h, h.now + 1, &p, 1);
    if (left)
        *left = p.out_port;
    return !p.drop;
}

static bool sends(unsigned at, const struct nft_spec *spec, struct nft_seen *seen, unsigned *left)
{
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len = nft_frame(spec, frame);
    bool passed;

    memcpy(frame, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)(at + 1)}, 6);
    passed = arrives(at, frame, len, left);
    assert_null(passed ? nft_checksums(frame, len) : NULL);
    nft_see(frame, len, seen);
    return passed;
}

static void is_heard(unsigned at, uint32_t addr, uint32_t target)
{
    uint8_t arp[60] = {[0 ... 5] = 0xff, [6] = 2, 0, 0, 0, 9, (uint8_t)addr, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};

    memcpy(arp + 22, arp + 6, 6);
    memcpy(arp + 28, &(uint32_t){__builtin_bswap32(addr)}, 4);
    memcpy(arp + 38, &(uint32_t){__builtin_bswap32(target)}, 4);
    arrives(at, arp, sizeof(arp), NULL);
}

static void open_router(const char *nfs)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "%s"
             "interfaces:\n"
             "  - { name: office, side: inside, address: 10.1.0.1/24, mac: \"02:00:00:00:00:01\" }\n"
             "  - { name: outside, side: outside, address: 203.0.113.2/24, mac: \"02:00:00:00:00:02\" }\n"
             "  - { name: guests, side: inside, address: 10.2.0.1/24, mac: \"02:00:00:00:00:03\" }\n"
             "routes:\n  - { to: 0.0.0.0/0, via: 203.0.113.254 }\n",
             nfs);
    help_chain_open(&h, text, "default allow out\ndefault deny in\n", 5);
    is_heard(AT_OFFICE, OFFICE, NFT_IP(10, 1, 0, 1));
    is_heard(AT_GUESTS, GUEST, NFT_IP(10, 2, 0, 1));
    is_heard(AT_OUTSIDE, GATE, NFT_IP(203, 0, 113, 2));
}

/* The host at the office asks the guest, who answers; both see each other as they are. */
static void talk(struct nft_spec out, struct nft_spec back)
{
    struct nft_seen s;
    unsigned left;

    out.src = back.dst = OFFICE;
    out.dst = back.src = GUEST;
    assert_true(sends(AT_OFFICE, &out, &s, &left));
    assert_true(s.src == OFFICE && s.dst == GUEST && s.sport == out.sport && left == AT_GUESTS);
    assert_true(sends(AT_GUESTS, &back, &s, &left));
    assert_true(s.src == GUEST && s.dst == OFFICE && s.dport == back.dport && left == AT_OFFICE);
}

static void networks_inside_see_each_other(const char *nfs)
{
    open_router(nfs);
    talk((struct nft_spec){.proto = 6, .sport = 4000, .dport = 80, .tcp = NFT_SYN, .seq = 1},
         (struct nft_spec){
             .proto = 6, .sport = 80, .dport = 4000, .tcp = NFT_SYN | NFT_ACK, .seq = 9, .ack = 2});
    for (unsigned i = 0; i < 3; i++) /* also once it has settled */
        talk((struct nft_spec){.proto = 6,
                               .sport = 4000,
                               .dport = 80,
                               .tcp = NFT_ACK,
                               .seq = 2 + 5 * i,
                               .ack = 10 + 7 * i,
                               .payload = 5},
             (struct nft_spec){.proto = 6,
                               .sport = 80,
                               .dport = 4000,
                               .tcp = NFT_ACK,
                               .seq = 10 + 7 * i,
                               .ack = 7 + 5 * i,
                               .payload = 7});
    for (unsigned i = 0; i < 3; i++)
        talk((struct nft_spec){.proto = 17, .sport = 4000, .dport = 53, .payload = 5},
             (struct nft_spec){.proto = 17, .sport = 53, .dport = 4000, .payload = 5});
    talk((struct nft_spec){.proto = 1, .type = 8, .sport = 77, .payload = 5},
         (struct nft_spec){.proto = 1, .type = 0, .sport = 77, .dport = 77, .payload = 5});
    talk((struct nft_spec){.proto = 47, .payload = 40}, (struct nft_spec){.proto = 47, .payload = 40});
    help_chain_counts(&h, "nat: mappings_created 0, not_ours %u", 2 * (1 + 3 + 3 + 1 + 1));
}

CHAIN_TEST(alone_and_beside_others)
{
    networks_inside_see_each_other("    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1 }\n");
    networks_inside_see_each_other("    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, mapping: "
                                   "endpoint_independent }\n");
    networks_inside_see_each_other("    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, unsupported: "
                                   "by_address }\n");
    networks_inside_see_each_other("    - firewall: { rules: firewall.rules }\n"
                                   "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1 }\n"
                                   "    - monitor: {}\n");
}

/* An error about what went from one network to the other, and fragments. */
CHAIN_TEST(errors_and_fragments_pass)
{
    struct nft_spec asks = HELP_PACKET(17, OFFICE, 4001, GUEST, 9, .payload = 8);
    struct nft_spec part =
        HELP_PACKET(17, OFFICE, 4002, GUEST, 9, .ip_id = 5, .fragment = NFT_MORE, .payload = 32);
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len = nft_frame(&asks, frame);
    struct nft_spec error = HELP_PACKET(1, GUEST, 0, OFFICE, 0, .type = 3, .code = 3, .inner = frame + 14,
                                        .inner_len = (uint16_t)(len < 62 ? len - 14 : 48));
    struct nft_seen s;

    open_router("    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1 }\n");
    assert_true(sends(AT_OFFICE, &asks, &s, NULL));
    assert_true(sends(AT_GUESTS, &error, &s, NULL));
    assert_true(s.src == GUEST && s.dst == OFFICE);
    assert_true(sends(AT_OFFICE, &part, &s, NULL));
    part.fragment = 5;
    assert_true(sends(AT_OFFICE, &part, &s, NULL));
    assert_true(s.src == OFFICE);
    help_chain_counts(&h, "nat: mappings_created 0");
}

/* Everybody else sees the outside address, as before. */
CHAIN_TEST(all_else_is_translated)
{
    struct nft_spec out = HELP_PACKET(17, GUEST, 4000, REMOTE, 53, .payload = 5);
    struct nft_seen s;
    unsigned left;

    open_router("    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1 }\n");
    assert_true(sends(AT_GUESTS, &out, &s, &left));
    assert_true(s.src == OUTSIDE && left == AT_OUTSIDE);
    out.dst = NFT_IP(10, 3, 0, 9); /* private, and upstream */
    assert_true(sends(AT_GUESTS, &out, &s, &left));
    assert_true(s.src == OUTSIDE && left == AT_OUTSIDE);
    out.proto = 47;
    assert_false(sends(AT_GUESTS, &out, &s, NULL));
    help_chain_counts(&h, "nat: mappings_created 2, not_ours 0");
}
