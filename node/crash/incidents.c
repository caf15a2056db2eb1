/* SPDX-License-Identifier: Apache-2.0 */
/* The directories that reporters have left; see reporter.h. No state. */
#include "node/crash/reporter.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 1024u

static int compare_newest(const void *a, const void *b)
{
    return strcmp(*(char *const *)b, *(char *const *)a); /* the time is in the name */
}

int nd_crash_list(const char *state, const char *node, char ***names, unsigned *count)
{
    char prefix[64];
    DIR *dir = opendir(state);
    int len = snprintf(prefix, sizeof(prefix), "%s.crash-", node);

    *count = 0;
    *names = NULL;
    if (!dir)
        return FT_ENOENT;
    *names = calloc(NAMES_MAX, sizeof(**names));
    for (const struct dirent *d; *names && *count < NAMES_MAX && (d = readdir(dir));)
        if (strncmp(d->d_name, prefix, (size_t)len) == 0 && ((*names)[*count] = strdup(d->d_name)))
            ++*count;
    closedir(dir);
    if (!*names)
        return FT_ENOMEM;
    qsort(*names, *count, sizeof(**names), compare_newest);
    return 0;
}

void nd_crash_list_free(char **names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(names[i]);
    free(names);
}
