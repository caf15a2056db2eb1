/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The notes of ips: where contents of rules with several have been found in a direction of a connection, and
 * the patterns that are looked for. Owns their table. What is found is written there by found.c.
 */
#include "nfs/ips/parts.h"

/* ---- notes ---------------------------------------------------------------------------------------- */

static const struct ips_note *note_at(const struct ips *ips, uint32_t place)
{
    return &ips->notes->note[place - 1];
}

const struct ips_note *ips_note_find(struct ips_look *look, bool reply, uint32_t content)
{
    const struct ips *ips = look->nf->state;
    uint32_t place = look->flow->notes[reply];

    while (place && note_at(ips, place)->content != content) {
        place = note_at(ips, place)->next;
        look->steps++;
    }
    return place ? note_at(ips, place) : NULL;
}

void ips_note_miss(struct ips_look *look, uint32_t content)
{
    const struct ips_config *config = look->nf->config;
    const struct ips *ips = look->nf->state;

    if (ips->live[config->read->content[content].rule].action == IPS_ALERT) {
        look->sums[IPS_NOTES_FULL]++;
        return;
    }
    look->full = IPS_NOTES_FULL;
    look->verdict = IPS_DROP;
}

const struct ips_note *ips_note_add(struct ips_look *look, bool reply, uint32_t content, uint32_t end)
{
    const struct ips_config *config = look->nf->config;
    const struct ips *ips = look->nf->state;
    struct ips_notes *notes = ips->notes;
    struct ips_flow *flow = look->flow;
    struct ips_note *note;
    uint32_t place = notes->free;

    if (flow->noted[reply] == IPS_NOTES_FLOW || notes->used == ips->max_notes ||
        (config->read->content[content].pcre && look->patterns == IPS_PATTERNS_FLOW)) {
        ips_note_miss(look, content);
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

void ips_notes_drop(struct ips_look *look, bool reply, uint32_t content, uint32_t count)
{
    const struct ips *ips = look->nf->state;
    uint32_t place = look->flow->notes[reply], before = 0, next;

    for (; place; place = next) {
        const struct ips_note *note = note_at(ips, place);

        next = note->next;
        if (note->content - content >= count) {
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
    for (uint32_t place = notes->free; place && !error; count++)
        if ((error = mark_note(c, notes, seen, place)) == 0)
            place = note_at(ips, place)->next;
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
