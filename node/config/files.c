/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's files as a set: read, made one piece of and taken apart; see files.h. Owns nothing but what it
 * reads.
 */
#include "node/config/files.h"

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

static const struct nd_file *find(const struct nd_files *files, const char *path)
{
    for (uint32_t i = 0; i < files->count; i++)
        if (strcmp(files->list[i].path, path) == 0)
            return &files->list[i];
    return NULL;
}

const char *nd_files_name(const char *pair, const char *path)
{
    size_t dir = directory_of(pair);

    if (strncmp(path, pair, dir) == 0)
        path += dir;
    return strncmp(path, "./", 2) == 0 ? path + 2 : path;
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

bool nd_files_equal(const struct nd_files *one, const struct nd_files *other)
{
    for (uint32_t i = 0; i < one->count; i++) {
        const struct nd_file *a = &one->list[i], *b = find(other, a->path);

        if (!b || a->len != b->len || memcmp(a->bytes, b->bytes, a->len) != 0)
            return false;
    }
    return one->count == other->count;
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
        if (is_module(file))
            return ft_fail(fault, FT_EMALFORMED, "files: %s is a module or a program, expected text",
                           file->path);
        at += lengths[0] + lengths[1];
        files->count++;
    }
    return files->count ? 0 : ft_fail(fault, FT_EMALFORMED, "files: none");
}

int nd_files_check_named(const struct nd_files *files, const struct nd_config *config, struct ft_fault *fault)
{
    struct nd_files named;
    int error = nd_files_of(&named, config, fault);

    for (uint32_t i = 0; i < files->count && !error; i++)
        if (!find(&named, files->list[i].path))
            error = ft_fail(fault, FT_EINVAL, "%s: the chain does not name it, so it is not taken",
                            files->list[i].path);
    return error;
}

int nd_files_place(struct nd_files *files, const char *pair, const char *chain_file, struct ft_fault *fault)
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
