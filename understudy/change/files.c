/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain's files as a set: read, joined into one piece and split, staged, installed, and the thread that
 * does so; see files.h.
 *
 * A set lies beside those files that are in use, in a directory of its own beside the chain file, until each
 * takes its place. A file there, DECIDED, means that the set is to be installed whole: a process that finds
 * it goes on where the one before was ended. Each step can be done again: the old file gets its second name,
 * and the new one is renamed over the first.
 *
 * A job is the thread's from GIVEN to DONE and the main thread's otherwise; it has copies of all that it
 * looks at, since the thread may outlive the node in a disk.
 */
#define _GNU_SOURCE
#include "understudy/change/files.h"
#include "ftcore/base/check.h"
#include "ftcore/base/disk_thread.h"
#include "ftcore/base/durable.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/trust.h"
#include "ftcore/base/worker.h"
#include "ftcore/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t elf_head[4] = {0x7f, 'E', 'L', 'F'};

/* Bytes of the directory that `path` lies in, with its slash; 0: the working directory. */
static int directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (int)(slash - path) + 1 : 0;
}

/* Below the directory, and of plain characters. */
static bool is_plain(const char *path)
{
    if (!*path || *path == '/' || strstr(path, "//") || path[strlen(path) - 1] == '/')
        return false;
    return path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")] == '\0' &&
           strstr(path, "/.") == NULL && *path != '.';
}

static const struct nd_file *find(const struct nd_files *files, const char *path)
{
    for (uint32_t i = 0; i < files->count; i++)
        if (strcmp(files->list[i].path, path) == 0)
            return &files->list[i];
    return NULL;
}

static int add_file(struct nd_files *files, const char *pair, const struct nf_file *from,
                    struct ft_fault *fault)
{
    const char *name = nd_files_name(pair, from->path);
    struct nd_file *file = &files->list[files->count];

    if (!is_plain(name) || strlen(name) >= sizeof(file->path))
        return ft_fail(fault, FT_EINVAL, "%.120s: not below the pair file's directory, by a plain name",
                       name);
    if (find(files, name))
        return 0;
    if (files->count == ND_FILES_MAX)
        return ft_fail(fault, FT_EINVAL, "the chain names more than %u files", ND_FILES_MAX);
    snprintf(file->path, sizeof(file->path), "%s", name);
    file->bytes = (const uint8_t *)from->bytes;
    file->len = from->len;
    files->count++;
    return 0;
}

int nd_files_of(struct nd_files *files, const struct nd_config *config, struct ft_fault *fault)
{
    size_t size = 0;
    int error;

    memset(files, 0, sizeof(*files));
    if (!config->chain_file[0])
        return 0;
    error = add_file(files, config->file, &config->text, fault);
    for (unsigned i = 0; i < config->chain.count; i++) {
        const struct nf_choice *nf = &config->chain.nfs[i];

        for (const struct nf_param *p = nf->module->params; p && p->name && !error; p++) {
            const struct nf_file *file = (const void *)((const char *)nf->config + p->offset);

            if (p->kind == NF_FILE && file->bytes)
                error = add_file(files, config->file, file, fault);
        }
    }
    for (uint32_t i = 0; i < files->count && !error; i++) {
        size += files->list[i].len;
        if (size > ND_FILES_SIZE)
            error = ft_fail(fault, FT_EINVAL, "%.200s: the chain's files have more than %u bytes",
                            files->list[i].path, ND_FILES_SIZE);
    }
    return error;
}

static bool has(const struct nd_files *files, const struct nd_file *a)
{
    const struct nd_file *b = find(files, a->path);

    return b && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* The same names, the same bytes. */
static bool equal(const struct nd_files *one, const struct nd_files *other)
{
    for (uint32_t i = 0; i < one->count; i++)
        if (!has(other, &one->list[i]))
            return false;
    return one->count == other->count;
}

static void name_differing(const struct nd_files *set, const struct nd_files *here, char *out, size_t cap)
{
    size_t len = 0;

    for (uint32_t i = 0; i < set->count && len < cap; i++)
        if (!has(here, &set->list[i]))
            len += (size_t)snprintf(out + len, cap - len, "%s%s", len ? ", " : "", set->list[i].path);
}

/* ---- on the way -------------------------------------------------------------------------------- */

/* A byte: 1 where the chain stands in the pair file, and no file follows. Else of each file: the lengths of
 * path and content, both. */
uint8_t *nd_files_pack(const struct nd_files *files, uint32_t *len)
{
    size_t size = 1;
    uint8_t *out, *at;

    for (uint32_t i = 0; i < files->count; i++)
        size += 2 * sizeof(uint32_t) + strlen(files->list[i].path) + files->list[i].len;
    out = at = malloc(size);
    if (!out)
        return NULL;
    *at++ = files->count == 0;
    for (uint32_t i = 0; i < files->count; i++) {
        const struct nd_file *file = &files->list[i];
        uint32_t lengths[2] = {(uint32_t)strlen(file->path), file->len};

        memcpy(at, lengths, sizeof(lengths));
        memcpy(at + sizeof(lengths), file->path, lengths[0]);
        memcpy(at + sizeof(lengths) + lengths[0], file->bytes, file->len);
        at += sizeof(lengths) + lengths[0] + file->len;
    }
    *len = (uint32_t)size;
    return out;
}

/* The bytes are those of the buffer. FT_EMALFORMED: paths that lead elsewhere, a set that is cut short, or a
 * file that the loader would take for a module, whatever its name is. */
static int unpack(struct nd_files *files, const uint8_t *bytes, uint32_t len, struct ft_fault *fault)
{
    const uint8_t *at = bytes, *end = bytes + len;

    memset(files, 0, sizeof(*files));
    if (len < 1 || len > ND_FILES_SIZE + ND_FILES_MAX * (ND_FILES_PATH + 8) || *at > 1)
        return ft_fail(fault, FT_EMALFORMED, "files: %u bytes, expected a set of files", len);
    if (*at++ == 1) /* what stands in a pair file is not looked at */
        return 0;
    while (at < end) {
        struct nd_file *file = &files->list[files->count];
        uint32_t lengths[2];

        if (files->count == ND_FILES_MAX || (size_t)(end - at) < sizeof(lengths))
            return ft_fail(fault, FT_EMALFORMED, "files: more than %u, or cut short", ND_FILES_MAX);
        memcpy(lengths, at, sizeof(lengths));
        at += sizeof(lengths);
        if (lengths[0] >= sizeof(file->path) || lengths[0] > (size_t)(end - at) ||
            lengths[1] > (size_t)(end - at) - lengths[0])
            return ft_fail(fault, FT_EMALFORMED, "files: the name or content of number %u is cut short",
                           files->count + 1);
        memcpy(file->path, at, lengths[0]);
        file->path[lengths[0]] = '\0';
        if (strlen(file->path) != lengths[0] || !is_plain(file->path))
            return ft_fail(fault, FT_EMALFORMED, "files: number %u has a name that is not plain",
                           files->count + 1);
        file->bytes = at + lengths[0];
        file->len = lengths[1];
        /* The loader takes nothing that does not begin so. */
        if (file->len >= sizeof(elf_head) && memcmp(file->bytes, elf_head, sizeof(elf_head)) == 0)
            return ft_fail(fault, FT_EMALFORMED, "files: %s is a module or a program, expected text",
                           file->path);
        at += lengths[0] + lengths[1];
        files->count++;
    }
    return files->count ? 0 : ft_fail(fault, FT_EMALFORMED, "files: none");
}

/* FT_EINVAL: the set has a file that `config`, which was read from it, is not made of: it would take the
 * place of a key, or whatever else lies there. */
static int check_named(const struct nd_files *files, const struct nd_config *config, struct ft_fault *fault)
{
    struct nd_files named;
    int error = nd_files_of(&named, config, fault);

    for (uint32_t i = 0; i < files->count && !error; i++)
        if (!find(&named, files->list[i].path))
            error = ft_fail(fault, FT_EINVAL, "%s: the chain does not name it, so it is not taken",
                            files->list[i].path);
    return error;
}

/* The chain's file is renamed to what it is called beside `pair`. FT_EINVAL: it lies elsewhere here, or the
 * pair file is among the others. */
static int place(struct nd_files *files, const char *pair, const char *chain_file, struct ft_fault *fault)
{
    struct nd_files first = {.count = 0};
    int error = add_file(&first, pair, &(struct nf_file){.path = chain_file}, fault);

    if (error)
        return error;
    memcpy(files->list[0].path, first.list[0].path, sizeof(first.list[0].path));
    for (uint32_t i = 1; i < files->count; i++) {
        if (strcmp(files->list[i].path, pair + directory_of(pair)) == 0)
            return ft_fail(fault, FT_EINVAL, "%s: it is this node's pair file, which is its own",
                           files->list[i].path);
        if (strcmp(files->list[i].path, files->list[0].path) == 0)
            return ft_fail(fault, FT_EINVAL, "%s: it is this node's chain file, and another one there",
                           files->list[i].path);
    }
    return 0;
}

/* ---- beside those in use -------------------------------------------------------------------- */

#define STAGE   ".understudy-push"
#define DECIDED ".decided" /* no file of a set has such a name */

struct places {
    char dir[256]; /* with its slash; "": the working directory */
    char stage[288];
    char decided[304];
};

/* The stage lies where the chain file does that `pair` names, so that no other directory need be writable. */
static void find_places(struct places *at, const char *pair)
{
    struct nd_arena *arena = nd_arena_new();
    const struct nd_yaml *root, *file;
    struct nf_file text;
    struct ft_fault fault;
    const char *chain = NULL;

    if (arena && nd_yaml_read(&root, &text, arena, pair, &nd_trust_pair, NULL, &fault) == 0 &&
        (file = nd_yaml_get(nd_yaml_get(root, "chain"), "file")) && file->kind == ND_YAML_TEXT)
        chain = nd_path_join(arena, file->file->dir, file->text);
    if (!chain || strlen(chain) >= sizeof(at->dir))
        chain = pair;
    snprintf(at->dir, sizeof(at->dir), "%.*s", directory_of(pair), pair);
    snprintf(at->stage, sizeof(at->stage), "%.*s" STAGE "/", directory_of(chain), chain);
    snprintf(at->decided, sizeof(at->decided), "%s" DECIDED, at->stage);
    nd_arena_free(arena);
}

static int fail_of_system(int number, struct ft_fault *fault, const char *what, const char *path)
{
    return ft_fail(fault, number == EACCES || number == EPERM || number == EROFS ? FT_EPERM : FT_EIO,
                   "cannot %s %.200s: %s", what, path, strerror(number));
}

static int cannot(struct ft_fault *fault, const char *path)
{
    return fail_of_system(errno, fault, "write", path);
}

static int cannot_read(struct ft_fault *fault, const char *path, int number)
{
    return fail_of_system(number, fault, "read", path);
}

static int make_parents(char *path, size_t from, struct ft_fault *fault)
{
    for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0750) != 0 && errno != EEXIST)
            return cannot(fault, path);
        *slash = '/';
    }
    return 0;
}

/* Between two mounts nothing is renamed, though both may be of one file system: a unit's writable paths. */
static bool is_one_mount(const char *dir, const char *stage)
{
    struct statx a, b;

    return statx(AT_FDCWD, dir, 0, STATX_MNT_ID, &a) == 0 &&
           statx(AT_FDCWD, stage, 0, STATX_MNT_ID, &b) == 0 && a.stx_dev_major == b.stx_dev_major &&
           a.stx_dev_minor == b.stx_dev_minor && a.stx_mnt_id == b.stx_mnt_id;
}

/* A file can be renamed from the stage to `there`, and what is there to NAME.before. *mode: of that. */
static int check_place(const char *there, const char *stage, mode_t *mode, struct ft_fault *fault)
{
    char dir[512], before[520];
    struct stat is;

    snprintf(before, sizeof(before), "%s.before", there);
    snprintf(dir, sizeof(dir), "%.*s", directory_of(there), there);
    if (faccessat(AT_FDCWD, *dir ? dir : ".", W_OK | X_OK, AT_EACCESS) != 0)
        return cannot(fault, there);
    if (!is_one_mount(*dir ? dir : ".", stage))
        return ft_fail(fault, FT_EINVAL, "%.200s: on another file system or mount than the chain file",
                       there);
    if (lstat(before, &is) == 0 && S_ISDIR(is.st_mode))
        return ft_fail(fault, FT_EINVAL, "%.200s: a directory, expected what may be written", before);
    if (lstat(there, &is) != 0)
        return 0;
    *mode = is.st_mode & 0666;
    return S_ISREG(is.st_mode)
               ? 0
               : ft_fail(fault, FT_EINVAL, "%.200s: not a regular file, so it is not replaced", there);
}

static int stage_one(const struct nd_file *file, const struct places *at, struct ft_fault *fault)
{
    char path[512], there[500];
    mode_t mode = 0640;
    int error;

    snprintf(path, sizeof(path), "%s%s", at->stage, file->path);
    snprintf(there, sizeof(there), "%s%s", at->dir, file->path);
    error = make_parents(path, strlen(at->stage), fault);
    if (!error)
        error = make_parents(there, strlen(at->dir), fault);
    if (!error)
        error = check_place(there, at->stage, &mode, fault);
    if (!error)
        error = ft_durable_new(path, mode, file->bytes, file->len, fault);
    return error ? error : ft_durable_sync(path, fault);
}

/* The stage's own name: with a slash behind it a link would be followed. */
static char *name_stage(const struct places *at, char out[sizeof(at->stage)])
{
    snprintf(out, sizeof(at->stage), "%.*s", (int)strlen(at->stage) - 1, at->stage);
    return out;
}

/* All that is staged, a directory before and behind what is in it; NULL: nothing is, or no memory. */
static FTS *open_stage(const struct places *at)
{
    char name[sizeof(at->stage)], *const roots[] = {name_stage(at, name), NULL};

    return fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
}

/* The mark first: what is left without it is nothing. */
static void drop(const struct places *at)
{
    FTS *all;

    unlink(at->decided);
    all = open_stage(at);
    for (const FTSENT *e; all && (e = fts_read(all));)
        if (e->fts_info != FTS_D)
            remove(e->fts_path);
    if (all)
        fts_close(all);
}

/* Makes all directories, and writes the files, on the disk, beside the chain file that `pair` names; whatever
 * can be found to be wrong with their places is found here. FT_EPERM, FT_EIO, FT_EINVAL. */
static int stage_files(const struct nd_files *files, const char *pair, struct ft_fault *fault)
{
    struct places at;
    int error = 0;

    find_places(&at, pair);
    drop(&at);
    if (mkdir(at.stage, 0750) != 0)
        return cannot(fault, at.stage);
    for (uint32_t i = 0; i < files->count && !error; i++)
        error = stage_one(&files->list[i], &at, fault);
    if (error)
        drop(&at);
    return error;
}

/* ---- to their places --------------------------------------------------------------------------- */

static int install_one(const struct places *at, const char *path, struct ft_fault *fault)
{
    char to[768], before[776];
    struct stat there;

    snprintf(to, sizeof(to), "%s%s", at->dir, path + strlen(at->stage));
    snprintf(before, sizeof(before), "%s.before", to);
    /* A file of another user's may not get a second name: for a moment it has none of its own. */
    if (lstat(to, &there) == 0 &&
        ((unlink(before) != 0 && errno != ENOENT) || (link(to, before) != 0 && rename(to, before) != 0)))
        return cannot(fault, before);
    return ft_durable_rename(path, to, fault);
}

static int install_all(const struct places *at, struct ft_fault *fault)
{
    FTS *all = open_stage(at);
    int error = all ? 0 : cannot_read(fault, at->stage, errno);

    for (const FTSENT *e; !error;) {
        errno = 0;
        e = fts_read(all);
        if (!e) {
            error = errno ? cannot_read(fault, at->stage, errno) : 0;
            break;
        }
        /* It may hold files that were decided on. */
        if (e->fts_info == FTS_ERR || e->fts_info == FTS_DNR || e->fts_info == FTS_NS)
            error = cannot_read(fault, e->fts_path, e->fts_errno);
        else if (e->fts_info == FTS_F && strcmp(e->fts_path, at->decided) != 0)
            error = install_one(at, e->fts_path, fault);
    }
    if (all)
        fts_close(all);
    return error;
}

static int finish(const struct places *at, struct ft_fault *fault)
{
    struct stat is;
    int error;

    if (lstat(at->decided, &is) != 0 || !S_ISREG(is.st_mode)) {
        drop(at);
        return 0;
    }
    error = install_all(at, fault);
    if (error)
        return error;
    drop(at);
    return 1;
}

/* A node that is started as root, and becomes another user later, comes here as root: names that this user
 * has put there lead where he likes, so they are followed with his rights. */
int nd_files_finish(const char *pair, struct ft_fault *fault)
{
    struct places at;
    char name[sizeof(at.stage)];
    struct stat is;
    int result;

    find_places(&at, pair);
    if (lstat(name_stage(&at, name), &is) != 0 || !S_ISDIR(is.st_mode)) {
        drop(&at);
        return 0;
    }
    if (geteuid() != 0 || is.st_uid == 0)
        return finish(&at, fault);
    if (setegid(is.st_gid) != 0 || seteuid(is.st_uid) != 0)
        result = cannot(fault, name);
    else
        result = finish(&at, fault);
    FT_CHECK(seteuid(0) == 0 && setegid(0) == 0, "%s: root's rights do not come back", name);
    return result;
}

/* From here on the set takes its places, whatever happens in between. */
static int install(const char *pair, struct ft_fault *fault)
{
    struct places at;
    int error;

    find_places(&at, pair);
    error = ft_durable_new(at.decided, 0600, "", 0, fault);
    if (!error)
        error = ft_durable_sync(at.decided, fault);
    if (!error)
        error = nd_files_finish(pair, fault);
    return error < 0 ? error : 0;
}

/* ---- the thread ----------------------------------------------------------------------------- */

enum stage { FREE, GIVEN, DONE };

struct nd_files_thread {
    struct ft_worker worker;
    _Atomic int stage;
    struct nd_files_job job;
    struct nd_files_job next; /* the main thread's, where one waits */
    bool waits;
};

/* By the set, in place of what lies on the disk; nothing is written before all of it is found to be right. */
static int take_set(struct nd_files_job *job, struct nd_files *files, const char *chain_file)
{
    int error = place(files, job->file, chain_file, &job->fault);

    files->pair = job->file;
    if (!error)
        error = nd_config_read_over(&job->next, job->file, ND_CONFIG_NODES, files, &job->fault);
    if (!error)
        error = check_named(files, job->next, &job->fault);
    if (!error)
        error = stage_files(files, job->file, &job->fault);
    job->staged = !error;
    return error;
}

/* This node's own files are looked at first: where they are those of the set, or no set may be written here,
 * theirs is the configuration. */
static int take(struct nd_files_job *job)
{
    struct nd_config *own = NULL;
    struct nd_files files, mine = {.count = 0};
    struct ft_fault fault;
    int error = unpack(&files, job->bytes, job->len, &job->fault), read;

    if (error)
        return error;
    read = nd_config_read(&own, job->file, ND_CONFIG_NODES, &fault);
    job->travels = files.count && *(own ? own->chain_file : job->chain_file);
    job->same = job->travels && own && nd_files_of(&mine, own, &fault) == 0 && equal(&files, &mine);
    if (job->same || !job->permit || !job->travels) {
        job->next = own;
        if (read)
            job->fault = fault;
        return read;
    }
    error = take_set(job, &files, own ? own->chain_file : job->chain_file);
    name_differing(&files, &mine, job->differs, sizeof(job->differs));
    nd_config_free(own);
    return error;
}

/* The set that runs now, and what waits for a confirm: each though the other one has no room. */
static void keep(struct nd_files_job *job)
{
    int waits;

    if (!*job->sets)
        return;
    waits = nd_kept_wait(job->sets, &job->waits, job->waits_until, &job->fault);
    if (job->bytes)
        job->unkept = nd_kept_add(job->sets, &job->note, job->bytes, job->len, &job->fault);
    job->unkept = job->unkept ? job->unkept : waits;
    job->kept_count = nd_kept_list(job->sets, job->kept);
}

static int do_job(struct nd_files_job *job)
{
    int error = 0;

    /* The chain runs, wherever its files are. */
    if (job->work == ND_FILES_INSTALL || job->work == ND_FILES_KEEP)
        keep(job);
    if (job->work == ND_FILES_INSTALL)
        return install(job->file, &job->fault);
    if (job->work == ND_FILES_KEEP)
        return 0;
    error = nd_files_finish(job->file, &job->fault);
    if (error > 0)
        error = 0;
    if (!error && job->work == ND_FILES_READ)
        error = nd_config_read(&job->next, job->file, ND_CONFIG_NODES, &job->fault);
    else if (!error && job->work == ND_FILES_BACK)
        error = nd_kept_read(job->sets, job->number, &job->bytes, &job->len, &job->fault);
    if (!error && (job->work == ND_FILES_TAKE || job->work == ND_FILES_BACK))
        error = take(job);
    return error;
}

static void *work(void *thread)
{
    struct nd_files_thread *t = thread;

    ft_disk_thread_begin("us-files", "a chain's files");
    for (;;) {
        bool ends;

        ft_worker_wait(&t->worker, UINT64_MAX);
        ends = ft_worker_ends(&t->worker);
        if (atomic_load_explicit(&t->stage, memory_order_acquire) == GIVEN) {
            t->job.error = do_job(&t->job);
            if (t->job.error) {
                nd_config_free(t->job.next);
                t->job.next = NULL;
            }
            atomic_store_explicit(&t->stage, DONE, memory_order_release);
        }
        if (ends)
            return NULL;
    }
}

int nd_files_thread_open(struct nd_files_thread **out, struct ft_fault *fault)
{
    struct nd_files_thread *t = calloc(1, sizeof(*t));
    int error = t ? ft_worker_start(&t->worker, work, t, "the chain's files", fault)
                  : ft_fail(fault, FT_ENOMEM, "no memory for the thread of the chain's files");

    if (error) {
        free(t);
        t = NULL;
    }
    *out = t;
    return error;
}

void nd_files_thread_close(struct nd_files_thread *t)
{
    if (!t)
        return;
    if (t->waits)
        nd_files_job_end(&t->next);
    if (!ft_worker_end(&t->worker, ft_now() + FT_WORKER_DISK_NS)) {
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_CHAIN, "the disk keeps the thread of the chain's files");
        return; /* what it may still look at stays */
    }
    nd_files_job_end(&t->job);
    free(t);
}

static void give(struct nd_files_thread *t, const struct nd_files_job *job)
{
    t->job = *job;
    atomic_store_explicit(&t->stage, GIVEN, memory_order_release);
    ft_worker_wake(&t->worker);
}

bool nd_files_give(struct nd_files_thread *t, const struct nd_files_job *job)
{
    if (nd_files_busy(t))
        return false;
    give(t, job);
    return true;
}

void nd_files_order(struct nd_files_thread *t, const struct nd_files_job *job)
{
    if (nd_files_give(t, job))
        return;
    if (t->waits)
        nd_files_job_end(&t->next);
    t->next = *job;
    t->waits = true;
}

bool nd_files_busy(const struct nd_files_thread *t)
{
    return t->waits || atomic_load_explicit(&t->stage, memory_order_acquire) != FREE;
}

bool nd_files_outcome(struct nd_files_thread *t, struct nd_files_job *out)
{
    if (atomic_load_explicit(&t->stage, memory_order_acquire) != DONE)
        return false;
    *out = t->job;
    memset(&t->job, 0, sizeof(t->job));
    atomic_store_explicit(&t->stage, FREE, memory_order_release);
    if (t->waits)
        give(t, &t->next);
    t->waits = false;
    return true;
}

void nd_files_job_end(struct nd_files_job *job)
{
    free(job->bytes);
    nd_config_free(job->next);
    job->bytes = NULL;
    job->next = NULL;
}
