/* SPDX-License-Identifier: Apache-2.0 */
/* Whose heap a library's calls are for; see module/heap.h. Owns that, for each thread. */
#include "nflib/module/heap.h"
#include "ftcore/region/audit.h"
#include "nflib/module/content.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static _Thread_local const struct nf *at_work; /* NULL: memory is the system's */

uint64_t nf_heap_bytes(const struct nf_module *module, const void *config)
{
    return module->heap ? ft_heap_bytes(module->heap(config)) : 0;
}

static void step(void *check)
{
    nf_check_step(check);
}

static int check_heap(struct nf_check *c, const void *object)
{
    const char *wrong = ft_heap_check(object, step, c);

    return wrong ? nf_check_failed(c, "%s", wrong) : 0;
}

bool nf_heap_make(struct nf *nf)
{
    if (!nf->module->heap)
        return true;
    nf->heap = ft_heap_make(nf->arena, nf->module->heap(nf->config));
    if (!nf->heap)
        return false;
    NF_CONSTANT(nf, &nf->heap->pages);
    nf_object(nf, nf->heap, "heap", check_heap);
    return true;
}

const struct nf *nf_heap_enter(const struct nf *nf)
{
    const struct nf *before = at_work;

    at_work = nf;
    ft_audit_entered(nf->index);
    return before;
}

void nf_heap_leave(const struct nf *before)
{
    at_work = before;
}

#define POISON 0xdb /* of a pointer it makes one that leads nowhere */

/* Of poisoned heaps: memory is new, and zeros, or was given back, and nobody has written there since. */
static void check_poison(const struct nf *nf, const uint8_t *p)
{
    uint64_t size = ft_heap_size_of(nf->heap, p);

    for (uint64_t i = 0; i < size; i++)
        FT_CHECK(p[i] == POISON || p[i] == 0,
                 "NF '%s' (lane %u) wrote to memory of its heap that it had given back, byte %lu of %lu",
                 nf->module->name, nf->lane, i, size);
}

void *nf_heap_malloc(size_t size)
{
    void *p = at_work ? ft_heap_alloc(at_work->heap, size) : malloc(size); /* lint: config-time */

    if (at_work && p && ft_unlikely(at_work->region->poison))
        check_poison(at_work, p);
    return p;
}

void *nf_heap_calloc(size_t count, size_t size)
{
    size_t bytes;
    void *p = __builtin_mul_overflow(count, size, &bytes) ? NULL : nf_heap_malloc(bytes);

    return p ? memset(p, 0, bytes) : NULL;
}

void *nf_heap_realloc(void *p, size_t size)
{
    uint64_t before;
    void *to;

    if (!at_work)
        return realloc(p, size); /* lint: config-time */
    if (!p)
        return nf_heap_malloc(size);
    before = ft_heap_size_of(at_work->heap, p);
    to = nf_heap_malloc(size);
    if (!to)
        return NULL;
    memcpy(to, p, before < size ? before : size);
    nf_heap_free(p);
    return to;
}

void nf_heap_free(void *p)
{
    if (!p)
        return;
    if (!at_work) {
        free(p); /* lint: config-time */
        return;
    }
    if (ft_unlikely(at_work->region->poison))
        memset(p, POISON, ft_heap_size_of(at_work->heap, p));
    ft_heap_free(at_work->heap, p);
}

uint64_t nf_heap_wall_clock(void)
{
    uint64_t now = at_work ? (uint64_t)time(NULL) : 0; /* lint: determinant */

    if (at_work)
        nf_determinant(at_work, &now, sizeof(now));
    return now;
}
