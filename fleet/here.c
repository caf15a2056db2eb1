/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server of a fleet has to have beside the file, judged as the users that read it. Each is judged in a
 * process of its own, which becomes that user. Owns nothing. See here.h.
 */
#define _GNU_SOURCE /* group_member */
#include "fleet/here.h"
#include "understudy/base/interface.h"
#include "understudy/base/process.h"
#include "understudy/config/config.h"
#include "understudy/config/options.h"
#include "understudy/config/setup.h"
#include "understudy/etcd/etcd.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct verdict {
    int error;
    struct ft_fault fault;
};

enum kind { OF_USER, OF_LINK, OF_ETCD, OF_NODES, OF_PORTS, KINDS };

struct found {
    struct verdict of[KINDS];
};

uint32_t fl_here(const struct fl_file *file)
{
    for (uint32_t i = 0; i < file->servers; i++)
        if (nd_address_here(file->server[i].host))
            return i;
    return FL_NONE;
}

/* The control sockets are the group's of the nodes' user: who is not in it may only look. */
static int judge_group(const char *user, const char *nodes, struct ft_fault *fault)
{
    const struct passwd *of = getpwnam(nodes);
    const struct group *group = of ? getgrgid(of->pw_gid) : NULL;

    if (!of || geteuid() == of->pw_uid || getegid() == of->pw_gid || group_member(of->pw_gid))
        return 0;
    return ft_fail(
        fault, FT_EPERM,
        "user %s is not in group %s, expected it there: the control sockets of user %s are that group's",
        user, group ? group->gr_name : "?", nodes);
}

/* `config` NULL: of one without a node. `nodes`: the user whose nodes `user` speaks to; "": it speaks to
 * none. */
static void judge(struct found *out, const char *user, const char *nodes, const struct nd_config *config,
                  const struct nd_etcd_config *etcd)
{
    const struct nd_privilege own = {.user = geteuid() == 0 ? user : ""};
    struct verdict *v = out->of;

    v[OF_USER].error = nd_privilege_limit(&own, &v[OF_USER].fault);
    if (v[OF_USER].error)
        return;
    if (config && (config->link.key[0] || config->link.certificate[0]))
        v[OF_LINK].error = nd_setup_judge_seal(config, 0, &v[OF_LINK].fault);
    v[OF_ETCD].error = nd_etcd_judge(etcd, &v[OF_ETCD].fault);
    if (nodes[0] && own.user[0] && geteuid() != 0)
        v[OF_NODES].error = judge_group(user, nodes, &v[OF_NODES].fault);
    if (config)
        v[OF_PORTS].error = nd_setup_judge_devices(config, &config->node[0], &v[OF_PORTS].fault);
}

/* False: the system refuses what it takes. */
static bool judge_apart(struct found *out, const char *user, const char *nodes,
                        const struct nd_config *config, const struct nd_etcd_config *etcd)
{
    int status = 0;
    pid_t pid;

    memset(out, 0, sizeof(*out));
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        judge(out, user, nodes, config, etcd);
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* The pair file of a shard with this server's node, as its agent writes it. NULL: fl_check printed why. */
static struct nd_config *pair_of(const struct fl_file *f, uint32_t shard)
{
    uint32_t servers[] = {f->self, f->self ? 0 : 1};
    char path[FL_PATH_MAX], name[FL_NAME_MAX], *text;
    struct nd_config *config = NULL;
    struct ft_fault fault;

    if (fl_file_render(f, shard, servers, 2, &text, &fault) != 0)
        return NULL;
    snprintf(path, sizeof(path), "%s/%s.yaml", f->state, fl_node_name(name, f, shard, f->self));
    (void)nd_config_read_text(&config, path, text, ND_CONFIG_NODES | ND_CONFIG_QUIET, &fault);
    free(text);
    return config;
}

/* Of each kind the first line, and how many shards have one. */
static int judge_nodes(const struct fl_file *f, struct found *found, FILE *notes)
{
    static const char *const what[KINDS] = {"do not start here", "do not start here", "have no arbiter here",
                                            "", "do not start here"};
    struct found first = {.of[0].error = 0};
    uint32_t count[KINDS] = {0}, at[KINDS] = {0};
    int code = ND_DONE;

    for (uint32_t i = 0; i < f->shards; i++) {
        struct nd_config *config = pair_of(f, i);
        bool judged = config && judge_apart(found, f->user, "", config, &config->arbiter.etcd);

        nd_config_free(config);
        for (unsigned k = 0; judged && k < KINDS; k++) {
            if (!found->of[k].error || count[k]++)
                continue;
            first.of[k] = found->of[k];
            at[k] = i;
        }
    }
    for (unsigned k = 0; k < KINDS; k++) {
        if (!count[k])
            continue;
        fprintf(notes, "understudy: nodes of shard %s", f->shard[at[k]].name);
        if (count[k] > 1)
            fprintf(notes, " and of %u more", count[k] - 1);
        fprintf(notes, " %s: %s\n", what[k], first.of[k].fault.text);
        code = code ? code : nd_exit_of_start(first.of[k].error);
    }
    return code;
}

static int judge_metrics(const struct fl_server_entry *own, FILE *notes)
{
    if (!own->metrics_port || strcmp(own->metrics_host, "0.0.0.0") == 0 || nd_address_here(own->metrics_host))
        return ND_DONE;
    fprintf(notes,
            "understudy: the agent of server %s does not start here: metrics %s:%u: expected an address of "
            "this host\n",
            own->name, own->metrics_host, own->metrics_port);
    return ND_NO_ANSWER;
}

int fl_here_judge(const struct fl_file *file, const char *agent, FILE *notes)
{
    struct found *found =
        mmap(NULL, sizeof(*found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool server = file->self != FL_NONE;
    bool judged = found != MAP_FAILED &&
                  judge_apart(found, server ? agent : "", server ? file->user : "", NULL, &file->etcd);
    int code = ND_DONE, other;

    if (!judged) {
        fprintf(notes, "understudy: what this machine has could not be judged\n");
        code = ND_SOFTWARE;
    }
    for (unsigned k = 0; judged && k < KINDS; k++) {
        const struct verdict *v = &found->of[k];

        if (!v->error)
            continue;
        if (server)
            fprintf(notes, "understudy: the agent of server %s is not heard by %s: %s\n",
                    file->server[file->self].name, k == OF_NODES ? "nodes" : "etcd", v->fault.text);
        else
            fprintf(notes, "understudy: commands that are given here are not heard by etcd: %s\n",
                    v->fault.text);
        code = code ? code : nd_exit_of_start(v->error);
    }
    if (server) {
        other = judge_metrics(&file->server[file->self], notes);
        code = code ? code : other;
    }
    if (server && found != MAP_FAILED) {
        other = judge_nodes(file, found, notes);
        code = code ? code : other;
    }
    if (found != MAP_FAILED)
        munmap(found, sizeof(*found));
    return code;
}
