/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines: parsed by the tables of options.h, with getopt_long; and the tables of the subcommands whose
 * options are among those that most have: configuration, node, JSON. --help, the manual page and the
 * completion are made from these tables.
 */
#include "understudy/config/options.h"
#include "ftcore/base/check.h"
#include "understudy/config/schema.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    static const int exits[] = {
        [-FT_EINVAL] = ND_DATA,     [-FT_EMALFORMED] = ND_DATA,  [-FT_ETRUNC] = ND_DATA,
        [-FT_ECHECKSUM] = ND_DATA,  [-FT_EVERSION] = ND_DATA,    [-FT_EPERM] = ND_NO_PERMISSION,
        [-FT_EPEER] = ND_NO_ANSWER, [-FT_ENOENT] = ND_NO_ANSWER, [-FT_EIO] = ND_NO_ANSWER,
    };
    unsigned index = (unsigned)-error;

    if (error == FT_OK)
        return ND_DONE;
    return index < sizeof(exits) / sizeof(exits[0]) && exits[index] ? exits[index] : ND_SOFTWARE;
}

int nd_exit_of_file(int error)
{
    return error == FT_ENOENT || error == FT_EIO ? ND_DATA : nd_exit_of(error);
}

int nd_exit_of_start(int error)
{
    return error == FT_EPERM                         ? ND_NO_PERMISSION
           : error == FT_EBUSY || error == FT_ENOENT ? ND_NO_ANSWER
           : error == FT_EIO                         ? ND_SOFTWARE
                                                     : ND_DATA;
}

static const char *option_label(const struct nd_option *o, char out[64])
{
    if (o->letter)
        snprintf(out, 64, "-%c", o->letter);
    else
        snprintf(out, 64, "--%s", o->name);
    return out;
}

bool nd_options_number(const char *text, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9' || strlen(text) > 19)
        return false;
    *out = strtoull(text, &end, 10);
    return *end == '\0';
}

/* ---- values ------------------------------------------------------------------------------------ */

static const char *describe_expected(const struct nd_option *o, char out[160])
{
    int n = 0;

    if (o->kind == ND_OPTION_JSON)
        return "-o json";
    if (o->kind == ND_OPTION_CHOICE)
        for (unsigned i = 0; o->choices[i]; i++)
            n += snprintf(out + n, 160 - (size_t)n, "%s%s",
                          i == 0              ? ""
                          : o->choices[i + 1] ? ", "
                                              : " or ",
                          o->choices[i]);
    else if (o->max > 0)
        snprintf(out, 160,
                 o->kind == ND_OPTION_REAL ? "a number from %g to %g" : "a number from %.0f to %.0f", o->min,
                 o->max);
    else
        snprintf(out, 160, "a number");
    return out;
}

static bool read_number(const struct nd_option *o, const char *text, void *out)
{
    uint64_t n = 0;
    double real;
    char *end;

    if (o->kind == ND_OPTION_REAL) {
        real = strtod(text, &end);
        if (*text < '0' || *text > '9' || *end)
            return false;
    } else {
        if (!nd_options_number(text, &n))
            return false;
        real = (double)n;
    }
    if (o->max > 0 && !(real >= o->min && real <= o->max))
        return false;
    if (o->kind == ND_OPTION_REAL)
        *(double *)out = real;
    else if (o->kind == ND_OPTION_U64)
        *(uint64_t *)out = n;
    else
        *(uint32_t *)out = (uint32_t)n;
    return true;
}

static int find_choice(const struct nd_option *o, const char *text)
{
    for (int i = 0; o->choices && o->choices[i]; i++)
        if (strcmp(text, o->choices[i]) == 0)
            return i;
    return -1;
}

/* False: the row does not allow this value. */
static bool read_value(const struct nd_option *o, const char *text, void *out)
{
    switch (o->kind) {
    case ND_OPTION_FLAG:
        return *(bool *)out = true;
    case ND_OPTION_JSON:
        return *(bool *)out = strcmp(text, "json") == 0;
    case ND_OPTION_TEXT:
    case ND_OPTION_FILE:
        *(const char **)out = text;
        return true;
    case ND_OPTION_CHOICE:
        return (*(int *)out = find_choice(o, text)) >= 0;
    default:
        if (find_choice(o, text) != 0)
            return read_number(o, text, out);
        *(uint32_t *)out = 0;
        return true;
    }
}

static int read_option(const struct nd_syntax *syntax, const struct nd_option *o, void *options, char *text)
{
    char name[64], what[160];

    if (o->kind == ND_OPTION_OTHER)
        return o->read(options, text);
    if (read_value(o, text, (char *)options + o->offset))
        return 0;
    return nd_usage(syntax->command, "%s %.40s, expected %s", option_label(o, name), text,
                    describe_expected(o, what));
}

/* ---- command lines ----------------------------------------------------------------------------- */

struct getopt_table {
    struct option longs[ND_OPTION_ROWS + 1]; /* `val` is the row's index */
    char shorts[2 * ND_OPTION_ROWS + 2];
};

static void make_getopt_table(struct getopt_table *out, const struct nd_option *table)
{
    char *shorts = out->shorts;

    *out = (struct getopt_table){.shorts = ""};
    *shorts++ = ':';
    for (int i = 0; table[i].name; i++) {
        bool valued = table[i].kind != ND_OPTION_FLAG;

        out->longs[i] = (struct option){table[i].name, valued ? required_argument : no_argument, NULL, i};
        if (table[i].letter)
            *shorts++ = table[i].letter;
        if (table[i].letter && valued)
            *shorts++ = ':';
    }
}

/* `c` is what getopt_long returned: an index, or a letter, since tables have fewer rows than ' '. */
static unsigned row_of(const struct nd_option *table, int c)
{
    unsigned i = 0;

    if (c <= ' ')
        return (unsigned)c;
    while (table[i].letter != c)
        i++;
    return i;
}

/* In place of -c. What is there and cannot be read is not passed over. */
static int find_file(const struct nd_syntax *s, const struct nd_option *o, const char **out)
{
    const char *named = getenv(ND_FILE_VARIABLE), *preset = o->preset ? o->preset : ND_PAIR_FILE,
               *path = named && *named ? named : preset;

    if (access(path, R_OK) == 0) {
        *out = path;
        return 0;
    }
    if (path != named && errno == ENOENT)
        return nd_usage(s->command, "no %s, expected -c FILE or " ND_FILE_VARIABLE "; there is no %s",
                        o->needed, path);
    fprintf(stderr, "understudy %s: %s (%s): %s, expected a file that can be read, or -c FILE\n", s->command,
            path, path == named ? "by " ND_FILE_VARIABLE : "the default", strerror(errno));
    return errno == EACCES ? ND_NO_PERMISSION : ND_DATA;
}

static int check_arguments(const struct nd_syntax *s, void *options, const struct nd_arguments *rest)
{
    const struct nd_option *file = NULL;
    char name[64];
    bool alone = false;

    for (unsigned i = 0; s->options[i].name; i++)
        alone |= s->options[i].alone && (rest->given >> i & 1);
    for (unsigned i = 0; s->options[i].name && !alone; i++)
        if (s->options[i].needed && s->options[i].kind == ND_OPTION_FILE && !(rest->given >> i & 1))
            file = &s->options[i];
        else if (s->options[i].needed && !(rest->given >> i & 1))
            return nd_usage(s->command, "no %s, expected %s %s", s->options[i].needed,
                            option_label(&s->options[i], name), s->options[i].value);
    if (rest->argc > s->max)
        return nd_usage(s->command, "unexpected argument \"%.40s\", expected %s", rest->argv[s->max],
                        s->max ? s->arguments : "none");
    if (rest->argc < s->min)
        return nd_usage(s->command, "too few arguments, expected %s", s->arguments);
    return file ? find_file(s, file, (const char **)((char *)options + file->offset)) : 0;
}

static int refuse_option(const struct nd_syntax *s, const char *text)
{
    const char *names[ND_OPTION_ROWS + 1] = {NULL}, *near = NULL;
    char name[41];

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, "="), text);
    for (unsigned i = 0; s->options[i].name; i++)
        names[i] = s->options[i].name;
    if (strncmp(name, "--", 2) == 0)
        near = nd_schema_nearest(name + 2, names);
    return nd_usage(s->command, "unknown option %.40s%s%s%s", text, near ? ", did you mean --" : "",
                    near ? near : "", near ? "?" : "");
}

int nd_syntax_read(const struct nd_syntax *s, void *options, int argc, char **argv, struct nd_arguments *rest)
{
    struct getopt_table known;
    char name[64];
    int c, error = 0;

    *rest = (struct nd_arguments){.given = 0};
    for (const struct nd_option *o = s->options; o->name; o++)
        if (o->preset)
            read_value(o, o->preset, (char *)options + o->offset);
        else if (o->kind == ND_OPTION_CHOICE)
            *(int *)((char *)options + o->offset) = -1;
    make_getopt_table(&known, s->options);
    optind = 0;
    opterr = 0;
    while (!error && (c = getopt_long(argc, argv, known.shorts, known.longs, NULL)) != -1) {
        const char letter[] = {'-', (char)optopt, '\0'}; /* of several, which are one argument */
        const char *what = optopt > ' ' ? letter : argv[optind - 1];

        if (c == ':')
            return nd_usage(s->command, "option %.40s without a value", what);
        if (c == '?')
            return refuse_option(s, what);
        unsigned row = row_of(s->options, c);

        if ((rest->given >> row & 1) && !s->options[row].again)
            return nd_usage(s->command, "option %s twice, expected once",
                            option_label(&s->options[row], name));
        rest->given |= 1u << row;
        error = read_option(s, &s->options[row], options, optarg);
    }
    rest->argc = argc - optind;
    rest->argv = argv + optind;
    return error ? error : check_arguments(s, options, rest);
}

static void print_option(const struct nd_option *o)
{
    bool found = o->kind == ND_OPTION_FILE && o->needed;
    const char *preset = found && !o->preset ? ND_PAIR_FILE : o->preset;
    int n = printf("  %c%c%c --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                   o->letter ? ',' : ' ', o->name, o->value ? " " : "", o->value ? o->value : "");

    printf("%*s%s%s%s%s%s\n", n < 34 ? 34 - n : 1, "", o->help, preset ? " (default " : "",
           found ? ND_FILE_VARIABLE ", else " : "", preset ? preset : "", preset ? ")" : "");
}

void nd_syntax_usage(const struct nd_syntax *s, char *out, size_t cap, size_t width)
{
    const char *gap = *s->arguments ? " " : "";
    size_t n = 0;
    char name[64];

    for (const struct nd_option *o = s->options; o->name && n < cap; o++) {
        bool must = o->needed && o->kind != ND_OPTION_FILE;

        n += (size_t)snprintf(out + n, cap - n, "%s%s%s%s%s%s%s", n ? " " : "", must ? "" : "[",
                              option_label(o, name), o->value ? " " : "", o->value ? o->value : "",
                              must ? "" : "]", o->again ? "..." : "");
    }
    if (n < cap)
        n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? gap : "", s->arguments);
    if (n >= cap || n > width)
        snprintf(out, cap, "[OPTION]...%s%s", gap, s->arguments);
}

void nd_syntax_print(const struct nd_syntax *s, const char *summary)
{
    char usage[2048];

    nd_syntax_usage(s, usage, sizeof(usage), sizeof(usage));
    printf("%s%s\n%s\n", *usage ? " " : "", usage, summary);
    for (const struct nd_option *o = s->options; o->name; o++)
        print_option(o);
}

void nd_complain(const char *command, const char *text)
{
    fprintf(stderr, "understudy %s: %s\n", command, text);
}

int nd_print_json(const json_t *object)
{
    int failed = json_dumpf(object, stdout, JSON_COMPACT);

    return failed || putchar('\n') == EOF ? ND_SOFTWARE : ND_DONE;
}

bool nd_options_replaceable(const char *path, const char *const heads[], unsigned count, size_t len)
{
    char there[16] = "";
    struct stat st;
    bool known = false;
    FILE *f;

    if (len > sizeof(there) || stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return true; /* whoever opens it reports what is wrong */
    f = fopen(path, "re");
    if (!f)
        return false;
    if (fread(there, len, 1, f) == 1)
        for (unsigned i = 0; i < count; i++)
            known |= memcmp(there, heads[i], len) == 0;
    fclose(f);
    return known;
}

/* ---- the subcommands that have the common options alone ----------------------------------------- */

#define FILE_ROW ND_OPTION_FILE_ROW(offsetof(struct nd_options, file), "configuration")
#define NODE_ROW ND_OPTION_NODE_ROW(offsetof(struct nd_options, node))
#define JSON_ROW ND_OPTION_JSON_ROW(offsetof(struct nd_options, json))
#define END                                                                                                  \
    {                                                                                                        \
        .name = NULL                                                                                         \
    }

static const struct nd_option pair[] = {FILE_ROW, NODE_ROW, JSON_ROW, END};
static const struct nd_option nodes[] = {FILE_ROW, NODE_ROW, END};
static const struct nd_option check[] = {FILE_ROW,
                                         NODE_ROW,
                                         JSON_ROW,
                                         {"try", 0, ND_OPTION_FLAG, offsetof(struct nd_options, tries),
                                          .help = "open what the node would open, and close it again"},
                                         {"host", 0, ND_OPTION_FLAG, offsetof(struct nd_options, host),
                                          .alone = true,
                                          .help = "whether this machine is fit for a node, without a file"},
                                         END};
static const struct nd_option repair[] = {
    FILE_ROW,
    NODE_ROW,
    JSON_ROW,
    {"view", 0, ND_OPTION_U64, offsetof(struct nd_options, view), .min = 1, .max = 1e18, .value = "N",
     .help = "only while the pair is in this view"},
    {"lost", 0, ND_OPTION_TEXT, offsetof(struct nd_options, lost), .value = "NODE",
     .help = "of a strict pair: this standby is dead, and did not take over"},
    END};
static const struct nd_option change[] = {FILE_ROW,
                                          NODE_ROW,
                                          JSON_ROW,
                                          {"dry-run", 0, ND_OPTION_FLAG, offsetof(struct nd_options, dry),
                                           .help = "say what would change, and change nothing"},
                                          {"confirm", 0, ND_OPTION_U32, offsetof(struct nd_options, confirm),
                                           .min = 10, .max = 86400, .value = "SECONDS",
                                           .help = "go back by itself then, unless `confirm` is said"},
                                          END};
static const struct nd_option push[] = {
    FILE_ROW,
    NODE_ROW,
    JSON_ROW,
    {"diff", 0, ND_OPTION_FLAG, offsetof(struct nd_options, dry),
     .help = "say which files the other node would get, and change nothing"},
    END};
static const struct nd_option watch[] = {FILE_ROW,
                                         NODE_ROW,
                                         JSON_ROW,
                                         {"event", 0, ND_OPTION_TEXT, offsetof(struct nd_options, event),
                                          .value = "NAME",
                                          .help = "events of this name alone, such as command"},
                                         {"past", 0, ND_OPTION_FLAG, offsetof(struct nd_options, past),
                                          .help = "those that the nodes still have, and no more"},
                                         END};
static const struct nd_option json[] = {JSON_ROW, END};
static const struct nd_option none[] = {END};

const struct nd_syntax nd_common_syntaxes[] = {
    {"run", nodes, "", 0, 0},
    {"keeper", pair, "[status]", 0, 1},
    {"check", check, "", 0, 0},
    {"key", none, "FILE", 1, 1},
    {"version", json, "", 0, 0},
    {"help", none, "[SUBCOMMAND|TOPIC]", 0, 1},
    {"status", pair, "", 0, 0},
    {"watch", watch, "", 0, 0},
    {"incidents", pair, "", 0, 0},
    {"top", nodes, "", 0, 0},
    {"verify", pair, "", 0, 0},
    {"promote", pair, "", 0, 0},
    {"drain", pair, "", 0, 0},
    {"resync", pair, "", 0, 0},
    {"re-pair", repair, "NODE", 1, 1},
    {"failback", pair, "", 0, 0},
    {"pin", pair, "NODE", 1, 1},
    {"hold", pair, "", 0, 0},
    {"unpin", pair, "", 0, 0},
    {"apply", change, "", 0, 0},
    {"rollback", change, "N", 1, 1},
    {"confirm", pair, "", 0, 0},
    {"history", pair, "", 0, 0},
    {"push", push, "", 0, 0},
    {"set", pair, "NF KEY=VALUE", 2, 2},
    {"clear", pair, "NF|counters|quarantine [KEY|NF]", 1, 2},
    {.command = NULL},
};

const struct nd_syntax *nd_common_syntax(const char *command)
{
    const struct nd_syntax *s = nd_common_syntaxes;

    while (s->command && strcmp(s->command, command) != 0)
        s++;
    FT_CHECK(s->command, "no table of options for %s", command);
    return s;
}

int nd_options_read(struct nd_options *o, int argc, char **argv)
{
    struct nd_arguments rest;
    int error;

    *o = (struct nd_options){.file = NULL};
    error = nd_syntax_read(nd_common_syntax(argv[0]), o, argc, argv, &rest);
    o->argc = rest.argc;
    o->argv = rest.argv;
    return error;
}
