/* SPDX-License-Identifier: Apache-2.0 */
/*
 * circle: an NF for tests, of which two lanes make a log that cannot be replayed. Each, at its packet 200,
 * says that it depends on an access of the other that has not been made yet: the very one with which the
 * other says the same. Built by circle.t against build/include, as a module from outside the tree.
 */
#include "nflib/chain.h"
#include "nflib/nf.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define AT       200u
#define PATIENCE 20 /* s, for the other lane to come to its packet */

static _Atomic uint64_t met[2]; /* live: number of the access with which the lane depends on the other */

static uint64_t arena(const void *config)
{
    (void)config;
    return FT_LINE;
}

static int make(struct nf *nf, struct ft_fault *fault)
{
    nf->state = ft_arena_alloc(nf->arena, sizeof(uint64_t));
    return nf->state ? FT_OK : ft_fail(fault, FT_EFULL, "arena full");
}

static uint64_t number_of_other(struct ft_sections *sections)
{
    unsigned other = !sections->lane;
    time_t until = time(NULL) + PATIENCE;

    if (sections->replaying) /* the record has it */
        return 0;
    atomic_store(&met[sections->lane], sections->next);
    while (atomic_load(&met[other]) == 0) {
        if (time(NULL) > until)
            abort();
        sched_yield();
    }
    return atomic_load(&met[other]);
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    struct ft_sections *sections = nf->env->sections;
    uint64_t *count = NF_EDIT(nf, (uint64_t *)nf->state);

    (void)packets, (void)now;
    *count += n;
    if (*count >= AT && *count - n < AT && sections->lanes == 2)
        ft_section_depend(sections, !sections->lane, number_of_other(sections));
}

static const struct nf_param params[] = {{0}};

static const struct nf_module circle = {
    .name = "circle",
    .summary = "for tests: two lanes record that each waits for the other",
    .reads = NF_READS_HEADERS,
    .params = params,
    .arena = arena,
    .make = make,
    .process = process,
};
NF_MODULE(circle)
