/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of the event log (event_log.h): bounded, many threads add, one takes. A slot's turn says whose it
 * is: 2 n, free for the line of round n; 2 n + 1, that line is whole. Who adds a line claims a slot by
 * counting `claimed` up, and nobody waits for anybody: a thread that is slow between claiming and filling
 * delays the writer alone.
 */
#include "ftcore/base/event_log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    _Atomic uint64_t turn;
    char line[FT_EVENT_LINE];
};

static struct {
    _Atomic(const struct ft_event_writer *) writer; /* NULL: lines go to stderr */
    _Atomic uint64_t claimed;                       /* lines that got a slot */
    _Atomic uint64_t released;                      /* lines that the writer is done with */
    _Atomic uint64_t lost;
    struct slot slot[FT_EVENT_LINES];
} events;

static uint64_t free_turn(uint64_t number)
{
    return number / FT_EVENT_LINES * 2;
}

static bool enqueue_line(const char *line)
{
    uint64_t number = atomic_load_explicit(&events.claimed, memory_order_relaxed);

    for (;;) {
        struct slot *slot = &events.slot[number % FT_EVENT_LINES];
        uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);

        if (turn < free_turn(number))
            return false; /* it still has the line of the round before */
        if (turn > free_turn(number)) {
            number = atomic_load_explicit(&events.claimed, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&events.claimed, &number, number + 1,
                                                         memory_order_relaxed, memory_order_relaxed)) {
            strcpy(slot->line, line);
            atomic_store_explicit(&slot->turn, turn + 1, memory_order_release);
            return true;
        }
    }
}

/* One line with a '\n' at its end, whatever does not fit. */
static void add_event(const char *fmt, va_list ap)
{
    const struct ft_event_writer *writer = atomic_load_explicit(&events.writer, memory_order_acquire);
    char line[FT_EVENT_LINE];
    int n = vsnprintf(line, FT_EVENT_LINE - 1, fmt, ap);
    size_t len = n < 0 ? 0 : (size_t)n < FT_EVENT_LINE - 2 ? (size_t)n : FT_EVENT_LINE - 2;

    line[len] = '\n';
    line[len + 1] = '\0';
    if (!writer)
        fputs(line, stderr);
    else if (enqueue_line(line))
        writer->wake();
    else
        atomic_fetch_add_explicit(&events.lost, 1, memory_order_relaxed);
}

void ft_log_event(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_event(fmt, ap);
    va_end(ap);
}

uint64_t ft_event_log_lost(void)
{
    return atomic_load_explicit(&events.lost, memory_order_relaxed);
}

void ft_event_log_flush(void)
{
    const struct ft_event_writer *writer = atomic_load_explicit(&events.writer, memory_order_acquire);

    if (writer)
        writer->flush();
}

void ft_log_and_abort(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_event(fmt, ap);
    va_end(ap);
    ft_event_log_flush();
    abort();
}

void ft_event_log_attach(const struct ft_event_writer *writer)
{
    /* Touched now, so that no page of it has to be found when a line is added. */
    for (unsigned i = 0; writer && i < FT_EVENT_LINES; i++)
        memset(events.slot[i].line, 0, FT_EVENT_LINE);
    atomic_store_explicit(&events.writer, writer, memory_order_release);
}

const char *ft_event_log_first(void)
{
    uint64_t number = atomic_load_explicit(&events.released, memory_order_relaxed);
    struct slot *slot = &events.slot[number % FT_EVENT_LINES];

    return atomic_load_explicit(&slot->turn, memory_order_acquire) > free_turn(number) ? slot->line : NULL;
}

void ft_event_log_release(bool written)
{
    uint64_t number = atomic_load_explicit(&events.released, memory_order_relaxed);

    if (!written)
        atomic_fetch_add_explicit(&events.lost, 1, memory_order_relaxed);
    atomic_store_explicit(&events.slot[number % FT_EVENT_LINES].turn, free_turn(number) + 2,
                          memory_order_release);
    atomic_store_explicit(&events.released, number + 1, memory_order_release);
}

uint64_t ft_event_log_pending(void)
{
    return atomic_load_explicit(&events.claimed, memory_order_acquire) -
           atomic_load_explicit(&events.released, memory_order_acquire);
}
