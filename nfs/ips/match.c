/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule of ips is about, and what its match does: counts, what people are told, and the verdict on the
 * packet. Owns the rules' hits and the ring of alerts. */
#include "nfs/ips/parts.h"
#include "nflib/net/ipv6.h"

#include <arpa/inet.h>
#include <string.h>

void ips_fill_ends(const struct nf_packet *p, struct ips_ends *ends)
{
    *ends = (struct ips_ends){.port = {p->sport, p->dport}};
    if (p->flags & NF_P_IPV6) {
        memcpy(ends->addr, nf_packet_ipv6_addresses(p), sizeof(ends->addr));
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        memset(ends->addr[i] + 10, 0xff, 2);
        memcpy(ends->addr[i] + 12, i ? &p->daddr : &p->saddr, 4);
    }
}

static bool has_host(const struct ips_rules *rules, const struct ips_set *set, const uint8_t addr[16])
{
    bool is = false;

    for (uint32_t i = set->from; i < (uint32_t)set->from + set->count && !is; i++)
        is = nf_ipv6_in_prefix(addr, rules->host[i].addr, rules->host[i].bits);
    return !set->count || is != set->not ;
}

static bool has_port(const struct ips_rules *rules, const struct ips_set *set, uint16_t port)
{
    bool is = false;

    for (uint32_t i = set->from; i < (uint32_t)set->from + set->count && !is; i++)
        is = port >= rules->range[i].first && port <= rules->range[i].last;
    return !set->count || is != set->not ;
}

/* `from`: which of the ends is the rule's source. */
static bool has_ends(const struct ips_rules *rules, const struct ips_rule *rule, const struct ips_ends *ends,
                     unsigned from)
{
    return has_port(rules, &rule->port[1], ntohs(ends->port[!from])) &&
           has_port(rules, &rule->port[0], ntohs(ends->port[from])) &&
           has_host(rules, &rule->host[0], ends->addr[from]) &&
           has_host(rules, &rule->host[1], ends->addr[!from]);
}

/* As people know it: an answer is what goes to who began the connection. */
static bool has_flow(const struct ips_look *look, const struct ips_rule *rule, bool reply)
{
    const struct nf_session *s = look->session;
    bool turned = nf_session_flags(s) & NF_SESSION_TURNED;
    bool open = rule->proto == NF_PROTO_TCP ? nf_session_tcp(s) >= NF_TCP_ESTABLISHED
                                            : look->flow->flags & IPS_FLOW_ANSWERED;

    if (rule->flow & IPS_ESTABLISHED && !open)
        return false;
    return !(rule->flow & (reply == turned ? IPS_TO_CLIENT : IPS_TO_SERVER));
}

bool ips_applies(const struct ips_look *look, const struct ips_rule *rule, bool reply)
{
    const struct ips_config *config = look->nf->config;
    unsigned from = reply != look->reply;

    return rule->proto == look->p->proto && (!rule->flow || has_flow(look, rule, reply)) &&
           (has_ends(config->read, rule, &look->ends, from) ||
            (rule->both && has_ends(config->read, rule, &look->ends, !from)));
}

static void tell(struct ips_look *look, const struct ips_rule *rule, uint8_t action, bool reply)
{
    struct nf *nf = look->nf;
    struct ips *ips = nf->state;
    uint64_t *alerted = NF_EDIT_WORD(nf, &ips->alerted);
    struct ips_alert *alert = NF_EDIT(nf, &ips->alert[*alerted % ips->alerts]);
    unsigned from = reply != look->reply;

    *alerted += 1;
    *alert = (struct ips_alert){.time = look->now,
                                .sid = rule->sid,
                                .rev = rule->rev,
                                .action = action,
                                .proto = rule->proto,
                                .ipv6 = nf_session_is_ipv6(look->session)};
    for (unsigned i = 0; i < 2; i++) {
        alert->port[i] = look->ends.port[i ^ from];
        memcpy(alert->addr[i], look->ends.addr[i ^ from], sizeof(alert->addr[i]));
    }
    look->sums[IPS_ALERTS]++;
}

void ips_match(struct ips_look *look, uint32_t place, bool reply)
{
    const struct ips_config *config = look->nf->config;
    struct ips *ips = look->nf->state;
    const struct ips_rule *rule = &config->read->rule[place];
    struct ips_live *live = NF_EDIT(look->nf, &ips->live[place]);
    struct ips_decision decision;

    look->steps += 16;
    live->hits++;
    look->sums[IPS_MATCHES]++;
    decision = ips_threshold(look, rule, look->ends.addr[(reply != look->reply) != rule->by_dst]);
    if (decision.tell)
        tell(look, rule, (uint8_t)live->action, reply);
    if (decision.act && live->action != IPS_ALERT)
        look->verdict = (uint8_t)live->action;
}
