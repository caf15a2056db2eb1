/* SPDX-License-Identifier: Apache-2.0 */
/* Changes a chain that runs; see change.h. */
#include "tests/help/change.h"
#include "nflib/chain/change.h"
#include "node/config/config.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

static void write_text(const struct help_chain *h, const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", h->dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int read_next(const struct help_chain *h, struct nd_config **next, const char *nfs, const char *rules,
                     struct ft_fault *fault)
{
    char text[4096], path[128];

    snprintf(text, sizeof(text), "chain:\n  name: test\n  lanes: 1\n  nfs:\n%s", nfs);
    write_text(h, "chain.yaml", text);
    if (rules)
        write_text(h, "firewall.rules", rules);
    snprintf(path, sizeof(path), "%s/chain.yaml", h->dir);
    return nd_config_read(next, path, 0, fault);
}

int help_change(struct help_chain *h, const char *nfs, const char *rules, struct ft_fault *fault)
{
    struct nf_chain *next[1] = {NULL};
    struct nf_chain_change change;
    struct nf_chain_switch s = {.change = &change,
                                .region = h->region,
                                .how = {.name = "test", .shared_size = 1 << 20},
                                .chain = &h->chain,
                                .seed = 77,
                                .next = next};
    struct nd_config *config;
    int error = read_next(h, &config, nfs, rules, fault);

    assert_int_equal(error, 0);
    error = nf_chain_change_plan(&change, &h->config->chain, &config->chain, fault);
    if (!error)
        error = nf_chain_switch(&s, fault);
    if (error) {
        nd_config_free(config);
        return error;
    }
    nf_chain_free(h->chain);
    nd_config_free(h->config);
    ft_region_close(s.old);
    h->chain = next[0];
    h->config = config;
    return 0;
}
