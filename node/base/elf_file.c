/* SPDX-License-Identifier: Apache-2.0 */
/* See elf_file.h. */
#include "node/base/elf_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const void *find_bytes(const struct nd_elf_file *f, uint64_t at, uint64_t size)
{
    return at <= f->size && size <= f->size - at ? f->bytes + at : NULL;
}

/* The same of structs, which lie at multiples of 8. */
static const void *find_structs(const struct nd_elf_file *f, uint64_t at, uint64_t size)
{
    return at % 8 == 0 ? find_bytes(f, at, size) : NULL;
}

bool nd_elf_file_read(struct nd_elf_file *f, const void *bytes, size_t size)
{
    *f = (struct nd_elf_file){.bytes = bytes, .size = size};
    f->head = find_structs(f, 0, sizeof(*f->head));
    if (!f->head || memcmp(f->head->e_ident, ELFMAG, SELFMAG) != 0 ||
        f->head->e_ident[EI_CLASS] != ELFCLASS64 || f->head->e_shentsize != sizeof(*f->sections))
        return false;
    f->sections = find_structs(f, f->head->e_shoff, (uint64_t)f->head->e_shnum * sizeof(*f->sections));
    return f->sections && f->head->e_shstrndx < f->head->e_shnum;
}

static bool map_file(struct nd_elf_file *f, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *bytes = MAP_FAILED;
    struct stat is;

    if (fd >= 0 && fstat(fd, &is) == 0 && is.st_size > 0)
        bytes = mmap(NULL, (size_t)is.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (bytes != MAP_FAILED)
        *f = (struct nd_elf_file){.bytes = bytes, .size = (size_t)is.st_size};
    return bytes != MAP_FAILED;
}

bool nd_elf_file_open(struct nd_elf_file *f, const char *path)
{
    if (!map_file(f, path))
        return false;
    if (nd_elf_file_read(f, f->bytes, f->size))
        return true;
    nd_elf_file_close(f);
    return false;
}

static bool is_cut(const struct nd_elf_file *f)
{
    const Elf64_Ehdr *head = find_structs(f, 0, sizeof(*head));
    const Elf64_Phdr *parts;

    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_ident[EI_CLASS] != ELFCLASS64 ||
        head->e_phentsize != sizeof(*parts))
        return false; /* the loader refuses it */
    parts = find_structs(f, head->e_phoff, (uint64_t)head->e_phnum * sizeof(*parts));
    for (unsigned i = 0; parts && i < head->e_phnum; i++)
        if (parts[i].p_type == PT_LOAD && !find_bytes(f, parts[i].p_offset, parts[i].p_filesz))
            return true;
    return !parts;
}

bool nd_elf_file_is_cut(const char *path)
{
    struct nd_elf_file f;
    bool cut = false;

    if (map_file(&f, path)) {
        cut = is_cut(&f);
        nd_elf_file_close(&f);
    }
    return cut;
}

void nd_elf_file_close(struct nd_elf_file *f)
{
    munmap((void *)(uintptr_t)f->bytes, f->size);
}

const void *nd_elf_file_table(const struct nd_elf_file *f, const Elf64_Shdr *s, size_t size, size_t *count)
{
    const void *at = find_structs(f, s->sh_offset, s->sh_size);

    *count = at ? s->sh_size / size : 0;
    return at;
}

const char *nd_elf_file_text(const struct nd_elf_file *f, uint32_t section, uint64_t at)
{
    const Elf64_Shdr *s = section < f->head->e_shnum ? &f->sections[section] : NULL;
    const char *all = s ? find_bytes(f, s->sh_offset, s->sh_size) : NULL;

    return all && at < s->sh_size && memchr(all + at, '\0', s->sh_size - at) ? all + at : "";
}
