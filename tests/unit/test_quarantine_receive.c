/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a standby does when it hears what its primary died of (understudy/crash/quarantine.c): a quarantine,
 * and what the chain file says of an NF that died of its state. Notices are as a node's handler makes them,
 * of a first death and of a second one.
 */
#include "understudy/crash/quarantine.c"
#include "tests/help/config.h"
#include "tests/help/test.h"

#include <signal.h>

static struct nd_config *config;
static struct nd_peer_crashes all;

static const char *executed; /* the only NF that packets come to; NULL: they come to all */

static bool executes(void *arg, const char *nf)
{
    return !executed || strcmp(executed, nf) == 0;
}

static int begin(void **state)
{
    help_config_file("empty.rules", "default allow\n", 14);
    config = help_config_pair(
        "chain: { name: test, nfs: [ { rate_limiter: { pps: 1000, max_clients: 64, max_flows: 64, on_crash: "
        "reset } },"
        " { firewall: { rules: empty.rules, max_flows: 64 } }, { monitor: { max_flows: 64, on_crash: bypass "
        "} } ] }\n"
        "protect: { quarantine_s: 60 }\n"
        "link: { insecure: true }\n");
    memset(&all, 0, sizeof(all));
    all.config = config;
    all.self = 1;
    all.executes = executes;
    executed = NULL;
    help_done(nd_crash_open(&all.crash, config, 1, &help_fault));
    return 0;
}

static int end(void **state)
{
    nd_crash_close(all.crash);
    return 0;
}

/* A death in that NF. packet: 0, or which one of its burst it was; before: the NF for which it dropped
 * frames. */
static struct ft_crash_notice death(const char *nf, enum nf_doing doing, uint32_t packet, const char *before)
{
    struct ft_crash_notice n = {.signal = SIGSEGV, .burst = 7, .packet = packet, .doing = doing};

    snprintf(n.nf, sizeof(n.nf), "%s", nf);
    snprintf(n.before, sizeof(n.before), "%s", before);
    n.fingerprints = doing == NF_DOING_PACKETS ? packet ? 1 : 4 : 0;
    for (uint32_t i = 0; i < n.fingerprints; i++)
        n.fingerprint[i] = (struct ft_fingerprint){.content = 100 + i, .suspect = !packet};
    return n;
}

static void hear(struct ft_crash_notice notice)
{
    nd_quarantine_receive(&all, &notice, false);
}

static const char *remedy(void)
{
    return atomic_load(&all.remedy.serial) ? all.remedy.text : "";
}

/* It hears that, and this is the remedy then. */
static void hears(struct ft_crash_notice notice, const char *expected)
{
    hear(notice);
    assert_string_equal(remedy(), expected);
}

static uint32_t kept_from(void)
{
    return atomic_load(&all.crash->page->quarantine.count);
}

TEST_WITH(a_first_death_sets_frames_aside, begin, end)
{
    hears(death("monitor", NF_DOING_PACKETS, 0, ""), "");
    assert_int_equal(kept_from(), 4);
    assert_string_equal(all.crash->page->quarantine.nf, "monitor");
}

TEST_WITH(a_second_one_without_its_packet_has_the_nf_bypassed, begin, end)
{
    hears(death("monitor", NF_DOING_PACKETS, 0, "monitor"), "set monitor bypass=on");
    assert_int_equal(atomic_load(&all.remedy.serial), 1);
    assert_int_equal(kept_from(), 4); /* a packet may be the cause all the same */
}

/* Who sends ever new packets that kill does not have the pair die for ever. */
TEST_WITH(a_second_one_of_a_packet_that_is_known, begin, end)
{
    hears(death("monitor", NF_DOING_PACKETS, 2, ""), "");
    hears(death("monitor", NF_DOING_PACKETS, 2, "monitor"), "set monitor bypass=on");
    assert_int_equal(kept_from(), 1);
    hears(death("rate_limiter", NF_DOING_PACKETS, 2, "rate_limiter"), "reset rate_limiter");
}

/* The state begins anew, and what was suspected before is no less suspect: this time it was a packet. */
TEST_WITH(suspects_stay_where_a_packet_is_known, begin, end)
{
    struct ft_crash_notice second = death("rate_limiter", NF_DOING_PACKETS, 2, "rate_limiter");

    hear(death("rate_limiter", NF_DOING_PACKETS, 0, ""));
    assert_int_equal(nd_quarantine_held(&all.crash->page->quarantine), 4);
    second.fingerprint[0].content = 200;
    for (uint32_t i = 1; i <= 4; i++) /* they travel in the notice */
        second.fingerprint[i] = (struct ft_fingerprint){.content = 99 + i, .suspect = true};
    second.fingerprints = 5;
    hears(second, "reset rate_limiter");
    assert_int_equal(nd_quarantine_held(&all.crash->page->quarantine), 5);
}

TEST_WITH(a_second_one_in_another_nf, begin, end)
{
    hear(death("monitor", NF_DOING_PACKETS, 0, ""));
    hears(death("monitor", NF_DOING_PACKETS, 0, "rate_limiter"), "");
    assert_int_equal(kept_from(), 4);
}

/* Of a quarantine that only remembers the NF lanes need not look at frames. */
TEST_WITH(lanes_look_at_frames_while_one_is_held, begin, end)
{
    struct nd_quarantine *q = &all.crash->page->quarantine;
    const _Atomic uint32_t *asked = nd_quarantine_suspects(q).count;
    struct ft_core s = {.state = FT_SOLO};

    hear(death("monitor", NF_DOING_PACKETS, 0, ""));
    assert_int_equal(atomic_load(asked), 4);
    hears(death("monitor", NF_DOING_PACKETS, 0, "monitor"), "set monitor bypass=on");
    assert_int_equal(nd_quarantine_held(q), 0);
    assert_true(nd_quarantine_on(q));
    assert_int_equal(atomic_load(asked), 0);
    hear(death("firewall", NF_DOING_PACKETS, 1, "monitor"));
    assert_int_equal(atomic_load(asked), 1);
    nd_quarantine_turn(&all, &s);
    assert_string_equal(all.nf, "firewall");
    atomic_store(&q->until, 1);
    nd_quarantine_turn(&all, &s);
    assert_false(nd_quarantine_on(q));
    assert_int_equal(atomic_load(asked), 0);
}

/* A state that begins anew may live with what killed the one before: it passes alone, once there is a
 * standby.
 */
TEST_WITH(what_killed_with_a_state_that_is_gone_is_a_suspect, begin, end)
{
    struct nd_quarantine *q = &all.crash->page->quarantine;
    struct ft_crash_notice alone = death("rate_limiter", NF_DOING_PACKETS, 2, "rate_limiter");

    hear(death("rate_limiter", NF_DOING_PACKETS, 2, ""));
    assert_int_equal(atomic_load(&q->suspects), 0);
    hears(death("rate_limiter", NF_DOING_PACKETS, 2, "rate_limiter"), "reset rate_limiter");
    assert_int_equal(atomic_load(&q->suspects), 1);
    assert_int_equal(nd_quarantine_held(q), 1);
    alone.fingerprint[0].suspect = FT_KILLED_ALONE;
    hear(alone);
    assert_int_equal(atomic_load(&q->suspects), 0);
}

/* Of a death in another NF a packet may be the cause, though that of this one was the state. */
TEST_WITH(suspects_of_another_nf_are_not_let_go, begin, end)
{
    struct nd_quarantine *q = &all.crash->page->quarantine;
    struct ft_crash_notice second = death("monitor", NF_DOING_PACKETS, 0, "rate_limiter"), third;

    hear(death("rate_limiter", NF_DOING_PACKETS, 0, ""));
    for (uint32_t i = 0; i < 4; i++) {
        second.fingerprint[4 + i] = second.fingerprint[i];
        second.fingerprint[i].content = 200 + i;
    }
    second.fingerprints = 8;
    hear(second);
    assert_int_equal(nd_quarantine_held(q), 8);
    third = second;
    snprintf(third.before, sizeof(third.before), "monitor");
    hears(third, "set monitor bypass=on");
    assert_int_equal(nd_quarantine_held(q), 4);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(atomic_load(&q->cleared) >> i & 1, q->fingerprint[i].content >= 200);
}

static struct ft_crash_notice told;
static unsigned tells;

static void tell(void *arg, const struct ft_crash_notice *notice)
{
    static const struct ft_datagram_key key = {7, {8, 9}};
    uint8_t bytes[FT_CRASH_BYTES];

    assert_int_equal(ft_crash_notice_decode(bytes, ft_crash_notice_encode(notice, &key, bytes), &key, &told),
                     0);
    tells++;
}

/* A standby knows what its primary drops before anything makes it take over: a handover, kill -9, silence. */
TEST_WITH(a_quarantine_goes_over_with_the_role, begin, end)
{
    struct nd_quarantine *q = &all.crash->page->quarantine;
    struct ft_core s = {.state = FT_SOLO};
    uint64_t until;

    all.tell = tell;
    tells = 0;
    hear(death("monitor", NF_DOING_PACKETS, 2, ""));
    nd_quarantine_turn(&all, &s);
    assert_int_equal(tells, 0);
    s.state = FT_PROTECTED;
    nd_quarantine_turn(&all, &s);
    nd_quarantine_turn(&all, &s);
    assert_int_equal(tells, 1);
    assert_int_equal(told.signal, 0);
    assert_int_equal(told.packet, 1);
    assert_int_equal(told.fingerprints, 1);
    assert_string_equal(told.before, "monitor");
    assert_true(told.burst > 50000 && told.burst <= 60000);
    all.told_at -= 1000000000u; /* a datagram may be lost */
    nd_quarantine_turn(&all, &s);
    assert_int_equal(tells, 2);

    end_quarantine(q); /* as on the standby, which has none */
    hear(told);
    assert_int_equal(kept_from(), 1);
    assert_string_equal(q->nf, "monitor");
    assert_string_equal(remedy(), "");
    until = atomic_load(&q->until);
    atomic_store(&q->dropped, 5);
    told.burst = 1000; /* the same again, which lasts no longer than with the primary */
    hear(told);
    assert_int_equal(atomic_load(&q->dropped), 5);
    assert_true(atomic_load(&q->until) < until);

    end_quarantine(q);
    nd_quarantine_receive(&all, &told, true); /* a primary has its own */
    assert_int_equal(kept_from(), 0);
}

/* What was suspected has passed and done no harm: the standby lets it pass as well, once it is primary; and
 * the next death in that NF is known to be a second one. */
TEST_WITH(all_that_was_suspected_is_cleared, begin, end)
{
    struct nd_quarantine *q = &all.crash->page->quarantine;
    struct nd_suspects suspects = nd_quarantine_suspects(q);
    struct ft_core s = {.state = FT_PROTECTED};
    struct ft_crash_notice next = {.signal = SIGSEGV};

    all.tell = tell;
    tells = 0;
    hear(death("monitor", NF_DOING_PACKETS, 0, ""));
    nd_quarantine_turn(&all, &s);
    assert_int_equal(told.fingerprints, 4);
    suspects.clear(suspects.of, 15);
    assert_int_equal(atomic_load(suspects.count), 0);
    nd_quarantine_turn(&all, &s);
    assert_int_equal(tells, 2);
    assert_int_equal(told.fingerprints, 0);
    nd_quarantine_add(q, &next, ND_ADD_SUSPECTS);
    assert_string_equal(next.before, "monitor");
    assert_int_equal(next.fingerprints, 0);

    hear(death("monitor", NF_DOING_PACKETS, 0, "")); /* as on the standby */
    told.packet++;
    hear(told);
    assert_int_equal(nd_quarantine_held(q), 0);
    next.before[0] = 0;
    nd_quarantine_add(q, &next, ND_ADD_SUSPECTS);
    assert_string_equal(next.before, "monitor");
    all.told_at -= 1000000000u; /* that datagram may be lost as well */
    nd_quarantine_turn(&all, &s);
    assert_int_equal(tells, 3);
    end_quarantine(q);
    all.told_at -= 1000000000u;
    nd_quarantine_turn(&all, &s);
    assert_string_equal(told.before, "");
}

/* An operator has bypassed the NF, or taken it out of the chain; or says that it is mended. */
TEST_WITH(what_no_packet_comes_to_any_more_needs_no_quarantine, begin, end)
{
    struct nd_quarantine *q = &all.crash->page->quarantine;
    struct ft_core s = {.state = FT_SOLO};
    struct ft_crash_notice second = death("rate_limiter", NF_DOING_PACKETS, 0, "monitor");

    hear(death("monitor", NF_DOING_PACKETS, 2, ""));
    nd_quarantine_turn(&all, &s);
    assert_int_equal(nd_quarantine_held(q), 1);
    executed = "rate_limiter";
    s.state = FT_READY; /* that is its primary's to say */
    nd_quarantine_turn(&all, &s);
    assert_int_equal(nd_quarantine_held(q), 1);
    s.state = FT_SOLO;
    nd_quarantine_turn(&all, &s);
    assert_int_equal(nd_quarantine_held(q), 0);

    executed = NULL; /* what is there for a death in another NF stays */
    hear(death("monitor", NF_DOING_PACKETS, 0, ""));
    second.fingerprint[4].content = 200;
    second.fingerprints = 5;
    hear(second);
    executed = "monitor";
    nd_quarantine_turn(&all, &s);
    assert_int_equal(nd_quarantine_held(q), 4);

    executed = NULL;
    hear(death("monitor", NF_DOING_PACKETS, 2, ""));
    assert_true(nd_quarantine_lift(&all));
    assert_false(nd_quarantine_lift(&all));
    assert_int_equal(kept_from(), 0);
}

TEST_WITH(a_death_in_timers, begin, end)
{
    hears(death("rate_limiter", NF_DOING_TIMERS, 0, ""), "reset rate_limiter");
    hears(death("monitor", NF_DOING_TIMERS, 0, ""), "set monitor bypass=on");
    assert_int_equal(atomic_load(&all.remedy.serial), 2);
    assert_int_equal(kept_from(), 0);
}

TEST_WITH(the_file_says_stop, begin, end)
{
    hear(death("firewall", NF_DOING_TIMERS, 0, ""));
    hears(death("firewall", NF_DOING_PACKETS, 0, "firewall"), "");
    assert_int_equal(kept_from(), 4);
}

TEST_WITH(what_a_standby_died_of, begin, end)
{
    struct ft_crash_notice timers = death("monitor", NF_DOING_TIMERS, 0, ""),
                           second = death("monitor", NF_DOING_PACKETS, 0, "monitor");

    nd_quarantine_receive(&all, &timers, true);
    nd_quarantine_receive(&all, &second, true);
    assert_string_equal(remedy(), "");
    assert_int_equal(kept_from(), 0);
}

TESTS_SHARE(NULL, help_config_clean)
