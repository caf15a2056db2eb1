/* SPDX-License-Identifier: Apache-2.0 */
/* A report's file: what is escaped, what it may replace, and that it is there whole or not at all; and that
 * what is drawn is to scale. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tools/pair/sheet.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char place[64], path[96], other[96], bytes[32768];

static int make_place(void **state)
{
    (void)state;
    snprintf(place, sizeof(place), "/tmp/page.XXXXXX");
    if (!mkdtemp(place))
        return -1;
    snprintf(path, sizeof(path), "%s/it.html", place);
    snprintf(other, sizeof(other), "%s/other", place);
    return 0;
}

static int clear_place(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(place); /* fails when a temporary file was left */
}

static size_t count_files(void)
{
    char pattern[96];
    glob_t found;
    size_t count;

    snprintf(pattern, sizeof(pattern), "%s/*", place);
    count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return count;
}

static const char *read_page(void)
{
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    bytes[fread(bytes, 1, sizeof(bytes) - 1, f)] = '\0';
    fclose(f);
    return bytes;
}

static void write_file(const char *at, const char *text)
{
    FILE *f = fopen(at, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void begin(struct nd_page *page)
{
    struct ft_fault fault;

    assert_int_equal(nd_page_open(page, path, &fault), FT_OK);
}

static void end(struct nd_page *page)
{
    struct ft_fault fault;

    assert_int_equal(nd_page_close(page, &fault), FT_OK);
}

#define HOSTILE "<script>alert('1')</script>\"&\x01\x7f"
#define ESCAPED "&#60;script&#62;alert(&#39;1&#39;)&#60;/script&#62;&#34;&#38;&#65533;&#65533;"

static void whatever_is_text_is_escaped(void **state)
{
    static const struct nd_column columns[] = {ND_TEXT_COLUMN(HOSTILE, "key", 0, 5), {.title = NULL}};
    const char *text = HOSTILE;
    struct nd_page page;
    const struct nd_sheet sheet = {.page = &page};
    const char *at;
    unsigned times = 0;

    (void)state;
    begin(&page);
    nd_page_begin(&page, HOSTILE);
    nd_page_text(&page, "%s", HOSTILE);
    nd_page_element(&page, "p class=\"good\"", "%s", HOSTILE);
    nd_sheet_facts_begin(&sheet);
    nd_sheet_fact(&sheet, HOSTILE, "%s", HOSTILE);
    nd_sheet_facts_end(&sheet);
    nd_sheet_begin(&sheet, columns, HOSTILE);
    nd_sheet_row(&sheet, columns, HOSTILE, &text);
    nd_sheet_words(&sheet, columns, HOSTILE, "%s", HOSTILE);
    nd_sheet_end(&sheet);
    nd_sheet_note(&sheet, "%s", HOSTILE);
    nd_page_draw(&page, 100, HOSTILE);
    nd_page_label(&page, 1, 1, "start", "%s", HOSTILE);
    nd_page_drawn(&page);
    end(&page);
    for (at = read_page(); (at = strstr(at, ESCAPED)); at++)
        times++;
    assert_int_equal(times, 15); /* the title twice */
    assert_null(strstr(bytes, "<script"));
    assert_null(strchr(bytes, '\x01'));
    assert_non_null(strstr(bytes, "<p class=\"good\">&#60;"));
    assert_non_null(strstr(bytes, "aria-label=\"&#60;script"));
}

static void nothing_is_loaded_and_nothing_runs(void **state)
{
    struct nd_page page;

    (void)state;
    begin(&page);
    nd_page_begin(&page, "a");
    end(&page);
    assert_non_null(strstr(read_page(), "content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    assert_null(strstr(bytes, "http:"));
    assert_null(strstr(bytes, "https:"));
    assert_null(strstr(bytes, "url("));
}

static void it_is_there_whole_or_not_at_all(void **state)
{
    struct nd_page page;
    struct stat st;
    mode_t mask = umask(027);

    (void)state;
    begin(&page);
    nd_page_begin(&page, "one");
    assert_int_equal(access(path, F_OK), -1);
    nd_page_drop(&page);
    assert_int_equal(count_files(), 0);
    nd_page_drop(&page); /* nothing is open */
    begin(&page);
    nd_page_begin(&page, "two");
    end(&page);
    umask(mask);
    assert_int_equal(count_files(), 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void a_report_replaces_a_report_and_nothing_else(void **state)
{
    struct nd_page page;
    struct ft_fault fault;

    (void)state;
    begin(&page);
    nd_page_begin(&page, "one");
    end(&page);
    begin(&page);
    nd_page_begin(&page, "two");
    end(&page);
    assert_non_null(strstr(read_page(), "<h1>two</h1>"));
    write_file(path, "<!doctype html>of other use");
    assert_int_equal(nd_page_open(&page, path, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "it.html, expected a report to replace, or a name that is free"));
    assert_string_equal(read_page(), "<!doctype html>of other use");
    write_file(path, "");
    begin(&page);
    nd_page_drop(&page);
    assert_int_equal(nd_page_open(&page, place, &fault), FT_EINVAL);       /* a directory */
    assert_int_equal(nd_page_open(&page, "/dev/null", &fault), FT_EINVAL); /* a device */
    unlink(path);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(nd_page_open(&page, path, &fault), FT_EINVAL);
    assert_int_equal(nd_page_open(&page, "/no/such/place.html", &fault), FT_EIO);
    assert_non_null(strstr(fault.text, "/no/such/place.html: No such file or directory, expected a file"));
    assert_int_equal(count_files(), 1);
}

static void a_page_that_cannot_be_written_leaves_nothing(void **state)
{
    struct nd_page page;
    struct ft_fault fault;
    FILE *full = fopen("/dev/full", "w"), *out;

    (void)state;
    assert_non_null(full);
    begin(&page);
    out = page.out;
    page.out = full;
    nd_page_begin(&page, "one");
    assert_int_equal(nd_page_close(&page, &fault), FT_EIO);
    assert_non_null(strstr(fault.text, "No space left on device"));
    fclose(out);
    assert_int_equal(count_files(), 0);
}

/* Axes end at 1, 2 or 5 times a power of ten times a small number, at or beyond what is shown. */
static void scales_are_round(void **state)
{
    static const struct {
        double low, most, high;
    } cases[] = {{0, 3.116, 3.5},       {0, 9, 9}, {0, 9.01, 10},   {0, 0.00237, 0.0025},
                 {0, 223346.7, 250000}, {0, 0, 1}, {-50, 721, 800}, {0, 5000, 5000},
                 {-1, 6.9, 7}};
    double middle;

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nd_scale s = nd_scale_of(cases[i].low, cases[i].most);

        assert_float_equal(s.low, cases[i].low, 0);
        assert_float_equal(s.high, cases[i].high, cases[i].high * 1e-9);
        assert_float_equal(nd_scale_at(&s, s.low), ND_PAGE_LEFT, 1e-9);
        assert_float_equal(nd_scale_at(&s, s.high), ND_PAGE_RIGHT, 1e-9);
        middle = (s.low + s.high) / 2;
        assert_float_equal(nd_scale_at(&s, middle), (ND_PAGE_LEFT + ND_PAGE_RIGHT) / 2, 1e-9);
        assert_float_equal(nd_scale_at(&s, s.high * 2 + 1), ND_PAGE_RIGHT, 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whatever_is_text_is_escaped, make_place, clear_place),
        cmocka_unit_test_setup_teardown(nothing_is_loaded_and_nothing_runs, make_place, clear_place),
        cmocka_unit_test_setup_teardown(it_is_there_whole_or_not_at_all, make_place, clear_place),
        cmocka_unit_test_setup_teardown(a_report_replaces_a_report_and_nothing_else, make_place, clear_place),
        cmocka_unit_test_setup_teardown(a_page_that_cannot_be_written_leaves_nothing, make_place,
                                        clear_place),
        cmocka_unit_test(scales_are_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
