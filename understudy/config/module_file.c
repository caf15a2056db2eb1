/* SPDX-License-Identifier: Apache-2.0 */
/* Looks into the ELF file of a module; see module_file.h. Run by whoever reads a configuration, and by `nfs`.
 */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "understudy/config/module_file.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/trust.h"
#include "nflib/module/module.h"
#include "understudy/base/process.h"
#include "understudy/base/text.h"
#include "understudy/config/options.h"

#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a library has, and what an NF uses in its place. The rules are numbered as in docs/writing-an-nf.md.
 */
static const struct foreign {
    const char *names; /* a blank before each and behind the last; * stands for anything */
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
    {" exit _exit _Exit quick_exit pthread_exit thrd_exit err errx verr verrx error error_at_line daemon "
     "kill raise tgkill pthread_kill sigprocmask pthread_sigmask sigaltstack alarm ualarm setitimer ",
     true, "a drop with a counter, or abort, whose crash report names the NF"},
    {" malloc calloc realloc reallocarray aligned_alloc posix_memalign free strdup strndup mmap munmap brk "
     "sbrk "
     "asprintf ",
     false, "memory of the arena, except in `check` and `release` (rule 1)"},
    {" dlopen dlmopen dlsym dlvsym ", false,
     "no library but libc: nothing looks at what that one takes and keeps"},
    {" sleep usleep nanosleep clock_nanosleep select pselect poll ppoll epoll_wait pause sched_yield "
     "pthread_mutex_* pthread_rwlock_* pthread_cond_* pthread_spin_* sem_* mtx_* cnd_* ",
     false, "an NF that waits for nothing (rule 3)"},
    {" open open64 openat fopen fopen64 read pread fread fgets getline socket connect accept recv recvfrom "
     "recvmsg "
     "getenv secure_getenv getpid gettid gethostname sysconf ioctl opendir syscall localtime* mktime ",
     false, "nf_determinant of what comes from outside, except in `check` (rule 3)"},
};

/* What the library does nothing for, or fails at, where no NF of the file declares it. */
#define FIELD(member) offsetof(struct nf_module, member), sizeof(((struct nf_module *)0)->member)
static const struct need {
    const char *names; /* as above */
    size_t field, size;
    bool refused; /* it would end the node; else a warning */
    const char *declares;
} needs[] = {
    {" nf_session_join nf_session_leave ", FIELD(session_size), true,
     ".session_size, the bytes of its slot in a session"},
    {" nf_session_join nf_session_leave ", FIELD(flows), true, ".flows, what it asks of the sessions' table"},
    {" nf_map_make nf_wheel_make nf_shared_pool_make nf_merged_make ", FIELD(arena), false,
     ".arena, the bytes of the instance's objects"},
    {" nf_shared_*_make nf_merged_make ", FIELD(shared), false,
     ".shared, the bytes of the objects that lanes share"},
    {" nf_wake nf_wheel_set ", FIELD(timers), false, ".timers, which is called when the time has come"},
    {" nf_packet_set_source nf_packet_set_destination nf_packet_set_*addr nf_packet_set_*port ",
     FIELD(translates), false, ".translates, the ends of a flow that it changes"},
    {" nf_session_view_ipv6 ", FIELD(ipv6), false, ".ipv6, without which no flow of IPv6 comes"},
};
#undef FIELD

/* What a library draws a seed from, or reads a clock by, for itself. */
#define DRAWS 2u /* the first two of `foreign` */

/* Of the compiler's and the linker's own, in every object. An NF may have a variable `completed` as well. */
static const char own[] = " __dso_handle __TMC_END__ _edata _end __bss_start ";
static const char compilers_file[] = "crtstuff.c", compilers_own[] = "completed.";

/* Those that are looked through no further: what is in them is above. */
static const char known[] = " libc.so.6 libm.so.6 libgcc_s.so.1 ld-linux-x86-64.so.2 ld-linux-aarch64.so.1 ";

/* ---- ELF ----------------------------------------------------------------------------------------- */

/* An ELF file, 64 bits, read without trust: whatever it claims, nothing outside its bytes is touched. */
struct elf_file {
    const uint8_t *bytes;
    size_t size;
    const Elf64_Ehdr *head;
    const Elf64_Shdr *sections; /* [head->e_shnum] */
};

static const void *find_bytes(const struct elf_file *f, uint64_t at, uint64_t size)
{
    return at <= f->size && size <= f->size - at ? f->bytes + at : NULL;
}

/* The same of structs, which lie at multiples of 8. */
static const void *find_structs(const struct elf_file *f, uint64_t at, uint64_t size)
{
    return at % 8 == 0 ? find_bytes(f, at, size) : NULL;
}

static bool read_elf(struct elf_file *f, const void *bytes, size_t size)
{
    *f = (struct elf_file){.bytes = bytes, .size = size};
    f->head = find_structs(f, 0, sizeof(*f->head));
    if (!f->head || memcmp(f->head->e_ident, ELFMAG, SELFMAG) != 0 ||
        f->head->e_ident[EI_CLASS] != ELFCLASS64 || f->head->e_shentsize != sizeof(*f->sections))
        return false;
    f->sections = find_structs(f, f->head->e_shoff, (uint64_t)f->head->e_shnum * sizeof(*f->sections));
    return f->sections && f->head->e_shstrndx < f->head->e_shnum;
}

static void close_elf(struct elf_file *f)
{
    munmap((void *)(uintptr_t)f->bytes, f->size);
}

static bool map_file(struct elf_file *f, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *bytes = MAP_FAILED;
    struct stat is;

    if (fd >= 0 && fstat(fd, &is) == 0 && is.st_size > 0)
        bytes = mmap(NULL, (size_t)is.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (bytes != MAP_FAILED)
        *f = (struct elf_file){.bytes = bytes, .size = (size_t)is.st_size};
    return bytes != MAP_FAILED;
}

/* False, with nothing to close: it cannot be read, or is no such file. */
static bool open_elf(struct elf_file *f, const char *path)
{
    if (!map_file(f, path))
        return false;
    if (read_elf(f, f->bytes, f->size))
        return true;
    close_elf(f);
    return false;
}

/* It begins as such a file, and what it declares for loading is not all there: a process that maps it dies of
 * that.
 */
static bool is_cut(const struct elf_file *f)
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

/* A section's structs, whose number goes to *count; NULL and 0 when they do not lie within the file. */
static const void *find_table(const struct elf_file *f, const Elf64_Shdr *s, size_t size, size_t *count)
{
    const void *at = find_structs(f, s->sh_offset, s->sh_size);

    *count = at ? s->sh_size / size : 0;
    return at;
}

/* The text at `at` of a section of texts, by its number; "" where there is none that ends within it. */
static const char *text_at(const struct elf_file *f, uint32_t section, uint64_t at)
{
    const Elf64_Shdr *s = section < f->head->e_shnum ? &f->sections[section] : NULL;
    const char *all = s ? find_bytes(f, s->sh_offset, s->sh_size) : NULL;

    return all && at < s->sh_size && memchr(all + at, '\0', s->sh_size - at) ? all + at : "";
}

struct object {
    const char *path;
    const struct elf_file *file;
    bool unreplayable, heap, quiet; /* heap: all its NFs declare one */
    struct ft_fault *fault;
};

/* ---- the file ------------------------------------------------------------------------------------ */

static int refuse_unreadable(const struct object *o)
{
    return ft_fail(o->fault, FT_EIO, "module %.120s cannot be read, expected an ELF file", o->path);
}

static const char *name_of(const struct object *o, const Elf64_Shdr *s)
{
    return text_at(o->file, o->file->head->e_shstrndx, s->sh_name);
}

/* ---- what is printed -------------------------------------------------------------------------------- */

static int warn(const struct object *o, const char *what, const char *name, const char *expected)
{
    char shown[61];

    if (!o->quiet)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_START, "%s: warning: %s\"%s\", expected %s", o->path, what,
                     nd_printable(name, shown, sizeof(shown)), expected);
    return 0;
}

static int refuse(const struct object *o, const char *what, const char *name, const char *expected)
{
    char shown[61];

    return ft_fail(o->fault, FT_EMALFORMED, "module %.120s %s\"%s\", expected %s", o->path, what,
                   nd_printable(name, shown, sizeof(shown)), expected);
}

static bool is_in(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = list; (at = strchr(at, ' ')) && at[1]; at++) {
        const char *word = at + 1, *end = strchr(word, ' ');
        size_t n = (size_t)(end - word);
        const char *star = memchr(word, '*', n);
        size_t before = star ? (size_t)(star - word) : n, behind = star ? n - before - 1 : 0;

        if ((star ? len >= n - 1 : len == n) && strncmp(word, name, before) == 0 &&
            strncmp(end - behind, name + len - behind, behind) == 0)
            return true;
    }
    return false;
}

/* ---- what it takes ------------------------------------------------------------------------------- */

/* The next NF of the file, from *at on. */
static const struct nf_module *next_nf(const char *path, unsigned *at)
{
    const struct nf_module *module;
    struct nf_object_file file;

    while ((module = nf_module_at((*at)++)))
        if (nf_object_file_of(&file, module) && strcmp(file.path, path) == 0)
            return module;
    return NULL;
}

static bool is_declared(const struct object *o, const struct need *n)
{
    static const uint8_t nothing[sizeof(void *)];
    const struct nf_module *module;

    for (unsigned at = 0; (module = next_nf(o->path, &at));)
        if (memcmp((const uint8_t *)module + n->field, nothing, n->size) != 0)
            return true;
    return false;
}

static int judge_needs(const struct object *o, const char *name)
{
    int error = 0;

    for (unsigned i = 0; i < sizeof(needs) / sizeof(needs[0]) && !error; i++)
        if (is_in(needs[i].names, name) && !is_declared(o, &needs[i]))
            error = (needs[i].refused ? refuse : warn)(o, "takes ", name, needs[i].declares);
    return error;
}

/* "read" of __read_chk, which takes its place where the compiler knows the buffer's size. */
static bool is_import(const char *list, const char *name)
{
    char plain[64];
    size_t len = strlen(name);

    if (is_in(list, name))
        return true;
    if (len < 7 || len >= sizeof(plain) || strncmp(name, "__", 2) != 0 || strcmp(name + len - 4, "_chk") != 0)
        return false;
    snprintf(plain, sizeof(plain), "%.*s", (int)len - 6, name + 2);
    return is_in(list, plain);
}

static int judge_import(const struct object *o, const char *name)
{
    for (unsigned i = 0; i < sizeof(foreign) / sizeof(foreign[0]) && !o->unreplayable; i++) {
        if (!is_import(foreign[i].names, name) || (o->heap && !foreign[i].refused))
            continue;
        return (foreign[i].refused ? refuse : warn)(o, "takes ", name, foreign[i].instead);
    }
    return judge_needs(o, name);
}

/* Where the loader has found a library of that name. */
struct library {
    const char *name;
    char path[4096];
};
static int note_path(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct library *of = arg;
    const char *last = strrchr(info->dlpi_name, '/');

    (void)size;
    if (!last || strcmp(last + 1, of->name) != 0)
        return 0;
    snprintf(of->path, sizeof(of->path), "%s", info->dlpi_name);
    return 1;
}

/* What the library takes for a seed of its own, or the time; "" if nothing is seen. */
static void find_draw(const char *library, char out[64])
{
    struct library of = {.name = library};
    struct elf_file f;

    out[0] = '\0';
    if (!dl_iterate_phdr(note_path, &of) || !open_elf(&f, of.path))
        return;
    for (unsigned i = 0; i < f.head->e_shnum; i++) {
        size_t count = 0;
        const Elf64_Sym *list = f.sections[i].sh_type == SHT_DYNSYM
                                    ? find_table(&f, &f.sections[i], sizeof(*list), &count)
                                    : NULL;

        for (size_t at = 1; at < count && !out[0]; at++) {
            const char *name = text_at(&f, f.sections[i].sh_link, list[at].st_name);

            for (unsigned k = 0; k < DRAWS && list[at].st_shndx == SHN_UNDEF && !out[0]; k++)
                if (is_import(foreign[k].names, name))
                    snprintf(out, 64, "%s", name);
        }
    }
    close_elf(&f);
}

/* An NF of the file has declared that somebody has looked at it. */
static bool is_looked_at(const struct object *o, const char *library)
{
    const struct nf_module *module;

    for (unsigned at = 0; (module = next_nf(o->path, &at));)
        if (module->libraries && is_in(module->libraries, library))
            return true;
    return false;
}

/* Nothing of a library is judged: what it does is its own. But a warning names it, and a seed that is another
 * one on the standby, unless the NF sets it. */
static void judge_library(const struct object *o, const char *name)
{
    char draw[64], expected[256];

    if (is_in(known, name) || o->unreplayable || is_looked_at(o, name))
        return;
    find_draw(name, draw);
    snprintf(expected, sizeof(expected),
             "%s%s%sno library but libc, and those that .libraries names: nothing looks at what that one "
             "takes and keeps",
             draw[0] ? "a seed and a clock that the NF sets (it takes " : "", draw, draw[0] ? "); " : "");
    warn(o, "needs ", name, expected);
}

static int judge_needed(const struct object *o, const Elf64_Shdr *s)
{
    size_t count;
    const Elf64_Dyn *list = find_table(o->file, s, sizeof(*list), &count);

    if (!list)
        return refuse_unreadable(o);
    for (size_t i = 0; i < count && list[i].d_tag != DT_NULL; i++) {
        const char *name = text_at(o->file, s->sh_link, list[i].d_un.d_val);

        if (list[i].d_tag == DT_NEEDED)
            judge_library(o, name);
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
    if (is_in(own, plain) || o->heap)
        return 0;
    return (o->unreplayable ? warn : refuse)(
        o, strncmp(section, ".t", 2) == 0 ? "has a thread's variable " : "has a variable ", plain,
        "state in the arena, and `const` for what never changes (rule 1)");
}

/* `file`: the source that a local symbol is of. */
static bool is_variable(const struct object *o, const Elf64_Sym *symbol, const char *name, const char *file)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    const Elf64_Shdr *in;

    if (symbol->st_shndx >= o->file->head->e_shnum)
        return false;
    in = &o->file->sections[symbol->st_shndx];
    if (strcmp(file, compilers_file) == 0 && strncmp(name, compilers_own, strlen(compilers_own)) == 0)
        return false;
    return (type == STT_OBJECT || type == STT_TLS || type == STT_NOTYPE) && in->sh_flags & SHF_WRITE &&
           !is_loaders(name_of(o, in));
}

static int judge_symbols(const struct object *o, const Elf64_Shdr *s)
{
    size_t count;
    const Elf64_Sym *list = find_table(o->file, s, sizeof(*list), &count);
    const char *file = "";
    int error = 0;

    if (!list || s->sh_link >= o->file->head->e_shnum)
        return refuse_unreadable(o);
    for (size_t i = 1; i < count && !error; i++) {
        const char *name = text_at(o->file, s->sh_link, list[i].st_name);

        if (ELF64_ST_TYPE(list[i].st_info) == STT_FILE)
            file = name; /* of the local symbols that follow */
        else if (list[i].st_shndx == SHN_UNDEF && s->sh_type == SHT_DYNSYM)
            error = judge_import(o, name);
        else if (is_variable(o, &list[i], name, file))
            error = judge_variable(o, name, name_of(o, &o->file->sections[list[i].st_shndx]));
    }
    return error;
}

/* More than the compiler's own, which is a byte of .bss, filled up to 8, and 8 bytes of .data. */
static bool has_more(const Elf64_Shdr *s)
{
    return s->sh_size > (s->sh_flags & SHF_TLS ? 0 : 8) || (s->sh_type == SHT_NOBITS && s->sh_addralign > 1);
}

/* Without a symbol table only the sections show it. */
static int judge_stripped(const struct object *o)
{
    for (unsigned i = 0; i < o->file->head->e_shnum; i++)
        if (o->file->sections[i].sh_type == SHT_SYMTAB)
            return 0;
    for (unsigned i = 0; i < o->file->head->e_shnum; i++) {
        const Elf64_Shdr *s = &o->file->sections[i];
        const char *name = name_of(o, s);

        if (s->sh_flags & SHF_WRITE && s->sh_flags & SHF_ALLOC && !is_loaders(name) && has_more(s))
            return judge_variable(o, name + (*name == '.'), name);
    }
    return 0;
}

static int judge(const struct object *o)
{
    int error = judge_stripped(o);

    for (unsigned i = 0; i < o->file->head->e_shnum && !error; i++) {
        const Elf64_Shdr *s = &o->file->sections[i];

        if (s->sh_type == SHT_SYMTAB || s->sh_type == SHT_DYNSYM)
            error = judge_symbols(o, s);
        else if (s->sh_type == SHT_DYNAMIC)
            error = judge_needed(o, s);
    }
    return error;
}

/* `why`: of a function that the program does not have. The one that registers an NF has the number of the
 * interface in its name; before release 0.3 it had none. */
static int refuse_api(const char *path, const char *why, struct ft_fault *fault)
{
    static const char registers[] = "nf_module_register";
    const char *name = strstr(why, registers);
    unsigned built = 1;

    if (!name)
        return ft_fail(fault, FT_EMALFORMED,
                       "cannot load the module (%.120s takes %.*s, which NF_API %d does not have), expected "
                       "it mended as docs/writing-an-nf.md says",
                       path, (int)strcspn(strstr(why, "nf_"), " \n"), strstr(why, "nf_"), NF_API);
    sscanf(name + strlen(registers), "_%u", &built);
    return ft_fail(fault, FT_EMALFORMED,
                   "cannot load the module (%.120s is built for NF_API %u, this program has %d), expected it "
                   "built anew, and mended as docs/writing-an-nf.md says",
                   path, built, NF_API);
}

/* By its name: dlopen would know another file by the number of a descriptor that is used again. The name
 * leads to the file that was judged, since nobody who is not believed can exchange what it goes through. */
int nd_module_load(const char *path, struct ft_fault *fault)
{
    static const struct ft_trust trust = {.expected = "a shared object with NFs"};
    int fd = ft_trust_open(path, &trust, fault);
    struct elf_file file;
    bool cut = false;
    const char *why;

    if (fd < 0)
        return errno
                   ? ft_fail(fault, fd,
                             "cannot load the module (%.120s: cannot open shared object file: %s), expected "
                             "a shared object with NFs",
                             path, strerror(errno))
                   : fd;
    close(fd);
    if (map_file(&file, path)) {
        cut = is_cut(&file);
        close_elf(&file);
    }
    if (cut)
        return ft_fail(fault, FT_EMALFORMED,
                       "cannot load the module (%.120s is cut short), expected all of it", path);
    if (dlopen(path, RTLD_NOW | RTLD_LOCAL)) /* stays: its NFs are registered for good */
        return 0;
    why = dlerror();
    if (!why)
        why = "unknown reason";
    if (strstr(why, "undefined symbol: nf_"))
        return refuse_api(path, strstr(why, "undefined symbol: nf_"), fault);
    return ft_fail(fault, FT_EMALFORMED, "cannot load the module (%.*s), expected a shared object with NFs",
                   (int)(strcspn(why, "\n") < 159 ? strcspn(why, "\n") : 159), why);
}

int nd_module_file_check(const char *path, bool quiet, struct ft_fault *fault)
{
    struct elf_file file;
    struct object o = {
        .path = path, .file = &file, .unreplayable = true, .heap = true, .quiet = quiet, .fault = fault};
    const struct nf_module *module;
    bool any = false;
    int error;

    for (unsigned at = 0; (module = next_nf(path, &at)); any = true)
        o.unreplayable &= module->unreplayable, o.heap &= module->heap != NULL;
    if (!any)
        return 0;
    if (!open_elf(&file, path))
        return refuse_unreadable(&o);
    error = judge(&o);
    close_elf(&file);
    return error;
}

static int is_module(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
}

void nd_modules_load_installed(const char *command)
{
    struct dirent **entries;
    char path[1024];
    int n =
        nd_installed(ND_MODULES, "", path, sizeof(path)) ? scandir(path, &entries, is_module, alphasort) : -1;

    for (int i = 0; i < n; i++) {
        struct ft_fault fault;

        if (nd_installed(ND_MODULES, entries[i]->d_name, path, sizeof(path)) && nd_module_load(path, &fault))
            nd_complain(command, fault.text);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}
