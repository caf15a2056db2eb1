/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said to etcd and read from it, as text: its JSON gateway (v3), and the value of the pair's key.
 * Pure. Whatever etcd answers is hostile until it is checked here.
 *
 * The value is one line, "understudy VIEW NUMBER WINNER", without a line end; nobody is "-".
 */
#ifndef NODE_ARBITER_TEXT_H
#define NODE_ARBITER_TEXT_H

#include "ftcore/base/error.h"
#include "ftcore/protocol/arbiter.h"

#include <stddef.h>

#define ND_ETCD_KEY_MAX   128u   /* bytes of a key, with its NUL */
#define ND_ETCD_BODY_MAX  1024u  /* bytes of a request */
#define ND_ETCD_REPLY_MAX 16384u /* bytes of an answer that is read */

/* What stands at the key. */
struct nd_etcd_kept {
    struct ft_decision decision;
    int64_t revision; /* of the key's last change; 0: there is no such key */
};

/* Requests. Each fills out[0..ND_ETCD_BODY_MAX). */
void nd_etcd_make_range(const char *key, char *out);
/* Puts `decision` if the key was not changed since `kept` was read. */
void nd_etcd_make_put(const char *key, const struct nd_etcd_kept *kept, const struct ft_decision *decision,
                      char *out);

/* Answers to them: 0, or FT_EMALFORMED with a line that says what it is, and what was expected. */
int nd_etcd_read_range(const char *text, size_t len, const char *key, struct nd_etcd_kept *out,
                       struct ft_fault *fault);
int nd_etcd_read_put(const char *text, size_t len, bool *done, struct ft_fault *fault);

#endif
