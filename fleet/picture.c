/* SPDX-License-Identifier: Apache-2.0 */
/* Keys to a picture, and a plan to keys. See picture.h. */
#include "fleet/picture.h"
#include "ftcore/record/members.h"
#include "understudy/arbiter/arbiter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *fl_key(char out[FL_KEY_MAX], const struct fl_file *file, const char *kind, const char *name)
{
    snprintf(out, FL_KEY_MAX, "understudy/%s/%s%s", file->name, kind, name);
    return out;
}

const struct nd_entry *fl_key_find(const struct nd_keys *keys, const struct fl_file *file, const char *kind,
                                   const char *name)
{
    char key[FL_KEY_MAX];

    return nd_keys_find(keys, fl_key(key, file, kind, name));
}

const char *fl_key_next(const struct fl_file *file, const struct nd_keys *keys, const char *kind, size_t *at)
{
    char prefix[FL_KEY_MAX];
    size_t len = strlen(fl_key(prefix, file, kind, ""));

    if (*at == 0)
        *at = nd_keys_from(keys, prefix);
    if (*at >= keys->count || strncmp(keys->at[*at]->key, prefix, len) != 0)
        return NULL;
    return keys->at[(*at)++]->key + len;
}

bool fl_leads(const struct fl_file *file, const struct nd_entry *leader)
{
    return leader && leader->lease && strlen(leader->value) == leader->len &&
           fl_file_server(file, leader->value) != FL_NONE;
}

/* ---- servers ------------------------------------------------------------------------------------ */

static void note_unreadable(struct fl_picture *p, const struct nd_entry *e, const struct ft_fault *fault)
{
    p->unreadable++;
    if (e->cut)
        snprintf(p->why, sizeof(p->why), "%.100s: a value of more than %u bytes", e->key, ND_VALUE_MAX);
    else
        snprintf(p->why, sizeof(p->why), "%.100s: %.140s", e->key, fault->text);
}

/* The number of a zone is the place of the first server in it; a server without one is a zone of its own. */
static uint32_t zone_of(const struct fl_file *file, uint32_t server)
{
    for (uint32_t i = 0; file->server[server].zone[0] && i < server; i++)
        if (strcmp(file->server[i].zone, file->server[server].zone) == 0)
            return i;
    return server;
}

/* A server whose key cannot be read may have a node of any shard. */
static int fear_all(struct fl_server_said *said, uint32_t shards, struct ft_fault *fault)
{
    int error = fl_server_said_make(said, shards, fault);

    for (uint32_t i = 0; i < shards && !error; i++)
        said->kept[said->kepts++] = i;
    said->unreadable = true;
    return error;
}

static int read_server(struct fl_picture *p, uint32_t i, const struct nd_entry *e, struct ft_fault *fault)
{
    struct ft_fault why = {""};
    int error = fl_server_said_read(&p->said[i], p->file, i, e->value, e->len, &why);

    if (!error)
        return 0;
    note_unreadable(p, e, &why);
    return fear_all(&p->said[i], p->file->shards, fault);
}

/* The key of leases that are gone: times by servers. NULL: there is none, or, with the fault, it is no such
 * thing. */
static json_t *read_gone(const struct fl_file *file, const struct nd_keys *keys, struct ft_fault *fault)
{
    const struct nd_entry *e = fl_key_find(keys, file, "leader/gone", "");
    json_t *o = e ? json_loadb(e->value, e->len, JSON_REJECT_DUPLICATES, NULL) : NULL;

    if (!e || json_is_object(o))
        return o;
    ft_fail(fault, FT_EMALFORMED, "no JSON object, expected times by servers");
    json_decref(o);
    return NULL;
}

static uint64_t gone_since(const json_t *gone, const char *server)
{
    json_int_t since = json_integer_value(json_object_get(gone, server));

    return since > 0 ? (uint64_t)since : 0;
}

void fl_gone_read(const struct fl_file *file, const struct nd_keys *keys, const char *last, uint64_t now,
                  uint64_t gone[])
{
    json_t *o = last ? json_loads(last, JSON_REJECT_DUPLICATES, NULL) : NULL;

    for (uint32_t i = 0; i < file->servers; i++) {
        const char *name = file->server[i].name;

        if (!last || fl_key_find(keys, file, "servers/", name))
            gone[i] = 0;
        else
            gone[i] = json_object_get(o, name) ? gone_since(o, name) : now;
    }
    json_decref(o);
}

/* Since when leases are gone, by the leader's key, into the servers that have none. */
static void read_gone_leases(struct fl_picture *p, const struct nd_keys *keys)
{
    struct ft_fault fault = {""};
    json_t *o = read_gone(p->file, keys, &fault);

    if (fault.text[0])
        note_unreadable(p, fl_key_find(keys, p->file, "leader/gone", ""), &fault);
    for (uint32_t i = 0; i < p->file->servers; i++)
        if (!p->server[i].lease)
            p->server[i].gone = gone_since(o, p->server[i].name);
    json_decref(o);
}

char *fl_picture_gone(const struct fl_picture *p)
{
    json_t *o = json_object();
    uint32_t room = ND_VALUE_MAX / (FL_NAME_MAX + 24);

    for (uint32_t i = 0; i < p->file->servers && room; i++)
        if (!p->server[i].lease) {
            json_object_set_new(o, p->server[i].name, json_integer((json_int_t)p->server[i].gone));
            room--;
        }
    char *text = json_dumps(o, JSON_COMPACT);

    json_decref(o);
    return text;
}

static void read_upgrade(struct fl_picture *p, const struct nd_keys *keys, uint32_t i)
{
    const struct nd_entry *e = fl_key_find(keys, p->file, "wishes/upgrade/", p->file->server[i].name);

    if (!e)
        return;
    p->upgrade[i].nodes = json_loadb(e->value, e->len, 0, NULL);
    p->upgrade[i].revision = e->changed;
}

static bool is_old(const struct fl_picture *p, uint32_t server, const struct fl_node_said *n)
{
    const json_t *old = json_object_get(p->upgrade[server].nodes, p->file->shard[n->shard].name);

    return json_is_integer(old) && n->incarnation && (uint64_t)json_integer_value(old) == n->incarnation;
}

char *fl_picture_upgrade(const struct fl_picture *p, uint32_t server)
{
    json_t *nodes = json_object();

    for (uint32_t i = 0; i < p->said[server].nodes; i++) {
        const struct fl_node_said *n = &p->said[server].node[i];

        json_object_set_new(nodes, p->file->shard[n->shard].name, json_integer((json_int_t)n->incarnation));
    }
    char *text = json_dumps(nodes, JSON_COMPACT);

    json_decref(nodes);
    return text;
}

static int paint_server(struct fl_picture *p, const struct nd_keys *keys, uint32_t i, uint64_t gone,
                        struct ft_fault *fault)
{
    const struct fl_server_entry *e = &p->file->server[i];
    struct fl_server *s = &p->server[i];
    const struct nd_entry *said = fl_key_find(keys, p->file, "servers/", e->name);

    *s = (struct fl_server){.name = e->name,
                            .zone = zone_of(p->file, i),
                            .capacity = {{[FL_PROCESSOR] = e->cores,
                                          [FL_PACKETS] = e->mpps * 1e6,
                                          [FL_MEMORY] = e->memory_mb,
                                          [FL_NODES] = e->nodes}},
                            .lease = said != NULL,
                            .gone = said ? 0 : gone,
                            .unlisted = i >= p->file->servers};
    int error = said ? read_server(p, i, said, fault) : 0;

    read_upgrade(p, keys, i);
    s->drained = fl_key_find(keys, p->file, "wishes/drain/", e->name) != NULL;
    return error;
}

/* ---- shards ------------------------------------------------------------------------------------- */

/* The nodes of each shard, and the first server that reports a node or a kept view of it. */
static void list_nodes(struct fl_picture *p)
{
    for (uint32_t i = p->fleet.servers; i-- > 0;) {
        const struct fl_server_said *s = &p->said[i];

        for (uint32_t k = 0; k < s->nodes; k++) {
            struct fl_node_said *n = &s->node[k];

            n->server = i;
            n->next = p->node[n->shard];
            p->node[n->shard] = n;
            p->shard[n->shard].found = i;
        }
        for (uint32_t k = 0; k < s->kepts; k++)
            p->shard[s->kept[k]].found = i;
    }
}

static const struct fl_node_said *node_of(const struct fl_picture *p, uint32_t server, uint32_t shard)
{
    const struct fl_node_said *n = p->node[shard];

    while (n && n->server != server)
        n = n->next;
    return n;
}

/* The server of a member that a node names, if it is known (note_servers); else FL_NONE. */
static uint32_t member_of(const struct fl_picture *p, const struct fl_node_said *n, unsigned which)
{
    size_t shard = strlen(p->file->shard[n->shard].name);
    const char *node = n->members[which];

    if (strncmp(node, p->file->shard[n->shard].name, shard) != 0 || node[shard] != '-')
        return FL_NONE;
    for (uint32_t i = p->file->servers; i < p->fleet.servers; i++)
        if (strcmp(p->server[i].name, node + shard + 1) == 0)
            return i;
    return fl_file_server(p->file, node + shard + 1);
}

/* The servers of the members that a node names. False: it names none. */
static bool members_of(const struct fl_picture *p, const struct fl_node_said *n, uint32_t out[2])
{
    for (unsigned i = 0; i < 2; i++)
        out[i] = member_of(p, n, i);
    return out[0] != FL_NONE && out[1] != FL_NONE && out[0] != out[1];
}

static const char *const says_names[] = {
    [FL_SAYS_NOTHING] = "silent",    [FL_SAYS_JOINING] = "JOINING", [FL_SAYS_SYNCING] = "SYNCING",
    [FL_SAYS_READY] = "READY",       [FL_SAYS_SOLO] = "SOLO",       [FL_SAYS_PROTECTED] = "PROTECTED",
    [FL_SAYS_DEGRADED] = "DEGRADED", [FL_SAYS_FENCED] = "FENCED"};

const char *fl_says_name(enum fl_says says)
{
    return says_names[says];
}

static enum fl_says says_of(const struct fl_node_said *n)
{
    for (enum fl_says says = FL_SAYS_JOINING; says <= FL_SAYS_FENCED; says++)
        if (strcmp(says_names[says], n->state) == 0)
            return says;
    return FL_SAYS_NOTHING;
}

/* ---- whose word counts: no server is believed about another one's node ---- */

/* A member's word of the view that it is in. */
static bool speaks_for_view(const struct fl_picture *p, const struct fl_node_said *n, uint32_t member[2])
{
    return n->member && n->view && members_of(p, n, member) &&
           (member[0] == n->server || member[1] == n->server);
}

/* Its state is of now: it serves, or could. One that joins has it from its disk, which may be of another life
 * of the shard. */
static bool is_live(const struct fl_node_said *n)
{
    return fl_says_serves(says_of(n)) || says_of(n) == FL_SAYS_READY;
}

static bool is_of(const uint32_t member[2], uint32_t server)
{
    return member[0] == server || member[1] == server;
}

/* Believed are the members of the key's view, and whom a believed one names in a later view. */
static void believe_members(const struct fl_picture *p, uint32_t shard, const struct fl_shard *key)
{
    bool again = true;

    for (struct fl_node_said *n = p->node[shard]; n; n = n->next)
        n->believed = is_of(key->member, n->server);
    while (again) {
        again = false;
        for (const struct fl_node_said *n = p->node[shard]; n; n = n->next) {
            uint32_t member[2];

            if (!n->believed || n->view <= key->view || !speaks_for_view(p, n, member))
                continue;
            for (struct fl_node_said *other = p->node[shard]; other; other = other->next) {
                again |= !other->believed && is_of(member, other->server);
                other->believed |= is_of(member, other->server);
            }
        }
    }
}

/* Is a member of the key's view live in it, or in a later one? `serves`: does one serve in the key's? */
static bool is_confirmed(const struct fl_picture *p, uint32_t shard, const struct fl_shard *key, bool *serves)
{
    bool confirmed = false;

    *serves = false;
    for (const struct fl_node_said *n = p->node[shard]; n; n = n->next) {
        if (!n->member || n->view < key->view || !is_of(key->member, n->server) || !is_live(n))
            continue;
        confirmed = true;
        *serves |= n->view == key->view && fl_says_serves(says_of(n));
    }
    return confirmed;
}

/* By the arbiter the node's view may have begun: it keeps it, or an era of the view before, which this node
 * has won. Who else has won that era goes on in its view. */
static bool may_have_begun(const struct fl_picture *p, uint32_t shard, const struct fl_node_said *n,
                           const struct ft_decision *kept)
{
    char name[FL_NAME_MAX];
    bool won = strcmp(kept->winner, fl_node_name(name, p->file, shard, n->server)) == 0;

    return n->view <= (won ? ft_decided_view(kept) : kept->era.view);
}

/* The other member of the key's view is live in it, and the arbiter, where it has decided for the shard,
 * knows of no view as late as the node's: it is early by some seconds, or a lie. */
static bool is_contested(const struct fl_picture *p, uint32_t shard, const struct fl_node_said *n,
                         const struct fl_placement *key, const struct ft_decision *kept)
{
    if (!kept->members.name[0][0] || may_have_begun(p, shard, n, kept))
        return false;
    for (const struct fl_node_said *other = p->node[shard]; other; other = other->next)
        if (other != n && other->member && other->view == key->view && is_of(key->member, other->server) &&
            is_live(other))
            return true;
    return false;
}

static void take_view(struct fl_shard *out, uint64_t view, const uint32_t member[2])
{
    out->known = true;
    out->view = view;
    memcpy(out->member, member, sizeof(out->member));
}

/* The arbiter's key of the shard, which its nodes write, names the members that the node does, and no later
 * view. */
static bool has_arbiters_word(const struct fl_node_said *n, const struct ft_decision *kept)
{
    return kept->members.name[0][0] && kept->era.view <= n->view &&
           ft_members_have(&kept->members, n->members[0]) && ft_members_have(&kept->members, n->members[1]);
}

/* Another word confirms a node's report: that of the other member, which names this node as well, in
 * whichever view; or the arbiter's. *live: one of both nodes is. */
static bool is_seconded(const struct fl_picture *p, uint32_t shard, const struct fl_node_said *n,
                        const uint32_t member[2], const struct ft_decision *kept, bool *live)
{
    const struct fl_node_said *other = node_of(p, member[member[0] == n->server], shard);
    uint32_t names[2];
    bool mutual = other && speaks_for_view(p, other, names) && is_of(names, n->server);

    *live = is_live(n) || (mutual && is_live(other));
    return mutual || has_arbiters_word(n, kept);
}

/* Of nodes whose word has a second one: the latest view in which one is live; without a key, else the latest
 * of all. False: there is none. */
static bool find_seconded(const struct fl_picture *p, uint32_t shard, const struct ft_decision *kept,
                          struct fl_shard *out)
{
    bool any = false, lives = out->known;
    struct fl_shard best = *out;

    for (const struct fl_node_said *n = p->node[shard]; n; n = n->next) {
        uint32_t member[2];
        bool live;

        if (!speaks_for_view(p, n, member) || !is_seconded(p, shard, n, member, kept, &live) ||
            live < lives || (any && live == lives && n->view <= best.view))
            continue;
        any = true;
        lives = live;
        take_view(&best, n->view, member);
    }
    *out = best;
    return any;
}

/* Where there is no key and no second word: the report of a live node, if no other live one reports the
 * shard; or the only report. */
static void find_only(const struct fl_picture *p, uint32_t shard, struct fl_shard *out)
{
    const struct fl_node_said *only[2] = {NULL, NULL}; /* of all, of those that are live */
    uint32_t member[2], count[2] = {0, 0};

    for (const struct fl_node_said *n = p->node[shard]; n; n = n->next)
        for (int live = 0; live <= is_live(n) && speaks_for_view(p, n, member); live++) {
            only[live] = n;
            count[live]++;
        }
    const struct fl_node_said *n = count[1] ? only[1] : only[0];

    if (count[count[1] != 0] == 1 && speaks_for_view(p, n, member))
        take_view(out, n->view, member);
}

/*
 * Into the shard, the view that counts. A later one than the key's, of those who are believed: while the
 * key's is served, only by a node that is live; while the other member is live in the key's, only as the
 * arbiter has it. Where no member of the key's view is live in it, what two servers report of each other goes
 * before the key, be it earlier; and it counts where there is no key.
 */
static void find_view(const struct fl_picture *p, uint32_t shard, const struct ft_decision *kept,
                      struct fl_shard *out)
{
    bool serves = false;
    bool confirmed = out->known && is_confirmed(p, shard, out, &serves);
    uint64_t had = out->view;

    if (out->known) {
        believe_members(p, shard, out);
        for (const struct fl_node_said *n = p->node[shard]; n; n = n->next) {
            uint32_t member[2];

            if (n->believed && n->view > out->view && speaks_for_view(p, n, member) &&
                (!serves || is_live(n)) && !is_contested(p, shard, n, &p->placement[shard], kept))
                take_view(out, n->view, member);
        }
    }
    if (!confirmed && out->view == had && !find_seconded(p, shard, kept, out) && !out->known)
        find_only(p, shard, out);
}

/* Of two members that both claim to be the primary of one view, the one that serves is believed; where both
 * serve, the one that is not PROTECTED. */
static bool is_believed(const struct fl_shard *s, uint32_t member)
{
    enum fl_says had = s->says[s->primary], is = s->says[member];

    return fl_says_serves(is) && (!fl_says_serves(had) || (had == FL_SAYS_PROTECTED && is != had));
}

static void read_members(const struct fl_picture *p, uint32_t shard, struct fl_shard *out)
{
    out->primary = out->busy[0] = out->busy[1] = FL_NONE;
    for (uint32_t k = 0; k < 2; k++) {
        const struct fl_node_said *n = node_of(p, out->member[k], shard);

        if (!n || n->view != out->view)
            continue;
        out->says[k] = says_of(n);
        out->counter[k] = n->counter;
        if (n->primary && (out->primary == FL_NONE || is_believed(out, k)))
            out->primary = k;
    }
    if (out->primary != FL_NONE) {
        const struct fl_node_said *n = node_of(p, out->member[out->primary], shard);

        out->slow = n->slow[0] ? n->slow : NULL;
    }
    for (uint32_t k = 0; k < 2; k++) {
        const struct fl_node_said *n = node_of(p, out->member[k], shard);
        uint32_t role = out->primary == FL_NONE ? k : k != out->primary;

        out->old[k] = n && is_old(p, out->member[k], n);
        if (n && n->measured) {
            out->measured[role] = true;
            out->load[role] = n->load;
            out->busy[role] = n->timed ? n->busy : FL_NONE;
        }
    }
}

/* The server that a wish names; FL_NONE: there is no wish, or it names none of the file. */
static uint32_t wished(const struct fl_picture *p, const struct nd_entry *wish)
{
    char name[FL_NAME_MAX];

    if (!wish || wish->len >= sizeof(name))
        return FL_NONE;
    memcpy(name, wish->value, wish->len);
    name[wish->len] = '\0';
    return fl_file_server(p->file, name);
}

/* A move goes before a pin. */
static void read_wishes(struct fl_picture *p, const struct nd_keys *keys, uint32_t shard)
{
    struct fl_shard *s = &p->shard[shard];
    const struct nd_entry *pin = fl_key_find(keys, p->file, "wishes/pin/", s->name);
    const struct nd_entry *move = fl_key_find(keys, p->file, "wishes/move/", s->name);

    s->pin = wished(p, move);
    s->moves = s->pin != FL_NONE;
    if (!s->moves)
        s->pin = wished(p, pin);
    p->move[shard] = move ? move->changed : 0;
}

bool fl_picture_moved(const struct fl_picture *p, uint32_t shard)
{
    const struct fl_shard *s = &p->shard[shard];

    return p->move[shard] && (!s->moves || (s->primary != FL_NONE && s->member[s->primary] == s->pin));
}

/* The shard by its key, and what people wish of it. */
static void paint_shard(struct fl_picture *p, const struct nd_keys *keys, uint32_t i)
{
    struct fl_placement *had = &p->placement[i];
    struct fl_shard *s = &p->shard[i];
    struct ft_fault fault = {""};
    const char *name = p->file->shard[i].name;
    const struct nd_entry *e = fl_key_find(keys, p->file, "shards/", name);

    *s = (struct fl_shard){.name = name, .found = FL_NONE, .primary = FL_NONE, .failed.to = FL_NONE};
    memcpy(s->on, p->file->shard[i].on, sizeof(s->on));
    read_wishes(p, keys, i);
    had->failed.to = FL_NONE;
    if (!e)
        return;
    s->known = true;
    p->revision[i] = e->changed;
    if (fl_placement_read(had, p->file, e->value, e->len, &fault) != 0) {
        note_unreadable(p, e, &fault);
        s->known = false;
        s->unreadable = true;
    }
    s->view = had->view;
    memcpy(s->member, had->member, sizeof(s->member));
}

/* What the arbiter keeps of the shard; `any` false where that is nothing that can be read. */
static struct ft_decision read_arbiter(const struct fl_picture *p, const struct nd_keys *keys, uint32_t shard)
{
    const struct nd_entry *e = fl_key_find(keys, p->file, "arbiter/", p->file->shard[shard].name);
    struct ft_decision kept = {.any = false};

    if (e && !nd_arbiter_read(e->value, &kept))
        kept = (struct ft_decision){.any = false};
    return kept;
}

/* The shard's nodes go before its key: view, members, and whether an order is over. */
static void read_shard(struct fl_picture *p, const struct nd_keys *keys, uint32_t i)
{
    const struct ft_decision kept = read_arbiter(p, keys, i);
    const struct fl_placement *had = &p->placement[i];
    struct fl_shard *s = &p->shard[i];

    find_view(p, i, &kept, s);
    if (!s->known)
        return;
    read_members(p, i, s);
    s->moved = had->first[0] == had->first[1] ? p->fleet.now : had->moved; /* who knows, without its key */
    s->alone = had->view == s->view ? had->alone : 0;
    s->failed = had->failed;
    s->left = had->left;
    if (had->order.kind != FL_LEAVE && had->view == s->view)
        s->order = had->order;
}

/* A member that reports nothing may be a process that the wish names, on its way up. */
bool fl_picture_upgraded(const struct fl_picture *p, uint32_t server)
{
    bool old = !p->server[server].lease; /* who knows */

    if (!json_is_object(p->upgrade[server].nodes))
        return p->upgrade[server].revision;
    for (uint32_t i = 0; i < p->said[server].nodes; i++)
        old |= is_old(p, server, &p->said[server].node[i]);
    for (uint32_t i = 0; i < p->file->shards && !old; i++)
        old = p->shard[i].known && (p->shard[i].member[0] == server || p->shard[i].member[1] == server) &&
              !node_of(p, server, i);
    return !old;
}

/* Servers that the file does not have, which a node names: those that have a key of their own, or that the
 * shard's arbiter names as well, since one may have died behind a re-pair that no key contains yet. There is
 * room for a few, and servers that shards' keys name are there already; so no node fills it with names of
 * servers that do not exist. */
static void note_servers(const struct fl_picture *p, const struct nd_keys *keys, const struct fl_node_said *n)
{
    size_t shard = strlen(p->file->shard[n->shard].name) + 1;

    for (unsigned i = 0; i < 2 && n->member; i++) {
        const char *node = n->members[i];

        if (strlen(node) <= shard || fl_file_server(p->file, node + shard) != FL_NONE)
            continue;
        const struct ft_decision kept = read_arbiter(p, keys, n->shard);

        if (fl_key_find(keys, p->file, "servers/", node + shard) || ft_members_have(&kept.members, node))
            (void)fl_node_server(p->file, n->shard, node);
    }
}

/* ---- the whole ---------------------------------------------------------------------------------- */

void fl_picture_free(struct fl_picture *p)
{
    for (uint32_t i = 0; p->said && i < p->file->servers + FL_UNLISTED_MAX; i++)
        fl_server_said_free(&p->said[i]);
    for (uint32_t i = 0; p->upgrade && i < p->file->servers + FL_UNLISTED_MAX; i++)
        json_decref(p->upgrade[i].nodes);
    free(p->server);
    free(p->shard);
    free(p->said);
    free(p->node);
    free(p->placement);
    free(p->revision);
    free(p->move);
    free(p->upgrade);
    *p = (struct fl_picture){.file = NULL};
}

/* Adds to the file the shards that it does not have and that keys name: their own, and wishes. */
static void read_strays(const struct fl_file *file, const struct nd_keys *keys)
{
    static const char *const kinds[] = {"wishes/remove/", "shards/"};
    const char *name;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        for (size_t at = 0; (name = fl_key_next(file, keys, kinds[i], &at));)
            (void)fl_file_stray(file, name);
}

int fl_picture_make(struct fl_picture *out, const struct fl_file *file, const struct nd_keys *keys,
                    const uint64_t gone[], uint64_t now, struct ft_fault *fault)
{
    uint32_t servers = file->servers + FL_UNLISTED_MAX, shards = file->shards + 1;

    *out = (struct fl_picture){.file = file,
                               .server = calloc(servers, sizeof(*out->server)),
                               .shard = calloc(shards, sizeof(*out->shard)),
                               .said = calloc(servers, sizeof(*out->said)),
                               .node = calloc(shards, sizeof(*out->node)),
                               .placement = calloc(shards, sizeof(*out->placement)),
                               .revision = calloc(shards, sizeof(*out->revision)),
                               .move = calloc(shards, sizeof(*out->move)),
                               .upgrade = calloc(servers, sizeof(*out->upgrade))};
    if (!out->server || !out->shard || !out->said || !out->node || !out->placement || !out->revision ||
        !out->move || !out->upgrade) {
        fl_picture_free(out);
        return ft_fail(fault, FT_ENOMEM, "no memory for a picture of the fleet");
    }
    read_strays(file, keys);
    for (uint32_t i = 0; i < file->shards; i++)
        paint_shard(out, keys, i);
    /* Shards' keys and nodes name servers that the file does not have, which are behind the others. */
    for (uint32_t i = 0; i < fl_file_all(file); i++) {
        int error = paint_server(out, keys, i, gone && i < file->servers ? gone[i] : 0, fault);

        if (error) {
            fl_picture_free(out);
            return error;
        }
        for (uint32_t k = 0; k < out->said[i].nodes; k++)
            note_servers(out, keys, &out->said[i].node[k]);
    }
    out->fleet.servers = fl_file_all(file);
    out->fleet.now = now;
    if (!gone)
        read_gone_leases(out, keys);
    list_nodes(out);
    for (uint32_t i = 0; i < file->shards; i++)
        read_shard(out, keys, i);
    if (fl_leads(file, fl_key_find(keys, file, "leader", "")))
        snprintf(out->leader, sizeof(out->leader), "%s", fl_key_find(keys, file, "leader", "")->value);
    out->fleet = (struct fl_fleet){.server = out->server,
                                   .servers = out->fleet.servers,
                                   .shard = out->shard,
                                   .shards = file->shards,
                                   .settings = fl_settings_usual(),
                                   .now = now};
    out->fleet.settings.heals = file->heals;
    out->fleet.settings.hold_down = file->hold_down_s;
    return 0;
}

/* ---- what is written ---------------------------------------------------------------------------- */

/* Where the nodes are in a later view than the key, the key is to hold their report, and its order is over.
 */
static void follow_nodes(const struct fl_picture *p, uint32_t shard, struct fl_placement *next)
{
    const struct fl_shard *s = &p->shard[shard];

    if (s->view == next->view && memcmp(s->member, next->member, sizeof(s->member)) == 0)
        return;
    if (next->first[0] == next->first[1]) /* its key is lost, or cannot be read: its nodes are there */
        memcpy(next->first, s->member, sizeof(next->first));
    memcpy(next->member, s->member, sizeof(next->member));
    next->view = s->view;
    next->moved = p->fleet.now;
    next->alone = 0;
    if (next->order.kind != FL_LEAVE)
        next->failed.count = 0;
    next->order.kind = FL_LEAVE;
}

/* For a primary whose agent is silent `alone` stays as last reported. */
static void note_alone(const struct fl_picture *p, uint32_t shard, struct fl_placement *next)
{
    const struct fl_shard *s = &p->shard[shard];
    enum fl_says says = s->primary == FL_NONE ? FL_SAYS_NOTHING : s->says[s->primary];

    if (says == FL_SAYS_SOLO && !next->alone)
        next->alone = p->fleet.now;
    else if (says == FL_SAYS_PROTECTED)
        next->alone = 0;
}

static void follow_step(const struct fl_picture *p, uint32_t shard, const struct fl_step *step,
                        struct fl_placement *next)
{
    switch (step->kind) {
    case FL_LEAVE:
        break;
    case FL_CREATE:
        memcpy(next->first, step->to, sizeof(next->first));
        memcpy(next->member, next->first, sizeof(next->member));
        next->moved = p->fleet.now; /* until when its nodes have to be there */
        break;
    case FL_REPAIR:
    case FL_HANDOVER:
        next->order = (struct fl_order){
            .kind = step->kind, .cause = step->cause, .to = step->to[0], .since = p->fleet.now};
        if (step->cause == FL_SLOW)
            next->left = (struct fl_left){.server = step->about, .when = p->fleet.now};
        break;
    case FL_RESTART:
        next->order = (struct fl_order){.kind = step->kind,
                                        .cause = step->cause,
                                        .to = step->to[0],
                                        .since = p->fleet.now,
                                        .incarnation = node_of(p, step->to[0], shard)->incarnation};
        break;
    case FL_WITHDRAW:
        if (step->cause == FL_FAILED) {
            next->failed.count += next->failed.count < UINT32_MAX;
            next->failed.when = p->fleet.now;
            next->failed.to = next->order.to;
        }
        next->order.kind = FL_LEAVE;
        break;
    }
}

/* A time that is to come was written by a leader with a wrong clock; what waits since then waits for ever. An
 * order that stands is later than the one that failed before it, or it would have failed itself. */
static void settle_times(uint64_t now, struct fl_placement *next)
{
    uint64_t *times[] = {&next->moved, &next->alone, &next->order.since, &next->failed.when,
                         &next->left.when};
    bool stands = next->order.kind != FL_LEAVE && next->failed.when < next->order.since;

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        if (*times[i] > now)
            *times[i] = now;
    if (stands && next->failed.when >= next->order.since)
        next->failed.when = next->order.since - 1;
}

bool fl_picture_next(const struct fl_picture *picture, const struct fl_plan *plan, uint32_t shard,
                     struct fl_placement *out)
{
    *out = picture->placement[shard];
    if (picture->shard[shard].known) {
        follow_nodes(picture, shard, out);
        note_alone(picture, shard, out);
    }
    follow_step(picture, shard, &plan->step[shard], out);
    if (out->order.kind == FL_REPAIR)
        out->order.there = node_of(picture, out->order.to, shard) != NULL;
    settle_times(picture->fleet.now, out);
    return !fl_placement_same(out, &picture->placement[shard]);
}

/* ---- copies for agents -------------------------------------------------------------------------- */

static uint32_t add_server(uint32_t out[FL_COPIES_MOST], uint32_t count, uint32_t server)
{
    for (uint32_t i = 0; i < count; i++)
        if (out[i] == server)
            return count;
    if (count < FL_COPIES_MOST)
        out[count++] = server;
    return count;
}

uint32_t fl_picture_copies_to(const struct fl_picture *p, uint32_t shard,
                              const struct fl_placement *placement, uint32_t out[FL_COPIES_MOST])
{
    const struct fl_placement *both[] = {placement, &p->placement[shard]};
    uint32_t count = 0;

    for (int i = 0; i < 2; i++) {
        if (both[i]->member[0] == both[i]->member[1]) /* it has no key, or none that can be read */
            continue;
        count = add_server(out, count, both[i]->member[0]);
        count = add_server(out, count, both[i]->member[1]);
        if (both[i]->order.kind == FL_REPAIR)
            count = add_server(out, count, both[i]->order.to);
    }
    for (const struct fl_node_said *n = p->node[shard]; n; n = n->next)
        count = add_server(out, count, n->server);
    return count;
}

/* Does a server report a node that is to run there no more? */
static bool has_stray(const struct fl_picture *p, uint32_t shard)
{
    for (const struct fl_node_said *n = p->node[shard]; n; n = n->next)
        if (!fl_placement_has(&p->placement[shard], n->server))
            return true;
    return false;
}

int fl_copies_add(struct fl_copies *copies, const char *key, const struct nd_entry *had, const char *value,
                  struct ft_fault *fault)
{
    size_t cap = copies->cap ? 2 * copies->cap : 64;
    struct fl_copy *at =
        copies->count < copies->cap ? copies->at : realloc(copies->at, cap * sizeof(*copies->at));
    char *text = value ? strdup(value) : NULL;

    if (at && at != copies->at) {
        copies->at = at;
        copies->cap = cap;
    }
    if (!at || (value && !text)) {
        free(text);
        return ft_fail(fault, FT_ENOMEM, "no memory for what agents are told");
    }
    snprintf(at[copies->count].key, FL_KEY_MAX, "%s", key);
    at[copies->count].revision = had ? had->changed : 0;
    at[copies->count++].value = text;
    return 0;
}

void fl_copies_free(struct fl_copies *copies)
{
    for (size_t i = 0; i < copies->count; i++)
        free(copies->at[i].value);
    free(copies->at);
    *copies = (struct fl_copies){.at = NULL};
}

const char *fl_copy_key(char out[FL_KEY_MAX], const struct fl_file *file, uint32_t server, uint32_t shard)
{
    snprintf(out, FL_KEY_MAX, "understudy/%s/agents/%s/%s", file->name, file->server[server].name,
             file->shard[shard].name);
    return out;
}

/* Those of a shard whose key has changed. */
static int copy_shard(struct fl_copies *out, const struct fl_picture *p, const struct nd_keys *keys,
                      uint32_t shard, struct ft_fault *fault)
{
    const struct nd_entry *e = fl_key_find(keys, p->file, "shards/", p->shard[shard].name);
    uint32_t to[FL_COPIES_MOST], count = fl_picture_copies_to(p, shard, &p->placement[shard], to);
    int error = 0;

    for (uint32_t i = 0; i < count && e && !error; i++) {
        char key[FL_KEY_MAX];
        const struct nd_entry *had = nd_keys_find(keys, fl_copy_key(key, p->file, to[i], shard));

        if (!had || strcmp(had->value, e->value) != 0)
            error = fl_copies_add(out, key, had, e->value, fault);
    }
    return error;
}

/* A copy that is there, of a server that is to get the shard's key no more. While a node of the shard is on
 * it, copy_shard sees to it. */
static int review_copy(struct fl_copies *out, const struct fl_picture *p, const struct nd_keys *keys,
                       const struct nd_entry *copy, const char *name, struct ft_fault *fault)
{
    char server[FL_NAME_MAX];
    const char *end = strchr(name, '/');
    uint32_t shard = end ? fl_file_shard(p->file, end + 1) : FL_NONE, at;

    if (shard == FL_NONE || !p->revision[shard] || p->shard[shard].unreadable ||
        (size_t)(end - name) >= sizeof(server))
        return 0;
    snprintf(server, sizeof(server), "%.*s", (int)(end - name), name);
    at = fl_file_member(p->file, server);
    if (at == FL_NONE || fl_placement_has(&p->placement[shard], at) || node_of(p, at, shard))
        return 0;
    const struct nd_entry *e = fl_key_find(keys, p->file, "shards/", p->shard[shard].name);

    /* The server's last copy must be a key that names it no more. */
    if (e && strcmp(e->value, copy->value) != 0)
        return fl_copies_add(out, copy->key, copy, e->value, fault);
    return e && p->server[at].lease ? fl_copies_add(out, copy->key, copy, NULL, fault) : 0;
}

int fl_copies_find(struct fl_copies *out, const struct fl_picture *p, const struct nd_keys *keys,
                   int64_t copied[], bool all, struct ft_fault *fault)
{
    char prefix[FL_KEY_MAX];
    size_t len = strlen(fl_key(prefix, p->file, "agents/", ""));
    int error = 0;

    *out = (struct fl_copies){.at = NULL};
    for (uint32_t i = 0; i < p->file->shards && !error; i++) {
        if ((copied[i] == p->revision[i] && !(all && has_stray(p, i))) || p->shard[i].unreadable)
            continue;
        error = copy_shard(out, p, keys, i, fault);
        copied[i] = p->revision[i];
    }
    for (size_t i = all ? nd_keys_from(keys, prefix) : keys->count; i < keys->count && !error; i++) {
        const struct nd_entry *copy = keys->at[i];

        if (strncmp(copy->key, prefix, len) != 0)
            break;
        error = review_copy(out, p, keys, copy, copy->key + len, fault);
    }
    return error;
}
