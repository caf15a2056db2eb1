/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in a file that a configuration is made of: read once, from the disk, or from a set of a peer's
 * files that is looked at before it is written anywhere. For files of node/config.
 */
#ifndef NODE_CONFIG_CONTENT_H
#define NODE_CONFIG_CONTENT_H

#include "node/config/files.h"
#include "node/config/yaml.h"

/* The set, seen from the directory of the pair file `pair`, which is read from the disk. */
struct nd_overlay {
    const struct nd_files *files;
    const char *pair;
};

/* Of at most `max` bytes, in `arena`, out of the set `over`. NULL, or why not, in words. */
const char *nd_content_read(struct nf_file *out, struct nd_arena *arena, const char *path,
                            const struct nd_overlay *over, uint32_t max);
/* The same of a file of the disk that is open already; closes it. */
const char *nd_content_read_open(struct nf_file *out, struct nd_arena *arena, const char *path, int fd,
                                 uint32_t max);
/* `path` stands in the set `over`, if anywhere. */
bool nd_content_is_over(const struct nd_overlay *over, const char *path);
/* NULL: a file is there, or in the set, and can be read; it is not. Or why not. */
const char *nd_content_find(const char *path, const struct nd_overlay *over);

#endif
