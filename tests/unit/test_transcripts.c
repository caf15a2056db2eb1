/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs tests/transcripts/: each file is one test, named by its first line. A file is comments (#) and steps;
 * a step is commands, one a line, then `----`, then exactly what they print, then an empty line.
 * TRANSCRIPTS=rewrite puts in what they print now; whoever does that reads the difference and judges it by
 * docs/guarantees.md.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/world.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#define FILES     "tests/transcripts/*.txt"
#define LINE_MAX  256u
#define FILES_MAX 200u

/* A file being run: what it is (in), what it should be (all of it again, with what was printed now). */
struct transcript {
    struct world world;
    FILE *file, *printed;
    char *now, *wanted, *whole; /* of this step; of the file */
    size_t now_size, whole_size;
    FILE *rewritten;
    unsigned line, differ;
    const char *path;
};

static bool read_line(struct transcript *t, char line[LINE_MAX])
{
    if (!fgets(line, LINE_MAX, t->file))
        return false;
    t->line++;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

/* The line after this one. */
static const char *next_line(const char *text)
{
    size_t n = strcspn(text, "\n");

    return text + n + (text[n] == '\n');
}

static void print_lines(const char *text, const char *sign)
{
    for (; *text; text = next_line(text))
        print_message("#   %s %.*s\n", sign, (int)strcspn(text, "\n"), text);
}

/* What was expected and what came, from the first line on that differs. `line`: the step's first, in the
 * file. */
static void print_difference(const struct transcript *t, const char *wanted, unsigned line)
{
    const char *now = t->now;

    for (; *wanted && *now; line++) {
        size_t n = (size_t)(next_line(wanted) - wanted);

        if (strncmp(wanted, now, n) != 0)
            break;
        wanted += n;
        now += n;
    }
    print_message("# %s:%u differs. Expected from there:\n", t->path, line);
    print_lines(wanted, "-");
    print_message("# and it is:\n");
    print_lines(now, "+");
}

/* Behind `----`: the expected text, up to an empty line. What was printed goes into the rewritten file. */
static void end_step(struct transcript *t)
{
    char line[LINE_MAX], *wanted = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&wanted, &size);
    unsigned begins = t->line + 1;

    while (read_line(t, line) && line[0])
        fprintf(out, "%s\n", line);
    fclose(out);
    fflush(t->printed);
    fprintf(t->rewritten, "%s\n", t->now);
    if (strcmp(wanted, t->now) != 0 && t->differ++ == 0 && !getenv("TRANSCRIPTS"))
        print_difference(t, wanted, begins);
    free(wanted);
    fclose(t->printed);
    free(t->now);
    t->world.out = t->printed = open_memstream(&t->now, &t->now_size);
}

static void run_lines(struct transcript *t)
{
    char line[LINE_MAX];

    while (read_line(t, line)) {
        if (strcmp(line, "----") != 0) {
            fprintf(t->rewritten, "%s\n", line);
            if (line[0] && line[0] != '#' && !world_command(&t->world, line)) {
                fflush(t->printed);
                fail_msg("%s:%u: %s", t->path, t->line, t->now);
            }
            continue;
        }
        fprintf(t->rewritten, "----\n");
        end_step(t);
    }
}

static void store(const struct transcript *t)
{
    FILE *f = fopen(t->path, "w");
    size_t n = t->whole_size;

    assert_non_null(f);
    while (n > 1 && t->whole[n - 1] == '\n' && t->whole[n - 2] == '\n')
        n--;
    fwrite(t->whole, 1, n, f);
    assert_int_equal(fclose(f), 0);
}

static void transcript_is_as_written(void **state)
{
    static struct transcript t;
    const char *rewrite = getenv("TRANSCRIPTS");

    memset(&t, 0, sizeof(t));
    t.path = *state;
    t.file = fopen(t.path, "r");
    assert_non_null(t.file);
    t.printed = open_memstream(&t.now, &t.now_size);
    t.rewritten = open_memstream(&t.whole, &t.whole_size);
    world_begin(&t.world, t.printed);
    run_lines(&t);
    fflush(t.printed);
    if (t.now_size)
        fail_msg("%s: what its last commands print is not expected by any ----: %s", t.path, t.now);
    fclose(t.file);
    fclose(t.printed);
    fclose(t.rewritten);
    if (rewrite && strcmp(rewrite, "rewrite") == 0)
        store(&t);
    else if (t.differ)
        fail_msg("%s: %u steps print something else", t.path, t.differ);
    free(t.now);
    free(t.whole);
}

/* The first line of a file that is a comment says what it shows. */
static const char *name_of(const char *path)
{
    static char name[FILES_MAX][LINE_MAX];
    static unsigned count;
    char line[LINE_MAX] = "", *to = name[count++];
    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof(line), f) && (line[0] != '#' || strstr(line, "SPDX")))
        ;
    if (f)
        fclose(f);
    line[strcspn(line, "\n")] = '\0';
    snprintf(to, LINE_MAX, "%.40s: %.200s", strrchr(path, '/') + 1, line[0] ? line + 2 : "");
    return to;
}

int main(void)
{
    static struct CMUnitTest tests[FILES_MAX];
    glob_t files;
    size_t n = 0;
    int failed;

    if (glob(FILES, 0, NULL, &files) != 0) {
        printf("Bail out! %s: no transcripts here\n", FILES);
        return 1;
    }
    for (; n < files.gl_pathc && n < FILES_MAX; n++)
        tests[n] = (struct CMUnitTest){.name = name_of(files.gl_pathv[n]),
                                       .test_func = transcript_is_as_written,
                                       .initial_state = files.gl_pathv[n]};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    failed = _cmocka_run_group_tests("transcripts", tests, n, NULL, NULL);
    globfree(&files);
    return failed;
}
