/* SPDX-License-Identifier: Apache-2.0 */
/* A drill's page: what was done to which pair, on what machine, what came of it, and the runs drawn to scale.
 * See tools/drill/drill.h. */
#include "tools/drill/drill.h"
#include "tools/pair/machine.h"

#include <string.h>

#define DRAWN 12u /* runs, at most */

/* ── what was done ── */

static void write_verdict(struct nd_page *page, const struct nd_drill_run *runs, unsigned count,
                          const char *fault)
{
    unsigned bad = 0;
    for (unsigned i = 0; i < count; i++)
        bad += runs[i].failure[0] != 0;
    if (bad == 0 && fault[0] == 0 && count > 0) {
        nd_page_element(page, "p class=\"good\"", "%u run%s, all as it should be.", count,
                        count == 1 ? "" : "s");
        return;
    }
    if (count > 0)
        nd_page_element(page, "p class=\"bad\"", "%u of %u run%s failed.", bad, count, count == 1 ? "" : "s");
    if (fault[0] != 0)
        nd_page_element(page, "p class=\"bad\"", "No %srun: %s", count > 0 ? "further " : "", fault);
    else if (count == 0)
        nd_page_element(page, "p class=\"bad\"", "No run: ended by a signal.");
}

/* ── the pair ── */

static void write_node(const struct nd_sheet *s, const struct nd_config *config, unsigned node)
{
    const struct nd_node *n = &config->node[node];
    char title[48], ports[NF_PORTS_MAX * 600] = "";
    for (unsigned p = 0, used = 0; p < NF_PORTS_MAX && n->port[p][0] && used < sizeof ports; p++)
        if (!config->chain.l3 || nf_l3_is_first(&config->l3, p))
            used += (size_t)snprintf(ports + used, sizeof ports - used, ", port %s", n->port[p]);
    snprintf(title, sizeof title, "node %s", n->name);
    nd_sheet_fact(s, title, "%s at the first start, link at %s:%u, control %s%s%s",
                  n->role == ND_ROLE_PRIMARY ? "primary" : "standby", n->host, n->tcp_port, n->control, ports,
                  n->realtime ? ", real-time" : "");
}

/* How the link is sealed; of the key not even where it lies. */
static const char *sealed_by(const struct nd_link *link)
{
    return link->key[0] ? "a key" : link->certificate[0] ? "certificates" : "nothing (insecure)";
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
    nd_sheet_fact(s, "link", "sealed by %s", sealed_by(&c->link));
    for (unsigned i = 0; i < c->nodes; i++)
        write_node(s, c, i);
    if (d->prober != NULL)
        nd_sheet_fact(s, "probe", "a datagram each ms to %s port %u, %u TCP flows beside it",
                      c->probe.address, c->probe.port, d->options.flows);
    else
        nd_sheet_fact(s, "probe", "none%s", d->options.no_probe ? " (--no-probe)" : "");
}

/* ── the runs ── */

static void write_figures(struct nd_page *page, const struct nd_drill *d, const struct nd_drill_run *runs,
                          unsigned count)
{
    nd_page_put(page, "<h2>Figures</h2>\n<div class=\"wide\"><table>\n<tr><th>run</th><th "
                      "class=\"words\">victim</th>");
    nd_sheet_page_heads(page, nd_drill_times);
    nd_sheet_page_heads(page, nd_drill_counts);
    nd_page_put(page, "<th class=\"words\">digests</th></tr>\n");
    for (unsigned i = 0; i < count; i++) {
        nd_page_put(page, "<tr><td>%u</td><td class=\"words\">", i + 1);
        nd_page_text(page, "%s", runs[i].victim);
        nd_page_put(page, "</td>");
        nd_sheet_page_cells(page, nd_drill_times, &runs[i]);
        nd_sheet_page_cells(page, nd_drill_counts, &runs[i]);
        nd_page_put(page, "<td class=\"words\">");
        nd_page_text(page, "%s%s", nd_drill_verdicts[runs[i].digests], runs[i].failure[0] ? "; FAILED" : "");
        nd_page_put(page, "</td></tr>\n");
    }
    if (count > 1) {
        struct nd_drill_run middle = nd_drill_medians(runs, count);
        nd_page_put(page, "<tr><td>median</td><td></td>");
        nd_sheet_page_cells(page, nd_drill_times, &middle);
        nd_page_put(page, "</tr>\n");
    }
    nd_page_put(page, "</table></div>\n");
    nd_page_element(page, "p", "%s", nd_drill_legend);
    if (d->prober != NULL)
        nd_page_element(page, "p", "longest silence without a failure: %.1f ms in %.1f s", d->baseline_ms,
                        d->baseline_s);
}

static void write_run(struct nd_page *page, const struct nd_drill *d, const struct nd_drill_run *r,
                      unsigned number)
{
    const struct nd_sheet s = {.page = page};
    char remark[ND_DRILL_REMARK];
    nd_page_element(page, "h2", "Run %u: %s of %s", number, nd_drill_kinds[d->kind], r->victim);
    if (r->failure[0] != 0)
        nd_page_element(page, "p class=\"bad\"", "FAILED: %s", r->failure);
    nd_page_put(page, "<dl>\n");
    if (r->reason[0] != 0)
        nd_sheet_fact(&s, "takeover", "by %s: %s; view %lu, before %lu", r->survivor, r->reason,
                      r->view_after, r->view_before);
    if (r->digests == ND_DIGESTS_NOT_COMPARED)
        nd_sheet_fact(&s, "digests", "not compared: %s%s", r->not_compared, nd_drill_remark(r, remark));
    else
        nd_sheet_fact(&s, "digests", "%s: %s %s, %s %s%s", nd_drill_verdicts[r->digests],
                      d->config->node[0].name, r->digest[0], d->config->node[1].name, r->digest[1],
                      nd_drill_remark(r, remark));
    nd_page_put(page, "</dl>\n");
    nd_drill_draw(page, d, r);
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

static void write_runs(struct nd_page *page, const struct nd_drill *d, const struct nd_drill_run *runs,
                       unsigned count)
{
    unsigned chosen[DRAWN], n = choose_runs(runs, count, chosen);
    nd_page_put(page, "<h2>Timelines</h2>\n");
    if (n < count)
        nd_page_element(page, "p",
                        "Of %u runs these %u are drawn: those that failed, and the longest outages.", count,
                        n);
    nd_drill_draw_key(page, d);
    for (unsigned i = 0; i < n; i++)
        write_run(page, d, &runs[chosen[i]], chosen[i] + 1);
}

/* ── the page ── */

static int refuse_report(int error, const struct ft_fault *fault)
{
    if (error == FT_EINVAL)
        return nd_usage("drill", "--report %.200s", fault->text);
    if (error < 0)
        fprintf(stderr, "understudy: %s\n", fault->text);
    return error < 0 ? ND_DATA : ND_DONE;
}

int nd_drill_report_open(struct nd_drill *d)
{
    struct ft_fault fault;
    return d->options.report ? refuse_report(nd_page_open(&d->page, d->options.report, &fault), &fault)
                             : ND_DONE;
}

int nd_drill_report_write(struct nd_drill *d, const struct nd_drill_run *runs, unsigned count,
                          const char *why)
{
    struct nd_page *page = &d->page;
    const struct nd_sheet s = {.page = page};
    struct ft_fault fault;
    char title[64];
    if (page->out == NULL)
        return ND_DONE;
    snprintf(title, sizeof title, "Drill: %s", nd_drill_kinds[d->kind]);
    nd_page_begin(page, title);
    write_verdict(page, runs, count, why);
    nd_page_put(page, "<dl>\n");
    nd_machine_facts(&s);
    nd_page_put(page, "</dl>\n");
    if (count > 0) {
        write_figures(page, d, runs, count);
        write_runs(page, d, runs, count);
    }
    nd_page_put(page, "<h2>The pair</h2>\n<dl>\n");
    write_pair(&s, d);
    nd_page_put(page, "</dl>\n");
    return refuse_report(nd_page_close(page, &fault), &fault);
}
