/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy nfs: the NFs that a chain can have, with what each declares of itself (nflib/module/module.h).
 * They are built in, lie in the directory of modules, or are named by the chain of the file that is given.
 */
#define _GNU_SOURCE
#include "node/base/installed.h"
#include "node/config/schema.h"
#include "node/control/pair.h"

#include <dirent.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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

/* Those of the standard directory. One that cannot be loaded is told, and is no reason to say nothing. */
static void load_installed(void)
{
    struct dirent **entries;
    char path[1024];
    int n =
        nd_installed(ND_MODULES, "", path, sizeof(path)) ? scandir(path, &entries, is_module, alphasort) : -1;

    for (int i = 0; i < n; i++) {
        if (nd_installed(ND_MODULES, entries[i]->d_name, path, sizeof(path)) &&
            !dlopen(path, RTLD_NOW | RTLD_LOCAL))
            fprintf(stderr, "understudy nfs: %s: cannot be loaded (%s)\n", path, dlerror());
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
        [NF_U32] = "number",      [NF_U64] = "number",   [NF_BOOL] = "true or false",
        [NF_CHOICE] = "choice",   [NF_IPV4] = "address", [NF_PREFIXES] = "networks",
        [NF_RANGE] = "range",     [NF_STRING] = "text",  [NF_FILE] = "file",
        [NF_SECONDS] = "seconds",
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

static const char *range_of(const struct nf_param *p, char *out, size_t cap)
{
    size_t n = 0;

    out[0] = '\0';
    if (is_counted(p))
        snprintf(out, cap, "%" PRIu64 " to %" PRIu64, p->min, top_of(p));
    for (unsigned i = 0; p->kind == NF_CHOICE && p->choices[i] && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%s", i ? ", " : "", p->choices[i]);
    return out;
}

static bool is_live(const struct nf_module *module, const char *name)
{
    for (unsigned i = 0; module->live && module->live[i]; i++)
        if (strcmp(module->live[i], name) == 0)
            return true;
    return false;
}

static json_t *param_object(const struct nf_module *module, const struct nf_param *p)
{
    json_t *o = json_pack("{s:s,s:s,s:s?,s:b,s:b,s:s}", "name", p->name, "type", type_of(p), "default",
                          p->preset, "required", p->preset == NULL, "live", is_live(module, p->name), "help",
                          p->help ? p->help : "");

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

static json_t *module_object(const struct nf_module *m)
{
    json_t *params = json_array();

    for (const struct nf_param *p = m->params; p && p->name; p++)
        json_array_append_new(params, param_object(m, p));
    return json_pack("{s:s,s:s,s:i,s:s?,s:s,s:b,s:b,s:b,s:b,s:b,s:b,s:o,s:o,s:o}", "name", m->name, "summary",
                     m->summary ? m->summary : "", "version", m->version, "module", origin_of(m), "reads",
                     m->reads == NF_READS_PAYLOAD ? "payload" : "headers", "replayable", !m->unreplayable,
                     "ipv6", m->ipv6, "translates", m->translates != 0, "show", m->show != NULL, "set",
                     m->set != NULL, "clear", m->clear != NULL, "state", state_object(m), "parameters",
                     params, "counters", names_of(m->counters));
}

/* "state: 40 bytes of its own; objects of a lane; objects that lanes share; 24 bytes of each flow". */
static void print_state(const struct nf_module *m)
{
    bool any = m->state_size || m->arena || m->shared || m->session_size;

    printf("state: ");
    if (m->state_size)
        printf("%zu bytes of its own", m->state_size);
    if (m->arena)
        printf("%sobjects of each lane", m->state_size ? "; " : "");
    if (m->shared)
        printf("%sobjects that lanes share", m->state_size || m->arena ? "; " : "");
    if (m->session_size)
        printf("%s%u bytes of each flow%s", m->state_size || m->arena || m->shared ? "; " : "",
               m->session_size, m->ipv6 ? ", of IPv6, too" : "");
    printf("%s\n", any ? "" : "none");
}

static void print_flags(const struct nf_module *m)
{
    printf("reads: %s; %s%s%s%s\n", m->reads == NF_READS_PAYLOAD ? "whole frames" : "headers alone",
           m->unreplayable ? "cannot be replayed: its chain is protected by deltas" : "can be replayed",
           m->translates & NF_SOURCE ? "; translates sources" : "",
           m->translates & NF_DESTINATION ? "; translates destinations" : "",
           m->timers ? "; has timers" : "");
    if (m->scope)
        printf("lanes: by its own scope, as its configuration says, not by flows\n");
    printf("commands: %s%s%s%s\n", m->show ? "show" : "", m->set ? " set" : "", m->clear ? " clear" : "",
           m->show || m->set || m->clear ? "" : "none");
}

static void print_params(const struct nf_module *m)
{
    char range[256];

    if (!m->params || !m->params->name) {
        printf("parameters: none\n");
        return;
    }
    printf("parameters (*: apply may change it while the chain runs):\n");
    for (const struct nf_param *p = m->params; p->name; p++) {
        range_of(p, range, sizeof(range));
        printf("  %c %-18s %s%s%s%s%s\n", is_live(m, p->name) ? '*' : ' ', p->name, type_of(p),
               *range ? ", " : "", range,
               p->preset ? *p->preset ? "; default " : "; default none" : "; required",
               p->preset ? p->preset : "");
        if (p->help)
            printf("    %-18s %s\n", "", p->help);
    }
}

static void print_module(const struct nf_module *m)
{
    const char *origin = origin_of(m);

    printf("%s: %s\n%s, version %u\n", m->name, m->summary ? m->summary : "", origin ? origin : "built in",
           m->version);
    print_flags(m);
    print_state(m);
    print_params(m);
    printf("counters:");
    for (unsigned i = 0; m->counters && m->counters[i]; i++)
        printf(" %s", m->counters[i]);
    printf("%s\n", m->counters && m->counters[0] ? "" : " none");
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

static int show_all(bool json)
{
    json_t *list = json_array(), *o = json_pack("{s:o}", "nfs", list);
    int code = ND_DONE;

    for (unsigned i = 0; nf_module_at(i); i++) {
        const struct nf_module *m = nf_module_at(i);
        const char *origin = origin_of(m);

        if (json)
            json_array_append_new(list, module_object(m));
        else
            printf("%-16s %s%s%s%s\n", m->name, m->summary ? m->summary : "", origin ? " (" : "",
                   origin ? origin : "", origin ? ")" : "");
    }
    if (json)
        code = nd_print_json(o);
    json_decref(o);
    return code;
}

int nd_cmd_nfs(int argc, char **argv)
{
    struct modules_options options = {.file = NULL};
    struct nd_config *config = NULL;
    struct nd_arguments rest;
    struct ft_fault fault = {""};
    const struct nf_module *module;
    json_t *o;
    int code = nd_syntax_read(&nd_nfs_syntax, &options, argc, argv, &rest), error = 0;

    if (code)
        return code;
    if (options.file)
        error = nd_config_read(&config, options.file, false, &fault);
    nd_config_free(config); /* modules stay loaded */
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    load_installed();
    if (rest.argc == 0)
        return show_all(options.json);
    module = nf_module_find(rest.argv[0]);
    if (!module)
        return refuse_name(rest.argv[0]);
    if (!options.json) {
        print_module(module);
        return ND_DONE;
    }
    o = module_object(module);
    code = nd_print_json(o);
    json_decref(o);
    return code;
}
