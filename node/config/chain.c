/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain: its name, the NFs and their settings, modules from outside the tree. `chain: {file: other.yaml}`
 * takes chain (and protect and redis, when this file has none) from another file, whose lines its messages
 * then name.
 */
#include "node/base/process.h"
#include "node/config/module_file.h"
#include "node/config/parts.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#define MODULES_MAX 8

struct raw_chain {
    char name[32];
    uint32_t lanes, frame_max, shared_mb;
    const struct nd_yaml *state, *modules, *nfs;
};

#define AT(member) offsetof(struct raw_chain, member)
static const struct nf_param keys[] = {
    {"name", ND_KIND(ND_NAME), AT(name), 0, 32, NULL, NULL, "of the chain", false},
    {"lanes", NF_U32, AT(lanes), 1, FT_LANES_MAX, "1", NULL, "worker threads", false},
    {"frame_max", NF_U32, AT(frame_max), NF_FRAME_ROOM, FT_FRAME_MAX, "2048", NULL, "of ports", false},
    {"shared_mb", NF_U32, AT(shared_mb), 1, 16384, "", NULL, "shared arena", false},
    {"state", ND_KIND(ND_ANY), AT(state), 0, 0, "", NULL, "where state is kept", false},
    {"modules", ND_KIND(ND_LIST), AT(modules), 0, MODULES_MAX, "", NULL, "shared objects with NFs", false},
    {"nfs", ND_KIND(ND_LIST), AT(nfs), 0, FT_NFS_MAX - 1, NULL, NULL, "the NFs, from the inside out", false},
    {0},
};
#undef AT

static const struct nf_param reference[] = {
    {"file", ND_KIND(ND_PATH), 0, 0, 0, NULL, NULL, "a chain file", false},
    {0},
};

static const struct nf_param no_settings[] = {{0}};

/* A setting of every NF, in the words of enum nf_on_crash. */
static const char *const on_crash[] = {"stop", "bypass", "reset", NULL};

/* Follows `file:` to the other file's sections. */
static int follow_reference(struct nd_reading *r)
{
    const struct nd_yaml *other, *entry;
    const char *path;
    int error = nd_schema_read(r->arena, r->at.chain, "chain", reference, &path, r->fault);

    if (!error)
        error =
            nd_yaml_read(&other, &r->config->text, r->arena, path, r->trust, r->root->file->over, r->fault);
    if (error)
        return error;
    if (snprintf(r->config->chain_file, sizeof(r->config->chain_file), "%s", path) >=
        (int)sizeof(r->config->chain_file))
        return nd_yaml_fail(r->fault, r->at.chain, "chain file is a path of 256 bytes or more");
    if (other->kind != ND_YAML_MAP)
        return nd_yaml_fail(r->fault, other, "no settings, expected a chain file");
    for (entry = other->first; entry; entry = entry->next)
        if (strcmp(entry->key, "chain") != 0 && strcmp(entry->key, "protect") != 0 &&
            strcmp(entry->key, "redis") != 0)
            return nd_yaml_fail(
                r->fault, entry,
                "key \"%.40s\" in a chain file that is referred to, expected chain, protect or redis",
                entry->key);
    r->at.chain = nd_yaml_get(other, "chain");
    if (!r->at.chain)
        return nd_yaml_fail(r->fault, other, "chain is missing, expected a map of settings");
    entry = nd_yaml_get(r->at.chain, "file");
    if (entry)
        return nd_yaml_fail(r->fault, entry, "a second reference to a chain file, expected the chain itself");
    if (!r->at.protect)
        r->at.protect = nd_yaml_get(other, "protect");
    if (!r->at.redis)
        r->at.redis = nd_yaml_get(other, "redis");
    return 0;
}

static int load_file(struct nd_reading *r, const struct nd_yaml *at, const char *path)
{
    struct ft_fault breach;
    int error = nd_module_load(path, &breach);

    r->disbelieved = error == FT_EPERM;
    if (error || nd_module_file_check(path, r->quiet, &breach))
        return nd_yaml_fail(r->fault, at, "%s", breach.text);
    return 0;
}

static int load_module(struct nd_reading *r, const struct nd_yaml *at)
{
    static const struct nf_param kind = {.kind = ND_KIND(ND_PATH)};
    const char *path;
    char installed[1024];
    int error = nd_schema_value(r->arena, at, "chain modules entry", &kind, &path, r->fault);

    if (error && at->kind == ND_YAML_TEXT && *at->text && !strchr(at->text, '/') &&
        nd_installed(ND_MODULES, at->text, installed, sizeof(installed))) { /* not beside the file */
        path = installed;
        *r->fault = (struct ft_fault){""};
        error = 0;
    }
    if (error)
        return error;
    if (!strchr(path, '/')) /* else the loader would search its own directories */
        path = nd_arena_format(r->arena, "./%s", path);
    return path ? load_file(r, at, path) : nd_no_memory(r->fault);
}

static int refuse_nf(struct nd_reading *r, const struct nd_yaml *at, const char *name)
{
    const char *names[129] = {NULL}, *near;
    char place[1024], pattern[1032];
    glob_t files = {0};
    unsigned n = 0;

    while (n < 64 && nf_module_at(n))
        names[n] = nf_module_at(n)->name, n++;
    snprintf(pattern, sizeof(pattern), "%s*.so",
             nd_installed(ND_MODULES, "", place, sizeof(place)) ? place : "");
    if (*pattern == '/' && glob(pattern, 0, NULL, &files) == 0)
        for (size_t i = 0; i < files.gl_pathc && n < 128; i++) {
            char *file = strrchr(files.gl_pathv[i], '/') + 1;

            file[strlen(file) - 3] = '\0';
            names[n++] = file;
        }
    near = nd_schema_nearest(name, names);
    if (near)
        nd_yaml_fail(r->fault, at, "no NF called \"%.40s\", expected %s?", name, near);
    else
        nd_yaml_fail(
            r->fault, at,
            "no NF called \"%.40s\", expected the name of an NF of this program, or of one in " ND_MODULES
            "/NAME.so, where modules are installed",
            name);
    globfree(&files);
    return FT_EMALFORMED;
}

/* The NF of that name: the program's, of a module that was named, or of NAME.so where modules are installed.
 */
static int find_nf(struct nd_reading *r, const struct nd_yaml *at, const char *name,
                   const struct nf_module **found)
{
    char file[48], path[1024];
    int error = 0;

    *found = nf_module_find(name);
    if (*found)
        return 0;
    if (!strchr(name, '/') && snprintf(file, sizeof(file), "%s.so", name) < (int)sizeof(file) &&
        nd_installed(ND_MODULES, file, path, sizeof(path))) {
        error = load_file(r, at, path);
        *found = nf_module_find(name);
    }
    return *found || error ? error : refuse_nf(r, at, name);
}

/* The NF's own checks. A message about a file that a setting names has its own position, and stays so. */
static int check_nf(struct nd_reading *r, const struct nd_yaml *at, const struct nf_module *module,
                    void *config)
{
    struct ft_fault why = {""};
    int error = module->check ? module->check(config, &why) : 0;

    if (!error)
        return 0;
    for (char *c = strchr(why.text, '\n'); c; c = strchr(c, '\n'))
        *c = ' ';
    for (const struct nf_param *p = module->params; p && p->name; p++) {
        const char *path =
            p->kind == NF_FILE ? ((const struct nf_file *)((char *)config + p->offset))->path : "";
        size_t len = strlen(path);

        if (len && strncmp(why.text, path, len) == 0 && why.text[len] == ':')
            return ft_fail(r->fault, FT_EMALFORMED, "%s", why.text);
    }
    return nd_yaml_fail(r->fault, at, "%s: %s", module->name, *why.text ? why.text : ft_error_name(error));
}

/* The NF's own settings and then those of every NF, which lie behind its config at `behind`; NULL: no memory.
 */
static const struct nf_param *all_settings(struct nd_arena *arena, const struct nf_module *module,
                                           size_t behind)
{
    const struct nf_param *own = module->params ? module->params : no_settings;
    struct nf_param *all;
    unsigned n = 0;

    while (own[n].name)
        n++;
    all = nd_arena_alloc(arena, (n + 2) * sizeof(*all));
    if (!all)
        return NULL;
    memcpy(all, own, n * sizeof(*all));
    all[n] = (struct nf_param){.name = "on_crash",
                               .kind = NF_CHOICE,
                               .offset = behind,
                               .preset = "stop",
                               .choices = on_crash,
                               .help = "what the successor does when the NF died of its state"};
    all[n + 1] = (struct nf_param){0};
    return all;
}

/* `- NAME: {settings}`, `- NAME:` or `- NAME`. */
static int read_nf(struct nd_reading *r, const struct nd_yaml *entry)
{
    struct nf_chain_config *chain = &r->config->chain;
    struct nd_yaml none = {.kind = ND_YAML_MAP, .line = entry->line, .file = entry->file};
    const struct nd_yaml *settings = entry->kind == ND_YAML_MAP && entry->count == 1 ? entry->first : NULL;
    const struct nf_module *module;
    const char *name = settings ? settings->key : entry->text;
    const struct nf_param *params;
    const uint32_t *crash;
    size_t behind;
    void *config;
    int error;

    if (!settings && (entry->kind != ND_YAML_TEXT || !*entry->text))
        return nd_yaml_fail(r->fault, entry, "%s, expected \"- NAME: {settings}\"",
                            entry->kind == ND_YAML_MAP && entry->count > 1
                                ? "several keys where an NF is (on_crash is one of its settings)"
                                : "not an NF");
    if (!settings || (settings->kind == ND_YAML_TEXT && !*settings->text))
        settings = &none;
    error = find_nf(r, entry, name, &module);
    if (error)
        return error;
    for (unsigned i = 0; i < chain->count; i++)
        if (chain->nfs[i].module == module)
            return nd_yaml_fail(r->fault, entry, "NF %s again, expected each once (first on line %u)", name,
                                r->nf_at[i]->line);
    behind = (module->config_size + sizeof(*crash) - 1) / sizeof(*crash) * sizeof(*crash);
    config = nd_arena_alloc(r->arena, behind + sizeof(*crash));
    params = all_settings(r->arena, module, behind);
    if (!config || !params)
        return nd_no_memory(r->fault);
    crash = (const void *)((const uint8_t *)config + behind);
    error = nd_schema_read(r->arena, settings, name, params, config, r->fault);
    if (!error && *crash == NF_CRASH_BYPASS && module->translates)
        error = nd_yaml_fail(
            r->fault, entry,
            "%s: on_crash: bypass of an NF that translates flows, which would leave untranslated; "
            "expected stop or reset",
            name);
    if (!error && *crash == NF_CRASH_RESET && (module->heap || (module->shared && chain->lanes > 1)))
        error = nd_yaml_fail(
            r->fault, entry, "%s: on_crash: reset of an NF %s; expected stop or bypass", name,
            module->heap ? "with a heap" : "whose lanes share state, in a chain of several lanes");
    if (!error)
        error = check_nf(r, entry, module, config);
    if (error)
        return error; /* a failed check keeps nothing: release is not for it */
    r->nf_at[chain->count] = entry;
    for (const struct nf_param *p = module->params; p && p->name; p++)
        if (p->marks & NF_PARAM_OWN && (p->kind == NF_IPV4 || p->kind == NF_HOSTS))
            r->own[chain->count] = p;
    chain->nfs[chain->count++] = (struct nf_choice){.module = module, .config = config, .on_crash = *crash};
    return 0;
}

/* Its state begins anew in one burst of each lane. Of an NF that translates all sessions end in it, of which
 * the others hear, and those whose lanes share state enter a section for each: more than the burst's record
 * has room for. */
static int check_reset(const struct nd_reading *r)
{
    const struct nf_chain_config *chain = &r->config->chain;
    const struct nf_module *shares = NULL;

    for (unsigned i = 0; i < chain->count; i++)
        if (chain->nfs[i].module->shared)
            shares = chain->nfs[i].module;
    for (unsigned i = 0; i < chain->count && shares && chain->lanes > 1; i++)
        if (chain->nfs[i].on_crash == NF_CRASH_RESET && chain->nfs[i].module->translates)
            return nd_yaml_fail(
                r->fault, r->nf_at[i],
                "%s: on_crash: reset of an NF that translates flows, beside %s whose lanes share state, "
                "in a chain of several lanes; expected stop",
                chain->nfs[i].module->name, shares->name);
    return 0;
}

int nd_read_chain(struct nd_reading *r)
{
    struct nf_chain_config *chain = &r->config->chain;
    struct raw_chain raw = {.lanes = 0};
    struct ft_fault why = {""};
    enum nf_scope scope;
    int error = 0;

    if (nd_yaml_get(r->at.chain, "file"))
        error = follow_reference(r);
    if (!error)
        error = nd_schema_read(r->arena, r->at.chain, "chain", keys, &raw, r->fault);
    if (error)
        return error;
    chain->name = nd_arena_text(r->arena, raw.name, strlen(raw.name));
    if (!chain->name)
        return nd_no_memory(r->fault);
    chain->lanes = (uint16_t)raw.lanes;
    chain->frame_max = raw.frame_max;
    chain->shared_size = (uint64_t)raw.shared_mb << 20;
    if (raw.state && (raw.state->kind != ND_YAML_TEXT || strcmp(raw.state->text, "local") != 0))
        return nd_yaml_fail(r->fault, raw.state,
                            "chain state is %.40s, expected local: only bench keeps it in Redis, with "
                            "--compare redis-sync",
                            raw.state->kind == ND_YAML_TEXT ? raw.state->text : "no text");
    if (!raw.nfs->count)
        return nd_yaml_fail(r->fault, raw.nfs, "chain nfs is an empty list, expected at least one NF");
    for (const struct nd_yaml *e = raw.modules ? raw.modules->first : NULL; e && !error; e = e->next)
        error = load_module(r, e);
    for (const struct nd_yaml *e = raw.nfs->first; e && !error; e = e->next)
        error = read_nf(r, e);
    if (!error)
        error = check_reset(r);
    if (!error && nf_chain_scope(chain, chain->lanes, &scope, &why))
        error = nd_yaml_fail(r->fault, raw.nfs, "chain nfs: %s", why.text);
    return error;
}
