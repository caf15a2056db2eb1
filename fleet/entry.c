/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys' values, written and read. Whatever stands in etcd is hostile until it is checked here. See
 * entry.h.
 */
#include "fleet/entry.h"
#include "ftcore/record/members.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ------------------------------------------------------------------------------------ */

static uint64_t number_of(const json_t *o, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(o, key));

    return n > 0 ? (uint64_t)n : 0;
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
                                   .kept = calloc(room + 1, sizeof(*out->kept))};
    if (out->node && out->kept)
        return 0;
    fl_server_said_free(out);
    return ft_fail(fault, FT_ENOMEM, "no memory for what a server says");
}

void fl_server_said_free(struct fl_server_said *said)
{
    free(said->node);
    free(said->kept);
    *said = (struct fl_server_said){.node = NULL};
}

static json_t *write_node(const struct fl_node_said *n)
{
    json_t *o = json_pack("{s:s, s:b, s:b, s:b, s:I}", "state", n->state, "primary", n->primary, "member",
                          n->member, "strict", n->strict, "view", (json_int_t)n->view);

    if (n->members[0][0])
        json_object_set_new(o, "members", json_pack("[s,s]", n->members[0], n->members[1]));
    if (n->measured)
        json_object_set_new(
            o, "load",
            json_pack("[f,f,f]", n->load.of[FL_PROCESSOR], n->load.of[FL_PACKETS], n->load.of[FL_MEMORY]));
    return o;
}

json_t *fl_server_said_write(const struct fl_file *file, const struct fl_server_said *said)
{
    json_t *nodes = json_object(), *kept = json_array();

    for (uint32_t i = 0; i < said->nodes; i++)
        json_object_set_new(nodes, file->shard[said->node[i].shard].name, write_node(&said->node[i]));
    for (uint32_t i = 0; i < said->kepts; i++)
        json_array_append_new(kept, json_string(file->shard[said->kept[i]].name));
    return json_pack("{s:o, s:o}", "nodes", nodes, "kept", kept);
}

static bool read_load(const json_t *from, struct fl_load *out)
{
    double *of = out->of;

    return json_array_size(from) == 3 &&
           json_unpack((json_t *)(uintptr_t)from, "[F,F,F]", &of[FL_PROCESSOR], &of[FL_PACKETS],
                       &of[FL_MEMORY]) == 0 &&
           isfinite(of[0]) && isfinite(of[1]) && isfinite(of[2]) && of[0] >= 0 && of[1] >= 0 && of[2] >= 0;
}

/* False: it is nothing that an agent wrote. */
static bool read_node(const json_t *o, struct fl_node_said *out)
{
    const char *state = json_string_value(json_object_get(o, "state"));
    const json_t *members = json_object_get(o, "members");

    if (!state || strlen(state) >= sizeof(out->state))
        return false;
    strcpy(out->state, state);
    out->primary = json_is_true(json_object_get(o, "primary"));
    out->member = json_is_true(json_object_get(o, "member"));
    out->strict = json_is_true(json_object_get(o, "strict"));
    out->view = number_of(o, "view");
    for (unsigned i = 0; members && i < 2; i++) {
        const char *name = json_string_value(json_array_get(members, i));

        if (!name || !ft_is_name(name, FL_NAME_MAX))
            return false;
        strcpy(out->members[i], name);
    }
    out->measured = read_load(json_object_get(o, "load"), &out->load);
    return true;
}

int fl_server_said_read(struct fl_server_said *out, const struct fl_file *file, const char *text, size_t len,
                        struct ft_fault *fault)
{
    json_t *o = load_object(text, len, "what a server says", fault), *nodes = json_object_get(o, "nodes"),
           *kept = json_object_get(o, "kept"), *node;
    int error = o ? fl_server_said_make(out, file->shards, fault) : FT_EMALFORMED;
    const char *name;
    size_t i;

    if (error) {
        json_decref(o);
        return error;
    }
    json_object_foreach(nodes, name, node)
    {
        uint32_t shard = fl_file_shard(file, name);

        if (shard == FL_NONE)
            continue;
        out->node[out->nodes].shard = shard;
        if (!read_node(node, &out->node[out->nodes]) && !error)
            error = ft_fail(fault, FT_EMALFORMED, "what a server says of shard %s is no node's", name);
        out->nodes++;
    }
    json_array_foreach(kept, i, node)
    {
        uint32_t shard = json_is_string(node) ? fl_file_shard(file, json_string_value(node)) : FL_NONE;

        if (shard != FL_NONE && out->kepts < file->shards)
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

    if (p->order.kind != FL_LEAVE)
        json_object_set_new(o, "order",
                            json_pack("{s:s, s:s, s:s, s:I}", "kind", fl_kind_name(p->order.kind), "cause",
                                      fl_cause_name(p->order.cause), "to", s[p->order.to].name, "since",
                                      (json_int_t)p->order.since));
    if (p->failed.count)
        json_object_set_new(o, "failed",
                            json_pack("{s:I, s:I, s:s?}", "count", (json_int_t)p->failed.count, "when",
                                      (json_int_t)p->failed.when, "to",
                                      p->failed.to == FL_NONE ? NULL : s[p->failed.to].name));
    return o;
}

static bool read_two(const struct fl_file *file, const json_t *from, uint32_t out[2])
{
    out[0] = server_of(file, json_array_get(from, 0));
    out[1] = server_of(file, json_array_get(from, 1));
    return json_array_size(from) == 2 && out[0] != FL_NONE && out[1] != FL_NONE && out[0] != out[1];
}

static bool read_order(const struct fl_file *file, const json_t *from, struct fl_placement *out)
{
    const char *kind = json_string_value(json_object_get(from, "kind")),
               *cause = json_string_value(json_object_get(from, "cause"));

    if (!kind || !cause)
        return false;
    out->order.kind = strcmp(kind, fl_kind_name(FL_REPAIR)) == 0     ? FL_REPAIR
                      : strcmp(kind, fl_kind_name(FL_HANDOVER)) == 0 ? FL_HANDOVER
                                                                     : FL_LEAVE;
    out->order.cause = fl_cause_of(cause);
    out->order.to = server_of(file, json_object_get(from, "to"));
    out->order.since = number_of(from, "since");
    return out->order.kind != FL_LEAVE && out->order.to != FL_NONE;
}

int fl_placement_read(struct fl_placement *out, const struct fl_file *file, const char *text, size_t len,
                      struct ft_fault *fault)
{
    json_t *o = load_object(text, len, "a shard's key", fault), *order = json_object_get(o, "order"),
           *failed = json_object_get(o, "failed");
    int error = o ? 0 : FT_EMALFORMED;

    *out = (struct fl_placement){.view = number_of(o, "view"), .moved = number_of(o, "moved")};
    out->failed.count = (uint32_t)number_of(failed, "count");
    out->failed.when = number_of(failed, "when");
    out->failed.to = server_of(file, json_object_get(failed, "to"));
    if (o && (!read_two(file, json_object_get(o, "first"), out->first) ||
              !read_two(file, json_object_get(o, "members"), out->member)))
        error = ft_fail(fault, FT_EMALFORMED, "its first and members are not two servers of the file each");
    else if (order && !read_order(file, order, out))
        error = ft_fail(fault, FT_EMALFORMED,
                        "its order is none: no kind that is known, or no server of the file");
    json_decref(o);
    return error;
}

bool fl_placement_same(const struct fl_placement *a, const struct fl_placement *b)
{
    bool same = memcmp(a->first, b->first, sizeof(a->first)) == 0 &&
                memcmp(a->member, b->member, sizeof(a->member)) == 0 && a->view == b->view &&
                a->moved == b->moved && a->order.kind == b->order.kind && a->failed.count == b->failed.count;

    if (a->order.kind != FL_LEAVE)
        same = same && a->order.cause == b->order.cause && a->order.to == b->order.to &&
               a->order.since == b->order.since;
    if (a->failed.count)
        same = same && a->failed.to == b->failed.to && a->failed.when == b->failed.when;
    return same;
}
