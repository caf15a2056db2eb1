/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys' values, written and read. Whatever stands in etcd is hostile until it is checked here. See
 * entry.h.
 */
#include "fleet/entry.h"
#include "ftcore/record/members.h"
#include "ftcore/record/message.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading ------------------------------------------------------------------------------------ */

/* 0 where there is none. False: it is no whole number, or one that is negative or above `most`. */
static bool read_number(const json_t *o, const char *key, uint64_t most, uint64_t *out)
{
    const json_t *n = json_object_get(o, key);
    json_int_t is = json_integer_value(n);

    *out = is > 0 ? (uint64_t)is : 0;
    return !n || (json_is_integer(n) && is >= 0 && *out <= most);
}

/* Members may be of a server that the file does not have any more. */
static bool read_members(const struct fl_file *file, const json_t *from, uint32_t out[2])
{
    const char *a = json_string_value(json_array_get(from, 0)),
               *b = json_string_value(json_array_get(from, 1));

    out[0] = a ? fl_file_member(file, a) : FL_NONE;
    out[1] = b ? fl_file_member(file, b) : FL_NONE;
    return json_array_size(from) == 2 && out[0] != FL_NONE && out[1] != FL_NONE && out[0] != out[1];
}

static uint32_t server_of(const struct fl_file *file, const json_t *text)
{
    return json_is_string(text) ? fl_file_server(file, json_string_value(text)) : FL_NONE;
}

static json_t *load_object(const char *text, size_t len, const char *what, struct ft_fault *fault)
{
    json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(o))
        return o;
    json_decref(o);
    ft_fail(fault, FT_EMALFORMED, "%s of %zu bytes is no JSON object", what, len);
    return NULL;
}

/* ---- servers ------------------------------------------------------------------------------------ */

int fl_server_said_make(struct fl_server_said *out, uint32_t room, struct ft_fault *fault)
{
    *out = (struct fl_server_said){.node = calloc(room + 1, sizeof(*out->node)),
                                   .kept = calloc(room + 1, sizeof(*out->kept)),
                                   .stray = calloc(room + 1, sizeof(*out->stray))};
    if (out->node && out->kept && out->stray)
        return 0;
    fl_server_said_free(out);
    ft_fail(fault, FT_ENOMEM, "no memory for what a server says");
    return FT_ENOMEM;
}

void fl_server_said_free(struct fl_server_said *said)
{
    free(said->node);
    free(said->kept);
    free(said->stray);
    *said = (struct fl_server_said){.node = NULL};
}

static json_t *write_node(const struct fl_node_said *n)
{
    json_t *o = json_pack("{s:s, s:b, s:b, s:I}", "state", n->state, "primary", n->primary, "member",
                          n->member, "view", (json_int_t)n->view);

    if (n->incarnation)
        json_object_set_new(o, "incarnation", json_integer((json_int_t)n->incarnation));
    if (n->counter)
        json_object_set_new(o, "counter", json_integer(n->counter));
    if (n->slow[0])
        json_object_set_new(o, "slow", json_string(n->slow));
    if (n->members[0][0])
        json_object_set_new(o, "members", json_pack("[s,s]", n->members[0], n->members[1]));
    if (n->measured) {
        json_object_set_new(
            o, "load",
            json_pack("[f,f,f]", n->load.of[FL_PROCESSOR], n->load.of[FL_PACKETS], n->load.of[FL_MEMORY]));
        if (n->timed)
            json_object_set_new(o, "busy", json_integer(n->busy));
    }
    return o;
}

json_t *fl_server_said_write(const struct fl_file *file, const struct fl_server_said *said)
{
    json_t *nodes = json_object(), *kept = json_array();

    for (uint32_t i = 0; i < said->nodes; i++)
        json_object_set_new(nodes, file->shard[said->node[i].shard].name, write_node(&said->node[i]));
    for (uint32_t i = 0; i < said->kepts; i++)
        json_array_append_new(kept, json_string(file->shard[said->kept[i]].name));
    /* One that is missing would be a shard that nobody has. */
    if (json_object_size(nodes) == said->nodes && json_array_size(kept) == said->kepts)
        return json_pack("{s:o, s:o, s:b}", "nodes", nodes, "kept", kept, "strays", 1);
    json_decref(nodes);
    json_decref(kept);
    return NULL;
}

#define LOAD_MOST 1e15 /* no node takes that of anything, and a fleet's sums stay finite */

/* False: none was measured, or it is no load. */
static bool read_load(const json_t *from, struct fl_load *out)
{
    static const enum fl_measure measures[] = {FL_PROCESSOR, FL_PACKETS, FL_MEMORY};
    struct fl_load load = {{0}};

    if (json_array_size(from) != 3)
        return false;
    for (size_t i = 0; i < 3; i++) {
        const json_t *n = json_array_get(from, i);

        load.of[measures[i]] = json_number_value(n);
        if (!json_is_number(n) || !(json_number_value(n) >= 0 && json_number_value(n) <= LOAD_MOST))
            return false;
    }
    *out = load;
    return true;
}

bool fl_slow_read(char out[FL_SLOW_MAX], const json_t *from)
{
    const char *text = json_string_value(from);

    out[0] = '\0';
    if (!text || strlen(text) >= FL_SLOW_MAX || strspn(text, "abcdefghijklmnopqrstuvwxyz ") != strlen(text))
        return !from || json_is_null(from);
    strcpy(out, text);
    return true;
}

/* False: it is nothing that an agent wrote. */
static bool read_node(const json_t *o, struct fl_node_said *out)
{
    const char *state = json_string_value(json_object_get(o, "state"));
    const json_t *members = json_object_get(o, "members");
    uint64_t counter, busy;

    if (!state || strlen(state) >= sizeof(out->state) || !read_number(o, "view", FT_VIEW_MAX, &out->view) ||
        !read_number(o, "incarnation", INT64_MAX, &out->incarnation) ||
        !read_number(o, "counter", UINT32_MAX, &counter) ||
        !fl_slow_read(out->slow, json_object_get(o, "slow")) || (members && json_array_size(members) != 2))
        return false;
    strcpy(out->state, state);
    out->counter = (uint32_t)counter;
    out->primary = json_is_true(json_object_get(o, "primary"));
    out->member = json_is_true(json_object_get(o, "member"));
    for (unsigned i = 0; members && i < 2; i++) {
        const char *name = json_string_value(json_array_get(members, i));

        if (!name || !ft_is_name(name, FL_NAME_MAX))
            return false;
        strcpy(out->members[i], name);
    }
    out->measured = read_load(json_object_get(o, "load"), &out->load);
    out->timed = out->measured && json_object_get(o, "busy") && read_number(o, "busy", 100, &busy);
    out->busy = out->timed ? (uint32_t)busy : 0;
    return true;
}

static bool keeps(const struct fl_server_said *said, uint32_t shard)
{
    for (uint32_t i = 0; i < said->kepts; i++)
        if (said->kept[i] == shard)
            return true;
    return false;
}

/* What a server reports of a shard that the file does not have. `state`: NULL: it is kept. */
static void note_stray(struct fl_server_said *out, const struct fl_file *file, uint32_t server,
                       const char *name, const char *state)
{
    uint32_t shard = fl_file_brought(file, name, server);
    struct fl_stray_said *s = &out->stray[out->strays];

    if (shard == FL_NONE)
        return;
    s->shard = shard;
    if (state && strlen(state) < sizeof(s->state) &&
        strspn(state, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(state)) /* it is printed on terminals */
        strcpy(s->state, state);
    out->strays++;
}

int fl_server_said_read(struct fl_server_said *out, const struct fl_file *file, uint32_t server,
                        const char *text, size_t len, struct ft_fault *fault)
{
    json_t *o = load_object(text, len, "what a server says", fault), *nodes = json_object_get(o, "nodes"),
           *kept = json_object_get(o, "kept"), *node;
    const char *name;
    size_t i;
    int error = o ? 0 : FT_EMALFORMED;

    *out = (struct fl_server_said){.node = NULL};
    if (o && (!json_is_object(nodes) || !json_is_array(kept)))
        error = ft_fail(fault, FT_EMALFORMED, "what a server says has no nodes, or no kept, expected both");
    if (!error)
        error = fl_server_said_make(out, (uint32_t)(json_object_size(nodes) + json_array_size(kept)), fault);
    if (error) {
        json_decref(o);
        return error;
    }
    out->tells = json_is_true(json_object_get(o, "strays"));
    json_object_foreach(nodes, name, node)
    {
        uint32_t shard = fl_file_shard(file, name);

        if (shard == FL_NONE) {
            note_stray(out, file, server, name, json_string_value(json_object_get(node, "state")));
            continue;
        }
        out->node[out->nodes].shard = shard;
        if (!read_node(node, &out->node[out->nodes]) && !error)
            error = ft_fail(fault, FT_EMALFORMED, "what a server says of shard %s is no node's", name);
        out->nodes++;
    }
    json_array_foreach(kept, i, node)
    {
        uint32_t shard = json_is_string(node) ? fl_file_shard(file, json_string_value(node)) : FL_NONE;

        if (shard == FL_NONE && json_is_string(node))
            note_stray(out, file, server, json_string_value(node), NULL);
        else if (shard != FL_NONE && !keeps(out, shard))
            out->kept[out->kepts++] = shard;
    }
    json_decref(o);
    if (error)
        fl_server_said_free(out);
    return error;
}

/* ---- shards ------------------------------------------------------------------------------------- */

json_t *fl_placement_write(const struct fl_file *file, const struct fl_placement *p)
{
    const struct fl_server_entry *s = file->server;
    json_t *o = json_pack("{s:[s,s], s:[s,s], s:I, s:I}", "first", s[p->first[0]].name, s[p->first[1]].name,
                          "members", s[p->member[0]].name, s[p->member[1]].name, "view", (json_int_t)p->view,
                          "moved", (json_int_t)p->moved);

    if (p->alone)
        json_object_set_new(o, "alone", json_integer((json_int_t)p->alone));
    if (p->order.kind != FL_LEAVE) {
        json_t *order = json_pack("{s:s, s:s, s:s, s:I}", "kind", fl_kind_name(p->order.kind), "cause",
                                  fl_cause_name(p->order.cause), "to", s[p->order.to].name, "since",
                                  (json_int_t)p->order.since);
        if (p->order.kind == FL_RESTART)
            json_object_set_new(order, "incarnation", json_integer((json_int_t)p->order.incarnation));
        if (p->order.kind == FL_REPAIR && p->order.there)
            json_object_set_new(order, "there", json_true());
        json_object_set_new(o, "order", order);
    }
    if (p->failed.count)
        json_object_set_new(o, "failed",
                            json_pack("{s:I, s:I, s:s?}", "count", (json_int_t)p->failed.count, "when",
                                      (json_int_t)p->failed.when, "to",
                                      p->failed.to == FL_NONE ? NULL : s[p->failed.to].name));
    if (p->left.when)
        json_object_set_new(
            o, "left",
            json_pack("{s:s, s:I}", "server", s[p->left.server].name, "when", (json_int_t)p->left.when));
    return o;
}

static bool read_two(const struct fl_file *file, const json_t *from, uint32_t out[2])
{
    out[0] = server_of(file, json_array_get(from, 0));
    out[1] = server_of(file, json_array_get(from, 1));
    return json_array_size(from) == 2 && out[0] != FL_NONE && out[1] != FL_NONE && out[0] != out[1];
}

/* Two different names, whether the file has them or not. */
static bool are_two_names(const json_t *from)
{
    const char *a = json_string_value(json_array_get(from, 0)),
               *b = json_string_value(json_array_get(from, 1));

    return json_array_size(from) == 2 && a && b && strcmp(a, b) != 0 && ft_is_name(a, FL_NAME_MAX) &&
           ft_is_name(b, FL_NAME_MAX);
}

/* A server of the first view may have been emptied and taken out of the file since; who is which in it counts
 * for a shard that has not begun alone. So the members stand in its place. */
static bool read_servers(const struct fl_file *file, const json_t *o, struct fl_placement *out)
{
    const json_t *first = json_object_get(o, "first");

    if (!read_members(file, json_object_get(o, "members"), out->member))
        return false;
    if (read_two(file, first, out->first))
        return true;
    memcpy(out->first, out->member, sizeof(out->first));
    return out->view && are_two_names(first);
}

/* One to a server that the file does not have is none: nobody could carry it out. */
static bool read_order(const struct fl_file *file, const json_t *from, struct fl_placement *out)
{
    const char *kind = json_string_value(json_object_get(from, "kind")),
               *cause = json_string_value(json_object_get(from, "cause")),
               *to = json_string_value(json_object_get(from, "to"));

    if (!kind || !cause || !to || !ft_is_name(to, FL_NAME_MAX) ||
        !read_number(from, "since", INT64_MAX, &out->order.since) ||
        !read_number(from, "incarnation", INT64_MAX, &out->order.incarnation))
        return false;
    out->order.kind = fl_kind_of(kind);
    out->order.cause = fl_cause_of(cause);
    out->order.to = fl_file_server(file, to);
    out->order.there = json_is_true(json_object_get(from, "there"));
    if (out->order.kind != FL_REPAIR && out->order.kind != FL_HANDOVER && out->order.kind != FL_RESTART)
        return false;
    if (out->order.to == FL_NONE)
        out->order.kind = FL_LEAVE;
    return true;
}

static bool read_failed(const struct fl_file *file, const json_t *from, struct fl_placement *out)
{
    uint64_t count;

    if ((from && !json_is_object(from)) || !read_number(from, "count", UINT32_MAX, &count) ||
        !read_number(from, "when", INT64_MAX, &out->failed.when))
        return false;
    out->failed.count = (uint32_t)count;
    out->failed.to = server_of(file, json_object_get(from, "to"));
    return true;
}

/* A server that the file does not have needs no care any more. */
static bool read_left(const struct fl_file *file, const json_t *from, struct fl_placement *out)
{
    if ((from && !json_is_object(from)) || !read_number(from, "when", INT64_MAX, &out->left.when))
        return false;
    out->left.server = server_of(file, json_object_get(from, "server"));
    if (out->left.server == FL_NONE)
        out->left = (struct fl_left){.when = 0};
    return true;
}

static int read_placement(struct fl_placement *out, const struct fl_file *file, const json_t *o,
                          struct ft_fault *fault)
{
    const json_t *order = json_object_get(o, "order");

    if (!read_number(o, "view", FT_VIEW_MAX, &out->view) ||
        !read_number(o, "moved", INT64_MAX, &out->moved) || !read_number(o, "alone", INT64_MAX, &out->alone))
        return ft_fail(fault, FT_EMALFORMED, "its view, moved or alone is no number, expected one from 0 on");
    if (!read_servers(file, o, out))
        return ft_fail(fault, FT_EMALFORMED, "its first and members are not two servers each");
    if (order && !read_order(file, order, out))
        return ft_fail(fault, FT_EMALFORMED, "its order is none, expected a kind that is known, to a server");
    if (!read_failed(file, json_object_get(o, "failed"), out))
        return ft_fail(fault, FT_EMALFORMED, "its failed is none, expected a count and when");
    if (!read_left(file, json_object_get(o, "left"), out))
        return ft_fail(fault, FT_EMALFORMED, "what it left is none, expected a server and when");
    return 0;
}

int fl_placement_read(struct fl_placement *out, const struct fl_file *file, const char *text, size_t len,
                      struct ft_fault *fault)
{
    json_t *o = load_object(text, len, "a shard's key", fault);
    int error;

    *out = (struct fl_placement){.view = 0};
    error = o ? read_placement(out, file, o, fault) : FT_EMALFORMED;
    if (error)
        *out = (struct fl_placement){.failed.to = FL_NONE};
    json_decref(o);
    return error;
}

bool fl_placement_same(const struct fl_placement *a, const struct fl_placement *b)
{
    bool same = memcmp(a->first, b->first, sizeof(a->first)) == 0 &&
                memcmp(a->member, b->member, sizeof(a->member)) == 0 && a->view == b->view &&
                a->moved == b->moved && a->alone == b->alone && a->order.kind == b->order.kind &&
                a->failed.count == b->failed.count && a->left.when == b->left.when;

    if (a->order.kind != FL_LEAVE)
        same = same && a->order.cause == b->order.cause && a->order.to == b->order.to &&
               a->order.since == b->order.since && a->order.incarnation == b->order.incarnation &&
               a->order.there == b->order.there;
    if (a->left.when)
        same = same && a->left.server == b->left.server;
    if (a->failed.count)
        same = same && a->failed.to == b->failed.to && a->failed.when == b->failed.when;
    return same;
}
