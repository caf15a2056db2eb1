/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: every start and every fall from a role ends here. Two nodes meet, compare who they are, and
 * exactly one of them becomes primary: the one that holds state; of two that hold some the higher view; of
 * two empty ones the higher view, then the file's role. A node that holds state never joins an empty one.
 */
#include "ftcore/protocol/parts.h"
#include "ftcore/base/plant.h"

#include <stdio.h>
#include <string.h>

#define OTHER_NS       60000000000ull /* between two lines on nodes that differ and are not the peer */
#define ASK_AGAIN      8u   /* times solo_after_ms: between two questions of a node that meets nobody */
#define DIFFERENCE_MAX 128u /* bytes of what differs, in a reason */

/* ---- does a hello fit ours ---------------------------------------------------------------------- */

/* The word of a text that differs from the other text's, and its line. Not terminated. */
struct word {
    const char *line, *at;
    int head, key, len; /* of the line what names its subject; of the word its "key=" or 0; all of the word */
};

static bool ends_word(char c)
{
    return c == ' ' || c == '\n' || c == '\0';
}

/* `after`: the words before are alike, this one is one text's alone. */
static struct word word_at(const char *text, uint32_t at, bool after)
{
    struct word w = {.line = text + at, .at = text + at + (after && text[at] == ' ')};

    while (w.line > text && w.line[-1] != '\n')
        w.line--;
    while (!after && w.at > w.line && w.at[-1] != ' ')
        w.at--;
    w.len = (int)strcspn(w.at, " \n");
    const char *equals = memchr(w.at, '=', (size_t)w.len);

    w.key = equals ? (int)(equals - w.at) + 1 : 0;
    w.head = (int)(w.at - w.line);
    /* "nf 1: nat" in a line of settings, "port 0:" in others. */
    const char *first = memchr(w.line, equals ? '=' : ':', (size_t)w.head);

    while (first && equals && first > w.line && *first != ' ')
        first--;
    if (first)
        w.head = (int)(first - w.line) + !equals;
    while (w.head && w.line[w.head - 1] == ' ')
        w.head--;
    return w;
}

/* The value from `from` on: what stands before is the same on both nodes. */
static void show_value(char *out, size_t cap, const struct word *w, int from)
{
    int most = (int)cap - (from ? 3 : 1), len = w->len > from ? w->len - from : 0;

    if (w->len == 0)
        snprintf(out, cap, "nothing");
    else
        snprintf(out, cap, "%s%.*s", from ? ".." : "", len < most ? len : most, w->at + w->len - len);
}

static void skip_key(struct word *w)
{
    if (w->len) {
        w->at += w->key;
        w->len -= w->key;
    }
}

static bool has_line(const char *text, const char *line)
{
    size_t len = strcspn(line, "\n");

    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        if (strcspn(text, "\n") == len && memcmp(text, line, len) == 0)
            return true;
    return false;
}

/* Of two lines whose first words differ, one may be a text's alone, and the other one follow it. */
static void find_extra_line(const char *ours, struct word *a, const char *theirs, struct word *b)
{
    struct word *extra = a, *none = b;

    if (!a->len || !b->len || a->at != a->line || b->at != b->line)
        return;
    if (has_line(theirs, a->line)) {
        extra = b;
        none = a;
    } else if (!has_line(ours, b->line)) {
        return;
    }
    none->len = 0;
    if (extra->key && !memchr(extra->line, ' ', strcspn(extra->line, "\n")))
        none->key = extra->key; /* "arbiter=KEY": a setting that one of them does not have */
}

/* The first setting in which two texts differ, and its two values: for a refusal by name. */
static int first_difference(const char *name, const char *ours, const char *peer, const char *theirs,
                            bool *version, char *out, size_t cap)
{
    char value[2][64];
    uint32_t at = 0;

    while (ours[at] && ours[at] == theirs[at])
        at++;
    bool after = ends_word(ours[at]) && ends_word(theirs[at]) && at && ours[at - 1] != '\n';
    struct word a = word_at(ours, at, after), b = word_at(theirs, at, after);

    find_extra_line(ours, &a, theirs, &b);
    const struct word *longer = a.len ? &a : &b;
    bool one = !a.len != !b.len; /* then its key, if any, is that of both */
    bool keyed = a.key && a.key == b.key && (one || memcmp(a.at, b.at, (size_t)a.key) == 0);
    *version = keyed && a.key == sizeof("version") && memcmp(a.at, "version", sizeof("version") - 1) == 0;
    int head = longer->head < 20 ? longer->head : 20, key = keyed ? a.key - 1 < 20 ? a.key - 1 : 20 : 0;
    int room = (int)cap - 1 - head - key - (int)(strlen(name) + strlen(peer) + sizeof(" :  ,  "));
    size_t each = (size_t)room / 2; /* 8 to 58: names are FT_NAME_MAX at most, `cap` is DIFFERENCE_MAX */

    if (!keyed && !a.len && a.at == a.line) /* the whole line is one text's alone */
        b.len = (int)strcspn(b.at, "\n");
    if (!keyed && !b.len && b.at == b.line)
        a.len = (int)strcspn(a.at, "\n");
    const char *name_of_key = longer->at;

    if (keyed) {
        skip_key(&a);
        skip_key(&b);
    }
    int same = (int)(ours + at - a.at), back = (int)each / 3, from = 0;

    if ((a.len > (int)each || b.len > (int)each) && same > back)
        from = same - back;
    show_value(value[0], each + 1, &a, from);
    show_value(value[1], each + 1, &b, from);
    bool colon = !key && (head == 0 || longer->line[head - 1] == ':');

    return snprintf(out, cap, "%.*s%s%.*s%s%s%s %s, %s %s", head, longer->line, key && head ? " " : "", key,
                    keyed ? name_of_key : "", colon ? "" : ":", head || key ? " " : "", name, value[0], peer,
                    value[1]);
}

/*
 * Two chains that differ, and what to do. Where it is the version of an NF, or of the library of all, no file
 * is wrong: two programs would keep the state of it in other forms, or make other state of one packet.
 */
static int refuse_identity(const char *name, const char *ours, const char *peer, const char *theirs,
                           char *out, size_t cap)
{
    bool version;
    int n = first_difference(name, ours, peer, theirs, &version, out, DIFFERENCE_MAX);

    return n + snprintf(out + n, cap - (size_t)n,
                        version
                            ? "; one program on both: its state does not pass to another version"
                            : "; change the file of the node that is not primary, and restart it, or push");
}

static void name_formats(char out[16], unsigned newest, unsigned oldest)
{
    snprintf(out, 16, oldest < newest ? "%u to %u" : "%u", oldest, newest);
}

/* `ms`: two times of ours, two of the peer's. */
static int refuse_times(const char *what, const char *const name[2], bool turned, const uint32_t ms[4],
                        char *text, size_t cap)
{
    const uint32_t *first = ms + 2 * turned, *second = ms + 2 * !turned;

    return snprintf(text, cap, "%s: %s %u and %u, %s %u and %u", what, name[0], first[0], first[1], name[1],
                    second[0], second[1]);
}

/* A program speaks its own version and the one before. */
static int refuse_formats(const struct ft_core *core, const struct ft_message *m, const char *const name[2],
                          bool turned, char *text, size_t cap)
{
    const struct ft_core_config *c = &core->config;
    bool older = m->newest < c->newest;
    char formats[2][16];
    char program[2][32];

    name_formats(formats[turned], c->newest, c->oldest);
    name_formats(formats[!turned], m->newest, m->oldest);
    snprintf(program[turned], sizeof(program[0]), "%.31s", c->program);
    snprintf(program[!turned], sizeof(program[0]), "%.31s", m->program);
    return snprintf(text, cap,
                    "formats: %s (understudy %s) speaks %s, %s (understudy %s) %s; upgrade %s, one release "
                    "after the other",
                    name[0], program[0], formats[0], name[1], program[1], formats[1], name[older != turned]);
}

/* Nothing else in that node's hello is believed. */
static int refuse_shard(const char *const name[2], bool turned, const struct ft_members *own,
                        const struct ft_members *its, char *text, size_t cap)
{
    char shard[2][FT_SHARD_TEXT];

    return snprintf(text, cap,
                    "shard: %s is of %s, %s of %s; remove the view file of the one whose state is not wanted",
                    name[0], ft_shard_text(shard[0], turned ? its : own), name[1],
                    ft_shard_text(shard[1], turned ? own : its));
}

static int refuse_chain(const struct ft_core_config *c, const struct ft_message *m, const char *const name[2],
                        bool turned, char *text, size_t cap)
{
    uint32_t len = m->bulk_len < FT_IDENTITY_MAX ? m->bulk_len : FT_IDENTITY_MAX;
    uint32_t own = c->identity_len < FT_IDENTITY_MAX ? c->identity_len : FT_IDENTITY_MAX;
    char identity[2][FT_IDENTITY_MAX + 1];

    memcpy(identity[turned], c->identity, own);
    identity[turned][own] = '\0';
    memcpy(identity[!turned], m->bulk, len);
    identity[!turned][len] = '\0';
    return refuse_identity(name[0], identity[0], name[1], identity[1], text, cap);
}

/*
 * 0, or in `text` why the sender of this hello cannot be the peer, and what to do. `version`: what both
 * speak; 0: there is none. Each of the two nodes sends its reason and receives the other's: both name the
 * node whose name sorts first before the other, so that the log has one reason and not two that take turns.
 */
static int fit_hello(const struct ft_core *core, const struct ft_message *m, unsigned version, char *text,
                     size_t cap)
{
    const struct ft_core_config *c = &core->config;
    char peer[FT_NAME_MAX];
    const char *name[2];
    bool turned;

    snprintf(peer, sizeof(peer), "%.*s", (int)sizeof(peer) - 1, m->name);
    turned = strcmp(peer, c->name) < 0;
    name[turned] = c->name;
    name[!turned] = peer;
    if (!version || (ft_has_shard(&core->members) && version < FT_FORMAT_MEMBERS))
        return refuse_formats(core, m, name, turned, text, cap);
    if (ft_other_shard(&core->members, &m->members))
        return refuse_shard(name, turned, &core->members, &m->members, text, cap);
    if (m->members.name[0][0] && !ft_members_fit(&m->members))
        return snprintf(text, cap, "members: what %s says are no names of two nodes", peer);
    if (m->lanes != c->lanes)
        return snprintf(text, cap, "lanes: %s %u, %s %u", name[0], turned ? m->lanes : c->lanes, name[1],
                        turned ? c->lanes : m->lanes);
    if (strncmp(m->name, c->name, FT_NAME_MAX) == 0)
        return snprintf(text, cap, "both nodes are called '%s'", c->name);
    if (m->strict != c->strict)
        return snprintf(text, cap, "strict: %s %s, %s %s", name[0], c->strict != turned ? "true" : "false",
                        name[1], c->strict != turned ? "false" : "true");
    if (m->warm != c->warm)
        return snprintf(text, cap, "standby: %s %s, %s %s", name[0], c->warm != turned ? "warm" : "hot",
                        name[1], c->warm != turned ? "hot" : "warm");
    if (c->lease_ms >= m->detect_ms || m->lease_ms >= c->detect_ms)
        return refuse_times("lease_ms must be below the other's detect_ms", name, turned,
                            (const uint32_t[]){c->lease_ms, c->detect_ms, m->lease_ms, m->detect_ms}, text,
                            cap);
    if (c->promote_within_ms >= m->solo_after_ms || m->promote_within_ms >= c->solo_after_ms)
        return refuse_times("promote_within_ms must be below the other's solo_after_ms", name, turned,
                            (const uint32_t[]){c->promote_within_ms, c->solo_after_ms, m->promote_within_ms,
                                               m->solo_after_ms},
                            text, cap);
    if (m->bulk_len != c->identity_len || (m->bulk_len && memcmp(m->bulk, c->identity, c->identity_len) != 0))
        return refuse_chain(c, m, name, turned, text, cap);
    return 0;
}

/* ---- hello -------------------------------------------------------------------------------------- */

/* It quotes the peer's identity and goes to both nodes: names, not here and there. Status shows it. */
void ft_make_printable(char *text)
{
    for (; *text; text++)
        if ((uint8_t)*text < 0x20 || (uint8_t)*text >= 0x7f)
            *text = '?';
}

static void refuse_peer(struct ft_core *core, const char *text, struct ft_actions *actions, bool tell)
{
    char why[FT_REASON_MAX];

    core->refused = true;
    if (tell)
        snprintf(ft_say(core, actions, FT_MSG_REFUSE)->text, FT_REASON_MAX, "%s", text);
    snprintf(why, sizeof(why), "the peer differs: %s", text);
    snprintf(core->differs, sizeof(core->differs), "%s", text);
    core->event = FT_SAYS_REFUSED;
    if (core->state == FT_JOINING && strcmp(why, core->why) != 0) /* it reports each new reason */
        ft_become(core, actions, FT_JOINING, "%s", why);
    else if (core->state != FT_JOINING && tell) /* it serves on, its state and reason stay */
        ft_report(core, actions, why);
    core->event = FT_SAYS_STATE;
}

/* Ends a connection with a node that is not this one's peer; that is no news of the peer. */
static void leave(struct ft_core *core, struct ft_actions *actions)
{
    uint64_t alone = core->alone;

    ft_peer_gone(core);
    core->alone = alone;
    core->answered = core->peer.answered;
    ft_act(actions, FT_ACT_CLOSE);
}

/* The sender of this hello is not this node's peer, and offers it nothing. */
static bool is_no_peer(const struct ft_core *core, const struct ft_message *m)
{
    const char *peer = ft_other_member(core);

    return core->member ? peer[0] && strncmp(peer, m->name, FT_NAME_MAX) != 0
                        : m->joins || !ft_members_have(&m->members, core->config.name);
}

/* Another node than the peer differs: that keeps this node from nothing. It is reported at first, and once a
 * minute. */
static void refuse_other(struct ft_core *core, const struct ft_message *m, const char *text,
                         struct ft_actions *actions)
{
    char why[FT_REASON_MAX], name[FT_NAME_MAX];

    snprintf(name, sizeof(name), "%.31s", m->name);
    ft_make_printable(name);
    snprintf(why, sizeof(why), "node %s differs: %.170s", name, text);
    snprintf(ft_say(core, actions, FT_MSG_REFUSE)->text, FT_REASON_MAX, "%s", text);
    if (!core->other_told || core->now - core->other_told >= OTHER_NS) {
        core->other_told = core->now;
        core->event = FT_SAYS_REFUSED;
        ft_report(core, actions, why);
    }
    leave(core, actions);
}

/* What it runs, and the version that both speak from here on. */
static void note_program(struct ft_core *core, const struct ft_message *m)
{
    const struct ft_core_config *c = &core->config;
    unsigned version = ft_format_common(c->newest, c->oldest, m->newest, m->oldest);

    memcpy(core->peer.program, m->program, sizeof(core->peer.program));
    core->peer.program[FT_PROGRAM_MAX - 1] = '\0';
    ft_make_printable(core->peer.program);
    core->peer.agreed = version != 0;
    if (version)
        core->peer.version = (uint16_t)version;
    else
        core->peer.greeted = false; /* its earlier hello is not true any more */
}

void ft_join_hello(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    char text[FT_REASON_MAX];

    if (m->type == FT_MSG_REFUSE) {
        refuse_peer(core, m->text, actions, false);
        return;
    }
    if (!core->peer.known) /* a known peer has sent its program */
        note_program(core, m);
    if (fit_hello(core, m, core->peer.agreed ? core->peer.version : 0, text, sizeof(text)) != 0) {
        ft_make_printable(text);
        if (is_no_peer(core, m)) {
            refuse_other(core, m, text, actions);
            return;
        }
        core->peer.state = m->state;
        refuse_peer(core, text, actions, true);
        return;
    }
    core->refused = false;
    core->differs[0] = '\0';
    core->peer.newest = ft_later(core->peer.newest, m->sent);
    FT_NEXT_SAY(core, actions)
    /* Our answer proves our identity to the peer. The hello of a known peer brings nothing new. */
    ft_say(core, actions, FT_MSG_HEARTBEAT);
    if (core->peer.known)
        return;
    core->peer.greeted = true;
    core->peer.hello = *m;
    core->peer.hello.bulk = NULL;
    core->peer.hello.bulk_len = 0;
    ft_join_prove(core, m, actions);
}

/* The hello is of this node's shard, and its view no later than the one in this node's file. */
static bool is_over(const struct ft_core *core, const struct ft_message *m)
{
    return ft_same_shard(&core->members, &m->members) && m->view <= core->view;
}

/*
 * This node has met another one than its peer: each has sent the other the members of its view. True: the
 * hello is dealt with, and nothing is joined. Of two views the later one counts; only members speak of
 * theirs.
 */
static bool meets_other(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    const char *peer = ft_other_member(core);
    bool said = !m->joins && m->members.name[0][0];
    bool taken = said && ft_members_have(&m->members, core->config.name) && !is_over(core, m);
    bool differs = said && core->members.name[0][0] && !ft_same_members(&core->members, &m->members);

    if (!core->member && !taken) {
        leave(core, actions);
        return true;
    }
    if (!core->member || (differs && taken && ft_joins(core))) { /* its offer will be believed */
        ft_aim(core, m->name, actions);
        return false;
    }
    if (!differs && (!peer[0] || strncmp(peer, m->name, FT_NAME_MAX) == 0))
        return false;
    bool own =
        core->repair.step >= FT_REPAIR_ASK && m->view == core->view + 1 &&
        ft_members_have(&m->members, core->config.name); /* the view that this primary is about to begin */

    /* A node that has a state but no name of its shard cannot know whether the other's name is that of its
     * own shard. */
    bool unknown = (core->state != FT_JOINING || core->kept) && core->view > 0 &&
                   !ft_has_shard(&core->members) && ft_has_shard(&m->members) &&
                   strncmp(peer, m->name, FT_NAME_MAX) != 0;

    if (differs && m->view > core->view && !own && !unknown)
        ft_join_removed(core, m->view, &m->members, actions);
    else
        leave(core, actions);
    return true;
}

static void note_visitor(struct ft_visitor *v, uint64_t now, const struct ft_message *hello)
{
    snprintf(v->name, sizeof(v->name), "%.31s", hello->name);
    ft_make_printable(v->name);
    v->state = hello->state;
    v->view = hello->view;
    v->at = now;
    v->count++;
}

void ft_core_visited(struct ft_core *core, uint64_t now, const struct ft_message *hello,
                     struct ft_actions *actions)
{
    /* An empty member may have met one that was removed, and hear of the later view from nobody else. */
    bool empty = core->state == FT_JOINING && !core->kept && hello->view > core->view;
    bool taken = (ft_joins(core) || empty) && !hello->joins && ft_is_primary(hello->state) &&
                 ft_members_have(&hello->members, core->config.name) &&
                 (!core->peer.known || hello->view > core->peer.view) && !is_over(core, hello) &&
                 !ft_other_shard(&core->members, &hello->members);

    actions->count = 0;
    note_visitor(&core->visitor, now, hello);
    core->visitor.differs[0] = '\0';
    if (fit_hello(core, hello,
                  ft_format_common(core->config.newest, core->config.oldest, hello->newest, hello->oldest),
                  core->visitor.differs, sizeof(core->visitor.differs)) != 0)
        ft_make_printable(core->visitor.differs);
    if (core->member && !hello->joins)
        note_visitor(&core->former, now, hello);
    if (!taken)
        return;
    if (core->peer.up)
        leave(core, actions);
    ft_aim(core, core->visitor.name, actions);
}

/*
 * A node without a view proves nothing: its machine may have been lost with its disk after it took over and
 * served. So it is no answer to a primary that waits for its standby's; the arbiter decides, or, where the
 * pair is strict, a person.
 */
static bool proves_nothing(const struct ft_core *core, const struct ft_message *m)
{
    bool given = core->config.strict ? core->right == FT_RIGHT_GIVEN : !core->solo;
    bool waits = core->hand == FT_HAND_GIVEN || (ft_core_primary(core) && given);

    return ft_core_repairs(core) && m->joins && waits && !FT_PLANTED("blank-believed");
}

/* The other member has no view file. Nobody but a person knows whether it was lost after it served. */
static void wait_for_a_person(struct ft_core *core, const char *what, struct ft_actions *actions)
{
    char why[FT_REASON_MAX];

    snprintf(why, sizeof(why), "%s comes without a view file: %s", ft_other_member(core), what);
    if (strcmp(why, core->why) != 0)
        ft_become(core, actions, core->state, "%s", why);
}

/* By a hello, a snapshot, or the arbiter's answer. */
void ft_join_shard(struct ft_core *core, const struct ft_members *named, struct ft_actions *actions)
{
    if (ft_has_shard(&core->members) || !ft_has_shard(named))
        return;
    memcpy(core->members.shard, named->shard, sizeof(core->members.shard));
    core->reserved = 0; /* it is to be written anew, with the name */
    if (core->view)
        ft_write_view(actions, FT_ACT_STORE, core->view, &core->members);
}

static void accept_peer(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool same = m->incarnation == core->peer.incarnation;

    if (meets_other(core, m, actions))
        return;
    if (proves_nothing(core, m)) {
        leave(core, actions);
        if (core->config.strict && core->state == FT_DEGRADED)
            wait_for_a_person(core, "strict: holding until re-pair says that it was lost", actions);
        return;
    }
    if (core->member)
        ft_join_shard(core, &m->members, actions);
    core->peer.joins = m->joins;
    if (!same)
        core->silence.taken_since = 0;
    core->silence.lease_ms = m->lease_ms;
    core->peer.known = true;
    core->peer.incarnation = m->incarnation;
    memcpy(core->peer.secret, m->secret, sizeof(core->peer.secret));
    memcpy(core->peer.name, m->name, sizeof(core->peer.name));
    core->peer.name[FT_NAME_MAX - 1] = '\0';
    memcpy(core->partner, core->peer.name, sizeof(core->partner));
    ft_make_printable(core->partner);
    core->peer.role = m->role;
    core->peer.heard = core->now;
    core->peer.newest = ft_later(core->peer.newest, m->sent);
    core->peer.state = m->state;
    core->peer.view = m->view;
    core->peer.echoed = m->echo;

    if (core->state == FT_READY && !same) {
        /* What we followed has died, or there would be no second process. */
        if (ft_standby_certain(core)) {
            ft_standby_promote(core, "the peer has started anew", actions);
        } else if (!core->config.arbiter) {
            ft_join_again(core, actions, "the peer has started anew, and the right to promote had ended");
        }
        return;
    }
    if (core->hand == FT_HAND_GIVEN) {
        ft_handover_hello(core, m, same, actions);
        return;
    }
    if (!ft_core_primary(core)) {
        if (m->view >= core->view) /* else it is a primary of the past: it learns that from our view */
            ft_standby_receive(core, m, actions);
        return; /* ft_step asks ft_join_consider next */
    }
    if (!ft_is_primary(m->state)) {
        /* The peer was primary after us and lost everything; what it released, we do not know. Nor may we go
         * on. */
        if (m->view > core->view)
            ft_join_fence(core, m->view, actions);
        else
            ft_primary_powerless(core, m, actions);
        return;
    }
    bool yields = m->view > core->view ||
                  (m->view == core->view &&
                   (core->config.role > m->role ||
                    (core->config.role == m->role && core->config.incarnation < m->incarnation)));

    if (yields)
        ft_join_fence(core, m->view, actions);
    else /* the other may have claimed the addresses */
        ft_act(actions, FT_ACT_ANNOUNCE);
}

/*
 * A hello may be an old one, overheard and replayed from the peer's address. So it is not acted on, whatever
 * it contains, before a message of the same connection echoes the hello that we sent there. That message's
 * head is news, the hello's may have aged.
 */
void ft_join_prove(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    struct ft_message hello = core->peer.hello;

    if (m->echo < core->peer.asked)
        return;
    hello.state = m->state;
    hello.view = m->view;
    hello.sent = m->sent;
    hello.echo = m->echo;
    accept_peer(core, &hello, actions);
}

/*
 * With an empty state nothing is in a hurry. The view is on the disk before it begins: a node that came back
 * without it could begin the same view again, beside a peer that holds the state of the first.
 */
static bool is_reserved(struct ft_core *core, uint64_t view, struct ft_actions *actions, const char *why)
{
    if (ft_is_stored(core, view))
        return true;
    if (core->reserved != view) {
        core->reserved = view;
        ft_write_view(actions, FT_ACT_STORE, view, &core->members);
        ft_become(core, actions, FT_JOINING, "%s: waits until view %lu is on the disk", why, view);
    }
    return false;
}

/* It is not begun after all. Left in the file, it would be taken for one that we have served in. */
static void drop_reserved(struct ft_core *core, struct ft_actions *actions)
{
    if (core->reserved > core->view)
        ft_write_view(actions, FT_ACT_STORE, core->view, &core->members);
    core->reserved = 0;
}

/*
 * With an arbiter: both nodes are without state, and so may they be because others have it, who came after
 * them. The arbiter keeps the view that begins, unless it keeps a later one.
 */
static bool may_begin_empty(struct ft_core *core, uint64_t view, struct ft_actions *actions, const char *why)
{
    struct ft_question question = {.era = {view, 0}, .members = core->members};

    if (!core->config.arbiter || !core->peer.known || core->arbiter.granted == view ||
        FT_PLANTED("empty-unasked"))
        return true;
    if (core->peer.version <
        FT_FORMAT_MEMBERS) /* it asks nobody, and cannot read what is kept of a shard with a name */
        return true;
    if (core->arbiter.asking || core->now < core->arbiter.again)
        return false;
    question.empty = true;
    question.new_shard = ft_name_shard(core, &question.members);
    ft_arbiter_ask(core, &question, why, actions);
    if (!core->arbiter.other) /* the answer will be the same, and is reported already */
        ft_become(core, actions, FT_JOINING, "%s; asks the arbiter for view %lu", why, view);
    return false;
}

/* Two members that are empty, and one of them has no view on its disk, or none of them though the shard has
 * served: a machine was lost with its disk. */
static bool peer_is_blank(const struct ft_core *core)
{
    bool served = core->view > 0 || ft_has_shard(&core->members);

    return ft_core_repairs(core) && core->peer.known && core->peer.joins && core->peer.state == FT_JOINING &&
           served && !FT_PLANTED("blank-believed");
}

/* Strict: that machine may have been lost after its node took over and was given another standby, who serves.
 */
bool ft_join_meets_blank(const struct ft_core *core)
{
    return core->config.strict && peer_is_blank(core);
}

/* Begins to be primary with an empty state. */
static void begin_alone(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    /* A member that is blank may have been lost with its disk after it served in the next view, into which a
     * certain word had let it without the arbiter. */
    bool passes = peer_is_blank(core) && (core->config.strict || core->view > 0); /* not at its first start */
    uint64_t next = passes ? 2 : 1;
    uint64_t view = ft_later(core->view, core->peer.known ? core->peer.view : 0) + next;

    if (!may_begin_empty(core, view, actions, why) || !is_reserved(core, view, actions, why))
        return;
    core->arbiter.granted = 0;
    core->alone_requested = false;
    core->view = view;
    memset(core->closed, 0, sizeof(core->closed));
    if (core->kept)
        ft_act(actions, FT_ACT_CLEAR);
    core->kept = false;
    ft_write_view(actions, FT_ACT_VIEW, core->view, &core->members);
    ft_primary_alone(core, actions, why);
    if (!core->peer.known)
        core->right = FT_RIGHT_UNKNOWN;
    ft_order(core, actions, FT_LANE_FRESH);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
}

/*
 * The peer has heard our present state and view. A hello is sent before the last message of the previous
 * connection is read, and that message may have brought us a later view. Then the peer decides by the hello,
 * and we must wait.
 */
static bool make_state_known(struct ft_core *core, struct ft_actions *actions)
{
    if (core->said.state != core->state || core->said.view != core->view)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
    return core->peer.echoed >= core->said.since;
}

/* Never served, and meets nobody, or the peer serves, and cannot be heard: whoever meets nobody asks whether
 * a pair has ever been. True: it may begin alone, as far as the arbiter goes. */
static bool arbiter_permits(struct ft_core *core, struct ft_actions *actions)
{
    struct ft_question question = {.era = {0, 0}, .members = core->members, .empty = true};

    if (!core->config.arbiter || core->arbiter.alone)
        return true;
    if (!core->arbiter.asking && !core->arbiter.lost) {
        if (question.members.name[0][0])
            question.new_shard = ft_name_shard(core, &question.members);
        ft_arbiter_ask(core, &question, "meets no peer", actions);
        ft_become(core, actions, FT_JOINING, "meets no peer; asks the arbiter");
    }
    return false;
}

/* Meets nobody, and has served: other nodes may be the members by now, and none is there to report it. */
static void ask_for_members(struct ft_core *core, struct ft_actions *actions)
{
    if (core->arbiter.asking || core->now < core->arbiter.again ||
        core->now - core->alone < ft_ms(core->config.solo_after_ms))
        return;
    struct ft_question question = {.era = {core->view, 0}, .members = core->members, .look = true};

    core->arbiter.again = core->now + ASK_AGAIN * ft_ms(core->config.solo_after_ms);
    ft_arbiter_ask(core, &question, "meets no peer", actions);
}

/* This node, which is JOINING, takes the number of a later view with the same members. Either nobody serves
 * in that view, or who does will be heard. */
static void come_to_view(struct ft_core *core, uint64_t view, struct ft_actions *actions)
{
    ft_arbiter_forget(core, actions);
    core->arbiter.granted = core->arbiter.again = 0;
    if (core->kept)
        ft_join_again(core, actions, "another view has begun");
    core->view = view;
    ft_write_view(actions, FT_ACT_VIEW, view, &core->members);
}

/*
 * With an arbiter two members that are JOINING come to one view before either of them asks for the next, so
 * that no two are granted one after the other. One without a view leaves the question to the other: the
 * arbiter knows what it may have lost. True: they are there, and *first asks.
 */
static bool meet_in_view(struct ft_core *core, struct ft_actions *actions, bool *first)
{
    if (core->peer.joins && core->peer.view == 0) {
        *first |= core->view > 0;
        return true;
    }
    if (ft_joins(core))
        return false;
    if (core->peer.view > core->view)
        come_to_view(core, core->peer.view, actions);
    return core->peer.view == core->view;
}

void ft_join_view(struct ft_core *core, const struct ft_decision *kept, uint64_t view,
                  struct ft_actions *actions)
{
    if (kept->members.name[0][0] && !ft_same_members(&kept->members, &core->members))
        ft_join_removed(core, kept->era.view, &kept->members, actions);
    else
        come_to_view(core, view, actions);
    if (core->peer.up) /* on a connection that stands views follow each other */
        leave(core, actions);
}

void ft_join_consider(struct ft_core *core, struct ft_actions *actions)
{
    bool first = core->config.role == 0, blank = ft_join_meets_blank(core);

    if (!core->member)
        return;
    if (core->refused)
        first = first && !ft_is_primary(core->peer.state);
    if ((!core->peer.known || blank) && core->alone_requested) {
        begin_alone(core, actions, "an operator's promote, with an empty state");
        return;
    }
    core->alone_requested = false;
    if (blank) {
        wait_for_a_person(core, "waits for promote", actions);
        return;
    }
    if (!core->peer.known) {
        /* Never served and meets nobody: the file's word has to do. With strict it begins as well, and holds
         * what it would release; but not where others may have the state, since its machine may have been
         * lost with its disk. */
        if (first && core->view == 0 && core->config.start_alone_ms &&
            !(core->config.strict && ft_core_repairs(core)) &&
            core->now - core->started >= ft_ms(core->config.start_alone_ms) && arbiter_permits(core, actions))
            begin_alone(core, actions, "started alone");
        else if (core->config.arbiter && core->view > 0)
            ask_for_members(core, actions);
        return;
    }
    core->arbiter.alone = core->arbiter.lost = false;
    if (core->peer.state != FT_JOINING || core->arbiter.asked.era.view <= core->view)
        ft_arbiter_forget(core, actions);
    if (core->peer.state != FT_JOINING) {
        core->arbiter.granted = 0;
        drop_reserved(core, actions);
        return;
    }
    if (!make_state_known(core, actions))
        return;
    if (core->peer.role == core->config.role)
        first = strncmp(core->config.name, core->peer.name, FT_NAME_MAX) < 0;
    if (core->config.arbiter && core->peer.version >= FT_FORMAT_MEMBERS &&
        !meet_in_view(core, actions, &first))
        return;
    if (core->view > core->peer.view || (core->view == core->peer.view && first))
        begin_alone(core, actions, core->view ? "both nodes are empty" : "first start");
}

void ft_join_again(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->guarded = core->solo = core->cut_off = core->unsettled = false;
    core->snapshot_whole = core->hold_known = core->kept = false;
    core->hand = FT_HAND_NONE;
    core->abandoning = false;
    core->right = FT_RIGHT_UNKNOWN;
    core->arbiter.open = core->arbiter.lost = false;
    ft_arbiter_forget(core, actions);
    core->resync = FT_RESYNC_NONE;
    if (core->repair.step)
        ft_repair_end(core, why);
    memset(core->closed, 0, sizeof(core->closed));
    memset(core->replayed, 0, sizeof(core->replayed));
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    if (core->steered)
        ft_act(actions, FT_ACT_STEER)->flag = false;
    core->steered = false;
    ft_act(actions, FT_ACT_CLEAR);
    ft_become(core, actions, FT_JOINING, "%s", why);
}

/* This primary's reign is over, for the reason `why`. `given`: by its own will. */
static void end_reign(struct ft_core *core, uint64_t view, bool given, const char *why,
                      struct ft_actions *actions)
{
    if (!given) {
        core->fenced.at = core->now;
        core->fenced.view = view;
        memcpy(core->fenced.by, core->partner, sizeof(core->fenced.by));
        core->fenced.count++;
        core->event = FT_SAYS_FENCED;
        ft_silence_fenced(core);
    }
    core->guarded = core->solo = core->cut_off = false;
    core->hand = FT_HAND_NONE;
    memset(&core->back_off, 0, sizeof(core->back_off));
    core->slow.proves = false;
    core->slow.since = 0;
    ft_act(actions, FT_ACT_NO_SNAPSHOT);
    core->resync = FT_RESYNC_NONE;
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    ft_order(core, actions, FT_LANE_FENCED);
    core->view = view;
    ft_write_view(actions, FT_ACT_VIEW, view, &core->members);
    if (!given)
        ft_become(core, actions, FT_FENCED, "%s", why);
}

void ft_join_fence(struct ft_core *core, uint64_t view, struct ft_actions *actions)
{
    bool given = core->hand == FT_HAND_GIVEN;
    char why[FT_REASON_MAX];

    snprintf(why, sizeof(why), "%s has taken over: view %lu has begun", ft_peer_name(core), view);
    end_reign(core, view, given, why, actions);
    snprintf(why, sizeof(why),
             given ? "%s has taken over: handed over to view %lu" : "%s has taken over: fenced by view %lu",
             ft_peer_name(core), view);
    ft_join_again(core, actions, why);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
}

/* A view with other members than this node's has begun, or is this node's from here on. */
static void take_members(struct ft_core *core, uint64_t view, const struct ft_members *members,
                         struct ft_actions *actions)
{
    if (core->view > view) /* our view is of no known shard, so the new one is not on the disk yet */
        core->stored = 0;
    core->members = *members;
    core->member = !members->name[0][0] || ft_members_have(members, core->config.name);
    core->view = core->first_view = view;
    core->arbiter.granted = 0;
    ft_write_view(actions, FT_ACT_VIEW, view, members);
}

void ft_join_removed(struct ft_core *core, uint64_t view, const struct ft_members *members,
                     struct ft_actions *actions)
{
    char why[FT_REASON_MAX];

    snprintf(why, sizeof(why), "view %lu has begun, with %.31s and %.31s", view, members->name[0],
             members->name[1]);
    if (ft_core_primary(core) || core->hand == FT_HAND_GIVEN)
        end_reign(core, view, core->hand == FT_HAND_GIVEN, why, actions);
    take_members(core, view, members, actions);
    ft_join_again(core, actions, why);
    if (core->peer.up) /* rights first: it is another one's peer, or nobody's */
        leave(core, actions);
    ft_forget_peer(core);
    ft_aim(core, ft_other_member(core), actions);
}

bool ft_join_admitted(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool old = core->peer.version < FT_FORMAT_MEMBERS;

    bool alone = m->state == FT_SOLO || (core->config.strict && m->state == FT_DEGRADED);

    if (m->type != FT_MSG_SNAPSHOT_BEGIN || !(old ? core->member : alone) || is_over(core, m))
        return false;
    if (!old && m->members.name[0][0] &&
        !(ft_members_fit(&m->members) && ft_members_have(&m->members, core->config.name)))
        return false;
    if (!m->members.name[0][0] && !core->member)
        return false;
    /* A primary of release 0.2 has one peer and sends no members. */
    take_members(core, m->view, m->members.name[0][0] ? &m->members : &core->members, actions);
    return true;
}
