/* SPDX-License-Identifier: Apache-2.0 */
/* What `incidents` says of directories that are not as a reporter leaves them. */
#include "cli/options.h"
#include "tests/help/command.h"
#include "tests/help/config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CRASH "a.crash-2026-11-22T07:48:25.123Z"

static char state_dir[300], file[300];

/* A pair of which one node has `state` below the test's directory, and the other one none. */
static void make_pair(void)
{
    static const char form[] = "chain: { name: test, nfs: [ { monitor: { max_flows: 4096 } } ] }\n"
                               "link: { insecure: true }\n"
                               "nodes:\n"
                               "  a: { role: primary, ports: { inside: x0, outside: x1 }, replication: "
                               "127.0.0.1:4700, control: /tmp/a.sock, state: %s }\n"
                               "  b: { role: standby, ports: { inside: x0, outside: x1 }, replication: "
                               "127.0.0.2:4700, control: /tmp/b.sock, state: %s.none }\n";
    char text[2048];
    int len;

    chmod(help_config_dir(), 0755); /* for another user */
    snprintf(state_dir, sizeof(state_dir), "%s/state", help_config_dir());
    mkdir(state_dir, 0700);
    len = snprintf(text, sizeof(text), form, state_dir, state_dir);
    snprintf(file, sizeof(file), "%s", help_config_file("pair.yaml", text, (size_t)len));
    chmod(file, 0644);
}

static const char *in_crash(const char *name)
{
    static char path[400];

    snprintf(path, sizeof(path), "%s/%s%s%s", state_dir, CRASH, *name ? "/" : "", name);
    return path;
}

static void remove_crash(void)
{
    unlink(in_crash("report.json"));
    rmdir(in_crash(""));
}

static void write_report(const char *text)
{
    FILE *f;

    mkdir(in_crash(""), 0755);
    f = fopen(in_crash("report.json"), "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int run(bool nobody, char said[HELP_SAID])
{
    const char *const argv[] = {"incidents", "-c", file, NULL};

    return help_command(nd_cmd_incidents, argv, nobody, said);
}

static void a_directory_that_may_not_be_read_is_told(void **state)
{
    char said[HELP_SAID];

    (void)state;
    make_pair();
    assert_int_equal(run(false, said), ND_DONE); /* nothing is there */
    assert_string_equal(said, "");
    if (geteuid() != 0)
        chmod(state_dir, 0);
    assert_int_equal(run(true, said), ND_NO_PERMISSION);
    chmod(state_dir, 0700);
    assert_non_null(strstr(said, state_dir));
    assert_non_null(strstr(said, "Permission denied"));
    assert_null(strchr(strchr(said, '\n') + 1, '\n')); /* one line */
    rmdir(state_dir);
}

/* A title and colours, also by the eight-bit controls of a terminal. */
static void what_a_report_has_reaches_no_terminal_as_it_is(void **state)
{
    char said[HELP_SAID];

    (void)state;
    make_pair();
    write_report(
        "{\"time\": \"\\u001b]2;t\\u0007now\", \"nf\": \"\\u009b31mnat\", \"signal\": \"SIG\\r\\n\"}");
    assert_int_equal(run(false, said), ND_DONE);
    remove_crash();
    rmdir(state_dir);
    for (const char *c = said; *c; c++)
        assert_true(*c == '\n' || (*c >= ' ' && *c <= '~'));
    assert_non_null(strstr(said, "?]2;t?now"));
    assert_non_null(strstr(said, "31mnat"));
    assert_non_null(strstr(said, CRASH));
}

static void a_report_that_is_no_file_holds_nobody(void **state)
{
    char said[HELP_SAID];

    (void)state;
    make_pair();
    mkdir(in_crash(""), 0755);
    assert_int_equal(mkfifo(in_crash("report.json"), 0644), 0);
    assert_int_equal(run(false, said), ND_DONE);
    remove_crash();
    rmdir(state_dir);
    assert_non_null(strstr(said, CRASH));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_that_may_not_be_read_is_told),
        cmocka_unit_test(what_a_report_has_reaches_no_terminal_as_it_is),
        cmocka_unit_test(a_report_that_is_no_file_holds_nobody),
    };

    return cmocka_run_group_tests_name("incidents", tests, NULL, help_config_clean);
}
