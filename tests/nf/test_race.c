/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chains whose lanes share state, as threads, over captures: whatever happened live happens again in
 * replay, to the last byte of the region.
 */
#include "node/config.h"
#include "tests/nf/help_chain.h"
#include "tests/unit/help_race.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME 2048u

/* A capture dealt out to lanes, each with packets of all its own flows. */
struct dealt {
    struct help_capture capture;
    uint32_t *of[HELP_LANES], count[HELP_LANES];
};

static void deal(struct dealt *d, unsigned lanes)
{
    for (unsigned l = 0; l < lanes; l++)
        d->of[l] = calloc(d->capture.count, sizeof(uint32_t));
    for (uint32_t i = 0; i < d->capture.count; i++) {
        struct help_seen s = {0};
        unsigned lane = 0;
        if (help_see(d->capture.list[i].data, d->capture.list[i].have, &s))
            lane = ((s.src ^ s.dst) * 31u + (uint32_t)(s.sport ^ s.dport)) % lanes;
        d->of[lane][d->count[lane]++] = i;
    }
}

/* A lane that has no more begins again: its flows are known then. */
static void fill(unsigned lane, uint32_t burst, struct nf_packet packets[], uint32_t n, void *ctx)
{
    static _Thread_local uint8_t frames[NF_BURST_MAX][FRAME];
    const struct dealt *d = ctx;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t of = d->count[lane] ? d->of[lane][(burst * n + i) % d->count[lane]] : i % d->capture.count;
        const struct help_captured *c = &d->capture.list[of];
        uint32_t have = c->have < FRAME ? c->have : FRAME;
        memcpy(frames[i], c->data, have);
        packets[i] = (struct nf_packet){
            .data = frames[i], .len = c->len, .have = have, .side = c->side, .in_port = c->side};
    }
}

static void race(const char *file, const char *name, unsigned lanes, bool audit, unsigned rounds)
{
    struct help_race r = {
        .packets = 16, .bursts = 100, .step = HELP_SECOND / 20, .fill = fill, .audit = audit};
    struct nd_config *config = NULL;
    struct ft_fault fault = {""};
    struct dealt d = {.count = {0}};

    if (!help_capture_read(&d.capture, name))
        return;
    if (nd_config_read(&config, file, false, &fault) < 0)
        fail_msg("%s", fault.text);
    deal(&d, lanes);
    r.config = config->chain;
    r.config.lanes = (uint16_t)lanes;
    r.ctx = &d;
    help_race_open(&r);
    for (unsigned round = 1; round <= rounds; round++) {
        r.seed = round;
        uint64_t live = help_race_live(&r, round);
        if (help_race_replay(&r, round + 100) != live)
            fail_msg("%s over %s: replay ends in another state", file, name);
    }
    printf("# %s, %s, %u lanes: %.1f edges in 1000 packets\n", file, name, lanes,
           1000.0 * (double)r.edges / (rounds * lanes * r.bursts * r.packets));
    help_race_close(&r);
    nd_config_free(config);
    for (unsigned l = 0; l < lanes; l++)
        free(d.of[l]);
    help_capture_free(&d.capture);
}

static void test_forward(void **state)
{
    (void)state;
    race("nfs/chains/forward.yaml", "mixed.pcap", 4, false, 3);
    race("nfs/chains/forward.yaml", "mixed.pcap", 2, true, 1);
}
static void test_race_chain(void **state)
{
    (void)state;
    race("nfs/chains/race.yaml", "gnutella.pcap", 4, false, 3);
    race("nfs/chains/race.yaml", "mixed.pcap", 3, true, 1);
}
static void test_balanced(void **state)
{
    (void)state;
    race("nfs/chains/balanced.yaml", "synscan.pcap", 4, false, 2);
    race("nfs/chains/balanced.yaml", "mixed.pcap", 2, true, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_race_chain),
        cmocka_unit_test(test_balanced),
    };
    return cmocka_run_group_tests_name("race", tests, NULL, NULL);
}
