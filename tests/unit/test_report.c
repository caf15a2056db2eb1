/* SPDX-License-Identifier: Apache-2.0 */
/* A report's file: that what it has comes out of it as it went in, whatever it is, what it may replace, and
 * that it is there whole or not at all. And what replay notes of bursts for its own. */
#define _GNU_SOURCE
#include "understudy/config/options.h"
#include "understudy/pair/report.h"
#include "understudy/replay/course.c"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <glob.h>
#include <jansson.h>
#include <sys/stat.h>

static char place[64], path[96], other[96];

static int make_place(void **state)
{
    snprintf(place, sizeof(place), "/tmp/page.XXXXXX");
    if (!mkdtemp(place))
        return -1;
    snprintf(path, sizeof(path), "%s/it.html", place);
    snprintf(other, sizeof(other), "%s/other", place);
    return 0;
}

static int clear_place(void **state)
{
    unlink(path);
    unlink(other);
    return rmdir(place); /* fails when a temporary file was left */
}

static size_t count_files(void)
{
    glob_t found;
    size_t count;

    count = glob(help_print("%s/*", place), 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return count;
}

#define HOSTILE "</script><script>alert('1')</script>\"&<!--\x01\x7f"

static int write_report(const char *title)
{
    struct nd_report report;

    assert_int_equal(nd_report_open(&report, "bench", path), 0);
    return nd_report_write(&report, json_pack("{s:s}", "title", title));
}

/* What the page's script reads. */
static json_t *read_report(void)
{
    static const char begin[] = "<script type=\"application/json\" id=\"report\">";
    const char *json = strstr(help_text(path), begin) + strlen(begin);
    json_error_t why;
    json_t *report = json_loadb(json, (size_t)(strstr(json, "</script>") - json), 0, &why);

    assert_non_null(report);
    return report;
}

TEST_WITH(whatever_is_text_stays_text, make_place, clear_place)
{
    static const struct nd_column columns[] = {ND_TEXT_COLUMN(HOSTILE, "key", 0, 5), {.title = NULL}};
    const char *text = HOSTILE;
    struct nd_report report;
    const struct nd_sheet sheet = {.blocks = json_array()};
    json_t *blocks, *table, *read;
    const char *at;
    unsigned scripts = 0;

    nd_sheet_fact(&sheet, HOSTILE, "%s", HOSTILE);
    nd_sheet_fact(&sheet, "bytes", "%s", "\xff\xfe of no text");
    nd_sheet_begin(&sheet, columns, HOSTILE);
    nd_sheet_row(&sheet, columns, HOSTILE, &text);
    nd_sheet_words(&sheet, HOSTILE, "%s", HOSTILE);
    nd_sheet_note(&sheet, "%s", HOSTILE);
    assert_int_equal(nd_report_open(&report, "bench", path), 0);
    assert_int_equal(
        nd_report_write(&report, json_pack("{s:s, s:o}", "title", HOSTILE, "blocks", sheet.blocks)), 0);
    read = read_report();
    blocks = json_object_get(read, "blocks");
    table = json_array_get(blocks, 1);
    assert_int_equal(json_array_size(blocks), 3);
    assert_true(json_equal(json_array_get(blocks, 0), json_pack("{s:[[s, s], [s, s]]}", "facts", HOSTILE,
                                                                HOSTILE, "bytes", "?? of no text")));
    assert_string_equal(json_string_value(json_object_get(table, "table")), HOSTILE);
    assert_true(json_equal(json_object_get(table, "rows"),
                           json_pack("[[s, {s:s}], [s, s]]", HOSTILE, "key", HOSTILE, HOSTILE, HOSTILE)));
    assert_string_equal(json_string_value(json_object_get(json_array_get(blocks, 2), "note")), HOSTILE);
    json_decref(read);
    for (at = help_text(path); (at = strstr(at, "<script")); at++)
        scripts++;
    assert_int_equal(scripts, 2); /* the report and what draws it */
    assert_null(strchr(help_text(path), '\x01'));
}

/* Nothing that the report holds becomes markup either: the script knows no way to do that. */
TEST_WITH(nothing_is_loaded_and_nothing_becomes_markup, make_place, clear_place)
{
    static const char *const ways[] = {"url(",      "https:",         "src=",           "href=", "innerHTML",
                                       "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(",
                                       "import",    "fetch(",         "XMLHttp"};

    assert_int_equal(write_report("a"), 0);
    assert_non_null(
        strstr(help_text(path), "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src"));
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        assert_null(strstr(help_text(path), ways[i]));
}

TEST_WITH(it_is_there_whole_or_not_at_all, make_place, clear_place)
{
    struct nd_report report;
    struct stat st;
    mode_t mask = umask(027);

    assert_int_equal(nd_report_open(&report, "bench", path), 0);
    assert_int_equal(access(path, F_OK), -1);
    nd_report_drop(&report);
    assert_int_equal(count_files(), 0);
    nd_report_drop(&report); /* nothing is open */
    assert_int_equal(nd_report_open(&report, "bench", NULL), 0);
    assert_int_equal(nd_report_write(&report, json_object()), 0);
    assert_int_equal(write_report("two"), 0);
    umask(mask);
    assert_int_equal(count_files(), 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

TEST_WITH(a_report_replaces_a_report_and_nothing_else, make_place, clear_place)
{
    struct nd_report report;

    assert_int_equal(write_report("one"), 0);
    assert_int_equal(write_report("two"), 0);
    assert_non_null(strstr(help_text(path), "{\"title\":\"two\"}"));
    help_write(path, "<!doctype html>of other use");
    assert_int_equal(nd_report_open(&report, "bench", path), ND_USAGE);
    assert_string_equal(help_text(path), "<!doctype html>of other use");
    help_write(path, "");
    assert_int_equal(nd_report_open(&report, "bench", path), 0);
    nd_report_drop(&report);
    assert_int_equal(nd_report_open(&report, "bench", place), ND_USAGE);       /* a directory */
    assert_int_equal(nd_report_open(&report, "bench", "/dev/null"), ND_USAGE); /* a device */
    unlink(path);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(nd_report_open(&report, "bench", path), ND_USAGE);
    assert_int_equal(nd_report_open(&report, "bench", "/no/such/place.html"), ND_DATA);
    assert_int_equal(count_files(), 1);
}

TEST_WITH(a_report_that_cannot_be_written_leaves_nothing, make_place, clear_place)
{
    struct nd_report report;
    FILE *full = fopen("/dev/full", "w"), *out;

    assert_non_null(full);
    assert_int_equal(nd_report_open(&report, "bench", path), 0);
    out = report.out;
    report.out = full;
    assert_int_equal(nd_report_write(&report, json_object()), ND_DATA);
    fclose(out);
    assert_int_equal(count_files(), 0);
}

/* What replay says of a run that is over. */

static struct nd_replay run;

/* The report as JSON, which is one line on stdout; the table on stderr is not wanted. */
static json_t *report(void)
{
    FILE *said = tmpfile(), *table = tmpfile();
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    json_t *object;

    assert_true(said && table && out >= 0 && err >= 0);
    fflush(NULL);
    dup2(fileno(said), STDOUT_FILENO);
    dup2(fileno(table), STDERR_FILENO);
    nd_replay_report(&run);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    rewind(said);
    object = json_loadf(said, 0, NULL);
    fclose(said);
    fclose(table);
    assert_non_null(object);
    return object;
}

/* What sessions dropped for no NF was counted by nobody else. */
TEST(conflicts_of_sessions_are_counted_by_their_drops)
{
    static const struct nd_replay_options options = {.input = "x.pcap", .common.json = true};
    static struct nd_config config;
    json_t *object, *nfs;
    int counted, dropped;

    run.options = &options;
    run.config = &config;
    run.reference.chain.nf[0].dropped[0] = 5;
    object = report();
    nfs = json_object_get(object, "nfs");
    assert_int_equal(json_unpack(nfs, "{s:{s:{s:i},s:{s:i}}}", "sessions", "counters", "conflicts", &counted,
                                 "drops", "conflicts", &dropped),
                     0);
    assert_int_equal(counted, 5);
    assert_int_equal(dropped, 5);
    json_decref(object);
}

/* What replay notes of bursts under the audit: how much memory it takes, and which NF a burst differs in. */

static uint64_t resident(void)
{
    unsigned long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "re");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &all, &pages), 2);
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A burst of a chain of two NFs: four numbers, whatever the most is that a chain may have. */
TEST(a_burst_takes_as_much_as_its_chain_has_nfs)
{
    uint64_t of[FT_AUDIT_SUMS] = {1}, before;
    const uint64_t bursts = 100000, noted = bursts * 4 * sizeof(uint64_t);
    struct nd_sums sums;

    assert_int_equal(open_sums(&sums, bursts, 1, 2, &help_fault), 0);
    before = resident();
    for (uint64_t b = 0; b < bursts; b++)
        note_sums(&sums, false, 0, b, of);
    assert_in_range(resident() - before, noted / 2, noted + (1u << 20));
}

/* Three quarters of the machine's memory: the kernel would give it, and take back something else. */
TEST(what_takes_most_of_the_memory_is_refused_with_what_helps)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t each =
        2 * 4 * sizeof(uint64_t); /* of a burst: live and replayed, the lane's, two NFs', the shared */
    struct nd_sums sums;

    const char *text = help_print("of %lu bursts", memory / 4 * 3 / each);
    assert_int_equal(open_sums(&sums, memory / 4 * 3 / each, 1, 2, &help_fault), FT_ENOMEM);
    assert_non_null(strstr(help_fault.text, text));
    assert_non_null(strstr(help_fault.text, "--fast"));
}

/* Whoever executes a burst edits what is the lane's own; NFs come first, then what lanes share. */
TEST(the_first_nf_that_differs_is_told)
{
    uint64_t noted[FT_AUDIT_SUMS] = {10, 11, 12, [FT_NFS_MAX] = 13}, again[FT_AUDIT_SUMS];
    struct nd_sums sums;
    uint16_t nf;

    assert_int_equal(open_sums(&sums, 8, 2, 2, &help_fault), 0);
    assert_false(nd_sums_differ(&sums, false, 1, 7, noted, &nf)); /* nobody has */
    note_sums(&sums, false, 1, 7, noted);
    note_sums(&sums, true, 1, 8, noted); /* beyond: of no burst */
    assert_false(nd_sums_differ(&sums, true, 1, 7, noted, &nf));
    assert_false(nd_sums_differ(&sums, false, 0, 7, noted, &nf));
    assert_false(nd_sums_differ(&sums, false, 1, 7, noted, &nf));
    memcpy(again, noted, sizeof(again));
    again[0]++;
    assert_true(nd_sums_differ(&sums, false, 1, 7, again, &nf));
    assert_int_equal(nf, 0);
    again[FT_NFS_MAX]++;
    assert_true(nd_sums_differ(&sums, false, 1, 7, again, &nf));
    assert_int_equal(nf, FT_NFS_MAX);
    again[2]++;
    assert_true(nd_sums_differ(&sums, false, 1, 7, again, &nf));
    assert_int_equal(nf, 2);
}
