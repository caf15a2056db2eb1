/* SPDX-License-Identifier: Apache-2.0 */
/* Times of a keeper: chain time goes on by the clock of one whose server began at another time than the last
 * one's; and when a node was heard. */
#include "understudy/keeper/front.h"
#include "tests/help/test.h"

#define MS 1000000u

static uint64_t stamps[8]; /* of inputs that were sent, by burst: their chain time */

static void note_stamp(void *ctx, unsigned node, const struct kp_message *m)
{
    if (m->kind == KP_INPUT)
        stamps[m->burst % 8] = m->time;
}

static bool leave_nowhere(void *ctx, unsigned port, const uint8_t *frame, uint32_t len)
{
    return true;
}

static const struct kp_front_config config = {.inputs = 2048,
                                              .bursts = 1024,
                                              .frame_max = 200,
                                              .nodes = 2,
                                              .incarnation = 77,
                                              .send = note_stamp,
                                              .leave = leave_nowhere};

/* A keeper whose clock says `own` is told by the primary that its last burst is `burst`, of that time; then
 * it cuts one a millisecond. */
static void cut_behind(uint64_t burst, uint64_t time, uint64_t own)
{
    struct kp_message state = {.kind = KP_STATE,
                               .from = 10,
                               .to = 77,
                               .serial = 1,
                               .view = 1,
                               .flags = KP_MAY,
                               .burst = burst,
                               .seq = 1,
                               .time = time,
                               .missing = burst + 1};
    static const uint8_t frame[60];
    struct kp_front front;

    assert_int_equal(kp_front_open(&front, &config), 0);
    kp_front_take(&front, 0, &state, own);
    for (unsigned ms = 1; ms <= 3; ms++) {
        kp_front_add(&front, 0, frame, sizeof(frame));
        kp_front_cut(&front, own + ms * MS);
        kp_front_turn(&front, own + ms * MS);
    }
    kp_front_close(&front);
}

TEST(it_goes_on_from_where_it_stood)
{
    static const uint64_t stood[] = {MS, 90ull * 86400 * 1000 * MS};

    for (unsigned i = 0; i < 2; i++) {
        cut_behind(70, stood[i], 3600ull * 1000 * MS);
        for (unsigned ms = 1; ms <= 3; ms++)
            assert_int_equal(stamps[(70 + ms) % 8], stood[i] + ms * MS);
    }
}

TEST(it_begins_by_the_keepers_clock)
{
    cut_behind(0, 0, 500 * MS);
    assert_int_equal(stamps[1], 501 * MS);
}

/* Who records what a node says, and sends it again when the node is dead, does not bring it back. */
TEST(what_is_sent_again_is_no_sign_of_life)
{
    static const uint8_t kinds[] = {KP_STATE, KP_OUTPUT, KP_WORD, KP_OWN};
    struct kp_message said = {.from = 10, .to = 77, .serial = 5};
    struct kp_front front;

    assert_int_equal(kp_front_open(&front, &config), 0);
    for (unsigned i = 0; i < sizeof(kinds); i++) {
        said.kind = kinds[i];
        said.serial++;
        kp_front_take(&front, 1, &said, (i + 1) * MS);
        assert_int_equal(front.node[1].heard, (i + 1) * MS); /* whatever it says is one */
    }
    for (unsigned i = 0; i < sizeof(kinds); i++)
        for (said.serial = 6; said.serial < 10; said.serial++) {
            said.kind = kinds[i];
            kp_front_take(&front, 1, &said, 5000ull * MS);
            assert_int_equal(front.node[1].heard, sizeof(kinds) * MS);
        }
    said.serial = 10;
    kp_front_take(&front, 1, &said, 6000ull * MS);
    assert_int_equal(front.node[1].heard, 6000ull * MS);
    kp_front_close(&front);
}
