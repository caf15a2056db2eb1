/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of what a configuration file may not say: files and the refusals they get. */
#ifndef TESTS_HELP_REFUSAL_H
#define TESTS_HELP_REFUSAL_H

#include <stddef.h>

#define SAMPLE "tests/unit/data/pair.yaml"
#define CHAIN  "chain: {name: x, nfs: [bare]}\n"

struct refusal {
    const char *text, *expected;
};

/* Fails the test when one of the files is read, or refused otherwise. */
void config_refuse_all(const struct refusal *cases, size_t count);

#define REFUSE_ALL(cases) config_refuse_all(cases, sizeof(cases) / sizeof((cases)[0]))

#endif
