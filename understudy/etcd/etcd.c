/* SPDX-License-Identifier: Apache-2.0 */
/* The client of etcd's JSON gateway: connections, certificates, tokens, servers in turn. See etcd.h. */
#define _GNU_SOURCE /* explicit_bzero; faccessat's AT_EACCESS */
#include "understudy/etcd/etcd.h"
#include "ftcore/base/check.h"
#include "ftcore/base/trust.h"
#include "ftcore/base/clock.h"
#include "understudy/etcd/answer.h"
#include "understudy/etcd/curl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define LOGIN_BODY_MAX 1536u /* bytes of a login's request, with its NUL */
#define PASS_MAX       256u  /* bytes of a password, with its NUL */
#define TOKEN_MAX      2048u /* bytes of a token, with its NUL: one that is signed (JWT) is long */
#define CONNECT_MS     500L
#define LOGIN_MS       3000L /* etcd makes a check of a password slow on purpose */

/* One request, and what came of its answer. */
struct transfer {
    CURL *curl;
    bool done;
    CURLcode result; /* once it is done */
    bool asked;      /* for a certificate that the user of the handle does not have, by the server */
    bool too_long;   /* what came and was not taken is more than `max` */
    char why[CURL_ERROR_SIZE];
    char *text;
    size_t len, cap, max;
};

struct nd_etcd {
    const struct nd_etcd_config *config;
    struct nd_etcd_limits limits;
    bool (*stops)(void *arg); /* NULL: never */
    void *arg;
    CURLM *multi;                    /* has the transfers that are under way; keeps connections */
    struct transfer request, stream; /* a request may be made while the stream is open */
    _Atomic uint64_t own, *cluster;  /* whose answers count; another handle's where it was joined */
    struct curl_slist *headers;      /* of requests: the token among them, when there is one */
    char token[TOKEN_MAX];           /* "": not logged in */
    bool heard;                      /* a server may have, of the request that was made last */
    bool once;                       /* see nd_etcd_ask_once */
    unsigned server;                 /* that is asked first */
};

static bool is_given_up(const struct nd_etcd *e)
{
    return e->stops && e->stops(e->arg);
}

int nd_etcd_blame(int error, const char *server, struct ft_fault *fault)
{
    struct ft_fault inner = *fault;

    return ft_fail(fault, error, "%s: %.200s", server, inner.text);
}

/* ---- certificates ------------------------------------------------------------------------------- */

/*
 * Certificates, and whether a server asks for one that the pair does not have. TLS 1.3 has the server refuse
 * after its handshake is over, so what a client reads then is an alert or a broken connection, as it happens.
 * That the server asked is known in both cases.
 */

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

/* ---- transfers --------------------------------------------------------------------------------- */

static size_t take_text(char *data, size_t one, size_t count, void *transfer)
{
    struct transfer *t = transfer;
    size_t len = one * count, cap;

    if (len > t->max - t->len) {
        t->too_long = true;
        return 0; /* curl ends the request */
    }
    if (len > t->cap - t->len) {
        cap = 2 * (t->len + len) < t->max ? 2 * (t->len + len) : t->max;
        char *text = realloc(t->text, cap);

        if (!text)
            return 0;
        t->text = text;
        t->cap = cap;
    }
    memcpy(t->text + t->len, data, len);
    t->len += len;
    return len;
}

/* Nothing of the environment counts: no proxy, no credentials of a user. False: no memory. */
static bool open_transfer(struct transfer *t, const struct nd_etcd_config *c)
{
    t->curl = nd_curl.easy_init();
    if (!t->curl)
        return false;
    nd_curl.easy_setopt(t->curl, CURLOPT_PRIVATE, t);
    nd_curl.easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
    nd_curl.easy_setopt(t->curl, CURLOPT_PROXY, "");
    nd_curl.easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    nd_curl.easy_setopt(t->curl, CURLOPT_FOLLOWLOCATION, 0L);
    nd_curl.easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    nd_curl.easy_setopt(t->curl, CURLOPT_ERRORBUFFER, t->why);
    nd_curl.easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, take_text);
    nd_curl.easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
    /* Else who waits no more for a name waits until the thread that asks for it has ended, tens of seconds.
     * It then ends by itself. */
    nd_curl.easy_setopt(t->curl, CURLOPT_QUICK_EXIT, 1L);
    /* `asked` is set by a handshake in which the server asks for a certificate and there is none. */
    if (c->ca[0]) {
        nd_curl.easy_setopt(t->curl, CURLOPT_CAINFO, c->ca);
        nd_curl.easy_setopt(t->curl, CURLOPT_CAPATH,
                            NULL); /* nobody beside it: not the system's authorities */
    }
    if (c->cert[0]) {
        nd_curl.easy_setopt(t->curl, CURLOPT_SSLCERT, c->cert);
        nd_curl.easy_setopt(t->curl, CURLOPT_SSLKEY, c->cert_key);
    }
    nd_curl.easy_setopt(t->curl, CURLOPT_SSL_CTX_FUNCTION, watch_handshake);
    nd_curl.easy_setopt(t->curl, CURLOPT_SSL_CTX_DATA, &t->asked);
    return true;
}

static void close_transfer(struct transfer *t)
{
    if (t->curl)
        nd_curl.easy_cleanup(t->curl);
    free(t->text);
}

/* What is the same for each request. */
static void address(struct transfer *t, const char *server, const char *path, const char *body,
                    struct curl_slist *headers, size_t max)
{
    char url[256];

    snprintf(url, sizeof(url), "%s%s", server, path);
    t->done = t->asked = t->too_long = false;
    t->result = CURLE_FAILED_INIT;
    t->len = 0;
    t->max = max;
    t->why[0] = '\0';
    nd_curl.easy_setopt(t->curl, CURLOPT_URL, url);
    nd_curl.easy_setopt(t->curl, CURLOPT_POSTFIELDS, body); /* not copied: it may have a password */
    nd_curl.easy_setopt(t->curl, CURLOPT_HTTPHEADER, headers);
}

/* All that can be done now, for each transfer that is under way. False: curl is out of order. */
static bool advance(struct nd_etcd *e)
{
    int running, left;
    CURLMsg *message;

    if (nd_curl.multi_perform(e->multi, &running) != CURLM_OK)
        return false;
    while ((message = nd_curl.multi_info_read(e->multi, &left))) {
        struct transfer *t = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        nd_curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        t->done = true;
        t->result = message->data.result;
    }
    return true;
}

/* Until there is an answer or none will come. False: it was given up. */
static bool perform(struct nd_etcd *e, struct transfer *t)
{
    bool given_up = false;

    if (nd_curl.multi_add_handle(e->multi, t->curl) != CURLM_OK)
        return true;
    while (!t->done && !given_up) {
        given_up = is_given_up(e);
        if (!advance(e))
            break;
        if (!t->done && !given_up)
            nd_curl.multi_poll(e->multi, NULL, 0, (int)e->limits.request_ms, NULL);
    }
    nd_curl.multi_remove_handle(e->multi, t->curl);
    return !given_up || t->done;
}

/* Why there is no answer. */
static int failed(const struct transfer *t, const char *server, struct ft_fault *fault)
{
    const char *why = t->why[0] ? t->why : nd_curl.easy_strerror(t->result);

    if (t->too_long)
        return ft_fail(fault, FT_EIO, "%s: its answer is longer than %zu KB, expected less", server,
                       t->max / 1024);
    return ft_fail(fault, FT_EIO, "%s: %.180s%s", server, why,
                   t->asked ? " (it asked for a certificate, expected one in `cert`)" : "");
}

static int refused(const struct transfer *t, const char *server, const char *path, long status,
                   struct ft_fault *fault)
{
    char words[ND_ETCD_WORDS_MAX];

    nd_etcd_refusal(t->text, t->len, words);
    return ft_fail(fault, FT_EIO, "%s%s: status %ld%s%s%s, expected 200", server, path, status,
                   words[0] ? " (" : "", words, words[0] ? ")" : "");
}

/* One. The status of the answer, whose text is e->request's, FT_EIO, or FT_EBUSY: given up. */
static long request(struct nd_etcd *e, const char *server, const char *path, const char *body, long ms,
                    struct ft_fault *fault)
{
    struct transfer *t = &e->request;
    long status = 0, sent = 0;

    address(t, server, path, body, e->headers, e->limits.reply);
    nd_curl.easy_setopt(t->curl, CURLOPT_TIMEOUT_MS, ms);
    nd_curl.easy_setopt(t->curl, CURLOPT_FRESH_CONNECT, (long)e->once);
    bool whole = perform(e, t);

    nd_curl.easy_getinfo(t->curl, CURLINFO_REQUEST_SIZE, &sent);
    e->heard = sent > 0;
    if (!whole)
        return ft_fail(fault, FT_EBUSY, "%s: given up", server);
    if (t->result != CURLE_OK)
        return failed(t, server, fault);
    nd_curl.easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* ---- logging in -------------------------------------------------------------------------------- */

/* Some bytes, none of them a control character. */
static bool is_printable(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return *text != '\0';
}

static size_t append_quoted(char *out, size_t at, const char *text)
{
    out[at++] = '"';
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            out[at++] = '\\';
        out[at++] = *c;
    }
    out[at++] = '"';
    return at;
}

_Static_assert(2 * (ND_ETCD_NAME_MAX + PASS_MAX) + 32 < LOGIN_BODY_MAX, "a login fits a request");

/* Of a user whose password is printable. out: LOGIN_BODY_MAX bytes. No library makes it: the password is to
 * stand in no memory that is not wiped. */
static void make_login(const char *user, const char *password, char *out)
{
    static const char name[] = "{\"name\":", pass[] = ",\"password\":";
    size_t at = sizeof(name) - 1;

    memcpy(out, name, at);
    at = append_quoted(out, at, user);
    memcpy(out + at, pass, sizeof(pass) - 1);
    at = append_quoted(out, at + sizeof(pass) - 1, password);
    memcpy(out + at, "}", 2);
}

static int no_memory(struct ft_fault *fault)
{
    return ft_fail(fault, FT_ENOMEM, "no memory to ask etcd with");
}

static int read_password(const struct nd_etcd_config *config, char out[PASS_MAX], struct ft_fault *fault)
{
    struct ft_trust trust = {.expected = "the password of etcd's user in one", .secret = "a password"};
    const char *path = config->password_file;
    int fd;

    ft_trust_user(&trust, config->owner);
    fd = ft_trust_open(path, &trust, fault);

    if (fd < 0)
        return errno ? FT_EIO : fd;
    ssize_t len = read(fd, out, PASS_MAX);

    close(fd);
    if (len < 0)
        return ft_fail(fault, FT_EIO, "%s: %s", path, strerror(errno));
    if (len > 0 && out[len - 1] == '\n')
        len--;
    if (len < (ssize_t)PASS_MAX)
        out[len] = '\0';
    if (len == (ssize_t)PASS_MAX || !is_printable(out) || strlen(out) != (size_t)len)
        return ft_fail(fault, FT_EMALFORMED, "%s: no password, expected one line of 1 to %u bytes", path,
                       PASS_MAX - 2);
    return 0;
}

/* `path` "": nothing. A pipe would hold up the library that reads it. */
static int judge_file(const char *path, struct ft_fault *fault)
{
    struct stat is;

    if (!path[0])
        return 0;
    if (stat(path, &is) != 0 || faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0)
        return ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EINVAL, "%s: %s", path,
                       strerror(errno));
    return S_ISREG(is.st_mode) ? 0 : ft_fail(fault, FT_EMALFORMED, "%s: not a regular file", path);
}

/* As curl has OpenSSL read them. */
static int judge_pem(const struct nd_etcd_config *c, SSL_CTX *tls, struct ft_fault *fault)
{
    if (c->ca[0] && SSL_CTX_load_verify_file(tls, c->ca) != 1)
        return ft_fail(fault, FT_EMALFORMED, "%s: no certificate of an authority, expected PEM", c->ca);
    if (c->cert[0] && SSL_CTX_use_certificate_chain_file(tls, c->cert) != 1)
        return ft_fail(fault, FT_EMALFORMED, "%s: no certificate, expected PEM", c->cert);
    if (c->cert[0] && SSL_CTX_use_PrivateKey_file(tls, c->cert_key, SSL_FILETYPE_PEM) != 1)
        return ft_fail(fault, FT_EMALFORMED, "%s: not the key of %s, expected that in PEM", c->cert_key,
                       c->cert);
    return 0;
}

int nd_etcd_judge(const struct nd_etcd_config *config, struct ft_fault *fault)
{
    char password[PASS_MAX];
    SSL_CTX *tls;
    int error = judge_file(config->user[0] ? config->password_file : "", fault);

    if (!error && config->user[0])
        error = read_password(config, password, fault);
    explicit_bzero(password, sizeof(password));
    if (error || (error = judge_file(config->ca, fault)) || (error = judge_file(config->cert, fault)) ||
        (error = judge_file(config->cert_key, fault)))
        return error;
    tls = SSL_CTX_new(TLS_client_method());
    error = tls ? judge_pem(config, tls, fault) : no_memory(fault);
    SSL_CTX_free(tls);
    ERR_clear_error();
    return error;
}

/* The token is printable: it may stand in a header. */
static int read_token(const char *text, size_t len, char out[TOKEN_MAX], struct ft_fault *fault)
{
    json_t *o;
    int error = nd_etcd_load(&o, text, len, false, fault);
    const char *token = json_string_value(json_object_get(o, "token"));

    if (!error && (!token || strlen(token) >= TOKEN_MAX || !is_printable(token)))
        error = ft_fail(fault, FT_EMALFORMED,
                        "its answer has no token, expected one of at most %u characters", TOKEN_MAX - 1);
    if (!error)
        memcpy(out, token, strlen(token) + 1);
    json_decref(o);
    return error;
}

/* Of a request with the token that there is; curl_slist_free_all frees them. NULL: no memory. */
static struct curl_slist *make_headers(const char *token)
{
    static const char name[] = "Authorization: ";
    char line[sizeof(name) + TOKEN_MAX];
    struct curl_slist *list = nd_curl.slist_append(NULL, "Content-Type: application/json"), *whole = list;

    if (token[0] && list) {
        snprintf(line, sizeof(line), "%s%s", name, token);
        whole = nd_curl.slist_append(list, line);
    }
    if (!whole)
        nd_curl.slist_free_all(list);
    return whole;
}

/* `token` "": none. */
static int use_token(struct nd_etcd *e, const char *token, struct ft_fault *fault)
{
    struct curl_slist *headers = make_headers(token);

    if (!headers)
        return no_memory(fault);
    nd_curl.slist_free_all(e->headers);
    e->headers = headers;
    snprintf(e->token, sizeof(e->token), "%s", token);
    return 0;
}

static int log_in(struct nd_etcd *e, const char *server, struct ft_fault *fault)
{
    static const char path[] = "/v3/auth/authenticate";
    char password[PASS_MAX], body[LOGIN_BODY_MAX], token[TOKEN_MAX];
    long status = 0;
    int error = read_password(e->config, password, fault);

    if (!error)
        error = use_token(e, "", fault);
    if (!error) {
        make_login(e->config->user, password, body);
        status = request(e, server, path, body, LOGIN_MS, fault);
        error = status < 0      ? (int)status
                : status != 200 ? refused(&e->request, server, path, status, fault)
                                : 0;
    }
    if (!error) {
        error = read_token(e->request.text, e->request.len, token, fault);
        error = error ? nd_etcd_blame(error, server, fault) : use_token(e, token, fault);
    }
    e->heard = false; /* the request itself has not been sent yet */
    explicit_bzero(password, sizeof(password));
    explicit_bzero(body, sizeof(body));
    return error;
}

/*
 * A token is kept while it serves. One that is refused has expired, or users were changed: there is one more,
 * once. One that gets no answer goes as well, since etcd has each wait for a moment of its log that it names,
 * and a cluster that was restored may never come to that.
 */
int nd_etcd_post(struct nd_etcd *e, const char *server, const char *path, const char *body,
                 struct nd_etcd_reply *reply, struct ft_fault *fault)
{
    for (;;) {
        bool kept = e->token[0];
        int error = e->config->user[0] && !kept ? log_in(e, server, fault) : 0;
        long status = error ? error : request(e, server, path, body, e->limits.request_ms, fault);

        if (status == 200) {
            *reply = (struct nd_etcd_reply){e->request.text, e->request.len};
            return 0;
        }
        bool again = status == 400 || status == 401;

        if (again || (status < 0 && status != FT_EBUSY))
            e->token[0] = '\0';
        if (status < 0)
            return (int)status;
        if (!kept || !again)
            return refused(&e->request, server, path, status, fault);
    }
}

bool nd_etcd_too_long(const struct nd_etcd *e)
{
    return e->request.too_long;
}

/* Of the server's first answer, or of another one's; another cluster may have been named meanwhile. */
int nd_etcd_believe(struct nd_etcd *e, const char *server, uint64_t cluster, struct ft_fault *fault)
{
    uint64_t expected = 0;

    if (atomic_compare_exchange_strong(e->cluster, &expected, cluster) || expected == cluster)
        return 0;
    return ft_fail(fault, FT_EIO, "%s: of cluster %lx, expected %lx: all URLs of all nodes name one cluster",
                   server, cluster, expected);
}

/* ---- streams ----------------------------------------------------------------------------------- */

/* Gives each whole line away. */
static int take_lines(struct transfer *t, const struct nd_etcd_stream *s, size_t *looked,
                      struct ft_fault *fault)
{
    size_t at = 0;
    int result = 0;
    char *end;

    /* What was looked at has no end of a line. */
    while (!result && t->len > at + *looked &&
           (end = memchr(t->text + at + *looked, '\n', t->len - at - *looked))) {
        size_t len = (size_t)(end - t->text) - at;

        *looked = 0;
        if (len)
            result = s->take(s->arg, t->text + at, len, fault);
        at += len + 1;
    }
    if (at)
        memmove(t->text, t->text + at, t->len - at);
    t->len -= at;
    *looked = t->len;
    return result;
}

/* The stream is under way. */
static int run_stream(struct nd_etcd *e, const char *server, const struct nd_etcd_stream *s,
                      struct ft_fault *fault)
{
    struct transfer *t = &e->stream;
    uint64_t beat = ft_now() + s->beat_ns;
    size_t looked = 0;
    int result = 0;

    while (!result) {
        long status = 0;
        uint64_t now;

        if (is_given_up(e))
            return ft_fail(fault, FT_EBUSY, "%s: given up", server);
        if (!advance(e))
            return ft_fail(fault, FT_EIO, "%s: %s", server, nd_curl.easy_strerror(CURLE_FAILED_INIT));
        nd_curl.easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
        if (status == 200)
            result = take_lines(t, s, &looked, fault);
        if (result)
            break;
        if (t->done && t->too_long)
            return ft_fail(fault, FT_EFULL, "%s: more than %zu KB of a stream at once, expected less", server,
                           t->max / 1024);
        if (t->done && t->result == CURLE_OK && status != 200)
            return refused(t, server, s->path, status, fault);
        if (t->done)
            return t->result == CURLE_OK ? ft_fail(fault, FT_EIO, "%s: it ended the stream", server)
                                         : failed(t, server, fault);
        now = ft_now();
        if (now >= beat) {
            result = s->beat(s->arg, fault);
            beat = ft_now() + s->beat_ns;
        } else {
            nd_curl.multi_poll(e->multi, NULL, 0, (int)((beat - now) / 1000000u) + 1, NULL);
        }
    }
    return result;
}

int nd_etcd_stream(struct nd_etcd *e, const char *server, const struct nd_etcd_stream *stream,
                   struct ft_fault *fault)
{
    struct transfer *t = &e->stream;
    int result = e->config->user[0] && !e->token[0] ? log_in(e, server, fault) : 0;
    struct curl_slist *headers; /* the stream's own: a beat may log in */

    if (result)
        return result;
    headers = make_headers(e->token);
    if (!headers)
        return no_memory(fault);
    address(t, server, stream->path, stream->body, headers, stream->held);
    nd_curl.easy_setopt(t->curl, CURLOPT_TCP_KEEPALIVE, 1L); /* a dead connection does not show by itself */
    nd_curl.easy_setopt(t->curl, CURLOPT_TCP_KEEPIDLE, 5L);
    nd_curl.easy_setopt(t->curl, CURLOPT_TCP_KEEPINTVL, 2L);
    if (nd_curl.multi_add_handle(e->multi, t->curl) == CURLM_OK) {
        result = run_stream(e, server, stream, fault);
        nd_curl.multi_remove_handle(e->multi, t->curl);
    } else {
        result = no_memory(fault);
    }
    if (result != FT_EBUSY)
        e->server = (e->server + 1) % e->config->urls;
    nd_curl.easy_setopt(t->curl, CURLOPT_HTTPHEADER, NULL);
    nd_curl.slist_free_all(headers);
    return result;
}

/* ---- the handle -------------------------------------------------------------------------------- */

static int ask_in_turn(struct nd_etcd *e, nd_etcd_ask_fn *ask, void *arg, struct ft_fault *fault)
{
    unsigned urls = e->config->urls;
    int result = 0;

    FT_CHECK(urls > 0, "no URL of etcd");
    for (unsigned i = 0; i < urls; i++) {
        unsigned server = (e->server + i) % urls;

        e->heard = false;
        result = is_given_up(e) ? ft_fail(fault, FT_EBUSY, "given up")
                                : ask(e, e->config->url[server], arg, fault);
        if (result == FT_EBUSY)
            return result;
        if (result >= 0) {
            e->server = server;
            return result;
        }
        if (e->once && e->heard) {
            e->server = (server + 1) % urls;
            return result;
        }
    }
    e->server = (e->server + 1) % urls;
    return result;
}

int nd_etcd_ask(struct nd_etcd *e, nd_etcd_ask_fn *ask, void *arg, struct ft_fault *fault)
{
    e->once = false;
    return ask_in_turn(e, ask, arg, fault);
}

int nd_etcd_ask_once(struct nd_etcd *e, nd_etcd_ask_fn *ask, void *arg, struct ft_fault *fault)
{
    int result;

    e->once = true;
    result = ask_in_turn(e, ask, arg, fault);
    e->once = false;
    return result;
}

const char *nd_etcd_server(const struct nd_etcd *e)
{
    return e->config->url[e->server];
}

uint64_t nd_etcd_cluster(const struct nd_etcd *e)
{
    return atomic_load(e->cluster);
}

void nd_etcd_expect(struct nd_etcd *e, uint64_t cluster)
{
    atomic_store(e->cluster, cluster);
}

void nd_etcd_begin_at(struct nd_etcd *e, const char *name)
{
    e->server = (unsigned)(XXH3_64bits(name, strlen(name)) % e->config->urls);
}

void nd_etcd_join(struct nd_etcd *e, struct nd_etcd *with)
{
    e->cluster = with->cluster;
}

void nd_etcd_wake(struct nd_etcd *e)
{
    nd_curl.multi_wakeup(e->multi);
}

void nd_etcd_close(struct nd_etcd *e)
{
    if (!e)
        return;
    nd_curl.slist_free_all(e->headers);
    close_transfer(&e->request);
    close_transfer(&e->stream);
    if (e->multi)
        nd_curl.multi_cleanup(e->multi);
    explicit_bzero(e->token, sizeof(e->token));
    free(e);
}

int nd_etcd_open(struct nd_etcd **out, const struct nd_etcd_config *config,
                 const struct nd_etcd_limits *limits, bool (*stops)(void *arg), void *arg,
                 struct ft_fault *fault)
{
    int error = nd_curl_load(fault);
    struct nd_etcd *e = error ? NULL : calloc(1, sizeof(*e));

    *out = e;
    if (error)
        return error;
    if (!e || !open_transfer(&e->request, config) || !open_transfer(&e->stream, config) ||
        !(e->multi = nd_curl.multi_init()) || use_token(e, "", fault) != 0) {
        nd_etcd_close(e);
        *out = NULL;
        return no_memory(fault);
    }
    e->config = config;
    e->limits = *limits;
    e->stops = stops;
    e->arg = arg;
    e->cluster = &e->own;
    return 0;
}
