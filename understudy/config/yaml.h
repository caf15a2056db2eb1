/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML file as a tree in which everything knows its line. Only what a configuration needs: text, lists and
 * maps, one document. Anchors, aliases and tags are refused, so the tree is no larger than the file; file,
 * depth and list lengths are bounded. Made by nd_yaml_read; read by the schema and the configuration.
 *
 * The memory that it lies in, which is the whole configuration's, and the content of files: read once, from
 * the disk, or from a set of a peer's files that is looked at before it is written anywhere.
 */
#ifndef NODE_CONFIG_YAML_H
#define NODE_CONFIG_YAML_H

#include "ftcore/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ft_trust;
struct nf_file;

/* Memory that lives and dies together: everything a configuration owns. What was handed out stays where it
 * is until the whole arena is freed. Zeroed, aligned for anything. NULL: no memory. */
struct nd_arena *nd_arena_new(void);
void nd_arena_free(struct nd_arena *arena); /* NULL is fine */
void *nd_arena_alloc(struct nd_arena *arena, size_t size);
/* printf's result; a terminated copy of `len` bytes. */
char *nd_arena_format(struct nd_arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline char *nd_arena_text(struct nd_arena *arena, const char *text, size_t len)
{
    return nd_arena_format(arena, "%.*s", (int)len, text);
}

#define ND_FILES_MAX  64u
#define ND_FILES_PATH 192u

struct nd_file {
    char path[ND_FILES_PATH]; /* seen from the pair file's directory */
    const uint8_t *bytes;
    uint32_t len;
};
/* A chain's files (files.h). The first one has the chain. The bytes are borrowed. */
struct nd_files {
    struct nd_file list[ND_FILES_MAX];
    uint32_t count;   /* 0: the chain stands in the pair file */
    const char *pair; /* of a set in place of the disk's: the pair file, which is read from the disk */
};

/* `path` as it is called in a set, seen from the directory of the file `pair`. */
const char *nd_files_name(const char *pair, const char *path);

#define ND_YAML_BYTES    (1u << 20)
#define ND_YAML_DEPTH    16u
#define ND_YAML_CHILDREN 4096u

enum nd_yaml_kind { ND_YAML_TEXT, ND_YAML_LIST, ND_YAML_MAP };

struct nd_yaml_file {
    const char *shown;            /* the path as in messages: shortened if long, no control characters */
    const char *dir;              /* the directory that paths in this file are relative to */
    const struct ft_trust *trust; /* whose files are believed that this one names; lives as long as this */
    const struct nd_files *over;  /* where its files are looked for; NULL: on the disk */
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
                 const struct ft_trust *trust, const struct nd_files *over, struct ft_fault *fault);

/* The same of a content that is there already, as if it stood in `path`; it lies in `arena`. */
int nd_yaml_read_text(const struct nd_yaml **root, const struct nf_file *text, struct nd_arena *arena,
                      const char *path, const struct ft_trust *trust, struct ft_fault *fault);

/* The content of the file `path`, of at most `max` bytes, in `arena`: out of the set over `of`, or of the
 * disk, as far as it is believed there. Or a negative ft_error, with *why in words; *why NULL: in `fault`. */
int nd_content_read(struct nf_file *out, struct nd_arena *arena, const char *path,
                    const struct nd_yaml_file *of, uint32_t max, const char **why, struct ft_fault *fault);
/* NULL: a file is there, or in the set, and can be read; it is not. Or why not. */
const char *nd_content_find(const char *path, const struct nd_files *over);

/* The entry `key` of a map; NULL: none, or `map` is NULL or no map. */
const struct nd_yaml *nd_yaml_get(const struct nd_yaml *map, const char *key);

/* Fails with FT_EMALFORMED and "FILE:LINE: …" at `yaml`: where its key stands, else the value. */
int nd_yaml_fail(struct ft_fault *fault, const struct nd_yaml *yaml, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Fails with FT_ENOMEM and a line. */
static inline int nd_no_memory(struct ft_fault *fault)
{
    return ft_fail(fault, FT_ENOMEM, "no memory for the configuration");
}

/* `path` as seen from `dir` (absolute paths stay); in `arena`. NULL: no memory. */
const char *nd_path_join(struct nd_arena *arena, const char *dir, const char *path);

#endif
