/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's files as a set: read, made one piece of and taken apart; see files.h. Owns nothing but what it
 * reads.
 */
#include "node/config/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t elf_head[4] = {0x7f, 'E', 'L', 'F'};

/* The directory that paths are seen from: that of the pair file, with its slash, or "". */
static size_t directory_of(const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash ? (size_t)(slash - file) + 1 : 0;
}

/* Below the directory, and of plain characters. */
static bool is_plain(const char *path)
{
    if (!*path || *path == '/' || strstr(path, "//") || path[strlen(path) - 1] == '/')
        return false;
    return path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")] == '\0' &&
           strstr(path, "/.") == NULL && *path != '.';
}

static bool has_path(const struct nd_files *files, const char *path)
{
    for (uint32_t i = 0; i < files->count; i++)
        if (strcmp(files->list[i].path, path) == 0)
            return true;
    return false;
}

static int add_path(struct nd_files *files, const struct nd_config *config, const char *path,
                    struct ft_fault *fault)
{
    size_t dir = directory_of(config->file);
    struct nd_file *file = &files->list[files->count];

    if (strncmp(path, config->file, dir) == 0)
        path += dir;
    if (strncmp(path, "./", 2) == 0)
        path += 2;
    if (!is_plain(path) || strlen(path) >= sizeof(file->path))
        return ft_fail(fault, FT_EINVAL, "%.120s: not below the pair file's directory, by a plain name",
                       path);
    if (has_path(files, path))
        return 0;
    if (files->count == ND_FILES_MAX)
        return ft_fail(fault, FT_EINVAL, "the chain names more than %u files", ND_FILES_MAX);
    snprintf(file->path, sizeof(file->path), "%s", path);
    files->count++;
    return 0;
}

static int find_paths(struct nd_files *files, const struct nd_config *config, struct ft_fault *fault)
{
    int error;

    files->inlined = !config->chain_file[0];
    error = add_path(files, config, files->inlined ? config->file : config->chain_file, fault);
    for (unsigned i = 0; i < config->chain.count; i++) {
        const struct nf_choice *nf = &config->chain.nfs[i];

        for (const struct nf_param *p = nf->module->params; p && p->name && !error; p++) {
            const char *path =
                p->kind == NF_FILE ? *(const char *const *)((const char *)nf->config + p->offset) : NULL;

            if (path && *path)
                error = add_path(files, config, path, fault);
        }
    }
    return error;
}

/* Behind what was read before. */
static int read_one(struct nd_file *file, const char *directory, size_t dir, uint8_t *to, size_t room,
                    struct ft_fault *fault)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%.*s%s", (int)dir, directory, file->path);
    f = fopen(path, "rb");
    if (!f)
        return ft_fail(fault, FT_EIO, "%.200s: %s", path, strerror(errno));
    file->bytes = to;
    file->len = (uint32_t)fread(to, 1, room, f);
    fclose(f);
    return file->len < room ? 0
                            : ft_fail(fault, FT_EINVAL, "%.200s: the chain's files have more than %u bytes",
                                      path, ND_FILES_SIZE);
}

int nd_files_read(struct nd_files *files, const struct nd_config *config, struct ft_fault *fault)
{
    size_t used = 0;
    int error;

    memset(files, 0, sizeof(*files));
    error = find_paths(files, config, fault);
    if (error)
        return error;
    files->owned = malloc(ND_FILES_SIZE);
    if (!files->owned)
        return ft_fail(fault, FT_ENOMEM, "no memory for the chain's files");
    for (uint32_t i = 0; i < files->count && !error; i++) {
        error = read_one(&files->list[i], config->file, directory_of(config->file), files->owned + used,
                         ND_FILES_SIZE - used, fault);
        used += files->list[i].len;
    }
    if (error)
        nd_files_free(files);
    return error;
}

void nd_files_free(struct nd_files *files)
{
    free(files->owned);
    memset(files, 0, sizeof(*files));
}

/* ---- on the way -------------------------------------------------------------------------------- */

/* A byte: the chain stands in the pair file. Then of each file: the lengths of path and content, both. */
uint8_t *nd_files_pack(const struct nd_files *files, uint32_t *len)
{
    size_t size = 1;
    uint8_t *out, *at;

    for (uint32_t i = 0; i < files->count; i++)
        size += 2 * sizeof(uint32_t) + strlen(files->list[i].path) + files->list[i].len;
    out = at = malloc(size);
    if (!out)
        return NULL;
    *at++ = files->inlined;
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

/* The loader takes nothing that does not begin so. */
static bool is_module(const struct nd_file *file)
{
    return file->len >= sizeof(elf_head) && memcmp(file->bytes, elf_head, sizeof(elf_head)) == 0;
}

int nd_files_unpack(struct nd_files *files, const uint8_t *bytes, uint32_t len, struct ft_fault *fault)
{
    const uint8_t *at = bytes, *end = bytes + len;

    memset(files, 0, sizeof(*files));
    if (len < 1 || len > ND_FILES_SIZE + ND_FILES_MAX * (ND_FILES_PATH + 8) || *at > 1)
        return ft_fail(fault, FT_EMALFORMED, "files: %u bytes, expected a set of files", len);
    files->inlined = *at++;
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
        if (is_module(file))
            return ft_fail(fault, FT_EMALFORMED, "files: %s is a module or a program, expected text",
                           file->path);
        at += lengths[0] + lengths[1];
        files->count++;
    }
    return files->count ? 0 : ft_fail(fault, FT_EMALFORMED, "files: none");
}

int nd_files_check_named(const struct nd_files *files, const struct nd_config *staged, struct ft_fault *fault)
{
    struct nd_files named = {.count = 0};
    int error = find_paths(&named, staged, fault);

    for (uint32_t i = 0; i < files->count && !error; i++)
        if (!has_path(&named, files->list[i].path))
            error = ft_fail(fault, FT_EINVAL, "%s: the chain does not name it, so it is not taken",
                            files->list[i].path);
    return error;
}

int nd_files_place(struct nd_files *files, const struct nd_config *own, bool *same, struct ft_fault *fault)
{
    struct nd_files first = {.count = 0};
    char path[512];
    int error;

    if (files->inlined != !own->chain_file[0])
        return ft_fail(fault, FT_EINVAL,
                       "the chain stands in the pair file on one node, in its own on the other");
    error = add_path(&first, own, files->inlined ? own->file : own->chain_file, fault);
    if (error)
        return error;
    memcpy(files->list[0].path, first.list[0].path, sizeof(first.list[0].path));
    for (uint32_t i = 1; i < files->count; i++)
        if (strcmp(files->list[i].path, own->file + directory_of(own->file)) == 0)
            return ft_fail(fault, FT_EINVAL, "%s: it is this node's pair file, which is its own",
                           files->list[i].path);
    *same = true;
    for (uint32_t i = 0; i < files->count; i++) {
        uint8_t *there = malloc(files->list[i].len + 1u);
        FILE *f;

        snprintf(path, sizeof(path), "%.*s%s", (int)directory_of(own->file), own->file, files->list[i].path);
        f = there ? fopen(path, "rb") : NULL;
        *same &= f && fread(there, 1, files->list[i].len + 1u, f) == files->list[i].len &&
                 memcmp(there, files->list[i].bytes, files->list[i].len) == 0;
        if (f)
            fclose(f);
        free(there);
    }
    return 0;
}
