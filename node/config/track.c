/* SPDX-License-Identifier: Apache-2.0 */
/* What a node tracks, whom it tells its events, and which node of the pair is to be primary. */
#include "ftcore/base/event_log.h"
#include "node/config/parts.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

const char *const nd_track_kinds[] = {"interface", "gateway", "route", "script", NULL};
const char *const nd_hook_kinds[] = {"command", "fifo", "socket", NULL};
const char *const nd_failbacks[] = {"never", "manual", "after", NULL};

_Static_assert(FT_EVENT_NAMES_END < 64, "an event is a bit");

struct raw_track {
    struct nd_track track;
    char interface[IFNAMSIZ], script[ND_PATH_MAX];
};

#define AT(member) offsetof(struct raw_track, member)
static const struct nf_param track_keys[] = {
    {"interface", ND_KIND(ND_TEXT), AT(interface), 0, IFNAMSIZ, "", NULL, "has carrier", false},
    {"gateway", NF_IPV4, AT(track.gateway), 0, 0, "", NULL, "answers ARP on a data port", false},
    {"route", ND_KIND(ND_NETWORK), AT(track.route), 0, 0, "", NULL, "is in the kernel's table", false},
    {"script", ND_KIND(ND_TEXT), AT(script), 0, ND_PATH_MAX, "", NULL, "ends with 0 in time", false},
    {"weight", NF_U32, AT(track.weight), 1, 100, "10", NULL, "in the demotion counter", false},
    {"rise", NF_U32, AT(track.rise), 1, 100, "3", NULL, "good results until it is well", false},
    {"fall", NF_U32, AT(track.fall), 1, 100, "3", NULL, "bad results until it fails", false},
    {"every_ms", NF_U32, AT(track.every_ms), 100, 60000, "1000", NULL, "between two looks", false},
    {0},
};
#undef AT

struct raw_hook {
    struct nd_hook hook;
    char path[3][ND_PATH_MAX]; /* by enum nd_hook_kind */
    const struct nd_yaml *events;
};

#define AT(member) offsetof(struct raw_hook, member)
static const struct nf_param hook_keys[] = {
    {"command", ND_KIND(ND_TEXT), AT(path[ND_HOOK_COMMAND]), 0, ND_PATH_MAX, "", NULL, "run", false},
    {"fifo", ND_KIND(ND_TEXT), AT(path[ND_HOOK_FIFO]), 0, ND_PATH_MAX, "", NULL, "written to", false},
    {"socket", ND_KIND(ND_TEXT), AT(path[ND_HOOK_SOCKET]), 0, ND_PATH_MAX, "", NULL, "sent to", false},
    {"events", ND_KIND(ND_LIST), AT(events), 0, FT_EVENT_NAMES_END, "", NULL, "all unless named", false},
    {0},
};
#undef AT

/* The one key of `kinds` that the entry has, which is its kind; NULL with the line: none, or two. */
static const struct nd_yaml *find_kind(struct nd_reading *r, const struct nd_yaml *at, const char *what,
                                       const char *const *kinds, const char *expected, uint32_t *kind)
{
    const struct nd_yaml *found = NULL;
    unsigned count = 0;

    for (uint32_t k = 0; kinds[k]; k++) {
        const struct nd_yaml *key = nd_yaml_get(at, kinds[k]);

        if (!key)
            continue;
        found = key;
        *kind = k;
        count++;
    }
    if (count == 1)
        return found;
    nd_yaml_fail(r->fault, at, "%s has %u of %s, expected one", what, count, expected);
    return NULL;
}

/* ---- tracked things ------------------------------------------------------------------------------ */

/* A gateway is asked from a data port. */
static int find_port(struct nd_reading *r, const struct nd_yaml *at, const char *what, struct nd_track *track)
{
    const struct nf_l3_config *l3 = r->config->chain.l3;

    for (unsigned i = 0; l3 && i < l3->ports; i++) {
        const struct nf_interface *port = &l3->port[i];

        if (port->addr && port->addr != track->gateway &&
            (port->addr & port->mask) == (track->gateway & port->mask)) {
            track->port = i;
            return 0;
        }
    }
    return nd_yaml_fail(r->fault, at,
                        "%s gateway is %s, expected an address in the network of one of the interfaces", what,
                        at->text);
}

static int read_track(struct nd_reading *r, const struct nd_yaml *at, const char *what, struct nd_track *out)
{
    struct raw_track raw = {.interface = ""};
    int error = nd_schema_read(r->arena, at, what, track_keys, &raw, r->fault);
    const struct nd_yaml *key;

    if (error)
        return error;
    key = find_kind(r, at, what, nd_track_kinds, "interface, gateway, route and script", &raw.track.kind);
    if (!key)
        return FT_EMALFORMED;
    *out = raw.track;
    if (out->kind == ND_TRACK_SCRIPT)
        return nd_read_path(r, key, what, raw.script, out->what, sizeof(out->what));
    snprintf(out->what, sizeof(out->what), "%s", key->text);
    return out->kind == ND_TRACK_GATEWAY ? find_port(r, key, what, out) : 0;
}

int nd_read_tracks(struct nd_reading *r, struct nd_node *node, const struct nd_yaml *tracks)
{
    char what[64];
    int error = 0;

    snprintf(what, sizeof(what), "node %s track", node->name);
    for (const struct nd_yaml *e = tracks->first; e && !error; e = e->next)
        error = read_track(r, e, what, &node->track[node->tracks++]);
    return error;
}

/* ---- hooks --------------------------------------------------------------------------------------- */

static int read_event(struct nd_reading *r, const struct nd_yaml *at, const char *what, uint64_t *events)
{
    const char *names[FT_EVENT_NAMES_END + 1] = {NULL}, *near;

    for (unsigned i = 0; i < FT_EVENT_NAMES_END; i++) {
        names[i] = ft_event_name((enum ft_event_name)i);
        if (at->kind == ND_YAML_TEXT && strcmp(at->text, names[i]) == 0) {
            *events |= 1ull << i;
            return 0;
        }
    }
    near = at->kind == ND_YAML_TEXT ? nd_schema_nearest(at->text, names) : NULL;
    return nd_yaml_fail(r->fault, at, "%s events has \"%.40s\", expected %s%s", what,
                        at->kind == ND_YAML_TEXT ? at->text : "", near ? near : "names of events of the log",
                        near ? "?" : "");
}

static int read_hook(struct nd_reading *r, const struct nd_yaml *at, const char *what, struct nd_hook *out)
{
    struct raw_hook raw = {.events = NULL};
    int error = nd_schema_read(r->arena, at, what, hook_keys, &raw, r->fault);
    const struct nd_yaml *key;

    if (error)
        return error;
    key = find_kind(r, at, what, nd_hook_kinds, "command, fifo and socket", &raw.hook.kind);
    if (!key)
        return FT_EMALFORMED;
    *out = raw.hook;
    error = nd_read_path(r, key, what, raw.path[out->kind], out->path,
                         out->kind == ND_HOOK_SOCKET ? sizeof(((struct sockaddr_un *)NULL)->sun_path)
                                                     : sizeof(out->path));
    out->events = raw.events ? 0 : UINT64_MAX;
    for (const struct nd_yaml *e = raw.events ? raw.events->first : NULL; e && !error; e = e->next)
        error = read_event(r, e, what, &out->events);
    return error;
}

int nd_read_hooks(struct nd_reading *r, struct nd_node *node, const struct nd_yaml *hooks)
{
    char what[64];
    int error = 0;

    snprintf(what, sizeof(what), "node %s hooks", node->name);
    for (const struct nd_yaml *e = hooks->first; e && !error; e = e->next)
        error = read_hook(r, e, what, &node->hook[node->hooks++]);
    return error;
}

/* ---- which node is to be primary ---------------------------------------------------------------- */

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

int nd_read_authority(struct nd_reading *r)
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
