/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operator's change, "set NF KEY=VALUE", "clear NF [KEY]" or "clear counters [NF]": read, and given to the
 * NF. Run by the lane.
 */
#include "nflib/chain/chain.h"

#include <string.h>

/* Cuts the next word (up to a blank) off *rest. */
static char *cut_word(char **rest)
{
    char *start = *rest + strspn(*rest, " ");
    char *end = start + strcspn(start, " ");
    *rest = *end ? end + 1 : end;
    *end = 0;
    return start;
}

static int set_nf(struct nf *nf, char *rest, uint64_t now, struct ft_fault *fault)
{
    rest += strspn(rest, " ");
    char *equals = strchr(rest, '=');
    if (!equals || equals == rest)
        return ft_fail(fault, FT_EINVAL, "set %s: expected KEY=VALUE", nf->module->name);
    *equals = 0;
    if (!nf->module->set)
        return ft_fail(fault, FT_ENOENT, "%s: nothing can be set", nf->module->name);
    return nf->module->set(nf, rest, equals + 1, now, fault);
}

static int clear_nf(struct nf *nf, char *rest, uint64_t now, struct ft_fault *fault)
{
    char *key = cut_word(&rest);
    if (rest[strspn(rest, " ")])
        return ft_fail(fault, FT_EINVAL, "clear %s: expected at most one KEY", nf->module->name);
    if (!nf->module->clear)
        return ft_fail(fault, FT_ENOENT, "%s: nothing can be cleared", nf->module->name);
    return nf->module->clear(nf, *key ? key : NULL, now, fault);
}

/* Those of `name`, or of all NFs and L3. They are state like any other: the standby's are cleared, too. */
static int clear_counters(struct nf_chain *chain, const char *name, struct ft_fault *fault)
{
    bool found = false;
    for (unsigned i = 0; nf_chain_any(chain, i); i++) {
        const struct nf *nf = nf_chain_any(chain, i);
        if (!nf->module || (*name && strcmp(nf->module->name, name) != 0))
            continue;
        found = true;
        uint32_t n = nf_chain_counters(nf->module);
        if (n)
            memset(nf_edit(nf, nf->counters, n * sizeof(uint64_t)), 0, n * sizeof(uint64_t));
    }
    return found ? FT_OK : ft_fail(fault, FT_ENOENT, "no NF \"%.40s\" in this chain", name);
}

int nf_chain_command(struct nf_chain *chain, const char *text, uint32_t len, uint64_t now,
                     struct ft_fault *fault)
{
    char copy[1024];
    if (len >= sizeof(copy) || memchr(text, 0, len))
        return ft_fail(fault, FT_EINVAL, "command too long, or not text");
    memcpy(copy, text, len);
    copy[len] = 0;
    nf_chain_open(chain);
    char *rest = copy, *verb = cut_word(&rest), *name = cut_word(&rest);
    bool set = strcmp(verb, "set") == 0;
    if (!set && strcmp(verb, "clear") != 0)
        return ft_fail(fault, FT_EINVAL, "\"%.40s\": expected set or clear", verb);
    struct nf *nf = nf_chain_find(chain, name);
    if (!nf && !set && strcmp(name, "counters") == 0)
        return clear_counters(chain, cut_word(&rest), fault);
    if (!nf)
        return ft_fail(fault, FT_ENOENT, "no NF \"%.40s\" in this chain", name);
    return set ? set_nf(nf, rest, now, fault) : clear_nf(nf, rest, now, fault);
}
