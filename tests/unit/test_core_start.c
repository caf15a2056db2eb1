/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, told as stories: starting, and who reigns. */
#include "tests/help/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static struct tale a;

static void the_files_role_counts_when_nobody_ever_served(void **unused)
{
    (void)unused;
    tale_begin(&a, 0, 0, false);
    is(&a, FT_JOINING);
    gate_is(&a, FT_GATE_SHUT);
    connects(&a);
    hello_from(&a, FT_JOINING, 0);
    is(&a, FT_SOLO);
    because(&a, "first start");
    assert_int_equal(did(&a, FT_ACT_VIEW)->view, 1);
    gate_is(&a, FT_GATE_SOLO);
    ordered(&a, FT_LANE_FRESH);

    tale_begin(&a, 1, 0, false);
    connects(&a);
    hello_from(&a, FT_JOINING, 0);
    waits(&a, 1000);
    is(&a, FT_JOINING);
}

static void later_the_higher_view_counts(void **unused)
{
    (void)unused;
    tale_begin(&a, 1, 3, false);
    connects(&a);
    hello_from(&a, FT_JOINING, 2);
    is(&a, FT_SOLO);
    assert_int_equal(a.core.view, 4);

    tale_begin(&a, 0, 2, false);
    connects(&a);
    hello_from(&a, FT_JOINING, 3);
    waits(&a, 1000);
    is(&a, FT_JOINING);
}

static void both_are_empty_after_a_power_loss(void **unused)
{
    (void)unused;
    tale_begin(&a, 0, 3, false);
    connects(&a);
    hello_from(&a, FT_JOINING, 3);
    is(&a, FT_SOLO);
    because(&a, "both nodes are empty");
    assert_int_equal(a.core.view, 4);
    ordered(&a, FT_LANE_FRESH);
}

/* A hello goes ahead of what is read of the connection before; the peer decides by that hello, and so must
 * we. */
static void who_was_heard_as_another_waits_to_be_heard(void **unused)
{
    struct ft_event event = {.kind = FT_EV_CONNECTED};
    struct ft_message m;

    (void)unused;
    tale_begin(&a, 0, 1, false);
    connects(&a);
    hello_from(&a, FT_SOLO, 1);
    ft_core_hello(&a.core, a.now, &m); /* to its next process, that we are JOINING in view 1 */
    event.greeted = m.sent;
    hears_view(&a, FT_SOLO, 3);
    loses(&a, FT_LOST_EOF);
    assert_int_equal(a.core.view, 3);
    event_happens(&a, &event);
    a.hello.incarnation = 201;
    hello_of_old(&a, FT_JOINING, 3);
    hears_at(&a, FT_MSG_HEARTBEAT, FT_JOINING, 0, m.sent); /* in view 3 it reigns over one in view 1 */
    is(&a, FT_JOINING);
    hears_view(&a, FT_JOINING, 3);
    is(&a, FT_SOLO);
}

static void a_first_node_starts_alone(void **unused)
{
    (void)unused;
    tale_begin(&a, 0, 0, false);
    waits(&a, 299);
    is(&a, FT_JOINING);
    waits(&a, 1);
    is(&a, FT_SOLO);
    because(&a, "started alone");

    tale_begin(&a, 0, 0, true); /* strict: it reigns, and releases nothing */
    waits(&a, 300);
    is(&a, FT_DEGRADED);
    gate_is(&a, FT_GATE_SHUT);

    tale_begin(&a, 0, 1, false); /* it has served: somebody else may hold the state */
    waits(&a, 1000);
    is(&a, FT_JOINING);

    tale_begin(&a, 1, 0, false);
    waits(&a, 1000);
    is(&a, FT_JOINING);
}

static void refused(const char *text)
{
    connects(&a);
    hello_from(&a, FT_JOINING, 0);
    if (!strstr(said(&a, FT_MSG_REFUSE)->text, text))
        fail_msg("refused with '%s', expected '%s'", said(&a, FT_MSG_REFUSE)->text, text);
    is(&a, FT_JOINING);
    because(&a, text);
    tale_begin(&a, 0, 0, false);
}

static void a_peer_that_differs_is_refused_by_name(void **unused)
{
    static const char other[] = "chain edge\nnat 203.0.113.2\n";

    (void)unused;
    tale_begin(&a, 0, 0, false);
    a.hello.lanes = 2;
    refused("lanes: left 1, right 2");
    a.hello.bulk = (const uint8_t *)other;
    refused("nat: left 203.0.113.1, right 203.0.113.2");
    a.hello.bulk_len = 11;
    refused("left nat 203.0.113.1, right nothing");
    a.hello.strict = true;
    refused("strict: left false, right true");
    a.hello.warm = true;
    refused("standby: left hot, right warm");
    strcpy(a.hello.name, "left");
    refused("both nodes are called 'left'");
    a.hello.detect_ms = 20; /* our lease would outlast its patience */
    refused("lease_ms must be below the other's detect_ms: left 20 and 50, right 20 and 20");
    a.hello.lease_ms = 50;
    refused("left 20 and 50, right 50 and 50");
    a.hello.promote_within_ms = 200; /* it could promote itself when we go on alone */
    refused("promote_within_ms");
    a.hello.solo_after_ms = 100;
    refused("promote_within_ms");
}

#define FILE_CHANGES "; change the file of the node that is not primary, and restart it, or push"
#define ONE_PROGRAM  "; one program on both: its state does not pass to another version"

static void differ(const char *name, const char *ours, const char *peer, const char *theirs,
                   const char *expected)
{
    tale_begin(&a, 0, 0, false);
    strcpy(a.config.name, name);
    a.config.identity = ours;
    a.config.identity_len = (uint32_t)strlen(ours);
    tale_begin_anew(&a);
    strcpy(a.hello.name, peer);
    a.hello.bulk = (const uint8_t *)theirs;
    a.hello.bulk_len = a.hello.identity_len = (uint32_t)strlen(theirs);
    connects(&a);
    hello_from(&a, FT_JOINING, 0);
    const char *text = said(&a, FT_MSG_REFUSE)->text, *rest = text + strlen(expected);

    assert_true(strncmp(text, expected, strlen(expected)) == 0);
    assert_string_equal(rest, strstr(expected, " version:") ? ONE_PROGRAM : FILE_CHANGES);
}

#define NAT  "lanes 1\nburst 32\nnf 1: nat inside=10.0.0.0/8,172.16.0.0/12,192.168.0.0/16 outside=203.0.113.1 "
#define PORT "port 0: in inside 02:00:00:00:00:07 10.0.0.1/24"
#define LONG "a-name-as-long-as-names-may-be-"

/* A setting is found wherever it stands in its line, and both nodes read the same text. */
static void the_refusal_shows_what_differs(void **unused)
{
    (void)unused;
    differ("a", NAT "max_flows=20000 udp=300\n", "b", NAT "max_flows=30000 udp=300\n",
           "nf 1: nat max_flows: a 20000, b 30000");
    differ("a", "nf 1: nat\nnf 2: monitor timeout=3\n", "b", "nf 1: nat\nnf 2: firewall udp=3\n",
           "nf 2: a monitor, b firewall");
    differ("a", "nf 1: nat udp=3\n", "b", "nf 1: nat icmp=3\n", "nf 1: nat: a udp=3, b icmp=3");
    differ("a", "nf 1: nat\n", "b", "nf 1: nat udp=3\n", "nf 1: nat: a nothing, b udp=3");
    differ("a", "nf 1: nat\n", "b", "nf 1: nat\nnf 2: monitor timeout=3\n",
           "a nothing, b nf 2: monitor timeout=3");
    differ("a", PORT "\n", "b", PORT " 10.0.0.9\n", "port 0: a nothing, b 10.0.0.9");
    differ("a", PORT "\n", "b", "port 0: in inside 02:00:00:00:00:08 10.0.0.1/24\n",
           "port 0: a 02:00:00:00:00:07, b 02:00:00:00:00:08");
    differ("a", "nf 1: x s=one\n", "b", "nf 1: x s=\n", "nf 1: x s: a one, b nothing");
    differ("a", "", "b", "lanes 1\n", "a nothing, b lanes 1");
    differ("a", "lanes 1\n", "b", "lanes 2\n", "lanes: a 1, b 2");
    differ("a", "nf 1: nat version=3 udp=3\n", "b", "nf 1: nat version=4 icmp=3\n",
           "nf 1: nat version: a 3, b 4");
    differ("a", "library version=1\n", "b", "library version=2\n", "library version: a 1, b 2");
    differ("alpha", "mode=log\nlanes 1\nnf 1: nat\n", "beta",
           "mode=log\narbiter=u/edge/k\nlanes 1\nnf 1: nat\n", "arbiter: alpha nothing, beta u/edge/k");
    differ("a", "mode=log\narbiter=k\nlanes 1\n", "b", "mode=log\nlanes 1\n", "arbiter: a k, b nothing");
    differ("a", "mode=log\narbiter=k\nlanes 1\n", "b", "mode=log\narbiter=l\nlanes 1\n", "arbiter: a k, b l");
    differ("a", "port 0: x\nroute 0: y\n", "b", "port 0: x\nport 1: z\nroute 0: y\n",
           "a nothing, b port 1: z");
    differ("a", "pending_mb=64\nlanes 1\n", "b", "pending_mb=32\nlanes 1\n", "pending_mb: a 64, b 32");
}

/* Names may be long, and values: what differs stays in sight. */
static void the_refusal_fits(void **unused)
{
    char ours[600], theirs[600], text[FT_REASON_MAX];

    (void)unused;
    snprintf(ours, sizeof(ours), "nf 3: load_balancer tcp_established=%0200u vip=1\n", 1u);
    snprintf(theirs, sizeof(theirs), "nf 3: load_balancer tcp_established=%0200u vip=1\n", 2u);
    for (int names = 0; names < 2; names++) {
        tale_begin(&a, 0, 0, false);
        strcpy(a.config.name, names ? LONG : "a");
        strcpy(a.hello.name, names ? LONG : "b");
        if (names)
            a.hello.name[0] = 'b';
        a.config.identity = ours;
        a.config.identity_len = (uint32_t)strlen(ours);
        tale_begin_anew(&a);
        a.hello.bulk = (const uint8_t *)theirs;
        a.hello.bulk_len = a.hello.identity_len = (uint32_t)strlen(theirs);
        connects(&a);
        hello_from(&a, FT_JOINING, 0);
        snprintf(text, sizeof(text), "%s", said(&a, FT_MSG_REFUSE)->text);
        assert_non_null(strstr(text, "nf 3: load_balancer tcp_established: a"));
        assert_non_null(strstr(text, "01, b"));
        assert_string_equal(strstr(text, "02; "), "02" FILE_CHANGES);
        assert_true(strlen(text) < FT_REASON_MAX - 1);
    }
}

static void speaks(uint16_t newest, uint16_t oldest, const char *program)
{
    tale_begin(&a, 0, 0, false);
    a.config.newest = 5, a.config.oldest = 4;
    strcpy(a.config.program, "0.5.0");
    tale_begin_anew(&a);
    a.hello.newest = newest, a.hello.oldest = oldest;
    strcpy(a.hello.program, program);
    connects(&a);
    assert_int_equal(said(&a, FT_MSG_HELLO)->newest * 10 + said(&a, FT_MSG_HELLO)->oldest, 54);
    waits(&a, 15); /* a heartbeat would be due */
    assert_int_equal(a.did.count, 0);
    hello_from(&a, FT_JOINING, 0);
}

static void both_speak_the_newest_that_both_know(void **unused)
{
    (void)unused;
    speaks(5, 4, "0.5.0");
    assert_int_equal(said(&a, FT_MSG_HEARTBEAT)->version, 5);
    speaks(4, 3, "0.4.0");
    assert_int_equal(said(&a, FT_MSG_HEARTBEAT)->version, 4);
    assert_string_equal(a.core.peer.program, "0.4.0");
    a.hello.newest = a.hello.oldest = 9; /* who is known has said what it is */
    assert_true(a.core.peer.known);
    hello_from(&a, FT_JOINING, 0);
    assert_int_equal(a.core.peer.version, 4);
    struct ft_message m = {.type = FT_MSG_HEARTBEAT, .version = 5, .state = FT_JOINING, .sent = 1ull << 50};
    struct ft_event event = {.kind = FT_EV_MESSAGE, .message = &m};

    event_happens(&a, &event);
    assert_true(a.did.malformed);
    assert_string_equal(a.core.malformed.text, "it speaks version 5, agreed on is 4");
    speaks(6, 5, "0.6.0");
    assert_int_equal(said(&a, FT_MSG_HEARTBEAT)->version, 5);
    speaks(3, 2, "0.3.0");
    because(
        &a,
        "formats: left (understudy 0.5.0) speaks 4 to 5, right (understudy 0.3.0) 2 to 3; upgrade right, one "
        "release after the other");
    waits(&a, 15); /* it would understand nothing */
    assert_int_equal(a.did.count, 0);
    speaks(7, 7, "0.8.0");
    because(&a, "formats: left (understudy 0.5.0) speaks 4 to 5, right (understudy 0.8.0) 7; upgrade left, "
                "one release "
                "after the other");
    assert_non_null(said(&a, FT_MSG_REFUSE));
    assert_false(a.core.peer.known);
    tale_begin(&a, 0, 0, false); /* a shard that has a name, which version 3 cannot say */
    a.config.newest = 4, a.config.oldest = 3;
    a.config.members = (struct ft_members){{7, 8}, {"left", "right"}};
    strcpy(a.config.program, "0.4.0");
    tale_begin_anew(&a);
    a.hello.newest = a.hello.oldest = 3;
    strcpy(a.hello.program, "0.2.0");
    connects(&a);
    hello_from(&a, FT_JOINING, 0);
    because(&a,
            "formats: left (understudy 0.4.0) speaks 3 to 4, right (understudy 0.2.0) 3; upgrade right, one "
            "release after the other");
}

/* What a node says of its past: a takeover and a loss are told apart, and what comes later overwrites
 * neither. */

static struct tale n;

static void a_takeover_says_from_whom_and_for_how_long_nothing_was_heard(void **unused)
{
    (void)unused;
    reach_ready(&n, false);
    waits(&n, 50);
    is(&n, FT_SOLO);
    because(&n, "took over from left: silence for 50 ms");
    assert_string_equal(n.core.takeover.reason, "silence");
    assert_int_equal(n.core.loss.count, 0); /* it had no standby */

    reach_ready(&n, false);
    loses(&n, FT_LOST_ERROR); /* the name outlives the connection */
    connects(&n);
    waits(&n, 50);
    because(&n, "took over from left: silence for 50 ms");
}

static void the_end_of_connections_to_nobody_is_no_reason(void **unused)
{
    (void)unused;
    reach_ready(&n, false);
    loses(&n, FT_LOST_EOF);
    because(&n, "took over from left: the peer closed its connection");
    for (unsigned i = 0; i < 18; i++) {
        connects(&n);
        loses(&n, FT_LOST_ERROR);
        did_not(&n, FT_ACT_STATE); /* no line */
        because(&n, "took over from left: the peer closed its connection");
    }
    assert_int_equal(n.core.loss.count, 0);
}

static void a_loss_is_told_once_whatever_follows_from_it(void **unused)
{
    (void)unused;
    reach_protected(&n, false);
    loses(&n, FT_LOST_ERROR);
    is(&n, FT_DEGRADED);
    because(&n, "standby right lost: the connection broke");
    assert_int_equal(n.core.loss.at, n.now);
    waits(&n, 200);
    is(&n, FT_SOLO);
    because(&n, "standby right lost: the connection broke");
    assert_int_equal(n.core.loss.count, 1);
    assert_int_equal(n.core.loss.view, 1);
    assert_true(n.core.loss.at < n.now);
    assert_int_equal(n.core.takeover.view, 0);
}

static void who_knows_that_it_is_dead_knows_better(void **unused)
{
    (void)unused;
    reach_protected(&n, false);
    loses(&n, FT_LOST_ERROR);
    word_of(&n, n.hello.incarnation);
    is(&n, FT_SOLO);
    because(&n, "standby right lost: its guardian says it is dead");
    assert_int_equal(n.core.loss.count, 1);
}

static void a_loss_stays_known_until_the_next_and_a_silence_that_ends_is_none(void **unused)
{
    (void)unused;
    reach_protected(&n, false);
    waits(&n, 30);
    is(&n, FT_DEGRADED);
    because(&n, "no answer from the standby for 20 ms");
    assert_int_equal(n.core.loss.count, 0);
    waits(&n, 180);
    is(&n, FT_SOLO);
    because(&n, "standby right lost: no answer for 200 ms");
    assert_int_equal(n.core.loss.count, 1);

    hears(&n, FT_MSG_HEARTBEAT, FT_JOINING); /* back: it gets a snapshot, and is PROTECTED again */
    reaches(&n, FT_EV_CUT, 20);
    hears(&n, FT_MSG_HEARTBEAT, FT_SYNCING);
    happens(&n, FT_EV_SNAPSHOT_SENT);
    hears_at(&n, FT_MSG_ACK, FT_SYNCING, 20, n.sent);
    reaches(&n, FT_EV_GUARDED, 22);
    hears_at(&n, FT_MSG_ACK, FT_READY, 22, n.sent);
    is(&n, FT_PROTECTED);
    because(&n, "the standby is ready");
    assert_string_equal(n.core.loss.why, "standby right lost: no answer for 200 ms");
    hears(&n, FT_MSG_HEARTBEAT, FT_JOINING);
    because(&n, "standby right lost: it is not ready any more");
    assert_int_equal(n.core.loss.count, 2);
}

static void a_fence_says_by_whom(void **unused)
{
    (void)unused;
    reach_protected(&n, false);
    hears_view(&n, FT_SOLO, 2);
    because(&n, "right has taken over: fenced by view 2");
    assert_string_equal(n.core.fenced.by, "right");
    assert_int_equal(n.core.loss.count, 0);
}

/* Programs need not read reasons to know that nothing failed. */
static void what_was_planned_is_told_apart(void **unused)
{
    (void)unused;
    reach_ready(&n, false);
    loses(&n, FT_LOST_EOF);
    assert_int_equal(did(&n, FT_ACT_STATE)->event, FT_SAYS_TAKEOVER);
    assert_false(did(&n, FT_ACT_STATE)->flag || n.core.takeover.planned);
    reach_protected(&n, false);
    loses(&n, FT_LOST_ERROR);
    assert_false(did(&n, FT_ACT_STATE)->flag);
}

/* It serves on for the reason that it had, and says besides whom it refuses, and why. */
static void a_primary_says_in_what_its_standby_differs(void **unused)
{
    (void)unused;
    reach_protected(&n, false);
    loses(&n, FT_LOST_EOF);
    is(&n, FT_SOLO);
    connects(&n);
    n.hello.lanes = 2;
    hello_from(&n, FT_JOINING, 1);
    is(&n, FT_SOLO);
    because(&n, "standby right lost: the peer closed the connection");
    assert_string_equal(n.core.differs, "lanes: left 1, right 2");
    assert_int_equal(did(&n, FT_ACT_STATE)->event, FT_SAYS_REFUSED);
    assert_int_equal(did(&n, FT_ACT_STATE)->send.state, FT_SOLO);
    assert_string_equal(did(&n, FT_ACT_STATE)->send.text, "the peer differs: lanes: left 1, right 2");
    loses(&n, FT_LOST_EOF);
    assert_string_equal(n.core.differs, "lanes: left 1, right 2"); /* as it was heard last */
    connects(&n);
    n.hello.lanes = 1;
    hello_from(&n, FT_JOINING, 1);
    assert_string_equal(n.core.differs, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_role_counts_when_nobody_ever_served),
        cmocka_unit_test(later_the_higher_view_counts),
        cmocka_unit_test(both_are_empty_after_a_power_loss),
        cmocka_unit_test(who_was_heard_as_another_waits_to_be_heard),
        cmocka_unit_test(a_first_node_starts_alone),
        cmocka_unit_test(a_peer_that_differs_is_refused_by_name),
        cmocka_unit_test(the_refusal_shows_what_differs),
        cmocka_unit_test(the_refusal_fits),
        cmocka_unit_test(both_speak_the_newest_that_both_know),
        cmocka_unit_test(a_takeover_says_from_whom_and_for_how_long_nothing_was_heard),
        cmocka_unit_test(the_end_of_connections_to_nobody_is_no_reason),
        cmocka_unit_test(a_loss_is_told_once_whatever_follows_from_it),
        cmocka_unit_test(who_knows_that_it_is_dead_knows_better),
        cmocka_unit_test(a_loss_stays_known_until_the_next_and_a_silence_that_ends_is_none),
        cmocka_unit_test(a_fence_says_by_whom),
        cmocka_unit_test(what_was_planned_is_told_apart),
        cmocka_unit_test(a_primary_says_in_what_its_standby_differs),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_start", tests, NULL, NULL);
}
