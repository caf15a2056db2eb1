/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and matching the rules of vlan_qos; see rules.h. */
#include "nfs/qos/rules.h"
#include "nflib/net/dscp.h"
#include "nflib/net/vlan.h"

#include <string.h>

#define PCP_MOST 7u
static const char pcp_range[] = "a PCP, 0 to 7";

uint32_t vq_rules_named(const struct vq_rules *rules, const char *name)
{
    for (uint32_t i = 0; i < rules->classes; i++)
        if (strcmp(rules->class[i].name, name) == 0)
            return i + 1;
    return VQ_NONE;
}

static int read_class(struct fw_words *w, struct vq_rules *rules)
{
    struct vq_class class = {.dscp = 0};
    uint64_t pcp = 0;
    int rc;

    if (rules->classes == QOS_CLASSES_MAX)
        return fw_words_fail(w, "at most 16 classes");
    if (w->word && vq_rules_named(rules, w->word))
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
    rule.action = (uint8_t)(w->word ? vq_rules_named(rules, w->word) : VQ_NONE);
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

int vq_rules_read(struct vq_rules *rules, const struct nf_file *file, struct ft_fault *fault)
{
    struct fw_words w = {.file = file, .fault = fault};
    int rc = FT_OK;

    rules->classes = rules->flows.count = rules->flows.hosts = 0;
    while (rc == FT_OK && fw_words_line(&w, &rc)) {
        if (fw_words_take(&w, "class"))
            rc = read_class(&w, rules);
        else if (fw_words_take(&w, "match"))
            rc = read_match(&w, rules);
        else
            rc = fw_words_fail(&w, "class or match");
    }
    return rc;
}

/* ---- packets --------------------------------------------------------------------------------------- */

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

uint32_t vq_rules_class(const struct vq_rules *rules, const struct nf_packet *p)
{
    for (uint32_t i = 0; i < rules->flows.count; i++)
        if (tag_matches(&rules->tag[i], p) && flow_matches(rules, i, p))
            return rules->flows.list[i].action;
    return VQ_NONE;
}
