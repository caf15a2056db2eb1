/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's stream: TLS 1.3 by OpenSSL over a socket that never waits, or the socket itself. See
 * stream.h.
 *
 * OpenSSL reads and writes by the two functions of `socket_method` below, which keep what the system said: an
 * end without the peer's own word (close_notify) is no proof of anything, since anybody on the way can make
 * one.
 */
#include "replicator/stream.h"

#include "ftcore/base/check.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

struct rp_stream {
    int fd;
    SSL *tls; /* NULL: plain */
    bool accepted, open, farewell;
    bool ended, drained; /* the socket: is at its end; gave less than it was asked for */
    int error;           /* the socket's last errno, 0: none */
    unsigned key;        /* that a handshake of ours offers */
    char why[96];
};

/* ---- OpenSSL's way to the socket ---- */

static int read_socket(BIO *bio, char *to, int size)
{
    struct rp_stream *s = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    do
        n = recv(s->fd, to, (size_t)size, 0);
    while (n < 0 && errno == EINTR);
    s->drained = n < size;
    s->ended |= n == 0;
    s->error = n < 0 && errno != EAGAIN ? errno : s->error;
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    return (int)n;
}

static int write_socket(BIO *bio, const char *from, int size)
{
    struct rp_stream *s = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    do
        n = send(s->fd, from, (size_t)size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    s->error = n < 0 && errno != EAGAIN ? errno : s->error;
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)n;
}

static long control_socket(BIO *bio, int what, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return what == BIO_CTRL_FLUSH;
}

/* Made once in a process, and never given back. */
static BIO_METHOD *socket_method(void)
{
    static BIO_METHOD *method;

    if (!method && (method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link"))) {
        BIO_meth_set_read(method, read_socket);
        BIO_meth_set_write(method, write_socket);
        BIO_meth_set_ctrl(method, control_socket);
    }
    return method;
}

/* ---- the keys in a handshake ---- */

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
    const struct rp_stream *s = SSL_get_app_data(tls);
    unsigned k = s->key % seal->keys.count;

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
    for (unsigned k = 0; k < seal->keys.count; k++)
        if (id_len == ID_TEXT && memcmp(id, seal->id[k], ID_TEXT) == 0)
            *out = session_of_key(tls, seal->keys.key[k]);
    return 1;
}

/* ---- what all streams have in common ---- */

static int use_certificates(struct rp_seal *seal, const struct rp_seal_config *c, struct ft_fault *fault)
{
    const char *wrong = NULL;

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
        rp_seal_keys(seal, config->keys);
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

void rp_seal_keys(struct rp_seal *seal, const struct rp_keys *keys)
{
    seal->keys = *keys;
    name_keys(seal);
}

/* ---- one stream ---- */

static bool begin_tls(struct rp_stream *s, struct rp_seal *seal)
{
    BIO *bio = socket_method() ? BIO_new(socket_method()) : NULL;

    s->tls = bio ? SSL_new(seal->context) : NULL;
    if (!s->tls || (!seal->keys.count && !SSL_set1_host(s->tls, seal->peer_name))) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->tls, bio, bio);
    SSL_set_app_data(s->tls, s);
    /* With keys nobody is asked for a certificate, and one in a key's place is refused: no authority is
     * known. */
    if (!seal->keys.count || !s->accepted)
        SSL_set_verify(s->tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (s->accepted)
        SSL_set_accept_state(s->tls);
    else
        SSL_set_connect_state(s->tls);
    return true;
}

struct rp_stream *rp_stream_open(struct rp_seal *seal, int fd, bool accepted)
{
    struct rp_stream *s = calloc(1, sizeof(*s));

    if (s)
        *s = (struct rp_stream){
            .fd = fd, .accepted = accepted, .open = !seal, .key = seal ? seal->tries++ : 0};
    if (s && (!seal || begin_tls(s, seal)))
        return s;
    if (s)
        SSL_free(s->tls);
    free(s);
    close(fd);
    return NULL;
}

int rp_stream_fd(const struct rp_stream *stream)
{
    return stream ? stream->fd : -1;
}

bool rp_stream_sealed(const struct rp_stream *stream)
{
    return stream->tls != NULL;
}

/* What a call of OpenSSL that moved nothing means, as errno; 0: the end. */
static int error_of(struct rp_stream *s, int result)
{
    int code = SSL_get_error(s->tls, result);
    unsigned long reason = ERR_peek_error();

    if (code == SSL_ERROR_ZERO_RETURN) {
        s->farewell = true;
        return 0;
    }
    if (s->error || s->ended)
        return s->error;
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
        return EAGAIN;
    const char *text = ERR_reason_error_string(reason);

    snprintf(s->why, sizeof(s->why), "TLS: %s", text ? text : "broken");
    return EPROTO;
}

int rp_stream_handshake(struct rp_stream *s)
{
    int rc, error;

    if (s->open)
        return 1;
    ERR_clear_error();
    rc = SSL_do_handshake(s->tls);
    if (rc == 1) {
        s->open = seal_of(s->tls)->keys.count == 0 || SSL_session_reused(s->tls);
        return s->open ? 1 : -1;
    }
    error = error_of(s, rc);
    if (error == EAGAIN)
        return 0;
    if (error != EPROTO)
        snprintf(s->why, sizeof(s->why), "%s", error ? strerror(error) : "closed before it proved itself");
    return -1;
}

static ssize_t read_plain(struct rp_stream *s, void *to, size_t size, bool *more)
{
    ssize_t n;

    do
        n = recv(s->fd, to, size, 0);
    while (n < 0 && errno == EINTR);
    *more = n == (ssize_t)size;
    s->farewell |= n == 0;
    return n;
}

ssize_t rp_stream_read(struct rp_stream *s, void *to, size_t size, bool *more)
{
    size_t n = 0;
    int rc;

    if (!s->tls)
        return read_plain(s, to, size, more);
    ERR_clear_error();
    rc = SSL_read_ex(s->tls, to, size, &n);
    *more = !s->drained || SSL_has_pending(s->tls);
    if (rc == 1)
        return (ssize_t)n;
    errno = error_of(s, rc);
    return errno ? -1 : 0;
}

ssize_t rp_stream_write(struct rp_stream *s, const void *from, size_t size)
{
    size_t n = 0;
    ssize_t sent;
    int rc;

    if (!s->tls) {
        do
            sent = send(s->fd, from, size, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        return sent;
    }
    ERR_clear_error();
    rc = SSL_write_ex(s->tls, from, size, &n);
    if (rc == 1)
        return (ssize_t)n;
    errno = error_of(s, rc);
    errno = errno ? errno : EPIPE;
    return -1;
}

bool rp_stream_farewell(const struct rp_stream *stream)
{
    return stream->farewell;
}

bool rp_stream_pending(const struct rp_stream *stream)
{
    return stream && stream->tls && SSL_has_pending(stream->tls);
}

const char *rp_stream_why(const struct rp_stream *stream)
{
    return stream->why;
}

void rp_stream_close(struct rp_stream *s, bool farewell)
{
    if (!s)
        return;
    if (s->tls && s->open && farewell) {
        ERR_clear_error();
        SSL_shutdown(s->tls);
    }
    close(s->fd);
    SSL_free(s->tls);
    free(s);
}
