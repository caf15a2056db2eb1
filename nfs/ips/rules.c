/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the rules of ips: lines, the header of each and its options, which are held against each other, and
 * the automata that find their contents. While a configuration is checked, never on the packet path.
 */
#include "nfs/ips/rules.h"

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

/* ---- lines --------------------------------------------------------------------------------------------- */

#define LINE_MAX_BYTES 8192u
#define WORD_MAX       1024u

/* A line that is being read. `at` is what is left of it. */
struct ips_line {
    struct ips_rules *rules;
    const char *path;
    unsigned line;
    char *at;
    const char *expected; /* of the option that is read, where it knows better than the table of options */
    struct ft_fault *fault;
};

const char *const ips_action_names[] = {"off", "alert", "drop", "reject", NULL};

/* "FILE:LINE: 'what is there', expected …". */
static int ips_expected(const struct ips_line *l, const char *what)
{
    return *l->at ? ft_fail(l->fault, FT_EINVAL, "%s:%u: '%.40s', expected %s", l->path, l->line, l->at, what)
                  : ft_fail(l->fault, FT_EINVAL, "%s:%u: the line ends, expected %s", l->path, l->line, what);
}

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
    return rules->hosts < IPS_LIST_MAX && nf_net_parse(word, &rules->host[rules->hosts]) &&
           !nf_net_has_host_bits(&rules->host[rules->hosts]) && ++rules->hosts;
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

/* An option: its value, "" for none, which may be cut up. */
struct option {
    const char *name;
    bool (*read)(struct ips_line *l, struct ips_rule *rule, char *value);
    const char *expected;
};

/* ---- text ----------------------------------------------------------------------------------------- */

/* What is between quotes; false: there are none. */
static bool unquote(char **value)
{
    size_t n = strlen(*value);

    if (n < 2 || **value != '"' || (*value)[n - 1] != '"')
        return false;
    (*value)[n - 1] = 0;
    *value += 1;
    return true;
}

static bool put_byte(struct ips_rules *rules, int byte)
{
    if (rules->used == IPS_TEXT_MAX)
        return false;
    rules->text[rules->used++] = (char)byte;
    return true;
}

/* The character at *at, which may be escaped; -1: there is none. */
static int read_char(const char **at)
{
    if (**at == '\\' && !strchr("\";:\\|", (*at)[1]))
        return -1;
    *at += **at == '\\';
    return **at ? (unsigned char)*(*at)++ : -1;
}

static bool read_msg(struct ips_line *l, struct ips_rule *rule, char *value)
{
    const char *at = value;

    if (rule->msg || !unquote(&value) || !*value)
        return false;
    rule->msg = l->rules->used;
    for (at = value; *at;) {
        int c = read_char(&at);

        if (c < ' ' || c == 0x7f || !put_byte(l->rules, c))
            return false;
    }
    return put_byte(l->rules, 0);
}

/* ---- contents ------------------------------------------------------------------------------------- */

/* Bytes as two digits each, up to the next '|'. */
static bool read_hex(struct ips_rules *rules, const char **at)
{
    for (*at += 1; **at != '|'; *at += 2) {
        *at += strspn(*at, " ");
        if (**at == '|')
            break;
        if (ips_hex_digit((*at)[0]) < 0 || ips_hex_digit((*at)[1]) < 0 ||
            !put_byte(rules, ips_hex_digit((*at)[0]) << 4 | ips_hex_digit((*at)[1])))
            return false;
    }
    *at += 1;
    return true;
}

static bool read_content(struct ips_line *l, struct ips_rule *rule, char *value)
{
    struct ips_rules *rules = l->rules;
    struct ips_content *c = &rules->content[rules->contents];
    const char *at;

    if (rules->contents == IPS_CONTENTS_MAX || !unquote(&value))
        return false;
    *c = (struct ips_content){.rule = rules->count, .at = rules->used};
    for (at = value; *at;) {
        int byte = 0;

        if (*at == '|' ? !read_hex(rules, &at)
                       : *at == '"' || (byte = read_char(&at)) < 0 || !put_byte(rules, byte))
            return false;
    }
    if (rules->used == c->at || rules->used - c->at > IPS_BYTES_MAX - rules->bytes)
        return false;
    c->len = (uint16_t)(rules->used - c->at);
    rules->bytes += c->len;
    rules->contents++;
    rule->contents++;
    return true;
}

/* A pattern, behind the content before it. */
static bool read_pcre(struct ips_line *l, struct ips_rule *rule, char *value)
{
    struct ips_rules *rules = l->rules;

    if (!rule->contents)
        l->expected = "a content before the pattern";
    else if (rules->contents == IPS_CONTENTS_MAX || rules->pcres == IPS_PCRES_MAX)
        l->expected = "256 patterns in all at most, 16384 with the contents";
    else if (!unquote(&value))
        return false;
    else
        l->expected = ips_pcre_read(&rules->pcre[rules->pcres], value);
    if (l->expected)
        return false;
    rules->content[rules->contents++] =
        (struct ips_content){.rule = rules->count, .pcre = (uint16_t)++rules->pcres, .relative = true};
    rule->contents++;
    return true;
}

/* The content that a modifier is about, NULL: none. */
static struct ips_content *last_content(struct ips_line *l, const struct ips_rule *rule)
{
    struct ips_content *last = rule->contents ? &l->rules->content[l->rules->contents - 1] : NULL;

    return last && !last->pcre ? last : NULL;
}

static bool read_nocase(struct ips_line *l, struct ips_rule *rule, char *value)
{
    struct ips_content *c = last_content(l, rule);

    if (!c || *value || c->nocase)
        return false;
    return c->nocase = true;
}

static bool read_offset(struct ips_line *l, struct ips_rule *rule, char *value)
{
    struct ips_content *c = last_content(l, rule);

    return c && !c->relative && !c->offset && nf_number_parse(value, 0, 65535, &c->offset);
}

static bool read_depth(struct ips_line *l, struct ips_rule *rule, char *value)
{
    struct ips_content *c = last_content(l, rule);

    return c && !c->relative && !c->depth && nf_number_parse(value, c->len, 65535, &c->depth);
}

static bool may_be_relative(const struct ips_rule *rule, const struct ips_content *c)
{
    return c && rule->contents > 1 && !c->offset && !c->depth;
}

static bool read_distance(struct ips_line *l, struct ips_rule *rule, char *value)
{
    struct ips_content *c = last_content(l, rule);

    if (!may_be_relative(rule, c) || c->distance)
        return false;
    c->relative = true;
    return nf_number_parse(value, 0, c->within ? IPS_WINDOW - c->within : 65535, &c->distance);
}

static bool read_within(struct ips_line *l, struct ips_rule *rule, char *value)
{
    struct ips_content *c = last_content(l, rule);

    if (!may_be_relative(rule, c) || c->within || c->distance > IPS_WINDOW)
        return false;
    c->relative = true;
    return nf_number_parse(value, c->len, IPS_WINDOW - c->distance, &c->within);
}

/* ---- the rule's own ------------------------------------------------------------------------------- */

static bool read_sid(struct ips_line *l, struct ips_rule *rule, char *value)
{
    (void)l;
    return !rule->sid && nf_number_parse(value, 1, UINT32_MAX - 1, &rule->sid);
}

static bool read_rev(struct ips_line *l, struct ips_rule *rule, char *value)
{
    (void)l;
    return !rule->rev && nf_number_parse(value, 1, UINT32_MAX - 1, &rule->rev);
}

static bool read_flow(struct ips_line *l, struct ips_rule *rule, char *value)
{
    static const struct {
        const char *name;
        uint8_t bit;
    } words[] = {{"established", IPS_ESTABLISHED},
                 {"to_server", IPS_TO_SERVER},
                 {"from_client", IPS_TO_SERVER},
                 {"to_client", IPS_TO_CLIENT},
                 {"from_server", IPS_TO_CLIENT}};
    char *rest, *word;

    (void)l;
    if (rule->flow)
        return false;
    for (word = strtok_r(value, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest)) {
        unsigned i = 0;

        while (i < 5 && strcmp(word, words[i].name) != 0)
            i++;
        if (i == 5 || rule->flow & words[i].bit)
            return false;
        rule->flow |= words[i].bit;
    }
    return rule->flow && (rule->flow & 6) != 6;
}

static bool read_threshold(struct ips_line *l, struct ips_rule *rule, char *value)
{
    static const char *const types[] = {"", "limit", "threshold", "both"};
    static const char *const tracks[] = {"by_src", "by_dst"};
    char *rest, *word;
    bool tracked = false;

    (void)l;
    if (rule->threshold)
        return false;
    for (word = strtok_r(value, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        char key[16], is[16];
        unsigned i = 0;

        if (sscanf(word, " %15s %15s", key, is) != 2)
            return false;
        if (strcmp(key, "type") == 0 && !rule->threshold) {
            for (i = 3; i && strcmp(is, types[i]) != 0; i--)
                ;
            rule->threshold = (uint8_t)i;
            if (!i)
                return false;
        } else if (strcmp(key, "track") == 0 && !tracked) {
            rule->by_dst = strcmp(is, tracks[1]) == 0;
            tracked = rule->by_dst || strcmp(is, tracks[0]) == 0;
        } else if (!(strcmp(key, "count") == 0 && !rule->count &&
                     nf_number_parse(is, 1, 65535, &rule->count)) &&
                   !(strcmp(key, "seconds") == 0 && !rule->seconds &&
                     nf_number_parse(is, 1, 86400, &rule->seconds))) {
            return false;
        }
    }
    return rule->threshold && tracked && rule->count && rule->seconds;
}

/* Options that inform people elsewhere, and match nothing. */
static bool read_remark(struct ips_line *l, struct ips_rule *rule, char *value)
{
    (void)l;
    (void)rule;
    return *value;
}

static const struct option options[] = {
    {"msg", read_msg, "one msg:\"TEXT\" without control characters"},
    {"content", read_content,
     "content:\"BYTES\", |hex| in it, not negated, 16384 contents and 65535 bytes in all at most"},
    {"pcre", read_pcre, "pcre:\"/PATTERN/R\""},
    {"nocase", read_nocase, "nocase behind its content, once and without a value"},
    {"offset", read_offset, "offset:0 to 65535 behind a content that is not relative"},
    {"depth", read_depth, "depth:N from the content's length to 65535, behind one that is not relative"},
    {"distance", read_distance,
     "distance:0 to 65535, with within 1024 in all, behind a rule's second content or a later one"},
    {"within", read_within,
     "within:N from the content's length on, with distance 1024 in all, behind a rule's second content or a "
     "later one"},
    {"flow", read_flow, "one flow: of established, to_server or from_client, to_client or from_server"},
    {"threshold", read_threshold,
     "one threshold:type limit|threshold|both, track by_src|by_dst, count 1 to 65535, seconds 1 to 86400"},
    {"sid", read_sid, "one sid:NUMBER"},
    {"rev", read_rev, "one rev:NUMBER"},
    {"classtype", read_remark, "a value"},
    {"metadata", read_remark, "a value"},
    {"priority", read_remark, "a value"},
    {"reference", read_remark, "a value"},
};
#define OPTIONS (sizeof(options) / sizeof(*options))

/* Cuts the next option off: its name and its value; false: it has no end. */
static bool cut_option(char **at, char **name, char **value)
{
    char *end = *at + strspn(*at, "abcdefghijklmnopqrstuvwxyz_"), *c;
    bool quoted = false;

    *name = *at;
    c = end + strspn(end, " \t");
    if (*c == ':')
        c += 1 + strspn(c + 1, " \t");
    else if (*c != ';')
        return false;
    *value = c;
    for (; *c && (quoted || *c != ';'); c++) {
        if (*c == '"')
            quoted = !quoted;
        if (*c == '\\' && c[1])
            c++;
    }
    if (!*c)
        return false;
    *c = 0;
    *end = 0;
    *at = c + 1;
    while (c > *value && (c[-1] == ' ' || c[-1] == '\t'))
        *--c = 0;
    return true;
}

static int read_option(struct ips_line *l, struct ips_rule *rule)
{
    char shown[48], *name, *value;
    unsigned i = 0;

    snprintf(shown, sizeof(shown), "%.40s", l->at);
    if (!cut_option(&l->at, &name, &value))
        return ips_expected(l, "NAME:VALUE; or NAME; or ) and the end of the line");
    while (i < OPTIONS && strcmp(name, options[i].name) != 0)
        i++;
    if (i == OPTIONS)
        return ft_fail(
            l->fault, FT_EINVAL,
            "%s:%u: option '%.40s', expected msg, content, pcre, nocase, offset, depth, distance, within, "
            "flow, threshold, sid, rev, classtype, metadata, priority or reference",
            l->path, l->line, name);
    l->expected = NULL;
    return options[i].read(l, rule, value)
               ? FT_OK
               : ft_fail(l->fault, FT_EINVAL, "%s:%u: '%s', expected %s", l->path, l->line, shown,
                         l->expected ? l->expected : options[i].expected);
}

/* What follows the rule's header, from its parenthesis on. */
static int ips_options_read(struct ips_line *l, struct ips_rule *rule)
{
    struct ips_content *c;
    int error = FT_OK;

    if (*l->at != '(')
        return ips_expected(l, "( and the rule's options");
    rule->content = l->rules->contents;
    if (!l->rules->used)
        put_byte(l->rules, 0); /* a rule without msg has this one */
    for (l->at++; l->at += strspn(l->at, " \t"), *l->at != ')' && !error;)
        error = read_option(l, rule);
    if (error)
        return error;
    l->at += 1 + strspn(l->at + 1, " \t");
    if (*l->at)
        return ips_expected(l, "the end of the line");
    if (!rule->sid || !rule->contents)
        return ft_fail(l->fault, FT_EINVAL, "%s:%u: a rule without %s, expected one", l->path, l->line,
                       rule->sid ? "content" : "sid");
    c = &l->rules->content[rule->content];
    for (uint32_t i = 0; i < rule->contents; i++) /* chains end before a content that stands by itself */
        c[i].last = i + 1 == rule->contents || !c[i + 1].relative;
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
    if (!error && ((error = make_automaton(rules, false)) != 0 || (error = make_automaton(rules, true)) != 0))
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
