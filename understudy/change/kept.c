/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sets of chain files that a node has kept; see kept.h. A file is a head, a note, and the set as it
 * travels (understudy/change/files.c); its name is the note's number in 20 digits, so names in order are sets
 * in order. It is written beside its place and renamed, so that what has a name is whole.
 */
#define _GNU_SOURCE
#include "understudy/change/kept.h"
#include "ftcore/base/durable.h"
#include "ftcore/base/plant.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SET_MAX (2u << 20) /* bytes of a file here, at most */
#define WAITS   "waits"    /* the name of what waits for a confirm: no number */
#define DIGITS  20

static const char head[16] = "understudy set1\n"; /* no final NUL */

_Static_assert(sizeof(struct nd_note) == 4 * sizeof(uint64_t) + ND_BY_MAX + ND_HOW_MAX, "it has no holes");

static bool is_text(const char *text, size_t size)
{
    size_t n = strnlen(text, size);

    for (size_t i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] == 0x7f) /* char has a sign here: other bytes are below ' ' */
            return false;
    return n < size;
}

bool nd_note_is_sound(const struct nd_note *note)
{
    return is_text(note->by, sizeof(note->by)) && is_text(note->how, sizeof(note->how)) &&
           note->number <= INT64_MAX && note->confirm_ms <= INT32_MAX;
}

static int cannot(struct ft_fault *fault, const char *what, const char *path)
{
    return ft_fail(fault, errno == EACCES || errno == EPERM || errno == EROFS ? FT_EPERM : FT_EIO,
                   "cannot %s %.200s: %s", what, path, strerror(errno));
}

void nd_kept_name(char out[ND_KEPT_PATH], const char *dir, uint64_t number)
{
    snprintf(out, ND_KEPT_PATH, "%.256s/%0*" PRIu64, dir, DIGITS, number);
}

/* ---- one file ----------------------------------------------------------------------------------- */

/* The note alone, where `bytes` is NULL; else all behind it, the caller's to free. */
static int read_set(const char *path, struct nd_note *note, uint8_t **bytes, uint32_t *len,
                    struct ft_fault *fault)
{
    FILE *f = fopen(path, "re");
    char begins[sizeof(head)];
    uint8_t *content = NULL;
    struct stat is;
    size_t size = 0;
    int error = 0;

    if (!f)
        return errno == ENOENT ? ft_fail(fault, FT_ENOENT, "%.200s: no such set", path)
                               : cannot(fault, "read", path);
    if (fread(begins, sizeof(begins), 1, f) != 1 || memcmp(begins, head, sizeof(head)) != 0 ||
        fread(note, sizeof(*note), 1, f) != 1 || !nd_note_is_sound(note) || fstat(fileno(f), &is) != 0 ||
        is.st_size > SET_MAX)
        error = ft_fail(fault, FT_EMALFORMED, "%.200s: expected a set that a node has kept", path);
    if (!error && bytes) {
        size = (size_t)is.st_size - sizeof(head) - sizeof(*note);
        content = malloc(size + 1);
        if (!content)
            error = ft_fail(fault, FT_ENOMEM, "no memory for a set of files");
        else if (size && fread(content, size, 1, f) != 1)
            error = ft_fail(fault, FT_EMALFORMED, "%.200s: cut short", path);
    }
    fclose(f);
    if (error || !bytes) {
        free(content);
        return error;
    }
    *bytes = content;
    *len = (uint32_t)size;
    return 0;
}

static int write_set(const char *dir, const char *path, const struct nd_note *note, const uint8_t *bytes,
                     uint32_t len, struct ft_fault *fault)
{
    char beside[ND_KEPT_PATH];
    struct ft_durable file;
    int error;

    if (mkdir(dir, 0750) != 0 && errno != EEXIST)
        return cannot(fault, "make", dir);
    snprintf(beside, sizeof(beside), "%.256s/new", dir);
    unlink(beside);
    error = ft_durable_begin(&file, path, beside, 0640, fault);
    if (error)
        return error;
    return ft_durable_end(&file,
                          fwrite(head, sizeof(head), 1, file.out) == 1 &&
                              fwrite(note, sizeof(*note), 1, file.out) == 1 &&
                              (len == 0 || fwrite(bytes, len, 1, file.out) == 1),
                          fault);
}

/* ---- all of them -------------------------------------------------------------------------------- */

static int is_set(const struct dirent *e)
{
    return strlen(e->d_name) == DIGITS && strspn(e->d_name, "0123456789") == DIGITS;
}

/* Numbers, the newest first; `max` at most, and those beyond are removed where `prunes`. */
static unsigned find_sets(const char *dir, uint64_t out[], unsigned max, bool prunes)
{
    struct dirent **names;
    int n = scandir(dir, &names, is_set, alphasort);
    unsigned count = 0;
    char path[ND_KEPT_PATH];

    for (int i = n - 1; i >= 0; i--) {
        uint64_t number = strtoull(names[i]->d_name, NULL, 10);

        free(names[i]);
        if (count < max) {
            out[count++] = number;
        } else if (prunes) {
            nd_kept_name(path, dir, number);
            unlink(path);
        }
    }
    if (n >= 0)
        free(names);
    return count;
}

/* It is what was kept last. */
static bool is_kept(const char *dir, const struct nd_note *note, const uint8_t *bytes, uint32_t len)
{
    uint64_t newest;
    struct nd_note kept;
    struct ft_fault ignored;
    uint8_t *content = NULL;
    uint32_t size = 0;
    char path[ND_KEPT_PATH];
    bool same = false;

    if (find_sets(dir, &newest, 1, false)) {
        nd_kept_name(path, dir, newest);
        same = read_set(path, &kept, &content, &size, &ignored) == 0 && kept.chain == note->chain &&
               size == len && memcmp(content, bytes, len) == 0;
    }
    free(content);
    return same;
}

int nd_kept_add(const char *dir, const struct nd_note *note, const uint8_t *bytes, uint32_t len,
                struct ft_fault *fault)
{
    uint64_t kept[ND_KEPT_SETS];
    char path[ND_KEPT_PATH];
    int error;

    if (is_kept(dir, note, bytes, len))
        return 0;
    nd_kept_name(path, dir, note->number);
    error = write_set(dir, path, note, bytes, len, fault);
    find_sets(dir, kept, ND_KEPT_SETS, true);
    return error;
}

unsigned nd_kept_list(const char *dir, struct nd_note out[ND_KEPT_SETS])
{
    uint64_t numbers[ND_KEPT_SETS];
    unsigned n = find_sets(dir, numbers, ND_KEPT_SETS, false), count = 0;
    struct ft_fault ignored;
    char path[ND_KEPT_PATH];

    for (unsigned i = 0; i < n; i++) {
        nd_kept_name(path, dir, numbers[i]);
        count += read_set(path, &out[count], NULL, NULL, &ignored) == 0;
    }
    return count;
}

int nd_kept_read(const char *dir, uint64_t number, uint8_t **bytes, uint32_t *len, struct ft_fault *fault)
{
    struct nd_note note;
    char path[ND_KEPT_PATH];

    nd_kept_name(path, dir, number);
    return read_set(path, &note, bytes, len, fault);
}

/* ---- what waits for a confirm -------------------------------------------------------------------- */

int nd_kept_wait(const char *dir, const struct nd_note *note, uint64_t until, struct ft_fault *fault)
{
    char path[ND_KEPT_PATH];

    snprintf(path, sizeof(path), "%.256s/" WAITS, dir);
    if (!note->number || FT_PLANTED("wait-unwritten"))
        return unlink(path) == 0 || errno == ENOENT ? 0 : cannot(fault, "remove", path);
    return write_set(dir, path, note, (const uint8_t *)&until, sizeof(until), fault);
}

bool nd_kept_waits(const char *dir, struct nd_note *note, uint64_t *until)
{
    struct ft_fault ignored;
    uint8_t *bytes = NULL;
    uint32_t len = 0;
    char path[ND_KEPT_PATH];
    bool there;

    snprintf(path, sizeof(path), "%.256s/" WAITS, dir);
    there = read_set(path, note, &bytes, &len, &ignored) == 0 && len == sizeof(*until);
    if (there)
        memcpy(until, bytes, sizeof(*until));
    free(bytes);
    return there;
}
