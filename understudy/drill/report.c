/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came of a drill: a table for people, JSON, and a report of the runs, of which the page draws timelines
 * to scale. Reads runs when they are over, and what their prober noted; used by the main thread. See
 * understudy/drill/drill.h.
 */
#include "understudy/drill/drill.h"

#include <stdlib.h>
#include <string.h>

#define DRAWN 12u /* runs, at most */

/* ── figures ── */

#define OF(field) offsetof(struct nd_drill_run, field)

static const struct nd_column times[] = {
    ND_KNOWN("detect", "detect_ms", OF(detect_ms), 8, 1),
    ND_KNOWN("replay", "replay_ms", OF(replay_ms), 8, 1),
    ND_KNOWN("first", "first_packet_ms", OF(first_packet_ms), 8, 1),
    ND_KNOWN("outage", "outage_ms", OF(outage_ms), 8, 1),
    ND_KNOWN("flow", "flow_silence_ms", OF(flow_silence_ms), 8, 1),
    ND_KNOWN("worst", "flow_worst_ms", OF(flow_worst_ms), 8, 1),
    ND_KNOWN("resync", "resync_silence_ms", OF(resync_silence_ms), 8, 1),
    ND_KNOWN("again", "protected_ms", OF(protected_ms), 8, 1),
    {.title = NULL},
};

static const struct nd_column counts[] = {
    ND_KNOWN("held", "held", OF(held), 7, 0),
    ND_WHOLE("lost", "lost", OF(seen.lost), 7),
    ND_WHOLE("dup", "duplicated", OF(seen.duplicated), 7),
    ND_WHOLE("tail", "tail_emitted", OF(tail_emitted), 7),
    ND_WHOLE(NULL, "tail_suppressed", OF(tail_suppressed), 0),
    ND_WHOLE(NULL, "at_ns", OF(at_ns), 0),
    ND_WHOLE(NULL, "sent", OF(seen.sent), 0),
    ND_WHOLE(NULL, "reordered", OF(seen.reordered), 0),
    ND_WHOLE(NULL, "contradicted", OF(seen.contradicted), 0),
    ND_WHOLE(NULL, "flows_broken", OF(seen.flows_broken), 0),
    ND_WHOLE(NULL, "view_before", OF(view_before), 0),
    ND_WHOLE(NULL, "view_after", OF(view_after), 0),
    ND_WHOLE(NULL, "false_takeovers", OF(false_takeovers), 0),
    ND_KNOWN(NULL, "back_ms", OF(back_ms), 0, 0),
    {.title = NULL},
};

/* The median of each time over the runs that know it; -1 when none does. */
static struct nd_drill_run medians_of(const struct nd_drill_run *runs, unsigned count)
{
    double *known = malloc((count + 1) * sizeof *known);
    struct nd_drill_run middle = {.at_ns = 0};
    for (const struct nd_column *c = times; c->title; c++) {
        unsigned n = 0;
        for (unsigned i = 0; known != NULL && i < count; i++) {
            double v = *(const double *)((const char *)&runs[i] + c->offset);
            if (v >= 0)
                known[n++] = v;
        }
        *(double *)((char *)&middle + c->offset) = n > 0 ? nd_quantile(known, n, 0.5) : -1;
    }
    free(known);
    return middle;
}

/* ── for people ── */

static const char *const verdicts[] = {[ND_DIGESTS_NOT_COMPARED] = "not compared",
                                       [ND_DIGESTS_EQUAL] = "equal",
                                       [ND_DIGESTS_DIFFERENT] = "DIFFERENT"};

/* What the titles of the times mean. */
static const char legend[] =
    "all times in ms; detect: hurt to suspected; replay: of the log; first: suspected to first release;\n"
    "outage, flow, worst: longest silence around it of the probe, the median and the worst TCP flow;\n"
    "resync: of the probe from then on; again: hurt to PROTECTED";

#define REMARK 160u

/* What a woken node did, and takeovers that nobody asked for, as the end of a sentence; "": neither. */
static const char *remark_on(const struct nd_drill_run *r, char out[REMARK])
{
    int n = 0;
    out[0] = 0;
    if (r->was_fenced)
        n = snprintf(out, REMARK, "; fenced, released %s",
                     r->released_after    ? "AFTER IT"
                     : r->burst_in_flight ? "nothing after it but one burst in flight"
                                          : "nothing after it");
    if (r->false_takeovers)
        snprintf(out + n, REMARK - (size_t)n, "; %lu false takeovers", r->false_takeovers);
    return out;
}

static void print_table(const struct nd_drill *d, const struct nd_drill_run *runs, unsigned count)
{
    printf("%-4s %-12s", "run", "victim");
    nd_columns_heads(stdout, times);
    nd_columns_heads(stdout, counts);
    printf("  digests\n");
    for (unsigned i = 0; i < count; i++) {
        const struct nd_drill_run *r = &runs[i];
        char remark[REMARK];
        printf("%-4u %-12s", i + 1, r->victim);
        nd_columns_cells(stdout, times, r);
        nd_columns_cells(stdout, counts, r);
        printf("  %s%s%s%s\n", verdicts[r->digests], remark_on(r, remark), r->failure[0] ? "; FAILED: " : "",
               r->failure);
    }
    if (count > 1) {
        const struct nd_sheet sheet = {.out = stdout, .wide = 17};
        struct nd_drill_run middle = medians_of(runs, count);
        nd_sheet_row(&sheet, times, "median", &middle);
    }
    printf("%s\n", legend);
    if (d->prober)
        printf("longest silence without a failure: %.1f ms in %.1f s\n", d->baseline_ms, d->baseline_s);
}

/* ── for programs ── */

static json_t *known_or_null(double v)
{
    return v < 0 ? json_null() : json_real(v);
}

/* Null: not known. */
static json_t *digests(const struct nd_drill *d, const struct nd_drill_run *r)
{
    if (!r->digest[0][0] || !r->digest[1][0])
        return json_null();
    return json_pack("{s:s, s:s}", d->config->node[0].name, r->digest[0], d->config->node[1].name,
                     r->digest[1]);
}

static json_t *run_object(const struct nd_drill *d, const struct nd_drill_run *r)
{
    json_t *fenced = json_pack("{s:b,s:b,s:o,s:I}", "released_after", r->released_after, "burst_in_flight",
                               r->burst_in_flight, "before_ms", known_or_null(r->fenced_before_ms), "dropped",
                               (json_int_t)r->fenced_dropped);
    json_t *o = json_pack(
        "{s:s, s:s, s:o, s:o, s:s?, s:O?, s:s, s:s?}", "victim", r->victim, "survivor", r->survivor,
        "digests_equal",
        r->digests == ND_DIGESTS_NOT_COMPARED ? json_null() : json_boolean(r->digests == ND_DIGESTS_EQUAL),
        "digests", digests(d, r), "not_compared", r->not_compared[0] ? r->not_compared : NULL, "fenced",
        r->was_fenced ? fenced : NULL, "reason", r->reason, "failure", r->failure[0] ? r->failure : NULL);
    json_decref(fenced);
    nd_columns_json(o, times, r);
    nd_columns_json(o, counts, r);
    return o;
}

/* What -o json prints. */
static json_t *drill_object(const struct nd_drill *d, const struct nd_drill_run *runs, unsigned count)
{
    struct nd_drill_run middle = medians_of(runs, count);
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, run_object(d, &runs[i]));
    return json_pack("{s:s, s:o, s:o, s:o, s:f}", "kind", nd_drill_kinds[d->kind], "runs", list, "median",
                     nd_columns_object(times, &middle), "baseline_gap_ms",
                     known_or_null(d->prober ? d->baseline_ms : -1), "baseline_s", d->baseline_s);
}

int nd_drill_print(const struct nd_drill *d, const struct nd_drill_run *runs, unsigned count)
{
    if (d->options.json) {
        json_t *o = drill_object(d, runs, count);
        int code = nd_print_json(o);
        json_decref(o);
        return code;
    }
    if (count > 0)
        print_table(d, runs, count);
    return ND_DONE;
}

/* ── a report: the pair ── */

static void write_node(const struct nd_sheet *s, const struct nd_config *config, unsigned node)
{
    const struct nd_node *n = &config->node[node];
    char title[48], ports[NF_PORTS_MAX * 600] = "";
    for (unsigned p = 0, used = 0; p < config->ports && used < sizeof ports; p++)
        used += (size_t)snprintf(ports + used, sizeof ports - used, ", port %s", n->port[p]);
    snprintf(title, sizeof title, "node %s", n->name);
    nd_sheet_fact(s, title, "%s at the first start, link at %s:%u, control %s%s%s",
                  n->role == ND_ROLE_PRIMARY ? "primary" : "standby", n->host, n->tcp_port, n->control, ports,
                  n->realtime ? ", real-time" : "");
}

static void write_pair(const struct nd_sheet *s, const struct nd_drill *d)
{
    const struct nd_config *c = d->config;
    const struct nd_timing *t = &c->timing;
    const struct nd_protect *p = &c->protect;
    char mode[ND_MODE_TEXT], nfs[512] = "";
    for (size_t i = 0, used = 0; i < c->chain.count && used < sizeof nfs; i++)
        used += (size_t)snprintf(nfs + used, sizeof nfs - used, "%s%s", i ? ", " : "",
                                 c->chain.nfs[i].module->name);
    nd_sheet_fact(s, "file", "%s", c->file);
    nd_sheet_fact(s, "chain", "%s: %s; %u lane%s", c->chain.name, nfs, c->chain.lanes,
                  c->chain.lanes == 1 ? "" : "s");
    nd_sheet_fact(s, "protection", "%s, standby %s%s",
                  nd_mode_text(mode, p->mode, nd_modes[p->asked], p->decided_by), nd_standbys[p->standby],
                  p->strict ? ", strict" : "");
    nd_sheet_fact(s, "times",
                  "heartbeat %u ms, lease %u ms, detect %u ms, promote within %u ms, solo after %u ms",
                  t->heartbeat_ms, t->lease_ms, t->detect_ms, t->promote_within_ms, t->solo_after_ms);
    nd_sheet_fact(s, "link", "sealed by %s", /* of the key not even where it lies */
                  c->link.key[0]           ? "a key"
                  : c->link.certificate[0] ? "certificates"
                                           : "nothing (insecure)");
    for (unsigned i = 0; i < c->nodes; i++)
        write_node(s, c, i);
    if (d->prober != NULL)
        nd_sheet_fact(s, "probe", "a datagram each ms to %s port %u, %u TCP flows beside it",
                      c->probe.address, c->probe.port, d->options.flows);
    else
        nd_sheet_fact(s, "probe", "none%s", d->options.no_probe ? " (--no-probe)" : "");
}

/* ── a report: timelines, whose times are µs since the victim was hurt, or, on another server, since it was
 * asked to end itself, which its main thread does in its next turn ── */

static json_t *ms_of(const struct nd_drill_run *r, uint64_t ns)
{
    return ns == 0 ? json_null() : json_real(((double)ns - (double)r->at_ns) / 1e6);
}

struct timeline {
    const struct nd_drill_run *run;
    json_t *answered, *lost; /* of an arrival: answered alone */
};

static void append_us(json_t *to, const struct nd_drill_run *r, uint64_t ns)
{
    int64_t since = (int64_t)(ns - r->at_ns);
    json_array_append_new(to, json_integer(since >= 0 ? since / 1000 : -((999 - since) / 1000)));
}

static void add_send(void *ctx, uint64_t ns, uint64_t answered_ns)
{
    struct timeline *t = ctx;
    bool answered = answered_ns != 0 && answered_ns <= t->run->seen.asked_ns;
    append_us(answered ? t->answered : t->lost, t->run, ns);
}

static void add_arrival(void *ctx, uint64_t ns)
{
    struct timeline *t = ctx;
    append_us(t->answered, t->run, ns);
}

/* Flow -1: the probe's datagrams. The silence is the longest one around the takeover: its begin and its
 * length. */
static json_t *arrivals_object(const struct nd_drill *d, const struct nd_drill_run *r, int flow,
                               uint64_t from)
{
    struct timeline t = {.run = r, .answered = json_array()};
    uint64_t begin,
        length = nd_probe_silence(d->prober, flow, r->at_ns, r->over_ns + ND_AFTER_MS * ND_MS, &begin);
    char name[16] = "probe answered";
    if (flow >= 0)
        snprintf(name, sizeof name, "flow %d", flow + 1);
    nd_probe_arrivals(d->prober, flow, from, r->ended_ns, add_arrival, &t);
    return json_pack("{s:s, s:o, s:[o, f]}", "name", name, "at", t.answered, "silence_ms", ms_of(r, begin),
                     (double)length / 1e6);
}

/* Drawings begin before the fault by a sixth of what they show, the silence around it included. */
static void add_timeline(json_t *to, const struct nd_drill *d, const struct nd_drill_run *r)
{
    uint64_t begin, before = 2 * ND_BEFORE_MS * ND_MS + (r->ended_ns - r->at_ns) / 6;
    struct timeline t = {.run = r, .answered = json_array(), .lost = json_array()};
    json_t *arrivals = json_array();
    for (int flow = -1; flow < (int)d->options.flows; flow++) {
        nd_probe_silence(d->prober, flow, r->at_ns, r->over_ns + ND_AFTER_MS * ND_MS, &begin);
        before += begin != 0 && begin < r->at_ns && r->at_ns - begin > before ? r->at_ns - begin : 0;
    }
    uint64_t from = r->at_ns > before ? r->at_ns - before : 0;
    for (int flow = -1; flow < (int)d->options.flows; flow++)
        json_array_append_new(arrivals, arrivals_object(d, r, flow, from));
    nd_probe_sends(d->prober, from, r->ended_ns, add_send, &t);
    json_object_set_new(to, "sent", t.answered);
    json_object_set_new(to, "lost", t.lost);
    json_object_set_new(to, "arrivals", arrivals);
}

static json_t *drawn_object(const struct nd_drill *d, const struct nd_drill_run *r, unsigned number)
{
    const struct nd_sheet s = {.blocks = json_array()};
    bool planned = d->kind == ND_DRILL_PLANNED;
    char remark[REMARK], fault[48];
    if (r->reason[0] != 0)
        nd_sheet_fact(&s, "takeover", "by %s: %s; view %lu, before %lu", r->survivor, r->reason,
                      r->view_after, r->view_before);
    if (r->digests == ND_DIGESTS_NOT_COMPARED)
        nd_sheet_fact(&s, "digests", "not compared: %s%s", r->not_compared, remark_on(r, remark));
    else
        nd_sheet_fact(&s, "digests", "%s: %s %s, %s %s%s", verdicts[r->digests], d->config->node[0].name,
                      r->digest[0], d->config->node[1].name, r->digest[1], remark_on(r, remark));
    snprintf(fault, sizeof fault, "%s%s", planned ? "handover" : nd_drill_kinds[d->kind],
             planned || r->asked ? " asked for" : "");
    json_t *o = json_pack("{s:I, s:o, s:s, s:o, s:o}", "run", (json_int_t)number, "blocks", s.blocks, "fault",
                          fault, "decided_ms", ms_of(r, r->decided_ns), "ended_ms", ms_of(r, r->ended_ns));
    if (d->prober != NULL)
        add_timeline(o, d, r);
    return o;
}

/* Those that failed come before the others, and of these the longest outage first. */
static bool is_worse(const struct nd_drill_run *a, const struct nd_drill_run *b)
{
    bool failed = a->failure[0] != 0;
    return failed != (b->failure[0] != 0) ? failed : a->outage_ms > b->outage_ms;
}

/* Which ones are drawn, in the runs' order: all of a few. */
static unsigned choose_runs(const struct nd_drill_run *runs, unsigned count, unsigned chosen[DRAWN])
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++) {
        if (n == DRAWN) {
            unsigned out = 0;
            for (unsigned k = 1; k < DRAWN; k++)
                out = is_worse(&runs[chosen[out]], &runs[chosen[k]]) ? k : out;
            if (!is_worse(&runs[i], &runs[chosen[out]]))
                continue;
            memmove(&chosen[out], &chosen[out + 1], (DRAWN - 1 - out) * sizeof chosen[0]);
            n--;
        }
        chosen[n++] = i;
    }
    return n;
}

/* ── a report ── */

static json_t *verdict_object(const struct nd_drill_run *runs, unsigned count, const char *fault)
{
    json_t *lines = json_array();
    const struct nd_sheet s = {.blocks = json_array()};
    unsigned bad = 0;
    for (unsigned i = 0; i < count; i++)
        bad += runs[i].failure[0] != 0;
    bool good = bad == 0 && fault[0] == 0 && count > 0;
    if (good)
        nd_sheet_note(&s, "%u run%s, all as it should be.", count, count == 1 ? "" : "s");
    else if (count > 0)
        nd_sheet_note(&s, "%u of %u run%s failed.", bad, count, count == 1 ? "" : "s");
    if (fault[0] != 0)
        nd_sheet_note(&s, "No %srun: %s", count > 0 ? "further " : "", fault);
    else if (count == 0)
        nd_sheet_note(&s, "No run: ended by a signal.");
    for (size_t i = 0; i < json_array_size(s.blocks); i++)
        json_array_append(lines, json_object_get(json_array_get(s.blocks, i), "note"));
    json_decref(s.blocks);
    return json_pack("{s:b, s:o}", "good", good, "lines", lines);
}

int nd_drill_report(struct nd_drill *d, const struct nd_drill_run *runs, unsigned count, const char *fault)
{
    const struct nd_sheet head = {.blocks = json_array()}, pair = {.blocks = json_array()};
    unsigned chosen[DRAWN], n = choose_runs(runs, count, chosen);
    json_t *o, *drawn = json_array(), *columns = nd_columns_described(times),
               *others = nd_columns_described(counts);
    char title[64];
    snprintf(title, sizeof title, "Drill: %s", nd_drill_kinds[d->kind]);
    nd_machine_facts(&head);
    write_pair(&pair, d);
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(drawn, drawn_object(d, &runs[chosen[i]], chosen[i]));
    json_array_extend(columns, others);
    json_decref(others);
    o = drill_object(d, runs, count);
    json_object_update_new(o, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:[s, s]}", "kind",
                                        "drill", "drill", nd_drill_kinds[d->kind], "title", title, "verdict",
                                        verdict_object(runs, count, fault), "blocks", head.blocks, "columns",
                                        columns, "legend", legend, "drawn", drawn, "pair", pair.blocks,
                                        "nodes", d->config->node[0].name, d->config->node[1].name));
    return nd_report_write(&d->report, o);
}
