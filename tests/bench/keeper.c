/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an input keeper does for a packet, without its sockets, in ns of processor time: beside the clocks and
 * the log of CHC's root (Khalid, Akella, NSDI 2019, 7.2). Built and run by scripts/keeper-costs.
 */
#include "understudy/keeper/front.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS  15u
#define BURSTS  4096u
#define BEHIND  64u /* bursts between the last one cut and the last stable one */
#define MTU     1472u
#define NODE    0u
#define STANDBY 1u

static struct kp_front front;
static struct kp_keys keys;
static uint8_t frame[1500], datagram[KP_HEAD_BYTES + 9216];
static size_t len;
static bool sends; /* datagrams are made and signed */
static uint64_t sent, serial;

/* Processor time: the machine may have more to do. */
static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void flush(void)
{
    if (len)
        kp_sign(datagram, len, &keys);
    len = 0;
}

static void send_message(void *ctx, unsigned node, const struct kp_message *m)
{
    (void)ctx, (void)node;
    sent += m->kind == KP_INPUT;
    if (!sends || (len && kp_add(m, datagram, &len, MTU)))
        return;
    flush();
    len = kp_begin(m, datagram);
}

static bool leave(void *ctx, unsigned port, const uint8_t *bytes, uint32_t size)
{
    (void)ctx, (void)port, (void)bytes, (void)size;
    return true;
}

/* The node is primary, and has executed so much; all but the last BEHIND bursts are stable. */
static void say(unsigned node, uint64_t view, uint64_t burst, uint64_t seq, uint64_t time)
{
    const struct kp_message m = {.kind = KP_STATE,
                                 .from = 10 + node,
                                 .to = 1,
                                 .serial = ++serial,
                                 .view = view,
                                 .burst = burst,
                                 .seq = seq,
                                 .time = time,
                                 .before = burst > BEHIND ? burst - BEHIND : 0,
                                 .missing = burst + 1};

    kp_front_take(&front, node, &m, now());
}

static void begin(void)
{
    const struct kp_front_config config = {.inputs = 16384,
                                           .bursts = 16384,
                                           .frame_max = 1518,
                                           .nodes = 2,
                                           .incarnation = 1,
                                           .send = send_message,
                                           .leave = leave};

    if (kp_front_open(&front, &config) != 0)
        exit(1);
    memset(front.bytes, 1, (size_t)config.inputs * config.frame_max); /* its pages are there */
    serial = 0;
    say(NODE, 1, 0, 1, 0);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), by_value);
    return values[ROUNDS / 2];
}

static double pass(uint32_t size, bool feeds)
{
    uint64_t from;

    begin();
    from = now();
    for (unsigned b = 0; b < BURSTS; b++) {
        for (unsigned i = 0; i < KP_BURST; i++)
            kp_front_add(&front, 0, frame, size);
        kp_front_cut(&front, 1000 + b);
        if (feeds)
            kp_front_turn(&front, 1000 + b);
        flush();
        say(NODE, 1, front.next - 1, front.seq_next, front.time_last);
    }
    from = now() - from;
    kp_front_close(&front);
    return (double)from / BURSTS / KP_BURST;
}

/* From the successor's word until the first burst, and all that it lacks, were given to the socket. */
static void take_over(double *first, double *all)
{
    uint64_t from, time;

    begin();
    for (unsigned b = 0; b < BEHIND; b++) {
        for (unsigned i = 0; i < KP_BURST; i++)
            kp_front_add(&front, 0, frame, sizeof(frame));
        kp_front_cut(&front, 1000 + b);
        kp_front_turn(&front, 1000 + b);
    }
    flush();
    sent = 0;
    from = now();
    say(STANDBY, 2, 0, 1, 0);
    *first = (double)(now() - from);
    time = now();
    kp_front_turn(&front, time);
    flush();
    *all = (double)(now() - from);
    if (sent != (uint64_t)BEHIND * KP_BURST)
        exit(2);
    kp_front_close(&front);
}

int main(void)
{
    static const uint32_t sizes[] = {64, 1500};
    double round[ROUNDS], first[ROUNDS], all[ROUNDS];

    kp_keys_add(&keys, (const uint8_t *)"a secret of 32 bytes, for them\0", 32);
    for (unsigned s = 0; s < 2; s++)
        for (unsigned how = 0; how < 3; how++) {
            sends = how == 2;
            for (unsigned r = 0; r < ROUNDS; r++)
                round[r] = pass(sizes[s], how > 0);
            printf("%u bytes: %s: %.0f ns a packet\n", sizes[s],
                   how == 0   ? "numbered, stamped and kept"
                   : how == 1 ? "and handed to the socket"
                              : "and made into datagrams with tags",
                   median(round));
        }
    sends = true;
    for (unsigned r = 0; r < ROUNDS; r++)
        take_over(&first[r], &all[r]);
    printf("takeover: a successor believed in %.1f us, fed %u packets of 1500 bytes in %.0f us\n",
           median(first) / 1000, BEHIND * KP_BURST, median(all) / 1000);
    return 0;
}
