/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of ips, read from a file's content. What is read is within its bounds, and each state of an
 * automaton leads to states; what is refused has one line with the file's name.
 */
#include "nfs/ips/rules.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_set(const struct ips_set *set, uint32_t most)
{
    FUZZ_MUST((uint32_t)set->from + set->count <= most, "%u items from %u on, of %u", set->count, set->from,
              most);
}

static void check_rule(const struct ips_rules *rules, uint32_t n)
{
    const struct ips_rule *r = &rules->rule[n];

    FUZZ_MUST(r->action > IPS_OFF && r->action < IPS_ACTIONS && r->sid, "action %u, sid %u", r->action,
              r->sid);
    FUZZ_MUST(ips_rules_find(rules, r->sid) == n, "sid %u is there twice", r->sid);
    FUZZ_MUST(r->contents && r->content + r->contents <= rules->contents, "%u contents", r->contents);
    FUZZ_MUST(r->msg < rules->used && memchr(rules->text + r->msg, 0, rules->used - r->msg),
              "msg has no end");
    FUZZ_MUST(!r->threshold == !(r->count && r->seconds), "half a threshold");
    for (unsigned i = 0; i < 2; i++) {
        check_set(&r->host[i], rules->hosts);
        check_set(&r->port[i], rules->ranges);
    }
    for (uint32_t i = r->content; i < r->content + r->contents; i++) {
        const struct ips_content *c = &rules->content[i];

        FUZZ_MUST(c->rule == n && !c->len == !!c->pcre && c->at + c->len <= rules->used,
                  "content %u of %u bytes", i, c->len);
        FUZZ_MUST(c->pcre <= rules->pcres && (!c->pcre || c->relative), "content %u has pattern %u", i,
                  c->pcre);
        FUZZ_MUST(!c->relative || (i > r->content && !c->offset && !c->depth), "content %u is relative", i);
        FUZZ_MUST(!c->within || (c->within >= c->len && c->within + c->distance <= IPS_WINDOW), "within %u",
                  c->within);
        FUZZ_MUST(c->last == (i + 1 == r->content + r->contents || !c[1].relative),
                  "content %u ends no chain", i);
    }
}

/* Each content is found where it is looked for by its own bytes. */
static void find_content(const struct ips_rules *rules, uint32_t n)
{
    const struct ips_content *c = &rules->content[n];
    const struct ips_automaton *a = &rules->automaton[c->nocase];
    uint32_t state = 0, at = 0;

    for (uint32_t i = 0; i < c->len; i++) {
        state = a->next[state * a->classes + a->class[(uint8_t)rules->text[c->at + i]]];
        FUZZ_MUST((state & ~IPS_FOUND) < a->states, "state %u of %u", state & ~IPS_FOUND, a->states);
        if (i + 1 < c->len)
            state &= ~IPS_FOUND;
    }
    if (c->pcre)
        return;
    FUZZ_MUST(state & IPS_FOUND, "content %u is not found", n);
    for (state &= ~IPS_FOUND; state && !at; state = a->shorter[state])
        for (uint32_t k = a->found[state]; k; k = rules->content[k - 1].same)
            at = k == n + 1 ? k : at;
    FUZZ_MUST(at, "content %u is not among those found", n);
}

static void run(const uint8_t *data, size_t size)
{
    static const char path[] = "the.rules";
    const struct nf_file file = {path, (const char *)data, (uint32_t)size};
    struct ft_fault fault = {""};
    struct ips_rules *rules;
    int error = ips_rules_read(&rules, &file, &fault);

    if (error) {
        FUZZ_MUST(!rules && strncmp(fault.text, path, strlen(path)) == 0 && fault.text[strlen(path)] == ':',
                  "no place in '%s'", fault.text);
        FUZZ_MUST(!strchr(fault.text, '\n'), "two lines: '%s'", fault.text);
        return;
    }
    FUZZ_MUST(!size || !memchr(data, 0, size), "text behind a byte 0 is passed over");
    for (uint32_t i = 0; i < rules->count; i++)
        check_rule(rules, i);
    for (uint32_t i = 0; i < rules->contents; i++)
        find_content(rules, i);
    ips_rules_free(rules);
}

static void seeds(void)
{
    static const char good[] =
        "# rules\nalert tcp any any -> any 80 (msg:\"one\"; content:\"a|0d 0a|b\"; "
        "nocase; offset:3; depth:40; sid:1; rev:2;)\n"
        "drop udp 10.0.0.0/8 [53,1024:] <> !2001:db8::/32 !80 (content:\"abab\"; "
        "content:\"b\\;\"; distance:2; within:9; "
        "flow:established,to_server; sid:2;)\n"
        "reject tcp [10.0.0.1,10.0.0.2] :99 -> any any (content:\"ab\"; "
        "content:\"ba\"; threshold:type both, track "
        "by_dst, count 3, seconds 60; classtype:x; sid:3;)\n"
        "alert tcp any any -> any any (content:\"a\"; pcre:\"/^(b|[^c-e\\d]{2,4})+.\\x41*/Ris\"; "
        "content:\"z\"; within:9; sid:4;)\n"
        "alert tcp any any -> any any (content:\"a\"; pcre:\"/(?:x{3}|\\w+)y/R\"; sid:5;)\n";
    static const char bad[] = "alert tcp any any -> any any (content:\"a\"; dsize:4; sid:1;)\n";

    fuzz_seed("good", good, sizeof(good) - 1);
    fuzz_seed("unknown", bad, sizeof(bad) - 1);
    fuzz_seed("cut", good, 90);
}

FUZZ_TARGET(ips_rules, "the rules of ips", 4096)
