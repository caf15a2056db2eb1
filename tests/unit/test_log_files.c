/* SPDX-License-Identifier: Apache-2.0 */
/* Which recordings replay --log executes for a moment, and what it says of all that are there: two nodes of
 * one history, lives, gaps, snapshots that are not whole.
 */
#include "tests/unit/help_recorder_lanes.h"
#include "tests/unit/help_record.h"
#include "tools/replay/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * A history is the bursts of the lanes in turn, an input each: after 3 × n of them lane 0 has taken the
 * inputs 1 to n, and lane 1 the inputs 2 to n + 1.
 */
static char base[64], of_node[2][80]; /* directories of a and b */
static struct nd_log_files files;

static int setup(void **state)
{
    int error = lanes_setup(state);

    snprintf(base, sizeof(base), "%s", rig.directory);
    for (unsigned n = 0; n < 2; n++) {
        snprintf(of_node[n], sizeof(of_node[n]), "%.60s/%c", base, (char)('a' + n));
        error |= mkdir(of_node[n], 0700);
    }
    return error;
}

static int teardown(void **state)
{
    nd_log_files_close(&files);
    snprintf(rig.directory, sizeof(rig.directory), "%s", base);
    return lanes_teardown(state);
}

/* The lanes are where they are after `bursts` of the history that began at the chain time `began`. */
static void go_to(unsigned bursts, uint64_t began)
{
    for (unsigned l = 0; l < LANES; l++) {
        unsigned own = bursts / LANES + (l < bursts % LANES);

        lanes_at[l] =
            (struct lg_position){.burst = own, .seq = 1 + l + own, .access = 1, .time = began + 10ull * own};
    }
}

static void execute(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        record_begin((uint16_t)(i % LANES), 0, lanes_at[i % LANES].burst + 1);
        record_add_input(60, 10, 0, 0);
        record_add_bytes();
        lanes_end_record(0);
    }
}

/* Node `n` records bursts `from` to `to` of a history; in two files when `middle` is not 0. */
static void record(unsigned n, unsigned from, unsigned middle, unsigned to, uint64_t began)
{
    snprintf(rig.directory, sizeof(rig.directory), "%.60s/%c", base, (char)('a' + n));
    rig_open(n ? "b" : "a", IDENTITY, 1u << 30, 10);
    go_to(from, began);
    lanes_begin(1);
    lanes_turns();
    if (middle) {
        execute(from, middle);
        lg_recorder_rotate(rig.recorder);
        lanes_begin(2);
        lanes_turns();
    }
    execute(middle ? middle : from, to);
    lg_recorder_stop(rig.recorder, 0);
    rig_close();
}

static const struct nd_moment *moment(const char *text)
{
    static struct nd_moment made[2];
    static unsigned turn;
    struct nd_moment *m = &made[turn++ % 2];

    assert_true(nd_moment_read(m, text));
    return m;
}

/* What is executed for a moment, as "a1 b1": the file's node and serial number. */
static const char *chosen(const char *from, const char *to)
{
    const char *const paths[] = {base, NULL};
    static char out[128];
    struct ft_fault fault = {""};

    nd_log_files_close(&files);
    if (nd_log_files_open(&files, paths, &fault) ||
        nd_log_files_choose(&files, from ? moment(from) : NULL, to ? moment(to) : NULL, &fault))
        fail_msg("%s", fault.text);
    out[0] = '\0';
    for (unsigned i = 0; i < files.count; i++)
        snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%s%lu", i ? " " : "",
                 files.list[i]->head.node, files.list[i]->head.serial);
    return out;
}

static void one_goes_on_in_the_other_where_that_begins(void **state)
{
    const char *const both[] = {of_node[1], of_node[0], NULL};
    struct ft_fault fault = {""};
    struct nd_index index;

    (void)state;
    record(0, 0, 30, 60, 500);
    record(1, 45, 0, 90, 500);
    assert_string_equal(chosen(NULL, NULL), "a1 a2 b1");
    assert_string_equal(chosen(NULL, "0:5"), "a1");
    assert_string_equal(chosen(NULL, "0:12"), "a1 a2");
    assert_string_equal(chosen(NULL, "0:18"), "a1 a2 b1"); /* both have it: the newer */
    assert_string_equal(chosen(NULL, "2:32"), "a1 a2 b1");
    assert_string_equal(chosen("0:5", "2:32"), "a1 a2 b1");
    assert_string_equal(chosen(NULL, "2:33"), "");
    assert_string_equal(chosen(NULL, "3:5"), "");
    assert_string_equal(chosen(NULL, "0.000000605"), "a1 a2");
    /* What of a2 is executed is what b1 begins with. */
    chosen(NULL, NULL);
    assert_int_equal(nd_index_make(&index, files.list[1], &fault), 0);
    assert_true(nd_index_until_position(&index, files.list[2]->at));
    for (unsigned l = 0; l < LANES; l++)
        assert_int_equal(index.lane[l].upto, 5);
    nd_index_free(&index);
    /* Two directories by name, in any order. */
    nd_log_files_close(&files);
    assert_int_equal(nd_log_files_open(&files, both, &fault), 0);
    assert_int_equal(nd_log_files_choose(&files, NULL, NULL, &fault), 0);
    assert_int_equal(files.found, 3);
    assert_int_equal(files.count, 3);
    assert_string_equal(files.list[0]->head.node, "a");
}

static void other_bursts_of_the_same_numbers_are_another_history(void **state)
{
    (void)state;
    record(0, 0, 0, 60, 500);
    record(1, 45, 0, 90, 501);
    assert_string_equal(chosen(NULL, NULL), "b1");
    assert_string_equal(chosen(NULL, "0:12"), "a1");
    assert_string_equal(chosen("0:12", "0:25"), "");
    /* One that had executed nothing has no history yet. */
    record(0, 0, 0, 12, 0);
    assert_string_equal(chosen(NULL, NULL), "a2");
}

static void what_nobody_recorded_is_told(void **state)
{
    FILE *out = fopen("/dev/null", "w");
    json_t *told, *row;
    size_t i;

    (void)state;
    record(0, 0, 30, 60, 500);
    record(1, 30, 0, 60, 500);
    record(0, 90, 0, 120, 500);
    assert_string_equal(chosen(NULL, NULL), "a3");
    assert_string_equal(chosen(NULL, "0:18"), "a1 b1");
    assert_string_equal(chosen(NULL, "0:25"), "");
    told = nd_log_print_recordings(&files, out);
    assert_int_equal(json_array_size(told), 3);
    json_array_foreach(told, i, row)
    {
        assert_string_equal(json_string_value(json_object_get(row, "node")), i == 1 ? "b" : "a");
        assert_int_equal(json_integer_value(json_object_get(row, "bursts")), i ? 30 : 60);
        assert_int_equal(json_integer_value(json_object_get(row, "files")), i ? 1 : 2);
        assert_int_equal(json_integer_value(json_object_get(row, "missing_ns")) > 0, i == 2);
    }
    json_decref(told);
    fclose(out);
}

/* Its snapshot was given up: nothing begins there, but another node's recording leads to it. */
static void a_snapshot_that_is_not_whole_is_led_to(void **state)
{
    (void)state;
    record(0, 0, 0, 30, 500);
    snprintf(rig.directory, sizeof(rig.directory), "%.60s/b", base);
    rig_open("b", IDENTITY, 1u << 30, 10);
    go_to(21, 500);
    lanes_begin(1);
    execute(21, 60);
    lg_recorder_stop(rig.recorder, 0);
    rig_close();
    assert_string_equal(chosen(NULL, "0:15"), "a1 b1");
    assert_false(files.list[1]->snapshot_whole);
    assert_int_equal(remove(strcat(strcpy((char[96]){""}, of_node[0]), "/00000001.rec")), 0);
    assert_string_equal(chosen(NULL, "0:15"), "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_goes_on_in_the_other_where_that_begins),
        TEST(other_bursts_of_the_same_numbers_are_another_history),
        TEST(what_nobody_recorded_is_told),
        TEST(a_snapshot_that_is_not_whole_is_led_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
