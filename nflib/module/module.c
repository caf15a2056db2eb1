/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the registry of NF modules: a table of pointers sorted by name. Written by constructors before main
 * and while shared objects are loaded (one thread); read by the configuration and by `show`. Owns the text of
 * a `show` as well: rows as a JSON array in the caller's buffer, written by NFs through nf_row_*, read by the
 * control side after nf_show_end. A row is whole or absent: one that does not fit is taken back.
 */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "nflib/module/module.h"
#include "ftcore/base/event_log.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULES_MAX 64u

static const struct nf_module *modules[MODULES_MAX];
static unsigned module_count;

/* Runs before main, or when the file is read: the complaint goes to stderr at once, the module is left out
 * and the configuration names it. */
void nf_module_register(const struct nf_module *module)
{
    unsigned at = 0;
    while (at < module_count && strcmp(modules[at]->name, module->name) < 0)
        at++;
    if (at < module_count && modules[at] == module)
        return;
    if (module_count == MODULES_MAX || (at < module_count && strcmp(modules[at]->name, module->name) == 0)) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "nf %s: left out: %s", module->name,
                     module_count == MODULES_MAX ? "too many modules" : "another module has this name");
        return;
    }
    for (unsigned i = module_count; i > at; i--)
        modules[i] = modules[i - 1];
    modules[at] = module;
    module_count++;
}

void nf_module_forget(const struct nf_module *module)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < module_count; i++)
        if (modules[i] != module)
            modules[kept++] = modules[i];
    module_count = kept;
}

const struct nf_module *nf_module_find(const char *name)
{
    for (unsigned i = 0; i < module_count; i++)
        if (strcmp(modules[i]->name, name) == 0)
            return modules[i];
    return NULL;
}

const struct nf_module *nf_module_at(unsigned index)
{
    return index < module_count ? modules[index] : NULL;
}

bool nf_networks_has6(const struct nf_networks *set, const uint8_t addr[16])
{
    for (uint32_t i = 0; i < set->count; i++)
        if (nf_ipv6_in_prefix(addr, set->ipv6[i].addr, set->ipv6[i].bits))
            return true;
    return false;
}

bool nf_prefixes_has(const struct nf_prefixes *set, uint32_t addr)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (((addr ^ set->list[i].addr) & set->list[i].mask) == 0)
            return true;
    return false;
}

bool nf_number64_parse(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    size_t n = strlen(text);

    if (!n || n > 13 || strspn(text, "0123456789") != n)
        return false;
    *out = strtoull(text, NULL, 10);
    return *out >= least && *out <= most;
}

/* ---- where a module was loaded from ----------------------------------------------------- */

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
    first &= ~(PAGE - 1);
    s->out->all = (struct nf_segment){(uint8_t *)first, ((last + PAGE - 1) & ~(PAGE - 1)) - first};
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

/* ---- showing ------------------------------------------------------------------------------------- */

#define ROW_ROOM 2048u /* nf_show_full is true unless a row of this size fits */
#define TAIL     3u    /* closing brace, closing bracket, NUL */

struct nf_show {
    char *out;
    uint32_t cap, len;
    uint32_t row;    /* where the open row begins, its comma included */
    uint32_t fields; /* in the open row */
    bool open;
    bool lost; /* the open row does not fit */
    bool full; /* a row was taken back */
};

struct nf_show *nf_show_begin(char *out, uint32_t cap)
{
    if (cap < 1 + TAIL)
        return NULL;
    struct nf_show *show = calloc(1, sizeof(*show));
    if (!show)
        return NULL;
    show->out = out;
    show->cap = cap;
    show->out[show->len++] = '[';
    return show;
}

static void put_bytes(struct nf_show *show, const char *text, uint32_t len)
{
    if (show->lost || show->cap - show->len < len + TAIL) {
        show->lost = true;
        return;
    }
    memcpy(show->out + show->len, text, len);
    show->len += len;
}

static void close_row(struct nf_show *show)
{
    if (show->open && show->lost) {
        show->len = show->row;
        show->full = true;
    } else if (show->open) {
        show->out[show->len++] = '}';
    }
    show->open = show->lost = false;
    show->fields = 0;
}

uint32_t nf_show_end(struct nf_show *show)
{
    close_row(show);
    show->out[show->len++] = ']';
    show->out[show->len] = 0;
    uint32_t len = show->len;
    free(show);
    return len;
}

bool nf_show_full(const struct nf_show *show)
{
    uint32_t room = show->cap / 4 < ROW_ROOM ? show->cap / 4 : ROW_ROOM;
    return show->full || show->lost || show->cap - show->len < room + TAIL;
}

void nf_row(struct nf_show *show)
{
    close_row(show);
    show->row = show->len;
    show->open = true;
    if (show->len > 1)
        put_bytes(show, ",", 1);
    put_bytes(show, "{", 1);
}

static void put_name(struct nf_show *show, const char *name)
{
    FT_CHECK(show->open, "field %s outside a row", name);
    if (show->fields++)
        put_bytes(show, ",", 1);
    put_bytes(show, "\"", 1);
    put_bytes(show, name, (uint32_t)strlen(name));
    put_bytes(show, "\":", 2);
}

/* Bytes that are not printable ASCII become \u00XX, so any bytes make valid JSON. */
static void put_escaped(struct nf_show *show, const char *text)
{
    put_bytes(show, "\"", 1);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        char esc[8];
        if (*c == '"' || *c == '\\')
            put_bytes(show, (char[]){'\\', (char)*c}, 2);
        else if (*c < 0x20 || *c >= 0x7f)
            put_bytes(show, esc, (uint32_t)snprintf(esc, sizeof(esc), "\\u%04x", *c));
        else
            put_bytes(show, (const char *)c, 1);
    }
    put_bytes(show, "\"", 1);
}

void nf_row_text(struct nf_show *show, const char *name, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    put_name(show, name);
    put_escaped(show, text);
}

void nf_row_u64(struct nf_show *show, const char *name, uint64_t value)
{
    char text[24];
    put_name(show, name);
    put_bytes(show, text, (uint32_t)snprintf(text, sizeof(text), "%" PRIu64, value));
}

void nf_row_ipv4(struct nf_show *show, const char *name, uint32_t addr)
{
    uint32_t a = ntohl(addr);
    nf_row_text(show, name, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}
