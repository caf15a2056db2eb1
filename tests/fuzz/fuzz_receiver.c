/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver: LOG messages with records of several lanes and DELTA messages with chunks of their deltas,
 * through the real message decoder, into the real closed set and replay rings. The input says, entry by
 * entry, what numbers they have; most fit, so that sets close, some do not. After each message what may be
 * replayed is compared with a closed set computed the simple way (received.h).
 */
#include "tests/fuzz/received_make.h"
#include "tests/fuzz/received.h"
#include "tests/fuzz/fuzz.h"
#include "ftcore/record/delta.h"
#include "replicator/parts.h"
#include "ftcore/record/record.h"

#include <stdlib.h>
#include <string.h>

#define RING (2u << 20)

static struct ft_region region;
static struct ft_arena arenas[RECEIVED_LANES + 1];

static uint8_t frame[(1u << 16) + 2048], *bulk;

static int deliver(enum ft_message_type type, size_t len)
{
    static struct ft_compressor compressor;
    struct ft_message m = {
        .type = (uint8_t)type, .state = FT_SOLO, .view = 1, .bulk = received_wire, .bulk_len = (uint32_t)len};
    struct ft_fault fault = {""};
    long n;

    compressor = (struct ft_compressor){.skip = 0};
    n = ft_message_encode(&m, received_rp->lanes, &compressor, true, frame, sizeof(frame));
    FUZZ_MUST(n > 0, "the message does not fit");
    FUZZ_MUST(ft_message_decode(frame, (size_t)n, received_rp->lanes, &m, bulk, &fault) == n, "%s",
              fault.text);
    int error = rp_receiver_take(received_rp, &m, &fault);

    FUZZ_MUST(!error || fault.text[0], "no line about error %d", error);
    return error;
}

static void open_once(void)
{
    if (received_rp)
        return;
    received_rp = calloc(1, sizeof(*received_rp));
    received_lanes = aligned_alloc(64, RECEIVED_LANES * sizeof(*received_lanes));
    bulk = malloc(FT_BULK_MAX);
    FUZZ_MUST(received_rp && received_lanes && bulk, "no memory");
    memset(received_lanes, 0, RECEIVED_LANES * sizeof(*received_lanes));
    for (unsigned l = 0; l < RECEIVED_LANES; l++)
        FUZZ_MUST(ft_lane_init(&received_lanes[l], 4096, RING) == 0, "no memory");
    received_rp->config.lanes = received_lanes;
    received_rp->config.region = &region;
    received_rp->snapshot.lines = RECEIVED_LINES;
}

/* Arenas of one NF for each lane, and the shared one behind them; of each the first half is handed out. */
static void lay_out(void)
{
    region = (struct ft_region){.lanes = (uint16_t)received_rp->lanes,
                                .nfs = 1,
                                .arena_count = received_rp->lanes + 1,
                                .arenas = arenas};
    for (unsigned i = 0; i <= received_rp->lanes; i++)
        arenas[i] = (struct ft_arena){.offset = (uint64_t)i * RECEIVED_STRIDE * FT_LINE,
                                      .size = RECEIVED_STRIDE * FT_LINE,
                                      .used = RECEIVED_USED * FT_LINE,
                                      .lane = (uint16_t)(i < received_rp->lanes ? i : FT_LANES_MAX),
                                      .region = &region};
}

static bool one_record(struct fuzz_input *in, size_t *len, bool *refused)
{
    struct ft_dependency dependencies[4];
    struct ft_record r;

    if (!received_make_record(in, len, &r, dependencies))
        return false;
    if (received_record_fits(&r, dependencies))
        received_note_record(&r, dependencies);
    else
        *refused = true;
    return true;
}

static bool one_chunk(struct fuzz_input *in, size_t *len, bool *refused)
{
    struct ft_chunk_output output;
    struct ft_chunk p;
    uint64_t runs[2];

    if (!received_make_chunk(in, len, &p, runs, &output))
        return false;
    if (received_chunk_fits(&p, runs, &output))
        received_note_chunk(&p, runs, &output);
    else
        *refused = true;
    return true;
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    bool refused = false;

    open_once();
    received_rp->lanes = 1 + fuzz_u8(&in) % RECEIVED_LANES;
    received_rp->receiver.closed = ft_closed_new(received_rp->lanes, RECEIVED_ITEMS);
    received_rp->receiver.scratch = aligned_alloc(64, FT_RECORD_MAX);
    FUZZ_MUST(received_rp->receiver.closed && received_rp->receiver.scratch, "no memory");
    memset(&received_begin, 0, sizeof(received_begin));
    memset(received_count, 0, sizeof(received_count));
    memset(received_entry_count, 0, sizeof(received_entry_count));
    memset(received_delta, 0, sizeof(received_delta));
    lay_out();
    for (unsigned l = 0; l < received_rp->lanes; l++) {
        received_begin.burst[l] = fuzz_u8(&in);
        received_begin.access[l] = fuzz_u8(&in);
        ft_ring_reset(&received_lanes[l].replay);
    }
    rp_receiver_reset(received_rp, &received_begin);
    while (fuzz_left(&in) && !refused) {
        uint8_t what = fuzz_u8(&in);
        bool chunks = what & 0x80;
        unsigned wanted = 1 + what % 8, made = 0;
        size_t len = 0;

        for (; made < wanted &&
               received_entry_count[0] + received_entry_count[1] + received_entry_count[2] +
                       received_entry_count[3] <
                   RECEIVED_ITEMS &&
               !refused;
             made++)
            if (!(chunks ? one_chunk(&in, &len, &refused) : one_record(&in, &len, &refused)))
                break;
        if (made == 0)
            break;
        FUZZ_MUST((deliver(chunks ? FT_MSG_DELTA : FT_MSG_LOG, len) != 0) == refused,
                  "a message that %s was %s", refused ? "does not fit" : "fits",
                  refused ? "taken" : "refused");
        if (!refused)
            received_compare();
    }
    received_compare_rings();
    rp_receiver_free(received_rp);
}

static void seeds(void)
{
    static const uint8_t one[] = {0, 5, 9, 3, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2};
    /* two lanes, each waiting for the other's first access; then it closes */
    static const uint8_t two[] = {1, 0, 0, 0, 0, 0, 0x04, 1, 1, 1, 1, 0, 0x05, 1, 1, 0, 0};
    static const uint8_t gap[] = {0, 0, 0, 1, 0, 1, 1, 0x80, 1, 2, 3};

    /* one lane: a delta of three chunks with lines and outputs, then a burst, then what tells it again */
    static const uint8_t chunks[] = {0,    0,    0, 0x82, 0x60, 3, 9,    2,    0x11, 0x60, 1,
                                     0x32, 0x24, 2, 0,    0,    1, 0x81, 0x34, 5,    0x14};
    /* two lanes: the delta of one, then of the other, and only then the cut counts */
    static const uint8_t both[] = {1, 3, 0,    4,    0, 0x80, 0x04, 2, 5, 0x80, 0x05,
                                   1, 5, 0x80, 0x04, 0, 0,    0x80, 5, 0, 0};
    static const uint8_t between[] = {0, 0, 0, 0x80, 0x00, 3, 9, 0, 0, 1, 1};

    fuzz_seed("chunks", chunks, sizeof(chunks));
    fuzz_seed("both-deltas", both, sizeof(both));
    fuzz_seed("burst-between-chunks", between, sizeof(between));
    fuzz_seed("one-lane", one, sizeof(one));
    fuzz_seed("two-lanes", two, sizeof(two));
    fuzz_seed("gap", gap, sizeof(gap));
}

FUZZ_TARGET(receiver, "records and chunks of deltas of several lanes to the receiver", 1024)
