/* SPDX-License-Identifier: Apache-2.0 */
/* understudy SUBCOMMAND: finds the subcommand and hands over. */
#include "understudy/config/schema.h"
#include "understudy/config/options.h"
#include "fleet/fleet.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int help(int argc, char **argv);
static int keeper(int argc, char **argv);

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
    const struct nd_syntax *syntax; /* NULL: nd_common_syntax has it */
} commands[] = {
    {"run", "run a node: of a file that has one of this host, that one", nd_cmd_run, NULL},
    {"keeper", "keep the inputs of a pair in front of it; status: what it has done", keeper, NULL},
    {"check", "validate a configuration, start nothing", nd_cmd_check, NULL},
    {"key", "make the key of a pair", nd_cmd_key, NULL},
    {"replay", "a capture through a pair, with kills, and the verdict; or what a recorder kept",
     nd_cmd_replay, &nd_replay_syntax},
    {"bench", "what protection costs while nothing fails, and how soon a successor releases", nd_cmd_bench,
     &nd_bench_syntax},
    {"status", "is the chain protected, and if not, why", nd_cmd_status, NULL},
    {"watch", "events of both nodes as they happen", nd_cmd_watch, NULL},
    {"verify", "compare the state of both nodes", nd_cmd_act, NULL},
    {"promote", "make the standby the primary", nd_cmd_act, NULL},
    {"drain", "hand over without loss, so that the primary can be stopped", nd_cmd_act, NULL},
    {"resync", "copy the whole state to the standby again", nd_cmd_act, NULL},
    {"re-pair", "take another node for the standby", nd_cmd_act, NULL},
    {"failback", "hand back to the node that the file prefers, or calls primary", nd_cmd_act, NULL},
    {"pin", "this node is to be primary: nothing automatic moves the role away", nd_cmd_act, NULL},
    {"hold", "nothing automatic moves the role at all", nd_cmd_act, NULL},
    {"unpin", "end a pin or a hold", nd_cmd_act, NULL},
    {"apply", "the chain file as it is now, without a restart", nd_cmd_act, NULL},
    {"rollback", "a chain that ran before: set N of the history", nd_cmd_act, NULL},
    {"confirm", "keep the chain that would go back by itself", nd_cmd_act, NULL},
    {"history", "the chains that ran, and who applied them", nd_cmd_act, NULL},
    {"push", "the primary's chain files to the other node", nd_cmd_act, NULL},
    {"drill", "failover drill on a running pair", nd_cmd_drill, &nd_drill_syntax},
    {"show", "the state of an NF, or the counters of all; which rows, or what becomes of them", nd_cmd_show,
     &nd_show_syntax},
    {"set", "change it", nd_cmd_act, NULL},
    {"clear", "forget an entry of an NF, or all; or begin its counters anew", nd_cmd_act, NULL},
    {"trace", "what the chain does to the next packets, NF by NF", nd_cmd_trace, &nd_trace_syntax},
    {"incidents", "what nodes of this server died of", nd_cmd_incidents, NULL},
    {"top", "live view, until q", nd_cmd_top, NULL},
    {"nfs", "the NFs that there are, and what each is: parameters, state, counters", nd_cmd_nfs,
     &nd_nfs_syntax},
    {"new-nf", "an NF to begin with: module, Makefile, test and chain file", nd_cmd_new_nf,
     &nd_new_nf_syntax},
    {"fleet", "shards on many servers: the agent of a server, and what people see and wish", fl_cmd_fleet,
     &fl_fleet_syntax},
    {"version", "of the program, of what it speaks to a peer, and of DPDK", nd_cmd_version, NULL},
    {"help", "what --help says, of all subcommands or of one", help, NULL},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))
#define USAGE    42 /* columns of the list of subcommands for the options of each */

static bool is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

/* Behind a subcommand, wherever among its options and arguments. */
static bool asks_help(int argc, char **argv)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_help(argv[i]))
            return true;
    return false;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static const struct nd_syntax *syntax_of(const struct command *c)
{
    return c->syntax ? c->syntax : nd_common_syntax(c->name);
}

static int refuse_command(const char *name)
{
    const char *names[COMMANDS + 1] = {NULL}, *near;

    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    near = nd_schema_nearest(name, names);
    return nd_usage(NULL, "unknown subcommand \"%.40s\"%s%s%s", name, near ? ", did you mean " : "",
                    near ? near : "", near ? "?" : "");
}

static int print_help(void)
{
    char usage[2048];

    printf("usage: understudy SUBCOMMAND [OPTION]... [ARGUMENT]...\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        int left = USAGE - (int)(strlen(commands[i].name) < 8 ? 0 : strlen(commands[i].name) - 8);

        nd_syntax_usage(syntax_of(&commands[i]), usage, sizeof(usage), (size_t)left);
        printf("  understudy %-8s %-*s", commands[i].name, left, usage);
        if (strlen(usage) > (size_t)left)
            printf("\n%*s", USAGE + 22, ""); /* the summary stands below, where others have theirs */
        printf(" %s\n", commands[i].summary);
    }
    printf("\n  -c FILE   chain or pair file (default " ND_FILE_VARIABLE ", else " ND_PAIR_FILE ")\n"
           "  -n NAME   the node to ask           -o json   one JSON object on stdout\n"
           "  --help    behind a subcommand, or help before it: its options\n"
           "  help fields|counters|events|messages|report|columns|crash   what names and lines mean, of "
           "status,\n"
           "            NFs, the log, states, replay, drills, and what a node died of\n\n"
           "exit codes: 0 done, equal, protected; 1 not equal, failed, degraded; 2 not protected; 64 wrong "
           "usage;\n"
           "65 bad configuration or data; 69 no answer; 70 our own fault; 77 no permission\n");
    return ND_DONE;
}

static const struct words {
    const char *topic, *of, *names, *text;
} words[] = {
#define FIELD(...)
#define AGAIN(...)
#define WORDS(names, text)        {"fields", NULL, names, text},
#define COUNTERS(nf, names, text) {"counters", nf, names, text},
#define EVENTS(names, text)       {"events", NULL, names, text},
#define MESSAGES(line, text)      {"messages", NULL, line, text},
#define REPORT(line, text)        {"report", NULL, line, text},
#define COLUMNS(names, text)      {"columns", NULL, names, text},
#define CRASH(keys, text)         {"crash", NULL, keys, text},
#include "understudy/metrics/fields.def"
#include "understudy/words.def"
};

/* What the names of a topic mean. False: there is no such topic. */
static bool print_words(const char *topic)
{
    bool found = false;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(topic, words[i].topic) == 0) {
            found = true;
            printf("%s%s%s\n    %s\n", words[i].of ? words[i].of : "", words[i].of ? ": " : "",
                   words[i].names, words[i].text);
        }
    return found;
}

static int print_help_of(const struct command *c)
{
    printf("usage: understudy %s", c->name);
    nd_syntax_print(syntax_of(c), c->summary);
    return ND_DONE;
}

static int help(int argc, char **argv)
{
    struct nd_options options;
    const struct command *of;
    int error = nd_options_read(&options, argc, argv);

    if (error || options.argc == 0)
        return error ? error : print_help();
    if (print_words(options.argv[0]))
        return ND_DONE;
    of = find_command(options.argv[0]);
    return of ? print_help_of(of) : refuse_command(options.argv[0]);
}

/* A daemon, or a question to it. */
static int keeper(int argc, char **argv)
{
    struct nd_options options;
    int error = nd_options_read(&options, argc, argv);

    if (error)
        return error;
    if (options.argc && strcmp(options.argv[0], "status") != 0)
        return nd_usage("keeper", "\"%.40s\", expected status, or nothing", options.argv[0]);
    return options.argc ? nd_keeper_status(&options) : nd_keeper_run(&options);
}

/* Output that could not be written is a failure too: a full disk must not look like success. */
static int flush_output(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "understudy: cannot write the output\n");
        return ND_SOFTWARE;
    }
    return code;
}

/* What is opened later must not take the places of the standard streams, which others write to. */
static void keep_standard_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    static char version[] = "version";
    const struct command *command;

    keep_standard_streams();
    if (argc < 2)
        return nd_usage(NULL, "no subcommand");
    if (is_help(argv[1]))
        return flush_output(print_help());
    if (strcmp(argv[1], "--version") == 0)
        argv[1] = version;
    command = find_command(argv[1]);
    if (!command)
        return refuse_command(argv[1]);
    return flush_output(asks_help(argc, argv) ? print_help_of(command) : command->run(argc - 1, argv + 1));
}
