/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference: the surviving bursts executed once, by the chain alone, on a fresh region in a process of
 * its own; no replication. Several lanes are threads that follow the surviving log's dependencies and
 * determinants; inputs come from the tape all the same. What a run released is held against it.
 */
#include "nflib/chain/chain.h"
#include "nflib/chain/unread.h"
#include "understudy/replay/replay.h"
#include "understudy/pair/child.h"
#include "ftcore/order/section.h"
#include "logger/capture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- where states differ --------------------------------------------------------------------- */

/* The 8 bytes around the first that differs, at a multiple of 8 of the arena. */
static void note_first(struct nd_difference *d, const struct ft_arena *arena, const uint8_t *is,
                       const uint8_t *expected, uint64_t line)
{
    uint64_t at = line;

    while (is[at] == expected[at])
        at++;
    at &= ~7ull;
    d->offset = at;
    memcpy(&d->got, is + at, sizeof(d->got));
    memcpy(&d->expected, expected + at, sizeof(d->expected));
    d->lane = arena->lane;
    d->nf = arena->nf;
}

/* How many lines differ; of the first, what it is. */
static uint64_t compare_arena(struct nd_difference *d, const struct ft_arena *arena, const uint8_t *is,
                              const uint8_t *expected)
{
    for (uint64_t line = 0; line < arena->used; line += FT_LINE)
        if (memcmp(is + line, expected + line, FT_LINE) != 0 && d->lines++ == 0)
            note_first(d, arena, is, expected, line);
    return d->lines;
}

static const uint8_t *map_region(pid_t pid, int region_fd, uint64_t size)
{
    char path[64];
    void *base = MAP_FAILED;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, region_fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
    }
    return base == MAP_FAILED ? NULL : base;
}

/* Of the node in process `pid`, which has its region open as `region_fd`, against the region of the
 * chains[lanes]. */
static void compare_regions(struct nd_differences *out, const struct ft_region *region,
                            struct nf_chain *const chains[], pid_t pid, int region_fd)
{
    const uint8_t *is = map_region(pid, region_fd, region->size);

    out->unseen = is == NULL;
    for (unsigned at = 1; is && at <= FT_NFS_MAX + 1u; at++)
        for (unsigned i = 0; i < region->arena_count; i++) {
            const struct ft_arena *arena = &region->arenas[i];
            struct nd_difference *d =
                &out->list[out->count < ND_DIFFERENCES ? out->count : ND_DIFFERENCES - 1];
            struct nd_difference other = {.lines = 0};

            /* NFs first, in the order of the chain, then what lanes share, then what is the lanes' own and
             * follows. */
            if ((arena->nf ? arena->nf : FT_NFS_MAX + 1u) != at ||
                !compare_arena(&other, arena, is + arena->offset, region->base + arena->offset))
                continue;
            snprintf(other.place, sizeof(other.place), "offset 0x%lx of its arena", other.offset);
            nf_chain_name_place(chains[arena->lane == FT_LANES_MAX ? 0 : arena->lane],
                                arena->offset + other.offset, other.place, sizeof(other.place));
            if (out->count++ < ND_DIFFERENCES)
                *d = other;
        }
    if (is)
        munmap((void *)(uintptr_t)is, region->size);
}

/* ---- the reference --------------------------------------------------------------------------- */

#define WATCH_EACH 1024u /* bursts */
#define PATIENCE_S 60u   /* until a reference in which nothing moves is ended */

/* One lane of it. */
struct run {
    struct nd_keeper *keeper;
    uint64_t outputs;  /* made by this lane */
    uint64_t accesses; /* in its log */
    struct nd_first first;
    struct nf_chain *chain;
    uint8_t *frames;
    pthread_t thread;
};

/* Filled in before the fork as far as the keepers; all else is the reference's process's own. */
static struct {
    const struct nd_replay *replay;
    const struct nd_config *config;
    struct nd_reference *answer; /* in shared memory */
    struct run run[FT_LANES_MAX];
    struct ft_published published[FT_LANES_MAX];
    struct ft_region *region;
    bool traced;          /* run again, to find where a node has left its way */
    uint32_t hides;       /* run again without these fields (enum nf_unread_field), to find who reads one */
    _Atomic uint64_t off; /* 1: a lane has stopped, and what others wait for may never come */
} all;

static void compare_output(struct run *r, uint64_t number, uint64_t seq, const struct nd_tape_burst *b,
                           const void *frame, uint32_t len, uint64_t port)
{
    struct nd_keeper *keeper = r->keeper;
    uint64_t left = number < keeper->numbers ? keeper->left[number] : 0;

    if (all.traced || all.hides)
        return;
    if (left == 0) {
        all.answer->missing++;
        if (seq)
            nd_keeper_log(
                keeper, "lost: output %lu (seq %lu, packet %lu): never left the chain\n", number, seq,
                keeper->tape->inputs[b->first + (seq - nf_chain_state(r->chain)->seq) + b->n].number + 1);
        else
            nd_keeper_log(keeper, "lost: output %lu (made by an NF): never left the chain\n", number);
    } else if (left != nd_keeper_digest(frame, len, port)) {
        if (all.answer->altered++ == 0)
            fprintf(stderr,
                    "understudy replay: output %lu (seq %lu) left with other bytes than the reference's\n",
                    number, seq);
    }
}

/* The burst's order and determinants, from the log. False: the log has another burst. */
static bool follow_record(struct run *r, uint64_t burst, const struct nd_tape_burst *b)
{
    const struct nf_lane_state *state = nf_chain_state(r->chain);
    const struct ft_dependency *dependency;
    const struct ft_record *record;
    struct lg_cursor cursor;
    const void *value;
    uint32_t len;

    if (burst > r->keeper->ledger.count)
        return false;
    record = nd_keeper_record(r->keeper, burst);
    if (record->burst != burst || record->time != b->time || record->inputs != b->n ||
        record->seq != state->seq || record->access != state->access)
        return false;
    dependency = (const void *)((const uint8_t *)record + ft_record_dependencies_at(record));
    /* One that points out of the log would be waited for without end. */
    for (unsigned i = 0; i < record->dependencies; i++)
        if (dependency[i].lane >= all.config->chain.lanes ||
            dependency[i].access > all.run[dependency[i].lane].accesses)
            return false;
    nf_chain_follow(r->chain, dependency, record->dependencies);
    all.answer->dependencies += record->dependencies;
    cursor = (struct lg_cursor){.record = record};
    while ((value = lg_cursor_determinant(&cursor, &len)))
        if (nf_determinants_supply(nf_chain_determinants(r->chain), value, len) != FT_OK)
            return false;
    return true;
}

/* All that was recorded was wanted. */
static bool record_used_up(struct run *r, uint64_t burst)
{
    const struct ft_record *record = nd_keeper_record(r->keeper, burst);

    return nf_determinants_used(nf_chain_determinants(r->chain)) &&
           ft_sections_used(nf_chain_sections(r->chain), record->access, record->accesses);
}

static void sum_counters(const struct nf_chain *chain)
{
    for (unsigned i = 1; i <= all.config->chain.count; i++) {
        const struct nf *nf = nf_chain_any(chain, i);
        const char *const *names = nf->module->counters;

        for (unsigned c = 0; names && names[c] && c < ND_COUNTERS_MAX; c++)
            all.answer->chain.nf[i].counter[c] += nf->counters[c];
    }
}

static bool run_burst(struct run *r, uint64_t burst)
{
    const struct nd_tape *tape = r->keeper->tape;
    const struct nd_tape_burst *b = &tape->bursts[r->keeper->source[burst] - 1];
    const struct nf_emitted *made;
    struct nf_packet packets[NF_BURST_MAX];
    uint64_t seq = nf_chain_state(r->chain)->seq, before = r->outputs;
    uint32_t count;
    bool recorded = all.config->chain.lanes > 1;

    if (recorded && !follow_record(r, burst, b))
        return false;
    nd_tape_packets(tape, b, r->frames, packets);
    struct nf_unread kept;

    for (uint32_t i = 0; all.hides && i < b->n; i++)
        nf_unread_hide(&packets[i], all.hides, &kept);
    nf_chain_run(r->chain, burst, b->time, packets, b->n);
    ft_audit_check(all.region, (unsigned)(r - all.run));
    /* By the counter that is the reason, of the NF that has it; in place 0, where L3 has none here, what
     * sessions drop. */
    for (uint32_t i = 0; i < b->n; i++)
        if (packets[i].drop) {
            all.answer->chain.dropped++;
            if (packets[i].drop_nf)
                all.answer->chain.nf[packets[i].drop_nf == NF_DROP_SESSIONS ? 0 : packets[i].drop_nf]
                    .dropped[packets[i].drop - 1u]++;
        } else if (packets[i].out_port < ND_SLOT_PORTS)
            compare_output(r, ++r->outputs, seq + i, b, packets[i].data, packets[i].len, packets[i].out_port);
    count = nf_chain_emitted(r->chain, &made);
    for (uint32_t i = 0; i < count; i++)
        compare_output(r, ++r->outputs, 0, b, made[i].frame, made[i].len, made[i].port);
    all.answer->outputs += r->outputs - before;
    return !recorded || record_used_up(r, burst);
}

/* Apart, so that no local lives across the jump. False too when what the burst waits for cannot come: its
 * lane waits for this one (ftcore/order/section.h), or has stopped. */
static __attribute__((noinline)) bool run_or_leave(struct run *r, uint64_t burst)
{
    struct ft_sections *order = nf_chain_sections(r->chain);
    jmp_buf escape;
    bool whole;

    if (setjmp(escape) != 0)
        return false;
    order->off = &all.off;
    order->life = 1;
    order->escape = &escape;
    whole = run_burst(r, burst);
    order->escape = NULL;
    return whole;
}

static void *run_lane(void *arg)
{
    struct run *r = arg;

    for (uint64_t burst = 1; burst <= r->keeper->known; burst++) {
        if (burst % WATCH_EACH == 0)
            nd_patience(PATIENCE_S);
        atomic_store_explicit(&all.answer->died, burst, memory_order_relaxed); /* if it is the last one */
        if (run_or_leave(r, burst))
            continue;
        if (atomic_exchange(&all.off, 1) == 0 && !all.hides) /* the others stop because this one has */
            fprintf(stderr, "understudy replay: the reference cannot execute burst %lu of a lane\n", burst);
        all.answer->diverged++;
        break;
    }
    /* What left beyond the reference's last output cannot be right. */
    for (uint64_t n = r->outputs + 1; n <= r->keeper->outputs.left; n++)
        all.answer->altered += r->keeper->left[n] != 0;
    return NULL;
}

/* Whether each lane's log is whole, up to the last burst that survived; and how many accesses it has. */
static bool has_whole_logs(void)
{
    for (unsigned l = 0; l < all.config->chain.lanes; l++) {
        struct run *r = &all.run[l];
        uint64_t count = r->keeper->ledger.count;

        if (r->keeper->ledger.broken || count < r->keeper->known)
            return false;
        if (count)
            r->accesses =
                nd_keeper_record(r->keeper, count)->access + nd_keeper_record(r->keeper, count)->accesses - 1;
    }
    return true;
}

/* At a burst's end. */
static void compare_sums(void *arg, unsigned lane, const uint64_t sums[FT_AUDIT_SUMS])
{
    const struct nd_sums *noted = &all.replay->sums;
    struct run *r = &all.run[lane];
    const struct nf_lane_state *state = nf_chain_state(r->chain);
    struct nd_first first = {
        .found = true, .lane = (uint16_t)lane, .burst = state->burst, .time = state->time};

    (void)arg;
    if (r->first.found)
        return;
    first.seq = r->keeper->seq[state->burst];
    if (!nd_sums_differ(noted, false, lane, state->burst, sums, &first.nf)) {
        first.replayed = true;
        if (!nd_sums_differ(noted, true, lane, state->burst, sums, &first.nf))
            return;
    }
    r->first = first;
}

static int make_runs(uint64_t seed, struct ft_fault *fault)
{
    const struct ft_region_config how = {
        .name = "understudy reference", .audit = all.traced, .poison = all.config->protect.audit};
    const struct nf_chain_config *chain = &all.config->chain;
    int error = nf_chain_region(&all.region, chain, &how, fault);

    for (unsigned l = 0; l < chain->lanes && !error; l++) {
        struct run *r = &all.run[l];

        r->frames = malloc(nd_tape_frames_bytes(r->keeper->tape));
        if (!r->frames)
            return ft_fail(fault, FT_ENOMEM, "no memory for the reference");
        error = nf_chain_make(&r->chain, chain, all.region, l, seed, fault);
        if (!error)
            nf_chain_share(r->chain, all.published);
    }
    if (!error && all.traced)
        ft_audit_watch(all.region, compare_sums, NULL);
    return error;
}

static int run_all(struct ft_fault *fault)
{
    unsigned lanes = all.config->chain.lanes;

    nd_patience(PATIENCE_S);
    for (unsigned l = 1; l < lanes; l++)
        if (pthread_create(&all.run[l].thread, NULL, run_lane, &all.run[l]) != 0)
            return ft_fail(fault, FT_ENOMEM, "no thread for lane %u of the reference", l);
    run_lane(&all.run[0]);
    for (unsigned l = 1; l < lanes; l++)
        pthread_join(all.run[l].thread, NULL);
    nd_patience(0);
    for (unsigned l = 0; l < lanes; l++)
        sum_counters(all.run[l].chain);
    all.answer->digest = ft_region_digest(all.region);
    for (unsigned i = 0; i < all.region->arena_count; i++) {
        const struct ft_arena *a = &all.region->arenas[i];
        uint64_t *digest = &all.answer->digest_of[a->nf];

        *digest = XXH3_64bits_withSeed(all.region->base + a->offset, a->used, *digest);
    }
    return 0;
}

/* Of the nodes that have come to rest in another state. */
static void find_differences(void)
{
    struct nf_chain *chains[FT_LANES_MAX] = {NULL};

    for (unsigned l = 0; l < all.config->chain.lanes; l++)
        chains[l] = all.run[l].chain;
    for (unsigned n = 0; n < ND_PAIR; n++) {
        const struct nd_slot *slot = all.replay->node[n].slot;

        if (all.replay->node[n].pid && atomic_load(&slot->status.rested) &&
            atomic_load(&slot->status.digest) != all.answer->digest)
            compare_regions(&all.answer->differences[n], all.region, chains, all.replay->node[n].pid,
                            slot->region_fd);
    }
}

/* What --show asks for, to the tool's process. */
static int write_rows(struct ft_fault *fault)
{
    unsigned lanes = all.config->chain.lanes;
    json_t *rows = json_array();
    int error = 0;

    for (unsigned l = 0; l < lanes && !error; l++)
        error = nd_shown_add(rows, all.run[l].chain, all.replay->options->common.show, l, lanes, fault);
    if (!error && (json_dumpf(rows, all.replay->shown, 0) != 0 || fflush(all.replay->shown) != 0))
        error = ft_fail(fault, FT_EIO, "no room for what '%s' shows", all.replay->options->common.show);
    json_decref(rows);
    return error;
}

static int execute_reference(void *seed, void *result, struct ft_fault *fault)
{
    int error = 0;

    all.answer = result;
    if (all.config->chain.lanes > 1 && !has_whole_logs()) {
        all.answer->diverged = 1;
    } else {
        error = make_runs(*(const uint64_t *)seed, fault);
        if (!error)
            error = run_all(fault);
        if (!error && !all.traced && !all.hides)
            find_differences();
        if (!error && all.replay->shown)
            error = write_rows(fault);
        for (unsigned l = 0; l < all.config->chain.lanes; l++)
            if (all.run[l].first.found &&
                (!all.answer->first.found || all.run[l].first.time < all.answer->first.time))
                all.answer->first = all.run[l].first;
    }
    all.answer->listed = all.run[0].keeper->counts->listed;
    atomic_store(&all.answer->died, 0);
    return error;
}

static int run_reference(struct nd_reference *out, struct nd_replay *r, struct ft_fault *fault)
{
    uint64_t seed = r->options->seed;

    all.replay = r;
    all.config = r->config;
    for (unsigned l = 0; l < r->lanes; l++)
        all.run[l].keeper = &r->keeper[l];
    int error = nd_child_run(execute_reference, &seed, out, sizeof(*out), "the reference", fault);

    /* What ended a node ends the reference, too, if it is the chain: that is a verdict, and no error. */
    return error == FT_EIO && r->broken && out->died ? 0 : error;
}

/* Whose state the run without a field has made another, as in struct ft_arena: the first NF of the chain,
 * else what lanes share, else 0, an arena that holds the sessions as well. If that run came to no end, it is
 * the one in which a node differs. */
static unsigned find_reader(const struct nd_reference *out, const struct nd_reference *without)
{
    unsigned node = out->differences[0].count ? 0 : 1, nf = 1;

    if (without->died || without->diverged)
        return out->differences[node].list[0].nf;
    while (nf <= FT_NFS_MAX && without->digest_of[nf] == out->digest_of[nf])
        nf++;
    return nf <= FT_NFS_MAX ? nf : 0;
}

/* What NFs read though they declare NF_READS_FLOW: of the fields that this leaves out, one after the other
 * alone has another value, in all packets. */
static int find_undeclared(struct nd_reference *out, struct nd_replay *r, struct ft_fault *fault)
{
    static struct nd_reference without;
    int error = 0;

    for (unsigned f = 0; f < NF_UNREAD_COUNT && !error; f++) {
        memset(&without, 0, sizeof(without));
        all.hides = 1u << f;
        error = run_reference(&without, r, fault);
        if (error == FT_EIO && without.died) /* which proves as much as another state does */
            error = 0;
        if (!error && (without.died || without.digest != out->digest))
            out->undeclared[find_reader(out, &without)] |= all.hides;
    }
    all.hides = 0;
    return error;
}

int nd_reference_run(struct nd_reference *out, struct nd_replay *r, struct ft_fault *fault)
{
    static struct nd_reference again;
    bool differ;
    int error = 0;

    if (r->options->common.show && !(r->shown = tmpfile()))
        return ft_fail(fault, FT_EIO, "no file for what '%.40s' shows", r->options->common.show);
    error = run_reference(out, r, fault);
    if (r->shown) {
        rewind(r->shown);
        r->rows = json_loadf(r->shown, 0, NULL);
        fclose(r->shown);
        r->shown = NULL;
    }
    if (!r->rows) /* nothing if the chain ended its process */
        r->rows = json_array();
    differ = !error && !out->died && (out->differences[0].count || out->differences[1].count);
    if (differ && nf_chain_reads(&r->config->chain) == NF_READS_FLOW)
        error = find_undeclared(out, r, fault);
    all.traced = true;
    if (differ && !error && r->sums.at) {
        error = run_reference(&again, r, fault);
        out->first = again.first;
    }
    return error;
}
