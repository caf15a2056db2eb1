/* SPDX-License-Identifier: Apache-2.0 */
/* What a file says reaches rings, replicator, core and region; both nodes of a pair compute the same from it.
 */
#include "tests/help/test.h"
#include "understudy/config/setup.h"
#include "tests/help/config.h"

static struct nd_config *read_pair(const char *protect, const char *timing)
{
    return help_config_of(help_print("chain: { name: pair, lanes: 2, nfs: [bare] }\n%s%s", protect, timing),
                          0);
}

TEST(room_for_records_is_the_files_or_the_standbys)
{
    static const struct {
        const char *protect;
        uint32_t mb;
    } cases[] = {{"protect: { standby: hot }\n", 64},
                 {"protect: { standby: warm }\n", 256},
                 {"protect: { standby: warm, pending_mb: 64 }\n", 64},
                 {"protect: { standby: hot, pending_mb: 256 }\n", 256}};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nd_config *c = read_pair(cases[i].protect, "");

        assert_int_equal(c->protect.pending_mb, cases[i].mb);
    }
}

TEST(core_has_the_files_rules_and_times)
{
    struct nd_config *c =
        read_pair("protect: { mode: delta, standby: warm, strict: true, pending_mb: 3 }\n",
                  "timing: { heartbeat_ms: 5, lease_ms: 31, detect_ms: 52, promote_within_ms: 103, "
                  "solo_after_ms: 204, resync_deadline_ms: 7005, resync_mbps: 206, start_alone_ms: 3007 }\n");
    static char identity[FT_IDENTITY_MAX];
    struct rp_config rp = {.core = {.name = "b", .role = 1, .incarnation = 77}};

    nd_setup_replicator(&rp, c, &c->timing, identity);
    assert_int_equal(rp.core.lanes, 2);
    assert_true(rp.core.strict);
    assert_true(rp.core.warm);
    assert_true(rp.protect);
    assert_int_equal(rp.core.heartbeat_ms, 5);
    assert_int_equal(rp.core.lease_ms, 31);
    assert_int_equal(rp.core.detect_ms, 52);
    assert_int_equal(rp.core.promote_within_ms, 103);
    assert_int_equal(rp.core.solo_after_ms, 204);
    assert_int_equal(rp.core.resync_deadline_ms, 7005);
    assert_int_equal(rp.core.start_alone_ms, 3007);
    assert_int_equal(rp.resync_mbps, 206);
    assert_int_equal(rp.pending_bytes, 3 << 20);
    /* A handover is aborted after 1 s, says the architecture. */
    assert_int_equal(rp.core.drain_ms, 1000);
    /* What is of one node stays as it was. */
    assert_string_equal(rp.core.name, "b");
    assert_int_equal(rp.core.role, 1);
    assert_int_equal(rp.core.incarnation, 77);
}

TEST(off_and_hot_are_not_protect_and_warm)
{
    struct nd_config *c = read_pair("protect: { mode: off }\n", "");
    static char identity[FT_IDENTITY_MAX];
    struct rp_config rp = {.protect = true, .core = {.warm = true, .strict = true}};

    nd_setup_replicator(&rp, c, &c->timing, identity);
    assert_false(rp.protect);
    assert_false(rp.core.warm);
    assert_false(rp.core.strict);
}

/* Two files may differ in their times, and the nodes still fit; not in the credit or the chain. */
TEST(identity_is_chain_and_credit)
{
    static char a[FT_IDENTITY_MAX], b[FT_IDENTITY_MAX];
    struct nd_config *one = read_pair("protect: { pending_mb: 64 }\n", "timing: { detect_ms: 50 }\n"),
                     *times = read_pair("protect: { pending_mb: 64 }\n", "timing: { detect_ms: 90 }\n"),
                     *credit = read_pair("protect: { pending_mb: 65 }\n", "timing: { detect_ms: 50 }\n");
    struct rp_config rp = {0};
    uint32_t len;

    nd_setup_replicator(&rp, one, &one->timing, a);
    len = rp.core.identity_len;
    assert_ptr_equal(rp.core.identity, a);
    nd_setup_replicator(&rp, times, &times->timing, b);
    assert_int_equal(rp.core.identity_len, len);
    assert_memory_equal(a, b, len);
    nd_setup_replicator(&rp, credit, &credit->timing, b);
    assert_int_equal(rp.core.identity_len, len);
    assert_memory_not_equal(a, b, len);
    assert_memory_equal(b, "pending_mb=65\n", 14);
}

/* A replay ring takes all of the credit, and the largest record that goes beyond it. */
TEST(replay_ring_has_room_above_the_credit)
{
    static struct ft_lane_shared lane;
    uint64_t credit = 1 << 20, taken = 0, step = 64 << 10;

    assert_int_equal(nd_setup_rings(&lane, 4096, credit, false, &help_fault), 0);
    for (; ft_ring_reserve(&lane.replay, step); taken += step)
        ft_ring_publish(&lane.replay, step);
    assert_true(taken >= credit + FT_RECORD_MAX);
    ft_lane_free(&lane);
    assert_int_equal(nd_setup_rings(&lane, 1ull << 60, credit, false, &help_fault), FT_ENOMEM);
    assert_string_equal(help_fault.text, "no memory for rings of 1099511627776 + 1 MB");
}

/* A ring's memory is a power of two, and all of it is used in turn: a little more would be twice as much. */
TEST(rings_are_as_large_as_the_file_says)
{
    static const unsigned sizes[] = {8, 64, 256};
    static char identity[FT_IDENTITY_MAX];
    static struct ft_lane_shared lane;
    struct rp_config rp = {0};
    struct nd_config *c = read_pair("", "");

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        c->protect.pending_mb = sizes[i];
        nd_setup_replicator(&rp, c, &c->timing, identity);
        assert_int_equal(nd_setup_rings(&lane, 4096, (uint64_t)sizes[i] << 20, true, &help_fault), 0);
        assert_int_equal(lane.replay.capacity, (uint64_t)sizes[i] << 20);
        assert_int_equal(lane.checkpoint.capacity, (uint64_t)sizes[i] << 20);
        assert_true(rp.pending_bytes + 2 * FT_RECORD_MAX <= lane.replay.capacity);
        ft_lane_free(&lane);
    }
}

/* The state is laid out alike wherever the chain runs: what only one side is given does not move it. */
TEST(regions_of_a_chain_are_alike)
{
    struct nd_config *c = read_pair("", "");
    const struct ft_region_config here = {.name = "here"}, there = {.name = "there", .huge = true};
    struct ft_region *region;
    struct ft_arena was;
    uint64_t size;

    assert_int_equal(nf_chain_region(&region, &c->chain, &here, NULL), 0);
    assert_int_equal(region->lanes, 2);
    assert_int_equal(region->nfs, 2);
    assert_string_equal(region->nf_name[0], "lane");
    assert_string_equal(region->nf_name[1], "bare");
    was = *ft_region_shared(region);
    assert_int_equal(was.size, FT_SHARED_DEFAULT);
    size = region->size;
    ft_region_close(region);
    assert_int_equal(nf_chain_region(&region, &c->chain, &there, NULL), 0);
    assert_int_equal(region->size, size);
    assert_int_equal(ft_region_shared(region)->offset, was.offset);
    assert_int_equal(ft_region_shared(region)->size, was.size);
    ft_region_close(region);
}

TESTS_SHARE(NULL, help_config_clean)
