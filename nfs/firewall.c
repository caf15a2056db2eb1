/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firewall: stateful packet filter. What begins a connection is judged by the rules; what belongs to one that
 * was allowed passes without them, both ways, and so do ICMP errors about it.
 * State, written by this instance alone: the connections, which are its slots in the chain's sessions, and
 * the rules with their hits. Rules are read while a configuration is checked, never on the packet path.
 */
#include "nfs/firewall.h"
#include "nflib/net/icmp.h"
#include "nflib/state/key.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define FW_WISHES (2 * FW_RULES_MAX)

struct fw_config {
    struct nf_file rules;
    struct nf_flows_config flows;
    bool loose;
    bool ipv6;
    uint32_t unsupported;            /* enum nf_policy */
    struct fw_rules read;            /* made by check from the file */
    struct fw_wishes {               /* rules by content: a change finds them again while lanes wait */
        uint32_t hash[FW_RULES_MAX]; /* 0: a rule before it is the same */
        uint16_t rule[FW_WISHES];    /* its place + 1, by hash; 0: none */
    } wishes;
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

#define FW_COUNTERS(X)                                                                                       \
    X(FW_CREATED, "connections_created")                                                                     \
    X(FW_EXPIRED, "connections_expired")                                                                     \
    X(FW_DISPLACED, "connections_displaced") /* a new one has its place in a full table */                   \
    X(FW_KNOWN, "known")                     /* packets of connections that were there */                    \
    X(FW_ALLOWED, "allowed")         /* packets allowed by a rule, first ones of connections among them */   \
    X(FW_RELATED, "related")         /* ICMP errors about a connection */                                    \
    X(FW_ARP, "arp")                 /* and neighbour discovery of IPv6 */                                   \
    X(FW_UNSUPPORTED, "unsupported") /* what it does not judge: `unsupported` decides */                     \
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

/* Up to so many rules are walked through: an index takes 15 to 44 ns with 4, 8 or 16 rules, a walk 15 to 84,
 * 28 to 143 and 54 to 330. */
#define FW_WALK_MAX 8u

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

static int read_host(struct fw_words *w, struct fw_rules *rules, struct fw_rule *rule, bool source)
{
    static const char what[] = "any, A.B.C.D or A.B.C.D/0-32 without host bits, or the same of IPv6";
    uint32_t *addr = source ? &rule->saddr : &rule->daddr, *mask = source ? &rule->smask : &rule->dmask;
    struct nf_net net;

    if (fw_words_take(w, "any")) {
        *addr = *mask = 0;
        return FT_OK;
    }
    if (!w->word || !nf_net_parse(w->word, &net) || nf_net_has_host_bits(&net))
        return fw_words_fail(w, what);
    if (net.ipv6 ? rule->ipv4 : rule->ipv6)
        return fw_words_fail(w, "both hosts of a rule of one family");
    if (net.ipv6 && rules->hosts == FW_HOSTS_MAX)
        return fw_words_fail(w, "at most 2048 hosts of IPv6");
    if (net.ipv6)
        rules->host[rules->hosts++] = net;
    *addr = net.ipv6 ? rules->hosts : nf_addr_ipv4(&net.addr);
    *mask = net.ipv6 ? 0 : nf_net_mask_ipv4(&net);
    rule->ipv6 |= net.ipv6;
    rule->ipv4 |= !net.ipv6;
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

/* ---- matching -------------------------------------------------------------------------------------  */

static bool has_port(const struct fw_rule *rule, unsigned at, unsigned count, uint16_t port)
{
    for (unsigned i = at; i < at + count; i++)
        if (port >= rule->first[i] && port <= rule->last[i])
            return true;
    return count == 0;
}

static bool host_has(const struct fw_rules *rules, uint32_t place, const struct nf_addr *addr)
{
    return !place || nf_net_has(&rules->host[place - 1], addr);
}

static bool hosts_match(const struct fw_rules *rules, const struct fw_rule *rule, const struct nf_packet *p)
{
    if (p->flags & NF_P_IPV4)
        return !rule->ipv6 && (p->saddr & rule->smask) == rule->saddr &&
               (p->daddr & rule->dmask) == rule->daddr;
    struct nf_addr from = nf_packet_from(p, true), to = nf_packet_to(p, true);

    return !rule->ipv4 && host_has(rules, rule->saddr, &from) && host_has(rules, rule->daddr, &to);
}

bool fw_rule_matches(const struct fw_rules *rules, const struct fw_rule *rule, const struct nf_packet *p)
{
    uint16_t sport = ntohs(p->sport), dport = ntohs(p->dport);

    return (rule->sides >> p->side & 1) && (rule->proto == FW_ANY || rule->proto == p->proto) &&
           hosts_match(rules, rule, p) && has_port(rule, 0, rule->sports, sport) &&
           has_port(rule, rule->sports, rule->dports, dport) &&
           (!rule->typed || rule->first[0] == p->icmp_type);
}

static unsigned kind_spans(const struct fw_rule *rule, struct nf_span out[])
{
    uint8_t first = rule->proto == FW_ANY ? 0 : (uint8_t)rule->proto;
    uint8_t last = rule->proto == FW_ANY ? UINT8_MAX : (uint8_t)rule->proto;
    unsigned n = 0;

    for (unsigned i = 0; i < 8; i++) {
        enum nf_kind_of of = i & 1 ? NF_KIND_IPV6 : NF_KIND_IPV4;
        unsigned side = i >> 1 & 1;

        if (rule->sides >> side & 1 && !(of == NF_KIND_IPV6 ? rule->ipv4 : rule->ipv6))
            out[n++] = (struct nf_span){nf_kind(of, side, i & 4, first), nf_kind(of, side, i & 4, last)};
    }
    return n;
}

static unsigned port_spans(const struct fw_rule *rule, unsigned at, unsigned count, struct nf_span out[])
{
    for (unsigned i = 0; i < count; i++)
        out[i] = (struct nf_span){rule->first[at + i], rule->last[at + i]};
    return count;
}

unsigned fw_spans(const struct fw_rules *rules, const struct fw_rule *rule, enum nf_field field,
                  struct nf_span out[NF_SPANS_MAX])
{
    bool source = field == NF_FIELD_FROM4 || field == NF_FIELD_FROM6;
    uint32_t addr = source ? rule->saddr : rule->daddr, mask = source ? rule->smask : rule->dmask;

    out[0] = nf_span_all(field);
    if (field == NF_FIELD_KIND)
        return kind_spans(rule, out);
    if (field == NF_FIELD_SPORT && rule->sports)
        return port_spans(rule, 0, rule->sports, out);
    if (field == NF_FIELD_DPORT && rule->dports)
        return port_spans(rule, rule->sports, rule->dports, out);
    if (field == NF_FIELD_TYPE && rule->typed)
        out[0] = (struct nf_span){rule->first[0], rule->first[0]};
    else if ((field == NF_FIELD_FROM4 || field == NF_FIELD_TO4) && rule->ipv4)
        out[0] = (struct nf_span){ntohl(addr), ntohl(addr | ~mask)};
    else if ((field == NF_FIELD_FROM6 || field == NF_FIELD_TO6) && rule->ipv6 && addr)
        out[0] = nf_span_net(&rules->host[addr - 1]);
    return 1;
}

int fw_index_rules(struct fw_rules *rules,
                   unsigned (*spans)(const void *arg, uint32_t rule, enum nf_field field,
                                     struct nf_span out[NF_SPANS_MAX]),
                   const void *arg, struct ft_fault *fault)
{
    const struct nf_classifier_rules list = {.count = rules->count, .spans = spans, .arg = arg};

    return rules->count > FW_WALK_MAX ? nf_classifier_make(&rules->index, &list, fault) : FT_OK;
}

/* ---- the file --------------------------------------------------------------------------------------- */

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
    int rc = read_action(w, &rule);
    if (rc == FT_OK)
        rc = fw_read_match(w, rules, &rule);
    if (rc == FT_OK)
        rules->list[rules->count++] = rule;
    return rc;
}

/* Reads the firewall's file. FT_EINVAL with "FILE:LINE: what, what was expected". */
static int read_rules(struct fw_rules *rules, const struct nf_file *file, struct ft_fault *fault)
{
    struct fw_words w = {.file = file, .fault = fault};
    struct fw_rule defaults[2] = {{.proto = FW_ANY, .sides = 1 << NF_OUTSIDE},
                                  {.proto = FW_ANY, .sides = 1 << NF_INSIDE}};
    int rc = FT_OK;

    rules->count = rules->hosts = 0;
    rules->index = NULL;
    while (rc == FT_OK && fw_words_line(&w, &rc))
        rc = read_line(&w, rules, defaults);
    memcpy(&rules->list[rules->count], defaults, sizeof(defaults));
    return rc;
}

/* The rule that decides on a packet with its ports known; always one. `list` is what has become of
 * rules->list. */
static uint32_t match_rules(const struct fw_rules *rules, const struct fw_rule list[],
                            const struct nf_packet *p)
{
    uint32_t i = rules->index ? nf_classify(rules->index, p) : 0;
    while (!rules->index && i < rules->count && !fw_rule_matches(rules, &list[i], p))
        i++;
    return i < rules->count ? i : rules->count + (p->side == NF_INSIDE);
}

/* All of a rule of a list but its action, in one form: for comparing bytes. */
struct fw_wish {
    struct fw_rule rule; /* without what is no wish, and addresses of IPv6 */
    struct nf_addr addr[2];
    uint8_t bits[8]; /* of those */
};

static struct fw_wish wish_of(const struct fw_rules *rules, const struct fw_rule *rule)
{
    const uint32_t host[] = {rule->ipv6 ? rule->saddr : 0, rule->ipv6 ? rule->daddr : 0};
    struct fw_wish wish;

    memset(&wish, 0, sizeof(wish));
    wish.rule = *rule;
    wish.rule.hits = wish.rule.line = wish.rule.action = 0;
    for (unsigned i = 0; i < 2; i++)
        if (host[i]) {
            *(i ? &wish.rule.daddr : &wish.rule.saddr) = 1;
            wish.addr[i] = rules->host[host[i] - 1].addr;
            wish.bits[i] = rules->host[host[i] - 1].bits;
        }
    return wish;
}

/* Of two wishes, all of whose bytes are set. */
static bool same_wish(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct fw_wish)) == 0;
}

/* Where in wishes->rule the first rule of the list with this content is, or a free place. */
static uint32_t find_wish(const struct fw_wishes *wishes, const struct fw_rules *rules,
                          const struct fw_wish *wish, uint32_t hash)
{
    for (uint32_t at = hash % FW_WISHES;; at = (at + 1) % FW_WISHES) {
        uint32_t found = wishes->rule[at];
        struct fw_wish other;

        if (!found)
            return at;
        if (wishes->hash[found - 1] != hash)
            continue;
        other = wish_of(rules, &rules->list[found - 1]);
        if (same_wish(wish, &other))
            return at;
    }
}

static void index_wishes(struct fw_wishes *wishes, const struct fw_rules *rules)
{
    memset(wishes->rule, 0, sizeof(wishes->rule));
    for (uint32_t i = 0; i < rules->count; i++) {
        struct fw_wish wish = wish_of(rules, &rules->list[i]);
        uint32_t hash = (uint32_t)nf_key_hash(&wish, sizeof(wish), 0) | 1;
        uint16_t *found = &wishes->rule[find_wish(wishes, rules, &wish, hash)];

        wishes->hash[i] = *found ? 0 : hash;
        *found = *found ? *found : (uint16_t)(i + 1);
    }
}

static void carry_rule(struct fw_rule *to, const struct fw_rule *now, const struct fw_rule *was,
                       const struct fw_rule *live)
{
    to->hits = live->hits;
    to->action = now->action == was->action ? live->action : now->action;
}

/* The file has `now` where it had `was`, which have become `live` since. A rule of both, wherever it stands,
 * keeps its hits in `to`, and what an operator has set it to, unless the file gives it another action now. Of
 * rules with the same content the first one does: the others decide nothing. */
static void rules_carry(struct fw_rule to[], const struct fw_config *now, const struct fw_config *was,
                        const struct fw_rule live[])
{
    const struct fw_rules *rules = &now->read, *before = &was->read;

    for (uint32_t i = 0; i < rules->count; i++) {
        struct fw_wish wish = wish_of(rules, &rules->list[i]);
        uint32_t hash = now->wishes.hash[i], old;

        if (!hash)
            continue;
        old = was->wishes.rule[find_wish(&was->wishes, before, &wish, hash)];
        if (old)
            carry_rule(&to[i], &rules->list[i], &before->list[old - 1], &live[old - 1]);
    }
    for (uint32_t i = 0; i < 2; i++) /* the defaults */
        carry_rule(&to[rules->count + i], &rules->list[rules->count + i], &before->list[before->count + i],
                   &live[before->count + i]);
}

static bool fw_is_answer(const struct nf_packet *p)
{
    return p->flow & NF_FLOW_REPLY;
}

/* ---- connections ----------------------------------------------------------------------------------- */

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
    uint32_t rule = match_rules(&config->read, fw->rules, p);
    *NF_EDIT(nf, &fw->rules[rule].hits) += 1;
    if (fw->rules[rule].action == FW_ALLOW)
        return true;
    nf_drop(nf, p, FW_DENIED);
    return false;
}

/* `s`: a connection that is over, on whose ports it asks for another one; NULL: no connection knows it. The
 * rules judge before that one is left, so that a packet which they deny changes nothing. */
static void fw_new(const struct nf *nf, struct nf_packet *p, const struct nf_session *s, uint64_t now)
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
    if (s)
        nf_session_leave(nf, s, now);
    /* A reset ends what we do not know; there is nothing to keep. */
    if (p->proto != NF_PROTO_TCP || !(p->tcp_flags & NF_TCP_RST)) {
        s = nf_session_join(nf, p, now);
        if (!s) {
            nf_drop(nf, p, nf_session_host_full(nf, p) ? FW_HOST_FULL : FW_TABLE_FULL);
            return;
        }
        *NF_SESSION_EDIT(nf, s, struct fw_conn) =
            (struct fw_conn){.packets = 1, .by_answer = fw_is_answer(p)};
        nf_count(nf, FW_CREATED, 1);
    }
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
    /* The ports are used again, perhaps from the other side: judged anew, like any first packet. */
    if (!s || p->flow & NF_FLOW_AGAIN) {
        fw_new(nf, p, s, now);
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

/* Messages of hosts and routers of a link about addresses there (RFC 4861): as ARP. */
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

static unsigned rule_spans(const void *rules, uint32_t rule, enum nf_field field,
                           struct nf_span out[NF_SPANS_MAX])
{
    return fw_spans(rules, &((const struct fw_rules *)rules)->list[rule], field, out);
}

static int fw_check(void *c, struct ft_fault *fault)
{
    struct fw_config *config = c;
    int rc = read_rules(&config->read, &config->rules, fault);

    if (rc != FT_OK)
        return rc;
    index_wishes(&config->wishes, &config->read);
    return fw_index_rules(&config->read, rule_spans, &config->read, fault);
}

static void fw_release(void *c)
{
    nf_classifier_free(((struct fw_config *)c)->read.index);
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
    rules_carry(fw->rules, to, from, nf_was_at(was, before->rules));
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

/* Which rule denied it; a default that the file does not have stands on no line. */
static bool fw_why(const struct nf *nf, const struct nf_packet *p, char *out, size_t size)
{
    const struct fw_config *config = nf->config;
    const struct fw *fw = nf->state;
    uint32_t at;
    if (p->drop != FW_DENIED + 1)
        return false;
    at = match_rules(&config->read, fw->rules, p);
    if (at < fw->count)
        snprintf(out, size, "%s:%u, rule %u", config->rules.path, fw->rules[at].line, at + 1);
    else if (fw->rules[at].line)
        snprintf(out, size, "%s:%u, default %s", config->rules.path, fw->rules[at].line,
                 at == fw->count ? "in" : "out");
    else
        snprintf(out, size, "no rule of %s allows it, and there is no default %s", config->rules.path,
                 at == fw->count ? "in" : "out");
    return true;
}

static bool fw_drops_ipv6(const void *config)
{
    const struct fw_config *fw = config;

    return !fw->ipv6 && fw->unsupported == NF_POLICY_DROP;
}

static const struct nf_module fw_module = {
    .name = "firewall",
    .version = 2,
    .summary = "stateful packet filter with rules from a file",
    .reads = NF_READS_FLOW,
    .params = fw_params,
    .config_size = sizeof(struct fw_config),
    .state_size = sizeof(struct fw),
    .counters = fw_counters,
    .check = fw_check,
    .release = fw_release,
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
    .why = fw_why,
};
NF_MODULE(fw_module)
