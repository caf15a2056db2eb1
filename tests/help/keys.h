/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file and the keys of fleet "f", for tests of what becomes of keys. They are written as they stand in
 * etcd, but with ' for each ". A program has one of each.
 */
#ifndef TESTS_HELP_KEYS_H
#define TESTS_HELP_KEYS_H

#include "fleet/picture.h"

extern char keys_text[2048]; /* of the file */
extern struct fl_file *keys_file;
extern struct nd_keys keys;

/* Around all tests of a program: the file of a fleet with these lines. */
int keys_begin(const char *lines);
int keys_end(void **state);
int keys_forget(void **state); /* of one test */

/* The key behind understudy/f/, changed in revision `changed`, under that lease. */
void put_leased(const char *key, const char *value, int64_t changed, int64_t lease);
void put(const char *key, const char *value, int64_t changed);
void drop(const char *key);

/* In place: ' for each ", and " for each '. */
char *plain_quotes(char *text);
char *json_quotes(char *text);
/* The object as text, with ' for each "; both are given up behind the test. */
const char *plain_json(json_t *object, size_t flags);

/* The key of a shard that began on a and b; an order and a failure that it has. */
#define SHARD_AT(a, b, view, moved, more)                                                                    \
    "{'first':['a','b'],'members':['" a "','" b "'],'view':" view ",'moved':" moved more "}"
#define SHARD(a, b, view, more) SHARD_AT(a, b, view, "100", more)
#define ORDER(kind, cause, to, since)                                                                        \
    ",'order':{'kind':'" kind "','cause':'" cause "','to':'" to "','since':" since "}"
#define FAILED(count, when, to) ",'failed':{'count':" count ",'when':" when ",'to':'" to "'}"

#endif
