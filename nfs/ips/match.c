/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the contents of rules in bytes of a direction, decides which rules they make match, and does what a
 * match does: counts, alerts, and the verdict on the packet. Where a rule has several contents, those that
 * have been found are noted, with where they ended; notes are also of patterns that are looked for.
 *
 * Owns the notes, the rules' hits, the ring of alerts, and the table of how often a rule with a threshold has
 * matched for a host, which all lanes count together. In a full table those go whose time is over: as many as
 * are looked at, from a random one on.
 */
#include "nfs/ips/ips.h"

#include <arpa/inet.h>
#include <string.h>

/* ---- how often, for a host ----------------------------------------------------------------------------- */

#define SHARDS     16u
#define LOOKED_AT  32u
#define TRACK_ROOM 256u /* hosts; with fewer the table is one part */

struct key {
    uint8_t addr[16];
    uint32_t sid, zero;
};
struct track {
    uint64_t began; /* chain time of the first match of those counted */
    uint32_t count, seconds;
};

static uint32_t shards_of(uint32_t max_tracked)
{
    return max_tracked < TRACK_ROOM ? 1 : SHARDS;
}

uint64_t ips_tracks_bytes(uint32_t max_tracked)
{
    return nf_shared_map_bytes(max_tracked, sizeof(struct key), sizeof(struct track), shards_of(max_tracked));
}

struct nf_shared_map *ips_tracks_make(struct nf *nf, uint32_t max_tracked)
{
    struct nf_shared_map *tracks =
        nf_shared_map_make(nf, max_tracked, sizeof(struct key), sizeof(struct track), shards_of(max_tracked));

    if (tracks)
        nf_table_add_shared_map(nf, "tracked", tracks);
    return tracks;
}

static bool is_over(const struct track *t, uint64_t now)
{
    return now >= t->began + t->seconds * NF_SECOND;
}

static void make_room(struct nf *nf, struct nf_map *map, uint64_t now)
{
    uint32_t slot = (uint32_t)(nf_random(nf) % nf_map_capacity(map));

    for (uint32_t i = 0; i < LOOKED_AT; i++, slot = slot + 1 < nf_map_capacity(map) ? slot + 1 : 0)
        if (nf_map_has(map, slot) && is_over(nf_map_value(map, slot), now))
            nf_map_remove(nf, map, slot);
}

/* The match counted; 0: there is no room. */
static uint32_t count_match(struct nf *nf, struct nf_map *map, const struct key *key,
                            const struct ips_rule *rule, uint64_t now)
{
    uint32_t slot = nf_map_find(map, key);
    struct track *t;

    if (slot == NF_NONE) {
        slot = nf_map_add(nf, map, key);
        if (slot == NF_NONE) {
            make_room(nf, map, now);
            slot = nf_map_add(nf, map, key);
        }
        if (slot == NF_NONE)
            return 0;
    }
    t = NF_EDIT(nf, (const struct track *)nf_map_value(map, slot));
    if (!t->count || t->seconds != rule->seconds || is_over(t, now))
        *t = (struct track){.began = now, .seconds = rule->seconds};
    if (t->count < UINT32_MAX)
        t->count++;
    return t->count;
}

/* A rule's match: whether it raises an alert, and whether it acts. */
struct ips_decision {
    bool tell, act;
};

static struct ips_decision ips_threshold(struct ips_look *look, const struct ips_rule *rule,
                                         const uint8_t addr[16])
{
    struct ips *ips = look->nf->state;
    struct key key = {.sid = rule->sid};
    uint32_t n = 0, shard;

    if (rule->threshold == IPS_EVERY)
        return (struct ips_decision){true, true};
    memcpy(key.addr, addr, sizeof(key.addr));
    if (nf_shared_left(look->nf) > NF_SHARED_RESERVE) {
        shard = nf_shared_map_shard(ips->tracks, &key);
        n = count_match(look->nf, nf_shared_map_enter(look->nf, ips->tracks, shard), &key, rule, look->now);
        nf_shared_map_leave(look->nf, ips->tracks, shard);
    }
    if (!n) {
        nf_count(look->nf, IPS_TRACKED_FULL, 1);
        return (struct ips_decision){true, true};
    }
    switch (rule->threshold) {
    case IPS_LIMIT:
        return (struct ips_decision){n <= rule->count, true};
    case IPS_THRESHOLD:
        return (struct ips_decision){n % rule->count == 0, n >= rule->count};
    default:
        return (struct ips_decision){n == rule->count, n >= rule->count};
    }
}

/* ---- notes ---------------------------------------------------------------------------------------- */

static const struct ips_note *note_at(const struct ips *ips, uint32_t place)
{
    return nf_lists_value(ips->notes, place);
}

static const struct ips_note *ips_note_find(struct ips_look *look, bool reply, uint32_t content)
{
    const struct ips *ips = look->nf->state;
    uint32_t place = nf_list_first(&look->flow->notes[reply]);

    while (place != NF_NONE && note_at(ips, place)->content != content) {
        place = nf_list_next(ips->notes, place);
        look->steps++;
    }
    return place != NF_NONE ? note_at(ips, place) : NULL;
}

static void ips_note_miss(struct ips_look *look, uint32_t content)
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

static const struct ips_note *ips_note_add(struct ips_look *look, bool reply, uint32_t content, uint32_t end)
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

static void ips_notes_drop(struct ips_look *look, bool reply, uint32_t content, uint32_t count)
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

/* ---- a match ------------------------------------------------------------------------------------------- */

static bool has_host(const struct ips_rules *rules, const struct ips_set *set, const struct nf_addr *addr)
{
    bool is = false;

    for (uint32_t i = set->from; i < (uint32_t)set->from + set->count && !is; i++)
        is = nf_net_has(&rules->host[i], addr);
    return !set->count || is != set->not ;
}

static bool has_port(const struct ips_rules *rules, const struct ips_set *set, uint16_t port)
{
    bool is = false;

    for (uint32_t i = set->from; i < (uint32_t)set->from + set->count && !is; i++)
        is = port >= rules->range[i].first && port <= rules->range[i].last;
    return !set->count || is != set->not ;
}

/* `from`: which of the ends is the rule's source. */
static bool has_ends(const struct ips_rules *rules, const struct ips_rule *rule, const struct ips_ends *ends,
                     unsigned from)
{
    return has_port(rules, &rule->port[1], ntohs(ends->port[!from])) &&
           has_port(rules, &rule->port[0], ntohs(ends->port[from])) &&
           has_host(rules, &rule->host[0], &ends->addr[from]) &&
           has_host(rules, &rule->host[1], &ends->addr[!from]);
}

/* As people know it: an answer is what goes to who began the connection. A connection is open once both of
 * its ends have been heard, however it was picked up. */
static bool has_flow(const struct ips_look *look, const struct ips_rule *rule, bool reply)
{
    const struct nf_session *s = look->session;
    bool turned = nf_session_flags(s) & NF_SESSION_TURNED;
    bool open = look->flow->flags & IPS_FLOW_ANSWERED &&
                (rule->proto != NF_PROTO_TCP || nf_session_tcp(s) >= NF_TCP_ESTABLISHED);

    if (rule->flow & IPS_ESTABLISHED && !open)
        return false;
    return !(rule->flow & (reply == turned ? IPS_TO_CLIENT : IPS_TO_SERVER));
}

static bool ips_applies(const struct ips_look *look, const struct ips_rule *rule, bool reply)
{
    const struct ips_config *config = look->nf->config;
    unsigned from = reply != look->reply;

    return rule->proto == look->p->proto && (!rule->flow || has_flow(look, rule, reply)) &&
           (has_ends(config->read, rule, &look->ends, from) ||
            (rule->both && has_ends(config->read, rule, &look->ends, !from)));
}

static void report_match(struct ips_look *look, const struct ips_rule *rule, uint8_t action, bool reply)
{
    struct nf *nf = look->nf;
    struct ips *ips = nf->state;
    uint64_t *alerted = NF_EDIT_WORD(nf, &ips->alerted);
    struct ips_alert *alert = NF_EDIT(nf, &ips->alert[*alerted % ips->alerts]);
    unsigned from = reply != look->reply;

    *alerted += 1;
    *alert = (struct ips_alert){.time = look->now,
                                .sid = rule->sid,
                                .rev = rule->rev,
                                .action = action,
                                .proto = rule->proto,
                                .ipv6 = nf_session_sees_ipv6(look->nf, look->session)};
    for (unsigned i = 0; i < 2; i++) {
        alert->port[i] = look->ends.port[i ^ from];
        memcpy(alert->addr[i], look->ends.addr[i ^ from].byte, sizeof(alert->addr[i]));
    }
    look->sums[IPS_ALERTS]++;
}

static void ips_match(struct ips_look *look, uint32_t place, bool reply)
{
    const struct ips_config *config = look->nf->config;
    struct ips *ips = look->nf->state;
    const struct ips_rule *rule = &config->read->rule[place];
    struct ips_live *live = NF_EDIT(look->nf, &ips->live[place]);
    struct ips_decision decision;

    look->steps += 16;
    live->hits++;
    look->sums[IPS_MATCHES]++;
    decision = ips_threshold(look, rule, look->ends.addr[(reply != look->reply) != rule->by_dst].byte);
    if (decision.tell)
        report_match(look, rule, (uint8_t)live->action, reply);
    if (decision.act && live->action != IPS_ALERT)
        look->verdict = (uint8_t)live->action;
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
