/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy incidents: what the reporters of this server's nodes have left (node/crash), the newest first.
 * Asks no node; a node whose directory of state is on another server has none here.
 */
#include "cli/pair.h"
#include "node/base/text.h"
#include "node/crash/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct incident {
    const struct nd_node *node;
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
    struct ft_fault unread;

    if (!more)
        return false;
    all->list = more;
    i = &more[all->count++];
    *i = (struct incident){.node = node};
    snprintf(i->name, sizeof(i->name), "%s", name);
    snprintf(i->path, sizeof(i->path), "%s/%s", node->state, name);
    nd_crash_read(i->path, &i->report, &unread); /* its row says no more than its name */
    return true;
}

/* Of one node; a directory that is not there has nothing in it. 0, or an exit code with its line. */
static int collect(struct incidents *all, const struct nd_node *node)
{
    char **names;
    unsigned count;
    bool whole;
    int why = access(node->state, R_OK | X_OK) == 0 ? 0 : errno;

    if (why && why != ENOENT) {
        fprintf(stderr, "understudy incidents: %s: %s, expected the state directory of node %s, to be read\n",
                node->state, strerror(why), node->name);
        return why == EACCES ? ND_NO_PERMISSION : ND_DATA;
    }
    whole = nd_crash_list(node->state, node->name, &names, &count) != FT_ENOMEM;
    for (unsigned i = 0; i < count && whole; i++)
        whole = add(all, node, names[i]);
    if (names)
        nd_crash_list_free(names, count);
    if (!whole)
        fprintf(stderr, "understudy incidents: no memory for the list\n");
    return whole ? 0 : ND_SOFTWARE;
}

/* By what is in a name behind that of the node: the time. */
static int compare_newest(const void *a, const void *b)
{
    const struct incident *x = a, *y = b;

    return strcmp(y->name + strlen(y->node->name), x->name + strlen(x->node->name));
}

static const char *text_of(const struct incident *i, const char *name)
{
    return nd_text(i->report, name, "-");
}

/* Reports are made by whoever has the node's user, and read on the terminal of somebody else. */
static void print_text(const struct incidents *all)
{
    if (all->count)
        printf("%-27s %-10s %-14s %-7s %-8s %s\n", "time", "node", "NF", "packet", "signal", "directory");
    for (unsigned k = 0; k < all->count; k++) {
        const struct incident *i = &all->list[k];
        const json_t *packet = json_object_get(i->report, "packet");
        bool killed = strcmp(text_of(i, "how"), "killed") == 0;
        char number[24] = "-", time[96], nf[96], signal[96], name[96];

        if (json_is_integer(packet))
            snprintf(number, sizeof(number), "%d", (int)json_integer_value(packet));
        printf("%-27s %-10s %-14s %-7s %-8s %s/%s\n", nd_printable(text_of(i, "time"), time, sizeof(time)),
               i->node->name, nd_printable(text_of(i, "nf"), nf, sizeof(nf)), number,
               nd_printable(text_of(i, killed ? "how" : "signal"), signal, sizeof(signal)), i->node->state,
               nd_printable(i->name, name, sizeof(name)));
    }
}

static int print_json(const struct incidents *all)
{
    json_t *list = json_array(), *object;
    int code;

    for (unsigned i = 0; i < all->count; i++) {
        json_t *report = all->list[i].report;

        json_array_append_new(list, json_pack("{s:s, s:s, s:O?}", "node", all->list[i].node->name,
                                              "directory", all->list[i].path, "report", report));
    }
    object = json_pack("{s:o}", "incidents", list);
    code = nd_print_json(object);
    json_decref(object);
    return code;
}

int nd_cmd_incidents(int argc, char **argv)
{
    struct incidents all = {NULL, 0};
    struct nd_pair pair;
    int code = nd_pair_open(&pair, argc, argv), refused = 0, one;

    if (code)
        return code;
    for (int n = 0; n < (int)ND_NODES; n++)
        if ((pair.only < 0 || pair.only == n) && (one = collect(&all, &pair.config->node[n])) != 0)
            refused = one;
    if (all.count)
        qsort(all.list, all.count, sizeof(*all.list), compare_newest);
    if (pair.options.json)
        code = print_json(&all);
    else
        print_text(&all);
    for (unsigned i = 0; i < all.count; i++)
        json_decref(all.list[i].report);
    free(all.list);
    nd_pair_close(&pair);
    return refused ? refused : code;
}
