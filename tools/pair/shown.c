/* SPDX-License-Identifier: Apache-2.0 */
/* See shown.h. */
#include "tools/pair/shown.h"

#include <stdlib.h>

#define PAGE_BYTES (256u << 10)

int nd_shown_add(json_t *rows, const struct nf_chain *chain, const char *name, unsigned lane, unsigned lanes,
                 struct ft_fault *fault)
{
    const struct nf *nf = nf_chain_find(chain, name);
    char *page = malloc(PAGE_BYTES);
    int error = page ? 0 : ft_fail(fault, FT_ENOMEM, "no memory for what '%s' shows", name);
    bool more = nf->module->show != NULL;
    uint64_t cursor = 0;

    while (!error && more) {
        struct nf_show *out = nf_show_begin(page, PAGE_BYTES);
        json_t *some, *row;
        json_error_t why;
        size_t i;

        if (!out) {
            error = ft_fail(fault, FT_ENOMEM, "no memory for what '%s' shows", name);
            break;
        }
        more = nf->module->show(nf, out, &cursor);
        some = json_loadb(page, nf_show_end(out), 0, &why);
        if (!some)
            error = ft_fail(fault, FT_EMALFORMED, "NF '%s' shows what is no JSON in lane %u: %.120s", name,
                            lane, why.text);
        json_array_foreach(some, i, row) if (lanes > 1) json_object_set_new(row, "lane", json_integer(lane));
        json_array_extend(rows, some);
        json_decref(some);
    }
    free(page);
    return error;
}

void nd_shown_print_one(json_t *row, const char *before, FILE *out)
{
    const char *name, *space = "";
    json_t *value;

    fputs(before, out);
    json_object_foreach(row, name, value)
    {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);

        fprintf(out, "%s%s=%s", space, name, text ? text : json_string_value(value));
        free(text);
        space = " ";
    }
    fputc('\n', out);
}

void nd_shown_print(const json_t *rows, const char *name, FILE *out)
{
    json_t *row;
    size_t i;

    fprintf(out, "%s\n", name);
    json_array_foreach(rows, i, row) nd_shown_print_one(row, "  ", out);
}
