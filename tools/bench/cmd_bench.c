/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy bench: what protection costs while nothing fails. Interfaces of the file are not used: the chain
 * is a wire between two ports, as in the replay tool.
 */
#include "tools/bench/bench.h"
#include "node/control/commands.h"
#include "node/control/options.h"
#include "tools/pair/child.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHAIN_DEFAULT "nfs/chains/balanced.yaml"

struct bench {
    struct nd_bench_options options;
    struct nd_config *config;
    struct nd_load load;
    struct nd_bench_row *rows;
    unsigned count;
};

/* Rows for what --compare names. `off` is part of every pair, so its row is filled from theirs. */
static int read_list(struct bench *b)
{
    char list[512], *rest = list, *name;
    struct ft_fault fault;

    if (strlen(b->options.compare) >= sizeof(list))
        return nd_usage("bench", "--compare of %zu bytes, expected fewer than %zu",
                        strlen(b->options.compare), sizeof(list));
    snprintf(list, sizeof(list), "%s", b->options.compare);
    while ((name = strsep(&rest, ","))) {
        struct nd_bench_row *row = &b->rows[b->count];
        int error;

        if (b->count == ND_BENCH_KINDS)
            return nd_usage("bench", "--compare with more than %u names, expected fewer", ND_BENCH_KINDS);
        error = nd_bench_protection(&row->protection, name, b->config, &fault);
        if (error && !row->protection.name[0])
            return nd_usage("bench", "%s", fault.text);
        if (b->options.count && row->protection.peer)
            return nd_usage("bench", "--count with --compare %.40s, expected no Redis", name);
        if (!error && row->protection.peer && b->load.lanes > 1)
            error = ft_fail(&fault, FT_EINVAL, "state in Redis is of one lane, there are %u", b->load.lanes);
        if (error) /* this build does not do it: the others run all the same */
            snprintf(row->refused, sizeof(row->refused), "%.199s", fault.text);
        b->count++;
    }
    return 0;
}

static int read_inputs(struct bench *b)
{
    const struct nd_bench_options *o = &b->options;
    struct ft_fault fault = {""};
    int error = nd_config_read(&b->config, o->config ? o->config : CHAIN_DEFAULT, false, &fault);

    if (!error)
        error = o->capture ? nd_load_read(&b->load, o->capture, &b->config->chain, &fault)
                           : nd_load_make(&b->load, &o->wish, &b->config->chain, &fault);
    if (!error && !o->count && !o->pieces) /* these deal it out themselves */
        error = nd_load_deal(&b->load, o->lanes ? o->lanes : b->config->chain.lanes, &fault);
    if (error)
        fprintf(stderr, "%s\n", fault.text);
    return error ? nd_exit_of_file(error) : 0;
}

/* `off` beside others: its figures are those of their pairs. Alone it is run against itself: the noise. */
static void fill_off(struct bench *b)
{
    const struct nd_bench_row *from = NULL;

    for (unsigned i = 0; i < b->count; i++)
        if (!nd_bench_is_off(&b->rows[i].protection) && b->rows[i].pairs)
            from = &b->rows[i];
    for (unsigned i = 0; i < b->count && from; i++) {
        struct nd_bench_row *row = &b->rows[i];

        if (!nd_bench_is_off(&row->protection))
            continue;
        row->pairs = from->pairs;
        memcpy(row->off, from->off, sizeof(row->off));
        memcpy(row->with, from->off, sizeof(row->with));
    }
}

static int run_all(struct bench *b)
{
    bool others = false;
    struct ft_fault fault = {""};

    nd_catch_ends();
    for (unsigned i = 0; i < b->count; i++)
        others |= !nd_bench_is_off(&b->rows[i].protection) && !b->rows[i].refused[0];
    for (unsigned i = 0; i < b->count; i++) {
        struct nd_bench_row *row = &b->rows[i];
        int error;

        if (row->refused[0] || (others && nd_bench_is_off(&row->protection)))
            continue;
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "%s ", row->protection.name);
        error = nd_bench_pairs(row, b->config, &b->load, &b->options, &fault);
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\n");
        if (error) {
            fprintf(stderr, "understudy bench: %s: %s\n", row->protection.name, fault.text);
            return error == FT_EPERM        ? ND_NO_PERMISSION
                   : error == FT_EDIVERGED  ? ND_NOT_EQUAL
                   : error == FT_EMALFORMED ? ND_DATA
                                            : ND_SOFTWARE;
        }
    }
    fill_off(b);
    return 0;
}

static int refuse_file(const struct bench *b, int error)
{
    if (error)
        fprintf(stderr, "%s: %s, expected a file to write\n", b->options.save, strerror(error));
    return error ? ND_DATA : 0;
}

/* Before minutes are spent on what cannot be kept. */
static int check_save(const struct bench *b)
{
    static const char *const heads[] = {"machine"};

    if (b->options.save && !nd_options_replaceable(b->options.save, heads, 1, strlen(heads[0])))
        return nd_usage("bench", "--save %.40s, expected a table to replace, or a name that is free",
                        b->options.save);
    FILE *f = b->options.save ? fopen(b->options.save, "ae") : NULL;
    int error = !b->options.save || f ? 0 : errno;

    if (f)
        fclose(f);
    return refuse_file(b, error);
}

static int save_tables(const struct bench *b)
{
    FILE *f = fopen(b->options.save, "we");
    int error = f ? 0 : errno;

    if (f) {
        nd_bench_print(f, b->rows, b->count, b->config, &b->load, &b->options);
        error = ferror(f) ? EIO : 0;
        if (fclose(f) != 0)
            error = errno;
    }
    return refuse_file(b, error);
}

static int print_results(const struct bench *b)
{
    const struct nd_bench_options *o = &b->options;
    int code = o->save ? save_tables(b) : 0;

    nd_bench_print(o->json ? stderr : stdout, b->rows, b->count, b->config, &b->load, o);
    if (o->json && !code)
        code = nd_bench_print_json(b->rows, b->count, b->config, o, b->load.lanes);
    return code;
}

int nd_cmd_bench(int argc, char **argv)
{
    static struct bench b;
    int code = nd_bench_options_read(&b.options, argc, argv);

    if (!code)
        code = check_save(&b);
    if (code)
        return code;
    if (b.options.access)
        return nd_bench_access(&b.options);
    b.rows = calloc(ND_BENCH_KINDS, sizeof(*b.rows));
    code = b.rows ? read_inputs(&b) : ND_SOFTWARE;
    if (!code)
        code = read_list(&b);
    if (!code && b.options.count)
        code = nd_bench_count(b.config, &b.load, &b.options);
    else if (!code && b.options.pieces)
        code = nd_bench_pieces(b.config, &b.load, &b.options);
    else if (!code && !(code = run_all(&b)))
        code = print_results(&b);
    nd_load_free(&b.load);
    nd_config_free(b.config);
    free(b.rows);
    return code;
}
