/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of an answer on the control socket, as the files that make its parts add them. */
#ifndef NODE_ANSWER_FIELDS_H
#define NODE_ANSWER_FIELDS_H

#include <jansson.h>
#include <stdint.h>

static inline void add_number(json_t *o, const char *name, uint64_t value)
{
    json_object_set_new(o, name, json_integer((json_int_t)value));
}

/* NULL becomes null. */
static inline void add_text(json_t *o, const char *name, const char *text)
{
    json_object_set_new(o, name, text ? json_string(text) : json_null());
}

/* A time of the past as its distance, ms; null: it never was. */
static inline void add_age(json_t *o, const char *name, uint64_t now, uint64_t then)
{
    json_object_set_new(o, name, then ? json_real(now > then ? (double)(now - then) / 1e6 : 0) : json_null());
}

#endif
