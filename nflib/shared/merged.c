/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merged counts. A lane's own count lies in its arena. What it published lies in a line of the shared arena
 * that it alone writes, with the number of the access under which it did.
 *
 * Why a read may be recorded and not ordered: the numbers it adds up are of bursts that had ended, each under
 * an access that was left before. The dependencies to those accesses keep the reader's burst from being
 * stable without theirs; the sum itself comes from the record. The publisher marks first and writes its line
 * then, so whoever sees a line may depend on its access; a sequence number, odd while the line is being
 * written, makes count and access one.
 */
#include "ftcore/order/section.h"
#include "ftcore/region/audit.h"
#include "nflib/module/content.h"
#include "nflib/module/env.h"
#include "nflib/shared/shared.h"

#include <immintrin.h>

struct line {
    _Alignas(FT_LINE) _Atomic uint64_t sequence;
    _Atomic uint64_t count, access;
};

struct nf_merged {
    uint64_t count;     /* the lane's own */
    uint64_t published; /* of it */
    uint64_t burst;     /* in which others' were read last */
    uint64_t others;    /* and what that gave */
    struct line *lines; /* [lanes]; constant, like what follows */
    struct nf_merged *next;
};

uint64_t nf_merged_bytes(void)
{
    return FT_LANES_MAX * sizeof(struct line);
}

uint64_t nf_merged_lane_bytes(void)
{
    return FT_LINE;
}

/* What the lane has published, and its line of it. Each lane looks at its own. */
static int check_merged(struct nf_check *c, const void *object)
{
    const struct nf_merged *merged = object;
    const struct line *line = &merged->lines[c->nf->lane];

    if (merged->published != merged->count || line->count != merged->count)
        return nf_check_failed(c, "it counts %lu, and %lu was published, %lu to others, expected the same",
                               merged->count, merged->published, line->count);
    if (line->sequence & 1)
        return nf_check_failed(c, "its line is being written, expected no lane at it");
    if (!nf_access_was(c->nf, c->nf->lane, line->access))
        return nf_check_failed(c, "it was published under access %lu, expected one that was", line->access);
    return 0;
}

struct nf_merged *nf_merged_make(struct nf *nf)
{
    struct nf_merged *merged;
    struct line *lines;
    bool created;

    lines = nf_shared_object(nf, NF_SHARED_MERGED, nf->lanes * sizeof(*lines), &created);
    merged = lines ? ft_arena_alloc(nf->arena, sizeof(*merged)) : NULL;
    if (!merged)
        return NULL;
    merged = NF_EDIT(nf, merged);
    merged->lines = lines;
    merged->next = nf->env->merged;
    nf->env->merged = merged;
    nf_constant(nf, &merged->lines, sizeof(merged->lines) + sizeof(merged->next));
    nf_object(nf, merged, "merged count", check_merged);
    return merged;
}

void nf_merged_add(const struct nf *nf, struct nf_merged *merged, uint64_t n)
{
    *NF_EDIT_WORD(nf, &merged->count) += n;
}

static void publish_count(struct ft_region *region, struct nf_merged *merged, unsigned lane, uint64_t access)
{
    ft_audit_enter(region, lane); /* the line is this lane's own: it needs no section */
    struct line *line = ft_edit(region, &merged->lines[lane], sizeof(*line));
    uint64_t sequence = atomic_load_explicit(&line->sequence, memory_order_relaxed);

    atomic_store_explicit(&line->sequence, sequence + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&line->count, merged->count, memory_order_relaxed);
    atomic_store_explicit(&line->access, access, memory_order_relaxed);
    atomic_store_explicit(&line->sequence, sequence + 2, memory_order_release);
    ft_audit_leave(region, lane);
    *(uint64_t *)ft_edit(region, &merged->published, sizeof(uint64_t)) = merged->count;
}

void nf_merged_publish(struct nf_env *env)
{
    struct ft_sections *sections = env->sections;
    uint64_t access = 0;

    for (struct nf_merged *m = env->merged; m; m = m->next) {
        if (m->count == m->published)
            continue;
        if (!access)
            access = ft_section_mark(sections);
        publish_count(sections->region, m, sections->lane, access);
    }
}

static uint64_t read_line(const struct line *line, uint64_t *access)
{
    uint64_t before, after, count;

    do {
        before = atomic_load_explicit(&line->sequence, memory_order_acquire);
        count = atomic_load_explicit(&line->count, memory_order_relaxed);
        *access = atomic_load_explicit(&line->access, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&line->sequence, memory_order_relaxed);
        if (before != after || before & 1)
            _mm_pause();
    } while (before != after || before & 1);
    return count;
}

static uint64_t read_others(const struct nf *nf, const struct nf_merged *merged)
{
    struct ft_sections *sections = nf->env->sections;
    uint64_t sum = 0;

    for (unsigned lane = 0; lane < nf->lanes; lane++) {
        uint64_t access = 0;

        if (lane == nf->lane)
            continue;
        if (!sections->replaying) /* in replay the record has the sum: the lines may have other values */
            sum += read_line(&merged->lines[lane], &access);
        ft_section_depend(sections, lane, access);
    }
    nf_determinant(nf, &sum, sizeof(sum));
    return sum;
}

uint64_t nf_merged_read(const struct nf *nf, struct nf_merged *merged)
{
    uint64_t burst = nf->env->state->burst + 1;

    if (nf->lanes == 1)
        return merged->count;
    if (merged->burst != burst) {
        *NF_EDIT(nf, &merged->others) = read_others(nf, merged);
        *NF_EDIT(nf, &merged->burst) = burst;
    }
    return merged->count + merged->others;
}

uint64_t nf_merged_peek(const struct nf *nf, const struct nf_merged *merged)
{
    uint64_t sum = merged->count, access;

    ft_audit_peeked(merged->lines);
    for (unsigned lane = 0; lane < nf->lanes; lane++)
        if (lane != nf->lane)
            sum += read_line(&merged->lines[lane], &access);
    return sum;
}
