/* SPDX-License-Identifier: Apache-2.0 */
/* A plain model of the rules of ips; see ips_model.h. */
#include "tests/help/ips_model.h"
#include "tests/help/chain.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- the model ------------------------------------------------------------------------------------ */

struct help_rule help_rules[HELP_RULES];
uint64_t help_rule_draws;

static uint32_t below(uint32_t n)
{
    return help_below(&help_rule_draws, n);
}

static bool ends_here(const struct help_content_of *c, const char *stream, uint32_t end)
{
    for (uint32_t i = 0; i < c->len; i++) {
        char a = stream[end - c->len + i], b = c->bytes[i];

        if (c->nocase ? tolower(a) != tolower(b) : a != b)
            return false;
    }
    return true;
}

/* A pattern ends here that has begun at the end of the content before it, or behind that. */
static bool pattern_ends_here(const struct help_content_of *c, const char *stream, uint32_t end)
{
    char text[HELP_STREAM + 1];
    uint32_t from = c[-1].count ? c[-1].ends[0] : end;

    for (; from < end; from++) {
        bool begins = !c->anchored;

        for (uint32_t i = 0; i < c[-1].count && !begins; i++)
            begins = c[-1].ends[i] == from;
        if (!begins)
            continue;
        memcpy(text, stream + from, end - from);
        text[end - from] = 0;
        if (regexec(&c->regex, text, 0, NULL, 0) == 0)
            return true;
    }
    return false;
}

static bool is_wanted(const struct help_content_of *c, uint32_t end)
{
    uint32_t start = end - c->len;

    if (c->pattern[0])
        return true;
    if (!c->relative)
        return start >= c->offset && (!c->depth || end <= c->offset + c->depth);
    for (uint32_t i = 0; i < c[-1].count; i++) {
        uint32_t before = c[-1].ends[i];

        if (start >= before + c->distance && (!c->within || end <= before + c->distance + c->within))
            return true;
    }
    return false;
}

static void found(struct help_rule *r, struct help_content_of *c, uint32_t end)
{
    if (!is_wanted(c, end))
        return;
    c->ends[c->count++] = end;
    for (uint32_t i = 0; i < r->contents; i++)
        if ((i + 1 == r->contents || !r->content[i + 1].relative) && !r->content[i].count)
            return;
    if (c != &r->content[r->contents - 1] && c[1].relative)
        return;
    r->hits++;
    for (uint32_t i = 0; i < r->contents; i++)
        r->content[i].count = 0;
}

/* Of what ends at one place, patterns come first, then contents as they are, and the longer ones. */
void help_rules_match(const char *stream, uint32_t n)
{
    for (uint32_t end = 1; end <= n; end++) {
        for (uint32_t i = 0; i < HELP_RULES * HELP_CONTENTS; i++) {
            struct help_rule *r = &help_rules[i / HELP_CONTENTS];
            struct help_content_of *c = &r->content[i % HELP_CONTENTS];

            if (i % HELP_CONTENTS < r->contents && c->pattern[0] && pattern_ends_here(c, stream, end))
                found(r, c, end);
        }
        for (unsigned nocase = 0; nocase < 2; nocase++)
            for (uint32_t len = 8; len > 0; len--)
                for (uint32_t i = 0; i < HELP_RULES * HELP_CONTENTS; i++) {
                    struct help_rule *r = &help_rules[i / HELP_CONTENTS];
                    struct help_content_of *c = &r->content[i % HELP_CONTENTS];

                    if (i % HELP_CONTENTS < r->contents && !c->pattern[0] && c->len == len &&
                        c->nocase == nocase && len <= end && ends_here(c, stream, end))
                        found(r, c, end);
                }
    }
}

/* ---- random rules and streams --------------------------------------------------------------------- */

char help_rules_letter(void)
{
    return "abABc"[below(5)];
}

static void draw_content(struct help_content_of *c, bool first)
{
    memset(c, 0, sizeof(*c));
    c->len = 1 + below(4);
    for (uint32_t i = 0; i < c->len; i++)
        c->bytes[i] = help_rules_letter();
    c->nocase = below(2);
    c->relative = !first && below(3);
    if (c->relative) {
        c->distance = below(2) ? below(40) : 0;
        c->within = below(2) ? c->len + below(30) : 0;
    } else if (below(3) == 0) {
        c->offset = below(300);
        c->depth = below(2) ? c->len + below(300) : 0;
    }
}

/* What POSIX and Perl write alike. */
static void draw_pattern(struct help_content_of *c)
{
    static const char *const atoms[] = {"a",      "b",     "[ab]",  "[^a]",    ".",
                                        "(a|bc)", "(ab?)", "[a-c]", "(b|c|AB)"};
    static const char *const times[] = {"", "", "*", "+", "?", "{2}", "{1,3}", "{2,}"};
    char posix[96];

    memset(c, 0, sizeof(*c));
    c->relative = true;
    c->nocase = below(2);
    c->anchored = below(2);
    for (uint32_t n = 1 + below(3); n; n--) {
        strcat(c->pattern, atoms[below(9)]);
        strcat(c->pattern, times[below(8)]);
    }
    strcat(c->pattern, &"abc"[below(3)]); /* something, so that it does not match nothing */
    snprintf(posix, sizeof(posix), "^(%s)$", c->pattern);
    assert_int_equal(regcomp(&c->regex, posix, REG_EXTENDED | REG_NOSUB | (c->nocase ? REG_ICASE : 0)), 0);
}

static void write_content(char *text, const struct help_content_of *c)
{
    if (c->pattern[0]) {
        sprintf(text, " pcre:\"/%s%s/R%s\";", c->anchored ? "^" : "", c->pattern, c->nocase ? "i" : "");
        return;
    }
    char *at = text + sprintf(text, " content:\"%.*s\";", (int)c->len, c->bytes);

    if (c->nocase)
        at += sprintf(at, " nocase;");
    if (c->offset)
        at += sprintf(at, " offset:%u;", c->offset);
    if (c->depth)
        at += sprintf(at, " depth:%u;", c->depth);
    if (c->relative && (c->distance || !c->within))
        at += sprintf(at, " distance:%u;", c->distance);
    if (c->within)
        sprintf(at, " within:%u;", c->within);
}

void help_rules_draw(char *text)
{
    for (uint32_t i = 0; i < HELP_RULES; i++) {
        help_rules[i].hits = 0;
        help_rules[i].contents = 1 + below(HELP_CONTENTS);
        text += sprintf(text, "alert tcp any any -> any 80 (sid:%u;", i + 1);
        for (uint32_t n = 0; n < help_rules[i].contents; n++) {
            if (n && below(4) == 0)
                draw_pattern(&help_rules[i].content[n]);
            else
                draw_content(&help_rules[i].content[n], n == 0);
            write_content(text, &help_rules[i].content[n]);
            text += strlen(text);
        }
        text += sprintf(text, ")\n");
    }
}

void help_rules_stream(char *stream, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        stream[i] = below(4) ? help_rules_letter() : (char)('d' + below(20));
}

void help_rules_free(void)
{
    for (uint32_t i = 0; i < HELP_RULES; i++)
        for (uint32_t n = 0; n < help_rules[i].contents; n++)
            if (help_rules[i].content[n].pattern[0])
                regfree(&help_rules[i].content[n].regex);
}
