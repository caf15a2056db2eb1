/* SPDX-License-Identifier: Apache-2.0 */
/*
 * straggler: an NF for tests that counts the datagrams of numbered.c by their direction and length, and works
 * longer on each packet in a node whose file says so. Built by long/straggler.t.
 *
 * The file is the one that the environment variable UNDERSTUDY_STRAGGLER names (a node keeps no others), so
 * each node has one of its own. The test writes into it, in place, how many turns of an empty loop a packet
 * takes more, as 15 characters and a newline; the NF looks at it once a burst. It is no part of the state,
 * and decides nothing of it. With -DTWICE the NF has a bug: while its node is slow, it counts each thousandth
 * datagram twice. With -DCALIBRATE this is a program, which prints how many turns take a microsecond here.
 */
#ifdef CALIBRATE
#include <stdio.h>
#include <time.h>
#else
#include "nflib/nf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

/* No clock: NFs have none. */
static inline void burn(unsigned long turns)
{
    for (volatile unsigned long turn = 0; turn < turns;)
        turn = turn + 1;
}

#ifdef CALIBRATE
int main(void)
{
    const unsigned long turns = 1000000;
    double least = 1e18;

    for (int i = 0; i < 50; i++) { /* the quickest was not interrupted */
        struct timespec from, to;

        clock_gettime(CLOCK_MONOTONIC, &from);
        burn(turns);
        clock_gettime(CLOCK_MONOTONIC, &to);
        double ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);

        least = ns < least ? ns : least;
    }
    printf("%.0f\n", (double)turns * 1000 / least);
    return 0;
}
#else

#define PORT    7000u
#define LENGTHS 1200u /* of numbered's datagrams, from LEAST on */
#define LEAST   40u
#define LATER   1000u
#define BYTES   16u /* of the file */

struct straggler {
    uint64_t counts[LENGTHS][2]; /* by length and side */
    uint64_t all;
};

static bool straggler_make(struct nf *nf)
{
    const char *path = getenv("UNDERSTUDY_STRAGGLER");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd >= 0 ? mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (fd >= 0)
        close(fd);
    nf->library = at == MAP_FAILED ? NULL : at;
    return true;
}

static void straggler_unmake(struct nf *nf)
{
    if (nf->library)
        munmap(nf->library, BYTES);
}

static unsigned long turns_now(const struct nf *nf)
{
    unsigned long turns = 0;

    for (const volatile char *at = nf->library; at && *at >= '0' && *at <= '9'; at++)
        turns = turns * 10 + (unsigned long)(*at - '0');
    return turns;
}

static void straggler_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct straggler *state = nf->state;
    unsigned long turns = turns_now(nf);

    (void)now;
    for (uint32_t i = 0; i < n; i++) {
        const struct nf_packet *p = packets[i];
        uint16_t port = p->side == NF_INSIDE ? p->dport : p->sport;
        uint32_t length = p->l4_len - 8u - LEAST; /* behind UDP's header */
        uint64_t once = 1;

        burn(turns);
        if (p->proto != NF_PROTO_UDP || !(p->flags & NF_P_L4) || port != __builtin_bswap16(PORT) ||
            length >= LENGTHS)
            continue;
#ifdef TWICE
        once += turns && state->all % LATER == 0;
#endif
        *NF_EDIT_WORD(nf, &state->all) = state->all + 1;
        *NF_EDIT_WORD(nf, &state->counts[length][p->side]) = state->counts[length][p->side] + once;
    }
}

static bool straggler_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct straggler *state = nf->state;

    nf_row(out);
    nf_row_u64(out, "length", LEAST + *cursor);
    nf_row_u64(out, "client", state->counts[*cursor][NF_INSIDE]);
    nf_row_u64(out, "server", state->counts[*cursor][NF_OUTSIDE]);
    return ++*cursor < LENGTHS;
}

static const struct nf_param params[] = {{0}};

static const struct nf_module straggler = {
    .name = "straggler",
    .summary = "for tests: counts, and takes longer in one node",
    .reads = NF_READS_HEADERS,
    .params = params,
    .state_size = sizeof(struct straggler),
    .make = straggler_make,
    .unmake = straggler_unmake,
    .process = straggler_process,
    .show = straggler_show,
};
NF_MODULE(straggler)
#endif
