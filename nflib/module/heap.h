/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for a library that an NF is made of, from the NF's heap (module->heap, ftcore/region/heap.h). It is
 * written without edits. The chain sets whose heap is in use while it calls process, timers, set, clear and
 * session_end: then these calls allocate from that heap. At any other time, as in `check` and `make`, they
 * are the system's, for what a library makes of its configuration and does not change while packets flow. So
 * an NF without a heap has them in `check` and `release`, for what it reads of files.
 *
 * A heap that is full gives NULL; nf->heap->refused counts that. With the audit on, what is given back is
 * overwritten: a pointer that is read from there leads nowhere, and a write there aborts when the memory is
 * given out again.
 */
#ifndef NFLIB_MODULE_HEAP_H
#define NFLIB_MODULE_HEAP_H

#include "ftcore/region/heap.h"
#include "nflib/module/module.h"

void *nf_heap_malloc(size_t size);
void *nf_heap_calloc(size_t count, size_t size);
void *nf_heap_realloc(void *p, size_t size);
/* What the system gave before packets flowed is not given back while they do, nor another NF's: both are
 * broken invariants. */
void nf_heap_free(void *p);

/* Seconds since 1970 by the wall clock, a determinant of the NF whose heap it is; else 0. For what a library
 * asks of the system in place of its caller. */
uint64_t nf_heap_wall_clock(void);

/* ---- of the chain ------------------------------------------------------------------------------ */

/* In `arena`, while the chain is made, if the module wants one. False: it found no room. */
bool nf_heap_make(struct nf *nf);
/* Bytes of arena for it. */
uint64_t nf_heap_bytes(const struct nf_module *module, const void *config);

/* Brackets what the chain calls of an NF that has a heap. They nest: it gives who was called before. */
const struct nf *nf_heap_enter(const struct nf *nf);
void nf_heap_leave(const struct nf *before);

#endif
