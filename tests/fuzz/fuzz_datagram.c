/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams: one as it is, or (first byte 1) what it says in its first 48 bytes with a tag that is right, or
 * (2) a crash notice with one. */
#include "ftcore/record/crash_notice.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const struct ft_datagram_key key = {0x1122334455667788, {3, 4}};

static void run_crash(const uint8_t *data, size_t len, bool tagged)
{
    uint8_t *in = fuzz_copy(data, len), back[FT_CRASH_BYTES];
    struct ft_crash_notice n;

    if (tagged && len > FT_TAG_BYTES)
        ft_datagram_tag(in, len - FT_TAG_BYTES, &key, in + len - FT_TAG_BYTES);
    int error = ft_crash_notice_decode(in, len, &key, &n);

    FUZZ_MUST(!error || error == FT_EMALFORMED || error == FT_EPERM, "error %d", error);
    FUZZ_MUST(error || (ft_crash_notice_encode(&n, &key, back) == len && memcmp(in, back, len) == 0),
              "its encoding has other bytes");
    free(in);
}

static void run(const uint8_t *data, size_t size)
{
    size_t len = size ? size - 1 : 0;
    uint8_t *in = fuzz_copy(data + (size > 0), len), back[FT_DATAGRAM_BYTES];
    struct ft_datagram d = {0};

    run_crash(data + (size > 0), len, size && data[0] == 2);
    if (size && data[0] == 1 && len == FT_DATAGRAM_BYTES) {
        memcpy(&d.kind, in + 12, 4);
        memcpy(&d.view, in + 16, 8);
        memcpy(&d.sent, in + 24, 8);
        memcpy(&d.port, in + 32, 4);
        memcpy(&d.mtu, in + 36, 4);
        memcpy(d.fault, in + 40, sizeof(d.fault));
        ft_datagram_encode(&d, &key, back);
        memcpy(in, back, FT_DATAGRAM_BYTES);
    }
    int error = ft_datagram_decode(in, len, &key, &d);

    if (error) {
        FUZZ_MUST(error == FT_EMALFORMED || error == FT_EVERSION || error == FT_EPERM, "error %d", error);
    } else {
        ft_datagram_encode(&d, &key, back);
        FUZZ_MUST(len == FT_DATAGRAM_BYTES && memcmp(in, back, len) == 0, "its encoding has other bytes");
    }
    free(in);
}

static void seeds(void)
{
    uint8_t bytes[1 + FT_DATAGRAM_BYTES] = {1};

    ft_datagram_encode(&(struct ft_datagram){.kind = FT_DEATH_NOTICE}, &key, bytes + 1);
    fuzz_seed("whole", bytes, sizeof(bytes));
    fuzz_seed("short", bytes, sizeof(bytes) - 1);
    ft_datagram_encode(&(struct ft_datagram){0, FT_HEARTBEAT, 9, 10, 1, 1500, {0, FT_PORT_NO_CARRIER}}, &key,
                       bytes + 1);
    fuzz_seed("heartbeat", bytes, sizeof(bytes));

    const struct ft_crash_notice crash = {.signal = 11,
                                          .burst = 7,
                                          .packet = 2,
                                          .doing = 4,
                                          .nf = "nat",
                                          .fingerprints = 1,
                                          .fingerprint = {{1, 2, 3, 4, 1, 0}}};
    uint8_t long_bytes[1 + FT_CRASH_BYTES] = {2};

    fuzz_seed("crash", long_bytes, 1 + ft_crash_notice_encode(&crash, &key, long_bytes + 1));
}

FUZZ_TARGET(datagram, "datagrams: death and crash notices, heartbeats", 700)
