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
#include "ftcore/protocol/core.h"

#include <stddef.h>

#define ND_ETCD_KEY_MAX   128u   /* bytes of a key, with its NUL */
#define ND_ETCD_BODY_MAX  1024u  /* bytes of a request */
#define ND_ETCD_REPLY_MAX 16384u /* bytes of an answer that is read */
#define ND_ETCD_NAME_MAX  64u    /* bytes of a user's name, with its NUL */
#define ND_ETCD_PASS_MAX  256u   /* bytes of a password, with its NUL */
#define ND_ETCD_TOKEN_MAX 2048u  /* bytes of a token, with its NUL: one that is signed (JWT) is long */
#define ND_ETCD_WORDS_MAX 120u

/* What stands at the key. */
struct nd_etcd_kept {
    struct ft_decision decision;
    int64_t revision; /* of the key's last change; 0: there is no such key */
    uint64_t cluster; /* that says so; not 0 */
};

/* Requests. Each fills out[0..ND_ETCD_BODY_MAX). */
void nd_etcd_make_range(const char *key, char *out);
/* Puts `decision` if the key was not changed since `kept` was read. */
void nd_etcd_make_put(const char *key, const struct nd_etcd_kept *kept, const struct ft_decision *decision,
                      char *out);
/* Of a user whose password is printable (nd_etcd_is_printable). */
void nd_etcd_make_login(const char *user, const char *password, char *out);

/* Answers to them: 0, or FT_EMALFORMED with a line that says what it is, and what was expected. */
int nd_etcd_read_range(const char *text, size_t len, const char *key, struct nd_etcd_kept *out,
                       struct ft_fault *fault);
int nd_etcd_read_put(const char *text, size_t len, bool *done, struct ft_fault *fault);
/* The token is printable: it may stand in a header. */
int nd_etcd_read_token(const char *text, size_t len, char out[ND_ETCD_TOKEN_MAX], struct ft_fault *fault);
/* Why etcd refused, in its own words as far as they are printable; "": it does not say. */
void nd_etcd_read_refusal(const char *text, size_t len, char out[ND_ETCD_WORDS_MAX]);

/* Some bytes, none of them a control character. */
bool nd_etcd_is_printable(const char *text);

#endif
