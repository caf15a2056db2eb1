/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a chain is protected: what the mode and the standby that are asked for mean for it. Decided when the
 * file is read, and again where a tool asks for another mode; see config.h.
 */
#include "node/config/config.h"

#include <stdio.h>
#include <string.h>

const char *const nd_modes[] = {"off", "log", "delta", "auto", NULL};
const char *const nd_standbys[] = {"hot", "warm", NULL};

/* The first NF of the chain that cannot be replayed; NULL: every one can. */
static const struct nf_module *unreplayable(const struct nf_chain_config *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (chain->nfs[i].module->unreplayable)
            return chain->nfs[i].module;
    return NULL;
}

int nd_config_decide(struct nd_protect *protect, const struct nf_chain_config *chain, struct ft_fault *fault)
{
    const struct nf_module *nf = unreplayable(chain);
    bool automatic = protect->asked == ND_MODE_AUTO;
    enum nd_mode mode = !automatic ? protect->asked : nf ? ND_MODE_DELTA : ND_MODE_LOG;

    protect->pair = mode != ND_MODE_OFF;
    protect->records = mode == ND_MODE_LOG;
    protect->deltas = mode == ND_MODE_DELTA;
    protect->stores = protect->standby == ND_STANDBY_WARM;
    protect->mode = nd_modes[mode];
    protect->decided_by = automatic && nf ? nf->name : "";
    if (protect->records && nf)
        return ft_fail(fault, FT_EINVAL, "NF \"%s\" cannot be replayed, expected delta or auto", nf->name);
    return 0;
}

const char *nd_mode_text(char out[ND_MODE_TEXT], const char *mode, const char *asked, const char *decided_by)
{
    if (strcmp(asked, nd_modes[ND_MODE_AUTO]) != 0)
        snprintf(out, ND_MODE_TEXT, "mode %s", mode);
    else if (*decided_by)
        snprintf(out, ND_MODE_TEXT, "mode %s (auto: NF \"%s\" cannot be replayed)", mode, decided_by);
    else
        snprintf(out, ND_MODE_TEXT, "mode %s (auto: every NF can be replayed)", mode);
    return out;
}
