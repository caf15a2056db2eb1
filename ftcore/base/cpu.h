/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the product asks of a processor beyond C: x86-64 and 64-bit ARM. No other file asks which one it is.
 * There is no state.
 */
#ifndef FTCORE_BASE_CPU_H
#define FTCORE_BASE_CPU_H

#include <stdint.h>

#if defined(__x86_64__)
#include <emmintrin.h> /* SSE2 alone: with AVX-512's a file takes twice as long to compile */
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#error "expected x86-64 or 64-bit ARM"
#endif

/* In a loop that waits for another thread: the core's other thread runs meanwhile, and the core saves power.
 */
static inline void ft_pause(void)
{
#if defined(__x86_64__)
    _mm_pause();
#else
    __asm__ volatile("yield" ::: "memory");
#endif
}

/* Asks for a line that will be read. Not __builtin_prefetch: the compiler takes a function that does nothing
 * else for one without effect, and where it optimizes the program as one it leaves out the calls. */
static inline void ft_prefetch_line(const void *line)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetcht0 %0" : : "m"(*(const uint8_t *)line));
#else
    __asm__ volatile("prfm pldl1keep, %0" : : "Q"(*(const uint8_t *)line));
#endif
}

/* Of eight tags, aligned to 16 bytes, bit 2i: tag i is the wanted one. */
static inline uint32_t ft_match_tags(const uint16_t tags[8], uint16_t wanted)
{
#if defined(__x86_64__)
    __m128i all = _mm_load_si128((const __m128i *)(const void *)tags);

    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi16(all, _mm_set1_epi16((short)wanted))) & 0x5555u;
#else
    static const uint16_t bits[8] = {1, 1 << 2, 1 << 4, 1 << 6, 1 << 8, 1 << 10, 1 << 12, 1 << 14};

    return vaddvq_u16(vandq_u16(vceqq_u16(vld1q_u16(tags), vdupq_n_u16(wanted)), vld1q_u16(bits)));
#endif
}

/* The stack pointer of the function into which this is inlined. */
static inline __attribute__((always_inline)) uint64_t ft_stack_pointer(void)
{
    uint64_t stack;

#if defined(__x86_64__)
    __asm__("mov %%rsp, %0" : "=r"(stack));
#else
    __asm__("mov %0, sp" : "=r"(stack));
#endif
    return stack;
}

/* Sets to 0 the registers that an optimized function leaves to those that it calls, so that what is in them
 * then is theirs. Not with sanitizers or clang, which may keep the frame's address in any of them. */
static inline __attribute__((always_inline)) void ft_clear_registers(void)
{
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#if defined(__x86_64__)
    __asm__ volatile("xor %%ebx, %%ebx; xor %%ebp, %%ebp; xor %%r8d, %%r8d; xor %%r9d, %%r9d;"
                     "xor %%r10d, %%r10d; xor %%r11d, %%r11d; xor %%r12d, %%r12d; xor %%r13d, %%r13d;"
                     "xor %%r14d, %%r14d; xor %%r15d, %%r15d" ::
                         : "rbx", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc");
#else
    __asm__ volatile("mov x19, 0; mov x20, 0; mov x21, 0; mov x22, 0; mov x23, 0; mov x24, 0; mov x25, 0;"
                     "mov x26, 0; mov x27, 0; mov x28, 0" ::
                         : "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28");
#endif
#endif
}

#endif
