/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of messages: seeded contents, and contents put together by hand with msgpack, so that the encoder
 * has no say. One thread.
 */
#ifndef TESTS_HELP_MESSAGE_H
#define TESTS_HELP_MESSAGE_H

#include "ftcore/protocol/core.h"

#include <msgpack.h>

/* For encoded frames, the bulk that decoding unpacks, and the bulk of what message_draw and message_fill
 * make. */
extern uint8_t message_frame[FT_MESSAGE_MAX + 64], message_unpacked[FT_BULK_MAX],
    message_content[FT_BULK_MAX];

/* Random bytes; `repeats`: with a period of 100, so that compression pays. */
void message_fill(uint8_t *to, size_t len, bool repeats);

/* A message of that type with possible contents; draw_seed decides which. Its bulk lies in message_content.
 */
struct ft_message message_draw(unsigned type, unsigned lanes, uint32_t bulk_max);

/* What a core with these settings says of itself in a hello. */
void message_hello(struct ft_message *m, const struct ft_core_config *config);

/* The content put together so far. */
extern msgpack_sbuffer message_by_hand;
extern msgpack_packer message_packer;

/* A new content: an array of `size`, of which the head of six numbers is put. */
void message_begin(unsigned size, uint64_t version, uint64_t type, uint64_t st);

/* The next item of the content; message_put_raw: bytes as they are. */
void message_put(uint64_t v);
void message_put_text(const char *bytes, size_t len);
void message_put_bytes(const void *bytes, size_t len);
void message_put_raw(const char *bytes, size_t len);

/* Decodes the content as a frame whose length and checksum are right. */
long message_judge(unsigned lanes, struct ft_message *m, struct ft_fault *why);

/* Fail the test when it is otherwise. */
void message_refused(unsigned lanes, const char *expected);
void message_accepted(unsigned lanes, struct ft_message *m);

/* 100 times 'a' as an LZ4 block: one literal, a match of 94 at distance 1, five literals. */
extern const char lz4_block[12];

#define LZ4_LEN 11u

#endif
