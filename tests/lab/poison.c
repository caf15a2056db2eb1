/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poison: an NF for tests, which dies or hangs of a packet by a word in the payload of TCP or UDP. Built by
 * poison.t, hung.t and on-crash.t against build/include, as a module from outside the tree.
 *
 *     KILL-KNOWN     a fault at the packet's own bytes: registers point to it
 *     KILL-UNKNOWN   a fault with neither registers nor a stack, as where they were overwritten
 *     SPINNER        it never comes to an end
 *     SLEEPER        it sleeps for ever
 *     DOZER          it does, and wakes for a moment each millisecond
 *     TIMER-BOMB     its state is such that its timers fault, each time that they run
 *     TIMER-FUSE     they run, a millisecond later, if its state is such
 */
#include "nflib/nf.h"

#include <string.h>
#include <unistd.h>

struct poison {
    uint64_t packets;
    uint64_t armed;
};

enum { POISON_SEEN };
static const char *const poison_counters[] = {"seen", NULL};

static bool has(const struct nf_packet *p, const char *word)
{
    uint32_t n = (uint32_t)strlen(word), end = p->l4 + (uint32_t)p->l4_len;

    if (!(p->flags & NF_P_L4) || (p->proto != NF_PROTO_TCP && p->proto != NF_PROTO_UDP))
        return false;
    for (uint32_t at = p->payload; at + n <= end && at + n <= p->have; at++)
        if (memcmp(p->data + at, word, n) == 0)
            return true;
    return false;
}

static __attribute__((noinline)) void die_at(const struct nf_packet *p)
{
    const uint8_t *volatile nowhere = NULL;

    *(volatile uint8_t *)p->data = nowhere[p->len & 1];
}

/* Whatever calls it is gone. */
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

static void poison_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct poison *state = nf->state;

    for (uint32_t i = 0; i < n; i++) {
        if (has(packets[i], "KILL-KNOWN"))
            die_at(packets[i]);
        if (has(packets[i], "KILL-UNKNOWN"))
            die_without_traces();
        while (has(packets[i], "SPINNER"))
            ;
        while (has(packets[i], "SLEEPER"))
            pause();
        while (has(packets[i], "DOZER"))
            usleep(1000);
        if (has(packets[i], "TIMER-BOMB"))
            *NF_EDIT_WORD(nf, &state->armed) = 1;
        if (has(packets[i], "TIMER-FUSE") && state->armed)
            nf_wake(nf, now + 1000000);
        *NF_EDIT_WORD(nf, &state->packets) = state->packets + 1;
    }
    nf_count(nf, POISON_SEEN, n);
}

static void poison_timers(struct nf *nf, uint64_t now)
{
    const struct poison *state = nf->state;
    const uint64_t *volatile nowhere = NULL;

    if (state->armed)
        *NF_EDIT_WORD(nf, &state->packets) = now + *nowhere;
}

static const struct nf_param poison_params[] = {{0}};

static const struct nf_module poison = {
    .name = "poison",
    .summary = "for tests: dies of packets with a word in them",
    .reads = NF_READS_PAYLOAD,
    .params = poison_params,
    .counters = poison_counters,
    .state_size = sizeof(struct poison),
    .process = poison_process,
    .timers = poison_timers,
};
NF_MODULE(poison)
