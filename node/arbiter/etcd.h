/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks etcd, through its JSON gateway, for the decision of an era, and has it decide. One thread uses it, and
 * waits in it: for a server, REQUEST_MS at most for each request and LOGIN_MS for a login, CONNECT_MS of them
 * for its name and a connection.
 *
 * Answers of one cluster count alone: two that decide are none. It is the one that answered first, or that
 * was told by nd_etcd_expect.
 */
#ifndef NODE_ARBITER_ETCD_H
#define NODE_ARBITER_ETCD_H

#include "ftcore/base/error.h"
#include "ftcore/protocol/core.h"

#include <stdatomic.h>
#include <stddef.h>

#define ND_ETCD_KEY_MAX   128u   /* bytes of a key, with its NUL */
#define ND_ETCD_BODY_MAX  1024u  /* bytes of a request */
#define ND_ETCD_REPLY_MAX 16384u /* bytes of an answer that is read */
#define ND_ETCD_NAME_MAX  64u    /* bytes of a user's name, with its NUL */
#define ND_ETCD_PASS_MAX  256u   /* bytes of a password, with its NUL */
#define ND_ETCD_TOKEN_MAX 2048u  /* bytes of a token, with its NUL: one that is signed (JWT) is long */
#define ND_ETCD_WORDS_MAX 120u
#define ND_ETCD_URLS      5u

struct nd_etcd_config {
    char url[ND_ETCD_URLS]
            [192]; /* "http://…" or "https://…", of the servers of one cluster, without a path */
    uint32_t urls;
    char key[ND_ETCD_KEY_MAX];              /* the pair's own */
    char ca[192], cert[192], cert_key[192]; /* PEM files; "": the system's authorities, no certificate */
    char user[ND_ETCD_NAME_MAX];            /* "": none; with one every URL is https */
    char password_file[192];                /* read whenever the user logs in */
};

struct nd_etcd;

/* True: what is under way is of no use any more, and is given up. By the thread that asks. */
typedef bool nd_etcd_stops(void *arg);

/* `config` is borrowed. `stops` NULL: never. FT_ENOMEM. */
int nd_etcd_open(struct nd_etcd **out, const struct nd_etcd_config *config, nd_etcd_stops *stops, void *arg,
                 struct ft_fault *fault);
void nd_etcd_close(struct nd_etcd *etcd);

/*
 * The rule of ftcore/protocol/core.h for { era, who }: *kept is the decision that stands then. `who` "":
 * the era is known to have begun, and is nobody's yet. `era` NULL: looks, and changes nothing. Servers are
 * tried in turn, beginning with the one that answered last. FT_EBUSY: it was given up;
 * FT_EIO: none answered; FT_EMALFORMED: what one
 * said cannot be read; the password's file may give FT_EPERM, FT_EMALFORMED or FT_EIO. The fault has the
 * server that was tried last, and no secret.
 */
int nd_etcd_decide(struct nd_etcd *etcd, const struct ft_era *era, const char *who, struct ft_decision *kept,
                   struct ft_fault *fault);

/* By any thread: `stops` is to be looked at now. */
void nd_etcd_wake(struct nd_etcd *etcd);
/* By any thread. The cluster whose answers count, 0: whichever answers first. */
void nd_etcd_expect(struct nd_etcd *etcd, uint64_t cluster);
uint64_t nd_etcd_cluster(const struct nd_etcd *etcd);

/* The server that answered last. */
const char *nd_etcd_server(const struct nd_etcd *etcd);

/*
 * What is said to etcd and read from it, as text: its JSON gateway (v3), and the value of the pair's key.
 * Pure. Whatever etcd answers is hostile until it is checked here.
 *
 * The value is one line, "understudy VIEW NUMBER WINNER", without a line end; nobody is "-".
 */

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
/* Of a user whose password is printable. */
void nd_etcd_make_login(const char *user, const char *password, char *out);

/* Answers to them: 0, or FT_EMALFORMED with a line that says what it is, and what was expected. */
int nd_etcd_read_range(const char *text, size_t len, const char *key, struct nd_etcd_kept *out,
                       struct ft_fault *fault);
int nd_etcd_read_put(const char *text, size_t len, bool *done, struct ft_fault *fault);
/* The token is printable: it may stand in a header. */
int nd_etcd_read_token(const char *text, size_t len, char out[ND_ETCD_TOKEN_MAX], struct ft_fault *fault);
/* Why etcd refused, in its own words as far as they are printable; "": it does not say. */
void nd_etcd_read_refusal(const char *text, size_t len, char out[ND_ETCD_WORDS_MAX]);

#endif
