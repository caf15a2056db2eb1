/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and matching the firewall's rules; see firewall_rules.h. Reading happens while a configuration is
 * checked, never on the packet path. */
#include "nfs/firewall_rules.h"

#include <string.h>

static int read_action(struct fw_words *w, struct fw_rule *rule)
{
    if (fw_words_take(w, "allow"))
        rule->action = FW_ALLOW;
    else if (fw_words_take(w, "deny"))
        rule->action = FW_DENY;
    else
        return fw_words_fail(w, "allow or deny");
    fw_read_direction(w, rule);
    return FT_OK;
}

static int read_rule(struct fw_words *w, struct fw_rules *rules, struct fw_rule *rule)
{
    int rc = read_action(w, rule);

    return rc != FT_OK ? rc : fw_read_match(w, rules, rule);
}

static int read_default(struct fw_words *w, struct fw_rule defaults[2])
{
    struct fw_rule rule = {0};
    int rc = read_action(w, &rule);
    if (rc != FT_OK)
        return rc;
    if (w->word)
        return fw_words_fail(w, "in, out or the end of the line");
    for (unsigned i = 0; i < 2; i++)
        if (rule.sides & defaults[i].sides) {
            defaults[i].action = rule.action;
            defaults[i].line = (uint16_t)w->line;
        }
    return FT_OK;
}

static int read_line(struct fw_words *w, struct fw_rules *rules, struct fw_rule defaults[2])
{
    if (fw_words_take(w, "default"))
        return read_default(w, defaults);
    if (rules->count == FW_RULES_MAX)
        return ft_fail(w->fault, FT_EINVAL, "%s:%u: one rule too many, expected at most %u", w->file->path,
                       w->line, FW_RULES_MAX);
    struct fw_rule rule = {.line = (uint16_t)w->line};
    int rc = read_rule(w, rules, &rule);
    if (rc == FT_OK)
        rules->list[rules->count++] = rule;
    return rc;
}

int fw_rules_read(struct fw_rules *rules, const struct nf_file *file, struct ft_fault *fault)
{
    struct fw_words w = {.file = file, .fault = fault};
    struct fw_rule defaults[2] = {{.proto = FW_ANY, .sides = 1 << NF_OUTSIDE},
                                  {.proto = FW_ANY, .sides = 1 << NF_INSIDE}};
    int rc = FT_OK;

    rules->count = rules->hosts = 0;
    while (rc == FT_OK && fw_words_line(&w, &rc))
        rc = read_line(&w, rules, defaults);
    memcpy(&rules->list[rules->count], defaults, sizeof(defaults));
    return rc;
}

uint32_t fw_rules_match(const struct fw_rules *rules, const struct fw_rule list[], const struct nf_packet *p)
{
    uint32_t i = 0;
    while (i < rules->count && !fw_rule_matches(rules, &list[i], p))
        i++;
    return i < rules->count ? i : rules->count + (p->side == NF_INSIDE);
}

static bool same_host(const struct fw_rules *now, uint32_t a, const struct fw_rules *was, uint32_t b)
{
    return !a == !b && (!a || (now->host[a - 1].bits == was->host[b - 1].bits &&
                               nf_addr_same(&now->host[a - 1].addr, &was->host[b - 1].addr)));
}

/* But for hits and action. */
static bool fw_same_rule(const struct fw_rules *now, const struct fw_rule *a, const struct fw_rules *was,
                         const struct fw_rule *b)
{
    struct fw_rule other = *b;

    if (a->ipv6 && b->ipv6 && same_host(now, a->saddr, was, b->saddr) &&
        same_host(now, a->daddr, was, b->daddr)) {
        other.saddr = a->saddr;
        other.daddr = a->daddr;
    }
    return memcmp(&a->saddr, &other.saddr,
                  offsetof(struct fw_rule, line) - offsetof(struct fw_rule, saddr)) == 0 &&
           memcmp(&a->sides, &other.sides, sizeof(*a) - offsetof(struct fw_rule, sides)) == 0;
}

static void carry_rule(struct fw_rule *to, const struct fw_rule *now, const struct fw_rule *was,
                       const struct fw_rule *live)
{
    to->hits = live->hits;
    to->action = now->action == was->action ? live->action : now->action;
}

void fw_rules_carry(struct fw_rule to[], const struct fw_rules *now, const struct fw_rules *was,
                    const struct fw_rule live[])
{
    uint32_t next = 0; /* lists differ little, so the next rule is most often there */

    for (uint32_t i = 0; i < now->count; i++)
        for (uint32_t n = 0; n < was->count; n++) {
            uint32_t old = next + n < was->count ? next + n : next + n - was->count;

            if (fw_same_rule(now, &now->list[i], was, &was->list[old])) {
                carry_rule(&to[i], &now->list[i], &was->list[old], &live[old]);
                next = old + 1 < was->count ? old + 1 : 0;
                break;
            }
        }
    for (uint32_t i = 0; i < 2; i++) /* the defaults */
        carry_rule(&to[now->count + i], &now->list[now->count + i], &was->list[was->count + i],
                   &live[was->count + i]);
}
