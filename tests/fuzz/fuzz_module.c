/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF file of a module. First byte odd: the rest is the file as it is. Else it is sections, type, flags,
 * link, content, behind a head and with a table that fit, of which four bytes say what is spoiled then.
 *
 * It is refused in one line that names the module, or passes; a module that cannot be replayed is refused
 * only when the file cannot be read. The file ends where its bytes end.
 */
#include "understudy/config/module_file.c"
#include "tests/fuzz/fuzz.h"
#include "tests/help/elf.h"

#include <stdlib.h>
#include <string.h>

#define SECTIONS_MAX 8u

static struct help_elf elf;

static void make(struct fuzz_input *in)
{
    static const char *const names[] = {"", ".bss", ".data", ".tbss", ".data.rel.ro", ".got"};
    uint16_t at = fuzz_u16(in), spoiled = fuzz_u16(in);

    help_elf_begin(&elf);
    while (fuzz_left(in) && elf.sections <= SECTIONS_MAX) {
        uint8_t type = fuzz_u8(in), flags = fuzz_u8(in), link = fuzz_u8(in), name = fuzz_u8(in);
        size_t len;
        const uint8_t *bytes = fuzz_bytes(in, fuzz_u16(in) % 512, &len);
        uint16_t s =
            help_elf_section(&elf, names[name % 6], type % 12,
                             (uint64_t)(flags & 7) | (flags & 8 ? SHF_TLS : 0), bytes, len, flags >> 4);

        elf.section[s].sh_link = link;
    }
    help_elf_end(&elf);
    if (spoiled)
        elf.bytes[at % elf.len] ^= (uint8_t)spoiled;
}

static int judge_bytes(const uint8_t *bytes, size_t size, bool unreplayable)
{
    struct ft_fault fault = {""};
    struct elf_file file;
    const struct object o = {
        .path = "m.so", .file = &file, .unreplayable = unreplayable, .quiet = true, .fault = &fault};
    int error = read_elf(&file, bytes, size) ? judge(&o) : refuse_unreadable(&o);

    if (!error)
        return 0;
    FUZZ_MUST(strncmp(fault.text, "module m.so ", 12) == 0, "refused by '%s'", fault.text);
    for (const char *c = fault.text; *c; c++) /* the page's own words have a byte that is not ASCII */
        FUZZ_MUST((unsigned char)*c >= ' ' && *c != 0x7f, "a byte %02x in the refusal", (unsigned char)*c);
    FUZZ_MUST(error == FT_EIO || (error == FT_EMALFORMED && !unreplayable), "refused with %d", error);
    return error;
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    uint8_t *copy;
    size_t len;

    if (fuzz_u8(&in) & 1) {
        len = fuzz_left(&in);
        copy = fuzz_copy(in.at, len);
    } else {
        make(&in);
        len = elf.len;
        copy = fuzz_copy(elf.bytes, len);
    }
    FUZZ_MUST(judge_bytes(copy, len, false) != 0 || judge_bytes(copy, len, true) == 0,
              "only one of them can be read");
    free(copy);
}

/* ---- seeds ------------------------------------------------------------------------------------- */

static void seed(const char *name)
{
    static uint8_t bytes[1 + sizeof(elf.bytes)];

    help_elf_end(&elf);
    bytes[0] = 1;
    memcpy(bytes + 1, elf.bytes, elf.len);
    fuzz_seed(name, bytes, 1 + elf.len);
}

static void seed_sections(void)
{
    struct fuzz_output to = {.len = 0};
    const Elf64_Sym symbols[2] = {[1] = {.st_name = 1, .st_info = STT_OBJECT, .st_shndx = 1}};

    fuzz_put(&to, "\0\0\0\0\0", 5);
    fuzz_put(&to, "\1\3\0\2\x10\0", 6); /* .data: 16 bytes */
    fuzz_put(&to, "0123456789abcdef", 16);
    fuzz_put(&to, "\2\0\3\0", 4); /* SHT_SYMTAB, of the strings that follow */
    fuzz_put_u16(&to, sizeof(symbols));
    fuzz_put(&to, symbols, sizeof(symbols));
    fuzz_put(&to, "\3\0\0\0\6\0\0seen", 12);
    fuzz_seed("sections", to.bytes, to.len);
}

static void seeds(void)
{
    static const char *const libraries[] = {"libc.so.6", "libluck.so"};
    const struct help_symbol imports[] = {{"memcpy", STT_FUNC, SHN_UNDEF}, {"rand", STT_FUNC, SHN_UNDEF}};
    struct help_symbol variables[] = {{"nf.c", STT_FILE, SHN_ABS}, {"seen.0", STT_OBJECT, 0}};

    help_elf_begin(&elf);
    variables[1].section = help_elf_section(&elf, ".bss", SHT_NOBITS, SHF_WRITE | SHF_ALLOC, NULL, 16, 8);
    help_elf_needs(&elf, libraries, 2);
    help_elf_symbols(&elf, SHT_SYMTAB, variables, 2);
    help_elf_symbols(&elf, SHT_DYNSYM, imports, 1);
    seed("variable");
    help_elf_begin(&elf);
    help_elf_symbols(&elf, SHT_SYMTAB, variables, 1);
    help_elf_symbols(&elf, SHT_DYNSYM, imports, 2);
    seed("import");
    help_elf_begin(&elf);
    help_elf_section(&elf, ".data", SHT_PROGBITS, SHF_WRITE | SHF_ALLOC, NULL, 16, 8);
    seed("stripped");
    seed_sections();
}

FUZZ_TARGET(module, "ELF files of modules", 2048)
