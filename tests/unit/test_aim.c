/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A replicator says who its peer is and where it is reached: at its start, and when an operator names another
 * place for it. Whoever sends to the peer by a way of its own, as the guardian does, has it from there.
 */
#include "tests/help/test.h"
#include "ftcore/base/clock.h"
#include "replicator/replicator.h"
#include "tests/help/program.h"

static struct rp_node peer;
static unsigned times;

static void note(void *arg, const struct rp_node *node)
{
    peer = *node;
    times++;
}

TEST(whoever_asks_is_told_where_the_peer_is_reached)
{
    static const uint64_t size = 4096;
    static const struct ft_region_config rc = {
        .name = "test", .lanes = 1, .nfs = 1, .arena_size = &size, .shared_size = FT_ARENA_MIN};
    static struct ft_lane_shared lane;
    char view_file[64];
    struct rp_config config = {
        .core = {.name = "left",
                 .lanes = 1,
                 .role = 1,
                 .members = {.name = {"left", "right"}},
                 .heartbeat_ms = 10,
                 .lease_ms = 20,
                 .detect_ms = 50,
                 .promote_within_ms = 100,
                 .solo_after_ms = 200},
        .link = {.local_host = "127.0.0.1",
                 .local_port = help_free_port("127.0.0.1"),
                 .peer_host = "127.0.0.2",
                 .peer_port = 4700,
                 .listens = true,
                 .name = "left",
                 .nodes = 2,
                 .node = {{"right", "127.0.0.2", 4700}, {"third", "127.0.0.3", 4700}},
                 .seal = {.peer_name = "right"},
                 .retry_ms = 20},
        .lanes = &lane,
        .pending_bytes = 64u << 20,
        .resync_mbps = 1000,
        .protect = true,
        .view_file = view_file,
        .aimed = note,
    };
    const struct rp_repair moved = {.node = {"right", "127.0.0.9", 4711}},
                           other = {.node = {"third", "127.0.0.8", 4712}};
    struct rp_replicator *rp = NULL;

    snprintf(view_file, sizeof(view_file), "/tmp/aim-%d.view", getpid());
    help_done(ft_region_open(&config.region, &rc, &help_fault) ||
              ft_lane_init(&lane, 4 * FT_RECORD_MAX, 4096) || rp_open(&rp, &config, &help_fault));
    assert_int_equal(times, 1);
    assert_string_equal(peer.name, "right");
    assert_string_equal(peer.host, "127.0.0.2");
    assert_int_equal(peer.port, 4700);

    assert_true(rp_repair(rp, &moved));
    rp_turn(rp, ft_now());
    assert_int_equal(times, 2);
    assert_string_equal(peer.name, "right");
    assert_string_equal(peer.host, "127.0.0.9");
    assert_int_equal(peer.port, 4711);

    assert_true(rp_repair(rp, &other)); /* which is not the peer */
    rp_turn(rp, ft_now());
    assert_int_equal(times, 2);

    rp_close(rp);
    ft_lane_free(&lane);
    ft_region_close(config.region);
    unlink(view_file);
}
