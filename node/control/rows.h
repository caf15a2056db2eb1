/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that an NF shows, flat JSON objects (nf_row): which of them are wanted, how old what they tell is, and
 * as tables for people.
 */
#ifndef NODE_CONTROL_ROWS_H
#define NODE_CONTROL_ROWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* An address or network, and perhaps a port. */
struct nd_end_filter {
    int family; /* AF_INET, AF_INET6; 0: any */
    uint8_t address[16];
    unsigned bits; /* of the address that count */
    int port;      /* -1: any */
};

struct nd_row_filter {
    struct nd_end_filter source, destination;
    const char *protocol; /* NULL: any; borrowed */
};

/* "10.0.0.7", "10.0.0.0/8", "10.0.0.7:80", "fe80::1", "[fe80::1]:80". False: none of these. */
bool nd_end_filter_read(struct nd_end_filter *out, const char *text);

/* A row that lacks a field which the filter asks for does not match. The ends of a flow have these names:
 * source, from, inside, client; destination, to, remote, service. */
bool nd_row_matches(const json_t *row, const struct nd_row_filter *filter);

/* For each time in it, NAME_ns in chain time, NAME_age_s: seconds until `now`. `only`: in its place. */
void nd_row_age(json_t *row, uint64_t now, bool only);

/* What tells one row from the others: its texts but the state, as one text that the caller frees; NULL: it
 * has none. */
char *nd_row_name(const json_t *row);

/* On stdout, rows that are alike together, table after table in the order of their first rows; they are taken
 * out of `rows`. *table is the last one, owned, in which the next page's rows go on; NULL: there is none yet.
 */
void nd_rows_print(json_t **table, json_t *rows);

/* "proto=tcp from=10.0.0.1:1000 …" on stdout, with a line end. */
void nd_row_print_line(const json_t *row);

#endif
