/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said to etcd by its JSON gateway (v3) and read from it, as text; the client that does so; and the
 * thread that asks by it. See arbiter.h.
 */
#define _GNU_SOURCE /* explicit_bzero */
#include "node/arbiter/arbiter.h"
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/seqlock.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/trust.h"
#include "ftcore/base/worker.h"
#include "node/base/clock.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX 192u
#define CODED_MAX 320u   /* of a key or a value, base64 */
#define BODY_MAX  1536u  /* bytes of a request */
#define REPLY_MAX 16384u /* bytes of an answer that is read */
#define PASS_MAX  256u   /* bytes of a password, with its NUL */
#define TOKEN_MAX 2048u  /* bytes of a token, with its NUL: one that is signed (JWT) is long */
#define WORDS_MAX 120u

/* ---- base64 ------------------------------------------------------------------------------------ */

static void encode(const char *text, char out[CODED_MAX])
{
    EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)strlen(text));
}

/* False: it is not base64, has a NUL, or has no room. */
static bool decode(const char *coded, char *out, size_t cap)
{
    unsigned char bytes[CODED_MAX];
    size_t len = strlen(coded);
    int n = len <= sizeof(bytes) ? EVP_DecodeBlock(bytes, (const unsigned char *)coded, (int)len) : -1;

    if (n < 0) /* the bytes that stand for `=` are zero */
        return false;
    n -= len && coded[len - 1] == '=' ? 1 + (coded[len - 2] == '=') : 0;
    if ((size_t)n >= cap || memchr(bytes, '\0', (size_t)n))
        return false;
    memcpy(out, bytes, (size_t)n);
    out[n] = '\0';
    return true;
}

/* ---- the value: one line, "understudy VIEW NUMBER WINNER", without a line end; nobody is "-". Once the
 * shard has a name, " SHARD NODE NODE" behind it: who the members of the view are ---- */

static void write_value(const struct ft_decision *d, char out[VALUE_MAX])
{
    const struct ft_members *m = &d->members;
    char shard[FT_SHARD_TEXT];
    int n = snprintf(out, VALUE_MAX, "understudy %lu %lu %s", d->era.view, d->era.number,
                     d->winner[0] ? d->winner : "-");

    if (m->name[0][0])
        snprintf(out + n, VALUE_MAX - (size_t)n, " %s %s %s", ft_shard_text(shard, m), m->name[0],
                 m->name[1]);
}

/* Digits up to `end`, without a sign or a space. Behind them, or NULL. */
static const char *read_number(const char *at, char end, uint64_t *out)
{
    char *behind;

    if (!isdigit((unsigned char)*at))
        return NULL;
    *out = strtoull(at, &behind, 10);
    return *behind == end && behind - at < 20 ? behind + 1 : NULL;
}

/* Up to `end`, a name of a node. Behind it, or NULL. */
static const char *read_name(const char *at, char end, char out[FT_NAME_MAX])
{
    size_t len = strcspn(at, " ");

    if (len >= FT_NAME_MAX || at[len] != end)
        return NULL;
    memcpy(out, at, len);
    out[len] = '\0';
    return ft_is_name(out, FT_NAME_MAX) ? at + len + 1 : NULL;
}

static bool read_members(const char *at, struct ft_members *out)
{
    if (!ft_shard_read(out, at) || at[FT_SHARD_TEXT - 1] != ' ')
        return false;
    at = read_name(at + FT_SHARD_TEXT, ' ', out->name[0]);
    return at && read_name(at, '\0', out->name[1]) && ft_members_fit(out);
}

static bool read_value(const char *text, struct ft_decision *out)
{
    static const char head[] = "understudy ";
    const char *at = strncmp(text, head, sizeof(head) - 1) == 0 ? text + sizeof(head) - 1 : NULL, *end;

    *out = (struct ft_decision){.any = true};
    at = at ? read_number(at, ' ', &out->era.view) : NULL;
    at = at ? read_number(at, ' ', &out->era.number) : NULL;
    end = at && out->era.view <= FT_VIEW_MAX ? at + strcspn(at, " ") : NULL;
    if (!end || (*end && !read_members(end + 1, &out->members)))
        return false;
    return (end - at == 1 && *at == '-') || read_name(at, *end, out->winner);
}

/* What stands at the key. */
struct kept {
    struct ft_decision decision;
    int64_t revision; /* of the key's last change; 0: there is no such key */
    uint64_t cluster; /* that says so; not 0 */
};

/* ---- requests: each fills out[0..BODY_MAX) ---- */

static void make_range(const char *key, char *out)
{
    char coded[CODED_MAX];

    encode(key, coded);
    snprintf(out, BODY_MAX, "{\"key\":\"%s\"}", coded);
}

/* Puts `decision` if the key was not changed since `kept` was read. */
static void make_put(const char *key, const struct kept *kept, const struct ft_decision *decision, char *out)
{
    char coded[CODED_MAX], text[VALUE_MAX], value[CODED_MAX];

    encode(key, coded);
    write_value(decision, text);
    encode(text, value);
    snprintf(
        out, BODY_MAX,
        "{\"compare\":[{\"key\":\"%s\",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"%ld\"}],"
        "\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\"}}]}",
        coded, kept->revision, coded, value);
}

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

_Static_assert(2 * (ND_ETCD_NAME_MAX + PASS_MAX) + 32 < BODY_MAX, "a login fits a request");

/* Of a user whose password is printable. */
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

/* ---- answers: 0, or FT_EMALFORMED with a line that says what it is, and what was expected. Whatever etcd
 *      answers is hostile until it is checked here ---- */

static json_t *load(const char *text, size_t len, struct ft_fault *fault)
{
    json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(o) || !json_is_object(json_object_get(o, "header"))) {
        json_decref(o);
        ft_fail(fault, FT_EMALFORMED, "its answer of %zu bytes is not etcd's, expected JSON with a header",
                len);
        return NULL;
    }
    return o;
}

/* Numbers of 64 bits are strings there. */
static bool read_revision(const json_t *o, int64_t *out)
{
    const char *text = json_string_value(o);
    uint64_t number;

    if (!text || !read_number(text, '\0', &number) || number == 0 || number > INT64_MAX)
        return false;
    *out = (int64_t)number;
    return true;
}

/* Any number of 64 bits but 0, in up to 20 digits. */
static bool read_cluster(const json_t *o, uint64_t *out)
{
    const char *text = json_string_value(json_object_get(json_object_get(o, "header"), "cluster_id"));
    char *behind;

    if (!text || !isdigit((unsigned char)*text))
        return false;
    errno = 0;
    *out = strtoull(text, &behind, 10);
    return !*behind && !errno && *out;
}

static int read_kept(const json_t *kv, const char *key, struct kept *out, struct ft_fault *fault)
{
    const char *name = json_string_value(json_object_get(kv, "key"));
    const char *value = json_string_value(json_object_get(kv, "value"));
    char coded[CODED_MAX], text[VALUE_MAX] = "";

    encode(key, coded);
    if (!name || strcmp(name, coded) != 0)
        return ft_fail(fault, FT_EMALFORMED, "its answer has another key, expected %s", key);
    if (!read_revision(json_object_get(kv, "mod_revision"), &out->revision))
        return ft_fail(fault, FT_EMALFORMED, "its answer has no mod_revision that is a number");
    if (!value || !decode(value, text, sizeof(text)) || !read_value(text, &out->decision))
        return ft_fail(fault, FT_EMALFORMED,
                       "the value of %s is no pair's, expected \"understudy VIEW NUMBER WINNER\"", key);
    return 0;
}

static int read_range(const char *text, size_t len, const char *key, struct kept *out, struct ft_fault *fault)
{
    json_t *o = load(text, len, fault), *kvs = json_object_get(o, "kvs");
    int error = o ? 0 : FT_EMALFORMED;

    *out = (struct kept){.revision = 0};
    if (o && !read_cluster(o, &out->cluster))
        error = ft_fail(fault, FT_EMALFORMED, "its answer has no cluster_id that is a number");
    else if (o && kvs && (!json_is_array(kvs) || json_array_size(kvs) > 1))
        error = ft_fail(fault, FT_EMALFORMED, "its answer has kvs that are not one key's");
    else if (o && json_array_size(kvs) == 1)
        error = read_kept(json_array_get(kvs, 0), key, out, fault);
    json_decref(o);
    return error;
}

static int read_put(const char *text, size_t len, bool *done, struct ft_fault *fault)
{
    json_t *o = load(text, len, fault), *succeeded = json_object_get(o, "succeeded");
    int error = o ? 0 : FT_EMALFORMED;

    *done = json_is_true(succeeded);
    if (o && succeeded && !json_is_boolean(succeeded))
        error = ft_fail(fault, FT_EMALFORMED, "its answer has \"succeeded\" that is not true or false");
    json_decref(o);
    return error;
}

/* The token is printable: it may stand in a header. */
static int read_token(const char *text, size_t len, char out[TOKEN_MAX], struct ft_fault *fault)
{
    json_t *o = load(text, len, fault);
    const char *token = json_string_value(json_object_get(o, "token"));
    int error = o ? 0 : FT_EMALFORMED;

    if (o && (!token || strlen(token) >= TOKEN_MAX || !is_printable(token)))
        error = ft_fail(fault, FT_EMALFORMED,
                        "its answer has no token, expected one of at most %u characters", TOKEN_MAX - 1);
    if (!error)
        memcpy(out, token, strlen(token) + 1);
    json_decref(o);
    return error;
}

/* Why etcd refused, in its own words as far as they are printable; "": it does not say. */
static void read_refusal(const char *text, size_t len, char out[WORDS_MAX])
{
    json_t *o = json_loadb(text, len, 0, NULL);
    const char *words = json_string_value(json_object_get(o, "message"));
    size_t at = 0;

    len = words ? strlen(words) : len;
    words = words ? words : text;
    while (at < len && at + 1 < WORDS_MAX && isprint((unsigned char)words[at])) {
        out[at] = words[at];
        at++;
    }
    out[at] = '\0';
    json_decref(o);
}

/* ---- asking: by one thread, which waits in it ---- */

#define CONNECT_MS 500L
#define REQUEST_MS 1000L
#define LOGIN_MS   3000L /* etcd makes a check of a password slow on purpose */
#define ROUNDS     5u    /* in which somebody else changed the key between the look and the put */

struct etcd {
    const struct nd_etcd_config *config;
    bool (*stops)(void *arg); /* what is under way is of no use any more, and is given up; NULL: never */
    void *arg;
    CURL *curl;
    CURLM *multi;               /* has `curl` while a request is under way; keeps its connections */
    _Atomic uint64_t cluster;   /* whose answers count, by any thread; 0: whichever answers first */
    struct curl_slist *headers; /* the token among them, when there is one */
    bool logged_in;
    bool asked;      /* for a certificate that the pair does not have, by the server of this request */
    unsigned server; /* that is tried first */
    char why[CURL_ERROR_SIZE];
    char reply[REPLY_MAX];
    size_t len;
};

static size_t take_reply(char *data, size_t one, size_t count, void *etcd)
{
    struct etcd *e = etcd;
    size_t len = one * count;

    if (len > sizeof(e->reply) - e->len)
        return 0; /* curl ends the request */
    memcpy(e->reply + e->len, data, len);
    e->len += len;
    return len;
}

static bool is_given_up(const struct etcd *e)
{
    return e->stops && e->stops(e->arg);
}

static int prefix(int error, const char *server, struct ft_fault *fault)
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

/* PEM files; "": the system's authorities, no certificate. *asked is set true by a handshake in which the
 * server asks for a certificate and `cert` is "". Both are borrowed by the handle. */
static void set_up_tls(CURL *curl, const char *ca, const char *cert, const char *key, bool *asked)
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

/* ---- requests ---------------------------------------------------------------------------------- */

/* Until there is an answer or none will come. False: it was given up. */
static bool perform(struct etcd *e, CURLcode *result)
{
    bool given_up = false;
    int running = 1, left;
    CURLMsg *message;

    *result = CURLE_FAILED_INIT;
    if (curl_multi_add_handle(e->multi, e->curl) != CURLM_OK)
        return true;
    while (running && !given_up) {
        given_up = is_given_up(e);
        if (curl_multi_perform(e->multi, &running) != CURLM_OK)
            break;
        if (running && !given_up)
            curl_multi_poll(e->multi, NULL, 0, REQUEST_MS, NULL);
    }
    while ((message = curl_multi_info_read(e->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            *result = message->data.result;
    curl_multi_remove_handle(e->multi, e->curl);
    return !given_up || !running;
}

/* One. The status of the answer, whose text is e->reply, FT_EIO, or FT_EBUSY: given up. */
static long request(struct etcd *e, const char *server, const char *path, const char *body, long ms,
                    struct ft_fault *fault)
{
    char url[256];
    long status = 0;

    snprintf(url, sizeof(url), "%s%s", server, path);
    e->len = 0;
    e->why[0] = '\0';
    e->asked = false;
    curl_easy_setopt(e->curl, CURLOPT_URL, url);
    curl_easy_setopt(e->curl, CURLOPT_TIMEOUT_MS, ms);
    curl_easy_setopt(e->curl, CURLOPT_POSTFIELDS, body); /* not copied: it may have a password */
    curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, e->headers);
    CURLcode rc;

    if (!perform(e, &rc))
        return ft_fail(fault, FT_EBUSY, "%s: given up", server);
    if (rc != CURLE_OK)
        return ft_fail(fault, FT_EIO, "%s: %.180s%s", server,
                       rc == CURLE_WRITE_ERROR
                           ? "its answer is longer than 16 KB, expected some hundred bytes"
                       : e->why[0] ? e->why
                                   : curl_easy_strerror(rc),
                       e->asked ? " (it asked for a certificate, expected one in `cert`)" : "");
    curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static int refused(const struct etcd *e, const char *server, const char *path, long status,
                   struct ft_fault *fault)
{
    char words[WORDS_MAX];

    read_refusal(e->reply, e->len, words);
    return ft_fail(fault, FT_EIO, "%s%s: status %ld%s%s%s, expected 200", server, path, status,
                   words[0] ? " (" : "", words, words[0] ? ")" : "");
}

/* ---- logging in -------------------------------------------------------------------------------- */

static int read_password(const char *path, char out[PASS_MAX], struct ft_fault *fault)
{
    static const struct ft_trust trust = {.expected = "the arbiter's password in one",
                                          .secret = "a password"};
    int fd = ft_trust_open(path, &trust, fault);

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

/* `token` NULL: none. */
static int set_headers(struct etcd *e, const char *token, struct ft_fault *fault)
{
    static const char name[] = "Authorization: ";
    char line[sizeof(name) + TOKEN_MAX];
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json"), *whole = list;

    if (token && list) {
        snprintf(line, sizeof(line), "%s%s", name, token);
        whole = curl_slist_append(list, line);
    }
    if (!whole) {
        curl_slist_free_all(list);
        return ft_fail(fault, FT_ENOMEM, "no memory to ask the arbiter with");
    }
    curl_slist_free_all(e->headers);
    e->headers = whole;
    e->logged_in = token != NULL;
    return 0;
}

static int log_in(struct etcd *e, const char *server, struct ft_fault *fault)
{
    static const char path[] = "/v3/auth/authenticate";
    char password[PASS_MAX], body[BODY_MAX], token[TOKEN_MAX];
    long status = 0;
    int error = read_password(e->config->password_file, password, fault);

    if (!error)
        error = set_headers(e, NULL, fault);
    if (!error) {
        make_login(e->config->user, password, body);
        status = request(e, server, path, body, LOGIN_MS, fault);
        error = status < 0 ? (int)status : status != 200 ? refused(e, server, path, status, fault) : 0;
    }
    if (!error) {
        error = read_token(e->reply, e->len, token, fault);
        error = error ? prefix(error, server, fault) : set_headers(e, token, fault);
    }
    explicit_bzero(password, sizeof(password));
    explicit_bzero(body, sizeof(body));
    return error;
}

/*
 * The reply's length, or an error. A token is kept while it serves. One that is refused has expired, or users
 * were changed: there is one more, once. One that gets no answer goes as well, since etcd has each wait for a
 * moment of its log that it names, and a cluster that was restored may never come to that.
 */
static long post(struct etcd *e, const char *server, const char *path, const char *body,
                 struct ft_fault *fault)
{
    for (;;) {
        bool kept = e->logged_in;
        int error = e->config->user[0] && !kept ? log_in(e, server, fault) : 0;
        long status = error ? error : request(e, server, path, body, REQUEST_MS, fault);

        if (status == 200)
            return (long)e->len;
        bool again = status == 400 || status == 401;

        e->logged_in &= (status >= 0 || status == FT_EBUSY) && !again;
        if (status < 0)
            return status;
        if (!kept || !again)
            return refused(e, server, path, status, fault);
    }
}

/* Of the server's first answer, or of another one's; the peer may have told another meanwhile. */
static int check_cluster(struct etcd *e, const char *server, uint64_t cluster, struct ft_fault *fault)
{
    uint64_t expected = 0;

    if (atomic_compare_exchange_strong(&e->cluster, &expected, cluster) || expected == cluster)
        return 0;
    return ft_fail(fault, FT_EIO, "%s: of cluster %lx, expected %lx: all URLs of both nodes name one cluster",
                   server, cluster, expected);
}

/* ---- the rule ---------------------------------------------------------------------------------- */

static int read_key(struct etcd *e, const char *server, struct kept *kept, struct ft_fault *fault)
{
    char body[BODY_MAX];
    int error;

    make_range(e->config->key, body);
    long len = post(e, server, "/v3/kv/range", body, fault);

    if (len < 0)
        return (int)len;
    error = read_range(e->reply, (size_t)len, e->config->key, kept, fault);
    return error ? prefix(error, server, fault) : check_cluster(e, server, kept->cluster, fault);
}

static int put_key(struct etcd *e, const char *server, const struct kept *kept, const struct ft_decision *d,
                   bool *done, struct ft_fault *fault)
{
    char body[BODY_MAX];
    int error;

    make_put(e->config->key, kept, d, body);
    long len = post(e, server, "/v3/kv/txn", body, fault);

    if (len < 0)
        return (int)len;
    error = read_put(e->reply, (size_t)len, done, fault);
    return error ? prefix(error, server, fault) : 0;
}

/* A put of which nothing is heard may have been made: the next look tells. */
static int decide_at(struct etcd *e, const char *server, const struct ft_question *asked, const char *who,
                     struct ft_decision *out, struct ft_fault *fault)
{
    struct kept kept;
    struct ft_decision wanted;

    for (unsigned round = 0; round < ROUNDS; round++) {
        bool done = false;
        int error = read_key(e, server, &kept, fault);

        *out = kept.decision;
        if (error || !asked || !ft_decides_anew(&kept.decision, asked))
            return error;
        wanted = ft_decision_of(&kept.decision, asked, who);
        error = put_key(e, server, &kept, &wanted, &done, fault);
        if (error)
            return error;
        if (done) {
            *out = wanted;
            return 0;
        }
    }
    return ft_fail(fault, FT_EIO, "%s: %s was changed by others %u times while it was read", server,
                   e->config->key, ROUNDS);
}

/*
 * The rule of ftcore/protocol/core.h for { asked, who }: *kept is the decision that stands then. `who` "":
 * the era is known to have begun, and is nobody's yet. `asked` NULL: looks, and changes nothing. Servers are
 * tried in turn, beginning with the one that answered last. FT_EBUSY: it was given up; FT_EIO: none answered;
 * FT_EMALFORMED: what one said cannot be read; the password's file may give FT_EPERM, FT_EMALFORMED or
 * FT_EIO. The fault has the server that was tried last, and no secret.
 */
static int decide(struct etcd *e, const struct ft_question *asked, const char *who, struct ft_decision *kept,
                  struct ft_fault *fault)
{
    unsigned urls = e->config->urls;
    int error = 0;

    FT_CHECK(urls > 0, "no URL of etcd");
    for (unsigned i = 0; i < urls; i++) {
        unsigned server = (e->server + i) % urls;

        error = is_given_up(e) ? ft_fail(fault, FT_EBUSY, "given up")
                               : decide_at(e, e->config->url[server], asked, who, kept, fault);
        if (error == FT_EBUSY)
            return error;
        if (error)
            continue;
        e->server = server;
        return 0;
    }
    e->server = (e->server + 1) % urls;
    return error;
}

/* Nothing of the environment counts: no proxy, no credentials of a user. */
static void set_up(struct etcd *e)
{
    const struct nd_etcd_config *c = e->config;

    curl_easy_setopt(e->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(e->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(e->curl, CURLOPT_ERRORBUFFER, e->why);
    curl_easy_setopt(e->curl, CURLOPT_WRITEFUNCTION, take_reply);
    curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, e);
    /* Else who waits no more for a name waits until the thread that asks for it has ended, tens of seconds.
     * It then ends by itself. */
    curl_easy_setopt(e->curl, CURLOPT_QUICK_EXIT, 1L);
    set_up_tls(e->curl, c->ca, c->cert, c->cert_key, &e->asked);
}

static void close_etcd(struct etcd *e)
{
    if (!e)
        return;
    curl_slist_free_all(e->headers);
    if (e->curl)
        curl_easy_cleanup(e->curl);
    if (e->multi)
        curl_multi_cleanup(e->multi);
    free(e);
}

/* `config` is borrowed. FT_ENOMEM. */
static int open_etcd(struct etcd **out, const struct nd_etcd_config *config, bool (*stops)(void *), void *arg,
                     struct ft_fault *fault)
{
    struct etcd *e = calloc(1, sizeof(*e));

    *out = e;
    if (!e || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(e->curl = curl_easy_init()) ||
        !(e->multi = curl_multi_init()) || set_headers(e, NULL, fault) != 0) {
        close_etcd(e);
        *out = NULL;
        return ft_fail(fault, FT_ENOMEM, "no memory to ask the arbiter with");
    }
    e->config = config;
    e->stops = stops;
    e->arg = arg;
    set_up(e);
    return 0;
}

/* ---- who asks ---------------------------------------------------------------------------------- */

#define LOOK_NS  5000000000ull /* between two looks while nothing is asked */
#define RETRY_NS 300000000ull  /* between two rounds of servers that did not answer a question */

/* Said by the replicator, under `serial`. */
struct told {
    _Atomic uint64_t serial;
    struct said {
        bool any;
        struct ft_question question;
    } said;
};

struct nd_arbiter {
    const char *name;
    struct etcd *etcd;
    struct ft_worker worker;
    uint64_t at,
        answered; /* the thread's: serials of the question that it is at, 0: it looks; and of the last */

    struct told asked;      /* what is asked */
    struct told serves;     /* the view, and its members, that this node releases in */
    _Atomic uint64_t reply; /* by the thread: serial of the question, times 4, and the answer */
    uint64_t won; /* the thread's: the view of this node's last question that it won, which it may not serve
                     in yet */
    struct ft_decision reply_kept; /* with it, before it */
    uint64_t reply_taken;          /* the replicator's */

    pthread_mutex_t lock; /* of `status`: the thread and the main thread */
    struct nd_arbiter_status status;
};

/* ---- the replicator's side --------------------------------------------------------------------- */

/* `question` NULL: nothing any more. */
static void tell(struct told *told, const struct ft_question *question)
{
    ft_seqlock_begin(&told->serial);
    told->said.any = question != NULL;
    told->said.question = question ? *question : (struct ft_question){.era = {0, 0}};
    ft_seqlock_end(&told->serial);
}

/* By the thread. As it stands: its serial number, 0: nothing is said. */
static uint64_t hear(const struct told *told, struct ft_question *question)
{
    struct said said;
    uint64_t serial;

    while (!ft_seqlock_copy(&told->serial, &serial, &said, &told->said, sizeof(said)))
        sched_yield();
    *question = said.question;
    return said.any ? serial : 0;
}

static void ask(void *arbiter, const struct ft_question *question)
{
    struct nd_arbiter *a = arbiter;

    tell(&a->asked, question);
    if (question) {
        ft_worker_wake(&a->worker);
        curl_multi_wakeup(a->etcd->multi);
    }
}

/* After an answer that is not FT_ANSWER_SILENT the thread writes no other one to that question, so
 * `reply_kept` stays as it is until something else is asked. */
static bool take_answer(void *arbiter, struct ft_era *era, enum ft_answer *answer, struct ft_decision *kept)
{
    struct nd_arbiter *a = arbiter;
    uint64_t reply = atomic_load(&a->reply);

    if (reply == a->reply_taken)
        return false;
    a->reply_taken = reply;
    if (reply >> 2 != atomic_load(&a->asked.serial) || !a->asked.said.any)
        return false;
    *era = a->asked.said.question.era;
    *answer = (enum ft_answer)(reply & 3);
    if (*answer != FT_ANSWER_SILENT)
        *kept = a->reply_kept;
    return true;
}

static void note_view(void *arbiter, uint64_t view, const struct ft_members *members)
{
    struct nd_arbiter *a = arbiter;
    const struct ft_question *now = &a->serves.said.question;
    struct ft_question next = {.era = {view, 0}};

    if (view && ft_has_shard(members))
        next.members = *members;
    if (now->era.view != view || memcmp(&now->members, &next.members, sizeof(next.members)) != 0)
        tell(&a->serves, view ? &next : NULL);
}

/* ---- the main thread's side -------------------------------------------------------------------- */

uint64_t nd_arbiter_cluster(const struct nd_arbiter *a)
{
    return a ? atomic_load(&a->etcd->cluster) : 0;
}

void nd_arbiter_expect(struct nd_arbiter *a, uint64_t cluster)
{
    if (!a || atomic_load(&a->etcd->cluster) == cluster)
        return;
    atomic_store(&a->etcd->cluster, cluster);
    if (cluster)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_ARBITER,
                     "the primary's arbiter is the cluster %lx: no other one is believed", cluster);
}

/* ---- the thread -------------------------------------------------------------------------------- */

/* A question goes before a look, and before one that it has taken the place of. */
static bool is_of_no_use(void *arbiter)
{
    struct nd_arbiter *a = arbiter;
    struct ft_question question;
    uint64_t serial = hear(&a->asked, &question);

    return ft_worker_ends(&a->worker) || (serial && serial != a->at && serial != a->answered);
}

/* One line when it stops answering, one when it answers again; one when what it keeps cannot be this pair's.
 */
static void note(struct nd_arbiter *a, const struct ft_decision *kept, uint64_t began, const char *why)
{
    struct nd_arbiter_status *s = &a->status;
    bool first = s->answered == 0 && s->failures == 0;
    struct ft_question served;
    uint64_t serves = hear(&a->serves, &served) ? served.era.view : 0;
    bool other = ft_asks_for_another(kept, &served);
    bool later =
             !why && kept->any && serves && (other || (kept->era.view > serves && kept->era.view > a->won)),
         was_later = s->later;

    pthread_mutex_lock(&a->lock);
    bool before = s->answers;

    s->answers = !why;
    s->failures += why != NULL;
    snprintf(s->why, sizeof(s->why), "%.191s", why ? why : "");
    if (!why) {
        s->later = later;
        s->kept = *kept;
        s->answered = nd_now();
        s->took = s->answered - began;
        snprintf(s->server, sizeof(s->server), "%s", a->etcd->config->url[a->etcd->server]);
    }
    pthread_mutex_unlock(&a->lock);
    if (why && (before || first))
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_ARBITER, "the arbiter does not answer: %s", why);
    else if (!why && !before)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_ARBITER, "the arbiter answers: %s", s->server);
    if (later && !was_later)
        ft_log_event(
            FT_LEVEL_WARNING, FT_SAYS_ARBITER,
            "the arbiter keeps view %lu%s, and this pair is in view %lu: it will let neither node go on",
            kept->era.view, other ? " of another shard" : "", serves);
}

static bool answer_question(struct nd_arbiter *a, uint64_t serial, const struct ft_question *asked)
{
    static const char *const says[] = {"", "goes on", "does not go on"};
    struct ft_decision kept = {.any = false};
    struct ft_fault fault = {""};
    uint64_t began = nd_now();
    int error = decide(a->etcd, asked, a->name, &kept, &fault);
    enum ft_answer answer = error ? FT_ANSWER_SILENT : ft_decided(&kept, asked, a->name);

    a->won = answer == FT_ANSWER_WON ? asked->era.view : a->won;
    if (error == FT_EBUSY)
        return true;
    note(a, &kept, began, error ? fault.text : NULL);
    if (!error) {
        pthread_mutex_lock(&a->lock);
        a->status.decided = nd_wall();
        pthread_mutex_unlock(&a->lock);
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_ARBITER, "the arbiter was asked for view %lu, era %lu: %s %s",
                     asked->era.view, asked->era.number, a->name, says[answer]);
    }
    a->reply_kept = kept;
    atomic_store(&a->reply, serial << 2 | (uint64_t)answer);
    return !error;
}

static void look(struct nd_arbiter *a)
{
    struct ft_question served;
    bool serves = hear(&a->serves, &served);
    uint64_t began = nd_now();
    struct ft_decision kept = {.any = false};
    struct ft_fault fault = {""};
    int error = decide(a->etcd, serves ? &served : NULL, "", &kept, &fault);

    if (error != FT_EBUSY)
        note(a, &kept, began, error ? fault.text : NULL);
}

static void *run(void *arbiter)
{
    struct nd_arbiter *a = arbiter;
    struct ft_question question;

    ft_thread_begin("us-arbiter");
    while (!ft_worker_ends(&a->worker)) {
        uint64_t serial = hear(&a->asked, &question);
        bool again = false;

        a->at = serial && serial != a->answered ? serial : 0;
        if (a->at) {
            again = !answer_question(a, serial, &question);
            a->answered = again ? a->answered : serial;
        } else {
            look(a);
        }
        ft_worker_wait(&a->worker, nd_now() + (again ? RETRY_NS : LOOK_NS));
    }
    return NULL;
}

int nd_arbiter_start(struct nd_arbiter **out, struct rp_arbiter *calls, const struct nd_etcd_config *config,
                     const char *name, struct ft_fault *fault)
{
    struct nd_arbiter *a = calloc(1, sizeof(*a));
    int error = a ? open_etcd(&a->etcd, config, is_of_no_use, a, fault)
                  : ft_fail(fault, FT_ENOMEM, "no memory for the arbiter's thread");

    *out = NULL;
    if (error) {
        free(a);
        return error;
    }
    a->name = name;
    pthread_mutex_init(&a->lock, NULL);
    error = ft_worker_start(&a->worker, run, a, "the arbiter", fault);
    if (error) {
        close_etcd(a->etcd);
        free(a);
        return error;
    }
    *out = a;
    *calls = (struct rp_arbiter){.arg = a, .ask = ask, .answer = take_answer, .serves = note_view};
    return 0;
}

void nd_arbiter_stop(struct nd_arbiter *a)
{
    if (!a)
        return;
    ft_worker_ask_end(&a->worker);
    curl_multi_wakeup(a->etcd->multi);
    ft_worker_end(&a->worker, UINT64_MAX);
    close_etcd(a->etcd);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void nd_arbiter_wake(struct nd_arbiter *a)
{
    if (a)
        ft_worker_wake(&a->worker);
}

void nd_arbiter_status(struct nd_arbiter *a, struct nd_arbiter_status *out)
{
    pthread_mutex_lock(&a->lock);
    *out = a->status;
    pthread_mutex_unlock(&a->lock);
}

int nd_arbiter_look(const struct nd_etcd_config *config, struct ft_fault *fault)
{
    struct ft_decision kept;
    struct etcd *etcd;
    int error = open_etcd(&etcd, config, NULL, NULL, fault);

    if (!error)
        error = decide(etcd, NULL, "", &kept, fault);
    close_etcd(etcd);
    return error;
}
