/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy nfs: the NFs that a chain can have, with what each declares of itself (nflib/module/module.h).
 * They are built in, lie in the directory of modules, or are named by the chain of the file that is given.
 */
#define _GNU_SOURCE
#include "node/base/process.h"
#include "node/config/module_file.h"
#include "node/config/schema.h"
#include "cli/pair.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
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

static int is_module(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
}

void nd_nfs_load_installed(const char *command)
{
    struct dirent **entries;
    char path[1024];
    int n =
        nd_installed(ND_MODULES, "", path, sizeof(path)) ? scandir(path, &entries, is_module, alphasort) : -1;

    for (int i = 0; i < n; i++) {
        struct ft_fault fault;

        if (nd_installed(ND_MODULES, entries[i]->d_name, path, sizeof(path)) && nd_module_load(path, &fault))
            fprintf(stderr, "understudy %s: %s\n", command, fault.text);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

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

static bool is_counted(const struct nf_param *p)
{
    return p->kind == NF_U32 || p->kind == NF_U64 || p->kind == NF_SECONDS || p->kind == NF_RANGE;
}

static uint64_t top_of(const struct nf_param *p)
{
    return p->max ? p->max : p->kind == NF_U64 ? UINT64_MAX : UINT32_MAX;
}

static json_t *param_object(const struct nf_param *p)
{
    json_t *o = json_pack("{s:s,s:s,s:s?,s:b,s:b,s:s}", "name", p->name, "type", type_of(p), "default",
                          p->preset, "required", p->preset == NULL, "live", (p->marks & NF_PARAM_LIVE) != 0,
                          "help", p->help ? p->help : "");

    if (is_counted(p)) {
        uint64_t top = top_of(p);

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

static json_t *state_object(const struct nf_module *m)
{
    return json_pack("{s:I,s:b,s:b,s:I,s:b}", "root_bytes", (json_int_t)m->state_size, "lane",
                     m->arena != NULL, "shared", m->shared != NULL, "session_bytes",
                     (json_int_t)m->session_size, "timers", m->timers != NULL);
}

/* What its packets are dealt to lanes by; NULL: its configuration says that, and there is none. */
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
    return json_pack("{s:s,s:s,s:i,s:s?,s:s,s:b,s:b,s:s?,s:o,s:b,s:b,s:b,s:o,s:o,s:o}", "name", m->name,
                     "summary", m->summary ? m->summary : "", "version", m->version, "module", origin_of(m),
                     "reads", m->reads == NF_READS_PAYLOAD ? "payload" : "headers", "replayable",
                     !m->unreplayable, "ipv6", m->ipv6 != NULL, "scope", scope_of(m, config), "translates",
                     names_of(translates), "show", m->show != NULL, "set", m->set != NULL, "clear",
                     m->clear != NULL, "state", state_object(m), "parameters", params, "counters",
                     names_of(m->counters));
}

/* ---- the same for people: all of it is read from the object -------------------------------------- */

static bool has(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

/* "state: 40 bytes of its own; objects of each lane; objects that lanes share; 24 bytes of each flow". */
static void print_state(const json_t *state)
{
    static const char *const keys[] = {"root_bytes", "lane", "shared", "session_bytes"};
    static const char *const texts[] = {"bytes of its own", "objects of each lane",
                                        "objects that lanes share", "bytes of each flow"};
    const char *gap = " ";

    printf("state:");
    for (unsigned i = 0; i < 4; i++) {
        json_int_t bytes = json_integer_value(json_object_get(state, keys[i]));

        if (!bytes && !has(state, keys[i]))
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

    printf("  %c %-18s %s", has(p, "live") ? '*' : ' ', nd_text(p, "name", ""), nd_text(p, "type", ""));
    if (least)
        printf(", %lld to %lld", json_integer_value(least), json_integer_value(json_object_get(p, "max")));
    json_array_foreach(json_object_get(p, "choices"), i, choice) printf(", %s", json_string_value(choice));
    printf("; %s%s\n", !preset ? "required" : *preset ? "default " : "default none", preset ? preset : "");
    if (*help)
        printf("    %-18s %s\n", "", help);
}

static void print_module(const json_t *o)
{
    const json_t *params = json_object_get(o, "parameters"), *counters = json_object_get(o, "counters"),
                 *entry;
    bool payload = strcmp(nd_text(o, "reads", ""), "payload") == 0;
    size_t i;

    printf("%s: %s\n%s, version %lld\n", nd_text(o, "name", ""), nd_text(o, "summary", ""),
           nd_text(o, "module", "built in"), json_integer_value(json_object_get(o, "version")));
    printf("reads: %s; %s%s%s", payload ? "whole frames" : "headers alone",
           has(o, "replayable") ? "can be replayed" : "cannot be replayed: its chain is protected by deltas",
           has(json_object_get(o, "state"), "timers") ? "; has timers" : "",
           has(o, "ipv6") ? "; flows of IPv6, too" : "");
    json_array_foreach(json_object_get(o, "translates"), i, entry)
        printf("; translates %s", json_string_value(entry));
    printf("\nlanes: by %s\n", nd_text(o, "scope", "what its configuration says (-c)"));
    printf("commands:%s%s%s%s\n", has(o, "show") ? " show" : "", has(o, "set") ? " set" : "",
           has(o, "clear") ? " clear" : "",
           has(o, "show") || has(o, "set") || has(o, "clear") ? "" : " none");
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
    nd_nfs_load_installed("nfs");
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
