/* SPDX-License-Identifier: Apache-2.0 */
/* dns_guard through the real lane: whole frames are recorded, and queries come as raw bytes. */
#include "tests/fuzz/stream.h"

#include <string.h>

static const struct stream_chain chain = {
    .nfs = "    - dns_guard: { list: firewall.rules, clients: both }\n    - monitor: { max_flows: 8 }\n",
    .rules = "bad.example\nevil.com\nx\n",
    .name = "monitor",
};

static void run(const uint8_t *data, size_t size)
{
    stream_run(&chain, data, size);
}

/* A raw frame with a query, a byte of it changed, and the burst's end. */
static void seed_of(const char *name, const char *dns, size_t n)
{
    static const uint8_t head[42] = {2,    0, 0,   0, 0,   1, 2,    0, 0,  0,  0, 2, 8,  0,
                                     0x45, 0, 0,   0, 0,   0, 0,    0, 64, 17, 0, 0, 10, 0,
                                     0,    2, 203, 0, 113, 1, 0x80, 0, 0,  53, 0, 0, 0,  0};
    struct fuzz_output out = {.len = 0};
    uint8_t frame[256];

    memcpy(frame, head, sizeof(head));
    memcpy(frame + sizeof(head), dns, n);
    frame[17] = (uint8_t)(28 + n);
    frame[39] = (uint8_t)(8 + n);
    fuzz_put_u8(&out, 7);
    fuzz_put_u8(&out, (uint8_t)(sizeof(head) + n));
    fuzz_put(&out, frame, sizeof(head) + n);
    fuzz_put(&out, "\2\30\1\1\16", 5); /* its header's checksum is made right */
    fuzz_seed(name, out.bytes, out.len);
}
#define SEED(name, text) seed_of(name, text, sizeof(text) - 1)

static void seeds(void)
{
    stream_seeds();
    SEED("listed", "\1\1\1\0\0\1\0\0\0\0\0\0\3www\4Evil\3com\0\0\1\0\1");
    SEED("other", "\1\1\1\0\0\1\0\0\0\0\0\0\4good\7example\0\0\1\0\1");
    SEED("pointer", "\1\1\1\0\0\1\0\0\0\0\0\0\1x\xc0\x0c\0\1\0\1");
    SEED("long", "\1\1\1\0\0\1\0\0\0\0\0\0\77xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "\0\0\1\0\1");
}

FUZZ_TARGET(dns_guard, "queries of names", 1024)
