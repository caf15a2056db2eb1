/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in requests to etcd's JSON gateway (v3) and in its answers: base64, numbers, headers, and the
 * words of a refusal. No state. Whatever etcd answers is hostile until it is checked here or by who asked.
 */
#ifndef NODE_ETCD_ANSWER_H
#define NODE_ETCD_ANSWER_H

#include "ftcore/base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ND_ETCD_WORDS_MAX 120u /* bytes of a refusal that are kept, with the NUL */

/* Bytes that base64 of `len` bytes takes, with its NUL. */
#define ND_ETCD_CODED(len) (((len) + 2) / 3 * 4 + 1)

/* out: ND_ETCD_CODED(len) bytes. `len`: 1 GB at most. */
void nd_etcd_encode(const void *bytes, size_t len, char *out);
/* out: len / 4 * 3 bytes. How many of them are the decoded ones; -1: it is not base64, and nothing is
 * promised of `out`. */
ssize_t nd_etcd_decode(const char *coded, size_t len, void *out);

/* A number of 64 bits, which is a string of digits in JSON: 1 to INT64_MAX. False: it is none. */
bool nd_etcd_number(const json_t *o, int64_t *out);

/* One answer, or, `streamed`, one line of an answer that is a stream: the object that has the header. The
 * caller decrefs it. FT_EMALFORMED: it is none, and *out is NULL; FT_EIO: a line that is etcd's word that the
 * stream has failed. */
int nd_etcd_load(json_t **out, const char *text, size_t len, bool streamed, struct ft_fault *fault);

/* The number of the cluster in an answer's header, never 0. False: there is none. */
bool nd_etcd_read_cluster(const json_t *answer, uint64_t *out);

/* The characters of text[0..len) up to the first that is not printable; those that fit. */
void nd_etcd_words(const char *text, size_t len, char out[ND_ETCD_WORDS_MAX]);
/* Why etcd refused, in its own words; "": it gives no reason. */
void nd_etcd_refusal(const char *text, size_t len, char out[ND_ETCD_WORDS_MAX]);

#endif
