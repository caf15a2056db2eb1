/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ports of two nodes' lanes, sealed, over a way in memory. One lane: frames that are nobody's, by the
 * million, and which of those that somebody sealed count. Two lanes of a standby: what depends on another
 * lane's burst is closed, and said to be, with that one and not before; while lanes come to a stop point, and
 * once one of them takes over, nothing moves. That what is stored is what was logged, whatever the way does,
 * is seen by the simulation (seeds of a port), and by numbers alone in test_lanelink.c.
 */
#include "tests/help/test.h"

#include "ftcore/order/closed.h"
#include "ftcore/queue/lanelink.h"
#include "lane/lane.h"
#include "tests/help/record.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>

#define LONGEST 1514u
#define WAY     64u

static struct nd_lane lane[2][2]; /* [node][lane]; node 0: the primary */
static struct nd_group group[2];
static struct ft_lane_shared (*shared)[2];

struct frame {
    uint32_t bytes;
    uint8_t data[FT_LINK_MOST];
};

static struct end {
    struct nd_link_port wire;
    struct end *other;
    struct frame out, in, way[WAY]; /* way: to the other end */
    unsigned count;
} end[2][2];

static bool loses; /* no frame comes */

static uint8_t *place(void *ctx)
{
    return ((struct end *)ctx)->out.data;
}

static void send_frame(void *ctx, uint32_t bytes)
{
    struct end *e = ctx;

    assert_in_range(bytes, FT_LINK_OVERHEAD, LONGEST);
    e->out.bytes = bytes;
    if (!loses && e->count < WAY)
        e->way[e->count++] = e->out;
}

static const uint8_t *receive(void *ctx, uint32_t *bytes)
{
    struct end *e = ctx, *other = e->other;

    if (other->count == 0)
        return NULL;
    e->in = other->way[0];
    memmove(&other->way[0], &other->way[1], --other->count * sizeof(other->way[0]));
    *bytes = e->in.bytes;
    return e->in.data;
}

/* All ends are told the same words. */
static void tell(uint64_t serial, uint64_t key, uint64_t view)
{
    for (unsigned n = 0; n < 2; n++)
        for (unsigned l = 0; l < group[n].lanes; l++) {
            struct ft_lane_shared *to = &shared[n][l];

            for (unsigned i = 0; i < 4; i++)
                FT_ORDER_SET(to, port_secret[i], key * 77 + i);
            FT_ORDER_SET(to, port_view, view);
            FT_ORDER_SET(to, port_own, 100 + n);
            FT_ORDER_SET(to, port_peer, 101 - n);
            FT_ORDER_SET(to, port_connects, n);
            FT_ORDER_SET(to, peer_version, FT_FORMAT_NEWEST);
            FT_ORDER_SET(to, port, serial);
        }
}

static void open_lanes(unsigned lanes)
{
    shared = aligned_alloc(64, 2 * sizeof(*shared));
    for (unsigned n = 0; n < 2; n++) {
        group[n] = (struct nd_group){
            .lanes = lanes, .lane = lane[n], .by_port = ft_closed_new(lanes, 4 * FT_LINK_WINDOW)};
        for (unsigned l = 0; l < lanes; l++) {
            struct end *e = &end[n][l];

            assert_int_equal(ft_lane_init(&shared[n][l], 4u << 20, 4u << 20), 0);
            assert_int_equal(ft_ring_init(&shared[n][l].direct, 4u << 20), 0);
            *e = (struct end){
                .other = &end[!n][l],
                .wire = {
                    .ctx = e, .longest = LONGEST, .place = place, .send = send_frame, .receive = receive}};
            lane[n][l] = (struct nd_lane){.index = l,
                                          .group = &group[n],
                                          .shared = &shared[n][l],
                                          .seen.order = 1,
                                          .now = 1,
                                          .doing = n ? FT_LANE_REPLAY : FT_LANE_LIVE,
                                          .setup.heartbeat_ms = 20};
            assert_int_equal(nd_link_make(&lane[n][l].link, &e->wire, &help_fault), 0);
        }
    }
    draw_seed = 1;
    loses = false;
}

static void may_carry(void)
{
    tell(1, 5, 3);
    for (unsigned l = 0; l < group[0].lanes; l++)
        FT_ORDER_SET(&shared[0][l], carry, 1);
}

static int teardown(void **state)
{
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned l = 0; l < group[n].lanes; l++) {
            nd_link_free(lane[n][l].link);
            ft_lane_free(&shared[n][l]);
        }
        ft_closed_free(group[n].by_port);
    }
    free(shared);
    return 0;
}

static void put_ready(struct ft_ring *ring)
{
    memcpy(ft_ring_reserve(ring, rec->size), rec, rec->size);
    ft_ring_publish(ring, rec->size);
}

/* The lane's next burst, with one access; it needs that one of the other lane (0: none). */
static void put_record(struct ft_ring *ring, unsigned l, uint64_t burst, uint64_t need)
{
    record_begin((uint16_t)l, 0, burst);
    record_add_input(60, 60, 0, 0);
    record_add_bytes();
    if (need)
        record_add_dependency(burst, (uint16_t)!l, need);
    rec->access = burst;
    rec->accesses = 1;
    rec->time = burst;
    record_finish();
    put_ready(ring);
}

static void log_record(unsigned l, uint64_t burst, uint64_t need)
{
    put_record(&shared[0][l].log, l, burst, need);
    FT_REPORT_SET(&shared[0][l], recorded, burst);
}

/* ---- one lane --------------------------------------------------------------------------------------- */

static int setup_one(void **state)
{
    open_lanes(1);
    return 0;
}

static uint64_t stored(void)
{
    return nd_link_closed(&lane[1][0]);
}

/* Brings one genuine frame of records, which the standby has not seen, into `f`. */
static void make_genuine(struct frame *f, uint64_t burst)
{
    do {
        end[0][0].count = 0;
        log_record(0, burst, 0);
        lane[0][0].now += 10000;
        nd_link_turn(&lane[0][0]);
        lane[0][0].now += 10000;
        nd_link_turn(&lane[0][0]);
        burst++;
    } while (end[0][0].count == 0);
    *f = end[0][0].way[0];
    end[0][0].count = 0;
}

static void comes(const struct frame *f)
{
    end[0][0].way[0] = *f;
    end[0][0].count = 1;
    lane[1][0].now += 1000;
    nd_link_look(&lane[1][0]);
    end[1][0].count = 0;
}

TEST_WITH(frames_of_nobody_change_nothing, setup_one, teardown)
{
    static struct frame genuine, f;
    struct ft_link_head head;
    uint64_t refused = 0;

    may_carry();
    nd_link_look(&lane[1][0]);
    make_genuine(&genuine, 1);
    for (unsigned i = 0; i < 1000000; i++) {
        f.bytes = genuine.bytes;
        memcpy(f.data, genuine.data, genuine.bytes);
        switch (i % 4) {
        case 0: /* any byte behind the addresses */
            f.data[14 + draw_below(f.bytes - 14)] ^= (uint8_t)(1 + draw_below(255));
            break;
        case 1:
            f.bytes -= 1 + (uint32_t)draw_below(f.bytes - FT_LINK_ETHERNET);
            break;
        case 2: /* made up, but for the head */
            for (unsigned b = FT_LINK_ETHERNET + FT_LINK_HEAD; b < f.bytes; b += 8) {
                uint64_t any = draw();

                memcpy(f.data + b, &any, f.bytes - b < 8 ? f.bytes - b : 8);
            }
            break;
        default: /* another number with what was sealed for this one */
            f.data[FT_LINK_ETHERNET + 24] ^= (uint8_t)(1 + draw_below(255));
        }
        comes(&f);
        refused += !ft_link_get_head(f.data, f.bytes, &head) || head.incarnation != 101; /* an echo */
        assert_int_equal(stored(), 0);
    }
    assert_int_equal(atomic_load(&shared[1][0].count.port_refused), refused);
    comes(&genuine);
    assert_int_not_equal(stored(), 0);
}

TEST_WITH(a_frame_counts_once_and_in_its_view_for_its_key_and_process, setup_one, teardown)
{
    static struct frame first, old;
    uint64_t before;

    may_carry();
    nd_link_look(&lane[1][0]);
    make_genuine(&first, 1);
    assert_int_equal(atomic_load(&shared[0][0].count.port_log), first.bytes - FT_LINK_OVERHEAD);
    assert_int_equal(FT_REPORT_GET(&shared[1][0], port_heard), 0);
    comes(&first);
    assert_int_equal(FT_REPORT_GET(&shared[1][0], port_heard), lane[1][0].now);
    before = stored();
    assert_int_not_equal(before, 0);
    comes(&first); /* once more */
    assert_int_equal(atomic_load(&shared[1][0].count.port_refused), 1);

    make_genuine(&old, before + 1);
    tell(2, 5, 4); /* the same connection, the next view */
    comes(&old);
    assert_int_equal(stored(), before);
    tell(3, 6, 3); /* another connection */
    comes(&old);
    assert_int_equal(stored(), before);
    tell(4, 5, 3);
    FT_ORDER_SET(&shared[1][0], port, 0);
    FT_ORDER_SET(&shared[1][0], port_peer, 99); /* another process */
    FT_ORDER_SET(&shared[1][0], port, 5);
    comes(&old);
    assert_int_equal(stored(), before);
    assert_int_equal(atomic_load(&shared[1][0].count.port_refused), 4);
    FT_ORDER_SET(&shared[1][0], port, 0);
    comes(&old);
    assert_int_equal(stored(), before);
}

/* The same key once more, after a pause: its numbers go on. */
TEST_WITH(no_number_is_used_twice_under_a_key, setup_one, teardown)
{
    struct ft_link_head head;
    uint64_t last = 0;

    for (uint64_t serial = 1; serial <= 20; serial++) {
        tell(serial, 5, 3 + serial % 2);
        lane[0][0].now += 100000000;
        end[0][0].count = 0;
        nd_link_turn(&lane[0][0]);
        assert_int_not_equal(end[0][0].count, 0);
        assert_true(ft_link_get_head(end[0][0].way[0].data, end[0][0].way[0].bytes, &head));
        assert_true(head.number > last);
        last = head.number;
    }
}

/* The next key is for numbers from 1 << 22 on, and is what HKDF-Expand makes of the secret: OpenSSL opens
 * what the lane has sealed. The other end follows, though it has heard nothing before. */
TEST_WITH(each_key_is_for_four_million_numbers, setup_one, teardown)
{
    static const uint8_t info[24] = {"understudy lane\0\x01"}; /* lane 0, epoch 1, 8 bytes */
    static struct frame f;
    struct ft_link_head head;
    uint64_t secret[4];
    uint8_t key[32], nonce[FT_LINK_NONCE], opened[FT_LINK_MOST];
    size_t size = sizeof(key);
    EVP_PKEY_CTX *kdf = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    EVP_CIPHER_CTX *gcm = EVP_CIPHER_CTX_new();
    int n;

    tell(1, 5, 3);
    nd_link_look(&lane[1][0]);
    loses = true;
    for (unsigned i = 0; i < 1u << 22; i++) {
        lane[0][0].now += 20000000;
        nd_link_turn(&lane[0][0]);
    }
    loses = false;
    FT_ORDER_SET(&shared[0][0], carry, 1);
    make_genuine(&f, 1);
    assert_true(ft_link_get_head(f.data, f.bytes, &head));
    assert_int_equal(head.number >> 22, 1);

    for (unsigned i = 0; i < 4; i++)
        secret[i] = FT_ORDER_GET(&shared[0][0], port_secret[i]);
    assert_true(
        EVP_PKEY_derive_init(kdf) > 0 && EVP_PKEY_CTX_hkdf_mode(kdf, EVP_PKEY_HKDEF_MODE_EXPAND_ONLY) > 0 &&
        EVP_PKEY_CTX_set_hkdf_md(kdf, EVP_sha256()) > 0 &&
        EVP_PKEY_CTX_set1_hkdf_key(kdf, (uint8_t *)secret, sizeof(secret)) > 0 &&
        EVP_PKEY_CTX_add1_hkdf_info(kdf, info, sizeof(info)) > 0 && EVP_PKEY_derive(kdf, key, &size) > 0);
    ft_link_nonce(nonce, &head);
    uint8_t *body = f.data + FT_LINK_ETHERNET + FT_LINK_HEAD;
    int sealed = (int)(f.bytes - FT_LINK_ETHERNET - FT_LINK_HEAD - FT_LINK_TAG);

    assert_true(EVP_DecryptInit_ex(gcm, EVP_aes_128_gcm(), NULL, key, nonce) == 1 &&
                EVP_DecryptUpdate(gcm, NULL, &n, f.data + FT_LINK_ETHERNET, FT_LINK_HEAD) == 1 &&
                EVP_DecryptUpdate(gcm, opened, &n, body, sealed) == 1 &&
                EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_GCM_SET_TAG, FT_LINK_TAG, body + sealed) == 1 &&
                EVP_DecryptFinal_ex(gcm, opened, &n) == 1);
    EVP_PKEY_CTX_free(kdf);
    EVP_CIPHER_CTX_free(gcm);
    f.data[FT_LINK_ETHERNET + 30] ^= 1; /* a far number */
    comes(&f);
    f.data[FT_LINK_ETHERNET + 30] ^= 1;
    assert_int_equal(atomic_load(&shared[1][0].count.port_refused), 1);
    comes(&f);
    assert_int_equal(atomic_load(&shared[1][0].count.port_refused), 1);
    comes(&f); /* once more */
    assert_int_equal(atomic_load(&shared[1][0].count.port_refused), 2);
}

/* Who sends what nobody has sealed gets one frame of a look. */
TEST_WITH(a_forged_frame_ends_the_look, setup_one, teardown)
{
    static struct frame f;

    may_carry();
    nd_link_look(&lane[1][0]);
    make_genuine(&f, 1);
    f.data[f.bytes - 1] ^= 1;
    for (end[0][0].count = 0; end[0][0].count < 5; end[0][0].count++)
        end[0][0].way[end[0][0].count] = f;
    nd_link_look(&lane[1][0]);
    assert_int_equal(end[0][0].count, 4);
    assert_int_equal(atomic_load(&shared[1][0].count.port_refused), 1);
}

/* A record that the connection brings meanwhile is not taken from the port, and what follows it is. */
TEST_WITH(what_follows_is_taken_whoever_brought_what_is_before, setup_one, teardown)
{
    static struct frame first, second;

    may_carry();
    nd_link_look(&lane[1][0]);
    make_genuine(&first, 1);
    uint64_t next = FT_REPORT_GET(&shared[0][0], recorded);

    make_genuine(&second, next + 1);
    comes(&second); /* `first` is lost */
    assert_int_equal(stored(), 0);
    FT_ORDER_SET(&shared[1][0], closed_to, next); /* the connection has brought it */
    FT_ORDER_SET(&shared[1][0], closed_access, next);
    lane[0][0].now += 1000000;
    make_genuine(&second, FT_REPORT_GET(&shared[0][0], recorded) + 1);
    comes(&second);
    assert_true(stored() > next);
}

/* ---- two lanes -------------------------------------------------------------------------------------- */

static int setup_two(void **state)
{
    open_lanes(2);
    may_carry();
    return 0;
}

/* The lane of the primary sends what it has, its peer looks and answers, and the answer is heard. */
static void turn(unsigned l)
{
    for (unsigned i = 0; i < 3; i++) {
        lane[0][l].now += 10000;
        lane[1][l].now += 10000;
        nd_link_turn(&lane[0][l]);
        nd_link_look(&lane[1][l]);
    }
    nd_link_turn(&lane[0][l]);
}

static void closed_are(uint64_t first, uint64_t second)
{
    assert_int_equal(nd_link_closed(&lane[1][0]), first);
    assert_int_equal(nd_link_closed(&lane[1][1]), second);
    assert_in_range(nd_link_stable(&lane[0][0]), 0, first);
    assert_in_range(nd_link_stable(&lane[0][1]), 0, second);
}

TEST_WITH(a_burst_is_closed_with_the_one_that_it_needs, setup_two, teardown)
{
    log_record(1, 1, 2);
    turn(1);
    closed_are(0, 0);
    log_record(0, 1, 0);
    turn(0);
    closed_are(1, 0);
    log_record(0, 2, 1); /* they need each other */
    turn(0);
    closed_are(2, 1);
    nd_link_look(&lane[1][1]); /* no frame comes, and it says so */
    nd_link_turn(&lane[0][1]);
    assert_int_equal(nd_link_stable(&lane[0][0]), 2);
    assert_int_equal(nd_link_stable(&lane[0][1]), 1);
    assert_int_equal(FT_REPORT_GET(&shared[0][1], port_stable_at), shared[0][1].log.head);
    assert_int_equal(atomic_load(&shared[0][1].count.port_again), 0); /* it was stored all the while */
}

TEST_WITH(what_the_link_brought_is_closed_with_what_a_port_brings, setup_two, teardown)
{
    FT_ORDER_SET(&shared[1][0], closed_to, 4);
    FT_ORDER_SET(&shared[1][0], closed_access, 4);
    put_record(&shared[1][0].replay, 0, 5, 1); /* the replicator cannot close it */
    nd_link_look(&lane[1][0]);
    closed_are(4, 0);
    log_record(1, 1, 5);
    turn(1);
    closed_are(5, 1);
}

TEST_WITH(nothing_moves_at_a_stop_point_and_in_a_takeover, setup_two, teardown)
{
    FT_REPORT_SET(&shared[1][0], stop_point, 1);
    log_record(1, 1, 0);
    turn(1);
    closed_are(0, 0);
    FT_REPORT_SET(&shared[1][0], stop_point, 0);
    turn(1);
    closed_are(0, 1);
    nd_link_shut(&lane[1][0]);
    log_record(1, 2, 0);
    turn(1);
    closed_are(0, 1);
}

/* Accesses 5 to 99 of lane 0 are nowhere: who waited for them in a takeover would wait for ever. */
TEST_WITH(a_peer_that_leaves_accesses_out_closes_nothing, setup_two, teardown)
{
    FT_ORDER_SET(&shared[1][0], closed_access, 4);
    FT_ORDER_SET(&shared[1][0], closed_to, 4);
    record_begin(0, 0, 5);
    rec->access = 100;
    record_finish();
    put_ready(&shared[0][0].log);
    FT_REPORT_SET(&shared[0][0], recorded, 5);
    turn(0);
    log_record(1, 1, 50);
    turn(1);
    closed_are(4, 0);
    assert_int_not_equal(atomic_load(&shared[1][0].count.port_refused), 0);
}

TEST_WITH(a_frame_is_its_lanes_alone, setup_two, teardown)
{
    log_record(0, 1, 0);
    nd_link_turn(&lane[0][0]);
    lane[0][0].now += 10000;
    nd_link_turn(&lane[0][0]);
    end[1][1].other = &end[0][0]; /* it comes to the other lane */
    nd_link_look(&lane[1][1]);
    closed_are(0, 0);
    assert_int_not_equal(atomic_load(&shared[1][1].count.port_refused), 0);
}

/* It comes in pieces, of which some are lost, and is what was logged. */
TEST_WITH(a_record_of_several_frames_is_stored_whole, setup_two, teardown)
{
    const struct ft_record *r;
    uint64_t there;

    record_begin(0, 0, 1);
    for (unsigned i = 0; i < FT_BURST_MAX; i++)
        record_add_input(1400, 1400, 0, 0);
    record_add_bytes();
    record_finish();
    put_ready(&shared[0][0].log);
    FT_REPORT_SET(&shared[0][0], recorded, 1);
    for (unsigned turns = 0; nd_link_stable(&lane[0][0]) == 0; turns++) {
        assert_true(turns < 1000);
        lane[0][0].now += draw_below(1000000);
        turn(0);
        end[0][0].count -= end[0][0].count && draw_below(4) == 0; /* the last one is lost */
    }
    closed_are(1, 0);
    r = ft_ring_peek(&shared[1][0].direct, &there);
    assert_non_null(r);
    assert_memory_equal(r, rec, rec->size);
}
