/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of a module by its ELF file, of files that are made here: what it takes, what it keeps, and
 * files that are no module. What compilers make of C is judged by tests/lab/rules.t.
 */
#include "understudy/config/module_file.c"
#include "tests/help/elf.h"
#include "tests/help/test.h"

#define DATA (SHF_WRITE | SHF_ALLOC)
#define OK   ""

static struct help_elf elf;
static char said[512]; /* the refusal, or the warning */

/* Judged from a copy that ends where the file ends. */
static int judge_elf(bool unreplayable)
{
    uint8_t *copy = malloc(elf.len ? elf.len : 1);
    struct ft_fault fault = {""};
    struct elf_file file;
    const struct object o = {.path = "m.so", .file = &file, .unreplayable = unreplayable, .fault = &fault};
    FILE *warned = tmpfile();
    int err = dup(STDERR_FILENO), error;

    assert_true(copy && warned && err >= 0);
    memcpy(copy, elf.bytes, elf.len);
    dup2(fileno(warned), STDERR_FILENO);
    error = read_elf(&file, copy, elf.len) ? judge(&o) : refuse_unreadable(&o);
    fflush(stderr);
    dup2(err, STDERR_FILENO);
    close(err);
    rewind(warned);
    said[fread(said, 1, sizeof(said) - 1, warned)] = '\0';
    if (error)
        snprintf(said, sizeof(said), "%s", fault.text);
    fclose(warned);
    free(copy);
    return error;
}

static void says(const char *what, int error, const char *text)
{
    if (judge_elf(false) != error || (*text ? !strstr(said, text) : *said))
        fail_msg("%s: \"%s\", expected \"%s\"", what, said, text);
}

/* A variable of this name in such a section, behind the name of a source. */
static void make_variable(const char *file, const char *name, uint8_t type, const char *section,
                          uint64_t flags)
{
    help_elf_begin(&elf);
    const uint16_t data = help_elf_section(&elf, section, SHT_PROGBITS, flags, NULL, 16, 8);
    const struct help_symbol list[] = {{file, STT_FILE, SHN_ABS}, {name, type, data}};

    help_elf_symbols(&elf, SHT_SYMTAB, list, 2);
    help_elf_end(&elf);
}

TEST(what_a_module_keeps_is_refused_by_name)
{
    static const struct {
        const char *file, *name, *section, *told;
        uint64_t flags;
        uint8_t type;
    } cases[] = {
        {"nf.c", "seen.0", ".bss", "module m.so has a variable \"seen\", expected", DATA, STT_OBJECT},
        {"nf.c", "seen", ".tbss", "has a thread's variable \"seen\"", DATA | SHF_TLS, STT_TLS},
        {"nf.c", "seen", ".mine", "has a variable \"seen\"", DATA, STT_NOTYPE},
        {"nf.c", "completed", ".bss", "has a variable \"completed\"", DATA, STT_OBJECT},
        {"nf.c", "completed.0", ".bss", "has a variable \"completed\"", DATA, STT_OBJECT},
        {"nf.c", "a\nb\x1b", ".bss", "has a variable \"a?b?\"", DATA, STT_OBJECT},
        {"crtstuff.c", "completed.0", ".bss", OK, DATA, STT_OBJECT},
        {"nf.c", "__dso_handle", ".data", OK, DATA, STT_OBJECT},
        {"nf.c", "names", ".data.rel.ro", OK, DATA, STT_OBJECT},
        {"nf.c", "table", ".rodata", OK, SHF_ALLOC, STT_OBJECT},
        {"nf.c", "process", ".text", OK, SHF_ALLOC | SHF_EXECINSTR, STT_FUNC},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_variable(cases[i].file, cases[i].name, cases[i].type, cases[i].section, cases[i].flags);
        says(cases[i].name, *cases[i].told ? FT_EMALFORMED : 0, cases[i].told);
    }
    make_variable("nf.c", "seen", STT_OBJECT, ".bss", DATA);
    assert_int_equal(judge_elf(true), 0); /* one that cannot be replayed may */
    assert_non_null(strstr(said, "warning: has a variable \"seen\""));
}

/* Only sizes tell: more than the compiler's own byte of .bss and 8 bytes of .data, or a thread's. */
TEST(of_a_stripped_module_sections_tell)
{
    static const struct {
        const char *name;
        uint32_t type;
        uint64_t flags, size, alignment;
        bool refused;
    } cases[] = {
        {".bss", SHT_NOBITS, DATA, 8, 1, false},        {".bss", SHT_NOBITS, DATA, 8, 4, true},
        {".bss", SHT_NOBITS, DATA, 9, 1, true},         {".data", SHT_PROGBITS, DATA, 8, 8, false},
        {".data", SHT_PROGBITS, DATA, 16, 8, true},     {".tbss", SHT_NOBITS, DATA | SHF_TLS, 4, 4, true},
        {".got.plt", SHT_PROGBITS, DATA, 64, 8, false}, {".rodata", SHT_PROGBITS, SHF_ALLOC, 64, 8, false}};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        help_elf_begin(&elf);
        help_elf_section(&elf, cases[i].name, cases[i].type, cases[i].flags, NULL, cases[i].size,
                         cases[i].alignment);
        help_elf_end(&elf);
        says(cases[i].name, cases[i].refused ? FT_EMALFORMED : 0, cases[i].refused ? cases[i].name + 1 : OK);
    }
    help_elf_begin(&elf);
    help_elf_section(&elf, "", SHT_NOBITS, DATA, NULL, 16, 8);
    help_elf_end(&elf);
    says("a section without a name", FT_EMALFORMED, "has a variable \"\"");
}

static void make_import(const char *name)
{
    const struct help_symbol list[] = {{name, STT_FUNC, SHN_UNDEF}};

    help_elf_begin(&elf);
    help_elf_symbols(&elf, SHT_SYMTAB, list, 0); /* not stripped */
    help_elf_symbols(&elf, SHT_DYNSYM, list, 1);
    help_elf_end(&elf);
}

/* Also under the names that a compiler takes where it knows a buffer's size. */
TEST(what_a_module_takes_is_told_by_name)
{
    static const char *const refused[] = {"rand",           "drand48",     "lrand48_r",    "clock_gettime",
                                          "pthread_create", "fork",        "exit",         "_exit",
                                          "_Exit",          "quick_exit",  "pthread_exit", "thrd_exit",
                                          "errx",           "sigprocmask", "kill",         "raise"};
    static const char *const warned[] = {
        "malloc",  "read",  "__read_chk",     "__recv_chk", "__poll_chk",
        "syscall", "dlsym", "__asprintf_chk", "dlopen",     "pthread_mutex_lock"};
    static const char *const passed[] = {"memcpy", "nf_map_find", "__memcpy_chk",
                                         "__chk",  "reader",      "__rand"};

    for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        make_import(refused[i]);
        says(refused[i], FT_EMALFORMED, help_print("module m.so takes \"%s\", expected ", refused[i]));
        assert_int_equal(judge_elf(true), 0);
        assert_string_equal(said, "");
    }
    for (unsigned i = 0; i < sizeof(warned) / sizeof(warned[0]); i++) {
        make_import(warned[i]);
        says(warned[i], 0, help_print("m.so: warning: takes \"%s\", expected ", warned[i]));
    }
    for (unsigned i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        make_import(passed[i]);
        says(passed[i], 0, OK);
    }
}

TEST(a_library_that_it_needs_is_told)
{
    static const char *const libraries[] = {"libc.so.6", "libluck.so"};

    help_elf_begin(&elf);
    help_elf_needs(&elf, libraries, 2);
    help_elf_end(&elf);
    says("libluck", 0, "m.so: warning: needs \"libluck.so\", expected no library but libc");
    help_elf_begin(&elf);
    help_elf_needs(&elf, libraries, 1);
    help_elf_end(&elf);
    says("libc", 0, OK);
}

/* What cannot be read is refused, not passed over: each field of the head and of a table of symbols. */
TEST(a_file_that_cannot_be_read_is_refused)
{
    Elf64_Ehdr *head = (Elf64_Ehdr *)(void *)elf.bytes;
    Elf64_Shdr *symbols;

#define SPOILED(field, value)                                                                                \
    do {                                                                                                     \
        make_variable("nf.c", "seen", STT_OBJECT, ".bss", DATA);                                             \
        symbols = (Elf64_Shdr *)(void *)(elf.bytes + head->e_shoff) + 2;                                     \
        field = value;                                                                                       \
        says(#field, FT_EIO, "module m.so cannot be read, expected an ELF file");                            \
    } while (0)
    SPOILED(head->e_ident[0], 0);
    SPOILED(head->e_ident[EI_CLASS], ELFCLASS32);
    SPOILED(head->e_shentsize, 40);
    SPOILED(head->e_shoff, head->e_shoff + 1);
    SPOILED(head->e_shoff, UINT64_MAX - 7);
    SPOILED(head->e_shnum, 0);
    SPOILED(head->e_shnum, 0xffff);
    SPOILED(head->e_shstrndx, 0xffff);
    SPOILED(symbols->sh_offset, symbols->sh_offset + 1);
    SPOILED(symbols->sh_offset, elf.len);
    SPOILED(symbols->sh_size, UINT64_MAX);
    SPOILED(symbols->sh_link, 0xffff);
    SPOILED(elf.len, 63);
    SPOILED(elf.len, 0);
#undef SPOILED
    make_variable("nf.c", "seen", STT_OBJECT, ".bss", DATA);
    elf.len -= 1;
    says("a byte less", FT_EIO, "cannot be read");
}

TEST(a_name_that_is_none_is_empty)
{
    Elf64_Shdr *names;

    make_variable("nf.c", "seen", STT_OBJECT, ".bss", DATA);
    names = (Elf64_Shdr *)(void *)(elf.bytes + ((Elf64_Ehdr *)(void *)elf.bytes)->e_shoff) + 3;
    names->sh_size = 2; /* of the symbols: nothing ends there */
    says("names", FT_EMALFORMED, "has a variable \"\"");
}

/* Not even where the first section, which is none, says that it is written to. */
TEST(a_symbol_of_no_section_is_no_variable)
{
    Elf64_Shdr *sections;

    make_variable("nf.c", "seen", STT_OBJECT, ".bss", DATA);
    sections = (Elf64_Shdr *)(void *)(elf.bytes + ((Elf64_Ehdr *)(void *)elf.bytes)->e_shoff);
    sections[0].sh_flags = DATA;
    ((Elf64_Sym *)(void *)(elf.bytes + sections[2].sh_offset))[2].st_shndx = 0xff00;
    says("section 0xff00", 0, OK);
}

static bool loads_as_cut(const char *path)
{
    struct ft_fault fault = {""};

    return nd_module_load(path, &fault) == FT_EMALFORMED && strstr(fault.text, "is cut short");
}

/* Who maps such a file dies of the pages behind its end: the loader does not look. */
TEST(a_file_that_is_cut_short_is_known)
{
    static uint8_t whole[1 << 24];
    char name[] = "/tmp/module-XXXXXX";
    FILE *self = fopen("/proc/self/exe", "re");
    int fd = mkstemp(name);
    size_t size;

    assert_non_null(self);
    size = fread(whole, 1, sizeof(whole), self);
    fclose(self);
    assert_true(size > 65536 && fd >= 0);
    assert_false(loads_as_cut("/proc/self/exe"));
    assert_int_equal(write(fd, whole, 8192), 8192);
    assert_true(loads_as_cut(name));
    assert_int_equal(ftruncate(fd, 80), 0);
    assert_true(loads_as_cut(name));
    assert_int_equal(ftruncate(fd, 20), 0); /* nothing to be mapped: the loader says so */
    assert_false(loads_as_cut(name));
    close(fd);
    unlink(name);
}
