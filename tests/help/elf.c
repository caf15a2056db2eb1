/* SPDX-License-Identifier: Apache-2.0 */
/* See elf.h. */
#include "tests/help/elf.h"

#include <string.h>

#define LIST_MAX 16u

static uint32_t add_name(struct help_elf *e, const char *name)
{
    uint32_t at = e->names_len;

    memcpy(e->names + at, name, strlen(name) + 1);
    e->names_len += (uint32_t)strlen(name) + 1;
    return at;
}

static void align(struct help_elf *e)
{
    e->len = (e->len + 7) & ~7u;
}

void help_elf_begin(struct help_elf *e)
{
    memset(e, 0, sizeof(*e));
    e->len = sizeof(Elf64_Ehdr);
    e->sections = 1; /* the first one is none */
    add_name(e, "");
}

uint16_t help_elf_section(struct help_elf *e, const char *name, uint32_t type, uint64_t flags,
                          const void *bytes, uint64_t size, uint64_t alignment)
{
    align(e);
    e->section[e->sections] = (Elf64_Shdr){.sh_name = add_name(e, name),
                                           .sh_type = type,
                                           .sh_flags = flags,
                                           .sh_offset = e->len,
                                           .sh_size = size,
                                           .sh_addralign = alignment};
    if (bytes)
        memcpy(e->bytes + e->len, bytes, size);
    if (type != SHT_NOBITS)
        e->len += (uint32_t)size;
    return (uint16_t)e->sections++;
}

/* The strings that come next, in one section; at[i]: where each begins. */
static void add_strings(struct help_elf *e, const char *const strings[], unsigned count, uint32_t at[])
{
    char text[512] = "";
    uint32_t len = 1;

    for (unsigned i = 0; i < count; i++) {
        at[i] = len;
        memcpy(text + len, strings[i], strlen(strings[i]) + 1);
        len += (uint32_t)strlen(strings[i]) + 1;
    }
    e->section[e->sections - 1].sh_link = e->sections;
    help_elf_section(e, ".strings", SHT_STRTAB, 0, text, len, 1);
}

uint16_t help_elf_symbols(struct help_elf *e, uint32_t type, const struct help_symbol list[], unsigned count)
{
    Elf64_Sym symbols[LIST_MAX + 1] = {{0}};
    const char *names[LIST_MAX] = {NULL};
    uint32_t at[LIST_MAX] = {0};
    uint16_t section = help_elf_section(e, type == SHT_SYMTAB ? ".symtab" : ".dynsym", type, 0, NULL,
                                        (count + 1) * sizeof(symbols[0]), 8);

    for (unsigned i = 0; i < count; i++)
        names[i] = list[i].name;
    add_strings(e, names, count, at);
    for (unsigned i = 0; i < count; i++)
        symbols[i + 1] = (Elf64_Sym){
            .st_name = at[i], .st_info = ELF64_ST_INFO(STB_LOCAL, list[i].type), .st_shndx = list[i].section};
    memcpy(e->bytes + e->section[section].sh_offset, symbols, (count + 1) * sizeof(symbols[0]));
    return section;
}

uint16_t help_elf_needs(struct help_elf *e, const char *const libraries[], unsigned count)
{
    Elf64_Dyn needs[LIST_MAX + 1] = {{.d_tag = DT_NULL}};
    uint32_t at[LIST_MAX] = {0};
    uint16_t section = help_elf_section(e, ".dynamic", SHT_DYNAMIC, SHF_WRITE | SHF_ALLOC, NULL,
                                        (count + 1) * sizeof(needs[0]), 8);

    add_strings(e, libraries, count, at);
    for (unsigned i = 0; i < count; i++)
        needs[i] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un.d_val = at[i]};
    memcpy(e->bytes + e->section[section].sh_offset, needs, (count + 1) * sizeof(needs[0]));
    return section;
}

void help_elf_end(struct help_elf *e)
{
    Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                       .e_type = ET_DYN,
                       .e_machine = EM_X86_64,
                       .e_version = EV_CURRENT,
                       .e_ehsize = sizeof(head),
                       .e_shentsize = sizeof(Elf64_Shdr)};
    uint32_t name = add_name(e, ".shstrtab");

    align(e);
    e->section[e->sections] = (Elf64_Shdr){.sh_name = name,
                                           .sh_type = SHT_STRTAB,
                                           .sh_offset = e->len,
                                           .sh_size = e->names_len,
                                           .sh_addralign = 1};
    memcpy(e->bytes + e->len, e->names, e->names_len);
    e->len += e->names_len;
    head.e_shstrndx = (uint16_t)e->sections++;
    align(e);
    head.e_shnum = (uint16_t)e->sections;
    head.e_shoff = e->len;
    memcpy(e->bytes, &head, sizeof(head));
    memcpy(e->bytes + e->len, e->section, e->sections * sizeof(e->section[0]));
    e->len += (uint32_t)(e->sections * sizeof(e->section[0]));
}
