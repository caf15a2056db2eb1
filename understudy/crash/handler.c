/* SPDX-License-Identifier: Apache-2.0 */
/* The handler of fatal signals, the walk that it makes, and who looks whether lanes hang; see handler.h. What
 * the handler needs is set before threads begin, and never changed. */
#define _GNU_SOURCE
#include "understudy/crash/handler.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/clock.h"
#include "understudy/base/given.h"
#include "understudy/crash/fingerprint.h"
#include "understudy/crash/quarantine.h"
#include "nflib/session/session.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#define HANDLER_MS  100          /* after which the kernel ends the process, whatever holds the handler */
#define ANSWER_MS   20           /* for a lane that hangs to describe itself */
#define HANGS_NS    100000000ull /* a lane whose last turn is older stands */
#define STACK_BYTES (128u << 10) /* of the handler's own */
#define GUARD_BYTES (64u << 10)  /* around the end of a stack; below it nothing can be read */
#define WALK_MAX    2000u        /* frames that are looked at */
#define SCAN_MAX    (64u << 10)  /* bytes of a frame that are looked at for packets */
#define OUTERMOST   1024u        /* and of what the chain called, when none was found on the way */
#define LIKELY_MAX  4            /* packets that one frame points to; where more are, it has a list of them */

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};

static struct {
    struct nd_crash_page *page;
    const struct ft_lane_shared *shared;
    unsigned lanes;
    struct ft_datagram_key key;
    pid_t process;       /* others that it forks have the handler, too, and nothing to describe */
    pthread_key_t stack; /* of each thread, for the handler: it goes with the thread */
} node;

/* A step that may fault, since what crashed may have written anywhere: then it is left. */
static sigjmp_buf left;
static _Atomic int trying; /* the thread that is in such a step; 0: none */
static _Atomic int hangs;  /* the lane that was found to hang, from 1; 0: none was */

static _Thread_local struct {
    int lane;        /* + 1; 0: none */
    uint64_t lowest; /* address of the stack */
} self;

/*
 * ---- the walk: from the registers of a thread that dies up to the chain that called it ----
 *
 * Its backtrace, and the packet of the burst that it had. That is the one which the innermost frame's
 * registers point to, then the registers that calls preserve, in each frame outwards: to the packet, to
 * something in it, to its place in the NF's list. Then words of the stack, of which some may be old.
 */

/* ---- which packet a value is an address of ---- */

/* Bits: the packets that `value` points to, its struct or its frame; 0: none. */
static uint32_t find_packet(const struct nf_packet *packets, uint32_t n, uint64_t value)
{
    uint64_t at = (uint64_t)(uintptr_t)packets, size = sizeof(*packets);

    if (value >= at && value < at + n * size)
        return 1u << (value - at) / size;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t data = (uint64_t)(uintptr_t)packets[i].data;

        if (value >= data && value < data + packets[i].have)
            return 1u << i;
    }
    return 0;
}

/* The packet whose struct begins at `value`. */
static uint32_t find_struct(const struct nf_packet *packets, uint32_t n, uint64_t value)
{
    uint64_t at = (uint64_t)(uintptr_t)packets, size = sizeof(*packets);

    return value >= at && value < at + n * size && (value - at) % size == 0 ? 1u << (value - at) / size : 0;
}

/* The packet to whose place in an NF's list `value` points, unless that is the list's first: those of who
 * goes through a list. */
static uint32_t find_in_list(const struct nf_packet *packets, uint32_t n, uint64_t list, uint64_t value)
{
    const uint64_t *place = (const uint64_t *)(uintptr_t)value;

    if (!list || value % 8 || value <= list || value >= list + 8 * FT_BURST_MAX ||
        !find_struct(packets, n, place[-1]))
        return 0;
    return find_struct(packets, n, *place);
}

/* Those of all words of a stack from `from` up to `until`; what the compiler of a test keeps around variables
 * is read as well. */
static __attribute__((no_sanitize_address)) uint32_t find_words(const struct nf_packet *packets, uint32_t n,
                                                                uint64_t from, uint64_t until)
{
    uint32_t found = 0;

    for (uint64_t at = (from + 7) & ~7ull; at + 8 <= until; at += 8)
        found |= find_packet(packets, n, *(const uint64_t *)(uintptr_t)at);
    return found;
}

/* ---- the walk ---- */

/* Those that a call preserves, as DWARF numbers them: rbx, rbp, r12 to r15. */
static const int preserved[] = {3, 6, 12, 13, 14, 15};
#define PRESERVED (sizeof(preserved) / sizeof(preserved[0]))

struct walking {
    struct nd_crash_told *told;
    const struct nf_packet *packets;
    uint32_t n;             /* 0: no packet is looked for */
    uint64_t list;          /* that NFs get; 0: none has got one */
    uint64_t limit;         /* the stack pointer of the chain: what is below it is the NF's */
    uint64_t begin;         /* the instruction at which frames count */
    uint64_t lowest, stack; /* the stack pointer of the innermost frame, and of the frame before */
    uint32_t seen;
    uint32_t on_stack; /* packets that words of the stack point to, which may be old */
    bool begun;
};

static void find_on_stack(struct walking *w, uint64_t from, uint64_t until)
{
    until = until < w->limit ? until : w->limit;
    from = from > w->lowest ? from : w->lowest;
    if (!w->n || w->on_stack || from >= until)
        return;
    if (until - from > SCAN_MAX)
        until = from + SCAN_MAX;
    w->on_stack = find_words(w->packets, w->n, from, until);
    if (__builtin_popcount(w->on_stack) > LIKELY_MAX)
        w->on_stack = 0;
}

/* The packet itself, or else something in it, which may be what is left of one before; then its place in a
 * list, which also decides between several. */
static void find_in_registers(const struct walking *w, const uint64_t values[], unsigned count)
{
    uint32_t packet = 0, within = 0, listed = 0, found;

    if (!w->n || w->told->found)
        return;
    for (unsigned i = 0; i < count; i++) {
        packet |= find_struct(w->packets, w->n, values[i]);
        within |= find_packet(w->packets, w->n, values[i]);
        listed |= find_in_list(w->packets, w->n, w->list, values[i]);
    }
    found = packet ? packet : within ? within : listed;
    w->told->found = found & listed ? found & listed : found;
}

static _Unwind_Reason_Code see_frame(struct _Unwind_Context *context, void *arg)
{
    struct walking *w = arg;
    struct nd_crash_told *told = w->told;
    uint64_t ip = _Unwind_GetIP(context), stack = _Unwind_GetCFA(context);
    uint32_t at = atomic_load(&told->frames);

    w->begun |= ip == w->begin;
    if (++w->seen == WALK_MAX)
        return _URC_END_OF_STACK;
    if (!w->begun)
        return _URC_NO_REASON;
    if (!ip) /* the end of what can be found */
        return _URC_END_OF_STACK;
    find_on_stack(w, w->stack, stack);
    if (at && stack <= w->limit) {
        uint64_t values[PRESERVED];

        for (unsigned i = 0; i < PRESERVED; i++)
            values[i] = _Unwind_GetGR(context, preserved[i]);
        find_in_registers(w, values, PRESERVED);
    }
    w->stack = stack;
    if (at == ND_CRASH_FRAMES)
        return w->n && !told->found ? _URC_NO_REASON : _URC_END_OF_STACK;
    told->frame[at] = ip;
    atomic_store(&told->frames, at + 1);
    return _URC_NO_REASON;
}

/* What an NF's loop that has come to its end leaves in a register is the last packet of its list. */
static bool is_last(const struct walking *w, uint32_t found)
{
    unsigned at = (unsigned)__builtin_ctz(found);

    for (uint32_t i = at + 1; i < w->n; i++)
        if (w->packets[i].side == w->packets[at].side && !w->packets[i].drop)
            return false;
    return true;
}

/* Fills frames, words and found of `told`, by its registers. `mark` NULL: it is no lane. What it follows may
 * lead to memory that there is not: then the fault ends it, and what it has written stands. */
static void walk(struct nd_crash_told *told, const struct nf_mark *mark)
{
    uint64_t stack = told->reg[ND_CRASH_REGISTERS - 2];
    bool from_stack;
    struct walking w = {.told = told,
                        .begin = told->reg[ND_CRASH_REGISTERS - 1],
                        .lowest = told->overflow ? stack + GUARD_BYTES : stack,
                        .stack = stack};

    if (mark && atomic_load(&mark->n) <= FT_BURST_MAX) {
        w.packets = atomic_load(&mark->packets);
        w.n = nf_doing_has_packets(atomic_load(&mark->doing)) ? atomic_load(&mark->n) : 0;
        w.list = (uint64_t)(uintptr_t)atomic_load(&mark->list);
        w.limit = atomic_load(&mark->stack);
    }
    uint32_t ends = w.n ? atomic_load(&mark->ends) : 0;

    if (ends && ends <= w.n)
        told->found = 1u << (ends - 1);
    if (w.n == 1)
        told->found = 1;
    find_in_registers(&w, told->reg, ND_CRASH_REGISTERS - 2);
    for (uint64_t at = w.lowest; at + 8 <= w.limit && told->words < ND_CRASH_WORDS; at += 8)
        told->word[told->words++] = *(const uint64_t *)(uintptr_t)at;
    _Unwind_Backtrace(see_frame, &w); /* what is behind it may never be reached */
    find_on_stack(&w, w.limit - OUTERMOST, w.limit);
    from_stack = !told->found;
    if (from_stack)
        told->found = w.on_stack;
    told->doubtful = __builtin_popcount(told->found) == 1 && w.n > 1 && !ends &&
                     atomic_load(&mark->doing) == NF_DOING_PACKETS &&
                     (from_stack || is_last(&w, told->found));
}

static _Unwind_Reason_Code see_nothing(struct _Unwind_Context *context, void *arg)
{
    (void)context;
    (void)arg;
    return _URC_NO_REASON;
}

/* ---- the burst ---- */

/* The present burst's, if it was captured. */
static const struct ft_record *present_record(const struct nd_crash_told *told, const struct nf_mark *mark)
{
    const struct ft_record *r =
        told->lane < 0 ? NULL : nd_crash_record(&node.shared[told->lane], atomic_load(&mark->burst));

    return r && r->inputs == atomic_load(&mark->n) && !(r->flags & FT_REC_BY_SEQ) ? r : NULL;
}

/* Its packets are to be identified by their sessions, and no NF has got one: the frames are as they came in
 * (lane/turn.c). */
static bool is_only_begun(const struct ft_record *r)
{
    return r->inputs && !r->bytes;
}

/* Of some frame nothing behind its beginning was kept, or its session alone. */
static bool lacks_frames(const struct ft_record *r)
{
    for (uint32_t i = 0; i < r->inputs; i++)
        if (ft_record_inputs(r)[i].flags & FT_IN_SESSION ||
            (ft_record_inputs(r)[i].taken == FT_FINGERPRINT_BYTES &&
             ft_record_inputs(r)[i].wire > FT_FINGERPRINT_BYTES))
            return true;
    return is_only_begun(r);
}

/* What NFs that read no more than flows may have changed of an IPv4 packet, and fingerprints are made of, is
 * as its session has it. */
static void put_ends_back(const struct nf_packet *p, uint8_t *frame, uint32_t have)
{
    uint32_t ip = p->l3, l4 = p->l4;
    const struct nf_tuple *key;

    if (!p->session || !(p->flags & NF_P_IPV4) || l4 < ip + 20 || l4 + 4 > have)
        return;
    key = &p->session->key[p->flow & NF_FLOW_REPLY];
    memcpy(frame + ip + 12, &key->saddr, 4);
    memcpy(frame + ip + 16, &key->daddr, 4);
    memcpy(frame + l4, &key->sport, 2);
    memcpy(frame + l4 + 2, &key->dport, 2);
    memset(frame + ip + 10, 0, 2);
    memcpy(frame + ip + 10, &(uint16_t){nf_checksum(frame + ip, 20)}, 2);
}

/* Input i of the burst as it came in, of which `room` bytes at most: as captured, and behind that as it lies
 * now. *taken: how much of it the capture has, or would have. Returns the bytes that are there. */
static uint32_t copy_input(const struct ft_record *r, const struct nf_packet *packets, uint32_t i,
                           const uint8_t *captured, uint8_t *out, uint32_t room, uint32_t *taken)
{
    const struct ft_input *in = ft_record_inputs(r) + i;
    struct nf_packet p = packets[i];
    uint32_t have = p.have < room ? p.have : room;

    memcpy(out, p.data, have);
    if (is_only_begun(r) || in->flags & FT_IN_SESSION) {
        if (!is_only_begun(r))
            put_ends_back(&p, out, have);
        p.data = out;
        p.have = have;
        nf_packet_parse(&p);
        *taken = nf_packet_header_bytes(&p);
    } else {
        memcpy(out, captured, in->taken < have ? in->taken : have);
        *taken = in->taken;
    }
    return have;
}

static void keep_frames(struct nd_crash_told *told, const struct nf_mark *mark)
{
    const struct nf_packet *packets = atomic_load(&mark->packets);
    const struct ft_record *r = present_record(told, mark);
    const uint8_t *came = r ? (const uint8_t *)r + ft_record_bytes_at(r) : NULL;
    uint32_t n = atomic_load(&mark->n), taken;

    told->begun = r && lacks_frames(r);
    told->captured = r && !told->begun;
    for (uint32_t i = 0; i < n && n <= FT_BURST_MAX && !told->captured; i++) {
        struct nd_crash_frame *f = &told->packet[i];

        f->wire = packets[i].len;
        f->have = packets[i].have < ND_CRASH_BYTES ? packets[i].have : ND_CRASH_BYTES;
        f->port = packets[i].in_port;
        if (r)
            copy_input(r, packets, i, came, f->bytes, ND_CRASH_BYTES, &taken);
        else
            memcpy(f->bytes, packets[i].data, f->have);
        if (r && !is_only_begun(r))
            came += ft_record_inputs(r)[i].taken;
        told->n = i + 1;
    }
}

/* ---- the description ---- */

static void describe_thread(struct nd_crash_told *told, const siginfo_t *info, const ucontext_t *context)
{
    const char *text = ft_log_last_words();

    told->thread = (int)syscall(SYS_gettid);
    prctl(PR_GET_NAME, told->name);
    /* The processor does not report an address that is not canonical. */
    told->located = info->si_code > 0 && info->si_code != SI_KERNEL;
    told->address = told->located ? (uint64_t)(uintptr_t)info->si_addr : 0;
    told->overflow = self.lowest && told->located && told->address + GUARD_BYTES >= self.lowest &&
                     told->address < self.lowest + GUARD_BYTES;
    for (unsigned i = 0; i < ND_CRASH_REGISTERS; i++)
        told->reg[i] = (uint64_t)context->uc_mcontext.gregs[i];
    memcpy(told->text, text, strnlen(text, sizeof(told->text) - 1));
}

static void copy_name(char out[FT_CRASH_NAME], const char *name)
{
    memset(out, 0, FT_CRASH_NAME);
    memcpy(out, name, strnlen(name, FT_CRASH_NAME - 1));
}

/* Of the inputs that lie whole in the burst's record, or need not. Returns how many. */
static uint32_t describe_inputs(const struct ft_record *r, const struct nf_packet *packets,
                                struct ft_fingerprint all[FT_BURST_MAX])
{
    const uint8_t *bytes = (const uint8_t *)r + ft_record_bytes_at(r);
    uint32_t left_over = r->bytes, taken = 0;
    uint8_t frame[FT_FINGERPRINT_BYTES];

    for (uint32_t i = 0; i < r->inputs; i++) {
        const struct ft_input *in = ft_record_inputs(r) + i;

        if (is_only_begun(r) || in->flags & FT_IN_SESSION) {
            uint32_t have = copy_input(r, packets, i, bytes, frame, sizeof(frame), &taken);

            all[i] = nd_fingerprint(frame, taken < have ? taken : have, packets[i].len);
            if (is_only_begun(r))
                continue;
        }
        if (in->taken > left_over)
            return i;
        left_over -= in->taken;
        if (!(in->flags & FT_IN_SESSION))
            all[i] = nd_fingerprint(bytes, in->taken, in->wire);
        bytes += in->taken;
    }
    return r->inputs;
}

static void add_packets(struct ft_crash_notice *notice, const struct ft_fingerprint all[], uint32_t n,
                        uint32_t wanted, enum ft_suspicion suspect)
{
    for (uint32_t i = 0; i < n; i++)
        if (wanted >> i & 1 && notice->fingerprints < FT_CRASH_FINGERPRINTS) {
            notice->fingerprint[notice->fingerprints] = all[i];
            notice->fingerprint[notice->fingerprints++].suspect = suspect;
        }
}

/* Bits of the inputs that NFs got. */
static uint32_t passing(const struct ft_record *r)
{
    uint32_t bits = UINT32_MAX >> (32 - r->inputs);

    for (uint32_t i = 0; i < r->inputs && !is_only_begun(r); i++)
        bits &= ~((uint32_t) !!(ft_record_inputs(r)[i].flags & FT_IN_ASIDE) << i);
    return bits;
}

/* The bit of the suspect that passed in the burst with what is not suspected; 0: there is none. */
static uint32_t judged(const struct ft_fingerprint all[], uint32_t n, uint32_t bits)
{
    for (uint32_t i = 0; i < n; i++)
        if (bits >> i & 1 && nd_quarantine_is_judged(&node.page->quarantine, &all[i]))
            return 1u << i;
    return 0;
}

/* Those of the burst. The one that was found is known to kill, and so are those that are the same again on
 * other connections. Where several were found they are suspects; where none was, the whole burst is, but for
 * a burst with a suspect that was let pass: it was that. */
static void add_fingerprints(struct ft_crash_notice *notice, const struct nd_crash_told *told,
                             const struct nf_mark *mark, enum ft_suspicion suspect)
{
    const struct ft_record *r = present_record(told, mark);
    struct ft_fingerprint all[FT_BURST_MAX];
    uint32_t whole, found, known, n;

    if (!r || !r->inputs)
        return;
    whole = passing(r);
    found = told->found & whole;
    n = describe_inputs(r, atomic_load(&mark->packets), all);
    known = __builtin_popcount(found) == 1   ? found
            : __builtin_popcount(whole) == 1 ? whole
                                             : judged(all, n, found ? found : whole);
    if (suspect == FT_SUSPECT && !known)
        add_packets(notice, all, n, found ? found : whole, suspect);
    if (suspect == FT_BESIDE && known && told->doubtful)
        add_packets(notice, all, n, whole & ~known, suspect);
    if (suspect != FT_KILLED)
        return;
    add_packets(notice, all, n, known, suspect);
    for (uint32_t i = 0; i < n && notice->fingerprints < FT_CRASH_COPIES; i++)
        if (nd_fingerprint_is_another(notice->fingerprint, notice->fingerprints, &all[i]))
            add_packets(notice, all, n, 1u << i, suspect);
}

/* Takes the place of one that was made before. */
static void publish_notice(const struct ft_crash_notice *notice)
{
    uint8_t bytes[FT_CRASH_BYTES];
    size_t len = ft_crash_notice_encode(notice, &node.key, bytes);

    memcpy(node.page->notice, bytes, len);
    atomic_store_explicit(&node.page->notice_len, (uint32_t)len, memory_order_release);
}

/* Of the page alone, so that nothing that a crash may have overwritten is followed. */
static void describe_place(struct nd_crash_told *told, const struct nf_mark *mark)
{
    struct ft_crash_notice *notice = &told->notice;

    memset(notice, 0, sizeof(*notice));
    notice->signal = (uint32_t)told->number;
    notice->hung = told->hangs;
    notice->lane = told->lane < 0 ? FT_CRASH_NO_LANE : (uint32_t)told->lane;
    if (mark) {
        uint32_t nf = atomic_load(&mark->nf);

        notice->burst = atomic_load(&mark->burst);
        notice->doing = atomic_load(&mark->doing);
        if (notice->doing != NF_DOING_NOTHING && nf < FT_NFS_MAX)
            copy_name(notice->nf, node.page->nf[nf]);
    }
    nd_quarantine_add_all(&node.page->quarantine, notice);
    publish_notice(notice);
}

/* What its peer is not to take in: what is known to kill, then what is suspected, then what was beside the
 * killer, as far as there is room. */
static void describe_packets(struct nd_crash_told *told, const struct nf_mark *mark)
{
    const struct nd_quarantine *q = &node.page->quarantine;
    struct ft_crash_notice notice = told->notice;
    bool alone;

    notice.fingerprints = 0;
    notice.packet = __builtin_popcount(told->found) == 1 ? (uint32_t)__builtin_ctz(told->found) + 1 : 0;
    if (!mark || !nf_doing_has_packets(notice.doing))
        mark = NULL;
    if (mark)
        add_fingerprints(&notice, told, mark, FT_KILLED);
    /* One of those that this node suspected: the others did not kill before. */
    alone = notice.fingerprints && nd_quarantine_is_judged(q, &notice.fingerprint[0]);
    if (alone) {
        notice.fingerprint[0].suspect = FT_KILLED_ALONE;
        nd_quarantine_add(q, &notice, ND_ADD_SAME);
    }
    nd_quarantine_add(q, &notice, ND_ADD_KNOWN);
    if (mark)
        add_fingerprints(&notice, told, mark, FT_SUSPECT);
    if (!alone)
        nd_quarantine_add(q, &notice, ND_ADD_SUSPECTS);
    nd_quarantine_add(q, &notice, ND_ADD_REST);
    if (mark)
        add_fingerprints(&notice, told, mark, FT_BESIDE);
    if (!alone)
        nd_quarantine_add(q, &notice, ND_ADD_BESIDE);
    else /* it is the cause that was looked for, and no second one */
        copy_name(notice.before, "");
    told->notice = notice;
    publish_notice(&told->notice);
}

static void attempt(void (*step)(struct nd_crash_told *told, const struct nf_mark *mark),
                    struct nd_crash_told *told, const struct nf_mark *mark)
{
    if (sigsetjmp(left, 1) == 0) {
        atomic_store(&trying, told->thread);
        step(told, mark);
    }
    atomic_store(&trying, 0);
}

/* The peer has its notice before anything is followed that a crash may have overwritten. */
static void describe(struct nd_crash_told *told, const siginfo_t *info, const ucontext_t *context)
{
    const struct nf_mark *mark;

    describe_thread(told, info, context);
    mark = told->lane < 0 ? NULL : &node.page->lane[told->lane].mark;
    describe_place(told, mark);
    attempt(describe_packets, told, mark);
    attempt(walk, told, self.lane - 1 == told->lane ? mark : NULL); /* the stack is this thread's */
    attempt(describe_packets, told, mark);
    if (mark)
        attempt(keep_frames, told, mark);
    told->took = ft_now() - told->monotonic;
    atomic_store(&told->whole, true);
}

/* ---- the signal ---- */

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){0, (long)ms * 1000000}, NULL);
}

/* The lane that has stood the longest; -1: all go on. */
static int find_hanging(uint64_t now)
{
    uint64_t oldest = now - HANGS_NS;
    int found = -1;

    for (unsigned l = 0; l < node.lanes; l++) {
        uint64_t turn = atomic_load_explicit(&node.shared[l].count.turn_ns, memory_order_relaxed);

        if (!turn || turn > oldest || !atomic_load(&node.page->lane[l].thread))
            continue;
        oldest = turn;
        found = (int)l;
    }
    return found;
}

/* True: nobody else writes the description. */
static bool claim_description(struct nd_crash_told *told, int thread)
{
    int nobody = 0;

    return atomic_compare_exchange_strong(&told->teller, &nobody, thread);
}

/* True: the lane that hangs writes the description, or has. Where it does not answer it is named all the
 * same. */
static bool ask_hanging(struct nd_crash_told *told, int number)
{
    int lane = atomic_load(&hangs) ? atomic_load(&hangs) - 1 : find_hanging(told->monotonic);
    int thread = lane < 0 ? 0 : atomic_load(&node.page->lane[lane].thread);

    if (!thread || thread == (int)syscall(SYS_gettid))
        return false;
    told->hangs = true;
    atomic_store(&told->asked, thread);
    if (syscall(SYS_tgkill, getpid(), thread, number) == 0)
        for (unsigned i = 0; i < ANSWER_MS * 10 && !atomic_load(&told->answered); i++)
            nanosleep(&(struct timespec){0, 100000}, NULL);
    if (!claim_description(told, (int)syscall(SYS_gettid))) {
        while (!atomic_load(&told->answered)) /* it is at it */
            nanosleep(&(struct timespec){0, 100000}, NULL);
        return true;
    }
    told->lane = lane;
    return false;
}

/* The default action: at the same instruction where the fault comes again by itself. */
static void die(int number, const siginfo_t *info)
{
    signal(number, SIG_DFL);
    if (info->si_code <= 0 || number == SIGTRAP || number == SIGSYS)
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
}

static void on_fatal(int number, siginfo_t *info, void *context)
{
    const struct itimerval most = {.it_value.tv_usec = HANDLER_MS * 1000};
    struct nd_crash_told *told = &node.page->told;
    int me = (int)syscall(SYS_gettid), nobody = 0;
    bool sent = info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL;

    if (getpid() != node.process) {
        die(number, info);
        return;
    }
    if (atomic_load(&trying) == me)
        siglongjmp(left, 1);
    if (atomic_load(&told->asked) == me && claim_description(told, me)) {
        told->lane = self.lane - 1;
        describe(told, info, context);
        atomic_store(&told->answered, 1);
    }
    if (!atomic_compare_exchange_strong(&told->owner, &nobody, me)) {
        while (nobody != me) /* it is another's to end the process */
            pause_ms(HANDLER_MS);
        die(number, info); /* the handler itself came to grief, or asked itself */
        return;
    }
    setitimer(ITIMER_REAL, &most, NULL);
    told->number = number;
    told->code = info->si_code;
    told->sender = sent && info->si_pid != getpid() ? info->si_pid : 0;
    told->wall = ft_wall();
    told->monotonic = ft_now();
    told->lane = self.lane - 1;
    if (!sent || (info->si_pid == getpid() && !atomic_load(&hangs)) || !ask_hanging(told, number))
        describe(told, info, context);
    die(number, info);
}

static void free_stack(void *stack)
{
    sigaltstack(&(const stack_t){.ss_flags = SS_DISABLE}, NULL);
    munmap(stack, STACK_BYTES);
}

static void begin_thread(void)
{
    nd_crash_thread(self.lane - 1);
}

/* A lane does not end the process; what an NF calls may, a library as well. That is reported as a crash. */
static void on_exit_of_lane(void)
{
    if (self.lane && getpid() == node.process)
        abort();
}

void nd_crash_catch(struct nd_crash_page *page, const struct ft_lane_shared *shared, unsigned lanes,
                    const struct ft_datagram_key *key)
{
    struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    node.page = page;
    node.shared = shared;
    node.lanes = lanes;
    node.key = *key;
    node.process = getpid();
    _Unwind_Backtrace(see_nothing, NULL); /* what is found and made at a first use is found now */
    pthread_key_create(&node.stack, free_stack);
    signal(SIGALRM, SIG_DFL);
    sigfillset(&action.sa_mask);
    sigdelset(&action.sa_mask, SIGALRM);
    sigdelset(&action.sa_mask,
              SIGSEGV); /* a step that faults is left, also in the handler of the same signal */
    sigdelset(&action.sa_mask, SIGBUS);
    for (unsigned i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        sigaction(fatal[i], &action, NULL);
    atexit(on_exit_of_lane);
    at_quick_exit(on_exit_of_lane);
    begin_thread();
    ft_thread_begins = begin_thread;
}

void nd_crash_thread(int lane)
{
    stack_t stack = {.ss_size = STACK_BYTES};
    pthread_attr_t attr;
    clockid_t clock;
    void *lowest;
    size_t size;

    if (!node.page) /* nobody wants to know */
        return;
    self.lane = lane + 1;
    if (lane >= 0 && pthread_getcpuclockid(pthread_self(), &clock) == 0) {
        atomic_store(&node.page->lane[lane].clock, clock);
        atomic_store(&node.page->lane[lane].thread, (int)syscall(SYS_gettid));
    }
    if (pthread_getspecific(node.stack)) /* it has begun before */
        return;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        if (pthread_attr_getstack(&attr, &lowest, &size) == 0)
            self.lowest = (uint64_t)(uintptr_t)lowest;
        pthread_attr_destroy(&attr);
    }
    /* Without a stack for the handler, an overflow shows only by the missing description. */
    stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return;
    sigaltstack(&stack, NULL);
    pthread_setspecific(node.stack, stack.ss_sp);
}

/* ---- lanes that hang ---- */

#define HANG_LOOK_MS 100u

/* What is seen of a lane. */
struct hang_look {
    uint32_t doing, nf;   /* of its mark; NF_DOING_NOTHING: it is in no call */
    uint64_t burst, turn; /* the call is the same one while all four are */
    uint64_t used;        /* processor time of its thread, ns */
    bool waits;           /* for another lane */
    bool sleeps;          /* it waits for something that is neither a processor nor the kernel's own work */
    uint64_t given; /* to this process since the call was first seen asleep, ns (understudy/base/given.h) */
};

/* What is known of a lane from look to look; all zero at first. */
struct hang {
    struct hang_look last;
    uint64_t from;  /* `used` when the call was first seen, or last waited */
    uint32_t slept; /* looks that found the call asleep, with or without work in between */
    uint32_t looks; /* that saw the call, the first one included */
};

/* Those that see a call after the first, before its processor time counts. */
#define LOOKS 4u

/* Nothing that an NF does with a burst takes a thousandth of it. Commands read rules, and write tables; so
 * does who makes or checks an NF. */
static const struct limit {
    uint64_t used;  /* ns */
    uint32_t slept; /* looks */
} of_call = {500000000ull, 3000 / HANG_LOOK_MS}, of_command = {10000000000ull, 30000 / HANG_LOOK_MS};

static const struct limit *limit(uint32_t doing)
{
    return doing >= NF_DOING_SHOW ? &of_command : &of_call;
}

static bool same_call(const struct hang_look *a, const struct hang_look *b)
{
    return a->doing == b->doing && a->nf == b->nf && a->burst == b->burst && a->turn == b->turn;
}

/* True: the lane hangs. */
static bool judge_hang(struct hang *hang, const struct hang_look *look)
{
    const struct limit *most = limit(look->doing);

    if (look->doing == NF_DOING_NOTHING || look->waits || !same_call(&hang->last, look)) {
        hang->from = look->used;
        hang->slept = hang->looks = 0;
    } else {
        hang->slept += look->sleeps;
    }
    hang->last = *look;
    hang->looks++; /* this one, too */
    return (hang->looks > LOOKS && look->used - hang->from >= most->used) ||
           (hang->slept >= most->slept && look->given >= (most->slept - 1) * HANG_LOOK_MS * 1000000ull);
}

/* The state of a thread of this process, a letter, is behind its name, which may have anything in it. One
 * that sleeps in the kernel's own work (D) waits for memory or a disk. */
static bool thread_sleeps(int thread)
{
    char path[64], text[256];
    const char *end;
    ssize_t len;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    end = strrchr(text, ')');
    return end && end[1] == ' ' && end[2] == 'S';
}

/* False: the lane has not begun. A thread that has ended in the midst of a call stands there for good. */
static bool look_at(const struct nd_hang_watch *watch, unsigned lane, const struct hang *hang,
                    struct nd_given *given, struct hang_look *look)
{
    const struct nf_mark *mark = &watch->page->lane[lane].mark;
    int thread = atomic_load(&watch->page->lane[lane].thread);
    struct timespec used;

    if (!thread)
        return false;
    bool ended = clock_gettime(atomic_load(&watch->page->lane[lane].clock), &used) != 0;

    *look = (struct hang_look){
        .doing = atomic_load(&mark->doing),
        .nf = atomic_load(&mark->nf),
        .burst = atomic_load(&mark->burst),
        .turn = atomic_load(&watch->shared[lane].count.turn_ns),
        .used = ended ? UINT64_MAX : (uint64_t)used.tv_sec * 1000000000ull + (uint64_t)used.tv_nsec,
        .waits = ft_wait_is_on(&watch->published[lane]) || atomic_load(&watch->published[lane].locked_out)};
    /* The file is asked only of a call that stands. */
    bool stands = look->doing != NF_DOING_NOTHING && same_call(look, &hang->last);

    look->sleeps = stands && thread_sleeps(thread);
    if (!stands)
        given->ns = given->at = 0;
    else if (look->sleeps || given->at)
        look->given = nd_given_look(given, &(pid_t){getpid()}, 1);
    return true;
}

/* Ends the process, since the lane hangs: that lane describes where, if it comes to it. */
static _Noreturn void end_hanging(int lane)
{
    atomic_store(&hangs, lane + 1);
    for (;;) { /* the first one ends the process; the handler takes HANDLER_MS at most */
        syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), SIGABRT);
        pause_ms(HANDLER_MS);
        kill(getpid(), SIGKILL);
    }
}

void nd_hang_run(const struct nd_hang_watch *watch)
{
    struct hang hang[FT_LANES_MAX] = {0};
    struct nd_given given[FT_LANES_MAX] = {0};
    struct hang_look look;

    while (!atomic_load(&watch->stop)) {
        for (unsigned l = 0; l < watch->lanes; l++)
            if (look_at(watch, l, &hang[l], &given[l], &look) && judge_hang(&hang[l], &look))
                end_hanging((int)l);
        nanosleep(&(struct timespec){0, HANG_LOOK_MS * 1000000l}, NULL);
    }
}
