/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `understudy fleet VERB`: what people see of a fleet and order it to do, from wherever etcd is reached. It
 * reads the keys once, and writes wishes alone: the leader carries them out. `agent` is agent.c's.
 */
#include "fleet/check.h"
#include "fleet/fleet.h"
#include "fleet/here.h"
#include "fleet/picture.h"
#include "fleet/reader.h"
#include "fleet/rights.h"
#include "fleet/steward.h"
#include "fleet/stray.h"
#include "ftcore/base/clock.h"
#include "understudy/config/schema.h"
#include "understudy/etcd/store.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fleet_options {
    const char *file, *server, *user;
    uint64_t view; /* 0: not given */
    uint64_t wait; /* s; 0: does not */
    bool json;
};

#define AT(field) offsetof(struct fleet_options, field)
static const struct nd_option rows[] = {
    {"config", 'c', ND_OPTION_FILE, AT(file), .preset = "/etc/understudy/fleet.yaml",
     .needed = "fleet's file", .value = "FILE", .help = "fleet's file"},
    {"server", 'n', ND_OPTION_TEXT, AT(server), .value = "NAME",
     .help = "agent: the server that it runs on; upgrade: that one alone"},
    {"user", 'u', ND_OPTION_TEXT, AT(user), .value = "NAME",
     .help = "agent, check: of the system; what hears etcd and reads the file is it, without rights"},
    {"view", 0, ND_OPTION_U64, AT(view), .min = 1, .max = 1e18, .value = "N",
     .help = "move: only while the shard is in view N"},
    {"wait", 0, ND_OPTION_U64, AT(wait), .min = 1, .max = 86400, .value = "SECONDS",
     .help = "drain, pin, move, remove, upgrade: until it is done, for so long at most"},
    ND_OPTION_JSON_ROW(AT(json)),
    {.name = NULL},
};
#undef AT

const struct nd_syntax fl_fleet_syntax = {
    "fleet", rows,
    "check|rights|agent|status|plan|drain SERVER|undrain SERVER|pin SHARD SERVER|unpin SHARD|move SHARD "
    "SERVER|unmove SHARD|remove SHARD|unremove SHARD|upgrade|unupgrade",
    1, 3};

struct command {
    struct fl_file *file;
    struct fleet_options options;
    int argc;
    char **argv; /* behind the verb */
    struct nd_etcd *etcd;
    struct nd_keys keys;
    struct fl_picture picture;
    struct fl_plan *plan;
    int steward; /* -1: it is no agent, or none that can begin */
};

/* Prints the fault as one line on stderr. Returns the exit code. */
static int fail(int error, const struct ft_fault *fault)
{
    fprintf(stderr, "understudy: %s\n", fault->text);
    return error == FT_EIO || error == FT_EBUSY ? ND_NO_ANSWER : nd_exit_of(error);
}

/* ---- check -------------------------------------------------------------------------------------- */

static int check(struct command *c)
{
    uint32_t here = fl_here(c->file);
    struct ft_fault fault = {""};

    c->file->self = here;
    int error = fl_check(c->file, stderr, &fault);

    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    (void)fl_rights_judge(c->file, stderr);
    printf("fleet %s: %u servers, %u shards, each with pair files that can be read, and nothing in common\n",
           c->file->name, c->file->servers, c->file->shards);
    fl_stray_find(c->file);
    for (uint32_t i = c->file->shards; i < fl_file_all_shards(c->file); i++)
        fprintf(stderr,
                "understudy: shard %s is not in this file, and was run here: fleet remove %s ends it\n",
                c->file->shard[i].name, c->file->shard[i].name);
    if (c->file->user[0] && !getpwnam(c->file->user))
        fprintf(stderr, "understudy: user %s is not here: each server needs that user, whose nodes are\n",
                c->file->user);
    error = fl_file_speak_as(c->file, here == FL_NONE ? FL_OPERATOR : c->file->server[here].name, &fault);
    if (!error)
        return fl_here_judge(c->file, c->options.user ? c->options.user : "", stderr);
    fprintf(stderr, "%s\n", fault.text);
    return nd_exit_of_file(error);
}

static int print_rights(struct command *c)
{
    struct ft_fault fault = {""};
    int error = fl_rights_print(c->file, stdout, &fault);

    if (!error)
        return ND_DONE;
    fprintf(stderr, "understudy: %s\n", fault.text);
    return nd_exit_of_file(error);
}

/* ---- what stands in etcd ------------------------------------------------------------------------ */

static int open_etcd(struct command *c, struct ft_fault *fault)
{
    static const struct nd_etcd_limits limits = {.reply = ND_STORE_REPLY, .request_ms = 2000};

    int error = fl_file_speak_as(c->file, FL_OPERATOR, fault);

    return error ? error : nd_etcd_open(&c->etcd, &c->file->etcd, &limits, NULL, NULL, fault);
}

static void forget(struct command *c)
{
    fl_plan_free(c->plan);
    c->plan = NULL;
    if (c->picture.file)
        fl_picture_free(&c->picture);
    nd_keys_clear(&c->keys);
}

/* What was seen before is forgotten. */
static int look(struct command *c)
{
    char prefix[FL_KEY_MAX];
    struct ft_fault fault = {""};
    int64_t revision;
    int error = c->etcd ? 0 : open_etcd(c, &fault);

    forget(c);
    if (!error)
        error = nd_store_read(c->etcd, fl_key(prefix, c->file, "", ""), &c->keys, &revision, &fault);
    if (!error)
        error = fl_picture_make(&c->picture, c->file, &c->keys, NULL, ft_wall() / 1000000000, &fault);
    if (!error)
        error = fl_plan_make(&c->plan, &c->picture.fleet, &fault);
    return error ? fail(error, &fault) : ND_DONE;
}

/* No node reports the shard, and a server of it has no agent that could: it may be protected. */
static bool is_unknown(const struct command *c, uint32_t i)
{
    const struct fl_shard *s = &c->picture.shard[i];

    return s->known && s->says[0] == FL_SAYS_NOTHING && s->says[1] == FL_SAYS_NOTHING &&
           (!c->picture.server[s->member[0]].lease || !c->picture.server[s->member[1]].lease);
}

static uint32_t count_unknown(const struct command *c)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->file->shards; i++)
        count += is_unknown(c, i);
    return count;
}

/* A shard's state, for people: what its primary reports, else what any member reports. */
static const char *state_of(const struct fl_shard *s)
{
    if (!s->known)
        return "NEW";
    if (s->primary != FL_NONE)
        return fl_says_name(s->says[s->primary]);
    return fl_says_name(s->says[0] != FL_SAYS_NOTHING ? s->says[0] : s->says[1]);
}

static const char *server_name(const struct command *c, uint32_t server)
{
    return server == FL_NONE ? NULL : c->file->server[server].name;
}

static json_t *server_json(const struct command *c, uint32_t i)
{
    const struct fl_server *s = &c->picture.server[i];
    const struct fl_view *v = &c->plan->view[i];

    return json_pack("{s:s, s:b, s:b, s:b, s:i, s:i, s:f, s:f, s:s?}", "server", s->name, "lease", s->lease,
                     "drained", s->drained, "unlisted", s->unlisted, "nodes", (int)v->nodes, "primaries",
                     (int)v->primaries, "full", v->full, "worst", v->worst, "worst_when",
                     server_name(c, v->worst_when));
}

static json_t *shard_json(const struct command *c, uint32_t i)
{
    const struct fl_shard *s = &c->picture.shard[i];
    const struct fl_step *step = &c->plan->step[i];
    char why[FL_WHY_MAX];
    json_t *o = json_pack(
        "{s:s, s:s, s:I, s:o, s:s, s:s}", "shard", s->name, "state", state_of(s), "view", (json_int_t)s->view,
        "protected", is_unknown(c, i) ? json_null() : json_boolean(!step->unprotected), "waits",
        fl_wait_name(step->wait), "why", fl_plan_explain(c->plan, &c->picture.fleet, i, why));

    if (s->known) {
        uint32_t first = s->primary == FL_NONE ? 0 : s->primary;

        json_object_set_new(
            o, "members",
            json_pack("[s,s]", server_name(c, s->member[first]), server_name(c, s->member[!first])));
        json_object_set_new(o, "primary",
                            s->primary == FL_NONE ? json_null()
                                                  : json_string(server_name(c, s->member[s->primary])));
    }
    if (step->kind != FL_LEAVE) {
        json_object_set_new(o, "next", json_string(fl_kind_name(step->kind)));
        json_object_set_new(o, "cause", json_string(fl_cause_name(step->cause)));
        json_object_set_new(o, "to",
                            json_pack("[s,s*]", server_name(c, step->to[0]), server_name(c, step->to[1])));
    }
    return o;
}

/* Of shards that the file does not have any more: the next one from *i on of which there is something;
 * FL_NONE.
 */
static uint32_t next_stray(const struct command *c, uint32_t *i)
{
    while (*i < fl_file_all_shards(c->file))
        if (fl_stray_is(&c->picture, &c->keys, (*i)++))
            return *i - 1;
    return FL_NONE;
}

static bool is_to_end(const struct command *c, uint32_t stray)
{
    return fl_key_find(&c->keys, c->file, "wishes/remove/", c->file->shard[stray].name) != NULL;
}

static json_t *strays_json(const struct command *c)
{
    json_t *strays = json_array();

    for (uint32_t at = c->file->shards, i; (i = next_stray(c, &at)) != FL_NONE;) {
        json_t *on = json_object();

        for (uint32_t k = 0; k < c->picture.fleet.servers; k++) {
            const char *state = fl_stray_on(&c->picture, i, k);

            if (state)
                json_object_set_new(on, c->picture.server[k].name,
                                    state[0] ? json_string(state) : json_null());
        }
        json_array_append_new(strays, json_pack("{s:s, s:o, s:b}", "shard", c->file->shard[i].name, "on", on,
                                                "removing", is_to_end(c, i)));
    }
    return strays;
}

static void print_strays(const struct command *c)
{
    for (uint32_t at = c->file->shards, i; (i = next_stray(c, &at)) != FL_NONE;) {
        const char *between = " ";

        printf("%-16s not in the file:", c->file->shard[i].name);
        for (uint32_t k = 0; k < c->picture.fleet.servers; k++) {
            const char *state = fl_stray_on(&c->picture, i, k);

            if (!state)
                continue;
            printf("%s%s on %s", between, state[0] ? state : "its files", c->picture.server[k].name);
            between = ", ";
        }
        printf("%s; %s", *between == ' ' ? " its keys" : "",
               is_to_end(c, i) ? "it is being removed" : "fleet remove ends it");
        for (uint32_t k = 0; k < c->picture.fleet.servers; k++)
            if (c->picture.server[k].lease && !c->picture.said[k].unreadable && !c->picture.said[k].tells)
                printf("; upgrade %s, whose agent does not tell of it", c->picture.server[k].name);
        printf("\n");
    }
}

static int print_json(const struct command *c)
{
    json_t *servers = json_array(), *shards = json_array(), *both = NULL, *o;

    for (uint32_t i = 0; i < c->picture.fleet.servers; i++)
        json_array_append_new(servers, server_json(c, i));
    for (uint32_t i = 0; i < c->file->shards; i++)
        json_array_append_new(shards, shard_json(c, i));
    if (c->plan->both.shards)
        both = json_pack("{s:[s,s], s:i, s:i}", "servers", server_name(c, c->plan->both.a),
                         server_name(c, c->plan->both.b), "shards", (int)c->plan->both.shards, "pairs",
                         (int)c->plan->both.pairs);
    o = json_pack("{s:s, s:s?, s:i, s:i, s:b, s:i, s:i, s:i, s:o, s:o, s:o, s:o?}", "fleet", c->file->name,
                  "leader", c->picture.leader[0] ? c->picture.leader : NULL, "unprotected",
                  (int)(c->plan->unprotected - count_unknown(c)), "unknown", (int)count_unknown(c), "stopped",
                  c->plan->stopped, "gone", (int)c->plan->gone, "were", (int)c->plan->were, "unreadable",
                  (int)c->picture.unreadable, "servers", servers, "shards", shards, "strays", strays_json(c),
                  "both", both);
    int failed = json_dumpf(o, stdout, JSON_COMPACT);

    json_decref(o);
    return failed || putchar('\n') == EOF ? ND_SOFTWARE : ND_DONE;
}

static void print_servers(const struct command *c)
{
    for (uint32_t i = 0; i < c->picture.fleet.servers; i++) {
        const struct fl_server *s = &c->picture.server[i];
        const struct fl_view *v = &c->plan->view[i];

        printf("%-16s %-8s %u nodes, %u of them primary", s->name,
               s->unlisted  ? "not in the file"
               : s->drained ? "drained"
               : s->lease   ? "well"
                            : "gone",
               v->nodes, v->primaries);
        if (s->lease)
            printf("; %.0f %% full", 100 * v->full);
        if (v->worst_when != FL_NONE)
            printf(", %.0f %% if %s dies", 100 * v->worst, server_name(c, v->worst_when));
        putchar('\n');
    }
}

/* Returns how many. */
static uint32_t print_shards(const struct command *c, bool all)
{
    uint32_t printed = 0;

    for (uint32_t i = 0; i < c->file->shards; i++) {
        const struct fl_shard *s = &c->picture.shard[i];
        const struct fl_step *step = &c->plan->step[i];
        char why[FL_WHY_MAX];

        fl_plan_explain(c->plan, &c->picture.fleet, i, why);
        if (!all && step->kind == FL_LEAVE && !*why)
            continue;
        printf("%-16s %-10s", s->name, state_of(s));
        if (s->known) {
            uint32_t first = s->primary == FL_NONE ? 0 : s->primary;

            printf("view %lu, %s and %s", s->view, server_name(c, s->member[first]),
                   server_name(c, s->member[!first]));
        }
        printf("%s%s\n", *why && s->known ? "; " : "", why);
        printed++;
    }
    return printed;
}

static void print_head(const struct command *c)
{
    uint32_t unknown = count_unknown(c);

    printf("fleet %s: %u shards, %u of them not protected", c->file->name, c->file->shards,
           c->plan->unprotected - unknown);
    if (unknown)
        printf(", %u not known", unknown);
    printf("; %s%s\n", c->picture.leader[0] ? "led by " : "nobody leads", c->picture.leader);
    if (c->plan->stopped)
        printf("%u of %u leases went at once: nothing is ordered until a person looks (drain what is gone)\n",
               c->plan->gone, c->plan->were);
    if (c->picture.unreadable)
        printf("%u keys cannot be read, of which the last: %s\n", c->picture.unreadable, c->picture.why);
}

/* How all of it is: the exit code of `status`. */
static int judge(const struct command *c)
{
    const struct fl_plan *plan = c->plan;
    bool rests = !plan->orders && plan->waits[FL_FINE] == c->file->shards && c->picture.leader[0] &&
                 !c->picture.unreadable;

    for (uint32_t i = 0; i < c->file->shards; i++)
        rests &= !plan->step[i].pin_waits;
    for (uint32_t i = 0; i < c->file->servers; i++)
        rests &= !c->picture.upgrade[i].revision;
    uint32_t at = c->file->shards;

    rests &= next_stray(c, &at) == FL_NONE;
    if (plan->unprotected || plan->stopped)
        return ND_UNPROTECTED;
    return rests ? ND_DONE : ND_NOT_EQUAL;
}

static int status(struct command *c)
{
    int code = look(c);

    if (code)
        return code;
    if (c->options.json) {
        code = print_json(c);
    } else {
        print_head(c);
        print_servers(c);
        (void)print_shards(c, true);
        print_strays(c);
    }
    return code ? code : judge(c);
}

static int show_plan(struct command *c)
{
    int code = look(c);

    if (code)
        return code;
    if (c->options.json)
        return print_json(c);
    print_head(c);
    if (!print_shards(c, false))
        printf("nothing is to be done\n");
    if (c->plan->both.shards)
        printf(
            "shards that are lost if %s and %s die at once: %u; pairs of servers with shards in common: %u\n",
            server_name(c, c->plan->both.a), server_name(c, c->plan->both.b), c->plan->both.shards,
            c->plan->both.pairs);
    return ND_DONE;
}

/* ---- wishes ------------------------------------------------------------------------------------- */

/* Writes `value` into the key wishes/KIND/NAME; NULL: deletes it. `if_so`: a condition, NULL: none. Returns
 * the exit code, ND_NOT_EQUAL where the condition does not hold. */
static int wish(struct command *c, const char *kind, const char *name, const char *value,
                const struct nd_compare *if_so)
{
    char key[FL_KEY_MAX], place[64];
    struct ft_fault fault = {""};
    bool done = false;

    snprintf(place, sizeof(place), "wishes/%s/", kind);
    const struct nd_change change = {
        .key = fl_key(key, c->file, place, name), .value = value, .len = value ? strlen(value) : 0};
    int error = c->etcd ? 0 : open_etcd(c, &fault);

    if (!error)
        error = nd_store_txn(c->etcd, if_so, if_so ? 1 : 0, &change, 1, &done, NULL, &fault);
    if (error)
        return fail(error, &fault);
    return done ? ND_DONE : ND_NOT_EQUAL;
}

/* The name of a shard, or of a server. */
static int refuse_name(const struct command *c, bool shard, const char *name)
{
    uint32_t count = shard ? c->file->shards : c->file->servers;
    const char **names = calloc(count + 1, sizeof(*names)), *near;

    for (uint32_t i = 0; names && i < count; i++)
        names[i] = shard ? c->file->shard[i].name : c->file->server[i].name;
    near = names ? nd_schema_nearest(name, names) : NULL;
    fprintf(stderr, "understudy: no %s \"%.40s\" in this file%s%s%s\n", shard ? "shard" : "server", name,
            near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
    free(names);
    return ND_USAGE;
}

/* What is wished of one that was taken out of the file can be taken away. Looks into etcd; *code: its answer.
 */
static bool is_wished(struct command *c, const char *kind, const char *name, int *code)
{
    char place[64];

    *code = look(c);
    snprintf(place, sizeof(place), "wishes/%s/", kind);
    return !*code && ft_is_name(name, FL_NAME_MAX) && fl_key_find(&c->keys, c->file, place, name);
}

static int act(struct command *c, const char *verb)
{
    const char *name = c->argv[0], *kind = strncmp(verb, "un", 2) == 0 ? verb + 2 : verb;
    bool shard = strcmp(kind, "drain") != 0;

    if ((shard ? fl_file_shard(c->file, name) : fl_file_server(c->file, name)) == FL_NONE) {
        int code = ND_DONE;

        if (kind == verb || !is_wished(c, kind, name, &code))
            return code ? code : refuse_name(c, shard, name);
    }
    if (c->argc > 1 && fl_file_server(c->file, c->argv[1]) == FL_NONE)
        return refuse_name(c, false, c->argv[1]);
    return wish(c, kind, name, kind != verb ? NULL : shard ? c->argv[1] : "1", NULL);
}

/* What keeps a move from being begun, in words; "": nothing. */
static void find_hindrance(const struct command *c, uint32_t shard, uint32_t to, char *why, size_t size)
{
    const struct fl_shard *s = &c->picture.shard[shard];
    const char *server = c->file->server[to].name;
    const struct nd_entry *pin = fl_key_find(&c->keys, c->file, "wishes/pin/", s->name);
    uint32_t pinned = pin ? fl_file_server(c->file, pin->value) : FL_NONE; /* which is no pin */

    *why = '\0';
    if (c->options.view && s->view != c->options.view)
        snprintf(why, size, "shard %s is in view %lu, expected view %lu", s->name, s->view, c->options.view);
    else if (!s->known)
        snprintf(why, size, "shard %s has no nodes, expected one that has begun (pin: where it begins)",
                 s->name);
    else if (!c->picture.server[to].lease)
        snprintf(why, size, "no agent speaks for server %s, expected one that can take a node", server);
    else if (c->picture.server[to].drained)
        snprintf(why, size, "server %s is drained, expected one that can take a node", server);
    else if (pinned != FL_NONE && pinned != to)
        snprintf(why, size, "shard %s is pinned to %s, expected no pin, or one to %s", s->name,
                 c->file->server[pinned].name, server);
}

/* With --view the wish is written only while the shard's key is the one that was seen in that view. */
static int move(struct command *c)
{
    uint32_t shard = fl_file_shard(c->file, c->argv[0]), to = fl_file_server(c->file, c->argv[1]);
    char key[FL_KEY_MAX], why[256];
    int code;

    if (shard == FL_NONE || to == FL_NONE)
        return refuse_name(c, shard == FL_NONE, c->argv[shard != FL_NONE]);
    code = look(c);
    if (code)
        return code;
    const struct fl_shard *s = &c->picture.shard[shard];
    bool there = s->primary != FL_NONE && s->member[s->primary] == to;

    if (s->moves ? s->pin == to : there)
        return ND_DONE;
    find_hindrance(c, shard, to, why, sizeof(why));
    if (!*why) {
        const struct nd_compare unchanged = {.key = fl_key(key, c->file, "shards/", s->name),
                                             .of = ND_CHANGED,
                                             .revision = c->picture.revision[shard]};

        code = wish(c, "move", s->name, c->argv[1], c->options.view ? &unchanged : NULL);
        if (code == ND_NOT_EQUAL)
            snprintf(why, sizeof(why), "shard %s changes, expected it to rest in view %lu", s->name,
                     c->options.view);
    }
    if (*why)
        fprintf(stderr, "understudy: %s\n", why);
    return *why ? ND_NOT_EQUAL : code;
}

/* Of a shard that the file has, agents would start the nodes again. */
static int remove_shard(struct command *c)
{
    const char *name = c->argv[0];

    if (fl_file_shard(c->file, name) != FL_NONE) {
        fprintf(stderr,
                "understudy: shard %s is in this file, expected one that is in no server's any more\n", name);
        return ND_USAGE;
    }
    int code = look(c);
    uint32_t shard = code ? FL_NONE : fl_file_stray(c->file, name);

    if (code)
        return code;
    if (shard == FL_NONE || (!fl_stray_is(&c->picture, &c->keys, shard) && !is_to_end(c, shard))) {
        fprintf(stderr, "understudy: nothing is known of a shard \"%.40s\"\n", name);
        return ND_USAGE;
    }
    return wish(c, "remove", name, "1", NULL);
}

/* A wish that stands is left as it is: it names the nodes that there were when it was written. */
static int upgrade_one(struct command *c, uint32_t server, bool ends)
{
    char key[FL_KEY_MAX];
    const char *name = c->file->server[server].name;
    const struct nd_compare none = {.key = fl_key(key, c->file, "wishes/upgrade/", name), .of = ND_CREATED};

    if (ends)
        return wish(c, "upgrade", name, NULL, NULL);
    if (!c->picture.server[server].lease) {
        fprintf(stderr, "understudy: no agent speaks for server %s, expected one that says what runs there\n",
                name);
        return ND_NOT_EQUAL;
    }
    char *nodes = fl_picture_upgrade(&c->picture, server);
    int code = nodes ? wish(c, "upgrade", name, nodes, &none) : ND_SOFTWARE;

    free(nodes);
    return code == ND_NOT_EQUAL ? ND_DONE : code;
}

static int upgrade(struct command *c, bool ends)
{
    uint32_t server = c->options.server ? fl_file_server(c->file, c->options.server) : FL_NONE;
    int code = ND_DONE, silent = ND_DONE;

    if (server == FL_NONE && c->options.server) {
        if (!ends || !is_wished(c, "upgrade", c->options.server, &code))
            return code ? code : refuse_name(c, false, c->options.server);
        return wish(c, "upgrade", c->options.server, NULL, NULL);
    }
    if (!ends)
        code = look(c);
    for (uint32_t i = 0; i < c->file->servers && code == ND_DONE; i++) {
        if (server == FL_NONE || server == i)
            code = upgrade_one(c, i, ends);
        if (code == ND_NOT_EQUAL) { /* the others are started anew all the same */
            silent = code;
            code = ND_DONE;
        }
    }
    return code ? code : silent;
}

static int begin_upgrade(struct command *c)
{
    return upgrade(c, false);
}

static int end_upgrade(struct command *c)
{
    return upgrade(c, true);
}

/* ---- what comes of a wish ----------------------------------------------------------------------- */

/* No shard has a member there, and its own agent reports that no node is left, nor one of a shard that the
 * file does not have: a shard's key names no member there before the node has ended. */
static bool is_empty(const struct command *c, uint32_t server)
{
    const struct fl_server_said *said = &c->picture.said[server];

    return c->picture.server[server].lease && !c->plan->view[server].nodes && !said->unreadable &&
           !said->nodes && !said->strays;
}

/* `kind`: the wish's. As far as is seen. */
static bool is_done(const struct command *c, const char *kind)
{
    if (strcmp(kind, "drain") == 0)
        return is_empty(c, fl_file_server(c->file, c->argv[0]));
    if (strcmp(kind, "upgrade") == 0) {
        bool done = true;

        for (uint32_t i = 0; i < c->file->servers; i++)
            done &= !c->picture.upgrade[i].revision ||
                    (c->options.server && i != fl_file_server(c->file, c->options.server));
        return done;
    }
    if (strcmp(kind, "remove") == 0)
        return !fl_key_find(&c->keys, c->file, "wishes/remove/", c->argv[0]);
    const struct fl_shard *s = &c->picture.shard[fl_file_shard(c->file, c->argv[0])];

    return s->primary != FL_NONE && s->member[s->primary] == fl_file_server(c->file, c->argv[1]) &&
           s->says[s->primary] == FL_SAYS_PROTECTED;
}

/* In one line what was wished. */
static void print_wish(const struct command *c, const char *kind, bool ends)
{
    const char *name = c->argc ? c->argv[0] : c->options.server, *is = ends ? "not " : "",
               *more = ends ? " any more" : "";

    if (strcmp(kind, "drain") == 0)
        fprintf(stderr, "understudy: server %s is %sto be emptied%s\n", name, is, more);
    else if (strcmp(kind, "upgrade") == 0)
        fprintf(stderr, "understudy: the nodes of %s%s are %sto be started anew%s\n",
                name ? "server " : "all servers", name ? name : "", is, more);
    else if (strcmp(kind, "remove") == 0)
        fprintf(stderr, "understudy: shard %s is %sto be removed%s\n", name, is, more);
    else if (ends)
        fprintf(stderr, "understudy: shard %s has no %s any more\n", name, kind);
    else
        fprintf(stderr, "understudy: the primary of shard %s is to be on %s\n", name, c->argv[1]);
}

/* Prints the wish, and waits for it where that is asked. Returns the exit code, ND_NOT_EQUAL: not done in
 * time. */
static int follow_wish(struct command *c, const char *verb)
{
    bool ends = strncmp(verb, "un", 2) == 0;
    const char *kind = ends ? verb + 2 : verb;
    uint64_t until = ft_now() + c->options.wait * 1000000000ull;
    int code = ND_DONE;

    print_wish(c, kind, ends);
    for (bool done = !c->options.wait; !done && code == ND_DONE;) {
        code = look(c);
        done = code == ND_DONE && is_done(c, kind);
        if (done || code != ND_DONE)
            break;
        if (ft_now() >= until) {
            fprintf(stderr, "understudy: not done in %lu s: fleet status says what is waited for\n",
                    c->options.wait);
            code = ND_NOT_EQUAL;
        }
        usleep(200000);
    }
    if (c->options.wait && code == ND_DONE && strcmp(kind, "remove") == 0 &&
        fl_stray_is(&c->picture, &c->keys, fl_file_stray(c->file, c->argv[0]))) {
        fprintf(stderr,
                "understudy: the leader has taken that away, expected a file without shard %s there\n",
                c->argv[0]);
        code = ND_NOT_EQUAL;
    }
    return code;
}

/* ---- the command -------------------------------------------------------------------------------- */

static int run_agent(struct command *c)
{
    struct ft_fault fault = {""};
    uint32_t server = c->options.server ? fl_file_server(c->file, c->options.server) : FL_NONE;

    if (server == FL_NONE)
        return c->options.server ? refuse_name(c, false, c->options.server)
                                 : nd_usage("fleet", "agent without a server, expected -n NAME");
    int error = fl_file_speak_as(c->file, c->options.server, &fault);

    if (!error)
        error = fl_agent_run(c->file, server, c->steward, &fault);
    c->steward = -1;
    return error ? fail(error, &fault) : ND_DONE;
}

static int run_verb(struct command *c, const char *verb)
{
    static const struct {
        const char *verb;
        int arguments;
        int (*run)(struct command *c); /* NULL: it is a wish */
        const char *options; /* that it takes beside -c: n, u of --user, o, v of --view, w of --wait */
        bool wishes;
    } verbs[] = {{"check", 0, check, "u", false},
                 {"rights", 0, print_rights, "", false},
                 {"agent", 0, run_agent, "nu", false},
                 {"status", 0, status, "o", false},
                 {"plan", 0, show_plan, "o", false},
                 {"drain", 1, NULL, "w", true},
                 {"undrain", 1, NULL, "", true},
                 {"pin", 2, NULL, "w", true},
                 {"unpin", 1, NULL, "", true},
                 {"move", 2, move, "vw", true},
                 {"unmove", 1, NULL, "", true},
                 {"remove", 1, remove_shard, "w", true},
                 {"unremove", 1, NULL, "", true},
                 {"upgrade", 0, begin_upgrade, "nw", true},
                 {"unupgrade", 0, end_upgrade, "n", true}};
    const struct {
        bool given;
        char option;
        const char *name, *where;
    } given[] = {{c->options.server, 'n', "-n", "agent, upgrade or unupgrade"},
                 {c->options.user, 'u', "--user", "agent or check"},
                 {c->options.json, 'o', "-o json", "status or plan"},
                 {c->options.view, 'v', "--view", "move"},
                 {c->options.wait, 'w', "--wait", "drain, pin, move, remove or upgrade"}};

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].verb, verb) != 0)
            continue;
        if (c->argc != verbs[i].arguments)
            return nd_usage("fleet", "%s with %d arguments, expected %d", verb, c->argc, verbs[i].arguments);
        for (size_t k = 0; k < sizeof(given) / sizeof(given[0]); k++)
            if (given[k].given && !strchr(verbs[i].options, given[k].option))
                return nd_usage("fleet", "%s with %s, expected it with %s", given[k].name, verb,
                                given[k].where);
        int code = verbs[i].run ? verbs[i].run(c) : act(c, verb);

        return verbs[i].wishes && code == ND_DONE ? follow_wish(c, verb) : code;
    }
    const char *names[sizeof(verbs) / sizeof(verbs[0]) + 1] = {NULL};

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        names[i] = verbs[i].verb;
    const char *near = nd_schema_nearest(verb, names);

    if (near)
        return nd_usage("fleet", "unknown verb \"%.40s\", did you mean %s?", verb, near);
    return nd_usage("fleet", "unknown verb \"%.40s\", expected %s", verb, fl_fleet_syntax.arguments);
}

/* An agent, before it reads anything: what needs root's rights is the steward's from now on. */
static int part(struct command *c, struct ft_fault *fault)
{
    const char *user = c->options.user ? c->options.user : "";
    const struct fl_steward_config steward = {
        .file = c->options.file, .server = c->options.server, .user = user};
    int error = fl_steward_start(&c->steward, &steward, fault);

    return error ? error : fl_confine(user, fault);
}

int fl_cmd_fleet(int argc, char **argv)
{
    struct command c = {.file = NULL, .steward = -1};
    struct nd_arguments rest;
    struct ft_fault fault = {""};
    int code = nd_syntax_read(&fl_fleet_syntax, &c.options, argc, argv, &rest), error;

    if (code)
        return code;
    if (strcmp(rest.argv[0], "agent") == 0 && c.options.server && (error = part(&c, &fault)) != 0)
        return fail(error, &fault);
    error = fl_file_read(&c.file, c.options.file, &fault);
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    c.argc = rest.argc - 1;
    c.argv = rest.argv + 1;
    code = run_verb(&c, rest.argv[0]);
    forget(&c);
    nd_etcd_close(c.etcd);
    fl_file_free(c.file);
    return code;
}
