/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firewall: stateful packet filter. What begins a connection is judged by the rules; what belongs to one that
 * was allowed passes without them, both ways, and so do ICMP errors about it. A connection is its 5-tuple,
 * the same for both directions.
 *
 * State, written by this instance alone: the connection map with everything a packet touches in one entry,
 * the fragment table, one wheel for both (connections first), the rules with their hits, the timeouts.
 */
#include "nflib/flow.h"
#include "nflib/fragment.h"
#include "nflib/nf.h"
#include "nflib/tcp.h"
#include "nfs/firewall_rules.h"

#include <arpa/inet.h>
#include <string.h>

#define FW_TICK   (NF_SECOND / 10)
#define FW_DUE    64u
#define FW_ROUNDS 16u /* of FW_DUE timers in one burst; the rest in the next */
#define FW_ROWS   256u

struct fw_config {
    const char *path;
    uint32_t max_flows, max_fragments;
    uint32_t timeouts[NF_TIMEOUT_COUNT];
    bool loose;
    uint32_t unsupported;
    struct fw_rules rules; /* made by check from the file */
};

enum { FW_U_DROP, FW_U_PASS }; /* choices of `unsupported` */

struct fw_conn {
    uint64_t seen;       /* chain time of the last packet */
    uint64_t packets[2]; /* from the originator, to it */
    uint16_t rule;       /* that let it in; number of rules and one more: the defaults */
    uint8_t tcp;         /* enum nf_tcp_state */
    uint8_t class;       /* enum nf_timeout that the timer was last set for */
    uint8_t swapped;     /* the originator is end 1 of the key */
    uint8_t side;        /* enum nf_side of the originator */
    uint16_t zero;
};

struct fw {
    struct nf_map *conns;
    struct nf_wheel *wheel;
    struct nf_fragments *fragments;
    struct fw_rule *rules; /* [count + 2] */
    uint32_t count;
    uint32_t timeouts[NF_TIMEOUT_COUNT];
};

enum fw_counter {
    FW_CREATED,
    FW_EXPIRED,
    FW_KNOWN,
    FW_ALLOWED,
    FW_RELATED,
    FW_ARP,
    FW_UNSUPPORTED,
    FW_DENIED,
    FW_INVALID,
    FW_MALFORMED,
    FW_FRAGMENT_UNKNOWN,
    FW_FRAGMENTS_FULL,
    FW_TABLE_FULL,
};

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

struct fw_look {
    struct nf_flow_key key;
    uint64_t hash;
    bool keyed, swapped;
};

static const struct nf_flow_key *fw_key_of(const struct fw *fw, uint32_t slot)
{
    return nf_map_key(fw->conns, slot);
}
static const struct fw_conn *fw_conn_of(const struct fw *fw, uint32_t slot)
{
    return nf_map_value(fw->conns, slot);
}
static uint64_t fw_life(const struct fw *fw, uint8_t class)
{
    return fw->timeouts[class] * NF_SECOND;
}
static bool fw_has_ports(uint8_t proto)
{
    return proto == NF_PROTO_TCP || proto == NF_PROTO_UDP || proto == NF_PROTO_ICMP;
}
static bool fw_is_echo(const struct nf_packet *p)
{
    return p->icmp_type == NF_ICMP_ECHO_REQUEST || p->icmp_type == NF_ICMP_ECHO_REPLY;
}

/* ---- connections ------------------------------------------------------------------------------- */

static void fw_remove(const struct nf *nf, uint32_t slot)
{
    struct fw *fw = nf->state;
    nf_wheel_cancel(nf, fw->wheel, slot);
    nf_map_remove(nf, fw->conns, slot);
}

/* False: the table is full. */
static bool fw_create(const struct nf *nf, const struct nf_packet *p, const struct fw_look *look,
                      uint32_t rule, uint64_t now)
{
    struct fw *fw = nf->state;
    uint32_t slot = nf_map_add(nf, fw->conns, &look->key);
    if (slot == NF_NONE)
        return false;
    struct fw_conn *conn = NF_EDIT(nf, fw_conn_of(fw, slot));
    conn->seen = now;
    conn->packets[0] = 1;
    conn->rule = (uint16_t)rule;
    conn->tcp = p->proto == NF_PROTO_TCP ? nf_tcp_first(p->tcp_flags) : NF_TCP_NONE;
    conn->class = nf_timeout_class(p->proto, conn->tcp);
    conn->swapped = look->swapped;
    conn->side = p->side;
    nf_wheel_set(nf, fw->wheel, slot, now + fw_life(fw, conn->class));
    nf_count(nf, FW_CREATED, 1);
    return true;
}

/* One more packet. The timer is moved only when it would fire too late; early is harmless. */
static void fw_touch(const struct nf *nf, const struct nf_packet *p, bool swapped, uint32_t slot,
                     uint64_t now)
{
    struct fw *fw = nf->state;
    struct fw_conn *conn = NF_EDIT(nf, fw_conn_of(fw, slot));
    bool reply = swapped != conn->swapped;
    conn->seen = now;
    conn->packets[reply]++;
    if (p->proto != NF_PROTO_TCP)
        return;
    conn->tcp = nf_tcp_next(conn->tcp, p->tcp_flags, reply);
    uint8_t class = nf_timeout_class(NF_PROTO_TCP, conn->tcp);
    if (class != conn->class) {
        conn->class = class;
        nf_wheel_set(nf, fw->wheel, slot, now + fw_life(fw, class));
    }
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
static void fw_new(const struct nf *nf, struct nf_packet *p, const struct fw_look *look, uint64_t now)
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

static void fw_keyed(const struct nf *nf, struct nf_packet *p, const struct fw_look *look, uint64_t now)
{
    struct fw *fw = nf->state;
    if (p->proto == NF_PROTO_TCP && nf_tcp_is_impossible(p->tcp_flags)) {
        nf_drop(nf, p, FW_INVALID);
        return;
    }
    uint32_t slot = nf_map_find_hashed(fw->conns, &look->key, look->hash);
    if (slot != NF_NONE && p->proto == NF_PROTO_TCP && nf_tcp_is_request(p->tcp_flags) &&
        nf_tcp_is_over(fw_conn_of(fw, slot)->tcp)) {
        /* The ports are used again, perhaps from the other side: judged anew, like any first packet. */
        fw_remove(nf, slot);
        slot = NF_NONE;
    }
    if (slot == NF_NONE) {
        fw_new(nf, p, look, now);
    } else {
        fw_touch(nf, p, look->swapped, slot, now);
        nf_count(nf, FW_KNOWN, 1);
    }
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
        if (nf_map_find(fw->conns, &key) != NF_NONE) {
            nf_count(nf, FW_RELATED, 1);
            return;
        }
    }
    if (fw_judge(nf, p) != NF_NONE)
        nf_count(nf, FW_ALLOWED, 1);
}

/* A first fragment has passed: so will the others. */
static void fw_note(const struct nf *nf, const struct nf_packet *p, uint64_t now)
{
    struct fw *fw = nf->state;
    struct nf_fragment_key key = nf_fragment_key(p);
    if (!nf_fragments_note(nf, fw->fragments, &key, 0, now))
        nf_count(nf, FW_FRAGMENTS_FULL, 1);
}

static void fw_one(const struct nf *nf, struct nf_packet *p, const struct fw_look *look, uint64_t now)
{
    const struct fw_config *config = nf->config;
    struct fw *fw = nf->state;
    uint32_t word;
    if (p->flags & NF_P_BAD) {
        nf_drop(nf, p, FW_MALFORMED);
    } else if (!(p->flags & NF_P_IPV4)) {
        if (p->flags & NF_P_ARP)
            nf_count(nf, FW_ARP, 1);
        else if (config->unsupported == FW_U_DROP)
            nf_drop(nf, p, FW_UNSUPPORTED);
        else
            nf_count(nf, FW_UNSUPPORTED, 1);
    } else if (p->flags & NF_P_LATER) {
        if (!nf_fragments_find(fw->fragments, p, &word))
            nf_drop(nf, p, FW_FRAGMENT_UNKNOWN);
    } else if (look->keyed) {
        fw_keyed(nf, p, look, now);
    } else if (fw_has_ports(p->proto) && !(p->flags & (NF_P_L4 | NF_P_ICMP_ERROR))) {
        nf_drop(nf, p, FW_MALFORMED);
    } else {
        fw_unkeyed(nf, p);
    }
    if (!p->drop && (p->flags & (NF_P_FRAGMENT | NF_P_LATER)) == NF_P_FRAGMENT)
        fw_note(nf, p, now);
}

/* Cache misses first: the buckets of the whole burst are under way before the first one is needed. */
static void fw_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct fw *fw = nf->state;
    struct fw_look look[NF_BURST_MAX];

    for (uint32_t i = 0; i < n; i++) {
        const struct nf_packet *p = packets[i];
        bool ports = fw_has_ports(p->proto);
        look[i].keyed = (p->flags & NF_P_IPV4) && !(p->flags & (NF_P_BAD | NF_P_LATER | NF_P_ICMP_ERROR)) &&
                        (!ports || (p->flags & NF_P_L4)) && (p->proto != NF_PROTO_ICMP || fw_is_echo(p));
        if (!look[i].keyed)
            continue;
        look[i].swapped = nf_flow_key_make(&look[i].key, p->proto, p->saddr, ports ? p->sport : 0, p->daddr,
                                           ports ? p->dport : 0);
        look[i].hash = nf_map_hash(fw->conns, &look[i].key);
        nf_map_prefetch(fw->conns, look[i].hash);
    }
    for (uint32_t i = 0; i < n; i++)
        fw_one(nf, packets[i], &look[i], now);
}

static void fw_timers(struct nf *nf, uint64_t now)
{
    const struct fw_config *config = nf->config;
    struct fw *fw = nf->state;
    uint32_t due[FW_DUE];

    for (unsigned round = 0; round < FW_ROUNDS; round++) {
        uint32_t n = nf_wheel_due(nf, fw->wheel, now, due, FW_DUE);
        for (uint32_t i = 0; i < n; i++) {
            if (due[i] >= config->max_flows) {
                nf_fragments_due(nf, fw->fragments, due[i]);
                continue;
            }
            const struct fw_conn *conn = fw_conn_of(fw, due[i]);
            uint64_t end = conn->seen + fw_life(fw, conn->class);
            if (end > now) {
                nf_wheel_set(nf, fw->wheel, due[i], end);
            } else {
                nf_map_remove(nf, fw->conns, due[i]);
                nf_count(nf, FW_EXPIRED, 1);
            }
        }
        if (n < FW_DUE)
            break;
    }
}

/* ---- making, showing, changing ----------------------------------------------------------------- */

static int fw_check(void *c, struct ft_fault *fault)
{
    struct fw_config *config = c;
    return fw_rules_read(&config->rules, config->path, fault);
}

static uint64_t fw_arena(const void *c)
{
    const struct fw_config *config = c;
    return sizeof(struct fw) + FT_LINE + (config->rules.count + 2) * sizeof(struct fw_rule) +
           nf_map_bytes(config->max_flows, sizeof(struct nf_flow_key), sizeof(struct fw_conn)) +
           nf_wheel_bytes(config->max_flows + config->max_fragments) +
           nf_fragments_bytes(config->max_fragments);
}

static int fw_make(struct nf *nf, struct ft_fault *fault)
{
    const struct fw_config *config = nf->config;
    uint64_t bytes = (config->rules.count + 2) * sizeof(struct fw_rule);
    struct fw *fw = ft_arena_alloc(nf->arena, sizeof(*fw));
    if (!fw)
        return ft_fail(fault, FT_EFULL, "firewall: arena full");
    fw = NF_EDIT(nf, fw);
    fw->conns = nf_map_make(nf, config->max_flows, sizeof(struct nf_flow_key), sizeof(struct fw_conn));
    fw->wheel = nf_wheel_make(nf, config->max_flows + config->max_fragments, FW_TICK);
    fw->fragments = nf_fragments_make(nf, config->max_fragments, fw->wheel, config->max_flows);
    fw->rules = ft_arena_alloc(nf->arena, bytes);
    if (!fw->conns || !fw->wheel || !fw->fragments || !fw->rules)
        return ft_fail(fault, FT_EFULL, "firewall: arena full");
    memcpy(nf_edit(nf, fw->rules, bytes), config->rules.list, bytes);
    fw->count = config->rules.count;
    memcpy(fw->timeouts, config->timeouts, sizeof(fw->timeouts));
    nf->state = fw;
    return FT_OK;
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

static void fw_show_conn(const struct fw *fw, struct nf_show *out, uint32_t slot)
{
    const struct nf_flow_key *key = fw_key_of(fw, slot);
    const struct fw_conn *conn = fw_conn_of(fw, slot);
    unsigned from = conn->swapped;
    nf_row(out);
    nf_row_proto(out, key->proto);
    nf_row_end(out, "from", key->addr[from], key->port[from]);
    nf_row_end(out, "to", key->addr[!from], key->port[!from]);
    nf_row_text(out, "direction", "%s", conn->side == NF_OUTSIDE ? "in" : "out");
    nf_row_text(out, "state", "%s",
                key->proto == NF_PROTO_TCP ? nf_tcp_state_name(conn->tcp)
                : conn->packets[1]         ? "replied"
                                           : "new");
    nf_row_u64(out, "packets", conn->packets[0]);
    nf_row_u64(out, "replies", conn->packets[1]);
    nf_row_u64(out, "last_ns", conn->seen);
}

/* Rules, then connections. */
static bool fw_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct fw *fw = nf->state;
    uint64_t rules = fw->count + 2;
    for (unsigned rows = 0;; rows++) {
        uint32_t slot = NF_NONE;
        if (*cursor >= rules) {
            slot = nf_map_next(fw->conns, (uint32_t)(*cursor - rules));
            if (slot == NF_NONE)
                return false;
            *cursor = rules + slot;
        }
        if (rows == FW_ROWS || nf_show_full(out))
            return true;
        if (slot == NF_NONE)
            fw_show_rule(fw, out, (uint32_t)*cursor);
        else
            fw_show_conn(fw, out, slot);
        *cursor += 1;
    }
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
    int class = nf_timeout_set(nf, fw->timeouts, key, value, fault);
    if (class < 0)
        return class;
    /* It holds for all connections from now on, so their timers are set anew. */
    for (uint32_t slot = 0; (slot = nf_map_next(fw->conns, slot)) != NF_NONE; slot++) {
        const struct fw_conn *conn = fw_conn_of(fw, slot);
        uint64_t end = conn->seen + fw_life(fw, conn->class);
        if (conn->class == class)
            nf_wheel_set(nf, fw->wheel, slot, end > now ? end : now);
    }
    return FT_OK;
}

static int fw_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct fw *fw = nf->state;
    (void)now;
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all connections are cleared", key);
    for (uint32_t slot = 0; (slot = nf_map_next(fw->conns, slot)) != NF_NONE; slot++)
        fw_remove(nf, slot);
    nf_fragments_clear(nf, fw->fragments);
    return FT_OK;
}

#define FW_AT(field) offsetof(struct fw_config, field)
static const char *const fw_unsupported[] = {"drop", "pass", NULL};
static const struct nf_param fw_params[] = {
    {.name = "rules", .kind = NF_FILE, .offset = FW_AT(path), .help = "file of rules, one a line"},
    {.name = "max_flows",
     .kind = NF_U32,
     .offset = FW_AT(max_flows),
     .min = 1,
     .max = 16u << 20,
     .preset = "100000",
     .help = "connections at most"},
    {.name = "max_fragments",
     .kind = NF_U32,
     .offset = FW_AT(max_fragments),
     .min = 1,
     .max = 1u << 20,
     .preset = "4096",
     .help = "fragmented datagrams under way at most"},
    NF_TIMEOUT_PARAM(struct fw_config, "tcp_established", NF_TIMEOUT_TCP_ESTABLISHED, "7440"),
    NF_TIMEOUT_PARAM(struct fw_config, "tcp_transitory", NF_TIMEOUT_TCP_TRANSITORY, "240"),
    NF_TIMEOUT_PARAM(struct fw_config, "udp", NF_TIMEOUT_UDP, "300"),
    NF_TIMEOUT_PARAM(struct fw_config, "icmp", NF_TIMEOUT_ICMP, "60"),
    NF_TIMEOUT_PARAM(struct fw_config, "other", NF_TIMEOUT_OTHER, "600"),
    {.name = "loose",
     .kind = NF_BOOL,
     .offset = FW_AT(loose),
     .preset = "true",
     .help = "a connection may be picked up in the middle, by the rules"},
    {.name = "unsupported",
     .kind = NF_CHOICE,
     .offset = FW_AT(unsupported),
     .preset = "drop",
     .choices = fw_unsupported,
     .help = "what is done with what is neither IPv4 nor ARP"},
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
