/* SPDX-License-Identifier: Apache-2.0 */
/* The list of dns_guard: reading it, and looking a name up. */
#include "nfs/dns_guard_list.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const struct dg_name *x = a, *y = b;

    return x->len != y->len ? (x->len < y->len ? -1 : 1) : memcmp(x->wire, y->wire, x->len);
}

bool dg_names_has(const struct dg_names *names, const uint8_t *name, uint32_t len)
{
    for (uint32_t at = 0; at < len && name[at]; at += 1u + name[at]) {
        struct dg_name wanted = {name + at, len - at};

        if (names->count && bsearch(&wanted, names->list, names->count, sizeof(wanted), compare))
            return true;
    }
    return false;
}

/* A domain of n letters into out[n + 2]; its length there, 0: it is none. */
static uint32_t write_wire(const char *text, size_t n, uint8_t *out)
{
    uint32_t label = 0, used = 1; /* where its length stands; where its next letter goes */

    if (n && text[n - 1] == '.')
        n--;
    if (n + 2 > DG_NAME_MAX)
        return 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && text[i] != '.') {
            if ((uint8_t)text[i] <= ' ' || (uint8_t)text[i] > '~')
                return 0;
            out[used++] = (uint8_t)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
            continue;
        }
        if (used - label - 1 < 1 || used - label - 1 > DG_LABEL_MAX)
            return 0;
        out[label] = (uint8_t)(used - label - 1);
        label = used++;
    }
    out[label] = 0;
    return used;
}

static int read_line(struct dg_names *names, uint32_t *used, const char *text, size_t n)
{
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t' || text[n - 1] == '\r'))
        n--;
    for (; n && (*text == ' ' || *text == '\t'); n--)
        text++;
    if (!n)
        return 0;
    struct dg_name *name = &names->list[names->count];

    name->wire = names->wires + *used;
    name->len = write_wire(text, n, names->wires + *used);
    *used += name->len;
    names->count += name->len != 0;
    return name->len ? 0 : FT_EINVAL;
}

static uint32_t count_lines(const struct nf_file *file)
{
    uint32_t lines = 1;

    for (uint32_t i = 0; i < file->len; i++)
        lines += file->bytes[i] == '\n';
    return lines;
}

int dg_names_read(struct dg_names *names, const struct nf_file *file, struct ft_fault *fault)
{
    uint32_t lines = count_lines(file), used = 0, line = 1;

    *names = (struct dg_names){0};
    if (lines > DG_LIST_MAX)
        return ft_fail(fault, FT_EINVAL, "%s: %u lines, expected at most %u", file->path, lines, DG_LIST_MAX);
    names->list = nf_heap_malloc(lines * sizeof(*names->list));
    names->wires = nf_heap_malloc((uint64_t)file->len + 2ull * lines + DG_NAME_MAX);
    if (!names->list || !names->wires) {
        dg_names_free(names);
        return ft_fail(fault, FT_ENOMEM, "%s: no memory for %u lines", file->path, lines);
    }
    for (uint32_t at = 0; at < file->len; line++) {
        const char *text = file->bytes + at;
        const char *newline = memchr(text, '\n', file->len - at);
        uint32_t n = newline ? (uint32_t)(newline - text) : file->len - at;
        const char *comment = memchr(text, '#', n);

        if (read_line(names, &used, text, comment ? (size_t)(comment - text) : n)) {
            dg_names_free(names);
            return ft_fail(fault, FT_EINVAL, "%s:%u: \"%.*s\", expected a domain such as example.com",
                           file->path, line, (int)(n < 80 ? n : 80), text);
        }
        at += n + 1;
    }
    qsort(names->list, names->count, sizeof(*names->list), compare);
    return 0;
}

void dg_names_free(struct dg_names *names)
{
    nf_heap_free(names->list);
    nf_heap_free(names->wires);
    *names = (struct dg_names){0};
}
