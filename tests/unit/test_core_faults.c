/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core under faults: thousands of short lives of a pair, each from a seed. Processes die, sleep
 * and come back, machines lose power, disks take their time, the link and the ports fall silent or break,
 * words of the guardian get lost, operators interfere. In some the standby is warm, in some the stream is one
 * of deltas. The world (pair.c) watches every step; when the faults stop, the pair must be PROTECTED
 * again soon.
 *
 * CORE_SEED=N runs one seed, with its transcript; CORE_SEEDS=N runs the first N. Both tests do.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/pair.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS      2000u
#define FAULTS_END (900 * FT_MS)
#define SOON       (2500 * FT_MS)

static struct pair world;

enum wildness {
    HEALS,      /* strict or not, partitions heal before detect_ms is over */
    STRICT,     /* partitions as long as they like */
    SPLITS,     /* partitions as long as they like, not strict: the pair may split, which is counted apart */
    ARBITRATED, /* the same, with an arbiter that answers late, or not, or one of the two: it may not split */
};

static const char *const operator_says[] = {"", "promote", "handover", "resync"};

static void tell(struct pair *p)
{
    unsigned i = (unsigned)pair_draw(p, 2);
    struct ft_event event = {.kind = FT_EV_REQUEST, .request = (enum ft_request)(1 + pair_draw(p, 3))};

    /* A person who makes a node reign that is empty, or has handed over, knows what we cannot know; so does
     * one who does not wait for the arbiter. */
    if (!pair_runs(p, i) || (event.request == FT_REQUEST_PROMOTE && p->node[i].core.state != FT_READY) ||
        (event.request == FT_REQUEST_PROMOTE && p->arbitrated && !p->node[i].core.peer.known) ||
        p->node[i].core.arbiter.asking)
        return;
    pair_note(p, i, "is told: %s", operator_says[event.request]);
    pair_step(p, i, &event);
}

static void upset(struct pair *p)
{
    unsigned i = (unsigned)pair_draw(p, 2);
    struct ft_event event = {.kind = pair_chance(p, 50) ? FT_EV_MALFORMED : FT_EV_DIVERGED,
                             .text = "a fault"};

    if (!pair_runs(p, i) || (event.kind == FT_EV_MALFORMED && !p->node[i].conn))
        return;
    pair_note(p, i, event.kind == FT_EV_MALFORMED ? "gets garbage" : "diverges");
    if (event.kind == FT_EV_MALFORMED)
        p->node[i].deaf = p->node[i].conn; /* as the link is, from there to the connection's end */
    pair_step(p, i, &event);
}

static void silence(struct pair *p, enum wildness wild)
{
    uint64_t until = p->now + FT_MS + pair_draw(p, wild == HEALS ? 15 * FT_MS : 200 * FT_MS);
    unsigned links = (unsigned)(1 + pair_draw(p, 3)), ports = (unsigned)pair_draw(p, 4);

    for (unsigned i = 0; i < 2; i++) {
        if ((links >> i & 1) && until > p->link_blocked[i])
            p->link_blocked[i] = until;
        if ((ports >> i & 1) && until > p->port_blocked[i])
            p->port_blocked[i] = until;
    }
    p->long_partition |= wild != HEALS;
    pair_note(p, 0, "silence of links %u and ports %u until %.1f", links, ports, (double)until / 1e6);
}

/* To a primary that slept while it was replaced, a successor that sleeps in turn is a long partition. */
static void sleep_some(struct pair *p, unsigned i, uint64_t some, enum wildness wild)
{
    if (p->node[!i].paused_until && p->now < p->node[!i].paused_until + 150 * FT_MS) {
        if (wild == HEALS)
            return;
        p->long_partition = true;
    }
    pair_note(p, i, "sleeps for %.1f", (double)some / 1e6);
    p->node[i].paused_until = p->now + some;
    if (some > 15 * FT_MS)
        p->node[i].overslept = p->node[i].paused_until;
}

/* The arbiter is lost, to one node or to both: often together with what the nodes have between them. */
static void upset_arbiter(struct pair *p)
{
    struct arbiter *a = &p->arbiter;
    uint64_t until = p->now + pair_draw(p, 400 * FT_MS);
    unsigned whom = (unsigned)pair_draw(p, 3);

    if (whom == 2)
        a->down_until = until;
    else
        a->cut_until[whom] = until;
    pair_note(p, 0, "the arbiter is out of %s reach until %.1f",
              whom == 2 ? "both nodes'"
              : whom    ? "b's"
                        : "a's",
              (double)until / 1e6);
    if (pair_chance(p, 50))
        silence(p, ARBITRATED);
}

static void fault(struct pair *p, enum wildness wild)
{
    unsigned i = (unsigned)pair_draw(p, 2);
    uint64_t some = pair_draw(p, pair_chance(p, 50) ? 5 * FT_MS : 200 * FT_MS);

    switch (pair_draw(p, wild == ARBITRATED ? 13 : 10)) {
    case 0:
        pair_kill(p, i, false, pair_chance(p, 60), some);
        break;
    case 1:
        pair_kill(p, i, true, false, 10 * FT_MS + some);
        if (pair_chance(p, 20))
            pair_kill(p, !i, true, false, 10 * FT_MS + pair_draw(p, 100 * FT_MS));
        break;
    case 2:
    case 3:
        silence(p, wild);
        break;
    case 4:
        sleep_some(p, i, some, wild);
        break;
    case 5:
        pair_note(p, 0, "the connection breaks");
        pair_break(p);
        break;
    case 6:
        upset(p);
        break;
    case 7:
        p->node[i].stalled_until = p->now + 2 * some;
        break;
    case 8:
        pair_note(p, i, "hears a hello of old");
        if (pair_runs(p, i)) {
            pair_break(p);
            p->node[i].replay_at = p->now + pair_draw(p, 12 * FT_MS);
        }
        break;
    case 10:
    case 11:
        upset_arbiter(p);
        break;
    case 12:
        silence(p, wild);
        break;
    default:
        tell(p);
    }
}

static void heal(struct pair *p)
{
    p->arbiter.down_until = 0;
    for (unsigned i = 0; i < 2; i++) {
        p->arbiter.cut_until[i] = 0;
        p->link_blocked[i] = p->port_blocked[i] = 0;
        p->node[i].stalled_until = 0;
        if (p->node[i].paused_until > p->now)
            p->node[i].paused_until = p->now;
        if (p->node[i].restart_at > p->now + FT_MS)
            p->node[i].restart_at = p->now + FT_MS;
    }
}

/* The short moments in which rights change hands. */
static bool delicate(const struct pair *p)
{
    for (unsigned i = 0; i < 2; i++)
        if (p->node[i].alive && (p->node[i].core.resync >= FT_RESYNC_SWITCH || p->node[i].core.hand ||
                                 (p->node[i].conn && p->node[i].abandons == p->node[i].conn)))
            return true;
    return false;
}

static void live(struct pair *p, uint64_t seed, bool arbiter, FILE *transcript)
{
    uint64_t next, protected_since = 0;
    enum wildness wild = arbiter ? ARBITRATED : (enum wildness)(seed % 3);

    pair_begin(p, seed,
               (struct pair_kind){.strict = !arbiter && (wild == STRICT || seed % 6 == 0),
                                  .arbiter = arbiter,
                                  .warm = seed / 6 % 3 == 1,
                                  .delta = seed / 6 % 4 >= 2},
               transcript);
    next = pair_draw(p, 300 * FT_MS);
    while (p->now < FAULTS_END && !p->failed[0]) {
        pair_tick(p);
        if (p->now < next && !(delicate(p) && pair_chance(p, 4)))
            continue;
        fault(p, wild);
        /* Faults come alone or in flocks: the second one often hits the handling of the first. */
        next = p->now + pair_draw(p, pair_chance(p, 60) ? 15 * FT_MS : 250 * FT_MS);
    }
    heal(p);
    pair_note(p, 0, "all faults have ended");
    while (p->now < FAULTS_END + SOON && !p->failed[0]) {
        pair_tick(p);
        if (!pair_protected(p))
            protected_since = 0;
        else if (!protected_since)
            protected_since = p->now;
        else if (p->now - protected_since > 30 * FT_MS)
            break;
    }
    bool was = pair_protected(p);
    uint64_t before = p->releases;

    for (unsigned k = 0; k < 40 && !p->failed[0]; k++)
        pair_tick(p);
    if (!was || p->releases == before)
        pair_fail(p, "not protected, or nothing leaves, long after the last fault");
}

static void on_abort(int number)
{
    (void)number;
    fprintf(stderr, "# aborted with CORE_SEED=%lu\n", world.seed);
}

static void try_seeds(bool arbiter)
{
    const char *one = getenv("CORE_SEED"), *many = getenv("CORE_SEEDS");
    uint64_t first = one ? strtoull(one, NULL, 0) : 1, last = one    ? first
                                                              : many ? strtoull(many, NULL, 0)
                                                                     : SEEDS;
    uint64_t splits = 0, takeovers = 0, protections = 0, emptied = 0, resumed = 0, aside = 0, forgotten = 0;
    uint64_t decisions = 0, refused = 0;

    signal(SIGABRT, on_abort);
    for (uint64_t seed = first; seed <= last; seed++) {
        live(&world, seed, arbiter, one ? stderr : NULL);
        if (world.failed[0]) {
            if (!one)
                live(&world, seed, arbiter, stderr);
            fail_msg("CORE_SEED=%lu: at %.1f ms: %s", seed, (double)world.now / 1e6, world.failed);
        }
        splits += world.split;
        takeovers += world.takeovers;
        protections += world.protections;
        emptied += world.emptied;
        resumed += world.resumed;
        aside += world.aside;
        forgotten += world.forgotten;
        decisions += world.arbiter.decisions;
        refused += world.arbiter.refused;
    }
    print_message(
        "# %lu takeovers, %lu times protected, %lu empty beginnings, %lu resumed, %lu splits, %lu views "
        "forgotten, %lu decisions of the arbiter, %lu times it was the other's\n",
        takeovers, protections, emptied, resumed, splits, forgotten, decisions, refused);
    if (!one) { /* the faults do reach what they are for */
        assert_true(takeovers > (last - first) / 2);
        assert_true(protections > 2 * (last - first));
        assert_true(resumed > 0);
        assert_true(aside > 0);
        assert_true(forgotten > 0);
        assert_true(arbiter ? splits == 0 : splits > 0 && splits < (last - first) / 10);
        assert_true(arbiter ? decisions > (last - first) / 2 && refused > (last - first) / 20 : !decisions);
    }
}

static void no_fault_breaks_a_promise(void **unused)
{
    (void)unused;
    try_seeds(false);
}

static void with_an_arbiter_no_partition_splits_the_pair(void **unused)
{
    (void)unused;
    try_seeds(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_fault_breaks_a_promise),
        cmocka_unit_test(with_an_arbiter_no_partition_splits_the_pair),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_faults", tests, NULL, NULL);
}
