/* SPDX-License-Identifier: Apache-2.0 */
/* understudy SUBCOMMAND: finds the subcommand and hands over. */
#include "node/control/commands.h"
#include "node/control/options.h"

#include <stdio.h>
#include <string.h>

static const struct command {
    const char *name, *args, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", "-c FILE -n NAME", "run a node", nd_cmd_run},
    {"check", "-c FILE [-o json]", "validate a configuration, start nothing", nd_cmd_check},
    {"replay",
     "-c FILE IN.pcap | --log DIR [-w OUT.pcap] [--until LANE:CLOCK] [--kill primary@K | standby@K]... "
     "[--no-gate] "
     "[--mode M] [--speed] [-o json]",
     "a capture through a pair, with kills, and the verdict; or what a recorder kept", nd_cmd_replay},
    {"bench",
     "[-c FILE] [--compare off,log,…] [--capture FILE | --flows N --zipf S --frame N|imix --new-flows N] "
     "[--pairs N] [--seconds S] [--lanes N] [--takeovers N] [--takeover-load PCT] [--realtime] [--lag S] "
     "[--access | --pieces] "
     "[--no-latency] [--save FILE] [--seed N] [-o json]",
     "what protection costs while nothing fails, and how soon a successor releases", nd_cmd_bench},
    {"status", "-c FILE [-n NAME] [-o json]", "is the chain protected, and if not, why", nd_cmd_status},
    {"verify", "-c FILE [-n NAME] [-o json]", "compare the state of both nodes", nd_cmd_verify},
    {"promote", "-c FILE [-n NAME] [-o json]", "make the standby the primary", nd_cmd_act},
    {"drain", "-c FILE [-n NAME] [-o json]", "hand over without loss, so that the primary can be stopped",
     nd_cmd_act},
    {"resync", "-c FILE [-n NAME] [-o json]", "copy the whole state to the standby again", nd_cmd_act},
    {"failback", "-c FILE [-n NAME] [-o json]", "hand back to the node that the file calls primary",
     nd_cmd_act},
    {"drill", "-c FILE KIND [--repeat N] [-o json]", "failover drill on a running pair", nd_cmd_drill},
    {"show", "-c FILE [-n NAME] [-o json] NF", "look at the state of an NF", nd_cmd_show},
    {"set", "-c FILE [-n NAME] [-o json] NF KEY=VALUE", "change it", nd_cmd_set},
    {"clear", "-c FILE [-n NAME] [-o json] NF [KEY]", "forget an entry, or all", nd_cmd_clear},
    {"top", "-c FILE [-n NAME]", "live view, until q", nd_cmd_top},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static bool is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

static int help(void)
{
    printf("usage: understudy SUBCOMMAND [OPTION]... [ARGUMENT]...\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  understudy %-8s %-42s %s\n", commands[i].name, commands[i].args, commands[i].summary);
    printf("\n  -c FILE   chain or pair file        -n NAME   the node to ask\n"
           "  -o json   one JSON object on stdout\n\n"
           "exit codes: 0 done, equal, protected; 1 not equal, failed, degraded; 2 not protected; 64 wrong "
           "usage;\n"
           "65 bad configuration or data; 69 no answer; 70 our own fault; 77 no permission\n");
    return ND_DONE;
}

/* Output that could not be written is a failure too: a full disk must not look like success. */
static int finish(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "understudy: cannot write the output\n");
        return ND_SOFTWARE;
    }
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return nd_usage(NULL, "no subcommand");
    if (is_help(argv[1]) || strcmp(argv[1], "help") == 0)
        return finish(help());
    if (strcmp(argv[1], "--version") == 0) {
        printf("understudy %s\n", UNDERSTUDY_VERSION);
        return finish(ND_DONE);
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (argc > 2 && is_help(argv[2])) {
            printf("usage: understudy %s %s\n%s\n", commands[i].name, commands[i].args, commands[i].summary);
            return finish(ND_DONE);
        }
        return finish(commands[i].run(argc - 1, argv + 1));
    }
    return nd_usage(NULL, "unknown subcommand \"%.40s\"", argv[1]);
}
