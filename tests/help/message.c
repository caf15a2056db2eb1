/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: builds messages, seeded or by hand. Owns the buffers. */
#include "tests/help/message.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

#include <msgpack.h>
#include <xxhash.h>

uint8_t message_frame[FT_MESSAGE_MAX + 64], message_unpacked[FT_BULK_MAX], message_content[FT_BULK_MAX];

static void draw_text(char *to, size_t cap, size_t least)
{
    size_t len = least + draw() % (cap - least);

    for (size_t i = 0; i < len; i++)
        to[i] = (char)(' ' + draw() % 95);
}

void message_fill(uint8_t *to, size_t len, bool repeats)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(repeats && i >= 100 ? to[i - 100] : draw());
}

static void draw_hello(struct ft_message *m)
{
    m->newest = FT_FORMAT_NEWEST, m->oldest = FT_FORMAT_OLDEST;
    m->incarnation = draw();
    draw_text(m->name, FT_NAME_MAX, 1);
    m->role = draw() & 1;
    m->strict = draw() & 1;
    m->warm = draw() & 1;
    m->lanes = (uint16_t)(1 + draw() % FT_LANES_MAX);
    m->lease_ms = (uint32_t)(1 + draw() % 100);
    m->detect_ms = (uint32_t)(m->lease_ms + 1 + draw() % 100);
    m->promote_within_ms = (uint32_t)(m->detect_ms + 1 + draw() % 100);
    m->solo_after_ms = (uint32_t)(m->promote_within_ms + 1 + draw() % 100000);
    m->bulk_len = m->identity_len = (uint32_t)(draw() % (FT_IDENTITY_MAX + 1));
    for (uint32_t i = 0; i < m->bulk_len; i++)
        message_content[i] = (uint8_t)(1 + draw() % 255);
}

struct ft_message message_draw(unsigned type, unsigned lanes, uint32_t bulk_max)
{
    struct ft_message m = {.type = (uint8_t)type, .state = (uint8_t)(1 + draw() % FT_FENCED)};

    m.view = draw_any_magnitude() >> 1, m.sent = draw_any_magnitude(), m.echo = draw_any_magnitude();
    m.bulk = message_content;
    switch (type) {
    case FT_MSG_HELLO:
        draw_hello(&m);
        break;
    case FT_MSG_PUSH:
        m.number = draw_any_magnitude();
        /* fall through */
    case FT_MSG_SNAPSHOT:
    case FT_MSG_LOG:
    case FT_MSG_DELTA:
        m.bulk_len = (uint32_t)(draw() % (bulk_max + 1));
        message_fill(message_content, m.bulk_len, draw() & 1);
        break;
    case FT_MSG_ACK:
        for (unsigned i = 0; i < lanes; i++)
            m.replayed[i] = draw_any_magnitude(), m.taken[i] = draw_any_magnitude();
        /* fall through */
    case FT_MSG_SNAPSHOT_BEGIN:
        m.number = m.type == FT_MSG_SNAPSHOT_BEGIN ? draw_any_magnitude() : 0;
        /* fall through */
    case FT_MSG_HOLDING:
    case FT_MSG_HANDOVER:
        for (unsigned i = 0; i < lanes; i++)
            m.burst[i] = draw_any_magnitude();
        break;
    case FT_MSG_STEER:
    case FT_MSG_STEERED:
        m.number = draw_any_magnitude();
        break;
    case FT_MSG_PUSHED:
        m.number = draw_any_magnitude(), m.number2 = draw_any_magnitude();
        /* fall through */
    case FT_MSG_ABANDON:
    case FT_MSG_REFUSE:
    case FT_MSG_DRILL:
        draw_text(m.text, FT_REASON_MAX, 0);
        break;
    case FT_MSG_COUNTER:
        m.number = (uint32_t)draw_any_magnitude(), m.number2 = draw_any_magnitude() >> 1;
        m.maintenance = (uint8_t)(draw() % FT_MAINTENANCES);
        m.cluster = draw_any_magnitude();
        draw_text(m.text, FT_REASON_MAX, 0);
        break;
    case FT_MSG_VERDICT:
        m.lane = (uint16_t)(draw() % lanes);
        m.burst[0] = draw_any_magnitude();
        m.number = draw_any_magnitude(), m.number2 = draw_any_magnitude();
        break;
    }
    return m;
}

void message_hello(struct ft_message *m, const struct ft_core_config *config)
{
    m->newest = FT_FORMAT_NEWEST, m->oldest = FT_FORMAT_OLDEST;
    m->incarnation = config->incarnation;
    memcpy(m->name, config->name, sizeof(m->name));
    m->role = config->role;
    m->strict = config->strict;
    m->warm = config->warm;
    m->lanes = config->lanes;
    m->lease_ms = config->lease_ms;
    m->detect_ms = config->detect_ms;
    m->promote_within_ms = config->promote_within_ms;
    m->solo_after_ms = config->solo_after_ms;
    m->bulk = (const uint8_t *)config->identity;
    m->bulk_len = m->identity_len = config->identity_len;
}

msgpack_sbuffer message_by_hand;
msgpack_packer message_packer;

void message_begin(unsigned size, uint64_t version, uint64_t type, uint64_t st)
{
    msgpack_sbuffer_destroy(&message_by_hand);
    msgpack_sbuffer_init(&message_by_hand);
    msgpack_packer_init(&message_packer, &message_by_hand, msgpack_sbuffer_write);
    msgpack_pack_array(&message_packer, size);
    msgpack_pack_uint64(&message_packer, version);
    msgpack_pack_uint64(&message_packer, type);
    msgpack_pack_uint64(&message_packer, 7);
    msgpack_pack_uint64(&message_packer, 8);
    msgpack_pack_uint64(&message_packer, 9);
    msgpack_pack_uint64(&message_packer, st);
}

void message_put(uint64_t v)
{
    msgpack_pack_uint64(&message_packer, v);
}

void message_put_text(const char *bytes, size_t len)
{
    msgpack_pack_str(&message_packer, len);
    msgpack_pack_str_body(&message_packer, bytes, len);
}

void message_put_bytes(const void *bytes, size_t len)
{
    msgpack_pack_bin(&message_packer, len);
    msgpack_pack_bin_body(&message_packer, bytes, len);
}

void message_put_raw(const char *bytes, size_t len)
{
    msgpack_sbuffer_write(&message_by_hand, bytes, len);
}

long message_judge(unsigned lanes, struct ft_message *m, struct ft_fault *why)
{
    uint32_t len = (uint32_t)message_by_hand.size,
             sum = (uint32_t)XXH3_64bits(message_by_hand.data, message_by_hand.size);
    static uint8_t at[4u << 20];

    assert_true(len < sizeof(at) - FT_FRAME_HEAD);
    memcpy(at, &len, 4);
    memcpy(at + 4, &sum, 4);
    memcpy(at + FT_FRAME_HEAD, message_by_hand.data, len);
    return ft_message_decode(at, FT_FRAME_HEAD + len, lanes, m, message_unpacked, why);
}

void message_refused(unsigned lanes, const char *expected)
{
    struct ft_message m;
    struct ft_fault why = {""};

    assert_int_equal(message_judge(lanes, &m, &why), FT_EMALFORMED);
    assert_string_equal(why.text, expected);
}

void message_accepted(unsigned lanes, struct ft_message *m)
{
    struct ft_fault why = {""};

    if (message_judge(lanes, m, &why) <= 0)
        fail_msg("%s", why.text);
}

const char lz4_block[12] = {0x1f, 'a', 1, 0, 94 - 4 - 15, 0x50, 'a', 'a', 'a', 'a', 'a'};
