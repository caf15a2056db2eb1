/* SPDX-License-Identifier: Apache-2.0 */
/* The options of replay. They are no other subcommand's, so they are not in options.c. */
#include "node/control/options.h"
#include "tools/replay/replay.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COMMAND      "replay"
#define SEED_DEFAULT 1u

enum {
    LONG_LANES = 256,
    LONG_MODE,
    LONG_STANDBY,
    LONG_KILL,
    LONG_NO_GATE,
    LONG_SEED,
    LONG_LOG,
    LONG_UNTIL,
    LONG_SPEED
};

static const struct option longs[] = {
    {"config", required_argument, NULL, 'c'},
    {"output", required_argument, NULL, 'o'},
    {"write", required_argument, NULL, 'w'},
    {"lanes", required_argument, NULL, LONG_LANES},
    {"mode", required_argument, NULL, LONG_MODE},
    {"standby", required_argument, NULL, LONG_STANDBY},
    {"kill", required_argument, NULL, LONG_KILL},
    {"no-gate", no_argument, NULL, LONG_NO_GATE},
    {"seed", required_argument, NULL, LONG_SEED},
    {"log", required_argument, NULL, LONG_LOG},
    {"until", required_argument, NULL, LONG_UNTIL},
    {"speed", no_argument, NULL, LONG_SPEED},
    {NULL, 0, NULL, 0},
};

static int take_lanes(struct nd_replay_options *o, const char *value)
{
    uint64_t n;

    if (!nd_options_number(value, &n) || n < 1 || n > FT_LANES_MAX)
        return nd_usage(COMMAND, "--lanes %.40s, expected a number from 1 to %u", value, FT_LANES_MAX);
    o->lanes = (unsigned)n;
    return 0;
}

/* -1: none of the names. */
static int index_of(const char *const *names, const char *value)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(value, names[i]) == 0)
            return i;
    return -1;
}

static int take_mode(struct nd_replay_options *o, const char *value)
{
    o->mode = index_of(nd_modes, value);
    if (o->mode < 0)
        return nd_usage(COMMAND, "--mode %.40s, expected log, delta, auto or off", value);
    return 0;
}

static int take_standby(struct nd_replay_options *o, const char *value)
{
    o->standby = index_of(nd_standbys, value);
    if (o->standby < 0)
        return nd_usage(COMMAND, "--standby %.40s, expected hot or warm", value);
    return 0;
}

static int take_kill(struct nd_replay_options *o, const char *value)
{
    struct nd_kill kill = {.primary = strncmp(value, "primary@", 8) == 0};
    unsigned i;

    if ((!kill.primary && strncmp(value, "standby@", 8) != 0) || !nd_options_number(value + 8, &kill.at) ||
        kill.at == 0)
        return nd_usage(COMMAND, "--kill %.40s, expected primary@PACKET or standby@PACKET, counted from 1",
                        value);
    if (o->kill_count == ND_KILLS_MAX)
        return nd_usage(COMMAND, "more than %u kills, expected no more", ND_KILLS_MAX);
    for (i = o->kill_count++; i > 0 && o->kills[i - 1].at > kill.at; i--)
        o->kills[i] = o->kills[i - 1];
    o->kills[i] = kill;
    return 0;
}

static int take_until(struct nd_replay_options *o, char *value)
{
    char *colon = strchr(value, ':');

    o->until = colon != NULL;
    if (colon)
        *colon = '\0';
    if (!colon || !nd_options_number(value, &o->until_lane) || !nd_options_number(colon + 1, &o->until_seq))
        return nd_usage(COMMAND, "--until %.40s, expected LANE:CLOCK", value);
    return 0;
}

/* What only a capture needs has no sense with a log, and the other way round. */
static int check_log(const struct nd_replay_options *o, int arguments)
{
    if (!o->log)
        return o->until ? nd_usage(COMMAND, "--until without --log, expected both") : 0;
    if (arguments)
        return nd_usage(COMMAND, "a capture and --log, expected one of them");
    if (o->kill_count || o->no_gate || o->speed || o->mode >= 0 || o->lanes || o->standby >= 0 || o->seeded)
        return nd_usage(COMMAND,
                        "--kill, --mode, --lanes, --standby, --seed, --no-gate or --speed with --log, "
                        "expected a capture with them");
    return 0;
}

/* What is written over while it is read is lost. */
static bool same_file(const char *one, const char *other)
{
    struct stat a, b;

    return stat(one, &a) == 0 && stat(other, &b) == 0 && S_ISREG(a.st_mode) && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static int take(void *to, int c, char *value)
{
    struct nd_replay_options *o = to;

    switch (c) {
    case 'c':
        o->config = value;
        return 0;
    case 'w':
        o->output = value;
        return 0;
    case 'o':
        o->json = true;
        return strcmp(value, "json") == 0 ? 0 : nd_usage(COMMAND, "-o %.40s, expected -o json", value);
    case LONG_LANES:
        return take_lanes(o, value);
    case LONG_MODE:
        return take_mode(o, value);
    case LONG_STANDBY:
        return take_standby(o, value);
    case LONG_KILL:
        return take_kill(o, value);
    case LONG_LOG:
        o->log = value;
        return 0;
    case LONG_UNTIL:
        return take_until(o, value);
    case LONG_SPEED:
        o->speed = true;
        return 0;
    case LONG_NO_GATE:
        o->no_gate = true;
        return 0;
    default:
        o->seeded = true;
        return nd_options_number(value, &o->seed)
                   ? 0
                   : nd_usage(COMMAND, "--seed %.40s, expected a number", value);
    }
}

/* A recording, a chain or its rules are not captures, and a capture that is read is not written. */
static bool writable(const char *path)
{
    static const char *const heads[] = {"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1",
                                        "\xa1\xb2\x3c\x4d", "\x0a\x0d\x0d\x0a"};

    return nd_options_replaceable(path, heads, sizeof(heads) / sizeof(heads[0]), 4);
}

int nd_replay_options_read(struct nd_replay_options *o, int argc, char **argv)
{
    int error;

    *o = (struct nd_replay_options){.mode = -1, .standby = -1, .seed = SEED_DEFAULT};
    error = nd_options_each(COMMAND, argc, argv, ":c:o:w:", longs, LONG_KILL, take, o);
    if (error)
        return error;
    if (!o->config)
        return nd_usage(COMMAND, "no chain, expected -c FILE");
    if (o->output && !writable(o->output))
        return nd_usage(COMMAND, "-w %.40s, expected a capture to replace, or a name that is free",
                        o->output);
    error = check_log(o, argc - optind);
    if (error || o->log)
        return error;
    if (argc - optind != 1)
        return nd_usage(COMMAND, argc == optind ? "no capture, expected IN.pcap"
                                                : "more than one capture, expected one IN.pcap");
    o->input = argv[optind];
    if (o->output && same_file(o->input, o->output))
        return nd_usage(COMMAND, "-w %.40s, expected another file than the capture", o->output);
    return 0;
}
