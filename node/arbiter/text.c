/* SPDX-License-Identifier: Apache-2.0 */
/* See text.h. */
#include "node/arbiter/text.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 128u
#define CODED_MAX 256u /* of a key or a value, base64 */

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

/* ---- the value --------------------------------------------------------------------------------- */

static void write_value(const struct ft_decision *d, char out[VALUE_MAX])
{
    snprintf(out, VALUE_MAX, "understudy %lu %lu %s", d->era.view, d->era.number,
             d->winner[0] ? d->winner : "-");
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

static bool read_value(const char *text, struct ft_decision *out)
{
    static const char head[] = "understudy ";
    const char *at = strncmp(text, head, sizeof(head) - 1) == 0 ? text + sizeof(head) - 1 : NULL;

    *out = (struct ft_decision){.any = true};
    at = at ? read_number(at, ' ', &out->era.view) : NULL;
    at = at ? read_number(at, ' ', &out->era.number) : NULL;
    if (!at || !*at || strlen(at) >= sizeof(out->winner) || out->era.view > FT_VIEW_MAX)
        return false;
    for (const char *c = at; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-_", *c))
            return false;
    if (strcmp(at, "-") != 0)
        memcpy(out->winner, at, strlen(at) + 1);
    return true;
}

/* ---- requests ---------------------------------------------------------------------------------- */

void nd_etcd_make_range(const char *key, char *out)
{
    char coded[CODED_MAX];

    encode(key, coded);
    snprintf(out, ND_ETCD_BODY_MAX, "{\"key\":\"%s\"}", coded);
}

void nd_etcd_make_put(const char *key, const struct nd_etcd_kept *kept, const struct ft_decision *decision,
                      char *out)
{
    char coded[CODED_MAX], text[VALUE_MAX], value[CODED_MAX];

    encode(key, coded);
    write_value(decision, text);
    encode(text, value);
    snprintf(
        out, ND_ETCD_BODY_MAX,
        "{\"compare\":[{\"key\":\"%s\",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"%ld\"}],"
        "\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\"}}]}",
        coded, kept->revision, coded, value);
}

bool nd_etcd_is_printable(const char *text)
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

_Static_assert(2 * (ND_ETCD_NAME_MAX + ND_ETCD_PASS_MAX) + 32 < ND_ETCD_BODY_MAX, "a login fits a request");

void nd_etcd_make_login(const char *user, const char *password, char *out)
{
    static const char name[] = "{\"name\":", pass[] = ",\"password\":";
    size_t at = sizeof(name) - 1;

    memcpy(out, name, at);
    at = append_quoted(out, at, user);
    memcpy(out + at, pass, sizeof(pass) - 1);
    at = append_quoted(out, at + sizeof(pass) - 1, password);
    memcpy(out + at, "}", 2);
}

/* ---- answers ----------------------------------------------------------------------------------- */

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

static int read_kept(const json_t *kv, const char *key, struct nd_etcd_kept *out, struct ft_fault *fault)
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

int nd_etcd_read_range(const char *text, size_t len, const char *key, struct nd_etcd_kept *out,
                       struct ft_fault *fault)
{
    json_t *o = load(text, len, fault), *kvs = json_object_get(o, "kvs");
    int error = o ? 0 : FT_EMALFORMED;

    *out = (struct nd_etcd_kept){.revision = 0};
    if (o && !read_cluster(o, &out->cluster))
        error = ft_fail(fault, FT_EMALFORMED, "its answer has no cluster_id that is a number");
    else if (o && kvs && (!json_is_array(kvs) || json_array_size(kvs) > 1))
        error = ft_fail(fault, FT_EMALFORMED, "its answer has kvs that are not one key's");
    else if (o && json_array_size(kvs) == 1)
        error = read_kept(json_array_get(kvs, 0), key, out, fault);
    json_decref(o);
    return error;
}

int nd_etcd_read_put(const char *text, size_t len, bool *done, struct ft_fault *fault)
{
    json_t *o = load(text, len, fault), *succeeded = json_object_get(o, "succeeded");
    int error = o ? 0 : FT_EMALFORMED;

    *done = json_is_true(succeeded);
    if (o && succeeded && !json_is_boolean(succeeded))
        error = ft_fail(fault, FT_EMALFORMED, "its answer has \"succeeded\" that is not true or false");
    json_decref(o);
    return error;
}

int nd_etcd_read_token(const char *text, size_t len, char out[ND_ETCD_TOKEN_MAX], struct ft_fault *fault)
{
    json_t *o = load(text, len, fault);
    const char *token = json_string_value(json_object_get(o, "token"));
    int error = o ? 0 : FT_EMALFORMED;

    if (o && (!token || strlen(token) >= ND_ETCD_TOKEN_MAX || !nd_etcd_is_printable(token)))
        error =
            ft_fail(fault, FT_EMALFORMED, "its answer has no token, expected one of at most %u characters",
                    ND_ETCD_TOKEN_MAX - 1);
    if (!error)
        memcpy(out, token, strlen(token) + 1);
    json_decref(o);
    return error;
}

void nd_etcd_read_refusal(const char *text, size_t len, char out[ND_ETCD_WORDS_MAX])
{
    json_t *o = json_loadb(text, len, 0, NULL);
    const char *words = json_string_value(json_object_get(o, "message"));
    size_t at = 0;

    len = words ? strlen(words) : len;
    words = words ? words : text;
    while (at < len && at + 1 < ND_ETCD_WORDS_MAX && isprint((unsigned char)words[at])) {
        out[at] = words[at];
        at++;
    }
    out[at] = '\0';
    json_decref(o);
}
