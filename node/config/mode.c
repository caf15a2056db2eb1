/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a chain is protected: what mode auto means for it. Decided when the file is read, and again where a
 * tool asks for another mode; see config.h.
 */
#include "node/config/config.h"

#include <stdio.h>
#include <string.h>

const char *const nd_modes[] = {"off", "log", "delta", "auto", NULL};

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

    protect->mode = protect->asked;
    protect->decided_by = "";
    if (protect->asked == ND_MODE_AUTO) {
        protect->mode = nf ? ND_MODE_DELTA : ND_MODE_LOG;
        protect->decided_by = nf ? nf->name : "";
    } else if (protect->asked == ND_MODE_LOG && nf) {
        return ft_fail(fault, FT_EINVAL, "NF \"%s\" cannot be replayed, expected delta or auto", nf->name);
    }
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
