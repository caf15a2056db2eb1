/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the options of a rule of ips, from its parenthesis on, and holds them against each other. See
 * nfs/ips/rules.h; owns nothing. */
#include "nfs/ips/rules.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ips_expected(const struct ips_line *l, const char *what)
{
    return *l->at ? ft_fail(l->fault, FT_EINVAL, "%s:%u: '%.40s', expected %s", l->path, l->line, l->at, what)
                  : ft_fail(l->fault, FT_EINVAL, "%s:%u: the line ends, expected %s", l->path, l->line, what);
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

/* What people are told by rules elsewhere, and matches nothing. */
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

/* Chains end before a content that stands by itself. */
static void end_chains(struct ips_rules *rules, const struct ips_rule *rule)
{
    struct ips_content *c = &rules->content[rule->content];

    for (uint32_t i = 0; i < rule->contents; i++)
        c[i].last = i + 1 == rule->contents || !c[i + 1].relative;
}

int ips_options_read(struct ips_line *l, struct ips_rule *rule)
{
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
    end_chains(l->rules, rule);
    return FT_OK;
}
