/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder of messages. First byte: lanes (0: not agreed yet; above 16: the rest is a frame as it is).
 * Otherwise the rest is a frame's content, and its head, length and checksum, is made here. What decodes is
 * encoded again, decodes to the same message, and from then on to the same bytes. Less than the frame is
 * never a message and never an error.
 */
#include "ftcore/record/message.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static uint8_t *bulk[2]; /* FT_BULK_MAX each */

static bool same(const struct ft_message *a, const struct ft_message *b)
{
    struct ft_message x = *a, y = *b;
    bool bulk_same =
        a->bulk_len == b->bulk_len && (!a->bulk_len || memcmp(a->bulk, b->bulk, a->bulk_len) == 0);

    x.bulk = y.bulk = NULL;
    return bulk_same && memcmp(&x, &y, sizeof(x)) == 0;
}

static void both_ways(const struct ft_message *m, unsigned lanes)
{
    static struct ft_compressor compressor;
    struct ft_message back;
    struct ft_fault fault = {""};
    size_t bound = ft_message_bound(m);
    uint8_t *frame = malloc(bound), *again = malloc(bound);

    FUZZ_MUST(frame && again, "no memory");
    unsigned spoken = lanes ? lanes : FT_LANES_MAX; /* a vector has as many numbers as lanes were agreed */
    long n = ft_message_encode(m, spoken, NULL, true, frame, bound);
    FUZZ_MUST(n > 0 && (size_t)n <= bound, "what was decoded cannot be encoded: %ld", n);
    memset(&back, 0xa5, sizeof(back));
    long used = ft_message_decode(frame, (size_t)n, lanes, &back, bulk[1], &fault);
    FUZZ_MUST(used == n, "what was encoded in %ld bytes decodes as %ld: %s", n, used, fault.text);
    FUZZ_MUST(same(m, &back), "another message of type %u came back", m->type);
    FUZZ_MUST(ft_message_encode(&back, spoken, NULL, true, again, bound) == n &&
                  memcmp(frame, again, (size_t)n) == 0,
              "encoding again gives other bytes");
    compressor = (struct ft_compressor){.skip = 0};
    n = ft_message_encode(m, spoken, &compressor, true, frame, bound);
    FUZZ_MUST(n > 0, "it cannot be compressed: %ld", n);
    used = ft_message_decode(frame, (size_t)n, lanes, &back, bulk[1], &fault);
    FUZZ_MUST(used == n && same(m, &back), "compressed, another message came back: %ld %s", used, fault.text);
    free(frame);
    free(again);
}

/* A hello of a program with which no version is in common is read up to the node's name. */
static bool is_whole(const struct ft_message *m)
{
    return m->type != FT_MSG_HELLO ||
           ft_format_common(FT_FORMAT_NEWEST, FT_FORMAT_OLDEST, m->newest, m->oldest);
}

static void run(const uint8_t *data, size_t size)
{
    unsigned lanes = size ? data[0] : 0;
    bool raw = lanes > FT_LANES_MAX;
    size_t content = size ? size - 1 : 0, len = raw ? content : content + FT_FRAME_HEAD;
    uint8_t *in = malloc(len + 1);
    struct ft_message m;
    struct ft_fault fault = {""};
    long n;

    for (unsigned i = 0; i < 2 && !bulk[i]; i++)
        bulk[i] = malloc(FT_BULK_MAX);
    FUZZ_MUST(in && bulk[0] && bulk[1], "no memory");
    memcpy(in + (raw ? 0 : FT_FRAME_HEAD), data + (size > 0), content);
    if (!raw) {
        uint32_t head[2] = {(uint32_t)content, (uint32_t)XXH3_64bits(in + FT_FRAME_HEAD, content)};

        memcpy(in, head, sizeof(head));
    }
    if (raw)
        lanes = lanes % (FT_LANES_MAX + 1);
    uint8_t *exact = fuzz_copy(in, len);

    free(in);
    memset(&m, 0xa5, sizeof(m));
    n = ft_message_decode(exact, len, lanes, &m, bulk[0], &fault);
    FUZZ_MUST(n <= (long)len, "%ld bytes consumed of %zu", n, len);
    if (n < 0)
        FUZZ_MUST(fault.text[0] && !strchr(fault.text, '\n'), "no line about error %ld: '%s'", n, fault.text);
    if (n > 0) {
        if (is_whole(&m))
            both_ways(&m, lanes);
        struct ft_message less;
        long rest = ft_message_decode(exact, (size_t)n - 1, lanes, &less, bulk[1], &fault);

        FUZZ_MUST(rest == 0, "a byte is missing, and it decodes as %ld", rest);
    }
    free(exact);
}

/* ---- seeds ------------------------------------------------------------------------------------- */

static void seed(const char *name, struct ft_message *m, unsigned lanes, bool pack)
{
    static uint8_t frame[65536];
    struct ft_compressor compressor = {0};
    long n;

    m->state = FT_SOLO;
    m->view = 3;
    m->sent = 1000000;
    m->echo = 999;
    n = ft_message_encode(m, lanes, pack ? &compressor : NULL, true, frame, sizeof(frame));
    FUZZ_MUST(n > (long)FT_FRAME_HEAD, "seed %s does not encode", name);
    frame[FT_FRAME_HEAD - 1] = (uint8_t)lanes;
    fuzz_seed(name, frame + FT_FRAME_HEAD - 1, (size_t)n - FT_FRAME_HEAD + 1);
}

/* A block that says it is larger than any bulk may be. */
static void seed_too_large(void)
{
    static const uint8_t bytes[] = {1, 0x98, 1, FT_MSG_SNAPSHOT, 1, 9, 8, FT_SOLO, 0xce, 0x7f, 0, 0, 0, 0xc4,
                                    2, 0x10, 0};

    fuzz_seed("too-large", bytes, sizeof(bytes));
}

static void seeds(void)
{
    static const char *const names[] = {"",    "hello",   "heartbeat", "base-begin", "snapshot", "base-end",
                                        "log", "ack",     "holding",   "steer",      "steered",  "handover",
                                        "ask", "abandon", "abandoned", "refuse",     "verdict",  "drill"};
    static const char identity[] = "chain edge\nnf 1: nat outside=203.0.113.1\n";
    static uint8_t lines[600];

    seed_too_large();
    for (unsigned type = 1; type < FT_MSG_TYPES && type < sizeof(names) / sizeof(names[0]); type++) {
        struct ft_message m = {.type = (uint8_t)type, .number = 7, .number2 = 8, .lane = 1};
        unsigned lanes = type % 3 + 1;

        for (unsigned l = 0; l < lanes; l++)
            m.burst[l] = m.replayed[l] = m.taken[l] = m.access[l] = 1000 + l;
        if (type == FT_MSG_HELLO) {
            m.newest = FT_FORMAT_NEWEST, m.oldest = FT_FORMAT_OLDEST;
            m.incarnation = 1234567;
            strcpy(m.name, "alpha");
            m.lanes = (uint16_t)lanes;
            m.lease_ms = 30;
            m.detect_ms = 50;
            m.promote_within_ms = 100;
            m.solo_after_ms = 200;
            m.identity_len = m.bulk_len = sizeof(identity) - 1;
            m.bulk = (const uint8_t *)identity;
        } else {
            m.lane = (uint16_t)(lanes - 1);
            strcpy(m.text, "because");
            m.bulk = lines;
            m.bulk_len = type == FT_MSG_SNAPSHOT || type == FT_MSG_LOG ? sizeof(lines) : 0;
        }
        seed(names[type], &m, lanes, false);
        if (m.bulk_len)
            seed(type == FT_MSG_SNAPSHOT ? "base-compressed" : "bulk-compressed", &m, lanes, true);
    }
}

FUZZ_TARGET(message, "the decoder of messages between the nodes", 4096)
