/* SPDX-License-Identifier: Apache-2.0 */
/* The backtrace of a thread that dies, and the packet that it had; see walk.h. No state. */
#include "node/crash/walk.h"

#include <unwind.h>

#define WALK_MAX   2000u       /* frames that are looked at */
#define SCAN_MAX   (64u << 10) /* bytes of a frame that are looked at for packets */
#define OUTERMOST  1024u       /* and of what the chain called, when none was found on the way */
#define GUARD      (64u << 10) /* of a stack that has come to its end, which cannot be read */
#define LISTS      2048u       /* bytes of the chain's frames in which its lists lie */
#define LIKELY_MAX 4           /* packets that one frame points to; where more are, it has a list of them */

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
 * goes through a list. `stack`: where the chain's own frames begin, in which it has its lists. */
static __attribute__((no_sanitize_address)) uint32_t find_in_list(const struct nf_packet *packets, uint32_t n,
                                                                  uint64_t stack, uint64_t value)
{
    const uint64_t *place = (const uint64_t *)(uintptr_t)value;

    if (value % 8 || value < stack + 8 || value >= stack + LISTS || !find_struct(packets, n, place[-1]))
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

struct walk {
    struct nd_crash_told *told;
    const struct nf_packet *packets;
    uint32_t n;             /* 0: no packet is looked for */
    uint64_t limit;         /* the stack pointer of the chain: what is below it is the NF's */
    uint64_t begin;         /* the instruction at which frames count */
    uint64_t lowest, stack; /* the stack pointer of the innermost frame, and of the frame before */
    uint32_t seen;
    uint32_t on_stack; /* packets that words of the stack point to, which may be old */
    bool begun;
};

static void find_on_stack(struct walk *w, uint64_t from, uint64_t until)
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
static void find_in_registers(const struct walk *w, const uint64_t values[], unsigned count)
{
    uint32_t packet = 0, within = 0, listed = 0, found;

    if (!w->n || w->told->found)
        return;
    for (unsigned i = 0; i < count; i++) {
        packet |= find_struct(w->packets, w->n, values[i]);
        within |= find_packet(w->packets, w->n, values[i]);
        listed |= find_in_list(w->packets, w->n, w->limit, values[i]);
    }
    found = packet ? packet : within ? within : listed;
    w->told->found = found & listed ? found & listed : found;
}

static _Unwind_Reason_Code see_frame(struct _Unwind_Context *context, void *arg)
{
    struct walk *w = arg;
    struct nd_crash_told *told = w->told;
    uint64_t ip = _Unwind_GetIP(context), stack = _Unwind_GetCFA(context);
    uint32_t at = atomic_load(&told->frames);

    w->begun |= ip == w->begin;
    if (++w->seen == WALK_MAX)
        return _URC_END_OF_STACK;
    if (!w->begun)
        return _URC_NO_REASON;
    if (!ip) /* the end of what can be told */
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
static bool is_last(const struct walk *w, uint32_t found)
{
    unsigned at = (unsigned)__builtin_ctz(found);

    for (uint32_t i = at + 1; i < w->n; i++)
        if (w->packets[i].side == w->packets[at].side && !w->packets[i].drop)
            return false;
    return true;
}

void nd_crash_walk(struct nd_crash_told *told, const struct nf_mark *mark)
{
    uint64_t stack = told->reg[ND_CRASH_REGISTERS - 2];
    bool from_stack;
    struct walk w = {.told = told,
                     .begin = told->reg[ND_CRASH_REGISTERS - 1],
                     .lowest = told->overflow ? stack + GUARD : stack,
                     .stack = stack};

    if (mark && atomic_load(&mark->n) <= FT_BURST_MAX) {
        w.packets = atomic_load(&mark->packets);
        w.n = nf_doing_has_packets(atomic_load(&mark->doing)) ? atomic_load(&mark->n) : 0;
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

void nd_crash_walk_first(void)
{
    _Unwind_Backtrace(see_nothing, NULL);
}
