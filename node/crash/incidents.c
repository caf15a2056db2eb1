/* SPDX-License-Identifier: Apache-2.0 */
/* The directories that reporters have left; see reporter.h. No state. */
#include "node/crash/reporter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT_MAX (4u << 20) /* bytes of report.json; one of 16 lanes has some ten KiB */

int nd_crash_list(const char *state, const char *node, char ***names, unsigned *count)
{
    struct dirent **found;
    int n = scandir(state, &found, NULL, alphasort), len;
    char prefix[64];

    *count = 0;
    *names = NULL;
    if (n < 0)
        return errno == ENOMEM ? FT_ENOMEM : FT_ENOENT;
    len = snprintf(prefix, sizeof(prefix), "%s.crash-", node);
    *names = calloc((size_t)n + 1, sizeof(**names));
    for (int i = n - 1; i >= 0; i--) { /* the time is in the name */
        if (*names && strncmp(found[i]->d_name, prefix, (size_t)len) == 0 &&
            ((*names)[*count] = strdup(found[i]->d_name)))
            ++*count;
        free(found[i]);
    }
    free(found);
    return *names ? 0 : FT_ENOMEM;
}

/* All of a regular file; another may keep a reader waiting. FT_EPERM, FT_ENOENT, FT_EMALFORMED. */
static int read_file(const char *file, char **text, size_t *len, struct ft_fault *fault)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    struct stat is;
    ssize_t n;

    *text = NULL;
    *len = 0;
    if (fd < 0)
        return ft_fail(fault, errno == EACCES ? FT_EPERM : FT_ENOENT,
                       "%.160s: %s, expected a directory that `incidents` lists", file, strerror(errno));
    if (fstat(fd, &is) == 0 && S_ISREG(is.st_mode) && is.st_size <= REPORT_MAX)
        *text = malloc((size_t)is.st_size + 1);
    while (*text && *len < (size_t)is.st_size && (n = read(fd, *text + *len, (size_t)is.st_size - *len)) > 0)
        *len += (size_t)n;
    close(fd);
    return *text ? 0 : ft_fail(fault, FT_EMALFORMED, "%.160s: no file of %u bytes at most", file, REPORT_MAX);
}

int nd_crash_read(const char *directory, json_t **report, struct ft_fault *fault)
{
    char file[ND_CRASH_PATH + 16], *text;
    json_error_t why;
    size_t len;
    int error;

    *report = NULL;
    snprintf(file, sizeof(file), "%s/report.json", directory);
    error = read_file(file, &text, &len, fault);
    if (!error)
        *report = json_loadb(text, len, 0, &why);
    if (!error && !*report) /* jansson's own words quote the file */
        error = ft_fail(fault, FT_EMALFORMED, "%.160s:%d: no JSON, expected a report", file, why.line);
    free(text);
    return error;
}

void nd_crash_list_free(char **names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(names[i]);
    free(names);
}
