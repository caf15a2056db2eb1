/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real etcd of one member on the loopback, with a directory of its own in memory: killed, stopped, begun
 * again with what it wrote, asked by etcdctl. One a time; it dies with the test program.
 */
#ifndef TESTS_HELP_ETCD_H
#define TESTS_HELP_ETCD_H

#include "understudy/etcd/etcd.h"

#include <stdbool.h>
#include <sys/types.h>

struct help_real_etcd {
    pid_t pid; /* 0: it does not run */
    char dir[64];
    uint16_t port, peer_port;
    bool secure; /* https, and its certificate is its own authority's: DIR/ca.pem */
    struct nd_etcd_config config;
};

/* Begins one that is empty and waits until it answers. Skips the test where etcd is not installed. */
void help_etcd_begin(struct help_real_etcd *e, bool secure);
/* What it wrote stays. */
void help_etcd_kill(struct help_real_etcd *e);
/* Returns when all of its threads stand: until then it may answer still. SIGCONT lets it go on. */
void help_etcd_stop(const struct help_real_etcd *e);
/* Begins it again, on `port`, and waits until it answers. */
void help_etcd_again(struct help_real_etcd *e, uint16_t port);
/* What it wrote is gone, and it is the same cluster still. */
void help_etcd_forget(struct help_real_etcd *e);
/* Ends it, if there is one, and removes its directory. */
void help_etcd_end(struct help_real_etcd *e);

/* What etcdctl prints to these arguments (a shell's words); it is freed behind the test. Fails that
 * when it fails. */
char *help_etcdctl(const struct help_real_etcd *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A socket of the loopback that takes connections, and where an etcd would be reached that does. */
int help_etcd_listen(char url[ND_ETCD_URL_MAX]);

#endif
