/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the rules of ips: lines, the header of each, and the automata that find their contents. Options are
 * in options.c. While a configuration is checked, never on the packet path. */
#include "nfs/ips/rules.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- automata ------------------------------------------------------------------------------------------ */

static uint8_t byte_of(const struct ips_rules *rules, const struct ips_content *c, uint32_t i)
{
    uint8_t byte = (uint8_t)rules->text[c->at + i];

    return c->nocase ? (uint8_t)tolower(byte) : byte;
}

/* Bytes of contents have classes from 1 on; all others are of class 0. */
static uint32_t make_classes(struct ips_automaton *a, const struct ips_rules *rules, bool nocase)
{
    uint32_t bytes = 0;

    a->classes = 1;
    for (uint32_t n = 0; n < rules->contents; n++) {
        const struct ips_content *c = &rules->content[n];

        for (uint32_t i = 0; c->nocase == nocase && i < c->len; i++, bytes++) /* a pattern has none */
            if (!a->class[byte_of(rules, c, i)])
                a->class[byte_of(rules, c, i)] = (uint16_t)a->classes++;
    }
    for (unsigned byte = 'A'; nocase && byte <= 'Z'; byte++)
        a->class[byte] = a->class[tolower((int)byte)];
    return bytes;
}

/* The trie of all contents: `next` is 0 where nothing goes on. */
static void add_content(struct ips_automaton *a, struct ips_rules *rules, uint32_t n)
{
    struct ips_content *c = &rules->content[n];
    uint32_t state = 0;

    for (uint32_t i = 0; i < c->len; i++) {
        uint32_t *to = &a->next[state * a->classes + a->class[byte_of(rules, c, i)]];

        if (!*to)
            *to = a->states++;
        state = *to;
    }
    c->same = a->found[state];
    a->found[state] = n + 1;
}

/* Breadth first, so the states that a failure leads to are complete. */
static void complete(struct ips_automaton *a, uint32_t *queue, uint16_t *failure)
{
    uint32_t from = 0, to = 0;

    queue[to++] = 0;
    while (from < to) {
        uint32_t state = queue[from++], *row = &a->next[state * a->classes];
        const uint32_t *other = &a->next[failure[state] * a->classes];

        for (uint32_t class = 0; class < a->classes; class ++) {
            uint32_t next = row[class];

            if (!next) {
                row[class] = state ? other[class] : 0;
                continue;
            }
            failure[next] = (uint16_t)(state ? other[class] : 0);
            a->shorter[next] = a->found[failure[next]] ? failure[next] : a->shorter[failure[next]];
            queue[to++] = next;
        }
    }
}

static int make_automaton(struct ips_rules *rules, bool nocase)
{
    struct ips_automaton *a = &rules->automaton[nocase];
    uint32_t bytes = make_classes(a, rules, nocase), *queue = NULL;
    uint16_t *failure = NULL;
    int error = FT_ENOMEM;

    if (!bytes)
        return FT_OK;
    a->next = nf_heap_calloc((bytes + 1ull) * a->classes, sizeof(*a->next));
    a->found = nf_heap_calloc(bytes + 1, sizeof(*a->found));
    a->shorter = nf_heap_calloc(bytes + 1, sizeof(*a->shorter));
    queue = nf_heap_calloc(bytes + 1, sizeof(*queue));
    failure = nf_heap_calloc(bytes + 1, sizeof(*failure));
    if (a->next && a->found && a->shorter && queue && failure) {
        a->states = 1;
        for (uint32_t n = rules->contents; n-- > 0;)
            if (rules->content[n].nocase == nocase && !rules->content[n].pcre)
                add_content(a, rules, n);
        complete(a, queue, failure);
        for (uint32_t i = 0; i < a->states * a->classes; i++)
            if (a->found[a->next[i]] || a->shorter[a->next[i]])
                a->next[i] |= IPS_FOUND;
        error = FT_OK;
    }
    nf_heap_free(queue);
    nf_heap_free(failure);
    return error;
}

static int ips_automata_make(struct ips_rules *rules)
{
    int error = make_automaton(rules, false);

    return error ? error : make_automaton(rules, true);
}

/* ---- lines --------------------------------------------------------------------------------------------- */

#define LINE_MAX_BYTES 8192u
#define WORD_MAX       1024u

const char *const ips_action_names[] = {"off", "alert", "drop", "reject", NULL};

/* The next word of the header, up to a space or the options, in `out`; l->at stays at it until it is taken.
 * Its length; 0: there is none, or it is too long. */
static size_t peek_word(const struct ips_line *l, char out[WORD_MAX])
{
    size_t n = strcspn(l->at, " \t(");

    if (n >= WORD_MAX)
        return 0;
    memcpy(out, l->at, n);
    out[n] = 0;
    return n;
}

static void take_word(struct ips_line *l, size_t n)
{
    l->at += n;
    l->at += strspn(l->at, " \t");
}

/* ---- hosts and ports ------------------------------------------------------------------------------ */

static bool read_host(const char *word, struct ips_host *host)
{
    char text[INET6_ADDRSTRLEN];
    size_t n = strcspn(word, "/");
    bool ipv6 = memchr(word, ':', n);
    uint32_t bits = ipv6 ? 128 : 32;

    if (n >= sizeof(text) || (word[n] && !nf_number_parse(word + n + 1, 0, bits, &bits)))
        return false;
    memcpy(text, word, n);
    text[n] = 0;
    *host = (struct ips_host){.addr = {[10] = 0xff, 0xff}, .bits = (uint8_t)(ipv6 ? bits : 96 + bits)};
    return inet_pton(ipv6 ? AF_INET6 : AF_INET, text, host->addr + (ipv6 ? 0 : 12)) == 1 &&
           !nf_ipv6_has_host_bits(host->addr, host->bits);
}

/* N, N:M, :M or N: */
static bool read_range(const char *word, struct ips_range *range)
{
    char text[8];
    size_t n = strcspn(word, ":");
    uint32_t first = 0, last = 65535;

    if (n >= sizeof(text) || strcmp(word, ":") == 0)
        return false;
    memcpy(text, word, n);
    text[n] = 0;
    if (n && !nf_number_parse(text, 0, 65535, &first))
        return false;
    if (!word[n])
        last = first;
    else if (word[n + 1] && !nf_number_parse(word + n + 1, first, 65535, &last))
        return false;
    *range = (struct ips_range){(uint16_t)first, (uint16_t)last};
    return true;
}

static bool add_item(struct ips_rules *rules, const char *word, bool ports)
{
    if (ports)
        return rules->ranges < IPS_LIST_MAX && read_range(word, &rules->range[rules->ranges]) &&
               ++rules->ranges;
    return rules->hosts < IPS_LIST_MAX && read_host(word, &rules->host[rules->hosts]) && ++rules->hosts;
}

/* "any", one, or "[one,another]", "!" before them. */
static int read_set(struct ips_line *l, struct ips_set *set, bool ports)
{
    const char *what = ports
                           ? "any, a port, N:M, a list of those in [], or ! and one of them"
                           : "any, an address or ADDRESS/BITS without host bits, a list of those in [], or ! "
                             "and one of them";
    struct ips_rules *rules = l->rules;
    char word[WORD_MAX], *at = word, *item, *rest;
    size_t n = peek_word(l, word), len;

    *set = (struct ips_set){.from = (uint16_t)(ports ? rules->ranges : rules->hosts)};
    if (!n)
        return ips_expected(l, what);
    if (strcmp(word, "any") == 0) {
        take_word(l, n);
        return FT_OK;
    }
    set->not = *at == '!';
    at += set->not ;
    len = strlen(at);
    if (*at == '[') {
        if (len < 3 || at[len - 1] != ']' || at[len - 2] == ',' || at[1] == ',' || strstr(at, ",,"))
            return ips_expected(l, what);
        at[len - 1] = 0;
        at++;
    } else if (strchr(at, ',') || !len) {
        return ips_expected(l, what);
    }
    for (item = strtok_r(at, ",", &rest); item; item = strtok_r(NULL, ",", &rest), set->count++)
        if (!add_item(rules, item, ports))
            return ips_expected(l, what);
    take_word(l, n);
    return FT_OK;
}

/* ---- a rule --------------------------------------------------------------------------------------- */

static int read_action(struct ips_line *l, struct ips_rule *rule)
{
    char word[WORD_MAX];
    size_t n = peek_word(l, word);

    for (rule->action = IPS_ALERT; rule->action < IPS_ACTIONS; rule->action++)
        if (strcmp(word, ips_action_names[rule->action]) == 0 && n)
            break;
    if (rule->action == IPS_ACTIONS)
        return ips_expected(l, "alert, drop or reject");
    take_word(l, n);
    n = peek_word(l, word);
    if (!n || (strcmp(word, "tcp") != 0 && strcmp(word, "udp") != 0))
        return ips_expected(l, "tcp or udp");
    rule->proto = word[0] == 't' ? NF_PROTO_TCP : NF_PROTO_UDP;
    take_word(l, n);
    return FT_OK;
}

static int read_rule(struct ips_line *l)
{
    struct ips_rules *rules = l->rules;
    struct ips_rule *rule = &rules->rule[rules->count];
    char word[WORD_MAX];
    int error = read_action(l, rule);

    if (error || (error = read_set(l, &rule->host[0], false)) != 0 ||
        (error = read_set(l, &rule->port[0], true)) != 0)
        return error;
    size_t n = peek_word(l, word);

    if (!n || (strcmp(word, "->") != 0 && strcmp(word, "<>") != 0))
        return ips_expected(l, "-> or <>");
    rule->both = word[0] == '<';
    take_word(l, n);
    if ((error = read_set(l, &rule->host[1], false)) != 0 || (error = read_set(l, &rule->port[1], true)) != 0)
        return error;
    rule->line = l->line;
    error = ips_options_read(l, rule);
    if (!error && ips_rules_find(rules, rule->sid) != NF_NONE)
        error = ft_fail(l->fault, FT_EINVAL, "%s:%u: sid %u is another rule's, expected one of its own",
                        l->path, l->line, rule->sid);
    rules->count += !error;
    return error;
}

uint32_t ips_rules_find(const struct ips_rules *rules, uint32_t sid)
{
    for (uint32_t i = 0; i < rules->count; i++)
        if (rules->rule[i].sid == sid)
            return i;
    return NF_NONE;
}

static int read_line(struct ips_line *l, char *text)
{
    text[strcspn(text, "\r\n")] = 0;
    l->at = text + strspn(text, " \t");
    if (!*l->at || *l->at == '#')
        return FT_OK;
    if (l->rules->count == IPS_RULES_MAX)
        return ft_fail(l->fault, FT_EINVAL, "%s:%u: one rule too many, expected at most %u", l->path, l->line,
                       IPS_RULES_MAX);
    return read_rule(l);
}

/* `text` has room for a line. */
static int read_lines(struct ips_line *l, const struct nf_file *file, char *text)
{
    int error = FT_OK;

    for (uint32_t at = 0; at < file->len && !error;) {
        const char *line = file->bytes + at, *end = memchr(line, '\n', file->len - at);
        size_t len = end ? (size_t)(end - line) : file->len - at;

        at += (uint32_t)len + (end != NULL);
        l->line++;
        if (memchr(line, 0, len)) /* the rest of the line would be ignored */
            return ft_fail(l->fault, FT_EINVAL, "%s:%u: a byte 0 in the line, expected text", l->path,
                           l->line);
        if (len >= LINE_MAX_BYTES)
            return ft_fail(l->fault, FT_EINVAL, "%s:%u: %zu bytes, expected a line under %u", l->path,
                           l->line, len, LINE_MAX_BYTES);
        memcpy(text, line, len);
        text[len] = 0;
        error = read_line(l, text);
    }
    return error;
}

int ips_rules_read(struct ips_rules **out, const struct nf_file *file, struct ft_fault *fault)
{
    struct ips_rules *rules = nf_heap_calloc(1, sizeof(*rules));
    struct ips_line l = {.rules = rules, .path = file->path, .fault = fault};
    char text[LINE_MAX_BYTES];
    int error;

    *out = NULL;
    if (!rules)
        return ft_fail(fault, FT_ENOMEM, "%s: no memory for the rules", file->path);
    error = read_lines(&l, file, text);
    if (!error && (error = ips_automata_make(rules)) != 0)
        ft_fail(fault, error, "%s: no memory for what finds %u bytes of contents", file->path, rules->bytes);
    if (error)
        ips_rules_free(rules);
    else
        *out = rules;
    return error;
}

void ips_rules_free(struct ips_rules *rules)
{
    for (unsigned i = 0; rules && i < 2; i++) {
        nf_heap_free(rules->automaton[i].next);
        nf_heap_free(rules->automaton[i].found);
        nf_heap_free(rules->automaton[i].shorter);
    }
    nf_heap_free(rules);
}
