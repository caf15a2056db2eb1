/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor under a pair whose lanes speak to each other by a port: two bare threads on two cores with a ring
 * of frames between them. The first takes packets as they are offered, works on each, puts 12 bytes of it
 * into a frame, seals the frame with AES-128-GCM when it is full or 2 us old, and lets packets leave when the
 * second has said that it stored them. The second opens, stores, says so, and works on the packets as well. A
 * pair cannot do better on this machine. `bench-lanes [WORK_NS [SECONDS]]` prints the rate at saturation, and
 * what waiting adds at parts of it.
 */
#define _GNU_SOURCE 1
#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BURST     32u
#define PACKET    12u /* bytes of a record, a packet */
#define FRAME     1400u
#define FRAMES    512u
#define HELD      4096u /* packets that have not left, at most */
#define GATHER_NS 2000u
#define STORED    (1u << 20)
#define HEAD      8u /* of a frame: packets up to its end */
#define HISTOGRAM 4096u

struct place {
    _Alignas(64) _Atomic uint32_t bytes; /* 0: free */
    _Alignas(64) uint8_t sealed[FRAME + HEAD + 16];
};
static struct place way[2][FRAMES]; /* records; acknowledgements */

struct side {
    IMB_MGR *crypto;
    _Alignas(64) struct gcm_key_data key;
    _Alignas(64) struct gcm_context_data context;
    uint64_t number, sent, taken;
    uint8_t plain[FRAME + HEAD];
};

static uint64_t work_ns = 90;
static double rate; /* packets a ns; 0: as many as it takes */
static _Atomic bool stop;
static uint64_t packets, histogram[HISTOGRAM];

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void work(uint64_t count)
{
    uint64_t end = now_ns() + count * work_ns;

    while (now_ns() < end)
        ;
}

static void begin(struct side *s)
{
    static const uint8_t secret[16] = "both have this";

    memset(s, 0, sizeof(*s));
    s->crypto = alloc_mb_mgr(0);
    if (!s->crypto)
        exit(1);
    init_mb_mgr_auto(s->crypto, &(IMB_ARCH){0});
    IMB_AES128_GCM_PRE(s->crypto, secret, &s->key);
}

static void put_nonce(uint8_t nonce[12], uint64_t number, unsigned direction)
{
    memset(nonce, 0, 12);
    memcpy(nonce, &number, 8);
    nonce[11] = (uint8_t)direction;
}

/* False: no place is free. */
static bool send_frame(struct side *s, unsigned direction, uint32_t bytes)
{
    struct place *p = &way[direction][s->sent % FRAMES];
    uint8_t nonce[12];

    if (atomic_load_explicit(&p->bytes, memory_order_acquire))
        return false;
    put_nonce(nonce, s->sent++, direction);
    IMB_AES128_GCM_ENC(s->crypto, &s->key, &s->context, p->sealed, s->plain, bytes, nonce, nonce, 12,
                       p->sealed + bytes, 16);
    atomic_store_explicit(&p->bytes, bytes, memory_order_release);
    return true;
}

/* Bytes that came and were opened; 0: none. */
static uint32_t receive_frame(struct side *s, unsigned direction, uint8_t *to)
{
    struct place *p = &way[direction][s->taken % FRAMES];
    uint32_t bytes = atomic_load_explicit(&p->bytes, memory_order_acquire);
    uint8_t nonce[12], tag[16];

    if (!bytes)
        return 0;
    put_nonce(nonce, s->taken++, direction);
    IMB_AES128_GCM_DEC(s->crypto, &s->key, &s->context, to, p->sealed, bytes, nonce, nonce, 12, tag, 16);
    if (memcmp(tag, p->sealed + bytes, 16) != 0)
        abort();
    atomic_store_explicit(&p->bytes, 0, memory_order_release);
    return bytes;
}

static void *standby(void *arg)
{
    static uint8_t stored[STORED];
    uint64_t at = 0, have = 0, done = 0;
    struct side s;

    (void)arg;
    begin(&s);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint32_t bytes;
        bool any = false;

        for (unsigned looks = 0; looks < 8 && (bytes = receive_frame(&s, 0, stored + at)) != 0; looks++) {
            memcpy(&have, stored + at, HEAD);
            at = (at + FRAME + HEAD) % (STORED - 2 * FRAME);
            any = true;
        }
        if (any) {
            memcpy(s.plain, &have, HEAD);
            send_frame(&s, 1, HEAD);
        }
        if (have > done) {
            uint64_t n = have - done < BURST ? have - done : BURST;

            work(n);
            done += n;
        }
    }
    free_mb_mgr(s.crypto);
    return NULL;
}

/* Buckets of an eighth of a power of two. */
static void count_wait(uint64_t ns)
{
    unsigned bits = ns < 8 ? 0 : 60u - (unsigned)__builtin_clzll(ns);

    histogram[bits ? 8 * bits + (unsigned)(ns >> bits & 7) : ns]++;
}

static double wait_at(double part)
{
    uint64_t all = 0, sum = 0;

    for (unsigned i = 0; i < HISTOGRAM; i++)
        all += histogram[i];
    for (unsigned i = 0; i < HISTOGRAM; i++)
        if ((sum += histogram[i]) >= (uint64_t)((double)all * part))
            return i < 8 ? i : (double)((8ull + i % 8) << (i / 8));
    return 0;
}

static void *primary(void *arg)
{
    uint64_t start, since = 0, left = 0, seconds = *(uint64_t *)arg, now;
    uint32_t fill = 0;
    struct side s;

    begin(&s);
    packets = 0;
    memset(histogram, 0, sizeof(histogram));
    for (start = now = now_ns(); now - start < seconds * 1000000000u; now = now_ns()) {
        uint64_t due = rate > 0 ? (uint64_t)((double)(now - start) * rate) : UINT64_MAX;
        uint64_t n = due - packets < BURST ? due - packets : BURST, ack;

        if (n && packets - left + n <= HELD && fill + n * PACKET <= FRAME) {
            work(n);
            since = fill ? since : now;
            fill += (uint32_t)n * PACKET;
            packets += n;
        }
        if (fill && (fill + BURST * PACKET > FRAME || now - since >= GATHER_NS)) {
            memcpy(s.plain, &packets, HEAD);
            if (send_frame(&s, 0, HEAD + fill))
                fill = 0;
        }
        while (receive_frame(&s, 1, (uint8_t *)&ack))
            for (uint64_t leaves = now_ns(); left < ack; left++)
                if (rate > 0)
                    count_wait(leaves - start - (uint64_t)((double)left / rate));
    }
    atomic_store(&stop, true);
    free_mb_mgr(s.crypto);
    return NULL;
}

/* Packets a ns. */
static double run(uint64_t seconds)
{
    pthread_t thread[2];
    cpu_set_t core;

    memset(way, 0, sizeof(way));
    atomic_store(&stop, false);
    for (unsigned i = 0; i < 2; i++) {
        if (pthread_create(&thread[i], NULL, i ? standby : primary, &seconds) != 0)
            exit(1);
        CPU_ZERO(&core);
        CPU_SET(!i, &core);
        pthread_setaffinity_np(thread[i], sizeof(core), &core);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    return (double)packets / (double)(seconds * 1000000000u);
}

int main(int argc, char **argv)
{
    static const unsigned parts[] = {25, 50, 75, 90};
    uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    double most;

    if (argc > 1)
        work_ns = strtoull(argv[1], NULL, 10);
    most = run(seconds);
    printf("%lu ns of work a packet: %.2f Mpps\n  load    p50 us    p99 us\n", work_ns, most * 1000);
    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        rate = most * parts[i] / 100;
        run(seconds);
        printf("%4u %%  %8.1f  %8.1f\n", parts[i], wait_at(0.5) / 1000, wait_at(0.99) / 1000);
    }
    return 0;
}
