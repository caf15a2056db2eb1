/* SPDX-License-Identifier: Apache-2.0 */
/* What the log says of counts: that events of the log of flows are lost, once when that begins and once when
 * it has ended. */
#include "understudy/watch/counts.c"
#include "tests/help/test.h"

static const struct nf_module flow_log = {.name = "flow_log"};
static uint64_t counters[NF_LOG_LOST + 1];
static struct nd_config config = {.chain = {.lanes = 1, .count = 1}};

static void look(struct nd_counts *c, enum ft_state state, uint64_t lost)
{
    struct rp_status s = {.core.state = state};

    counters[NF_LOG_LOST] = lost;
    report_lost_events(c, &s);
}

TEST(a_loss_has_a_beginning_and_an_end)
{
    struct nd_counts c = {
        .config = &config, .counted[1] = &flow_log, .counters[0][1] = counters, .table_count = 0};

    look(&c, FT_READY, 900); /* its primary's */
    assert_false(c.log_said.loses);
    look(&c, FT_SOLO, 900);
    assert_false(c.log_said.loses);
    look(&c, FT_SOLO, 901);
    assert_true(c.log_said.loses);
    look(&c, FT_SOLO, 1000);
    assert_true(c.log_said.loses && c.log_said.before == 900 && c.log_said.lost == 1000);
    look(&c, FT_SOLO, 1000); /* a pause is no end */
    assert_true(c.log_said.loses);
    c.log_said.at -= LOST_NS;
    look(&c, FT_SOLO, 1000);
    assert_false(c.log_said.loses);
    look(&c, FT_SOLO, 1001); /* the next one counts anew */
    assert_true(c.log_said.loses && c.log_said.before == 1000);
    look(&c, FT_FENCED, 1002);
    assert_false(c.log_said.loses);
    look(&c, FT_SOLO, 0); /* of a chain that was changed */
    assert_true(!c.log_said.loses && c.log_said.lost == 0);
}
