/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State outside the process, as the systems keep it that this one is compared with (StatelessNF, CHC): the
 * same NFs, with each read and write of their state sent to a Redis server, over TCP.
 *
 * The NFs go on working on the region. What they do to it the library tells who watches it
 * (tests/bench/watch.h), which is this; and that sends commands:
 *
 *   a lookup in a map         GET of the entry, found or not, before the NF goes on
 *   an edit of an entry       SET of the whole value at the burst's end; a GET before it, unless the burst
 *                             has read or written the entry already; a DEL where it was removed
 *   a pool                    the set of free numbers: taking one removes it, giving one back adds it
 *   a shared word             each addition is one operation, or a read and a write (`offload`)
 *   anything else edited      its line, SET at the burst's end
 *
 * Not reported, so free for the store: what can be made anew from the rest (hash buckets, free slots, timers,
 * who owns a number), reads that are no lookups, and the lane's own state (time, neighbours, wake times). A
 * burst is the unit: an entry that several of its packets touch is read once and written once.
 *
 * What a read must give is known, for the region has it, and one lane is the owner of everything. So the NF
 * goes on and the answer is looked at later, as if all reads of a batch had been foreseen: it is compared,
 * and no packet of the burst leaves before.
 *
 * One backend in a process, one lane, one connection, a server of its own on the loopback. Opened before
 * nf_chain_make, which enters what the chain makes and has the server take the state it begins with. Owned by
 * the lane once the chain is made.
 *
 * Commands are written in batches: when `batch` of them are waiting, and when answers are needed. Commands
 * whose answers a packet has to wait for: in mode sync all of them, in mode async the reads (GET, and SREM of
 * a number). They are waited for whenever a batch has been written, and at the burst's end; with `across` a
 * burst's end writes nothing, so a batch can span many bursts, and the caller keeps outputs until
 * nd_redis_may_leave lets them go.
 *
 *                    a lookup             a change                        a packet leaves
 *   sync             waits for its batch  waits for its batch             when all is answered
 *   sync, cache      is local             waits for its batch             when all is answered
 *   async            waits for its batch  is written with the next batch  when lookups are answered
 *   async, cache     is local             is written with the next batch  at once
 *
 * With batch 1 each command is a packet and a wait of its own. Every answer is compared with what the region
 * has; another one, an error, silence or a lost connection end it: nd_redis_lost says why.
 */
#ifndef TESTS_BENCH_REDIS_H
#define TESTS_BENCH_REDIS_H

#include "ftcore/base/error.h"
#include "ftcore/queue/hold.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ND_REDIS_BATCH_MAX 4096u
#define ND_REDIS_SETTINGS  480u /* bytes of text */

enum nd_redis_mode { ND_REDIS_SYNC, ND_REDIS_ASYNC };

struct nd_redis_options {
    uint32_t mode;  /* enum nd_redis_mode */
    bool cache;     /* reads are served from the region */
    bool offload;   /* counters by INCRBY; else by GET (not with cache) and SET */
    bool across;    /* batches may span bursts: see above */
    uint32_t batch; /* commands in one write at most, 1 … ND_REDIS_BATCH_MAX */
};

struct nd_redis;

/*
 * Starts a server, connects, and becomes the process's state backend: chains made from now on keep their
 * state there. It ends with the process. `settings`: how client and server are set, for people: "sync, cache
 * off, batch 32, …". FT_EINVAL: bad options; FT_ENOENT: no redis-server here; FT_EBUSY: the process has a
 * backend; FT_EIO; FT_ENOMEM.
 */
int nd_redis_open(struct nd_redis **out, const struct nd_redis_options *options,
                  char settings[ND_REDIS_SETTINGS], struct ft_fault *fault);
/* NULL, or why it is lost, one line: nothing more is confirmed then. By any thread. */
const char *nd_redis_lost(const struct nd_redis *redis);

/* Of a lane's outputs those that may leave: how many, from the first on. */
uint32_t nd_redis_may_leave(struct nd_redis *redis, const struct ft_held held[], uint32_t n);
/* The lane asks for frames. Once it has asked for longer than a turn takes, and no burst has ended, it has
 * nothing else to do, and all is settled; the same where nothing may leave. */
void nd_redis_asked(struct nd_redis *redis);

/* The section of the file, or what stands for it where there is none; `across` is left to the caller. One
 * line in the fault: FT_EMALFORMED, FT_ENOMEM. */
struct nd_config;
int nd_redis_read(struct nd_redis_options *out, const struct nd_config *config, struct ft_fault *fault);

/* ---- tests/bench/wire.c: a server of our own ---------------------------------------------------------- */

struct nd_redis_server {
    pid_t pid;
    uint16_t port;
    char settings[160];
};

/* redis-server on a free port of 127.0.0.1, without persistence, ready when this returns. It dies with the
 * thread that starts it. FT_ENOENT: not installed; FT_EIO: it ended, or was not ready in time. */
int nd_redis_server_start(struct nd_redis_server *server, struct ft_fault *fault);
void nd_redis_server_stop(struct nd_redis_server *server);

#endif
