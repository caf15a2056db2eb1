/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a chain that has one of its own: the chain file, and what its NFs name. How they travel to the
 * peer, are staged there, and take the place of those that were there. Pair files are a node's own, and
 * modules are code: neither travels. What touches a disk is for the thread of files_thread.h, or a start.
 */
#ifndef NODE_CONFIG_FILES_H
#define NODE_CONFIG_FILES_H

#include "node/config/config.h"

#define ND_FILES_MAX  64u
#define ND_FILES_PATH 192u
#define ND_FILES_SIZE (1u << 20) /* bytes of a set at most */

struct nd_file {
    char path[ND_FILES_PATH]; /* seen from the pair file's directory */
    const uint8_t *bytes;
    uint32_t len;
};
/* The first one has the chain. The bytes are borrowed. */
struct nd_files {
    struct nd_file list[ND_FILES_MAX];
    uint32_t count; /* 0: the chain stands in the pair file */
};

/* Those of a configuration, as they were when it was read. FT_EINVAL: one lies elsewhere, or they are too
 * large. */
int nd_files_of(struct nd_files *files, const struct nd_config *config, struct ft_fault *fault);
/* The same names, the same bytes. */
bool nd_files_equal(const struct nd_files *one, const struct nd_files *other);
/* `path` as it is called in a set, seen from the directory of the file `pair`. */
const char *nd_files_name(const char *pair, const char *path);

/* Into a new buffer, the caller's to free; NULL: no memory. And back: bytes are those of the buffer.
 * FT_EMALFORMED: paths that lead elsewhere, a set that is cut short, or a file that the loader would take for
 * a module, whatever its name is. */
uint8_t *nd_files_pack(const struct nd_files *files, uint32_t *len);
int nd_files_unpack(struct nd_files *files, const uint8_t *bytes, uint32_t len, struct ft_fault *fault);

/* The chain's file is renamed to what it is called beside `pair`. FT_EINVAL: it lies elsewhere here, or the
 * pair file is among the others. */
int nd_files_place(struct nd_files *files, const char *pair, const char *chain_file, struct ft_fault *fault);
/* FT_EINVAL: the set has a file that `config`, which was read from it, is not made of: it would take the
 * place of a key, or whatever else lies there. */
int nd_files_check_named(const struct nd_files *files, const struct nd_config *config,
                         struct ft_fault *fault);

/*
 * Below the directory of `pair`. stage: makes all directories, and writes the files, on the disk, beside
 * the chain file that `pair` names; whatever can be found to be wrong with their places is found here.
 * install: from here on they take their places, whatever happens in between, and what was there is kept as
 * NAME.before. finish: what was begun so is done, for which it returns 1; what was only staged goes: 0.
 * FT_EPERM, FT_EIO, FT_EINVAL.
 */
int nd_files_stage(const struct nd_files *files, const char *pair, struct ft_fault *fault);
int nd_files_install(const char *pair, struct ft_fault *fault);
int nd_files_finish(const char *pair, struct ft_fault *fault);

#endif
