/* SPDX-License-Identifier: Apache-2.0 */
/* What `nfs` says an NF's packets are dealt to lanes by: that may depend on its configuration. */
#include "nflib/nf.h"
#include "cli/options.h"
#include "tests/help/command.h"
#include "tests/help/config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config {
    uint32_t whose;
};
static const char *const whose[] = {"flow", "inside", "outside", "chain", NULL};
static const struct nf_param params[] = {NF_ONE_OF(struct config, whose, whose, "flow", "what it belongs to"),
                                         {0}};
static const char *const counters[] = {"seen", "passed", NULL};

static enum nf_scope scope(const void *config)
{
    return (enum nf_scope)((const struct config *)config)->whose;
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    (void)nf;
    (void)packets;
    (void)n;
    (void)now;
}

static const struct nf_module scoped = {.name = "scoped",
                                        .summary = "for a test",
                                        .scope = scope,
                                        .params = params,
                                        .config_size = sizeof(struct config),
                                        .counters = counters,
                                        .process = process};
NF_MODULE(scoped)
static const struct nf_module plain = {.name = "plain",
                                       .summary = "for a test",
                                       .translates = NF_SOURCE | NF_DESTINATION | NF_SEQUENCE,
                                       .process = process};
NF_MODULE(plain)

static const char *chain_of(const char *who)
{
    char text[200];
    int n = snprintf(text, sizeof(text), "chain: { name: t, nfs: [ scoped: { whose: %s } ] }\n", who);

    return help_config_file("chain.yaml", text, (size_t)n);
}

static void says(const char *const argv[], const char *line)
{
    char said[HELP_SAID];

    assert_int_equal(help_command(nd_cmd_nfs, argv, false, said), ND_DONE);
    if (!strstr(said, line))
        fail_msg("\"%s\", expected \"%s\" in it", said, line);
}

static void the_scope_is_that_of_the_configuration(void **state)
{
    static const struct {
        const char *whose, *line, *json;
    } cases[] = {{"flow", "\nlanes: by flow\n", "\"scope\":\"flow\""},
                 {"inside", "\nlanes: by inside address\n", "\"scope\":\"inside address\""},
                 {"outside", "\nlanes: by outside address\n", "\"scope\":\"outside address\""},
                 {"chain", "\nlanes: by chain\n", "\"scope\":\"chain\""}};
    const char *const alone[] = {"nfs", "scoped", NULL}, *const other[] = {"nfs", "plain", NULL};

    (void)state;
    unsetenv(ND_FILE_VARIABLE);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *file = chain_of(cases[i].whose);
        const char *const text[] = {"nfs", "-c", file, "scoped", NULL};
        const char *const json[] = {"nfs", "-c", file, "-o", "json", "scoped", NULL};

        says(text, cases[i].line);
        says(json, cases[i].json);
        setenv(ND_FILE_VARIABLE, file, 1);
        says(alone, cases[i].line);
        unsetenv(ND_FILE_VARIABLE);
    }
    says(other, "\nlanes: by flow\n");
}

/* All that people are told of an NF is in the object for programs. */
static void people_are_told_what_the_object_has(void **state)
{
    const char *const text[] = {"nfs", "scoped", NULL}, *const other[] = {"nfs", "plain", NULL};
    const char *const json[] = {"nfs", "-o", "json", "plain", NULL};

    (void)state;
    unsetenv(ND_FILE_VARIABLE);
    says(text, "  whose              choice, flow, inside, outside, chain; default flow\n"
               "                       what it belongs to\n"
               "counters: seen passed\n");
    says(text, "\nlanes: by what its configuration says (-c)\ncommands: none\nstate: none\n");
    says(other, "plain: for a test\nbuilt in, version 0\n"
                "reads: headers alone; can be replayed; translates sources; translates destinations; "
                "translates sequence numbers\n");
    says(other, "\nparameters: none\ncounters: none\n");
    says(json, "\"translates\":[\"sources\",\"destinations\",\"sequence numbers\"]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scope_is_that_of_the_configuration),
        cmocka_unit_test(people_are_told_what_the_object_has),
    };

    return cmocka_run_group_tests_name("nfs", tests, NULL, help_config_clean);
}
