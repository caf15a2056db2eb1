/* SPDX-License-Identifier: Apache-2.0 */
/* A capture through a chain again and again; see chain.h. */
#include "tests/help/chain.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t header_bytes(const struct help_captured *c)
{
    struct nf_packet p = {.data = c->data, .len = c->len, .have = c->have, .side = c->side};
    nf_packet_parse(&p);
    uint32_t n = nf_packet_header_bytes(&p);
    return n < c->have ? n : c->have;
}

static uint64_t sum_up(uint64_t sum, const void *data, uint32_t n)
{
    const uint8_t *at = data;
    for (uint32_t i = 0; i < n; i++)
        sum = (sum ^ at[i]) * 0x100000001b3u;
    return sum;
}

/* Frames are copied: the capture is needed again. */
static uint64_t one_burst(struct help_chain *h, const struct help_captured *list, uint32_t n, bool headers,
                          uint64_t sum)
{
    struct nf_packet burst[NF_BURST_MAX];
    uint32_t bytes[NF_BURST_MAX];
    uint8_t *copies[NF_BURST_MAX];
    for (uint32_t i = 0; i < n; i++) {
        bytes[i] = header_bytes(&list[i]);
        uint32_t have = headers ? bytes[i] : list[i].have;
        uint8_t *copy = malloc(have ? have : 1);
        assert_non_null(copy);
        memcpy(copy, list[i].data, have);
        copies[i] = copy; /* the chain may move the packet */
        burst[i] = (struct nf_packet){.data = copy, .len = list[i].len, .have = have, .side = list[i].side};
    }
    help_chain_run(h, list[n - 1].time > h->now ? list[n - 1].time : h->now, burst, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t fate[3] = {burst[i].drop, burst[i].drop_nf, burst[i].out_port};
        sum = sum_up(sum, fate, sizeof(fate));
        bytes[i] += burst[i].len - list[i].len; /* headers of another family */
        sum = sum_up(sum, burst[i].data, burst[i].drop ? 0 : bytes[i]);
        free(copies[i]);
    }
    return sum;
}

uint64_t help_chain_capture(struct help_chain *h, const struct help_capture *capture, bool headers,
                            uint64_t *sum)
{
    *sum = 0;
    help_chain_again(h);
    for (uint32_t at = 0; at < capture->count; at += NF_BURST_MAX) {
        uint32_t left = capture->count - at;
        *sum = one_burst(h, &capture->list[at], left < NF_BURST_MAX ? left : NF_BURST_MAX, headers, *sum);
    }
    for (unsigned i = 0; i < 180; i++)
        help_chain_idle(h, h->now + 10 * HELP_SECOND);
    return help_chain_digest(h);
}

bool help_chain_same(struct help_chain *h, const char *name, bool mend)
{
    struct help_capture capture;
    uint64_t first, sum;
    if (!help_capture_read(&capture, name))
        return false;
    if (mend)
        help_capture_mend(&capture);
    uint64_t digest = help_chain_capture(h, &capture, false, &first);
    if (help_chain_capture(h, &capture, false, &sum) != digest || sum != first)
        fail_msg("%s: once more is something else", name);
    if (help_chain_capture(h, &capture, true, &sum) != digest || sum != first)
        fail_msg("%s: header bytes give something else", name);
    help_capture_free(&capture);
    return true;
}
