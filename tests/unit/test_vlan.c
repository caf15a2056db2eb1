/* SPDX-License-Identifier: Apache-2.0 */
/* VLAN tags: read, taken off and put on; and whose frames they say that those are. */
#include "nflib/chain/l3.h"
#include "nflib/chain/chain.h"
#include "tests/help/test.h"

#define PAYLOAD 46u

/* An untagged frame at `at`: two addresses, the ethertype of IPv4, and bytes that count. */
static void write_plain(uint8_t *at)
{
    for (unsigned i = 0; i < 12; i++)
        at[i] = (uint8_t)(0x50 + i);
    at[12] = 8;
    at[13] = 0;
    for (unsigned i = 0; i < PAYLOAD; i++)
        at[14 + i] = (uint8_t)i;
}

struct tagged {
    uint8_t bytes[80];
    uint32_t len;
};

/* As on the wire: pairs of ethertype and tag control, so many. */
static struct tagged with_tags(const uint16_t *words, unsigned tags)
{
    struct tagged f = {.len = 14 + 4 * tags + PAYLOAD};
    uint8_t plain[14 + PAYLOAD];

    write_plain(plain);
    memcpy(f.bytes, plain, 12);
    for (unsigned i = 0; i < 2 * tags; i++) {
        f.bytes[12 + 2 * i] = (uint8_t)(words[i] >> 8);
        f.bytes[13 + 2 * i] = (uint8_t)words[i];
    }
    memcpy(f.bytes + 12 + 4 * tags, plain + 12, 2 + PAYLOAD);
    return f;
}

TEST(tags_are_read_whatever_their_priority)
{
    static const struct {
        uint16_t words[6];
        unsigned tags;
        uint16_t outer, inner;
        uint32_t bytes;
    } cases[] = {
        {{0}, 0, 0, 0, 0},
        {{0x8100, 100}, 1, 100, 0, 4},
        {{0x88a8, 100}, 1, 100, 0, 4},
        {{0x8100, 0xf000 | 4094}, 1, 4094, 0, 4}, /* priority 7, may be dropped */
        {{0x8100, 0x6000}, 1, 0, 0, 4},           /* a priority tag */
        {{0x88a8, 200, 0x8100, 7}, 2, 200, 7, 8},
        {{0x8100, 200, 0x8100, 7}, 2, 200, 7, 8},
        {{0x8100, 0xe000, 0x8100, 0xb000}, 2, 0, 0, 8}, /* as in http-qinq.pcap */
        {{0x8100, 0, 0x8100, 7}, 2, 7, 0, 8},
        {{0x88a8, 200, 0x8100, 0}, 2, 200, 0, 8},
        {{0x88a8, 1, 0x8100, 2, 0x8100, 3}, 3, 1, 2, 8}, /* the third stays */
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tagged f = with_tags(cases[i].words, cases[i].tags);
        struct nf_vlan v;
        uint32_t bytes = 99;

        assert_true(nf_vlan_read(f.bytes, f.len, &v, &bytes));
        assert_int_equal(v.outer, cases[i].outer);
        assert_int_equal(v.inner, cases[i].inner);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

TEST(a_frame_that_ends_in_its_tags_has_none)
{
    const uint16_t words[] = {0x88a8, 200, 0x8100, 7};
    struct tagged f = with_tags(words, 2);

    for (uint32_t len = 0; len < 22; len++) {
        uint8_t end[22]; /* of its own, so that a read behind it is seen */
        struct nf_vlan v;
        uint32_t bytes;

        memcpy(end + 22 - len, f.bytes, len);
        assert_false(nf_vlan_read(end + 22 - len, len, &v, &bytes));
    }
}

TEST(what_is_put_on_is_taken_off_again)
{
    static const struct {
        struct nf_vlan vlan;
        uint16_t words[4];
    } cases[] = {
        {{100, 0, NF_TPID_8021Q}, {0x8100, 100}},
        {{4094, 0, NF_TPID_8021AD}, {0x88a8, 4094}},
        {{200, 7, NF_TPID_8021AD}, {0x88a8, 200, 0x8100, 7}},
        {{200, 7, NF_TPID_8021Q}, {0x8100, 200, 0x8100, 7}},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t room[8 + 14 + PAYLOAD], plain[14 + PAYLOAD], *at;
        uint32_t bytes = nf_vlan_bytes(&cases[i].vlan);
        struct tagged f = with_tags(cases[i].words, bytes / 4);

        write_plain(plain);
        write_plain(room + 8);
        at = nf_vlan_push(room + 8, &cases[i].vlan);
        assert_ptr_equal(at, room + 8 - bytes);
        assert_memory_equal(at, f.bytes, f.len);
        assert_ptr_equal(nf_vlan_pull(at, bytes), room + 8);
        assert_memory_equal(room + 8, plain, sizeof(plain));
    }
}

TEST(a_priority_is_the_first_bits_of_the_dscp)
{
    const uint16_t words[] = {0x88a8, 0xf0c8, 0x8100, 0xe007};
    struct tagged f = with_tags(words, 2);
    uint8_t plain[14 + PAYLOAD];

    write_plain(plain);
    plain[15] = 0xbb; /* ef */
    assert_int_equal(nf_vlan_pcp_of_dscp(plain, sizeof(plain)), 5);
    plain[12] = 0x86;
    plain[13] = 0xdd;
    plain[14] = 0x6c; /* cs6 */
    assert_int_equal(nf_vlan_pcp_of_dscp(plain, sizeof(plain)), 6);
    assert_int_equal(nf_vlan_pcp_of_dscp(plain, 15), 0);
    plain[13] = 0xde;
    assert_int_equal(nf_vlan_pcp_of_dscp(plain, sizeof(plain)), 0);
    nf_vlan_set_pcp(f.bytes, 2);
    assert_int_equal(f.bytes[14], 0x50); /* the rest of the tag stays, and so does the inner one */
    assert_int_equal(f.bytes[18], 0xe0);
    assert_int_equal(nf_vlan_pcp(f.bytes), 2);
    assert_int_equal(nf_vlan_vid(f.bytes), 200);
}

/* Ports 0: a trunk with an untagged interface; 1: plain; 2: a trunk without. */
static const struct nf_l3_config shared = {
    .ports = 6,
    .port = {{.name = "a", .device = 0, .mtu = 1500},
             {.name = "a100", .device = 0, .vlan = {100, 0, NF_TPID_8021Q}, .mtu = 1502},
             {.name = "b", .device = 1, .mtu = 1400},
             {.name = "a200.7", .device = 0, .vlan = {200, 7, NF_TPID_8021AD}, .mtu = 1496},
             {.name = "c100", .device = 2, .vlan = {100, 0, NF_TPID_8021AD}, .mtu = 1500},
             {.name = "a200", .device = 0, .vlan = {200, 0, NF_TPID_8021Q}, .mtu = 1500}},
};

static unsigned place(unsigned device, uint16_t outer, uint16_t inner, uint32_t *bytes)
{
    const uint16_t words[] = {0x8100, outer, 0x8100, inner};
    struct tagged f = with_tags(words, inner ? 2 : outer ? 1 : 0);

    return nf_l3_interface_of(&shared, device, f.bytes, f.len, bytes);
}

TEST(a_frame_is_of_the_interface_with_its_port_and_tags)
{
    uint32_t bytes;

    assert_true(nf_l3_is_trunk(&shared, 0) && !nf_l3_is_trunk(&shared, 1) && nf_l3_is_trunk(&shared, 2));
    assert_int_equal(place(0, 0, 0, &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_int_equal(place(0, 100, 0, &bytes), 1);
    assert_int_equal(bytes, 4);
    assert_int_equal(place(0, 200, 7, &bytes), 3);
    assert_int_equal(bytes, 8);
    assert_int_equal(place(0, 200, 0, &bytes), 5);
    assert_int_equal(place(0, 0x7000, 0, &bytes), 0); /* a priority alone */
    assert_int_equal(bytes, 4);
    assert_int_equal(place(2, 100, 0, &bytes), 4);
}

TEST(other_tags_are_of_no_interface)
{
    uint32_t bytes;

    assert_int_equal(place(0, 101, 0, &bytes), NF_PORTS_MAX);
    assert_int_equal(place(0, 4095, 0, &bytes), NF_PORTS_MAX);
    assert_int_equal(place(0, 100, 7, &bytes), NF_PORTS_MAX);
    assert_int_equal(place(0, 200, 8, &bytes), NF_PORTS_MAX);
    assert_int_equal(place(0, 7, 200, &bytes), NF_PORTS_MAX);
    assert_int_equal(place(2, 0, 0, &bytes), NF_PORTS_MAX); /* none there is untagged */
    assert_int_equal(place(2, 200, 7, &bytes), NF_PORTS_MAX);
}

/* A frame of 802.1Q may be 4 bytes longer than a kernel's MTU says (net/packet/af_packet.c); others may not.
 */
TEST(a_port_has_to_take_the_largest_frames_of_all_on_it)
{
    assert_int_equal(nf_l3_device_mtu(&shared, 0), 1504); /* 1496 and two tags; 1502 and one */
    assert_int_equal(nf_l3_device_mtu(&shared, 1), 1400);
    assert_int_equal(nf_l3_device_mtu(&shared, 2), 1504);
}
