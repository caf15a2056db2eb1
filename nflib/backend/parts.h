/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the state backend (nflib/backend/) share; see backend.h. */
#ifndef NFLIB_BACKEND_PARTS_H
#define NFLIB_BACKEND_PARTS_H

#include "nflib/backend/backend.h"
#include "nflib/backend/touched.h"
#include "nflib/state/watch.h"

#define NF_BACKEND_PREFIX 16u
#define NF_BACKEND_KEY    4096u /* as nflib/state/map.c takes them */

/* What the chain made; or an arena, for what lies in no object: `kind` says nothing then. */
struct nf_backend_object {
    uintptr_t at, end;
    enum nf_watch_kind kind;
    const struct nf_watch_table *as; /* NF_WATCH_MAP */
    uint32_t prefix_len;
    char prefix[NF_BACKEND_PREFIX];
};

struct nf_backend {
    struct nf_store store;
    struct ft_region *region;          /* NULL until the chain is made */
    struct nf_backend_object *objects; /* sorted by address once it is */
    uint32_t count, room;
    uint32_t numbers[FT_NFS_MAX]; /* objects reported so far, by NF */
    struct nf_backend_object arenas[FT_NFS_MAX + 1];
    uint32_t arena_count;
    struct nf_touched touched;
    const struct nf_backend_object *word; /* whose last change is not reported yet */
    uint64_t word_was;
    uintptr_t lines[64]; /* touched last, by the low bits of their number: most edits are of these again */
    uint8_t key[NF_BACKEND_PREFIX + NF_BACKEND_KEY];
};

/* backend.c */
extern const struct nf_watch nf_backend_watcher; /* of the state types */
void nf_backend_watch(void *arg, const void *p, size_t n);
const struct nf_backend_object *nf_backend_object_at(const struct nf_backend *b,
                                                     uintptr_t p); /* NULL: in none */
const uint64_t *nf_backend_word(const struct nf_backend_object *object);
uint32_t nf_backend_decimal(char text[24], uint64_t n);
/* SET of a table's entry as it is, or DEL; SET of a line. */
void nf_backend_write_entry(struct nf_backend *b, const struct nf_backend_object *object, const void *key);
void nf_backend_write_line(struct nf_backend *b, uintptr_t line);

/* start.c */
void nf_backend_enter(const struct nf *nf, enum nf_watch_kind kind, const void *start, uint64_t bytes);
void nf_backend_enter_table(const void *start, uint64_t bytes, const struct nf_watch_table *as);

#endif
