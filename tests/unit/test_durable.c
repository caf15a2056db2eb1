/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are there whole or not at all: what is left by a writer that fails, and what lies in the way. */
#include "ftcore/base/durable.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <sys/stat.h>

static char place[] = "/tmp/test-durable.XXXXXX", file[64], fresh[64], victim[64];

static int begin_place(void **state)
{
    assert_non_null(mkdtemp(place));
    snprintf(file, sizeof(file), "%s/file", place);
    snprintf(fresh, sizeof(fresh), "%s/file.new", place);
    snprintf(victim, sizeof(victim), "%s/victim", place);
    return 0;
}

static int end_place(void **state)
{
    unlink(file);
    unlink(victim);
    return rmdir(place); /* fails when something else was left */
}

TEST(a_writer_that_fails_leaves_the_old_file)
{
    struct ft_durable d;

    assert_int_equal(ft_durable_write(file, 0640, "old", 3, &help_fault), 0);
    assert_int_equal(ft_durable_begin(&d, file, NULL, 0640, &help_fault), 0);
    fputs("half of the n", d.out);
    assert_true(ft_durable_end(&d, false, &help_fault) < 0);
    assert_null(d.out);
    assert_string_equal(help_text(file), "old");
    assert_int_not_equal(access(fresh, F_OK), 0);
    assert_int_equal(ft_durable_begin(&d, file, NULL, 0640, &help_fault), 0);
    fputs("new", d.out);
    assert_string_equal(help_text(file), "old"); /* until it is whole */
    assert_int_equal(ft_durable_end(&d, true, &help_fault), 0);
    assert_string_equal(help_text(file), "new");
}

TEST(a_link_in_the_way_is_not_followed)
{
    struct ft_durable d;
    struct stat is;

    assert_int_equal(ft_durable_write(victim, 0600, "precious", 8, &help_fault), 0);
    assert_int_equal(symlink(victim, fresh), 0);
    assert_int_equal(ft_durable_begin(&d, file, NULL, 0600, &help_fault), 0);
    fputs("mine", d.out);
    assert_int_equal(ft_durable_end(&d, true, &help_fault), 0);
    assert_string_equal(help_text(victim), "precious");
    assert_int_equal(lstat(file, &is), 0);
    assert_true(S_ISREG(is.st_mode));
    assert_int_equal(symlink(victim, fresh), 0);
    assert_int_equal(ft_durable_new(fresh, 0600, "mine", 4, &help_fault), FT_EIO); /* a name that is taken */
    assert_non_null(strstr(help_fault.text, fresh));
    assert_int_equal(unlink(fresh), 0);
    assert_string_equal(help_text(victim), "precious");
}

/* The process masks no bit of it; of a file that is written it does. */
TEST(a_new_file_has_exactly_its_mode)
{
    struct stat is;
    mode_t before = umask(077);

    assert_int_equal(ft_durable_new(fresh, 0664, "mine", 4, &help_fault), 0);
    assert_int_equal(stat(fresh, &is), 0);
    assert_int_equal(is.st_mode & 0777, 0664);
    assert_int_equal(unlink(fresh), 0);
    unlink(file);
    assert_int_equal(ft_durable_write(file, 0664, "mine", 4, &help_fault), 0);
    assert_int_equal(stat(file, &is), 0);
    assert_int_equal(is.st_mode & 0777, 0600);
    umask(before);
}

TEST(a_full_disk_is_an_error)
{
    struct ft_durable d;
    char text[65536];

    d = (struct ft_durable){.out = fopen("/dev/full", "w"), .path = file, .beside = "/nowhere/at/all"};
    assert_non_null(d.out);
    memset(text, 'x', sizeof(text));
    fwrite(text, sizeof(text), 1, d.out);
    assert_int_equal(ft_durable_end(&d, true, &help_fault), FT_EIO);
    assert_non_null(strstr(help_fault.text, "No space left on device"));
    assert_int_equal(ft_durable_write("/nowhere/at/all", 0600, "x", 1, &help_fault), FT_EIO);
}

TESTS_SHARE(begin_place, end_place)
