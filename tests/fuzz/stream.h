/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of bursts through a chain, by the real lane (lane) with ports in memory and the region's
 * audit on. The input is a program that makes frames, cuts bursts, lets time pass and gives commands; it may
 * answer to what the chain has sent. Then the same bursts run again from nothing, and once more from the
 * records alone, as a standby would: digests, outputs and records must be the same.
 *
 * A byte says what comes, its low four bits; see the table in stream.c.
 */
#ifndef TESTS_FUZZ_STREAM_H
#define TESTS_FUZZ_STREAM_H

#include "tests/fuzz/fuzz.h"

struct stream_chain {
    const char *nfs;             /* lines of the chain file's list, "    - nat: { … }\n" */
    const char *rules;           /* content of the file firewall.rules, or NULL */
    const char *network;         /* interfaces, routes and next hops, or NULL: a wire without addresses */
    const char *name;            /* of the NF that commands are for */
    const char *const *commands; /* NULL-terminated; "set KEY=VALUE", "clear", "clear KEY" */
};

/* One chain a process; made when first asked for. */
void stream_run(const struct stream_chain *chain, const uint8_t *data, size_t size);
/* The synthetic inputs that all chains begin with. */
void stream_seeds(void);

/* ---- frames, for seeds and targets: stream_frame.c ---- */
#define STREAM_FRAME_MAX 2048u /* NFT_FRAME_MAX */

/* Made from some bytes of the input: few hosts and ports, so that flows meet again. Its length. */
uint32_t stream_make(struct fuzz_input *in, uint8_t side, uint8_t out[STREAM_FRAME_MAX]);
uint32_t stream_make_arp(struct fuzz_input *in, uint8_t side, uint8_t out[STREAM_FRAME_MAX]);
uint32_t stream_make_ipv6(struct fuzz_input *in, uint8_t side, uint8_t out[STREAM_FRAME_MAX]);
/* The answer to a frame: ends and MACs swapped, SYN becomes SYN+ACK, an echo request its reply. 0: none. */
uint32_t stream_answer(const uint8_t *frame, uint32_t len, uint8_t flags, uint8_t out[STREAM_FRAME_MAX]);
/* An ICMP error that quotes a frame, from its destination or a router. 0: none. */
uint32_t stream_error(const uint8_t *frame, uint32_t len, uint8_t how, uint8_t out[STREAM_FRAME_MAX]);

#endif
