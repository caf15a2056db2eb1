/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the contents of rules in bytes of a direction, and decides which rules they make match. Where a rule
 * has several contents, those that have been found are noted, with where they ended. Owns the notes.
 */
#include "nfs/ips/parts.h"

#include <string.h>

/* ---- notes ---------------------------------------------------------------------------------------- */

static const struct ips_note *note_at(const struct ips *ips, uint32_t place)
{
    return &ips->notes->note[place - 1];
}

static const struct ips_note *find_note(const struct ips_look *look, bool reply, uint32_t content)
{
    const struct ips *ips = look->nf->state;
    uint32_t place = look->flow->notes[reply];

    while (place && note_at(ips, place)->content != content)
        place = note_at(ips, place)->next;
    return place ? note_at(ips, place) : NULL;
}

static const struct ips_note *add_note(struct ips_look *look, bool reply, uint32_t content, uint32_t end)
{
    const struct ips *ips = look->nf->state;
    struct ips_notes *notes = ips->notes;
    struct ips_flow *flow = look->flow;
    struct ips_note *note;
    uint32_t place = notes->free;

    if (flow->noted[reply] == IPS_NOTES_FLOW || notes->used == ips->max_notes) {
        nf_count(look->nf, IPS_NOTES_FULL, 1);
        return NULL;
    }
    nf_edit(look->nf, notes, offsetof(struct ips_notes, zero));
    if (place)
        notes->free = note_at(ips, place)->next;
    else
        place = ++notes->touched;
    notes->used++;
    note = NF_EDIT(look->nf, note_at(ips, place));
    *note = (struct ips_note){.next = flow->notes[reply], .content = content, .first = end, .last = end};
    flow->notes[reply] = place;
    flow->noted[reply]++;
    return note;
}

static void free_note(struct nf *nf, uint32_t place)
{
    struct ips *ips = nf->state;
    struct ips_notes *notes = nf_edit(nf, ips->notes, offsetof(struct ips_notes, zero));

    *NF_EDIT(nf, &notes->note[place - 1].next) = notes->free;
    notes->free = place;
    notes->used--;
}

/* The rule has matched, and begins anew. */
static void drop_notes_of(struct ips_look *look, bool reply, const struct ips_rule *rule)
{
    const struct ips *ips = look->nf->state;
    uint32_t place = look->flow->notes[reply], before = 0, next;

    for (; place; place = next) {
        const struct ips_note *note = note_at(ips, place);

        next = note->next;
        if (note->content - rule->content >= rule->contents) {
            before = place;
            continue;
        }
        if (before)
            *NF_EDIT(look->nf, &note_at(ips, before)->next) = next;
        else
            look->flow->notes[reply] = next;
        look->flow->noted[reply]--;
        free_note(look->nf, place);
    }
}

void ips_notes_release(struct nf *nf, struct ips_flow *flow, bool reply)
{
    const struct ips *ips = nf->state;

    for (uint32_t place = flow->notes[reply], next; place; place = next) {
        next = note_at(ips, place)->next;
        free_note(nf, place);
    }
    flow->notes[reply] = flow->noted[reply] = 0;
}

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
    for (uint32_t at = to; (int32_t)(at - from) >= 0; at--)
        if ((int32_t)(note->last - at) >= 0 && note->last - at < IPS_WINDOW &&
            note->ends[at / 64 % (IPS_WINDOW / 64)] & end_bit(at))
            return true;
    return false;
}

/* The content that ends at `end` is where the rule wants it, behind the one before. */
static bool is_behind(const struct ips_look *look, bool reply, uint32_t content, uint32_t end)
{
    const struct ips_config *config = look->nf->config;
    const struct ips_content *c = &config->read->content[content];
    const struct ips_note *before = find_note(look, reply, content - 1);
    uint32_t latest = end - c->len - c->distance;

    if (!before || !before->found)
        return false;
    if (!c->within)
        return (int32_t)(latest - before->first) >= 0;
    return ended_between(before, end - c->distance - c->within, latest);
}

/* ---- a content that has been found ---------------------------------------------------------------- */

static bool all_chains_noted(const struct ips_look *look, bool reply, const struct ips_rule *rule)
{
    const struct ips_config *config = look->nf->config;

    for (uint32_t i = rule->content; i < rule->content + rule->contents; i++) {
        const struct ips_note *note = config->read->content[i].last ? find_note(look, reply, i) : NULL;

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

/* A content, or a pattern, of a rule with several: noted, and what may follow it is looked for. True: the
 * rule matches. */
static bool note_found(struct ips_look *look, bool reply, uint32_t content, uint32_t end)
{
    const struct ips_config *config = look->nf->config;
    const struct ips_content *c = &config->read->content[content];
    const struct ips_rule *rule = &config->read->rule[c->rule];
    const struct ips_note *note = find_note(look, reply, content), *next;

    if (!note && !(note = add_note(look, reply, content, end)))
        return false;
    note_end(look->nf, note, end);
    if (!c->last && c[1].pcre) {
        next = find_note(look, reply, content + 1);
        if (next || (next = add_note(look, reply, content + 1, end)) != NULL)
            NF_EDIT(look->nf, next)->begins = 1;
    }
    if (!c->last || !all_chains_noted(look, reply, rule))
        return false;
    drop_notes_of(look, reply, rule);
    return true;
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
    if (rule->contents == 1 || note_found(look, reply, content, (uint32_t)end))
        ips_match(look, c->rule, reply);
}

static void found_at(struct ips_look *look, bool reply, const struct ips_automaton *a, uint32_t state,
                     uint64_t end)
{
    const struct ips_config *config = look->nf->config;

    for (; state; state = a->shorter[state])
        for (uint32_t n = a->found[state]; n; n = config->read->content[n - 1].same) {
            found_content(look, reply, n - 1, end);
            if (look->verdict)
                return; /* nobody gets what follows */
        }
}

/* ---- patterns ------------------------------------------------------------------------------------- */

/* One more byte for a pattern; true: it ends here. */
static bool step_pcre(const struct ips_pcre *pcre, struct ips_note *note, uint8_t byte)
{
    uint64_t next = pcre->anchored && !note->begins ? 0 : pcre->first;

    for (uint64_t at = note->state; at; at &= at - 1)
        next |= pcre->follow[__builtin_ctzll(at)];
    note->state = next & pcre->has[byte];
    note->begins = 0;
    return note->state & pcre->last;
}

/* All patterns that are looked for in the direction take the byte that ends at `end`. A match takes notes
 * out, so they are gone over by their contents. */
static void step_pcres(struct ips_look *look, bool reply, uint8_t byte, uint64_t end)
{
    const struct ips_config *config = look->nf->config;
    const struct ips *ips = look->nf->state;
    uint32_t list[IPS_NOTES_FLOW], n = 0;

    for (uint32_t place = look->flow->notes[reply]; place; place = note_at(ips, place)->next)
        if (config->read->content[note_at(ips, place)->content].pcre)
            list[n++] = note_at(ips, place)->content;
    for (uint32_t i = 0; i < n && !look->verdict; i++) {
        const struct ips_content *c = &config->read->content[list[i]];
        const struct ips_note *note = find_note(look, reply, list[i]);

        if (note && step_pcre(&config->read->pcre[c->pcre - 1], NF_EDIT(look->nf, note), byte) &&
            ips->live[c->rule].action != IPS_OFF && ips_applies(look, &config->read->rule[c->rule], reply) &&
            note_found(look, reply, list[i], (uint32_t)end))
            ips_match(look, c->rule, reply);
    }
}

/* Bytes are missing: no pattern goes over them. */
static void stop_pcres(struct ips_look *look, bool reply)
{
    const struct ips *ips = look->nf->state;

    for (uint32_t place = look->flow->notes[reply]; place; place = note_at(ips, place)->next) {
        struct ips_note *note = NF_EDIT(look->nf, note_at(ips, place));

        note->state = 0;
        note->begins = 0;
    }
}

/* Both automata take each byte before the next one, so that contents are found in the order of their ends. */
void ips_look_through(struct ips_look *look, const struct nf_stream_bytes *bytes)
{
    const struct ips_config *config = look->nf->config;
    const struct ips_automaton *a = config->read->automaton;
    struct ips_flow *flow = look->flow;
    uint32_t state[2] = {flow->state[bytes->reply][0], flow->state[bytes->reply][1]};

    if (bytes->gap) {
        state[0] = state[1] = 0;
        stop_pcres(look, bytes->reply);
    }
    for (uint32_t i = 0; i < bytes->len && !look->verdict; i++) {
        if (ft_unlikely(flow->notes[bytes->reply]) && config->read->pcres)
            step_pcres(look, bytes->reply, bytes->bytes[i], bytes->at + i + 1);
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

/* ---- notes that came from a peer ------------------------------------------------------------------ */

static int mark_note(struct nf_check *c, const struct ips_notes *notes, uint64_t *seen, uint32_t place)
{
    nf_check_step(c);
    if (place > notes->touched || seen[place / 64] >> place % 64 & 1)
        return nf_check_failed(c, "note %u is in two lists, or behind the %u ever used, expected one list",
                               place, notes->touched);
    seen[place / 64] |= 1ull << place % 64;
    return 0;
}

static int check_flow_notes(const struct nf *nf, struct nf_check *c, const struct ips_flow *flow,
                            unsigned way, uint64_t *seen)
{
    const struct ips_config *config = nf->config;
    const struct ips *ips = nf->state;
    uint32_t count = 0;

    for (uint32_t place = flow->notes[way]; place; place = note_at(ips, place)->next, count++) {
        int error = mark_note(c, ips->notes, seen, place);

        if (error)
            return error;
        if (flow->generation == ips->generation && note_at(ips, place)->content >= config->read->contents)
            return nf_check_failed(c, "note %u is of content %u, expected one of %u", place,
                                   note_at(ips, place)->content, config->read->contents);
    }
    return count == flow->noted[way] && count <= IPS_NOTES_FLOW
               ? 0
               : nf_check_failed(c, "a direction has %u notes, expected %u, and %u at most", count,
                                 flow->noted[way], IPS_NOTES_FLOW);
}

int ips_notes_check(const struct nf *nf, struct nf_check *c)
{
    const struct ips *ips = nf->state;
    const struct ips_notes *notes = ips->notes;
    uint64_t *seen = nf_check_memory(c, 1, (ips->max_notes / 64 + 1ull) * sizeof(*seen));
    const struct nf_session *s;
    uint32_t count = 0;
    int error = 0;

    if (!seen)
        return FT_ENOMEM;
    if (notes->touched > ips->max_notes || notes->used > notes->touched)
        return nf_check_failed(c, "%u notes are used and %u were, expected at most %u", notes->used,
                               notes->touched, ips->max_notes);
    for (uint32_t place = notes->free; place && !error; place = note_at(ips, place)->next, count++)
        error = mark_note(c, notes, seen, place);
    for (uint32_t n = 0; !error && (s = nf_sessions_next(nf, &n)) != NULL; n++) {
        const struct ips_flow *flow = nf_session_slot(nf, s);

        error = check_flow_notes(nf, c, flow, 0, seen);
        if (!error)
            error = check_flow_notes(nf, c, flow, 1, seen);
        count += flow->noted[0] + flow->noted[1];
    }
    if (!error && count != notes->touched)
        return nf_check_failed(c, "%u notes are in lists, expected %u", count, notes->touched);
    return error;
}
