/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet's file read and checked, and the pair files that are made of it. See file.h.
 *
 * A pair file is made by writing the tree of the fleet's file again as YAML, in which each $(NAME) has been
 * replaced: a section stands on a line of its own, so that a refusal of the pair file's reader shows which.
 */
#include "fleet/file.h"
#include "ftcore/base/check.h"
#include "understudy/config/config.h"
#include "understudy/config/schema.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the file's keys ---------------------------------------------------------------------------- */

#define AT(member) offsetof(struct fl_file, member)
static const struct nf_param fleet_keys[] = {
    {"fleet", ND_KIND(ND_NAME), AT(name), 0, FL_NAME_MAX, NULL, NULL, "its name", false},
    {"arbiter", ND_KIND(ND_MAP), AT(arbiter), 0, 0, NULL, NULL, "etcd, as in a pair file", false},
    {"shard_etcd", ND_KIND(ND_MAP), AT(shard_etcd), 0, 0, "", NULL, "what nodes have in place of arbiter's",
     false},
    {"servers", ND_KIND(ND_MAP), ND_UNKEPT, 0, 0, NULL, NULL, "by name", false},
    {"shards", ND_KIND(ND_MAP), ND_UNKEPT, 0, 0, NULL, NULL, "by name", false},
    {"pair", ND_KIND(ND_MAP), AT(pair), 0, 0, NULL, NULL, "a pair file without arbiter and nodes", false},
    {"node", ND_KIND(ND_MAP), AT(node), 0, 0, NULL, NULL, "of a pair file, without role and replication",
     false},
    {"state", ND_KIND(ND_PLACE), AT(state), 0, 128, "/var/lib/understudy-fleet", NULL,
     "directory of the agent", false},
    {"run", ND_KIND(ND_PLACE), AT(run), 0, 64, "/run/understudy", NULL, "directory of control sockets",
     false},
    {"user", ND_KIND(ND_TEXT), AT(user), 0, 33, "", NULL, "whose the view files are", false},
    {"heals", NF_U32, AT(heals), 1, 1000, "4", NULL, "re-pairs and resyncs at once", false},
    {"hold_down_s", NF_U32, AT(hold_down_s), 1, 86400, "60", NULL, "since a shard changed, before balance",
     false},
    {0},
};
#undef AT

ND_PORT_BEHIND(struct fl_server_entry, metrics_host, metrics_port);
struct raw_server {
    struct fl_server_entry entry;
    uint32_t cores, mpps, memory_mb;
};

#define AT(member) offsetof(struct raw_server, member)
static const struct nf_param server_keys[] = {
    {"zone", ND_KIND(ND_NAME), AT(entry.zone), 0, FL_NAME_MAX, "", NULL, "what fails together", false},
    {"host", ND_KIND(ND_HOST), AT(entry.host), 0, sizeof(((struct fl_server_entry *)0)->host), NULL, NULL,
     "address for replication", false},
    {"nodes", NF_U32, AT(entry.nodes), 1, FL_NODES_MAX, "64", NULL, "that it runs at most", false},
    {"cores", NF_U32, AT(cores), 0, 4096, "0", NULL, "that its nodes may take", false},
    {"mpps", NF_U32, AT(mpps), 0, 100000, "0", NULL, "that its nodes may take", false},
    {"memory_mb", NF_U32, AT(memory_mb), 0, 1u << 30, "0", NULL, "that its nodes may take", false},
    {"metrics", ND_KIND(ND_HOST_PORT), AT(entry.metrics_host), 0,
     sizeof(((struct fl_server_entry *)0)->metrics_host), "", NULL, "Prometheus reads its agent there",
     false},
    {0},
};
#undef AT

#define AT(member) offsetof(struct fl_shard_entry, member)
static const struct nf_param shard_keys[] = {
    {"port", ND_KIND(ND_PORT), AT(port), 1, 65535, NULL, NULL, "of replication, on each server", false},
    {"on", ND_KIND(ND_LIST), ND_UNKEPT, 0, 2, "", NULL, "servers of its first view, primary first", false},
    {"with", ND_KIND(ND_MAP), AT(with), 0, 0, "", NULL, "what $(NAME) stands for", false},
    {0},
};
#undef AT

/* Of servers, or of shards: both begin with their name. */
static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Both arrays are sorted before anybody looks for a name in them. */
uint32_t fl_file_server(const struct fl_file *file, const char *name)
{
    const struct fl_server_entry *s =
        bsearch(name, file->server, file->servers, sizeof(*file->server), by_name);

    return s ? (uint32_t)(s - file->server) : FL_NONE;
}

uint32_t fl_file_all(const struct fl_file *file)
{
    uint32_t all = file->servers;

    while (all < file->servers + FL_UNLISTED_MAX && file->server[all].name[0])
        all++;
    return all;
}

uint32_t fl_file_member(const struct fl_file *file, const char *name)
{
    uint32_t listed = fl_file_server(file, name), at = file->servers;

    if (listed != FL_NONE || !ft_is_name(name, FL_NAME_MAX))
        return listed;
    while (at < file->servers + FL_UNLISTED_MAX && file->server[at].name[0] &&
           strcmp(file->server[at].name, name) != 0)
        at++;
    if (at == file->servers + FL_UNLISTED_MAX)
        return FL_NONE;
    snprintf(file->server[at].name, sizeof(file->server[at].name), "%s", name);
    return at;
}

uint32_t fl_file_shard(const struct fl_file *file, const char *name)
{
    const struct fl_shard_entry *s = bsearch(name, file->shard, file->shards, sizeof(*file->shard), by_name);

    return s ? (uint32_t)(s - file->shard) : FL_NONE;
}

/* A node is called SHARD-SERVER. A shard's name has no `-`, so no two nodes have one name. */
static bool is_shard_name(const char *text)
{
    return ft_is_name(text, FL_NAME_MAX) && !strchr(text, '-');
}

uint32_t fl_file_all_shards(const struct fl_file *file)
{
    uint32_t all = file->shards;

    while (all < file->shards + FL_UNLISTED_MAX && file->shard[all].name[0])
        all++;
    return all;
}

uint32_t fl_file_stray(const struct fl_file *file, const char *name)
{
    uint32_t listed = fl_file_shard(file, name), at = file->shards;

    if (listed != FL_NONE || !is_shard_name(name))
        return listed;
    for (uint32_t i = 0; i < file->servers; i++)
        if (strlen(name) + 1 + strlen(file->server[i].name) >= FL_NAME_MAX)
            return FL_NONE;
    while (at < file->shards + FL_UNLISTED_MAX && file->shard[at].name[0] &&
           strcmp(file->shard[at].name, name) != 0)
        at++;
    if (at == file->shards + FL_UNLISTED_MAX)
        return FL_NONE;
    snprintf(file->shard[at].name, sizeof(file->shard[at].name), "%s", name);
    return at;
}

uint32_t fl_file_brought(const struct fl_file *file, const char *name, uint32_t server)
{
    uint32_t all = fl_file_all_shards(file), at = file->shards;

    while (at < all && strcmp(file->shard[at].name, name) != 0)
        at++;
    if (at == all && file->server[server].brought == FL_BRINGS_MAX)
        return fl_file_shard(file, name);
    at = fl_file_stray(file, name);
    if (at == all)
        file->server[server].brought++;
    return at;
}

/* ---- reading ------------------------------------------------------------------------------------ */

static int read_server(struct fl_file *f, const struct nd_yaml *at, struct ft_fault *fault)
{
    struct fl_server_entry *s = &f->server[f->servers];
    struct raw_server raw = {.cores = 0};
    unsigned first;
    char what[64];
    int error;

    if (!ft_is_name(at->key, sizeof(s->name)))
        return nd_yaml_fail(fault, at, "server \"%.40s\", expected at most 31 letters, digits, - and _",
                            at->key);
    snprintf(what, sizeof(what), "server %s", at->key);
    error = nd_schema_read(f->arena, at, what, server_keys, &raw, fault);
    if (error)
        return error;
    *s = raw.entry;
    snprintf(s->name, sizeof(s->name), "%s", at->key);
    first = ntohl(inet_addr(s->host)) >> 24;
    if (!first || first >= 224)
        return nd_yaml_fail(fault, nd_yaml_get(at, "host"),
                            "%s host is %s, expected its address, to which nodes of others connect", what,
                            s->host);
    s->cores = raw.cores;
    s->mpps = raw.mpps;
    s->memory_mb = raw.memory_mb;
    for (uint32_t i = 0; i < f->servers; i++)
        if (strcmp(f->server[i].host, s->host) == 0)
            return nd_yaml_fail(fault, at, "servers %s and %s have one host, expected two", f->server[i].name,
                                s->name);
    f->servers++;
    return 0;
}

/* Where the shard is begun, if the file names that. */
static int read_on(const struct fl_file *f, const struct nd_yaml *on, struct fl_shard_entry *s,
                   struct ft_fault *fault)
{
    unsigned n = 0;

    s->on[0] = s->on[1] = FL_NONE;
    if (!on)
        return 0;
    for (const struct nd_yaml *e = on->first; e; e = e->next) {
        s->on[n] = e->kind == ND_YAML_TEXT ? fl_file_server(f, e->text) : FL_NONE;
        if (s->on[n++] == FL_NONE)
            return nd_yaml_fail(fault, e, "shard %s is on \"%.40s\", expected a server of this file", s->name,
                                e->kind == ND_YAML_TEXT ? e->text : "");
    }
    if (n != 2 || s->on[0] == s->on[1])
        return nd_yaml_fail(fault, on, "shard %s is on %s, expected two servers, that of the primary first",
                            s->name,
                            n == 2 ? "one server twice"
                            : n    ? "one server"
                                   : "none");
    return 0;
}

static int check_node_names(const struct fl_file *f, const struct nd_yaml *at, const char *shard,
                            struct ft_fault *fault)
{
    for (uint32_t i = 0; i < f->servers; i++)
        if (strlen(shard) + 1 + strlen(f->server[i].name) >= FL_NAME_MAX)
            return nd_yaml_fail(fault, at,
                                "its node on server %s would be called %s-%s, expected at most %u characters",
                                f->server[i].name, shard, f->server[i].name, FL_NAME_MAX - 1);
    return 0;
}

/* What every shard has, and a node of it. Neither may be given another meaning by `with`. */
static const char *const built_in[] = {"shard", "dir", "server", "node", "host"};

static int check_with(const struct nd_yaml *with, const char *what, struct ft_fault *fault)
{
    for (const struct nd_yaml *e = with ? with->first : NULL; e; e = e->next) {
        if (!ft_is_name(e->key, FL_NAME_MAX))
            return nd_yaml_fail(fault, e, "%s with \"%.40s\", expected at most 31 letters, digits, - and _",
                                what, e->key);
        for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++)
            if (strcmp(e->key, built_in[i]) == 0)
                return nd_yaml_fail(fault, e, "%s with %s, which every shard has, expected another name",
                                    what, e->key);
        if (e->kind != ND_YAML_TEXT)
            return nd_yaml_fail(fault, e, "%s with %s is no text, expected one", what, e->key);
    }
    return 0;
}

static int read_shard(struct fl_file *f, const struct nd_yaml *at, struct ft_fault *fault)
{
    struct fl_shard_entry *s = &f->shard[f->shards];
    char what[64];
    int error;

    if (!is_shard_name(at->key))
        return nd_yaml_fail(fault, at, "shard \"%.40s\", expected at most 31 letters, digits and _", at->key);
    snprintf(what, sizeof(what), "shard %s", at->key);
    error = nd_schema_read(f->arena, at, what, shard_keys, s, fault);
    if (error)
        return error;
    snprintf(s->name, sizeof(s->name), "%s", at->key);
    s->at = at;
    error = check_with(s->with, what, fault);
    if (!error)
        error = check_node_names(f, at, s->name, fault);
    if (!error)
        error = read_on(f, nd_yaml_get(at, "on"), s, fault);
    for (uint32_t i = 0; i < f->shards && !error; i++)
        if (f->shard[i].port == s->port)
            error = nd_yaml_fail(fault, at, "shards %s and %s have one port, expected two", f->shard[i].name,
                                 s->name);
    f->shards += !error;
    return error;
}

static int refuse_keys(const struct nd_yaml *map, const char *what, const char *const *keys, const char *why,
                       struct ft_fault *fault)
{
    for (; *keys; keys++) {
        const struct nd_yaml *at = nd_yaml_get(map, *keys);

        if (at)
            return nd_yaml_fail(fault, at, "%s has %s, expected none: %s", what, *keys, why);
    }
    return 0;
}

static int read_entries(struct fl_file *f, const struct nd_yaml *root, struct ft_fault *fault)
{
    const struct nd_yaml *servers = nd_yaml_get(root, "servers"), *shards = nd_yaml_get(root, "shards");
    static const char *const of_pair[] = {"arbiter", "nodes", NULL},
                             *const of_node[] = {"role", "replication", "control", "state", NULL},
                             *const of_pins[] = {"prefer", "failback", NULL},
                             written[] = "the fleet writes it";
    int error = 0;

    f->server = nd_arena_alloc(f->arena, (servers->count + FL_UNLISTED_MAX) * sizeof(*f->server));
    f->shard = nd_arena_alloc(f->arena, (shards->count + FL_UNLISTED_MAX) * sizeof(*f->shard));
    if (!f->server || !f->shard)
        return nd_no_memory(fault);
    for (const struct nd_yaml *e = servers->first; e && !error; e = e->next)
        error = read_server(f, e, fault);
    qsort(f->server, f->servers, sizeof(*f->server), by_name);
    for (const struct nd_yaml *e = shards->first; e && !error; e = e->next)
        error = read_shard(f, e, fault);
    qsort(f->shard, f->shards, sizeof(*f->shard), by_name);
    if (!error && f->servers < 2)
        error = nd_yaml_fail(fault, servers, "%u servers, expected two or more", f->servers);
    if (!error)
        error = refuse_keys(f->pair, "pair", of_pair, written, fault);
    if (!error)
        error = refuse_keys(f->pair, "pair", of_pins, "`fleet pin` says where a primary is to be", fault);
    return error ? error : refuse_keys(f->node, "node", of_node, written, fault);
}

static const char each_server[] = "$(server)"; /* in the arbiter's user and password_file: who speaks */

/* Nodes are no agents: where each of these has a user of his own, nodes have theirs. */
static int read_shard_etcd(struct fl_file *f, const struct nd_yaml *at, struct ft_fault *fault)
{
    static const char *const keys[] = {"user", "password_file", "cert", "cert_key"};

    f->shard_etcd = at && at->count ? at : NULL;
    for (const struct nd_yaml *e = f->shard_etcd ? at->first : NULL; e; e = e->next) {
        bool known = false;

        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
            known |= strcmp(e->key, keys[i]) == 0;
        if (!known || e->kind != ND_YAML_TEXT)
            return nd_yaml_fail(fault, e,
                                "shard_etcd with %.40s, expected texts user, password_file, cert, cert_key",
                                e->key);
    }
    bool user = f->shard_etcd && nd_yaml_get(at, "user"),
         password = f->shard_etcd && nd_yaml_get(at, "password_file");

    if (user != password)
        return nd_yaml_fail(fault, at, "shard_etcd has one of user and password_file, expected both or none");
    if (!user && (strstr(f->etcd.user, each_server) || strstr(f->etcd.password_file, each_server)))
        return nd_yaml_fail(fault, nd_yaml_get(f->arbiter, "user"),
                            "arbiter has a user for each server, expected one for nodes in shard_etcd");
    return 0;
}

/* In `text` of `size` bytes. */
static int put_speaker(char *text, size_t size, const char *name, struct ft_fault *fault)
{
    for (char *at; (at = strstr(text, each_server));) {
        size_t len = strlen(name), rest = strlen(at + sizeof(each_server) - 1);

        if ((size_t)(at - text) + len + rest >= size)
            return ft_fail(fault, FT_EINVAL, "%s with %s is longer than %zu characters", text, name,
                           size - 1);
        memmove(at + len, at + sizeof(each_server) - 1, rest + 1);
        memcpy(at, name, len);
    }
    return 0;
}

int fl_file_speak_as(struct fl_file *f, const char *name, struct ft_fault *fault)
{
    int error = put_speaker(f->etcd.user, sizeof(f->etcd.user), name, fault);

    f->self = fl_file_server(f, name);
    return error ? error : put_speaker(f->etcd.password_file, sizeof(f->etcd.password_file), name, fault);
}

/* A pair file lies elsewhere than the fleet's, so what it names must not depend on where that is. `at`: what
 * a refusal is about. */
static int make_absolute(const struct fl_file *f, const struct nd_yaml *at, const char *from, char *path,
                         size_t size, struct ft_fault *fault)
{
    const char *whole;

    if (!path[0] || path[0] == '/')
        return 0;
    whole = nd_path_join(f->arena, from, path);
    if (!whole)
        return nd_no_memory(fault);
    if (strlen(whole) >= size)
        return nd_yaml_fail(fault, at, "a path of %zu bytes, expected less than %zu", strlen(whole), size);
    strcpy(path, whole);
    return 0;
}

static int make_all_absolute(struct fl_file *f, const struct nd_yaml *root, struct ft_fault *fault)
{
    const struct nd_yaml *arbiter = nd_yaml_get(root, "arbiter");
    const struct {
        const struct nd_yaml *map;
        const char *key;
        char *path;
        size_t size;
    } all[] = {{root, "state", f->state, sizeof(f->state)},
               {root, "run", f->run, sizeof(f->run)},
               {arbiter, "ca", f->etcd.ca, sizeof(f->etcd.ca)},
               {arbiter, "cert", f->etcd.cert, sizeof(f->etcd.cert)},
               {arbiter, "cert_key", f->etcd.cert_key, sizeof(f->etcd.cert_key)},
               {arbiter, "password_file", f->etcd.password_file, sizeof(f->etcd.password_file)}};
    const char *dir = root->file->dir;
    char from[4096];
    int error = 0;

    f->dir = dir;
    if (dir[0] == '/')
        return 0;
    if (!getcwd(from, sizeof(from)))
        return ft_fail(fault, FT_EIO, "%s: this directory has no name, expected one", root->file->shown);
    f->dir = strcmp(dir, ".") == 0 ? nd_arena_text(f->arena, from, strlen(from))
                                   : nd_path_join(f->arena, from, dir);
    if (!f->dir)
        return nd_no_memory(fault);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && !error; i++)
        error = make_absolute(f, nd_yaml_get(all[i].map, all[i].key), from, all[i].path, all[i].size, fault);
    return error;
}

static int read_fleet(struct fl_file *f, struct ft_fault *fault)
{
    const struct nd_yaml *root;
    struct nd_arbiter_config arbiter;
    struct nf_file text;
    int error = nd_yaml_read(&root, &text, f->arena, f->path, &nd_trust_pair, NULL, fault);

    if (!error)
        error = nd_schema_read(f->arena, root, NULL, fleet_keys, f, fault);
    if (!error)
        error = nd_config_read_arbiter(&arbiter, f->arena, f->arbiter, "arbiter", fault);
    if (!error && arbiter.key[0])
        error = nd_yaml_fail(fault, nd_yaml_get(f->arbiter, "key"),
                             "arbiter has a key, expected none: each shard gets its own");
    if (error)
        return error;
    f->etcd = arbiter.etcd;
    /* Nodes that have the agents' user of etcd have its password; others are not to read it. */
    if (!f->shard_etcd || !nd_yaml_get(f->shard_etcd, "user"))
        snprintf(f->etcd.owner, sizeof(f->etcd.owner), "%s", f->user);
    f->self = FL_NONE;
    error = make_all_absolute(f, root, fault);
    if (!error)
        error = read_shard_etcd(f, f->shard_etcd, fault);
    return error ? error : read_entries(f, root, fault);
}

int fl_file_read(struct fl_file **out, const char *path, struct ft_fault *fault)
{
    struct nd_arena *arena = nd_arena_new();
    struct fl_file *f = arena ? nd_arena_alloc(arena, sizeof(*f)) : NULL;
    int error = FT_ENOMEM;

    *out = NULL;
    if (f) {
        f->arena = arena;
        f->path = nd_arena_format(arena, "%s", path);
    }
    if (!f || !f->path)
        nd_no_memory(fault);
    else
        error = read_fleet(f, fault);
    if (error)
        nd_arena_free(arena);
    else
        *out = f;
    return error;
}

void fl_file_free(struct fl_file *file)
{
    if (file)
        nd_arena_free(file->arena);
}

/* ---- names -------------------------------------------------------------------------------------- */

const char *fl_node_name(char out[FL_NAME_MAX], const struct fl_file *file, uint32_t shard, uint32_t server)
{
    int n = snprintf(out, FL_NAME_MAX, "%s-%s", file->shard[shard].name, file->server[server].name);

    FT_CHECK(n < (int)FL_NAME_MAX, "a node's name of %d bytes", n);
    return out;
}

uint32_t fl_node_server(const struct fl_file *file, uint32_t shard, const char *node)
{
    size_t len = strlen(file->shard[shard].name);

    if (strncmp(node, file->shard[shard].name, len) != 0 || node[len] != '-')
        return FL_NONE;
    return fl_file_member(file, node + len + 1);
}

const char *fl_node_socket(char out[FL_PATH_MAX], const struct fl_file *file, uint32_t shard, uint32_t server)
{
    char name[FL_NAME_MAX];

    snprintf(out, FL_PATH_MAX, "%s/%s.sock", file->run, fl_node_name(name, file, shard, server));
    return out;
}

/* ---- pair files --------------------------------------------------------------------------------- */

/* What is written: the text so far, and what $(NAME) stands for in it. */
struct pen {
    const struct fl_file *file;
    uint32_t shard, server; /* server FL_NONE: not in the section of a node */
    uint32_t reader;        /* outside of it, the server whose node reads the file; FL_NONE: nobody knows */
    bool as_is;             /* $(NAME) stands for itself, as where the fleet's own reader has read the text */
    FILE *out;
    struct ft_fault *fault;
};

/* What `name` stands for; NULL: nothing. `room`: for what is made here. */
static const char *value_of(const struct pen *pen, const char *name, char room[FL_NAME_MAX])
{
    const struct fl_shard_entry *shard = &pen->file->shard[pen->shard];
    const struct nd_yaml *given = shard->with ? nd_yaml_get(shard->with, name) : NULL;
    uint32_t server = pen->server != FL_NONE ? pen->server : pen->reader;

    if (strcmp(name, "shard") == 0)
        return shard->name;
    if (strcmp(name, "dir") == 0)
        return pen->file->dir;
    if (pen->server != FL_NONE && strcmp(name, "server") == 0)
        return pen->file->server[server].name;
    if (pen->server != FL_NONE && strcmp(name, "host") == 0)
        return pen->file->server[server].host;
    if (server != FL_NONE && strcmp(name, "node") == 0)
        return fl_node_name(room, pen->file, pen->shard, server);
    return given ? given->text : NULL;
}

#define TEXT_MAX 4096u

static int refuse_name(const struct pen *pen, const struct nd_yaml *at, const char *name, size_t len)
{
    return nd_yaml_fail(pen->fault, at, "$(%.*s) is nothing that shard %s has, expected a key of its with",
                        (int)(len < 60 ? len : 60), name, pen->file->shard[pen->shard].name);
}

/* `text` of the value `at`, replaced. */
static int replace(const struct pen *pen, const struct nd_yaml *at, const char *text, char out[TEXT_MAX])
{
    size_t n = 0;

    out[0] = '\0';
    while (*text) {
        const char *piece = text;
        char name[FL_NAME_MAX] = "", room[FL_NAME_MAX];
        size_t len = 1, taken = 1;

        if (!pen->as_is && text[0] == '$' && text[1] == '(') {
            size_t named = strcspn(text + 2, ")");

            if (!text[2 + named])
                return nd_yaml_fail(pen->fault, at, "%.40s has no end, expected $(NAME)", text);
            if (named >= sizeof(name))
                return refuse_name(pen, at, text + 2, named);
            memcpy(name, text + 2, named);
            piece = value_of(pen, name, room);
            if (!piece)
                return refuse_name(pen, at, name, named);
            len = strlen(piece);
            taken = named + 3;
        }
        if (n + len >= TEXT_MAX)
            return nd_yaml_fail(pen->fault, at, "a text of more than %u bytes, expected fewer", TEXT_MAX - 1);
        memcpy(out + n, piece, len);
        n += len;
        text += taken;
    }
    out[n] = '\0';
    return 0;
}

/* What YAML takes as it stands, wherever it is, and for a text. */
static bool is_plain(const char *text)
{
    return text[0] && strcmp(text, "null") != 0 &&
           !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+")];
}

/* The character at *at, which is moved to its last byte; of UTF-8, as YAML has it. */
static uint32_t take_character(const char **at)
{
    const unsigned char *c = (const unsigned char *)*at;
    unsigned more = c[0] < 0xc0 ? 0 : c[0] < 0xe0 ? 1 : c[0] < 0xf0 ? 2 : 3;
    uint32_t code = more ? c[0] & (0x3fu >> more) : c[0];

    for (; more && (c[1] & 0xc0) == 0x80; more--)
        code = code << 6 | (*++c & 0x3f);
    *at = (const char *)c;
    return code;
}

/* In quotes. What is no ASCII is escaped: some of it ends a line for YAML, or may not stand in a file. */
static void put_quoted(FILE *out, const char *text)
{
    putc('"', out);
    for (const char *c = text; *c; c++) {
        uint32_t code = take_character(&c);

        if (code == '"' || code == '\\')
            fprintf(out, "\\%c", (char)code);
        else if (code < ' ' || (code >= 0x7f && code < 0x10000))
            fprintf(out, "\\u%04x", code);
        else if (code >= 0x10000)
            fprintf(out, "\\U%08x", code);
        else
            putc((char)code, out);
    }
    putc('"', out);
}

static int write_text(const struct pen *pen, const struct nd_yaml *at, const char *text, bool quoted)
{
    char out[TEXT_MAX];
    int error = replace(pen, at, text, out);

    if (error)
        return error;
    if (!quoted && !text[0]) /* nothing: a list has it as an entry */
        putc('~', pen->out);
    else if (!quoted && is_plain(out))
        fputs(out, pen->out);
    else
        put_quoted(pen->out, out);
    return 0;
}

static int write_value(const struct pen *pen, const struct nd_yaml *at);

/* The entries of a map or a list, with commas between them. */
static int write_entries(const struct pen *pen, const struct nd_yaml *at)
{
    int error = 0;

    for (const struct nd_yaml *e = at->first; e && !error; e = e->next) {
        if (e != at->first)
            fputs(", ", pen->out);
        if (at->kind == ND_YAML_MAP) {
            error = write_text(pen, e, e->key, true);
            fputs(": ", pen->out);
        }
        error = error ? error : write_value(pen, e);
    }
    return error;
}

static int write_value(const struct pen *pen, const struct nd_yaml *at)
{
    int error;

    if (at->kind == ND_YAML_TEXT)
        return write_text(pen, at, at->text, at->quoted);
    putc(at->kind == ND_YAML_MAP ? '{' : '[', pen->out);
    error = write_entries(pen, at);
    putc(at->kind == ND_YAML_MAP ? '}' : ']', pen->out);
    return error;
}

static int write_node(struct pen *pen, unsigned nth)
{
    static const char *const roles[] = {"primary", "standby", "spare"};
    const struct fl_file *f = pen->file;
    char name[FL_NAME_MAX], socket[FL_PATH_MAX], state[FL_PATH_MAX];
    int error;

    fl_node_name(name, f, pen->shard, pen->server);
    snprintf(state, sizeof(state), "%s/%s", f->state, name);
    fprintf(pen->out, "  %s: {role: %s, replication: \"%s:%u\", control: ", name, roles[nth < 2 ? nth : 2],
            f->server[pen->server].host, f->shard[pen->shard].port);
    put_quoted(pen->out, fl_node_socket(socket, f, pen->shard, pen->server));
    fputs(", state: ", pen->out);
    put_quoted(pen->out, state);
    fputs(f->node->count ? ", " : "", pen->out);
    error = write_entries(pen, f->node);
    fputs("}\n", pen->out);
    return error;
}

/* As the fleet's own reader has read it: paths are seen from the fleet's file, and $(NAME) is nothing there.
 */
static int write_arbiter(struct pen *pen)
{
    const struct fl_file *f = pen->file;
    const struct {
        const char *key, *path;
    } paths[] = {{"ca", f->etcd.ca},
                 {"cert", f->etcd.cert},
                 {"cert_key", f->etcd.cert_key},
                 {"password_file", f->etcd.password_file}};
    int error = 0;

    fprintf(pen->out, "arbiter: {key: \"understudy/%s/arbiter/%s\"", f->name, f->shard[pen->shard].name);
    pen->as_is = true;
    for (const struct nd_yaml *e = f->arbiter->first; e && !error; e = e->next) {
        const char *path = NULL;

        if (f->shard_etcd && nd_yaml_get(f->shard_etcd, e->key))
            continue;
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
            if (strcmp(e->key, paths[i].key) == 0)
                path = paths[i].path;
        fprintf(pen->out, ", %s: ", e->key);
        if (path)
            put_quoted(pen->out, path);
        else
            error = write_value(pen, e);
    }
    pen->as_is = false;
    for (const struct nd_yaml *e = f->shard_etcd ? f->shard_etcd->first : NULL; e && !error; e = e->next) {
        fprintf(pen->out, ", %s: ", e->key);
        error = write_value(pen, e);
    }
    fputs("}\n", pen->out);
    return error;
}

static int write_pair(struct pen *pen, const uint32_t server[], unsigned count)
{
    const struct fl_file *f = pen->file;
    int error = 0;

    fputs("# Made of ", pen->out);
    put_quoted(pen->out, f->path);
    fputs(" by the agent of this server, and made again when the shard's members change.\n", pen->out);
    for (const struct nd_yaml *e = f->pair->first; e && !error; e = e->next) {
        error = write_text(pen, e, e->key, true);
        fputs(": ", pen->out);
        error = error ? error : write_value(pen, e);
        putc('\n', pen->out);
    }
    if (!error)
        error = write_arbiter(pen);
    fputs("nodes:\n", pen->out);
    for (unsigned i = 0; i < count && !error; i++) {
        pen->server = server[i];
        error = write_node(pen, i);
    }
    return error;
}

int fl_file_render(const struct fl_file *file, uint32_t shard, const uint32_t server[], unsigned count,
                   char **text, struct ft_fault *fault)
{
    struct pen pen = {.file = file,
                      .shard = shard,
                      .server = FL_NONE,
                      .reader = file->self != FL_NONE ? file->self : server[0],
                      .fault = fault};
    int error;

    FT_CHECK(count >= 2 && count <= ND_NODES, "a pair file of %u nodes", count);
    /* One that grows (open_memstream) drops what it has no memory for, and does not report it. */
    *text = malloc(FL_PAIR_MAX);
    pen.out = *text ? fmemopen(*text, FL_PAIR_MAX, "w") : NULL;
    if (!pen.out) {
        free(*text);
        *text = NULL;
        return nd_no_memory(fault);
    }
    error = write_pair(&pen, server, count);
    bool torn = ferror(pen.out) != 0;

    if ((fclose(pen.out) != 0 || torn) && !error)
        error = ft_fail(fault, FT_EMALFORMED, "%s: shard %s has a pair file of more than %u bytes",
                        file->path, file->shard[shard].name, FL_PAIR_MAX - 1);
    if (error) {
        free(*text);
        *text = NULL;
    }
    return error;
}

/* ---- users of etcd ------------------------------------------------------------------------------- */

int fl_file_user(const struct fl_file *file, uint32_t shard, const char *server, char out[ND_ETCD_NAME_MAX],
                 struct ft_fault *fault)
{
    const struct nd_yaml *user = file->shard_etcd ? nd_yaml_get(file->shard_etcd, "user") : NULL;
    struct pen pen = {.file = file, .shard = shard, .server = FL_NONE, .reader = FL_NONE, .fault = fault};
    char whole[TEXT_MAX];
    int error = 0;

    snprintf(out, ND_ETCD_NAME_MAX, "%s", file->etcd.user);
    if (shard == FL_NONE)
        return put_speaker(out, ND_ETCD_NAME_MAX, server, fault);
    if (!user)
        return 0;
    error = replace(&pen, user, user->text, whole);
    if (!error && strlen(whole) >= ND_ETCD_NAME_MAX)
        error = nd_yaml_fail(fault, user, "a user of %zu characters, expected fewer than %u", strlen(whole),
                             ND_ETCD_NAME_MAX);
    if (!error)
        strcpy(out, whole);
    return error;
}
