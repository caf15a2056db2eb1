/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firewall: stateful packet filter. What begins a connection is judged by the rules; what belongs to one that
 * was allowed passes without them, both ways, and so do ICMP errors about it.
 * State, written by this instance alone: the connections, which are its slots in the chain's sessions, and
 * the rules with their hits.
 */
#include "nflib/net/icmpv6.h"
#include "nfs/firewall_rules.h"

#include <string.h>

struct fw_config {
    struct nf_file rules;
    struct nf_flows_config flows;
    bool loose;
    bool ipv6;
    uint32_t unsupported; /* enum nf_policy */
    struct fw_rules read; /* made by check from the file */
};

/* In a session. */
struct fw_conn {
    uint64_t packets;       /* from the originator */
    uint64_t replies : 63;  /* to it */
    uint64_t by_answer : 1; /* the originator is the end that answers in the session */
};

struct fw {
    struct fw_rule *rules; /* [count + 2] */
    uint32_t count;
};

/* The counters, with their names. */
#define FW_COUNTERS(X)                                                                                       \
    X(FW_CREATED, "connections_created")                                                                     \
    X(FW_EXPIRED, "connections_expired")                                                                     \
    X(FW_DISPLACED, "connections_displaced") /* a new one has its place in a full table */                   \
    X(FW_KNOWN, "known")                     /* packets of connections that were there */                    \
    X(FW_ALLOWED, "allowed")         /* packets allowed by a rule, first ones of connections among them */   \
    X(FW_RELATED, "related")         /* ICMP errors about a connection */                                    \
    X(FW_ARP, "arp")                 /* and neighbour discovery of IPv6 */                                   \
    X(FW_UNSUPPORTED, "unsupported") /* what it does not judge: as `unsupported` says */                     \
    X(FW_DENIED, "denied")           /* dropped, as all that follow */                                       \
    X(FW_INVALID,                                                                                            \
      "invalid") /* TCP flags that cannot be, or no connection it could belong to (loose: false) */          \
    X(FW_MALFORMED, "malformed")               /* breaks its format */                                       \
    X(FW_FRAGMENT_UNKNOWN, "fragment_unknown") /* later fragment, first one not allowed or not seen */       \
    X(FW_FRAGMENTS_FULL, "fragments_full")     /* not dropped: the oldest datagram gave way */               \
    X(FW_TABLE_FULL, "table_full")                                                                           \
    X(FW_HOST_FULL, "host_full") /* its host has max_flows_per_host, open connections of TCP alone */
enum fw_counter { FW_COUNTERS(NF_COUNTER) };
static const char *const fw_counters[] = {FW_COUNTERS(NF_COUNTER_NAME) NULL};

static bool fw_is_answer(const struct nf_packet *p)
{
    return p->flow & NF_FLOW_REPLY;
}

/* ---- connections ----------------------------------------------------------------------------------- */

/* False: the table is full. */
static bool fw_create(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nf_session *s = nf_session_join(nf, p, now);
    if (!s)
        return false;
    *NF_SESSION_EDIT(nf, s, struct fw_conn) = (struct fw_conn){.packets = 1, .by_answer = fw_is_answer(p)};
    nf_count(nf, FW_CREATED, 1);
    return true;
}

static void fw_count_packet(const struct nf *nf, const struct nf_packet *p, const struct nf_session *s)
{
    struct fw_conn *conn = NF_SESSION_EDIT(nf, s, struct fw_conn);
    if (fw_is_answer(p) == conn->by_answer)
        conn->packets++;
    else
        conn->replies++;
}

/* ---- packets --------------------------------------------------------------------------------------- */

/* Decides by the rules alone, and counts the rule's hit. False: denied and dropped. */
static bool fw_judge(const struct nf *nf, struct nf_packet *p)
{
    const struct fw_config *config = nf->config;
    struct fw *fw = nf->state;
    uint32_t rule = fw_rules_match(&config->read, fw->rules, p);
    *NF_EDIT(nf, &fw->rules[rule].hits) += 1;
    if (fw->rules[rule].action == FW_ALLOW)
        return true;
    nf_drop(nf, p, FW_DENIED);
    return false;
}

/* No connection knows it. */
static void fw_new(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct fw_config *config = nf->config;
    bool begins = p->proto == NF_PROTO_TCP      ? nf_tcp_is_request(p->tcp_flags)
                  : p->proto == NF_PROTO_ICMP   ? p->icmp_type == NF_ICMP_ECHO_REQUEST
                  : p->proto == NF_PROTO_ICMPV6 ? p->icmp_type == NF_ICMPV6_ECHO_REQUEST
                                                : true;
    if (!begins && !config->loose) {
        nf_drop(nf, p, FW_INVALID);
        return;
    }
    if (!fw_judge(nf, p))
        return;
    /* A reset ends what we do not know; there is nothing to keep. */
    bool keep = p->proto != NF_PROTO_TCP || !(p->tcp_flags & NF_TCP_RST);
    if (keep && !fw_create(nf, p, now))
        nf_drop(nf, p, nf_session_host_full(nf, p) ? FW_HOST_FULL : FW_TABLE_FULL);
    else
        nf_count(nf, FW_ALLOWED, 1);
}

/* True: of a connection that was there, to be counted by the caller, once a burst. So fw_one. */
static bool fw_keyed(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    if (p->proto == NF_PROTO_TCP && nf_tcp_is_impossible(p->tcp_flags)) {
        nf_drop(nf, p, FW_INVALID);
        return false;
    }
    const struct nf_session *s = nf_session_mine(nf, p);
    if (s && p->flow & NF_FLOW_AGAIN) {
        /* The ports are used again, perhaps from the other side: judged anew, like any first packet. */
        nf_session_leave(nf, s, now);
        s = NULL;
    }
    if (!s) {
        fw_new(nf, p, now);
        return false;
    }
    fw_count_packet(nf, p, s);
    return true;
}

/* What keeps no connection: errors about one pass, the rest is up to the rules. */
static void fw_unkeyed(const struct nf *nf, struct nf_packet *p)
{
    if (p->flags & NF_P_ICMP_ERROR) {
        bool reply;
        const struct nf_session *s = nf_session_quoted(nf, p, &reply);
        if (s && nf_session_has(nf, s)) {
            nf_count(nf, FW_RELATED, 1);
            return;
        }
    }
    if (fw_judge(nf, p))
        nf_count(nf, FW_ALLOWED, 1);
}

/* What can be a connection's: what has ports or an identifier, and protocols that have none. Behind too many
 * headers of IPv6 it is not known which protocol it is, so no rule could judge it. */
static bool fw_is_keyed(const struct nf_packet *p)
{
    if (p->flags & NF_P_IPV6)
        return nf_packet_has_ends_ipv6(p) ||
               !(nf_proto_has_ports_ipv6(p->proto) || nf_ipv6_is_extension(p->proto));
    return nf_packet_has_ends(p) || !nf_proto_has_ports(p->proto);
}

/* What hosts and routers of a link say to each other about addresses there (RFC 4861): as ARP. */
static bool fw_is_neighbours(const struct nf_packet *p)
{
    return nf_is_nd(p) && p->data[p->l3 + 7] == 255;
}

/* Neither IPv4, nor IPv6 that it judges. */
static void fw_other(const struct nf *nf, struct nf_packet *p)
{
    const struct fw_config *config = nf->config;

    if (p->flags & NF_P_ARP || (config->ipv6 && fw_is_neighbours(p)))
        nf_count(nf, FW_ARP, 1);
    else if (config->ipv6 && p->flags & NF_P_IPV6)
        nf_drop(nf, p, FW_MALFORMED);
    else
        nf_drop_or_pass(nf, p, config->unsupported, FW_UNSUPPORTED);
}

static bool fw_one(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct fw_config *config = nf->config;
    if (p->flags & NF_P_BAD) {
        nf_drop(nf, p, FW_MALFORMED);
    } else if (!(p->flags & NF_P_IPV4) &&
               !(config->ipv6 && p->flags & NF_P_IPV6_READ && !fw_is_neighbours(p))) {
        fw_other(nf, p);
    } else if (p->flags & NF_P_LATER) {
        if (!nf_session_later(nf, p)) /* the first one has passed: so do the others */
            nf_drop(nf, p, FW_FRAGMENT_UNKNOWN);
    } else if (fw_is_keyed(p)) {
        return fw_keyed(nf, p, now);
    } else if (!(p->flags & (NF_P_L4 | NF_P_ICMP_ERROR))) {
        nf_drop(nf, p, FW_MALFORMED);
    } else {
        fw_unkeyed(nf, p);
    }
    return false;
}

static void fw_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    uint32_t known = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct nf_session *s = nf_session_settled(nf, packets[i]);

        if (ft_likely(s)) {
            fw_count_packet(nf, packets[i], s);
            known++;
        } else if (fw_one(nf, packets[i], now)) {
            known++;
        }
    }
    if (known)
        nf_count(nf, FW_KNOWN, known);
}

/* ---- making ---------------------------------------------------------------------------------------- */

static int fw_check(void *c, struct ft_fault *fault)
{
    struct fw_config *config = c;
    return fw_rules_read(&config->read, &config->rules, fault);
}

static uint64_t fw_arena(const void *c)
{
    const struct fw_config *config = c;
    return (config->read.count + 2) * sizeof(struct fw_rule);
}

static bool fw_joins_ipv6(const void *config)
{
    return ((const struct fw_config *)config)->ipv6;
}

static void fw_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct fw_config *)config)->flows;
    nf_flows_limit_host(flows, flows->max_flows);
}

static bool fw_make(struct nf *nf)
{
    const struct fw_config *config = nf->config;
    uint64_t bytes = (config->read.count + 2) * sizeof(struct fw_rule);
    struct fw *fw = nf->state;
    fw->rules = ft_arena_alloc(nf->arena, bytes);
    if (fw->rules)
        memcpy(nf_edit(nf, fw->rules, bytes), config->read.list, bytes);
    fw->count = config->read.count;
    NF_CONSTANT(nf, fw);
    for (uint32_t i = 0; fw->rules && i < fw->count + 2; i++) { /* all but its hits and its action */
        nf_constant(nf, &fw->rules[i].saddr,
                    offsetof(struct fw_rule, action) - offsetof(struct fw_rule, saddr));
        nf_constant(nf, &fw->rules[i].sides, sizeof(struct fw_rule) - offsetof(struct fw_rule, sides));
    }
    return fw->rules;
}

static bool fw_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
{
    const struct fw *before = was->state;
    const struct fw_config *from = was->config, *to = nf->config;
    const struct fw *fw = nf->state;

    (void)fault;
    fw_rules_carry(fw->rules, &to->read, &from->read, nf_was_at(was, before->rules));
    return true;
}

static int fw_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct fw *fw = nf->state;
    for (uint32_t i = 0; i < fw->count + 2; i++)
        if (fw->rules[i].action > FW_ALLOW)
            return nf_check_failed(c, "rule %u has action %u, expected at most %u", i + 1,
                                   fw->rules[i].action, FW_ALLOW);
    return 0;
}

/* ---- what operators see, and change --------------------------------------------------------------- */

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

static void fw_show_conn(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    const struct fw_conn *conn = nf_session_slot(nf, s);
    bool turned = conn->by_answer;
    struct nf_tuple ends;
    nf_session_view(nf, s, &ends);
    nf_row(out);
    nf_row_proto(out, ends.proto);
    nf_session_row_ends(nf, out, s, turned ? "to" : "from", turned ? "from" : "to");
    nf_row_text(out, "direction", "%s", s->key[turned].side == NF_OUTSIDE ? "in" : "out");
    nf_row_text(out, "state", "%s",
                ends.proto == NF_PROTO_TCP ? nf_tcp_state_name(nf_session_tcp(s))
                : conn->replies            ? "replied"
                                           : "new");
    nf_row_u64(out, "packets", conn->packets);
    nf_row_u64(out, "replies", conn->replies);
    nf_row_u64(out, "last_ns", s->seen);
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
    return nf_sessions_show(nf, fw->count + 2, out, cursor, fw_show_conn);
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
    if (strncmp(key, "rule.", 5) == 0)
        return ft_fail(fault, FT_ENOENT, "%.60s: no such rule, expected rule.1 to rule.%u", key, fw->count);
    return nf_sessions_set(nf, key, value, now, fault);
}

static int fw_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all connections are cleared", key);
    nf_sessions_clear(nf, false, now);
    return FT_OK;
}

/* ---- the module ------------------------------------------------------------------------------------ */

static const struct nf_param fw_params[] = {
    NF_PARAM(struct fw_config, rules, NF_FILE, NULL, "file of rules, one a line", .marks = NF_PARAM_LIVE),
    NF_MAX_FLOWS_PARAM(struct fw_config, flows, "connections at most"),
    NF_MAX_FLOWS_PER_HOST_PARAM(struct fw_config, flows),
    NF_MAX_FRAGMENTS_PARAM(struct fw_config, flows),
    NF_TCP_UDP_PARAMS(struct fw_config, flows),
    NF_ICMP_PARAM(struct fw_config, flows),
    NF_TIMEOUT_PARAM(struct fw_config, flows, "other", NF_TIMEOUT_OTHER, "600"),
    NF_YES_NO(struct fw_config, loose, "true", "a connection may be picked up in the middle, by the rules",
              .marks = NF_PARAM_LIVE),
    NF_YES_NO(struct fw_config, ipv6, "false",
              "the rules judge IPv6 as well; false: it is as `unsupported` says", .marks = NF_PARAM_ADDED),
    NF_ONE_OF(struct fw_config, unsupported, nf_policy_names, "drop",
              "what is done with what is neither IP nor ARP", .marks = NF_PARAM_LIVE),
    {0},
};

static bool fw_drops_ipv6(const void *config)
{
    const struct fw_config *fw = config;

    return !fw->ipv6 && fw->unsupported == NF_POLICY_DROP;
}

static const struct nf_module fw_module = {
    .name = "firewall",
    .version = 2,
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
    .show = fw_show,
    .set = fw_set,
    .clear = fw_clear,
    .check_state = fw_check_state,
    .session_size = sizeof(struct fw_conn),
    .flows = fw_flows,
    .ipv6 = fw_joins_ipv6,
    .expired = FW_EXPIRED + 1,
    .displaced = FW_DISPLACED + 1,
    .fragments_full = FW_FRAGMENTS_FULL + 1,
    .settings = "rule.N, default.in, default.out",
    .carry = fw_carry,
    .drops_ipv6 = fw_drops_ipv6,
};
NF_MODULE(fw_module)
