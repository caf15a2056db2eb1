/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All lanes of a node get another chain, in a region of its own that takes the place of theirs; see change.h.
 * Run once by one thread while no lane runs. Owns what it makes until it has succeeded.
 */
#include "ftcore/region/audit.h"
#include "ftcore/region/exchange.h"
#include "nflib/chain/change.h"

static void free_chains(struct nf_chain *chains[], unsigned lanes)
{
    for (unsigned l = 0; l < lanes; l++) {
        nf_chain_free(chains[l]);
        chains[l] = NULL;
    }
}

static void close_brackets(struct ft_region *region, unsigned brackets)
{
    while (brackets--)
        ft_audit_suspend(region);
}

/* Audit of a region that has just come to its address, with so many brackets open. */
static int audit(struct ft_region *region, bool wanted, unsigned brackets, struct ft_fault *fault)
{
    int error = wanted ? ft_audit_open(region, fault) : FT_OK;

    if (!error)
        close_brackets(region, brackets);
    return error;
}

static int make_chains(struct nf_chain_switch *s, struct ft_fault *fault)
{
    const struct nf_chain_change *change = s->change;
    int error = FT_OK;

    for (unsigned l = 0; l < change->to->lanes && !error; l++)
        error = nf_chain_make(&s->next[l], change->to, s->region, l, s->seed, fault);
    for (unsigned l = 0; l < change->to->lanes && !error && !s->empty; l++)
        error = nf_chain_carry(s->next[l], s->chain[l], s->old, change, fault);
    for (unsigned l = 0; l < change->to->lanes && !error && !s->empty; l++)
        error = nf_chain_check(s->next[l], NULL, NULL, fault);
    return error;
}

/* The new region is at its address, and s->region is it. */
static int fill_region(struct nf_chain_switch *s, bool audited, unsigned brackets, struct ft_fault *fault)
{
    /* One more: what is carried is nobody's change. */
    int error = audit(s->region, audited, brackets + 1, fault);

    if (error)
        return error;
    error = make_chains(s, fault);
    ft_audit_resume(s->region);
    return error;
}

int nf_chain_switch(struct nf_chain_switch *s, struct ft_fault *fault)
{
    bool audited = s->region->audit != NULL;
    unsigned lanes = s->change->to->lanes, brackets = ft_audit_suspended(s->region);
    struct ft_region_config how = s->how;
    int error;

    how.audit = false; /* opened below, when the region has its place */
    ft_audit_close(s->region);
    error = ft_region_set_aside(s->region, fault);
    if (error) {
        audit(s->region, audited, brackets, NULL);
        return error;
    }
    error = nf_chain_region(&s->old, s->change->to, &how, fault);
    if (!error) {
        ft_region_exchange(s->region, s->old);
        error = fill_region(s, audited, brackets, fault);
        if (!error)
            return FT_OK;
        free_chains(s->next, lanes);
        ft_region_exchange(s->region, s->old);
        ft_region_close(s->old);
    }
    s->old = NULL;
    ft_region_put_back(s->region);
    FT_CHECK(audit(s->region, audited, brackets, NULL) == 0, "no memory to audit the region again");
    return error;
}
