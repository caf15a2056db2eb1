/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files are executed: the newest that has the moment, and before it, as far back as there are any, the
 * file that goes on in it. One file goes on in another when the other begins at a moment that it has,
 * whichever node wrote them: the same bursts of each lane, by their numbers and times. See recording.h.
 */
#include "tools/recording/recording.h"
#include "tools/pair/tape.h"
#include "node/base/event_writer.h"
#include "cli/options.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is there ----------------------------------------------------------------------------- */

static int is_recording(const struct dirent *d)
{
    size_t len = strlen(d->d_name);

    return len > strlen(LG_SUFFIX) && strspn(d->d_name, "0123456789") == len - strlen(LG_SUFFIX) &&
           strcmp(d->d_name + len - strlen(LG_SUFFIX), LG_SUFFIX) == 0;
}

static int is_named(const struct dirent *d)
{
    for (const char *at = d->d_name; *at; at++)
        if (*at <= ' ' || *at > '~') /* it would be printed */
            return 0;
    return d->d_name[0] != '.';
}

static int add_file(struct nd_log_files *files, const char *file, struct ft_fault *fault)
{
    int error;

    if (!nd_grow((void **)&files->all, &files->room, files->found + 1, sizeof(files->all[0]), 16))
        return ft_fail(fault, FT_ENOMEM, "no memory for %lu files", files->found + 1);
    error = lg_recording_open(&files->all[files->found], file, fault);
    if (!error)
        files->found++;
    return error;
}

/* One that cannot be read is only noted: others may do without it. */
static int add_one_of_several(struct nd_log_files *files, const char *file, struct ft_fault *fault)
{
    struct nd_log_unread unread = {.error = add_file(files, file, &unread.why)};

    if (unread.error == 0)
        return 0;
    snprintf(unread.file, sizeof(unread.file), "%s", file);
    if (unread.error == FT_ENOMEM || !nd_grow((void **)&files->unread, &files->unread_room,
                                              files->unread_count + 1, sizeof(files->unread[0]), 16))
        return ft_fail(fault, FT_ENOMEM, "no memory for %.160s", file);
    files->unread[files->unread_count++] = unread;
    return 0;
}

/* *names: how many recordings the directory names; -1: it is no directory that can be read. */
static int add_directory(struct nd_log_files *files, const char *path, int *names, struct ft_fault *fault)
{
    struct dirent **list = NULL;
    int error = 0;
    char name[512];

    *names = scandir(path, &list, is_recording, alphasort);
    for (int i = 0; i < *names; i++) {
        snprintf(name, sizeof(name), "%s/%s", path, list[i]->d_name);
        error = error ? error : add_one_of_several(files, name, fault);
        free(list[i]);
    }
    free(list);
    return error;
}

static int add_directories(struct nd_log_files *files, const char *path, int *names, struct ft_fault *fault)
{
    struct dirent **list = NULL;
    int n = scandir(path, &list, is_named, alphasort), error = 0, of_one;
    char name[512];

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "%s/%s", path, list[i]->d_name);
        error = error ? error : add_directory(files, name, &of_one, fault);
        *names += !error && of_one > 0 ? of_one : 0;
        free(list[i]);
    }
    free(list);
    return error;
}

/* A node's directory, the directory of several nodes', or what is no directory, as a file. */
static int add_path(struct nd_log_files *files, const char *path, struct ft_fault *fault)
{
    uint64_t before = files->found;
    int names, error = add_directory(files, path, &names, fault);

    if (!error && names < 0)
        return add_file(files, path, fault);
    if (!error && names == 0)
        error = add_directories(files, path, &names, fault);
    if (!error && names == 0)
        error = ft_fail(fault, FT_EMALFORMED,
                        "%.120s: no recording, expected files *%s, or directories of them", path, LG_SUFFIX);
    if (!error && files->found == before) {
        *fault = files->unread[files->unread_count - 1].why;
        error = files->unread[files->unread_count - 1].error;
    }
    return error;
}

static int compare_ends(const void *one, const void *other)
{
    const struct lg_recording *a = one, *b = other;
    uint64_t ends[2] = {nd_moment_end(a), nd_moment_end(b)};

    if (ends[0] != ends[1])
        return ends[0] < ends[1] ? -1 : 1;
    return a->head.serial < b->head.serial ? -1 : a->head.serial > b->head.serial;
}

int nd_log_files_open(struct nd_log_files *files, const char *const paths[], struct ft_fault *fault)
{
    int error = 0;

    *files = (struct nd_log_files){.count = 0};
    for (; *paths && !error; paths++)
        error = add_path(files, *paths, fault);
    if (error)
        return error;
    files->list = calloc(files->found, sizeof(files->list[0]));
    if (!files->list)
        return ft_fail(fault, FT_ENOMEM, "no memory for %lu files", files->found);
    qsort(files->all, files->found, sizeof(files->all[0]), compare_ends);
    return 0;
}

void nd_log_files_close(struct nd_log_files *files)
{
    for (uint64_t i = 0; i < files->found; i++)
        lg_recording_close(&files->all[i]);
    free(files->all);
    free(files->unread);
    free(files->list);
    *files = (struct nd_log_files){.count = 0};
}

/* ---- what goes on in what ---------------------------------------------------------------------- */

/* Chain time tells one life from another, once there is any. */
static bool may_have(const struct lg_recording *file, const struct lg_recording *next)
{
    bool before = false, began = false;

    if (file->head.lanes != next->head.lanes || file->head.identity != next->head.identity ||
        memcmp(file->identity, next->identity, next->head.identity) != 0)
        return false;
    for (unsigned l = 0; l < next->head.lanes; l++) {
        const struct lg_position *from = &file->at[l], *at = &next->at[l], *to = &file->end[l];

        if (at->burst < from->burst || at->burst > to->burst || at->time < from->time || at->time > to->time)
            return false;
        before |= from->burst < at->burst;
        began |= at->time != 0;
    }
    return before && began;
}

/* The newest file that goes on in `next`, rather one of the same node's than another; NULL: none. */
static int find_before(struct nd_log_files *files, const struct lg_recording *next, struct lg_recording **out,
                       struct ft_fault *fault)
{
    struct nd_index index;
    int error = 0;

    *out = NULL;
    for (uint64_t i = files->found; i-- > 0 && !*out;)
        if (lg_recording_follows(&files->all[i], next))
            *out = &files->all[i];
    for (uint64_t i = files->found; i-- > 0 && !*out && !error;) {
        if (!may_have(&files->all[i], next))
            continue;
        error = nd_index_make(&index, &files->all[i], fault);
        if (!error && nd_index_until_position(&index, next->at))
            *out = &files->all[i];
        if (!error)
            nd_index_free(&index);
    }
    return error;
}

/* Into `list`: the files that go on in one another up to `last`, from the first that has a snapshot. */
static int list_files(struct nd_log_files *files, struct lg_recording *last, struct ft_fault *fault)
{
    struct lg_recording *file = last;
    unsigned n = 0, count;
    int error = 0;

    for (; file && !error; error = find_before(files, file, &file, fault))
        files->list[n++] = file;
    for (count = n; count > 0 && !files->list[count - 1]->snapshot_whole;)
        count--;
    for (unsigned i = 0; i < count / 2; i++) {
        file = files->list[i];
        files->list[i] = files->list[count - 1 - i];
        files->list[count - 1 - i] = file;
    }
    files->count = count;
    return error;
}

static bool have_moment(const struct nd_log_files *files, const struct nd_moment *m)
{
    for (unsigned i = 0; i < files->count; i++)
        if (!m || nd_moment_is_in(m, files->list[i]))
            return true;
    return false;
}

static void report_torn_end(const struct lg_recording *r)
{
    if (r->whole == r->size)
        return;
    fprintf(stderr, "%s: torn at offset %lu of %lu: read up to burst", r->file, r->whole, r->size);
    for (unsigned l = 0; l < r->head.lanes; l++)
        fprintf(stderr, "%s%lu", l ? ", " : " ", r->end[l].burst);
    fprintf(stderr, "\n");
}

/* In the same directory, where the recorder's names are in order. */
static bool is_newer(const char *file, const char *other)
{
    const char *slash = strrchr(other, '/');

    return slash && strncmp(file, other, (size_t)(slash - other) + 1) == 0 && strcmp(file, other) > 0;
}

/* A recording whose newest file is damaged has another end than what can be read of it. A file with nothing
 * in it was begun when the node died. */
static int check_newest(const struct nd_log_files *files, const struct lg_recording *last,
                        struct ft_fault *fault)
{
    for (uint64_t i = 0; i < files->unread_count; i++) {
        const struct nd_log_unread *unread = &files->unread[i];

        if (unread->error == FT_ETRUNC || !is_newer(unread->file, last->file))
            continue;
        *fault = unread->why;
        return unread->error;
    }
    return 0;
}

static void report_choice(const struct nd_log_files *files)
{
    for (uint64_t i = 0; i < files->unread_count; i++)
        fprintf(stderr, "%s, passed over\n", files->unread[i].why.text);
    if (files->count)
        report_torn_end(files->list[files->count - 1]);
}

/* `list` for the newest file that has the moment. */
static int list_to_moment(struct nd_log_files *files, const struct nd_moment *from,
                          const struct nd_moment *to, struct ft_fault *fault)
{
    for (uint64_t i = files->found; i-- > 0;) {
        struct lg_recording *last = &files->all[i];
        int error;

        if (to && !nd_moment_is_in(to, last))
            continue;
        error = list_files(files, last, fault);
        if (error)
            return error;
        if (files->count == 0)
            fprintf(stderr, "%s: its snapshot is not whole, passed over\n", last->file);
        if (have_moment(files, from))
            return 0;
    }
    files->count = 0;
    return 0;
}

int nd_log_files_choose(struct nd_log_files *files, const struct nd_moment *from, const struct nd_moment *to,
                        struct ft_fault *fault)
{
    int error = list_to_moment(files, from, to, fault);

    if (!error && files->count && !to)
        error = check_newest(files, files->list[files->count - 1], fault);
    if (!error)
        report_choice(files);
    return error;
}

int nd_log_files_choose_end(struct nd_log_files *files, const char *node, uint64_t wall,
                            struct ft_fault *fault)
{
    int error = 0;

    files->count = 0;
    for (uint64_t i = files->found; i-- > 0 && files->count == 0 && !error;) {
        struct lg_recording *last = &files->all[i];

        if (last->node_end.how && last->node_end.wall == wall && strcmp(last->head.node, node) == 0)
            error = list_files(files, last, fault);
    }
    if (!error)
        report_choice(files);
    return error;
}

/* ---- what the files hold, told --------------------------------------------------------------- */

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
            had = may_have(&files->all[f], list[i].first);
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
