/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of etcd by its JSON gateway (v3): one handle is one thread's, which waits in it. It owns its
 * connections, certificates, the token of its user, and the number of the cluster whose answers count; what
 * is asked and what the answers mean is its user's (store.h, understudy/arbiter).
 *
 * It waits for a server limits.request_ms at most for each request and 3 s for a login, half a second of them
 * for its name and a connection. Nothing of the environment counts: no proxy, no credentials of a user.
 * Answers of one cluster count alone: the one that answered first, or that nd_etcd_expect named.
 */
#ifndef NODE_ETCD_ETCD_H
#define NODE_ETCD_ETCD_H

#include "ftcore/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ND_ETCD_NAME_MAX 64u /* bytes of a user's name, with its NUL */
#define ND_ETCD_URLS     5u
#define ND_ETCD_URL_MAX  192u

struct nd_etcd_config {
    char url[ND_ETCD_URLS][ND_ETCD_URL_MAX]; /* "http://…" or "https://…", of the servers of one cluster,
                                                without a path */
    uint32_t urls;
    char ca[192], cert[192], cert_key[192]; /* PEM files; "": the system's authorities, no certificate */
    char user[ND_ETCD_NAME_MAX];            /* "": none; with one every URL is https */
    char password_file[192];                /* read whenever the user logs in */
    char owner[33]; /* who may own that file beside root and who runs this; "": nobody */
};

struct nd_etcd_limits {
    size_t reply;    /* bytes of an answer that are read at most */
    long request_ms; /* for each request but a login */
};

struct nd_etcd;

/* `config` is borrowed. stops(arg), asked by the thread in a request: what is under way is of no use any
 * more, and is given up; NULL: never. FT_ENOMEM; FT_ENOENT: there is no libcurl. */
int nd_etcd_open(struct nd_etcd **out, const struct nd_etcd_config *config,
                 const struct nd_etcd_limits *limits, bool (*stops)(void *arg), void *arg,
                 struct ft_fault *fault);
void nd_etcd_close(struct nd_etcd *e); /* NULL: nothing */

/* The files that requests read, which may be changed under a handle, so that opening one does not look at
 * them: the user's password, authorities, certificate and its key are here, and what they are to be, for this
 * process as it is. FT_EINVAL: one is not here; FT_EPERM, FT_EMALFORMED, FT_EIO, FT_ENOMEM; the line has
 * the path. */
int nd_etcd_judge(const struct nd_etcd_config *config, struct ft_fault *fault);

/* ---- by any thread ---- */

/* A request that is under way asks `stops` now. */
void nd_etcd_wake(struct nd_etcd *e);
/* The cluster whose answers count; 0: it is not known yet, and the first answer's will be it. */
uint64_t nd_etcd_cluster(const struct nd_etcd *e);
void nd_etcd_expect(struct nd_etcd *e, uint64_t cluster);
/* Before the first request: the server that is asked first is one by a hash of `name`, so that of many
 * handles each server has its part; else it is the first. */
void nd_etcd_begin_at(struct nd_etcd *e, const char *name);
/* Before the first request: both handles believe the same cluster. `with` is closed after `e`. */
void nd_etcd_join(struct nd_etcd *e, struct nd_etcd *with);

/* ---- by its thread ---- */

/* The server that is asked first: the one that answered last. */
const char *nd_etcd_server(const struct nd_etcd *e);

/*
 * Has ask(e, server, arg, fault) ask the servers in turn, beginning with the one that answered last, until it
 * returns 0 or more for one; that result. FT_EBUSY: it was given up; else the error of the last server. The
 * fault has that server, and no secret.
 */
typedef int nd_etcd_ask_fn(struct nd_etcd *e, const char *server, void *arg, struct ft_fault *fault);
int nd_etcd_ask(struct nd_etcd *e, nd_etcd_ask_fn *ask, void *arg, struct ft_fault *fault);
/* The same for what must not be done twice: behind a failed request that a server may have heard no other
 * server is asked, and no connection is used that may be dead. What was asked for may then have been done. */
int nd_etcd_ask_once(struct nd_etcd *e, nd_etcd_ask_fn *ask, void *arg, struct ft_fault *fault);

/* The text of an answer; until the handle's next request, which may be a beat of a stream. */
struct nd_etcd_reply {
    const char *text;
    size_t len;
};

/* One request, as the user, who logs in when that is needed. 0; FT_EBUSY: given up; FT_EIO: no answer, a
 * longer one than the limit, or a refusal; the password's file may give FT_EPERM, FT_EMALFORMED or FT_EIO; a
 * login's answer FT_EMALFORMED. */
int nd_etcd_post(struct nd_etcd *e, const char *server, const char *path, const char *body,
                 struct nd_etcd_reply *reply, struct ft_fault *fault);

/* Has the last request failed because its answer is longer than the limit? */
bool nd_etcd_too_long(const struct nd_etcd *e);

/* An answer of `server` names this cluster: 0 if its answers count, else FT_EIO. */
int nd_etcd_believe(struct nd_etcd *e, const char *server, uint64_t cluster, struct ft_fault *fault);
/* The fault's text with the server before it; returns `error`. */
int nd_etcd_blame(int error, const char *server, struct ft_fault *fault);

/* A request whose answer is lines, one after the other, without an end. */
struct nd_etcd_stream {
    const char *path, *body;
    size_t held;      /* bytes that have come and are not taken yet: at most */
    uint64_t beat_ns; /* how often beat(arg) is called, which may post */
    /* Each line, without its end; neither is called within the other. Not 0: the stream ends with it. */
    int (*take)(void *arg, const char *line, size_t len, struct ft_fault *fault);
    int (*beat)(void *arg, struct ft_fault *fault);
    void *arg;
};

/* Until the stream ends. What `take` or `beat` returned; FT_EBUSY: given up; FT_EFULL: more than `held`;
 * FT_EIO: the connection broke, or the server ended it or refused; and the errors of a login. Behind its end
 * another server is asked first: it may have been this one's fault. */
int nd_etcd_stream(struct nd_etcd *e, const char *server, const struct nd_etcd_stream *stream,
                   struct ft_fault *fault);

#endif
