/* SPDX-License-Identifier: Apache-2.0 */
/* The show, set and clear of ips: what operators see of rules and alerts, and change. */
#include "nfs/ips/parts.h"

#include <arpa/inet.h>
#include <string.h>

static const char *msg_of(const struct ips_rules *rules, uint32_t sid)
{
    uint32_t rule = ips_rules_find(rules, sid);

    return rule == NF_NONE ? "" : rules->text + rules->rule[rule].msg;
}

static void show_rule(const struct nf *nf, struct nf_show *out, uint32_t i)
{
    const struct ips_config *config = nf->config;
    const struct ips *ips = nf->state;
    const struct ips_rule *rule = &config->read->rule[i];

    nf_row(out);
    nf_row_text(out, "rule", "%u", rule->sid);
    nf_row_u64(out, "line", rule->line);
    nf_row_text(out, "action", "%s", ips_action_names[ips->live[i].action]);
    nf_row_u64(out, "hits", ips->live[i].hits);
    nf_row_text(out, "msg", "%s", config->read->text + rule->msg);
}

static void row_end(struct nf_show *out, const char *name, const struct ips_alert *alert, unsigned end)
{
    char text[INET6_ADDRSTRLEN];

    inet_ntop(alert->ipv6 ? AF_INET6 : AF_INET, alert->addr[end] + (alert->ipv6 ? 0 : 12), text,
              sizeof(text));
    nf_row_text(out, name, alert->ipv6 ? "[%s]:%u" : "%s:%u", text, ntohs(alert->port[end]));
}

static void show_alert(const struct nf *nf, struct nf_show *out, const struct ips_alert *alert)
{
    const struct ips_config *config = nf->config;

    nf_row(out);
    nf_row_text(out, "alert", "%u", alert->sid);
    nf_row_u64(out, "rev", alert->rev);
    nf_row_u64(out, "at_ns", alert->time);
    nf_row_text(out, "action", "%s", ips_action_names[alert->action]);
    nf_row_proto(out, alert->proto);
    row_end(out, "from", alert, 0);
    row_end(out, "to", alert, 1);
    nf_row_text(out, "msg", "%s", msg_of(config->read, alert->sid));
}

/* Rules, then the last alerts, the latest one first. */
bool ips_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct ips_config *config = nf->config;
    const struct ips *ips = nf->state;
    uint64_t rules = config->read->count, alerts = ips->alerted < ips->alerts ? ips->alerted : ips->alerts;

    for (; *cursor < rules + alerts; *cursor += 1) {
        if (nf_show_full(out))
            return true;
        if (*cursor < rules)
            show_rule(nf, out, (uint32_t)*cursor);
        else
            show_alert(nf, out, &ips->alert[(ips->alerted - 1 - (*cursor - rules)) % ips->alerts]);
    }
    return false;
}

int ips_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    const struct ips_config *config = nf->config;
    struct ips *ips = nf->state;
    uint32_t sid, rule, action = 0;

    if (strncmp(key, "rule.", 5) != 0)
        return nf_sessions_set(nf, key, value, now, fault);
    rule = nf_number_parse(key + 5, 1, UINT32_MAX - 1, &sid) ? ips_rules_find(config->read, sid) : NF_NONE;
    if (rule == NF_NONE)
        return ft_fail(fault, FT_ENOENT, "%.60s: no such rule, expected rule.SID of one in the file", key);
    while (action < IPS_ACTIONS && strcmp(value, ips_action_names[action]) != 0)
        action++;
    if (action == IPS_ACTIONS)
        return ft_fail(fault, FT_EINVAL, "%s=%s: expected off, alert, drop or reject", key, value);
    NF_EDIT(nf, &ips->live[rule])->action = action;
    return FT_OK;
}

/* Flows begin anew where they are, those that were blocked as well. Alerts and hits stay. */
int ips_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all flows are cleared", key);
    nf_sessions_clear(nf, false, now);
    return FT_OK;
}
