/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firewall: stateful packet filter. What begins a connection is judged by the rules; what belongs to one that
 * was allowed passes without them, both ways, and so do ICMP errors about it. A connection is its 5-tuple,
 * the same for both directions.
 *
 * State, written by this instance alone: the connections, the rules with their hits.
 */
#include "nflib/nf.h"
#include "nfs/firewall_rules.h"

#include <string.h>

struct fw_config {
    const char *rules; /* path of the file */
    struct nf_flows_config flows;
    bool loose;
    uint32_t unsupported; /* enum nf_policy */
    struct fw_rules read; /* made by check from the file */
};

struct fw_conn {
    struct nf_flow flow; /* swapped: the originator is end 1 of the key */
    uint64_t packets[2]; /* from the originator, to it */
};

struct fw {
    struct nf_flows conns;
    struct fw_rule *rules; /* [count + 2] */
    uint32_t count;
};

/* The counters, with their names. */
#define FW_COUNTERS(X)                                                                                       \
    X(FW_CREATED, "connections_created")                                                                     \
    X(FW_EXPIRED, "connections_expired")                                                                     \
    X(FW_KNOWN, "known")     /* packets of connections that were there */                                    \
    X(FW_ALLOWED, "allowed") /* packets allowed by a rule, first ones of connections among them */           \
    X(FW_RELATED, "related") /* ICMP errors about a connection */                                            \
    X(FW_ARP, "arp")                                                                                         \
    X(FW_UNSUPPORTED, "unsupported") /* neither IPv4 nor ARP: as `unsupported` says */                       \
    X(FW_DENIED, "denied")           /* dropped, as all that follow */                                       \
    X(FW_INVALID,                                                                                            \
      "invalid") /* TCP flags that cannot be, or no connection it could belong to (loose: false) */          \
    X(FW_MALFORMED, "malformed")               /* breaks its format */                                       \
    X(FW_FRAGMENT_UNKNOWN, "fragment_unknown") /* later fragment, first one not allowed or not seen */       \
    X(FW_FRAGMENTS_FULL, "fragments_full")     /* not dropped: its later fragments will be unknown */        \
    X(FW_TABLE_FULL, "table_full")
enum fw_counter { FW_COUNTERS(NF_COUNTER) };
static const char *const fw_counters[] = {FW_COUNTERS(NF_COUNTER_NAME) NULL};

static const struct nf_flow_key *fw_key_of(const struct fw *fw, uint32_t slot)
{
    return nf_map_key(fw->conns.map, slot);
}
static const struct fw_conn *fw_conn_of(const struct fw *fw, uint32_t slot)
{
    return nf_map_value(fw->conns.map, slot);
}

/* ---- connections ----------------------------------------------------------------------------------- */

static void fw_remove(const struct nf *nf, uint32_t slot)
{
    struct fw *fw = nf->state;
    nf_flow_remove(nf, &fw->conns, slot);
}

/* False: the table is full. */
static bool fw_create(const struct nf *nf, const struct nf_packet *p, const struct nf_look *look,
                      uint64_t now)
{
    struct fw *fw = nf->state;
    uint32_t slot = nf_map_add(nf, fw->conns.map, &look->key);
    if (slot == NF_NONE)
        return false;
    struct fw_conn *conn = NF_EDIT_VALUE(nf, struct nf_flow_key, fw_conn_of(fw, slot));
    conn->packets[0] = 1;
    conn->flow.swapped = look->swapped;
    nf_flow_begin(nf, &fw->conns, slot, &conn->flow, p, now);
    nf_count(nf, FW_CREATED, 1);
    return true;
}

static void fw_touch(const struct nf *nf, const struct nf_packet *p, bool swapped, uint32_t slot,
                     uint64_t now)
{
    struct fw *fw = nf->state;
    struct fw_conn *conn = NF_EDIT_VALUE(nf, struct nf_flow_key, fw_conn_of(fw, slot));
    bool reply = swapped != conn->flow.swapped;
    conn->packets[reply]++;
    nf_flow_touch(nf, &fw->conns, slot, &conn->flow, p, reply, now);
}

/* ---- packets --------------------------------------------------------------------------------------- */

/* Decides by the rules alone, and counts the rule's hit. False: denied and dropped. */
static bool fw_judge(const struct nf *nf, struct nf_packet *p)
{
    struct fw *fw = nf->state;
    uint32_t rule = fw_rules_match(fw->rules, fw->count, p);
    *NF_EDIT(nf, &fw->rules[rule].hits) += 1;
    if (fw->rules[rule].action == FW_ALLOW)
        return true;
    nf_drop(nf, p, FW_DENIED);
    return false;
}

/* No connection knows it. */
static void fw_new(const struct nf *nf, struct nf_packet *p, const struct nf_look *look, uint64_t now)
{
    const struct fw_config *config = nf->config;
    bool begins = p->proto == NF_PROTO_TCP    ? nf_tcp_is_request(p->tcp_flags)
                  : p->proto == NF_PROTO_ICMP ? p->icmp_type == NF_ICMP_ECHO_REQUEST
                                              : true;
    if (!begins && !config->loose) {
        nf_drop(nf, p, FW_INVALID);
        return;
    }
    if (!fw_judge(nf, p))
        return;
    /* A reset ends what we do not know; there is nothing to keep. */
    bool keep = p->proto != NF_PROTO_TCP || !(p->tcp_flags & NF_TCP_RST);
    if (keep && !fw_create(nf, p, look, now))
        nf_drop(nf, p, FW_TABLE_FULL);
    else
        nf_count(nf, FW_ALLOWED, 1);
}

/* True: of a connection that was there, to be counted by the caller, once a burst. So fw_one. */
static bool fw_keyed(const struct nf *nf, struct nf_packet *p, const struct nf_look *look, uint64_t now)
{
    struct fw *fw = nf->state;
    if (p->proto == NF_PROTO_TCP && nf_tcp_is_impossible(p->tcp_flags)) {
        nf_drop(nf, p, FW_INVALID);
        return false;
    }
    uint32_t slot = nf_map_find_hashed(fw->conns.map, &look->key, look->hash);
    if (slot != NF_NONE && p->proto == NF_PROTO_TCP && nf_tcp_is_request(p->tcp_flags) &&
        nf_tcp_is_over(fw_conn_of(fw, slot)->flow.tcp)) {
        /* The ports are used again, perhaps from the other side: judged anew, like any first packet. */
        fw_remove(nf, slot);
        slot = NF_NONE;
    }
    if (slot == NF_NONE) {
        fw_new(nf, p, look, now);
        return false;
    }
    fw_touch(nf, p, look->swapped, slot, now);
    return true;
}

/* What keeps no connection: errors about one pass, the rest is up to the rules. */
static void fw_unkeyed(const struct nf *nf, struct nf_packet *p)
{
    struct fw *fw = nf->state;
    if (p->flags & NF_P_ICMP_ERROR) {
        struct nf_inner in;
        struct nf_flow_key key;
        nf_packet_inner(p, &in);
        nf_flow_key_make(&key, in.proto, in.saddr, in.sport, in.daddr, in.dport);
        if (nf_map_find(fw->conns.map, &key) != NF_NONE) {
            nf_count(nf, FW_RELATED, 1);
            return;
        }
    }
    if (fw_judge(nf, p))
        nf_count(nf, FW_ALLOWED, 1);
}

static bool fw_one(const struct nf *nf, struct nf_packet *p, const struct nf_look *look, uint64_t now)
{
    const struct fw_config *config = nf->config;
    struct fw *fw = nf->state;
    uint32_t word;
    bool known = false;
    if (p->flags & NF_P_BAD) {
        nf_drop(nf, p, FW_MALFORMED);
    } else if (!(p->flags & NF_P_IPV4)) {
        if (p->flags & NF_P_ARP)
            nf_count(nf, FW_ARP, 1);
        else
            nf_drop_or_pass(nf, p, config->unsupported, FW_UNSUPPORTED);
    } else if (p->flags & NF_P_LATER) {
        if (!nf_fragments_find(&fw->conns, p, &word))
            nf_drop(nf, p, FW_FRAGMENT_UNKNOWN);
    } else if (look->keyed) {
        known = fw_keyed(nf, p, look, now);
    } else if (nf_proto_has_ports(p->proto) && !(p->flags & (NF_P_L4 | NF_P_ICMP_ERROR))) {
        nf_drop(nf, p, FW_MALFORMED);
    } else {
        fw_unkeyed(nf, p);
    }
    if (!p->drop && !(p->flags & NF_P_LATER)) /* a first fragment has passed: so will the others */
        nf_flows_note(nf, &fw->conns, p, 0, now, FW_FRAGMENTS_FULL);
    return known;
}

/* Cache misses first: the buckets of the whole burst, then its entries, are under way before the first one is
 * needed. */
static void fw_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct fw *fw = nf->state;
    struct nf_look look[NF_BURST_MAX];
    uint32_t known = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct nf_packet *p = packets[i];
        look[i].keyed = nf_packet_has_ends(p) ||
                        ((p->flags & (NF_P_IPV4 | NF_P_LATER)) == NF_P_IPV4 && !nf_proto_has_ports(p->proto));
        if (look[i].keyed)
            nf_look_up(fw->conns.map, p, &look[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        if (look[i].keyed)
            nf_map_prefetch_entry(fw->conns.map, look[i].hash);
    for (uint32_t i = 0; i < n; i++)
        known += fw_one(nf, packets[i], &look[i], now);
    if (known)
        nf_count(nf, FW_KNOWN, known);
}

static void fw_timers(struct nf *nf, uint64_t now)
{
    struct fw *fw = nf->state;
    struct nf_flows_due due = {.rounds = NF_FLOWS_ROUNDS};

    while (nf_flows_due(nf, &fw->conns, now, &due))
        for (uint32_t i = 0; i < due.count; i++) {
            fw_remove(nf, due.slots[i]);
            nf_count(nf, FW_EXPIRED, 1);
        }
}

/* ---- making ---------------------------------------------------------------------------------------- */

static int fw_check(void *c, struct ft_fault *fault)
{
    struct fw_config *config = c;
    return fw_rules_read(&config->read, config->rules, fault);
}

static uint64_t fw_arena(const void *c)
{
    const struct fw_config *config = c;
    return (config->read.count + 2) * sizeof(struct fw_rule) +
           nf_flows_bytes(&config->flows, sizeof(struct fw_conn), 0);
}

static bool fw_make(struct nf *nf)
{
    const struct fw_config *config = nf->config;
    uint64_t bytes = (config->read.count + 2) * sizeof(struct fw_rule);
    struct fw *fw = nf->state;
    bool whole = nf_flows_make(nf, &fw->conns, &config->flows, sizeof(struct fw_conn), 0);
    fw->rules = ft_arena_alloc(nf->arena, bytes);
    if (fw->rules)
        memcpy(nf_edit(nf, fw->rules, bytes), config->read.list, bytes);
    fw->count = config->read.count;
    nf_constant(nf, &fw->rules, sizeof(*fw) - offsetof(struct fw, rules));
    for (uint32_t i = 0; fw->rules && i < fw->count + 2; i++) { /* all but its hits and its action */
        nf_constant(nf, &fw->rules[i].saddr,
                    offsetof(struct fw_rule, action) - offsetof(struct fw_rule, saddr));
        nf_constant(nf, &fw->rules[i].sides, sizeof(struct fw_rule) - offsetof(struct fw_rule, sides));
    }
    return whole && fw->rules;
}

static int fw_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct fw *fw = nf->state;
    for (uint32_t i = 0; i < fw->count + 2; i++)
        if (fw->rules[i].action > FW_ALLOW)
            return nf_check_failed(c, "rule %u has action %u, expected at most %u", i + 1,
                                   fw->rules[i].action, FW_ALLOW);
    return nf_flows_check(c, &fw->conns, NULL);
}

/* ---- for operators --------------------------------------------------------------------------------- */

static void fw_show_rule(const struct fw *fw, struct nf_show *out, uint32_t i)
{
    const struct fw_rule *rule = &fw->rules[i];
    nf_row(out);
    if (i < fw->count)
        nf_row_text(out, "rule", "%u", i + 1);
    else
        nf_row_text(out, "rule", "default.%s", i == fw->count ? "in" : "out");
    nf_row_u64(out, "line", rule->line);
    nf_row_text(out, "action", "%s", rule->action == FW_ALLOW ? "allow" : "deny");
    nf_row_u64(out, "hits", rule->hits);
}

static void fw_show_conn(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    const struct fw *fw = nf->state;
    const struct nf_flow_key *key = fw_key_of(fw, slot);
    const struct fw_conn *conn = fw_conn_of(fw, slot);
    unsigned from = conn->flow.swapped;
    nf_row(out);
    nf_row_proto(out, key->proto);
    nf_row_end(out, "from", key->addr[from], key->port[from]);
    nf_row_end(out, "to", key->addr[!from], key->port[!from]);
    nf_row_text(out, "direction", "%s", conn->flow.side == NF_OUTSIDE ? "in" : "out");
    nf_row_text(out, "state", "%s",
                key->proto == NF_PROTO_TCP ? nf_tcp_state_name(conn->flow.tcp)
                : conn->packets[1]         ? "replied"
                                           : "new");
    nf_row_u64(out, "packets", conn->packets[0]);
    nf_row_u64(out, "replies", conn->packets[1]);
    nf_row_u64(out, "last_ns", conn->flow.seen);
}

/* Rules, then connections. */
static bool fw_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct fw *fw = nf->state;
    for (; *cursor < fw->count + 2; *cursor += 1) {
        if (nf_show_full(out))
            return true;
        fw_show_rule(fw, out, (uint32_t)*cursor);
    }
    return nf_show_slots(nf, fw->conns.map, fw->count + 2, out, cursor, fw_show_conn);
}

/* "rule.3", "default.in", "default.out"; NF_NONE for anything else. */
static uint32_t fw_named(const struct fw *fw, const char *key)
{
    uint32_t n;
    if (strcmp(key, "default.in") == 0)
        return fw->count;
    if (strcmp(key, "default.out") == 0)
        return fw->count + 1;
    if (strncmp(key, "rule.", 5) == 0 && nf_number_parse(key + 5, 1, fw->count, &n))
        return n - 1;
    return NF_NONE;
}

static int fw_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct fw *fw = nf->state;
    uint32_t rule = fw_named(fw, key);
    if (rule != NF_NONE) {
        bool allow = strcmp(value, "allow") == 0;
        if (!allow && strcmp(value, "deny") != 0)
            return ft_fail(fault, FT_EINVAL, "%s=%s: expected allow or deny", key, value);
        *NF_EDIT(nf, &fw->rules[rule].action) = allow ? FW_ALLOW : FW_DENY;
        return FT_OK;
    }
    return nf_flows_set(nf, &fw->conns, key, value, now, fault);
}

static int fw_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct fw *fw = nf->state;
    (void)now;
    return nf_flows_clear(nf, &fw->conns, key, fw_remove, fault);
}

/* ---- the module ------------------------------------------------------------------------------------ */

static const struct nf_param fw_params[] = {
    NF_PARAM(struct fw_config, rules, NF_FILE, NULL, "file of rules, one a line"),
    NF_MAX_FLOWS_PARAM(struct fw_config, flows, "connections at most"),
    NF_MAX_FRAGMENTS_PARAM(struct fw_config, flows),
    NF_TCP_UDP_PARAMS(struct fw_config, flows),
    NF_ICMP_PARAM(struct fw_config, flows),
    NF_TIMEOUT_PARAM(struct fw_config, flows, "other", NF_TIMEOUT_OTHER, "600"),
    NF_YES_NO(struct fw_config, loose, "true", "a connection may be picked up in the middle, by the rules"),
    NF_ONE_OF(struct fw_config, unsupported, nf_policy_names, "drop",
              "what is done with what is neither IPv4 nor ARP"),
    {0},
};

static const struct nf_module fw_module = {
    .name = "firewall",
    .summary = "stateful packet filter with rules from a file",
    .reads = NF_READS_HEADERS,
    .params = fw_params,
    .config_size = sizeof(struct fw_config),
    .state_size = sizeof(struct fw),
    .counters = fw_counters,
    .check = fw_check,
    .arena = fw_arena,
    .make = fw_make,
    .process = fw_process,
    .timers = fw_timers,
    .show = fw_show,
    .set = fw_set,
    .clear = fw_clear,
    .check_state = fw_check_state,
};
NF_MODULE(fw_module)
