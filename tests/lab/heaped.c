/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heaped: an NF for tests with a library in it that knows nothing of edits. The library keeps lists of what
 * each source inside has sent, in memory that it allocates, moves, writes and gives back as it likes. Built
 * by heap.t; with -DHEAPED_UNREPLAYABLE the chain runs by deltas, and -DHEAPED_BREACH=n breaks a rule of
 * docs/writing-an-nf.md: 1: an address of the program in the heap; 2: it writes what is not in the heap; 3:
 * it reads what it has given back; 4: it writes there.
 */
#include "nflib/nf.h"

#include <string.h>

#ifndef HEAPED_BREACH
#define HEAPED_BREACH 0
#endif

/* ---- the library --------------------------------------------------------------------------------- */

struct note {
    struct note *next;
    uint32_t bytes;
};
struct who {
    struct who *next;
    struct note *notes; /* the newest first */
    char *text;         /* grows */
    uint32_t addr, count, text_len, text_room;
    const void *out; /* of the heap, to break a rule */
};
struct lists {
    struct who *first[64];
    uint64_t missed;
};

static struct who *find(struct lists *l, uint32_t addr)
{
    struct who **list = &l->first[(addr * 2654435761u) >> 26], *who = *list;

    while (who && who->addr != addr)
        who = who->next;
    if (who || !(who = nf_heap_calloc(1, sizeof(*who))))
        return who;
    who->addr = addr;
    who->next = *list;
    *list = who;
    return who;
}

static void shorten(struct who *who)
{
    struct note **at = &who->notes, *rest;

    for (uint32_t i = 0; i < 8; i++)
        at = &(*at)->next;
    rest = *at;
    *at = NULL;
    for (struct note *next; rest; rest = next) {
        next = rest->next;
        nf_heap_free(rest);
        if (HEAPED_BREACH == 3)
            next = ((volatile struct note *)rest)->next;
        if (HEAPED_BREACH == 4)
            ((volatile struct note *)rest)->bytes = who->count + 1;
        who->count--;
    }
}

static void append(struct lists *l, struct who *who, uint32_t bytes)
{
    if (who->text_len == who->text_room) {
        char *more = nf_heap_realloc(who->text, who->text_room * 2 + 32);

        if (!more) {
            l->missed++;
            return;
        }
        who->text = more;
        who->text_room = who->text_room * 2 + 32;
    }
    who->text[who->text_len++] = (char)('a' + bytes % 26);
    if (who->text_len < 6000)
        return;
    nf_heap_free(who->text);
    who->text = NULL;
    who->text_len = who->text_room = 0;
}

static void note(struct lists *l, uint32_t addr, uint32_t bytes)
{
    struct who *who = find(l, addr);
    struct note *n = who ? nf_heap_malloc(sizeof(*n)) : NULL;

    if (!n) {
        l->missed++;
        return;
    }
    *n = (struct note){who->notes, bytes};
    who->notes = n;
    if (++who->count > (HEAPED_BREACH > 2 ? 10 : 40))
        shorten(who);
    append(l, who, bytes);
    if (HEAPED_BREACH == 1)
        who->out = shorten;
}

/* ---- the NF -------------------------------------------------------------------------------------- */

struct state {
    struct lists *lists; /* in the heap */
    uint64_t packets;
};
struct config {
    uint32_t heap_kb;
};
static const struct nf_param params[] = {
    NF_NUMBER(struct config, heap_kb, NF_U32, 4, 1u << 20, "1024", "KiB for the library"),
    {0},
};
static const char *const counters[] = {"packets", NULL};

static uint64_t heap(const void *config)
{
    return (uint64_t)((const struct config *)config)->heap_kb << 10;
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct state *s = nf->state;

    (void)now;
    if (!s->lists)
        NF_EDIT(nf, s)->lists = nf_heap_calloc(1, sizeof(struct lists));
    for (uint32_t i = 0; i < n && s->lists; i++)
        if (packets[i]->flags & NF_P_IPV4)
            note(s->lists, packets[i]->saddr, packets[i]->len);
    nf_count(nf, 0, n);
    if (HEAPED_BREACH == 2)
        ((struct state *)nf->state)->packets += n;
}

static bool show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct state *s = nf->state;

    (void)cursor;
    nf_row(out);
    nf_row_u64(out, "packets", nf->counters[0]);
    nf_row_u64(out, "blocks", nf->heap->blocks);
    nf_row_u64(out, "missed", s->lists ? s->lists->missed : 0);
    return false;
}

static const struct nf_module heaped = {
    .name = "heaped",
    .summary = "for tests: a library that knows nothing of edits",
    .reads = NF_READS_HEADERS,
#ifdef HEAPED_UNREPLAYABLE
    .unreplayable = true,
#endif
    .params = params,
    .config_size = sizeof(struct config),
    .state_size = sizeof(struct state),
    .counters = counters,
    .heap = heap,
    .process = process,
    .show = show,
};
NF_MODULE(heaped)
