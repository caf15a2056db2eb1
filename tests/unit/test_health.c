/* SPDX-License-Identifier: Apache-2.0 */
/* When data ports are whole, and whose fault it is when they are not. Facts from docs/operating.md. */
#include "understudy/track/rules.h"
#include "tests/help/test.h"

#define NOW    10000u
#define WITHIN 1000u
#define AGO(n) (NOW - (n))

static struct nd_health h;
static char text[ND_HEALTH_TEXT];

/* Two ports that hear the peer's of the same number. */
static void well(void)
{
    h = (struct nd_health){.self = "a",
                           .peer = "b",
                           .ports = 2,
                           .meets = true,
                           .told = true,
                           .port = {{.name = "in"}, {.name = "out"}}};
    for (unsigned i = 0; i < 2; i++) {
        h.port[i].judged = h.port[i].carrier = true;
        h.port[i].mtu = h.port[i].peer_mtu = 1500;
        h.port[i].heard = AGO(1);
    }
}

static const char *faults(void)
{
    nd_health_judge(&h, NOW, WITHIN, 0);
    bool some = nd_health_faults(&h, text);

    assert_int_equal(some, text[0] != '\0');
    return text;
}

static const char *standby(bool primary)
{
    nd_health_judge(&h, NOW, WITHIN, 0);
    bool some = nd_health_standby(&h, primary, text);

    assert_int_equal(some, text[0] != '\0');
    return text;
}

TEST(ports_that_hear_the_peer_are_whole)
{
    well();
    assert_string_equal(faults(), "");
    h.port[1].heard = AGO(WITHIN - 1);
    h.port[1].crossed = AGO(1); /* of the other port as well: both are on one network */
    h.port[1].peer_mtu =
        1400; /* the peer's fault, if it is the standby; this port carries all that one does */
    assert_string_equal(faults(), "");
}

TEST(each_fault_of_ones_own_is_named)
{
    well();
    h.port[0].carrier = false;
    assert_string_equal(faults(), "node a: port in: no carrier");
    h.port[0].replaced = true; /* by whoever looked, who then says that it has no carrier */
    assert_string_equal(faults(), "node a: port in: its interface was made anew, restart this node");
    well();
    h.port[1].mtu = 1400;
    assert_string_equal(faults(), "node a: port out: MTU 1400, expected 1500 as node b has");
    well();
    h.port[0].heard = AGO(WITHIN);
    assert_string_equal(faults(), "node a: port in: does not hear node b");
    h.port[0].crossed = AGO(1);
    h.port[0].peer_port = 1;
    assert_string_equal(faults(), "node a: port in: hears port out of node b");
    h.port[1].carrier = false;
    assert_string_equal(faults(), "node a: port in: hears port out of node b; node a: port out: no carrier");
}

TEST(a_peer_that_was_never_heard_is_not_heard_at_once)
{
    well();
    h.port[0].heard = 0;
    assert_string_equal(faults(), "node a: port in: does not hear node b");
    h.meets = false; /* nobody is there to be heard */
    assert_string_equal(faults(), "");
}

TEST(whoever_was_held_up_waits_again_for_a_heartbeat)
{
    well();
    h.port[0].heard = AGO(5000);
    nd_health_judge(&h, NOW, WITHIN, AGO(WITHIN - 1));
    assert_false(nd_health_faults(&h, text));
    nd_health_judge(&h, NOW, WITHIN, AGO(WITHIN));
    assert_true(nd_health_faults(&h, text));
}

TEST(what_the_peer_says_of_its_ports_counts)
{
    well();
    h.port[0].theirs = FT_PORT_NO_CARRIER;
    h.port[0].heard = 0; /* follows from it, and is not said */
    assert_string_equal(faults(), "node b: port in: no carrier");
    well();
    h.port[1].theirs = FT_PORT_SMALL_MTU;
    h.port[1].peer_mtu = 1400;
    assert_string_equal(faults(), "node b: port out: MTU 1400, expected 1500 as node a has");
    well();
    h.port[1].theirs = FT_PORT_UNHEARD; /* frames get lost one way */
    assert_string_equal(faults(), "node b: port out: does not hear node a");
    h.port[1].heard = AGO(WITHIN); /* or both ways, of which one is said */
    assert_string_equal(faults(), "node a: port out: does not hear node b");
}

TEST(a_device_that_leads_nowhere_is_not_judged)
{
    well();
    h.port[0] = (struct nd_port_health){.name = "in"};
    assert_string_equal(faults(), "");
}

/* A handover is refused for the standby's faults, and not for those of the primary, which it would mend. */
TEST(a_fault_of_the_primary_is_none_of_the_standby)
{
    for (int primary = 0; primary < 2; primary++) {
        well();
        h.port[0].carrier = false; /* this node's */
        h.port[0].heard = 0;
        h.port[0].theirs = FT_PORT_UNHEARD;
        assert_string_equal(standby(primary), primary ? "" : "node a: port in: no carrier");
        well();
        h.port[0].theirs = FT_PORT_NO_CARRIER; /* the peer's */
        h.port[0].heard = 0;
        assert_string_equal(standby(primary), primary ? "node b: port in: no carrier" : "");
        well();
        h.port[1].theirs = FT_PORT_SMALL_MTU;
        h.port[1].peer_mtu = 1400;
        assert_int_equal(standby(primary)[0] != '\0', primary);
        well();
        h.port[1].crossed = AGO(1);
        h.port[1].heard = 0;
        assert_string_equal(standby(primary), "node a: port out: hears port in of node b");
        well();
        h.port[1].theirs = FT_PORT_UNHEARD;
        assert_string_equal(standby(primary), "node b: port out: does not hear node a");
    }
}

/* A primary without any port that works says nothing by its ports, and its standby hears nothing. */
TEST(a_standby_may_take_over_from_a_primary_that_says_nothing)
{
    well();
    h.told = false;
    h.port[0].heard = h.port[1].heard = 0;
    assert_string_equal(standby(false), "");
    assert_string_equal(standby(true),
                        "node a: port in: does not hear node b; node a: port out: does not hear node b");
    h.port[0].carrier = h.port[1].carrier = false;
    assert_string_equal(standby(true), "");
}

/* Nothing passes between two ports, and a gateway that answers the standby alone has told whose fault it is.
 */
TEST(a_deaf_port_of_the_primary_is_none_of_the_standby)
{
    well();
    h.port[1].heard = 0;
    h.port[1].theirs = FT_PORT_UNHEARD;
    h.port[1].deaf = true;
    assert_string_equal(standby(true), "");
    assert_string_equal(standby(false), "node a: port out: does not hear node b");
    assert_string_equal(faults(), "node a: port out: does not hear node b"); /* and is said */
    h.told = false;                                                          /* all of its ports are */
    h.port[1].theirs = FT_PORT_WHOLE;
    assert_string_equal(standby(true), "");
    h.port[0].theirs = FT_PORT_UNHEARD; /* of the other port no gateway tells */
    assert_string_equal(standby(true), "node b: port in: does not hear node a");
    well();
    h.port[1].deaf = true;
    h.port[1].theirs = FT_PORT_NO_CARRIER; /* what the peer knows of itself stays its own */
    assert_string_equal(standby(true), "node b: port out: no carrier");
    h.port[1].theirs = FT_PORT_CROSSED;
    assert_string_equal(standby(true), "node b: port out: hears another port of node a");
}
