/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link of two ways over real sockets on the loopback, with a relay on each way that is told to pass, to
 * stop, to end, or to swallow what is large. What one side says the other one hears once and in order,
 * whatever becomes of one way; and who has no second way, or no key, has what he had before there were two.
 * Cuts, ends and losses of one way or of both are made by the simulation, in seeds of ways.
 */
#include "tests/help/test.h"
#include "tests/help/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#define WAYS  2
#define PAIRS 32 /* connections through a relay in one test */
#define LARGE 1400

static const char *const of_a[WAYS] = {"127.0.0.1", "127.0.1.1"},
                         *const of_b[WAYS] = {"127.0.0.2", "127.0.1.2"},
                         *const of_relay[WAYS] = {"127.0.0.3", "127.0.1.3"};
static const struct rp_keys one = {1, {{1, 2, 3}}}, other = {1, {{9, 9, 9}}};

/* ---- a relay, in this thread ---- */

/* MUTES: nothing from a. HOLDS: of what comes from b on a connection the first that came alone. */
enum what { PASSES, STOPS, SWALLOWS, MUTES, HOLDS };

static struct relay {
    int listener;
    uint16_t port;
    enum what what;
    int end[PAIRS][2];
    bool stuck[PAIRS]; /* something large was lost there: nothing follows */
    bool began[PAIRS]; /* something has come from b */
    unsigned pairs;
} relay[WAYS];
static uint16_t second_port[2]; /* a's, b's */
static uint64_t now;            /* of both links, ns */

static void open_relay(unsigned way)
{
    struct relay *r = &relay[way];
    struct sockaddr_in at;
    int on = 1;

    *r = (struct relay){.port = help_free_port(of_relay[way])};
    at = link_address(of_relay[way], r->port);
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(r->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(r->listener, 16), 0);
}

/* Both ends of what came, towards a from b's own address. */
static void accept_pair(unsigned way)
{
    struct relay *r = &relay[way];
    struct sockaddr_in from = link_address(of_b[way], 0),
                       to = link_address(of_a[way], way ? second_port[0] : link_port_a);
    int here = accept(r->listener, NULL, NULL), there;

    if (here < 0)
        return;
    assert_true(r->pairs < PAIRS);
    there = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(there, (struct sockaddr *)&from, sizeof(from)), 0);
    if (connect(there, (struct sockaddr *)&to, sizeof(to)) != 0) {
        close(there);
        close(here);
        return;
    }
    fcntl(here, F_SETFL, O_NONBLOCK);
    fcntl(there, F_SETFL, O_NONBLOCK);
    r->end[r->pairs][0] = here;
    r->end[r->pairs++][1] = there;
}

static void close_pair(struct relay *r, unsigned i)
{
    for (unsigned e = 0; e < 2; e++) {
        if (r->end[i][e] >= 0)
            close(r->end[i][e]);
        r->end[i][e] = -1;
    }
}

static void pass_on(struct relay *r, unsigned i, unsigned e)
{
    static uint8_t bytes[256 << 10];

    if ((r->what == MUTES && e == 1) || (r->what == HOLDS && e == 0 && r->began[i]))
        return;
    ssize_t n = r->end[i][e] < 0 || r->stuck[i] ? -1 : recv(r->end[i][e], bytes, sizeof(bytes), 0), sent = 0;

    r->began[i] |= n > 0 && e == 0;
    if (n == 0)
        close_pair(r, i);
    if (n > LARGE && r->what == SWALLOWS)
        r->stuck[i] = true;
    while (n > 0 && !r->stuck[i] && sent < n) {
        ssize_t k = send(r->end[i][!e], bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL);

        if (k < 0 && errno != EAGAIN) {
            close_pair(r, i);
            return;
        }
        if (k < 0) { /* the reader is in this thread */
            rp_link_poll(e ? link_b : link_a, now);
            continue;
        }
        sent += k;
    }
}

static void poll_one(struct rp_link *link)
{
    rp_link_poll(link, now);
    rp_link_flush(link);
}

/* A millisecond of the links' own time: what they find silent does not hang on how busy the machine is. */
static void turn(void)
{
    now += 1000000;
    for (unsigned way = 0; way < WAYS; way++) {
        struct relay *r = &relay[way];

        if (r->what == STOPS)
            continue;
        accept_pair(way);
        for (unsigned i = 0; i < r->pairs; i++)
            for (unsigned e = 0; e < 2; e++)
                pass_on(r, i, e);
    }
    poll_one(link_a);
    poll_one(link_b);
}

static void end_way(unsigned way)
{
    for (unsigned i = 0; i < relay[way].pairs; i++)
        close_pair(&relay[way], i);
}

/* ---- both sides ---- */

static struct rp_link_config config_of(bool a, const struct rp_keys *keys)
{
    struct rp_link_config c = link_config(a);

    c.local_host = a ? of_a[0] : of_b[0];
    c.peer_host = a ? of_b[0] : of_relay[0];
    c.peer_port = a ? link_port_b : relay[0].port;
    c.second.local_host = a ? of_a[1] : of_b[1];
    c.second.local_port = second_port[!a];
    c.second.peer_host = a ? of_b[1] : of_relay[1];
    c.second.peer_port = a ? second_port[1] : relay[1].port;
    c.heartbeat_ms = 4;
    c.session = a ? 1000 : 2000;
    c.seal.keys = keys;
    return c;
}

static int setup(void **state)
{
    link_setup(state);
    now = 1000000000;
    for (unsigned way = 0; way < WAYS; way++)
        open_relay(way);
    second_port[0] = help_free_port(of_a[1]);
    second_port[1] = help_free_port(of_b[1]);
    return 0;
}

static int teardown(void **state)
{
    for (unsigned way = 0; way < WAYS; way++) {
        end_way(way);
        close(relay[way].listener);
    }
    return link_teardown(state);
}

static void open_both(void)
{
    struct rp_link_config a = config_of(true, &one), b = config_of(false, &one);

    link_open(&link_a, &a);
    link_open(&link_b, &b);
}

static const struct rp_ways_stats *ways_of(const struct rp_link *link)
{
    return &rp_link_stats(link)->ways;
}

static bool stands(unsigned way)
{
    return ways_of(link_a)->way[way].stands && ways_of(link_b)->way[way].stands;
}

static void open_standing(void)
{
    open_both();
    UNTIL((stands(0) && stands(1)) || (turn(), false));
    assert_int_equal(rp_link_stats(link_a)->connects, 1);
}

static uint64_t said, heard; /* numbers of messages from a to b, and the other way */
static uint64_t answered, understood;

static void say(struct rp_link *link, uint64_t number, size_t len)
{
    static uint8_t bulk[64 << 10];
    struct ft_message m = {
        .type = FT_MSG_LOG, .state = FT_READY, .sent = number, .bulk = bulk, .bulk_len = (uint32_t)len};

    for (size_t i = 0; i < len; i++)
        bulk[i] = (uint8_t)(number * 31 + i);
    assert_int_equal(rp_link_send(link, &m, 1, NULL), 0);
}

/* All that has come: each number follows the one before, and its bulk is what was said. */
static void hear(struct rp_link *link, uint64_t *last)
{
    struct ft_message m;
    int rc;

    while ((rc = rp_link_next(link, 1, &m, &link_why)) > 0) {
        assert_int_equal(m.sent, *last + 1);
        *last = m.sent;
        for (uint32_t i = 0; i < m.bulk_len; i++)
            assert_int_equal(m.bulk[i], (uint8_t)(m.sent * 31 + i));
    }
    if (rc < 0)
        fail_msg("%s", link_why.text);
    if (rp_link_lost(link, &link_why) != RP_LOST_NONE)
        fail_msg("%s: %s", link == link_a ? "a" : "b", link_why.text);
}

static void talk(unsigned turns, size_t len)
{
    for (unsigned i = 0; i < turns; i++) {
        if (rp_link_room(link_a) > len)
            say(link_a, ++said, len);
        if (rp_link_room(link_b) > 100)
            say(link_b, ++answered, 100);
        turn();
        hear(link_b, &heard);
        hear(link_a, &understood);
    }
}

static void talk_to_the_end(void)
{
    UNTIL((heard == said && understood == answered) ||
          (talk(0, 0), turn(), hear(link_b, &heard), hear(link_a, &understood), false));
}

static void begin_talk(void)
{
    said = heard = answered = understood = 0;
    open_standing();
    talk(20, 3000);
}

static unsigned carrier(const struct rp_link *link)
{
    return ways_of(link)->way[1].carries;
}

/* What has come is of no more interest, and that the connection is lost. */
static void forget(struct rp_link *link)
{
    struct ft_message m;

    while (rp_link_next(link, 1, &m, NULL) > 0)
        ;
    rp_link_lost(link, NULL);
}

/* Nothing wakes it for so many ns, once it has taken what is there. Of two ways a probe does, twice in a
 * heartbeat. */
static bool sleeps(struct rp_link *link, uint64_t ns)
{
    uint64_t began = ft_now();

    rp_link_wait(link, 20000000);
    return ft_now() - began >= ns;
}

/* ---- tests ---- */

/* A way that carries nothing shows that it does not pass what is large, before it is needed. */
TEST_WITH(an_idle_way_is_tried_with_large_segments, setup, teardown)
{
    begin_talk();
    unsigned way = carrier(link_b), idle = !way;

    relay[idle].what = SWALLOWS;
    UNTIL(ways_of(link_b)->way[idle].losses > 0 || (turn(), false));
    assert_int_equal(ways_of(link_b)->switches, 0);
}

/* What the carrier holds back is as much as may be kept, and the peer hears nothing there: it still hears the
 * other way. Until then only what can be written wakes who writes. */
TEST_WITH(a_carrier_that_takes_nothing_is_found_when_all_is_full, setup, teardown)
{
    begin_talk();
    unsigned way = carrier(link_a);

    relay[way].what = MUTES;
    while (rp_link_room(link_a) > 60000)
        say(link_a, ++said, 60000);
    turn();
    assert_true(rp_link_stalled(link_a));
    assert_true(sleeps(link_a, 2000000));
    talk_to_the_end();
    assert_int_equal(carrier(link_a), !way);
    assert_int_equal(rp_link_stats(link_a)->connects, 1);
}

/* The way that was left was only late, and the one that carries in its place passes nothing: what was said
 * meanwhile comes by the late one. */
TEST_WITH(a_late_way_carries_again, setup, teardown)
{
    begin_talk();
    talk_to_the_end();
    unsigned late = carrier(link_a);

    relay[late].what = STOPS;
    UNTIL(carrier(link_a) != late || (turn(), false));
    relay[!late].what = STOPS;
    relay[late].what = PASSES;
    talk(9, 100);
    talk_to_the_end();
    assert_int_equal(carrier(link_a), late);
    assert_int_equal(ways_of(link_a)->way[late].losses, 0);
}

/* The peer's word that it closes counts, although one way says nothing any more, since so many turns. */
static void close_when_one_is_cut(unsigned turns)
{
    enum rp_lost lost;
    struct ft_message m;

    begin_talk();
    talk_to_the_end();
    relay[carrier(link_a)].what = STOPS;
    talk(turns, 100);
    link_send_heartbeat(link_a, ++said);
    rp_link_flush(link_a);
    rp_link_drop(link_a);
    UNTIL((lost = rp_link_lost(link_b, &link_why)) != RP_LOST_NONE ||
          (turn(), rp_link_next(link_b, 1, &m, NULL) > 0 && (heard = m.sent), false));
    assert_int_equal(heard, said);
    assert_int_equal(lost, RP_LOST_EOF);
}

TEST_WITH(who_closes_says_so_by_the_way_that_is_left, setup, teardown)
{
    close_when_one_is_cut(40);
}

TEST_WITH(who_closes_says_so_by_both_ways, setup, teardown)
{
    close_when_one_is_cut(0);
}

TEST_WITH(a_peer_that_begins_anew_takes_over, setup, teardown)
{
    begin_talk();
    rp_link_close(link_b);
    struct rp_link_config b = config_of(false, &one);

    b.session = 3000;
    link_open(&link_b, &b);
    UNTIL(rp_link_stats(link_a)->connects == 2 || (turn(), forget(link_a), false));
    UNTIL((stands(0) && stands(1)) || (turn(), false));
    said = heard = answered = understood = 0;
    talk(20, 3000);
    talk_to_the_end();
}

/* The side that is connected to begins anew while one way is silent: the other side hears that nobody knows
 * its session there. */
TEST_WITH(a_session_that_nobody_knows_ends, setup, teardown)
{
    begin_talk();
    relay[0].what = STOPS;
    talk(40, 100);
    relay[1].what = STOPS;
    rp_link_close(link_a);
    struct rp_link_config a = config_of(true, &one);

    link_open(&link_a, &a);
    end_way(0);
    relay[0].what = PASSES; /* and what stood on the other way says nothing */
    UNTIL(rp_link_stats(link_b)->connects == 2 || (turn(), forget(link_b), false));
}

/* On the second way b's word that the session begins comes when a has ended it, and b does not know that:
 * what a says from then on is not taken for what it said before. */
TEST_WITH(a_session_begins_once, setup, teardown)
{
    struct ft_message m = {.sent = 0};
    int rc = 0;

    relay[1].what = HOLDS;
    open_both();
    UNTIL((rp_link_up(link_a) && rp_link_up(link_b)) || (turn(), false));
    said = heard = answered = understood = 0;
    talk(10, 3000);
    talk_to_the_end();
    assert_false(stands(1));
    relay[0].what = STOPS;
    rp_link_drop(link_a);
    relay[1].what = PASSES;
    for (unsigned i = 0; i < 10; i++)
        turn();
    end_way(0);
    relay[0].what = PASSES;
    UNTIL(rp_link_up(link_a) || (turn(), rp_link_lost(link_b, NULL), false));
    for (uint64_t number = 1001; number < 1100; number++)
        say(link_a, number, 100);
    UNTIL((rc = rp_link_next(link_b, 1, &m, &link_why)) != 0 || (turn(), rp_link_lost(link_b, NULL), false));
    assert_int_equal(rc, 1);
    assert_int_equal(m.sent, 1001);
}

TEST_WITH(who_has_one_way_is_met_as_ever, setup, teardown)
{
    for (unsigned which = 0; which < 2; which++) {
        struct rp_link_config a = config_of(true, &one), b = config_of(false, &one);

        memset(which ? &a.second : &b.second, 0, sizeof(a.second));
        link_open(&link_a, &a);
        link_open(&link_b, &b);
        UNTIL((rp_link_up(link_a) && rp_link_up(link_b)) || (turn(), false));
        said = heard = answered = understood = 0;
        talk(50, 3000);
        talk_to_the_end();
        assert_false(stands(1));
        assert_true(sleeps(link_a, 20000000) &&
                    sleeps(link_b, 20000000)); /* nor does an attempt by the second way wake them */
        /* Of three messages it is the frames alone that are on the wire. */
        assert_true(rp_link_stats(link_a)->bytes_out == rp_link_stats(link_b)->bytes_in);
        rp_link_close(link_a);
        rp_link_close(link_b);
        link_a = link_b = NULL;
        end_way(0);
        end_way(1);
        relay[0].pairs = relay[1].pairs = 0;
    }
}

TEST_WITH(who_has_another_key_gets_nothing_on_either, setup, teardown)
{
    struct rp_link_config a = config_of(true, &one), b = config_of(false, &other);

    link_open(&link_a, &a);
    link_open(&link_b, &b);
    UNTIL(rp_link_stats(link_a)->refused[-FT_EPERM] >= 4 || (turn(), false));
    assert_false(rp_link_up(link_a) || rp_link_up(link_b));
    assert_false(stands(0) || stands(1));
}
