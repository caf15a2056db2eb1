/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crasher: an NF that dies of a packet, in the way that its UDP port says, from CRASHER_PORT on; and of an
 * operator's command. For the tests of what a crash tells of itself. Lab tests
 * build it as a module of its own, so it includes nflib/nf.h alone.
 */
#define _GNU_SOURCE /* memfd_create */
#include "nflib/nf.h"

#include "ftcore/base/check.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CRASHER_PORT 6660u
#define CRASHER_FROM 3000u /* to 3099, of a segment: a download's may come to such a port as well */
#define REWRITES     20u   /* a division behind a change of the packet */

struct crasher {
    uint64_t packets;
    uint64_t in_timers, in_show;
};

enum crasher_counter { CRASHER_SEEN, CRASHER_DROPPED };
static const char *const crasher_counters[] = {"seen", "dropped", NULL};

#define sink (*(volatile uint64_t[1]){0}) /* a value that the compiler must make, and nobody keeps */

/* 0, which the compiler does not know. */
static inline int hidden_zero(void)
{
    int value;

    __asm__ volatile("xorl %0, %0" : "=r"(value));
    return value;
}
#define zero hidden_zero()

/* The address of a function, which the compiler does not know either. */
static inline uintptr_t hidden_code(void)
{
    uintptr_t address = (uintptr_t)hidden_zero;

    __asm__ volatile("" : "+r"(address));
    return address;
}

static __attribute__((noinline)) void overflow_stack(const struct nf_packet *p, uint64_t depth)
{
    volatile char room[512];

    room[depth % sizeof(room)] = (char)depth;
    if (depth < UINT64_MAX)
        overflow_stack(p, depth + 1);
    sink += (uint64_t)room[0] + p->len;
}

static __attribute__((noinline)) void read_deep(const uint8_t *bytes, unsigned depth)
{
    if (depth)
        read_deep(bytes, depth - 1);
    else
        sink = *(const volatile uint64_t *)(uintptr_t)(bytes[0] & zero);
    sink += bytes[1];
}

static __attribute__((noinline)) void corrupt_heap(void)
{
    char *volatile p = malloc(24);

    free(p);
    free(p);
}

static __attribute__((noinline)) void touch_nothing_behind_a_file(void)
{
    int fd = memfd_create("crasher", 0);
    volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

    sink = (uint64_t)p[0];
}

#define NOWHERE 0x414141410000ull /* no memory there, as behind a pointer that was overwritten */

/* As from a function whose return address was overwritten. */
static __attribute__((noinline)) void return_to_nowhere(const struct nf_packet *p)
{
    __asm__ volatile("pushq %0\n\tret" : : "r"(NOWHERE), "r"(p));
}

/* What lies behind a chunk too large for the thread's cache is another chunk's size, which free() looks at.
 */
static __attribute__((noinline)) void overrun_heap(void)
{
    volatile char *volatile p = malloc(2000);
    size_t end = malloc_usable_size((void *)p);

    for (size_t i = end - 8; i < end + 8; i++)
        p[i] = -1;
    free((void *)p);
}

/* So much that it is given back to the kernel at once. */
static __attribute__((noinline)) void use_freed_memory(void)
{
    char *volatile p = malloc(40u << 20);

    *p = 1;
    free(p);
    sink = (uint64_t)*p;
}

/* Neither registers nor a stack are left, as where they were overwritten. */
static __attribute__((noinline, noreturn)) void die_without_traces(void)
{
    __asm__ volatile("xorl %%eax, %%eax\n\txorl %%ebx, %%ebx\n\txorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\t"
                     "xorl %%esi, %%esi\n\txorl %%edi, %%edi\n\txorl %%r8d, %%r8d\n\txorl %%r9d, %%r9d\n\t"
                     "xorl %%r10d, %%r10d\n\txorl %%r11d, %%r11d\n\txorl %%r12d, %%r12d\n\t"
                     "xorl %%r13d, %%r13d\n\txorl %%r14d, %%r14d\n\txorl %%r15d, %%r15d\n\t"
                     "xorl %%ebp, %%ebp\n\txorl %%esp, %%esp\n\tud2" ::
                         : "memory");
    __builtin_unreachable();
}

static void die_further(struct nf *nf, struct nf_packet *p, unsigned how, uint64_t now)
{
    const struct crasher *state = nf->state;

    switch (how) {
    case 13: /* out of memory, unnoticed */
        *(volatile char *)malloc(SIZE_MAX / 4) = 1;
        break;
    case 14: /* a pointer made of the packet's bytes */
        sink = *(volatile uint64_t *)(uintptr_t)(0xdead000000000000ull | p->len);
        break;
    case 15: /* what may not be written */
        *(volatile char *)(uintptr_t)crasher_counters[0] = 1;
        break;
    case 16:
        syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid),
                SIGSYS); /* a module may not take raise */
        break;
    case 17:
        __asm__ volatile("int3");
        break;
    case 18:
        ((void (*)(const struct nf_packet *))(uintptr_t)(NOWHERE + (unsigned)zero))(p);
        break;
    case 19:
        return return_to_nowhere(p);
    case REWRITES:
        sink = p->len / (unsigned)zero;
        break;
    case 21:
        return overrun_heap();
    case 22: /* a vector that is not aligned */
        __asm__ volatile("movaps (%0), %%xmm0" ::"r"((uintptr_t)state | 1) : "xmm0");
        break;
    case 23:
        return use_freed_memory();
    case 24: /* code */
        *(volatile char *)hidden_code() = 1;
        break;
    case 25: /* behind the region */
        ((volatile uint8_t *)nf->region->base)[nf->region->size] = 1;
        break;
    case 26: /* when its session ends: behind the NFs, since nothing of it passes */
        nf_session_join(nf, p, now);
        nf_drop(nf, p, CRASHER_DROPPED);
        break;
    case 27:
        die_without_traces();
    default:
        break;
    }
}

static void die(struct nf *nf, struct nf_packet *p, unsigned how, uint64_t now)
{
    const struct crasher *state = nf->state;

    switch (how) {
    case 0: /* null */
        *(volatile uint32_t *)(uintptr_t)zero = p->len;
        break;
    case 1: /* the stack */
        return overflow_stack(p, 0);
    case 2:
        abort();
    case 3:
        FT_CHECK(zero, "port %u of a packet of %u bytes", how, p->len);
        break;
    case 4: /* division */
        sink = p->len / (unsigned)zero;
        break;
    case 5: /* endless */
        while (!zero)
            sink++;
        break;
    case 6:
        return corrupt_heap();
    case 7: /* a call of nothing */
        ((void (*)(const struct nf_packet *))(uintptr_t)zero)(p);
        break;
    case 8: /* in its timers, at once */
        NF_EDIT(nf, state)->in_timers = 1;
        nf_wake(nf, now + 1);
        break;
    case 9:
        return touch_nothing_behind_a_file();
    case 10:
        __builtin_trap();
    case 11: /* some calls down, with the bytes alone */
        read_deep(p->data, 20);
        break;
    case 12:                                              /* in the C library */
        memcpy((void *)(uintptr_t)zero, p->data, p->len); /* not `have`: replay has less of it */
        break;
    default:
        return die_further(nf, p, how, now);
    }
}

static void crasher_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct crasher *state = nf->state;

    FT_CHECK(!packets[n], "behind a list of %u packets lies one",
             n); /* which would be taken for the one that killed */
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        unsigned port = __builtin_bswap16(p->dport);

        if (port == CRASHER_PORT + REWRITES)
            nf_packet_set_saddr(p, 1);
        bool asked = p->proto == NF_PROTO_UDP ||
                     (p->proto == NF_PROTO_TCP && __builtin_bswap16(p->sport) / 100 == CRASHER_FROM / 100);

        if (p->flags & NF_P_L4 && asked && port >= CRASHER_PORT && port < CRASHER_PORT + 32)
            die(nf, p, port - CRASHER_PORT, now);
        *NF_EDIT_WORD(nf, &state->packets) = state->packets + 1;
    }
    nf_count(nf, CRASHER_SEEN, n);
}

static void crasher_timers(struct nf *nf, uint64_t now)
{
    const struct crasher *state = nf->state;

    (void)now;
    if (state->in_timers)
        *(volatile uint32_t *)(uintptr_t)zero = 1;
}

static bool crasher_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct crasher *state = nf->state;

    (void)cursor;
    if (state->in_show)
        sink = state->in_show / (unsigned)zero;
    nf_row(out);
    nf_row_u64(out, "packets", state->packets);
    return false;
}

static int crasher_set(struct nf *nf, const char *key, const char *value, uint64_t now,
                       struct ft_fault *fault)
{
    const struct crasher *state = nf->state;

    (void)now;
    if (strcmp(key, "die") != 0)
        return ft_fail(fault, FT_ENOENT, "%s: expected die", key);
    if (strcmp(value, "show") == 0)
        NF_EDIT(nf, state)->in_show = 1;
    else
        *(volatile uint32_t *)(uintptr_t)zero = 1;
    return 0;
}

static int crasher_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    (void)nf;
    (void)now;
    (void)fault;
    *(volatile char *)(uintptr_t)zero = key ? 1 : 2;
    return 0;
}

static void crasher_flows(const void *config, struct nf_flows_config *flows)
{
    (void)config;
    flows->max_flows = 16;
    nf_timeouts_fill(flows->timeouts, 60);
}

static void crasher_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why,
                                uint64_t now)
{
    (void)nf, (void)why, (void)now;
    *(volatile uint32_t *)(uintptr_t)zero = s->serial;
}

static const struct nf_param crasher_params[] = {{0}};

static const struct nf_module crasher = {
    .name = "crasher",
    .summary = "for tests: dies of packets and commands",
    .reads = NF_READS_HEADERS,
    .params = crasher_params,
    .counters = crasher_counters,
    .state_size = sizeof(struct crasher),
    .process = crasher_process,
    .timers = crasher_timers,
    .show = crasher_show,
    .set = crasher_set,
    .clear = crasher_clear,
    .session_size = 8,
    .flows = crasher_flows,
    .session_end = crasher_session_end,
};
NF_MODULE(crasher)
