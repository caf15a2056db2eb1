/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks for another chain: apply (the files as they are now), rollback (a set that was kept), both also
 * without doing it (dry run) or until a confirm; confirm; and push, or what it would write. The main
 * thread's; a step waits for nothing, and change.h has the stages.
 *
 * What waits for a confirm, and gets none, is asked for as a rollback by the node itself (nd_answer_due): by
 * whoever is primary then, since both nodes know the note.
 */
#include "understudy/change/parts.h"
#include "understudy/config/peer.h"
#include "ftcore/base/clock.h"
#include "understudy/base/event_writer.h"
#include "understudy/config/chain_warnings.h"
#include "understudy/control/commands.h"
#include "understudy/change/plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a command waits in each stage. */
static const uint32_t limit_ms[] = {
    [ND_CHANGE_ASKED] = 3000, /* a standby whose answers are late answers again; the disk is free */
    [ND_CHANGE_READ] = 10000, [ND_CHANGE_OFFERED] = 10000, [ND_CHANGE_ARMED] = 5000,
    [ND_CHANGE_ALONE] = 5000, [ND_CHANGE_READY] = 40000,   [ND_CHANGE_TOLD] = 3000,
};

#define CONFIRM_MIN_S 10
#define CONFIRM_MAX_S 86400

static bool is_dry(const struct nd_exchange *x)
{
    return json_is_true(json_object_get(x->request, x->command == ND_CMD_PUSH ? "diff" : "dry_run"));
}

static bool refused_as(struct nd_changing *g, struct nd_exchange *x, const char *code, const char *what,
                       const char *why)
{
    if (!nd_change_give_up(g))
        return false; /* a lane is at it: a later step sees what became of it */
    nd_change_log(g, FT_LEVEL_WARNING, "%s%s%s", what, *what ? ": " : "", why);
    return nd_refused(x, code, "%s; the chain is as it was", g->told);
}

static bool refused(struct nd_changing *g, struct nd_exchange *x, const char *what, const char *why)
{
    return refused_as(g, x, "busy", what, why);
}

static void add_warning(void *lines, const char *line)
{
    json_array_append_new(lines, json_string(line));
}

/* The warnings of `check` about that chain. */
static json_t *warnings_of(const struct nd_config *config)
{
    json_t *lines = json_array();

    nd_chain_warn(config, add_warning, lines);
    return lines;
}

static bool __attribute__((format(printf, 3, 4)))
done(struct nd_changing *g, struct nd_exchange *x, const char *fmt, ...)
{
    const struct nd_confirm *c = &g->confirm;
    uint64_t now = ft_now();
    char text[400], waits[80] = "";
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (c->until > now && x->command != ND_CMD_PUSH)
        snprintf(waits, sizeof(waits), "; it goes back in %" PRIu64 " s, unless `confirm` is said",
                 (uint64_t)((c->until - now) / (1000 * FT_MS)));
    return nd_answered(x, json_pack("{s:b,s:s++,s:o*}", "done", 1, "text", text, waits, "", "warnings",
                                    x->command == ND_CMD_APPLY || x->command == ND_CMD_ROLLBACK
                                        ? warnings_of(g->config)
                                        : NULL));
}

/* Not answered yet: false. */
static bool enter(struct nd_changing *g, enum nd_change_stage stage)
{
    g->asked = stage;
    g->limit = ft_now() + limit_ms[stage] * FT_MS;
    return false;
}

static bool is_over(const struct nd_changing *g)
{
    return ft_now() > g->limit;
}

/* `note`: goes with them to a peer that understands it; NULL: none does. */
static int send_files(struct nd_changing *g, const struct nd_config *config, uint64_t chain,
                      const struct nd_note *note, struct ft_fault *fault)
{
    struct nd_files files;
    uint32_t len = 0;
    uint8_t *bytes, *noted = NULL;
    int error;

    if (!config->link.key[0] && !config->link.certificate[0])
        return ft_fail(
            fault, FT_EPERM,
            "link.insecure: true: a chain's files travel over a sealed link alone, expected a key or "
            "certificates");
    error = nd_files_of(&files, config, fault);
    if (error)
        return error;
    bytes = nd_files_pack(&files, &len);
    if (bytes && note)
        noted = nd_note_pack(note, bytes, len, &len);
    g->confirm.telling = 0; /* what was being sent to the peer is sent again later */
    if (!bytes || (note && !noted) || !rp_push(g->replicator, chain, note ? noted : bytes, len))
        error = ft_fail(fault, FT_EBUSY, "files are on their way to the peer already");
    free(bytes);
    free(noted);
    return error;
}

/* The standby's answers are late, as they are for moments on a busy machine: the chain waits for them. */
static bool is_late(const struct nd_changing *g, const struct rp_status *s)
{
    return s->core.peer.known && s->core.state == FT_DEGRADED && !is_over(g);
}

/* A job of before may be under way for a moment: the set that ran is being kept; and so may a note to the
 * peer, which takes one thing at a time. */
static bool read_files(struct nd_changing *g, struct nd_exchange *x, uint64_t set)
{
    struct nd_files_job job = nd_change_job(g, set ? ND_FILES_BACK : ND_FILES_READ);

    job.number = set;
    job.permit |= set != 0; /* whoever acts here may have the node's own files written */
    if (g->confirm.telling && !is_over(g))
        return false;
    nd_files_job_end(&g->read);
    g->was_read = false;
    if (!nd_files_give(g->files, &job))
        return is_over(g) && nd_refused(x, "busy", "the disk has not done what it was asked for before");
    return enter(g, ND_CHANGE_READ);
}

/* 0: they make a change; or why not. FT_EBUSY with no text: they are still being read. */
static int take_read(struct nd_changing *g, bool state, struct nd_change **c, struct ft_fault *fault)
{
    struct nd_config *next = g->read.next;

    if (!g->was_read && !is_over(g))
        return FT_EBUSY;
    if (!g->was_read)
        return ft_fail(fault, FT_EBUSY, "%s: the disk does not give the files", g->config->file);
    g->was_read = false;
    g->read.next = NULL;
    *fault = g->read.fault;
    return g->read.error ? g->read.error : nd_change_make(g, next, state, c, fault);
}

/* Why this node cannot apply its files now; NULL: it can. */
static json_t *refuse_state(const struct rp_status *s)
{
    if (!ft_core_primary(&s->core))
        return nd_refuse("busy", "%s: the primary applies a chain", ft_state_name(s->core.state));
    if (s->core.peer.known && s->core.state != FT_PROTECTED)
        return nd_refuse("busy", "%s: %s: a pair's chain is changed while it is PROTECTED",
                         ft_state_name(s->core.state), s->core.why);
    return NULL;
}

/* Why a change cannot wait for a confirm; NULL: it can. */
static json_t *refuse_confirm(const struct nd_changing *g, const json_t *confirm, const struct rp_status *s)
{
    json_int_t seconds = json_integer_value(confirm);

    if (seconds < CONFIRM_MIN_S || seconds > CONFIRM_MAX_S)
        return nd_refuse("invalid", "confirm: expected %d to %d seconds", CONFIRM_MIN_S, CONFIRM_MAX_S);
    if (s->core.peer.known && !nd_confirm_speaks(s))
        return nd_refuse_version(s, "a change that waits for a confirm");
    if (nd_confirm_find(&g->confirm, nd_change_hash(g, s)) < 0)
        return nd_refuse("busy",
                         "the files of the chain that runs are not kept in %.100s, so nothing can go "
                         "back",
                         g->confirm.sets);
    return NULL;
}

/* Why not this; NULL: nothing speaks against it. *set: the number of the set to go back to; 0: the files. */
static json_t *refuse_request(const struct nd_changing *g, const struct nd_exchange *x,
                              const struct rp_status *s, uint64_t *set)
{
    const struct nd_confirm *c = &g->confirm;
    const json_t *confirm = json_object_get(x->request, "confirm"), *which;

    *set = 0;
    if ((x->command == ND_CMD_ROLLBACK || confirm) && !g->config->chain_file[0])
        return nd_refuse("invalid", "the chain stands in the pair file, which no node writes, so nothing can "
                                    "go back: expected chain: {file: ...}");
    if (x->command == ND_CMD_ROLLBACK) {
        which = json_object_get(x->request, "set");
        if (!json_is_integer(which) || json_integer_value(which) < 0 ||
            json_integer_value(which) >= (json_int_t)c->count)
            return nd_refuse("not found", "rollback: no such set, expected 0 to %u (see understudy history)",
                             c->count ? c->count - 1 : 0);
        *set = c->kept[json_integer_value(which)].number;
    } else if (c->until && !is_dry(x)) {
        return nd_refuse("busy", "the change by %.39s waits for a confirm: confirm it, or rollback 1, first",
                         c->order.by);
    }
    return confirm ? refuse_confirm(g, confirm, s) : NULL;
}

static bool begin_apply(struct nd_changing *g, struct nd_exchange *x, const struct rp_status *s)
{
    json_int_t confirm = json_integer_value(json_object_get(x->request, "confirm")),
               number = json_integer_value(json_object_get(x->request, "set"));
    json_t *refusal;
    uint64_t set;

    if (is_late(g, s))
        return false;
    refusal = refuse_state(s);
    if (!refusal)
        refusal = refuse_request(g, x, s, &set);
    if (refusal)
        return nd_answered(x, refusal);
    if (!nd_change_give_up(g))
        return nd_refused(x, "busy", "a change is under way");
    g->note = nd_change_note(g, x->command == ND_CMD_APPLY ? "apply" : "went back", 0);
    g->note.back = nd_change_hash(g, s);
    g->note.confirm_ms = (uint64_t)confirm * 1000;
    nd_client_name(&x->client, g->note.by);
    if (x->command == ND_CMD_ROLLBACK && x->client.pid)
        snprintf(g->note.how, sizeof(g->note.how), "rollback %u", (unsigned)number);
    return read_files(g, x, set);
}

/* Where this node keeps the files of the chain that runs; null: it does not. */
static json_t *kept_in(const struct nd_changing *g, uint64_t chain)
{
    const struct nd_confirm *c = &g->confirm;
    char path[ND_KEPT_PATH];
    int at = nd_confirm_find(c, chain);

    if (at < 0)
        return json_null();
    nd_kept_name(path, c->sets, c->kept[at].number);
    return json_string(path);
}

/* What it would do; nothing of it stays. */
static bool show_plan(struct nd_changing *g, struct nd_exchange *x, struct nd_change *c, uint64_t runs)
{
    json_t *plan = nd_plan_json(&c->plan, g->counts, ft_region_used(g->region));
    bool same = c->chain.hash == runs;

    json_object_set_new(plan, "kept_in", kept_in(g, runs));
    json_object_set_new(plan, "warnings", warnings_of(c->next));
    nd_change_free(c);
    if (g->read.staged)
        nd_change_order(g, ND_FILES_DROP);
    json_object_set_new(plan, "done", json_true());
    json_object_set_new(plan, "same", json_boolean(same));
    return nd_answered(x, plan);
}

/* The set that was kept makes the chain that it made then. */
static int check_set(const struct nd_changing *g, const struct nd_exchange *x, const struct nd_change *c,
                     struct ft_fault *fault)
{
    for (unsigned i = 0; x->command == ND_CMD_ROLLBACK && i < g->confirm.count; i++)
        if (g->confirm.kept[i].number == g->read.number && g->confirm.kept[i].chain != c->chain.hash)
            return ft_fail(fault, FT_EINVAL,
                           "the set makes another chain now than it did: is a module, or the pair file, "
                           "another one?");
    return 0;
}

/* The chain runs already: of a set that was kept, its files take their places here. */
static bool stay(struct nd_changing *g, struct nd_exchange *x)
{
    if (x->command != ND_CMD_ROLLBACK)
        return done(g, x, "the chain file is the one that runs");
    g->note.confirm_ms = 0;
    nd_confirm_take(&g->confirm, &g->note, ft_now());
    if (g->read.staged)
        nd_change_order(g, ND_FILES_INSTALL);
    return done(g, x,
                "that chain runs, and its files are in their places here: push gives them to the other node");
}

static bool at_files(struct nd_changing *g, struct nd_exchange *x, const struct rp_status *s)
{
    struct ft_fault fault = {""};
    struct nd_change *c = NULL;
    json_t *refusal;
    bool bad;
    int error;

    if (is_late(g, s))
        return false;
    refusal = refuse_state(s);
    error = refusal ? FT_EBUSY : take_read(g, true, &c, &fault);
    if (!refusal && error && !fault.text[0])
        return false;
    if (!error && (error = check_set(g, x, c, &fault)))
        nd_change_free(c);
    if (error && g->read.staged)
        nd_change_order(g, ND_FILES_DROP);
    if (refusal)
        return nd_answered(x, refusal);
    /* What `check` refuses as bad data is the same here. */
    bad = error == g->read.error && error != FT_EPERM && error != FT_EBUSY && error != FT_ENOMEM;
    if (error)
        return refused_as(g, x, bad ? "invalid" : "busy", "", fault.text);
    if (is_dry(x))
        return show_plan(g, x, c, nd_change_hash(g, s));
    if (c->chain.hash == nd_change_hash(g, s)) {
        nd_change_free(c);
        return stay(g, x);
    }
    g->note.chain = c->chain.hash;
    nd_change_offer(g, c, g->read.staged);
    g->resyncs = s->core.resyncs;
    if (!s->core.peer.known) {
        nd_change_pass(c, ND_CHANGE_OFFERED, ND_CHANGE_ALONE);
        nd_change_log(g, FT_LEVEL_NOTICE, "the chain is being changed, without a peer");
        return enter(g, ND_CHANGE_ALONE);
    }
    if (send_files(g, c->next, c->chain.hash, nd_confirm_speaks(s) ? &g->note : NULL, &fault) != 0)
        return refused(g, x, "", fault.text);
    nd_change_log(g, FT_LEVEL_NOTICE, "the peer is checking the chain's files");
    return enter(g, ND_CHANGE_OFFERED);
}

/* The peer's answer: then the lanes' turn, at the cut of a resync. */
static bool at_peer(struct nd_changing *g, struct nd_exchange *x, const struct rp_status *s)
{
    struct rp_push_answer answer;

    if (!s->core.peer.known)
        return refused(g, x, s->core.peer.name, "the standby was lost");
    if (is_late(g, s))
        return false;
    if (!rp_push_answered(g->replicator, &answer))
        return is_over(g) && refused(g, x, s->core.peer.name, "no answer about the chain's files");
    if (!answer.taken)
        return refused(g, x, s->core.peer.name, answer.text);
    if (s->core.state != FT_PROTECTED)
        return refused(g, x, ft_state_name(s->core.state), s->core.why);
    nd_change_pass(g->change, ND_CHANGE_OFFERED, ND_CHANGE_ARMED);
    rp_request(g->replicator, FT_REQUEST_RESYNC);
    nd_change_log(g, FT_LEVEL_NOTICE, "the chain is being changed; a resync follows");
    return enter(g, ND_CHANGE_ARMED);
}

/* nd_changes_turn has finished it where it is done. */
static bool at_lanes(struct nd_changing *g, struct nd_exchange *x)
{
    const struct nd_change *c = g->change;

    if (!c && g->asked == ND_CHANGE_ALONE)
        return done(g, x, "%s; node %s was not connected: push the files to it once it is", g->told,
                    nd_peer_name(g->config, g->self));
    if (!c)
        return enter(g, ND_CHANGE_READY);
    if (atomic_load_explicit(&c->stage, memory_order_acquire) == ND_CHANGE_FAILED)
        return refused(g, x, "", c->fault.text);
    return is_over(g) && refused(g, x, "", "the lanes did not come to a cut in time");
}

static bool at_standby(struct nd_changing *g, struct nd_exchange *x, const struct rp_status *s)
{
    if (s->core.state == FT_PROTECTED && s->core.resyncs != g->resyncs)
        return done(g, x, "%s; PROTECTED again", g->told);
    return is_over(g) && done(g, x, "%s; the standby is not READY yet", g->told);
}

static bool apply(struct nd_changing *g, struct nd_exchange *x, const struct rp_status *s)
{
    switch (g->asked) {
    case ND_CHANGE_ASKED:
        return begin_apply(g, x, s);
    case ND_CHANGE_READ:
        return at_files(g, x, s);
    case ND_CHANGE_OFFERED:
        return at_peer(g, x, s);
    case ND_CHANGE_READY:
        return at_standby(g, x, s);
    default:
        return at_lanes(g, x);
    }
}

/* ---- push, confirm ------------------------------------------------------------------------------- */

/* The files as they are here; the chain that runs is theirs. Dry: the peer answers which it would get. */
static bool push_files(struct nd_changing *g, struct nd_exchange *x, const struct rp_status *s)
{
    struct nd_note asks = nd_change_note(g, ND_HOW_DIFF, 0);
    struct ft_fault fault = {""};
    struct nd_change *c = NULL;
    int error = take_read(g, false, &c, &fault);

    if (error && !fault.text[0])
        return false;
    if (!error && g->change)
        error = ft_fail(&fault, FT_EBUSY, "a change is under way");
    if (!error && c->chain.hash != nd_change_hash(g, s))
        error =
            ft_fail(&fault, FT_EINVAL,
                    "the files here make another chain than the one that runs: apply them, or, where apply "
                    "refuses them, put those that run back first");
    if (!error)
        error = send_files(g, c->next, c->chain.hash, is_dry(x) ? &asks : NULL, &fault);
    nd_change_free(c);
    if (error)
        return nd_refused(x, "invalid", "%s", fault.text);
    return enter(g, ND_CHANGE_OFFERED);
}

static bool push(struct nd_changing *g, struct nd_exchange *x, const struct rp_status *s)
{
    const char *peer = nd_peer_name(g->config, g->self);
    struct rp_push_answer answer;

    if (!ft_core_primary(&s->core))
        return nd_refused(x, "busy", "%s: the primary pushes its files", ft_state_name(s->core.state));
    if (is_dry(x) && *s->core.peer.program && !nd_confirm_speaks(s))
        return nd_answered(x, nd_refuse_version(s, "push --diff"));
    if (g->asked == ND_CHANGE_ASKED)
        return g->change ? nd_refused(x, "busy", "a change is under way") : read_files(g, x, 0);
    if (g->asked == ND_CHANGE_READ)
        return push_files(g, x, s);
    if (rp_push_answered(g->replicator, &answer)) {
        if (!answer.taken)
            return nd_refused(x, "busy", "node %s: %s", peer, answer.text);
        return done(g, x, "node %s %s%s", peer, *answer.text ? "would get " : "has the chain's files",
                    answer.text);
    }
    if (!is_over(g))
        return false;
    rp_push_forget(g->replicator);
    return nd_refused(x, "busy", "node %s does not answer", peer);
}

/* Until both nodes know it, or the other one is not there. */
static bool confirm(struct nd_changing *g, struct nd_exchange *x, const struct rp_status *s)
{
    struct nd_note note = nd_change_note(g, "confirm", nd_change_hash(g, s));
    bool told = nd_confirm_is_known(&g->confirm, s);

    if (g->asked == ND_CHANGE_ASKED) {
        if (!ft_core_primary(&s->core))
            return nd_refused(x, "busy", "%s: the primary confirms", ft_state_name(s->core.state));
        if (!g->confirm.until)
            return nd_refused(x, "busy", "no change waits for a confirm");
        nd_client_name(&x->client, note.by);
        nd_confirm_take(&g->confirm, &note, ft_now());
        nd_change_log(g, FT_LEVEL_NOTICE, "the chain is confirmed, by %s", note.by);
        return enter(g, ND_CHANGE_TOLD);
    }
    if (!told && s->core.peer.known && !is_over(g))
        return false;
    if (told)
        return done(g, x, "the chain stays; both nodes know it");
    return done(g, x, "the chain stays; node %s hears of it when they meet",
                nd_peer_name(g->config, g->self));
}

/* ---- what is kept ------------------------------------------------------------------------------- */

json_t *nd_answer_history(const struct nd_changing *g)
{
    const struct nd_confirm *c = &g->confirm;
    uint64_t now = ft_now();
    json_t *sets = json_array();

    for (unsigned i = 0; i < c->count; i++) {
        const struct nd_note *note = &c->kept[i];
        char time[ND_WALL_TEXT], chain[24];
        bool waits = c->until && note->number == c->order.number;

        snprintf(chain, sizeof(chain), "%016" PRIx64, note->chain);
        json_array_append_new(
            sets,
            json_pack("{s:i,s:s,s:s,s:s,s:s,s:o}", "set", (int)i, "time", nd_wall_text(time, note->number),
                      "by", note->by, "how", note->how, "chain", chain, "confirm_s",
                      waits
                          ? json_integer((json_int_t)(c->until > now ? (c->until - now) / (1000 * FT_MS) : 0))
                          : json_null()));
    }
    return json_pack("{s:o}", "sets", sets);
}

bool nd_answer_change(struct nd_changing *g, struct nd_exchange *x)
{
    struct rp_status s;
    bool over;

    rp_status(g->replicator, &s);
    nd_changes_turn(g, &s);
    if (g->asked == ND_CHANGE_NONE)
        enter(g, ND_CHANGE_ASKED);
    over = (x->command == ND_CMD_PUSH ? push : x->command == ND_CMD_CONFIRM ? confirm : apply)(g, x, &s);
    if (over)
        g->asked = ND_CHANGE_NONE;
    return over;
}
