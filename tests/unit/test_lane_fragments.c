/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fragments as a lane takes them from its port: those that come before the first one of their datagram leave
 * behind it, in the order in which they came; alone when it does not come in 100 ms, when 64 others wait, or
 * when the lane drains; and no buffer is lost.
 */
#include "tests/help/config.h"
#include "tests/help/lane.h"
#include "tests/help/frame.h"
#include "tests/help/test.h"

#define FRAME 128u
#define MS    1000000ull

static struct lane_world *const w = &lane_world;

/* ---- what arrives: numbered from 0 on ------------------------------------------------------------ */

static void arrive(const struct nft_spec *spec)
{
    struct lane_frame *f = lane_arrives(0);

    f->len = nft_frame(spec, f->data);
}

/* Of IPv4's datagram `id`; `offset` in 8 bytes, with NFT_MORE. */
static void fragment(uint16_t id, uint16_t offset)
{
    arrive(&HELP_PACKET(17, NFT_IP(10, 0, 0, 1), 5, NFT_IP(10, 0, 0, 2), 6, .ip_id = id, .fragment = offset,
                        .payload = 64));
}

static void whole(uint16_t id)
{
    fragment(id, 0);
}

/* Of IPv6's: behind eight bytes of options for the destination if `options`. RFC 8200, 4.5 and 4.6. */
static void fragment_ipv6(uint8_t id, uint8_t offset, bool more, bool options)
{
    uint8_t *frame = lane_arrives(FRAME)->data, *ip = frame + 14, *next = ip + 40;

    memcpy(frame + 12, "\x86\xdd\x60", 3);
    ip[5] = FRAME - 54;
    ip[6] = options ? 60 : 44;
    ip[7] = 64;
    ip[8] = ip[24] = 0x20;
    ip[23] = 1;
    ip[39] = 2;
    if (options) {
        memcpy(next, "\x2c\x00\x01\x04\0\0\0\0", 8); /* then a fragment header; four bytes of padding */
        next += 8;
    }
    next[0] = 17;
    next[3] = (uint8_t)(offset << 3 | more);
    next[7] = id;
}

/* ---- the lane ------------------------------------------------------------------------------------ */

/* Turns at this moment, ms, until nothing more happens. */
static void at(uint64_t ms)
{
    w->lane.now = 1000 * MS + ms * MS;
    for (unsigned i = 0; i < 8; i++)
        nd_lane_live(&w->lane);
}

static uint64_t alone(void)
{
    return atomic_load(&w->shared->count.fragments_without_first);
}

/* The numbers of all that have left by the turns at that moment, ms. */
static void left(uint64_t ms, const uint32_t *numbers, unsigned n)
{
    at(ms);
    assert_int_equal(w->lefts, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(w->left[i], numbers[i]);
}

#define LEFT(ms, ...)                                                                                        \
    left(ms, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static int setup(void **state)
{
    lane_setup(state);
    atomic_store(&w->shared->orders.stable, FT_ALL);
    return 0;
}

/* ---- the tests ----------------------------------------------------------------------------------- */

TEST_WITH(later_fragments_follow_their_first_one, setup, lane_teardown)
{
    fragment(1, 16);
    fragment(1, 8 | NFT_MORE);
    LEFT(0);
    whole(2); /* all else passes meanwhile */
    LEFT(50, 2);
    fragment(1, NFT_MORE);
    LEFT(99, 2, 3, 0, 1);
    fragment(1, 24); /* one that comes behind */
    LEFT(99, 2, 3, 0, 1, 4);
    assert_int_equal(alone(), 0);
    assert_int_equal(w->frees, LANE_FRAMES);
}

TEST_WITH(all_in_one_burst, setup, lane_teardown)
{
    fragment(1, 16);
    fragment(1, 8 | NFT_MORE);
    fragment(1, NFT_MORE);
    LEFT(0, 2, 0, 1);
}

TEST_WITH(fragments_in_order_wait_for_nothing, setup, lane_teardown)
{
    for (uint16_t id = 0; id < 4; id++)
        fragment(id, NFT_MORE);
    for (uint16_t id = 0; id < 4; id++)
        fragment(id, 8);
    LEFT(0, 0, 1, 2, 3, 4, 5, 6, 7);
}

TEST_WITH(of_ipv6_too, setup, lane_teardown)
{
    fragment_ipv6(1, 1, false, false);
    fragment_ipv6(2, 1, false, true);
    fragment_ipv6(1, 0, true, false);
    LEFT(0, 2, 0);
    fragment_ipv6(2, 0, true, true);
    LEFT(0, 2, 0, 3, 1);
}

TEST_WITH(with_a_vlan_tag_too, setup, lane_teardown)
{
    struct nft_spec s = {.src = 1, .dst = 2, .proto = 17, .tags = 1, .payload = 64, .fragment = 8};

    arrive(&s);
    LEFT(0);
    s.fragment = NFT_MORE;
    arrive(&s);
    LEFT(0, 1, 0);
}

/* What is looked at more closely: no whole packet, and no ARP, behind how many tags ever. */
TEST(only_what_may_be_one_is_parsed)
{
    static const uint16_t offsets[] = {0, NFT_MORE, 8};
    struct nft_spec s = {.src = 1, .dst = 2, .proto = 17, .payload = 64};
    uint8_t data[NFT_FRAME_MAX];
    struct nd_frame f = {.data = data};

    for (s.tags = 0; s.tags <= 2; s.tags++) {
        uint8_t *type = data + 12 + 4 * s.tags;

        for (unsigned i = 0; i < 3; i++) {
            s.fragment = offsets[i];
            f.len = nft_frame(&s, data);
            assert_int_equal(nd_fragment_is_possible(&f), i != 0);
        }
        memcpy(type, "\x08\x06", 2);
        assert_false(nd_fragment_is_possible(&f));
        memcpy(type, "\x86\xdd", 2);
        type[8] = 17;
        assert_false(nd_fragment_is_possible(&f));
        type[8] = 44;
        assert_true(nd_fragment_is_possible(&f));
    }
    memcpy(data + 12, "\x81\0\0\1\x81\0", 6);
    for (f.len = 14; f.len <= 18; f.len++) /* ends in its tags */
        assert_false(nd_fragment_is_possible(&f));
}

/* Another identification, protocol or address is another datagram. */
TEST_WITH(only_those_of_the_datagram_go, setup, lane_teardown)
{
    struct nft_spec s = {.src = 1, .dst = 2, .proto = 17, .ip_id = 3, .payload = 64, .fragment = 8}, other;

    arrive(&s);
    s.fragment = NFT_MORE;
    other = s, other.ip_id = 4, arrive(&other);
    other = s, other.proto = 6, arrive(&other);
    other = s, other.src = 7, arrive(&other);
    other = s, other.dst = 7, arrive(&other);
    LEFT(0, 1, 2, 3, 4);
    arrive(&s);
    LEFT(0, 1, 2, 3, 4, 5, 0);
}

TEST_WITH(after_100_ms_they_go_on_alone, setup, lane_teardown)
{
    fragment(1, 8);
    at(0);
    fragment(2, 8);
    at(40);
    LEFT(99);
    LEFT(100, 0);
    assert_int_equal(alone(), 1);
    fragment(2, NFT_MORE);
    LEFT(139, 0, 2, 1);
    at(1000);
    assert_int_equal(alone(), 1);
    fragment(1, NFT_MORE); /* too late: it passes by itself */
    LEFT(1000, 0, 2, 1, 3);
}

TEST_WITH(when_64_wait_the_oldest_goes_on_alone, setup, lane_teardown)
{
    for (uint16_t id = 0; id < 64; id++)
        fragment(id, 8);
    LEFT(0);
    fragment(64, 8);
    fragment(65, 8);
    LEFT(1, 0, 1);
    assert_int_equal(alone(), 2);
    fragment(30, NFT_MORE);
    LEFT(1, 0, 1, 66, 30);
    fragment(66, 8); /* there is room again */
    LEFT(1, 0, 1, 66, 30);
    at(200);
    assert_int_equal(w->lefts, 68);
    for (unsigned i = 4; i < 67; i++) /* the others in order, but for 30 */
        assert_int_equal(w->left[i], i - 2 + (i - 2 >= 30));
    assert_int_equal(alone(), 66);
    assert_int_equal(w->frees, LANE_FRAMES);
}

/* More than a burst has room for. */
TEST_WITH(a_first_one_sets_64_free, setup, lane_teardown)
{
    for (uint16_t i = 0; i < 64; i++)
        fragment(1, (uint16_t)(8 + i));
    at(0);
    fragment(1, NFT_MORE);
    at(1);
    assert_int_equal(w->lefts, 65);
    assert_int_equal(w->left[0], 64);
    for (unsigned i = 1; i < 65; i++)
        assert_int_equal(w->left[i], i - 1);
    assert_int_equal(alone(), 0);
}

TEST_WITH(a_lane_that_drains_keeps_none, setup, lane_teardown)
{
    fragment(1, 8);
    LEFT(0);
    nd_lane_follow(&w->lane, ft_order_make(FT_LANE_DRAIN, 1));
    LEFT(1, 0);
    fragment(2, 8);
    LEFT(2, 0, 1);
    at(5);
    assert_true(atomic_load(&w->shared->report.done) == ft_order_make(FT_LANE_DRAIN, 1));
}

TEST_WITH(a_fenced_lane_gives_buffers_back, setup, lane_teardown)
{
    for (uint16_t id = 0; id < 10; id++)
        fragment(id, 8);
    at(0);
    assert_int_equal(w->frees, LANE_FRAMES - 10);
    nd_lane_drop_held(&w->lane);
    assert_int_equal(w->frees, LANE_FRAMES);
    LEFT(200);
}

/* Its hold is full and its lease has ended: what comes waits, and fragments do behind their first one. */
TEST_WITH(without_a_lease_they_wait_in_order_too, setup, lane_teardown)
{
    unsigned held;

    atomic_store(&w->shared->orders.stable, 0);
    for (uint16_t id = 0; id < 280; id++)
        whole(id);
    at(0);
    at(1);
    at(2);
    held = (unsigned)atomic_load(&w->shared->count.received);
    atomic_store(&w->shared->orders.lease_until, 0);
    fragment(1, 8);
    fragment(1, NFT_MORE);
    at(3);
    assert_int_equal(atomic_load(&w->shared->count.received), held);
    assert_int_equal(w->first, w->last);
    atomic_store(&w->shared->orders.stable, FT_ALL);
    atomic_store(&w->shared->orders.lease_until, FT_ALL);
    at(4);
    at(5);
    assert_int_equal(w->lefts, 282);
    assert_int_equal(w->left[280], 281);
    assert_int_equal(w->left[281], 280);
}

TESTS_SHARE(NULL, help_config_clean)
