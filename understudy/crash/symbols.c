/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By libdwfl (elfutils). The reporter was forked from the node when the modules of its first chain were
 * loaded, so their addresses mean the same in both; of others the page has the addresses. An NF's functions
 * are static, so the symbol table of the object's file is needed, and for lines its debug information, or
 * that below /usr/lib/debug which has its build ID. Nothing is asked of a network. See symbols.h.
 */
#define _GNU_SOURCE
#include "understudy/crash/symbols.h"

#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_build_id_find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

void nd_crash_symbols_end(struct nd_crash_symbols *symbols)
{
    dwfl_end(symbols->dwfl);
}

/* The object's file as libdwfl knows it; a file is opened once. NULL: it is no such file, or is gone. */
static Dwfl_Module *open_object(struct nd_crash_symbols *symbols, const char *path)
{
    if (!symbols->dwfl && !(symbols->dwfl = dwfl_begin(&callbacks)))
        return NULL;
    for (unsigned i = 0; i < symbols->count; i++)
        if (strcmp(symbols->path[i], path) == 0)
            return symbols->object[i];
    if (symbols->count == ND_CRASH_OBJECTS || strlen(path) >= sizeof(symbols->path[0]))
        return NULL;
    strcpy(symbols->path[symbols->count], path);
    dwfl_report_begin_add(symbols->dwfl);
    symbols->object[symbols->count] = dwfl_report_offline(symbols->dwfl, path, path, -1);
    dwfl_report_end(symbols->dwfl, NULL, NULL);
    return symbols->object[symbols->count++];
}

static void search_file(struct nd_crash_symbols *symbols, const char *path, uint64_t offset,
                        struct nd_crash_place *out)
{
    Dwfl_Module *object = open_object(symbols, path);
    GElf_Addr begins = 0, into = 0, at;
    const char *name, *source;
    Dwfl_Line *line;
    GElf_Sym symbol;
    int number = 0;

    if (!object)
        return;
    dwfl_module_info(object, NULL, &begins, NULL, NULL, NULL, NULL, NULL);
    at = begins + offset;
    name = dwfl_module_addrinfo(object, at, &into, &symbol, NULL, NULL, NULL);
    if (!name || GELF_ST_TYPE(symbol.st_info) != STT_FUNC || into >= symbol.st_size)
        return;
    snprintf(out->symbol, sizeof(out->symbol), "%.100s+0x%lx", name, into);
    line = dwfl_module_getsrc(object, at);
    source = line ? dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL) : NULL;
    if (source)
        snprintf(out->source, sizeof(out->source), "%.180s:%d", source, number);
}

/* False: it is in no module that was loaded later. */
static bool search_modules(struct nd_crash_symbols *symbols, const struct nd_crash_page *page,
                           uint64_t address, struct nd_crash_place *out)
{
    uint32_t n = atomic_load_explicit(&page->modules, memory_order_acquire);

    for (uint32_t i = 0; i < n && i < ND_CRASH_MODULES; i++) {
        const struct nd_crash_module *m = &page->module[i];

        if (address - m->base >= m->size || !memchr(m->path, 0, sizeof(m->path)))
            continue;
        out->object = m->path;
        out->offset = address - m->base;
        search_file(symbols, m->path, out->offset, out);
        return true;
    }
    return false;
}

void nd_crash_symbol(struct nd_crash_symbols *symbols, const struct nd_crash_page *page, uint64_t address,
                     struct nd_crash_place *out)
{
    const struct link_map *map = NULL;
    Dl_info info;

    *out = (struct nd_crash_place){.object = "?", .offset = address};
    if (search_modules(symbols, page, address, out))
        return;
    if (!dladdr1((const void *)(uintptr_t)address, &info, (void **)(uintptr_t)&map, RTLD_DL_LINKMAP))
        return;
    bool own = !map || !map->l_name[0];

    out->object = info.dli_fname;
    out->offset = address - (map ? map->l_addr : (uint64_t)(uintptr_t)info.dli_fbase);
    /* The program may have been replaced where it lies; the process still has its own. */
    search_file(symbols, own ? "/proc/self/exe" : info.dli_fname, out->offset, out);
    if (!out->symbol[0] && info.dli_sname)
        snprintf(out->symbol, sizeof(out->symbol), "%.100s+0x%lx", info.dli_sname,
                 address - (uint64_t)(uintptr_t)info.dli_saddr);
}

static int find_build_id(struct dl_phdr_info *info, size_t size, void *out)
{
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *p = &info->dlpi_phdr[i];
        const uint8_t *at = (const uint8_t *)(uintptr_t)(info->dlpi_addr + p->p_vaddr),
                      *end = at + p->p_memsz;

        while (p->p_type == PT_NOTE && (size_t)(end - at) >= sizeof(Elf64_Nhdr)) {
            const Elf64_Nhdr *note = (const Elf64_Nhdr *)(const void *)at;
            const uint8_t *id = at + sizeof(*note) + ((note->n_namesz + 3) & ~3u);

            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && note->n_descsz < 32) {
                for (unsigned k = 0; k < note->n_descsz; k++)
                    snprintf((char *)out + 2 * (size_t)k, 3, "%02x", id[k]);
                return 1;
            }
            at = id + ((note->n_descsz + 3) & ~3u);
        }
    }
    return 1; /* the program comes first; nobody else is asked */
}

const char *nd_crash_build_id(char out[64])
{
    out[0] = '\0';
    dl_iterate_phdr(find_build_id, out);
    return out;
}
