/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report: one HTML file that needs nothing beside itself, with drawings in SVG and without a script. It is
 * written to a temporary file in its directory, and takes its name when it is whole. Whatever comes from a
 * file, a name or a peer goes through nd_page_text or nd_page_label, which escape it. Used by one thread.
 */
#ifndef TOOLS_PAIR_PAGE_H
#define TOOLS_PAIR_PAGE_H

#include "ftcore/base/error.h"

#include <limits.h>
#include <stdio.h>

#define ND_PAGE_HEAD "<!-- understudy " /* how each begins, 16 bytes: a report may replace a report */

struct nd_page {
    FILE *out;        /* NULL: none is open */
    const char *path; /* borrowed */
    char temporary[PATH_MAX];
};

/* FT_EINVAL: something that is no report is there, the line begins with its name. FT_EIO: no file can be
 * made. Nothing is at `path` before nd_page_close. */
int nd_page_open(struct nd_page *page, const char *path, struct ft_fault *fault);
/* The whole page to its place: FT_EIO when that failed; then there is no new file. */
int nd_page_close(struct nd_page *page, struct ft_fault *fault);
/* Without the page, if it is open. */
void nd_page_drop(struct nd_page *page);

/* The beginning: what is needed to show it, and the heading. */
void nd_page_begin(struct nd_page *page, const char *title);
/* Markup. Its arguments are numbers and the program's own words, since nothing is escaped. */
void nd_page_put(struct nd_page *page, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Text of at most 2047 bytes, escaped, in an attribute's quotes too. */
void nd_page_text(struct nd_page *page, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* An element with nothing but such a text in it. */
void nd_page_element(struct nd_page *page, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- drawings. Lengths are units of the drawing, ND_PAGE_WIDE of which are its width ---- */

#define ND_PAGE_WIDE  960.0
#define ND_PAGE_LEFT  215.0 /* labels end before it, what is drawn to scale begins there */
#define ND_PAGE_RIGHT 810.0 /* where it ends; figures are right of it */

/* From values to places. */
struct nd_scale {
    double low, high;
};

double nd_scale_at(const struct nd_scale *scale, double value);
/* From `low` to a round number that is not below `most`. */
struct nd_scale nd_scale_of(double low, double most);

/* `what`: the drawing in a line, for who does not see it. Between both: bars, labels, axes, markup. */
void nd_page_draw(struct nd_page *page, double height, const char *what);
void nd_page_drawn(struct nd_page *page);
/* `at`: "start", "middle" or "end", which lies at x. */
void nd_page_label(struct nd_page *page, double x, double y, const char *at, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* From one value to another, in the color that the style has for `kind`. The values are attributes, too, for
 * programs that read the page. */
void nd_page_bar(struct nd_page *page, const struct nd_scale *scale, const char *kind, double y, double high,
                 double from, double to);
/* Lines at round values from `top` to `bottom`, with the values and their unit below. */
void nd_page_axis(struct nd_page *page, const struct nd_scale *scale, double top, double bottom,
                  const char *unit);

#endif
