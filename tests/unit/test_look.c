/* SPDX-License-Identifier: Apache-2.0 */
/* A question of one node's main thread to the other's, and the answer in its pieces: whole, paced, and what a
 * peer may send instead. */
#include "replicator/replicator.h"

struct rp_link;
static int carry(struct rp_link *link, const struct ft_message *m, unsigned lanes,
                 struct ft_compressor *compressor);
static const struct rp_link_stats *stats_of(const struct rp_link *link);

#define rp_link_send        carry
#define rp_link_stats(link) stats_of(link)

#include "replicator/look.c"
#include "tests/help/test.h"

/* Two nodes; what one sends the other gets at once. */
static struct rp_replicator node[2];
static struct rp_link_stats counts = {.connects = 1};
static unsigned sending, messages;
static size_t longest;
static bool is_full;

static int carry(struct rp_link *link, const struct ft_message *m, unsigned lanes,
                 struct ft_compressor *compressor)
{
    if (is_full)
        return FT_EFULL;
    messages++;
    longest = m->bulk_len > longest ? m->bulk_len : longest;
    rp_take_look(&node[!sending], m);
    return 0;
}

static const struct rp_link_stats *stats_of(const struct rp_link *link)
{
    return &counts;
}

static int set_up(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        free(node[i].look.bytes);
        free(node[i].looked.bytes);
        memset(&node[i], 0, sizeof(node[i]));
        node[i].core.peer.known = true;
    }
    counts.connects = 1;
    messages = 0;
    longest = 0;
    is_full = false;
    return 0;
}

static void turn(unsigned who, uint64_t now)
{
    sending = who;
    node[who].now = now;
    rp_look_turn(&node[who]);
}

/* The question is with the other node, and answered with `len` bytes. */
static char *ask(uint64_t id, size_t len)
{
    char *text = malloc(len + 1);
    size_t got;

    assert_true(rp_look(&node[0], id, "what", 4));
    turn(0, 1);
    assert_memory_equal(rp_looked(&node[1], &got), "what", 4);
    assert_int_equal(got, 4);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(i * 7 + i / 251);
    char *copy = malloc(len + 1);

    memcpy(copy, text, len);
    rp_looked_answer(&node[1], copy, len);
    return text;
}

TEST_WITH(a_long_answer_comes_whole_and_slowly, set_up, NULL)
{
    const size_t len = 100001;
    char *text = ask(7, len), *got;
    size_t size;
    uint64_t now = 1000;

    assert_false(rp_look(&node[0], 8, "more", 4)); /* one at a time */
    assert_null(rp_looked(&node[1], &size));
    for (unsigned i = 0; i < 24; i++, now += 1000000) {
        is_full = i == 5; /* no room in the link: later */
        assert_false(rp_look_answered(&node[0], &got, &size));
        turn(1, now);
        turn(1, now + 999999); /* not before a millisecond is over */
        is_full = false;
    }
    assert_int_equal(messages, 1 + 23);
    assert_true(longest <= 4096 + 9);
    turn(1, now);
    turn(1, now + 1000000);
    assert_true(rp_look_answered(&node[0], &got, &size));
    assert_int_equal(size, len);
    assert_memory_equal(got, text, len);
    assert_false(rp_look_answered(&node[0], &got, &size));
    free(got);
    free(text);
    assert_true(rp_look(&node[0], 8, "more", 4));
}

static void piece(uint64_t id, uint32_t size, uint32_t at, uint32_t n)
{
    uint8_t bytes[9 + 64] = {RP_LOOK_ANSWER};
    struct ft_message m = {.type = FT_MSG_PUSH, .number = id, .bulk = bytes, .bulk_len = 9 + n};

    memcpy(bytes + 1, &size, 4);
    memcpy(bytes + 5, &at, 4);
    rp_take_look(&node[0], &m);
}

/* Nothing that is no part of the answer counts, and nothing is written beyond it. */
TEST_WITH(pieces_that_do_not_fit_are_none, set_up, NULL)
{
    char *got;
    size_t size;

    piece(7, 10, 0, 10); /* nobody has asked */
    assert_true(rp_look(&node[0], 7, "what", 4));
    turn(0, 1);
    piece(6, 10, 0, 10);               /* another question's */
    piece(7, 10, 4, 6);                /* not from its beginning */
    piece(7, 10, 0, 11);               /* more than there is */
    piece(7, RP_ANSWER_MAX + 1, 0, 8); /* too large */
    piece(7, UINT32_MAX, 0, 8);
    piece(7, 10, 0, 0);
    assert_false(rp_look_answered(&node[0], &got, &size));
    piece(7, 10, 0, 4);
    piece(7, 60, 4, 56); /* of another size */
    piece(7, 10, 0, 4);  /* again */
    piece(7, 10, 4, 7);
    assert_false(rp_look_answered(&node[0], &got, &size));
    piece(7, 10, 4, 6);
    assert_true(rp_look_answered(&node[0], &got, &size));
    assert_int_equal(size, 10);
    free(got);
    piece(7, 10, 0, 10); /* it has been taken */
    assert_false(rp_look_answered(&node[0], &got, &size));
}

TEST_WITH(who_is_gone_gets_no_answer, set_up, NULL)
{
    char *text = ask(7, 5000);
    size_t size;
    char *got;

    turn(1, 1000);
    counts.connects = 2;
    turn(1, 2000000);
    turn(1, 4000000);
    assert_int_equal(messages, 2);
    assert_false(rp_look_answered(&node[0], &got, &size));
    assert_true(rp_look_forget(&node[0]));
    assert_true(rp_look(&node[0], 8, "what", 4));
    turn(0, 5000000);
    assert_non_null(rp_looked(&node[1], &size)); /* and the next question is taken */
    rp_looked_answer(&node[1], NULL, 0);
    assert_null(rp_looked(&node[1], &size));
    free(text);
}
