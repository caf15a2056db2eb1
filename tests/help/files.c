/* SPDX-License-Identifier: Apache-2.0 */
/* Two servers' files; see files.h. */
#include "tests/help/files.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

char help_files_dir[2][64];
static struct nd_files_thread *thread;

void help_files_write(const char *dir, const char *name, const char *text)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

const char *help_files_text(const char *dir, const char *name)
{
    static char text[4096];
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "r");
    if (!f)
        return NULL;
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

/* Two directories, as of two servers. */
int help_files_set_up(void **state)
{
    char path[160];
    struct ft_fault fault;

    (void)state;
    alarm(30); /* nothing waits for what a peer names */
    assert_int_equal(nd_files_thread_open(&thread, &fault), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(help_files_dir[i], sizeof(help_files_dir[i]), "/tmp/test-files-XXXXXX");
        assert_non_null(mkdtemp(help_files_dir[i]));
        snprintf(path, sizeof(path), "%s/sub", help_files_dir[i]);
        assert_int_equal(mkdir(path, 0755), 0);
        help_files_write(help_files_dir[i], "pair.yaml", HELP_FILES_PAIR);
        help_files_write(help_files_dir[i], "chain.yaml", HELP_FILES_CHAIN);
        help_files_write(help_files_dir[i], "sub/fw.rules", "default allow\n");
    }
    return 0;
}

int help_files_tear_down(void **state)
{
    char command[160];

    (void)state;
    nd_files_thread_close(thread);
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof(command), "rm -r '%s'", help_files_dir[i]);
        assert_int_equal(system(command), 0);
    }
    return 0;
}

struct nd_config *help_files_pair(int which)
{
    struct ft_fault fault = {""};
    struct nd_config *config;
    char path[128];

    snprintf(path, sizeof(path), "%s/pair.yaml", help_files_dir[which]);
    if (nd_config_read(&config, path, ND_CONFIG_NODES, &fault))
        fail_msg("%s", fault.text);
    return config;
}

uint8_t *help_files_pack(int which, uint32_t *len)
{
    struct nd_config *config = help_files_pair(which);
    struct ft_fault fault = {""};
    struct nd_files files;
    uint8_t *bytes;

    if (nd_files_of(&files, config, &fault))
        fail_msg("%s", fault.text);
    bytes = nd_files_pack(&files, len);
    nd_config_free(config);
    return bytes;
}

/* What the second server's thread makes of a job; `bytes` are the job's. */
int help_files_do(enum nd_files_work work, uint8_t *bytes, uint32_t len, bool permit,
                  struct nd_files_job *out)
{
    struct nd_files_job job = {.work = work, .bytes = bytes, .len = len, .permit = permit};

    snprintf(job.file, sizeof(job.file), "%s/pair.yaml", help_files_dir[1]);
    snprintf(job.chain_file, sizeof(job.chain_file), "%s/chain.yaml", help_files_dir[1]);
    assert_true(nd_files_give(thread, &job));
    while (!nd_files_outcome(thread, out)) {
        assert_true(nd_files_busy(thread) && !nd_files_give(thread, &job));
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return out->error;
}

/* The first server's files, given to the second one. */
int help_files_take(bool permit, struct nd_files_job *out)
{
    uint32_t len;
    uint8_t *bytes = help_files_pack(0, &len);

    return help_files_do(ND_FILES_TAKE, bytes, len, permit, out);
}

/* A set made by hand, with a permit; "" or why it is refused. */
const char *help_files_why_not(const uint8_t *bytes, uint32_t len)
{
    static char text[256];
    struct nd_files_job job;
    uint8_t *copy = malloc(len);

    memcpy(copy, bytes, len);
    help_files_do(ND_FILES_TAKE, copy, len, true, &job);
    snprintf(text, sizeof(text), "%s", job.fault.text);
    nd_files_job_end(&job);
    return text;
}

/* A set of the peer's, as it may be made by hand. */
void help_files_add(uint8_t *bytes, uint32_t *len, const char *path, const char *content)
{
    uint32_t lengths[2] = {(uint32_t)strlen(path), (uint32_t)strlen(content)};

    memcpy(bytes + *len, lengths, sizeof(lengths));
    memcpy(bytes + *len + sizeof(lengths), path, lengths[0]);
    memcpy(bytes + *len + sizeof(lengths) + lengths[0], content, lengths[1]);
    *len += (uint32_t)sizeof(lengths) + lengths[0] + lengths[1];
}
