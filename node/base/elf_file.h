/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ELF file, 64 bits, read without belief: whatever it says, nothing outside its bytes is touched. Used by
 * what judges a module (node/config/module_file.c) and by what names the functions of a backtrace
 * (node/crash/symbols.c). Owned by who opens it; never written.
 */
#ifndef NODE_BASE_ELF_FILE_H
#define NODE_BASE_ELF_FILE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nd_elf_file {
    const uint8_t *bytes;
    size_t size;
    const Elf64_Ehdr *head;
    const Elf64_Shdr *sections; /* [head->e_shnum] */
};

/* Of bytes that the caller keeps, at a multiple of 8. False: they are no such file. */
bool nd_elf_file_read(struct nd_elf_file *file, const void *bytes, size_t size);
/* Maps the file. False, with nothing to close: it cannot be read, or is no such file. */
bool nd_elf_file_open(struct nd_elf_file *file, const char *path);
void nd_elf_file_close(struct nd_elf_file *file);

/* It begins as such a file, and what it says is to be loaded is not all there: whoever maps it dies of that.
 */
bool nd_elf_file_is_cut(const char *path);

/* A section's structs, whose number goes to *count; NULL and 0 when they do not lie within the file. */
const void *nd_elf_file_table(const struct nd_elf_file *file, const Elf64_Shdr *section, size_t size,
                              size_t *count);
/* The text at `at` of a section of texts, by its number; "" where there is none that ends within it. */
const char *nd_elf_file_text(const struct nd_elf_file *file, uint32_t section, uint64_t at);

#endif
