/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the loader where a module's shared object lies; see module/object.h. Nothing is kept. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "nflib/module/object.h"

#include <link.h>

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
