/* SPDX-License-Identifier: Apache-2.0 */
/* Shards that the file does not have any more. See stray.h. */
#include "fleet/stray.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/clock.h"
#include "understudy/config/config.h"
#include "understudy/etcd/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TOLD ".told"

/* ---- which there are ---------------------------------------------------------------------------- */

void fl_stray_find(const struct fl_file *file)
{
    DIR *dir = opendir(file->state);
    const struct dirent *e;

    while (dir && (e = readdir(dir))) {
        size_t len = strlen(e->d_name);
        char name[FL_NAME_MAX];

        if (len < sizeof(TOLD) || len - sizeof(TOLD) + 1 >= sizeof(name) ||
            strcmp(e->d_name + len - sizeof(TOLD) + 1, TOLD) != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(len - sizeof(TOLD) + 1), e->d_name);
        (void)fl_file_stray(file, name);
    }
    if (dir)
        closedir(dir);
}

const char *fl_stray_on(const struct fl_picture *p, uint32_t shard, uint32_t server)
{
    const struct fl_server_said *said = &p->said[server];

    for (uint32_t i = 0; i < said->strays; i++)
        if (said->stray[i].shard == shard)
            return said->stray[i].state;
    return NULL;
}

bool fl_stray_is(const struct fl_picture *p, const struct nd_keys *keys, uint32_t shard)
{
    bool is = fl_key_find(keys, p->file, "shards/", p->file->shard[shard].name) != NULL;

    for (uint32_t i = 0; i < p->fleet.servers && !is; i++)
        is = fl_stray_on(p, shard, i) != NULL;
    return is;
}

/* ---- the end of one, on its server -------------------------------------------------------------- */

/* The agent's watchdog waits for it; it is asked for once a second. */
#define END_NS ((FL_STRAY_END_MS - 1000) * 1000000ull)

static bool is_late(void *until)
{
    return ft_now() > *(const uint64_t *)until;
}

static int delete_decision(const char *server, const char *pair, struct ft_fault *fault)
{
    static const struct nd_etcd_limits limits = {.reply = ND_STORE_REPLY, .request_ms = 1000};
    struct nd_arena *arena = nd_arena_new();
    const struct nd_yaml *root = NULL, *at;
    struct nd_arbiter_config arbiter;
    uint64_t until = ft_now() + END_NS;
    struct nd_etcd *etcd = NULL;
    struct nf_file text;
    bool done;
    int error =
        arena ? nd_yaml_read(&root, &text, arena, pair, &nd_trust_pair, NULL, fault) : nd_no_memory(fault);

    at = error ? NULL : nd_yaml_get(root, "arbiter");
    if (at)
        error = nd_config_read_arbiter(&arbiter, arena, at, "arbiter", fault);
    if (at && !error) {
        const struct nd_change gone = {.key = arbiter.key};

        error = nd_etcd_open(&etcd, &arbiter.etcd, &limits, is_late, &until, fault);
        if (!error) {
            nd_etcd_begin_at(etcd, server);
            error = nd_store_txn(etcd, NULL, 0, &gone, 1, &done, NULL, fault);
        }
        nd_etcd_close(etcd);
    }
    nd_arena_free(arena);
    return error == FT_ENOENT ? 0 : error; /* without its pair file there is nothing to go by */
}

/* All that is in it, `depth` directories deep. Nothing there is followed. What stays keeps the directory. */
static bool empty_directory(int at, const char *path, int depth)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return errno == ENOENT;
    }
    while ((e = readdir(dir)))
        if (unlinkat(fd, e->d_name, 0) != 0 && errno == EISDIR && depth > 0 && strcmp(e->d_name, ".") != 0 &&
            strcmp(e->d_name, "..") != 0 && empty_directory(fd, e->d_name, depth - 1))
            (void)unlinkat(fd, e->d_name, AT_REMOVEDIR);
    closedir(dir);
    return true;
}

int fl_stray_end(const char *state, const char *node, const char *server, struct ft_fault *fault)
{
    char path[FL_PATH_MAX];
    int error;

    snprintf(path, sizeof(path), "%s/%s.yaml", state, node);
    error = delete_decision(server, path, fault);
    if (error)
        return error;
    snprintf(path, sizeof(path), "%s/%s", state, node);
    return empty_directory(AT_FDCWD, path, 3) ? 0 : ft_fail(fault, FT_EIO, "%s: %s", path, strerror(errno));
}

/* ---- the end of one, by the leader -------------------------------------------------------------- */

static const struct nd_entry *copy_of(const struct fl_picture *p, const struct nd_keys *keys, uint32_t server,
                                      uint32_t shard)
{
    char key[FL_KEY_MAX];

    return nd_keys_find(keys, fl_copy_key(key, p->file, server, shard));
}

/* Is the agent of that server to get the order to remove the shard? *key: the contents of the shard's key, if
 * it can be read. */
static bool concerns(const struct fl_picture *p, const struct nd_keys *keys, const struct fl_placement *key,
                     uint32_t shard, uint32_t server)
{
    return fl_stray_on(p, shard, server) || (key && fl_placement_has(key, server)) ||
           copy_of(p, keys, server, shard);
}

static bool is_ordered_to_end(const struct fl_picture *p, const struct nd_keys *keys, uint32_t shard,
                              uint32_t server)
{
    const struct nd_entry *copy = copy_of(p, keys, server, shard);

    return copy && strcmp(copy->value, FL_STRAY_ENDS) == 0;
}

/* No server reports the shard, and each that might have it has the order to remove it and would report it. */
static bool is_over(const struct fl_picture *p, const struct nd_keys *keys, const struct fl_placement *key,
                    uint32_t shard)
{
    bool over = true;

    for (uint32_t i = 0; i < p->fleet.servers && over; i++)
        over = !fl_stray_on(p, shard, i) && (p->server[i].unlisted || !concerns(p, keys, key, shard, i) ||
                                             (p->server[i].lease && !p->said[i].unreadable &&
                                              p->said[i].tells && is_ordered_to_end(p, keys, shard, i)));
    return over;
}

/* Its keys go, the wish behind all others: what is not done by then is done anew. */
static int end_keys(struct fl_copies *out, const struct fl_picture *p, const struct nd_keys *keys,
                    uint32_t shard, struct ft_fault *fault)
{
    static const char *const kinds[] = {"shards/", "wishes/pin/", "wishes/move/", "wishes/remove/"};
    const char *name = p->file->shard[shard].name;
    int error = 0;

    for (uint32_t i = 0; i < p->fleet.servers && !error; i++) {
        const struct nd_entry *copy = copy_of(p, keys, i, shard);

        if (copy)
            error = fl_copies_add(out, copy->key, copy, NULL, fault);
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !error; i++) {
        const struct nd_entry *e = fl_key_find(keys, p->file, kinds[i], name);

        if (e)
            error = fl_copies_add(out, e->key, e, NULL, fault);
    }
    ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_FLEET, "shard %s: no server has anything of it, its keys go", name);
    return error;
}

static int follow_wish(struct fl_copies *out, const struct fl_picture *p, const struct nd_keys *keys,
                       uint32_t shard, struct ft_fault *fault)
{
    const struct nd_entry *e = fl_key_find(keys, p->file, "shards/", p->file->shard[shard].name);
    struct fl_placement placement;
    struct ft_fault why = {""};
    const struct fl_placement *key =
        e && fl_placement_read(&placement, p->file, e->value, e->len, &why) == 0 ? &placement : NULL;
    int error = 0;

    if (is_over(p, keys, key, shard))
        return end_keys(out, p, keys, shard, fault);
    for (uint32_t i = 0; i < p->fleet.servers && !error; i++) {
        const struct nd_entry *copy = copy_of(p, keys, i, shard);
        char at[FL_KEY_MAX];

        if (concerns(p, keys, key, shard, i) && !is_ordered_to_end(p, keys, shard, i))
            error = fl_copies_add(out, fl_copy_key(at, p->file, i, shard), copy, FL_STRAY_ENDS, fault);
    }
    return error;
}

int fl_stray_follow(struct fl_copies *out, const struct fl_picture *p, const struct nd_keys *keys, bool all,
                    struct ft_fault *fault)
{
    const char *name;
    int error = 0;

    for (size_t at = 0; !error && (name = fl_key_next(p->file, keys, "wishes/remove/", &at));) {
        const struct nd_entry *wish = keys->at[at - 1];
        uint32_t shard = fl_file_stray(p->file, name);

        if (shard != FL_NONE && shard >= p->file->shards) {
            error = follow_wish(out, p, keys, shard, fault);
            continue;
        }
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_FLEET, "shard %.31s: its removal is taken away: %s", name,
                     shard == FL_NONE ? "it is no shard's name" : "it is in this file");
        error = fl_copies_add(out, wish->key, wish, NULL, fault);
    }
    for (size_t at = 0; all && !error && (name = fl_key_next(p->file, keys, "agents/", &at));) {
        const struct nd_entry *copy = keys->at[at - 1];
        const char *shard = strchr(name, '/');

        if (shard && fl_file_shard(p->file, shard + 1) == FL_NONE &&
            strcmp(copy->value, FL_STRAY_ENDS) == 0 &&
            !fl_key_find(keys, p->file, "wishes/remove/", shard + 1))
            error = fl_copies_add(out, copy->key, copy, NULL, fault);
    }
    return error;
}
