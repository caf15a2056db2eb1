/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The death notice: one datagram of 40 bytes, with which a guardian tells the peer that its node's process is
 * dead. Written by node/lane/guardian.c, read by the peer's link.
 *
 *     "understu" | u32 version | u32 zero | u64 incarnation | u64 view | u64 XXH3-64 of what is before
 *
 * The incarnation is what a stranger cannot know; the receiver compares it with the peer's.
 */
#ifndef FTCORE_RECORD_DEATH_NOTICE_H
#define FTCORE_RECORD_DEATH_NOTICE_H

#include <stddef.h>
#include <stdint.h>

#define FT_DEATH_NOTICE_BYTES 40u

struct ft_death_notice {
    uint64_t incarnation; /* of the dead process */
    uint64_t view;
};

void ft_death_notice_encode(const struct ft_death_notice *notice, uint8_t out[FT_DEATH_NOTICE_BYTES]);
/* 0, FT_EMALFORMED, FT_ECHECKSUM. */
int ft_death_notice_decode(const uint8_t *in, size_t len, struct ft_death_notice *notice);

#endif
