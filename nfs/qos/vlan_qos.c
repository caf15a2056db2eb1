/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vlan_qos: puts packets into classes and marks them with the class's DSCP and, in a frame that has a VLAN
 * tag, its PCP. The first packet of a flow is judged by the rules, and all packets of the flow, both ways and
 * ICMP errors about it, are of its class until it ends. What is of no flow, or of one that found no room, is
 * judged packet by packet. Drops nothing.
 *
 * An NF behind this one that acts on classes, such as policer, knows them by their DSCP.
 *
 * State, written by this instance alone: the class of each flow, in its slot in the chain's sessions, and
 * what was counted of each class.
 */
#include "nflib/net/vlan.h"
#include "nfs/qos/qos.h"

#include <string.h>

#define VQ_DATAGRAMS 4096u /* datagrams under way, whose later fragments are of their flow */

/*
 * The rules of vlan_qos, from a file: the classes with what their packets are marked with, and which packets
 * are of which; the first line that matches decides:
 *
 *     class NAME [dscp DSCP] [pcp PCP]
 *     match NAME [in|out] [vlan VID] [pcp PCP] [dscp DSCPS] and the rest of a rule of the firewall
 *         (nfs/firewall.h)
 *
 * What a class does not name stays as it is in its packets. `vlan` and `pcp` of a match are of a frame's
 * first tag. A match that names a protocol, a host or a DSCP is of IP alone; one with ports or a type, of
 * packets whose ports or type can be read.
 */

#define VQ_ANY  0xffffu
#define VQ_NONE 0u /* no class; the first is 1 */

struct vq_class {
    char name[QOS_NAME_BYTES];
    bool marks_dscp, marks_pcp;
    uint8_t dscp, pcp;
};

/* What a match has besides its part of the flows' rules. */
struct vq_tag {
    uint64_t dscps;
    uint16_t vid, pcp; /* or VQ_ANY */
};

struct vq_rules {
    uint32_t classes;
    struct vq_class class[QOS_CLASSES_MAX];
    struct fw_rules flows; /* `action` is the class */
    struct vq_tag tag[FW_RULES_MAX];
};

struct vq_config {
    struct nf_file rules;
    uint32_t max_flows;
    uint32_t timeout;
    struct vq_rules read; /* made by check from the file */
};

/* In a session. */
struct vq_flow {
    uint32_t class;
    uint32_t rules; /* by which it was judged, struct vq */
};

struct vq_count {
    uint64_t packets, bytes;
};
struct vq {
    uint64_t rules; /* so many times they have been changed in the running chain */
    struct vq_count class[QOS_CLASSES_MAX];
};

#define VQ_COUNTERS(X)                                                                                       \
    X(VQ_CLASSIFIED, "classified")                                                                           \
    X(VQ_UNCLASSIFIED, "unclassified") /* no rule matches: as they were */                                   \
    X(VQ_MARKED_DSCP, "marked_dscp")   /* given another DSCP than they had */                                \
    X(VQ_MARKED_PCP, "marked_pcp")                                                                           \
    X(VQ_MALFORMED, "malformed") /* passed as they were */                                                   \
    X(VQ_CREATED, "flows_created")                                                                           \
    X(VQ_EXPIRED, "flows_expired")                                                                           \
    X(VQ_DISPLACED, "flows_displaced") /* a new one has its place in a full table */                         \
    X(VQ_FLOWS_FULL, "flows_full")     /* packets of flows that found no room */                             \
    X(VQ_HOST_FULL, "host_full")       /* dropped by sessions: their host begins no more */
enum vq_counter { VQ_COUNTERS(NF_COUNTER) VQ_ALL };
static const char *const vq_counters[] = {VQ_COUNTERS(NF_COUNTER_NAME) NULL};

/* ---- the file ------------------------------------------------------------------------------------- */

#define PCP_MOST 7u
static const char pcp_range[] = "a PCP, 0 to 7";

/* The number of the class of that name, VQ_NONE: there is none. */
static uint32_t class_named(const struct vq_rules *rules, const char *name)
{
    for (uint32_t i = 0; i < rules->classes; i++)
        if (strcmp(rules->class[i].name, name) == 0)
            return i + 1;
    return VQ_NONE;
}

static int read_marked_class(struct fw_words *w, struct vq_rules *rules)
{
    struct vq_class class = {.dscp = 0};
    uint64_t pcp = 0;
    int rc;

    if (rules->classes == QOS_CLASSES_MAX)
        return fw_words_fail(w, "at most 16 classes");
    if (w->word && class_named(rules, w->word))
        return fw_words_fail(w, "a name that no class before has");
    rc = qos_read_name(w, class.name);
    if (rc == FT_OK && fw_words_take(w, "dscp")) {
        class.marks_dscp = true;
        rc = qos_read_dscp(w, &class.dscp);
    }
    if (rc == FT_OK && fw_words_take(w, "pcp")) {
        class.marks_pcp = true;
        rc = qos_read_number(w, 0, PCP_MOST, pcp_range, &pcp);
        class.pcp = (uint8_t)pcp;
    }
    if (rc == FT_OK && w->word)
        return fw_words_fail(w, "dscp DSCP, pcp PCP or the end of the line");
    rules->class[rules->classes++] = class;
    return rc;
}

static int read_tag(struct fw_words *w, struct vq_tag *tag)
{
    uint64_t n;
    int rc = FT_OK;

    *tag = (struct vq_tag){QOS_ANY_DSCP, VQ_ANY, VQ_ANY};
    if (fw_words_take(w, "vlan")) {
        rc = qos_read_number(w, 0, NF_VLAN_MOST, "a VLAN, 0 to 4094", &n);
        tag->vid = rc == FT_OK ? (uint16_t)n : VQ_ANY;
    }
    if (rc == FT_OK && fw_words_take(w, "pcp")) {
        rc = qos_read_number(w, 0, PCP_MOST, pcp_range, &n);
        tag->pcp = rc == FT_OK ? (uint16_t)n : VQ_ANY;
    }
    if (rc == FT_OK && fw_words_take(w, "dscp"))
        rc = qos_read_dscps(w, &tag->dscps);
    return rc;
}

static int read_match(struct fw_words *w, struct vq_rules *rules)
{
    struct fw_rule rule = {.line = (uint16_t)w->line};
    int rc;

    if (rules->flows.count == FW_RULES_MAX)
        return fw_words_fail(w, "at most 4096 matches");
    rule.action = (uint8_t)(w->word ? class_named(rules, w->word) : VQ_NONE);
    if (rule.action == VQ_NONE)
        return fw_words_fail(w, "the name of a class in a line before");
    fw_words_next(w);
    fw_read_direction(w, &rule);
    rc = read_tag(w, &rules->tag[rules->flows.count]);
    if (rc == FT_OK)
        rc = fw_read_match(w, &rules->flows, &rule);
    rules->flows.list[rules->flows.count++] = rule;
    return rc;
}

/* FT_EINVAL with "FILE:LINE: what, what was expected". */
static int read_rules(struct vq_rules *rules, const struct nf_file *file, struct ft_fault *fault)
{
    struct fw_words w = {.file = file, .fault = fault};
    int rc = FT_OK;

    rules->classes = rules->flows.count = rules->flows.hosts = 0;
    rules->flows.index = NULL;
    while (rc == FT_OK && fw_words_line(&w, &rc)) {
        if (fw_words_take(&w, "class"))
            rc = read_marked_class(&w, rules);
        else if (fw_words_take(&w, "match"))
            rc = read_match(&w, rules);
        else
            rc = fw_words_fail(&w, "class or match");
    }
    return rc;
}

/* ---- rules and packets --------------------------------------------------------------------------------- */

static bool tag_matches(const struct vq_tag *tag, const struct nf_packet *p)
{
    if (tag->vid == VQ_ANY && tag->pcp == VQ_ANY)
        return true;
    return p->flags & NF_P_VLAN && (tag->vid == VQ_ANY || tag->vid == nf_vlan_vid(p->data)) &&
           (tag->pcp == VQ_ANY || tag->pcp == nf_vlan_pcp(p->data));
}

static bool flow_matches(const struct vq_rules *rules, uint32_t i, const struct nf_packet *p)
{
    const struct fw_rule *rule = &rules->flows.list[i];
    uint64_t dscps = rules->tag[i].dscps;

    if (!(p->flags & (NF_P_IPV4 | NF_P_IPV6_READ)))
        return rule->sides >> p->side & 1 && rule->proto == FW_ANY && !rule->ipv4 && !rule->ipv6 &&
               dscps == QOS_ANY_DSCP;
    if ((rule->sports || rule->dports || rule->typed) && !(p->flags & NF_P_L4))
        return false;
    return dscps >> nf_packet_dscp(p) & 1 && fw_rule_matches(&rules->flows, rule, p);
}

/* What a match wants of each field: as tag_matches and flow_matches judge. Of what is not IP the DSCP is none
 * of those that a match names. */
static unsigned match_kinds(const struct fw_rule *rule, struct nf_span out[], unsigned all)
{
    bool reads_l4 = rule->sports || rule->dports || rule->typed;
    unsigned n = 0;

    for (unsigned i = 0; i < all; i++)
        if (!reads_l4 || (uint32_t)out[i].first & nf_kind(NF_KIND_IPV4, 0, true, 0))
            out[n++] = out[i];
    for (unsigned side = 0; side < 2; side++)
        if (rule->sides >> side & 1 && rule->proto == FW_ANY && !rule->ipv4 && !rule->ipv6)
            out[n++] = (struct nf_span){nf_kind(NF_KIND_OTHER, side, false, 0),
                                        nf_kind(NF_KIND_OTHER, side, true, UINT8_MAX)};
    return n;
}

static unsigned dscp_spans(uint64_t dscps, struct nf_span out[])
{
    unsigned n = 0;

    for (unsigned dscp = 0; dscp < NF_DSCPS; dscp++)
        if (dscps >> dscp & 1 && (!dscp || !(dscps >> (dscp - 1) & 1)))
            out[n++] = (struct nf_span){dscp, dscp};
        else if (dscps >> dscp & 1)
            out[n - 1].last = dscp;
    return n;
}

static unsigned match_spans(const void *arg, uint32_t i, enum nf_field field,
                            struct nf_span out[NF_SPANS_MAX])
{
    const struct vq_rules *rules = arg;
    const struct fw_rule *rule = &rules->flows.list[i];
    const struct vq_tag *tag = &rules->tag[i];
    unsigned n = fw_spans(&rules->flows, rule, field, out);

    if (field == NF_FIELD_KIND)
        return match_kinds(rule, out, n);
    if (field == NF_FIELD_DSCP && tag->dscps != QOS_ANY_DSCP)
        return dscp_spans(tag->dscps, out);
    if (field == NF_FIELD_VID && tag->vid != VQ_ANY)
        out[0] = (struct nf_span){tag->vid, tag->vid};
    if (field == NF_FIELD_PCP && tag->pcp != VQ_ANY)
        out[0] = (struct nf_span){tag->pcp, tag->pcp};
    return n;
}

/* The class of a packet that breaks no format. */
static uint32_t class_by_rules(const struct vq_rules *rules, const struct nf_packet *p)
{
    if (rules->flows.index) {
        uint32_t i = nf_classify(rules->flows.index, p);

        return i < rules->flows.count ? rules->flows.list[i].action : VQ_NONE;
    }
    for (uint32_t i = 0; i < rules->flows.count; i++)
        if (tag_matches(&rules->tag[i], p) && flow_matches(rules, i, p))
            return rules->flows.list[i].action;
    return VQ_NONE;
}

/* ---- packets --------------------------------------------------------------------------------------- */

/* The flow's class by the rules as they are now. */
static bool vq_knows(const struct nf *nf, const struct nf_session *s, uint32_t *class)
{
    const struct vq *vq = nf->state;
    const struct vq_flow *flow = nf_session_slot(nf, s);

    *class = flow->class;
    return flow->rules == (uint32_t)vq->rules;
}

static void vq_keep(const struct nf *nf, struct nf_packet *p, const struct nf_session *s, uint32_t class,
                    uint64_t now, uint64_t sums[])
{
    const struct vq *vq = nf->state;

    if (!s) {
        s = nf_session_join(nf, p, now);
        if (!s) {
            sums[VQ_FLOWS_FULL] += !p->drop;
            return;
        }
        sums[VQ_CREATED]++;
    }
    *NF_SESSION_EDIT(nf, s, struct vq_flow) = (struct vq_flow){class, (uint32_t)vq->rules};
}

static uint32_t vq_class_of(const struct nf *nf, struct nf_packet *p, uint64_t now, uint64_t sums[])
{
    const struct vq_config *config = nf->config;
    bool error = p->flags & NF_P_ICMP_ERROR, reply;
    const struct nf_session *s = error ? nf_session_quoted(nf, p, &reply) : nf_session_mine(nf, p);
    uint32_t class;

    if (s && nf_session_has(nf, s) && (error || !(p->flow & NF_FLOW_AGAIN)) && vq_knows(nf, s, &class))
        return class;
    class = class_by_rules(&config->read, p);
    if (!error && p->flow & NF_FLOW_KEYED)
        vq_keep(nf, p, s, class, now, sums);
    return class;
}

static void vq_mark(const struct vq_class *class, struct nf_packet *p, uint64_t sums[])
{
    if (class->marks_dscp && p->flags & (NF_P_IPV4 | NF_P_IPV6_READ) && nf_packet_dscp(p) != class->dscp) {
        nf_packet_set_dscp(p, class->dscp);
        sums[VQ_MARKED_DSCP]++;
    }
    if (class->marks_pcp && p->flags & NF_P_VLAN && nf_vlan_pcp(p->data) != class->pcp) {
        nf_vlan_set_pcp(p->data, class->pcp);
        sums[VQ_MARKED_PCP]++;
    }
}

static void vq_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct vq_config *config = nf->config;
    const struct vq *vq = nf->state;
    struct vq_count count[QOS_CLASSES_MAX] = {{0, 0}};
    uint64_t sums[VQ_ALL] = {0};

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        uint32_t class;

        if (p->flags & NF_P_BAD) {
            sums[VQ_MALFORMED]++;
            continue;
        }
        class = vq_class_of(nf, p, now, sums);
        sums[class == VQ_NONE ? VQ_UNCLASSIFIED : VQ_CLASSIFIED]++;
        if (class == VQ_NONE)
            continue;
        vq_mark(&config->read.class[class - 1], p, sums);
        count[class - 1].packets++;
        count[class - 1].bytes += p->len;
    }
    for (uint32_t i = 0; i < config->read.classes; i++)
        if (count[i].packets) {
            struct vq_count *to = NF_EDIT(nf, &vq->class[i]);

            to->packets += count[i].packets;
            to->bytes += count[i].bytes;
        }
    nf_count_all(nf, sums, VQ_ALL);
}

/* ---- operators ------------------------------------------------------------------------------------- */

static void vq_show_class(const struct nf *nf, struct nf_show *out, uint32_t i)
{
    const struct vq_config *config = nf->config;
    const struct vq_class *class = &config->read.class[i];
    const struct vq *vq = nf->state;

    nf_row(out);
    nf_row_text(out, "class", "%s", class->name);
    if (class->marks_dscp)
        nf_row_u64(out, "dscp", class->dscp);
    else
        nf_row_text(out, "dscp", "as it is");
    if (class->marks_pcp)
        nf_row_u64(out, "pcp", class->pcp);
    else
        nf_row_text(out, "pcp", "as it is");
    nf_row_u64(out, "packets", vq->class[i].packets);
    nf_row_u64(out, "bytes", vq->class[i].bytes);
}

static void vq_show_flow(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    const struct vq_config *config = nf->config;
    uint32_t class;
    bool known = vq_knows(nf, s, &class);

    nf_row(out);
    nf_row_proto(out, s->key[0].proto);
    nf_session_row_ends(nf, out, s, "from", "to");
    nf_row_text(out, "of_class", "%s",
                !known             ? "not judged anew yet"
                : class == VQ_NONE ? "none"
                                   : config->read.class[class - 1].name);
    nf_row_u64(out, "last_ns", s->seen);
}

/* Classes, then flows. */
static bool vq_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct vq_config *config = nf->config;

    for (; *cursor < config->read.classes; *cursor += 1) {
        if (nf_show_full(out))
            return true;
        vq_show_class(nf, out, (uint32_t)*cursor);
    }
    return nf_sessions_show(nf, config->read.classes, out, cursor, vq_show_flow);
}

/* ---- the module ------------------------------------------------------------------------------------ */

static int vq_check(void *c, struct ft_fault *fault)
{
    struct vq_config *config = c;
    int rc = read_rules(&config->read, &config->rules, fault);

    return rc == FT_OK ? fw_index_rules(&config->read.flows, match_spans, &config->read, fault) : rc;
}

static void vq_release(void *c)
{
    nf_classifier_free(((struct vq_config *)c)->read.flows.index);
}

static void vq_flows(const void *c, struct nf_flows_config *flows)
{
    const struct vq_config *config = c;

    flows->max_flows = config->max_flows;
    flows->max_fragments = VQ_DATAGRAMS;
    nf_timeouts_fill(flows->timeouts, config->timeout);
}

static bool vq_joins_ipv6(const void *config)
{
    (void)config;
    return true;
}

/* Counts go with a class's name. A flow is judged anew with its next packet, where the file is another one.
 */
static bool vq_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
{
    const struct vq_config *from = was->config, *to = nf->config;
    const struct vq *before = was->state;
    struct vq *vq = nf->state;
    bool same =
        from->rules.len == to->rules.len && memcmp(from->rules.bytes, to->rules.bytes, to->rules.len) == 0;

    (void)fault;
    memset(vq->class, 0, sizeof(vq->class));
    for (uint32_t i = 0; i < to->read.classes; i++) {
        uint32_t old = class_named(&from->read, to->read.class[i].name);

        if (old != VQ_NONE)
            vq->class[i] = before->class[old - 1];
    }
    vq->rules = before->rules + !same;
    return true;
}

static int vq_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct vq_config *config = nf->config;
    const struct nf_session *s;

    for (uint32_t at = 0; (s = nf_sessions_next(nf, &at)); at++) {
        uint32_t class;

        nf_check_step(c);
        if (vq_knows(nf, s, &class) && class > config->read.classes)
            return nf_check_failed(c, "session %u is of class %u, expected at most %u", at, class,
                                   config->read.classes);
    }
    return 0;
}

static const struct nf_param vq_params[] = {
    NF_PARAM(struct vq_config, rules, NF_FILE, NULL, "file of classes and of what is of them",
             .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct vq_config, max_flows, NF_U32, 1, 16u << 20, "100000", "flows at most",
              .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct vq_config, timeout, NF_SECONDS, 1, NF_TIMEOUT_MAX, "300",
              "idle seconds until a flow is forgotten", .marks = NF_PARAM_LIVE),
    {0},
};

static const struct nf_module vq_module = {
    .name = "vlan_qos",
    .version = 2,
    .summary = "classes of flows, and their marks: DSCP and priority of VLAN tags",
    .reads = NF_READS_FLOW,
    .params = vq_params,
    .config_size = sizeof(struct vq_config),
    .state_size = sizeof(struct vq),
    .counters = vq_counters,
    .check = vq_check,
    .release = vq_release,
    .process = vq_process,
    .show = vq_show,
    .set = nf_sessions_set_all,
    .clear = nf_sessions_clear_all, /* their next packets are judged anew */
    .check_state = vq_check_state,
    .session_size = sizeof(struct vq_flow),
    .host_full = VQ_HOST_FULL + 1,
    .flows = vq_flows,
    .ipv6 = vq_joins_ipv6,
    .expired = VQ_EXPIRED + 1,
    .displaced = VQ_DISPLACED + 1,
    .carry = vq_carry,
};
NF_MODULE(vq_module)
