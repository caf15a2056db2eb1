/* SPDX-License-Identifier: Apache-2.0 */
/* See report.h. */
#define _GNU_SOURCE
#include "understudy/pair/report.h"
#include "understudy/config/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define FACTS     12    /* characters of a fact's key, in text */
#define TEXT      2048u /* bytes of a fact, of a note */
#define CELL_TEXT 344u  /* a double and its suffix */

/* ---- columns ----------------------------------------------------------------------------------- */

static bool is_column(const struct nd_column *c)
{
    return c->title || c->key;
}

/* Bars have two characters of their own. */
static const char *begin_column(FILE *out, const struct nd_column *c)
{
    bool bar = c->title[0] == '|';

    fputs(bar ? " | " : " ", out);
    return c->title + bar;
}

void nd_columns_heads(FILE *out, const struct nd_column columns[])
{
    for (const struct nd_column *c = columns; is_column(c); c++) {
        if (!c->title)
            continue;
        const char *title = begin_column(out, c);

        fprintf(out, "%*s", c->width + (int)strlen(c->suffix), title);
    }
}

static double column_number(const struct nd_column *c, const void *row)
{
    const void *at = (const char *)row + c->offset;

    return c->kind == ND_COLUMN_WHOLE ? (double)*(const uint64_t *)at : *(const double *)at;
}

/* As people see it, without the column's width: in `out`, or a text of the row or of the program. */
static const char *column_text(const struct nd_column *c, const void *row, char out[CELL_TEXT])
{
    if (c->kind == ND_COLUMN_TEXT)
        return *(const char *const *)((const char *)row + c->offset);
    if (c->kind == ND_COLUMN_KNOWN && column_number(c, row) < 0)
        return "-";
    snprintf(out, CELL_TEXT, "%.*f%s", c->decimals, column_number(c, row) * c->scale, c->suffix);
    return out;
}

void nd_columns_cells(FILE *out, const struct nd_column columns[], const void *row)
{
    char text[CELL_TEXT];

    for (const struct nd_column *c = columns; is_column(c); c++) {
        if (!c->title)
            continue;
        begin_column(out, c);
        fprintf(out, "%*s", c->width + (int)strlen(c->suffix), column_text(c, row, text));
    }
}

static json_t *column_value(const struct nd_column *c, const void *row)
{
    const void *at = (const char *)row + c->offset;

    if (c->kind == ND_COLUMN_TEXT)
        return json_string(*(const char *const *)at);
    if (c->kind == ND_COLUMN_WHOLE)
        return json_integer((json_int_t) * (const uint64_t *)at);
    return c->kind == ND_COLUMN_KNOWN && column_number(c, row) < 0 ? json_null()
                                                                   : json_real(column_number(c, row));
}

void nd_columns_json(json_t *to, const struct nd_column columns[], const void *row)
{
    for (const struct nd_column *c = columns; is_column(c); c++) {
        const char *dot = c->key ? strchr(c->key, '.') : NULL;
        json_t *object = to;
        char outer[32];

        if (dot) {
            snprintf(outer, sizeof(outer), "%.*s", (int)(dot - c->key), c->key);
            if (!json_object_get(to, outer))
                json_object_set_new(to, outer, json_object());
            object = json_object_get(to, outer);
        }
        if (c->key)
            json_object_set_new(object, dot ? dot + 1 : c->key, column_value(c, row));
    }
}

json_t *nd_columns_object(const struct nd_column columns[], const void *row)
{
    json_t *object = json_object();

    nd_columns_json(object, columns, row);
    return object;
}

json_t *nd_columns_described(const struct nd_column columns[])
{
    json_t *list = json_array();

    for (const struct nd_column *c = columns; is_column(c); c++)
        if (c->title)
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:i, s:f, s:s}", "title", c->title, "key", c->key,
                                            "decimals", c->decimals, "scale", c->scale, "suffix", c->suffix));
    return list;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double nd_quantile(double values[], unsigned count, double share)
{
    double at = share * (count - 1);
    unsigned low = (unsigned)at;

    if (count == 0)
        return 0;
    qsort(values, count, sizeof(values[0]), compare_numbers);
    return low + 1 < count ? values[low] + (at - low) * (values[low + 1] - values[low]) : values[count - 1];
}

/* ---- sheets ------------------------------------------------------------------------------------ */

/* Whatever a name or a peer holds becomes a string of JSON: bytes that are no UTF-8 are shown as '?'. */
static json_t *string_of(const char *text)
{
    json_t *string = json_string(text);
    char ascii[TEXT];

    if (string)
        return string;
    snprintf(ascii, sizeof(ascii), "%s", text);
    for (char *at = ascii; *at; at++)
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    return json_string(ascii);
}

static json_t *last_block(const struct nd_sheet *s)
{
    return json_array_get(s->blocks, json_array_size(s->blocks) - 1);
}

void nd_sheet_fact(const struct nd_sheet *s, const char *key, const char *fmt, ...)
{
    char text[TEXT];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (s->blocks) {
        if (!json_object_get(last_block(s), "facts"))
            json_array_append_new(s->blocks, json_pack("{s:[]}", "facts"));
        json_array_append_new(json_object_get(last_block(s), "facts"),
                              json_pack("[o, o]", string_of(key), string_of(text)));
        return;
    }
    fprintf(s->out, "%-*s", FACTS, key);
    for (const char *at = text; *at; at++) {
        fputc(*at, s->out);
        if (*at == '\n')
            fprintf(s->out, "%*s", FACTS, "");
    }
    fputc('\n', s->out);
}

void nd_sheet_begin(const struct nd_sheet *s, const struct nd_column columns[], const char *name)
{
    if (s->blocks) {
        json_array_append_new(s->blocks, json_pack("{s:s, s:o, s:[]}", "table", name ? name : "", "columns",
                                                   nd_columns_described(columns), "rows"));
    } else if (name) {
        fprintf(s->out, "%-*s", s->wide, name);
        nd_columns_heads(s->out, columns);
        fputc('\n', s->out);
    }
}

void nd_sheet_row(const struct nd_sheet *s, const struct nd_column columns[], const char *name,
                  const void *row)
{
    if (s->blocks) {
        json_array_append_new(json_object_get(last_block(s), "rows"),
                              json_pack("[o, o]", string_of(name), nd_columns_object(columns, row)));
        return;
    }
    fprintf(s->out, "%-*s", s->wide, name);
    nd_columns_cells(s->out, columns, row);
    fputc('\n', s->out);
}

void nd_sheet_words(const struct nd_sheet *s, const char *name, const char *fmt, ...)
{
    char text[TEXT];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (s->blocks)
        json_array_append_new(json_object_get(last_block(s), "rows"),
                              json_pack("[o, o]", string_of(name), string_of(text)));
    else
        fprintf(s->out, "%-*s %s\n", s->wide, name, text);
}

void nd_sheet_note(const struct nd_sheet *s, const char *fmt, ...)
{
    char text[TEXT];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (s->blocks)
        json_array_append_new(s->blocks, json_pack("{s:o}", "note", string_of(text)));
    else
        fprintf(s->out, "%s\n\n", text);
}

/* The page, with a zero behind it. PLACE is where the JSON goes. */
__asm__(".pushsection .rodata\n"
        ".global nd_report_page\n"
        "nd_report_page: .incbin \"understudy/pair/report.html\"\n"
        ".byte 0\n"
        ".popsection");
extern const char nd_report_page[];

#define PLACE "@REPORT@"

/* ---- the file ---------------------------------------------------------------------------------- */

/* Only an empty file or an earlier report may be overwritten. Nothing there: true. */
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
    errno = EIO; /* unless a write reports what it was */
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
