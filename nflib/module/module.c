/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the registry of NF modules: a table of pointers sorted by name. Written by constructors before main
 * and while shared objects are loaded (one thread); read by the configuration and by `show`.
 */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "nflib/module/module.h"
#include "ftcore/base/event_log.h"
#include "nflib/module/object.h"
#include "nflib/net/ipv6.h"

#include <link.h>
#include <string.h>

#define MODULES_MAX 64u

static const struct nf_module *modules[MODULES_MAX];
static unsigned module_count;

/* Runs before main, or when the file is read: the complaint goes to stderr at once, the module is left out
 * and the configuration names it. */
void nf_module_register(const struct nf_module *module)
{
    unsigned at = 0;
    while (at < module_count && strcmp(modules[at]->name, module->name) < 0)
        at++;
    if (at < module_count && modules[at] == module)
        return;
    if (module_count == MODULES_MAX || (at < module_count && strcmp(modules[at]->name, module->name) == 0)) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "nf %s: left out: %s", module->name,
                     module_count == MODULES_MAX ? "too many modules" : "another module has this name");
        return;
    }
    for (unsigned i = module_count; i > at; i--)
        modules[i] = modules[i - 1];
    modules[at] = module;
    module_count++;
}

void nf_module_forget(const struct nf_module *module)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < module_count; i++)
        if (modules[i] != module)
            modules[kept++] = modules[i];
    module_count = kept;
}

const struct nf_module *nf_module_find(const char *name)
{
    for (unsigned i = 0; i < module_count; i++)
        if (strcmp(modules[i]->name, name) == 0)
            return modules[i];
    return NULL;
}

const struct nf_module *nf_module_at(unsigned index)
{
    return index < module_count ? modules[index] : NULL;
}

bool nf_networks_has6(const struct nf_networks *set, const uint8_t addr[16])
{
    for (uint32_t i = 0; i < set->count; i++)
        if (nf_ipv6_in_prefix(addr, set->ipv6[i].addr, set->ipv6[i].bits))
            return true;
    return false;
}

bool nf_prefixes_has(const struct nf_prefixes *set, uint32_t addr)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (((addr ^ set->list[i].addr) & set->list[i].mask) == 0)
            return true;
    return false;
}

/* ---- where a module was loaded from: object.h ----------------------------------------------------- */

#define PAGE 4096ull

struct search {
    uintptr_t at; /* in the object that is looked for */
    struct nf_object_file *out;
    unsigned seen;
    bool found;
};

static bool holds(const struct dl_phdr_info *info, uintptr_t at)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD &&
            at - (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr) < info->dlpi_phdr[i].p_memsz)
            return true;
    return false;
}

static struct nf_segment pages(uintptr_t from, uintptr_t to)
{
    from &= ~(PAGE - 1);
    return (struct nf_segment){(uint8_t *)from, ((to + PAGE - 1) & ~(PAGE - 1)) - from};
}

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *s = arg;
    uintptr_t first = UINTPTR_MAX, last = 0;

    (void)size;
    if (s->seen++ == 0 || !holds(info, s->at)) /* the program comes first */
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + h->p_vaddr;

        if (h->p_type != PT_LOAD)
            continue;
        first = from < first ? from : first;
        last = from + h->p_memsz > last ? from + h->p_memsz : last;
    }
    s->out->path = info->dlpi_name;
    s->out->all = pages(first, last);
    s->found = true;
    return 1;
}

bool nf_object_file_of(struct nf_object_file *out, const struct nf_module *module)
{
    struct search s = {.at = (uintptr_t)module, .out = out};

    *out = (struct nf_object_file){.path = NULL};
    dl_iterate_phdr(look, &s);
    return s.found;
}
