/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of etcd's JSON gateway, read and written. See answer.h. */
#include "understudy/etcd/answer.h"
#include "ftcore/base/check.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define CODED_LIMIT (1u << 30) /* OpenSSL counts in int */

/* ---- base64 ------------------------------------------------------------------------------------ */

void nd_etcd_encode(const void *bytes, size_t len, char *out)
{
    FT_CHECK(len <= CODED_LIMIT, "%zu bytes for base64", len);
    EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

/* OpenSSL takes spaces around it, and `=` anywhere. */
static bool is_base64(const char *coded, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t pad = len && coded[len - 1] == '=' ? 1 : 0;

    if (len % 4 || len > CODED_LIMIT)
        return false;
    pad += pad && coded[len - 2] == '=';
    return strspn(coded, letters) >= len - pad;
}

ssize_t nd_etcd_decode(const char *coded, size_t len, void *out)
{
    int n;

    if (!is_base64(coded, len))
        return -1;
    n = len ? EVP_DecodeBlock(out, (const unsigned char *)coded, (int)len) : 0;
    if (n < 0 || !len)
        return n;
    return n - (coded[len - 1] == '=' ? 1 + (coded[len - 2] == '=') : 0); /* the bytes of `=` are zero */
}

/* ---- numbers ----------------------------------------------------------------------------------- */

/* Digits alone, up to 2^64 - 1. */
static bool read_digits(const json_t *o, uint64_t *out)
{
    const char *text = json_string_value(o);
    char *behind;

    if (!text || !isdigit((unsigned char)*text))
        return false;
    errno = 0;
    *out = strtoull(text, &behind, 10);
    return !*behind && !errno;
}

bool nd_etcd_number(const json_t *o, int64_t *out)
{
    uint64_t number;

    if (!read_digits(o, &number) || number == 0 || number > INT64_MAX)
        return false;
    *out = (int64_t)number;
    return true;
}

bool nd_etcd_read_cluster(const json_t *answer, uint64_t *out)
{
    return read_digits(json_object_get(json_object_get(answer, "header"), "cluster_id"), out) && *out;
}

/* ---- answers ----------------------------------------------------------------------------------- */

void nd_etcd_words(const char *text, size_t len, char out[ND_ETCD_WORDS_MAX])
{
    size_t at = 0;

    while (at < len && at + 1 < ND_ETCD_WORDS_MAX && isprint((unsigned char)text[at])) {
        out[at] = text[at];
        at++;
    }
    out[at] = '\0';
}

void nd_etcd_refusal(const char *text, size_t len, char out[ND_ETCD_WORDS_MAX])
{
    json_t *o = json_loadb(text, len, 0, NULL);
    const char *words = json_string_value(json_object_get(o, "message"));

    nd_etcd_words(words ? words : text, words ? strlen(words) : len, out);
    json_decref(o);
}

int nd_etcd_load(json_t **out, const char *text, size_t len, bool streamed, struct ft_fault *fault)
{
    json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    json_t *answer = streamed ? json_object_get(o, "result") : o;
    const char *failed = json_string_value(json_object_get(json_object_get(o, "error"), "message"));
    char words[ND_ETCD_WORDS_MAX];

    *out = NULL;
    if (streamed && !answer && failed) {
        nd_etcd_words(failed, strlen(failed), words);
        json_decref(o);
        return ft_fail(fault, FT_EIO, "it ended the stream (%s)", words);
    }
    if (!json_is_object(answer) || !json_is_object(json_object_get(answer, "header"))) {
        json_decref(o);
        return ft_fail(fault, FT_EMALFORMED,
                       "its answer of %zu bytes is not etcd's, expected JSON with a header", len);
    }
    *out = json_incref(answer);
    json_decref(o);
    return 0;
}
