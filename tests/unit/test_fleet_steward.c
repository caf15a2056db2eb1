/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent may ask of its steward, and what it may not; who the processes are that parse. The expected
 * rights are those of proc(5): no bit in any set of capabilities, NoNewPrivs 1, Seccomp 2 (a filter).
 */
#include "fleet/reader.h"
#include "fleet/steward.h"
#include "tests/help/config.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct fl_file *file;
static int steward = -1;

static const char *path(const char *name)
{
    static char out[100];

    snprintf(out, sizeof(out), "%s/%s", help_config_dir(), name);
    return out;
}

static const char *text_of(const char *name)
{
    static char out[4096];

    if (!fl_read_whole(path(name), out, sizeof(out)))
        out[0] = '\0';
    return out;
}

static int open_all(void **state)
{
    char text[1024];

    (void)state;
    snprintf(text, sizeof(text),
             "fleet: f\narbiter: {etcd: [\"http://192.0.2.9:2379\"]}\nstate: %s/state\nrun: %s\n"
             "servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3}}\n"
             "shards: {east: {port: 1}, west: {port: 2}}\npair: {}\nnode: {}\n%s",
             help_config_dir(), help_config_dir(), geteuid() == 0 ? "user: nobody\n" : "");
    help_config_file("f.yaml", text, strlen(text));
    snprintf(text, sizeof(text), "#!/bin/sh\necho \"$*\" >>%s/units\n", help_config_dir());
    help_config_file("systemctl", text, strlen(text));
    chmod(path("systemctl"), 0755);
    chmod(help_config_dir(), 0755);
    setenv("PATH", help_config_dir(), 1);
    assert_int_equal(fl_file_read(&file, path("f.yaml"), &help_fault), 0);
    return 0;
}

static int close_all(void **state)
{
    fl_file_free(file);
    rmdir(path("state/east-a"));
    for (const char *const *left =
             (const char *const[]){"agent.lock", "east.told", "east-a.yaml", "east-a.env", NULL};
         *left; left++) {
        unlink(path(help_print("state/%s", *left)));
    }
    rmdir(path("state"));
    return help_config_clean(state);
}

/* Its log is in the file "log". */
static void start(const char *user)
{
    const struct fl_steward_config config = {
        .file = help_print("%s", path("f.yaml")), .server = "a", .user = user};
    struct fl_done ready;
    int before = dup(STDERR_FILENO), log = open(path("log"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(log >= 0 && dup2(log, STDERR_FILENO) >= 0);
    close(log);
    assert_int_equal(fl_steward_start(&steward, &config, &help_fault), 0);
    dup2(before, STDERR_FILENO);
    close(before);
    assert_int_equal(fl_steward_receive(steward, &ready, 20000), 1);
    assert_string_equal(ready.text, "");
    assert_int_equal(ready.error, 0);
}

static int begin(void **state)
{
    (void)state;
    unlink(path("units"));
    start("");
    return 0;
}

static int end(void **state)
{
    (void)state;
    close(steward);
    return 0;
}

/* What comes of it. */
static int ask(unsigned task, const char *shard, const char *text)
{
    struct fl_done done;

    assert_true(fl_steward_ask(steward, (enum fl_task)task, shard, text));
    assert_int_equal(fl_steward_receive(steward, &done, 20000), 1);
    assert_int_equal(done.task, task);
    return done.error;
}

static unsigned entries(const char *name)
{
    DIR *dir = opendir(path(name));
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

TEST_WITH(what_is_no_task_of_an_agents_is_refused_and_counted, begin, end)
{
    static const struct {
        unsigned task;
        const char *shard, *text;
    } rows[] = {
        {FL_TASK_NONE, "east", ""},
        {FL_TASKS, "east", ""},
        {4711, "east", ""},
        {FL_TASK_START, "", ""},
        {FL_TASK_START, "../east", ""},
        {FL_TASK_START, "sshd.service", ""},
        {FL_TASK_STOP, "sshd.service", ""},
        {FL_TASK_STOP, "east-b", ""}, /* east-b-a is of no shard */
        {FL_TASK_STOP, "east a", ""},
        {FL_TASK_STOP, "--all", ""},
        {FL_TASK_STOP, "thirty_one_characters_of_a_name", ""}, /* too long with a server's behind it */
        {FL_TASK_START, "north", ""},                          /* is not in the file */
        {FL_TASK_RESTART, "north", ""},
        {FL_TASK_PAIR, "north", "a b"},
        {FL_TASK_TOLD, "north", "{}"},
        {FL_TASK_TOLD, "../../etc/x", "{}"},
        {FL_TASK_PAIR, "east", "a d"}, /* d is no server */
        {FL_TASK_PAIR, "east", "a"},
        {FL_TASK_PAIR, "east", "a b a"}, /* no node could read that */
        {FL_TASK_PAIR, "east", "a b\nhook: {}"},
        {FL_TASK_END, "east", ""}, /* is in the file */
    };
    const unsigned count = sizeof(rows) / sizeof(rows[0]), before = entries("state");

    for (unsigned i = 0; i < count; i++)
        if (ask(rows[i].task, rows[i].shard, rows[i].text) != FT_EPERM)
            fail_msg("row %u is not refused", i);
    assert_string_equal(text_of("units"), "");
    assert_int_equal(entries("state"), before);
    assert_non_null(strstr(text_of("log"), help_print("asks, %u times so far: ", count)));
}

/* Half a request, and one without an end. */
TEST_WITH(bytes_that_are_no_request_are_refused, begin, end)
{
    static const char bytes[8192] = {9, 9, 9, 9, 'e'};
    struct fl_done done;

    for (size_t len = 1; len <= sizeof(bytes); len *= 8) {
        assert_int_equal(send(steward, bytes, len, 0), len);
        assert_int_equal(fl_steward_receive(steward, &done, 20000), 1);
        assert_int_equal(done.error, FT_EPERM);
    }
    assert_int_equal(ask(FL_TASK_STOP, "east", ""), 0);
}

TEST_WITH(units_and_files_of_the_shard_are_done, begin, end)
{
    const uint32_t both[] = {1, 0};
    struct stat is;
    char *text;

    assert_int_equal(ask(FL_TASK_PAIR, "east", "b a"), 0);
    assert_int_equal(fl_file_speak_as(file, "a", &help_fault), 0);
    assert_int_equal(fl_file_render(file, 0, both, 2, &text, &help_fault), 0);
    assert_string_equal(text_of("state/east-a.yaml"), text);
    free(text);
    assert_int_equal(ask(FL_TASK_PAIR, "east", ""), 0); /* it stays */
    assert_true(strlen(text_of("state/east-a.yaml")) > 0);
    assert_non_null(strstr(text_of("state/east-a.env"), "/state/east-a.yaml\n"));
    assert_int_equal(stat(path("state/east-a"), &is), 0);
    assert_int_equal(is.st_mode, S_IFDIR | 0750);
    assert_int_equal(stat(path("state/east-a.yaml"), &is), 0);
    assert_int_equal(is.st_mode & 07777, 0644);
    assert_int_equal(is.st_uid, geteuid());
    assert_int_equal(ask(FL_TASK_TOLD, "east", "{\"view\":1}"), 0);
    assert_string_equal(text_of("state/east.told"), "{\"view\":1}");
    assert_int_equal(ask(FL_TASK_START, "east", ""), 0);
    assert_int_equal(ask(FL_TASK_RESTART, "east", ""), 0);
    assert_int_equal(ask(FL_TASK_STOP, "gone", ""), 0); /* a stray's */
    assert_string_equal(text_of("units"), "--no-block start understudy@east-a\n"
                                          "--no-block restart understudy@east-a\n"
                                          "--no-block stop understudy@gone-a\n");
}

/* ---- who they are ------------------------------------------------------------------------------- */

static pid_t child_of(pid_t parent)
{
    char name[64], list[64] = "";

    snprintf(name, sizeof(name), "/proc/%d/task/%d/children", parent, parent);
    return fl_read_whole(name, list, sizeof(list)) ? (pid_t)strtol(list, NULL, 10) : 0;
}

/* Of "Uid:\t65534\t…" and the like: the line behind the name. */
static void expect_line(pid_t pid, const char *name, const char *expected)
{
    char status[4096];

    assert_true(fl_read_whole(help_print("/proc/%d/status", pid), status, sizeof(status)));
    const char *found = strstr(status, name);

    assert_non_null(found);
    found += strlen(name);
    assert_string_equal(help_print("%.*s", (int)strcspn(found, "\n"), found), expected);
}

static void expect_no_rights(pid_t pid, uid_t uid)
{
    expect_line(pid, "\nUid:", help_print("\t%u\t%u\t%u\t%u", uid, uid, uid, uid));
    for (const char *const *set = (const char *const[]){"Inh", "Prm", "Eff", "Amb", NULL}; *set; set++)
        expect_line(pid, help_print("\nCap%s:", *set), "\t0000000000000000");
    expect_line(pid, "\nNoNewPrivs:", "\t1");
    expect_line(pid, "\nSeccomp:", "\t2");
}

/* The unit's CapabilityBoundingSet, which the steward of root's has. */
static void keep_the_units(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    const uint32_t kept = 1u << CAP_CHOWN | 1u << CAP_SETGID | 1u << CAP_SETUID | 1u << CAP_SYS_ADMIN;
    const struct __user_cap_data_struct half[2] = {{.effective = kept, .permitted = kept}, {.effective = 0}};

    syscall(SYS_capset, &head, half);
}

/* It needs no more than the unit gives it: what it has given to the nodes' user it cannot read itself. */
TEST(what_the_unit_permits_is_enough)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct stat is;
    int status;

    if (geteuid() != 0 || !nobody)
        skip();
    pid_t agent = fork();

    if (agent == 0) {
        keep_the_units();
        start("nobody");
        int errors = ask(FL_TASK_PAIR, "east", "b a") | ask(FL_TASK_PAIR, "east", "b a") |
                     ask(FL_TASK_START, "east", "") | ask(FL_TASK_TOLD, "east", "{}") |
                     ask(FL_TASK_PAIR, "north", "b a");

        _exit(errors == FT_EPERM && mkdir(path("state/south-a"), 0700) == 0 &&
                      chown(path("state/south-a"), nobody->pw_uid, nobody->pw_gid) == 0 &&
                      ask(FL_TASK_END, "south", "") == 0
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_int_equal(status, 0);
    assert_int_equal(stat(path("state/east-a"), &is), 0);
    assert_int_equal(is.st_uid, nobody->pw_uid);
    assert_int_not_equal(access(path("state/south-a"), F_OK), 0);
}

/* This program is the agent for as long as a child of it; the steward is the child's child. */
TEST(who_parses_has_no_rights)
{
    const struct passwd *nobody = getpwnam("nobody");
    int said[2];
    char done;

    if (geteuid() != 0 || !nobody)
        skip();
    assert_int_equal(pipe(said), 0);
    pid_t agent = fork();

    if (agent == 0) {
        struct ft_fault fault = {""};

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        start("nobody");
        if (fl_confine("nobody", &fault) == 0 && execl("/bin/true", "true", (char *)NULL) != 0 &&
            errno == EPERM)
            (void)!write(said[1], "x", 1);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* which was lost with the user */
        pause();
        _exit(0);
    }
    close(said[1]);
    assert_int_equal(read(said[0], &done, 1), 1);
    close(said[0]);
    pid_t root = child_of(agent), reader = child_of(root);

    assert_true(root > 0 && reader > 0);
    expect_no_rights(agent, nobody->pw_uid);
    expect_no_rights(reader, nobody->pw_uid);
    expect_line(root, "\nUid:", "\t0\t0\t0\t0");
    kill(agent, SIGKILL);
    waitpid(agent, NULL, 0);
    UNTIL(kill(root, 0) != 0 && kill(reader, 0) != 0) help_sleep_ms(10); /* they end with it */
}

/* What root's steward does for a stray it has done as the nodes' user, who cannot reach beyond its own. */
TEST_WITH(of_a_stray_nothing_is_left, begin, end)
{
    assert_int_equal(mkdir(path("state/south-a"), 0750), 0);
    if (geteuid() == 0) {
        const struct passwd *nobody = getpwnam("nobody");

        assert_int_equal(chown(path("state/south-a"), nobody->pw_uid, nobody->pw_gid), 0);
    }
    help_config_file("victim", "whole", 5);

    const char *victim = help_print("%s", path("victim"));
    assert_int_equal(symlink(victim, path("state/south-a/south-a.view")), 0);
    assert_int_equal(ask(FL_TASK_END, "south", ""), 0);
    assert_int_not_equal(access(path("state/south-a"), F_OK), 0);
    assert_string_equal(text_of("victim"), "whole");
}

TESTS_SHARE(open_all, close_all)
