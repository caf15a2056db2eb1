/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a heartbeat on a data port came, as a lane reports it: a lane that had no processor for a while finds
 * in the port's queue what came meanwhile.
 */
#include "ftcore/base/clock.h"
#include "lane/lane.h"
#include "lane/frames.h"
#include "ftcore/protocol/core.h"
#include "tests/help/test.h"

#define MS 1000000ull

static const struct ft_datagram_key peer = {.incarnation = 77};
static uint8_t frames[8][ND_HEARTBEAT_LEN];
static unsigned waiting, sent;
static uint8_t sent_to[6]; /* the last of them */
static struct ft_lane_shared shared;
static struct nf_chain_config config;

static uint32_t io_receive(void *ctx, unsigned lane, unsigned port, struct nd_frame in[], uint32_t max)
{
    uint32_t n = 0;

    for (; n < waiting && n < max; n++)
        in[n] = (struct nd_frame){.data = frames[n], .len = ND_HEARTBEAT_LEN};
    waiting = 0;
    return n;
}

static void io_drop(void *ctx, void *owner) {}

static void *io_make(void *ctx, unsigned of, const void *frame, uint32_t len)
{
    memcpy(sent_to, frame, sizeof(sent_to));
    return frames;
}

static uint32_t io_send(void *ctx, unsigned of, unsigned port, const struct ft_held held[], uint32_t n)
{
    sent += n;
    return n;
}

static struct nd_io io = {
    .ports = 1, .devices = 1, .receive = io_receive, .send = io_send, .make = io_make, .drop = io_drop};
static struct nd_lane lane = {.config = &config, .io = &io, .shared = &shared, .setup.heartbeat_ms = 10};

static void waits_in_the_queue(uint64_t sent_at)
{
    const struct ft_datagram heartbeat = {.kind = FT_HEARTBEAT, .view = 1, .sent = sent_at};

    nd_heartbeat_write(frames[waiting++], NULL, (const uint8_t[6]){6, 0, 0, 0, 0, 9}, &peer, &heartbeat);
}

/* A turn at that time that looks at the ports; the turn before did so `away` ago. When the last heartbeat
 * came, by it. */
static uint64_t came_at(uint64_t now, uint64_t away)
{
    lane.now = now;
    lane.before = now - away;
    nd_lane_listen(&lane);
    return atomic_load(&shared.report.heartbeat_ns);
}

static uint64_t came_after(uint64_t away)
{
    return came_at(ft_now(), away);
}

static int setup(void **state)
{
    waiting = 0;
    memset(&lane.timers, 0, sizeof(lane.timers)); /* it looks at few in 10 ms */
    assert_int_equal(ft_lane_init(&shared, 1 << 16, 1 << 16), 0);
    atomic_store(&shared.orders.peer_incarnation, peer.incarnation);
    waits_in_the_queue(500 * MS); /* by the clock of its sender, which is not ours */
    assert_true(came_after(0) >= lane.now);
    return 0;
}

static int teardown(void **state)
{
    ft_lane_free(&shared);
    return 0;
}

/* As if the first heartbeat had come so long ago. */
static uint64_t first_came(uint64_t ago)
{
    uint64_t at = ft_now() - ago;

    atomic_store(&shared.report.heartbeat_ns, at);
    return at;
}

TEST_WITH(what_waited_for_a_lane_came_when_its_sender_says, setup, teardown)
{
    uint64_t first = first_came(70 * MS);

    waits_in_the_queue(510 * MS);
    waits_in_the_queue(520 * MS);
    assert_int_equal(came_at(first + 70 * MS, 65 * MS), first + 20 * MS);
}

TEST_WITH(not_before_the_turn_before, setup, teardown)
{
    first_came(70 * MS);
    waits_in_the_queue(510 * MS); /* 10 ms later, it says, and the queue was empty 20 ms ago */
    uint64_t came = came_after(20 * MS);
    assert_int_equal(came, lane.before);
}

TEST_WITH(and_not_after_it_was_read, setup, teardown)
{
    first_came(70 * MS);
    waits_in_the_queue(900 * MS);
    uint64_t came = came_after(65 * MS);
    assert_true(came >= lane.now && came <= ft_now());
    waits_in_the_queue(FT_ALL);
    came = came_after(0);
    assert_true(came >= lane.now && came <= ft_now());
}

/* A link that breaks now finds a primary that has just been heard. */
TEST_WITH(the_last_of_many_that_waited_is_heard, setup, teardown)
{
    uint64_t first = first_came(90 * MS);

    for (uint64_t k = 1; k <= 8; k++)
        waits_in_the_queue((500 + 10 * k) * MS);
    assert_int_equal(came_at(first + 90 * MS, 85 * MS), first + 80 * MS);
}

TEST_WITH(of_many_at_once_few_are_looked_at, setup, teardown)
{
    first_came(70 * MS);
    for (uint64_t k = 1; k <= 8; k++)
        waits_in_the_queue(500 * MS + k);
    came_after(MS);
    assert_true(atomic_load(&shared.report.heartbeat_sent) < 500 * MS + 8);
}

/* What a lane notes of a port: the newest word of the peer's, of the right port and of another apart. */
TEST_WITH(a_port_has_what_was_heard_by_it, setup, teardown)
{
    struct ft_datagram heartbeat = {0, FT_HEARTBEAT, 1, 600 * MS, 0, 1400, {0, FT_PORT_NO_CARRIER}};
    const struct nd_port_heard *right = &lane.heard[0][0], *crossed = &lane.heard[0][1];
    uint64_t before;

    memset(lane.heard, 0, sizeof(lane.heard));
    nd_heartbeat_write(frames[waiting++], NULL, (const uint8_t[6]){6, 0, 0, 0, 0, 9}, &peer, &heartbeat);
    came_after(0);
    assert_true(right->from == peer.incarnation && right->port == 0 && right->mtu == 1400);
    assert_true(right->faults == (uint64_t)FT_PORT_NO_CARRIER << 8 && right->came >= lane.now);
    assert_true(crossed->came == 0);

    before = right->came;
    nd_heartbeat_write(frames[waiting++], NULL, (const uint8_t[6]){6, 0, 0, 0, 0, 9}, &peer,
                       &heartbeat); /* again */
    heartbeat.port = 2;
    nd_heartbeat_write(frames[waiting++], NULL, (const uint8_t[6]){6, 0, 0, 0, 0, 9}, &peer, &heartbeat);
    came_after(0);
    assert_true(right->came == before && crossed->came >= lane.now && crossed->port == 2);
}

/* Whether a turn at that time sends a heartbeat. */
static bool sends_at(uint64_t ms)
{
    unsigned before = sent;

    lane.now = ms * MS;
    nd_lane_send_heartbeats(&lane);
    return sent != before;
}

/* Every 10 ms; while it is calm a primary answers the standby's, and says one of its own half a period later
 * when none comes. Two heartbeats of the standby's soon after each other get one answer. */
TEST_WITH(while_it_is_calm_a_primary_answers_heartbeats, setup, teardown)
{
    static const struct nd_protect protect = {.pair = true};
    static _Atomic uint64_t view = 1;

    lane.protect = &protect;
    lane.setup.view = &view;
    lane.doing = FT_LANE_LIVE;
    assert_true(sends_at(100));
    atomic_store(&shared.report.heartbeat_ns, 100 * MS);
    assert_false(sends_at(109));
    assert_true(sends_at(110));
    atomic_store(&shared.orders.calm, true);
    assert_false(sends_at(120));
    atomic_store(&shared.report.heartbeat_ns, 119 * MS);
    assert_true(sends_at(120));
    atomic_store(&shared.report.heartbeat_ns, 123 * MS);
    assert_false(sends_at(124));
    assert_false(sends_at(134));
    assert_true(sends_at(135));
    lane.doing = FT_LANE_REPLAY; /* a standby has none to wait for */
    assert_false(sends_at(144));
    assert_true(sends_at(145));
}

/* In a network of many nodes none but the peer is woken by heartbeats, once its port is known. */
TEST_WITH(a_port_that_was_heard_is_sent_heartbeats_alone, setup, teardown)
{
    static const struct nd_protect protect = {.pair = true};
    static _Atomic uint64_t view = 1;
    const uint8_t peers[6] = {6, 0, 0, 0, 0, 9};
    uint64_t heard = atomic_load(&lane.heard[0][0].came) / MS;

    lane.protect = &protect;
    lane.setup.view = &view;
    assert_true(sends_at(heard + 100));
    assert_memory_equal(sent_to, peers, 6);
    assert_true(sends_at(heard + 1100)); /* not for a second */
    assert_int_equal(sent_to[0] & 1, 1);
    atomic_store(&shared.orders.peer_incarnation, peer.incarnation + 1); /* another node is the peer */
    lane.timers.heartbeat_sent = 0;
    assert_true(sends_at(heard + 200));
    assert_int_equal(sent_to[0] & 1, 1);
}

/* Nobody believes a spare's, and who hears them counts them as refused. */
TEST_WITH(who_has_met_no_peer_sends_none, setup, teardown)
{
    static const struct nd_protect protect = {.pair = true};
    static _Atomic uint64_t view = 1;

    lane.protect = &protect;
    lane.setup.view = &view;
    atomic_store(&shared.orders.peer_incarnation, 0);
    assert_false(sends_at(100));
    assert_int_equal(lane.timers.heartbeat_sent, 100 * MS); /* or the lane would never sleep */
    atomic_store(&shared.orders.peer_incarnation, peer.incarnation);
    assert_true(sends_at(110));
}
