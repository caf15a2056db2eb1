/* SPDX-License-Identifier: Apache-2.0 */
/* The view file: what is read back, what is refused by name, what is left behind when writing fails. */
#include "replicator/view.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* For tests of the view file: a directory of their own and a path in it, made before each test and removed
 * after it with all that is there. */

/* Of a view without members. */
static int load(const char *path, uint64_t *number, struct ft_fault *fault)
{
    struct rp_view view;
    int error = rp_view_load(path, &view, fault);

    *number = view.number;
    return error;
}

static int store(const char *path, uint64_t number, struct ft_fault *fault)
{
    return rp_view_store(path, &(struct rp_view){.number = number}, fault);
}

static int open_writer(struct rp_view_writer **out, const char *path, uint64_t number, struct ft_fault *fault)
{
    return rp_view_writer_open(out, path, &(struct rp_view){.number = number}, number, fault);
}

static void give(struct rp_view_writer *writer, uint64_t number, uint64_t now)
{
    rp_view_writer_give(writer, &(struct rp_view){.number = number}, now);
}

static char view_directory[64], view_path[128];

static int view_setup(void **state)
{
    snprintf(view_directory, sizeof(view_directory), "%s", help_directory());
    snprintf(view_path, sizeof(view_path), "%s/a.view", view_directory);
    return 0;
}

#define VIEW_TEST(name) TEST_WITH(name, view_setup, NULL)

static void is_stored(uint64_t expected)
{
    uint64_t view = 7;

    assert_int_equal(load(view_path, &view, &help_fault), 0);
    assert_int_equal(view, expected);
}

static void stores(uint64_t number)
{
    assert_int_equal(store(view_path, number, &help_fault), 0);
}

static void put(const char *text, size_t len)
{
    FILE *f = fopen(view_path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
}

VIEW_TEST(a_missing_file_is_view_zero)
{
    is_stored(0);
    assert_int_not_equal(access(view_path, F_OK), 0); /* looking does not make one */
}

VIEW_TEST(what_is_stored_is_loaded)
{
    static const uint64_t views[] = {0, 1, 9, 10, 4711, 1ull << 40, 1ull << 61};

    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        stores(views[i]);
        is_stored(views[i]);
    }
    store(view_path, 12, &help_fault);
    assert_string_equal(help_text(view_path), "understudy view 12\n");
    strcat(view_path, ".new");
    assert_int_not_equal(access(view_path, F_OK), 0); /* nothing beside it */
}

VIEW_TEST(damage_is_refused)
{
    static const char *const texts[] = {
        "understudy",         /* torn */
        "understudy view ",   /* torn before the number */
        "understudy view 12", /* torn after it, perhaps inside */
        "understudy view 1 \n",
        "understudy view 0x10\n",
        "understudy view -1\n",
        "understudy view +1\n",
        "understudy view  1\n",
        "understudy view\n",
        "understudy view 4611686018427387905\n",      /* 2^62 + 1: no peer would believe it */
        "understudy view 18446744073709551615\n",     /* the next one would be 0 */
        "understudy view 18446744073709551616\n",     /* 2^64 */
        "understudy view 99999999999999999999999999", /* and no end */
        "overstudy view 1\n",
        "[keepalived]\nstate MASTER\n",
    };
    char large[5000];

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ft_fault fault = {""};
        uint64_t view = 7;

        put(texts[i], strlen(texts[i]));
        if (load(view_path, &view, &fault) != FT_EMALFORMED)
            fail_msg("accepted '%s' as %lu", texts[i], view);
        assert_int_equal(view, 0);
        assert_non_null(strstr(fault.text, view_path));
        assert_non_null(strstr(fault.text, "expected 'understudy view N'"));
    }
    memset(large, '1', sizeof(large));
    static const char head[] = "understudy view ";

    memcpy(large, head, sizeof(head) - 1);
    put(large, sizeof(large));
    assert_int_equal(load(view_path, &(uint64_t){0}, NULL), FT_EMALFORMED);
    put("understudy view 3\n\0\0", 20);
    assert_int_equal(load(view_path, &(uint64_t){0}, NULL), FT_EMALFORMED);
}

/* A machine that lost power after a rename: it has been in some view, so not in view 0. */
VIEW_TEST(empty_is_refused_and_says_what_to_do)
{
    uint64_t view = 7;

    put("", 0);
    assert_int_equal(load(view_path, &view, &help_fault), FT_EMALFORMED);
    assert_int_equal(view, 0);
    assert_non_null(strstr(help_fault.text, view_path));
    assert_non_null(strstr(help_fault.text,
                           "empty, expected 'understudy view N'; remove it if the peer serves, "
                           "else write the line of the peer's file into it"));
}

VIEW_TEST(a_path_without_a_directory_is_stored)
{
    char here[512];

    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(view_directory), 0);
    assert_int_equal(store("a.view", 5, &help_fault), 0);
    assert_int_equal(chdir(here), 0);
    is_stored(5);
}

/* Who may write to the directory puts a link where the new file is written: what it names is not touched. */
VIEW_TEST(a_link_at_the_new_file_is_not_followed)
{
    struct stat s;

    const char *new = help_print("%s.new", view_path);
    const char *victim = help_print("%s/victim", view_directory);
    help_write(victim, "precious");
    assert_int_equal(symlink(victim, new), 0);
    stores(7);
    assert_string_equal(help_text(victim), "precious");
    assert_int_equal(lstat(view_path, &s), 0);
    assert_true(S_ISREG(s.st_mode)); /* nor did the link become the view file */
    assert_int_equal(s.st_mode & 0777, 0640);
    is_stored(7);
}

/* A file that somebody else holds open at that name gets nothing either. */
VIEW_TEST(what_was_left_of_a_new_file_is_replaced)
{
    char text[64];

    FILE *f = fopen(help_print("%s.new", view_path), "w+");
    assert_non_null(f);
    stores(7);
    rewind(f);
    assert_null(fgets(text, sizeof(text), f));
    fclose(f);
}

/* Whatever lies there, loading ends. */
VIEW_TEST(what_is_no_file_is_refused)
{
    uint64_t view = 7;

    assert_int_equal(mkdir(view_path, 0755), 0);
    assert_true(load(view_path, &view, &help_fault) < 0);
    assert_int_equal(store(view_path, 1, &help_fault), FT_EIO);
    assert_non_null(strstr(help_fault.text, view_path));
    rmdir(view_path);
    assert_int_not_equal(access(help_print("%s.new", view_path), F_OK), 0); /* nothing left behind */
    assert_int_equal(mkfifo(view_path, 0644), 0);
    alarm(10);
    assert_int_equal(load(view_path, &view, &help_fault), FT_EMALFORMED);
    alarm(0);
}

VIEW_TEST(what_cannot_be_written_is_an_error)
{
    char deep[200], longest[400];

    stores(5);
    snprintf(deep, sizeof(deep), "%s/none/a.view", view_directory);
    assert_int_equal(store(deep, 6, &help_fault), FT_EIO);
    assert_non_null(strstr(help_fault.text, deep));
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(store(longest, 6, &help_fault), FT_EINVAL);
    snprintf(deep, sizeof(deep), "%s.new", view_path); /* where the new one would be written */
    assert_int_equal(mkdir(deep, 0755), 0);
    assert_int_equal(store(view_path, 6, &help_fault), FT_EIO);
    is_stored(5); /* the old one is whole */
}

/* Permission means nothing to root, so a child without rights tries. */
VIEW_TEST(a_file_that_is_forbidden_is_an_error)
{
    struct ft_fault fault = {""};
    int status;

    stores(5);
    chmod(view_path, 0600);
    chmod(view_directory, 0755);
    pid_t pid = fork();
    if (pid == 0) {
        struct rp_view_writer *w;
        uint64_t view;

        if (getuid() == 0 && setuid(65534) != 0)
            _exit(3);
        if (getuid() == 65534 && load(view_path, &view, &fault) != FT_EPERM)
            _exit(1);
        if (getuid() == 65534 && store(view_path, 6, &fault) != FT_EPERM)
            _exit(2);
        /* Nor does a node start: it is a mistake of who installed it, and no disk's. */
        if (getuid() == 65534 &&
            (open_writer(&w, view_path, 5, &fault) != FT_EPERM ||
             !strstr(fault.text, "expected a directory in which this node may write a.view")))
            _exit(4);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Stored over and over while another process reads: never anything but a whole one. */
VIEW_TEST(a_reader_never_sees_a_torn_file)
{
    struct ft_fault fault = {""};
    uint64_t view, last = 0;
    int status;

    stores(1);
    pid_t pid = fork();
    if (pid == 0) {
        for (uint64_t v = 2; v <= 300; v++)
            if (store(view_path, v, &fault) != 0)
                _exit(1);
        _exit(0);
    }
    do {
        if (load(view_path, &view, &fault) != 0 || view < last) {
            kill(pid, SIGKILL);
            fail_msg("%lu after %lu: %s", view, last, fault.text);
        }
        last = view;
    } while (waitpid(pid, &status, WNOHANG) == 0);
    assert_int_equal(status, 0);
    is_stored(300);
}

/* The thread that writes the view file: what it is given it writes, and nobody waits for it. */

static void wait_until_written(const struct rp_view_writer *w)
{
    AWAIT(!rp_view_writer_behind(w, UINT64_MAX));
}

VIEW_TEST(the_writer_writes_what_it_is_given)
{
    struct rp_view_writer *w;

    stores(3);
    assert_int_equal(open_writer(&w, view_path, 3, &help_fault), 0);
    assert_int_equal(rp_view_writer_stored(w), 3);
    wait_until_written(w);
    give(w, 4, 1000);
    wait_until_written(w);
    assert_int_equal(rp_view_writer_stored(w), 4);
    is_stored(4);
    for (uint64_t v = 5; v <= 500; v++) /* the latest wins */
        give(w, v, 10000);
    rp_view_writer_close(w); /* which waits for it */
    is_stored(500);
}

/* Of a file that says 3, whose directory is at `away` since. */
static struct rp_view_writer *writer_without_a_directory(char away[128])
{
    struct rp_view_writer *w;

    snprintf(away, 128, "%s.away", view_directory);
    stores(3);
    assert_int_equal(open_writer(&w, view_path, 3, &help_fault), 0);
    wait_until_written(w);
    assert_int_equal(rename(view_directory, away), 0);
    return w;
}

/* The directory is gone, and comes back: the node has said so, and the newest view is in it. */
VIEW_TEST(the_writer_tries_again)
{
    struct rp_view_writer *w;
    char away[128];

    w = writer_without_a_directory(away);
    give(w, 4, 1000);
    give(w, 5, 3000);
    help_sleep_ms(20);
    assert_int_equal(rp_view_writer_stored(w), 3);
    assert_int_equal(rp_view_writer_behind(w, 10000), 9000); /* since the first that the disk has not had */
    assert_int_equal(rename(away, view_directory), 0);
    AWAIT(rp_view_writer_stored(w) == 5);
    is_stored(5);
    rp_view_writer_close(w);
}

/* A start waits for no disk: the view that was read is written as soon as the disk takes it, and until then
 * the node says for how long it has not. */
VIEW_TEST(a_disk_that_refuses_at_the_start_stops_nobody)
{
    struct rp_view_writer *w;
    char away[128];

    snprintf(away, 128, "%s.away", view_directory);
    stores(3);
    assert_int_equal(rename(view_directory, away), 0);
    assert_int_equal(open_writer(&w, view_path, 3, &help_fault), 0);
    help_sleep_ms(20);
    assert_int_equal(rp_view_writer_stored(w), 3);
    assert_true(rp_view_writer_behind(w, UINT64_MAX) > 0);
    assert_int_equal(rename(away, view_directory), 0);
    wait_until_written(w);
    is_stored(3);
    rp_view_writer_close(w);
}

VIEW_TEST(a_file_is_synced_or_is_not_certain)
{
    assert_int_equal(rp_view_sync(view_path), FT_EIO);
    stores(3);
    assert_int_equal(rp_view_sync(view_path), 0);
}

VIEW_TEST(the_end_waits_for_no_disk_that_refuses)
{
    struct rp_view_writer *w;
    char away[128];

    w = writer_without_a_directory(away);
    give(w, 4, 1000);
    rp_view_writer_close(w);
    assert_int_equal(rename(away, view_directory), 0);
    is_stored(3);
}

/* The thread's own directory under /proc; "" while there is none of that name. */
static void find_writer(char *out, size_t cap)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;

    out[0] = '\0';
    assert_non_null(tasks);
    while ((task = readdir(tasks))) {
        char comm[300], name[32] = "";
        FILE *f;

        snprintf(comm, sizeof(comm), "/proc/self/task/%.200s/comm", task->d_name);
        f = fopen(comm, "r");
        if (f && fgets(name, sizeof(name), f) && strcmp(name, "us-views\n") == 0)
            snprintf(out, cap, "/proc/self/task/%.200s/fd", task->d_name);
        if (f)
            fclose(f);
    }
    closedir(tasks);
}

/* While a disk keeps the writer, the kernel must be able to close what the dead node had: the writer shares
 * nothing. */
VIEW_TEST(the_writer_holds_no_socket)
{
    struct rp_view_writer *w;
    struct dirent *entry;
    char fds[300];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    stores(3);
    assert_int_equal(open_writer(&w, view_path, 3, &help_fault), 0);
    give(w, 4, 1000);
    AWAIT(rp_view_writer_stored(w) == 4); /* it runs */
    find_writer(fds, sizeof(fds));
    DIR *open_there = opendir(fds);
    assert_non_null(open_there);
    while ((entry = readdir(open_there)))
        assert_true(atoi(entry->d_name) <= STDERR_FILENO);
    closedir(open_there);
    close(pair[0]);
    close(pair[1]);
    rp_view_writer_close(w);
}

static const char shard_file[] = "understudy view 7\nshard 00000000000000010000000000000002 of a and c\n";

/* The members of a view are behind it, and are read as they were written or not at all. */
VIEW_TEST(a_view_has_its_members)
{
    static const char *const wrong[] = {
        "understudy view 7\nshard 00000000000000010000000000000002 of c and a\n",
        "understudy view 7\nshard 00000000000000010000000000000002 of -a and c\n",
        "understudy view 7\nshard 00000000000000010000000000000002 of a and c.d\n",
        "understudy view 7\nshard 0000000000000001000000000000002 of a and c\n",
        "understudy view 7\nshard 00000000000000000000000000000000 of a and c\n",
        "understudy view 7\nshard 00000000000000010000000000000002 of a and c",
        "understudy view 7\nshard 00000000000000010000000000000002 of a and \n",
        "understudy view 7\nshard 00000000000000010000000000000002 of a and c\n\n",
        "understudy view 1\n2\n",
    };
    const struct rp_view put = {7, {{1, 2}, {"a", "c"}}};
    struct rp_view got;

    assert_int_equal(rp_view_store(view_path, &put, &help_fault), 0);
    assert_string_equal(help_text(view_path), shard_file);
    assert_int_equal(rp_view_load(view_path, &got, &help_fault), 0);
    assert_memory_equal(&got, &put, sizeof(put));
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        help_write(view_path, wrong[i]);
        assert_int_equal(rp_view_load(view_path, &got, &help_fault), FT_EMALFORMED);
        assert_int_equal(got.number, 0);
        assert_non_null(strstr(help_fault.text, ":2: expected 'shard 32 HEX DIGITS of NODE and NODE'"));
    }
}
