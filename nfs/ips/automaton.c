/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the automata of a set of rules, while they are read. See nfs/ips/rules.h; owns nothing else. */
#include "nfs/ips/rules.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

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

int ips_automata_make(struct ips_rules *rules)
{
    int error = make_automaton(rules, false);

    return error ? error : make_automaton(rules, true);
}
