/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: every start and every fall from a role ends here. Two nodes meet, compare who they are, and
 * exactly one of them becomes primary: the one that holds state; of two that hold some the higher view; of
 * two empty ones the higher view, then the file's role. A node that holds state never joins an empty one.
 */
#include "ftcore/protocol/parts.h"

#include <stdio.h>
#include <string.h>

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
    w->at += w->key;
    w->len -= w->key;
}

/* The first setting in which two texts differ, and its two values: for a refusal by name. */
static int first_difference(const char *name, const char *ours, const char *peer, const char *theirs,
                            char *out, size_t cap)
{
    char value[2][64];
    uint32_t at = 0;

    while (ours[at] && ours[at] == theirs[at])
        at++;
    bool after = ends_word(ours[at]) && ends_word(theirs[at]) && at && ours[at - 1] != '\n';
    struct word a = word_at(ours, at, after), b = word_at(theirs, at, after);
    const struct word *longer = a.len ? &a : &b;
    bool keyed = a.key && a.key == b.key && memcmp(a.at, b.at, (size_t)a.key) == 0;
    int head = longer->head < 20 ? longer->head : 20, key = keyed ? a.key - 1 < 20 ? a.key - 1 : 20 : 0;
    int room = (int)cap - 1 - head - key - (int)(strlen(name) + strlen(peer) + sizeof(" :  ,  "));
    size_t each = (size_t)room / 2; /* 8 to 58: names are FT_NAME_MAX at most, `out` FT_REASON_MAX */

    if (!a.len && a.at == a.line) /* the whole line is one text's alone */
        b.len = (int)strcspn(b.at, "\n");
    if (!b.len && b.at == b.line)
        a.len = (int)strcspn(a.at, "\n");
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
                    keyed ? a.at - a.key : "", colon ? "" : ":", head || key ? " " : "", name, value[0], peer,
                    value[1]);
}

/* 0, or the reason in `text`. */
static int check_hello(const struct ft_core *core, const struct ft_message *m, char *text, size_t cap)
{
    const struct ft_core_config *c = &core->config;
    char theirs[FT_IDENTITY_MAX + 1], ours[FT_IDENTITY_MAX + 1], peer[FT_NAME_MAX];

    snprintf(peer, sizeof(peer), "%.*s", (int)sizeof(peer) - 1, m->name);
    if (m->lanes != c->lanes)
        return snprintf(text, cap, "lanes: %s %u, %s %u", c->name, c->lanes, peer, m->lanes);
    if (strncmp(m->name, c->name, FT_NAME_MAX) == 0)
        return snprintf(text, cap, "both nodes are called '%s'", c->name);
    if (m->strict != c->strict)
        return snprintf(text, cap, "strict: %s %s, %s %s", c->name, c->strict ? "true" : "false", peer,
                        m->strict ? "true" : "false");
    if (m->warm != c->warm)
        return snprintf(text, cap, "standby: %s %s, %s %s", c->name, c->warm ? "warm" : "hot", peer,
                        m->warm ? "warm" : "hot");
    if (c->lease_ms >= m->detect_ms || m->lease_ms >= c->detect_ms)
        return snprintf(text, cap, "lease_ms must be below the other's detect_ms: %s %u and %u, %s %u and %u",
                        c->name, c->lease_ms, c->detect_ms, peer, m->lease_ms, m->detect_ms);
    if (c->promote_within_ms >= m->solo_after_ms || m->promote_within_ms >= c->solo_after_ms)
        return snprintf(
            text, cap,
            "promote_within_ms must be below the other's solo_after_ms: %s %u and %u, %s %u and %u", c->name,
            c->promote_within_ms, c->solo_after_ms, peer, m->promote_within_ms, m->solo_after_ms);
    if (m->bulk_len != c->identity_len ||
        (m->bulk_len && memcmp(m->bulk, c->identity, c->identity_len) != 0)) {
        uint32_t len = m->bulk_len < FT_IDENTITY_MAX ? m->bulk_len : FT_IDENTITY_MAX;
        uint32_t own = c->identity_len < FT_IDENTITY_MAX ? c->identity_len : FT_IDENTITY_MAX;

        memcpy(theirs, m->bulk, len);
        theirs[len] = '\0';
        memcpy(ours, c->identity, own);
        ours[own] = '\0';
        return first_difference(c->name, ours, peer, theirs, text, cap);
    }
    return 0;
}

/* It quotes the peer's identity and goes to both nodes: names, not here and there. Status shows it. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((uint8_t)*text < 0x20 || (uint8_t)*text >= 0x7f)
            *text = '?';
}

static void refuse_peer(struct ft_core *core, const char *text, struct ft_actions *actions, bool tell)
{
    core->refused = true;
    if (tell)
        snprintf(ft_say(core, actions, FT_MSG_REFUSE)->text, FT_REASON_MAX, "%s", text);
    if (core->state == FT_JOINING)
        ft_become(core, actions, FT_JOINING, "the peer differs: %s", text);
}

void ft_join_hello(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    char text[FT_REASON_MAX];

    if (m->type == FT_MSG_REFUSE) {
        refuse_peer(core, m->text, actions, false);
        return;
    }
    if (check_hello(core, m, text, sizeof(text)) != 0) {
        core->peer.state = m->state;
        make_printable(text);
        refuse_peer(core, text, actions, true);
        return;
    }
    core->refused = false;
    core->peer.newest = ft_later(core->peer.newest, m->sent);
    /* Our answer is what proves us there. Who is known already says nothing new. */
    ft_say(core, actions, FT_MSG_HEARTBEAT);
    if (core->peer.known)
        return;
    core->peer.greeted = true;
    core->peer.hello = *m;
    core->peer.hello.bulk = NULL;
    core->peer.hello.bulk_len = 0;
    ft_join_prove(core, m, actions);
}

static void accept_peer(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool same = m->incarnation == core->peer.incarnation;

    core->peer.known = true;
    core->peer.incarnation = m->incarnation;
    memcpy(core->peer.secret, m->secret, sizeof(core->peer.secret));
    memcpy(core->peer.name, m->name, sizeof(core->peer.name));
    core->peer.name[FT_NAME_MAX - 1] = '\0';
    memcpy(core->partner, core->peer.name, sizeof(core->partner));
    make_printable(core->partner);
    core->peer.role = m->role;
    core->peer.heard = core->now;
    core->peer.newest = ft_later(core->peer.newest, m->sent);
    core->peer.state = m->state;
    core->peer.view = m->view;
    core->peer.echoed = m->echo;

    if (core->state == FT_READY && !same) {
        /* What we followed has died, or there would be no second process. */
        if (ft_standby_right(core)) {
            ft_standby_promote(core, "the peer has started anew", actions);
        } else {
            ft_join_again(core, actions, "the peer has started anew, and the right to promote had ended");
        }
        return;
    }
    if (core->hand == FT_HAND_GIVEN) {
        ft_handover_hello(core, m, same, actions);
        return;
    }
    if (!ft_core_primary(core)) {
        if (m->view >= core->view) /* else it is a primary of the past: our view tells it */
            ft_standby_hears(core, m, actions);
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
 * A hello may be an old one, overheard and said again from the peer's address. So it is not acted on,
 * whatever it says, before a message of the same connection echoes the hello that we said there. That
 * message's head is news, the hello's may have aged.
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
        ft_act(actions, FT_ACT_STORE)->view = view;
        ft_become(core, actions, FT_JOINING, "%s: waits until view %lu is on the disk", why, view);
    }
    return false;
}

/* It is not begun after all. Left in the file, it would be taken for one that we have served in. */
static void drop_reserved(struct ft_core *core, struct ft_actions *actions)
{
    if (core->reserved > core->view)
        ft_act(actions, FT_ACT_STORE)->view = core->view;
    core->reserved = 0;
}

void ft_join_begin_alone(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    uint64_t view = ft_later(core->view, core->peer.known ? core->peer.view : 0) + 1;

    if (!is_reserved(core, view, actions, why))
        return;
    core->alone_requested = false;
    core->view = view;
    memset(core->closed, 0, sizeof(core->closed));
    if (core->kept)
        ft_act(actions, FT_ACT_CLEAR);
    core->kept = false;
    ft_act(actions, FT_ACT_VIEW)->view = core->view;
    ft_primary_alone(core, actions, why);
    ft_order(core, actions, FT_LANE_FRESH);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
}

/*
 * The peer has heard what we are now. A hello is said before the last of the connection before it is read,
 * and that may have told us of a later view. Then the peer decides by what the hello said, and we must wait.
 */
static bool heard_as_we_are(struct ft_core *core, struct ft_actions *actions)
{
    if (core->said.state != core->state || core->said.view != core->view)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
    return core->peer.echoed >= core->said.since;
}

void ft_join_consider(struct ft_core *core, struct ft_actions *actions)
{
    bool first = core->config.role == 0;

    if (core->refused)
        first = first && !ft_is_primary(core->peer.state);
    if (!core->peer.known && core->alone_requested) {
        ft_join_begin_alone(core, actions, "an operator's promote, with an empty state");
        return;
    }
    core->alone_requested = false;
    if (!core->peer.known) {
        /* Never served and meets nobody: the file's word has to do. With strict it begins as well, and holds
         * what it would release. */
        if (first && core->view == 0 && core->config.start_alone_ms &&
            core->now - core->started >= ft_ms(core->config.start_alone_ms))
            ft_join_begin_alone(core, actions, "started alone");
        return;
    }
    if (core->peer.state != FT_JOINING) {
        drop_reserved(core, actions);
        return;
    }
    if (!heard_as_we_are(core, actions))
        return;
    if (core->peer.role == core->config.role)
        first = strncmp(core->config.name, core->peer.name, FT_NAME_MAX) < 0;
    if (core->view > core->peer.view || (core->view == core->peer.view && first))
        ft_join_begin_alone(core, actions, core->view ? "both nodes are empty" : "first start");
}

void ft_join_again(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->guarded = core->solo = core->cut_off = core->unsettled = false;
    core->snapshot_whole = core->hold_known = core->kept = false;
    core->hand = FT_HAND_NONE;
    core->abandoning = false;
    core->resync = FT_RESYNC_NONE;
    memset(core->closed, 0, sizeof(core->closed));
    memset(core->replayed, 0, sizeof(core->replayed));
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    if (core->steered)
        ft_act(actions, FT_ACT_STEER)->flag = false;
    core->steered = false;
    ft_act(actions, FT_ACT_CLEAR);
    ft_become(core, actions, FT_JOINING, "%s", why);
}

void ft_join_fence(struct ft_core *core, uint64_t view, struct ft_actions *actions)
{
    char why[FT_REASON_MAX];
    bool given = core->hand == FT_HAND_GIVEN;

    if (!given) {
        core->fenced.at = core->now;
        core->fenced.view = view;
        memcpy(core->fenced.by, core->partner, sizeof(core->fenced.by));
        core->fenced.count++;
        core->event = FT_SAYS_FENCED;
    }
    core->guarded = core->solo = core->cut_off = false;
    core->hand = FT_HAND_NONE;
    ft_act(actions, FT_ACT_NO_SNAPSHOT);
    core->resync = FT_RESYNC_NONE;
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    ft_order(core, actions, FT_LANE_FENCED);
    core->view = view;
    ft_act(actions, FT_ACT_VIEW)->view = view;
    if (!given)
        ft_become(core, actions, FT_FENCED, "%s has taken over: view %lu has begun", ft_peer_name(core),
                  view);
    snprintf(why, sizeof(why),
             given ? "%s has taken over: handed over to view %lu" : "%s has taken over: fenced by view %lu",
             ft_peer_name(core), view);
    ft_join_again(core, actions, why);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
}
