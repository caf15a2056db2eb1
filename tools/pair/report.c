/* SPDX-License-Identifier: Apache-2.0 */
/* See report.h. */
#define _GNU_SOURCE /* mkostemp() */
#include "tools/pair/report.h"
#include "cli/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The page, with a zero behind it. PLACE is where the JSON goes. */
__asm__(".pushsection .rodata\n"
        ".global nd_report_page\n"
        "nd_report_page: .incbin \"tools/pair/report.html\"\n"
        ".byte 0\n"
        ".popsection");
extern const char nd_report_page[];

#define PLACE "@REPORT@"

/* ---- the file ---------------------------------------------------------------------------------- */

/* So that a slip of the hand costs no file of other use. Nothing there: true. */
static bool is_replaceable(const char *path)
{
    char begin[sizeof(ND_REPORT_HEAD)] = "";
    struct stat there;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool yes = fd < 0 && errno == ENOENT;

    if (fd >= 0) {
        yes = fstat(fd, &there) == 0 && S_ISREG(there.st_mode) && read(fd, begin, sizeof(begin) - 1) >= 0 &&
              (there.st_size == 0 || strcmp(begin, ND_REPORT_HEAD) == 0);
        close(fd);
    }
    return yes;
}

static int refuse(const struct nd_report *r, int error, const char *expected)
{
    fprintf(stderr, "%.200s: %s%s\n", r->path, strerror(error), expected);
    return ND_DATA;
}

int nd_report_open(struct nd_report *r, const char *tool, const char *path)
{
    int fd = -1, error;
    mode_t mask = umask(0);

    umask(mask);
    *r = (struct nd_report){.path = path};
    if (!path)
        return 0;
    if (!is_replaceable(path))
        return nd_usage(tool, "--report %.100s, expected a report to replace, or a name that is free", path);
    if (snprintf(r->temporary, sizeof(r->temporary), "%s.XXXXXX", path) < (int)sizeof(r->temporary))
        fd = mkostemp(r->temporary, O_CLOEXEC);
    else
        errno = ENAMETOOLONG;
    if (fd >= 0)
        r->out = fdopen(fd, "w");
    if (r->out) {
        (void)fchmod(fd, 0666 & ~mask);
        return 0;
    }
    error = errno;
    if (fd >= 0) {
        close(fd);
        unlink(r->temporary);
    }
    return refuse(r, error, ", expected a file to write");
}

int nd_report_write(struct nd_report *r, json_t *what)
{
    const char *place = strstr(nd_report_page, PLACE);
    char *json = r->out ? json_dumps(what, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    int error = 0;

    json_decref(what);
    if (!r->out)
        return 0;
    errno = EIO; /* unless a write says what it was */
    fwrite(nd_report_page, 1, (size_t)(place - nd_report_page), r->out);
    /* Nothing in the JSON ends the element that it stands in, or begins another. */
    for (const char *at = json; at && *at; at++)
        if (*at == '<')
            fputs("\\u003c", r->out);
        else
            fputc(*at, r->out);
    fputs(place + strlen(PLACE), r->out);
    if (!json)
        error = ENOMEM;
    free(json);
    if (ferror(r->out))
        error = errno;
    if (fclose(r->out) != 0)
        error = errno;
    r->out = NULL;
    if (!error && rename(r->temporary, r->path) != 0)
        error = errno;
    if (error)
        unlink(r->temporary);
    return error ? refuse(r, error, "") : 0;
}

void nd_report_drop(struct nd_report *r)
{
    if (!r->out)
        return;
    fclose(r->out);
    unlink(r->temporary);
    r->out = NULL;
}

/* ---- the machine ------------------------------------------------------------------------------- */

const char *nd_machine_text(char out[ND_MACHINE_TEXT])
{
    char line[256], model[128] = "unknown processor";
    FILE *f = fopen("/proc/cpuinfo", "re");
    struct utsname name = {.release = ""};

    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            snprintf(model, sizeof(model), "%.100s", strchr(line, ':') + 2);
            model[strcspn(model, "\n")] = '\0';
            break;
        }
    if (f)
        fclose(f);
    uname(&name);
    snprintf(out, ND_MACHINE_TEXT, "%s, %ld cores, Linux %.60s", model, sysconf(_SC_NPROCESSORS_ONLN),
             name.release);
    return out;
}

void nd_machine_facts(const struct nd_sheet *sheet)
{
    char text[ND_MACHINE_TEXT] = "";
    time_t now = time(NULL);
    struct tm local;

    if (localtime_r(&now, &local))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z (%Z)", &local);
    nd_sheet_fact(sheet, "date", "%s", text);
    nd_sheet_fact(sheet, "program", "understudy %s", UNDERSTUDY_VERSION);
    nd_sheet_fact(sheet, "machine", "%s", nd_machine_text(text));
}
