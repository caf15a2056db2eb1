/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy incidents: what the reporters of this server's nodes have left (node/crash), the newest first.
 * Asks no node; a node whose directory of state is on another server has none here.
 */
#include "node/config/module_file.h"
#include "node/control/pair.h"
#include "node/crash/reporter.h"

#include <stdlib.h>
#include <string.h>

struct incident {
    const char *node;
    char name[96], path[ND_CRASH_PATH];
    json_t *report; /* NULL: it cannot be read */
};

struct incidents {
    struct incident *list;
    unsigned count;
};

static bool add(struct incidents *all, const struct nd_node *node, const char *name)
{
    struct incident *more = realloc(all->list, (all->count + 1) * sizeof(*more)), *i;
    char file[ND_CRASH_PATH + 16];

    if (!more)
        return false;
    all->list = more;
    i = &more[all->count++];
    *i = (struct incident){.node = node->name};
    snprintf(i->name, sizeof(i->name), "%s", name);
    snprintf(i->path, sizeof(i->path), "%s/%s", node->state, name);
    snprintf(file, sizeof(file), "%s/report.json", i->path);
    i->report = json_load_file(file, 0, NULL);
    return true;
}

/* Of one node; a directory that is not there has nothing in it. */
static int collect(struct incidents *all, const struct nd_node *node)
{
    char **names;
    unsigned count;
    int error = nd_crash_list(node->state, node->name, &names, &count);

    for (unsigned i = 0; i < count && !error; i++)
        error = add(all, node, names[i]) ? 0 : FT_ENOMEM;
    if (names)
        nd_crash_list_free(names, count);
    return error == FT_ENOMEM ? error : 0;
}

/* By what is in a name behind that of the node: the time. */
static int compare_newest(const void *a, const void *b)
{
    const struct incident *x = a, *y = b;

    return strcmp(y->name + strlen(y->node), x->name + strlen(x->node));
}

static const char *text_of(const struct incident *i, const char *name)
{
    const char *text = json_string_value(json_object_get(i->report, name));

    return text ? text : "-";
}

static void print_text(const struct incidents *all)
{
    if (all->count)
        printf("%-27s %-10s %-14s %-7s %-8s %s\n", "time", "node", "NF", "packet", "signal", "directory");
    for (unsigned k = 0; k < all->count; k++) {
        const struct incident *i = &all->list[k];
        const json_t *packet = json_object_get(i->report, "packet");
        bool killed = strcmp(text_of(i, "how"), "killed") == 0;
        char number[24] = "-";

        if (json_is_integer(packet))
            snprintf(number, sizeof(number), "%d", (int)json_integer_value(packet));
        printf("%-27s %-10s %-14s %-7s %-8s %s\n", text_of(i, "time"), i->node, text_of(i, "nf"), number,
               killed ? "killed" : text_of(i, "signal"), i->path);
    }
}

static int print_json(const struct incidents *all)
{
    json_t *list = json_array(), *object;
    int code;

    for (unsigned i = 0; i < all->count; i++) {
        json_t *report = all->list[i].report;

        json_array_append_new(list, json_pack("{s:s, s:s, s:O?}", "node", all->list[i].node, "directory",
                                              all->list[i].path, "report", report));
    }
    object = json_pack("{s:o}", "incidents", list);
    code = nd_print_json(object);
    json_decref(object);
    return code;
}

int nd_cmd_incidents(int argc, char **argv)
{
    struct nd_options options;
    struct incidents all = {NULL, 0};
    struct nd_config *config;
    struct ft_fault fault = {""};
    int code = nd_options_read(&options, argc, argv), error;

    if (code)
        return code;
    nd_module_file_hush();
    error = nd_config_read(&config, options.file, true, &fault);
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    if (options.node && nd_config_node(config, options.node) < 0) {
        nd_config_free(config);
        return nd_usage("incidents", "no node '%s' in the file", options.node);
    }
    for (unsigned n = 0; n < config->nodes && !error; n++)
        if (!options.node || strcmp(config->node[n].name, options.node) == 0)
            error = collect(&all, &config->node[n]);
    qsort(all.list, all.count, sizeof(*all.list), compare_newest);
    if (error)
        fprintf(stderr, "understudy: no memory for the list of incidents\n");
    else if (options.json)
        code = print_json(&all);
    else
        print_text(&all);
    for (unsigned i = 0; i < all.count; i++)
        json_decref(all.list[i].report);
    free(all.list);
    nd_config_free(config);
    return error ? ND_SOFTWARE : code;
}
