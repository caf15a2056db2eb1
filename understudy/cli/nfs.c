/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy nfs and new-nf: the NFs that a chain can have, with what each declares of itself
 * (nflib/module/module.h). They are built in, lie in the directory of modules, or are named by the chain of
 * the file that is given. And an NF to begin with.
 */
#define _GNU_SOURCE
#include "understudy/config/options.h"
#include "understudy/cli/pair.h"
#include "nflib/module/module.h"
#include "understudy/base/process.h"
#include "understudy/config/module_file.h"
#include "understudy/config/schema.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULES_MAX 64u

struct modules_options {
    const char *file;
    bool json;
};

static const struct nd_option rows[] = {
    ND_OPTION_FILE_ROW(offsetof(struct modules_options, file), NULL),
    ND_OPTION_JSON_ROW(offsetof(struct modules_options, json)),
    {.name = NULL},
};

const struct nd_syntax nd_nfs_syntax = {"nfs", rows, "[NAME]", 0, 1};

/* ---- where they come from ---------------------------------------------------------------------- */

/* The shared object's path; NULL: the program has it. */
static const char *origin_of(const struct nf_module *module)
{
    Dl_info its, own;

    if (dladdr(module, &its) == 0 || dladdr(rows, &own) == 0 || its.dli_fbase == own.dli_fbase)
        return NULL;
    return its.dli_fname;
}

/* ---- parameters -------------------------------------------------------------------------------- */

static const char *type_of(const struct nf_param *p)
{
    static const char *const types[] = {
        [NF_U32] = "number",      [NF_U64] = "number",        [NF_BOOL] = "true or false",
        [NF_CHOICE] = "choice",   [NF_IPV4] = "address",      [NF_PREFIXES] = "networks",
        [NF_RANGE] = "range",     [NF_STRING] = "text",       [NF_FILE] = "file",
        [NF_SECONDS] = "seconds", [NF_NETWORKS] = "networks", [NF_HOSTS] = "addresses",
    };

    return types[p->kind];
}

static json_t *param_object(const struct nf_param *p)
{
    json_t *o = json_pack("{s:s,s:s,s:s?,s:b,s:b,s:s}", "name", p->name, "type", type_of(p), "default",
                          p->preset, "required", p->preset == NULL, "live", (p->marks & NF_PARAM_LIVE) != 0,
                          "help", p->help ? p->help : "");

    if (p->kind == NF_U32 || p->kind == NF_U64 || p->kind == NF_SECONDS || p->kind == NF_RANGE) {
        uint64_t top = p->max ? p->max : p->kind == NF_U64 ? UINT64_MAX : UINT32_MAX;

        json_object_set_new(o, "min", json_integer((json_int_t)p->min));
        json_object_set_new(o, "max", json_integer(top < INT64_MAX ? (json_int_t)top : INT64_MAX));
    }
    if (p->kind == NF_CHOICE) {
        json_t *choices = json_array();

        for (unsigned i = 0; p->choices[i]; i++)
            json_array_append_new(choices, json_string(p->choices[i]));
        json_object_set_new(o, "choices", choices);
    }
    return o;
}

/* ---- one NF ------------------------------------------------------------------------------------ */

static json_t *names_of(const char *const *names)
{
    json_t *list = json_array();

    for (; names && *names; names++)
        json_array_append_new(list, json_string(*names));
    return list;
}

/* What its packets are dealt to lanes by; NULL: its configuration decides that, and there is none. */
static const char *scope_of(const struct nf_module *m, const struct nd_config *config)
{
    static const char *const scopes[] = {"flow", "inside address", "outside address", "chain"};

    for (unsigned i = 0; m->scope && config && i < config->chain.count; i++)
        if (config->chain.nfs[i].module == m)
            return scopes[m->scope(config->chain.nfs[i].config)];
    return m->scope ? NULL : scopes[NF_OF_FLOW];
}

static json_t *module_object(const struct nf_module *m, const struct nd_config *config)
{
    static const char *const ends[] = {"sources", "destinations", "ends inside", "sequence numbers",
                                       "families"};
    const char *translates[6] = {NULL};
    json_t *params = json_array();

    for (unsigned i = 0, n = 0; i < 5; i++)
        if (m->translates >> i & 1)
            translates[n++] = ends[i];
    for (const struct nf_param *p = m->params; p && p->name; p++)
        json_array_append_new(params, param_object(p));
    return json_pack("{s:s,s:s,s:i,s:s?,s:s,s:b,s:b,s:s?,s:o,s:b,s:b,s:b,s:{s:I,s:b,s:b,s:I,s:b},s:o,s:o}",
                     "name", m->name, "summary", m->summary ? m->summary : "", "version", m->version,
                     "module", origin_of(m), "reads",
                     m->reads == NF_READS_PAYLOAD ? "payload"
                     : m->reads == NF_READS_FLOW  ? "flow"
                                                  : "headers",
                     "replayable", !m->unreplayable, "ipv6", m->ipv6 != NULL, "scope", scope_of(m, config),
                     "translates", names_of(translates), "show", m->show != NULL, "set", m->set != NULL,
                     "clear", m->clear != NULL, "state", "root_bytes", (json_int_t)m->state_size, "lane",
                     m->arena != NULL, "shared", m->shared != NULL, "session_bytes",
                     (json_int_t)m->session_size, "timers", m->timers != NULL, "parameters", params,
                     "counters", names_of(m->counters));
}

/* ---- the same for people: all of it is read from the object -------------------------------------- */

/* "state: 40 bytes of its own; objects of each lane; objects that lanes share; 24 bytes of each flow". */
static void print_state(const json_t *state)
{
    static const char *const keys[] = {"root_bytes", "lane", "shared", "session_bytes"};
    static const char *const texts[] = {"bytes of its own", "objects of each lane",
                                        "objects that lanes share", "bytes of each flow"};
    const char *gap = " ";

    printf("state:");
    for (unsigned i = 0; i < 4; i++) {
        json_int_t bytes = nd_integer(state, keys[i]);

        if (!bytes && !nd_is_true(state, keys[i]))
            continue;
        if (bytes)
            printf("%s%lld %s", gap, bytes, texts[i]);
        else
            printf("%s%s", gap, texts[i]);
        gap = "; ";
    }
    printf("%s\n", *gap == ' ' ? " none" : "");
}

static void print_param(const json_t *p)
{
    const char *preset = nd_text(p, "default", NULL), *help = nd_text(p, "help", "");
    const json_t *least = json_object_get(p, "min"), *choice;
    size_t i;

    printf("  %c %-18s %s", nd_is_true(p, "live") ? '*' : ' ', nd_text(p, "name", ""),
           nd_text(p, "type", ""));
    if (least)
        printf(", %lld to %lld", json_integer_value(least), nd_integer(p, "max"));
    json_array_foreach(json_object_get(p, "choices"), i, choice) printf(", %s", json_string_value(choice));
    printf("; %s%s\n", !preset ? "required" : *preset ? "default " : "default none", preset ? preset : "");
    if (*help)
        printf("    %-18s %s\n", "", help);
}

static void print_module(const json_t *o)
{
    const json_t *params = json_object_get(o, "parameters"), *counters = json_object_get(o, "counters"),
                 *entry;
    const char *reads = nd_text(o, "reads", "");
    size_t i;

    printf("%s: %s\n%s, version %lld\n", nd_text(o, "name", ""), nd_text(o, "summary", ""),
           nd_text(o, "module", "built in"), nd_integer(o, "version"));
    printf("reads: %s; %s%s%s",
           strcmp(reads, "payload") == 0 ? "whole frames"
           : strcmp(reads, "flow") == 0  ? "flows alone"
                                         : "headers alone",
           nd_is_true(o, "replayable") ? "can be replayed"
                                       : "cannot be replayed: its chain is protected by deltas",
           nd_is_true(json_object_get(o, "state"), "timers") ? "; has timers" : "",
           nd_is_true(o, "ipv6") ? "; flows of IPv6, too" : "");
    json_array_foreach(json_object_get(o, "translates"), i, entry)
        printf("; translates %s", json_string_value(entry));
    printf("\nlanes: by %s\n", nd_text(o, "scope", "what its configuration says (-c)"));
    printf("commands:%s%s%s%s\n", nd_is_true(o, "show") ? " show" : "", nd_is_true(o, "set") ? " set" : "",
           nd_is_true(o, "clear") ? " clear" : "",
           nd_is_true(o, "show") || nd_is_true(o, "set") || nd_is_true(o, "clear") ? "" : " none");
    print_state(json_object_get(o, "state"));
    printf("parameters%s\n",
           json_array_size(params) ? " (*: apply may change it while the chain runs):" : ": none");
    json_array_foreach(params, i, entry) print_param(entry);
    printf("counters:%s", json_array_size(counters) ? "" : " none");
    json_array_foreach(counters, i, entry) printf(" %s", json_string_value(entry));
    printf("\n");
}

/* ---- the command ------------------------------------------------------------------------------- */

static int refuse_name(const char *name)
{
    const char *names[MODULES_MAX + 1] = {NULL}, *near;

    for (unsigned i = 0; i < MODULES_MAX && nf_module_at(i); i++)
        names[i] = nf_module_at(i)->name;
    near = nd_schema_nearest(name, names);
    return nd_usage("nfs", "no NF called \"%.40s\"%s%s%s", name, near ? ", did you mean " : "",
                    near ? near : ", expected one of understudy nfs", near ? "?" : "");
}

static json_t *all_modules(const struct nd_config *config)
{
    json_t *list = json_array();

    for (unsigned i = 0; nf_module_at(i); i++)
        json_array_append_new(list, module_object(nf_module_at(i), config));
    return json_pack("{s:o}", "nfs", list);
}

static void print_all(const json_t *o)
{
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(o, "nfs"), i, one)
    {
        const char *origin = nd_text(one, "module", NULL);

        printf("%-16s %s%s%s%s\n", nd_text(one, "name", ""), nd_text(one, "summary", ""), origin ? " (" : "",
               origin ? origin : "", origin ? ")" : "");
    }
}

/* No file is needed; but one that would be taken where one is, is taken. */
static const char *usual_file(void)
{
    const char *named = getenv(ND_FILE_VARIABLE);

    return named && *named ? named : access(ND_PAIR_FILE, R_OK) == 0 ? ND_PAIR_FILE : NULL;
}

int nd_cmd_nfs(int argc, char **argv)
{
    struct modules_options options = {.file = NULL};
    struct nd_config *config = NULL;
    struct nd_arguments rest;
    struct ft_fault fault = {""};
    const struct nf_module *module = NULL;
    json_t *o;
    int code = nd_syntax_read(&nd_nfs_syntax, &options, argc, argv, &rest), error = 0;

    if (code)
        return code;
    if (!options.file)
        options.file = usual_file();
    if (options.file)
        error = nd_config_read(&config, options.file, ND_CONFIG_QUIET, &fault);
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    nd_modules_load_installed("nfs");
    if (rest.argc && !(module = nf_module_find(rest.argv[0])))
        return refuse_name(rest.argv[0]);
    o = module ? module_object(module, config) : all_modules(config);
    if (options.json)
        code = nd_print_json(o);
    else
        (module ? print_module : print_all)(o);
    json_decref(o);
    nd_config_free(config);
    return code;
}

/* ---- new-nf: a module to begin with, its Makefile, test and chain files, from the templates that are
 * installed with the program, or lie in its tree. In them @NAME@ is the NF, @BUILD@ the tree's build
 * directory ("": the program is installed) ---- */

#define NAME_LETTERS 31
#define FILE_MAX     65536u

static const char *const templates[] = {"NAME.c", "test_NAME.c", "Makefile", "chain.yaml", "test.yaml"};
#define TEMPLATES (sizeof(templates) / sizeof(templates[0]))

static const char *const places[] = {"share/understudy/new-nf", "docs/examples/new-nf"};

static const struct nd_option no_rows[] = {{.name = NULL}};
const struct nd_syntax nd_new_nf_syntax = {"new-nf", no_rows, "NAME DIR", 2, 2};

/* A name of files and in YAML; in C it is text alone. */
static bool is_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return *name >= 'a' && *name <= 'z' && !name[len] && len <= NAME_LETTERS;
}

/* Of a program in a tree that was built: the directory in which it lies beside its headers. */
static void find_build(char out[1024])
{
    char path[1100];
    ssize_t len = readlink("/proc/self/exe", out, 1023);
    char *slash;

    out[len > 0 ? len : 0] = '\0';
    slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
    snprintf(path, sizeof(path), "%s/include/nflib/nf.h", out);
    if (access(path, R_OK) != 0)
        out[0] = '\0';
}

static bool starts_with(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

/* 0, or an exit code with its line. */
static int fail_at(const char *path)
{
    fprintf(stderr, "understudy new-nf: %s: %s\n", path, strerror(errno));
    return errno == EACCES ? ND_NO_PERMISSION : ND_DATA;
}

/* The file, or nothing. */
static int write_filled(const char *from, const char *to, const char *name, const char *build)
{
    static char text[FILE_MAX];
    FILE *in = fopen(from, "re"), *out;
    size_t len = in ? fread(text, 1, sizeof(text) - 1, in) : 0;
    int code = 0;

    if (!in)
        return fail_at(from);
    fclose(in);
    text[len] = '\0';
    out = fopen(to, "wxe"); /* nothing that is there is replaced */
    if (!out)
        return fail_at(to);
    for (const char *at = text; *at; at++)
        if (starts_with(at, "@NAME@")) {
            fputs(name, out);
            at += strlen("@NAME@") - 1;
        } else if (starts_with(at, "@BUILD@")) {
            fputs(build, out);
            at += strlen("@BUILD@") - 1;
        } else {
            fputc(*at, out);
        }
    if (ferror(out))
        code = fail_at(to);
    if (fclose(out) != 0 && !code)
        code = fail_at(to);
    if (code)
        unlink(to);
    return code;
}

static bool find_template(const char *file, char *out, size_t cap)
{
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (nd_installed(places[i], file, out, cap))
            return true;
    fprintf(stderr, "understudy new-nf: no template %s, expected it in %s or %s beside the program\n", file,
            places[0], places[1]);
    return false;
}

/* "test_NAME.c" of that NF, in the directory. */
static void path_of(char *out, size_t cap, const char *dir, const char *file, const char *name)
{
    const char *at = strstr(file, "NAME");

    if (at)
        snprintf(out, cap, "%s/%.*s%s%s", dir, (int)(at - file), file, name, at + strlen("NAME"));
    else
        snprintf(out, cap, "%s/%s", dir, file);
}

/* Looked at before anything is written. */
static int refuse_existing(const char *dir, const char *name)
{
    char path[1400];

    for (size_t i = 0; i < TEMPLATES; i++) {
        path_of(path, sizeof(path), dir, templates[i], name);
        if (access(path, F_OK) == 0) {
            fprintf(stderr, "understudy new-nf: %s is there, expected a new directory, or one without it\n",
                    path);
            return ND_DATA;
        }
    }
    return 0;
}

/* All of them; what cannot be is an exit code, and takes those before it along. */
static int write_all(const char *dir, const char *name)
{
    char from[1400], to[1400], build[1024];
    int code = 0;

    find_build(build);
    for (size_t i = 0; i < TEMPLATES && !code; i++) {
        path_of(to, sizeof(to), dir, templates[i], name);
        code = find_template(templates[i], from, sizeof(from)) ? write_filled(from, to, name, build)
                                                               : ND_SOFTWARE;
        for (size_t k = 0; code && k < i; k++) {
            path_of(to, sizeof(to), dir, templates[k], name);
            unlink(to);
        }
    }
    return code;
}

int nd_cmd_new_nf(int argc, char **argv)
{
    struct nd_options none = {.file = NULL};
    struct nd_arguments rest;
    const char *name, *dir;
    char file[NAME_LETTERS + 4], path[1024];
    bool made;
    int code = nd_syntax_read(&nd_new_nf_syntax, &none, argc, argv, &rest);

    if (code)
        return code;
    name = rest.argv[0];
    dir = rest.argv[1];
    if (!is_name(name))
        return nd_usage("new-nf", "NAME %.40s, expected at most %d of a-z, 0-9 and _, a letter first", name,
                        NAME_LETTERS);
    snprintf(file, sizeof(file), "%s.so", name);
    if (nf_module_find(name) || nd_installed(ND_MODULES, file, path, sizeof(path)))
        return nd_usage("new-nf", "there is an NF %.40s, expected another name", name);
    if (strlen(dir) > 1024)
        return nd_usage("new-nf", "DIR of %zu bytes, expected 1024 at most", strlen(dir));
    if ((code = refuse_existing(dir, name)))
        return code;
    made = mkdir(dir, 0777) == 0;
    if (!made && errno != EEXIST)
        return fail_at(dir);
    code = write_all(dir, name);
    if (code && made)
        rmdir(dir);
    if (!code)
        printf("%s: an NF %s, its chain and its test. Next: make -C %s check\n", dir, name, dir);
    return code;
}
