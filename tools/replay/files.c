/* SPDX-License-Identifier: Apache-2.0 */
/* Which files of a directory are executed: the newest that go on from each other and have a snapshot. */
#include "tools/replay/log.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_recording(const struct dirent *d)
{
    size_t len = strlen(d->d_name);

    return len > strlen(LG_SUFFIX) && strcmp(d->d_name + len - strlen(LG_SUFFIX), LG_SUFFIX) == 0;
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

/* A file without a whole header was begun when its node died: nothing is in it. */
static int add_file(struct nd_log_files *files, const char *file, bool only, struct ft_fault *fault)
{
    struct lg_recording *r = &files->list[files->count];
    int error = lg_recording_open(r, file, fault);

    if (error == FT_ETRUNC && !only) {
        fprintf(stderr, "%s, passed over\n", fault->text);
        return 0;
    }
    if (!error)
        files->count++;
    return error;
}

/* All of a directory, by name; or what is no directory that can be read, as a file. */
static int add_files(struct nd_log_files *files, const char *path, struct ft_fault *fault)
{
    struct dirent **found = NULL;
    int n = scandir(path, &found, is_recording, alphasort), error = 0;
    char name[512];

    files->list = calloc(n > 0 ? (size_t)n : 1, sizeof(*files->list));
    if (!files->list)
        error = ft_fail(fault, FT_ENOMEM, "no memory for %d files", n);
    else if (n < 0)
        error = add_file(files, path, true, fault);
    else if (n == 0)
        error = ft_fail(fault, FT_EMALFORMED, "%.120s: no recording, expected files *%s", path, LG_SUFFIX);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "%s/%s", path, found[i]->d_name);
        error = error ? error : add_file(files, name, false, fault);
        free(found[i]);
    }
    free(found);
    return error;
}

/* From the newest backwards: where the files that go on from each other begin, and which of them has a
 * snapshot.
 */
static bool choose_files(struct nd_log_files *files)
{
    struct lg_recording *list = files->list;

    for (unsigned end = files->count; end > 0;) {
        unsigned begin = end - 1;

        while (begin > 0 && lg_recording_follows(&list[begin - 1], &list[begin]))
            begin--;
        for (unsigned i = begin; i < end; i++)
            if (list[i].snapshot_whole) {
                files->first = i;
                files->count = end;
                return true;
            }
        fprintf(stderr, "%s: its snapshot is not whole, passed over\n", list[begin].file);
        end = begin;
    }
    return false;
}

/* A recording that ended before this one is nobody's loss; one of which the end is missing may be. */
static void report_passed_over(const struct nd_log_files *files, const char *path)
{
    const struct lg_recording *before = &files->list[files->first - 1];

    if (before->whole < before->size)
        fprintf(stderr,
                "%s: torn at offset %lu of %lu, and the next does not go on from there: %u older files "
                "passed over\n",
                before->file, before->whole, before->size, files->first);
    else
        fprintf(stderr, "%s: %u older files are of other recordings, passed over\n", path, files->first);
}

/* How many files there are up to the one in which the node ended then; 0: there is none. */
static unsigned count_to_end(const struct nd_log_files *files, uint64_t wall)
{
    unsigned n = files->count;

    while (n > 0 && !(files->list[n - 1].node_end.how && files->list[n - 1].node_end.wall == wall))
        n--;
    return n;
}

int nd_log_files_open(struct nd_log_files *files, const char *path, uint64_t wall, struct ft_fault *fault)
{
    unsigned all, wanted;
    int error;

    *files = (struct nd_log_files){.count = 0};
    error = add_files(files, path, fault);
    if (error)
        return error;
    all = files->count;
    wanted = wall ? count_to_end(files, wall) : 0;
    if (wall)
        files->count = wanted;
    if (wall && (!wanted || !choose_files(files) || files->count < wanted)) {
        files->count = all;
        return ft_fail(fault, FT_ENOENT, "%.120s: no recording that reaches this end", path);
    }
    if (!wall && !choose_files(files))
        return ft_fail(fault, FT_EMALFORMED, "%.120s: no whole snapshot, expected one to begin from", path);
    if (files->first > 0 && !lg_recording_follows(&files->list[files->first - 1], &files->list[files->first]))
        report_passed_over(files, path);
    for (unsigned i = files->count; i < all; i++)
        lg_recording_close(&files->list[i]);
    report_torn_end(&files->list[files->count - 1]);
    return 0;
}

void nd_log_files_close(struct nd_log_files *files)
{
    for (unsigned i = 0; i < files->count; i++)
        lg_recording_close(&files->list[i]);
    free(files->list);
    files->list = NULL;
    files->count = 0;
}
