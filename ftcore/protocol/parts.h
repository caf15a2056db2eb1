/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the protocol core only: what its files share. They are one unit, and call each other. */
#ifndef FTCORE_PROTOCOL_PARTS_H
#define FTCORE_PROTOCOL_PARTS_H

#include "ftcore/base/plant.h"
#include "ftcore/protocol/core.h"

struct ft_action *ft_act(struct ft_actions *actions, enum ft_action_kind kind);
struct ft_message *ft_say(struct ft_core *core, struct ft_actions *actions, enum ft_message_type type);
void ft_become(struct ft_core *core, struct ft_actions *actions, enum ft_state state, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Tells people `text` of this state and of the event that is set, and changes neither state nor reason. */
void ft_report(struct ft_core *core, struct ft_actions *actions, const char *text);
void ft_order(struct ft_core *core, struct ft_actions *actions, enum ft_order order);
/* What counts towards being up to date: the bursts that are replayed; with a warm standby, which replays only
 * when it takes over, those that are stored. */
static inline const uint64_t *ft_counts(const struct ft_core *core, const uint64_t closed[],
                                        const uint64_t replayed[])
{
    return core->config.warm ? closed : replayed;
}
bool ft_reached(const struct ft_core *core, const uint64_t have[], const uint64_t want[]);
static inline uint64_t ft_ms(uint32_t ms)
{
    return ms * FT_MS;
}
static inline uint64_t ft_later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
/* This node cannot forget the view, whenever it dies. */
static inline bool ft_is_stored(const struct ft_core *core, uint64_t view)
{
    return !core->config.keeps_views || core->stored >= view;
}
/* No connection any more: the peer's end of it, or ours, or its death. */
static inline void ft_peer_gone(struct ft_core *core)
{
    core->peer.up = core->peer.known = core->peer.agreed = false;
    core->alone = core->now;
}

/* How the peer is called; "?" while nobody has said. */
static inline const char *ft_peer_name(const struct ft_core *core)
{
    return core->partner[0] ? core->partner : "?";
}

/* protocol/invariants.c */
void ft_invariants_check(const struct ft_core *core);

/* protocol/arbiter.c */
/* Asks who goes on from `era`, because of `why`, unless that is asked already. */
void ft_arbiter_ask(struct ft_core *core, struct ft_era era, const char *why, struct ft_actions *actions);
/* What is asked has settled itself. */
void ft_arbiter_forget(struct ft_core *core, struct ft_actions *actions);
void ft_arbiter_answers(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);
/* A standby that asks: the primary has spoken. */
void ft_arbiter_heard(struct ft_core *core, struct ft_actions *actions);
/* Never served, and meets nobody. True: it may begin alone, as far as the arbiter goes. */
bool ft_arbiter_permits(struct ft_core *core, struct ft_actions *actions);
/* A person decides in its place. True: this node goes on. */
bool ft_arbiter_overruled(struct ft_core *core, struct ft_actions *actions);
/* Standby: it has left the era that it asks for, so what it says must not prolong a lease. */
static inline bool ft_arbiter_mute(const struct ft_core *core)
{
    return core->arbiter.asking && core->state == FT_READY && !FT_PLANTED("asks-aloud");
}

/* protocol/fit.c: 0, or in `text` why the peer that said this hello cannot be ours, and what to do. Its
 * version has been agreed on, or not. */
int ft_fit_hello(const struct ft_core *core, const struct ft_message *m, char *text, size_t cap);

/* protocol/join.c: hello, who is primary, fencing, giving up what we hold. */
void ft_join_hello(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_join_prove(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_join_consider(struct ft_core *core,
                      struct ft_actions *actions); /* JOINING: is it on us to be primary? */
/* Drops state and rights. */
void ft_join_again(struct ft_core *core, struct ft_actions *actions, const char *why);
void ft_join_fence(struct ft_core *core, uint64_t view, struct ft_actions *actions);
/* With an empty state. */
void ft_join_begin_alone(struct ft_core *core, struct ft_actions *actions, const char *why);

/* protocol/operator.c: FT_EV_REQUEST */
void ft_operator_asks(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);

/* protocol/primary.c */
/* SOLO, or holds if strict. */
void ft_primary_alone(struct ft_core *core, struct ft_actions *actions, const char *why);
/* Holds until the view cannot be forgotten. Not strict. */
void ft_primary_settle(struct ft_core *core, struct ft_actions *actions, const char *why);
/* The arbiter decided for it; and it goes on alone because of that, or of a person. `by` says so. */
void ft_primary_decided(struct ft_core *core, const char *by, struct ft_actions *actions);
void ft_primary_goes_on(struct ft_core *core, const char *by, struct ft_actions *actions);
void ft_primary_lost(struct ft_core *core, const char *why, bool certain, struct ft_actions *actions);
void ft_primary_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_primary_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);
void ft_primary_time(struct ft_core *core, struct ft_actions *actions);
void ft_primary_malformed(struct ft_core *core, const char *text, struct ft_actions *actions);
/* ns without a message, at most since `since`; time that this node slept does not count */
uint64_t ft_primary_silent(const struct ft_core *core, uint64_t since);
uint64_t ft_primary_degrades_at(const struct ft_core *core); /* PROTECTED: when it is DEGRADED, unanswered */
void ft_primary_powerless(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);

/* protocol/ack.c */
void ft_ack_send(struct ft_core *core, struct ft_actions *actions);
bool ft_ack_replay_untold(const struct ft_core *core);
bool ft_ack_is_late(const struct ft_core *core); /* it was replayed some time ago, and no ACK says so */
void ft_ack_consider(struct ft_core *core, struct ft_actions *actions); /* sends one if it is due */
void ft_ack_receive(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_ack_renew_lease(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_ack_guard(struct ft_core *core, struct ft_actions *actions); /* guards the gate from now on */
uint64_t ft_ack_lease(const struct ft_core *core);                   /* end of the lease, ns; 0: none */

/* protocol/resync.c */
void ft_resync_consider(struct ft_core *core, struct ft_actions *actions);
void ft_resync_end(struct ft_core *core, struct ft_actions *actions, const char *outcome);
void ft_resync_asked(struct ft_core *core, const char *why, struct ft_actions *actions);
void ft_resync_caught_up(struct ft_core *core, struct ft_actions *actions);
void ft_resync_ready(struct ft_core *core);
void ft_resync_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);
void ft_resync_time(struct ft_core *core, struct ft_actions *actions);

/* protocol/handover.c */
void ft_handover_begin(struct ft_core *core, struct ft_actions *actions);
void ft_handover_steered(struct ft_core *core, struct ft_actions *actions);
void ft_handover_off(struct ft_core *core, struct ft_actions *actions, const char *why);
void ft_handover_give(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);
void ft_handover_hello(struct ft_core *core, const struct ft_message *m, bool same,
                       struct ft_actions *actions);
void ft_handover_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_handover_unknown(struct ft_core *core, const char *why, struct ft_actions *actions);
void ft_handover_reclaim(struct ft_core *core, struct ft_actions *actions);
void ft_handover_time(struct ft_core *core, struct ft_actions *actions);

/* protocol/standby.c */
void ft_standby_reached(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);
void ft_standby_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_standby_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);
void ft_standby_time(struct ft_core *core, struct ft_actions *actions);
void ft_standby_promote(struct ft_core *core, const char *why, struct ft_actions *actions);
/* The arbiter decided for it: `by` says so. */
void ft_standby_decided(struct ft_core *core, const char *by, struct ft_actions *actions);
/* Its right has ended; what it holds is kept for a person to promote. */
void ft_standby_keep(struct ft_core *core, const char *why, struct ft_actions *actions);
void ft_standby_lost(struct ft_core *core, enum ft_lost how, struct ft_actions *actions);
bool ft_standby_right(const struct ft_core *core);
/* A certain word of the primary's end is enough. With an arbiter not once the right has ended: it may have
 * gone on alone, and a later answer of it does not say that it did not. */
bool ft_standby_certain(const struct ft_core *core);
void ft_standby_hears(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);

/* protocol/silence.c */
void ft_silence_step(struct ft_core *core, uint64_t now);    /* before core->now becomes `now` */
uint64_t ft_standby_suspects_at(const struct ft_core *core); /* when silence becomes suspicion */
void ft_silence_pass(struct ft_core *core);                  /* time passes */
void ft_silence_is_death(struct ft_core *core); /* this standby takes over because of the silence */
void ft_silence_fenced(struct ft_core *core);   /* this primary was taken over from */
/* The peer's process is heard at `at`, by a message or by a port; before that is noted anywhere else. */
void ft_silence_ends(struct ft_core *core, uint64_t at);
void ft_silence_port(struct ft_core *core, const struct ft_event *event); /* FT_EV_PORT_HEARTBEAT */

#endif
