/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams between a keeper and its nodes: encode and decode; see message.h. */
#include "understudy/keeper/message.h"
#include "ftcore/record/message.h"

#include <endian.h>
#include <openssl/crypto.h>
#include <string.h>

#define GENEVE_BYTES 8u
#define OPTION_AT    (GENEVE_BYTES + 4u)
#define NUMBERS_AT   (OPTION_AT + 8u)
#define NUMBERS      11u
#define TAG_AT       (NUMBERS_AT + NUMBERS * 8u)
#define OPTION_WORDS ((TAG_AT + FT_TAG_BYTES - OPTION_AT) / 4u)
#define CONTROL      0x80u
#define CRITICAL     0x40u

_Static_assert(TAG_AT + FT_TAG_BYTES == 124 && OPTION_WORDS <= 31, "the option has a length of 5 bits");

static const size_t numbers[NUMBERS] = {
    offsetof(struct kp_message, from),   offsetof(struct kp_message, to),
    offsetof(struct kp_message, serial), offsetof(struct kp_message, view),
    offsetof(struct kp_message, burst),  offsetof(struct kp_message, number),
    offsetof(struct kp_message, before), offsetof(struct kp_message, seq),
    offsetof(struct kp_message, time),   offsetof(struct kp_message, missing),
    offsetof(struct kp_message, begins)};

#define PART_NUMBERS 5u
static const size_t part_numbers[PART_NUMBERS] = {
    offsetof(struct kp_message, burst), offsetof(struct kp_message, number),
    offsetof(struct kp_message, before), offsetof(struct kp_message, seq), offsetof(struct kp_message, time)};
_Static_assert(KP_PART_BYTES == 8 + 8 * PART_NUMBERS, "as kp_add writes it");

void kp_keys_add(struct kp_keys *keys, const uint8_t *key, size_t bytes)
{
    struct ft_datagram_key *out = &keys->key[keys->count++];
    static const uint8_t label[] = "understudy keeper";
    struct ft_datagram_key half = {.incarnation = 0};
    uint8_t text[sizeof(label) + 64], tag[FT_TAG_BYTES];

    bytes = bytes < 64 ? bytes : 64;
    memcpy(text, label, sizeof(label));
    memcpy(text + sizeof(label), key, bytes);
    memcpy(half.secret, key, bytes < sizeof(half.secret) ? bytes : sizeof(half.secret));
    ft_datagram_tag(text, sizeof(label) + bytes, &half, tag);
    *out = (struct ft_datagram_key){.incarnation = 0};
    memcpy(out->secret, tag, sizeof(out->secret));
    OPENSSL_cleanse(text, sizeof(text));
    OPENSSL_cleanse(&half, sizeof(half));
}

static void put64(uint8_t *out, uint64_t number)
{
    number = htole64(number);
    memcpy(out, &number, 8);
}

static uint64_t get64(const uint8_t *in)
{
    uint64_t number;

    memcpy(&number, in, 8);
    return le64toh(number);
}

static bool is_control(const struct kp_message *m)
{
    return m->kind == KP_ASK || m->kind == KP_STATE || m->kind == KP_WORD || m->kind == KP_ENDED ||
           (m->kind == KP_INPUT && m->count == 0);
}

size_t kp_begin(const struct kp_message *m, uint8_t *out)
{
    const uint8_t geneve[OPTION_AT] = {OPTION_WORDS + 1,
                                       CRITICAL | (is_control(m) ? CONTROL : 0),
                                       0x65,
                                       0x58,
                                       0,
                                       0,
                                       0,
                                       0,
                                       KP_CLASS >> 8,
                                       KP_CLASS & 0xff,
                                       KP_TYPE,
                                       OPTION_WORDS};
    const uint8_t bytes[6] = {m->kind, m->lane, m->port, m->flags, m->index, m->count};
    uint16_t len = htole16(m->len);

    memcpy(out, geneve, sizeof(geneve));
    memcpy(out + OPTION_AT, bytes, sizeof(bytes));
    memcpy(out + OPTION_AT + 6, &len, 2);
    for (unsigned i = 0; i < NUMBERS; i++) {
        uint64_t number;

        memcpy(&number, (const uint8_t *)m + numbers[i], 8);
        put64(out + NUMBERS_AT + (size_t)8 * i, number);
    }
    memset(out + TAG_AT, 0, FT_TAG_BYTES);
    if (m->have)
        memcpy(out + KP_HEAD_BYTES, m->frame, m->have);
    return KP_HEAD_BYTES + m->have;
}

static bool may_share(const struct kp_message *m)
{
    return (m->kind == KP_INPUT && m->count) || m->kind == KP_OUTPUT;
}

/* Where they stand, in the order of `numbers`. */
enum {
    FROM_AT = NUMBERS_AT,
    TO_AT = NUMBERS_AT + 8,
    VIEW_AT = NUMBERS_AT + 24,
    MISSING_AT = NUMBERS_AT + 72
};

bool kp_add(const struct kp_message *m, uint8_t *out, size_t *len, size_t room)
{
    uint8_t *part = out + *len;
    uint16_t lens[2] = {htole16(m->len), htole16((uint16_t)m->have)};

    if (*len + KP_PART_BYTES + m->have > room || *len == KP_HEAD_BYTES || !may_share(m) ||
        out[OPTION_AT] != m->kind || (m->kind == KP_INPUT && out[OPTION_AT + 5] == 0) ||
        out[OPTION_AT + 1] != m->lane || get64(out + FROM_AT) != m->from || get64(out + TO_AT) != m->to ||
        get64(out + VIEW_AT) != m->view)
        return false;
    if (get64(out + MISSING_AT) == 0)
        put64(out + MISSING_AT, *len - KP_HEAD_BYTES);
    memcpy(part, (const uint8_t[4]){m->port, m->index, m->count, 0}, 4);
    memcpy(part + 4, lens, 4);
    for (unsigned i = 0; i < PART_NUMBERS; i++) {
        uint64_t number;

        memcpy(&number, (const uint8_t *)m + part_numbers[i], 8);
        put64(part + 8 + (size_t)8 * i, number);
    }
    memcpy(part + KP_PART_BYTES, m->frame, m->have);
    *len += KP_PART_BYTES + m->have;
    return true;
}

void kp_sign(uint8_t *out, size_t len, const struct kp_keys *keys)
{
    uint8_t tag[FT_TAG_BYTES];

    memset(out + TAG_AT, 0, FT_TAG_BYTES);
    ft_datagram_tag(out, len, &keys->key[0], tag);
    memcpy(out + TAG_AT, tag, FT_TAG_BYTES);
}

size_t kp_encode(const struct kp_message *m, const struct kp_keys *keys, uint8_t *out)
{
    size_t len = kp_begin(m, out);

    kp_sign(out, len, keys);
    return len;
}

/* What the ends rely on, whoever has the key. */
static int check_message(const struct kp_message *m)
{
    bool frame = !is_control(m);

    if (m->kind == 0 || m->kind >= KP_KINDS || m->lane >= FT_LANES_MAX || m->view > FT_VIEW_MAX ||
        m->count > KP_BURST || (m->kind == KP_INPUT && m->count && m->index >= m->count))
        return FT_EMALFORMED;
    if (frame ? m->len < 14 || m->have > m->len : m->have != 0)
        return FT_EMALFORMED;
    if (m->kind == KP_STATE && m->before > m->burst)
        return FT_EMALFORMED;
    if ((m->kind == KP_ASK && (m->burst > FT_VIEW_MAX || m->before > FT_VIEW_MAX)) ||
        (m->kind == KP_WORD && m->before > FT_VIEW_MAX)) /* keeper views */
        return FT_EMALFORMED;
    return frame && m->have < m->len && m->kind != KP_OUTPUT ? FT_EMALFORMED : 0;
}

/* The tag, in whose place are zeros, is made with one of these keys. */
static bool is_tag(const uint8_t *in, size_t len, const struct kp_keys *keys,
                   const uint8_t said[FT_TAG_BYTES])
{
    uint8_t tag[FT_TAG_BYTES];

    for (unsigned i = 0; i < keys->count; i++) {
        ft_datagram_tag(in, len, &keys->key[i], tag);
        if (CRYPTO_memcmp(said, tag, FT_TAG_BYTES) == 0)
            return true;
    }
    return false;
}

int kp_decode(uint8_t *in, size_t len, const struct kp_keys *keys, struct kp_message *out)
{
    static const uint8_t geneve[OPTION_AT] = {
        OPTION_WORDS + 1, CRITICAL,        0x65,    0x58,        0, 0, 0, 0,
        KP_CLASS >> 8,    KP_CLASS & 0xff, KP_TYPE, OPTION_WORDS};
    uint8_t said[FT_TAG_BYTES];
    uint16_t wire;

    if (len < KP_HEAD_BYTES || len - KP_HEAD_BYTES > UINT16_MAX || in[0] != geneve[0] ||
        (in[1] & ~CONTROL) != geneve[1] || memcmp(in + 2, geneve + 2, sizeof(geneve) - 2) != 0)
        return FT_EMALFORMED;
    memcpy(said, in + TAG_AT, FT_TAG_BYTES);
    memset(in + TAG_AT, 0, FT_TAG_BYTES);
    if (!is_tag(in, len, keys, said))
        return FT_EPERM;
    memcpy(&wire, in + OPTION_AT + 6, 2);
    *out = (struct kp_message){.kind = in[OPTION_AT],
                               .lane = in[OPTION_AT + 1],
                               .port = in[OPTION_AT + 2],
                               .flags = in[OPTION_AT + 3],
                               .index = in[OPTION_AT + 4],
                               .count = in[OPTION_AT + 5],
                               .len = le16toh(wire),
                               .frame = in + KP_HEAD_BYTES,
                               .have = (uint32_t)(len - KP_HEAD_BYTES)};
    for (unsigned i = 0; i < NUMBERS; i++) {
        uint64_t number = get64(in + NUMBERS_AT + (size_t)8 * i);

        memcpy((uint8_t *)out + numbers[i], &number, 8);
    }
    if (!(in[1] & CONTROL) == is_control(out))
        return FT_EMALFORMED;
    if (may_share(out) && out->missing) {
        if (out->missing > out->have)
            return FT_EMALFORMED;
        out->rest = out->have - (uint32_t)out->missing;
        out->have = (uint32_t)out->missing;
    }
    return check_message(out);
}

bool kp_next(struct kp_message *m)
{
    const uint8_t *part = m->frame + m->have;
    uint16_t lens[2];

    if (m->rest < KP_PART_BYTES)
        return false;
    memcpy(lens, part + 4, 4);
    if (le16toh(lens[1]) > m->rest - KP_PART_BYTES)
        return false;
    m->port = part[0];
    m->index = part[1];
    m->count = part[2];
    m->len = le16toh(lens[0]);
    m->have = le16toh(lens[1]);
    m->rest -= KP_PART_BYTES + m->have;
    m->frame = part + KP_PART_BYTES;
    for (unsigned i = 0; i < PART_NUMBERS; i++) {
        uint64_t number = get64(part + 8 + (size_t)8 * i);

        memcpy((uint8_t *)m + part_numbers[i], &number, 8);
    }
    return may_share(m) && check_message(m) == 0;
}
