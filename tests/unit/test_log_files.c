/* SPDX-License-Identifier: Apache-2.0 */
/* Which recordings replay --log executes for a moment, and what it says of all that are there: two nodes of
 * one history, lives, gaps, snapshots that are not whole, files that are damaged.
 */
#include "tests/help/recorder.h"
#include "tests/help/record.h"
#include "understudy/recording/recording.h"
#include "tests/help/test.h"

#include <sys/stat.h>

/*
 * A history is the bursts of the lanes in turn, an input each: after 3 × n of them lane 0 has taken the
 * inputs 1 to n, and lane 1 the inputs 2 to n + 1.
 */
static char base[64], of_node[2][80]; /* directories of a and b */
static struct nd_log_files files;
static char said[1024]; /* on stderr, by what was last chosen */

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
    rig_close(); /* says that the node was stopped */
}

static const struct nd_moment *moment(const char *text)
{
    static struct nd_moment made[2];
    static unsigned turn;
    struct nd_moment *m = &made[turn++ % 2];

    assert_true(nd_moment_read(m, text));
    return m;
}

static int choose(const char *path, const char *from, const char *to)
{
    const char *const paths[] = {path, NULL};
    int own = dup(STDERR_FILENO), error;
    FILE *err = tmpfile();
    size_t n;

    assert_true(own >= 0 && err);
    dup2(fileno(err), STDERR_FILENO);
    nd_log_files_close(&files);
    error = nd_log_files_open(&files, paths, &help_fault);
    if (!error)
        error = nd_log_files_choose(&files, from ? moment(from) : NULL, to ? moment(to) : NULL, &help_fault);
    dup2(own, STDERR_FILENO);
    close(own);
    rewind(err);
    n = fread(said, 1, sizeof(said) - 1, err);
    said[n] = '\0';
    fclose(err);
    return error;
}

/* As "a1 b1": the file's node and serial number. */
static const char *listed(void)
{
    static char out[128];

    out[0] = '\0';
    for (unsigned i = 0; i < files.count; i++)
        snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%s%lu", i ? " " : "",
                 files.list[i]->head.node, files.list[i]->head.serial);
    return out;
}

/* What is executed for a moment. */
static const char *chosen(const char *from, const char *to)
{
    help_done(choose(base, from, to));
    return listed();
}

TEST_WITH(one_goes_on_in_the_other_where_that_begins, setup, teardown)
{
    const char *const both[] = {of_node[1], of_node[0], NULL};
    struct nd_index index;

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
    assert_int_equal(nd_index_make(&index, files.list[1], &help_fault), 0);
    assert_true(nd_index_until_position(&index, files.list[2]->at));
    for (unsigned l = 0; l < LANES; l++)
        assert_int_equal(index.lane[l].upto, 5);
    nd_index_free(&index);
    /* Two directories by name, in any order. */
    nd_log_files_close(&files);
    assert_int_equal(nd_log_files_open(&files, both, &help_fault), 0);
    assert_int_equal(nd_log_files_choose(&files, NULL, NULL, &help_fault), 0);
    assert_int_equal(files.found, 3);
    assert_int_equal(files.count, 3);
    assert_string_equal(files.list[0]->head.node, "a");
}

TEST_WITH(other_bursts_of_the_same_numbers_are_another_history, setup, teardown)
{
    record(0, 0, 0, 60, 500);
    record(1, 45, 0, 90, 501);
    assert_string_equal(chosen(NULL, NULL), "b1");
    assert_string_equal(chosen(NULL, "0:12"), "a1");
    assert_string_equal(chosen("0:12", "0:25"), "");
    /* One that had executed nothing has no history yet. */
    record(0, 0, 0, 12, 0);
    assert_string_equal(chosen(NULL, NULL), "a2");
}

TEST_WITH(what_nobody_recorded_is_told, setup, teardown)
{
    FILE *out = fopen("/dev/null", "w");
    json_t *told, *row;
    size_t i;

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
TEST_WITH(a_snapshot_that_is_not_whole_is_led_to, setup, teardown)
{
    record(0, 0, 0, 30, 500);
    snprintf(rig.directory, sizeof(rig.directory), "%.60s/b", base);
    rig_open("b", IDENTITY, 1u << 30, 10);
    go_to(21, 500);
    lanes_begin(1);
    execute(21, 60);
    rig_stop(0);
    assert_string_equal(chosen(NULL, "0:15"), "a1 b1");
    assert_false(files.list[1]->snapshot_whole);
    assert_int_equal(remove(strcat(strcpy((char[96]){""}, of_node[0]), "/00000001.rec")), 0);
    assert_string_equal(chosen(NULL, "0:15"), "");
}

/* What leads to a node's end is joined as well. */
TEST_WITH(the_file_that_a_node_ended_in_is_led_to, setup, teardown)
{
    uint64_t a, b;

    record(0, 0, 30, 60, 500);
    record(1, 45, 0, 90, 500);
    chosen(NULL, "0:5");
    assert_string_equal(listed(), "a1");
    assert_ptr_equal(nd_log_last_of(&files, files.list[0]), &files.all[1]);
    assert_int_equal(files.all[0].node_end.how, 0);
    a = files.all[1].node_end.wall;
    b = files.all[2].node_end.wall;
    assert_true(a && b && a != b);
    assert_int_equal(nd_log_files_choose_end(&files, "b", b, &help_fault), 0);
    assert_string_equal(listed(), "a1 a2 b1");
    assert_int_equal(nd_log_files_choose_end(&files, "a", a, &help_fault), 0);
    assert_string_equal(listed(), "a1 a2");
    assert_int_equal(nd_log_files_choose_end(&files, "a", b, &help_fault), 0);
    assert_int_equal(files.count, 0);
    assert_int_equal(nd_log_files_choose_end(&files, "a", a + 1, &help_fault), 0);
    assert_int_equal(files.count, 0);
}

static void damage(unsigned n, unsigned serial)
{
    const long at = 100; /* in the header */
    FILE *file;
    int byte;

    file = fopen(help_print("%s/%08u.rec", of_node[n], serial), "r+");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    byte = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
}

/* One line of the file that is not read, and no other. */
static void assert_passed_over(unsigned n, unsigned serial)
{
    const char *name = help_print("%s/%08u.rec:offset 16: ", of_node[n], serial);
    assert_memory_equal(said, name, strlen(name));
    assert_non_null(strstr(said, ", passed over\n"));
    assert_int_equal(strcspn(said, "\n"), strlen(said) - 1);
}

TEST_WITH(a_damaged_file_that_the_way_does_not_need_is_passed_over, setup, teardown)
{
    record(0, 0, 30, 60, 500);
    assert_string_equal(chosen(NULL, NULL), "a1 a2");
    assert_string_equal(said, "");
    damage(0, 1);
    assert_string_equal(chosen(NULL, NULL), "a2");
    assert_passed_over(0, 1);
    assert_string_equal(chosen(NULL, "0:5"), "");
    assert_passed_over(0, 1);
    record(1, 45, 0, 90, 500);
    assert_string_equal(chosen(NULL, NULL), "a2 b1");
    assert_passed_over(0, 1);
}

/* What can be read is not all of the recording. */
TEST_WITH(a_damaged_end_is_passed_over_for_a_moment_only, setup, teardown)
{
    record(0, 0, 30, 60, 500);
    damage(0, 2);
    assert_int_equal(choose(base, NULL, NULL), FT_ECHECKSUM);
    assert_non_null(strstr(help_fault.text, "a/00000002.rec:offset 16: "));
    assert_string_equal(said, "");
    assert_string_equal(chosen(NULL, "0:5"), "a1");
    assert_passed_over(0, 2);
    record(1, 45, 0, 90, 500);
    assert_string_equal(chosen(NULL, NULL), "b1");
    assert_passed_over(0, 2);
}

TEST_WITH(what_is_named_and_cannot_be_read_is_refused, setup, teardown)
{
    record(0, 0, 30, 60, 500);
    damage(0, 1);
    assert_int_equal(choose(help_print("%s/00000001.rec", of_node[0]), NULL, NULL), FT_ECHECKSUM);
    damage(0, 2);
    assert_int_equal(choose(of_node[0], NULL, NULL), FT_ECHECKSUM);
    assert_int_equal(choose(base, NULL, "0:5"), FT_ECHECKSUM);
    assert_string_equal(said, "");
    record(1, 45, 0, 90, 500);
    assert_int_equal(choose(of_node[0], NULL, NULL), FT_ECHECKSUM);
    assert_int_equal(choose(base, NULL, NULL), 0);
    assert_string_equal(listed(), "b1");
}
