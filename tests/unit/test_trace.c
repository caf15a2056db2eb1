/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace between its asker and lanes that run meanwhile: each place is filled by one lane, whole, before the
 * trace is over, and by none after it; a filter is not used any more then.
 */
#include "nflib/chain/trace.h"
#include "nflib/nf.h"
#include "tests/help/test.h"

#include <pthread.h>
#include <sched.h>

#define LANES  3u
#define ROUNDS 5000u
#define BURST  8u
#define SNAP   40u

static struct nf_trace trace;
static const struct nf_module modules[5]; /* by place */
static _Atomic bool stop;

/* Frames have a number; those that this one divides are wanted. */
struct wanted {
    uint32_t divisor;
};

static bool is_wanted(const void *arg, const uint8_t *frame, uint32_t len, uint32_t have)
{
    const struct wanted *w = arg;
    uint32_t number;

    memcpy(&number, frame, sizeof(number));
    return number % w->divisor == 0;
}

/* Bursts as a chain runs them: of NFs 1 to 4, the packet's number modulo 7 says which drops it. */
static void *run_lane(void *arg)
{
    unsigned lane = (unsigned)(uintptr_t)arg;
    static uint8_t frames[LANES][BURST][64];
    struct nf_packet packets[BURST];
    struct nf_tracing tracing = {.trace = NULL};
    uint32_t number = lane;
    struct nf nfs[5]; /* the chain's, which ends with the lane */

    for (unsigned i = 0; i < 5; i++)
        nfs[i] = (struct nf){.module = &modules[i]};
    for (uint64_t burst = 1; !atomic_load(&stop); burst++) {
        memset(packets, 0, sizeof(packets));
        for (unsigned i = 0; i < BURST; i++, number += LANES) {
            memcpy(frames[lane][i], &number, sizeof(number));
            packets[i] = (struct nf_packet){
                .data = frames[lane][i], .len = 60, .have = 60, .flags = NF_P_IPV4, .saddr = number};
        }
        if (!nf_trace_wanted(&trace) || !nf_tracing_join(&tracing, &trace, lane, 1)) {
            sched_yield();
            continue;
        }
        nf_tracing_claim(&tracing, packets, BURST, burst, number);
        for (uint8_t nf = 1; nf <= 4; nf++) {
            for (unsigned i = 0; i < BURST; i++)
                if (packets[i].saddr % 7 == nf)
                    packets[i].drop = packets[i].drop_nf = nf;
            nf_tracing_step(&tracing, nfs, nf, NF_INSIDE);
        }
        for (unsigned i = 0; i < BURST; i++) /* as it leaves */
            memcpy(frames[lane][i], &(uint32_t){~packets[i].saddr}, sizeof(uint32_t));
        nf_tracing_leave(&tracing);
    }
    return NULL;
}

static void check_frame(const struct nf_traced_frame *f, uint32_t number)
{
    uint32_t there;

    assert_int_equal(f->len, 60);
    assert_int_equal(f->have, SNAP);
    memcpy(&there, f->bytes, sizeof(there));
    assert_int_equal(there, number);
}

static void check_packet(uint32_t place, uint32_t divisor)
{
    const struct nf_traced *t = &trace.packet[place];
    uint32_t number = t->ends.saddr, dropper = number % 7;
    unsigned steps = dropper >= 1 && dropper <= 4 ? dropper : 4;

    assert_int_equal(number % divisor, 0);
    assert_int_equal(number % LANES, t->lane);
    assert_int_equal(t->steps, steps);
    check_frame(&trace.in[place], number);
    if (dropper >= 1 && dropper <= 4)
        assert_int_equal(trace.out[place].len, 0);
    else
        check_frame(&trace.out[place], ~number);
    for (unsigned i = 0; i < steps; i++) {
        assert_int_equal(t->step[i].nf, i + 1);
        assert_ptr_equal(t->step[i].module, &modules[i + 1]);
        assert_int_equal(t->step[i].drop, dropper == i + 1 ? dropper : 0);
        assert_int_equal(t->step[i].ends.saddr, number);
    }
}

TEST(lanes_fill_what_the_asker_reads)
{
    pthread_t thread[LANES];
    uint64_t seen = 0, lanes = 0;

    for (uintptr_t l = 0; l < LANES; l++)
        assert_int_equal(pthread_create(&thread[l], NULL, run_lane, (void *)l), 0);
    for (unsigned round = 0; round < ROUNDS || lanes != (1u << LANES) - 1; round++) {
        static struct wanted all[64];
        struct wanted *w = &all[round % 64];
        uint32_t asked = 1 + round % NF_TRACE_MAX, count;

        w->divisor = 1 + round % 5;
        while (!nf_trace_begin(&trace, asked, SNAP, is_wanted, w)) /* a lane looks whether there is one */
            sched_yield();
        /* Some are ended in their midst. */
        for (unsigned spin = 0; !nf_trace_whole(&trace) && (round % 3 || spin < 20); spin++)
            sched_yield();
        nf_trace_end(&trace);
        while (!nf_trace_over(&trace, &count))
            sched_yield();
        assert_true(count <= asked && (round % 3 == 0 || count == asked));
        for (const uint8_t *rest = (const uint8_t *)&trace.packet[count];
             round && rest < (const uint8_t *)&trace.packet[NF_TRACE_MAX]; rest++)
            assert_int_equal(*rest, 0xee);
        for (uint32_t i = 0; i < count; i++) {
            check_packet(i, w->divisor);
            lanes |= 1u << trace.packet[i].lane;
        }
        seen += count;
        memset(trace.packet, 0xee, sizeof(trace.packet));
        w->divisor = 0; /* who still used it would divide by it */
    }
    atomic_store(&stop, true);
    for (unsigned l = 0; l < LANES; l++)
        pthread_join(thread[l], NULL);
    assert_true(seen > ROUNDS * 20);
}
