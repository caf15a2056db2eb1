/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets the certificates of a curl handle that asks etcd, and sees whether a server asks for one that the pair
 * does not have. TLS 1.3 has the server refuse after its handshake is over, so what a client reads then is an
 * alert or a broken connection, as it happens. That the server asked is known in both cases.
 */
#ifndef NODE_ARBITER_TLS_H
#define NODE_ARBITER_TLS_H

#include <curl/curl.h>
#include <stdbool.h>

/* PEM files; "": the system's authorities, no certificate. *asked is set true by a handshake in which the
 * server asks for a certificate and `cert` is "". Both are borrowed by the handle. */
void nd_tls_set_up(CURL *curl, const char *ca, const char *cert, const char *key, bool *asked);

#endif
