/* SPDX-License-Identifier: Apache-2.0 */
/* Who decides which node goes on when the two have lost each other: `arbiter`, of a pair file. */
#include "node/config/parts.h"

#include <stdio.h>
#include <string.h>

struct raw_arbiter {
    const struct nd_yaml *etcd;
    char key[ND_ETCD_KEY_MAX];
    char ca[192], cert[192], cert_key[192];
    char user[ND_ETCD_NAME_MAX], password_file[192];
};

#define AT(member) offsetof(struct raw_arbiter, member)
static const struct nf_param arbiter_keys[] = {
    {"etcd", ND_KIND(ND_LIST), AT(etcd), 0, ND_ETCD_URLS, NULL, NULL, "URLs of its servers", false},
    {"key", ND_KIND(ND_TEXT), AT(key), 0, ND_ETCD_KEY_MAX, "", NULL, "the pair's own, in etcd", false},
    {"ca", ND_KIND(ND_TEXT), AT(ca), 0, 192, "", NULL, "that signed the servers' certificates", false},
    {"cert", ND_KIND(ND_TEXT), AT(cert), 0, 192, "", NULL, "of this node, to show them", false},
    {"cert_key", ND_KIND(ND_TEXT), AT(cert_key), 0, 192, "", NULL, "of the certificate", false},
    {"user", ND_KIND(ND_TEXT), AT(user), 0, ND_ETCD_NAME_MAX, "", NULL, "of etcd", false},
    {"password_file", ND_KIND(ND_TEXT), AT(password_file), 0, 192, "", NULL, "has the user's password",
     false},
    {0},
};
#undef AT

static int read_url(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param text = {.kind = ND_KIND(ND_TEXT), .max = sizeof(r->config->arbiter.url[0])};
    char *url = r->config->arbiter.url[r->config->arbiter.urls];
    int error = nd_schema_value(r->arena, at, "arbiter etcd entry", &text, url, r->fault);
    const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                       : strncmp(url, "https://", 8) == 0 ? url + 8
                                                          : NULL;
    size_t len = strlen(url);

    if (error)
        return error;
    if (len && url[len - 1] == '/')
        url[--len] = '\0';
    if (strchr(url, '@')) /* with a password, perhaps: not repeated */
        return nd_yaml_fail(
            r->fault, at,
            "arbiter etcd has a user, expected https://HOST:PORT: names go into user, passwords "
            "into a file (password_file)");
    if (!host || !*host || strpbrk(host, "/ ?#@"))
        return nd_yaml_fail(r->fault, at,
                            "arbiter etcd \"%.60s\", expected http://HOST:PORT or https://HOST:PORT", url);
    if (r->config->arbiter.user[0] && strncmp(url, "https://", 8) != 0)
        return nd_yaml_fail(r->fault, at,
                            "arbiter etcd \"%.60s\" with a user, expected https://HOST:PORT: else whoever is "
                            "on the way reads the password",
                            url);
    r->config->arbiter.urls++;
    return 0;
}

static int read_files(struct nd_reading *r, const struct raw_arbiter *raw)
{
    struct nd_etcd_config *out = &r->config->arbiter;
    const struct {
        const char *name, *what, *path;
        char *out;
    } files[] = {{"ca", "arbiter ca", raw->ca, out->ca},
                 {"cert", "arbiter cert", raw->cert, out->cert},
                 {"cert_key", "arbiter cert_key", raw->cert_key, out->cert_key},
                 {"password_file", "arbiter password_file", raw->password_file, out->password_file}};
    int error = 0;

    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]) && !error; i++)
        if (files[i].path[0])
            error = nd_read_path(r, nd_yaml_get(r->at.arbiter, files[i].name), files[i].what, files[i].path,
                                 files[i].out, sizeof(out->ca));
    return error;
}

int nd_read_arbiter(struct nd_reading *r)
{
    struct nd_etcd_config *out = &r->config->arbiter;
    struct raw_arbiter raw = {.etcd = NULL};
    int error;

    if (!r->at.arbiter)
        return 0;
    error = nd_schema_read(r->arena, r->at.arbiter, "arbiter", arbiter_keys, &raw, r->fault);
    if (error)
        return error;
    if (!r->at.nodes)
        return nd_yaml_fail(r->fault, r->at.arbiter, "arbiter in a file without nodes, expected a pair file");
    if (r->config->protect.strict)
        return nd_yaml_fail(
            r->fault, r->at.arbiter,
            "arbiter beside strict: true, expected one of them: a strict pair never releases alone, "
            "so there is nothing to decide");
    if (!raw.etcd->count)
        return nd_yaml_fail(r->fault, raw.etcd, "arbiter etcd is empty, expected 1 to %u URLs", ND_ETCD_URLS);
    memcpy(out->user, raw.user, sizeof(out->user));
    for (const struct nd_yaml *e = raw.etcd->first; e && !error; e = e->next)
        error = read_url(r, e);
    if (!error && !raw.cert[0] != !raw.cert_key[0])
        error = nd_yaml_fail(r->fault, r->at.arbiter,
                             "arbiter has one of cert and cert_key, expected both or none");
    if (!error && !raw.user[0] != !raw.password_file[0])
        error = nd_yaml_fail(r->fault, r->at.arbiter,
                             "arbiter has one of user and password_file, expected both or none");
    /* The same on both nodes, whatever the order in the file: it is the pair's. */
    const char *a = r->config->node[0].name, *b = r->config->node[1].name;
    bool turned = strcmp(a, b) > 0;

    snprintf(out->key, sizeof(out->key), "understudy/%s/%s-%s", r->config->chain.name, turned ? b : a,
             turned ? a : b);
    if (raw.key[0])
        memcpy(out->key, raw.key, sizeof(out->key));
    return error ? error : read_files(r, &raw);
}
