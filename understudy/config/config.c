/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file as a whole: top-level keys, protection, timing, recording, what seals the link between the nodes,
 * who decides which of them goes on, and what may not stand together.
 */
#include "understudy/config/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const nd_modes[] = {"off", "log", "delta", "auto", NULL};
const char *const nd_standbys[] = {"hot", "warm", NULL};
static const char *const captures[] = {"auto", "headers", "full", NULL};
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
    {"routes_file", ND_KIND(ND_ANY), AT(routes_file), 0, 0, "", NULL, "many of them, a line each", false},
    {"neighbours", ND_KIND(ND_LIST), AT(neighbours), 0, NF_FIXED_MAX, "", NULL, "whose MAC is fixed", false},
    {"next_hops", ND_KIND(ND_LIST), AT(next_hops), 0, NF_NEXT_HOPS_MAX, "", NULL, "kept fresh", false},
    {"nodes", ND_KIND(ND_MAP), AT(nodes), 0, 0, "", NULL, "the two nodes", false},
    {"keepers", ND_KIND(ND_MAP), AT(keepers), 0, 0, "", NULL, "who keeps the inputs", false},
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
    {"slow_percent", NF_U32, AT(protect.slow_percent), 0, 99, "20", NULL, "0: any", false},
    {"slow_ms", NF_U32, AT(protect.slow_ms), 1, 10000, "50", NULL, "an output's wait that counts", false},
    {"gather_us", NF_U32, AT(protect.gather_us), 0, 1000, "10", NULL, "a burst's wait for packets", false},
    {"commit_interval_us", NF_U32, AT(protect.commit_interval_us), 10, 1000000, "1000", NULL, "delta", false},
    {"checkpoint_ms", NF_U32, AT(protect.checkpoint_ms), 1, 60000, "200", NULL, "between warm's", false},
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
    {"dir", ND_KIND(ND_PLACE), AT(record.dir), 0, 192, NULL, NULL, "directory of recordings", false},
    {"file_mb", NF_U32, AT(record.file_mb), 1, 65536, "64", NULL, "of records per file", false},
    {"files", NF_U32, AT(record.files), 2, 100000, "8", NULL, "files kept", false},
    {0},
};

static const struct nf_param push[] = {
    {"permit", NF_BOOL, AT(push_permit), 0, 0, "false", NULL, "the peer may write the chain's files here",
     false},
    {0},
};

static const struct nf_param link_keys[] = {
    {"key", ND_KIND(ND_PLACE), AT(link.key), 0, 192, "", NULL, "file of the pair's key", false},
    {"tls", ND_KIND(ND_MAP), AT(link.tls), 0, 0, "", NULL, "certificates in place of a key", false},
    {"insecure", NF_BOOL, AT(link.insecure), 0, 0, "false", NULL, "no key: anybody may be the peer", false},
    {0},
};

static const struct nf_param tls_keys[] = {
    {"cert", ND_KIND(ND_PLACE), AT(link.certificate), 0, 192, NULL, NULL, "of this node, which it names",
     false},
    {"key", ND_KIND(ND_PLACE), AT(link.private_key), 0, 192, NULL, NULL, "of the certificate", false},
    {"ca", ND_KIND(ND_PLACE), AT(link.authority), 0, 192, NULL, NULL, "that signed both nodes' certificates",
     false},
    {0},
};
#undef AT

int nd_config_node(const struct nd_config *config, const char *name)
{
    for (unsigned i = 0; i < config->nodes; i++)
        if (strcmp(config->node[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* ---- protection, timing, recording ---------------------------------------------------------------- */

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

/* With what the peer may write here. */
static int read_protect(struct nd_reading *r)
{
    struct nd_protect *p = &r->config->protect;
    int error = read_section(r, r->at.protect, "protect", protect, r->config);

    p->hold_packets = p->hold_asked ? p->hold_asked : HOLD_PACKETS;
    return error ? error : read_section(r, r->at.push, "push", push, r->config);
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

    /* Where silences are measured they may not be shorter, so the lease is; but it has two heartbeats. */
    uint32_t least = 2 * t->heartbeat_ms > LEASE_MS ? 2 * t->heartbeat_ms : LEASE_MS;

    if (!t->lease_ms)
        t->lease_ms = t->listen_ms && least < part ? least : part;
    t->degrade_ms = t->listen_ms && part > t->lease_ms ? part : t->lease_ms;
    if (!t->heartbeat_ms) {
        t->heartbeat_ms = t->detect_ms >= 40 ? 5 : t->detect_ms >= 8 ? t->detect_ms / 8 : 1;
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
    struct nd_yaml dir, map;

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
    return nd_schema_read(r->arena, at, "record", record, r->config, r->fault);
}

/* ---- modes --------------------------------------------------------------------------------------- */

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

/* ---- link ------------------------------------------------------------------------------------ */

static int read_link(struct nd_reading *r)
{
    struct nd_link *link = &r->config->link;
    int error;
    unsigned ways;

    if (!r->at.link)
        return 0;
    error = nd_schema_read(r->arena, r->at.link, "link", link_keys, r->config, r->fault);
    if (error)
        return error;
    link->at = r->at.link;
    ways = (link->key[0] != '\0') + (link->tls != NULL) + link->insecure;
    if (ways != 1)
        return nd_yaml_fail(r->fault, link->at, "link has %u of key, tls and insecure: true, expected one",
                            ways);
    return link->tls ? nd_schema_read(r->arena, link->tls, "link tls", tls_keys, r->config, r->fault) : 0;
}

/* A pair's file names what seals its link. */
static int check_link(struct nd_reading *r)
{
    if (!r->at.nodes || r->at.link || !r->config->protect.pair)
        return 0;
    return nd_yaml_fail(r->fault, r->root,
                        "no link, expected link: { key: FILE } (understudy key FILE makes one) or link: { "
                        "insecure: true }");
}

int nd_config_find_link_files(const struct nd_config *config, struct ft_fault *fault)
{
    const struct nd_link *link = &config->link;
    const struct {
        const char *path, *what, *expected;
        const struct nd_yaml *at;
        int flags; /* of open: who reads the pair's key follows no link */
    } files[] = {
        {link->key, "key", "the pair's key (understudy key FILE makes one)", nd_yaml_get(link->at, "key"),
         O_NOFOLLOW},
        {link->certificate, "tls cert", "the node's certificate", nd_yaml_get(link->tls, "cert"), 0},
        {link->private_key, "tls key", "the certificate's key", nd_yaml_get(link->tls, "key"), 0},
        {link->authority, "tls ca", "the authority's certificate", nd_yaml_get(link->tls, "ca"), 0},
    };

    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int fd;

        if (!files[i].path[0])
            continue;
        fd = open(files[i].path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | files[i].flags);
        if (fd < 0)
            return ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EINVAL,
                           "%s:%u: link %s: %s: %s, expected %s", config->file, files[i].at->key_line,
                           files[i].what, files[i].path,
                           errno == ELOOP && files[i].flags ? "is a link" : strerror(errno),
                           files[i].expected);
        close(fd);
    }
    return 0;
}

/* ---- arbiter --------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct nd_arbiter_config, member)
static const struct nf_param arbiter_keys[] = {
    {"etcd", ND_KIND(ND_LIST), ND_UNKEPT, 0, ND_ETCD_URLS, NULL, NULL, "URLs of its servers", false},
    {"key", ND_KIND(ND_TEXT), AT(key), 0, ND_ARBITER_KEY_MAX, "", NULL, "the pair's own, in etcd", false},
    {"ca", ND_KIND(ND_PLACE), AT(etcd.ca), 0, 192, "", NULL, "that signed the servers' certificates", false},
    {"cert", ND_KIND(ND_PLACE), AT(etcd.cert), 0, 192, "", NULL, "of this node, to show them", false},
    {"cert_key", ND_KIND(ND_PLACE), AT(etcd.cert_key), 0, 192, "", NULL, "of the certificate", false},
    {"user", ND_KIND(ND_TEXT), AT(etcd.user), 0, ND_ETCD_NAME_MAX, "", NULL, "of etcd", false},
    {"password_file", ND_KIND(ND_PLACE), AT(etcd.password_file), 0, 192, "", NULL, "has the user's password",
     false},
    {0},
};
#undef AT

static int read_url(struct nd_arena *arena, const struct nd_yaml *at, const char *what,
                    struct nd_etcd_config *out, struct ft_fault *fault)
{
    static const struct nf_param text = {.kind = ND_KIND(ND_TEXT), .max = ND_ETCD_URL_MAX};
    char *url = out->url[out->urls], entry[64];

    snprintf(entry, sizeof(entry), "%s etcd entry", what);
    int error = nd_schema_value(arena, at, entry, &text, url, fault);
    const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                       : strncmp(url, "https://", 8) == 0 ? url + 8
                                                          : NULL;
    size_t len = strlen(url);

    if (error)
        return error;
    if (len && url[len - 1] == '/')
        url[--len] = '\0';
    if (strchr(url, '@')) /* with a password, perhaps: not repeated */
        return nd_yaml_fail(fault, at,
                            "%s etcd has a user, expected https://HOST:PORT: names go into user, passwords "
                            "into a file (password_file)",
                            what);
    if (!host || !*host || strpbrk(host, "/ ?#@"))
        return nd_yaml_fail(fault, at, "%s etcd \"%.60s\", expected http://HOST:PORT or https://HOST:PORT",
                            what, url);
    if (out->user[0] && strncmp(url, "https://", 8) != 0)
        return nd_yaml_fail(fault, at,
                            "%s etcd \"%.60s\" with a user, expected https://HOST:PORT: else whoever is "
                            "on the way reads the password",
                            what, url);
    out->urls++;
    return 0;
}

int nd_config_read_arbiter(struct nd_arbiter_config *out, struct nd_arena *arena, const struct nd_yaml *at,
                           const char *what, struct ft_fault *fault)
{
    const struct nd_yaml *etcd = nd_yaml_get(at, "etcd");
    int error;

    memset(out, 0, sizeof(*out));
    error = nd_schema_read(arena, at, what, arbiter_keys, out, fault);
    if (error)
        return error;
    if (!etcd->count)
        return nd_yaml_fail(fault, etcd, "%s etcd is empty, expected 1 to %u URLs", what, ND_ETCD_URLS);
    for (const struct nd_yaml *e = etcd->first; e && !error; e = e->next)
        error = read_url(arena, e, what, &out->etcd, fault);
    if (!error && !out->etcd.cert[0] != !out->etcd.cert_key[0])
        error = nd_yaml_fail(fault, at, "%s has one of cert and cert_key, expected both or none", what);
    if (!error && !out->etcd.user[0] != !out->etcd.password_file[0])
        error = nd_yaml_fail(fault, at, "%s has one of user and password_file, expected both or none", what);
    return error;
}

static int read_arbiter(struct nd_reading *r)
{
    struct nd_arbiter_config *out = &r->config->arbiter;
    int error;

    if (!r->at.arbiter)
        return 0;
    if (!r->at.nodes)
        return nd_yaml_fail(r->fault, r->at.arbiter, "arbiter in a file without nodes, expected a pair file");
    if (r->config->protect.strict)
        return nd_yaml_fail(
            r->fault, r->at.arbiter,
            "arbiter beside strict: true, expected one of them: a strict pair never releases alone, "
            "so there is nothing to decide");
    error = nd_config_read_arbiter(out, r->arena, r->at.arbiter, "arbiter", r->fault);
    /* The same on both nodes, whatever the order in the file: it is the pair's. */
    const char *a = r->config->node[0].name, *b = r->config->node[1].name;
    bool turned = strcmp(a, b) > 0;

    if (!out->key[0])
        snprintf(out->key, sizeof(out->key), "understudy/%s/%s-%s", r->config->chain.name, turned ? b : a,
                 turned ? a : b);
    return error;
}

/* ---- which node is to be primary ---------------------------------------------------------------- */

const char *const nd_failbacks[] = {"never", "manual", "after", NULL};

static const struct nf_param failback_keys[] = {
    {"after", NF_SECONDS, 0, 1, 604800, NULL, NULL, "PROTECTED with equal counters", false},
    {0},
};

static int read_failback(struct nd_reading *r, const struct nd_yaml *at, struct nd_authority_settings *out)
{
    if (at->kind == ND_YAML_MAP) {
        out->failback = ND_FAILBACK_AFTER;
        return nd_schema_read(r->arena, at, "failback", failback_keys, &out->after_s, r->fault);
    }
    for (out->failback = 0; at->kind == ND_YAML_TEXT && out->failback < ND_FAILBACK_AFTER; out->failback++)
        if (strcmp(at->text, nd_failbacks[out->failback]) == 0)
            return 0;
    return nd_yaml_fail(r->fault, at, "failback is %.40s, expected never, manual or { after: SECONDS }",
                        at->kind == ND_YAML_TEXT ? at->text : "a list");
}

static int read_authority(struct nd_reading *r)
{
    struct nd_authority_settings *out = &r->config->authority;
    const struct nd_yaml *prefer = nd_yaml_get(r->root, "prefer");

    out->hold_down_s = r->at.hold_down_s;
    out->prefer = prefer ? nd_config_node(r->config, r->at.prefer) : -1;
    if (prefer && out->prefer < 0)
        return nd_yaml_fail(r->fault, prefer, "prefer is %s, expected the name of a node of this file",
                            r->at.prefer);
    if (!r->at.failback)
        return 0;
    if (!prefer)
        return nd_yaml_fail(r->fault, r->at.failback, "failback without prefer, expected prefer: NAME");
    return read_failback(r, r->at.failback, out);
}

/* ---- the whole ------------------------------------------------------------------------------------ */

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

    for (const struct nd_yaml *e = nodes ? nodes->first : NULL; e; e = e->next) {
        const struct nd_yaml *name = nd_yaml_get(e, "user");

        if (name && name->kind == ND_YAML_TEXT)
            ft_trust_user(r->trust, name->text);
    }
}

static int read_all(struct nd_reading *r, unsigned how)
{
    static int (*const steps[])(struct nd_reading *) = {
        nd_read_chain,   read_protect,        read_timing,    read_link,   read_record,
        nd_read_network, nd_read_routes_file, nd_read_nodes,  check_modes, check_link,
        nd_read_keeper,  read_arbiter,        read_authority, check_length};
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

/* `text`: the content of the file; NULL: it is read, from the disk or from `over`. */
static int read_config(struct nd_config **out, const char *file, const char *text, unsigned how,
                       const struct nd_files *over, struct ft_fault *fault)
{
    struct nd_reading r = {
        .config = calloc(1, sizeof(*r.config)), .quiet = how & ND_CONFIG_QUIET, .fault = fault};
    int error = 0;

    *out = NULL;
    if (r.config && (r.config->arena = r.arena = nd_arena_new()))
        r.trust = nd_arena_alloc(r.arena, sizeof(*r.trust));
    if (r.trust && text)
        r.config->text = (struct nf_file){nd_arena_text(r.arena, file, strlen(file)),
                                          nd_arena_text(r.arena, text, strlen(text)), (uint32_t)strlen(text)};
    if (!r.trust || (text && (!r.config->text.path || !r.config->text.bytes))) {
        nd_config_free(r.config);
        return nd_no_memory(fault);
    }
    *r.trust = nd_trust_pair;
    snprintf(r.config->file, sizeof(r.config->file), "%s", file);
    if (strlen(file) >= sizeof(r.config->file))
        error = ft_fail(fault, FT_EINVAL, "%.60s...: path too long, expected less than 256 bytes", file);
    else if (text)
        error = nd_yaml_read_text(&r.root, &r.config->text, r.arena, file, r.trust, fault);
    else
        error = nd_yaml_read(&r.root, &r.config->text, r.arena, file, r.trust, over, fault);
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

int nd_config_read_over(struct nd_config **out, const char *file, unsigned how, const struct nd_files *over,
                        struct ft_fault *fault)
{
    return read_config(out, file, NULL, how, over, fault);
}

int nd_config_read_text(struct nd_config **out, const char *file, const char *text, unsigned how,
                        struct ft_fault *fault)
{
    return read_config(out, file, text, how, NULL, fault);
}

void nd_config_free(struct nd_config *config)
{
    if (!config)
        return;
    for (unsigned i = 0; i < config->chain.count; i++)
        if (config->chain.nfs[i].module->release)
            config->chain.nfs[i].module->release(config->chain.nfs[i].config);
    if (config->chain.l3)
        nd_routed_free(config->chain.l3->routed);
    nd_arena_free(config->arena);
    free(config);
}
