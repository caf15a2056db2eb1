/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's files on their way: what is read, what a peer may name, and what travels. */
#define _GNU_SOURCE /* dladdr, unshare */
#include "understudy/change/files.c"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Two directories, as of two servers, each with a pair file, a chain file and rules; and the thread of files
 * of the second one. For tests of a chain's files. */

#define FILES_CHAIN "chain: { name: x, nfs: [ { firewall: { rules: sub/fw.rules } }, monitor ] }\n"

#define FILES_PAIR "chain: { file: chain.yaml }\n" PAIRED
#define IN_SITE    "chain: { file: site/chain.yaml }\n" PAIRED
#define PAIRED                                                                                               \
    "link: { insecure: true }\nnodes:\n"                                                                     \
    "  a: { role: primary, ports: { inside: net_null0, outside: net_null1 }, replication: 127.0.0.1:1, "     \
    "control: a }\n"                                                                                         \
    "  b: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: 127.0.0.1:2, "     \
    "control: b }\n"

#define FILES_CASE(name) TEST_WITH(name, set_up, tear_down)

static const char *dir[2];
static struct nd_files_thread *thread;

static const char *path_of(int server, const char *name)
{
    return help_print("%s/%s", dir[server], name);
}

static void put(int server, const char *name, const char *text)
{
    help_write(path_of(server, name), text);
}

/* NULL: no such file */
static const char *text_of(int server, const char *name)
{
    return help_text(path_of(server, name));
}

/* Two directories, as of two servers. */
static int set_up(void **state)
{
    alarm(30); /* nothing waits for what a peer names */
    assert_int_equal(nd_files_thread_open(&thread, &help_fault), 0);
    for (int i = 0; i < 2; i++) {
        dir[i] = help_directory();
        assert_int_equal(mkdir(path_of(i, "sub"), 0755), 0);
        put(i, "pair.yaml", FILES_PAIR);
        put(i, "chain.yaml", FILES_CHAIN);
        put(i, "sub/fw.rules", "default allow\n");
    }
    return 0;
}

static int tear_down(void **state)
{
    nd_files_thread_close(thread);
    return 0;
}

static struct nd_config *config_of(int which)
{
    struct nd_config *config;

    help_done(nd_config_read(&config, path_of(which, "pair.yaml"), ND_CONFIG_NODES, &help_fault));
    return config;
}

/* what this server would send */
static uint8_t *pack(int which, uint32_t *len)
{
    struct nd_config *config = config_of(which);
    struct nd_files files;
    uint8_t *bytes;

    help_done(nd_files_of(&files, config, &help_fault));
    bytes = nd_files_pack(&files, len);
    nd_config_free(config);
    return bytes;
}

/* What the second server's thread makes of a job; `bytes` are the job's. */
static int work_on(enum nd_files_work work, uint8_t *bytes, uint32_t len, bool permit,
                   struct nd_files_job *out)
{
    struct nd_files_job job = {.work = work, .bytes = bytes, .len = len, .permit = permit};

    snprintf(job.file, sizeof(job.file), "%s/pair.yaml", dir[1]);
    snprintf(job.chain_file, sizeof(job.chain_file), "%s/chain.yaml", dir[1]);
    assert_true(nd_files_give(thread, &job));
    while (!nd_files_outcome(thread, out)) {
        assert_true(nd_files_busy(thread) && !nd_files_give(thread, &job));
        help_sleep_ms(1);
    }
    return out->error;
}

/* The first server's files, given to the second one. */
static int take_files(bool permit, struct nd_files_job *out)
{
    uint32_t len;
    uint8_t *bytes = pack(0, &len);

    return work_on(ND_FILES_TAKE, bytes, len, permit, out);
}

/* They are there, and are to go to their places. */
static void stage(void)
{
    struct nd_files_job job;

    if (take_files(true, &job))
        fail_msg("%s", job.fault.text);
    assert_true(job.staged);
    nd_files_job_end(&job);
}

static void install_staged(void)
{
    struct nd_files_job job;

    assert_int_equal(work_on(ND_FILES_INSTALL, NULL, 0, true, &job), 0);
}

/* A set made by hand, with a permit; "" or why it is refused. */
static const char *why_not(const uint8_t *bytes, uint32_t len)
{
    struct nd_files_job job;
    uint8_t *copy = malloc(len);

    memcpy(copy, bytes, len);
    work_on(ND_FILES_TAKE, copy, len, true, &job);
    const char *text = help_print("%s", job.fault.text);

    nd_files_job_end(&job);
    return text;
}

/* A set of the peer's, as it may be made by hand. */
static void add_to_set(uint8_t *bytes, uint32_t *len, const char *path, const char *content)
{
    uint32_t lengths[2] = {(uint32_t)strlen(path), (uint32_t)strlen(content)};

    memcpy(bytes + *len, lengths, sizeof(lengths));
    memcpy(bytes + *len + sizeof(lengths), path, lengths[0]);
    memcpy(bytes + *len + sizeof(lengths) + lengths[0], content, lengths[1]);
    *len += (uint32_t)sizeof(lengths) + lengths[0] + lengths[1];
}

/* Then what it makes of its own files is the answer, and nothing is written. */
FILES_CASE(test_without_a_permit)
{
    struct nd_files_job job;

    put(0, "sub/fw.rules", "default deny\n");
    assert_int_equal(take_files(false, &job), 0);
    assert_true(job.next && !job.staged && !job.same && !*job.differs);
    nd_files_job_end(&job);
    assert_null(text_of(1, ".understudy-push/sub/fw.rules"));
}

/* Where the chain stands in the pair file none travels, in neither direction. */
FILES_CASE(test_chain_in_the_pair_file)
{
    struct nd_files_job job;
    struct nd_files files;
    uint32_t len;
    uint8_t *bytes, set[512] = {0};
    static const char text[] = FILES_CHAIN PAIRED;

    put(0, "pair.yaml", text);
    bytes = pack(0, &len);
    assert_int_equal(len, 1);
    assert_int_equal(unpack(&files, bytes, len, &help_fault), 0);
    assert_int_equal(files.count, 0);
    assert_int_equal(work_on(ND_FILES_TAKE, bytes, len, true, &job), 0);
    assert_true(job.next && !job.staged && !job.same && !job.travels);
    nd_files_job_end(&job);

    put(0, "pair.yaml", FILES_PAIR);
    put(1, "pair.yaml", text);
    put(0, "sub/fw.rules", "default deny\n");
    assert_int_equal(take_files(true, &job), 0);
    assert_true(job.next && !job.staged && !job.travels);
    nd_files_job_end(&job);

    set[0] = 1; /* of one that lies: a pair file with hooks and another user */
    len = 1;
    add_to_set(set, &len, "pair.yaml", "evil");
    assert_string_equal(why_not(set, len), "");
    assert_string_equal(text_of(1, "pair.yaml"), text);
}

/* One file by this path. */
static int unpack_path(const char *path)
{
    uint8_t bytes[512] = {0};
    uint32_t lengths[2] = {(uint32_t)strlen(path), 1};
    struct nd_files files;

    memcpy(bytes + 1, lengths, sizeof(lengths));
    memcpy(bytes + 1 + sizeof(lengths), path, lengths[0]);
    return unpack(&files, bytes, (uint32_t)(1 + sizeof(lengths)) + lengths[0] + 1, &help_fault);
}

/* Nothing that would be loaded as a module, whatever it is called. */
FILES_CASE(test_modules)
{
    static const char *const names[] = {"evil.so", "sub/fw.rules", "x"};
    uint8_t bytes[512] = {0};
    struct nd_files files;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint32_t len = 1;

        add_to_set(bytes, &len, "chain.yaml", "chain: { name: x, modules: [ evil.so ], nfs: [ evil ] }\n");
        add_to_set(bytes, &len, names[i], "\177ELF\2\1\1");
        assert_int_equal(unpack(&files, bytes, len, &help_fault), FT_EMALFORMED);
        assert_non_null(strstr(help_fault.text, "is a module or a program"));
    }
}

/* What was read is what counts: rules, their hash and what travels are of the same bytes. */
FILES_CASE(test_file_changed_behind_it)
{
    struct nd_config *config = config_of(0);
    struct nd_files files;
    char before[2048], after[2048];

    nf_chain_identity(&config->chain, before, sizeof(before));
    put(0, "sub/fw.rules", "default deny\n");
    put(0, "chain.yaml", "another one");
    nf_chain_identity(&config->chain, after, sizeof(after));
    assert_string_equal(before, after);
    assert_int_equal(nd_files_of(&files, config, &help_fault), 0);
    assert_int_equal(files.count, 2);
    assert_string_equal(files.list[0].path, "chain.yaml");
    assert_memory_equal(files.list[0].bytes, FILES_CHAIN, sizeof(FILES_CHAIN) - 1);
    assert_string_equal(files.list[1].path, "sub/fw.rules");
    assert_memory_equal(files.list[1].bytes, "default allow\n", files.list[1].len);
    nd_config_free(config);
}

/* The pair file, with hooks of the peer's, and a key: neither is the chain's. */
FILES_CASE(test_what_the_chain_does_not_name)
{
    uint8_t bytes[1024] = {0};
    uint32_t len = 1;

    add_to_set(bytes, &len, "chain.yaml", FILES_CHAIN);
    add_to_set(bytes, &len, "pair.yaml", FILES_PAIR "hold_down_s: 7\n");
    assert_non_null(strstr(why_not(bytes, len), "pair.yaml: it is this node's pair file"));

    len = 1;
    add_to_set(bytes, &len, "chain.yaml", FILES_CHAIN);
    add_to_set(bytes, &len, "sub/fw.rules", "default deny\n");
    assert_string_equal(why_not(bytes, len), "");
    add_to_set(bytes, &len, "pair.key", "another one");
    assert_non_null(strstr(why_not(bytes, len), "pair.key: the chain does not name it"));
    assert_null(text_of(1, ".understudy-push/pair.key"));
}

FILES_CASE(test_paths)
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
FILES_CASE(test_damage)
{
    struct nd_files files;
    uint32_t len, taken = 0;
    uint8_t *bytes, *copy;

    bytes = pack(0, &len);
    for (uint32_t n = 0; n < len; n++) {
        copy = malloc(n ? n : 1); /* so that a sanitizer sees its end */
        memcpy(copy, bytes, n);
        taken += unpack(&files, copy, n, &help_fault) == 0;
        free(copy);
    }
    assert_int_equal(taken, 1); /* behind the first file */
    for (uint32_t n = 0; n < len; n++) {
        copy = malloc(len);
        memcpy(copy, bytes, len);
        copy[n] ^= 0x80;
        if (unpack(&files, copy, len, &help_fault) == 0)
            for (uint32_t i = 0; i < files.count; i++)
                assert_true(files.list[i].bytes + files.list[i].len <= copy + len);
        free(copy);
    }
    free(bytes);
}

/* What lies elsewhere does not travel; nor does more than there is room for. */
FILES_CASE(test_what_does_not_travel)
{
    struct nd_config *config;
    struct nd_files files;
    FILE *f;

    put(0, "chain.yaml",
        help_print("chain: { name: x, nfs: [ { firewall: { rules: %s/sub/fw.rules } } ] }\n", dir[1]));
    config = config_of(0);
    assert_int_equal(nd_files_of(&files, config, &help_fault), FT_EINVAL);
    assert_non_null(strstr(help_fault.text, "not below the pair file's directory"));
    nd_config_free(config);
    put(0, "chain.yaml", FILES_CHAIN);
    f = fopen(path_of(0, "sub/fw.rules"), "w");
    for (int i = 0; i < 40000; i++)
        fputs("# as long a line as it takes\n", f);
    fputs("default deny\n", f);
    fclose(f);
    config = config_of(0);
    assert_int_equal(nd_files_of(&files, config, &help_fault), FT_EINVAL);
    assert_non_null(strstr(help_fault.text, "more than 1048576 bytes"));
    nd_config_free(config);
}

/* A chain's files where they go: staged, installed, found again when the node was killed in between. */

FILES_CASE(test_there_and_back)
{
    struct nd_files_job job;

    assert_int_equal(take_files(true, &job), 0);
    assert_true(job.same && !job.staged);
    nd_files_job_end(&job);

    put(0, "sub/fw.rules", "default deny\n");
    if (take_files(true, &job))
        fail_msg("%s", job.fault.text);
    assert_true(job.staged && !job.same && job.next);
    assert_string_equal(job.differs, "sub/fw.rules");
    assert_string_equal(text_of(1, "sub/fw.rules"), "default allow\n"); /* not yet */
    nd_files_job_end(&job);
    install_staged();
    assert_string_equal(text_of(1, "sub/fw.rules"), "default deny\n");
    assert_string_equal(text_of(1, "sub/fw.rules.before"), "default allow\n");
    assert_string_equal(text_of(1, "pair.yaml"), FILES_PAIR);
    assert_null(text_of(1, ".understudy-push/sub/fw.rules"));
}

FILES_CASE(test_given_up)
{
    struct nd_files_job job;

    put(0, "sub/fw.rules", "default deny\n");
    stage();
    assert_non_null(text_of(1, ".understudy-push/sub/fw.rules"));
    assert_int_equal(work_on(ND_FILES_DROP, NULL, 0, true, &job), 0);
    assert_null(text_of(1, ".understudy-push/sub/fw.rules"));
    assert_string_equal(text_of(1, "sub/fw.rules"), "default allow\n");
}

/* A module below the chain file, which lies below the pair file, is found where it is. */
FILES_CASE(test_modules_in_directories)
{
    Dl_info any;

    assert_true(
        dladdr((void *)(uintptr_t)cmocka_set_message_output, &any)); /* a shared object, for a module */
    for (int i = 0; i < 2; i++) {
        help_run(
            help_print("mkdir -p %s/site/mod && cp %s %s/site/mod/nf.so", dir[i], any.dli_fname, dir[i]));
        put(i, "pair.yaml", IN_SITE);
        put(i, "site/fw.rules", "default allow\n");
        put(i, "site/chain.yaml",
            "chain: { name: x, modules: [ mod/nf.so ], nfs: [ { firewall: { rules: fw.rules } } ] }\n");
    }
    put(0, "site/fw.rules", "default deny\n");
    stage();
    install_staged();
    assert_string_equal(text_of(1, "site/fw.rules"), "default deny\n");
}

/* The chain's directory alone may be written to, as by the unit: the files come, and a death in between is
 * survived. */
FILES_CASE(test_nothing_else_is_written)
{
    const char *pair = path_of(1, "pair.yaml");

    for (int i = 0; i < 2; i++) {
        help_run(help_print("mkdir -p %s/site/sub", dir[i]));
        put(i, "pair.yaml", IN_SITE);
        put(i, "site/chain.yaml", FILES_CHAIN);
        put(i, "site/sub/fw.rules", "default allow\n");
    }
    put(0, "site/sub/fw.rules", "default deny\n");
    assert_int_equal(chmod(dir[1], 0555), 0);
    if (getuid() == 0) { /* whom no mode stops */
        help_run(help_print("chown -R 65534 %s %s/*", dir[0], dir[1]));
        assert_int_equal(seteuid(65534), 0);
    }
    stage();
    put(1, "site/.understudy-push/.decided", "");
    assert_int_equal(nd_files_finish(pair, &help_fault), 1);
    assert_string_equal(text_of(1, "site/sub/fw.rules"), "default deny\n");
    assert_string_equal(text_of(1, "site/sub/fw.rules.before"), "default allow\n");

    put(0, "site/sub/fw.rules", "default deny in\n");
    stage();
    install_staged();
    assert_string_equal(text_of(1, "site/sub/fw.rules"), "default deny in\n");
    assert_null(text_of(1, "site/.understudy-push/site/sub/fw.rules"));
    assert_int_equal(seteuid(getuid()), 0);
    assert_int_equal(chmod(dir[1], 0755), 0);
}

/* A directory that is a mount of its own, of the same file system: a rename to it would fail when it is too
 * late. */
FILES_CASE(test_another_mount)
{
    const char *pair = path_of(1, "pair.yaml"), *sub = path_of(1, "sub");
    struct nd_config *config;
    struct nd_files files;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(sub, sub, NULL, MS_BIND, NULL) != 0)
        skip();
    config = config_of(0);
    assert_int_equal(nd_files_of(&files, config, &help_fault), 0);
    assert_int_equal(stage_files(&files, pair, &help_fault), FT_EINVAL);
    assert_non_null(
        strstr(help_fault.text, "sub/fw.rules: on another file system or mount than the chain file"));
    assert_null(text_of(1, ".understudy-push/chain.yaml"));
    assert_int_equal(umount2(sub, MNT_DETACH), 0);
    assert_int_equal(stage_files(&files, pair, &help_fault), 0);
    nd_config_free(config);
}

#define ELSEWHERE "chain: { name: x, nfs: [ { firewall: { rules: new/er/fw.rules } }, monitor ] }\n"

/* A directory that is not there is made before anything is changed; where it cannot be, nothing begins. */
FILES_CASE(test_new_directory)
{
    struct nd_files_job job;

    help_run(help_print("mkdir -p %s/new/er", dir[0]));
    put(0, "new/er/fw.rules", "default deny\n");
    put(0, "chain.yaml", ELSEWHERE);
    put(1, "new", "a file");
    assert_true(take_files(true, &job) < 0);
    assert_non_null(strstr(job.fault.text, "cannot write"));
    nd_files_job_end(&job);
    assert_null(text_of(1, ".understudy-push/chain.yaml"));
    assert_int_equal(unlink(path_of(1, "new")), 0);
    stage();
    assert_int_equal(access(path_of(1, "new/er"), X_OK), 0);
    install_staged();
    assert_string_equal(text_of(1, "new/er/fw.rules"), "default deny\n");
}

/* Pipes without a writer, wherever the peer may name them. */
FILES_CASE(test_pipes)
{
    uint8_t bytes[1024] = {0};
    uint32_t len = 1;

    assert_int_equal(mkfifo(path_of(1, "pipe"), 0600), 0);
    add_to_set(bytes, &len, "chain.yaml", FILES_CHAIN);
    add_to_set(bytes, &len, "sub/fw.rules", "default deny\n");
    add_to_set(bytes, &len, "pipe", "x");
    assert_non_null(strstr(why_not(bytes, len), "pipe: the chain does not name it"));

    len = 1;
    add_to_set(bytes, &len, "chain.yaml", "chain: { name: x, nfs: [ { firewall: { rules: pipe } } ] }\n");
    assert_non_null(strstr(why_not(bytes, len), "pipe (not among the files that came)"));
    add_to_set(bytes, &len, "pipe", "default deny\n");
    assert_non_null(strstr(why_not(bytes, len), "pipe: not a regular file, so it is not replaced"));
}

/* A write that takes a part says why the rest is not there. */
FILES_CASE(test_no_room)
{
    struct rlimit small = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY}, was;
    struct nd_files_job job;
    char text[16384];
    int n = 0;

    while (n < 8000)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "# as long a line as it takes\n");
    put(0, "sub/fw.rules", text);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    small.rlim_max = was.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(take_files(true, &job), FT_EIO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_non_null(strstr(job.fault.text, "sub/fw.rules: File too large"));
    nd_files_job_end(&job);
    assert_null(text_of(1, ".understudy-push/chain.yaml"));
}

/* The node was killed when the set was decided on and so many steps were done: the next start does the rest.
 * Killed before that, it is nothing. */
FILES_CASE(test_killed)
{
    static const char deny[] = "default deny\n", allow[] = "default allow\n",
                      other[] = FILES_CHAIN "# another\n";
    const char *pair = path_of(1, "pair.yaml"), *staged = path_of(1, ".understudy-push/sub/fw.rules"),
               *there = path_of(1, "sub/fw.rules"), *before = path_of(1, "sub/fw.rules.before");

    put(0, "sub/fw.rules", deny);
    put(0, "chain.yaml", other);
    for (int steps = -1; steps < 4; steps++) {
        put(1, "sub/fw.rules", allow);
        put(1, "chain.yaml", FILES_CHAIN);
        unlink(before);
        stage();
        if (steps >= 0)
            put(1, ".understudy-push/.decided", "");
        if (steps == 1 || steps == 3)
            assert_int_equal(link(there, before), 0);
        if (steps == 2) /* where a second name is not allowed */
            assert_int_equal(rename(there, before), 0);
        if (steps == 3)
            assert_int_equal(rename(staged, there), 0);
        assert_int_equal(nd_files_finish(pair, &help_fault), steps >= 0);
        assert_string_equal(text_of(1, "sub/fw.rules"), steps < 0 ? allow : deny);
        assert_string_equal(text_of(1, "chain.yaml"), steps < 0 ? FILES_CHAIN : other);
        if (steps >= 0)
            assert_string_equal(text_of(1, "sub/fw.rules.before"), allow);
        assert_null(text_of(1, ".understudy-push/chain.yaml"));
        assert_int_equal(nd_files_finish(pair, &help_fault), 0);
    }
}

/* What is staged cannot all be read, once it is decided on: the mark stays, and the next start installs it.
 */
FILES_CASE(test_unread_stage)
{
    const char *pair = path_of(1, "pair.yaml"), *staged = path_of(1, ".understudy-push/sub");

    put(0, "sub/fw.rules", "default deny\n");
    stage();
    put(1, ".understudy-push/.decided", "");
    assert_int_equal(chmod(staged, 0000), 0);
    if (getuid() == 0) { /* whom no mode stops */
        help_run(help_print("chown -R 65534 %s", dir[1]));
        assert_int_equal(seteuid(65534), 0);
    }
    assert_int_equal(nd_files_finish(pair, &help_fault), FT_EPERM);
    assert_non_null(strstr(help_fault.text, ".understudy-push/sub: Permission denied"));
    assert_int_equal(access(path_of(1, ".understudy-push/.decided"), F_OK), 0);
    assert_string_equal(text_of(1, "sub/fw.rules"), "default allow\n");
    assert_int_equal(chmod(staged, 0750), 0);
    assert_int_equal(nd_files_finish(pair, &help_fault), 1);
    assert_string_equal(text_of(1, "sub/fw.rules"), "default deny\n");
    assert_int_equal(seteuid(getuid()), 0);
}

/* A start is root's, and the directory another user's, who has put links there: they lead no further than he
 * may go. */
FILES_CASE(test_links_of_another_user)
{
    const char *pair = path_of(1, "pair.yaml"), *staged = path_of(1, ".understudy-push"),
               *victim = path_of(0, "mine"), *give = help_print("chown -hR 65534 %s", dir[1]);

    if (getuid() != 0)
        skip();
    assert_int_equal(mkdir(victim, 0755), 0);
    put(0, "mine/kept", "root's");
    assert_int_equal(symlink(victim, staged), 0);
    help_run(give);
    assert_int_equal(nd_files_finish(pair, &help_fault), 0);
    assert_string_equal(text_of(0, "mine/kept"), "root's");
    assert_int_equal(geteuid(), 0);

    unlink(staged);
    assert_int_equal(symlink(victim, path_of(1, "evil")), 0);
    assert_true(mkdir(staged, 0755) == 0 && mkdir(path_of(1, ".understudy-push/evil"), 0755) == 0);
    put(1, ".understudy-push/evil/kept", "another's");
    put(1, ".understudy-push/.decided", "");
    help_run(give);
    assert_int_equal(nd_files_finish(pair, &help_fault), FT_EPERM);
    assert_string_equal(text_of(0, "mine/kept"), "root's");
    assert_int_equal(geteuid(), 0);
    assert_int_equal(getegid(), getgid());
}

static struct nd_files_job numbered(enum nd_files_work work, uint64_t number)
{
    struct nd_files_job job = {.work = work, .number = number, .bytes = malloc(1)};

    snprintf(job.file, sizeof(job.file), "%s/pair.yaml", dir[1]);
    return job;
}

/* One waits behind the job that is under way: the one that was ordered last. */
FILES_CASE(test_a_job_that_waits)
{
    struct nd_files_job first = numbered(ND_FILES_DROP, 1), second = numbered(ND_FILES_DROP, 2),
                        third = numbered(ND_FILES_KEEP, 3), refused = {.work = ND_FILES_READ}, out;

    assert_false(nd_files_busy(thread));
    nd_files_order(thread, &first);
    nd_files_order(thread, &second);
    nd_files_order(thread, &third);
    for (uint64_t number = 1; number <= 3; number += 2) {
        while (!nd_files_outcome(thread, &out)) {
            assert_true(nd_files_busy(thread) && !nd_files_give(thread, &refused));
            help_sleep_ms(1);
        }
        assert_int_equal(out.number, number);
        nd_files_job_end(&out);
    }
    assert_false(nd_files_busy(thread));
}
