/* SPDX-License-Identifier: Apache-2.0 */
/* A region and a chain of one NF, for tests of state types. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ftcore/region/audit.h"
#include "tests/help/nf.h"

#include <stdlib.h>

struct config {
    uint64_t arena;
};

void (*help_nf_timers)(struct nf *nf, uint64_t now);

static uint64_t arena(const void *config)
{
    return ((const struct config *)config)->arena;
}

static void timers(struct nf *nf, uint64_t now)
{
    if (help_nf_timers)
        help_nf_timers(nf, now);
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    (void)nf;
    (void)packets;
    (void)n;
    (void)now;
}

static const struct nf_module module = {
    .name = "bare",
    .summary = "an NF for tests of state types",
    .config_size = sizeof(struct config),
    .arena = arena,
    .process = process,
    .timers = timers,
};

static void open_chain(struct help_nf *h, uint64_t bytes, uint64_t seed, bool audit)
{
    static struct config config;
    static struct nf_chain_config chain;
    const struct ft_region_config how = {.name = "test", .shared_size = 4 << 20, .audit = audit};
    struct ft_fault fault = {""};

    config = (struct config){.arena = bytes};
    chain = (struct nf_chain_config){.name = "test", .lanes = 1, .count = 1, .nfs = {{&module, &config}}};
    if (nf_chain_region(&h->region, &chain, &how, &fault) ||
        nf_chain_make(&h->chain, &chain, h->region, 0, seed, &fault))
        fail_msg("%s", fault.text);
    h->nf = nf_chain_nf(h->chain, 1);
    help_nf_timers = NULL;
}

void help_nf_open(struct help_nf *h, uint64_t bytes, uint64_t seed)
{
    open_chain(h, bytes, seed, true);
}

void help_nf_open_fast(struct help_nf *h, uint64_t bytes, uint64_t seed)
{
    open_chain(h, bytes, seed, false);
}

void help_nf_close(struct help_nf *h)
{
    nf_chain_free(h->chain);
    ft_region_close(h->region);
}

void help_nf_audit(const struct help_nf *h)
{
    ft_audit_check(h->region, 0);
}

uint64_t help_nf_wake(const struct help_nf *h)
{
    return nf_chain_state(h->chain)->wake[1];
}

void help_nf_wake_none(const struct help_nf *h)
{
    const uint64_t *wake = &nf_chain_state(h->chain)->wake[1];

    *(uint64_t *)ft_edit(h->region, wake, sizeof(*wake)) = UINT64_MAX;
}

uint64_t help_model_seed(void)
{
    const char *text = getenv("MODEL_SEED");

    return text ? strtoull(text, NULL, 10) : 1;
}
