/* SPDX-License-Identifier: Apache-2.0 */
/* The table engine of schema.h. Values are read by kind; presets go the same way as the file's. */
#include "understudy/config/schema.h"
#include "ftcore/record/members.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- single values --------------------------------------------------------------------------- */

static bool parse_u64(const char *text, uint64_t *value)
{
    errno = 0;
    *value = strtoull(text, NULL, 10);
    return *text && !text[strspn(text, "0123456789")] && !errno;
}

static bool parse_ipv4(const char *text, uint32_t *addr)
{
    return inet_pton(AF_INET, text, addr) == 1;
}

/* NF_HOSTS, one or a list; what of it is wrong, or NULL. */
static const struct nd_yaml *parse_hosts(const struct nd_yaml *v, struct nf_hosts *hosts)
{
    bool list = v->kind == ND_YAML_LIST;

    if (list ? !v->count || v->count > NF_HOSTS_MAX : v->kind != ND_YAML_TEXT)
        return v;
    for (const struct nd_yaml *e = list ? v->first : v; e; e = list ? e->next : NULL)
        if (e->kind != ND_YAML_TEXT || !parse_ipv4(e->text, &hosts->list[hosts->count++]))
            return e;
    return NULL;
}

/* The text in front of the last `mark` into head[cap], the number behind it into *tail. */
static bool split_at_mark(const char *text, char mark, char *head, size_t cap, uint64_t *tail)
{
    const char *at = strrchr(text, mark);

    if (!at || (size_t)(at - text) >= cap || !parse_u64(at + 1, tail))
        return false;
    memcpy(head, text, (size_t)(at - text));
    head[at - text] = 0;
    return true;
}

/* ADDRESS/BITS without host bits */
static bool parse_network(const char *text, struct nf_net *net)
{
    return strchr(text, '/') && nf_net_parse(text, net) && !nf_net_has_host_bits(net);
}

/* of IPv4 */
static bool parse_prefix(const char *text, struct nf_prefix *prefix)
{
    struct nf_net net;

    if (!parse_network(text, &net) || net.ipv6)
        return false;
    *prefix = (struct nf_prefix){nf_addr_ipv4(&net.addr), nf_net_mask_ipv4(&net)};
    return true;
}

bool nd_parse_network(const char *text, struct nf_networks *set)
{
    struct nf_prefix6 *ipv6 = &set->ipv6[set->count];
    struct nf_net net;

    if (parse_prefix(text, &set->ipv4.list[set->ipv4.count])) {
        set->ipv4.count++;
        return true;
    }
    if (!parse_network(text, &net))
        return false;
    memcpy(ipv6->addr, net.addr.byte, sizeof(ipv6->addr));
    ipv6->bits = net.bits;
    set->count++;
    return true;
}

/* ADDRESS or ADDRESS%INTERFACE */
static bool parse_hop(const char *text, struct nd_hop *hop)
{
    size_t len = strcspn(text, "%");
    const char *interface = text[len] ? text + len + 1 : "";
    char head[NF_ADDR_TEXT];

    if (len >= sizeof(head) || (text[len] && !ft_is_name(interface, sizeof(hop->interface))))
        return false;
    memcpy(head, text, len);
    head[len] = 0;
    memcpy(hop->interface, interface, strlen(interface) + 1);
    return nf_addr_parse(head, &hop->addr);
}

static bool parse_range(const char *text, struct nf_range *range)
{
    char head[32];
    uint64_t first, last;

    if (!strchr(text, '-')) {
        if (!parse_u64(text, &first))
            return false;
        last = first;
    } else if (!split_at_mark(text, '-', head, sizeof(head), &last) || !parse_u64(head, &first)) {
        return false;
    }
    *range = (struct nf_range){.first = (uint32_t)first, .last = (uint32_t)last};
    return first <= last && last <= UINT32_MAX;
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
    static const uint8_t none[6];
    bool whole = strlen(text) == 17 && text[14] == ':' && isxdigit((unsigned char)text[16]) &&
                 ether_aton_r(text, (struct ether_addr *)mac); /* so each number has two digits */

    return whole && memcmp(mac, none, 6) != 0 && !(mac[0] & 1);
}

static bool read_host(const char *text, char *out, size_t cap)
{
    uint32_t addr;

    return parse_ipv4(text, &addr) && inet_ntop(AF_INET, &addr, out, (socklen_t)cap);
}

static bool read_host_port(const char *text, char *out, size_t cap)
{
    char head[32];
    uint64_t port;

    if (!split_at_mark(text, ':', head, sizeof(head), &port) || !port || port > 65535)
        return false;
    *(uint16_t *)(void *)(out + cap) = (uint16_t)port;
    return read_host(head, out, cap);
}

/* ---- tables ---------------------------------------------------------------------------------- */

#define ENTRIES_MAX 64u  /* names considered in a suggestion */
#define PLACE_MAX   192u /* bytes of a path as it is written, with its terminator */

static unsigned lesser_of(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

#define WORD_MAX 32u /* characters; longer ones are near to none */

/* Edit distance of two short words, in which two letters in the wrong order are one slip. */
static unsigned edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned d[WORD_MAX + 1][WORD_MAX + 1];

    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (unsigned)(i + j);
                continue;
            }
            d[i][j] =
                lesser_of(lesser_of(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = lesser_of(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[n][m];
}

const char *nd_schema_nearest(const char *text, const char *const *names)
{
    size_t len = strlen(text);
    const char *nearest = NULL;
    unsigned best = WORD_MAX;

    for (; *names; names++) {
        size_t other = strlen(*names);

        if (len > WORD_MAX || other > WORD_MAX || *text != **names)
            continue;
        unsigned d = edit_distance(text, *names);

        if (d < best && d <= (len + other < 12 ? 1 : (len + other) / 6)) {
            best = d;
            nearest = *names;
        }
    }
    return nearest;
}

static void join_names(char *buf, size_t cap, const char *const *names, const char *between)
{
    static const char more[] = " ...";
    size_t used = 0;

    buf[0] = 0;
    for (; *names; names++) {
        size_t len = strlen(*names) + (used ? strlen(between) : 0);

        if (used + len + sizeof(more) > cap) {
            snprintf(buf + used, cap - used, "%s", more);
            return;
        }
        used += (size_t)snprintf(buf + used, cap - used, "%s%s", used ? between : "", *names);
    }
}

static uint64_t top_of(const struct nf_param *p)
{
    uint64_t top = p->kind == NF_U64 ? UINT64_MAX : UINT32_MAX;

    return p->max && p->max < top ? p->max : top;
}

/* What a person has to write for `p`: "a number from 1 to 16". In `buf`, which is returned. */
static const char *describe_expected(const struct nf_param *p, char *buf, size_t cap)
{
    static const char *const forms[] = {
        /* of the least and the most */
        [NF_U32] = "a number from %lu to %lu",
        [NF_U64] = "a number from %lu to %lu",
        [NF_SECONDS] = "seconds, from %lu to %lu",
        [NF_RANGE] = "a range FIRST-LAST within %lu-%lu, the lower one first",
        [NF_PREFIXES] = "a list of at most %lu networks A.B.C.D/N",
        [NF_NETWORKS] = "a list of at most %lu networks A.B.C.D/N or of IPv6",
        [NF_HOSTS] = "an address A.B.C.D, or a list of at most %lu",
        [NF_BOOL] = "true or false",
        [NF_IPV4] = "an address A.B.C.D",
        [NF_FILE] = "a readable file",
        [ND_PATH] = "a readable file",
        [NF_STRING] = "text",
        [ND_TEXT] = "text of 1 to %lu characters",
        [ND_PLACE] = "text of 1 to %lu characters",
        [ND_NAME] = "a name of at most %lu letters, digits, - and _",
        [ND_LIST] = "a list of at most %lu entries",
        [ND_NETWORK] = "a network A.B.C.D/N without host bits",
        [ND_INTERFACE] = "an address with prefix A.B.C.D/N, N from 1 to 32",
        [ND_NETWORK46] = "a network A.B.C.D/N or of IPv6, 2001:db8::/32, without host bits",
        [ND_INTERFACE6] = "an address of IPv6 with prefix like 2001:db8::1/64, 1 to 128 bits",
        [ND_ADDRESS] = "an address A.B.C.D or of IPv6",
        [ND_HOP] = "an address A.B.C.D or of IPv6, a link-local one with its interface, fe80::1%%outside",
        [ND_MAC] = "a unicast MAC address like 02:00:00:00:00:01",
        [ND_HOST] = "an address A.B.C.D",
        [ND_HOST_PORT] = "A.B.C.D:PORT",
        [ND_PORT] = "a number from %lu to %lu",
        [ND_MAP] = "a map of settings",
    };
    int kind = (int)p->kind;
    uint64_t least = kind == NF_PREFIXES || kind == NF_NETWORKS ? NF_PREFIXES_MAX
                     : kind == NF_HOSTS                         ? NF_HOSTS_MAX
                     : kind == ND_LIST                          ? p->max
                     : kind == ND_PLACE                         ? PLACE_MAX - 1
                     : kind == ND_TEXT || kind == ND_NAME       ? p->max - 1
                                                                : p->min;

    const char *form = kind <= ND_LIST ? forms[kind] : NULL;

    snprintf(buf, cap, form ? form : "a value", least, top_of(p));
    if (kind == NF_CHOICE)
        join_names(buf, cap, p->choices, " or ");
    return buf;
}

static const char *shape_name(const struct nd_yaml *v)
{
    return v->kind == ND_YAML_MAP    ? "a map"
           : v->kind == ND_YAML_LIST ? "a list"
           : *v->text                ? "text"
                                     : "empty";
}

static int refuse_value(struct ft_fault *fault, const struct nd_yaml *v, const char *what,
                        const struct nf_param *p)
{
    char buf[120];
    const char *expected = describe_expected(p, buf, sizeof(buf));

    if (v->kind == ND_YAML_TEXT && (*v->text || v->quoted))
        return nd_yaml_fail(fault, v, "%s is %s%.60s%s, expected %s", what, v->quoted ? "\"" : "", v->text,
                            v->quoted ? "\"" : "", expected);
    return nd_yaml_fail(fault, v, "%s is %s, expected %s", what, shape_name(v), expected);
}

static bool read_number(const char *text, const struct nf_param *p, void *out)
{
    uint64_t value;

    if (!parse_u64(text, &value) || value < p->min || value > top_of(p))
        return false;
    if (p->kind == NF_U64)
        *(uint64_t *)out = value;
    else if (p->kind == ND_KIND(ND_PORT))
        *(uint16_t *)out = (uint16_t)value;
    else
        *(uint32_t *)out = (uint32_t)value;
    return true;
}

static bool read_choice(const char *text, const struct nf_param *p, uint32_t *out)
{
    for (uint32_t i = 0; p->choices[i]; i++)
        if (strcmp(text, p->choices[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static bool read_net(const char *text, const struct nf_param *p, struct nf_net *out)
{
    switch ((int)p->kind) {
    case ND_NETWORK:
        return parse_network(text, out) && !out->ipv6;
    case ND_NETWORK46:
        return parse_network(text, out);
    default: /* ND_INTERFACE, ND_INTERFACE6 */
        return strchr(text, '/') && nf_net_parse(text, out) && nf_net_bits(out) &&
               out->ipv6 == (p->kind == ND_KIND(ND_INTERFACE6));
    }
}

static bool read_buffer(const char *text, const struct nf_param *p, char *out)
{
    size_t len = strlen(text);

    if (!len || len >= p->max || (p->kind == ND_KIND(ND_NAME) && !ft_is_name(text, p->max)))
        return false;
    memcpy(out, text, len + 1);
    return true;
}

/* Kinds that are one text and whose value needs no memory. */
static bool read_plain(const struct nd_yaml *v, const struct nf_param *p, void *out)
{
    const struct nf_range *range = out;

    switch ((int)p->kind) {
    case NF_U32:
    case NF_U64:
    case NF_SECONDS:
    case ND_PORT:
        return !v->quoted && read_number(v->text, p, out);
    case NF_BOOL:
        *(bool *)out = strcmp(v->text, "true") == 0;
        return !v->quoted && (*(bool *)out || strcmp(v->text, "false") == 0);
    case NF_CHOICE:
        return read_choice(v->text, p, out);
    case NF_IPV4:
        return parse_ipv4(v->text, out);
    case NF_RANGE:
        return parse_range(v->text, out) && range->first >= p->min && range->last <= top_of(p);
    case ND_TEXT:
    case ND_NAME:
        return read_buffer(v->text, p, out);
    case ND_NETWORK:
    case ND_NETWORK46:
    case ND_INTERFACE:
    case ND_INTERFACE6:
        return read_net(v->text, p, out);
    case ND_ADDRESS:
        return nf_addr_parse(v->text, out);
    case ND_HOP:
        return parse_hop(v->text, out);
    case ND_MAC:
        return parse_mac(v->text, out);
    case ND_HOST:
        return read_host(v->text, out, p->max);
    case ND_HOST_PORT:
        return read_host_port(v->text, out, p->max);
    }
    return false;
}

/* A copy in the arena. */
static int read_string(struct nd_arena *arena, const struct nd_yaml *v, const char *what,
                       const struct nf_param *p, const char **out, struct ft_fault *fault)
{
    if (!*v->text && !v->quoted)
        return refuse_value(fault, v, what, p);
    *out = nd_arena_text(arena, v->text, strlen(v->text));
    return *out ? 0 : nd_no_memory(fault);
}

/* ND_PLACE, into out[0..p->max). */
static int read_place(struct nd_arena *arena, const struct nd_yaml *v, const char *what,
                      const struct nf_param *p, char *out, struct ft_fault *fault)
{
    const char *path;

    if (!*v->text || strlen(v->text) >= PLACE_MAX)
        return refuse_value(fault, v, what, p);
    path = nd_path_join(arena, v->file->dir, v->text);
    if (!path)
        return nd_no_memory(fault);
    if (strlen(path) >= p->max)
        return nd_yaml_fail(fault, v, "%s is a path of %zu bytes, expected less than %lu", what, strlen(path),
                            p->max);
    strcpy(out, path);
    return 0;
}

/* NF_FILE with what is in it, or ND_PATH: seen from where the configuration lies. */
static int read_path(struct nd_arena *arena, const struct nd_yaml *v, const char *what,
                     const struct nf_param *p, void *out, struct ft_fault *fault)
{
    const char *path = *v->text ? nd_path_join(arena, v->file->dir, v->text) : "", *why;
    struct ft_fault breach;
    int error;

    if (!*v->text)
        return refuse_value(fault, v, what, p);
    if (!path)
        return nd_no_memory(fault);
    if (p->kind == NF_FILE) {
        error = nd_content_read(out, arena, path, v->file, NF_FILE_MAX, &why, &breach);
        if (error == FT_EPERM && !why)
            return nd_yaml_fail(fault, v, "%s", breach.text);
        if (error && !why)
            why = "not a regular file";
    } else {
        why = nd_content_find(path, v->file->over);
        *(const char **)out = path;
    }
    return why ? nd_yaml_fail(fault, v, "%s is %.80s (%s), expected a readable file", what, v->text, why) : 0;
}

/* NF_PREFIXES, or NF_NETWORKS with `any`, which `ipv4` is part of. */
static int read_networks(const struct nd_yaml *v, const char *what, const struct nf_param *p,
                         struct nf_prefixes *ipv4, struct nf_networks *any, struct ft_fault *fault)
{
    const struct nf_param entry = {.kind = any ? ND_KIND(ND_NETWORK46) : ND_KIND(ND_NETWORK)};

    if (v->kind != ND_YAML_LIST || v->count > NF_PREFIXES_MAX)
        return refuse_value(fault, v, what, p);
    for (const struct nd_yaml *e = v->first; e; e = e->next) {
        if (e->kind != ND_YAML_TEXT ||
            !(any ? nd_parse_network(e->text, any) : parse_prefix(e->text, &ipv4->list[ipv4->count])))
            return refuse_value(fault, e, what, &entry);
        ipv4->count += !any;
    }
    return 0;
}

int nd_schema_value(struct nd_arena *arena, const struct nd_yaml *v, const char *what,
                    const struct nf_param *p, void *out, struct ft_fault *fault)
{
    int kind = (int)p->kind;
    const struct nd_yaml *wrong;

    if (kind == NF_HOSTS) {
        wrong = parse_hosts(v, out);
        return wrong ? refuse_value(fault, wrong, what, p) : 0;
    }
    if (kind == ND_ANY || (kind == ND_MAP && v->kind == ND_YAML_MAP) ||
        (kind == ND_LIST && v->kind == ND_YAML_LIST && v->count <= p->max)) {
        *(const struct nd_yaml **)out = v;
        return 0;
    }
    if (kind == NF_PREFIXES || kind == NF_NETWORKS)
        return read_networks(v, what, p, out, kind == NF_NETWORKS ? out : NULL, fault);
    if (v->kind == ND_YAML_TEXT && kind == NF_STRING)
        return read_string(arena, v, what, p, out, fault);
    if (v->kind == ND_YAML_TEXT && (kind == NF_FILE || kind == ND_PATH))
        return read_path(arena, v, what, p, out, fault);
    if (v->kind == ND_YAML_TEXT && kind == ND_PLACE)
        return read_place(arena, v, what, p, out, fault);
    return v->kind == ND_YAML_TEXT && read_plain(v, p, out) ? 0 : refuse_value(fault, v, what, p);
}

/* Presets of lists are written "a, b". */
static bool read_preset_list(const char *text, struct nf_prefixes *out)
{
    char entry[32];

    for (; *text; text += strcspn(text, ","), text += strspn(text, ", ")) {
        snprintf(entry, sizeof(entry), "%.*s", (int)strcspn(text, ","), text);
        if (out->count == NF_PREFIXES_MAX || !parse_prefix(entry, &out->list[out->count++]))
            return false;
    }
    return true;
}

/* A key that is absent: its preset, in the name of the map's line. */
static int read_preset(struct nd_arena *arena, const struct nd_yaml *map, const char *what,
                       const struct nf_param *p, void *out, struct ft_fault *fault)
{
    struct nd_yaml value = {.kind = ND_YAML_TEXT,
                            .line = map->line,
                            .key_line = map->key_line,
                            .file = map->file,
                            .text = p->preset,
                            .quoted = p->kind == NF_FILE}; /* where it would lie if it stood there */
    char expected[120];

    /* Any text would do for the reader alone. */
    if (!p->preset && (p->kind == ND_KIND(ND_TEXT) || p->kind == ND_KIND(ND_PLACE)) && p->help)
        return nd_yaml_fail(fault, map, "%s is missing, expected %s (%s)", what,
                            describe_expected(p, expected, sizeof(expected)), p->help);
    if (!p->preset)
        return nd_yaml_fail(fault, map, "%s is missing, expected %s", what,
                            describe_expected(p, expected, sizeof(expected)));
    if (!*p->preset) {
        if (p->kind == NF_STRING || p->kind == NF_FILE)
            *(const char **)out = p->preset;
        return 0; /* zeros already */
    }
    if (p->kind == NF_PREFIXES)
        return read_preset_list(p->preset, out) ? 0 : refuse_value(fault, &value, what, p);
    return nd_schema_value(arena, &value, what, p, out, fault);
}

static int refuse_key(const struct nd_yaml *key, const char *what, const struct nf_param *table,
                      struct ft_fault *fault)
{
    const char *names[ENTRIES_MAX + 1] = {NULL}, *near;
    char all[140];

    for (unsigned n = 0; table[n].name && n < ENTRIES_MAX; n++)
        names[n] = table[n].name;
    near = nd_schema_nearest(key->key, names);
    if (near)
        return nd_yaml_fail(fault, key, "unknown key \"%.40s\" in %s, expected \"%s\"?", key->key, what,
                            near);
    if (!names[0])
        return nd_yaml_fail(fault, key, "unknown key \"%.40s\" in %s, expected no settings", key->key, what);
    join_names(all, sizeof(all), names, ", ");
    return nd_yaml_fail(fault, key, "unknown key \"%.40s\" in %s, expected one of %s", key->key, what, all);
}

static int check_keys(const struct nd_yaml *map, const char *what, const struct nf_param *table,
                      struct ft_fault *fault)
{
    for (const struct nd_yaml *e = map->first; e; e = e->next) {
        const struct nf_param *p = table;

        while (p->name && strcmp(p->name, e->key) != 0)
            p++;
        if (!p->name)
            return refuse_key(e, what, table, fault);
    }
    return 0;
}

int nd_schema_read(struct nd_arena *arena, const struct nd_yaml *map, const char *what,
                   const struct nf_param *table, void *out, struct ft_fault *fault)
{
    const char *whole = what ? what : "the file";
    union {
        const struct nd_yaml *at;
        struct nf_addr addr;
    } unkept;
    int error;

    if (map->kind != ND_YAML_MAP)
        return nd_yaml_fail(fault, map, "%s is %s, expected a map of settings", whole, shape_name(map));
    error = check_keys(map, whole, table, fault);
    for (const struct nf_param *p = table; p->name && !error; p++) {
        const struct nd_yaml *value = nd_yaml_get(map, p->name);
        void *to = p->offset == ND_UNKEPT ? (void *)&unkept : (char *)out + p->offset;
        char name[80];

        snprintf(name, sizeof(name), "%.48s%s%.30s", what ? what : "", what ? " " : "", p->name);
        error = value ? nd_schema_value(arena, value, name, p, to, fault)
                      : read_preset(arena, map, name, p, to, fault);
    }
    return error;
}
