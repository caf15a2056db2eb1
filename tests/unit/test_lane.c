/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One lane of a primary. When its hold is full: while it may release it leaves frames in the port's queue;
 * when its lease has run out it hears heartbeats that come behind them, and what waits meanwhile is worked on
 * in order. While it logs, a burst that is not full waits for more packets, and for nothing else.
 *
 * How its time is told: useful turns, empty ones, sleep. While such a test runs the lane, it is the lane's
 * clock and its port: receiving takes the time that the test says, and nothing else takes any but sleep.
 *
 * The tail of a takeover: a lane makes packets of the outputs that it has replayed and sends them as it goes.
 */
#define _GNU_SOURCE /* ppoll */
#include "lane/frames.h"
#include "ftcore/base/clock.h"
#include "ftcore/queue/lanelink.h"
#include "tests/help/config.h"
#include "tests/help/lane.h"
#include "tests/help/test.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#define FRAME 80u

static struct lane_world *const w = &lane_world;

static void data_arrives(unsigned n)
{
    while (n--)
        lane_arrives(FRAME);
}

/* All that came have left, in the order of their numbers. */
static void all_left(unsigned n)
{
    assert_int_equal(w->lefts, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(w->left[i], i);
}

static const struct ft_datagram_key peer = {.incarnation = 77};

static void heartbeat_arrives(uint64_t view)
{
    uint8_t *frame = lane_arrives(FRAME)->data;

    w->came--; /* data alone has a number */
    nd_heartbeat_write(frame, NULL, (const uint8_t[6]){6, 0, 0, 0, 0, 9}, &peer,
                       &(struct ft_datagram){0, FT_HEARTBEAT, view, view, 0, 0, {0}});
}

static uint64_t view_heard(void)
{
    return atomic_load(&w->shared->report.heartbeat_view);
}

/* Packets that the lane has executed. */
static uint64_t executed(void)
{
    return atomic_load(&w->shared->count.received);
}

static void turns(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        w->lane.now = ft_now();
        nd_lane_live(&w->lane);
    }
}

static int setup(void **state)
{
    lane_setup(state);
    atomic_store(&w->shared->orders.peer_incarnation, peer.incarnation);
    return 0;
}

#define WAITING(name) TEST_WITH(name, setup, lane_teardown)

WAITING(while_a_lane_may_release_frames_stay_with_the_port)
{
    data_arrives(400);
    heartbeat_arrives(9);
    turns(100);
    assert_true(atomic_load(&w->shared->count.hold_full) > 0);
    assert_int_equal(view_heard(), 0);
    assert_int_equal(executed(), w->first); /* none that it took waits */
    assert_int_equal(w->lefts, 0);
}

WAITING(without_a_lease_a_lane_hears_heartbeats_behind_frames)
{
    uint64_t held;

    data_arrives(280);
    turns(100);
    held = executed();
    assert_true(held < 280 && held + 128 >= 280);
    heartbeat_arrives(9);
    data_arrives(1);
    atomic_store(&w->shared->orders.lease_until, 0);
    turns(20);
    assert_int_equal(view_heard(), 9);
    assert_int_equal(executed(), held);  /* no burst was run for it */
    assert_int_equal(w->first, w->last); /* all that it took beside waits */
    assert_int_equal(atomic_load(&w->shared->count.waiting_full), 0);
    /* The standby has answered. Nothing is lost, and all in order. */
    atomic_store(&w->shared->orders.stable, FT_ALL);
    atomic_store(&w->shared->orders.lease_until, FT_ALL);
    data_arrives(1);
    turns(30);
    all_left(282);
}

WAITING(a_lane_hears_heartbeats_when_no_more_frames_can_wait)
{
    uint64_t held;

    data_arrives(600);
    heartbeat_arrives(4);
    turns(100);
    held = executed();
    atomic_store(&w->shared->orders.lease_until, 0);
    turns(30);
    assert_int_equal(view_heard(), 4);
    assert_int_equal(atomic_load(&w->shared->count.waiting_full), 600 - held - 128);
    heartbeat_arrives(5);
    w->lane.now = ft_now();
    assert_true(nd_lane_live(&w->lane));
    assert_int_equal(view_heard(), 5);
    assert_false(nd_lane_live(&w->lane)); /* nothing came: it may rest */
    /* Fenced: all of it goes. */
    nd_lane_drop_held(&w->lane);
    assert_int_equal(w->frees, LANE_FRAMES);
}

/* The lane logs and releases at once. A burst waits for so many us. */
static void gathering(uint32_t us)
{
    w->config->protect.gather_us = us;
    w->group.stream.kind = ND_STREAM_RECORDS;
    atomic_store(&w->shared->orders.logging, true);
    atomic_store(&w->shared->orders.stable, FT_ALL);
}

/* A turn at this moment, us; how many bursts were run. */
static uint64_t turn_at(uint64_t us)
{
    uint64_t before = atomic_load(&w->shared->count.bursts);

    w->lane.now = 1000000000 + us * 1000;
    nd_lane_live(&w->lane);
    return atomic_load(&w->shared->count.bursts) - before;
}

/* So many frames arrive, and a turn at that moment runs so many bursts. */
static void brings(uint64_t us, unsigned frames, uint64_t bursts)
{
    data_arrives(frames);
    assert_int_equal(turn_at(us), bursts);
}

WAITING(a_logged_burst_waits_for_more_packets_since_its_first)
{
    gathering(10);
    brings(0, 3, 0);
    brings(9, 2, 0);
    assert_int_equal(w->lefts, 0);
    assert_int_equal(turn_at(10), 1); /* ten after the first, not after the last */
    all_left(5);
    brings(11, 1, 0); /* the next burst's wait begins with its own first packet */
    assert_int_equal(turn_at(20), 0);
    assert_int_equal(turn_at(21), 1);
}

static unsigned records_sent;

static uint8_t *frame_place(void *ctx)
{
    static uint8_t frame[FT_LINK_MOST];

    return frame;
}

static void count_record(void *ctx, uint32_t bytes)
{
    records_sent += bytes > FT_LINK_OVERHEAD;
}

static const uint8_t *nothing_comes(void *ctx, uint32_t *bytes)
{
    return NULL;
}

/* Others of its frame are those that come while the port takes none. */
WAITING(by_a_port_a_burst_waits_two_us_and_its_record_leaves_at_once)
{
    static const struct nd_link_port wire = {
        .longest = 1514, .place = frame_place, .send = count_record, .receive = nothing_comes};

    gathering(10);
    assert_int_equal(nd_link_make(&w->lane.link, &wire, &help_fault), 0);
    FT_ORDER_SET(w->shared, peer_version, FT_FORMAT_NEWEST);
    FT_ORDER_SET(w->shared, carry, 1);
    FT_ORDER_SET(w->shared, port, 1);
    assert_int_equal(turn_at(0), 0); /* it finds that the port carries */
    records_sent = 0;
    brings(1, 3, 0);
    brings(2, 2, 0);
    assert_int_equal(records_sent, 0);
    assert_int_equal(turn_at(3), 1);
    assert_int_equal(records_sent, 1);
    all_left(5);
}

WAITING(a_full_burst_never_waits)
{
    gathering(1000);
    brings(0, 20, 0);
    brings(1, 30, 1);
    assert_int_equal(w->lefts, 32);
    brings(2, 14, 1); /* 18 were left, and 14 make it full */
    assert_int_equal(w->lefts, 64);
}

/* How often the lane has rung since this was asked last. */
static uint64_t rings(void)
{
    uint64_t n = 0;

    return read(w->shared->bell, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* For what it logs, and not for packets that wait for more. */
WAITING(a_lane_rings_once_for_each_rest_of_the_replicators)
{
    gathering(1000);
    w->shared->bell = eventfd(0, EFD_NONBLOCK);
    brings(0, 32, 1);
    assert_int_equal(rings(), 0);
    for (uint64_t rest = 1; rest < 4; rest++) {
        atomic_store(&w->shared->orders.rests, rest);
        brings(3 * rest, 20, 0);
        assert_int_equal(rings(), 0);
        brings(3 * rest + 1, 44, 1);
        assert_int_equal(turn_at(3 * rest + 2), 1);
        assert_int_equal(rings(), 1);
        atomic_store(&w->shared->orders.rests, 0);
    }
    close(w->shared->bell);
    w->shared->bell = -1;
}

WAITING(nothing_waits_where_nothing_is_logged_or_none_is_to_wait)
{
    gathering(1000);
    atomic_store(&w->shared->orders.logging, false);
    brings(0, 1, 1);
    gathering(0);
    brings(1, 1, 1);
    gathering(1000);
    nd_lane_follow(&w->lane, ft_order_make(FT_LANE_DRAIN, 1));
    brings(2, 1, 1);
}

WAITING(heartbeats_and_address_resolution_do_not_wait)
{
    gathering(1000);
    brings(0, 1, 0);
    heartbeat_arrives(9);
    assert_int_equal(turn_at(1), 0);
    assert_int_equal(view_heard(), 9);
    memcpy(lane_arrives(FRAME)->data + 12, "\x08\x06", 2);
    assert_int_equal(turn_at(2), 1);
    brings(3, 1, 0); /* the next burst has none */
}

static bool is_drained(void)
{
    return atomic_load(&w->shared->report.done) == ft_order_make(FT_LANE_DRAIN, 1);
}

WAITING(a_lane_is_drained_when_nothing_came_for_a_while)
{
    gathering(1000);
    turn_at(0);
    nd_lane_follow(&w->lane, ft_order_make(FT_LANE_DRAIN, 1));
    for (uint64_t us = 0; us <= 10000; us += 1000) {
        brings(us, 1, 1);
        assert_false(is_drained());
    }
    turn_at(12900);
    assert_false(is_drained());
    turn_at(13000); /* three milliseconds after the last one */
    assert_true(is_drained());
    assert_int_equal(w->lefts, 11);
}

/* The delta of its last burst may be missing still. */
WAITING(a_handover_that_is_aborted_changes_nothing_of_what_the_stream_owes)
{
    uint64_t executed;

    gathering(0);
    data_arrives(1);
    turn_at(0);
    executed = atomic_load(&w->shared->report.executed);
    assert_true(executed > 0);
    atomic_store(&w->shared->report.recorded, executed - 1);
    nd_lane_follow(&w->lane, ft_order_make(FT_LANE_DRAIN, 1));
    nd_lane_follow(&w->lane, ft_order_make(FT_LANE_LIVE, 2));
    assert_int_equal(atomic_load(&w->shared->report.executed), executed);
    assert_int_equal(atomic_load(&w->shared->report.recorded), executed - 1);
}

WAITING(a_lane_receives_nothing_while_the_standby_lags_beyond_the_budget)
{
    uint64_t budget = w->config->protect.recovery_budget_ms * 1000000ull;

    gathering(0);
    atomic_store(&w->shared->orders.lease_until, FT_ALL - 1); /* a standby is there, so not SOLO */
    data_arrives(1);
    atomic_store(&w->shared->orders.lag_ns, budget);
    assert_int_equal(turn_at(0), 1); /* so far it may */
    data_arrives(1);
    atomic_store(&w->shared->orders.lag_ns, budget + 1);
    assert_int_equal(turn_at(1), 0);
    assert_int_equal(atomic_load(&w->shared->count.lag_full), 1);
    assert_int_equal(w->last - w->first, 1);              /* the frame stays in the port's queue */
    atomic_store(&w->shared->orders.lease_until, FT_ALL); /* SOLO: outputs wait for nobody */
    assert_int_equal(turn_at(2), 1);
    atomic_store(&w->shared->orders.lease_until, FT_ALL - 1);
    w->config->protect.stores = true; /* replays nothing before it takes over */
    brings(3, 1, 1);
}

WAITING(a_fenced_lane_drops_what_it_gathered)
{
    gathering(1000);
    brings(0, 7, 0);
    nd_lane_drop_held(&w->lane);
    assert_int_equal(w->frees, LANE_FRAMES);
    brings(2000, 1, 0); /* a new burst, of one packet */
    assert_int_equal(turn_at(3000), 1);
    assert_int_equal(atomic_load(&w->shared->count.received), 1);
}

/* ---- turns --------------------------------------------------------------------------------------- */

#define US    1000ull
#define STEPS 64u

/* What passes while the lane runs, ns. A step is what one look of the lane at its port brings. */
static struct {
    bool runs;
    uint64_t now, slept, longest; /* longest: of the sleeps */
    unsigned sleeps, told;        /* and those in which the lane said that it sleeps */
    struct step {
        uint64_t ns;
        unsigned frames;
    } step[STEPS];
    unsigned steps, at;
} played;

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (!played.runs)
        return (int)syscall(SYS_clock_gettime, id, t);
    *t = (struct timespec){(time_t)(played.now / 1000000000u), (long)(played.now % 1000000000u)};
    return 0;
}

/* What a lane sleeps in. No other thread runs meanwhile. */
int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *time, const sigset_t *mask)
{
    if (!played.runs)
        return (int)syscall(SYS_ppoll, fds, n, time, mask, _NSIG / 8);
    played.now += (uint64_t)time->tv_nsec;
    played.slept += (uint64_t)time->tv_nsec;
    played.sleeps++;
    played.told += FT_REPORT_GET(w->shared, sleeps);
    if (played.longest < (uint64_t)time->tv_nsec)
        played.longest = (uint64_t)time->tv_nsec;
    return 0;
}

/* Receiving takes the time that the test says. */
static uint32_t receive_step(void *ctx, unsigned lane, unsigned port, struct nd_frame frames[], uint32_t max)
{
    if (port != 0)
        return 0;
    if (played.at == played.steps) {
        atomic_store(&w->stop, true);
        return 0;
    }
    const struct step *s = &played.step[played.at++];

    played.now += s->ns;
    data_arrives(s->frames);
    return lane_ports.receive(ctx, lane, port, frames, max);
}

static int setup_turns(void **state)
{
    static struct nd_io io;

    io = lane_ports;
    io.receive = receive_step;
    io.waits = true;
    lane_open(&io);
    memset(&played, 0, sizeof(played));
    played.now = 1000000 * US;
    w->lane.doing = FT_LANE_WAIT;
    atomic_store(&w->shared->orders.order, ft_order_make(FT_LANE_FRESH, 1));
    atomic_store(&w->shared->orders.stable, FT_ALL);
    return 0;
}

static int teardown_turns(void **state)
{
    played.runs = false;
    return lane_teardown(state);
}

static void comes(uint64_t ns, unsigned frames)
{
    played.step[played.steps++] = (struct step){ns, frames};
}

static void run(void)
{
    played.runs = true;
    nd_lane_run(&w->lane);
    played.runs = false;
}

static uint64_t spent(enum ft_spent how)
{
    return atomic_load(&w->shared->count.turns.ns[how]);
}

static uint64_t longest(void)
{
    return atomic_load(&w->shared->count.turns.longest);
}

static uint64_t longs(void)
{
    return atomic_load(&w->shared->count.turns.longs);
}

TEST(each_time_is_counted_as_its_kind)
{
    struct ft_turns turns = {.at = 0};

    ft_turns_spent(&turns, FT_SPENT_USEFUL, 500); /* nobody knows since when */
    ft_turns_spent(&turns, FT_SPENT_USEFUL, 507);
    ft_turns_spent(&turns, FT_SPENT_EMPTY, 520);
    ft_turns_spent(&turns, FT_SPENT_ASLEEP, 600);
    ft_turns_spent(&turns, FT_SPENT_USEFUL, 611);
    assert_int_equal(turns.ns[FT_SPENT_USEFUL], 18);
    assert_int_equal(turns.ns[FT_SPENT_EMPTY], 13);
    assert_int_equal(turns.ns[FT_SPENT_ASLEEP], 80);
    assert_int_equal(turns.longest, 13);
    assert_int_equal(turns.longs, 0);
}

TEST(a_long_turn_is_longer_than_a_millisecond_and_sleep_is_none)
{
    struct ft_turns turns = {.at = 1};

    ft_turns_spent(&turns, FT_SPENT_EMPTY, 1000001);
    assert_int_equal(turns.longs, 0);
    ft_turns_spent(&turns, FT_SPENT_USEFUL, 2000002);
    assert_int_equal(turns.longs, 1);
    ft_turns_spent(&turns, FT_SPENT_ASLEEP, 9000000);
    assert_int_equal(turns.longs, 1);
    assert_int_equal(turns.longest, 1000001);
}

TEST_WITH(a_lane_tells_turns_with_packets_from_those_without, setup_turns, teardown_turns)
{
    comes(3 * US, 1);
    comes(5 * US, 0);
    comes(7 * US, 2);
    comes(1100 * US, 32);
    w->lane.turn.moved = played.now - 10 * US; /* they come densely */
    run();
    assert_int_equal(w->lefts, 35);
    assert_int_equal(spent(FT_SPENT_USEFUL), 1110 * US);
    assert_int_equal(spent(FT_SPENT_EMPTY), 5 * US);
    assert_int_equal(spent(FT_SPENT_ASLEEP), 0);
    assert_int_equal(longest(), 1100 * US);
    assert_int_equal(longs(), 1);
}

TEST_WITH(sleep_is_no_turn, setup_turns, teardown_turns)
{
    for (unsigned i = 0; i < STEPS - 1; i++)
        comes(2 * US, 0);
    comes(4 * US, 1);
    run();
    assert_true(played.slept > 0);
    assert_int_equal(spent(FT_SPENT_USEFUL), 4 * US);
    assert_int_equal(spent(FT_SPENT_EMPTY), 2 * US * (STEPS - 1));
    assert_true(spent(FT_SPENT_ASLEEP) > 0 && spent(FT_SPENT_ASLEEP) <= played.slept);
    assert_int_equal(longest(), 4 * US);
    assert_true(played.longest < 1000 * US); /* it is not calm */
}

/* The second packet came soon after the first, so there may be a third; behind one alone nobody waits. */
TEST_WITH(it_stays_awake_behind_packets_that_come_densely, setup_turns, teardown_turns)
{
    comes(2 * US, 1);
    comes(2 * US, 1);
    for (unsigned i = 0; i < 40; i++)
        comes(2 * US, 0);
    run();
    assert_int_equal(played.sleeps, 0);
}

TEST_WITH(packets_far_apart_leave_it_asleep, setup_turns, teardown_turns)
{
    comes(2 * US, 1);
    comes(2 * US, 0);
    comes(2 * US, 1);
    comes(2 * US, 0);
    run();
    assert_int_equal(played.sleeps, 3); /* and the last turn, in which it is told to stop */
    assert_int_equal(played.longest, 450 * US);
    assert_int_equal(played.told, 0);
}

/* Whoever opens the gate is to wake it. */
TEST_WITH(with_outputs_held_it_says_that_it_sleeps, setup_turns, teardown_turns)
{
    atomic_store(&w->shared->orders.stable, 0);
    atomic_store(&w->shared->orders.lease_until, 0);
    comes(2 * US, 1);
    comes(2 * US, 0);
    run();
    assert_int_equal(played.sleeps, 2);
    assert_int_equal(played.told, 2);
    assert_int_equal(played.longest, 450 * US);
    assert_false(FT_REPORT_GET(w->shared, sleeps));
}

/* The gate was opened before the lane said that it sleeps, and the lease has ended: nobody wakes it. */
TEST_WITH(what_may_leave_but_for_the_lease_is_tried_again_soon, setup_turns, teardown_turns)
{
    atomic_store(&w->shared->orders.lease_until, 1);
    comes(2 * US, 1);
    comes(2 * US, 0);
    run();
    assert_int_equal(played.longest, 10 * US);
}

/* What nobody wakes it for is not to wait for heartbeats that are far apart. */
TEST_WITH(a_lane_at_rest_looks_every_5_ms, setup_turns, teardown_turns)
{
    w->lane.setup.heartbeat_ms = 1000;
    atomic_store(&w->shared->orders.calm, true);
    for (unsigned i = 0; i < STEPS; i++)
        comes(2 * US, 0);
    run();
    assert_int_equal(played.longest, 5000 * US);
}

/* Three of each: on port 0, 1 and 0, which goes; port 1 is number 0 from then on. What was dropped is in the
 * pool again, and numbers of the hold are as if it had left. */
TEST_WITH(what_waits_keeps_its_interface_or_goes_with_it, setup_turns, teardown_turns)
{
    static const uint8_t to[NF_PORTS_MAX] = {
        NF_PORTS_MAX, 0, NF_PORTS_MAX, NF_PORTS_MAX, NF_PORTS_MAX, NF_PORTS_MAX, NF_PORTS_MAX, NF_PORTS_MAX};
    struct nd_lane *lane = &w->lane;
    struct lane_frame *owner[12];
    unsigned frees;

    for (unsigned i = 0; i < 12; i++)
        owner[i] = lane_take_frame();
    frees = w->frees;
    lane->waiting.first = lane->waiting.room - 1; /* across the ring's end */
    lane->fragments.first = ND_FRAGMENTS_WAIT - 1;
    for (unsigned i = 0; i < 3; i++) {
        lane->waiting.frames[(lane->waiting.first + i) % lane->waiting.room] =
            (struct nd_frame){.port = i % 2, .owner = owner[i]};
        lane->burst.packets[i] = (struct nf_packet){.in_port = i % 2, .owner = owner[3 + i]};
        lane->fragments.waiting[(lane->fragments.first + i) % ND_FRAGMENTS_WAIT] =
            (struct nd_fragment){.frame = {.port = i % 2, .owner = owner[9 + i]}, .datagram = i + 1};
        ft_hold_put(&lane->hold,
                    &(struct ft_held){.burst = 1, .number = i + 1, .port = i % 2, .packet = owner[6 + i]});
    }
    lane->waiting.count = lane->burst.n = lane->fragments.count = 3;
    atomic_store(&lane->heard[1][0].came, 5);
    nd_lane_renumber(lane, to);
    assert_int_equal(w->frees, frees + 8);
    assert_int_equal(lane->waiting.count, 1);
    assert_ptr_equal(lane->waiting.frames[lane->waiting.first].owner, owner[1]);
    assert_int_equal(lane->waiting.frames[lane->waiting.first].port, 0);
    assert_int_equal(lane->burst.n, 1);
    assert_ptr_equal(lane->burst.packets[0].owner, owner[4]);
    assert_int_equal(lane->burst.packets[0].in_port, 0);
    assert_int_equal(lane->fragments.count, 1);
    const struct nd_fragment *fragment = &lane->fragments.waiting[lane->fragments.first];

    assert_ptr_equal(fragment->frame.owner, owner[10]);
    assert_int_equal(fragment->frame.port, 0);
    assert_int_equal(fragment->datagram, 2);
    assert_int_equal(lane->hold.in, 3);
    assert_int_equal(lane->hold.out, 2);
    assert_ptr_equal(ft_hold_at(&lane->hold, 2)->packet, owner[7]);
    assert_int_equal(ft_hold_at(&lane->hold, 2)->number, 2);
    assert_int_equal(ft_hold_at(&lane->hold, 2)->port, 0);
    assert_int_equal(atomic_load(&lane->heard[1][0].came), 0);
}

/* While it logs, a burst that is not full waits for more packets: 10 us, as the file has it by default. */
TEST_WITH(waiting_for_more_packets_is_not_useful, setup_turns, teardown_turns)
{
    w->group.stream.kind = ND_STREAM_RECORDS;
    atomic_store(&w->shared->orders.logging, true);
    comes(1 * US, 1);
    comes(4 * US, 0);
    comes(4 * US, 1);
    comes(6 * US, 0); /* the ten microseconds are over at the turn after it */
    comes(2 * US, 0);
    run();
    assert_int_equal(w->lefts, 2);
    assert_int_equal(spent(FT_SPENT_USEFUL), (1 + 4 + 2) * US);
    assert_int_equal(spent(FT_SPENT_EMPTY), (4 + 6) * US);
}

/* ---- digests ------------------------------------------------------------------------------------- */

static void turns_at(uint64_t now)
{
    w->lane.now = now;
    nd_lane_live(&w->lane);
}

/* Without a packet: a record is made to carry it. A slice is due each interval, another one each time. */
TEST_WITH(a_record_carries_the_digest_that_is_asked_for_or_due, lane_setup, lane_teardown)
{
    uint64_t slice;

    w->group.stream.kind = ND_STREAM_RECORDS;
    atomic_store(&w->shared->orders.logging, true);
    turns_at(1000 * US);
    assert_int_equal(nf_chain_state(w->lane.chain)->burst, 0);
    atomic_store(&w->shared->orders.digest, 3);
    turns_at(1001 * US);
    assert_int_equal(nf_chain_state(w->lane.chain)->burst, 1);
    assert_int_equal(atomic_load(&w->shared->report.digest_seen), 3);
    assert_int_equal(atomic_load(&w->shared->report.digest_at), 1);
    turns_at(1002 * US);
    assert_int_equal(nf_chain_state(w->lane.chain)->burst, 1);
    w->lane.verification.interval = 50 * US;
    w->lane.verification.at = 1050 * US;
    slice = w->lane.verification.next;
    turns_at(1049 * US);
    assert_int_equal(nf_chain_state(w->lane.chain)->burst, 1);
    turns_at(1050 * US);
    assert_int_equal(nf_chain_state(w->lane.chain)->burst, 2);
    assert_int_not_equal(w->lane.verification.next, slice);
    assert_int_equal(w->lane.verification.at, 1100 * US);
}

/* ---- the tail of a takeover ---------------------------------------------------------------------- */

#define TAIL 300u

static unsigned made, made_first; /* packets that the lane made of outputs; when the first left */
static unsigned buffers;          /* that there are for them */

static void *make_counted(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    struct lane_frame *f = made < buffers ? lane_take_frame() : NULL;

    if (!f)
        return NULL;
    assert_true(len >= 4 && made < TAIL);
    memcpy(&f->number, frame, 4);
    made++;
    return f;
}

static uint32_t send_counted(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    if (w->lefts == 0)
        made_first = made;
    return lane_ports.send(ctx, lane, port, held, n);
}

/* A lane that has replayed, but does not know yet of any output that it left. The gate is shut. */
static int setup_tail(void **state)
{
    static struct nd_io io;

    io = lane_ports;
    io.make = make_counted;
    io.send = send_counted;
    lane_open(&io);
    made = made_first = 0;
    buffers = TAIL;
    atomic_store(&w->shared->orders.lease_until, 0);
    for (uint32_t i = 0; i < TAIL; i++) {
        uint8_t frame[64] = {0};

        memcpy(frame, &i, 4);
        lg_replayed_put(&w->lane.replayed,
                        &(struct lg_output){.number = i + 1, .burst = 1, .len = 64, .have = 64, .port = 1},
                        frame);
    }
    return 0;
}

TEST_WITH(the_first_leaves_before_the_last_is_made, setup_tail, lane_teardown)
{
    atomic_store(&w->shared->orders.stable, FT_ALL);
    atomic_store(&w->shared->orders.lease_until, FT_ALL);
    nd_lane_emit_tail(&w->lane);
    assert_true(made_first <= NF_BURST_MAX);
    all_left(TAIL); /* also those for which the hold has no room */
    assert_int_equal(atomic_load(&w->shared->count.tail_emitted), TAIL);
    assert_int_equal(atomic_load(&w->shared->count.tail_suppressed), 0);
}

/* A strict successor, or one that took over by plan and is not on its disk. */
TEST_WITH(behind_a_shut_gate_the_tail_is_held_and_what_has_no_room_is_suppressed, setup_tail, lane_teardown)
{
    nd_lane_emit_tail(&w->lane);
    assert_int_equal(w->lefts, 0);
    assert_int_equal(ft_hold_count(&w->lane.hold), LANE_BUFFERS / 2);
    assert_int_equal(atomic_load(&w->shared->count.tail_emitted), LANE_BUFFERS / 2);
    assert_int_equal(atomic_load(&w->shared->count.tail_suppressed), TAIL - LANE_BUFFERS / 2);
}

static uint32_t tell_nothing(void *ctx, unsigned lane, struct nd_progress *progress)
{
    assert_int_equal(progress->settled, 0); /* of the tail more is to come */
    return 0;
}

static uint32_t tell_any(void *ctx, unsigned lane, struct nd_progress *progress)
{
    return 0;
}

/* Behind an input keeper nothing is suppressed: what finds no room waits, and no burst comes before it. */
TEST_WITH(behind_a_keeper_a_tail_waits_for_room, setup_tail, lane_teardown)
{
    struct nd_io *io = (struct nd_io *)(uintptr_t)w->lane.io;

    io->tell = tell_nothing;
    nd_lane_emit_tail(&w->lane);
    nd_lane_emit_tail(&w->lane); /* a turn later */
    assert_int_equal(w->lefts, 0);
    assert_int_equal(ft_hold_count(&w->lane.hold), LANE_BUFFERS / 2);
    assert_int_equal(w->lane.replayed.count, TAIL - LANE_BUFFERS / 2);
    assert_int_equal(atomic_load(&w->shared->count.tail_suppressed), 0);
    io->tell = tell_any;
    atomic_store(&w->shared->orders.stable, FT_ALL);
    atomic_store(&w->shared->orders.lease_until, FT_ALL);
    for (unsigned i = 0; i < 10; i++)
        nd_lane_live(&w->lane);
    all_left(TAIL);
    assert_int_equal(atomic_load(&w->shared->count.tail_suppressed), 0);
    io->tell = NULL;
}

/* Inputs have the buffers, and give them back when others have left. */
TEST_WITH(behind_a_keeper_a_tail_waits_for_buffers, setup_tail, lane_teardown)
{
    struct nd_io *io = (struct nd_io *)(uintptr_t)w->lane.io;

    io->tell = tell_any;
    io->frame_max = 64;
    atomic_store(&w->shared->orders.stable, FT_ALL);
    atomic_store(&w->shared->orders.lease_until, FT_ALL);
    for (buffers = 0; buffers < TAIL; buffers += 50) {
        nd_lane_emit_tail(&w->lane);
        all_left(buffers);
        assert_int_equal(w->lane.replayed.count, TAIL - buffers);
    }
    nd_lane_emit_tail(&w->lane);
    all_left(TAIL);
    assert_int_equal(atomic_load(&w->shared->count.tail_suppressed), 0);
    io->tell = NULL;
}

/* What it had released of the state that it had when it was primary before says nothing of this one's. */
TEST_WITH(a_lane_that_takes_over_has_not_released_its_tail, setup_tail, lane_teardown)
{
    atomic_store(&w->shared->report.released, 5000);
    atomic_store(&w->shared->orders.order, ft_order_make(FT_LANE_LIVE, 2));
    w->lane.doing = FT_LANE_REPLAY;
    nd_lane_follow(&w->lane, ft_order_make(FT_LANE_LIVE, 2));
    assert_int_equal(w->lane.doing, FT_LANE_LIVE);
    assert_int_equal(atomic_load(&w->shared->report.released), 0);
}

TESTS_SHARE(NULL, help_config_clean)
