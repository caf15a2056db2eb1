/* SPDX-License-Identifier: Apache-2.0 */
/* getopt_long for all subcommands; see options.h. */
#include "node/control/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LONG_REPEAT = 256 };

static const struct option longs[] = {
    {"config", required_argument, NULL, 'c'},
    {"node", required_argument, NULL, 'n'},
    {"output", required_argument, NULL, 'o'},
    {"repeat", required_argument, NULL, LONG_REPEAT},
    {NULL, 0, NULL, 0},
};

int nd_usage(const char *command, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    fprintf(stderr, "understudy%s%s: %s (see understudy --help)\n", command ? " " : "",
            command ? command : "", text);
    return ND_USAGE;
}

int nd_exit_of(int error)
{
    switch (error) {
    case FT_OK:
        return ND_DONE;
    case FT_EINVAL:
    case FT_EMALFORMED:
    case FT_ETRUNC:
    case FT_ECHECKSUM:
    case FT_EVERSION:
        return ND_DATA;
    case FT_EPERM:
        return ND_NO_PERMISSION;
    case FT_EPEER:
    case FT_ENOENT:
    case FT_EIO:
        return ND_NO_ANSWER;
    default:
        return ND_SOFTWARE;
    }
}

int nd_exit_of_file(int error)
{
    return error == FT_ENOENT || error == FT_EIO ? ND_DATA : nd_exit_of(error);
}

static unsigned option_bit(int c)
{
    return c == 'c'           ? ND_OPT_FILE
           : c == 'n'         ? ND_OPT_NODE
           : c == 'o'         ? ND_OPT_JSON
           : c == LONG_REPEAT ? ND_OPT_REPEAT
                              : 0;
}

static const char *option_name(int c)
{
    return c == 'c' ? "-c" : c == 'n' ? "-n" : c == 'o' ? "-o" : "--repeat";
}

static int take(struct nd_options *o, const char *command, int c, char *value)
{
    unsigned long repeat;
    char *end;

    switch (c) {
    case 'c':
        o->file = value;
        break;
    case 'n':
        o->node = value;
        break;
    case 'o':
        o->json = true;
        if (strcmp(value, "json") != 0)
            return nd_usage(command, "-o %.40s, expected -o json", value);
        break;
    case LONG_REPEAT:
        repeat = strtoul(value, &end, 10);
        if (*value < '0' || *value > '9' || *end || repeat < 1 || repeat > 100000)
            return nd_usage(command, "--repeat %.40s, expected a number from 1 to 100000", value);
        o->repeat = (uint32_t)repeat;
        break;
    }
    return 0;
}

static int check(const struct nd_options *o, const char *command, unsigned takes, int min, int max,
                 const char *names)
{
    if ((takes & ND_OPT_FILE) && !o->file)
        return nd_usage(command, "no configuration, expected -c FILE");
    if ((takes & ND_OPT_NEED_NODE) && !o->node)
        return nd_usage(command, "no node, expected -n NAME");
    if (o->argc > max)
        return nd_usage(command, "unexpected argument \"%.40s\", expected %s", o->argv[max],
                        max ? names : "none");
    if (o->argc < min)
        return nd_usage(command, "too few arguments, expected %s", names);
    return 0;
}

bool nd_options_number(const char *text, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9' || strlen(text) > 19)
        return false;
    *out = strtoull(text, &end, 10);
    return *end == '\0';
}

static int seen_twice(const char *command, const struct option *own, int c, uint64_t *seen)
{
    unsigned i = 0;

    while (own[i].name && own[i].val != c)
        i++;
    if (!own[i].name || !(*seen >> i & 1)) {
        *seen |= 1ull << i;
        return 0;
    }
    return c < 128 ? nd_usage(command, "option -%c twice, expected once", c)
                   : nd_usage(command, "option --%s twice, expected once", own[i].name);
}

int nd_options_each(const char *command, int argc, char **argv, const char *shorts, const struct option *own,
                    int again, int (*give)(void *to, int option, char *value), void *to)
{
    uint64_t seen = 0;
    int c, error = 0;

    optind = 0;
    opterr = 0;
    while (!error && (c = getopt_long(argc, argv, shorts, own, NULL)) != -1) {
        if (c == ':')
            return nd_usage(command, "option %.40s without a value", argv[optind - 1]);
        if (c == '?')
            return nd_usage(command, "unknown option %.40s", argv[optind - 1]);
        if (c != again)
            error = seen_twice(command, own, c, &seen);
        if (!error)
            error = give(to, c, optarg);
    }
    return error;
}

int nd_options_read(struct nd_options *o, int argc, char **argv, unsigned takes, int min, int max,
                    const char *names)
{
    const char *command = argv[0];
    unsigned seen = 0;
    int c;

    *o = (struct nd_options){.repeat = 1};
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":c:n:o:", longs, NULL)) != -1) {
        unsigned bit = option_bit(c);
        int error;

        if (c == ':')
            return nd_usage(command, "option %.40s without a value", argv[optind - 1]);
        if (!bit || !(takes & bit))
            return nd_usage(command, "unknown option %.40s", bit ? option_name(c) : argv[optind - 1]);
        if (seen & bit)
            return nd_usage(command, "option %s twice, expected once", option_name(c));
        seen |= bit;
        error = take(o, command, c, optarg);
        if (error)
            return error;
    }
    o->argc = argc - optind;
    o->argv = argv + optind;
    return check(o, command, takes, min, max, names);
}

bool nd_options_replaceable(const char *path, const char *const heads[], unsigned count, size_t len)
{
    char there[16] = "";
    struct stat st;
    bool known = false;
    FILE *f;

    if (len > sizeof(there) || stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return true; /* whoever opens it says what is wrong */
    f = fopen(path, "re");
    if (!f)
        return false;
    if (fread(there, len, 1, f) == 1)
        for (unsigned i = 0; i < count; i++)
            known |= memcmp(there, heads[i], len) == 0;
    fclose(f);
    return known;
}
