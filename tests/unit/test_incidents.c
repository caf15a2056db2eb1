/* SPDX-License-Identifier: Apache-2.0 */
/* What `incidents` says of directories that are not as a reporter leaves them. */
#include "understudy/config/options.h"
#include "tests/help/nf.h"
#include "tests/help/config.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <sys/stat.h>
#include <sys/wait.h>

/* For tests of subcommands: one is run in a process of its own, and what it says is kept. */

#define HELP_SAID 4096u
#define NOBODY    65534

static _Noreturn void run_there(int (*run)(int argc, char **argv), const char *const argv[], bool nobody,
                                int out)
{
    int argc = 0, code;

    while (argv[argc])
        argc++;
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    alarm(20);
    if (nobody && geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        _exit(99);
    code = run(argc, (char **)(uintptr_t)argv);
    fflush(NULL);
    _exit(code);
}

/* argv ends with NULL. `nobody`: as a user without rights, if the test has root's. The exit code, or the
 * signal that ended it as a negative number, SIGALRM after 20 s; said: on stdout and stderr. */
static int help_command(int (*run)(int argc, char **argv), const char *const argv[], bool nobody,
                        char said[HELP_SAID])
{
    FILE *both = tmpfile();
    pid_t child;
    int status;

    assert_non_null(both);
    fflush(NULL);
    child = fork();
    if (child == 0)
        run_there(run, argv, nobody, fileno(both));
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    rewind(both);
    said[fread(said, 1, HELP_SAID - 1, both)] = '\0';
    fclose(both);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

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
    mkdir(in_crash(""), 0755);
    help_write(in_crash("report.json"), text);
}

static int run(bool nobody, char said[HELP_SAID])
{
    const char *const argv[] = {"incidents", "-c", file, NULL};

    return help_command(nd_cmd_incidents, argv, nobody, said);
}

TEST(a_directory_that_may_not_be_read_is_told)
{
    char said[HELP_SAID];

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
TEST(what_a_report_has_reaches_no_terminal_as_it_is)
{
    char said[HELP_SAID];

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

TEST(a_report_that_is_no_file_holds_nobody)
{
    char said[HELP_SAID];

    make_pair();
    mkdir(in_crash(""), 0755);
    assert_int_equal(mkfifo(in_crash("report.json"), 0644), 0);
    assert_int_equal(run(false, said), ND_DONE);
    remove_crash();
    rmdir(state_dir);
    assert_non_null(strstr(said, CRASH));
}

/* What `nfs` says an NF's packets are dealt to lanes by: that may depend on its configuration. */

struct config {
    uint32_t whose;
};

static const char *const whose[] = {"flow", "inside", "outside", "chain", NULL};

static const struct nf_param params[] = {NF_ONE_OF(struct config, whose, whose, "flow", "what it belongs to"),
                                         {0}};

static const char *const counters[] = {"seen", "passed", NULL};

static enum nf_scope scope(const void *config)
{
    return (enum nf_scope)((const struct config *)config)->whose;
}

static const struct nf_module scoped = {.name = "scoped",
                                        .summary = "for a test",
                                        .scope = scope,
                                        .params = params,
                                        .config_size = sizeof(struct config),
                                        .counters = counters,
                                        .process = help_nf_process};

NF_MODULE(scoped)
static const struct nf_module plain = {.name = "plain",
                                       .summary = "for a test",
                                       .translates = NF_SOURCE | NF_DESTINATION | NF_SEQUENCE,
                                       .process = help_nf_process};

NF_MODULE(plain)

static const char *chain_of(const char *who)
{
    char text[200];
    int n = snprintf(text, sizeof(text), "chain: { name: t, nfs: [ scoped: { whose: %s } ] }\n", who);

    return help_config_file("chain.yaml", text, (size_t)n);
}

static void says(const char *const argv[], const char *line)
{
    char said[HELP_SAID];

    assert_int_equal(help_command(nd_cmd_nfs, argv, false, said), ND_DONE);
    if (!strstr(said, line))
        fail_msg("\"%s\", expected \"%s\" in it", said, line);
}

TEST(the_scope_is_that_of_the_configuration)
{
    static const struct {
        const char *whose, *line, *json;
    } cases[] = {{"flow", "\nlanes: by flow\n", "\"scope\":\"flow\""},
                 {"inside", "\nlanes: by inside address\n", "\"scope\":\"inside address\""},
                 {"outside", "\nlanes: by outside address\n", "\"scope\":\"outside address\""},
                 {"chain", "\nlanes: by chain\n", "\"scope\":\"chain\""}};
    const char *const alone[] = {"nfs", "scoped", NULL}, *const other[] = {"nfs", "plain", NULL};

    unsetenv(ND_FILE_VARIABLE);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *chain_file = chain_of(cases[i].whose);
        const char *const text[] = {"nfs", "-c", chain_file, "scoped", NULL};
        const char *const json[] = {"nfs", "-c", chain_file, "-o", "json", "scoped", NULL};

        says(text, cases[i].line);
        says(json, cases[i].json);
        setenv(ND_FILE_VARIABLE, chain_file, 1);
        says(alone, cases[i].line);
        unsetenv(ND_FILE_VARIABLE);
    }
    says(other, "\nlanes: by flow\n");
}

/* All that people are told of an NF is in the object for programs. */
TEST(people_are_told_what_the_object_has)
{
    const char *const text[] = {"nfs", "scoped", NULL}, *const other[] = {"nfs", "plain", NULL};
    const char *const json[] = {"nfs", "-o", "json", "plain", NULL};

    unsetenv(ND_FILE_VARIABLE);
    says(text, "  whose              choice, flow, inside, outside, chain; default flow\n"
               "                       what it belongs to\n"
               "counters: seen passed\n");
    says(text, "\nlanes: by what its configuration says (-c)\ncommands: none\nstate: none\n");
    says(other, "plain: for a test\nbuilt in, version 0\n"
                "reads: headers alone; can be replayed; translates sources; translates destinations; "
                "translates sequence numbers\n");
    says(other, "\nparameters: none\ncounters: none\n");
    says(json, "\"translates\":[\"sources\",\"destinations\",\"sequence numbers\"]");
}

TESTS_SHARE(NULL, help_config_clean)
