/* SPDX-License-Identifier: Apache-2.0 */
/* The roles of a fleet's users in etcd, and what is wider than they are. See rights.h. */
#include "fleet/rights.h"

#include <stdlib.h>
#include <string.h>

struct right {
    const char *what; /* as etcdctl has it */
    const char *key;  /* below the fleet's; "%s": the server, or the shard */
    bool prefix;
};

/* Whoever leads reads all, and writes what a leader writes; each agent may come to lead. */
static const struct right of_agent[] = {{"read", "", true},
                                        {"readwrite", "servers/%s", false},
                                        {"readwrite", "leader", false},
                                        {"readwrite", "leader/gone", false},
                                        {"readwrite", "shards/", true},
                                        {"readwrite", "agents/", true},
                                        {"readwrite", "wishes/", true},
                                        {NULL, NULL, false}};
static const struct right of_shard[] = {{"readwrite", "arbiter/%s", false}, {NULL, NULL, false}};
static const struct right of_operator[] = {
    {"read", "", true}, {"readwrite", "wishes/", true}, {NULL, NULL, false}};

/* A name of etcd's users goes to a shell: it is one word. */
static int check_user(const char *user, struct ft_fault *fault)
{
    if (ft_is_name(user, ND_ETCD_NAME_MAX))
        return 0;
    return ft_fail(fault, FT_EMALFORMED, "user \"%.40s\", expected letters, digits, - and _", user);
}

static void print_user(const struct fl_file *file, FILE *out, const char *user, const char *name,
                       const struct right *rights)
{
    fprintf(out, "[ -e %s.password ] || head -c 24 /dev/urandom | base64 >%s.password\n", user, user);
    fprintf(out, "etcdctl user add --interactive=false %s <%s.password\n", user, user);
    fprintf(out, "etcdctl role add %s\n", user);
    for (; rights->what; rights++) {
        fprintf(out, "etcdctl role grant-permission %s%s %s understudy/%s/",
                rights->prefix ? "--prefix " : "", user, rights->what, file->name);
        fprintf(out, strstr(rights->key, "%s") ? "%.*s%s\n" : "%.*s\n", (int)strcspn(rights->key, "%"),
                rights->key, name);
    }
    fprintf(out, "etcdctl user grant-role %s %s\n", user, user);
}

/* A user of etcd, and whose he is. */
struct owned {
    char user[ND_ETCD_NAME_MAX];
    uint32_t shard;  /* FL_NONE: of `who` */
    const char *who; /* a server, or FL_OPERATOR */
};

static int by_user(const void *a, const void *b)
{
    return strcmp(((const struct owned *)a)->user, ((const struct owned *)b)->user);
}

/* Those of all shards, then of all servers, then the operator's. */
static int list_users(const struct fl_file *file, struct owned *out, struct ft_fault *fault)
{
    int error = 0;

    for (uint32_t i = 0; i < file->shards && !error; i++, out++) {
        *out = (struct owned){.shard = i};
        error = fl_file_user(file, i, NULL, out->user, fault);
    }
    for (uint32_t i = 0; i <= file->servers && !error; i++, out++) {
        *out =
            (struct owned){.shard = FL_NONE, .who = i < file->servers ? file->server[i].name : FL_OPERATOR};
        error = fl_file_user(file, FL_NONE, out->who, out->user, fault);
    }
    return error;
}

static int refuse_shared(const struct fl_file *file, const struct owned *a, const struct owned *b,
                         struct ft_fault *fault)
{
    const struct owned *shard = a->shard != FL_NONE ? a : b, *other = shard == a ? b : a;

    if (shard->shard == FL_NONE)
        return ft_fail(fault, FT_EMALFORMED, "%s: %s and %s have one user, %s, expected two", file->path,
                       a->who, b->who, a->user);
    if (other->shard == FL_NONE)
        return ft_fail(fault, FT_EMALFORMED, "%s: shard %s and %s have one user, %s, expected two",
                       file->path, file->shard[shard->shard].name, other->who, a->user);
    return ft_fail(fault, FT_EMALFORMED,
                   "%s: shards %s and %s have one user, %s, expected $(shard) in shard_etcd", file->path,
                   file->shard[a->shard].name, file->shard[b->shard].name, a->user);
}

/* One user of two would have the rights of both. */
static int check_users(const struct fl_file *file, struct ft_fault *fault)
{
    size_t count = (size_t)file->shards + file->servers + 1;
    struct owned *all;
    int error;

    if (!file->etcd.user[0])
        return ft_fail(
            fault, FT_EMALFORMED,
            "%s: arbiter has no user, expected arbiter.user with $(server), as NAME-$(server), its "
            "password_file, and shard_etcd.user with $(shard)",
            file->path);
    if (fl_file_server(file, FL_OPERATOR) != FL_NONE || !strstr(file->etcd.user, "$(server)"))
        return ft_fail(fault, FT_EMALFORMED,
                       "%s: arbiter has user \"%s\", expected one with $(server), and no server %s",
                       file->path, file->etcd.user, FL_OPERATOR);
    all = calloc(count, sizeof(*all));
    if (!all)
        return nd_no_memory(fault);
    error = list_users(file, all, fault);
    if (!error)
        qsort(all, count, sizeof(*all), by_user);
    for (size_t i = 1; i < count && !error; i++)
        if (strcmp(all[i - 1].user, all[i].user) == 0)
            error = refuse_shared(file, &all[i - 1], &all[i], fault);
    for (size_t i = 0; i < count && !error; i++)
        error = check_user(all[i].user, fault);
    free(all);
    return error;
}

int fl_rights_print(const struct fl_file *file, FILE *out, struct ft_fault *fault)
{
    char user[ND_ETCD_NAME_MAX];
    int error = check_users(file, fault);

    if (error)
        return error;
    fputs("umask 077\n", out);
    for (uint32_t i = 0; i < file->servers && !error; i++) {
        error = fl_file_user(file, FL_NONE, file->server[i].name, user, fault);
        if (!error)
            print_user(file, out, user, file->server[i].name, of_agent);
    }
    for (uint32_t i = 0; i < file->shards && !error; i++) {
        error = fl_file_user(file, i, NULL, user, fault);
        if (error)
            break;
        fprintf(out, "[ -e %s.key ] || understudy key %s.key\n", file->shard[i].name, file->shard[i].name);
        print_user(file, out, user, file->shard[i].name, of_shard);
    }
    if (!error)
        error = fl_file_user(file, FL_NONE, FL_OPERATOR, user, fault);
    if (!error)
        print_user(file, out, user, FL_OPERATOR, of_operator);
    return error;
}

/* Does a text of the file stand for something else in each shard? */
static bool is_of_shard(const struct nd_yaml *at)
{
    for (const char *text = at->text; (text = strstr(text, "$(")); text += 2)
        if (strncmp(text, "$(dir)", 6) != 0 && strncmp(text, "$(server)", 9) != 0)
            return true;
    return false;
}

unsigned fl_rights_judge(const struct fl_file *file, FILE *out)
{
    const struct nd_yaml *user = file->shard_etcd ? nd_yaml_get(file->shard_etcd, "user") : NULL,
                         *link = nd_yaml_get(file->pair, "link"),
                         *key = link ? nd_yaml_get(link, "key") : NULL;
    const struct {
        bool is;
        const char *what;
    } rows[] = {
        {!file->etcd.user[0], "etcd has no users: whoever reaches it decides for the fleet"},
        {file->etcd.user[0] && !strstr(file->etcd.user, "$(server)"),
         "all agents have one user of etcd: each can write what another one's server says"},
        {file->etcd.user[0] && !user,
         "nodes have the agents' user of etcd: each can write all of the fleet's keys"},
        {user && !is_of_shard(user),
         "all shards have one user of etcd: each node can write the arbiter's key of all"},
        {file->shards > 1 && key && key->kind == ND_YAML_TEXT && !is_of_shard(key),
         "all shards have one key of their links: each node can be the peer of all"},
    };
    unsigned lines = 0;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].is) {
            fprintf(out, "understudy: too wide: %s\n", rows[i].what);
            lines++;
        }
    return lines;
}
