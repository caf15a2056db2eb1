/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quarantine: a lane that takes over from one that crashed drops the frame that killed it, and no other,
 * for as long and as often as the file says; by the datagram that the crash made.
 */
#include "understudy/crash/quarantine.c"
#include "tests/help/lane.h"
#include "tests/help/frame.h"
#include "ftcore/base/clock.h"
#include "tests/help/config.h"
#include "tests/help/test.h"

#include <sys/wait.h>

#define SECONDS 300u
#define MOST    5u

#define CRASH_TEST(name) TEST_WITH(name, NULL, crash_end)

static struct nd_quarantine *q;
/* What the first death said, and the next one. */
static struct ft_crash_notice notice, second;

/* The same frame as the one that came as number `frame`, from 0. */
static void arrives_again(unsigned frame)
{
    memcpy(lane_arrives(CRASH_BYTES)->data, lane_world.pool[frame].data, CRASH_BYTES);
}

static void (*streams)(void) = crash_logs;
static bool whole; /* the chain reads payload */

static uint64_t seen(void)
{
    return nf_chain_nf(lane_world.lane.chain, 2)->counters[0];
}

static uint64_t quarantined(void)
{
    return atomic_load(&lane_world.shared->count.quarantined);
}

/* The chain has seen so many packets, and so many were dropped before it, since the lane began. */
static void saw(uint64_t packets, uint64_t dropped)
{
    assert_int_equal(seen(), packets);
    assert_int_equal(quarantined(), dropped);
}

/* One burst of frames to these ports. */
#define BURST(...) burst((const uint16_t[]){__VA_ARGS__}, sizeof((const uint16_t[]){__VA_ARGS__}) / 2)

static void burst(const uint16_t ports[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        crash_arrives(ports[i]);
    crash_turns(1);
}

static void die(void)
{
    BURST(CRASH_HARM, CRASH_PORT, CRASH_HARM); /* one behind it: there is no doubt */
}

static void notice_of(void (*death)(void), struct ft_crash_notice *out)
{
    assert_true(WIFSIGNALED(crash_run(death)));
    assert_int_equal(
        ft_crash_notice_decode(crash_world.page->notice, crash_world.page->notice_len, &crash_key, out), 0);
    memset(&crash_world.page->told, 0, sizeof(crash_world.page->told)); /* for the next one */
    atomic_store(&crash_world.page->notice_len, 0);
}

static void begin_lane(void)
{
    crash_begin(NULL);
    streams();
    lane_world.lane.whole_capture = whole;
    q = &crash_world.page->quarantine;
}

/* The node before this one died of frame 1; this one has heard what it said. */
static void begin(void)
{
    begin_lane();
    notice_of(die, &notice);
}

/* And drops it, as the file says. */
static void begin_dropping(void)
{
    begin();
    assert_true(begin_quarantine(q, &notice, ft_now(), SECONDS, MOST));
}

CRASH_TEST(only_the_frame_that_killed_is_dropped)
{
    begin_dropping();
    crash_arrives(CRASH_HARM);
    crash_arrives(CRASH_PORT); /* made by the same calls, so it is the same frame */
    crash_arrives(CRASH_HARM);
    arrives_again(1);
    crash_turns(1);
    saw(2, 2);
    assert_int_equal(atomic_load(&q->dropped), 2);
    assert_true(atomic_load(&q->whole[0]) && atomic_load(&q->whole[1]) && !atomic_load(&q->whole[2]));
    assert_int_equal(q->frame[0].wire, CRASH_BYTES);
    assert_memory_equal(q->frame[0].bytes, lane_world.pool[1].data, CRASH_BYTES);
}

/* TCP sends again after ever longer times, so each such frame has the time begin anew. */
CRASH_TEST(it_lasts_as_long_as_the_frame_comes)
{
    uint64_t first;

    begin();
    begin_quarantine(q, &notice, ft_now() - (SECONDS - 1) * 1000000000ull, SECONDS, MOST);
    first = atomic_load(&q->until);
    BURST(CRASH_HARM);
    assert_true(atomic_load(&q->until) == first);
    BURST(CRASH_PORT);
    assert_true(atomic_load(&q->until) >= first + (SECONDS - 2) * 1000000000ull);
}

/* As with a log, though nothing is recorded. */
CRASH_TEST(by_deltas_it_is_dropped_as_well)
{
    streams = crash_deltas;
    only_the_frame_that_killed_is_dropped(state);
    crash_end(NULL);
    whole = true;
    only_the_frame_that_killed_is_dropped(state);
    streams = crash_logs;
    whole = false;
}

/* What the log has of a burst is what is left of it. */
CRASH_TEST(what_is_dropped_is_not_captured)
{
    const struct ft_record *r;

    begin_dropping();
    BURST(CRASH_HARM, CRASH_PORT);
    r = nd_crash_record(lane_world.shared, 1);
    assert_non_null(r);
    assert_int_equal(r->inputs, 1);
}

/* ---- behind an input keeper ----------------------------------------------------------------------- */

static bool fed; /* what came is its next burst */

static uint32_t receive_nothing(void *ctx, unsigned lane, unsigned device, struct nd_frame frames[],
                                uint32_t max)
{
    return 0;
}

static bool give_burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                       uint64_t *time)
{
    if (!fed)
        return false;
    fed = false;
    *n = lane_ports.receive(ctx, lane, 0, frames, NF_BURST_MAX);
    *time = nf_chain_state(lane_world.lane.chain)->time + 1000;
    return true;
}

static void feed(void)
{
    static struct nd_io keeper;

    keeper = lane_ports;
    keeper.receive = receive_nothing;
    keeper.burst = give_burst;
    lane_world.lane.io = &keeper;
    fed = true;
    crash_turns(1);
}

/* What is dropped of a burst that somebody else has numbered is no gap in the numbers: the record says which
 * it is, and outputs know the inputs that they came from. */
CRASH_TEST(what_a_keeper_has_numbered_keeps_its_number)
{
    const struct ft_record *r;

    begin_dropping();
    crash_arrives(CRASH_HARM);
    crash_arrives(CRASH_PORT);
    crash_arrives(CRASH_HARM);
    atomic_store(&lane_world.shared->orders.stable, 0);
    feed();
    saw(2, 1);
    assert_int_equal(nf_chain_state(lane_world.lane.chain)->seq, 4);
    assert_int_equal(ft_hold_count(&lane_world.lane.hold), 2);
    assert_int_equal(ft_hold_at(&lane_world.lane.hold, lane_world.lane.hold.out)->seq, 1);
    assert_int_equal(ft_hold_at(&lane_world.lane.hold, lane_world.lane.hold.out + 1)->seq, 3);
    r = nd_crash_record(lane_world.shared, 1);
    assert_non_null(r);
    assert_int_equal(r->inputs, 3);
    assert_int_equal(ft_record_inputs(r)[0].flags | ft_record_inputs(r)[2].flags, 0);
    assert_int_equal(ft_record_inputs(r)[1].flags, FT_IN_ASIDE);
    assert_int_equal(ft_record_inputs(r)[1].taken, 0);
    assert_int_equal(ft_record_inputs(r)[1].wire, CRASH_BYTES);
    assert_int_equal(q->frame[0].burst, 1);
    assert_int_equal(q->frame[0].seq, 2);
}

CRASH_TEST(without_one_the_frame_kills_again)
{
    begin();
    assert_false(begin_quarantine(q, &notice, ft_now(), 0, MOST));
    assert_true(WIFSIGNALED(crash_run(die)));
}

static void die_of_another(void)
{
    BURST(CRASH_HARM, CRASH_HARM, CRASH_PORT + 4, CRASH_HARM);
}

static void die_of_the_last(void)
{
    BURST(CRASH_HARM, CRASH_HARM, CRASH_PORT + 4);
}

static void die_of_nobody_knows_which(void)
{
    for (unsigned i = 0; i < NF_BURST_MAX; i++)
        crash_arrives(i == 20 ? CRASH_PORT + 27 : CRASH_HARM);
    crash_turns(1);
}

/* The same NF: both frames are the successor's to know. */
CRASH_TEST(a_second_crash_in_the_same_nf_adds_to_it)
{
    begin_dropping();
    notice_of(die_of_another, &second);
    assert_int_equal(second.fingerprints, 2);
    assert_memory_equal(&second.fingerprint[1], &notice.fingerprint[0], sizeof(notice.fingerprint[0]));
    assert_string_equal(second.before, "crasher");
    assert_true(begin_quarantine(q, &second, ft_now(), SECONDS, MOST));
}

/* It killed again, where nobody kept it: there is one place for it, and the others stay. */
CRASH_TEST(the_same_frame_takes_one_place)
{
    begin_dropping();
    q->fingerprint[1] = (struct ft_fingerprint){.content = 77};
    atomic_store(&q->count, 2);
    atomic_store(&q->asked, 0);
    notice_of(die, &second);
    assert_int_equal(second.fingerprints, 2);
    assert_memory_equal(&second.fingerprint[0], &notice.fingerprint[0], sizeof(notice.fingerprint[0]));
    assert_int_equal(second.fingerprint[1].content, 77);
}

static struct {
    uint8_t bytes[14 + 40 + 400];
    uint32_t len;
} segment;

/* Bytes `from` … `to` - 1 of what a client says on its connection from that port, where they have sequence
 * numbers from port * 1000 on. */
static void say(uint16_t port, uint32_t from, uint32_t to)
{
    uint8_t *ip = segment.bytes + 14, *tcp = ip + 20;
    uint32_t seq = htobe32(port * 1000u + from);

    memset(&segment, 0, sizeof(segment));
    segment.len = 54 + to - from;
    segment.bytes[12] = 8;
    ip[0] = 0x45, ip[8] = 64, ip[9] = 6, ip[12] = 10, ip[15] = 9, ip[16] = 192, ip[19] = 1;
    tcp[0] = (uint8_t)(port >> 8), tcp[1] = (uint8_t)port, tcp[3] = 80, tcp[12] = 0x50, tcp[13] = 0x18;
    memcpy(tcp + 4, &seq, 4);
    for (uint32_t i = from; i < to; i++)
        tcp[20 + i - from] = (uint8_t)(i * 7 + i / 100);
    help_seal_ipv4(ip, 20 + to - from);
}

static enum nd_verdict look_at(uint16_t port, uint32_t from, uint32_t to)
{
    struct nd_suspects suspects = nd_quarantine_suspects(q);
    uint64_t bits;

    say(port, from, to);
    return suspects.look(
        suspects.of, &(struct nd_suspect){.frame = segment.bytes, .taken = segment.len, .wire = segment.len},
        false, &bits);
}

/* A client's two requests at once, each a header and a body, of which the body kills. The second connection's
 * body is dropped, and comes again behind its header in one segment. */
CRASH_TEST(on_another_connection_it_is_known_in_other_segments_too)
{
    struct ft_crash_notice first = {.signal = 11, .lane = 0, .doing = NF_DOING_PACKETS, .fingerprints = 1};

    crash_begin(NULL);
    q = &crash_world.page->quarantine;
    say(3000, 134, 379);
    first.fingerprint[0] = nd_fingerprint(segment.bytes, segment.len, segment.len);
    assert_true(begin_quarantine(q, &first, ft_now(), SECONDS, MOST));
    assert_int_equal(look_at(3001, 0, 379), ND_PASSES); /* its first bytes are others */
    assert_int_equal(look_at(3002, 0, 134), ND_PASSES);
    assert_int_equal(look_at(3002, 134, 379), ND_DROPS);
    assert_int_equal(look_at(3002, 0, 379), ND_DROPS);
    assert_int_equal(look_at(3002, 0, 134), ND_PASSES);
    assert_int_equal(look_at(3002, 379, 400), ND_DROPS); /* behind it */
    assert_int_equal(nd_quarantine_held(q), 2);
    assert_int_equal(look_at(3000, 0, 379), ND_DROPS);
    assert_int_equal(nd_quarantine_held(q), 2);
    for (uint16_t port = 3003; port < 3103; port++)
        assert_int_equal(look_at(port, 134, 379), ND_DROPS);
    assert_int_equal(nd_quarantine_held(q), FT_CRASH_FINGERPRINTS);
    streams(); /* the next one, of which nobody knows what it died of, has room for all that it suspects */
    notice_of(die_of_nobody_knows_which, &first);
    assert_int_equal(first.fingerprints, FT_CRASH_KNOWN + NF_BURST_MAX);
    assert_int_equal(first.fingerprint[FT_CRASH_KNOWN - 1].suspect, FT_KILLED);
    assert_int_equal(first.fingerprint[FT_CRASH_KNOWN].suspect, FT_SUSPECT);
}

/* A suspect killed alone; the same request was on its way on another connection as well. */
CRASH_TEST(with_what_killed_alone_goes_the_same_of_other_connections)
{
    static const uint16_t port[] = {4000, 4001, 4002, 4000};
    static const uint32_t from[] = {0, 0, 200, 200};
    struct ft_crash_notice first = {.signal = 11, .lane = 0, .doing = NF_DOING_PACKETS, .fingerprints = 4};

    crash_begin(NULL);
    second = (struct ft_crash_notice){.signal = 11, .fingerprints = 1};
    q = &crash_world.page->quarantine;
    for (unsigned i = 0; i < 4; i++) {
        say(port[i], from[i], from[i] + 150);
        first.fingerprint[i] = nd_fingerprint(segment.bytes, segment.len, segment.len);
        first.fingerprint[i].suspect = FT_SUSPECT;
    }
    assert_true(begin_quarantine(q, &first, ft_now(), SECONDS, MOST));
    second.fingerprint[0] = first.fingerprint[0];
    second.fingerprint[0].suspect = FT_KILLED_ALONE;
    nd_quarantine_add(q, &second, ND_ADD_SAME);
    assert_int_equal(second.fingerprints, 2);
    assert_int_equal(second.fingerprint[1].seq, 4001000);
    assert_int_equal(second.fingerprint[1].suspect, FT_KILLED_ALONE);
}

/* A client's request, from that port. */
static void request_arrives(uint16_t port, uint16_t to)
{
    uint8_t *frame = lane_world.pool[lane_world.last].data;

    crash_arrives(to);
    say(port, 0, CRASH_BYTES - 54);
    segment.bytes[36] = (uint8_t)(to >> 8), segment.bytes[37] = (uint8_t)to;
    help_seal_ipv4(segment.bytes + 14, CRASH_BYTES - 34);
    memcpy(frame + 12, segment.bytes + 12, CRASH_BYTES - 12);
}

static void die_of_the_first_of_two(void)
{
    crash_arrives(CRASH_HARM);
    request_arrives(3000, CRASH_PORT);
    request_arrives(3001, CRASH_PORT);
    arrives_again(1);
    crash_turns(1);
}

static void die_of_a_datagram_that_came_twice(void)
{
    crash_arrives(CRASH_PORT);
    crash_arrives(CRASH_PORT);
    arrives_again(0);
    crash_turns(1);
}

/* The last one of an NF's list may be in a register since a loop before came to its end with it. */
CRASH_TEST(with_the_last_one_the_others_are_suspects)
{
    struct ft_crash_notice first;

    begin_lane();
    notice_of(die_of_the_last, &first);
    assert_int_equal(first.packet, 3);
    assert_int_equal(first.fingerprints, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(first.fingerprint[i].suspect, i == 0 ? FT_KILLED : FT_BESIDE);
    begin_quarantine(q, &first, ft_now(), SECONDS, MOST);
    assert_int_equal(nd_quarantine_held(q), 3);
    pass_beside(q);
    assert_int_equal(nd_quarantine_held(q), 1);
}

/* Two connections at once: either comes again, TCP cuts segments as it likes, and knows them by their
 * numbers. A datagram comes again as it was: its own fingerprint knows them all. */
CRASH_TEST(what_is_the_same_in_the_burst_is_named_as_well)
{
    struct ft_crash_notice first;

    begin_lane();
    notice_of(die_of_a_datagram_that_came_twice, &first);
    assert_int_equal(first.packet, 1);
    assert_int_equal(first.fingerprints, 1);
    crash_end(NULL);

    begin_lane();
    lane_world.lane.whole_capture = true;
    notice_of(die_of_the_first_of_two, &first);
    assert_int_equal(first.packet, 2);
    assert_int_equal(first.fingerprints, 2);
    assert_int_not_equal(first.fingerprint[0].seq, first.fingerprint[1].seq);
    assert_true(first.fingerprint[0].content == first.fingerprint[1].content);
    assert_int_equal(first.fingerprint[1].suspect, FT_KILLED);
}

/* Also in another NF, and whether or not its packet is known: what killed first goes on to be dropped. */
CRASH_TEST(a_second_crash_in_another_nf_adds_to_it)
{
    begin_dropping();
    strcpy(q->nf, "monitor"); /* the first one was there */
    notice_of(die_of_another, &second);
    assert_string_equal(second.before, "monitor");
    assert_true(begin_quarantine(q, &second, ft_now(), SECONDS, MOST));
    assert_int_equal(atomic_load(&q->count), 2);
    begin_quarantine(q, &notice, ft_now(), SECONDS, MOST);
    strcpy(q->nf, "monitor");
    notice_of(die_of_nobody_knows_which, &second);
    assert_true(begin_quarantine(q, &second, ft_now(), SECONDS, MOST));
    assert_int_equal(nd_quarantine_held(q), 1 + NF_BURST_MAX);
    crash_arrives(CRASH_HARM); /* one that is suspected */
    crash_arrives(CRASH_PORT); /* and the one that is known */
    crash_turns(1);
    assert_int_equal(quarantined(), 2);
}

/* It died as a standby, or outside of its lanes: no packet was the cause. */
CRASH_TEST(a_crash_that_names_no_frame_leaves_it)
{
    begin_dropping();
    second = (struct ft_crash_notice){.signal = 11, .lane = FT_CRASH_NO_LANE};
    assert_false(begin_quarantine(q, &second, ft_now(), SECONDS, MOST));
    assert_true(nd_quarantine_on(q));
}

/* The packets of a burst of which nobody knows which one killed. */
static void suspect_all(unsigned frames)
{
    notice.fingerprints = frames;
    for (unsigned i = 0; i < frames; i++) {
        notice.fingerprint[i] = nd_fingerprint(lane_world.pool[i].data, CRASH_CAPTURE, CRASH_BYTES);
        notice.fingerprint[i].suspect = 1;
    }
    assert_true(begin_quarantine(q, &notice, ft_now(), SECONDS, 100));
    assert_int_equal(atomic_load(&q->suspects), (1u << frames) - 1);
}

/* As the main thread has it, and the gate. */
static void protected(uint64_t lease_until)
{
    atomic_store(&q->judging, true);
    atomic_store(&lane_world.shared->orders.lease_until, lease_until);
}

static void meet_it_with_a_standby(void)
{
    arrives_again(1);
    protected(ft_now() + 1000000000ull);
    crash_turns(1);
}

/* Many copies use no quarantine up: without a standby none ever passes; with one, the next passes alone. Of
 * one that kills so there is no doubt any more: no number of copies makes it pass again. */
CRASH_TEST(after_so_many_it_is_a_suspect)
{
    begin_dropping();
    crash_arrives(CRASH_HARM);
    crash_arrives(CRASH_PORT);
    for (unsigned i = 0; i < 3 * MOST; i++)
        arrives_again(1);
    crash_turns(1);
    assert_int_equal(atomic_load(&q->dropped), 3 * MOST + 1);
    assert_true(nd_quarantine_on(q));
    notice_of(meet_it_with_a_standby, &second);
    assert_int_equal(second.fingerprints, 1);
    assert_int_equal(second.fingerprint[0].suspect, FT_KILLED_ALONE);
    assert_string_equal(second.before, "");

    begin_quarantine(q, &second, ft_now(), SECONDS, MOST);
    protected(ft_now() + SECONDS * 1000000000ull);
    for (unsigned i = 0; i < 3 * MOST; i++)
        arrives_again(1);
    crash_turns(2);
    assert_int_equal(atomic_load(&q->dropped), 3 * MOST);
}

/* While nobody would take over they are all dropped; then each passes alone, in the order in which they came,
 * and what came behind it follows. */
CRASH_TEST(suspects_pass_one_by_one)
{
    begin();
    BURST(CRASH_HARM, CRASH_HARM);
    suspect_all(2);
    arrives_again(0);
    crash_arrives(CRASH_HARM + 1);
    arrives_again(1);
    crash_turns(1);
    saw(3, 2);

    protected(ft_now() + SECONDS * 1000000000ull);
    crash_arrives(CRASH_HARM + 1);
    arrives_again(0);
    arrives_again(1);
    BURST(CRASH_HARM + 2); /* what came in front of the first suspect */
    assert_int_equal(nd_crash_record(lane_world.shared, 3)->inputs, 1);
    assert_int_equal(seen(), 4);
    crash_turns(1);
    assert_int_equal(nd_crash_record(lane_world.shared, 4)->inputs, 1);
    assert_int_equal(atomic_load(&q->cleared), 1);
    crash_turns(1);
    assert_int_equal(nd_crash_record(lane_world.shared, 5)->inputs, 1);
    assert_int_equal(nd_quarantine_held(q), 0); /* both were innocent */
    crash_turns(1);
    saw(7, 2);
    arrives_again(1);
    crash_turns(1);
    assert_int_equal(seen(), 8);
}

/* The main thread learns of it a turn later than the gate: nobody would take over from who dies meanwhile. */
CRASH_TEST(no_suspect_passes_once_the_standby_is_lost)
{
    static const uint64_t shut[] = {0, 1, FT_ALL}; /* lease: shut, over, SOLO's */

    begin();
    BURST(CRASH_HARM);
    suspect_all(1);
    for (unsigned i = 0; i < sizeof(shut) / sizeof(shut[0]); i++) {
        protected(shut[i]);
        arrives_again(0);
        crash_turns(1);
        assert_int_equal(quarantined(), i + 1);
        assert_int_equal(seen(), 1);
    }
}

static void die_of_a_suspect(void)
{
    arrives_again(0);
    arrives_again(1);
    crash_turns(2);
}

/* It is the only one of its burst, so the next notice names it, and it is no suspect there. The others did
 * not kill, and are free. */
CRASH_TEST(a_suspect_that_kills_is_named)
{
    begin();
    BURST(CRASH_HARM);
    crash_arrives(CRASH_PORT);
    crash_arrives(CRASH_HARM);
    lane_world.first = lane_world.last; /* they never came to this node */
    suspect_all(3);
    protected(ft_now() + SECONDS * 1000000000ull);
    notice_of(die_of_a_suspect, &second);
    assert_int_equal(second.fingerprints, 1);
    assert_memory_equal(&second.fingerprint[0].content, &notice.fingerprint[1].content, 8);
    assert_int_equal(second.fingerprint[0].suspect, FT_KILLED_ALONE);
}

static void die_of_two_that_are_fed(void)
{
    crash_arrives(CRASH_HARM);
    crash_arrives(CRASH_PORT + 27); /* of which registers and stack tell nothing */
    feed();
}

static void die_of_one_beside_what_is_not_suspected(void)
{
    crash_arrives(CRASH_HARM + 1);
    crash_arrives(CRASH_PORT + 27);
    crash_arrives(CRASH_HARM + 2);
    feed();
}

/* Nothing of a keeper's burst can wait. One suspect of it passes, with what is not suspected, and the other
 * is set aside; what it dies of is the one that passed. */
CRASH_TEST(one_suspect_of_a_keepers_burst_passes)
{
    struct ft_crash_notice first;

    begin_lane();
    notice_of(die_of_two_that_are_fed, &first);
    assert_int_equal(first.fingerprints, 2);
    assert_int_equal(first.fingerprint[0].suspect, FT_SUSPECT);
    begin_quarantine(q, &first, ft_now(), SECONDS, MOST);
    protected(ft_now() + SECONDS * 1000000000ull);
    crash_arrives(CRASH_HARM);
    crash_arrives(CRASH_HARM + 1);
    crash_arrives(CRASH_PORT + 27);
    feed();
    saw(2, 1);
    assert_int_equal(nd_quarantine_held(q), 1);
    notice_of(die_of_one_beside_what_is_not_suspected, &second);
    assert_int_equal(second.fingerprints, 1);
    assert_int_equal(second.fingerprint[0].suspect, FT_KILLED_ALONE);
    assert_memory_equal(&second.fingerprint[0].content, &first.fingerprint[1].content, 8);
}

/* What is known to kill comes before them, and there is room for all of a burst behind it: the one that kills
 * may be the last. */
CRASH_TEST(what_is_known_to_kill_comes_before_suspects)
{
    begin_dropping();
    notice_of(die_of_nobody_knows_which, &second);
    assert_int_equal(second.packet, 0);
    assert_int_equal(second.fingerprints, 1 + NF_BURST_MAX);
    assert_memory_equal(&second.fingerprint[0], &notice.fingerprint[0], sizeof(notice.fingerprint[0]));
    for (unsigned i = 1; i <= NF_BURST_MAX; i++)
        assert_int_equal(second.fingerprint[i].suspect, 1);
}

static void die_in_timers(void)
{
    crash_arrives(CRASH_PORT + 8);
    crash_turns(2);
}

/* Whoever follows a node that had a quarantine has it, too, although this death was no packet's. */
CRASH_TEST(it_outlives_a_crash_in_timers)
{
    begin_dropping();
    notice_of(die_in_timers, &second);
    assert_int_equal(second.doing, NF_DOING_TIMERS);
    assert_int_equal(second.fingerprints, 1);
    assert_memory_equal(&second.fingerprint[0], &notice.fingerprint[0], sizeof(notice.fingerprint[0]));
    assert_true(begin_quarantine(q, &second, ft_now(), SECONDS, MOST));
    assert_string_equal(q->nf, "crasher");
}

/* A corrupted slot, or one who sends ever new packets: it dies in the NF again and again. */
CRASH_TEST(a_second_death_in_the_same_nf_is_for_on_crash)
{
    begin();
    assert_int_not_equal(notice.packet, 0);
    assert_false(is_remedied(&notice));
    begin_quarantine(q, &notice, ft_now(), SECONDS, MOST);
    notice_of(die_of_another, &second); /* its packet is known */
    assert_int_not_equal(second.packet, 0);
    assert_true(is_remedied(&second));
    notice_of(die_of_nobody_knows_which, &second);
    assert_int_equal(second.packet, 0);
    assert_true(is_remedied(&second));
    strcpy(second.before, "monitor"); /* the first one was in another NF */
    assert_false(is_remedied(&second));
    second.before[0] = '\0'; /* it is the first */
    assert_false(is_remedied(&second));
    notice_of(die_in_timers, &second);
    assert_true(is_remedied(&second));
}

/* Innocents that were in the bursts of such deaths need not wait for the pair to be PROTECTED, where the
 * state does no more harm. What is known to kill stays, and so does the memory of that death. */
CRASH_TEST(suspects_of_a_state_made_harmless_are_let_go)
{
    uint64_t until;

    begin_dropping();
    notice_of(die_of_nobody_knows_which, &second);
    assert_int_equal(second.fingerprints, 1 + NF_BURST_MAX);
    begin_quarantine(q, &second, ft_now() - 1000000000ull, SECONDS, MOST);
    assert_int_equal(let_go_of(q, "monitor", true), 0); /* they are of deaths in another NF */
    assert_int_equal(nd_quarantine_held(q), 1 + NF_BURST_MAX);
    assert_int_equal(let_go_of(q, "crasher", false), NF_BURST_MAX);
    assert_int_equal(nd_quarantine_held(q), 1);
    until = atomic_load(&q->until);
    BURST(CRASH_HARM); /* an innocent of that burst: the same bytes as its first */
    saw(1, 0);
    assert_true(atomic_load(&q->until) == until);
    BURST(CRASH_PORT); /* the frame that is known to kill */
    assert_int_equal(quarantined(), 1);
    assert_true(atomic_load(&q->until) > until);
    notice_of(die_of_nobody_knows_which, &second);
    assert_string_equal(second.before, "crasher");
    assert_true(is_remedied(&second));
}

/* What the peer died of was its state: it is lost with the peer where this node begins with none. */
CRASH_TEST(a_state_that_is_made_anew_needs_no_remedy)
{
    static struct nd_remedy remedy = {.text = "set crasher bypass=on"};

    crash_begin(NULL);
    lane_world.lane.setup.remedy = &remedy;
    atomic_store(&remedy.serial, 1);
    nd_lane_follow(&lane_world.lane, ft_order_make(FT_LANE_FRESH, 1));
    crash_arrives(CRASH_HARM);
    crash_turns(2);
    assert_int_equal(seen(), 1);
    atomic_store(&remedy.serial, 2); /* of this one, since */
    crash_turns(1);
    BURST(CRASH_HARM);
    assert_int_equal(seen(), 1);
}

TESTS_SHARE(NULL, crash_clean)
