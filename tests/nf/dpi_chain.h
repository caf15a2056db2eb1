/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of dpi: a chain of it alone, of the module that was built beside them. */
#ifndef TESTS_NF_DPI_CHAIN_H
#define TESTS_NF_DPI_CHAIN_H

#include "tests/help/test.h"
#include "nftest/nftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* `settings` of dpi, beside max_flows. */
static inline struct nft *open_chain_of(unsigned max_flows, const char *settings)
{
    char path[] = "/tmp/test-dpi-XXXXXX", self[512], *slash;
    int fd = mkstemp(path);
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    struct nft *t;

    assert_true(fd >= 0 && len > 0);
    self[len] = 0;
    for (unsigned up = 0; up < 3; up++) { /* BUILD/tests/nf/test_dpi */
        slash = strrchr(self, '/');
        assert_non_null(slash);
        *slash = 0;
    }
    dprintf(fd,
            "chain: { name: test, modules: [ %s/lib/understudy/dpi.so ], nfs: [ dpi: { max_flows: %u, %s } "
            "] }\n",
            self, max_flows, settings);
    close(fd);
    t = nft_open(path);
    unlink(path);
    return t;
}

static inline struct nft *open_chain(const char *settings)
{
    return open_chain_of(4096, settings);
}

#endif
