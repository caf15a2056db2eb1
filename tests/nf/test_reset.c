/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NF's state begins anew while the chain runs (reset NF): it is as it was when it was made, the other NFs'
 * is as it was before, what a peer may check holds, and two nodes that begin anew have the same state. And an
 * NF that is bypassed (set NF bypass=on).
 */
#include "nflib/chain/change.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

#include <arpa/inet.h>

#define RESETS                                                                                               \
    "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 1000,"           \
    " max_flows_per_host: 1000, on_crash: reset }\n    - monitor: { max_flows: 1000 }\n"
#define BYPASS                                                                                               \
    "    - firewall: { rules: firewall.rules, max_flows: 1000, on_crash: bypass }\n"                         \
    "    - monitor: { max_flows: 1000 }\n"
#define ANEW                                                                                                 \
    "    - firewall: { rules: firewall.rules, max_flows: 1000, on_crash: reset }\n"                          \
    "    - monitor: { max_flows: 1000 }\n"

#define SCAN "    - monitor: { max_flows: 1000 }\n    - portscan: { max_hosts: 16, max_contacts: 64 }\n"

static struct help_chain h;

static bool flow(uint16_t port, struct nft_seen *out)
{
    return help_chain_spec(&h, NF_INSIDE, &HELP_PACKET(17, 0x0a000009, port, 0xc0000201, 53), out);
}

CHAIN_TEST(a_nat_begins_anew)
{
    struct nft_seen seen;

    help_chain_open(&h, RESETS, NULL, 7);
    for (unsigned i = 0; i < 100; i++)
        assert_true(flow((uint16_t)(5000 + i), &seen));
    assert_int_equal(help_chain_rows(&h, "nat"), 100);
    assert_int_equal(help_chain_rows(&h, "monitor"), 100);
    assert_int_equal(help_chain_command(&h, "reset nat"), 0);
    assert_int_equal(help_chain_rows(&h, "nat"), 0);
    help_chain_is_sound(&h);
    /* All of its ports are free again, and sessions that it translated have ended. */
    for (unsigned i = 0; i < 1000; i++)
        assert_true(flow((uint16_t)(5000 + i), &seen));
    assert_int_equal(help_chain_rows(&h, "nat"), 1000);
    help_chain_is_sound(&h);
}

/* Of the first node, as a snapshot has it. */
static uint8_t *kept;
static uint64_t kept_bytes;

static void keep_state(void)
{
    kept_bytes = h.region->size;
    kept = malloc(kept_bytes);
    assert_non_null(kept);
    memcpy(kept, h.region->base, kept_bytes);
}

static void become_as_kept(void)
{
    assert_int_equal(h.region->size, kept_bytes);
    ft_audit_suspend(h.region);
    memcpy(h.region->base, kept, kept_bytes);
    ft_audit_resume(h.region);
    free(kept);
    h.burst = nf_chain_state(h.chain)->burst;
    h.now = nf_chain_state(h.chain)->time;
    help_chain_is_sound(&h);
}

/* The second node has other seeds; it gets the state of the first one, and then both begin anew. */
CHAIN_TEST(two_nodes_begin_anew_with_the_same_state)
{
    uint64_t digest[2];

    for (unsigned i = 0; i < 2; i++) {
        struct nft_seen seen;

        help_chain_open(&h, RESETS, NULL, 7 + i);
        for (unsigned k = 0; k < 50 && i == 0; k++)
            assert_true(flow((uint16_t)(5000 + k), &seen));
        if (i == 0)
            keep_state();
        else
            become_as_kept();
        assert_int_equal(help_chain_command(&h, "reset nat"), 0);
        assert_int_equal(help_chain_command(&h, "reset nat"), 0);
        assert_true(flow(6000, &seen));
        digest[i] = help_chain_digest(&h);
    }
    assert_int_equal(digest[0], digest[1]);
}

CHAIN_TEST(without_it_nothing_is_kept)
{
    help_chain_open(&h, "    - monitor: { max_flows: 1000 }\n", NULL, 7);
    assert_true(help_chain_command(&h, "reset monitor") < 0);
    assert_non_null(strstr(h.fault.text, "expected on_crash: reset"));
}

CHAIN_TEST(an_nf_is_bypassed)
{
    struct nft_seen seen;

    help_chain_open(&h, BYPASS, "deny out udp\n", 7);
    assert_false(flow(5000, &seen));
    assert_int_equal(help_chain_command(&h, "set firewall bypass=on"), 0);
    assert_true(flow(5000, &seen));
    assert_true(help_chain_command(&h, "set firewall udp=5") < 0);
    assert_true(help_chain_command(&h, "clear firewall") < 0);
    help_chain_is_sound(&h);
    assert_int_equal(help_chain_command(&h, "set firewall bypass=off"), 0);
    assert_false(flow(5001, &seen));
    help_chain_is_sound(&h);

    /* What it held of sessions that have ended meanwhile, nobody has given back. */
    help_chain_open(&h, "    - rate_limiter: { pps: 1000, max_clients: 64, max_flows: 64 }\n", NULL, 7);
    assert_int_equal(help_chain_command(&h, "set rate_limiter bypass=on"), 0);
    assert_true(help_chain_command(&h, "set rate_limiter bypass=off") < 0);
    assert_non_null(strstr(h.fault.text, "apply the chain without it, then with it"));

    help_chain_open(&h, ANEW, "deny out udp\n", 7);
    assert_int_equal(help_chain_command(&h, "set firewall bypass=on"), 0);
    assert_true(flow(5000, &seen));
    assert_int_equal(help_chain_command(&h, "set firewall bypass=off"), 0);
    help_chain_is_sound(&h);
    assert_false(flow(5001, &seen));
    assert_true(help_chain_command(&h, "set firewall bypass=yes") < 0);
}

/* While it is bypassed nobody checks its state: garbage in all of its arena but constants. */
static void damage_nf(const char *name)
{
    static const uint8_t garbage = 0xee;
    const struct nf *nf = nf_chain_find(h.chain, name);
    const struct ft_arena *arena = ft_region_arena(h.region, 0, nf->index);
    struct ft_fault fault = {""};

    ft_audit_suspend(h.region);
    for (uint64_t at = arena->offset; at < arena->offset + arena->used; at++)
        if (nf_chain_keeps(h.chain, at, 1, &garbage, &fault) == 0)
            h.region->base[at] = garbage;
    ft_audit_resume(h.region);
}

CHAIN_TEST(an_nf_whose_state_is_not_sound_stays_bypassed)
{
    struct nft_seen seen;
    struct ft_fault fault = {""};

    help_chain_open(&h, SCAN, NULL, 7);
    assert_true(flow(5000, &seen));
    assert_int_equal(help_chain_command(&h, "set portscan bypass=on"), 0);
    damage_nf("portscan");
    help_chain_is_sound(&h);
    assert_int_equal(help_chain_command(&h, "set portscan bypass=off"), FT_EMALFORMED);
    assert_non_null(strstr(h.fault.text, "apply the chain without it, then with it"));
    assert_true(nf_is_bypassed(nf_chain_state(h.chain), nf_chain_find(h.chain, "portscan")->index));
    assert_true(flow(5001, &seen));
    /* Nor does it come into another chain. */
    assert_int_equal(help_change(&h, SCAN "    - forward: {}\n", NULL, &fault), FT_EBUSY);
    assert_non_null(strstr(fault.text, "portscan: it is bypassed"));
    assert_int_equal(help_change(&h, "    - monitor: { max_flows: 1000 }\n", NULL, &fault), 0);
    assert_int_equal(help_change(&h, SCAN, NULL, &fault), 0);
    assert_false(nf_is_bypassed(nf_chain_state(h.chain), nf_chain_find(h.chain, "portscan")->index));
    assert_true(flow(5002, &seen));
    help_chain_is_sound(&h);
    /* A sound one takes part again. */
    assert_int_equal(help_chain_command(&h, "set portscan bypass=on"), 0);
    assert_int_equal(help_chain_command(&h, "set portscan bypass=off"), 0);
    assert_true(flow(5003, &seen));
}

/* With its bit set, what belongs to nobody's NF (0), or a NAT, would neither run nor be checked. */
CHAIN_TEST(a_peer_may_say_that_those_are_bypassed_that_can_be)
{
    struct nf_lane_state *state;
    struct ft_fault fault = {""};

    help_chain_open(&h, RESETS, NULL, 7);
    state = (struct nf_lane_state *)(uintptr_t)nf_chain_state(h.chain);
    for (unsigned i = 0; i < 64; i++) {
        ft_audit_suspend(h.region);
        state->bypassed = 1ull << i;
        ft_audit_resume(h.region);
        /* 0: the chain's own, 1: nat, 2: monitor */
        assert_int_equal(nf_chain_check(h.chain, NULL, NULL, &fault), i == 2 ? 0 : FT_EMALFORMED);
    }
    ft_audit_suspend(h.region);
    state->bypassed = 0;
    ft_audit_resume(h.region);
}

CHAIN_TEST(who_translates_is_not_passed_by)
{
    help_chain_open(&h, RESETS, NULL, 7);
    assert_true(help_chain_command(&h, "set nat bypass=on") < 0);
    help_chain_refuses("    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535,"
                       " max_flows: 1000, on_crash: bypass }\n",
                       "expected stop or reset");
}
