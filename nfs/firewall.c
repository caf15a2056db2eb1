/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firewall: stateful packet filter. What begins a connection is judged by the rules; what belongs to one that
 * was allowed passes without them, both ways, and so do ICMP errors about it. A connection is its 5-tuple,
 * the same for both directions.
 */
#include "nfs/firewall_table.h"

static const char *const fw_counters[] = {
    "connections_created",
    "connections_expired",
    "known",   /* packets of connections that were there */
    "allowed", /* packets allowed by a rule, first ones of connections among them */
    "related", /* ICMP errors about a connection */
    "arp",
    "unsupported",      /* neither IPv4 nor ARP: as `unsupported` says */
    "denied",           /* dropped, as all that follow */
    "invalid",          /* TCP flags that cannot be, or no connection it could belong to (loose: false) */
    "malformed",        /* breaks its format */
    "fragment_unknown", /* later fragment, first one not allowed or not seen */
    "fragments_full",   /* not dropped: a first fragment that later ones will not be matched with */
    "table_full",
    NULL,
};

static bool fw_has_ports(uint8_t proto)
{
    return proto == NF_PROTO_TCP || proto == NF_PROTO_UDP || proto == NF_PROTO_ICMP;
}
/* ---- packets ----------------------------------------------------------------------------------- */

/* By the rules alone, hits counted. NF_NONE: denied and dropped. */
static uint32_t fw_judge(const struct nf *nf, struct nf_packet *p)
{
    struct fw *fw = nf->state;
    uint32_t rule = fw_rules_match(fw->rules, fw->count, p);
    *NF_EDIT(nf, &fw->rules[rule].hits) += 1;
    if (fw->rules[rule].action == FW_DENY) {
        nf_drop(nf, p, FW_DENIED);
        return NF_NONE;
    }
    return rule;
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
    uint32_t rule = fw_judge(nf, p);
    if (rule == NF_NONE)
        return;
    /* A reset ends what we do not know; there is nothing to keep. */
    bool keep = p->proto != NF_PROTO_TCP || !(p->tcp_flags & NF_TCP_RST);
    if (keep && !fw_create(nf, p, look, rule, now))
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
    if (fw_judge(nf, p) != NF_NONE)
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
        if (!nf_fragments_find(fw->conns.fragments, p, &word))
            nf_drop(nf, p, FW_FRAGMENT_UNKNOWN);
    } else if (look->keyed) {
        known = fw_keyed(nf, p, look, now);
    } else if (fw_has_ports(p->proto) && !(p->flags & (NF_P_L4 | NF_P_ICMP_ERROR))) {
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
        look[i].keyed = (p->flags & NF_P_IPV4) && !(p->flags & (NF_P_BAD | NF_P_LATER | NF_P_ICMP_ERROR)) &&
                        (!fw_has_ports(p->proto) || (p->flags & NF_P_L4)) &&
                        (p->proto != NF_PROTO_ICMP || nf_packet_is_echo(p));
        if (!look[i].keyed)
            continue;
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

/* ---- making, showing, changing ----------------------------------------------------------------- */

static int fw_check(void *c, struct ft_fault *fault)
{
    struct fw_config *config = c;
    return fw_rules_read(&config->rules, config->path, fault);
}

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

static const struct nf_param fw_params[] = {
    {.name = "rules",
     .kind = NF_FILE,
     .offset = offsetof(struct fw_config, path),
     .help = "file of rules, one a line"},
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
    .counters = fw_counters,
    .check = fw_check,
    .arena = fw_arena,
    .make = fw_make,
    .process = fw_process,
    .timers = fw_timers,
    .show = fw_show,
    .set = fw_set,
    .clear = fw_clear,
};
NF_MODULE(fw_module)
