/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a stream; see stream.h. What a byte of the input means, by its low four bits (bit 4: from outside):
 *
 *   0, 1    a frame of our making, see stream_frame.c
 *   2       the same frame as the last one, a byte of it changed: offset, value, whether sums are made right
 *   3       the answer to the last frame that left; a byte of TCP flags
 *   4       the answer to one of the last eight frames, in or out
 *   5       an ICMP error about one of the last eight frames
 *   6       ARP
 *   7       a frame of bytes as they come: length, bytes
 *   8       the last frame again, a byte's number of times
 *   9       the last frame, cut to a length
 *   10, 11  the burst ends, and time has passed before it: a byte, about 2^(its low six bits / 2) * 100 us
 *   12      a command of the target's list
 *   13      a command of the input's own text
 *   14, 15  the burst ends
 */
#include "tests/fuzz/stream.h"
#include "ftcore/audit.h"
#include "ftcore/record.h"
#include "node/config.h"
#include "node/lane.h"
#include "tests/nf/help_frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BUFFERS    4096u
#define FRAMES     2048u /* of a stream */
#define BURSTS     1024u
#define REFERENCES 8u
#define RECORDS    (8u << 20)
#define OUTPUTS    8192u
#define LAST_IDLE  13u /* empty bursts at the end, later and later: everything runs out */
#define TIME_MAX   (1ull << 56)

struct buffer {
    uint32_t len;
    uint8_t frame[STREAM_FRAME_MAX];
};

/* What goes in: made in the first run, the same in the others. */
struct tape_frame {
    uint8_t *bytes;
    uint32_t len;
    uint8_t side;
};
struct tape_burst {
    uint32_t first, n;
    uint64_t time;
    char command[200];
};

struct output {
    uint64_t number, burst, clock, sum;
    uint32_t len, port;
};

/* One run's results. */
struct result {
    uint64_t digest;
    uint32_t outputs;
    struct output output[OUTPUTS];
    uint8_t *records; /* wire form, one behind the other */
    size_t bytes;
};

static struct {
    const struct stream_chain *chain;
    struct nd_config *config;
    struct ft_region *region;
    struct ft_lane shared;
    struct nd_lane lane;
    struct nd_group group;
    struct nd_question question;
    struct nd_io io;
    _Atomic uint64_t view;
    _Atomic bool stop;
    const char *names[FT_NFS_MAX];
    uint64_t serial;

    struct buffer pool[BUFFERS];
    struct buffer *free[BUFFERS];
    uint32_t frees;

    struct fuzz_input in;
    bool making, feeding; /* making: the first run. Not feeding: no burst at all */
    struct tape_frame frames[FRAMES];
    struct tape_burst bursts[BURSTS];
    uint32_t frame_count, burst_count, idles;
    struct buffer reference[REFERENCES], last_out;
    uint8_t reference_side[REFERENCES], last_out_side;
    uint32_t references;

    struct result *result;
    struct result results[2];
} s;

/* ---- making bursts ----------------------------------------------------------------------------- */

static void remember(const uint8_t *frame, uint32_t len, uint8_t side)
{
    struct buffer *b = &s.reference[s.references % REFERENCES];

    memcpy(b->frame, frame, len);
    b->len = len;
    s.reference_side[s.references++ % REFERENCES] = side;
}

static const struct buffer *reference(uint32_t which, uint8_t *side)
{
    uint32_t n = s.references < REFERENCES ? s.references : REFERENCES;

    if (n == 0)
        return NULL;
    *side = s.reference_side[which % n];
    return &s.reference[which % n];
}

static const struct buffer *last_reference(uint8_t *side)
{
    return s.references ? reference((s.references - 1) % REFERENCES, side) : NULL;
}

static void add_frame(struct tape_burst *b, const uint8_t *frame, uint32_t len, uint8_t side)
{
    if (len < 14 || len > STREAM_FRAME_MAX || b->n == NF_BURST_MAX || s.frame_count == FRAMES)
        return;
    s.frames[s.frame_count++] = (struct tape_frame){fuzz_copy(frame, len), len, side};
    b->n++;
    remember(frame, len, side);
}

static void add_changed(struct tape_burst *b)
{
    uint8_t frame[STREAM_FRAME_MAX], side, at = fuzz_u8(&s.in), value = fuzz_u8(&s.in);
    const struct buffer *from = last_reference(&side);
    bool mend = fuzz_u8(&s.in) & 1;

    if (!from)
        return;
    memcpy(frame, from->frame, from->len);
    frame[at % from->len] = value;
    if (mend && from->len >= 34 && (frame[14] & 15) >= 5 && 14u + (frame[14] & 15) * 4u <= from->len)
        help_ip_checksum(frame, from->len);
    add_frame(b, frame, from->len, side);
}

static void add_about(struct tape_burst *b, bool error, uint8_t which, uint8_t how)
{
    uint8_t frame[STREAM_FRAME_MAX], side = 0;
    const struct buffer *from = reference(which, &side);
    uint32_t len = 0;

    if (from && error)
        len = stream_error(from->frame, from->len, how, frame);
    else if (from)
        len = stream_answer(from->frame, from->len, how, frame);
    add_frame(b, frame, len, !side);
}

static void add_answer(struct tape_burst *b)
{
    uint8_t frame[STREAM_FRAME_MAX], flags = fuzz_u8(&s.in);

    if (s.last_out.len)
        add_frame(b, frame, stream_answer(s.last_out.frame, s.last_out.len, flags, frame), s.last_out_side);
}

static void add_raw(struct tape_burst *b, uint8_t side)
{
    uint8_t len = fuzz_u8(&s.in);
    size_t have;
    const uint8_t *bytes = fuzz_bytes(&s.in, len, &have);

    add_frame(b, bytes, (uint32_t)have, side);
}

static void add_again(struct tape_burst *b, bool cut)
{
    uint8_t side, n = fuzz_u8(&s.in), copy[STREAM_FRAME_MAX];
    const struct buffer *from = last_reference(&side);
    uint32_t len = from ? from->len : 0;

    if (!from)
        return;
    memcpy(copy, from->frame, len);
    for (unsigned i = 0; !cut && i < (n & 31u); i++)
        add_frame(b, copy, len, side);
    if (cut)
        add_frame(b, copy, n < len ? n : len, side);
}

static void set_command(struct tape_burst *b, bool own)
{
    unsigned count = 0, which = fuzz_u8(&s.in);
    size_t len = 0;

    while (s.chain->commands && s.chain->commands[count])
        count++;
    if (own) {
        const uint8_t *text = fuzz_bytes(&s.in, which & 0x3f, &len);

        snprintf(b->command, sizeof(b->command), "%s %s %.*s", which & 0x40 ? "clear" : "set", s.chain->name,
                 (int)len, (const char *)text);
    } else if (count) {
        const char *text = s.chain->commands[which % count];
        int verb = (int)strcspn(text, " ");

        snprintf(b->command, sizeof(b->command), "%.*s %s%s", verb, text, s.chain->name, text + verb);
    }
}

static void pass_time(struct tape_burst *b)
{
    uint8_t how = fuzz_u8(&s.in);
    uint64_t step = 100000ull << (how & 63) / 2,
             time = b->time + step + (how & 64 ? step / 2 : 0) + (how >> 7);

    if (time < TIME_MAX)
        b->time = time;
}

/* True: the burst ends here. */
static bool step(struct tape_burst *b, uint8_t op)
{
    uint8_t side = op >> 4 & 1, frame[STREAM_FRAME_MAX];

    switch (op & 15) {
    case 0:
    case 1:
        add_frame(b, frame, stream_make(&s.in, side, frame), side);
        return false;
    case 2:
        add_changed(b);
        return false;
    case 3:
        add_answer(b);
        return false;
    case 4:
    case 5:
        add_about(b, op & 1, op >> 5, fuzz_u8(&s.in));
        return false;
    case 6:
        add_frame(b, frame, stream_make_arp(&s.in, side, frame), side);
        return false;
    case 7:
        add_raw(b, side);
        return false;
    case 8:
    case 9:
        add_again(b, op & 1);
        return false;
    case 10:
    case 11:
        pass_time(b);
        return true;
    case 12:
    case 13:
        set_command(b, op & 1);
        return false;
    default:
        return true;
    }
}

/* The next burst on the tape: of the input, or one of the last, in which nothing but time comes. */
static bool next_burst(uint64_t last)
{
    struct tape_burst *b = &s.bursts[last];

    if (last < s.burst_count)
        return true;
    if (!s.making || last == BURSTS)
        return false;
    *b = (struct tape_burst){.first = s.frame_count, .time = last ? s.bursts[last - 1].time : 1000000000ull};
    if (fuzz_left(&s.in) && last < BURSTS - LAST_IDLE) {
        while (fuzz_left(&s.in) && !step(b, fuzz_u8(&s.in)))
            ;
    } else if (s.idles < LAST_IDLE) {
        b->time += 1000000ull << 2 * s.idles++;
    } else {
        return false;
    }
    s.burst_count++;
    return true;
}

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

static bool io_burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint8_t ports[],
                     uint32_t *n, uint64_t *time)
{
    (void)ctx;
    (void)lane;
    if (!s.feeding || !next_burst(last)) {
        atomic_store(&s.stop, true);
        return false;
    }
    const struct tape_burst *b = &s.bursts[last];

    for (uint32_t i = 0; i < b->n; i++) {
        const struct tape_frame *f = &s.frames[b->first + i];
        struct buffer *to = take(f->bytes, f->len);

        frames[i] = (struct nd_frame){.data = to->frame, .len = to->len, .owner = to};
        ports[i] = f->side;
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
                                              .clock = held->clock,
                                              .sum = XXH3_64bits(b->frame, b->len),
                                              .len = b->len,
                                              .port = port};
    if (!s.making)
        return;
    s.last_out = *b;
    s.last_out_side = (uint8_t)port;
    remember(b->frame, b->len, (uint8_t)!port);
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
    static _Alignas(64) uint8_t back[FT_RECORD_MAX];
    struct ft_fault fault = {""};
    struct result *to = s.result;

    (void)ctx;
    (void)lane;
    FUZZ_MUST(ft_record_check(r, r->size, &fault) == 0, "the lane made a bad record: %s", fault.text);
    long n = ft_record_encode(r, to->records + to->bytes, RECORDS - to->bytes);

    FUZZ_MUST(n > 0, "a stream's records are too many");
    long m =
        ft_record_decode(to->records + to->bytes, (size_t)n, (struct ft_record *)back, sizeof(back), &fault);

    FUZZ_MUST(m == n && memcmp(back, r, r->size) == 0, "burst %lu comes back as another: %s", r->burst,
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
    FUZZ_MUST(nd_config_read(&s.config, fuzz_file("chain.yaml", text, (size_t)n), false, &fault) == 0, "%s",
              fault.text);
}

static void open_region(void)
{
    uint64_t sizes[FT_NFS_MAX];
    struct ft_fault fault = {""};

    nf_chain_arenas(&s.config->chain, sizes, s.names);
    struct ft_region_config region = {.name = "fuzz",
                                      .lanes = 1,
                                      .nfs = (uint16_t)(s.config->chain.count + 1),
                                      .arena_size = sizes,
                                      .nf_name = s.names,
                                      .shared_size = nf_chain_shared(&s.config->chain, FT_ARENA_MIN),
                                      .audit = true};

    FUZZ_MUST(ft_region_open(&s.region, &region, &fault) == 0, "%s", fault.text);
}

static void open_once(const struct stream_chain *chain)
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
    atomic_store(&s.shared.stable, FT_ALL);
    atomic_store(&s.shared.lease_until, FT_ALL);
    nd_group_init(&s.group, &s.lane, 1);
    s.lane = (struct nd_lane){.config = s.config,
                              .io = &s.io,
                              .region = s.region,
                              .shared = &s.shared,
                              .group = &s.group,
                              .question = &s.question,
                              .seed = 7,
                              .view = &s.view,
                              .stop = &s.stop};
    FUZZ_MUST(nd_lane_make(&s.lane, &fault) == 0, "%s", fault.text);
}

/* From an empty region through all bursts; `result` NULL: none, so that the region stands at the beginning.
 */
static void live(struct result *result)
{
    s.result = result;
    s.feeding = result != NULL;
    if (result)
        result->outputs = 0, result->bytes = 0;
    atomic_store(&s.stop, false);
    atomic_store(&s.shared.order, ft_order_make(FT_LANE_FRESH, ++s.serial));
    nd_lane_run(&s.lane);
    FUZZ_MUST(s.frees == BUFFERS, "%u buffers are lost", BUFFERS - s.frees);
    if (result)
        result->digest = nd_lane_digest(&s.lane);
}

static void compare_runs(const struct result *a, const struct result *b)
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
    FUZZ_MUST(nd_lane_replay(&s.lane, burst) && !atomic_load(&s.shared.diverged),
              "replay diverged at burst %lu", burst);
    return (size_t)n;
}

/* What replay kept is what left, as far as the record has it. */
static void compare_kept(const struct result *first)
{
    const struct lg_output *out;
    uint32_t i = 0;

    FUZZ_MUST(s.lane.kept.forgotten == 0, "replay's outputs did not fit");
    while ((out = lg_kept_take(&s.lane.kept))) {
        FUZZ_MUST(i < first->outputs, "replay has an output more, of burst %lu", out->burst);
        const struct output *was = &first->output[i++];

        FUZZ_MUST(out->number == was->number && out->burst == was->burst && out->clock == was->clock &&
                      out->port == was->port && out->len == was->len,
                  "output %lu of burst %lu is another in replay", was->number, was->burst);
        FUZZ_MUST(out->have != out->len || XXH3_64bits(out + 1, out->len) == was->sum,
                  "output %lu of burst %lu has other bytes in replay", was->number, was->burst);
    }
    FUZZ_MUST(i == first->outputs, "replay has %u outputs, expected %u", i, first->outputs);
}

static void replay(const struct result *first)
{
    live(NULL);
    ft_ring_reset(&s.shared.replay);
    lg_kept_clear(&s.lane.kept);
    for (size_t at = 0; at < first->bytes;)
        at += replay_record(first->records + at, first->bytes - at);
    uint64_t digest = nd_lane_digest(&s.lane);

    FUZZ_MUST(digest == first->digest, "replay ends in another state: %016lx, expected %016lx", digest,
              first->digest);
    compare_kept(first);
}

void stream_run(const struct stream_chain *chain, const uint8_t *data, size_t size)
{
    open_once(chain);
    s.in = (struct fuzz_input){data, data + size};
    s.frame_count = s.burst_count = s.idles = s.references = 0;
    s.last_out.len = 0;
    s.making = true;
    live(&s.results[0]);
    s.making = false;
    live(&s.results[1]);
    compare_runs(&s.results[0], &s.results[1]);
    replay(&s.results[0]);
    for (uint32_t i = 0; i < s.frame_count; i++)
        free(s.frames[i].bytes);
}

/* ---- seeds ------------------------------------------------------------------------------------- */

void stream_seeds(void)
{
    /* SYN from inside, the answer, a few more, time until it is forgotten */
    static const uint8_t tcp[] = {0, 0,    0,  4, 0x02, 14, 3,  0,    14, 0,  0, 0,
                                  4, 0x10, 14, 3, 0,    2,  47, 0x11, 1,  10, 60};
    static const uint8_t udp[] = {0,  1, 0x92, 8, 0, 2,  0x92, 9, 14, 3,    0, 10,
                                  30, 3, 0,    8, 5, 10, 50,   0, 1,  0x92, 8};
    static const uint8_t icmp[] = {0, 0,    0, 0x80, 0, 14, 3,    0, 14, 5, 3, 5,
                                   7, 0x25, 1, 14,   0, 1,  0x92, 8, 14, 5, 1};
    static const uint8_t fragment[] = {0,    0,    0x92, 0x2f, 0x40, 0x80, 0,  0, 0x92,
                                       0x2f, 0x40, 1,    14,   3,    0x40, 10, 44};
    static const uint8_t outside[] = {16, 0x40, 1, 4,  2, 16, 0x41, 1, 4,  2, 16,
                                      8,  0x92, 9, 14, 3, 2,  4,    0, 14, 9, 20};
    static const uint8_t arp[] = {6, 0x18, 1,  22, 0x0b, 1,  6,  1, 2, 14, 0, 0, 0,
                                  4, 2,    22, 3,  6,    10, 40, 0, 0, 0,  4, 2};
    static const uint8_t commands[] = {0, 0,   0,   4,   2,   14,  12,  0,   14, 12, 1,    0,   0,  0,
                                       4, 2,   14,  12,  2,   10,  20,  12,  3,  14, 12,   4,   14, 13,
                                       7, 'a', 'b', '=', '1', '0', '0', '0', 14, 13, 0x42, 'x', 'y'};
    static const uint8_t raw[] = {7,  34, 2, 0, 0, 0, 0, 1, 2, 0,  0, 0, 0, 2,   8,  0,   0x45, 0, 0,
                                  20, 0,  0, 0, 0, 9, 6, 0, 0, 10, 0, 0, 2, 198, 51, 100, 7,    14};

    fuzz_seed("tcp", tcp, sizeof(tcp));
    fuzz_seed("udp", udp, sizeof(udp));
    fuzz_seed("icmp", icmp, sizeof(icmp));
    fuzz_seed("fragment", fragment, sizeof(fragment));
    fuzz_seed("outside", outside, sizeof(outside));
    fuzz_seed("arp", arp, sizeof(arp));
    fuzz_seed("commands", commands, sizeof(commands));
    fuzz_seed("raw", raw, sizeof(raw));
}
