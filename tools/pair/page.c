/* SPDX-License-Identifier: Apache-2.0 */
/* See page.h. */
#define _GNU_SOURCE
#include "tools/pair/page.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AXIS_MOST 9.0 /* lines of an axis, about: their labels do not touch */

/* Nothing is loaded and nothing runs, whatever the page may say. */
static const char head[] =
    "<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<style>\n"
    ":root{color-scheme:light dark;--ink:#1c2430;--dim:#5b6675;--paper:#fff;--line:#d5dbe3;--soft:#f2f5f9;"
    "--one:#2f6fb7;--two:#7aa9dc;--off:#9aa5b3;--good:#2e8b57;--wait:#c98a1b;--bad:#cc3333;--gap:#f6dfb3}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e4e9f0;--dim:#9aa6b5;--paper:#14181e;--line:#343c48;"
    "--soft:#1d232c;--one:#5b9be0;--two:#2f5f94;--off:#66717f;--good:#4cae7b;--wait:#d9a441;--bad:#ff6b6b;"
    "--gap:#54431c}}\n"
    "body{margin:0 auto;padding:1.2rem;max-width:68rem;color:var(--ink);background:var(--paper);"
    "font:15px/1.5 system-ui,'DejaVu Sans',sans-serif}\n"
    "h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2rem 0 .4rem}"
    "h3{font-size:1rem;margin:1.2rem 0 .3rem}h1,h2,h3,p,dd,td,li{overflow-wrap:anywhere}\n"
    "p,figcaption{margin:.3rem 0;color:var(--dim)}.good,.bad{font-weight:600}.good{color:var(--good)}"
    ".bad{color:var(--bad)}\n"
    "figure{margin:.4rem 0 1rem}.wide{overflow-x:auto}svg{display:block;width:100%;min-width:46rem}\n"
    "svg text{font-size:13px;fill:var(--ink)}svg .axis text{fill:var(--dim);font-size:12px}"
    ".axis path{stroke:var(--line);fill:none}\n"
    ".track{fill:var(--soft)}.one{fill:var(--one)}.two{fill:var(--two)}.off{fill:var(--off)}"
    ".good rect,rect.good{fill:var(--good)}rect.wait{fill:var(--wait)}.lost,rect.bad{fill:var(--bad)}"
    "rect.gap{fill:var(--gap)}.mark{stroke:var(--ink);stroke-dasharray:3 3}\n"
    ".key{display:inline-block;width:.8em;height:.8em;margin:0 .35em 0 0;vertical-align:-.05em}"
    ".key.one{background:var(--one)}.key.two{background:var(--two)}.key.off{background:var(--off)}"
    ".key.good{background:var(--good)}.key.wait{background:var(--wait)}.key.bad{background:var(--bad)}"
    ".key.gap{background:var(--gap)}.keys span{white-space:nowrap;margin-right:1.2em}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.87rem}"
    "th,td{padding:.2rem .45rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}"
    "th{color:var(--dim);font-weight:600;vertical-align:bottom}th:first-child,td:first-child,.words"
    "{text-align:left}td[colspan]{white-space:normal;min-width:14rem}"
    ".bar{border-left:2px solid var(--line)}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.4rem 0}dt{color:var(--dim)}"
    "dd{margin:0;min-width:0}\n"
    "@media(max-width:40rem){dl{grid-template-columns:1fr}dd{margin:0 0 .4rem 1rem}}\n"
    "</style>\n";

/* ---- the file ---------------------------------------------------------------------------------- */

/* So that a slip of the hand costs no file of other use. Nothing there: true. */
static bool is_replaceable(const char *path)
{
    char begin[sizeof(ND_PAGE_HEAD)] = "";
    struct stat there;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool yes = fd < 0 && errno == ENOENT;

    if (fd >= 0) {
        yes = fstat(fd, &there) == 0 && S_ISREG(there.st_mode) && read(fd, begin, sizeof(begin) - 1) >= 0 &&
              (there.st_size == 0 || strcmp(begin, ND_PAGE_HEAD) == 0);
        close(fd);
    }
    return yes;
}

int nd_page_open(struct nd_page *page, const char *path, struct ft_fault *fault)
{
    int fd = -1, n = snprintf(page->temporary, sizeof(page->temporary), "%s.XXXXXX", path);
    mode_t mask = umask(0);

    umask(mask);
    page->path = path;
    if (!is_replaceable(path))
        return ft_fail(fault, FT_EINVAL, "%.100s, expected a report to replace, or a name that is free",
                       path);
    if (n < (int)sizeof(page->temporary))
        fd = mkostemp(page->temporary, O_CLOEXEC);
    else
        errno = ENAMETOOLONG;
    if (fd >= 0)
        page->out = fdopen(fd, "w");
    if (page->out) {
        (void)fchmod(fd, 0666 & ~mask);
        return FT_OK;
    }
    int error = errno;
    if (fd >= 0) {
        close(fd);
        unlink(page->temporary);
    }
    return ft_fail(fault, FT_EIO, "%.200s: %s, expected a file to write", path, strerror(error));
}

int nd_page_close(struct nd_page *page, struct ft_fault *fault)
{
    int error = 0;

    nd_page_put(page, "</body>\n</html>\n");
    if (ferror(page->out))
        error = EIO;
    if (fclose(page->out) != 0)
        error = errno;
    if (!error && rename(page->temporary, page->path) != 0)
        error = errno;
    page->out = NULL;
    if (error)
        unlink(page->temporary);
    return error ? ft_fail(fault, FT_EIO, "%s: %s", page->path, strerror(error)) : FT_OK;
}

void nd_page_drop(struct nd_page *page)
{
    if (!page->out)
        return;
    fclose(page->out);
    unlink(page->temporary);
    page->out = NULL;
}

/* ---- what is in it ----------------------------------------------------------------------------- */

void nd_page_put(struct nd_page *page, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(page->out, fmt, args);
    va_end(args);
}

/* Control characters, which HTML does not have, become the sign for what cannot be shown. */
static void escape(FILE *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'')
            fprintf(out, "&#%u;", c);
        else if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f)
            fputs("&#65533;", out);
        else
            fputc(c, out);
    }
}

static void __attribute__((format(printf, 2, 0)))
put_text(struct nd_page *page, const char *fmt, va_list args)
{
    char text[2048];

    vsnprintf(text, sizeof(text), fmt, args);
    escape(page->out, text);
}

void nd_page_text(struct nd_page *page, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    put_text(page, fmt, args);
    va_end(args);
}

void nd_page_element(struct nd_page *page, const char *name, const char *fmt, ...)
{
    va_list args;

    nd_page_put(page, "<%s>", name);
    va_start(args, fmt);
    put_text(page, fmt, args);
    va_end(args);
    nd_page_put(page, "</%.*s>\n", (int)strcspn(name, " "), name);
}

void nd_page_begin(struct nd_page *page, const char *title)
{
    nd_page_put(page, ND_PAGE_HEAD "report -->\n<!doctype html>\n<html lang=\"en\">\n<head>\n%s", head);
    nd_page_element(page, "title", "%s", title);
    nd_page_put(page, "</head>\n<body>\n");
    nd_page_element(page, "h1", "%s", title);
}

/* ---- drawings ---------------------------------------------------------------------------------- */

/* 1, 2 or 5 times a power of ten, of which at most AXIS_MOST are in the span. */
static double round_step(double span)
{
    double step = span > 0 ? pow(10, floor(log10(span / AXIS_MOST))) : 1;

    while (span / step > AXIS_MOST)
        step *= span / (step * 2) <= AXIS_MOST ? 2 : span / (step * 5) <= AXIS_MOST ? 5 : 10;
    return step;
}

struct nd_scale nd_scale_of(double low, double most)
{
    double step = round_step(most - low);

    return (struct nd_scale){low, most > low ? ceil(most / step - 1e-9) * step : low + 1};
}

double nd_scale_at(const struct nd_scale *s, double value)
{
    double share = (value - s->low) / (s->high - s->low);

    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return ND_PAGE_LEFT + share * (ND_PAGE_RIGHT - ND_PAGE_LEFT);
}

void nd_page_draw(struct nd_page *page, double height, const char *what)
{
    nd_page_put(page, "<figure>\n<div class=\"wide\"><svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"",
                ND_PAGE_WIDE, height);
    nd_page_text(page, "%s", what);
    nd_page_put(page, "\">\n");
}

void nd_page_drawn(struct nd_page *page)
{
    nd_page_put(page, "</svg></div>\n</figure>\n");
}

void nd_page_label(struct nd_page *page, double x, double y, const char *at, const char *fmt, ...)
{
    va_list args;

    nd_page_put(page, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, at);
    va_start(args, fmt);
    put_text(page, fmt, args);
    va_end(args);
    nd_page_put(page, "</text>\n");
}

void nd_page_bar(struct nd_page *page, const struct nd_scale *scale, const char *kind, double y, double high,
                 double from, double to)
{
    double left = nd_scale_at(scale, from), right = nd_scale_at(scale, to);

    nd_page_put(page,
                "<rect class=\"%s\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" data-from=\"%.4f\" "
                "data-to=\"%.4f\"/>\n",
                kind, left, y, right > left + 0.5 ? right - left : 0.5, high, from, to);
}

void nd_page_axis(struct nd_page *page, const struct nd_scale *scale, double top, double bottom,
                  const char *unit)
{
    double step = round_step(scale->high - scale->low), first = ceil(scale->low / step - 1e-9);

    nd_page_put(page, "<g class=\"axis\">\n");
    for (double i = first; i * step <= scale->high + step * 1e-6; i++) {
        double x = nd_scale_at(scale, i * step);

        nd_page_put(page, "<path d=\"M%.1f %.1fV%.1f\"/>", x, top, bottom);
        nd_page_label(page, x, bottom + 15, "middle", "%.10g %s", i * step == 0 ? 0 : i * step, unit);
    }
    nd_page_put(page, "</g>\n");
}
