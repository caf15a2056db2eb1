/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and matching the firewall's rules; see firewall_rules.h. Reading happens while a configuration is
 * checked, never on the packet path. */
#include "nfs/firewall_rules.h"
#include "nflib/net/ipv6.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 1024u

/* A line's words, one at a time, and its place in the file. */
struct fw_words {
    const char *path;
    unsigned line;
    char *word; /* NULL: no more */
    char *rest;
    struct ft_fault *fault;
};

static void next_word(struct fw_words *w)
{
    w->word = strtok_r(NULL, " \t\r\n", &w->rest);
}

static bool take_word(struct fw_words *w, const char *word)
{
    if (!w->word || strcmp(w->word, word) != 0)
        return false;
    next_word(w);
    return true;
}

static int fail_expecting(const struct fw_words *w, const char *what)
{
    return w->word
               ? ft_fail(w->fault, FT_EINVAL, "%s:%u: '%.40s', expected %s", w->path, w->line, w->word, what)
               : ft_fail(w->fault, FT_EINVAL, "%s:%u: the line ends, expected %s", w->path, w->line, what);
}

/* The word up to its slash, and the bits behind it; false: it has no such form. */
static bool split_prefix(const char *word, char *text, size_t cap, uint32_t *bits)
{
    size_t n = strcspn(word, "/");

    if (n >= cap)
        return false;
    memcpy(text, word, n);
    text[n] = 0;
    return !word[n] || nf_number_parse(word + n + 1, 0, *bits, bits);
}

static bool read_ipv4(const char *word, uint32_t *addr, uint32_t *mask)
{
    char text[INET_ADDRSTRLEN];
    uint32_t bits = 32;

    if (!split_prefix(word, text, sizeof(text), &bits) || inet_pton(AF_INET, text, addr) != 1)
        return false;
    *mask = htonl(bits ? ~0u << (32 - bits) : 0);
    return !(*addr & ~*mask);
}

static bool read_ipv6(const char *word, struct fw_host *host)
{
    char text[INET6_ADDRSTRLEN];
    uint32_t bits = 128;

    if (!split_prefix(word, text, sizeof(text), &bits) || inet_pton(AF_INET6, text, host->addr) != 1)
        return false;
    host->bits = (uint8_t)bits;
    return !nf_ipv6_has_host_bits(host->addr, bits);
}

static int read_host(struct fw_words *w, struct fw_rules *rules, struct fw_rule *rule, bool source)
{
    static const char what[] = "any, A.B.C.D or A.B.C.D/0-32 without host bits, or the same of IPv6";
    uint32_t *addr = source ? &rule->saddr : &rule->daddr, *mask = source ? &rule->smask : &rule->dmask;
    bool ipv6 = w->word && strchr(w->word, ':');

    if (take_word(w, "any")) {
        *addr = *mask = 0;
        return FT_OK;
    }
    if (!w->word || (ipv6 ? rules->hosts == FW_HOSTS_MAX || !read_ipv6(w->word, &rules->host[rules->hosts])
                          : !read_ipv4(w->word, addr, mask)))
        return fail_expecting(w, ipv6 && rules->hosts == FW_HOSTS_MAX ? "at most 2048 hosts of IPv6" : what);
    if (ipv6 ? rule->ipv4 : rule->ipv6)
        return fail_expecting(w, "both hosts of a rule of one family");
    if (ipv6)
        *addr = ++rules->hosts;
    rule->ipv6 |= ipv6;
    rule->ipv4 |= !ipv6;
    next_word(w);
    return FT_OK;
}

/* "80,443,8000-8999" behind what the rule has already; how many in *count. */
static int read_ports(struct fw_words *w, struct fw_rule *rule, uint8_t *count)
{
    static const char what[] = "ports such as 80,443,8000-8999, at most 8 in a rule";
    unsigned at = rule->sports, begin = at;
    char text[256], *rest = text;
    if (!w->word || strlen(w->word) >= sizeof(text))
        return fail_expecting(w, what);
    memcpy(text, w->word, strlen(w->word) + 1);
    while (rest) {
        uint32_t first, last;
        char *one = strsep(&rest, ","), *dash = strchr(one, '-');
        if (dash)
            *dash = 0;
        if (at == FW_RANGES_MAX || !nf_number_parse(one, 0, 65535, &first))
            return fail_expecting(w, what);
        last = first;
        if (dash && !nf_number_parse(dash + 1, first, 65535, &last))
            return fail_expecting(w, what);
        rule->first[at] = (uint16_t)first;
        rule->last[at++] = (uint16_t)last;
    }
    *count = (uint8_t)(at - begin);
    next_word(w);
    return FT_OK;
}

static void read_direction(struct fw_words *w, struct fw_rule *rule)
{
    rule->sides = 1 << NF_INSIDE | 1 << NF_OUTSIDE;
    if (take_word(w, "in"))
        rule->sides = 1 << NF_OUTSIDE;
    else if (take_word(w, "out"))
        rule->sides = 1 << NF_INSIDE;
}

static int read_action(struct fw_words *w, struct fw_rule *rule)
{
    if (take_word(w, "allow"))
        rule->action = FW_ALLOW;
    else if (take_word(w, "deny"))
        rule->action = FW_DENY;
    else
        return fail_expecting(w, "allow or deny");
    read_direction(w, rule);
    return FT_OK;
}

/* One end: "from HOST [port PORTS]" or the same with "to". */
static int read_end(struct fw_words *w, struct fw_rules *rules, struct fw_rule *rule, bool source)
{
    uint8_t ports = 0;
    int rc = read_host(w, rules, rule, source);
    if (rc != FT_OK || !w->word || strcmp(w->word, "port") != 0)
        return rc;
    if (rule->proto != NF_PROTO_TCP && rule->proto != NF_PROTO_UDP)
        return fail_expecting(w, "no ports: the rule is not for tcp or udp");
    next_word(w);
    rc = read_ports(w, rule, &ports);
    if (source)
        rule->sports = ports & 15;
    else
        rule->dports = ports & 15;
    return rc;
}

static bool has_types(const struct fw_rule *rule)
{
    return rule->proto == NF_PROTO_ICMP || rule->proto == NF_PROTO_ICMPV6;
}

static int read_rule(struct fw_words *w, struct fw_rules *rules, struct fw_rule *rule)
{
    int rc = read_action(w, rule);
    if (rc != FT_OK)
        return rc;
    rule->proto = FW_ANY;
    if (!take_word(w, "any") && w->word && strcmp(w->word, "from") != 0 && strcmp(w->word, "to") != 0) {
        int proto = nf_proto_parse(w->word);
        if (proto < 0)
            return fail_expecting(w, "in, out, tcp, udp, icmp, icmpv6, any, a protocol number, from or to");
        rule->proto = (uint16_t)proto;
        next_word(w);
    }
    if (take_word(w, "from") && (rc = read_end(w, rules, rule, true)) != FT_OK)
        return rc;
    if (take_word(w, "to") && (rc = read_end(w, rules, rule, false)) != FT_OK)
        return rc;
    if (has_types(rule) && take_word(w, "type")) {
        uint32_t type;
        if (!w->word || !nf_number_parse(w->word, 0, 255, &type))
            return fail_expecting(w, "an ICMP type, 0 to 255");
        rule->first[0] = (uint16_t)type;
        rule->typed = 1;
        next_word(w);
    }
    if (!w->word)
        return FT_OK;
    if (strcmp(w->word, "port") == 0)
        return fail_expecting(w, "port behind the HOST of from or to, of tcp or udp: to any port 80");
    return fail_expecting(w, has_types(rule) ? "from, to, type or the end of the line"
                                             : "from, to or the end of the line");
}

static int read_default(struct fw_words *w, struct fw_rule defaults[2])
{
    struct fw_rule rule = {0};
    int rc = read_action(w, &rule);
    if (rc != FT_OK)
        return rc;
    if (w->word)
        return fail_expecting(w, "in, out or the end of the line");
    for (unsigned i = 0; i < 2; i++)
        if (rule.sides & defaults[i].sides) {
            defaults[i].action = rule.action;
            defaults[i].line = (uint16_t)w->line;
        }
    return FT_OK;
}

static int read_line(struct fw_words *w, struct fw_rules *rules, struct fw_rule defaults[2], char *text)
{
    text[strcspn(text, "#")] = 0;
    w->word = strtok_r(text, " \t\r\n", &w->rest);
    if (!w->word)
        return FT_OK;
    if (take_word(w, "default"))
        return read_default(w, defaults);
    if (rules->count == FW_RULES_MAX)
        return ft_fail(w->fault, FT_EINVAL, "%s:%u: one rule too many, expected at most %u", w->path, w->line,
                       FW_RULES_MAX);
    struct fw_rule rule = {.line = (uint16_t)w->line};
    int rc = read_rule(w, rules, &rule);
    if (rc == FT_OK)
        rules->list[rules->count++] = rule;
    return rc;
}

/* The next line without its end, in `text`; false: there is none. */
static bool next_line(struct fw_words *w, const struct nf_file *file, uint32_t *at, char text[LINE_MAX_BYTES],
                      int *rc)
{
    const char *line = file->bytes + *at, *end;
    size_t len;

    if (*at == file->len)
        return false;
    end = memchr(line, '\n', file->len - *at);
    len = end ? (size_t)(end - line) : file->len - *at;
    *at += (uint32_t)len + (end != NULL);
    w->line++;
    if (memchr(line, 0, len)) /* the rest of the line would be ignored */
        *rc = ft_fail(w->fault, FT_EINVAL, "%s:%u: a byte 0 in the line, expected text", w->path, w->line);
    else if (len >= LINE_MAX_BYTES - 1 || w->line > UINT16_MAX)
        *rc =
            ft_fail(w->fault, FT_EINVAL, "%s:%u: too long, expected lines under %u bytes, at most %u of them",
                    w->path, w->line, LINE_MAX_BYTES, UINT16_MAX);
    else
        snprintf(text, LINE_MAX_BYTES, "%.*s", (int)len, line);
    return *rc == FT_OK;
}

int fw_rules_read(struct fw_rules *rules, const struct nf_file *file, struct ft_fault *fault)
{
    struct fw_words w = {.path = file->path, .fault = fault};
    struct fw_rule defaults[2] = {{.proto = FW_ANY, .sides = 1 << NF_OUTSIDE},
                                  {.proto = FW_ANY, .sides = 1 << NF_INSIDE}};
    char text[LINE_MAX_BYTES];
    uint32_t at = 0;
    int rc = FT_OK;
    rules->count = rules->hosts = 0;
    while (rc == FT_OK && next_line(&w, file, &at, text, &rc))
        rc = read_line(&w, rules, defaults, text);
    memcpy(&rules->list[rules->count], defaults, sizeof(defaults));
    return rc;
}

static bool has_port(const struct fw_rule *rule, unsigned at, unsigned count, uint16_t port)
{
    for (unsigned i = at; i < at + count; i++)
        if (port >= rule->first[i] && port <= rule->last[i])
            return true;
    return count == 0;
}

static bool host_has(const struct fw_rules *rules, uint32_t place, const uint8_t addr[16])
{
    const struct fw_host *host = place ? &rules->host[place - 1] : NULL;

    return !host || nf_ipv6_in_prefix(addr, host->addr, host->bits);
}

static bool hosts_match(const struct fw_rules *rules, const struct fw_rule *rule, const struct nf_packet *p)
{
    const uint8_t *addresses;

    if (p->flags & NF_P_IPV4)
        return !rule->ipv6 && (p->saddr & rule->smask) == rule->saddr &&
               (p->daddr & rule->dmask) == rule->daddr;
    addresses = nf_packet_ipv6_addresses(p);
    return !rule->ipv4 && host_has(rules, rule->saddr, addresses) &&
           host_has(rules, rule->daddr, addresses + 16);
}

static bool rule_matches(const struct fw_rules *rules, const struct fw_rule *rule, const struct nf_packet *p,
                         uint16_t sport, uint16_t dport)
{
    return (rule->sides >> p->side & 1) && (rule->proto == FW_ANY || rule->proto == p->proto) &&
           hosts_match(rules, rule, p) && has_port(rule, 0, rule->sports, sport) &&
           has_port(rule, rule->sports, rule->dports, dport) &&
           (!rule->typed || rule->first[0] == p->icmp_type);
}

uint32_t fw_rules_match(const struct fw_rules *rules, const struct fw_rule list[], const struct nf_packet *p)
{
    uint16_t sport = ntohs(p->sport), dport = ntohs(p->dport);
    uint32_t i = 0;
    while (i < rules->count && !rule_matches(rules, &list[i], p, sport, dport))
        i++;
    return i < rules->count ? i : rules->count + (p->side == NF_INSIDE);
}

static bool same_host(const struct fw_rules *now, uint32_t a, const struct fw_rules *was, uint32_t b)
{
    return !a == !b && (!a || memcmp(&now->host[a - 1], &was->host[b - 1], sizeof(struct fw_host)) == 0);
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
