/* SPDX-License-Identifier: Apache-2.0 */
/* A runner under test; see runner.h. */
#include "tests/help/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

char runner_dir[64];
struct nd_node runner_node;
struct nd_runner *runner;

char *runner_path(char out[ND_PATH_MAX], const char *name)
{
    snprintf(out, ND_PATH_MAX, "%s/%s", runner_dir, name);
    return out;
}

int runner_begin(void **state)
{
    (void)state;
    strcpy(runner_dir, "/tmp/test_runner.XXXXXX");
    memset(&runner_node, 0, sizeof(runner_node));
    strcpy(runner_node.name, "alpha");
    return mkdtemp(runner_dir) ? 0 : -1;
}

int runner_end(void **state)
{
    char command[96];

    (void)state;
    nd_runner_stop(runner);
    runner = NULL;
    snprintf(command, sizeof(command), "rm -rf %s", runner_dir);
    return system(command);
}

void runner_start(void)
{
    struct ft_fault fault = {""};

    assert_int_equal(nd_runner_start(&runner, &runner_node, &fault), 0);
    assert_non_null(runner);
}

void runner_script(const char *name, const char *text)
{
    char path[ND_PATH_MAX];
    FILE *f = fopen(runner_path(path, name), "w");

    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s\n", text);
    fclose(f);
    chmod(path, 0755);
}

void runner_sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000l}, NULL);
}

void runner_offer(unsigned number)
{
    char line[64];
    int len = snprintf(line, sizeof(line), "{\"n\":%u}\n", number);

    nd_runner_offer(runner, FT_SAYS_STATE, line, (size_t)len);
}

struct nd_hook_counts runner_counts(unsigned hook)
{
    struct nd_hook_counts c;

    nd_runner_hook(runner, hook, &c);
    return c;
}
