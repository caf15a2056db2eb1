/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of who looks into ELF files: small shared objects, made section by section. Offsets, names and
 * links are right; a test then spoils what it wants to.
 */
#ifndef TESTS_HELP_ELF_H
#define TESTS_HELP_ELF_H

#include <elf.h>
#include <stdint.h>

struct help_elf {
    _Alignas(8) uint8_t bytes[8192];
    uint32_t len;
    Elf64_Shdr section[16];
    uint32_t sections;
    char names[512];
    uint32_t names_len;
};

struct help_symbol {
    const char *name;
    uint8_t type;     /* of <elf.h>: STT_OBJECT and the others */
    uint16_t section; /* SHN_UNDEF: an import */
};

void help_elf_begin(struct help_elf *e);
/* Its number. `bytes` NULL: zeros; of SHT_NOBITS none are in the file. */
uint16_t help_elf_section(struct help_elf *e, const char *name, uint32_t type, uint64_t flags,
                          const void *bytes, uint64_t size, uint64_t alignment);
/* .symtab or .dynsym, with its strings. */
uint16_t help_elf_symbols(struct help_elf *e, uint32_t type, const struct help_symbol list[], unsigned count);
/* .dynamic: the libraries that it needs, with their strings. */
uint16_t help_elf_needs(struct help_elf *e, const char *const libraries[], unsigned count);
/* The names of sections, the table of sections, the head. */
void help_elf_end(struct help_elf *e);

#endif
