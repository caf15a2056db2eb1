/* SPDX-License-Identifier: Apache-2.0 */
/* understudy SUBCOMMAND: finds the subcommand and hands over. */
#include "node/control/options.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAIR "-c FILE [-n NAME] [-o json]"

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
    const char *args; /* NULL: `syntax` tells them */
    const struct nd_syntax *syntax;
} commands[] = {
    {"run", "run a node", nd_cmd_run, .args = "-c FILE -n NAME"},
    {"check", "validate a configuration, start nothing", nd_cmd_check, .args = "-c FILE [-o json]"},
    {"key", "make the key of a pair", nd_cmd_key, .args = "FILE"},
    {"replay", "a capture through a pair, with kills, and the verdict; or what a recorder kept",
     nd_cmd_replay, .syntax = &nd_replay_syntax},
    {"bench", "what protection costs while nothing fails, and how soon a successor releases", nd_cmd_bench,
     .syntax = &nd_bench_syntax},
    {"status", "is the chain protected, and if not, why", nd_cmd_status, .args = PAIR},
    {"watch", "events of both nodes as they happen", nd_cmd_watch, .args = PAIR},
    {"verify", "compare the state of both nodes", nd_cmd_act, .args = PAIR},
    {"promote", "make the standby the primary", nd_cmd_act, .args = PAIR},
    {"drain", "hand over without loss, so that the primary can be stopped", nd_cmd_act, .args = PAIR},
    {"resync", "copy the whole state to the standby again", nd_cmd_act, .args = PAIR},
    {"failback", "hand back to the node that the file prefers, or calls primary", nd_cmd_act, .args = PAIR},
    {"pin", "this node is to reign: nothing automatic moves the role away", nd_cmd_maintain,
     .args = PAIR " NODE"},
    {"hold", "nothing automatic moves the role at all", nd_cmd_maintain, .args = PAIR},
    {"unpin", "end a pin or a hold", nd_cmd_maintain, .args = PAIR},
    {"apply", "the chain file as it is now, without a restart", nd_cmd_act, .args = PAIR},
    {"push", "the primary's chain files to the other node", nd_cmd_act, .args = PAIR},
    {"drill", "failover drill on a running pair", nd_cmd_drill, .syntax = &nd_drill_syntax},
    {"show", "look at the state of an NF", nd_cmd_show, .args = PAIR " NF"},
    {"set", "change it", nd_cmd_set, .args = PAIR " NF KEY=VALUE"},
    {"clear", "forget an entry, or all", nd_cmd_clear, .args = PAIR " NF [KEY]"},
    {"trace", "what the chain does to the next packets, NF by NF", nd_cmd_trace, .syntax = &nd_trace_syntax},
    {"incidents", "what nodes of this server died of", nd_cmd_incidents, .args = PAIR},
    {"top", "live view, until q", nd_cmd_top, .args = "-c FILE [-n NAME]"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static bool is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

static int print_help(void)
{
    printf("usage: understudy SUBCOMMAND [OPTION]... [ARGUMENT]...\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  understudy %-8s %-42s %s\n", commands[i].name,
               commands[i].args ? commands[i].args : "[OPTION]..., see its --help", commands[i].summary);
    printf("\n  -c FILE   chain or pair file        -n NAME   the node to ask\n"
           "  -o json   one JSON object on stdout\n\n"
           "exit codes: 0 done, equal, protected; 1 not equal, failed, degraded; 2 not protected; 64 wrong "
           "usage;\n"
           "65 bad configuration or data; 69 no answer; 70 our own fault; 77 no permission\n");
    return ND_DONE;
}

static int print_help_of(const struct command *c)
{
    printf("usage: understudy %s", c->name);
    if (c->args)
        nd_options_print(c->args, c->summary);
    else
        nd_syntax_print(c->syntax, c->summary);
    return ND_DONE;
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
    keep_standard_streams();
    if (argc < 2)
        return nd_usage(NULL, "no subcommand");
    if (is_help(argv[1]) || strcmp(argv[1], "help") == 0)
        return flush_output(print_help());
    if (strcmp(argv[1], "--version") == 0) {
        printf("understudy %s\n", UNDERSTUDY_VERSION);
        return flush_output(ND_DONE);
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return flush_output(argc > 2 && is_help(argv[2]) ? print_help_of(&commands[i])
                                                             : commands[i].run(argc - 1, argv + 1));
    }
    return nd_usage(NULL, "unknown subcommand \"%.40s\"", argv[1]);
}
