/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The notes of ips: where contents of rules with several have been found in a direction of a connection, and
 * the patterns that are looked for. Owns their table. What is found is written there by found.c.
 */
#include "nfs/ips/parts.h"

/* ---- notes ---------------------------------------------------------------------------------------- */

static const struct ips_note *note_at(const struct ips *ips, uint32_t place)
{
    return nf_lists_value(ips->notes, place);
}

const struct ips_note *ips_note_find(struct ips_look *look, bool reply, uint32_t content)
{
    const struct ips *ips = look->nf->state;
    uint32_t place = nf_list_first(&look->flow->notes[reply]);

    while (place != NF_NONE && note_at(ips, place)->content != content) {
        place = nf_list_next(ips->notes, place);
        look->steps++;
    }
    return place != NF_NONE ? note_at(ips, place) : NULL;
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
    struct ips_flow *flow = look->flow;
    struct ips_note *note;
    uint32_t place = NF_NONE;

    if (flow->noted[reply] < IPS_NOTES_FLOW &&
        !(config->read->content[content].pcre && look->patterns == IPS_PATTERNS_FLOW))
        place = nf_lists_take(look->nf, ips->notes);
    if (place == NF_NONE) {
        ips_note_miss(look, content);
        return NULL;
    }
    note = NF_EDIT(look->nf, note_at(ips, place));
    *note = (struct ips_note){.content = content, .first = end, .last = end};
    nf_list_insert(look->nf, ips->notes, &flow->notes[reply], place, nf_list_first(&flow->notes[reply]));
    flow->noted[reply]++;
    return note;
}

static void drop_note(struct nf *nf, struct ips_flow *flow, bool reply, uint32_t place)
{
    const struct ips *ips = nf->state;

    nf_list_remove(nf, ips->notes, &flow->notes[reply], place);
    nf_lists_give(nf, ips->notes, place);
    flow->noted[reply]--;
}

void ips_notes_drop(struct ips_look *look, bool reply, uint32_t content, uint32_t count)
{
    const struct ips *ips = look->nf->state;

    for (uint32_t place = nf_list_first(&look->flow->notes[reply]), next; place != NF_NONE; place = next) {
        next = nf_list_next(ips->notes, place);
        if (note_at(ips, place)->content - content < count)
            drop_note(look->nf, look->flow, reply, place);
    }
}

void ips_notes_release(struct nf *nf, struct ips_flow *flow, bool reply)
{
    while (flow->noted[reply])
        drop_note(nf, flow, reply, nf_list_first(&flow->notes[reply]));
}

/* ---- notes that came from a peer ------------------------------------------------------------------ */

static int check_flow_notes(const struct nf *nf, struct nf_check *c, const struct ips_flow *flow,
                            unsigned way, uint64_t *seen)
{
    const struct ips_config *config = nf->config;
    const struct ips *ips = nf->state;
    int error;

    error = nf_list_check(c, ips->notes, &flow->notes[way], IPS_NOTES_FLOW, seen);
    if (error >= 0 && error != flow->noted[way])
        error = nf_check_failed(c, "a direction has %d notes, expected %u", error, flow->noted[way]);
    for (uint32_t place = nf_list_first(&flow->notes[way]);
         place != NF_NONE && error >= 0 && flow->generation == ips->generation;
         place = nf_list_next(ips->notes, place))
        if (note_at(ips, place)->content >= config->read->contents)
            return nf_check_failed(c, "note %u is of content %u, expected one of %u", place,
                                   note_at(ips, place)->content, config->read->contents);
    return error < 0 ? error : 0;
}

int ips_notes_check(const struct nf *nf, struct nf_check *c)
{
    const struct ips *ips = nf->state;
    uint64_t *seen = nf_lists_seen(c, 1, ips->notes);
    const struct nf_session *s;
    uint32_t count = 0;
    int error = seen ? 0 : FT_ENOMEM;

    for (uint32_t n = 0; !error && (s = nf_sessions_next(nf, &n)) != NULL; n++) {
        const struct ips_flow *flow = nf_session_slot(nf, s);

        error = check_flow_notes(nf, c, flow, 0, seen);
        if (!error)
            error = check_flow_notes(nf, c, flow, 1, seen);
        count += flow->noted[0] + flow->noted[1];
    }
    if (!error && count != nf_lists_count(ips->notes))
        return nf_check_failed(c, "flows have %u notes, expected %u, the count", count,
                               nf_lists_count(ips->notes));
    return error;
}
