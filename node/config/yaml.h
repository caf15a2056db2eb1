/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML file as a tree in which everything knows its line. Only what a configuration needs: text, lists and
 * maps, one document. Anchors, aliases and tags are refused, so the tree is no larger than the file; file,
 * depth and list lengths are bounded. Made by nd_yaml_read; read by the schema and the configuration.
 */
#ifndef NODE_CONFIG_YAML_H
#define NODE_CONFIG_YAML_H

#include "ftcore/base/error.h"
#include "node/config/content.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ft_trust;

#define ND_YAML_BYTES    (1u << 20)
#define ND_YAML_DEPTH    16u
#define ND_YAML_CHILDREN 4096u

enum nd_yaml_kind { ND_YAML_TEXT, ND_YAML_LIST, ND_YAML_MAP };

struct nd_yaml_file {
    const char *shown;             /* the path as in messages: shortened if long, no control characters */
    const char *dir;               /* the directory that paths in this file are relative to */
    const struct ft_trust *trust;  /* whose files are believed that this one names; lives as long as this */
    const struct nd_overlay *over; /* content.h: where its files are looked for; NULL: on the disk */
};

struct nd_yaml {
    enum nd_yaml_kind kind;
    bool quoted;   /* text in quotes: never a number, boolean or nothing */
    uint32_t line; /* from 1 */
    const struct nd_yaml_file *file;
    const char *text; /* ND_YAML_TEXT: no control characters; "" for nothing */
    const char *key;  /* of an entry of a map, else NULL */
    uint32_t key_line;
    uint32_t count; /* of children */
    struct nd_yaml *first, *next;
};

/* Of a pair file, or of a chain file that no other names. */
extern const struct ft_trust nd_trust_pair;

/* Reads `path`, as far as it is believed, or what stands for it in `over` (NULL: nothing does), into a tree
 * in `arena`, and its content into *text. `trust` lives as long as the arena. FT_ENOENT, FT_EPERM, FT_EIO,
 * FT_ENOMEM; FT_EMALFORMED with a line.
 */
int nd_yaml_read(const struct nd_yaml **root, struct nf_file *text, struct nd_arena *arena, const char *path,
                 const struct ft_trust *trust, const struct nd_overlay *over, struct ft_fault *fault);

/* The entry `key` of a map; NULL: none, or `map` is NULL or no map. */
const struct nd_yaml *nd_yaml_get(const struct nd_yaml *map, const char *key);

/* Fails with FT_EMALFORMED and "FILE:LINE: …" at `yaml`: where its key stands, else the value. */
int nd_yaml_fail(struct ft_fault *fault, const struct nd_yaml *yaml, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Fails with FT_ENOMEM and a line. */
int nd_no_memory(struct ft_fault *fault);

/* `path` as seen from `dir` (absolute paths stay); in `arena`. NULL: no memory. */
const char *nd_path_join(struct nd_arena *arena, const char *dir, const char *path);

#endif
