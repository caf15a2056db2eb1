/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to Redis with many commands under way: commands gather in a buffer, go out in one write, and
 * their answers are compared, in order, with what is expected. Written and read by one thread; anybody may
 * ask whether it is lost. hiredis connects and parses the answers, without making objects of them.
 */
#ifndef TESTS_BENCH_WIRE_H
#define TESTS_BENCH_WIRE_H

#include "tests/bench/redis.h"

#include <stdatomic.h>

#include <hiredis/hiredis.h>

#define ND_WIRE_WANTS 65536u /* commands without answer at most: then the next one waits for half of them */

enum nd_want { ND_WANT_STATUS, ND_WANT_NUMBER, ND_WANT_THIS_NUMBER, ND_WANT_BYTES, ND_WANT_NIL };

struct nd_wire_want {
    uint64_t value; /* THIS_NUMBER: it; BYTES: their XXH3 */
    uint8_t kind;   /* enum nd_want */
};

/* Since the chain was made, what it began with left out. */
struct nd_wire_counts {
    uint64_t reads, writes; /* commands: GET, and SREM of a number; all others */
    uint64_t batches;       /* written */
    uint64_t waits;         /* times answers had to be waited for */
};

struct nd_wire {
    redisContext *context;
    redisReader *reader;
    char name[32]; /* "127.0.0.1:6379" */
    uint8_t *out;
    uint32_t out_len;
    struct nd_wire_want *wants; /* [ND_WIRE_WANTS], ring */
    uint64_t issued, answered;  /* commands gathered, and answered, ever */
    uint32_t unsent;            /* commands in `out` */
    struct nd_wire_counts counts;
    _Atomic bool lost;
    char why[200];
};

/* By any thread. True: `why` says why. */
static inline bool nd_wire_lost(const struct nd_wire *wire)
{
    return atomic_load_explicit(&wire->lost, memory_order_acquire);
}

/* Connected to this port of 127.0.0.1, with keep-alive, without delay. FT_ENOENT: nobody there; FT_EIO,
 * FT_ENOMEM. After a failure too it has to be closed, once. */
int nd_wire_open(struct nd_wire *wire, uint16_t port, struct ft_fault *fault);
void nd_wire_close(struct nd_wire *wire);

struct nd_wire_arg {
    const void *data;
    uint32_t len;
};
#define ND_WIRE_TEXT(text) ((struct nd_wire_arg){text, sizeof(text) - 1})
/* Gathers a command, of its verb and its arguments; `value`: see struct nd_wire_want. */
void nd_wire_command(struct nd_wire *wire, const struct nd_wire_arg args[], uint32_t count, enum nd_want want,
                     uint64_t value);

void nd_wire_write(struct nd_wire *wire); /* what has gathered */
/* Until so many are answered, which are written. Where they are already: takes the answers that are there. */
void nd_wire_await(struct nd_wire *wire, uint64_t count);

#endif
