/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, told as stories: who has lost the other one asks the arbiter, and goes on by no other
 * answer than that to its own question. Facts from docs/decisions.md. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/core.h"

static struct tale t;

static void answered(struct ft_era era, enum ft_answer answer)
{
    struct ft_event event = {.kind = FT_EV_ANSWER, .era = era, .answer = answer};

    event_happens(&t, &event);
}

/* Answers to questions that are not this one. */
static void others_win(struct ft_era asked, enum ft_state state)
{
    const struct ft_era others[] = {{asked.view, asked.number - 1},
                                    {asked.view, asked.number + 1},
                                    {asked.view - 1, asked.number},
                                    {asked.view + 1, asked.number},
                                    {0, 0}};

    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        answered(others[i], FT_ANSWER_WON);
        is(&t, state);
        did_not(&t, FT_ACT_GATE);
    }
}

static struct ft_era standby_asks(void)
{
    reach_ready(&t, false);
    t.core.config.arbiter = true;
    waits(&t, 49);
    did_not(&t, FT_ACT_ASK);
    waits(&t, 1);
    is(&t, FT_READY);
    because(&t, "silence; asks the arbiter");
    assert_true(did(&t, FT_ACT_ASK)->flag);
    return did(&t, FT_ACT_ASK)->era;
}

/* When solo_after_ms is over. */
static struct ft_era primary_asks(void)
{
    reach_protected(&t, false);
    t.core.config.arbiter = true;
    for (unsigned ms = 0; ms < 400 && !t.core.arbiter.asking; ms++) {
        waits(&t, 1);
        assert_true(t.core.state != FT_SOLO);
    }
    is(&t, FT_DEGRADED);
    assert_true(did(&t, FT_ACT_ASK)->flag);
    return did(&t, FT_ACT_ASK)->era;
}

static void a_standby_takes_over_by_the_answer_to_its_question(void **unused)
{
    struct ft_era asked = standby_asks();

    (void)unused;
    waits(&t, 1000);
    is(&t, FT_READY); /* elapsed time alone moves nothing */
    others_win(asked, FT_READY);
    answered(asked, FT_ANSWER_WON);
    is(&t, FT_SOLO);
    because(&t, "silence for");
    because(&t, "the arbiter decided for");
}

static void a_standby_that_lost_does_not(void **unused)
{
    struct ft_era asked = standby_asks();

    (void)unused;
    answered(asked, FT_ANSWER_LOST);
    is(&t, FT_JOINING);
    answered(asked, FT_ANSWER_WON); /* a second answer is nobody's */
    is(&t, FT_JOINING);
}

static void a_primary_goes_on_by_the_answer_to_its_question(void **unused)
{
    struct ft_era asked = primary_asks();

    (void)unused;
    waits(&t, 1000);
    is(&t, FT_DEGRADED);
    others_win(asked, FT_DEGRADED);
    answered(asked, FT_ANSWER_SILENT);
    is(&t, FT_DEGRADED);
    because(&t, "the arbiter does not answer: holding");
    answered(asked, FT_ANSWER_WON);
    is(&t, FT_SOLO);
}

static void a_primary_that_lost_holds(void **unused)
{
    struct ft_era asked = primary_asks();

    (void)unused;
    answered(asked, FT_ANSWER_LOST);
    is(&t, FT_DEGRADED);
    because(&t, ": holding");
    answered(asked, FT_ANSWER_WON);
    is(&t, FT_DEGRADED);
}

static void an_answer_that_nobody_asked_for_is_nobodys(void **unused)
{
    (void)unused;
    reach_ready(&t, false);
    t.core.config.arbiter = true;
    answered(t.core.arbiter.era, FT_ANSWER_WON);
    is(&t, FT_READY);
    did_not(&t, FT_ACT_GATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_standby_takes_over_by_the_answer_to_its_question),
        cmocka_unit_test(a_standby_that_lost_does_not),
        cmocka_unit_test(a_primary_goes_on_by_the_answer_to_its_question),
        cmocka_unit_test(a_primary_that_lost_holds),
        cmocka_unit_test(an_answer_that_nobody_asked_for_is_nobodys),
    };

    return cmocka_run_group_tests_name("core_arbiter", tests, NULL, NULL);
}
