/* SPDX-License-Identifier: Apache-2.0 */
/* The bench's page: its place, its drawings, in which each figure is a bar from 0 on, and the tables. */
#include "tools/bench/bench.h"
#include "cli/options.h"

#define ROW   17.0 /* of a bar and its figure */
#define THICK 12.0
#define GAP   7.0  /* between groups of bars */
#define BELOW 24.0 /* for the axis' labels */

#define LARGE_US 10000.0 /* from here on latencies are drawn in ms */

struct drawing {
    struct nd_page *page;
    struct nd_scale scale;
    const char *unit;
    double y;
};

static struct drawing begin_drawing(struct nd_page *page, const char *title, const char *unit, double most,
                                    unsigned groups, unsigned bars)
{
    struct drawing d = {.page = page, .scale = nd_scale_of(0, most), .unit = unit, .y = GAP};
    double bottom = GAP + groups * (bars * ROW + GAP);

    nd_page_element(page, "h2", "%s", title);
    nd_page_draw(page, bottom + BELOW, title);
    nd_page_axis(page, &d.scale, 0, bottom, unit);
    return d;
}

/* In the middle of the bars of a group that begins. */
static void label_group(struct drawing *d, unsigned bars, const char *name, const char *more)
{
    nd_page_label(d->page, ND_PAGE_LEFT - 10, d->y + bars * ROW / 2 + 4, "end", "%s%s", name, more);
}

static void draw_bar(struct drawing *d, const char *kind, double value, int decimals, const char *more)
{
    nd_page_bar(d->page, &d->scale, kind, d->y + (ROW - THICK) / 2, THICK, 0, value);
    nd_page_label(d->page, ND_PAGE_RIGHT + 8, d->y + ROW - 4, "start", "%.*f %s%s", decimals, value, d->unit,
                  more);
    d->y += ROW;
}

static void put_key(struct nd_page *page, const char *kind, const char *what)
{
    nd_page_put(page, "<span><i class=\"key %s\"></i>%s</span>", kind, what);
}

/* ---- rates ------------------------------------------------------------------------------------- */

static void draw_rates(struct nd_page *page, const struct nd_bench *b,
                       const struct nd_bench_figures figures[])
{
    double most = 0;
    unsigned count = 0;
    struct drawing d;

    for (unsigned i = 0; i < b->count; i++)
        if (!b->rows[i].refused[0]) {
            most = figures[i].with.mpps > most ? figures[i].with.mpps : most;
            count++;
        }
    if (!count)
        return;
    d = begin_drawing(page, "Packets through the chain at saturation", "Mpps", most, count, 1);
    for (unsigned i = 0; i < b->count; i++) {
        bool off = nd_bench_is_off(&b->rows[i].protection);
        char less[32] = "";

        if (b->rows[i].refused[0])
            continue;
        if (!off)
            snprintf(less, sizeof(less), ", %+.1f %%", -figures[i].overhead_pct);
        label_group(&d, 1, b->rows[i].protection.name, "");
        draw_bar(&d, off ? "off" : "one", figures[i].with.mpps, 3, less);
        d.y += GAP;
    }
    nd_page_drawn(page);
}

/* ---- latencies --------------------------------------------------------------------------------- */

static double of_latency(const struct nd_bench_latency *latency, size_t offset)
{
    return *(const double *)((const char *)latency + offset);
}

/* One figure of them: of each protection at each load, beside off. */
static void draw_latencies(struct nd_page *page, const struct nd_bench *b, const char *title, size_t offset)
{
    struct nd_bench_load_figures f;
    double most = 0, unit;
    unsigned count = 0;
    struct drawing d;

    for (unsigned i = 0; i < b->count; i++)
        for (unsigned l = 0; l < ND_BENCH_LOADS && b->rows[i].late; l++, count++) {
            nd_bench_load_figures(&f, &b->rows[i], l);
            most = of_latency(&f.off, offset) > most ? of_latency(&f.off, offset) : most;
            most = of_latency(&f.with, offset) > most ? of_latency(&f.with, offset) : most;
        }
    if (!count)
        return;
    unit = most >= LARGE_US ? 1e-3 : 1;
    d = begin_drawing(page, title, unit < 1 ? "ms" : "µs", most * unit, count, 2);
    for (unsigned i = 0; i < b->count; i++)
        for (unsigned l = 0; l < ND_BENCH_LOADS && b->rows[i].late; l++) {
            char load[32];

            nd_bench_load_figures(&f, &b->rows[i], l);
            snprintf(load, sizeof(load), ", %lu %%", f.load);
            label_group(&d, 2, b->rows[i].protection.name, load);
            draw_bar(&d, "off", of_latency(&f.off, offset) * unit, 1, "");
            draw_bar(&d, "one", of_latency(&f.with, offset) * unit, 1, "");
            d.y += GAP;
        }
    nd_page_drawn(page);
    nd_page_put(page, "<p class=\"keys\">");
    put_key(page, "off", "off");
    put_key(page, "one", "with the protection");
    nd_page_put(page, "at the named load, in percent of what the protection reached at saturation</p>\n");
}

/* ---- takeovers --------------------------------------------------------------------------------- */

static void draw_takeovers(struct nd_page *page, const struct nd_bench *b,
                           const struct nd_bench_figures figures[])
{
    double most = 0;
    unsigned count = 0;
    struct drawing d;

    for (unsigned i = 0; i < b->count; i++)
        if (!b->rows[i].refused[0] && b->rows[i].takeovers) {
            most = figures[i].takeover_worst > most ? figures[i].takeover_worst : most;
            count++;
        }
    if (!count)
        return;
    d = begin_drawing(page, "Takeovers, from the kill to the first packet", "ms", most, count, 3);
    for (unsigned i = 0; i < b->count; i++) {
        char times[32];

        if (b->rows[i].refused[0] || !b->rows[i].takeovers)
            continue;
        snprintf(times, sizeof(times), ", %u kill%s", b->rows[i].takeovers,
                 b->rows[i].takeovers == 1 ? "" : "s");
        label_group(&d, 3, b->rows[i].protection.name, times);
        draw_bar(&d, "one", figures[i].takeover, 2, "");
        draw_bar(&d, "two", figures[i].takeover_p90, 2, "");
        draw_bar(&d, "off", figures[i].takeover_worst, 2, "");
        d.y += GAP;
    }
    nd_page_drawn(page);
    nd_page_put(page, "<p class=\"keys\">");
    put_key(page, "one", "median");
    put_key(page, "two", "90th percentile");
    put_key(page, "off", "worst");
    nd_page_put(page, "</p>\n");
}

void nd_bench_draw(struct nd_page *page, const struct nd_bench *b, const struct nd_bench_figures figures[])
{
    draw_rates(page, b, figures);
    draw_latencies(page, b, "Latency, median", offsetof(struct nd_bench_latency, p50));
    draw_latencies(page, b, "Latency, 99th percentile", offsetof(struct nd_bench_latency, p99));
    draw_takeovers(page, b, figures);
    nd_page_put(page, "<h2>Tables</h2>\n");
}

/* ---- the page ---------------------------------------------------------------------------------- */

static int refuse_report(int error, const struct ft_fault *fault)
{
    if (error == FT_EINVAL)
        return nd_usage("bench", "--report %.200s", fault->text);
    if (error != FT_OK)
        fprintf(stderr, "%s\n", fault->text);
    return error == FT_OK ? 0 : ND_DATA;
}

int nd_bench_report_open(struct nd_bench *b)
{
    struct ft_fault fault;

    return b->options.report ? refuse_report(nd_page_open(&b->page, b->options.report, &fault), &fault) : 0;
}

int nd_bench_report_write(struct nd_bench *b)
{
    const struct nd_sheet sheet = {.page = &b->page};
    struct ft_fault fault;
    char title[64];

    if (!b->options.report)
        return 0;
    snprintf(title, sizeof(title), "Bench of the chain %s", b->config->chain.name);
    nd_page_begin(&b->page, title);
    nd_bench_print(&sheet, b);
    return refuse_report(nd_page_close(&b->page, &fault), &fault);
}
