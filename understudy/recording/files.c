/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a recorder, and what is in them. What can be executed of a file, by lane, and the closed sets
 * of that; moments, as an operator names them; which files are executed: the newest that has the moment, and
 * before it, as far back as there are any, the file that goes on in it. One file goes on in another when the
 * other begins at a moment that it has, whichever node wrote them: the same bursts of each lane, by their
 * numbers and times. See recording.h.
 */
#define _GNU_SOURCE
#include "understudy/recording/recording.h"
#include "understudy/pair/tape.h"
#include "understudy/base/event_writer.h"
#include "understudy/config/options.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND 1000000000ul

/* ==== what can be executed: records by lane, and closed sets of them =================================== */

/* ---- reading ----------------------------------------------------------------------------------- */

static bool add_burst(struct nd_index_lane *lane, const struct lg_frame *f, const struct ft_record *r)
{
    const struct ft_dependency *dependencies =
        (const void *)((const uint8_t *)r + ft_record_dependencies_at(r));

    if (!nd_grow((void **)&lane->burst, &lane->room, lane->count + 1, sizeof(lane->burst[0]), 256) ||
        !nd_grow((void **)&lane->dependencies, &lane->dependencies_room,
                 lane->dependencies_count + r->dependencies, sizeof(dependencies[0]), 256))
        return false;
    lane->burst[lane->count++] = (struct nd_index_burst){.content = f->content,
                                                         .len = f->len,
                                                         .dependency = lane->dependencies_count,
                                                         .dependencies = r->dependencies,
                                                         .seq = r->seq + r->inputs,
                                                         .time = r->time,
                                                         .access = r->access + r->accesses,
                                                         .digest = r->digest,
                                                         .has_digest = (r->flags & FT_REC_DIGEST) != 0};
    for (unsigned i = 0; i < r->dependencies; i++)
        lane->dependencies[lane->dependencies_count++] = dependencies[i];
    return true;
}

static int read_records(struct nd_index *index, struct ft_record *room, struct ft_fault *fault)
{
    struct lg_frame f;
    uint64_t at = 0;

    while (lg_recording_next(index->file, &at, &f)) {
        if (f.type != LG_RECORD)
            continue;
        FT_CHECK(ft_record_decode(f.content, f.len, room, FT_RECORD_MAX, fault) > 0,
                 "a record that was read before: %s", fault->text);
        if (room->burst > index->file->end[room->lane].burst) /* it had not ended when the node did */
            continue;
        if (!add_burst(&index->lane[room->lane], &f, room))
            return ft_fail(fault, FT_ENOMEM, "no memory for the index of %.160s", index->file->file);
    }
    return 0;
}

/* ---- sets of bursts ---------------------------------------------------------------------------- */

/* The lane's next access behind its first `count` bursts. */
static uint64_t access_after(const struct nd_index *index, unsigned lane, uint32_t count)
{
    return count ? index->lane[lane].burst[count - 1].access : index->file->at[lane].access;
}

static bool depends_inside(const struct nd_index *index, const struct nd_index_lane *lane, uint32_t burst)
{
    const struct nd_index_burst *b = &lane->burst[burst];

    for (uint32_t i = 0; i < b->dependencies; i++) {
        const struct ft_dependency *e = &lane->dependencies[b->dependency + i];

        if (e->lane >= index->lanes || e->access >= access_after(index, e->lane, index->lane[e->lane].upto))
            return false;
    }
    return true;
}

/* Takes away what has a dependency out of the set, until nothing has. */
static void close_set(struct nd_index *index)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (unsigned l = 0; l < index->lanes; l++) {
            struct nd_index_lane *lane = &index->lane[l];
            uint32_t n = 0;

            while (n < lane->upto && depends_inside(index, lane, n))
                n++;
            changed |= n < lane->upto;
            lane->upto = n;
        }
    }
}

/* How many of the lane's bursts it takes until `access` has been made. */
static uint32_t bursts_to(const struct nd_index *index, unsigned lane, uint64_t access)
{
    uint32_t low = 0, high = index->lane[lane].count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (access_after(index, lane, middle) > access)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Adds what the set's dependencies name, until nothing is missing. `seen`: bursts whose dependencies were
 * followed. */
static void add_past(struct nd_index *index)
{
    uint32_t seen[FT_LANES_MAX] = {0};

    for (bool changed = true; changed;) {
        changed = false;
        for (unsigned l = 0; l < index->lanes; l++) {
            const struct nd_index_lane *lane = &index->lane[l];

            for (; seen[l] < lane->upto; seen[l]++)
                for (uint32_t i = 0; i < lane->burst[seen[l]].dependencies; i++) {
                    const struct ft_dependency *e = &lane->dependencies[lane->burst[seen[l]].dependency + i];
                    uint32_t needed = bursts_to(index, e->lane, e->access);

                    if (needed > index->lane[e->lane].upto)
                        index->lane[e->lane].upto = needed;
                    changed = true;
                }
        }
    }
}

/* ---- digests ----------------------------------------------------------------------------------- */

static struct nd_index_burst *find_digest(const struct nd_index_lane *lane, uint64_t digest)
{
    for (uint32_t i = lane->done; i < lane->upto; i++)
        if (lane->burst[i].has_digest && lane->burst[i].digest == digest)
            return &lane->burst[i];
    return NULL;
}

void nd_index_settle(struct nd_index *index)
{
    for (uint32_t i = index->lane[0].done; i < index->lane[0].upto; i++) {
        const struct nd_index_burst *b = &index->lane[0].burst[i];
        bool all = b->has_digest;

        for (unsigned l = 0; all && l < index->lanes; l++)
            all = find_digest(&index->lane[l], b->digest) != NULL;
        for (unsigned l = 0; all && l < index->lanes; l++)
            find_digest(&index->lane[l], b->digest)->comparable = true;
    }
}

/* ---- the whole --------------------------------------------------------------------------------- */

int nd_index_make(struct nd_index *index, const struct lg_recording *file, struct ft_fault *fault)
{
    struct ft_record *room = aligned_alloc(64, FT_RECORD_MAX);
    int error;

    *index = (struct nd_index){.file = file, .lanes = file->head.lanes};
    error = room ? read_records(index, room, fault) : ft_fail(fault, FT_ENOMEM, "no memory for a record");
    free(room);
    for (unsigned l = 0; l < index->lanes; l++)
        index->lane[l].upto = index->lane[l].count;
    if (error)
        nd_index_free(index);
    else
        close_set(index);
    return error;
}

void nd_index_free(struct nd_index *index)
{
    for (unsigned l = 0; l < index->lanes; l++) {
        free(index->lane[l].burst);
        free(index->lane[l].dependencies);
    }
    *index = (struct nd_index){.lanes = 0};
}

uint64_t nd_index_seq(const struct nd_index *index, unsigned lane)
{
    const struct nd_index_lane *l = &index->lane[lane];

    return l->upto ? l->burst[l->upto - 1].seq : index->file->at[lane].seq;
}

/*
 * Sets `upto` of every lane to what the burst with this input depends on, itself included: its past, and
 * nothing beside it but what is done. So the state that one comes to is the same every time. The input must
 * be within the set.
 */
static void index_until_input(struct nd_index *index, unsigned lane, uint64_t seq)
{
    uint32_t n = 0;

    while (n < index->lane[lane].upto && index->lane[lane].burst[n].seq <= seq)
        n++;
    for (unsigned l = 0; l < index->lanes; l++)
        index->lane[l].upto = index->lane[l].done;
    if (n + 1 > index->lane[lane].upto)
        index->lane[lane].upto = n + 1;
    add_past(index);
}

/* The lane's position behind its first `count` bursts; what it does not know is 0. */
static struct lg_position position_after(const struct nd_index *index, unsigned lane, uint64_t count)
{
    const struct lg_position *begin = &index->file->at[lane];
    const struct nd_index_burst *last = count ? &index->lane[lane].burst[count - 1] : NULL;

    return (struct lg_position){.burst = begin->burst + count,
                                .seq = last ? last->seq : begin->seq,
                                .time = last ? last->time : begin->time,
                                .access = last ? last->access : begin->access};
}

bool nd_index_until_position(struct nd_index *index, const struct lg_position at[])
{
    uint64_t count[FT_LANES_MAX];
    bool same = true;

    for (unsigned l = 0; l < index->lanes && same; l++) {
        struct lg_position own;

        count[l] = at[l].burst - index->file->at[l].burst;
        if (count[l] > index->lane[l].upto)
            return false;
        own = position_after(index, l, count[l]);
        same = own.seq == at[l].seq && own.time == at[l].time && own.access == at[l].access;
    }
    for (unsigned l = 0; l < index->lanes && same; l++)
        index->lane[l].upto = (uint32_t)count[l];
    close_set(index); /* of nodes that record the truth it is closed already */
    for (unsigned l = 0; l < index->lanes && same; l++)
        same = index->lane[l].upto == count[l];
    return same;
}

/* Sets `upto` of every lane to all bursts up to a chain time, and what they depend on. */
static void index_until_time(struct nd_index *index, uint64_t time)
{
    for (unsigned l = 0; l < index->lanes; l++) {
        struct nd_index_lane *lane = &index->lane[l];
        uint32_t n = lane->done;

        while (n < lane->upto && lane->burst[n].time <= time)
            n++;
        lane->upto = n;
    }
    add_past(index);
}

/* ==== moments ========================================================================================== */

#define YEAR_END (2500 - 1900) /* ns since 1970 come to their end in 2554 */

/* ".123" as nanoseconds, up to nine digits; NULL: something else follows than `end`. */
static const char *read_fraction(const char *at, uint64_t *ns)
{
    uint64_t digit = SECOND / 10;

    *ns = 0;
    if (*at != '.')
        return at;
    for (at++; *at >= '0' && *at <= '9' && digit; at++, digit /= 10)
        *ns += (uint64_t)(*at - '0') * digit;
    return at;
}

static bool read_wall(struct nd_moment *out, const char *text)
{
    struct tm tm = {0};
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    uint64_t ns;

    if (!at || tm.tm_year < 70 || tm.tm_year >= YEAR_END)
        return false;
    at = read_fraction(at, &ns);
    out->time = (uint64_t)timegm(&tm) * SECOND + ns;
    out->kind = ND_MOMENT_WALL;
    return strcmp(at, "Z") == 0;
}

static bool read_chain_time(struct nd_moment *out, const char *text)
{
    const char *point = strchr(text, '.'), *end;
    char seconds[16];
    uint64_t ns;

    if (!point || (size_t)(point - text) >= sizeof(seconds))
        return false;
    snprintf(seconds, sizeof(seconds), "%.*s", (int)(point - text), text);
    end = read_fraction(point, &ns);
    if (!nd_options_number(seconds, &out->time) || *end || end == point + 1 || out->time > UINT32_MAX)
        return false;
    out->time = out->time * SECOND + ns;
    out->kind = ND_MOMENT_CHAIN;
    return true;
}

static bool read_input(struct nd_moment *out, const char *text)
{
    const char *colon = strchr(text, ':');
    char lane[8];

    if (!colon || (size_t)(colon - text) >= sizeof(lane))
        return false;
    snprintf(lane, sizeof(lane), "%.*s", (int)(colon - text), text);
    out->kind = ND_MOMENT_INPUT;
    return nd_options_number(lane, &out->lane) && nd_options_number(colon + 1, &out->seq);
}

bool nd_moment_read(struct nd_moment *out, const char *text)
{
    *out = (struct nd_moment){.text = text};
    return strchr(text, 'T')   ? read_wall(out, text)
           : strchr(text, ':') ? read_input(out, text)
                               : read_chain_time(out, text);
}

/* By how much the wall clock was ahead of chain times between clock `i` - 1 and clock `i` of the file. */
static uint64_t ahead_of(const struct lg_recording *file, uint64_t i)
{
    const struct lg_clock *before = &file->clock[i ? i - 1 : 0], *behind = &file->clock[i];
    uint64_t least = before->wall - before->time;

    return i < file->clocks && behind->wall - behind->time < least ? behind->wall - behind->time : least;
}

/* The first of the file's clocks that is at this chain time or later; their number: none is. */
static uint64_t clock_at(const struct lg_recording *file, uint64_t time)
{
    uint64_t from = 0, to = file->clocks;

    while (from < to) {
        uint64_t middle = (from + to) / 2;

        if (file->clock[middle].time < time)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* False: a moment of the wall clock, which a file without clocks does not know. */
static bool is_known(const struct nd_moment *m, const struct lg_recording *file)
{
    return m->kind != ND_MOMENT_WALL || file->clocks;
}

/* The chain time that a file has for a moment of ND_MOMENT_CHAIN or ND_MOMENT_WALL: the first at which the
 * wall clock, which may have been set meanwhile, showed that or later. 0: not known. */
static uint64_t time_in(const struct nd_moment *m, const struct lg_recording *file)
{
    if (m->kind == ND_MOMENT_CHAIN || !file->clocks)
        return m->kind == ND_MOMENT_CHAIN ? m->time : 0;
    for (uint64_t i = 0;; i++) {
        uint64_t ahead = ahead_of(file, i), from = i ? file->clock[i - 1].time : 0,
                 time = m->time > ahead + from ? m->time - ahead : from;

        if (i == file->clocks || time <= file->clock[i].time)
            return time;
    }
}

uint64_t nd_moment_wall(const struct lg_recording *file, uint64_t time)
{
    return file->clocks ? time + ahead_of(file, clock_at(file, time)) : 0;
}

/* The latest chain time of the lanes, at[lanes]. */
static uint64_t latest_of(const struct lg_position at[], unsigned lanes)
{
    uint64_t last = 0;

    for (unsigned l = 0; l < lanes; l++)
        last = at[l].time > last ? at[l].time : last;
    return last;
}

/* The wall clock where a file begins and where its last burst is, ns since 1970: nearly, in a file without
 * clocks. A lane that has executed nothing yet has the chain time 0, at which its machine began. */
static uint64_t begin_of(const struct lg_recording *file)
{
    uint64_t time = latest_of(file->at, file->head.lanes);

    return time && file->clocks ? nd_moment_wall(file, time) : file->head.wall;
}

static uint64_t end_of(const struct lg_recording *file)
{
    uint64_t time = latest_of(file->end, file->head.lanes);

    return file->clocks ? nd_moment_wall(file, time) : file->head.wall;
}

bool nd_moment_is_before(const struct nd_moment *m, const struct lg_recording *file,
                         const struct lg_position end[])
{
    if (m->kind == ND_MOMENT_INPUT)
        return m->seq < end[m->lane].seq;
    return is_known(m, file) && time_in(m, file) < latest_of(end, file->head.lanes);
}

/* Whether the moment is in what the file's lanes came to, and no earlier than where the file begins. */
static bool is_in(const struct nd_moment *m, const struct lg_recording *file)
{
    bool begun;

    if (m->kind == ND_MOMENT_INPUT)
        begun = m->lane < file->head.lanes && m->seq >= file->at[m->lane].seq;
    else if (m->kind == ND_MOMENT_CHAIN)
        begun = m->time >= latest_of(file->at, file->head.lanes);
    else
        begun = m->time >= begin_of(file);
    return begun && nd_moment_is_before(m, file, file->end);
}

void nd_moment_settle(const struct nd_moment *m, struct nd_index *index)
{
    if (m->kind == ND_MOMENT_INPUT)
        index_until_input(index, (unsigned)m->lane, m->seq);
    else
        index_until_time(index, time_in(m, index->file));
}

/* ==== which files are executed ========================================================================== */

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
    uint64_t ends[2] = {end_of(a), end_of(b)};

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

/* Chain time distinguishes one life from another, once there is any. */
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
        if (!m || is_in(m, files->list[i]))
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

        if (to && !is_in(to, last))
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

/* ---- printing what the files hold --------------------------------------------------------------- */

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
    uint64_t begins[2] = {begin_of(a->first), begin_of(b->first)};

    return begins[0] < begins[1] ? -1 : begins[0] > begins[1];
}

/* Nothing is missing before a stretch that begins within an older one: clocks of two nodes need not agree. */
static void find_missing(const struct nd_log_files *files, struct stretch *list, unsigned count)
{
    uint64_t told = count ? end_of(list[0].last) : 0;

    for (unsigned i = 1; i < count; i++) {
        uint64_t begin = begin_of(list[i].first), end = end_of(list[i].last);
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

        nd_wall_text(from, begin_of(s->first));
        nd_wall_text(to, end_of(s->last));
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
        fprintf(out, "%s to %s (%s)", nd_wall_text(from, begin_of(s->first)),
                nd_wall_text(to, end_of(s->last)), s->first->head.node);
    } else {
        begin = latest_of(s->first->at, s->first->head.lanes);
        end = latest_of(s->last->end, s->last->head.lanes);
        fprintf(out, "%lu.%09lu to %lu.%09lu (%s)", begin / SECOND, begin % SECOND, end / SECOND,
                end % SECOND, s->first->head.node);
    }
}

/* Whether a stretch has anything of the kind that the moment is of. */
static bool has_kind(const struct stretch *s, const struct nd_moment *m)
{
    return s->bursts && (m->kind != ND_MOMENT_INPUT || m->lane < s->first->head.lanes) &&
           (is_known(m, s->first) || is_known(m, s->last));
}

static void print_stretches(const struct nd_log_files *files, const struct nd_moment *m, FILE *out)
{
    unsigned count, told = 0;
    struct stretch *list = make_stretches(files, &count);

    if (m->kind == ND_MOMENT_INPUT)
        fprintf(out, "sequence numbers of lane %lu: ", m->lane);
    for (unsigned i = 0; list && i < count; i++) {
        if (!has_kind(&list[i], m))
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
        if (is_in(m, &files->all[i]))
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
