/* SPDX-License-Identifier: Apache-2.0 */
/* What the files hold, for people and programs: stretches of one node's files without a gap, and where nobody
 * recorded. See log.h.
 */
#include "tools/replay/log.h"
#include "node/base/event_format.h"
#include "node/control/options.h"

#include <stdlib.h>

#define SECOND 1000000000ul

struct stretch {
    const struct lg_recording *first, *last;
    unsigned files;
    uint64_t bursts;
    uint64_t missing; /* ns before it that no older stretch has */
};

static struct stretch *find_stretch(struct stretch *list, unsigned count, const struct lg_recording *next)
{
    for (unsigned i = 0; i < count; i++)
        if (lg_recording_follows(list[i].last, next))
            return &list[i];
    return NULL;
}

static int compare_begins(const void *one, const void *other)
{
    const struct stretch *a = one, *b = other;
    uint64_t begins[2] = {nd_moment_begin(a->first), nd_moment_begin(b->first)};

    return begins[0] < begins[1] ? -1 : begins[0] > begins[1];
}

/* Nothing is missing before a stretch that begins within an older one: clocks of two nodes need not agree. */
static void find_missing(const struct nd_log_files *files, struct stretch *list, unsigned count)
{
    uint64_t told = count ? nd_moment_end(list[0].last) : 0;

    for (unsigned i = 1; i < count; i++) {
        uint64_t begin = nd_moment_begin(list[i].first), end = nd_moment_end(list[i].last);
        bool had = begin <= told;

        for (uint64_t f = 0; f < files->found && !had; f++)
            had = nd_log_may_have(&files->all[f], list[i].first);
        list[i].missing = had ? 0 : begin - told;
        told = end > told ? end : told;
    }
}

/* Oldest first; to be freed. NULL: no memory. */
static struct stretch *make_stretches(const struct nd_log_files *files, unsigned *count)
{
    struct stretch *list = calloc(files->found ? files->found : 1, sizeof(*list)), *s;

    *count = 0;
    for (uint64_t i = 0; list && i < files->found; i++) {
        const struct lg_recording *file = &files->all[i];

        s = find_stretch(list, *count, file);
        if (!s) {
            s = &list[(*count)++];
            s->first = file;
        }
        s->last = file;
        s->files++;
        s->bursts += file->records;
    }
    if (list) {
        qsort(list, *count, sizeof(*list), compare_begins);
        find_missing(files, list, *count);
    }
    return list;
}

const struct lg_recording *nd_log_last_of(const struct nd_log_files *files, const struct lg_recording *file)
{
    for (uint64_t i = 0; i < files->found; i++)
        if (lg_recording_follows(file, &files->all[i]))
            file = &files->all[i];
    return file;
}

json_t *nd_log_print_recordings(const struct nd_log_files *files, FILE *out)
{
    char from[ND_WALL_TEXT], to[ND_WALL_TEXT];
    json_t *all = json_array();
    unsigned count;
    struct stretch *list = make_stretches(files, &count);

    for (unsigned i = 0; list && i < count; i++) {
        const struct stretch *s = &list[i];
        bool torn = s->last->whole < s->last->size;

        nd_wall_text(from, nd_moment_begin(s->first));
        nd_wall_text(to, nd_moment_end(s->last));
        if (s->missing)
            fprintf(out, "  %-14s for %.3f s\n", "nothing", (double)s->missing / SECOND);
        fprintf(out, "  %-14s %s to %s, %lu bursts in %u files%s\n", s->first->head.node, from, to, s->bursts,
                s->files, torn ? ", torn at the end" : "");
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:s, s:I, s:i, s:I, s:b}", "node", s->first->head.node,
                                        "from", from, "to", to, "bursts", (json_int_t)s->bursts, "files",
                                        (int)s->files, "missing_ns", (json_int_t)s->missing, "torn", torn));
    }
    free(list);
    return all;
}

/* ---- a moment that nobody has ------------------------------------------------------------------ */

static void print_stretch(const struct stretch *s, const struct nd_moment *m, FILE *out)
{
    char from[ND_WALL_TEXT], to[ND_WALL_TEXT];
    uint64_t begin, end;

    if (m->kind == ND_MOMENT_INPUT) {
        fprintf(out, "%lu to %lu (%s)", s->first->at[m->lane].seq, s->last->end[m->lane].seq - 1,
                s->first->head.node);
    } else if (m->kind == ND_MOMENT_WALL) {
        fprintf(out, "%s to %s (%s)", nd_wall_text(from, nd_moment_begin(s->first)),
                nd_wall_text(to, nd_moment_end(s->last)), s->first->head.node);
    } else {
        begin = nd_moment_latest(s->first->at, s->first->head.lanes);
        end = nd_moment_latest(s->last->end, s->last->head.lanes);
        fprintf(out, "%lu.%09lu to %lu.%09lu (%s)", begin / SECOND, begin % SECOND, end / SECOND,
                end % SECOND, s->first->head.node);
    }
}

/* Whether a stretch has anything of the kind that the moment is of. */
static bool tells(const struct stretch *s, const struct nd_moment *m)
{
    return s->bursts && (m->kind != ND_MOMENT_INPUT || m->lane < s->first->head.lanes) &&
           (nd_moment_is_known(m, s->first) || nd_moment_is_known(m, s->last));
}

static void print_stretches(const struct nd_log_files *files, const struct nd_moment *m, FILE *out)
{
    unsigned count, told = 0;
    struct stretch *list = make_stretches(files, &count);

    if (m->kind == ND_MOMENT_INPUT)
        fprintf(out, "sequence numbers of lane %lu: ", m->lane);
    for (unsigned i = 0; list && i < count; i++) {
        if (!tells(&list[i], m))
            continue;
        if (told++)
            fprintf(out, ", ");
        if (list[i].missing)
            fprintf(out, "nothing for %.3f s, ", (double)list[i].missing / SECOND);
        print_stretch(&list[i], m, out);
    }
    if (!told)
        fprintf(out, "nothing of the kind");
    free(list);
}

static bool is_there(const struct nd_log_files *files, const struct nd_moment *m)
{
    for (uint64_t i = 0; i < files->found; i++)
        if (nd_moment_is_in(m, &files->all[i]))
            return true;
    return false;
}

int nd_log_refuse_moments(const struct nd_log_files *files, const struct nd_moment *from,
                          const struct nd_moment *to)
{
    const struct nd_moment *m = from && is_there(files, to) && !is_there(files, from) ? from : to;

    fprintf(stderr, "understudy replay: %.64s: ", m->text);
    if (is_there(files, m))
        fprintf(stderr, "no files lead there from %.64s; ", from ? from->text : "a snapshot");
    fprintf(stderr, "the log has ");
    print_stretches(files, m, stderr);
    fprintf(stderr, "\n");
    return ND_USAGE;
}
