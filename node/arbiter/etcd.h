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

#include "node/arbiter/text.h"

#include <stdatomic.h>

#define ND_ETCD_URLS 5u

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

#endif
