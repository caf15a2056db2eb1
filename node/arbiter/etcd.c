/* SPDX-License-Identifier: Apache-2.0 */
/* See etcd.h. */
#include "node/arbiter/etcd.h"
#include "ftcore/base/plant.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 500L
#define REQUEST_MS 1000L
#define ROUNDS     5u /* in which somebody else changed the key between the look and the put */

struct nd_etcd {
    const struct nd_etcd_config *config;
    const _Atomic bool *ends;
    CURL *curl;
    struct curl_slist *headers;
    unsigned server; /* that is tried first */
    char why[CURL_ERROR_SIZE];
    char reply[ND_ETCD_REPLY_MAX];
    size_t len;
};

static size_t take_reply(char *data, size_t one, size_t count, void *etcd)
{
    struct nd_etcd *e = etcd;
    size_t len = one * count;

    if (len > sizeof(e->reply) - e->len)
        return 0; /* curl ends the request */
    memcpy(e->reply + e->len, data, len);
    e->len += len;
    return len;
}

static int may_go_on(void *ends, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load((const _Atomic bool *)ends);
}

/* The reply's length, or FT_EIO. */
static long post(struct nd_etcd *e, const char *server, const char *path, const char *body,
                 struct ft_fault *fault)
{
    char url[256];
    long code = 0;

    snprintf(url, sizeof(url), "%s%s", server, path);
    e->len = 0;
    e->why[0] = '\0';
    curl_easy_setopt(e->curl, CURLOPT_URL, url);
    curl_easy_setopt(e->curl, CURLOPT_COPYPOSTFIELDS, body);
    CURLcode rc = curl_easy_perform(e->curl);

    if (rc != CURLE_OK)
        return ft_fail(fault, FT_EIO, "%s: %s", server,
                       rc == CURLE_WRITE_ERROR
                           ? "its answer is longer than 16 KB, expected some hundred bytes"
                       : e->why[0] ? e->why
                                   : curl_easy_strerror(rc));
    curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code != 200)
        return ft_fail(fault, FT_EIO, "%s%s: status %ld, expected 200", server, path, code);
    return (long)e->len;
}

static int prefix(int error, const char *server, struct ft_fault *fault)
{
    struct ft_fault inner = *fault;

    return ft_fail(fault, error, "%s: %.200s", server, inner.text);
}

static int look(struct nd_etcd *e, const char *server, struct nd_etcd_kept *kept, struct ft_fault *fault)
{
    char body[ND_ETCD_BODY_MAX];
    int error;

    nd_etcd_make_range(e->config->key, body);
    long len = post(e, server, "/v3/kv/range", body, fault);

    if (len < 0)
        return (int)len;
    error = nd_etcd_read_range(e->reply, (size_t)len, e->config->key, kept, fault);
    return error ? prefix(error, server, fault) : 0;
}

static int put(struct nd_etcd *e, const char *server, const struct nd_etcd_kept *kept,
               const struct ft_decision *d, bool *done, struct ft_fault *fault)
{
    char body[ND_ETCD_BODY_MAX];
    int error;

    nd_etcd_make_put(e->config->key, kept, d, body);
    long len = post(e, server, "/v3/kv/txn", body, fault);

    if (len < 0)
        return (int)len;
    error = nd_etcd_read_put(e->reply, (size_t)len, done, fault);
    return error ? prefix(error, server, fault) : 0;
}

/* A put of which nothing is heard may have been made: the next look tells. */
static int decide_at(struct nd_etcd *e, const char *server, const struct ft_era *era, const char *who,
                     struct ft_decision *out, struct ft_fault *fault)
{
    struct nd_etcd_kept kept;
    struct ft_decision wanted = {.any = true};

    for (unsigned round = 0; round < ROUNDS; round++) {
        bool done = false;
        int error = look(e, server, &kept, fault);

        *out = kept.decision;
        if (error || !era || !ft_decides_anew(&kept.decision, era))
            return error;
        wanted.era = *era;
        snprintf(wanted.winner, sizeof(wanted.winner), "%s", who);
        error = put(e, server, &kept, &wanted, &done, fault);
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

int nd_etcd_decide(struct nd_etcd *e, const struct ft_era *era, const char *who, struct ft_decision *kept,
                   struct ft_fault *fault)
{
    unsigned urls = e->config->urls;
    int error = ft_fail(fault, FT_EIO, "the node ends");

    FT_CHECK(urls > 0, "no URL of etcd");
    for (unsigned i = 0; i < urls && !atomic_load(e->ends); i++) {
        unsigned server = (e->server + i) % urls;

        error = decide_at(e, e->config->url[server], era, who, kept, fault);
        if (error)
            continue;
        e->server = server;
        return 0;
    }
    e->server = (e->server + 1) % urls;
    return error;
}

const char *nd_etcd_server(const struct nd_etcd *e)
{
    return e->config->url[e->server];
}

/* Nothing of the environment counts: no proxy, no credentials of a user. */
static void set_up(struct nd_etcd *e)
{
    const struct nd_etcd_config *c = e->config;

    curl_easy_setopt(e->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(e->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(e->curl, CURLOPT_TIMEOUT_MS, REQUEST_MS);
    curl_easy_setopt(e->curl, CURLOPT_ERRORBUFFER, e->why);
    curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, e->headers);
    curl_easy_setopt(e->curl, CURLOPT_WRITEFUNCTION, take_reply);
    curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, e);
    curl_easy_setopt(e->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(e->curl, CURLOPT_XFERINFOFUNCTION, may_go_on);
    curl_easy_setopt(e->curl, CURLOPT_XFERINFODATA, (void *)(uintptr_t)e->ends);
    if (c->ca[0])
        curl_easy_setopt(e->curl, CURLOPT_CAINFO, c->ca);
    if (c->cert[0]) {
        curl_easy_setopt(e->curl, CURLOPT_SSLCERT, c->cert);
        curl_easy_setopt(e->curl, CURLOPT_SSLKEY, c->cert_key);
    }
}

int nd_etcd_open(struct nd_etcd **out, const struct nd_etcd_config *config, const _Atomic bool *ends,
                 struct ft_fault *fault)
{
    struct nd_etcd *e = calloc(1, sizeof(*e));

    *out = e;
    if (!e || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(e->curl = curl_easy_init()) ||
        !(e->headers = curl_slist_append(NULL, "Content-Type: application/json"))) {
        nd_etcd_close(e);
        *out = NULL;
        return ft_fail(fault, FT_ENOMEM, "no memory to ask the arbiter with");
    }
    e->config = config;
    e->ends = ends;
    set_up(e);
    return 0;
}

void nd_etcd_close(struct nd_etcd *e)
{
    if (!e)
        return;
    curl_slist_free_all(e->headers);
    if (e->curl)
        curl_easy_cleanup(e->curl);
    free(e);
}
