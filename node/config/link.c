/* SPDX-License-Identifier: Apache-2.0 */
/* What seals the link between the nodes: the pair's key, certificates, or, said in so many words, nothing. */
#include "node/config/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PATH_MAX_BYTES 192

struct raw_link {
    bool insecure;
    char key[PATH_MAX_BYTES];
    const struct nd_yaml *tls;
};

#define AT(member) offsetof(struct raw_link, member)
static const struct nf_param link_keys[] = {
    {"key", ND_KIND(ND_TEXT), AT(key), 0, PATH_MAX_BYTES, "", NULL, "file of the pair's key", false},
    {"tls", ND_KIND(ND_MAP), AT(tls), 0, 0, "", NULL, "certificates in place of a key", false},
    {"insecure", NF_BOOL, AT(insecure), 0, 0, "false", NULL, "no key: anybody may be the peer", false},
    {0},
};
#undef AT

struct raw_tls {
    char cert[PATH_MAX_BYTES], key[PATH_MAX_BYTES], ca[PATH_MAX_BYTES];
};

#define AT(member) offsetof(struct raw_tls, member)
static const struct nf_param tls_keys[] = {
    {"cert", ND_KIND(ND_TEXT), AT(cert), 0, PATH_MAX_BYTES, NULL, NULL, "of this node, which it names",
     false},
    {"key", ND_KIND(ND_TEXT), AT(key), 0, PATH_MAX_BYTES, NULL, NULL, "of the certificate", false},
    {"ca", ND_KIND(ND_TEXT), AT(ca), 0, PATH_MAX_BYTES, NULL, NULL, "that signed both nodes' certificates",
     false},
    {0},
};
#undef AT

/* The value of `name` in `map`: a path, beside the file. */
static int read_file(struct nd_reading *r, const struct nd_yaml *map, const char *name, const char *what,
                     const char *path, char out[PATH_MAX_BYTES], uint32_t *line)
{
    const struct nd_yaml *at = nd_yaml_get(map, name);

    *line = at->key_line;
    return nd_read_path(r, at, what, path, out, PATH_MAX_BYTES);
}

static int read_tls(struct nd_reading *r, const struct nd_yaml *at)
{
    struct nd_link *out = &r->config->link;
    struct raw_tls raw;
    int error = nd_schema_read(r->arena, at, "link tls", tls_keys, &raw, r->fault);

    if (!error)
        error = read_file(r, at, "cert", "link tls cert", raw.cert, out->certificate, &out->certificate_line);
    if (!error)
        error = read_file(r, at, "key", "link tls key", raw.key, out->private_key, &out->private_key_line);
    if (!error)
        error = read_file(r, at, "ca", "link tls ca", raw.ca, out->authority, &out->authority_line);
    return error;
}

int nd_read_link(struct nd_reading *r)
{
    struct nd_link *out = &r->config->link;
    struct raw_link raw = {.insecure = false};
    int error = r->at.link ? nd_schema_read(r->arena, r->at.link, "link", link_keys, &raw, r->fault) : 0;
    unsigned ways = (raw.key[0] != '\0') + (raw.tls != NULL) + raw.insecure;

    if (error)
        return error;
    if (r->at.link && ways != 1)
        return nd_yaml_fail(r->fault, r->at.link, "link has %u of key, tls and insecure: true, expected one",
                            ways);
    if (raw.key[0])
        return read_file(r, r->at.link, "key", "link key", raw.key, out->key, &out->key_line);
    return raw.tls ? read_tls(r, raw.tls) : 0;
}

int nd_check_link(struct nd_reading *r)
{
    if (!r->at.nodes || r->at.link || !r->config->protect.pair)
        return 0;
    return nd_yaml_fail(r->fault, r->root,
                        "no link, expected link: { key: FILE } (understudy key FILE makes one) or link: { "
                        "insecure: true }");
}

int nd_config_find_link_files(const struct nd_config *config, struct ft_fault *fault)
{
    const struct nd_link *link = &config->link;
    const struct {
        const char *path, *what, *expected;
        uint32_t line;
        int flags; /* of open: who reads the pair's key follows no link */
    } files[] = {
        {link->key, "key", "the pair's key (understudy key FILE makes one)", link->key_line, O_NOFOLLOW},
        {link->certificate, "tls cert", "the node's certificate", link->certificate_line, 0},
        {link->private_key, "tls key", "the certificate's key", link->private_key_line, 0},
        {link->authority, "tls ca", "the authority's certificate", link->authority_line, 0},
    };

    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int fd;

        if (!files[i].path[0])
            continue;
        fd = open(files[i].path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | files[i].flags);
        if (fd < 0)
            return ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EINVAL,
                           "%s:%u: link %s: %s: %s, expected %s", config->file, files[i].line, files[i].what,
                           files[i].path, errno == ELOOP && files[i].flags ? "is a link" : strerror(errno),
                           files[i].expected);
        close(fd);
    }
    return 0;
}
