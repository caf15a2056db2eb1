/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page that Prometheus reads, made of an answer to "status": a table has the metric of each field. A node's
 * table is made of fields.def; an agent of a fleet has one of its own (fleet/metrics.c). Owns nothing.
 */
#ifndef NODE_METRICS_PAGE_H
#define NODE_METRICS_PAGE_H

#include <jansson.h>
#include <stddef.h>

enum nd_samples {
    ND_ONE,     /* of the field; through a list one of each element, by lane, port or way */
    ND_CHOICE,  /* the field is a text: 1 for the one of `names` that it is, 0 for the others, by `label` */
    ND_MAP,     /* of a map, or of a map of maps, of numbers: for each; the keys' labels are `names` */
    ND_INFO,    /* always 1: `names` are its labels, and the fields that give their values */
    ND_BUCKETS, /* of a histogram: by the last bounds of struct ft_histogram, as many as it has buckets */
    ND_TABLES,  /* `label` of each table, by lane where it is a lane's */
};

struct nd_metric {
    const char *path;               /* of the field: keys with dots between them */
    const char *name, *type, *help; /* NULL: the field is no metric */
    enum nd_samples samples;
    const char *label;        /* ND_ONE: as it is written */
    const char *const *names; /* NULL at the end: ND_NAMES */
    const char *absent;       /* what a gauge is without a number; NULL: it is left out */
};
#define ND_NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

struct nd_page {
    const struct nd_metric *row;
    size_t rows;
};

extern const struct nd_page nd_node_page;

/*
 * In Prometheus' text format 0.0.4, allocated; *size without the final NUL. NULL: no memory. Samples of one
 * metric stand together, behind its HELP and TYPE. A number that the status does not have, or has as null, is
 * 0 where it counts events, and is left out where it is a level or an age.
 */
char *nd_page_make(const struct nd_page *of, const json_t *status, size_t *size);

#endif
