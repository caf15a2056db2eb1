/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replicator's turn: everything that can be read first, then what the lanes reached, what was asked for,
 * the time, and last what is to be sent. The order is the first of the core's two rules of use. Each
 * connection, message, end of a connection and death notice becomes an event of the core, in the order in
 * which it came, after what it brought has been stored.
 *
 * With real-time priority nobody else runs on this thread's processor before it sleeps: it sleeps for
 * PAUSE_NS after each turn with work, and else until the peer sends something. After two turns in a row to
 * which it was woken for nothing it sleeps for PAUSE_NS as well. Unless packets come densely it rests until
 * it is woken (`rest`). Without that priority it stays awake while entries come densely, since to wake a
 * processor takes longer than all that is to be done for a message; after each turn it gives way
 * (sched_yield) to whoever wants its processor, as a standby's lane does (lane/standby.c).
 *
 * Other threads ask by a bit or a word that they set, and the replicator takes in its next turn. A newer
 * request of a kind takes the place of one that was not taken yet. The thread that owns the node opens the
 * replicator before the replicator's own thread begins, and closes it after that has ended.
 */
#include "ftcore/base/event_log.h"
#include "ftcore/base/plant.h"
#include "replicator/parts.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define VIEWS_LEFT (1ull << 20) /* a pair that has fewer logs that when it starts */
#define STANDS_S   3            /* planted */
/* ns between two looks at lanes and peer: while packets come, or while something is wanted; for STILL_NS
 * after the last packet; then, where it does not rest. */
#define PAUSE_NS      50000u
#define WAIT_IDLE_NS  200000u
#define WAIT_STILL_NS 1000000u
#define IDLE_NS       2000000u /* packets come: the last one moved no longer ago */
#define STILL_NS      200000000u

#ifndef READ_ROUNDS
#define READ_ROUNDS 64u /* reads of up to 1 MiB before the time is looked at again */
#endif
#ifndef READ_NS
#define READ_NS 5000000u /* and what was read is acted on for so long, in one turn */
#endif

/* ---- opened and closed -------------------------------------------------------------------------- */

/*
 * Reads the view, which is written again by a thread: a start waits for no disk, as a takeover does not. A
 * file that was renamed and not synced by a process that died may be lost with the machine, so the view
 * counts as stored from when it has been synced.
 */
static int open_view(struct rp_replicator *rp, const char *path, struct ft_fault *fault)
{
    struct ft_core_config *core = &rp->config.core;
    struct rp_view view;
    uint64_t stored;
    int error = rp_view_load(path, &view, fault);

    if (error)
        return error;
    if (!view.members.name[0][0] && core->spare)
        view.number = 0; /* another pair's: it does not count for a shard that this node may join */
    core->keeps_views = true;
    core->view = view.number;
    if (view.members.name[0][0]) { /* else those of the file, as it was before shards had names */
        core->members = view.members;
        core->spare = !ft_members_have(&view.members, core->name);
    }
    if (view.number > FT_VIEW_MAX - VIEWS_LEFT)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_VIEW_FILE,
                     "%s: view %lu of %llu at most: stop both nodes and remove both view files", path,
                     view.number, FT_VIEW_MAX);
    stored = view.number && rp_view_sync(path) == 0 ? view.number : 0;
    return rp_view_writer_open(&rp->writer, path, &view, stored, fault);
}

int rp_open(struct rp_replicator **out, const struct rp_config *config, struct ft_fault *fault)
{
    struct rp_replicator *rp = calloc(1, sizeof(*rp));
    int error = 0;

    *out = NULL;
    if (!rp)
        return ft_fail(fault, FT_ENOMEM, "no memory for the replicator");
    rp->bell = -1;
    rp->config = *config;
    rp->config.link.session = config->core.incarnation;
    rp->config.link.heartbeat_ms = config->core.heartbeat_ms;
    rp->lanes = config->core.lanes;
    if (rp_sender_init(rp) || rp_receiver_init(rp))
        error = ft_fail(fault, FT_ENOMEM, "no memory for the replicator");
    if (!error && config->protect) {
        /* An address that is taken is found before anything is written. */
        error = rp_link_open(&rp->link, &rp->config.link, fault);
        rp->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* -1: entries that come while it rests wait */
        for (unsigned l = 0; l < rp->lanes; l++) {
            rp_lane(rp, l)->bell = rp->bell;
            rp_lane(rp, l)->alarm = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* -1: it sleeps to the end */
        }
        if (!error)
            error = open_view(rp, config->view_file, fault);
    } else if (!error) {
        rp->config.core.role = 0;
        rp->config.core.strict = false;
        rp->config.core.start_alone_ms = 1;
    }
    if (error) {
        rp_close(rp);
        return error;
    }
    rp->now = ft_now();
    rp->steered_reported = true;
    ft_core_init(&rp->core, &rp->config.core, rp->now, &rp->actions);
    rp_carry_out(rp);
    rp_report_stored(rp);
    rp_update_status(rp);
    *out = rp;
    return 0;
}

void rp_hang_up(struct rp_replicator *rp)
{
    rp_link_close(rp->link);
    rp->link = NULL;
}

void rp_close(struct rp_replicator *rp)
{
    if (!rp)
        return;
    rp_link_close(rp->link);
    rp_view_writer_close(rp->writer);
    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane_shared *lane = rp_lane(rp, l);

        if (lane->alarm >= 0)
            close(lane->alarm);
        lane->bell = lane->alarm = -1;
    }
    if (rp->bell >= 0)
        close(rp->bell);
    rp_seal_close(rp->seal);
    rp_sender_free(rp);
    rp_receiver_free(rp);
    free(rp->push.bytes);
    free(rp->pushed.bytes);
    free(rp->look.bytes);
    free(rp->looked.bytes);
    free(rp);
}

/* ---- what comes from the peer ------------------------------------------------------------------- */

/*
 * After reading, before acting on what was read: we may have slept since the turn began. A right that has
 * ended meanwhile must not meet news that came later, like the end of the connection. Only when there was
 * something to read: FT_EV_TIME must not be later than a look that found nothing.
 */
static void read_clock(struct rp_replicator *rp)
{
    uint64_t now = ft_now();

    if (now > rp->now && !FT_PLANTED("stale-clock"))
        rp->now = now;
}

/* A message of the peer beside the protocol counts if the peer is known, and the core has not refused it. */
static bool is_accepted(const struct rp_replicator *rp)
{
    return !rp->actions.malformed && rp->core.peer.known;
}

/* The core hears of a message, or of what is wrong with what it brought. */
static void step_message(struct rp_replicator *rp, const struct ft_message *m, const char *wrong)
{
    struct ft_event event = {.kind = FT_EV_MESSAGE, .now = rp->now, .message = m};

    if (wrong) {
        event.kind = FT_EV_MALFORMED;
        event.text = wrong;
    }
    rp_step(rp, &event);
}

/* The core has begun a snapshot, and so the chain that it is of, or has ignored it. */
static void begin_snapshot(struct rp_replicator *rp, const struct ft_message *m)
{
    uint64_t snapshots = rp->core.snapshots;

    step_message(rp, m, NULL);
    if (rp->core.snapshots == snapshots)
        return;
    if (m->number == rp->core.config.chain || rp_chain_become(rp, m->number))
        rp_receiver_reset(rp, m);
    else
        step_message(rp, m, "the snapshot is of a chain that this node does not have");
}

/*
 * The one place where messages are taken, by their type. What one brings is stored before the core hears of
 * it; what is beside the protocol is taken after.
 */
static void take_message(struct rp_replicator *rp, const struct ft_message *m)
{
    struct ft_fault fault;
    int error = 0;

    switch (m->type) {
    case FT_MSG_LOG:
    case FT_MSG_DELTA:
        if (ft_core_accepts(&rp->core, m)) {
            error = rp_receiver_take(rp, m, &fault);
            rp->stored = true;
        }
        step_message(rp, m, error ? fault.text : NULL);
        break;
    case FT_MSG_SNAPSHOT_BEGIN:
        begin_snapshot(rp, m);
        break;
    case FT_MSG_SNAPSHOT:
        if (ft_core_accepts(&rp->core, m))
            error = rp_snapshot_take(rp, m, &fault);
        step_message(rp, m, error ? fault.text : NULL);
        break;
    case FT_MSG_SNAPSHOT_END:
        if (ft_core_ends_snapshot(&rp->core, m)) {
            error = rp_snapshot_check(rp, &fault);
            read_clock(rp);
        }
        step_message(rp, m, error ? fault.text : NULL);
        break;
    case FT_MSG_VERDICT:
        step_message(rp, m, NULL);
        if (is_accepted(rp) && ft_core_primary(&rp->core) && m->view == rp->core.view && m->lane < rp->lanes)
            rp_take_verdict(rp, m);
        break;
    case FT_MSG_COUNTER:
        step_message(rp, m, NULL);
        if (is_accepted(rp))
            rp_take_standing(rp, m);
        break;
    case FT_MSG_DRILL:
        step_message(rp, m, NULL);
        if (is_accepted(rp))
            rp_take_drill(rp, m);
        break;
    case FT_MSG_PUSH: /* from a peer that this node refuses as well */
        step_message(rp, m, NULL);
        rp_take_files(rp, m);
        break;
    case FT_MSG_PUSHED:
        step_message(rp, m, NULL);
        rp_take_answer(rp, m);
        break;
    default: /* the core's alone: its roles take them */
        step_message(rp, m, NULL);
    }
}

static void report_loss(struct rp_replicator *rp)
{
    static const enum ft_lost how[] = {
        [RP_LOST_EOF] = FT_LOST_EOF, [RP_LOST_RESET] = FT_LOST_RESET, [RP_LOST_ERROR] = FT_LOST_ERROR};
    struct ft_event event = {.kind = FT_EV_LOST};
    struct ft_fault fault = {""};
    enum rp_lost lost = rp_link_lost(rp->link, &fault);

    if (rp->stuck && lost == RP_LOST_NONE) {
        rp_link_drop(rp->link);
        lost = RP_LOST_ERROR;
    }
    rp->stuck = false;
    if (lost == RP_LOST_NONE)
        return;
    read_clock(rp);
    event.now = rp->now;
    if (lost == RP_LOST_MALFORMED) {
        event.kind = FT_EV_MALFORMED;
        event.text = fault.text;
    } else {
        event.how = how[lost];
    }
    rp_step(rp, &event);
}

/* A hello came by a second connection. Is it the peer, and new, or somebody who replays an old hello? */
static void answer_hello(struct rp_replicator *rp)
{
    struct ft_message m;
    uint64_t sent;

    if (!rp_link_needs_hello(rp->link, &sent))
        return;
    ft_core_hello(&rp->core, rp->now, &m);
    m.echo = sent; /* and so we prove who we are */
    rp_link_greet(rp->link, &m);
}

/* A node that is not the peer sent a hello: it gets the members, by a hello that proves itself. */
static void answer_visitor(struct rp_replicator *rp)
{
    struct ft_message m, own;

    if (!rp_link_visitor(rp->link, &m))
        return;
    ft_core_hello(&rp->core, rp->now, &own);
    own.echo = m.sent;
    rp_link_answer(rp->link, &own);
    ft_core_visited(&rp->core, rp->now, &m, &rp->actions);
    rp_carry_out(rp);
}

/* A peer that is connected to a primary is its standby, and follows it. */
static void note_primary(struct rp_replicator *rp, const struct ft_datagram_key *peer)
{
    if (!ft_core_primary(&rp->core) && peer->incarnation)
        rp->primary = *peer;
    else if (ft_core_primary(&rp->core) && rp->core.peer.known)
        rp->primary.incarnation = 0;
}

/* A crash notice of that life of the peer's which was not heard before. Anybody may send one again. */
static bool is_news(struct rp_replicator *rp, const struct ft_crash_notice *crash, uint64_t incarnation)
{
    if (rp->crash_of == incarnation)
        return false;
    if (crash->signal) {
        rp->crash_of = incarnation;
        return true;
    }
    if (!crash->packet || ft_core_primary(&rp->core) ||
        (rp->alive_of == incarnation && crash->packet <= rp->alive_at))
        return false;
    rp->alive_of = incarnation;
    rp->alive_at = crash->packet;
    return true;
}

/* One at a time: the notice comes more than once, and may be sent again by anybody. Of what it died is heard
 * behind it as well: the first crash notice may have been lost, and the death notice not. */
static bool receive_death_notice(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_DEATH_NOTICE};
    const struct ft_datagram_key peer = rp_peer(rp);
    struct ft_crash_notice crash = {.signal = 0};

    note_primary(rp, &peer);
    const struct ft_datagram_key *from = peer.incarnation ? &peer : &rp->primary;
    int died = rp_link_death_notice(rp->link, from->incarnation ? from : NULL, &crash);

    if (rp->config.crashed && is_news(rp, &crash, from->incarnation)) {
        rp->config.crashed(rp->config.arg, &crash,
                           ft_core_primary(&rp->core) && from->incarnation != rp->primary.incarnation);
    }
    if (!died || !peer.incarnation)
        return false;
    read_clock(rp);
    event.now = rp->now;
    event.incarnation = peer.incarnation;
    rp_step(rp, &event);
    return true;
}

/* Whole messages that were read; `first`: when this turn had taken its first, or 0. False: the turn's time is
 * over, and some may be left for the next one. */
static bool take_messages(struct rp_replicator *rp, uint64_t *first)
{
    struct ft_fault fault;
    struct ft_message m;

    while (rp_link_next(rp->link, rp->core.peer.known ? rp->lanes : 0, &m, &fault) > 0) {
        take_message(rp, &m);
        uint64_t now = ft_now();

        if (*first == 0)
            *first = now;
        if (now - *first >= READ_NS)
            return false;
    }
    return true;
}

/* Everything that can be read, to the core, unless it takes too long: then what is left comes first in the
 * next turn, before a death notice too. True if there was anything. */
static bool take_input(struct rp_replicator *rp)
{
    struct ft_event event = {0};
    uint64_t before, first = 0;
    bool any = false;

    rp->unread = true; /* unless a look finds nothing */
    for (unsigned round = 0; round < READ_ROUNDS; round++) {
        before = rp_link_stats(rp->link)->bytes_in;
        bool fresh = rp_link_poll(rp->link, rp->now);

        if (fresh || rp_link_stats(rp->link)->bytes_in != before)
            read_clock(rp);
        if (fresh) {
            event.kind = FT_EV_CONNECTED;
            event.now = rp->now;
            event.greeted = rp_link_greeted(rp->link);
            rp_step(rp, &event);
            any = true;
        }
        answer_hello(rp);
        answer_visitor(rp);
        if (!take_messages(rp, &first))
            return true;
        report_loss(rp);
        if (rp_link_stats(rp->link)->bytes_in == before) {
            rp->unread = false;
            break;
        }
    }
    return receive_death_notice(rp) || any || first;
}

/* ---- what other threads ask --------------------------------------------------------------------- */

void rp_request(struct rp_replicator *rp, enum ft_request what)
{
    atomic_fetch_or(&rp->requests, 1u << what);
}

bool rp_repair(struct rp_replicator *rp, const struct rp_repair *repair)
{
    if (atomic_load(&rp->repairs))
        return false;
    rp->repair = *repair;
    atomic_store(&rp->repairs, true);
    return true;
}

static void repair(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_REQUEST, .now = rp->now, .request = FT_REQUEST_REPAIR};
    struct ft_fault fault = {"there is no link"};
    struct rp_repair wanted;

    if (!atomic_load(&rp->repairs))
        return;
    wanted = rp->repair;
    atomic_store(&rp->repairs, false);
    rp->repairs_taken += !wanted.meets;
    event.text = wanted.node.name;
    event.lost = wanted.lost[0] ? wanted.lost : NULL;
    if (!rp->link || rp_link_add(rp->link, &wanted.node, &fault) != 0) {
        snprintf(rp->core.repair.outcome, sizeof(rp->core.repair.outcome), "%.200s", fault.text);
        return;
    }
    if (wanted.meets)
        return;
    /* The peer may be reached elsewhere from now on. */
    if (rp->core.member && ft_members_have(&rp->core.members, wanted.node.name)) {
        rp_link_aim(rp->link, wanted.node.name);
        rp_report_aim(rp, wanted.node.name);
    }
    rp_step(rp, &event);
}

/* One that the replicator has not taken yet gives way. */
void rp_reseal(struct rp_replicator *rp, struct rp_seal *seal)
{
    rp_seal_close(atomic_exchange(&rp->seal, seal));
}

void rp_rejoin(struct rp_replicator *rp, uint64_t chain)
{
    atomic_store(&rp->rejoin, chain);
}

/* A node that is JOINING becomes what the main thread wants. The peer refuses the old chain, so it is to hear
 * of the new one on a new connection. */
static void rejoin_chain(struct rp_replicator *rp)
{
    uint64_t hash = atomic_load(&rp->rejoin) ? atomic_exchange(&rp->rejoin, 0) : 0;
    struct ft_event lost = {.kind = FT_EV_LOST, .now = rp->now, .how = FT_LOST_ERROR};

    if (!hash || rp->core.state != FT_JOINING || rp->core.peer.known || rp->core.kept ||
        !rp_chain_become(rp, hash))
        return;
    rp_step(rp, &lost);
    rp_link_drop(rp->link);
}

static void serve_requests(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_REQUEST, .now = rp->now};
    unsigned asked = atomic_load(&rp->requests) ? atomic_exchange(&rp->requests, 0) : 0;
    struct rp_seal *seal = atomic_load(&rp->seal) ? atomic_exchange(&rp->seal, NULL) : NULL;

    if (seal)
        rp_link_reseal(rp->link, seal);
    /* A handover can wait for a resync that was asked for, not the other way. */
    for (int what = FT_REQUEST_RESYNC; what >= FT_REQUEST_PROMOTE; what--) {
        event.request = (enum ft_request)what;
        if (asked >> what & 1)
            rp_step(rp, &event);
    }
    repair(rp);
    if (rp->link)
        rejoin_chain(rp);
    rp_sideband_turn(rp);
}

/* ---- turn --------------------------------------------------------------------------------------- */

bool rp_turn(struct rp_replicator *rp, uint64_t now)
{
    struct ft_event time = {.kind = FT_EV_TIME, .now = now};
    struct ft_event whole = {.kind = FT_EV_SNAPSHOT_SENT, .now = now};
    bool busy = false, sent_all = false;

    rp->now = now;
    rp_chain_follow(rp);
    if (rp->link) {
        rp_link_visit(rp->link, ft_core_visits(&rp->core));
        busy |= take_input(rp);
        time.now = whole.now = now = rp->now;
        rp_reports(rp);
        if (!ft_core_primary(&rp->core))
            rp_receiver_publish(rp);
    }
    busy |= rp_progress(rp);
    serve_requests(rp);
    if (now >= rp->time_due || now >= ft_core_due(&rp->core)) {
        rp_step(rp, &time);
        rp->time_due = ft_core_due(&rp->core) < now + FT_MS ? ft_core_due(&rp->core) : now + FT_MS;
    }
    if (rp->link) {
        busy |= rp_sender_turn(rp);
        busy |= rp_snapshot_turn(rp, &sent_all);
        if (sent_all)
            rp_step(rp, &whole);
        rp_link_flush(rp->link);
    }
    rp_port_turn(rp);
    rp_update_status(rp);
    return busy;
}

/* There is something to be sent. */
static bool has_entries(const struct rp_replicator *rp)
{
    uint64_t there;

    for (unsigned l = 0; l < rp->lanes && !rp->port.carry; l++)
        if (ft_ring_peek(&rp->config.lanes[l].log, &there))
            return true;
    return false;
}

/* Others wait for what comes next: lanes, the peer, or a person. */
static bool is_pressed(const struct ft_core *core)
{
    return core->resync || core->hand || core->state == FT_SYNCING;
}

/* Whatever its state, a node rests while nothing is wanted but what lanes and the peer report by themselves:
 * no order is on its way to the lanes, no view to the disk, and no answer from an arbiter that can be
 * reached. Several lanes, which wait for each other, are not woken, so of those none has had a packet for a
 * while. */
static bool is_calm(const struct rp_replicator *rp)
{
    const struct ft_core *core = &rp->core;
    bool awaits_arbiter = core->arbiter.asking && !core->arbiter.silent;

    return !is_pressed(core) && !core->steered && !awaits_arbiter && rp_is_followed(rp) &&
           core->stored >= core->view && core->stored >= core->reserved &&
           (rp->lanes == 1 || rp->now - rp->schedule.moved >= STILL_NS);
}

/* A lane that sleeps long, since it was calm, is woken when it is to look more often. */
static void publish_calm(struct rp_replicator *rp, bool calm)
{
    if (calm == rp->calm)
        return;
    rp->calm = calm;
    for (unsigned l = 0; l < rp->lanes; l++) {
        FT_ORDER_SET(rp_lane(rp, l), calm, calm);
        if (!calm)
            ft_lane_wake(rp_lane(rp, l));
    }
}

/* No lane waits for an answer: the standby has stored all that was sent to it, and is not as far behind with
 * replay as a lane may have to wait for (recovery_budget_ms is 1 at least). */
static bool answers_wait(struct rp_replicator *rp)
{
    for (unsigned l = 0; l < rp->lanes; l++)
        if (rp->core.peer_closed[l] < rp->sender.burst[l] || FT_ORDER_GET(rp_lane(rp, l), lag_ns) >= FT_MS)
            return false;
    return true;
}

/*
 * Sleeps until the core is due. A primary is woken by the first entry of a lane's, and reads its standby's
 * answers when it wakes; a standby, which has nothing of its own to do, is woken by what the primary sends.
 * Between its entry and its look at `rests` a lane has a barrier unless packets come densely.
 */
static void rest(struct rp_replicator *rp)
{
    bool primary = rp->core.state == FT_PROTECTED;
    uint64_t due = ft_core_due(&rp->core), began = ft_now(), ns = due > began ? due - began : PAUSE_NS;

    if (primary)
        RP_ORDER_ALL(rp, rests, ++rp->rests);
    atomic_thread_fence(memory_order_seq_cst);
    if (!has_entries(rp))
        rp_link_rest(rp->link, ns, primary ? rp->bell : -1, primary && answers_wait(rp));
    if (primary)
        RP_ORDER_ALL(rp, rests, 0);
    if (!rp->schedule.yields && ft_now() - began < PAUSE_NS)
        rp_sleep(PAUSE_NS);
}

/*
 * While packets come densely lanes do not wake us (that would be a system call in the packet path), nor where
 * others wait for what comes next: so then we look often, and the less often the longer nothing has come. A
 * message of the peer wakes us at once.
 */
static uint64_t wait_limit_ns(const struct rp_replicator *rp)
{
    uint64_t quiet = rp->now - rp->schedule.moved;

    if (is_pressed(&rp->core)) {
        uint64_t idle = (rp->now - rp->schedule.worked) / 4;

        return idle < PAUSE_NS ? PAUSE_NS : idle < WAIT_STILL_NS ? idle : WAIT_STILL_NS;
    }
    if (quiet < IDLE_NS && rp->sender.on)
        return PAUSE_NS;
    return quiet < STILL_NS ? WAIT_IDLE_NS : WAIT_STILL_NS;
}

/* Whatever comes, others have the processor between two turns (the head of this file). */
static void wait_for_work(struct rp_replicator *rp, bool busy)
{
    bool calm = is_calm(rp), dense = rp_is_dense(rp);

    publish_calm(rp, calm);
    if (rp->port.carry && !rp->unread)
        rp_link_rest(rp->link, RP_PORT_REST, -1, true);
    else if (calm && !dense && !rp->unread && !has_entries(rp))
        rest(rp);
    else if (busy && !rp->schedule.yields)
        rp_sleep(PAUSE_NS);
    else if (busy || (dense && rp->schedule.yields))
        sched_yield();
    else
        rp_link_wait(rp->link, wait_limit_ns(rp));
}

void rp_run(struct rp_replicator *rp)
{
    uint64_t seen = 0, ended = 0;
    unsigned vain = 0;                  /* turns without work in a row, each of which began at once */
    int policy = sched_getscheduler(0); /* of the calling thread */

    rp->schedule.yields = policy != SCHED_FIFO && policy != SCHED_RR;
    while (!atomic_load_explicit(&rp->stop, memory_order_relaxed)) {
        if (FT_PLANTED_AT_SIGNAL("replicator-stands"))
            nanosleep(&(struct timespec){STANDS_S, 0}, NULL);
        uint64_t now = ft_now();

        ft_turns_spent(&rp->turns, FT_SPENT_ASLEEP, now);
        bool busy = rp_turn(rp, now);

        vain = !busy && now - ended < PAUSE_NS ? vain + 1 : 0;
        ended = ft_now();
        ft_turns_spent(&rp->turns, busy ? FT_SPENT_USEFUL : FT_SPENT_EMPTY, ended);
        if (vain > 1 && !rp->schedule.yields)
            rp_sleep(PAUSE_NS);

        /* Heartbeats, timers and digests come and go without making us impatient; packets do. */
        if (rp->schedule.packets != seen) {
            rp->schedule.gap = (rp->now - rp->schedule.moved) / (rp->schedule.packets - seen);
            rp->schedule.moved = rp->now;
        }
        seen = rp->schedule.packets;
        if (busy)
            rp->schedule.worked = rp->now;
        if (rp->link)
            wait_for_work(rp, busy);
        else
            rp_sleep(WAIT_STILL_NS);
    }
}

void rp_stop(struct rp_replicator *rp)
{
    atomic_store(&rp->stop, true);
}
