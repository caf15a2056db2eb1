/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which function an instruction is in. The reporter was forked from the node when the modules of its first
 * chain were loaded, so their addresses mean the same in both; of others the page says where they lie. dladdr
 * knows exported names alone; an NF's functions are static, so the
 * symbol table of the object's file is looked through as well, if it has not been stripped.
 */
#define _GNU_SOURCE /* dladdr, dl_iterate_phdr */
#include "node/crash/reporter.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* An object's file. */
struct image {
    const uint8_t *bytes;
    size_t size;
};

static const void *part(const struct image *image, uint64_t at, uint64_t size)
{
    return at <= image->size && size <= image->size - at ? image->bytes + at : NULL;
}

static const Elf64_Ehdr *head_of(const struct image *image)
{
    const Elf64_Ehdr *head = part(image, 0, sizeof(*head));

    return head && memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 && head->e_ident[EI_CLASS] == ELFCLASS64 &&
                   head->e_shentsize == sizeof(Elf64_Shdr)
               ? head
               : NULL;
}

/* The name of the function in `table` that has the instruction at `offset` from where the object begins. */
static bool search_table(const struct image *image, const Elf64_Shdr *sections, unsigned count,
                         const Elf64_Shdr *table, uint64_t offset, char out[ND_CRASH_SYMBOL])
{
    const Elf64_Sym *symbols = part(image, table->sh_offset, table->sh_size);
    const Elf64_Shdr *names = table->sh_link < count ? &sections[table->sh_link] : NULL;
    const char *text = names ? part(image, names->sh_offset, names->sh_size) : NULL;

    for (size_t i = 0; symbols && text && i < table->sh_size / sizeof(*symbols); i++) {
        const Elf64_Sym *s = &symbols[i];

        if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || offset < s->st_value ||
            offset >= s->st_value + s->st_size || s->st_name >= names->sh_size ||
            !memchr(text + s->st_name, 0, names->sh_size - s->st_name))
            continue;
        snprintf(out, ND_CRASH_SYMBOL, "%.100s+0x%lx", text + s->st_name, offset - s->st_value);
        return true;
    }
    return false;
}

static void search_image(const struct image *image, uint64_t offset, char out[ND_CRASH_SYMBOL])
{
    const Elf64_Ehdr *head = head_of(image);
    const Elf64_Shdr *sections =
        head ? part(image, head->e_shoff, (uint64_t)head->e_shnum * sizeof(*sections)) : NULL;

    for (unsigned i = 0; sections && i < head->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB &&
            search_table(image, sections, head->e_shnum, &sections[i], offset, out))
            return;
}

static void search_file(const char *path, uint64_t offset, char out[ND_CRASH_SYMBOL])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat is;
    struct image image;
    void *bytes;

    if (fd < 0)
        return;
    if (fstat(fd, &is) == 0 && is.st_size > 0) {
        bytes = mmap(NULL, (size_t)is.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes != MAP_FAILED) {
            image = (struct image){bytes, (size_t)is.st_size};
            search_image(&image, offset, out);
            munmap(bytes, image.size);
        }
    }
    close(fd);
}

/* False: it is in no module that was loaded later. */
static bool search_modules(const struct nd_crash_page *page, uint64_t address, char out[ND_CRASH_SYMBOL],
                           const char **object, uint64_t *offset)
{
    uint32_t n = atomic_load_explicit(&page->modules, memory_order_acquire);

    for (uint32_t i = 0; i < n && i < ND_CRASH_MODULES; i++) {
        const struct nd_crash_module *m = &page->module[i];

        if (address - m->base >= m->size || !memchr(m->path, 0, sizeof(m->path)))
            continue;
        *object = m->path;
        *offset = address - m->base;
        search_file(m->path, *offset, out);
        return true;
    }
    return false;
}

void nd_crash_symbol(const struct nd_crash_page *page, uint64_t address, char out[ND_CRASH_SYMBOL],
                     const char **object, uint64_t *offset)
{
    const struct link_map *map = NULL;
    Dl_info info;

    out[0] = '\0';
    *object = "?";
    *offset = address;
    if (search_modules(page, address, out, object, offset))
        return;
    if (!dladdr1((const void *)(uintptr_t)address, &info, (void **)(uintptr_t)&map, RTLD_DL_LINKMAP))
        return;
    bool own = !map || !map->l_name[0];

    *object = info.dli_fname;
    *offset = address - (map ? map->l_addr : (uint64_t)(uintptr_t)info.dli_fbase);
    /* The program may have been replaced where it lies; the process still has its own. */
    search_file(own ? "/proc/self/exe" : info.dli_fname, *offset, out);
    if (!out[0] && info.dli_sname)
        snprintf(out, ND_CRASH_SYMBOL, "%.100s+0x%lx", info.dli_sname,
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
