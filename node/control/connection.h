/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client of a control socket: it says a request, the node works on it, it takes the answer, and so on.
 * Nothing here waits. Memory of a connection: ND_REQUEST_MAX bytes in, and one answer of ND_ANSWER_MAX bytes.
 */
#ifndef NODE_CONTROL_CONNECTION_H
#define NODE_CONTROL_CONNECTION_H

#include "node/control/command.h"

#include <stddef.h>
#include <stdint.h>

#define ND_REQUEST_MAX 4096u         /* bytes of a request, with its line end */
#define ND_ANSWER_MAX  (512u << 10)  /* bytes of an answer, with its line end */
#define ND_CLIENT_NS   5000000000ull /* to say a whole request; to take a whole answer */

/* A request that is answered in steps. */
struct nd_exchange {
    const json_t *request; /* an object; borrowed */
    enum nd_command command;
    bool looks;     /* it came by the socket that looks */
    bool begun;     /* set by who answers: the exchange goes on to its end, though its client has gone */
    json_t *answer; /* set by who answers, a new reference; NULL: the connection is closed */
};

/* The next step: true when the exchange has its answer; false: not yet, the call comes again soon. */
typedef bool nd_answer_fn(void *arg, struct nd_exchange *exchange);

enum nd_stage {
    ND_LISTENS, /* to its client */
    ND_WORKS,   /* on the request */
    ND_WRITES,  /* the answer */
};

struct nd_connection {
    int fd;     /* -1: the place is free */
    bool owner; /* the client is root, or the user of this node */
    bool ended; /* the client says no more */
    enum nd_stage stage;
    uint64_t deadline;   /* ns: until then the request is whole (LISTENS), the answer is taken (WRITES) */
    const char *acts_at; /* this is the socket that looks, and the path of the one that acts; else NULL */
    struct nd_exchange exchange;
    json_t *request; /* owned */
    size_t len;      /* bytes in `in` */
    char *out;       /* the answer, owned */
    size_t size, sent;
    char in[ND_REQUEST_MAX];
};

/* Takes over `fd`, which does not block. */
void nd_connection_open(struct nd_connection *c, int fd, bool owner, const char *acts_at, uint64_t now);
void nd_connection_close(struct nd_connection *c);

/* One step of what can be done now, one answer at most. False: the connection is to be closed. */
bool nd_connection_serve(struct nd_connection *c, uint64_t now, nd_answer_fn *answer, void *arg);

/* Another whole request is there already. */
bool nd_connection_ready(const struct nd_connection *c);

#endif
