/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams between a keeper and its nodes, for the targets of either end: bytes as they are, bytes with a
 * head and a tag that are right, or a message whose numbers are near those that its reader knows.
 */
#ifndef TESTS_FUZZ_KEEPER_MESSAGE_H
#define TESTS_FUZZ_KEEPER_MESSAGE_H

#include "understudy/keeper/message.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_FRAME_MAX 200u

static inline const struct kp_keys *fuzz_keeper_keys(void)
{
    static struct kp_keys keys;

    if (!keys.count)
        kp_keys_add(&keys, (const uint8_t *)"a secret of the pair's, 32 bytes", 32);
    return &keys;
}

/* There are two keepers: messages have further flags. An input of an odd length has two. */
static bool fuzz_two_keepers;

enum { FUZZ_RAW, FUZZ_TAGGED, FUZZ_FIELDS, FUZZ_FORMS };

/* A number: none, small, near what the reader knows, or any. */
static inline uint64_t fuzz_near(struct fuzz_input *in, uint64_t known)
{
    switch (fuzz_u8(in) % 4) {
    case 0:
        return known;
    case 1:
        return fuzz_u8(in);
    case 2:
        return known + (uint64_t)(int64_t)(int8_t)fuzz_u8(in);
    default:
        return fuzz_u64(in);
    }
}

static inline size_t fuzz_keeper_fields(struct fuzz_input *in, const struct kp_message *known, uint8_t *out)
{
    uint8_t frame[FUZZ_FRAME_MAX] = {0};
    struct kp_message m = {.kind = (uint8_t)(fuzz_u8(in) % (KP_KINDS + 1)), .frame = frame};
    uint8_t shape = fuzz_u8(in);
    const uint8_t *bytes;
    size_t have = 0;

    m.index = fuzz_u8(in);
    m.count = fuzz_u8(in);
    m.port = shape & 1 ? fuzz_u8(in) : shape >> 4 & 1;
    m.lane = shape & 2 ? fuzz_u8(in) : 0;
    m.flags = fuzz_two_keepers ? fuzz_u8(in) & 0xf : shape >> 2 & 1;
    m.from = fuzz_near(in, known->from);
    m.to = fuzz_near(in, known->to);
    m.serial = fuzz_near(in, known->serial);
    m.view = fuzz_near(in, known->view);
    m.burst = fuzz_near(in, known->burst);
    m.number = fuzz_near(in, known->number);
    m.before = fuzz_near(in, known->before);
    m.seq = fuzz_near(in, known->seq);
    m.time = fuzz_near(in, known->time);
    m.missing = fuzz_near(in, known->missing);
    m.begins = fuzz_near(in, known->begins);
    if (shape & 8) {
        bytes = fuzz_bytes(in, fuzz_u8(in) % FUZZ_FRAME_MAX, &have);
        memcpy(frame, bytes, have);
    }
    m.have = (uint32_t)have;
    m.len = shape & 0x20 ? fuzz_u16(in) : (uint16_t)(have + (shape >> 6) * 20u);
    have = kp_begin(&m, out);
    for (unsigned more = shape & 0x10 ? fuzz_u8(in) % 4 : 0; more; more--) { /* that share the datagram */
        m.index++;
        m.seq++;
        m.before = m.number++;
        (void)kp_add(&m, out, &have, KP_HEAD_BYTES + FUZZ_FRAME_MAX);
    }
    kp_sign(out, have, fuzz_keeper_keys());
    return have;
}

/* Into a block of exactly its bytes, which the caller frees. */
static inline uint8_t *fuzz_keeper_datagram(struct fuzz_input *in, const struct kp_message *known,
                                            size_t *len)
{
    uint8_t bytes[KP_HEAD_BYTES + FUZZ_FRAME_MAX];
    unsigned form = fuzz_u8(in) % FUZZ_FORMS;
    const uint8_t *from;

    if (form == FUZZ_FIELDS) {
        *len = fuzz_keeper_fields(in, known, bytes);
        return fuzz_copy(bytes, *len);
    }
    from = fuzz_bytes(in, fuzz_u8(in), len);
    memcpy(bytes, from, *len);
    if (form == FUZZ_TAGGED && *len >= KP_HEAD_BYTES) {
        uint8_t *tag = bytes + KP_HEAD_BYTES - FT_TAG_BYTES, made[FT_TAG_BYTES];

        memset(tag, 0, FT_TAG_BYTES);
        ft_datagram_tag(bytes, *len, &fuzz_keeper_keys()->key[0], made);
        memcpy(tag, made, FT_TAG_BYTES);
    }
    return fuzz_copy(bytes, *len);
}

/* As kp_decode; what it lets pass, alone in its datagram, is written again with the same bytes. */
static inline int fuzz_keeper_decode(uint8_t *bytes, size_t len, struct kp_message *out)
{
    uint8_t *before = fuzz_copy(bytes, len), *again = malloc(len + 1);
    int error = kp_decode(bytes, len, fuzz_keeper_keys(), out);

    FUZZ_MUST(again, "no memory");
    FUZZ_MUST(!error || error == FT_EMALFORMED || error == FT_EPERM, "error %d", error);
    if (!error) {
        FUZZ_MUST(out->have + out->rest == len - KP_HEAD_BYTES && out->frame == bytes + KP_HEAD_BYTES,
                  "another frame");
        FUZZ_MUST(out->rest ||
                      (kp_encode(out, fuzz_keeper_keys(), again) == len && memcmp(before, again, len) == 0),
                  "its encoding has other bytes");
    }
    free(before);
    free(again);
    return error;
}

/* What an end says is a message that the other one reads. */
static inline void fuzz_keeper_readable(const struct kp_message *m)
{
    static uint8_t bytes[KP_HEAD_BYTES + UINT16_MAX];
    struct kp_message read;
    int error = kp_decode(bytes, kp_encode(m, fuzz_keeper_keys(), bytes), fuzz_keeper_keys(), &read);

    FUZZ_MUST(error == 0, "kind %u of %u bytes, %u there, index %u of %u, view %lu: error %d", m->kind,
              m->len, m->have, m->index, m->count, m->view, error);
}

/* For seeds: a message of fields, all of them near what is known. `flags`: where there are two keepers. */
static inline void fuzz_keeper_put_flags(struct fuzz_output *out, uint8_t kind, uint8_t index, uint8_t count,
                                         uint8_t flags, const int8_t near[11], uint8_t have)
{
    fuzz_put_u8(out, FUZZ_FIELDS);
    fuzz_put_u8(out, kind);
    fuzz_put_u8(out, have ? 8 : 0);
    fuzz_put_u8(out, index);
    fuzz_put_u8(out, count);
    if (fuzz_two_keepers)
        fuzz_put_u8(out, flags);
    for (unsigned i = 0; i < 11; i++) {
        fuzz_put_u8(out, 2);
        fuzz_put_u8(out, (uint8_t)near[i]);
    }
    if (!have)
        return;
    fuzz_put_u8(out, have);
    for (unsigned i = 0; i < have; i++)
        fuzz_put_u8(out, (uint8_t)i);
}

static inline void fuzz_keeper_put(struct fuzz_output *out, uint8_t kind, uint8_t index, uint8_t count,
                                   const int8_t near[11], uint8_t have)
{
    fuzz_keeper_put_flags(out, kind, index, count, 0, near, have);
}

#endif
