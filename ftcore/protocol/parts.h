/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the protocol core only: what its five files share. They are one state machine, and call each other:
 * what ends one role begins the next one.
 */
#ifndef FTCORE_PROTOCOL_PARTS_H
#define FTCORE_PROTOCOL_PARTS_H

#include "ftcore/protocol/core.h"

#include <string.h>

/* Behind what a node waits for, in its reason. */
#define FT_UNANSWERED "; the arbiter does not answer: holding"

/* ---- core.c ---- */

struct ft_action *ft_act(struct ft_actions *actions, enum ft_action_kind kind);
struct ft_message *ft_say(struct ft_core *core, struct ft_actions *actions, enum ft_message_type type);
void ft_become(struct ft_core *core, struct ft_actions *actions, enum ft_state state, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Logs `text` with this state and the event that is set, and changes neither state nor reason. */
void ft_report(struct ft_core *core, struct ft_actions *actions, const char *text);
void ft_order(struct ft_core *core, struct ft_actions *actions, enum ft_order order);
/* What counts towards being up to date: the bursts that are replayed; with a warm standby, which replays only
 * when it takes over, those that are stored. */
const uint64_t *ft_counts(const struct ft_core *core, const uint64_t closed[], const uint64_t replayed[]);
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
void ft_peer_gone(struct ft_core *core);

/* The link is for this node from now on; "": for whichever comes. */
void ft_aim(struct ft_core *core, const char *name, struct ft_actions *actions);
/* `view`, of `members`, is to be on the disk; begun: it is this node's from now on. */
void ft_write_view(struct ft_actions *actions, enum ft_action_kind kind, uint64_t view,
                   const struct ft_members *members);

/* The other member of this node's view; "": this node is in no view, or the members are not known. */
static inline const char *ft_other_member(const struct ft_core *core)
{
    return !core->member
               ? ""
               : core->members.name[strncmp(core->members.name[0], core->config.name, FT_NAME_MAX) == 0];
}
/* This node is in no view, or has none on its disk and others may know better: it believes no view but one
 * that a primary that is alone offers it. */
static inline bool ft_joins(const struct ft_core *core)
{
    return !core->member || (ft_core_repairs(core) && core->view == 0);
}
/* A node that knows no name of its shard proposes one: true. Without a name in the arbiter's key, members of
 * another shard of this pair's name, deleted since, could come back with a later view, which would be taken
 * for this shard's. */
static inline bool ft_name_shard(const struct ft_core *core, struct ft_members *members)
{
    if (ft_has_shard(members))
        return false;
    memcpy(members->shard, core->config.new_shard, sizeof(members->shard));
    return true;
}
/* This primary is alone: no other node has a right to take over, or has used one. With strict its gate is
 * shut. */
static inline bool ft_is_alone(const struct ft_core *core)
{
    return core->config.strict ? core->right == FT_RIGHT_NONE : core->solo;
}
/* Who the peer was is of no interest any more: it is another node from now on. */
void ft_forget_peer(struct ft_core *core);

/* The peer's name; "?" while it is not known. */
static inline const char *ft_peer_name(const struct ft_core *core)
{
    return core->partner[0] ? core->partner : "?";
}

/* Asks the arbiter, because of `why`, unless it is asked already: `question`, or who goes on from `era`. */
void ft_arbiter_ask(struct ft_core *core, const struct ft_question *question, const char *why,
                    struct ft_actions *actions);
void ft_arbiter_ask_who(struct ft_core *core, struct ft_era era, const char *why, struct ft_actions *actions);
/* What is asked has settled itself. */
void ft_arbiter_forget(struct ft_core *core, struct ft_actions *actions);

/* ---- join.c: hello, who is primary, fencing, giving up what we hold ---- */

void ft_make_printable(char *text); /* what a peer has sent, before a person reads it */
void ft_join_hello(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_join_prove(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_join_consider(struct ft_core *core,
                      struct ft_actions *actions);    /* JOINING: is it on us to be primary? */
bool ft_join_meets_blank(const struct ft_core *core); /* only a person can decide that this node may begin */
/* Drops state and rights. */
void ft_join_again(struct ft_core *core, struct ft_actions *actions, const char *why);
void ft_join_fence(struct ft_core *core, uint64_t view, struct ft_actions *actions);

/* A later view than this node's has these members. It gives up what it holds; whether it is one of them is
 * seen there. */
void ft_join_removed(struct ft_core *core, uint64_t view, const struct ft_members *members,
                     struct ft_actions *actions);
/* The shard has got its name since this node last heard of it. */
void ft_join_shard(struct ft_core *core, const struct ft_members *named, struct ft_actions *actions);
/* JOINING: the arbiter's decision is of later members, or of this view. */
void ft_join_view(struct ft_core *core, const struct ft_decision *kept, uint64_t view,
                  struct ft_actions *actions);
/* This node joins: whether the primary that sent this message has taken it for its standby. Then it is a
 * member. */
bool ft_join_admitted(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);

/* ---- primary.c ---- */

/* SOLO, or holds if strict. */
void ft_primary_alone(struct ft_core *core, struct ft_actions *actions, const char *why);
/* The arbiter decided for this primary; and it goes on alone because of that, or of a person: `by`. */
void ft_primary_decided(struct ft_core *core, const char *by, struct ft_actions *actions);
void ft_primary_goes_on(struct ft_core *core, const char *by, struct ft_actions *actions);
void ft_primary_lost(struct ft_core *core, const char *why, bool certain, struct ft_actions *actions);
void ft_primary_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_primary_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);
void ft_primary_time(struct ft_core *core, struct ft_actions *actions);
/* The connection, which is of no use any more; the standby was not given a right after `since`. */
void ft_primary_gives_up(struct ft_core *core, const char *text, uint64_t since, struct ft_actions *actions);
/* ns without a message, at most since `since`; time that this node slept does not count */
static inline uint64_t ft_primary_silent(const struct ft_core *core, uint64_t since)
{
    return core->now - ft_later(since, core->awake);
}
/* PROTECTED: when it is DEGRADED, unanswered. */
static inline uint64_t ft_primary_degrades_at(const struct ft_core *core)
{
    return core->ready_echo + ft_ms(core->config.degrade_ms);
}
void ft_primary_powerless(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_resync_consider(struct ft_core *core, struct ft_actions *actions);
/* By an operator, or by lanes whose changes outgrew what a delta may be. */
void ft_resync_asked(struct ft_core *core, const char *why, struct ft_actions *actions);
/* An operator wants another standby; and the arbiter's answers to that. */
void ft_repair_asked(struct ft_core *core, const char *name, const char *lost, struct ft_actions *actions);
void ft_repair_end(struct ft_core *core, const char *outcome);
void ft_repair_consider(struct ft_core *core, struct ft_actions *actions);
void ft_repair_granted(struct ft_core *core, struct ft_actions *actions);
void ft_repair_refused(struct ft_core *core, const struct ft_decision *kept);
void ft_repair_unanswered(struct ft_core *core, struct ft_actions *actions, bool first);
void ft_handover_begin(struct ft_core *core, struct ft_actions *actions);
/* A new connection after HANDOVER, while we do not know. `same`: it is the process that we handed over to. */
void ft_handover_hello(struct ft_core *core, const struct ft_message *m, bool same,
                       struct ft_actions *actions);
void ft_handover_reclaim(struct ft_core *core, struct ft_actions *actions);

/* ---- slow.c ---- */

#ifndef FT_SLOW_NS                /* the simulation's is shorter */
#define FT_SLOW_NS (1000 * FT_MS) /* over which is judged, and for which a slow standby has to keep up */
#endif

/* Lanes have reported how long they waited: a second is judged once it is over. */
void ft_slow_judge(struct ft_core *core, const struct ft_cost cost[], struct ft_actions *actions);
/* The peer is heard, by the link or by a data port (`port`), before that is noted anywhere else. */
void ft_slow_note_heard(struct ft_core *core, bool port);
/* This node runs again, after so many ns. */
static inline void ft_slow_stood(struct ft_core *core, uint64_t ns, uint64_t now)
{
    core->slow.window.stood += ns;
    core->slow.ran_since = now;
}
/* Catch-up: how far the standby is, `close`: as far as it has to be. True: it keeps up, as far as it has to
 * show that. */
bool ft_slow_proves(struct ft_core *core, bool close);

/* ---- standby.c ---- */

void ft_standby_reached(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);
void ft_standby_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);
void ft_standby_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);
void ft_standby_time(struct ft_core *core, struct ft_actions *actions);
void ft_standby_promote(struct ft_core *core, const char *why, struct ft_actions *actions);
/* The arbiter decided for this standby: `by`, for the reason. */
void ft_standby_decided(struct ft_core *core, const char *by, struct ft_actions *actions);
/* Its right has ended; what it holds is kept for a person to promote. */
void ft_standby_keep(struct ft_core *core, const char *why, struct ft_actions *actions);
void ft_standby_lost(struct ft_core *core, enum ft_lost how, struct ft_actions *actions);
bool ft_standby_right(const struct ft_core *core);
/* A certain word of the primary's end is enough. With an arbiter not once the right has ended: the primary
 * may have gone on alone, and a later answer of it does not rule that out. */
bool ft_standby_certain(const struct ft_core *core);
void ft_standby_receive(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions);

void ft_silence_step(struct ft_core *core, uint64_t now);    /* before core->now becomes `now` */
uint64_t ft_standby_suspects_at(const struct ft_core *core); /* when silence becomes suspicion */
uint64_t ft_standby_reports_at(const struct ft_core *core);  /* when it reports how far it has replayed */
void ft_silence_pass(struct ft_core *core);                  /* time passes */
void ft_silence_fenced(struct ft_core *core);                /* this primary was taken over from */
/* The peer's process is heard at `at`, by a message or by a port; before that is noted anywhere else. */
void ft_silence_ends(struct ft_core *core, uint64_t at);

#endif
