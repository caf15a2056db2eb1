/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's files on their way: what is read, what a peer may name, and what travels. */
#define _GNU_SOURCE /* dladdr, unshare */
#include "understudy/change/files.c"
#include "tests/help/test.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

/* Two directories, as of two servers, each with a pair file, a chain file and rules; and the thread of files
 * of the second one. For tests of a chain's files. */

#define HELP_FILES_CHAIN "chain: { name: x, nfs: [ { firewall: { rules: sub/fw.rules } }, monitor ] }\n"

#define HELP_FILES_PAIR                                                                                      \
    "chain: { file: chain.yaml }\nlink: { insecure: true }\nnodes:\n"                                        \
    "  a: { role: primary, ports: { inside: net_null0, outside: net_null1 }, replication: 127.0.0.1:1, "     \
    "control: a }\n"                                                                                         \
    "  b: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: 127.0.0.1:2, "     \
    "control: b }\n"

#define HELP_FILES_CASE(name) TEST_WITH(name, help_files_set_up, help_files_tear_down)

static char help_files_dir[2][64];
static struct nd_files_thread *thread;

static void help_files_write(const char *dir, const char *name, const char *text)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* until the next call; NULL: no such file */
static const char *help_files_text(const char *dir, const char *name)
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
static int help_files_set_up(void **state)
{
    char path[160];
    struct ft_fault fault;

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

static int help_files_tear_down(void **state)
{
    char command[160];

    nd_files_thread_close(thread);
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof(command), "rm -r '%s'", help_files_dir[i]);
        assert_int_equal(system(command), 0);
    }
    return 0;
}

static struct nd_config *help_files_pair(int which)
{
    struct ft_fault fault = {""};
    struct nd_config *config;
    char path[128];

    snprintf(path, sizeof(path), "%s/pair.yaml", help_files_dir[which]);
    if (nd_config_read(&config, path, ND_CONFIG_NODES, &fault))
        fail_msg("%s", fault.text);
    return config;
}

/* what this server would send */
static uint8_t *help_files_pack(int which, uint32_t *len)
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
static int help_files_do(enum nd_files_work work, uint8_t *bytes, uint32_t len, bool permit,
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
static int help_files_take(bool permit, struct nd_files_job *out)
{
    uint32_t len;
    uint8_t *bytes = help_files_pack(0, &len);

    return help_files_do(ND_FILES_TAKE, bytes, len, permit, out);
}

/* A set made by hand, with a permit; "" or why it is refused. */
static const char *help_files_why_not(const uint8_t *bytes, uint32_t len)
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
static void help_files_add(uint8_t *bytes, uint32_t *len, const char *path, const char *content)
{
    uint32_t lengths[2] = {(uint32_t)strlen(path), (uint32_t)strlen(content)};

    memcpy(bytes + *len, lengths, sizeof(lengths));
    memcpy(bytes + *len + sizeof(lengths), path, lengths[0]);
    memcpy(bytes + *len + sizeof(lengths) + lengths[0], content, lengths[1]);
    *len += (uint32_t)sizeof(lengths) + lengths[0] + lengths[1];
}

/* Then what it makes of its own files is the answer, and nothing is written. */
HELP_FILES_CASE(test_without_a_permit)
{
    struct nd_files_job job;

    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    assert_int_equal(help_files_take(false, &job), 0);
    assert_true(job.next && !job.staged && !job.same && !*job.differs);
    nd_files_job_end(&job);
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/sub/fw.rules"));
}

/* Where the chain stands in the pair file none travels, in neither direction. */
HELP_FILES_CASE(test_chain_in_the_pair_file)
{
    char text[1024];
    struct nd_files_job job;
    struct nd_files files;
    struct ft_fault fault;
    uint32_t len;
    uint8_t *bytes, set[512] = {0};

    snprintf(text, sizeof(text), "%s%s", HELP_FILES_CHAIN, strchr(HELP_FILES_PAIR, '\n') + 1);
    help_files_write(help_files_dir[0], "pair.yaml", text);
    bytes = help_files_pack(0, &len);
    assert_int_equal(len, 1);
    assert_int_equal(unpack(&files, bytes, len, &fault), 0);
    assert_int_equal(files.count, 0);
    assert_int_equal(help_files_do(ND_FILES_TAKE, bytes, len, true, &job), 0);
    assert_true(job.next && !job.staged && !job.same && !job.travels);
    nd_files_job_end(&job);

    help_files_write(help_files_dir[0], "pair.yaml", HELP_FILES_PAIR);
    help_files_write(help_files_dir[1], "pair.yaml", text);
    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    assert_int_equal(help_files_take(true, &job), 0);
    assert_true(job.next && !job.staged && !job.travels);
    nd_files_job_end(&job);

    set[0] = 1; /* of one that lies: a pair file with hooks and another user */
    len = 1;
    help_files_add(set, &len, "pair.yaml", "evil");
    assert_string_equal(help_files_why_not(set, len), "");
    assert_string_equal(help_files_text(help_files_dir[1], "pair.yaml"), text);
}

/* One file by this path. */
static int unpack_path(const char *path)
{
    uint8_t bytes[512] = {0};
    uint32_t lengths[2] = {(uint32_t)strlen(path), 1};
    struct ft_fault fault = {""};
    struct nd_files files;

    memcpy(bytes + 1, lengths, sizeof(lengths));
    memcpy(bytes + 1 + sizeof(lengths), path, lengths[0]);
    return unpack(&files, bytes, (uint32_t)(1 + sizeof(lengths)) + lengths[0] + 1, &fault);
}

/* Nothing that would be loaded as a module, whatever it is called. */
HELP_FILES_CASE(test_modules)
{
    static const char *const names[] = {"evil.so", "sub/fw.rules", "x"};
    uint8_t bytes[512] = {0};
    struct ft_fault fault = {""};
    struct nd_files files;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint32_t len = 1;

        help_files_add(bytes, &len, "chain.yaml",
                       "chain: { name: x, modules: [ evil.so ], nfs: [ evil ] }\n");
        help_files_add(bytes, &len, names[i], "\177ELF\2\1\1");
        assert_int_equal(unpack(&files, bytes, len, &fault), FT_EMALFORMED);
        assert_non_null(strstr(fault.text, "is a module or a program"));
    }
}

/* What was read is what counts: rules, their hash and what travels are of the same bytes. */
HELP_FILES_CASE(test_file_changed_behind_it)
{
    struct nd_config *config = help_files_pair(0);
    struct ft_fault fault;
    struct nd_files files;
    char before[2048], after[2048];

    nf_chain_identity(&config->chain, before, sizeof(before));
    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    help_files_write(help_files_dir[0], "chain.yaml", "another one");
    nf_chain_identity(&config->chain, after, sizeof(after));
    assert_string_equal(before, after);
    assert_int_equal(nd_files_of(&files, config, &fault), 0);
    assert_int_equal(files.count, 2);
    assert_string_equal(files.list[0].path, "chain.yaml");
    assert_memory_equal(files.list[0].bytes, HELP_FILES_CHAIN, sizeof(HELP_FILES_CHAIN) - 1);
    assert_string_equal(files.list[1].path, "sub/fw.rules");
    assert_memory_equal(files.list[1].bytes, "default allow\n", files.list[1].len);
    nd_config_free(config);
}

/* The pair file, with hooks of the peer's, and a key: neither is the chain's. */
HELP_FILES_CASE(test_what_the_chain_does_not_name)
{
    uint8_t bytes[1024] = {0};
    uint32_t len = 1;

    help_files_add(bytes, &len, "chain.yaml", HELP_FILES_CHAIN);
    help_files_add(bytes, &len, "pair.yaml", HELP_FILES_PAIR "hold_down_s: 7\n");
    assert_non_null(strstr(help_files_why_not(bytes, len), "pair.yaml: it is this node's pair file"));

    len = 1;
    help_files_add(bytes, &len, "chain.yaml", HELP_FILES_CHAIN);
    help_files_add(bytes, &len, "sub/fw.rules", "default deny\n");
    assert_string_equal(help_files_why_not(bytes, len), "");
    help_files_add(bytes, &len, "pair.key", "another one");
    assert_non_null(strstr(help_files_why_not(bytes, len), "pair.key: the chain does not name it"));
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/pair.key"));
}

HELP_FILES_CASE(test_paths)
{
    static const char *const bad[] = {"/etc/passwd", "../x",     "a/../x", "",    ".hidden", "a/.hidden",
                                      "a//b",        "a/",       "a b",    "a\n", "~",       "a/../../b",
                                      "..",          "x/..yaml", "$x",     "\xff"};

    assert_int_equal(unpack_path("chain.yaml"), 0);
    assert_int_equal(unpack_path("sub/fw-1_2.rules"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (unpack_path(bad[i]) != FT_EMALFORMED)
            fail_msg("\"%s\" was taken", bad[i]);
}

/* Cut short anywhere, or with any byte another: it is taken or refused, and nothing is read beyond it. */
HELP_FILES_CASE(test_damage)
{
    struct ft_fault fault = {""};
    struct nd_files files;
    uint32_t len, taken = 0;
    uint8_t *bytes, *copy;

    bytes = help_files_pack(0, &len);
    for (uint32_t n = 0; n < len; n++) {
        copy = malloc(n ? n : 1); /* so that a sanitizer sees its end */
        memcpy(copy, bytes, n);
        taken += unpack(&files, copy, n, &fault) == 0;
        free(copy);
    }
    assert_int_equal(taken, 1); /* behind the first file */
    for (uint32_t n = 0; n < len; n++) {
        copy = malloc(len);
        memcpy(copy, bytes, len);
        copy[n] ^= 0x80;
        if (unpack(&files, copy, len, &fault) == 0)
            for (uint32_t i = 0; i < files.count; i++)
                assert_true(files.list[i].bytes + files.list[i].len <= copy + len);
        free(copy);
    }
    free(bytes);
}

/* What lies elsewhere does not travel; nor does more than there is room for. */
HELP_FILES_CASE(test_what_does_not_travel)
{
    struct nd_config *config;
    struct ft_fault fault = {""};
    struct nd_files files;
    char chain[256], large[160];
    FILE *f;

    snprintf(chain, sizeof(chain), "chain: { name: x, nfs: [ { firewall: { rules: %s/sub/fw.rules } } ] }\n",
             help_files_dir[1]);
    help_files_write(help_files_dir[0], "chain.yaml", chain);
    config = help_files_pair(0);
    assert_int_equal(nd_files_of(&files, config, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "not below the pair file's directory"));
    nd_config_free(config);
    help_files_write(help_files_dir[0], "chain.yaml", HELP_FILES_CHAIN);
    snprintf(large, sizeof(large), "%s/sub/fw.rules", help_files_dir[0]);
    f = fopen(large, "w");
    for (int i = 0; i < 40000; i++)
        fputs("# as long a line as it takes\n", f);
    fputs("default deny\n", f);
    fclose(f);
    config = help_files_pair(0);
    assert_int_equal(nd_files_of(&files, config, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "more than 1048576 bytes"));
    nd_config_free(config);
}

/* A chain's files where they go: staged, installed, found again when the node was killed in between. */

HELP_FILES_CASE(test_there_and_back)
{
    struct nd_files_job job;

    assert_int_equal(help_files_take(true, &job), 0);
    assert_true(job.same && !job.staged);
    nd_files_job_end(&job);

    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    if (help_files_take(true, &job))
        fail_msg("%s", job.fault.text);
    assert_true(job.staged && !job.same && job.next);
    assert_string_equal(job.differs, "sub/fw.rules");
    assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules"), "default allow\n"); /* not yet */
    nd_files_job_end(&job);
    assert_int_equal(help_files_do(ND_FILES_INSTALL, NULL, 0, true, &job), 0);
    assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules"), "default deny\n");
    assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules.before"), "default allow\n");
    assert_string_equal(help_files_text(help_files_dir[1], "pair.yaml"), HELP_FILES_PAIR);
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/sub/fw.rules"));
}

HELP_FILES_CASE(test_given_up)
{
    struct nd_files_job job;

    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    assert_int_equal(help_files_take(true, &job), 0);
    nd_files_job_end(&job);
    assert_non_null(help_files_text(help_files_dir[1], ".understudy-push/sub/fw.rules"));
    assert_int_equal(help_files_do(ND_FILES_DROP, NULL, 0, true, &job), 0);
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/sub/fw.rules"));
    assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules"), "default allow\n");
}

/* A module below the chain file, which lies below the pair file, is found where it is. */
HELP_FILES_CASE(test_modules_in_directories)
{
    char command[600], pair[1024];
    struct nd_files_job job;
    Dl_info any;

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
HELP_FILES_CASE(test_nothing_else_is_written)
{
    char command[400], pair[160], text[1024];
    struct nd_files_job job;
    struct ft_fault fault;

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
HELP_FILES_CASE(test_another_mount)
{
    struct ft_fault fault = {""};
    struct nd_config *config;
    char sub[160], pair[160];
    struct nd_files files;

    snprintf(sub, sizeof(sub), "%s/sub", help_files_dir[1]);
    snprintf(pair, sizeof(pair), "%s/pair.yaml", help_files_dir[1]);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(sub, sub, NULL, MS_BIND, NULL) != 0)
        skip();
    config = help_files_pair(0);
    assert_int_equal(nd_files_of(&files, config, &fault), 0);
    assert_int_equal(stage_files(&files, pair, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "sub/fw.rules: on another file system or mount than the chain file"));
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/chain.yaml"));
    assert_int_equal(umount2(sub, MNT_DETACH), 0);
    assert_int_equal(stage_files(&files, pair, &fault), 0);
    nd_config_free(config);
}

#define ELSEWHERE "chain: { name: x, nfs: [ { firewall: { rules: new/er/fw.rules } }, monitor ] }\n"

/* A directory that is not there is made before anything is changed; where it cannot be, nothing begins. */
HELP_FILES_CASE(test_new_directory)
{
    char path[160];
    struct nd_files_job job;

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
HELP_FILES_CASE(test_pipes)
{
    uint8_t bytes[1024] = {0};
    char path[160];
    uint32_t len = 1;

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
HELP_FILES_CASE(test_no_room)
{
    struct rlimit small = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY}, was;
    struct nd_files_job job;
    char text[16384];
    int n = 0;

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
HELP_FILES_CASE(test_killed)
{
    static const char deny[] = "default deny\n", allow[] = "default allow\n",
                      other[] = HELP_FILES_CHAIN "# another\n";
    char staged[160], there[160], before[160], pair[160];
    struct nd_files_job job;
    struct ft_fault fault;

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

/* What is staged cannot all be read, once it is decided on: the mark stays, and the next start installs it.
 */
HELP_FILES_CASE(test_unread_stage)
{
    char staged[160], mark[160], pair[160], command[200];
    struct nd_files_job job;
    struct ft_fault fault = {""};

    in_second(pair, "pair.yaml");
    in_second(staged, ".understudy-push/sub");
    in_second(mark, ".understudy-push/.decided");
    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    assert_int_equal(help_files_take(true, &job), 0);
    nd_files_job_end(&job);
    help_files_write(help_files_dir[1], ".understudy-push/.decided", "");
    assert_int_equal(chmod(staged, 0000), 0);
    if (getuid() == 0) { /* whom no mode stops */
        snprintf(command, sizeof(command), "chown -R 65534 %s", help_files_dir[1]);
        assert_int_equal(system(command), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    assert_int_equal(nd_files_finish(pair, &fault), FT_EPERM);
    assert_non_null(strstr(fault.text, ".understudy-push/sub: Permission denied"));
    assert_int_equal(access(mark, F_OK), 0);
    assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules"), "default allow\n");
    assert_int_equal(chmod(staged, 0750), 0);
    assert_int_equal(nd_files_finish(pair, &fault), 1);
    assert_string_equal(help_files_text(help_files_dir[1], "sub/fw.rules"), "default deny\n");
    assert_int_equal(seteuid(getuid()), 0);
}

/* A start is root's, and the directory another user's, who has put links there: they lead no further than he
 * may go. */
HELP_FILES_CASE(test_links_of_another_user)
{
    char pair[160], stage[160], staged[160], link_there[160], victim[160], command[400];
    struct ft_fault fault = {""};

    if (getuid() != 0)
        skip();
    in_second(pair, "pair.yaml");
    in_second(stage, ".understudy-push");
    in_second(link_there, "evil");
    snprintf(victim, sizeof(victim), "%s/mine", help_files_dir[0]);
    assert_int_equal(mkdir(victim, 0755), 0);
    help_files_write(help_files_dir[0], "mine/kept", "root's");
    assert_int_equal(symlink(victim, stage), 0);
    snprintf(command, sizeof(command), "chown -hR 65534 %s", help_files_dir[1]);
    assert_int_equal(system(command), 0);
    assert_int_equal(nd_files_finish(pair, &fault), 0);
    assert_string_equal(help_files_text(help_files_dir[0], "mine/kept"), "root's");
    assert_int_equal(geteuid(), 0);

    unlink(stage);
    assert_int_equal(symlink(victim, link_there), 0);
    in_second(staged, ".understudy-push/evil");
    assert_true(mkdir(stage, 0755) == 0 && mkdir(staged, 0755) == 0);
    help_files_write(help_files_dir[1], ".understudy-push/evil/kept", "another's");
    help_files_write(help_files_dir[1], ".understudy-push/.decided", "");
    assert_int_equal(system(command), 0);
    assert_int_equal(nd_files_finish(pair, &fault), FT_EPERM);
    assert_string_equal(help_files_text(help_files_dir[0], "mine/kept"), "root's");
    assert_int_equal(geteuid(), 0);
    assert_int_equal(getegid(), getgid());
}

static struct nd_files_job help_files_numbered(enum nd_files_work work, uint64_t number)
{
    struct nd_files_job job = {.work = work, .number = number, .bytes = malloc(1)};

    snprintf(job.file, sizeof(job.file), "%s/pair.yaml", help_files_dir[1]);
    return job;
}

/* One waits behind the job that is under way: the one that was ordered last. */
HELP_FILES_CASE(test_a_job_that_waits)
{
    struct nd_files_job first = help_files_numbered(ND_FILES_DROP, 1),
                        second = help_files_numbered(ND_FILES_DROP, 2),
                        third = help_files_numbered(ND_FILES_KEEP, 3), refused = {.work = ND_FILES_READ}, out;

    assert_false(nd_files_busy(thread));
    nd_files_order(thread, &first);
    nd_files_order(thread, &second);
    nd_files_order(thread, &third);
    for (uint64_t number = 1; number <= 3; number += 2) {
        while (!nd_files_outcome(thread, &out)) {
            assert_true(nd_files_busy(thread) && !nd_files_give(thread, &refused));
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        }
        assert_int_equal(out.number, number);
        nd_files_job_end(&out);
    }
    assert_false(nd_files_busy(thread));
}
