/* SPDX-License-Identifier: Apache-2.0 */
/* How NFs and their parameters are found and named: the registry, the chain, its identity. */
#include "tests/help/probe.h"
#include "nflib/chain/chain.h"
#include "ftcore/region/audit.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

NF_MODULE(probe_b)
NF_MODULE(probe_c)
NF_MODULE(probe_a)

static void nfs_are_found_by_name_and_number(void **state)
{
    (void)state;
    probe_begin();
    assert_ptr_equal(nf_chain_find(probe_chain, "b_probe"), nf_chain_nf(probe_chain, 2));
    assert_null(nf_chain_find(probe_chain, "l3"));
    assert_null(nf_chain_nf(probe_chain, 0));
    assert_null(nf_chain_nf(probe_chain, 4));
    assert_true(nf_chain_reads_payload(&probe_chain_config));
    struct nf_chain_config two = probe_chain_config;
    two.count = 2;
    assert_false(nf_chain_reads_payload(&two));
    assert_ptr_equal(nf_module_find("c_probe"), &probe_c);
    assert_null(nf_module_find("d_probe"));
    const struct nf_module *last = NULL, *m;
    for (unsigned i = 0; (m = nf_module_at(i)); last = m, i++)
        assert_true(!last || strcmp(last->name, m->name) < 0);
    assert_non_null(last);
    probe_end();
}

static void an_nf_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    probe_begin();
    struct ft_fault fault = {""};
    nf_chain_free(probe_chain);
    ft_audit_suspend(probe_region);
    ft_region_wipe(probe_region);
    ft_audit_resume(probe_region);
    probe_make_fails = true;
    assert_int_equal(nf_chain_make(&probe_chain, &probe_chain_config, probe_region, 0, 1, &fault), FT_EFULL);
    assert_string_equal(fault.text, "nf 1: a_probe: the arena is too small");
    assert_null(probe_chain);
    assert_int_equal(nf_chain_make(&probe_chain, &probe_chain_config, probe_region, 1, 1, &fault), FT_EINVAL);
    probe_end();
}

static void prefixes_hold_their_addresses(void **state)
{
    (void)state;
    struct nf_prefixes set = {
        .count = 2, .list = {{0x0000000a, 0x000000ff}, {0x0100a8c0, 0xffffffff}}}; /* 10/8, 192.168.0.1 */
    assert_true(nf_prefixes_has(&set, 0x0403020a));
    assert_true(nf_prefixes_has(&set, 0x0100a8c0));
    assert_false(nf_prefixes_has(&set, 0x0200a8c0));
    set.count = 0;
    assert_false(nf_prefixes_has(&set, 0x0403020a));
}

static void identity_covers_parameters_and_contents_of_files(void **state)
{
    (void)state;
    char a[2000], b[2000];
    const char path[] = "some/where.rules";
    struct probe_config mine = {
        .limit = 12, .loud = true, .mode = 0, .file = {path, "rules", 5}, .ports = {1, 9}};
    mine.inside =
        (struct nf_prefixes){.count = 2, .list = {{0x0000000a, 0x000000ff}, {0x0100a8c0, 0xffffffff}}};
    struct nf_chain_config one = {.name = "one", .lanes = 2, .count = 1, .nfs = {{&probe_b, &mine}}};
    uint32_t len = nf_chain_identity(&one, a, sizeof(a));
    assert_int_equal(len, strlen(a));
    assert_ptr_equal(strstr(a, "lanes 2\n"), a);
    assert_non_null(strstr(a, "nf 1: b_probe version=0 limit=12 loud=true mode=slow file="));
    assert_non_null(strstr(a, " inside=10.0.0.0/8,192.168.0.1/32 ports=1-9 "));
    assert_null(strstr(a, path)); /* the same file may lie elsewhere on the other node */
    mine.file = (struct nf_file){path, "other rules", 11};
    nf_chain_identity(&one, b, sizeof(b));
    assert_string_not_equal(a, b);
    assert_int_equal(nf_chain_identity(&one, b, 10), 9);
    assert_memory_equal(a, b, 9);
}

/* A release that adds a parameter pairs with the one before, as long as nobody uses it. */
static void a_newer_parameter_is_named_where_it_is_set(void **state)
{
    static const struct nf_param params[] = {
        {"fresh", NF_BOOL, 0, 0, 0, "false", NULL, "newer than the release before", .marks = NF_PARAM_ADDED},
        {0}};
    static const struct nf_module newer = {.name = "newer", .params = params};
    bool fresh = false;
    struct nf_chain_config one = {.name = "one", .lanes = 1, .count = 1, .nfs = {{&newer, &fresh}}};
    char text[2000];

    (void)state;
    nf_chain_identity(&one, text, sizeof(text));
    assert_non_null(strstr(text, "nf 1: newer version=0 arena=0\n"));
    fresh = true;
    nf_chain_identity(&one, text, sizeof(text));
    assert_non_null(strstr(text, "nf 1: newer version=0 fresh=true arena=0\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nfs_are_found_by_name_and_number),
        cmocka_unit_test(an_nf_that_cannot_be_made_is_named),
        cmocka_unit_test(prefixes_hold_their_addresses),
        cmocka_unit_test(identity_covers_parameters_and_contents_of_files),
        cmocka_unit_test(a_newer_parameter_is_named_where_it_is_set),
    };

    return cmocka_run_group_tests_name("chain_registry", tests, NULL, NULL);
}
