/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NF that keeps all rules of docs/writing-an-nf.md but the one that BREACH names, for tests/lab/rules.t.
 * It counts packets of each flow's hash in a map of its own, and in a word and a map that all lanes share.
 */
#include "nflib/nf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NONE     0
#define STATIC   1
#define HEAP     2
#define THREAD   3
#define UNEDITED 4
#define SHARED   5
#define OUTSIDE  6
#define PEEK     7
#define CLOCK    8
#define RANDOM   9
#define ADDRESS  10
#define PAYLOAD  11
#define OTHERS   12
#define LIBRARY  13 /* not looked into by check */
#define STACK    14
#define LATE     15 /* as ADDRESS, in the packet after 700 */
#define SCOPE    16 /* keeps a source in a map of its own, in each lane that has one of its flows */

#define FLOW      17 /* keeps a sequence number of TCP, and says that it reads flows */
#define FLOW_TTL  18 /* the same with the time to live */
#define FLOW_ID   19 /* and with the identification */
#define FLOW_SLOT 20 /* as FLOW, in its slot of the packet's session */

#ifndef BREACH
#define BREACH NONE
#endif

#define SLOTS 64u

struct rules {
    struct nf_shared_word *word;
    struct nf_shared_map *map;
    uint64_t *heap;
    uint64_t sum, at; /* what the breach leaves in the state; on a line of its own */
    uint64_t slots[SLOTS];
    struct nf_map *own; /* of SCOPE */
};

enum counter { PASSED, SEVENTH };
static const char *const counters[] = {"passed", "seventh", NULL};

#if BREACH == FLOW_SLOT
struct seen_in_flow {
    uint64_t sum;
};
#endif

#if BREACH == LIBRARY
int luck(void); /* rand() in a library of its own */
#elif BREACH == STATIC
static uint64_t seen;
#elif BREACH == THREAD
static __thread uint64_t seen;
#endif

static uint64_t arena(const void *config)
{
    (void)config;
    return nf_map_bytes(SLOTS, sizeof(uint32_t), sizeof(uint64_t));
}

static uint64_t shared(const void *config, unsigned lanes)
{
    (void)config;
    (void)lanes;
    return nf_shared_word_bytes() + nf_shared_map_bytes(SLOTS, sizeof(uint32_t), sizeof(uint64_t), 1);
}

static bool make(struct nf *nf)
{
    struct rules *r = nf->state;

    r->word = nf_shared_word_make(nf);
    r->map = nf_shared_map_make(nf, SLOTS, sizeof(uint32_t), sizeof(uint64_t), 1);
    r->own = nf_map_make(nf, SLOTS, sizeof(uint32_t), sizeof(uint64_t));
    if (!r->word || !r->map || !r->own)
        return false;
    NF_CONSTANT(nf, &r->word);
    NF_CONSTANT(nf, &r->map);
    NF_CONSTANT(nf, &r->own);
#if BREACH == HEAP
    r->heap = calloc(1, sizeof(*r->heap));
#endif
    return true;
}

#if BREACH == FLOW_SLOT
static void flows(const void *config, struct nf_flows_config *flows)
{
    (void)config;
    flows->max_flows = 1024;
    nf_timeouts_fill(flows->timeouts, 60);
}

static void keep_in_slot(struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nf_session *s = nf_session_mine(nf, p);
    uint32_t value;

    if (p->proto != NF_PROTO_TCP || !(p->flags & NF_P_L4))
        return;
    if (!s)
        s = nf_session_join(nf, p, now);
    memcpy(&value, p->data + p->l4 + 4, sizeof(value));
    if (s)
        NF_SESSION_EDIT(nf, s, struct seen_in_flow)->sum += value;
}
#endif

/* What the packet adds to the state. */
static uint64_t broken(struct nf *nf, const struct nf_packet *p, uint64_t *entry)
{
    struct rules *r = nf->state;
    uint64_t value = 0;

    (void)p;
    (void)entry;
    (void)r;
#if BREACH == STATIC || BREACH == THREAD
    value = ++seen;
#elif BREACH == HEAP
    value = ++*r->heap;
#elif BREACH == UNEDITED
    r->slots[p->saddr % SLOTS]++;
#elif BREACH == SHARED
    ++*(uint64_t *)((uint8_t *)r->word + FT_LINE);
#elif BREACH == OUTSIDE
    ++*NF_EDIT(nf, entry);
#elif BREACH == PEEK
    value = nf_shared_word_peek(r->word);
#elif BREACH == CLOCK
    value = (uint64_t)time(NULL);
#elif BREACH == RANDOM
    value = (uint64_t)rand();
#elif BREACH == ADDRESS
    value = (uint64_t)(uintptr_t)counters;
#elif BREACH == LIBRARY
    value = (uint64_t)luck();
#elif BREACH == STACK
    value = (uint64_t)(uintptr_t)&value;
#elif BREACH == LATE
    value = nf->counters[PASSED] == 700 ? (uint64_t)(uintptr_t)counters : 0;
#elif BREACH == SCOPE
    uint32_t key = p->saddr % SLOTS;

    if (nf_map_find(r->own, &key) == NF_NONE)
        nf_map_add(nf, r->own, &key);
#elif BREACH == FLOW
    if (p->proto == NF_PROTO_TCP && p->flags & NF_P_L4)
        memcpy(&value, p->data + p->l4 + 4, 4);
#elif BREACH == FLOW_TTL
    value = p->flags & NF_P_IPV4 ? p->data[p->l3 + 8] * 7u : 0;
#elif BREACH == FLOW_ID
    value = p->flags & NF_P_IPV4 ? p->data[p->l3 + 4] * 256u + p->data[p->l3 + 5] : 0;
#elif BREACH == PAYLOAD
    value = p->data[p->len - 1];
#elif BREACH == OTHERS
    char line[64] = "";
    int fd = open("/proc/self/stat", O_RDONLY);

    value = fd < 0 || read(fd, line, sizeof(line) - 1) < 1 ? 0 : strtoull(line, NULL, 10);
    close(fd);
#endif
    return value;
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    struct rules *r = nf->state;

    (void)now;
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        uint32_t key = p->saddr % SLOTS, slot;
        struct nf_map *map;
        uint64_t *entry = NULL, value;

        nf_shared_word_add(nf, r->word, 1);
        map = nf_shared_map_enter(nf, r->map, 0);
        slot = nf_map_find(map, &key);
        if (slot == NF_NONE)
            slot = nf_map_add(nf, map, &key);
        if (slot != NF_NONE) {
            entry = (uint64_t *)(uintptr_t)nf_map_value(map, slot);
            ++*NF_EDIT(nf, entry);
        }
        nf_shared_map_leave(nf, r->map, 0);
        value = broken(nf, p, entry);
        if (value)
            *NF_EDIT(nf, &r->sum) = r->sum * 31 + value;
#if BREACH == FLOW_SLOT
        keep_in_slot(nf, p, now);
#endif
        nf_count(nf, PASSED, 1);
    }
}

static const struct nf_module rules = {
    .name = "rules",
    .summary = "breaks one rule",
    .reads = BREACH >= FLOW ? NF_READS_FLOW : NF_READS_HEADERS,
    .state_size = sizeof(struct rules),
    .counters = counters,
    .arena = arena,
    .shared = shared,
    .make = make,
    .process = process,
#if BREACH == FLOW_SLOT
    .session_size = sizeof(struct seen_in_flow),
    .flows = flows,
#endif
};
NF_MODULE(rules)
