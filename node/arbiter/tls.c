/* SPDX-License-Identifier: Apache-2.0 */
/* See tls.h. */
#include "node/arbiter/tls.h"

#include <openssl/ssl.h>

/* OpenSSL calls it when the server asks for a certificate and none is set. 0: goes on without one. */
static int no_certificate(SSL *ssl, X509 **certificate, EVP_PKEY **key)
{
    bool *asked = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    (void)certificate;
    (void)key;
    *asked = true;
    return 0;
}

static CURLcode watch_handshake(CURL *curl, void *context, void *asked)
{
    (void)curl;
    SSL_CTX_set_app_data(context, asked);
    SSL_CTX_set_client_cert_cb(context, no_certificate);
    return CURLE_OK;
}

void nd_tls_set_up(CURL *curl, const char *ca, const char *cert, const char *key, bool *asked)
{
    if (ca[0]) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* nobody beside it: not the system's authorities */
    }
    if (cert[0]) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, cert);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, key);
    }
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, watch_handshake);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, asked);
}
