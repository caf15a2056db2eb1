/* SPDX-License-Identifier: Apache-2.0 */
/* What a pair file says of tracked things, hooks and which node is to be primary. */
#include "tests/help/config.h"
#include "tests/help/refusal.h"

#include "ftcore/base/event_log.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A pair whose first node has `part`, and `more` lines at the end. Lines 1 to 7 are before the part. */
#define FILE_OF(part, more)                                                                                  \
    "chain: {name: x, nfs: [bare]}\n"                                                                        \
    "interfaces: [{name: in, side: inside, address: 10.0.0.1/8}, {name: out, side: outside, address: "       \
    "192.0.2.1/24}]\n"                                                                                       \
    "link: {insecure: true}\n"                                                                               \
    "nodes:\n"                                                                                               \
    "  b: {role: standby, ports: {in: i, out: o}, replication: \"1.0.0.2:1\", control: b}\n"                 \
    "  a: {role: primary, ports: {in: i, out: o}, replication: \"1.0.0.1:1\", control: a,\n"                 \
    "      " part "}\n" more

static void everything_that_may_be_said_is_read(void **state)
{
    static const char text[] = FILE_OF(
        "track: [{interface: eth9, weight: 7}, {gateway: 192.0.2.9, rise: 4, fall: 5}, {route: 0.0.0.0/0}, "
        "{script: s/x, every_ms: 100}], hooks: [{command: c}, {fifo: f, events: [takeover, port]}, {socket: "
        "/run/s}]",
        "prefer: a\nfailback: {after: 60}\nhold_down_s: 3\n");
    struct nd_config *c;
    struct ft_fault fault = {""};
    const struct nd_node *a;

    (void)state;
    if (nd_config_read(&c, help_config_file("t.yaml", text, strlen(text)), ND_CONFIG_NODES, &fault) != 0)
        fail_msg("%s", fault.text);
    a = &c->node[1];
    assert_int_equal(a->tracks, 4);
    assert_string_equal(a->track[0].what, "eth9");
    assert_int_equal(a->track[0].kind, ND_TRACK_INTERFACE);
    assert_int_equal(a->track[0].weight, 7);
    assert_int_equal(a->track[1].kind, ND_TRACK_GATEWAY);
    assert_int_equal(a->track[1].gateway, inet_addr("192.0.2.9"));
    assert_int_equal(a->track[1].port, 1);
    assert_int_equal(a->track[1].rise, 4);
    assert_int_equal(a->track[1].fall, 5);
    assert_int_equal(a->track[2].kind, ND_TRACK_ROUTE);
    assert_int_equal(a->track[2].route.mask, 0);
    assert_int_equal(a->track[3].kind, ND_TRACK_SCRIPT);
    assert_string_equal(strrchr(a->track[3].what, '/') - 2, "/s/x"); /* beside the file */
    assert_int_equal(a->track[3].what[0], '/');
    assert_int_equal(a->track[3].every_ms, 100);
    assert_int_equal(a->track[2].every_ms, 1000);
    assert_int_equal(a->hooks, 3);
    assert_true(a->hook[0].kind == ND_HOOK_COMMAND && a->hook[0].events == UINT64_MAX);
    assert_true(a->hook[1].events == (1ull << FT_SAYS_TAKEOVER | 1ull << FT_SAYS_PORT));
    assert_true(a->hook[2].kind == ND_HOOK_SOCKET && strcmp(a->hook[2].path, "/run/s") == 0);
    assert_int_equal(c->authority.prefer, 1);
    assert_int_equal(c->authority.failback, ND_FAILBACK_AFTER);
    assert_int_equal(c->authority.after_s, 60);
    assert_int_equal(c->authority.hold_down_s, 3);
    nd_config_free(c);
}

static void nothing_said_is_nobody_preferred_and_no_failback(void **state)
{
    static const char text[] = FILE_OF("mbufs: 2048", "");
    struct nd_config *c;
    struct ft_fault fault = {""};

    (void)state;
    assert_int_equal(
        nd_config_read(&c, help_config_file("t.yaml", text, strlen(text)), ND_CONFIG_NODES, &fault), 0);
    assert_int_equal(c->authority.prefer, -1);
    assert_int_equal(c->authority.failback, ND_FAILBACK_NEVER);
    assert_int_equal(c->authority.hold_down_s, 10);
    assert_int_equal(c->node[1].tracks + c->node[1].hooks, 0);
    nd_config_free(c);
}

static void what_is_wrong_is_refused_by_position(void **state)
{
    static const struct refusal cases[] = {
        {FILE_OF("track: [{weight: 1}]", ""),
         "t.yaml:7: node a track has 0 of interface, gateway, route and script, expected one"},
        {FILE_OF("track: [{script: x, interface: e}]", ""),
         "t.yaml:7: node a track has 2 of interface, gateway, route and script, expected one"},
        {FILE_OF("track: [{script: x, weight: 101}]", ""),
         "t.yaml:7: node a track weight is 101, expected a number from 1 to 100"},
        {FILE_OF("track: [{script: x, every_ms: 99}]", ""),
         "t.yaml:7: node a track every_ms is 99, expected a number from 100 to 60000"},
        {FILE_OF("track: [{gateway: 198.51.100.1}]", ""),
         "t.yaml:7: node a track gateway is 198.51.100.1, expected an address in the network of one of the "
         "interfaces"},
        {FILE_OF("track: [{gateway: 192.0.2.1}]", ""),
         "t.yaml:7: node a track gateway is 192.0.2.1, expected an address in the network of one of the "
         "interfaces"},
        {FILE_OF("track: [{interface: a-name-that-is-too-long}]", ""),
         "t.yaml:7: node a track interface is a-name-that-is-too-long, expected text of 1 to 15 characters"},
        {FILE_OF("hooks: [{comand: x}]", ""),
         "t.yaml:7: unknown key \"comand\" in node a hooks, expected \"command\"?"},
        {FILE_OF("hooks: [{command: x, fifo: y}]", ""),
         "t.yaml:7: node a hooks has 2 of command, fifo and socket, expected one"},
        {FILE_OF("hooks: [{fifo: y, events: [takover]}]", ""),
         "t.yaml:7: node a hooks events has \"takover\", expected takeover?"},
        {FILE_OF("mbufs: 2048", "prefer: c\n"),
         "t.yaml:8: prefer is c, expected the name of a node of this file"},
        {FILE_OF("mbufs: 2048", "failback: manual\n"),
         "t.yaml:8: failback without prefer, expected prefer: NAME"},
        {FILE_OF("mbufs: 2048", "prefer: a\nfailback: after\n"),
         "t.yaml:9: failback is after, expected never, manual or { after: SECONDS }"},
        {FILE_OF("mbufs: 2048", "prefer: a\nfailback: {after: 0}\n"),
         "t.yaml:9: failback after is 0, expected seconds, from 1 to 604800"},
        {FILE_OF("mbufs: 2048", "hold_down_s: 0\n"),
         "t.yaml:8: hold_down_s is 0, expected a number from 1 to 3600"},
    };

    (void)state;
    REFUSE_ALL(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_may_be_said_is_read),
        cmocka_unit_test(nothing_said_is_nobody_preferred_and_no_failback),
        cmocka_unit_test(what_is_wrong_is_refused_by_position),
    };
    return cmocka_run_group_tests(tests, NULL, help_config_clean);
}
