/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of one server. See local.h. */
#include "fleet/local.h"
#include "fleet/steward.h"
#include "fleet/stray.h"
#include "understudy/control/client.h"
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"
#include "ftcore/record/members.h"
#include "ftcore/record/message.h"
#include "ftcore/base/clock.h"
#include "understudy/config/config.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_NS 3000000000ull /* between two starts of a node that does not answer, or two stops of it */
#define ORDER_NS 500000000ull  /* between two times that a primary is sent an order */
#define LOAD_NS  5000000000ull /* over which load is measured */
#define PAIR_MS  1000          /* in which a node's files are written, so that it starts in the same turn */
#define READY_MS 20000         /* in which the steward has read the file */
#define WAITS    3u            /* in a turn for nodes that are silent, behind which others are passed over */

struct local_node {
    bool told;   /* there is a placement */
    bool stands; /* and it is what the key holds; else an order of it may have been withdrawn */
    struct fl_placement placement;
    bool keeps;        /* no key named it, and its view file may be there, as was seen last */
    bool removes;      /* of a stray: nothing of it is to be left */
    bool removed;      /* and nothing is, while that order stands */
    bool stops;        /* systemctl has accepted its stop, the last order given */
    enum fl_task task; /* that the steward has for it; FL_TASK_NONE: none */
    bool written;      /* its files are as the placement demands */
    uint64_t tried;    /* to write them, when last; 0: never */
    bool says;         /* it answered in this turn: `said` has the answer */
    bool silent;       /* it did not answer in time when it was asked last */
    bool listens;      /* somebody is at its socket, as far as is known */
    bool logged;       /* the last order to systemctl is logged, since the node began or ceased to answer */
    struct fl_node_said said;
    uint64_t started, stopped, ordered; /* when last; 0: never */
    uint64_t restarted;                 /* for the order of that time; 0: for none yet */
    char refused[160];                  /* why its primary did not carry out the order, by its last answer */
    struct {
        uint64_t at;
        double useful_s, lanes_s, spent_s, packets;
        double resyncs;
        char state[16];
    } counted; /* from which the next load is reckoned */
};

struct fl_local {
    const struct fl_file *file;
    uint32_t self;
    struct local_node *node; /* of each shard, and of strays */
    struct fl_server_said said;
    uint64_t fresh;    /* until then the last orders hold */
    unsigned waited;   /* in this turn, for answers that did not come */
    uint32_t first;    /* shard that is asked first: it was passed over, or 0 */
    uint32_t ends;     /* stray whose node is gone, and whose files go in this turn; FL_NONE: none */
    uint64_t refused;  /* times that a node gave a reason not to carry out an order */
    uint64_t measured; /* when nodes were last, all in one turn: a change is a write of the server's key. View
                          files are looked for then, since most shards of a large fleet have none here */
    int steward;       /* -1: it has ended, and so has this */
    bool late;         /* it was waited for in this turn, in vain */
};

/* ---- files -------------------------------------------------------------------------------------- */

/* The nodes that the pair file has: those of the first view, the members, who is to be one, this one. A
 * server that the fleet's file does not have any more has no address. */
static unsigned nodes_of(const struct fl_local *l, const struct fl_placement *p, uint32_t out[ND_NODES])
{
    const uint32_t all[] = {p->first[0],
                            p->first[1],
                            p->member[0],
                            p->member[1],
                            p->order.kind == FL_REPAIR ? p->order.to : FL_NONE,
                            l->self};
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        bool there = all[i] == FL_NONE || all[i] >= l->file->servers;

        for (unsigned k = 0; k < n; k++)
            there |= out[k] == all[i];
        if (!there)
            out[n++] = all[i];
    }
    return n;
}

/* What came of a task. */
static void take_answer(struct fl_local *l, const struct fl_done *done)
{
    uint32_t shard = fl_file_stray(l->file, done->shard);
    struct local_node *n = shard != FL_NONE ? &l->node[shard] : NULL;

    if (!n)
        return;
    if (done->task != FL_TASK_TOLD)
        n->task = FL_TASK_NONE;
    if (done->task == FL_TASK_STOP)
        n->stops = !done->error;
    else if (done->task == FL_TASK_PAIR)
        n->written = !done->error;
    else if (done->task == FL_TASK_END && !done->error) {
        n->told = n->keeps = n->removes = false;
        n->removed = true;
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_FLEET, "nothing of shard %s is left here", done->shard);
    }
    if (!done->error || strncmp(done->text, n->refused, sizeof(n->refused) - 1) == 0)
        return;
    snprintf(n->refused, sizeof(n->refused), "%.*s", (int)sizeof(n->refused) - 1, done->text);
    ft_log_event(FT_LEVEL_ERROR, FT_SAYS_FLEET, "shard %s: %s", done->shard, done->text);
}

/* All answers of the steward; waits for the first one for `ms` at most. */
static void receive_done(struct fl_local *l, int ms)
{
    struct fl_done done;
    int heard;

    while (l->steward >= 0 && (heard = fl_steward_receive(l->steward, &done, ms)) != 0) {
        ms = 0;
        if (heard > 0) {
            take_answer(l, &done);
            continue;
        }
        close(l->steward);
        l->steward = -1;
    }
}

/* False: the steward is busy, and is asked again. */
static bool have_done(struct fl_local *l, uint32_t shard, enum fl_task task, const char *text)
{
    if (l->node[shard].task || !fl_steward_ask(l->steward, task, l->file->shard[shard].name, text))
        return false;
    l->node[shard].task = task;
    return true;
}

/* The pair file of the shard, and which one the unit is to read. Without its peer a member has the pair file
 * that it has. */
static void write_files(struct fl_local *l, uint32_t shard)
{
    struct local_node *n = &l->node[shard];
    char names[ND_NODES * FL_NAME_MAX] = "";
    uint32_t server[ND_NODES];
    unsigned count = nodes_of(l, &n->placement, server);
    size_t at = 0;

    for (unsigned i = 0; i < count && count >= ND_PAIR; i++)
        at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", i ? " " : "",
                               l->file->server[server[i]].name);
    if (!have_done(l, shard, FL_TASK_PAIR, names))
        n->tried = 0;
    for (int left = PAIR_MS; n->task == FL_TASK_PAIR && left > 0 && !l->late && l->steward >= 0; left -= 10)
        receive_done(l, 10);
    l->late |= n->task == FL_TASK_PAIR;
}

/* Waits until the steward takes it, so each placement is kept once. */
static void keep_placement(struct fl_local *l, uint32_t shard)
{
    const char *name = l->file->shard[shard].name;
    json_t *o = fl_placement_write(l->file, &l->node[shard].placement);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    if (!text)
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_FLEET, "shard %s: no memory for what was told of it", name);
    while (text && l->steward >= 0 && !fl_steward_ask(l->steward, FL_TASK_TOLD, name, text))
        receive_done(l, 10);
    free(text);
    json_decref(o);
}

static void read_placement(struct fl_local *l, uint32_t shard)
{
    struct local_node *n = &l->node[shard];
    char path[FL_PATH_MAX], text[FL_TOLD_MAX];
    struct ft_fault fault = {""};

    snprintf(path, sizeof(path), "%s/%s.told", l->file->state, l->file->shard[shard].name);
    if (!fl_read_whole(path, text, sizeof(text)))
        return;
    n->told = fl_placement_read(&n->placement, l->file, text, strlen(text), &fault) == 0;
    n->started = n->told && fl_placement_has(&n->placement, l->self); /* by the agent before, it may be */
    if (!n->told)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_FLEET, "%s: %s", path, fault.text);
}

/* ---- opening, and what is to be ----------------------------------------------------------------- */

/* Until the steward can do what it is asked. */
static int await_steward(const struct fl_local *l, struct ft_fault *fault)
{
    struct fl_done done;

    if (fl_steward_receive(l->steward, &done, READY_MS) <= 0)
        return ft_fail(fault, FT_EIO, "the steward does not answer");
    return done.error ? ft_fail(fault, done.error, "%s", done.text) : 0;
}

int fl_local_open(struct fl_local **out, const struct fl_file *file, uint32_t server, int steward,
                  struct ft_fault *fault)
{
    struct fl_local *l = calloc(1, sizeof(*l));

    *out = NULL;
    if (!l)
        close(steward);
    if (l) {
        l->steward = steward;
        l->node = calloc(file->shards + FL_UNLISTED_MAX, sizeof(*l->node));
    }
    if (!l || !l->node || fl_server_said_make(&l->said, file->shards + FL_UNLISTED_MAX, fault) != 0) {
        fl_local_close(l);
        return ft_fail(fault, FT_ENOMEM, "no memory for the nodes of this server");
    }
    l->file = file;
    l->self = server;
    int error = await_steward(l, fault);

    if (error) {
        fl_local_close(l);
        return error;
    }
    fl_stray_find(file);
    for (uint32_t i = 0; i < fl_file_all_shards(file); i++)
        read_placement(l, i);
    *out = l;
    return 0;
}

void fl_local_close(struct fl_local *l)
{
    if (!l)
        return;
    fl_server_said_free(&l->said);
    if (l->steward >= 0)
        close(l->steward);
    free(l->node);
    free(l);
}

void fl_local_place(struct fl_local *l, uint32_t shard, const struct fl_placement *p)
{
    struct local_node *n = &l->node[shard];

    n->stands = p != NULL;
    if (!p || (n->told && fl_placement_same(&n->placement, p)))
        return;
    bool concerns = fl_placement_has(p, l->self) || n->told;

    n->placement = *p;
    n->told = concerns;
    n->written = false;
    n->tried = 0;
    if (concerns)
        keep_placement(l, shard);
}

void fl_local_remove(struct fl_local *l, uint32_t shard, bool removes)
{
    struct local_node *n = &l->node[shard];

    n->removed &= removes;
    n->removes = removes && !n->removed;
}

/* ---- asking ------------------------------------------------------------------------------------- */

static json_t *ask(struct fl_local *l, uint32_t shard, json_t *request)
{
    char socket[FL_PATH_MAX];
    struct ft_fault fault = {""};
    json_t *answer = NULL;
    int error = request ? nd_ask(fl_node_socket(socket, l->file, shard, l->self), request, FL_ASK_MS, &answer,
                                 NULL, &fault)
                        : FT_ENOMEM;

    json_decref(request);
    l->node[shard].silent = error == FT_EIO;
    l->node[shard].listens = error != FT_ENOENT;
    l->waited += error == FT_EIO;
    return error ? NULL : answer;
}

/* A turn is not as long as all silent nodes together: behind three of them those that were silent before are
 * not asked, and are the first in the next turn. */
static bool is_passed_over(const struct fl_local *l, uint32_t shard)
{
    return l->waited >= WAITS && l->node[shard].silent;
}

/* Of all lanes together: their useful time, s, and packets. */
static double sum_lanes(const json_t *status, double *packets)
{
    const json_t *lane;
    size_t i;
    double useful = 0;

    *packets = 0;
    json_array_foreach(json_object_get(status, "lanes"), i, lane)
    {
        useful += json_number_value(json_object_get(json_object_get(lane, "turns"), "useful_s"));
        *packets += json_number_value(json_object_get(lane, "received")) +
                    json_number_value(json_object_get(lane, "replayed"));
    }
    return useful;
}

/* MB that are the process's own and present; 0: unknown. */
static double memory_of(const json_t *status)
{
    char path[64], line[256];
    double kb = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%lld/status", json_integer_value(json_object_get(status, "pid")));
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtod(line + 6, NULL);
    if (f)
        fclose(f);
    return kb / 1024;
}

/* Processor time of the node's process, s; 0: unknown. */
static double spent_by(const json_t *status)
{
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid((pid_t)json_integer_value(json_object_get(status, "pid")), &clock) != 0 ||
        clock_gettime(clock, &t) != 0)
        return 0;
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* For how long its replicator has run, s. */
static double age_of(const json_t *status)
{
    static const char *const keys[] = {"useful_s", "empty_s", "asleep_s"};
    const json_t *turns = json_object_get(status, "replicator_turns");
    double age = 0;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        age += json_number_value(json_object_get(turns, keys[i]));
    return age;
}

/* The node's load since it was measured last; the first time over all its life, so that an agent that was
 * started anew knows at once. Useful time counts a thread's waiting for a processor that others have: its
 * lanes are busy then, and of its load it is not more than the process got. `all`: all nodes are measured in
 * this turn; one that was once waits for that. How busy its lanes are is known where they had packets, and
 * did nothing else: no resync, and no change of its state. */
static void measure(struct local_node *n, const json_t *status, bool all, uint64_t now)
{
    bool first = !n->counted.at;
    double packets, lanes = sum_lanes(status, &packets), spent = spent_by(status);
    double useful =
        lanes + json_number_value(json_object_get(json_object_get(status, "replicator_turns"), "useful_s"));
    double resyncs = json_number_value(json_object_get(json_object_get(status, "resync"), "done"));
    double span = first ? age_of(status) : (double)(now - n->counted.at) / 1e9;

    if (!first && ((n->said.measured && !all) || now - n->counted.at < LOAD_NS))
        return;
    if (first)
        n->counted.useful_s = n->counted.lanes_s = n->counted.spent_s = n->counted.packets = 0;
    double busy = useful - n->counted.useful_s, most = spent - n->counted.spent_s;

    /* A process that was started anew counts from zero. */
    n->said.measured = span * 1e9 >= LOAD_NS && busy >= 0 && packets >= n->counted.packets;
    if (n->said.measured) {
        size_t count = json_array_size(json_object_get(status, "lanes"));

        n->said.load = (struct fl_load){{[FL_PROCESSOR] = (most > 0 && most < busy ? most : busy) / span,
                                         [FL_PACKETS] = (packets - n->counted.packets) / span,
                                         [FL_MEMORY] = memory_of(status)}};
        n->said.busy =
            (uint32_t)(fmin(fmax(lanes - n->counted.lanes_s, 0) / span / (double)(count ? count : 1), 1) *
                       100);
        n->said.timed = !first && packets > n->counted.packets && resyncs == n->counted.resyncs &&
                        strcmp(n->said.state, n->counted.state) == 0;
    }
    n->counted.at = now;
    n->counted.useful_s = useful;
    n->counted.lanes_s = lanes;
    n->counted.resyncs = resyncs;
    memcpy(n->counted.state, n->said.state, sizeof(n->counted.state));
    n->counted.spent_s = spent;
    n->counted.packets = packets;
}

static bool same_text(const json_t *o, const char *key, const char *text)
{
    const char *is = json_string_value(json_object_get(o, key));

    return is && strcmp(is, text) == 0;
}

/* Both or none: what others could not read would take the word of all nodes of this server. */
static void read_members(struct local_node *n, const json_t *from)
{
    const char *a = json_string_value(json_array_get(from, 0)),
               *b = json_string_value(json_array_get(from, 1));
    bool whole = a && b && ft_is_name(a, FL_NAME_MAX) && ft_is_name(b, FL_NAME_MAX);

    snprintf(n->said.members[0], FL_NAME_MAX, "%s", whole ? a : "");
    snprintf(n->said.members[1], FL_NAME_MAX, "%s", whole ? b : "");
}

/* Are all nodes measured in this turn? */
static bool measures_all(const struct fl_local *l, uint64_t now)
{
    return l->measured == now || now - l->measured >= LOAD_NS;
}

static void look_at_node(struct fl_local *l, uint32_t shard, uint64_t now)
{
    struct local_node *n = &l->node[shard];
    bool passed = is_passed_over(l, shard);
    json_t *status = passed ? NULL : ask(l, shard, json_pack("{s:s}", "cmd", "status"));
    const char *state = json_string_value(json_object_get(status, "state"));
    json_int_t view = json_integer_value(json_object_get(status, "view"));
    char name[FL_NAME_MAX];

    n->says = state && view >= 0 && (uint64_t)view <= FT_VIEW_MAX && strlen(state) < sizeof(n->said.state) &&
              same_text(status, "node", fl_node_name(name, l->file, shard, l->self));
    if (n->says) {
        json_int_t incarnation = json_integer_value(json_object_get(status, "incarnation"));
        json_int_t counter =
            json_integer_value(json_object_get(json_object_get(status, "authority"), "counter"));

        n->said.shard = shard;
        strcpy(n->said.state, state);
        n->said.primary = same_text(status, "role", "primary");
        n->said.member = json_is_true(json_object_get(status, "member"));
        n->said.view = (uint64_t)view;
        n->said.incarnation = incarnation > 0 ? (uint64_t)incarnation : 0;
        (void)fl_slow_read(n->said.slow, json_object_get(json_object_get(status, "slow"), "cause"));
        n->said.counter = counter > 0 && counter <= UINT32_MAX ? (uint32_t)counter : 0;
        read_members(n, json_object_get(status, "members"));
        measure(n, status, measures_all(l, now), now);
    } else {
        n->counted.at = 0;
        n->said.measured = false;
    }
    json_decref(status);
}

/* ---- units -------------------------------------------------------------------------------------- */

/* Has the steward do it, and does not wait. False: not now. */
static bool run_unit(struct fl_local *l, uint32_t shard, enum fl_task task, const char *verb,
                     const char *node)
{
    struct local_node *n = &l->node[shard];

    n->stops = false;
    if (!have_done(l, shard, task, ""))
        return false;
    if (!n->logged)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_FLEET, "systemctl %s understudy@%s", verb, node);
    n->logged = true;
    return true;
}

/* The node reports that it is no member, or is in a view before the key's. For a node that does not answer
 * the key alone is not enough; nor for a primary, which hears from the other nodes that it was replaced, and
 * is no primary then. */
static bool is_superfluous(const struct local_node *n)
{
    return n->says && !n->said.primary && (!n->said.member || n->said.view < n->placement.view);
}

static bool has_view_file(const struct fl_local *l, uint32_t shard)
{
    char node[FL_NAME_MAX], path[FL_PATH_MAX];

    fl_node_name(node, l->file, shard, l->self);
    snprintf(path, sizeof(path), "%s/%s/%s.view", l->file->state, node, node);
    return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR); /* who knows */
}

/* The node was started, does not answer, and was never in a view: it has no state, and would be started by
 * its unit again and again. It is stopped once for each time that it was started. */
static bool never_came(const struct fl_local *l, uint32_t shard)
{
    const struct local_node *n = &l->node[shard];

    return !n->says && n->started > n->stopped && !has_view_file(l, shard);
}

/* ---- orders ------------------------------------------------------------------------------------- */

static json_t *make_repair(const struct fl_local *l, uint32_t shard, const struct fl_placement *p)
{
    char name[FL_NAME_MAX];

    return json_pack("{s:s, s:s, s:s, s:i, s:I}", "cmd", "re-pair", "node",
                     fl_node_name(name, l->file, shard, p->order.to), "host",
                     l->file->server[p->order.to].host, "port", (int)l->file->shard[shard].port, "view",
                     (json_int_t)p->view);
}

/* Restarts this server's node, if it is still the process that the order names. It does so once for each
 * order: the process that answers afterwards is another one. */
static void restart(struct fl_local *l, uint32_t shard)
{
    struct local_node *n = &l->node[shard];
    const struct fl_order *order = &n->placement.order;
    char name[FL_NAME_MAX];

    if (order->kind != FL_RESTART || order->to != l->self || !n->says || n->said.primary ||
        n->said.view != n->placement.view || n->said.incarnation != order->incarnation ||
        n->restarted == order->since)
        return;
    if (run_unit(l, shard, FL_TASK_RESTART, "restart", fl_node_name(name, l->file, shard, l->self)))
        n->restarted = order->since;
}

/* Has the primary, which is this server's node, carry the order out. The answer counts only where it is a
 * refusal: what has come of the order is seen in the node's answers of later turns. */
static void carry_out(struct fl_local *l, uint32_t shard, uint64_t now)
{
    struct local_node *n = &l->node[shard];
    const struct fl_placement *p = &n->placement;
    char peer[FL_NAME_MAX];

    if (!n->says || !n->said.primary || p->order.kind == FL_LEAVE || p->order.kind == FL_RESTART ||
        n->said.view != p->view || (n->ordered && now - n->ordered < ORDER_NS))
        return;
    fl_node_name(peer, l->file, shard, p->order.to);
    bool with = strcmp(n->said.members[0], peer) == 0 || strcmp(n->said.members[1], peer) == 0;

    if (p->order.to == l->self || with != (p->order.kind == FL_HANDOVER))
        return;
    /* The standby that it has is given up first, and is not to be for one that never comes. */
    if (p->order.kind == FL_REPAIR && !p->order.there)
        return;
    n->ordered = now;
    json_t *answer =
        ask(l, shard,
            p->order.kind == FL_HANDOVER ? json_pack("{s:s}", "cmd", "drain") : make_repair(l, shard, p));
    const char *why = json_string_value(json_object_get(json_object_get(answer, "error"), "text"));

    l->refused += why != NULL;
    if (why && strncmp(why, n->refused, sizeof(n->refused) - 1) != 0) {
        snprintf(n->refused, sizeof(n->refused), "%s", why);
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_FLEET, "shard %s: %s", l->file->shard[shard].name, why);
    }
    json_decref(answer);
}

/* ---- a turn ------------------------------------------------------------------------------------- */

/* A turn may take longer than that holds. */
static bool is_fresh(const struct fl_local *l)
{
    return ft_now() < l->fresh;
}

static void turn_node(struct fl_local *l, uint32_t shard, uint64_t now)
{
    struct local_node *n = &l->node[shard];
    char node[FL_NAME_MAX];
    bool wanted = n->told && fl_placement_has(&n->placement, l->self), said = n->says;

    fl_node_name(node, l->file, shard, l->self);
    look_at_node(l, shard, now);
    n->logged &= n->says == said;
    if (wanted && !n->written && (!n->tried || now - n->tried > START_NS)) {
        n->tried = now;
        write_files(l, shard);
    }
    if (wanted && n->written && !n->says && (!n->started || now - n->started > START_NS)) {
        if (run_unit(l, shard, FL_TASK_START, "start", node))
            n->started = now;
    } else if (is_fresh(l) && !wanted && n->told &&
               ((is_superfluous(n) && (!n->stopped || now - n->stopped > START_NS)) ||
                never_came(l, shard))) {
        if (run_unit(l, shard, FL_TASK_STOP, "stop", node))
            n->stopped = now;
    } else if (is_fresh(l) && wanted && n->stands) {
        restart(l, shard);
        carry_out(l, shard, now);
    }
}

/* Where it fails it is tried again, a while later. */
static void end_stray(struct fl_local *l, uint32_t shard, uint64_t now)
{
    l->node[shard].stopped = now;
    (void)have_done(l, shard, FL_TASK_END, "");
}

/* A node of a shard that the file does not have goes on, until it is to be removed. It is not there any more
 * once nobody listens at its socket, a while behind its stop. Of those one is ended in a turn: the one that
 * was tried longest ago. */
static void turn_stray(struct fl_local *l, uint32_t shard, uint64_t now)
{
    struct local_node *n = &l->node[shard];
    char node[FL_NAME_MAX];

    fl_node_name(node, l->file, shard, l->self);
    look_at_node(l, shard, now);
    if (!n->removes || !is_fresh(l))
        return;
    if (n->stopped && now - n->stopped <= START_NS)
        return;
    if (!n->stopped || n->listens || !n->stops) {
        if (run_unit(l, shard, FL_TASK_STOP, "stop", node))
            n->stopped = now;
    } else if (l->ends == FL_NONE || n->stopped < l->node[l->ends].stopped) {
        l->ends = shard;
    }
}

void fl_local_turn(struct fl_local *l, uint64_t fresh, uint64_t now)
{
    bool all = measures_all(l, now);
    uint32_t shards = fl_file_all_shards(l->file), passed = shards;

    l->measured = all ? now : l->measured;
    l->said.nodes = l->said.kepts = 0;
    l->fresh = fresh;
    l->waited = 0;
    l->late = false;
    l->ends = FL_NONE;
    receive_done(l, 0);
    for (uint32_t k = 0; k < shards; k++) {
        uint32_t i = (l->first + k) % shards;
        struct local_node *n = &l->node[i];

        n->keeps = !n->told && (all ? has_view_file(l, i) : n->keeps);
        if (passed == shards && (n->told || n->keeps) && is_passed_over(l, i))
            passed = i;
        if (i >= l->file->shards && (n->told || n->keeps || n->removes))
            turn_stray(l, i, now);
        else if (n->told)
            turn_node(l, i, now);
        else if (n->keeps) /* a node that no key named may be there as well */
            look_at_node(l, i, now);
        else
            n->says = false;
    }
    l->first = passed == shards ? 0 : passed;
    if (l->ends != FL_NONE && is_fresh(l))
        end_stray(l, l->ends, now);
    for (uint32_t i = 0; i < shards; i++) {
        const struct local_node *n = &l->node[i];

        if (n->says)
            l->said.node[l->said.nodes++] = n->said;
        else if (n->keeps || (n->told && (i >= l->file->shards || has_view_file(l, i))))
            l->said.kept[l->said.kepts++] = i;
    }
}

const struct fl_server_said *fl_local_said(const struct fl_local *local)
{
    return &local->said;
}

bool fl_local_stands(const struct fl_local *local)
{
    return local->steward >= 0;
}

uint64_t fl_local_refused(const struct fl_local *local)
{
    return local->refused;
}
