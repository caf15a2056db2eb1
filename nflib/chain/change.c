/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may change of a chain that runs, judged by its two configurations; see change.h. No state.
 */
#include "nflib/chain/change.h"

#include <string.h>

#define L3_TEXT_MAX 24576 /* 8 ports of 9 addresses, 64 routes and 64 neighbours, as text */
#define SETTING_MAX 512   /* NF_PREFIXES_MAX networks; a text may be cut, to be shown */
#define SHOWN_MAX   60

static unsigned place_of(const struct nf_chain_config *config, const struct nf_module *module)
{
    for (unsigned i = 0; i < config->count; i++)
        if (config->nfs[i].module == module)
            return i + 1;
    return 0;
}

static bool is_live(const struct nf_module *module, const char *name)
{
    for (const char *const *live = module->live; live && *live; live++)
        if (strcmp(*live, name) == 0)
            return true;
    return false;
}

/* How many bytes of two long lists are not shown, since their first entries are the same. */
static size_t same_entries(const char *before, const char *after)
{
    size_t n = 0, entry = 0;

    for (; before[n] && before[n] == after[n]; n++)
        if (before[n] == ',')
            entry = n + 1;
    return n < SHOWN_MAX ? 0 : entry;
}

static int check_settings(unsigned place, const struct nf_choice *from, const struct nf_choice *to,
                          struct ft_fault *fault)
{
    char before[SETTING_MAX], after[SETTING_MAX];

    for (const struct nf_param *p = to->module->params; p && p->name; p++) {
        size_t same;

        if (is_live(to->module, p->name) || nf_chain_same_setting(p, from->config, to->config))
            continue;
        nf_chain_setting(p, from->config, before, sizeof(before));
        nf_chain_setting(p, to->config, after, sizeof(after));
        same = same_entries(before, after);
        return ft_fail(fault, FT_EINVAL,
                       "nf %u: %s %s: %s%.60s, then %s%.60s: cannot be changed while the pair runs", place,
                       to->module->name, p->name, same ? "..." : "", before + same, same ? "..." : "",
                       after + same);
    }
    return FT_OK;
}

static bool translates_ends(const struct nf_module *module)
{
    return module->translates & (NF_SOURCE | NF_DESTINATION | NF_INSIDE_END);
}

static int refuse_translator(const struct nf_choice *nf, const char *what, struct ft_fault *fault)
{
    return ft_fail(fault, FT_EINVAL, "%s: %s, so it cannot be %s while the pair runs: flows would break",
                   nf->module->name,
                   translates_ends(nf->module) ? "translates addresses" : "moves sequence numbers", what);
}

/* Those that stay come in the same order. */
static int match_nfs(struct nf_chain_change *change, struct ft_fault *fault)
{
    const struct nf_chain_config *from = change->from, *to = change->to;
    unsigned last = 0;
    int error = FT_OK;

    for (unsigned i = 0; i < to->count && !error; i++) {
        const struct nf_choice *nf = &to->nfs[i];
        unsigned was = place_of(from, nf->module);

        if (!was && translates_ends(nf->module))
            return refuse_translator(nf, "added", fault);
        if (was && was < last)
            return ft_fail(fault, FT_EINVAL,
                           "nf %u: %s: NFs that stay keep their order, expected it before %s", i + 1,
                           nf->module->name, from->nfs[last - 1].module->name);
        change->was[i + 1] = (uint16_t)was;
        last = was ? was : last;
        if (was)
            error = check_settings(i + 1, &from->nfs[was - 1], nf, fault);
    }
    for (unsigned i = 0; i < from->count && !error; i++)
        if (from->nfs[i].module->translates && !place_of(to, from->nfs[i].module))
            error = refuse_translator(&from->nfs[i], "taken out", fault);
    return error;
}

static bool has_same_hops(const struct nf_l3_config *from, const struct nf_l3_config *to, bool ipv6)
{
    const struct nf_hop *a = from->next_hop[ipv6], *b = to->next_hop[ipv6];
    bool same = from->next_hops[ipv6] == to->next_hops[ipv6];

    for (unsigned i = 0; same && i < from->next_hops[ipv6]; i++)
        same = a[i].port == b[i].port && nf_addr_same(&a[i].addr, &b[i].addr);
    return same;
}

/* Addresses and routes, as the hello says them, and which next hops are asked for. */
static bool is_same_l3(const struct nf_l3_config *from, const struct nf_l3_config *to)
{
    char before[L3_TEXT_MAX], after[L3_TEXT_MAX];

    if (!from || !to)
        return from == to;
    nf_chain_identity(&(struct nf_chain_config){.l3 = (struct nf_l3_config *)from}, before, sizeof(before));
    nf_chain_identity(&(struct nf_chain_config){.l3 = (struct nf_l3_config *)to}, after, sizeof(after));
    return strcmp(before, after) == 0 && has_same_hops(from, to, false) && has_same_hops(from, to, true);
}

static int check_l3(const struct nf_l3_config *from, const struct nf_l3_config *to, struct ft_fault *fault)
{
    if (!is_same_l3(from, to))
        return ft_fail(fault, FT_EINVAL,
                       "interfaces, routes, next_hops, or an NF's own address: cannot be changed while the "
                       "pair runs");
    return FT_OK;
}

int nf_chain_same_lanes(const struct nf_chain_config *from, const struct nf_chain_config *to,
                        struct ft_fault *fault)
{
    enum nf_scope before, after;
    int error = 0;

    if (from->lanes != to->lanes)
        return ft_fail(fault, FT_EINVAL, "lanes: %u, then %u: cannot be changed while the pair runs",
                       from->lanes, to->lanes);
    if (from->frame_max != to->frame_max)
        return ft_fail(fault, FT_EINVAL, "frame_max: %u, then %u: cannot be changed while the pair runs",
                       from->frame_max, to->frame_max);
    error = nf_chain_scope(from, from->lanes, &before, fault);
    if (!error)
        error = nf_chain_scope(to, to->lanes, &after, fault);
    if (!error && before != after)
        error = ft_fail(fault, FT_EINVAL,
                        "the scope of the NFs' state, by which packets are dealt to %u "
                        "lanes: cannot be changed while the pair runs",
                        to->lanes);
    return error;
}

int nf_chain_change_plan(struct nf_chain_change *change, const struct nf_chain_config *from,
                         const struct nf_chain_config *to, struct ft_fault *fault)
{
    memset(change, 0, sizeof(*change));
    change->from = from;
    change->to = to;
    int error = nf_chain_same_lanes(from, to, fault);

    if (!error)
        error = match_nfs(change, fault);
    return error ? error : check_l3(from->l3, to->l3, fault);
}
