/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of the event log (event_log.h): bounded, many threads add, one takes. A slot's `turn` is 2 n
 * while the slot is free for the line of round n, and 2 n + 1 once that line is whole. A thread that adds a
 * line claims a slot by counting `claimed` up, and no thread waits for another: one that is slow between
 * claiming and filling delays the writer alone.
 */
#include "ftcore/base/event_log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    _Atomic uint64_t turn;
    struct ft_event_line line;
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

static bool enqueue_line(const struct ft_event_line *line)
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
            slot->line = *line;
            atomic_store_explicit(&slot->turn, turn + 1, memory_order_release);
            return true;
        }
    }
}

/* ---- lines ------------------------------------------------------------------------------------- */

const char *ft_level_name(enum ft_level level)
{
    return level == FT_LEVEL_ERROR     ? "error"
           : level == FT_LEVEL_WARNING ? "warning"
           : level == FT_LEVEL_NOTICE  ? "notice"
                                       : "info";
}

const char *ft_event_name(enum ft_event_name event)
{
    static const char *const names[] = {
#define NAME_OF(upper, name) name,
        FT_EVENT_NAMES(NAME_OF)
#undef NAME_OF
    };

    return names[event];
}

/* What a peer or a file made up must not end the line, nor move a terminal's cursor. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((uint8_t)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

void ft_event_line_fill(struct ft_event_line *line, uint64_t time, enum ft_level level,
                        enum ft_event_name event, const struct ft_log_field *fields, const char *fmt,
                        va_list ap)
{
    line->time = time;
    line->level = level;
    line->event = event;
    if (vsnprintf(line->text, sizeof(line->text), fmt, ap) < 0)
        line->text[0] = '\0';
    make_printable(line->text);
    for (line->fields = 0; fields && fields->name && line->fields < FT_EVENT_FIELDS; fields++) {
        struct ft_event_field *field = &line->field[line->fields++];

        field->name = fields->name;
        field->is_text = fields->text != NULL;
        field->number = fields->number;
        snprintf(field->text, sizeof(field->text), "%s", fields->text ? fields->text : "");
        make_printable(field->text);
    }
}

static void add_line(enum ft_level level, enum ft_event_name event, const struct ft_log_field *fields,
                     const char *fmt, va_list ap)
{
    const struct ft_event_writer *writer = atomic_load_explicit(&events.writer, memory_order_acquire);

    struct ft_event_line line; /* filled before it has a slot: who fails here keeps none from the writer */

    ft_event_line_fill(&line, writer ? writer->wall() : 0, level, event, fields, fmt, ap);
    if (!writer)
        fprintf(stderr, "understudy: %s\n", line.text);
    else if (enqueue_line(&line))
        writer->wake();
    else
        ft_event_log_lose(1);
}

void ft_log_event(enum ft_level level, enum ft_event_name event, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_line(level, event, NULL, fmt, ap);
    va_end(ap);
}

void ft_log_fields(enum ft_level level, enum ft_event_name event, const struct ft_log_field *fields,
                   const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_line(level, event, fields, fmt, ap);
    va_end(ap);
}

void ft_event_log_lose(uint64_t lines)
{
    atomic_fetch_add_explicit(&events.lost, lines, memory_order_relaxed);
}

uint64_t ft_event_log_lost(void)
{
    return atomic_load_explicit(&events.lost, memory_order_relaxed);
}

static char last_words[FT_EVENT_LINE];

void ft_event_log_flush(void)
{
    const struct ft_event_writer *writer = atomic_load_explicit(&events.writer, memory_order_acquire);

    if (writer)
        writer->flush();
}

const char *ft_log_last_words(void)
{
    return last_words;
}

void ft_log_and_abort(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(last_words, sizeof(last_words), fmt, ap);
    va_end(ap);
    va_start(ap, fmt);
    add_line(FT_LEVEL_ERROR, FT_SAYS_ABORT, NULL, fmt, ap);
    va_end(ap);
    ft_event_log_flush();
    abort();
}

void ft_event_log_attach(const struct ft_event_writer *writer)
{
    /* Touched now, so that no page of it has to be found when a line is added. */
    for (unsigned i = 0; writer && i < FT_EVENT_LINES; i++)
        memset(&events.slot[i].line, 0, sizeof(events.slot[i].line));
    atomic_store_explicit(&events.writer, writer, memory_order_release);
}

const struct ft_event_line *ft_event_log_first(void)
{
    uint64_t number = atomic_load_explicit(&events.released, memory_order_relaxed);
    struct slot *slot = &events.slot[number % FT_EVENT_LINES];

    return atomic_load_explicit(&slot->turn, memory_order_acquire) > free_turn(number) ? &slot->line : NULL;
}

void ft_event_log_release(bool written)
{
    uint64_t number = atomic_load_explicit(&events.released, memory_order_relaxed);

    if (!written)
        ft_event_log_lose(1);
    atomic_store_explicit(&events.slot[number % FT_EVENT_LINES].turn, free_turn(number) + 2,
                          memory_order_release);
    atomic_store_explicit(&events.released, number + 1, memory_order_release);
}

uint64_t ft_event_log_pending(void)
{
    return atomic_load_explicit(&events.claimed, memory_order_acquire) -
           atomic_load_explicit(&events.released, memory_order_acquire);
}
