/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer's side: one program for all targets; the environment's FUZZ_TARGET names the one. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("FUZZ_TARGET");

    (void)argc;
    target = name ? fuzz_find(name) : NULL;
    if (target)
        return 0;
    fprintf(stderr, "%s: FUZZ_TARGET is %s, expected one of:\n", (*argv)[0], name ? name : "not set");
    for (const struct fuzz_target *t = fuzz_first(); t; t = t->next)
        fprintf(stderr, "    %-16s %s\n", t->name, t->what);
    exit(64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target->run(data, size);
    return 0;
}

void fuzz_seed(const char *name, const void *bytes, size_t len)
{
    (void)name;
    (void)bytes;
    (void)len;
}
