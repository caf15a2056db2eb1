/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between two lanes, and the stream of records in them, by numbers alone: the layout to the byte, and
 * sender and receiver over a way that loses, doubles and reorders, beside a model that is a counter: the next
 * burst is the one that is stored, and nothing else is.
 */
#include "tests/help/test.h"

#include "ftcore/queue/lanelink.h"

static uint64_t seed; /* of a sequence of its own, so that one seed is one course */

static uint32_t draw(uint32_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33) % below;
}

TEST(a_head_and_a_body_have_these_bytes)
{
    static const uint8_t head[FT_LINK_HEAD] = {1,    1,    0x02, 0x01, 0, 0,    0,    0,    9,    0,    0,
                                               0,    0,    0,    0,    0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33,
                                               0x22, 0x11, 3,    0,    0, 0,    0,    0,    0,    0x80};
    static const uint8_t nonce[FT_LINK_NONCE] = {1, 0, 0x02, 0x01, 3, 0, 0, 0, 0, 0, 0, 0x80};
    static const uint8_t body[FT_LINK_BODY] = {9, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0,
                                               0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0,
                                               0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0};
    const struct ft_link_head h = {.direction = 1,
                                   .lane = 0x0102,
                                   .view = 9,
                                   .incarnation = 0x1122334455667788,
                                   .number = 0x8000000000000003};
    const struct ft_link_body b = {9, 8, 2, 3, 4, 5, 6, 7, 1};
    uint8_t frame[FT_LINK_OVERHEAD + 1] = {[12] = 0x88, [13] = 0xb6}, other[FT_LINK_BODY];
    struct ft_link_head read;
    struct ft_link_body got;

    ft_link_put_head(frame + FT_LINK_ETHERNET, &h);
    assert_memory_equal(frame + FT_LINK_ETHERNET, head, sizeof(head));
    ft_link_nonce(other, &h);
    assert_memory_equal(other, nonce, sizeof(nonce));
    ft_link_put_body(other, &b);
    assert_memory_equal(other, body, sizeof(body));

    assert_true(ft_link_get_head(frame, sizeof(frame), &read));
    assert_int_equal(read.number, h.number);
    assert_int_equal(read.incarnation, h.incarnation);
    assert_true(ft_link_get_body(body, 1, &got)); /* the sixth byte of six */
    assert_int_equal(got.lag_us, 7);
    assert_false(ft_link_get_body(body, 2, &got)); /* beyond it */
    assert_false(ft_link_get_body(body, 0, &got)); /* a burst, and nothing of it */
    memcpy(other, body, sizeof(body));
    other[8] = 10; /* more is closed than stored */
    assert_false(ft_link_get_body(other, 1, &got));
    assert_false(ft_link_get_head(frame, FT_LINK_OVERHEAD - 1, &read));
    frame[12] = 8;
    assert_false(ft_link_get_head(frame, sizeof(frame), &read));
    frame[12] = 0x88;
    frame[FT_LINK_ETHERNET] = 2;
    assert_false(ft_link_get_head(frame, sizeof(frame), &read));
}

/* ---- over a way ---------------------------------------------------------------------------------- */

#define WAY 64u

struct frame {
    uint64_t number;
    struct ft_link_body body;
    uint32_t records; /* from body.burst on */
};

struct way {
    struct frame frame[WAY];
    unsigned count;
};

struct pair {
    struct ft_link_sender sender;
    struct ft_link_receiver receiver;
    uint64_t said; /* numbers of the standby's frames */
    uint64_t heard;
    uint64_t recorded, stored, closed, now; /* closed: other lanes' records are there as well */
    struct way there, back;
    unsigned loss, doubles; /* percent */
};

static void put(struct pair *p, struct way *way, const struct frame *f)
{
    if (draw(100) < p->loss || way->count == WAY)
        return;
    way->frame[way->count++] = *f;
    if (draw(100) < p->doubles && way->count < WAY)
        way->frame[way->count++] = *f;
}

/* Any of the first few, which may stay there to come once more. */
static bool take(struct pair *p, struct way *way, struct frame *out)
{
    unsigned i;

    if (!way->count)
        return false;
    i = draw(100) < 20 ? draw(way->count) : 0;
    *out = way->frame[i];
    if (draw(100) >= p->doubles)
        memmove(&way->frame[i], &way->frame[i + 1], (--way->count - i) * sizeof(*way->frame));
    return true;
}

static void send(struct pair *p)
{
    struct frame f = {.body.heard = p->heard};

    ft_link_late(&p->sender, p->now);
    f.body.burst = p->sender.next;
    for (; f.records < 3 && p->sender.next <= p->recorded && ft_link_may_send(&p->sender); f.records++)
        ft_link_sent(&p->sender, p->sender.next, p->now);
    if (!f.records)
        return;
    f.number = ++p->sender.number;
    put(p, &p->there, &f);
}

static void say(struct pair *p)
{
    put(p, &p->back,
        &(struct frame){.number = ++p->said,
                        .body = {.stored = p->stored,
                                 .closed = p->closed,
                                 .heard = p->receiver.number,
                                 .room = 1,
                                 .missing = p->receiver.missing}});
    p->receiver.missing = false;
}

static void store(struct pair *p)
{
    struct frame f;

    if (!take(p, &p->there, &f) || !ft_link_is_new(&p->receiver, f.number))
        return;
    p->receiver.number = f.number;
    for (uint32_t i = 0; i < f.records; i++) {
        uint64_t burst = f.body.burst + i;
        enum ft_link_take took = ft_link_take(&p->receiver, burst, p->stored);

        /* the model */
        assert_int_equal(took, burst <= p->stored       ? FT_LINK_HAD
                               : burst == p->stored + 1 ? FT_LINK_TAKE
                                                        : FT_LINK_GAP);
        p->stored += took == FT_LINK_TAKE;
    }
    p->closed += draw(p->stored - p->closed + 1);
    say(p);
}

static void hear(struct pair *p)
{
    struct frame f;

    if (!take(p, &p->back, &f) || f.number <= p->heard)
        return;
    p->heard = f.number;
    assert_int_not_equal(ft_link_take_ack(&p->sender, &f.body, p->recorded, p->now), FT_LINK_LIES);
    assert_true(p->sender.stable <= p->closed);
    assert_true(p->sender.stable <= p->sender.stored && p->sender.stored < p->sender.next);
}

TEST(all_is_stored_in_order_whatever_the_way_does)
{
    for (seed = 1; seed <= 300; seed++) {
        uint64_t chosen = seed;
        struct pair p = {.loss = draw(60), .doubles = draw(40), .now = 1};

        ft_link_begin(&p.sender, 0, p.now);
        for (unsigned step = 0; p.sender.stable < 500 && step < 400000; step++) {
            p.now += draw(20000);
            p.recorded += p.recorded < 500 && draw(4) == 0;
            if (p.stored == 500) { /* what it lacked has come */
                p.closed = 500;
                say(&p);
            }
            send(&p);
            store(&p);
            hear(&p);
        }
        seed = chosen;
        assert_int_equal(p.stored, 500);
        assert_int_equal(p.sender.stable, 500);
    }
}

TEST(who_claims_what_was_never_sent_moves_nothing)
{
    struct ft_link_sender s = {.number = 10}, before;
    const struct ft_link_body ahead = {.stored = 8, .heard = 9}, unsaid = {.stored = 5, .heard = 11};

    ft_link_begin(&s, 4, 1);
    ft_link_sent(&s, 5, 1);
    before = s;
    assert_int_equal(ft_link_take_ack(&s, &ahead, 7, 2), FT_LINK_LIES);
    assert_int_equal(ft_link_take_ack(&s, &unsaid, 7, 2), FT_LINK_LIES);
    assert_memory_equal(&s, &before, sizeof(s));
    assert_int_equal(s.stable, 0); /* what was before the port carried was not said by it */
}

TEST(one_gap_is_gone_back_for_once)
{
    struct ft_link_sender s = {.number = 0};
    struct ft_link_body body = {.stored = 1, .missing = 1};

    ft_link_begin(&s, 0, 1);
    for (uint64_t b = 1; b <= 6; b++, s.number++)
        ft_link_sent(&s, b, 1);
    body.heard = 3;
    ft_link_take_ack(&s, &body, 6, 2);
    assert_int_equal(s.next, 2);
    ft_link_sent(&s, 2, 2);
    s.number = 7;
    body.heard = 6; /* of those that were under way: not again */
    ft_link_take_ack(&s, &body, 6, 3);
    assert_int_equal(s.next, 3);
    assert_int_equal(s.again, 1);
    body.heard = 7;
    ft_link_take_ack(&s, &body, 6, 4);
    assert_int_equal(s.next, 2);
    assert_false(ft_link_late(&s, 4 + FT_LINK_AGAIN_NS)); /* nothing is under way */
    ft_link_sent(&s, 2, 5);
    assert_false(ft_link_late(&s, 4 + FT_LINK_AGAIN_NS));
    assert_true(ft_link_late(&s, 5 + FT_LINK_AGAIN_NS));
    assert_int_equal(s.next, 2);
}

TEST(pieces_make_a_record_in_order_alone)
{
    struct ft_link_receiver r = {.number = 0};
    struct ft_link_body b = {.burst = 3, .whole = 100};

    assert_int_equal(ft_link_take_piece(&r, &b, 40, 1), FT_LINK_GAP); /* burst 2 is missing */
    assert_true(r.missing);
    assert_int_equal(ft_link_take_piece(&r, &b, 40, 2), FT_LINK_TAKE);
    b.offset = 60;
    assert_int_equal(ft_link_take_piece(&r, &b, 40, 2), FT_LINK_GAP);
    b.offset = 40;
    assert_int_equal(ft_link_take_piece(&r, &b, 20, 2), FT_LINK_TAKE);
    assert_int_equal(ft_link_take_piece(&r, &b, 20, 2), FT_LINK_HAD);
    b.offset = 60;
    b.whole = 101;
    assert_int_equal(ft_link_take_piece(&r, &b, 41, 2), FT_LINK_GAP); /* of another one */
    b.whole = 100;
    assert_int_equal(ft_link_take_piece(&r, &b, 40, 2), FT_LINK_TAKE);
    assert_int_equal(r.have, r.all);
    assert_int_equal(ft_link_take_piece(&r, &b, 40, 3), FT_LINK_HAD);
    b = (struct ft_link_body){.burst = 4, .whole = 100}; /* the next one is as long */
    assert_int_equal(ft_link_take_piece(&r, &b, 60, 3), FT_LINK_TAKE);
}
