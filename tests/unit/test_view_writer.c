/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that writes the view file: what it is given it writes, and nobody waits for it. */
#include "replicator/view.h"
#include "tests/help/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <dirent.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void wait_until_stored(const struct rp_view_writer *w, uint64_t view)
{
    while (rp_view_writer_stored(w) != view)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void the_writer_writes_what_it_is_given(void **state)
{
    struct ft_fault fault = {""};
    struct rp_view_writer *w;
    uint64_t view;

    (void)state;
    assert_int_equal(rp_view_store(view_path, 3, &fault), 0);
    assert_int_equal(rp_view_writer_open(&w, view_path, 3, &fault), 0);
    assert_int_equal(rp_view_writer_stored(w), 3);
    assert_int_equal(rp_view_writer_behind(w, 1000), 0);
    rp_view_writer_give(w, 4, 1000);
    wait_until_stored(w, 4);
    assert_int_equal(rp_view_load(view_path, &view, &fault), 0);
    assert_int_equal(view, 4);
    assert_int_equal(rp_view_writer_behind(w, 9000), 0);
    for (uint64_t v = 5; v <= 500; v++) /* the latest wins */
        rp_view_writer_give(w, v, 10000);
    rp_view_writer_close(w); /* which waits for it */
    assert_int_equal(rp_view_load(view_path, &view, &fault), 0);
    assert_int_equal(view, 500);
}

/* Of a file that says 3, whose directory is at `away` since. */
static struct rp_view_writer *writer_without_a_directory(char away[128])
{
    struct ft_fault fault = {""};
    struct rp_view_writer *w;

    snprintf(away, 128, "%s.away", view_directory);
    assert_int_equal(rp_view_store(view_path, 3, &fault), 0);
    assert_int_equal(rp_view_writer_open(&w, view_path, 3, &fault), 0);
    assert_int_equal(rename(view_directory, away), 0);
    return w;
}

/* The directory is gone, and comes back: the node has said so, and the newest view is in it. */
static void the_writer_tries_again(void **state)
{
    struct ft_fault fault = {""};
    struct rp_view_writer *w;
    char away[128];
    uint64_t view;

    (void)state;
    w = writer_without_a_directory(away);
    rp_view_writer_give(w, 4, 1000);
    rp_view_writer_give(w, 5, 3000);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    assert_int_equal(rp_view_writer_stored(w), 3);
    assert_int_equal(rp_view_writer_behind(w, 10000), 9000); /* since the first that the disk has not had */
    assert_int_equal(rename(away, view_directory), 0);
    wait_until_stored(w, 5);
    assert_int_equal(rp_view_load(view_path, &view, &fault), 0);
    assert_int_equal(view, 5);
    rp_view_writer_close(w);
}

static void the_end_waits_for_no_disk_that_refuses(void **state)
{
    struct ft_fault fault = {""};
    struct rp_view_writer *w;
    char away[128];
    uint64_t view;

    (void)state;
    w = writer_without_a_directory(away);
    rp_view_writer_give(w, 4, 1000);
    rp_view_writer_close(w);
    assert_int_equal(rename(away, view_directory), 0);
    assert_int_equal(rp_view_load(view_path, &view, &fault), 0);
    assert_int_equal(view, 3);
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
static void the_writer_holds_no_socket(void **state)
{
    struct ft_fault fault = {""};
    struct rp_view_writer *w;
    struct dirent *entry;
    char fds[300];
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(rp_view_store(view_path, 3, &fault), 0);
    assert_int_equal(rp_view_writer_open(&w, view_path, 3, &fault), 0);
    rp_view_writer_give(w, 4, 1000);
    wait_until_stored(w, 4); /* it runs */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_writer_writes_what_it_is_given, view_setup, view_teardown),
        cmocka_unit_test_setup_teardown(the_writer_tries_again, view_setup, view_teardown),
        cmocka_unit_test_setup_teardown(the_end_waits_for_no_disk_that_refuses, view_setup, view_teardown),
        cmocka_unit_test_setup_teardown(the_writer_holds_no_socket, view_setup, view_teardown),
    };

    return cmocka_run_group_tests_name("view_writer", tests, NULL, NULL);
}
