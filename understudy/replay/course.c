/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The course of a replay run, in the tool's own process, which is the input keeper: feeds bursts, takes what
 * is released, kills when it is time, and after a takeover feeds the successor from the first burst that did
 * not survive (without an input keeper: from the first that the dead primary had not taken).
 *
 * A kill waits until the pair is protected. While a new standby is brought up to date the feeding goes on,
 * but not further than a seeded fraction of the way to the next kill: so a kill finds some of its bursts in
 * the snapshot and some in the log.
 */
#define _GNU_SOURCE /* MAP_FIXED_NOREPLACE */
#include "nflib/module/module.h"
#include "understudy/replay/replay.h"
#include "ftcore/base/draw.h"
#include "nflib/chain/chain.h"
#include "ftcore/base/clock.h"
#include "understudy/pair/child.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a node as a program of its own ---------------------------------------------------------- */

#define PAGE       4096ull
#define HOLE_PAGES (1ull << 24) /* 64 GiB of addresses, at most */
#define HEAP_PAGES (1ull << 12)
#define SMALL_MAX  1024u /* bytes: sizes of which the heap has pieces that were given back */
#define CLOSES     16u   /* a chain names an object so often, at most */

static uint64_t draw(void)
{
    uint64_t value = 0;

    return getrandom(&value, sizeof(value), 0) == (ssize_t)sizeof(value) ? value : 0;
}

/* Addresses that nothing is mapped at any more. Where there is no room nothing is taken. */
static bool take_addresses(void *at, uint64_t bytes, int flags)
{
    return mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0) !=
           MAP_FAILED;
}

/* What is mapped from now on lies below a hole, and the heap goes on behind one. Pieces of the heap that are
 * free are taken, some of each size, and not given back. */
static void move_memory(void)
{
    (void)take_addresses(NULL, (draw() % HOLE_PAGES + 1) * PAGE, 0);
    for (size_t size = 16; size <= SMALL_MAX; size += 16)
        for (uint64_t n = draw() % 16; n > 0; n--) {
            void *volatile taken = malloc(size);

            (void)taken;
        }
    sbrk((intptr_t)((draw() % HEAP_PAGES + 1) * PAGE));
}

/* The object is loaded again with the configuration, elsewhere: its place is taken. One that does not go
 * stays. */
static void unload(const struct nf_object_file *file)
{
    struct nf_segment all = file->all;
    char *path = strdup(file->path);
    void *handle;

    for (unsigned i = 0; path && i < CLOSES && (handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD)); i++) {
        dlclose(handle); /* what this look has opened, and what a chain has */
        dlclose(handle);
    }
    free(path);
    (void)take_addresses(all.base, all.size, MAP_FIXED_NOREPLACE);
}

static void unload_modules(void)
{
    struct nf_object_file file;
    const struct nf_module *module;

    for (unsigned i = 0; (module = nf_module_at(i));) {
        if (!nf_object_file_of(&file, module)) {
            i++;
            continue;
        }
        for (unsigned k = i; (module = nf_module_at(k));) /* of all that the object has */
            if ((const uint8_t *)module - file.all.base < (ptrdiff_t)file.all.size &&
                (const uint8_t *)module >= file.all.base)
                nf_module_forget(module);
            else
                k++;
        unload(&file);
    }
}

/* ---- digests of bursts ----------------------------------------------------------------------- */

/* Of a chain of so many NFs. FT_ENOMEM: they would take more than half of the machine's memory. */
static int open_sums(struct nd_sums *s, uint64_t bursts, unsigned lanes, unsigned nfs, struct ft_fault *fault)
{
    uint64_t half = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2, bytes;

    *s = (struct nd_sums){.bursts = bursts, .lanes = lanes, .words = nfs + 2};
    bytes = 2 * lanes * bursts * s->words * sizeof(*s->at);
    if (bytes <= half) {
        s->at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (s->at != MAP_FAILED)
            return 0;
        s->at = NULL;
    }
    return ft_fail(
        fault, FT_ENOMEM,
        "the audit's digests of %lu bursts take %lu MB, expected %lu at most: --fast goes without, or "
        "replay a part of the capture",
        bursts, bytes >> 20, half >> 20);
}

/* All 0: nobody has executed the burst. NULL: it is none of this capture. */
static uint64_t *find_burst(const struct nd_sums *s, bool replayed, unsigned lane, uint64_t burst)
{
    return s->at && burst < s->bursts
               ? s->at + (((uint64_t)replayed * s->lanes + lane) * s->bursts + burst) * s->words
               : NULL;
}

/* Where the audit has what is kept as word `word`. */
static unsigned nf_of(const struct nd_sums *s, unsigned word)
{
    return word + 1 < s->words ? word : FT_NFS_MAX;
}

/* `of`: as ft_audit_watch has them. `replayed`: by a standby that replayed the burst, not who ran it live. */
static void note_sums(const struct nd_sums *s, bool replayed, unsigned lane, uint64_t burst,
                      const uint64_t of[FT_AUDIT_SUMS])
{
    uint64_t *to = find_burst(s, replayed, lane, burst);

    for (unsigned w = 0; to && w < s->words; w++)
        to[w] = of[nf_of(s, w)];
}

bool nd_sums_differ(const struct nd_sums *s, bool replayed, unsigned lane, uint64_t burst,
                    const uint64_t of[FT_AUDIT_SUMS], uint16_t *nf)
{
    const uint64_t *noted = find_burst(s, replayed, lane, burst);

    if (!noted || !noted[0]) /* each burst edits what is the lane's own */
        return false;
    for (unsigned i = 1; i <= s->words; i++) {
        unsigned word = i % s->words;

        *nf = (uint16_t)nf_of(s, word);
        if (noted[word] != of[*nf])
            return true;
    }
    return false;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

#define REST_NS      120000000000ull /* given, for the digest of all lanes */
#define RESYNC_MBPS  4000u
#define IDLE_SHORT   500u /* turns without work */
#define SLEEP_SHORT  50000u
#define SLEEP_LONG   200000u
#define FIT_MAX      3000000u /* ns: a pause of a link that delivers by fits and starts */
#define STATUS_EVERY 1000000ull

/* ---- in a node's process ----------------------------------------------------------------------- */

static struct running {
    const struct nd_replay *all; /* this and `number` as they were before the fork */
    unsigned number;
    struct nd_slot *slot;
    struct nd_config *own; /* the file and its modules, read in this process */
    struct nd_member_config config;
    struct nd_member member;
    struct nd_slot_io io;
    uint64_t random, status_at;
    unsigned idle; /* turns without work */
} running;

static void show_figures(struct running *r, uint64_t now)
{
    struct rp_status s;

    if (now - r->status_at < STATUS_EVERY)
        return;
    r->status_at = now;
    rp_status(r->member.replicator, &s);
    atomic_store(&r->slot->log_bytes, s.log_bytes_wire);
    atomic_store(&r->slot->delta_bytes, s.delta_bytes_wire);
    atomic_store(&r->slot->refused, s.refused);
    if (s.refused)
        memcpy(r->slot->refusal, s.last_refused, sizeof(s.last_refused));
}

/* One turn of the replicator and a wait. Near a kill, pauses gather records and answers into batches. */
static int replicate_turn(void *arg, struct ft_fault *fault)
{
    struct running *r = arg;
    uint64_t now = ft_now();

    (void)fault;
    if (atomic_load(&r->slot->status.rested)) { /* its state is looked at, and changes no more */
        nd_sleep(SLEEP_LONG);
        return 0;
    }
    r->idle = rp_turn(r->member.replicator, now) ? 0 : r->idle + 1;
    show_figures(r, now);
    if (atomic_load_explicit(&r->slot->fits, memory_order_relaxed) && ft_draw(&r->random) % 2 == 0)
        nd_sleep(ft_draw(&r->random) % FIT_MAX);
    else if (r->idle)
        nd_sleep(r->idle < IDLE_SHORT ? SLEEP_SHORT : SLEEP_LONG);
    return 0;
}

/* At a burst's end, by its lane. What came by a delta was no burst here. */
static void note_burst(void *arg, unsigned index, const uint64_t sums[FT_AUDIT_SUMS])
{
    const struct running *r = arg;
    const struct nd_lane *lane = &r->member.lanes.lane[index];
    bool live = lane->doing == FT_LANE_LIVE;

    if (live || !lane->apply.last_was_chunk)
        note_sums(&r->all->sums, !live, index, nf_chain_state(lane->chain)->burst, sums);
}

int nd_replay_config(struct nd_config **out, const struct nd_replay_options *o, unsigned how,
                     struct ft_fault *fault)
{
    struct ft_fault why;
    struct nd_config *config;
    int error = nd_config_read(out, o->common.config, how, fault);

    if (error)
        return error;
    config = *out;
    config->chain.l3 = NULL;
    if (o->lanes)
        config->chain.lanes = (uint16_t)o->lanes;
    if (o->standby >= 0)
        config->protect.standby = (uint32_t)o->standby;
    /* What a link would carry is to be reported, and the loopback is never the limit. */
    if (config->protect.compress == ND_COMPRESS_AUTO)
        config->protect.compress = ND_COMPRESS_ALWAYS;
    if (!o->no_input_keeper) /* a keeper drops what has left already, and loses nothing */
        config->protect.tail = ND_TAIL_EMIT;
    config->protect.audit = !o->fast;
    if (o->mode >= 0)
        config->protect.asked = (uint32_t)o->mode;
    if (nd_config_decide(&config->protect, &config->chain, &why) == 0)
        return 0;
    return ft_fail(fault, FT_EINVAL, "--mode %s, %.200s", nd_modes[config->protect.asked], why.text);
}

/* The process of a node. */
static int run_node(void *arg, struct ft_fault *fault)
{
    struct running *r = arg;
    const struct nd_replay *all = r->all;
    int error;

    /* In a process that was forked: what it is to have in common with the others by accident alone, differs.
     * The configuration is to be read anew, since its modules are unloaded. */
    srandom((unsigned)draw()); /* of rand(), too */
    srand48((long)draw());
    unload_modules();
    move_memory();
    error = nd_replay_config(&r->own, all->options, ND_CONFIG_QUIET, fault);
    if (error)
        return error;
    r->slot = all->node[r->number].slot;
    r->config = (struct nd_member_config){.config = r->own,
                                          .io = &r->io.io,
                                          .shared = r->slot->shared,
                                          .place = &all->place,
                                          .number = r->number,
                                          .region_name = "understudy replay",
                                          .timing = {.heartbeat_ms = 20,
                                                     .lease_ms = 3000,
                                                     .detect_ms = 5000,
                                                     .promote_within_ms = 20000,
                                                     .solo_after_ms = 40000,
                                                     .resync_deadline_ms = 60000,
                                                     .resync_mbps = RESYNC_MBPS},
                                          .seed = all->options->seed,
                                          .datagram_key.incarnation = ft_now() ^ (uint64_t)r->number << 63,
                                          .status = &r->slot->status};
    r->random = r->config.seed ^ r->config.datagram_key.incarnation;
    error = nd_slot_io_open(&r->io, r->slot, all->tapes, all->lanes, !all->options->no_input_keeper, fault);
    r->io.in_turn = all->in_turn;
    /* What a lane holds bounds what its standby keeps: with room for that, replay forgets no output. */
    uint64_t each = 160; /* headers, or a small packet */

    if (nf_chain_reads(&r->own->chain) == NF_READS_PAYLOAD || r->own->protect.capture == ND_CAPTURE_FULL)
        each = r->io.io.frame_max + 8;
    r->config.replayed_bytes = (sizeof(struct lg_output) + each) * r->io.io.buffers / 2;
    if (!error)
        error = nd_member_open(&r->member, &r->config, fault);
    if (!error)
        r->slot->region_fd = r->member.lanes.region->fd;
    if (!error)
        ft_audit_watch(r->member.lanes.region, note_burst, r);
    if (!error)
        error = nd_member_start(&r->member, NULL, fault);
    return error ? error : nd_member_serve(&r->member, replicate_turn, r, fault);
}

/* ---- in the tool's process --------------------------------------------------------------------- */

static int renew_slot(struct nd_replay *r, unsigned n, struct ft_fault *fault)
{
    nd_slot_free(r->node[n].slot, r->lanes);
    r->node[n].slot = nd_slot_new(r->lanes);
    return r->node[n].slot ? 0 : ft_fail(fault, FT_ENOMEM, "no memory between the nodes");
}

static int open_nodes(struct nd_replay *r, struct ft_fault *fault)
{
    int error = nd_loopback_open(&r->place, false, fault);

    if (!error && r->config->protect.audit)
        error = open_sums(&r->sums, r->tape.burst_count + 2, r->lanes, r->config->chain.count, fault);
    for (unsigned n = 0; n < ND_PAIR && !error; n++)
        error = renew_slot(r, n, fault);
    return error;
}

static int start_node(struct nd_replay *r, unsigned n, struct ft_fault *fault)
{
    int error = renew_slot(r, n, fault);

    if (error)
        return error;
    running = (struct running){.all = r, .number = n};
    return nd_member_fork(&r->node[n].pid, &r->node[n].slot->status, run_node, &running, fault);
}

/* What a node has counted, before its slot is used again. */
static void add_counts(struct nd_replay *r, unsigned n)
{
    struct nd_slot *slot = r->node[n].slot;

    for (unsigned l = 0; l < r->lanes; l++) {
        r->divergences += atomic_load(&slot->shared[l].count.divergences);
        r->counts.suppressed += atomic_load(&slot->shared[l].count.tail_suppressed);
    }
    r->log_bytes += atomic_load(&slot->log_bytes);
    r->delta_bytes += atomic_load(&slot->delta_bytes);
    if (atomic_load(&slot->refused)) {
        r->refused += atomic_load(&slot->refused);
        memcpy(r->refusal, slot->refusal, sizeof(r->refusal));
    }
    r->deltas += atomic_load(&slot->shared[0].count.cuts);
}

/* and waits for its end */
static void kill_node(struct nd_replay *r, unsigned n)
{
    nd_child_kill(&r->node[n].pid);
    add_counts(r, n);
}

/* FT_EDIVERGED: one has ended by itself. */
static int check_nodes(struct nd_replay *r, struct ft_fault *fault)
{
    int error = 0;

    for (unsigned n = 0; n < ND_PAIR && !error; n++) {
        const struct nd_slot *slot = r->node[n].slot;

        error = nd_member_check(&r->node[n].pid, n, &slot->status, &r->config->chain, slot->shared, fault);
        if (error)
            add_counts(r, n);
    }
    return error;
}

/* Its lanes stop, in order; its digest. Its process stays, so that its state can be looked at. */
static uint64_t given(struct nd_replay *r)
{
    return nd_given_look(&r->given, (pid_t[]){getpid(), r->node[0].pid, r->node[1].pid}, 3);
}

static uint64_t rest_node(struct nd_replay *r, unsigned n, bool *rested)
{
    struct nd_slot *slot = r->node[n].slot;
    uint64_t began = given(r);
    pid_t ended = 0;
    int status;

    *rested = false;
    if (!r->node[n].pid)
        return 0;
    atomic_store(&slot->status.wish, ND_MEMBER_REST);
    while (!(*rested = atomic_load(&slot->status.rested)) && given(r) - began < REST_NS &&
           (ended = waitpid(r->node[n].pid, &status, WNOHANG)) == 0)
        nd_sleep(100000);
    if (ended) /* its number may be another's by now */
        r->node[n].pid = 0;
    if (!*rested)
        nd_child_kill(&r->node[n].pid);
    add_counts(r, n);
    return atomic_load(&slot->status.digest);
}

void nd_nodes_close(struct nd_replay *r)
{
    for (unsigned n = 0; n < ND_PAIR; n++) {
        nd_child_kill(&r->node[n].pid);
        nd_slot_free(r->node[n].slot, r->lanes);
        r->node[n].slot = NULL;
    }
    nd_loopback_close(&r->place);
}

/* ---- the course ------------------------------------------------------------------------------ */

/* ns without any progress, of those that the processes were given: something is broken. A planted bug may
 * stop all progress. */
#ifdef UNDERSTUDY_PLANT
#define PATIENCE 10000000000ull
#else
#define PATIENCE 300000000000ull
#endif
#define ONE_CALL                                                                                             \
    60000000000ull /* ns given: nothing that an NF does with a burst takes a thousandth of it                \
                    */
#define PAUSE_NS   100000u
#define LAST_DOUBT 2000000u /* ns: most that a kill comes after its packet */
#define CHECK_EACH 64u      /* rounds between two looks at the processes */

static struct nd_slot *primary_slot(struct nd_replay *r)
{
    return r->node[r->primary].slot;
}

static uint64_t drain_outputs(struct nd_replay *r)
{
    uint64_t n = 0;

    for (unsigned l = 0; l < r->lanes; l++)
        n += nd_keeper_drain(&r->keeper[l], &primary_slot(r)->lanes[l]);
    return n;
}

static bool protected_by_both(struct nd_replay *r)
{
    return atomic_load(&primary_slot(r)->status.state) == FT_PROTECTED &&
           atomic_load(&r->node[!r->primary].slot->status.state) == FT_READY;
}

/* Bursts of all lanes' tapes that were taken. */
static uint64_t count_taken(struct nd_replay *r)
{
    uint64_t n = 0;

    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t asked = atomic_load(&primary_slot(r)->lanes[l].asked);

        n += (asked ? asked - 1 : 0) + r->keeper[l].shift;
    }
    return n;
}

/* The call of an NF in which a node was seen last. */
struct call {
    char at[ND_MEMBER_AT];
    uint64_t burst, since;
};

/* FT_EDIVERGED: a node does not come out of one. */
static int check_calls(struct nd_replay *r, struct call last[ND_PAIR], struct ft_fault *fault)
{
    uint64_t now = given(r);

    for (unsigned n = 0; n < ND_PAIR; n++) {
        const struct nd_member_status *status = &r->node[n].slot->status;
        struct call call = {.burst = atomic_load(&status->mark[0].burst), .since = now};

        nd_member_at(status, &r->config->chain, call.at);
        if (!call.at[0] || strcmp(call.at, last[n].at) != 0 || call.burst != last[n].burst)
            last[n] = call;
        else if (now > last[n].since + ONE_CALL)
            return ft_fail(fault, FT_EDIVERGED, "node %c hangs%s, burst %lu", 'a' + (int)n, call.at,
                           call.burst);
    }
    return 0;
}

/* Turns until `when`: takes outputs, looks after the processes. FT_EDIVERGED: no burst further on was taken
 * for long; a node that loses its state and begins again comes no further. */
static int wait_until(struct nd_replay *r, bool (*when)(struct nd_replay *r), const char *what,
                      struct ft_fault *fault)
{
    struct call calls[ND_PAIR] = {{.burst = 0}};
    uint64_t moved = given(r), most = 0;
    unsigned round = 0;
    int error = 0;

    while (!error && !when(r)) {
        uint64_t now = given(r), taken = count_taken(r);

        if (drain_outputs(r) == 0)
            nd_sleep(PAUSE_NS);
        if (round++ % CHECK_EACH == 0 && (error = check_nodes(r, fault)) == 0)
            error = check_calls(r, calls, fault);
        if (taken > most) {
            most = taken;
            moved = now;
        }
        if (nd_interrupted())
            error = ft_fail(fault, FT_EIO, "interrupted");
        if (!error && now > moved + PATIENCE)
            error = ft_fail(fault, FT_EDIVERGED, "%s: no progress at burst %lu; node %c is %s: %.100s", what,
                            taken, 'a' + (int)r->primary,
                            ft_state_name((enum ft_state)atomic_load(&primary_slot(r)->status.state)),
                            primary_slot(r)->status.why);
    }
    return error;
}

/* ---- kills ------------------------------------------------------------------------------------- */

/* The link delivers in batches from now on, or no longer. */
static void set_fits(struct nd_replay *r, bool fits)
{
    for (unsigned n = 0; n < ND_PAIR; n++)
        atomic_store(&r->node[n].slot->fits, fits);
}

/* The primary's lane may take bursts up to this one of its tape. */
static void feed_lane(struct nd_replay *r, unsigned l, uint64_t to)
{
    struct nd_slot_lane *lane = &primary_slot(r)->lanes[l];
    struct nd_keeper *keeper = &r->keeper[l];

    /* Without an input keeper the successor may begin behind the next kill's packet. */
    to = to > keeper->shift ? to - keeper->shift : 0;
    nd_keeper_know(keeper, to);
    lane->shift = keeper->shift;
    if (to > atomic_load_explicit(&lane->fed, memory_order_relaxed))
        atomic_store_explicit(&lane->fed, to, memory_order_release);
}

static bool took_all(struct nd_replay *r)
{
    for (unsigned l = 0; l < r->lanes; l++) {
        struct nd_slot_lane *lane = &primary_slot(r)->lanes[l];

        if (atomic_load(&lane->asked) <= atomic_load(&lane->fed) && /* has not executed it */
            atomic_load(&lane->taken) < atomic_load(&lane->fed))
            return false;
    }
    return true;
}

static bool is_live(struct nd_replay *r)
{
    for (unsigned l = 0; l < r->lanes; l++)
        if (atomic_load(&primary_slot(r)->lanes[l].asked) == 0)
            return false;
    return true;
}

/* The standby has taken over, or has dropped what it knew and never will. */
static bool has_answered(struct nd_replay *r)
{
    return is_live(r) || atomic_load(&primary_slot(r)->status.state) == FT_JOINING;
}

static int kill_primary(struct nd_replay *r, struct ft_fault *fault)
{
    uint64_t taken[FT_LANES_MAX] = {0};
    unsigned dead = r->primary;
    int error;

    kill_node(r, dead);
    while (drain_outputs(r)) /* what it had released has left */
        ;
    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t asked = atomic_load(&primary_slot(r)->lanes[l].asked);

        taken[l] = atomic_load(&primary_slot(r)->lanes[l].taken);
        if (asked > taken[l] + 1) /* it never took any: it took over and had nothing to do */
            taken[l] = asked - 1;
    }
    r->primary = !dead;
    /* Outputs and records come after the first burst is asked for: the successor's bursts are not fed yet. */
    error = wait_until(r, has_answered, "takeover", fault);
    if (error)
        return error;
    if (!is_live(r))
        return ft_fail(fault, FT_EDIVERGED, "nobody took over from node %c: node %c is JOINING: %.100s",
                       'a' + (int)dead, 'a' + (int)r->primary, primary_slot(r)->status.why);
    for (unsigned l = 0; l < r->lanes; l++)
        nd_keeper_takeover(&r->keeper[l], atomic_load(&primary_slot(r)->lanes[l].asked) - 1, taken[l]);
    r->failovers++;
    return start_node(r, dead, fault);
}

static int kill_one(struct nd_replay *r, struct ft_fault *fault)
{
    const struct nd_kill *kill = &r->options->kills[r->next_kill++];
    unsigned standby = !r->primary;
    int error;

    /* At once, or a seeded moment later, so that a kill finds bursts in every stage; outputs go on leaving.
     */
    uint64_t late = ft_draw(&r->random) % 2 ? ft_draw(&r->random) % LAST_DOUBT : 0, until = ft_now() + late;

    while (ft_now() < until)
        if (drain_outputs(r) == 0)
            nd_sleep(PAUSE_NS / 10);
    error = wait_until(r, protected_by_both, "protection", fault);
    if (error)
        return error;
    if (kill->primary)
        return kill_primary(r, fault);
    kill_node(r, standby);
    return start_node(r, standby, fault);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static bool has_begun(struct nd_replay *r)
{
    return r->alone ? atomic_load(&primary_slot(r)->status.state) == FT_SOLO : protected_by_both(r);
}

/*
 * A warm standby's state is that of its last checkpoint. Asked for a digest, the primary makes one more:
 * then the standby has all there is, and the digests of both can be compared.
 */
static void ask_checkpoint(struct nd_replay *r)
{
    if (!r->config->protect.stores || r->asked == primary_slot(r))
        return;
    r->asked = primary_slot(r);
    for (unsigned l = 0; l < r->lanes; l++)
        atomic_fetch_add(&primary_slot(r)->shared[l].orders.digest, 1);
}

/* All bursts executed, all outputs out of the hold and out of the ring; the standby knows it all. */
static bool is_done(struct nd_replay *r)
{
    struct nd_slot *p = primary_slot(r), *s = r->node[!r->primary].slot;

    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t last = r->keeper[l].known;

        if (atomic_load(&p->lanes[l].asked) <= last || atomic_load(&p->shared[l].count.held) != 0 ||
            ft_ring_used(&p->lanes[l].out) != 0 || (r->lanes > 1 && r->keeper[l].ledger.count < last))
            return false;
    }
    if (r->alone)
        return true;
    if (!protected_by_both(r))
        return false;
    ask_checkpoint(r);
    for (unsigned l = 0; l < r->lanes; l++)
        if (atomic_load(&s->shared[l].report.executed) < r->keeper[l].known)
            return false;
    return true;
}

/* Feeds the lanes up to this burst of their tapes, and waits. */
static int feed_until(struct nd_replay *r, uint64_t to, bool (*when)(struct nd_replay *r),
                      struct ft_fault *fault)
{
    for (unsigned l = 0; l < r->lanes; l++)
        feed_lane(r, l, to);
    return wait_until(r, when, "feeding", fault);
}

static int start_pair(struct nd_replay *r, struct ft_fault *fault)
{
    int error = start_node(r, 0, fault);

    if (!error && !r->alone)
        error = start_node(r, 1, fault);
    return error ? error : wait_until(r, has_begun, "the first protection", fault);
}

/* Up to the packet of the next kill, the last of the way protected and with a link that hesitates. Bursts of
 * all lanes are those of the capture, so lanes are fed as far as each other. */
static int feed_to_kill(struct nd_replay *r, struct ft_fault *fault)
{
    uint64_t to = nd_tape_burst_of(&r->tape, r->options->kills[r->next_kill].at - 1), half = to;
    int error;

    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t from = atomic_load(&primary_slot(r)->lanes[l].asked) - 1 + r->keeper[l].shift;

        half = from < half ? from : half;
    }
    half += ft_draw(&r->random) % ((to - half) / 2 + 1);
    set_fits(r, false);
    error = feed_until(r, half, protected_by_both, fault);
    if (!error)
        error = feed_until(r, half, took_all, fault);
    set_fits(r, true);
    return error ? error : feed_until(r, to, took_all, fault);
}

int nd_replay_run(struct nd_replay *r, struct ft_fault *fault)
{
    int error;

    nd_catch_ends();
    r->random = r->options->seed;
    r->alone = !r->config->protect.pair;
    error = open_nodes(r, fault);
    if (!error)
        error = start_pair(r, fault);
    r->began = ft_now();
    while (!error && r->next_kill < r->options->kill_count - r->kills_beyond) {
        error = feed_to_kill(r, fault);
        if (!error)
            error = kill_one(r, fault);
    }
    if (!error) {
        set_fits(r, false);
        error = feed_until(r, r->tape.burst_count, is_done, fault);
    }
    r->ended = ft_now();
    if (error == FT_EDIVERGED) {
        fprintf(stderr, "understudy replay: %s\n", fault->text);
        r->broken = true;
        error = 0;
    } else if (!error) {
        bool rested;

        /* The standby first: it would take over from a primary that ends. */
        if (!r->alone)
            r->standby_digest = rest_node(r, !r->primary, &r->standby_rested);
        r->primary_digest = rest_node(r, r->primary, &rested);
        if (!rested || (!r->alone && !r->standby_rested))
            error = ft_fail(fault, FT_EIO, "a node did not come to rest");
    }
    return error;
}
