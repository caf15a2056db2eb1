/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the configuration: files made on the spot, and an NF with a parameter of each kind. */
#ifndef TESTS_HELP_CONFIG_H
#define TESTS_HELP_CONFIG_H

#include "understudy/config/config.h"

#include <stddef.h>

/* Config of the NF "probe" that config.c registers. */
struct help_probe {
    uint32_t number, seconds, choice, outside;
    uint64_t large;
    bool flag;
    struct nf_prefixes inside;
    struct nf_range ports;
    const char *text;
    struct nf_file rules;
    void *checked; /* made by its check, freed by its release */
};

extern int help_probe_live; /* configs checked and not yet released */

/* Writes `text` to a file NAME in this program's own directory; returns its path (static, per call
 * overwritten). */
const char *help_config_file(const char *name, const char *text, size_t len);

/* The directory, made at first use; removed with all its files by help_config_clean. */
const char *help_config_dir(void);

int help_config_clean(void **state); /* of a group of cmocka tests */

/* What a file "t.yaml" with this text says; `need` as of nd_config_read. Fails the test where it cannot be
 * read, and frees it behind that. */
struct nd_config *help_config_of(const char *text, unsigned need);

/* The configuration of a pair file "pair.yaml" with these sections before nodes a, the primary, and b, whose
 * state lies in DIR/state, which is made. Fails the test where it cannot be read, and frees it behind that.
 */
struct nd_config *help_config_pair(const char *sections);

/* Reads a file; the text after "DIR/" of the fault, or "" when it was read. The configuration is freed. */
const char *help_config_refusal(const char *path, bool need_nodes);
const char *help_config_refusal_of(const char *text, bool need_nodes); /* of a file "t.yaml" with this text */

/* A copy of `text` with the one place where `find` stands replaced; it is freed behind the test. */
char *help_config_replace(const char *text, const char *find, const char *replace);

/* For tests of what a configuration file may not say: files and the refusals they get. */

#define SAMPLE "tests/unit/data/pair.yaml"
#define CHAIN  "chain: {name: x, nfs: [bare]}\n"

struct refusal {
    const char *text, *expected;
};

/* Fails the test when one of the files is read, or refused otherwise. */
void config_refuse_all(const struct refusal *cases, size_t count);

/* The same of `base` with one place replaced in each. */
struct change {
    const char *find, *replace, *expected;
};

void config_refuse_changes(const char *base, bool need_nodes, const struct change *cases, size_t count);

#define REFUSE_CHANGES(base, need_nodes, cases)                                                              \
    config_refuse_changes(base, need_nodes, cases, sizeof(cases) / sizeof((cases)[0]))
#define REFUSE_ALL(cases) config_refuse_all(cases, sizeof(cases) / sizeof((cases)[0]))

#endif
