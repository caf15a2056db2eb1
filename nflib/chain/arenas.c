/* SPDX-License-Identifier: Apache-2.0 */
/* What a chain's configuration asks of its region, before there is a chain. No state. */
#include "nflib/chain/chain.h"
#include "nflib/module/heap.h"
#include "nflib/session/table.h"
#include "nflib/shared/shared.h"

#include <string.h>

#define ARENA_SLACK 8192u /* counters' and root's rounding to lines */

uint32_t nf_chain_counters(const struct nf_module *module)
{
    uint32_t n = 0;
    while (module->counters && module->counters[n])
        n++;
    return n;
}

void nf_chain_sessions_wants(const struct nf_chain_config *config, struct nf_sessions_wants *wants)
{
    memset(wants, 0, sizeof(*wants));
    for (unsigned i = 0; i < config->count; i++)
        nf_sessions_want(wants, i + 1, config->nfs[i].module, config->nfs[i].config);
}

void nf_chain_arenas(const struct nf_chain_config *config, uint64_t sizes[], const char *names[])
{
    struct nf_sessions_wants wants;

    nf_chain_sessions_wants(config, &wants);
    sizes[0] = sizeof(struct nf_lane_state) + (config->l3 ? nf_l3_bytes(config->l3) : 0) +
               nf_sessions_bytes(&wants) + ARENA_SLACK;
    names[0] = "lane";
    for (unsigned i = 0; i < config->count; i++) {
        const struct nf_choice *nf = &config->nfs[i];
        sizes[i + 1] = (nf->module->arena ? nf->module->arena(nf->config) : 0) + nf->module->state_size +
                       nf_chain_counters(nf->module) * sizeof(uint64_t) +
                       nf_heap_bytes(nf->module, nf->config) + ARENA_SLACK;
        if (nf->on_crash == NF_CRASH_RESET)
            sizes[i + 1] =
                2 * sizes[i + 1] + nf_shared_bytes(nf->module, nf->config, config->lanes) + ARENA_SLACK;
        names[i + 1] = nf->module->name;
    }
}

uint64_t nf_chain_shared(const struct nf_chain_config *config, uint64_t floor)
{
    uint64_t bytes = nf_shared_directory_bytes();
    for (unsigned i = 0; i < config->count; i++)
        bytes += nf_shared_bytes(config->nfs[i].module, config->nfs[i].config, config->lanes);
    return bytes > floor ? bytes : floor;
}

int nf_chain_region(struct ft_region **out, const struct nf_chain_config *config,
                    const struct ft_region_config *how, struct ft_fault *fault)
{
    uint64_t sizes[FT_NFS_MAX], floor = how->shared_size ? how->shared_size : config->shared_size;
    const char *names[FT_NFS_MAX];
    struct ft_region_config region = *how;

    nf_chain_arenas(config, sizes, names);
    region.lanes = config->lanes;
    region.nfs = (uint16_t)(config->count + 1);
    region.arena_size = sizes;
    region.nf_name = names;
    for (unsigned i = 0; i < config->count; i++)
        region.huge &= !config->nfs[i].module->heap; /* written pages are told by 4 KiB */
    region.shared_size = nf_chain_shared(config, floor ? floor : FT_SHARED_DEFAULT);
    return ft_region_open(out, &region, fault);
}

bool nf_chain_reads_payload(const struct nf_chain_config *config)
{
    for (unsigned i = 0; i < config->count; i++)
        if (config->nfs[i].module->reads == NF_READS_PAYLOAD)
            return true;
    return false;
}
