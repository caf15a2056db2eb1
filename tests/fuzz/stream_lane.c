/* SPDX-License-Identifier: Apache-2.0 */
/* The lane of a stream: ports in memory, its runs, and the replay of its records; see stream.h. */
#include "tests/help/record.h"
#include "tests/fuzz/stream_parts.h"
#include "ftcore/region/audit.h"
#include "ftcore/record/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- ports ------------------------------------------------------------------------------------- */

static struct buffer *take(const void *frame, uint32_t len)
{
    FUZZ_MUST(s.frees && len <= STREAM_FRAME_MAX, "no buffer for %u bytes", len);
    struct buffer *b = s.free[--s.frees];

    memcpy(b->frame, frame, len);
    b->len = len;
    return b;
}

static void io_drop(void *ctx, void *owner)
{
    (void)ctx;
    s.free[s.frees++] = owner;
}

static void *io_make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    (void)ctx;
    (void)lane;
    return take(frame, len);
}

static uint8_t *io_data(void *owner)
{
    return ((struct buffer *)owner)->frame;
}

static bool io_burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                     uint64_t *time)
{
    (void)ctx;
    (void)lane;
    if (!s.feeding || !stream_next(last)) {
        atomic_store(&s.stop, true);
        return false;
    }
    const struct tape_burst *b = &s.bursts[last];

    for (uint32_t i = 0; i < b->n; i++) {
        const struct tape_frame *f = &s.frames[b->first + i];
        struct buffer *to = take(f->bytes, f->len);

        frames[i] = (struct nd_frame){.data = to->frame, .len = to->len, .port = f->side, .owner = to};
    }
    *n = b->n;
    *time = b->time;
    if (b->command[0]) {
        memcpy(s.question.text, b->command, sizeof(b->command));
        atomic_store(&s.question.asked, ND_ASK_COMMAND);
    }
    return true;
}

static void note_output(const struct ft_held *held, unsigned port)
{
    const struct buffer *b = held->packet;
    struct result *r = s.result;

    FUZZ_MUST(r && r->outputs < OUTPUTS, "more outputs than a stream can have");
    r->output[r->outputs++] = (struct output){.number = held->number,
                                              .burst = held->burst,
                                              .seq = held->seq,
                                              .sum = XXH3_64bits(b->frame, b->len),
                                              .len = b->len,
                                              .port = port};
    if (!s.making)
        return;
    s.last_out = *b;
    s.last_out_side = (uint8_t)port;
    stream_remember(b->frame, b->len, (uint8_t)!port);
}

static uint32_t io_send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    (void)ctx;
    (void)lane;
    for (uint32_t i = 0; i < n; i++) {
        if (held[i].number) /* else the node's own frame */
            note_output(&held[i], port);
        io_drop(NULL, held[i].packet);
    }
    return n;
}

static bool io_room(void *ctx, unsigned lane)
{
    (void)ctx;
    (void)lane;
    return true;
}

/* The record goes to the standby as bytes, and comes back the same. */
static void io_record(void *ctx, unsigned lane, const struct ft_record *r)
{
    static _Alignas(64) uint8_t decoded[FT_RECORD_MAX];
    struct ft_fault fault = {""};
    struct result *to = s.result;

    (void)ctx;
    (void)lane;
    FUZZ_MUST(record_check(r, r->size, &fault) == 0, "the lane made a bad record: %s", fault.text);
    long n = ft_record_encode(r, FT_FORMAT_NEWEST, true, to->records + to->bytes, RECORDS - to->bytes);

    FUZZ_MUST(n > 0, "a stream's records are too many");
    long m = ft_record_decode(to->records + to->bytes, (size_t)n, (struct ft_record *)decoded,
                              sizeof(decoded), &fault);

    FUZZ_MUST(m == n && memcmp(decoded, r, r->size) == 0, "burst %lu comes back as another: %s", r->burst,
              fault.text);
    to->bytes += (size_t)n;
}

/* ---- the lane ---------------------------------------------------------------------------------- */

static void read_chain(const struct stream_chain *chain)
{
    char text[4096];
    struct ft_fault fault = {""};
    int n = snprintf(text, sizeof(text), "chain:\n  name: fuzz\n  nfs:\n%s%sprotect: { mode: off }\n",
                     chain->nfs, chain->network ? chain->network : "");

    if (chain->rules)
        fuzz_file("firewall.rules", chain->rules, strlen(chain->rules));
    FUZZ_MUST(nd_config_read(&s.config, fuzz_file("chain.yaml", text, (size_t)n), 0, &fault) == 0, "%s",
              fault.text);
}

static void open_region(void)
{
    static const struct ft_region_config how = {.name = "fuzz", .shared_size = FT_ARENA_MIN, .audit = true};
    struct ft_fault fault = {""};

    FUZZ_MUST(nf_chain_region(&s.region, &s.config->chain, &how, &fault) == 0, "%s", fault.text);
}

void stream_open(const struct stream_chain *chain)
{
    struct ft_fault fault = {""};

    if (s.chain == chain)
        return;
    FUZZ_MUST(!s.chain, "one chain a process");
    s.chain = chain;
    read_chain(chain);
    open_region();
    for (s.frees = 0; s.frees < BUFFERS; s.frees++)
        s.free[s.frees] = &s.pool[s.frees];
    for (unsigned i = 0; i < 2; i++)
        FUZZ_MUST((s.results[i].records = malloc(RECORDS)), "no memory");
    s.io = (struct nd_io){.ports = 2,
                          .side = {NF_INSIDE, NF_OUTSIDE},
                          .own = {{6, 0, 0, 0, 0, 1}, {6, 0, 0, 0, 0, 2}},
                          .buffers = BUFFERS,
                          .send = io_send,
                          .make = io_make,
                          .data = io_data,
                          .drop = io_drop,
                          .burst = io_burst,
                          .room = io_room,
                          .record = io_record};
    FUZZ_MUST(ft_lane_init(&s.shared, 2 * FT_RECORD_MAX, 2 * FT_RECORD_MAX) == 0, "no memory");
    atomic_store(&s.shared.orders.stable, FT_ALL);
    atomic_store(&s.shared.orders.lease_until, FT_ALL);
    atomic_store(&s.shared.orders.peer_version, FT_FORMAT_NEWEST);
    nd_group_init(&s.group, &s.lane, 1);
    s.lane = (struct nd_lane){.config = &s.config->chain,
                              .protect = &s.config->protect,
                              .setup.heartbeat_ms = s.config->timing.heartbeat_ms,
                              .io = &s.io,
                              .region = s.region,
                              .shared = &s.shared,
                              .group = &s.group,
                              .setup.question = &s.question,
                              .setup.seed = 7,
                              .setup.view = &s.view,
                              .setup.stop = &s.stop};
    FUZZ_MUST(nd_lane_make(&s.lane, &fault) == 0, "%s", fault.text);
}

/* From an empty region through all bursts; `result` NULL: none, so that the region stands at the beginning.
 */
void stream_live(struct result *result)
{
    s.result = result;
    s.feeding = result != NULL;
    if (result)
        result->outputs = 0, result->bytes = 0;
    atomic_store(&s.stop, false);
    atomic_store(&s.shared.orders.order, ft_order_make(FT_LANE_FRESH, ++s.serial));
    nd_lane_run(&s.lane);
    FUZZ_MUST(s.frees == BUFFERS, "%u buffers are lost", BUFFERS - s.frees);
    if (result)
        result->digest = ft_region_digest(s.lane.region);
}

void stream_compare(const struct result *a, const struct result *b)
{
    FUZZ_MUST(a->outputs == b->outputs, "%u outputs, once more %u", a->outputs, b->outputs);
    for (uint32_t i = 0; i < a->outputs; i++)
        FUZZ_MUST(memcmp(&a->output[i], &b->output[i], sizeof(a->output[i])) == 0,
                  "output %u, of burst %lu, is another when it runs once more", i, a->output[i].burst);
    FUZZ_MUST(a->bytes == b->bytes && memcmp(a->records, b->records, a->bytes) == 0,
              "once more the records are others");
    FUZZ_MUST(a->digest == b->digest, "once more the state is another: %016lx, %016lx", a->digest, b->digest);
}

/* ---- replay ------------------------------------------------------------------------------------ */

static size_t replay_record(const uint8_t *from, size_t len)
{
    struct ft_record *r = ft_ring_reserve(&s.shared.replay, FT_RECORD_MAX);
    struct ft_fault fault = {""};
    long n;

    FUZZ_MUST(r, "no room for a record");
    n = ft_record_decode(from, len, r, FT_RECORD_MAX, &fault);
    FUZZ_MUST(n > 0, "%s", fault.text);
    uint64_t burst = r->burst;

    ft_ring_publish(&s.shared.replay, r->size);
    FUZZ_MUST(nd_lane_replay(&s.lane, burst) && !atomic_load(&s.shared.report.diverged),
              "replay diverged at burst %lu", burst);
    return (size_t)n;
}

/* The replayed outputs are what left, as far as the record has it: not those whose inputs were recorded by
 * their sessions, which are counted. */
static void compare_replayed(const struct result *first)
{
    const struct lg_output *out;
    uint64_t forgotten = s.lane.replayed.forgotten, missed = 0;
    uint32_t i = 0;

    FUZZ_MUST(forgotten == 0 || s.lane.by_session, "replay's outputs did not fit");
    while ((out = lg_replayed_take(&s.lane.replayed))) {
        for (; s.lane.by_session && i < first->outputs && first->output[i].number < out->number; i++)
            missed++;
        FUZZ_MUST(i < first->outputs, "replay has an output more, of burst %lu", out->burst);
        const struct output *was = &first->output[i++];

        FUZZ_MUST(out->number == was->number && out->burst == was->burst && out->seq == was->seq &&
                      out->port == was->port && out->len == was->len,
                  "output %lu of burst %lu is another in replay", was->number, was->burst);
        FUZZ_MUST(out->have != out->len || XXH3_64bits(out + 1, out->len) == was->sum,
                  "output %lu of burst %lu has other bytes in replay", was->number, was->burst);
    }
    if (s.lane.by_session)
        missed += first->outputs - i;
    else
        FUZZ_MUST(i == first->outputs, "replay has %u outputs, expected %u", i, first->outputs);
    FUZZ_MUST(missed == forgotten, "replay has %lu outputs less, and counts %lu", missed, forgotten);
}

void stream_replay(const struct result *first)
{
    stream_live(NULL);
    ft_ring_reset(&s.shared.replay);
    lg_replayed_clear(&s.lane.replayed);
    for (size_t at = 0; at < first->bytes;)
        at += replay_record(first->records + at, first->bytes - at);
    uint64_t digest = ft_region_digest(s.lane.region);

    FUZZ_MUST(digest == first->digest, "replay ends in another state: %016lx, expected %016lx", digest,
              first->digest);
    compare_replayed(first);
}
