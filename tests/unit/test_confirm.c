/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of chain files that are kept, and a change that waits for a confirm: which note holds, when it is due
 * on each of two nodes whose clocks differ, what the disk has of it, and what is told to the peer. */
#define _GNU_SOURCE
#include "replicator/replicator.h"

/* The peer: what it was told last, and its answer. */
static uint8_t pushed[256];
static uint32_t pushed_len;
static unsigned pushes;
static bool takes = true, answered;

static bool push(struct rp_replicator *rp, uint64_t chain, const void *bytes, uint32_t len);
static bool hear_answer(struct rp_replicator *rp, struct rp_push_answer *out);
static void forget(struct rp_replicator *rp);

#define rp_push          push
#define rp_push_answered hear_answer
#define rp_push_forget   forget
#include "understudy/change/confirm.c"
#include "tests/help/program.h"
#include "tests/help/test.h"

#define S 1000000000ull

static const char *dir, *sets;

static bool push(struct rp_replicator *rp, uint64_t chain, const void *bytes, uint32_t len)
{
    assert_true(len <= sizeof(pushed));
    memcpy(pushed, bytes, len);
    pushed_len = len;
    pushes++;
    answered = false;
    return true;
}

static bool hear_answer(struct rp_replicator *rp, struct rp_push_answer *out)
{
    *out = (struct rp_push_answer){.taken = takes};
    return answered;
}

static void forget(struct rp_replicator *rp) {}

static int set_up(void **state)
{
    dir = help_directory();
    sets = help_print("%s/a.sets", dir);
    pushes = 0;
    takes = true;
    return 0;
}

#define CONFIRM_TEST(name) TEST_WITH(name, set_up, NULL)

static struct nd_note note_of(uint64_t number, uint64_t confirm_ms)
{
    return (struct nd_note){
        .number = number, .chain = 7, .back = 5, .confirm_ms = confirm_ms, .by = "root", .how = "apply"};
}

CONFIRM_TEST(the_latest_note_holds)
{
    struct nd_confirm c = {.count = 0};
    struct nd_note waits = note_of(100, 60000), early = note_of(99, 0), confirms = note_of(101, 0);

    assert_true(nd_confirm_take(&c, &waits, 10 * S));
    assert_false(nd_confirm_take(&c, &early, 11 * S)); /* an old word ends nothing */
    assert_false(nd_confirm_take(&c, &waits, 50 * S)); /* and the same one begins nothing anew */
    assert_false(nd_confirm_is_due(&c, 70 * S - 1));
    assert_true(nd_confirm_is_due(&c, 70 * S));
    assert_true(nd_confirm_take(&c, &confirms, 71 * S));
    assert_false(nd_confirm_is_due(&c, 1000 * S));
    assert_int_equal(nd_confirm_note(&c, 71 * S).confirm_ms, 0);
    assert_true(nd_confirm_number(&c, 50) > 101); /* a clock that was set back makes no older notes */
    assert_int_equal(nd_confirm_number(&c, 5000), 5000);
}

/* The other node's clocks say anything: what is left is what it is told. */
CONFIRM_TEST(a_successor_carries_the_deadline_on)
{
    struct nd_confirm a = {.count = 0}, b = {.count = 0};
    struct nd_note first = note_of(100, 60000), told;

    nd_confirm_take(&a, &first, 1000 * S);
    told = nd_confirm_note(&a, 1025 * S);
    assert_int_equal(told.confirm_ms, 35000);
    assert_int_equal(told.number, 100);
    nd_confirm_take(&b, &told, 7 * S);
    assert_false(nd_confirm_is_due(&b, 42 * S - 1));
    assert_true(nd_confirm_is_due(&b, 42 * S));
    assert_int_equal(nd_confirm_note(&a, 2000 * S).confirm_ms, 1); /* over, and not confirmed */
    b.again = 50 * S;
    assert_false(nd_confirm_is_due(&b, 49 * S)); /* it failed, and is tried later */
    assert_true(nd_confirm_is_due(&b, 50 * S));
}

CONFIRM_TEST(the_last_ten_sets_are_kept)
{
    struct nd_note list[ND_KEPT_SETS];
    uint8_t *bytes, content[3] = {0, 0, 0};
    uint32_t len;

    assert_int_equal(nd_kept_list(sets, list), 0);
    for (unsigned i = 1; i <= 13; i++) {
        struct nd_note note = note_of(1000 + i, 0);

        content[1] = (uint8_t)i;
        note.chain = i;
        assert_int_equal(nd_kept_add(sets, &note, content, sizeof(content), &help_fault), 0);
    }
    assert_int_equal(nd_kept_list(sets, list), 10);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(list[i].number, 1013 - i);
    assert_string_equal(list[0].by, "root");
    list[0].number = 2000; /* the same files again: nothing new */
    assert_int_equal(nd_kept_add(sets, &list[0], content, sizeof(content), &help_fault), 0);
    assert_int_equal(nd_kept_list(sets, list), 10);
    assert_int_equal(list[0].number, 1013);
    assert_int_equal(nd_kept_read(sets, 1009, &bytes, &len, &help_fault), 0);
    assert_int_equal(len, 3);
    assert_int_equal(bytes[1], 9);
    free(bytes);
    assert_int_equal(nd_kept_read(sets, 1003, &bytes, &len, &help_fault), FT_ENOENT); /* gone */
}

CONFIRM_TEST(what_is_no_set_is_refused)
{
    struct nd_note note = note_of(1000, 0), list[ND_KEPT_SETS];
    uint8_t *bytes;
    uint32_t len;

    assert_int_equal(nd_kept_add(sets, &note, (const uint8_t *)"abc", 3, &help_fault), 0);
    assert_int_equal(truncate(help_print("%s/00000000000000001000", sets), 40), 0);
    assert_int_equal(nd_kept_read(sets, 1000, &bytes, &len, &help_fault), FT_EMALFORMED);
    assert_int_equal(nd_kept_list(sets, list), 0);
}

/* A node that begins again carries on what its disk says, for no longer than was left when it was written. */
CONFIRM_TEST(the_disk_has_what_waits)
{
    struct nd_note waits = note_of(100, 40000);
    struct nd_confirm c;

    nd_confirm_open(&c, dir, "a", 5 * S, 2000 * S);
    assert_int_equal(c.until, 0);
    assert_int_equal(nd_kept_add(sets, &waits, (const uint8_t *)"abc", 3, &help_fault), 0);
    assert_int_equal(nd_kept_wait(sets, &waits, 2040 * S, &help_fault), 0);
    nd_confirm_open(&c, dir, "a", 5 * S, 2010 * S);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.order.number, 100);
    assert_int_equal(c.until, 35 * S);
    nd_confirm_open(&c, dir, "a", 5 * S, 9000 * S); /* over: due at once */
    assert_true(nd_confirm_is_due(&c, 5 * S));
    nd_confirm_open(&c, dir, "a", 5 * S, 1000 * S); /* the clock was set back */
    assert_int_equal(c.until, 45 * S);
    assert_int_equal(nd_kept_wait(sets, &(struct nd_note){.number = 0}, 0, &help_fault), 0);
    nd_confirm_open(&c, dir, "a", 5 * S, 2010 * S);
    assert_int_equal(c.until, 0);
    assert_int_equal(c.order.number, 0);
    assert_int_equal(c.count, 1);
}

/* It was confirmed while the other node was away, which has the time on its disk still, and both begin again.
 */
CONFIRM_TEST(a_confirm_outlives_who_heard_it)
{
    struct nd_note waits = note_of(100, 40000), confirms = note_of(101, 0), told;
    struct nd_confirm a, b;

    assert_int_equal(nd_kept_add(sets, &waits, (const uint8_t *)"abc", 3, &help_fault), 0);
    assert_int_equal(nd_kept_wait(sets, &waits, 2040 * S, &help_fault), 0);
    nd_confirm_open(&b, dir, "a", 5 * S, 9000 * S);
    assert_true(nd_confirm_is_due(&b, 5 * S));
    assert_int_equal(nd_kept_wait(sets, &confirms, 0, &help_fault), 0);
    nd_confirm_open(&a, dir, "a", 7 * S, 9000 * S);
    assert_false(nd_confirm_is_due(&a, 9000 * S));
    told = nd_confirm_note(&b, 6 * S);
    assert_false(nd_confirm_take(&a, &told, 7 * S)); /* an earlier word */
    told = nd_confirm_note(&a, 7 * S);
    assert_true(nd_confirm_take(&b, &told, 6 * S));
    assert_false(nd_confirm_is_due(&b, 9000 * S));
}

static const uint8_t *at; /* what is behind the note that was read last */
static uint32_t rest;

static int unpack(const uint8_t *bytes, uint32_t len, struct nd_note *got)
{
    at = bytes;
    rest = len;
    return nd_note_unpack(&at, &rest, got, &help_fault);
}

CONFIRM_TEST(a_note_comes_back_and_nothing_else_is_one)
{
    struct nd_note note = note_of(100, 60000), got;
    uint32_t len;
    uint8_t *bytes = nd_note_pack(&note, (const uint8_t *)"\0set", 4, &len);

    assert_int_equal(unpack(bytes, len, &got), 0);
    assert_memory_equal(&got, &note, sizeof(note));
    assert_int_equal(rest, 4);
    assert_memory_equal(at, "\0set", 4);
    for (uint32_t cut = 1; cut <= sizeof(note); cut++)
        assert_int_equal(unpack(bytes, cut, &got), FT_EMALFORMED);
    bytes[1 + offsetof(struct nd_note, by)] = '\n';
    assert_int_equal(unpack(bytes, len, &got), FT_EMALFORMED);
    memset(bytes + 1 + offsetof(struct nd_note, by), 'x', ND_BY_MAX); /* it does not end */
    assert_int_equal(unpack(bytes, len, &got), FT_EMALFORMED);
    *bytes = 4;
    assert_int_equal(unpack(bytes, len, &got), FT_EMALFORMED);
    *bytes = 0; /* a set without a note */
    assert_int_equal(unpack(bytes, len, &got), 0);
    assert_int_equal(got.number, 0);
    assert_int_equal(rest, len);
    free(bytes);
}

/* It has told the peer so often then. */
static void sends(struct nd_confirm *c, const struct rp_status *s, unsigned times)
{
    nd_confirm_send(c, NULL, s, true);
    assert_int_equal(pushes, times);
}

CONFIRM_TEST(the_peer_is_told_once_on_each_connection)
{
    struct nd_note waits = note_of(100, 60000), stays = note_of(101, 0), got;
    struct nd_confirm c = {.count = 0};
    struct rp_status s = {.link.connects = 1};

    s.core.peer.known = true;
    snprintf(s.core.peer.program, sizeof(s.core.peer.program), "%s", UNDERSTUDY_VERSION);
    sends(&c, &s, 0); /* there is nothing to tell */
    nd_confirm_take(&c, &waits, ft_now());
    nd_confirm_send(&c, NULL, &s, false);
    assert_int_equal(pushes, 0); /* files are on their way */
    sends(&c, &s, 1);
    assert_int_equal(unpack(pushed, pushed_len, &got), 0);
    assert_int_equal(got.number, 100);
    assert_in_range(got.confirm_ms, 50000, 60000);
    assert_false(nd_confirm_is_known(&c, &s));
    answered = true;
    nd_confirm_send(&c, NULL, &s, true);
    assert_true(nd_confirm_is_known(&c, &s));
    sends(&c, &s, 1);
    nd_confirm_take(&c, &stays, ft_now());
    sends(&c, &s, 2); /* at once, as the one before was taken */
    answered = true;
    nd_confirm_send(&c, NULL, &s, true);
    s.link.connects = 2;
    sends(&c, &s, 3);
    answered = true;
    takes = false;
    nd_confirm_send(&c, NULL, &s, true);
    sends(&c, &s, 3); /* what was not taken is sent again later */
    s.link.connects = 3;
    snprintf(s.core.peer.program, sizeof(s.core.peer.program), "0.0.1");
    answered = true;
    nd_confirm_send(&c, NULL, &s, true);
    c.given_up = 0;
    sends(&c, &s, 3); /* it would take it for a malformed set */
}
