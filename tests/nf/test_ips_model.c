/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ips against plain models. One has the whole stream before it and compares every content at every place:
 * random rules, random bytes, and segments cut, doubled, overlapped and out of order in random ways. The
 * other has each byte that has passed until it is acknowledged: no other one passes in its place, and all
 * else does.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#include <ctype.h>
#include <regex.h>

/*
 * For tests of ips: random rules and streams, and a plain model that has the whole stream before it and
 * compares every content at every place.
 */

#define HELP_RULES    12u
#define HELP_CONTENTS 4u
#define HELP_STREAM   700u

struct help_content_of {
    char bytes[8];
    uint32_t len, offset, depth, distance, within;
    bool nocase, relative;
    char pattern[64]; /* it is one; "" else */
    bool anchored;
    regex_t regex;
    uint32_t ends[HELP_STREAM + 1], count; /* since the rule matched last */
};

struct help_rule {
    struct help_content_of content[HELP_CONTENTS];
    uint32_t contents, hits;
};

/* ---- the model ------------------------------------------------------------------------------------ */

static struct help_rule help_rules[HELP_RULES];

/* of the sequence that all is drawn from */
static uint64_t help_rule_draws;

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
static void help_rules_match(const char *stream, uint32_t n)
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

static char help_rules_letter(void)
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

/* Rules of sid 1 to HELP_RULES, as text. */
static void help_rules_draw(char *text)
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

static void help_rules_stream(char *stream, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        stream[i] = below(4) ? help_rules_letter() : (char)('d' + below(20));
}

static void help_rules_free(void)
{
    for (uint32_t i = 0; i < HELP_RULES; i++)
        for (uint32_t n = 0; n < help_rules[i].contents; n++)
            if (help_rules[i].content[n].pattern[0])
                regfree(&help_rules[i].content[n].regex);
}

static struct help_chain h;

/* ---- packets -------------------------------------------------------------------------------------- */

static struct nf_packet send_part(const char *stream, uint32_t isn, uint32_t at, uint32_t n, bool ipv6)
{
    static uint8_t frame[NFT_FRAME_MAX];
    struct help_segment s = HELP_SEGMENT(6, 1, 4000, 2, 80, .ipv6 = ipv6, .flags = NFT_ACK,
                                         .seq = isn + 1 + at, .ack = 501, .payload = stream + at, .len = n);

    return help_chain_send(&h, NF_INSIDE, frame, help_segment_frame(&s, frame));
}

static void begin(uint32_t isn, bool ipv6)
{
    uint8_t frame[NFT_FRAME_MAX];
    struct help_segment s = HELP_SEGMENT(6, 1, 4000, 2, 80, .ipv6 = ipv6, .flags = NFT_SYN, .seq = isn);

    assert_int_equal(help_chain_send(&h, NF_INSIDE, frame, help_segment_frame(&s, frame)).drop, 0);
}

/* Random parts that overlap, in random order within some distance; then all of it once more, in order. */
static void send_stream(const char *stream, uint32_t n, uint32_t isn, bool ipv6)
{
    uint32_t most = 1 + below(60);

    begin(isn, ipv6);
    for (uint32_t i = 0; i < 2 * n / most; i++) {
        uint32_t near = i * most / 2, at = near > 200 ? near - 200 + below(400) : below(near + 200);
        uint32_t len = 1 + below(2 * most);

        if (at < n)
            send_part(stream, isn, at, len < n - at ? len : n - at, ipv6);
    }
    for (uint32_t at = 0; at < n; at += most)
        send_part(stream, isn, at, most < n - at ? most : n - at, ipv6);
}

static uint64_t shown_hits(const char *text, uint32_t sid)
{
    char row[32];
    const char *at;

    snprintf(row, sizeof(row), "\"rule\":\"%u\"", sid);
    at = strstr(text, row);
    assert_non_null(at);
    return strtoull(strstr(at, "\"hits\":") + 7, NULL, 10);
}

CHAIN_TEST(hits_are_those_of_the_model_however_a_stream_is_cut)
{
    static char text[8192], shown[1 << 16], stream[HELP_STREAM];
    uint64_t matches = 0, kept = 0;

    for (uint32_t round = 0; round < 150; round++) {
        uint32_t n = 200 + below(HELP_STREAM - 200);

        help_rule_draws = 1000 + round;
        help_rules_draw(text);
        help_rules_stream(stream, n);
        help_rules_match(stream, n);
        help_chain_open(&h, "    - ips: { rules: firewall.rules, max_flows: 8, alerts: 4 }\n", text, round);
        h.now = HELP_SECOND;
        send_stream(stream, n, round % 3 ? (uint32_t)ft_draw(&help_rule_draws) : 0u - below(n), round & 1);
        help_chain_show(&h, "ips", shown, sizeof(shown));
        for (uint32_t i = 0; i < HELP_RULES; i++)
            if (shown_hits(shown, i + 1) != help_rules[i].hits)
                fail_msg("round %u, rule %u: %lu hits, expected %u\n%s", round, i + 1,
                         shown_hits(shown, i + 1), help_rules[i].hits, text);
        help_chain_counts(&h, "ips: overlap_differs 0, notes_full 0");
        matches += help_chain_counter(&h, "ips", "matches");
        kept += help_chain_counter(&h, "ips", "segments_kept");
        help_rules_free();
    }
    assert_true(matches > 10000);
    assert_true(kept > 1000);
}

/* ---- copies --------------------------------------------------------------------------------------- */

/* What has passed: a byte + 1 for each place; 0: none yet. */
struct copies {
    uint16_t byte[HELP_STREAM];
    uint32_t next, acked;
};

static bool contradicts(const struct copies *c, uint32_t at, const char *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (at + i >= c->acked && c->byte[at + i] && c->byte[at + i] != (uint8_t)bytes[i] + 1)
            return true;
    return false;
}

static void pass(struct copies *c, uint32_t at, const char *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!c->byte[at + i])
            c->byte[at + i] = (uint16_t)((uint8_t)bytes[i] + 1);
    while (c->next < HELP_STREAM && c->byte[c->next])
        c->next++;
}

/* From the server, which has begun at 500. */
static void acknowledge(uint32_t isn, uint32_t bytes, uint8_t flags)
{
    uint8_t frame[NFT_FRAME_MAX];
    struct help_segment s = HELP_SEGMENT(6, 2, 80, 1, 4000, .flags = flags,
                                         .seq = flags & NFT_SYN ? 500 : 501, .ack = isn + 1 + bytes);

    assert_int_equal(help_chain_send(&h, NF_OUTSIDE, frame, help_segment_frame(&s, frame)).drop, 0);
}

/* Two streams that differ in a byte of four, from which segments come in turn. Returns how many contradict.
 */
static uint32_t send_two(struct copies *c, const char stream[2][HELP_STREAM], uint32_t isn, bool room)
{
    uint32_t contradicted = 0;

    for (uint32_t i = 0; c->next < HELP_STREAM && i < 4000; i++) {
        uint32_t from = c->acked > 20 ? c->acked - 20 : 0, at = from + below(c->next - from + 60);
        uint32_t n = 1 + below(30);
        const char *bytes = stream[below(5) == 0];

        if (at >= HELP_STREAM)
            continue;
        n = n < HELP_STREAM - at ? n : HELP_STREAM - at;
        bool wrong = contradicts(c, at, bytes + at, n);
        bool passed = !send_part(bytes, isn, at, n, false).drop;

        if (passed == wrong && (wrong || room))
            fail_msg("segment %u, %u bytes at %u: passed %d, contradicts %d", i, n, at, passed, wrong);
        if (passed)
            pass(c, at, bytes + at, n);
        contradicted += wrong;
        if (below(4) == 0) {
            c->acked += below(c->next - c->acked + 1);
            acknowledge(isn, c->acked, NFT_ACK);
        }
    }
    return contradicted;
}

CHAIN_TEST(what_passes_is_what_no_copy_contradicts)
{
    static char text[8192], shown[1 << 16], stream[2][HELP_STREAM], first[HELP_STREAM];
    uint32_t contradicted = 0, matches = 0;

    for (uint32_t round = 0; round < 60; round++) {
        struct copies c = {.next = 0};
        bool room = round % 4 != 3;
        uint32_t isn = round % 3 ? (uint32_t)ft_draw(&help_rule_draws) : 0u - 350;

        help_rule_draws = 5000 + round;
        help_rules_draw(text);
        help_rules_stream(stream[0], HELP_STREAM);
        memcpy(stream[1], stream[0], HELP_STREAM);
        for (uint32_t i = 0; i < HELP_STREAM; i += 1 + below(7))
            stream[1][i] = help_rules_letter();
        help_chain_open(
            &h,
            room ? "    - ips: { rules: firewall.rules, max_flows: 8, alerts: 4 }\n"
                 : "    - ips: { rules: firewall.rules, max_flows: 8, alerts: 4, stream_pieces: 2 }\n",
            text, round);
        h.now = HELP_SECOND;
        begin(isn, false);
        acknowledge(isn, 0, NFT_SYN | NFT_ACK);
        contradicted += send_two(&c, (const char(*)[HELP_STREAM])stream, isn, room);
        assert_true(!room || c.next == HELP_STREAM);
        for (uint32_t i = 0; i < c.next; i++)
            first[i] = (char)(c.byte[i] - 1);
        help_rules_match(first, c.next);
        help_chain_show(&h, "ips", shown, sizeof(shown));
        for (uint32_t i = 0; i < HELP_RULES; i++)
            if (shown_hits(shown, i + 1) != help_rules[i].hits)
                fail_msg("round %u, rule %u: %lu hits, expected %u\n%s", round, i + 1,
                         shown_hits(shown, i + 1), help_rules[i].hits, text);
        matches += (uint32_t)help_chain_counter(&h, "ips", "matches");
        assert_true(!room || !help_chain_counter(&h, "ips", "segments_full"));
        help_rules_free();
    }
    assert_true(contradicted > 1000 && matches > 1000);
}
