/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deadlock: an NF for tests, of which two lanes make a log that cannot be replayed. Each, at its packet `at`,
 * makes its first access to what lanes share, and says that it depends on the first access of the other.
 * Built by deadlock.t against build/include, as a module from outside the tree; alone in its chain.
 */
#define _GNU_SOURCE /* nanosleep */
#include "nflib/chain/chain.h"
#include "nflib/nf.h"

#include <stddef.h>
#include <time.h>

struct deadlock_config {
    uint32_t at, pause_us;
};

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct deadlock_config *config = nf->config;
    struct ft_sections *sections = nf->env->sections;
    uint64_t *count = NF_EDIT(nf, (uint64_t *)nf->state);

    struct timespec pause = {0, (long)config->pause_us * 1000};

    (void)packets, (void)now;
    if (config->pause_us)
        nanosleep(&pause, NULL);
    *count += n;
    if (*count >= config->at && *count - n < config->at && sections->lanes == 2)
        ft_section_depend(sections, !sections->lane, 1);
}

static const struct nf_param params[] = {
    {"at", NF_U32, offsetof(struct deadlock_config, at), 1, UINT32_MAX, "200", NULL, "packet of each lane",
     false},
    {"pause_us", NF_U32, offsetof(struct deadlock_config, pause_us), 0, 100000, "0", NULL,
     "before each burst", false},
    {0},
};

static const struct nf_module deadlock = {
    .name = "deadlock",
    .summary = "for tests: two lanes record that each waits for the other",
    .reads = NF_READS_HEADERS,
    .params = params,
    .config_size = sizeof(struct deadlock_config),
    .state_size = sizeof(uint64_t),
    .process = process,
};
NF_MODULE(deadlock)
