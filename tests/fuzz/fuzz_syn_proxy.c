/* SPDX-License-Identifier: Apache-2.0 */
/* syn_proxy through the real lane, between NFs that keep flows. */
#include "tests/fuzz/stream.h"

static const char *const commands[] = {"clear", "set tcp_established=10", "set tcp_closed=1", NULL};
static const struct stream_chain chain = {
    .nfs = "    - firewall: { rules: firewall.rules, max_flows: 8, unsupported: pass, ipv6: true }\n"
           "    - syn_proxy: { servers: [10.0.0.0/8, \"::/0\"], ports: 1-65535, max_flows: 6 }\n"
           "    - monitor: { max_flows: 8, ipv6: true }\n",
    .rules = "default allow\n",
    .name = "syn_proxy",
    .commands = commands,
};

static void run(const uint8_t *data, size_t size)
{
    stream_run(&chain, data, size);
}

/* A SYN, raw; then answers to what has left: the ACK of the cookie, the server's SYN-ACK, an ACK. */
static void seeds(void)
{
    static const uint8_t syn[] = {2, 0, 0,  0, 0, 1, 2,    0, 0,   0, 0,    2,    8, 0, 0x45, 0, 0, 40, 0, 0,
                                  0, 0, 64, 6, 0, 0, 203,  0, 113, 9, 10,   0,    0, 2, 8,    0, 0, 80, 1, 2,
                                  3, 4, 0,  0, 0, 0, 0x50, 2, 9,   9, 0x54, 0x78, 0, 0, 0,    0, 0, 0,  0, 0};
    static const uint8_t syn6[] = {2,  0, 0,  0,   0, 1,  2,   0, 0, 0,  0, 2, 134, 221, 96, 0, 0, 0, 0,
                                   20, 6, 64, 32,  1, 13, 184, 0, 1, 0,  0, 0, 0,   0,   0,  0, 0, 0, 2,
                                   32, 1, 13, 184, 0, 2,  0,   0, 0, 0,  0, 0, 0,   0,   0,  2, 8, 0, 0,
                                   80, 1, 2,  3,   4, 0,  0,   0, 0, 80, 2, 9, 9,   63,  11, 0, 0};
    static const uint8_t then[] = {16 | 2, 24, 0,  1,  14, 3,  16, 14, 3,  18,
                                   14,     3,  16, 14, 3,  24, 14, 3,  17, 14};
    struct fuzz_output out = {.len = 0};

    stream_seeds();
    fuzz_put_u8(&out, 16 | 7);
    fuzz_put_u8(&out, sizeof(syn));
    fuzz_put(&out, syn, sizeof(syn));
    fuzz_put(&out, then, sizeof(then));
    fuzz_seed("handshake", out.bytes, out.len);
    out.len = 0;
    fuzz_put_u8(&out, 16 | 7);
    fuzz_put_u8(&out, sizeof(syn6));
    fuzz_put(&out, syn6, sizeof(syn6));
    fuzz_put(&out, then, sizeof(then));
    fuzz_seed("handshake-ipv6", out.bytes, out.len);
}

FUZZ_TARGET(syn_proxy, "SYN cookies and moved numbers", 1024)
