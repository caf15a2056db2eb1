/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a chain: the chain file, or the pair file in which the chain stands, and what its NFs name.
 * How they travel to the peer, are laid aside there, and take the place of those that were there. For the
 * main thread, which may wait for a disk. Modules are code: they do not travel.
 */
#ifndef NODE_CONFIG_FILES_H
#define NODE_CONFIG_FILES_H

#include "node/config/config.h"

#define ND_FILES_MAX    64u
#define ND_FILES_PATH   192u
#define ND_FILES_SIZE   (1u << 20) /* bytes of a set at most */
#define ND_FILES_STAGED 640u       /* bytes of the path of one that is laid aside */

struct nd_file {
    char path[ND_FILES_PATH]; /* seen from the pair file's directory */
    const uint8_t *bytes;
    uint32_t len;
};
/* The first one has the chain. */
struct nd_files {
    struct nd_file list[ND_FILES_MAX];
    uint32_t count;
    bool inlined;   /* the chain stands in the pair file */
    uint8_t *owned; /* what was read; NULL: bytes are borrowed */
};

/* Reads those of a configuration. FT_EINVAL: one lies elsewhere, or they are too large; FT_EIO, FT_ENOMEM. */
int nd_files_read(struct nd_files *files, const struct nd_config *config, struct ft_fault *fault);
void nd_files_free(struct nd_files *files);

/* Into a new buffer, the caller's to free; NULL: no memory. And back: bytes are those of the buffer.
 * FT_EMALFORMED: paths that lead elsewhere, a set that is cut short, or a file that the loader would take for
 * a module, whatever its name is. */
uint8_t *nd_files_pack(const struct nd_files *files, uint32_t *len);
int nd_files_unpack(struct nd_files *files, const uint8_t *bytes, uint32_t len, struct ft_fault *fault);

/*
 * The peer's files, at the places where `own` has such: the chain's is renamed to what it is called here.
 * *same: there is nothing to write. FT_EINVAL: the chain stands elsewhere here, or the pair file is among the
 * others.
 */
int nd_files_place(struct nd_files *files, const struct nd_config *own, bool *same, struct ft_fault *fault);
/* Lays them aside, beside `own`'s file, so that *path can be read as that file would be with them.
 * nd_files_install moves them to their places, and keeps what was there as NAME.before. nd_files_drop: they
 * go. */
int nd_files_stage(const struct nd_files *files, const struct nd_config *own, char path[ND_FILES_STAGED],
                   struct ft_fault *fault);
int nd_files_install(const struct nd_config *own, struct ft_fault *fault);
/* FT_EINVAL: the set has a file that `staged`, the configuration read from where the set is laid aside, is
 * not made of: it would take the place of the pair file, a key, or whatever else lies there. */
int nd_files_check_named(const struct nd_files *files, const struct nd_config *staged,
                         struct ft_fault *fault);
void nd_files_drop(const struct nd_config *own);

#endif
