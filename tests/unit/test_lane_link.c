/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two lanes' ends of the link's port, sealed, over a way in memory: frames that are nobody's, by the million,
 * and which of those that somebody sealed count. That what is stored is what was logged, whatever the way
 * does, is seen by the simulation (seeds of a port), and by numbers alone in test_lanelink.c.
 */
#include "tests/help/test.h"

#include "ftcore/order/closed.h"
#include "ftcore/queue/lanelink.h"
#include "lane/lane.h"
#include "tests/help/program.h"
#include "tests/help/record.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>

#define LONGEST 1514u
#define WAY     64u

static struct nd_lane lane[2]; /* 0: the primary's */
static struct nd_group group;
static struct ft_lane_shared *shared;

struct frame {
    uint32_t bytes;
    uint8_t data[FT_LINK_MOST];
};

static struct end {
    struct nd_link_port wire;
    struct frame out, in, way[WAY]; /* way: to the other end */
    unsigned count;
} end[2];

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
    struct end *e = ctx, *other = e == end ? end + 1 : end;

    if (other->count == 0)
        return NULL;
    e->in = other->way[0];
    memmove(&other->way[0], &other->way[1], --other->count * sizeof(other->way[0]));
    *bytes = e->in.bytes;
    return e->in.data;
}

/* Both ends are told the same words. */
static void tell(uint64_t serial, uint64_t key, uint64_t view)
{
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned i = 0; i < 4; i++)
            FT_ORDER_SET(&shared[n], port_secret[i], key * 77 + i);
        FT_ORDER_SET(&shared[n], port_view, view);
        FT_ORDER_SET(&shared[n], port_own, 100 + n);
        FT_ORDER_SET(&shared[n], port_peer, 101 - n);
        FT_ORDER_SET(&shared[n], port_connects, n);
        FT_ORDER_SET(&shared[n], peer_version, FT_FORMAT_NEWEST);
        FT_ORDER_SET(&shared[n], port, serial);
    }
}

static int setup(void **state)
{
    struct ft_fault fault;

    shared = aligned_alloc(64, 2 * sizeof(*shared));
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(ft_lane_init(&shared[n], 4u << 20, 4096), 0);
        assert_int_equal(ft_ring_init(&shared[n].direct, 4u << 20), 0);
        end[n] = (struct end){
            .wire = {
                .ctx = &end[n], .longest = LONGEST, .place = place, .send = send_frame, .receive = receive}};
        lane[n] = (struct nd_lane){
            .group = &group, .shared = &shared[n], .seen.order = 1, .now = 1, .setup.heartbeat_ms = 20};
        assert_int_equal(nd_link_make(&lane[n].link, &end[n].wire, &fault), 0);
    }
    lane[0].doing = FT_LANE_LIVE;
    lane[1].doing = FT_LANE_REPLAY;
    group.lanes = 1;
    group.lane = &lane[1];
    group.by_port = ft_closed_new(1, 4 * FT_LINK_WINDOW);
    draw_seed = 1;
    loses = false;
    return 0;
}

static int teardown(void **state)
{
    for (unsigned n = 0; n < 2; n++) {
        nd_link_free(lane[n].link);
        ft_lane_free(&shared[n]);
    }
    ft_closed_free(group.by_port);
    free(shared);
    return 0;
}

/* Of any size; some need several frames. */
static void log_record(uint64_t burst)
{
    unsigned inputs = (unsigned)draw_below(FT_BURST_MAX + 1);
    void *to;

    record_begin(0, 0, burst);
    for (unsigned i = 0; i < inputs; i++) {
        uint32_t wire = 60 + (uint32_t)draw_below(burst % 50 ? 100 : 1400);

        record_add_input(wire, (uint16_t)draw_below(wire + 1), 0, 0);
    }
    record_add_bytes();
    record_finish();
    rec->seq = burst * 32;
    rec->time = burst;
    to = ft_ring_reserve(&shared[0].log, rec->size);
    assert_non_null(to);
    memcpy(to, rec, rec->size);
    ft_ring_publish(&shared[0].log, rec->size);
    FT_REPORT_SET(&shared[0], recorded, burst);
}

static uint64_t stored(void)
{
    return nd_link_closed(&lane[1]);
}

/* Brings one genuine frame of records, which the standby has not seen, into `f`. */
static void make_genuine(struct frame *f, uint64_t burst)
{
    do {
        end[0].count = 0;
        log_record(burst);
        lane[0].now += 10000;
        nd_link_turn(&lane[0]);
        lane[0].now += 10000;
        nd_link_turn(&lane[0]);
        burst++;
    } while (end[0].count == 0);
    *f = end[0].way[0];
    end[0].count = 0;
}

static void comes(const struct frame *f)
{
    end[0].way[0] = *f;
    end[0].count = 1;
    lane[1].now += 1000;
    nd_link_look(&lane[1]);
    end[1].count = 0;
}

TEST_WITH(frames_of_nobody_change_nothing, setup, teardown)
{
    static struct frame genuine, f;
    struct ft_link_head head;
    uint64_t refused = 0;

    tell(1, 5, 3);
    FT_ORDER_SET(&shared[0], carry, 1);
    nd_link_look(&lane[1]);
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
    assert_int_equal(atomic_load(&shared[1].count.port_refused), refused);
    comes(&genuine);
    assert_int_not_equal(stored(), 0);
}

TEST_WITH(a_frame_counts_once_and_in_its_view_for_its_key_and_process, setup, teardown)
{
    static struct frame first, old;
    uint64_t before;

    tell(1, 5, 3);
    FT_ORDER_SET(&shared[0], carry, 1);
    nd_link_look(&lane[1]);
    make_genuine(&first, 1);
    comes(&first);
    before = stored();
    assert_int_not_equal(before, 0);
    comes(&first); /* once more */
    assert_int_equal(atomic_load(&shared[1].count.port_refused), 1);

    make_genuine(&old, before + 1);
    tell(2, 5, 4); /* the same connection, the next view */
    comes(&old);
    assert_int_equal(stored(), before);
    tell(3, 6, 3); /* another connection */
    comes(&old);
    assert_int_equal(stored(), before);
    tell(4, 5, 3);
    FT_ORDER_SET(&shared[1], port, 0);
    FT_ORDER_SET(&shared[1], port_peer, 99); /* another process */
    FT_ORDER_SET(&shared[1], port, 5);
    comes(&old);
    assert_int_equal(stored(), before);
    assert_int_equal(atomic_load(&shared[1].count.port_refused), 4);
    FT_ORDER_SET(&shared[1], port, 0);
    comes(&old);
    assert_int_equal(stored(), before);
}

/* The same key once more, after a pause: its numbers go on. */
TEST_WITH(no_number_is_used_twice_under_a_key, setup, teardown)
{
    struct ft_link_head head;
    uint64_t last = 0;

    for (uint64_t serial = 1; serial <= 20; serial++) {
        tell(serial, 5, 3 + serial % 2);
        lane[0].now += 100000000;
        end[0].count = 0;
        nd_link_turn(&lane[0]);
        assert_int_not_equal(end[0].count, 0);
        assert_true(ft_link_get_head(end[0].way[0].data, end[0].way[0].bytes, &head));
        assert_true(head.number > last);
        last = head.number;
    }
}

/* The next key is for numbers from 1 << 22 on, and is what HKDF-Expand makes of the secret: OpenSSL opens
 * what the lane has sealed. The other end follows, though it has heard nothing before. */
TEST_WITH(each_key_is_for_four_million_numbers, setup, teardown)
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
    nd_link_look(&lane[1]);
    loses = true;
    for (unsigned i = 0; i < 1u << 22; i++) {
        lane[0].now += 20000000;
        nd_link_turn(&lane[0]);
    }
    loses = false;
    FT_ORDER_SET(&shared[0], carry, 1);
    make_genuine(&f, 1);
    assert_true(ft_link_get_head(f.data, f.bytes, &head));
    assert_int_equal(head.number >> 22, 1);

    for (unsigned i = 0; i < 4; i++)
        secret[i] = FT_ORDER_GET(&shared[0], port_secret[i]);
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
    assert_int_equal(atomic_load(&shared[1].count.port_refused), 1);
    comes(&f);
    assert_int_equal(atomic_load(&shared[1].count.port_refused), 1);
    comes(&f); /* once more */
    assert_int_equal(atomic_load(&shared[1].count.port_refused), 2);
}

/* Who sends what nobody has sealed gets one frame of a look. */
TEST_WITH(a_forged_frame_ends_the_look, setup, teardown)
{
    static struct frame f;

    tell(1, 5, 3);
    FT_ORDER_SET(&shared[0], carry, 1);
    nd_link_look(&lane[1]);
    make_genuine(&f, 1);
    f.data[f.bytes - 1] ^= 1;
    for (end[0].count = 0; end[0].count < 5; end[0].count++)
        end[0].way[end[0].count] = f;
    nd_link_look(&lane[1]);
    assert_int_equal(end[0].count, 4);
    assert_int_equal(atomic_load(&shared[1].count.port_refused), 1);
}

/* A record that the connection brings meanwhile is not taken from the port, and what follows it is. */
TEST_WITH(what_follows_is_taken_whoever_brought_what_is_before, setup, teardown)
{
    static struct frame first, second;

    tell(1, 5, 3);
    FT_ORDER_SET(&shared[0], carry, 1);
    nd_link_look(&lane[1]);
    make_genuine(&first, 1);
    uint64_t next = FT_REPORT_GET(&shared[0], recorded);

    make_genuine(&second, next + 1);
    comes(&second); /* `first` is lost */
    assert_int_equal(stored(), 0);
    FT_ORDER_SET(&shared[1], closed_to, next); /* the connection has brought it */
    lane[0].now += 1000000;
    make_genuine(&second, FT_REPORT_GET(&shared[0], recorded) + 1);
    comes(&second);
    assert_true(stored() == 0 || stored() > next);
}
