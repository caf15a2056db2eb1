/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on the loopback that answers as etcd's JSON gateway does (version 3.4, as it was seen to): one
 * key, a user with a password, tokens. Its own thread serves; fields are set and read while no request is
 * under way, but for those that are atomic.
 */
#ifndef TESTS_HELP_ETCD_H
#define TESTS_HELP_ETCD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct MHD_Daemon;

struct help_etcd {
    struct MHD_Daemon *daemon;
    char url[64];
    unsigned cluster;            /* as it calls itself; 1 */
    const char *user, *password; /* NULL: users are switched off */
    unsigned token;              /* the one that is good is "token.N"; 0: none is */
    bool refuses;                /* every token */
    _Atomic unsigned delay_ms;   /* of each answer but to a login */
    unsigned others;             /* so often somebody else changes the key before a put */
    char value[128];             /* at the key, base64; "": there is none */
    uint64_t revision;
    _Atomic unsigned logins, looks, puts; /* that were asked for */
};

void help_etcd_open(struct help_etcd *e);
void help_etcd_close(struct help_etcd *e);

#endif
