/* SPDX-License-Identifier: Apache-2.0 */
/* trojan through the real lane; commands of FTP come as raw frames. */
#include "tests/fuzz/stream.h"

#include <string.h>

static const char *const commands[] = {"clear", "clear 10.0.0.2", "clear 2001:db8::2",
                                       "set tcp_established=10", NULL};
static const struct stream_chain chain = {
    .nfs = "    - trojan: { ipv6: true, irc: 80-2000, max_hosts: 3, remember: 5, max_flows: 6 }\n",
    .name = "trojan",
    .commands = commands,
};

static void run(const uint8_t *data, size_t size)
{
    stream_run(&chain, data, size);
}

/* A raw frame from inside to a port, its header's checksum made right, and the burst's end. */
static void put_segment(struct fuzz_output *out, uint8_t port, uint8_t flags, uint8_t seq, const char *text)
{
    uint8_t frame[200] = {2, 0, 0, 0, 0,  1, 2, 0, 0,  0, 0, 2, 8,   0, 0x45, 0, 0, 0,
                          0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 203, 0, 113,  9, 9, 9};
    size_t n = strlen(text);

    frame[17] = (uint8_t)(40 + n);
    frame[37] = port;
    frame[41] = seq;
    frame[46] = 0x50;
    frame[47] = flags;
    for (size_t i = 0; i < n; i++)
        frame[54 + i] = (uint8_t)text[i];
    fuzz_put_u8(out, 7);
    fuzz_put_u8(out, (uint8_t)(54 + n));
    fuzz_put(out, frame, 54 + n);
    fuzz_put(out, "\2\30\1\1\16", 5);
}

static void seeds(void)
{
    struct fuzz_output out = {.len = 0};

    stream_seeds();
    put_segment(&out, 22, 2, 0, "");
    put_segment(&out, 21, 2, 0, "");
    put_segment(&out, 21, 16, 1, "RETR a.htm\r\n");
    put_segment(&out, 21, 16, 25, "RETR a.exe\r\n");
    put_segment(&out, 21, 16, 13, "RETR a.zip\r\n");
    put_segment(&out, 80, 2, 0, "");
    fuzz_seed("steps", out.bytes, out.len);
}

FUZZ_TARGET(trojan, "SSH, FTP and IRC of hosts", 1024)
