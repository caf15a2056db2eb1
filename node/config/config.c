/* SPDX-License-Identifier: Apache-2.0 */
/* The file as a whole: top-level keys, protection, timing, recording, and what may not stand together. */
#include "node/config/parts.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const nd_modes[] = {"off", "log", "delta", "auto", NULL};
const char *const nd_standbys[] = {"hot", "warm", NULL};
static const char *const captures[] = {"auto", "full", NULL};
static const char *const tails[] = {"emit", "suppress", NULL};
static const char *const compressions[] = {"auto", "always", "never", NULL};
static const char *const logs[] = {"text", "json", NULL};

#define IDENTITY_SPARE 512u /* of the text, for what is not the chain: setup.c */

#define AT(member) offsetof(struct nd_sections, member)
static const struct nf_param sections[] = {
    {"chain", ND_KIND(ND_MAP), AT(chain), 0, 0, NULL, NULL, "the NFs", false},
    {"protect", ND_KIND(ND_MAP), AT(protect), 0, 0, "", NULL, "how state is protected", false},
    {"redis", ND_KIND(ND_MAP), AT(redis), 0, 0, "", NULL, "bench reads it", false},
    {"timing", ND_KIND(ND_MAP), AT(timing), 0, 0, "", NULL, "detection and takeover", false},
    {"link", ND_KIND(ND_MAP), AT(link), 0, 0, "", NULL, "what seals the link", false},
    {"arbiter", ND_KIND(ND_MAP), AT(arbiter), 0, 0, "", NULL, "who goes on alone", false},
    {"record", ND_KIND(ND_ANY), AT(record), 0, 0, "", NULL, "what is kept on disk", false},
    {"interfaces", ND_KIND(ND_LIST), AT(interfaces), 0, NF_PORTS_MAX, "", NULL, "with addresses", false},
    {"routes", ND_KIND(ND_LIST), AT(routes), 0, NF_ROUTES_MAX, "", NULL, "static routes", false},
    {"neighbours", ND_KIND(ND_LIST), AT(neighbours), 0, NF_FIXED_MAX, "", NULL, "whose MAC is fixed", false},
    {"next_hops", ND_KIND(ND_LIST), AT(next_hops), 0, NF_NEXT_HOPS_MAX, "", NULL, "kept fresh", false},
    {"nodes", ND_KIND(ND_MAP), AT(nodes), 0, 0, "", NULL, "the two nodes", false},
    {"drill", ND_KIND(ND_MAP), AT(drill), 0, 0, "", NULL, "failover drills", false},
    {"prefer", ND_KIND(ND_NAME), AT(prefer), 0, 32, "", NULL, "the node that is to be primary", false},
    {"failback", ND_KIND(ND_ANY), AT(failback), 0, 0, "", NULL, "when the role goes back to it", false},
    {"hold_down_s", NF_U32, AT(hold_down_s), 1, 3600, "10", NULL, "between changes of role", false},
    {"push", ND_KIND(ND_MAP), AT(push), 0, 0, "", NULL, "files from the peer", false},
    {"log", NF_CHOICE, AT(log), 0, 0, "text", logs, "how a running node writes its log", false},
    {0},
};
#undef AT

/* Of pending_mb. A hot standby needs room for its pauses. A warm one keeps all since a checkpoint, which is
 * due when a quarter is full: at saturation four times as many packets share one. */
#define PENDING_HOT_MB  64u
#define PENDING_WARM_MB 256u
#define HOLD_PACKETS    16384u

/* Times where the file names no detect_ms: silences are measured, and may be as short as the lease permits.
 */
#define HEARTBEAT_MS   2u
#define LEASE_MS       10u
#define DETECT_MOST_MS 50u
#define LISTEN_MS      10000u

#define AT(member) offsetof(struct nd_config, member)
static const struct nf_param protect[] = {
    {"mode", NF_CHOICE, AT(protect.asked), 0, 0, "auto", nd_modes, "how changes are recorded", false},
    {"standby", NF_CHOICE, AT(protect.standby), 0, 0, "hot", nd_standbys, "replays at once, or later", false},
    {"capture", NF_CHOICE, AT(protect.capture), 0, 0, "auto", captures, "recorded bytes of inputs", false},
    {"tail", NF_CHOICE, AT(protect.tail), 0, 0, "emit", tails, "outputs whose release is unknown", false},
    {"compress", NF_CHOICE, AT(protect.compress), 0, 0, "auto", compressions, "what the link carries", false},
    {"recovery_budget_ms", NF_U32, AT(protect.recovery_budget_ms), 1, 10000, "2", NULL, "hot: lag", false},
    {"gather_us", NF_U32, AT(protect.gather_us), 0, 1000, "10", NULL, "a burst's wait for packets", false},
    {"commit_interval_us", NF_U32, AT(protect.commit_interval_us), 10, 1000000, "1000", NULL, "delta", false},
    {"checkpoint_ms", NF_U32, AT(protect.checkpoint_ms), 1, 60000, "1000", NULL, "between warm's", false},
    {"verify_every_s", NF_U32, AT(protect.verify_every_s), 0, 86400, "60", NULL, "0: never", false},
    {"strict", NF_BOOL, AT(protect.strict), 0, 0, "false", NULL, "never release without a standby", false},
    {"audit", NF_BOOL, AT(protect.audit), 0, 0, "false", NULL, "check each edit of the region: slow", false},
    {"log_mb", NF_U32, AT(protect.log_mb), 1, 1024, "16", NULL, "ring of records, per lane", false},
    {"pending_mb", NF_U32, AT(protect.pending_asked), 1, 4096, "", NULL, "the standby's, per lane", false},
    {"quarantine_s", NF_U32, AT(protect.quarantine_s), 0, 86400, "300", NULL, "0: none", false},
    {"quarantine_max", NF_U32, AT(protect.quarantine_max), 1, 1000000, "10000", NULL, "frames", false},
    {"hold_packets", NF_U32, AT(protect.hold_asked), 128, 1048576, "", NULL, "per lane", false},
    {0},
};

/* Times whose default depends on others are 0 when absent; read_timing fills them in. */
static const struct nf_param timing[] = {
    {"heartbeat_ms", NF_U32, AT(timing.heartbeat_ms), 1, 10000, "", NULL, "between heartbeats", false},
    {"lease_ms", NF_U32, AT(timing.lease_ms), 2, 60000, "", NULL, "right to release", false},
    {"detect_ms", NF_U32, AT(timing.detect_ms), 3, 60000, "", NULL, "silence: a failure", false},
    {"promote_within_ms", NF_U32, AT(timing.promote_within_ms), 1, 600000, "", NULL, "the standby's", false},
    {"solo_after_ms", NF_U32, AT(timing.solo_after_ms), 1, 600000, "", NULL, "the primary's", false},
    {"resync_deadline_ms", NF_U32, AT(timing.resync_deadline_ms), 100, 3600000, "30000", NULL, "", false},
    {"resync_mbps", NF_U32, AT(timing.resync_mbps), 1, 100000, "400", NULL, "megabyte per second", false},
    {"start_alone_ms", NF_U32, AT(timing.start_alone_ms), 0, 3600000, "3000", NULL, "0: never", false},
    {0},
};

static const struct nf_param record[] = {
    {"dir", ND_KIND(ND_TEXT), AT(record.dir), 0, 192, NULL, NULL, "directory of recordings", false},
    {"file_mb", NF_U32, AT(record.file_mb), 1, 65536, "64", NULL, "of records per file", false},
    {"files", NF_U32, AT(record.files), 2, 100000, "8", NULL, "files kept", false},
    {0},
};
#undef AT

#define AT(member) offsetof(struct nd_config, member)
static const struct nf_param push[] = {
    {"permit", NF_BOOL, AT(push_permit), 0, 0, "false", NULL, "the peer may write the chain's files here",
     false},
    {0},
};
#undef AT

/* A section that may be absent: then all its presets. */
static int read_section(struct nd_reading *r, const struct nd_yaml *at, const char *what,
                        const struct nf_param *table, void *out)
{
    struct nd_yaml none = {.kind = ND_YAML_MAP, .line = 1, .file = r->root->file};

    return nd_schema_read(r->arena, at ? at : &none, what, table, out, r->fault);
}

static const struct nd_yaml *key_at(const struct nd_yaml *map, const char *key,
                                    const struct nd_yaml *otherwise)
{
    const struct nd_yaml *at = nd_yaml_get(map, key);

    return at ? at : map ? map : otherwise;
}

/* Each time must be above the one before it: a right ends before another's can begin. */
static int check_order(struct nd_reading *r)
{
    const struct nd_timing *t = &r->config->timing;
    const struct {
        const char *name;
        uint32_t ms;
    } order[] = {{"lease_ms", t->lease_ms},
                 {"detect_ms", t->detect_ms},
                 {"promote_within_ms", t->promote_within_ms},
                 {"solo_after_ms", t->solo_after_ms}};

    for (int i = 1; i < 4; i++) {
        const struct nd_yaml *at = nd_yaml_get(r->at.timing, order[i].name);

        if (order[i - 1].ms < order[i].ms)
            continue;
        if (!at)
            at = key_at(r->at.timing, order[i - 1].name, r->root);
        return nd_yaml_fail(r->fault, at, "timing %s is %u, expected more than %s, which is %u",
                            order[i].name, order[i].ms, order[i - 1].name, order[i - 1].ms);
    }
    /* An answer must come before the lease it renews runs out, even if one heartbeat is late. */
    if (t->heartbeat_ms > t->lease_ms / 2)
        return nd_yaml_fail(r->fault, key_at(r->at.timing, "heartbeat_ms", r->root),
                            "timing heartbeat_ms is %u, expected at most half of lease_ms, which is %u",
                            t->heartbeat_ms, t->lease_ms);
    return 0;
}

static int read_protect(struct nd_reading *r)
{
    struct nd_protect *p = &r->config->protect;
    int error = read_section(r, r->at.protect, "protect", protect, r->config);

    p->hold_packets = p->hold_asked ? p->hold_asked : HOLD_PACKETS;
    return error;
}

static int read_push(struct nd_reading *r)
{
    return read_section(r, r->at.push, "push", push, r->config);
}

/* Where silences are measured the lease is short, since they may not be shorter; but two heartbeats long. */
static uint32_t lease_of(const struct nd_timing *t, uint32_t part)
{
    uint32_t lease = 2 * t->heartbeat_ms > LEASE_MS ? 2 * t->heartbeat_ms : LEASE_MS;

    return t->listen_ms && lease < part ? lease : part;
}

/* Where silences are measured the right lasts longer: it has room for what the machine's stalls ask for, and
 * as much again as detect_ms for the standby's own. */
static void set_rights(struct nd_timing *t)
{
    bool roomy = t->listen_ms && (!t->solo_after_ms || t->solo_after_ms > 3 * t->detect_ms);

    if (!t->promote_within_ms)
        t->promote_within_ms = (roomy ? 3 : 2) * t->detect_ms;
    if (!t->solo_after_ms)
        t->solo_after_ms = (t->listen_ms ? 5 : 4) * t->detect_ms;
    t->detect_most_ms = t->detect_ms;
    if (t->listen_ms && t->promote_within_ms > 2 * t->detect_ms)
        t->detect_most_ms = t->promote_within_ms - t->detect_ms;
}

static int read_timing(struct nd_reading *r)
{
    struct nd_timing *t = &r->config->timing;
    int error = read_section(r, r->at.timing, "timing", timing, r->config);

    if (error)
        return error;
    if (!t->detect_ms) {
        t->detect_ms = DETECT_MOST_MS;
        t->listen_ms = LISTEN_MS;
    }
    uint32_t part = t->detect_ms > 3 ? t->detect_ms * 6 / 10 : 2;

    if (!t->lease_ms)
        t->lease_ms = lease_of(t, part);
    t->degrade_ms = t->listen_ms && part > t->lease_ms ? part : t->lease_ms;
    if (!t->heartbeat_ms) {
        t->heartbeat_ms = t->listen_ms         ? HEARTBEAT_MS
                          : t->detect_ms >= 40 ? 5
                          : t->detect_ms >= 8  ? t->detect_ms / 8
                                               : 1;
        if (t->heartbeat_ms > t->lease_ms / 2)
            t->heartbeat_ms = t->lease_ms / 2;
    }
    set_rights(t);
    return check_order(r);
}

/* A directory alone, or a map; relative to the file. */
static int read_record(struct nd_reading *r)
{
    const struct nd_yaml *at = r->at.record;
    struct nd_record *out = &r->config->record;
    char written[sizeof(out->dir)];
    struct nd_yaml dir, map;
    int error;

    if (!at)
        return 0;
    if (at->kind == ND_YAML_TEXT) {
        map = dir = *at;
        dir.key = "dir";
        dir.next = NULL;
        map.kind = ND_YAML_MAP;
        map.first = &dir;
        at = &map;
    }
    error = nd_schema_read(r->arena, at, "record", record, r->config, r->fault);
    if (error)
        return error;
    memcpy(written, out->dir, sizeof(written));
    return nd_read_path(r, at, "record dir", written, out->dir, sizeof(out->dir));
}

int nd_config_decide(struct nd_protect *to, const struct nf_chain_config *chain, struct ft_fault *fault)
{
    const struct nf_module *nf = NULL; /* the first of the chain that cannot be replayed */
    bool automatic = to->asked == ND_MODE_AUTO;
    enum nd_mode mode;

    for (unsigned i = chain->count; i-- > 0;)
        if (chain->nfs[i].module->unreplayable)
            nf = chain->nfs[i].module;
    mode = !automatic ? to->asked : nf ? ND_MODE_DELTA : ND_MODE_LOG;
    to->pair = mode != ND_MODE_OFF;
    to->records = mode == ND_MODE_LOG;
    to->deltas = mode == ND_MODE_DELTA;
    to->stores = to->standby == ND_STANDBY_WARM;
    to->pending_mb = to->pending_asked ? to->pending_asked : to->stores ? PENDING_WARM_MB : PENDING_HOT_MB;
    to->mode = nd_modes[mode];
    to->decided_by = automatic && nf ? nf->name : "";
    if (to->records && nf)
        return ft_fail(fault, FT_EINVAL, "NF \"%s\" cannot be replayed, expected delta or auto", nf->name);
    return 0;
}

const char *nd_mode_text(char out[ND_MODE_TEXT], const char *mode, const char *asked, const char *decided_by)
{
    if (strcmp(asked, nd_modes[ND_MODE_AUTO]) != 0)
        snprintf(out, ND_MODE_TEXT, "mode %s", mode);
    else if (*decided_by)
        snprintf(out, ND_MODE_TEXT, "mode %s (auto: NF \"%s\" cannot be replayed)", mode, decided_by);
    else
        snprintf(out, ND_MODE_TEXT, "mode %s (auto: every NF can be replayed)", mode);
    return out;
}

/* What the keys allow one by one and not together. */
static int check_modes(struct nd_reading *r)
{
    struct nd_config *c = r->config;
    struct ft_fault why;

    if (nd_config_decide(&c->protect, &c->chain, &why) == 0)
        return 0;
    return nd_yaml_fail(r->fault, key_at(r->at.protect, "mode", r->root), "protect mode is %s, %s",
                        nd_modes[c->protect.asked], why.text);
}

/* Two chains are compared by this text: what it has no room for could differ unseen. */
static int check_length(struct nd_reading *r)
{
    char text[FT_IDENTITY_MAX - IDENTITY_SPARE];

    if (nf_chain_identity(&r->config->chain, text, sizeof(text)) < sizeof(text) - 1)
        return 0;
    return nd_yaml_fail(r->fault, r->at.chain, "chain has settings of %zu bytes as text, expected fewer",
                        sizeof(text));
}

/* The chain file and those that it names may be the nodes' user's, which writes them where the pair carries
 * its files. */
static void believe_users(struct nd_reading *r)
{
    const struct nd_yaml *nodes = nd_yaml_get(r->root, "nodes");

    for (const struct nd_yaml *e = nodes ? nodes->first : NULL; e && r->trust->also_count < FT_TRUST_USERS;
         e = e->next) {
        const struct nd_yaml *name = nd_yaml_get(e, "user");
        struct passwd user, *found = NULL;
        char room[4096];

        if (name && name->kind == ND_YAML_TEXT &&
            getpwnam_r(name->text, &user, room, sizeof(room), &found) == 0 && found)
            r->trust->also[r->trust->also_count++] = found->pw_uid;
    }
}

static int read_all(struct nd_reading *r, unsigned how)
{
    static int (*const steps[])(struct nd_reading *) = {
        nd_read_chain,   read_protect,      read_push,     read_timing, nd_read_link,
        read_record,     nd_read_network,   nd_read_nodes, check_modes, nd_check_link,
        nd_read_arbiter, nd_read_authority, check_length};
    int error = nd_schema_read(r->arena, r->root, NULL, sections, &r->at, r->fault);

    r->config->log_json = r->at.log == 1;
    if (!error && how & ND_CONFIG_NODES && !r->at.nodes)
        error = nd_yaml_fail(r->fault, r->root, "no nodes in this file, expected a pair file with nodes");
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !error; i++)
        error = steps[i](r);
    r->config->redis = r->at.redis;
    if (error && error != FT_EPERM && !r->disbelieved && how & ND_CONFIG_SOCKETS) {
        struct ft_fault first = *r->fault;

        error = nd_read_sockets(r) ? error : 0;
        *r->fault = first;
    }
    return error;
}

int nd_config_read(struct nd_config **out, const char *file, unsigned how, struct ft_fault *fault)
{
    return nd_config_read_over(out, file, how, NULL, fault);
}

int nd_config_read_over(struct nd_config **out, const char *file, unsigned how, const struct nd_overlay *over,
                        struct ft_fault *fault)
{
    struct nd_reading r = {
        .config = calloc(1, sizeof(*r.config)), .quiet = how & ND_CONFIG_QUIET, .fault = fault};
    int error;

    *out = NULL;
    if (r.config && (r.config->arena = r.arena = nd_arena_new()))
        r.trust = nd_arena_alloc(r.arena, sizeof(*r.trust));
    if (!r.trust) {
        nd_config_free(r.config);
        return nd_no_memory(fault);
    }
    *r.trust = nd_trust_pair;
    snprintf(r.config->file, sizeof(r.config->file), "%s", file);
    error = strlen(file) >= sizeof(r.config->file)
                ? ft_fail(fault, FT_EINVAL, "%.60s...: path too long, expected less than 256 bytes", file)
                : nd_yaml_read(&r.root, &r.config->text, r.arena, file, r.trust, over, fault);
    if (!error)
        believe_users(&r);
    if (!error)
        error = read_all(&r, how);
    if (error)
        nd_config_free(r.config);
    else
        *out = r.config;
    return error;
}

void nd_config_free(struct nd_config *config)
{
    if (!config)
        return;
    for (unsigned i = 0; i < config->chain.count; i++)
        if (config->chain.nfs[i].module->release)
            config->chain.nfs[i].module->release(config->chain.nfs[i].config);
    nd_arena_free(config->arena);
    free(config);
}
