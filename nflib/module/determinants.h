/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Determinants that NF code read in a burst: noted live, given back in replay in the same order. All of a
 * burst's are one value of its record, a block that begins with a zero byte, which no operator's command has.
 *
 *     0 | u16 size, bytes | u16 size, bytes | …        sizes in the machine's order
 *
 * Owned by the chain, written by nf_determinant and by whoever replays, read by whoever records.
 */
#ifndef NFLIB_MODULE_DETERMINANTS_H
#define NFLIB_MODULE_DETERMINANTS_H

#include <stdbool.h>
#include <stdint.h>

#define NF_DETERMINANTS_MAX 16384u /* bytes of a block */

struct nf_determinants {
    uint32_t len, at;
    bool replaying;
    bool wrong; /* replay asked for other values than were noted */
    uint8_t block[NF_DETERMINANTS_MAX];
};

void nf_determinants_begin(struct nf_determinants *values, bool replaying);
/* Live, after the chain ran: what is to be recorded. Length, or 0: nothing. */
uint32_t nf_determinants_noted(const struct nf_determinants *values, const void **block);
/* Whether a value of a record is such a block; otherwise it is a command. */
bool nf_determinants_is(const void *value, uint32_t len);
/* Replay, before the chain runs. FT_EMALFORMED: sizes that do not fit, or a second block. */
int nf_determinants_supply(struct nf_determinants *values, const void *block, uint32_t len);
/* Replay, afterwards: all of them were read, as what they were noted, and none else. */
bool nf_determinants_used(const struct nf_determinants *values);

#endif
