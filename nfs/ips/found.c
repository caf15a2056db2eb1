/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the contents of rules in bytes of a direction, and decides which rules they make match. Where a rule
 * has several contents, those that have been found are noted, with where they ended. Owns nothing.
 */
#include "nfs/ips/parts.h"

#include <string.h>

/* ---- where a content ended ------------------------------------------------------------------------ */

static uint64_t end_bit(uint32_t end)
{
    return 1ull << end % 64;
}

/* One more end; ends come in order. */
static void note_end(struct nf *nf, const struct ips_note *was, uint32_t end)
{
    struct ips_note *note = NF_EDIT(nf, was);

    if (!note->found)
        note->first = note->last = end;
    note->found = 1;
    if (end - note->last >= IPS_WINDOW)
        memset(note->ends, 0, sizeof(note->ends));
    else
        for (uint32_t at = note->last + 1; at != end + 1; at++)
            note->ends[at / 64 % (IPS_WINDOW / 64)] &= ~end_bit(at);
    note->ends[end / 64 % (IPS_WINDOW / 64)] |= end_bit(end);
    note->last = end;
}

/* It ended somewhere from `from` to `to`, which are at most IPS_WINDOW before where the stream is now. */
static bool ended_between(const struct ips_note *note, uint32_t from, uint32_t to)
{
    uint32_t oldest = note->last - (IPS_WINDOW - 1);

    if ((int32_t)(note->last - to) < 0)
        to = note->last;
    if ((int32_t)(from - oldest) < 0)
        from = oldest;
    while ((int32_t)(to - from) >= 0) {
        uint32_t n = 64 - from % 64, left = to - from + 1;
        uint64_t word = note->ends[from / 64 % (IPS_WINDOW / 64)] >> from % 64;

        n = n < left ? n : left;
        if (n < 64)
            word &= (1ull << n) - 1;
        if (word)
            return true;
        from += n;
    }
    return false;
}

/* The content that ends at `end` is where the rule wants it, behind the one before. */
static bool is_behind(struct ips_look *look, bool reply, uint32_t content, uint32_t end)
{
    const struct ips_config *config = look->nf->config;
    const struct ips_content *c = &config->read->content[content];
    const struct ips_note *before = ips_note_find(look, reply, content - 1);
    uint32_t latest = end - c->len - c->distance;

    if (!before || !before->found)
        return false;
    if (!c->within)
        return (int32_t)(latest - before->first) >= 0;
    return ended_between(before, end - c->distance - c->within, latest);
}

/* ---- a content that has been found ---------------------------------------------------------------- */

static bool all_chains_noted(struct ips_look *look, bool reply, const struct ips_rule *rule)
{
    const struct ips_config *config = look->nf->config;

    for (uint32_t i = rule->content; i < rule->content + rule->contents; i++) {
        const struct ips_note *note = config->read->content[i].last ? ips_note_find(look, reply, i) : NULL;

        if (config->read->content[i].last && (!note || !note->found))
            return false;
    }
    return true;
}

static bool is_placed(const struct ips_content *c, uint64_t end)
{
    uint64_t start = end - c->len;

    return start >= c->offset && (!c->depth || end <= (uint64_t)c->offset + c->depth);
}

/* ---- patterns ------------------------------------------------------------------------------------- */

/* A pattern is looked for while it may begin or go on; one that ends a chain, until it has been found. */
static bool is_looked_for(const struct ips_rules *rules, const struct ips_note *note)
{
    const struct ips_content *c = &rules->content[note->content];

    if (!c->pcre || (c->last && note->found))
        return false;
    return note->state || note->begins || !rules->pcre[c->pcre - 1].anchored;
}

/* All that are looked for in the direction, at most IPS_PATTERNS_FLOW. */
static void list_patterns(struct ips_look *look, bool reply)
{
    const struct ips_config *config = look->nf->config;
    const struct ips *ips = look->nf->state;
    const struct ips_note *note;

    look->patterns = 0;
    look->steps += look->flow->noted[reply];
    for (uint32_t place = nf_list_first(&look->flow->notes[reply]); place != NF_NONE;
         place = nf_list_next(ips->notes, place)) {
        note = nf_lists_value(ips->notes, place);
        if (is_looked_for(config->read, note) && look->patterns < IPS_PATTERNS_FLOW)
            look->pattern[look->patterns++] = NF_EDIT(look->nf, note);
    }
}

/* The content in front of a pattern has ended. */
static void begin_pattern(struct ips_look *look, bool reply, uint32_t content, uint32_t end)
{
    const struct ips_config *config = look->nf->config;
    const struct ips_note *note = NULL;

    for (uint32_t i = 0; i < look->patterns && !note; i++)
        note = look->pattern[i]->content == content ? look->pattern[i] : NULL;
    if (!note)
        note = ips_note_find(look, reply, content);
    if (note && config->read->content[content].last && note->found)
        return;
    if (note && !is_looked_for(config->read, note) && look->patterns == IPS_PATTERNS_FLOW) {
        ips_note_miss(look, content);
        return;
    }
    if (!note && !(note = ips_note_add(look, reply, content, end)))
        return;
    NF_EDIT(look->nf, note)->begins = 1;
    list_patterns(look, reply);
}

/* One more byte for a pattern; true: it ends here. */
static bool step_pattern(const struct ips_pcre *pcre, struct ips_note *note, uint8_t byte)
{
    uint64_t next = pcre->anchored && !note->begins ? 0 : pcre->first, state = note->state;

    for (unsigned k = 0; state; state >>= 8, k++)
        next |= pcre->next[k][state & 0xff];
    note->state = next & pcre->has[byte];
    note->begins = 0;
    return note->state & pcre->last;
}

/* A content, or a pattern, of a rule with several: noted, and what may follow it is looked for. True: the
 * rule matches. */
static bool note_found(struct ips_look *look, bool reply, uint32_t content, const struct ips_note *note,
                       uint32_t end)
{
    const struct ips_config *config = look->nf->config;
    const struct ips_content *c = &config->read->content[content];
    const struct ips_rule *rule = &config->read->rule[c->rule];

    if (!note && !(note = ips_note_add(look, reply, content, end)))
        return false;
    note_end(look->nf, note, end);
    if (!c->last && c[1].pcre)
        begin_pattern(look, reply, content + 1, end);
    if (!c->last || !all_chains_noted(look, reply, rule))
        return false;
    ips_notes_drop(look, reply, rule->content, rule->contents);
    list_patterns(look, reply);
    return true;
}

/*
 * A sender chooses how often contents are found, and the rules how much each time is to be looked at. What a
 * rule may have dropped does not pass unseen, so with one that drops the verdict falls.
 */
static bool goes_on(struct ips_look *look, const struct ips_rule *rule)
{
    const struct ips_config *config = look->nf->config;
    const struct ips *ips = look->nf->state;

    if (ft_likely(look->steps < IPS_STEPS_MAX)) {
        look->steps +=
            16 + rule->host[0].count + rule->host[1].count + rule->port[0].count + rule->port[1].count;
        return true;
    }
    for (uint32_t i = 0; i < config->read->count && !look->gave_up && !look->verdict; i++)
        if (ips->live[i].action > IPS_ALERT && config->read->rule[i].proto == look->p->proto) {
            look->verdict = IPS_DROP;
            look->full = IPS_STEPS_FULL;
        }
    look->sums[IPS_STEPS_FULL] += !look->gave_up && !look->verdict;
    look->gave_up = true;
    return false;
}

static void found_content(struct ips_look *look, bool reply, uint32_t content, uint64_t end)
{
    const struct ips_config *config = look->nf->config;
    const struct ips *ips = look->nf->state;
    const struct ips_content *c = &config->read->content[content];
    const struct ips_rule *rule = &config->read->rule[c->rule];

    if (ips->live[c->rule].action == IPS_OFF || !ips_applies(look, rule, reply) ||
        !(c->relative ? is_behind(look, reply, content, (uint32_t)end) : is_placed(c, end)))
        return;
    if (rule->contents == 1 ||
        note_found(look, reply, content, ips_note_find(look, reply, content), (uint32_t)end))
        ips_match(look, c->rule, reply);
}

static void found_at(struct ips_look *look, bool reply, const struct ips_automaton *a, uint32_t state,
                     uint64_t end)
{
    const struct ips_config *config = look->nf->config;

    for (; state; state = a->shorter[state])
        for (uint32_t n = a->found[state]; n; n = config->read->content[n - 1].same) {
            if (!goes_on(look, &config->read->rule[config->read->content[n - 1].rule]))
                return;
            found_content(look, reply, n - 1, end);
            if (look->verdict)
                return; /* nobody gets what follows */
        }
}

/* ---- bytes ---------------------------------------------------------------------------------------- */

/* The pattern ends at `end`, if it is still looked for: another one's end may have made its rule match. */
static void found_pattern(struct ips_look *look, bool reply, uint32_t content, uint32_t end)
{
    const struct ips_config *config = look->nf->config;
    const struct ips *ips = look->nf->state;
    uint32_t rule = config->read->content[content].rule;

    for (uint32_t i = 0; i < look->patterns; i++)
        if (look->pattern[i]->content == content) {
            if (goes_on(look, &config->read->rule[rule]) && ips->live[rule].action != IPS_OFF &&
                ips_applies(look, &config->read->rule[rule], reply) &&
                note_found(look, reply, content, look->pattern[i], end))
                ips_match(look, rule, reply);
            return;
        }
}

/* Patterns that cannot go on end, and those without a note of having been found leave none. */
static void end_patterns(struct ips_look *look, bool reply)
{
    const struct ips_config *config = look->nf->config;
    bool gone = false;

    for (uint32_t i = 0; i < look->patterns; i++) {
        const struct ips_note *note = look->pattern[i];

        if (is_looked_for(config->read, note))
            continue;
        gone = true;
        if (!note->found)
            ips_notes_drop(look, reply, note->content, 1);
    }
    if (gone)
        list_patterns(look, reply);
}

/* All patterns that are looked for in the direction take the byte that ends at `end`, then it is seen what
 * those mean that end there. */
static void step_patterns(struct ips_look *look, bool reply, uint8_t byte, uint32_t end)
{
    const struct ips_config *config = look->nf->config;
    uint32_t ended[IPS_PATTERNS_FLOW], n = 0;
    bool stay = true;

    for (uint32_t i = 0; i < look->patterns; i++) {
        struct ips_note *note = look->pattern[i];
        const struct ips_pcre *pcre = &config->read->pcre[config->read->content[note->content].pcre - 1];

        if (step_pattern(pcre, note, byte))
            ended[n++] = note->content;
        stay &= note->state || !pcre->anchored;
    }
    for (uint32_t i = 0; i < n && !look->verdict; i++)
        found_pattern(look, reply, ended[i], end);
    if (!stay || n)
        end_patterns(look, reply);
}

/* Both automata take each byte before the next one, so that contents are found in the order of their ends. */
void ips_look_through(struct ips_look *look, const struct nf_stream_bytes *bytes)
{
    const struct ips_config *config = look->nf->config;
    const struct ips_automaton *a = config->read->automaton;
    struct ips_flow *flow = look->flow;
    uint32_t state[2] = {flow->state[bytes->reply][0], flow->state[bytes->reply][1]};

    list_patterns(look, bytes->reply);
    for (uint32_t i = 0; i < bytes->len && !look->verdict; i++) {
        if (ft_unlikely(look->patterns))
            step_patterns(look, bytes->reply, bytes->bytes[i], (uint32_t)(bytes->at + i + 1));
        for (unsigned k = 0; k < 2; k++) {
            if (!a[k].states)
                continue;
            uint32_t next = a[k].next[state[k] * a[k].classes + a[k].class[bytes->bytes[i]]];

            state[k] = next & ~IPS_FOUND;
            if (ft_unlikely(next & IPS_FOUND) && !look->verdict)
                found_at(look, bytes->reply, &a[k], state[k], bytes->at + i + 1);
        }
    }
    flow->state[bytes->reply][0] = (uint16_t)state[0];
    flow->state[bytes->reply][1] = (uint16_t)state[1];
}
