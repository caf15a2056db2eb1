/* SPDX-License-Identifier: Apache-2.0 */
/* What seals a link: keys or certificates, and how OpenSSL is to use them. See seal.h. */
#include "replicator/seal.h"

#include "ftcore/base/check.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUITE       "TLS_AES_128_GCM_SHA256"
#define READ_BUFFER (256u << 10) /* bytes asked of the socket at a time */
#define ID_BYTES    16u          /* of a key's name, which says nothing of the key */
#define ID_TEXT     (2u * ID_BYTES)

struct rp_seal {
    SSL_CTX *context;
    struct rp_keys keys; /* count 0: certificates */
    char id[RP_KEYS_MAX][ID_TEXT + 1];
    char peer_name[64];
    unsigned tries; /* handshakes begun, which take the keys in turn */
};

static void name_keys(struct rp_seal *seal)
{
    static const char label[] = "understudy link key";
    uint8_t said[sizeof(label) + RP_KEY_BYTES], digest[EVP_MAX_MD_SIZE];
    unsigned len;

    for (unsigned k = 0; k < seal->keys.count; k++) {
        memcpy(said, label, sizeof(label));
        memcpy(said + sizeof(label), seal->keys.key[k], RP_KEY_BYTES);
        FT_CHECK(EVP_Digest(said, sizeof(said), digest, &len, EVP_sha256(), NULL) == 1, "no SHA-256");
        for (unsigned i = 0; i < ID_BYTES; i++)
            snprintf(seal->id[k] + 2 * (size_t)i, 3, "%02x", digest[i]);
    }
    OPENSSL_cleanse(said, sizeof(said));
}

static SSL_SESSION *session_of_key(SSL *tls, const uint8_t key[RP_KEY_BYTES])
{
    static const unsigned char suite[2] = {0x13, 0x01}; /* SUITE */
    const SSL_CIPHER *cipher = SSL_CIPHER_find(tls, suite);
    SSL_SESSION *session = cipher ? SSL_SESSION_new() : NULL;

    if (session && SSL_SESSION_set1_master_key(session, key, RP_KEY_BYTES) &&
        SSL_SESSION_set_cipher(session, cipher) && SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
        return session;
    SSL_SESSION_free(session);
    return NULL;
}

static struct rp_seal *seal_of(SSL *tls)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls));
}

/* Of who connects. */
static int offer_key(SSL *tls, const EVP_MD *digest, const unsigned char **id, size_t *id_len,
                     SSL_SESSION **out)
{
    struct rp_seal *seal = seal_of(tls);
    unsigned k = (unsigned)(uintptr_t)SSL_get_app_data(tls) % seal->keys.count;

    (void)digest; /* SUITE's alone */
    *out = session_of_key(tls, seal->keys.key[k]);
    *id = (const unsigned char *)seal->id[k];
    *id_len = ID_TEXT;
    return *out != NULL;
}

/* Of who accepts. Without a session the handshake ends: there is no certificate that it could go on with. */
static int find_key(SSL *tls, const unsigned char *id, size_t id_len, SSL_SESSION **out)
{
    struct rp_seal *seal = seal_of(tls);

    *out = NULL;
    for (unsigned k = 0; k < seal->keys.count && !*out; k++)
        if (id_len == ID_TEXT && memcmp(id, seal->id[k], ID_TEXT) == 0)
            *out = session_of_key(tls, seal->keys.key[k]);
    return 1;
}

/* ---- what all streams have in common ---- */

/* A node that starts has nobody to ask. */
static int no_passphrase(char *to, int size, int writes, void *arg)
{
    (void)to;
    (void)size;
    (void)writes;
    (void)arg;
    return -1;
}

static int use_certificates(struct rp_seal *seal, const struct rp_seal_config *c, struct ft_fault *fault)
{
    const char *wrong = NULL;
    int error = rp_key_check(c->private_key, fault);

    if (error)
        return error;
    SSL_CTX_set_default_passwd_cb(seal->context, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(seal->context, c->certificate) != 1)
        wrong = c->certificate;
    else if (SSL_CTX_use_PrivateKey_file(seal->context, c->private_key, SSL_FILETYPE_PEM) != 1)
        wrong = c->private_key;
    else if (SSL_CTX_load_verify_file(seal->context, c->authority) != 1)
        wrong = c->authority;
    if (!wrong)
        return 0;
    const char *reason = ERR_reason_error_string(ERR_get_error());

    return ft_fail(fault, FT_EINVAL, "%s: %s, expected %s in PEM", wrong, reason ? reason : "unusable",
                   wrong == c->private_key ? "the certificate's key" : "a certificate");
}

static bool set_up_context(struct rp_seal *seal)
{
    SSL_CTX *c = seal->context = SSL_CTX_new(TLS_method());

    if (!c || !SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) || !SSL_CTX_set_ciphersuites(c, SUITE) ||
        !SSL_CTX_set1_groups_list(c, "X25519") || !SSL_CTX_set_num_tickets(c, 0))
        return false;
    SSL_CTX_set_app_data(c, seal);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(c, 1);
    SSL_CTX_set_default_read_buffer_len(c, READ_BUFFER);
    return true;
}

int rp_seal_open(struct rp_seal **out, const struct rp_seal_config *config, struct ft_fault *fault)
{
    struct rp_seal *seal;
    int error = 0;

    *out = NULL;
    if (!config->keys && !config->certificate)
        return 0;
    seal = calloc(1, sizeof(*seal));
    if (!seal || !set_up_context(seal)) {
        rp_seal_close(seal);
        return ft_fail(fault, FT_ENOMEM, "no memory for TLS");
    }
    snprintf(seal->peer_name, sizeof(seal->peer_name), "%s", config->peer_name ? config->peer_name : "");
    if (config->keys) {
        seal->keys = *config->keys;
        name_keys(seal);
        SSL_CTX_set_psk_use_session_callback(seal->context, offer_key);
        SSL_CTX_set_psk_find_session_callback(seal->context, find_key);
    } else {
        error = use_certificates(seal, config, fault);
    }
    if (error)
        rp_seal_close(seal);
    else
        *out = seal;
    return error;
}

void rp_seal_close(struct rp_seal *seal)
{
    if (!seal)
        return;
    SSL_CTX_free(seal->context);
    OPENSSL_cleanse(seal, sizeof(*seal));
    free(seal);
}

SSL *rp_seal_begin(struct rp_seal *seal, bool accepts)
{
    SSL *tls = SSL_new(seal->context);

    if (!tls || (!seal->keys.count && !SSL_set1_host(tls, seal->peer_name))) {
        SSL_free(tls);
        return NULL;
    }
    SSL_set_app_data(tls, (void *)(uintptr_t)seal->tries++);
    /* With keys nobody is asked for a certificate, and one in a key's place is refused: no authority is
     * known. */
    if (!seal->keys.count || !accepts)
        SSL_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (accepts)
        SSL_set_accept_state(tls);
    else
        SSL_set_connect_state(tls);
    return tls;
}

bool rp_seal_holds(SSL *tls)
{
    return seal_of(tls)->keys.count == 0 || SSL_session_reused(tls);
}
