/* SPDX-License-Identifier: Apache-2.0 */
/* Which node is to be primary: the rule's cases by name, and a pair that lives at random under it. Facts from
 * docs/operating.md. */
#include "understudy/track/rules.h"

#include "ftcore/base/draw.h"
#include "tests/help/test.h"

#define S         1000000000ull
#define MS        1000000ull
#define NOW       (1000 * S)
#define HOLD_DOWN (10 * S)

/* A pair that is PROTECTED and whole, with equal counters, whose role has never moved. */
static const struct nd_authority well = {.now = NOW,
                                         .serves = true,
                                         .whole = true,
                                         .told = true,
                                         .equal_since = NOW - 500 * S,
                                         .settle_ns = ND_SETTLE_NS,
                                         .hold_down_ns = HOLD_DOWN};

/* The same, and this node's counter has been higher for a second. */
static struct nd_authority demoted(void)
{
    struct nd_authority a = well;

    a.own = 10;
    a.higher_since = NOW - S;
    a.equal_since = 0;
    return a;
}

static void moves(struct nd_authority a, enum nd_move move)
{
    const char *why = NULL;

    assert_int_equal(nd_authority_decide(&a, &why), move);
    assert_non_null(why);
}

static void stays(struct nd_authority a, const char *because)
{
    const char *why = "";

    assert_int_equal(nd_authority_decide(&a, &why), ND_STAY);
    if (because)
        assert_string_equal(why, because);
    else
        assert_null(why);
}

TEST(the_higher_counter_hands_over_and_the_lower_one_stays)
{
    struct nd_authority a = demoted();

    stays(well, NULL);
    moves(a, ND_MOVE_COUNTER);
    a.other = 9;
    moves(a, ND_MOVE_COUNTER);
    a.other = 11;
    stays(a, NULL);
    a.other = a.own = ND_PORT_WEIGHT; /* both have lost the switch */
    a.higher_since = 0, a.equal_since = NOW - S;
    stays(a, NULL);
}

TEST(a_difference_has_to_stand_for_a_moment)
{
    struct nd_authority a = demoted();

    a.higher_since = NOW - ND_SETTLE_NS + 1;
    stays(a, "the counters have differed for a moment only");
    a.higher_since = NOW - ND_SETTLE_NS;
    moves(a, ND_MOVE_COUNTER);
    a.settle_ns = ND_SETTLE_NS + S; /* what fails is looked at once a second, by both nodes */
    stays(a, "the counters have differed for a moment only");
    a.higher_since = NOW - ND_SETTLE_NS - S;
    moves(a, ND_MOVE_COUNTER);
}

TEST(only_to_a_standby_that_is_ready_whole_and_has_said_its_counter)
{
    struct nd_authority a = demoted();

    a.serves = false;
    stays(a, "the standby is not READY");
    a = demoted(), a.whole = false;
    stays(a, "the standby could not carry traffic");
    a = demoted(), a.told = false;
    stays(a, NULL);
}

TEST(the_first_move_is_at_once_and_the_next_not_within_hold_down)
{
    struct nd_authority a = demoted();

    a.moved = NOW - HOLD_DOWN + 1;
    stays(a, "the role has moved within hold_down_s");
    a.moved = NOW - HOLD_DOWN;
    moves(a, ND_MOVE_COUNTER);
    a.tried = NOW - ND_RETRY_NS + 1;
    stays(a, "the last handover did not happen");
    a.tried = NOW - ND_RETRY_NS;
    moves(a, ND_MOVE_COUNTER);
}

TEST(a_hold_and_a_pin_to_this_node_keep_the_role)
{
    struct nd_authority a = demoted();

    a.held = true;
    stays(a, "an operator holds the role where it is");
    a = demoted(), a.pinned = ND_WANTED_OWN;
    stays(a, "an operator has pinned the role to this node");
    a = well, a.preferred = ND_WANTED_OTHER, a.returns = true, a.return_after_ns = S;
    moves(a, ND_MOVE_RETURN);
    a.held = true;
    stays(a, NULL);
    a.held = false, a.pinned = ND_WANTED_OWN;
    stays(a, NULL);
}

TEST(a_pin_to_the_other_node_moves_the_role_unless_its_counter_is_higher)
{
    struct nd_authority a = well;

    a.pinned = ND_WANTED_OTHER;
    moves(a, ND_MOVE_PIN);
    a.moved = NOW - 1;
    stays(a, "the role has moved within hold_down_s");
    a = well, a.pinned = ND_WANTED_OTHER, a.other = 1, a.equal_since = 0;
    stays(a, "the node that it is pinned to has the higher counter");
    a = demoted(), a.pinned = ND_WANTED_OTHER;
    moves(a, ND_MOVE_COUNTER);
}

TEST(the_preferred_node_gets_the_role_back_only_as_failback_says)
{
    struct nd_authority a = well;

    a.preferred = ND_WANTED_OTHER;
    stays(a, "the other node is preferred: understudy failback");
    a.returns = true, a.return_after_ns = 60 * S, a.equal_since = NOW - 60 * S + 1;
    stays(a, "the time of failback is not over");
    a.equal_since = NOW - 60 * S;
    moves(a, ND_MOVE_RETURN);
    a.preferred = ND_WANTED_OWN;
    stays(a, NULL);
    a.preferred = ND_WANTED_OTHER, a.equal_since = 0;
    stays(a, "the counters have been equal for a moment only");
    a = demoted(), a.preferred = ND_WANTED_OWN; /* what fails counts more than what is preferred */
    moves(a, ND_MOVE_COUNTER);
}

/* ---- a pair at random ---------------------------------------------------------------------------- */

static struct {
    uint64_t now, moved, changed;
    unsigned primary, pinned; /* pinned: 2, to neither */
    uint32_t counter[2];
    bool held, whole;
    struct nd_authority a;
} pair;

static uint64_t seed;

static unsigned pick(unsigned n)
{
    return (unsigned)(ft_draw(&seed) % n);
}

static void change_something(void)
{
    static const uint32_t weights[] = {0, 0, 10, 30, ND_PORT_WEIGHT};

    pair.changed = pair.now;
    switch (pick(8)) {
    case 0:
        pair.held = pick(4) == 0;
        break;
    case 1:
        pair.pinned = pick(4);
        pair.pinned = pair.pinned > 2 ? 2 : pair.pinned;
        break;
    case 2:
        pair.whole = pick(3) > 0;
        break;
    default:
        pair.counter[pick(2)] = weights[pick(5)];
    }
}

static enum nd_wanted seen(unsigned node)
{
    return node == 2 ? ND_WANTED_ANY : node == pair.primary ? ND_WANTED_OWN : ND_WANTED_OTHER;
}

static void look_at_the_pair(void)
{
    struct nd_authority *a = &pair.a;

    a->now = pair.now;
    a->serves = a->told = true;
    a->whole = pair.whole;
    a->own = pair.counter[pair.primary], a->other = pair.counter[!pair.primary];
    a->higher_since = a->own <= a->other ? 0 : a->higher_since ? a->higher_since : pair.now;
    a->equal_since = a->own != a->other ? 0 : a->equal_since ? a->equal_since : pair.now;
    a->moved = pair.moved;
    a->settle_ns = ND_SETTLE_NS;
    a->hold_down_ns = HOLD_DOWN;
    a->held = pair.held;
    a->pinned = seen(pair.pinned);
    a->preferred = seen(0);
    a->returns = true;
    a->return_after_ns = 20 * S;
}

static void live_a_step(unsigned *moved)
{
    const char *why;

    pair.now += 20 * MS;
    look_at_the_pair();
    if (nd_authority_decide(&pair.a, &why) == ND_STAY) {
        bool worse = pair.a.own > pair.a.other && !pair.held && pair.a.pinned != ND_WANTED_OWN && pair.whole;

        /* Long after the last change the node of the lower counter is primary. */
        assert_false(worse && pair.now - pair.changed > HOLD_DOWN + S);
        return;
    }
    assert_true(pair.a.other <= pair.a.own);
    assert_true(pair.moved == 0 || pair.now - pair.moved >= HOLD_DOWN);
    assert_true(pair.whole && !pair.held && pair.a.pinned != ND_WANTED_OWN);
    if (pair.a.other == pair.a.own)
        assert_true(pair.a.pinned == ND_WANTED_OTHER || (pair.pinned == 2 && pair.primary == 1));
    pair.primary = !pair.primary;
    pair.moved = pair.now;
    pair.a.higher_since = pair.a.equal_since = 0;
    (*moved)++;
}

TEST(at_random_no_rule_is_ever_broken)
{
    unsigned moved = 0;

    for (seed = 1; seed < 40; seed++) {
        uint64_t next = 0, first = seed;

        memset(&pair, 0, sizeof(pair));
        pair.now = NOW, pair.pinned = 2, pair.whole = true;
        while (pair.now < NOW + 2000 * S) {
            if (pair.now >= next) {
                change_something();
                next = pair.now + (pick(4) ? pick(1000) * MS : pick(40) * S);
            }
            live_a_step(&moved);
        }
        seed = first;
    }
    assert_true(moved > 500); /* it is no test when nothing happens */
}

/* ---- a tracked thing ----------------------------------------------------------------------------- */

TEST(a_thing_fails_after_fall_results_and_is_well_after_rise)
{
    struct nd_tracked t = {.rise = 2, .fall = 3};

    assert_false(nd_tracked_note(&t, false));
    assert_false(nd_tracked_note(&t, false));
    assert_false(nd_tracked_note(&t, true)); /* a good one ends the row */
    assert_false(nd_tracked_note(&t, false));
    assert_false(nd_tracked_note(&t, false));
    assert_true(nd_tracked_note(&t, false));
    assert_true(t.failed);
    assert_false(nd_tracked_note(&t, true));
    assert_false(nd_tracked_note(&t, false));
    assert_false(nd_tracked_note(&t, true));
    assert_true(nd_tracked_note(&t, true));
    assert_false(t.failed);
}
