/* SPDX-License-Identifier: Apache-2.0 */
/* The options of replay: its table for node/control/options.h, and which options exclude or need each other.
 */
#include "node/config/schema.h"
#include "node/control/options.h"
#include "tools/replay/replay.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define AT(field) offsetof(struct nd_replay_options, field)

static int read_kill(void *options, char *value)
{
    struct nd_replay_options *o = options;
    struct nd_kill kill = {.primary = strncmp(value, "primary@", 8) == 0};
    unsigned i;

    if ((!kill.primary && strncmp(value, "standby@", 8) != 0) || !nd_options_number(value + 8, &kill.at) ||
        kill.at == 0)
        return nd_usage("replay", "--kill %.40s, expected primary@PACKET or standby@PACKET, counted from 1",
                        value);
    if (o->kill_count == ND_KILLS_MAX)
        return nd_usage("replay", "more than %u kills, expected no more", ND_KILLS_MAX);
    for (i = o->kill_count++; i > 0 && o->kills[i - 1].at > kill.at; i--)
        o->kills[i] = o->kills[i - 1];
    o->kills[i] = kill;
    return 0;
}

static int read_inside(void *options, char *value)
{
    struct nf_networks *inside = &((struct nd_replay_options *)options)->inside;
    char entry[64];

    for (const char *at = value;; at++) {
        size_t len = strcspn(at, ",");

        snprintf(entry, sizeof(entry), "%.*s", (int)len, at);
        if (len >= sizeof(entry) || inside->ipv4.count + inside->count == NF_PREFIXES_MAX ||
            !nd_parse_network(entry, inside))
            return nd_usage("replay",
                            "--inside %.80s: '%s', expected at most %u networks A.B.C.D/N or of IPv6, "
                            "without host bits, with commas between them",
                            value, entry, NF_PREFIXES_MAX);
        at += len;
        if (!*at)
            return 0;
    }
}

static int read_log(void *options, char *value)
{
    struct nd_replay_options *o = options;
    unsigned n = 0;

    while (o->log[n])
        n++;
    if (n == ND_LOGS_MAX)
        return nd_usage("replay", "--log %.40s, expected %u of them at most", value, ND_LOGS_MAX);
    o->log[n] = value;
    return 0;
}

static int read_moment(const char *name, struct nd_moment *out, const char *value)
{
    return nd_moment_read(out, value)
               ? 0
               : nd_usage("replay",
                          "--%s %.40s, expected LANE:SEQ, a time as 2026-11-22T07:48:25.123Z, or "
                          "SECONDS.NANOSECONDS of chain time",
                          name, value);
}

static int read_at(void *options, char *value)
{
    return read_moment("at", &((struct nd_replay_options *)options)->at, value);
}

static int read_until(void *options, char *value)
{
    return read_moment("until", &((struct nd_replay_options *)options)->until, value);
}

#define CAPTURE_ROWS 9u /* the first rows: what has a meaning with a capture alone */

static const struct nd_option rows[] = {
    {"kill", 0, ND_OPTION_OTHER, .read = read_kill, .again = true, .value = "primary@K|standby@K",
     .help = "kill this node when the primary has taken packet K"},
    {"mode", 0, ND_OPTION_CHOICE, AT(mode), .choices = nd_modes, .value = "log|delta|auto|off",
     .help = "in place of the file's"},
    {"lanes", 0, ND_OPTION_U32, AT(lanes), 1, FT_LANES_MAX, .value = "N", .help = "in place of the file's"},
    {"standby", 0, ND_OPTION_CHOICE, AT(standby), .choices = nd_standbys, .value = "hot|warm",
     .help = "in place of the file's"},
    {"seed", 0, ND_OPTION_U64, AT(seed), .preset = "1", .value = "N",
     .help = "of the NFs' random numbers and of the kills' moments"},
    {"no-input-keeper", 0, ND_OPTION_FLAG, AT(no_input_keeper),
     .help = "nothing in front of the pair keeps inputs"},
    {"speed", 0, ND_OPTION_FLAG, AT(speed), .help = "measure replay beside live work"},
    {"fast", 0, ND_OPTION_FLAG, AT(fast), .help = "without the audit of what NFs write and read"},
    {"inside", 0, ND_OPTION_OTHER, .read = read_inside, .value = "NETWORK,...",
     .help = "in place of nat's `inside`: which side packets come from"},
    ND_OPTION_FILE_ROW(AT(config), "chain"),
    {"write", 'w', ND_OPTION_TEXT, AT(output), .value = "OUT.pcap", .help = "write what left the chain"},
    {"log", 0, ND_OPTION_OTHER, .read = read_log, .again = true, .value = "DIR",
     .help = "in place of a capture: execute what recorders kept there"},
    {"at", 0, ND_OPTION_OTHER, .read = read_at, .value = "LANE:SEQ|TIME",
     .help = "with --log: the state at this moment; with --until the moment at which -w, --inputs and --diff "
             "begin"},
    {"until", 0, ND_OPTION_OTHER, .read = read_until, .value = "LANE:SEQ|TIME",
     .help = "with --log: stop there"},
    {"show", 0, ND_OPTION_TEXT, AT(show), .value = "NF",
     .help = "what `show NF` says at the end; with --log: at the moment"},
    {"diff", 0, ND_OPTION_FLAG, AT(diff),
     .help = "with --at and --until: rows of the NFs and counters that differ between the two"},
    {"inputs", 0, ND_OPTION_TEXT, AT(inputs), .value = "IN.pcap",
     .help = "with --log: write what came in, as -w writes what left"},
    {"crash", 0, ND_OPTION_TEXT, AT(crash), .value = "DIR",
     .help = "in place of a capture: execute again what `incidents` has in DIR, and compare"},
    {"gdb", 0, ND_OPTION_FLAG, AT(gdb),
     .help = "with --crash, or --log and --at LANE:SEQ: under gdb, stopped before the packet"},
    ND_OPTION_JSON_ROW(AT(json)),
    {.name = NULL},
};

const struct nd_syntax nd_replay_syntax = {"replay", rows, "[IN.pcap]", 0, 1};

/* What only a capture needs has no sense with a log, and the other way round. */
static int check_log(const struct nd_replay_options *o, const struct nd_arguments *rest)
{
    if (!o->log[0] && (o->at.kind || o->until.kind || o->inputs || o->diff))
        return nd_usage("replay",
                        "--at, --until, --inputs or --diff without --log, expected a log with them");
    if (o->gdb && !o->crash && o->at.kind != ND_MOMENT_INPUT)
        return nd_usage("replay", "--gdb, expected --crash, or --log and --at LANE:SEQ with it");
    if (o->crash && (o->at.kind || o->until.kind || o->show || o->inputs || o->diff || o->output))
        return nd_usage("replay",
                        "--at, --until, --show, --inputs, --diff or -w with --crash, expected --log at most");
    if (!o->log[0] && !o->crash)
        return 0;
    if (o->diff && !(o->at.kind && o->until.kind))
        return nd_usage("replay", "--diff, expected --at and --until with it");
    if (o->at.kind && o->at.kind == o->until.kind && o->at.lane == o->until.lane &&
        (o->at.seq > o->until.seq || o->at.time > o->until.time))
        return nd_usage("replay", "--at %s is behind --until %s, expected it before", o->at.text,
                        o->until.text);
    if (rest->argc)
        return nd_usage("replay", "a capture and --%s, expected one of them", o->crash ? "crash" : "log");
    if (rest->given & ((1u << CAPTURE_ROWS) - 1))
        return nd_usage(
            "replay",
            "--kill, --mode, --lanes, --standby, --seed, --no-input-keeper, --speed, --fast or --inside "
            "with --%s, expected a capture with them",
            o->crash ? "crash" : "log");
    return 0;
}

/* What is written over while it is read is lost. */
static bool same_file(const char *one, const char *other)
{
    struct stat a, b;

    return stat(one, &a) == 0 && stat(other, &b) == 0 && S_ISREG(a.st_mode) && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* A recording, a chain or its rules are not captures, and a capture that is read is not written. */
static bool is_writable(const char *path)
{
    static const char *const heads[] = {"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1",
                                        "\xa1\xb2\x3c\x4d", "\x0a\x0d\x0d\x0a"};

    return nd_options_replaceable(path, heads, sizeof(heads) / sizeof(heads[0]), 4);
}

int nd_replay_options_read(struct nd_replay_options *o, int argc, char **argv)
{
    struct nd_arguments rest;
    int error;

    *o = (struct nd_replay_options){.config = NULL};
    error = nd_syntax_read(&nd_replay_syntax, o, argc, argv, &rest);
    if (error)
        return error;
    if ((o->output && !is_writable(o->output)) || (o->inputs && !is_writable(o->inputs)))
        return nd_usage("replay", "%.40s, expected a capture to replace, or a name that is free",
                        o->output && !is_writable(o->output) ? o->output : o->inputs);
    error = check_log(o, &rest);
    if (error || o->log[0] || o->crash)
        return error;
    if (rest.argc == 0)
        return nd_usage("replay", "no capture, expected IN.pcap");
    o->input = rest.argv[0];
    if (o->output && same_file(o->input, o->output))
        return nd_usage("replay", "-w %.40s, expected another file than the capture", o->output);
    return 0;
}
