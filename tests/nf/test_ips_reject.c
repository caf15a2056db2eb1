/* SPDX-License-Identifier: Apache-2.0 */
/* ips: whom it tells of what it has rejected, and how, held against frames that are read by other code. */
#include "tests/help/ips.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void both_ends_of_what_is_rejected_are_told(void)
{
    const struct nf_emitted *made;
    struct nft_seen seen;

    help_ips_open(IPS(), "reject tcp any any -> any any (content:\"attack\"; sid:1;)\n"
                         "reject udp any any -> any any (content:\"attack\"; sid:2;)\n");
    help_ips_begin();
    assert_true(help_ips_client(101, "att"));
    assert_false(help_ips_tcp(NF_INSIDE, NFT_ACK, 101, 501, "attack"));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(nft_see(made[i].frame, made[i].len, &seen));
        assert_null(nft_checksums(made[i].frame, made[i].len));
        assert_int_equal(made[i].port, i);
        assert_int_equal(seen.dst, NFT_IP(10, 0, 0, i + 1));
        assert_int_equal(seen.dport, i ? 80 : 4000);
        assert_int_equal(get32(made[i].frame + seen.l4 + 4), i ? 104 : 501); /* what each expects next */
        assert_int_equal(made[i].frame[seen.l4 + 13] & NFT_RST, NFT_RST);
    }
    assert_false(help_ips_udp(NF_INSIDE, "attack"));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 1);
    assert_true(nft_see(made[0].frame, made[0].len, &seen));
    assert_null(nft_checksums(made[0].frame, made[0].len));
    assert_int_equal(seen.type, 3);
    assert_int_equal(seen.dst, NFT_IP(10, 0, 0, 1));
    assert_int_equal(help_ips_counter("rejected"), 2);
}

/* Where the chain translates, each end is told under the addresses by which it knows the other one. */
static void ends_are_told_what_they_know_each_other_by(void)
{
    const struct nf_emitted *made;
    struct nft_seen seen;

    help_ips_open("    - nat: { outside: 203.0.113.1, inside: [10.0.0.0/31] }\n" IPS(),
                  "reject tcp any any -> any any (content:\"attack\"; sid:1;)\n");
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 100, 0, ""));
    assert_false(help_ips_client(101, "attack"));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 2);
    assert_true(nft_see(made[0].frame, made[0].len, &seen));
    assert_int_equal(seen.dst, NFT_IP(10, 0, 0, 1));
    assert_int_equal(seen.dport, 4000);
    assert_null(nft_checksums(made[0].frame, made[0].len));
    assert_true(nft_see(made[1].frame, made[1].len, &seen));
    assert_int_equal(seen.src, NFT_IP(203, 0, 113, 1));
    assert_int_equal(seen.dst, NFT_IP(10, 0, 0, 2));
    assert_null(nft_checksums(made[1].frame, made[1].len));
}

/* As sums of 16 bits of addresses, length, protocol and message: all ones. */
static uint32_t sum_ipv6(const uint8_t *ip, uint32_t n)
{
    uint32_t sum = n + ip[6];

    for (uint32_t i = 8; i < 40 + n; i++)
        sum += i % 2 ? ip[i] : (uint32_t)ip[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static void ends_of_ipv6_are_told(void)
{
    struct help_segment s = {
        .ipv6 = true, .from = 1, .to = 2, .sport = 7, .dport = 80, .proto = 6, .seq = 100};
    const struct nf_emitted *made;

    help_ips_open(IPS(), "reject tcp 2001:db8::/64 any -> 2001:db8::2 any (content:\"attack\"; sid:1;)\n"
                         "reject udp any any -> any any (content:\"attack\"; sid:2;)\n");
    s.flags = NFT_SYN;
    assert_true(help_ips_send(NF_INSIDE, &s));
    s = (struct help_segment){.ipv6 = true,
                              .from = 1,
                              .to = 2,
                              .sport = 7,
                              .dport = 80,
                              .proto = 6,
                              .flags = NFT_ACK,
                              .seq = 101,
                              .payload = "attack",
                              .len = 6};
    assert_false(help_ips_send(NF_INSIDE, &s));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 2);
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *ip = made[i].frame + 14;

        assert_int_equal(made[i].len, 14 + 60);
        assert_int_equal(ip[39], i + 1); /* the destination's last byte */
        assert_int_equal(ip[40 + 13] & NFT_RST, NFT_RST);
        assert_int_equal(sum_ipv6(ip, 20), 0xffff);
    }
    help_chain_has(&help_ips, "ips", "\"from\":\"[2001:db8::1]:7\",\"to\":\"[2001:db8::2]:80\"");
    s.proto = 17;
    assert_false(help_ips_send(NF_INSIDE, &s));
    assert_int_equal(nf_chain_emitted(help_ips.chain, &made), 1);
    assert_int_equal(made[0].frame[14 + 40], 1); /* unreachable, by its port */
    assert_int_equal(made[0].frame[14 + 41], 4);
    assert_int_equal(sum_ipv6(made[0].frame + 14, made[0].len - 54), 0xffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(both_ends_of_what_is_rejected_are_told),
        HELP_CASE(ends_are_told_what_they_know_each_other_by),
        HELP_CASE(ends_of_ipv6_are_told),
    };

    return cmocka_run_group_tests_name("ips_reject", tests, NULL, NULL);
}
