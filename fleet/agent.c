/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `understudy fleet agent`: what runs on each server. It publishes its nodes' reports in the server's key,
 * under its lease; it starts and stops nodes and has them carry out orders by the shards' keys (local.h). The
 * agents elect one of them, the leader, which plans: the first to create the key `leader` under its lease.
 *
 * An agent watches its own copies of the shards' keys, and who leads. The leader alone watches the whole
 * fleet: it reads all keys when it begins to lead, and writes the copies (picture.h).
 *
 * One thread, beside those of the mirrors: nothing that an agent does is on the way of a packet or a
 * takeover. Every write of the leader compares the create revision of its leader key and the revision of the
 * shard's key, so that an agent that leads no more, or has seen less, writes nothing. While etcd does not
 * answer, nodes are started as last ordered, and nothing else is done.
 */
#include "fleet/fleet.h"
#include "fleet/local.h"
#include "fleet/metrics.h"
#include "fleet/picture.h"
#include "fleet/stray.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/clock.h"
#include "understudy/base/daemon.h"
#include "understudy/base/event_writer.h"
#include "understudy/base/interface.h"
#include "understudy/base/notify.h"
#include "understudy/control/client.h"
#include "understudy/etcd/mirror.h"
#include "understudy/etcd/store.h"
#include "understudy/metrics/metrics.h"

#include <math.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEASE_S    2u
#define TURN_NS    200000000ull  /* between two turns of its nodes, unless a key that concerns them changed */
#define REST_NS    50000000ull   /* behind a plan at least, and twice the processor time that it took */
#define FOREIGN_NS 4000000000ull /* by then leases of a backup are kept by agents that live, or over */
#define PLAN_NS    1000000000ull /* between two plans while nothing changes */
#define LEADS_NS   1000000000ull /* between two times that it asks to lead */
#define CARRY_NS   2000000000ull /* behind which a plan is carried no further: a newer one is made */
#define REVIEW_NS  10000000000ull /* between two reviews of all copies */
#define REPEAT_NS  10000000000ull /* between two lines of why the same keys are not heard */
#define LOADS_NS   60000000000ull /* between two words that differ in loads alone, and by little */
#define UNSAID_NS  2000000000ull  /* behind which etcd does not answer whose word it does not take */
#define BATCH      60u            /* copies that are written at once */
#define ANSWER_MIB 1u             /* the longest of a node; a status has some thousand bytes for each lane */

/* Keys are not heard, or the server's key not written, as last logged; when, and why. */
struct silence {
    bool is;
    uint64_t at;
    char why[256];
};

/* What the server's key is to hold, and holds. */
struct word {
    char *text;         /* NULL: nothing yet */
    char *bare;         /* the same without the loads */
    struct fl_load sum; /* of all nodes */
    uint64_t at;        /* when it was written */
};

struct agent {
    const struct fl_file *file;
    uint32_t self;
    struct fl_local *local;
    struct nd_notify notify;
    struct nd_mirror *mirror;  /* of its copies, with its own key */
    struct nd_mirror *fleet;   /* of who leads; if it leads, of all keys */
    bool whole;                /* of all keys */
    struct silence silence[2]; /* of both mirrors */
    struct silence unsaid;     /* of its own key */
    struct silence passed;     /* keys of the fleet are passed over */
    struct nd_etcd *etcd;      /* the leader's writes */
    struct word said;
    uint64_t serial; /* of its copies, that was passed to `local` */
    uint64_t reads;  /* of them, then: a store that lost its data counts revisions anew */
    struct {
        int64_t changed; /* the copy's revision; 0: there is none */
        bool read;       /* the placement is what the copy holds */
        struct fl_placement placement;
    } * told;                /* of each shard: what its copy holds */
    int64_t leads;           /* create revision of the leader key that is its own; 0: it does not lead */
    int64_t lease;           /* its own; 0: none */
    uint64_t asked, planned; /* ns, when last */
    uint64_t planned_serial;
    uint64_t rests;       /* ns: the next plan is not sooner */
    uint64_t turned;      /* ns: the end of the last turn of its nodes */
    uint64_t wall;        /* ns: at the zero of the monotonic clock, when the agent began */
    uint64_t leads_since; /* s, by its clock */
    char *gone_said;      /* in the key `leader/gone`, last; NULL: nothing yet */
    uint64_t heard;       /* serial number of `fleet` when `gone_said` and the leases were looked at */
    bool counts;          /* leases, since it leads: */
    uint64_t *gone;       /* of each server: when its lease went last, s */
    bool *held;           /* it was, when looked at last */
    int64_t *copied;      /* of each shard: fl_copies_find */
    uint64_t reviewed;    /* ns, when all copies were last */
    bool balancing;
    bool creates; /* reports of servers can be believed where a shard is to be begun */
    struct fl_tally tally;
    struct nd_metrics *metrics; /* NULL: the file has none for this server */
};

/* The agent's clock, s: that of the wall when it began, which nobody sets while it runs. */
static uint64_t clock_of(const struct agent *a)
{
    return (a->wall + ft_now()) / 1000000000;
}

/* ---- what it publishes and reads ---------------------------------------------------------------- */

static void free_word(struct word *w)
{
    free(w->text);
    free(w->bare);
    *w = (struct word){.text = NULL};
}

/* 0, 1, 2: what the planner's rule 11 makes of it. */
static json_t *class_of_busy(json_int_t busy)
{
    const struct fl_settings settings = fl_settings_usual();

    return json_integer(busy < settings.easy ? 0 : busy <= settings.busy ? 1 : 2);
}

/* Loads have two significant digits. False: no memory. */
static bool make_word(struct word *out, const struct fl_file *file, const struct fl_server_said *said)
{
    json_t *o = fl_server_said_write(file, said), *node;
    const char *name;

    *out = (struct word){.text =
                             o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(2)) : NULL,
                         .at = ft_now()};
    json_object_foreach(json_object_get(o, "nodes"), name, node)
    {
        if (json_object_get(node, "load"))
            json_object_set_new(node, "load", json_true());
        if (json_object_get(node, "busy"))
            json_object_set_new(node, "busy",
                                class_of_busy(json_integer_value(json_object_get(node, "busy"))));
    }
    out->bare = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(o);
    for (uint32_t i = 0; i < said->nodes; i++)
        for (int k = 0; k < FL_NODES && said->node[i].measured; k++)
            out->sum.of[k] += said->node[i].load.of[k];
    if (out->text && out->bare)
        return true;
    free_word(out);
    return false;
}

/* etcd keeps each word that was written until it is compacted, and loads are never the same twice: a word
 * that is new in loads alone is written if their sum has changed by more than a tenth, else once a minute. */
static bool is_news(const struct word *last, const struct word *next)
{
    bool news = !last->text || strcmp(last->bare, next->bare) != 0;

    if (!news && strcmp(last->text, next->text) == 0)
        return false;
    for (int k = 0; k < FL_NODES && !news; k++)
        news = fabs(next->sum.of[k] - last->sum.of[k]) > last->sum.of[k] / 10;
    return news || next->at - last->at >= LOADS_NS;
}

static void say(struct agent *a)
{
    struct word next;
    struct ft_fault fault = {""};

    if (!make_word(&next, a->file, fl_local_said(a->local)))
        return; /* which is tried again, as below */
    if (is_news(&a->said, &next) && nd_mirror_say(a->mirror, next.text, strlen(next.text), &fault) == 0) {
        struct word last = a->said;

        a->said = next;
        next = last;
    } else if (fault.text[0]) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_FLEET, "the server's key: %s", fault.text);
    }
    free_word(&next);
}

/* Notes when leases went. */
static void note_leases(struct agent *a, const struct nd_keys *keys, uint64_t now)
{
    if (!a->counts)
        fl_gone_read(a->file, keys, a->gone_said, now, a->gone);
    for (uint32_t i = 0; i < a->file->servers; i++) {
        bool holds = fl_key_find(keys, a->file, "servers/", a->file->server[i].name) != NULL;

        if (a->counts && a->held[i] && !holds) {
            a->gone[i] = now;
            ft_log_event(FT_LEVEL_WARNING, FT_SAYS_FLEET, "the lease of server %s is gone",
                         a->file->server[i].name);
        }
        a->held[i] = holds;
    }
    a->counts = true;
}

/* The leader does not see this server's key: it is on its way, or somebody has deleted it. This agent does
 * not watch that key, so it is written once more. */
static void say_again(struct agent *a)
{
    char own[FL_NAME_MAX + 4];

    snprintf(own, sizeof(own), "\"%s\":", a->file->server[a->self].name);
    if (!strstr(a->gone_said, own))
        return;
    free_word(&a->said);
}

/* What the present leader publishes of leases: the next leader has to know it, and the key is gone then. If
 * this agent leads, the leases themselves. */
static void read_gone_leases(struct agent *a)
{
    uint64_t serial = nd_mirror_serial(a->fleet);
    struct nd_mirror_status s;

    if (serial == a->heard)
        return;
    a->heard = serial;
    nd_mirror_status(a->fleet, &s);
    const struct nd_keys *keys = nd_mirror_lock(a->fleet);
    const struct nd_entry *e = fl_key_find(keys, a->file, "leader/gone", "");
    char *said = e ? strdup(e->value) : NULL;

    if (a->whole && s.whole)
        note_leases(a, keys, clock_of(a));
    nd_mirror_unlock(a->fleet);
    if (said) {
        free(a->gone_said);
        a->gone_said = said;
        say_again(a);
    }
}

/* Reads its copies that have changed. By a copy that is gone, or cannot be read, no order stands. Passing
 * them on waits for a disk, so it is not done under the mirror's lock. `s`: looked at before, so the keys are
 * not older. */
static void read_copies(struct agent *a, const struct nd_mirror_status *s)
{
    uint64_t serial = nd_mirror_serial(a->mirror);
    const struct nd_keys *keys;

    if (serial == a->serial && s->reads == a->reads)
        return;
    a->serial = serial;
    keys = nd_mirror_lock(a->mirror);
    for (uint32_t i = 0; i < a->file->shards; i++) {
        char key[FL_KEY_MAX];
        const struct nd_entry *e = nd_keys_find(keys, fl_copy_key(key, a->file, a->self, i));
        struct ft_fault fault = {""};

        if (!e)
            a->told[i].read = false;
        else if (e->changed != a->told[i].changed || s->reads != a->reads)
            a->told[i].read =
                fl_placement_read(&a->told[i].placement, a->file, e->value, e->len, &fault) == 0;
        a->told[i].changed = e ? e->changed : 0;
    }
    for (uint32_t i = a->file->shards; i < fl_file_all_shards(a->file); i++) {
        char key[FL_KEY_MAX];
        const struct nd_entry *e = nd_keys_find(keys, fl_copy_key(key, a->file, a->self, i));

        fl_local_remove(a->local, i, e && strcmp(e->value, FL_STRAY_ENDS) == 0);
    }
    a->reads = s->reads;
    nd_mirror_unlock(a->mirror);
    for (uint32_t i = 0; i < a->file->shards; i++)
        fl_local_place(a->local, i, a->told[i].read ? &a->told[i].placement : NULL);
}

/* What its key holds has not been true for a while: etcd does not take the true word. */
static bool is_unsaid(const struct nd_mirror_status *s, uint64_t now)
{
    return s->unsaid_since && s->unsaid_since + UNSAID_NS <= now;
}

/* Until when etcd answers, its lease is held, and its word is taken, by what is known; 0: that is not so. */
static uint64_t answered_until(const struct nd_mirror_status *s)
{
    uint64_t unsaid = s->unsaid_since ? s->unsaid_since + UNSAID_NS : UINT64_MAX;

    if (!s->connected_since || !s->lease)
        return 0;
    return s->lease_until < unsaid ? s->lease_until : unsaid;
}

static bool is_answered(const struct nd_mirror_status *s, uint64_t now)
{
    return now < answered_until(s);
}

/* The keys are of now: they were read before the stream began, and it has not been away itself. */
static bool is_of_now(const struct nd_mirror_status *s, uint64_t now)
{
    return s->connected_since && s->answered + ND_MIRROR_GAP_NS > now;
}

/* A restored store has, for as long as a lease, what servers had reported when its backup was taken. Those
 * reports do not name a shard that was created since, and neither does a key. */
static bool may_create(const struct nd_mirror_status *fleet, uint64_t now)
{
    return fleet->connected_since && fleet->connected_since + FOREIGN_NS <= now;
}

/* Logs what ails and why, "" where nothing does, and when it is over. */
static void report_ailment(struct silence *told, const char *ails, const char *over, const char *why)
{
    bool is = why[0];

    if (is == told->is && (!is || strcmp(why, told->why) == 0 || ft_now() - told->at < REPEAT_NS))
        return;
    told->is = is;
    told->at = ft_now();
    snprintf(told->why, sizeof(told->why), "%s", why);
    if (is)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_FLEET, "%s: %s", ails, why);
    else
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_FLEET, "%s", over);
}

static const char *why_silent(const struct nd_mirror_status *s)
{
    return s->connected_since ? "" : s->why;
}

/* Of its own mirror. Where keys are not heard either, that alone is logged. */
static void report_mirror(struct agent *a, const struct nd_mirror_status *s)
{
    bool unsaid = s->connected_since && is_unsaid(s, ft_now());

    report_ailment(&a->silence[0], "this server's keys are not heard", "this server's keys are heard again",
                   why_silent(s));
    report_ailment(&a->unsaid, "this server's word is not written", "this server's word is written again",
                   unsaid ? s->lease_why : "");
}

/* Until when its lease is held and its keys are of now, by what is known; 0: they are not. */
static uint64_t fresh_until(const struct nd_mirror_status *s)
{
    uint64_t answered = answered_until(s), of_now = s->answered + ND_MIRROR_GAP_NS;

    return answered < of_now ? answered : of_now;
}

static bool is_fresh(const struct nd_mirror_status *s, uint64_t now)
{
    return now < fresh_until(s);
}

/* ---- who leads ---------------------------------------------------------------------------------- */

/* The create revision of the leader key, if it is this agent's; 0: another one leads, or nobody. *ghost: its
 * last change, if it has no lease, so that nobody leads, and nobody could; else 0. */
static int64_t own_leader_key(struct agent *a, int64_t lease, bool *somebody, int64_t *ghost)
{
    const struct nd_keys *keys = nd_mirror_lock(a->fleet);
    const struct nd_entry *e = fl_key_find(keys, a->file, "leader", "");
    int64_t created = e && lease && e->lease == lease ? e->created : 0;

    *ghost = e && !e->lease ? e->changed : 0;
    *somebody = e && e->lease;
    nd_mirror_unlock(a->fleet);
    return created;
}

/* A ghost is deleted, and not written over: the key of each leader has a create revision of its own. */
static void ask_to_lead(struct agent *a, int64_t lease, int64_t ghost)
{
    const char *name = a->file->server[a->self].name;
    char key[FL_KEY_MAX];
    struct nd_compare nobody = {
        .key = fl_key(key, a->file, "leader", ""), .of = ghost ? ND_CHANGED : ND_CREATED, .revision = ghost};
    struct nd_change me = {.key = key,
                           .value = ghost ? NULL : name,
                           .len = ghost ? 0 : strlen(name),
                           .lease = ghost ? 0 : lease};
    struct ft_fault fault = {""};
    bool done;

    a->asked = ft_now();
    nd_store_txn(a->etcd, &nobody, 1, &me, 1, &done, NULL, &fault);
}

/* Mirrors all keys from now on, or the leader's alone. */
static int mirror_fleet(struct agent *a, bool whole, struct ft_fault *fault)
{
    char prefix[FL_KEY_MAX];
    const struct nd_mirror_config config = {.etcd = &a->file->etcd,
                                            .prefix = fl_key(prefix, a->file, whole ? "" : "leader", ""),
                                            .name = a->file->server[a->self].name};

    nd_mirror_stop(a->fleet, false);
    a->fleet = NULL;
    a->whole = whole;
    a->counts = false;
    a->heard = 0;
    a->silence[1].is = false;
    memset(a->copied, 0, a->file->shards * sizeof(*a->copied));
    return nd_mirror_start(&a->fleet, &config, fault);
}

static void begin_to_lead(struct agent *a)
{
    a->balancing = false;
    a->leads_since = clock_of(a);
    a->tally.planned = ft_now(); /* the alert goes by its age: one may never come to plan */
}

/* Notes whether the agent leads, and asks to lead where nobody does. It may only while its lease is held.
 * Errors are those of mirror_fleet. */
static int consider_leading(struct agent *a, const struct nd_mirror_status *s, struct ft_fault *fault)
{
    bool somebody, may = is_answered(s, ft_now());
    int64_t ghost;
    struct nd_mirror_status fleet;
    char passed[96] = "";

    nd_mirror_status(a->fleet, &fleet);
    report_ailment(&a->silence[1],
                   a->whole ? "the fleet's keys are not heard" : "the leader's keys are not heard",
                   a->whole ? "the fleet's keys are heard again" : "the leader's keys are heard again",
                   why_silent(&fleet));
    if (fleet.passed)
        snprintf(passed, sizeof(passed), "%lu are longer than %u bytes, or not in UTF-8", fleet.passed,
                 ND_KEY_MAX - 1);
    report_ailment(&a->passed, "keys of the fleet are passed over",
                   "no key of the fleet is passed over any more", passed);
    if (may && !fleet.whole) /* it reads who leads just now */
        return 0;
    int64_t leads = own_leader_key(a, may ? s->lease : 0, &somebody, &ghost);

    if (leads != a->leads)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_FLEET, leads ? "leads the fleet" : "leads the fleet no more");
    if (leads && !a->leads)
        begin_to_lead(a);
    if (!leads && a->leads)
        fl_tally_end(&a->tally, a->file->shards);
    a->leads = leads;
    a->lease = s->lease;
    if (may && !somebody && ft_now() - a->asked > LEADS_NS)
        ask_to_lead(a, s->lease, ghost);
    return (leads != 0) == a->whole ? 0 : mirror_fleet(a, leads != 0, fault);
}

/* ---- planning ----------------------------------------------------------------------------------- */

/* `what` is for the log. `then`: further conditions of the write. *revision: in which etcd has taken it,
 * since the conditions hold; 0: it has not. False: etcd does not answer. */
static bool write_keys(struct agent *a, const char *what, const struct nd_change *changes, size_t count,
                       const struct nd_compare *then, size_t thens, int64_t *revision)
{
    char leader[FL_KEY_MAX];
    struct nd_compare compares[1 + BATCH] = {
        {.key = fl_key(leader, a->file, "leader", ""), .of = ND_CREATED, .revision = a->leads}};
    struct ft_fault fault = {""};
    bool done;

    for (size_t i = 0; i < thens; i++)
        compares[1 + i] = then[i];
    int error = nd_store_txn(a->etcd, compares, 1 + thens, changes, count, &done, revision, &fault);

    if (!done)
        *revision = 0;
    if (error)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_FLEET, "%s: %s", what, fault.text);
    return !error;
}

static bool write_key(struct agent *a, const char *what, const struct nd_change *change,
                      const struct nd_compare *then, bool *done)
{
    int64_t revision;
    bool answers = write_keys(a, what, change, 1, then, then ? 1 : 0, &revision);

    *done = revision != 0;
    return answers;
}

/* With the copies for those whom it concerns. False as well where there is no memory for the value. */
static bool write_shard(struct agent *a, const struct fl_picture *p, uint32_t shard,
                        const struct fl_placement *next, bool *done)
{
    char key[FL_KEY_MAX], copy[FL_COPIES_MOST][FL_KEY_MAX], what[FL_NAME_MAX + 8];
    uint32_t to[FL_COPIES_MOST], count = fl_picture_copies_to(p, shard, next, to);
    json_t *o = fl_placement_write(a->file, next);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    struct nd_change change[1 + FL_COPIES_MOST] = {
        {.key = fl_key(key, a->file, "shards/", a->file->shard[shard].name)}};
    const struct nd_compare unchanged = {.key = key, .of = ND_CHANGED, .revision = p->revision[shard]};
    int64_t revision = 0;

    for (uint32_t i = 0; i < count; i++)
        change[1 + i].key = fl_copy_key(copy[i], a->file, to[i], shard);
    for (uint32_t i = 0; i <= count; i++) {
        change[i].value = text;
        change[i].len = text ? strlen(text) : 0;
    }
    snprintf(what, sizeof(what), "shard %s", a->file->shard[shard].name);
    bool answers = text && write_keys(a, what, change, 1 + count, &unchanged, 1, &revision);

    *done = revision != 0;
    if (*done)
        a->copied[shard] = revision;
    free(text);
    json_decref(o);
    return answers;
}

/* Copies that are not as they are to be: of keys that others wrote, and of servers that hear of a shard no
 * more. `copies` is freed. Where there are many, later plans find the rest. False: etcd does not answer. */
static bool write_copies(struct agent *a, struct fl_copies *copies)
{
    uint64_t until = ft_now() + CARRY_NS;
    bool answers = true, again = false;
    size_t at = 0;

    while (answers && at < copies->count && ft_now() < until) {
        struct nd_change change[BATCH];
        struct nd_compare unchanged[BATCH];
        size_t count = 0;
        int64_t revision;

        for (; count < BATCH && at < copies->count; count++, at++) {
            const struct fl_copy *copy = &copies->at[at];

            change[count] = (struct nd_change){
                .key = copy->key, .value = copy->value, .len = copy->value ? strlen(copy->value) : 0};
            unchanged[count] =
                (struct nd_compare){.key = copy->key, .of = ND_CHANGED, .revision = copy->revision};
        }
        answers = write_keys(a, "copies for agents", change, count, unchanged, count, &revision);
        again |= !revision;
    }
    if (again || at < copies->count) /* the next plan looks at all */
        memset(a->copied, 0, a->file->shards * sizeof(*a->copied));
    fl_copies_free(copies);
    return answers;
}

/* A move that is over is taken away, if it is still the one that was seen. False: etcd does not answer. */
static bool end_move(struct agent *a, const struct fl_picture *p, uint32_t shard)
{
    char key[FL_KEY_MAX];
    const struct nd_change gone = {.key = fl_key(key, a->file, "wishes/move/", a->file->shard[shard].name)};
    const struct nd_compare unchanged = {.key = key, .of = ND_CHANGED, .revision = p->move[shard]};
    bool done = false;
    bool answers = !fl_picture_moved(p, shard) || write_key(a, "the end of a move", &gone, &unchanged, &done);

    if (done)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_FLEET, "shard %s: its move %s", a->file->shard[shard].name,
                     p->shard[shard].moves ? "is over" : "names no server of this file: it is taken away");
    return answers;
}

/* Until etcd does not answer: false. */
static bool end_upgrades(struct agent *a, const struct fl_picture *p)
{
    bool answers = true;

    for (uint32_t i = 0; answers && i < a->file->servers; i++) {
        char key[FL_KEY_MAX];
        const char *name = a->file->server[i].name;
        const struct nd_change gone = {.key = fl_key(key, a->file, "wishes/upgrade/", name)};
        const struct nd_compare unchanged = {
            .key = key, .of = ND_CHANGED, .revision = p->upgrade[i].revision};
        bool done = false;

        if (fl_picture_upgraded(p, i))
            answers = write_key(a, "the end of an upgrade", &gone, &unchanged, &done);
        if (done)
            ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_FLEET, "server %s: all its nodes were started anew", name);
    }
    return answers;
}

/* Writes what the leader knows of leases that are gone, for people's commands, which plan as it does. The key
 * goes with its lease. False: etcd does not answer. */
static bool write_gone(struct agent *a, const struct fl_picture *p)
{
    char key[FL_KEY_MAX], *text = fl_picture_gone(p);
    const struct nd_change change = {.key = fl_key(key, a->file, "leader/gone", ""),
                                     .value = text,
                                     .len = text ? strlen(text) : 0,
                                     .lease = a->lease};
    const struct nd_keys *keys = nd_mirror_lock(a->fleet);
    const struct nd_entry *e = fl_key_find(keys, a->file, "leader/gone", "");
    bool told = e && text && e->lease == a->lease && strcmp(e->value, text) == 0, done;

    nd_mirror_unlock(a->fleet);
    bool answers = !text || told || write_key(a, "the key of leases that are gone", &change, NULL, &done);

    free(text);
    return answers;
}

/* What is to be written of one shard. False: etcd does not answer. */
static bool carry_shard(struct agent *a, const struct fl_picture *p, const struct fl_plan *plan,
                        uint32_t shard)
{
    const struct fl_step *step = &plan->step[shard];
    struct fl_placement next;
    char why[FL_WHY_MAX];
    bool done;

    if (!end_move(a, p, shard))
        return false;
    if ((step->kind == FL_CREATE && !a->creates) || !fl_picture_next(p, plan, shard, &next))
        return true;
    if (step->kind != FL_LEAVE)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_FLEET, "shard %s: %s", a->file->shard[shard].name,
                     fl_plan_explain(plan, &p->fleet, shard, why));
    bool answers = write_shard(a, p, shard, &next, &done);

    if (done)
        fl_tally_written(&a->tally, step);
    return answers;
}

/* Orders first, the most urgent of them first. Where thousands of keys are to be written, as after a power
 * cut, the rest waits for the next plan: else the turn takes so long that the watchdog ends the agent, and
 * orders are given by what was seen a minute ago. */
static void carry_plan(struct agent *a, const struct fl_picture *p)
{
    struct fl_plan *plan;
    struct ft_fault fault = {""};

    if (fl_plan_make(&plan, &p->fleet, &fault) != 0) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_FLEET, "no plan: %s", fault.text);
        return;
    }
    a->balancing = plan->balancing;
    fl_tally_plan(&a->tally, p, plan, ft_now());
    uint64_t until = ft_now() + CARRY_NS;
    bool goes_on = true;

    for (uint32_t i = 0; goes_on && i < plan->orders; i++)
        goes_on = carry_shard(a, p, plan, plan->order[i]) && ft_now() < until;
    for (uint32_t i = 0; goes_on && i < a->file->shards; i++)
        if (plan->step[i].kind == FL_LEAVE)
            goes_on = carry_shard(a, p, plan, i) && ft_now() < until;
    fl_plan_free(plan);
}

/* Of this thread, ns. */
static uint64_t spent(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* When the next plan may be, after one that ended now and took that much processor time: whatever there is to
 * hear, a leader has two thirds of a processor for something else. */
static uint64_t rest_until(uint64_t now, uint64_t took)
{
    return now + (2 * took > REST_NS ? 2 * took : REST_NS);
}

/* `s`: of its own mirror. */
static void plan(struct agent *a, const struct nd_mirror_status *s)
{
    uint64_t serial = nd_mirror_serial(a->fleet), now = clock_of(a), began = spent();
    bool all = ft_now() - a->reviewed > REVIEW_NS;
    struct nd_mirror_status fleet;
    struct fl_picture picture;
    struct fl_copies copies;
    struct ft_fault fault = {""};

    nd_mirror_status(a->fleet, &fleet);
    if (!a->leads || !a->counts || !is_fresh(s, ft_now()) || !is_of_now(&fleet, ft_now()) ||
        ft_now() < a->rests || (serial == a->planned_serial && ft_now() - a->planned < PLAN_NS))
        return;
    a->planned = ft_now();
    a->planned_serial = serial;
    a->creates = may_create(&fleet, a->planned);
    const struct nd_keys *keys = nd_mirror_lock(a->fleet);
    int error = fl_picture_make(&picture, a->file, keys, a->gone, now, &fault);

    if (!error && (fl_copies_find(&copies, &picture, keys, a->copied, all, &fault) != 0 ||
                   fl_stray_follow(&copies, &picture, keys, all, &fault) != 0)) {
        fl_copies_free(&copies);
        fl_picture_free(&picture);
        error = FT_ENOMEM;
    }
    nd_mirror_unlock(a->fleet);
    if (error) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_FLEET, "%s", fault.text);
        return;
    }
    a->reviewed = all ? ft_now() : a->reviewed;
    picture.fleet.balancing = a->balancing;
    picture.fleet.began = a->leads_since;
    if (write_copies(a, &copies) && write_gone(a, &picture) && end_upgrades(a, &picture))
        carry_plan(a, &picture);
    fl_picture_free(&picture);
    a->rests = rest_until(ft_now(), spent() - began);
}

/* ---- the agent ---------------------------------------------------------------------------------- */

static void answer_metrics(struct agent *a, const struct nd_mirror_status *s)
{
    if (!nd_metrics_asked(a->metrics))
        return;
    uint64_t now = ft_now();

    a->tally.refused = fl_local_refused(a->local);
    json_t *status = fl_tally_status(&a->tally, &a->file->server[a->self], fl_local_said(a->local),
                                     is_answered(s, now), a->leads != 0, now);

    nd_metrics_answer(a->metrics, &fl_agent_page, status);
    json_decref(status);
}

/* Its lease is kept by a thread of its own, so a server whose agent hangs would be taken for one that lives:
 * the unit's watchdog ends an agent that does not begin another turn. */
static void notify_supervisor(struct agent *a, const struct nd_mirror_status *s)
{
    uint64_t now = ft_now();

    nd_notify_status(&a->notify, !is_answered(s, now) ? "etcd does not answer"
                                 : a->leads           ? "leads the fleet"
                                                      : "etcd answers");
    nd_notify_watchdog(&a->notify, now, &now, 1);
}

static bool is_turn_due(const struct agent *a, uint64_t now)
{
    return now - a->turned >= TURN_NS;
}

/* Until when there is nothing to do, unless keys change: ms from now. */
static int pause_ms(const struct agent *a, uint64_t now)
{
    uint64_t until = a->turned + TURN_NS;

    if (a->leads && nd_mirror_serial(a->fleet) != a->planned_serial && a->rests > now && a->rests < until)
        until = a->rests;
    return until > now ? (int)((until - now) / 1000000) + 1 : 0;
}

/* Asks its nodes for their status, and sends them their orders. */
static void turn_nodes(struct agent *a)
{
    struct nd_mirror_status s;

    nd_mirror_status(a->mirror, &s); /* before the keys: these are not older */
    read_copies(a, &s);
    fl_local_turn(a->local, fresh_until(&s), ft_now());
    say(a);
    a->turned = ft_now();
}

static int run(struct agent *a, struct ft_fault *fault)
{
    int error = 0;

    while (!atomic_load(&nd_daemon_ends) && !error) {
        struct pollfd changed[] = {{.fd = nd_mirror_fd(a->mirror), .events = POLLIN},
                                   {.fd = nd_mirror_fd(a->fleet), .events = POLLIN}};
        struct nd_mirror_status s;
        uint64_t serial;
        bool again = false;

        if (poll(changed, 2, pause_ms(a, ft_now())) > 0)
            for (int i = 0; i < 2; i++)
                again |= changed[i].revents && read(changed[i].fd, &serial, sizeof(serial)) < 0;
        if (again)
            continue;
        if (changed[0].revents || is_turn_due(a, ft_now()))
            turn_nodes(a);
        nd_mirror_status(a->mirror, &s);
        report_mirror(a, &s);
        read_gone_leases(a);
        error = fl_local_stands(a->local) ? consider_leading(a, &s, fault)
                                          : ft_fail(fault, FT_EIO, "the steward has ended");
        if (error)
            break;
        plan(a, &s);
        answer_metrics(a, &s);
        notify_supervisor(a, &s);
    }
    return error;
}

/* Two servers of one short host name would report each other's nodes in one key. FT_EINVAL. */
static int check_host(const struct fl_server_entry *own, struct ft_fault *fault)
{
    return nd_address_here(own->host)
               ? 0
               : ft_fail(fault, FT_EINVAL,
                         "this machine has not the address %s, expected the host of server %s", own->host,
                         own->name);
}

static int open_agent(struct agent *a, int steward, struct ft_fault *fault)
{
    char prefix[FL_KEY_MAX], copies[FL_NAME_MAX + 1], key[FL_KEY_MAX];
    static const struct nd_etcd_limits limits = {.reply = ND_STORE_REPLY, .request_ms = 1000};

    snprintf(copies, sizeof(copies), "%s/", a->file->server[a->self].name);
    const struct nd_mirror_config mirror = {
        .etcd = &a->file->etcd,
        .prefix = fl_key(prefix, a->file, "agents/", copies),
        .name = a->file->server[a->self].name,
        .key = fl_key(key, a->file, "servers/", a->file->server[a->self].name),
        .ttl_s = LEASE_S};
    int error = check_host(&a->file->server[a->self], fault);

    if (error)
        close(steward);
    else
        error = fl_local_open(&a->local, a->file, a->self, steward, fault);
    a->gone = calloc(a->file->servers, sizeof(*a->gone));
    a->held = calloc(a->file->servers, sizeof(*a->held));
    a->told = calloc(a->file->shards + 1, sizeof(*a->told));
    a->copied = calloc(a->file->shards + 1, sizeof(*a->copied));
    if (!error && (!a->gone || !a->held || !a->told || !a->copied))
        error = ft_fail(fault, FT_ENOMEM, "no memory for the agent");
    if (!error)
        error = fl_tally_make(&a->tally, a->file->shards, fault);
    const struct fl_server_entry *own = &a->file->server[a->self];

    if (!error)
        error = nd_metrics_open(&a->metrics, own->metrics_host, own->metrics_port, fault);
    if (!error)
        error = nd_etcd_open(&a->etcd, &a->file->etcd, &limits, NULL, NULL, fault);
    if (!error)
        nd_etcd_begin_at(a->etcd, mirror.name);
    if (!error)
        error = nd_mirror_start(&a->mirror, &mirror, fault);
    return error ? error : mirror_fleet(a, false, fault);
}

int fl_agent_run(const struct fl_file *file, uint32_t server, int steward, struct ft_fault *fault)
{
    struct agent a = {.file = file, .self = server, .wall = ft_wall() - ft_now()};
    const struct nd_event_writer_config log = {.node = file->server[server].name};
    int error = nd_event_writer_start(&log, fault);

    if (error) {
        close(steward);
        return error;
    }
    nd_notify_open(&a.notify);
    nd_daemon_begin(false);
    nd_ask_limit(ANSWER_MIB);
    error = open_agent(&a, steward, fault);
    if (!error)
        error = run(&a, fault);
    nd_notify_close(&a.notify);
    nd_metrics_close(a.metrics);
    nd_mirror_stop(a.fleet, false);
    nd_mirror_stop(a.mirror, false);
    nd_etcd_close(a.etcd);
    fl_tally_free(&a.tally);
    fl_local_close(a.local);
    free_word(&a.said);
    free(a.gone_said);
    free(a.copied);
    free(a.gone);
    free(a.held);
    free(a.told);
    nd_event_writer_stop();
    return error;
}
