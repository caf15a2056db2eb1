/* SPDX-License-Identifier: Apache-2.0 */
/* See etcd.h. */
#include "tests/help/etcd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HEADER "\"header\":{\"cluster_id\":\"%u\",\"member_id\":\"2\",\"revision\":\"9\",\"raft_term\":\"2\"}"
#define KEY    "dW5kZXJzdHVkeS9hLWI=" /* understudy/a-b */

struct body {
    char text[1024];
    size_t len;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_queue_response(connection, status, response);

    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, unsigned code,
                              const char *words)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"error\":\"etcdserver: %s\",\"message\":\"etcdserver: %s\",\"code\":%u}",
             words, words, code);
    return answer(connection, status, text);
}

static enum MHD_Result log_in(struct help_etcd *e, struct MHD_Connection *connection, const char *body)
{
    char expected[256], text[256];

    e->logins++;
    if (!e->user)
        return refuse(connection, 412, 9, "authentication is not enabled");
    snprintf(expected, sizeof(expected), "{\"name\":\"%s\",\"password\":\"%s\"}", e->user, e->password);
    if (strcmp(body, expected) != 0)
        return refuse(connection, 400, 3, "authentication failed, invalid user ID or password");
    e->token++;
    snprintf(text, sizeof(text), "{" HEADER ",\"token\":\"token.%u\"}", e->cluster, e->token);
    return answer(connection, 200, text);
}

static enum MHD_Result look(struct help_etcd *e, struct MHD_Connection *connection)
{
    char text[512];

    e->looks++;
    if (e->value[0])
        snprintf(text, sizeof(text),
                 "{" HEADER ",\"kvs\":[{\"key\":\"" KEY "\",\"mod_revision\":\"%lu\",\"value\":\"%s\"}]}",
                 e->cluster, e->revision, e->value);
    else
        snprintf(text, sizeof(text), "{" HEADER "}", e->cluster);
    return answer(connection, 200, text);
}

static enum MHD_Result put(struct help_etcd *e, struct MHD_Connection *connection, const char *body)
{
    char text[256];
    const char *compared = strstr(body, "\"mod_revision\":\""), *value = strstr(body, "\"value\":\"");

    e->puts++;
    if (!compared || !value)
        return refuse(connection, 400, 3, "no transaction");
    if (e->others) {
        e->others--;
        e->revision++;
    }
    snprintf(text, sizeof(text), "{" HEADER "}", e->cluster);
    if (strtoull(compared + 16, NULL, 10) != e->revision)
        return answer(connection, 200, text);
    snprintf(e->value, sizeof(e->value), "%.*s", (int)strcspn(value + 9, "\""), value + 9);
    e->revision++;
    snprintf(text, sizeof(text), "{" HEADER ",\"succeeded\":true,\"responses\":[{}]}", e->cluster);
    return answer(connection, 200, text);
}

static enum MHD_Result serve(struct help_etcd *e, struct MHD_Connection *connection, const char *path,
                             const char *body)
{
    const char *token = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    unsigned ms = e->delay_ms;
    char good[32];

    if (strcmp(path, "/v3/auth/authenticate") == 0)
        return log_in(e, connection, body);
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
    snprintf(good, sizeof(good), "token.%u", e->token);
    if (e->user && !token)
        return refuse(connection, 400, 3, "user name is empty");
    if (e->user && (e->refuses || strcmp(token, good) != 0))
        return refuse(connection, 401, 16, "invalid auth token");
    if (!e->user && token)
        return refuse(connection, 401, 16, "invalid auth token");
    return strcmp(path, "/v3/kv/range") == 0 ? look(e, connection)
           : strcmp(path, "/v3/kv/txn") == 0 ? put(e, connection, body)
                                             : answer(connection, 404, "Not Found");
}

static enum MHD_Result take(void *etcd, struct MHD_Connection *connection, const char *path,
                            const char *method, const char *version, const char *data, size_t *len,
                            void **of_request)
{
    struct body *body = *of_request;

    (void)method, (void)version;
    if (!body) {
        *of_request = calloc(1, sizeof(*body));
        return *of_request ? MHD_YES : MHD_NO;
    }
    if (*len) {
        if (body->len + *len >= sizeof(body->text))
            return MHD_NO;
        memcpy(body->text + body->len, data, *len);
        body->len += *len;
        *len = 0;
        return MHD_YES;
    }
    return serve(etcd, connection, path, body->text);
}

static void end_request(void *etcd, struct MHD_Connection *connection, void **of_request,
                        enum MHD_RequestTerminationCode code)
{
    (void)etcd, (void)connection, (void)code;
    free(*of_request);
    *of_request = NULL;
}

void help_etcd_open(struct help_etcd *e)
{
    memset(e, 0, sizeof(*e));
    e->cluster = 1;
    e->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, take, e,
                                 MHD_OPTION_NOTIFY_COMPLETED, end_request, NULL, MHD_OPTION_END);
    assert_non_null(e->daemon);
    snprintf(e->url, sizeof(e->url), "http://127.0.0.1:%u",
             (unsigned)MHD_get_daemon_info(e->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
}

void help_etcd_close(struct help_etcd *e)
{
    MHD_stop_daemon(e->daemon);
}
