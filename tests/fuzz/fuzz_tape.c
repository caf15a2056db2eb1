/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The capture reader of the replay tool: any file. What is read is cut into bursts without gaps, in time,
 * each input in one of them and of a size that a port takes; dealt out to lanes, every input is in one lane.
 * What is refused has one line that begins with the file's name.
 */
#include "ftcore/record/record.h"
#include "understudy/config/config.h"
#include "understudy/pair/tape.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANES 3u

static struct nd_config *config;

static void open_once(void)
{
    static const char chain[] =
        "chain:\n  name: t\n  nfs:\n    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1 }\n";
    struct ft_fault fault = {""};

    if (!config)
        FUZZ_MUST(nd_config_read(&config, fuzz_file("chain.yaml", chain, sizeof(chain) - 1), 0, &fault) == 0,
                  "%s", fault.text);
}

static uint64_t check_tape(const struct nd_tape *t)
{
    static uint8_t frame[FT_FRAME_MAX];
    uint64_t next = 0, time = 0;

    for (uint64_t b = 0; b < t->burst_count; b++) {
        const struct nd_tape_burst *burst = &t->bursts[b];

        FUZZ_MUST(burst->n <= FT_BURST_MAX && burst->first == next && burst->time >= time,
                  "burst %lu: %u from %lu", b, burst->n, burst->first);
        next += burst->n;
        time = burst->time;
    }
    FUZZ_MUST(next == t->count, "bursts have %lu of %lu inputs", next, t->count);
    for (uint64_t i = 0; i < t->count; i++) {
        const struct nd_tape_input *in = &t->inputs[i];

        FUZZ_MUST(in->wire >= 14 && in->wire <= FT_FRAME_MAX && in->have >= 1 && in->have <= in->wire &&
                      in->side <= NF_OUTSIDE && in->wire <= t->longest,
                  "input %lu: %u of %u bytes", i, in->have, in->wire);
        nd_tape_frame(t, i, frame);
        uint64_t of = nd_tape_burst_of(t, in->number);

        FUZZ_MUST(of >= 1 && of <= t->burst_count && t->bursts[of - 1].first <= i, "input %lu in burst %lu",
                  i, of);
    }
    return t->count;
}

static void run(const uint8_t *data, size_t size)
{
    struct nd_tape tape, dealt[LANES];
    struct ft_fault fault = {""};
    uint64_t sum = 0;
    char path[128];

    open_once();
    snprintf(path, sizeof(path), "%s", fuzz_file("capture", data, size));
    if (nd_tape_read(&tape, path, &config->chain, NULL, &fault)) {
        FUZZ_MUST(strncmp(fault.text, path, strlen(path)) == 0 && !strchr(fault.text, '\n'),
                  "refused by '%s'", fault.text);
        return;
    }
    check_tape(&tape);
    FUZZ_MUST(nd_tape_deal(&tape, (struct nd_tape_lanes){LANES, NF_OF_FLOW}, NULL, dealt, &fault) == 0, "%s",
              fault.text);
    for (unsigned l = 0; l < LANES; l++) {
        sum += check_tape(&dealt[l]);
        nd_tape_free(&dealt[l]);
    }
    FUZZ_MUST(sum == tape.count, "%lu inputs dealt out, %lu there", sum, tape.count);
    nd_tape_free(&tape);
}

/* ---- seeds ------------------------------------------------------------------------------------- */

static void put_packet(struct fuzz_output *out, uint32_t second, uint32_t wire, uint32_t have, uint8_t last)
{
    static const uint8_t frame[64] = {2, 0, 0, 0, 0,  1,  2, 0, 0,  0, 0, 2, 8,   0,  0x45, 0, 0, 50,
                                      0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2, 198, 51, 100,  7, 0, 53};

    fuzz_put_u32(out, second);
    fuzz_put_u32(out, 5);
    fuzz_put_u32(out, have);
    fuzz_put_u32(out, wire);
    fuzz_put(out, frame, have - 1);
    fuzz_put_u8(out, last);
}

static void put_head(struct fuzz_output *out, uint32_t magic)
{
    fuzz_put_u32(out, magic);
    fuzz_put_u16(out, 2);
    fuzz_put_u16(out, 4);
    fuzz_put_u64(out, 0);
    fuzz_put_u32(out, 65535);
    fuzz_put_u32(out, 1);
}

static void seeds(void)
{
    static const uint8_t ng[] = {10,  13,  13,  10,  28,  0,   0,   0,   0x4d, 0x3c, 0x2b, 0x1a, 1,  0, 0, 0,
                                 255, 255, 255, 255, 255, 255, 255, 255, 28,   0,    0,    0,    1,  0, 0, 0,
                                 20,  0,   0,   0,   1,   0,   0,   0,   0,    0,    1,    0,    20, 0, 0, 0,
                                 6,   0,   0,   0,   48,  0,   0,   0,   0,    0,    0,    0,    0,  0, 0, 0,
                                 9,   0,   0,   0,   16,  0,   0,   0,   60,   0,    0,    0,    2,  0, 0, 0,
                                 0,   1,   2,   0,   0,   0,   0,   2,   8,    0,    0x45, 0,    48, 0, 0, 0};
    static struct fuzz_output out;

    put_head(&out, 0xa1b2c3d4);
    put_packet(&out, 100, 64, 64, 1);
    put_packet(&out, 100, 1500, 40, 2);
    put_packet(&out, 99, 64, 64, 3);
    put_packet(&out, 160, 10, 10, 4);
    fuzz_seed("plain", out.bytes, out.len);
    fuzz_seed("torn", out.bytes, out.len - 7);
    out.len = 0;
    put_head(&out, 0xa1b23c4d);
    put_packet(&out, 1, 64, 64, 1);
    put_packet(&out, 9999, 9217, 60, 1);
    fuzz_seed("nanoseconds", out.bytes, out.len);
    fuzz_seed("ng", ng, sizeof(ng));
}

FUZZ_TARGET(tape, "captures, as the replay tool reads them", 1024)
