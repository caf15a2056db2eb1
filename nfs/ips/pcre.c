/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the patterns of ips, a subset of Perl's regular expressions, into automata without epsilons
 * (Glushkov: The abstract theory of automata, 1961): each byte that a pattern names is a position, and a
 * stream's state is the set of positions that it is at, a word. A part that is repeated a number of times is
 * read as often. While rules are read; owns nothing.
 */
#include "nfs/ips/pcre.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16u

/* A part of a pattern: where it may begin and end, in bits of positions. */
struct part {
    uint64_t first, last;
    bool empty; /* it may be nothing */
};

struct pattern {
    struct ips_pcre *pcre;
    const char *at;
    unsigned positions, depth;
    bool nocase, all;     /* all: `.` is a newline as well */
    const char *expected; /* where it is refused and more is known than that it is not of the subset */
};

static bool read_choice(struct pattern *p, struct part *out);

static bool refuse(struct pattern *p, const char *expected)
{
    p->expected = expected;
    return false;
}

/* ---- sets of bytes -------------------------------------------------------------------------------- */

static void put_byte(bool set[256], int byte, bool nocase)
{
    set[byte] = true;
    if (nocase && byte < 128 && isalpha(byte))
        set[byte ^ 0x20] = true;
}

static bool put_class(bool set[256], char name)
{
    static const char names[] = "dws";
    bool not = isupper((unsigned char)name);
    const char *which = strchr(names, tolower((unsigned char)name));

    if (!which || !name)
        return false;
    for (int c = 0; c < 256; c++) {
        bool is = *which == 'd'   ? c >= '0' && c <= '9'
                  : *which == 'w' ? c == '_' || (c < 128 && isalnum(c))
                                  : c == ' ' || (c >= '\t' && c <= '\r');

        set[c] |= is != not ;
    }
    return true;
}

/* What is behind a backslash, if it is one byte; -1: it is not. */
static int read_escape(struct pattern *p)
{
    static const char names[] = "nrtfv", bytes[] = "\n\r\t\f\v";
    const char *name = *p->at ? strchr(names, *p->at) : NULL;

    if (name) {
        p->at++;
        return bytes[name - names];
    }
    if (*p->at == 'x' && ips_hex_digit(p->at[1]) >= 0 && ips_hex_digit(p->at[2]) >= 0) {
        p->at += 3;
        return ips_hex_digit(p->at[-2]) << 4 | ips_hex_digit(p->at[-1]);
    }
    return *p->at && ispunct((unsigned char)*p->at) ? (unsigned char)*p->at++ : -1;
}

/* What is between brackets; p->at is behind the first. */
static bool read_set(struct pattern *p, bool set[256])
{
    bool not = *p->at == '^';

    p->at += not ;
    do {
        int from = (unsigned char)*p->at++, to;

        if (!from || from == '[')
            return false;
        if (from == '\\') {
            if (put_class(set, *p->at)) {
                p->at++;
                continue;
            }
            if ((from = read_escape(p)) < 0)
                return false;
        }
        to = from;
        if (*p->at == '-' && p->at[1] != ']') {
            p->at++;
            to = (unsigned char)*p->at++;
            if (to == '\\')
                to = read_escape(p);
            if (to < from)
                return false;
        }
        for (; from <= to; from++)
            put_byte(set, from, p->nocase);
    } while (*p->at != ']');
    p->at++;
    for (unsigned c = 0; c < 256 && not ; c++)
        set[c] = !set[c];
    return true;
}

/* ---- parts ---------------------------------------------------------------------------------------- */

static void follow(struct pattern *p, uint64_t from, uint64_t to)
{
    for (; from; from &= from - 1)
        p->pcre->follow[__builtin_ctzll(from)] |= to;
}

static bool add_position(struct pattern *p, const bool set[256], struct part *out)
{
    uint64_t bit;

    if (p->positions == 64)
        return refuse(p, "a pattern of at most 64 bytes and sets of bytes");
    bit = 1ull << p->positions++;
    for (unsigned c = 0; c < 256; c++)
        p->pcre->has[c] |= set[c] ? bit : 0;
    *out = (struct part){bit, bit, false};
    return true;
}

/* A byte, a set of them, or what is in parentheses. */
static bool read_atom(struct pattern *p, struct part *out)
{
    bool set[256] = {false}, is;
    int byte = (unsigned char)*p->at;

    if (byte == '$')
        return refuse(p, "a pattern without $: a stream has no end to stand at");
    if (!byte || strchr("*+?{}|)^", byte))
        return false;
    p->at++;
    switch (byte) {
    case '(':
        if (*p->at == '?' && p->at[1] != ':')
            return refuse(p, "a pattern that looks neither ahead nor behind: of (?…) only (?:…)");
        if (p->depth == DEPTH_MAX)
            return false;
        p->at += *p->at == '?' ? 2 : 0;
        p->depth++;
        is = read_choice(p, out) && *p->at == ')';
        p->depth--;
        p->at += is;
        return is;
    case '[':
        return read_set(p, set) && add_position(p, set, out);
    case '.':
        for (unsigned c = 0; c < 256; c++)
            set[c] = p->all || c != '\n';
        return add_position(p, set, out);
    case '\\':
        if (put_class(set, *p->at)) {
            p->at++;
            return add_position(p, set, out);
        }
        if (*p->at >= '1' && *p->at <= '9')
            return refuse(p, "a pattern without back references");
        if ((byte = read_escape(p)) < 0)
            return false;
    }
    put_byte(set, byte, p->nocase);
    return add_position(p, set, out);
}

static void append(struct pattern *p, struct part *to, const struct part *next)
{
    follow(p, to->last, next->first);
    to->first |= to->empty ? next->first : 0;
    to->last = next->last | (next->empty ? to->last : 0);
    to->empty = to->empty && next->empty;
}

/* Up to 64, which is more than a pattern has room for; `end`: behind it. */
static bool read_number(const char *at, char **end, uint32_t *number)
{
    unsigned long n;

    if (!isdigit((unsigned char)*at))
        return false;
    n = strtoul(at, end, 10);
    *number = (uint32_t)n;
    return n <= 64;
}

/* *, +, ?, {n}, {n,}, {n,m}; *most 0: any number. */
static bool read_times(struct pattern *p, uint32_t *least, uint32_t *most)
{
    char *end;

    *least = *most = 1;
    if (*p->at == '{') {
        if (!read_number(p->at + 1, &end, least))
            return false;
        *most = *least;
        if (end[0] == ',' && end[1] == '}') {
            *most = 0;
            end++;
        } else if ((*end == ',' && !read_number(end + 1, &end, most)) || !*most || *most < *least) {
            return false;
        }
        p->at = end + 1;
        return *end == '}';
    }
    if (*p->at && strchr("*+?", *p->at)) {
        *least = *p->at == '+';
        *most = *p->at == '?';
        p->at++;
    }
    return true;
}

static bool read_piece(struct pattern *p, struct part *out)
{
    const char *begin = p->at, *end;
    struct part atom;
    uint32_t least, most;

    if (!read_atom(p, &atom) || !read_times(p, &least, &most) || (*p->at && strchr("*+?{", *p->at)))
        return false;
    end = p->at;
    *out = atom;
    out->empty |= !least;
    for (uint32_t n = 1; n < (most > least ? most : least); n++) {
        p->at = begin;
        if (!read_atom(p, &atom))
            return false;
        atom.empty |= n >= least;
        append(p, out, &atom);
    }
    if (!most)
        follow(p, atom.last, atom.first);
    p->at = end;
    return true;
}

static bool read_choice(struct pattern *p, struct part *out)
{
    struct part next, row;

    *out = (struct part){0, 0, false};
    do {
        p->at += *p->at == '|' && out->first;
        if (!read_piece(p, &row))
            return false;
        while (*p->at && *p->at != '|' && *p->at != ')') {
            if (!read_piece(p, &next))
                return false;
            append(p, &row, &next);
        }
        out->first |= row.first;
        out->last |= row.last;
        out->empty |= row.empty;
    } while (*p->at == '|');
    return true;
}

/* Behind the pattern, "/FLAGS". */
static bool read_flags(struct pattern *p, const char *flag)
{
    bool relative = false;

    for (; *flag; flag++) {
        p->nocase |= *flag == 'i';
        p->all |= *flag == 's';
        relative |= *flag == 'R';
        if (!strchr("isR", *flag))
            return refuse(p, "no flags but R, i and s");
    }
    return relative || refuse(p, "the flag R: a pattern is looked for behind the content before it");
}

/* "/PATTERN/FLAGS", without the quotes. */
const char *ips_pcre_read(struct ips_pcre *pcre, char *text)
{
    struct pattern p = {.pcre = pcre,
                        .at = text + 1,
                        .expected = "a pattern of the subset that the documentation of ips tells of"};
    char *end = strrchr(text, '/');
    struct part whole;

    memset(pcre, 0, sizeof(*pcre));
    if (*text != '/' || end == text)
        return "pcre:\"/PATTERN/R\"";
    if (!read_flags(&p, end + 1))
        return p.expected;
    *end = 0;
    pcre->anchored = *p.at == '^';
    p.at += pcre->anchored;
    if (!read_choice(&p, &whole) || *p.at)
        return p.expected;
    if (whole.empty)
        return "a pattern that matches a byte at least";
    pcre->first = whole.first;
    pcre->last = whole.last;
    for (unsigned k = 0; k < 8; k++)
        for (unsigned value = 1; value < 256; value++)
            pcre->next[k][value] =
                pcre->next[k][value & (value - 1)] | pcre->follow[8 * k + (unsigned)__builtin_ctz(value)];
    return NULL;
}
