/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run drawn to scale, three times: the takeover, the TCP flows around it, and the whole run, each from what
 * the drill knows and from what its prober noted. Times are ms since the victim was hurt, or, on another
 * server, since it was asked to end itself, which its main thread does in its next turn. See
 * tools/drill/drill.h.
 */
#include "tools/drill/drill.h"

#include <string.h>

#define ROW    22.0
#define THICK  14.0
#define TOP    20.0 /* for what is said above the fault */
#define BELOW  24.0 /* for the axis' labels */
#define MERGED 1.1  /* ticks that are nearer become one */
#define WIDTH  0.9  /* of a tick */

struct drawing {
    struct nd_page *page;
    const struct nd_drill *drill;
    const struct nd_drill_run *run;
    struct nd_scale scale;
    const char *unit;
    double y;
};

static uint64_t ns_of(const struct nd_drill_run *r, double ms)
{
    return (uint64_t)((double)r->at_ns + ms * 1e6);
}

static double ms_of(const struct nd_drill_run *r, uint64_t ns)
{
    return ((double)ns - (double)r->at_ns) / 1e6;
}

/* A drawing of so many rows. `fault`: what lies at zero. */
static struct drawing begin_drawing(struct nd_page *page, const struct nd_drill *d,
                                    const struct nd_drill_run *r, const char *what, double from, double to,
                                    unsigned rows)
{
    struct drawing g = {.page = page, .drill = d, .run = r, .scale = nd_scale_of(from, to), .y = TOP};
    double bottom = TOP + rows * ROW;
    nd_page_element(page, "h3", "%s", what);
    nd_page_draw(page, bottom + BELOW, what);
    nd_page_axis(page, &g.scale, TOP, bottom, "ms");
    nd_page_label(page, nd_scale_at(&g.scale, 0), TOP - 6, "middle", "%s%s",
                  d->kind == ND_DRILL_PLANNED ? "handover" : nd_drill_kinds[d->kind],
                  d->kind == ND_DRILL_PLANNED || r->asked ? " asked for" : "");
    return g;
}

/* With a line through all rows at zero. */
static void end_drawing(struct drawing *g)
{
    nd_page_put(g->page, "<path class=\"mark\" d=\"M%.1f %.1fV%.1f\"/>\n", nd_scale_at(&g->scale, 0), TOP - 2,
                g->y);
    nd_page_drawn(g->page);
}

static void label_row(struct drawing *g, const char *name)
{
    bool longer = strlen(name) > 24;
    nd_page_label(g->page, ND_PAGE_LEFT - 10, g->y + ROW - 7, "end", "%.*s%s", longer ? 23 : 24, name,
                  longer ? "…" : "");
}

static void end_row(struct drawing *g)
{
    g->y += ROW;
}

static void draw_span(struct drawing *g, const char *kind, double from, double to)
{
    if (to > g->scale.low && from < g->scale.high && to >= from)
        nd_page_bar(g->page, &g->scale, kind, g->y + (ROW - THICK) / 2, THICK, from, to);
}

/* ── steps ── */

static void draw_step(struct drawing *g, const char *name, const char *kind, double from, double to)
{
    label_row(g, name);
    draw_span(g, kind, from, to);
    nd_page_label(g->page, ND_PAGE_RIGHT + 8, g->y + ROW - 7, "start", "%.1f ms", to - from);
    end_row(g);
}

struct steps {
    double suspected, decided, replayed, released; /* ms; negative: not known */
    unsigned count;
};

static struct steps steps_of(const struct nd_drill_run *r)
{
    struct steps s = {.suspected = r->detect_ms, .decided = -1, .replayed = -1, .released = -1};
    if (r->decided_ns != 0)
        s.decided = ms_of(r, r->decided_ns);
    if (s.decided >= 0 && r->replay_ms >= 0)
        s.replayed = s.decided + r->replay_ms;
    if (r->detect_ms >= 0 && r->first_packet_ms >= 0)
        s.released = r->detect_ms + r->first_packet_ms;
    s.count = (s.suspected >= 0) + (s.decided > s.suspected) + (s.replayed >= 0) + (s.released >= 0);
    return s;
}

static void draw_steps(struct drawing *g, const struct steps *s)
{
    bool alone = g->drill->kind == ND_DRILL_STANDBY_KILL, planned = g->drill->kind == ND_DRILL_PLANNED;
    if (s->suspected >= 0)
        draw_step(g,
                  alone     ? "until it goes on alone"
                  : planned ? "until it decides"
                            : "detection",
                  "wait", 0, s->suspected);
    if (s->decided > s->suspected)
        draw_step(g, "decision", "off", s->suspected, s->decided);
    if (s->replayed >= 0)
        draw_step(g, "replay", "one", s->decided, s->replayed);
    if (s->released >= 0)
        draw_step(g, "first packet", "good", s->suspected, s->released);
}

/* ── ticks ── */

/* Ticks of one row, which become one path. */
struct ticks {
    struct drawing *g;
    bool lost;          /* those that were not answered, higher; else the others */
    unsigned count;     /* of what the ticks stand for */
    double left, right; /* of what is not written yet; left < 0: nothing */
};

static void flush_ticks(struct ticks *t)
{
    double high = t->lost ? ROW - 4 : THICK;
    if (t->left >= 0)
        nd_page_put(t->g->page, "M%.1f %.1fh%.1fv%.1fh-%.1fz", t->left - WIDTH / 2,
                    t->g->y + (ROW - high) / 2, t->right - t->left + WIDTH, high, t->right - t->left + WIDTH);
    t->left = -1;
}

static void add_tick(struct ticks *t, uint64_t ns)
{
    double x = nd_scale_at(&t->g->scale, ms_of(t->g->run, ns));
    t->count++;
    if (t->left >= 0 && x - t->right < MERGED) {
        t->right = x;
        return;
    }
    flush_ticks(t);
    t->left = t->right = x;
}

static void add_send(void *ctx, uint64_t ns, uint64_t answered_ns)
{
    struct ticks *t = ctx;
    bool answered = answered_ns != 0 && answered_ns <= t->g->run->seen.asked_ns;
    if (answered != t->lost)
        add_tick(t, ns);
}

static void add_arrival(void *ctx, uint64_t ns)
{
    add_tick(ctx, ns);
}

static uint64_t first_ns(const struct drawing *g)
{
    return ns_of(g->run, g->scale.low);
}

/* Nothing is drawn that came after the run. */
static uint64_t last_ns(const struct drawing *g)
{
    uint64_t last = ns_of(g->run, g->scale.high);
    return last < g->run->ended_ns ? last : g->run->ended_ns;
}

static unsigned draw_sends_of(struct drawing *g, bool lost)
{
    struct ticks t = {.g = g, .lost = lost, .left = -1};
    nd_page_put(g->page, "<path class=\"%s\" d=\"", lost ? "lost" : "one");
    nd_probe_sends(g->drill->prober, first_ns(g), last_ns(g), add_send, &t);
    flush_ticks(&t);
    nd_page_put(g->page, "\" data-count=\"%u\"/>\n", t.count);
    return t.count;
}

static void draw_sends(struct drawing *g)
{
    label_row(g, "probe sent");
    draw_sends_of(g, false);
    unsigned lost = draw_sends_of(g, true);
    nd_page_label(g->page, ND_PAGE_RIGHT + 8, g->y + ROW - 7, "start", "%u lost", lost);
    end_row(g);
}

/* The longest one around the takeover, in ns, of the probe, flow -1, or of a TCP flow. */
static uint64_t silence_of(const struct nd_drill *d, const struct nd_drill_run *r, int flow, uint64_t *begin)
{
    return nd_probe_silence(d->prober, flow, r->at_ns, r->over_ns + ND_AFTER_MS * ND_MS, begin);
}

/* Arrivals of the probe, flow -1, or of a TCP flow, and the longest time without one around the takeover. */
static void draw_arrivals(struct drawing *g, const char *name, int flow)
{
    struct ticks t = {.g = g, .left = -1};
    uint64_t begin, length = silence_of(g->drill, g->run, flow, &begin);
    label_row(g, name);
    draw_span(g, "gap", ms_of(g->run, begin), ms_of(g->run, begin + length));
    nd_page_put(g->page, "<path class=\"one\" d=\"");
    nd_probe_arrivals(g->drill->prober, flow, first_ns(g), last_ns(g), add_arrival, &t);
    flush_ticks(&t);
    nd_page_put(g->page, "\" data-count=\"%u\"/>\n", t.count);
    nd_page_label(g->page, ND_PAGE_RIGHT + 8, g->y + ROW - 7, "start", "%.1f ms silent",
                  (double)length / 1e6);
    end_row(g);
}

/* ── the three drawings ── */

/* What a drawing shows, ms. */
struct window {
    double first, last;
};

static void show(struct window *w, double ms)
{
    w->first = ms < w->first ? ms : w->first;
    w->last = ms > w->last ? ms : w->last;
}

static void show_silence(struct window *w, const struct nd_drill *d, const struct nd_drill_run *r, int flow)
{
    uint64_t begin, length = silence_of(d, r, flow, &begin);
    if (length > 0) {
        show(w, ms_of(r, begin));
        show(w, ms_of(r, begin + length));
    }
}

/* And a sixth more at both ends. */
static struct drawing begin_window(struct nd_page *page, const struct nd_drill *d,
                                   const struct nd_drill_run *r, const char *what, const struct window *w,
                                   unsigned rows)
{
    double more = (w->last - w->first) / 6;
    return begin_drawing(page, d, r, what, w->first - more, w->last + more, rows);
}

static void draw_takeover(struct nd_page *page, const struct nd_drill *d, const struct nd_drill_run *r)
{
    static const char *const titles[ND_DRILL_KINDS] = {[ND_DRILL_KILL] = "The takeover",
                                                       [ND_DRILL_SERVER_LOSS] = "The takeover",
                                                       [ND_DRILL_HANG] = "The takeover",
                                                       [ND_DRILL_STANDBY_KILL] = "The loss of the standby",
                                                       [ND_DRILL_PLANNED] = "The handover"};
    struct steps s = steps_of(r);
    struct window w = {0, 0};
    show(&w, s.suspected);
    show(&w, s.replayed);
    show(&w, s.released);
    w.first = 0; /* negative: not known */
    if (d->prober != NULL)
        show_silence(&w, d, r, -1);
    if (w.last <= 0)
        return;
    struct drawing g = begin_window(page, d, r, titles[d->kind], &w, s.count + (d->prober != NULL ? 2 : 0));
    draw_steps(&g, &s);
    if (d->prober != NULL) {
        draw_sends(&g);
        draw_arrivals(&g, "probe answered", -1);
    }
    end_drawing(&g);
}

static void draw_flows(struct nd_page *page, const struct nd_drill *d, const struct nd_drill_run *r)
{
    struct window w = {0, 0};
    for (unsigned f = 0; d->prober != NULL && f < d->options.flows; f++)
        show_silence(&w, d, r, (int)f);
    if (w.last <= 0)
        return;
    struct drawing g = begin_window(page, d, r, "TCP flows of the probe", &w, d->options.flows);
    for (unsigned f = 0; f < d->options.flows; f++) {
        char name[16];
        snprintf(name, sizeof name, "flow %u", f + 1);
        draw_arrivals(&g, name, (int)f);
    }
    end_drawing(&g);
}

/* From state to state; negative times are not known, and nothing follows them. */
static void draw_victim(struct drawing *g, double protected)
{
    const struct nd_drill_run *r = g->run;
    bool standby = g->drill->kind == ND_DRILL_STANDBY_KILL, planned = g->drill->kind == ND_DRILL_PLANNED;
    double gone = planned && r->detect_ms >= 0 ? r->detect_ms : 0, end = ms_of(r, r->ended_ns);
    double back = planned ? gone : r->back_ms >= 0 ? r->back_ms : protected >= 0 ? protected : end;
    double again = protected >= 0 ? protected : end;
    label_row(g, r->victim);
    draw_span(g, standby ? "two" : "one", g->scale.low, gone);
    draw_span(g, "bad", gone, back);
    draw_span(g, "off", back, again);
    draw_span(g, "two", again, end);
    end_row(g);
}

static void draw_survivor(struct drawing *g, double protected)
{
    const struct nd_drill_run *r = g->run;
    bool standby = g->drill->kind == ND_DRILL_STANDBY_KILL;
    double end = ms_of(r, r->ended_ns), again = protected >= 0 ? protected : end;
    double alone = standby ? r->detect_ms : r->decided_ns ? ms_of(r, r->decided_ns) : -1;
    label_row(g, r->survivor);
    draw_span(g, standby ? "one" : "two", g->scale.low, alone >= 0 ? alone : end);
    if (alone >= 0) {
        draw_span(g, "wait", alone, again);
        draw_span(g, "one", again, end);
    }
    end_row(g);
}

static void draw_whole(struct nd_page *page, const struct nd_drill *d, const struct nd_drill_run *r)
{
    struct drawing g = begin_drawing(page, d, r, "The whole run", -(double)ND_BEFORE_MS,
                                     ms_of(r, r->ended_ns), d->prober != NULL ? 4 : 2);
    for (unsigned i = 0; i < ND_NODES; i++)
        if (strcmp(d->config->node[i].name, r->victim) == 0)
            draw_victim(&g, r->protected_ms);
        else
            draw_survivor(&g, r->protected_ms);
    if (d->prober != NULL) {
        draw_sends(&g);
        draw_arrivals(&g, "probe answered", -1);
    }
    end_drawing(&g);
    nd_page_put(page, "<p>");
    if (r->back_ms >= 0)
        nd_page_text(page, "%s was back after %.0f ms. ", r->victim, r->back_ms);
    if (r->protected_ms >= 0)
        nd_page_text(page, "The pair was PROTECTED again after %.0f ms.", r->protected_ms);
    else
        nd_page_text(page, "The pair was not PROTECTED again.");
    nd_page_put(page, "</p>\n");
}

void nd_drill_draw(struct nd_page *page, const struct nd_drill *d, const struct nd_drill_run *r)
{
    draw_takeover(page, d, r);
    draw_flows(page, d, r);
    draw_whole(page, d, r);
}

void nd_drill_draw_key(struct nd_page *page, const struct nd_drill *d)
{
    static const char *const keys[][2] = {{"one", "primary with a standby"},
                                          {"wait", "primary alone"},
                                          {"two", "standby"},
                                          {"bad", "down or stopped"},
                                          {"off", "back, not yet a standby"},
                                          {"one", "datagram, answer"},
                                          {"bad", "datagram without an answer"},
                                          {"gap", "longest silence around the takeover"}};
    nd_page_put(page, "<p class=\"keys\">");
    for (unsigned i = 0; i < (d->prober != NULL ? 8 : 5); i++)
        nd_page_put(page, "<span><i class=\"key %s\"></i>%s</span>", keys[i][0], keys[i][1]);
    nd_page_put(page, "</p>\n");
    if (d->prober != NULL)
        nd_page_put(
            page,
            "<p>A tick is a datagram of the probe when it was sent, or an answer or bytes of a TCP flow "
            "when they came. Ticks that are nearer than a pixel are one.</p>\n");
}
