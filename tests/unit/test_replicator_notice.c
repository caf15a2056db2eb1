/* SPDX-License-Identifier: Apache-2.0 */
/* A real standby whose primary is the test (tests/help/peer.h), and dies: of what it died is heard before the
 * takeover, or behind it where the first datagram was lost. */
#include "tests/help/test.h"
#include "ftcore/record/crash_notice.h"
#include "tests/help/peer.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>

static struct twin *const b = &peer_twin[1];
static const struct ft_datagram_key dead = {.incarnation = 77};

static void make_ready(void)
{
    peer_start_standby(false);
    peer_synchronise(true);
    peer.state = FT_DEGRADED;
    peer_say(peer_head(FT_MSG_HOLDING));
    PEER_UNTIL(peer.last[FT_MSG_ACK].state == FT_READY);
    peer.state = FT_PROTECTED;
    peer_say(peer_head(FT_MSG_HEARTBEAT));
}

static void say(const uint8_t *bytes, size_t len)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(twin_place.port[1])}, from = to;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    inet_pton(AF_INET, twin_place.host, &to.sin_addr);
    from = to;
    from.sin_port = 0;
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)len);
    close(fd);
}

static void say_crash(void)
{
    const struct ft_crash_notice crash = {.signal = SIGSEGV, .nf = "nat"};
    uint8_t bytes[FT_CRASH_BYTES];

    say(bytes, ft_crash_notice_encode(&crash, &dead, bytes));
}

static void say_death(void)
{
    uint8_t bytes[FT_DATAGRAM_BYTES];

    say(bytes, ft_datagram_encode(&(struct ft_datagram){.kind = FT_DEATH_NOTICE}, &dead, bytes));
}

TEST_WITH(a_crash_notice_is_heard_before_the_takeover, peer_setup, peer_teardown)
{
    make_ready();
    for (unsigned i = 0; i < 7; i++) {
        say_crash();
        say_death();
    }
    TWIN_UNTIL(b, twin_state(b) == FT_SOLO && twin_is_live(b));
    assert_int_equal(atomic_load(&b->box->by_node.heard_of_primary), 1);
}

/* The first of several is lost, and the death notice behind it is not. */
TEST_WITH(a_crash_notice_is_heard_behind_the_takeover, peer_setup, peer_teardown)
{
    make_ready();
    say_death();
    TWIN_UNTIL(b, twin_state(b) == FT_SOLO && twin_is_live(b));
    assert_int_equal(atomic_load(&b->box->by_node.heard_of_primary), 0);
    for (unsigned i = 0; i < 6; i++) {
        say_crash();
        say_death();
    }
    TWIN_UNTIL(b, atomic_load(&b->box->by_node.heard_of_primary) == 1);
    assert_int_equal(atomic_load(&b->box->by_node.heard_of_standby), 0);
    assert_int_equal(twin_state(b), FT_SOLO);
    assert_int_equal(twin_status(b).core.view, PEER_VIEW + 1);
}

static void say_alive(uint32_t number)
{
    const struct ft_crash_notice alive = {.lane = FT_CRASH_NO_LANE,
                                          .packet = number,
                                          .before = "nat",
                                          .fingerprints = 1,
                                          .fingerprint = {{.content = 9}}};
    uint8_t bytes[FT_CRASH_BYTES];

    say(bytes, ft_crash_notice_encode(&alive, &dead, bytes));
}

/* What a primary drops while it lives is heard in its order: an older notice, which anybody may have
 * recorded, says nothing. */
TEST_WITH(an_older_notice_of_who_lives_is_not_heard, peer_setup, peer_teardown)
{
    make_ready();
    say_alive(1);
    TWIN_UNTIL(b, atomic_load(&b->box->by_node.heard_of_primary) == 1);
    say_alive(3);
    TWIN_UNTIL(b, atomic_load(&b->box->by_node.heard_of_primary) == 2);
    for (uint32_t number = 1; number <= 4; number++) {
        say_alive(number);
        usleep(20000); /* so that each is read in a turn of its own: of several the last counts */
    }
    TWIN_UNTIL(b, atomic_load(&b->box->by_node.heard_of_primary) == 3);
    say_death();
    TWIN_UNTIL(b, twin_state(b) == FT_SOLO && twin_is_live(b));
    assert_int_equal(atomic_load(&b->box->by_node.heard_of_primary), 3);
}
