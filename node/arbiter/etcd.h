/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks etcd, through its JSON gateway, for the decision of an era, and has it decide. One thread uses it, and
 * waits in it: for a name service, for a server, REQUEST_MS at most for each request.
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

/* `config` is borrowed. While *ends is true no request begins. FT_ENOMEM. */
int nd_etcd_open(struct nd_etcd **out, const struct nd_etcd_config *config, const _Atomic bool *ends,
                 struct ft_fault *fault);
void nd_etcd_close(struct nd_etcd *etcd);

/*
 * The rule of ftcore/protocol/arbiter.h for { era, who }: *kept is the decision that stands then. `who` "":
 * the era is known to have begun, and is nobody's yet. `era` NULL: looks, and changes nothing. Servers are
 * tried in turn, beginning with the one that answered last. FT_EIO: none answered; FT_EMALFORMED: what one
 * said cannot be read; the password's file may give FT_EPERM, FT_EMALFORMED or FT_EIO. The fault has the
 * server that was tried last, and no secret.
 */
int nd_etcd_decide(struct nd_etcd *etcd, const struct ft_era *era, const char *who, struct ft_decision *kept,
                   struct ft_fault *fault);

/* The server that answered last. */
const char *nd_etcd_server(const struct nd_etcd *etcd);

#endif
