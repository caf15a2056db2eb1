/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's files where they go: staged, installed, found again when the node was killed in between. */
#define _GNU_SOURCE /* dladdr, unshare */
#include "tests/help/files.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_there_and_back(void **state)
{
    struct nd_files_job job;

    (void)state;
    assert_int_equal(help_files_take(true, &job), 0);
    assert_true(job.same && !job.staged);
    nd_files_job_end(&job);

    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    if (help_files_take(true, &job))
        fail_msg("%s", job.fault.text);
    assert_true(job.staged && !job.same && job.next);
    assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules"), "default allow\n"); /* not yet */
    nd_files_job_end(&job);
    assert_int_equal(help_files_do(ND_FILES_INSTALL, NULL, 0, true, &job), 0);
    assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules"), "default deny\n");
    assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules.before"), "default allow\n");
    assert_string_equal(help_files_text(help_files_dir[1], "pair.yaml"), HELP_FILES_PAIR);
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/sub/fw.rules"));
}

static void test_given_up(void **state)
{
    struct nd_files_job job;

    (void)state;
    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    assert_int_equal(help_files_take(true, &job), 0);
    nd_files_job_end(&job);
    assert_non_null(help_files_text(help_files_dir[1], ".understudy-push/sub/fw.rules"));
    assert_int_equal(help_files_do(ND_FILES_DROP, NULL, 0, true, &job), 0);
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/sub/fw.rules"));
    assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules"), "default allow\n");
}

/* A module below the chain file, which lies below the pair file, is found where it is. */
static void test_modules_in_directories(void **state)
{
    char command[600], pair[1024];
    struct nd_files_job job;
    Dl_info any;

    (void)state;
    assert_true(
        dladdr((void *)(uintptr_t)cmocka_set_message_output, &any)); /* a shared object, for a module */
    snprintf(pair, sizeof(pair), "chain: { file: site/chain.yaml }\n%s", strchr(HELP_FILES_PAIR, '\n') + 1);
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof(command), "mkdir -p %s/site/mod && cp %s %s/site/mod/nf.so",
                 help_files_dir[i], any.dli_fname, help_files_dir[i]);
        assert_int_equal(system(command), 0);
        help_files_write(help_files_dir[i], "pair.yaml", pair);
        help_files_write(help_files_dir[i], "site/fw.rules", "default allow\n");
        help_files_write(
            help_files_dir[i], "site/chain.yaml",
            "chain: { name: x, modules: [ mod/nf.so ], nfs: [ { firewall: { rules: fw.rules } } ] }\n");
    }
    help_files_write(help_files_dir[0], "site/fw.rules", "default deny\n");
    if (help_files_take(true, &job))
        fail_msg("%s", job.fault.text);
    assert_true(job.staged);
    nd_files_job_end(&job);
    assert_int_equal(help_files_do(ND_FILES_INSTALL, NULL, 0, true, &job), 0);
    assert_string_equal(help_files_text(help_files_dir[1], "site/fw.rules"), "default deny\n");
}

/* The chain's directory alone may be written to, as by the unit: the files come, and a death in between is
 * survived. */
static void test_nothing_else_is_written(void **state)
{
    char command[400], pair[160], text[1024];
    struct nd_files_job job;
    struct ft_fault fault;

    (void)state;
    snprintf(text, sizeof(text), "chain: { file: site/chain.yaml }\n%s", strchr(HELP_FILES_PAIR, '\n') + 1);
    snprintf(pair, sizeof(pair), "%s/pair.yaml", help_files_dir[1]);
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof(command), "mkdir -p %s/site/sub", help_files_dir[i]);
        assert_int_equal(system(command), 0);
        help_files_write(help_files_dir[i], "pair.yaml", text);
        help_files_write(help_files_dir[i], "site/chain.yaml", HELP_FILES_CHAIN);
        help_files_write(help_files_dir[i], "site/sub/fw.rules", "default allow\n");
    }
    help_files_write(help_files_dir[0], "site/sub/fw.rules", "default deny\n");
    assert_int_equal(chmod(help_files_dir[1], 0555), 0);
    if (getuid() == 0) { /* whom no mode stops */
        snprintf(command, sizeof(command), "chown -R 65534 %s %s/*", help_files_dir[0], help_files_dir[1]);
        assert_int_equal(system(command), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    if (help_files_take(true, &job))
        fail_msg("%s", job.fault.text);
    assert_true(job.staged);
    nd_files_job_end(&job);
    help_files_write(help_files_dir[1], "site/.understudy-push/.decided", "");
    assert_int_equal(nd_files_finish(pair, &fault), 1);
    assert_string_equal(help_files_text(help_files_dir[1], "site/sub/fw.rules"), "default deny\n");
    assert_string_equal(help_files_text(help_files_dir[1], "site/sub/fw.rules.before"), "default allow\n");

    help_files_write(help_files_dir[0], "site/sub/fw.rules", "default deny in\n");
    assert_int_equal(help_files_take(true, &job), 0);
    nd_files_job_end(&job);
    assert_int_equal(help_files_do(ND_FILES_INSTALL, NULL, 0, true, &job), 0);
    assert_string_equal(help_files_text(help_files_dir[1], "site/sub/fw.rules"), "default deny in\n");
    assert_null(help_files_text(help_files_dir[1], "site/.understudy-push/site/sub/fw.rules"));
    assert_int_equal(seteuid(getuid()), 0);
    assert_int_equal(chmod(help_files_dir[1], 0755), 0);
}

/* A directory that is a mount of its own, of the same file system: a rename to it would fail when it is too
 * late. */
static void test_another_mount(void **state)
{
    struct ft_fault fault = {""};
    struct nd_config *config;
    char sub[160], pair[160];
    struct nd_files files;

    (void)state;
    snprintf(sub, sizeof(sub), "%s/sub", help_files_dir[1]);
    snprintf(pair, sizeof(pair), "%s/pair.yaml", help_files_dir[1]);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(sub, sub, NULL, MS_BIND, NULL) != 0)
        skip();
    config = help_files_pair(0);
    assert_int_equal(nd_files_of(&files, config, &fault), 0);
    assert_int_equal(nd_files_stage(&files, pair, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "sub/fw.rules: on another file system or mount than the chain file"));
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/chain.yaml"));
    assert_int_equal(umount2(sub, MNT_DETACH), 0);
    assert_int_equal(nd_files_stage(&files, pair, &fault), 0);
    nd_config_free(config);
}

#define ELSEWHERE "chain: { name: x, nfs: [ { firewall: { rules: new/er/fw.rules } }, monitor ] }\n"

/* A directory that is not there is made before anything is changed; where it cannot be, nothing begins. */
static void test_new_directory(void **state)
{
    char path[160];
    struct nd_files_job job;

    (void)state;
    snprintf(path, sizeof(path), "mkdir -p %s/new/er", help_files_dir[0]);
    assert_int_equal(system(path), 0);
    help_files_write(help_files_dir[0], "new/er/fw.rules", "default deny\n");
    help_files_write(help_files_dir[0], "chain.yaml", ELSEWHERE);
    help_files_write(help_files_dir[1], "new", "a file");
    assert_true(help_files_take(true, &job) < 0);
    assert_non_null(strstr(job.fault.text, "cannot write"));
    nd_files_job_end(&job);
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/chain.yaml"));
    snprintf(path, sizeof(path), "%s/new", help_files_dir[1]);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(help_files_take(true, &job), 0);
    nd_files_job_end(&job);
    assert_int_equal(access(strcat(path, "/er"), X_OK), 0);
    assert_int_equal(help_files_do(ND_FILES_INSTALL, NULL, 0, true, &job), 0);
    assert_string_equal(help_files_text(help_files_dir[1], "new/er/fw.rules"), "default deny\n");
}

/* Pipes without a writer, wherever the peer may name them. */
static void test_pipes(void **state)
{
    uint8_t bytes[1024] = {0};
    char path[160];
    uint32_t len = 1;

    (void)state;
    snprintf(path, sizeof(path), "%s/pipe", help_files_dir[1]);
    assert_int_equal(mkfifo(path, 0600), 0);
    help_files_add(bytes, &len, "chain.yaml", HELP_FILES_CHAIN);
    help_files_add(bytes, &len, "sub/fw.rules", "default deny\n");
    help_files_add(bytes, &len, "pipe", "x");
    assert_non_null(strstr(help_files_why_not(bytes, len), "pipe: the chain does not name it"));

    len = 1;
    help_files_add(bytes, &len, "chain.yaml", "chain: { name: x, nfs: [ { firewall: { rules: pipe } } ] }\n");
    assert_non_null(strstr(help_files_why_not(bytes, len), "pipe (not among the files that came)"));
    help_files_add(bytes, &len, "pipe", "default deny\n");
    assert_non_null(
        strstr(help_files_why_not(bytes, len), "pipe: not a regular file, so it is not replaced"));
}

/* A write that takes a part says why the rest is not there. */
static void test_no_room(void **state)
{
    struct rlimit small = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY}, was;
    struct nd_files_job job;
    char text[16384];
    int n = 0;

    (void)state;
    while (n < 8000)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "# as long a line as it takes\n");
    help_files_write(help_files_dir[0], "sub/fw.rules", text);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    small.rlim_max = was.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(help_files_take(true, &job), FT_EIO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_non_null(strstr(job.fault.text, "sub/fw.rules: File too large"));
    nd_files_job_end(&job);
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/chain.yaml"));
}

static void in_second(char out[160], const char *name)
{
    snprintf(out, 160, "%s/%s", help_files_dir[1], name);
}

/* The node was killed when the set was decided on and so many steps were done: the next start does the rest.
 * Killed before that, it is nothing. */
static void test_killed(void **state)
{
    static const char deny[] = "default deny\n", allow[] = "default allow\n",
                      other[] = HELP_FILES_CHAIN "# another\n";
    char staged[160], there[160], before[160], pair[160];
    struct nd_files_job job;
    struct ft_fault fault;

    (void)state;
    in_second(pair, "pair.yaml");
    in_second(staged, ".understudy-push/sub/fw.rules");
    in_second(there, "sub/fw.rules");
    in_second(before, "sub/fw.rules.before");
    help_files_write(help_files_dir[0], "sub/fw.rules", deny);
    help_files_write(help_files_dir[0], "chain.yaml", other);
    for (int steps = -1; steps < 4; steps++) {
        help_files_write(help_files_dir[1], "sub/fw.rules", allow);
        help_files_write(help_files_dir[1], "chain.yaml", HELP_FILES_CHAIN);
        unlink(before);
        assert_int_equal(help_files_take(true, &job), 0);
        nd_files_job_end(&job);
        if (steps >= 0)
            help_files_write(help_files_dir[1], ".understudy-push/.decided", "");
        if (steps == 1 || steps == 3)
            assert_int_equal(link(there, before), 0);
        if (steps == 2) /* where a second name is not allowed */
            assert_int_equal(rename(there, before), 0);
        if (steps == 3)
            assert_int_equal(rename(staged, there), 0);
        assert_int_equal(nd_files_finish(pair, &fault), steps >= 0);
        assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules"), steps < 0 ? allow : deny);
        assert_string_equal(help_files_text(help_files_dir[1], "chain.yaml"),
                            steps < 0 ? HELP_FILES_CHAIN : other);
        if (steps >= 0)
            assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules.before"), allow);
        assert_null(help_files_text(help_files_dir[1], ".understudy-push/chain.yaml"));
        assert_int_equal(nd_files_finish(pair, &fault), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_FILES_CASE(test_there_and_back),
        HELP_FILES_CASE(test_given_up),
        HELP_FILES_CASE(test_modules_in_directories),
        HELP_FILES_CASE(test_nothing_else_is_written),
        HELP_FILES_CASE(test_another_mount),
        HELP_FILES_CASE(test_new_directory),
        HELP_FILES_CASE(test_pipes),
        HELP_FILES_CASE(test_no_room),
        HELP_FILES_CASE(test_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
