/* SPDX-License-Identifier: Apache-2.0 */
/* Words of files of rules, and what they say of packets; see firewall_match.h. Reading happens while a
 * configuration is checked, never on the packet path. */
#include "nfs/firewall_match.h"
#include "nflib/net/ipv6.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* ---- words ----------------------------------------------------------------------------------------- */

void fw_words_next(struct fw_words *w)
{
    w->word = strtok_r(NULL, " \t\r\n", &w->rest);
}

bool fw_words_take(struct fw_words *w, const char *word)
{
    if (!w->word || strcmp(w->word, word) != 0)
        return false;
    fw_words_next(w);
    return true;
}

int fw_words_fail(const struct fw_words *w, const char *what)
{
    return w->word ? ft_fail(w->fault, FT_EINVAL, "%s:%u: '%.40s', expected %s", w->file->path, w->line,
                             w->word, what)
                   : ft_fail(w->fault, FT_EINVAL, "%s:%u: the line ends, expected %s", w->file->path, w->line,
                             what);
}

/* The next line without its comment, in w->text; false: there is none. */
static bool next_line(struct fw_words *w, int *error)
{
    const struct nf_file *file = w->file;
    const char *line = file->bytes + w->at, *end;
    size_t len;

    if (w->at == file->len)
        return false;
    end = memchr(line, '\n', file->len - w->at);
    len = end ? (size_t)(end - line) : file->len - w->at;
    w->at += (uint32_t)len + (end != NULL);
    w->line++;
    if (memchr(line, 0, len)) /* the rest of the line would be ignored */
        *error =
            ft_fail(w->fault, FT_EINVAL, "%s:%u: a byte 0 in the line, expected text", file->path, w->line);
    else if (len >= FW_LINE_BYTES - 1 || w->line > UINT16_MAX)
        *error =
            ft_fail(w->fault, FT_EINVAL, "%s:%u: too long, expected lines under %u bytes, at most %u of them",
                    file->path, w->line, FW_LINE_BYTES, UINT16_MAX);
    else
        snprintf(w->text, FW_LINE_BYTES, "%.*s", (int)len, line);
    w->text[strcspn(w->text, "#")] = 0;
    return *error == FT_OK;
}

bool fw_words_line(struct fw_words *w, int *error)
{
    while (next_line(w, error)) {
        w->word = strtok_r(w->text, " \t\r\n", &w->rest);
        if (w->word)
            return true;
    }
    return false;
}

/* ---- conditions ------------------------------------------------------------------------------------ */

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

    if (fw_words_take(w, "any")) {
        *addr = *mask = 0;
        return FT_OK;
    }
    if (!w->word || (ipv6 ? rules->hosts == FW_HOSTS_MAX || !read_ipv6(w->word, &rules->host[rules->hosts])
                          : !read_ipv4(w->word, addr, mask)))
        return fw_words_fail(w, ipv6 && rules->hosts == FW_HOSTS_MAX ? "at most 2048 hosts of IPv6" : what);
    if (ipv6 ? rule->ipv4 : rule->ipv6)
        return fw_words_fail(w, "both hosts of a rule of one family");
    if (ipv6)
        *addr = ++rules->hosts;
    rule->ipv6 |= ipv6;
    rule->ipv4 |= !ipv6;
    fw_words_next(w);
    return FT_OK;
}

/* "80,443,8000-8999" behind what the rule has already; how many in *count. */
static int read_ports(struct fw_words *w, struct fw_rule *rule, uint8_t *count)
{
    static const char what[] = "ports such as 80,443,8000-8999, the lower one first, at most 8 in a rule";
    unsigned at = rule->sports, begin = at;
    char text[256], *rest = text;
    if (!w->word || strlen(w->word) >= sizeof(text))
        return fw_words_fail(w, what);
    memcpy(text, w->word, strlen(w->word) + 1);
    while (rest) {
        uint32_t first, last;
        char *one = strsep(&rest, ","), *dash = strchr(one, '-');
        if (dash)
            *dash = 0;
        if (at == FW_RANGES_MAX || !nf_number_parse(one, 0, 65535, &first))
            return fw_words_fail(w, what);
        last = first;
        if (dash && !nf_number_parse(dash + 1, first, 65535, &last))
            return fw_words_fail(w, what);
        rule->first[at] = (uint16_t)first;
        rule->last[at++] = (uint16_t)last;
    }
    *count = (uint8_t)(at - begin);
    fw_words_next(w);
    return FT_OK;
}

void fw_read_direction(struct fw_words *w, struct fw_rule *rule)
{
    rule->sides = 1 << NF_INSIDE | 1 << NF_OUTSIDE;
    if (fw_words_take(w, "in"))
        rule->sides = 1 << NF_OUTSIDE;
    else if (fw_words_take(w, "out"))
        rule->sides = 1 << NF_INSIDE;
}

/* One end: "from HOST [port PORTS]" or the same with "to". */
static int read_end(struct fw_words *w, struct fw_rules *rules, struct fw_rule *rule, bool source)
{
    uint8_t ports = 0;
    int rc = read_host(w, rules, rule, source);
    if (rc != FT_OK || !w->word || strcmp(w->word, "port") != 0)
        return rc;
    if (rule->proto != NF_PROTO_TCP && rule->proto != NF_PROTO_UDP)
        return fw_words_fail(w, "no ports: the rule is not for tcp or udp");
    fw_words_next(w);
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

int fw_read_match(struct fw_words *w, struct fw_rules *rules, struct fw_rule *rule)
{
    int rc;

    rule->proto = FW_ANY;
    if (!fw_words_take(w, "any") && w->word && strcmp(w->word, "from") != 0 && strcmp(w->word, "to") != 0) {
        int proto = nf_proto_parse(w->word);
        if (proto < 0)
            return fw_words_fail(w, "in, out, tcp, udp, icmp, icmpv6, any, a protocol number, from or to");
        rule->proto = (uint16_t)proto;
        fw_words_next(w);
    }
    if (fw_words_take(w, "from") && (rc = read_end(w, rules, rule, true)) != FT_OK)
        return rc;
    if (fw_words_take(w, "to") && (rc = read_end(w, rules, rule, false)) != FT_OK)
        return rc;
    if (has_types(rule) && fw_words_take(w, "type")) {
        uint32_t type;
        if (!w->word || !nf_number_parse(w->word, 0, 255, &type))
            return fw_words_fail(w, "an ICMP type, 0 to 255");
        rule->first[0] = (uint16_t)type;
        rule->typed = 1;
        fw_words_next(w);
    }
    if (!w->word)
        return FT_OK;
    if (strcmp(w->word, "port") == 0)
        return fw_words_fail(w, "port behind the HOST of from or to, of tcp or udp: to any port 80");
    return fw_words_fail(w, has_types(rule) ? "from, to, type or the end of the line"
                                            : "from, to or the end of the line");
}

/* ---- packets --------------------------------------------------------------------------------------- */

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

bool fw_rule_matches(const struct fw_rules *rules, const struct fw_rule *rule, const struct nf_packet *p)
{
    uint16_t sport = ntohs(p->sport), dport = ntohs(p->dport);

    return (rule->sides >> p->side & 1) && (rule->proto == FW_ANY || rule->proto == p->proto) &&
           hosts_match(rules, rule, p) && has_port(rule, 0, rule->sports, sport) &&
           has_port(rule, rule->sports, rule->dports, dport) &&
           (!rule->typed || rule->first[0] == p->icmp_type);
}
