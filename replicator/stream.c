/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What seals a link (keys or certificates, and how OpenSSL is to use them), and a connection's stream:
 * TLS 1.3 by OpenSSL over a socket that never waits, or the socket itself. See stream.h.
 *
 * OpenSSL reads and writes by the two functions of `socket_method` below, which keep the system's result: an
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
#define ID_BYTES    16u          /* of a key's name, which reveals nothing of the key */
#define ID_TEXT     (2u * ID_BYTES)
/* Records sealed by one key: a small part of what RFC 8446, 5.5 allows. OpenSSL does not count them. */
#define KEY_RECORDS 4096u
/* Bytes read of somebody who has not proved himself: of who connects to us, before we have answered his
 * hello; and of anybody, before the handshake is over. OpenSSL's work grows with them and the number of
 * records. */
#define HELLO_BYTES 2048u
#define PROOF_BYTES 16384u
/* Of sealed records that wait for the socket. A record that does not fit is not sealed yet. */
#define OUT_BYTES (256u << 10)

/* ---- what seals a link -------------------------------------------------------------------------- */

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

static bool accepts_two_ways(SSL *tls);

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

/* Of the application's protocols (ALPN, RFC 7301) there is one, with its length before it. Without it a
 * connection's bytes are the link's frames. */
static const unsigned char two_ways[] = "\x10"
                                        "understudy-ways1";

/* Of who accepts. */
static int select_protocol(SSL *tls, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *arg)
{
    unsigned char *found;

    (void)arg;
    if (!accepts_two_ways(tls) || SSL_select_next_proto(&found, out_len, two_ways, sizeof(two_ways) - 1, in,
                                                        in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = found;
    return SSL_TLSEXT_ERR_OK;
}

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
    SSL_CTX_set_alpn_select_cb(c, select_protocol, NULL);
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

/* OpenSSL's side of a new connection, without a way to the socket. NULL: no memory. */
static SSL *begin_sealed(struct rp_seal *seal, bool accepts, const char *name)
{
    SSL *tls = SSL_new(seal->context);

    if (!tls || (!seal->keys.count && !SSL_set1_host(tls, name[0] ? name : seal->peer_name))) {
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

/* After a handshake: it was the key that the two sides share, or a certificate that was checked. */
static bool is_shared(SSL *tls)
{
    return seal_of(tls)->keys.count == 0 || SSL_session_reused(tls);
}

/* ---- the stream --------------------------------------------------------------------------------- */

struct rp_stream {
    int fd;
    SSL *tls; /* NULL: plain */
    bool open, peer_closed;
    bool two_ways;       /* this side offers them */
    bool unanswered;     /* this side accepted, and has not answered the hello */
    size_t unproven;     /* bytes read before the handshake was over */
    bool ended, drained; /* the socket: is at its end; gave less than it was asked for */
    int error;           /* the socket's last errno, 0: none */
    uint8_t *out;        /* [OUT_BYTES] sealed records; out[sent, sealed) wait for the socket */
    size_t sent, sealed;
    unsigned records; /* sealed since the key was new */
    bool pending;     /* OpenSSL has more that was read from the socket */
    char why[96];
};

/* ---- the socket; signals interrupt nothing ---- */

static ssize_t receive_bytes(int fd, void *to, size_t size, int flags)
{
    ssize_t n;

    do
        n = recv(fd, to, size, flags);
    while (n < 0 && errno == EINTR);
    return n;
}

static ssize_t send_bytes(int fd, const void *from, size_t size)
{
    ssize_t n;

    do
        n = send(fd, from, size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n;
}

/* ---- OpenSSL's way to the socket ---- */

/* How much may be read of what is there. */
static size_t readable(const struct rp_stream *s, size_t size)
{
    size_t most = s->unanswered ? HELLO_BYTES : PROOF_BYTES;

    if (s->open)
        return size;
    most = s->unproven < most ? most - s->unproven : 0;
    return size < most ? size : most;
}

static int read_socket(BIO *bio, char *to, int most)
{
    struct rp_stream *s = BIO_get_data(bio);
    size_t size = readable(s, (size_t)most);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    if (size == 0) {
        s->error = EMSGSIZE;
        return -1;
    }
    n = receive_bytes(s->fd, to, size, 0);
    s->unproven += !s->open && n > 0 ? (size_t)n : 0;
    s->drained = n < (ssize_t)size;
    s->ended |= n == 0;
    s->error = n < 0 && errno != EAGAIN ? errno : s->error;
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    return (int)n;
}

/* Sends what is sealed. False: not all of it, now or ever. */
static bool send_sealed(struct rp_stream *s)
{
    while (s->sent < s->sealed) {
        ssize_t n = send_bytes(s->fd, s->out + s->sent, s->sealed - s->sent);

        if (n < 0) {
            s->error = errno != EAGAIN ? errno : s->error;
            return false;
        }
        s->sent += (size_t)n;
    }
    s->sent = s->sealed = 0;
    return true;
}

/* Records are gathered, so that a large message leaves in one system call. */
static int write_socket(BIO *bio, const char *from, int size)
{
    struct rp_stream *s = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (OUT_BYTES - s->sealed < (size_t)size) {
        BIO_set_retry_write(bio);
        return -1;
    }
    s->unanswered = false;
    memcpy(s->out + s->sealed, from, (size_t)size);
    s->sealed += (size_t)size;
    return size;
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

static bool begin_tls(struct rp_stream *s, struct rp_seal *seal, bool accepted, const char *name)
{
    BIO *bio = socket_method() ? BIO_new(socket_method()) : NULL;

    s->out = malloc(OUT_BYTES);
    s->tls = bio && s->out ? begin_sealed(seal, accepted, name) : NULL;
    if (s->tls && !accepted && s->two_ways &&
        SSL_set_alpn_protos(s->tls, two_ways, sizeof(two_ways) - 1) != 0) { /* not zero: no memory */
        SSL_free(s->tls);
        s->tls = NULL;
    }
    if (!s->tls) {
        BIO_free(bio);
        return false;
    }
    s->unanswered = accepted;
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->tls, bio, bio);
    return true;
}

static bool accepts_two_ways(SSL *tls)
{
    const struct rp_stream *s = BIO_get_data(SSL_get_rbio(tls));

    return s->two_ways;
}

struct rp_stream *rp_stream_open(struct rp_seal *seal, int fd, bool accepted, const char *name, bool two)
{
    struct rp_stream *s = calloc(1, sizeof(*s));

    if (s)
        *s = (struct rp_stream){.fd = fd, .open = !seal, .two_ways = two};
    if (s && (!seal || begin_tls(s, seal, accepted, name)))
        return s;
    if (s)
        free(s->out);
    free(s);
    close(fd);
    return NULL;
}

int rp_stream_fd(const struct rp_stream *stream)
{
    return stream ? stream->fd : -1;
}

bool rp_stream_two_ways(const struct rp_stream *stream)
{
    const unsigned char *protocol;
    unsigned len = 0;

    if (stream->tls)
        SSL_get0_alpn_selected(stream->tls, &protocol, &len);
    return len > 0;
}

bool rp_stream_sealed(const struct rp_stream *stream)
{
    return stream->tls != NULL;
}

bool rp_stream_secret(const struct rp_stream *stream, struct rp_secret *secret)
{
    static const char label[] = "EXPORTER-understudy-lane";

    if (!stream->tls || !stream->open)
        return false;
    secret->accepted = SSL_is_server(stream->tls);
    return SSL_export_keying_material(stream->tls, secret->bytes, RP_SECRET_BYTES, label, sizeof(label) - 1,
                                      NULL, 0, 0) == 1;
}

/* Before each call of OpenSSL, whose earlier errors would be taken for its own. To clear none costs as much
 * as a system call. */
static void forget_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

/* What a call of OpenSSL that moved nothing means, as errno; 0: the end. */
static int error_of(struct rp_stream *s, int result)
{
    int code = SSL_get_error(s->tls, result);
    unsigned long reason = ERR_peek_error();

    if (code == SSL_ERROR_ZERO_RETURN) {
        s->peer_closed = true;
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
    forget_errors();
    rc = SSL_do_handshake(s->tls);
    send_sealed(s);
    if (rc == 1) {
        s->open = is_shared(s->tls);
        s->pending = true; /* what came with the end of the handshake may be there: one read shows it */
        return s->open ? 1 : RP_STREAM_REFUSED;
    }
    error = error_of(s, rc);
    if (error == EAGAIN)
        return 0;
    if (error == EPROTO || error == EMSGSIZE)
        return RP_STREAM_REFUSED;
    snprintf(s->why, sizeof(s->why), "%s", error ? strerror(error) : "closed before it proved itself");
    return RP_STREAM_ENDED;
}

static ssize_t read_plain(struct rp_stream *s, void *to, size_t size, bool *more)
{
    ssize_t n = receive_bytes(s->fd, to, size, 0);

    *more = n == (ssize_t)size;
    s->peer_closed |= n == 0;
    return n;
}

/* True, with errno: there is nothing to read. Most turns of the replicator find nothing, and OpenSSL takes
 * twice the time of this to find that. A stream that waits to write a new key may still hold what came. */
static bool nothing_came(const struct rp_stream *s)
{
    char first;

    return !s->pending && !SSL_want_write(s->tls) && receive_bytes(s->fd, &first, 1, MSG_PEEK) < 0;
}

ssize_t rp_stream_read(struct rp_stream *s, void *to, size_t size, bool *more)
{
    size_t n = 0;
    int rc;

    if (!s->tls)
        return read_plain(s, to, size, more);
    *more = false;
    if (nothing_came(s))
        return -1;
    forget_errors();
    rc = SSL_read_ex(s->tls, to, size, &n);
    /* Without a byte of content, what OpenSSL still has is the beginning of a record, whose rest will come.
     */
    s->pending = rc == 1 && SSL_has_pending(s->tls);
    *more = s->pending || !s->drained;
    if (rc == 1)
        return (ssize_t)n;
    errno = error_of(s, rc);
    return errno ? -1 : 0;
}

ssize_t rp_stream_write(struct rp_stream *s, const void *from, size_t size)
{
    size_t all = 0, n = 0;
    int rc = 1;

    if (!s->tls)
        return send_bytes(s->fd, from, size);
    if (!send_sealed(s) && s->error) {
        errno = s->error;
        return -1;
    }
    forget_errors();
    while (all < size && (rc = SSL_write_ex(s->tls, (const uint8_t *)from + all, size - all, &n)) == 1) {
        all += n;
        s->records++;
    }
    if (s->records >= KEY_RECORDS && rc == 1 && SSL_key_update(s->tls, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
        s->records = 0;
    if (!all) {
        errno = error_of(s, rc);
        errno = errno ? errno : EPIPE;
        return -1;
    }
    send_sealed(s);
    return (ssize_t)all;
}

bool rp_stream_flush(struct rp_stream *s)
{
    return !s->tls || send_sealed(s);
}

bool rp_stream_peer_closed(const struct rp_stream *stream)
{
    return stream->peer_closed;
}

bool rp_stream_pending(const struct rp_stream *stream)
{
    return stream && stream->pending;
}

const char *rp_stream_why(const struct rp_stream *stream)
{
    return stream->why;
}

void rp_stream_close(struct rp_stream *s, bool close_notify)
{
    if (!s)
        return;
    if (s->tls && s->open && close_notify) {
        forget_errors();
        SSL_shutdown(s->tls);
        send_sealed(s);
    }
    close(s->fd);
    SSL_free(s->tls);
    free(s->out);
    free(s);
}
