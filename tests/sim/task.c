/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coroutines by a switch of stacks. Not ucontext: that makes a system call at every switch, and a seed has
 * tens of thousands of them.
 */
#define _GNU_SOURCE
#include "tests/sim/task.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "ftcore/base/check.h"
#include "nflib/chain/chain.h"

#include <stddef.h>
#include <sys/mman.h>

#define STACK_BYTES (512u << 10)
#define GUARD_BYTES 4096u
#define STACKS_KEPT 64u

struct sim_task *sim_running;

static void *world_sp;
static uint8_t *kept[STACKS_KEPT];
static unsigned kept_count;

void sim_switch(void **save, void *load);
__asm__(".text\n"
        ".type sim_switch,@function\n"
        "sim_switch:\n"
        "    push %rbp\n    push %rbx\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbx\n    pop %rbp\n"
        "    ret\n"
        ".size sim_switch,.-sim_switch\n");

static void first(void)
{
    struct sim_task *task = sim_running;

    task->entry(task->arg);
    task->ended = true;
    sim_task_leave();
    FT_CHECK(false, "a task that ended was resumed");
}

/* Whoever had it may have been killed in the middle of a call: what the sanitizer knows of that one's frames.
 */
static void forget(uint8_t *stack)
{
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
#endif
    (void)stack;
}

static uint8_t *new_stack(void)
{
    uint8_t *stack;

    if (kept_count) {
        stack = kept[--kept_count];
        forget(stack);
        return stack;
    }
    stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    FT_CHECK(stack != MAP_FAILED && mprotect(stack, GUARD_BYTES, PROT_NONE) == 0, "no memory for a stack");
    return stack;
}

void sim_task_begin(struct sim_task *task, void (*entry)(void *arg), void *arg)
{
    void **top;

    task->stack = new_stack();
    task->entry = entry;
    task->arg = arg;
    task->ended = task->again = task->polls = false;
    task->audit = (struct ft_audit_at){.inside = NULL};
    /* Six registers and where to return to; a function begins 8 bytes off a multiple of 16. */
    top = (void **)(void *)(task->stack + STACK_BYTES - 16);
    *--top = NULL;
    *--top = (void *)(uintptr_t)first;
    for (unsigned i = 0; i < 6; i++)
        *--top = NULL;
    task->sp = top;
}

void sim_task_free(struct sim_task *task)
{
    if (!task->stack)
        return;
    if (kept_count < STACKS_KEPT)
        kept[kept_count++] = task->stack;
    else
        munmap(task->stack, STACK_BYTES);
    task->stack = NULL;
}

void sim_task_run(struct sim_task *task)
{
    FT_CHECK(!sim_running && task->stack && !task->ended, "a task runs that cannot");
    sim_running = task;
    task->again = task->polls = false;
    ft_audit_here = task->audit;
    sim_switch(&world_sp, task->sp);
    task->audit = ft_audit_here;
    ft_audit_here = (struct ft_audit_at){.inside = NULL};
    sim_running = NULL;
}

void __real_nf_chain_abandon(struct nf_chain *chain);
void __wrap_nf_chain_abandon(struct nf_chain *chain);

/* A replay that is abandoned has jumped out of calls in the middle, and the sanitizer cannot know of which on
 * this stack. Below this call there are none. */
void __wrap_nf_chain_abandon(struct nf_chain *chain)
{
    __real_nf_chain_abandon(chain);
#ifdef __SANITIZE_ADDRESS__
    uint8_t *least = sim_running->stack + GUARD_BYTES, *here = __builtin_frame_address(0);

    __asan_unpoison_memory_region(least, (size_t)(here - least) - 256);
#endif
}

void sim_task_leave(void)
{
    sim_switch(&sim_running->sp, world_sp);
}
