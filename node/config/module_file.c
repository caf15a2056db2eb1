/* SPDX-License-Identifier: Apache-2.0 */
/* Looks into the ELF file of a module; see module_file.h. Run by whoever reads a configuration. */
#include "node/config/module_file.h"
#include "ftcore/base/event_log.h"

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a library has, and what an NF uses in its place. The rules are numbered as in docs/writing-an-nf.md.
 */
static const struct foreign {
    const char *names; /* a blank before each and behind the last; one that ends in * is all that begin so */
    bool refused;      /* else a warning: there are places where it does no harm */
    const char *instead;
} foreign[] = {
    {" rand srand random srandom initstate setstate rand_r random_r *rand48 *rand48_r seed48 lcong48 "
     "getrandom "
     "getentropy arc4random* ",
     true, "nf_random, the same again on the standby (rule 3)"},
    {" time gettimeofday clock_gettime clock ftime times timespec_get __clock_gettime64 ", true,
     "the `now` that the NF is given (rule 3)"},
    {" pthread_create thrd_create fork vfork clone clone3 system popen posix_spawn* exec* timer_create "
     "signal "
     "sigaction ",
     true, "one thread, the lane's (rule 3)"},
    {" malloc calloc realloc reallocarray aligned_alloc posix_memalign free strdup strndup mmap munmap brk "
     "sbrk "
     "asprintf ",
     false, "memory of the arena, but in `check` and `release` (rule 1)"},
    {" sleep usleep nanosleep clock_nanosleep select pselect poll ppoll epoll_wait pause sched_yield "
     "pthread_mutex_* pthread_rwlock_* pthread_cond_* pthread_spin_* sem_* mtx_* cnd_* ",
     false, "an NF that waits for nothing (rule 3)"},
    {" open open64 openat fopen fopen64 read pread fread fgets getline socket connect accept recv recvfrom "
     "recvmsg "
     "getenv secure_getenv getpid gettid gethostname sysconf ioctl opendir ",
     false, "nf_determinant of what comes from outside, but in `check` (rule 3)"},
};

/* Of the compiler's and the linker's own, in every object. */
static const char own[] = " completed __dso_handle __TMC_END__ _edata _end __bss_start ";

/* Those that are looked through no further: what is in them is above. */
static const char known[] = " libc.so.6 libm.so.6 libgcc_s.so.1 ld-linux-x86-64.so.2 ";

struct object {
    const char *path;
    const uint8_t *bytes;
    size_t size;
    const Elf64_Ehdr *head;
    const Elf64_Shdr *sections;
    bool unreplayable, quiet;
    struct ft_fault *fault;
};

/* ---- the file ------------------------------------------------------------------------------------ */

static const void *part(const struct object *o, uint64_t at, uint64_t size)
{
    return at <= o->size && size <= o->size - at ? o->bytes + at : NULL;
}

static const char *text(const struct object *o, const Elf64_Shdr *strings, uint64_t at)
{
    const char *all = part(o, strings->sh_offset, strings->sh_size);

    return all && at < strings->sh_size && memchr(all + at, '\0', strings->sh_size - at) ? all + at : "";
}

static bool open_object(struct object *o)
{
    o->head = part(o, 0, sizeof(*o->head));
    if (!o->head || memcmp(o->head->e_ident, ELFMAG, SELFMAG) != 0 ||
        o->head->e_ident[EI_CLASS] != ELFCLASS64 || o->head->e_shentsize != sizeof(*o->sections))
        return false;
    o->sections = part(o, o->head->e_shoff, (uint64_t)o->head->e_shnum * sizeof(*o->sections));
    return o->sections && o->head->e_shstrndx < o->head->e_shnum;
}

static const char *name_of(const struct object *o, const Elf64_Shdr *s)
{
    return text(o, &o->sections[o->head->e_shstrndx], s->sh_name);
}

/* ---- what is said -------------------------------------------------------------------------------- */

static int warn(const struct object *o, const char *what, const char *name, const char *expected)
{
    if (!o->quiet)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_START, "%s: warning: %s\"%.60s\", expected %s", o->path, what,
                     name, expected);
    return 0;
}

static int refuse(const struct object *o, const char *what, const char *name, const char *expected)
{
    return ft_fail(o->fault, FT_EMALFORMED, "module %.120s %s\"%.60s\", expected %s", o->path, what, name,
                   expected);
}

static bool is_in(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = list; (at = strchr(at, ' ')) && at[1]; at++) {
        const char *word = at + 1, *end = strchr(word, ' ');
        size_t n = (size_t)(end - word);

        if (n == len && strncmp(word, name, n) == 0)
            return true;
        if (word[n - 1] == '*' && strncmp(word, name, n - 1) == 0)
            return true;
        if (word[0] == '*' && len >= n - 1 && strncmp(word + 1, name + len - (n - 1), n - 1) == 0)
            return true;
    }
    return false;
}

/* ---- what it takes ------------------------------------------------------------------------------- */

static int judge_import(const struct object *o, const char *name)
{
    for (unsigned i = 0; i < sizeof(foreign) / sizeof(foreign[0]) && !o->unreplayable; i++) {
        if (!is_in(foreign[i].names, name))
            continue;
        return foreign[i].refused ? refuse(o, "takes ", name, foreign[i].instead)
                                  : warn(o, "takes ", name, foreign[i].instead);
    }
    return 0;
}

static int judge_needed(const struct object *o, const Elf64_Shdr *s)
{
    const Elf64_Dyn *list = part(o, s->sh_offset, s->sh_size);

    for (uint64_t i = 0; list && i < s->sh_size / sizeof(*list) && list[i].d_tag != DT_NULL; i++) {
        const char *name =
            s->sh_link < o->head->e_shnum ? text(o, &o->sections[s->sh_link], list[i].d_un.d_val) : "";

        if (list[i].d_tag == DT_NEEDED && !is_in(known, name) && !o->unreplayable)
            warn(o, "needs ", name, "no library but libc: nothing looks at what that one takes and keeps");
    }
    return 0;
}

/* ---- what it keeps ------------------------------------------------------------------------------- */

/* Written to by nobody but the program's loader. */
static bool is_loaders(const char *section)
{
    static const char *const begins[] = {".data.rel.ro", ".got", ".dynamic", ".init_array", ".fini_array"};

    for (unsigned i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        if (strncmp(section, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

static int judge_variable(const struct object *o, const char *name, const char *section)
{
    char plain[64];

    /* A local static is called NAME.NUMBER. */
    snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(name, "."), name);
    if (is_in(own, plain))
        return 0;
    return (o->unreplayable ? warn : refuse)(
        o, strncmp(section, ".t", 2) == 0 ? "has a thread's variable " : "has a variable ", plain,
        "state in the arena, and `const` for what never changes (rule 1)");
}

static int judge_symbols(const struct object *o, const Elf64_Shdr *s)
{
    const Elf64_Sym *list = part(o, s->sh_offset, s->sh_size);
    int error = 0;

    if (!list || s->sh_link >= o->head->e_shnum)
        return 0;
    for (uint64_t i = 1; i < s->sh_size / sizeof(*list) && !error; i++) {
        const char *name = text(o, &o->sections[s->sh_link], list[i].st_name);
        unsigned type = ELF64_ST_TYPE(list[i].st_info);
        const Elf64_Shdr *in = list[i].st_shndx < o->head->e_shnum ? &o->sections[list[i].st_shndx] : NULL;

        if (list[i].st_shndx == SHN_UNDEF && s->sh_type == SHT_DYNSYM)
            error = judge_import(o, name);
        else if (in && (type == STT_OBJECT || type == STT_TLS) && in->sh_flags & SHF_WRITE &&
                 !is_loaders(name_of(o, in)))
            error = judge_variable(o, name, name_of(o, in));
    }
    return error;
}

/* Without a symbol table only sizes tell: of the compiler's own a section has 8 bytes at most. */
static int judge_stripped(const struct object *o)
{
    for (unsigned i = 0; i < o->head->e_shnum; i++)
        if (o->sections[i].sh_type == SHT_SYMTAB)
            return 0;
    for (unsigned i = 0; i < o->head->e_shnum; i++) {
        const Elf64_Shdr *s = &o->sections[i];

        if (s->sh_flags & SHF_WRITE && s->sh_flags & SHF_ALLOC && !is_loaders(name_of(o, s)) &&
            s->sh_size > 8)
            return judge_variable(o, name_of(o, s) + 1, name_of(o, s));
    }
    return 0;
}

static int judge(const struct object *o)
{
    int error = judge_stripped(o);

    for (unsigned i = 0; i < o->head->e_shnum && !error; i++) {
        const Elf64_Shdr *s = &o->sections[i];

        if (s->sh_type == SHT_SYMTAB || s->sh_type == SHT_DYNSYM)
            error = judge_symbols(o, s);
        else if (s->sh_type == SHT_DYNAMIC)
            error = judge_needed(o, s);
    }
    return error;
}

/* A file is looked at each time that a configuration names it; its warnings are told once. */
static bool was_told(const char *path)
{
    static char told[16][256];
    static unsigned count;

    for (unsigned i = 0; i < count; i++)
        if (strcmp(told[i], path) == 0)
            return true;
    if (count < sizeof(told) / sizeof(told[0]))
        snprintf(told[count++], sizeof(told[0]), "%s", path);
    return false;
}

int nd_module_file_check(const char *path, bool unreplayable, struct ft_fault *fault)
{
    struct object o = {.path = path, .unreplayable = unreplayable, .quiet = was_told(path), .fault = fault};
    int fd = open(path, O_RDONLY | O_CLOEXEC), error = FT_EIO;
    struct stat is;
    void *bytes = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &is) == 0 && is.st_size > 0)
        bytes = mmap(NULL, (size_t)is.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes != MAP_FAILED) {
        o.bytes = bytes;
        o.size = (size_t)is.st_size;
        error = open_object(&o) ? judge(&o) : FT_EIO;
        munmap(bytes, o.size);
    }
    if (fd >= 0)
        close(fd);
    return error != FT_EIO
               ? error
               : ft_fail(fault, FT_EIO, "module %.120s cannot be read, expected an ELF file", path);
}
