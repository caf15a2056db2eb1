/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates by OpenSSL's own means; see certificate.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY 86400

static void path_of(char path[256], const char *dir, const char *name, const char *kind)
{
    snprintf(path, 256, "%s/%s.%s", dir, name, kind);
}

static FILE *open_file(const char *dir, const char *name, const char *kind, const char *mode)
{
    char path[256];
    FILE *f;

    path_of(path, dir, name, kind);
    f = fopen(path, mode);
    assert_non_null(f);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    return f;
}

static void extend(X509 *certificate, int what, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, what, value);

    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void name_subject(X509 *certificate, const char *name)
{
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
}

/* The issuer's name and key go on it, and are given back. */
static void sign_by(X509 *certificate, const char *dir, const char *by)
{
    FILE *f = open_file(dir, by, "pem", "r");
    X509 *authority = PEM_read_X509(f, NULL, NULL, NULL);

    fclose(f);
    f = open_file(dir, by, "key", "r");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);

    fclose(f);
    assert_true(authority && key);
    assert_int_equal(X509_set_issuer_name(certificate, X509_get_subject_name(authority)), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    X509_free(authority);
    EVP_PKEY_free(key);
}

void certificate_make(const char *dir, const char *name, const char *by)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    char alternative[64];
    FILE *f;

    assert_true(key && certificate);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), name[0]);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY);
    X509_gmtime_adj(X509_getm_notAfter(certificate), DAY);
    X509_set_pubkey(certificate, key);
    name_subject(certificate, name);
    f = open_file(dir, name, "key", "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    if (strcmp(name, by) == 0) {
        extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
        X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
        assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    } else {
        snprintf(alternative, sizeof(alternative), "DNS:%s", name);
        extend(certificate, NID_subject_alt_name, alternative);
        sign_by(certificate, dir, by);
    }
    f = open_file(dir, name, "pem", "w");
    assert_int_equal(PEM_write_X509(f, certificate), 1);
    fclose(f);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void certificate_forget(const char *dir, const char *name)
{
    char path[256];

    path_of(path, dir, name, "pem");
    unlink(path);
    path_of(path, dir, name, "key");
    unlink(path);
}
